"""Scenes and recordings of known content, and scores on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from yoho_tf.data import records, synth
from yoho_tf.events import EventTable
from yoho_tf.metrics import event_metrics, segment_metrics
from yoho_tf.models.yoho_windows import run_windows


@dataclass(frozen=True)
class Validation:
  """Files of known content.

  Attributes:
    split: where they come from: "val", "test", ...
    waveforms: mapping of filename to float32 [samples].
    reference: `EventTable` of these files.
    durations: `{filename: seconds}`.
    network: the Keras network that hears them, with `log_mel` input.
    own: `{filename: label}` where one class only was labelled, else empty.
  """

  split: str
  waveforms: dict
  reference: EventTable
  durations: dict
  network: object = None
  own: dict = field(default_factory=dict)

  @classmethod
  def of_scenes(
    cls, network, pool, params, training, *, num_scenes, split="val"
  ):
    """Scenes of a pool of that split, the same for the same settings.

    Args:
      pool: `data.sources.SourcePool`.
      params: `YohoParams`.
      training: `TrainingParams`; its seed + 1 is used.
    """
    found = cls.of_pool(
      pool,
      training.scene,
      labels=params.labels,
      num_scenes=num_scenes,
      seed=training.seed + 1,
      split=split,
    )
    return replace(found, network=network)

  @classmethod
  def of_pool(cls, pool, scene_params, *, labels, num_scenes, seed, split):
    """Scenes of a pool of that split, without a network: fixed by seed."""
    waveforms, tables = {}, [EventTable.empty()]
    for index in range(num_scenes):
      scene = synth.make_scene(
        pool, scene_params, seed=seed, index=index, labels=labels
      )
      name = f"scene_{index:05d}.wav"
      waveforms[name] = scene.waveform
      tables.append(scene.events.replace(filename=name))
    rate = scene_params.sample_rate_hz
    durations = {name: len(w) / rate for name, w in waveforms.items()}
    return cls(split, waveforms, EventTable.concat(tables), durations)

  @classmethod
  def of_records(cls, network, index, params, *, split="val"):
    """The pieces of a split in which somebody listened for every class.

    Args:
      index: `records.Index`.
      params: `YohoParams`.

    Raises:
      ValueError: there is none.
    """
    reader = records.Reader(index, split)
    place, tables, durations = {}, [EventTable.empty()], {}
    for number, example in enumerate(reader):
      if len(example.unknown) or example.known_labels is not None:
        continue
      name = example.filename
      if example.offset_seconds:
        name = f"{name}@{example.offset_seconds:g}"
      place[name] = number
      durations[name] = example.duration_seconds
      tables.append(example.events.replace(filename=name))
    if not place:
      raise ValueError(
        f"split {split!r} of {str(index.folder)!r} must hold recordings that "
        "are labelled for every class; received none"
      )
    reference = EventTable.concat(tables)
    return cls(split, _Recorded(reader, place), reference, durations, network)

  def only_own(self, events: EventTable) -> EventTable:
    """Events of the classes that somebody listened for."""
    if not self.own:
      return events
    pairs = zip(events.filename, events.label, strict=True)
    return events[np.array([self.own[n] == label for n, label in pairs], bool)]

  def cells(self, params):
    """`{filename: outputs}` of the network, as `predict_cells`."""
    predict = keras_predict(self.network, params)
    return predict_cells(predict, self.waveforms, params)


class _Recorded(Mapping):
  """Waveforms of records, read when they are asked for."""

  def __init__(self, reader, place):
    self.reader, self.place = reader, place

  def __getitem__(self, name):
    return self.reader[self.place[name]].floats()

  def __iter__(self):
    return iter(self.place)

  def __len__(self):
    return len(self.place)


def keras_predict(network, params):
  """`[batch, samples] -> outputs` by a Keras network with `log_mel` input.

  Compiled: a GRU called as a layer goes a frame at a time through Python.
  """
  from yoho_tf.layers.frontend import log_mel_layer

  front = log_mel_layer(params.frontend)

  def predict(waveform):
    log_mel = np.asarray(front(waveform))
    return network.predict_on_batch({"log_mel": log_mel})[params.output]

  return predict


def padded(waveform, params):
  """Zeros at the end, to whole cells and the last frame's extra samples."""
  cells = params.num_cells(len(waveform))
  size = cells * params.cell_samples + params.extra_samples
  return np.pad(waveform, (0, size - len(waveform)))


def predict_cells(predict, waveforms, params, *, batch_size=16):
  """Outputs of whole files, windowed and stitched as in prediction.

  Args:
    predict: `[batch, samples] -> [batch, cells, classes, 3 * slots]` (of a
      baseline: `[batch, frames, classes]`).
    batch_size: windows of equal length that go through together.

  Returns:
    `{filename: events}`, `[cells, classes, 3 * slots]` on the lattice `stride`
    and `[windows, cells, classes, 3 * slots]` on `window`.
  """
  found = run_windows(
    predict, waveforms.values(), params, batch_size=lambda length: batch_size
  )
  return dict(zip(waveforms, found, strict=True))


def at_threshold(params, threshold: float, **changes):
  """The params with one threshold for every label, otherwise as tuned.

  Args:
    changes: other fields of the post-processing, for every label too.
  """
  changes = {"threshold": threshold, **changes}
  post = {
    label: {**values, **changes}
    for label, values in params.postprocess.per_label.items()
  }
  post = replace(params.postprocess, **changes, per_label=post)
  return replace(params, postprocess=post)


def unthresholded(params):
  """The params that keep every event, whatever its score, uncalibrated."""
  return at_threshold(params, 0.0, calibration_a=1.0, calibration_b=0.0)


def answered(events, thresholds):
  """The events that reach the threshold of their label.

  Args:
    thresholds: `{label: threshold}`, every label of the events.
  """
  levels = np.array([thresholds[label] for label in events.label])
  return events[events.score >= levels]


SCORES = ("segment_f1", "segment_f1_macro", "event_f1", "event_f1_macro")


def scores(reference, estimate, durations, labels) -> dict[str, float]:
  """Segment F1 (1 s) and event F1 (0.2 s, 20 %), micro and macro."""
  segment = segment_metrics(
    reference, estimate, durations=durations, labels=labels
  )
  event = event_metrics(
    reference, estimate, files=list(durations), labels=labels
  )
  return {
    "segment_f1": segment["f1_micro"],
    "segment_f1_macro": segment["f1_macro"],
    "event_f1": event["f1_micro"],
    "event_f1_macro": event["f1_macro"],
  }
