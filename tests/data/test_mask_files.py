"""How `images.load_mask` reads each kind of picture file as a mask, with values."""

import io

import numpy as np
from PIL import Image
import pytest

from maskgan_jax import errors
from maskgan_jax.data import images

_SIDE = 32
_SHAPE = np.zeros((_SIDE, _SIDE), np.float32)
_SHAPE[4:28, 6:20] = 1
_RAMP = np.tile(np.linspace(0, 255, _SIDE).round().astype(np.uint8), (_SIDE, 1))  # all soft
_WHITE, _RED, _DARK = (255, 255, 255), (255, 0, 0), (9, 0, 7)
_PASCAL = {0: (0, 0, 0), 1: (128, 0, 0), 7: (128, 128, 128), 8: (64, 0, 0), 9: (192, 0, 0),
           15: (192, 128, 128), 255: (224, 224, 192)}


def _load(image, kind='PNG', **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return images.load_mask(buffer.getvalue(), name='m.png')


def _palette(indices, colours):
  """Returns a palette picture of indices [H, W] with the colour of each index."""
  image = Image.fromarray(np.asarray(indices, np.uint8), 'P')
  table = np.zeros((256, 3), np.uint8)
  for index, colour in colours.items():
    table[index] = colour
  image.putpalette(table.ravel().tolist())
  return image


def _drawn(colour, strength=_SHAPE):
  """Returns uint8 [H, W, 3]: `colour` on black, weighted by `strength`."""
  return np.rint(np.asarray(strength)[..., None] * np.array(colour)).astype(np.uint8)


def _layer(colours, alpha):
  """Returns an RGBA picture of uint8 colours [H, W, 3] or one colour, with opacity [H, W]."""
  colours = np.broadcast_to(np.uint8(colours), (_SIDE, _SIDE, 3))
  return Image.fromarray(np.dstack([colours, np.broadcast_to(np.uint8(alpha), (_SIDE, _SIDE))]))


def _rows(*, transparent=(), feathered=()):
  """Returns opacity 255, except in rows that are fully or half transparent."""
  alpha = np.full((_SIDE, _SIDE), 255, np.uint8)
  alpha[list(transparent)], alpha[list(feathered)] = 0, 128
  return alpha


def _photo_cut_out():
  """Returns a coloured picture that contains black, [H, W, 3]."""
  photo = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
  photo[10:14, 8:12] = 0
  return photo


@pytest.mark.parametrize('paint', [_WHITE, _RED, _DARK, (0, 0, 0), (128, 128, 128)])
@pytest.mark.parametrize('alpha', [_SHAPE * 255, _RAMP, np.full((_SIDE, _SIDE), 153), _SHAPE * 0])
def test_of_a_painted_layer_the_opacity_is_the_mask(paint, alpha):
  np.testing.assert_allclose(_load(_layer(paint, alpha)), np.uint8(alpha) / 255, atol=1e-6)


def test_of_layers_and_cut_outs_of_many_colours_too():
  two = _drawn(_RED) + _drawn((0, 0, 255), 1 - _SHAPE)
  for colours in (two, _photo_cut_out(), _RAMP[..., None] // 4 + np.uint8(180)):
    np.testing.assert_allclose(_load(_layer(colours, _RAMP)), _RAMP / 255, atol=1e-6)
    np.testing.assert_array_equal(_load(_layer(colours, _SHAPE * 255)), _SHAPE)
  premultiplied = _layer(_RAMP[..., None], _RAMP)
  np.testing.assert_allclose(_load(premultiplied), _RAMP / 255, atol=1e-6)


@pytest.mark.parametrize('colour', [_WHITE, _RED, (128, 0, 0)])
def test_of_a_drawing_with_a_transparent_border_the_brightness_counts(colour):
  alpha = _rows(transparent=[0], feathered=[-1, 5])
  mask = _load(_layer(_drawn(colour), alpha))
  np.testing.assert_allclose(mask, _SHAPE * (alpha / 255), atol=1e-6)
  hidden = _drawn(colour)
  hidden[0] = (1, 200, 30)  # transparent pixels may have any colour
  np.testing.assert_array_equal(_load(_layer(hidden, alpha)), mask)


def test_a_drawing_in_grey_and_alpha():
  grey = Image.fromarray(np.uint8(_SHAPE * 255))
  alpha = _rows(transparent=[0, 6])
  mask = _load(Image.merge('LA', [grey, Image.fromarray(alpha)]))
  np.testing.assert_array_equal(mask, _SHAPE * (alpha > 0))
  opaque = Image.merge('LA', [grey, Image.new('L', grey.size, 255)])
  np.testing.assert_array_equal(_load(opaque), _SHAPE)


def test_greys_that_are_transparent_too_are_refused():
  with pytest.raises(errors.UserError, match=r'^m\.png is partly transparent and drawn in many'):
    _load(_layer(_RAMP[..., None], _rows(transparent=[0])))


def test_a_transparent_palette():
  image = _palette(_SHAPE, {0: (0, 0, 0), 1: _WHITE, 2: (0, 0, 0)})
  np.testing.assert_array_equal(_load(image, transparency=2), _SHAPE)  # no pixel has that index
  indices = _SHAPE.copy()
  indices[0] = 2
  transparent = _palette(indices, {1: _WHITE})
  np.testing.assert_array_equal(_load(transparent, transparency=2), _SHAPE)
  np.testing.assert_array_equal(_load(_palette(_SHAPE, {1: (9, 9, 9)}), transparency=0), _SHAPE)


@pytest.mark.parametrize('classes', [(15,), (1,), (8,), (7,), (1, 9), (1, 8, 9), (1, 9, 15, 7)])
@pytest.mark.parametrize('background', [True, False])
@pytest.mark.parametrize('void', [True, False])
def test_pascals_labels_are_one_and_background_and_void_are_zero(classes, background, void):
  indices = np.resize(classes, (_SIDE, _SIDE))
  indices[20:24] = 255 if void else classes[0]
  indices[24:] = 0 if background else classes[0]
  image, objects = _palette(indices, _PASCAL), (indices > 0) & (indices < 255)
  np.testing.assert_array_equal(_load(image), objects)
  if void and background:  # otherwise an RGB picture may have shades of one colour, or no black
    np.testing.assert_array_equal(_load(image.convert('RGB')), objects)


def test_palettes_of_one_colour_beside_black():
  everything, nothing = np.ones((_SIDE, _SIDE)), np.zeros((_SIDE, _SIDE))
  for colour in ((128, 0, 0), (128, 128, 128), _WHITE, (3, 3, 3)):
    for shape in (_SHAPE, everything, nothing):
      np.testing.assert_array_equal(_load(_palette(shape, {1: colour})), shape)
  for colour in ((128, 0, 0), _RED):
    for shape in (_SHAPE, everything):
      np.testing.assert_array_equal(_load(Image.fromarray(_drawn(colour, shape))), shape)


def test_soft_palettes_stay_soft():
  grey = _palette(_RAMP, {level: (level,) * 3 for level in range(256)})
  np.testing.assert_allclose(_load(grey), _RAMP / 255, atol=1e-6)
  red = _palette(_RAMP, {level: (level // 2, 0, 0) for level in range(256)})
  np.testing.assert_allclose(_load(red), _RAMP // 2 / 127, atol=1e-6)
  np.testing.assert_allclose(_load(red, 'GIF'), _RAMP // 2 / 127, atol=1e-6)


def test_soft_colours_have_their_fullest_as_one():
  for colour in (_RED, (128, 0, 0), (40, 90, 200)):
    mask = _load(Image.fromarray(_drawn(colour, _RAMP / 255)))
    np.testing.assert_allclose(mask, _RAMP / 255, atol=1 / max(colour))
    scanned = _load(Image.fromarray(_drawn(colour)), 'JPEG', quality=90, subsampling=0)
    np.testing.assert_allclose(scanned, _SHAPE, atol=0.25)


def test_scanned_masks_keep_their_greys():
  noise = np.random.default_rng(0).integers(0, 20, (_SIDE, _SIDE, 3))
  tinted = np.uint8(_SHAPE[..., None] * 220 + np.minimum(noise, 14))
  mask = _load(Image.fromarray(tinted))
  np.testing.assert_array_equal(mask, np.float32(tinted.max(axis=-1)) / 255)
  np.testing.assert_array_equal(mask > 0.5, _SHAPE)
  saved = _load(Image.fromarray(np.uint8(_SHAPE * 255)), 'JPEG')
  np.testing.assert_allclose(saved, _SHAPE, atol=0.2)
  assert len(np.unique(saved)) > 2


def test_many_labels_in_a_palette_are_all_one():
  colours = np.random.default_rng(0).integers(60, 256, (40, 3))
  indices = np.arange(_SIDE * _SIDE).reshape(_SIDE, _SIDE) % 41
  table = {0: (0, 0, 0)} | {i + 1: tuple(colour) for i, colour in enumerate(colours)}
  np.testing.assert_array_equal(_load(_palette(indices, table)), indices > 0)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('level, want', [(1, 1), (255, 1), (128, 128 / 255)])
def test_depths(dtype, level, want):
  image = Image.fromarray((_SHAPE * level).astype(dtype))
  np.testing.assert_allclose(_load(image), _SHAPE * want, atol=1e-6)


def test_sixteen_bits_and_one():
  deep = Image.fromarray(_RAMP.astype(np.uint16) * 257)
  np.testing.assert_allclose(_load(deep), _RAMP / 255, atol=1e-6)
  for shape in (_SHAPE, 1 - _SHAPE, _SHAPE * 0):
    np.testing.assert_array_equal(_load(Image.fromarray(shape > 0)), shape)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_class_ids_with_a_void_are_refused(dtype):
  ids = (_SHAPE * 15).astype(dtype)
  ids[3] = 255
  with pytest.raises(errors.UserError, match=r'^m\.png has no grey levels but 0 to 15 and 255'):
    _load(Image.fromarray(ids))


@pytest.mark.parametrize('image', [
    Image.fromarray(_drawn((255, 0, 255)) + _drawn(_WHITE, 1 - _SHAPE)),
    _palette(_SHAPE, {0: (68, 1, 84), 1: (253, 231, 37)}),
    Image.fromarray(np.dstack([np.full_like(_RAMP, 255), 255 - _RAMP, _RAMP])),
], ids=['flat', 'palette', 'shades'])
def test_colours_without_black_are_refused(image):
  with pytest.raises(errors.UserError, match=r'^m\.png has several colours and no black'):
    _load(image)
