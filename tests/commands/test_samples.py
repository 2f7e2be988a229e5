"""Sample grids: which columns a method and its data fill."""

import numpy as np
from PIL import Image
import pytest

from helpers.simple_method import Adds, pictures, Simple
from helpers.tiny_model import make_config, SIZE
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import pictures as pictures_lib
from maskgan_jax.runs import samples


class Plain(Simple):
  """A method that only translates, with masks or without."""
  abilities = frozenset({'exemplar'})

  def __init__(self, masks):
    self.masks = masks

  def translate(self, params, model_state, source, exemplar, *, rng):
    mask = (source[:, ::4, ::4, :1] + 1) / 2  # a quarter of the resolution
    return Translation(-source, *([mask, mask] if self.masks else []))

  def segment(self, *args):
    raise AssertionError('not among the abilities')

  remove = segment


class Data:
  """Three pairs, of which the last is padding."""

  def __init__(self, truths):
    self.batch = {'a': pictures(3), 'b': pictures(3, 1), 'valid': np.arange(3) < 2}
    if truths:
      self.batch |= {'truth_ab': pictures(3, 2), 'truth_ba': pictures(3, 3)}

  def evaluation(self, split, **options):
    assert split == 'validation'
    return [self.batch]


def draw(method, data, workdir, monkeypatch):
  """Returns the rows of a sample grid, each by column name, and the picture's description."""
  drawn = {}
  grid = pictures_lib.grid
  monkeypatch.setattr(pictures_lib, 'grid', lambda rows, **names: (
      drawn.update(rows=rows, **names), grid(rows, **names))[1])
  samples.Sampler(method, data, make_config()).write(7, {}, {}, str(workdir))
  with Image.open(workdir / 'samples' / '00000007.png') as image:
    description = image.info['Description']
  return [dict(zip(drawn['column_names'], row, strict=True)) for row in drawn['rows']], description


@pytest.mark.parametrize('masks', [False, True])
@pytest.mark.parametrize('truths', [False, True])
def test_methods_that_neither_remove_nor_segment_have_samples(tmp_path, monkeypatch, masks, truths):
  data = Data(truths)
  rows, _ = draw(Plain(masks), data, tmp_path, monkeypatch)
  assert len(rows) == 2
  for i, row in enumerate(rows):
    assert list(row) == [
        'source', 'exemplar', *(["exemplar's mask", "source's mask"] if masks else []),
        'translation', *(['truth'] if truths else [])]
    np.testing.assert_array_equal(row['source'], data.batch['a'][i])
    np.testing.assert_allclose(row['translation'], 1 - data.batch['a'][i] / np.float32(127.5),
                               atol=1e-6)
    if masks:
      assert row["source's mask"].shape == (SIZE // 4, SIZE // 4, 1)
  assert (tmp_path / 'samples' / '00000007.png').stat().st_size > 1000


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('truths', [False, True])
def test_without_exemplars_none_is_shown(tmp_path, monkeypatch, reverse, truths):
  method, data = Adds(), Data(truths)
  if not reverse:
    method.abilities = frozenset({'source_mask'})
  rows, description = draw(method, data, tmp_path, monkeypatch)
  there = ['source, the other way', 'its added mask', 'the other way'] if reverse else []
  names = ['source', "source's mask", 'added mask', 'attention', 'translation',
           *(['truth'] if truths else []), *there, *(['its truth'] if truths and reverse else [])]
  assert 'exemplar' not in description
  assert [part.partition(': ')[0] for part in description.split('. ')] == names
  for i, row in enumerate(rows):
    assert list(row) == names
    mask = np.zeros((SIZE, SIZE, 3), np.float32)
    mask[:, :SIZE // 2] = 0.5, 0.25, 0.125
    for sign, source, names_of in ((1, 'a', ('source', 'added mask', 'translation', 'truth')),
                                   (-1, 'b', (*there, 'its truth'))):
      if len(names_of) < 4:
        continue
      before = data.batch[source][i]
      np.testing.assert_array_equal(row[names_of[0]], before)
      np.testing.assert_array_equal(row[names_of[1]], sign * mask)
      np.testing.assert_allclose(row[names_of[2]], np.clip(
          before / np.float32(127.5) - 1 + sign * mask, -1, 1), atol=1e-6)
      if truths:
        other = 'truth_ab' if source == 'a' else 'truth_ba'
        np.testing.assert_array_equal(row[names_of[3]], data.batch[other][i])
    # Grey, not black, where nothing is added.
    assert (pictures_lib.to_uint8(row['added mask'])[:, SIZE // 2:] == 128).all()
    assert row['attention'].shape == row["source's mask"].shape == (SIZE, SIZE, 1)
