"""Eight CPU devices, strict promotion of ranks, tiny sizes."""

import gc
import os
import pathlib
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background, and then
  signal.signal(signal.SIGINT, signal.default_int_handler)  # all that tests start and interrupt
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')
_CACHE = os.environ.get('JAX_COMPILATION_CACHE_DIR')
if _CACHE:
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def pytest_collection_modifyitems(config, items):
  """Leaves out what the file that $TESTS_PASSED names lists: what passed a moment ago."""
  path = os.environ.get('TESTS_PASSED')
  if path:
    passed = set(pathlib.Path(path).read_text(encoding='utf-8').splitlines())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = [item for item in items if item.nodeid not in passed]


@pytest.fixture(scope='module', autouse=True)
def _forget_programs():
  """Linux allows a process 65530 memory mappings. XLA's programs for CPUs take three and more each,
  tests of one file up to 16,000, and JAX keeps programs; beyond the limit a process is ended."""
  yield
  mappings = pathlib.Path('/proc/self/maps')
  if mappings.exists() and mappings.read_bytes().count(b'\n') > 20_000:
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
  """Where generated data sets of this test session are drawn, once."""
  return str(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def compile_quickly():
  """For modules whose time goes into compiling small programs: hardly any optimization."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(name='torch')
def _torch():
  """PyTorch, the oracle; without it the test is skipped."""
  return pytest.importorskip('torch')
