"""The best threshold per class, over every score at which F1 can change.

Found on the same data, the numbers are an oracle; `apply_thresholds` uses
thresholds that come from another split.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from yoho_tf.metrics._frames import (
  events_at,
  frames_of,
)
from yoho_tf.metrics._inputs import (
  label_names,
  need_reference,
  prepare,
)
from yoho_tf.metrics._threshold_curves import (
  frame_event_curves,
  intersection_curves,
  segment_curves,
  table_event_curves,
)
from yoho_tf.metrics.soft_labels import best_threshold
from yoho_tf.metrics.tagging import average_precision
from yoho_tf.params import (
  EventParams,
  IntersectionParams,
  SegmentParams,
)

_EMPTY = {"filename": [], "start": [], "end": [], "label": []}
_DEFAULTS = {
  "segment": SegmentParams,
  "event": EventParams,
  "intersection": IntersectionParams,
}


@dataclass(frozen=True)
class BestThresholds:
  """Thresholds of best F1.

  Attributes:
    metric: "segment", "event" or "intersection".
    params: parameters of that metric.
    thresholds: label -> threshold, NaN without a reference.
    f1: label -> best F1.
    average_precision: label -> average precision, of segments only.
    oracle: True, since the thresholds saw the data they are judged on.
  """

  metric: str
  params: object
  thresholds: dict
  f1: dict
  average_precision: dict
  oracle: bool = True

  @property
  def f1_macro(self):
    values = [value for value in self.f1.values() if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")


def best_thresholds(
  reference,
  estimate,
  *,
  metric="event",
  durations=None,
  labels=None,
  params=None,
  **checks,
):
  """Threshold with the best F1 of every class.

  Args:
    reference: event table.
    estimate: `FrameScores` or a scored event table.
    metric: "segment", "event" or "intersection".
    durations: mapping or table of seconds per file; needed for
      "intersection".
    labels: `ClassMap` or names; default the labels of the reference, or the
      columns of the frame scores.
    params: parameters of the metric.
    **checks: `files`, `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `BestThresholds`.

  Raises:
    ValueError: an input breaks a rule, or there is no reference event.
  """
  if metric not in _DEFAULTS:
    raise ValueError(f"metric: one of {tuple(_DEFAULTS)}, received {metric!r}")
  params = _DEFAULTS[metric]() if params is None else params
  is_frames = hasattr(estimate, "boundaries_seconds")
  if is_frames and labels is None:
    labels = label_names(estimate.labels)
  problem = prepare(
    reference,
    _EMPTY if is_frames else estimate,
    durations=durations,
    labels=labels,
    **checks,
  )
  need_reference(problem, "F1")
  if not is_frames and np.isnan(problem.estimate.score).any():
    raise ValueError(
      "estimate: thresholds need a score in every row, received some without"
    )
  frames = None
  if is_frames:
    frames = frames_of(estimate, problem)
  if metric == "segment":
    curves = segment_curves(problem, frames, params)
  elif metric == "event" and is_frames:
    curves = frame_event_curves(problem, frames, params)
  elif metric == "event":
    curves = table_event_curves(problem, params)
  else:
    curves = intersection_curves(
      reference, estimate, durations, problem.labels, params, checks
    )
  num_refs, by_label = curves
  found = [
    best_threshold(tp, fp, count, scores)
    for count, (scores, tp, fp) in zip(num_refs, by_label)
  ]
  areas = {}
  if metric == "segment":
    areas = {
      label: (
        average_precision(tp, fp) * tp[-1] / count if len(tp) and count else 0.0
      )
      for label, count, (_, tp, fp) in zip(problem.labels, num_refs, by_label)
    }
  return BestThresholds(
    metric,
    params,
    {label: item[1] for label, item in zip(problem.labels, found)},
    {label: item[0] for label, item in zip(problem.labels, found)},
    areas,
  )


def apply_thresholds(estimate, thresholds):
  """Events with score > threshold, as a mapping of columns.

  Args:
    estimate: `FrameScores` or a scored event table.
    thresholds: one number, or label -> number; NaN keeps nothing.
  """
  if isinstance(thresholds, Mapping):
    thresholds = {
      label: np.inf if np.isnan(value) else value
      for label, value in thresholds.items()
    }
  if hasattr(estimate, "boundaries_seconds"):
    return events_at(estimate, thresholds)
  is_columns = isinstance(estimate, Mapping)
  columns = {
    name: np.asarray(estimate[name] if is_columns else getattr(estimate, name))
    for name in ("filename", "start", "end", "label", "score")
  }
  level = thresholds
  if isinstance(thresholds, Mapping):
    level = np.array([thresholds[label] for label in columns["label"].tolist()])
  keep = columns["score"] > level
  return {name: column[keep] for name, column in columns.items()}
