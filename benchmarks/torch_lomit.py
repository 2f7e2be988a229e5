"""LOMIT in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The networks, losses and updates of the authors' code (variant 'official' of
maskgan_jax.methods.lomit), written from its list of layers: each direction, image and mask goes
through its network by itself, R1 is a matrix of all pairs of pixels. Module names give state dicts
the authors' checkpoint layout.

  python benchmarks/torch_lomit.py --image_size=64 --batch_size=8 --width=16 --critic_depth=5
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
import twin_command

# The authors' loss weights for hair and smile, by the names that maskgan_jax gives the terms.
HAIR_SMILE = {
  'adversarial': 1.0,
  'classification': 1.0,
  'gradient_penalty': 10.0,
  'reconstruction': 10.0,
  'cycle': 10.0,
  'foreground_style': 1.0,
  'background_style': 1.0,
  'content': 1.0,
  'similarity': 0.1,
  'size': 1e-4,
  'total_variation': 0.0,
  'style_difference': 0.0,
}
_ACTIVATIONS = {
  'relu': lambda: nn.ReLU(inplace=True),
  'tanh': nn.Tanh,
  'sigmoid': nn.Sigmoid,
  'leaky': lambda: nn.LeakyReLU(0.01, inplace=True),
}
_NORMS = {
  'instance': lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True),
  'layer': lambda n: nn.GroupNorm(1, n),
  'batch': nn.BatchNorm2d,
}


class Conv(nn.Module):
  """Reflection padding, convolution, normalisation, activation: `conv`, and `norm` if there is."""

  def __init__(self, before, after, size, stride=1, *, norm=None, activation=None):
    super().__init__()
    self.conv = nn.Conv2d(
      before, after, size, stride, (size - 1) // 2, padding_mode='reflect'
    )
    self.norm = _NORMS[norm](after) if norm else nn.Identity()
    self.activation = _ACTIVATIONS[activation]() if activation else nn.Identity()

  def forward(self, x):
    return self.activation(self.norm(self.conv(x)))


class Dense(nn.Module):
  """Linear layer `fc` and an activation."""

  def __init__(self, before, after, activation=None):
    super().__init__()
    self.fc = nn.Linear(before, after)
    self.activation = _ACTIVATIONS[activation]() if activation else nn.Identity()

  def forward(self, x):
    return self.activation(self.fc(x))


class Residual(nn.Module):
  """x plus two 3x3 convolutions of it."""

  def __init__(self, channels, norm):
    super().__init__()
    self.main = nn.Sequential(
      Conv(channels, channels, 3, norm=norm, activation='relu'),
      Conv(channels, channels, 3, norm=norm),
    )

  def forward(self, x):
    return x + self.main(x)


def stem(width, **options):
  """7x7 and two strided convolutions: 3 channels at full to 4 * width at quarter resolution."""
  return [
    Conv(3, width, 7, **options),
    Conv(width, 2 * width, 4, 2, **options),
    Conv(2 * width, 4 * width, 4, 2, **options),
  ]


class ContentEncoder(nn.Module):
  """[B, 3, H, W] -> [B, 4 * width, H / 4, W / 4]."""

  def __init__(self, width, blocks):
    super().__init__()
    self.main = nn.Sequential(
      *stem(width, norm='instance', activation='relu'),
      *(Residual(4 * width, 'instance') for _ in range(blocks)),
    )

  def forward(self, image):
    return self.main(image)


class StyleEncoder(nn.Module):
  """[B, 3, H, W] -> [B, code, 1, 1]; the two heads are the same layers, as the authors have it."""

  def __init__(self, width, code):
    super().__init__()
    self.shared = nn.Sequential(*stem(width, activation='leaky'))
    head = [Conv(4 * width, 4 * width, 4, 2, activation='leaky') for _ in range(2)]
    head += [nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * width, code, 1)]
    self.foreground, self.background = nn.Sequential(*head), nn.Sequential(*head)

  def forward(self, image, head):
    return getattr(self, head)(self.shared(image))


class Gate(nn.Module):
  """Channel weights [B, C, 1, 1] from the other image's content."""

  def __init__(self, channels):
    super().__init__()
    self.main = nn.Sequential(
      Dense(channels, 2 * channels, 'tanh'), Dense(2 * channels, channels, 'sigmoid')
    )

  def forward(self, content):
    return self.main(content.mean((2, 3)))[:, :, None, None]


class Mask(nn.Module):
  """Own and other content [B, C, h, w] -> [B, 1, h, w] in (0, 1)."""

  def __init__(self, channels, depth):
    super().__init__()
    self.main = nn.Sequential(
      *(
        Conv(channels, channels, 3, norm='batch', activation='relu')
        for _ in range(depth)
      ),
      Conv(channels, 1, 1, activation='sigmoid'),
    )
    self.co_attn = Gate(channels)

  def forward(self, content, other):
    return self.main(self.co_attn(other) * content)


class StyleMLP(nn.Module):
  """Code -> [B, 2 * channels]; at the authors' four residual blocks it has these three layers."""

  def __init__(self, code, width, features):
    super().__init__()
    self.main = nn.Sequential(
      Dense(code, width, 'leaky'), Dense(width, width, 'leaky'), Dense(width, features)
    )

  def forward(self, code):
    return self.main(code.flatten(1))


class Decoder(nn.Module):
  """Content, mask, the exemplar's foreground and own background code -> image in [-1, 1]."""

  def __init__(self, channels, code, mlp, blocks):
    super().__init__()
    layers = [Residual(channels, 'layer') for _ in range(blocks)]
    for before in (channels, channels // 2):
      layers += [
        nn.Upsample(scale_factor=2, mode='nearest'),
        Conv(before, before // 2, 5, norm='layer', activation='relu'),
      ]
    self.main = nn.Sequential(*layers, Conv(channels // 4, 3, 7, activation='tanh'))
    self.f_mlp, self.b_mlp = (StyleMLP(code, mlp, 2 * channels) for _ in range(2))

  def forward(self, content, mask, foreground, background):
    mean = content.mean((2, 3), keepdim=True)
    deviation = content.std(3).std(2)[
      :, :, None, None
    ]  # of rows' deviations: the authors'
    normal = (content - mean) / (deviation + 1e-5)

    def styled(parameters):
      shift, log_variance = parameters[:, :, None, None].chunk(2, dim=1)
      return torch.exp(0.5 * log_variance) * normal + shift

    return self.main(
      mask * styled(self.f_mlp(foreground))
      + (1 - mask) * styled(self.b_mlp(background))
    )


class Generator(nn.Module):
  """All networks but the critic."""

  def __init__(self, width, blocks, style_size, mlp, mask_depth):
    super().__init__()
    self.c_encoder = ContentEncoder(width, blocks)
    self.s_encoder = StyleEncoder(width, style_size)
    self.mask = Mask(4 * width, mask_depth)
    self.decoder = Decoder(4 * width, style_size, mlp, blocks)

  def style(self, image, mask, head):
    """Code of the image under a mask of a quarter of its resolution."""
    return self.s_encoder(upsample(mask) * image, head)

  def forward(self, source, exemplar):
    """Translation, and the masks of source and exemplar at a quarter of their resolution."""
    content, other = self.c_encoder(source), self.c_encoder(exemplar)
    mask, exemplar_mask = self.mask(content, other), self.mask(other, content)
    foreground = self.style(exemplar, exemplar_mask, 'foreground')
    background = self.style(source, 1 - mask, 'background')
    return self.decoder(content, mask, foreground, background), mask, exemplar_mask


class Critic(nn.Module):
  """Images -> a map of scores [B, 1, h, w] and class logits [B, attributes]."""

  def __init__(self, image_size, width, depth, attributes):
    super().__init__()
    widths = [width * 2**i for i in range(depth)]
    self.main = nn.Sequential(
      *(
        Conv(before, after, 4, 2, activation='leaky')
        for before, after in zip((3, *widths), widths, strict=False)
      )
    )
    self.conv1 = Conv(widths[-1], 1, 3)
    self.conv2 = nn.Conv2d(widths[-1], attributes, image_size // 2**depth)

  def forward(self, image):
    x = self.main(image)
    return self.conv1(x), self.conv2(x).flatten(1)


def upsample(mask):
  return functional.interpolate(
    mask, scale_factor=4, mode='bilinear', align_corners=False
  )


def cross_entropy(logits, labels):
  """Summed over labels, averaged over examples."""
  return functional.binary_cross_entropy_with_logits(
    logits, labels, reduction='sum'
  ) / len(logits)


def mask_terms(masks, content):
  """R1, mean and total variation of masks [B, 1, h, w] of one image, each summed over them."""
  unit = content.flatten(2)
  unit = unit / unit.square().sum(1, keepdim=True).sqrt().clamp(min=1e-8)
  similarity = torch.bmm(unit.transpose(1, 2), unit)
  flat = [mask.flatten(1) for mask in masks]
  return {
    'similarity': sum(
      (similarity * (m[:, :, None] - m[:, None, :]).abs()).mean() for m in flat
    ),
    'size': sum(m.mean() for m in masks),
    'total_variation': sum(
      m.diff(dim=axis).abs().sum() for m in masks for axis in (2, 3)
    ),
  }


class Lomit:
  """Networks, optimizers and the training step; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    image_size=128,
    width=64,
    blocks=4,
    style_size=8,
    mlp=256,
    mask_depth=6,
    critic_width=64,
    critic_depth=6,
    critic_every=5,
    attributes=4,
    weights=None,
  ):
    self.generator = Generator(width, blocks, style_size, mlp, mask_depth)
    self.critic = Critic(image_size, critic_width, critic_depth, attributes)
    for network, draw in (
      (self.generator, nn.init.kaiming_normal_),
      (self.critic, lambda weight: nn.init.normal_(weight, std=0.02)),
    ):
      for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
          draw(module.weight)
          nn.init.zeros_(module.bias)
    self.critic_every = critic_every
    self.weights = HAIR_SMILE if weights is None else weights
    self.generator_optimizer, self.critic_optimizer = (
      torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.999))
      for network in (self.generator, self.critic)
    )

  def critic_losses(self, source, exemplar, labels, alpha=None):
    """Terms of one direction; `alpha` [B, 1, 1, 1] is the share of real images in the penalty's."""
    scores, logits = self.critic(source)
    # Of the generator's graph nothing is needed, but this is how the authors call it.
    fake = self.generator(source, exemplar)[0].detach()
    fake_scores, _ = self.critic(fake)
    alpha = (
      torch.rand(len(source), 1, 1, 1, device=source.device) if alpha is None else alpha
    )
    between = (alpha * source + (1 - alpha) * fake).requires_grad_(True)
    between_scores, _ = self.critic(between)
    (slope,) = torch.autograd.grad(between_scores.sum(), between, create_graph=True)
    return {
      'real': -scores.mean(),
      'fake': fake_scores.mean(),
      'classification': cross_entropy(logits, labels),
      'gradient_penalty': (slope.flatten(1).square().sum(1).sqrt() - 1).square().mean(),
    }

  def critic_loss(self, losses):
    """The weighted sum of terms."""
    weights = self.weights
    return (
      weights['adversarial'] * (losses['real'] + losses['fake'])
      + weights['classification'] * losses['classification']
      + weights['gradient_penalty'] * losses['gradient_penalty']
    )

  def generator_losses(self, a, b, labels_a, labels_b):
    """Every term of the generator's loss, unweighted, in the order the authors compute them."""
    g, l1 = self.generator, functional.l1_loss
    c_a, c_b = g.c_encoder(a), g.c_encoder(b)
    m_a, m_b = g.mask(c_a, c_b), g.mask(c_b, c_a)
    f_a, r_a = g.style(a, m_a, 'foreground'), g.style(a, 1 - m_a, 'background')
    f_b, r_b = g.style(b, m_b, 'foreground'), g.style(b, 1 - m_b, 'background')
    ab, ba = g.decoder(c_a, m_a, f_b, r_a), g.decoder(c_b, m_b, f_a, r_b)
    (scores_ab, logits_ab), (scores_ba, logits_ba) = self.critic(ab), self.critic(ba)

    c_ab, c_ba = g.c_encoder(ab), g.c_encoder(ba)
    m_ab, m_ba = g.mask(c_ab, c_ba), g.mask(c_ba, c_ab)
    f_ab, r_ab = g.style(ab, m_ab, 'foreground'), g.style(ab, 1 - m_ab, 'background')
    f_ba, r_ba = g.style(ba, m_ba, 'foreground'), g.style(ba, 1 - m_ba, 'background')
    aba, bab = g.decoder(c_ab, m_ab, f_ba, r_ab), g.decoder(c_ba, m_ba, f_ab, r_ba)
    m_aa, m_bb = g.mask(c_a, c_a), g.mask(c_b, c_b)
    aa, bb = g.decoder(c_a, m_aa, f_a, r_a), g.decoder(c_b, m_bb, f_b, r_b)

    of_a = mask_terms((m_a, m_ab, m_aa), c_a.detach())
    of_b = mask_terms((m_b, m_ba, m_bb), c_b.detach())
    return {
      'adversarial': -(scores_ab.mean() + scores_ba.mean()),
      'classification': cross_entropy(logits_ab, labels_b)
      + cross_entropy(logits_ba, labels_a),
      'cycle': l1(aba, a) + l1(bab, b),
      'reconstruction': l1(aa, a) + l1(bb, b),
      'foreground_style': l1(f_ab, f_b) + l1(f_ba, f_a),
      'background_style': l1(r_ab, r_a) + l1(r_ba, r_b),
      'content': l1(c_ab, c_a) + l1(c_ba, c_b),
      **{name: of_a[name] + of_b[name] for name in of_a},
      'style_difference': l1(f_a, f_b),
    }

  def generator_loss(self, losses):
    """The weighted sum of terms; the difference of styles is to be large."""
    return sum(
      self.weights[name] * (-value if name == 'style_difference' else value)
      for name, value in losses.items()
    )

  def train_step(self, step, a, b, labels_a, labels_b, alphas=(None, None)):
    """One iteration: the critic, then the generator if it is its turn. Returns the losses."""
    self.generator.train()
    self.critic.train()
    loss = self.critic_loss(
      self.critic_losses(a, b, labels_a, alphas[0])
    ) + self.critic_loss(self.critic_losses(b, a, labels_b, alphas[1]))
    values = [_update(self.critic_optimizer, loss)]
    if step % self.critic_every == 0:
      loss = self.generator_loss(self.generator_losses(a, b, labels_a, labels_b))
      values.append(_update(self.generator_optimizer, loss))
    return values

  @torch.no_grad()
  def translate(self, source, exemplar):
    """(image, source's mask, exemplar's mask) with statistics of the batch, as in the authors'
    test()."""
    self.generator.train()
    image, mask, exemplar_mask = self.generator(source, exemplar)
    return image, upsample(mask), upsample(exemplar_mask)


def _update(optimizer, loss):
  optimizer.zero_grad()
  loss.backward()
  optimizer.step()
  return loss.item()


def time_cycle(
  *, image_size, batch_size, attributes, critic_every, steps=5, device='cpu', **sizes
):
  """Median milliseconds of a training step on random images, averaged over a cycle of both
  players; `steps` is rounded up to whole cycles, and one more comes before them."""
  torch.manual_seed(0)
  model = Lomit(
    image_size=image_size, attributes=attributes, critic_every=critic_every, **sizes
  )
  twin_command.place(model.generator.children(), device)
  model.critic.to(device)  # whose gradient is differentiated again
  images = [
    torch.rand(batch_size, 3, image_size, image_size, device=device) * 2 - 1
    for _ in range(2)
  ]
  labels = [torch.rand(batch_size, attributes, device=device).round() for _ in range(2)]
  times = []
  for _ in range(1 + -(-steps // critic_every)):
    start = time.perf_counter()
    for step in range(critic_every):
      model.train_step(
        step, *images, *labels
      )  # reads the losses, so it ends when the device has
    times.append((time.perf_counter() - start) / critic_every)
  return 1000 * statistics.median(times[1:])


def main():
  twin_command.main(
    __doc__,
    time_cycle,
    {
      'image_size': 128,
      'batch_size': 8,
      'width': 64,
      'blocks': 4,
      'style_size': 8,
      'mlp': 256,
      'mask_depth': 6,
      'critic_width': 64,
      'critic_depth': 6,
      'critic_every': 5,
      'attributes': 4,
      'steps': 5,
    },
  )


if __name__ == '__main__':
  main()
