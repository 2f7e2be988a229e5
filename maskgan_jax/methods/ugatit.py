"""U-GAT-IT, attention and adaptive layer-instance normalisation (Kim et al., ICLR 2020).

Each direction has a generator, G_ab and G_ba, and each domain two discriminators: one sees large
patches, D^g, and one small ones, D^l. In all of them auxiliary classifiers weight the maps of
features: in a generator they tell pictures of its source's domain from those that are of its target
domain already, in a discriminator pictures from translations. What the weighted maps add up to is
the heat map, which says where the network looks. In a generator's decoder AdaLIN chooses between
the statistics of each channel and those of all, by a share rho of each channel, which stays in
[0, 1]: it is clipped after each update.

The method takes no exemplar: each source has one translation.

`config.variant` 'paper' is the authors' TensorFlow code (github.com/taki0112/UGATIT), which made
the paper's numbers, 'pytorch' their PyTorch code (github.com/znxlwm/UGATIT-pytorch). VARIANTS lists
where they differ, each a switch in `config.model`. `config.model.light` is the authors' smaller
form, in which scales and shifts come from means of the maps: the full form is for one size of
images. Norms are means over everything.

Decided without a switch: both players of a step see the same pictures (TensorFlow code: others);
weights decay as in the PyTorch code, with biases and rho; 4x4 convolutions of stride 1 pad one
pixel on each side, as PyTorch's (TensorFlow's: two on the lower and the right side).
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import _ugatit_networks as networks
from maskgan_jax.methods import _ugatit_settings as settings
from maskgan_jax.methods import base
from maskgan_jax.networks import masks

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink
_OTHER = {'a': 'b', 'b': 'a'}
_GENERATORS = ('generator_ab', 'generator_ba')


def make(config: ml_collections.ConfigDict) -> 'Ugatit':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Ugatit(config)


class Ugatit(base.Method):
  """Both directions' generators, both domains' discriminators, and the two players."""

  abilities = frozenset({'source_mask', 'reverse', 'segment'})
  extras = (
    base.Extra(
      'attention',
      'attention',
      'where the generator looks, from 0, the least in the picture, to 1, the most',
    ),
  )
  mask_meanings = {
    'source': 'Coloured: which pixels may change. The others stay as they are.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    settings.check(config)
    self.model, self.weights, self.remat = config.model, config.weights, config.remat
    dtype = jnp.dtype(config.compute_dtype)
    self.networks = dict.fromkeys(_GENERATORS, self._generator(dtype))
    for reach in ('global', 'local'):
      network = self._discriminator(config.model[f'{reach}_strides'], dtype)
      for domain in 'ab':
        self.networks[f'{reach}_discriminator_{domain}'] = network

    discriminators = tuple(name for name in self.networks if name not in _GENERATORS)
    self.players = (
      base.Player('discriminator', discriminators, self.discriminator_loss),
      base.Player(
        'generator', _GENERATORS, self.generator_loss, project=with_clipped_rho
      ),
    )

  def _options(self):
    """Returns what all networks are made with."""
    normal = self.switches.initial_weights == 'normal'
    return dict(
      biases=self.switches.biases,
      shared=self.switches.classifiers == 'shared',
      kernel_init=nn.initializers.normal(0.02) if normal else None,
    )

  def _generator(self, dtype):
    """Returns the network that both generators are."""
    model = self.model
    norm = functools.partial(
      networks.AdaLin, unbiased=self.switches.variance == 'unbiased'
    )
    smoothed = self.switches.rho == 'smoothed'
    return networks.Generator(
      model.width,
      model.downsamplings,
      model.blocks,
      model.light,
      adaptive_norm=functools.partial(
        norm, rho_init=1.0 if smoothed else 0.9, smoothing=0.1 if smoothed else 0.0
      ),
      norm=functools.partial(norm, rho_init=0.0),
      dtype=dtype,
      **self._options(),
    )

  def _discriminator(self, strides, dtype):
    """Returns the network that both domains' discriminators of one reach are."""
    return networks.Discriminator(
      self.model.discriminator_width, strides, dtype=dtype, **self._options()
    )

  def init(self, rng, batch):
    """See `base.Method`; the model state has the vectors of spectral normalisation."""
    init, variables = base.initializer(self.networks, rng)
    for name in self.networks:
      init(name, batch['a'][:1])
    return variables

  def _generate(self, direction, params, image):
    """Returns a generator's translation, its classifiers' logits and its heat map."""
    name = f'generator_{direction}'
    variables = {'params': params[name]}
    return base.apply(self.networks[name], variables, image, remat=self.remat)

  def _score(self, domain, params, stats, image, target):
    """Returns least squares of a domain's discriminators against 1, real, or 0, and new stats.

    The loss is a sum over both, and over scores of patches and the classifiers' logits. Each call
    is a step of power iteration, as in the authors' codes, also where the discriminators stay as
    they are.
    """
    loss, stats = 0.0, dict(stats)
    for reach in ('global', 'local'):
      name = f'{reach}_discriminator_{domain}'
      (scores, logits), updates = base.apply(
        self.networks[name],
        {'params': params[name], 'batch_stats': stats[name]},
        image,
        remat=self.remat,
        mutable=['batch_stats'],
      )
      stats[name] = updates['batch_stats']
      loss += adversarial.least_squares(scores, target)
      loss += adversarial.least_squares(logits, target)
    return loss, stats

  # Training.

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns the loss of all discriminators: pictures against translations."""
    del rng
    losses, stats = {}, model_state['batch_stats']
    for domain in 'ab':
      other = _OTHER[domain]
      fake, *_ = self._generate(other + domain, params, batch[other])
      real_loss, stats = self._score(domain, params, stats, batch[domain], 1)
      fake_loss, stats = self._score(domain, params, stats, fake, 0)
      losses[domain] = real_loss + fake_loss
    loss = self.weights.adversarial * sum(losses.values())
    return loss, (losses, {**model_state, 'batch_stats': stats})

  def generator_loss(self, params, model_state, batch, rng):
    """Returns the loss of both generators; every term is a sum over both domains."""
    del rng
    losses, stats = {}, model_state['batch_stats']
    for domain in 'ab':
      terms, stats = self._losses_of(domain, params, stats, batch)
      for name, value in terms.items():
        losses[name] = losses.get(name, 0.0) + value
    loss = sum(self.weights[name] * value for name, value in losses.items())
    return loss, (losses, {**model_state, 'batch_stats': stats})

  def _losses_of(self, domain, params, stats, batch):
    """Returns the terms of translations into one domain, and new stats.

    The generator's classifiers see the other domain's pictures, 1, and the domain's own, 0, which
    the generator should leave as they are.
    """
    image, other = batch[domain], _OTHER[domain]
    fake, of_source, _ = self._generate(other + domain, params, batch[other])
    same, of_target, _ = self._generate(other + domain, params, image)
    back, *_ = self._generate(domain + other, params, fake)
    score, stats = self._score(domain, params, stats, fake, 1)
    cross_entropy = adversarial.binary_cross_entropy
    losses = {
      'adversarial': score,
      'cycle': reconstruction.l1(back, batch[other]),
      'identity': reconstruction.l1(same, image),
      'cam': cross_entropy(of_source, 1.0) + cross_entropy(of_target, 0.0),
    }
    return losses, stats

  # Inference.

  def segment(self, params, model_state, image):
    """Returns the attention of G_ba, which sees pictures of b, as a mask [B, H, W, 1].

    It is the heat map, scaled in each picture so that its least value is 0 and its largest 1, at
    the picture's size. A flat heat map is 0 everywhere.
    """
    *_, heat = self._generate('ba', params, image)
    return self._attention(heat)

  def _attention(self, heat):
    """Returns heat maps [B, h, w, 1] from 0 to 1 at the size of images."""
    least, most = heat.min((1, 2, 3)), heat.max((1, 2, 3))
    span = most - least
    share = 1 / jnp.where(span > 0, span, 1)
    scaled = (heat - least[:, None, None, None]) * share[:, None, None, None]
    # The product may be 1 and a rounding more.
    return masks.upsample(jnp.minimum(scaled, 1), 2**self.model.downsamplings)

  def translate(
    self,
    params,
    model_state,
    source,
    exemplar=None,
    *,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
    reverse=False,
  ):
    """Returns G_ab of the source, or G_ba of a source of b, with the generator's attention.

    A given source_mask says which pixels may change; the others are the source's own.
    """
    image, _, heat = self._generate('ba' if reverse else 'ab', params, source)
    if source_mask is not None:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
      image = masks.composite(source_mask, image, source)
    return base.Translation(
      image, source_mask, None, {'attention': self._attention(heat)}
    )


def with_clipped_rho(params: base.Params) -> base.Params:
  """Returns generators in which every rho of AdaLIN lies in [0, 1]; nothing else changes."""

  def clip(path, value):
    return jnp.clip(value, 0, 1) if path[-1].key == 'rho' else value

  return jax.tree_util.tree_map_with_path(clip, params)
