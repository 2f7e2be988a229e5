"""Checksums of the files below a folder, which show those that changed or are gone."""

from collections.abc import Iterable, Iterator
import json
import os
import zlib

from etils import epath

from maskgan_jax import files

FILE_NAME = 'files.json'


def write(folder: epath.Path) -> None:
  """Writes `files.json` with size and CRC-32 of every file in the folders of `folder`."""
  checksums = {}
  for child in folder.iterdir():
    if child.is_dir():
      for path in _files_below(child):
        checksums[os.fspath(path.relative_to(folder))] = _checksum(path)
  text = json.dumps(checksums, indent=0, sort_keys=True)
  if '://' in os.fspath(folder):  # an object store writes whole objects anyway
    (folder / FILE_NAME).write_text(text)
  else:
    files.write_atomically(folder / FILE_NAME, text)


def damage(folder: epath.Path, names: Iterable[str]) -> str:
  """Says what is wrong with the files in the named folders of `folder`, or ''."""
  names = tuple(names)
  # The list of checksums may be damaged itself.
  try:
    checksums = json.loads((folder / FILE_NAME).read_text())
    for name, checksum in checksums.items():
      if name.split('/')[0] in names and _checksum(folder / name) != checksum:
        return f'{name} is damaged'
  except FileNotFoundError as error:
    return f'{os.path.basename(error.filename or "a file")} is missing'
  except OSError as error:
    return f'its files cannot be read: {error.strerror or error}'
  except (ValueError, AttributeError):
    return f'{FILE_NAME} is damaged'
  return ''


def _files_below(folder: epath.Path) -> Iterator[epath.Path]:
  """Yields the files in a folder, at any depth."""
  for path in folder.iterdir():
    if path.is_dir():
      yield from _files_below(path)
    else:
      yield path


def _checksum(path: epath.Path) -> list[int]:
  """Returns [size, CRC-32]."""
  size = checksum = 0
  with path.open('rb') as file:
    while chunk := file.read(1 << 24):
      size += len(chunk)
      checksum = zlib.crc32(chunk, checksum)
  return [size, checksum]
