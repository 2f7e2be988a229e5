"""Others' checkpoints as this package's parameters: one file per kind, arrays in, arrays out."""
