"""The house: which room may import which, as the diagram in docs/house.md shows."""

import ast
import pathlib

from helpers.paths import ROOT_PATH

PACKAGE = ROOT_PATH / 'maskgan_jax'
DOORS = {'__main__', 'benchmark', 'check_data', 'compile_for_tpu', 'demo', 'evaluate', 'export',
         'import_weights', 'picture_benchmark', 'sweep', 'tables', 'train', 'train_classifier',
         'translate', 'user_study'}


def floors():
  """Returns the floors of the diagram, from the top: sets of rooms."""
  page = (ROOT_PATH / 'docs' / 'house.md').read_text(encoding='utf-8')
  picture = page.partition('```\n')[2].partition('```')[0]
  rooms_of = [line.partition(':')[2].split() for line in picture.splitlines() if ':' in line]
  return [set(rooms) for rooms in rooms_of]


def room_of(module):
  """Returns the room of a dotted module; '' for the package itself, which has only a version."""
  return (module.split('.') + [''])[1]


def imports():
  """Yields (file, its room, room that it imports) of the package, also from inside functions."""
  for path in sorted(PACKAGE.rglob('*.py')):
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      modules = []
      if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('maskgan_jax'):
        modules = [f'{node.module}.{alias.name}' for alias in node.names]
      elif isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names if alias.name.startswith('maskgan_jax')]
      for module in modules:
        yield pathlib.Path(*parts), room_of('.'.join(parts)), room_of(module)


def test_imports_only_go_down():
  level = {room: number for number, rooms in enumerate(floors()) for room in rooms}
  for path, importer, imported in imports():
    if imported in ('', importer, '__version__') or importer == '__init__':
      continue
    assert level[importer] < level[imported], f'{path} imports {imported}'


def test_the_picture_has_every_room_and_the_top_is_doors_and_ground():
  modules = {path.stem for path in PACKAGE.glob('*.py')} - {'__init__'}
  packages = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
  assert set.union(*floors()) == modules | packages
  assert len(modules) + 1 <= 14
  assert modules - DOORS == {'cli', 'errors', 'experiment', 'fields', 'files'}


def test_every_door_is_a_verb():
  for door in DOORS - {'__main__'}:
    folder = PACKAGE / door / '__main__.py'
    path = folder if folder.exists() else PACKAGE / f'{door}.py'
    assert "\nif __name__ == '__main__':\n" in path.read_text(encoding='utf-8')
