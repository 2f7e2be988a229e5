"""The additional-mask method in plain eager PyTorch: the yardstick for speed and the oracle of the
tests.

Equations (1) to (5) of Choi, Sohn and Hong (2023) on CycleGAN's networks, and plain CycleGAN where
nothing is added. Every network sees every batch of images by itself.

  python benchmarks/torch_additional_mask.py --image_size=64 --batch_size=32 --dcgan=1
"""

import math
import random
import statistics
import time

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import mse_loss
import twin_command

# lambda_g, lambda_c and lambda_r of the paper; it has no identity loss.
PAPER = {
  'adversarial': 0.5,
  'cycle': 10.0,
  'mask': 1.0,
  'identity': 0.0,
  'supervised': 1.0,
}
# What maskgan_jax.methods.additional_mask calls these switches, in its variant 'paper'.
SWITCHES = {
  'addition': True,
  'clipped': False,
  'mask_range': 1.0,
  'l1_norm': 'mean',
  'lambda_g': 'both',
}


def leaky(x):
  return functional.leaky_relu(x, 0.2)


class Residual(nn.Module):
  """x plus two reflection-padded 3x3 convolutions of it, each with instance norm."""

  def __init__(self, channels):
    super().__init__()
    self.convolutions = nn.ModuleList(
      nn.Conv2d(channels, channels, 3, padding=1, padding_mode='reflect')
      for _ in range(2)
    )

  def forward(self, x):
    first, second = self.convolutions
    y = torch.relu(functional.instance_norm(first(x)))
    return x + functional.instance_norm(second(y))


class Generator(nn.Module):
  """CycleGAN's: [B, 3, H, W] -> the same, in (-1, 1), and with `attention` a fourth in (0, 1)."""

  def __init__(self, width, blocks, attention):
    super().__init__()
    self.first = nn.Conv2d(3, width, 7, padding=3, padding_mode='reflect')
    self.down = nn.ModuleList(
      nn.Conv2d(n * width, 2 * n * width, 3, stride=2, padding=1) for n in (1, 2)
    )
    self.residuals = nn.Sequential(*(Residual(4 * width) for _ in range(blocks)))
    self.up = nn.ModuleList(
      nn.ConvTranspose2d(
        2 * n * width, n * width, 3, stride=2, padding=1, output_padding=1
      )
      for n in (2, 1)
    )
    self.last = nn.Conv2d(
      width, 4 if attention else 3, 7, padding=3, padding_mode='reflect'
    )

  def forward(self, x):
    for convolution in (self.first, *self.down):
      x = torch.relu(functional.instance_norm(convolution(x)))
    x = self.residuals(x)
    for convolution in self.up:
      x = torch.relu(functional.instance_norm(convolution(x)))
    x = self.last(x)
    return torch.cat([x[:, :3].tanh(), x[:, 3:].sigmoid()], 1)


class Patch(nn.Module):
  """PatchGAN, of 70x70 if `layers` is 3, with instance norm: images -> scores [B, 1, h, w]."""

  def __init__(self, width, layers=3):
    super().__init__()
    *widths, widest = (3, *(width * min(2**i, 8) for i in range(layers + 1)))
    self.convolutions = nn.ModuleList(
      nn.Conv2d(before, after, 4, stride=2, padding=1)
      for before, after in zip(widths, widths[1:], strict=False)
    )
    self.dense = nn.Conv2d(widths[-1], widest, 4, padding=1)
    self.last = nn.Conv2d(widest, 1, 4, padding=1)

  def forward(self, x):
    first, *others = self.convolutions
    x = leaky(first(x))
    for convolution in (*others, self.dense):
      x = leaky(functional.instance_norm(convolution(x)))
    return self.last(x)


class Dcgan(nn.Module):
  """DCGAN's, of 64x64 pixels if `layers` is 4: images -> a score each, [B, 1, 1, 1].

  Batch norm has the statistics of the batch at hand.
  """

  def __init__(self, width, layers=4):
    super().__init__()
    widths = (3, *(width * 2**i for i in range(layers)))
    self.convolutions = nn.ModuleList(
      nn.Conv2d(before, after, 4, stride=2, padding=1)
      for before, after in zip(widths, widths[1:], strict=False)
    )
    self.norms = nn.ModuleList(
      nn.BatchNorm2d(n, track_running_stats=False) for n in widths[2:]
    )
    self.last = nn.Conv2d(widths[-1], 1, 4)

  def forward(self, x):
    first, *others = self.convolutions
    x = leaky(first(x))
    for convolution, norm in zip(others, self.norms, strict=True):
      x = leaky(norm(convolution(x)))
    return self.last(x)


class ReplayPool:
  """CycleGAN's image buffer."""

  def __init__(self, size):
    self.size, self.images = size, []

  def query(self, images, slots=None):
    """What the discriminator sees in place of images [B, ...].

    `slots` has for each image that of the stored one which is shown instead, or None for none; it
    is not looked at while the pool fills. Without, they are drawn.
    """
    if not self.size:
      return images
    if slots is None:
      slots = [
        random.randrange(self.size) if random.random() < 0.5 else None for _ in images
      ]
    seen = []
    for image, slot in zip(images, slots, strict=True):
      if len(self.images) < self.size:
        self.images.append(image)
      elif slot is not None:
        self.images[slot], image = image, self.images[slot]
      seen.append(image)
    return torch.stack(seen)


class AdditionalMask:
  """Networks, losses and both players' turns; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    width=64,
    blocks=9,
    discriminator='patch',
    discriminator_width=64,
    discriminator_layers=3,
    scheme='unsupervised',
    attention=False,
    pool_size=50,
    weights=None,
    switches=None,
    learning_rate=2e-4,
  ):
    self.weights = {**PAPER, **(weights or {})}
    self.switches = {**SWITCHES, **(switches or {})}
    self.scheme = scheme
    directions = ('ab',) if scheme == 'supervised' else ('ab', 'ba')
    self.networks = nn.ModuleDict(
      {f'generator_{name}': Generator(width, blocks, attention) for name in directions}
    )
    self.pools = {}
    if scheme == 'unsupervised':
      make = {'patch': Patch, 'dcgan': Dcgan}[discriminator]
      self.networks.update(
        {
          f'discriminator_{x}': make(discriminator_width, discriminator_layers)
          for x in 'ab'
        }
      )
      self.pools = {x: ReplayPool(pool_size) for x in 'ab'}
    for module in self.networks.modules():
      if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        nn.init.zeros_(module.bias)
      elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
        nn.init.zeros_(module.bias)
    self.discriminator_parameters, generator_parameters = (
      [p for name, p in self.networks.named_parameters() if name.startswith(kind)]
      for kind in ('discriminator', 'generator')
    )
    self.generator_optimizer = torch.optim.Adam(
      generator_parameters, lr=learning_rate, betas=(0.5, 0.999)
    )
    if scheme == 'unsupervised':
      self.discriminator_optimizer = torch.optim.Adam(
        self.discriminator_parameters, lr=learning_rate, betas=(0.5, 0.999)
      )

  def translate(self, direction, image):
    """(image, the mask that was added to it); `direction` is 'ab' or 'ba'."""
    output = self.networks[f'generator_{direction}'](image)
    mask = output[:, :3]
    if output.shape[1] == 4:
      mask = mask * output[:, 3:]
    if not self.switches['addition']:
      return mask, mask
    image = image + self.switches['mask_range'] * mask
    return image.clamp(-1, 1) if self.switches['clipped'] else image, mask

  def fakes(self, a, b):
    """What the generators make of a and of b: ((b_hat, m_a), (a_hat, m_b))."""
    return self.translate('ab', a), self.translate('ba', b)

  def score(self, x, image, target):
    scores = self.networks[f'discriminator_{x}'](image)
    return mse_loss(scores, torch.full_like(scores, target))

  def discriminator_losses(self, a, b, a_hat, b_hat):
    """Eq. 1 by domain, unweighted."""
    return {
      'a': self.score('a', a, 1) + self.score('a', a_hat, 0),
      'b': self.score('b', b, 1) + self.score('b', b_hat, 0),
    }

  def discriminator_loss(self, losses):
    """The weighted sum of terms; CycleGAN's half of it is the paper's lambda_g."""
    return self.weights['adversarial'] * sum(losses.values())

  def generator_losses(self, a, b, fakes=None):
    """Eqs. 1, 2 and 4 of the generators, and CycleGAN's identity loss; unweighted."""
    if self.scheme == 'supervised':
      return {'supervised': self.l1(self.translate('ab', a)[0], b)}
    (b_hat, m_a), (a_hat, m_b) = fakes or self.fakes(a, b)
    losses = {
      'adversarial': self.score('a', a_hat, 1) + self.score('b', b_hat, 1),
      'cycle': (
        self.l1(self.translate('ba', b_hat)[0], a)
        + self.l1(self.translate('ab', a_hat)[0], b)
      ),
    }
    if self.switches['addition']:
      losses['mask'] = self.l1(m_a, 0) + self.l1(m_b, 0)
    if self.weights['identity']:
      losses['identity'] = self.l1(self.translate('ba', a)[0], a) + self.l1(
        self.translate('ab', b)[0], b
      )
    return losses

  def l1(self, x, y):
    """||x - y||_1 of an image, or its mean over pixels and channels; over the batch the mean."""
    distances = (x - y).abs()
    return (
      distances.mean()
      if self.switches['l1_norm'] == 'mean'
      else (distances.sum((1, 2, 3)).mean())
    )

  def generator_loss(self, losses):
    weights = dict(self.weights)
    if (
      self.switches['lambda_g'] != 'both'
    ):  # CycleGAN halves only what discriminators see
      weights['adversarial'] *= 2
    return sum(weights[name] * value for name, value in losses.items())

  def train_step(self, a, b, slots=(None, None)):
    """One iteration: the discriminators on fakes of the generators so far, then the generators.

    Returns the losses, in that order. `slots` are of the pools of a and b.
    """
    values, fakes = [], None
    if self.scheme == 'unsupervised':
      fakes = self.fakes(a, b)
      b_hat, a_hat = (
        self.pools[x].query(fake.detach(), drawn)
        for x, (fake, _), drawn in zip('ba', fakes, reversed(slots), strict=True)
      )
      losses = self.discriminator_losses(a, b, a_hat, b_hat)
      values.append(
        _update(self.discriminator_optimizer, self.discriminator_loss(losses))
      )
    for parameter in self.discriminator_parameters:
      parameter.requires_grad_(False)
    loss = self.generator_loss(self.generator_losses(a, b, fakes))
    values.append(_update(self.generator_optimizer, loss))
    for parameter in self.discriminator_parameters:
      parameter.requires_grad_(True)
    return values


def _update(optimizer, loss):
  optimizer.zero_grad()
  loss.backward()
  optimizer.step()
  return loss.item()


def time_cycle(
  *,
  image_size,
  image_width,
  batch_size,
  dcgan,
  discriminator_layers,
  supervised,
  attention,
  addition,
  identity,
  steps=5,
  device='cpu',
  **sizes,
):
  """Median milliseconds of a step on random images; one more comes before them."""
  torch.manual_seed(0)
  model = AdditionalMask(
    discriminator='dcgan' if dcgan else 'patch',
    attention=bool(attention),
    discriminator_layers=int(math.log2(image_size)) - 2
    if dcgan
    else discriminator_layers,
    scheme='supervised' if supervised else 'unsupervised',
    weights={'identity': 5.0 * identity},
    switches={'addition': bool(addition)},
    **sizes,
  )
  twin_command.place(model.networks.values(), device)
  shape = (batch_size, 3, image_size, image_width or image_size)
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
      'image_size': 64,
      'image_width': 0,
      'batch_size': 32,
      'width': 64,
      'blocks': 9,
      'dcgan': 0,
      'discriminator_width': 64,
      'discriminator_layers': 3,
      'supervised': 0,
      'attention': 0,
      'addition': 1,
      'identity': 0,
      'pool_size': 50,
      'steps': 5,
    },
  )


if __name__ == '__main__':
  main()
