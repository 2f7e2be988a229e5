"""Says which pictures lie among those of a data set and are not used, since that goes unnoticed.

They are pictures in other folders, links that lead nowhere, pipes, and files of formats that are
not read.
"""

from collections.abc import Iterator, Sequence
import itertools
import os

from maskgan_jax.data import images, predicates
from maskgan_jax.data.sources import files as file_records

_MOST_FOLDERS = 200  # searched besides those in use; the root may be a home directory
_SHOWN = 3  # names of a kind

# `check_data` writes it where it is called, perhaps in the root.
CONTACT_SHEET = 'check_data.png'


def describe(root: str, used: Sequence[str], apart: Sequence[str] = ()) -> str:
  """Returns what a root folder has besides the pictures that are used, or ''.

  Args:
    root: the folder.
    used: folders whose pictures are used, relative to it; '' is the root itself.
    apart: folders that serve another purpose, such as masks, or pictures in them; '' is none.
  """
  # Files that look like pictures beside those that are used.
  links, special, unread = [], [], []
  for folder in used:
    for name in file_records.list_files(os.path.join(root, folder), _is_unusable):
      path = os.path.join(folder, name)
      if images.is_unread(name):
        unread.append(path)
      elif os.path.exists(os.path.join(root, path)):
        special.append(path)
      else:
        links.append(path)

  # Folders whose pictures are not used.
  folders, pictures = [], 0
  for folder in itertools.islice(_others(root, used, apart), _MOST_FOLDERS):
    count = _count_pictures(root, folder)
    pictures += count
    if count:
      folders.append(folder or '.')

  texts = []
  for kind, names in (
    (f'{pictures} pictures in folders that are not looked into', folders),
    (f'{len(links)} links to files that are not there', links),
    (f'{len(special)} pipes or devices', special),
    (f'{len(unread)} files of formats to be converted to PNG or JPEG', unread),
  ):
    if names:
      texts.append(f'{kind} ({predicates.shortlist(names, _SHOWN)})')
  return f'not used: {"; ".join(texts)}' if texts else ''


def _is_unusable(entry: os.DirEntry) -> bool:
  """Returns whether an entry of a folder looks like a picture and cannot be read as one."""
  if file_records.is_folder(entry):
    return False
  if images.is_unread(entry.name):
    return True
  return images.is_image_name(entry.name) and not file_records.is_file(entry)


def _count_pictures(root: str, folder: str) -> int:
  """Returns the number of pictures directly in a folder, without the contact sheet of the root."""
  names = file_records.list_images(os.path.join(root, folder))
  if not folder and CONTACT_SHEET in names:
    names.remove(CONTACT_SHEET)
  return len(names)


def _others(root: str, used: Sequence[str], apart: Sequence[str]) -> Iterator[str]:
  """Yields folders that a user may take for used: beside, above and below those that are.

  Paths are relative to the root; a folder that two names lead to comes once.
  """
  seen = {os.path.realpath(os.path.join(root, folder)) for folder in used}
  for place in filter(None, apart):
    seen.add(os.path.realpath(_folder_of(os.path.expanduser(place))))
  for folder in _around(root, used):
    place = os.path.realpath(os.path.join(root, folder))
    if place not in seen and os.access(place, os.R_OK | os.X_OK):
      seen.add(place)
      yield folder


def _around(root: str, used: Sequence[str]) -> Iterator[str]:
  """Yields the folders above, beside and below those in use, perhaps several times."""
  above = sorted({'', *map(os.path.dirname, used)})
  yield from above
  for folder in above:
    for name in file_records.list_folders(os.path.join(root, folder)):
      yield os.path.join(folder, name)
  for folder in used:
    yield from _below(root, folder)


def _folder_of(place: str) -> str:
  """Returns a folder as it is, and the folder of a picture, which need not be there yet."""
  is_picture = images.is_image_name(place) and not os.path.isdir(place)
  return os.path.dirname(place) if is_picture else place


def _below(root: str, folder: str) -> Iterator[str]:
  """Yields the folders below one, at any depth, that are not hidden."""
  for parent, folders, _ in os.walk(os.path.join(root, folder)):
    folders[:] = sorted(name for name in folders if not name.startswith(('.', '__')))
    for name in folders:
      yield os.path.relpath(os.path.join(parent, name), root)
