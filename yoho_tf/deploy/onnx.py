"""Keras -> `.onnx`, opset 17, standard operators only.

`waveform [1, samples]` of any length: YOHO pads it to whole cells, YAMNet to
whole patches, both inside the graph. `log_mel [1, frames, bands]`: YOHO takes
any multiple of 32 frames, YAMNet one patch. `frames` fixes the length instead,
`dynamic_batch` frees the first axis. Class map, labels and params travel as
the model's metadata properties.

ONNX has no FFT below opset 20 that all runtimes take, so the front end is the
convolution, `transform="dft"`: the same function.
"""

import contextlib
import logging
from dataclasses import replace

import numpy as np

from yoho_tf import files
from yoho_tf.deploy import backends, keras_file, litert, metadata
from yoho_tf.params import YohoParams

OPSET = 17
TOLERANCE = {"log_mel": 1e-4, "waveform": 1e-3}
# Of a free axis, by the number of that axis in an input or output.
_AXES = {
  "waveform": ("batch", "samples"),
  "log_mel": ("batch", "frames"),
  "events": ("batch", "cells"),
  "scores": ("batch", "patches"),
  "embeddings": ("batch", "patches"),
}


def write(
  network,
  params,
  path,
  *,
  class_map,
  input="waveform",
  frames=None,
  dynamic_batch=False,
  outputs=None,
) -> None:
  """Writes the file once it passes onnx.checker and runs as Keras does.

  Args:
    network: float32, built with `params` and `input="log_mel"`.
    params: `YohoParams` or `YamnetParams`, stored inside.
    class_map: `ClassMap` of `params.labels`, stored inside.
    input: "waveform" or "log_mel".
    frames: fixes the length of a YOHO on the lattice `stride`: so many frames,
      or the samples under them, which are not padded then.
    dynamic_batch: any batch instead of 1.
    outputs: names; default all but the logits.

  Raises:
    ValueError: a package that is missing, other labels, a file that fails.
  """
  if input not in TOLERANCE:
    raise ValueError(f"input must be waveform or log_mel; got {input!r}")
  if params.labels and class_map.names != params.labels:
    raise ValueError(
      f"class_map must hold the labels {params.labels}; got {class_map.names}"
    )
  front = replace(params.frontend, transform="dft")
  params = replace(params, input=input, frontend=front)
  function, known, shape = _graph(network, params, frames)
  if outputs is None:
    outputs = [n for n in known if not n.endswith("_logits")]
  for name in outputs:
    if name not in known:
      raise ValueError(
        f"outputs must be among {', '.join(known)}; got {name!r}"
      )
  batch = None if dynamic_batch else 1
  model = convert(
    lambda x: {
      name: value for name, value in function(x).items() if name in outputs
    },
    shape=[batch, *shape],
    name=input,
  )
  _tidy(model, input, {n: known[n] for n in outputs}, batch, shape)
  for name, text in metadata.texts(params, class_map).items():
    model.metadata_props.add(key=name, value=text)
  with files.replacing(path) as part:
    part.write_bytes(model.SerializeToString())
    _check(part, function, input, params, frames, shape, outputs)


def convert(function, *, shape, name, opset=OPSET):
  """A function of one float32 tensor, giving a dict -> `onnx.ModelProto`.

  Args:
    function: called with a tensor of `shape`; its variables become constants.
    shape: of the input; None is dynamic.
    name: of the input.

  Raises:
    ValueError: a package that is missing, or an operator that ONNX lacks.
  """
  tf = backends.need("tensorflow", what="export to ONNX", extra="[train]")
  tf2onnx = _tf2onnx()
  spec = tf.TensorSpec(shape, tf.float32, name=name)
  served = tf.function(function, input_signature=[spec])
  graph = served.get_concrete_function(spec).graph
  lacking = sorted(
    {op.type for op in graph.get_operations() if "FFT" in op.type}
  )
  if lacking:  # tf2onnx would log an error and write an invalid file
    raise ValueError(
      f"function must use operators that ONNX has; got {', '.join(lacking)} "
      "(frontend.transform='dft' is the same function without)"
    )
  with _quiet(), backends.quiet():
    model, _ = tf2onnx.convert.from_function(
      served, input_signature=[spec], opset=opset
    )
  return model


def _tf2onnx():
  tf2onnx = backends.need("tf2onnx", what="export to ONNX", extra="[onnx]")
  backends.need("tf2onnx.convert", what="export to ONNX", extra="[onnx]")
  return tf2onnx


@contextlib.contextmanager
def _quiet():
  """tf2onnx logs each of its passes; what fails is found by `_check`."""
  logger = logging.getLogger("tf2onnx")
  level = logger.level
  logger.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    logger.setLevel(level)


def _graph(network, params, frames):
  """The function to convert, its outputs' shapes, the input's shape.

  Shapes as Keras knows them, the input's without the batch.
  """
  from yoho_tf.layers.frontend import log_mel_layer

  samples, fixed = litert.lengths(params, frames)
  is_yoho = isinstance(params, YohoParams)
  shapes = {name: tensor.shape for name, tensor in network.output.items()}
  if frames is not None and is_yoho and params.lattice == "stride":
    cells = frames // params.STRIDE_FRAMES
    shapes = {n: (None, cells, *shape[2:]) for n, shape in shapes.items()}
    if params.input == "waveform":
      front = log_mel_layer(params.frontend)
      return lambda x: network({"log_mel": front(x)}), shapes, [samples]
  if params.input == "log_mel":
    shape = [fixed, params.frontend.mel_bands]
    return lambda x: network({"log_mel": x}), shapes, shape
  model = keras_file.rebuilt(network, params)
  shapes = {name: tensor.shape for name, tensor in model.output.items()}
  is_window = is_yoho and params.lattice == "window"
  length = samples if is_window else None
  return lambda x: model({"waveform": x}), shapes, [length]


def _tidy(model, input, outputs, batch, shape):
  """Our order of outputs; 1 or a word where tf2onnx invents a name."""
  graph = model.graph
  by_name = {value.name: value for value in graph.output}
  del graph.output[:]
  graph.output.extend(by_name[name] for name in outputs)
  shapes = {input: (batch, *shape)} | {
    name: (batch, *shape[1:]) for name, shape in outputs.items()
  }
  for value in (*graph.input, *graph.output):
    axes = value.type.tensor_type.shape.dim
    for i, (axis, size) in enumerate(
      zip(axes, shapes[value.name], strict=True)
    ):
      if size is None:
        axis.dim_param = _AXES[value.name][i]
      else:
        axis.dim_value = size
  del graph.value_info[:]  # it names axes as tf2onnx did
  used = {node.domain for node in graph.node}
  for opset in [o for o in model.opset_import if o.domain not in used]:
    model.opset_import.remove(opset)


def _check(path, function, input, params, frames, shape, outputs):
  """The file is valid, uses no operators of others, and runs as Keras does."""
  onnx = backends.need("onnx", what="export to ONNX", extra="[onnx]")
  model = onnx.load(path)
  try:
    onnx.checker.check_model(model, full_check=True)
  except Exception as error:  # onnx has two classes of its own
    raise backends.refused(path, "a valid .onnx", error) from None
  foreign = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
  if foreign:
    raise ValueError(
      f"the .onnx must use standard operators; got domains {sorted(foreign)}"
    )
  network = backends.OnnxFile(path, num_threads=1)
  random = np.random.default_rng(0)
  free = 2 * 32 if input == "log_mel" else 40_001
  x = random.standard_normal([1, *(free if n is None else n for n in shape)])
  x = x.astype(np.float32) * (1.0 if input == "log_mel" else 0.1)
  got, wanted = network({input: x}), function(x)
  if list(got) != list(outputs):
    raise ValueError(f"the .onnx must give {outputs}; got {list(got)}")
  for name in outputs:
    error = np.abs(got[name] - np.asarray(wanted[name])).max()
    if not error <= TOLERANCE[input]:
      raise ValueError(
        f"the .onnx's {name} must agree with Keras within {TOLERANCE[input]:g};"
        f" got a difference of {error:.3g}"
      )
