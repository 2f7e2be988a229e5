"""Models as folders: weights, config, model card and a few pictures to try.

  NAME/model.safetensors   the parameters and statistics that translating needs, float32 or float16
  NAME/config.json         the run's config, without the machine's paths
  NAME/README.md           the model card
  NAME/examples/source/*.png, NAME/examples/exemplar/*.png   pictures outside the training set

The models of this package are in `pretrained/` of the repository and of an installed wheel.
"""

from collections.abc import Callable, Mapping, Sequence
import json
import os
import re
from typing import Any

from flax import traverse_util
import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors, files
from maskgan_jax.data import images
from maskgan_jax.pretrained_networks import files as weights

KIND = 'translator'
WEIGHTS = 'model.safetensors'
CARD = 'README.md'
_FIGURE = re.compile(r'^\| .* \| `(\w+)` \| (-?\d+(?:\.\d+)?) \|$', re.MULTILINE)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HOMES = (
  os.path.join(os.path.dirname(_PACKAGE), 'pretrained'),  # of a clone
  os.path.join(_PACKAGE, 'pretrained'),  # of a wheel
)
# Paths on the machine that trained, which say nothing about the model.
_MACHINE = (
  'command',
  'init_from',
  'data.path',
  'data.data_dir',
  'data.attributes_file',
  'data.masks_path',
  'data.labels_path',
  'distribution.cache',
)


def names() -> list[str]:
  """Returns the names of the models that come with the package."""
  home = _home()
  if not home:
    return []
  return sorted(
    name
    for name in os.listdir(home)
    if os.path.isfile(os.path.join(home, name, WEIGHTS))
  )


def find(name: str | os.PathLike) -> str:
  """Returns the folder of one of the package's models, or `name` itself if it is a model's folder.

  Raises:
    UserError: the model does not exist.
  """
  name = os.fspath(name)
  home = _home()
  if home and name in names():
    return os.path.join(home, name)
  if os.path.isfile(os.path.join(name, WEIGHTS)):
    if not os.path.isfile(os.path.join(name, run_config.FILE_NAME)):
      raise errors.UserError(
        f'{name} has {WEIGHTS} and no {run_config.FILE_NAME}, which says '
        'what they are of; copy it from where the weights come from'
      )
    return name
  choices = names()
  raise errors.UserError(
    f'there is no pretrained model {name!r}{errors.nearest(name, choices)}; '
    f'there are {", ".join(choices) or "none"}, and folders with {WEIGHTS}'
  )


def write(
  folder: str | os.PathLike,
  variables: Mapping[str, Any],
  config: ml_collections.ConfigDict,
  *,
  step: int | None,
  threshold: float | None,
  half: bool = False,
  card: str = '',
  examples: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> None:
  """Writes a model's folder, the weights last.

  Args:
    folder: the folder to write.
    variables: 'params' and 'model_state', trees of arrays.
    config: the run's.
    step: the step of the weights.
    threshold: `Translator.threshold`.
    half: whether to round weights to float16, for half of the size.
    card: the model card, Markdown.
    examples: pictures, uint8 [H, W, 3], of 'source' and 'exemplar'.
  Raises:
    UserError: the folder holds a model or a run already.
  """
  folder = os.fspath(folder)
  path = os.path.join(folder, WEIGHTS)
  weights.require_new(path)

  # The weights come last: a folder without them is not a model.
  _write_texts(folder, config, card)
  for role, pictures in (examples or {}).items():
    for i, picture in enumerate(pictures):
      images.save_png(os.path.join(folder, 'examples', role, f'{i}.png'), picture)
  facts = json.dumps({'step': step, 'threshold': threshold})
  dtype = np.float16 if half else np.float32
  weights.write(path, variables, {'kind': KIND, 'facts': facts}, dtype)


def _write_texts(folder: str, config: ml_collections.ConfigDict, card: str) -> None:
  """Writes config.json, and README.md if there is a card; UserError if others are there."""
  config = ml_collections.ConfigDict(config.to_dict())
  for key in _MACHINE:
    run_config.set_key(config, key, '')
  texts = {run_config.FILE_NAME: run_config.to_json(config)}
  if card:
    texts[CARD] = card

  # Files of a process that was killed while it wrote this model are equal to these.
  for name, text in texts.items():
    if _text(os.path.join(folder, name)) not in (None, text):
      raise errors.UserError(f'{folder} holds another {name}; choose another folder')
  for name, text in texts.items():
    files.write_atomically(os.path.join(folder, name), text)


def read(
  folder: str, config: ml_collections.ConfigDict, shapes: Mapping[str, Any]
) -> tuple[dict[str, Any], int | None, float | None]:
  """Reads a model's folder.

  Args:
    folder: as `find` returns it.
    config: the folder's.
    shapes: abstract 'params' and 'model_state' of the method. A file may lack networks of these
      that translating does not need.
  Returns:
    (variables, step, threshold), as `write` got them.
  Raises:
    UserError: the file is damaged, or its weights do not fit the config.
  """
  path = os.path.join(folder, WEIGHTS)
  arrays, metadata = weights.read(path, KIND, 'export --workdir=RUN')
  for name, array in arrays.items():
    if array.dtype == np.float16:
      arrays[name] = array.astype(np.float32)

  # Whole networks may be absent, but not parts of one.
  groups = set(map(group, arrays))
  expected = {}
  for name, leaf in weights.flat(shapes):
    if group(name) in groups:
      expected[name] = leaf.shape
  variables = weights.tree(path, arrays, expected, 'write it again')
  params = variables.get('params', {})
  model_state = {name: {} for name in shapes['model_state']}
  model_state |= variables.get('model_state', {})
  step, threshold = _facts(path, metadata)
  return {'params': params, 'model_state': model_state}, step, threshold


def _facts(path: str, metadata: Mapping[str, str]) -> tuple[int | None, float | None]:
  """Returns the step and the threshold that a file of weights has beside them."""
  try:
    facts = json.loads(metadata['facts'])
    step, threshold = facts['step'], facts['threshold']
    if step is not None and not isinstance(step, int):
      raise ValueError('step or threshold')
    if threshold is not None and not 0 <= threshold <= 1:
      raise ValueError('step or threshold')
  except (KeyError, TypeError, ValueError, RecursionError) as error:
    raise errors.UserError(
      f'{path}: its facts are damaged ({error}); write it again'
    ) from error
  return step, threshold


def needed(
  params: Mapping[str, Any],
  model_state: Mapping[str, Any],
  works: Callable[[Any, Any], bool],
) -> dict[str, Any]:
  """Returns 'params' and 'model_state' without the networks that `works` does not need."""
  variables = {'params': params, 'model_state': model_state}
  flat = traverse_util.flatten_dict(variables, keep_empty_nodes=True, sep='.')

  def whole(flat):
    tree = traverse_util.unflatten_dict(flat, sep='.')
    kinds = {name: {} for name in model_state}
    return {
      'params': tree.get('params', {}),
      'model_state': kinds | tree.get('model_state', {}),
    }

  # Each network is left out in turn, and stays out if all functions work without it.
  for left_out in sorted(set(map(group, flat))):
    rest = {name: leaf for name, leaf in flat.items() if group(name) != left_out}
    if works(*whole(rest).values()):
      flat = rest
  return whole(flat)


def group(name: str) -> str:
  """Returns the network that a tensor belongs to: 'params.NAME' or 'model_state.KIND.NAME'."""
  length = 2 if name.startswith('params.') else 3
  return '.'.join(name.split('.')[:length])


def examples(folder: str, role: str) -> list[str]:
  """Returns the paths of a folder's example pictures of a role, 'source' or 'exemplar'."""
  folder = os.path.join(folder, 'examples', role)
  if not os.path.isdir(folder):
    return []
  names = filter(images.is_image_name, sorted(os.listdir(folder)))
  return [os.path.join(folder, name) for name in names]


def figures(folder: str) -> dict[str, str]:
  """Returns the figures of a model's card: the column of scores.csv -> the number, as it is there.

  A card has them as lines `| MEASURE | `COLUMN` | NUMBER |` of a table.

  Raises:
    UserError: the folder has no card, or the card no such line.
  """
  path = os.path.join(folder, CARD)
  figures_by_column = dict(_FIGURE.findall(_text(path) or ''))
  if not figures_by_column:
    raise errors.UserError(
      f'{path} has no figures: no line | MEASURE | `COLUMN` | NUMBER |, where COLUMN is '
      'a column of scores.csv'
    )
  return figures_by_column


def _text(path: str) -> str | None:
  """Returns a file's text; None if it does not exist."""
  try:
    with open(path, encoding='utf-8', errors='replace') as file:
      return file.read()
  except FileNotFoundError:
    return None
  except OSError as error:
    raise errors.UserError(f'cannot read {path}: {error.strerror or error}') from error


def _home() -> str | None:
  """Returns the folder of the package's models; None if it was not installed with them."""
  return next((home for home in _HOMES if os.path.isdir(home)), None)
