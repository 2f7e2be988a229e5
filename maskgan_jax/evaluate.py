"""Measures the checkpoints of a run that scores.csv does not have yet, and rewrites report.html.

With --pretrained it measures a model again, beside the figures of its card.

  python -m maskgan_jax.evaluate --workdir=RUN          (watches until the last step is measured)
  python -m maskgan_jax.evaluate --workdir=RUN --once
  python -m maskgan_jax.evaluate --workdir=RUN --once --again --config.evaluators=masks
  python -m maskgan_jax.evaluate --pretrained=additional_mask_shapes

It may run beside the training, on another machine if both see the folder. --config.key=value
overrides the run's own config for the measuring: evaluators, evaluation_batch_size,
evaluation_pairs, data. What is measured on other data than the run's own gets rows of its own,
named by the keys that differ.

--pretrained draws the data that the model's config.json names, and prints the figures of the card,
those measured now and the differences; nothing is written. Pictures that are not drawn, such as
MNIST's digits, have to be named: --config.data.path=DIRECTORY.
"""

from collections.abc import Callable, Mapping
from typing import Any

from absl import flags
import ml_collections

from maskgan_jax import cli, errors, evaluators
from maskgan_jax import config as run_config
from maskgan_jax.data import pipeline
from maskgan_jax.evaluators.base import Reporter
from maskgan_jax.reports import report
from maskgan_jax.runs import checkpoints, row_names, scores
from maskgan_jax.translator import packaged, Translator

# With `model`, what a checkpoint is made for.
_MODEL_KEYS = ('method', 'image_size', 'image_width')
_FLAGS_OF_RUNS = ('once', 'again', 'interval')


def evaluate(
  workdir: str,
  config: ml_collections.ConfigDict,
  *,
  once: bool = True,
  again: bool = False,
  wait: Callable[[], None] = lambda: None,
  poll: Callable[[], None] = lambda: None,
  note: Callable[[str], None] = print,
) -> dict[int, dict[str, Any]]:
  """Measures every checkpoint that is not in scores.csv, oldest first.

  Args:
    workdir: folder of the run.
    config: the run's, with overrides applied.
    once: measures what is there now; otherwise goes on until `config.num_steps` is measured.
    again: also measures what is in scores.csv already.
    wait: is called when there is nothing new.
    poll: is called often; may raise to stop.
    note: takes lines on what is done and what cannot be.
  Returns:
    step -> its results, for the steps measured now.
  """
  _check_evaluators(config)
  _check_model(workdir, config)
  run = _Run(workdir, config, Reporter(poll, note))
  if not again:
    run.skip_measured()
  while True:
    poll()
    steps = run.new_steps()
    for step in steps:
      poll()
      run.measure(step)
    if once or run.last_step >= config.num_steps:
      break
    if not steps:
      wait()
  run.conclude(once)
  return run.measured


def _check_evaluators(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a misspelt evaluator or none at all, before any data is made."""
  if not config.evaluators:
    raise errors.UserError(
      'config.evaluators is empty, so there is nothing to measure; name some '
      'with --config.evaluators=NAME,NAME'
    )
  for name in config.evaluators:
    evaluators.make(name, config)


def _check_model(folder: str, config: ml_collections.ConfigDict) -> None:
  """Raises UserError for overrides of what the trained model decides, before any data is made."""
  differences = run_config.differences(
    _of_model(run_config.load(folder)), _of_model(config)
  )
  if differences:
    raise errors.UserError(
      f'{folder} holds a model that is trained already ({differences}): it can only be measured '
      'as it is; leave these overrides out'
    )


def _of_model(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns the keys that decide what a model is and takes, and their values."""
  values = {}
  for key, value in run_config.flatten(config):
    if key in _MODEL_KEYS or key.startswith('model.'):
      values[key] = value
  return values


class _Run:
  """A run whose checkpoints are being measured.

  Attributes:
    measured: step -> results, of the steps measured so far.
    failures: why other steps were not measured, in order.
  """

  def __init__(
    self, workdir: str, config: ml_collections.ConfigDict, reporter: Reporter
  ):
    self.measured: dict[int, dict[str, Any]] = {}
    self.failures: list[errors.UserError] = []
    self._workdir, self._config, self._reporter = workdir, config, reporter
    self._done: set[int] = set()
    self._notes: dict[str, None] = {}  # what evaluators said, once each
    self._data = self._translator = None
    self._config_of_run = run_config.load(workdir)

  @property
  def last_step(self) -> int:
    """Returns the highest step that was measured, tried or skipped; -1 without one."""
    return max(self._done, default=-1)

  def skip_measured(self) -> None:
    """Leaves out the steps that scores.csv has rows of, with the same data."""
    row_name = self._row_name()
    for row in scores.read(self._workdir):
      if row['split'] == row_name:
        self._done.add(row['step'])

  def new_steps(self) -> list[int]:
    """Returns the steps of checkpoints that have appeared since."""
    return [step for step in self.saved_steps() if step not in self._done]

  def saved_steps(self) -> list[int]:
    """Returns the steps of the checkpoints."""
    with checkpoints.Checkpoints(self._workdir, read_only=True) as saved:
      return saved.steps()

  def measure(self, step: int) -> None:
    """Measures a checkpoint, prints its results and rewrites the report."""
    self._done.add(step)
    config = self._config
    data = self._open_data()
    # The translator of the step before keeps its compiled programs.
    try:
      self._translator = Translator.from_workdir(
        self._workdir, step, like=self._translator
      )
    except errors.UserError as error:
      # Otherwise training has replaced the checkpoint by a newer one meanwhile.
      if step in self.saved_steps():
        self._fail(step, error)
      return
    row_name = self._row_name()
    try:
      results = evaluators.measure(
        self._translator,
        data,
        config,
        self._workdir,
        step,
        poll=self._reporter.poll,
        note=self._note_once,
        row_name=row_name,
      )
    except errors.NotFiniteError as error:
      self._fail(step, error)
      return

    # The page is rewritten after each step, because the watching may end at any time.
    self.measured[step] = results
    report.write(self._workdir, {'unmeasured': list(self._notes)})
    results = {**results, **evaluators.provenance(self._translator)}
    heading = f'step {step}'
    if row_name != evaluators.SPLIT:
      heading += f", as {row_name!r} in scores.csv: these data are not the run's own"
    self._reporter.note(f'{heading}\n{evaluators.table(results)}'.rstrip())

  def _open_data(self) -> pipeline.Data:
    """Returns the data, which are opened once."""
    if self._data is None:
      self._data = pipeline.make(self._config)
    return self._data

  def _row_name(self) -> str:
    """Returns the name of the rows: data that are not the run's own have theirs."""
    elsewhere = False
    if row_names.moved(self._config_of_run, self._config):
      elsewhere = self._open_data().identity != self._trained_data()
    return row_names.row_name(
      evaluators.SPLIT, self._config_of_run, self._config, elsewhere=elsewhere
    )

  def _trained_data(self) -> str:
    """Returns the identity of the data that the newest checkpoint was trained on."""
    with checkpoints.Checkpoints(self._workdir, read_only=True) as saved:
      step = saved.latest()
      return '' if step is None else saved.data_identity(step)

  def conclude(self, once: bool) -> None:
    """Notes that nothing was new; UserError if nothing could be measured."""
    if once and not self.saved_steps():
      raise errors.UserError(
        f'{self._workdir} has no checkpoint yet; leave out --once to wait for one'
      )
    if self.measured:
      return
    if self.failures:
      raise self.failures[0]
    self._reporter.note(
      'every checkpoint is in scores.csv already; --again measures them again'
    )

  def _fail(self, step: int, error: errors.UserError) -> None:
    self.failures.append(error)
    self._reporter.note(f'step {step} is left out: {error}')

  def _note_once(self, line: str) -> None:
    if line not in self._notes:
      self._notes[line] = None
      self._reporter.note(line)


def measure_pretrained(
  name: str,
  config: ml_collections.ConfigDict,
  *,
  poll: Callable[[], None] = lambda: None,
  note: Callable[[str], None] = print,
) -> dict[str, float | str]:
  """Measures a pretrained model again and notes the results beside its card's; writes nothing.

  Args:
    name: a model that comes with the package, or a model's folder.
    config: the model's, with overrides applied.
    poll: is called often; may raise to stop.
    note: takes the table, and lines on what cannot be measured.
  Returns:
    name -> value, as `evaluators.run` does.
  Raises:
    UserError: the card has no figures, or the data cannot be drawn or measured.
  """
  folder = packaged.find(name)
  _check_model(folder, config)
  figures = packaged.figures(folder)
  translator, data = Translator.from_pretrained(name), _data_of(name, config)
  results = evaluators.run(
    translator,
    data,
    names=config.evaluators,
    batch_size=config.evaluation_batch_size,
    max_pairs=config.evaluation_pairs,
    poll=poll,
    note=note,
    config=config,
  )
  if not results:
    raise errors.UserError(
      f'nothing of {name} was measured with '
      f'config.evaluators={",".join(config.evaluators)}'
    )
  note(f'{name}: {results["pairs"]:,.0f} pairs\n{beside_card(figures, results)}')
  return results


def _data_of(name: str, config: ml_collections.ConfigDict) -> pipeline.Data:
  """Returns the data of a pretrained model; UserError says why they cannot be drawn."""
  try:
    return pipeline.make(config)
  except errors.UserError as error:
    raise errors.UserError(
      f'the data of {name} cannot be drawn here: {error}'
    ) from error


def beside_card(figures: Mapping[str, str], results: Mapping[str, float | str]) -> str:
  """Returns a table of a card's figures, what was measured, and the differences."""
  width = max(map(len, figures))
  lines = [f'{"figure":{width}} {"card":>9} {"now":>10} {"difference":>11}']
  for column, number in figures.items():
    value = results.get(column)
    if not isinstance(value, float):
      lines.append(f'{column:{width}} {number:>9} {"unmeasured":>10}')
      continue
    # A digit more than the card has shows what is rounding.
    digits = len(number.partition('.')[2]) + 1
    difference = value - float(number)
    lines.append(
      f'{column:{width}} {number:>9} {value:10.{digits}f} {difference:+11.{digits}f}'
    )
  return '\n'.join(lines)


def define_flags() -> None:
  """Defines the command's flags; --config.key=value comes from cli.run."""
  flags.DEFINE_string('workdir', '', 'Folder of the run.')
  flags.DEFINE_string(
    'pretrained',
    '',
    'In place of a run, a model that comes with the package, or a folder that '
    'Translator.save wrote: measures it again and prints its card beside it.',
  )
  flags.DEFINE_bool(
    'once', False, 'Measure what is there and end, instead of watching.'
  )
  flags.DEFINE_bool('again', False, 'Also measure what is in scores.csv already.')
  flags.DEFINE_float(
    'interval', 30.0, 'Seconds between two looks for a new checkpoint.', lower_bound=0.1
  )


def main() -> None:
  """Runs the command."""
  arguments = flags.FLAGS
  if not arguments.pretrained:
    cli.require('workdir')
    _evaluate_run(run_config.from_flags())
    return
  if arguments.workdir:
    raise errors.UserError('--workdir or --pretrained must be given, not both')
  for name in _FLAGS_OF_RUNS:
    if arguments[name].present:
      raise errors.UserError(f'--{name} is of a run in --workdir, not of --pretrained')
  config = run_config.from_flags()
  _, poll = cli.watch('asked to stop; the same command measures anew')
  measure_pretrained(arguments.pretrained, config, poll=poll, note=_print_at_once)


def _evaluate_run(config: ml_collections.ConfigDict) -> None:
  """Measures the run in --workdir as the other flags say."""
  arguments = flags.FLAGS
  stop, poll = cli.watch(
    'asked to stop; the same command goes on with what is not measured yet'
  )
  evaluate(
    arguments.workdir,
    config,
    once=arguments.once,
    again=arguments.again,
    poll=poll,
    wait=lambda: stop.wait(arguments.interval),
    note=_print_at_once,
  )


def _print_at_once(line: str) -> None:
  """Prints a line that a pipe has at once."""
  print(line, flush=True)


if __name__ == '__main__':
  define_flags()
  cli.run(main, config_of_workdir=True, saves_memory=cli.MEASURING_MEMORY)
