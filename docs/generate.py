"""Writes the tables of docs/ whose contents are in the code: `python docs/generate.py`.

- docs/commands.md: all commands with their flags.
- REPRODUCING.md: how many cells of each table docs/cells.csv has, and why others are empty.
- docs/METHOD.md, below `<!-- generated: NAME -->`: switches with their values in each variant,
  settings and weights with their defaults. What a switch means is written by hand in its last
  column, and stays.

A test compares the pages with the code. `--json` prints the commands and their flags instead.
"""

import csv
import importlib
import inspect
import json
import pathlib
import re
import sys

from absl import flags

from maskgan_jax import __main__ as console
from maskgan_jax import cli, methods

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = re.compile(r'(?<=<!-- generated: )(\w+)( -->\n\n)((?:^\|.*\n)+)', re.MULTILINE)
COMMANDS_HEAD = """# Commands

<!-- generated: python docs/generate.py writes this page from the docstrings and flags -->

`maskgan COMMAND` is the same as `python -m maskgan_jax.COMMAND`; `--help` prints what stands here.
A yes-or-no flag is switched off by `no` before its name. The [contract](contract.md) has the exit
codes and the files that commands leave.
"""


# Commands.

def describe_commands() -> dict[str, dict]:
  """Returns for each command its summary and its flags.

  All commands define their flags in one place, so that each is imported, asked and forgotten. Its
  last lines are run too, because they define flags; the command itself does not start.
  """
  options = {}
  cli.run = lambda main, **given: options.update(given)
  descriptions = {}
  for name in console.verbs():
    # Flags of libraries that an earlier command has imported stay.
    others = set(flags.FLAGS)
    options.clear()
    module = importlib.import_module(f'maskgan_jax.{name}')
    if hasattr(module, '__path__'):
      module = importlib.import_module(f'maskgan_jax.{name}.__main__')
    # The lines that `python -m` would run, with a `cli.run` that does nothing.
    last_lines = inspect.getsource(module).partition("if __name__ == '__main__':\n")[2]
    exec(inspect.cleandoc(last_lines), dict(vars(module)))  # noqa: S102
    defined = sorted(set(flags.FLAGS) - others)
    names = [flag for flag in defined if is_ours(flag)]
    descriptions[name] = {
        'summary': inspect.getdoc(module).partition('\n\n')[0],
        'flags': {flag: describe_flag(flags.FLAGS[flag]) for flag in names},
        'config_of_workdir': options.get('config_of_workdir', False),
    }
    for flag in defined:
      delattr(flags.FLAGS, flag)
  return descriptions


def is_ours(flag: str) -> bool:
  """Returns whether a flag is of this package, and not of a library that is imported."""
  module = flags.FLAGS.find_module_defining_flag(flag)
  return module.startswith(('maskgan_jax', 'ml_collections'))


def describe_flag(flag: flags.Flag) -> dict:
  """Returns the help and default of a flag, and whether it is yes or no."""
  default = flag.default
  if isinstance(default, (list, tuple)):
    default = ','.join(map(str, default))
  return {'help': ' '.join(flag.help.split()), 'default': default, 'yes_or_no': flag.boolean}


def flag_row(name: str, flag: dict) -> str:
  """Returns the line of a table on a flag."""
  text = escaped(flag['help'])
  if flag['yes_or_no']:
    default = 'on' if flag['default'] else 'off'
  elif flag['default'] in (None, ''):
    default = ''
  else:
    default = f'`{flag["default"]}`'
  return f'| `--{name}` | {default} | {text} |\n'


def commands_page(descriptions: dict[str, dict]) -> str:
  """Returns docs/commands.md."""
  page = COMMANDS_HEAD
  for name, command in descriptions.items():
    page += f'\n## {name}\n\n{command["summary"]}\n\n| flag | default | |\n|---|---|---|\n'
    page += ''.join(flag_row(flag, command['flags'][flag]) for flag in command['flags'])
    if command['config_of_workdir']:
      page += ('\n`--config.KEY=VALUE` changes a key of the config of the run or model that is '
               'named.\n')
    elif 'config' in command['flags']:
      page += '\n`--config.KEY=VALUE` changes a key of the config.\n'
  return page


# Methods.

def refreshed(page: str, text: str) -> str:
  """Returns the page of a method with the tables' values taken from the code."""
  method = methods.module(pathlib.PurePath(page).stem)

  def table(match):
    kind, gap, old_table = match.groups()
    return kind + gap + refreshed_table(page, method, kind, old_table)

  return TABLE.sub(table, text)


def refreshed_table(page, method, kind: str, old_table: str) -> str:
  """Returns a table with values from the code, and the last column as the page has it."""
  head, rule, *old_lines = old_table.splitlines()
  old_rows = [cells_of(line) for line in old_lines]
  meanings = {cells[0].strip('`'): cells[-1] for cells in old_rows}
  lines = [head, rule]
  values = values_by_name(method, kind, cells_of(head))
  # The page's order is for readers; what is new comes last.
  for name in sorted(values, key=[*meanings, *values].index):
    cells = [f'`{name}`', *values[name]]
    if kind != 'tasks':
      if name not in meanings:
        raise SystemExit(f'{page}: the table of {kind} does not say what {name} means')
      cells.append(meanings[name])
    lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join(lines) + '\n'


def cells_of(line: str) -> list[str]:
  """Returns the cells of a line of a table; an escaped bar belongs to its cell."""
  return [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]


def values_by_name(method, kind: str, head: list[str]) -> dict[str, list[str]]:
  """Returns the rows of a table of a method: {name: values as code}."""
  if kind == 'tasks':
    return {task: [str(float(weight)) for weight in weights]
            for task, weights in method.WEIGHTS.items()}
  if kind == 'switches':
    variants = [cell.strip('`') for cell in head if '`' in cell]
    switches = method.VARIANTS[variants[0]]
    return {switch: [f'`{method.VARIANTS[variant][switch]!r}`' for variant in variants]
            for switch in switches}
  # Switches have a table of their own, so that settings are the other keys of `config.model`.
  defaults = method.get_default()
  if kind == 'weights':
    return {name: [f'`{value!r}`'] for name, value in defaults.weights.items()}
  switches = next(iter(method.VARIANTS.values()))
  return {name: [f'`{value!r}`'] for name, value in defaults.model.items()
          if name not in switches}


# Results.

def cells_table(text: str) -> str:
  """Returns REPRODUCING.md with its table of tables made from docs/cells.csv."""
  with open(ROOT / 'docs' / 'cells.csv', encoding='utf-8', newline='') as file:
    cells = list(csv.DictReader(file))
  cells_by_table = {}
  for cell in cells:
    cells_by_table.setdefault(cell['table'], []).append(cell)
  lines = []
  for table, members in cells_by_table.items():
    empty = [cell['reason'] for cell in members if not cell['ours']]
    reason = re.sub(': --override=[^;]*', '', (empty or [''])[0])
    needs = reason.removeprefix('not trained').removeprefix('; ').removeprefix('needs ')
    filled = len(members) - len(empty)
    lines.append(f'| `{table}` | {len(members)} | {filled} | {escaped(needs)} |\n')
  # The table's two lines of heading are the page's; it ends the page.
  head, marker, table = text.partition('<!-- generated: cells -->\n\n')
  return head + marker + ''.join(table.splitlines(keepends=True)[:2] + lines)


def escaped(text: str) -> str:
  """Returns plain text for a cell of a table."""
  return text.replace('|', r'\|').replace('<', '&lt;')


def pages(descriptions: dict[str, dict]) -> dict[str, str]:
  """Returns the text that each page with generated tables should have, by its path."""
  results = (ROOT / 'REPRODUCING.md').read_text(encoding='utf-8')
  texts = {'docs/commands.md': commands_page(descriptions),
           'REPRODUCING.md': cells_table(results)}
  for name in methods.names():
    page = f'docs/{name}.md'
    texts[page] = refreshed(page, (ROOT / page).read_text(encoding='utf-8'))
  return texts


def main() -> None:
  """Writes the pages, or prints the commands as JSON."""
  descriptions = describe_commands()
  if '--json' in sys.argv:
    print(json.dumps(descriptions))
    return
  for page, text in pages(descriptions).items():
    (ROOT / page).write_text(text, encoding='utf-8')


if __name__ == '__main__':
  main()
