"""Two LiteRT flatbuffers -> one; no TensorFlow here."""

import copy

import numpy as np

from yoho_tf.deploy import flatbuffer


def graft(front: bytes, trunk: bytes, *, keep_trunk=False) -> bytes:
  """One model that feeds the only output of `front` to an input of `trunk`.

  Args:
    front, trunk: `.tflite` bytes. Of several inputs of the trunk it is the one
      that has the name of the output in front; the others stay inputs.
    keep_trunk: the trunk alone stays callable, by a signature that has the
      name of its input: a second graph of a few kB over the same constants.

  Raises:
    ValueError: more than one tensor at the joint, or types or shapes differ.
  """
  first, second = map(flatbuffer.load, (front, trunk))
  a, b = first.subgraphs[0], second.subgraphs[0]
  signature, inner = first.signatureDefs[0], second.signatureDefs[0]
  joints = inner.inputs
  if len(joints) > 1:
    names = [tensor.name for tensor in signature.outputs]
    joints = [tensor for tensor in joints if tensor.name in names]
  if len(a.outputs) != 1 or len(joints) != 1:
    raise ValueError(
      "graft needs one output in front and one input in trunk, of several "
      f"the one of its name; received {len(a.outputs)} and {len(joints)}"
    )
  joint, old = int(a.outputs[0]), joints[0].tensorIndex
  if a.tensors[joint].type != b.tensors[old].type:
    raise ValueError("graft needs the same type at the joint")
  shapes = [flatbuffer.shape(t) for t in (a.tensors[joint], b.tensors[old])]
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
  others = [moved(i) for i in b.inputs if i != old]
  a.inputs = np.array([*a.inputs, *others], np.int32)
  a.outputs = np.array([moved(i) for i in b.outputs], np.int32)
  for tensor in (*inner.inputs, *inner.outputs):
    tensor.tensorIndex = moved(tensor.tensorIndex)
  signature.inputs += [t for t in inner.inputs if t.tensorIndex != joint]
  signature.outputs = inner.outputs
  if keep_trunk:
    # What is free in front only, such as the batch, stays fixed.
    a.tensors[joint].shapeSignature = b.tensors[old].shapeSignature
    alone = copy.copy(b)
    alone.inputs = np.array([joint], np.int32)
    alone.tensors, alone.outputs = a.tensors, a.outputs
    inner.signatureKey = inner.inputs[0].name
    inner.subgraphIndex = len(first.subgraphs)
    first.subgraphs.append(alone)
    first.signatureDefs.append(inner)
  # Converter notes hold offsets into the separate files: they would lie here.
  first.metadata = []
  return flatbuffer.dump(first)
