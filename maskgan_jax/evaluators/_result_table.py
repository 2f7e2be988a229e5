"""The results of evaluators as a few lines for the terminal."""

from collections.abc import Mapping, Sequence

from maskgan_jax.runs import measures

_UNKNOWN = 4  # digits of a measure that no evaluator describes


def table(results: Mapping[str, float | str]) -> str:
  """Returns the results in lines, beside what doing nothing would get; '' if there are none.

  Texts among the results, provenance, come last.
  """
  columns = [
    column for column in measures.ordered(results) if column != measures.PAIRS.name
  ]
  shown = [measures.Measure.parse(column) for column in columns]
  lines = []
  for task, heading in measures.TASKS.items():
    for measure in shown:
      if measure.task == task and _adds(measure, shown, results):
        lines.append(f'{heading:<9} {_line(measure, results)}'.rstrip())
  if not lines:
    return ''
  lines.insert(0, f'{"":<39} {"model":>8} {"do nothing":>11}')
  if measures.PAIRS.name in results:
    lines.append(f'{results[measures.PAIRS.name]:.0f} pairs')
  for column, value in results.items():
    if isinstance(value, str):
      lines.append(f'{column.replace("_", " ")}: {value}')
  return '\n'.join(lines)


def _adds(
  measure: measures.Measure,
  shown: Sequence[measures.Measure],
  results: Mapping[str, float | str],
) -> bool:
  """Returns whether a measure has a line of its own."""
  # References stand beside what the model gets.
  if measure.reference and measure.of('').column in results:
    return False
  if not measure.group:
    return True
  # The only group of a measure, with the same value, is all of its pictures.
  whole = measure.in_group('')
  siblings = [other for other in shown if other.group and other.in_group('') == whole]
  return len(siblings) > 1 or results[measure.column] != results.get(whole.column)


def _line(measure: measures.Measure, results: Mapping[str, float | str]) -> str:
  """Returns a measure's heading, value, what doing nothing gets, deviation and limit."""
  # A measure without a description is still shown, by the name of its column.
  quantity = measures.quantity(measure)
  if quantity is None:
    quantity = measures.Quantity(measure.of('').column, (), '', digits=_UNKNOWN)
  heading = quantity.heading
  for text in (measure.number, measure.threshold and f'at {measure.threshold}'):
    heading = f'{heading} {text}'.rstrip()
  if measure.group:
    heading += f': {measure.group}'

  def value(of):
    number = results.get(of.column)
    return '' if number is None else quantity.text(number)

  # What doing nothing gets was measured, or is known beforehand.
  nothing = value(measure.do_nothing)
  if not nothing and quantity.nothing is not None:
    nothing = quantity.text(quantity.nothing)
  line = f'{heading:<29} {value(measure):>8} {nothing:>11}'

  # The deviation and a perfect model's value follow where they were measured.
  if value(measure.deviation):
    line += f'   +- {value(measure.deviation)}'
  truth = measure.of(measures.TRUTH)
  if value(truth):
    line += f'   perfect {value(truth)}'
    if value(truth.deviation):
      line += f' +- {value(truth.deviation)}'
  return line
