"""Labels at translation: by name, as arrays, read off pictures, in files and commands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.simple_method import pictures, simple
from maskgan_jax import errors
from maskgan_jax.evaluators.base import Outputs
from maskgan_jax.methods.base import Method, Translation
from maskgan_jax.translate import tasks
from maskgan_jax.translate.inputs import Edits
from maskgan_jax.translator import labels as label_arguments

NAMES = ('Red', 'Green')


class Paints(Method):
  """Makes red or green of every pixel what the labels say, 0 to 1; knows no exemplar."""
  abilities = frozenset({'labels', 'reverse'})
  label_names = NAMES

  def translate(self, params, model_state, source, exemplar, *, labels, source_mask=None,
                exemplar_mask=None, rng=None, reverse=False):
    image = source.at[..., :2].set(2 * labels[:, None, None] - 1)
    return Translation(image)


class Reads(Paints):
  """The same, and reads labels: which of the channels are brighter than the middle."""
  abilities = Paints.abilities | {'exemplar', 'read_labels'}

  def read_labels(self, params, model_state, image):
    return jax.nn.sigmoid(100 * image[..., :2].mean((1, 2)))

  def translate(self, params, model_state, source, exemplar, *, labels=None, **options):
    if labels is None:
      labels = jnp.round(self.read_labels(params, model_state, exemplar))
    return super().translate(params, model_state, source, exemplar, labels=labels, **options)


def levels(translation):
  """Returns red and green of each result, [B, 2] in [0, 255]."""
  return translation.image[..., :2].reshape(-1, 256, 2)[:, 0]


def test_labels_by_name_and_as_arrays():
  t, source = simple(Paints()), pictures(3)
  np.testing.assert_array_equal(levels(t(source, labels={'Green': 1, 'Red': 0})), [[0, 255]] * 3)
  np.testing.assert_array_equal(levels(t(source, labels=[0.2, 1])), [[51, 255]] * 3)
  rows = np.array([[0, 1], [1, 0], [1, 1]])
  np.testing.assert_array_equal(levels(t(source, labels=rows)), 255 * rows)
  one = t(source[0], labels=rows)  # a picture with each of several labels
  np.testing.assert_array_equal(levels(one), 255 * rows)
  assert t(source[0], labels=[1, 0]).image.shape == (16, 16, 3)


def test_labels_that_are_not_named_are_those_of_the_picture():
  t = simple(Reads())
  dark, red = np.full((16, 16, 3), 40, np.uint8), np.zeros((16, 16, 3), np.uint8) + (200, 40, 40)
  red = red.astype(np.uint8)
  assert t.read_labels(red).round().tolist() == [1, 0] and t.read_labels(dark[None]).shape == (1, 2)
  np.testing.assert_array_equal(levels(t(red, labels={'Green': 1})), [[255, 255]])
  np.testing.assert_array_equal(levels(t(dark, red)), [[255, 0]])
  np.testing.assert_array_equal(levels(t(dark, red, labels={'Green': 0.6})), [[255, 153]])
  np.testing.assert_array_equal(levels(t(dark, labels={'Green': 0.6})), [[0, 153]])


def test_a_translator_keeps_labels():
  t = simple(Paints())
  kept = t.with_labels({'Red': 1, 'Green': 0})
  np.testing.assert_array_equal(levels(kept(pictures(1))), [[255, 0]])
  np.testing.assert_array_equal(levels(kept(pictures(1), labels=[0, 0])), [[0, 0]])
  assert t.labels == {}


@pytest.mark.parametrize('labels, message', [
    ({'Redd': 1}, r"no label 'Redd' \(did you mean 'Red'\?\); it has Red, Green"),
    ({'Red': 1}, 'reads no labels off pictures: give all of them, also Green'),
    ({'Red': np.nan, 'Green': 0}, 'Red: the strength of a label is a number, not nan'),
    ({'Red': 'much', 'Green': 0}, 'Red: the strength of a label is a number'),
    ({'Red': 1000, 'Green': 0}, 'Red: 1000 is beyond use'),
    ([1, 0, 0], r'labels have shape \[3\]; give a number for each of Red, Green'),
    ([[np.inf, 0]], 'the strength of a label is a number'),
    (np.zeros((2, 2)), 'batches do not fit together: 3 in source, 2 in labels'),
    (None, 'needs labels: call t')])
def test_wrong_labels_are_one_line(labels, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    simple(Paints())(pictures(3), labels=labels)
  assert '\n' not in str(caught.value)


def test_methods_without_labels_refuse_them():
  for call in (lambda t: t(pictures(1), pictures(1), labels={'Red': 1}),
               lambda t: t.with_labels({'Red': 1}), lambda t: t.read_labels(pictures(1))):
    with pytest.raises(errors.UserError, match='cannot do .*labels'):
      call(simple())


@pytest.mark.parametrize('text, parsed', [
    ('Red=1,Green=0.5', {'Red': 1, 'Green': 0.5}), (' Red = -2 ,', {'Red': -2})])
def test_flags_are_names_and_strengths(text, parsed):
  assert label_arguments.parse(text) == parsed


@pytest.mark.parametrize('text, message', [
    ('Red', "'Red'; write NAME=STRENGTH"), ('Red=x', "'Red=x'; write"), (',', 'names none'),
    ('Red=1,Red=2', 'names Red twice')])
def test_flags_that_are_none(text, message):
  with pytest.raises(errors.UserError, match=message):
    label_arguments.parse(text)


def test_the_command_says_what_a_method_needs():
  def check(method, exemplar='', labels=None):
    t = simple(method)
    tasks.check_exemplar(t.with_labels(labels) if labels else t, exemplar, Edits())
  check(Reads(), 'b.png')
  check(Reads(), labels={'Red': 1})
  check(Paints(), labels={'Red': 1, 'Green': 1})
  with pytest.raises(errors.UserError, match='add --exemplar or --labels'):
    check(Reads())
  with pytest.raises(errors.UserError, match='needs labels; add --labels=NAME=1'):
    check(Paints())


def test_evaluation_gives_the_labels_that_no_exemplar_tells():
  a, b = pictures(2), pictures(2, 1)
  labels = {'a_attributes': np.eye(2, dtype='f4'), 'b_attributes': 1 - np.eye(2, dtype='f4')}
  outputs = Outputs(simple(Paints()), {'a': a, 'b': b, **labels})
  np.testing.assert_array_equal(levels(outputs.translation), 255 * labels['b_attributes'])
  np.testing.assert_array_equal(levels(outputs.back), 255 * labels['a_attributes'])


def test_an_exported_file_takes_labels(tmp_path):
  t = simple(Paints())
  inputs, outputs = t.export(tmp_path / 'model.bin')
  assert inputs == ['source uint8[b, 16, 16, 3]', 'labels float32[b, 2]'] and outputs == ['image']
  call = jax.export.deserialize((tmp_path / 'model.bin').read_bytes()).call
  source, labels = pictures(3), np.array([[0, 1], [1, 0], [0.2, 1]], np.float32)
  np.testing.assert_array_equal(call(source, labels)['image'], t(source, labels=labels).image)
