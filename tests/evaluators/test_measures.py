"""The grammar of scores.csv: every column is written and parsed, and says what it is."""

import dataclasses
import itertools
import sys
import textwrap

import numpy as np
import pytest

from helpers.simple_method import Data, pairs, simple
from maskgan_jax import evaluators
from maskgan_jax.reports import report
from maskgan_jax.runs import measures, scores
from maskgan_jax.runs.measures import Measure

QUANTITIES = [pytest.param(quantity, id=f'{name}-{quantity.name}')
              for name in evaluators.names()
              for quantity in evaluators.module(name).Evaluator.quantities]


@pytest.mark.parametrize('quantity', QUANTITIES)
def test_columns_of_a_quantity_round_trip(quantity):
  assert quantity.tasks and quantity.meaning.endswith('.') and quantity.better in (-1, 0, 1)
  options = {'task': quantity.tasks, 'reference': ('', measures.DO_NOTHING, measures.TRUTH),
             'number': ('', '3'), 'threshold': ('', '0.5'),
             'group': ('', 'Odd', 'a[b] & ~c@0.5_std | d]'), 'part': ('value', 'std')}
  if 'segmentation' in quantity.tasks:
    options['reference'] = ('', measures.SOURCE)
  if '' in quantity.tasks:  # such a quantity belongs to the mask and has no reference
    options['reference'] = ('',)
  columns = set()
  for values in itertools.product(*options.values()):
    measure = Measure(quantity.name, **dict(zip(options, values, strict=True)))
    assert Measure.parse(measure.column) == measure
    assert measures.quantity(measure).name == quantity.name
    columns.add(measure.column)
  assert len(columns) == len(list(itertools.product(*options.values())))


@pytest.mark.parametrize('column, fields', [
    ('mask_iou@0.5_std', {'quantity': 'mask_iou', 'threshold': '0.5', 'part': 'std'}),
    ('transfer_mask_iou', {'quantity': 'mask_iou', 'task': 'transfer'}),
    ('do_nothing_error_inside',
     {'quantity': 'error_inside', 'task': 'transfer', 'reference': 'do_nothing'}),
    ('do_nothing_removal_error_inside_std',
     {'quantity': 'error_inside', 'task': 'removal', 'reference': 'do_nothing', 'part': 'std'}),
    ('truth_ba_accuracy[Glasses]',
     {'quantity': 'accuracy', 'task': 'ba', 'reference': 'truth', 'group': 'Glasses'}),
    ('segmentation_source_iou_3',
     {'quantity': 'iou', 'task': 'segmentation', 'reference': 'source', 'number': '3'}),
    ('erased_error_inside_before', {'quantity': 'error_inside_before', 'task': 'erased'}),
    ('segmentation_settings', {'quantity': 'segmentation', 'part': 'settings'}),
    ('fid_protocol', {'quantity': 'fid_protocol'}), ('pairs', {'quantity': 'pairs'}),
    ('[odd]', {'quantity': '[odd]'}), ('ab_', {'quantity': 'ab_'}),
    ('ab_x[]', {'quantity': 'ab_x[]'}), ('', {'quantity': ''})])
def test_parts_of_a_column(column, fields):
  measure = Measure.parse(column)
  defaults = dataclasses.asdict(Measure(''))
  assert dataclasses.asdict(measure) == {**defaults, **fields}
  assert measure.column == column


def test_what_is_measured_is_described():
  rows = pairs(5)
  names = ('masks', 'truth', 'similarity', 'changes', 'embedding', 'speed')
  results = evaluators.run(simple(), Data(test=rows, validation=pairs(4)), names=names,
                           batch_size=5)
  assert len(results) > 30
  for column, value in results.items():
    measure = Measure.parse(column)
    assert measure.column == column
    if isinstance(value, str):
      assert measures.writer(column) == 'speed'
    elif measure.reference != measures.DO_NOTHING:
      assert measures.meaning(column), column
  ordered = measures.ordered(results)
  assert ordered[0] == 'mask_iou' and ordered[-1] == 'pairs'
  assert not [name for name in ordered if name.endswith('_std') or name.startswith('do_nothing')]


def test_a_measure_is_one_file(tmp_path, monkeypatch):
  """A module beside the others is found, run, printed and explained."""
  (tmp_path / 'brightness.py').write_text(textwrap.dedent('''
      from maskgan_jax.evaluators import base
      from maskgan_jax.runs.measures import Quantity

      class Evaluator(base.Evaluator):
        texts = ('brightness_unit',)
        quantities = (Quantity('brightness', ('ab',), title='brightness', unit='%', digits=1,
                               better=1, meaning='How bright translations are.'),)

        def __init__(self):
          self._values = base.PerImage()

        def update(self, batch, outputs, valid):
          brightness = outputs.translated('ab').mean(axis=(1, 2, 3)) / 255
          self._values.add('ab_brightness', brightness, valid)

        def results(self):
          yield from self._values.means()
          yield self._values.deviation('ab_brightness')
          yield 'brightness_unit', 'share of white'
  '''))
  monkeypatch.setattr(evaluators, '__path__', [*evaluators.__path__, str(tmp_path)])
  monkeypatch.setattr(measures, '_quantities', dict(measures._quantities))
  monkeypatch.setattr(measures, '_writers', dict(measures._writers))
  rows = pairs(4)
  translator = simple()
  translator.config.update(evaluators=('brightness',), evaluation_batch_size=2)
  try:
    assert 'brightness' in evaluators.names()
    results = evaluators.measure(translator, Data(test=rows, validation=rows), translator.config,
                                 tmp_path, 3)
    bright = translator(rows['a'], rows['b']).image.mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(results['ab_brightness'], bright.mean())
    assert scores.read(tmp_path) == [{'step': 3, 'split': 'test', **results}]
    line = evaluators.table(results).splitlines()[1]
    assert line.split() == ['a', 'to', 'b', 'brightness', '(%)', f'{100 * bright.mean():.1f}',
                            '+-', f'{100 * bright.std():.1f}']
    assert measures.writer('brightness_unit') == 'brightness'
    with open(report.write(tmp_path), encoding='utf-8') as file:
      assert 'How bright translations are. Higher is better.' in file.read()
  finally:
    sys.modules.pop('maskgan_jax.evaluators.brightness', None)
