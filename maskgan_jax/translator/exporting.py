"""A trained model as one file that needs none of this package: a jax.export blob, or ONNX.

Bytes go in and bytes come out: scaling is inside. Masks may be inputs too; where an example's mask
holds a value below 0, the model predicts that mask.
"""

from collections.abc import Callable, Mapping
import dataclasses
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
from maskgan_jax.networks import convolutions

WHAT = ('translate', 'remove', 'segment')
# jax2onnx asks for an older Orbax than this package; what it imports is named here instead.
INSTALL = ('pip install onnx onnxruntime onnx-ir equinox einops dm-pix && '
           'pip install --no-deps jax2onnx')
_OPSET = 21  # the newest that ONNX Runtime 1.20 has


@dataclasses.dataclass(frozen=True)
class _Input:
  """Of a graph; jax2onnx asks such for shape and dtype."""
  name: str
  shape: tuple[Any, ...]  # the batch first: a name
  dtype: Any


def check(what: str) -> None:
  """UserError unless that can be exported."""
  if what not in WHAT:
    raise errors.UserError(f'what is {what!r}{errors.nearest(what, WHAT)}; choose one of '
                           f'{", ".join(WHAT)}')


def write(path: str | os.PathLike, calls: Mapping[str, Callable[..., Any]], variables: Any,
          method: base.Method, config: ml_collections.ConfigDict, *, what: str = 'translate',
          masks: bool = False, reverse: bool = False, threshold: float | None = None
          ) -> tuple[list[str], list[str]]:
  """Writes the file, whole or not at all.

  Args:
    path: NAME.onnx, or any other name for a jax.export blob.
    calls: `translator.functions(method)`, fresh.
    variables: (params, model_state), NumPy.
    method: whose.
    config: of the run.
    what: one of WHAT.
    masks: whether masks are inputs.
    reverse: translate from domain b to a.
    threshold: of removal.
  Returns:
    Names of inputs and outputs.
  """
  function, inputs = _function(calls, variables, method, config, what, masks, reverse, threshold)
  if os.fspath(path).lower().endswith('.onnx'):
    data, outputs = _onnx(function, inputs)
  else:
    data, outputs = _blob(function, inputs)
  files.write_atomically(path, data)
  return [f'{i.name} {np.dtype(i.dtype).name}[{", ".join(map(str, i.shape))}]' for i in inputs
          ], outputs


def _function(calls, variables, method, config, what, masks, reverse, threshold):
  """(function from arrays to a dict of arrays, its inputs)."""
  shape = base.image_shape(config)
  able = method.abilities
  roles = ['source'] + ['exemplar'] * ('exemplar' in able)
  images = roles if what == 'translate' else ['source']
  named = []
  if masks and what == 'translate':
    named = [f'{role}_mask' for role in roles if f'{role}_mask' in able]
  elif masks and what == 'remove':
    named = ['source_mask']
  if masks and not named:
    raise errors.UserError(f'{what} of {config.method} takes no mask; leave masks out')
  inputs = [_Input(name, ('b', *shape, 3), np.uint8) for name in images]
  inputs += [_Input(name, ('b', *shape, 1), np.float32) for name in named]

  def chosen(given, predicted):
    """Each example's own mask, or the predicted one; without a prediction, all of the picture."""
    predicted = jnp.ones_like(given) if predicted is None else predicted
    own = (given >= 0).all(axis=(1, 2, 3), keepdims=True)
    return jnp.where(own, given, predicted)

  def translate(*arrays):
    given = dict(zip((i.name for i in inputs), arrays, strict=True))
    pictures = [given.pop(name) for name in images]
    call = calls['translate_back' if reverse else 'translate']
    fixed = {}
    # What is taken comes first: where it goes is predicted from that. Runtimes merge what repeats.
    for name in ('exemplar_mask', 'source_mask'):
      if name in given:
        predicted = getattr(call(variables, *pictures, **fixed), name)
        fixed[name] = chosen(given[name], predicted)
    result = call(variables, *pictures, **fixed)
    parts = {name: getattr(result, name) for name in ('image', 'source_mask', 'exemplar_mask')}
    return {name: part for name, part in parts.items() if part is not None}

  def remove(source, mask=None):
    options = {'threshold': None if threshold is None else np.float32(threshold)}
    if mask is not None:
      mask = chosen(mask, calls['remove'](variables, source, **options).source_mask)
    result = calls['remove'](variables, source, mask, **options)
    return {'image': result.image, 'source_mask': result.source_mask}

  def segment(source):
    return {'mask': calls['segment'](variables, source)}

  return {'translate': translate, 'remove': remove, 'segment': segment}[what], inputs


def _blob(function, inputs) -> tuple[bytes, list[str]]:
  batch = jax.export.symbolic_shape('b')
  shapes = [jax.ShapeDtypeStruct((*batch, *i.shape[1:]), i.dtype) for i in inputs]
  exported = jax.export.export(jax.jit(function), platforms=('cpu', 'cuda', 'tpu'))(*shapes)
  try:
    data = bytes(exported.serialize())
  except ImportError as error:
    raise errors.UserError('exporting needs flatbuffers: pip install flatbuffers') from error
  return data, _outputs(function, inputs)


def _outputs(function, inputs):
  """Names, the picture's first."""
  examples = [jax.ShapeDtypeStruct((1, *i.shape[1:]), i.dtype) for i in inputs]
  return sorted(jax.eval_shape(function, *examples), key=lambda name: (name != 'image', name))


def _onnx(function, inputs) -> tuple[bytes, list[str]]:
  try:
    import jax2onnx
    import onnx
  except ImportError as error:
    raise errors.UserError(f'writing ONNX needs {error.name}: {INSTALL}') from error
  logging.getLogger('onnx_ir').setLevel(logging.ERROR)  # it warns of types that are not used
  with convolutions.portable():
    names = _outputs(function, inputs)
    outputs = [_output(name, inputs) for name in names]

    def ordered(*arrays):
      results = function(*arrays)
      return tuple(results[name] for name in names)
    try:
      with warnings.catch_warnings():  # its where() asks for float64, and gets float32
        warnings.filterwarnings('ignore', 'Explicitly requested dtype float64')
        model = jax2onnx.to_onnx(ordered, inputs, model_name='maskgan_jax', opset=_OPSET,
                                 return_mode='proto', input_names=[i.name for i in inputs],
                                 output_names=outputs)
    except NotImplementedError as error:
      reason = ' '.join(str(error).split())
      raise errors.UserError(f'jax2onnx cannot write this model as ONNX ({reason}); leave out '
                             '.onnx to write a jax.export blob') from error
  onnx.checker.check_model(model)
  return model.SerializeToString(), outputs


def _output(name, inputs) -> str:
  """An output's name: ONNX has one space of names, so a mask that is given comes out as 'used'."""
  return f'used_{name}' if name in [i.name for i in inputs] else name
