"""What check_data finds in good data and bad, its contact sheet and its exit codes."""

import shutil

import numpy as np
from PIL import Image
import pytest

from helpers import data_samples
from helpers.commands import run
from maskgan_jax import check_data, errors
from maskgan_jax.data import images

_PLAIN, _FACES = data_samples.faces()


def _check(root, output='', points='', **fields):
  config = data_samples.make_config('folder', path=str(root), **{
      'validation_fraction': 0.0, 'masks_path': '', **fields})
  return check_data.check(data_samples.with_data(config, image_size=16), str(output), points=points)


def test_good_data(tmp_path):
  root = data_samples.write_domains(tmp_path / 'p', num_train=(8, 10), num_test=(3, 4))
  for i in range(4):
    images.save_png(tmp_path / 'm' / 'testB' / f'{i:03d}.png', _FACES[50 + i, ..., 0])
  output = tmp_path / 'out' / 'sheet.png'
  report = _check(root, output, masks_path=str(tmp_path / 'm'))
  assert report['usable'] and not report['duplicates']
  assert [problem for problem in report['problems'] if 'validation' not in problem] == []
  train_b = report['splits']['train']['b']
  assert (train_b['count'], train_b['read'], train_b['sizes']) == (10, 10, {'25x25': 10})
  assert report['splits']['test']['b']['masks'] == 4
  assert report['labels'] == {'B': [0.0, 1.0]}
  text = '\n'.join(check_data.lines(report))
  assert '  b: 4 pictures, 4 read, 4 masks; 25x25 (4)' in text and f'wrote {output}' in text
  sheet = images.load_image(output)
  # The pictures themselves are in the sheet, enlarged a whole number of times.
  first = np.asarray(Image.fromarray(_FACES[50]).resize((16, 16), Image.Resampling.BILINEAR))
  scale = round(112 / 16)
  assert _contains(sheet, first.repeat(scale, 0).repeat(scale, 1))


def _contains(sheet, picture):
  return bool(_places(sheet, picture))


def _places(sheet, picture):
  """Row and column of every place where the sheet shows the picture."""
  height, width = picture.shape[:2]
  rows, columns = np.nonzero((sheet == picture[0, 0]).all(axis=-1))
  return [(y, x) for y, x in zip(rows, columns, strict=True)
          if np.array_equal(sheet[y:y + height, x:x + width], picture)]


def test_everything_that_is_wrong_is_said(tmp_path):
  root = tmp_path / 'p'
  data_samples.write_domains(root, num_train=(8, 10), num_test=(3, 4))
  (root / 'trainA' / '000.png').write_bytes(b'no picture')
  whole = (root / 'trainB' / '001.png').read_bytes()
  (root / 'trainB' / '001.png').write_bytes(whole[:60])
  images.save_png(root / 'trainA' / '001.png', np.full((25, 25, 3), 200, np.uint8))
  shutil.copy(root / 'trainA' / '002.png', root / 'trainA' / '100.png')
  shutil.copy(root / 'trainB' / '003.png', root / 'testB' / '100.png')
  images.save_png(root / 'testA' / '050.png', _PLAIN[90, :9, :12])
  images.save_png(tmp_path / 'm' / 'testB' / '000.png', np.zeros((25, 25), np.uint8))
  images.save_png(tmp_path / 'm' / 'testB' / '001.png', np.zeros((25, 31), np.uint8))
  report = _check(root, tmp_path / 'sheet.png', masks_path=str(tmp_path / 'm'))
  text = '\n'.join(report['problems'])
  for problem in [
      'train a: 1 pictures cannot be read: ' + str(root / 'trainA' / '000.png'),
      'train b: 1 pictures cannot be read: ' + str(root / 'trainB' / '001.png'),
      'train a: 1 pictures are of one colour: trainA/001.png',
      'validation a has no pictures',
      'test b: 1 pictures have a mask that does not fit',
      'test b: only 1 of 5 pictures have a mask',
      'test b: every mask is empty',
      'test a: 1 pictures are smaller than the input',
      '2 pictures are copies of others: test: testB/100.png = train: trainB/003.png, ',
      'train: trainA/002.png = train: trainA/100.png',
      '1 pictures are both in training and in validation or test',
  ]:
    assert problem in text
  assert report['duplicates'] == [['test: testB/100.png', 'train: trainB/003.png'],
                                  ['train: trainA/002.png', 'train: trainA/100.png']]
  assert report['usable'] and report['output']
  assert all('\n' not in line for line in check_data.lines(report))


def test_pictures_smaller_than_the_crop_are_unfit(tmp_path):
  data_samples.write_domains(tmp_path, num_train=(3, 4))
  images.save_png(tmp_path / 'trainB' / '000.png', _PLAIN[0, :20])
  report = _check(tmp_path, crop='center:24')
  assert len(report['splits']['train']['b']['unfit']) == 1 and report['usable']
  assert any('train b: 1 pictures are smaller than the crop' in p for p in report['problems'])
  assert not _check(tmp_path, crop='center:26')['usable']


def test_overlapping_domains_are_pointed_out(tmp_path):
  data_samples.write_domains(tmp_path)
  report = _check(tmp_path, a='', b='B')
  assert 'train: 10 pictures are in both domains' in report['problems']
  assert not report['duplicates']  # the same record, not a copy of it


def test_one_set_for_both_domains_is_no_problem(tmp_path):
  data_samples.write_domains(tmp_path, num_train=(8, 10), num_test=(3, 4))
  output = tmp_path / 'sheet.png'
  report = _check(tmp_path, output, a='B | ~B', b='B | ~B', transfer=('B',))
  assert not any('both domains' in problem for problem in report['problems'])
  assert report['splits']['train']['a'] == report['splits']['train']['b']
  # Different pictures stand below each other: the second is below the first.
  cells = [np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR))
           for image in (_PLAIN[50], _PLAIN[51])]
  sheet = images.load_image(output)
  [(top, left)], seconds = (_places(sheet, cell.repeat(7, 0).repeat(7, 1)) for cell in cells)
  assert len(seconds) == 2 and (top + 112 + 6, left) in seconds


def test_nothing_usable(tmp_path):
  data_samples.write_domains(tmp_path, num_train=(2, 3))
  for i in range(2):
    (tmp_path / 'trainA' / f'{i:03d}.png').write_bytes(b'')
  report = _check(tmp_path)
  assert not report['usable']
  report = _check(tmp_path, b='B & ~B')
  assert not report['usable'] and 'train b has no pictures' in report['problems']
  assert '  B  a   0%  b    -' in check_data.lines(report)


def test_large_sets_are_sampled_evenly(tmp_path):
  data_samples.write_domains(tmp_path, num_train=(40, 50))
  config = data_samples.make_config('folder', path=str(tmp_path))
  report = check_data.check(data_samples.with_data(config, image_size=16), max_images=5)
  domain = report['splits']['train']['a']
  assert domain['read'] == 5 and domain['count'] > 30


@pytest.mark.parametrize(('bits', 'problem'), [
    (8, '(trainA/0.png, trainA/1.png) are nearly black'),
    (10, '(trainA/0.png, trainA/1.png) are nearly black'),
    (12, '(trainA/0.png, trainA/1.png) are nearly black'),
    (14, 'no picture has a level above 64 of 255'), (16, '')])
def test_data_of_fewer_bits_than_their_files_are_named(tmp_path, bits, problem):
  for domain, start in (('A', 0), ('B', 7)):
    for i in range(2):
      levels = np.linspace(0, 2 ** bits - 1 - i - start, 480).reshape(24, 20).astype(np.uint16)
      (tmp_path / f'train{domain}').mkdir(exist_ok=True)
      Image.fromarray(levels).save(tmp_path / f'train{domain}' / f'{i}.png')
  problems = _check(tmp_path, test_fraction=0.0)['problems']
  about = [text for text in problems if text.startswith('train a')]
  assert len(about) == bool(problem)
  for text in about:
    assert problem in text and 'multiply data of 14 bits by 4, of 12 by 16 and of 10 by 64' in text


def test_pictures_that_are_not_used_are_a_problem(tmp_path):
  root = data_samples.write_domains(tmp_path, num_train=(8, 10), num_test=(3, 4))
  data_samples.write(tmp_path / 'trainA' / 'more', _PLAIN[:2])
  (tmp_path / 'trainB' / 'a.heic').write_bytes(b'x')
  report = _check(root, validation_fraction=0.1)
  assert ('not used: 2 pictures in folders that are not looked into (trainA/more); 1 files of '
          'formats to be converted to PNG or JPEG (trainB/a.heic)') in report['problems']
  assert check_data.refusal(report, measures=True) == ''


def test_pictures_of_which_a_crop_leaves_less_than_of_others(tmp_path):
  data_samples.write_domains(tmp_path, num_train=(4, 4))
  enlarged = np.asarray(Image.fromarray(_PLAIN[60]).resize((250, 250)))
  images.save_png(tmp_path / 'trainA' / '900.png', enlarged)
  problems = '\n'.join(_check(tmp_path, crop='center:20')['problems'])
  assert 'train a: 1 pictures are so large that the crop' in problems and '900.png' in problems
  assert 'so large' not in '\n'.join(_check(tmp_path)['problems'])


def test_faces_that_do_not_lie_alike_are_named(tmp_path):
  root = data_samples.write_domains(tmp_path / 'p', num_train=(8, 10), num_test=(3, 4))
  assert _check(root)['template'] == ''
  rows = {f'train{domain}/{i:03d}.png': [8, 11, 16, 11]
          for domain, count in (('A', 8), ('B', 10)) for i in range(count)}
  rows['trainA/001.png'] = [8, 9, 16, 13]  # turned
  rows['trainB/002.png'] = [5, 11, 19, 11]  # large
  rows['trainB/003.png'] = [8, 3, 16, 3]  # higher
  rows['trainA/004.png'] = [8.1, 11.2, 16.3, 11]
  rows['trainB/005.png'] = [8, 11, 8, 11]  # coincide
  del rows['trainB/007.png']
  lines = [f'{name},{",".join(map(str, numbers))}' for name, numbers in rows.items()]
  table = tmp_path / 'points.csv'
  table.write_text('\n'.join(['file,left_eye_x,left_eye_y,right_eye_x,right_eye_y', *lines]))
  report = _check(root, points=str(table))
  [off] = [problem for problem in report['problems'] if 'face turned' in problem]
  assert off.startswith('train: 3 pictures of 16 have a face turned by more than 10 degrees')
  assert off.endswith('trainA/001.png, trainB/002.png, trainB/003.png')
  [wrong] = [problem for problem in report['problems'] if 'wrong points' in problem]
  assert '1 pictures have wrong points: the eyes of a face in trainB/005.png coincide' in wrong
  assert 'train: 1 pictures of 18 have no points in the table: trainB/007.png' in report['problems']
  assert report['template'] == '25x25: 8.0,11.0 16.0,11.0' and report['usable']
  text = '\n'.join(check_data.lines(report))
  assert "most faces lie at --config.data.template='25x25: 8.0,11.0 16.0,11.0'" in text


def test_train_would_stop_at(tmp_path):
  """It stops where `train` does: at a split without pictures, and at one that cannot be read."""
  root = data_samples.write_domains(tmp_path / 'p', num_train=(8, 10), num_test=(3, 4))

  def refusal(measures=True, **fields):
    return check_data.refusal(_check(root, **{'validation_fraction': 0.1, **fields}),
                              measures=measures)
  assert refusal() == ''
  assert 'stop at the validation pictures' in refusal(validation_fraction=0.0)
  with pytest.raises(errors.UserError, match='no validation pictures'):
    config = data_samples.make_config('folder', path=root, validation_fraction=0.0)
    data_samples.open_data(config, image_size=16).evaluation('validation', batch_size=1)
  opened = data_samples.open_source('folder', path=root, validation_fraction=0.1)
  for name in data_samples.domains(opened, 'train')[0]:  # training reads no masks
    images.save_png(tmp_path / 'm' / name, np.zeros((25, 31), np.uint8))
  masked = str(tmp_path / 'm')
  assert 'have a mask that does not fit' in _check(root, masks_path=masked)['problems'][0]
  assert refusal(masks_path=masked) == ''
  (tmp_path / 'p' / 'testA' / '050.png').write_bytes(b'x')
  assert 'stop at the test pictures' in refusal() and refusal(measures=False) == ''
  (tmp_path / 'p' / 'trainA' / '000.png').write_bytes(b'x')
  assert 'stop at the train and test pictures' in refusal()


def test_what_cannot_be_opened_is_a_user_error(tmp_path):
  with pytest.raises(errors.UserError, match='is empty; expected trainA'):
    _check(tmp_path)


_CONFIG = '''
import ml_collections
from maskgan_jax.data import default_config

def get_config(argument=''):
  data = default_config.get_default()
  data.source, data.path = 'folder', {path!r}
  return ml_collections.ConfigDict({{'name': 'x', 'image_size': 16, 'image_width': 0, 'seed': 0,
                                    'data': data}})
'''


@pytest.mark.slow
def test_the_command(tmp_path):
  root = data_samples.write_domains(tmp_path / 'p')
  (tmp_path / 'config.py').write_text(_CONFIG.format(path=root))

  done = run('check_data', f'--config={tmp_path / "config.py"}', folder=tmp_path)
  assert done.returncode == 0, done.stderr
  assert 'a: 8 pictures' in done.stdout or 'a: 7 pictures' in done.stdout
  assert images.load_image(tmp_path / 'check_data.png').shape[0] > 200
  for arguments, problem in [
      ((f'--config={tmp_path / "config.py"}', '--config.data.path=/nowhere'), 'does not exist'),
      ((f'--config={tmp_path / "config.py"}', '--config.data.b=B & ~B'), 'no usable training'),
      ((f'--config={tmp_path / "config.py"}', '--config.data.validation_fraction=0'),
       'would stop at the validation pictures'),
      ((f'--config={tmp_path / "confi.py"}',), 'config.py'),
  ]:
    done = run('check_data', *arguments, folder=tmp_path)
    assert done.returncode == 2 and problem in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and 'Traceback' not in done.stderr


def test_masks_for_training_are_counted_drawn_and_refused(tmp_path):
  root = data_samples.write_domains(tmp_path / 'p', num_train=(8, 10), num_test=(3, 4))
  masks = tmp_path / 'm'
  for i in range(6):
    images.save_png(masks / 'trainB' / f'{i:03d}.png', _FACES[i, ..., 0])
  fields = dict(masks_path=str(masks), validation_fraction=0.1)
  report = _check(root, tmp_path / 'sheet.png', masks_share=0.5, **fields)
  count = report['splits']['train']['b']['masks']
  assert count >= 5 and 'train' not in report['refused']
  line = f'training sees the masks of 0 of a and {round(0.5 * count)} of b'
  assert line in check_data.lines(report)
  assert 'training sees' not in '\n'.join(check_data.lines(_check(root, **fields)))

  # A mask of nothing and one of another size stop training, if it reads masks.
  for mask in (np.zeros((25, 25), np.uint8), np.full((25, 40), 255, np.uint8)):
    for i in range(6):
      images.save_png(masks / 'trainB' / f'{i:03d}.png', mask)
    report = _check(root, masks_share=1.0, **fields)
    assert any('train b' in problem and 'a mask that does not fit or marks nothing' in problem
               for problem in report['problems'])
    assert 'train' in report['refused'] and 'train' in check_data.refusal(report, measures=False)
    assert 'train' not in _check(root, **fields)['refused']
