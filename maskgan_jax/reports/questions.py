"""The three questions that a report answers in words: right place, right thing, rest untouched?"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from maskgan_jax.reports import charts
from maskgan_jax.runs import measures


@dataclasses.dataclass(frozen=True)
class _Figure:
  """A measure that answers a question.

  Attributes:
    column: of scores.csv.
    unit: one or two words after the value.
    sentence: what the value says; `{value}` stands in it.
    percent: the measure is a share, shown times 100.
    nothing: what doing nothing always gets; None where scores.csv says it, or nothing is known.
    verdict: whether the comparison with doing nothing is one of better and worse.
  """

  column: str
  unit: str
  sentence: str
  percent: bool = True
  nothing: float | None = None
  verdict: bool = True

  def text(self, value: float) -> str:
    """Returns a value as it is shown."""
    if not self.percent:
      return charts.number(value)
    percent = float(f'{100 * value:.2g}')
    return f'{charts.number(percent)}\N{NO-BREAK SPACE}%'


_PLACE = (
  _Figure(
    'mask_iou',
    'overlap',
    'The mask, which was learnt without ever seeing a true one, and the true region share '
    '{value} of the area that either covers; 100 % is the same region.',
    nothing=0,
    verdict=False,
  ),
  _Figure(
    'ab_changed_iou',
    'overlap',
    'The pixels that the translation changes and those that should change share {value} of '
    'the area that either covers; 100 % is the same region.',
    nothing=0,
    verdict=False,
  ),
)
_COLOURS = (
  'the colours are {value} of the way from black to white away from the right answer, '
  'on average.'
)
_LIKENESS = (
  'Structural likeness (SSIM) to the right answer over the whole picture; 1 is the same '
  'picture.'
)
_THING = (
  _Figure('transfer_error_inside', 'off', f'Where something has to change, {_COLOURS}'),
  _Figure('ab_error_inside', 'off', f'Where something has to change, {_COLOURS}'),
  _Figure(
    'ab_accuracy',
    'right',
    'A classifier finds what was asked for in {value} of the translations.',
  ),
  _Figure('transfer_ssim', 'likeness', _LIKENESS, percent=False),
  _Figure('ab_ssim', 'likeness', _LIKENESS, percent=False),
)
_REST_OF_PICTURE = (
  f'Everywhere else, {_COLOURS} Doing nothing is nearly perfect here: the nearer '
  'to it, the better.'
)
_REST = (
  _Figure('transfer_error_outside', 'off', _REST_OF_PICTURE, verdict=False),
  _Figure('ab_error_outside', 'off', _REST_OF_PICTURE, verdict=False),
)
_QUESTIONS = (  # each with its measures; the first one that was measured answers it
  ('Is it the right place?', _PLACE),
  ('Is it the right thing?', _THING),
  ('Is the rest untouched?', _REST),
)


@dataclasses.dataclass(frozen=True)
class Answer:
  """The answer to one of the questions.

  Attributes:
    question: in words.
    value: the figure, such as '8.1 %'.
    unit: one or two words after it.
    sentence: what the figure says.
    nothing: what doing nothing gets; '' if that is not known.
    verdict: 'better' or 'worse' than doing nothing, or ''.
    column: of scores.csv.
  """

  question: str
  value: str
  unit: str
  sentence: str
  nothing: str
  verdict: str
  column: str


def answers(row: Mapping[str, Any]) -> list[Answer]:
  """Returns the answers to those of the questions that a row of scores.csv can answer."""
  # The first figure that was measured answers its question.
  result = []
  for question, figures in _QUESTIONS:
    for figure in figures:
      if measures.is_number(row.get(figure.column)):
        result.append(_answer(question, figure, row))
        break
  return result


def _answer(question: str, figure: _Figure, row: Mapping[str, Any]) -> Answer:
  """Returns what a measure answers to a question."""
  # The measured value of doing nothing comes before the declared one.
  value, nothing = row[figure.column], figure.nothing
  if column := measures.baseline(row, figure.column):
    nothing = row[column]
  verdict = ''
  if figure.verdict and measures.is_number(nothing):
    verdict = comparison(figure.column, value, nothing)
  return Answer(
    question,
    figure.text(value),
    figure.unit,
    figure.sentence.format(value=figure.text(value)),
    figure.text(nothing) if measures.is_number(nothing) else '',
    verdict,
    figure.column,
  )


def comparison(name: str, value: float, nothing: float) -> str:
  """Returns 'better', 'worse' or 'the same' than doing nothing; '' if that cannot be said."""
  better = measures.better(name)
  if not better:
    return ''
  gain = (value - nothing) * better
  if gain > 0:
    return 'better'
  if gain < 0:
    return 'worse'
  return 'the same' if gain == 0 else ''  # a NaN is neither
