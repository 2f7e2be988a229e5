"""Data: sources, transforms and the pipeline; `pipeline.make` and `images` are the public doors."""
