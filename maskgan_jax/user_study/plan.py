"""What a user study asks: the papers' questions, what is shown when, and names that say nothing.

Everything is drawn from the seed, the question, and a digest of the methods' pictures: the same
study made again is the same, and the page does not give away whose picture is whose.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import hashlib
import hmac
from typing import Any

import numpy as np

# Beside the methods: a picture of the data, a true answer.
REAL, TRUTH = 'real', 'truth'
KEY_FORMAT = 'maskgan_jax study key'
ANSWERS_FORMAT = 'maskgan_jax study answers'
VERSION = 1
_EXAMPLES = 4  # real pictures shown beside `closer`
_BYTES = 6  # of an opaque name


@dataclasses.dataclass(frozen=True)
class Question:
  """A question of a paper.

  Attributes:
    text: as asked; `{what}` is what is transferred.
    shows: what is shown above the choices: 'source', 'exemplar', 'examples' of real pictures.
    paper: where it comes from.
    against: whether each choice is between one method's picture and a real one.
  """

  text: str
  shows: tuple[str, ...]
  paper: str
  against: bool = False


# The first shows real pictures unannounced: asked later, participants would know some of them.
QUESTIONS = {
  'realism': Question(
    'Which picture looks more realistic?',
    (),
    'LOMIT (ICLR 2019 submission), Figure 7a',
    against=True,
  ),
  'style': Question(
    'Which picture has better applied the style of the example to the source?',
    ('source', 'exemplar'),
    'LOMIT (ICLR 2019 submission), Figure 7b, Q1',
  ),
  'background': Question(
    'Which picture has better kept the background of the source unchanged?',
    ('source',),
    'LOMIT (ICLR 2019 submission), Figure 7b, Q2',
  ),
  'closer': Question(
    'Which picture looks more as if it were one of the real pictures?',
    ('examples',),
    'content transfer (ICLR 2020), Table 4 (1)',
  ),
  'transfer': Question(
    'Which picture has better taken over {what} of the example?',
    ('exemplar',),
    'content transfer (ICLR 2020), Table 4 (2)',
  ),
  'identity': Question(
    'Which picture better preserves the features of the source, so that it '
    'is still the same one?',
    ('source',),
    'content transfer (ICLR 2020), Table 4 (3)',
  ),
}
WHAT = 'the special part'
_CAPTIONS = {'source': 'Source', 'exemplar': 'Example', 'examples': 'Real'}


@dataclasses.dataclass(frozen=True)
class Study:
  """A study before it is a page.

  Attributes:
    id: of the study.
    page: what the page knows: title, questions, and trials in the order in which they come.
    key: what the organiser keeps: which picture is whose.
    pictures: uint8 [H, W, 3] by opaque name, sorted by it.
  """

  id: str
  page: dict[str, Any]
  key: dict[str, Any]
  pictures: dict[str, np.ndarray]


def plan(
  pictures: Mapping[str, np.ndarray],
  results: Mapping[str, np.ndarray],
  questions: Sequence[str],
  *,
  seed: int = 0,
  title: str = '',
  what: str = WHAT,
  made: Mapping[str, Any] | None = None,
) -> Study:
  """Returns the study of some pairs: each question once for each pair.

  `realism` shows each pair with one method only, by turns, so that all come equally often.

  Args:
    pictures: `source` uint8 [N, H, W, 3]; `target`, pictures of the other domain [M >= N, ...], of
      which the first N are the exemplars.
    results: [N, H, W, 3] by method.
    questions: names of QUESTIONS, in the order in which they are asked.
    seed: of the orders.
    title: heading of the page.
    what: is transferred, as in 'the glasses'.
    made: how, for the key.
  """
  # All orders and all opaque names come from the secret.
  settings = repr((seed, title, what, tuple(questions), tuple(results)))
  secret = _digest(settings, [*pictures.values(), *results.values()])
  pairs = _Pairs(pictures, list(results), secret)
  identity = pairs.name('study')

  # The page gets names of pictures, the key also whose they are.
  trials, key_trials = _trials(pairs, questions)
  asked = _asked(questions, len(results), what)
  texts = [question['text'] for question in asked.values()]
  page = {'study': identity, 'format': ANSWERS_FORMAT, 'version': VERSION}
  page |= {'title': title, 'questions': texts, 'trials': trials}
  key = {'format': KEY_FORMAT, 'version': VERSION, 'study': identity, 'title': title}
  key |= {'seed': seed, 'pairs': pairs.count, **(made or {})}
  key |= {'methods': list(results), 'questions': asked, 'trials': key_trials}
  return Study(identity, page, key, _used(trials, pairs, pictures, results))


def _trials(
  pairs: '_Pairs', questions: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
  """Returns all trials in their order for the page, and by their names for the key."""
  of_page, of_key = [], {}
  for number, name in enumerate(questions):
    for trial in pairs.trials(name):
      of_page.append({'id': trial.id, 'question': number, **trial.page})
      of_key[trial.id] = {'question': name, **trial.key}
  return of_page, of_key


def _asked(questions: Sequence[str], methods: int, what: str) -> dict[str, Any]:
  """Returns the text and the source of each question by its name, for the key."""
  asked = {}
  for name in questions:
    question = QUESTIONS[name]
    asked[name] = {'text': _text(question, methods, what), 'paper': question.paper}
  return asked


def _digest(settings: str, arrays: Iterable[np.ndarray]) -> bytes:
  """Returns what a participant cannot know: it depends on the methods' pictures byte by byte."""
  digest = hashlib.sha256(settings.encode())
  for images in arrays:
    pixels = np.ascontiguousarray(images).tobytes()
    digest.update(repr(images.shape).encode() + pixels)
  return digest.digest()


def _text(question: Question, methods: int, what: str) -> str:
  """Returns the question as asked: better of two, best of more."""
  text = question.text
  if methods > 2 and not question.against:
    text = text.replace(' better ', ' best ').replace(' more ', ' most ')
  return text.format(what=what)


def _used(
  trials: Iterable[Mapping[str, Any]],
  pairs: '_Pairs',
  pictures: Mapping[str, np.ndarray],
  results: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Returns the pictures that the trials show, sorted by their opaque names."""
  image_of = {}  # by opaque name
  roles = dict(pictures) | {
    (method, 'result'): images for method, images in results.items()
  }
  for role, images in roles.items():
    for index, image in enumerate(images):
      image_of[pairs.picture(role, index)] = image
  used = set()
  for trial in trials:
    used.update(trial['choices'])
    used.update(name for _, name in trial['shown'])
  return {name: image_of[name] for name in sorted(used)}


@dataclasses.dataclass(frozen=True)
class _Trial:
  """A question about a pair.

  Attributes:
    id: its opaque name.
    pair: number.
    shown: [caption, name of a picture] of what stands above the choices.
    choices: the method of each picture, by its name, in the order in which they are shown.
  """

  id: str
  pair: int
  shown: list[list[str]]
  choices: dict[str, str]

  @property
  def page(self) -> dict[str, Any]:
    """Returns what the page knows of it."""
    return {'shown': self.shown, 'choices': list(self.choices)}

  @property
  def key(self) -> dict[str, Any]:
    """Returns what the key knows of it."""
    return {'pair': self.pair, 'choices': self.choices}


class _Pairs:
  """The pairs of a study under opaque names.

  Args:
    pictures: `source`, and `target` with the pairs' exemplars first.
    methods: names.
    secret: that the orders and the opaque names come from.
  """

  def __init__(
    self, pictures: Mapping[str, np.ndarray], methods: Sequence[str], secret: bytes
  ):
    self.count = len(pictures['source'])
    self._targets = len(pictures['target'])
    self._methods, self._secret = methods, secret

  def name(self, *parts: Any) -> str:
    """Returns the opaque name of something."""
    digest = hmac.digest(self._secret, repr(parts).encode(), 'sha256')
    return digest[:_BYTES].hex()

  def picture(self, role: str | tuple[str, str], index: int) -> str:
    """Returns the name of a picture: of a role ('source', 'target') or of (method, 'result')."""
    return self.name('picture', role, index)

  def trials(self, question: str) -> list[_Trial]:
    """Returns a trial for each pair, in the order in which they are asked."""
    # Each question has a random order of its own, which follows from the secret.
    seed = hmac.digest(self._secret, f'order {question}'.encode(), 'sha256')
    rng = np.random.default_rng(list(seed))
    if QUESTIONS[question].against:
      choices = self._against_real(rng)
    else:
      choices = self._between_methods(rng)

    trials = []
    for pair in map(int, rng.permutation(self.count)):
      shown = []
      for role in QUESTIONS[question].shows:
        shown += [[_CAPTIONS[role], name] for name in self._shown(role, pair)]
      trials.append(
        _Trial(self.name('trial', question, pair), pair, shown, choices[pair])
      )
    return trials

  def _between_methods(self, rng: np.random.Generator) -> list[dict[str, str]]:
    """Returns the choices of each pair: all methods' pictures."""
    choices = []
    for pair, order in enumerate(orders(rng, self.count, len(self._methods))):
      methods = [self._methods[m] for m in order]
      choices.append(
        {self.picture((method, 'result'), pair): method for method in methods}
      )
    return choices

  def _against_real(self, rng: np.random.Generator) -> list[dict[str, str]]:
    """Returns the choices of each pair: one method's picture and a real one."""
    # Methods take turns, in an order drawn by lot.
    turns = rng.permutation(np.arange(self.count) % len(self._methods))
    choices: list[dict[str, str]] = [{}] * self.count
    for m, method in enumerate(self._methods):
      pairs = [int(pair) for pair in np.flatnonzero(turns == m)]
      for pair, order in zip(pairs, orders(rng, len(pairs), 2), strict=True):
        real = self._other_targets(pair)[0]
        two = [
          (self.picture((method, 'result'), pair), method),
          (self.picture('target', real), REAL),
        ]
        choices[pair] = dict(two[i] for i in order)
    return choices

  def _shown(self, role: str, pair: int) -> list[str]:
    """Returns the names of the pictures of a role that stand above the choices."""
    if role == 'source':
      return [self.picture('source', pair)]
    if role == 'exemplar':
      return [self.picture('target', pair)]
    examples = self._other_targets(pair)[:_EXAMPLES]
    return [self.picture('target', target) for target in examples]

  def _other_targets(self, pair: int) -> list[int]:
    """Returns the targets without the pair's own exemplar; those of no pair first."""
    # Pairs begin at different places, so that no real picture is shown much more than others.
    spare = self._targets - self.count
    pool = [*range(self.count, self._targets), *range(self.count)]
    start = pair if pair < spare else spare + (pair - spare) % self.count
    others = [target for target in pool[start:] + pool[:start] if target != pair]
    return others or [pair]


def orders(rng: np.random.Generator, count: int, width: int) -> list[list[int]]:
  """Returns `count` orders of 0..width-1 where each stands everywhere equally often, or nearly."""
  rows: list[list[int]] = []
  while len(rows) < count:  # Latin squares, each of another order and in another order
    order = rng.permutation(width)
    for shift in rng.permutation(width):
      rows.append([int(i) for i in np.roll(order, shift)])
  return [rows[i] for i in rng.permutation(count)]
