"""Checkpoints of content transfer's authors (github.com/rmokady/mbu-content-tansfer).

State dicts `e1` (our common_encoder), `e2`, `d_a`, `d_b` and `disc`. In the published files the
decoders are called `decoder` and `mustacher`. See sequentials.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from maskgan_jax.import_weights import sequentials
from maskgan_jax.import_weights.base import Converted

FILES = ('checkpoint',)

_NETWORKS = {
  'common_encoder': (('e1',), 'full'),
  'separate_encoder': (('e2',), 'full'),
  'decoder_a': (('d_a', 'decoder'), 'main'),
  'decoder_b': (('d_b', 'mustacher'), 'main'),
  'discriminator': (('disc',), 'classify'),
}


def convert(paths: Sequence[str], files: Sequence[Mapping[str, Any]]) -> Converted:
  """Converts `files`, read from `paths`: one, a dict of state dicts of arrays.

  UserError as of `sequentials.convert`.
  """
  (path,), (checkpoint,) = paths, files
  return sequentials.convert(path, checkpoint, 'content_transfer', _NETWORKS)
