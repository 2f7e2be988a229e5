"""Says whether the faces of training pictures lie alike, given their points."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses

import numpy as np

from maskgan_jax import errors
from maskgan_jax.check_data.examination import Examined
from maskgan_jax.data import landmarks, predicates
from maskgan_jax.data.landmarks import Faces, Template

_SHOWN = 5  # names in a line of the report
# How far a face may lie from where most lie.
_MOST_TURN = 10.0  # degrees
_MOST_SCALE = 1.25
_MOST_SHIFT = 0.1  # of the height


@dataclasses.dataclass(frozen=True)
class Alignment:
  """How the faces of the training pictures lie.

  Attributes:
    template: where most lie; None if no picture has points.
    read: pictures that were looked at.
    unnamed: names of pictures that the table does not have.
    crowded: names of pictures with several faces.
    wrong: messages about points.
    off: names of pictures whose face lies elsewhere.
  """

  template: Template | None
  read: int
  unnamed: list[str]
  crowded: list[str]
  wrong: list[str]
  off: list[str]

  def problems(self) -> Iterator[str]:
    """Yields sentences about them, the worst first."""
    faces = self.read - len(self.unnamed) - len(self.wrong)
    for names, problem in (
      (
        self.off,
        f'of {faces} have a face turned by more than {_MOST_TURN:.0f} degrees, larger or smaller '
        f'than {_MOST_SCALE:g} times, or shifted by more than {100 * _MOST_SHIFT:.0f} % of the '
        'height against the others: align them (docs/photographs.md)',
      ),
      (self.wrong, 'have wrong points'),
      (self.crowded, 'have several faces; only the first was looked at'),
      (self.unnamed, f'of {self.read} have no points in the table'),
    ):
      if names:
        shown = predicates.shortlist(names, _SHOWN)
        yield f'train: {len(names)} pictures {problem}: {shown}'


def alignment_of(
  examined: Mapping[tuple[str, str], Examined], faces: Faces
) -> Alignment:
  """Returns how the faces of the training pictures lie.

  Args:
    examined: the pictures by split and domain.
    faces: a table of their points.
  """
  size_by_name = {}
  for domain in 'ab':
    size_by_name |= examined['train', domain].size_by_name
  unnamed, crowded, wrong, points_by_name = [], [], [], {}
  for name, size in size_by_name.items():
    rows = faces.of(name)
    if not rows:
      unnamed.append(name)
      continue
    if len(rows) > 1:
      crowded.append(name)
    try:
      points_by_name[name] = landmarks.check(rows[0], size, name)
    except errors.UserError as error:
      wrong.append(str(error))
  found = len(size_by_name), unnamed, crowded, wrong
  if not points_by_name:
    return Alignment(None, *found, [])
  template, places = _usual(points_by_name, size_by_name)
  off = [name for name in places if _is_off(places[name], template, name)]
  return Alignment(template, *found, off)


def _usual(
  points_by_name: Mapping[str, np.ndarray], size_by_name: Mapping[str, Sequence[int]]
) -> tuple[Template, dict[str, np.ndarray]]:
  """Returns the median of the points, and the points, in pixels of the commonest size."""
  sizes = [tuple(size_by_name[name]) for name in points_by_name]
  height, width = max(set(sizes), key=sizes.count)
  places = {}
  for name, points in points_by_name.items():
    tall, wide = size_by_name[name]
    places[name] = points * (width / wide, height / tall)
  median = np.median(np.stack(list(places.values())), axis=0)
  return Template((height, width), median), places


def _is_off(points: np.ndarray, template: Template, name: str) -> bool:
  """Returns whether a face lies elsewhere than in the template."""
  try:
    a, b = landmarks.similarity(points, template, name)
  except errors.UserError:
    return True
  centre = template.points.mean(axis=0) @ (1, 1j)
  turn, scale = abs(np.degrees(np.angle(a))), max(abs(a), 1 / abs(a))
  shift = abs(a * centre + b - centre) / template.size[0]
  return bool(turn > _MOST_TURN or scale > _MOST_SCALE or shift > _MOST_SHIFT)
