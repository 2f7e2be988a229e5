"""Models to take away: a folder with weights, config, model card and a few pictures to try.

  NAME/model.safetensors   what translating needs of parameters and statistics, float32 or float16
  NAME/config.json         of the run, without the machine's paths
  NAME/README.md           the model card
  NAME/examples/source/*.png, NAME/examples/exemplar/*.png   pictures that it was not trained on

Those that come with the package lie in `pretrained/` of the repository and of an installed wheel.
"""

from collections.abc import Callable, Mapping, Sequence
import json
import os
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
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HOMES = (os.path.join(os.path.dirname(_PACKAGE), 'pretrained'),  # of a clone
          os.path.join(_PACKAGE, 'pretrained'))  # of a wheel
# Where things lay on the machine that trained; they say nothing about the model.
_MACHINE = ('command', 'init_from', 'data.path', 'data.data_dir', 'data.attributes_file',
            'data.masks_path', 'data.labels_path', 'distribution.cache')


def names() -> list[str]:
  """The models that come with the package."""
  home = _home()
  found = os.listdir(home) if home else []
  return sorted(name for name in found if os.path.isfile(os.path.join(home, name, WEIGHTS)))


def find(name: str | os.PathLike) -> str:
  """The folder of a model that comes with the package, or `name` itself if it is such a folder."""
  name = os.fspath(name)
  home = _home()
  if home and name in names():
    return os.path.join(home, name)
  if os.path.isfile(os.path.join(name, WEIGHTS)):
    if not os.path.isfile(os.path.join(name, run_config.FILE_NAME)):
      raise errors.UserError(f'{name} has {WEIGHTS} and no {run_config.FILE_NAME}, which says '
                             'what they are of; copy it from where the weights come from')
    return name
  known = names()
  raise errors.UserError(f'there is no pretrained model {name!r}{errors.nearest(name, known)}; '
                         f'there are {", ".join(known) or "none"}, and folders with {WEIGHTS}')


def write(folder: str | os.PathLike, variables: Mapping[str, Any],
          config: ml_collections.ConfigDict, *, step: int | None, threshold: float | None,
          half: bool = False, card: str = '',
          examples: Mapping[str, Sequence[np.ndarray]] | None = None) -> None:
  """Writes a model's folder, the weights last; UserError if it holds a model or a run already.

  Args:
    folder: to write.
    variables: 'params' and 'model_state', trees of arrays.
    config: of the run.
    step: of the weights.
    threshold: of masks, see Translator.
    half: rounds to float16: half of the size.
    card: Markdown.
    examples: 'source' and 'exemplar', uint8 [H, W, 3] each.
  """
  folder = os.fspath(folder)
  path = os.path.join(folder, WEIGHTS)
  weights.require_new(path)
  config = ml_collections.ConfigDict(config.to_dict())
  for key in _MACHINE:
    run_config.set_key(config, key, '')
  texts = {run_config.FILE_NAME: run_config.to_json(config)} | ({CARD: card} if card else {})
  for name, text in texts.items():  # what a writing that was killed has left is the same
    if _text(os.path.join(folder, name)) not in (None, text):
      raise errors.UserError(f'{folder} holds another {name}; choose another folder')
  for name, text in texts.items():
    files.write_atomically(os.path.join(folder, name), text)
  for role, pictures in (examples or {}).items():
    for i, picture in enumerate(pictures):
      images.save_png(os.path.join(folder, 'examples', role, f'{i}.png'), picture)
  weights.write(path, variables, {
      'kind': KIND, 'facts': json.dumps({'step': step, 'threshold': threshold})},
                np.float16 if half else np.float32)


def read(folder: str, config: ml_collections.ConfigDict, shapes: Mapping[str, Any]
         ) -> tuple[dict[str, Any], int | None, float | None]:
  """(variables, step, threshold) as `write` was given them; UserError for what does not fit.

  Args:
    folder: that `find` found.
    config: of the folder.
    shapes: 'params' and 'model_state' of the method, abstract; what of it a file lacks is what
      translating does not need.
  """
  path = os.path.join(folder, WEIGHTS)
  arrays, metadata = weights.read(path, KIND, 'export --workdir=RUN')
  arrays = {name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in arrays.items()}
  groups = set(map(group, arrays))
  wanted = {name: leaf.shape for name, leaf in weights.flat(shapes) if group(name) in groups}
  variables = weights.tree(path, arrays, wanted, 'write it again')
  params, model_state = (variables.get(part, {}) for part in ('params', 'model_state'))
  model_state = {name: {} for name in shapes['model_state']} | model_state
  try:
    facts = json.loads(metadata['facts'])
    step, threshold = facts['step'], facts['threshold']
    if not (step is None or isinstance(step, int)) or not (
        threshold is None or 0 <= threshold <= 1):
      raise ValueError('step or threshold')
  except (KeyError, TypeError, ValueError, RecursionError) as error:
    raise errors.UserError(f'{path}: its facts are damaged ({error}); write it again') from error
  return {'params': params, 'model_state': model_state}, step, threshold


def needed(params: Mapping[str, Any], model_state: Mapping[str, Any],
           works: Callable[[Any, Any], bool]) -> dict[str, Any]:
  """'params' and 'model_state' without the networks without which it works as well."""
  flat = traverse_util.flatten_dict({'params': params, 'model_state': model_state},
                                    keep_empty_nodes=True, sep='.')

  def whole(flat):
    tree = traverse_util.unflatten_dict(flat, sep='.')
    kinds = {name: {} for name in model_state}
    return {'params': tree.get('params', {}), 'model_state': kinds | tree.get('model_state', {})}

  for left_out in sorted(set(map(group, flat))):
    rest = {name: leaf for name, leaf in flat.items() if group(name) != left_out}
    if works(*whole(rest).values()):
      flat = rest
  return whole(flat)


def group(name: str) -> str:
  """What a tensor is kept or left out with: its network's parameters, or its statistics."""
  return '.'.join(name.split('.')[:2 if name.startswith('params.') else 3])


def examples(folder: str, role: str) -> list[str]:
  """Paths of the example pictures of a role, 'source' or 'exemplar'."""
  folder = os.path.join(folder, 'examples', role)
  found = os.listdir(folder) if os.path.isdir(folder) else []
  return [os.path.join(folder, name) for name in sorted(found) if images.is_image_name(name)]


def _text(path: str) -> str | None:
  try:
    with open(path, encoding='utf-8', errors='replace') as file:
      return file.read()
  except FileNotFoundError:
    return None
  except OSError as error:
    raise errors.UserError(f'cannot read {path}: {error.strerror or error}') from error


def _home() -> str | None:
  return next((home for home in _HOMES if os.path.isdir(home)), None)
