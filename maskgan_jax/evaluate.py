"""Measures the checkpoints of a run that scores.csv does not have yet, and rewrites report.html.

  python -m maskgan_jax.evaluate --workdir=RUN          (watches until the last step is measured)
  python -m maskgan_jax.evaluate --workdir=RUN --once
  python -m maskgan_jax.evaluate --workdir=RUN --once --again --config.evaluators=masks

It may run beside the training, on another machine if both see the folder. --config.key=value
overrides the run's own config for the measuring: evaluators, evaluation_batch_size,
evaluation_pairs, data.
"""

from collections.abc import Callable
from typing import Any

from absl import flags
import ml_collections

from maskgan_jax import cli, errors, evaluators
from maskgan_jax import config as run_config
from maskgan_jax.data import pipeline
from maskgan_jax.runs import checkpoints, report, scores
from maskgan_jax.translator import Translator


def evaluate(workdir: str, config: ml_collections.ConfigDict, *, once: bool = True,
             again: bool = False, wait: Callable[[], None] = lambda: None,
             poll: Callable[[], None] = lambda: None,
             note: Callable[[str], None] = print) -> dict[int, dict[str, Any]]:
  """Measures every checkpoint that is not in scores.csv, oldest first.

  Args:
    workdir: folder of the run.
    config: the run's, with overrides applied.
    once: those that are there now; otherwise goes on until `config.num_steps` is measured.
    again: also those in scores.csv already.
    wait: called when there is nothing new.
    poll: called often; may raise to stop.
    note: told what is done and what cannot be.
  Returns:
    step -> its results, for the steps measured now.
  """
  if not config.evaluators:
    raise errors.UserError('config.evaluators is empty, so there is nothing to measure; name some '
                           'with --config.evaluators=NAME,NAME')
  for name in config.evaluators:
    evaluators.make(name, config)  # a misspelt one is reported before any data is made
  said = {}  # in order

  def note_once(line):
    if line not in said:
      said[line] = True
      note(line)

  measured, failed = {}, {}
  data = translator = None
  known = {row['step'] for row in scores.read(workdir)
           if row['split'] == evaluators.SPLIT and not again}
  while True:
    poll()
    steps = _steps(workdir)
    new = [step for step in steps if step not in known]
    for step in new:
      poll()
      known.add(step)
      data = data or pipeline.make(config)
      try:
        translator = Translator.from_workdir(workdir, step, like=translator)
      except errors.UserError as error:
        if step in _steps(workdir):  # else training has replaced it by a newer one meanwhile
          failed[step] = error
          note(f'step {step} is left out: {error}')
        continue
      try:
        measured[step] = evaluators.measure(translator, data, config, workdir, step, poll=poll,
                                            note=note_once)
      except errors.NotFiniteError as error:
        failed[step] = error
        note(f'step {step} is left out: {error}')
        continue
      report.write(workdir, {'unmeasured': list(said)})
      results = {**measured[step], **evaluators.provenance(translator)}
      note(f'step {step}\n{evaluators.table(results)}'.rstrip())
    if once or max(known, default=-1) >= config.num_steps:
      break
    if not new:
      wait()
  if once and not steps:
    raise errors.UserError(f'{workdir} has no checkpoint yet; leave out --once to wait for one')
  if failed and not measured:
    raise next(iter(failed.values()))
  if not measured:
    note('every checkpoint is in scores.csv already; --again measures them again')
  return measured


def _steps(workdir: str) -> list[int]:
  with checkpoints.Checkpoints(workdir, read_only=True) as saved:
    return saved.steps()


def define_flags() -> None:
  """The command's flags; --config.key=value comes from cli.run."""
  flags.DEFINE_string('workdir', '', 'Folder of the run.')
  flags.DEFINE_bool('once', False, 'Measure what is there and end, instead of watching.')
  flags.DEFINE_bool('again', False, 'Also measure what is in scores.csv already.')
  flags.DEFINE_float('interval', 30.0, 'Seconds between two looks for a new checkpoint.',
                     lower_bound=0.1)


def main() -> None:
  """The command."""
  given = flags.FLAGS
  cli.require('workdir')
  config = run_config.from_flags()
  asked, poll = cli.watch(
      'told to stop; the same command goes on with what is not measured yet')
  evaluate(given.workdir, config, once=given.once, again=given.again, poll=poll,
           wait=lambda: asked.wait(given.interval), note=lambda line: print(line, flush=True))


if __name__ == '__main__':
  define_flags()
  cli.run(main, config_of_workdir=True, saves_memory=cli.MEASURING_MEMORY)
