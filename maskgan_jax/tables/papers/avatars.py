"""The avatars benchmark: every method on the same faces, with exact truth (docs/avatars.md).

Its first line is what leaving pictures as they are gets, its second what true answers get.
"""

from maskgan_jax.tables.papers.base import Column, Row, Table

_METHODS = {
  'content_transfer': 'Content transfer',
  'press': 'Press et al.',
  'lomit': 'LOMIT',
  'lomit_tuned': 'LOMIT, tuned',
  'egsc_it': 'EGSC-IT',
  'munit': 'MUNIT',
  'drit': 'DRIT++',
  'aggan_exemplar': 'AGGAN with an exemplar',
  'stargan': 'StarGAN (labels)',
  'attentiongan': 'AttentionGAN-v1-multi (labels)',
  'additional_mask': 'Additional mask (no exemplar)',
  'cyclegan': 'CycleGAN (no exemplar)',
  'unit': 'UNIT (no exemplar)',
  'aggan': 'AGGAN (no exemplar)',
  'ugatit': 'U-GAT-IT (no exemplar)',
}
_COLUMNS = (
  Column('mask IoU', 'mask_iou', digits=3, higher=True),
  Column('IoU of what changes', 'ab_changed_iou', digits=3, higher=True),
  Column('error inside', 'transfer_error_inside', digits=3, higher=False),
  Column('error outside', 'transfer_error_outside', digits=4, higher=False),
  Column('SSIM', 'transfer_ssim', digits=3, higher=True),
  Column('accuracy, %', 'ab_accuracy', scale=100, digits=1, higher=True),
  Column('similarity', 'ab_identity', digits=3, higher=True),
  Column('back: error inside', 'removal_error_inside', digits=3, higher=False),
  Column('back: error outside', 'removal_error_outside', digits=4, higher=False),
  Column('back: accuracy, %', 'ba_accuracy', scale=100, digits=1, higher=True),
  Column('images/s', 'ab_images_per_second', digits=0, higher=True),
)
_NOTHING = {
  'mask IoU': '',
  'IoU of what changes': '=0',
  'error inside': 'do_nothing_error_inside',
  'error outside': 'do_nothing_error_outside',
  'SSIM': 'do_nothing_ssim',
  'accuracy, %': 'do_nothing_ab_accuracy',
  'similarity': '=1',
  'back: error inside': 'do_nothing_removal_error_inside',
  'back: error outside': 'do_nothing_removal_error_outside',
  'back: accuracy, %': 'do_nothing_removal_accuracy',
  'images/s': '',
}
_ORACLE = {
  'mask IoU': '=1',
  'IoU of what changes': '=1',
  'error inside': '=0',
  'error outside': '=0',
  'SSIM': '=1',
  'accuracy, %': 'truth_ab_accuracy',
  'similarity': 'truth_ab_identity',
  'back: error inside': '=0',
  'back: error outside': '=0',
  'back: accuracy, %': 'truth_removal_accuracy',
  'images/s': '',
}
# Some methods find no attribute, but say where they change; and methods go back in one of two ways.
_MEASURES = {
  **dict.fromkeys(
    ('content_transfer', 'press'), {'back: accuracy, %': 'removal_accuracy'}
  ),
  **dict.fromkeys(
    (
      'egsc_it',
      'munit',
      'drit',
      'stargan',
      'attentiongan',
      'additional_mask',
      'cyclegan',
      'unit',
    ),
    {'mask IoU': ''},
  ),
}


def _table(task: str, title: str) -> Table:
  first = f'configs/avatars_benchmark.py:content_transfer,{task}'
  rows = (
    Row('do nothing', ours=True, config=first, measures=_NOTHING),
    Row('oracle', ours=True, config=first, measures=_ORACLE),
    *(
      Row(
        name,
        ours=True,
        config=f'configs/avatars_benchmark.py:{method},{task}',
        measures=_MEASURES.get(method, {}),
      )
      for method, name in _METHODS.items()
    ),
  )
  return Table(
    title=title,
    columns=_COLUMNS,
    rows=rows,
    evaluators=('masks', 'truth', 'changes', 'accuracy', 'identity', 'speed'),
    needs='a classifier of what changes and one of what should stay (train_classifier): '
    '--override=accuracy.network=FILE --override=identity.network=FILE; see '
    'docs/avatars.md',
    protocol='Errors are mean absolute differences, 1 from black to white, inside and outside '
    'what truly changes. Accuracy is by the classifier named below; similarity is '
    'between source and translation, by the embedder. "Back" takes b\'s attribute off '
    'again.',
  )


TABLES = {
  'glasses': _table('glasses', 'avatars, glasses after an exemplar'),
  'hair_color': _table('hair_color', 'avatars, hair colour after an exemplar'),
  'facial_hair': _table('facial_hair', 'avatars, facial hair after an exemplar'),
  'smile': _table('smile', 'avatars, smiles after an exemplar'),
}
