"""Press et al. in plain eager PyTorch: the yardstick for speed and the oracle of the tests.

The four networks and the whole official training step, written from the layer list of the paper's
authors' code: content transfer's encoders and discriminator, with instance normalisation, and one
decoder with ReLU. Module names give state dicts the authors' checkpoint layout.

  python benchmarks/torch_press.py --image_size=32 --batch_size=32 --width=16 --depth=4
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
import torch_content_transfer as content_transfer
import twin_command


class Press:
  """Networks, optimizers and the training step; images are float32 NCHW in [-1, 1]."""

  def __init__(
    self,
    *,
    image_size=128,
    width=32,
    depth=6,
    separate_channels=25,
    discriminator_width=512,
    weight=0.001,
  ):
    full, common, separate, decoder = content_transfer.widths(
      width, depth, separate_channels
    )
    pixels = (image_size // 2**depth) ** 2
    norm = nn.InstanceNorm2d  # without scale, bias and running averages
    self.networks = nn.ModuleDict(
      {
        'e1': content_transfer.Encoder(common, norm),
        'e2': content_transfer.Encoder(separate, norm),
        'decoder': content_transfer.Decoder(full[-1], decoder, 3, norm, leak=0.0),
        'disc': content_transfer.Discriminator(
          common[-1] * pixels, discriminator_width
        ),
      }
    )
    self.e1, self.e2, self.decoder, self.disc = self.networks.values()
    self.weight = weight  # of the domain confusion
    self.autoencoder_parameters = [
      p for name in ('e1', 'e2', 'decoder') for p in self.networks[name].parameters()
    ]
    self.autoencoder_optimizer, self.discriminator_optimizer = (
      torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))
      for parameters in (self.autoencoder_parameters, list(self.disc.parameters()))
    )

  def decode(self, common, separate):
    """An image [B, 3, H, W] of two codes."""
    return torch.tanh(self.decoder(common, separate))

  def without(self, common):
    """An image of a common code alone."""
    channels = self.e2.full[-2].num_features
    zeros = common.new_zeros(common.shape[0], channels, *common.shape[2:])
    return self.decode(common, zeros)

  def autoencoder_losses(self, a, b):
    """Every term of the autoencoder's loss, unweighted."""
    c_b, c_a = self.e1(b), self.e1(a)
    predictions = self.disc(c_b), self.disc(c_a)
    return {
      'recon_b': functional.mse_loss(self.decode(c_b, self.e2(b)), b),
      'recon_a': functional.mse_loss(self.without(c_a), a),
      'domain_confusion': sum(
        functional.binary_cross_entropy(p, torch.zeros_like(p)) for p in predictions
      ),
    }

  def autoencoder_loss(self, a, b):
    """The weighted sum."""
    losses = self.autoencoder_losses(a, b)
    reconstruction = losses['recon_a'] + losses['recon_b']
    return reconstruction + self.weight * losses['domain_confusion']

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
    """The source with the exemplar's content."""
    return self.decode(self.e1(source), self.e2(exemplar))

  @torch.no_grad()
  def remove(self, image):
    """The image without its content."""
    return self.without(self.e1(image))

  @torch.no_grad()
  def interpolate(self, source, exemplar_1, exemplar_2, weight):
    """The source with a content between those of two exemplars."""
    separate = (1 - weight) * self.e2(exemplar_1) + weight * self.e2(exemplar_2)
    return self.decode(self.e1(source), separate)


def load(model, params, pixels):
  """Gives the networks of a Press the numbers of maskgan_jax's; `pixels` of the codes."""
  for network, tensors in content_transfer.state_dicts(params, pixels).items():
    model.networks[network].load_state_dict(tensors)


def time_step(*, image_size, batch_size, steps, device, **sizes):
  """Median milliseconds of a training step on random images that are on the device already; three
  more come before them."""
  torch.manual_seed(0)
  model = Press(image_size=image_size, **sizes)
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
