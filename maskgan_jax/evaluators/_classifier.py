"""A classifier of attributes from a file, as the evaluator `accuracy` asks it."""

import os

import numpy as np

from maskgan_jax import errors
from maskgan_jax.evaluators import _features as features
from maskgan_jax.evaluators import _networks as networks
from maskgan_jax.pretrained_networks import classifiers
from maskgan_jax.pretrained_networks import files as weights

FIELD = 'config.accuracy.network'


class Classifier:
  """A classifier from a file of either kind.

  Attributes:
    attributes: what its logits mean.
    image_shape: height and width of what it was trained on; None if the file does not say.
    domains: predicates of the a and b that its label 'B' is about; () if the file does not say.
    held_out: accuracy on pictures that it was not trained on, by attribute, where the file says.
    provenance: names it in results.
  """

  def __init__(self, path: str, attributes: tuple[str, ...]):
    """Opens a file; UserError says what is wrong with it or with the names of its outputs."""
    path = os.path.expanduser(path)
    self.image_shape, self.domains, self.held_out = None, (), {}
    if path.endswith(weights.SUFFIX):
      described = self._open_ours(path, attributes)
    else:
      described = self._open_other(path, attributes)
    digest = features.digest_of(path)[:16]
    self.provenance = f'{os.path.basename(path)}, sha256 {digest}{described}'

  def _open_other(self, path, attributes):
    """Opens a file of `_networks`; returns what results say of it beside its name."""
    if not attributes:
      raise errors.UserError(
        f'{FIELD}={path!r} does not say what its outputs mean; name them in '
        'config.accuracy.attributes'
      )
    self.attributes = attributes
    network = networks.open_network(path, FIELD, 'logits [B, L]')
    self._call = lambda images: np.concatenate(list(network.outputs(images)))[
      : len(images)
    ]
    return ''

  def _open_ours(self, path, attributes):
    """Opens a file of `train_classifier`; returns what results say of it beside its name."""
    classifier = classifiers.read(path)
    facts = classifier.facts
    self.attributes, self.image_shape = facts.attributes, facts.image_shape
    self.domains, self.held_out = facts.domains, dict(facts.held_out.accuracy)
    if attributes and attributes != self.attributes:
      raise errors.UserError(
        f'config.accuracy.attributes={attributes!r}, but {path} knows '
        f'{", ".join(self.attributes)}; leave it empty'
      )

    # Beside the shares of right answers stand those of always the commoner value.
    shares = []
    for name, share in self.held_out.items():
      commoner = facts.held_out.commoner(name)
      shares.append(
        f'{name} {100 * share:.1f} % (always the commoner value {100 * commoner:.1f} %)'
      )
    self._call = lambda images: classifier(images)[0]
    return f'; of its own {facts.held_out.pictures:,} test pictures right: {", ".join(shares)}'

  def __call__(self, images: np.ndarray) -> np.ndarray:
    """Returns finite logits [N, L] of uint8 [N, H, W, 3]; UserError if the network gives others."""
    # Objects, texts, complex numbers and booleans cannot be logits.
    logits = self._call(images)
    if (
      logits.shape != (len(images), len(self.attributes))
      or logits.dtype.kind in 'OSUcb'
    ):
      raise errors.UserError(
        f'{FIELD} gives {logits.dtype} {list(logits.shape)}; expected logits '
        f'[B, {len(self.attributes)}], for {", ".join(self.attributes)}'
      )
    logits = logits.astype(np.float32)
    if not np.isfinite(logits).all():
      raise errors.UserError(f'{FIELD} gives logits that are not finite')
    return logits
