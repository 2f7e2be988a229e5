"""EGSC-IT's networks, and what images are made of: content, masks and styles from features."""

import jax
import jax.numpy as jnp

from maskgan_jax.methods import _perceptual, base
from maskgan_jax.methods._egsc_it_pretraining import noise
from maskgan_jax.networks import decoders, discriminators, encoders, layers
from maskgan_jax.networks import normalization as norms
from maskgan_jax.networks.streams import interleave
from maskgan_jax.pretrained_networks import vgg19


class Networks:
  """The networks by name, and their application; what domains share sees them interleaved.

  Attributes:
    by_name: the Flax modules.
    uses_features: whether F_A and F_B are among them.
    uses_perceptual: whether the perceptual network is.
    trains_perceptual: whether the first stage trains it.
    pretrains: whether there is a first stage.
  """

  def __init__(self, config, switches):
    """Builds the networks.

    Args:
      config: of a run.
      switches: see egsc_it.VARIANTS.
    """
    model, weights = config.model, config.weights
    self.model, self.switches, self.remat = model, switches, config.remat
    self.dtype = jnp.dtype(config.compute_dtype)

    # An ablation needs fewer networks, and maybe no first stage.
    self.uses_features = model.feature_mask or model.adain
    self.uses_perceptual = bool(weights.content or weights.style)
    self.trains_perceptual = (
      self.uses_perceptual and model.perceptual == _perceptual.LABELS
    )
    self.pretrains = model.pretrain_steps > 0 and self.learns_first
    self.by_name = self._networks(model, switches, len(config.data.attributes))

  @property
  def learns_first(self) -> bool:
    """Whether any network has to be trained before the others, here or in another run."""
    return self.uses_features or self.trains_perceptual

  def _networks(self, model, switches, labels):
    """Returns all networks by their names."""
    dtype = self.dtype
    norm = None
    if switches.residual_norm == 'instance':
      norm = norms.InstanceNorm
    encoder = encoders.UnitEncoder(
      model.width, model.downsamplings, model.blocks, norm, dtype
    )
    shared = layers.Residual(norm, dtype, layers.truncated_normal)
    generator = decoders.UnitGenerator(model.downsamplings, model.blocks, norm, dtype)
    discriminator = discriminators.PatchDiscriminator(
      model.discriminator_width,
      model.discriminator_depth,
      switches.discriminator_twice,
      switches.discriminator_bounded,
      dtype,
    )

    # Those that domains share, and those that each has for itself.
    networks = {'shared_encoder': shared, 'shared_generator': shared}
    separate = {
      'encoder': encoder,
      'generator': generator,
      'discriminator': discriminator,
    }
    if self.uses_features:
      separate['features'] = encoder
      if self.pretrains:
        separate.update(
          pretrain_shared_encoder=shared,
          pretrain_shared_generator=shared,
          pretrain_generator=generator,
          pretrain_discriminator=discriminator,
        )
    for name, network in separate.items():
      networks[f'{name}_a'] = networks[f'{name}_b'] = network
    if self.uses_perceptual:
      networks['perceptual'] = self._perceptual(model.perceptual_width, labels)
    return networks

  def _perceptual(self, width, labels):
    """Returns the perceptual network; without labels it learns which domain an image is of."""
    classes = _perceptual.classes(labels) if self.trains_perceptual else 0
    return vgg19.VGG19(width, classes, dtype=self.dtype)

  def init(self, rng, batch):
    """See `base.Method`."""
    init, variables = base.initializer(self.by_name, rng)
    image = batch['a'][:1]
    content = init('encoder_a', image)
    for name in self.by_name:
      if name == 'perceptual':
        init(name, image, method='classify' if self.trains_perceptual else None)
      elif name.startswith(('encoder_b', 'features')) or 'discriminator' in name:
        init(name, image)
      elif name != 'encoder_a':
        init(name, content)
    return variables

  def apply(self, name, params, *inputs, **options):
    """Returns a network's output."""
    network, variables = self.by_name[name], {'params': params[name]}
    return base.apply(network, variables, *inputs, remat=self.remat, **options)

  # What images are made of.

  def features(self, params, a, b):
    """Returns f_a and f_b, frozen; None where no part of the model asks for them."""
    if not self.uses_features:
      return None, None
    f_a = self.apply('features_a', params, a)
    f_b = self.apply('features_b', params, b)
    return jax.lax.stop_gradient(f_a), jax.lax.stop_gradient(f_b)

  def encode(self, params, a, b, rng):
    """Returns interleaved latents (mean, and with noise) and contents of a by E_A and b by E_B."""
    codes = interleave(
      self.apply('encoder_a', params, a), self.apply('encoder_b', params, b)
    )
    mean = self.apply('shared_encoder', params, codes)
    noisy = mean + noise(rng, mean)
    return mean, noisy, self.apply('shared_generator', params, noisy)

  def mask(self, features):
    """Returns m = (1 - eta) sigmoid(f) + eta, section 3.1."""
    threshold = self.model.mask_threshold
    return (1 - threshold) * jax.nn.sigmoid(features.astype(jnp.float32)) + threshold

  def masked(self, content, features):
    """Returns what a picture's own features let through of its content."""
    if not self.model.feature_mask:
      return content
    return content * self.mask(features)

  def _styled(self, content, style):
    """Returns masked content with AdaIN's parameters (`norms.moments`), eqs. 1 and 2."""
    if not self.model.adain:
      return content
    return norms.adain(
      content,
      style,
      swapped=self.switches.adain_roles == 'swapped',
      spread=self.switches.adain_spread,
      epsilon=self.model.adain_epsilon,
    )

  def style(self, features, weight=None):
    """Returns AdaIN's parameters of features, over the pixels that `weight` says."""
    if not self.model.adain:
      return None
    return norms.moments(features, weight)

  def generate(self, domain, params, content, style):
    """Returns a domain's picture of masked content in a style."""
    return self.apply(
      f'generator_{domain}', params, self._styled(content, style).astype(self.dtype)
    )
