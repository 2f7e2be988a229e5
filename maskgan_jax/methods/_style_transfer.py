"""What AdaIN, WCT and Gatys et al. have in common: fixed features, styles, masks, sizes.

All take features of a network and leave it as it is. It has seen photographs and is read from a
file; without one, a small network learns the data's labels first (_perceptual.py). A style is what
a method takes from an exemplar's features: moments, covariances, Gram matrices.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors
from maskgan_jax.fields import at_least, field, one_of
from maskgan_jax.methods import _perceptual, base
from maskgan_jax.networks import masks
from maskgan_jax.networks.streams import interleave
from maskgan_jax.pretrained_networks import vgg19

# In `config.model` of each of the methods.
FIELDS = dict(
  # The network of the features, of VGG-19's shape: 'labels', which learns config.data.attributes
  # or else to tell the domains apart, or the file that `import_weights vgg19` wrote.
  perceptual=_perceptual.LABELS,
  # Channels of its first layer; of VGG-19: 64.
  perceptual_width=field(64, at_least(1)),
  # Pictures are enlarged by this before they enter it, and results made as small again.
  enlarge=field(1, at_least(1)),
)
# In `config.model` of those that train a decoder.
DECODER_FIELDS = dict(
  # Steps in which the network learns labels, before a decoder is trained; 0: it comes from a file
  # or from the run that config.init_from names.
  pretrain_steps=field(1_000, at_least(0)),
  # Of all convolutions of the network: 'reflect' as the authors', or 'constant', zeros.
  padding=field('reflect', one_of('reflect', 'constant')),
  # Whether pictures of b are contents too, after styles of a.
  both_ways=False,
)

# A style, and its weight among several.
Styles = Sequence[tuple[Any, Any]]


class StyleTransfer(base.Method):
  """The fixed features and the contract's functions; a subclass has `style_of` and `stylize`."""

  abilities = frozenset(
    {'exemplar', 'exemplar_mask', 'interpolate', 'reverse', 'source_mask'}
  )
  mask_meanings = {
    'source': 'Coloured: what may change.',
    'exemplar': 'Coloured: the part of the exemplar whose style counts.',
  }

  def __init__(
    self, config: ml_collections.ConfigDict, taps: Sequence[str], **options: Any
  ):
    """Builds the network of the features.

    Args:
      config: of a run.
      taps: names of VGG-19's maps.
      **options: of `vgg19.VGG19`.
    """
    model = config.model
    self.model, self.weights = model, config.weights
    self.remat, self.init_from = config.remat, config.init_from
    self.dtype = jnp.dtype(config.compute_dtype)
    self.labels = len(config.data.attributes)
    self.taps = tuple(taps)

    # A network that learns here has an answer for each label.
    self.learns_labels = model.perceptual == _perceptual.LABELS
    classes = _perceptual.classes(self.labels) if self.learns_labels else 0
    network = vgg19.VGG19(
      model.perceptual_width, classes, dtype=self.dtype, taps=self.taps, **options
    )
    self.networks = {'perceptual': network}
    if self.learns_labels:
      self.groups_of_earlier_stages = ('perceptual',)

  @property
  def provenance(self) -> dict[str, str]:
    """Returns the name of the network whose features are used."""
    model = self.model
    name = _perceptual.describe(model.perceptual, model.perceptual_width, self.labels)
    return {'perceptual_network': name}

  def pretrained(self) -> base.Params:
    """Returns the network that is read from a file, if one is."""
    if self.learns_labels:
      return {}
    return {'perceptual': _perceptual.read(self.model.perceptual, self.taps[-1])}

  def label_player(self, until: int = 0) -> tuple[base.Player, ...]:
    """Returns the player who learns labels before step `until`, or none."""
    if not self.learns_labels:
      return ()
    return (base.Player('perceptual', ('perceptual',), self.label_loss, end=until),)

  def label_loss(self, params, model_state, batch, rng):
    """Returns the loss of labels on pictures as the features see them; see `_perceptual`."""
    batch = {**batch, 'a': self.enlarged(batch['a']), 'b': self.enlarged(batch['b'])}
    return _perceptual.label_loss(self.apply, params, model_state, batch, rng)

  def init(self, rng, batch):
    """See base: returns fresh parameters, and no state."""
    init, (params, _) = base.initializer(self.networks, rng)
    image = self.enlarged(batch['a'][:1])
    maps = init('perceptual', image, method='classify' if self.learns_labels else None)
    if self.learns_labels:
      maps = self.networks['perceptual'].apply({'params': params['perceptual']}, image)
    self.init_decoders(init, dict(zip(self.taps, maps, strict=True)))
    return params, {}

  def init_decoders(self, init, maps):
    """Initialises the other networks of a method on an image's maps; here there are none."""

  def apply(self, name, params, *inputs, **options):
    """Returns a network's output."""
    network, variables = self.networks[name], {'params': params[name]}
    return base.apply(network, variables, *inputs, remat=self.remat, **options)

  def features(self, params: base.Params, image: jax.Array) -> dict[str, jax.Array]:
    """Returns the maps of an enlarged image by name."""
    maps = self.apply('perceptual', params, image)
    return dict(zip(self.taps, maps, strict=True))

  def enlarged(self, image: jax.Array) -> jax.Array:
    """Repeats each pixel of an image or mask [B, H, W, C], as `model.enlarge` says."""
    factor = self.model.enlarge
    if factor == 1:
      return image
    return jnp.repeat(jnp.repeat(image, factor, axis=1), factor, axis=2)

  def _reduced(self, image):
    """Returns the image whose pixels are the means of an enlarged one's."""
    factor = self.model.enlarge
    batch, height, width, channels = image.shape
    blocks = (batch, height // factor, factor, width // factor, factor, channels)
    return image.reshape(blocks).mean((2, 4))

  def contents_and_styles(self, batch: base.Batch) -> tuple[jax.Array, jax.Array]:
    """Returns the enlarged contents and styles to train on, [B, ...] or [2 B, ...]."""
    a, b = self.enlarged(batch['a']), self.enlarged(batch['b'])
    if self.model.both_ways:
      return interleave(a, b), interleave(b, a)
    return a, b

  def style_of(
    self, params: base.Params, image: jax.Array, mask: jax.Array | None
  ) -> Any:
    """Returns the style of an enlarged image, over the pixels that an enlarged mask says."""
    raise NotImplementedError

  def stylize(
    self,
    params: base.Params,
    source: jax.Array,
    styles: Styles,
    rng: jax.Array | None,
  ) -> jax.Array:
    """Returns an enlarged source in a mixture of styles, around [-1, 1]."""
    raise NotImplementedError

  # Inference.

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
    """Returns the source in the exemplar's style; both directions are the same.

    A given source_mask says which pixels may change (the others are the source's own), a given
    exemplar_mask from which part of the exemplar the style is taken.
    """
    del model_state, reverse
    mask = None
    if exemplar_mask is not None:
      exemplar_mask = jnp.broadcast_to(exemplar_mask, (*exemplar.shape[:3], 1))
      mask = self.enlarged(exemplar_mask)
    style = self.style_of(params, self.enlarged(exemplar), mask)
    image = self._stylized(params, source, [(1.0, style)], rng)

    # Masks that are given are shown as they were used.
    if source_mask is not None:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
      image = masks.composite(source_mask, image, source)
    return base.Translation(image, source_mask, exemplar_mask)

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """Returns the source in (1 - weight) of exemplar_1's style and weight of exemplar_2's.

    The source itself as the first exemplar gives the trade-off between content and style.
    """
    del model_state
    style_1 = self.style_of(params, self.enlarged(exemplar_1), None)
    style_2 = self.style_of(params, self.enlarged(exemplar_2), None)
    styles = [(1 - weight, style_1), (weight, style_2)]
    return base.Translation(self._stylized(params, source, styles, None))

  def _stylized(self, params, source, styles, rng):
    """Returns a source in a mixture of styles, at its size and in [-1, 1]."""
    image = self.stylize(params, self.enlarged(source), styles, rng)
    return self._reduced(jnp.clip(image, -1, 1))


def require_trained(method: StyleTransfer) -> None:
  """Raises UserError where the network of the features would stay untrained."""
  if method.learns_labels and not (method.model.pretrain_steps or method.init_from):
    raise errors.UserError(
      'config.model.pretrain_steps is 0, so that the network of the features would stay '
      'untrained; set it, or config.init_from to a run that trained it, or config.model.perceptual '
      'to a file of import_weights vgg19'
    )


def require_sides(config: ml_collections.ConfigDict, level: int) -> None:
  """Raises UserError for images whose maps at relu{level}_1 no decoder makes as large again."""
  factor = 2 ** (level - 1)
  height, width = (side * config.model.enlarge for side in base.image_shape(config))
  if height % factor or width % factor or min(height, width) < 2 * factor:
    raise errors.UserError(
      f'images enter the network {height}x{width} pixels large (config.model.enlarge times '
      f'their size); relu{level}_1 needs sides that are multiples of {factor}, of at least '
      f'{2 * factor}'
    )


def mask_of(mask: jax.Array | None, features: jax.Array) -> jax.Array | None:
  """Returns a mask [B, H, W, 1] at the size of features, each pixel the mean of what it covers."""
  while mask is not None and mask.shape[1:3] != features.shape[1:3]:
    mask = vgg19.average_pool(mask, 'VALID')
  return mask


def shrink(config: ml_collections.ConfigDict) -> None:
  """Makes the network and the first stage as small as they go, for `:smoke`."""
  model = config.model
  model.enlarge = 1
  if 'pretrain_steps' in model:
    model.pretrain_steps = min(model.pretrain_steps, 1)
  if model.perceptual == _perceptual.LABELS:  # a file's network has its own width
    model.perceptual_width = 2
