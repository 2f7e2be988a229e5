"""Fields of a config: defaults, constraints, what may change when a run is resumed."""

import pytest

from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators, fields
from maskgan_jax.fields import (
  at_least,
  at_most,
  between,
  field,
  free,
  less_than,
  more_than,
  multiple_of,
  one_of,
)

FIELDS = dict(
    width=field(64, at_least(1), multiple_of(4)),
    norm=field(None, one_of('instance', 'batch')),
    share=field(0.5, more_than(0), at_most(1)),
    decay=free(0.0, at_least(0), less_than(1)),
    range=(1, 2),
    loss=dict(kind='l1', weight=free(1.0, between(0, 10))),
)


def test_defaults_of_fields_groups_and_plain_values():
  config = fields.defaults(FIELDS)
  assert config.to_dict() == {
      'width': 64, 'norm': None, 'share': 0.5, 'decay': 0.0, 'range': (1, 2),
      'loss': {'kind': 'l1', 'weight': 1.0}}
  fields.check(config, FIELDS)


@pytest.mark.parametrize('key, value, message', [
    ('width', 0, 'config.width=0 must be at least 1'),
    ('width', 6, 'config.width=6 must be a multiple of 4'),
    ('norm', 'bacth', "config.norm='bacth' must be one of instance, batch .did you mean 'batch'"),
    ('share', 0.0, 'config.share=0.0 must be more than 0'),
    ('share', 1.5, 'config.share=1.5 must be at most 1'),
    ('decay', 1.0, 'config.decay=1.0 must be less than 1'),
    ('decay', float('nan'), 'config.decay=nan must be at least 0'),
    ('loss.weight', 11.0, 'config.loss.weight=11.0 must be between 0 and 10'),
])
def test_one_form_of_message(key, value, message):
  config = fields.defaults(FIELDS)
  with config.ignore_type():
    run_config.set_key(config, key, value)
  with pytest.raises(errors.UserError, match=f'^{message}'):
    fields.check(config, FIELDS)


def test_keys_that_are_not_there_are_not_checked():
  fields.check({'share': 1.0}, FIELDS)
  fields.check({'loss': {'kind': 'l2'}}, FIELDS)


def test_what_may_change_on_resuming():
  assert fields.free_keys(FIELDS) == {'decay', 'loss.weight'}
  for key in ('num_steps', 'sweep.over', 'data.path', 'data.workers', 'evaluators'):
    assert run_config.may_change(key), key
  for key in ('seed', 'batch_size', 'data.source', 'data.flip', 'weights.recon', 'model.width'):
    assert not run_config.may_change(key), key


def test_every_evaluator_with_settings_brings_their_defaults():
  config = run_config.default('lomit')
  for evaluator in evaluators.names():
    settings = getattr(evaluators.module(evaluator).Evaluator, 'settings', ())
    groups = (settings,) if isinstance(settings, str) else settings
    assert all(group in config for group in groups)
  for group in run_config.evaluator_groups():
    assert config[group].to_dict() == evaluators.module(group).DEFAULTS
    assert all(run_config.may_change(f'{group}.{key}') for key in config[group])


def test_the_former_place_of_configs_can_be_imported():
  from maskgan_jax.runs import config as former
  assert former.default is run_config.default and former.finish is run_config.finish
