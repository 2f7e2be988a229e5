"""MUNIT in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The networks, losses and updates of the authors' code (variant 'official' of
maskgan_jax.methods.munit), written from its list of layers: each domain's image goes through each
network by itself. Module names give state dicts the authors' checkpoint layout.

  python benchmarks/torch_munit.py --image_size=64 --batch_size=8 --width=16
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
import twin_command

# The authors' weights for edges, by the names that maskgan_jax gives the terms.
EDGES = {
  'adversarial': 1.0,
  'reconstruction': 10.0,
  'content': 1.0,
  'style': 1.0,
  'cycle': 0.0,
}


class LayerNorm(nn.Module):
  """Over channels and pixels of an image, with `gamma` and `beta` for each channel."""

  def __init__(self, channels, unbiased=True):
    super().__init__()
    self.gamma = nn.Parameter(torch.rand(channels))
    self.beta = nn.Parameter(torch.zeros(channels))
    self.unbiased = unbiased

  def forward(self, x):
    flat = x.flatten(1)
    if self.unbiased:
      divisor = flat.std(1) + 1e-5
    else:
      divisor = (flat.var(1, correction=0) + 1e-5).sqrt()
    x = (x - flat.mean(1)[:, None, None, None]) / divisor[:, None, None, None]
    return x * self.gamma[:, None, None] + self.beta[:, None, None]


class Conv(nn.Module):
  """Reflection padding, convolution, normalisation, activation: `conv`, and `norm` if there is."""

  def __init__(self, before, after, size, stride=1, *, norm=None, activation=None):
    super().__init__()
    self.conv = nn.Conv2d(
      before, after, size, stride, (size - 1) // 2, padding_mode='reflect'
    )
    self.norm = norm or nn.Identity()
    self.activation = activation or nn.Identity()

  def forward(self, x):
    return self.activation(self.norm(self.conv(x)))


class Residual(nn.Module):
  """Two 3x3 convolutions with instance normalisation, or with AdaIN by given numbers."""

  def __init__(self, channels):
    super().__init__()
    self.model = nn.Sequential(Conv(channels, channels, 3), Conv(channels, channels, 3))

  def forward(self, x, numbers=None):
    first, second = self.model
    y = torch.relu(modulated(first(x), numbers, 0))
    return x + modulated(second(y), numbers, 1)


def modulated(x, numbers, place):
  """AdaIN with the numbers [B, 2, 2, C] of a place, shift first; without any plain IN."""
  x = functional.instance_norm(x)
  if numbers is None:
    return x
  shift, scale = numbers[:, place, 0], numbers[:, place, 1]
  return x * scale[:, :, None, None] + shift[:, :, None, None]


class Residuals(nn.Module):
  """Residual blocks, one after another."""

  def __init__(self, channels, blocks):
    super().__init__()
    self.model = nn.ModuleList(Residual(channels) for _ in range(blocks))

  def forward(self, x, numbers=None):
    for place, block in enumerate(self.model):
      x = block(x, None if numbers is None else numbers[:, place])
    return x


class ContentEncoder(nn.Module):
  """7x7, 4x4 stride-2 convolutions and residual blocks, all with instance normalisation."""

  def __init__(self, width, downsamplings, blocks):
    super().__init__()
    norm, relu = nn.InstanceNorm2d, nn.ReLU
    layers = [Conv(3, width, 7, norm=norm(width), activation=relu())]
    for _ in range(downsamplings):
      layers.append(
        Conv(width, 2 * width, 4, 2, norm=norm(2 * width), activation=relu())
      )
      width *= 2
    self.model = nn.Sequential(*layers, Residuals(width, blocks))

  def forward(self, x):
    return self.model(x)


class StyleEncoder(nn.Module):
  """7x7, 4x4 stride-2 convolutions of which two double the channels, mean, 1x1."""

  def __init__(self, width, downsamplings, code):
    super().__init__()
    layers = [Conv(3, width, 7, activation=nn.ReLU())]
    for place in range(downsamplings):
      after = 2 * width if place < 2 else width
      layers.append(Conv(width, after, 4, 2, activation=nn.ReLU()))
      width = after
    self.model = nn.Sequential(
      *layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, code, 1)
    )

  def forward(self, x):
    return self.model(x).flatten(1)


class Linear(nn.Module):
  """A fully connected layer `fc`, with or without ReLU."""

  def __init__(self, before, after, relu):
    super().__init__()
    self.fc, self.relu = nn.Linear(before, after), relu

  def forward(self, x):
    x = self.fc(x)
    return torch.relu(x) if self.relu else x


class Mlp(nn.Module):
  """Three fully connected layers."""

  def __init__(self, before, width, after):
    super().__init__()
    self.model = nn.Sequential(
      Linear(before, width, True),
      Linear(width, width, True),
      Linear(width, after, False),
    )

  def forward(self, x):
    return self.model(x)


class Decoder(nn.Module):
  """Residual blocks, upsamplings with a 5x5 convolution each, 7x7, tanh."""

  def __init__(self, channels, upsamplings, blocks, unbiased):
    super().__init__()
    layers = [Residuals(channels, blocks)]
    for _ in range(upsamplings):
      after = channels // 2
      layers.append(nn.Upsample(scale_factor=2))
      layers.append(
        Conv(channels, after, 5, norm=LayerNorm(after, unbiased), activation=nn.ReLU())
      )
      channels = after
    self.model = nn.Sequential(*layers, Conv(channels, 3, 7, activation=nn.Tanh()))

  def forward(self, content, numbers):
    x = self.model[0](content, numbers)
    return self.model[1:](x)


class Generator(nn.Module):
  """The encoders and the decoder of a domain."""

  def __init__(self, width, downsamplings, blocks, style, mlp, unbiased):
    super().__init__()
    code, style_downsamplings = style
    channels = width * 2**downsamplings
    self.blocks = blocks
    self.enc_content = ContentEncoder(width, downsamplings, blocks)
    self.enc_style = StyleEncoder(width, style_downsamplings, code)
    self.mlp = Mlp(code, mlp, blocks * 2 * 2 * channels)
    self.dec = Decoder(channels, downsamplings, blocks, unbiased)

  def decode(self, content, style):
    numbers = self.mlp(style).view(len(style), self.blocks, 2, 2, -1)
    return self.dec(content, numbers)


class Discriminator(nn.Module):
  """Maps of scores of an image and of smaller ones."""

  def __init__(self, width, depth, scales):
    super().__init__()
    self.cnns = nn.ModuleList()
    for _ in range(scales):
      layers, before = [], 3
      for place in range(depth):
        after = width * 2**place
        layers.append(Conv(before, after, 4, 2, activation=nn.LeakyReLU(0.2)))
        before = after
      self.cnns.append(nn.Sequential(*layers, nn.Conv2d(before, 1, 1)))

  def forward(self, x):
    maps = []
    for cnn in self.cnns:
      maps.append(cnn(x))
      x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return maps


class Munit:
  """Networks, optimizers and the training step; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    width=64,
    downsamplings=2,
    blocks=4,
    style_size=8,
    style_downsamplings=4,
    mlp=256,
    discriminator_width=64,
    discriminator_depth=4,
    discriminator_scales=3,
    unbiased=True,
    cross_entropy=False,
    weights=None,
    learning_rate=1e-4,
  ):
    style = style_size, style_downsamplings
    self.generators, self.discriminators = nn.ModuleDict(), nn.ModuleDict()
    for domain in 'ab':
      self.generators[domain] = Generator(
        width, downsamplings, blocks, style, mlp, unbiased
      )
      self.discriminators[domain] = Discriminator(
        discriminator_width, discriminator_depth, discriminator_scales
      )
    self.style_size, self.cross_entropy = style_size, cross_entropy
    self.weights = EDGES if weights is None else weights
    for networks, draw in (
      (self.generators, nn.init.kaiming_normal_),
      (self.discriminators, lambda weight: nn.init.normal_(weight, std=0.02)),
    ):
      for module in networks.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
          draw(module.weight)
          nn.init.zeros_(module.bias)
    self.discriminator_optimizer, self.generator_optimizer = (
      torch.optim.Adam(
        networks.parameters(), lr=learning_rate, betas=(0.5, 0.999), weight_decay=1e-4
      )
      for networks in (self.discriminators, self.generators)
    )

  def score(self, domain, image, target):
    """The loss of a discriminator's scores against 1, real, or 0, summed over scales."""
    total = 0
    for scores in self.discriminators[domain](image):
      if self.cross_entropy:
        targets = torch.full_like(scores, target)
        total += functional.binary_cross_entropy_with_logits(scores, targets)
      else:
        total += (scores - target).square().mean()
    return total

  def discriminator_losses(self, a, b, s_a, s_b):
    """Each discriminator's loss, unweighted; s_a and s_b are drawn styles."""
    gen_a, gen_b = self.generators['a'], self.generators['b']
    ba = gen_a.decode(gen_b.enc_content(b), s_a).detach()
    ab = gen_b.decode(gen_a.enc_content(a), s_b).detach()
    return {
      'a': self.score('a', a, 1) + self.score('a', ba, 0),
      'b': self.score('b', b, 1) + self.score('b', ab, 0),
    }

  def generator_losses(self, a, b, s_a, s_b):
    """Every term of the generators' loss, unweighted; s_a and s_b are drawn styles."""
    gen_a, gen_b = self.generators['a'], self.generators['b']
    l1 = functional.l1_loss
    c_a, c_b = gen_a.enc_content(a), gen_b.enc_content(b)
    own_a, own_b = gen_a.enc_style(a), gen_b.enc_style(b)
    aa, bb = gen_a.decode(c_a, own_a), gen_b.decode(c_b, own_b)
    ba, ab = gen_a.decode(c_b, s_a), gen_b.decode(c_a, s_b)
    c_ba, c_ab = gen_a.enc_content(ba), gen_b.enc_content(ab)
    s_ba, s_ab = gen_a.enc_style(ba), gen_b.enc_style(ab)
    losses = {
      'adversarial': self.score('a', ba, 1) + self.score('b', ab, 1),
      'reconstruction': l1(aa, a) + l1(bb, b),
      'content': l1(c_ba, c_b) + l1(c_ab, c_a),
      'style': l1(s_ba, s_a) + l1(s_ab, s_b),
    }
    if self.weights['cycle']:
      aba, bab = gen_a.decode(c_ab, own_a), gen_b.decode(c_ba, own_b)
      losses['cycle'] = l1(aba, a) + l1(bab, b)
    return losses

  def loss(self, losses):
    """The weighted sum of a player's terms."""
    return sum(
      self.weights.get(name, self.weights['adversarial']) * value
      for name, value in losses.items()
    )

  def train_step(self, a, b, of_discriminators=None, of_generators=None):
    """One iteration: the discriminators, then the generators. Returns the losses."""
    values = []
    for optimizer, losses_of, styles in (
      (self.discriminator_optimizer, self.discriminator_losses, of_discriminators),
      (self.generator_optimizer, self.generator_losses, of_generators),
    ):
      if styles is None:
        shape = len(a), self.style_size
        styles = [torch.randn(shape, device=a.device) for _ in range(2)]
      loss = self.loss(losses_of(a, b, *styles))
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      values.append(loss.item())
    return values

  @torch.no_grad()
  def translate(self, direction, source, style):
    """The translation of a source, 'ab' or 'ba', in a style."""
    first, second = (self.generators[domain] for domain in direction)
    return second.decode(first.enc_content(source), style)


def time_cycle(
  *, image_size, batch_size, image_width=0, cycle=0, steps=5, device='cpu', **sizes
):
  """Median milliseconds of a training step on random images, after one more."""
  torch.manual_seed(0)
  model = Munit(weights={**EDGES, 'cycle': float(cycle)}, **sizes)
  for networks in (model.generators, model.discriminators):
    networks.to(device)
  # A generator has no forward pass of its own: its parts are what is compiled.
  parts = [
    part for generator in model.generators.values() for part in generator.children()
  ]
  twin_command.place([*parts, *model.discriminators.values()], device)
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
      'blocks': 4,
      'style_size': 8,
      'style_downsamplings': 4,
      'mlp': 256,
      'discriminator_width': 64,
      'discriminator_depth': 4,
      'discriminator_scales': 3,
      'cycle': 0,
      'steps': 5,
    },
  )


if __name__ == '__main__':
  main()
