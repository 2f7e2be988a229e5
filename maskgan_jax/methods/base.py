"""The contract between a method and everything that trains, evaluates, serves or compiles it.

A method has players, who train in turn. One file of this folder is a whole method. It has

  get_default() -> ConfigDict    the method's part of a config: `variant`, `model`, `weights`,
                                 `optimizers`
  shrink(config)                 makes the networks small, for `:smoke`
  make(config) -> Method         builds the method
  VARIANTS                       named switches; the method keeps the chosen values as `switches`

Training, resuming, evaluation, translation, the page and the tests know a method through this
contract only.

Images inside a method are float32 [B, H, W, C] in [-1, 1], masks float32 [B, H, W, 1] in [0, 1].
"""

from collections.abc import Callable, Mapping
import dataclasses
import types
from typing import Any, NamedTuple

from flax import linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
from ml_collections import config_dict

from maskgan_jax import errors, fields

Params = dict[str, Any]  # parameter group -> pytree
ModelState = dict[str, Any]  # what changes without gradients: batch_stats, replay pools
Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]  # scalars
LossFn = Callable[
  [Params, ModelState, Batch, jax.Array], tuple[jax.Array, tuple[Metrics, ModelState]]
]


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
    project: maps the groups that the player owns, after each update, to the nearest that a
      constraint allows, e.g. numbers into [0, 1]; None leaves them as the optimizer made them.
  """

  name: str
  owns: tuple[str, ...]
  loss: LossFn
  every: int = 1
  repeats: int = 1
  phase: int = 0
  start: int = 0
  end: int = 0
  project: Callable[[Params], Params] | None = None


@flax.struct.dataclass
class Translation:
  """A translation and what it was made with.

  Attributes:
    image: the source after the exemplar's example, or translated without an exemplar,
      [B, H, W, 3] in [-1, 1].
    source_mask: where the source was changed, [B, H, W, 1] in [0, 1]; None if the method has no
      such mask.
    exemplar_mask: what was taken from the exemplar, in the same form.
    extras: other arrays by name. The method declares those that people see: `Method.extras`.
  """

  image: Any
  source_mask: Any = None
  exemplar_mask: Any = None
  extras: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def masks(self) -> dict[str, Any]:
    """Returns both masks by name, None for a mask that the method does not have."""
    return {'source_mask': self.source_mask, 'exemplar_mask': self.exemplar_mask}


class Extra(NamedTuple):
  """Declares an entry of `Translation.extras` that people see.

  An array [B, H, W, 1] in [0, 1] is shown as a mask of the source, an array [B, H, W, 3] in [-1, 1]
  as a picture.

  Attributes:
    name: key in `Translation.extras`. A translation may lack it.
    title: heading of its column in sample grids.
    meaning: what the column shows, in words that go on after a colon.
    saved: whether `translate --save_masks` writes it as <result>_<name>.png, and the page shows it
      and puts it into its archive. Sample grids show every extra.
    shows_change: whether sweeps and comparisons of models show it in place of the source's mask,
      and sample grids for the other direction too.
  """

  name: str
  title: str
  meaning: str
  saved: bool = True
  shows_change: bool = False


class Method:
  """A method, built from a config. All functions are pure and may be jitted.

  A subclass has `players`, `init` and `translate`, and what its abilities name; everything else
  has a default here.

  Attributes:
    players: in the order in which they play.
    abilities: what `translate` and the other functions offer:
      'exemplar': an exemplar guides the translation;
      'source_mask', 'exemplar_mask': callers may give these masks;
      'random_style': without an exemplar `translate` draws a style from `rng`, one for all sources;
      'labels': `translate` takes `labels`, in place of an exemplar or where there is none;
      'reverse': `translate` takes `reverse=True`, for a picture of domain b after one of a;
      'remove', 'segment', 'interpolate', 'read_labels': the functions of these names.
    label_names: what the labels mean, in their order; for the abilities 'labels' and 'read_labels'.
    default_clip_norm: player -> global norm that its gradients are clipped to; 0 or absent is off.
    mixes_examples: whether a translation depends on the other examples of its batch, which is then
      not padded.
    groups_of_earlier_stages: parameter groups that `config.init_from` takes from another run where
      `config.init_groups` is empty.
    provenance: name -> text that stands beside every result, e.g. which perceptual network the
      model was trained with.
    extras: entries of `Translation.extras` that people see, in the order of their columns.
    mask_is_opacity: whether the source's mask is the opacity of what is painted over the source;
      where it is the amount of a change, results at a picture's own size add the change.
    learns_from_masks: whether losses of `_given_masks.py` are among the method's.
    augments_critics: whether critics see pictures through `config.critic_augmentation`.
    mask_meanings: role ('source', 'exemplar') -> what the mask means to a person who paints it on
      the page.
  """

  players: tuple[Player, ...] = ()
  abilities: frozenset[str] = frozenset()
  label_names: tuple[str, ...] = ()
  default_clip_norm: Mapping[str, float] = types.MappingProxyType({})
  mixes_examples: bool = False
  groups_of_earlier_stages: tuple[str, ...] = ()
  provenance: Mapping[str, str] = types.MappingProxyType({})
  extras: tuple[Extra, ...] = ()
  mask_is_opacity: bool = True
  learns_from_masks: bool = False
  augments_critics: bool = False
  mask_meanings: Mapping[str, str] = types.MappingProxyType(
    {
      'source': 'Coloured: where the source changes. Erase what is to stay as it is.',
      'exemplar': 'Coloured: what is taken from the exemplar. Erase what is not to be taken.',
    }
  )

  def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, ModelState]:
    """Returns fresh parameters and state for batches of this shape."""
    raise NotImplementedError

  def pretrained(self) -> Params:
    """Returns parameter groups from elsewhere that replace fresh ones when a run begins."""
    return {}

  def translate(
    self,
    params: Params,
    model_state: ModelState,
    source: jax.Array,
    exemplar: jax.Array | None,
    *,
    source_mask: jax.Array | None = None,
    exemplar_mask: jax.Array | None = None,
    rng: jax.Array | None = None,
  ) -> Translation:
    """Returns the source after the exemplar's example.

    A method with the ability 'reverse' also takes `reverse`, a bool, and one with the ability
    'labels' takes `labels`, float32 [B, K] in the order of `label_names`: 1 where the result is to
    have a label, 0 where not, and values between and beyond for a weaker or stronger change. With
    neither labels nor an exemplar, the result has the label of its domain, if that is the only one.

    Args:
      params: parameters by group.
      model_state: as `init` returns it.
      source: [B, H, W, 3].
      exemplar: [B, H, W, 3]; None for a method without the ability 'exemplar', and where a method
        with the ability 'random_style' is to draw a style.
      source_mask: replaces the predicted mask, or limits it.
      exemplar_mask: replaces the predicted mask, or limits it.
      rng: key of methods that draw noise or styles.
    """
    raise NotImplementedError

  def remove(
    self,
    params: Params,
    model_state: ModelState,
    image: jax.Array,
    *,
    mask: jax.Array | None = None,
    threshold: float | None = None,
  ) -> Translation:
    """Returns the image without what the method transfers; for the ability 'remove'."""
    raise NotImplementedError

  def segment(
    self, params: Params, model_state: ModelState, image: jax.Array
  ) -> jax.Array:
    """Returns the soft mask of what the method transfers; for the ability 'segment'."""
    raise NotImplementedError

  def read_labels(
    self, params: Params, model_state: ModelState, image: jax.Array
  ) -> jax.Array:
    """Returns how sure the method's classifier is of each label, [B, K] in [0, 1]."""
    raise NotImplementedError

  def interpolate(
    self,
    params: Params,
    model_state: ModelState,
    source: jax.Array,
    exemplar_1: jax.Array,
    exemplar_2: jax.Array,
    weight: float,
  ) -> Translation:
    """Returns the translation between two exemplars; for the ability 'interpolate'."""
    raise NotImplementedError

  def saved_masks(self, translation: Translation) -> dict[str, Any]:
    """Returns the masks and extras that `--save_masks` and the page's archive keep, by name."""
    saved = dict(translation.masks)
    for extra in self.extras:
      if extra.saved:
        saved[extra.name] = translation.extras.get(extra.name)
    return {name: array for name, array in saved.items() if array is not None}

  def saved_names(self) -> tuple[str, ...]:
    """Returns the names that `saved_masks` may have."""
    return ('source_mask', 'exemplar_mask', *(e.name for e in self.extras if e.saved))

  @property
  def needs_labels(self) -> bool:
    """Whether a translation needs labels that neither an exemplar nor the domain tells."""
    takes_labels = 'labels' in self.abilities and 'exemplar' not in self.abilities
    return takes_labels and len(self.label_names) > 1

  @property
  def change_extra(self) -> str:
    """Name of the extra that shows the change; '' if there is none."""
    return next((extra.name for extra in self.extras if extra.shows_change), '')


def initializer(
  networks: Mapping[str, nn.Module], rng: jax.Array
) -> tuple[Callable[..., Any], tuple[Params, ModelState]]:
  """Returns a function that initialises one network after another, and the variables it fills.

  Returns:
    init(name, *inputs, **options) -> output, and (params, {'batch_stats': ...}) by name.
  """
  split = jax.random.split(rng, len(networks))
  keys = dict(zip(networks, split, strict=True))
  params, stats = {}, {}

  def init(name, *inputs, **options):
    output, variables = networks[name].init_with_output(keys[name], *inputs, **options)
    params[name] = variables['params']
    if 'batch_stats' in variables:
      stats[name] = variables['batch_stats']
    return output

  return init, (params, {'batch_stats': stats})


def apply(
  network: nn.Module,
  variables: Mapping[str, Any],
  *inputs: Any,
  remat: bool,
  **options: Any,
) -> Any:
  """Returns a network's output, recomputed for its gradient if `remat` (`config.remat`)."""

  def run(variables, *inputs):
    return network.apply(variables, *inputs, **options)

  run = jax.checkpoint(run) if remat else run
  return run(variables, *inputs)


def image_shape(config: ml_collections.ConfigDict) -> tuple[int, int]:
  """Returns (height, width) of the model's images, in pixels."""
  return config.image_size, config.image_width or config.image_size


def require_square(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless images are square."""
  height, width = image_shape(config)
  if height != width:
    raise errors.UserError(
      f'{config.method} takes square images only, but config.image_size is '
      f'{height} and config.image_width {width}; set config.image_width to 0'
    )


def abstract_model(method: Method, config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns the shapes of what a checkpoint's `model` item holds."""
  image = jax.ShapeDtypeStruct((2, *image_shape(config), 3), jnp.float32)
  labels = jax.ShapeDtypeStruct((2, len(config.data.attributes)), jnp.float32)
  example = {'a': image, 'b': image, 'a_attributes': labels, 'b_attributes': labels}
  params, model_state = jax.eval_shape(method.init, jax.random.key(0), example)
  return {
    'params': params,
    'model_state': model_state,
    'ema_params': params if config.ema_decay else {},
  }


def default_config(
  settings: fields.Fields, variants: Mapping[str, Mapping[str, Any]]
) -> ml_collections.ConfigDict:
  """Returns a method's part of a config, in which every switch follows the variant.

  Args:
    settings: `variant`, `model`, `weights`, `optimizers` and what else the method has. A switch is
      among them where its values are constrained.
    variants: see `switches`.
  """
  # A switch is None and has the type of its values, so that a flag's text becomes one of them.
  placeholders = {}
  for name, value in next(iter(variants.values())).items():
    placeholders[name] = config_dict.placeholder(type(value))
  return fields.defaults({**settings, 'model': {**settings['model'], **placeholders}})


def adam(learning_rate: float, b1: float = 0.9, b2: float = 0.999) -> dict[str, Any]:
  """Returns an optimizer's part of a config: Adam, constant rate, clipping as the method says."""
  return dict(
    name='adam',
    learning_rate=learning_rate,
    b1=b1,
    b2=b2,
    eps=1e-8,
    # Global norm; 0 is off, None as the method says.
    clip_norm=config_dict.placeholder(float),
    # This times each parameter is added to its gradient, before the moments; 0 is off.
    weight_decay=0.0,
    # Others: 'halve', 'halve_linearly', 'inverse_time', 'linear', 'polynomial': optimizers.py.
    schedule='constant',
    schedule_start=0,  # step until which the learning rate is constant
    # 'halve', 'halve_linearly', 'inverse_time': steps until the rate is half as large.
    schedule_every=0,
    schedule_power=1.0,  # 'polynomial': lr * (1 - progress)**power
  )


def switches(
  config: ml_collections.ConfigDict, variants: Mapping[str, Mapping[str, Any]]
) -> ml_collections.FrozenConfigDict:
  """Returns the values of a method's named switches: set in `config.model`, or the variant's.

  Args:
    config: with `variant` and `model`; a switch that is None there follows the variant.
    variants: name, such as 'paper' or 'official', to each switch's value.
  """
  names = fields.one_of(*sorted(variants))
  fields.check_value('config.variant', config.variant, fields.field('', names))
  chosen = dict(variants[config.variant])
  for name in chosen:
    if config.model[name] is not None:
      chosen[name] = config.model[name]
  return ml_collections.FrozenConfigDict(chosen)
