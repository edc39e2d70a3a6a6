"""Where a system errs: edges, classes, what is missed and what is invented."""

import numpy as np

from yoho_tf import metrics
from yoho_tf.bench.experiments import at_tuned
from yoho_tf.params import EventParams, TemporalParams

_COLLARS = (0.2, 0.5, 1.0)
_IOU = 0.3  # from here on an event counts as found
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def lines(events, params, known) -> list[str]:
  """What is lost to edges, and every class, as text and tables.

  Args:
    events: of one system, at every score.
    params: tuned.
    known: `evaluation.Validation`, the truth.
  """
  kept = at_tuned(events, params)
  reference, labels = known.reference, params.labels
  files = list(known.durations)
  lasts = reference.end - reference.start
  low, median, high = np.quantile(lasts, (0.1, 0.5, 0.9))
  found = [
    f"{len(reference) / len(files):.1f} events per file, half of them shorter "
    f"than {median:.1f} s (80 % between {low:.1f} and {high:.1f}).",
    "",
    "| collar | event F1 | precision | recall |",
    "| --- | --- | --- | --- |",
  ]
  for collar in _COLLARS:
    row = metrics.event_metrics(
      reference,
      kept,
      files=files,
      labels=labels,
      params=EventParams(
        start_collar_seconds=collar, end_collar_seconds=collar
      ),
    )
    cells = (row[f"{name}_micro"] for name in ("f1", "precision", "recall"))
    found.append(
      f"| {collar:g} s, 20 % | {' | '.join(f'{c:.3f}' for c in cells)} |"
    )
  return [*found, "", *_edges(kept, known), "", *_classes(kept, known, labels)]


def _edges(kept, known):
  """How far the edges of found events are off."""
  onsets, offsets = np.array(_errors(kept, known.reference)).reshape(-1, 2).T
  found = [
    f"{len(onsets)} of {len(known.reference)} events are found (temporal IoU "
    f"of at least {_IOU}). Of those, seconds too late (quantiles):",
    "",
    f"| | {' | '.join(f'{q:.0%}' for q in _QUANTILES)} | within 0.2 s |",
    "| --- " * (len(_QUANTILES) + 2) + "|",
  ]
  for name, errors in (("start", onsets), ("end", offsets)):
    if len(errors):
      cells = [f"{x:+.2f}" for x in np.quantile(errors, _QUANTILES)]
      share = np.mean(np.abs(errors) <= 0.2)
      found.append(f"| {name} | {' | '.join(cells)} | {share:.0%} |")
  return found


def _errors(kept, reference):
  """(start, end) errors of the events with an answer, the best one of each."""
  answers, errors = {}, []
  for e in kept:
    answers.setdefault((e.filename, e.label), []).append((e.start, e.end))
  for e in reference:
    best = (0.0, None)
    for start, end in answers.get((e.filename, e.label), ()):
      both = min(e.end, end) - max(e.start, start)
      iou = both / (max(e.end, end) - min(e.start, start))
      best = max(best, (iou, (start - e.start, end - e.end)))
    if best[0] >= _IOU:
      errors.append(best[1])
  return errors


def _classes(kept, known, labels):
  about = dict(durations=known.durations, labels=labels)
  segments = metrics.segment_metrics(known.reference, kept, **about).class_wise
  found = metrics.temporal_map(
    known.reference,
    kept,
    params=TemporalParams(thresholds=(_IOU,), f1_thresholds=(_IOU,)),
    **about,
  ).class_wise
  rows = [
    "| class | events | segment F1 | precision | recall | "
    f"event F1 (temporal IoU {_IOU}) |",
    "| --- | ---: | --- | --- | --- | --- |",
  ]
  for label in labels:
    number = int((known.reference.label == label).sum())
    cells = [segments[label][key] for key in ("f1", "precision", "recall")]
    cells.append(found[label][f"f1@{_IOU}"])
    text = " | ".join(f"{cell:.3f}" for cell in cells)
    rows.append(f"| {label} | {number} | {text} |")
  return rows
