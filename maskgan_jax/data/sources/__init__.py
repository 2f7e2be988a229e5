"""Where records come from: each source in a file, and the one door to them all."""

from maskgan_jax import errors
from maskgan_jax.data import splits
from maskgan_jax.data.domains import domains_of
from maskgan_jax.data.records import Listing, Records, Source, SPLITS, Subset

SOURCES = ('avatars', 'circle_square', 'colored_digits', 'folder', 'celeba', 'csv', 'tfds')
_DRAWN = ('avatars', 'circle_square', 'colored_digits')  # with splits of their own


def open_source(config_data, *, image_size: int) -> Source:
  """Opens what `config_data` names; UserError if it is not there or does not make sense."""
  source = config_data.source
  if source not in SOURCES:
    raise errors.UserError(f'config.data.source={source!r} must be one of {", ".join(SOURCES)}'
                           f'{errors.nearest(source, SOURCES)}')
  if config_data.aligned:
    splits.check_aligned(config_data)
  if source in _DRAWN and not config_data.own_test:
    raise errors.UserError('config.data.own_test=False leaves out the test pictures of a source, '
                           f'but {source!r} draws its own; set it to True')
  if source == 'avatars':
    from maskgan_jax.data.drawn import avatars
    size = config_data.load_size or image_size  # faces can be drawn in any size
    records = {split: avatars.AvatarRecords(config_data, split, size) for split in SPLITS}
    domains = domains_of(config_data, records['train'].attribute_names)
    return Source(records, domains, dict.fromkeys(SPLITS, 'drawn'))
  if source == 'colored_digits':
    from maskgan_jax.data.drawn import colored_digits
    return colored_digits.open_splits(config_data)
  if source == 'circle_square':
    from maskgan_jax.data.drawn import circle_square
    return circle_square.open_splits(config_data, config_data.load_size or image_size)
  listing = _open_listing(config_data)
  domains = domains_of(config_data, listing.records.attribute_names)
  parts, divided = splits.divide(listing, config_data, domains)
  records = {split: Subset(listing.records, part) for split, part in parts.items()}
  return Source(records, domains, divided, listing.remark, listing.unused)


def open_records(config_data, split: str, *, image_size: int) -> Records:
  """Opens one split; `open_source` reads the source's listing once for all three."""
  if split not in SPLITS:
    raise errors.UserError(f'split={split!r} must be one of {", ".join(SPLITS)}')
  return open_source(config_data, image_size=image_size).records[split]


def _open_listing(config_data) -> Listing:
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
