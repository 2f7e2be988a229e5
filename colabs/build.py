"""Makes the notebooks from their sources, `*.py` in jupytext's py:percent, without outputs.

  python colabs/build.py          # writes colabs/*.ipynb
  python colabs/build.py --check  # writes nothing; exits 1 if one is not what its source makes

The same source makes the same bytes: a cell's id comes from its text. Needs jupytext and nbformat.
"""

import argparse
import collections
import hashlib
import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
_METADATA = {
    'colab': {'provenance': [], 'toc_visible': True},
    'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'},
    'language_info': {'name': 'python'},
}


def sources() -> list[pathlib.Path]:
  """Returns the notebooks' sources."""
  return sorted(path for path in HERE.glob('*.py') if path.name not in ('_setup.py', 'build.py'))


def notebook(source: pathlib.Path) -> str:
  """Returns the text of the notebook that a source makes."""
  import jupytext
  import nbformat
  read = jupytext.reads(source.read_text(encoding='utf-8'), fmt='py:percent')
  seen: collections.Counter[str] = collections.Counter()
  cells = []
  for cell in read.cells:
    digest = hashlib.sha256(f'{cell.cell_type}\n{cell.source}'.encode()).hexdigest()[:12]
    seen[digest] += 1
    name = digest if seen[digest] == 1 else f'{digest}-{seen[digest]}'
    cells.append({'cell_type': cell.cell_type, 'id': name, 'metadata': {}, 'source': cell.source})
    if cell.cell_type == 'code':
      cells[-1].update(execution_count=None, outputs=[])
  made = nbformat.from_dict({'cells': cells, 'metadata': _METADATA, 'nbformat': 4,
                             'nbformat_minor': 5})
  nbformat.validate(made)
  return nbformat.writes(made) + '\n'


def main() -> None:
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--check', action='store_true', help='write nothing')
  check = parser.parse_args().check
  if not importlib.util.find_spec('jupytext'):
    print("error: making notebooks needs jupytext: pip install -e '.[colabs]'", file=sys.stderr)
    sys.exit(2)
  different = []
  for source in sources():
    target, text = source.with_suffix('.ipynb'), notebook(source)
    if not target.exists() or target.read_text(encoding='utf-8') != text:
      different.append(target.name)
      if not check:
        target.write_text(text, encoding='utf-8')
  if different:
    print(', '.join(different), 'to write' if check else 'written')
  else:
    print('every notebook is what its source makes')
  sys.exit(1 if check and different else 0)


if __name__ == '__main__':
  main()
