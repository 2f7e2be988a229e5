"""Declaring extras is enough: files, grids, page and sweeps show those of a new method."""

import io
import os
import zipfile

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers.simple_method import pictures
from helpers.tiny_model import make_config, SIZE
from maskgan_jax import methods, translate
from maskgan_jax.demo import editor
from maskgan_jax.demo.models import Model
from maskgan_jax.demo.session import Demo
from maskgan_jax.methods.base import Extra, Method, Translation
from maskgan_jax.runs import samples
from maskgan_jax.sweep import page as sweep_page
from maskgan_jax.translator import Translator


class Outlines(Method):
  """A fifth method: inverts the source; shows an outline and a sketch of its own."""
  abilities = frozenset({'source_mask', 'reverse'})
  extras = (
      Extra('outline', 'its outline', 'where the edge is'),
      Extra('sketch', 'sketch', 'what was drawn', shows_change=True),
      Extra('depth', 'depth', 'how far it is', saved=False),
  )
  mask_meanings = {'source': 'Coloured: what is inverted.'}

  def translate(self, params, model_state, source, exemplar=None, *, source_mask=None,
                reverse=False, **unused):
    mask = jnp.ones_like(source[..., :1]) if source_mask is None else source_mask
    extras = {'outline': 0 * mask + 0.25, 'sketch': 0 * source, 'depth': 0 * mask, 'raw': source}
    return Translation(-source, mask, None, extras)


@pytest.fixture(name='t')
def _t():
  return Translator(Outlines(), {}, {}, make_config(data__load_size=0))


def test_translate_writes_them(t, tmp_path):
  os.makedirs(tmp_path / 'in')
  Image.fromarray(pictures(1)[0]).save(tmp_path / 'in' / 'a.png')
  written = translate.translate(t, str(tmp_path / 'in'), '', str(tmp_path / 'out'),
                                save_masks=True)
  assert [os.path.basename(path) for path in written] == [
      f'a__translated{suffix}.png' for suffix in ('', '_source_mask', '_outline', '_sketch')]
  assert np.asarray(Image.open(written[2])).tolist() == [[64] * SIZE] * SIZE
  grids = translate.translate(t, str(tmp_path / 'in'), '', str(tmp_path / 'g.png'), grid=True,
                              save_masks=True)
  assert [os.path.basename(path) for path in grids] == [
      'g.png', 'g_source_mask.png', 'g_outline.png', 'g_sketch.png']


def test_sample_grids_have_their_columns(t, tmp_path):
  class Data:
    def evaluation(self, split, **options):
      return [{'a': pictures(2), 'b': pictures(2, 1), 'valid': np.ones(2, bool)}]
  samples.Sampler(t.method, Data(), t.config).write(7, {}, {}, str(tmp_path))
  with Image.open(samples.path(str(tmp_path), 7)) as image:
    description = image.info['Description']
  assert [part.partition(':')[0] for part in description.split('. ')] == [
      'source', "source's mask", 'its outline', 'sketch', 'depth', 'translation',
      'source, the other way', 'its sketch', 'the other way']
  assert 'its outline: where the edge is.' in description


def test_the_page_shows_and_keeps_them(t):
  demo = Demo({'one': Model(t, {'source': pictures(1)})})
  session = demo.start('one')
  with zipfile.ZipFile(io.BytesIO(demo.archive(session))) as archive:
    assert sorted(archive.namelist()) == ['outline.png', 'sketch.png', 'source.png',
                                          'source_mask.png', 'translation.png']
  saved = t.method.saved_masks(session.result)
  shown = {name: editor.shown_mask(session.pictures['source'], mask)
           for name, mask in saved.items()}
  assert list(shown) == ['source_mask', 'outline', 'sketch']
  assert (shown['sketch'] == 128).all() and shown['outline'].shape == (SIZE, SIZE, 3)
  assert demo.compare(session).shape[-1] == 3


def test_sweeps_show_the_change(t, monkeypatch):
  drawn = []
  monkeypatch.setattr(sweep_page.pictures, 'grid', lambda rows, **names: drawn.append(rows))
  result = t(pictures(2))
  sweep_page.figure({'a': pictures(2), 'b': pictures(2)}, {'1': result}, 'ab',
                    change=t.method.change_extra)
  np.testing.assert_array_equal(drawn[0][0][1], result.extras['sketch'][0])


@pytest.mark.parametrize('name', methods.names())
def test_every_method_keeps_the_contract(name):
  """Every method is a `Method`, and its extras have names, titles and meanings."""
  base_class, = [value for value in vars(methods.module(name)).values()
                 if isinstance(value, type) and issubclass(value, Method) and value is not Method]
  titles = [extra.title for extra in base_class.extras]
  assert len(set(titles)) == len(titles)
  assert sum(extra.shows_change for extra in base_class.extras) <= 1
  assert all(extra.meaning and not extra.meaning.endswith('.') for extra in base_class.extras)
  assert set(base_class.mask_meanings) <= {'source', 'exemplar'}
