"""Results at the size of their pictures: `t(..., size='own')` and `translate --size=own`."""

import os
import pathlib

import numpy as np
from PIL import Image
import pytest

from helpers import commands
from helpers.models import drawn
from helpers.simple_method import Adds, simple
from helpers.tiny_model import make_config, make_translator
from maskgan_jax import errors, translate
from maskgan_jax.data import images, photographs
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.translate import Edits
from maskgan_jax.translator import own_size, Translator

HEIGHT, WIDTH = 96, 120
REGION = '16,20,80,84'


def photo(seed=0, channels=3):
  coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), np.uint8)
  return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def file(path, picture, **options):
  Image.fromarray(picture).save(path, **options)
  return str(path)


def read(path):
  return np.asarray(Image.open(path))


@pytest.fixture(name='a')
def _a(tmp_path):
  return file(tmp_path / 'a.png', photo())


@pytest.fixture(name='b')
def _b(tmp_path):
  return file(tmp_path / 'b.png', photo(1))


@pytest.fixture(name='run')
def _run(a, b, tmp_path):
  """Returns a function that translates at the own size into a file and returns its path."""
  def call(t=None, source=a, exemplar=b, output='o.png', **options):
    t = t or simple()
    written = translate.translate(t, source, exemplar if 'exemplar' in t.abilities else '',
                                  str(tmp_path / output), size='own', **options)
    return written[0] if len(written) == 1 else written
  return call


def test_the_picture_comes_back_with_its_left_part_white(run, a):
  """`Simple` paints 8 of 16 columns white, with a mask of 0.7."""
  picture, result = read(a), read(run())
  assert result.shape == (HEIGHT, WIDTH, 3)
  np.testing.assert_array_equal(result[:, WIDTH // 2 + 24:], picture[:, WIDTH // 2 + 24:])
  assert result[:, :WIDTH // 2 - 24].min() >= 176


def test_saved_masks_say_which_pixels_changed(run, a):
  image, mask = run(save_masks=True)
  assert mask == image.replace('.png', '_source_mask.png')
  levels = read(mask)
  assert levels.shape == (HEIGHT, WIDTH) and (levels == 0).any() and levels.max() > 170
  np.testing.assert_array_equal(read(image)[levels == 0], read(a)[levels == 0])


def test_a_region(run, a):
  image, mask = run(source_edits=Edits(regions=[REGION]), save_masks=True)
  outside = np.ones((HEIGHT, WIDTH), bool)
  outside[16:80, 20:84] = False
  np.testing.assert_array_equal(read(image)[outside], read(a)[outside])
  assert not read(mask)[outside].any()
  assert read(image)[40:56, 32:44].min() >= 176
  shares = ','.join(f'{number:.6f}' for number in (16 / 96, 20 / 120, 80 / 96, 84 / 120))
  other = run(source_edits=Edits(regions=[shares]), output='p.png')
  np.testing.assert_array_equal(read(other), read(image))


def test_a_region_is_what_the_model_sees(b, tmp_path):
  t = Translator(simple().method, {}, {}, make_config(data__crop='center:50'))
  whole = t.fit(photo(), region=(16, 20, 80, 84))
  np.testing.assert_array_equal(whole.image, simple().fit(photo()[16:80, 20:84]).image)
  assert whole.box == whole.region == (16, 20, 80, 84)
  mask = np.zeros((HEIGHT, WIDTH), np.float32)
  mask[16:48] = 1
  np.testing.assert_allclose(whole.fit_mask(mask, 'm')[:, 3, 0], [1] * 8 + [0] * 8, atol=0.15)


def test_given_masks_and_erased_rectangles_have_the_own_size(a, tmp_path):
  class Paints(Method):
    """Paints the mask red."""
    abilities = frozenset({'source_mask'})

    def translate(self, params, model_state, source, exemplar=None, source_mask=None, **unused):
      red = np.array([1, -1, -1], np.float32)[None, None, None]
      mask = source[..., :1] * 0 + 0.5 if source_mask is None else source_mask
      return Translation(mask * red + (1 - mask) * source, mask)

  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[30:50, 41:77] = 255
  edits = Edits(file(tmp_path / 'm.png', mask), ['0,0,40,50'])
  t = Translator(Paints(), {}, {}, make_config(data__load_size=0))
  [path, saved] = translate.translate(t, a, '', str(tmp_path / 'o.png'), source_edits=edits,
                                      size='own', save_masks=True)
  mask[:40, :50] = 0
  np.testing.assert_array_equal(read(saved), mask)
  np.testing.assert_array_equal(read(path)[mask == 0], read(a)[mask == 0])
  assert np.abs(read(path)[mask > 0].astype(int) - [255, 0, 0]).max() < 40


def test_changes_that_are_added_keep_details(run, a):
  t = Translator(Adds(), {}, {}, make_config(data__load_size=0))
  image, mask, added = run(t, save_masks=True)
  change = read(image).astype(int) - read(a)
  np.testing.assert_array_equal(change[:, 70:], 0)
  inside = read(a)[:, :40].max(-1) < 160
  np.testing.assert_allclose(np.median(change[:, :40][inside], axis=0), [64, 32, 16], atol=2)
  assert read(added).shape == (HEIGHT, WIDTH, 3) and (read(added)[:, 70:] == 128).all()
  assert read(mask)[:, :40].max() > 60


def test_methods_that_repaint_everything_say_so_once(run, a, tmp_path):
  class Inverts(Method):
    """Inverts the picture, and has no mask."""
    def translate(self, params, model_state, source, exemplar=None, **unused):
      return Translation(-source)

  os.makedirs(tmp_path / 'in')
  for name in ('x.png', 'y.png'):
    file(tmp_path / 'in' / name, photo(3) // 8)
  notes = []
  t = Translator(Inverts(), {}, {}, make_config(data__load_size=0))
  run(t, source=str(tmp_path / 'in'), output='out', note=notes.append)
  assert len(notes) == 1 and 'repaints all of' in notes[0] and '\n' not in notes[0]
  assert sorted(os.listdir(tmp_path / 'out')) == ['x__translated.png', 'y__translated.png']


def test_opacity_16_bits_and_notes_survive(run, tmp_path):
  pixels = photo().astype(np.uint16) * 256 + 3
  opacity = np.full((HEIGHT, WIDTH), 60_000, np.uint16)
  exif = Image.Exif()
  exif[0x010E] = 'at the sea'
  photograph = photographs.Photograph(pixels, opacity, exif.tobytes())
  (tmp_path / 'deep.png').write_bytes(photographs.encode(photograph, '.png'))
  result = photographs.load(run(source=str(tmp_path / 'deep.png')))
  assert result.pixels.dtype == np.uint16
  np.testing.assert_array_equal(result.pixels[:, 90:], pixels[:, 90:])
  np.testing.assert_array_equal(result.opacity, opacity)
  assert result.pixels[:, :30].min() > 45_000
  assert result.exif == photograph.exif


def test_jpegs_in_and_out(run, tmp_path):
  source = file(tmp_path / 'a.jpg', photo(), quality=60)
  path = run(source=source, output='O.JPG')
  assert path.endswith('O.JPG')
  with Image.open(path) as one, Image.open(source) as other:
    assert one.format == 'JPEG' and one.quantization == other.quantization
  distance = np.abs(read(path).astype(int) - read(source))
  assert distance[:, 96:].mean() < 2 and distance[:, :40].mean() > 10


def test_exemplars_have_regions_and_masks_of_their_size(b, a, tmp_path):
  t = make_translator(make_config(data__load_size=0))
  written = translate.translate(t, a, b, str(tmp_path / 'o.png'), size='own', save_masks=True,
                                exemplar_edits=Edits(regions=['0,0,60,60']))
  assert [os.path.basename(path) for path in written] == [
      'o.png', 'o_source_mask.png', 'o_exemplar_mask.png']
  mask = read(written[2])
  assert mask.shape == (HEIGHT, WIDTH) and mask[:60, :60].any()
  assert not mask[60:].any() and not mask[:, 60:].any()
  alone = t(t.fit(read(a)), t.fit(read(b)[:60, :60]))
  np.testing.assert_allclose(mask[20:40, 20:40].mean() / 255,
                             alone.exemplar_mask[5:11, 5:11].mean(), atol=0.1)


def test_removal(a, tmp_path):
  t = make_translator(make_config(data__load_size=0))
  path, mask = translate.remove(t, a, str(tmp_path / 'o.png'), size='own', save_masks=True)
  levels = read(mask)
  assert read(path).shape == (HEIGHT, WIDTH, 3)
  np.testing.assert_array_equal(read(path)[levels == 0], read(a)[levels == 0])


@pytest.mark.parametrize('name', ['lomit', 'egsc_it', 'additional_mask'])
def test_every_method_goes_back_into_the_picture(name):
  t = drawn(name)
  me = t.fit(photo(), region=(0.1, 0.1, 0.9, 0.9))
  exemplar = t.fit(photo(1)) if 'exemplar' in t.abilities else None
  result = t(me, exemplar, size='own')
  assert result.image.shape == (HEIGHT, WIDTH, 3)
  assert result.source_mask.shape == (HEIGHT, WIDTH, 1)
  untouched = result.source_mask[..., 0] == 0
  np.testing.assert_array_equal(result.image[untouched], photo()[untouched])
  assert untouched[:9].all()


def test_in_python(a):
  t = simple()
  for picture in (a, pathlib.Path(a).read_bytes(), Image.fromarray(photo()), photo()):
    me = t.fit(picture)
    result = t(me, me, size='own')
    assert result.image.shape == (HEIGHT, WIDTH, 3) and result.image.dtype == np.uint8
    assert result.source_mask.shape == (HEIGHT, WIDTH, 1) and result.source_mask.max() <= 1
  with pytest.raises(errors.UserError, match='needs the picture itself'):
    t(me.image, me, size='own')
  with pytest.raises(errors.UserError, match="size is 'big'; it is 'model' or 'own'"):
    t(me, me, size='big')


def bad_inputs(tmp_path):
  """Yields options of `run` and the message that they get."""
  yield {'source_edits': Edits(regions=['0,0,97,20'])}, 'leaves .*a.png, which is 96 high and 120'
  yield {'source_edits': Edits(regions=['5,5,5,9'])}, 'has no area'
  yield {'source_edits': Edits(regions=['1,2,3'])}, '--region=1,2,3 is not top,left,bottom,right'
  yield {'exemplar_edits': Edits(regions=['x'])}, '--exemplar_region=x is not top'
  yield {'grid': True}, "--grid shows pictures at the model's size"
  yield {'output': 'o.gif'}, 'written as .png or .jpg or .jpeg'
  thin = file(tmp_path / 'thin.png', np.zeros((1, 10_000, 3), np.uint8))
  yield {'source': thin}, 'thin.png: 1x10000 pixels .* are too thin'
  Image.new('CMYK', (40, 40)).save(tmp_path / 'print.jpg')
  yield {'source': str(tmp_path / 'print.jpg')}, 'print.jpg is CMYK .* convert it to RGB'
  clear = file(tmp_path / 'clear.png', photo(channels=4))
  yield {'source': clear, 'output': 'o.jpg'}, 'clear.png is partly transparent, which a .jpg'


def test_bad_input_is_one_line(run, tmp_path):
  for options, message in bad_inputs(tmp_path):
    with pytest.raises(errors.UserError, match=message) as raised:
      run(**options)
    assert '\n' not in str(raised.value)
  assert not (tmp_path / 'o.png').exists() and not (tmp_path / 'o.jpg').exists()
  with pytest.raises(errors.UserError, match="--size=huge must be 'model' or 'own'"):
    translate.translate(simple(), 'a', 'b', 'o.png', size='huge')


@pytest.mark.slow
def test_the_command(a, b, tmp_path):
  make_translator(make_config(data__load_size=0)).save(tmp_path / 'model')
  flags = [f'--pretrained={tmp_path}/model', f'--source={a}', f'--exemplar={b}', '--size=own']
  done = commands.run('translate', *flags, f'--output={tmp_path}/o.jpg', f'--region={REGION}')
  assert (done.returncode, done.stderr) == (0, '')
  assert images.load_image(f'{tmp_path}/o.jpg').shape == (HEIGHT, WIDTH, 3)
  for region, message in (('0,0,500,500', 'leaves'), ('9,9,9,20', 'has no area')):
    commands.fails(commands.run('translate', *flags, f'--output={tmp_path}/o.png',
                                f'--region={region}'), message)


def test_large_photographs_take_bounded_memory(monkeypatch):
  """A region is composed in strips, each of which is small."""
  largest = [0]
  composed = own_size.composed

  def watched(part, *args, **options):
    largest[0] = max(largest[0], part.shape[0] * part.shape[1])
    return composed(part, *args, **options)
  monkeypatch.setattr(own_size, 'composed', watched)
  picture = np.zeros((1500, 2000, 3), np.uint8)
  t = simple()
  me = t.fit(picture)
  assert t(me, me, size='own').image.shape == picture.shape
  assert 0 < largest[0] < 600_000
