"""A translator on the page, with pictures to try it on."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import itertools
import threading

import numpy as np

from maskgan_jax import errors
from maskgan_jax.data import images
from maskgan_jax.methods import base
from maskgan_jax.translator import Fitted, Translator

ROLES = ('source', 'exemplar')


@dataclasses.dataclass(frozen=True)
class Model:
  """A translator, and pictures of both domains to try it on.

  Attributes:
    translator: the model.
    examples: role -> pictures, uint8 [H, W, 3].
  """

  translator: Translator
  examples: Mapping[str, Sequence[np.ndarray]] = dataclasses.field(default_factory=dict)

  @property
  def shape(self) -> tuple[int, int]:
    """Height and width of its pictures, pixels."""
    return base.image_shape(self.translator.config)

  def can(self, ability: str) -> bool:
    """Returns whether the method has the ability."""
    return ability in self.translator.abilities

  @property
  def roles(self) -> tuple[str, ...]:
    """The pictures that the method takes."""
    return ROLES if self.can('exemplar') else ROLES[:1]

  @property
  def masked_roles(self) -> tuple[str, ...]:
    """The pictures whose masks can be painted."""
    return tuple(role for role in ROLES if self.can(f'{role}_mask'))

  def load(
    self, data: bytes, name: str, note: Callable[[str], None] = print
  ) -> np.ndarray:
    """Returns a visitor's file at the model's resolution; notes what may surprise about it."""
    return self.fit(data, name, note).image

  def fit(
    self,
    data: bytes,
    name: str,
    note: Callable[[str], None] = print,
    region: Sequence[float] | None = None,
  ) -> Fitted:
    """Returns the same with the file it came from; `region` is what the model is to see of it."""
    max_pixels = min(images.MAX_PIXELS, self.translator.config.data.max_pixels)
    fitted = self.translator.fit(data, name=name, max_pixels=max_pixels, region=region)
    for remark in filter(None, fitted.remarks):
      note(remark)
    return fitted

  def warm_up(self) -> threading.Thread:
    """Starts to compile the programs that a visitor's first clicks need."""
    # Not a daemon: a daemon that ends while it compiles ends the process with a message.
    thread = threading.Thread(target=self._compile)
    thread.start()
    return thread

  def _compile(self) -> None:
    picture = np.zeros((*self.shape, 3), np.uint8)
    mask = np.ones(self.shape, np.float32)
    names = [f'{role}_mask' for role in self.roles if role in self.masked_roles]
    for count in range(len(names) + 1):
      for given in itertools.combinations(names, count):
        if not threading.main_thread().is_alive():
          return
        with contextlib.suppress(
          errors.NotFiniteError
        ):  # the page reports it to its visitors
          self.translator(*[picture] * len(self.roles), **dict.fromkeys(given, mask))
