"""Saved models: they translate as before they were saved, and messages name what does not fit."""

import json
import os
import re

from jax import tree
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy
from safetensors import safe_open

from helpers.models import drawn, picture
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators, methods
from maskgan_jax.data import images
from maskgan_jax.runs import measures
from maskgan_jax.translator import packaged, Translator

BASELINES = {'adain', 'aggan', 'drit', 'gatys', 'munit', 'press', 'stargan', 'ugatit', 'unit',
             'wct'}  # without pretrained models


@pytest.mark.slow
@pytest.mark.parametrize('name', methods.names())
def test_what_was_saved_does_the_same(name, tmp_path):
  before = drawn(name)
  before.save(tmp_path / 'it', card='# It\n', examples={'source': picture(2, before)})
  after = Translator.from_pretrained(tmp_path / 'it')
  pair = [picture(0, before)] + [picture(1, before)] * ('exemplar' in before.abilities)
  for options in ({},) + (({'reverse': True},) if 'reverse' in before.abilities else ()):
    tree.map(np.testing.assert_array_equal, before(*pair, **options), after(*pair, **options))
  for ability in {'remove', 'segment'} & before.abilities:
    tree.map(np.testing.assert_array_equal, getattr(before, ability)(pair[0]),
             getattr(after, ability)(pair[0]))
  assert (after.step, after.threshold) == (7, 0.25)
  with pytest.raises(errors.UserError, match='exists'):
    after.save(tmp_path / 'it')
  assert 'secret' not in (tmp_path / 'it' / 'config.json').read_text()
  assert (tmp_path / 'it' / 'README.md').read_text() == '# It\n'
  saved = [images.load_image(path) for path in packaged.examples(tmp_path / 'it', 'source')]
  np.testing.assert_array_equal(saved, picture(2, before))
  assert not packaged.examples(tmp_path / 'it', 'exemplar')
  before.save(tmp_path / 'half', half=True)
  assert (os.path.getsize(tmp_path / 'half' / 'model.safetensors')
          < 0.8 * os.path.getsize(tmp_path / 'it' / 'model.safetensors'))
  near = Translator.from_pretrained(tmp_path / 'half')(*pair).image.astype(int)
  assert np.abs(near - before(*pair).image).mean() < 2
  # What only training needs is not saved.
  names = safetensors_numpy.load_file(tmp_path / 'it' / 'model.safetensors')
  trained_with = ['discriminator', 'critic', 'pool']
  if name not in ('adain', 'gatys', 'wct'):  # which translate with it
    trained_with.append('perceptual')
  for word in trained_with:
    assert not [n for n in names if word in n], word
  assert names


def test_nothing_that_is_there_is_overwritten(tmp_path):
  t = drawn('additional_mask')
  for name, text in (('config.json', '{"method": "lomit"}'), ('README.md', 'mine')):
    folder = tmp_path / name
    folder.mkdir()
    (folder / name).write_text(text)
    with pytest.raises(errors.UserError, match=f'holds another {name}'):
      t.save(folder, card='# It')
    assert (folder / name).read_text() == text and len(list(folder.iterdir())) == 1
  t.save(tmp_path / 'killed', card='# It')
  (tmp_path / 'killed' / 'model.safetensors').unlink()  # which is written last
  t.save(tmp_path / 'killed', card='# It')
  Translator.from_pretrained(tmp_path / 'killed')


@pytest.mark.slow
@pytest.mark.parametrize('name', methods.names())
def test_a_file_without_a_network_is_said(name, tmp_path):
  drawn(name).save(tmp_path / 'it')
  path = tmp_path / 'it' / 'model.safetensors'
  arrays = safetensors_numpy.load_file(path)
  with safe_open(path, framework='numpy') as file:
    metadata = file.metadata()
  lost = next(n for n in sorted(arrays) if n.startswith('params.')).split('.')[1]
  left = {n: array for n, array in arrays.items() if not n.startswith(f'params.{lost}.')}
  safetensors_numpy.save_file(left, path, metadata)
  with pytest.raises(errors.UserError, match='lacks weights'):
    Translator.from_pretrained(tmp_path / 'it')


def test_what_does_not_fit_is_said(tmp_path):
  with pytest.raises(errors.UserError, match="no pretrained model 'nothing'"):
    Translator.from_pretrained('nothing')
  drawn('content_transfer').save(tmp_path)
  path = tmp_path / 'model.safetensors'
  whole = path.read_bytes()
  path.write_bytes(whole[:-100])
  with pytest.raises(errors.UserError, match='damaged'):
    Translator.from_pretrained(tmp_path)
  path.write_bytes(whole)
  config = json.loads((tmp_path / 'config.json').read_text())
  config['model']['width'] *= 2
  (tmp_path / 'config.json').write_text(json.dumps(config))
  with pytest.raises(errors.UserError, match='expected finite float32'):
    Translator.from_pretrained(tmp_path)
  arrays = safetensors_numpy.load(whole)
  path.write_bytes(safetensors_numpy.save(arrays, {'kind': 'translator', 'facts': '{}'}))
  config['model']['width'] //= 2
  (tmp_path / 'config.json').write_text(json.dumps(config))
  with pytest.raises(errors.UserError, match='facts are damaged'):
    Translator.from_pretrained(tmp_path)
  (tmp_path / 'config.json').unlink()
  with pytest.raises(errors.UserError, match='has model.safetensors and no config.json'):
    Translator.from_pretrained(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('name', packaged.names())
def test_every_model_that_comes_along(name):
  """It opens, is small, has a card, changes its own examples, and contains no paths of ours."""
  folder = packaged.find(name)
  size = sum(os.path.getsize(os.path.join(root, file))
             for root, _, files in os.walk(folder) for file in files)
  assert size < 8e6
  translator = Translator.from_pretrained(name)
  examples = [np.stack([images.load_image(p) for p in packaged.examples(folder, role)])
              for role in ('source', 'exemplar')[:1 + ('exemplar' in translator.abilities)]]
  result = translator(*examples).image
  assert result.shape == examples[0].shape and (result != examples[0]).any(axis=(1, 2, 3)).all()
  with open(os.path.join(folder, 'README.md'), encoding='utf-8') as file:
    card = file.read()
  for heading in ('## Data', '## Measures', '## Limits', '## Licence'):
    assert heading in card
  assert not re.search(r'/(root|work|home|tmp)/', card + run_config.to_json(translator.config))


@pytest.mark.parametrize('name', packaged.names())
def test_every_row_of_a_card_is_a_figure_that_can_be_checked(name):
  folder = packaged.find(name)
  with open(os.path.join(folder, 'README.md'), encoding='utf-8') as file:
    rows = re.findall(r'^\|(?! measure \||---).*\|$', file.read(), re.MULTILINE)
  figures = packaged.figures(folder)
  for evaluator in run_config.load(folder).evaluators:
    evaluators.module(evaluator)
  assert len(figures) == len(rows) >= 4
  for column in figures:
    assert measures.quantity(measures.Measure.parse(column)), f'{column} is of no evaluator'


def test_the_papers_methods_all_have_one():
  made = {run_config.load(packaged.find(name)).method for name in packaged.names()}
  assert made == set(methods.names()) - BASELINES
