"""What an iteration of LOMIT costs, by the compiler's count of floating-point operations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax import config as run_config
from maskgan_jax import methods
from maskgan_jax.networks import cpu_kernels, streams
from maskgan_jax.training import train_step

SIZE, BATCH = 32, 2


def make_config():
  config = run_config.default('lomit')
  run_config.smoke(config)
  config.update(image_size=SIZE, batch_size=BATCH)
  config.model.update(width=8, mask_depth=2, critic_width=8, critic_depth=3)
  return config


def flops(function, *arguments):
  """Returns the operations with plain convolutions, which also compile in a third of the time."""
  with cpu_kernels.portable():
    lowered = jax.jit(function).lower(*arguments)
  return lowered.compile().cost_analysis()['flops']


def step_flops(*players):
  """Returns the operations of a step in which these players play."""
  config = make_config()
  method = methods.make(config)
  method.players = tuple(dataclasses.replace(p, every=1) for p in method.players
                         if p.name in players)
  optimizers = train_step.make_optimizers(method, config)
  state = jax.eval_shape(lambda: train_step.init_state(method, optimizers, config))
  step = train_step.make_step(method, optimizers, config)
  images = jax.ShapeDtypeStruct((BATCH, SIZE, SIZE, 3), np.uint8)
  return flops(step, state, {'a': images, 'b': images}, 0)


@pytest.mark.slow
def test_nothing_is_computed_twice_and_the_critic_does_not_differentiate_the_generator():
  """Bounds a step by its parts: a backward pass costs at most twice its forward pass.

  Both steps begin with the exchange. The critic's step needs it forward only, and the critic on 4 B
  images forward and backward; the penalty, on 2 B images, takes a backward pass to the images and
  differentiates both, at most 3 times as much. The generator's step needs the exchange and the
  second stage forward and backward, and the critic on 2 B images. A tenth more is allowed for
  normalisers, losses and optimizers.
  """
  method = methods.make(make_config())
  batch = {name: jnp.zeros((BATCH, SIZE, SIZE, 3)) for name in 'ab'}
  params, state = method.init(jax.random.key(0), batch)

  def exchange(params, state, batch):
    parts, _ = method._model.exchange(params, state['batch_stats'], batch, ('a', 'b'))
    return streams.interleave(parts.image.ab, parts.image.ba)

  def everything(params, state, batch):  # the generator's step forward
    return method.generator_loss(params, state, batch, None)[0]

  def critic(params, images):
    return method.networks['critic'].apply({'params': params['critic']}, images)

  shared = flops(exchange, params, state, batch)
  forward = flops(everything, params, state, batch)
  one_image = flops(critic, params, batch['a'][:1])
  critic_step, generator_step, both = (step_flops(*players) for players in (
      ('critic',), ('generator',), ('critic', 'generator')))
  adam = 30 * sum(p.size for p in jax.tree.leaves(params))
  assert critic_step < 1.1 * (shared + BATCH * one_image * (4 * 3 + 2 * 3 * 3)) + adam
  assert generator_step < 1.1 * 3 * forward + adam
  assert both < critic_step + generator_step - 0.95 * shared
