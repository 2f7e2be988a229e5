"""How alike are a translation and what it should be? Both directions, as EGSC-IT's Table 2 asks.

`ab` is t(a, b), and `ba` the reverse, t(b, a), for methods that translate both ways.

Against the true translation, where the data know it:

  ab_ssim, ab_psnr                    of the translation
  do_nothing_ab_ssim, ..._psnr        of the untranslated picture

Against the exemplar, which is what the authors' script measures for Table 2:

  ab_exemplar_ssim                    of the translation
  do_nothing_ab_exemplar_ssim         of the untranslated picture
  truth_ab_exemplar_ssim              of the true translation: the most that a right one can get

Where there is a truth, this is measured for methods without an exemplar too, with the picture that
the truth is after, as Table 2 does with CycleGAN. (The authors' script reads pictures that SciPy's
imsave had stretched, each from its darkest to its brightest value; here pictures are as the model
makes them, which differs where none is black.)

The two must not be compared: an exemplar shows another content, so that even perfect translations
are unlike it (0.48 and 0.23 on single digits), and copying the exemplar would get 1.

SSIM is that of scikit-image's defaults, which the authors ran: uniform windows of 7x7 pixels inside
the picture, sample covariance, data range 255, the mean over channels. (The evaluator `truth` has
the Gaussian windows of the SSIM paper.) PSNR is in dB.

All are means over the pairs, `..._std` their standard deviations. `NAME[GROUP]` is the mean over
the pairs whose translated picture is in a group of `config.data.apart`.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import _image_measures as image_measures
from maskgan_jax.evaluators import base

DIRECTIONS = ('ab', 'ba')


class Evaluator:
  """See the module's docstring and `base.Evaluator`."""

  def __init__(self):
    self._values = base.PerImage()

  def missing(self, batch, abilities):
    if 'exemplar' in abilities or any(f'truth_{d}' in batch for d in directions(abilities)):
      return ''
    return 'the method takes no exemplar, and the data have no true translations'

  def update(self, batch, outputs, valid):
    for direction in directions(outputs.abilities):
      source, exemplar = (batch[name] for name in direction)
      image = (outputs.translation if direction == 'ab' else outputs.back).image
      truth = batch.get(f'truth_{direction}')
      values = {}
      if truth is not None:
        for prefix, picture in (('', image), ('do_nothing_', source)):
          values[f'{prefix}{direction}_ssim'] = _ssim(picture, truth)
          values[f'{prefix}{direction}_psnr'] = image_measures.psnr(picture, truth)
      if 'exemplar' in outputs.abilities or truth is not None:
        for prefix, picture in (('', image), ('do_nothing_', source), ('truth_', truth)):
          if picture is not None:
            values[f'{prefix}{direction}_exemplar_ssim'] = _ssim(picture, exemplar)
      groups = batch.get(f'{direction[0]}_apart')
      for name, numbers in values.items():
        self._values.add(name, numbers, valid)
        if name.endswith('_ssim') and not name.startswith('do_nothing'):
          for i, group in enumerate(outputs.apart):
            self._values.add(f'{name}[{group}]', numbers, valid & groups[:, i])

  def results(self) -> Iterator[tuple[str, float]]:
    for name, mean in self._values.means():
      yield name, mean
      if not name.endswith(']'):
        yield f'{name}_std', self._values.summary(name)[1]


def directions(abilities: frozenset[str]) -> tuple[str, ...]:
  """Those that a method translates in."""
  return DIRECTIONS if 'reverse' in abilities else DIRECTIONS[:1]


def _ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  return image_measures.ssim(x, y, **image_measures.SCIKIT_IMAGE)
