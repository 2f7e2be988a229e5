"""Answers of user studies: what is counted, what is left out, and the intervals."""

import csv
import json
import re

import numpy as np
import pytest
from scipy import stats

from helpers.studies import make_plan, QUESTIONS, RESULTS, write
from maskgan_jax import errors
from maskgan_jax.user_study import __main__ as user_study
from maskgan_jax.user_study import answers as study_answers
from maskgan_jax.user_study import plan as study_plans


def answer(key, who, choose, **changes):
  """Returns a file's content in which `choose(trial)` names the chosen method."""
  answers = {}
  for name, trial in key['trials'].items():
    by_method = {method: picture for picture, method in trial['choices'].items()}
    answers[name] = by_method[choose(trial)]
  return {'format': study_plans.ANSWERS_FORMAT, 'version': 1, 'study': key['study'],
          'participant': who, 'finished': '', 'answers': answers, **changes}


def first_there(*methods):
  return lambda trial: next(m for m in methods if m in trial['choices'].values())


@pytest.fixture(name='key')
def _key():
  return make_plan().key


def test_shares_are_counted(key, tmp_path):
  everyone = [('a', first_there('quokka', 'real')), ('b', first_there('quokka', 'real')),
              ('c', first_there('wombat', 'numbat', 'real')),
              ('d', lambda trial: 'real' if 'real' in trial['choices'].values() else
               ('quokka' if trial['pair'] < 3 else 'numbat'))]
  paths = [write(tmp_path, who, answer(key, who, choose)) for who, choose in everyone]
  answers, refused = study_answers.read_answers(key, paths)
  assert not refused and [a.participant for a in answers] == list('abcd')
  rows = {(row.question, row.method): row for row in study_answers.rows(key, answers)}
  assert list(rows) == [(question, method) for question in QUESTIONS for method in RESULTS]
  expected = {'quokka': (15, 24), 'wombat': (6, 24), 'numbat': (3, 24)}
  taken_for_real = {'quokka': (4, 8), 'wombat': (2, 8), 'numbat': (2, 8)}
  for (question, method), row in rows.items():
    counts = taken_for_real if question == 'realism' else expected
    assert (row.chosen, row.shown) == counts[method]
    assert row.chance == pytest.approx(1 / 2 if question == 'realism' else 1 / 3)
    theirs = stats.binomtest(*counts[method]).proportion_ci(0.95, 'wilson')
    assert row.wilson == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert row.clustered[0] <= row.share <= row.clustered[1]
  assert rows['style', 'quokka'].clustered == pytest.approx((0.125, 1.0), abs=0.13)


@pytest.mark.parametrize('chosen, shown', [(0, 5), (5, 5), (1, 1), (37, 120)])
def test_wilsons_interval(chosen, shown):
  theirs = stats.binomtest(chosen, shown).proportion_ci(0.95, 'wilson')
  assert study_answers.wilson(chosen, shown) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_people_who_agree_with_themselves_widen_the_interval():
  shares = np.repeat([1.0, 0.0], 50)  # each always gives one answer: 100 answers, not 2,000
  low, high = study_answers.bootstrap(shares)
  assert (low, high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.011)
  alone = study_answers.wilson(1_000, 2_000)
  assert high - low > 4 * (alone[1] - alone[0])
  assert study_answers.bootstrap(np.full(7, 0.25)) == (0.25, 0.25)
  assert study_answers.bootstrap(np.array([0.0, 1.0])) == (0.0, 1.0)


def test_what_cannot_be_counted_is_left_out_with_a_reason(key, tmp_path):
  good = answer(key, ' Anna  B ', first_there('quokka', 'real'))
  trial = next(iter(key['trials']))
  lacking = answer(key, 'c', first_there('quokka', 'real'))
  del lacking['answers'][trial]
  odd = answer(key, 'd', first_there('quokka', 'real'))
  odd['answers'][trial] = 'deadbeef'
  listed = answer(key, 'd', first_there('quokka', 'real'))
  listed['answers'][trial] = ['deadbeef']
  more = answer(key, 'e', first_there('quokka', 'real'))
  more['answers']['else'] = 'x' * 500
  other = make_plan(seed=1).key
  cases = [('good', good, ''),
           ('again', {**good, 'participant': 'ANNA b'}, 'also that of'),
           ('other', answer(other, 'x', first_there('quokka', 'real')), 'another study'),
           ('lacking', lacking, 'incomplete: 35 of 36'),
           ('odd', odd, "'deadbeef', which was not shown"),
           ('listed', listed, 'which was not shown'),
           ('more', more, 'which the study does not ask'),
           ('nobody', {**good, 'participant': ' '}, 'whose'),
           ('number', {**good, 'participant': 3}, 'whose'),
           ('new', {**good, 'version': 2}, 'version 2'),
           ('table', {**good, 'answers': []}, 'not a table'),
           ('list', '[1]', 'no answers'), ('null', 'null', 'no answers'),
           ('cut', json.dumps(good)[:-40], 'damaged'), ('empty', '', 'damaged'),
           ('deep', '[' * 200_000, 'damaged'), ('key', key, 'no answers')]
  paths = [write(tmp_path, name, text) for name, text, _ in cases]
  paths.append(str(tmp_path / 'absent'))
  (tmp_path / 'bytes').write_bytes(b'\xff\xfe\x00{')
  paths.append(str(tmp_path / 'bytes'))
  answers, refused = study_answers.read_answers(key, paths)
  assert [a.participant for a in answers] == ['Anna B']
  reasons = [reason for *_, reason in cases[1:]] + ['No such file', 'damaged']
  assert len(refused) == len(reasons)
  for line, path, reason in zip(refused, paths[1:], reasons, strict=True):
    assert line.startswith(f'{path} is left out: ') and reason in line and '\n' not in line
    assert len(line) < 300 + len(path)


def test_reports(key, tmp_path):
  path = write(tmp_path, 'study.key.json', key)
  files = [write(tmp_path, who, answer(key, who, first_there(method, 'real')))
           for who, method in (('a', 'quokka'), ('b', 'numbat'))] + [write(tmp_path, 'c', '{')]
  said = []
  for output in ('out/study.md', 'out/study.csv'):
    rows = user_study.read(path, files, str(tmp_path / output), note=said.append)
  assert len(said) == 2 and 'c is left out' in said[0]
  report = (tmp_path / 'out/study.md').read_text()
  assert '2 participants, 36 answers each' in report and 'Left out, 1' in report
  line = re.search(r'^\| style +\| quokka .*$', report, re.M)[0]
  assert '6 of 12' in line and '50.0' in line and '33.3' in line and '0.0 to 100.0' in line
  with open(tmp_path / 'out/study.csv', encoding='utf-8') as file:
    table = list(csv.DictReader(file))
  assert len(table) == len(rows) == 18
  assert {row['method']: row['percent'] for row in table if row['question'] == 'closer'} == {
      'quokka': '50.00', 'wombat': '0.00', 'numbat': '50.00'}
  user_study.read(path, files[:1], str(tmp_path / 'one.csv'))
  with open(tmp_path / 'one.csv', encoding='utf-8') as file:
    assert {row['participants_low'] for row in csv.DictReader(file)} == {''}
  with pytest.raises(errors.UserError, match='none of the 1 files'):
    user_study.read(path, files[2:], note=said.append)
  with pytest.raises(errors.UserError, match='give the files'):
    user_study.read(path, [])
  with pytest.raises(errors.UserError, match=r'\.md or \.csv'):
    user_study.read(path, files, 'x.html')
  for wrong, part in ((files[0], "a participant's answers"), (files[2], 'damaged'),
                      (write(tmp_path, 'k', {**key, 'trials': 3}), 'damaged'),
                      (write(tmp_path, 'l', '[]'), 'damaged'),
                      (write(tmp_path, 'm', {**key, 'trials': {}}), 'no trials'),
                      (write(tmp_path, 'n', {**key, 'version': 9}), 'version 9')):
    with pytest.raises(errors.UserError, match=part):
      user_study.read(wrong, files)
