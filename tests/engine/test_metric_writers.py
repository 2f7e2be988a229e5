"""Metrics and scores of a run: every line is JSON; no line is lost, doubled or incomplete."""

import contextlib
import errno
import json
import os
import re
import resource
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from helpers.paths import ROOT_PATH
from maskgan_jax import errors, evaluators
from maskgan_jax.runs import metric_writers, scores

MetricWriter = metric_writers.MetricWriter


def _strict_rows(workdir):
  """Returns the rows as read by a parser that rejects NaN."""
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in lines]


@pytest.fixture(autouse=True, name='trackers')
def _trackers(monkeypatch):
  """Removes all trackers, so that the lines do not depend on what is installed."""
  trackers = {}
  monkeypatch.setattr(metric_writers, 'TRACKERS', trackers)
  return trackers


def test_scalars(tmp_path):
  with MetricWriter(tmp_path / 'new') as writer:
    writer.write_scalars(1, {'a': 1.5, 'b': jnp.float32(0.25), 'c': np.int64(3), 'd': True})
    # A reader sees complete lines at once, without a flush.
    assert _strict_rows(tmp_path / 'new') == [{'step': 1, 'a': 1.5, 'b': 0.25, 'c': 3, 'd': 1}]
    writer.write_scalars(2, {'a': np.nan, 'b': jnp.inf, 'c': jnp.bfloat16(-np.inf)})
    writer.write_texts(3, {'note': 'zwei\nZeilen "ä"'})
    writer.write_hparams({'learning_rate': 1e-4})
    writer.flush()
  assert _strict_rows(tmp_path / 'new')[1:] == [
      {'step': 2, 'a': None, 'b': None, 'c': None}, {'step': 3, 'note': 'zwei\nZeilen "ä"'}]
  assert metric_writers.read(tmp_path / 'new') == _strict_rows(tmp_path / 'new')
  assert os.listdir(tmp_path / 'new') == ['metrics.jsonl']
  assert metric_writers.read(tmp_path / 'nowhere') == []


def test_only_numbers_are_scalars(tmp_path):
  with MetricWriter(tmp_path) as writer, pytest.raises(ValueError, match=r'loss .* \(2,\)'):
    writer.write_scalars(1, {'loss': np.zeros(2)})
  assert _strict_rows(tmp_path) == []


def test_only_process_0_writes(tmp_path):
  with MetricWriter(tmp_path / 'run', process_index=1) as writer:
    writer.write_scalars(1, {'a': 1})
    writer.write_texts(1, {'a': 'b'})
    writer.truncate_after(0)
    writer.flush()
  assert not (tmp_path / 'run').exists()


def test_resuming_drops_what_will_come_again(tmp_path):
  with MetricWriter(tmp_path) as writer:
    for step in (10, 20, 30):
      writer.write_scalars(step, {'loss': step})
    writer.truncate_after(20)
    writer.write_scalars(25, {'loss': 25})
  with open(tmp_path / 'metrics.jsonl', 'ab') as file:
    file.write(b'{"step": 26, "lo')  # killed here
  assert [row['step'] for row in metric_writers.read(tmp_path)] == [10, 20, 25]
  with MetricWriter(tmp_path) as writer:
    writer.write_scalars(26, {'loss': 26})
    writer.truncate_after(26)
    writer.write_scalars(27, {'loss': 27})
  assert [row['step'] for row in _strict_rows(tmp_path)] == [10, 20, 25, 26, 27]


@pytest.mark.parametrize('half', [b'{"step": 26}', b'{"step": 26, "loss": 1', b'\x00\x00', b'{'])
def test_a_half_line_never_glues_to_the_next(tmp_path, half):
  (tmp_path / 'metrics.jsonl').write_bytes(b'{"step": 1}\n' + half)
  with MetricWriter(tmp_path) as writer:
    writer.write_scalars(2, {'a': 1})
  assert [row['step'] for row in _strict_rows(tmp_path)] == [1, 2]


@contextlib.contextmanager
def _largest_file(size):
  """Makes the system refuse to write files beyond `size` bytes, as a full disk would."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_training(tmp_path):
  with MetricWriter(tmp_path) as writer:
    writer.write_scalars(1, {'loss': 1})
    with _largest_file(30), pytest.raises(errors.UserError, match='metrics.jsonl: File too large'):
      writer.write_scalars(2, {'loss': 2})
  assert (tmp_path / 'metrics.jsonl').stat().st_size == 30  # the file has half a line
  with MetricWriter(tmp_path) as writer:
    writer.write_scalars(2, {'loss': 2})
  assert _strict_rows(tmp_path) == [{'step': 1, 'loss': 1}, {'step': 2, 'loss': 2}]


def test_other_trouble_loses_a_line_and_says_so(tmp_path, monkeypatch, caplog):
  def stale(*_, **__):
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
  with MetricWriter(tmp_path) as writer:
    with monkeypatch.context() as patch:
      patch.setattr(metric_writers, 'open', stale, raising=False)
      writer.write_scalars(5, {'a': 1})
    writer.write_scalars(6, {'a': 1})
  assert 'step 5 are lost' in caplog.text
  assert [row['step'] for row in _strict_rows(tmp_path)] == [6]


def test_unusable_folder(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='cannot write .*metrics.jsonl'):
    MetricWriter(tmp_path / 'file')


class _Tracker(metric_writers.Tracker):
  """Records its calls; write_texts raises an error."""

  def __init__(self, workdir):
    self.calls = [workdir]

  def write_scalars(self, step, scalars):
    self.calls.append((step, scalars))

  def write_texts(self, step, texts):
    raise RuntimeError('broken')

  def close(self):
    self.calls.append('closed')


def test_trackers_get_the_numbers_until_they_fail(tmp_path, trackers, caplog):
  made = {}
  for name in ('one', 'other'):
    trackers[name] = lambda workdir, name=name: made.setdefault(name, _Tracker(workdir))
  trackers['absent'] = lambda workdir: None
  with MetricWriter(tmp_path) as writer:
    made['other'].write_texts = lambda *unused: None
    writer.write_scalars(1, {'a': jnp.float32(2)})
    writer.write_hparams({'b': 1})
    writer.write_texts(2, {'c': 'd'})  # fails in one of them, and only there
    writer.write_scalars(3, {'a': 4})
  assert made['one'].calls == [str(tmp_path), (1, {'a': 2.0})]
  assert made['other'].calls == [str(tmp_path), (1, {'a': 2.0}), (3, {'a': 4.0}), 'closed']
  assert 'the tracker one is off from here on: broken' in caplog.text
  assert [row['step'] for row in _strict_rows(tmp_path)] == [1, 2, 3]
  assert MetricWriter(tmp_path, process_index=1)._trackers == {}


@pytest.mark.parametrize('error, stops', [
    (ImportError('half installed'), False), (OSError(errno.ENOSPC, 'No space left'), True)])
def test_a_tracker_that_does_not_start(tmp_path, trackers, caplog, error, stops):
  def make(workdir):
    raise error
  trackers['broken'] = make
  if stops:
    with pytest.raises(errors.UserError, match='for the tracker broken: .*No space left'):
      MetricWriter(tmp_path)
    return
  with MetricWriter(tmp_path) as writer:
    writer.write_scalars(1, {'a': 1})
  assert 'the tracker broken is off: half installed' in caplog.text
  assert len(_strict_rows(tmp_path)) == 1


def _events(folder):
  """Returns the events of TensorBoard's files: records with a length and two checksums."""
  event_pb2 = pytest.importorskip('tensorboardX.proto.event_pb2')
  events = []
  for path in sorted(folder.iterdir()):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], 'little')
      events.append(event_pb2.Event.FromString(data[12:12 + length]))
      data = data[16 + length:]
  return events


def test_tensorboard_without_tensorflow(tmp_path, trackers, monkeypatch):
  pytest.importorskip('tensorboardX')
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  trackers['tensorboard'] = metric_writers._tensorboard
  with MetricWriter(tmp_path) as writer:
    writer.write_hparams({'rate': 0.5, 'size': (3, 4), 'name': 'x', 'nothing': None})
    writer.write_scalars(7, {'generator/loss': jnp.float32(2.5), 'other': np.nan})
    # A reader sees them at once.
    assert len(_events(tmp_path / 'tensorboard')) == 1 + 3 + 2
    writer.write_texts(8, {'note': 'hello'})
  with MetricWriter(tmp_path) as writer:  # a run resumed in the same second
    writer.write_scalars(9, {'other': 1})
  assert len(list((tmp_path / 'tensorboard').iterdir())) == 2
  values = {(event.step, value.tag): value for event in _events(tmp_path / 'tensorboard')
            for value in event.summary.value}
  assert values[7, 'generator/loss'].simple_value == 2.5 and values[9, 'other'].simple_value == 1
  assert np.isnan(values[7, 'other'].simple_value)
  assert values[8, 'note/text_summary'].tensor.string_val == [b'hello']
  assert b'rate' in values[0, '_hparams_/session_start_info'].metadata.plugin_data.content


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_full_disk_stops_training_from_tensorboard_too(tmp_path, trackers):
  pytest.importorskip('tensorboardX')
  trackers['tensorboard'] = metric_writers._tensorboard
  writer = MetricWriter(tmp_path)
  # The disk has room for the line but not for the events.
  with _largest_file(150), pytest.raises(errors.UserError, match='tensorboard: .*File too large'):
    for step in range(5):
      writer.write_scalars(step, {'a': 1})


_FULL_DISK = """
import resource, sys
from maskgan_jax import errors
from maskgan_jax.runs import metric_writers
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
try:
  with metric_writers.MetricWriter(sys.argv[1]) as writer:
    for step in range(9):
      writer.write_scalars(step, {'a': 1})
except errors.UserError as error:
  sys.exit(f'error: {error}')
"""


@pytest.mark.parametrize('limit', [20, 150])  # refuses the header of the event file; its events
def test_a_full_disk_is_one_line_at_the_end_of_a_process_too(tmp_path, limit):
  pytest.importorskip('tensorboardX')
  code = _FULL_DISK.replace('BYTES', str(limit))
  ended = subprocess.run([sys.executable, '-X', 'dev', '-W', 'ignore', '-c', code, str(tmp_path)],
                         capture_output=True, text=True, cwd=ROOT_PATH, check=False)
  assert ended.returncode == 1 and ended.stderr.count('\n') == 1, ended.stderr
  assert re.match('error: cannot write for the tracker tensorboard: .*File too large', ended.stderr)


def test_without_tensorboardx_there_is_no_tracker(tmp_path, monkeypatch):
  monkeypatch.setattr(metric_writers.importlib.util, 'find_spec', lambda name: None)
  assert metric_writers._tensorboard(str(tmp_path)) is None and not os.listdir(tmp_path)


def test_the_example_of_a_tracker_in_the_docs(tmp_path, trackers, monkeypatch):
  logged = []
  run = types.SimpleNamespace(
      log=lambda scalars, step: logged.append((step, scalars)),
      config=types.SimpleNamespace(update=logged.append), finish=lambda: logged.append('end'))
  wandb = types.SimpleNamespace(init=lambda **options: logged.append(options['dir']) or run)
  monkeypatch.setitem(sys.modules, 'wandb', wandb)
  page = (ROOT_PATH / 'docs' / 'measuring.md').read_text(encoding='utf-8')
  (example,) = re.findall(r'```python\n(import os\n\nimport wandb.*?)```', page, re.DOTALL)
  exec(example, {})
  assert list(trackers) == ['wandb']
  with MetricWriter(tmp_path) as writer:
    writer.write_hparams({'seed': 3})
    writer.write_scalars(5, {'loss': 2})
  assert logged == [str(tmp_path), {'seed': 3}, (5, {'loss': 2.0}), 'end']


def test_scores_keep_one_row_a_step_and_split(tmp_path):
  assert scores.read(tmp_path) == [] and scores.latest(tmp_path) is None
  (tmp_path / 'scores.csv').write_text('step,split,x\n1,"test,2\n2,test,3\n')
  with pytest.raises(errors.UserError, match='scores.csv is damaged'):
    scores.read(tmp_path)
  (tmp_path / 'scores.csv').unlink()
  scores.append(tmp_path, {'step': 10, 'split': 'test', 'mask_iou': 0.5})
  scores.append(tmp_path, {'step': 10, 'split': 'validation', 'mask_iou': np.float32(0.25)})
  scores.append(tmp_path, {'step': 20, 'split': 'test', 'fid': jnp.float32(3.5), 'mask_iou': 0.75})
  scores.append(tmp_path, {'step': 10, 'split': 'test', 'mask_iou': float('nan'), 'why': 'a, "b"'})
  # A row that is measured again keeps its place, and loses values that are not measured again.
  header, *lines = (tmp_path / 'scores.csv').read_text().splitlines()
  assert header == 'step,split,mask_iou,fid,why'
  assert lines == ['10,test,nan,,"a, ""b"""', '10,validation,0.25,,', '20,test,0.75,3.5,']
  rows = scores.read(tmp_path)
  assert rows[1:] == [{'step': 10, 'split': 'validation', 'mask_iou': 0.25},
                      {'step': 20, 'split': 'test', 'mask_iou': 0.75, 'fid': 3.5}]
  assert np.isnan(rows[0].pop('mask_iou'))
  assert rows[0] == {'step': 10, 'split': 'test', 'why': 'a, "b"'}
  assert scores.latest(tmp_path) == rows[2]
  assert scores.latest(tmp_path, split='validation') == rows[1]
  assert scores.latest(tmp_path, split='test', step=10)['why'] == 'a, "b"'
  assert scores.latest(tmp_path, split='test', step=11) is None


def test_scores_keep_texts_that_look_like_numbers(tmp_path):
  texts = {'classifier': '123e45', 'masks_settings': '1_000',
           'data_fingerprint': '0012345678901234', 'perceptual_network': 'inf', 'unknown': '1_000'}
  assert 'masks' in evaluators.names()  # evaluators declare text columns when they are imported
  scores.append(tmp_path, {'step': 1, 'split': '007', **texts, 'x': '0.50'})
  scores.append(tmp_path, {'step': 2, 'split': 'test', 'x': 1})
  assert scores.read(tmp_path)[0] == {'step': 1, 'split': '007', **texts, 'x': 0.5}
  assert '1,007,123e45,1_000,0012345678901234,inf,1_000,0.50' in (
      tmp_path / 'scores.csv').read_text().splitlines()


def test_scores_keep_floats_exactly(tmp_path):
  value = 0.1 + 0.2
  scores.append(tmp_path, {'step': 1, 'split': 'test', 'a': value, 'b': 1e-300, 'c': 12345678901})
  assert scores.read(tmp_path) == [
      {'step': 1, 'split': 'test', 'a': value, 'b': 1e-300, 'c': 12345678901}]


def test_scores_need_a_step_and_tolerate_a_spoilt_file(tmp_path):
  with pytest.raises(ValueError, match='split'):
    scores.append(tmp_path, {'step': 1})
  (tmp_path / 'scores.csv').write_text('step,split,a\n1,test,2,3,4\n\nx\n5,test,6\n')
  assert scores.latest(tmp_path) == {'step': 5, 'split': 'test', 'a': 6}
  scores.append(tmp_path, {'step': 7, 'split': 'test', 'a': 8})
  assert [row['step'] for row in scores.read(tmp_path)] == [1, 5, 7]


@pytest.mark.slow
def test_scores_of_two_writers_at_once(tmp_path):
  code = ('import sys\nfrom maskgan_jax.runs import scores\n'
          'for step in range(40):\n'
          '  scores.append(sys.argv[1], {"step": step, "split": sys.argv[2], sys.argv[2]: 1})\n')
  writers = [subprocess.Popen([sys.executable, '-c', code, str(tmp_path), split])
             for split in ('validation', 'test')]
  assert [writer.wait() for writer in writers] == [0, 0]
  assert len(scores.read(tmp_path)) == 80
