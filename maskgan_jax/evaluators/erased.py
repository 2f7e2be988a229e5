"""Measures whether what is erased from an exemplar's mask stays behind: section 4.2 of LOMIT.

Of the attributes that are transferred, `config.data.erase` names one. Its region is erased from the
predicted mask of the exemplar, so the right answer is the source wearing the exemplar's others and
keeping its own of this one. The errors are to that answer, before and after erasing:

  erased_error_before, erased_error                 mean absolute error, 1 being from black to white
  erased_error_inside_before, erased_error_inside   the same where the erased attribute would show
  do_nothing_erased_error, ..._inside               the same of the untranslated source

All are means over the pairs in which source and exemplar wear it differently, and in which there is
something of it in the exemplar to erase.
"""

from collections.abc import Iterator

import numpy as np

from maskgan_jax.evaluators import base
from maskgan_jax.evaluators.truth import mean_error
from maskgan_jax.runs.measures import Quantity


class Evaluator(base.Evaluator):
  """See the module's docstring and `base.Evaluator`."""

  order = 20
  quantities = (
    Quantity(
      'error',
      ('erased',),
      title='error after erasing',
      better=-1,
      digits=4,
      meaning='How far the translation is from the right answer once a region '
      "of the exemplar's mask is erased: the source with everything but "
      "that region's attribute.",
    ),
    Quantity(
      'error_before',
      ('erased',),
      title='error before erasing',
      better=-1,
      digits=4,
      meaning='The same without erasing it.',
    ),
    Quantity(
      'error_inside',
      ('erased',),
      title='error inside after erasing',
      better=-1,
      digits=4,
      meaning="The same only where the region's attribute would show.",
    ),
    Quantity(
      'error_inside_before',
      ('erased',),
      title='error inside before erasing',
      better=-1,
      digits=4,
      meaning='The same without erasing it.',
    ),
  )

  def __init__(self):
    self._values = base.PerImage()

  def missing(self, batch, abilities):
    if 'exemplar_mask' not in abilities:
      return "the method takes no exemplar's mask"
    if 'truth_ab_erased' not in batch:
      return (
        'the data do not say what erasing would do (config.data.erase; only avatars do)'
      )
    return ''

  def update(self, batch, outputs, valid):
    region, erase = batch['a_erase'] > 0.5, batch['b_erase']
    pixels = (1, 2, 3)
    counts = valid & region.any(axis=pixels) & erase.any(axis=pixels)
    if not counts.any():
      return

    # The exemplar's mask loses the erased region; all else stays as it was.
    everywhere = np.ones_like(region)
    before = outputs.translation
    after = outputs.translate_with(before.exemplar_mask * (1 - erase))
    for name, image in (
      ('erased_error{}_before', before.image),
      ('erased_error{}', after.image),
      ('do_nothing_erased_error{}', batch['a']),
    ):
      for suffix, pixels in (('', everywhere), ('_inside', region)):
        error = mean_error(image, batch['truth_ab_erased'], pixels)
        self._values.add(name.format(suffix), error, counts)

  def results(self) -> Iterator[tuple[str, float]]:
    return self._values.means()
