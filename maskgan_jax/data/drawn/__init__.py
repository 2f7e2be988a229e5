"""TFDS builders that draw their data here and need no TensorFlow."""
