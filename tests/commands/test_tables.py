"""Papers' tables from runs on disk: which runs count, what cells say, how they are printed."""

import csv
import io
import os
import statistics

import pytest

from maskgan_jax import config as run_config
from maskgan_jax import errors
from maskgan_jax.evaluators.base import Reporter
from maskgan_jax.runs import scores
from maskgan_jax.tables import __main__ as tables
from maskgan_jax.tables import csv_files, filling, formats, papers, plans
from maskgan_jax.tables.papers.base import Column, Printed, Row, Table

QUICKSTART = 'configs/quickstart.py'
COLUMNS = (Column('IoU', 'mask_iou', QUICKSTART, scale=100, digits=1),
           Column('FID', 'ab_fid', QUICKSTART))
ROWS = (Row('Press et al.', (Printed(58.0, 11.0), None)),
        Row('Ours', (Printed(77.0, 13.0), Printed(90.7)), ours=True),
        Row('Ours, smaller', ours=True, config=f'{QUICKSTART}:smoke'),
        Row('perfect', ours=True, measures={'IoU': '=1', 'FID': ''}))


@pytest.fixture
def table(monkeypatch):
  """Puts a table in the place of every other; returns what replaces parts of it."""
  def put(**changes):
    made = Table(**dict(dict(title='a table', columns=COLUMNS, rows=ROWS), **changes))
    monkeypatch.setattr(papers, 'get', lambda name: made)
    return made
  put()
  return put


def write_run(root, name, rows, *, argument='', **changes):
  """Writes a run without checkpoints, with only its config and its scores."""
  config = run_config.read_file(QUICKSTART + (f':{argument}' if argument else ''))
  with config.unlocked():
    for key, value in changes.items():
      run_config.set_key(config, key.replace('__', '.'), value)
  workdir = os.path.join(root, name)
  os.makedirs(workdir)
  run_config.save(config, workdir)
  for step, split, values in rows:
    scores.append(workdir, {'step': step, 'split': split, 'pairs': 282.0, **values})
  return workdir


def fill(root, name='any', note=lambda line: None, **options):
  request = filling.Request(**{'evaluate': False, **options})
  return filling.fill(name, str(root), request, Reporter(note=note))


def test_nothing_there(tmp_path, table):
  (press, ours, smaller, perfect) = fill(tmp_path).cells
  assert [cell.last for cell in (*press, *ours, *smaller)] == [None] * 6
  assert [cell.reason for cell in press] == ['', '']  # cells of other authors stay empty
  assert [cell.reason for cell in (*ours, *smaller)] == ['not trained'] * 4
  assert perfect[0].last.mean == 100 and perfect[1].last is None and not perfect[1].reason
  assert ours[0].printed == Printed(77.0, 13.0) and smaller[0].printed is None


def test_mean_and_deviation_over_seeds(tmp_path, table):
  values = [0.8, 0.7, 0.75]
  for seed, value in enumerate(values):
    write_run(tmp_path, f'somewhere{seed}/run', [(500, 'test', {'mask_iou': 0.1}),
                                                 (1500, 'test', {'mask_iou': value}),
                                                 (1500, 'validation', {'mask_iou': 0.2})],
              seed=seed)
  ours = fill(tmp_path).cells[1]
  assert ours[0].last.mean == pytest.approx(100 * statistics.fmean(values))
  assert ours[0].last.deviation == pytest.approx(100 * statistics.stdev(values))
  assert ours[0].last.steps == (1500,) * 3 and ours[0].best is None
  assert ours[0].last.generated == 282
  assert ours[1].last is None and 'not measured' in ours[1].reason
  one = fill(tmp_path, seeds=(1,)).cells[1][0].last
  assert (one.mean, one.deviation, len(one.runs)) == (pytest.approx(70), None, 1)


@pytest.mark.parametrize('mode, want', [('max', 80), ('min', 60)])
def test_best_is_by_the_metric_of_the_config(tmp_path, table, mode, want):
  write_run(tmp_path, 'run', [(500, 'test', {'mask_iou': 0.8, 'ab_fid': 9.0}),
                              (1000, 'test', {'mask_iou': 0.6, 'ab_fid': 8.0}),
                              (1500, 'test', {'mask_iou': 0.7, 'ab_fid': 7.0})],
            best_metric='mask_iou', best_mode=mode)
  iou, fid = fill(tmp_path).cells[1]
  assert (iou.last.mean, iou.best.mean) == (pytest.approx(70), pytest.approx(want))
  assert (fid.last.mean, fid.best.mean) == (7.0, 9.0 if mode == 'max' else 8.0)


def test_only_runs_of_the_same_config_count(tmp_path, table):
  row = [(1500, 'test', {'mask_iou': 0.5})]
  write_run(tmp_path, 'another_rate', row, optimizers__autoencoder__learning_rate=1e-4)
  write_run(tmp_path, 'other_steps', [(4, 'test', {'mask_iou': 0.25})], argument='smoke')
  assert fill(tmp_path).cells[1][0].last is None
  assert fill(tmp_path).cells[2][0].last.mean == 25
  same = write_run(tmp_path, 'same_but_for_what_is_free', row, num_steps=3000,
                   evaluators=('truth',), data__workers=2)
  assert fill(tmp_path).cells[1][0].last.runs == (same,)


def test_of_two_with_one_seed_the_furthest_counts(tmp_path, table):
  far = write_run(tmp_path, 'a', [(1500, 'test', {'mask_iou': 0.5})])
  near = write_run(tmp_path, 'b', [(500, 'test', {'mask_iou': 0.9})])
  messages = []
  filled = fill(tmp_path, note=messages.append)
  assert filled.cells[1][0].last.runs == (far,)
  assert any(near in line and 'does not count' in line for line in messages)


def test_protocols_are_kept_apart(tmp_path, table):
  workdir = write_run(tmp_path, 'run', [
      (1500, 'test', {'ab_fid': 50.0}),
      (1500, 'test, distribution.real=source', {'ab_fid': 60.0}),
      (1500, 'test, distribution.protocol=clean, distribution.real=source', {'ab_fid': 70.0})])
  assert fill(tmp_path).cells[1][1].last.mean == 50
  table(settings={'distribution.real': 'source'})
  assert fill(tmp_path).cells[1][1].last.mean == 60
  clean = {'distribution.protocol': 'clean'}
  assert fill(tmp_path, overrides=clean).cells[1][1].last.mean == 70
  moved = fill(tmp_path, overrides={'data.path': 'elsewhere', 'distribution.cache': 'somewhere'})
  assert moved.cells[1][1].last.runs == (workdir,)  # paths do not change the protocol
  other = fill(tmp_path, overrides={'distribution.network': 'dir/own.onnx'})
  assert other.cells[1][1].last is None
  assert other.row_name == 'test, distribution.network=own.onnx, distribution.real=source'


def test_seeds_measured_by_different_networks_have_no_mean(tmp_path, table):
  for seed, text in enumerate(('Inception of sha256 1', 'Inception of sha256 2')):
    write_run(tmp_path, str(seed), [(1500, 'test', {'ab_fid': 5.0, 'fid_protocol': text})],
              seed=seed)
  with pytest.raises(errors.UserError, match='not measured alike.*sha256'):
    fill(tmp_path)
  assert fill(tmp_path, seeds=(1,)).cells[1][1].last.provenance == (
      'fid_protocol: Inception of sha256 2',)


def test_rows_measured_with_other_settings_do_not_count(tmp_path, table):
  """Scores that somebody measured by hand, under the name of the usual protocol, do not count."""
  table(evaluators=('distribution',))
  text = 'distribution.network=own.onnx@0123abcd'
  for seed, asked in enumerate((text, f'{text}; distribution.real=source')):
    write_run(tmp_path, str(seed), [(1500, 'test', {'ab_fid': 5.0 + seed,
                                                    'distribution_settings': asked})], seed=seed)
  assert fill(tmp_path).cells[1][1].last.mean == 5  # no particular network was asked for
  table(evaluators=('distribution',), settings={'distribution.real': 'source'})
  for seed in (0, 1):
    scores.append(tmp_path / str(seed), {
        'step': 1500, 'split': 'test, distribution.real=source', 'ab_fid': 7.0 + seed,
        'distribution_settings': f'{text}; distribution.real=source'})
  assert fill(tmp_path).cells[1][1].last.mean == 7.5
  # Two files of one name are still two files.
  (tmp_path / 'own.onnx').write_bytes(b'another network')
  other = {'distribution.network': str(tmp_path / 'own.onnx')}
  for seed in (0, 1):
    scores.append(tmp_path / str(seed), {
        'step': 1500, 'ab_fid': 9.0, 'distribution_settings': f'{text}; distribution.real=source',
        'split': 'test, distribution.network=own.onnx, distribution.real=source'})
  assert fill(tmp_path, overrides=other).cells[1][1].last is None


def test_rows_of_another_number_of_pairs_do_not_count(tmp_path, table):
  write_run(tmp_path, '0', [(1500, 'test', {'mask_iou': 0.5, 'pairs_asked': 3.0})])
  write_run(tmp_path, '1', [(1500, 'test', {'mask_iou': 0.7, 'pairs_asked': 0.0})], seed=1)
  assert fill(tmp_path).cells[1][0].last.mean == pytest.approx(70)
  write_run(tmp_path, '2', [(1500, 'test', {'mask_iou': 0.7, 'pairs': 281.0})], seed=2)
  with pytest.raises(errors.UserError, match='not measured alike .*28[12] pairs'):
    fill(tmp_path)


@pytest.mark.parametrize('texts, match', [
    (['seed=3'], '--seeds=3'), (['x'], 'KEY=VALUE'), (['=3'], 'KEY=VALUE'),
    (['num_steps=3', 'config.num_steps=4'], "twice, as '3' and '4'")])
def test_bad_overrides(texts, match):
  with pytest.raises(errors.UserError, match=match):
    tables._overrides(texts)


def test_pairs_and_seeds_of_a_command_line():
  assert tables._overrides(['config.data.path=a=b', 'x=']) == {'data.path': 'a=b', 'x': ''}
  assert tables._seeds(['1', '0', '1']) == (1, 0)
  for wrong in (['-1'], ['2147483648'], ['a'], ['']):
    with pytest.raises(errors.UserError, match='--seeds='):
      tables._seeds(wrong)


def test_what_no_config_takes_is_an_error_before_anything_is_done():
  names = ['egsc_it/2', 'content_transfer/1']
  tables._check_used(names, 'quick', {'data.path': 'x', 'model.perceptual': 'y'})
  with pytest.raises(errors.UserError, match="'quik' is unknown.*'quick'"):
    tables._check_used(names, 'quik', {})
  with pytest.raises(errors.UserError, match="no config has that key.*'distribution.network'"):
    tables._check_used(names, '', {'distribution.netwrk': 'x'})


def test_added_arguments_and_overrides(tmp_path, table):
  write_run(tmp_path, 'run', [(4, 'test', {'mask_iou': 0.25})], argument='smoke')
  assert fill(tmp_path, add='smoke').cells[1][0].last.mean == 25
  messages = []
  fill(tmp_path, add='smok', note=messages.append)
  assert any("'smok' is unknown" in line and 'taken as they are' in line for line in messages)
  assert 'no run of seed 3' in formats.markdown(fill(tmp_path, add='smoke', seeds=(0, 3)))
  with pytest.raises(errors.UserError, match="key 'weights.cycl'.*weights.cycle"):
    fill(tmp_path, overrides={'weights.cycl': '1'})
  with pytest.raises(errors.UserError, match='whole number'):
    fill(tmp_path, overrides={'batch_size': 'many'})
  assert fill(tmp_path, add='smoke', overrides={'batch_size': '4'}).cells[1][0].last is None
  assert fill(tmp_path, add='smok', overrides={'weights.cycl': '1'}, strict=False).cells


def test_configs_without_a_short_version_are_taken_as_they_are(tmp_path, table):
  table(rows=(Row('one', ours=True), Row('two', ours=True,
                                         config='configs/digits_single.py:embedded')))
  filled = fill(tmp_path, add='quick')
  assert [[cell.resolved_path for cell in cells] for cells in filled.cells] == [
      [QUICKSTART, QUICKSTART], ['configs/digits_single.py:embedded,quick'] * 2]
  assert filled.cells[1][0].config_path == 'configs/digits_single.py:embedded'


def test_cells_of_ours_as_csv(tmp_path, table):
  table(gap='half of the steps', needs='CelebA')
  for seed, (value, spread) in enumerate(((0.6, 0.1), (0.4, 0.3))):
    write_run(tmp_path, str(seed), [(1500, 'test', {'mask_iou': value, 'mask_iou_std': spread})],
              seed=seed)
  lines = list(csv.reader(io.StringIO(csv_files.cells([fill(tmp_path)]))))
  assert lines == [
      list(csv_files.CELL_COLUMNS),
      ['any', 'Ours', 'IoU', '77.0', '13.0', '50.0', '20.0', '2', '14.1', '-27.0',
       'half of the steps', QUICKSTART],
      ['any', 'Ours', 'FID', '90.70', '', '', '', '', '', '',
       'trained, but not measured so', QUICKSTART],
      *(['any', 'Ours, smaller', column, *[''] * 7, 'not trained; needs CelebA',
         f'{QUICKSTART}:smoke'] for column in ('IoU', 'FID')),
  ]  # neither other authors' cells nor constants


def test_damaged_runs_are_left_out(tmp_path, table):
  workdir = write_run(tmp_path, 'run', [(1500, 'test', {'mask_iou': 0.5})])
  with open(os.path.join(write_run(tmp_path, 'bad', []), 'config.json'), 'w') as file:
    file.write('{')
  path = os.path.join(write_run(tmp_path, 'bad2', []), 'config.json')
  with open(path) as file:
    text = file.read()
  with open(path, 'w') as file:
    file.write(text.replace('"seed": 0', '"seed": "abc"'))
  messages = []
  filled = fill(tmp_path, note=messages.append)
  assert filled.cells[1][0].last.runs == (workdir,)
  for name in ('bad', 'bad2'):
    assert any(f'{name}/config.json is damaged' in line for line in messages)


def test_rows_of_other_programs(tmp_path, table):
  path = tmp_path / 'theirs.csv'
  path.write_text('step,split,pairs,mask_iou,mask_iou_std,classifier\n0,test,282.0,0.5,0.25,x\n')
  filled = fill(tmp_path, others={'Theirs': str(path)})
  assert filled.table.rows[-1].name == 'Theirs' and len(filled.cells) == len(ROWS) + 1
  text = formats.markdown(filled)
  assert '| Theirs | theirs | 50.0 ± 25.0 |  |' in text and f'Theirs: {path}' in text
  path.write_text('step,split\n0,test\n')
  with pytest.raises(errors.UserError, match='no measure of this table'):
    fill(tmp_path, others={'Theirs': str(path)})
  with pytest.raises(errors.UserError, match='is not NAME=FILE'):
    tables._others([f'x={tmp_path}/absent.csv'])
  assert tables._others([f'x={path}']) == {'x': str(path)}


def cells_of(line):
  return [cell.strip() for cell in line.strip().strip('|').split('|')]


def test_markdown(tmp_path, table):
  table(protocol='A protocol.', needs='weights')
  for seed, (value, spread) in enumerate(((0.8, 0.1), (0.7, 0.15))):
    write_run(tmp_path, str(seed), [(1000, 'test', {'mask_iou': value, 'mask_iou_std': spread})],
              seed=seed)
  text = formats.markdown(fill(tmp_path, command='python -m it'))
  lines = [cells_of(line) for line in text.splitlines() if line.startswith('|')]
  assert lines[0] == ['', 'IoU', 'FID'] or lines[0][-2:] == ['IoU', 'FID']
  assert lines[2:] == [['Press et al.', 'paper', '58.0 ± 11.0', ''],
                       ['Ours', 'paper', '77.0 ± 13.0', '90.70'],
                       ['', 'ours', '75.0 ± 12.5 (seeds ± 7.1, 2)', 'not run'],
                       ['Ours, smaller', 'ours', 'not run', 'not run'],
                       ['perfect', 'ours', '100.0', '']]
  for line in ('- A protocol.', '- it needs weights', '`python -m it`', 'is at step 1,000 of 1,500',
               'not run (Ours, FID): trained, but not measured so',
               'not run (Ours, smaller, IoU; Ours, smaller, FID): not trained',
               'step 1,000, 282 translations'):
    assert line in text


def test_csv_has_every_cell_in_full(tmp_path, table):
  write_run(tmp_path, 'run', [(1500, 'test', {
      'mask_iou': 2 / 3, 'ab_fid': 1 / 3, 'ab_translations': 280.0, 'ab_real_pictures': 300.0,
      'fid_protocol': 'pytorch_fid'})])
  rows = list(csv.DictReader(io.StringIO(csv_files.full([fill(tmp_path)]))))
  assert [(row['row'], row['column']) for row in rows] == [
      (row.name, column.name) for row in ROWS for column in COLUMNS]
  iou, fid = rows[2:4]
  assert float(iou['last']) == pytest.approx(200 / 3) and float(iou['paper']) == 77
  assert (iou['n_generated'], iou['n_real']) == ('282', '')  # pairs
  assert (fid['n_generated'], fid['n_real'], fid['seeds']) == ('280', '300', '1')
  assert fid['provenance'] == 'fid_protocol: pytorch_fid' and fid['config'] == QUICKSTART
  assert rows[0]['not_run'] == '' and rows[4]['not_run'] == 'not trained'


def test_latex(tmp_path, table):
  table(title='50 % of a_b & c', columns=(Column('A→B & #', 'mask_iou', QUICKSTART),),
        rows=(Row('λ_r', (Printed(1.0, 0.5),), ours=True), Row('L^A ~ \\ {x}')))
  text = formats.latex(fill(tmp_path))
  body = [line for line in text.splitlines() if not line.startswith('%')]
  assert body[0] == r'\begin{tabular}{llr}' and body[-1] == r'\end{tabular}'
  assert r' & & A$\to$B \& \# \\' in body
  assert r'$\lambda$\_r & paper & 1.00 $\pm$ 0.50 \\' in body
  assert r' & ours & not run \\' in body
  assert r'L\^{}A \textasciitilde{} \textbackslash{} \{x\} & paper &  \\' in body


def test_folders_of_runs():
  assert plans.folder('runs', 'configs/digits_single.py:quick,no_mask', 2) == os.path.join(
      'runs', 'digits_single-no_mask-quick-seed2')
  assert plans.folder('runs', QUICKSTART, 0) == os.path.join('runs', 'quickstart')


@pytest.mark.parametrize('name', papers.names())
def test_every_table_prints(tmp_path, name):
  filled = fill(tmp_path, name)
  assert [len(row) for row in filled.cells] == [len(filled.table.columns)] * len(filled.table.rows)
  text = formats.markdown(filled)
  assert f'{name}: ' in text and csv_files.full([filled]) and formats.latex(filled)


def test_unknown_tables():
  with pytest.raises(errors.UserError, match="unknown table 'egsc_it/22'.*'egsc_it/2'"):
    papers.get('egsc_it/22')


@pytest.mark.slow
def test_trained_measured_and_printed(tmp_path, table):
  """Trains and measures two seeds from nothing; a second call has nothing left to do."""
  table(columns=(Column('change', 'ab_changed_share', QUICKSTART),
                 Column('IoU', 'mask_iou', QUICKSTART)),
        rows=(Row('Ours', (Printed(1.0), None), ours=True),), evaluators=('changes',))
  messages = []
  options = dict(add='smoke', seeds=(0, 1), evaluate=True,
                 overrides={'data.data_dir': str(tmp_path / 'data')})
  filled = fill(tmp_path / 'runs', train=True, note=messages.append, **options)
  change, iou = filled.cells[0]
  assert len(change.last.runs) == 2 and change.last.deviation > 0 and iou.last is not None
  assert change.last.steps == (4, 4)
  assert sum('training' in line for line in messages) == 2
  row = scores.latest(change.last.runs[1], split='test')
  assert change.last.mean == pytest.approx(statistics.fmean(
      [row['ab_changed_share'],
       scores.latest(change.last.runs[0], split='test')['ab_changed_share']]))
  messages.clear()
  again = fill(tmp_path / 'runs', train=True, note=messages.append, **options)
  assert not messages and again.cells == filled.cells
  # another protocol: measured anew, beside the first
  options['overrides'] |= {'evaluation_pairs': '3'}
  other = fill(tmp_path / 'runs', note=messages.append, **options)
  assert other.cells[0][0].last.generated == 3
  assert sum('measuring' in line for line in messages) == 2
  assert scores.latest(change.last.runs[1], split='test') == row
