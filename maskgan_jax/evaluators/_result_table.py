"""The results of evaluators as a few lines for the terminal."""

from collections.abc import Mapping
import re

_DIRECTIONS = {'ab': 'a to b', 'ba': 'b to a'}


def table(results: Mapping[str, float | str]) -> str:
  """The results in a few lines, beside what doing nothing would get; '' if there are none.

  Texts among the results, provenance, come last.
  """
  lines = []
  for task, nothing in (('transfer', 'do_nothing'), ('removal', 'do_nothing_removal')):
    for measure, title, digits in (('error_inside', 'error where it should change', 4),
                                   ('error_outside', 'error elsewhere', 4),
                                   ('psnr', 'PSNR (dB)', 2), ('ssim', 'SSIM', 4)):
      if f'{task}_{measure}' in results:
        cells = [f'{results[key]:.{digits}f}' if key in results else ''
                 for key in (f'{task}_{measure}', f'{nothing}_{measure}')]
        line = f'{task:<9} {title:<29} {cells[0]:>8} {cells[1]:>11}'
        if measure == 'error_inside' and f'{task}_error_ratio' in results:
          line += f'   ratio {results[f"{task}_error_ratio"]:.3f} (0 is perfect, 1 useless)'
        lines.append(line.rstrip())
  lines += _translation_lines(results)
  lines += [f'removal   {line}' for line in _judged_lines(results, 'removal')]
  if lines:
    lines.insert(0, f'{"":<39} {"model":>8} {"do nothing":>11}')
  for kind, whose in (('mask_iou', 'mask'), ('source_mask_iou', "source's mask")):
    for name, title in ((kind, f'at {results.get("mask_threshold", 0.5):g}'),
                        (f'{kind}@0.5', 'at 0.5')):
      if name in results:
        lines.append(f'{whose} IoU {title}: {results[name]:.3f} +- {results[f"{name}_std"]:.3f}')
  if 'mask_share' in results:
    line = f'the mask takes {100 * results["mask_share"]:.1f} % of the picture'
    if 'object_mask_share' in results:
      line += f', and {100 * results["object_mask_share"]:.1f} % of the true region'
    lines.append(line)
  if 'transfer_mask_iou' in results:
    lines.append(f'IoU of the transferred mask: {results["transfer_mask_iou"]:.3f}')
  for name, where in (('erased_error', ''), ('erased_error_inside', ' where it would show')):
    if name in results:
      lines.append(f'error with a region of the exemplar erased{where}: {results[name]:.4f} '
                   f'(before {results[f"{name}_before"]:.4f})')
  for direction, title in _DIRECTIONS.items():
    if (name := f'{direction}_neighbours_same') in results:
      lines.append(f'{title}: {100 * results[name]:.1f} % of nearest neighbours are of the same '
                   'set, real or translated (50 is best)')
  if 'segmentation_miou' in results:
    lines.append(f'mean IoU of the segmentation: {results["segmentation_miou"]:.3f} '
                 f'(untranslated {results["segmentation_source_miou"]:.3f})')
  if 'a_accuracy' in results and 'b_accuracy' in results:
    lines.append(f'the classifier is right about {100 * results["a_accuracy"]:.1f} % of the real '
                 f'pictures of a and {100 * results["b_accuracy"]:.1f} % of b')
  if lines and 'pairs' in results:
    lines.append(f'{results["pairs"]:.0f} pairs')
  if lines:
    lines += [f'{name.replace("_", " ")}: {value}' for name, value in results.items()
              if isinstance(value, str)]
  return '\n'.join(lines)


def _translation_lines(results: Mapping[str, float | str]) -> list[str]:
  """What the evaluators `similarity` and `changes` found, in the columns of `table`."""
  lines = []
  for direction, title in _DIRECTIONS.items():
    for measure, what, digits in (('ssim', 'SSIM to the truth', 4),
                                  ('psnr', 'PSNR to the truth (dB)', 2),
                                  ('exemplar_ssim', 'SSIM with the exemplar', 4),
                                  ('lpips', 'LPIPS to the truth', 4),
                                  ('lpips_diversity', 'LPIPS over exemplars', 4)):
      name = f'{direction}_{measure}'
      if name in results:
        line = f'{title:<9} {_with_deviation(results, name, what, digits)}'
        if f'truth_{name}' in results:
          line += f'; perfect {results[f"truth_{name}"]:.{digits}f}'
          line += f' +- {results[f"truth_{name}_std"]:.{digits}f}'
        lines.append(line.rstrip())
    found = (re.fullmatch(rf'{direction}_(?:exemplar_)?ssim\[(.*)\]', name) for name in results)
    for group in dict.fromkeys(match[1] for match in found if match):
      parts = [f'{before} {results[key]:.4f}' for before, key in (
          ('to the truth', f'{direction}_ssim[{group}]'),
          ('with the exemplar', f'{direction}_exemplar_ssim[{group}]'),
          ('perfect', f'truth_{direction}_exemplar_ssim[{group}]')) if key in results]
      lines.append(f'{title:<9} SSIM {"; ".join(parts)}: {group}')
    lines += [f'{title:<9} {line}' for line in _change_lines(results, direction)]
    lines += [f'{title:<9} {line}' for line in _distribution_lines(results, direction)]
    lines += [f'{title:<9} {line}' for line in _judged_lines(results, direction)]
  lines += [f'removal   {line}' for line in _distribution_lines(results, 'removal')]
  return lines


def _compared(results: Mapping[str, float | str], name: str, what: str, digits: int,
              scale: float = 1) -> str:
  """A measure beside what doing nothing gets, if that is known."""
  cells = [f'{scale * results[key]:.{digits}f}' if key in results else ''
           for key in (name, f'do_nothing_{name}')]
  return f'{what:<29} {cells[0]:>8} {cells[1]:>11}'


def _with_deviation(results: Mapping[str, float | str], name: str, what: str, digits: int) -> str:
  """The same, and its deviation."""
  line = _compared(results, name, what, digits)
  if f'{name}_std' in results:
    line += f'   +- {results[f"{name}_std"]:.{digits}f}'
  return line


def _change_lines(results: Mapping[str, float | str], direction: str) -> list[str]:
  """What the evaluator `changes` found in a direction, without its name."""
  lines = []
  for measure, what in (('error', 'error to the truth'),
                        ('error_inside', 'error where it should change'),
                        ('error_outside', 'error elsewhere')):
    name = f'{direction}_{measure}'
    if name in results:
      lines.append(_with_deviation(results, name, what, 4).rstrip())
  if (name := f'{direction}_changed_share') in results:
    line = f'{"changed pixels (%)":<29} {100 * results[name]:>8.2f} {0:>11.2f}'
    if f'truth_{name}' in results:
      line += f'   truly {100 * results[f"truth_{name}"]:.2f}'
    if (name := f'{direction}_changed_iou') in results:
      line += f', IoU {results[name]:.3f} +- {results[f"{name}_std"]:.3f}'
    lines.append(line)
  return lines


def _judged_lines(results: Mapping[str, float | str], task: str) -> list[str]:
  """What the evaluators `accuracy` and `identity` found in a task, without its name."""
  lines = []
  found = [name for name in results if re.fullmatch(rf'{task}_accuracy\[.*\]', name)]
  names = [f'{task}_accuracy', *(found if len(found) > 1 else ())]
  for name in (name for name in names if name in results):
    what = f'as it should be (%){": " * (name in found)}{name[len(names[0]) + 1:-1]}'
    line = _compared(results, name, what, 1, scale=100)
    if f'truth_{name}' in results:
      line += f'   perfect {100 * results[f"truth_{name}"]:.1f}'
    lines.append(line.rstrip())
  if (name := f'{task}_identity') in results:
    line = f'{"likeness of the embedding":<29} {results[name]:>8.4f} {1:>11.4f}'
    if f'truth_{name}' in results:
      line += f'   perfect {results[f"truth_{name}"]:.4f}'
    lines.append(line)
  return lines


def _distribution_lines(results: Mapping[str, float | str], direction: str) -> list[str]:
  """What the evaluator `distribution` found in a direction, without its name."""
  lines = []
  for measure, what, digits in (('fid', 'FID', 3), ('kid', 'KID', 5), ('is', 'inception score', 3),
                                ('frechet_distance', 'Frechet distance', 4),
                                ('kernel_distance', 'kernel distance', 5)):
    name = f'{direction}_{measure}'
    if name in results:
      lines.append(_with_deviation(results, name, what, digits).rstrip())
  if lines and (name := f'{direction}_translations') in results:
    lines.append(f'these of {results[name]:,.0f} translations and '
                 f'{results[f"{direction}_real_pictures"]:,.0f} real pictures')
  return lines
