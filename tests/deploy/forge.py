"""Small `.tflite` files made by hand: no TensorFlow, and any fault on order."""

import numpy as np


def classifier(num_samples=8, num_classes=3, *, seed=0) -> bytes:
  """`waveform [1, samples]` -> `scores [1, classes]`: one dense layer."""
  from ai_edge_litert import schema_py_generated as schema

  from yoho_tf.deploy import flatbuffer

  kernel = np.random.default_rng(seed).normal(size=(num_classes, num_samples))
  model = schema.ModelT()
  model.version, model.description = 3, b"forged"
  model.buffers = [schema.BufferT(), schema.BufferT()]
  model.buffers[1].data = np.frombuffer(
    kernel.astype("<f4").tobytes(), np.uint8
  )
  graph = schema.SubGraphT()
  shapes = {
    "waveform_tensor": ([1, num_samples], 0),
    "kernel": ([num_classes, num_samples], 1),
    "scores_tensor": ([1, num_classes], 0),
  }
  graph.tensors = []
  for name, (shape, buffer) in shapes.items():
    tensor = schema.TensorT()
    tensor.name, tensor.buffer = name.encode(), buffer
    tensor.shape = np.array(shape, np.int32)
    tensor.type = schema.TensorType.FLOAT32
    graph.tensors.append(tensor)
  dense = schema.OperatorT()
  dense.opcodeIndex = 0
  dense.inputs = np.array([0, 1, -1], np.int32)
  dense.outputs = np.array([2], np.int32)
  dense.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
  dense.builtinOptions = schema.FullyConnectedOptionsT()
  graph.operators = [dense]
  graph.inputs, graph.outputs = (np.array([i], np.int32) for i in (0, 2))
  model.subgraphs = [graph]
  code = schema.OperatorCodeT()
  code.builtinCode = schema.BuiltinOperator.FULLY_CONNECTED
  code.deprecatedBuiltinCode, code.version = code.builtinCode, 1
  model.operatorCodes = [code]
  signature = schema.SignatureDefT()
  signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
  for side, name, index in (
    ("inputs", b"waveform", 0),
    ("outputs", b"scores", 2),
  ):
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    setattr(signature, side, [entry])
  model.signatureDefs = [signature]
  return flatbuffer.dump(model)


def edited(model: bytes, edit) -> bytes:
  """The bytes after `edit(tree)`."""
  from yoho_tf.deploy import flatbuffer

  tree = flatbuffer.load(model)
  edit(tree)
  return flatbuffer.dump(tree)
