"""What the commands write and say where masks, names or weights are not as they should be."""

import os

import numpy as np
from PIL import Image
import pytest

from helpers.tiny_model import make_config, make_model, SIZE
from maskgan_jax import translate
from maskgan_jax.translate import Edits
from maskgan_jax.translator import Translator


@pytest.fixture(name='t', scope='module')
def _translator():
  config = make_config(data__load_size=0)
  return Translator(*make_model(config), config)


def _file(path, seed=0):
  """Writes a picture of the model's size."""
  picture = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
  os.makedirs(path.parent, exist_ok=True)
  Image.fromarray(picture).save(path)
  return str(path)


def test_masks_that_are_nearly_black_are_said(t, tmp_path):
  a, b = _file(tmp_path / 'a.png'), _file(tmp_path / 'b.png', seed=1)
  lines = []
  for level in (0, 3, 15, 255):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:9] = level
    Image.fromarray(mask).save(tmp_path / 'm.png')
    translate.translate(t, a, b, str(tmp_path / 'o.png'), note=lines.append,
                        source_edits=Edits(str(tmp_path / 'm.png')))
  assert lines == [f'--source_mask: the mask of {a} is nearly black, at most {level} of 255, and '
                   'will do almost nothing; white is 1' for level in (3, 15)]
