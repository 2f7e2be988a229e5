"""Commands restart themselves with an environment variable that asks for large memory pages."""

import builtins
import io
import os
import re
import signal
import subprocess
import sys

import pytest

from helpers.paths import ROOT, ROOT_PATH
import maskgan_jax

FILE = '/sys/kernel/mm/transparent_hugepage/enabled'


@pytest.fixture
def started(monkeypatch):
  """Runs the hook as `python -m maskgan_jax.train --x=1` would; returns the calls of execve."""
  def start(*, setting='always [madvise] never', argv=('-m', '--x=1'), module='maskgan_jax.train',
            **environment):
    calls = []
    real = builtins.open
    monkeypatch.setattr(builtins, 'open', lambda path, *args, **options: (
        io.StringIO(setting) if path == FILE else real(path, *args, **options)))
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
    dict(setting='[always] madvise never'), dict(setting='always madvise [never]'),
    dict(argv=('train.py',)), dict(argv=('',)),  # a script, an interpreter: it was imported
    dict(module='pytest')])
def test_nothing_else_does(started, changes):
  assert not started(**changes)


@pytest.mark.parametrize('number, argv, module, before, code', [
    (signal.SIGINT, '-m', 'maskgan_jax.train', signal.default_int_handler, 130),
    (signal.SIGINT, '-m', 'maskgan_jax.demo', signal.default_int_handler, 130),
    (signal.SIGINT, '-m', 'maskgan_jax.train', signal.SIG_IGN, None),
    (signal.SIGINT, '-m', 'pytest', signal.default_int_handler, None),
    (signal.SIGINT, 'train.py', 'maskgan_jax.train', signal.default_int_handler, None),
    (signal.SIGTERM, '-m', 'maskgan_jax.train', signal.SIG_DFL, 75),
    (signal.SIGTERM, '-m', 'maskgan_jax.train', signal.SIG_IGN, None),
    (signal.SIGTERM, '-m', 'maskgan_jax.demo', signal.SIG_DFL, None),
    (signal.SIGTERM, '-m', 'pytest', signal.SIG_DFL, None),
    (signal.SIGTERM, 'train.py', 'maskgan_jax.train', signal.SIG_DFL, None)])
def test_a_signal_ends_a_command_that_loads_in_order(monkeypatch, number, argv, module, before,
                                                     code):
  codes = []
  monkeypatch.setattr(os, '_exit', codes.append)
  monkeypatch.setattr(sys, 'argv', [argv])
  monkeypatch.setattr(sys, 'orig_argv', ['python', '-m', module])
  outside = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
  signal.signal(number, before)
  try:
    maskgan_jax._heeds_signals()
    if code:
      os.kill(os.getpid(), number)
    else:
      assert signal.getsignal(number) == before
    assert codes == [code] * bool(code)
  finally:
    for each, handler in outside.items():
      signal.signal(each, handler)


def test_sigterm_while_training_loads_is_no_crash(tmp_path):
  process = subprocess.Popen(
      [sys.executable, '-X', 'importtime', '-m', 'maskgan_jax.train',
       '--config=configs/quickstart.py:smoke', f'--workdir={tmp_path}/run'],
      cwd=ROOT, env={**os.environ, 'JAX_PLATFORMS': 'cpu'}, stderr=subprocess.PIPE, text=True)
  for line in process.stderr:
    if line.endswith(' absl\n'):
      break
  process.send_signal(signal.SIGTERM)
  _, rest = process.communicate(timeout=60)
  assert process.returncode == 75 and 'stopped; nothing is lost' in rest, rest[-1000:]
  assert not (tmp_path / 'run').exists()


def test_what_exits_with_75_does_so_while_it_loads():
  resumable = set()
  for path in (ROOT_PATH / 'maskgan_jax').rglob('*.py'):
    source = path.read_text(encoding='utf-8')
    stops = re.search(r'cli[.]watch[(]|_exit[(]75|experiment[.]train[(]', source)
    if stops and "\nif __name__ == '__main__':\n" in source:
      resumable.add(path.parent.name if path.name == '__main__.py' else path.stem)
  assert resumable == set(maskgan_jax._RESUMABLE_VERBS)


def test_signals_wait_while_python_starts_again(monkeypatch, started):
  calls = []
  monkeypatch.setattr(signal, 'pthread_sigmask', lambda *arguments: calls.append(arguments))
  started()
  both = {signal.SIGINT, signal.SIGTERM}
  assert calls == [(signal.SIG_BLOCK, both), (signal.SIG_UNBLOCK, both)]
