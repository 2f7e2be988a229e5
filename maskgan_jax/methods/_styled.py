"""Inference of methods that make an image of a content and of a style of its domain."""

import jax
import jax.numpy as jnp

from maskgan_jax.methods import base
from maskgan_jax.networks import masks


class Styled(base.Method):
  """Translates into an exemplar's style, a drawn one, or one between two exemplars'.

  A subclass has `networks`, `remat` and

    content(domain, params, image)           what the domains share, without noise
    style(domain, params, image)             [B, S]
    decode(domain, params, content, style)   images of a domain
    codes(rng, count)                        styles from N(0, I), [count, S]
  """

  abilities = frozenset(
    {'exemplar', 'random_style', 'source_mask', 'interpolate', 'reverse'}
  )
  mask_meanings = {
    'source': 'Coloured: which pixels may change. The others stay as they are.',
  }

  def apply(self, name, params, *inputs, **options):
    """Returns a network's output."""
    network, variables = self.networks[name], {'params': params[name]}
    return base.apply(network, variables, *inputs, remat=self.remat, **options)

  def translate(
    self,
    params,
    model_state,
    source,
    exemplar=None,
    *,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
    reverse=False,
  ):
    """Returns x_ab of source and exemplar, or x_ba of a source of b and an exemplar of a.

    Without an exemplar all sources get one style, drawn from `rng`. A given source_mask says which
    pixels may change; the others are the source's own.
    """
    domains = 'ba' if reverse else 'ab'
    if exemplar is not None:
      style = self.style(domains[1], params, exemplar)
    else:
      # One draw for every image, so that none depends on where in a batch it stands.
      key = jax.random.key(0) if rng is None else rng
      style = jnp.repeat(self.codes(key, 1), len(source), axis=0)
    return self._translate(domains, params, source, style, source_mask)

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """Returns x_ab with (1 - weight) of exemplar_1's code + weight of exemplar_2's."""
    style_1 = self.style('b', params, exemplar_1)
    style_2 = self.style('b', params, exemplar_2)
    style = (1 - weight) * style_1 + weight * style_2
    return self._translate('ab', params, source, style)

  def _translate(self, domains, params, source, style, source_mask=None):
    """Returns the translation of a source from the first of `domains` to the second."""
    content = self.content(domains[0], params, source)
    image = self.decode(domains[1], params, content, style)
    if source_mask is not None:
      source_mask = jnp.broadcast_to(source_mask, (*source.shape[:3], 1))
      image = masks.composite(source_mask, image, source)
    return base.Translation(image, source_mask)
