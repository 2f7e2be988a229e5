"""What erasing from the exemplar's mask does, measured on a method that obeys exactly."""

import jax.numpy as jnp
import numpy as np
import pytest

from helpers.simple_method import Data, pairs, pictures, Simple, simple
from helpers.tiny_model import SIZE
from maskgan_jax import evaluators
from maskgan_jax.evaluators import erased
from maskgan_jax.methods.base import Translation
from maskgan_jax.translator import Translator

HALF = SIZE // 2
LEFT, RIGHT = slice(None, HALF), slice(HALF, None)


class TwoStyles(Simple):
  """Paints each half of the source in the colour of the exemplar's, unless that is erased.

  The predicted mask is 0.8 everywhere; a half counts as erased when none of its mask is left.
  """
  abilities = frozenset({'exemplar', 'source_mask', 'exemplar_mask'})
  listens = True

  def translate(self, params, model_state, source, exemplar, *, exemplar_mask=None, **unused):
    predicted = jnp.full((*source.shape[:-1], 1), 0.8)
    mask = exemplar_mask if exemplar_mask is not None and self.listens else predicted
    halves = []
    for half in (LEFT, RIGHT):
      there = mask[:, :, half].max(axis=(1, 2, 3), keepdims=True) > 0
      halves.append(jnp.where(there, exemplar[:, :, half], source[:, :, half]))
    return Translation(jnp.concatenate(halves, axis=2), predicted, predicted)


class Deaf(TwoStyles):
  """Takes a mask and ignores it."""
  listens = False


def rows_of(n):
  """Returns pairs whose right half is erased; in the truth a is unchanged there."""
  a, b = pictures(n), pictures(n, 1)
  truth_ab_erased = b.copy()
  truth_ab_erased[:, :, RIGHT] = a[:, :, RIGHT]
  half = np.zeros((n, SIZE, SIZE, 1), np.float32)
  half[:, :, RIGHT] = 1
  return {'a': a, 'b': b, 'truth_ab_erased': truth_ab_erased, 'a_erase': 0.9 * half,
          'b_erase': half.copy()}


def measure(method, rows, batch_size=4, **options):
  return evaluators.run(simple(method), Data(test=rows), names=('erased',), batch_size=batch_size,
                        **options)


def errors_of(rows, where):
  """Returns the mean absolute difference of a and b over the right halves of rows, / 255."""
  return np.mean([np.abs(rows['a'][i, :, RIGHT] / 255 - rows['b'][i, :, RIGHT] / 255).mean()
                  for i in where])


@pytest.mark.parametrize('batch_size', [1, 4, 64])
def test_what_is_erased_stays_behind(batch_size):
  rows = rows_of(7)
  got = measure(TwoStyles(), rows, batch_size)
  assert got['pairs'] == 7
  inside = errors_of(rows, range(7))
  np.testing.assert_allclose(got['erased_error_inside_before'], inside)
  np.testing.assert_allclose(got['erased_error_before'], inside / 2)
  assert got['erased_error_inside'] == got['erased_error'] == 0
  assert got['do_nothing_erased_error_inside'] == 0 < got['do_nothing_erased_error']
  assert set(got) == {'pairs', 'erased_error', 'erased_error_before', 'erased_error_inside',
                      'erased_error_inside_before', 'do_nothing_erased_error',
                      'do_nothing_erased_error_inside'}


def test_a_method_that_ignores_its_mask_gains_nothing():
  got = measure(Deaf(), rows_of(5))
  assert got['erased_error'] == got['erased_error_before'] > 0
  assert got['erased_error_inside'] == got['erased_error_inside_before'] > 0


def test_only_pairs_with_something_to_erase_count():
  rows = rows_of(6)
  rows['a_erase'][1] = 0.4  # never more than half of a pixel: both look alike there
  rows['b_erase'][3] = 0  # the exemplar has none of it
  inside = errors_of(rows, [0, 2, 4, 5])
  got = measure(TwoStyles(), rows)
  np.testing.assert_allclose(got['erased_error_inside_before'], inside)
  assert got['erased_error_inside'] == 0 and got['pairs'] == 6
  rows['a_erase'][:] = 0
  assert measure(TwoStyles(), rows) == {'pairs': 6}


def test_the_given_mask_is_the_predicted_one_without_the_region():
  masks = []

  class Watching(Translator):
    def __call__(self, source, exemplar=None, source_mask=None, exemplar_mask=None):
      masks.append(exemplar_mask)
      return super().__call__(source, exemplar, source_mask, exemplar_mask)

  plain = simple(TwoStyles())
  rows = rows_of(3)
  rows['b_erase'][1] = 1
  evaluators.run(Watching(plain.method, {}, {}, plain.config), Data(test=rows), names=('erased',),
                 batch_size=3)
  assert masks[0] is None and len(masks) == 2
  np.testing.assert_allclose(masks[1], 0.8 * (1 - rows['b_erase']), rtol=1e-6)


def test_what_is_missing_is_said():
  said = []
  assert measure(Simple(), rows_of(3), note=said.append) == {}
  assert measure(TwoStyles(), pairs(3), note=said.append) == {}
  assert "takes no exemplar's mask" in said[0] and 'config.data.erase' in said[1]
  assert erased.Evaluator().missing(rows_of(1), TwoStyles.abilities) == ''


def test_the_table_shows_before_and_after():
  got = measure(TwoStyles(), rows_of(3))
  lines = evaluators.table(got).splitlines()
  assert lines[1].split()[:5] == ['erased', 'error', 'after', 'erasing', '0.0000']
  assert lines[2].split()[-1] == f"{got['erased_error_before']:.4f}"
  assert lines[3].startswith('erased    error inside after erasing')
  assert lines[5] == '3 pairs' and max(map(len, lines)) <= 100
