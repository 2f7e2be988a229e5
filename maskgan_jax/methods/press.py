"""Emerging disentanglement in auto-encoders (Press, Galanti, Benaim, Wolf; ICLR 2019).

The baseline of content transfer, which added masks to it. Domain a is without the content
(glasses, beard, smile), domain b with it. Four networks: the common encoder E1, the separate
encoder E2, one decoder D for both domains, and the discriminator C on common codes.

  b = D(E1(b), E2(b)),   a = D(E1(a), 0)            what training reconstructs
  translation D(E1(a), E2(b)),   removal D(E1(b), 0)

Nothing but its few channels keeps E2's code from holding more than the content, and the whole
picture is painted anew.

`config.variant` is 'official' (the code at github.com/oripress/ContentDisentanglement) or 'paper';
VARIANTS lists where the two differ, each a switch in `config.model`. The paper itself was not at
hand: 'paper' follows a restatement of its objective (see docs/press.md).
"""

from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import base, content_transfer
from maskgan_jax.networks import decoders, discriminators, encoders, masks, streams

VARIANTS = {
  'paper': dict(
    # min over E1, E2, D and max over C of L_A + L_B - lambda L_C: E1 maximises C's loss.
    confusion='minimax',
    clip_gradients=False,
  ),
  'official': dict(
    confusion='without',  # both codes are pushed to the label of a
    # Global norm 5, the autoencoder's: the discriminator's call finds its parameters used up.
    clip_gradients=True,
  ),
}

_ADAM = base.adam(learning_rate=2e-4, b1=0.5)
_FIELDS = dict(
  variant='official',
  model=dict(
    # Channels after the first convolution; codes have 16 times as many at depth 6.
    width=field(32, at_least(1)),
    # Stride-2 convolutions; the code is image_size / 2**depth pixels wide, at least 2.
    depth=field(6, at_least(1)),
    separate_channels=field(25, at_least(1)),  # of E2's code
    discriminator_width=field(512, at_least(1)),
    # The picture that a removal is subtracted from to find the content: the 'source', as content
    # transfer's paper says, or its 'reconstruction', which has the decoder's blur on both sides.
    segmentation=field('source', one_of('source', 'reconstruction')),
    # Switches between paper and official code; None follows config.variant (see VARIANTS).
    confusion=field(None, one_of('without', 'minimax')),
  ),
  weights=dict(
    recon_a=field(1.0, at_least(0)),
    recon_b=field(1.0, at_least(0)),
    domain_confusion=field(0.001, at_least(0)),  # lambda
  ),
  optimizers=dict(autoencoder=_ADAM, discriminator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config, at the authors' settings for 128x128."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    depth=min(config.model.depth, 3),
    separate_channels=2,
    discriminator_width=8,
  )


def make(config: ml_collections.ConfigDict) -> 'Press':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Press(config)


class Parts(NamedTuple):
  """What the losses look at, by name: a and b are the images.

  Attributes:
    common: codes of a and b, [B, h, w, C].
    separate: code of b.
    decoded: reconstructions of a and b, [B, H, W, 3] in [-1, 1].
  """

  common: streams.Streams
  separate: jax.Array
  decoded: streams.Streams


class Press(base.Method):
  """The four networks and the two players; see the module's docstring."""

  abilities = frozenset({'exemplar', 'remove', 'segment', 'interpolate'})

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    _check(config)
    model = config.model
    self.weights = config.weights
    self.remat = config.remat
    self.segmentation = model.segmentation
    self.separate_channels = model.separate_channels

    # Content transfer's networks, with instance normalisation.
    dtype = jnp.dtype(config.compute_dtype)
    common, separate, decoder = content_transfer.widths(
      model.width, model.depth, model.separate_channels, 'minus_separate'
    )
    discriminator = discriminators.CodeDiscriminator(model.discriminator_width, dtype)
    self.networks = {
      'common_encoder': encoders.ConvEncoder(common, dtype, 'instance'),
      'separate_encoder': encoders.ConvEncoder(separate, dtype, 'instance'),
      'decoder': decoders.ConvDecoder(decoder, 3, 0.0, dtype, 'instance'),
      'discriminator': discriminator,
    }

    # The discriminator plays second, on codes of the new E1.
    clip = 5.0 if self.switches.clip_gradients else 0.0
    self.default_clip_norm = {'autoencoder': clip, 'discriminator': 0.0}
    autoencoder = ('common_encoder', 'separate_encoder', 'decoder')
    self.players = (
      base.Player('autoencoder', autoencoder, self.autoencoder_loss),
      base.Player('discriminator', ('discriminator',), self.discriminator_loss),
    )

  def init(self, rng, batch):
    """See base: returns fresh parameters, and no state."""
    init, (params, _) = base.initializer(self.networks, rng)
    common = init('common_encoder', batch['b'])
    separate = init('separate_encoder', batch['b'])
    init('decoder', jnp.concatenate([common, separate], axis=-1))
    init('discriminator', common)
    return params, {}

  def _apply(self, name, params, x):
    """Returns a network's output for an array."""
    network, variables = self.networks[name], {'params': params[name]}
    return base.apply(network, variables, x, remat=self.remat)

  def _together(self, name, params, **inputs):
    """Applies a network once to arrays by name; returns streams of the same names."""
    output = self._apply(name, params, streams.interleave(*inputs.values()))
    return streams.cut(streams.apart(output, tuple(inputs)))

  # Training.

  def _reconstruct(self, params, a, b):
    """Takes images apart and puts them together again; returns Parts."""
    common = self._together('common_encoder', params, b=b, a=a)
    separate = self._apply('separate_encoder', params, b)
    outputs = self._together(
      'decoder',
      params,
      b=content_transfer.join_codes(common.b, separate),
      a=content_transfer.join_codes(common.a, jnp.zeros_like(separate)),
    )
    decoded = streams.Streams(a=jnp.tanh(outputs.a), b=jnp.tanh(outputs.b))
    return Parts(common, separate, decoded)

  def autoencoder_loss(self, params, model_state, batch, rng):
    """Computes L_A + L_B and lambda times the domain confusion."""
    del rng
    parts = self._reconstruct(params, batch['a'], batch['b'])
    losses = {
      'recon_a': reconstruction.l2(parts.decoded.a, batch['a']),
      'recon_b': reconstruction.l2(parts.decoded.b, batch['b']),
      'domain_confusion': self._domain_confusion(params, parts.common),
    }
    loss = sum(
      self.weights[name] * value for name, value in losses.items() if self.weights[name]
    )

    # A flat map of E2 is normalised to zeros, and the content is then lost without a sign.
    separate = lax.stop_gradient(parts.separate)
    spread = separate.std((1, 2)).mean(dtype=jnp.float32)
    return loss, ({**losses, 'separate_spread': spread}, model_state)

  def _domain_confusion(self, params, common):
    """Computes the term by which E1 hides the domain from C."""
    logits = self._together('discriminator', params, b=common.b, a=common.a)
    if self.switches.confusion == 'minimax':
      loss, _ = adversarial.tell_domains(logits.a, logits.b)
      return -loss
    cross_entropy = adversarial.binary_cross_entropy
    return cross_entropy(logits.a, 0.0) + cross_entropy(logits.b, 0.0)

  def discriminator_loss(self, params, model_state, batch, rng):
    """Computes C's loss: it tells codes of b (label 1) from codes of a (label 0)."""
    del rng
    common = self._together('common_encoder', params, b=batch['b'], a=batch['a'])
    logits = self._together('discriminator', params, b=common.b, a=common.a)
    loss, accuracy = adversarial.tell_domains(logits.a, logits.b)
    return loss, ({'accuracy': accuracy}, model_state)

  # Inference.

  def encode(self, params, common_image, separate_image):
    """Returns (E1(common_image), E2(separate_image)), each [B, h, w, channels]."""
    common = self._apply('common_encoder', params, common_image)
    return common, self._apply('separate_encoder', params, separate_image)

  def decode(self, params, common, separate):
    """Returns D's image of two codes, [B, H, W, 3] in [-1, 1]."""
    return jnp.tanh(
      self._apply('decoder', params, content_transfer.join_codes(common, separate))
    )

  def reconstruct_without(self, params, image):
    """Returns D(E1(image), 0): the whole image painted anew without the content."""
    common = self._apply('common_encoder', params, image)
    shape = (*common.shape[:-1], self.separate_channels)
    return self.decode(params, common, jnp.zeros(shape, common.dtype))

  def translate(
    self,
    params,
    model_state,
    source,
    exemplar,
    *,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
  ):
    """Returns D(E1(source), E2(exemplar)); there are no masks."""
    del model_state, source_mask, exemplar_mask, rng
    return base.Translation(self.decode(params, *self.encode(params, source, exemplar)))

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    """Returns the image without its content, D(E1(b), 0).

    Args:
      params: see base.
      model_state: see base.
      image: [B, H, W, 3] in [-1, 1].
      mask: keeps the image where it is 0, [B, H, W, 1] in [0, 1]; default 1, since the method has
        no mask of its own.
      threshold: binarises the mask; default 0.5.
    """
    del model_state
    removed = self.reconstruct_without(params, image)
    if mask is None:
      return base.Translation(removed, jnp.ones_like(removed[..., :1]))
    threshold = 0.5 if threshold is None else threshold
    binary = (mask >= threshold).astype(jnp.float32)
    return base.Translation(masks.composite(binary, removed, image), mask)

  def segment(self, params, model_state, image):
    """Returns how far the removal differs from the image, or from its reconstruction.

    Content transfer, section 4: "we take the translated image and subtract, in pixel space, the
    source image". The paper does not say how channels become one; here it is their mean.
    """
    del model_state
    whole = image
    if self.segmentation == 'reconstruction':
      whole = self.decode(params, *self.encode(params, image, image))
    return masks.difference(whole, self.reconstruct_without(params, image))

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """Returns D with the separate code (1 - weight) E2(exemplar_1) + weight E2(exemplar_2)."""
    del model_state
    common, separate_1 = self.encode(params, source, exemplar_1)
    separate_2 = self._apply('separate_encoder', params, exemplar_2)
    separate = (1 - weight) * separate_1 + weight * separate_2
    return base.Translation(self.decode(params, common, separate))


def _check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a name or number that cannot be, and for images that do not fit."""
  base.require_square(config)
  fields.check(config, _FIELDS)
  stride = 2**config.model.depth
  if config.image_size % stride or config.image_size < 2 * stride:
    raise errors.UserError(
      f'config.image_size is {config.image_size}, but {config.model.depth} stride-2 convolutions '
      f'(config.model.depth) need a multiple of {stride} that leaves 2x2 pixels or more: instance '
      'normalisation makes a single pixel 0'
    )
