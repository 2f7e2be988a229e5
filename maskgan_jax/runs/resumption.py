"""Whether training may go on from a checkpoint: it has to be of the same config and data."""

from collections.abc import Mapping
import dataclasses
import json
import os
from typing import Any

import jax
import ml_collections

from maskgan_jax import errors
from maskgan_jax.runs import config as run_config

_HASH = 16  # characters of the hash of a config or of data


@dataclasses.dataclass(frozen=True)
class Identity:
  """The config and the data that a run's checkpoints have to agree with; `of` makes one.

  Attributes:
    config: what may not change on resuming, see `run_config.fixed`, as JSON gives it back.
    defaults: the values of the keys that `config` leaves out.
    fingerprint: hashes of config and data, all that earlier versions wrote into a checkpoint.
    earlier_configs: hashes with which earlier versions stored the same config; empty for any.
    data: changes with names, labels, division and transform; '' where there was no training.
    counts: pictures by split and domain.
    accepts_changed_data: whether training may go on though the data have changed.
  """
  config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  fingerprint: str = ''
  earlier_configs: frozenset[str] = frozenset()
  data: str = ''
  counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
  accepts_changed_data: bool = False

  @classmethod
  def of(cls, config: ml_collections.ConfigDict, data=None) -> 'Identity':
    """Returns the identity of a config and its `pipeline.Data`; without data, of weights alone."""
    defaults = run_config.default(config.method)
    config_hash = run_config.fingerprint(config)
    counts = data.describe()['counts'] if data else {}
    return cls(
        _plain(run_config.fixed(config)), _plain(dict(run_config.flatten(defaults))),
        config_hash + (data.fingerprint if data else ''), _earlier_hashes(config, defaults),
        data.identity if data else '',
        {f'{split} {part}': count for split, parts in counts.items()
         for part, count in parts.items() if part in ('a', 'b')},
        config.accept_changed_data)

  def notes(self) -> dict[str, Any]:
    """Returns what a checkpoint keeps of it, JSON-able."""
    return {'fingerprint': self.fingerprint,
            'identity': {'config': self.config, 'data': self.data, 'counts': self.counts}}

  def check(self, notes: Mapping[str, Any], place: str | os.PathLike) -> None:
    """Raises UserError if the checkpoint at `place`, with these notes, is of another run.

    Changed data are said where they are accepted, and so are files that changed under names that
    stayed.
    """
    fingerprint, identity = notes['fingerprint'], notes.get('identity')
    if not fingerprint:
      return
    if len(fingerprint) <= _HASH:
      workdir = os.path.dirname(os.path.dirname(place))
      raise errors.UserError(
          f'{place} holds weights that no training left; begin with them in another --workdir, '
          f'with --config.init_from={workdir} and their groups in config.init_groups')
    self._check_config(fingerprint, identity, place)
    same_files = fingerprint[_HASH:] == self.fingerprint[_HASH:]
    if not (identity['data'] == self.data if identity else same_files):
      self._refuse_or_say(_changes(identity['counts'] if identity else {}, self.counts), place)
    elif not same_files:
      _say('files of pictures or masks have changed since this checkpoint, under the same names; '
           'training goes on with what they are now')

  def _check_config(self, fingerprint, identity, place):
    if identity:
      text = run_config.differences({**self.defaults, **identity['config']},
                                    {**self.defaults, **self.config})
    elif self.earlier_configs and fingerprint[:_HASH] not in self.earlier_configs:
      text = 'which keys differ, the earlier version that wrote it did not say'
    else:
      text = ''
    if text:
      raise errors.UserError(f'{place} is of another config ({text}); train in another --workdir, '
                             'or with the config of that checkpoint')

  def _refuse_or_say(self, changes, place):
    text = f'the data have changed since {place} was saved: {changes}'
    if not self.accepts_changed_data:
      raise errors.UserError(
          f'{text}. Put them back as they were, train in another --workdir, or go on with what '
          'they are now: --config.accept_changed_data=True')
    _say(f'{text}; training goes on with what they are now')


def _plain(values):
  """Returns values as JSON gives them back, so that they compare with a checkpoint's."""
  return json.loads(json.dumps(values, default=str))


def _earlier_hashes(config, defaults):
  """Returns the hashes of the config in earlier versions, whose fixed keys were more."""
  if config.data.attributes_file:  # the table may have moved since, from an unknown place
    return frozenset()
  reset = run_config.from_json(run_config.to_json(config))
  for key in run_config.FREE_SINCE:
    run_config.set_key(reset, key, dict(run_config.flatten(defaults))[key])
  return frozenset({run_config.fingerprint(config), run_config.fingerprint(reset)})


def _changes(before, now):
  """Says in words how data differ, by the numbers of pictures where those do."""
  texts = [f'{name} has {now[name]} pictures and had {count}'
           for name, count in before.items() if count != now.get(name, count)]
  return ', '.join(texts) or 'names, labels, order or division of the pictures differ'


def _say(text):
  if jax.process_index() == 0:
    print(text, flush=True)
