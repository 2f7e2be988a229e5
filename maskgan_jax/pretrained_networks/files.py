"""Networks that were trained elsewhere, as safetensors files that name their origin.

`import_weights` writes them. A tensor is named after its place in the tree, 'conv1_1.kernel'.
"""

from collections.abc import Iterator, Mapping
import os
from typing import Any

import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from maskgan_jax import errors, files
from maskgan_jax.pretrained_networks import inception, lpips, vgg19

SUFFIX = '.safetensors'


def require_new(path: str) -> None:
  """Raises UserError unless `path` is the name of a safetensors file that does not exist yet."""
  if not path.endswith(SUFFIX):
    raise errors.UserError(
      f'--output={path}: this kind becomes one file; give a name that ends '
      f'with {SUFFIX}'
    )
  if os.path.lexists(path):
    raise errors.UserError(f'{path} exists; choose another --output')
  files.check_output(path)


def write(
  path: str,
  params: Mapping[str, Any],
  metadata: Mapping[str, str],
  dtype: Any = np.float32,
) -> None:
  """Writes the tree `params` of float32 arrays, whole or not at all; UserError if `path` exists."""
  require_new(path)
  with np.errstate(over='ignore'):
    arrays = {name: np.ascontiguousarray(array, dtype) for name, array in flat(params)}
  for name, array in arrays.items():
    if not np.isfinite(array).all():
      raise errors.UserError(
        f'{path} is not written: the weights {name} hold NaN or infinite '
        f'values as {np.dtype(dtype).name}'
      )
  files.write_atomically(path, safetensors_numpy.save(arrays, dict(metadata)))


def read_vgg19(path: str) -> tuple[dict[str, Any], str]:
  """Reads a VGG-19 that `import_weights vgg19` wrote.

  UserError for a file that is absent, damaged, or something else.

  Returns:
    Parameters of pretrained_networks.vgg19.VGG19 without a head, NumPy float32, of the file's
    width; and text that names them in results.
  """
  arrays, metadata = _read(path, 'vgg19')
  width = _width(arrays)
  shapes = {'input_mean': (3,), 'input_scale': (3,)}
  for name, (inputs, features) in vgg19.channels(width).items():
    shapes.update(
      {f'{name}.kernel': (3, 3, inputs, features), f'{name}.bias': (features,)}
    )
  params = tree(path, arrays, shapes, 'import VGG-19 again')
  if not (params['input_scale'] > 0).all():
    raise errors.UserError(f'{path}: input_scale is not positive; import VGG-19 again')
  published = metadata.get('published')
  name = metadata.get('network', 'VGG-19')
  if published:
    name = f'{published} {name}'
  doubt = '' if published or 'network' in metadata else ', an unknown file'
  return params, (
    f'{name} from {metadata.get("source")} ({metadata.get("layout")} layout{doubt}), '
    f'sha256 {metadata.get("sha256", "")[:8]}…'
  )


def read_inception(path: str) -> tuple[dict[str, Any], str]:
  """Reads the Inception-v3 of FID that `import_weights inception` wrote.

  UserError for a file that is absent, damaged, or something else.

  Returns:
    Parameters of pretrained_networks.inception.InceptionV3, NumPy float32, and text that names them
    in results, with the whole SHA-256 of the file that they were imported from.
  """
  arrays, metadata = _read(path, 'inception')
  params = tree(
    path, arrays, dict(flat(inception.shapes())), 'import Inception-v3 again'
  )
  for name, array in arrays.items():
    if name.endswith('.variance') and (array < 0).any():
      raise errors.UserError(f'{path}: {name} is below zero; import Inception-v3 again')
  published = metadata.get('published')
  name = f'{published} Inception-v3' if published else 'Inception-v3'
  doubt = '' if published else ' (an unknown file)'
  return params, (
    f'{name} from {metadata.get("source")}{doubt}, sha256 {metadata.get("sha256", "")}'
  )


def read_lpips(path: str) -> tuple[dict[str, Any], str]:
  """Reads the LPIPS that `import_weights lpips` wrote.

  UserError for a file that is absent, damaged, or something else.

  Returns:
    Parameters of `pretrained_networks.lpips.of(parameters)`, NumPy float32, and text that names
    them in results, with the whole SHA-256 of both files that they were imported from.
  """
  arrays, metadata = _read(path, 'lpips', 'BACKBONE LINEAR')
  net = 'vgg' if 'conv1_2.kernel' in arrays else 'alex'
  shapes = {}
  for number, layer in enumerate(lpips.convolutions(net, _width(arrays)), 1):
    for name, shape in layer.items():
      shapes[f'{name}.kernel'] = shape
      shapes[f'{name}.bias'] = shapes[f'linear{number}'] = shape[-1:]
  params = tree(path, arrays, shapes, 'import LPIPS again')
  for name, array in params.items():
    if name.startswith('linear') and (array < 0).any():
      raise errors.UserError(f'{path}: {name} is below zero; import LPIPS again')
  published = metadata.get('published')
  name = f'LPIPS {published} of' if published else 'LPIPS of'
  doubt = '' if published else ' (unknown files)'
  return params, (
    f'{name} {lpips.NETS[net]} from {metadata.get("source")}{doubt}, sha256 '
    f'{metadata.get("sha256", "")} and {metadata.get("linear_sha256", "")}'
  )


def _width(arrays: Mapping[str, np.ndarray]) -> int:
  """Returns the channels of the first convolution; 64, the usual number, if it makes no sense."""
  kernel = arrays.get('conv1_1.kernel')
  return kernel.shape[-1] if kernel is not None and kernel.ndim == 4 else 64


def tree(
  path: str,
  arrays: Mapping[str, np.ndarray],
  shapes: Mapping[str, tuple[int, ...]],
  remedy: str,
) -> dict[str, Any]:
  """Returns arrays as a tree.

  UserError unless they are finite float32 arrays of these names and shapes.
  """
  if arrays.keys() != shapes.keys():
    odd = min(arrays.keys() ^ shapes.keys())
    raise errors.UserError(
      f'{path} {"has" if odd in arrays else "lacks"} a tensor {odd!r}; '
      f'{remedy} with this version'
    )
  params: dict[str, Any] = {}
  for name, shape in shapes.items():
    array = arrays[name]
    if (
      array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all()
    ):
      raise errors.UserError(
        f'{path}: {name} is {array.dtype}{list(array.shape)}, expected finite '
        f'float32{list(shape)}; {remedy}'
      )

    # Dots in a name separate the groups of the tree.
    *groups, leaf = name.split('.')
    node = params
    for group in groups:
      node = node.setdefault(group, {})
    node[leaf] = array
  return params


def kind(path: str) -> str:
  """Returns the kind that a file names, such as 'vgg19'; '' for a file that cannot be read."""
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      return (file.metadata() or {}).get('kind', '')
  except (OSError, ValueError, TypeError, safetensors.SafetensorError):
    return ''


def _read(
  path: str, kind: str, sources: str = 'FILE'
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  path = os.path.expanduser(path)
  return read(path, kind, f'import_weights {kind} {sources}', '; import it first')


def read(
  path: str, kind: str, command: str, hint: str = ''
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Returns (arrays by name, metadata) of a file of one kind.

  UserError for a file that is absent, damaged, or of another kind.

  Args:
    path: of the file.
    kind: in its metadata.
    command: that makes such files, without its --output.
    hint: completes the message about a file of another kind.
  """
  if not os.path.isfile(path):
    raise errors.UserError(
      f'no file {path}; python -m maskgan_jax.{command} '
      f'--output={os.path.splitext(path)[0]}{SUFFIX} makes one'
    )
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      metadata = file.metadata() or {}
      if metadata.get('kind') != kind:
        article = 'an' if kind[0] in 'aeiou' else 'a'
        raise errors.UserError(
          f'{path} is not {article} {kind} file of {command.split()[0]} (its '
          f'kind: {metadata.get("kind", "none")}){hint}'
        )
      return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
  except (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    safetensors.SafetensorError,
  ) as error:
    reason = (str(error).splitlines() or [''])[0][:100]
    raise errors.UserError(
      f'{path} is not a safetensors file, or a damaged one ({reason})'
    ) from error


def flat(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Yields (dotted name, leaf) for each leaf of a tree of mappings."""
  for name, value in tree.items():
    if isinstance(value, Mapping):
      yield from flat(value, f'{prefix}{name}.')
    else:
      yield prefix + name, value
