"""Where a compiled step's time goes: a trace of it, and that trace by kind of operation."""

from collections.abc import Callable, Iterable
import dataclasses
import glob
import os
import re

from maskgan_jax import errors, files

KINDS = ('convolution', 'matrix product', 'collective', 'reduction', 'copy and transpose',
         'elementwise and other')
_KIND_OF = {'convolution': 'convolution', 'dot': 'matrix product', 'reduce': 'reduction',
            'reduce-window': 'reduction', 'select-and-scatter': 'reduction',
            **dict.fromkeys(('all-reduce', 'all-gather', 'reduce-scatter', 'collective-permute',
                             'all-to-all'), 'collective')}
_MOVES = {'copy', 'transpose', 'reshape', 'bitcast', 'slice', 'concatenate', 'pad', 'broadcast',
          'parameter', 'tuple', 'get-tuple-element', 'constant', 'reverse', 'iota'}
# Their bodies' operations are in the trace themselves.
_AROUND = {'while', 'call', 'conditional'}
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.$-]+) = .*? ([a-z][\w-]*)\(')
_COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.$-]+) \(.*\{$')
_TOP = 25


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One of a program's instructions: its kind, and the line of ours that it comes from."""
  kind: str | None  # None: it only holds others
  origin: str


def instructions(text: str) -> dict[str, Instruction]:
  """Those of a compiled program, by name, from its text."""
  inside, opcodes, computation = {}, {}, ''
  for line in text.splitlines():
    if found := _COMPUTATION.match(line):
      computation = found[1]
    elif found := _INSTRUCTION.match(line):
      called = re.search(r'(?:calls|to_apply)=%?([\w.$-]+)', line)
      target = re.search(r'custom_call_target="([^"]*)"', line)
      origin = re.search(r'op_name="([^"]*)"', line)
      inside.setdefault(computation, []).append(found[1])
      opcodes[found[1]] = (found[2], called and called[1], target and target[1],
                           origin[1] if origin else '')

  def parts(name):
    opcode, called, target, _ = opcodes[name]
    if opcode == 'custom-call':
      yield ('convolution' if 'conv' in target.lower() else
             'dot' if re.search('gemm|dot|matmul', target.lower()) else target)
    elif opcode == 'fusion':
      for part in inside.get(called, ()):
        yield from parts(part)
    else:
      yield opcode.removesuffix('-start').removesuffix('-done')

  def kind(name):
    found = set(parts(name))
    if found <= _AROUND:
      return None
    kinds = {_KIND_OF[part] for part in found if part in _KIND_OF}
    return min(kinds, key=KINDS.index) if kinds else KINDS[4] if found <= _MOVES else KINDS[5]
  return {name: Instruction(kind(name), opcodes[name][3]) for name in opcodes}


def check_folder(folder: str) -> None:
  """UserError unless a trace can be written there; makes it."""
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise errors.UserError(f'--profile={folder}: {error.strerror or error}; name a folder that can '
                           'be written') from error
  if not os.access(folder, os.W_OK):
    raise errors.UserError(f'--profile={folder} cannot be written; name another folder')


def write(folder: str, play: Callable[[], None], steps: int, texts: Iterable[str]) -> dict:
  """Traces play(), which makes `steps` steps, into `folder`.

  Args:
    folder: of the trace, for TensorBoard's profile plugin or Perfetto; gets profile.md too.
    play: returns when its steps are done.
    steps: how many they are.
    texts: of the compiled programs.

  Returns:
    kind of operation -> its share of the time of all, for the benchmark's line.
  """
  import jax
  with jax.profiler.trace(folder):
    play()
  paths = glob.glob(os.path.join(folder, '**', '*.xplane.pb'), recursive=True)
  known: dict[str, Instruction] = {}
  for text in texts:
    known.update(instructions(text))
  times = operations(jax.profiler.ProfileData.from_file(max(paths, key=os.path.getmtime)), known)
  total = sum(seconds for seconds, _ in times.values())
  if not total:
    raise errors.UserError('the trace holds no operation of the step; look at it in TensorBoard: '
                           f'{folder}')
  shares = dict.fromkeys(KINDS, 0.0)
  for name, (seconds, _) in times.items():
    shares[known[name].kind] += seconds / total
  files.write_atomically(os.path.join(folder, 'profile.md'),
                         _page(shares, times, known, total, steps))
  return {kind: round(share, 4) for kind, share in shares.items()}


def operations(data, known) -> dict[str, tuple[float, int]]:
  """name -> (seconds in all, how often) of the known operations in a trace."""
  times: dict[str, tuple[float, int]] = {}
  for plane in data.planes:
    for line in plane.lines:
      if plane.name.startswith('/device:') and line.name in ('XLA Modules', 'Steps'):
        continue
      for event in line.events:
        name = dict(event.stats).get('hlo_op')
        if name in known and known[name].kind:
          seconds, count = times.get(name, (0.0, 0))
          times[name] = seconds + event.duration_ns / 1e9, count + 1
  return times


def network(origin: str) -> str:
  """'VGG19, backward' for the origin 'jit(step)/transpose(jvp(VGG19))/...'; 'losses, forward' and
  'losses, backward' for what lies in no network, 'the rest' for what is not differentiated."""
  found = re.search(r'/(transpose\()?jvp\(([\w]*)\)', origin)
  if not found:
    return 'the rest'
  return f'{found[2] or "losses"}, {"backward" if found[1] else "forward"}'


def _page(shares, times, known, total, steps):
  lines = [f'Operations of {steps} steps: {1e3 * total / steps:.1f} ms a step, added over threads '
           'and streams, which may run side by side.', '', '| kind | share | ms a step |',
           '|---|---:|---:|']
  lines += [f'| {kind} | {share:.1%} | {1e3 * share * total / steps:.2f} |'
            for kind, share in sorted(shares.items(), key=lambda item: -item[1])]
  networks: dict[str, float] = {}
  for name, (seconds, _) in times.items():
    part = network(known[name].origin)
    networks[part] = networks.get(part, 0.0) + seconds
  lines += ['', '| network and pass | share | ms a step |', '|---|---:|---:|']
  lines += [f'| {part} | {seconds / total:.1%} | {1e3 * seconds / steps:.2f} |'
            for part, seconds in sorted(networks.items(), key=lambda item: -item[1])[:_TOP]]
  rows = sorted(times.items(), key=lambda item: -item[1][0])[:_TOP]
  lines += ['', f'The {len(rows)} that take longest:', '',
            '| operation | kind | share | ms a step | times a step | comes from |',
            '|---|---|---:|---:|---:|---|']
  for name, (seconds, count) in rows:
    origin = known[name].origin.replace('|', '/')
    lines.append(f'| {name} | {known[name].kind} | {seconds / total:.1%} | '
                 f'{1e3 * seconds / steps:.2f} | {count / steps:.3g} | `{origin[-90:]}` |')
  return '\n'.join(lines) + '\n'
