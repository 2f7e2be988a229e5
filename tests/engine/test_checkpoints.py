"""Checkpoints: the restored state equals the saved one, or a message says that it does not."""

import glob
import json
import os
import random
import shutil

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import numpy as np
import optax
import pytest

from maskgan_jax import errors
from maskgan_jax.runs import checkpoints as checkpoints_lib
from maskgan_jax.runs import resumption

Checkpoints = checkpoints_lib.Checkpoints


def _state(seed: int):
  """Returns a model and its training state, with every kind of leaf and container of a run."""
  rng = np.random.default_rng(seed)
  params = {
      'generator': {'kernel': jnp.asarray(rng.normal(size=(3, 3, 16, 16)), jnp.float32),
                    'scale': jnp.asarray(rng.normal(size=(7,)), jnp.bfloat16)},
      'critic': {'bias': jnp.asarray(rng.normal(size=(5,)), jnp.float16)},
  }
  optimizer = optax.chain(optax.clip(1.0), optax.adam(1e-3))
  model = {'params': params, 'model_state': {}, 'ema_params': None}
  training = {
      'step': jnp.int32(seed),
      'opt_state': {name: optimizer.init(group) for name, group in params.items()},
      'pools': {'fakes': jnp.asarray(rng.integers(0, 256, (4, 8, 8, 3)), jnp.uint8)},
      'flags': jnp.asarray([True, False]),
  }
  return model, training


def _abstract(tree, sharding=None):
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding or x.sharding), tree)


def _targets(sharding=None):
  return tuple(_abstract(tree, sharding) for tree in _state(0))


def _assert_equal(restored, wanted):
  assert jax.tree.structure(restored) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(wanted), strict=True):
    assert a.dtype == b.dtype
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def _save(workdir, *steps, **options):
  with Checkpoints(workdir, keep_last=len(steps), **options) as checkpoints:
    for step in steps:
      checkpoints.save(step, *_state(step))


def _flip(path, position):
  with open(path, 'r+b') as file:
    file.seek(position)
    byte = file.read(1)[0]
    file.seek(position)
    file.write(bytes([byte ^ 4]))


def _files(workdir, step):
  return sorted(path for path in glob.glob(f'{workdir}/checkpoints/{step}/**', recursive=True)
                if os.path.isfile(path))


def _data_files(workdir, step, item='model'):
  return glob.glob(f'{workdir}/checkpoints/{step}/{item}/**/d/*', recursive=True)


def test_restores_what_was_saved(tmp_path):
  _save(tmp_path, 3)
  with Checkpoints(tmp_path) as checkpoints:
    step, model, training = checkpoints.restore(*_targets())
  assert step == 3
  _assert_equal((model, training), _state(3))


def test_relative_workdir(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  _save('runs/one', 3)
  assert os.path.isdir(tmp_path / 'runs/one/checkpoints/3')


def test_cloud_paths_stay_what_they_are():
  assert str(checkpoints_lib._absolute('gs://bucket/run')) == 'gs://bucket/run'


def test_empty_training_part(tmp_path):
  model, _ = _state(1)
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, model, {})
    assert checkpoints.restore(_abstract(model), {})[2] == {}


def test_saved_arrays_may_be_donated(tmp_path):
  add = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
  model = add({'x': jnp.zeros((16, 256, 256)), 'y': [jnp.zeros(1000) for _ in range(10)]})
  with Checkpoints(tmp_path, keep_last=3) as checkpoints:
    for step in range(3):
      checkpoints.save(step, model, {})
      for _ in range(4):
        model = add(model)
  target = _abstract(model)
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    for step in range(3):
      _, restored = checkpoints.restore_model(target, step=step)
      for leaf in jax.tree.leaves(restored):
        assert np.unique(np.asarray(leaf)).tolist() == [1 + 4 * step]
      add(restored)  # what was restored may be donated as well


def test_saved_on_many_devices_restored_on_one(tmp_path):
  mesh = jax.make_mesh((len(jax.devices()),), ('data',), axis_types=(AxisType.Auto,))
  split = NamedSharding(mesh, PartitionSpec('data'))
  model, training = jax.device_put(_state(2), NamedSharding(mesh, PartitionSpec()))
  training['pools']['fakes'] = jax.device_put(jnp.arange(80 * len(jax.devices())), split)
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(2, model, training)
  one = jax.sharding.SingleDeviceSharding(jax.devices()[-1])
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    step, restored_model = checkpoints.restore_model(_abstract(model, one))
    assert all(leaf.sharding == one for leaf in jax.tree.leaves(restored_model))
    assert step == 2
    _assert_equal(restored_model, model)
    # And back: one device saved, many restore; an abstract leaf may have no sharding.
    targets = jax.eval_shape(lambda: model), _abstract(training)
    _, restored_model, restored_training = checkpoints.restore(*targets)
    assert all(leaf.devices() == {jax.devices()[0]} for leaf in jax.tree.leaves(restored_model))
    assert restored_training['pools']['fakes'].sharding == split
    _assert_equal(restored_training, training)


def test_keeps_the_last_and_the_best(tmp_path):
  scores = {10: 0.2, 20: 0.9, 30: float('nan'), 40: None, 50: 0.4}
  options = {'keep_last': 2, 'keep_best': 1, 'best_metric': 'iou'}
  with Checkpoints(tmp_path, **options) as checkpoints:
    assert checkpoints.latest() is None and checkpoints.best() is None
    for step, score in scores.items():
      checkpoints.save(step, *_state(step),
                       scores=None if score is None else {'iou': score, 'other': -score})
    checkpoints.wait()
    assert checkpoints.steps() == [20, 40, 50]
    assert (checkpoints.latest(), checkpoints.best()) == (50, 20)
  with Checkpoints(tmp_path, **options) as checkpoints:  # scores are remembered on disk
    assert checkpoints.best() == 20
    checkpoints.restore(*_targets())
    checkpoints.save(60, *_state(60), scores={'iou': 0.95})
    checkpoints.save(70, *_state(70), scores={'iou': 0.1})
    checkpoints.save(80, *_state(80))
  assert sorted(os.listdir(tmp_path / 'checkpoints')) == ['60', '70', '80']
  with Checkpoints(tmp_path, best_metric='iou', best_mode='min', read_only=True) as checkpoints:
    assert checkpoints.best() == 70
  with Checkpoints(tmp_path, best_metric='unheard of', read_only=True) as checkpoints:
    assert checkpoints.best() is None


def test_saving_a_step_again_changes_nothing(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(5, *_state(5))
    checkpoints.save(5, *_state(6))
    _assert_equal(checkpoints.restore(*_targets())[1:], _state(5))
    checkpoints.save(5, *_state(7))  # it was restored, so it is unchanged
  assert os.listdir(tmp_path / 'checkpoints') == ['5']


def test_going_back_sets_the_other_past_aside(tmp_path):
  _save(tmp_path, 1, 2, 3, 4)
  with Checkpoints(tmp_path, keep_last=3) as checkpoints:
    assert checkpoints.restore(*_targets(), step=2)[0] == 2
    checkpoints.save(3, *_state(33))
    checkpoints.save(4, *_state(44))
    step, *restored = checkpoints.restore(*_targets())
  assert step == 4
  _assert_equal(tuple(restored), _state(44))
  assert sorted(os.listdir(tmp_path / 'checkpoints')) == [
      '2', '3', '3.set_aside.1', '4', '4.set_aside.1']


def test_reads_while_another_writes(tmp_path):
  reader = Checkpoints(tmp_path, read_only=True)
  assert reader.steps() == [] and not os.path.exists(tmp_path / 'checkpoints')
  with pytest.raises(errors.UserError, match='no checkpoint in'):
    reader.restore_model(_targets()[0])
  with Checkpoints(tmp_path, keep_last=1) as writer:
    for step in (1, 2):
      writer.save(step, *_state(step))
      writer.wait()
      assert reader.steps() == [step]
      _assert_equal(reader.restore_model(_targets()[0])[1], _state(step)[0])
  with pytest.raises(errors.UserError, match='no checkpoint of step 1 in .* there are 2'):
    reader.restore_model(_targets()[0], step=1)
  with pytest.raises(ValueError, match='read-only'):
    reader.save(3, *_state(3))
  reader.close()


@pytest.mark.parametrize('damage', ['truncated', 'emptied', 'deleted', 'flipped'])
@pytest.mark.parametrize('item', ['model', 'training'])
def test_falls_back_from_damaged_arrays(tmp_path, caplog, item, damage):
  _save(tmp_path, 1, 2)
  for path in _data_files(tmp_path, 2, item):
    if damage == 'flipped':
      _flip(path, os.path.getsize(path) // 2)
    elif damage == 'deleted':
      os.unlink(path)
    else:
      os.truncate(path, os.path.getsize(path) // 2 if damage == 'truncated' else 0)
  with Checkpoints(tmp_path) as checkpoints:
    with pytest.raises(errors.UserError, match=r'2 cannot be restored: step 2 .* is at step 1'):
      checkpoints.restore(*_targets(), step=2)  # an explicit step is never replaced by another one
    caplog.clear()
    step, *restored = checkpoints.restore(*_targets())
    assert step == 1
    _assert_equal(tuple(restored), _state(1))
    [message] = [r.getMessage() for r in caplog.records if r.levelname == 'ERROR']
    assert 'step 2 (' in message and 'GOING ON FROM STEP 1' in message and '\n' not in message
    checkpoints.save(2, *_state(22))  # training gets there again
    _assert_equal(checkpoints.restore(*_targets())[1:], _state(22))
  assert sorted(os.listdir(tmp_path / 'checkpoints')) == ['1', '2', '2.set_aside.1']


@pytest.mark.slow
def test_flipped_bits_anywhere_are_noticed_or_harmless(tmp_path):
  _save(tmp_path, 1, 2)
  rng = random.Random(0)
  fell_back = 0
  for path in _files(tmp_path, 2):
    size = os.path.getsize(path)
    for position in rng.sample(range(size), min(size, 4)):
      _flip(path, position)
      with Checkpoints(tmp_path, read_only=True) as checkpoints:
        step, *restored = checkpoints.restore(*_targets())
      _assert_equal(tuple(restored), _state(step))  # correct, whichever step it is
      fell_back += step == 1
      _flip(path, position)
  assert fell_back > 10
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.restore(*_targets())[0] == 2  # all bits are back


def test_half_copied_folders(tmp_path):
  _save(tmp_path, 1, 2)
  folder = tmp_path / 'checkpoints'
  os.makedirs(folder / '9')
  (folder / '11').write_text('a file, not a checkpoint')
  shutil.copytree(folder / '2', folder / '10')
  for i, path in enumerate(_files(tmp_path, 10)):
    if i % 2:
      os.unlink(path)
  with Checkpoints(tmp_path) as checkpoints:
    step, *restored = checkpoints.restore(*_targets())
  assert step == 2
  _assert_equal(tuple(restored), _state(2))


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
  _save(tmp_path, 1)
  folder = tmp_path / 'checkpoints'
  shutil.copytree(folder / '1', folder / '2.orbax-checkpoint-tmp')
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps() == [1]
  assert (folder / '2.orbax-checkpoint-tmp').exists()  # its writer may be alive
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.restore(*_targets())
    checkpoints.save(2, *_state(2))
  assert sorted(os.listdir(folder)) == ['1', '2']


def test_nothing_restores(tmp_path):
  _save(tmp_path, 1, 2)
  for path in _data_files(tmp_path, 1):
    os.truncate(path, 10)
  _flip(tmp_path / 'checkpoints/2/metadata/metadata', 40)
  with Checkpoints(tmp_path) as checkpoints, pytest.raises(errors.UserError) as caught:
    checkpoints.restore(*_targets())
  message = str(caught.value)
  assert str(tmp_path) in message and 'step 1 (' in message and 'step 2 (' in message
  assert '\n' not in message and len(message) < 600


def test_other_arrays(tmp_path):
  _save(tmp_path, 1)
  model, training = _targets()
  critic = model['params']['critic']
  critic['bias'] = jax.ShapeDtypeStruct((5,), jnp.float32)  # Orbax alone would cast
  critic['extra'] = jax.ShapeDtypeStruct((2,), jnp.int32)
  del model['params']['generator']['scale']
  with Checkpoints(tmp_path) as checkpoints, pytest.raises(errors.UserError) as caught:
    checkpoints.restore(model, training)
  assert 'params/critic/bias is float16[5], the program wants float32[5]' in str(caught.value)
  assert 'params/critic/extra is absent, the program wants int32[2]' in str(caught.value)
  assert 'params/generator/scale is bfloat16[7], the program wants absent' in str(caught.value)


@pytest.mark.parametrize('step', [None, 1])
@pytest.mark.parametrize('damaged', [False, True])
def test_checkpoints_that_the_config_does_not_fit_stay_where_they_are(tmp_path, step, damaged):
  _save(tmp_path, 1, 2)
  if damaged:
    os.truncate(_data_files(tmp_path, 2)[0], 10)
  model, _ = _targets()
  model['params']['critic']['bias'] = jax.ShapeDtypeStruct((9,), jnp.float16)
  saved = Checkpoints(tmp_path, read_only=True)
  with saved, pytest.raises(errors.UserError, match='step 1 .it holds other arrays') as caught:
    saved.restore_model(model, step=step)
  message = str(caught.value)
  assert f'{tmp_path}/config.json describes another model: put that file back' in message
  assert 'move' not in message and '\n' not in message


def test_another_config(tmp_path):
  one, other = (resumption.Identity({'seed': seed}, {'seed': 0}, data='d')
                for seed in (1, 2))
  _save(tmp_path, 1, identity=one)
  for identity in (one, None):
    with Checkpoints(tmp_path, identity=identity) as checkpoints:
      assert checkpoints.restore(*_targets())[0] == 1
  match = pytest.raises(errors.UserError, match='1 is of another config .seed was 1, is 2')
  with Checkpoints(tmp_path, identity=other) as checkpoints, match:
    checkpoints.restore(*_targets())


def test_memory_errors_do_not_pass_for_damage(tmp_path, monkeypatch):
  _save(tmp_path, 1, 2)
  def exhausted(*_):
    raise RuntimeError('RESOURCE_EXHAUSTED: out of memory')
  monkeypatch.setattr(checkpoints_lib._array_notes, 'compare', exhausted)
  with Checkpoints(tmp_path) as checkpoints, pytest.raises(RuntimeError, match='EXHAUSTED'):
    checkpoints.restore(*_targets())


def test_arrays_without_elements_are_named(tmp_path):
  with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match='params/w'):
    checkpoints.save(1, {'params': {'w': jnp.zeros((0, 3))}}, {})


def test_unusable_folders(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='cannot use .*file/checkpoints'):
    Checkpoints(tmp_path / 'file')
  with pytest.raises(errors.UserError, match='keep_last=0'):
    Checkpoints(tmp_path, keep_last=0)


def test_metadata_is_plain_json(tmp_path):
  identity = resumption.Identity(data='def', files='abc', counts={'train a': 3})
  with Checkpoints(tmp_path, identity=identity) as checkpoints:
    checkpoints.save(1, *_state(1), scores={'iou': np.float32(0.5), 'fid': float('inf')})
  text = (tmp_path / 'checkpoints/1/metadata/metadata').read_text()
  notes = json.loads(text, parse_constant=lambda name: pytest.fail(name))
  assert notes['identity'] == {
      'config': {}, 'data': 'def', 'files': 'abc', 'counts': {'train a': 3}}
  assert notes['scores'] == {'iou': 0.5, 'fid': None}
