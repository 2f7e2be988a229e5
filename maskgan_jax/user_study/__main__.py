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
import re
import sys
from typing import Any

from absl import flags
import numpy as np

from maskgan_jax import cli, errors, files
from maskgan_jax import config as run_config
from maskgan_jax.data import pipeline
from maskgan_jax.translator import Translator
from maskgan_jax.user_study import answers as study_answers
from maskgan_jax.user_study import page as study_pages
from maskgan_jax.user_study import plan as study_plans

_FLAGS = {'make': ('workdirs', 'names', 'pairs', 'seed', 'questions', 'what', 'title', 'with_truth',
                   'reverse'), 'read': ('key',)}
_NAME = re.compile(r'[\w.+() =-]{1,40}')
_BATCH = 64
_SECONDS = 6  # that an answer takes, roughly
_NOT_PICTURES = ('data_dir', 'num_train', 'flip', 'in_memory', 'prefetch', 'workers',
                 'zoom_probability', 'zoom_least', 'attributes', 'mask', 'erase', 'apart',
                 'masks_path', 'labels_path')  # keys of config.data that change no picture


def make(workdirs: Sequence[str], output: str, *, names: Sequence[str] = (), pairs: int = 30,
         seed: int = 0, questions: Sequence[str] = (), what: str = study_plans.WHAT,
         title: str = 'Which picture?', with_truth: bool = False, reverse: bool = False,
         note: Callable[[str], None] = print) -> tuple[str, str]:
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
    note: told what the user should know.
  Returns:
    The two files.
  """
  files.check_output(output)
  if not output.endswith('.html'):
    raise errors.UserError(f'--output={output}: the study is a page, NAME.html')
  key_path = output.removesuffix('.html') + '.key.json'
  names = _names(workdirs, names)
  for question in questions:
    if question not in study_plans.QUESTIONS:
      raise errors.UserError(f'unknown question {question!r}'
                             f'{errors.nearest(question, study_plans.QUESTIONS)}; questions: '
                             f'{", ".join(study_plans.QUESTIONS)}')
  translators = _open(workdirs)
  guided = ['exemplar' in t.abilities for t in translators]
  questions = _questions(questions, any(guided), len(names) + with_truth)
  for workdir, translator in zip(workdirs, translators, strict=True):
    if reverse and 'reverse' not in translator.abilities:
      raise errors.UserError(f'{workdir}: {translator.config.method} has no --reverse')

  config = translators[0].config
  note_of = _other_data(workdirs, translators)
  for line in note_of:
    note(line)
  batch, count, split = _pictures(config, pairs, note)
  direction = 'ba' if reverse else 'ab'
  source, target = batch[direction[0]][:count], batch[direction[1]]
  results = {name: translator(source, target[:count] if takes else None, reverse=reverse).image
             for name, translator, takes in zip(names, translators, guided, strict=True)}
  if with_truth:
    if f'truth_{direction}' not in batch:
      raise errors.UserError(f'--with_truth: the data of {workdirs[0]} has no true answers')
    results[study_plans.TRUTH] = batch[f'truth_{direction}'][:count]
  made = {'split': split, 'direction': direction, 'data': _described(config), 'runs': [
      {'name': name, 'workdir': workdir, 'method': t.config.method, 'step': t.step}
      for name, workdir, t in zip(names, workdirs, translators, strict=True)]}
  study = study_plans.plan({'source': source, 'target': target}, results, questions, seed=seed,
                           title=title, what=what, made=made)
  _check_key(key_path, study.id)
  files.write_atomically(key_path, json.dumps(study.key, indent=1) + '\n')
  files.write_atomically(output, study_pages.page(study))
  trials = len(study.page['trials'])
  note(f'{output}: {trials} answers, about {max(1, round(trials * _SECONDS / 60))} minutes; '
       f'{os.path.getsize(output) / 1e6:.2g} MB. Send it to participants, but keep {key_path}, '
       'which says whose picture is whose')
  return output, key_path


def _names(workdirs: Sequence[str], names: Sequence[str]) -> list[str]:
  """A name for each run; UserError unless they tell the runs apart."""
  if names and len(names) != len(workdirs):
    raise errors.UserError(f'{len(names)} --names for {len(workdirs)} --workdirs; give as many')
  names = list(names) or [os.path.basename(os.path.abspath(path)) for path in workdirs]
  for name in names:
    if names.count(name) > 1:
      raise errors.UserError(f'two methods are called {name!r}; tell them apart with --names')
    if not _NAME.fullmatch(name) or name in (study_plans.REAL, study_plans.TRUTH):
      raise errors.UserError(f'a method cannot be called {name!r}; give --names of letters, '
                             f'digits and . + - = ( ), not {study_plans.REAL} or '
                             f'{study_plans.TRUTH}')
  return names


def _open(workdirs: Sequence[str]) -> list[Translator]:
  """The runs; UserError if they are not of one size."""
  configs = [run_config.load(path) for path in workdirs]
  sizes = [(c.image_size, c.image_width or c.image_size) for c in configs]
  for path, size in zip(workdirs, sizes, strict=True):
    if size != sizes[0]:
      raise errors.UserError(f'{workdirs[0]} is of {sizes[0][0]}x{sizes[0][1]} pixels and {path} '
                             f'of {size[0]}x{size[1]}; only runs of one size are compared')
  return [Translator.from_workdir(path) for path in workdirs]


def _questions(asked: Sequence[str], guided: bool, methods: int) -> list[str]:
  """The questions to ask; UserError for one that makes no sense with these runs."""
  impossible = {}
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
  return list(asked) or [name for name in study_plans.QUESTIONS if name not in impossible]


def _other_data(workdirs: Sequence[str], translators: Sequence[Translator]) -> list[str]:
  """A sentence for each run that may know test pictures of the first one, or do something else."""
  first, lines = translators[0].config.data, []
  for path, translator in zip(workdirs[1:], translators[1:], strict=True):
    other = translator.config.data
    keys = [key for key in first if key not in _NOT_PICTURES and key in other
            and first[key] != other[key]]
    if keys:
      lines.append(f'{path} has another config.data.{", ".join(keys)} than {workdirs[0]}, whose '
                   'test pictures are shown; make sure that it does the same and was not trained '
                   'on them')
  return lines


def _pictures(config, pairs: int, note) -> tuple[dict[str, np.ndarray], int, str]:
  """Twice as many pairs as asked for, if there are, for real pictures that are not exemplars.

  Returns them, how many are for translation, and the split: test, or validation where that is
  empty.
  """
  data = pipeline.make(config)
  try:
    split, found = 'test', data.evaluation('test', batch_size=_BATCH, max_pairs=2 * pairs)
  except errors.UserError as error:
    note(f'{error}; validation pictures are shown')
    split, found = 'validation', data.evaluation('validation', batch_size=_BATCH,
                                                 max_pairs=2 * pairs)
  if found.num_pairs < pairs:
    note(f'there are only {found.num_pairs} {split} pairs; all of them are shown')
  parts: dict[str, list[Any]] = {}
  for batch in found:
    for name in ('a', 'b', 'truth_ab', 'truth_ba'):
      if name in batch:
        parts.setdefault(name, []).append(batch[name][batch['valid']])
  return ({name: np.concatenate(arrays) for name, arrays in parts.items()},
          min(pairs, found.num_pairs), split)


def _described(config) -> str:
  """The data in a few words."""
  data = config.data
  where = ' '.join(part for part in (data.source, data.name, data.path) if part)
  return f'{where}, a: {data.a or "all"}, b: {data.b or "all"}'


def _check_key(path: str, study: str) -> None:
  """UserError if another study's key is there: its answers could never be read again."""
  try:
    with open(path, encoding='utf-8') as file:
      there = json.load(file)['study']
  except FileNotFoundError:
    return
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(f'{path} is there already, and not the key of a study; choose another '
                           '--output') from error
  if there != study:
    raise errors.UserError(f'{path} is the key of another study, {there}, whose answers could not '
                           'be read without it; choose another --output, or delete it')


def read(key_path: str, paths: Sequence[str], output: str = '', *,
         note: Callable[[str], None] = print) -> list[study_answers.Row]:
  """Reads answers, prints and writes what they say; see the module's docstring."""
  extension = os.path.splitext(output)[1]
  files.check_output(output, [key_path, *paths])
  if output and extension not in ('.md', '.csv'):
    raise errors.UserError(f'--output={output}: results are written as .md or .csv')
  key = study_answers.read_key(key_path)
  if not paths:
    raise errors.UserError('give the files of answers: ... read --key=study.key.json '
                           'answers/*.json')
  answers, refused = study_answers.read_answers(key, paths)
  for line in refused:
    note(line)
  if not answers:
    raise errors.UserError(f'none of the {len(paths)} files can be counted')
  found = study_answers.rows(key, answers)
  if output:
    report = (study_answers.as_csv(key, found, len(answers)) if extension == '.csv' else
              study_answers.as_markdown(key, found, len(answers), refused))
    files.write_atomically(output, report)
  return found


def define_flags() -> None:
  """The command's flags."""
  flags.DEFINE_string('output', '', 'make: the page, NAME.html. read: a report, .md or .csv.')
  flags.DEFINE_list('workdirs', [], 'make: folders of trained runs, with commas between; the test '
                    "pictures are the first one's.")
  flags.DEFINE_list('names', [], 'make: what the runs are called in the results; by default as '
                    'their folders.')
  flags.DEFINE_integer('pairs', 30, 'make: pairs of the test split.', lower_bound=1)
  flags.DEFINE_integer('seed', 0, 'make: of the orders.')
  flags.DEFINE_list('questions', [], 'make: some of those above, in their order.')
  flags.DEFINE_string('what', study_plans.WHAT, "make: what is transferred, e.g. 'the glasses'.")
  flags.DEFINE_string('title', 'Which picture?', 'make: heading of the page, which participants '
                      'see.')
  flags.DEFINE_bool('with_truth', False, 'make: the true answers, where the data has them, are one '
                    'more method.')
  flags.DEFINE_bool('reverse', False, 'make: from domain b to a.')
  flags.DEFINE_string('key', '', 'read: the key that make wrote.')


def main(arguments: list[str]) -> None:
  """The command: a verb, and for read the files of answers."""
  given = flags.FLAGS
  verb, *paths = arguments or ['']
  if verb not in _FLAGS:
    raise errors.UserError(f'unknown verb {verb!r}; say make or read, see --help' if verb else
                           'say make or read; see --help')
  for other, names in _FLAGS.items():
    for name in names:
      if other != verb and given[name].present:
        raise errors.UserError(f'--{name} goes with {other}, not with {verb}')

  def warn(line):
    print(line, file=sys.stderr)

  if verb == 'read':
    cli.require('key')
    found = read(given.key, paths, given.output, note=warn)
    print(study_answers.table(found))
    if given.output:
      print(f'wrote {given.output}')
    return
  cli.require('workdirs', 'output')
  if paths:
    raise errors.UserError(f'unexpected argument {paths[0]!r}; runs are given as --workdirs')
  make(given.workdirs, given.output, names=given.names, pairs=given.pairs, seed=given.seed,
       questions=given.questions, what=given.what, title=given.title,
       with_truth=given.with_truth, reverse=given.reverse, note=warn)


if __name__ == '__main__':
  define_flags()
  cli.run(main, positional=True)
