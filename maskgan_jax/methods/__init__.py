"""One file per method; `make` finds it by the name in the config."""

import importlib
import pkgutil

from maskgan_jax import errors, fields
from maskgan_jax.methods import _given_masks, base

_COMPUTE_DTYPE = fields.field('float32', fields.one_of('float32', 'bfloat16'))


def names() -> list[str]:
  """Returns the methods' names: a module is one unless it is the contract or begins with `_`."""
  modules = {module.name for module in pkgutil.iter_modules(__path__)} - {'base'}
  return sorted(name for name in modules if not name.startswith('_'))


def module(name: str):
  """Returns the module of method `name`; raises UserError, which lists the methods."""
  if name not in names():
    raise errors.UserError(
      f'unknown method {name!r}{errors.nearest(name, names())}; '
      f'methods: {", ".join(names())}'
    )
  return importlib.import_module(f'maskgan_jax.methods.{name}')


def make(config) -> base.Method:
  """Builds the method that `config.method` names.

  Raises:
    UserError: the config is for another method, or has a value that makes no sense.
  """
  chosen = module(config.method)
  defaults = chosen.get_default()
  for part in ('model', 'weights', 'optimizers'):
    missing = set(defaults[part]) - set(config[part])
    if missing:
      raise errors.UserError(
        f'config.method is {config.method!r}, but config.{part} has no '
        f'{min(missing)!r}: the config is for another method; start from a '
        f'config file of {config.method}'
      )
  fields.check_value('config.compute_dtype', config.compute_dtype, _COMPUTE_DTYPE)
  method = chosen.make(config)
  _given_masks.check(config, method)
  if config.critic_augmentation and not method.augments_critics:
    raise errors.UserError(
      f'config.critic_augmentation is {",".join(config.critic_augmentation)}, but '
      f'{config.method} has no critic that sees pictures; leave it empty'
    )
  return method
