"""What every command shares: flags in, one clear line and an exit code out."""

from collections.abc import Callable
import contextlib
import os
import re
import signal
import sys
import threading
import warnings

from absl import app, flags, logging

from maskgan_jax import errors, files

# What helps where memory is lacking.
TRAINING_MEMORY = (
  'lower config.batch_size, raise config.accumulate, set config.remat=True, or '
  'config.steps_per_dispatch=1 if it is more; if it came while measuring, lower '
  'config.evaluation_batch_size. A run that has begun takes another remat and '
  'steps_per_dispatch; another batch_size or accumulate needs another --workdir'
)
MEASURING_MEMORY = (
  'lower config.evaluation_batch_size, set config.data.in_memory=never, or '
  'measure with fewer config.evaluators at once'
)


def run(
  main: Callable[..., None],
  *,
  config_of_workdir: bool = False,
  positional: bool = False,
  saves_memory: str = 'use a machine with more of it',
) -> None:
  """Parses flags, calls `main`, exits 0, 2 (a user's mistake: one line) or 75 (preempted).

  Args:
    main: the command.
    config_of_workdir: --config.key=value overrides the config of the run in --workdir, or of
      the model that --pretrained names.
    positional: `main` takes the list of arguments that are not flags; else there may be none.
    saves_memory: what the user can do where memory is lacking.
  """

  def parse(argv):
    if _HELP.intersection(argv[1:]):
      _print_help()
      sys.exit(0)
    try:
      return _parse(argv, config_of_workdir, positional)
    except errors.UserError as error:
      return _fail(str(error))

  def call(argv):
    _prepare_process()
    try:
      main(*([argv[1:]] if positional else []))
    except errors.Preempted as stop:
      _leave(75, stop)
    except Exception as error:
      message = _message(error, saves_memory)
      if not message:
        raise
      _end_with(message)

  app.run(call, flags_parser=parse)


_HELP = frozenset({'--help', '-help', '-h', '--helpshort'})


def _print_help() -> None:
  """Prints the command's docstring and its flags."""
  module = sys.modules['__main__']
  if hasattr(signal, 'SIGPIPE'):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `--help | head` is not an error
  print((module.__doc__ or '').strip() + '\n\nFlags:')
  of_config = flags.FLAGS.module_help('maskgan_jax.config.command_line')
  print(flags.FLAGS.main_module_help() + of_config)


def _parse(argv: list[str], config_of_workdir: bool, positional: bool) -> list[str]:
  """Parses flags and returns the other arguments; UserError for mistakes."""
  from maskgan_jax import config

  argv = [expand_home(argument) for argument in argv]
  if config_of_workdir:
    config.define_workdir_config(argv, _folder_of_model)
  arguments = config.parse_flags(argv)
  if len(arguments) > 1 and not positional:
    raise errors.UserError(
      f'unexpected argument {arguments[1]!r}; flags look like --name=value'
    )
  return arguments


def _folder_of_model(name: str) -> str:
  """Returns the folder of the model that --pretrained names."""
  from maskgan_jax.translator import packaged

  return packaged.find(name)


def _prepare_process() -> None:
  """Sets up signals, output, logging and the cache of compiled programs."""
  end_at_once_on(signal.SIGINT)
  # Pillow's own warning of large pictures; what is too large gets a line of ours.
  warnings.filterwarnings('ignore', 'Image size .* could be decompression bomb')
  # A stream in the place of stdout may lack this method.
  with contextlib.suppress(AttributeError):
    sys.stdout.reconfigure(errors='backslashreplace')  # file names may have any letters
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  _cache_compilations()


def _message(error: Exception, saves_memory: str) -> str:
  """Returns a line about an error that the user can mend, or '' for one of the program."""
  if shortage := errors.out_of_memory(error):
    return f'out of memory ({shortage}); {saves_memory}'
  return str(error) if isinstance(error, errors.UserError) else ''


def end_at_once_on(*numbers: int) -> None:
  """Makes these signals end the process at once, with 128 + number, and without its temporaries.

  No exception is raised: callbacks of modules that are loading would swallow it. A SIGHUP that is
  ignored stays ignored: that is how nohup keeps a process.
  """

  def end(number, _):
    # This is os.write, since the signal may have interrupted a print.
    with contextlib.suppress(OSError):
      os.write(2, b'interrupted\n')
    files.remove_temporaries()
    os._exit(128 + number)

  for number in numbers:
    is_hangup = number == getattr(signal, 'SIGHUP', None)
    if is_hangup and signal.getsignal(number) == signal.SIG_IGN:
      continue
    signal.signal(number, end)


def expand_home(argument: str) -> str:
  """Puts the home folder in place of the ~ of --flag=~/path, of lists of paths, and of ~/path.

  Shells leave such a ~ as it is. In --config.key the config's readers expand it: there a ~ may also
  mean "not".
  """
  if re.match(r'--?config\.', argument):
    return argument
  return re.sub(
    r'(^|[=,])~(?=[/,]|$)', lambda match: match[1] + os.path.expanduser('~'), argument
  )


def watch(message: str) -> tuple[threading.Event, Callable[[], None]]:
  """Makes SIGTERM and Ctrl-C set an event; the returned `poll()` raises Preempted(message) then.

  While training, the loop installs other handlers.
  """
  stop_requested = threading.Event()
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop_requested.set())

  def poll():
    if stop_requested.is_set():
      raise errors.Preempted(message)

  return stop_requested, poll


def require(*names: str) -> None:
  """Raises a UserError unless each of the named flags has a value."""
  missing = [f'--{name}' for name in names if not flags.FLAGS[name].value]
  if missing:
    raise errors.UserError(f'{", ".join(missing)} must be given; see --help')


def translator():
  """Returns the Translator that --workdir and --step name, or --pretrained does."""
  from maskgan_jax.translator import Translator

  values = flags.FLAGS
  if bool(values.workdir) == bool(values.pretrained):
    remedy = 'not both' if values.workdir else 'see --help'
    raise errors.UserError(f'--workdir or --pretrained must be given, {remedy}')
  if values.workdir:
    return Translator.from_workdir(values.workdir, values.step)
  if values.step is not None:
    raise errors.UserError(
      '--step is of a run in --workdir; a pretrained model has one step only'
    )
  return Translator.from_pretrained(values.pretrained)


def _cache_compilations() -> None:
  """Keeps compiled programs between commands, in JAX_COMPILATION_CACHE_DIR or XDG's cache."""
  import jax

  if jax.config.jax_compilation_cache_dir is None:
    root = os.environ.get('XDG_CACHE_HOME') or os.path.join(
      os.path.expanduser('~'), '.cache'
    )
    jax.config.update(
      'jax_compilation_cache_dir', os.path.join(root, 'maskgan_jax', 'xla')
    )


def _leave(code: int, message: object):
  """Ends the process at once: exit handlers may wait minutes for other processes or threads."""
  from maskgan_jax.training import parallel

  signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not change the code
  print(message, file=sys.stderr)
  sys.stdout.flush()
  sys.stderr.flush()
  files.remove_temporaries()
  parallel.leave_processes(seconds=10)  # of the 30 that a spot machine gives, say
  os._exit(code)


def _end_with(message: str):
  """Ends the process with an error's line, without waiting for other processes of a run."""
  jax = sys.modules.get('jax')
  if jax and jax.distributed.is_initialized():
    _leave(2, f'error: {message}')
  _fail(message)


def _fail(message: str):
  print(f'error: {message}', file=sys.stderr)
  sys.exit(2)
