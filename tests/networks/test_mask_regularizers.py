"""The mask regularisers: the linear-time form, the pairwise one and NumPy in float64 agree."""

import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.losses import mask_regularizers

FORMS = [mask_regularizers.similarity, mask_regularizers.similarity_pairwise]
VALUE_AND_SLOPE = {form: jax.jit(jax.value_and_grad(form)) for form in FORMS}
MASKS = {
    'random': lambda rng, n: rng.uniform(size=n),
    'tied': lambda rng, n: rng.integers(0, 5, n) / 4,
    'few ties': lambda rng, n: rng.integers(0, n, n) / n,
    'constant': lambda rng, n: np.full(n, 0.3),
    'zero': lambda rng, n: np.zeros(n),
    'one': lambda rng, n: np.ones(n),
    'hard': lambda rng, n: (rng.uniform(size=n) > 0.7) * 1.0,
    'saturated': lambda rng, n: np.clip(rng.uniform(-0.7, 1.5, n), 0, 1),
    'sorted': lambda rng, n: np.arange(n) / n,
    'one pixel': lambda rng, n: (np.arange(n) == n // 2) * 1.0,
}


def make(kind, pixels, channels=6, seed=0, dtype=jnp.float32):
  """Returns a mask, and content whose vectors are similar, as in images."""
  rng = np.random.default_rng([seed, pixels])
  content = 3 * rng.normal(size=(pixels, channels)) + rng.normal(size=channels)
  content[rng.uniform(size=pixels) < 0.1] = 0
  return jnp.asarray(MASKS[kind](rng, pixels), dtype), jnp.asarray(content, dtype)


def oracle(mask, content):
  """Returns value and gradient in float64, and the gradient's scale: a sum of absolute values."""
  mask, content = (np.asarray(x, np.float64) for x in (mask, content))
  unit = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-8)
  cosine = unit @ unit.T
  difference = mask[:, None] - mask[None, :]
  return ((np.abs(difference) * cosine).sum(), 2 * (np.sign(difference) * cosine).sum(1),
          2 * np.abs(cosine).sum(1).max())


# 2,500 pixels are several chunks, of which the last one is not full.
@pytest.mark.parametrize('pixels', [1, 4, 63, 64, 65, 300, 1024,
                                    pytest.param(2500, marks=pytest.mark.slow)])
def test_similarity_equals_float64(pixels):
  for (kind, form) in itertools.product(MASKS, FORMS):
    mask, content = make(kind, pixels)
    expected, slope, scale = oracle(mask, content)
    value, gradient = VALUE_AND_SLOPE[form](mask, content)
    assert value.dtype == gradient.dtype == jnp.float32
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-6 * scale, err_msg=kind)
    tolerance = 1e-6 * scale * max(1, np.ptp(mask) * pixels)
    assert float(value) == pytest.approx(expected, abs=tolerance), (kind, form)


@pytest.mark.parametrize('kind', ['random', 'tied', 'hard'])
@pytest.mark.parametrize('pixels', [4, 200, 2200])
def test_similarity_of_bfloat16_is_computed_in_float32(kind, pixels):
  mask, content = make(kind, pixels, dtype=jnp.bfloat16)
  expected, slope, scale = oracle(mask, content)
  for form in FORMS:
    value, gradient = VALUE_AND_SLOPE[form](mask, content)
    assert value.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16
    assert float(value) == pytest.approx(expected, abs=1e-6 * scale * pixels)
    rounding = np.abs(slope) / 256  # rounding of the gradient to its dtype
    assert (np.abs(np.asarray(gradient, np.float64) - slope) <= rounding + 1e-6 * scale).all()


def test_small_differences_do_not_drown_in_rounding():
  mask, content = make('random', 1000)
  mask = 0.9 + 1e-4 * mask
  expected, _, scale = oracle(mask, content)
  for form in FORMS:
    value, _ = VALUE_AND_SLOPE[form](mask, content)
    assert float(value) == pytest.approx(expected, abs=1e-7 * scale * np.ptp(mask) * 1000)


@pytest.mark.parametrize('value', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('pixels', [7, 1000, 3000])
def test_equal_mask_values_contribute_exactly_nothing(value, pixels):
  _, content = make('random', pixels)
  for form in FORMS:
    loss, gradient = VALUE_AND_SLOPE[form](jnp.full(pixels, value), content)
    assert np.array_equal(gradient, np.zeros(pixels))
    assert float(loss) == 0


def test_similarity_of_two_pixels_by_hand():
  mask = jnp.array([0.9, 0.2])
  content = jnp.array([[3.0, 0.0], [4.0, 4.0]])  # 45 degrees apart
  for form in FORMS:
    value, gradient = VALUE_AND_SLOPE[form](mask, content)
    assert float(value) == pytest.approx(2 * 0.7 / np.sqrt(2))
    np.testing.assert_allclose(gradient, [np.sqrt(2), -np.sqrt(2)], rtol=1e-6)


@pytest.mark.parametrize('form', FORMS)
def test_gradient_is_the_slope_of_the_value(form):
  mask, content = make('sorted', 100)  # steps smaller than the distance of two values
  step = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, 100) / 400, jnp.float32)
  _, gradient = VALUE_AND_SLOPE[form](mask, content)
  ahead, back = (VALUE_AND_SLOPE[form](mask + s, content)[0] for s in (step, -step))
  assert float(ahead - back) == pytest.approx(2 * float(gradient @ step), rel=1e-3)


@pytest.mark.parametrize('form', FORMS)
def test_no_gradient_reaches_the_content(form):
  mask, content = make('random', 90)
  assert np.array_equal(jax.jit(jax.grad(form, argnums=1))(mask, content), np.zeros(content.shape))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('scale', [0.0, 1e-30, 1e-9, 1e15])
def test_lengths_of_content_vectors_do_not_matter_and_stay_finite(form, scale):
  mask, content = make('saturated', 90)
  value, gradient = VALUE_AND_SLOPE[form](mask, scale * content)
  assert np.isfinite(value) and np.isfinite(gradient).all()
  if scale > 1:
    assert float(value) == pytest.approx(float(VALUE_AND_SLOPE[form](mask, content)[0]), rel=1e-5)
  if scale < 1e-20:  # practically zero vectors, which are similar to nothing
    assert float(value) == pytest.approx(0, abs=1e-12)


def test_masks_of_images_under_vmap_and_jit_share_their_content():
  kinds = ['random', 'tied', 'hard']
  content = jnp.stack([make('random', 2200, seed=s)[1] for s in range(2)])
  masks = jnp.stack([jnp.stack([make(k, 2200, seed=s)[0] for k in kinds]) for s in range(2)])

  @jax.jit
  def together(masks, content):
    form = mask_regularizers.similarity
    of_image = jax.vmap(jax.value_and_grad(form), in_axes=(0, None))
    return jax.vmap(of_image)(masks, content)

  values, gradients = together(masks, content)
  for i in range(2):
    for j in range(3):
      expected, slope, scale = oracle(masks[i, j], content[i])
      assert float(values[i, j]) == pytest.approx(expected, abs=1e-6 * scale * 2200)
      np.testing.assert_allclose(gradients[i, j], slope, rtol=0, atol=1e-6 * scale)


def test_pictures_are_flattened_and_must_fit():
  mask, content = make('random', 12)
  expected, _, _ = oracle(mask, content)
  for form in FORMS:
    loss = jax.jit(form)(mask.reshape(3, 4, 1), content.reshape(3, 4, -1))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(TypeError):
      form(mask[:6], content)


def test_images_of_a_batch_on_several_devices_stay_where_they_are():
  mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
  pairs = [make('tied', 2200, seed=seed) for seed in range(8)]
  masks, content = (jax.device_put(jnp.stack(x), split) for x in zip(*pairs, strict=True))
  slopes = jax.jit(jax.vmap(jax.grad(mask_regularizers.similarity)), out_shardings=split)
  compiled = slopes.lower(masks, content).compile()
  assert not any(word in compiled.as_text()
                 for word in ('all-gather', 'all-reduce', 'all-to-all', 'collective-permute'))
  for gradient, pair in zip(compiled(masks, content), pairs, strict=True):
    _, slope, scale = oracle(*pair)
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-6 * scale)


def test_linear_form_keeps_only_a_gradient_of_the_masks_size():
  mask, content = make('random', 2200)
  pullback = jax.jit(lambda *x: jax.vjp(mask_regularizers.similarity, *x)[1])(mask, content)
  assert sum(x.size for x in jax.tree.leaves(pullback)) <= mask.size


def test_compilers_account_at_full_resolution_is_small():
  shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((16384,), (16384, 256))]
  compiled = jax.jit(jax.value_and_grad(mask_regularizers.similarity)).lower(*shapes).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < 20e6  # the content alone: 16.8e6


_FULL_RESOLUTION = """
import jax, jax.numpy as jnp, numpy as np
from maskgan_jax.losses import mask_regularizers
rng = np.random.default_rng(0)
mask = jnp.asarray(rng.uniform(size=16384), jnp.float32)
content = jnp.asarray(rng.normal(size=(16384, 256)), jnp.float32)
step = jax.jit(jax.value_and_grad(mask_regularizers.similarity)).lower(mask, content).compile()
def high_water_mark():
  return int(next(l for l in open('/proc/self/status') if 'VmHWM' in l).split()[1]) * 1024
with open('/proc/self/clear_refs', 'w') as file:
  file.write('5')  # begins anew
before = high_water_mark()
value, gradient = jax.block_until_ready(step(mask, content))
print(high_water_mark() - before)
assert np.isfinite(value) and np.isfinite(gradient).all()
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists('/proc/self/clear_refs'), reason="reads Linux's account")
def test_memory_at_full_resolution_is_under_100_mb():
  result = subprocess.run([sys.executable, '-c', _FULL_RESOLUTION], text=True, check=False,
                          capture_output=True, env={**os.environ, 'JAX_PLATFORMS': 'cpu'})
  assert result.returncode == 0, result.stderr
  assert int(result.stdout) < 100e6


def test_size_is_the_mean():
  for dtype in (jnp.float32, jnp.bfloat16):
    mask = jnp.asarray([[0.0, 1.0], [0.5, 0.5], [1.0, 0.25]], dtype)
    value, gradient = jax.value_and_grad(mask_regularizers.size)(mask)
    assert value.dtype == jnp.float32 and float(value) == pytest.approx(3.25 / 6)
    np.testing.assert_allclose(np.asarray(gradient, np.float32), 1 / 6, rtol=4e-3)


def test_total_variation_equals_its_definition():
  mask = np.random.default_rng(0).integers(0, 4, (2, 5, 4, 1)) / 3
  expected, slope = 0, np.zeros_like(mask)
  for b, y, x in np.ndindex(2, 5, 4):
    for dy, dx in ((1, 0), (0, 1)):
      if y + dy < 5 and x + dx < 4:
        difference = mask[b, y + dy, x + dx, 0] - mask[b, y, x, 0]
        expected += abs(difference)
        slope[b, y + dy, x + dx, 0] += np.sign(difference)
        slope[b, y, x, 0] -= np.sign(difference)
  value, gradient = jax.value_and_grad(mask_regularizers.total_variation)(
      jnp.asarray(mask, jnp.float32))
  assert float(value) == pytest.approx(expected, rel=1e-6)
  np.testing.assert_allclose(gradient, slope)
  one = [mask_regularizers.total_variation(jnp.asarray(m, jnp.float32)) for m in mask]
  assert float(sum(one)) == pytest.approx(expected, rel=1e-6)


def test_total_variation_of_flat_masks_has_no_gradient():
  for shape in ((1, 1, 1), (3, 4, 1), (1, 5, 1)):
    value, gradient = jax.value_and_grad(mask_regularizers.total_variation)(jnp.full(shape, 0.4))
    assert float(value) == 0 and np.array_equal(gradient, np.zeros(shape))
