"""Where the repository is."""

import pathlib

ROOT_PATH = pathlib.Path(__file__).resolve().parents[2]
ROOT = str(ROOT_PATH)
