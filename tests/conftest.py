"""Eight CPU devices, strict promotion of ranks, quick compilation, a budget for each test.

Tests come in two tiers. Tests without a mark are fast: they fail if their setup or their call takes
more than 5 seconds apart from compiling. `slow` tests train, compile a method's whole step or start
processes. Their names deal them into five shares, and `--share=K` runs one of the five beside the
fast tests.
"""

import collections
import gc
import itertools
import os
import pathlib
import resource
import signal
import time
import zlib

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  # A shell starts background jobs this way, and the processes that tests start would inherit it.
  signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# Commands that tests start inherit these: most time goes into compiling small programs.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', 'true')
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.2')

import jax  # noqa: E402

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')

SHARES = 5
BUDGET = 5.0  # seconds that a phase of a fast test may take, apart from XLA's compilations
_NOISE = 1.5  # what the same test takes at one time and another, without slower machines
_REFERENCE = 0.105  # CPU seconds of the loop in _slowness() on the machine that BUDGET is meant for
_WITH_COMPILING = 20.0  # seconds with them; programs are cached, so only a first run has them
_MAPPINGS = 20_000  # memory mappings of a process; Linux allows 65,530


def pytest_addoption(parser):
  parser.addoption('--share', type=int, choices=range(SHARES),
                   help=f'run only this one of the {SHARES} shares of the slow tests')


def _share(item):
  """Returns a slow test's share, which does not depend on the other tests."""
  return zlib.crc32(item.nodeid.encode()) % SHARES


def pytest_collection_modifyitems(config, items):
  """Leaves out the slow tests of other shares, and the tests that $TESTS_PASSED lists."""
  share = config.getoption('share')
  path = os.environ.get('TESTS_PASSED')
  passed = set(pathlib.Path(path).read_text(encoding='utf-8').splitlines()) if path else set()

  def is_left_out(item):
    slow = item.get_closest_marker('slow') is not None
    return item.nodeid in passed or (slow and share is not None and _share(item) != share)

  config.hook.pytest_deselected(items=[item for item in items if is_left_out(item)])
  items[:] = [item for item in items if not is_left_out(item)]


def _cpu_seconds():
  """Returns the CPU seconds of this process and of its children that have ended."""
  usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
  return sum(usage.ru_utime + usage.ru_stime for usage in usages)


_compiling = [0.0]  # seconds so far


@jax.monitoring.register_event_duration_secs_listener
def _count_compiling(event, seconds, **_):
  if event == '/jax/core/compile/backend_compile_duration':
    _compiling[0] += seconds


def _slowness():
  """Returns how many times slower than the reference this machine is at the moment, at least 1.

  Neighbours on the same machine can make it two or three times slower for minutes.
  """
  start = time.process_time()
  total = 0
  for i in range(2_000_000):
    total += i * i
  return max(1.0, (time.process_time() - start) / _REFERENCE)


def _within_budget(item, phase):
  """Runs a phase of a test and fails if a fast test took too long.

  On a busy machine the clock runs on while the test waits, and on several cores CPU seconds count
  more than once: the smaller of the two is taken. Half the budget again is left to noise, and a
  slower machine has more.
  """
  clock, cpu, compiling = time.monotonic(), _cpu_seconds(), _compiling[0]
  result = yield
  seconds = min(time.monotonic() - clock, _cpu_seconds() - cpu)
  beside = seconds - (_compiling[0] - compiling)
  excess = max(beside / BUDGET, seconds / _WITH_COMPILING)
  if excess > 1 and item.get_closest_marker('slow') is None:
    slowness = _slowness()
    if excess > _NOISE * slowness:
      pytest.fail(f'its {phase} took {seconds:.1f} s, {beside:.1f} s of it beside compiling; '
                  f'without the slow mark a test may take {BUDGET:.0f} s (this machine is '
                  f'{slowness:.1f} times slower than the reference)', pytrace=False)
  return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
  return (yield from _within_budget(item, 'setup'))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
  return (yield from _within_budget(item, 'call'))


def pytest_terminal_summary(terminalreporter, config):
  """Lists the slowest files where --durations asks for the slowest tests."""
  count = config.getoption('durations')
  if not count:
    return
  seconds = collections.Counter()
  for report in itertools.chain(*terminalreporter.stats.values()):
    if isinstance(report, pytest.TestReport):
      seconds[report.nodeid.partition('::')[0]] += report.duration
  terminalreporter.section('slowest files')
  for path, total in seconds.most_common(count):
    terminalreporter.write_line(f'{total:7.1f} s {path}')


@pytest.fixture(scope='module', autouse=True)
def _forget_programs():
  """Frees compiled programs: each takes three memory mappings and more, and JAX keeps programs.

  A process that reaches Linux's limit is ended.
  """
  yield
  mappings = pathlib.Path('/proc/self/maps')
  if mappings.exists() and mappings.read_bytes().count(b'\n') > _MAPPINGS:
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
  """Returns the folder in which this session draws its data sets, once."""
  return str(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def compile_fully():
  """Turns on all of XLA's passes, for modules that measure a program or compute for long."""
  jax.config.update('jax_disable_most_optimizations', False)
  yield
  jax.config.update('jax_disable_most_optimizations', True)


@pytest.fixture(name='torch')
def _torch():
  """Returns PyTorch, the oracle, or skips the test where it is not installed."""
  return pytest.importorskip('torch')


@pytest.fixture(scope='module')
def one_thread():
  """Lets PyTorch compute in one thread, since threads cost more than small networks."""
  torch = pytest.importorskip('torch')
  count = torch.get_num_threads()
  torch.set_num_threads(1)
  yield
  torch.set_num_threads(count)
