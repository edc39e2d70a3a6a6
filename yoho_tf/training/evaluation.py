"""Scenes and recordings of known content, and scores on them."""

import numpy as np

from yoho_tf.data import synth
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


def predict_cells(predict, waveforms, params):
  """`{filename: cells [cells, classes, 3 * slots]}`.

  Args:
    predict: `[batch, samples] -> [batch, cells, classes, 3 * slots]`, samples
      being a whole number of cells plus `params.extra_samples`.
  """
  cells = {}
  for name, waveform in waveforms.items():
    count = params.num_cells(len(waveform))
    size = count * params.cell_samples + params.extra_samples
    padded = np.pad(waveform, (0, size - len(waveform)))
    cells[name] = np.asarray(predict(padded[None]))[0]
  return cells


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
