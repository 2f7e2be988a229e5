"""Which records make a domain: "Eyeglasses & ~Wearing_Hat | (Smiling & Male)", without `eval`."""

from collections.abc import Sequence
import dataclasses
import re

import numpy as np

from maskgan_jax import errors

_TOKEN = re.compile(
  r"""\s*(?:(?P<symbol>[~&|()])|'(?P<single>[^']+)'|"(?P<double>[^"]+)"
                        |(?P<name>[^\s~&|()'"]+))""",
  re.VERBOSE,
)
_MAX_DEPTH = 50  # the parser recurses; no hand-written predicate comes near


@dataclasses.dataclass(frozen=True)
class Predicate:
  """A parsed predicate; an empty one holds for every record.

  Attributes:
    text: as written.
    positive: names under an even number of ~, in order of appearance; `negative`: under an odd one.
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

  def _evaluate(self, tree: tuple, attributes: np.ndarray) -> np.ndarray:
    kind, *branches = tree
    if kind == 'name':
      return attributes[:, self._names.index(branches[0])]
    if kind == '~':
      return ~self._evaluate(branches[0], attributes)
    left, right = (self._evaluate(branch, attributes) for branch in branches)
    return left & right if kind == '&' else left | right


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
  positive = tuple(dict.fromkeys(parser.signed[True]))
  negative = tuple(dict.fromkeys(parser.signed[False]))
  return Predicate(text, positive, negative, tree, tuple(names))


def parse_union(text: str, names: Sequence[str], *, where: str) -> tuple[str, ...]:
  """Parses names with | between them, e.g. "Black_Hair | Red_Hair"; '' is none.

  Raises:
    UserError: as `parse`, and for ~ and &.
  """
  parsed = parse(text, names, where=where)
  if parsed._tree and not _is_union(parsed._tree):
    raise errors.UserError(
      f"{where}={text!r}: expected names with '|' between, no ~ or &"
    )
  return parsed.positive


def _is_union(tree: tuple) -> bool:
  kind, *branches = tree
  return kind == 'name' or (kind == '|' and all(map(_is_union, branches)))


class _Parser:
  """Recursive descent over the tokens of one predicate."""

  def __init__(self, text: str, names: tuple[str, ...], where: str):
    self.text, self.names, self.where = text, names, where
    self.signed = {True: [], False: []}  # names so far, by their sign
    self.tokens = self._tokens()
    self.next = 0  # the token
    self.depth = 0  # of ( and ~ inside each other

  def _tokens(self) -> list[tuple[str, str, int]]:
    """Returns (kind, value, position), position counted from 1, ending with kind 'end'."""
    tokens, position = [], 0
    while rest := self.text[position:].strip():
      match = _TOKEN.match(self.text, position)
      # Whatever does not match begins with a quote that is not closed.
      if not match:
        self._fail(self.text.index(rest, position) + 1, 'a quote is not closed')
      kind = 'symbol' if match['symbol'] else 'name'
      value = match[match.lastgroup]
      tokens.append((kind, value, match.start(match.lastgroup) + 1))
      position = match.end()
    tokens.append(('end', '', len(self.text.rstrip()) + 1))
    return tokens

  def _fail(self, position: int, problem: str) -> None:
    raise errors.UserError(
      f'{self.where}={self.text!r}: {problem} at character {position}'
    )

  def _is(self, symbol: str) -> bool:
    """Returns whether the next token is this symbol."""
    kind, value, _ = self.tokens[self.next]
    return kind == 'symbol' and value == symbol

  def parse(self) -> tuple:
    """Returns ('name', n), ('~', tree), ('&', tree, tree) or ('|', tree, tree)."""
    tree = self._binary('|', True)
    kind, value, position = self.tokens[self.next]
    if kind != 'end':
      self._fail(position, f"expected '&', '|' or the end, found {value!r}")
    return tree

  def _binary(self, symbol: str, sign: bool) -> tuple:
    """Parses operands with a symbol between them, & or |."""
    tree = self._operand(symbol, sign)
    while self._is(symbol):
      self.next += 1
      tree = (symbol, tree, self._operand(symbol, sign))
    return tree

  def _operand(self, symbol: str, sign: bool) -> tuple:
    return self._binary('&', sign) if symbol == '|' else self._unary(sign)

  def _unary(self, sign: bool) -> tuple:
    """Parses a name, a negation or an expression in parentheses."""
    kind, value, position = self.tokens[self.next]
    if kind == 'name':
      return self._name(value, position, sign)
    if value not in ('~', '('):
      token = 'the end' if kind == 'end' else repr(value)
      self._fail(position, f'expected an attribute, found {token}')

    # Deep nesting would exhaust Python's stack.
    self.next += 1
    self.depth += 1
    if self.depth > _MAX_DEPTH:
      self._fail(position, f"more than {_MAX_DEPTH} '(' and '~' inside each other")
    if value == '~':
      tree = ('~', self._unary(not sign))
    else:
      tree = self._binary('|', sign)
      if not self._is(')'):
        self._fail(
          self.tokens[self.next][2], f"expected ')' for the '(' of character {position}"
        )
      self.next += 1
    self.depth -= 1
    return tree

  def _name(self, value: str, position: int, sign: bool) -> tuple:
    """Takes a name in, if there is an attribute that is called so."""
    if value not in self.names:
      hint = (
        errors.nearest(value, self.names) or f'; attributes: {shortlist(self.names)}'
      )
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
