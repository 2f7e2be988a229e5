"""The config of a run: its keys, the arguments and flags that set them, and its file."""

from maskgan_jax.config.arguments import (
  exclusive,
  finish,
  parse_argument,
  smoke,
  variant,
)
from maskgan_jax.config.command_line import (
  define_flags,
  define_workdir_config,
  from_flags,
  parse_flags,
  read_file,
)
from maskgan_jax.config.evaluation import evaluator_groups
from maskgan_jax.config.schema import (
  check_values,
  default,
  fingerprint,
  fixed,
  flatten,
  from_json,
  may_change,
  set_key,
  to_json,
)
from maskgan_jax.config.stored import check_same_run, differences, FILE_NAME, load, save

__all__ = [
  'FILE_NAME',
  'check_same_run',
  'check_values',
  'default',
  'define_flags',
  'define_workdir_config',
  'differences',
  'evaluator_groups',
  'exclusive',
  'fingerprint',
  'finish',
  'fixed',
  'flatten',
  'from_flags',
  'from_json',
  'load',
  'may_change',
  'parse_argument',
  'parse_flags',
  'read_file',
  'save',
  'set_key',
  'smoke',
  'to_json',
  'variant',
]
