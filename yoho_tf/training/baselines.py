"""What a figure stands beside: chance, and YAMNet's frames thresholded."""

from dataclasses import replace

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.metrics import event_metrics, segment_metrics

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


def rows(reference, estimates, durations, labels, *, num_samples=1000, seed=0):
  """`{name: {"segment_f1": (value, low, high), "event_f1": ...}}`.

  Args:
    estimates: `{name: EventTable}`.
    num_samples: bootstrap resamples of files, for 95 % intervals.
  """
  from yoho_tf.metrics import bootstrap
  from yoho_tf.params import BootstrapParams

  params = BootstrapParams(num_samples=num_samples, confidence=0.95, seed=seed)
  table = {}
  for name, estimate in estimates.items():
    segment = segment_metrics(
      reference, estimate, durations=durations, labels=labels
    )
    event = event_metrics(
      reference, estimate, files=list(durations), labels=labels
    )
    table[name] = {
      "segment_f1": (segment, bootstrap(segment, params)),
      "event_f1": (event, bootstrap(event, params)),
    }
  return table


COLUMNS = {
  "segment_f1": "segment F1 (1 s)",
  "event_f1": "event F1 (0.2 s, 20 %)",
}


def plain(table) -> dict:
  """`rows` as numbers: value (micro), macro, low and high."""
  return {
    name: {
      column: {
        "value": float(result["f1_micro"]),
        "macro": float(result["f1_macro"]),
        "low": float(interval["f1_micro"].low),
        "high": float(interval["f1_micro"].high),
      }
      for column, (result, interval) in row.items()
    }
    for name, row in table.items()
  }


def lines(table) -> list[str]:
  """`rows` as text: micro F1 with its interval."""
  width = max(map(len, table))
  found = [f"{'':{width}}  " + "  ".join(f"{v:22}" for v in COLUMNS.values())]
  for name, row in plain(table).items():
    cells = [
      f"{row[c]['value']:.3f} [{row[c]['low']:.3f}, {row[c]['high']:.3f}]"
      for c in COLUMNS
    ]
    found.append(f"{name:{width}}  " + "  ".join(f"{v:22}" for v in cells))
  return [line.rstrip() for line in found]


def class_lines(table, labels) -> list[str]:
  """F1 of each class of the table's first row."""
  first = next(iter(table.values()))
  width = max(map(len, labels))
  found = [f"{'class':{width}}  segment F1  event F1  reference events"]
  for label in labels:
    segment, event = (first[c][0].class_wise[label] for c in COLUMNS)
    count = int(event["tp"] + event["fn"])
    found.append(
      f"{label:{width}}  {segment['f1']:10.3f}  {event['f1']:8.3f}  {count:16}"
    )
  return found
