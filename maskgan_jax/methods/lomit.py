"""LOMIT, local mask-based image-to-image translation (Cho et al.; IJCAI 2019 and ICLR 2019 subm.).

A local mask of the exemplar says what to take, a mask of the source says where to put it, and
highway AdaIN blends two styles per pixel. Content encoder E_c, style encoder E_s, mask network G_m
(which the ICLR paper calls A), decoder G with HAdaIN h, critic D with an auxiliary classifier:

  x_ab = G(h(E_c(a), m_a, E_s(m_b * b), E_s((1 - m_a) * a)))

and x_ba with a and b exchanged. As in the authors' code a and b are any two images, and D
classifies their labels (`config.data.attributes`; without any, the domain of an image).

`config.variant`: 'ijcai' and 'iclr' are the papers ('paper' is the one that was published, IJCAI),
'official' the authors' code (github.com/AnonymousIclrAuthor/Highway-Adaptive-Instance-
Normalization, last state); VARIANTS lists where they differ, each a switch in `config.model`. A
later upload, github.com/ICMLAnonymousAuthor/LOMIT-demo, is 'official' with cosegmentation=False;
its critic's spectral normalisation is not here. Norms of images and codes, sums in the papers, are
means in every variant, as in both uploads.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from ml_collections import config_dict

from maskgan_jax import errors
from maskgan_jax.losses import adversarial, mask_regularizers, reconstruction
from maskgan_jax.methods import _lomit_networks, base
from maskgan_jax.networks import masks, replicas, streams

_IJCAI = dict(
  cosegmentation=False,  # m = G_m(E_c(x)); else its channels are gated by the other image's
  style_heads='shared',  # one E_s; 'separate': two that share their first layers; see below
  outer_convolutions=True,  # 7x7 before the encoders' strides and after the decoder: the code's
  deviation='spatial',  # sigma in HAdaIN; the code has 'rows' (networks/normalization.py)
  style_scale='linear',  # gamma is the MLP's output; in the code the exp of half of it
  similarity_reduction='sum',  # R1 over pairs of pixels; 'mean' is a millionth of it at 32x32
  size_reduction='sum',  # |m|_1 over the mask's own pixels
  regularized_masks='inputs',  # m_a and m_b; 'all': m_ab, m_ba, m_aa and m_bb as well
  style_difference=0.0,  # weight of -|E_s(a's foreground) - E_s(b's)|
  # Of the mask network's batch norm. The papers are silent; 'batch' takes the statistics of the
  # batch at hand, so a translation depends on the others that are computed with it.
  inference_statistics='running',
)
VARIANTS = {
  'ijcai': _IJCAI,
  'iclr': dict(
    _IJCAI,
    cosegmentation=True,  # section 3.1
    style_heads='separate',  # appendix 7.1
    # Appendix 7.1 counts two and two convolutions ("similar to MUNIT", which has a 7x7 too).
    outer_convolutions=False,
    style_difference=0.01,  # eq. 14 and lambda_2
  ),
  'official': dict(
    cosegmentation=True,
    style_heads='shared',  # both heads are made of the same layer objects
    outer_convolutions=True,
    deviation='rows',
    style_scale='exp_half',
    similarity_reduction='mean',
    size_reduction='mean',
    regularized_masks='all',
    style_difference=0.0,  # in some states of their config 0.01
    inference_statistics='batch',  # their test() leaves the networks in training mode
  ),
}
VARIANTS['paper'] = VARIANTS['ijcai']
CHOICES = {  # of the switches that are words
  'style_heads': ('shared', 'separate'),
  'deviation': ('spatial', 'rows'),
  'style_scale': ('linear', 'exp_half'),
  'similarity_reduction': ('sum', 'mean'),
  'size_reduction': ('sum', 'mean'),
  'regularized_masks': ('inputs', 'all'),
  'inference_statistics': ('running', 'batch'),
}
AT_LEAST_ONE = (
  'width',
  'style_size',
  'mlp',
  'critic_width',
  'critic_depth',
  'critic_every',
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config, at the authors' settings for hair and smile at 128x128.

  Batch size (8) and steps (200,000) are not part of it.
  """
  config = ml_collections.ConfigDict()
  config.variant = 'official'
  config.model = dict(
    width=64,  # channels at full resolution; contents have four times as many
    blocks=4,  # residual blocks in the content encoder, and again in the decoder
    style_size=8,  # numbers in a style code
    mlp=256,  # width of the MLPs from codes to HAdaIN's scale and shift
    mask_depth=6,  # convolutions of the mask network
    critic_width=64,  # channels after the first of the critic's stride-2 convolutions
    critic_depth=6,  # of these convolutions; at least 2x2 pixels must be left of the image
    critic_every=5,  # critic updates per generator update
    similarity_size=0,  # side of the masks that R1 compares, pixels; 0 is image_size / 4, theirs
    exemplar_mask=True,  # False is LOMIT-- of IJCAI figure 7: styles of whole images
    # Switches between papers and official code; None follows config.variant (see VARIANTS).
    **{name: config_dict.placeholder(type(value)) for name, value in _IJCAI.items()},
  )
  config.weights = dict(  # ICLR eq. 16
    adversarial=1.0,
    classification=1.0,
    gradient_penalty=10.0,
    reconstruction=10.0,
    cycle=10.0,  # lambda_x
    foreground_style=1.0,
    background_style=1.0,
    content=1.0,  # lambda_s,c
    similarity=0.1,
    size=1e-4,  # lambda_1, lambda_3; lambda_2 is model.style_difference
    total_variation=0.0,  # of the masks: in the code, off
  )
  # Nine halvings in 200,000 steps, the first after step 110,000, as the authors' scheduler ticks;
  # 'halve_linearly' from 100,000 is the ICLR paper's wording. No variant changes this.
  config.optimizers = {
    player: dict(
      base.adam(learning_rate=1e-4, b1=0.5),
      schedule='halve',
      schedule_start=110_001,
      schedule_every=10_000,
    )
    for player in ('critic', 'generator')
  }
  return config


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    blocks=1,
    style_size=2,
    mlp=8,
    mask_depth=2,
    critic_width=4,
    critic_depth=min(config.model.critic_depth, 3),
    critic_every=2,
  )


def make(config: ml_collections.ConfigDict) -> 'Lomit':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Lomit(config)


def check(config: ml_collections.ConfigDict, switches: Mapping[str, Any]) -> None:
  """Raises UserError where a value makes no sense; `switches` are those chosen by the config."""
  base.require_square(config)
  for name, choices in CHOICES.items():
    base.one_of(f'model.{name}', switches[name], choices)
  base.one_of('compute_dtype', config.compute_dtype, ('float32', 'bfloat16'))
  for name in AT_LEAST_ONE:
    if config.model[name] < 1:
      raise errors.UserError(
        f'config.model.{name} is {config.model[name]}; it must be at least 1'
      )

  # The critic halves the image until 2x2 pixels are left, the style encoder four times.
  depth = config.model.critic_depth
  stride = max(2**depth, 16)
  least = max(2 ** (depth + 1), 16)
  if config.image_size % stride or config.image_size < least:
    raise errors.UserError(
      f'config.image_size is {config.image_size}, but {depth} stride-2 convolutions of the '
      'critic (config.model.critic_depth), which are to leave 2x2 pixels, and the style '
      f"encoder's four need a multiple of {stride}, at least {least}"
    )

  mask_size = config.image_size // 4
  if config.model.similarity_size % mask_size:
    raise errors.UserError(
      f'config.model.similarity_size is {config.model.similarity_size}; it '
      f"must be a multiple of the masks' side, {mask_size}"
    )
  if not config.data.attributes and config.data.a == config.data.b:
    raise errors.UserError(
      f'config.data.a and config.data.b are both {config.data.a!r} and config.data.attributes '
      'is empty: there is nothing to tell apart; name labels, or give two domains'
    )


class Lomit(base.Method):
  """The two players and what they minimise; the networks are in _lomit_networks.py."""

  mask_meanings = {
    'source': "Coloured: what is drawn in the exemplar's style. What is erased keeps the "
    "source's own style; it is drawn anew all the same.",
    'exemplar': 'Coloured: whose style is taken. Where nothing is left, a style of nothing, '
    'often grey, takes its place.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    check(config, self.switches)
    model = config.model
    self.weights = config.weights
    self.batch_size = config.batch_size
    self.attributes = len(config.data.attributes)
    self.mask_size = config.image_size // 4
    self.similarity_factor = (model.similarity_size or self.mask_size) // self.mask_size
    self.exemplar_mask = model.exemplar_mask
    self.mixes_examples = self.switches.inference_statistics == 'batch'

    abilities = {'exemplar', 'source_mask', 'segment', 'interpolate'}
    if model.exemplar_mask:
      abilities.add('exemplar_mask')
    if config.data.a != config.data.b:
      abilities.add('reverse')
    self.abilities = frozenset(abilities)

    self._model = _lomit_networks.Networks(
      model,
      self.switches,
      max(self.attributes, 1),
      jnp.dtype(config.compute_dtype),
      config.remat,
    )
    self.networks = self._model.by_name
    self.init = self._model.init
    self.segment = self._model.segment
    generator = tuple(name for name in self.networks if name != 'critic')
    self.players = (
      base.Player('critic', ('critic',), self.critic_loss),
      base.Player(
        'generator', generator, self.generator_loss, every=model.critic_every
      ),
    )

  def _labels(self, batch):
    """Returns the labels of a and b, [B, K]: attributes, or whether an image is of domain b."""
    if self.attributes:
      labels = streams.interleave(batch['a_attributes'], batch['b_attributes'])
    else:
      ones = jnp.ones((len(batch['a']), 1))
      labels = streams.interleave(0 * ones, ones)
    return streams.apart(labels, 'ab')

  def critic_loss(self, params, model_state, batch, rng):
    """Returns -L_adv + lambda_cls L_cls^r of ICLR eqs. 10, 11 and 16, summed over directions."""
    # The authors translate each direction by itself, which predicts both masks each time.
    parts, stats = self._model.exchange(
      jax.lax.stop_gradient(params),
      model_state['batch_stats'],
      batch,
      ('a', 'b', 'b', 'a'),
    )
    image, label = parts.image, self._labels(batch)
    score, logits = self._model.together(
      'critic', params, a=image.a, ab=image.ab, b=image.b, ba=image.ba
    )
    both = streams.summed
    losses = {
      'real': -both(jnp.mean, (score.a,), (score.b,)),
      'fake': both(jnp.mean, (score.ab,), (score.ba,)),
      'classification': both(
        adversarial.multi_label_cross_entropy, (logits.a, label.a), (logits.b, label.b)
      ),  # eq. 11
      'gradient_penalty': both(
        self._gradient_penalty(params, rng), (image.a, image.ab), (image.b, image.ba)
      ),
    }
    loss = (
      self.weights.adversarial * (losses['real'] + losses['fake'])
      + self.weights.classification * losses['classification']
      + self.weights.gradient_penalty * losses['gradient_penalty']
    )

    def accuracy(logits, labels):
      return ((logits > 0) == (labels > 0.5)).mean()

    right = both(accuracy, (logits.a, label.a), (logits.b, label.b)) / 2
    metrics = dict(losses, accuracy=right)
    return loss, (metrics, {**model_state, 'batch_stats': stats})

  def _gradient_penalty(self, params, rng):
    """Returns the penalty of ICLR eq. 10 as a function of images and translations."""
    critic = self.networks['critic'].clone(
      dtype=jnp.float32
    )  # penalties are never bfloat16

    def score(images):
      return critic.apply({'params': params['critic']}, images)[0]

    def penalty(real, fake):
      alpha = replicas.draw(lambda n: jax.random.uniform(rng, (n, 1, 1, 1)), len(real))
      return adversarial.gradient_penalty(score, real, fake, alpha)

    return penalty

  def generator_loss(self, params, model_state, batch, rng):
    """Returns L_G of ICLR eq. 16; every term is summed over both directions."""
    del rng
    parts, stats = self._model.exchange(
      params, model_state['batch_stats'], batch, ('a', 'b')
    )
    image, label = parts.image, self._labels(batch)
    score, logits = self._model.together('critic', params, ab=image.ab, ba=image.ba)
    parts, stats = self._model.second_stage(params, stats, parts)
    image, content, mask, foreground, background = parts

    both, l1 = streams.summed, reconstruction.l1
    losses = {
      'adversarial': -both(jnp.mean, (score.ab,), (score.ba,)),  # eq. 10
      'classification': both(
        adversarial.multi_label_cross_entropy,
        (logits.ab, label.b),
        (logits.ba, label.a),
      ),  # eq. 12
      'cycle': both(l1, (image.aba, image.a), (image.bab, image.b)),  # eq. 8
      'reconstruction': both(l1, (image.aa, image.a), (image.bb, image.b)),  # eq. 9
      'foreground_style': both(
        l1, (foreground.ab, foreground.b), (foreground.ba, foreground.a)
      ),  # eq. 5
      'background_style': both(
        l1, (background.ab, background.a), (background.ba, background.b)
      ),  # eq. 6
      'content': both(l1, (content.ab, content.a), (content.ba, content.b)),  # eq. 7
      **self._mask_losses(mask, content, len(batch['a'])),  # eqs. 13 and 15
    }
    loss = sum(
      self.weights[name] * value for name, value in losses.items() if self.weights[name]
    )
    style_difference = both(l1, (foreground.a, foreground.b))  # eq. 14
    if self.switches.style_difference:
      loss -= self.switches.style_difference * style_difference
    metrics = dict(
      losses,
      style_difference=style_difference,
      **masks.statistics(streams.interleave(mask.a, mask.b)),
    )
    return loss, (metrics, {**model_state, 'batch_stats': stats})

  def _mask_losses(self, mask, content, batch_size):
    """Returns the regularisers of masks by name; `batch_size` is that of the batch at hand."""
    regularized = [streams.interleave(mask.a, mask.b)]
    if self.switches.regularized_masks == 'all':
      regularized.append(streams.interleave(mask.ab, mask.ba))
      regularized.append(streams.interleave(mask.aa, mask.bb))
    content = streams.interleave(content.a, content.b)
    losses = {
      'similarity': self._similarity(regularized, content),  # eq. 13
      'size': 2 * sum(map(mask_regularizers.size, regularized)),  # eq. 15
    }
    if self.switches.size_reduction == 'sum':
      losses['size'] *= self.mask_size**2
    if (
      self.weights.total_variation
    ):  # a sum over the whole batch, however it is divided
      total = sum(map(mask_regularizers.total_variation, regularized))
      losses['total_variation'] = total * (self.batch_size / batch_size)
    return losses

  def _similarity(self, regularized, content):
    """Returns R1 (eq. 13) of masks [2 * B, h, w, 1], summed over them and over both directions.

    All masks are held against the same content, which gets no gradient.
    """
    if not self.weights.similarity:
      return jnp.zeros(())
    if self.similarity_factor > 1:
      content = masks.upsample(content.astype(jnp.float32), self.similarity_factor)
      regularized = [
        masks.upsample(mask, self.similarity_factor) for mask in regularized
      ]
    content = content.reshape(content.shape[0], -1, content.shape[-1])
    flat = [mask.reshape(mask.shape[0], -1) for mask in regularized]
    of_image = jax.vmap(mask_regularizers.similarity, in_axes=(0, None))
    similarity = jax.vmap(of_image)(jnp.stack(flat, axis=1), content)
    total = 2 * similarity.sum(1).mean()
    pixel_pairs = content.shape[1] ** 2
    return total if self.switches.similarity_reduction == 'sum' else total / pixel_pairs

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
    reverse=False,
  ):
    """Returns x_ab of source and exemplar (IJCAI section 3; with edited masks section 4.2).

    A given source_mask says where the exemplar's style goes, a given exemplar_mask of which part of
    the exemplar that style is. One network translates either way.
    """
    del rng, reverse
    parts = self._model.ingredients(
      params,
      model_state,
      source,
      exemplar,
      source_mask=source_mask,
      exemplar_mask=exemplar_mask,
    )
    image = self._model.decode(params, parts)
    exemplar_mask = parts.exemplar_mask if self.exemplar_mask else None
    return base.Translation(image, parts.source_mask, exemplar_mask)

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """Returns x_ab with codes and masks (1 - weight) of exemplar_1's + weight of exemplar_2's.

    Only the foreground code depends on the exemplar, and under co-segmentation all of them do.
    """
    parts_1 = self._model.ingredients(params, model_state, source, exemplar_1)
    parts_2 = self._model.ingredients(params, model_state, source, exemplar_2)
    blended = jax.tree.map(
      lambda one, two: (1 - weight) * one + weight * two, parts_1, parts_2
    )
    blended = blended._replace(
      content=parts_1.content
    )  # the source's, whatever the exemplar
    return base.Translation(self._model.decode(params, blended), blended.source_mask)
