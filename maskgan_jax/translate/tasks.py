"""Which places of which sources are translated after which exemplars."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import os
from typing import Any

from maskgan_jax import errors
from maskgan_jax.translate import inputs
from maskgan_jax.translate.computing import Pair, Style
from maskgan_jax.translate.inputs import Edits, Picture
from maskgan_jax.translator import Translator


def load(
  translator: Translator,
  source_side: tuple[str, Edits],
  exemplar_side: tuple[Sequence[str], Edits],
  output: str,
  of_sources: Mapping[str, Any],
  *,
  styles: int,
  note: Callable[[str], None],
) -> tuple[list[list[Picture]], list[tuple[Picture | Style | None, ...]]]:
  """Returns the places of each source, and choices of exemplars or styles; (None,) is neither.

  A side is (path, edits), with several paths of exemplars; `of_sources` are options of
  `inputs.load` for the sources. A choice is an exemplar for all places of a source, or one for
  each.
  """
  (source, source_edits), (exemplars, exemplar_edits) = source_side, exemplar_side
  check_exemplar(translator, exemplars[0], exemplar_edits, styles)
  apart = [source, *exemplars, source_edits.mask, exemplar_edits.mask, output]
  load = functools.partial(inputs.load, translator, note=note, apart=apart)
  sources = load(source, source_edits, flag='source_mask', **of_sources)
  if not exemplars[0] and 'random_style' in translator.abilities:
    return inputs.by_file(sources), [(Style(seed),) for seed in range(styles)]
  if not exemplars[0]:
    return inputs.by_file(sources), [(None,)]
  sides = _sides_of_exemplars(exemplars, exemplar_edits)
  loaded = []
  for path, edits in sides:
    loaded += inputs.by_file(load(path, edits, flag='exemplar_mask'))
  for places in loaded:
    if len(places) > 1:
      raise errors.UserError(
        f'the exemplar {places[0].path} has {len(places)} faces in {exemplar_edits.points}; '
        'leave one row of it'
      )
  alone = [places[0] for places in loaded]
  choices = [tuple(alone)] if len(exemplars) > 1 else [(one,) for one in alone]
  return inputs.by_file(sources), choices


def _sides_of_exemplars(
  exemplars: Sequence[str], edits: Edits
) -> list[tuple[str, Edits]]:
  """Returns each path of exemplars with its edits: regions are one for all, or one for each."""
  folders = list(filter(os.path.isdir, exemplars))
  if folders and len(exemplars) > 1:
    raise errors.UserError(
      f'--exemplar={folders[0]} is a folder; several exemplars are pictures, one for each place'
    )
  if len(edits.regions) not in (0, 1, len(exemplars)):
    raise errors.UserError(
      f'--exemplar_region is given {len(edits.regions)} times for {len(exemplars)} --exemplar; '
      'give one, or one for each'
    )
  if len(edits.regions) < 2:
    return [(path, edits) for path in exemplars]
  sides = []
  for path, region in zip(exemplars, edits.regions, strict=True):
    sides.append((path, dataclasses.replace(edits, regions=(region,))))
  return sides


def check_places(sources: Sequence[Sequence[Picture]], size: str) -> None:
  """Raises UserError for several places of a picture without `--size=own`."""
  for places in sources:
    if len(places) > 1 and size != 'own':
      raise errors.UserError(
        f'{places[0].path} has {len(places)} places to change, which needs --size=own'
      )


def task(
  places: Sequence[Picture], choice: tuple[Picture | Style | None, ...]
) -> list[Pair]:
  """Returns the places of a source, each with its exemplar."""
  if len(choice) == 1:
    choice = choice * len(places)
  if len(choice) != len(places):
    raise errors.UserError(
      f'there are {len(choice)} --exemplar for {len(places)} places of {places[0].path}; give '
      'one, or one for each --region or row of --points'
    )
  return list(zip(places, choice, strict=True))


def check_exemplar(
  translator: Translator, exemplar: str, edits: Edits, styles: int = 1
) -> None:
  """Raises UserError unless there is an exemplar, or a random style, if the method takes one."""
  method, abilities = translator.config.method, translator.abilities
  if styles > 1 and 'random_style' not in abilities:
    raise errors.UserError(f'{method} draws no styles; leave out --styles')
  if exemplar and styles > 1:
    raise errors.UserError('an exemplar has a style already; leave out --styles')
  if exemplar and 'exemplar' in abilities:
    return
  can_do_without = 'random_style' in abilities or translator.labels
  if 'exemplar' in abilities and not can_do_without:
    labels = ' or --labels' if 'labels' in abilities else ''
    raise errors.UserError(f'{method} needs an exemplar; add --exemplar{labels}')
  if translator.method.needs_labels and not translator.labels:
    raise errors.UserError(f'{method} needs labels; add --labels=NAME=1,...')
  for flag, value in (
    ('exemplar', exemplar),
    ('exemplar_mask', edits.mask),
    ('erase_exemplar', edits.erase),
    ('exemplar_region', edits.regions),
  ):
    if value and 'exemplar' in abilities:
      raise errors.UserError(f'--{flag} needs an exemplar; add --exemplar')
    if value:
      raise errors.UserError(f'{method} takes no exemplar; leave out --{flag}')
