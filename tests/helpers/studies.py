"""A small user study: its pictures, its plan, its files."""

import json
import os

import numpy as np

from maskgan_jax.user_study import plan as study_plans

PAIRS, TARGETS = 6, 8
QUESTIONS = list(study_plans.QUESTIONS)


def pictures(count, seed):
  return np.random.default_rng(seed).integers(0, 256, (count, 8, 12, 3), dtype=np.uint8)


SHOWN = {'source': pictures(PAIRS, 0), 'target': pictures(TARGETS, 1)}
RESULTS = {'quokka': pictures(PAIRS, 2), 'wombat': pictures(PAIRS, 3), 'numbat': pictures(PAIRS, 4)}


def make_plan(questions=QUESTIONS, results=RESULTS, shown=SHOWN, **options):
  return study_plans.plan(shown, results, questions, title='Pictures', **options)


def write(folder, name, text):
  path = os.path.join(folder, name)
  with open(path, 'w', encoding='utf-8') as file:
    file.write(text if isinstance(text, str) else json.dumps(text))
  return path
