"""Every config loads, has a complete docstring, shrinks, survives its file, and takes a step."""

import glob
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import config_checks
from helpers.config_checks import arguments, load, name, variants
from helpers.paths import ROOT
from helpers.training import random_batch, run
from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.data import predicates
from maskgan_jax.data.sources import table as table_source
from maskgan_jax.training import optimizers, train_step

PATHS = sorted(glob.glob(os.path.join(ROOT, 'configs', '*.py')))
QUICKSTART = os.path.join(ROOT, 'configs', 'quickstart.py')
CELEBA = '''5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose
Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee
Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard
Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair
Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie
Young'''.split()  # noqa: SIM905


def configs_of(method):
  """Yields (path, argument, config) of all configs of a method."""
  for path in PATHS:
    for argument in ('', *arguments(path)):
      config = load(path, argument)
      if config.method == method:
        yield path, argument, config


@pytest.mark.parametrize('path', PATHS, ids=name)
def test_a_config_is_a_document(path):
  config_checks.check_document(path)


@pytest.mark.parametrize('path', PATHS, ids=name)
def test_a_config_loads_and_survives_its_file(path):
  config_checks.check_loading(path)


@pytest.mark.parametrize('path', [p for p in PATHS if 'celeba' in p], ids=name)
def test_celebas_predicates_name_its_attributes_and_part_the_domains(path):
  rows = np.random.default_rng(0).integers(0, 2, (4096, len(CELEBA))).astype(bool)
  for argument in ('', *arguments(path)):
    config = load(path, argument)
    data = config.data
    a, b = (predicates.parse(data[d], CELEBA).select(rows) for d in ('a', 'b'))
    assert set(data.attributes) | set(data.transfer) <= set(CELEBA)
    for d in ('test_a', 'test_b'):  # a shift of domains
      predicates.parse(data[d], CELEBA)
    if config.method == 'lomit':  # labels tell pictures apart, and a and b are the same set
      labels = rows[:, [CELEBA.index(label) for label in data.attributes]]
      assert data.a == data.b and labels[a].any(0).all() and not labels[a].all(0).any()
      colors = [label for label in data.attributes if label.endswith('_Hair')]
      with_color = rows[:, [CELEBA.index(label) for label in colors]].any(axis=1)
      np.testing.assert_array_equal(a, with_color if colors else True)
    elif data.a == data.b:  # any two pictures, whose labels are trained on
      assert config.method == 'stargan' and data.a == '' and data.attributes
    else:
      assert a.any() and b.any() and not (a & b).any()


@pytest.mark.parametrize('path', [p for p in PATHS if 'avatars' not in p], ids=name)
def test_an_argument_that_names_a_variant_chooses_it(path):
  for argument in ('', *arguments(path)):
    config = load(path, argument)
    known_variants = methods.module(config.method).VARIANTS
    usual = 'official' if 'official' in known_variants else 'paper'  # where no code was published
    assert config.variant == (argument if argument in known_variants else usual)


def test_every_method_has_a_config_and_every_config_a_method():
  assert {load(path).method for path in PATHS} == set(methods.names())


def first_configs():
  """Returns {'method-variant': (path, argument)} with the first config of each."""
  firsts = {}
  for method in methods.names():
    for path, argument, config in configs_of(method):
      firsts.setdefault(f'{method}-{config.variant}', (path, argument))
  return firsts


FIRST = first_configs()


def test_every_variant_has_a_config():
  assert set(FIRST) == {f'{method}-{variant}' for method in methods.names()
                        for variant in variants(method)}


@pytest.mark.slow
@pytest.mark.parametrize('path, argument', FIRST.values(), ids=FIRST)
def test_a_config_of_each_variant_can_be_trained(path, argument):
  """Traces the players' losses and updates; what they compute is the business of the twins."""
  config = load(path, f'{argument},smoke')
  method = methods.make(config)
  step = train_step.make_step(method, train_step.make_optimizers(method, config), config)
  assert {f'{player.name}/loss' for player in method.players} <= set(step.metric_names)


# The variants that no twin computes.
TUNED = {name: where for name, where in FIRST.items() if name.endswith('-tuned')}


@pytest.mark.slow
@pytest.mark.parametrize('path, argument', TUNED.values(), ids=TUNED)
def test_a_tuned_config_takes_steps(path, argument):
  config = load(path, f'{argument},smoke')
  rng, batches = np.random.default_rng(0), []
  for step in range(2):
    batch = random_batch(config, step)
    if config.data.attributes:
      shape = (config.batch_size, len(config.data.attributes))
      batch |= {f'{d}_attributes': rng.integers(0, 2, shape).astype(np.float32) for d in 'ab'}
    batches.append(batch)
  state, history = run(config, steps=2, batches=batches, devices=jax.devices()[:1])
  assert state.skipped == 0
  for metric in history[0]:  # NaN where its player did not play
    assert any(np.isfinite(h[metric]) for h in history), metric


def test_what_may_change_on_resuming_and_what_may_not(tmp_path):
  config = load(QUICKSTART, 'smoke')
  run_config.save(config, tmp_path)
  config.num_steps, config.data.workers = 99, 2
  run_config.check_same_run(config, str(tmp_path))
  config.weights.recon1_a = 3.0
  with pytest.raises(errors.UserError, match='weights.recon1_a was 5.0, is 3.0'):
    run_config.check_same_run(config, str(tmp_path))


@pytest.mark.parametrize('key, value, message', [
    ('optimizers.autoencoder.learning_rate', float('nan'), 'must be a finite number'),
    ('weights.recon1_a', float('inf'), 'must be a finite number'),
    ('optimizers.autoencoder.learning_rate', -1e-3, 'must be at least 0'),
])
def test_numbers_that_train_nothing_are_refused(key, value, message):
  config = load(QUICKSTART)
  run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError, match=f'config.{key}=.*{message}'):
    run_config.check_values(config)


def test_an_older_config_file_gets_todays_defaults(tmp_path):
  config = load(QUICKSTART, 'smoke')
  text = run_config.to_json(config)
  older = '\n'.join(line for line in text.splitlines() if '"ema_decay"' not in line)
  assert run_config.from_json(older).ema_decay == 0.0


def test_keys_of_a_config_file_that_no_config_has(tmp_path):
  path = tmp_path / 'config.json'
  path.write_text('{"method": "lomit", "batch_sise": 8}')
  with pytest.raises(errors.UserError, match="config.json has the key 'batch_sise', which no "
                     "config has .did you mean 'batch_size'"):
    run_config.load(str(tmp_path))
  path.write_text('{"method": "lomit", "model": {"widht": 8}}')
  with pytest.raises(errors.UserError, match="'model.widht'"):
    run_config.load(str(tmp_path))


@pytest.mark.parametrize('damage', [
    b'', b'{', b'[]', b'{"method": "nothing"}', b'\xff\xfe', b'[' * 100_000,
    b'{"method": "lomit", "image_size": "big"}', b'{"method": "lomit", "model": {"width": [4]}}',
    b'{"method": "lomit", "image_size": 1.5}', b'{"method": "lomit", "image_size": null}',
    b'{"method": "lomit", "image_size": {}}', b'{"method": "lomit", "data": {"resize": 3}}'])
def test_a_damaged_config_file_is_said(tmp_path, damage):
  (tmp_path / 'config.json').write_bytes(damage)
  with pytest.raises(errors.UserError, match='config.json is damaged'):
    run_config.load(str(tmp_path))


@pytest.mark.parametrize(('keys', 'problem'), [
    ('"model": null', 'model is null, and should have keys'),
    ('"data": [1]', 'data is .1., and should'),
    ('"optimizers": {"generator": 3}', 'optimizers.generator is 3, and should')])
def test_a_value_in_place_of_keys_is_named(tmp_path, keys, problem):
  (tmp_path / 'config.json').write_text(f'{{"method": "lomit", {keys}}}')
  with pytest.raises(errors.UserError, match=f'config.json is damaged: {problem}'):
    run_config.load(str(tmp_path))


@pytest.mark.parametrize('method', methods.names())
def test_switches_set_one_by_one(method):
  config_checks.check_switches(method)


@pytest.mark.parametrize('path', sorted({path for path, *_ in configs_of('lomit')}), ids=name)
def test_lomits_settings_in_its_papers(path):
  for argument in ('', *arguments(path)):
    config = load(path, argument)
    if config.method != 'lomit':
      continue
    switches = methods.make(config).switches
    assert switches.similarity_reduction == 'mean', 'the weight of R1 was meant for that'
    if argument == 'iclr':  # section 4.6 and appendix 7.2
      assert config.num_steps == 200_000 and config.batch_size == 8
      weights = config.weights.similarity, switches.style_difference, config.weights.size
      assert weights == (0.1, 0.01, 0.0001)
      for player in config.optimizers.values():
        rate = optimizers.schedule(player, config.num_steps)
        rates = [float(rate(jnp.int32(step))) for step in (99_999, 105_000, 110_000, 200_000)]
        np.testing.assert_allclose(rates, [1e-4, 0.75e-4, 0.5e-4, 1e-4 / 1024], rtol=1e-6)


def test_emotionets_action_units_are_those_of_the_table(tmp_path):
  """The table in question is the one in the docstring of data/sources/table.py."""
  lines = table_source.__doc__.splitlines()
  start = next(i for i, line in enumerate(lines) if line.strip().startswith('file,'))
  (tmp_path / 'attributes.csv').write_text('\n'.join(line.strip() for line in lines[start:]))
  table = table_source.read_csv(str(tmp_path / 'attributes.csv'))
  data = load(os.path.join(ROOT, 'configs', 'emotionet.py')).data
  assert table.attribute_names == data.attributes and len(data.attributes) == 12
