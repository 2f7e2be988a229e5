"""LOMIT's networks, and how images go through them: exchange, way back, translation."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maskgan_jax.methods import base
from maskgan_jax.networks import decoders, discriminators, encoders, masks, streams


class Parts(NamedTuple):
  """Images and what they are made of, as streams by name.

  Names in training: a and b are the images, ab is a after the example of b, aba the way back from
  there, aa is a from its own parts. The mask ab is predicted from
  the translation ab.

  Attributes:
    image: [B, H, W, 3] in [-1, 1].
    content: [B, H / 4, W / 4, C].
    mask: [B, H / 4, W / 4, 1] in (0, 1).
    foreground: codes [B, S] of what is inside the mask.
    background: codes [B, S] of what is outside it.
  """

  image: streams.Streams
  content: streams.Streams
  mask: streams.Streams
  foreground: streams.Streams
  background: streams.Streams


class Ingredients(NamedTuple):
  """What one translation is decoded from, and the masks at the images' size.

  Attributes:
    content: of the source.
    mask: of the source, as large as the content.
    foreground: code of the exemplar.
    background: code of the source.
    source_mask: [B, H, W, 1] in [0, 1].
    exemplar_mask: [B, H, W, 1] in [0, 1].
  """

  content: jax.Array
  mask: jax.Array
  foreground: jax.Array
  background: jax.Array
  source_mask: jax.Array
  exemplar_mask: jax.Array


class Networks:
  """The networks by name, applied to streams in training and to arrays in translation.

  Attributes:
    by_name: the Flax modules; 'gate' only under co-segmentation.
  """

  def __init__(self, model, switches, labels, dtype, remat):
    """Builds the networks.

    Args:
      model: `config.model`.
      switches: see lomit.VARIANTS.
      labels: how many of them the critic tells apart.
      dtype: of computations.
      remat: whether the backward pass computes networks again.
    """
    self.remat = remat
    self.exemplar_mask = model.exemplar_mask
    self.inference_statistics = switches.inference_statistics
    self.composed = switches.composed
    self.erased_style = switches.erased_style
    shared = switches.style_heads == 'shared'
    self.heads = ('head', 'head') if shared else ('foreground', 'background')
    outer = switches.outer_convolutions
    self.by_name = {
      'content_encoder': encoders.ContentEncoder(
        model.width, model.blocks, outer, dtype
      ),
      'style_encoder': encoders.StyleEncoder(
        model.width, model.style_size, outer, tuple(dict.fromkeys(self.heads)), dtype
      ),
      'mask': masks.MaskNetwork(model.mask_depth, dtype),
      'decoder': decoders.HighwayDecoder(
        model.mlp, model.blocks, switches.deviation, switches.style_scale, outer, dtype
      ),
      'critic': discriminators.PatchCritic(
        model.critic_width, model.critic_depth, labels, dtype
      ),
    }
    if switches.cosegmentation:
      self.by_name['gate'] = masks.ChannelGate(dtype)

  def init(self, rng, batch):
    """See base: returns fresh parameters and state."""
    init, variables = base.initializer(self.by_name, rng)
    images = streams.interleave(batch['a'], batch['b'])
    content = init('content_encoder', images)
    foreground, background = init('style_encoder', images, self.heads)
    if 'gate' in self.by_name:
      init('gate', content, content)
    mask = init('mask', content, train=True)
    half = len(images) // 2
    init('decoder', content[:half], mask[:half], foreground, background)
    init('critic', images)
    return variables

  def apply(self, name, params, *inputs, variables=None, **options):
    """Returns a network's output for arrays."""
    network = self.by_name[name]
    variables = {'params': params[name], **(variables or {})}
    return base.apply(network, variables, *inputs, remat=self.remat, **options)

  # In training: streams by name. Images are a and b, translations ab and ba; aba is a there and
  # back, aa is a from its own parts.

  def together(self, name, params, **inputs):
    """Applies a network to streams at once; returns its outputs under their names."""
    return streams.apply(functools.partial(self.apply, name, params), inputs)

  def styles(self, params, images, mask):
    """Returns the streams of foreground codes and of background codes of images.

    The masks are [b, h, w, 1], a quarter as wide and high as the images.
    """
    names = tuple(vars(images))
    pixels = streams.interleave(*vars(images).values())
    mask = masks.upsample(streams.interleave(*vars(mask).values()), 4)
    foreground, background = mask * pixels, (1 - mask) * pixels
    if not self.exemplar_mask:
      foreground = background = pixels
      if self.heads[0] == self.heads[1]:  # one code is both
        (code,) = self.apply('style_encoder', params, pixels, heads=self.heads[:1])
        return streams.apart((code, code), names)
    both = streams.interleave(foreground, background)
    return streams.apart(
      self.apply('style_encoder', params, both, heads=self.heads), names
    )

  def gated(self, params, **pairs):
    """Returns what the mask network sees of contents, each given with the other one of its pair."""
    if 'gate' in self.by_name:
      return self.together('gate', params, **pairs)
    return streams.Streams(**{name: content for name, (content, _) in pairs.items()})

  def predict_masks(self, params, stats, content, statistics=None):
    """Predicts masks in training, with each stream's own statistics.

    Args:
      params: see base.
      stats: batch statistics by network.
      content: streams, gated.
      statistics: names of the streams, in the order in which they go into the running averages;
        None is each once.

    Returns:
      The streams of masks, and new batch statistics.
    """
    names = tuple(vars(content))
    mask, updates = self.apply(
      'mask',
      params,
      streams.interleave(*vars(content).values()),
      variables={'batch_stats': stats['mask']},
      mutable=['batch_stats'],
      train=True,
      **streams.statistics(names, statistics),
    )
    return streams.apart(mask, names), {**stats, 'mask': updates['batch_stats']}

  def exchange(self, params, stats, batch, statistics):
    """Translates both ways: what the critic's and the generator's step have in common.

    Where both play, XLA computes this once (tests/methods/test_lomit_cost.py).

    Args:
      params: see base.
      stats: batch statistics by network.
      batch: see base.
      statistics: see `predict_masks`.

    Returns:
      Parts of a and b with the images ab and ba, and new batch statistics.
    """
    image = streams.apart(streams.interleave(batch['a'], batch['b']), 'ab')
    content = self.together('content_encoder', params, a=image.a, b=image.b)
    gated = self.gated(params, a=(content.a, content.b), b=(content.b, content.a))
    mask, stats = self.predict_masks(params, stats, gated, statistics)
    foreground, background = self.styles(params, image, mask)
    translation = self.together(
      'decoder',
      params,
      ab=(content.a, mask.a, foreground.b, background.a),
      ba=(content.b, mask.b, foreground.a, background.b),
    )
    if self.composed:
      translation = compose(
        ab=(mask.a, translation.ab, image.a), ba=(mask.b, translation.ba, image.b)
      )
    return Parts(image | translation, content, mask, foreground, background), stats

  def second_stage(self, params, stats, parts):
    """Takes the translations apart and puts images together again.

    Returns:
      The parts with those of ab and ba, the masks aa and bb and the images aba, bab, aa and bb; and
      new batch statistics.
    """
    image, content, mask, foreground, background = parts
    content |= self.together('content_encoder', params, ab=image.ab, ba=image.ba)
    gated = self.gated(params, ab=(content.ab, content.ba), ba=(content.ba, content.ab))
    if 'gate' in self.by_name:
      gated |= self.gated(params, aa=(content.a, content.a), bb=(content.b, content.b))
    else:  # a mask depends on its own image only
      mask |= mask.renamed(aa='a', bb='b')
    predicted, stats = self.predict_masks(params, stats, gated)
    mask |= predicted

    back = self.styles(params, image.only('ab', 'ba'), mask.only('ab', 'ba'))
    foreground |= back[0]
    background |= back[1]
    decoded = self.together(
      'decoder',
      params,
      aba=(content.ab, mask.ab, foreground.ba, background.ab),
      bab=(content.ba, mask.ba, foreground.ab, background.ba),
      aa=(content.a, mask.aa, foreground.a, background.a),
      bb=(content.b, mask.bb, foreground.b, background.b),
    )
    if self.composed:
      # Not aa and bb, from which the decoder learns to paint everywhere.
      decoded = decoded.only('aa', 'bb') | compose(
        aba=(mask.ab, decoded.aba, image.ab), bab=(mask.ba, decoded.bab, image.ba)
      )
    return Parts(image | decoded, content, mask, foreground, background), stats

  # In translation: arrays.

  def predict_mask(self, params, model_state, content, other):
    """Predicts masks from contents; `other` are the contents of the paired images."""
    if 'gate' in self.by_name:
      content = self.apply('gate', params, content, other)
    stats = model_state['batch_stats']
    if self.inference_statistics == 'batch':
      mask, _ = self.predict_masks(params, stats, streams.Streams(image=content))
      return streams.interleave(mask.image)
    return self.apply(
      'mask', params, content, variables={'batch_stats': stats['mask']}, train=False
    )

  def segment(self, params, model_state, image):
    """Returns the mask of an image by itself; co-segmentation pairs the image with itself."""
    content = self.apply('content_encoder', params, image)
    return masks.upsample(self.predict_mask(params, model_state, content, content), 4)

  def ingredients(
    self, params, model_state, source, exemplar, *, source_mask=None, exemplar_mask=None
  ):
    """Returns what a translation is decoded from; masks that are not given are predicted."""
    content = self.apply('content_encoder', params, source)
    exemplar_content = self.apply('content_encoder', params, exemplar)
    if source_mask is None:
      mask = self.predict_mask(params, model_state, content, exemplar_content)
      source_mask = masks.upsample(mask, 4)
    else:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
      mask = masks.downsample(source_mask, 4)

    # What a given mask has less than the predicted one was erased.
    refills = self.exemplar_mask and self.erased_style == 'source'
    erased = None
    if exemplar_mask is None or refills:
      small = self.predict_mask(params, model_state, exemplar_content, content)
      predicted = masks.upsample(small, 4)
    if exemplar_mask is None:
      exemplar_mask = predicted
    else:
      exemplar_mask = jnp.broadcast_to(exemplar_mask, (*exemplar.shape[:3], 1))
      if refills:
        erased = jnp.maximum(predicted - exemplar_mask, 0)

    foreground, background = exemplar, source
    if self.exemplar_mask:
      foreground, background = exemplar_mask * exemplar, (1 - source_mask) * source
    if erased is not None:
      foreground += erased * source
    (foreground,) = self.apply(
      'style_encoder', params, foreground, heads=self.heads[:1]
    )
    (background,) = self.apply(
      'style_encoder', params, background, heads=self.heads[1:]
    )
    return Ingredients(
      content, mask, foreground, background, source_mask, exemplar_mask
    )

  def decode(self, params, parts, source):
    """Returns the images [B, H, W, 3] of Ingredients and of their sources."""
    image = self.apply(
      'decoder', params, parts.content, parts.mask, parts.foreground, parts.background
    )
    if self.composed:
      image = masks.composite(parts.source_mask, image, source)
    return image


def compose(**translations):
  """Returns streams of (mask, decoded image, source): the source outside the mask."""

  def blend(mask, decoded, source):
    return masks.composite(masks.upsample(mask, 4), decoded, source)

  return streams.apply(blend, translations)


def without(**images):
  """Returns streams of (mask, image): mid-grey where the mask is above one half.

  Below it, twice the mask is taken away. A trace of what is under a soft edge would be enough for a
  classifier, and masks would grow until not even that is left.
  """

  def blank(mask, image):
    covered = jnp.minimum(2 * masks.upsample(mask, 4), 1)
    return (1 - covered) * image

  return streams.apply(blank, images)
