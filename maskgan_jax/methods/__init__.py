"""One file per method; `make` finds it by the name in the config."""

import importlib
import pkgutil

from maskgan_jax import errors
from maskgan_jax.methods import base


def names() -> list[str]:
  """Methods there are: every module here but the contract and what methods share."""
  return sorted(m.name for m in pkgutil.iter_modules(__path__)
                if m.name not in ('base', 'lomit_settings', 'replay_pool'))


def module(name: str):
  """The module of method `name`; UserError names the methods there are."""
  if name not in names():
    raise errors.UserError(f'unknown method {name!r}{errors.nearest(name, names())}; '
                           f'methods: {", ".join(names())}')
  return importlib.import_module(f'maskgan_jax.methods.{name}')


def make(config) -> base.Method:
  """The method that `config.method` names, built from the config."""
  return module(config.method).make(config)
