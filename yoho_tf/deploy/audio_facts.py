"""The flatbuffer `M001` inside a `.tflite`: what goes in, what comes out.

MediaPipe's AudioClassifier and Task Library read it. Numbers on the left are
the slots of metadata_schema.fbs (tensorflow/tflite-support, Apache-2.0).
"""

import struct

_IDENTIFIER = b"M001"
_FEATURE, _AUDIO = 1, 4  # Content.properties
_AXIS_LABELS = 2  # AssociatedFile.type
_PARSER = "1.3.0"  # oldest that knows these fields


def write(
  texts, sample_rate_hz: int, *, label_file, input_name, output_name
) -> bytes:
  """The metadata of `waveform -> scores`, one channel.

  Args:
    texts: name, description, version, author, license; "" leaves one out.
    label_file: name of the text file with one label a line.
    input_name, output_name: of the two tensors.
  """
  import flatbuffers

  builder = flatbuffers.Builder(1024)
  add = flatbuffers.Builder
  offset = add.PrependUOffsetTRelativeSlot

  def text(value):
    return (offset, builder.CreateString(value)) if value else None

  def table(num_slots, slots):
    """`slots`: {slot: (method, value)}, children built before."""
    builder.StartObject(num_slots)
    for slot, field in slots.items():
      if field is not None:
        method, value = field
        method(builder, slot, value, 0)
    return offset, builder.EndObject()

  def tables(*children):
    builder.StartVector(4, len(children), 4)
    for _, child in reversed(children):
      builder.PrependUOffsetTRelative(child)
    return offset, builder.EndVector()

  def floats(value):
    builder.StartVector(4, 1, 4)
    builder.PrependFloat32(value)
    return offset, builder.EndVector()

  def content(kind, properties):
    return table(2, {0: (add.PrependUint8Slot, kind), 1: properties})

  sound = table(
    2,
    {
      0: (add.PrependUint32Slot, sample_rate_hz),
      1: (add.PrependUint32Slot, 1),  # channel
    },
  )
  waveform = table(
    7,
    {
      0: text(input_name),
      1: text("Mono samples in [-1, 1]."),
      3: content(_AUDIO, sound),
    },
  )
  label_file = table(
    4, {0: text(label_file), 2: (add.PrependInt8Slot, _AXIS_LABELS)}
  )
  scores = table(
    7,
    {
      0: text(output_name),
      1: text("Scores of the labels, each on its own: no sum of 1."),
      3: content(_FEATURE, table(0, {})),
      5: table(2, {0: floats(1.0), 1: floats(0.0)}),
      6: tables(label_file),
    },
  )
  graph = table(10, {2: tables(waveform), 3: tables(scores)})
  name, description, version, author, license = map(text, texts)
  _, model = table(
    8,
    {
      0: name,
      1: description,
      2: version,
      3: tables(graph),
      4: author,
      5: license,
      7: text(_PARSER),
    },
  )
  builder.Finish(model, file_identifier=_IDENTIFIER)
  return bytes(builder.Output())


def read(data: bytes) -> dict:
  """`name`, `version`, `sample_rate_hz`, `label_file`, as far as there.

  Raises:
    ValueError: damaged.
  """
  try:
    return _read(data)
  except (struct.error, UnicodeDecodeError, IndexError, TypeError) as error:
    raise ValueError(
      f"model must hold whole audio metadata; got {type(error).__name__}"
    ) from None


def _read(data):
  import flatbuffers

  def child(table, slot):
    """The table in a slot, or the first of the tables there."""
    where = table and table.Offset(4 + 2 * slot)
    return where and where + table.Pos

  def follow(table, slot, *, vector=False):
    where = child(table, slot)
    if not where:
      return None
    if vector:
      where = table.Vector(where - table.Pos)
    return flatbuffers.table.Table(data, table.Indirect(where))

  def text(table, slot):
    where = child(table, slot)
    return table.String(where).decode() if where else None

  (root,) = struct.unpack_from("<I", data)
  model = flatbuffers.table.Table(data, root)
  facts = {"name": text(model, 0), "version": text(model, 2)}
  graph = follow(model, 3, vector=True)
  content = follow(follow(graph, 2, vector=True), 3)
  if content:
    kind = child(content, 0)
    if kind and data[kind] == _AUDIO:
      sound = follow(content, 1)
      where = child(sound, 0)
      if where:
        (facts["sample_rate_hz"],) = struct.unpack_from("<I", data, where)
  label_file = follow(follow(graph, 3, vector=True), 6, vector=True)
  if label_file:
    facts["label_file"] = text(label_file, 0)
  return facts
