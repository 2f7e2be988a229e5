"""StarGAN, one generator for all labels (Choi et al., CVPR 2018), and AttentionGAN-v1-multi.

The generator gets an image x and target labels c' as further channels, the critic D scores images
and classifies their labels (the code's losses, github.com/yunjey/stargan):

  L_D = -E[D(x)] + E[D(G(x, c'))] + L_cls(x, c) + 10 L_gp
  L_G = -E[D(G(x, c'))] + L_cls(G(x, c'), c') + 10 |x - G(G(x, c'), c)|

L_cls is the cross entropy summed over labels, c the labels of x (`config.data.attributes`; without
any, the domain). With `model.outputs` 4 the generator is AttentionGAN-v1-multi's
(github.com/Ha0Tang/AttentionGAN): its first channel is a mask m, its others the content y', and

  G(x, c) = m y' + (1 - m) x

Labels count because the convolutions pad with zeros (networks/resnet.py). LOMIT compares with
StarGAN in pictures. Both codes are the same trainer; there is one variant, 'official'.
"""

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, between, field, one_of
from maskgan_jax.losses import adversarial, reconstruction
from maskgan_jax.methods import base
from maskgan_jax.networks import discriminators, masks, replicas, resnet
from maskgan_jax.networks.streams import interleave, swap

VARIANTS = {
  'official': dict(
    # Which labels an image is translated to. The code permutes those of a batch, so that some
    # images keep theirs: 'drawn' exchanges those of an image of a and one of b in half of all
    # pairs, which does not depend on devices; 'partner' always.
    targets='drawn',
  ),
}

_ADAM = base.adam(learning_rate=1e-4, b1=0.5)
_FIELDS = dict(
  variant='official',
  model=dict(
    width=field(64, at_least(1)),  # of the generator at full resolution
    blocks=field(6, at_least(0)),  # its residual blocks
    # 3 channels of a picture, or 4: a mask and a picture, AttentionGAN-v1-multi's.
    outputs=field(3, between(3, 4)),
    critic_width=field(64, at_least(1)),  # channels of its first convolution
    critic_depth=field(6, at_least(1)),  # its stride-2 convolutions
    critic_every=field(5, at_least(1)),  # steps of the critic for one of the generator
    targets=field(None, one_of('drawn', 'partner')),
  ),
  weights=dict(
    adversarial=field(1.0, at_least(0)),
    classification=field(1.0, at_least(0)),
    gradient_penalty=field(10.0, at_least(0)),
    reconstruction=field(10.0, at_least(0)),  # of images there and back
  ),
  optimizers=dict(critic=_ADAM, generator=_ADAM),
)


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config: the authors' for CelebA at 128x128."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the networks as small as they go, for `:smoke`."""
  config.model.update(
    width=4,
    blocks=1,
    critic_width=4,
    critic_depth=min(config.model.critic_depth, 2),
    critic_every=2,
  )


def make(config: ml_collections.ConfigDict) -> 'StarGan':
  """Builds the method from a config; UserError where a value makes no sense."""
  return StarGan(config)


class StarGan(base.Method):
  """Both networks and their players; see the module's docstring."""

  mask_meanings = {
    'source': 'Coloured: where the source changes. Erase what is to stay as it is.'
  }

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    fields.check(config, _FIELDS)
    _check_sides(config)
    model, dtype = config.model, jnp.dtype(config.compute_dtype)
    self.weights, self.remat = config.weights, config.remat
    attributes = tuple(config.data.attributes)
    self.label_names = attributes or ('b',)
    self.by_attributes = bool(attributes)
    self.has_mask = model.outputs == 4
    abilities = {'labels', 'read_labels'}
    if attributes:
      abilities.add('exemplar')
    if config.data.a != config.data.b:
      abilities.add('reverse')
    if self.has_mask:
      abilities.add('source_mask')
    self.abilities = frozenset(abilities)

    self.networks = {
      'generator': resnet.StarGenerator(
        model.width, model.blocks, model.outputs, dtype
      ),
      'critic': discriminators.PatchCritic(
        model.critic_width,
        model.critic_depth,
        len(self.label_names),
        dtype,
        padding='constant',
        kernel_init=None,
        head_bias=False,
      ),
    }
    self.players = (
      base.Player('critic', ('critic',), self.critic_loss),
      base.Player(
        'generator', ('generator',), self.generator_loss, every=model.critic_every
      ),
    )

  def init(self, rng, batch):
    init, (params, _) = base.initializer(self.networks, rng)
    image = batch['a'][:1]
    init('generator', image, jnp.zeros((1, len(self.label_names))))
    init('critic', image)
    return params, {}

  def _apply(self, name, params, *inputs):
    variables = {'params': params[name]}
    return base.apply(self.networks[name], variables, *inputs, remat=self.remat)

  def _generate(self, params, image, labels, given_mask=None):
    """Returns G(x, c), and its mask or None."""
    output = self._apply('generator', params, image, labels)
    if not self.has_mask:
      return jnp.tanh(output), None
    mask = jax.nn.sigmoid(output[..., :1])
    if given_mask is not None:
      mask = jnp.broadcast_to(given_mask, mask.shape)
    return masks.composite(mask, output[..., 1:], image), mask

  def _batch(self, batch, rng):
    """Returns the images of both domains, their labels, and those they are translated to."""
    images = interleave(batch['a'], batch['b'])
    if self.by_attributes:
      labels = interleave(batch['a_attributes'], batch['b_attributes'])
    else:
      ones = jnp.ones((len(batch['a']), 1))
      labels = interleave(0 * ones, ones)
    targets = swap(labels)
    if self.switches.targets == 'drawn':
      exchanged = replicas.draw(
        lambda n: jax.random.bernoulli(rng, shape=(n, 1)), len(batch['a'])
      )
      targets = jnp.where(interleave(exchanged, exchanged), targets, labels)
    return images, labels, targets

  def critic_loss(self, params, model_state, batch, rng):
    """Returns L_D."""
    of_targets, of_penalty = jax.random.split(rng)
    images, labels, targets = self._batch(batch, of_targets)
    fakes, _ = self._generate(jax.lax.stop_gradient(params), images, targets)
    scores, logits = self._apply('critic', params, images)
    fake_scores, _ = self._apply('critic', params, fakes)
    losses = {
      'real': -scores.mean(),
      'fake': fake_scores.mean(),
      'classification': adversarial.multi_label_cross_entropy(logits, labels),
      'gradient_penalty': self._penalty(params, images, fakes, of_penalty),
    }
    weights = self.weights
    loss = (
      weights.adversarial * (losses['real'] + losses['fake'])
      + weights.classification * losses['classification']
      + weights.gradient_penalty * losses['gradient_penalty']
    )
    accuracy = ((logits > 0) == (labels > 0.5)).mean()
    return loss, ({**losses, 'accuracy': accuracy}, model_state)

  def _penalty(self, params, images, fakes, rng):
    """Returns L_gp, of images and their own translations; never in bfloat16."""
    critic = self.networks['critic'].clone(dtype=jnp.float32)

    def score(x):
      return critic.apply({'params': params['critic']}, x)[0]

    alpha = replicas.draw(lambda n: jax.random.uniform(rng, (n, 1, 1, 1)), len(images))
    return adversarial.gradient_penalty(score, images, fakes, alpha)

  def generator_loss(self, params, model_state, batch, rng):
    """Returns L_G."""
    of_targets, _ = jax.random.split(rng)
    images, labels, targets = self._batch(batch, of_targets)
    fakes, mask = self._generate(params, images, targets)
    back, _ = self._generate(params, fakes, labels)
    scores, logits = self._apply('critic', params, fakes)
    losses = {
      'adversarial': -scores.mean(),
      'classification': adversarial.multi_label_cross_entropy(logits, targets),
      'reconstruction': reconstruction.l1(back, images),
    }
    loss = sum(self.weights[name] * value for name, value in losses.items())
    metrics = losses if mask is None else {**losses, **masks.statistics(mask)}
    return loss, (metrics, model_state)

  def read_labels(self, params, model_state, image):
    """Returns the critic's probabilities of the labels, [B, K]."""
    return jax.nn.sigmoid(self._apply('critic', params, image)[1])

  def translate(
    self,
    params,
    model_state,
    source,
    exemplar,
    *,
    labels=None,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
    reverse=False,
  ):
    """Returns G(source, c'), with c' the given labels, the exemplar's, or the domain's."""
    del exemplar_mask, rng
    if labels is None and exemplar is not None:
      labels = jnp.round(self.read_labels(params, model_state, exemplar))
    if labels is None:
      labels = jnp.zeros((1, 1)) if reverse else jnp.ones((1, 1))
    labels = jnp.broadcast_to(labels, (len(source), len(self.label_names)))
    image, mask = self._generate(params, source, labels, source_mask)
    return base.Translation(jnp.clip(image, -1, 1), mask)


def _check_sides(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless generator and critic can take the images."""
  height, width = base.image_shape(config)
  factor = max(4, 2**config.model.critic_depth)
  if height % factor or width % factor:
    raise errors.UserError(
      f'images are {height}x{width}; with model.critic_depth {config.model.critic_depth} stargan '
      f'takes sides that are multiples of {factor}'
    )
