"""Cloud TPU chips and slices by their published figures; how long an all-reduce takes on them."""

import dataclasses
import math
import re

from maskgan_jax import errors

# A message's way to a neighbour; an assumption of about what is reported.
_HOP_SECONDS = 1e-6
_MOST_CHIPS = 8192


@dataclasses.dataclass(frozen=True)
class Chip:
  """One chip, as docs.cloud.google.com/tpu/docs/<name> has it (read in November 2026).

  Attributes:
    name: as topologies are named.
    flops: bfloat16 multiply-adds count twice; float32 convolutions run at this rate too,
      in one bfloat16 pass, unless jax_default_matmul_precision says otherwise.
    memory: bytes of HBM.
    bandwidth: of HBM, bytes a second.
    link: bytes a second one way over one of its links to a neighbour: the published
      bidirectional bandwidth over the number of links and two.
    shapes: of slices, from 1 chip to 256, that are offered (the first is for comparison).
    wrap: an axis of a slice is a ring if its length is a multiple of this.
    compiler: options of libtpu's topology.
  """

  name: str
  flops: float
  memory: int
  bandwidth: float
  link: float
  shapes: tuple[tuple[int, ...], ...]
  wrap: int
  compiler: tuple[tuple[str, str], ...] = ()


_PLANES = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_CUBES = (
  (1, 1, 1),
  (2, 2, 1),
  (2, 2, 2),
  (2, 2, 4),
  (2, 4, 4),
  (4, 4, 4),
  (4, 4, 8),
  (4, 8, 8),
)
_MEGACORE = (('chip_config_name', 'megacore'),)  # both cores run as one device

CHIPS = {
  chip.name: chip
  for chip in (
    Chip('v4', 275e12, 32 << 30, 1200e9, 50e9, _CUBES, 4, _MEGACORE),
    Chip('v5e', 197e12, 16 << 30, 819e9, 50e9, _PLANES, 16),
    Chip('v5p', 459e12, 95 << 30, 2765e9, 100e9, _CUBES, 4, _MEGACORE),
    Chip('v6e', 918e12, 32 << 30, 1638e9, 100e9, _PLANES, 16),
  )
}


@dataclasses.dataclass(frozen=True)
class Slice:
  """Chips of one kind that are linked as a mesh or torus."""

  chip: Chip
  shape: tuple[int, ...]

  @property
  def chips(self) -> int:
    """The number of chips."""
    return math.prod(self.shape)

  @property
  def name(self) -> str:
    """The slice as --topology names it, e.g. 'v5e:4x8'."""
    return f'{self.chip.name}:{"x".join(map(str, self.shape))}'

  def all_reduce_seconds(self, count: float, size: float) -> float:
    """Returns the time of `count` all-reduces of `size` bytes in all, one after another.

    Each chip sends 2 (n - 1) / n of the bytes, spread evenly over its links: two for each
    axis that is a ring, one for each that is not. Besides, each all-reduce takes a message
    to the farthest chip and back.
    """
    # Only axes with several chips have links; a ring is twice as fast as a line.
    links = hops = 0
    for length in self.shape:
      is_ring = length % self.chip.wrap == 0
      links += (length > 1) * (1 + is_ring)
      hops += length // 2 if is_ring else length - 1
    if not links:
      return 0.0
    sent = 2 * (self.chips - 1) / self.chips * size
    return sent / (links * self.chip.link) + count * 2 * hops * _HOP_SECONDS

  def compute_seconds(self, flops: float, moved: float) -> float:
    """Returns the least time that a chip takes for these FLOPs and bytes of its memory."""
    return max(flops / self.chip.flops, moved / self.chip.bandwidth)


def parse(topology: str) -> Slice:
  """Returns the slice that e.g. 'v5e:4x8' or 'v4:2x2x4' names; UserError for any other text."""
  name, _, shape = topology.partition(':')
  if name not in CHIPS:
    raise errors.UserError(
      f'--topology={topology}: unknown chip {name!r}'
      f'{errors.nearest(name, CHIPS)}; known: {", ".join(CHIPS)}'
    )
  chip = CHIPS[name]

  # The shape has as many sides as the chips' network has axes.
  axes = len(chip.shapes[0])
  example = Slice(chip, chip.shapes[3]).name
  if not re.fullmatch(r'\d+(x\d+)*', shape) or shape.count('x') + 1 != axes:
    raise errors.UserError(
      f'--topology={topology}: slices of {name} have {axes} sides, such as {example}'
    )

  # Hosts have 2x2 chips; only a slice of one chip has less.
  sides = tuple(map(int, shape.split('x')))
  is_one_chip = math.prod(sides) == 1
  if not is_one_chip and (sides[0] % 2 or sides[1] % 2):
    raise errors.UserError(
      f'--topology={topology}: hosts have 2x2 chips, so the first two sides '
      f'are even (or all are 1), such as {example}'
    )
  if not 1 <= math.prod(sides) <= _MOST_CHIPS:
    raise errors.UserError(
      f'--topology={topology}: a slice has 1 to {_MOST_CHIPS:,} chips'
    )
  return Slice(chip, sides)
