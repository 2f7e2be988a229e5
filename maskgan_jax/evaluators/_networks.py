"""Networks in files of the user's: pictures in, arrays out.

A file is of one of two kinds.

A function that `jax.export` has serialized: uint8 [B, H, W, 3] -> one array [B, ...]. JAX reads
such blobs for six months.

NAME.onnx, an ONNX model, for which onnxruntime must be installed: its first input is [B, 3, H, W]
or [B, H, W, 3], and its first output counts. To uint8 inputs go bytes. Floats are in [0, 1] if the
model's metadata do not say otherwise: `Image.NominalPixelRange` (NominalRange_0_255,
NominalRange_16_235, Normalized_0_1 or Normalized_1_1, which is [-1, 1]) and
`Image.BitmapPixelFormat` (Rgb8 or Bgr8) mean what ONNX says; `mean` and `std`, each three numbers
with commas between in the order of the channels, are subtracted and divided by after that.

Networks whose batch, height and width are fixed get batches and pictures of that size.
"""

from collections.abc import Callable, Iterator
import dataclasses
import os
from typing import Any, TypeVar

import jax
import jax.export
import numpy as np
from PIL import Image

from maskgan_jax import errors

_BATCH = 8  # pictures at once, where the network leaves it open


@dataclasses.dataclass(frozen=True)
class Network:
  """A network from a file.

  Attributes:
    field: of the config that names it.
    call: uint8 [B, H, W, 3] -> an array [B, ...].
    shape: batch, height and width that it must have; None where it accepts any.
    channels: the axis of its input that holds them, 3 or 1.
  """

  field: str
  call: Callable[[np.ndarray], Any]
  shape: tuple[int | None, int | None, int | None]
  channels: int = 3

  def outputs(self, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yields arrays [B, ...] for uint8 [N, H, W, 3]; rows beyond N repeat the last picture."""
    batch, *size = self.shape
    batch = batch or _BATCH
    height, width = images.shape[1:3]
    resized = _resized(images, (size[0] or height, size[1] or width))
    for start in range(0, len(resized), batch):
      rows = np.minimum(np.arange(start, start + batch), len(resized) - 1)
      try:
        output = np.asarray(self.call(resized[rows]))
      except (
        Exception
      ) as error:  # what a network that does not fit raises depends on its runtime
        if errors.out_of_memory(error):
          raise
        raise errors.UserError(
          f'{self.field} fails on pictures of {height}x{width} pixels: '
          f'{first_line(error)}'
        ) from error
      if not output.ndim or len(output) != len(rows):
        raise errors.UserError(
          f'{self.field} gives {output.dtype} {list(output.shape)} for '
          f'{len(rows)} pictures; expected something for each'
        )
      yield output


N = TypeVar('N', bound=Network)


def open_network(path: str, field: str, expected: str, kind: type[N] = Network) -> N:
  """Opens a file of either kind; UserError says what is wrong with it.

  Args:
    path: of the file.
    field: of the config that names it, for messages.
    expected: what the network should return, in words.
    kind: of what is returned.
  """
  # The file is read first, so that an absent one is not called damaged.
  path = os.path.expanduser(path)
  data = _read(path, field)
  if path.lower().endswith('.onnx'):
    return kind(field, *_open_onnx(path, field))

  # An exported function must take one batch of pictures, and return one array.
  exported = _deserialized(data, path, field)
  inputs, outputs = exported.in_avals, exported.out_avals
  first = inputs[0] if len(inputs) == 1 else None
  if (
    first is None
    or first.dtype != np.uint8
    or len(first.shape) != 4
    or first.shape[3] != 3
  ):
    raise errors.UserError(
      f'{field}={path!r} takes {", ".join(map(str, inputs)) or "nothing"}; '
      'expected one uint8 array [B, H, W, 3]'
    )
  if len(outputs) != 1:
    raise errors.UserError(
      f'{field}={path!r} returns {len(outputs)} arrays; expected {expected} alone'
    )
  call = jax.jit(exported.call)
  return kind(
    field, lambda images: jax.tree.leaves(call(images))[0], _fixed(first.shape[:3])
  )


def _read(path: str, field: str) -> bytes:
  try:
    with open(path, 'rb') as file:
      return file.read()
  except OSError as error:
    raise errors.UserError(
      f'{field}={path!r} cannot be read: {error.strerror or error}'
    ) from error


def _deserialized(data: bytes, path: str, field: str) -> jax.export.Exported:
  """Returns the function in a blob of `jax.export`; UserError if it is not one."""
  try:
    exported = jax.export.deserialize(bytearray(data))
    _check_convention(exported.calling_convention_version)
  except Exception as error:  # damaged blobs raise anything
    if errors.out_of_memory(error):
      raise
    if _of_another_jax(str(error)):
      raise errors.UserError(
        f'{field}={path!r} was written by a version of JAX that {jax.__version__} does not read '
        f'({first_line(error)}); JAX promises six months back and three weeks forward: export '
        'it again with this version, or as NAME.onnx'
      ) from error
    raise errors.UserError(
      f'{field}={path!r} is neither a function serialized by jax.export nor '
      f'NAME.onnx: {first_line(error)}'
    ) from error
  return exported


def _check_convention(version: int) -> None:
  """Raises ValueError for a calling convention that JAX would refuse only at the call."""
  least, most = (
    jax.export.minimum_supported_calling_convention_version,
    jax.export.maximum_supported_calling_convention_version,
  )
  if not least <= version <= most:
    raise ValueError(f'calling convention version {version}, not {least} to {most}')


def _of_another_jax(message: str) -> bool:
  """Returns whether an error of `jax.export.deserialize` is about a blob's age, not its bytes."""
  message = message.lower()
  return 'version' in message and any(
    word in message
    for word in ('serializ', 'calling', 'expired', 'compatib', 'support')
  )


_RANGES = {  # ONNX's names -> from bytes
  'normalized_0_1': lambda x: x / 255,
  'normalized_1_1': lambda x: x / 127.5 - 1,
  'nominalrange_0_255': lambda x: x,
  'nominalrange_16_235': lambda x: 16 + x * (219 / 255),
}


def _onnx_session(path, field):
  """Returns a session of onnxruntime; UserError if there is none for this file."""
  try:
    import onnxruntime
  except ImportError as error:
    raise errors.UserError(
      f'{field}={path!r} needs onnxruntime: pip install onnxruntime'
    ) from error
  try:
    return onnxruntime.InferenceSession(
      path, providers=onnxruntime.get_available_providers()
    )
  except Exception as error:
    raise errors.UserError(
      f'{field}={path!r} is not a model that onnxruntime opens: {first_line(error)}'
    ) from error


def _open_onnx(path, field):
  """Returns the call of an ONNX file, its sizes [B, H, W], and its axis of channels."""
  session = _onnx_session(path, field)
  first = session.get_inputs()[0]
  types = {
    'tensor(float)': np.float32,
    'tensor(float16)': np.float16,
    'tensor(uint8)': np.uint8,
  }

  # Channels are the axis of length 3: the second, as PyTorch has them, or the last.
  shape = list(first.shape)
  channels = next(
    (axis for axis in (1, 3) if len(shape) == 4 and shape[axis] == 3), None
  )
  if channels is None or first.type not in types:
    raise errors.UserError(
      f'{field}={path!r} takes {first.type} {shape}; expected float or uint8 '
      '[B, 3, H, W] or [B, H, W, 3]'
    )
  prepare = _preparation(path, field, session.get_modelmeta().custom_metadata_map)
  dtype = types[first.type]

  def call(images):
    if dtype != np.uint8:
      images = prepare(images)
    images = np.moveaxis(images.astype(dtype), -1, channels)
    return session.run(None, {first.name: np.ascontiguousarray(images)})[0]

  del shape[channels]
  return call, _fixed(shape), channels


def _preparation(path, field, metadata):
  """Returns uint8 [B, H, W, 3] -> float32, as an ONNX model's metadata ask."""
  # Metadata say the range and the order of the channels; by default RGB in [0, 1].
  metadata = {key.lower(): value for key, value in metadata.items()}
  kind = metadata.get('image.nominalpixelrange', 'Normalized_0_1')
  order = metadata.get('image.bitmappixelformat', 'Rgb8')
  if kind.lower() not in _RANGES or order.lower() not in ('rgb8', 'bgr8'):
    raise errors.UserError(
      f'{field}={path!r} asks for pixels {order} in {kind}; known: Rgb8 and '
      f'Bgr8, in {", ".join(_RANGES)}'
    )

  # Means and deviations are of channels, in the range above.
  moments = []
  for key, default in (('mean', '0,0,0'), ('std', '1,1,1')):
    try:
      numbers = list(map(float, metadata.get(key, default).split(',')))
      moments.append(np.array(numbers, np.float32).reshape(3))
    except ValueError as error:
      raise errors.UserError(
        f'{field}={path!r} has metadata {key}={metadata[key]!r}; expected '
        'three numbers with commas between'
      ) from error
  mean, std = moments

  def prepare(images):
    images = images[..., ::-1] if order.lower() == 'bgr8' else images
    return (_RANGES[kind.lower()](images.astype(np.float32)) - mean) / std

  return prepare


def _fixed(shape):
  """Returns the sizes that are numbers; names and symbols, which stand for any, become None."""
  return tuple(size if isinstance(size, int) else None for size in shape)


def _resized(images, size):
  if images.shape[1:3] == tuple(size):
    return images
  return np.stack(
    [
      np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
      for image in images
    ]
  )


def first_line(error: Exception) -> str:
  """Returns the first line of its message that is not empty."""
  return next(
    (line for line in str(error).splitlines() if line.strip()), type(error).__name__
  )
