"""Figures of compiled programs as Markdown tables."""

from collections.abc import Iterable
from typing import Any

from maskgan_jax.compile_for_tpu.chips import Slice

_PROGRAMS_HEAD = [
  '| program, on one chip | of iterations | GFLOP | GB moved | memory, GiB | of the chip | '
  'all-reduces | MB reduced | compute, ms | all-reduce, ms | compiled in, s |',
  '|---|' + '---:|' * 10,
]
_SCALING_HEAD = [
  '| slice | chips | batch | compute, ms | all-reduce, ms | images/s | efficiency |',
  '|---|' + '---:|' * 6,
]
_SIZES_HEAD = [
  '| pixels | rematerialised | memory, GiB | of it temporaries | fits | '
  'largest program |',
  '|---:|---|---:|---:|---|---|',
]


def text_of(figures: dict[str, Any], topology: Slice) -> str:
  """Returns the tables of `figures.measure`: programs, weak scaling, the largest batch."""
  chips, batch_size = figures['chips'], figures['batch_size']
  rematerialised = ', rematerialised' if figures['remat'] else ''
  lines = [
    f'{figures["config"]} ({figures["method"]}) on {topology.name}: {chips} chips of '
    f'{_gib(topology.chip.memory)} GiB, batch {batch_size} ({batch_size // chips} a chip), '
    f'{figures["image_size"]} pixels, {figures["compute_dtype"]}{rematerialised}',
    '',
  ]

  # A row a program.
  stages = {program['stage'] for program in figures['programs']}
  lines += _PROGRAMS_HEAD
  for program in figures['programs']:
    lines.append(_program_row(program, topology, several_stages=len(stages) > 1))

  # A row a slice.
  of_the_last_stage = ' of the last stage' if len(stages) > 1 else ''
  lines += [
    '',
    f'Weak scaling, an average iteration{of_the_last_stage} (estimates; real ones '
    'take longer):',
    '',
    *_SCALING_HEAD,
  ]
  for row in figures['weak_scaling']:
    lines.append(
      f'| {row["topology"]} | {row["chips"]} | {row["batch_size"]} | '
      f'{row["compute_ms"]:.2f} | {row["all_reduce_ms"]:.2f} | '
      f'{row["images_per_second"]:,.0f} | {row["efficiency"]:.1%} |'
    )
  if 'largest_batch_per_chip' in figures:
    lines += ['', _largest_batch(figures['largest_batch_per_chip'], chips)]
  return '\n'.join(lines) + '\n'


def _program_row(
  program: dict[str, Any], topology: Slice, *, several_stages: bool
) -> str:
  """Returns a program's line."""
  name = program['name']
  if several_stages and program['reductions']:  # a translation reduces nothing
    name += f' (stage {program["stage"] + 1})'
  cells = [
    name,
    f'{program["share"]:.0%}',
    f'{program["flops"] / 1e9:,.4g}',
    f'{program["moved"] / 1e9:,.3g}',
    _gib(program['memory']),
    f'{program["memory"] / topology.chip.memory:.0%}',
    f'{program["reductions"]}',
    f'{program["reduced"] / 1e6:,.3g}',
    f'{program["compute_ms"]:.2f}',
    f'{program["all_reduce_ms"]:.2f}',
    f'{program["compile_s"]:.0f}',
  ]
  others = f' also: {program["others"]}' if program['others'] else ''
  return f'| {" | ".join(cells)} |{others}'


def _largest_batch(per_chip: int, chips: int) -> str:
  """Returns the sentence about the largest batch."""
  if not per_chip:
    return 'Not even the smallest batch fits.'
  return f'Largest batch that fits: {per_chip} a chip, {per_chip * chips} in all.'


def print_sizes(config, topology: Slice, rows: Iterable[dict[str, Any]]) -> None:
  """Prints the table of `figures.memory_by_size`, each row as it comes: one may take minutes."""
  batch = config.batch_size // topology.chips
  print(
    f'{config.name} ({config.method}) on {topology.name}: memory of one chip of '
    f'{_gib(topology.chip.memory)} GiB, {batch} of a batch a chip, {config.compute_dtype}\n'
  )

  # A row a size, as soon as it is compiled.
  print('\n'.join(_SIZES_HEAD), flush=True)
  for row in rows:
    memory = _gib(row['memory']) if row['memory'] else 'more'
    temporaries = _gib(row['temporaries']) if 'temporaries' in row else ''
    cells = [
      f'{row["image_size"]}',
      _yes_or_no(row['remat']),
      memory,
      temporaries,
      _yes_or_no(row['fits']),
      row.get('program', ''),
    ]
    print(f'| {" | ".join(cells)} |', flush=True)
  print(flush=True)


def _yes_or_no(flag: bool) -> str:
  return 'yes' if flag else 'no'


def _gib(size: float) -> str:
  return f'{size / 2**30:.2f}'
