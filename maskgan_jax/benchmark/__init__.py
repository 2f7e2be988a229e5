"""The command `benchmark`: how fast a config's step is."""
