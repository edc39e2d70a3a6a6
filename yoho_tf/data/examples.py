"""One labelled piece of audio, and its bytes in a TFRecord.

Waveforms are int16 times `scale`. Times are float64 (as bytes): a label keeps
the exact sample.
"""

from dataclasses import dataclass, field

import numpy as np

from yoho_tf.data import tfrecord
from yoho_tf.events import EventTable
from yoho_tf.labels import ClassMap

# Fields that a reader may pass over, such as the stems, leave it as it is.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Example:
  """One labelled piece of audio, times in seconds from its first sample.

  Attributes:
    waveform: int16 [samples]; float32 is `waveform * float32(scale)`.
    events: strong labels.
    tags: label -> 0..1, what is said of the whole piece.
    unknown: spans in which nobody looked; label "" stands for all classes.
    known_labels: classes somebody listened for; None: all.
    stems: int16 [stems, samples], what the waveform is the sum of; float32 is
      `stems * float32(stem_scale)`. None where nobody knows.
    stem_labels: the class of each stem, "" for background and distractors.
    offset_seconds: where the piece begins in its recording.
    group: recording, speaker or upload id: never in two splits.
  """

  waveform: np.ndarray
  sample_rate_hz: int
  events: EventTable = field(default_factory=EventTable.empty)
  scale: float = 1 / 32767
  filename: str = ""
  offset_seconds: float = 0.0
  group: str = ""
  split: str = "train"
  tags: dict = field(default_factory=dict)
  unknown: EventTable = field(default_factory=EventTable.empty)
  known_labels: tuple[str, ...] | None = None
  stems: np.ndarray | None = None
  stem_labels: tuple[str, ...] = ()
  stem_scale: float = 1 / 32767

  @property
  def duration_seconds(self) -> float:
    return len(self.waveform) / self.sample_rate_hz

  def floats(self) -> np.ndarray:
    """float32 [samples]."""
    return self.waveform.astype(np.float32) * np.float32(self.scale)

  def stem_floats(self) -> np.ndarray:
    """float32 [stems, samples]; no rows where nobody knows them."""
    if self.stems is None:
      return np.zeros((0, len(self.waveform)), np.float32)
    return self.stems.astype(np.float32) * np.float32(self.stem_scale)


def from_scene(scene, **columns) -> Example:
  """An example of a synthetic scene, with its stems where it kept them.

  Args:
    scene: of `synth.make_scene` or `synth.mix_recipe`.
    **columns: others of `Example`, such as filename, group and split.
  """
  waveform, scale = quantise(scene.waveform)
  stems = {}
  if scene.stems:
    whole = np.zeros((len(scene.stems), len(waveform)), np.float32)
    for row, stem in zip(whole, scene.stems, strict=True):
      row[stem.start : stem.start + len(stem.waveform)] = stem.waveform
    values, stem_scale = quantise(whole)
    *labels, _ = (stem.label for stem in scene.stems)  # the background is last
    stems = {"stems": values, "stem_labels": (*labels, "")}
    stems["stem_scale"] = stem_scale
  return Example(
    waveform=waveform,
    scale=scale,
    sample_rate_hz=scene.recipe.sample_rate_hz,
    events=scene.events,
    **stems,
    **columns,
  )


def quantise(waveform) -> tuple[np.ndarray, float]:
  """float array -> (int16, scale); a peak above 1 makes a larger scale."""
  peak = float(np.abs(waveform).max(initial=0.0))
  scale = max(peak, 1.0) / 32767
  return np.round(np.asarray(waveform, np.float64) / scale).astype("<i2"), scale


def to_bytes(example: Example, class_map: ClassMap) -> bytes:
  """An example as a serialised `tf.train.Example`.

  Raises:
    ValueError: a label outside the class map, or stems of another shape.
  """
  events, unknown = example.events, example.unknown
  labels = example.known_labels
  labels = class_map.names if labels is None else labels
  return tfrecord.encode_example(
    {
      "waveform": np.asarray(example.waveform, "<i2").tobytes(),
      "scale": float(example.scale),
      "sample_rate_hz": example.sample_rate_hz,
      "num_channels": 1,
      "filename": example.filename,
      "offset_seconds": _times([example.offset_seconds]),
      "group": example.group,
      "split": example.split,
      "event_start": _times(events.start),
      "event_end": _times(events.end),
      "event_class": _ints(class_map.index(v) for v in events.label),
      "event_low_hz": events.low_hz.astype(np.float32),
      "event_high_hz": events.high_hz.astype(np.float32),
      "event_score": events.score.astype(np.float32),
      "tag_class": _ints(class_map.index(v) for v in example.tags),
      "tag_value": np.array(list(example.tags.values()), np.float32),
      "unknown_start": _times(unknown.start),
      "unknown_end": _times(unknown.end),
      "unknown_class": _ints(_class_or_none(unknown.label, class_map)),
      "known_classes": _ints(class_map.index(v) for v in labels),
      **_stem_fields(example, class_map),
    }
  )


def _stem_fields(example, class_map):
  """Nothing without stems: such a record keeps the bytes it had before."""
  shape = (len(example.stem_labels), len(example.waveform))
  if example.stems is None and not example.stem_labels:
    return {}
  if np.shape(example.stems) != shape:
    raise ValueError(
      f"stems must have the shape [stem_labels, samples] = {list(shape)}, got "
      f"{list(np.shape(example.stems))} ({example.filename!r})"
    )
  return {
    "stems": np.asarray(example.stems, "<i2").tobytes(),
    "stem_scale": float(example.stem_scale),
    "stem_class": _ints(_class_or_none(example.stem_labels, class_map)),
  }


def from_bytes(data: bytes, class_map: ClassMap) -> Example:
  """The inverse of `to_bytes`.

  Raises:
    ValueError: not an example, or a field that is missing or out of range.
  """
  fields = tfrecord.decode_example(data)
  try:
    names = np.array([*class_map.names, ""], object)  # -1: all classes
    texts = {k: fields[k][0].decode() for k in ("filename", "group", "split")}
    known = _ints(fields["known_classes"])
    tagged = names[_ints(fields["tag_class"])]
    return Example(
      waveform=np.frombuffer(fields["waveform"][0], "<i2"),
      scale=float(fields["scale"][0]),
      sample_rate_hz=int(fields["sample_rate_hz"][0]),
      offset_seconds=float(_seconds(fields["offset_seconds"])[0]),
      events=EventTable.from_columns(
        start=_seconds(fields["event_start"]),
        end=_seconds(fields["event_end"]),
        label=names[_ints(fields["event_class"])],
        **{k: _floats(fields[f"event_{k}"]) for k in _EVENT_NUMBERS},
      ),
      tags=dict(zip(tagged, _floats(fields["tag_value"]).tolist())),
      unknown=EventTable.from_columns(
        start=_seconds(fields["unknown_start"]),
        end=_seconds(fields["unknown_end"]),
        label=names[_ints(fields["unknown_class"])],
      ),
      known_labels=(
        None if len(known) == len(class_map) else tuple(names[known])
      ),
      **_stems(fields, names),
      **texts,
    )
  except (KeyError, IndexError, TypeError, ValueError) as error:
    raise ValueError(
      f"record must hold the fields of schema {SCHEMA_VERSION}; "
      f"{type(error).__name__}: {error}"
    ) from None


def _stems(fields, names):
  if "stems" not in fields:
    return {}
  labels = tuple(names[_ints(fields["stem_class"])])
  values = np.frombuffer(fields["stems"][0], "<i2")
  return {
    "stems": values.reshape(len(labels), len(fields["waveform"][0]) // 2),
    "stem_labels": labels,
    "stem_scale": float(fields["stem_scale"][0]),
  }


_EVENT_NUMBERS = ("low_hz", "high_hz", "score")


def _class_or_none(labels, class_map):
  """Class numbers, -1 for the label ""."""
  return [-1 if label == "" else class_map.index(label) for label in labels]


def _times(seconds) -> bytes:
  return np.asarray(seconds, "<f8").tobytes()


def _seconds(feature):
  return np.frombuffer(feature[0], "<f8")


def _ints(values):
  return np.fromiter(values, np.int64)


def _floats(feature):
  return np.asarray(feature, np.float32)
