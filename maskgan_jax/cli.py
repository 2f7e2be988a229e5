"""What every command shares: flags in, one clear line and an exit code out."""

from collections.abc import Callable
import contextlib
import os
import re
import signal
import sys
import threading

from absl import app, flags, logging

from maskgan_jax import errors, files

# What helps where memory is lacking.
TRAINING_MEMORY = (
    'lower config.batch_size, raise config.accumulate, set config.remat=True, or '
    'config.steps_per_dispatch=1 if it is more; if it came while measuring, lower '
    'config.evaluation_batch_size. A run that has begun takes another remat and '
    'steps_per_dispatch; another batch_size or accumulate needs another --workdir')
MEASURING_MEMORY = ('lower config.evaluation_batch_size, set config.data.in_memory=never, or '
                    'measure with fewer config.evaluators at once')


def run(main: Callable[..., None], *, config_of_workdir: bool = False,
        positional: bool = False,
        saves_memory: str = 'use a machine with more of it') -> None:
  """Parses flags, calls `main`, exits 0, 2 (a user's mistake: one line) or 75 (preempted).

  Args:
    main: the command.
    config_of_workdir: --config.key=value overrides the config of the run in --workdir.
    positional: `main` takes the list of arguments that are not flags; else there may be none.
    saves_memory: what the user can do where memory is lacking.
  """
  from maskgan_jax import config

  def parse(argv):
    if any(argument in ('--help', '-help', '-h', '--helpshort') for argument in argv[1:]):
      module = sys.modules['__main__']
      if hasattr(signal, 'SIGPIPE'):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `--help | head` is not an error
      print((module.__doc__ or '').strip() + '\n\nFlags:')
      print(flags.FLAGS.main_module_help() + flags.FLAGS.module_help(config.command_line.__name__))
      sys.exit(0)
    argv = [expand_home(argument) for argument in argv]
    try:
      if config_of_workdir:
        config.define_workdir_config(argv)
      rest = config.parse_flags(argv)
      if len(rest) > 1 and not positional:
        raise errors.UserError(f'unexpected argument {rest[1]!r}; flags look like --name=value')
      return rest
    except errors.UserError as error:
      return _fail(str(error))

  def call(argv):
    end_at_once_on(signal.SIGINT)
    with contextlib.suppress(AttributeError):  # a stream in the place of stdout may have none
      sys.stdout.reconfigure(errors='backslashreplace')  # names of files may be of any letters
    if not flags.FLAGS['verbosity'].present:
      logging.set_verbosity(logging.WARNING)
    _cache_compilations()
    try:
      main(*([argv[1:]] if positional else []))
    except errors.Preempted as stop:
      _leave(75, stop)
    except Exception as error:
      message = _line(error, saves_memory)
      if not message:
        raise
      jax = sys.modules.get('jax')
      if jax and jax.distributed.is_initialized():
        _leave(2, f'error: {message}')
      _fail(message)

  app.run(call, flags_parser=parse)


def _line(error: Exception, saves_memory: str) -> str:
  """Returns the one line that a user is told of an error, or '' where it is the program's own."""
  if shortage := errors.out_of_memory(error):
    return f'out of memory ({shortage}); {saves_memory}'
  return str(error) if isinstance(error, errors.UserError) else ''


def end_at_once_on(*numbers: int) -> None:
  """Makes these signals end the process at once, with 128 + number, and without its temporaries.

  No exception is raised: the callbacks of modules that load would swallow it. A SIGHUP that is
  ignored stays so: that is how nohup keeps a process.
  """
  def end(number, _):
    with contextlib.suppress(OSError):  # os.write, since print may be what the signal interrupted
      os.write(2, b'interrupted\n')
    files.remove_temporaries()
    os._exit(128 + number)
  for number in numbers:
    if number != getattr(signal, 'SIGHUP', None) or signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, end)


def expand_home(argument: str) -> str:
  """Puts the home folder in place of the ~ of --flag=~/path, of lists of paths, and of ~/path.

  Shells leave such a ~ as it is. In --config.key the config's readers expand it: there a ~ may also
  mean "not".
  """
  if re.match(r'--?config\.', argument):
    return argument
  return re.sub(r'(^|[=,])~(?=[/,]|$)', lambda match: match[1] + os.path.expanduser('~'), argument)


def watch(message: str) -> tuple[threading.Event, Callable[[], None]]:
  """From now on SIGTERM and Ctrl-C only set the event, and `poll()` then raises Preempted(message).

  While training, the loop has handlers of its own.
  """
  asked = threading.Event()
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: asked.set())

  def poll():
    if asked.is_set():
      raise errors.Preempted(message)
  return asked, poll


def require(*names: str) -> None:
  """UserError unless each of the named flags was given."""
  missing = [f'--{name}' for name in names if not flags.FLAGS[name].value]
  if missing:
    raise errors.UserError(f'{", ".join(missing)} must be given; see --help')


def translator():
  """The Translator that --workdir and --step name, or --pretrained; UserError unless one does."""
  from maskgan_jax.translator import Translator
  given = flags.FLAGS
  if bool(given.workdir) == bool(given.pretrained):
    raise errors.UserError('--workdir or --pretrained must be given, '
                           f'{"not both" if given.workdir else "see --help"}')
  if not given.pretrained:
    return Translator.from_workdir(given.workdir, given.step)
  if given.step is not None:
    raise errors.UserError('--step is of a run in --workdir; a pretrained model has one step only')
  return Translator.from_pretrained(given.pretrained)


def _cache_compilations() -> None:
  """Keeps compiled programs between commands, where JAX_COMPILATION_CACHE_DIR or XDG says."""
  import jax
  if jax.config.jax_compilation_cache_dir is None:
    root = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    jax.config.update('jax_compilation_cache_dir', os.path.join(root, 'maskgan_jax', 'xla'))


def _leave(code: int, message: object):
  """Ends at once. Exit handlers may wait minutes for other processes, or for threads."""
  from maskgan_jax.training import parallel
  signal.signal(signal.SIGTERM, signal.SIG_IGN)  # told already; the exit code is to say so
  print(message, file=sys.stderr)
  sys.stdout.flush()
  sys.stderr.flush()
  files.remove_temporaries()
  parallel.leave_processes(seconds=10)  # of the 30 that a spot machine gives, say
  os._exit(code)


def _fail(message: str):
  print(f'error: {message}', file=sys.stderr)
  sys.exit(2)
