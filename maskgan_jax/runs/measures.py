"""What the measures of scores.csv mean, which way is better, and what to hold them against."""

from collections.abc import Mapping
import re
from typing import Any

# A name stands for itself and for name@threshold; ab, from a to b, also for ba, the other way, and
# for removal, where that has no meaning of its own.
_MEANINGS = {
    'mask_iou': 'How well the mask, learnt without ever seeing a true one, covers the true region: '
                'what both cover over what either covers, from 0 to 1 (perfect), with the mask cut '
                'where it was best on the validation pictures.',
    'mask_iou@': 'The same with the mask cut at this value.',
    'source_mask_iou': "The same as mask_iou for the mask of the source picture, where it has such "
                       'a region.',
    'source_mask_iou@': 'The same with the mask cut at this value.',
    'mask_threshold': 'The mask value where it was cut; chosen on the validation pictures.',
    'mask_mean': 'Mean of the mask over the picture: near 0 or 1, it has collapsed.',
    'mask_share': 'Share of the picture that the mask takes, cut at mask_threshold, or at 0.5.',
    'object_mask_share': 'Share of the true region that the mask covers, cut at the same value.',
    'transfer_mask_iou': 'The same as mask_iou for the mask of the translation and what should '
                         'have changed.',
    'transfer_error_inside': 'How far the colours of the translation are from the true answer, '
                             'where something had to change.',
    'transfer_error_outside': 'The same everywhere else: what was changed but should not be.',
    'removal_error_inside': 'How far the colours are from the same picture without the attribute, '
                            'where it had to go.',
    'removal_error_outside': 'The same everywhere else: what was changed but should not be.',
    'transfer_error_ratio': 'transfer_error_inside over that of doing nothing; 0 is perfect.',
    'removal_error_ratio': 'removal_error_inside over that of doing nothing; 0 is perfect.',
    'erased_error': "How far the translation is from the right answer once a region of the "
                    "exemplar's mask is erased: the source with everything but that region's "
                    'attribute.',
    'erased_error_before': 'The same without erasing it.',
    'erased_error_inside': "The same only where the region's attribute would show.",
    'erased_error_inside_before': 'The same without erasing it.',
    'pairs': 'How many pictures of each kind were measured.',
    'transfer_psnr': 'Likeness of the translation to the true answer over the whole picture, in '
                     'decibels.',
    'transfer_ssim': 'Structural likeness of the translation to the true answer; 1 is the same '
                     'picture.',
    'removal_psnr': 'Likeness of the picture without the attribute to the true one, in decibels.',
    'removal_ssim': 'Structural likeness of the picture without the attribute to the true one.',
    'ab_ssim': 'Structural likeness of the translation to the true one; 1 is the same picture.',
    'ab_psnr': 'Likeness of the translation to the true one, in decibels.',
    'ab_exemplar_ssim': "Structural likeness of the translation to its exemplar, EGSC-IT's Table 2."
                        ' The exemplar shows something else: no right translation gets near 1.',
    'truth_ab_exemplar_ssim': 'The same for true translations: what a perfect one gets.',
    'ab_error': 'How far the colours of the translation are from the true one, over the whole '
                'picture: 0 is the same, 1 is black for white.',
    'ab_error_inside': 'The same only where something has to change.',
    'ab_error_outside': 'The same everywhere else: what was changed but should not be.',
    'ab_changed_share': 'Share of the pixels that the translation changes by more than a tenth of '
                        'the way from black to white.',
    'truth_ab_changed_share': 'The same for true translations: what truly changes.',
    'ab_changed_iou': 'How well the pixels that the translation changes are those that truly '
                      'change: what both have over what either has, from 0 to 1 (perfect).',
    'ab_change_mean': 'How far the translation is from its source on the mean: 0 is the same '
                      'picture, 1 is black for white.',
    'ab_neighbours_same': 'Share of pictures, real ones of the target domain and translations, '
                          'whose nearest neighbour is of the same kind: 0.5 if nothing tells them '
                          'apart, 1 if everything does.',
    'segmentation_miou': 'How well a segmentation network sees in the translation what was in the '
                         'source: intersection over union, the mean over the classes.',
    'segmentation_iou_': 'The same for one class.',
    'ab_fid': 'Distance between the translations as a whole and real pictures, by what the '
              'Inception network sees in them: 0 is the same. It falls with the number of '
              'pictures.',
    'ab_kid': 'Like FID, and reliable for fewer pictures; 0 on the mean for pictures of one kind, '
              'so it can be below.',
    'ab_is': 'Inception score: how certain its classes of single translations are, and how many '
             'there are of all; 1 is the worst.',
    'ab_frechet_distance': 'As FID, by what another network sees: comparable with results by the '
                           'same network only.',
    'ab_kernel_distance': 'As KID, by what another network sees: comparable with results by the '
                          'same network only.',
    'ab_translations': 'How many translations these distances are of.',
    'ab_real_pictures': 'How many real pictures they are held against.',
    'ab_lpips': 'How different the translation and the true one look to people, by LPIPS: 0 is the '
                'same.',
    'ab_lpips_diversity': 'How different translations of one picture after several exemplars look '
                          'from each other, by LPIPS: 0 if the exemplar does not matter.',
    'ab_accuracy': 'Share of the translations in which a classifier finds every attribute that is '
                   'to change as it should be.',
    'ab_accuracy_changed': 'The same of the pairs in which source and exemplar differ in it.',
    'truth_ab_accuracy': 'The same for true translations: what a perfect one gets.',
    'removal_accuracy': 'Share of the pictures with the attribute removed in which a classifier '
                        'no longer finds it.',
    'truth_removal_accuracy': 'The same for true pictures without it: what a perfect one gets.',
    'a_accuracy': 'Share of the real pictures of domain a that the classifier is right about: its '
                  'other answers are no better than that.',
    'b_accuracy': 'The same for those of domain b.',
    'ab_identity': 'How alike an embedder finds a picture and its translation, as a cosine: 1 is '
                   'the same, which a translation that changes nothing gets too.',
    'truth_ab_identity': 'The same for true translations: what a perfect one gets.',
    'removal_identity': 'How alike an embedder finds a picture with the attribute and what is left '
                        'without it.',
    'truth_removal_identity': 'The same for true pictures without it.',
    'fid': 'Distance between the translations and real pictures as a whole, by what an image '
           'classifier sees in them.',
    'kid': 'Like FID, and reliable for fewer pictures.',
    'lpips': 'Difference to the true answer as people would judge it.',
    'accuracy': 'Share of the translations in which a classifier finds the attribute it should.',
}
_HIGHER = ('iou', 'miou', 'psnr', 'ssim', 'accuracy', 'is', 'diversity', 'identity')
_LOWER = ('error', 'fid', 'kid', 'lpips', 'l1', 'mse', 'distance')
_NOTHING = 'do_nothing_'
NOT_MEASURES = ('step', 'split', 'time', 'pairs_asked')  # columns of scores.csv


def ordered(row: Mapping[str, Any]) -> list[str]:
  """Returns the names of a row's measures, well-known ones first, without their companions."""
  companions = {f'{name}_std' for name in row} | {baseline(row, name) for name in row}
  known = list(_MEANINGS)
  names = [name for name in row if name not in companions and name not in NOT_MEASURES
           and is_number(row[name])]
  rank = {name: known.index(_key(name)) if _key(name) in known else len(known) for name in names}
  return sorted(names, key=rank.get)


def baseline(row: Mapping[str, Any], name: str) -> str:
  """Returns the column that says what doing nothing scores in a measure, or ''."""
  if name.startswith(_NOTHING):
    return ''
  names = (_NOTHING + name, _NOTHING + name.removeprefix('transfer_'),
           name.replace('segmentation_', 'segmentation_source_'))
  names = [other for other in names if other != name]
  return next((other for other in names if other in row), '')


def label(name: str) -> str:
  """Returns a measure's name without the group of pictures, which may be long."""
  return re.sub(r'\[.*\]$', '', name)


def meaning(name: str) -> str:
  """Returns what a measure says, and of which pictures; '' if that is not known."""
  group = name[len(label(name)):][1:-1]
  only = f'Only over the pictures in the group {group}.' if group else ''
  if group and label(name).endswith('accuracy'):
    only = f'Of {group} alone.'
  return f'{only} {_MEANINGS.get(_key(name), "")}'.strip()


def better(name: str) -> int:
  """Returns 1 if higher values are better, -1 if lower ones are, 0 if that is not known."""
  words = re.split('[_@/]', name.partition('[')[0].lower())
  if words[0] in ('truth', 'a', 'b'):  # a limit of the data or of a judge, not a score of the run
    return 0
  return (any(word in _HIGHER for word in words) and 1) or -any(word in _LOWER for word in words)


def is_number(value: Any) -> bool:
  """Whether it is one; True and False are none."""
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _key(name: str) -> str:
  """Returns the name under which `_MEANINGS` explains a measure."""
  name = re.sub('^(truth_)?ba_', r'\1ab_', label(name))
  name = name if name in _MEANINGS else re.sub('^removal_', 'ab_', name)
  name = re.sub(r'^(segmentation_iou_)\d+$', r'\1', name)  # of whichever class
  return re.sub('@.*', '@' if name.partition('@')[0] + '@' in _MEANINGS else '', name)


def title(name: str) -> str:
  """Returns a measure's name in words, without the group of pictures."""
  return label(name).replace('_', ' ')
