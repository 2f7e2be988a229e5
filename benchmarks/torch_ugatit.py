"""U-GAT-IT in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The networks, losses and updates of the authors' PyTorch code (variant 'pytorch' of
maskgan_jax.methods.ugatit), written from its list of layers, and with `--tensorflow` of their
TensorFlow code ('paper'). Module names give state dicts the PyTorch code's checkpoint layout.

  python benchmarks/torch_ugatit.py --image_size=64 --batch_size=8 --width=16 --light=1 \
      --global_strides=4
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
import twin_command

# The authors' weights, by the names that maskgan_jax gives the terms.
WEIGHTS = {'adversarial': 1.0, 'cycle': 10.0, 'identity': 10.0, 'cam': 1000.0}


def conv(before, after, size, stride=1, bias=True):
  """Reflection padding and a convolution, two entries of a Sequential."""
  padding = 3 if size == 7 else 1
  return [
    nn.ReflectionPad2d(padding),
    nn.Conv2d(before, after, size, stride, bias=bias),
  ]


class SpectralNorm:
  """Replaces a module's weight by weight_orig / sigma before each forward pass.

  sigma is u W v after a step of power iteration, whose u is the buffer weight_u.
  """

  def __init__(self, module):
    weight = module.weight
    del module.weight
    module.register_parameter('weight_orig', nn.Parameter(weight.detach()))
    u = functional.normalize(torch.randn(len(weight)), dim=0)
    module.register_buffer('weight_u', u)
    module.register_forward_pre_hook(self)

  def __call__(self, module, inputs):
    matrix = module.weight_orig.flatten(1)
    with torch.no_grad():
      v = functional.normalize(module.weight_u @ matrix, dim=0)
      u = functional.normalize(matrix @ v, dim=0)
      module.weight_u = u
    module.weight = module.weight_orig / (u @ matrix @ v)


def spectral(module):
  """Returns the module, with spectral normalisation."""
  SpectralNorm(module)
  return module


class Cam(nn.Module):
  """What generators and discriminators have in common: attention by class activation maps."""

  def add_cam(self, channels, tensorflow, is_spectral):
    """Adds the classifiers and the 1x1 convolution."""
    self.tensorflow, self.is_spectral = tensorflow, is_spectral
    wrap = spectral if is_spectral else nn.Identity()
    self.gap_fc = wrap(nn.Linear(channels, 1, bias=tensorflow))
    if not tensorflow:
      self.gmp_fc = wrap(nn.Linear(channels, 1, bias=False))
    self.conv1x1 = nn.Conv2d(2 * channels, channels, 1)

  def attend(self, x):
    """Returns the weighted maps before their activation, and the logits."""
    pooled = x.mean((2, 3)), x.amax((2, 3))
    if self.tensorflow:
      # One call, so one step of power iteration.
      logits = self.gap_fc(torch.stack(pooled, 1))[..., 0]
      weight = self.gap_fc.weight[0] + self.gap_fc.bias
      weights = weight, weight
    else:
      layers = self.gap_fc, self.gmp_fc
      scored = [layer(each) for layer, each in zip(layers, pooled, strict=True)]
      logits = torch.cat(scored, 1)
      kind = 'weight_orig' if self.is_spectral else 'weight'
      weights = [getattr(layer, kind)[0] for layer in layers]
    maps = [x * weight[:, None, None] for weight in weights]
    return self.conv1x1(torch.cat(maps, 1)), logits


class AdaLin(nn.Module):
  """A share rho of instance normalisation, the rest layer normalisation; then scale and shift."""

  def __init__(self, channels, rho, tensorflow, affine):
    super().__init__()
    self.rho = nn.Parameter(torch.full((1, channels, 1, 1), rho))
    self.tensorflow, self.affine = tensorflow, affine
    if affine:
      self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
      self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

  def forward(self, x, gamma=None, beta=None):
    rho = self.rho
    if self.affine:
      gamma, beta = self.gamma, self.beta
    else:
      gamma, beta = gamma[:, :, None, None], beta[:, :, None, None]
      if self.tensorflow:
        rho = (rho - 0.1).clamp(min=0)
    normalized = []
    for axes in ((2, 3), (1, 2, 3)):
      variance = x.var(axes, correction=int(not self.tensorflow), keepdim=True)
      normalized.append((x - x.mean(axes, keepdim=True)) / (variance + 1e-5).sqrt())
    return (rho * normalized[0] + (1 - rho) * normalized[1]) * gamma + beta


class ResnetBlock(nn.Module):
  """Two 3x3 convolutions with instance normalisation."""

  def __init__(self, channels, tensorflow):
    super().__init__()
    layers = []
    for activation in (nn.ReLU(), None):
      layers += conv(channels, channels, 3, bias=tensorflow)
      layers.append(nn.InstanceNorm2d(channels, affine=tensorflow))
      layers += [activation] if activation else []
    self.conv_block = nn.Sequential(*layers)

  def forward(self, x):
    return x + self.conv_block(x)


class AdaLinBlock(nn.Module):
  """Two 3x3 convolutions with AdaLIN."""

  def __init__(self, channels, tensorflow):
    super().__init__()
    for place in (1, 2):
      setattr(self, f'conv{place}', nn.Conv2d(channels, channels, 3, bias=tensorflow))
      norm = AdaLin(channels, 1.0 if tensorflow else 0.9, tensorflow, False)
      setattr(self, f'norm{place}', norm)
    self.pad = nn.ReflectionPad2d(1)

  def forward(self, x, gamma, beta):
    y = torch.relu(self.norm1(self.conv1(self.pad(x)), gamma, beta))
    return x + self.norm2(self.conv2(self.pad(y)), gamma, beta)


class Generator(Cam):
  """An image of the other domain, the classifiers' logits, the heat map."""

  def __init__(self, width, downsamplings, blocks, light, tensorflow, sides):
    super().__init__()
    layers, channels = [], width
    for place in range(downsamplings + 1):
      before = channels // 2 if place else 3
      size, stride = (3, 2) if place else (7, 1)
      layers += conv(before, channels, size, stride, bias=tensorflow)
      layers += [nn.InstanceNorm2d(channels, affine=tensorflow), nn.ReLU()]
      channels *= 2 if place < downsamplings else 1
    layers += [ResnetBlock(channels, tensorflow) for _ in range(blocks)]
    self.DownBlock = nn.Sequential(*layers)
    self.add_cam(channels, tensorflow, False)

    self.light, self.blocks = light, blocks
    pixels = 1
    if not light:
      pixels = sides[0] * sides[1] // 4**downsamplings
    self.FC = nn.Sequential(
      nn.Linear(channels * pixels, channels, bias=tensorflow),
      nn.ReLU(),
      nn.Linear(channels, channels, bias=tensorflow),
      nn.ReLU(),
    )
    self.gamma = nn.Linear(channels, channels, bias=tensorflow)
    self.beta = nn.Linear(channels, channels, bias=tensorflow)

    for place in range(blocks):
      setattr(self, f'UpBlock1_{place + 1}', AdaLinBlock(channels, tensorflow))
    layers = []
    for _ in range(downsamplings):
      layers.append(nn.Upsample(scale_factor=2))
      layers += conv(channels, channels // 2, 3, bias=tensorflow)
      channels //= 2
      layers += [AdaLin(channels, 0.0, tensorflow, True), nn.ReLU()]
    self.UpBlock2 = nn.Sequential(
      *layers, *conv(channels, 3, 7, bias=tensorflow), nn.Tanh()
    )

  def forward(self, x):
    x, logits = self.attend(self.DownBlock(x))
    x = torch.relu(x)
    heat = x.sum(1, keepdim=True)
    style = self.FC(x.mean((2, 3)) if self.light else x.flatten(1))
    gamma, beta = self.gamma(style), self.beta(style)
    for place in range(self.blocks):
      x = getattr(self, f'UpBlock1_{place + 1}')(x, gamma, beta)
    return self.UpBlock2(x), logits, heat


class Discriminator(Cam):
  """A map of scores and the classifiers' logits."""

  def __init__(self, width, strides, tensorflow):
    super().__init__()
    layers, before = [], 3
    for place in range(strides + 1):
      after = width * 2**place
      padding, convolution = conv(before, after, 4, 2 if place < strides else 1)
      layers += [padding, spectral(convolution), nn.LeakyReLU(0.2)]
      before = after
    self.model = nn.Sequential(*layers)
    self.add_cam(before, tensorflow, True)
    self.pad = nn.ReflectionPad2d(1)
    self.conv = spectral(nn.Conv2d(before, 1, 4, bias=tensorflow))

  def forward(self, x):
    x, logits = self.attend(self.model(x))
    return self.conv(self.pad(functional.leaky_relu(x, 0.2))), logits


class Ugatit:
  """Networks, optimizers and the training step; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    sides=(256, 256),
    width=64,
    downsamplings=2,
    blocks=4,
    light=False,
    discriminator_width=64,
    global_strides=5,
    local_strides=3,
    tensorflow=False,
    weights=None,
    learning_rate=1e-4,
  ):
    self.weights = WEIGHTS if weights is None else weights
    self.generators, self.discriminators = nn.ModuleDict(), nn.ModuleDict()
    for name in ('genA2B', 'genB2A'):
      self.generators[name] = Generator(
        width, downsamplings, blocks, light, tensorflow, sides
      )
    for kind, strides in (('G', global_strides), ('L', local_strides)):
      for domain in 'AB':
        network = Discriminator(discriminator_width, strides, tensorflow)
        self.discriminators[f'dis{kind}{domain}'] = network
    self.discriminator_optimizer, self.generator_optimizer = (
      torch.optim.Adam(
        networks.parameters(), lr=learning_rate, betas=(0.5, 0.999), weight_decay=1e-4
      )
      for networks in (self.discriminators, self.generators)
    )

  def score(self, domain, image, target):
    """Squares of both discriminators' scores and logits against 1, real, or 0."""
    total = 0
    for kind in 'GL':
      for output in self.discriminators[f'dis{kind}{domain}'](image):
        total += (output - target).square().mean()
    return total

  def discriminator_losses(self, a, b):
    """Each domain's loss, unweighted."""
    ba = self.generators['genB2A'](b)[0].detach()
    ab = self.generators['genA2B'](a)[0].detach()
    return {
      'a': self.score('A', a, 1) + self.score('A', ba, 0),
      'b': self.score('B', b, 1) + self.score('B', ab, 0),
    }

  def generator_losses(self, a, b):
    """Every term of the generators' loss, unweighted."""
    a2b, b2a = self.generators['genA2B'], self.generators['genB2A']
    l1 = functional.l1_loss
    (ab, cam_ab, _), (ba, cam_ba, _) = a2b(a), b2a(b)
    aba, bab = b2a(ab)[0], a2b(ba)[0]
    (aa, cam_aa, _), (bb, cam_bb, _) = b2a(a), a2b(b)
    cam = 0
    for logits, target in ((cam_ab, 1), (cam_ba, 1), (cam_aa, 0), (cam_bb, 0)):
      targets = torch.full_like(logits, target)
      cam += functional.binary_cross_entropy_with_logits(logits, targets)
    return {
      'adversarial': self.score('A', ba, 1) + self.score('B', ab, 1),
      'cycle': l1(aba, a) + l1(bab, b),
      'identity': l1(aa, a) + l1(bb, b),
      'cam': cam,
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
    with torch.no_grad():
      for module in self.generators.modules():
        if isinstance(module, AdaLin):
          module.rho.clamp_(0, 1)
    return values

  @torch.no_grad()
  def translate(self, direction, source):
    """The translation of a source, 'ab' or 'ba', and the heat map."""
    name = {'ab': 'genA2B', 'ba': 'genB2A'}[direction]
    image, _, heat = self.generators[name](source)
    return image, heat


def time_cycle(
  *, image_size, batch_size, image_width=0, steps=5, device='cpu', **sizes
):
  """Median milliseconds of a training step on random images, after one more."""
  torch.manual_seed(0)
  sides = image_size, image_width or image_size
  model = Ugatit(sides=sides, **sizes)
  for networks in (model.generators, model.discriminators):
    twin_command.place(networks.values(), device)
  images = [
    torch.rand((batch_size, 3, *sides), device=device) * 2 - 1 for _ in range(2)
  ]
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
      'light': 0,
      'discriminator_width': 64,
      'global_strides': 5,
      'local_strides': 3,
      'tensorflow': 0,
      'steps': 5,
    },
  )


if __name__ == '__main__':
  main()
