"""Builds the documentation site: `python docs/build.py` writes build/site/index.html.

Needs `pip install -e '.[docs]'`. The site has README, the pages of docs/, launch/ and pretrained/,
and a reference that is made from the docstrings. A page loads nothing from the network.

MkDocs wants all pages below one folder. This script copies them to build/pages/, where each keeps
its place, so that links between them stay as they are. A link to a file of the package leads to
the reference; any other file or folder that is linked is copied too.
"""

import functools
import os
import pathlib
import posixpath
import re
import shutil
import subprocess
import sys

import latex2mathml.converter

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'maskgan_jax'
PAGES = ('README.md', 'REPRODUCING.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/*.md',
         'launch/README.md', 'pretrained/README.md', 'pretrained/*/README.md')
# mkdocs.yml names these.
ASSETS = ('docs/iframe-worker.js', 'docs/site.css')
# What differs on the site: formulas, which GitHub typesets itself, and links.
MATH = r'^```math\n(?P<display>.*?)^```$|\$`(?P<inline>[^`]*)`\$'
FENCE = r'(?P<fence>^```.*?^```$)'
LINK = r'\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)'
PIECE = re.compile(f'{MATH}|{FENCE}|{LINK}', re.MULTILINE | re.DOTALL)


def main() -> None:
  """Writes the pages and builds the site; any warning is an error."""
  Site(ROOT / 'build' / 'pages').write()
  # Not --quiet, under which --strict counts no warnings.
  command = [sys.executable, '-m', 'mkdocs', 'build', '--strict',
             '--config-file', str(ROOT / 'mkdocs.yml')]
  # Material advertises its successor otherwise.
  environment = {**os.environ, 'NO_MKDOCS_2_WARNING': '1'}
  sys.exit(subprocess.run(command, env=environment, check=False).returncode)


class Site:
  """The folder from which MkDocs builds."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    paths = [path for pattern in PAGES for path in ROOT.glob(pattern)]
    self.pages = sorted(path.relative_to(ROOT).as_posix() for path in paths)

  def write(self) -> None:
    """Writes all pages and copies what they link to."""
    shutil.rmtree(self.folder, ignore_errors=True)
    for asset in ASSETS:
      self._copied(asset)
    for page, text in reference().items():
      self._write_text(page, text)
    for page in self.pages:
      text = (ROOT / page).read_text(encoding='utf-8')
      self._write_text(page, PIECE.sub(functools.partial(self._converted, page), text))

  def _write_text(self, page, text):
    path = self.folder / page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')

  def _converted(self, page, match):
    """Returns a piece of a page for the site."""
    if match['display']:
      formula = match['display'].replace('{aligned}', '{align*}')  # the converter's name for it
      return f'<div>{latex2mathml.converter.convert(formula, "block")}</div>'
    if match['inline']:
      # A formula at the beginning of a line would be a block without the span.
      return f'<span>{latex2mathml.converter.convert(match["inline"])}</span>'
    return match[0] if match['fence'] else self._relinked(page, match)

  def _relinked(self, page, match):
    """Returns a link of a page for the site, after copying the file to which it leads."""
    target = match['target']
    if '://' in target or target.startswith('#'):
      return match[0]
    path, _, anchor = target.partition('#')
    here = posixpath.dirname(page)
    source = posixpath.normpath(posixpath.join(here, path))
    if not (ROOT / source).exists():
      raise SystemExit(f'{page} links to {source}, which does not exist')
    place = self._copied(source)

    # The reference has an anchor for each public function and class.
    function = linked_function(match['text'], source)
    if place.startswith('api/') and function:
      anchor = f'{module_name(source)}.{function}'
    fragment = f'#{anchor}' if anchor else ''
    return f'[{match["text"]}]({posixpath.relpath(place, here)}{fragment})'

  def _copied(self, source):
    """Returns where the site has a file or folder of the repository, after copying it there."""
    path = ROOT / source
    # What has a page already needs no copy.
    if path.suffix == '.py' and (self.folder / reference_page(source)).exists():
      return reference_page(source)
    if path.is_dir() and (path / 'README.md').exists():
      return f'{source}/README.md'

    # A folder gets a list of its files, since a site has no folders to browse.
    if path.is_dir():
      shutil.copytree(path, self.folder / source, dirs_exist_ok=True,
                      ignore=shutil.ignore_patterns('__pycache__', '.*'))
      self._write_text(f'{source}/index.md', listing(path))
      return f'{source}/index.md'
    if source not in self.pages:
      (self.folder / source).parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(path, self.folder / source)
    return source


def linked_function(text: str, source: str) -> str:
  """Returns the function or class that the text of a link names: `FILE:NAME` or `MODULE.NAME`.

  It is '' where the text names none, or one that is private, which the reference leaves out.
  """
  text = text.strip('`')
  module = module_name(source).rpartition('.')[2]
  name = text.partition(':')[2]
  if text.startswith(f'{module}.') and not text.endswith('.py'):
    name = text.removeprefix(f'{module}.')
  is_private = name.startswith('_') or '._' in f'{module_name(source)}.{name}'
  return '' if is_private else name


def listing(folder: pathlib.Path) -> str:
  """Returns a page that links the files of a folder."""
  names = sorted(path.name for path in folder.iterdir() if path.is_file())
  return f'# {folder.name}\n\n' + ''.join(f'- [{name}]({name})\n' for name in names)


def reference() -> dict[str, str]:
  """Returns the pages of the reference: for each room of the package all its public modules."""
  texts = {}
  for path in sorted(PACKAGE.rglob('*.py')):
    source = path.relative_to(ROOT)
    room = ROOT / source.parts[0] / source.parts[1]
    # Commands are described in docs/commands.md instead.
    is_private = path.name.startswith('_') and path.name != '__init__.py'
    if is_command(room) or is_private:
      continue
    page = reference_page(source)
    heading = f'# {pathlib.PurePath(page).stem}\n'
    texts[page] = f'{texts.get(page, heading)}\n::: {module_name(source)}\n'
  return texts


def is_command(room: pathlib.Path) -> bool:
  """Returns whether a file or folder of the package is run with `python -m`."""
  script = room / '__main__.py' if room.is_dir() else room
  return script.exists() and "\nif __name__ == '__main__':" in script.read_text(encoding='utf-8')


def reference_page(source: str | pathlib.Path) -> str:
  """Returns the page of the reference for a module, given its path below the root."""
  parts = pathlib.PurePath(source).parts
  room = parts[1] if len(parts) > 2 else 'maskgan_jax'
  return f'api/{room}.md'


def module_name(source: str | pathlib.Path) -> str:
  """Returns the dotted name of a module, given its path below the root."""
  parts = pathlib.PurePath(source).with_suffix('').parts
  return '.'.join(part for part in parts if part != '__init__')


if __name__ == '__main__':
  main()
