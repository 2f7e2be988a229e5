"""The masks that training sees: those of a share of the training pictures that have one."""

from collections.abc import Sequence

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import pictures, transforms
from maskgan_jax.data.records import fewest_by_hash, Records


class TrainingMasks:
  """Which training pictures come with their masks, and the masks."""

  def __init__(
    self,
    records: Records,
    domains: tuple[np.ndarray, np.ndarray],
    names: Sequence[str],
    share: float,
  ):
    """Chooses the pictures.

    Args:
      records: of the training split.
      domains: record numbers of a and b.
      names: attributes whose masks are laid over each other.
      share: of each domain's pictures with a mask, chosen by hash of the name, one at least: the
        pictures of a smaller share are among those of a larger one.
    """
    self._records, self._names, self._share = records, tuple(names), share
    self._chosen = []
    for members in domains:
      masked = [i for i in members.tolist() if records.has_mask(i, self._names)]
      count = max(1, round(share * len(masked)))
      self._chosen.append(fewest_by_hash(records, np.array(masked, np.int64), count))

  def counts(self) -> dict[str, int]:
    """Returns how many pictures of a and of b come with their masks."""
    return {
      domain: len(chosen) for domain, chosen in zip('ab', self._chosen, strict=True)
    }

  def facts(self) -> dict[str, object]:
    """Returns what training depends on."""
    chosen = [members.tolist() for members in self._chosen]
    return {'masks': self._names, 'masks_given': chosen}

  def mask(self, index: int) -> np.ndarray | None:
    """Returns the mask of a record, float32 [H, W] as stored; None where there is none.

    A mask of nothing would say that nothing may change. A drawn picture that does not show the
    attributes thus counts as one without a mask.

    Raises:
      UserError: a file that cannot be used, or that marks no pixel.
    """
    mask = self._records.mask_of(index, self._names)
    if mask is None or mask.any():
      return mask
    if self._records.knows_transfers:
      return None
    raise errors.UserError(
      f'the mask of {self._records.name(index)} marks no pixel, as if nothing of the picture may '
      'change; draw it, or remove it if the picture is to have none'
    )

  def stack(
    self, transform: transforms.Transform, used: np.ndarray, *, keep: bool
  ) -> 'MaskPictures':
    """Returns the masks of the record numbers `used`; see `pictures.Pictures`.

    Raises:
      UserError: there is not a single mask, although the config asks for them.
    """
    if not any(map(len, self._chosen)):
      raise errors.UserError(
        f'config.data.masks_share is {self._share:g}, but no training picture has a mask; name '
        'their folder in config.data.masks_path, or set masks_share to 0'
      )
    given = frozenset(np.union1d(*self._chosen).tolist())
    return MaskPictures(self, given, self._records, transform, used, keep=keep)


class MaskPictures(pictures.Pictures):
  """The masks of records, taken through the pictures' transform, as uint8 [N, H, W, 1].

  The mask of a record that has none, or whose mask training does not see, is 0 throughout.
  """

  channels = 1

  def __init__(
    self,
    masks: TrainingMasks,
    given: frozenset[int],
    records: Records,
    transform: transforms.Transform,
    used: np.ndarray,
    *,
    keep: bool,
  ):
    """Serves the masks of the record numbers `given` among those `used`."""
    self._masks, self._given = masks, given
    super().__init__(records, transform, used, keep=keep)

  def _prepare(self, index):
    index = int(index)
    mask = self._masks.mask(index) if index in self._given else None
    if mask is None:
      return np.zeros((*self._transform.stored_shape, 1), np.uint8)
    mask = self._transform.fixed(mask, self._records.name(index))
    return np.rint(255 * mask).astype(np.uint8)[..., None]
