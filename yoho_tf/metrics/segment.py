"""Segment-based detection metrics.

Time is cut into segments [i r, (i + 1) r); a class is active in a segment
when one of its events overlaps it. Counts come from runs of equal activity,
so the cost depends on the number of events, not on the resolution.

Reference: Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event
Detection", 2016.
"""

import numpy as np

from yoho_tf.metrics._inputs import prepare
from yoho_tf.metrics._result import (
  divide,
  mean_over_classes,
  of_counts,
  precision_recall_f1,
)
from yoho_tf.params import SegmentParams


def segment_metrics(
  reference, estimate, *, durations=None, labels=None, params=None, **checks
):
  """F1, error rate and accuracy over segments.

  Args:
    reference, estimate: event tables.
    durations: mapping or table of seconds per file, or None.
    labels: `ClassMap` or names; default the labels of the reference.
    params: `SegmentParams`.
    **checks: `files`, `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `MetricResult`; counts `tp fp fn` int64 `[files, classes]`,
    `substitutions deletions insertions num_segments` int64 `[files]`.

  Raises:
    ValueError: an input breaks a rule.
  """
  params = SegmentParams() if params is None else params
  problem = prepare(
    reference, estimate, durations=durations, labels=labels, **checks
  )
  lengths = evaluated_lengths(problem, params)  # [files]
  counts = count_segments(problem, lengths, params)
  return of_counts(
    "segment", problem, params, counts, segment_values, lengths.sum()
  )


def evaluated_lengths(problem, params):
  """Seconds per file, float64 `[files]`."""
  if params.evaluated_length == "auto" and problem.durations is not None:
    return problem.durations
  lengths = np.zeros(len(problem.files))
  for events in (problem.reference, problem.estimate):
    np.maximum.at(lengths, events.file, events.end)
  return lengths


def count_segments(problem, lengths, params):
  """Sufficient statistics per file, see `segment_metrics`."""
  num_files, num_labels = len(problem.files), len(problem.labels)
  num_segments = _first_edge_at_or_after(lengths, params)  # [files]
  lanes, edges, steps = [], [], []
  for column, events in enumerate((problem.reference, problem.estimate)):
    first = _segment_of(events.start, params)
    stop = _first_edge_at_or_after(events.end, params)
    stop = np.minimum(stop, num_segments[events.file])
    inside = first < stop
    lane = (events.file * num_labels + events.label)[inside]
    step = np.zeros((len(lane), 2), np.int64)
    step[:, column] = 1
    lanes += [lane, lane]
    edges += [first[inside], stop[inside]]
    steps += [step, -step]
  lane, edge = np.concatenate(lanes), np.concatenate(edges)
  order, run = _sweep(lane, edge)
  lane, edge = lane[order], edge[order]
  on = np.cumsum(np.concatenate(steps)[order], axis=0) > 0  # [points, 2]
  hit = on[:, 0] & on[:, 1]

  def per_class(active):
    total = np.bincount(
      lane, weights=run * active, minlength=num_files * num_labels
    )
    return total.astype(np.int64).reshape(num_files, num_labels)

  counts = {
    "tp": per_class(hit),
    "fp": per_class(on[:, 1] & ~on[:, 0]),
    "fn": per_class(on[:, 0] & ~on[:, 1]),
  }
  # Number of active classes per file: the same sweep over all its lanes.
  state = np.stack([on[:, 0], on[:, 1], hit], axis=1).astype(np.int64)
  step = np.diff(state, axis=0, prepend=np.zeros((1, 3), np.int64))
  moved = np.flatnonzero(step.any(axis=1))
  file = lane[moved] // max(num_labels, 1)
  order, run = _sweep(file, edge[moved])
  file = file[order]
  active = np.cumsum(step[moved][order], axis=0)  # [points, 3]
  num_ref, num_est, num_hit = active.T

  def per_file(number):
    return np.bincount(file, weights=run * number, minlength=num_files).astype(
      np.int64
    )

  counts["substitutions"] = per_file(np.minimum(num_ref, num_est) - num_hit)
  counts["deletions"] = per_file(np.maximum(num_ref - num_est, 0))
  counts["insertions"] = per_file(np.maximum(num_est - num_ref, 0))
  counts["num_segments"] = num_segments
  return counts


def segment_values(sums, params):
  """Values of summed counts.

  Args:
    sums: the counts summed over files: `tp fp fn` `[..., classes]`, others
      `[...]`.
    params: `SegmentParams`.

  Returns:
    Dicts of arrays: overall `[...]`, macro `[...]`, class-wise
    `[..., classes]`.
  """
  tp, fp, fn = sums["tp"], sums["fp"], sums["fn"]
  tn = np.asarray(sums["num_segments"])[..., None] - tp - fp - fn
  class_wise = _rates(tp, fp, fn, tn, params)
  class_wise["er"] = divide(fn + fp, tp + fn)
  present = tp + fn > 0
  macro = {
    f"{name}_macro": mean_over_classes(value, present, params.absent_classes)
    for name, value in class_wise.items()
  }
  micro = [count.sum(axis=-1) for count in (tp, fp, fn, tn)]
  overall = _rates(*micro, params)
  num_reference = micro[0] + micro[2]
  for name in ("substitution", "deletion", "insertion"):
    overall[f"{name}_rate"] = divide(sums[f"{name}s"], num_reference)
  overall["er"] = (
    overall["substitution_rate"]
    + overall["deletion_rate"]
    + overall["insertion_rate"]
  )
  overall = {f"{name}_micro": value for name, value in overall.items()}
  overall.update(zip(("tp", "fp", "fn", "tn"), micro))
  class_wise.update(tp=tp, fp=fp, fn=fn, tn=tn)
  return overall, macro, class_wise


def _rates(tp, fp, fn, tn, params):
  precision, recall, f1 = precision_recall_f1(
    tp, tp + fp, tp + fn, empty_system=params.empty_system
  )
  sensitivity, specificity = divide(tp, tp + fn), divide(tn, tn + fp)
  return {
    "f1": f1,
    "precision": precision,
    "recall": recall,
    "accuracy": divide(tp + tn, tp + fp + fn + tn),
    "sensitivity": sensitivity,
    "specificity": specificity,
    "balanced_accuracy": (sensitivity + specificity) / 2,
  }


def _sweep(lane, edge):
  """Order of points by (lane, edge), and the length to the next point.

  A sum over a lane is 0 at its last point, so the (meaningless) length to
  the next lane never counts.
  """
  if not len(lane):
    return np.zeros(0, np.int64), np.zeros(0, np.int64)
  order = np.argsort(lane * (int(edge.max()) + 1) + edge, kind="stable")
  return order, np.diff(edge[order], append=edge[order[-1]])


def _segment_of(seconds, params):
  """Index of the segment that holds a start."""
  resolution, decimals = params.resolution_seconds, params.time_decimals
  index = np.floor(seconds / resolution)
  if decimals is not None:
    # The first segment whose end lies after the start.
    for guess in (index + 1, index, index - 1):
      after = np.round((guess + 1) * resolution, decimals) > np.round(
        seconds, decimals
      )
      index = np.where(after, guess, index)
    index = np.maximum(index, 0)
  return index.astype(np.int64)


def _first_edge_at_or_after(seconds, params):
  """Smallest i with i * resolution >= seconds."""
  resolution, decimals = params.resolution_seconds, params.time_decimals
  index = np.ceil(seconds / resolution)
  if decimals is not None:
    for guess in (index + 1, index, index - 1):
      reached = np.round(guess * resolution, decimals) >= np.round(
        seconds, decimals
      )
      index = np.where(reached, guess, index)
  return index.astype(np.int64)
