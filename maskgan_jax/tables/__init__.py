"""The command `tables`: the papers' tables, theirs and ours."""
