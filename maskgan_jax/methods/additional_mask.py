"""Translates by addition: the additional mask (Choi, Sohn and Hong, IEEE Access 2023).

A generator for each direction makes a mask in [-1, 1], as large as the image and with its channels,
that is added to it. The method takes no exemplar; one weight, lambda_r, rules how much changes:

  y_hat = x + m_x, m_x = G_YX(x) = tanh(...), x_hat = y + m_y, m_y = G_XY(y)
  L = lambda_g L_lsgan + lambda_c L_cycle + lambda_r L_regularization                          (5)

`config.weights` has lambda_g as `adversarial`, lambda_c as `cycle`, lambda_r as `mask`. Domain a is
X and b is Y; `generator_ab`, which makes a's translation, is what the equations call G_YX and the
text G_x. Captions that say lambda_c for the swept weight mean lambda_r.

No code was published, and the paper leaves much open. `config.variant` 'paper' is our reading;
'cyclegan' is CycleGAN (Zhu et al. 2017), whose networks, initialisation and pool these are; 'tuned'
departs from the paper to get nearer to the truth (docs/tuned.md).
VARIANTS lists what can be read in two ways, each a switch in `config.model`. Decided without one:

  Eq. 1 is the discriminators' (D_y's expectations change places there); generators minimise
    CycleGAN's (D(y_hat) - 1)^2 in its place.
  Eq. 3, which is left out, applies G_YX to x and not, as CycleGAN's identity loss, to y; as printed
    it is eq. 4.
  Eq. 4 has the masks of x and y, not those of the way back.
  A mask has three channels, as a content mask of AttentionGAN, with which the text compares it.
  The pool's "probability of 50 percent" is CycleGAN's, and so is its size.
  The DCGAN discriminator of the 64x64 experiments ends without a sigmoid, for least squares.
  The generator of the 64x64 experiments is CycleGAN's, with the 6 blocks of its smaller images.
  Scales of batch normalisation begin at 1 (in CycleGAN's and DCGAN's code at N(1, 0.02)).
  Discriminators play first, so generators see the new ones; CycleGAN's code has it the other way
    round, with the same translations.
"""

import functools
import math

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import _additional_mask_settings as settings
from maskgan_jax.methods import _given_masks, base
from maskgan_jax.methods import _replay_pool as replay_pool
from maskgan_jax.networks import augmentation, discriminators, resnet

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink
_OTHER = {'a': 'b', 'b': 'a'}


def make(config: ml_collections.ConfigDict) -> 'AdditionalMask':
  """Builds the method from a config; UserError where a value makes no sense."""
  return AdditionalMask(config)


class AdditionalMask(base.Method):
  """The networks of both schemes and their players."""

  extras = (
    base.Extra(
      'added_mask',
      'added mask',
      'what is added to the source; grey is nothing',
      shows_change=True,
    ),
    base.Extra(
      'attention',
      'attention',
      'how much each place lets through, which is in the added mask already',
      saved=False,
    ),
  )
  mask_is_opacity = False
  learns_from_masks = True
  augments_critics = True
  mask_meanings = {
    'source': 'Coloured: how much each pixel may change at most. What is erased stays as it is.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    model = config.model
    self.model, self.weights, self.remat = model, config.weights, config.remat
    self.switches = base.switches(config, VARIANTS)
    self.augment = augmentation.Augmentation(tuple(config.critic_augmentation))

    settings.check(config, self.switches.addition)
    supervised = model.scheme == 'supervised'
    self.dtype = jnp.dtype(config.compute_dtype)

    # Both directions have a generator of one architecture.
    features = 4 if model.attention else 3
    generator = resnet.ResnetGenerator(model.width, model.blocks, features, self.dtype)
    if supervised:
      self.networks = {'generator_ab': generator}
      self.abilities = frozenset({'source_mask'})
      self.players = (
        base.Player('generator', ('generator_ab',), self.supervised_loss),
      )
      return

    # Generators play second, so that both players' forward passes are one: the discriminators' step
    # leaves the generators as they are.
    generators = ('generator_ab', 'generator_ba')
    discriminators_ = ('discriminator_a', 'discriminator_b')
    self.networks = {
      **dict.fromkeys(generators, generator),
      **dict.fromkeys(discriminators_, self._discriminator()),
    }
    self.abilities = frozenset({'source_mask', 'reverse'})
    self.players = (
      base.Player('discriminator', discriminators_, self.discriminator_loss),
      base.Player('generator', generators, self.generator_loss),
    )

  def _discriminator(self):
    """Returns the network that both domains' discriminators are."""
    width = self.model.discriminator_width
    if self.model.discriminator == 'patch':
      return discriminators.PatchGan(width, self.model.discriminator_layers, self.dtype)
    return discriminators.Dcgan(width, self.dtype, self.switches.critic_normalized)

  def init(self, rng, batch):
    """See `base.Method`; the model state has a pool for each domain's translations."""
    init, (params, _) = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    for name in self.networks:
      init(name, image)
    if 'reverse' not in self.abilities or not self.model.pool_size:
      return params, {}
    pools = {}
    for domain in 'ab':
      pools[domain] = replay_pool.init(self.model.pool_size, image.shape[1:])
    return params, {'pools': pools}

  def _apply(self, name, params, image):
    """Returns a network's output."""
    network, variables = self.networks[name], {'params': params[name]}
    # What changes is DCGAN's running averages, which are not used.
    output, _ = base.apply(
      network, variables, image, remat=self.remat, mutable=['batch_stats']
    )
    return output

  def _generate(self, direction, params, image):
    """Returns a generator's translation, its mask and its attention.

    The mask is what eq. 4 measures, in [-1, 1]: after the attention. The same mask is added, except
    that the floor acts on the image alone: where it set the mask of eq. 4 to 0, lambda_r would have
    no gradient. Mask and attention are None where the model has none.
    """
    output = self._apply(f'generator_{direction}', params, image)
    if not self.switches.addition:
      return jnp.tanh(output), None, None

    # The paper's outlook and our departure both act on the mask, in this order.
    mask, attention = jnp.tanh(output[..., :3]), None
    if self.model.attention:
      attention = jax.nn.sigmoid(output[..., 3:])
      mask = attention * mask
    image = image + self.switches.mask_range * self._added(mask)
    if self.switches.clipped:
      image = jnp.clip(image, -1, 1)
    return image, mask, attention

  def _added(self, mask):
    """Returns what is left of a mask above the floor."""
    if not self.switches.mask_floor:
      return mask
    return _without_grain(mask, self.switches.mask_floor)

  def _score(self, domain, params, image, target):
    """Returns least squares of a discriminator's scores against 1, real, or 0."""
    scores = self._apply(f'discriminator_{domain}', params, image)
    return adversarial.least_squares(scores, target)

  def _l1(self, x, y):
    """Returns ||x - y||_1 as in eqs. 2 to 4, the mean over the batch."""
    distance = reconstruction.l1(x, y)
    if self.switches.l1_norm == 'sum':
      distance = distance * math.prod(x.shape[1:])
    return distance

  # Training.

  def discriminator_loss(self, params, model_state, batch, rng):
    """Returns eq. 1, lambda_g times, with earlier translations from the pools."""
    losses, pools = {}, {}
    real = {}
    for domain, key in zip('ab', jax.random.split(rng), strict=True):
      other = _OTHER[domain]
      fake = self._generate(other + domain, params, batch[other])[0]
      if self.model.pool_size:
        fake, pools[domain] = replay_pool.query(model_state['pools'][domain], fake, key)

      # The pool keeps translations as they are; what is seen of them changes each time.
      fake = self.augment(key, fake)
      real[domain] = self.augment(key, batch[domain], number=1)
      real_loss = self._score(domain, params, real[domain], 1)
      losses[domain] = real_loss + self._score(domain, params, fake, 0)
    loss = self.weights.adversarial * sum(losses.values())
    if self.switches.slope_penalty:
      losses['slope'] = self._slope(params, real)
      loss += self.switches.slope_penalty * losses['slope']
    if pools:
      model_state = {**model_state, 'pools': pools}
    return loss, (losses, model_state)

  def _slope(self, params, real):
    """Returns R1 of both discriminators, on an eighth of the batch, but one image at least.

    That costs as much as the whole batch at every eighth step would, without the jumps. The
    images are real ones by domain, as the discriminator sees them. Penalties are never bfloat16.
    """
    slope = 0.0
    network = self.networks['discriminator_a'].clone(dtype=jnp.float32)
    for domain in 'ab':
      images = real[domain]
      images = images[: -(-len(images) // 8)]
      variables = {'params': params[f'discriminator_{domain}']}
      slope += adversarial.zero_slope(
        functools.partial(network.apply, variables), images
      )
    return slope

  def generator_loss(self, params, model_state, batch, rng):
    """Returns eq. 5: adversarial, cycle (eq. 2), mask (eq. 4) and CycleGAN's identity."""
    losses = _given_masks.summed(
      self._losses_of(domain, params, batch, rng) for domain in 'ab'
    )

    # CycleGAN's 0.5 is on the discriminators' loss alone, where theirs weighs twice as much.
    weights = dict(self.weights)
    if self.switches.lambda_g == 'discriminator':
      weights['adversarial'] *= 2
    loss = sum(weights[name] * value for name, value in losses.items())
    return loss, (losses, model_state)

  def _losses_of(self, domain, params, batch, rng):
    """Returns the terms that begin with one domain's images; those the model has."""
    image, other = batch[domain], _OTHER[domain]
    translated, mask, attention = self._generate(domain + other, params, image)
    seen = self.augment(rng, translated, number='ab'.index(domain))
    losses = {'adversarial': self._score(other, params, seen, 1)}
    back = self._generate(other + domain, params, translated)[0]
    losses['cycle'] = self._l1(back, image)
    if mask is not None:
      losses['mask'] = self._l1(mask, jnp.zeros_like(mask))
    if self.weights.identity:
      same = self._generate(other + domain, params, image)[0]
      losses['identity'] = self._l1(same, image)
    of_masks = _given_masks.losses(self.weights, batch, domain, translated, attention)
    return {**losses, **of_masks}

  def supervised_loss(self, params, model_state, batch, rng):
    """Returns L1 between a's translation and the true one, which b is (section III-A)."""
    del rng
    translated, mask, attention = self._generate('ab', params, batch['a'])
    distance = self._l1(translated, batch['b'])
    of_masks = _given_masks.losses(self.weights, batch, 'a', translated, attention)
    metrics = {'supervised': distance, **of_masks}
    if mask is not None:
      metrics['mask'] = self._l1(mask, jnp.zeros_like(mask))
    loss = self.weights.supervised * distance
    for name, value in of_masks.items():
      loss += self.weights[name] * value
    return loss, (metrics, model_state)

  # Inference.

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
    """Returns x + mask_range * m, cut off at [-1, 1]: a picture of a as one of b, or `reverse`.

    The source's mask is how much each pixel changes, 1 being the most that can be added (without
    an addition: from black to white). A given one sets a limit to that, so 0 keeps a pixel, 1 lets
    the model do all it wants, and the predicted mask changes nothing. `extras` hold 'added_mask',
    what is left of m, [B, H, W, 3] in [-1, 1], and 'attention', [B, H, W, 1] in [0, 1].
    """
    direction = 'ba' if reverse else 'ab'
    image, mask, attention = self._generate(direction, params, source)
    image = jnp.clip(image, -1, 1)
    change = image - source

    # How much a pixel changes is a share of the most that it could.
    most = min(self.switches.mask_range, 2.0) if self.switches.addition else 2.0
    predicted = jnp.minimum(jnp.abs(change).max(-1, keepdims=True) / most, 1)

    if source_mask is not None:
      share, predicted = _limited(predicted, source_mask)
      image = source + share * change
    else:
      share = 1

    extras = {}
    if mask is not None:
      extras['added_mask'] = share * self._added(mask)
    if attention is not None:
      extras['attention'] = attention
    return base.Translation(image, predicted, None, extras)


def _limited(predicted, limit):
  """Returns the share of each pixel's change that a limit leaves, and the mask after it.

  The predicted mask as its own limit leaves everything: its shares are 1.
  """
  limited = jnp.minimum(limit, predicted)
  part = limited / jnp.where(predicted > 0, predicted, 1)
  return jnp.where(limited < predicted, part, 1), limited


def _without_grain(mask: jax.Array, floor: float) -> jax.Array:
  """Returns a mask [..., C] with 0 at the pixels of which no channel's size reaches `floor`.

  Gradients pass as if nothing had been done, so that a pixel that is 0 can leave it.
  """
  largest = jnp.abs(mask).max(-1, keepdims=True)
  kept = jnp.where(largest >= floor, mask, 0)
  return mask + jax.lax.stop_gradient(kept - mask)
