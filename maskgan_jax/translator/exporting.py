"""A trained model as one file that runs without this package: a jax.export blob, or ONNX.

Images go in and come out as bytes; the file scales them. Masks may be inputs too: where an
example's mask holds a value below 0, the model predicts that mask.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import logging
import os
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from maskgan_jax import errors, files
from maskgan_jax.methods import base
from maskgan_jax.networks import cpu_kernels

WHAT = ('translate', 'remove', 'segment')
# jax2onnx requires an older Orbax than this package, so its imports are installed by name.
INSTALL = (
  'pip install onnx onnxruntime onnx-ir equinox einops dm-pix && '
  'pip install --no-deps jax2onnx'
)
_OPSET = 21  # the newest that ONNX Runtime 1.20 has


@dataclasses.dataclass(frozen=True)
class _Input:
  """An input of a graph, with the attributes that jax2onnx reads."""

  name: str
  shape: tuple[Any, ...]  # the first axis, of the batch, is a name
  dtype: Any

  def __str__(self) -> str:
    sizes = ', '.join(map(str, self.shape))
    return f'{self.name} {np.dtype(self.dtype).name}[{sizes}]'


def check(what: str) -> None:
  """Raises UserError unless the function of this name can be exported."""
  if what not in WHAT:
    raise errors.UserError(
      f'what is {what!r}{errors.nearest(what, WHAT)}; choose one of {", ".join(WHAT)}'
    )


@dataclasses.dataclass(frozen=True)
class Exported:
  """A model to write as a file.

  Attributes:
    calls: `translator.functions(method)`, fresh.
    variables: (params, model_state) as NumPy arrays.
    method: the model's method.
    config: the run's.
  """

  calls: Mapping[str, Callable[..., Any]]
  variables: Any
  method: base.Method
  config: ml_collections.ConfigDict

  def write(
    self,
    path: str | os.PathLike,
    *,
    what: str = 'translate',
    masks: bool = False,
    reverse: bool = False,
    threshold: float | None = None,
  ) -> tuple[list[str], list[str]]:
    """Writes the file, whole or not at all; see `Translator.export`.

    Args:
      path: NAME.onnx, or any other name for a jax.export blob.
      what: one of WHAT.
      masks: whether masks are inputs.
      reverse: whether to translate from domain b to a.
      threshold: binarises the mask of a removal.
    Returns:
      Names of inputs and outputs.
    """
    mask_names = self._mask_names(what) if masks else []
    if masks and not mask_names:
      raise errors.UserError(
        f'{what} of {self.config.method} takes no mask; leave masks out'
      )
    image_names, has_labels = ['source'], False
    if what == 'translate' and 'exemplar' in self.method.abilities:
      image_names.append('exemplar')

    if what == 'translate':
      function = self._translation(image_names, mask_names, reverse)
      has_labels = self.method.needs_labels
    elif what == 'remove':
      function = self._removal(threshold)
    else:
      function = self._segmentation
    inputs = self._inputs(image_names, mask_names)
    if has_labels:
      count = len(self.method.label_names)
      inputs.append(_Input('labels', ('b', count), np.float32))
    is_onnx = os.fspath(path).lower().endswith('.onnx')
    data, outputs = _onnx(function, inputs) if is_onnx else _blob(function, inputs)
    files.write_atomically(path, data)
    return [str(each) for each in inputs], outputs

  def _inputs(
    self, image_names: Sequence[str], mask_names: Sequence[str]
  ) -> list[_Input]:
    """Returns the inputs of the graph: images of bytes, then masks."""
    shape = base.image_shape(self.config)
    inputs = [_Input(name, ('b', *shape, 3), np.uint8) for name in image_names]
    inputs += [_Input(name, ('b', *shape, 1), np.float32) for name in mask_names]
    return inputs

  def _mask_names(self, what: str) -> list[str]:
    """Returns the masks that a function takes, in the order of its arguments."""
    if what == 'remove':
      return ['source_mask']
    abilities = self.method.abilities
    if what != 'translate':
      return []
    names = ['source_mask'] if 'source_mask' in abilities else []
    if 'exemplar' in abilities and 'exemplar_mask' in abilities:
      names.append('exemplar_mask')
    return names

  def _translation(
    self, image_names: Sequence[str], mask_names: Sequence[str], reverse: bool
  ) -> Callable[..., dict[str, Any]]:
    """Returns a function from images, masks and labels to the translation and its masks."""
    call = self.calls['translate_back' if reverse else 'translate']

    def translate(*arrays):
      arrays, labels = list(arrays), {}
      if self.method.needs_labels:
        labels['labels'] = arrays.pop()
      images = arrays[: len(image_names)]
      inputs = dict(zip(mask_names, arrays[len(image_names) :], strict=True))
      options = labels
      # The exemplar's mask comes first: the source's is predicted from what is taken. Runtimes
      # merge computations that repeat.
      for name in ('exemplar_mask', 'source_mask'):
        if name in inputs:
          predicted = call(self.variables, *images, **options).masks[name]
          options[name] = _given_or_predicted(inputs[name], predicted)
      result = call(self.variables, *images, **options)
      outputs = {'image': result.image, **result.masks}
      return {name: output for name, output in outputs.items() if output is not None}

    return translate

  def _removal(self, threshold: float | None) -> Callable[..., dict[str, Any]]:
    """Returns a function from an image, and perhaps a mask, to the removal by name."""
    threshold = None if threshold is None else np.float32(threshold)
    call = functools.partial(self.calls['remove'], self.variables, threshold=threshold)

    def remove(source, mask=None):
      if mask is not None:
        mask = _given_or_predicted(mask, call(source).source_mask)
      result = call(source, mask)
      return {'image': result.image, 'source_mask': result.source_mask}

    return remove

  def _segmentation(self, source: jax.Array) -> dict[str, jax.Array]:
    """Returns the soft mask of an image by name."""
    return {'mask': self.calls['segment'](self.variables, source)}


def _given_or_predicted(mask: jax.Array, predicted: jax.Array | None) -> jax.Array:
  """Returns each example's given mask, or the predicted one where it holds a value below 0.

  A method that predicts no mask changes all of the picture.
  """
  predicted = jnp.ones_like(mask) if predicted is None else predicted
  is_given = (mask >= 0).all(axis=(1, 2, 3), keepdims=True)
  return jnp.where(is_given, mask, predicted)


def _blob(function, inputs) -> tuple[bytes, list[str]]:
  """Returns a jax.export blob and the names of its outputs."""
  # The batch has a symbolic length, so that the file takes any.
  batch = jax.export.symbolic_shape('b')
  shapes = [jax.ShapeDtypeStruct((*batch, *i.shape[1:]), i.dtype) for i in inputs]
  platforms = ('cpu', 'cuda', 'tpu')
  exported = jax.export.export(jax.jit(function), platforms=platforms)(*shapes)
  try:
    data = bytes(exported.serialize())
  except ImportError as error:
    raise errors.UserError(
      'exporting needs flatbuffers: pip install flatbuffers'
    ) from error
  return data, _outputs(function, inputs)


def _outputs(function, inputs) -> list[str]:
  """Returns the names of the outputs, the image's first."""
  examples = [jax.ShapeDtypeStruct((1, *i.shape[1:]), i.dtype) for i in inputs]
  names = jax.eval_shape(function, *examples)
  return sorted(names, key=lambda name: (name != 'image', name))


def _onnx(function, inputs) -> tuple[bytes, list[str]]:
  """Returns an ONNX file and the names of its outputs."""
  try:
    import jax2onnx
    import onnx
  except ImportError as error:
    raise errors.UserError(f'writing ONNX needs {error.name}: {INSTALL}') from error
  # It warns of types that are not used.
  logging.getLogger('onnx_ir').setLevel(logging.ERROR)
  input_names = [each.name for each in inputs]
  with cpu_kernels.portable():
    names = _outputs(function, inputs)
    # ONNX has one space of names: a mask that is an input comes out under another name.
    outputs = [f'used_{name}' if name in input_names else name for name in names]

    def ordered(*arrays):
      results = function(*arrays)
      return tuple(results[name] for name in names)

    try:
      with warnings.catch_warnings():  # its where() asks for float64, and gets float32
        warnings.filterwarnings('ignore', 'Explicitly requested dtype float64')
        model = jax2onnx.to_onnx(
          ordered,
          inputs,
          model_name='maskgan_jax',
          opset=_OPSET,
          return_mode='proto',
          input_names=input_names,
          output_names=outputs,
        )
    except NotImplementedError as error:
      reason = ' '.join(str(error).split())
      raise errors.UserError(
        f'jax2onnx cannot write this model as ONNX ({reason}); leave out '
        '.onnx to write a jax.export blob'
      ) from error
  onnx.checker.check_model(model)
  return model.SerializeToString(), outputs
