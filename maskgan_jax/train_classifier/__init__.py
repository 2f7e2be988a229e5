"""The command `train_classifier`: a small classifier that judges translations."""
