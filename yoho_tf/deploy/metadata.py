"""What travels inside a `.tflite` or `.keras`: vocabulary, params, audio facts.

Two carriers. A ZIP with class map and params: a `.keras` is one; in a
`.tflite` an uncompressed one stands behind the flatbuffer. LiteRT ignores the
tail; `unzip -l model.tflite` and `zipfile` read it. And, for MediaPipe's
AudioClassifier, a flatbuffer `M001` among the model's buffers that says what
goes in and comes out. No TensorFlow here.
"""

import io
import pathlib
import zipfile
from typing import NamedTuple

from yoho_tf.deploy import audio_facts, flatbuffer
from yoho_tf.params import from_json, to_json

CLASS_MAP = "class_map.csv"
PARAMS = "params.json"
LABELS = "labels.txt"
AUDIO = b"TFLITE_METADATA"  # name of the buffer that holds the M001

_TEXTS = (".csv", ".json", ".txt")

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes


def texts(params, class_map) -> dict[str, str]:
  """What travels with a model: `{name: text}`.

  Raises:
    ValueError: a label that is no single line.
  """
  return {
    LABELS: label_lines(class_map.names),
    CLASS_MAP: class_map.text(),
    PARAMS: to_json(params),
  }


def label_lines(labels) -> str:
  """One label a line, as MediaPipe and Task Library read them.

  Raises:
    ValueError: a label that is empty or more than a line.
  """
  for label in labels:
    if len(label.splitlines()) != 1 or label.splitlines()[0] != label:
      raise ValueError(f"labels must be one line each; received {label!r}")
  return "".join(f"{label}\n" for label in labels)


def pack(model: bytes, files: dict[str, str]) -> bytes:
  """The model's bytes with `{name: text}` inside."""
  buffer = io.BytesIO(model)
  buffer.seek(0, io.SEEK_END)
  # Mode "a" on a buffer that is no archive appends one behind it.
  with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
    for name, text in files.items():
      archive.writestr(zipfile.ZipInfo(name, _EPOCH), text)
  return buffer.getvalue()


def unpack(model: bytes) -> tuple[bytes, dict[str, str]]:
  """What `pack` joined: the bare model, and `{name: text}`.

  Raises:
    ValueError: the files are damaged.
  """
  buffer = io.BytesIO(model)
  if not zipfile.is_zipfile(buffer):
    return model, {}
  files = _texts(buffer, f"{len(model)} bytes")
  with zipfile.ZipFile(buffer) as archive:
    first = min((i.header_offset for i in archive.filelist), default=0)
  return model[:first], files


def read(path) -> dict[str, str]:
  """`{name: text}` of the texts inside; empty where there are none.

  Raises:
    ValueError: the files are damaged.
  """
  path = pathlib.Path(path)
  if not zipfile.is_zipfile(path):
    return {}
  return _texts(path, repr(str(path)))


def _texts(file, name):
  try:
    with zipfile.ZipFile(file) as archive:
      names = [n for n in archive.namelist() if n.endswith(_TEXTS)]
      return {n: archive.read(n).decode("utf-8") for n in names}
  except (zipfile.BadZipFile, UnicodeDecodeError) as error:
    raise ValueError(
      f"model must hold whole files behind it; got {name} ({error})"
    ) from None


# ---- audio facts: what MediaPipe's AudioClassifier asks for -----------------


def with_audio(
  model: bytes,
  *,
  name,
  sample_rate_hz: int,
  labels,
  description="",
  version="",
  author="",
  license="",
) -> bytes:
  """The model with the metadata that MediaPipe's AudioClassifier reads.

  It takes every output for a classification head, so there must be one. Text
  files behind the model stay; `pack` adds `labels.txt`, which this names.

  Args:
    model: `.tflite` with one input `[samples]` or `[1, samples]`, float32 or
      float16, and one output `[..., classes]`.
    name, description, version, author, license: of the model, free text.
    sample_rate_hz: of the input; one channel.
    labels: of the output's last axis, in order.

  Raises:
    ValueError: a model that AudioClassifier would refuse, or labels that do
      not fit its output.
  """
  label_lines(labels)
  model, files = unpack(model)
  tree = flatbuffer.load(model)
  _check_classifier(tree, labels, sample_rate_hz)
  facts = audio_facts.write(
    (name, description, version, author, license),
    sample_rate_hz,
    label_file=LABELS,
    input_name=_signature_name(tree, "inputs"),
    output_name=_signature_name(tree, "outputs"),
  )
  from ai_edge_litert import schema_py_generated as schema

  entry = schema.MetadataT()
  entry.name, entry.buffer = AUDIO, len(tree.buffers)
  buffer = schema.BufferT()
  buffer.data = facts
  tree.buffers.append(buffer)
  kept = [m for m in tree.metadata or [] if m.name != AUDIO]
  tree.metadata = [*kept, entry]
  found = flatbuffer.dump(tree)
  return pack(found, files) if files else found


def _check_classifier(tree, labels, sample_rate_hz):
  from ai_edge_litert import schema_py_generated as schema

  if len(tree.subgraphs) != 1:
    raise ValueError(
      "model must have one subgraph for AudioClassifier; received "
      f"{len(tree.subgraphs)}"
    )
  (graph,) = tree.subgraphs
  sides = []
  for side in ("inputs", "outputs"):
    tensors = getattr(graph, side)
    if len(tensors) != 1:
      raise ValueError(
        f"model must have one of {side} for AudioClassifier; received "
        f"{len(tensors)}"
      )
    sides.append(graph.tensors[tensors[0]])
  floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
  sound, scores = sides
  shape = flatbuffer.shape(sound)
  if sound.type not in floats or len(shape) not in (1, 2) or min(shape) < 1:
    kind = flatbuffer.names(schema.TensorType)[sound.type]
    raise ValueError(
      "model input must be float [samples] or [1, samples] of a fixed length "
      f"for AudioClassifier; received {kind} {shape}"
    )
  shape = flatbuffer.shape(scores)
  if not shape or shape[-1] != len(labels):
    raise ValueError(
      "labels must be as many as the last axis of the output; received "
      f"{len(labels)} for {shape}"
    )
  if not 0 < sample_rate_hz < 1 << 32 or sample_rate_hz != int(sample_rate_hz):
    raise ValueError(
      f"sample_rate_hz must be a positive whole number; got {sample_rate_hz!r}"
    )


def _signature_name(tree, side) -> str:
  """Of the only input or output; the tensor's own without a signature."""
  if tree.signatureDefs:
    return getattr(tree.signatureDefs[0], side)[0].name.decode()
  graph = tree.subgraphs[0]
  return graph.tensors[getattr(graph, side)[0]].name.decode()


# ---- reading ----------------------------------------------------------------


class Description(NamedTuple):
  """What a file says of itself; None where it does not."""

  labels: tuple[str, ...] | None = None
  params: object = None
  sample_rate_hz: int | None = None
  name: str | None = None
  version: str | None = None


def describe(path) -> Description:
  """What a `.tflite` or `.keras` says of itself.

  Labels come from the file that the audio metadata names, `labels.txt` or the
  params, the rate from the audio metadata or the params. Files of others
  (Google's YAMNet) are read too.

  Raises:
    ValueError: the files behind it, or its metadata, are damaged.
  """
  inside = read(path)
  facts = _read_audio(pathlib.Path(path).read_bytes())
  labels = params = None
  for name in (facts.pop("label_file", None), LABELS):
    if name in inside:
      labels = tuple(inside[name].splitlines())
      break
  if PARAMS in inside:
    params = from_json(inside[PARAMS])
    labels = labels or params.labels or None
    facts.setdefault("sample_rate_hz", params.frontend.sample_rate_hz)
  return Description(labels, params, **facts)


def _read_audio(model: bytes) -> dict:
  """Facts of the M001 buffer; {} where there is none."""
  if model[4:8] != flatbuffer.IDENTIFIER:
    return {}
  tree = flatbuffer.load(model)
  entries = [m for m in tree.metadata or [] if m.name == AUDIO]
  if not entries:
    return {}
  data = tree.buffers[entries[0].buffer].data
  return audio_facts.read(bytes(bytearray([] if data is None else data)))
