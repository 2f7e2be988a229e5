"""Commands that start once more with an environment that asks for large pages of memory."""

import builtins
import io
import os
import signal
import sys

import pytest

import maskgan_jax

FILE = '/sys/kernel/mm/transparent_hugepage/enabled'


@pytest.fixture
def started(monkeypatch):
  """Runs the hook as `python -m maskgan_jax.train --x=1` would; the arguments of execve, if any."""
  def start(*, given='always [madvise] never', argv=('-m', '--x=1'), module='maskgan_jax.train',
            **environment):
    calls = []
    real = builtins.open
    monkeypatch.setattr(builtins, 'open', lambda path, *args, **options: (
        io.StringIO(given) if path == FILE else real(path, *args, **options)))
    monkeypatch.setattr(sys, 'platform', 'linux')
    monkeypatch.setattr(sys, 'argv', list(argv))
    monkeypatch.setattr(sys, 'orig_argv', ['python', '-W', 'error', '-m', module, '--x=1'])
    monkeypatch.setattr(os, 'environ', environment)
    monkeypatch.setattr(os, 'execve', lambda *arguments: calls.append(arguments))
    maskgan_jax._with_huge_pages()
    monkeypatch.undo()
    return calls
  return start


def test_a_command_starts_again_as_it_was_with_one_variable_more(started):
  (program, arguments, environment), = started(HOME='/root')
  assert program == sys.executable
  assert arguments == ['python', '-W', 'error', '-m', 'maskgan_jax.train', '--x=1']
  assert environment == {'HOME': '/root', 'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}


@pytest.mark.parametrize('changes', [
    dict(GLIBC_TUNABLES='glibc.malloc.hugetlb=1'),  # the second time, too
    dict(GLIBC_TUNABLES=''),
    dict(given='[always] madvise never'), dict(given='always madvise [never]'),
    dict(argv=('train.py',)), dict(argv=('',)),  # a script, an interpreter: it was imported
    dict(module='pytest')])
def test_nothing_else_does(started, changes):
  assert not started(**changes)


@pytest.mark.parametrize('argv, module, before, ends', [
    ('-m', 'maskgan_jax.train', signal.default_int_handler, True),
    ('-m', 'maskgan_jax.train', signal.SIG_IGN, False),
    ('-m', 'pytest', signal.default_int_handler, False),
    ('train.py', 'maskgan_jax.train', signal.default_int_handler, False)])
def test_ctrl_c_ends_a_command_that_loads_without_a_traceback(monkeypatch, argv, module, before,
                                                              ends):
  codes = []
  monkeypatch.setattr(os, '_exit', codes.append)
  monkeypatch.setattr(sys, 'argv', [argv])
  monkeypatch.setattr(sys, 'orig_argv', ['python', '-m', module])
  outside = signal.signal(signal.SIGINT, before)
  try:
    maskgan_jax._dies_of_ctrl_c()
    if ends:
      os.kill(os.getpid(), signal.SIGINT)
    else:
      assert signal.getsignal(signal.SIGINT) == before
    assert codes == [130] * ends
  finally:
    signal.signal(signal.SIGINT, outside)


def test_ctrl_c_waits_while_python_starts_again(monkeypatch, started):
  calls = []
  monkeypatch.setattr(signal, 'pthread_sigmask', lambda *arguments: calls.append(arguments))
  started()
  assert calls == [(signal.SIG_BLOCK, {signal.SIGINT}), (signal.SIG_UNBLOCK, {signal.SIGINT})]
