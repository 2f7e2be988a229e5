"""What a user study says: answers read and checked, shares of choices with confidence intervals."""

from collections.abc import Iterable, Mapping, Sequence
import csv
import dataclasses
import io
import json
from typing import Any

import numpy as np
from scipy import stats

from maskgan_jax import errors
from maskgan_jax.user_study.plan import ANSWERS_FORMAT, KEY_FORMAT, REAL, VERSION

_CONFIDENCE = 0.95
_RESAMPLES = 10_000
_FEW = 10  # participants; below, an interval over them is too narrow
_LARGEST = 10_000_000  # bytes of a file of answers


@dataclasses.dataclass(frozen=True)
class Answers:
  """The answers of one participant.

  Attributes:
    path: the file.
    participant: name or code.
    chosen: the method of the picture that was chosen, by trial.
  """

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
    """Returns how often the method was chosen, from 0 to 1."""
    return self.chosen / self.shown


def read_key(path: str) -> dict[str, Any]:
  """Returns the key of a study; raises UserError if the file is not one."""
  try:
    key = _load(path)
    _check_key(key)
  except (AttributeError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is not the key of a study: it is damaged'
    ) from error
  except ValueError as error:
    raise errors.UserError(f'{path} is not the key of a study: {error}') from error
  return key


def _check_key(key: Any) -> None:
  """Raises an error if something is missing in a key that this program reads later."""
  if key.get('format') == ANSWERS_FORMAT:
    raise ValueError("it is a participant's answers")
  if key.get('format') != KEY_FORMAT:
    raise ValueError('it is something else')
  if key['version'] != VERSION:
    raise ValueError(
      f'it is of version {key["version"]!r}, this program reads {VERSION}'
    )
  # Every trial asks a question of the key, and its choices are names.
  for trial in key['trials'].values():
    texts = [trial['question'], *trial['choices'].values()]
    if not all(isinstance(text, str) for text in texts):
      raise ValueError('it is damaged')
    if trial['question'] not in key['questions']:
      raise ValueError('it is damaged')
  if not key['trials']:
    raise ValueError('it has no trials')
  for question in key['questions'].values():
    _ = question['text'], question['paper']
  _ = key['study'], list(key['methods']), _made(key)  # what reports say


def read_answers(
  key: Mapping[str, Any], paths: Sequence[str]
) -> tuple[list[Answers], list[str]]:
  """Returns what can be counted, and a sentence for each file that is left out."""
  counted, refused = [], []
  path_of: dict[str, str] = {}  # by participant, however the name is spelled
  for path in paths:
    try:
      answers = _answers(key, path)
      who = answers.participant.casefold()
      if who in path_of:
        raise ValueError(
          f'its participant, {answers.participant!r}, is also that of {path_of[who]}'
        )
    except (errors.UserError, ValueError) as error:
      refused.append(f'{path} is left out: {error}')
      continue
    path_of[who] = path
    counted.append(answers)
  return counted, refused


def _answers(key: Mapping[str, Any], path: str) -> Answers:
  """Returns the answers of one file; ValueError says what is wrong with it."""
  # Files may hold answers to another study, of another version, or something else.
  content = _load(path)
  if not isinstance(content, dict) or content.get('format') != ANSWERS_FORMAT:
    raise ValueError('it holds no answers of a study')
  if content.get('version') != VERSION:
    raise ValueError(
      f'it is of version {_short(content.get("version"))}, this program reads {VERSION}'
    )
  if content.get('study') != key['study']:
    raise ValueError(
      f'it answers another study, {_short(content.get("study"))}, not {key["study"]!r}'
    )

  # Names are compared without regard to case and spaces.
  participant = content.get('participant')
  if (
    not isinstance(participant, str)
    or not participant.strip()
    or len(participant) > 200
  ):
    raise ValueError('it does not say whose answers it holds')
  return Answers(
    path, ' '.join(participant.split()), _chosen(content.get('answers'), key['trials'])
  )


def _chosen(pictures: Any, trials: Mapping[str, Any]) -> dict[str, str]:
  """Returns the method that was chosen in each trial; ValueError unless each has an answer."""
  if not isinstance(pictures, dict):
    raise ValueError('it is damaged: its answers are not a table')
  if unknown := pictures.keys() - trials.keys():
    raise ValueError(f'it answers {_short(min(unknown))}, which the study does not ask')
  chosen = {}
  for name, trial in trials.items():
    if name not in pictures:
      continue
    picture = pictures[name]
    if not isinstance(picture, str) or picture not in trial['choices']:
      raise ValueError(
        f'it is damaged: in {name} it chooses {_short(picture)}, which was not shown'
      )
    chosen[name] = trial['choices'][picture]
  if len(chosen) < len(trials):
    raise ValueError(f'it is incomplete: {len(chosen)} of {len(trials)} answers')
  return chosen


def _load(path: str) -> Any:
  """Returns the JSON of a file; raises ValueError or UserError in one line."""
  # Anything may be given as a file: no more than a limit is read.
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
    raise ValueError(
      f'it is not JSON, or damaged ({str(error).splitlines()[0][:80]})'
    ) from error


def _short(value: Any) -> str:
  text = repr(value)
  return text if len(text) <= 40 else text[:37] + '...'


def rows(key: Mapping[str, Any], answers: Sequence[Answers]) -> list[Row]:
  """Returns how often each method was chosen in each question, in the key's order."""
  result = []
  for question in key['questions']:
    choices_of = {}  # the methods that each of its trials shows
    for name, trial in key['trials'].items():
      if trial['question'] == question:
        choices_of[name] = list(trial['choices'].values())
    for method in key['methods']:
      offered = {
        name: choices for name, choices in choices_of.items() if method in choices
      }
      if offered:  # not where there are fewer pairs than methods, shown by turns
        result.append(_row(question, method, offered, answers))
  return result


def _row(
  question: str,
  method: str,
  offered: Mapping[str, Sequence[str]],
  answers: Sequence[Answers],
) -> Row:
  """Returns how often a method was chosen; `offered` are the choices of its trials, by name."""
  counts = []  # by participant
  for participant in answers:
    counts.append(sum(participant.chosen[name] == method for name in offered))
  chosen, shown = sum(counts), len(offered) * len(answers)
  clustered = None
  if len(answers) > 1:
    clustered = bootstrap(np.array(counts) / len(offered))

  # A coin with as many sides as there are choices, on average over the trials.
  chances = [1 / len(choices) for choices in offered.values()]
  return Row(
    question,
    method,
    chosen,
    shown,
    chance=float(np.mean(chances)),
    wilson=wilson(chosen, shown),
    clustered=clustered,
  )


def wilson(chosen: int, shown: int) -> tuple[float, float]:
  """Returns Wilson's 95 % score interval of a share."""
  interval = stats.binomtest(chosen, shown).proportion_ci(_CONFIDENCE, method='wilson')
  return float(interval.low), float(interval.high)


def bootstrap(shares: np.ndarray) -> tuple[float, float]:
  """Returns the 95 % percentile interval of the mean over participants' shares, [P]."""
  # Participants are drawn again, and not answers, as those of one person are alike.
  result = stats.bootstrap(
    (shares,),
    np.mean,
    n_resamples=_RESAMPLES,
    confidence_level=_CONFIDENCE,
    method='percentile',
    rng=np.random.default_rng(0),
  )
  low, high = result.confidence_interval
  return float(low), float(high)


_COLUMNS = (
  'question',
  'method',
  'chosen',
  'shown',
  'percent',
  'wilson_low',
  'wilson_high',
  'participants_low',
  'participants_high',
  'chance',
  'participants',
  'study',
)


def as_csv(key: Mapping[str, Any], results: Iterable[Row], participants: int) -> str:
  """Returns a line a row; shares in percent, intervals of 95 %."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(_COLUMNS)
  for row in results:
    clustered = row.clustered or (None, None)
    shares = (row.share, *row.wilson, *clustered, row.chance)
    percents = ['' if share is None else f'{100 * share:.2f}' for share in shares]
    writer.writerow(
      [
        row.question,
        row.method,
        row.chosen,
        row.shown,
        *percents,
        participants,
        key['study'],
      ]
    )
  return text.getvalue()


def as_markdown(
  key: Mapping[str, Any],
  results: Sequence[Row],
  participants: int,
  refused: Sequence[str],
) -> str:
  """Returns the report: how the study was made, a table, and how to read it."""
  people = f'{participants} participant{"s" * (participants != 1)}'
  # Heading, how the study was made, results, questions, notes, and what is left out.
  lines = [
    f'# {key.get("title") or "User study"}',
    '',
    f'Study `{key["study"]}`: {people}, {len(key["trials"])} answers each.',
    '',
  ]
  lines += [f'- {line}' for line in _made(key)]
  lines += ['', table(results), '', 'What was asked:', '']
  for name, question in key['questions'].items():
    lines.append(f'- **{name}**: “{question["text"]}” After {question["paper"]}.')
  lines.append('')
  lines += [f'- {line}' for line in _notes(key, participants)]
  if refused:
    lines += ['', f'Left out, {len(refused)}:', '']
    lines += [f'- {line}' for line in refused]
  return '\n'.join(lines) + '\n'


def table(results: Sequence[Row]) -> str:
  """Returns a Markdown table whose source is as easy to read."""
  columns = {
    'question': [row.question for row in results],
    'method': [row.method for row in results],
    'chosen': [f'{row.chosen} of {row.shown}' for row in results],
    '%': [f'{100 * row.share:.1f}' for row in results],
    '95 % (Wilson)': [_interval(row.wilson) for row in results],
  }
  if any(row.clustered for row in results):
    columns['95 % (participants)'] = [_interval(row.clustered) for row in results]
  columns['chance, %'] = [f'{100 * row.chance:.1f}' for row in results]

  # Text stands on the left of its column, numbers on the right; the second line is the rule.
  padded = []
  for heading, cells in columns.items():
    width = max(map(len, (heading, *cells)))
    if heading in ('question', 'method'):
      column = [cell.ljust(width) for cell in (heading, *cells)]
      column.insert(1, '-' * width + '-')
    else:
      column = [cell.rjust(width) for cell in (heading, *cells)]
      column.insert(1, '-' * width + ':')
    padded.append(column)
  head, rule, *rest = zip(*padded, strict=True)
  lines = ['| ' + ' | '.join(cells) + ' |' for cells in (head, *rest)]
  lines.insert(1, '|-' + '|-'.join(rule) + '|')
  return '\n'.join(lines)


def _interval(ends: tuple[float, float] | None) -> str:
  return f'{100 * ends[0]:.1f} to {100 * ends[1]:.1f}' if ends else ''


def _made(key: Mapping[str, Any]) -> list[str]:
  """Returns where the pictures come from, as far as the key says."""
  lines = []
  for run in key.get('runs', ()):
    lines.append(
      f'`{run["name"]}`: {run["method"]}, step {run["step"]:,}, {run["workdir"]}'
    )
  if 'pairs' in key:
    lines.append(
      f'{key["pairs"]} pairs of the {key.get("split", "test")} split of '
      f'{key.get("data", "the data")}; orders drawn from seed {key.get("seed")}'
    )
  return lines


def _notes(key: Mapping[str, Any], participants: int) -> list[str]:
  """Returns how to read the table, a sentence or two each."""
  over_participants = '; with one participant, nothing can be said of others.'
  if participants > 1:
    over_participants = (
      ': the interval over participants draws whole participants again, '
      f'{_RESAMPLES:,} times.'
    )
  notes = [
    "A share is of the times that the method was shown. Wilson's interval takes answers "
    'as independent, but answers of one person are alike, so it is too narrow'
    f'{over_participants}'
  ]
  if 1 < participants < _FEW:
    notes.append(
      f'With {participants} participants that one is too narrow as well, and it has no '
      'width where all of them say the same.'
    )
  if any(REAL in trial['choices'].values() for trial in key['trials'].values()):
    notes.append(
      'realism: each picture of a method stood beside a real one, and the share is how '
      'often it was taken for the more realistic; at 50 % they cannot be told apart.'
    )
  notes.append('No interval says what other pairs of pictures would have given.')
  return notes
