"""Regions that follow what they showed in the first frame."""

import numpy as np
from PIL import Image
import pytest

from maskgan_jax.translator.enlarging import Box
from maskgan_jax.translator.following import Follower

HEIGHT, WIDTH = 120, 160


def smooth_noise(seed, height, width):
  coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
  return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def frame(top, left, *, brightness=1.0, noise=0.0):
  """Returns a frame with a textured thing of 64 x 64 pixels on a ground that stays."""
  picture = smooth_noise(0, HEIGHT, WIDTH) // 4 + 90
  picture[top:top + 64, left:left + 64] = smooth_noise(1, 64, 64)
  grain = noise * np.random.default_rng(top * left).normal(size=picture.shape)
  return np.clip(picture * brightness + grain, 0, 255).astype(np.uint8)


PATH = [(20, 30), (20, 34), (23, 43), (30, 60), (40, 80), (52, 94), (48, 76), (30, 60)]


@pytest.mark.parametrize('options', [{}, {'brightness': 0.7}, {'noise': 8.0}])
def test_what_moves_is_followed(options):
  follow = Follower(frame(*PATH[0]), Box(20, 30, 84, 94))
  for top, left in PATH:
    box = follow(frame(top, left, **options))
    assert (box.bottom - box.top, box.right - box.left) == (64, 64)
    assert max(abs(box.top - top), abs(box.left - left)) <= 1
  assert follow.lost == 0


def test_the_region_stays_inside():
  follow = Follower(frame(20, 30), Box(10, 20, 100, 110))
  for left in (30, 44, 60, 78, 94):
    box = follow(frame(20, left))
    assert box.top >= 0 and box.bottom <= HEIGHT and box.left >= 0 and box.right <= WIDTH
  assert box.right >= WIDTH - 4


def test_what_is_gone_is_counted_and_found_again():
  follow = Follower(frame(20, 30), Box(20, 30, 84, 94))
  follow(frame(20, 34))
  assert follow(smooth_noise(5, HEIGHT, WIDTH)) == (20, 34, 84, 98) and follow.lost == 1
  assert abs(follow(frame(22, 40)).left - 40) <= 1 and follow.lost == 1
