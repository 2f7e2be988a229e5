"""Parameters with which a run begins in place of fresh ones: of another run, or of a file."""

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
  """Returns the groups that take the place of fresh ones: name -> parameters, as NumPy arrays.

  They are the method's pretrained ones (`method.pretrained()`, e.g. a perceptual network read from
  a file) and, with `config.init_from`, groups of another run's newest checkpoint: those of
  `config.init_groups`, or all that `method.groups_of_earlier_stages` names.

  Raises:
    UserError: no such run or group, or one of other shapes.
  """
  # Groups of another run replace pretrained ones of the same name.
  groups = method.pretrained()
  if config.init_groups and not config.init_from:
    raise errors.UserError(
      'config.init_groups is set, but config.init_from names no run'
    )
  if config.init_from:
    groups = {**groups, **_of_run(method, config)}

  # Every group must fit the model.
  model = base.abstract_model(method, config)['params']
  for name, params in groups.items():
    if name not in model:
      raise errors.UserError(
        f'config.init_groups: this model has no parameter group {name!r}'
        f'{errors.nearest(name, model)}; it has '
        f'{", ".join(sorted(model))}'
      )
    _check_shapes(name, params, model[name], config.init_from)
  return groups


def _of_run(method: base.Method, config: ml_collections.ConfigDict) -> base.Params:
  """Reads the groups that a config takes from the run that it names."""
  path = os.path.expanduser(config.init_from)
  other = run_config.load(path)
  with checkpoints.Checkpoints(path, read_only=True) as saved:
    step, model = saved.restore_model(base.abstract_model(methods.make(other), other))
  params = {**model['params'], **model['ema_params']}

  # Without names, it is what the method takes over from an earlier stage.
  names = config.init_groups or method.groups_of_earlier_stages
  if not names:
    raise errors.UserError(
      f'config.init_from is set, and {config.method} has no earlier stages: '
      'name in config.init_groups what to take; groups: '
      f'{", ".join(sorted(params))}'
    )
  for name in names:
    if name not in params:
      raise errors.UserError(
        f'{path}, which config.init_from names, has no parameter group '
        f'{name!r}{errors.nearest(name, params)}; groups: '
        f'{", ".join(sorted(params))}'
      )
  if jax.process_index() == 0:
    unfinished = f', of {other.num_steps}' if step < other.num_steps else ''
    print(
      f'beginning with {", ".join(names)} of {path}, step {step}{unfinished}',
      flush=True,
    )
  return jax.tree.map(np.asarray, {name: params[name] for name in names})


def _check_shapes(group: str, params: Any, model: Any, init_from: str) -> None:
  """Raises a UserError for the first parameter whose shape is not the model's.

  Args:
    group: its name.
    params: the parameters to begin with.
    model: the same tree of abstract arrays, as the model has them.
    init_from: the run that they are of; '' of a file.
  """
  # Missing and additional parameters differ, too: their shape is None.
  shapes, model_shapes = _shapes(params), _shapes(model)
  origin = f' ({init_from})' if init_from else ''
  for key in sorted({*shapes, *model_shapes}):
    if shapes.get(key) != model_shapes.get(key):
      raise errors.UserError(
        f'parameters {group}/{key} to begin with{origin} are '
        f'{_spelt(shapes.get(key))}, the model wants '
        f'{_spelt(model_shapes.get(key))}: config.model must be the same'
      )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of a tree's leaves by their path."""
  shapes = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    shapes[name] = tuple(leaf.shape)
  return shapes


def _spelt(shape: tuple[int, ...] | None) -> str:
  return 'absent' if shape is None else str(list(shape))
