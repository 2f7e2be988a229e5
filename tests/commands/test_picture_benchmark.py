"""Pictures out, translations in: other frameworks get evaluate's pairs and measures."""

import csv
import io
import itertools
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers import data_samples
from helpers.commands import fails, ROOT, run
from helpers.distribution_samples import export
from helpers.simple_method import Adds
from maskgan_jax import config as run_config
from maskgan_jax import errors, evaluators
from maskgan_jax.data import pipeline
from maskgan_jax.picture_benchmark import __main__ as picture_benchmark
from maskgan_jax.picture_benchmark import folders as benchmark_folders
from maskgan_jax.picture_benchmark import given as given_pictures
from maskgan_jax.runs import scores
from maskgan_jax.translator import Translator

PATH = 'configs/avatars_benchmark.py'
MEASURES = 'masks,truth,changes,similarity'
SIZE, PAIRS = 16, 7


def config_of(data_dir, argument='glasses,quick,smoke', **overrides):
  config = run_config.read_file(f'{os.path.join(ROOT, PATH)}:{argument}')
  config.update(evaluation_pairs=PAIRS, evaluation_batch_size=3,
                evaluators=(*MEASURES.split(','), 'speed'))
  config.data.update(data_dir=data_dir, num_train=24, num_validation=30, num_test=40)
  for key, value in overrides.items():
    run_config.set_key(config, key.replace('__', '.'), value)
  return config


def open_data(config):
  return pipeline.make(config)


@pytest.fixture(name='config', scope='module')
def _config(data_dir):
  return config_of(data_dir)


@pytest.fixture(name='data', scope='module')
def _data(config):
  return open_data(config)


@pytest.fixture(name='whole', scope='module')
def _whole(config, tmp_path_factory):
  """Returns the folder of the written data, which tests must not change."""
  folder = tmp_path_factory.mktemp('written') / 'avatars'
  counts = picture_benchmark.write(config, str(folder), command='COMMAND')
  assert os.listdir(folder.parent) == ['avatars']  # there are no other files
  for name, count in counts.items():
    assert len(os.listdir(folder / name)) == count
  return folder


@pytest.fixture(name='copied')
def _copied(whole, tmp_path):
  """Copies folders of the written data by name, so that a test may spoil them."""
  def copied(part, name='given'):
    return shutil.copytree(whole / part, tmp_path / name)
  return copied


def pixels(path):
  with Image.open(path) as image:
    assert image.mode in ('RGB', 'L') and image.format == 'PNG'
    return np.array(image)


def stack(folder):
  """Returns all pictures of a folder, in the order of their names."""
  return np.stack([pixels(folder / name) for name in sorted(os.listdir(folder))])


def measure_folders(config, folders, **options):
  lines = []
  folders = given_pictures.Folders(**{name: str(folder) for name, folder in folders.items()})
  return picture_benchmark.measure(config, folders, note=lines.append, **options), lines


def test_the_files_are_what_training_and_evaluation_see(config, data, whole):
  for split, (domain, i) in itertools.product(('train', 'validation'), (('A', 0), ('B', 1))):
    records, members = data.records(split), data.members(split)[i]
    want = np.stack([records.image(int(index)) for index in members])
    np.testing.assert_array_equal(stack(whole / f'{split}{domain}'), want)
  assert len(data.members('test')[0]) > PAIRS  # not all are evaluated
  batch = next(iter(data.evaluation('test', batch_size=PAIRS, max_pairs=PAIRS)))
  assert sorted(os.listdir(whole / 'a')) == [f'0000{number}.png' for number in range(PAIRS)]
  for name in ('a', 'b', 'truth_ab', 'truth_ba'):
    np.testing.assert_array_equal(stack(whole / name), batch[name])
  for name in ('a_mask', 'b_mask', 'truth_ab_mask'):
    written = stack(whole / name)[..., None]
    np.testing.assert_allclose(written / 255, batch[name], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(written > 127, batch[name] > 0.5)


def test_masks_are_cut_alike_on_either_side_of_a_half():
  half = np.float32([0, 1 / 255, np.nextafter(np.float32(0.5), np.float32(0)), 0.5,
                     np.nextafter(np.float32(0.5), np.float32(1)), 1])
  encoded = np.array(Image.open(io.BytesIO(benchmark_folders.encode(half.reshape(2, 3, 1)))))
  assert encoded.reshape(-1).tolist() == [0, 1, 127, 127, 128, 255]


def test_tables_tell_the_labels_of_every_picture(data, whole):
  for split, places in (('train', ('trainA', 'trainB')), ('test', ('a', 'b'))):
    with open(whole / f'{split}.csv', newline='') as file:
      rows = {row.pop('picture'): row for row in csv.DictReader(file)}
    assert list(rows) == [f'{place}/{name}' for place in places
                          for name in sorted(os.listdir(whole / place))]
    names = data.records(split).attribute_names
    for i, place in enumerate(places):
      place_rows = [row for name, row in rows.items() if name.startswith(f'{place}/')]
      assert {row['Eyeglasses'] for row in place_rows} == {str(i)}
      members = data.members(split)[i][:len(place_rows)]
      np.testing.assert_array_equal([[int(row[name]) for name in names] for row in place_rows],
                                    data.records(split).attributes[members])


def test_the_readme_says_what_is_there(data, whole):
  text = (whole / 'README.txt').read_text()
  there = [name for name in os.listdir(whole) if os.path.isdir(whole / name)]
  assert len(there) == 11 and all(f'{name}/' in text for name in there)
  assert data.fingerprint in text and 'COMMAND --pictures=DIR' in text
  assert f'{SIZE} wide and {SIZE} high' in text and max(map(len, text.splitlines())) <= 100


def test_the_command_for_others_has_the_config_and_no_place_of_this_machine():
  arguments = ['--config', f'{PATH}:glasses', '--write=somewhere', '--config.seed', '3',
               '--config.data.data_dir=here', '--config.image_size=16']
  assert picture_benchmark.measuring_command(arguments) == (
      f'python -m maskgan_jax.picture_benchmark --config {PATH}:glasses --config.seed 3 '
      '--config.image_size=16 --config.accuracy.network=FILE --config.identity.network=FILE')
  assert picture_benchmark.measuring_command(['--config.accuracy.network=x']).endswith(
      '.picture_benchmark --config.accuracy.network=x --config.identity.network=FILE')


def test_hair_colours_go_both_ways_and_have_labels(data_dir, tmp_path):
  config = config_of(data_dir, 'hair_color,quick,smoke', evaluation_pairs=3,
                     data__num_test=60, data__num_train=60)
  picture_benchmark.write(config, str(tmp_path))  # an existing empty folder is accepted
  batch = next(iter(open_data(config).evaluation('test', batch_size=3, max_pairs=3)))
  assert (batch['truth_ba'] != batch['b']).any(axis=(1, 2, 3)).all()
  np.testing.assert_array_equal(stack(tmp_path / 'truth_ba'), batch['truth_ba'])
  assert 'Black_Hair' in (tmp_path / 'train.csv').read_text().partition('\n')[0]


def test_perfect_answers_are_perfect(config, data, whole, tmp_path):
  output = tmp_path / 'ours.csv'
  folders = {'pictures': whole / 'truth_ab', 'back': whole / 'truth_ba', 'masks': whole / 'b_mask',
             'source_masks': whole / 'truth_ab_mask'}
  results, lines = measure_folders(config, folders, output=str(output))
  assert results['pairs'] == PAIRS
  for name in ('transfer_error_inside', 'transfer_error_outside', 'removal_error_inside',
               'removal_error_outside', 'ab_error', 'ba_error'):
    assert results[name] == 0
  for name in ('transfer_ssim', 'removal_ssim', 'ab_ssim', 'ba_ssim', 'mask_iou@0.5',
               'transfer_mask_iou', 'ab_changed_iou', 'ba_changed_iou'):
    assert results[name] == pytest.approx(1, abs=1e-12)
  assert 'mask_iou' not in results and 'mask_threshold' not in results
  assert any('--validation_masks' in line and '0.5' in line for line in lines)
  assert not {'ab_images_per_second', 'speed_machine'} & results.keys()
  shutil.copy(output, tmp_path / scores.FILE_NAME)
  assert scores.read(tmp_path) == [{'step': 0, 'split': 'test', **results}]
  assert results['data_fingerprint'] == data.fingerprint
  again, _ = measure_folders(config, folders, output=str(output))  # its own file may be replaced
  assert again == results


def test_untouched_pictures_get_what_every_method_reports_for_doing_nothing(config, data, whole):
  method = Translator(Adds(), {}, {}, config)
  of_method = evaluators.run(method, data, names=MEASURES.split(','), batch_size=4,
                             max_pairs=PAIRS)
  results, lines = measure_folders(config, {'pictures': whole / 'a', 'back': whole / 'b'})
  for task, nothing in (('transfer', 'do_nothing'), ('removal', 'do_nothing_removal')):
    for measure in ('error_inside', 'psnr', 'ssim'):
      assert results[f'{task}_{measure}'] == of_method[f'{nothing}_{measure}'] != of_method[
          f'{task}_{measure}']
    assert results[f'{task}_error_ratio'] == 1
  # Pixels that the attribute's edge covers by less than a half count as outside.
  outside = stack(whole / 'truth_ab_mask') <= 127
  error = np.abs(stack(whole / 'a').astype(float) - stack(whole / 'truth_ab')).mean(axis=-1) / 255
  assert results['transfer_error_outside'] == pytest.approx(
      np.mean([one[where].mean() for one, where in zip(error, outside, strict=True)]), rel=1e-12)
  for name in ('ab_error', 'ba_error', 'ab_error_inside', 'ba_ssim', 'ab_psnr'):
    assert results[name] == of_method[f'do_nothing_{name}']
  for name in (name for name in results if name.startswith(('do_nothing', 'truth'))):
    assert results[name] == of_method[name]
  assert not any('mask' in name for name in results)
  assert all("'masks' measures nothing" in line for line in lines)


def test_networks_look_at_given_pictures(data_dir, whole, tmp_path):
  wearing, bare = (np.concatenate([stack(whole / name) for name in names]).astype(np.float32)
                   for names in (('truth_ab', 'b'), ('a', 'truth_ba')))
  weights = (wearing.mean(axis=0) - bare.mean(axis=0))[None]  # a nearest mean is enough
  middle = float((weights * (wearing + bare) / 2).mean(axis=0).sum())

  def classify(x):
    return (x.astype(jnp.float32) * weights).sum((1, 2, 3))[:, None] - middle
  config = config_of(data_dir, evaluators=('accuracy', 'identity', 'speed'))
  config.accuracy.update(network=export(tmp_path / 'classifier', classify),
                         attributes=('Eyeglasses',))
  config.identity.network = export(
      tmp_path / 'colours', lambda x: x.astype(jnp.float32).mean((1, 2)) - 128)
  nothing, _ = measure_folders(config, {'pictures': whole / 'a', 'back': whole / 'b'})
  right, _ = measure_folders(config, {'pictures': whole / 'truth_ab', 'back': whole / 'truth_ba'})
  for direction in ('ab', 'ba'):
    column, limits = f'{direction}_accuracy', (f'do_nothing_{direction}_accuracy',
                                               f'truth_{direction}_accuracy')
    assert nothing[column] == nothing[limits[0]] != right[limits[1]] == right[column]
    assert nothing[f'{direction}_identity'] == pytest.approx(1)
    assert right[f'{direction}_identity'] == right[f'truth_{direction}_identity'] < 1


def test_a_spoiled_picture_counts_as_one_of_them(config, whole, copied):
  folder = copied('truth_ab')
  truth = pixels(folder / '00004.png')
  spoiled = truth.copy()
  spoiled[3:9, 2:5] ^= 0x55
  Image.fromarray(spoiled).save(folder / '00004.png')
  inside = pixels(whole / 'truth_ab_mask' / '00004.png') > 127
  results, _ = measure_folders(config, {'pictures': folder})
  error = np.abs(truth.astype(float) - spoiled).mean(axis=-1) / 255
  for name, value in (('ab_error', error.mean()), ('transfer_error_inside', error[inside].mean()),
                      ('transfer_error_outside', error[~inside].mean())):
    assert value > 0 and results[name] == pytest.approx(value / PAIRS, rel=1e-12)
  assert not {'removal_ssim', 'ba_error', 'mask_iou@0.5'} & results.keys()


def test_the_threshold_is_searched_on_the_validation_pictures(config, data, whole, copied,
                                                              tmp_path):
  members = data.members('validation')[1]
  truths = data.pairs('validation', members, members)
  true = np.stack([truths.true_mask(int(index)) for index in members]) > 0.5
  faint = tmp_path / 'validation'
  faint.mkdir()
  for name, mask in zip(sorted(os.listdir(whole / 'validationB')), true, strict=True):
    Image.fromarray(np.where(mask, 90, 60).astype(np.uint8)).save(faint / name)
  masks = copied('b_mask')
  for path in masks.iterdir():
    Image.fromarray(np.where(pixels(path) > 127, 90, 60).astype(np.uint8)).save(path)
  folders = {'pictures': whole / 'truth_ab', 'masks': masks, 'validation_masks': faint}
  results, lines = measure_folders(config, folders)
  assert results['mask_threshold'] == 0.34 and not lines  # 90 / 255 is 0.35
  assert results['mask_iou'] == 1 and results['mask_iou@0.5'] == 0
  # Each mask belongs to its picture in both splits, also while both are in use.
  opened = given_pictures.Given(config, data, given_pictures.Folders(
      *map(str, (whole / 'a', '', masks, faint))), benchmark_folders.file_names)
  for batch in opened.data.evaluation('test', batch_size=3, max_pairs=PAIRS):
    for inner in opened.data.evaluation('validation', batch_size=4, max_pairs=5):
      np.testing.assert_array_equal(opened.segment(inner['b']) > 0.3, inner['b_mask'] > 0.5)
    np.testing.assert_array_equal(opened.segment(batch['b']) > 0.3, batch['b_mask'] > 0.5)
    np.testing.assert_array_equal(opened(batch['a']).image, batch['a'])
    for wrong in (lambda batch=batch: opened(batch['a'].copy()), lambda inner=inner: opened(
        inner['a']), lambda batch=batch: opened(batch['b'], reverse=True)):
      with pytest.raises(errors.UserError, match='these folders can be measured'):
        wrong()


def remove(folder):
  for number in (2, 3, 5):
    (folder / f'0000{number}.png').unlink()


def truncate(folder):
  path = folder / '00003.png'
  path.write_bytes(path.read_bytes()[:-40])


def resize(folder):
  for number in (1, 6):
    Image.new('RGB', (SIZE, SIZE + 1)).save(folder / f'0000{number}.png')


def rename_jpeg(folder):
  Image.new('RGB', (SIZE, SIZE)).save(folder / '00000.png', 'JPEG')


def empty(folder):
  (folder / '00006.png').write_bytes(b'')


def pipe(folder):
  (folder / '00002.png').unlink()
  os.mkfifo(folder / '00002.png')  # opening it would block forever


def deepen(folder):
  """Returns a PNG with 16 bits per channel, built from its chunks."""
  def chunk(kind, content):
    return (struct.pack('>I', len(content)) + kind + content
            + struct.pack('>I', zlib.crc32(kind + content)))
  (folder / '00004.png').write_bytes(
      b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', SIZE, SIZE, 16, 2, 0, 0, 0))
      + chunk(b'IDAT', zlib.compress((b'\0' + bytes(6 * SIZE)) * SIZE)) + chunk(b'IEND', b''))


SPOILED = {
    remove: ['00002.png is missing (and 2 other files are missing)', '7 test pairs, 00000.png to '],
    truncate: ['00003.png is damaged or truncated'],
    resize: ['00001.png is 16 wide and 17 high, not 16 and 16 (and 1 other file is wrong)'],
    rename_jpeg: ['00000.png is not a PNG'],
    empty: ['00006.png is not a PNG'],
    pipe: ['00002.png is not an ordinary file'],
    deepen: ['00004.png is of mode RGB', 'RGB with 8 bits a channel'],
    lambda folder: Image.new('RGBA', (SIZE, SIZE)).save(folder / '00005.png'): [
        '00005.png is of mode RGBA', 'RGB'],
    lambda folder: (folder / 'notes.txt').write_text('see'): ['notes.txt should not be there'],
    lambda folder: (folder / '00004.png').rename(folder / '4.png'): [
        '00004.png is missing', '4.png is none of them'],
}


@pytest.mark.parametrize('spoil', SPOILED)
def test_the_first_file_that_is_wrong_is_named(config, whole, copied, spoil):
  folder = copied('a')
  (folder / '.DS_Store').write_text('')  # some systems create these files anywhere
  spoil(folder)
  for folders in ({'pictures': folder}, {'pictures': whole / 'a', 'back': folder}):
    with pytest.raises(errors.UserError) as error:
      measure_folders(config, folders)
    message = str(error.value)
    assert message.startswith(str(folder)) and '\n' not in message
    for part in SPOILED[spoil]:
      assert part in message


def test_pictures_that_are_not_used_are_told(tmp_path):
  root = data_samples.write_domains(tmp_path / 'data')
  os.mkfifo(tmp_path / 'data' / 'trainA' / 'pipe.png')
  config = run_config.default('content_transfer')
  config.data.update(source='folder', path=root, a='~B', b='B')
  notes = []
  picture_benchmark.write(config, str(tmp_path / 'out'), note=notes.append)
  assert notes == [f'{root}: not used: 1 pipes or devices (trainA/pipe.png)']


def test_masks_are_grey_and_black_and_white_is_too(config, whole, copied):
  with pytest.raises(errors.UserError, match='00000.png is of mode RGB; save it as grey'):
    measure_folders(config, {'pictures': whole / 'a', 'masks': whole / 'b'})
  masks = copied('b_mask')
  for path in masks.iterdir():
    Image.fromarray(pixels(path) > 127).save(path)
  results, _ = measure_folders(config, {'pictures': whole / 'a', 'masks': masks})
  assert results['mask_iou@0.5'] == 1


def test_what_is_there_is_not_replaced(config, whole, tmp_path):
  (tmp_path / 'mine').write_text('')
  with pytest.raises(errors.UserError, match='is not empty: it holds mine'):
    picture_benchmark.write(config, str(tmp_path))
  with pytest.raises(errors.UserError, match='cannot write into'):
    picture_benchmark.write(config, str(tmp_path / 'mine'))
  scores.append(tmp_path, {'step': 3, 'split': 'test', 'pairs': 2.0})
  before = (tmp_path / scores.FILE_NAME).read_bytes()
  with pytest.raises(errors.UserError, match='not of this command'):
    measure_folders(config, {'pictures': whole / 'a'}, output=str(tmp_path / scores.FILE_NAME))
  assert (tmp_path / scores.FILE_NAME).read_bytes() == before
  for output, part in (('scores.txt', 'NAME.csv'), ('mine/scores.csv', 'cannot write')):
    with pytest.raises(errors.UserError, match=part):
      measure_folders(config, {'pictures': whole / 'a'}, output=str(tmp_path / output))


@pytest.mark.parametrize('files', [0, 5, 60])
def test_told_to_stop_or_failing_nothing_is_left(config, data, tmp_path, files):
  left = itertools.count()

  def poll():
    if next(left) == files:
      raise errors.Preempted('stop')
  with pytest.raises(errors.Preempted):
    benchmark_folders.write(data, config, str(tmp_path / 'out'), poll=poll)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('flags, parts', [
    ([], ['--write=DIR', '--pictures=DIR']),
    (['--write=w', '--masks=m'], ['--masks goes with --pictures']),
    (['--pictures=nowhere'], ['--pictures=nowhere is not a folder']),
    (['--pictures=tests', '--validation_masks=tests'], ['--masks']),
])
def test_mistakes(flags, parts):
  fails(run('picture_benchmark', f'--config={PATH}:smoke', *flags), *parts)
  assert not os.path.exists(os.path.join(ROOT, 'w'))


@pytest.mark.slow
def test_there_and_back_by_commands(data_dir, tmp_path):
  options = [f'--config={PATH}:glasses,quick,smoke', f'--config.data.data_dir={data_dir}',
             f'--config.evaluators={MEASURES}']
  out = tmp_path / 'out'
  result = run('picture_benchmark', *options, f'--write={out}')
  assert result.returncode == 0 and str(out) in result.stdout, result.stderr
  result = run('picture_benchmark', *options, f'--pictures={out}/truth_ab',
               f'--back={out}/truth_ba', f'--masks={out}/b_mask', f'--output={tmp_path}/s.csv')
  assert result.returncode == 0, result.stderr
  assert re.search(r'mask IoU at 0\.5 +1\.000 ', result.stdout) and 'transfer' in result.stdout
  assert (tmp_path / 's.csv').read_text().startswith('step,split,')
  fails(run('picture_benchmark', *options, f'--write={out}'), 'not empty')


@pytest.mark.slow
@pytest.mark.parametrize('number, code', [(signal.SIGTERM, 75), (signal.SIGINT, 75),
                                          (signal.SIGKILL, -signal.SIGKILL)])
def test_killed_while_writing(data_dir, tmp_path, number, code):
  process = subprocess.Popen(
      [sys.executable, '-m', 'maskgan_jax.picture_benchmark',
       f'--config={PATH}:glasses,quick,smoke', f'--config.data.data_dir={data_dir}',
       '--config.data.num_test=900', '--config.evaluation_pairs=0', f'--write={tmp_path}/out'],
      cwd=ROOT, env={**os.environ, 'JAX_PLATFORMS': 'cpu'}, stderr=subprocess.DEVNULL)
  while not list(tmp_path.glob('.out.*/a/00000.png')):
    assert process.poll() is None
    time.sleep(0.002)
  process.send_signal(number)
  assert process.wait() == code
  assert not (tmp_path / 'out').exists()
  assert number == signal.SIGKILL or not list(tmp_path.iterdir())
