r"""User studies with the papers' questions: makes a page to answer them on, reads the answers.

  python -m maskgan_jax.user_study make --workdirs=RUN,RUN --names=ours,cyclegan --pairs=30 \
      --output=study.html
  python -m maskgan_jax.user_study make --workdirs=RUN,RUN --output=study.html \
      --questions=transfer,identity --what='the glasses' --with_truth
  python -m maskgan_jax.user_study read --key=study.key.json --output=study.md answers/*.json

make translates the same test pairs by every run, and writes study.html, one page that needs no
network and hides whose picture is whose, and study.key.json, which says it: keep that to yourself.
Send participants the page; each answers by mouse, touch or keys, may go on after a reload, and at
the end saves a file of answers. The same command makes the same study.

read prints and writes (.md or .csv) how often each method was chosen in each question, in percent
with 95 % confidence intervals: Wilson's, and by bootstrap over participants. Files that are
damaged, incomplete, of another study, or of a participant who is there already are left out, each
with a line; exit code 2 if none is left.

Questions, in this order unless --questions says otherwise:
  realism     which looks more realistic: a method's picture or a real one (LOMIT's first AB test;
              pairs are divided among the methods)
  style       which has better applied the style of the exemplar (LOMIT)
  background  which has better kept the background (LOMIT)
  closer      which looks more like domain b (content transfer)
  transfer    which has better taken over --what of the exemplar (content transfer)
  identity    which better preserves the features of the source (content transfer)
Where no run takes exemplars, style and transfer are not asked.
"""

from collections.abc import Callable, Sequence
import dataclasses
import json
import os
import re
import sys
from typing import Any

from absl import flags
import ml_collections
import numpy as np

from maskgan_jax import cli, errors, files
from maskgan_jax import config as run_config
from maskgan_jax.data import pipeline
from maskgan_jax.translator import Translator
from maskgan_jax.user_study import answers as study_answers
from maskgan_jax.user_study import page as study_pages
from maskgan_jax.user_study import plan as study_plans

_FLAGS = {
  'make': (
    'workdirs',
    'names',
    'pairs',
    'seed',
    'questions',
    'what',
    'title',
    'with_truth',
    'reverse',
  ),
  'read': ('key',),
}
_NAME = re.compile(r'[\w.+() =-]{1,40}')
_BATCH = 64
_SECONDS = 6  # that an answer takes, roughly
_NOT_PICTURES = (
  'data_dir',
  'num_train',
  'flip',
  'in_memory',
  'prefetch',
  'workers',
  'zoom_probability',
  'zoom_least',
  'attributes',
  'mask',
  'erase',
  'apart',
  'masks_path',
  'labels_path',
)  # keys of config.data that change no picture


@dataclasses.dataclass(frozen=True)
class _Run:
  """A run that takes part: its name in the results, its folder, and its model."""

  name: str
  workdir: str
  translator: Translator

  @property
  def guided(self) -> bool:
    """Returns whether its translations follow exemplars."""
    return 'exemplar' in self.translator.abilities


def make(
  workdirs: Sequence[str],
  output: str,
  *,
  names: Sequence[str] = (),
  pairs: int = 30,
  seed: int = 0,
  questions: Sequence[str] = (),
  what: str = study_plans.WHAT,
  title: str = 'Which picture?',
  with_truth: bool = False,
  reverse: bool = False,
  note: Callable[[str], None] = print,
) -> tuple[str, str]:
  """Writes the page and its key; see the module's docstring.

  Args:
    workdirs: folders of runs; the first one's data is shown.
    output: the page, NAME.html; its key is NAME.key.json.
    names: of the runs in the results; by default those of their folders.
    pairs: at most this many, from the beginning of the test split as evaluation takes them.
    seed: of the orders.
    questions: of study_plans.QUESTIONS; all that make sense by default.
    what: is transferred, in a sentence: 'the glasses'.
    title: heading of the page.
    with_truth: true answers are a method as well.
    reverse: from domain b to a.
    note: takes a line that the user should know.
  Returns:
    The two files.
  """
  # Mistakes in the flags are found before a model is opened.
  key_path = _key_path(output)
  names = _names(workdirs, names)
  _check_questions(questions)
  runs = _open(workdirs, names, reverse)
  questions = _questions(
    questions, any(run.guided for run in runs), len(runs) + with_truth
  )
  for line in _other_data(runs):
    note(line)

  # The same pairs go through every run; the true answers may compete with them.
  pictures = _pictures(
    runs[0].translator.config, pairs, 'ba' if reverse else 'ab', note
  )
  results = _translations(runs, pictures)
  if with_truth:
    results[study_plans.TRUTH] = _truth(runs[0], pictures)
  study = study_plans.plan(
    {'source': pictures.source, 'target': pictures.target},
    results,
    questions,
    seed=seed,
    title=title,
    what=what,
    made=_made(runs, pictures),
  )
  _write(study, output, key_path, note)
  return output, key_path


def _key_path(output: str) -> str:
  """Returns the path of the key of a page; UserError if the page cannot be written there."""
  files.check_output(output)
  if not output.endswith('.html'):
    raise errors.UserError(f'--output={output}: the study is a page, NAME.html')
  return output.removesuffix('.html') + '.key.json'


def _names(workdirs: Sequence[str], names: Sequence[str]) -> list[str]:
  """Returns a name for each run; raises UserError unless names tell the runs apart."""
  if names and len(names) != len(workdirs):
    raise errors.UserError(
      f'{len(names)} --names for {len(workdirs)} --workdirs; give as many'
    )
  names = list(names) or [os.path.basename(os.path.abspath(path)) for path in workdirs]
  for name in names:
    if names.count(name) > 1:
      raise errors.UserError(
        f'two methods are called {name!r}; tell them apart with --names'
      )
    if not _NAME.fullmatch(name) or name in (study_plans.REAL, study_plans.TRUTH):
      raise errors.UserError(
        f'a method cannot be called {name!r}; give --names of letters, '
        f'digits and . + - = ( ), not {study_plans.REAL} or '
        f'{study_plans.TRUTH}'
      )
  return names


def _open(workdirs: Sequence[str], names: Sequence[str], reverse: bool) -> list[_Run]:
  """Opens the runs; UserError if their sizes differ, or one cannot translate in `reverse`."""
  sizes = []
  for workdir in workdirs:
    config = run_config.load(workdir)
    sizes.append((config.image_size, config.image_width or config.image_size))
    if sizes[-1] != sizes[0]:
      (height, width), (other_height, other_width) = sizes[0], sizes[-1]
      raise errors.UserError(
        f'{workdirs[0]} is of {height}x{width} pixels and {workdir} of '
        f'{other_height}x{other_width}; only runs of one size are compared'
      )
  runs = []
  for name, workdir in zip(names, workdirs, strict=True):
    translator = Translator.from_workdir(workdir)
    if reverse and 'reverse' not in translator.abilities:
      raise errors.UserError(f'{workdir}: {translator.config.method} has no --reverse')
    runs.append(_Run(name, workdir, translator))
  return runs


def _check_questions(questions: Sequence[str]) -> None:
  """Raises UserError for the name of a question that there is not."""
  for question in questions:
    if question not in study_plans.QUESTIONS:
      raise errors.UserError(
        f'unknown question {question!r}'
        f'{errors.nearest(question, study_plans.QUESTIONS)}; questions: '
        f'{", ".join(study_plans.QUESTIONS)}'
      )


def _questions(asked: Sequence[str], guided: bool, methods: int) -> list[str]:
  """Returns the questions to ask; raises UserError for one that makes no sense with the runs."""
  impossible = {}  # reason by question
  for name, question in study_plans.QUESTIONS.items():
    if 'exemplar' in question.shows and not guided:
      impossible[name] = 'asks about an exemplar, but none of the runs takes one'
    elif methods < 2 and not question.against:
      impossible[name] = 'compares methods; give two --workdirs, or --with_truth'
  for name in asked:
    if name in impossible:
      raise errors.UserError(f'the question {name} {impossible[name]}')
    if asked.count(name) > 1:
      raise errors.UserError(f'the question {name} is in --questions twice')
  return list(asked) or [
    name for name in study_plans.QUESTIONS if name not in impossible
  ]


def _other_data(runs: Sequence[_Run]) -> list[str]:
  """Returns a sentence for each run that may know test pictures of the first one."""
  lines, first = [], runs[0].translator.config.data
  for run in runs[1:]:
    other = run.translator.config.data
    keys = []
    for key in first:
      if key not in _NOT_PICTURES and key in other and first[key] != other[key]:
        keys.append(key)
    if keys:
      lines.append(
        f'{run.workdir} has another config.data.{", ".join(keys)} than '
        f'{runs[0].workdir}, whose test pictures are shown; make sure that it does the '
        'same and was not trained on them'
      )
  return lines


@dataclasses.dataclass(frozen=True)
class _Pictures:
  """The pictures of a study.

  Attributes:
    source: uint8 [N, H, W, 3], to translate.
    target: uint8 [M, H, W, 3] of the other domain, the N exemplars first; M is 2 N if there
      are enough, since real pictures beside the answers should not be exemplars.
    truth: the true answers, uint8 [N, H, W, 3], or None.
    split: 'test', or 'validation' where that is empty.
    direction: 'ab' or 'ba'.
  """

  source: np.ndarray
  target: np.ndarray
  truth: np.ndarray | None
  split: str
  direction: str


def _pictures(
  config: ml_collections.ConfigDict,
  pairs: int,
  direction: str,
  note: Callable[[str], None],
) -> _Pictures:
  """Returns the pictures of the first pairs of a config's data."""
  data = pipeline.make(config)
  split, sizes = 'test', {'batch_size': _BATCH, 'max_pairs': 2 * pairs}
  try:
    batches = data.evaluation(split, **sizes)
  except errors.UserError as error:
    note(f'{error}; validation pictures are shown')
    split = 'validation'
    batches = data.evaluation(split, **sizes)
  if batches.num_pairs < pairs:
    note(f'there are only {batches.num_pairs} {split} pairs; all of them are shown')

  # Batches end with padding, which is not valid.
  parts: dict[str, list[np.ndarray]] = {}
  for batch in batches:
    for name in (*direction, f'truth_{direction}'):
      if name in batch:
        parts.setdefault(name, []).append(batch[name][batch['valid']])
  source, target, *truth = (np.concatenate(arrays) for arrays in parts.values())
  count = min(pairs, batches.num_pairs)
  return _Pictures(
    source[:count], target, truth[0][:count] if truth else None, split, direction
  )


def _truth(run: _Run, pictures: _Pictures) -> np.ndarray:
  """Returns the true answers; raises UserError if the data have none."""
  if pictures.truth is None:
    raise errors.UserError(
      f'--with_truth: the data of {run.workdir} has no true answers'
    )
  return pictures.truth


def _translations(runs: Sequence[_Run], pictures: _Pictures) -> dict[str, np.ndarray]:
  """Returns what each run makes of the pairs, by its name."""
  exemplars = pictures.target[: len(pictures.source)]
  translations = {}
  for run in runs:
    result = run.translator(
      pictures.source,
      exemplars if run.guided else None,
      reverse=pictures.direction == 'ba',
    )
    translations[run.name] = result.image
  return translations


def _made(runs: Sequence[_Run], pictures: _Pictures) -> dict[str, Any]:
  """Returns how a study was made, for its key."""
  described = []
  for run in runs:
    described.append(
      {
        'name': run.name,
        'workdir': run.workdir,
        'method': run.translator.config.method,
        'step': run.translator.step,
      }
    )
  data = runs[0].translator.config.data
  source = ' '.join(filter(None, (data.source, data.name, data.path)))
  return {
    'split': pictures.split,
    'direction': pictures.direction,
    'data': f'{source}, a: {data.a or "all"}, b: {data.b or "all"}',
    'runs': described,
  }


def _write(
  study: study_plans.Study, output: str, key_path: str, note: Callable[[str], None]
) -> None:
  """Writes the key, then the page, and says how long an answer to it takes."""
  # The key first: a page without it would be worthless.
  _check_key(key_path, study.id)
  files.write_atomically(key_path, json.dumps(study.key, indent=1) + '\n')
  files.write_atomically(output, study_pages.page(study))
  trials = len(study.page['trials'])
  minutes = max(1, round(trials * _SECONDS / 60))
  note(
    f'{output}: {trials} answers, about {minutes} minutes; '
    f'{os.path.getsize(output) / 1e6:.2g} MB. Send it to participants, but keep {key_path}, '
    'which says whose picture is whose'
  )


def _check_key(path: str, study: str) -> None:
  """Raises UserError if another study's key is there: its answers could never be read again."""
  try:
    with open(path, encoding='utf-8') as file:
      other = json.load(file)['study']
  except FileNotFoundError:
    return
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f'{path} is there already, and not the key of a study; choose another --output'
    ) from error
  if other != study:
    raise errors.UserError(
      f'{path} is the key of another study, {other}, whose answers could not '
      'be read without it; choose another --output, or delete it'
    )


def read(
  key_path: str,
  paths: Sequence[str],
  output: str = '',
  *,
  note: Callable[[str], None] = print,
) -> list[study_answers.Row]:
  """Reads answers, prints and writes what they say; see the module's docstring."""
  extension = os.path.splitext(output)[1]
  files.check_output(output, [key_path, *paths])
  if output and extension not in ('.md', '.csv'):
    raise errors.UserError(f'--output={output}: results are written as .md or .csv')
  key = study_answers.read_key(key_path)
  if not paths:
    raise errors.UserError(
      'give the files of answers: ... read --key=study.key.json answers/*.json'
    )
  answers, refused = study_answers.read_answers(key, paths)
  for line in refused:
    note(line)
  if not answers:
    raise errors.UserError(f'none of the {len(paths)} files can be counted')

  rows = study_answers.rows(key, answers)
  if extension == '.csv':
    files.write_atomically(output, study_answers.as_csv(key, rows, len(answers)))
  elif extension == '.md':
    report = study_answers.as_markdown(key, rows, len(answers), refused)
    files.write_atomically(output, report)
  return rows


def define_flags() -> None:
  """Defines the command's flags."""
  flags.DEFINE_string(
    'output', '', 'make: the page, NAME.html. read: a report, .md or .csv.'
  )
  flags.DEFINE_list(
    'workdirs',
    [],
    'make: folders of trained runs, with commas between; the test '
    "pictures are the first one's.",
  )
  flags.DEFINE_list(
    'names',
    [],
    'make: what the runs are called in the results; by default as their folders.',
  )
  flags.DEFINE_integer('pairs', 30, 'make: pairs of the test split.', lower_bound=1)
  flags.DEFINE_integer('seed', 0, 'make: of the orders.')
  flags.DEFINE_list('questions', [], 'make: some of those above, in their order.')
  flags.DEFINE_string(
    'what', study_plans.WHAT, "make: what is transferred, e.g. 'the glasses'."
  )
  flags.DEFINE_string(
    'title', 'Which picture?', 'make: heading of the page, which participants see.'
  )
  flags.DEFINE_bool(
    'with_truth',
    False,
    'make: the true answers, where the data has them, are one more method.',
  )
  flags.DEFINE_bool('reverse', False, 'make: from domain b to a.')
  flags.DEFINE_string('key', '', 'read: the key that make wrote.')


def main(arguments: list[str]) -> None:
  """Runs the command: a verb, and for read the files of answers."""
  verb, *paths = arguments or ['']
  _check_flags(verb)

  def warn(line):
    print(line, file=sys.stderr)

  values = flags.FLAGS
  if verb == 'read':
    cli.require('key')
    rows = read(values.key, paths, values.output, note=warn)
    print(study_answers.table(rows))
    if values.output:
      print(f'wrote {values.output}')
    return
  cli.require('workdirs', 'output')
  if paths:
    raise errors.UserError(
      f'unexpected argument {paths[0]!r}; runs are given as --workdirs'
    )
  make(
    values.workdirs,
    values.output,
    names=values.names,
    pairs=values.pairs,
    seed=values.seed,
    questions=values.questions,
    what=values.what,
    title=values.title,
    with_truth=values.with_truth,
    reverse=values.reverse,
    note=warn,
  )


def _check_flags(verb: str) -> None:
  """Raises UserError for an unknown verb, and for a flag of the other one."""
  if not verb:
    raise errors.UserError('say make or read; see --help')
  if verb not in _FLAGS:
    raise errors.UserError(f'unknown verb {verb!r}; say make or read, see --help')
  for other, names in _FLAGS.items():
    for name in names:
      if other != verb and flags.FLAGS[name].present:
        raise errors.UserError(f'--{name} goes with {other}, not with {verb}')


if __name__ == '__main__':
  define_flags()
  cli.run(main, positional=True)
