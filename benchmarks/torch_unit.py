"""UNIT in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The networks, losses and updates of the authors' first code (variant 'paper' of
maskgan_jax.methods.unit), written from its list of layers, and with `--rerelease` of what their
repository has today: each domain's image goes through each network by itself. Module names give
state dicts the authors' checkpoint layout.

  python benchmarks/torch_unit.py --image_size=64 --batch_size=8 --width=16 \
      --discriminator_depth=4
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
import torch_munit
import twin_command

# The first code's weights, by the names that maskgan_jax gives the terms.
PAPER = {
  'adversarial': 10.0,
  'reconstruction': 100.0,
  'kl': 0.1,
  'cycle': 100.0,
  'cycle_kl': 0.1,
}


class Layer(nn.Module):
  """A convolution with LeakyReLU 0.01, or with instance normalisation and ReLU."""

  def __init__(self, convolution, norm):
    super().__init__()
    layers = [convolution]
    if norm:
      layers += [nn.InstanceNorm2d(convolution.out_channels), nn.ReLU()]
    else:
      layers.append(nn.LeakyReLU(0.01))
    self.model = nn.Sequential(*layers)

  def forward(self, x):
    return self.model(x)


class Residual(nn.Module):
  """Two 3x3 convolutions with zeros around and instance normalisation."""

  def __init__(self, channels):
    super().__init__()
    self.model = nn.Sequential(
      nn.Conv2d(channels, channels, 3, padding=1),
      nn.InstanceNorm2d(channels),
      nn.ReLU(),
      nn.Conv2d(channels, channels, 3, padding=1),
      nn.InstanceNorm2d(channels),
    )

  def forward(self, x):
    return x + self.model(x)


class SharedSpace(nn.Module):
  """The first code's generator: each domain's layers, and a block on each side that they share."""

  def __init__(self, width, downsamplings, blocks, strided_norm):
    super().__init__()
    for domain in 'AB':
      encode, channels = [Layer(nn.Conv2d(3, width, 7, padding=3), False)], width
      for _ in range(downsamplings):
        strided = nn.Conv2d(channels, 2 * channels, 3, 2, 1)
        encode.append(Layer(strided, strided_norm))
        channels *= 2
      encode += [Residual(channels) for _ in range(blocks)]
      decode, after = [Residual(channels) for _ in range(blocks)], channels
      for _ in range(downsamplings):
        strided = nn.ConvTranspose2d(after, after // 2, 3, 2, 1, 1)
        decode.append(Layer(strided, strided_norm))
        after //= 2
      decode += [nn.ConvTranspose2d(after, 3, 1), nn.Tanh()]
      setattr(self, f'encode_{domain}', nn.Sequential(*encode))
      setattr(self, f'decode_{domain}', nn.Sequential(*decode))
    self.enc_shared = nn.Sequential(Residual(channels))
    self.dec_shared = nn.Sequential(Residual(channels))

  def encode(self, domain, x):
    return self.enc_shared(getattr(self, f'encode_{domain.upper()}')(x))

  def decode(self, domain, latent):
    return getattr(self, f'decode_{domain.upper()}')(self.dec_shared(latent))


class Separate(nn.Module):
  """The re-release's generators: MUNIT's without styles, nothing shared."""

  def __init__(self, width, downsamplings, blocks):
    super().__init__()
    channels = width * 2**downsamplings
    self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
    for domain in 'ab':
      self.enc[domain] = torch_munit.ContentEncoder(width, downsamplings, blocks)
      self.dec[domain] = torch_munit.Decoder(channels, downsamplings, blocks, True)

  def encode(self, domain, x):
    return self.enc[domain](x)

  def decode(self, domain, latent):
    return self.dec[domain](latent, None)


class Discriminator(nn.Module):
  """3x3 stride-2 convolutions with zeros around, then 1x1: `model_A` of a domain."""

  def __init__(self, width, depth):
    super().__init__()
    layers, before = [], 3
    for place in range(depth):
      after = width * 2**place
      layers.append(Layer(nn.Conv2d(before, after, 3, 2, 1), False))
      before = after
    self.model = nn.Sequential(*layers, nn.Conv2d(before, 1, 1))

  def forward(self, x):
    return [self.model(x)]


class Unit:
  """Networks, optimizers and the training step; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    width=64,
    downsamplings=2,
    blocks=3,
    strided_norm=True,
    discriminator_width=64,
    discriminator_depth=6,
    discriminator_scales=1,
    rerelease=False,
    weights=None,
    learning_rate=1e-4,
  ):
    self.rerelease = rerelease
    self.weights = PAPER if weights is None else weights
    if rerelease:
      self.generator = Separate(width, downsamplings, blocks)
    else:
      self.generator = SharedSpace(width, downsamplings, blocks, strided_norm)
    self.discriminators = nn.ModuleDict()
    for domain in 'ab':
      network = Discriminator(discriminator_width, discriminator_depth)
      if rerelease:
        network = torch_munit.Discriminator(
          discriminator_width, discriminator_depth, discriminator_scales
        )
      self.discriminators[domain] = network
    self.discriminator_optimizer, self.generator_optimizer = (
      torch.optim.Adam(
        networks.parameters(), lr=learning_rate, betas=(0.5, 0.999), weight_decay=1e-4
      )
      for networks in (self.discriminators, self.generator)
    )

  def score(self, domain, image, target):
    """The loss of a discriminator's scores against 1, real, or 0, summed over scales."""
    total = 0
    for scores in self.discriminators[domain](image):
      if self.rerelease:
        total += (scores - target).square().mean()
      else:
        targets = torch.full_like(scores, target)
        total += functional.binary_cross_entropy_with_logits(scores, targets)
    return total

  def latents(self, a, b, noise):
    """Latents with noise, and what is kept small of them."""
    noise = noise or (None, None)
    noisy, kl = [], 0
    for domain, image, drawn in zip('ab', (a, b), noise, strict=True):
      mean = self.generator.encode(domain, image)
      drawn = torch.randn_like(mean) if drawn is None else drawn
      noisy.append(mean + drawn)
      kl += (mean if self.rerelease else noisy[-1]).square().mean()
    return *noisy, kl

  def discriminator_losses(self, a, b, noise=None):
    """Each discriminator's loss, unweighted."""
    decode = self.generator.decode
    z_a, z_b, _ = self.latents(a, b, noise)
    ba, ab = decode('a', z_b).detach(), decode('b', z_a).detach()
    return {
      'a': self.score('a', a, 1) + self.score('a', ba, 0),
      'b': self.score('b', b, 1) + self.score('b', ab, 0),
    }

  def generator_losses(self, a, b, noise=None, noise_back=None):
    """Every term of the generators' loss, unweighted."""
    decode, l1 = self.generator.decode, functional.l1_loss
    z_a, z_b, kl = self.latents(a, b, noise)
    aa, ab = decode('a', z_a), decode('b', z_a)
    ba, bb = decode('a', z_b), decode('b', z_b)
    z_ba, z_ab, cycle_kl = self.latents(ba, ab, noise_back)
    aba, bab = decode('a', z_ab), decode('b', z_ba)
    return {
      'adversarial': self.score('a', ba, 1) + self.score('b', ab, 1),
      'reconstruction': l1(aa, a) + l1(bb, b),
      'kl': kl,
      'cycle': l1(aba, a) + l1(bab, b),
      'cycle_kl': cycle_kl,
    }

  def loss(self, losses):
    """The weighted sum of a player's terms."""
    return sum(
      self.weights.get(name, self.weights['adversarial']) * value
      for name, value in losses.items()
    )

  def train_step(self, a, b):
    """One iteration: the discriminators, then the generators. Returns the losses."""
    values = []
    for optimizer, losses_of in (
      (self.discriminator_optimizer, self.discriminator_losses),
      (self.generator_optimizer, self.generator_losses),
    ):
      loss = self.loss(losses_of(a, b))
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      values.append(loss.item())
    return values

  @torch.no_grad()
  def translate(self, direction, source):
    """The translation of a source, 'ab' or 'ba', without noise."""
    latent = self.generator.encode(direction[0], source)
    return self.generator.decode(direction[1], latent)


def time_cycle(
  *, image_size, batch_size, image_width=0, steps=5, device='cpu', **sizes
):
  """Median milliseconds of a training step on random images, after one more."""
  torch.manual_seed(0)
  model = Unit(**sizes)
  for networks in (model.generator, model.discriminators):
    networks.to(device)
  parts = [*model.generator.children(), *model.discriminators.values()]
  twin_command.place(
    [part for part in parts if not isinstance(part, nn.ModuleDict)], device
  )
  shape = batch_size, 3, image_size, image_width or image_size
  images = [torch.rand(shape, device=device) * 2 - 1 for _ in range(2)]
  times = []
  for _ in range(1 + steps):
    start = time.perf_counter()
    model.train_step(*images)  # reads the losses, so it ends when the device has
    times.append(time.perf_counter() - start)
  return 1000 * statistics.median(times[1:])


def main():
  twin_command.main(
    __doc__,
    time_cycle,
    {
      'image_size': 256,
      'image_width': 0,
      'batch_size': 1,
      'width': 64,
      'downsamplings': 2,
      'blocks': 3,
      'strided_norm': 1,
      'discriminator_width': 64,
      'discriminator_depth': 6,
      'discriminator_scales': 1,
      'rerelease': 0,
      'steps': 5,
    },
  )


if __name__ == '__main__':
  main()
