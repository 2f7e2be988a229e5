"""One file per method; `make` finds it by the name in the config."""

import importlib
import pkgutil

from maskgan_jax import errors
from maskgan_jax.methods import base


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
  """Builds the method that `config.method` names; raises UserError for another method's config."""
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
  return chosen.make(config)
