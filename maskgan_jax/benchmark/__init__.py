"""The command `benchmark`: how fast a step is, alone and beside PyTorch."""
