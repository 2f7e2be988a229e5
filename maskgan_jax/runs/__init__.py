"""What a run leaves on disk: config, checkpoints, metrics, scores, picture grids, report."""
