"""`.tflite` bytes <-> objects, by the schema that comes with LiteRT.

No TensorFlow here, and no LiteRT before a function is called.
"""

import struct

IDENTIFIER = b"TFL3"

# What reading beyond the end, or nonsense, raises in the generated code.
_DAMAGE = (
  AttributeError,
  IndexError,
  MemoryError,
  OverflowError,
  TypeError,
  UnicodeDecodeError,
  ValueError,
  struct.error,
)


def load(model: bytes):
  """The model as a tree of objects (`schema_py_generated.ModelT`).

  What stands behind the flatbuffer is left out.

  Raises:
    ValueError: no LiteRT flatbuffer, or not a whole one.
  """
  from ai_edge_litert import schema_py_generated as schema

  if model[4:8] != IDENTIFIER:
    raise ValueError(
      f"model must be a .tflite ({IDENTIFIER.decode()} at byte 4); received "
      f"{model[4:8]!r}"
    )
  try:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
  except _DAMAGE as error:
    raise ValueError(
      f"model must be a whole .tflite; received {len(model)} bytes that end "
      f"too early or are damaged ({type(error).__name__})"
    ) from None


def dump(model) -> bytes:
  """The bytes of what `load` returned; the same tree gives the same bytes.

  Constants begin at multiples of 16, as the schema demands: the generated
  code leaves them at multiples of 4. A tensor that two graphs hold is written
  once.
  """
  import flatbuffers

  builder = flatbuffers.Builder(1 << 20)
  buffers, tensors = model.buffers, [g.tensors for g in model.subgraphs or ()]
  once = {id(t): _Once(t) for group in tensors for t in group or ()}
  model.buffers = [_Aligned(buffer) for buffer in buffers]
  for graph, group in zip(model.subgraphs or (), tensors, strict=True):
    graph.tensors = group and [once[id(t)] for t in group]
  try:
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
  finally:
    model.buffers = buffers
    for graph, group in zip(model.subgraphs or (), tensors, strict=True):
      graph.tensors = group
  return bytes(builder.Output())


class _Once:
  """Writes an object the first time; later it is where it was."""

  def __init__(self, written):
    self._written, self._offset = written, None

  def Pack(self, builder):  # noqa: N802 (called by the generated code)
    if self._offset is None:
      self._offset = self._written.Pack(builder)
    return self._offset


class _Aligned:
  """Writes a buffer as its own `Pack` does, but at a multiple of 16."""

  def __init__(self, buffer):
    self._buffer = buffer

  def Pack(self, builder):  # noqa: N802 (called by the generated code)
    from ai_edge_litert import schema_py_generated as schema

    data = self._buffer.data
    if data is not None:
      data = bytes(bytearray(data))
      builder.StartVector(1, len(data), 16)
      builder.head -= len(data)
      builder.Bytes[builder.head : builder.head + len(data)] = data
      data = builder.EndVector()
    schema.BufferStart(builder)
    if data is not None:
      schema.BufferAddData(builder, data)
    schema.BufferAddOffset(builder, self._buffer.offset)
    schema.BufferAddSize(builder, self._buffer.size)
    return schema.BufferEnd(builder)


def shape(tensor) -> list[int]:
  """Of a tensor of the tree; -1 where a length is free."""
  signature = tensor.shapeSignature
  if signature is None:
    signature = tensor.shape
  return [] if signature is None else [int(n) for n in signature]


def names(enum) -> dict[int, str]:
  """`{value: name}` of an enumeration of the schema."""
  return {v: k for k, v in vars(enum).items() if isinstance(v, int)}


def operator_code(code) -> int:
  """Builtin operator of an entry of `operatorCodes`; old files use a byte."""
  return max(code.builtinCode, code.deprecatedBuiltinCode)
