"""Checks that every config file passes, also one that a test adds."""

import itertools
import os
import re
import runpy

import pytest

from maskgan_jax import config as run_config
from maskgan_jax import errors, methods


def name(path):
  return os.path.splitext(os.path.basename(path))[0]


def load(path, argument=''):
  return runpy.run_path(path)['get_config'](argument)


def arguments(path):
  """Returns the arguments that a config file takes, from its message about a wrong argument."""
  with pytest.raises(errors.UserError, match='smoke') as caught:
    load(path, 'smokke')
  return str(caught.value).rpartition('known: ')[2].split(', ')


def variants(method):
  """Returns {variant: switches}, without second names for the same switches."""
  switches_of = {}
  for variant, switches in methods.module(method).VARIANTS.items():
    if all(switches is not other for other in switches_of.values()):
      switches_of[variant] = switches
  return switches_of


def check_document(path):
  document = runpy.run_path(path)['__doc__']
  for part in ('paper:', 'ours:' if name(path) != 'quickstart' else 'README.md', 'command:'):
    assert part in document
  command = document.split('command:')[1]
  assert f'--config=configs/{name(path)}.py' in command
  for argument in re.findall('`:([^`]+)`', document):
    assert set(argument.split(',')) <= set(arguments(path)), 'the document promises too much'


def check_loading(path):
  chosen = arguments(path)
  for argument in ('', *chosen, *(f'{choice},smoke' for choice in chosen)):
    config = load(path, argument)
    again = run_config.from_json(run_config.to_json(config))
    assert dict(run_config.flatten(again)) == dict(run_config.flatten(config))
    assert run_config.fingerprint(again) == run_config.fingerprint(config)
    methods.make(config)


def check_switches(method):
  for (variant, mine), (_, others) in itertools.permutations(variants(method).items(), 2):
    for switch in mine:
      config = run_config.default(method)
      config.variant, config.model[switch] = variant, others[switch]
      assert dict(methods.make(config).switches) == {**mine, switch: others[switch]}
