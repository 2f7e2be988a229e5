"""Parameters that a run does not begin afresh: those of another run, or of a file."""

import os
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.methods import base
from maskgan_jax.runs import checkpoints


def parameters(method: base.Method, config: ml_collections.ConfigDict) -> base.Params:
  """Group -> parameters, as NumPy arrays, that take the place of fresh ones.

  They are what the method has of its own (`method.pretrained()`, e.g. a perceptual network read
  from a file) and, with `config.init_from`, groups of another run's newest checkpoint: those of
  `config.init_groups`, or all that `method.groups_of_earlier_stages` names.

  Raises:
    UserError: no such run or group, or one of other shapes.
  """
  found = method.pretrained() if hasattr(method, 'pretrained') else {}
  if config.init_groups and not config.init_from:
    raise errors.UserError('config.init_groups is set, but config.init_from names no run')
  if config.init_from:
    found = {**found, **_of_run(method, config)}
  expected = base.abstract_model(method, config)['params']
  for name, tree in found.items():
    if name not in expected:
      raise errors.UserError(f'config.init_groups: this model has no parameter group {name!r}'
                             f'{errors.nearest(name, expected)}; it has '
                             f'{", ".join(sorted(expected))}')
    _check(name, tree, expected[name], config)
  return found


def _of_run(method, config) -> base.Params:
  """The groups that `config` asks of the run that it names."""
  path = os.path.expanduser(config.init_from)
  other = run_config.load(path)
  with checkpoints.Checkpoints(path, read_only=True) as saved:
    step, model = saved.restore_model(base.abstract_model(methods.make(other), other))
  params = {**model['params'], **model['ema_params']}
  names = config.init_groups or getattr(method, 'groups_of_earlier_stages', ())
  if not names:
    raise errors.UserError(f'config.init_from is set, and {config.method} has no earlier stages: '
                           'name in config.init_groups what to take; groups: '
                           f'{", ".join(sorted(params))}')
  for name in names:
    if name not in params:
      raise errors.UserError(f'{path}, which config.init_from names, has no parameter group '
                             f'{name!r}{errors.nearest(name, params)}; groups: '
                             f'{", ".join(sorted(params))}')
  if jax.process_index() == 0:
    unfinished = f', of {other.num_steps}' if step < other.num_steps else ''
    print(f'beginning with {", ".join(names)} of {path}, step {step}{unfinished}', flush=True)
  return jax.tree.map(np.asarray, {name: params[name] for name in names})


def _check(name: str, tree: Any, expected: Any, config) -> None:
  shapes, wanted = ({jax.tree_util.keystr(path, simple=True, separator='/'): tuple(leaf.shape)
                     for path, leaf in jax.tree_util.tree_leaves_with_path(t)}
                    for t in (tree, expected))
  for key in sorted({*shapes, *wanted}):
    if shapes.get(key) != wanted.get(key):
      def spell(shape):
        return 'absent' if shape is None else str(list(shape))
      where = f' ({config.init_from})' if config.init_from else ''
      raise errors.UserError(f'parameters {name}/{key} to begin with{where} are '
                             f'{spell(shapes.get(key))}, the model wants '
                             f'{spell(wanted.get(key))}: config.model must be the same')
