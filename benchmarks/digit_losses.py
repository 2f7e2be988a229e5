"""What EGSC-IT's losses say of pictures whose quality is known: right colours, wrong ones, none.

  python benchmarks/digit_losses.py --mnist=DIRECTORY_WITH_MNIST

Trains a perceptual network as `:quick` of configs/digits_single.py has it (VGG-19's shape, width 8,
the ten digits, 1,000 steps of 8 + 8 pictures), then prints, of 200 training digits in the colours
of 200 others, the weighted terms L_s (1,000; and of each layer), L_c (10) and color_moments (20).
"""

import argparse
import gzip
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import egsc_it
from maskgan_jax.pretrained_networks import vgg19

PAIRS, STEPS, BATCH = 200, 1_000, 16
COLORS = 255 * np.eye(3)


def read(folder, name, offset):
  with gzip.open(os.path.join(folder, f'train-{name}-ubyte.gz')) as file:
    return np.frombuffer(file.read(), np.uint8, offset=offset)


def paint(digits, foreground, background):
  """Returns digits bool [B, H, W] in colours [B, 3] of 0..255, float32 in [-1, 1]."""
  foreground, background = foreground[:, None, None], background[:, None, None]
  return np.float32(np.where(digits[..., None], foreground, background) / 127.5 - 1)


def draw_colors(random, count):
  """Returns colours of digits, of backgrounds, and the third ones, [count, 3] each."""
  order = np.array([random.permutation(3) for _ in range(count)])
  return COLORS[order[:, 0]], COLORS[order[:, 1]], COLORS[order[:, 2]]


def draw_greys(random, count):
  """Returns white or black [count, 3], for digits."""
  return np.where(random.rand(count, 1) < 0.5, 255.0, 0.0) * np.ones(3)


def train(digits, labels, random):
  """Returns the network, its parameters, and its accuracy over the last 200 batches."""
  network = vgg19.VGG19(8, 10)
  params = network.init(
    jax.random.key(0), jnp.zeros((1, 28, 28, 3)), method='classify'
  )['params']
  optimizer = optax.adam(3e-4)
  state = optimizer.init(params)

  def loss_of(params, images, labels):
    logits = network.apply({'params': params}, images, method='classify')
    loss = optax.sigmoid_binary_cross_entropy(logits, jax.nn.one_hot(labels, 10)).sum(
      -1
    )
    return loss.mean(), (logits.argmax(-1) == labels).mean()

  @jax.jit
  def step(params, state, images, labels):
    (_, accuracy), slopes = jax.value_and_grad(loss_of, has_aux=True)(
      params, images, labels
    )
    updates, state = optimizer.update(slopes, state)
    return optax.apply_updates(params, updates), state, accuracy

  accuracies = []
  for _ in range(STEPS):
    chosen = random.randint(0, len(digits), BATCH)
    foreground, background, _ = draw_colors(random, BATCH)
    grey = draw_greys(random, BATCH)
    colored = np.arange(BATCH)[:, None] % 2 == 0
    images = paint(
      digits[chosen],
      np.where(colored, foreground, grey),
      np.where(colored, background, 255 - grey),
    )
    params, state, accuracy = step(params, state, images, labels[chosen])
    accuracies.append(float(accuracy))
  return network, params, np.mean(accuracies[-200:])


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--mnist', required=True, help="folder of MNIST's four files")
  folder = parser.parse_args().mnist
  random = np.random.RandomState(0)
  digits = read(folder, 'images-idx3', 16).reshape(-1, 28, 28) > 127
  labels = read(folder, 'labels-idx1', 8).astype(np.int32)
  network, params, accuracy = train(digits[5_000:], labels[5_000:], random)
  print(f'accuracy over the last 200 batches {accuracy:.3f}')

  sources, others = digits[1_000 : 1_000 + PAIRS], digits[3_000 : 3_000 + PAIRS]
  foreground, background, third = draw_colors(random, PAIRS)
  grey = draw_greys(random, PAIRS)
  exemplars, untranslated = (
    paint(others, foreground, background),
    paint(sources, grey, 255 - grey),
  )
  pictures = {
    'the truth': paint(sources, foreground, background),
    'the digit in the third colour': paint(sources, third, background),
    'the digit half way to its colour': paint(
      sources, (foreground + background) / 2, background
    ),
    'colours swapped': paint(sources, background, foreground),
    'a blank': paint(np.zeros_like(sources), foreground, background),
    'the source as it is': untranslated,
  }

  @jax.jit
  def features(images):
    return [
      reconstruction.unit_length(f) for f in network.apply({'params': params}, images)
    ]

  of_exemplars, of_sources = features(exemplars), features(untranslated)
  for name, images in pictures.items():
    of_images = features(images)
    layers = []
    for one, other in zip(of_images, of_exemplars, strict=True):
      distance = reconstruction.l1(reconstruction.gram(one), reconstruction.gram(other))
      layers.append(f'{1_000 * distance:.2f}')
    content = 10 * reconstruction.content(of_images, of_sources)
    colors = 20 * egsc_it._color_distance(images, exemplars)
    print(
      f'{name:33} L_s {1_000 * reconstruction.style(of_images, of_exemplars):6.2f} '
      f'({" ".join(layers)})  L_c {content:.2f}  color_moments {colors:.2f}'
    )


if __name__ == '__main__':
  main()
