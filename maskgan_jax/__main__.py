"""Runs a verb: `maskgan VERB FLAG...` is `python -m maskgan_jax.VERB FLAG...`."""

import ast
import os
import pathlib
import pkgutil
import sys

from maskgan_jax import errors

_PACKAGE = pathlib.Path(__file__).parent


def verbs() -> dict[str, str]:
  """Returns each verb and the first line of its docstring, without importing any."""
  lines = {}
  for module in pkgutil.iter_modules([str(_PACKAGE)]):
    path = _PACKAGE / module.name
    path = path / '__main__.py' if module.ispkg else path.with_suffix('.py')
    text = path.read_text(encoding='utf-8') if path.exists() else ''
    if module.name != '__main__' and "\nif __name__ == '__main__':" in text:
      lines[module.name] = ast.get_docstring(ast.parse(text)).splitlines()[0]
  return lines


def main() -> None:
  """Runs the verb that the first argument names; without one, lists them."""
  verb = sys.argv[1] if len(sys.argv) > 1 else '--help'
  line_by_verb = verbs()
  if verb in ('--help', '-h', 'help'):
    print('maskgan VERB [FLAG...]; maskgan VERB --help has the flags of a verb.\n')
    for name, line in line_by_verb.items():
      print(f'  {name:20} {line}')
    return
  if verb not in line_by_verb:
    print(
      f'error: unknown verb {verb!r}{errors.nearest(verb, line_by_verb)}; verbs: '
      f'{", ".join(line_by_verb)}',
      file=sys.stderr,
    )
    sys.exit(2)
  os.execv(sys.executable, [sys.executable, '-m', f'maskgan_jax.{verb}', *sys.argv[2:]])


if __name__ == '__main__':
  main()
