"""How a method learns from masks that come with some of the pictures (`config.data.masks_share`).

A mask says where a picture may change: where it shows what is transferred, or where this is to be
put. A method that learns from masks has WEIGHTS among its `weights`, says so with
`learns_from_masks`, and adds `losses` of each domain to its own. Both are off by default, and then
nothing of them is in its program.
"""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax import errors
from maskgan_jax.fields import at_least, field
from maskgan_jax.losses import mask_supervision
from maskgan_jax.methods import base
from maskgan_jax.networks import replicas

WEIGHTS = dict(
  mask_agreement=field(0.0, at_least(0)),  # of mask_supervision.agreement
  outside=field(0.0, at_least(0)),  # of mask_supervision.outside
)


def is_on(weights: Mapping[str, float]) -> bool:
  """Returns whether either loss has a weight."""
  return weights['mask_agreement'] > 0 or weights['outside'] > 0


def losses(
  weights: Mapping[str, float],
  batch: base.Batch,
  domain: str,
  image: jax.Array,
  mask: jax.Array | None,
) -> dict[str, jax.Array]:
  """Returns the losses that have a weight, by its name, of the pictures of a domain.

  Args:
    weights: `config.weights`.
    batch: with `a_mask` and `a_mask_given`, or b's.
    domain: 'a' or 'b'.
    image: what has become of the domain's pictures, [B, H, W, 3] in [-1, 1].
    mask: predicted, [B, H, W, 1] in [0, 1]; None where there is none to agree.
  """
  if not is_on(weights):
    return {}
  truth, weight = batch[f'{domain}_mask'], _weight(batch[f'{domain}_mask_given'])
  terms = {}
  if weights['mask_agreement'] and mask is not None:
    terms['mask_agreement'] = mask_supervision.agreement(mask, truth, weight)
  if weights['outside']:
    terms['outside'] = mask_supervision.outside(image, batch[domain], truth, weight)
  return terms


def summed(terms: Iterable[Mapping[str, jax.Array]]) -> dict[str, jax.Array]:
  """Returns the sums of losses of the same names, such as those of both domains."""
  total = {}
  for of_domain in terms:
    for name, value in of_domain.items():
      total[name] = total.get(name, 0.0) + value
  return total


def check(config: ml_collections.ConfigDict, method: base.Method) -> None:
  """Raises UserError where masks are given and nothing learns from them, or the reverse."""
  share = config.data.masks_share
  if not method.learns_from_masks:
    if share:
      raise errors.UserError(
        f'config.data.masks_share is {share:g}, but {config.method} does not learn from masks; '
        'set it to 0'
      )
    return
  if share and not is_on(config.weights):
    raise errors.UserError(
      f'config.data.masks_share is {share:g}, but nothing learns from masks: set '
      'config.weights.mask_agreement or config.weights.outside'
    )
  if is_on(config.weights) and not share:
    raise errors.UserError(
      'config.weights.mask_agreement and config.weights.outside need masks: set '
      'config.data.masks_share, the share of the pictures whose masks training sees'
    )


def _weight(given: jax.Array) -> jax.Array:
  """Returns [B] weights with a mean of 1 over the whole batch; all 0 where no mask is given."""
  share = replicas.mean(given.mean())
  return given / jnp.where(share > 0, share, 1)
