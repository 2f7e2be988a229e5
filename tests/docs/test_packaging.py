"""What pyproject.toml declares is what the package needs, and a wheel is whole."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib

import pytest

from helpers.paths import ROOT_PATH

# Modules whose distribution has another name.
DISTRIBUTIONS = {'absl': 'absl-py', 'PIL': 'pillow', 'orbax': 'orbax-checkpoint',
                 'sklearn': 'scikit-learn', 'tensorflow': 'tensorflow-cpu'}
# It asks for an older Orbax than this package, so that docs/export.md installs it by hand.
UNDECLARED = {'jax2onnx'}


def imported_modules():
  """Returns the modules outside the standard library that some file of the package imports."""
  modules = set()
  for path in (ROOT_PATH / 'maskgan_jax').rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.Import):
        modules.update(alias.name for alias in node.names)
      elif isinstance(node, ast.ImportFrom):
        modules.add(node.module)
  names = {module.partition('.')[0] for module in modules}
  return names - set(sys.stdlib_module_names) - {'maskgan_jax'}


def normalized(name):
  return re.sub(r'[-_.]+', '-', name).lower()


def test_every_import_is_declared():
  project = tomllib.loads((ROOT_PATH / 'pyproject.toml').read_text(encoding='utf-8'))['project']
  extras = project['optional-dependencies'].values()
  requirements = [*project['dependencies'], *(name for extra in extras for name in extra)]
  declared = {normalized(re.match(r'[\w.-]+', requirement)[0]) for requirement in requirements}
  for module in sorted(imported_modules() - UNDECLARED):
    assert normalized(DISTRIBUTIONS.get(module, module)) in declared, f'{module} is not declared'


def example():
  """Returns the arguments of the pretrained model's translation in README."""
  readme = (ROOT_PATH / 'README.md').read_text(encoding='utf-8').replace('\\\n', ' ')
  command = re.search(r'python -m maskgan_jax\.translate (--pretrained=.*)', readme)
  return command[1].split()


@pytest.mark.slow
def test_a_wheel_runs_the_readmes_example_without_the_repository(tmp_path):
  def run(*command, **variables):
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    return subprocess.run([str(part) for part in command], cwd=tmp_path, text=True, check=True,
                          env=environment | variables, stdout=subprocess.PIPE).stdout

  # A build in the repository itself would take what an earlier one left in build/.
  for folder in ('maskgan_jax', 'pretrained'):
    shutil.copytree(ROOT_PATH / folder, tmp_path / 'copy' / folder,
                    ignore=shutil.ignore_patterns('__pycache__'))
  for name in ('LICENSE', 'MANIFEST.in', 'README.md', 'pyproject.toml', 'setup.py'):
    shutil.copy(ROOT_PATH / name, tmp_path / 'copy')
  run(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--wheel-dir', '.', './copy')
  wheel, = tmp_path.glob('*.whl')
  python = tmp_path / 'environment' / 'bin' / 'python'
  run(sys.executable, '-m', 'venv', 'environment')
  run(python, '-m', 'pip', 'install', '--quiet', '--no-deps', wheel)

  # The dependencies are those of the environment of the tests. Its own maskgan_jax is out of
  # reach, since Python reads the .pth files of its own site-packages only.
  dependencies = {'PYTHONPATH': sysconfig.get_path('purelib')}
  place = run(python, '-c', 'import maskgan_jax; print(maskgan_jax.__path__[0])', **dependencies)
  installed = place.strip()
  assert installed.startswith(str(tmp_path / 'environment'))
  arguments = [argument.replace('=pretrained/', f'={installed}/pretrained/')
               for argument in example()]
  run(python, '-m', 'maskgan_jax.translate', *arguments, **dependencies)
  assert (tmp_path / 'faces.png').stat().st_size > 10_000
