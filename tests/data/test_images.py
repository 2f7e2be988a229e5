"""Loading pictures and masks of every kind, and refusing the rest in one line."""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image
import pytest
import skimage.data

from helpers import data_samples
from maskgan_jax import errors
from maskgan_jax.data import images

_PHOTO = data_samples.photos()['chelsea']  # 75 x 113
_GREY = np.ascontiguousarray(skimage.data.camera()[::8, ::8])  # 64 x 64


def _encode(image, **kwargs):
  buffer = io.BytesIO()
  image.save(buffer, **kwargs)
  return buffer.getvalue()


def _png(header, *rows):
  """Returns a PNG file that Pillow cannot write."""
  def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
  data = zlib.compress(b''.join(b'\0' + row for row in rows))
  return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', *header, 0, 0, 0))
          + chunk(b'IDAT', data) + chunk(b'IEND', b''))


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tiff', '.ppm', '.webp'])
def test_lossless_formats_give_the_pixels(tmp_path, suffix):
  path = tmp_path / f'photo{suffix}'
  Image.fromarray(_PHOTO).save(path, **({'lossless': True} if suffix == '.webp' else {}))
  loaded = images.load_image(path)
  assert loaded.dtype == np.uint8 and loaded.flags.writeable
  np.testing.assert_array_equal(loaded, _PHOTO)


@pytest.mark.parametrize('orientation, turn', [
    (1, lambda x: x), (2, np.fliplr), (3, lambda x: np.rot90(x, 2)), (4, np.flipud),
    (5, lambda x: x.swapaxes(0, 1)), (6, lambda x: np.rot90(x, -1)),
    (7, lambda x: np.rot90(x, 2).swapaxes(0, 1)), (8, np.rot90)])
@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_exif_orientation_is_applied(orientation, turn, kind):
  exif = Image.Exif()
  exif[0x0112] = orientation
  data = _encode(Image.fromarray(_PHOTO), format=kind, exif=exif)
  np.testing.assert_array_equal(images.load_image(data), turn(_PHOTO))


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')  # Pillow only warns
def test_damaged_exif_does_not_lose_the_picture():
  image = Image.fromarray(_PHOTO)
  plain = images.load_image(_encode(image, format='JPEG'))
  damaged = _encode(image, format='JPEG', exif=b'Exif\0\0II*\0\xff\xff\xff\xffgarbage')
  np.testing.assert_array_equal(images.load_image(damaged), plain)


def test_palette_gives_its_colours():
  palette = Image.fromarray(_PHOTO).quantize(16)
  colours = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)
  expected = colours[np.array(palette)]
  np.testing.assert_array_equal(images.load_image(_encode(palette, format='PNG')), expected)
  clear = images.load_image(_encode(palette, format='PNG', transparency=3))
  expected = np.where((np.array(palette) == 3)[..., None], 255, expected)
  np.testing.assert_array_equal(clear, expected)


@pytest.mark.parametrize('mode', ['RGBA', 'LA'])
def test_transparency_is_laid_over_white(mode):
  alpha = np.linspace(0, 255, _PHOTO.shape[1]).astype(np.uint8)[None].repeat(_PHOTO.shape[0], 0)
  base = Image.fromarray(_PHOTO).convert('L' if mode == 'LA' else 'RGB')
  image = base.copy()
  image.putalpha(Image.fromarray(alpha))
  assert image.mode == mode
  share = alpha[..., None] / 255
  expected = share * np.array(base.convert('RGB')) + (1 - share) * 255
  loaded = images.load_image(_encode(image, format='PNG'))
  np.testing.assert_allclose(loaded, expected, atol=1)


def test_cmyk_is_converted():
  cmyk = np.stack([_GREY, _GREY[::-1], _GREY.T, _GREY // 4], axis=-1)
  bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(cmyk, -1, 0)]
  data = _encode(Image.merge('CMYK', bands), format='TIFF')
  ink, black = cmyk[..., :3].astype(float), cmyk[..., 3:].astype(float)
  np.testing.assert_allclose(images.load_image(data), (255 - ink) * (255 - black) / 255, atol=1)


def test_grey_is_repeated_and_one_bit_is_black_and_white():
  loaded = images.load_image(_encode(Image.fromarray(_GREY), format='PNG'))
  np.testing.assert_array_equal(loaded, _GREY[..., None].repeat(3, -1))
  binary = _GREY > 100
  loaded = images.load_image(_encode(Image.fromarray(binary), format='PNG'))
  np.testing.assert_array_equal(loaded, np.where(binary, 255, 0)[..., None].repeat(3, -1))


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'PPM'])
def test_sixteen_bit_grey_keeps_its_range(kind):
  deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
  loaded = images.load_image(_encode(Image.fromarray(deep), format=kind))
  np.testing.assert_array_equal(loaded[..., 0], np.rint(deep / 257))
  assert (loaded == loaded[..., :1]).all()


def test_sixteen_bit_colour_keeps_its_upper_byte():
  deep = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype('>u2')
  data = _png((7, 5, 16, 2), *[row.tobytes() for row in deep])
  np.testing.assert_array_equal(images.load_image(data), deep >> 8)


def test_float_pictures_are_taken_by_their_range():
  for scale in (1, 255):
    data = _encode(Image.fromarray(_GREY.astype(np.float32) / 255 * scale), format='TIFF')
    np.testing.assert_array_equal(images.load_image(data)[..., 0], _GREY)
  data = _encode(Image.fromarray(_GREY.astype(np.float32) - 9), format='TIFF')
  with pytest.raises(errors.UserError, match='grey levels from'):
    images.load_image(data, name='odd.tiff')


@pytest.mark.parametrize('kind', ['GIF', 'WEBP', 'PNG', 'TIFF'])
def test_first_frame_of_an_animation(kind):
  frames = [Image.new('RGB', (6, 4), colour) for colour in ('red', 'lime', 'blue')]
  lossless = {'lossless': True} if kind == 'WEBP' else {}
  data = _encode(frames[0], format=kind, save_all=True, append_images=frames[1:], **lossless)
  with Image.open(io.BytesIO(data)) as image:
    assert image.n_frames == 3
  np.testing.assert_array_equal(images.load_image(data), np.full((4, 6, 3), (255, 0, 0)))


def test_one_pixel():
  data = _encode(Image.new('RGB', (1, 1), (1, 2, 3)), format='PNG')
  np.testing.assert_array_equal(images.load_image(data), [[[1, 2, 3]]])


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.gif', '.webp', '.tiff', '.bmp'])
def test_truncated_files_are_named(tmp_path, suffix):
  path = tmp_path / f'cut{suffix}'
  Image.fromarray(_PHOTO).save(path)
  whole = path.read_bytes()
  path.write_bytes(whole[:len(whole) // 2])
  with pytest.raises(errors.UserError, match=f'cut{suffix} is damaged or truncated'):
    images.load_image(path)


def test_files_that_are_no_pictures_are_named(tmp_path):
  (tmp_path / 'text.png').write_text('hello')
  (tmp_path / 'empty.png').write_bytes(b'')
  (tmp_path / 'folder.png').mkdir()
  (tmp_path / 'dangling.png').symlink_to('gone.png')
  for name, problem in (('text.png', 'is not a picture'), ('empty.png', 'is empty'),
                        ('folder.png', 'is a folder'),
                        ('textt.png', r"does not exist \(did you mean 'text.png'"),
                        ('dangling.png', r"not exist \(it is a link to 'gone.png', where nothing"),
                        ('gone/x.png', 'does not exist'), ('nul\0.png', 'cannot be read')):
    with pytest.raises(errors.UserError, match=problem) as caught:
      images.load_image(str(tmp_path / name))
    assert name in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('side', [7_000, 12_000, 100_000])  # over ours; over Pillow's two limits
def test_enormous_pictures_are_refused_by_their_header(side):
  bomb = _png((side, side, 8, 2))
  with pytest.raises(errors.UserError, match='bomb.png (has|is too large)'):
    images.load_image(bomb, name='bomb.png')


def test_max_pixels_is_the_limit():
  data = _encode(Image.fromarray(_PHOTO), format='PNG')
  count = _PHOTO.shape[0] * _PHOTO.shape[1]
  assert images.load_image(data, max_pixels=count).shape == _PHOTO.shape
  with pytest.raises(errors.UserError, match=f'max_pixels={count - 1}'):
    images.load_image(data, max_pixels=count - 1)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'GIF', 'WEBP', 'TIFF', 'BMP', 'PPM', 'TGA'])
@pytest.mark.parametrize('load', [images.load_image, images.load_mask])
def test_random_damage_gives_pixels_or_a_user_error(kind, load):
  whole = _encode(Image.fromarray(_PHOTO[:24, :24]), format=kind)
  rng = np.random.default_rng(0)
  for _ in range(60):
    data = bytearray(whole[:rng.integers(1, len(whole) + 1)])
    for place in rng.integers(0, len(data), 3):
      data[place] = rng.integers(256)
    try:
      loaded = load(bytes(data), name='damaged')
    except errors.UserError as error:
      assert str(error).startswith('damaged ')
    else:
      assert loaded.ndim == (3 if load is images.load_image else 2) and loaded.size


_SHAPE = np.zeros((8, 8), bool)
_SHAPE[2:6, 3:8] = True


@pytest.mark.parametrize('image', [
    Image.fromarray(_SHAPE),
    Image.fromarray(_SHAPE.astype(np.uint8) * 255),
    Image.fromarray(_SHAPE.astype(np.uint8)),
    Image.fromarray(_SHAPE.astype(np.uint16) * 65535),
    Image.fromarray(_SHAPE.astype(np.uint16)),
    Image.fromarray(_SHAPE[..., None] * np.array([255, 0, 0], np.uint8)),
    Image.fromarray(_SHAPE[..., None] * np.array([255, 255, 255, 0], np.uint8)
                    + np.array([0, 0, 0, 255], np.uint8)),
    Image.fromarray(_SHAPE[..., None] * np.array([9, 0, 7, 255], np.uint8)),
    Image.fromarray(_SHAPE[..., None] * np.array([128, 0, 0], np.uint8)).quantize(2),
], ids=['1', '255', '0/1', '65535', '0/1 in 16 bits', 'red', 'opaque RGBA', 'painted layer',
        'palette'])
def test_binary_masks_of_every_mode(image):
  mask = images.load_mask(_encode(image, format='PNG'))
  assert mask.dtype == np.float32
  np.testing.assert_array_equal(mask, _SHAPE)


def test_soft_masks_keep_their_levels():
  grey = Image.fromarray(_GREY)
  for image in (grey, Image.fromarray(_GREY.astype(np.uint16) * 257), grey.convert('RGB'),
                Image.merge('LA', [Image.new('L', grey.size), grey])):
    mask = images.load_mask(_encode(image, format='PNG'))
    np.testing.assert_allclose(mask, _GREY / 255, atol=1e-6)
  data = _encode(Image.fromarray((_GREY / 255).astype(np.float32)), format='TIFF')
  np.testing.assert_allclose(images.load_mask(data), _GREY / 255, atol=1e-6)


@pytest.mark.parametrize('level', [0, 255])
def test_masks_of_one_level(level):
  data = _encode(Image.new('L', (3, 2), level), format='PNG')
  np.testing.assert_array_equal(images.load_mask(data), np.full((2, 3), level / 255))


def test_mask_in_exif_orientation():
  exif = Image.Exif()
  exif[0x0112] = 6
  data = _encode(Image.fromarray(_SHAPE.astype(np.uint8) * 255), format='PNG', exif=exif)
  np.testing.assert_array_equal(images.load_mask(data), np.rot90(_SHAPE, -1))


def test_save_png_gives_back_what_was_saved(tmp_path):
  for array in (_PHOTO, _GREY, _GREY[..., None], np.dstack([_PHOTO, _PHOTO[..., :1]])):
    images.save_png(tmp_path / 'deep' / 'x.png', array)
    with Image.open(tmp_path / 'deep' / 'x.png') as image:
      np.testing.assert_array_equal(np.array(image), np.squeeze(array))
  images.save_png(tmp_path / 'x.png', (_GREY / 255).astype(np.float32))
  np.testing.assert_array_equal(images.load_image(tmp_path / 'x.png')[..., 0], _GREY)
  assert sorted(os.listdir(tmp_path)) == ['deep', 'x.png']


@pytest.mark.parametrize('array', [
    np.zeros((2, 2), int), np.zeros(3, np.uint8), np.full((2, 2, 3), np.nan),
    np.array([[0, np.nan]]), np.array([[0, np.inf]], np.float16)])
def test_save_png_refuses_what_is_no_picture(tmp_path, array):
  with pytest.raises(ValueError):
    images.save_png(tmp_path / 'x.png', array)
  assert not os.listdir(tmp_path)


def test_save_png_says_where_it_cannot_write(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='file'):
    images.save_png(tmp_path / 'file' / 'x.png', _GREY)


@pytest.mark.parametrize('load', [images.load_image, images.load_mask, images.load_labels])
def test_named_pipes_are_refused_and_not_waited_for(tmp_path, load):
  os.mkfifo(tmp_path / 'pipe.png')
  with pytest.raises(errors.UserError, match='pipe.png is not an ordinary file'):
    load(tmp_path / 'pipe.png')


def test_a_pipe_of_the_shell_is_read():
  reading, writing = os.pipe()
  with open(writing, 'wb') as file:
    file.write(_encode(Image.fromarray(_GREY), format='PNG'))
  np.testing.assert_array_equal(images.load_image(f'/dev/fd/{reading}')[..., 0], _GREY)
  os.close(reading)


def test_a_format_that_is_not_read_is_to_be_converted(tmp_path):
  (tmp_path / 'a.heic').write_bytes(b'x')
  with pytest.raises(errors.UserError, match='a.heic is not a picture .*convert it to PNG or JPEG'):
    images.load_image(tmp_path / 'a.heic')
