"""Which records make a domain: "Eyeglasses & ~Wearing_Hat | (Smiling & Male)", without `eval`."""

from collections.abc import Sequence
import dataclasses
import re

import numpy as np

from maskgan_jax import errors

_TOKEN = re.compile(r"""\s*(?:(?P<symbol>[~&|()])|'(?P<single>[^']+)'|"(?P<double>[^"]+)"
                        |(?P<name>[^\s~&|()'"]+))""", re.VERBOSE)
_MAX_DEPTH = 50  # the parser recurses; no hand-written predicate comes near


@dataclasses.dataclass(frozen=True)
class Predicate:
  """A parsed predicate; an empty one holds for every record.

  Attributes:
    text: as written.
    positive: names asked for, in order of appearance; `negative`: names under an odd number of ~.
  """
  text: str
  positive: tuple[str, ...]
  negative: tuple[str, ...]
  _tree: tuple | None
  _names: tuple[str, ...]

  def select(self, attributes: np.ndarray) -> np.ndarray:
    """Returns bool [N] for a bool table [N, K] whose columns are the names parsed with."""
    if self._tree is None:
      return np.ones(len(attributes), bool)
    return self._evaluate(self._tree, attributes)

  def _evaluate(self, tree, attributes):
    if tree[0] == 'name':
      return attributes[:, self._names.index(tree[1])]
    if tree[0] == '~':
      return ~self._evaluate(tree[1], attributes)
    left, right = (self._evaluate(branch, attributes) for branch in tree[1:])
    return left & right if tree[0] == '&' else left | right


def parse(text: str, names: Sequence[str], *, where: str = 'predicate') -> Predicate:
  """Parses `text` over the attribute `names`; ~ binds tighter than &, and & than |.

  Args:
    text: names, ~, &, |, parentheses; quotes around a name with spaces in it. '' means all.
    names: the attributes that exist.
    where: what messages call it, e.g. 'config.data.a'.

  Raises:
    UserError: the position of a syntax error, or the nearest of the names that exist.
  """
  if not text.strip():
    return Predicate(text, (), (), None, tuple(names))
  parser = _Parser(text, tuple(names), where)
  tree = parser.parse()
  return Predicate(text, tuple(dict.fromkeys(parser.signed[True])),
                   tuple(dict.fromkeys(parser.signed[False])), tree, tuple(names))


def parse_union(text: str, names: Sequence[str], *, where: str) -> tuple[str, ...]:
  """Parses names with | between them, e.g. "Black_Hair | Red_Hair"; '' is none. Errs as `parse`."""
  def is_union(tree):
    return tree[0] == 'name' or tree[0] == '|' and all(map(is_union, tree[1:]))

  parsed = parse(text, names, where=where)
  if parsed._tree and not is_union(parsed._tree):
    raise errors.UserError(f"{where}={text!r}: expected names with '|' between, no ~ or &")
  return parsed.positive


class _Parser:
  """Recursive descent over the tokens of one predicate."""

  def __init__(self, text, names, where):
    self.text, self.names, self.where = text, names, where
    self.signed = {True: [], False: []}  # names met, by the sign they stand under
    self.tokens = self._tokens()
    self.next = 0
    self.depth = 0

  def _tokens(self):
    """Returns (kind, value, position), position counted from 1, ending with kind 'end'."""
    tokens, position = [], 0
    while self.text[position:].strip():
      match = _TOKEN.match(self.text, position)
      if not match:
        spaces = len(self.text[position:]) - len(self.text[position:].lstrip())
        self._fail(position + spaces + 1, 'a quote is not closed')
      kind = 'symbol' if match['symbol'] else 'name'
      value = match[match.lastgroup]
      tokens.append((kind, value, match.start(match.lastgroup) + 1))
      position = match.end()
    tokens.append(('end', '', len(self.text.rstrip()) + 1))
    return tokens

  def _fail(self, position, problem):
    raise errors.UserError(f'{self.where}={self.text!r}: {problem} at character {position}')

  def _is(self, symbol):
    kind, value, _ = self.tokens[self.next]
    return kind == 'symbol' and value == symbol

  def parse(self):
    tree = self._binary('|', True)
    kind, value, position = self.tokens[self.next]
    if kind != 'end':
      self._fail(position, f"expected '&', '|' or the end, found {value!r}")
    return tree

  def _binary(self, symbol, sign):
    operand = (lambda: self._binary('&', sign)) if symbol == '|' else (lambda: self._unary(sign))
    tree = operand()
    while self._is(symbol):
      self.next += 1
      tree = (symbol, tree, operand())
    return tree

  def _unary(self, sign):
    kind, value, position = self.tokens[self.next]
    if kind == 'name':
      return self._name(value, position, sign)
    if value not in ('~', '('):
      found = 'the end' if kind == 'end' else repr(value)
      self._fail(position, f'expected an attribute, found {found}')
    self.next += 1
    self.depth += 1
    if self.depth > _MAX_DEPTH:
      self._fail(position, f"more than {_MAX_DEPTH} '(' and '~' inside each other")
    if value == '~':
      tree = ('~', self._unary(not sign))
    else:
      tree = self._binary('|', sign)
      if not self._is(')'):
        self._fail(self.tokens[self.next][2], f"expected ')' for the '(' of character {position}")
      self.next += 1
    self.depth -= 1
    return tree

  def _name(self, value, position, sign):
    if value not in self.names:
      hint = errors.nearest(value, self.names) or f'; attributes: {shortlist(self.names)}'
      self._fail(position, f'there is no attribute {value!r}{hint}')
    self.next += 1
    self.signed[sign].append(value)
    return ('name', value)


def shortlist(names: Sequence[str], limit: int = 12) -> str:
  """Returns the first names, comma-separated, and how many more there are."""
  if not names:
    return 'none'
  more = f' and {len(names) - limit} more' if len(names) > limit else ''
  return ', '.join(names[:limit]) + more
