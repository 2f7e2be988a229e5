"""Small clips to translate: a bright square that moves over a coloured ground."""

import os

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64


def drawn_frame(number, height=HEIGHT, width=WIDTH):
  """Returns a frame of few colours, uint8 [height, width, 3]."""
  y, x = np.mgrid[:height, :width]
  picture = np.stack([x * 2, y * 3, 90 + 0 * x], axis=-1) // 16 * 16
  picture[20:32, 8 + 2 * number:24 + 2 * number] = (250, 240, 10)
  return picture.astype(np.uint8)


def frames_of(count):
  """Returns so many frames."""
  return [drawn_frame(number) for number in range(count)]


def animated(path, pictures, duration=40, **options):
  """Writes an animated picture; returns its path."""
  lossless = {'lossless': True} if str(path).endswith('.webp') else {}
  first, *others = map(Image.fromarray, pictures)
  first.save(path, save_all=True, append_images=others, duration=duration, **lossless, **options)
  return str(path)


def numbered(folder, pictures):
  """Writes a folder of numbered pictures; returns its path."""
  os.makedirs(folder)
  for number, picture in enumerate(pictures):
    Image.fromarray(picture).save(os.path.join(folder, f'shot_{number + 8:02d}.png'))
  return str(folder)


def read_all(path):
  """Returns the frames of an animated picture and their durations."""
  pictures, durations = [], []
  with Image.open(path) as image:
    for number in range(image.n_frames):
      image.seek(number)
      pictures.append(np.array(image.convert('RGB')))
      durations.append(image.info.get('duration'))
  return pictures, durations
