"""The features of pictures, a vector each: by the FID Inception, or by a network of the user's.

NAME.safetensors is what `import_weights inception` wrote: Inception, whose pictures go through one
of the protocols of _resizing.py; or what `train_classifier` wrote, whose features are those before
its logits. Anything else is a file of _networks.py that returns [B, D]. The latter two get
pictures as they are.
"""

from collections.abc import Callable
import dataclasses
import functools
import hashlib
import os

import jax
import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import _networks as networks
from maskgan_jax.evaluators import _resizing as resizing
from maskgan_jax.pretrained_networks import classifiers, inception
from maskgan_jax.pretrained_networks import files as weights

# Of Inception: spatial means after the stage with this number of channels.
TAPS = ('64', '192', '768', '2048')
_LARGEST_BATCH = 32  # pictures at once; fewer are padded to 1, 2, 4, ...


@dataclasses.dataclass(frozen=True)
class Features:
  """A network that gives features.

  Attributes:
    call: uint8 [B, H, W, 3] -> float32 [B, D], and Inception's logits [B, classes] or None.
    field: of the config that names it.
    provenance: what has to stand beside results: the network and its checksum, the protocol.
    key: names all that the features of a picture depend on, for a file's name.
    inception: whether the network is Inception.
  """

  call: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
  field: str
  provenance: str
  key: str
  inception: bool

  def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns what `call` does for uint8 [B, H, W, 3]; UserError for values that are not finite."""
    features, logits = self.call(images)
    for array in (features, logits):
      if array is None:
        continue
      # The count tells a wrong network from one odd picture.
      bad = np.count_nonzero(~np.isfinite(array).all(axis=1))
      if bad:
        raise errors.UserError(
          f'{self.field} gives features that are not finite for {bad} of '
          f'{len(images)} pictures; is the file of the right network?'
        )
    return features, logits


def open_network(
  path: str, field: str, *, protocol: str = 'pytorch_fid', tap: str = '2048'
) -> Features:
  """Opens the file `path`, which `field` of the config names.

  Args:
    path: of any kind, see the module's docstring.
    field: for messages.
    protocol: of resizing.PROTOCOLS, for Inception.
    tap: of `TAPS`, for Inception.
  Raises:
    UserError: for a file that is absent, damaged or something else, and unknown names.
  """
  path = os.path.expanduser(path)
  if weights.kind(path) == classifiers.KIND:
    return _open_classifier(path, field)
  if path.endswith(weights.SUFFIX):
    return _open_inception(path, field, protocol, tap)
  network = networks.open_network(path, field, 'features [B, D]')
  digest = digest_of(path)
  return Features(
    functools.partial(_own, network),
    field,
    f'{os.path.basename(path)}, sha256 {digest}',
    f'own-features-{digest[:16]}',
    False,
  )


def _open_classifier(path, field):
  """Returns the features before the last layer of a file of `train_classifier`."""
  classifier, digest = classifiers.read(path), digest_of(path)
  attributes = ', '.join(classifier.facts.attributes)
  return Features(
    lambda images: (classifier(images)[1], None),
    field,
    f'{os.path.basename(path)}, a classifier of {attributes}, sha256 {digest}',
    f'classifier-{digest[:16]}',
    False,
  )


def _open_inception(path, field, protocol, tap):
  """Returns Inception's features at a tap; UserError for an unknown protocol or tap."""
  # The protocol and the tap are part of the name: their features are never mixed.
  resizing.require(protocol)
  if tap not in TAPS:
    raise errors.UserError(
      f'config.distribution.tap={tap!r} is unknown; taps: {", ".join(TAPS)}'
    )
  params, text = weights.read_inception(path)
  digest = digest_of(path)
  return Features(
    _inception(params, protocol, tap),
    field,
    f'protocol {protocol}, tap {tap}, {text}',
    f'{protocol}-{tap}-{digest[:16]}',
    True,
  )


def _inception(params, protocol, tap):
  """Returns the call of `Features`."""
  module = inception.InceptionV3()
  params = jax.device_put(params)

  @jax.jit
  def compute(params, images):
    outputs = module.apply({'params': params}, resizing.prepare(images, protocol))
    return outputs[tap], outputs['logits_unbiased']

  def call(images):
    # Sizes are powers of two, so that few shapes compile; the last picture fills up.
    size = min(_LARGEST_BATCH, 1 << (len(images) - 1).bit_length())
    chunks = [
      compute(
        params, images[np.minimum(np.arange(start, start + size), len(images) - 1)]
      )
      for start in range(0, len(images), size)
    ]
    return tuple(
      np.concatenate(parts)[: len(images)]
      for parts in zip(*jax.device_get(chunks), strict=True)
    )

  return call


def _own(network, images):
  """Implements the call of `Features` for a file of the user's."""
  parts = []
  for output in network.outputs(images):
    if output.ndim == 4 and output.size == len(output) * max(output.shape[1:]):
      output = output.reshape(
        len(output), -1
      )  # [B, 1, 1, D], a mean that kept its axes
    floats = output.dtype.kind == 'f' or output.dtype == jax.numpy.bfloat16
    if output.ndim != 2 or not output.shape[1] or not floats:
      raise errors.UserError(
        f'{network.field} gives {output.dtype} {list(output.shape)}; expected '
        'features: float [B, D]'
      )
    parts.append(output.astype(np.float32))
  return np.concatenate(parts)[: len(images)], None


def digest_of(path: str) -> str:
  """Returns the SHA-256 of a file."""
  try:
    with open(path, 'rb') as file:
      return hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    raise errors.UserError(
      f'{path} cannot be read: {error.strerror or error}'
    ) from error
