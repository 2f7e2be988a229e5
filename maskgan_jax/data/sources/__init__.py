"""Where records come from: each source in a file, and the one door to them all."""

import ml_collections

from maskgan_jax import errors, fields
from maskgan_jax.data import default_config, splits
from maskgan_jax.data.domains import domains_of
from maskgan_jax.data.records import Listing, Source, SPLITS, Subset

_DRAWN = ('avatars', 'circle_square', 'colored_digits')  # with splits of their own


def open_source(config_data: ml_collections.ConfigDict, *, image_size: int) -> Source:
  """Opens what `config_data` names; UserError if it is not there or does not make sense."""
  # Drawn sets have their domains and splits from the start.
  fields.check(config_data, default_config.FIELDS, 'config.data.')
  if config_data.aligned:
    splits.check_aligned(config_data)
  if config_data.difficulty and config_data.source != 'avatars':
    raise errors.UserError(
      'config.data.difficulty is for drawn avatars; '
      f'leave it empty for {config_data.source!r}'
    )
  if config_data.source in _DRAWN:
    return _open_drawn(config_data, config_data.load_size or image_size)

  # Others are listed first, and then divided by the rules of the config.
  listing = _open_listing(config_data)
  domains = domains_of(config_data, listing.records.attribute_names)
  indices, divided = splits.divide(listing, config_data, domains)
  records = {split: Subset(listing.records, indices[split]) for split in SPLITS}
  return Source(records, domains, divided, listing.remark, listing.unused)


def _open_drawn(config_data: ml_collections.ConfigDict, size: int) -> Source:
  """Opens pictures that are drawn here, in any size."""
  if not config_data.own_test:
    raise errors.UserError(
      'config.data.own_test=False leaves out the test pictures of a source, '
      f'but {config_data.source!r} draws its own; set it to True'
    )
  # TFDS takes seconds to import.
  if config_data.source == 'avatars':
    from maskgan_jax.data.drawn import avatars

    return avatars.open_splits(config_data, size)
  if config_data.source == 'colored_digits':
    from maskgan_jax.data.drawn import colored_digits

    return colored_digits.open_splits(config_data)
  from maskgan_jax.data.drawn import circle_square

  return circle_square.open_splits(config_data, size)


def _open_listing(config_data: ml_collections.ConfigDict) -> Listing:
  """Opens pictures that lie somewhere, before they are divided into splits."""
  if config_data.source == 'folder':
    from maskgan_jax.data.sources import folder as folder_source

    return folder_source.open_folder(config_data)
  if config_data.source == 'celeba':
    from maskgan_jax.data.sources import celeba as celeba_source

    return celeba_source.open_celeba(config_data)
  if config_data.source == 'csv':
    from maskgan_jax.data.sources import table as table_source

    return table_source.open_csv(config_data)
  from maskgan_jax.data.sources import tfds as tfds_source

  return tfds_source.open_tfds(config_data)
