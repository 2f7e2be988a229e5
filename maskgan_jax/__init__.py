"""Mask-based, exemplar-guided image-to-image translation in JAX."""

__version__ = '0.1.0'


def _dies_of_ctrl_c() -> None:
  """Makes Ctrl-C end a command (`python -m maskgan_jax.<verb>`) with 130 while its modules load.

  `cli.run` handles Ctrl-C afterwards. An ignored signal stays ignored.
  """
  import os
  import signal
  import sys

  if sys.argv[:1] != ['-m'] or not any(
    part.startswith('maskgan_jax.') for part in sys.orig_argv
  ):
    return
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
  if hasattr(signal, 'pthread_sigmask'):  # `_with_huge_pages` may have held it back
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


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

  if (
    sys.argv[:1] != ['-m'] or sys.platform != 'linux' or 'GLIBC_TUNABLES' in os.environ
  ):
    return  # not while Python looks for the command to run
  if not any(part.startswith('maskgan_jax.') for part in sys.orig_argv):
    return
  try:
    with open('/sys/kernel/mm/transparent_hugepage/enabled', encoding='utf-8') as file:
      if '[madvise]' not in file.read():
        return
    # A Ctrl-C while Python itself starts again waits for `_dies_of_ctrl_c`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execve(
      sys.executable,
      sys.orig_argv,
      {**os.environ, 'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'},
    )
  except OSError:
    pass  # commands work without large pages, only more slowly
  finally:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


_dies_of_ctrl_c()
_with_huge_pages()
