r"""Draws the same faces with each difficulty of the avatars benchmark, and their exact answers.

  python benchmarks/hard_faces.py --output=docs/hard_faces.png

Two columns belong together: a face, and the answer to taking its glasses off.
"""

import argparse

from PIL import Image

from maskgan_jax.data.drawn import avatar_faces, avatar_scenes
from maskgan_jax.runs import pictures

_SIZE = 64


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--output', required=True)
  parser.add_argument('--faces', type=int, default=4)
  options = parser.parse_args()

  # Faces of the test with glasses.
  indices = []
  for index in range(100):
    if avatar_faces.recipe(1, 'test', index).glasses:
      indices.append(index)
  rows, names = [], []
  for kinds in (
    (),
    *((kind,) for kind in avatar_scenes.DIFFICULTIES),
    avatar_scenes.DIFFICULTIES,
  ):
    row = []
    for index in indices[: options.faces]:
      face = avatar_faces.recipe(1, 'test', index)
      scene = avatar_scenes.Scene(1, 'test', index, kinds)
      row.append(scene.render(face, _SIZE))
      row.append(scene.render(avatar_faces.without(face, ['Eyeglasses']), _SIZE))
    rows.append(row)
    names.append(
      'plain' if not kinds else kinds[0] if len(kinds) == 1 else 'all of them'
    )
  sheet = pictures.grid(
    rows, column_names=['face', 'without'] * options.faces, row_names=names, scale=1
  )
  Image.fromarray(sheet).save(options.output, optimize=True)


if __name__ == '__main__':
  main()
