"""The papers' tables, a module each; `TABLES` of a module has them by number, as text."""

import importlib
import pkgutil

from maskgan_jax import errors
from maskgan_jax.tables.papers import base


def names() -> list[str]:
  """Returns 'MODULE/NUMBER' of every table."""
  return [f'{module}/{number}' for module in _modules() for number in _tables(module)]


def get(name: str) -> base.Table:
  """Returns the table of a name; UserError lists the names that exist."""
  module, _, number = name.partition('/')
  if name not in names():
    raise errors.UserError(
      f'unknown table {name!r}{errors.nearest(name, names())}; tables: '
      f'{", ".join(names())}'
    )
  return _tables(module)[number]


def _modules() -> list[str]:
  return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != 'base')


def _tables(module: str) -> dict[str, base.Table]:
  return importlib.import_module(f'maskgan_jax.tables.papers.{module}').TABLES
