"""EGSC-IT in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The networks, losses and updates of the authors' code, with what TensorFlow 1 computes where
PyTorch's layers do something else: SAME padding that is larger below and to the right, transposed
convolutions that are cropped, population variances. Both stages: `Pretraining` of the two VAE-GANs,
whose encoders are frozen then, and `EgscIt`. Every network sees every batch of images by itself.

  python benchmarks/torch_egsc_it.py --image_size=28 --batch_size=8 --downsamplings=0 --width=16
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import l1_loss, softplus
import twin_command

# The authors' loss weights for MNIST-Single, by the names that maskgan_jax gives the terms.
MNIST_SINGLE = {
  'adversarial': 10.0,
  'kl': 0.1,
  'reconstruction': 100.0,
  'cycle_kl': 0.1,
  'cycle': 100.0,
  'content': 10.0,
  'style': 1000.0,
}
# The authors' side of each switch in maskgan_jax.methods.egsc_it.VARIANTS.
OFFICIAL = {
  'adain_roles': 'swapped',
  'adain_spread': 'variance',
  'residual_norm': 'none',
  'kl': 'noisy',
  'gan': 'least_squares',
  'discriminator_twice': True,
  'discriminator_bounded': True,
}
_PRETRAINED = (
  'features',
  'pretrain_shared_encoder',
  'pretrain_shared_generator',
  'pretrain_generator',
  'pretrain_discriminator',
)
_VGG_CONVOLUTIONS = (
  2,
  2,
  4,
  4,
  1,
)  # of a block; the first of each is what the losses see
_VGG_MEANS = (103.939, 116.779, 123.68)  # Caffe's, of blue, green and red in [0, 255]


def leaky(x):
  return functional.leaky_relu(x, 0.2)


def pad_same(x, size, stride):
  """Zeros around x, as TensorFlow's SAME puts them; the odd one is below and to the right."""
  pads = []
  for length in (x.shape[3], x.shape[2]):  # functional.pad begins with the last axis
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    pads += [total // 2, total - total // 2]
  return functional.pad(x, pads)


class Norm(nn.InstanceNorm2d):
  """Instance norm of maps that may be of one pixel, which PyTorch refuses to train on."""

  def forward(self, x):
    mean, variance = moments(x)
    normal = (x - mean) / (variance + 1e-5).sqrt()
    return normal * self.weight[:, None, None] + self.bias[:, None, None]


class Residual(nn.Module):
  """x plus two reflection-padded 3x3 convolutions of it; the authors normalise nothing."""

  def __init__(self, channels, norm):
    super().__init__()
    self.convolutions = nn.ModuleList(
      nn.Conv2d(channels, channels, 3, padding=1, padding_mode='reflect')
      for _ in range(2)
    )
    self.norms = nn.ModuleList(
      Norm(channels, affine=True) if norm == 'instance' else nn.Identity()
      for _ in range(2)
    )

  def forward(self, x):
    y = torch.relu(self.norms[0](self.convolutions[0](x)))
    return x + self.norms[1](self.convolutions[1](y))


class Encoder(nn.Module):
  """[B, 3, H, W] -> [B, width * 2**n, H / 2**n, W / 2**n], n the downsamplings."""

  def __init__(self, width, downsamplings, blocks, norm):
    super().__init__()
    layers = [nn.Conv2d(3, width, 7, padding=3, padding_mode='reflect')]
    for _ in range(downsamplings):
      layers.append(nn.Conv2d(width, 2 * width, 3, 2, 1, padding_mode='reflect'))
      width *= 2
    self.convolutions = nn.ModuleList(layers)
    self.residuals = nn.Sequential(*(Residual(width, norm) for _ in range(blocks)))

  def forward(self, x):
    for convolution in self.convolutions:
      x = leaky(convolution(x))
    return self.residuals(x)


class Generator(nn.Module):
  """From what Encoder gives to an image in (-1, 1)."""

  def __init__(self, width, upsamplings, blocks, norm):
    super().__init__()
    widths = [width * 2**i for i in reversed(range(upsamplings + 1))]
    self.residuals = nn.Sequential(*(Residual(widths[0], norm) for _ in range(blocks)))
    self.convolutions = nn.ModuleList(
      nn.ConvTranspose2d(before, after, 3, 2)
      for before, after in zip(widths, widths[1:], strict=False)
    )
    self.last = nn.ConvTranspose2d(width, 3, 1)

  def forward(self, x):
    x = self.residuals(x)
    for convolution in self.convolutions:
      height, width = x.shape[2:]
      x = leaky(convolution(x)[:, :, : 2 * height, : 2 * width])
    return torch.tanh(self.last(x))


class Discriminator(nn.Module):
  """Images -> a map of scores [B, 1, h, w]; the authors activate twice, and the scores too."""

  def __init__(self, width, depth, twice, bounded):
    super().__init__()
    widths = [width * 2**i for i in range(depth)]
    self.convolutions = nn.ModuleList(
      nn.Conv2d(before, after, 4, 2)
      for before, after in zip((3, *widths), widths, strict=False)
    )
    self.norms = nn.ModuleList(
      nn.Identity() if i == 0 else Norm(n, affine=True) for i, n in enumerate(widths)
    )
    self.last = nn.Conv2d(widths[-1], 1, 1)
    self.twice, self.bounded = twice, bounded

  def forward(self, x):
    for convolution, norm in zip(self.convolutions, self.norms, strict=True):
      x = convolution(pad_same(x, 4, 2))
      x = leaky(norm(leaky(x) if self.twice else x))
    x = self.last(x)
    return leaky(x) if self.bounded else x


class Vgg(nn.Module):
  """Caffe's VGG-19 up to relu5_1: images in [-1, 1] -> what comes out of each block's first."""

  def __init__(self, width):
    super().__init__()
    blocks, before = [], 3
    for i, count in enumerate(_VGG_CONVOLUTIONS):
      after = width * min(2**i, 8)
      blocks.append(
        nn.ModuleList(
          nn.Conv2d(after if j else before, after, 3, padding=1) for j in range(count)
        )
      )
      before = after
    self.blocks = nn.ModuleList(blocks)

  def forward(self, image):
    means = image.new_tensor(_VGG_MEANS)[:, None, None]
    x = 255 * (image.flip(1) + 1) / 2 - means  # RGB becomes BGR
    taps = []
    for i, block in enumerate(self.blocks):
      if i:  # SAME: the last row or column of an odd size is pooled by itself
        x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
      for j, convolution in enumerate(block):
        x = torch.relu(convolution(x))
        if j == 0:
          taps.append(x)
    return taps


def normalized(features):
  return features / features.square().sum((2, 3), keepdim=True).clamp(min=1e-12).sqrt()


def gram(features):
  """[B, C, H, W] -> [B, C, C]."""
  flat = features.flatten(2)
  return flat @ flat.transpose(1, 2) / flat.shape[2]


def moments(x):
  """Mean and population variance of each channel, [B, C, 1, 1]."""
  mean = x.mean((2, 3), keepdim=True)
  return mean, (x - mean).square().mean((2, 3), keepdim=True)


def restyle(content, features, roles='swapped', spread='variance', epsilon=0.0):
  """AdaIN; gamma and beta are the features' mean and spread if `roles` are 'swapped', else the
  other way round; epsilon is added to variances wherever one divides or takes a root."""
  mean, variance = moments(content)
  shift, scale = moments(features)
  variance = variance + epsilon
  if spread == 'deviation':
    variance, scale = variance.sqrt(), (scale + epsilon).sqrt()
  if roles == 'swapped':
    shift, scale = scale, shift
  return scale * (content - mean) / variance + shift


class _Stage:
  """Networks, two players and their turns; noise that is not given to a function is drawn there."""

  def __init__(
    self,
    kinds,
    *,
    width=64,
    downsamplings=0,
    blocks=3,
    discriminator_width=64,
    discriminator_depth=4,
    perceptual_width=64,
    weights=None,
    switches=None,
    learning_rate=1e-5,
    discriminator_every=1,
  ):  # kinds: network -> name of its maker
    self.weights = MNIST_SINGLE if weights is None else weights
    self.switches = {**OFFICIAL, **(switches or {})}
    self.half = (
      0.5 if self.switches['gan'] == 'least_squares' else 1.0
    )  # UNIT's is whole
    self.discriminator_every, self.learning_rate = discriminator_every, learning_rate
    norm = self.switches['residual_norm']
    make = {
      'encoder': lambda: Encoder(width, downsamplings, blocks, norm),
      'shared': lambda: Residual(width * 2**downsamplings, norm),
      'generator': lambda: Generator(width, downsamplings, blocks, norm),
      'discriminator': lambda: Discriminator(
        discriminator_width,
        discriminator_depth,
        self.switches['discriminator_twice'],
        self.switches['discriminator_bounded'],
      ),
      'frozen': lambda: Encoder(width, downsamplings, blocks, norm).requires_grad_(
        False
      ),
      'perceptual': lambda: Vgg(perceptual_width).requires_grad_(False),
    }
    self.networks = nn.ModuleDict({name: make[kind]() for name, kind in kinds.items()})
    for name, module in self.networks.named_modules():
      if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        if 'discriminator' in name:
          nn.init.xavier_uniform_(module.weight)
        elif not name.startswith('perceptual'):
          nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
        nn.init.zeros_(module.bias)
    self.discriminator_optimizer, self.generator_optimizer = (
      torch.optim.Adam(
        [
          p
          for name, p in self.networks.named_parameters()
          if p.requires_grad and ('discriminator' in name) == discriminates
        ],
        lr=learning_rate,
        betas=(0.5, 0.999),
      )
      for discriminates in (True, False)
    )

  def latent(self, encoder, shared, image, noise=None):
    """(mean, mean + noise)"""
    mean = self.networks[shared](self.networks[encoder](image))
    return mean, mean + (torch.randn_like(mean) if noise is None else noise)

  def kl(self, latent):
    return latent[self.switches['kl'] == 'noisy'].square().mean()

  def gan(self, scores, target):
    squared = self.switches['gan'] == 'least_squares'
    return (
      (scores - target).square() if squared else softplus(scores) - target * scores
    ).mean()

  def discriminator_loss(self, losses):
    """The weighted sum of terms."""
    return self.weights['adversarial'] * sum(losses.values())

  def generator_loss(self, losses):
    return sum(self.weights[name] * value for name, value in losses.items())

  def train_step(self, step, a, b, noises=(None, None), progress=0.0):
    """One iteration: the discriminators if it is their turn, then all else. Returns the losses.

    `progress` is the share of the stage that is done, by which learning rates decay.
    """
    values = []
    for optimizer in (self.discriminator_optimizer, self.generator_optimizer):
      optimizer.param_groups[0]['lr'] = self.learning_rate * (1 - progress) ** 0.9
    if step % self.discriminator_every == 0:
      loss = self.discriminator_loss(self.discriminator_losses(a, b, noises[0]))
      values.append(_update(self.discriminator_optimizer, loss))
    loss = self.generator_loss(self.generator_losses(a, b, noises[1]))
    return [*values, _update(self.generator_optimizer, loss)]


class Pretraining(_Stage):
  """The first stage: a VAE-GAN of each domain reconstructs. Noise is of a's and b's latents."""

  def __init__(self, **options):
    kinds = ('encoder', 'shared', 'shared', 'generator', 'discriminator')
    super().__init__(
      {
        f'{name}_{x}': kind
        for x in 'ab'
        for name, kind in zip(_PRETRAINED, kinds, strict=True)
      },
      **options,
    )

  def reconstruct(self, x, image, noise=None):
    """(image, latent) of domain x."""
    latent = self.latent(f'features_{x}', f'pretrain_shared_encoder_{x}', image, noise)
    content = self.networks[f'pretrain_shared_generator_{x}'](latent[1])
    return self.networks[f'pretrain_generator_{x}'](content), latent

  def discriminator_losses(self, a, b, noise=None):
    real, fake = 0, 0
    for x, image, drawn in zip('ab', (a, b), noise or (None, None), strict=True):
      critic = self.networks[f'pretrain_discriminator_{x}']
      with torch.no_grad():
        reconstruction, _ = self.reconstruct(x, image, drawn)
      real = real + self.half * self.gan(critic(image), 1)
      fake = fake + self.half * self.gan(critic(reconstruction), 0)
    return {'real': real, 'fake': fake}

  def generator_losses(self, a, b, noise=None):
    """Every term of both domains, unweighted."""
    terms = dict.fromkeys(('adversarial', 'reconstruction', 'kl'), 0)
    for x, image, drawn in zip('ab', (a, b), noise or (None, None), strict=True):
      reconstruction, latent = self.reconstruct(x, image, drawn)
      scores = self.networks[f'pretrain_discriminator_{x}'](reconstruction)
      values = {
        'adversarial': self.gan(scores, 1),
        'kl': self.kl(latent),
        'reconstruction': l1_loss(reconstruction, image),
      }
      terms = {name: terms[name] + value for name, value in values.items()}
    return terms


class EgscIt(_Stage):
  """The second stage; images are float32 NCHW in [-1, 1]. Noise is of the latents of a and b, in
  the generators' losses of those of x_ab and x_ba as well."""

  def __init__(
    self, *, mask_threshold=0.5, adain_epsilon=1e-5, discriminator_every=5, **options
  ):
    self.mask_threshold, self.adain_epsilon = mask_threshold, adain_epsilon
    kinds = {
      'shared_encoder': 'shared',
      'shared_generator': 'shared',
      'perceptual': 'perceptual',
    }
    for x in 'ab':
      kinds[f'features_{x}'] = 'frozen'
      kinds.update(
        {f'{kind}_{x}': kind for kind in ('encoder', 'generator', 'discriminator')}
      )
    super().__init__(kinds, discriminator_every=discriminator_every, **options)

  def encode(self, x, image, noise=None):
    return self.latent(f'encoder_{x}', 'shared_encoder', image, noise)

  def decode(self, x, latent, content_features, style_features):
    """An image of domain x, masked as the ones and styled as the other features say."""
    eta = self.mask_threshold
    mask = (1 - eta) * torch.sigmoid(content_features) + eta
    content = mask * self.networks.shared_generator(latent[1])
    return self.networks[f'generator_{x}'](
      restyle(
        content,
        style_features,
        self.switches['adain_roles'],
        self.switches['adain_spread'],
        self.adain_epsilon,
      )
    )

  @torch.no_grad()
  def translate(self, source, exemplar, noise=None, reverse=False):
    """a after b, or b after a if `reverse`."""
    x, y = 'ba' if reverse else 'ab'
    return self.decode(
      y,
      self.encode(x, source, noise),
      self.networks[f'features_{x}'](source),
      self.networks[f'features_{y}'](exemplar),
    )

  def discriminator_losses(self, a, b, noise=None):
    noise = noise or (None, None)
    ab, ba = (
      self.translate(a, b, noise[0]),
      self.translate(b, a, noise[1], reverse=True),
    )
    critic_a, critic_b = self.networks.discriminator_a, self.networks.discriminator_b
    return {
      'real': self.half * (self.gan(critic_a(a), 1) + self.gan(critic_b(b), 1)),
      'fake': self.half * (self.gan(critic_a(ba), 0) + self.gan(critic_b(ab), 0)),
    }

  def generator_losses(self, a, b, noise=None):
    """Every term of both domains, unweighted."""
    noise = noise or (None,) * 4
    f_a, f_b = self.networks.features_a(a), self.networks.features_b(b)
    z_a, z_b = self.encode('a', a, noise[0]), self.encode('b', b, noise[1])
    aa, ab = self.decode('a', z_a, f_a, f_a), self.decode('b', z_a, f_a, f_b)
    ba, bb = self.decode('a', z_b, f_b, f_a), self.decode('b', z_b, f_b, f_b)
    z_ab, z_ba = self.encode('b', ab, noise[2]), self.encode('a', ba, noise[3])
    aba, bab = self.decode('a', z_ab, f_a, f_a), self.decode('b', z_ba, f_b, f_b)
    critic_a, critic_b = self.networks.discriminator_a, self.networks.discriminator_b
    both = tuple(torch.cat(parts) for parts in zip(z_a, z_b, strict=True))
    terms = {
      'adversarial': self.gan(critic_a(ba), 1) + self.gan(critic_b(ab), 1),
      'reconstruction': l1_loss(aa, a) + l1_loss(bb, b),
      'kl': 2 * self.kl(both),  # once in the loss of each generator
      'cycle': l1_loss(aba, a) + l1_loss(bab, b),
      'cycle_kl': self.kl(z_ab) + self.kl(z_ba),
    }
    return {**terms, **self.perceptual_losses(a, b, ab, ba)}

  def perceptual_losses(self, a, b, ab, ba):
    a, b, ab, ba = (
      [normalized(tap) for tap in self.networks.perceptual(image)]
      for image in (a, b, ab, ba)
    )
    content, style = 0, 0
    for i in range(5):
      content = content + (i + 1) / 5 * (l1_loss(ab[i], a[i]) + l1_loss(ba[i], b[i]))
      style = (
        style + l1_loss(gram(ab[i]), gram(b[i])) + l1_loss(gram(ba[i]), gram(a[i]))
      )
    return {'content': content, 'style': style}


def _update(optimizer, loss):
  optimizer.zero_grad()
  loss.backward()
  optimizer.step()
  return loss.item()


def time_cycle(*, image_size, image_width, batch_size, steps=5, device='cpu', **sizes):
  """Median milliseconds of a step of the second stage on random images, averaged over a cycle of
  both players; `steps` is rounded up to whole cycles, and one more comes before them."""
  torch.manual_seed(0)
  model = EgscIt(**sizes)
  twin_command.place(model.networks.values(), device)
  shape = (batch_size, 3, image_size, image_width or image_size)
  images = [torch.rand(shape, device=device) * 2 - 1 for _ in range(2)]
  times = []
  for _ in range(1 + -(-steps // model.discriminator_every)):
    start = time.perf_counter()
    for step in range(model.discriminator_every):
      model.train_step(
        step, *images
      )  # reads the losses, so it ends when the device has
    times.append((time.perf_counter() - start) / model.discriminator_every)
  return 1000 * statistics.median(times[1:])


def main():
  twin_command.main(
    __doc__,
    time_cycle,
    {
      'image_size': 28,
      'image_width': 0,
      'batch_size': 8,
      'width': 64,
      'downsamplings': 0,
      'blocks': 3,
      'discriminator_width': 64,
      'discriminator_depth': 4,
      'discriminator_every': 5,
      'perceptual_width': 64,
      'steps': 5,
    },
  )


if __name__ == '__main__':
  main()
