"""Content transfer in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The five networks and the whole official training step, written from the layer list of the paper's
authors' code. Module names give state dicts the authors' checkpoint layout.

  python benchmarks/torch_content_transfer.py --image_size=32 --batch_size=32 --width=16 --depth=4
"""

import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional
import twin_command

# The authors' loss weights for glasses, by the names that maskgan_jax gives the terms.
GLASSES = {
  'recon1_a': 5.0,
  'recon1_b': 7.0,
  'cycle': 0.001,
  'recon2_a': 0.7,
  'recon2_b': 0.7,
  'domain_confusion': 0.005,
}


def widths(width, depth, separate_channels):
  """Channels, layer by layer, of a whole code, the common and the separate encoder, a decoder."""
  full = [width * 2 ** min(i, 4) for i in range(depth)]
  common = [w - separate_channels if w == full[-1] else w for w in full]
  separate = [width * 2 ** min(i, 2) for i in range(depth - 1)] + [separate_channels]
  return full, common, separate, [width * 2**i for i in reversed(range(depth - 1))]


class Encoder(nn.Module):
  """Convolution 4x4 stride 2, a norm, LeakyReLU 0.2; [B, 3, H, W] -> [B, C, h, w]."""

  def __init__(self, widths, norm=nn.BatchNorm2d):
    super().__init__()
    blocks = []
    for before, after in zip((3, *widths), widths, strict=False):
      blocks += [
        nn.Conv2d(before, after, 4, 2, 1),
        norm(after),
        nn.LeakyReLU(0.2),
      ]
    self.full = nn.Sequential(*blocks)

  def forward(self, image):
    return self.full(image)


class Decoder(nn.Module):
  """Transposed convolutions 4x4 stride 2, all but the last with a norm and LeakyReLU."""

  def __init__(self, channels, widths, out, norm=nn.BatchNorm2d, leak=0.2):
    super().__init__()
    blocks = []
    for before, after in zip((channels, *widths), widths, strict=False):
      blocks += [
        nn.ConvTranspose2d(before, after, 4, 2, 1),
        norm(after),
        nn.LeakyReLU(leak),
      ]
    self.main = nn.Sequential(*blocks, nn.ConvTranspose2d(widths[-1], out, 4, 2, 1))

  def forward(self, common, separate):
    return self.main(torch.cat([common, separate], dim=1))


class Discriminator(nn.Module):
  """[B, C, h, w] codes -> probability [B] that they come from images with the content."""

  def __init__(self, features, width):
    super().__init__()
    self.classify = nn.Sequential(
      nn.Linear(features, width), nn.LeakyReLU(0.2), nn.Linear(width, 1), nn.Sigmoid()
    )

  def forward(self, code):
    return self.classify(code.flatten(1))[:, 0]


class ContentTransfer:
  """Networks, optimizers and the training step; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    image_size=128,
    width=32,
    depth=6,
    separate_channels=25,
    discriminator_width=512,
    weights=None,
  ):
    full, common, separate, decoder = widths(width, depth, separate_channels)
    pixels = (image_size // 2**depth) ** 2
    self.networks = nn.ModuleDict(
      {
        'e1': Encoder(common),
        'e2': Encoder(separate),
        'd_a': Decoder(full[-1], decoder, 3),
        'd_b': Decoder(full[-1], decoder, 4),
        'disc': Discriminator(common[-1] * pixels, discriminator_width),
      }
    )
    self.e1, self.e2, self.d_a, self.d_b, self.disc = self.networks.values()
    self.weights = GLASSES if weights is None else weights
    self.autoencoder_parameters = [
      p for name in ('e1', 'e2', 'd_a', 'd_b') for p in self.networks[name].parameters()
    ]
    self.discriminator_parameters = list(self.disc.parameters())
    self.autoencoder_optimizer, self.discriminator_optimizer = (
      torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))
      for parameters in (self.autoencoder_parameters, self.discriminator_parameters)
    )

  def without(self, common):
    """D_A: images without the content, from common codes alone."""
    zeros = common.new_zeros(
      common.shape[0], self.e2.full[-2].num_features, *common.shape[2:]
    )
    return torch.tanh(self.d_a(common, zeros))

  def decode(self, common, separate, background):
    """D_B and composition -> (mask [B, 1, H, W], raw [B, 3, H, W], composite [B, 3, H, W])."""
    output = self.d_b(common, separate)
    mask, raw = torch.sigmoid(output[:, :1]), torch.tanh(output[:, 1:])
    return mask, raw, mask * raw + (1 - mask) * background

  def autoencoder_losses(self, a, b):
    """Every term of the autoencoder's loss, unweighted, in the order the authors compute them."""
    c_b, s_b, c_a = self.e1(b), self.e2(b), self.e1(a)
    without_b = self.without(c_b)
    recon1_b = self.decode(c_b, s_b, without_b)[2]
    without_a = self.without(c_a)
    z_ab = self.decode(c_a, s_b, a)[2]
    z_aa = self.decode(c_a, torch.zeros_like(s_b), a)[2]
    z_bb = self.decode(c_b, s_b, b)[2]
    cycle_common, cycle_separate = self.e1(z_ab), self.e2(z_ab)
    predictions = self.disc(c_a), self.disc(c_b)
    return {
      'recon1_a': functional.l1_loss(without_a, a),
      'recon1_b': functional.l1_loss(recon1_b, b),
      'cycle': functional.mse_loss(cycle_separate, s_b),
      'cycle_common': functional.mse_loss(
        cycle_common, c_a
      ),  # the authors weigh it with 0
      'recon2_a': functional.l1_loss(z_aa, a),
      'recon2_b': functional.l1_loss(z_bb, b),
      'domain_confusion': sum(
        functional.binary_cross_entropy(p, torch.zeros_like(p)) for p in predictions
      ),
    }

  def autoencoder_loss(self, a, b):
    """The weighted sum."""
    losses = self.autoencoder_losses(a, b)
    return sum(weight * losses[name] for name, weight in self.weights.items())

  def discriminator_loss(self, a, b):
    """Codes of b are 1, codes of a are 0; codes are computed anew with the current encoder."""
    with torch.no_grad():
      c_b, c_a = self.e1(b), self.e1(a)
    of_b, of_a = self.disc(c_b), self.disc(c_a)
    return functional.binary_cross_entropy(
      of_b, torch.ones_like(of_b)
    ) + functional.binary_cross_entropy(of_a, torch.zeros_like(of_a))

  def train_step(self, a, b):
    """One iteration: the autoencoder, then the discriminator. Returns both losses."""
    self.networks.train()
    losses = []
    for loss, optimizer in (
      (self.autoencoder_loss, self.autoencoder_optimizer),
      (self.discriminator_loss, self.discriminator_optimizer),
    ):
      self.networks.zero_grad()
      value = loss(a, b)
      value.backward()
      if optimizer is self.autoencoder_optimizer:
        # The authors' second call of this clips nothing: it is given a generator that Adam has
        # exhausted.
        nn.utils.clip_grad_norm_(self.autoencoder_parameters, 5.0)
      optimizer.step()
      losses.append(value.item())
    return tuple(losses)

  # Inference.

  @torch.no_grad()
  def translate(self, source, exemplar):
    """Evaluation mode: (mask, raw, composite) of z(source, exemplar)."""
    self.networks.eval()
    return self.decode(self.e1(source), self.e2(exemplar), source)

  @torch.no_grad()
  def remove(self, image, threshold=0.1):
    """Evaluation mode: D_A inside the binarised mask, the image outside.

    D_A is given the separate code too, as the authors' removal script does.
    """
    mask = (self.translate(image, image)[0] >= threshold).float()
    unmasked = torch.tanh(self.d_a(self.e1(image), self.e2(image)))
    return mask * unmasked + (1 - mask) * image


def state_dicts(groups, pixels):
  """maskgan_jax's pytrees in the authors' layout: {'e1': {name: tensor}, ...}.

  Args:
    groups: 'common_encoder', ... -> nested dicts of arrays: parameters, gradients or batch_stats.
    pixels: (height, width) of the codes, for the discriminator's first layer.
  """
  names = {
    'common_encoder': 'e1.full',
    'separate_encoder': 'e2.full',
    'decoder_a': 'd_a.main',
    'decoder_b': 'd_b.main',
    'decoder': 'decoder.main',  # torch_press.py
    'discriminator': 'disc.classify',
  }
  layouts = {'DownConv': (3, 2, 0, 1), 'UpConv': (2, 3, 0, 1)}
  result = {}
  for group, layers in groups.items():
    network, sequence = names[group].split('.')
    tensors = result.setdefault(network, {})
    for layer, leaves in layers.items():
      kind, index = layer.split('_')
      position = int(index) * (2 if kind == 'Linear' else 3) + (kind == 'BatchNorm')
      for leaf, value in leaves.get('Dense_0', leaves).items():
        value = torch.from_numpy(np.array(value))
        if leaf == 'kernel' and kind == 'Linear':
          if (
            layer == 'Linear_0'
          ):  # rows are (row, column, channel) here, the reverse there
            value = (
              value.reshape(*pixels, -1, value.shape[1])
              .permute(2, 0, 1, 3)
              .flatten(0, 2)
            )
          value = value.T
        elif leaf == 'kernel':
          value = value.permute(layouts[kind])
        name = {
          'kernel': 'weight',
          'scale': 'weight',
          'bias': 'bias',
          'mean': 'running_mean',
          'var': 'running_var',
        }[leaf]
        tensors[f'{sequence}.{position}.{name}'] = value.contiguous()
  return result


def load(model, params, batch_stats, pixels):
  """Gives the networks of a ContentTransfer the numbers of maskgan_jax's."""
  statistics_of = state_dicts(batch_stats, pixels)
  for network, tensors in state_dicts(params, pixels).items():
    model.networks[network].load_state_dict(
      {
        **model.networks[network].state_dict(),
        **tensors,
        **statistics_of.get(network, {}),
      }
    )


def time_step(*, image_size, batch_size, steps, device, **sizes):
  """Median milliseconds of a training step on random images that are on the device already; three
  more come before them."""
  torch.manual_seed(0)
  model = ContentTransfer(image_size=image_size, **sizes)
  twin_command.place(model.networks.values(), device)
  a, b = (
    torch.rand(batch_size, 3, image_size, image_size, device=device) * 2 - 1
    for _ in range(2)
  )
  times = []
  for _ in range(3 + steps):
    start = time.perf_counter()
    model.train_step(a, b)  # reads both losses, so it ends when the device has
    times.append(time.perf_counter() - start)
  return 1000 * statistics.median(times[3:])


def main():
  twin_command.main(
    __doc__,
    time_step,
    {
      'image_size': 128,
      'batch_size': 32,
      'width': 32,
      'depth': 6,
      'separate_channels': 25,
      'discriminator_width': 512,
      'steps': 20,
    },
  )


if __name__ == '__main__':
  main()
