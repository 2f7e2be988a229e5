"""StarGAN against a PyTorch twin of its networks and losses, and the import of its checkpoints."""

import functools

import jax
import numpy as np
import pytest

from helpers import comparing_stargan as comparing
from helpers import twins
from maskgan_jax import errors
from maskgan_jax.import_weights import stargan as converter

torch = pytest.importorskip('torch')
pytestmark = pytest.mark.usefixtures('one_thread')
KEY = 3


@pytest.mark.parametrize('outputs', [3, 4])
def test_translations_and_labels_equal_the_twins(outputs):
  _, method, params = comparing.small(outputs)
  generator, critic = comparing.make_twin(outputs)
  source, labels = comparing.images(5), np.eye(3, dtype='f4')[:2]
  with torch.no_grad():
    expected = generator(comparing.to_torch(source).double(), torch.tensor(labels).double())
    read = torch.sigmoid(critic(comparing.to_torch(source).double())[1])
  result = jax.jit(method.translate)(params, {}, source, None, labels=labels)
  assert expected.std() > 0.1
  np.testing.assert_allclose(result.image, comparing.from_torch(expected).clip(-1, 1), atol=2e-5)
  np.testing.assert_allclose(method.read_labels(params, {}, source), read, atol=1e-5)


@functools.cache
def compiled(outputs, player):
  """Returns `twins.compiled` of a player's loss."""
  _, method, params = comparing.small(outputs)
  loss_of = {p.name: p.loss for p in method.players}[player]
  batch, key = comparing.batch_of(), jax.random.key(KEY)
  return twins.compiled(lambda params: loss_of(params, {}, batch, key), params)


@pytest.mark.slow
@pytest.mark.parametrize('player', ['critic', 'generator'])
@pytest.mark.parametrize('outputs', [3, 4])
def test_losses_and_gradients_equal_the_twins(outputs, player):
  """Compares every term, so that none hides behind a larger one."""
  config, _, _ = comparing.small(outputs)
  generator, critic = comparing.make_twin(outputs)
  of_penalty = jax.random.split(jax.random.key(KEY))[1]
  alpha = jax.random.uniform(of_penalty, (2 * comparing.BATCH, 1, 1, 1))
  terms = comparing.losses(generator, critic, comparing.batch_of(),
                           torch.tensor(np.asarray(alpha)).double())[player == 'generator']
  network = critic if player == 'critic' else generator
  play, names = compiled(outputs, player)
  assert {name for name in names if not name.startswith('mask')} - {'accuracy'} == set(terms)
  for name, term in terms.items():
    values, gradients = play({other: np.float32(other == name) for other in names})
    assert float(values[name]) == pytest.approx(term.item(), rel=2e-5), name
    ours = comparing.state_dicts(config, gradients)[player == 'critic']
    parameters = dict(network.named_parameters())
    theirs = torch.autograd.grad(term, parameters.values(), retain_graph=True, allow_unused=True)
    largest = max(float(g.abs().max()) for g in theirs if g is not None)
    for (key, _), expected in zip(parameters.items(), theirs, strict=True):
      if expected is None:
        assert not ours[key].any(), (name, key)
      else:
        atol = 1e-4 * float(expected.abs().max()) + 1e-5 * largest
        np.testing.assert_allclose(ours[key], expected, rtol=0, atol=atol, err_msg=f'{name} {key}')


def states(outputs):
  config, _, params = comparing.small(outputs)
  return [{name: value.numpy() for name, value in state.items()}
          for state in comparing.state_dicts(config, params)]


@pytest.mark.parametrize('outputs', [3, 4])
def test_the_authors_files_are_imported(outputs):
  generator, critic = states(outputs)
  for i in (1, 4):  # running statistics, which are never used
    generator[f'main.{i}.running_mean'] = np.zeros(3, np.float32)
  converted = converter.convert(['x/200000-G.ckpt', 'x/200000-D.ckpt'], [generator, critic])
  config, _, params = comparing.small(outputs)
  assert converted.step == 200_000 and converted.config.image_size == comparing.SIZE
  for key in ('width', 'blocks', 'critic_width', 'critic_depth', 'outputs'):
    assert converted.config.model[key] == config.model[key]
  assert converted.config.data.attributes == ('label_0', 'label_1', 'label_2') and converted.notes
  jax.tree.map(np.testing.assert_array_equal, converted.model['params'],
               jax.tree.map(np.asarray, params))


@pytest.mark.parametrize('harm, message', [
    (lambda g, c: g.pop('main.3.weight'), 'has no main.3.weight'),
    (lambda g, c: g.update(extra=np.zeros(1, 'f4')), 'extra: nothing of that name'),
    (lambda g, c: c.update({'conv2.weight': c['conv2.weight'][:1]}), 'has 1 labels, and .* 3'),
    (lambda g, c: (g.clear(), g.update(c)), 'main.0|has no')])
def test_files_that_are_not_theirs_are_one_line(harm, message):
  generator, critic = states(3)
  harm(generator, critic)
  with pytest.raises(errors.UserError, match=message) as caught:
    converter.convert(['G.ckpt', 'D.ckpt'], [generator, critic])
  assert '\n' not in str(caught.value)
