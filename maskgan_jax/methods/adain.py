"""Arbitrary style transfer with adaptive instance normalisation (Huang and Belongie, ICCV 2017).

The encoder f is VGG-19 up to relu4_1, left as it is. The style of a picture s are the mean and the
deviation of each channel of f(s); AdaIN gives them to the content's features, and a decoder g,
which alone is trained, paints a picture of the result:

  t = AdaIN(f(c), f(s)),   y = g(t),   L = |f(y) - t|^2 + lambda sum_i L_i(y, s)

where L_i is the distance between the means and deviations of y and s at relu1_1 to relu4_1. When a
picture is translated, alpha t + (1 - alpha) f(c) is decoded.

`config.variant` is 'official' (the code at github.com/xunhuang1995/AdaIN-style) or 'paper';
VARIANTS lists where they differ.
"""

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import fields
from maskgan_jax.fields import at_least, between, field, one_of
from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import _style_transfer, base
from maskgan_jax.networks import decoders
from maskgan_jax.networks import normalization as norms
from maskgan_jax.networks.streams import deinterleave, interleave
from maskgan_jax.pretrained_networks import vgg19

VARIANTS = {
  # Euclidean norms, eqs. 12 and 13.
  'paper': dict(distances='norms'),
  # The mean square of features, and sums of squares over the channels of means and deviations.
  'official': dict(distances='squares'),
}

_FIELDS = dict(
  variant='official',
  model=dict(
    **_style_transfer.FIELDS,
    **_style_transfer.DECODER_FIELDS,
    # Share of the exemplar's style in a translation; training has 1.
    alpha=field(1.0, between(0, 1)),
    # Switches between paper and official code; None follows config.variant (see VARIANTS).
    distances=field(None, one_of('norms', 'squares')),
  ),
  weights=dict(
    content=field(1.0, at_least(0)),
    # Lambda; the code's for its default model. 'squares' add up more, the wider the network is.
    style=field(0.1, at_least(0)),
  ),
  optimizers=dict(
    perceptual=base.adam(learning_rate=3e-4),
    # The rate is 1e-4 / (1 + 5e-5 step).
    decoder=dict(
      base.adam(learning_rate=1e-4), schedule='inverse_time', schedule_every=20_000
    ),
  ),
)
_TAPS = ('relu1_1', 'relu2_1', 'relu3_1', 'relu4_1')
_CODE = 'relu4_1'
_LEVEL = 4


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config, at the authors' settings."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes networks and stages as small as they go, for `:smoke`."""
  _style_transfer.shrink(config)


def make(config: ml_collections.ConfigDict) -> 'AdaIN':
  """Builds the method from a config; UserError where a value makes no sense."""
  return AdaIN(config)


class AdaIN(_style_transfer.StyleTransfer):
  """The encoder, the decoder and its player; see the module's docstring."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    fields.check(config, _FIELDS)
    _style_transfer.require_sides(config, _LEVEL)
    super().__init__(config, _TAPS, padding=config.model.padding)
    mirrored = vgg19.mirrored(config.model.perceptual_width, _LEVEL)
    self.networks['decoder'] = decoders.VggDecoder(mirrored, self.dtype)

    # The decoder learns as soon as the encoder is fixed.
    start = config.model.pretrain_steps if self.learns_labels else 0
    player = base.Player('decoder', ('decoder',), self.decoder_loss, start=start)
    labels = self.label_player(start) if start else ()
    self.players = (*labels, player)

  def pretrained(self):
    """Returns the encoder that is read from a file, if one is."""
    _style_transfer.require_trained(self)
    return super().pretrained()

  def init_decoders(self, init, maps):
    """Initialises the decoder on the maps of an image."""
    init('decoder', maps[_CODE])

  def decode(self, params: base.Params, code: jax.Array) -> jax.Array:
    """Returns g's picture of features at relu4_1, around [-1, 1]; the network's is in [0, 1]."""
    return 2 * self.apply('decoder', params, code.astype(self.dtype)) - 1

  # Training.

  def decoder_loss(self, params, model_state, batch, rng):
    """Returns the decoder's loss, eqs. 11 to 13."""
    del rng
    contents, styles = self.contents_and_styles(batch)
    maps = self.features(params, interleave(contents, styles))
    content, _ = deinterleave(maps[_CODE], 2)
    style = {name: deinterleave(both, 2)[1] for name, both in maps.items()}
    target = norms.adain(content, norms.moments(style[_CODE]))
    painted = self.features(params, self.decode(params, target))

    # L_c compares with AdaIN's result, not with the content's features.
    squared = self.switches.distances == 'squares'
    distance = reconstruction.l2(painted[_CODE], target)
    if not squared:
      distance = reconstruction.length(painted[_CODE] - target, squared)
    losses = {'content': distance, 'style': 0.0}
    for name in _TAPS:
      losses['style'] += reconstruction.moments(
        norms.moments(painted[name]), norms.moments(style[name]), squared=squared
      )
    loss = sum(self.weights[name] * value for name, value in losses.items())
    return loss, (losses, model_state)

  # Inference.

  def style_of(self, params, image, mask):
    """Returns mean and variance of each channel, over the pixels of a mask."""
    code = self.features(params, image)[_CODE]
    return norms.moments(code, _style_transfer.mask_of(mask, code))

  def stylize(self, params, source, styles, rng):
    """Returns g(alpha t + (1 - alpha) f(c)), t of several styles being the mean of theirs."""
    del rng
    code = self.features(params, source)[_CODE].astype(jnp.float32)
    target = 0.0
    for weight, style in styles:
      target += weight * norms.adain(code, style)
    alpha = self.model.alpha
    return self.decode(params, alpha * target + (1 - alpha) * code)
