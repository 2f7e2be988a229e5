"""TFDS builders of our own, which draw their data and need no TensorFlow."""
