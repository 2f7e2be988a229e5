"""Cloud TPU chips and slices by their published figures; how long an all-reduce takes on them."""

import dataclasses
import math
import re

from maskgan_jax import errors

_HOP_SECONDS = 1e-6  # a message's way to a neighbour; an assumption, about what is reported


@dataclasses.dataclass(frozen=True)
class Chip:
  """One chip, as docs.cloud.google.com/tpu/docs/<name> has it (read in November 2026).

  Attributes:
    name: as topologies are named.
    flops: bfloat16 multiply-adds count twice; float32 convolutions run at this rate too, in one
      bfloat16 pass, unless jax_default_matmul_precision says otherwise.
    memory: bytes of HBM.
    bandwidth: of HBM, bytes a second.
    link: bytes a second one way over one of its links to a neighbour: the published bidirectional
      bandwidth over the number of links and two.
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
_CUBES = ((1, 1, 1), (2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8), (4, 8, 8))
_MEGACORE = (('chip_config_name', 'megacore'),)  # both cores as one device, which is how they run

CHIPS = {chip.name: chip for chip in (
    Chip('v4', 275e12, 32 << 30, 1200e9, 50e9, _CUBES, 4, _MEGACORE),
    Chip('v5e', 197e12, 16 << 30, 819e9, 50e9, _PLANES, 16),
    Chip('v5p', 459e12, 95 << 30, 2765e9, 100e9, _CUBES, 4, _MEGACORE),
    Chip('v6e', 918e12, 32 << 30, 1638e9, 100e9, _PLANES, 16),
)}


@dataclasses.dataclass(frozen=True)
class Slice:
  """Chips of one kind that are linked as a mesh or torus."""
  chip: Chip
  shape: tuple[int, ...]

  @property
  def chips(self) -> int:
    return math.prod(self.shape)

  @property
  def name(self) -> str:
    return f'{self.chip.name}:{"x".join(map(str, self.shape))}'

  def all_reduce_seconds(self, count: float, size: float) -> float:
    """What `count` all-reduces of `size` bytes in all take, one after the other, nothing hidden.

    Each chip sends 2 (n - 1) / n of the bytes, spread evenly over its links: two for each axis that
    is a ring, one for each that is not. Each all-reduce takes a message to the farthest chip and
    back, besides.
    """
    links = hops = 0
    for length in self.shape:
      ring = length % self.chip.wrap == 0
      links += (length > 1) * (1 + ring)
      hops += length // 2 if ring else length - 1
    if not links:
      return 0.0
    sent = 2 * (self.chips - 1) / self.chips * size
    return sent / (links * self.chip.link) + count * 2 * hops * _HOP_SECONDS

  def compute_seconds(self, flops: float, moved: float) -> float:
    """The least time that one chip takes for these FLOPs and bytes to and from its memory."""
    return max(flops / self.chip.flops, moved / self.chip.bandwidth)


def parse(topology: str) -> Slice:
  """The slice that e.g. 'v5e:4x8' or 'v4:2x2x4' names; UserError for what is none."""
  name, _, shape = topology.partition(':')
  if name not in CHIPS:
    raise errors.UserError(f'--topology={topology}: unknown chip {name!r}'
                           f'{errors.nearest(name, CHIPS)}; known: {", ".join(CHIPS)}')
  chip = CHIPS[name]
  axes = len(chip.shapes[0])
  example = f'{name}:{"x".join(map(str, chip.shapes[3]))}'
  if not re.fullmatch(r'\d+(x\d+)*', shape) or shape.count('x') + 1 != axes:
    raise errors.UserError(f'--topology={topology}: slices of {name} have {axes} sides, such as '
                           f'{example}')
  sides = tuple(map(int, shape.split('x')))
  if math.prod(sides) != 1 and any(side % unit for side, unit in zip(sides, (2, 2, 1)[:axes],
                                                                     strict=True)):
    raise errors.UserError(f'--topology={topology}: hosts have 2x2 chips, so the first two sides '
                           f'are even (or all are 1), such as {example}')
  if not 1 <= math.prod(sides) <= 8192:
    raise errors.UserError(f'--topology={topology}: a slice has 1 to 8,192 chips')
  return Slice(chip, sides)
