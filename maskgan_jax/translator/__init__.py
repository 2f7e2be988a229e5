"""A trained model as one object: the door that commands, notebooks, demo and tests go through."""

from collections.abc import Callable, Mapping, Sequence
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
from maskgan_jax.methods import base
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import checkpoints, scores
from maskgan_jax.translator import arguments, exporting
from maskgan_jax.translator import packaged as pretrained

_LARGEST_BATCH = 64  # examples computed at once; more are taken in chunks


class Translator:
  """Translates, removes, segments and interpolates with the weights of one moment.

  Images are uint8 [B, H, W, 3], or float in [-1, 1]; what comes back is as the first image is:
  uint8, or float32. A single [H, W, 3] is a batch of one and comes back without the batch axis; a
  batch of one goes with each example of a larger one. Masks are [B, H, W, 1], [B, H, W] or [H, W],
  of bool, of uint8 (255 is 1) or of float in [0, 1], at any resolution; they come back as float32
  [B, H, W, 1]. All results are NumPy arrays; among `extras`, what has three channels is an image.
  Whatever is not so raises a UserError, and so do weights that give NaN or infinite values
  (`errors.NotFiniteError`): as bytes these would be black pictures.

  Few shapes are compiled: batches are padded to 1, 2, 4, ... 64 examples, larger ones cut; where a
  method's examples depend on each other (`method.mixes_examples`) they are cut only.

  Attributes:
    method: what the model is made of.
    config: of the run.
    step: of the weights, or None.
    origin: the run or folder that messages name, '' if there is none.
    threshold: of masks in `remove` and `segment(..., 'best')`, found on the validation split; None
      before an evaluation.
  """

  def __init__(self, method: base.Method, params: base.Params, model_state: base.ModelState,
               config: ml_collections.ConfigDict, step: int | None = None, *,
               threshold: float | None = None):
    self.method = method
    self.config = config
    self.step = step
    self.origin = ''
    self.threshold = threshold
    self._variables = _own(params, model_state)
    self._calls = functions(method, checked=True)

  @classmethod
  def from_workdir(cls, path: str | os.PathLike, step: int | None = None, *,
                   like: 'Translator | None' = None) -> 'Translator':
    """Opens a run's newest good checkpoint, or that of `step`, on the devices of now.

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
    translator = cls(method, params, model['model_state'], config, step, threshold=threshold)
    translator.origin = path
    return translator

  @classmethod
  def from_pretrained(cls, name: str | os.PathLike) -> 'Translator':
    """Opens a model that comes with the package, or a folder that `save` wrote.

    Args:
      name: 'content_transfer_avatars', say: `translator.packaged.names()` are all; or a folder.
    Raises:
      UserError: there is no such model, or its files are damaged.
    """
    folder = pretrained.find(name)
    config = run_config.load(folder)
    method = methods.make(config)
    variables, step, threshold = pretrained.read(folder, config,
                                                 base.abstract_model(method, config))
    translator = cls(method, variables['params'], variables['model_state'], config, step,
                     threshold=threshold)
    translator.origin = os.fspath(name)
    if lacking := translator._lacking(translator._variables):
      raise errors.UserError(f'{folder} lacks weights that {config.method} needs ({lacking}); '
                             'write it again')
    return translator

  def save(self, folder: str | os.PathLike, *, half: bool = False, card: str = '',
           examples: Mapping[str, Sequence[np.ndarray]] | None = None) -> None:
    """Writes what translating needs as a folder for `from_pretrained`: no code, no optimizer.

    Args:
      folder: of model.safetensors, config.json, and README.md and examples where given.
      half: rounds the weights to float16, for half of the size; they come back as float32.
      card: the README.md.
      examples: 'source' and 'exemplar', pictures to try it on, uint8 [H, W, 3] each.
    Raises:
      UserError: there is a model already, or the disk refuses.
    """
    variables = pretrained.needed(*jax.device_get(self._variables),
                                  lambda *variables: not self._lacking(variables))
    pretrained.write(folder, variables, self.config, step=self.step, threshold=self.threshold,
                     half=half, card=card, examples=examples)

  def at(self, params: base.Params, model_state: base.ModelState, step: int | None = None, *,
         threshold: float | None = None) -> 'Translator':
    """The same model with other weights, sharing what is compiled: for a run in training."""
    other = copy.copy(self)
    other.step, other.threshold = step, threshold
    other._variables = _own(params, model_state)
    return other

  def digest(self) -> str:
    """Returns a hash of the weights, which only the same numbers have, bit for bit."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(jax.device_get(self._variables)):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()

  @property
  def abilities(self) -> frozenset[str]:
    """What the method can do: 'exemplar', 'source_mask', 'remove', ... (see methods/base.py)."""
    return self.method.abilities

  def __call__(self, source: Any, exemplar: Any = None, source_mask: Any = None,
               exemplar_mask: Any = None, *, reverse: bool = False) -> Translation:
    """The source after the exemplar's example, or as the model alone would have it.

    Args:
      source: image or images to change.
      exemplar: image or images to take from; None for a method without exemplars.
      source_mask: where to change the source, in place of the predicted mask.
      exemplar_mask: what to take from the exemplar, likewise.
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
      raise errors.UserError(f'{self.config.method} needs an exemplar: call t(source, exemplar)')
    masks = {'source_mask': source_mask, 'exemplar_mask': exemplar_mask}
    for name, mask in masks.items():
      if mask is not None:
        self._require(name)
    return self._run('translate_back' if reverse else 'translate', images, masks)

  def remove(self, image: Any, mask: Any = None, threshold: float | None = None) -> Translation:
    """The image without what the method transfers.

    Args:
      image: image or images with it.
      mask: where to remove, in place of the predicted mask.
      threshold: the mask, predicted or given, is 1 from it on and 0 below. Default: that of the
        last evaluation, or else the method's.
    """
    self._require('remove')
    threshold = arguments.check_threshold(self.threshold if threshold is None else threshold)
    return self._run('remove', {'image': image}, {'mask': mask}, threshold=threshold)

  def segment(self, image: Any, threshold: float | str | None = None) -> np.ndarray:
    """The mask of what the method transfers in image or images, [B, H, W, 1].

    Args:
      image: image or images with it.
      threshold: None for the soft mask, a number for a bool one (mask > threshold), 'best' for a
        bool one at the threshold of the last evaluation, or 0.5 before any.
    """
    self._require('segment')
    if threshold == 'best':
      threshold = 0.5 if self.threshold is None else self.threshold
    threshold = arguments.check_threshold(threshold)
    mask = self._run('segment', {'image': image}, {})
    return mask if threshold is None else mask > threshold

  def interpolate(self, source: Any, exemplar_1: Any, exemplar_2: Any, n: int) -> Translation:
    """Translations along the line between two exemplars: n frames on a new leading axis."""
    self._require('interpolate')
    if n < 2:
      raise errors.UserError(f'an interpolation of {n} frames has no two ends; take n >= 2')
    images = {'source': source, 'exemplar_1': exemplar_1, 'exemplar_2': exemplar_2}
    frames = [self._run('interpolate', images, {}, weight=np.float32(weight))
              for weight in np.linspace(0, 1, n)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *frames)

  def swap(self, image: Any, exemplar: Any) -> Translation:
    """`image` with the exemplar's content in place of its own: removed first, then added."""
    return self(self.remove(image).image, exemplar)

  def export(self, path: str | os.PathLike, *, what: str = 'translate', masks: bool = False,
             reverse: bool = False) -> tuple[list[str], list[str]]:
    """Writes what the model does as one file that needs nothing of this package.

    NAME.onnx is ONNX (needs jax2onnx); any other name a blob for CPU, CUDA and TPU:
    `jax.export.deserialize(bytes).call(source, exemplar)`, or `call(source)` of a method without
    exemplars. uint8 [B, H, W, 3] in, any B, H and W as trained; out come `image` (uint8) and the
    masks (float32 [B, H, W, 1]) by name. docs/export.md shows both.

    Args:
      path: of the file.
      what: 'translate', 'remove' or 'segment'.
      masks: masks are inputs too, after the images, float32 [B, H, W, 1]: source_mask and then
        exemplar_mask as far as the method takes them, or a removal's mask. An example whose mask
        holds a value below 0 gets the predicted one.
      reverse: the translation from domain b to a, as in a call.
    Returns:
      What the inputs and the outputs are called.
    """
    exporting.check(what)
    for ability in [what] * (what != 'translate') + ['reverse'] * reverse:
      self._require(ability)
    self._try(what, reverse)
    return exporting.write(path, functions(self.method), jax.device_get(self._variables),
                           self.method, self.config, what=what, masks=masks, reverse=reverse,
                           threshold=self.threshold)

  def _try(self, what: str, reverse: bool) -> None:
    """Raises NotFiniteError if a picture of noise shows that the weights are of no use."""
    shape = (*base.image_shape(self.config), 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if what == 'translate':
      self(*[noise] * (2 if 'exemplar' in self.abilities else 1), reverse=reverse)
    else:
      getattr(self, what)(noise)

  def _require(self, ability: str) -> None:
    if ability not in self.abilities:
      raise errors.UserError(f'{self.config.method} cannot do {ability!r}; it can do '
                             f'{", ".join(sorted(self.abilities)) or "nothing but translate"}')

  def _lacking(self, variables: Any) -> str:
    """What the method misses among the variables as it traces all that it can do; '' if nothing."""
    image = jax.ShapeDtypeStruct((1, *base.image_shape(self.config), 3), jnp.uint8)
    pair = [image] * (2 if 'exemplar' in self.abilities else 1)
    calls = {'translate': (pair, {}), 'reverse': (pair, {}), 'segment': ([image], {}),
             'remove': ([image], {'threshold': 0.5}), 'interpolate': ([image] * 3, {'weight': 0.5})}
    try:
      for name, (images, numbers) in calls.items():
        if name in self.abilities | {'translate'}:
          call = self._calls['translate_back' if name == 'reverse' else name]
          jax.eval_shape(functools.partial(call, **numbers), variables, *images)
    except (KeyError, flax.errors.FlaxError) as error:
      return str(error).splitlines()[0][:100]
    return ''

  def _run(self, name: str, images: dict[str, Any], masks: dict[str, Any], **numbers: Any) -> Any:
    """Checks, broadcasts, and computes in chunks; returns NumPy arrays."""
    shape = base.image_shape(self.config)
    arrays = {role: arguments.check_images(role, value, shape) for role, value in images.items()}
    single = all(array.ndim == 3 for array in arrays.values())
    arrays = {role: array[None] if array.ndim == 3 else array for role, array in arrays.items()}
    arrays |= {role: arguments.check_mask(role, value, shape) for role, value in masks.items()
               if value is not None}
    counts = {role: len(array) for role, array in arrays.items()}
    count = max(counts.values())
    if set(counts.values()) - {1, count}:
      raise errors.UserError('batches do not fit together: ' + ', '.join(
          f'{n} in {role}' for role, n in counts.items()) + '; give equally many, or one')

    padded = _LARGEST_BATCH if count > _LARGEST_BATCH else 1 << (count - 1).bit_length()
    if getattr(self.method, 'mixes_examples', False):
      padded = min(count, _LARGEST_BATCH)
    chunks, pending = [], None
    for start in range(0, count, padded):
      rows = np.minimum(np.arange(start, start + padded), count - 1)
      chunk = {role: x[np.minimum(rows, len(x) - 1)] for role, x in arrays.items()}
      ahead = self._calls[name](self._variables, **chunk, **numbers)
      if pending is not None:  # the device works on the next chunk while this one travels
        chunks.append(jax.device_get(pending))
      pending = ahead
    chunks.append(jax.device_get(pending))
    result, finite = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *chunks)
    if not finite.all():
      self._refuse(np.flatnonzero(~finite), count)
    return jax.tree.map(lambda x: x[0], result) if single and count == 1 else result


  def _refuse(self, examples: np.ndarray, count: int) -> None:
    """Raises NotFiniteError for these of `count` examples."""
    step = '' if self.step is None else f' at step {self.step}'
    raise errors.NotFiniteError(
        f'{self.origin or "the model"}{step} computes NaN or infinite values for {len(examples)} '
        f'of {count} pictures: its weights are too large or damaged; use another checkpoint',
        examples.tolist())


def in_sequence(translators: Sequence[Translator], source: Any,
                exemplars: Sequence[Any]) -> list[Translation]:
  """Several attributes, each from a model and an exemplar of its own, one after another.

  Returns each step's translation; the last one's image wears everything.
  """
  if not translators or len(translators) != len(exemplars):
    raise errors.UserError(f'{len(translators)} translators and {len(exemplars)} exemplars; give '
                           'one exemplar for each translator')
  results = []
  for translator, exemplar in zip(translators, exemplars, strict=True):
    results.append(translator(source, exemplar))
    source = results[-1].image
  return results


def _own(*trees: Any) -> tuple[Any, ...]:
  """Copies on this process' first device: a training step donates the originals."""
  return jax.device_put(jax.tree.map(np.array, trees))


def functions(method: base.Method, *, checked: bool = False) -> dict[str, Callable[..., Any]]:
  """The method's functions for uint8 or float images, jitted: `translate((params, model_state),
  source, exemplar)` and so on.

  If `checked`, each returns its result and bool [B]: all values of an example are finite.
  """
  def finish(image, result):
    converted = _as(image.dtype, result)
    return (converted, _finite(result)) if checked else converted

  def translate(variables, source, exemplar=None, source_mask=None, exemplar_mask=None, **options):
    # One key for ever: a method that draws noise gives the same translation each time.
    with jax.ensure_compile_time_eval():
      key = jax.random.key(0)
    result = method.translate(*variables, _to_float(source), _to_float(exemplar),
                              source_mask=source_mask, exemplar_mask=exemplar_mask,
                              rng=key, **options)
    return finish(source, result)

  def translate_back(variables, source, exemplar=None, source_mask=None, exemplar_mask=None):
    return translate(variables, source, exemplar, source_mask, exemplar_mask, reverse=True)

  def remove(variables, image, mask=None, *, threshold):
    return finish(image, method.remove(*variables, _to_float(image), mask=mask,
                                       threshold=threshold))

  def segment(variables, image):
    return finish(image, method.segment(*variables, _to_float(image)))

  def interpolate(variables, source, exemplar_1, exemplar_2, *, weight):
    images = map(_to_float, (source, exemplar_1, exemplar_2))
    return finish(source, method.interpolate(*variables, *images, weight))

  calls = (translate, translate_back, remove, segment, interpolate)
  return {call.__name__: jax.jit(call) for call in calls}


def _to_float(image):
  if image is None or image.dtype != jnp.uint8:
    return image
  return image.astype(jnp.float32) / 127.5 - 1


def _finite(result: Any) -> jax.Array:
  """Returns bool [B]: all values of an example are finite."""
  examples = [jnp.isfinite(x).reshape(len(x), -1).all(axis=1) for x in jax.tree.leaves(result)]
  return functools.reduce(jnp.logical_and, examples)


def _as(dtype, result: Any) -> Any:
  """Images in the form of the input, everything else float32."""
  def convert(x):
    if x.ndim == 4 and x.shape[-1] == 3 and dtype == jnp.uint8:
      return jnp.clip(jnp.round((x.astype(jnp.float32) + 1) * 127.5), 0, 255).astype(jnp.uint8)
    return x.astype(jnp.float32)
  return jax.tree.map(convert, result)


def _stored_threshold(rows: Sequence[dict[str, Any]], step: int) -> float | None:
  """The threshold that the last evaluation of this step found."""
  found = [row.get('mask_threshold') for row in rows if row['step'] == step]
  found = [float(x) for x in found if isinstance(x, (int, float)) and 0 <= x <= 1]
  return found[-1] if found else None
