"""Random styles where there is no exemplar: the translator, the translate command and the page."""

import os

import numpy as np
from PIL import Image
import pytest

from helpers import models
from maskgan_jax import errors, translate
from maskgan_jax.demo.models import Model
from maskgan_jax.demo.session import Demo, STYLES
from maskgan_jax.runs import pictures
from maskgan_jax.translate import Edits


@pytest.fixture(name='t', scope='module')
def _t():
  translator = models.drawn('munit')
  translator.config.data.load_size = 0
  return translator


@pytest.fixture(name='folder')
def _folder(t, tmp_path):
  """Writes two pictures, 0.png and 1.png."""
  os.makedirs(tmp_path / 'in')
  for i, picture in enumerate(models.picture(0, t)):
    Image.fromarray(picture).save(tmp_path / 'in' / f'{i}.png')
  return str(tmp_path / 'in')


def read(path):
  return np.asarray(Image.open(path))


@pytest.mark.parametrize('reverse', [False, True])
def test_each_source_in_each_style(t, folder, tmp_path, reverse):
  written = translate.translate(t, folder, '', str(tmp_path / 'out'), styles=3, reverse=reverse)
  assert [os.path.basename(path) for path in written] == [
      f'{i}__style_{seed}{"__reverse" * reverse}.png' for i in range(2) for seed in range(3)]
  sources = models.picture(0, t)
  for number, path in enumerate(written):
    source, seed = divmod(number, 3)
    expected = t(sources[source], seed=seed, reverse=reverse).image
    np.testing.assert_array_equal(read(path), expected)


def test_one_source_in_one_style_is_one_file(t, folder, tmp_path):
  [path] = translate.translate(t, f'{folder}/0.png', '', str(tmp_path / 'o.png'))
  np.testing.assert_array_equal(read(path), t(models.picture(0, t)[0]).image)


def test_what_is_erased_from_a_source_stays(t, folder, tmp_path):
  edits = Edits('', ['0,0,8,16'])
  written = translate.translate(t, folder, '', str(tmp_path / 'out'), styles=2,
                                source_edits=edits)
  for number, path in enumerate(written):
    source, seed = divmod(number, 2)
    source = models.picture(0, t)[source]
    np.testing.assert_array_equal(read(path)[:8], source[:8])
    np.testing.assert_array_equal(read(path)[8:], t(source, seed=seed).image[8:])


def test_a_grid_has_a_column_for_each_style(t, folder, tmp_path, monkeypatch):
  headings = []
  grid = pictures.grid
  monkeypatch.setattr(pictures, 'grid', lambda rows, **names: (
      headings.append((names['column_names'], names['row_names'])), grid(rows, **names))[1])
  translate.translate(t, folder, '', str(tmp_path / 'g.png'), grid=True, styles=2)
  assert headings == [(['source', 'style_0', 'style_1'], ['0', '1'])]


def test_what_does_not_fit_together_is_refused(t, folder, tmp_path):
  output = str(tmp_path / 'out')
  with pytest.raises(errors.UserError, match='has a style already; leave out --styles'):
    translate.translate(t, folder, folder, output, styles=2)
  with pytest.raises(errors.UserError, match='--erase_exemplar needs an exemplar'):
    translate.translate(t, folder, '', output, exemplar_edits=Edits('', ['0,0,4,4']))
  with pytest.raises(errors.UserError, match='draws no styles; leave out --styles'):
    translate.translate(models.drawn('additional_mask'), folder, '', output, styles=2)
  image = models.picture(0, t)
  with pytest.raises(errors.UserError, match='leave out seed'):
    t(image, image, seed=1)
  for seed in (-1, 0.5, True, 2**32):
    with pytest.raises(errors.UserError, match='a whole number from 0'):
      t(image, seed=seed)
  with pytest.raises(errors.UserError, match="cannot do 'random_style'"):
    models.drawn('additional_mask')(image, seed=1)
  assert not os.path.exists(output)


@pytest.mark.slow
def test_the_page_shows_styles_from_a_seed_on(t, monkeypatch):
  rows = []
  monkeypatch.setattr(pictures, 'grid', lambda cells, **_: rows.append(cells))
  demo = Demo({'styles': Model(t)})
  session = demo.start('styles')
  demo.random_styles(session, 2)
  [[source, *results]] = rows[-1]
  np.testing.assert_array_equal(source, session.pictures['source'])
  assert len(results) == STYLES
  np.testing.assert_array_equal(results[1], t(source, seed=3).image)
