"""The docs are true: links, commands, flags, config keys, functions, tables, examples."""

import ast
import csv
import glob
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys

import jax
import numpy as np
import pytest

from helpers import commands as commands_of_users
from helpers import config_checks, method_checks
from helpers.paths import ROOT
from helpers.training import assert_same, newest
from maskgan_jax import __main__, errors, evaluate, experiment, methods, translate
from maskgan_jax import config as run_config
from maskgan_jax.runs import metric_writers, scores
from maskgan_jax.training import loop
from maskgan_jax.translator import Translator

DOCS = sorted(os.path.relpath(path, ROOT)
              for path in glob.glob(os.path.join(ROOT, 'docs', '*.md')))
PAGES = ['README.md', 'REPRODUCING.md', 'CHANGELOG.md', 'launch/README.md', *DOCS]
PAGE_OF = {name: f'docs/{name}.md' for name in methods.names()}
NOT_THERE_YET = set()  # commands that pages may name before they exist
PART_OF_A_NAME = {'configs/CONFIG', 'configs/NAME.py'}  # stand for any config
ADDED = 'configs/avatars_recolor.py'  # docs/adding_a_method.md makes it


def read(page):
  """Returns the text of a file, given its path below the root or an absolute one."""
  with open(os.path.join(ROOT, page), encoding='utf-8') as file:
    return file.read()


def fenced(text, language=r'\w*'):
  """Returns the contents of the fenced blocks of a language; '' stands for no language."""
  return re.findall(rf'^```{language}\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


def prose(text):
  """Returns a page without fenced blocks and comments."""
  text = re.sub(r'^```.*?^```$', '', text, flags=re.MULTILINE | re.DOTALL)
  return re.sub(r'<!--.*?-->', '', text, flags=re.DOTALL)


def anchors(text):
  """Returns the anchors that GitHub gives to a page's headings."""
  names = set()
  for heading in re.findall(r'^#+ +(.*?) *$', prose(text), re.MULTILINE):
    heading = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).lower()
    anchor = re.sub(r'[^\w\- ]', '', heading).replace(' ', '-')
    number = sum(other == anchor or re.fullmatch(rf'{re.escape(anchor)}-\d+', other) is not None
                 for other in names)
    names.add(f'{anchor}-{number}' if number else anchor)
  return names


# Links, pictures, names of functions and of files.

@pytest.mark.parametrize('page', PAGES)
def test_links_and_pictures_lead_somewhere(page):
  text = read(page)
  for target in re.findall(r'\]\(([^)\s]+)\)', prose(text)):
    if '://' in target:
      continue
    path, _, anchor = target.partition('#')
    path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
    assert os.path.exists(os.path.join(ROOT, path)), target
    if anchor:
      assert anchor in anchors(read(path)), target


@pytest.mark.parametrize('page', ['README.md', *DOCS])
def test_tables_are_whole(page):
  lines = prose(read(page)).splitlines()
  for line, after in zip(lines, [*lines[1:], ''], strict=True):
    if line.startswith('|'):
      assert after.startswith('|') or not after.strip(), 'a line after a table becomes a row of it'
      if after.startswith('|'):
        assert len(re.findall(r'(?<!\\)\|', line)) == len(re.findall(r'(?<!\\)\|', after)), after


def named_functions(page, text):
  """Yields (file, function or class) that a page names: `FILE:NAME`, or [`MODULE.NAME`](FILE)."""
  for path, name in re.findall(r'`((?:\w+/)+\w+\.py):([A-Za-z_][\w.]*)`', text):
    if not path.startswith('configs/'):
      yield (path if path.startswith('maskgan_jax/') else f'maskgan_jax/{path}'), name
  for module, name, target in re.findall(r'\[`(\w+)\.([\w.]+)`\]\(([^)]+\.py)\)', text):
    path = os.path.normpath(os.path.join(os.path.dirname(page), target))
    if name != 'py':
      assert os.path.basename(path.removesuffix('/__init__.py').removesuffix('.py')) == module
      yield path, name


@pytest.mark.parametrize('page', DOCS)
def test_functions_that_pages_name_exist(page):
  text = read(page)
  references = list(named_functions(page, text))
  assert references or page not in (*PAGE_OF.values(), 'docs/data.md', 'docs/adding_a_method.md')
  for path, name in references:
    members = ast.parse(read(path)).body
    for part in name.split('.'):
      definitions = [node for node in members
                     if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == part]
      assert definitions, f'{path} has no {name}'
      members = definitions[0].body
  # The text of a link to a file is that file.
  for shown, target in re.findall(r'\[`([^`]+/[^`]+\.py)(?::[\w.]+)?`\]\(([^)]+)\)', text):
    assert os.path.normpath(os.path.join('docs', target)) == shown


def test_the_index_names_every_page_and_pages_every_config():
  index = read('docs/README.md')
  for page in DOCS:
    assert page == 'docs/README.md' or f'({os.path.basename(page)})' in index, (
        f'docs/README.md has no link to {page}')
  everything = ''.join(map(read, PAGES))
  for path in glob.glob(os.path.join(ROOT, 'configs', '*.py')):
    assert os.path.basename(path) in everything
  for method, page in PAGE_OF.items():
    named = set(re.findall(r'\b(\w+\.py)`', prose(read(page))))
    for path in glob.glob(os.path.join(ROOT, 'configs', '*.py')):
      if runpy.run_path(path)['get_config']().method == method:
        assert os.path.basename(path) in named, f'{page} does not name it'


# Commands.

def commands(text):
  """Yields (command, arguments) of `python -m maskgan_jax.X` in blocks and in prose."""
  # `...` inline may go on on the next line of the paragraph; blocks use backslashes.
  pieces = [' '.join(piece.split()) for piece in re.findall(r'(?<!`)`([^`]+)`(?!`)', prose(text))]
  for block in fenced(text):
    pieces += block.replace('\\\n', ' ').splitlines()
  for piece in pieces:
    for match in re.finditer(r'python3? -m maskgan_jax\.(\w+)(.*)', piece):
      rest = re.split(r' (?:#|&&|\|) ', match[2])[0].strip().removesuffix('&&')
      if match[1] != 'COMMAND':
        yield match[1], shlex.split(rest, comments=True)


def command_names():
  """Returns the commands that exist."""
  return list(__main__.verbs())


@pytest.fixture(scope='module')
def commands_by_name():
  """Returns for each command its summary and flags, and whether it takes a run's config.

  Another process imports the commands, since all of them define their flags in one place.
  """
  result = subprocess.run([sys.executable, 'docs/generate.py', '--json'], cwd=ROOT, text=True,
                          env={**os.environ, 'PYTHONPATH': ROOT}, capture_output=True, check=False)
  assert result.returncode == 0, result.stderr
  return json.loads(result.stdout.splitlines()[-1])


def load(value):
  """Returns the config of FILE.py:ARGUMENT; None for a stand-in or one not made yet."""
  if any(value.startswith(part) for part in PART_OF_A_NAME) or value.startswith(ADDED):
    return None
  path, _, argument = value.partition(':')
  return runpy.run_path(os.path.join(ROOT, path))['get_config'](argument)


def key_exists(key, config):
  """Returns whether a config, or without one the default config of some method, has a key."""
  configs = [config] if config else [run_config.default(name) for name in methods.names()]
  return any(key in dict(run_config.flatten(c)) for c in configs)


@pytest.mark.parametrize('page', PAGES)
def test_commands_have_these_flags_and_configs_these_keys(page, commands_by_name):
  for name, arguments in commands(read(page)):
    if name not in commands_by_name:
      assert name in NOT_THERE_YET, f'no command {name}'
      continue
    command = commands_by_name[name]
    config = None
    for argument in arguments:
      if argument.startswith('--config='):
        value = argument.partition('=')[2]
        if value.startswith('configs/') and value.partition(':')[0].endswith('.py'):
          config = load(value)
    for argument in arguments:
      if not argument.startswith('--') or argument in ('--help', '--config=...'):
        continue
      flag, _, value = argument[2:].partition('=')
      if flag == 'config':
        assert 'config' in command['flags'], f'{name} takes no --config'
      elif flag.startswith('config.'):
        assert 'config' in command['flags'] or command['config_of_workdir']
        assert key_exists(flag[len('config.'):], config), f'{name} {argument}'
      elif flag == 'override':
        assert key_exists(value.partition('=')[0], config), f'{name} {argument}'
      else:
        flags = command['flags']
        negated = flag.startswith('no') and flags.get(flag[2:], {}).get('yes_or_no', False)
        assert negated or flag in flags, f'{name} has no --{flag}'


@pytest.mark.parametrize('page', PAGES)
def test_configs_that_pages_name_load(page):
  named = re.findall(r'configs/\w+\.py(?::[\w=.,]*\w)?', read(page))
  for value in sorted(set(named)):
    if value not in ('configs/x.py', 'configs/mine.py'):
      load(value)


def test_overrides_in_prose_are_keys():
  for page in DOCS:
    for key in re.findall(r'`config\.([a-z_][\w.]*)`', read(page)):
      some = any(other_key == key or other_key.startswith(f'{key}.')
                 for name in methods.names()
                 for other_key, _ in run_config.flatten(run_config.default(name)))
      assert some or key == 'json', f'{page}: config.{key}'


def test_every_command_is_in_the_contract():
  table = read('docs/contract.md')
  named = set(re.findall(r'^\| `(\w+)` \|', table.partition('## Exit codes')[0], re.MULTILINE))
  assert set(command_names()) <= named and named - set(command_names()) <= NOT_THERE_YET


@pytest.mark.parametrize('page', ['README.md', *DOCS])
def test_flags_in_prose_are_those_of_some_command(page, commands_by_name):
  flags = {flag for command in commands_by_name.values() for flag in command['flags']}
  named = set(re.findall(r'`--([a-z_]+)', prose(read(page))))
  assert named <= flags | {'help'}


@pytest.mark.parametrize('page', PAGES)
def test_overrides_of_tables_are_keys(page):
  for key in re.findall(r'--override=([\w.]+)=', read(page)):
    assert key_exists(key, None), key


# Tables that docs/generate.py writes.

def test_generated_tables_are_those_of_the_code(commands_by_name):
  pages = runpy.run_path(os.path.join(ROOT, 'docs', 'generate.py'))['pages']
  for page, text in pages(commands_by_name).items():
    assert read(page) == text, f'{page} is out of date: run python docs/generate.py'


@pytest.mark.slow
def test_the_cells_are_those_of_the_papers_tables(tmp_path):
  result = commands_of_users.run('tables', '--table=all', '--add=quick', '--noevaluate',
                                 '--format=cells', f'--workdir={tmp_path}')
  assert result.returncode == 0, result.stderr
  columns = ('table', 'row', 'column', 'paper', 'paper_std', 'config')

  def identities(text):
    return [tuple(cell[name] for name in columns) for cell in csv.DictReader(io.StringIO(text))]
  assert identities(read('docs/cells.csv')) == identities(result.stdout)


def tables(page, first):
  """Yields (header cells, {name: cells}) of tables whose first column is headed so."""
  for block in re.findall(r'(?:^\|.*\n)+', read(page), re.MULTILINE):
    rows = [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
            for line in block.splitlines()]
    if rows[0][0] == first:
      yield rows[0], {row[0].strip('`'): row for row in rows[2:]}


@pytest.mark.parametrize('method', methods.names())
def test_a_methods_page_has_its_generated_tables(method):
  kinds = re.findall('<!-- generated: (.*) -->\n\n\\|', read(PAGE_OF[method]))
  assert kinds[:3] == ['switches', 'settings', 'weights']


@pytest.mark.parametrize('method', methods.names())
def test_the_table_of_switches_has_a_column_for_each_variant(method):
  (header, _), = tables(PAGE_OF[method], 'switch')
  columns = [cell.strip('`') for cell in header if '`' in cell]
  variants = methods.module(method).VARIANTS
  shown = [variants[name] for name in columns]
  assert all(switches in shown for switches in variants.values())
  assert all(shown.count(switches) == 1 for switches in shown)


@pytest.mark.parametrize('method', methods.names())
def test_abilities_are_in_their_table(method):
  (_, rows), = tables(PAGE_OF[method], 'ability')
  config, abilities = run_config.default(method), set()
  for attributes in ((), ('Eyeglasses', 'Smiling')):
    with config.unlocked():
      config.data.update(a='~Eyeglasses', b='Eyeglasses', attributes=attributes)
      # What a method may have besides: StarGAN a mask, AGGAN an exemplar.
      if 'outputs' in config.model:
        config.model.outputs = 4 if attributes else 3
      if 'exemplar' in config.model:
        config.model.exemplar = bool(attributes)
    abilities |= methods.make(config).abilities
  assert set(rows) == abilities


# Examples.

def runnable(page):
  return re.findall(r'<!-- runnable -->\n```python\n(.*?)^```$', read(page),
                    re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize('page', [page for page in PAGES if runnable(page)])
def test_blocks_marked_runnable_run(page, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for folder in ('docs', 'pretrained'):  # as in a clone, which stays unchanged
    os.symlink(os.path.join(ROOT, folder), folder)
  for block in runnable(page):
    namespace = {'__name__': 'docs'}
    exec(compile(block, page, 'exec'), namespace)  # noqa: S102
    if 'get_config' in namespace:
      config = namespace['get_config']()
      methods.make(config)
      config = namespace['get_config']('smoke')
      methods.make(config)


def test_errors_in_the_docs_are_user_errors():
  """Misspelt names get the answers that data.md and contract.md promise."""
  config = run_config.default('lomit')
  config.variant = 'oficial'
  with pytest.raises(errors.UserError, match="did you mean 'official'"):
    methods.make(config)
  with pytest.raises(errors.UserError, match='known: .*smoke'):
    load('configs/quickstart.py:smokke')


# The fifth method.

@pytest.fixture
def fifth(tmp_path, monkeypatch):
  """Writes the files of docs/adding_a_method.md where `methods` looks; {name: path}."""
  written = {}
  for block in fenced(read('docs/adding_a_method.md'), 'python'):
    name = re.match(r'# (\S+\.py)\n', block)[1]
    written[name] = str(tmp_path / name)
    os.makedirs(os.path.dirname(written[name]), exist_ok=True)
    (tmp_path / name).write_text(block)
  monkeypatch.setattr(methods, '__path__', [*methods.__path__,
                                            str(tmp_path / 'maskgan_jax' / 'methods')])
  yield written
  sys.modules.pop('maskgan_jax.methods.recolor', None)
  vars(methods).pop('recolor', None)


def test_the_fifth_methods_files_are_in_style(fifth):
  assert set(fifth) == {'maskgan_jax/methods/recolor.py', ADDED}
  for path in fifth.values():
    assert all(len(line) <= 100 for line in read(path).splitlines())
  document = runpy.run_path(fifth[ADDED])['__doc__']
  assert all(part in document for part in ('paper:', 'ours:', 'hours and hardware:', 'command:'))
  assert 'recolor' in methods.names()


@pytest.mark.slow
def test_the_fifth_method_trains_resumes_measures_and_translates(fifth, tmp_path, data_dir):
  workdir = str(tmp_path / 'run')
  config = load_fifth(fifth, data_dir)
  config.num_steps = 2
  experiment.train(config, workdir)
  assert scores.latest(workdir)['step'] == 2
  config.num_steps = 4
  experiment.train(config, workdir)
  whole = load_fifth(fifth, data_dir)
  whole.evaluators = ()
  loop.train(whole, str(tmp_path / 'whole'))
  assert_same(newest(workdir), newest(str(tmp_path / 'whole')))
  row = scores.latest(workdir)
  assert row['step'] == 4 and 0 <= row['mask_iou'] <= 1 and row['transfer_error_inside'] > 0
  assert [line['step'] for line in metric_writers.read(workdir) if 'generator/loss' in line
          ] == [2, 4]
  assert set(evaluate.evaluate(workdir, config, again=True, note=lambda line: None)) == {2, 4}

  model = Translator.from_workdir(workdir)
  rng = np.random.default_rng(0)
  source, exemplar, other = rng.integers(0, 256, (3, 5, 16, 16, 3), np.uint8)
  result = model(source, exemplar)
  assert result.image.shape == source.shape and result.image.dtype == np.uint8
  for mask in (result.source_mask, result.exemplar_mask, model.segment(source)):
    assert mask.shape == (5, 16, 16, 1) and mask.min() >= 0 and mask.max() <= 1
  unchanged = model(source, exemplar, source_mask=np.zeros((16, 16), np.float32))
  np.testing.assert_array_equal(unchanged.image, source)
  half = np.zeros((16, 16), bool)
  half[:, 8:] = True
  assert (model(source, exemplar, source_mask=half).image[:, :, :8] == source[:, :, :8]).all()
  frames = model.interpolate(source, exemplar, other, 3).image
  np.testing.assert_allclose(frames[0].astype(int), result.image, atol=1)
  with pytest.raises(errors.UserError, match='segment'):
    model.remove(source)
  written = translate.translate(model, os.path.join(ROOT, 'docs/hair'),
                                os.path.join(ROOT, 'docs/glasses'), str(tmp_path / 'grid.png'),
                                grid=True, save_masks=True)
  assert [os.path.basename(path) for path in written] == [
      'grid.png', 'grid_source_mask.png', 'grid_exemplar_mask.png']


@pytest.mark.slow
def test_what_the_fifth_method_is_tested_for_without_a_new_test(fifth):
  """Runs the tests that docs/adding_a_method.md promises; the one above has resuming and `jit`."""
  name, path = 'recolor', fifth[ADDED]
  method_checks.check_gradients_by_owner(name)
  one_device = method_checks.steps(name, devices=jax.devices()[:1])
  method_checks.check_same_on_eight_devices(name, 'pmap', one_device)
  config_checks.check_document(path)
  config_checks.check_loading(path)
  config_checks.check_switches(name)


def load_fifth(fifth, data_dir):
  config = runpy.run_path(fifth[ADDED])['get_config']('smoke')
  config.name = 'recolor'
  config.data.data_dir = data_dir
  return config
