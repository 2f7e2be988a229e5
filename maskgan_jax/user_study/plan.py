"""What a user study asks: the papers' questions, who is shown when, and names that say nothing.

Everything is drawn from the seed, the question, and a digest of the methods' pictures: the same
study made again is the same, and the page does not give away whose picture is whose.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import hmac
from typing import Any

import numpy as np

REAL, TRUTH = 'real', 'truth'  # beside the methods: a picture of the data, a true answer
KEY_FORMAT, ANSWERS_FORMAT, VERSION = 'maskgan_jax study key', 'maskgan_jax study answers', 1
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
    'realism': Question('Which picture looks more realistic?', (),
                        'LOMIT (ICLR 2019 submission), Figure 7a', against=True),
    'style': Question('Which picture has better applied the style of the example to the source?',
                      ('source', 'exemplar'), 'LOMIT (ICLR 2019 submission), Figure 7b, Q1'),
    'background': Question('Which picture has better kept the background of the source unchanged?',
                           ('source',), 'LOMIT (ICLR 2019 submission), Figure 7b, Q2'),
    'closer': Question('Which picture looks more as if it were one of the real pictures?',
                       ('examples',), 'content transfer (ICLR 2020), Table 4 (1)'),
    'transfer': Question('Which picture has better taken over {what} of the example?',
                         ('exemplar',), 'content transfer (ICLR 2020), Table 4 (2)'),
    'identity': Question('Which picture better preserves the features of the source, so that it '
                         'is still the same one?', ('source',),
                         'content transfer (ICLR 2020), Table 4 (3)'),
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


def plan(pictures: Mapping[str, np.ndarray], results: Mapping[str, np.ndarray],
         questions: Sequence[str], *, seed: int = 0, title: str = '', what: str = WHAT,
         made: Mapping[str, Any] | None = None) -> Study:
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
  count = len(pictures['source'])
  secret = _digest(seed, title, what, questions, pictures, results)
  names = _Names(secret)
  trials, key_trials = [], {}
  for asked, question in enumerate(questions):
    rng = np.random.default_rng(list(hmac.digest(secret, f'order {question}'.encode(), 'sha256')))
    found = [names.trial(question, pair) for pair in range(count)]
    if QUESTIONS[question].against:
      choices = _against(rng, list(results), count, len(pictures['target']), names)
    else:
      choices = _between(rng, list(results), count, names)
    for pair in rng.permutation(count):
      shown = [[_CAPTIONS[role], name] for role in QUESTIONS[question].shows
               for name in _shown(role, int(pair), count, len(pictures['target']), names)]
      trials.append({'id': found[pair], 'question': asked, 'shown': shown,
                     'choices': list(choices[pair])})
      key_trials[found[pair]] = {'question': question, 'pair': int(pair),
                                 'choices': choices[pair]}

  used = {name for trial in trials for name in (*(n for _, n in trial['shown']), *trial['choices'])}
  found = {names.picture(role, i): image for role, images in (
      *pictures.items(), *(((method, 'result'), images) for method, images in results.items()))
      for i, image in enumerate(images)}
  texts = {name: _text(QUESTIONS[name], len(results), what) for name in questions}
  identity = names('study')
  page = {'study': identity, 'format': ANSWERS_FORMAT, 'version': VERSION, 'title': title,
          'questions': list(texts.values()), 'trials': trials}
  key = {'format': KEY_FORMAT, 'version': VERSION, 'study': identity, 'title': title, 'seed': seed,
         'pairs': count, **(made or {}), 'methods': list(results),
         'questions': {name: {'text': texts[name], 'paper': QUESTIONS[name].paper}
                       for name in questions},
         'trials': key_trials}
  return Study(identity, page, key, {name: found[name] for name in sorted(used)})


def _text(question: Question, methods: int, what: str) -> str:
  """Returns the question as asked: better of two, best of more."""
  text = question.text
  if methods > 2 and not question.against:
    text = text.replace(' better ', ' best ').replace(' more ', ' most ')
  return text.format(what=what)


def _digest(seed, title, what, questions, pictures, results) -> bytes:
  """What a participant cannot know: of the methods' names and of their pictures, byte by byte."""
  digest = hashlib.sha256(repr((seed, title, what, tuple(questions), tuple(results))).encode())
  for images in (*pictures.values(), *results.values()):
    digest.update(repr(images.shape).encode() + np.ascontiguousarray(images).tobytes())
  return digest.digest()


class _Names:
  """Opaque names."""

  def __init__(self, secret: bytes):
    self._secret = secret

  def __call__(self, *of: Any) -> str:
    return hmac.digest(self._secret, repr(of).encode(), 'sha256')[:_BYTES].hex()

  def trial(self, question: str, pair: int) -> str:
    return self('trial', question, pair)

  def picture(self, role: str | tuple[str, str], index: int) -> str:
    return self('picture', role, index)


def _between(rng, methods, count, names) -> list[dict[str, str]]:
  """All methods' pictures of each pair, {name: method} in the order in which they are shown."""
  return [{names.picture((methods[m], 'result'), pair): methods[m] for m in order}
          for pair, order in enumerate(orders(rng, count, len(methods)))]


def _against(rng, methods, count, targets, names) -> list[dict[str, str]]:
  """One method's picture of each pair and a real one; likewise."""
  turns = rng.permutation(np.arange(count) % len(methods))
  choices: list[dict[str, str]] = [{}] * count
  for m, method in enumerate(methods):
    pairs = np.flatnonzero(turns == m)
    for pair, order in zip(pairs, orders(rng, len(pairs), 2), strict=True):
      two = [(names.picture((method, 'result'), int(pair)), method),
             (names.picture('target', _others(int(pair), count, targets)[0]), REAL)]
      choices[pair] = dict(two[i] for i in order)
  return choices


def orders(rng: np.random.Generator, count: int, width: int) -> list[list[int]]:
  """Returns `count` orders of 0..width-1 where each stands everywhere equally often, or nearly."""
  found: list[list[int]] = []
  while len(found) < count:  # Latin squares, each of another order and in another order
    order = rng.permutation(width)
    found += [[int(i) for i in np.roll(order, by)] for by in rng.permutation(width)]
  kept = found[:count]
  return [kept[i] for i in rng.permutation(count)]


def _shown(role, pair, count, targets, names) -> list[str]:
  """Names of the pictures that a question shows above the choices."""
  if role == 'examples':
    return [names.picture('target', i) for i in _others(pair, count, targets)[:_EXAMPLES]]
  return [names.picture('source' if role == 'source' else 'target', pair)]


def _others(pair: int, count: int, targets: int) -> list[int]:
  """Target pictures but the pair's own exemplar; first those of no pair, if there are."""
  spare = targets - count
  pool = [*range(count, targets), *range(count)]
  start = pair if pair < spare else spare + (pair - spare) % count
  return [i for i in pool[start:] + pool[:start] if i != pair] or [pair]
