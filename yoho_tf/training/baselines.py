"""What a figure stands beside: chance, and YAMNet's frames thresholded."""

from dataclasses import replace

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.metrics import event_metrics, segment_metrics, temporal_map
from yoho_tf.params import METRIC_PRESETS, TemporalParams

THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def shuffled(estimate: EventTable, files, *, seed: int) -> EventTable:
  """The same answers, each file's given for another file: chance level."""
  files = list(files)
  order = np.random.default_rng(seed).permutation(len(files))
  moved = {files[order[i]]: files[order[i - 1]] for i in range(len(files))}
  return estimate.replace(filename=[moved[n] for n in estimate.filename])


def always_active(durations, labels) -> EventTable:
  """Every label, from the start to the end of every file."""
  return EventTable.from_rows(
    [
      (0.0, seconds, label, 1.0, name)
      for name, seconds in durations.items()
      for label in labels
    ]
  )


def yamnet_tags(model, waveforms, labels):
  """`{filename: Tags}` of YAMNet, cut to `labels` (exact AudioSet names)."""
  columns = [model.labels.index(label) for label in labels]
  found = {}
  for name, waveform in waveforms.items():
    tags = model.predict(waveform)
    found[name] = replace(
      tags,
      labels=tuple(labels),
      scores=tags.scores[:, columns],
      clip_scores=tags.clip_scores[columns],
      embeddings=None,
    )
  return found


def yamnet_events(tags, thresholds) -> EventTable:
  """Events of every file at one threshold per label."""
  tables = [EventTable.empty()]
  for name, one in tags.items():
    for label, threshold in thresholds.items():
      events = one.events(threshold)
      events = events[events.label == label]
      tables.append(events.replace(filename=name))
  return EventTable.concat(tables)


def yamnet_thresholds(tags, reference, durations, labels) -> dict[str, float]:
  """Per label the threshold with the best segment F1 on these files."""
  best = {}
  for label in labels:
    own = reference[reference.label == label]
    scores = []
    for threshold in THRESHOLDS:
      events = yamnet_events(tags, {label: threshold})
      result = segment_metrics(own, events, durations=durations, labels=[label])
      scores.append(np.nan_to_num(result["f1_micro"]))
    best[label] = THRESHOLDS[int(np.argmax(scores))]
  return best


def yamnet_answers(model, fit, known, labels) -> EventTable:
  """Events of YAMNet on `known`, its thresholds fitted on `fit`.

  Args:
    model: `predictor.YamnetModel`.
    fit, known: `evaluation.Validation`.
  """
  thresholds = yamnet_thresholds(
    yamnet_tags(model, fit.waveforms, labels),
    fit.reference,
    fit.durations,
    labels,
  )
  return yamnet_events(yamnet_tags(model, known.waveforms, labels), thresholds)


# Column -> title, function of (reference, estimate, durations, labels) that
# gives a result, and which value of it. Scenes and recordings have the first
# two; the others belong to recordings and to speech with music.
COLUMNS = {
  "segment_f1": (
    "segment F1 (1 s)",
    segment_metrics,
    "f1_micro",
  ),
  "event_f1": (
    "event F1 (0.2 s, 20 %)",
    lambda reference, estimate, *, durations, labels: event_metrics(
      reference, estimate, files=list(durations), labels=labels
    ),
    "f1_micro",
  ),
  "recall": (
    "recall (temporal IoU 0.3)",
    lambda reference, estimate, **about: temporal_map(
      reference,
      estimate,
      params=TemporalParams(thresholds=(0.3,), f1_thresholds=(0.3,)),
      **about,
    ),
    "recall@0.3_micro",
  ),
  "fine_segment_f1": (
    "segment F1 (10 ms)",
    lambda reference, estimate, **about: segment_metrics(
      reference,
      estimate,
      params=METRIC_PRESETS["music_speech"].segment,
      **about,
    ),
    "f1_micro",
  ),
}
FIRST_COLUMNS = ("segment_f1", "event_f1")


def rows(
  reference,
  estimates,
  durations,
  labels,
  *,
  columns=FIRST_COLUMNS,
  num_samples=1000,
  seed=0,
):
  """`{name: {column: (result, its bootstrap)}}`.

  Args:
    estimates: `{name: EventTable}`.
    columns: of COLUMNS.
    num_samples: bootstrap resamples of files, for 95 % intervals.
  """
  from yoho_tf.metrics import bootstrap
  from yoho_tf.params import BootstrapParams

  params = BootstrapParams(num_samples=num_samples, confidence=0.95, seed=seed)
  table = {}
  for name, estimate in estimates.items():
    table[name] = {}
    for column in columns:
      _, measure, _ = COLUMNS[column]
      result = measure(reference, estimate, durations=durations, labels=labels)
      table[name][column] = (result, bootstrap(result, params))
  return table


def plain(table) -> dict:
  """`rows` as numbers: value (micro), macro where there is one, low, high."""
  found = {}
  for name, row in table.items():
    found[name] = {}
    for column, (result, interval) in row.items():
      key = COLUMNS[column][2]
      numbers = {"value": float(result[key])}
      if key == "f1_micro":
        numbers["macro"] = float(result["f1_macro"])
      own = interval[key]
      found[name][column] = {
        **numbers,
        "low": float(own.low),
        "high": float(own.high),
      }
  return found


def lines(table) -> list[str]:
  """`rows` as text: each value with its interval."""
  width = max(map(len, table))
  columns = list(next(iter(table.values())))
  heads = [f"{COLUMNS[column][0]:25}" for column in columns]
  found = [f"{'':{width}}  " + "  ".join(heads)]
  for name, row in plain(table).items():
    cells = [
      f"{row[c]['value']:.3f} [{row[c]['low']:.3f}, {row[c]['high']:.3f}]"
      for c in columns
    ]
    found.append(f"{name:{width}}  " + "  ".join(f"{v:25}" for v in cells))
  return [line.rstrip() for line in found]


def class_lines(table, labels) -> list[str]:
  """F1 of each class of the table's first row."""
  first = next(iter(table.values()))
  width = max(map(len, labels))
  found = [f"{'class':{width}}  segment F1  event F1  reference events"]
  for label in labels:
    segment, event = (first[c][0].class_wise[label] for c in FIRST_COLUMNS)
    count = int(event["tp"] + event["fn"])
    found.append(
      f"{label:{width}}  {segment['f1']:10.3f}  {event['f1']:8.3f}  {count:16}"
    )
  return found
