"""DRIT++ in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The networks, losses and updates of the authors' code (variant 'official' of
maskgan_jax.methods.drit), written from its list of layers. Module names give state dicts the
authors' checkpoint layout. Random numbers are arguments: a dict with `noise`, of both contents, and
where they are needed `attributes`, of both, and `z`, a list of attributes. The step of drawn
attributes has a forward pass and an optimizer of its own.

  python benchmarks/torch_drit.py --image_size=64 --batch_size=4 --width=16 --content_4x4=1 \\
      --content_depth=2
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
import twin_command

# The authors' weights, by the names that maskgan_jax gives the terms.
WEIGHTS = {
  'adversarial': 1.0,
  'random_adversarial': 1.0,
  'content_adversarial': 1.0,
  'reconstruction': 10.0,
  'cycle': 10.0,
  'latent': 10.0,
  'kl': 0.01,
  'content': 0.01,
  'mode_seeking': 1.0,
}
OTHER = {'A': 'B', 'B': 'A'}


class LayerNorm(nn.Module):
  """Over channels and pixels of an image, with a scale and a bias for each channel."""

  def __init__(self, channels):
    super().__init__()
    self.weight = nn.Parameter(torch.ones(channels, 1, 1))
    self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

  def forward(self, x):
    return functional.layer_norm(x, x.shape[1:]) * self.weight + self.bias


class Conv(nn.Module):
  """Reflection padding, convolution, perhaps instance normalisation, activation."""

  def __init__(self, before, after, size, stride, padding, *, norm=False, leak=0.01):
    super().__init__()
    layers = [nn.ReflectionPad2d(padding), nn.Conv2d(before, after, size, stride)]
    if norm:
      layers.append(nn.InstanceNorm2d(after))
    self.model = nn.Sequential(*layers, nn.LeakyReLU(leak))

  def forward(self, x):
    return self.model(x)


def conv3x3(before, after):
  return [nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3)]


class Residual(nn.Module):
  """Two 3x3 convolutions with instance normalisation."""

  def __init__(self, channels):
    super().__init__()
    norm = nn.InstanceNorm2d
    self.model = nn.Sequential(
      *conv3x3(channels, channels),
      norm(channels),
      nn.ReLU(),
      *conv3x3(channels, channels),
      norm(channels),
    )

  def forward(self, x):
    return x + self.model(x)


class Upsample(nn.Module):
  """A transposed 3x3 convolution to half of the channels, layer normalisation, ReLU."""

  def __init__(self, channels):
    super().__init__()
    conv = nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1)
    self.model = nn.Sequential(conv, LayerNorm(channels // 2), nn.ReLU())

  def forward(self, x):
    return self.model(x)


class ContentEncoder(nn.Module):
  """A domain's own layers, and a residual block that both have; noise is added elsewhere."""

  def __init__(self, width, downsamplings, blocks):
    super().__init__()
    for domain in 'AB':
      channels, layers = width, [Conv(3, width, 7, 1, 3)]
      for _ in range(downsamplings):
        layers.append(Conv(channels, 2 * channels, 3, 2, 1, norm=True, leak=0.0))
        channels *= 2
      layers += [Residual(channels) for _ in range(blocks)]
      setattr(self, f'conv{domain}', nn.Sequential(*layers))
    self.conv_share = nn.Sequential(Residual(channels))

  def forward(self, domain, x):
    return self.conv_share(getattr(self, f'conv{domain}')(x))


class HalvingBlock(nn.Module):
  """Two 3x3 convolutions after LeakyReLU 0.2 each and a mean of 2x2, beside a 1x1 convolution."""

  def __init__(self, before, after):
    super().__init__()
    pooled = nn.Sequential(*conv3x3(before, after), nn.AvgPool2d(2, 2))
    leak = nn.LeakyReLU(0.2)
    self.conv = nn.Sequential(leak, *conv3x3(before, before), leak, pooled)
    self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(before, after, 1))

  def forward(self, x):
    return self.conv(x) + self.shortcut(x)


class AttributeEncoder(nn.Module):
  """Mean and log-variance of attributes."""

  def __init__(self, width, downsamplings, code):
    super().__init__()
    for domain in 'AB':
      layers = [nn.ReflectionPad2d(1), nn.Conv2d(3, width, 4, 2)]
      for place in range(1, downsamplings):
        sizes = width * min(4, place), width * min(4, place + 1)
        layers.append(HalvingBlock(*sizes))
      after = width * min(4, downsamplings)
      layers += [nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1)]
      setattr(self, f'conv_{domain}', nn.Sequential(*layers))
      for name in ('fc', 'fcVar'):
        setattr(self, f'{name}_{domain}', nn.Sequential(nn.Linear(after, code)))

  def forward(self, domain, x):
    x = getattr(self, f'conv_{domain}')(x).flatten(1)
    return tuple(getattr(self, f'{name}_{domain}')(x) for name in ('fc', 'fcVar'))


class PlainAttributeEncoder(nn.Module):
  """Attributes without a variance, of the feature-wise generator."""

  def __init__(self, width, downsamplings, code):
    super().__init__()
    for domain in 'ab':
      before = width
      layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.ReLU()]
      for place in range(downsamplings):
        after = 2 * before if place < 2 else before
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(before, after, 4, 2), nn.ReLU()]
        before = after
      layers += [nn.AdaptiveAvgPool2d(1), nn.Conv2d(before, code, 1)]
      setattr(self, f'model_{domain}', nn.Sequential(*layers))

  def forward(self, domain, x):
    return getattr(self, f'model_{domain.lower()}')(x).flatten(1), None


def joined(x, code):
  """Joins codes to the channels of all pixels."""
  code = code[:, :, None, None].expand(-1, -1, *x.shape[2:])
  return torch.cat([x, code], 1)


class ConcatGenerator(nn.Module):
  """Joins the attribute to the inputs of layers."""

  def __init__(self, channels, upsamplings, blocks, code):
    super().__init__()
    self.upsamplings = upsamplings
    self.dec_share = nn.Sequential(Residual(channels))
    for domain in 'AB':
      after = channels + code
      first = nn.Sequential(*(Residual(after) for _ in range(blocks)))
      setattr(self, f'dec{domain}1', first)
      for place in range(upsamplings):
        layers = nn.Sequential(Upsample(after + code))
        setattr(self, f'dec{domain}{place + 2}', layers)
        after = (after + code) // 2
      last = nn.Sequential(nn.ConvTranspose2d(after + code, 3, 1), nn.Tanh())
      setattr(self, f'dec{domain}{upsamplings + 2}', last)

  def forward(self, domain, content, code):
    x = self.dec_share(content)
    for place in range(1, self.upsamplings + 3):
      x = getattr(self, f'dec{domain}{place}')(joined(x, code))
    return x


class FeatureWiseBlock(nn.Module):
  """A residual block whose pixels are mixed with features, twice."""

  def __init__(self, channels):
    super().__init__()
    for place in (1, 2):
      conv = nn.Sequential(*conv3x3(channels, channels))
      norm = nn.InstanceNorm2d(channels)
      setattr(self, f'conv{place}', nn.Sequential(conv, norm))
      mix = [
        nn.Conv2d(2 * channels, 2 * channels, 1),
        nn.ReLU(),
        nn.Conv2d(2 * channels, channels, 1),
        nn.ReLU(),
      ]
      setattr(self, f'blk{place}', nn.Sequential(*mix))

  def forward(self, x, features):
    y = self.blk1(joined(self.conv1(x), features))
    return x + self.blk2(joined(self.conv2(y), features))


class FeatureWiseGenerator(nn.Module):
  """Gives each block features that an MLP makes of the attribute."""

  def __init__(self, channels, upsamplings, blocks, code, mlp):
    super().__init__()
    self.blocks = blocks
    for domain in 'AB':
      for place in range(1, blocks + 1):
        setattr(self, f'dec{domain}{place}', FeatureWiseBlock(channels))
      after, layers = channels, []
      for _ in range(upsamplings):
        layers.append(Upsample(after))
        after //= 2
      last = nn.Sequential(*layers, nn.ConvTranspose2d(after, 3, 1), nn.Tanh())
      setattr(self, f'dec{domain}{blocks + 1}', last)
      sizes = [(code, mlp), (mlp, mlp), (mlp, blocks * channels)]
      linear = [nn.Linear(*size) for size in sizes]
      of_code = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
      setattr(self, f'mlp{domain}', of_code)

  def forward(self, domain, content, code):
    x, features = content, getattr(self, f'mlp{domain}')(code)
    for place, part in enumerate(features.chunk(self.blocks, 1), 1):
      x = getattr(self, f'dec{domain}{place}')(x, part)
    return getattr(self, f'dec{domain}{self.blocks + 1}')(x)


class Discriminator(nn.Module):
  """Maps of scores of an image and of smaller ones."""

  def __init__(self, width, depth, scales):
    super().__init__()
    self.Diss = nn.ModuleList()
    for _ in range(scales):
      layers, before = [], 3
      for place in range(depth):
        layers.append(Conv(before, width * 2**place, 4, 2, 1))
        before = width * 2**place
      self.Diss.append(nn.Sequential(*layers, nn.Conv2d(before, 1, 1)))

  def forward(self, x):
    maps = []
    for network in self.Diss:
      maps.append(network(x))
      x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return maps


class ContentDiscriminator(nn.Module):
  """Tells the domain of contents; the 4x4 kernels are for small maps, and not the authors'."""

  def __init__(self, channels, depth, kernel, norm):
    super().__init__()
    layers = [Conv(channels, channels, kernel, 2, 1, norm=norm) for _ in range(depth)]
    layers += [Conv(channels, channels, 4, 1, 0), nn.Conv2d(channels, 1, 1)]
    self.model = nn.Sequential(*layers)

  def forward(self, x):
    return self.model(x)


class Drit:
  """Networks, optimizers and the training step; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    feature_wise=False,
    mode_seeking=True,
    width=64,
    downsamplings=2,
    blocks=3,
    attribute_size=8,
    attribute_downsamplings=4,
    mlp=256,
    discriminator_width=64,
    discriminator_depth=4,
    discriminator_scales=3,
    content_4x4=False,
    content_depth=3,
    joint=False,
    content_l1=False,
    content_norm=False,
    weights=None,
    learning_rate=1e-4,
    clip_norm=5.0,
  ):
    channels = width * 2**downsamplings
    attributes = width, attribute_downsamplings, attribute_size
    if feature_wise:
      encoder = PlainAttributeEncoder(*attributes)
      generator = FeatureWiseGenerator(
        channels, downsamplings, blocks + 1, attribute_size, mlp
      )
    else:
      encoder = AttributeEncoder(*attributes)
      generator = ConcatGenerator(channels, downsamplings, blocks, attribute_size)
    self.networks = nn.ModuleDict(
      {
        'enc_c': ContentEncoder(width, downsamplings, blocks),
        'enc_a': encoder,
        'gen': generator,
        'disContent': ContentDiscriminator(
          channels, content_depth, 4 if content_4x4 else 7, content_norm
        ),
      }
    )
    for name in ('disA', 'disB', 'disA2', 'disB2'):
      self.networks[name] = Discriminator(
        discriminator_width, discriminator_depth, discriminator_scales
      )
    self.attribute_size, self.draws = attribute_size, 1 + bool(mode_seeking)
    self.content_shape = channels, 2**downsamplings
    self.joint, self.content_l1 = joint, content_l1
    self.clip_norm = clip_norm
    self.weights = WEIGHTS if weights is None else weights
    self._initialize()
    self.optimizers = {}
    for player, names in self.owners().items():
      parameters = [p for name in names for p in self.networks[name].parameters()]
      rate = learning_rate * (0.4 if player == 'content_discriminator' else 1)
      self.optimizers[player] = torch.optim.Adam(
        parameters, lr=rate, betas=(0.5, 0.999), weight_decay=1e-4
      )

  def owners(self):
    """The networks that each player trains, in the order of the players."""
    owners = {
      'discriminator': ('disA', 'disB', 'disA2', 'disB2'),
      'content_discriminator': ('disContent',),
      'generator': ('enc_c', 'enc_a', 'gen'),
    }
    return owners if self.joint else {**owners, 'random': ('enc_c', 'gen')}

  def _initialize(self):
    for module in self.networks.modules():
      if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)

  # Losses: every term of a player's, unweighted.

  def contents(self, images, noise):
    """Contents with noise, by domain."""
    encode = self.networks['enc_c']
    return {d: encode(d, images[d]) + noise[d] for d in 'AB'}

  def attributes(self, images, noise):
    """Attributes drawn from their distributions, and the KL of these from N(0, I)."""
    drawn, kl = {}, 0
    for d in 'AB':
      mean, log_variance = self.networks['enc_a'](d, images[d])
      if log_variance is None:
        drawn[d] = mean
        kl = kl + mean.square().mean()
      else:
        drawn[d] = mean + (log_variance / 2).exp() * noise[d]
        terms = 1 + log_variance - mean.square() - log_variance.exp()
        kl = kl - 0.5 * terms.sum() / len(mean)
    return drawn, kl

  def score(self, name, image, target):
    """The loss of a discriminator's scores against a target, summed over scales."""
    maps = self.networks[name](image)
    total = 0
    for scores in maps if isinstance(maps, list) else [maps]:
      targets = torch.full_like(scores, target)
      total = total + functional.binary_cross_entropy_with_logits(scores, targets)
    return total

  def content_discriminator_losses(self, images, draws):
    contents = self.contents(images, draws['noise'])
    return {
      'a': self.score('disContent', contents['A'].detach(), 0),
      'b': self.score('disContent', contents['B'].detach(), 1),
    }

  def discriminator_losses(self, images, draws):
    generate = self.networks['gen']
    with torch.no_grad():
      contents = self.contents(images, draws['noise'])
      attributes, _ = self.attributes(images, draws['attributes'])
    losses = {}
    for d in 'AB':
      with torch.no_grad():
        fake = generate(d, contents[OTHER[d]], attributes[d])
        random = [generate(d, contents[OTHER[d]], z) for z in draws['z']]
      real = self.score(f'dis{d}', images[d], 1)
      losses[f'discriminator_{d.lower()}'] = real + self.score(f'dis{d}', fake, 0)
      total = 0
      for other_fake in random:
        real = self.score(f'dis{d}2', images[d], 1)
        total = total + real + self.score(f'dis{d}2', other_fake, 0)
      losses[f'random_discriminator_{d.lower()}'] = total
    return losses

  def generator_losses(self, images, draws):
    generate, l1 = self.networks['gen'], functional.l1_loss
    contents = self.contents(images, draws['noise'])
    attributes, kl = self.attributes(images, draws['attributes'])
    fakes = {d: generate(d, contents[OTHER[d]], attributes[d]) for d in 'AB'}
    again = self.contents(fakes, draws['noise_2'])
    attributes_again, _ = self.attributes(fakes, draws['attributes_2'])
    names = 'adversarial', 'content_adversarial', 'reconstruction', 'cycle', 'content'
    losses = {'kl': kl, **dict.fromkeys(names, 0)}
    for d in 'AB':
      same = generate(d, contents[d], attributes[d])
      back = generate(d, again[OTHER[d]], attributes_again[d])
      size = contents[d].abs() if self.content_l1 else contents[d].square()
      values = (
        self.score(f'dis{d}', fakes[d], 1),
        self.score('disContent', contents[d], 0.5),
        l1(same, images[d]),
        l1(back, images[d]),
        size.mean(),
      )
      for name, value in zip(names, values, strict=True):
        losses[name] = losses[name] + value
    if self.joint:
      losses |= self._random_losses(contents, draws['z'])
    return losses

  def random_losses(self, images, draws):
    return self._random_losses(self.contents(images, draws['noise']), draws['z'])

  def _random_losses(self, contents, codes):
    names = 'random_adversarial', 'latent', 'mode_seeking'
    losses = dict.fromkeys(names[: 1 + self.draws], 0)
    for d in 'AB':
      fakes = [self.networks['gen'](d, contents[OTHER[d]], z) for z in codes]
      for fake in fakes:
        scores = self.score(f'dis{d}2', fake, 1)
        losses['random_adversarial'] = losses['random_adversarial'] + scores
      mean, _ = self.networks['enc_a'](d, fakes[0])
      losses['latent'] = losses['latent'] + functional.l1_loss(mean, codes[0])
      if self.draws == 2:
        images_apart = (fakes[1] - fakes[0]).abs().flatten(1).mean(1)
        codes_apart = (codes[1] - codes[0]).abs().mean(1)
        ratio = images_apart / codes_apart
        losses['mode_seeking'] = losses['mode_seeking'] + (1 / (ratio + 1e-5)).mean()
    return losses

  def loss(self, losses):
    """The weighted sum of a player's terms."""
    return sum(self.weights.get(name, 1.0) * value for name, value in losses.items())

  def random_draws(self, images):
    """All random numbers that a player may need."""
    like = images['A']
    channels, factor = self.content_shape
    height, width = like.shape[2] // factor, like.shape[3] // factor
    shapes = {
      'noise': (len(like), channels, height, width),
      'attributes': (len(like), self.attribute_size),
    }
    draws = {}
    for name, shape in shapes.items():
      for suffix in ('', '_2'):
        pair = {d: torch.randn(shape, device=like.device) for d in 'AB'}
        draws[name + suffix] = pair
    shape = shapes['attributes']
    draws['z'] = [torch.randn(shape, device=like.device) for _ in range(self.draws)]
    return draws

  def play(self, player, images, draws=None):
    """One update of a player; returns its loss."""
    draws = self.random_draws(images) if draws is None else draws
    loss = self.loss(getattr(self, f'{player}_losses')(images, draws))
    optimizer = self.optimizers[player]
    optimizer.zero_grad()
    loss.backward()
    if player == 'content_discriminator':
      parameters = self.networks['disContent'].parameters()
      nn.utils.clip_grad_norm_(parameters, self.clip_norm)
    optimizer.step()
    return loss.item()

  @torch.no_grad()
  def translate(self, direction, source, code):
    """The translation of a source, 'AB' or 'BA', with an attribute."""
    content = self.networks['enc_c'](direction[0], source)
    return self.networks['gen'](direction[1], content, code)


def time_cycle(
  *,
  image_size,
  batch_size,
  image_width=0,
  others_every=3,
  steps=5,
  device='cpu',
  **sizes,
):
  """Median milliseconds of a step on random images: a cycle's mean, after one more cycle."""
  torch.manual_seed(0)
  model = Drit(**sizes)
  twin_command.place(model.networks.values(), device)
  shape = batch_size, 3, image_size, image_width or image_size
  images = {d: torch.rand(shape, device=device) * 2 - 1 for d in 'AB'}
  times = []
  for _ in range(1 + steps):
    start = time.perf_counter()
    for _ in range(others_every - 1):
      model.play('content_discriminator', images)
    for player in model.owners():
      model.play(player, images)  # reads the loss, so it ends when the device has
    times.append((time.perf_counter() - start) / others_every)
  return 1000 * statistics.median(times[1:])


def main():
  twin_command.main(
    __doc__,
    time_cycle,
    {
      'image_size': 216,
      'image_width': 0,
      'batch_size': 1,
      'feature_wise': 0,
      'mode_seeking': 1,
      'width': 64,
      'downsamplings': 2,
      'blocks': 3,
      'attribute_size': 8,
      'attribute_downsamplings': 4,
      'mlp': 256,
      'discriminator_width': 64,
      'discriminator_depth': 4,
      'discriminator_scales': 3,
      'content_4x4': 0,
      'content_depth': 3,
      'others_every': 3,
      'steps': 5,
    },
  )


if __name__ == '__main__':
  main()
