"""colabs/: notebooks are what their sources make, install no JAX, and run from top to bottom."""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from helpers.paths import ROOT_PATH as ROOT

COLABS = ROOT / 'colabs'
SOURCES = sorted(path for path in COLABS.glob('*.py') if path.name not in ('_setup.py', 'build.py'))
NAMES = [path.stem for path in SOURCES]


def cells(name):
  """Returns (type, text) of each cell of a notebook."""
  notebook = json.loads((COLABS / f'{name}.ipynb').read_text(encoding='utf-8'))
  return [(cell['cell_type'], ''.join(cell['source'])) for cell in notebook['cells']]


def code(name):
  return [text for kind, text in cells(name) if kind == 'code']


def test_the_notebooks_are_there():
  assert NAMES == ['from_colab_to_a_pod', 'methods_explained', 'reproduce_a_table_row',
                   'train_content_transfer', 'translate_and_edit', 'your_own_folder']
  assert sorted(path.stem for path in COLABS.glob('*.ipynb')) == NAMES


def test_notebooks_are_what_their_sources_make():
  pytest.importorskip('jupytext')
  pytest.importorskip('nbformat')
  done = subprocess.run([sys.executable, COLABS / 'build.py', '--check'], text=True,
                        capture_output=True)
  assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('name', NAMES)
def test_no_output_is_stored(name):
  notebook = json.loads((COLABS / f'{name}.ipynb').read_text(encoding='utf-8'))
  for cell in notebook['cells']:
    assert not cell['metadata']
    if cell['cell_type'] == 'code':
      assert cell['outputs'] == [] and cell['execution_count'] is None


@pytest.mark.parametrize('name', NAMES)
def test_every_cell_parses(name):
  kinds = [kind for kind, _ in cells(name)]
  assert kinds[:2] == ['markdown', 'code']
  for text in code(name):
    ast.parse(text)  # so there are no magics either
  for kind, text in cells(name):
    if kind == 'markdown':
      assert text.count('$$') % 2 == 0 and text.replace('$$', '').count('$') % 2 == 0
      assert text.count('```') % 2 == 0


@pytest.mark.parametrize('name', NAMES)
def test_no_address_and_no_machine(name):
  text = (COLABS / f'{name}.ipynb').read_text(encoding='utf-8')
  assert not re.search(r'https?://|/root\b|/work\b|/tmp\b|/home\b', text)


def test_first_cells_are_one():
  assert len({code(name)[0] for name in NAMES}) == 1


@pytest.fixture(name='setup')
def _setup(tmp_path, monkeypatch):
  """Imports the module of the first cells from a separate folder, and forgets it afterwards."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  monkeypatch.delitem(sys.modules, '_setup', raising=False)
  exec(compile(code(NAMES[0])[0], 'first cell', 'exec'), {})  # nothing to install
  yield sys.modules['_setup']
  sys.modules.pop('_setup')


def test_the_first_cell_finds_the_clone(setup, tmp_path):
  assert setup.ROOT == ROOT and not list(tmp_path.iterdir())


def test_jax_is_never_installed(setup, tmp_path, monkeypatch):
  commands = []

  def run(*command):
    constraints = pathlib.Path(command[command.index('--constraint') + 1])
    commands.append(([str(part) for part in command], constraints.read_text().split()))
  monkeypatch.setattr(setup, 'run', run)
  versions = {'JAX': '0.99.1', 'jaxlib': '0.99', 'jax-cuda12-plugin': '0.99', 'flax': '0.88',
              'libtpu': '0.77', 'numpy': '2.9', 'jaxtyping': '1.0', 'pillow': '12.0'}

  class Distribution:
    def __init__(self, name):
      self.metadata, self.version = {'Name': name}, versions[name]
  monkeypatch.setattr('importlib.metadata.distributions', lambda: map(Distribution, versions))
  setup.install()
  (command, constraints), = commands
  assert command[1:5] == ['-m', 'pip', 'install', '--quiet']
  assert command[-1] == f'{ROOT}[demo]' and not {'-U', '--upgrade'} & set(command)
  assert constraints == ['flax==0.88', 'jax==0.99.1', 'jax-cuda12-plugin==0.99', 'jaxlib==0.99',
                         'libtpu==0.77', 'numpy==2.9']
  assert not list(tmp_path.iterdir())


def test_the_first_cell_says_that_there_is_no_clone(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  with pytest.raises(RuntimeError, match='SOURCE'):
    exec(compile(code(NAMES[0])[0], 'first cell', 'exec'), {})


# Runs a notebook, and then a cell that compares its results with the expected ones.
_RUN = '''
import sys
import nbclient
import nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell(sys.stdin.read()))
nbclient.NotebookClient(notebook, timeout=600, kernel_name='python3').execute()
nbformat.write(notebook, sys.argv[2])
'''

_CHECKS = {
    'translate_and_edit': '''
before, after = result.image, half.image
assert (after == source)[inside].all() and (after == before)[~inside].all()
assert (before != source)[inside].any() and (before != source)[~inside].any()
assert np.abs(removed.image.astype(int) - wearing).max() > 50
assert len(frames.image) == 3 and (frames.image[0] != frames.image[2]).any()
assert (weaker.image != before).any()
image = load_image(kept[0])
assert image.shape == source.shape and not (image == load_image(written[0])).all()
assert (image[:, :24] == model.fit(my_source).image[:, :24]).all()  # the rectangle ends at 32
assert (importlib.util.find_spec('gradio') is None) == ('page' not in globals())
''',
    'train_content_transfer': '''
assert sorted(history) == [2, 4] and all(0 <= iou <= 1 for iou in history.values())
assert trained.step == 4 and model.step == 4
assert 0 <= float(scores['mask_iou']) <= 1
assert len(ious) == len(test['b']) and os.path.isfile(os.path.join(workdir, report.FILE_NAME))
''',
    'methods_explained': '''
assert len(close) > 10 and all(close.values())
assert spread[1] < spread[0]  # R1 makes masks even
assert sorted(sizes, reverse=True) == sizes  # a larger lambda_r adds less
assert style_of_mirrored < 1e-5
assert slope_inside < 0 < slope_outside  # the mask is to grow where the glasses are
assert m_a.min() >= eta
''',
    'your_own_folder': '''
assert not with_mistakes['usable'] or with_mistakes['problems']
words = ' '.join(check_data.lines(with_mistakes))
assert 'broken.jpg' in words and 'copy.jpg' in words
assert clean['usable'] and not clean['duplicates'] and by_table['usable']
assert trained.step == 4 and load_image(grid).ndim == 3
assert removed.image.shape == mine.image.shape
''',
    'reproduce_a_table_row': '''
assert all(cell['paper'] or cell['not_run'] for cell in row[:2])
assert not any(cell['last'] for cell in row)
first = after[0]
assert abs(float(first['paper']) - 0.478) < 1e-6 and 0 <= float(first['last']) <= 1
''',
    'from_colab_to_a_pod': '''
assert list(shares_one.values()) == [(8, 16, 16, 3)] and len(shares_eight) == 8
assert set(shares_eight.values()) == {(1, 16, 16, 3)}
assert difference < 1e-5 and count > 0 and not others
assert '12' in refusal
''',
}


_EVERYWHERE = '''
import pathlib
import _setup
assert _setup.SMOKE and _setup.RUNS == pathlib.Path.cwd() / 'runs'  # not the repository's
'''


def _listing():
  """Returns the paths in the repository, without the caches of tools."""
  places = [*ROOT.iterdir(), *COLABS.rglob('*')]
  return {path for path in places if '__pycache__' not in path.parts
          and not path.relative_to(ROOT).parts[-1].startswith('.')
          and '.ruff_cache' not in path.parts}


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_it_runs(name, tmp_path, data_dir):
  pytest.importorskip('nbclient')
  pytest.importorskip('ipykernel')
  kept = ('PATH', 'PYTHONPATH', 'VIRTUAL_ENV', 'JAX_COMPILATION_CACHE_DIR', 'LD_LIBRARY_PATH')
  environment = {key: os.environ[key] for key in kept if key in os.environ} | {
      'JAX_PLATFORMS': 'cpu', 'MASKGAN_SMOKE': '1', 'HOME': str(tmp_path / 'home'),
      'TFDS_DATA_DIR': os.environ.get('TFDS_DATA_DIR', data_dir), 'TMPDIR': str(tmp_path / 'tmp'),
      'PYTHONDONTWRITEBYTECODE': '1'}
  for folder in ('home', 'tmp', 'here'):
    (tmp_path / folder).mkdir()
  before = _listing()
  done = subprocess.run(
      [sys.executable, '-c', _RUN, COLABS / f'{name}.ipynb', tmp_path / 'out.ipynb'], text=True,
      input=_CHECKS[name] + _EVERYWHERE, cwd=tmp_path / 'here', env=environment,
      capture_output=True)
  assert done.returncode == 0, done.stderr[-5000:]
  assert _listing() == before
  outputs = [output for cell in json.loads((tmp_path / 'out.ipynb').read_text())['cells']
             for output in cell.get('outputs', ())]
  assert not [output for output in outputs if output['output_type'] == 'error']
  if name != 'from_colab_to_a_pod':  # which has tables of text only
    assert any('image/png' in output.get('data', {}) for output in outputs)
