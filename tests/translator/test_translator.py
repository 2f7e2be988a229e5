"""The translator: its inputs and outputs, and that it returns what the method computes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers.tiny_model import make_config, make_translator, SIZE
from maskgan_jax import errors, translator
from maskgan_jax.methods import base
from maskgan_jax.translator import Translator


def pictures(n, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)


def as_float(images):
  return images.astype(np.float32) / 127.5 - 1


class Trivial(base.Method):
  """A method with predictable results: the exemplar's colour, a constant mask."""
  abilities = frozenset({'exemplar', 'source_mask'})

  def __init__(self):
    self.traces = 0

  def translate(self, params, model_state, source, exemplar, *, source_mask=None,
                exemplar_mask=None, rng=None):
    self.traces += 1
    mask = jnp.full((*source.shape[:-1], 1), params['mask']) if source_mask is None else source_mask
    return base.Translation(mask * exemplar + (1 - mask) * source, mask, None, {})


def trivial(mask=0.25):
  config = make_config()
  return Translator(Trivial(), {'mask': jnp.float32(mask)}, {}, config)


@pytest.fixture(scope='module')
def t():
  return make_translator()


@pytest.mark.slow
def test_is_what_the_method_computes(t):
  a, b = pictures(3), pictures(3, seed=1)
  params, model_state = t._variables
  want = t.method.translate(params, model_state, as_float(a), as_float(b))
  got = t(as_float(a), as_float(b))
  np.testing.assert_allclose(got.image, want.image, atol=1e-5)
  np.testing.assert_allclose(got.source_mask, want.source_mask, atol=1e-5)
  np.testing.assert_allclose(got.exemplar_mask, want.exemplar_mask, atol=1e-5)
  np.testing.assert_allclose(got.extras['raw'], want.extras['raw'], atol=1e-5)
  assert got.image.dtype == np.float32 and got.image.shape == (3, SIZE, SIZE, 3)
  assert got.source_mask.std() > 0.01  # with a constant mask most tests here would prove nothing

  in_bytes = t(a, b)
  assert in_bytes.image.dtype == in_bytes.extras['raw'].dtype == np.uint8
  want_bytes = (np.asarray(want.image) + 1) * 127.5
  assert np.abs(in_bytes.image - want_bytes).max() < 0.51
  np.testing.assert_allclose(in_bytes.source_mask, want.source_mask, atol=1e-5)


def test_bytes_survive_the_round_trip():
  t = trivial(mask=0.0)
  every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, SIZE, SIZE, 3)
  np.testing.assert_array_equal(t(every, every).image, every)


def test_output_is_rounded_not_truncated():
  t = trivial(mask=0.5)
  black, other = np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE, 3), 3, np.uint8)
  assert set(np.unique(t(black, other).image)) <= {1, 2}
  assert np.unique(trivial(0.9)(black, other).image) == 3  # 2.7


def test_single_images_come_back_single(t):
  a, b = pictures(2), pictures(2, seed=1)
  batch = t(a[:1], b[:1])
  one = t(a[0], b[0])
  assert one.image.shape == (SIZE, SIZE, 3) and one.source_mask.shape == (SIZE, SIZE, 1)
  np.testing.assert_array_equal(one.image, batch.image[0])
  assert t.segment(b[0]).shape == (SIZE, SIZE, 1)
  assert t(a[0], b[:1]).image.shape == (1, SIZE, SIZE, 3)


def test_one_goes_with_many_both_ways(t):
  a, b = pictures(3), pictures(3, seed=1)
  each = [t(a[i], b[0]) for i in range(3)]
  together = t(a, b[0])
  for i in range(3):
    np.testing.assert_allclose(together.source_mask[i], each[i].source_mask, atol=1e-5)
    assert np.abs(together.image[i].astype(int) - each[i].image).max() <= 1
  together = t(a[0], b)
  each = [t(a[0], b[i]) for i in range(3)]
  for i in range(3):
    np.testing.assert_allclose(together.source_mask[i], each[i].source_mask, atol=1e-5)
    assert np.abs(together.image[i].astype(int) - each[i].image).max() <= 1


def test_accepts_jax_arrays(t):
  a, b = pictures(1), pictures(1, seed=1)
  np.testing.assert_array_equal(t(jnp.asarray(a), jnp.asarray(b)).image, t(a, b).image)
  low = jnp.asarray(as_float(a), jnp.bfloat16)
  assert t(low, as_float(b)).image.dtype == np.float32


def test_chunks_equal_one_at_a_time():
  t = trivial(mask=0.5)
  a, b = pictures(131), pictures(131, seed=1)
  got = t(as_float(a), as_float(b)).image
  np.testing.assert_allclose(got, (as_float(a) + as_float(b)) / 2, atol=1e-6)


def test_few_shapes_are_compiled():
  t = trivial()
  for n in range(1, 66):
    images = pictures(n)
    assert len(t(images, images[:1]).image) == n
  assert t.method.traces == 7  # 1, 2, 4, ..., 64
  t(pictures(200), pictures(200))
  t.at({'mask': jnp.float32(0.5)}, {})(pictures(64), pictures(64))
  assert t.method.traces == 7


def test_at_takes_other_weights_and_leaves_the_old():
  t = trivial(mask=0.0)
  other = t.at({'mask': jnp.float32(1.0)}, {}, step=9, threshold=0.3)
  a, b = pictures(1), pictures(1, seed=1)
  np.testing.assert_array_equal(other(a, b).image, b)
  np.testing.assert_array_equal(t(a, b).image, a)
  assert (t.step, t.threshold, other.step, other.threshold) == (None, None, 9, 0.3)


def test_weights_outlive_donation():
  config, method = make_config(), Trivial()
  params = {'mask': jnp.full((), 0.5) * 1}
  t = Translator(method, params, {}, config)
  jax.jit(lambda p: jax.tree.map(lambda x: x + 1, p), donate_argnums=0)(params)
  assert np.all(t(pictures(1), pictures(1)).source_mask == 0.5)


@pytest.mark.slow
def test_a_zero_in_the_source_mask_leaves_the_source_there(t):
  a, b = pictures(2), pictures(2, seed=1)
  edited = t(a, b).source_mask.copy()
  edited[:, 4:9, 3:12] = 0
  for x, y in ((a, b), (as_float(a), as_float(b))):
    image = t(x, y, source_mask=edited).image
    np.testing.assert_array_equal(image[:, 4:9, 3:12], x[:, 4:9, 3:12])
    plain = t(x, y).image.astype(np.float32)
    outside = np.ones((SIZE, SIZE), bool)
    outside[4:9, 3:12] = False
    tolerance = 1 if x.dtype == np.uint8 else 1e-5
    assert np.abs(image.astype(np.float32) - plain)[:, outside].max() <= tolerance
    assert np.abs(plain - x)[:, ~outside].max() > 20 * tolerance


def test_a_source_mask_of_one_gives_the_raw_image(t):
  a, b = pictures(2), pictures(2, seed=1)
  result = t(a, b, source_mask=np.ones((SIZE, SIZE), bool))
  np.testing.assert_array_equal(result.image, result.extras['raw'])
  np.testing.assert_array_equal(result.source_mask, 1)


def test_mask_forms_agree(t):
  a, b = pictures(2), pictures(2, seed=1)
  soft = np.random.default_rng(3).integers(0, 2, (2, SIZE, SIZE)).astype(bool)
  want = t(a, b, source_mask=soft[..., None].astype(np.float32)).image
  for mask in (soft, soft.astype(np.float64), soft.astype(np.uint8) * 255, jnp.asarray(soft),
               soft.astype(np.float32)):
    np.testing.assert_array_equal(t(a, b, source_mask=mask).image, want)
  np.testing.assert_array_equal(t(a, b, source_mask=soft[0]).image[0], want[0])
  one = t(a[0], b[0], source_mask=soft[0])
  assert one.image.shape == (SIZE, SIZE, 3)
  many = t(a[0], b[0], source_mask=np.stack([soft[0], ~soft[0]]))
  assert many.image.shape == (2, SIZE, SIZE, 3)


@pytest.mark.parametrize('size', [8, 40, 64])
def test_masks_of_other_sizes_are_resized(size):
  t = trivial()
  mask = np.random.default_rng(0).random((size, size), np.float32)
  got = t(pictures(1), pictures(1), source_mask=mask).source_mask[0, ..., 0]
  want = np.asarray(Image.fromarray(mask).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
  np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.slow
def test_what_the_exemplar_mask_leaves_out_is_painted_over(t):
  a, b = pictures(1), pictures(1, seed=1)
  soft = t.segment(b)
  kept = t(as_float(a), as_float(b), exemplar_mask=soft)
  np.testing.assert_allclose(kept.image, t(as_float(a), as_float(b)).image, atol=1e-5)

  params, state = t._variables
  removed = t.method.unmasked_removal(params, state, as_float(b))
  edited = soft.copy()
  edited[:, :8] = 0
  erased = np.where(np.arange(SIZE)[:, None, None] < 8, soft, 0)
  other = erased * removed + (1 - erased) * as_float(b)
  want = t(as_float(a), np.asarray(other))
  got = t(as_float(a), as_float(b), exemplar_mask=edited)
  np.testing.assert_allclose(got.image, want.image, atol=1e-5)
  np.testing.assert_array_equal(got.exemplar_mask, edited)
  assert np.abs(got.image - kept.image).max() > 1e-3


def test_removal_changes_nothing_outside_the_mask(t):
  b = pictures(3)
  threshold = float(np.median(t.segment(b)))
  for image in (b, as_float(b)):
    result = t.remove(image, threshold=threshold)
    outside = (result.source_mask <= np.float32(threshold))[..., 0]
    assert 0.2 < outside.mean() < 0.8
    np.testing.assert_array_equal(result.image[outside], image[outside])
    assert np.mean(result.image[~outside] != image[~outside]) > 0.9
  np.testing.assert_array_equal(t.segment(b, threshold)[..., 0], ~outside)


@pytest.mark.slow
def test_removal_takes_a_mask(t):
  b = pictures(1)
  mask = np.zeros((SIZE, SIZE), bool)
  mask[2:6, 5:9] = True
  result = t.remove(b, mask)
  np.testing.assert_array_equal(result.image[:, ~mask], b[:, ~mask])
  params, state = t._variables
  painted = (np.asarray(t.method.unmasked_removal(params, state, as_float(b))) + 1) * 127.5
  assert np.abs(result.image[:, mask] - painted[:, mask]).max() < 0.51


def test_thresholds_default_to_the_one_of_the_evaluation(t):
  b = pictures(2)
  soft = t.segment(b)
  threshold = float(np.median(soft))
  scored = t.at(*t._variables, threshold=threshold)
  np.testing.assert_array_equal(scored.segment(b, 'best'), soft > np.float32(threshold))
  np.testing.assert_array_equal(scored.segment(b), soft)
  np.testing.assert_array_equal(t.segment(b, 'best'), soft > 0.5)
  np.testing.assert_array_equal(scored.remove(b).image, t.remove(b, threshold=threshold).image)
  default = t.config.model.removal_threshold
  np.testing.assert_array_equal(t.remove(b).image, t.remove(b, threshold=default).image)
  assert (scored.remove(b).image != t.remove(b).image).any()


def test_interpolation_begins_and_ends_at_translations(t):
  a, b1, b2 = (pictures(2, seed=i) for i in range(3))
  frames = t.interpolate(as_float(a), as_float(b1), as_float(b2), 5)
  assert frames.image.shape == (5, 2, SIZE, SIZE, 3)
  np.testing.assert_allclose(frames.image[0], t(as_float(a), as_float(b1)).image, atol=1e-5)
  np.testing.assert_allclose(frames.image[-1], t(as_float(a), as_float(b2)).image, atol=1e-5)
  steps = np.abs(np.diff(frames.image, axis=0)).max(axis=(1, 2, 3, 4))
  assert (steps > 1e-4).all()
  assert t.interpolate(a[0], b1[0], b2[0], 3).image.shape == (3, SIZE, SIZE, 3)


def test_swap_removes_and_then_adds(t):
  b1, b2 = pictures(1), pictures(1, seed=1)
  np.testing.assert_array_equal(t.swap(b1, b2).image, t(t.remove(b1).image, b2).image)


def test_in_sequence_feeds_each_result_on():
  half, all_of_it = trivial(mask=0.5), trivial(mask=1.0)
  a, b, c = (as_float(pictures(1, seed=i)) for i in range(3))
  steps = translator.in_sequence([half, half], a, [b, c])
  np.testing.assert_allclose(steps[0].image, (a + b) / 2, atol=1e-6)
  np.testing.assert_allclose(steps[1].image, ((a + b) / 2 + c) / 2, atol=1e-6)
  np.testing.assert_array_equal(translator.in_sequence([half, all_of_it], a, [b, c])[-1].image, c)
  with pytest.raises(errors.UserError, match='2 translators and 1 exemplars'):
    translator.in_sequence([half, half], a, [b])


def test_what_a_method_cannot_do_is_said_with_what_it_can():
  t = trivial()
  image = pictures(1)
  can = "it can do exemplar, source_mask"
  for what, call in {'remove': lambda: t.remove(image), 'segment': lambda: t.segment(image),
                     'interpolate': lambda: t.interpolate(image, image, image, 3),
                     'exemplar_mask': lambda: t(image, image, exemplar_mask=image[..., 0])}.items():
    with pytest.raises(errors.UserError, match=f"content_transfer cannot do '{what}'; {can}"):
      call()


def test_methods_without_exemplars():
  class Darker(Trivial):
    abilities = frozenset()

    def translate(self, params, model_state, source, exemplar, **unused):
      assert exemplar is None
      return base.Translation((source - 1) / 2)

  t = Translator(Darker(), {}, {}, make_config())
  image = pictures(1)
  result = t(image)
  assert np.abs(result.image - image / 2).max() <= 0.51 and result.source_mask is None
  with pytest.raises(errors.UserError, match='cannot do'):
    t(image, image)
  with pytest.raises(errors.UserError, match='needs an exemplar'):
    trivial()(image)


IMAGE = pictures(1)
ONE = np.ones((SIZE, SIZE), np.float32)
BAD_IMAGES = {
    'trained at 16x16; resize': np.zeros((1, 20, SIZE, 3), np.uint8),
    'drop the alpha': np.zeros((SIZE, SIZE, 4), np.uint8),
    'channels come last': np.zeros((1, 3, SIZE, SIZE), np.uint8),
    r'images are \[height, width, 3\]': np.zeros((SIZE, SIZE), np.uint8),
    'no image': np.zeros((0, SIZE, SIZE, 3), np.uint8),
    'NaN or infinite': np.full((SIZE, SIZE, 3), np.nan, np.float32),
    'from 0 to 255; images of floats': np.linspace(0, 255, SIZE * SIZE * 3).reshape(SIZE, SIZE, 3),
    'of type int64': np.zeros((SIZE, SIZE, 3), np.int64),
    'different sizes make no batch': [np.zeros((4, 4, 3)), np.zeros((5, 5, 3))],
    'has shape': 'face.png',
}
BAD_MASKS = {
    'masks are square': np.ones((SIZE, SIZE + 1)),
    'holds only 0 and 1': np.eye(SIZE, dtype=np.uint8),
    'masks of floats lie': ONE * 255,
    'NaN or infinite': ONE * np.inf,
    'of type int32': ONE.astype(np.int32),
    'batches do not fit together: 1 in source, 2 in exemplar, 3 in source_mask':
        np.ones((3, SIZE, SIZE)),
}


@pytest.mark.parametrize('message', BAD_IMAGES)
def test_bad_images_are_one_clear_line(message):
  for role, call in (('source', lambda x: trivial()(x, IMAGE)),
                     ('exemplar', lambda x: trivial()(IMAGE, x))):
    with pytest.raises(errors.UserError, match=message) as error:
      call(BAD_IMAGES[message])
    assert str(error.value).startswith(role) and '\n' not in str(error.value)


@pytest.mark.parametrize('message', BAD_MASKS)
def test_bad_masks_are_one_clear_line(message):
  with pytest.raises(errors.UserError, match=message) as error:
    trivial()(IMAGE, pictures(2), source_mask=BAD_MASKS[message])
  assert '\n' not in str(error.value)


def test_other_bad_arguments(t):
  with pytest.raises(errors.UserError, match='2 in source, 3 in exemplar; give equally many'):
    t(pictures(2), pictures(3))
  for threshold in (-0.1, 1.5, float('nan'), 'most'):
    with pytest.raises(errors.UserError, match='threshold is'):
      t.segment(IMAGE, threshold)
    with pytest.raises(errors.UserError, match='threshold is'):
      t.remove(IMAGE, threshold=threshold)
  with pytest.raises(errors.UserError, match='no two ends'):
    t.interpolate(IMAGE, IMAGE, IMAGE, 1)


def test_bfloat16_models_give_float32_masks_and_exact_backgrounds():
  config = make_config()
  config.compute_dtype = 'bfloat16'
  t = make_translator(config)
  a, b = pictures(2), pictures(2, seed=1)
  mask = np.zeros((SIZE, SIZE), bool)
  result = t(a, b, source_mask=mask)
  np.testing.assert_array_equal(result.image, a)
  assert t.segment(b).dtype == np.float32


@pytest.mark.slow
def test_export_runs_without_this_package(t, tmp_path):
  path = tmp_path / 'out' / 'model.bin'
  t.export(path)
  a, b = pictures(3), pictures(3, seed=1)
  np.savez(tmp_path / 'in.npz', a=a, b=b)
  program = """
import sys
sys.modules['maskgan_jax'] = None
import jax, numpy as np
folder = sys.argv[1]
with open(folder + '/out/model.bin', 'rb') as file:
  call = jax.export.deserialize(file.read())
assert call.platforms == ('cpu', 'cuda', 'tpu'), call.platforms
x = np.load(folder + '/in.npz')
one = call.call(x['a'][:1], x['b'][:1])['image']
np.savez(folder + '/out.npz', **call.call(x['a'], x['b']), one=one)
"""
  subprocess.run([sys.executable, '-c', program, str(tmp_path)], check=True, timeout=300,
                 env={**os.environ, 'JAX_PLATFORMS': 'cpu'})
  with np.load(tmp_path / 'out.npz') as file:
    got = dict(file)
  want = t(a, b)
  assert got['image'].dtype == np.uint8 and got['one'].shape == (1, SIZE, SIZE, 3)
  assert np.abs(got['image'].astype(int) - want.image).max() <= 1
  np.testing.assert_allclose(got['source_mask'], want.source_mask, atol=1e-5)
  np.testing.assert_allclose(got['exemplar_mask'], want.exemplar_mask, atol=1e-5)
