"""Photographs keep bits, opacity, EXIF, colour profile and JPEG tables from file to file."""

import io

import numpy as np
from PIL import Image, ImageCms
import pytest

from maskgan_jax import errors
from maskgan_jax.data import images, photographs
from maskgan_jax.data.photographs import Photograph

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
_DESCRIPTION, _ORIENTATION = 0x010E, 0x0112


def noise(*shape, top=256, dtype=np.uint8):
  return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


def exif(**tags):
  block = Image.Exif()
  block[_DESCRIPTION] = 'at the sea'
  for tag, value in tags.items():
    block[int(tag.removeprefix('tag'))] = value
  return block.tobytes()


def saved(array, kind='PNG', **options):
  buffer = io.BytesIO()
  image = array if isinstance(array, Image.Image) else Image.fromarray(array)
  image.save(buffer, kind, **options)
  return buffer.getvalue()


@pytest.mark.parametrize('dtype, top', [(np.uint8, 256), (np.uint16, 65536)])
@pytest.mark.parametrize('transparent', [False, True])
def test_pngs_keep_every_bit(dtype, top, transparent):
  pixels = noise(300, 23, 3, top=top, dtype=dtype)
  opacity = noise(300, 23, top=top, dtype=dtype) if transparent else None
  data = photographs.encode(Photograph(pixels, opacity, exif(), PROFILE), '.png')
  again = photographs.load(data)
  assert again.pixels.dtype == dtype
  np.testing.assert_array_equal(again.pixels, pixels)
  assert (again.opacity is None) == (opacity is None)
  if transparent:
    np.testing.assert_array_equal(again.opacity, opacity)
  assert again.profile == PROFILE and again.jpeg == {}
  with Image.open(io.BytesIO(data)) as image:
    assert image.getexif()[_DESCRIPTION] == 'at the sea'
  if not transparent:  # as a model sees it, from the same file
    shift = 8 if dtype == np.uint16 else 0
    np.testing.assert_array_equal(images.load_image(data), pixels >> shift)


@pytest.mark.parametrize('shape, colour', [((6, 5, 3), (513, 2, 65535)), ((6, 5), 770)])
def test_a_transparent_colour_of_16_bits_becomes_an_opacity(shape, colour):
  """Pillow neither writes such files nor compares all 16 bits of the colour."""
  pixels = noise(*shape, top=65536, dtype=np.uint16)
  pixels[2, 3] = colour
  pixels[4, 1] = np.add(colour, 1) % 65536  # alike in 8 bits
  data = photographs.encode(Photograph(pixels), '.png') if len(shape) == 3 else saved(pixels)
  values = np.array(colour, '>u2').tobytes()
  start = data.index(b'IDAT') - 4
  data = data[:start] + photographs._chunk(b'tRNS', values) + data[start:]
  photograph = photographs.load(data)
  expected = np.full((6, 5), 65535)
  expected[2, 3] = 0
  np.testing.assert_array_equal(photograph.opacity, expected)
  np.testing.assert_array_equal(photograph.pixels[..., 0], pixels.reshape(6, 5, -1)[..., 0])
  again = photographs.load(photographs.encode(photograph, '.png'))
  np.testing.assert_array_equal(again.opacity, expected)


@pytest.mark.parametrize('space', [b'CMYK', b'Lab ', b'GRAY'])
def test_profiles_of_other_colours_do_not_stay_with_rgb(space):
  profile = PROFILE[:16] + space + PROFILE[20:]
  assert photographs.load(saved(noise(5, 5, 3), 'JPEG', icc_profile=profile)).profile == b''


@pytest.mark.parametrize('mode, kind', [('CMYK', 'JPEG'), ('CMYK', 'TIFF'), ('LAB', 'TIFF')])
def test_inks_and_lab_are_refused_with_and_without_a_profile(mode, kind):
  for options in ({}, {'icc_profile': PROFILE}):
    data = saved(Image.new(mode, (8, 8)), kind, **options)
    with pytest.raises(errors.UserError, match=f'me is {mode} .*; convert it to RGB'):
      photographs.load(data, name='me')


def test_grey_of_16_bits():
  grey = noise(9, 7, top=65536, dtype=np.uint16)
  pixels = photographs.load(saved(grey)).pixels
  assert pixels.dtype == np.uint16
  np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, -1))


@pytest.mark.parametrize('quality, subsampling', [(35, 2), (92, 0)])
def test_jpegs_keep_their_tables(quality, subsampling):
  smooth = np.asarray(Image.fromarray(noise(4, 4, 3)).resize((64, 48)))
  data = saved(smooth, 'JPEG', quality=quality, subsampling=subsampling, exif=exif(),
               icc_profile=PROFILE, progressive=True)
  photograph = photographs.load(data)
  again = photographs.encode(photograph, '.jpg')
  with Image.open(io.BytesIO(data)) as one, Image.open(io.BytesIO(again)) as other:
    assert one.quantization == other.quantization
    assert other.info['progressive'] and other.info['icc_profile'] == PROFILE
    assert other.getexif()[_DESCRIPTION] == 'at the sea'
  assert photographs.load(again).jpeg == photograph.jpeg
  assert abs(len(again) / len(data) - 1) < 0.1
  distance = np.abs(photographs.load(again).pixels.astype(int) - photograph.pixels)
  assert distance.mean() < 1.5


def test_turned_photographs_stand_upright():
  pixels = noise(8, 12, 3)
  photograph = photographs.load(saved(pixels, exif=exif(tag274=6)))
  np.testing.assert_array_equal(photograph.pixels, np.rot90(pixels, -1))
  with Image.open(io.BytesIO(photographs.encode(photograph, '.png'))) as image:
    assert image.getexif().get(_ORIENTATION, 1) == 1
    assert image.getexif()[_DESCRIPTION] == 'at the sea'


def test_deep_photographs_stand_upright():
  pixels = noise(8, 12, 3, top=65536, dtype=np.uint16)
  data = photographs.encode(Photograph(pixels, exif=exif(tag274=8)), '.png')
  np.testing.assert_array_equal(photographs.load(data).pixels, np.rot90(pixels))


def test_deep_photographs_become_jpegs_of_8_bits():
  pixels = np.full((16, 16, 3), 40_000, np.uint16)
  data = photographs.encode(Photograph(pixels), '.jpg')
  assert np.abs(photographs.load(data).pixels.astype(int) - 40_000 / 257).max() <= 1


def test_a_grey_profile_does_not_stay_with_colours():
  grey = PROFILE[:16] + b'GRAY' + PROFILE[20:]
  assert photographs.load(saved(noise(5, 5), icc_profile=grey)).profile == b''


def test_palettes_with_transparency():
  image = Image.fromarray(noise(6, 6, 3)).quantize(8)
  image.info['transparency'] = 0
  photograph = photographs.load(saved(image, transparency=0))
  assert set(np.unique(photograph.opacity)) == {0, 255}


def test_arrays_and_pillow_images():
  pixels = noise(5, 6, 4)
  photograph = photographs.of_array(pixels)
  np.testing.assert_array_equal(photograph.opacity, pixels[..., 3])
  assert photographs.of_array(pixels[..., 0]).pixels.shape == (5, 6, 3)
  np.testing.assert_array_equal(photographs.of_pillow(Image.fromarray(pixels)).pixels,
                                pixels[..., :3])


def test_bad_input_is_one_line():
  cmyk = saved(Image.new('CMYK', (8, 8)), 'JPEG')
  for call in (photographs.load, photographs.check):
    with pytest.raises(errors.UserError, match=r'me.jpg is CMYK .*; convert it to RGB') as raised:
      call(cmyk, name='me.jpg')
    assert '\n' not in str(raised.value)
  with pytest.raises(errors.UserError, match='is not a picture'):
    photographs.load(b'nothing')
  photographs.check(b'nothing')
  with pytest.raises(errors.UserError, match='max_pixels=10'):
    photographs.load(saved(noise(8, 8, 3)), max_pixels=10)
  transparent = Photograph(noise(4, 4, 3), noise(4, 4))
  with pytest.raises(errors.UserError, match='me.png is partly transparent, which a .jpg cannot'):
    photographs.encode(transparent, '.jpg', 'me.png')


@pytest.mark.parametrize('shape, exif, reason', [
    ((1, 65_501), b'', 'broken data stream'), ((4, 4), b'Exif\0\0' + bytes(70_000), 'EXIF')])
def test_what_a_jpeg_cannot_hold_is_said(shape, exif, reason):
  photograph = photographs.Photograph(np.zeros((*shape, 3), np.uint8), exif=exif)
  with pytest.raises(errors.UserError, match=f'me.png cannot be a .jpg .*{reason}.*write a .png'):
    photographs.encode(photograph, '.jpg', 'me.png')


def test_an_opacity_that_is_whole_is_no_transparency():
  pixels = np.zeros((4, 4, 3), np.uint8)
  whole = photographs.Photograph(pixels, np.full((4, 4), 255, np.uint8))
  assert photographs.encode(whole, '.jpg')
