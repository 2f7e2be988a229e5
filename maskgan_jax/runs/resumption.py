"""Whether training may go on from a checkpoint: it must be of the same config and data."""

from collections.abc import Mapping
import dataclasses
import json
import os
from typing import Any

import jax
import ml_collections

from maskgan_jax import config as run_config
from maskgan_jax import errors


@dataclasses.dataclass(frozen=True)
class Identity:
  """The config and the data that a run's checkpoints have to agree with; `of` makes one.

  Attributes:
    config: what may not change on resuming, see `config.fixed`, as JSON gives it back.
    defaults: the values of keys that the config of an earlier checkpoint lacks.
    data: changes with names, labels, division and transform; '' where there was no training.
    files: changes with the contents of pictures and masks, too.
    counts: pictures by split and domain.
    accepts_changed_data: whether training may go on though the data have changed.
  """

  config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  data: str = ''
  files: str = ''
  counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
  accepts_changed_data: bool = False

  @classmethod
  def of(cls, config: ml_collections.ConfigDict, data=None) -> 'Identity':
    """Returns the identity of a config and its `pipeline.Data`; without data, of weights alone."""
    identity = cls(
      config=_as_stored(run_config.fixed(config)),
      defaults=_as_stored(run_config.fixed(run_config.default(config.method))),
      accepts_changed_data=config.accept_changed_data,
    )
    if data is None:
      return identity

    # Counts let the message about changed data say where they have changed.
    counts = {}
    for split, numbers in data.describe()['counts'].items():
      for domain in 'ab':
        counts[f'{split} {domain}'] = numbers[domain]
    return dataclasses.replace(
      identity, data=data.identity, files=data.fingerprint, counts=counts
    )

  def notes(self) -> dict[str, Any]:
    """Returns what a checkpoint keeps of it, JSON-able."""
    return {
      'config': self.config,
      'data': self.data,
      'files': self.files,
      'counts': self.counts,
    }

  def check(self, notes: Mapping[str, Any], place: str | os.PathLike) -> None:
    """Raises a UserError if the checkpoint at `place`, with these notes, is of another run.

    Where changed data are accepted, it prints what changed; so it does for files that changed under
    names that stayed.
    """
    if 'files' not in notes:
      raise errors.UserError(
        f'{place} is of an earlier version of maskgan_jax, whose runs can be translated with and '
        'measured, but not resumed; train in another --workdir'
      )
    if not notes['data']:
      workdir = os.path.dirname(os.path.dirname(place))
      raise errors.UserError(
        f'{place} holds weights that no training left; begin with them in another --workdir, '
        f'with --config.init_from={workdir} and their groups in config.init_groups'
      )

    # A key that an earlier version did not have counts as its default.
    changed_keys = run_config.differences(
      {**self.defaults, **notes['config']}, {**self.defaults, **self.config}
    )
    if changed_keys:
      raise errors.UserError(
        f'{place} is of another config ({changed_keys}); train in another '
        '--workdir, or with the config of that checkpoint'
      )

    # Data may change where the user accepts it, and files under their names anyway.
    if notes['data'] != self.data:
      self._refuse_or_say(_changes(notes['counts'], self.counts), place)
    elif notes['files'] != self.files:
      _say(
        'files of pictures or masks have changed since this checkpoint, under the same names; '
        'training goes on with what they are now'
      )

  def _refuse_or_say(self, changes: str, place: str | os.PathLike) -> None:
    text = f'the data have changed since {place} was saved: {changes}'
    if not self.accepts_changed_data:
      raise errors.UserError(
        f'{text}. Put them back as they were, train in another --workdir, or go on with what '
        'they are now: --config.accept_changed_data=True'
      )
    _say(f'{text}; training goes on with what they are now')


def _as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
  """Returns values as JSON gives them back, so that they compare with a checkpoint's."""
  return json.loads(json.dumps(values, default=str))


def _changes(before: Mapping[str, int], now: Mapping[str, int]) -> str:
  """Says in words how data differ: by numbers of pictures, if these differ."""
  texts = []
  for name, count in before.items():
    if now.get(name, count) != count:
      texts.append(f'{name} has {now[name]} pictures and had {count}')
  return ', '.join(texts) or 'names, labels, order or division of the pictures differ'


def _say(text: str) -> None:
  """Prints a line, once for all processes."""
  if jax.process_index() == 0:
    print(text, flush=True)
