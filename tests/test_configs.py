"""Every config: it loads, says what it must, shrinks, survives its file, and takes a step."""

import glob
import os
import runpy

import ml_collections
import numpy as np
import pytest
from test_train_step import run

from maskgan_jax import errors, methods
from maskgan_jax.data import predicates
from maskgan_jax.runs import config as run_config

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATHS = sorted(glob.glob(os.path.join(ROOT, 'configs', '*.py')))
CELEBA = '''5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose
Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee
Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard
Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair
Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie
Young'''.split()  # noqa: SIM905


def name(path):
  return os.path.splitext(os.path.basename(path))[0]


def load(path, argument=''):
  return runpy.run_path(path)['get_config'](argument)


@pytest.mark.parametrize('path', PATHS, ids=name)
def test_a_config_is_a_document(path):
  document = runpy.run_path(path)['__doc__']
  for part in ('paper:', 'ours:' if name(path) != 'quickstart' else 'README.md', 'command:'):
    assert part in document
  command = document.split('command:')[1]
  assert f'--config=configs/{name(path)}.py' in command


@pytest.mark.parametrize('path', PATHS, ids=name)
def test_a_config_loads_and_survives_its_file(path):
  for argument in ('', 'smoke'):
    config = load(path, argument)
    again = run_config.from_json(run_config.to_json(config))
    assert dict(run_config.flatten(again)) == dict(run_config.flatten(config))
    assert run_config.fingerprint(again) == run_config.fingerprint(config)
    methods.make(config)
  with pytest.raises(errors.UserError, match='smoke'):
    load(path, 'smokke')


@pytest.mark.parametrize('path', [p for p in PATHS if 'celeba' in p], ids=name)
@pytest.mark.parametrize('argument', ['', 'paper', 'official'])
def test_celebas_predicates_name_its_attributes_and_part_the_domains(path, argument):
  config = load(path, argument)
  rows = np.random.default_rng(0).integers(0, 2, (4096, len(CELEBA))).astype(bool)
  a, b = (predicates.parse(config.data[d], CELEBA).select(rows) for d in ('a', 'b'))
  assert a.any() and b.any() and not (a & b).any()
  assert config.variant == ('paper' if argument == 'paper' else 'official')


def test_every_method_has_a_config_and_every_config_a_method():
  assert {load(path).method for path in PATHS} == set(methods.names())


@pytest.mark.parametrize('method', methods.names())
@pytest.mark.parametrize('variant', ['paper', 'official'])
def test_a_method_takes_steps_in_each_variant(method, variant):
  path = next(p for p in PATHS if load(p).method == method)
  config = load(path, 'smoke')
  config.variant = variant
  state, history = run(config, steps=2)
  assert state.skipped == 0 and all(np.isfinite(list(h.values())).all() for h in history)


def test_what_may_change_on_resuming_and_what_may_not(tmp_path):
  config = load(PATHS[0], 'smoke')
  run_config.save(config, tmp_path)
  config.num_steps, config.data.workers = 99, 2
  run_config.check_same_run(config, str(tmp_path))
  config.weights.recon1_a = 3.0
  with pytest.raises(errors.UserError, match='weights.recon1_a was 5.0, is 3.0'):
    run_config.check_same_run(config, str(tmp_path))


def test_an_older_config_file_gets_todays_defaults(tmp_path):
  config = load(PATHS[0], 'smoke')
  text = run_config.to_json(config)
  older = '\n'.join(line for line in text.splitlines() if '"ema_decay"' not in line)
  assert run_config.from_json(older).ema_decay == 0.0


@pytest.mark.parametrize('damage', [b'', b'{', b'[]', b'{"method": "nothing"}', b'\xff\xfe'])
def test_a_damaged_config_file_is_said(tmp_path, damage):
  (tmp_path / 'config.json').write_bytes(damage)
  with pytest.raises(errors.UserError, match='config.json is damaged'):
    run_config.load(str(tmp_path))


def test_switches_set_one_by_one():
  config = load(PATHS[0], 'smoke')
  assert isinstance(config.model, ml_collections.ConfigDict)
  config.model.decoder_leak = 0.3
  method = methods.make(config)
  assert method.switches.decoder_leak == 0.3
  assert method.switches.recon2_a_code == 'zeros'
