"""Mask-based unsupervised content transfer (Mokady, Benaim, Wolf, Bermano; ICLR 2020).

Domain a is without the content (glasses, beard, smile), domain b with it. Five networks: the
common encoder Ec, the separate encoder Es, decoder_a D_A (faces without), decoder_b D_B (a mask and
what to paint through it), and the discriminator C on common codes.

  z(a, b) = m(a, b) * raw(a, b) + (1 - m(a, b)) * a,   m, raw = D_B(Ec(a), Es(b))   (eqs. 1, 2)

`config.variant` is 'paper' or 'official' (code at github.com/rmokady/mbu-content-tansfer);
VARIANTS lists where the two differ, each a switch in `config.model`.
"""

from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import ml_collections

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import _content_transfer_settings as settings
from maskgan_jax.methods import _given_masks, base
from maskgan_jax.networks import decoders, discriminators, encoders, masks, streams

VARIANTS, WEIGHTS = settings.VARIANTS, settings.WEIGHTS
get_default, shrink = settings.get_default, settings.shrink
weights, widths = settings.weights, settings.widths


def make(config: ml_collections.ConfigDict) -> 'ContentTransfer':
  """Builds the method from a config; UserError where a value makes no sense."""
  return ContentTransfer(config)


class Parts(NamedTuple):
  """What the losses look at, by name: a and b are the images, ab is what a gets from b.

  Attributes:
    common: codes of a and b, [B, h, w, C].
    separate: codes of a and b.
    without: D_A's images of a and b, [B, H, W, 3] in [-1, 1].
    mask: of ab, aa and bb, [B, H, W, 1] in [0, 1].
    raw: images of ab, aa and bb that are painted through their masks.
  """

  common: streams.Streams
  separate: streams.Streams
  without: streams.Streams
  mask: streams.Streams
  raw: streams.Streams


class ContentTransfer(base.Method):
  """The five networks and the two players; see the module's docstring."""

  abilities = frozenset(
    {'exemplar', 'source_mask', 'exemplar_mask', 'remove', 'segment', 'interpolate'}
  )
  learns_from_masks = True
  mask_meanings = {
    'source': 'Coloured: where the source changes. What is erased stays as it is, pixel for '
    'pixel.',
    'exemplar': 'Coloured: what is taken from the exemplar. Its code is one for the whole face: '
    'erasing takes less of it, not a part.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    settings.check(config)
    model = config.model
    self.weights = config.weights
    self.norms = {
      name: reconstruction.BY_NAME[norm] for name, norm in config.norms.items()
    }
    self.remat = config.remat
    self.detach_background = model.detach_background
    self.removal_threshold = model.removal_threshold
    self.separate_channels = model.separate_channels

    dtype = jnp.dtype(config.compute_dtype)
    common, separate, decoder = widths(
      model.width, model.depth, model.separate_channels, self.switches.common_widths
    )
    leak = self.switches.decoder_leak
    self.networks = {
      'common_encoder': encoders.ConvEncoder(common, dtype),
      'separate_encoder': encoders.ConvEncoder(separate, dtype),
      'decoder_a': decoders.ConvDecoder(decoder, 3, leak, dtype),
      'decoder_b': decoders.ConvDecoder(decoder, 4, leak, dtype),
      'discriminator': discriminators.CodeDiscriminator(
        model.discriminator_width, dtype
      ),
    }
    clip = 5.0 if self.switches.clip_gradients else 0.0
    self.default_clip_norm = {'autoencoder': clip, 'discriminator': 0.0}
    generator = ('common_encoder', 'separate_encoder', 'decoder_a', 'decoder_b')
    self.players = (
      base.Player('autoencoder', generator, self.autoencoder_loss),
      base.Player('discriminator', ('discriminator',), self.discriminator_loss),
    )

  def init(self, rng, batch):
    """See base: returns fresh parameters and state."""
    init, variables = base.initializer(self.networks, rng)
    common = init('common_encoder', batch['b'], train=True)
    separate = init('separate_encoder', batch['b'], train=True)
    code = jnp.concatenate([common, separate], axis=-1)
    init('decoder_a', code, train=True)
    init('decoder_b', code, train=True)
    init('discriminator', common)
    return variables

  # In training: streams by name, each normalised by its own batch statistics. Images are a and b;
  # ab is decoded from the common code of a and the separate code of b.

  def _together(self, name, params, stats, *, output=None, statistics=None, **inputs):
    """Applies a network to streams at once.

    Args:
      name: of the network.
      params: see base.
      stats: batch statistics by network.
      output: activation of the network, if any.
      statistics: names of the streams, in the order in which they go into the running averages;
        None is each once.
      **inputs: arrays by name.

    Returns:
      What comes out by name (of several outputs a tuple), and new batch statistics.
    """
    options = streams.statistics(tuple(inputs), statistics)
    joined, updates = base.apply(
      self.networks[name],
      {'params': params[name], 'batch_stats': stats[name]},
      streams.interleave(*inputs.values()),
      remat=self.remat,
      train=True,
      mutable=['batch_stats'],
      **options,
    )
    outputs = streams.cut(
      streams.apart(output(joined) if output else joined, tuple(inputs))
    )
    return outputs, {**stats, name: updates['batch_stats']}

  def _exchange(self, params, stats, a, b):
    """Takes images apart and decodes what the losses look at.

    Returns:
      Parts, and new batch statistics; the order of their updates is the authors'.
    """
    common, stats = self._together('common_encoder', params, stats, b=b, a=a)
    if self.switches.recon2_a_code == 'separate':
      separate, stats = self._together('separate_encoder', params, stats, b=b, a=a)
      zeros = jnp.zeros_like(separate.b)
    else:
      separate, stats = self._together('separate_encoder', params, stats, b=b)
      zeros = jnp.zeros_like(separate.b)
      separate |= streams.Streams(a=zeros)

    without, stats = self._together(
      'decoder_a',
      params,
      stats,
      output=jnp.tanh,
      b=join_codes(common.b, zeros),
      a=join_codes(common.a, zeros),
    )
    # The authors decode (b, b) twice, for the two backgrounds: once is enough, but counts twice in
    # the running averages.
    (mask, raw), stats = self._together(
      'decoder_b',
      params,
      stats,
      output=split_mask,
      statistics=('bb', 'ab', 'aa', 'bb'),
      bb=join_codes(common.b, separate.b),
      ab=join_codes(common.a, separate.b),
      aa=join_codes(common.a, separate.a),
    )
    return Parts(common, separate, without, mask, raw), stats

  def autoencoder_loss(self, params, model_state, batch, rng):
    """Computes equations 3 and 5 to 9."""
    del rng
    a, b = batch['a'], batch['b']
    parts, stats = self._exchange(params, model_state['batch_stats'], a, b)
    common, separate, without, mask, raw = parts
    z_ab = masks.composite(mask.ab, raw.ab, a)  # eq. 2
    cycle_common, cycle_separate, stats = self._cycle(
      params, stats, z_ab, common.a, separate.b
    )

    background = lax.stop_gradient(without.b) if self.detach_background else without.b
    recon1, recon2, l2 = self.norms['recon1'], self.norms['recon2'], reconstruction.l2
    losses = {
      'domain_confusion': self._domain_confusion(params, common),  # eq. 3
      'recon1_a': recon1(without.a, a),  # eq. 5
      'recon1_b': recon1(masks.composite(mask.bb, raw.bb, background), b),  # eqs. 6, 7
      'recon2_a': recon2(masks.composite(mask.aa, raw.aa, a), a),  # eq. 8
      'recon2_b': recon2(masks.composite(mask.bb, raw.bb, b), b),
      'cycle': cycle_separate
      + (cycle_common if self.switches.cycle_common else 0.0),  # eq. 9
      'mask_l2': l2(mask.aa, 0 * mask.aa) + l2(mask.bb, 0 * mask.bb),
      **self._given_mask_losses(batch, z_ab, parts),
    }
    loss = sum(
      self.weights[name] * value for name, value in losses.items() if self.weights[name]
    )
    metrics = dict(losses, cycle_common=cycle_common, **masks.statistics(mask.ab))
    return loss, (metrics, {**model_state, 'batch_stats': stats})

  def _given_mask_losses(self, batch, z_ab, parts):
    """Returns the losses of given masks: of z(a, b), and of b with its content removed.

    The mask of b is that of its content, with which m(b, b) has to agree. What a's mask should
    be depends on b, so that m(a, b) has to keep within a given one, and no more.
    """
    if not _given_masks.is_on(self.weights):
      return {}
    b = batch['b']
    removed = masks.composite(parts.mask.bb, parts.without.b, b)
    return _given_masks.summed(
      (
        _given_masks.losses(self.weights, batch, 'a', z_ab, None),
        _given_masks.losses(self.weights, batch, 'b', removed, parts.mask.bb),
      )
    )

  def _cycle(self, params, stats, z_ab, common_a, separate_b):
    """Returns both terms of eq. 9, the common code's and the separate one's, and new statistics."""
    common, stats = self._together('common_encoder', params, stats, ab=z_ab)
    separate, stats = self._together('separate_encoder', params, stats, ab=z_ab)
    codes = common.ab, common_a
    if not self.switches.cycle_common:
      codes = lax.stop_gradient(codes)  # reported, not trained
    return reconstruction.l2(*codes), reconstruction.l2(separate.ab, separate_b), stats

  def _domain_confusion(self, params, common):
    """Computes eq. 3: both codes are pushed to the same label."""
    target = 1.0 if self.switches.confusion_target == 'with' else 0.0
    logits = self._discriminate(params, a=common.a, b=common.b)
    return adversarial.binary_cross_entropy(
      logits.a, target
    ) + adversarial.binary_cross_entropy(logits.b, target)

  def _discriminate(self, params, **codes):
    """Returns C's logits of common codes by name."""
    joined = streams.interleave(*codes.values())
    logits = self.networks['discriminator'].apply(
      {'params': params['discriminator']}, joined
    )
    return streams.cut(streams.apart(logits, tuple(codes)))

  def discriminator_loss(self, params, model_state, batch, rng):
    """Computes equation 4: C tells codes of b (label 1) from codes of a (label 0)."""
    del rng
    common, stats = self._together(
      'common_encoder', params, model_state['batch_stats'], b=batch['b'], a=batch['a']
    )
    logits = self._discriminate(params, b=common.b, a=common.a)
    loss, accuracy = adversarial.tell_domains(logits.a, logits.b)
    return loss, ({'accuracy': accuracy}, {**model_state, 'batch_stats': stats})

  # Inference: running averages.

  def _apply(self, name, params, model_state, x):
    return self.networks[name].apply(
      {'params': params[name], 'batch_stats': model_state['batch_stats'][name]},
      x,
      train=False,
    )

  def encode(self, params, model_state, common_image, separate_image):
    """Returns (Ec(common_image), Es(separate_image)), each [B, h, w, channels]."""
    return (
      self._apply('common_encoder', params, model_state, common_image),
      self._apply('separate_encoder', params, model_state, separate_image),
    )

  def decode(self, params, model_state, common, separate):
    """Returns the mask [B, H, W, 1] and the raw image [B, H, W, 3] of two codes (eq. 1)."""
    code = join_codes(common, separate)
    return split_mask(self._apply('decoder_b', params, model_state, code))

  def unmasked_removal(self, params, model_state, image):
    """Returns D_A(Ec(image)): the whole image painted anew without the content."""
    common = self._apply('common_encoder', params, model_state, image)
    if self.switches.removal_code == 'separate':
      separate = self._apply('separate_encoder', params, model_state, image)
    else:
      separate = jnp.zeros((*common.shape[:-1], self.separate_channels), common.dtype)
    return jnp.tanh(
      self._apply('decoder_a', params, model_state, join_codes(common, separate))
    )

  def segment(self, params, model_state, image):
    """Returns m(b, b), the soft mask of the content in `image` (section 3, inference)."""
    common, separate = self.encode(params, model_state, image, image)
    mask, _ = self.decode(params, model_state, common, separate)
    return mask

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
    """Returns z(source, exemplar).

    A given source_mask replaces m(a, b). What a given exemplar_mask leaves out of m(b, b) is
    painted over with the exemplar's own removal before Es sees it, so it is not transferred.
    """
    del rng
    predicted = self.segment(params, model_state, exemplar)
    if exemplar_mask is None:
      exemplar_mask = predicted
    else:
      erased = jnp.clip(predicted - exemplar_mask, 0, 1)
      removed = self.unmasked_removal(params, model_state, exemplar)
      exemplar = masks.composite(erased, removed, exemplar)

    common, separate = self.encode(params, model_state, source, exemplar)
    mask, raw = self.decode(params, model_state, common, separate)
    if source_mask is not None:
      mask = jnp.broadcast_to(source_mask, mask.shape)
    image = masks.composite(mask, raw, source)
    return base.Translation(image, mask, exemplar_mask, {'raw': raw})

  def remove(self, params, model_state, image, *, mask=None, threshold=None):
    """Returns the image without its content: D_A(Ec(b)) inside the binarised mask, b outside.

    Args:
      params: see base.
      model_state: see base.
      image: [B, H, W, 3] in [-1, 1].
      mask: replaces m(b, b); [B, H, W, 1] in [0, 1].
      threshold: binarises the mask; default `config.model.removal_threshold`.
    """
    if mask is None:
      mask = self.segment(params, model_state, image)
    threshold = self.removal_threshold if threshold is None else threshold
    binary = (mask >= threshold).astype(jnp.float32)
    removed = masks.composite(
      binary, self.unmasked_removal(params, model_state, image), image
    )
    return base.Translation(removed, mask, None, {'binary_mask': binary})

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """Returns z with the separate code (1 - weight) Es(exemplar_1) + weight Es(exemplar_2).

    This is how Figure 4 walks from one exemplar to another.
    """
    common, separate_1 = self.encode(params, model_state, source, exemplar_1)
    separate_2 = self._apply('separate_encoder', params, model_state, exemplar_2)
    separate = (1 - weight) * separate_1 + weight * separate_2
    mask, raw = self.decode(params, model_state, common, separate)
    return base.Translation(
      masks.composite(mask, raw, source), mask, None, {'raw': raw}
    )


def split_mask(output: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Splits D_B's four channels into the mask in [0, 1] and the raw image in [-1, 1]."""
  return jax.nn.sigmoid(output[..., :1]), jnp.tanh(output[..., 1:])


def join_codes(common: jax.Array, separate: jax.Array) -> jax.Array:
  """Returns what decoders take: the channels of both codes."""
  return jnp.concatenate([common, separate], axis=-1)
