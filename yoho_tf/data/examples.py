"""One labelled piece of audio, and its bytes in a TFRecord.

Waveforms are int16 times `scale`. Times are float64 (as bytes): a label keeps
the exact sample.
"""

from dataclasses import dataclass, field

import numpy as np

from yoho_tf.data import tfrecord
from yoho_tf.events import EventTable
from yoho_tf.labels import ClassMap

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

  @property
  def duration_seconds(self) -> float:
    return len(self.waveform) / self.sample_rate_hz

  def floats(self) -> np.ndarray:
    """float32 [samples]."""
    return self.waveform.astype(np.float32) * np.float32(self.scale)


def quantise(waveform) -> tuple[np.ndarray, float]:
  """float [samples] -> (int16, scale); a peak above 1 makes a larger scale."""
  peak = float(np.abs(waveform).max(initial=0.0))
  scale = max(peak, 1.0) / 32767
  return np.round(np.asarray(waveform, np.float64) / scale).astype("<i2"), scale


def to_bytes(example: Example, class_map: ClassMap) -> bytes:
  """An example as a serialised `tf.train.Example`."""
  events, unknown = example.events, example.unknown
  labels = example.known_labels
  labels = class_map.names if labels is None else labels
  spans = [-1 if v == "" else class_map.index(v) for v in unknown.label]
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
      "unknown_class": _ints(spans),
      "known_classes": _ints(class_map.index(v) for v in labels),
    }
  )


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
      **texts,
    )
  except (KeyError, IndexError, TypeError, ValueError) as error:
    raise ValueError(
      f"record must hold the fields of schema {SCHEMA_VERSION}; "
      f"{type(error).__name__}: {error}"
    ) from None


_EVENT_NUMBERS = ("low_hz", "high_hz", "score")


def _times(seconds) -> bytes:
  return np.asarray(seconds, "<f8").tobytes()


def _seconds(feature):
  return np.frombuffer(feature[0], "<f8")


def _ints(values):
  return np.fromiter(values, np.int64)


def _floats(feature):
  return np.asarray(feature, np.float32)
