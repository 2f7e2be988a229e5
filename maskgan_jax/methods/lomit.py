"""LOMIT, local mask-based image-to-image translation (Cho et al.; IJCAI 2019 and ICLR 2019 subm.).

A local mask of the exemplar says what to take, one of the source where to put it, and highway AdaIN
blends two styles per pixel. Content encoder E_c, style encoder E_s, mask network G_m (which the
ICLR paper calls A), decoder G with HAdaIN h, critic D with an auxiliary classifier:

  x_ab = G(h(E_c(a), m_a, E_s(m_b * b), E_s((1 - m_a) * a)))

and the other way round. As in the authors' code a and b are any two images, and what D classifies
are their labels (`config.data.attributes`; without any, of which domain an image is).

`config.variant`: 'ijcai' and 'iclr' are the papers ('paper' is the one that was published, IJCAI),
'official' the authors' code (github.com/AnonymousIclrAuthor/Highway-Adaptive-Instance-
Normalization, last state); VARIANTS lists where they differ, each a switch in `config.model`. A
later upload, github.com/ICMLAnonymousAuthor/LOMIT-demo, is 'official' with cosegmentation=False;
its critic's spectral normalisation is not here. Norms of images and codes, sums in the papers, are
means in every variant, as in both uploads.
"""

import jax
import jax.numpy as jnp
import ml_collections
from ml_collections import config_dict

from maskgan_jax import errors
from maskgan_jax.losses import adversarial, mask_regularizers, penalties, reconstruction
from maskgan_jax.methods import base
from maskgan_jax.networks import decoders, discriminators, encoders, masks, replicas
from maskgan_jax.networks.interleaving import deinterleave, interleave, pair, swap, unpair

_IJCAI = dict(
    cosegmentation=False,  # m = G_m(E_c(x)); else its channels are gated by the other image's
    style_heads='shared',  # one E_s; 'separate': two that share their first layers; see below
    outer_convolutions=True,  # 7x7 before the encoders' strides and after the decoder: the code's
    deviation='spatial',  # sigma in HAdaIN; the code's is 'rows' (networks/normalization.py)
    style_scale='linear',  # gamma is what the MLP says; the code's is the exp of half of it
    similarity_reduction='sum',  # R1 over pairs of pixels; 'mean' is a millionth at 32x32
    size_reduction='sum',  # |m|_1 over the mask's own pixels
    regularized_masks='inputs',  # m_a and m_b; 'all': m_ab, m_ba, m_aa and m_bb as well
    style_difference=0.0,  # weight of -|E_s(a's foreground) - E_s(b's)|
    # Of the mask network's batch norm. The papers are silent; 'batch' are those of the batch at
    # hand, so a translation depends on the others that are computed with it.
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
_CHOICES = {  # of the switches that are words: one value of a paper's, one of the code's
    name: tuple(dict.fromkeys(variant[name] for variant in VARIANTS.values()))
    for name, value in _IJCAI.items() if isinstance(value, str)}


def get_default() -> ml_collections.ConfigDict:
  """This method's part of a config: networks, weights, optimizers as the authors' for hair and
  smile at 128x128; batch size (8) and steps (200,000) are not part of it."""
  config = ml_collections.ConfigDict()
  config.variant = 'official'
  config.model = dict(
      width=64,  # channels at full resolution; contents have four times as many
      blocks=4,  # residual blocks in the content encoder, and again in the decoder
      style_size=8,  # numbers in a style code
      mlp=256,  # width of the MLPs from codes to HAdaIN's scale and shift
      mask_depth=6,  # convolutions of the mask network
      critic_width=64,  # channels after the first of the critic's stride-2 convolutions
      critic_depth=6,  # of them; what is left of the image must be at least 2x2
      critic_every=5,  # critic updates per generator update
      similarity_size=0,  # side of the masks that R1 compares, pixels; 0 is image_size / 4, theirs
      exemplar_mask=True,  # False is LOMIT-- of IJCAI figure 7: styles of whole images
      # Switches between papers and official code; None follows config.variant (see VARIANTS).
      **{name: config_dict.placeholder(type(value)) for name, value in _IJCAI.items()},
  )
  config.weights = dict(  # ICLR eq. 16
      adversarial=1.0, classification=1.0, gradient_penalty=10.0,
      reconstruction=10.0, cycle=10.0,  # lambda_x
      foreground_style=1.0, background_style=1.0, content=1.0,  # lambda_s,c
      similarity=0.1, size=1e-4,  # lambda_1, lambda_3; lambda_2 is model.style_difference
      total_variation=0.0,  # of the masks: in the code, off
  )
  # Nine halvings in 200,000 steps, the first after step 110,000, as the authors' scheduler ticks;
  # 'halve_linearly' from 100,000 is the ICLR paper's wording. No variant changes this.
  config.optimizers = {
      player: dict(base.adam(learning_rate=1e-4, b1=0.5), schedule='halve',
                   schedule_start=110_001, schedule_every=10_000)
      for player in ('critic', 'generator')}
  return config


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(width=4, blocks=1, style_size=2, mlp=8, mask_depth=2, critic_width=4,
                      critic_depth=min(config.model.critic_depth, 3), critic_every=2)


def make(config: ml_collections.ConfigDict) -> 'Lomit':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Lomit(config)


class Lomit(base.Method):
  """The networks and the two players; see the module's docstring.

  Images, masks and codes of a and b go through the networks together, interleaved (a0, b0, a1, ...)
  so that a batch that is split over devices stays where it is.
  """

  mask_meanings = {
      'source': "Coloured: what is drawn in the exemplar's style. What is erased keeps the "
                "source's own style; it is drawn anew all the same.",
      'exemplar': 'Coloured: whose style is taken. Where nothing is left, a style of nothing, '
                  'often grey, takes its place.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    base.require_square(config)
    model = config.model
    self.switches = base.switches(config, VARIANTS)
    for name, choices in _CHOICES.items():
      base.one_of(f'model.{name}', self.switches[name], choices)
    for name in ('width', 'style_size', 'mlp', 'critic_width', 'critic_depth', 'critic_every'):
      if model[name] < 1:
        raise errors.UserError(f'config.model.{name} is {model[name]}; it must be at least 1')
    stride = max(2 ** model.critic_depth, 16)
    if config.image_size % stride or config.image_size < 2 ** (model.critic_depth + 1):
      raise errors.UserError(
          f'config.image_size is {config.image_size}, but {model.critic_depth} stride-2 '
          f'convolutions of the critic (config.model.critic_depth), which are to leave 2x2 pixels, '
          f"and the style encoder's four need a multiple of {stride}, at least "
          f'{max(2 ** (model.critic_depth + 1), 16)}')
    self.mask_size = config.image_size // 4
    similarity_size = model.similarity_size or self.mask_size
    if similarity_size % self.mask_size:
      raise errors.UserError(f'config.model.similarity_size is {similarity_size}; it must be a '
                             f'multiple of the masks\' side, {self.mask_size}')
    self.similarity_factor = similarity_size // self.mask_size
    self.mixes_examples = self.switches.inference_statistics == 'batch'
    self.exemplar_mask = model.exemplar_mask
    self.weights = config.weights
    self.remat = config.remat
    self.batch_size = config.batch_size
    self.attributes = len(config.data.attributes)
    if not self.attributes and config.data.a == config.data.b:
      raise errors.UserError(
          f'config.data.a and config.data.b are both {config.data.a!r} and config.data.attributes '
          'is empty: there is nothing to tell apart; name labels, or give two domains')
    self.abilities = frozenset({'exemplar', 'source_mask', 'segment', 'interpolate'}
                               | ({'exemplar_mask'} if model.exemplar_mask else set())
                               | ({'reverse'} if config.data.a != config.data.b else set()))
    dtype = jnp.dtype(base.one_of('compute_dtype', config.compute_dtype,
                                  ('float32', 'bfloat16')))
    outer = self.switches.outer_convolutions
    self.heads = (('head', 'head') if self.switches.style_heads == 'shared'
                  else ('foreground', 'background'))
    self.networks = {
        'content_encoder': encoders.ContentEncoder(model.width, model.blocks, outer, dtype),
        'style_encoder': encoders.StyleEncoder(model.width, model.style_size, outer,
                                               tuple(dict.fromkeys(self.heads)), dtype),
        'mask': masks.MaskNetwork(model.mask_depth, dtype),
        'decoder': decoders.HighwayDecoder(model.mlp, model.blocks, self.switches.deviation,
                                           self.switches.style_scale, outer, dtype),
        'critic': discriminators.PatchCritic(model.critic_width, model.critic_depth,
                                             max(self.attributes, 1), dtype),
    }
    if self.switches.cosegmentation:
      self.networks['gate'] = masks.ChannelGate(dtype)
    generator = tuple(name for name in self.networks if name != 'critic')
    self.players = (
        base.Player('critic', ('critic',), self.critic_loss),
        base.Player('generator', generator, self.generator_loss, every=model.critic_every),
    )

  def init(self, rng, batch):
    init, variables = base.initializer(self.networks, rng)
    images = interleave(batch['a'], batch['b'])
    content = init('content_encoder', images)
    foreground, background = init('style_encoder', images, self.heads)
    if 'gate' in self.networks:
      init('gate', content, content)
    mask = init('mask', content, train=True)
    half = len(images) // 2
    init('decoder', content[:half], mask[:half], foreground, background)
    init('critic', images)
    return variables

  def _apply(self, name, params, *inputs, variables=None, **options):
    def apply(variables, *inputs):
      return self.networks[name].apply(variables, *inputs, **options)
    apply = jax.checkpoint(apply) if self.remat else apply
    return apply({'params': params[name], **(variables or {})}, *inputs)

  def _styles(self, params, images, mask):
    """Codes (foreground, background) of images [B, H, W, 3] with masks [B, H, W, 1]."""
    foreground, background = mask * images, (1 - mask) * images
    if not self.exemplar_mask:
      foreground = background = images
      if self.switches.style_heads == 'shared':  # one code is both
        return 2 * self._apply('style_encoder', params, images, heads=self.heads[:1])
    return self._apply('style_encoder', params, interleave(foreground, background),
                       heads=self.heads)

  def _gated(self, params, content, other):
    return self._apply('gate', params, content, other) if 'gate' in self.networks else content

  def _masks(self, params, stats, content, groups, order):
    """Masks of contents in training: statistics of each group; `stats` is updated in place."""
    mask, updates = self._apply('mask', params, content, variables={'batch_stats': stats['mask']},
                                train=True, groups=groups, order=order, mutable=['batch_stats'])
    stats['mask'] = updates['batch_stats']
    return mask

  def _exchange(self, params, stats, batch, order):
    """Both translations: what the critic's and the generator's step have in common.

    Where both play, XLA computes this once (tests/methods/test_lomit_cost.py). Returns the
    interleaved images, contents, masks, foreground and background codes, and translations (ab, ba).
    """
    images = interleave(batch['a'], batch['b'])
    content = self._apply('content_encoder', params, images)
    mask = self._masks(params, stats, self._gated(params, content, swap(content)), 2, order)
    foreground, background = self._styles(params, images, masks.upsample(mask, 4))
    fakes = self._apply('decoder', params, content, mask, swap(foreground), background)
    return images, content, mask, foreground, background, fakes

  def _labels(self, batch):
    """Interleaved labels [2 * B, K]: attributes, or whether an image is of domain b."""
    if self.attributes:
      return interleave(batch['a_attributes'], batch['b_attributes'])
    ones = jnp.ones((len(batch['a']), 1))
    return interleave(0 * ones, ones)

  def critic_loss(self, params, model_state, batch, rng):
    """-L_adv + lambda_cls L_cls^r of ICLR eqs. 10, 11 and 16, summed over both directions."""
    stats = dict(model_state['batch_stats'])
    # The authors translate each direction by itself, which predicts both masks each time.
    images, _, _, _, _, fakes = jax.lax.stop_gradient(
        self._exchange(params, stats, batch, (0, 1, 1, 0)))
    scores, logits = self._apply('critic', params, interleave(images, fakes))
    (real, fake), (logits, _) = deinterleave(scores, 2), deinterleave(logits, 2)

    critic = self.networks['critic'].clone(dtype=jnp.float32)  # penalties are never bfloat16

    def score(images):
      return critic.apply({'params': params['critic']}, images)[0]

    alpha = replicas.draw(lambda n: jax.random.uniform(rng, (n, 1, 1, 1)), len(images))
    losses = {
        'real': -2 * real.mean(),  # the two directions' means, summed
        'fake': 2 * fake.mean(),
        'classification': 2 * adversarial.multi_label_cross_entropy(logits, self._labels(batch)),
        'gradient_penalty': 2 * penalties.gradient_penalty(score, images, fakes, alpha),
    }
    loss = (self.weights.adversarial * (losses['real'] + losses['fake'])
            + self.weights.classification * losses['classification']
            + self.weights.gradient_penalty * losses['gradient_penalty'])
    accuracy = ((logits > 0) == (self._labels(batch) > 0.5)).mean()
    return loss, (dict(losses, accuracy=accuracy), {**model_state, 'batch_stats': stats})

  def generator_loss(self, params, model_state, batch, rng):
    """L_G of ICLR eq. 16; every term is summed over both directions."""
    del rng
    stats = dict(model_state['batch_stats'])
    images, content, mask, foreground, background, fakes = self._exchange(
        params, stats, batch, (0, 1))
    scores, logits = self._apply('critic', params, fakes)

    # Second stage: from the translations back, and each image from its own parts.
    content_2 = self._apply('content_encoder', params, fakes)
    gated = self._gated(params, content_2, swap(content_2))
    if 'gate' in self.networks:
      both = pair(gated, self._gated(params, content, content))
      mask_2, self_mask = unpair(self._masks(params, stats, both, 4, (0, 1, 2, 3)))
    else:  # a mask depends on its own image only
      mask_2, self_mask = self._masks(params, stats, gated, 2, (0, 1)), mask
    foreground_2, background_2 = self._styles(params, fakes, masks.upsample(mask_2, 4))
    cycled, reconstructed = unpair(self._apply(
        'decoder', params, pair(content_2, content), pair(mask_2, self_mask),
        pair(swap(foreground_2), foreground), pair(background_2, background)))

    l1 = reconstruction.l1
    regularized = [mask]
    if self.switches.regularized_masks == 'all':
      regularized += [mask_2, self_mask]  # of a: m_a, m_ab, m_aa
    losses = {
        'adversarial': -2 * scores.mean(),  # eq. 10
        'classification': 2 * adversarial.multi_label_cross_entropy(  # eq. 12: the exemplar's
            logits, swap(self._labels(batch))),
        'cycle': 2 * l1(cycled, images),  # eq. 8
        'reconstruction': 2 * l1(reconstructed, images),  # eq. 9
        'foreground_style': 2 * l1(foreground_2, swap(foreground)),  # eq. 5
        'background_style': 2 * l1(background_2, background),  # eq. 6
        'content': 2 * l1(content_2, content),  # eq. 7
        'similarity': self._similarity(regularized, content),  # eq. 13
        'size': 2 * sum(map(mask_regularizers.size, regularized)),  # eq. 15
    }
    if self.switches.size_reduction == 'sum':
      losses['size'] *= self.mask_size ** 2
    if self.weights.total_variation:  # a sum over the whole batch, however it is divided
      total = sum(map(mask_regularizers.total_variation, regularized))
      losses['total_variation'] = total * (self.batch_size / len(batch['a']))
    difference = l1(*deinterleave(foreground, 2))
    loss = sum(self.weights[name] * value for name, value in losses.items()
               if self.weights[name])
    if self.switches.style_difference:
      loss -= self.switches.style_difference * difference  # eq. 14
    metrics = dict(losses, style_difference=difference, **masks.statistics(mask))
    return loss, (metrics, {**model_state, 'batch_stats': stats})

  def _similarity(self, regularized, content):
    """R1 (eq. 13) of masks [2 * B, h, w, 1], against the same content without gradient."""
    if not self.weights.similarity:
      return jnp.zeros(())
    if self.similarity_factor > 1:
      content = masks.upsample(content.astype(jnp.float32), self.similarity_factor)
      regularized = [masks.upsample(m, self.similarity_factor) for m in regularized]
    content = content.reshape(content.shape[0], -1, content.shape[-1])
    regularized = jnp.stack([m.reshape(m.shape[0], -1) for m in regularized], axis=1)
    per_image = jax.vmap(jax.vmap(mask_regularizers.similarity, (0, None)))(regularized, content)
    total = 2 * per_image.sum(1).mean()
    pairs = content.shape[1] ** 2
    return total if self.switches.similarity_reduction == 'sum' else total / pairs

  # Inference.

  def _predict(self, params, model_state, content, other):
    """Masks of contents; `other` is what the other image of each pair shows."""
    content, stats = self._gated(params, content, other), dict(model_state['batch_stats'])
    if self.switches.inference_statistics == 'batch':
      return self._masks(params, stats, content, 1, None)
    return self._apply('mask', params, content, variables={'batch_stats': stats['mask']},
                       train=False)

  def segment(self, params, model_state, image):
    """The mask of `image` by itself, [B, H, W, 1]; under co-segmentation the image is its own
    partner."""
    content = self._apply('content_encoder', params, image)
    return masks.upsample(self._predict(params, model_state, content, content), 4)

  def _parts(self, params, model_state, source, exemplar, source_mask, exemplar_mask):
    """Content, mask and background code of the source; foreground code, mask of the exemplar."""
    content, exemplar_content = (self._apply('content_encoder', params, image)
                                 for image in (source, exemplar))
    if source_mask is None:
      mask = self._predict(params, model_state, content, exemplar_content)
      source_mask = masks.upsample(mask, 4)
    else:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
      mask = masks.downsample(source_mask, 4)
    if exemplar_mask is None:
      exemplar_mask = masks.upsample(
          self._predict(params, model_state, exemplar_content, content), 4)
    else:
      exemplar_mask = jnp.broadcast_to(exemplar_mask, (*exemplar.shape[:3], 1))
    foreground, background = exemplar, source
    if self.exemplar_mask:
      foreground, background = exemplar_mask * exemplar, (1 - source_mask) * source
    foreground, = self._apply('style_encoder', params, foreground, heads=self.heads[:1])
    background, = self._apply('style_encoder', params, background, heads=self.heads[1:])
    return content, mask, foreground, background, source_mask, exemplar_mask

  def translate(self, params, model_state, source, exemplar, *, source_mask=None,
                exemplar_mask=None, rng=None, reverse=False):
    """x_ab of source and exemplar (IJCAI section 3, with edited masks section 4.2); either way.

    A given source_mask says where the exemplar's style goes, a given exemplar_mask of which part of
    the exemplar that style is.
    """
    del rng, reverse  # one network translates into every domain
    content, mask, foreground, background, source_mask, exemplar_mask = self._parts(
        params, model_state, source, exemplar, source_mask, exemplar_mask)
    image = self._apply('decoder', params, content, mask, foreground, background)
    return base.Translation(image, source_mask, exemplar_mask if self.exemplar_mask else None)

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """x_ab with codes and masks (1 - weight) of exemplar_1's + weight of exemplar_2's.

    Only the foreground code depends on the exemplar, and under co-segmentation all of them do.
    """
    content, *parts_1 = self._parts(params, model_state, source, exemplar_1, None, None)
    _, *parts_2 = self._parts(params, model_state, source, exemplar_2, None, None)
    mask, foreground, background, source_mask, _ = (
        (1 - weight) * one + weight * two for one, two in zip(parts_1, parts_2, strict=True))
    image = self._apply('decoder', params, content, mask, foreground, background)
    return base.Translation(image, source_mask)
