"""Mask-based, exemplar-guided image-to-image translation in JAX."""

__version__ = '0.1.0'

# What exits with 75 where it is stopped, so that a scheduler starts it again.
_RESUMABLE_VERBS = (
  'compile_for_tpu',
  'evaluate',
  'picture_benchmark',
  'sweep',
  'tables',
  'train',
  'train_classifier',
  'translate',
)


def _verb() -> str:
  """Returns the verb of `python -m maskgan_jax.<verb>` while Python looks for it; else ''."""
  import sys

  if sys.argv[:1] == ['-m']:
    for part in sys.orig_argv:
      if part.startswith('maskgan_jax.'):
        return part.removeprefix('maskgan_jax.')
  return ''


def end_before_work(*_) -> None:
  """Ends a process that SIGTERM stops before it has begun to work: with 75, nothing is lost."""
  import contextlib
  import os
  import sys

  with contextlib.suppress(OSError):
    os.write(2, b'stopped; nothing is lost, and the same command starts again\n')
  if files := sys.modules.get('maskgan_jax.files'):
    files.remove_temporaries()
  os._exit(75)


def _heeds_signals() -> None:
  """Makes a signal end a command (`python -m maskgan_jax.<verb>`) in order while modules load.

  Ctrl-C ends it with 130, until `cli.run` handles Ctrl-C. SIGTERM ends what can be resumed with
  75, until the command handles SIGTERM. An ignored signal stays ignored.
  """
  import os
  import signal

  verb = _verb()
  if not verb:
    return
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
  if verb in _RESUMABLE_VERBS and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, end_before_work)
  if hasattr(signal, 'pthread_sigmask'):  # `_with_huge_pages` may have held them back
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _with_huge_pages() -> None:
  """Restarts a command (`python -m maskgan_jax.<verb>`) with memory in pages of 2 MiB.

  XLA's CPU backend maps a step's temporaries anew in every step. In pages of 4 KiB that takes up to
  a quarter of the step's time. Where the system gives larger pages on request, glibc requests them
  if GLIBC_TUNABLES says so when a process begins. A GLIBC_TUNABLES that is set already, even to
  nothing, is left alone.
  """
  import os
  import signal
  import sys

  if not _verb() or sys.platform != 'linux' or 'GLIBC_TUNABLES' in os.environ:
    return
  try:
    with open('/sys/kernel/mm/transparent_hugepage/enabled', encoding='utf-8') as file:
      if '[madvise]' not in file.read():
        return
    # A signal while Python itself starts again waits for `_heeds_signals`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    os.execve(
      sys.executable,
      sys.orig_argv,
      {**os.environ, 'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'},
    )
  except OSError:
    pass  # commands work without large pages, only more slowly
  finally:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


_heeds_signals()
_with_huge_pages()
