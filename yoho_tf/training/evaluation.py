"""Scenes and recordings of known content, and scores on them."""

import pathlib

import numpy as np

from yoho_tf import audio
from yoho_tf.data import sources, synth
from yoho_tf.events import EventTable
from yoho_tf.metrics import event_metrics, segment_metrics
from yoho_tf.models import yoho


def scene_set(pool, scene_params, *, labels, num_scenes, seed):
  """`{filename: waveform}`, reference `EventTable`: fixed scenes by seed."""
  waveforms, tables = {}, []
  for index in range(num_scenes):
    scene = synth.make_scene(
      pool, scene_params, seed=seed, index=index, labels=labels
    )
    name = f"scene_{index:05d}.wav"
    waveforms[name] = scene.waveform
    tables.append(scene.events.replace(filename=name))
  return waveforms, EventTable.concat(tables)


def real_recordings(folder, *, split, labels):
  """Field recordings with strong labels of one class each.

  Returns:
    `{filename: waveform}` at 16 kHz, reference `EventTable`, and `{filename:
    own label}`; recordings of classes outside `labels` are left out, as are
    weakly aligned ones (children_playing).
  """
  own = {}
  for row in sources.strong_rows(folder, split=split):
    label = sources.aliases().get(row["event"])
    if label in labels and row["event"] != "children_playing":
      own.setdefault(row["path"], (label, []))[1].append(
        (float(row["onset"]), float(row["offset"]), label)
      )
  waveforms, tables = {}, [EventTable.empty()]
  for name, (_, rows) in own.items():
    waveforms[name] = audio.read(pathlib.Path(folder, name))
    events = EventTable.from_rows(sorted(rows)).merge(0.0)
    limit = len(waveforms[name]) / 16_000
    tables.append(events.crop(0.0, limit).replace(filename=name))
  labels_of = {name: label for name, (label, _) in own.items()}
  return waveforms, EventTable.concat(tables), labels_of


def own_class(events: EventTable, labels_of) -> EventTable:
  """Events of the class that a recording was labelled for."""
  keep = [
    labels_of[name] == label
    for name, label in zip(events.filename, events.label, strict=True)
  ]
  return events[np.array(keep, bool)]


def keras_predict(network, params):
  """`[batch, samples] -> events` by a Keras network with `log_mel` input."""
  from yoho_tf.layers.frontend import log_mel_layer

  front = log_mel_layer(params.frontend)
  return lambda waveform: network({"log_mel": front(waveform)}, training=False)[
    "events"
  ]


def padded(waveform, params):
  """Zeros at the end, to whole cells and the last frame's extra samples."""
  cells = params.num_cells(len(waveform))
  size = cells * params.cell_samples + params.extra_samples
  return np.pad(waveform, (0, size - len(waveform)))


def predict_cells(predict, waveforms, params):
  """`{filename: cells [cells, classes, 3 * slots]}`.

  Args:
    predict: `[batch, samples] -> [batch, cells, classes, 3 * slots]`, samples
      being a whole number of cells plus `params.extra_samples`.
  """
  return {
    name: np.asarray(predict(padded(waveform, params)[None]))[0]
    for name, waveform in waveforms.items()
  }


def decode_all(cells, params, durations) -> EventTable:
  return EventTable.concat(
    [
      yoho.decode(
        {"events": value},
        params,
        duration_seconds=durations[name],
        filename=name,
      ).events
      for name, value in cells.items()
    ]
  )


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
