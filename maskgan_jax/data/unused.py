"""Says which pictures lie among those of a data set and are not used; they go unnoticed otherwise.

They are pictures in other folders, links that lead nowhere, pipes, and files of formats that are
not read.
"""

from collections.abc import Iterator, Sequence
import itertools
import os

from maskgan_jax.data import images, predicates
from maskgan_jax.data.sources import files as file_records

_MOST_FOLDERS = 200  # that are looked into besides those in use; someone may name a home directory
_SHOWN = 3  # names of a kind

CONTACT_SHEET = 'check_data.png'  # which `check_data` puts where it is called, perhaps in the root


def describe(root: str, used: Sequence[str], apart: Sequence[str] = ()) -> str:
  """Returns what is not used of a root folder whose pictures directly in `used` are, or ''.

  Args:
    root: the folder.
    used: folders whose pictures are used, relative to it; '' is the root itself.
    apart: folders that serve another purpose, such as masks, or pictures in them; '' is none.
  """
  links, special, unread = [], [], []
  for folder in used:
    place = os.path.join(root, folder)
    unread += [os.path.join(folder, name) for name in file_records.list_files(
        place, lambda entry: images.is_unread(entry.name) and not file_records.is_folder(entry))]
    for name in file_records.list_files(place, lambda entry: images.is_image_name(entry.name)
                                        and not file_records.is_file(entry)
                                        and not file_records.is_folder(entry)):
      name = os.path.join(folder, name)
      (special if os.path.exists(os.path.join(root, name)) else links).append(name)
  others = itertools.islice(_others(root, used, apart), _MOST_FOLDERS)
  counts = {folder or '.': _count_pictures(root, folder) for folder in others}
  elsewhere = [folder for folder, count in counts.items() if count]
  kinds = {f'{sum(counts.values())} pictures in folders that are not looked into': elsewhere,
           f'{len(links)} links to files that are not there': links,
           f'{len(special)} pipes or devices': special,
           f'{len(unread)} files of formats to be converted to PNG or JPEG': unread}
  parts = [f'{what} ({predicates.shortlist(names, _SHOWN)})'
           for what, names in kinds.items() if names]
  return f'not used: {"; ".join(parts)}' if parts else ''


def _count_pictures(root: str, folder: str) -> int:
  names = file_records.list_images(os.path.join(root, folder))
  return len(names) - (not folder and CONTACT_SHEET in names)


def _others(root: str, used: Sequence[str], apart: Sequence[str]) -> Iterator[str]:
  """Yields other folders that someone may think are used: beside, above and below those that are.

  Paths are relative to the root; a folder that two names lead to comes once.
  """
  seen = {os.path.realpath(os.path.join(root, folder)) for folder in used}
  seen |= {os.path.realpath(_folder_of(os.path.expanduser(place))) for place in apart if place}
  above = sorted({os.path.dirname(folder) for folder in used} | {''})
  beside = [os.path.join(folder, name) for folder in above
            for name in file_records.list_folders(os.path.join(root, folder))]
  below = (inside for folder in used for inside in _below(root, folder))
  for folder in itertools.chain(above, beside, below):
    place = os.path.realpath(os.path.join(root, folder))
    if place not in seen and os.access(place, os.R_OK | os.X_OK):
      seen.add(place)
      yield folder


def _folder_of(place: str) -> str:
  """A folder, or that of a picture, which need not be there yet."""
  is_picture = images.is_image_name(place) and not os.path.isdir(place)
  return os.path.dirname(place) if is_picture else place


def _below(root: str, folder: str) -> Iterator[str]:
  for parent, folders, _ in os.walk(os.path.join(root, folder)):
    folders[:] = sorted(name for name in folders if not name.startswith(('.', '__')))
    yield from (os.path.relpath(os.path.join(parent, name), root) for name in folders)
