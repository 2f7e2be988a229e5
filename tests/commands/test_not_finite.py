"""What measuring commands do with a model whose values are not finite."""

import types

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers.tiny_model import make_config, SIZE
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluate, evaluators, experiment
from maskgan_jax.data import pipeline
from maskgan_jax.demo.models import Model
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.reports import report
from maskgan_jax.runs import checkpoints, samples, scores
from maskgan_jax.sweep import __main__ as sweep
from maskgan_jax.sweep import results as sweep_results
from maskgan_jax.tables import filling, measured, papers
from maskgan_jax.training import loop
from maskgan_jax.translator import Translator


@pytest.fixture(name='measure')
def _measure(monkeypatch):
  """Makes the values of step 3 and later steps not finite."""
  def measure(translator, data, config, workdir, step, **unused):
    if step >= 3:
      raise errors.NotFiniteError('runs/mine computes NaN', [0])
    return {'pairs': 1.0}
  monkeypatch.setattr(evaluators, 'measure', measure)
  monkeypatch.setattr(report, 'write', lambda *unused: None)
  monkeypatch.setattr(scores, 'latest', lambda *unused, **also: None)


def test_evaluate_leaves_the_step_out_and_fails_where_no_other_is_left(measure, monkeypatch,
                                                                       tmp_path):
  steps = [2, 3]
  monkeypatch.setattr(evaluate._Run, 'saved_steps', lambda run: steps)
  monkeypatch.setattr(pipeline, 'make', lambda *unused, **also: None)
  monkeypatch.setattr(Translator, 'from_workdir', lambda *unused, **also: types.SimpleNamespace(
      method=Method()))
  lines, config = [], make_config(evaluators=('changes',))
  run_config.save(config, str(tmp_path))
  assert evaluate.evaluate(str(tmp_path), config, note=lines.append) == {2: {'pairs': 1.0}}
  assert lines[-1] == 'step 3 is left out: runs/mine computes NaN'
  steps.remove(2)
  with pytest.raises(errors.NotFiniteError, match='runs/mine computes NaN'):
    evaluate.evaluate(str(tmp_path), config, note=lines.append)


def test_training_goes_on_and_its_end_says_so(measure, monkeypatch, tmp_path, capsys):
  seen = []

  def train(config, workdir, make_evaluate):
    measure_step = make_evaluate('method', 'data', lambda: None)
    seen.extend(measure_step(step, {}, {}) for step in (2, 3))
    return loop.Trained(4, 'method', {}, {}, 'data')
  monkeypatch.setattr(loop, 'train', train)
  monkeypatch.setattr(experiment, 'Translator', lambda *unused: types.SimpleNamespace(
      at=lambda *also: None))
  with pytest.raises(errors.NotFiniteError):  # the last step has no scores
    experiment.train(make_config(evaluators=('changes',)), str(tmp_path), poll=lambda: None)
  assert seen == [{'pairs': 1.0}, {}]
  assert capsys.readouterr().err == 'step 3 is not measured: runs/mine computes NaN\n'


def test_a_sweep_goes_on_without_such_a_run(measure, monkeypatch, tmp_path):
  class Model:
    """The model is a Translator of a run at its last step."""
    abilities = frozenset()
    method = Method()

    def __init__(self, workdir):
      self.step = 3 if workdir.endswith('=0') else 2
      self.digest = lambda: self.step

    def __call__(self, source, *unused, **also):
      return Translation(np.zeros(source.shape), np.zeros((*source.shape[:3], 1)))

  def train(config, workdir, **unused):
    evaluators.measure(None, None, config, workdir, Model(workdir).step)
  pictures = {domain: np.zeros((1, SIZE, SIZE, 3), np.uint8) for domain in 'ab'}
  for where, name, stub in (
      (experiment, 'train', train), (sweep, '_is_done', lambda run: False),
      (sweep_results, 'newest_step', lambda workdir: 3), (Translator, 'from_workdir', Model),
      (sweep_results, 'first_pictures', lambda *unused: (pictures, 'test')),
      (pipeline, 'make', lambda *unused, **also: None)):
    monkeypatch.setattr(where, name, stub)
  lines, config = [], make_config(evaluators=('changes',), num_steps=2)
  drawn = sweep.sweep(config, str(tmp_path), field='ema_decay', values=['0', '0.5'],
                      note=lines.append)
  assert [run.label for run in drawn] == ['0.5']
  assert 'going on without 0: runs/mine computes NaN' in lines
  assert '0 is left out: runs/mine computes NaN' in (tmp_path / 'sweep.html').read_text()
  with pytest.raises(errors.NotFiniteError):
    sweep.sweep(config, str(tmp_path), field='ema_decay', values=['0'], note=lines.append)


def test_a_table_says_why_such_a_run_has_no_number(measure, monkeypatch):
  monkeypatch.setattr(checkpoints.Checkpoints, '__enter__',
                      lambda saved: types.SimpleNamespace(steps=lambda: [2, 3]))
  for where, name in ((pipeline, 'make'), (Translator, 'from_workdir')):
    monkeypatch.setattr(where, name, lambda *unused, **also: None)
  monkeypatch.setattr(measured, 'best_step', lambda *unused: 2)
  monkeypatch.setattr(measured, 'row_of', lambda *unused: None)
  run = types.SimpleNamespace(workdir='runs/mine')
  column = papers.base.Column('error', 'ab_error', 'configs/x.py')
  table = object.__new__(filling.FilledTable)
  table.table = papers.base.Table('', (column,), (papers.base.Row('ours', ours=True),))
  table.plans = {'configs/x.py': types.SimpleNamespace(config=make_config())}
  table.request, table.row_name = filling.Request(), 'test'
  table._runs, table._settings, table._reasons = {'configs/x.py': [run]}, {'configs/x.py': {}}, {}
  table._reporter = evaluators.base.Reporter(note=lambda line: None)
  table.measure_missing()
  assert table._reasons == {'runs/mine': 'runs/mine computes NaN'}


@pytest.mark.parametrize('value, said', [(0.5, False), (np.nan, True)])
def test_sample_grids_say_what_black_is(monkeypatch, tmp_path, value, said):
  class Constant(Method):
    def translate(self, params, model_state, source, exemplar, **unused):
      return Translation(jnp.full(source.shape, value))

  titles, picture = [], np.zeros((1, SIZE, SIZE, 3), np.uint8)
  batch = {'a': picture, 'b': picture, 'valid': np.ones(1, bool)}
  data = types.SimpleNamespace(evaluation=lambda split, **also: [batch])
  sampler = samples.Sampler(Constant(), data, make_config())
  monkeypatch.setattr(samples.pictures, 'grid', lambda rows, *, title, **unused: (
      titles.append(title) or picture[0]))
  sampler.write(7, {}, {}, str(tmp_path))
  assert ('black stands for NaN and infinite values' in titles[0]) == said
  with Image.open(samples.path(str(tmp_path), 7)) as written:
    assert written.size == (SIZE, SIZE)


def test_the_page_starts_with_such_a_model(recwarn):
  class NotFinite:
    """The model is a Translator."""
    abilities = frozenset()
    config = make_config()

    def __call__(self, *unused, **also):
      raise errors.NotFiniteError('NaN', [0])
  Model(NotFinite()).warm_up().join()
  assert not recwarn  # pytest warns of exceptions in threads
