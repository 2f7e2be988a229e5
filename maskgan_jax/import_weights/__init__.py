"""Turns other projects' checkpoints into this package's parameters, one file a kind."""
