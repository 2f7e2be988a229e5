"""Three ways of resizing to 299x299 pixels, against PyTorch, torch-fidelity, Pillow and loops."""

import jax
import numpy as np
from PIL import Image
import pytest

from helpers.comparing_inception import torch_fidelity
from helpers.simple_method import pictures
from maskgan_jax import errors
from maskgan_jax.evaluators import _resizing as resizing

SHAPES = [(64, 64), (16, 40), (299, 299), (400, 310), (700, 299)]


def images_of(shape):
  """Returns noise, for averaging, and a picture with smooth parts, for borders."""
  noise = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
  ramp = np.linspace(0, 255, shape[0] * shape[1] * 3).reshape(*shape, 3)
  noise[1] = ramp.astype(np.uint8)
  return noise


def got(images, protocol):
  return np.asarray(jax.jit(resizing.prepare, static_argnums=1)(images, protocol))


@pytest.mark.parametrize('shape', SHAPES)
def test_pytorch_fid_is_torchs_bilinear(torch, shape):
  images = images_of(shape)
  # In float64, because in float32 its positions are off by up to 1e-4 of a pixel.
  x = torch.from_numpy(images.transpose(0, 3, 1, 2)).double() / 255
  want = 2 * torch.nn.functional.interpolate(x, size=(299, 299), mode='bilinear',
                                             align_corners=False) - 1
  np.testing.assert_allclose(got(images, 'pytorch_fid'), want.numpy().transpose(0, 2, 3, 1),
                             atol=2e-5)


@pytest.mark.parametrize('shape', SHAPES)
def test_tf1_is_torch_fidelitys(torch, shape):
  torch_fidelity()
  from torch_fidelity import interpolate_compat_tensorflow as compat
  images = images_of(shape)
  x = torch.from_numpy(images.transpose(0, 3, 1, 2)).float()
  want = (compat.interpolate_bilinear_2d_like_tensorflow1x(
      x, size=(299, 299), align_corners=False) - 128) / 128
  # Their positions are float32, which is off by some 1e-5 of a pixel's width.
  np.testing.assert_allclose(got(images, 'tf1'), want.numpy().transpose(0, 2, 3, 1), atol=2e-4)


def test_tf1_by_a_loop():
  images = pictures(1, size=7)
  result = 128 * got(images, 'tf1')[0] + 128
  for y, x in ((0, 0), (1, 2), (150, 43), (298, 298), (290, 100)):
    v, u = y * 7 / 299, x * 7 / 299
    top, left = int(v), int(u)
    bottom, right = min(top + 1, 6), min(left + 1, 6)
    image = images[0].astype(float)
    upper = image[top, left] * (1 - u + left) + image[top, right] * (u - left)
    lower = image[bottom, left] * (1 - u + left) + image[bottom, right] * (u - left)
    want = upper * (1 - v + top) + lower * (v - top)
    np.testing.assert_allclose(result[y, x], want, atol=1e-3)


@pytest.mark.parametrize('shape', SHAPES)
def test_clean_is_pillows_bicubic_on_floats(shape):
  images = images_of(shape)
  planes = [[np.asarray(Image.fromarray(image[..., c].astype(np.float32)).resize(
      (299, 299), Image.Resampling.BICUBIC)) for c in range(3)] for image in images]
  want = np.clip(np.array(planes).transpose(0, 2, 3, 1), 0, 255)
  result = got(images, 'clean')
  np.testing.assert_allclose(result, (want - 128) / 128, atol=2e-5)
  if shape != (299, 299):
    assert (want % 1 > 0.1).any()  # not rounded
    assert want.min() == 0 and want.max() == 255  # cut


def test_protocols_differ_and_have_their_own_grey():
  images = images_of((64, 64))
  results = {protocol: got(images, protocol) for protocol in resizing.PROTOCOLS}
  for one, two in (('pytorch_fid', 'clean'), ('pytorch_fid', 'tf1'), ('clean', 'tf1')):
    assert np.abs(results[one] - results[two]).mean() > 0.01
  plain = np.full((1, 30, 20, 3), 255, np.uint8)
  for protocol, white, grey in (('pytorch_fid', 1, 128 / 127.5 - 1), ('clean', 127 / 128, 0),
                                ('tf1', 127 / 128, 0)):
    result = got(plain, protocol)
    assert result.shape == (1, 299, 299, 3) and result.dtype == np.float32
    np.testing.assert_allclose(result, white, atol=1e-5)
    np.testing.assert_allclose(got(plain // 255 * 128, protocol), grey, atol=1e-5)


def test_unknown_protocols_are_named_with_the_nearest():
  with pytest.raises(errors.UserError, match="'pytorchfid'.*did you mean 'pytorch_fid'.*tf1"):
    resizing.prepare(pictures(1), 'pytorchfid')
