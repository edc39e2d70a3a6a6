"""Keras -> `.tflite`, front end and network converted apart and grafted.

The front end always stays float32: converting the whole waveform graph would
quantise window, DFT and mel constants too, and ruin tonal input. The time axis
stays dynamic: a runtime sets it with `resize_tensor_input`.
"""

import re
import tempfile
from dataclasses import replace

import numpy as np

from yoho_tf.deploy import metadata

PRECISIONS = ("float32", "float16")


def convert(function, variables, *, shape, name, output, precision="float32"):
  """A function of one float32 tensor -> flatbuffer bytes, builtin ops only.

  Args:
    function: called with a tensor of `shape`, returns one tensor.
    variables: list of the variables it uses (without it no weights are saved).
    shape: of the input; None is dynamic.
    name, output: names in the signature `serving_default`.
    precision: "float32", or "float16" weights.

  Raises:
    ValueError: an unknown precision, or an operator without a builtin.
  """
  import tensorflow as tf

  if precision not in PRECISIONS:
    raise ValueError(
      f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}"
    )
  module = tf.Module()
  module.weights = variables
  spec = tf.TensorSpec(shape, tf.float32, name=name)
  module.serve = tf.function(
    lambda x: {output: function(x)}, input_signature=[spec]
  )
  with tempfile.TemporaryDirectory() as folder:
    tf.saved_model.save(
      module, folder, signatures={"serving_default": module.serve}
    )
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "float16":
      converter.optimizations = [tf.lite.Optimize.DEFAULT]
      converter.target_spec.supported_types = [tf.float16]
    try:
      return converter.convert()
    except Exception as error:  # its class is private
      names = sorted(set(re.findall(r"'tf\.(\w+)' op is", str(error))))
      if not names:
        raise
      raise ValueError(
        f"function must use operators that LiteRT has; got {', '.join(names)}"
      ) from None


def graft(front: bytes, trunk: bytes) -> bytes:
  """One model that feeds the only output of `front` to the input of `trunk`.

  Raises:
    ValueError: more than one tensor at the joint, or types or shapes differ.
  """
  import flatbuffers
  from ai_edge_litert import schema_py_generated as schema

  first, second = (
    schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    for data in (front, trunk)
  )
  a, b = first.subgraphs[0], second.subgraphs[0]
  if len(a.outputs) != 1 or len(b.inputs) != 1:
    raise ValueError(
      "graft needs one output in front and one input in trunk; received "
      f"{len(a.outputs)} and {len(b.inputs)}"
    )
  joint, old = int(a.outputs[0]), int(b.inputs[0])
  if a.tensors[joint].type != b.tensors[old].type:
    raise ValueError("graft needs the same type at the joint")
  shapes = [_shape(a.tensors[joint]), _shape(b.tensors[old])]
  fits = len(shapes[0]) == len(shapes[1]) and all(
    m == n or -1 in (m, n) for m, n in zip(*shapes, strict=True)
  )
  if not fits:
    raise ValueError(
      f"graft needs the same shape at the joint; received {shapes[0]} and "
      f"{shapes[1]}"
    )

  buffers, codes = len(first.buffers), len(first.operatorCodes)
  tensors = len(a.tensors)

  def moved(index):
    if index == -1:  # an optional input that is absent
      return -1
    return joint if index == old else index + tensors

  # Bodies of loops (a GRU) are subgraphs of their own, called by number.
  shift = len(first.subgraphs) - 1
  for subgraph in second.subgraphs:
    for tensor in subgraph.tensors:
      tensor.buffer += buffers
    for operator in subgraph.operators:
      operator.opcodeIndex += codes
      for name, value in [
        *getattr(operator.builtinOptions, "__dict__", {}).items()
      ]:
        if name.endswith("SubgraphIndex"):
          setattr(operator.builtinOptions, name, value + shift)
  for operator in b.operators:
    operator.inputs = np.array([moved(i) for i in operator.inputs], np.int32)
    operator.outputs = np.array([moved(i) for i in operator.outputs], np.int32)
  first.subgraphs += second.subgraphs[1:]
  first.buffers += second.buffers
  first.operatorCodes += second.operatorCodes
  a.tensors += b.tensors
  a.operators += b.operators
  a.outputs = np.array([moved(i) for i in b.outputs], np.int32)
  signature = first.signatureDefs[0]
  signature.outputs = second.signatureDefs[0].outputs
  for output in signature.outputs:
    output.tensorIndex = moved(output.tensorIndex)
  # Converter notes hold offsets into the separate files: they would lie here.
  first.metadata = []
  builder = flatbuffers.Builder(1 << 20)
  builder.Finish(first.Pack(builder), file_identifier=b"TFL3")
  return bytes(builder.Output())


def _shape(tensor) -> list[int]:
  """Of a tensor of the object API; -1 where a length is free."""
  signature = tensor.shapeSignature
  return list(map(int, tensor.shape if signature is None else signature))


def yoho(network, params, *, class_map, precision="float16") -> bytes:
  """A YOHO network -> `waveform [1, samples]` -> `events [1, cells, ...]`.

  On the lattice `window` the input is one window; a baseline gives `scores`.

  Args:
    network: built with `params` and `input="log_mel"`.
    params: stored inside, tuned post-processing included.
    class_map: `ClassMap` of `params.labels`, stored inside.

  Raises:
    ValueError: the class map holds other labels.
  """
  if class_map.names != params.labels:
    raise ValueError(
      f"class_map must hold the labels {params.labels}; got {class_map.names}"
    )
  from yoho_tf.layers.frontend import log_mel_layer

  front_layer = log_mel_layer(params.frontend)
  samples = frames = None  # any length on the lattice `stride`
  if params.lattice == "window":
    samples, frames = params.window_samples, params.window_frames
  front = convert(
    front_layer, [], shape=[1, samples], name="waveform", output="log_mel"
  )
  trunk = convert(
    lambda x: network({"log_mel": x})[params.output],
    [v.value for v in network.variables],
    shape=[1, frames, params.frontend.mel_bands],
    name="log_mel",
    output=params.output,
    precision=precision,
  )
  return metadata.pack(
    graft(front, trunk),
    metadata.texts(replace(params, input="waveform"), class_map),
  )
