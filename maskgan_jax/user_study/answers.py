"""What a user study says: answers read and checked, shares of choices with confidence intervals."""

from collections.abc import Mapping, Sequence
import csv
import dataclasses
import io
import json
import math
from typing import Any

import numpy as np

from maskgan_jax import errors
from maskgan_jax.user_study.plan import ANSWERS_FORMAT, KEY_FORMAT, REAL, VERSION

_Z = 1.959963984540054  # 97.5 % of a normal distribution lie below
_RESAMPLES = 10_000
_FEW = 10  # participants; below, an interval over them is too narrow
_LARGEST = 10_000_000  # bytes of a file of answers


@dataclasses.dataclass(frozen=True)
class Answers:
  """One participant's: `chosen` is the method of the picture chosen, by trial."""
  path: str
  participant: str
  chosen: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Row:
  """One method in one question.

  Attributes:
    question: its name.
    method: its name.
    chosen: how often it was chosen.
    shown: how often it could be.
    chance: the share that a coin would give it.
    wilson: 95 % interval of the share, as if answers were independent.
    clustered: 95 % interval by bootstrap over participants; None with only one.
  """
  question: str
  method: str
  chosen: int
  shown: int
  chance: float
  wilson: tuple[float, float]
  clustered: tuple[float, float] | None

  @property
  def share(self) -> float:
    return self.chosen / self.shown


def read_key(path: str) -> dict[str, Any]:
  """Returns the key of a study; UserError if it is none."""
  try:
    key = _load(path)
    if key.get('format') != KEY_FORMAT:
      what = "a participant's answers" if key.get('format') == ANSWERS_FORMAT else 'something else'
      raise ValueError(f'it is {what}')
    if key['version'] != VERSION:
      raise ValueError(f'it is of version {key["version"]!r}, this program reads {VERSION}')
    for trial in key['trials'].values():
      if trial['question'] not in key['questions'] or not all(
          isinstance(method, str) for method in trial['choices'].values()):
        raise ValueError('it is damaged')
    if not key['trials']:
      raise ValueError('it has no trials')
    for question in key['questions'].values():
      _ = question['text'], question['paper']
    _ = key['study'], list(key['methods']), _made(key)  # what reports say
  except (AttributeError, KeyError, TypeError) as error:
    raise errors.UserError(f'{path} is not the key of a study: it is damaged') from error
  except ValueError as error:
    raise errors.UserError(f'{path} is not the key of a study: {error}') from error
  return key


def read_answers(key: Mapping[str, Any], paths: Sequence[str]) -> tuple[list[Answers], list[str]]:
  """Returns what can be counted, and a sentence for each file that is left out."""
  found, refused, seen = [], [], {}
  for path in paths:
    try:
      answers = _answers(key, path)
      who = answers.participant.casefold()
      if who in seen:
        raise ValueError(f'its participant, {answers.participant!r}, is also that of {seen[who]}')
    except (errors.UserError, ValueError) as error:
      refused.append(f'{path} is left out: {error}')
      continue
    seen[who] = path
    found.append(answers)
  return found, refused


def _answers(key, path) -> Answers:
  """One file; ValueError says what is wrong with it."""
  content = _load(path)
  if not isinstance(content, dict) or content.get('format') != ANSWERS_FORMAT:
    raise ValueError('it holds no answers of a study')
  if content.get('version') != VERSION:
    raise ValueError(f'it is of version {_short(content.get("version"))}, this program reads '
                     f'{VERSION}')
  if content.get('study') != key['study']:
    raise ValueError(f'it answers another study, {_short(content.get("study"))}, not '
                     f'{key["study"]!r}')
  who, given = content.get('participant'), content.get('answers')
  if not isinstance(who, str) or not who.strip() or len(who) > 200:
    raise ValueError('it does not say whose answers it holds')
  if not isinstance(given, dict):
    raise ValueError('it is damaged: its answers are not a table')
  if unknown := given.keys() - key['trials'].keys():
    raise ValueError(f'it answers {_short(min(unknown))}, which the study does not ask')
  chosen = {}
  for name, trial in key['trials'].items():
    if name not in given:
      continue
    if not isinstance(given[name], str) or given[name] not in trial['choices']:
      raise ValueError(f'it is damaged: in {name} it chooses {_short(given[name])}, which was not '
                       'shown')
    chosen[name] = trial['choices'][given[name]]
  if len(chosen) < len(key['trials']):
    raise ValueError(f'it is incomplete: {len(chosen)} of {len(key["trials"])} answers')
  return Answers(path, ' '.join(who.split()), chosen)


def _load(path: str) -> Any:
  """The JSON of a file; ValueError or UserError in one line."""
  try:
    with open(path, 'rb') as file:
      data = file.read(_LARGEST + 1)
  except OSError as error:
    raise errors.UserError(f'cannot read {path}: {error.strerror or error}') from error
  if len(data) > _LARGEST:
    raise ValueError(f'it has more than {_LARGEST:,} bytes')
  try:
    return json.loads(data.decode('utf-8-sig'))
  except (ValueError, RecursionError) as error:
    raise ValueError(f'it is not JSON, or damaged ({str(error).splitlines()[0][:80]})') from error


def _short(value: Any) -> str:
  text = repr(value)
  return text if len(text) <= 40 else text[:37] + '...'


def rows(key: Mapping[str, Any], answers: Sequence[Answers]) -> list[Row]:
  """Returns how often each method was chosen in each question, in the key's order."""
  result = []
  for question in key['questions']:
    trials = {name: list(trial['choices'].values()) for name, trial in key['trials'].items()
              if trial['question'] == question}
    for method in key['methods']:
      offered = {name: choices for name, choices in trials.items() if method in choices}
      if not offered:  # fewer pairs than methods, shown by turns
        continue
      chosen = np.array([sum(a.chosen[name] == method for name in offered) for a in answers])
      shown, chance = len(offered), np.mean([1 / len(choices) for choices in offered.values()])
      total = int(chosen.sum())
      result.append(Row(question, method, total, shown * len(answers), float(chance),
                        wilson(total, shown * len(answers)),
                        bootstrap(chosen / shown) if len(answers) > 1 else None))
  return result


def wilson(chosen: int, shown: int) -> tuple[float, float]:
  """Returns Wilson's 95 % score interval of a share."""
  share, extra = chosen / shown, _Z * _Z / shown
  centre = (share + extra / 2) / (1 + extra)
  half = _Z / (1 + extra) * math.sqrt(share * (1 - share) / shown + extra / shown / 4)
  return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(shares: np.ndarray) -> tuple[float, float]:
  """Returns the 95 % percentile interval of the mean over participants' shares, [P]."""
  drawn = np.random.default_rng(0).integers(len(shares), size=(_RESAMPLES, len(shares)))
  low, high = np.percentile(shares[drawn].mean(axis=1), [2.5, 97.5])
  return float(low), float(high)


_COLUMNS = ('question', 'method', 'chosen', 'shown', 'percent', 'wilson_low', 'wilson_high',
            'participants_low', 'participants_high', 'chance', 'participants', 'study')


def as_csv(key: Mapping[str, Any], found: Sequence[Row], participants: int) -> str:
  """Returns a line a row; shares in percent, intervals of 95 %."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(_COLUMNS)
  for row in found:
    numbers = (row.share, *row.wilson, *(row.clustered or (None, None)), row.chance)
    writer.writerow([row.question, row.method, row.chosen, row.shown,
                     *('' if number is None else f'{100 * number:.2f}' for number in numbers),
                     participants, key['study']])
  return text.getvalue()


def as_markdown(key: Mapping[str, Any], found: Sequence[Row], participants: int,
                refused: Sequence[str]) -> str:
  """Returns the report: how the study was made, a table, and how to read it."""
  people = f'{participants} participant{"s" * (participants != 1)}'
  lines = [f'# {key.get("title") or "User study"}', '',
           f'Study `{key["study"]}`: {people}, {len(key["trials"])} answers each.', '']
  lines += [f'- {line}' for line in _made(key)]
  lines += ['', table(found), '', 'What was asked:', '']
  lines += [f'- **{name}**: “{question["text"]}” After {question["paper"]}.'
            for name, question in key['questions'].items()]
  lines += ['', *(f'- {line}' for line in _notes(key, participants))]
  if refused:
    lines += ['', f'Left out, {len(refused)}:', '', *(f'- {line}' for line in refused)]
  return '\n'.join(lines) + '\n'


def table(found: Sequence[Row]) -> str:
  """Returns a Markdown table whose source is as easy to read."""
  clustered = any(row.clustered for row in found)
  cells = [['question', 'method', 'chosen', '%', '95 % (Wilson)',
            *(['95 % (participants)'] * clustered), 'chance, %']]
  cells += [[row.question, row.method, f'{row.chosen} of {row.shown}', f'{100 * row.share:.1f}',
             _interval(row.wilson), *([_interval(row.clustered)] * clustered),
             f'{100 * row.chance:.1f}'] for row in found]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  left = 2  # columns of text; the others are numbers
  lines = ['| ' + ' | '.join(cell.ljust(width) if i < left else cell.rjust(width)
                             for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
           + ' |' for line in cells]
  rule = '|' + '|'.join('-' * (width + 2) if i < left else '-' * (width + 1) + ':'
                        for i, width in enumerate(widths)) + '|'
  return '\n'.join([lines[0], rule, *lines[1:]])


def _interval(ends: tuple[float, float] | None) -> str:
  return f'{100 * ends[0]:.1f} to {100 * ends[1]:.1f}' if ends else ''


def _made(key) -> list[str]:
  """Where the pictures come from, as far as the key says."""
  lines = [f'`{run["name"]}`: {run["method"]}, step {run["step"]:,}, {run["workdir"]}'
           for run in key.get('runs', ())]
  if 'pairs' in key:
    lines.append(f'{key["pairs"]} pairs of the {key.get("split", "test")} split of '
                 f'{key.get("data", "the data")}; orders drawn from seed {key.get("seed")}')
  return lines


def _notes(key, participants) -> list[str]:
  notes = ['A share is of the times that the method was shown. Wilson\'s interval takes answers '
           'as independent, but answers of one person are alike, so it is too narrow'
           + (': the interval over participants draws whole participants again, '
              f'{_RESAMPLES:,} times.' if participants > 1 else
              '; with one participant, nothing can be said of others.')]
  if 1 < participants < _FEW:
    notes.append(f'With {participants} participants that one is too narrow as well, and it has no '
                 'width where all of them say the same.')
  if any(REAL in trial['choices'].values() for trial in key['trials'].values()):
    notes.append('realism: each picture of a method stood beside a real one, and the share is how '
                 'often it was taken for the more realistic; at 50 % they cannot be told apart.')
  notes.append('No interval says what other pairs of pictures would have given.')
  return notes
