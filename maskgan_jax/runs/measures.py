"""The measures of scores.csv: the grammar of its columns, and what each of them says.

A column is written and parsed by `Measure`:

```
[REFERENCE_][TASK_]QUANTITY[_CLASS][@THRESHOLD][[GROUP]][_std | _settings]
```

with a reference of do_nothing, truth, blank, exemplar or silhouette.

'truth_ba_accuracy[Glasses]', 'mask_iou@0.5_std' and 'distribution_settings' are examples. A
quantity is described by the evaluator that writes it, with `declare`.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import re
from typing import Any

# What is done to a picture, or which pictures are measured, with its heading, in printed order.
TASKS = {
  'transfer': 'transfer',
  'removal': 'removal',
  'ab': 'a to b',
  'ba': 'b to a',
  'erased': 'erased',
  'segmentation': 'classes',
  'a': 'real a',
  'b': 'real b',
  '': '',
}
DIRECTIONS = ('ab', 'ba')
DO_NOTHING, TRUTH, SOURCE = 'do_nothing', 'truth', 'source'  # references
# References that need no model.
BLANK, EXEMPLAR, SILHOUETTE = ('blank', 'exemplar', 'silhouette')
VALUE, DEVIATION, SETTINGS = 'value', 'std', 'settings'  # parts
NOT_MEASURES = ('step', 'split', 'time', 'pairs_asked')  # columns of scores.csv
# Columns with texts that no evaluator writes: of rows, of methods, and of picture_benchmark.
TEXTS = ('split', 'time', 'perceptual_network', 'data_fingerprint')

_COLUMN = re.compile(
  r'(?P<reference>do_nothing_|truth_|blank_|exemplar_(?=ab_|ba_)|silhouette_)?'
  r'(?P<task>transfer_|removal_|ab_|ba_|erased_|segmentation_|a_|b_)?'
  r'(?P<source>(?<=segmentation_)source_)?'
  r'(?P<quantity>[^@\[]+?)'
  r'(?:_(?P<number>\d+))?'
  r'(?:@(?P<threshold>[^\[]+?))?'
  r'(?:\[(?P<group>.*)\])?'
  r'(?:_(?P<part>std))?',
  re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Measure:
  """A column of scores.csv.

  Attributes:
    quantity: what is measured, such as 'ssim'.
    task: of `TASKS`; '' for a quantity without one.
    reference: what is measured in place of the model's answer: `DO_NOTHING` for the untranslated
      picture, `TRUTH` for the true answer, `SOURCE` for the source of a segmentation, `BLANK`,
      `EXEMPLAR` and `SILHOUETTE` for tricks (see evaluators `similarity` and `digits`).
    number: of the class, '' for all.
    threshold: where the mask is cut, as text; '' for the one found on validation pictures.
    group: the pictures or the attribute that alone count; '' for all.
    part: `VALUE`, `DEVIATION`, or `SETTINGS` for the text that says how an evaluator was set.
  """

  quantity: str
  task: str = ''
  reference: str = ''
  number: str = ''
  threshold: str = ''
  group: str = ''
  part: str = VALUE

  @property
  def column(self) -> str:
    """Returns the name of the column."""
    task = self.task
    # Doing nothing in a transfer is doing nothing at all: its columns leave out the task.
    if task == 'transfer' and self.reference == DO_NOTHING:
      task = ''
    words = [self.reference, task]
    if self.reference == SOURCE:
      words.reverse()
    name = '_'.join(filter(None, [*words, self.quantity, self.number]))
    if self.threshold:
      name += f'@{self.threshold}'
    if self.group:
      name += f'[{self.group}]'
    return name if self.part == VALUE else f'{name}_{self.part}'

  @classmethod
  def parse(cls, column: str) -> 'Measure':
    """Returns the measure of a column; one of an unknown form is a quantity of that name."""
    if column.endswith(f'_{SETTINGS}') and '[' not in column:
      return cls(column.removesuffix(f'_{SETTINGS}'), part=SETTINGS)
    match = _COLUMN.fullmatch(column)
    if match is None:
      return cls(column)
    words = {
      name: (text or '').removesuffix('_') for name, text in match.groupdict().items()
    }
    reference = words['reference'] or words['source']
    task = words['task']
    if reference == DO_NOTHING and not task:
      task = 'transfer'
    measure = cls(
      match['quantity'],
      task,
      reference,
      words['number'],
      match['threshold'] or '',
      match['group'] or '',
      words['part'] or VALUE,
    )
    # What is spelled otherwise than its parts say, such as 'ab_x[]', is a name of its own.
    return measure if measure.column == column else cls(column)

  def of(self, reference: str) -> 'Measure':
    """Returns the same measure of a reference."""
    return dataclasses.replace(self, reference=reference)

  def in_group(self, group: str) -> 'Measure':
    """Returns the same measure of a group; '' is all."""
    return dataclasses.replace(self, group=group)

  @property
  def deviation(self) -> 'Measure':
    """Returns the measure's deviation over pictures."""
    return dataclasses.replace(self, part=DEVIATION)

  @property
  def do_nothing(self) -> 'Measure':
    """Returns what handing the source back would get in the measure."""
    return self.of(SOURCE if self.task == 'segmentation' else DO_NOTHING)


@dataclasses.dataclass(frozen=True)
class Quantity:
  """What an evaluator measures.

  Attributes:
    name: such as 'ssim'.
    tasks: of `TASKS`, in which it is measured.
    meaning: a sentence for readers of a report.
    title: its heading in tables; '' is the name.
    better: 1 if higher values are better, -1 if lower ones are, 0 if neither.
    unit: shown after the title; '%' is a share in scores.csv, shown times 100.
    digits: after the point, where it is printed.
    truth: a sentence on what true answers get; '' if that is not measured.
    at_threshold: a sentence on the quantity with a mask cut at a fixed value; '' if there is none.
    nothing: what doing nothing always gets; None if that is measured, or has no meaning.
  """

  name: str
  tasks: tuple[str, ...]
  meaning: str
  title: str = ''
  better: int = 0
  unit: str = ''
  digits: int = 3
  truth: str = ''
  at_threshold: str = ''
  nothing: float | None = None

  @property
  def heading(self) -> str:
    """Returns the title with the unit."""
    title = self.title or self.name.replace('_', ' ')
    return f'{title} ({self.unit})' if self.unit else title

  def text(self, value: float) -> str:
    """Returns a value as it is printed, in the quantity's unit."""
    return f'{100 * value if self.unit == "%" else value:,.{self.digits}f}'


PAIRS = Quantity(
  'pairs', ('',), meaning='How many pictures of each kind were measured.', digits=0
)

# By evaluator: its place in the order of columns, and its quantities.
_quantities: dict[str, tuple[float, list[Quantity]]] = {'': (1000, [PAIRS])}
_writers: dict[str, str] = {}  # text column -> evaluator


def declare(
  evaluator: str,
  quantities: Iterable[Quantity],
  texts: Iterable[str] = (),
  order: float = 500,
) -> None:
  """Makes an evaluator's measures known.

  Args:
    evaluator: its name.
    quantities: in the order in which reports show them.
    texts: columns of scores.csv in which it writes text.
    order: its place in reports; lower ones come first.
  """
  _quantities[evaluator] = order, list(quantities)
  _writers.update((column, evaluator) for column in texts)


def quantity(measure: Measure) -> Quantity | None:
  """Returns what is known of a measure's quantity, or None."""
  declared = _declared()
  same_name = [entry for entry in declared if entry.name == measure.quantity]
  for entry in same_name:
    if measure.task in entry.tasks:
      return entry
  return same_name[0] if same_name else None


def _declared() -> list[Quantity]:
  groups = sorted(_quantities.values(), key=lambda group: group[0])
  return [entry for _, entries in groups for entry in entries]


def writer(column: str) -> str:
  """Returns the evaluator that writes a text column, or ''."""
  measure = Measure.parse(column)
  return measure.quantity if measure.part == SETTINGS else _writers.get(column, '')


def is_text(column: str) -> bool:
  """Returns whether a column has texts, also where they look like numbers."""
  return column in TEXTS or bool(writer(column))


def settings_column(evaluator: str) -> str:
  """Returns the column that says how an evaluator was set."""
  return Measure(evaluator, part=SETTINGS).column


def ordered(row: Mapping[str, Any]) -> list[str]:
  """Returns the names of a row's measures, well-known ones first, without their companions."""
  # References and deviations stand beside their measure, and not in its place.
  companions = {baseline(row, name) for name in row}
  companions.update(Measure.parse(name).deviation.column for name in row)
  names = [
    name
    for name in row
    if name not in companions and name not in NOT_MEASURES and is_number(row[name])
  ]

  # Measures of one quantity follow each other by threshold; unknown ones come last.
  declared = _declared()
  ranks = {}
  for name in names:
    measure = Measure.parse(name)
    entry = quantity(measure)
    rank = len(declared) if entry is None else declared.index(entry)
    ranks[name] = rank, measure.threshold
  return sorted(names, key=ranks.get)


def baseline(row: Mapping[str, Any], name: str) -> str:
  """Returns the column that says what doing nothing scores in a measure, or ''."""
  measure = Measure.parse(name)
  column = measure.do_nothing.column
  return column if not measure.reference and column in row else ''


def label(name: str) -> str:
  """Returns a measure's name without the group of pictures, which may be long."""
  return Measure.parse(name).in_group('').column


def title(name: str) -> str:
  """Returns a measure's heading with its unit; the name of an unknown one."""
  entry = quantity(Measure.parse(name))
  return entry.heading if entry else name


def meaning(name: str) -> str:
  """Returns what a measure says, and of which pictures; '' if that is not known."""
  measure = Measure.parse(name)
  entry = quantity(measure)
  sentence = ''
  if entry:
    sentence = entry.at_threshold if measure.threshold else entry.meaning
    sentence = entry.truth if measure.reference == TRUTH else sentence
  if not measure.group:
    return sentence
  only = f'Only over the pictures in the group {measure.group}.'
  if measure.quantity == 'accuracy':
    only = f'Of {measure.group} alone.'
  return f'{only} {sentence}'.strip()


def better(name: str) -> int:
  """Returns 1 if higher values are better, -1 if lower ones are, 0 if that is not known."""
  measure = Measure.parse(name)
  entry = quantity(measure)
  # True answers and real pictures show a limit of the data or of a judge, not of the model.
  if entry is None or measure.reference == TRUTH or measure.task in ('a', 'b'):
    return 0
  return entry.better


def is_number(value: Any) -> bool:
  """Returns whether `value` is a number; True and False are not."""
  return isinstance(value, (int, float)) and not isinstance(value, bool)
