"""One file per method; `make` finds it by the name in the config."""

import importlib
import pkgutil

from maskgan_jax import errors
from maskgan_jax.methods import base


def names() -> list[str]:
  """Returns the methods' names: a module is one unless it is the contract or begins with `_`."""
  modules = [module.name for module in pkgutil.iter_modules(__path__)]
  return sorted(name for name in modules if name != 'base' and not name.startswith('_'))


def module(name: str):
  """The module of method `name`; UserError names the methods there are."""
  if name not in names():
    raise errors.UserError(f'unknown method {name!r}{errors.nearest(name, names())}; '
                           f'methods: {", ".join(names())}')
  return importlib.import_module(f'maskgan_jax.methods.{name}')


def make(config) -> base.Method:
  """The method that `config.method` names, built from the config; UserError if it is another's."""
  chosen = module(config.method)
  for part in ('model', 'weights', 'optimizers'):
    missing = set(chosen.get_default()[part]) - set(config[part])
    if missing:
      raise errors.UserError(f'config.method is {config.method!r}, but config.{part} has no '
                             f'{min(missing)!r}: the config is for another method; start from a '
                             f'config file of {config.method}')
  return chosen.make(config)
