"""AdaIN, WCT and Gatys et al. against PyTorch in float64, written from the lists of layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers import comparing_style as comparing
from helpers.comparing import close
from helpers.comparing_style import BATCH, from_torch, images, to_torch

torch = pytest.importorskip('torch')

LAYERS = ('relu1_1', 'relu2_1', 'relu3_1', 'relu4_1')


def moments(x):
  mean = x.mean((2, 3))
  return mean, ((x - mean[:, :, None, None]) ** 2).mean((2, 3))


def adain(content, style):
  (mean, variance), (other, wanted) = moments(content), moments(style)
  factor = torch.sqrt((wanted + 1e-5) / (variance + 1e-5))
  return (content - mean[:, :, None, None]) * factor[:, :, None, None] + other[:, :, None, None]


def adain_losses(encoder, decoder, content, style, norms):
  """Returns content and style loss: the mean square and sums over channels, or Euclidean norms."""
  maps = comparing.encode(encoder, style, last='relu4_1')
  target = adain(comparing.encode(encoder, content, last='relu4_1')['relu4_1'], maps['relu4_1'])
  painted = comparing.encode(encoder, comparing.decode(decoder, target, 4), last='relu4_1')

  def distance(x):
    squares = (x ** 2).flatten(1).sum(1)
    return (squares.sqrt() if norms else squares).mean()
  difference = painted['relu4_1'] - target
  content_loss = distance(difference) if norms else (difference ** 2).mean()
  style_loss = 0
  for name in LAYERS:
    (mean, variance), (other, wanted) = moments(painted[name]), moments(maps[name])
    deviations = torch.sqrt(variance + 1e-6) - torch.sqrt(wanted + 1e-6)
    style_loss = style_loss + distance(mean - other) + distance(deviations)
  return content_loss, style_loss


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['official', 'paper'])
def test_adains_losses_and_gradients(variant):
  method, params = comparing.make('adain', variant, {'content': 0.9, 'style': 0.7},
                                  both_ways=variant == 'paper')
  (player,) = method.players
  batch = {'a': images(1), 'b': images(2)}
  encoder, decoder = comparing.weights(params['perceptual']), comparing.weights(params['decoder'])
  a, b = to_torch(batch['a']), to_torch(batch['b'])
  content, style = (torch.cat([a, b]), torch.cat([b, a])) if variant == 'paper' else (a, b)
  theirs = adain_losses(encoder, decoder, content, style, norms=variant == 'paper')

  def loss(decoder):
    return player.loss({**params, 'decoder': decoder}, {}, batch, jax.random.key(0))
  (total, (metrics, _)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(
      params['decoder'])
  for name, value in zip(('content', 'style'), theirs, strict=True):
    assert float(metrics[name]) == pytest.approx(value.item(), rel=1e-4), name
  expected = 0.9 * theirs[0] + 0.7 * theirs[1]
  expected.backward()
  assert float(total) == pytest.approx(expected.item(), rel=1e-4)
  comparing.assert_same_gradients(gradients, decoder)


@pytest.mark.slow
def test_adains_translation_and_trade_off():
  method, params = comparing.make('adain', alpha=0.3)
  encoder, decoder = comparing.weights(params['perceptual']), comparing.weights(params['decoder'])
  source, exemplar = images(1), images(2)
  code, style = (comparing.encode(encoder, to_torch(x), last='relu4_1')['relu4_1']
                 for x in (source, exemplar))
  mixed = 0.3 * adain(code, style) + 0.7 * code
  expected = from_torch(comparing.decode(decoder, mixed, 4)).clip(-1, 1)
  ours = jax.jit(method.translate)(params, {}, source, exemplar).image
  close(ours, expected, rtol=1e-3)

  # The source as the first exemplar gives the same trade-off.
  method, _ = comparing.make('adain')
  close(jax.jit(method.interpolate)(params, {}, source, source, exemplar, 0.3).image, expected,
        rtol=1e-3)


def whitened_and_coloured(content, style):
  """Returns one picture's features [C, h, w] with the style's mean and covariance, in float64."""
  def parts(x):
    flat = x.reshape(len(x), -1)
    mean = flat.mean(1, keepdims=True)
    centred = flat - mean
    values, vectors = np.linalg.eigh(centred @ centred.T / (flat.shape[1] - 1))
    kept = values > 1e-5
    return centred, mean, values[kept], vectors[:, kept]
  centred, _, values, vectors = parts(content)
  _, mean, wanted, directions = parts(style)
  white = vectors @ np.diag(values ** -0.5) @ vectors.T @ centred
  coloured = directions @ np.diag(wanted ** 0.5) @ directions.T @ white + mean
  return coloured.reshape(content.shape)


@pytest.mark.slow
def test_wcts_losses_gradients_and_translation():
  weights = {'pixel': 0.8, 'feature': 0.6}
  method, params = comparing.make('wct', weights=weights, levels=2, alpha=0.6)
  (player,) = method.players
  batch = {'a': images(1), 'b': images(2)}
  tensors = {name: comparing.weights(tree) for name, tree in params.items()}
  a, total = to_torch(batch['a']), 0
  terms = {}
  for level in (1, 2):
    name = f'relu{level}_1'
    code = comparing.encode(tensors['perceptual'], a, last='relu2_1')[name]
    painted = comparing.decode(tensors[f'decoder_{level}'], code, level)
    again = comparing.encode(tensors['perceptual'], painted, last='relu2_1')[name]
    terms[f'pixel_{level}'] = ((painted - a) ** 2).mean() / 4
    terms[f'feature_{level}'] = ((again - code) ** 2).mean()
    total = total + 0.8 * terms[f'pixel_{level}'] + 0.6 * terms[f'feature_{level}']
  owned = {group: params[group] for group in player.owns}

  def loss(owned):
    return player.loss({**params, **owned}, {}, batch, jax.random.key(0))
  (ours, (metrics, _)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(owned)
  assert metrics.keys() == terms.keys()
  for name, term in terms.items():
    assert float(metrics[name]) == pytest.approx(term.item(), rel=1e-4), name
  assert float(ours) == pytest.approx(total.item(), rel=1e-4)
  total.backward()
  comparing.assert_same_gradients(gradients, {group: tensors[group] for group in owned})

  # From the deepest level to the first, each on the last one's picture.
  source, exemplar = images(3), images(4)
  image, style = to_torch(source), comparing.encode(
      tensors['perceptual'], to_torch(exemplar), last='relu2_1')
  for level in (2, 1):
    name = f'relu{level}_1'
    code = comparing.encode(tensors['perceptual'], image, last='relu2_1')[name].detach()
    target = np.stack([whitened_and_coloured(code[i].numpy(), style[name][i].detach().numpy())
                       for i in range(BATCH)])
    mixed = 0.6 * torch.tensor(target) + 0.4 * code
    image = comparing.decode(tensors[f'decoder_{level}'], mixed, level)
  ours = jax.jit(method.translate)(params, {}, source, exemplar).image
  close(ours, from_torch(image).clip(-1, 1), rtol=5e-3)


def gram(x):
  flat = x.flatten(2)
  return flat @ flat.transpose(1, 2) / flat.shape[2]


def gatys_loss(network, picture, content, grams, variant):
  maps = comparing.encode(network, picture, padding='constant',
                          pooling='average' if variant == 'paper' else 'max')
  squares = (maps['relu4_2'] - content) ** 2
  total = 0.5e-3 * squares.sum() if variant == 'paper' else squares.mean()
  for name, target in grams.items():
    channels = target.shape[1]
    layer = (gram(maps[name]) - target) ** 2
    # Eqs. 4 and 5 have products that are not divided by the pixels M: Gram matrices M times larger.
    if variant == 'paper':
      pixels = maps[name][0, 0].numel()
      total = total + (pixels ** 2 * layer).sum() / (4 * channels ** 2 * pixels ** 2) / 5
    else:
      total = total + 1e3 / channels ** 2 * layer.mean()
  return total


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['official', 'paper'])
def test_gatys_loss_and_gradient(variant):
  method, params = comparing.make('gatys', variant)
  network = comparing.weights(params['perceptual'])
  source, exemplar, picture = images(1, 1), images(2, 1), images(3, 1)

  def maps(x):
    return comparing.encode(network, to_torch(x), padding='constant',
                            pooling='average' if variant == 'paper' else 'max')
  content = maps(source)['relu4_2'].detach()
  grams = {name: gram(maps(exemplar)[name]).detach() for name in method.style_layers}
  leaf = to_torch(picture).requires_grad_()
  expected = gatys_loss(network, leaf, content, grams, variant)
  expected.backward()

  def loss(picture):
    style = method.style_of(params, exemplar, None)
    content = method.features(params, source)['relu4_2']
    return method.objective(params, picture, content, style)[0]
  value, gradient = jax.jit(jax.value_and_grad(loss))(picture)
  assert float(value) == pytest.approx(expected.item(), rel=1e-4)
  close(gradient, from_torch(leaf.grad), rtol=2e-3)


@pytest.mark.slow
def test_gatys_steps_of_adam_are_pytorchs():
  method, params = comparing.make('gatys', optimizer='adam', steps=4, rate=5.0)
  network = comparing.weights(params['perceptual'])
  source, exemplar = images(1), images(2)
  ours = jax.jit(method.translate)(params, {}, source, exemplar).image
  losses = []
  for i in range(BATCH):
    def maps(x, i=i):
      return comparing.encode(network, to_torch(x[i:i + 1]), padding='constant')
    content = maps(source)['relu4_2'].detach()
    grams = {name: gram(maps(exemplar)[name]).detach() for name in method.style_layers}
    levels = (127.5 * (to_torch(source[i:i + 1]) + 1)).requires_grad_()
    optimizer = torch.optim.Adam([levels], lr=5.0)
    best, history = None, []
    for _ in range(5):
      optimizer.zero_grad()
      loss = gatys_loss(network, levels / 127.5 - 1, content, grams, 'official')
      history.append(loss.item())
      if history[-1] == min(history):
        best = levels.detach().clone()
      loss.backward()
      optimizer.step()
    losses.append(history)
    np.testing.assert_allclose(ours[i], from_torch(best / 127.5 - 1)[0].clip(-1, 1), atol=5e-3)
  assert all(min(history) < 0.9 * history[0] for history in losses), losses


def test_lbfgs_steps_are_pytorchs():
  """A quadratic with curvatures from 1 to 30 and a quartic term; history shorter than the steps."""
  from maskgan_jax.methods import _lbfgs
  scales = np.linspace(1, 30, 12)

  def loss(x, square):
    return (scales * square(x - 1)).sum() + square(square(x)).sum() / 40
  start = np.random.default_rng(0).normal(size=12)
  with jax.enable_x64(True):
    optimizer = _lbfgs.scale_by_lbfgs(5)
    point = jnp.asarray(start)
    state, ours = optimizer.init(point), []
    gradient_of, update = jax.jit(jax.grad(lambda x: loss(x, jnp.square))), jax.jit(
        optimizer.update)
    for _ in range(12):
      direction, state = update(gradient_of(point), state, point)
      point = point - direction
      ours.append(np.asarray(point))

  leaf = torch.tensor(start, requires_grad=True)
  scales = torch.tensor(scales)
  theirs = torch.optim.LBFGS([leaf], max_iter=1, history_size=5, tolerance_change=0,
                             tolerance_grad=0)

  def closure():
    theirs.zero_grad()
    value = loss(leaf, torch.square)
    value.backward()
    return value
  # PyTorch's first step has the length 1 in the sum of absolute values, ours the Euclidean one.
  closure()
  gradient = leaf.grad
  first = (1 / gradient.norm()) / min(1.0, 1 / gradient.abs().sum())
  for number, expected in enumerate(ours):
    theirs.param_groups[0]['lr'] = first.item() if number == 0 else 1.0
    theirs.step(closure)
    np.testing.assert_allclose(leaf.detach().numpy(), expected, rtol=1e-6)
  assert np.abs(ours[-1] - ours[0]).max() > 0.1
