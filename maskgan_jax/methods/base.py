"""The contract between a method and everything that trains, evaluates, serves or compiles it.

A method has players, who train in turn.

A file here with `get_default() -> ConfigDict` (its part of a config: `variant`, `model`,
`weights`, `optimizers`), `shrink(config)` (for `:smoke`), `make(config) -> Method` and `VARIANTS`
(its named switches; the method has those chosen as `switches`) is a whole method: training,
resuming, evaluation, translation and the tests find the rest through this contract.

Images inside a method are float32 [B, H, W, C] in [-1, 1], masks float32 [B, H, W, 1] in [0, 1].
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any, Protocol

from flax import linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
from ml_collections import config_dict

from maskgan_jax import errors

Params = dict[str, Any]  # parameter group -> pytree
ModelState = dict[str, Any]  # what changes without gradients: batch_stats, replay pools
Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]  # scalars
LossFn = Callable[[Params, ModelState, Batch, jax.Array],
                  tuple[jax.Array, tuple[Metrics, ModelState]]]


@dataclasses.dataclass(frozen=True)
class Player:
  """One of those who train in turn: the groups that it owns and the loss that it minimises.

  Attributes:
    name: e.g. 'generator'; names its optimizer in the config and its metrics.
    owns: the parameter groups that the player updates; no other group gets a gradient.
    loss: (params, model_state, batch, rng) -> (loss, (metrics, model_state)).
    every: the player plays at the steps for which step % every == phase.
    repeats: updates in a step that the player plays, each with a fresh batch.
    phase: see `every`.
    start: the first step at which the player may play, and where its learning rate's schedule
      begins; so stages of a training follow each other.
    end: the step before which the player stops, and where its schedule ends; 0 is the end of
      training.
  """
  name: str
  owns: tuple[str, ...]
  loss: LossFn
  every: int = 1
  repeats: int = 1
  phase: int = 0
  start: int = 0
  end: int = 0


@flax.struct.dataclass
class Translation:
  """What a translation is made of.

  Attributes:
    image: the source after the exemplar's example, or translated without, [B, H, W, 3] in [-1, 1].
    source_mask: where the source was changed, [B, H, W, 1] in [0, 1]; None if there is no such.
    exemplar_mask: what was taken from the exemplar, likewise.
    extras: anything else by name, e.g. 'raw', the image before composition. Sample grids and the
      translate command know 'feature_mask', [B, H, W, 1] in [0, 1], and 'added_mask', [B, H, W, 3]
      in [-1, 1]; grids also 'attention', [B, H, W, 1] in [0, 1].
  """
  image: Any
  source_mask: Any = None
  exemplar_mask: Any = None
  extras: dict[str, Any] = dataclasses.field(default_factory=dict)


class Method(Protocol):
  """A method, built from a config; all functions are pure and may be jitted.

  `abilities` says what `translate` and the optional functions offer: 'exemplar' (an exemplar
  guides), 'source_mask' and 'exemplar_mask' (masks may be given), 'remove' (`remove(params,
  model_state, image, *, mask=None, threshold)`), 'segment' (`segment(params, model_state, image)`,
  a soft mask), 'interpolate' (`interpolate(params, model_state, source, exemplar_1, exemplar_2,
  weight)`), 'reverse' (`translate(..., reverse=True)`: a picture of domain b after one of a).

  Attributes that a method may have: `mixes_examples`, true where a translation depends on the
  others of its batch, which is then not padded; `provenance`, name -> text, what has to stand
  beside every result, e.g. which perceptual network it was trained with; `pretrained()` -> group
  -> tree, parameters from elsewhere that take the place of fresh ones when a run begins.
  """
  players: tuple[Player, ...]
  abilities: frozenset[str]
  default_clip_norm: Mapping[str, float]  # player -> global gradient norm; 0 is off

  def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, ModelState]:
    """Fresh parameters and state for batches of this shape."""

  def translate(self, params: Params, model_state: ModelState, source: jax.Array,
                exemplar: jax.Array | None, *, source_mask: jax.Array | None = None,
                exemplar_mask: jax.Array | None = None,
                rng: jax.Array | None = None) -> Translation:
    """The source after the exemplar's example, which is None without the ability 'exemplar'; given
    masks take the place of the predicted ones, or limit them."""


def initializer(networks: Mapping[str, nn.Module], rng: jax.Array
                ) -> tuple[Callable[..., Any], tuple[Params, ModelState]]:
  """A function that initialises one network after another, and the variables that it fills.

  Returns:
    init(name, *inputs, **options) -> output, and (params, {'batch_stats': ...}) by name.
  """
  keys = dict(zip(networks, jax.random.split(rng, len(networks)), strict=True))
  params, stats = {}, {}

  def init(name, *inputs, **options):
    output, variables = networks[name].init_with_output(keys[name], *inputs, **options)
    params[name] = variables['params']
    if 'batch_stats' in variables:
      stats[name] = variables['batch_stats']
    return output
  return init, (params, {'batch_stats': stats})


def image_shape(config: ml_collections.ConfigDict) -> tuple[int, int]:
  """(height, width) of images in pixels."""
  return config.image_size, config.image_width or config.image_size


def require_square(config: ml_collections.ConfigDict) -> None:
  """UserError unless images are square."""
  height, width = image_shape(config)
  if height != width:
    raise errors.UserError(f'{config.method} takes square images only, but config.image_size is '
                           f'{height} and config.image_width {width}; set config.image_width to 0')


def abstract_model(method: Method, config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Shapes of what a checkpoint's `model` item holds."""
  image = jax.ShapeDtypeStruct((2, *image_shape(config), 3), jnp.float32)
  labels = jax.ShapeDtypeStruct((2, len(config.data.attributes)), jnp.float32)
  example = {'a': image, 'b': image, 'a_attributes': labels, 'b_attributes': labels}
  params, model_state = jax.eval_shape(method.init, jax.random.key(0), example)
  return {'params': params, 'model_state': model_state,
          'ema_params': params if config.ema_decay else {}}


def adam(learning_rate: float, b1: float = 0.9, b2: float = 0.999) -> dict[str, Any]:
  """An optimizer's part of a config: Adam, constant learning rate, clipping as the method says."""
  return dict(
      name='adam', learning_rate=learning_rate, b1=b1, b2=b2, eps=1e-8,
      clip_norm=config_dict.placeholder(float),  # global norm; 0 is off, None as the variant says
      schedule='constant',  # 'halve', 'halve_linearly', 'linear', 'polynomial': optimizers.py
      schedule_start=0,  # step until which the learning rate is constant
      schedule_every=0,  # 'halve', 'halve_linearly': steps between two halvings
      schedule_power=1.0,  # 'polynomial': lr * (1 - progress)**power
  )


def switches(config: ml_collections.ConfigDict, variants: Mapping[str, Mapping[str, Any]]
             ) -> ml_collections.FrozenConfigDict:
  """Values of a method's named switches: those set in `config.model`, else those of the variant.

  Args:
    config: with `variant` and `model`; a switch that is None there follows the variant.
    variants: name, such as 'paper' or 'official', to each switch's value.
  """
  if config.variant not in variants:
    raise errors.UserError(f'config.variant is {config.variant!r}'
                           f'{errors.nearest(str(config.variant), variants)}; '
                           f'choose one of {", ".join(sorted(variants))}')
  chosen = {name: default if config.model[name] is None else config.model[name]
            for name, default in variants[config.variant].items()}
  return ml_collections.FrozenConfigDict(chosen)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
  """`value` if it is among `choices`, else UserError."""
  if value not in choices:
    raise errors.UserError(f'config.{name} is {value!r}{errors.nearest(str(value), choices)}; '
                           f'choose one of {", ".join(choices)}')
  return value
