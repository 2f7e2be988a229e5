"""Predicates over attributes: precedence, names, and errors that name the position."""

import itertools
import random

import numpy as np
import pytest

from maskgan_jax import errors
from maskgan_jax.data import predicates

_NAMES = ('Eyeglasses', 'Male', 'Smiling', '5_o_Clock_Shadow', 'no glasses', 'no-beard')
_TABLE = np.array(list(itertools.product([False, True], repeat=len(_NAMES))))
_BINDING = {'|': 0, '&': 1, '~': 2, 'name': 3}


def _random_tree(rng, depth):
  if depth == 0 or rng.random() < 0.2:
    return ('name', rng.choice(_NAMES))
  if rng.random() < 0.3:
    return ('~', _random_tree(rng, depth - 1))
  return (rng.choice('&|'), _random_tree(rng, depth - 1), _random_tree(rng, depth - 1))


def _write(tree, rng):
  """Returns the tree as text, with the parentheses that it needs and some that it does not."""
  kind, *branches = tree
  if kind == 'name':
    return f"'{branches[0]}'" if ' ' in branches[0] or rng.random() < 0.2 else branches[0]
  parts = [f'({_write(branch, rng)})'
           if _BINDING[branch[0]] < _BINDING[kind] or rng.random() < 0.2 else _write(branch, rng)
           for branch in branches]
  space = rng.choice(['', ' ', '  '])
  return '~' + space + parts[0] if kind == '~' else f'{space}{kind}{space}'.join(parts)


def _holds(tree, row):
  kind, *branches = tree
  if kind == 'name':
    return bool(row[_NAMES.index(branches[0])])
  if kind == '~':
    return not _holds(branches[0], row)
  return (any if kind == '|' else all)(_holds(branch, row) for branch in branches)


def test_random_predicates_against_their_truth_table():
  for seed in range(60):
    rng = random.Random(seed)
    tree = _random_tree(rng, 4)
    text = _write(tree, rng)
    selected = predicates.parse(text, _NAMES).select(_TABLE)
    assert selected.tolist() == [_holds(tree, row) for row in _TABLE], (seed, text)


def test_precedence():
  male, smiling, glasses = (_TABLE[:, _NAMES.index(n)] for n in ('Male', 'Smiling', 'Eyeglasses'))
  selected = predicates.parse('Eyeglasses | Male & ~Smiling', _NAMES).select(_TABLE)
  np.testing.assert_array_equal(selected, glasses | (male & ~smiling))


@pytest.mark.parametrize('text', ['', '  '])
def test_nothing_asked_for_is_everything(text):
  assert predicates.parse(text, _NAMES).select(_TABLE).all()
  assert predicates.parse(text, ()).select(np.zeros((3, 0), bool)).tolist() == [True] * 3


@pytest.mark.parametrize('text, positive, negative', [
    ('~Eyeglasses', (), ('Eyeglasses',)),
    ('Eyeglasses & ~Male', ('Eyeglasses',), ('Male',)),
    ('~(Eyeglasses & ~Male)', ('Male',), ('Eyeglasses',)),
    ('~~Smiling | Smiling & ~Smiling', ('Smiling',), ('Smiling',)),
])
def test_signs_of_names(text, positive, negative):
  parsed = predicates.parse(text, _NAMES)
  assert (parsed.positive, parsed.negative) == (positive, negative)


@pytest.mark.parametrize('text, problem', [
    ('Eyeglases', r"no attribute 'Eyeglases' \(did you mean 'Eyeglasses'\?\) at character 1"),
    ('Male & Xyzzy', r"no attribute 'Xyzzy'; attributes: Eyeglasses, .* at character 8"),
    ('Male & & Smiling', "expected an attribute, found '&' at character 8"),
    ('Male &', 'expected an attribute, found the end at character 7'),
    ('Male Smiling', "expected '&', '|' or the end, found 'Smiling' at character 6"),
    ('(Male | Smiling', r"expected '\)' for the '\(' of character 1 at character 16"),
    ('Male)', r"found '\)' at character 5"),
    ('()', r"found '\)' at character 2"),
    ("Male & 'no glasses", 'a quote is not closed at character 8'),
    ('~' * 60 + 'Male', "more than 50 '\\(' and '~'"),
    ('(' * 5000, "more than 50 '\\(' and '~'"),
    ('__import__("os")', 'no attribute'),
])
def test_errors_say_where(text, problem):
  with pytest.raises(errors.UserError, match='config.data.b=.*' + problem.replace('|', '\\|')):
    predicates.parse(text, _NAMES, where='config.data.b')


def test_unions_are_names_in_their_order():
  for text, names in [('Smiling', ('Smiling',)), ('', ()), (' ', ()),
                      ('Smiling | Male|"no glasses"', ('Smiling', 'Male', 'no glasses')),
                      ('(Male | Smiling) | Male', ('Male', 'Smiling'))]:
    assert predicates.parse_union(text, _NAMES, where='x') == names
  for text in ('~Male', 'Male & Smiling', 'Male | (Smiling & Eyeglasses)', 'Male | ~Smiling'):
    with pytest.raises(errors.UserError, match="x=.*: expected names with '|' between"):
      predicates.parse_union(text, _NAMES, where='x')
  with pytest.raises(errors.UserError, match="no attribute 'Mael' .did you mean 'Male'.. at char"):
    predicates.parse_union('Smiling | Mael', _NAMES, where='x')
