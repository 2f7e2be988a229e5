"""Image style transfer using convolutional neural networks (Gatys, Ecker, Bethge; CVPR 2016).

Nothing is trained: the pixels of each translation y are optimised, so that its features at a deep
layer stay the source's and the Gram matrices of its features become the exemplar's:

  L(y) = w_c |F(y) - F(source)|^2 + sum_l w_l |G_l(y) - G_l(exemplar)|^2,   G = F F^T / (h w)

`translate` is the optimisation: a loop inside the program, with a state of its own for each picture
of a batch. The method has no players where the network of the features is read from a file: its
training is then one step that changes nothing, and what is saved is the network. Without a file
there is one player, who teaches the network the data's labels.

`config.variant` is 'official' (the notebook at
github.com/leongatys/PytorchNeuralStyleTransfer) or 'paper'; VARIANTS lists where they differ.
"""

import jax
from jax import lax
import jax.numpy as jnp
import ml_collections
import optax

from maskgan_jax import errors, fields
from maskgan_jax.fields import at_least, field, more_than, one_of
from maskgan_jax.losses import reconstruction
from maskgan_jax.methods import _lbfgs, _style_transfer, base
from maskgan_jax.pretrained_networks import vgg19

VARIANTS = {
  'paper': dict(
    pooling='average',  # the paper: images look slightly better
    start='noise',
    # Half the sum of squares for the content, times alpha / beta = 1e-3; for a layer's style a
    # fifth of a quarter of the mean square, which is what eqs. 4 and 5 amount to.
    distances='sums',
  ),
  'official': dict(
    pooling='max',
    start='source',
    # Mean squares; those of a layer's style times 1e3 over the squared number of channels.
    distances='means',
  ),
}

_FIELDS = dict(
  variant='official',
  model=dict(
    **_style_transfer.FIELDS,
    content_layer='relu4_2',
    style_layers=vgg19.TAPS,
    # The optimisation of a picture, whose pixels are levels from 0 to 255.
    optimizer=field('lbfgs', one_of('lbfgs', 'adam')),
    steps=field(500, at_least(1)),
    rate=field(
      1.0, more_than(0)
    ),  # of Adam: in levels; L-BFGS multiplies its steps by it
    history=field(100, at_least(1)),  # steps that L-BFGS remembers
    # Switches between paper and official code; None follows config.variant (see VARIANTS).
    pooling=field(None, one_of('average', 'max')),
    start=field(None, one_of('noise', 'source')),
    distances=field(None, one_of('sums', 'means')),
  ),
  # Times the factors of `distances`.
  weights=dict(content=field(1.0, at_least(0)), style=field(1.0, at_least(0))),
  optimizers=dict(perceptual=base.adam(learning_rate=3e-4)),
)
_HALF = 127.5  # levels from grey to white


def get_default() -> ml_collections.ConfigDict:
  """Returns this method's part of a config, at the authors' settings."""
  return base.default_config(_FIELDS, VARIANTS)


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the network and the optimisation as small as they go, for `:smoke`."""
  _style_transfer.shrink(config)
  config.model.update(steps=2, history=2)


def make(config: ml_collections.ConfigDict) -> 'Gatys':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Gatys(config)


class Gatys(_style_transfer.StyleTransfer):
  """The network of the features, and the optimisation; see the module's docstring."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    fields.check(config, _FIELDS)
    model = config.model
    self.content_layer, self.style_layers = model.content_layer, model.style_layers
    least = model.enlarge * min(base.image_shape(config))
    if least < 16:
      raise errors.UserError(
        f'images enter the network with a side of {least} pixels (config.model.enlarge times '
        'their size), and 16 are needed'
      )
    taps = _in_order({self.content_layer, *self.style_layers})
    super().__init__(config, taps, pool='VALID', pooling=self.switches.pooling)
    self.players = self.label_player()
    if model.optimizer == 'adam':
      self.optimizer = optax.scale_by_adam()
    else:
      self.optimizer = _lbfgs.scale_by_lbfgs(model.history)

  def style_of(self, params, image, mask):
    """Returns the Gram matrix of each style layer, over the pixels of a mask."""
    maps = self.features(params, image)
    grams = {}
    for name in self.style_layers:
      weight = _style_transfer.mask_of(mask, maps[name])
      grams[name] = reconstruction.gram(maps[name], weight)
    return grams

  def objective(
    self,
    params: base.Params,
    pictures: jax.Array,
    content: jax.Array,
    grams: dict[str, jax.Array],
  ) -> jax.Array:
    """Returns the loss of each picture, [B].

    Args:
      params: see base.
      pictures: [B, H, W, 3] in [-1, 1].
      content: the sources' maps at the content layer, [B, h, w, C].
      grams: Gram matrices by style layer, [B, C, C].
    """
    maps = self.features(params, pictures)
    difference = (maps[self.content_layer] - content).astype(jnp.float32)
    squares = jnp.square(difference)
    sums = self.switches.distances == 'sums'
    content_loss = squares.mean((1, 2, 3))
    if sums:
      content_loss = 1e-3 * squares.sum((1, 2, 3)) / 2

    # Each layer's distance is the mean square of the difference of its Gram matrices.
    style_loss = 0.0
    for name, target in grams.items():
      gram = reconstruction.gram(maps[name])
      factor = 1 / (4 * len(grams)) if sums else 1e3 / gram.shape[-1] ** 2
      style_loss += factor * jnp.square(gram - target).mean((1, 2))
    return self.weights.content * content_loss + self.weights.style * style_loss

  def stylize(self, params, source, styles, rng):
    """Returns the pictures of the least loss; the Gram matrices of several styles are mixed."""
    content = self.features(params, source)[self.content_layer]
    grams = {}
    for name in self.style_layers:
      grams[name] = sum(weight * style[name] for weight, style in styles)
    return self._optimize(params, self._start(source, rng), content, grams)

  def _start(self, source, rng):
    """Returns the pictures that the optimisation begins with."""
    if self.switches.start == 'source':
      return source.astype(jnp.float32)
    # One draw for every picture, so that none depends on where in a batch it stands; a constant
    # where the key is one, for runtimes that cannot draw.
    if rng is None:
      rng = jax.random.key(0)
    with jax.ensure_compile_time_eval():
      noise = jax.random.uniform(rng, (1, *source.shape[1:]), minval=-1, maxval=1)
    return jnp.broadcast_to(noise, source.shape)

  def _optimize(self, params, start, content, grams):
    """Returns the pictures of the least loss among those that the steps lead through.

    A picture's loss depends on no other picture, so the gradient of the sum has the gradients of
    all; each picture has an optimizer's state of its own.
    """

    def total(levels):
      losses = self.objective(params, levels / _HALF - 1, content, grams)
      return losses.sum(), losses

    def step(_, carry):
      levels, state, best = carry
      (_, losses), gradient = jax.value_and_grad(total, has_aux=True)(levels)
      best = _better(best, (losses, levels))
      update, state = jax.vmap(self.optimizer.update)(gradient, state, levels)
      return levels - self.model.rate * update, state, best

    # A step too far does no harm: the best picture is kept.
    levels = _HALF * (start + 1)
    best = (jnp.full_like(levels[:, 0, 0, 0], jnp.inf), levels)
    carry = (levels, jax.vmap(self.optimizer.init)(levels), best)
    levels, _, best = lax.fori_loop(0, self.model.steps, step, carry)
    _, losses = total(levels)
    _, levels = _better(best, (losses, levels))
    return levels / _HALF - 1


def _better(best, other):
  """Returns losses [B] and pictures [B, ...], for each example those of the smaller loss.

  A loss that is not a number is never the smaller one.
  """
  smaller = other[0] < best[0]
  pictures = jnp.where(smaller[:, None, None, None], other[1], best[1])
  return jnp.where(smaller, other[0], best[0]), pictures


def _in_order(names):
  """Returns names of VGG-19's maps in the order of the network; UserError for another name."""
  for name in names:
    vgg19.channels(last=name)
  convolutions = vgg19.channels()
  return [name for name in map(vgg19.map_of, convolutions) if name in names]
