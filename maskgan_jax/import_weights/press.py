"""Checkpoints of Press et al. (github.com/oripress/ContentDisentanglement).

State dicts `e1` (our common_encoder), `e2`, `decoder` and `disc`. Their instance normalisation has
no parameters. See sequentials.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from maskgan_jax.import_weights import sequentials
from maskgan_jax.import_weights.base import Converted

FILES = ('checkpoint',)

_NETWORKS = {
  'common_encoder': (('e1',), 'full'),
  'separate_encoder': (('e2',), 'full'),
  'decoder': (('decoder',), 'main'),
  'discriminator': (('disc',), 'classify'),
}


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: one, a dict of state dicts of arrays.

  UserError as of `sequentials.convert`.
  """
  (path,), (checkpoint,) = paths, files
  converted = sequentials.convert(path, checkpoint, 'press', _NETWORKS)
  # The authors crop what they translate as they do what they train on.
  converted.config.data.update(source='celeba', path='data/celeba', crop='center:178')
  return converted
