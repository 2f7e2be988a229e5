"""A trained model as one object, which commands, notebooks, the page and tests use."""

from collections.abc import Mapping, Sequence
import copy
import functools
import hashlib
import os
from typing import Any

import jax
import ml_collections
import numpy as np

from maskgan_jax import config as run_config
from maskgan_jax import errors, methods
from maskgan_jax.data import landmarks, transforms
from maskgan_jax.methods import base
from maskgan_jax.methods.base import Translation
from maskgan_jax.runs import checkpoints, scores
from maskgan_jax.translator import (
  arguments,
  calls,
  exporting,
  fitting,
  packaged,
  pasting,
)
from maskgan_jax.translator import (
  labels as label_arguments,
)
from maskgan_jax.translator.calls import functions
from maskgan_jax.translator.fitting import Fitted
from maskgan_jax.translator.sequence import in_sequence

__all__ = ['Translation', 'Translator', 'functions', 'in_sequence']


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
    labels: strengths by name that every translation is asked for; {} is none (`with_labels`).
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
    self.labels: dict[str, float] = {}
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
      UserError: the run or its checkpoint does not exist, or cannot be read.
    """
    path = os.fspath(path)

    # A run's translators share what they have compiled.
    config = like.config if like else run_config.load(path)
    method = like.method if like else methods.make(config)
    with checkpoints.Checkpoints(path, read_only=True) as saved:
      step, model = saved.restore_model(base.abstract_model(method, config), step=step)
    params = {**model['params'], **model['ema_params']}
    threshold = scores.threshold(path, step, config)
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
      UserError: the model does not exist, or its files are damaged.
    """
    folder = packaged.find(name)
    config = run_config.load(folder)
    method = methods.make(config)
    shapes = base.abstract_model(method, config)
    variables, step, threshold = packaged.read(folder, config, shapes)
    translator = cls(method, **variables, config=config, step=step, threshold=threshold)
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

    variables = packaged.needed(*jax.device_get(self._variables), works)
    packaged.write(
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

  def with_labels(self, labels: Mapping[str, float]) -> 'Translator':
    """Returns the same model, of which every translation is asked for these labels."""
    self._require('labels')
    label_arguments.check_names(labels, self.method.label_names)
    other = copy.copy(self)
    other.labels = dict(labels)
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
    self,
    picture: Any,
    *,
    name: str = '',
    max_pixels: int | None = None,
    region: Sequence[float] | None = None,
    points: Sequence | None = None,
  ) -> Fitted:
    """Returns a user's picture as the model takes it, cropped and resized as the run's own.

    A picture that has the model's resolution already stays as it is.

    Args:
      picture: a path, the bytes of a file, a Pillow image, or a uint8 array of any size:
        [height, width, 3], or grey, or with opacity.
      name: what messages call the picture; by default its path.
      max_pixels: larger files are refused; None is `config.data.max_pixels`.
      region: top, left, bottom, right of what the model is to see, in place of the run's crop: in
        pixels, or as shares of height and width if none is above 1.
      points: of a face, which is turned and scaled to where the run's pictures have it: (x, y) in
        pixels of its two eyes, or of left eye, right eye, nose, left and right corner of the mouth,
        left and right as in the picture.
    Raises:
      UserError: the picture cannot be read; the crop, region or points do not fit into it; or the
        run's pictures have no template (`config.data.template`).
    """
    regions = [] if region is None else [region]
    faces = [] if points is None else [points]
    fitted = self.fit_all(
      picture, name=name, max_pixels=max_pixels, regions=regions, points=faces
    )
    if len(fitted) > 1:
      raise errors.UserError('a place is a region or the points of a face, not both')
    return fitted[0]

  def fit_all(
    self,
    picture: Any,
    *,
    name: str = '',
    max_pixels: int | None = None,
    regions: Sequence[Sequence[float]] = (),
    points: Sequence[Sequence] = (),
  ) -> list[Fitted]:
    """Returns several places of a picture, which is decoded once; arguments are those of `fit`.

    `t([face, other_face], [you, her], size='own')` changes each after its exemplar.

    Args:
      picture: likewise.
      name: likewise.
      max_pixels: likewise.
      regions: a place each; first in the result.
      points: of several faces, a place each.
    """
    most = self.config.data.max_pixels if max_pixels is None else max_pixels
    places = [fitting.at_region(region) for region in regions]
    template = landmarks.template_of(self.config) if len(points) else None
    for face in points:
      places.append(fitting.at_points(face, template, self.transform))
    return fitting.fit(
      picture, self.transform, name=name, max_pixels=most, places=places or (None,)
    )

  def __call__(
    self,
    source: Any,
    exemplar: Any = None,
    source_mask: Any = None,
    exemplar_mask: Any = None,
    *,
    reverse: bool = False,
    seed: int | None = None,
    labels: Mapping[str, float] | Any = None,
    size: str = 'model',
  ) -> Translation:
    """Translates the source after the exemplar's example, or without an exemplar.

    Args:
      source: image or images to change.
      exemplar: image or images to take from; None for a method without exemplars, or for a random
        style.
      source_mask: where to change the source; replaces the predicted mask.
      exemplar_mask: what to take from the exemplar; replaces the predicted mask.
      reverse: the source is of domain b and the exemplar, if any, of a; for methods that tell the
        domains apart.
      size: 'model', or 'own' for a source that `fit` made, or several of one picture: image and
        source_mask then are those of the whole picture, which stays as it is where source_mask is
        0; docs/photographs.md.
      seed: chooses the random style, one for all sources, without an exemplar; None is 0.
        For methods with the ability 'random_style'.
      labels: what the result is to have, for methods with the ability 'labels': strengths by
        name, such as {'Eyeglasses': 1}, where 1 is as strong as in training and 0 takes it away,
        or an array [K] or [B, K] in the order of `method.label_names`. Labels that a dict does
        not name are those that the method reads off the exemplar, or without one off the source.
    """
    pasting.check(size, source)
    if reverse:
      self._require('reverse')
    images, numbers = {'source': source}, {}
    wanted = self._wanted_labels(labels, source if exemplar is None else exemplar)
    if wanted is not None and exemplar is not None:
      self._require('exemplar')
    elif exemplar is None:
      numbers = self._style_numbers(seed, has_labels=wanted is not None)
    else:
      self._require('exemplar')
      images['exemplar'] = exemplar
      if seed is not None:
        raise errors.UserError('an exemplar has a style already: leave out seed')
    masks = {'source_mask': source_mask, 'exemplar_mask': exemplar_mask}
    for name, mask in masks.items():
      if mask is not None:
        self._require(name)
    name = 'translate_back' if reverse else 'translate'
    translation = self._run(name, images, masks, labels=wanted, **numbers)
    if size == 'model':
      return translation
    is_opacity = self.method.mask_is_opacity
    return pasting.at_own_size(source, translation, is_opacity=is_opacity)

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

  def read_labels(self, image: Any) -> np.ndarray:
    """Returns how sure the method's classifier is of each label of an image, [B, K] in [0, 1].

    Their names are `method.label_names`.
    """
    self._require('read_labels')
    return self._run('read_labels', {'image': image}, {})

  def interpolate(
    self, source: Any, exemplar_1: Any, exemplar_2: Any, n: int
  ) -> Translation:
    """Translates along the line between two exemplars: n frames on a new leading axis."""
    self._require('interpolate')
    if n < 2:
      raise errors.UserError(
        f'an interpolation of {n} frames has no two ends; take n >= 2'
      )

    # Frames are computed one by one, so that memory does not grow with them.
    images = {'source': source, 'exemplar_1': exemplar_1, 'exemplar_2': exemplar_2}
    frames = []
    for weight in np.linspace(0, 1, n):
      frames.append(self._run('interpolate', images, {}, weight=np.float32(weight)))
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
      what: 'translate', 'remove' or 'segment'. To translate by a method that needs labels, these
        are the last input, float32 [B, K].
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
    labels = None
    if self.method.needs_labels:
      labels = np.zeros(len(self.method.label_names))
    if what == 'translate':
      self(noise, exemplar, reverse=reverse, labels=labels)
    elif what == 'remove':
      self.remove(noise)
    else:
      self.segment(noise)

  def _require(self, ability: str) -> None:
    """Raises UserError if the method lacks an ability."""
    if ability not in self.abilities:
      raise errors.UserError(
        f'{self.config.method} cannot do {ability!r}; it can do '
        f'{", ".join(sorted(self.abilities)) or "nothing but translate"}'
      )

  def _wanted_labels(self, labels: Any, picture: Any) -> np.ndarray | None:
    """Returns the labels that a translation is asked for, [B, K]; None if it is not.

    Those that are not named are read off `picture`.
    """
    labels = self.labels or None if labels is None else labels
    if labels is None:
      return None
    self._require('labels')
    names = self.method.label_names
    if not isinstance(labels, Mapping):
      return label_arguments.check_array(labels, names)
    label_arguments.check_names(labels, names)
    read = None
    if 'read_labels' in self.abilities and set(names) - set(labels):
      read = np.atleast_2d(self.read_labels(picture))
    return label_arguments.complete(labels, names, read)

  def _style_numbers(
    self, seed: int | None, *, has_labels: bool = False
  ) -> dict[str, np.uint32]:
    """Returns the seed of a random style by name, or nothing for a method without styles.

    UserError where the method needs an exemplar, or draws no styles though a seed is given.
    """
    if seed is not None:
      self._require('random_style')
    if has_labels:
      return {}
    if 'random_style' in self.abilities:
      return {'seed': arguments.check_seed(seed or 0)}
    if 'exemplar' in self.abilities:
      raise errors.UserError(
        f'{self.config.method} needs an exemplar: call t(source, exemplar)'
        f'{" or t(source, labels=...)" if "labels" in self.abilities else ""}'
      )
    if self.method.needs_labels:
      raise errors.UserError(
        f'{self.config.method} needs labels: call t(source, labels=...) with strengths of '
        f'{", ".join(self.method.label_names)}'
      )
    return {}

  def _missing_weight(self, variables: Any) -> str:
    """Returns the error of a weight that some function of the method misses, or ''."""
    shape = base.image_shape(self.config)
    labels = 0
    if self.method.needs_labels:
      labels = len(self.method.label_names)
    return calls.missing_weight(
      self._calls, variables, self.abilities, shape, labels=labels
    )

  def _run(
    self,
    name: str,
    images: dict[str, Any],
    masks: dict[str, Any],
    *,
    labels: np.ndarray | None = None,
    **numbers: Any,
  ) -> Any:
    """Checks the arguments and computes in chunks; returns NumPy arrays."""
    shape = base.image_shape(self.config)
    arrays, single = arguments.check_all(images, masks, shape)
    if labels is not None:
      arrays['labels'] = labels
    count = arguments.common_length(arrays)
    call = functools.partial(self._calls[name], self._variables, **numbers)
    result, finite = calls.in_chunks(
      call, arrays, count, pad=not self.method.mixes_examples
    )
    if not finite.all():
      self._refuse(np.flatnonzero(~finite), count)
    if single and count == 1:
      return jax.tree.map(lambda x: x[0], result)
    return result

  def _refuse(self, examples: np.ndarray, count: int) -> None:
    """Raises NotFiniteError for these examples of `count`."""
    step = '' if self.step is None else f' at step {self.step}'
    raise errors.NotFiniteError(
      f'{self.origin or "the model"}{step} computes NaN or infinite values for {len(examples)} '
      f'of {count} pictures: its weights are too large or damaged; use another checkpoint',
      examples.tolist(),
    )


def _copied(*trees: Any) -> tuple[Any, ...]:
  """Returns copies on this process' first device: a training step donates the originals."""
  return jax.device_put(jax.tree.map(np.array, trees))
