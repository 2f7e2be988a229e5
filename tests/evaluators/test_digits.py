"""Measures of single digits, on pictures for which every answer is certain."""

import dataclasses

import numpy as np
import pytest

from helpers.simple_method import simple
from maskgan_jax.evaluators import base, digits
from maskgan_jax.methods.base import Translation

SIDE = 28
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def shape(label, shift=0):
  """Returns a 'digit', bool [28, 28]: a bar, lying (0) or standing (1)."""
  region = np.zeros((SIDE, SIDE), bool)
  if label:
    region[4:24, 12 + shift:16 + shift] = True
  else:
    region[12 + shift:16 + shift, 4:24] = True
  return region


def paint(region, foreground, background):
  return np.where(region[..., None], foreground, background).astype(np.uint8)


@dataclasses.dataclass
class Recipe:
  labels: tuple[int, ...]


class Records:
  """Holds training pictures of both shapes, or the three test pictures."""

  def __init__(self, pictures, labels):
    self._pictures, self._labels = pictures, labels

  def image(self, index):
    return self._pictures[index]

  def recipe(self, index):
    return Recipe((self._labels[index],))


LABELS = (0, 1, 1)


class Data:
  """Three pairs: the digits of a are 0, 1, 1, and those of b the same in reverse order."""

  def records(self, split):
    if split == 'train':
      bars = [(label, shift) for label in (0, 1) for shift in (-4, 0, 4)]
      return Records([paint(shape(*bar), BLACK, WHITE) for bar in bars],
                     [label for label, _ in bars])
    return Records([None] * 6, LABELS + LABELS[::-1])

  def members(self, split):
    if split == 'train':
      return np.arange(6), np.arange(0)
    return np.arange(3), np.arange(3, 6)


def batch():
  a = np.stack([paint(shape(label, 1), BLACK, WHITE) for label in LABELS])
  b = np.stack([paint(shape(label, -2), RED, GREEN) for label in LABELS[::-1]])
  return {
      'a': a, 'b': b,
      'truth_ab': np.stack([paint(shape(label, 1), RED, GREEN) for label in LABELS]),
      'truth_ba': np.stack([paint(shape(label, -2), BLACK, WHITE) for label in LABELS[::-1]])}


def measure(ab, ba, valid=(True, True, True)):
  """Returns the measures of translations uint8 [3, 28, 28, 3]."""
  evaluator = digits.Evaluator()
  notes = []
  evaluator.begin(Data(), 'test', base.Reporter(note=notes.append))
  assert not notes
  outputs = base.Outputs(simple(), batch())
  outputs.abilities = frozenset({'exemplar', 'reverse'})
  outputs.translation, outputs.back = Translation(ab), Translation(ba)
  assert not evaluator.missing(batch(), outputs.abilities)
  evaluator.update(batch(), outputs, np.array(valid))
  return dict(evaluator.results())


def test_true_translations_get_everything():
  values = measure(batch()['truth_ab'], batch()['truth_ba'])
  for direction in ('ab', 'ba'):
    for name in ('digit_color', 'background_color', 'digit_iou', 'digit_read', 'colors_read'):
      assert values[f'{direction}_{name}'] == 1
      assert values[f'truth_{direction}_{name}'] == 1


@pytest.mark.parametrize(('trick', 'has', 'lacks'), [
    ('blank', ('background_color',), ('digit_color', 'digit_iou', 'colors_read')),
    ('do_nothing', ('digit_read',), ('digit_color', 'background_color', 'colors_read')),
    ('silhouette', ('background_color', 'digit_read'),
     ('digit_color', 'digit_iou', 'colors_read')),
])
def test_no_cheap_trick_gets_everything(trick, has, lacks):
  values = measure(batch()['truth_ab'], batch()['truth_ba'])
  assert all(values[f'{trick}_ab_{name}'] == 1 for name in has)
  assert all(values[f'{trick}_ab_{name}'] == 0 for name in lacks)


def test_the_exemplar_itself_shows_another_digit():
  values = measure(batch()['truth_ab'], batch()['truth_ba'])
  assert values['exemplar_ab_colors_read'] == 1
  assert values['exemplar_ab_digit_read'] == pytest.approx(1 / 3)
  assert values['exemplar_ab_digit_iou'] < 0.5


def test_half_a_digit_and_padding():
  ab = batch()['truth_ab'].copy()
  ab[1, 4:14] = GREEN  # the upper half of a standing bar
  ab[2] = paint(shape(1, 1), GREEN, RED)  # does not count
  values = measure(ab, batch()['truth_ba'], valid=(True, True, False))
  assert values['ab_digit_color'] == pytest.approx(0.75)
  assert values['ab_digit_iou'] == pytest.approx(0.75)
  assert values['ab_background_color'] == 1


def test_a_speck_is_no_digit_and_black_and_white_have_a_silhouette_too():
  ab = batch()['truth_ab'].copy()
  ab[0] = GREEN
  ab[0, 14, 14] = RED
  values = measure(ab, batch()['truth_ba'])
  assert values['ab_colors_read'] == pytest.approx(2 / 3)
  assert values['silhouette_ba_digit_color'] == 0
  assert values['silhouette_ba_background_color'] == 1


def test_the_nearest_colour_of_five():
  picture = np.array([[[100, 20, 20], [200, 20, 20], [250, 250, 200], [10, 200, 30]]], np.uint8)
  assert digits.nearest(picture[None])[0, 0].tolist() == [0, 2, 1, 3]


def test_what_has_no_single_digits_is_not_measured():
  pictures = batch()
  assert digits.Evaluator().missing({'a': pictures['a']}, frozenset())
  pictures['truth_ab'] = pictures['truth_ab'].copy()
  pictures['truth_ab'][0, 0, 0] = BLUE
  assert digits.Evaluator().missing(pictures, frozenset())
