"""AGGAN, attention-guided translation without labels or exemplars (Mejjati et al., NeurIPS 2018).

For each direction a generator G paints the whole image, and an attention network A of the domain
says where that counts:

  x_ab = m_a G_ab(a) + (1 - m_a) a,          m_a = A_a(a)
  x_aba = m' G_ba(x_ab) + (1 - m') x_ab,     m' = A_b(x_ab)

and the other way round. Generators and attention minimise the least squares of the discriminators'
scores and 10 times the cycle's L1 distances; no loss is on the masks. At `model.switch_step` the
game changes: discriminators, which saw whole images, see only where the mask is at least
`model.threshold` (of real images, where their own mask is), lose their normalisation, and the
attention networks are frozen.

`config.variant` 'official' is the authors' code (github.com/AlamiMejjati/Unsupervised-Attention-
guided-Image-to-Image-Translation), 'intended' has the kernels of the attention networks that its
call asks for. LOMIT compares with it "with minor modifications on the architecture to take an
exemplar as another input", and says no more. `model.exemplar` is our reading of that: G gets the
exemplar as three further channels, and the way back has the other direction's translation as its
exemplar, as LOMIT's has.
"""

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, between, field
from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import _aggan_networks as networks
from maskgan_jax.methods import _replay_pool as replay_pool
from maskgan_jax.methods import base
from maskgan_jax.networks import masks

VARIANTS = {
  # Whether the attention's convolutions after its upsamplings are 3x3 and 7x7, or all 1x1.
  'official': dict(intended_kernels=False),
  'intended': dict(intended_kernels=True),
}

_ADAM = base.adam(learning_rate=1e-4, b1=0.5)
_FIELDS = dict(
  variant='official',
  model=dict(
    width=field(32, at_least(1)),  # of generators and attention at full resolution
    blocks=field(9, at_least(0)),  # residual blocks of a generator
    attention_strides=field(
      2, at_least(1)
    ),  # stride-2 convolutions of an attention network
    discriminator_width=field(64, at_least(1)),
    discriminator_strides=field(3, at_least(1)),  # its stride-2 convolutions
    # Earlier translations, with their masks, that discriminators may see instead.
    pool_size=field(50, at_least(1)),
    # The step at which discriminators see the foreground only, and attention is frozen; 30 epochs
    # of horses and zebras. 0 is from the start.
    switch_step=field(40_020, at_least(0)),
    threshold=field(0.1, between(0, 1)),  # of the masks from then on
    exemplar=False,  # whether generators also get an exemplar: our reading of LOMIT's baseline
  ),
  weights=dict(
    adversarial=field(1.0, at_least(0)),
    cycle=field(10.0, at_least(0)),
  ),
  optimizers=dict(
    discriminator=_ADAM,
    generator=_ADAM,
    discriminator_late=_ADAM,
    generator_late=_ADAM,
  ),
)
_OTHER = {'a': 'b', 'b': 'a'}


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the authors' for horses and zebras."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes networks and the first stage as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    blocks=1,
    attention_strides=1,
    discriminator_width=4,
    discriminator_strides=1,
    pool_size=4,
    switch_step=min(config.model.switch_step, 2),
  )


def make(config: ml_collections.ConfigDict) -> 'Aggan':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Aggan(config)


class Aggan(base.Method):
  """The networks of both directions and the players of both stages; see the module."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    fields.check(config, _FIELDS)
    model, dtype = config.model, jnp.dtype(config.compute_dtype)
    self.weights, self.model, self.remat = config.weights, model, config.remat
    _check_sides(config)
    abilities = {'source_mask', 'segment', 'reverse'}
    if model.exemplar:
      abilities.add('exemplar')
    self.abilities = frozenset(abilities)

    attention = networks.Attention(
      model.width, model.attention_strides, self.switches.intended_kernels, dtype
    )
    generator = networks.Generator(model.width, model.blocks, dtype)
    discriminator = networks.Discriminator(
      model.discriminator_width, model.discriminator_strides, dtype
    )
    self.networks = {
      'generator_ab': generator,
      'generator_ba': generator,
      'attention_a': attention,
      'attention_b': attention,
      'discriminator_a': discriminator,
      'discriminator_b': discriminator,
    }
    self.players = self._players(model.switch_step)

  def _players(self, switch):
    """Returns the players until the switch, and those from it on.

    They have moments of Adam of their own; the authors keep them.
    """
    generators = ('generator_ab', 'generator_ba')
    attention = ('attention_a', 'attention_b')
    discriminators = ('discriminator_a', 'discriminator_b')
    late = (
      base.Player(
        'discriminator_late',
        discriminators,
        self._discriminate(late=True),
        start=switch,
      ),
      base.Player(
        'generator_late', generators, self._generate(late=True), start=switch
      ),
    )
    if not switch:
      return late
    early = (
      base.Player(
        'discriminator', discriminators, self._discriminate(late=False), end=switch
      ),
      base.Player(
        'generator', generators + attention, self._generate(late=False), end=switch
      ),
    )
    return early + late

  def init(self, rng, batch):
    """See `base.Method`; the model state has a pool of images and masks for each domain."""
    init, (params, _) = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    painted = jnp.concatenate([image, image], -1) if self.model.exemplar else image
    for name in self.networks:
      if name.startswith('generator'):
        init(name, painted)
      elif name.startswith('attention'):
        init(name, image)
      else:
        init(name, image, normalized=True)
    shape = (*image.shape[1:3], 4)
    pools = {}
    for domain in 'ab':
      pools[f'pool_{domain}'] = replay_pool.init(self.model.pool_size, shape)
    return params, pools

  def _apply(self, name, params, x, **options):
    variables = {'params': params[name]}
    return base.apply(self.networks[name], variables, x, remat=self.remat, **options)

  def _translated(self, domain, params, image, exemplar, mask=None):
    """Returns the translation of an image from a domain to the other, and its mask."""
    if mask is None:
      mask = self._apply(f'attention_{domain}', params, image)
    inputs = image
    if self.model.exemplar:
      inputs = jnp.concatenate([image, exemplar], axis=-1)
    painted = self._apply(f'generator_{domain}{_OTHER[domain]}', params, inputs)
    return masks.composite(mask, painted, image), mask

  def _seen(self, image, mask, late):
    """Returns what a discriminator sees of an image with this mask."""
    if not late:
      return image
    return image * (mask >= self.model.threshold)

  def _score(self, domain, params, image, mask, late):
    """Returns a discriminator's scores of an image with this mask."""
    seen = self._seen(image, mask, late)
    return self._apply(f'discriminator_{domain}', params, seen, normalized=not late)

  def _discriminate(self, *, late):
    """Returns the discriminators' loss of a stage."""

    def loss(params, model_state, batch, rng):
      frozen = jax.lax.stop_gradient(params)
      keys = dict(zip('ab', jax.random.split(rng), strict=True))
      losses, state = {}, {}
      for domain in 'ab':
        source, real = batch[_OTHER[domain]], batch[domain]
        fake, mask = self._translated(_OTHER[domain], frozen, source, real)
        fakes, pool = replay_pool.query(
          model_state[f'pool_{domain}'],
          jnp.concatenate([fake, mask], axis=-1),
          keys[domain],
        )
        state[f'pool_{domain}'] = pool
        real_mask = self._apply(f'attention_{domain}', frozen, real)
        of_real = self._score(domain, params, real, real_mask, late)
        of_fake = self._score(domain, params, fakes[..., :3], fakes[..., 3:], late)
        losses[f'real_{domain}'] = adversarial.least_squares(of_real, 1) / 2
        losses[f'fake_{domain}'] = adversarial.least_squares(of_fake, 0) / 2
      return sum(losses.values()), (losses, {**model_state, **state})

    return loss

  def _generate(self, *, late):
    """Returns the loss of generators and attention of a stage."""

    def loss(params, model_state, batch, rng):
      del rng
      a, b = batch['a'], batch['b']
      x_ab, mask_a = self._translated('a', params, a, b)
      x_ba, mask_b = self._translated('b', params, b, a)
      x_aba, _ = self._translated('b', params, x_ab, x_ba)
      x_bab, _ = self._translated('a', params, x_ba, x_ab)
      of_ab = self._score('b', params, x_ab, mask_a, late)
      of_ba = self._score('a', params, x_ba, mask_b, late)
      square, l1 = adversarial.least_squares, reconstruction.l1
      losses = {
        'adversarial': square(of_ab, 1) + square(of_ba, 1),
        'cycle': l1(x_aba, a) + l1(x_bab, b),
      }
      total = sum(self.weights[name] * value for name, value in losses.items())
      both = jnp.concatenate([mask_a, mask_b])
      return total, ({**losses, **masks.statistics(both)}, model_state)

    return loss

  def segment(self, params, model_state, image):
    """Returns the attention of domain b, [B, H, W, 1]."""
    return self._apply('attention_b', params, image)

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
    """Returns x_ab, in reverse x_ba; a given source_mask replaces the attention."""
    del exemplar_mask, rng
    if source_mask is not None:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
    if exemplar is not None:
      exemplar = jnp.broadcast_to(exemplar, source.shape)
    domain = 'b' if reverse else 'a'
    image, mask = self._translated(domain, params, source, exemplar, source_mask)
    return base.Translation(image, mask)


def _check_sides(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless generators and attention can take the images."""
  factor = max(4, 2**config.model.attention_strides)
  if any(side % factor for side in base.image_shape(config)):
    height, width = base.image_shape(config)
    raise errors.UserError(
      f'images are {height}x{width}; with model.attention_strides '
      f'{config.model.attention_strides} aggan takes sides that are multiples of {factor}'
    )
