"""AGGAN against a PyTorch twin of its networks and of its losses in both stages."""

import functools

import jax
import numpy as np
import pytest

from helpers import comparing_aggan as comparing
from helpers import twins

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')
KEY = 3


@pytest.mark.parametrize('case', comparing.CASES)
def test_translations_and_masks_equal_the_twins(case):
  config, method, params = comparing.small(case)
  twin = comparing.Twin(case)
  source, exemplar = comparing.images(1), comparing.images(2)
  translate = jax.jit(method.translate, static_argnames='reverse')
  for domain in 'ab':
    with torch.no_grad():
      image, mask = twin.translate(domain, *(comparing.to_torch(x).double() for x in (
          source, exemplar)))
    given = exemplar if config.model.exemplar else None
    result = translate(params, {}, source, given, reverse=domain == 'b')
    assert image.std() > 0.1 and mask.std() > 0.01
    np.testing.assert_allclose(result.image, comparing.from_torch(image), atol=2e-5)
    np.testing.assert_allclose(result.source_mask, comparing.from_torch(mask), atol=2e-5)
  np.testing.assert_allclose(method.segment(params, {}, source), comparing.from_torch(mask),
                             atol=2e-5)


@functools.cache
def compiled(case, player):
  """Returns `twins.compiled` of a player's loss, with empty pools."""
  _, method, params = comparing.small(case)
  loss_of = {p.name: p.loss for p in method.players}[player]
  batch, key = comparing.batch_of(), jax.random.key(KEY)
  _, pools = method.init(key, batch)
  return twins.compiled(lambda params: loss_of(params, pools, batch, key), params)


@pytest.mark.slow
@pytest.mark.parametrize('case, late', [('official', False), ('exemplar', True)])
@pytest.mark.parametrize('player', ['discriminator', 'generator'])
def test_losses_and_gradients_equal_the_twins(case, player, late):
  twin = comparing.Twin(case)
  terms = twin.losses(comparing.batch_of(), late)[player == 'generator']
  name_of_player = f'{player}_late' if late else player
  _, method, _ = comparing.small(case)
  owned = {p.name: p.owns for p in method.players}[name_of_player]
  assert ('attention_a' in owned) == (player == 'generator' and not late)
  play, names = compiled(case, name_of_player)
  assert {name for name in names if not name.startswith('mask')} == set(terms)
  for name, term in terms.items():
    values, gradients = play({other: np.float32(other == name) for other in names})
    assert float(values[name]) == pytest.approx(term.item(), rel=2e-5), name
    for group in owned:
      leaves, structure = jax.tree.flatten(twin.params[group])
      theirs = torch.autograd.grad(term, leaves, retain_graph=True, allow_unused=True)
      theirs = [np.zeros(leaf.shape) if g is None else g.numpy()
                for leaf, g in zip(leaves, theirs, strict=True)]
      largest = max(np.abs(g).max() for g in theirs)
      expected = jax.tree.unflatten(structure, theirs)

      def check(ours, expected, name=name, group=group, largest=largest):
        atol = 1e-4 * np.abs(expected).max() + 1e-5 * largest + 1e-12
        np.testing.assert_allclose(ours, expected, rtol=0, atol=atol, err_msg=f'{name} {group}')
      jax.tree.map(check, gradients[group], expected)
