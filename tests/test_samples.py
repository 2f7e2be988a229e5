"""Sample grids: which columns a method and its data fill."""

import numpy as np
import pytest
from simple_method import pictures, Simple
from tiny_model import make_config, SIZE

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
  """Three pairs, the last of them padding."""

  def __init__(self, truths):
    self.batch = {'a': pictures(3), 'b': pictures(3, 1), 'valid': np.arange(3) < 2}
    if truths:
      self.batch |= {'truth_ab': pictures(3, 2), 'truth_ba': pictures(3, 3)}

  def evaluation(self, split, **options):
    assert split == 'validation'
    return [self.batch]


@pytest.mark.parametrize('masks', [False, True])
@pytest.mark.parametrize('truths', [False, True])
def test_methods_that_neither_remove_nor_segment_have_samples(tmp_path, monkeypatch, masks, truths):
  drawn = {}
  grid = pictures_lib.grid
  monkeypatch.setattr(pictures_lib, 'grid', lambda rows, **names: (
      drawn.update(rows=rows, **names), grid(rows, **names))[1])
  data = Data(truths)
  samples.Sampler(Plain(masks), data, make_config()).write(7, {}, {}, str(tmp_path))
  assert drawn['column_names'] == [
      'source', 'exemplar', *(["exemplar's mask", "source's mask"] if masks else []),
      'translation', *(['truth'] if truths else [])]
  assert len(drawn['rows']) == 2
  for i, row in enumerate(drawn['rows']):
    found = dict(zip(drawn['column_names'], row, strict=True))
    np.testing.assert_array_equal(found['source'], data.batch['a'][i])
    np.testing.assert_allclose(found['translation'], 1 - data.batch['a'][i] / np.float32(127.5),
                               atol=1e-6)
    if masks:
      assert found["source's mask"].shape == (SIZE // 4, SIZE // 4, 1)
  assert (tmp_path / 'samples' / '00000007.png').stat().st_size > 1000
