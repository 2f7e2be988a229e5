"""Universal style transfer by whitening and colouring transforms (Li et al., NeurIPS 2017).

For each level k there is a decoder g_k that was trained to invert f_k, VGG-19 up to relu{k}_1:

  L_k = |g_k(f_k(x)) - x|^2 + lambda |f_k(g_k(f_k(x))) - f_k(x)|^2

No style is needed for that. To translate, from the deepest level to the first, features of the
picture so far are whitened, so that their covariance is the identity, and coloured with the
covariance and the mean of the exemplar's:

  y = g_k(alpha (S_s^1/2 S_c^-1/2 (f_k(y) - mu_c) + mu_s) + (1 - alpha) f_k(y))

Training is the paper's. The authors have published no code of it, but code for inference
(github.com/Yijunmaverick/UniversalStyleTransfer), which is followed there.
"""

from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import fields
from maskgan_jax.fields import at_least, at_most, between, field, one_of
from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import _style_transfer, base
from maskgan_jax.networks import decoders
from maskgan_jax.networks import normalization as norms
from maskgan_jax.pretrained_networks import vgg19

VARIANTS = {
  # What the features of a level are given of the exemplar's: the covariance, or with 'adain', as
  # the authors' code can do too, the channels' deviations only.
  'paper': dict(transform='covariance'),
}

_FIELDS = dict(
  variant='paper',
  model=dict(
    **_style_transfer.FIELDS,
    **_style_transfer.DECODER_FIELDS,
    # Levels, of which the deepest comes first.
    levels=field(5, at_least(1), at_most(5)),
    # Share of the exemplar's style at each level.
    alpha=field(0.6, between(0, 1)),
    # Eigenvalues of a covariance that are smaller count as 0.
    least_eigenvalue=field(1e-5, at_least(0)),
    # A switch; None follows config.variant (see VARIANTS).
    transform=field(None, one_of('covariance', 'adain')),
  ),
  weights=dict(
    pixel=field(1.0, at_least(0)),  # levels of pixels from 0 to 1
    feature=field(1.0, at_least(0)),  # lambda
  ),
  optimizers=dict(
    perceptual=base.adam(learning_rate=3e-4),
    decoders=dict(
      base.adam(learning_rate=1e-4), schedule='inverse_time', schedule_every=20_000
    ),
  ),
)
_EXACT = lax.Precision.HIGHEST  # TPUs and recent GPUs would round products of float32


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config, at the authors' settings."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes networks and stages as small as they go, for `:smoke`."""
  _style_transfer.shrink(config)
  config.model.levels = min(config.model.levels, 2)


def make(config: ml_collections.ConfigDict) -> 'WCT':
  """Builds the method from a config; UserError where a value makes no sense."""
  return WCT(config)


class Colour(NamedTuple):
  """The style of a level.

  Attributes:
    mean: of each channel, [B, C].
    root: of the covariance, symmetric, [B, C, C]; with 'adain' the variances, [B, C].
  """

  mean: jax.Array
  root: jax.Array


class WCT(_style_transfer.StyleTransfer):
  """The encoder, a decoder a level, and their player; see the module's docstring."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    fields.check(config, _FIELDS)
    self.levels = range(config.model.levels, 0, -1)
    _style_transfer.require_sides(config, config.model.levels)
    taps = vgg19.TAPS[: config.model.levels]
    super().__init__(config, taps, padding=config.model.padding)
    for level in self.levels:
      mirrored = vgg19.mirrored(config.model.perceptual_width, level)
      self.networks[f'decoder_{level}'] = decoders.VggDecoder(mirrored, self.dtype)

    # Decoders share nothing, and so learn at the same time what they would alone.
    start = config.model.pretrain_steps if self.learns_labels else 0
    groups = tuple(f'decoder_{level}' for level in self.levels)
    player = base.Player('decoders', groups, self.decoders_loss, start=start)
    labels = self.label_player(start) if start else ()
    self.players = (*labels, player)

  def pretrained(self):
    """Returns the encoder that is read from a file, if one is."""
    _style_transfer.require_trained(self)
    return super().pretrained()

  def init_decoders(self, init, maps):
    """Initialises each level's decoder on the maps of an image."""
    for level in self.levels:
      init(f'decoder_{level}', maps[f'relu{level}_1'])

  def decode(self, level: int, params: base.Params, code: jax.Array) -> jax.Array:
    """Returns g_k's picture of features, around [-1, 1]; the network's is in [0, 1]."""
    return 2 * self.apply(f'decoder_{level}', params, code.astype(self.dtype)) - 1

  # Training.

  def decoders_loss(self, params, model_state, batch, rng):
    """Returns the sum of L_k over the levels, eq. 1."""
    del rng
    images, _ = self.contents_and_styles(batch)
    maps = self.features(params, images)
    losses = {}
    for level in self.levels:
      name = f'relu{level}_1'
      painted = self.decode(level, params, maps[name])
      # Pixels are compared from 0 to 1.
      losses[f'pixel_{level}'] = reconstruction.l2(painted / 2, images / 2)
      again = self.features(params, painted)[name]
      losses[f'feature_{level}'] = reconstruction.l2(again, maps[name])
    loss = sum(
      self.weights[name.partition('_')[0]] * value for name, value in losses.items()
    )
    return loss, (losses, model_state)

  # Inference.

  def style_of(self, params, image, mask):
    """Returns the Colour of each level, over the pixels of a mask."""
    styles = {}
    for name, code in self.features(params, image).items():
      weight = _style_transfer.mask_of(mask, code)
      if self.switches.transform == 'covariance':
        mean, matrix = covariance(code, weight)
        styles[name] = Colour(mean, power(matrix, 0.5, self.model.least_eigenvalue))
      else:
        styles[name] = Colour(*norms.moments(code, weight))
    return styles

  def stylize(self, params, source, styles, rng):
    """Returns the source after all levels; a level's result of several styles is their mean."""
    del rng
    image = source
    for level in self.levels:
      name = f'relu{level}_1'
      code = self.features(params, image)[name].astype(jnp.float32)
      target = 0.0
      for weight, style in styles:
        target += weight * self._transformed(code, style[name])
      alpha = self.model.alpha
      image = self.decode(level, params, alpha * target + (1 - alpha) * code)
    return image

  def _transformed(self, code, colour):
    """Returns features with the mean and the covariance, or the variances, of a Colour."""
    if self.switches.transform == 'covariance':
      return recolour(code, colour, self.model.least_eigenvalue)
    return norms.adain(code, colour)


def recolour(code: jax.Array, colour: Colour, least: float) -> jax.Array:
  """Whitens features [B, h, w, C] and gives them a Colour: the same shape, float32.

  Args:
    code: the features.
    colour: the style.
    least: see `power`.
  """
  mean, matrix = covariance(code)
  whitening = power(matrix, -0.5, least)
  centred = code.astype(jnp.float32) - mean[:, None, None]
  both = jnp.matmul(whitening, colour.root, precision=_EXACT)
  coloured = jnp.einsum('bhwc,bcd->bhwd', centred, both, precision=_EXACT)
  return coloured + colour.mean[:, None, None]


def covariance(
  code: jax.Array, weight: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
  """Returns the mean [B, C] of features over their pixels, and their covariance [B, C, C].

  Args:
    code: [B, h, w, C].
    weight: of the pixels, [B, h, w, 1] in [0, 1]; None is 1. The covariance is divided by the sum
      of the weights less 1.
  """
  if weight is None:
    weight = jnp.ones((*code.shape[:3], 1), jnp.float32)
  mean, _ = norms.moments(code, weight)
  centred = code.astype(jnp.float32) - mean[:, None, None]
  flat = centred.reshape(code.shape[0], -1, code.shape[-1])
  weighted = flat * weight.reshape(code.shape[0], -1, 1)
  products = jnp.einsum('bnc,bnd->bcd', weighted, flat, precision=_EXACT)
  total = jnp.maximum(weight.sum((1, 2)) - 1, 1.0)
  return mean, products / total[:, :, None]


def power(matrix: jax.Array, exponent: float, least: float) -> jax.Array:
  """Returns powers of symmetric matrices [B, C, C], on the span of their larger eigenvalues.

  Args:
    matrix: has no eigenvalue below 0 but by rounding.
    exponent: 0.5 for the root, -0.5 for its inverse.
    least: smaller eigenvalues count as 0, and so do those that rounding alone could make.
  """

  def of_one(matrix):
    values, vectors = jnp.linalg.eigh(matrix)
    rounding = len(values) * jnp.finfo(values.dtype).eps * values[-1]
    kept = values > jnp.maximum(least, rounding)
    powers = jnp.where(kept, jnp.where(kept, values, 1) ** exponent, 0)
    return jnp.matmul(vectors * powers[None], vectors.T, precision=_EXACT)

  return jax.vmap(of_one)(matrix)
