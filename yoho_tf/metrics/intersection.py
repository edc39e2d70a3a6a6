"""Intersection F1 at one operating point.

A detection passes when enough of it lies in references, a reference is found
when enough of it lies in passing detections.

Reference: Bilen, Ferroni, Tuveri, Azcarreta, Krstulovic, "A Framework for
the Robust Evaluation of Sound Event Detection", 2020.
"""

import numpy as np

from yoho_tf.metrics._candidates import point_overlaps, sorted_references
from yoho_tf.metrics._inputs import need_reference, prepare
from yoho_tf.metrics._intersection import CT, FP, TP, Changes, changes
from yoho_tf.metrics._result import (
  mean_over_classes,
  of_counts,
  score_columns,
)
from yoho_tf.params import IntersectionParams


def intersection_metrics(
  reference, estimate, *, durations=None, labels=None, params=None, **checks
):
  """F1 by intersection criteria at one operating point.

  Args:
    reference, estimate: event tables.
    durations: mapping or table of seconds per file, or None.
    labels: `ClassMap` or names; default the labels of the reference.
    params: `IntersectionParams`.
    **checks: `files`, `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `MetricResult`; counts `tp fp fn` int64 `[files, classes]`,
    `ct` int64 `[files, classes, classes]`.

  Raises:
    ValueError: an input breaks a rule, or there is no reference event.
  """
  params = IntersectionParams() if params is None else params
  problem = prepare(
    reference, estimate, durations=durations, labels=labels, **checks
  )
  need_reference(problem, "intersection F1")
  references = sorted_references(problem, params.overlap)
  overlaps = point_overlaps([problem], references, params.overlap)
  found = changes(
    overlaps, references, problem.durations, params, params.time_decimals
  )
  # One point: what it takes back below its step does not belong to it.
  found = Changes(*(column[found.score == 0] for column in found))
  counts = _file_counts(found, references, problem)
  return of_counts("intersection", problem, params, counts, intersection_values)


def _file_counts(found, references, problem):
  shape = (len(problem.files), len(problem.labels))
  cell = found.file * shape[1] + found.label

  def total(cells, weights, size):
    return np.bincount(cells, weights=weights, minlength=size).astype(np.int64)

  size = shape[0] * shape[1]
  by_kind = [
    total(cell, found.delta * (found.kind == kind), size).reshape(shape)
    for kind in (TP, FP)
  ]
  crossed = found.kind >= CT
  cross = total(
    cell[crossed] * shape[1] + found.kind[crossed] - CT,
    found.delta[crossed],
    size * shape[1],
  )
  num_refs = total(
    references.file * shape[1] + references.label, None, size
  ).reshape(shape)
  return {
    "tp": by_kind[0],
    "fp": by_kind[1],
    "fn": num_refs - by_kind[0],
    "ct": cross.reshape(*shape, shape[1]),
  }


def intersection_values(sums, params):
  """Values of summed counts; see `event_values`."""
  tp, fp, fn = sums["tp"], sums["fp"], sums["fn"]
  handling = {"empty_system": params.empty_system}
  class_wise = score_columns(tp, fp, fn, **handling)
  macro = {
    f"{name}_macro": mean_over_classes(
      value, tp + fn > 0, params.absent_classes
    )
    for name, value in class_wise.items()
  }
  micro = [count.sum(axis=-1) for count in (tp, fp, fn)]
  overall = {
    f"{name}_micro": value
    for name, value in score_columns(*micro, **handling).items()
  }
  overall.update(zip(("tp", "fp", "fn"), micro))
  overall["ct"] = sums["ct"].sum(axis=(-1, -2))
  class_wise.update(tp=tp, fp=fp, fn=fn, ct=sums["ct"].sum(axis=-1))
  return overall, macro, class_wise
