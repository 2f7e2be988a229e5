"""User studies: what participants see and cannot see, and that the key has all answers."""

import base64
import io
import json
import os
import re
import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers.commands import fails, run
from helpers.pages import Page
from helpers.studies import make_plan, PAIRS, pictures, QUESTIONS, RESULTS, SHOWN, write
from helpers.tiny_model import make_config, make_model
from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.data import pipeline
from maskgan_jax.reports import pages
from maskgan_jax.runs import checkpoints
from maskgan_jax.translator import Translator
from maskgan_jax.user_study import __main__ as user_study
from maskgan_jax.user_study import page as study_pages
from maskgan_jax.user_study import plan as study_plans


def where(image, images):
  """Returns the indices of the images that equal this picture."""
  return [i for i, other in enumerate(images) if np.array_equal(image, other)]


@pytest.mark.parametrize('count, width', [(6, 2), (7, 2), (12, 3), (10, 4), (1, 3), (0, 2)])
def test_everything_stands_everywhere_equally_often(count, width):
  orders = study_plans.orders(np.random.default_rng(count), count, width)
  assert len(orders) == count and all(sorted(order) == list(range(width)) for order in orders)
  counts = np.array([[[order[place] for order in orders].count(i) for i in range(width)]
                     for place in range(width)])
  assert counts.max() - counts.min() <= 1


def test_each_question_shows_each_pair_and_the_key_knows_whose_picture_is_whose():
  study = make_plan()
  trials = study.page['trials']
  assert len(trials) == len(QUESTIONS) * PAIRS == len({trial['id'] for trial in trials})
  assert [trial['question'] for trial in trials] == sorted(trial['question'] for trial in trials)
  seen = {name: [] for name in QUESTIONS}
  for trial in trials:
    kept = study.key['trials'][trial['id']]
    question, pair = QUESTIONS[trial['question']], kept['pair']
    assert kept['question'] == question and list(kept['choices']) == trial['choices']
    seen[question].append(pair)
    for name, method in kept['choices'].items():
      if method == 'real':
        assert where(study.pictures[name], SHOWN['target']) not in ([], [pair])
      else:
        assert where(study.pictures[name], RESULTS[method]) == [pair]
    methods = sorted(kept['choices'].values())
    if question == 'realism':
      assert len(methods) == 2 and 'real' in methods
    else:
      assert methods == sorted(RESULTS)
    above = [(caption, study.pictures[name]) for caption, name in trial['shown']]
    captions = [caption for caption, _ in above]
    assert captions == {'realism': [], 'style': ['Source', 'Example'], 'background': ['Source'],
                        'closer': ['Real'] * 4, 'transfer': ['Example'],
                        'identity': ['Source']}[question]
    for caption, image in above:
      if caption == 'Real':
        assert where(image, SHOWN['target']) not in ([], [pair])
      else:
        role = 'source' if caption == 'Source' else 'target'
        assert where(image, SHOWN[role]) == [pair]
  assert all(sorted(pairs) == list(range(PAIRS)) for pairs in seen.values())
  assert len(set(map(tuple, seen.values()))) > 1  # each question has an order of its own
  against = [method for trial in study.key['trials'].values() if trial['question'] == 'realism'
             for method in trial['choices'].values() if method != 'real']
  assert sorted(against) == sorted(2 * list(RESULTS))


def test_questions_say_better_of_two_and_best_of_more():
  two = dict(list(RESULTS.items())[:2])
  assert make_plan(['realism', 'identity', 'transfer'], two, what='the glasses').page[
      'questions'] == ['Which picture looks more realistic?', 'Which picture better preserves the '
                       'features of the source, so that it is still the same one?', 'Which picture '
                       'has better taken over the glasses of the example?']
  more = make_plan().page['questions']
  assert 'more' in more[0] and all(' best ' in text or ' most ' in text for text in more[1:])


def test_real_pictures_are_no_exemplars_while_there_are_others():
  shown = {**SHOWN, 'target': pictures(2 * PAIRS, 1)}
  study = make_plan(['realism'], shown=shown)
  real = [where(study.pictures[name], shown['target'])[0] for trial in study.key['trials'].values()
          for name, method in trial['choices'].items() if method == 'real']
  assert sorted(real) == list(range(PAIRS, 2 * PAIRS))
  single = {role: images[:1] for role, images in SHOWN.items()}  # no other picture at all
  assert len(make_plan(['closer'], {'one': RESULTS['quokka'][:1], 'two': RESULTS['wombat'][:1]},
                       single).page['trials']) == 1


def test_the_same_study_is_the_same_and_another_is_another():
  study = make_plan()
  assert make_plan().page == study.page
  assert make_plan().key == study.key
  other_results = {**RESULTS, 'quokka': RESULTS['quokka'] ^ 1}
  others = [make_plan(seed=1), make_plan(results=other_results), make_plan(QUESTIONS[:3]),
            make_plan(results=dict(zip('abc', RESULTS.values(), strict=True)))]
  assert len({study.id, *(other.id for other in others)}) == 5
  for other in others:
    assert not study.pictures.keys() & other.pictures.keys()
  orders = [[s.key['trials'][trial['id']]['pair'] for trial in s.page['trials']]
            for s in (study, others[0])]
  assert orders[0] != orders[1]


def content(text):
  """Returns the JSON that a page contains."""
  return json.loads(re.search(r'id="study">(.*?)</script>', text)[1])


def decoded(uri):
  return Image.open(io.BytesIO(base64.b64decode(uri.partition(',')[2])))


def test_the_page_needs_no_network_and_names_nobody():
  study = make_plan(made={'runs': [{'workdir': 'runs/secret-burrow'}]})
  text = study_pages.page(study)
  words = re.sub(r'base64,[\w+/=]+', '', text)
  for name in (*RESULTS, 'secret', 'burrow', 'wombat', 'truth', *QUESTIONS[:1], 'exemplar'):
    assert name not in words.lower()
  assert 'secret-burrow' in json.dumps(study.key)
  assert not re.search(r'https?:|src="|href="|url\(|@import|fetch\(|XMLHttp', words)
  assert "default-src 'none'" in words
  page_content = content(text)
  assert list(page_content['pictures']) == sorted(page_content['pictures'])
  for name, uri in page_content['pictures'].items():
    picture = decoded(uri)
    assert picture.format == 'PNG' and set(picture.info) == set()
    np.testing.assert_array_equal(np.asarray(picture), study.pictures[name])
  page = Page(re.sub(r'<noscript>.*?</noscript>', '', text.replace('<!DOCTYPE html>', ''),
                     flags=re.S).replace('<input', '<img'))
  ids = [attributes['id'] for _, attributes in page.tags if 'id' in attributes]
  assert len(ids) == len(set(ids))
  assert set(re.findall(r"\$\('([\w-]+)'\)", text)) <= set(ids)
  assert {label['for'] for label in page.all('label')} <= set(ids)


@pytest.mark.skipif(not shutil.which('node'), reason='no node to read JavaScript with')
def test_the_script_is_javascript():
  path = os.path.join(pages.templates_of(study_pages.__file__), 'study.js')
  result = subprocess.run(['node', '--check', path], capture_output=True, text=True, check=False)
  assert not result.returncode, result.stderr


def test_large_studies_have_jpegs_all_of_them(monkeypatch):
  monkeypatch.setattr(study_pages, '_PNG_BYTES', 100)
  smooth = {name: np.full_like(images, 40 * i)
            for i, (name, images) in enumerate(RESULTS.items(), 1)}
  study = make_plan(['background'], smooth, {**SHOWN, 'source': np.full_like(SHOWN['source'], 9)})
  for name, uri in content(study_pages.page(study))['pictures'].items():
    picture = decoded(uri)
    assert picture.format == 'JPEG' and abs(np.asarray(picture) - 1.0 * study.pictures[name]
                                            ).max() <= 2


def test_a_title_cannot_break_the_page():
  title = '</script><b>"&'
  text = study_pages.page(study_plans.plan(SHOWN, RESULTS, ['style'], title=title,
                                           what='</title>'))
  assert text.count('</script>') == 2 and title not in text and content(text)['title'] == title


# From runs to a page.

def save_run(workdir, data_dir, seed=0, **overrides):
  config = make_config(data__load_size=0, data__data_dir=data_dir, **overrides)
  run_config.save(config, workdir)
  _, params, model_state = make_model(config, seed)
  with checkpoints.Checkpoints(workdir) as saved:
    saved.save(3, {'params': params, 'model_state': model_state, 'ema_params': {}},
               {'step': jnp.int32(3)})
  return workdir


@pytest.fixture(scope='module', name='runs')
def _runs(tmp_path_factory, data_dir):
  folder = tmp_path_factory.mktemp('burrow')
  return [save_run(str(folder / name), data_dir, seed)
          for seed, name in enumerate(('quokka', 'wombat'))]


@pytest.mark.slow
def test_make(runs, tmp_path):
  said = []
  output = str(tmp_path / 'study.html')
  paths = user_study.make(runs, output, pairs=3, with_truth=True, what='the glasses',
                          note=said.append)
  assert paths == (output, str(tmp_path / 'study.key.json')) and len(said) == 1
  with open(paths[1], encoding='utf-8') as file:
    key = json.load(file)
  with open(output, encoding='utf-8') as file:
    text = file.read()
  assert not re.search('quokka|wombat|burrow|truth', re.sub(r'base64,[\w+/=]+', '', text), re.I)
  assert 'the glasses of the example' in text
  assert key['methods'] == ['quokka', 'wombat', 'truth'] and len(key['trials']) == 18
  assert [run['workdir'] for run in key['runs']] == runs and key['runs'][0]['step'] == 3

  config = run_config.load(runs[0])
  data = pipeline.make(config)
  batch = next(iter(data.evaluation('test', batch_size=3)))
  expected = {'quokka': Translator.from_workdir(runs[0])(batch['a'], batch['b']).image,
              'wombat': Translator.from_workdir(runs[1])(batch['a'], batch['b']).image,
              'truth': batch['truth_ab']}
  shown = content(text)['pictures']
  for trial in key['trials'].values():
    for name, method in trial['choices'].items():
      if method != 'real':
        np.testing.assert_array_equal(np.asarray(decoded(shown[name])),
                                      expected[method][trial['pair']])

  again = [os.stat(path).st_ino for path in paths]
  user_study.make(runs, output, pairs=3, with_truth=True, what='the glasses', note=said.append)
  assert [os.stat(path).st_ino for path in paths] != again
  with open(output, encoding='utf-8') as file:
    assert file.read() == text
  with pytest.raises(errors.UserError, match='key of another study'):
    user_study.make(runs, output, pairs=2, note=said.append)
  write(tmp_path, 'study.key.json', 'a diary')
  with pytest.raises(errors.UserError, match='not the key of a study'):
    user_study.make(runs, output, pairs=3, note=said.append)
  with open(output, encoding='utf-8') as file:
    assert file.read() == text


def test_make_with_one_run_asks_for_realism_alone(runs, tmp_path):
  said = []
  output = str(tmp_path / 'study.html')
  user_study.make(runs[:1], output, pairs=10_000, note=said.append)
  assert 'there are only' in said[0]
  with open(output, encoding='utf-8') as file:
    assert content(file.read())['questions'] == [study_plans.QUESTIONS['realism'].text]


def test_makes_mistakes(runs, tmp_path, data_dir):
  output = str(tmp_path / 'study.html')
  larger = save_run(str(tmp_path / 'larger'), data_dir, image_size=32)
  cases = [
      (runs, dict(output='study.htm'), 'NAME.html'),
      (runs, dict(names=['one']), '1 --names for 2'),
      (runs, dict(names=['one', 'one']), "two methods are called 'one'"),
      (runs, dict(names=['one', 'real']), "called 'real'"),
      (runs, dict(names=['one', 'a|b']), 'letters'),
      ([runs[0], runs[0]], {}, 'tell them apart with --names'),
      ([runs[0], 'nowhere'], {}, 'nowhere'),
      ([runs[0], larger], {}, '16x16 pixels and'),
      (runs, dict(questions=['realims']), "did you mean 'realism'"),
      (runs, dict(questions=['style', 'style']), 'twice'),
      (runs[:1], dict(questions=['style']), 'two --workdirs'),
      (runs, dict(reverse=True), 'no --reverse'),
  ]
  for workdirs, options, part in cases:
    with pytest.raises(errors.UserError, match=re.escape(part)):
      user_study.make(workdirs, **{'output': output, **options}, pairs=2)
  assert not os.path.exists(output)


def test_other_data_is_said_and_questions_of_exemplars_need_one(runs, tmp_path, data_dir):
  other = save_run(str(tmp_path / 'other'), data_dir, data__b='Smiling', data__num_train=5)
  said = []
  user_study.make([runs[0], other], str(tmp_path / 's.html'), pairs=1, note=said.append)
  assert 'another config.data.b than' in said[0]
  assert user_study._questions([], False, 2) == ['realism', 'background', 'closer', 'identity']
  with pytest.raises(errors.UserError, match='none of the runs takes one'):
    user_study._questions(['style'], False, 2)


@pytest.mark.parametrize('flags, parts', [
    (['mkae'], ["'mkae'", 'make or read']), (['make'], ['--workdirs', '--output']),
    (['read', '--key=k', '--pairs=3', 'x'], ['--pairs', 'make']),
    (['read', 'x.json', '--key=nokey.json'], ['nokey.json']),
])
def test_commands_mistakes(flags, parts):
  fails(run('user_study', *flags), *parts)


def test_help():
  result = run('user_study', '--help')
  assert result.returncode == 0 and 'maskgan_jax.user_study read' in result.stdout
  assert all(re.search(f'^  {name} ', result.stdout, re.M) for name in QUESTIONS)
