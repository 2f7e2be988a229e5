"""A trained model as one object, which commands, notebooks, the page and tests use."""

from collections.abc import Mapping, Sequence
import copy
import functools
import hashlib
import os
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.data import transforms
from maskgan_jax.methods import base
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import checkpoints, scores
from maskgan_jax.translator import arguments, exporting, fitting
from maskgan_jax.translator import packaged as pretrained
from maskgan_jax.translator.calls import functions

_LARGEST_BATCH = 64  # examples computed at once; more are taken in chunks


class Translator:
  """Translates, removes, segments and interpolates with fixed weights.

  `fit` makes pictures of any size and kind ready: `t(t.fit('me.jpg'), t.fit('you.jpg'))`.

  Images are uint8 [B, H, W, 3], or float in [-1, 1]. Results have the form of the first image:
  uint8, or float32. A single [H, W, 3] is a batch of one and comes back without the batch axis; a
  batch of one goes with each example of a larger one. Masks are [B, H, W, 1], [B, H, W] or [H, W],
  of bool, of uint8 (255 is 1) or of float in [0, 1], at any resolution; they come back as float32
  [B, H, W, 1]. All results are NumPy arrays; an entry of `extras` with three channels is an image.
  Other input raises UserError. Weights that give NaN or infinite values raise
  `errors.NotFiniteError`, because as bytes these would be black pictures.

  Few shapes are compiled: batches are padded to 1, 2, 4, ... 64 examples, and larger ones cut.
  Where examples depend on each other (`method.mixes_examples`) batches are only cut.

  Attributes:
    method: the method, built from `config`.
    config: the run's.
    step: the step of the weights, or None.
    origin: the run or folder that messages name; '' if there is none.
    threshold: binarises masks in `remove` and `segment(..., 'best')`. An evaluation chooses it on
      the validation split; None before that.
  """

  def __init__(
    self,
    method: base.Method,
    params: base.Params,
    model_state: base.ModelState,
    config: ml_collections.ConfigDict,
    step: int | None = None,
    *,
    threshold: float | None = None,
  ):
    self.method = method
    self.config = config
    self.step = step
    self.origin = ''
    self.threshold = threshold
    self._variables = _copied(params, model_state)
    self._calls = functions(method, checked=True)

  @classmethod
  def from_workdir(
    cls,
    path: str | os.PathLike,
    step: int | None = None,
    *,
    like: 'Translator | None' = None,
  ) -> 'Translator':
    """Opens a run's newest good checkpoint, or that of `step`, on this machine's devices.

    The averaged parameters are used where the run has them.

    Args:
      path: folder of the run.
      step: of the checkpoint; None is the newest that can be read.
      like: a translator of the same run, to share what it has compiled.
    Raises:
      UserError: there is no run, no checkpoint, or none that can be read.
    """
    path = os.fspath(path)
    config = like.config if like else run_config.load(path)
    method = like.method if like else methods.make(config)
    with checkpoints.Checkpoints(path, read_only=True) as saved:
      step, model = saved.restore_model(base.abstract_model(method, config), step=step)
    params = {**model['params'], **model['ema_params']}
    threshold = _stored_threshold(scores.read(path), step)
    if like:
      return like.at(params, model['model_state'], step, threshold=threshold)
    translator = cls(
      method, params, model['model_state'], config, step, threshold=threshold
    )
    translator.origin = path
    return translator

  @classmethod
  def from_pretrained(cls, name: str | os.PathLike) -> 'Translator':
    """Opens a model that comes with the package, or a folder that `save` wrote.

    Args:
      name: one of `translator.packaged.names()`, e.g. 'content_transfer_avatars'; or a folder.
    Raises:
      UserError: there is no such model, or its files are damaged.
    """
    folder = pretrained.find(name)
    config = run_config.load(folder)
    method = methods.make(config)
    shapes = base.abstract_model(method, config)
    variables, step, threshold = pretrained.read(folder, config, shapes)
    translator = cls(
      method,
      variables['params'],
      variables['model_state'],
      config,
      step,
      threshold=threshold,
    )
    translator.origin = os.fspath(name)
    if missing := translator._missing_weight(translator._variables):
      raise errors.UserError(
        f'{folder} lacks weights that {config.method} needs ({missing}); write it again'
      )
    return translator

  def save(
    self,
    folder: str | os.PathLike,
    *,
    half: bool = False,
    card: str = '',
    examples: Mapping[str, Sequence[np.ndarray]] | None = None,
  ) -> None:
    """Writes the weights that translating needs as a folder for `from_pretrained`.

    Args:
      folder: gets model.safetensors and config.json, and README.md and examples if given.
      half: rounds the weights to float16, for half of the size; they come back as float32.
      card: the README.md.
      examples: 'source' and 'exemplar', pictures to try the model on, uint8 [H, W, 3] each.
    Raises:
      UserError: the folder has a model already, or cannot be written.
    """

    def works(*variables):
      return not self._missing_weight(variables)

    variables = pretrained.needed(*jax.device_get(self._variables), works)
    pretrained.write(
      folder,
      variables,
      self.config,
      step=self.step,
      threshold=self.threshold,
      half=half,
      card=card,
      examples=examples,
    )

  def at(
    self,
    params: base.Params,
    model_state: base.ModelState,
    step: int | None = None,
    *,
    threshold: float | None = None,
  ) -> 'Translator':
    """Returns the same model with other weights, which shares the compiled programs."""
    other = copy.copy(self)
    other.step, other.threshold = step, threshold
    other._variables = _copied(params, model_state)
    return other

  def digest(self) -> str:
    """Returns a hash of the weights; equal hashes mean bitwise equal weights."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(jax.device_get(self._variables)):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()

  @property
  def abilities(self) -> frozenset[str]:
    """The method's abilities: 'exemplar', 'source_mask', 'remove', ... (see methods/base.py)."""
    return self.method.abilities

  @property
  def transform(self) -> transforms.Transform:
    """Crops and resizes pictures for the model."""
    return transforms.Transform.of(self.config)

  def fit(
    self, picture: Any, *, name: str = '', max_pixels: int | None = None
  ) -> fitting.Fitted:
    """Returns a user's picture as the model takes it, cropped and resized as the run's own.

    A picture that has the model's resolution already stays as it is.

    Args:
      picture: a path, the bytes of a file, a Pillow image, or a uint8 array of any size:
        [height, width, 3], or grey, or with opacity.
      name: what messages call the picture; by default its path.
      max_pixels: larger files are refused; None is `config.data.max_pixels`.
    Raises:
      UserError: the picture cannot be read, or the run's crop does not fit into it.
    """
    if max_pixels is None:
      max_pixels = self.config.data.max_pixels
    return fitting.fit(picture, self.transform, name=name, max_pixels=max_pixels)

  def __call__(
    self,
    source: Any,
    exemplar: Any = None,
    source_mask: Any = None,
    exemplar_mask: Any = None,
    *,
    reverse: bool = False,
  ) -> Translation:
    """Translates the source after the exemplar's example, or without an exemplar.

    Args:
      source: image or images to change.
      exemplar: image or images to take from; None for a method without exemplars.
      source_mask: where to change the source; replaces the predicted mask.
      exemplar_mask: what to take from the exemplar; replaces the predicted mask.
      reverse: the source is of domain b and the exemplar, if any, of a; for methods that tell the
        domains apart.
    """
    if reverse:
      self._require('reverse')
    images = {'source': source}
    if exemplar is not None:
      self._require('exemplar')
      images['exemplar'] = exemplar
    elif 'exemplar' in self.abilities:
      raise errors.UserError(
        f'{self.config.method} needs an exemplar: call t(source, exemplar)'
      )
    masks = {'source_mask': source_mask, 'exemplar_mask': exemplar_mask}
    for name, mask in masks.items():
      if mask is not None:
        self._require(name)
    return self._run('translate_back' if reverse else 'translate', images, masks)

  def remove(
    self, image: Any, mask: Any = None, threshold: float | None = None
  ) -> Translation:
    """Removes from an image what the method transfers.

    Args:
      image: image or images.
      mask: where to remove; replaces the predicted mask.
      threshold: the mask becomes 1 from this value on and 0 below. Default: the threshold of the
        last evaluation, or else the method's.
    """
    self._require('remove')
    threshold = arguments.check_threshold(
      self.threshold if threshold is None else threshold
    )
    return self._run('remove', {'image': image}, {'mask': mask}, threshold=threshold)

  def segment(self, image: Any, threshold: float | str | None = None) -> np.ndarray:
    """Returns the mask of what the method transfers, [B, H, W, 1].

    Args:
      image: image or images.
      threshold: None for the soft mask, a number for a bool one (mask > threshold), 'best' for a
        bool one at the threshold of the last evaluation, or 0.5 before any.
    """
    self._require('segment')
    if threshold == 'best':
      threshold = 0.5 if self.threshold is None else self.threshold
    threshold = arguments.check_threshold(threshold)
    mask = self._run('segment', {'image': image}, {})
    return mask if threshold is None else mask > threshold

  def interpolate(
    self, source: Any, exemplar_1: Any, exemplar_2: Any, n: int
  ) -> Translation:
    """Translates along the line between two exemplars: n frames on a new leading axis."""
    self._require('interpolate')
    if n < 2:
      raise errors.UserError(
        f'an interpolation of {n} frames has no two ends; take n >= 2'
      )
    images = {'source': source, 'exemplar_1': exemplar_1, 'exemplar_2': exemplar_2}
    frames = [
      self._run('interpolate', images, {}, weight=np.float32(weight))
      for weight in np.linspace(0, 1, n)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *frames)

  def swap(self, image: Any, exemplar: Any) -> Translation:
    """Removes the image's content, then adds the exemplar's."""
    return self(self.remove(image).image, exemplar)

  def export(
    self,
    path: str | os.PathLike,
    *,
    what: str = 'translate',
    masks: bool = False,
    reverse: bool = False,
  ) -> tuple[list[str], list[str]]:
    """Writes one function of the model as a file that runs without this package.

    NAME.onnx is ONNX and needs jax2onnx. Any other name is a blob for CPU, CUDA and TPU:
    `jax.export.deserialize(bytes).call(source, exemplar)`, or `call(source)` for a method without
    exemplars. Inputs are uint8 [B, H, W, 3] with any B, and H and W as trained. Outputs are
    `image`, uint8, and the masks, float32 [B, H, W, 1], by name. docs/export.md shows both.

    Args:
      path: the file to write.
      what: 'translate', 'remove' or 'segment'.
      masks: whether masks are inputs too, after the images, float32 [B, H, W, 1]: source_mask and
        then exemplar_mask if the method takes them, or the mask of a removal. The model predicts
        the mask of an example where the given one holds a value below 0.
      reverse: whether to translate from domain b to a.
    Returns:
      The names of the inputs and of the outputs.
    """
    exporting.check(what)
    if what != 'translate':
      self._require(what)
    if reverse:
      self._require('reverse')
    self._try(what, reverse)
    variables = jax.device_get(self._variables)
    exported = exporting.Exported(
      functions(self.method), variables, self.method, self.config
    )
    return exported.write(
      path, what=what, masks=masks, reverse=reverse, threshold=self.threshold
    )

  def _try(self, what: str, reverse: bool) -> None:
    """Raises NotFiniteError if the weights give NaN for a picture of noise."""
    shape = (*base.image_shape(self.config), 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    exemplar = noise if 'exemplar' in self.abilities else None
    if what == 'translate':
      self(noise, exemplar, reverse=reverse)
    elif what == 'remove':
      self.remove(noise)
    else:
      self.segment(noise)

  def _require(self, ability: str) -> None:
    if ability not in self.abilities:
      raise errors.UserError(
        f'{self.config.method} cannot do {ability!r}; it can do '
        f'{", ".join(sorted(self.abilities)) or "nothing but translate"}'
      )

  def _missing_weight(self, variables: Any) -> str:
    """Traces every function of the method; returns the error of a missing weight, or ''."""
    image = jax.ShapeDtypeStruct((1, *base.image_shape(self.config), 3), jnp.uint8)
    pair = [image] * (2 if 'exemplar' in self.abilities else 1)
    traced = [('translate', pair, {})]
    if 'reverse' in self.abilities:
      traced.append(('translate_back', pair, {}))
    if 'segment' in self.abilities:
      traced.append(('segment', [image], {}))
    if 'remove' in self.abilities:
      traced.append(('remove', [image], {'threshold': 0.5}))
    if 'interpolate' in self.abilities:
      traced.append(('interpolate', [image] * 3, {'weight': 0.5}))
    try:
      for name, images, numbers in traced:
        jax.eval_shape(
          functools.partial(self._calls[name], **numbers), variables, *images
        )
    except (KeyError, flax.errors.FlaxError) as error:
      return str(error).splitlines()[0][:100]
    return ''

  def _run(
    self, name: str, images: dict[str, Any], masks: dict[str, Any], **numbers: Any
  ) -> Any:
    """Checks the arguments and computes in chunks; returns NumPy arrays."""
    arrays, single = self._checked(images, masks)
    count = _common_length(arrays)

    # Few sizes of batches are compiled.
    size = min(1 << (count - 1).bit_length(), _LARGEST_BATCH)
    if self.method.mixes_examples:
      size = min(count, _LARGEST_BATCH)
    chunks, running = [], None
    for start in range(0, count, size):
      rows = np.minimum(np.arange(start, start + size), count - 1)
      chunk = {role: x[np.minimum(rows, len(x) - 1)] for role, x in arrays.items()}
      started = self._calls[name](self._variables, **chunk, **numbers)
      if (
        running is not None
      ):  # the device works on the next chunk while this one travels
        chunks.append(jax.device_get(running))
      running = started
    chunks.append(jax.device_get(running))

    result, finite = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *chunks)
    if not finite.all():
      self._refuse(np.flatnonzero(~finite), count)
    if single and count == 1:
      return jax.tree.map(lambda x: x[0], result)
    return result

  def _checked(
    self, images: dict[str, Any], masks: dict[str, Any]
  ) -> tuple[dict[str, np.ndarray], bool]:
    """Returns all arrays with a batch axis, and whether no image had one."""
    shape = base.image_shape(self.config)
    arrays, single = {}, True
    for role, value in images.items():
      array = arguments.check_images(role, value, shape)
      single = single and array.ndim == 3
      arrays[role] = array[None] if array.ndim == 3 else array
    for role, value in masks.items():
      if value is not None:
        arrays[role] = arguments.check_mask(role, value, shape)
    return arrays, single

  def _refuse(self, examples: np.ndarray, count: int) -> None:
    """Raises NotFiniteError for these examples of `count`."""
    step = '' if self.step is None else f' at step {self.step}'
    raise errors.NotFiniteError(
      f'{self.origin or "the model"}{step} computes NaN or infinite values for {len(examples)} '
      f'of {count} pictures: its weights are too large or damaged; use another checkpoint',
      examples.tolist(),
    )


def in_sequence(
  translators: Sequence[Translator], source: Any, exemplars: Sequence[Any]
) -> list[Translation]:
  """Applies several models one after another, each with its exemplar.

  Returns each step's translation; the last image has everything.
  """
  if not translators or len(translators) != len(exemplars):
    raise errors.UserError(
      f'{len(translators)} translators and {len(exemplars)} exemplars; give '
      'one exemplar for each translator'
    )
  results = []
  for translator, exemplar in zip(translators, exemplars, strict=True):
    results.append(translator(source, exemplar))
    source = results[-1].image
  return results


def _common_length(arrays: dict[str, np.ndarray]) -> int:
  """Returns the number of examples; raises UserError where batches differ."""
  counts = {role: len(array) for role, array in arrays.items()}
  count = max(counts.values())
  if set(counts.values()) - {1, count}:
    lengths = ', '.join(f'{number} in {role}' for role, number in counts.items())
    raise errors.UserError(
      f'batches do not fit together: {lengths}; give equally many, or one'
    )
  return count


def _copied(*trees: Any) -> tuple[Any, ...]:
  """Returns copies on this process' first device: a training step donates the originals."""
  return jax.device_put(jax.tree.map(np.array, trees))


def _stored_threshold(rows: Sequence[dict[str, Any]], step: int) -> float | None:
  """Returns the threshold that the last evaluation of this step chose; None before any."""
  threshold = None
  for row in rows:
    value = row.get('mask_threshold')
    if row['step'] == step and isinstance(value, int | float) and 0 <= value <= 1:
      threshold = float(value)
  return threshold
