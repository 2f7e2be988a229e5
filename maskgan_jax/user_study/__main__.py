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
import json
import os
import sys

from absl import flags

from maskgan_jax import cli, errors, files
from maskgan_jax.user_study import answers, material, page, plan

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
_SECONDS = 6  # that an answer takes, roughly


def make(
  workdirs: Sequence[str],
  output: str,
  *,
  names: Sequence[str] = (),
  pairs: int = 30,
  seed: int = 0,
  questions: Sequence[str] = (),
  what: str = plan.WHAT,
  title: str = 'Which picture?',
  with_truth: bool = False,
  reverse: bool = False,
  note: Callable[[str], None] = print,
) -> tuple[str, str]:
  """Writes the page and its key, and returns their paths; see the module's docstring.

  Arguments are the flags of the command; `note` takes a line that the user should know.
  """
  # Mistakes in the flags are found before a model is opened.
  key_path = _key_path(output)
  names = material.run_names(workdirs, names)
  _check_questions(questions)
  runs = material.open_runs(workdirs, names, reverse)
  guided = any(run.guided for run in runs)
  questions = _questions(questions, guided, len(runs) + with_truth)
  for line in material.other_data(runs):
    note(line)

  # The same pairs go through every run; the true answers may compete with them.
  pictures = material.pictures(runs[0], pairs, 'ba' if reverse else 'ab', note)
  results = material.translations(runs, pictures)
  if with_truth:
    results[plan.TRUTH] = material.truth(runs[0], pictures)
  arrays = {'source': pictures.source, 'target': pictures.target}
  made = material.made(runs, pictures)
  texts = {'title': title, 'what': what}
  study = plan.plan(arrays, results, questions, seed=seed, made=made, **texts)
  _write(study, output, key_path, note)
  return output, key_path


def _key_path(output: str) -> str:
  """Returns the path of the key of a page; UserError if the page cannot be written there."""
  files.check_output(output)
  if not output.endswith('.html'):
    raise errors.UserError(f'--output={output}: the study is a page, NAME.html')
  return output.removesuffix('.html') + '.key.json'


def _check_questions(questions: Sequence[str]) -> None:
  """Raises UserError for the name of a question that there is not."""
  for question in questions:
    if question not in plan.QUESTIONS:
      raise errors.UserError(
        f'unknown question {question!r}'
        f'{errors.nearest(question, plan.QUESTIONS)}; questions: '
        f'{", ".join(plan.QUESTIONS)}'
      )


def _questions(asked: Sequence[str], guided: bool, methods: int) -> list[str]:
  """Returns the questions to ask; raises UserError for one that makes no sense with the runs."""
  impossible = {}  # reason by question
  for name, question in plan.QUESTIONS.items():
    if 'exemplar' in question.shows and not guided:
      impossible[name] = 'asks about an exemplar, but none of the runs takes one'
    elif methods < 2 and not question.against:
      impossible[name] = 'compares methods; give two --workdirs, or --with_truth'
  for name in asked:
    if name in impossible:
      raise errors.UserError(f'the question {name} {impossible[name]}')
    if asked.count(name) > 1:
      raise errors.UserError(f'the question {name} is in --questions twice')
  return list(asked) or [name for name in plan.QUESTIONS if name not in impossible]


def _write(
  study: plan.Study, output: str, key_path: str, note: Callable[[str], None]
) -> None:
  """Writes the key, then the page, and says how long an answer to it takes."""
  # The key first: a page without it would be worthless.
  _check_key(key_path, study.id)
  files.write_atomically(key_path, json.dumps(study.key, indent=1) + '\n')
  files.write_atomically(output, page.page(study))
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
) -> list[answers.Row]:
  """Reads answers, prints and writes what they say; see the module's docstring."""
  # Where results go is checked before any file is read.
  extension = os.path.splitext(output)[1]
  files.check_output(output, [key_path, *paths])
  if output and extension not in ('.md', '.csv'):
    raise errors.UserError(f'--output={output}: results are written as .md or .csv')
  key = answers.read_key(key_path)
  if not paths:
    raise errors.UserError(
      'give the files of answers: ... read --key=study.key.json answers/*.json'
    )
  sheets, refused = answers.read_answers(key, paths)
  for line in refused:
    note(line)
  if not sheets:
    raise errors.UserError(f'none of the {len(paths)} files can be counted')

  rows = answers.rows(key, sheets)
  if extension == '.csv':
    files.write_atomically(output, answers.as_csv(key, rows, len(sheets)))
  elif extension == '.md':
    report = answers.as_markdown(key, rows, len(sheets), refused)
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
    'what', plan.WHAT, "make: what is transferred, e.g. 'the glasses'."
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
    print(answers.table(rows))
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
