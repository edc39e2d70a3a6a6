"""Mean average precision at thresholds of temporal intersection over union.

Detections in descending score each take, among the references of their file
and class that are still free, the one with the highest intersection over
union; a true positive needs at least the threshold.

Reference: Caba Heilbron et al., "ActivityNet", 2015.
"""

import numpy as np

from yoho_tf.metrics._inputs import need_reference, prepare
from yoho_tf.metrics._matching import match_ranked
from yoho_tf.metrics._overlaps import overlapping_pairs
from yoho_tf.metrics._result import (
  MetricResult,
  assemble,
  divide,
  mean_over_classes,
)
from yoho_tf.params import TemporalParams


def temporal_map(
  reference, estimate, *, durations=None, labels=None, params=None, **checks
):
  """mAP and F1 at temporal intersection over union.

  Args:
    reference: event table.
    estimate: scored event table.
    durations: mapping or table of seconds per file, or None.
    labels: `ClassMap` or names; default the labels of the reference.
    params: `TemporalParams`.
    **checks: `files`, `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `MetricResult` with `map`, `map@t`, and `f1@t` and `recall@t` of the F1
    thresholds.

  Raises:
    ValueError: an input breaks a rule, a score is missing, or there is no
      reference event.
  """
  params = TemporalParams() if params is None else params
  problem = prepare(
    reference, estimate, durations=durations, labels=labels, **checks
  )
  return ranked_result("temporal_iou", problem, params, temporal_iou_pairs)


def temporal_iou_pairs(problem):
  """All pairs of one file and label that overlap: (est, ref, iou)."""
  num_labels = len(problem.labels)
  est, ref = problem.estimate, problem.reference
  e, r = overlapping_pairs(
    est._replace(file=est.file * num_labels + est.label),
    ref._replace(file=ref.file * num_labels + ref.label),
  )
  both = np.minimum(est.end[e], ref.end[r]) - np.maximum(
    est.start[e], ref.start[r]
  )
  either = (est.end - est.start)[e] + (ref.end - ref.start)[r] - both
  return e, r, both / either


def ranked_result(name, problem, params, iou_pairs):
  """Average precision of a problem under any intersection over union.

  Args:
    name: name of the result.
    problem: `Problem`; estimates need scores.
    params: `TemporalParams` or `BoxParams`.
    iou_pairs: problem -> (est, ref, iou) of overlapping pairs.
  """
  need_reference(problem, "average precision")
  if np.isnan(problem.estimate.score).any():
    count = int(np.isnan(problem.estimate.score).sum())
    raise ValueError(
      "estimate: average precision needs a score in every row, received"
      f" {count} rows without"
    )
  problem, dropped = _best_detections(problem, params.max_detections)
  num_labels = len(problem.labels)
  est, ref = problem.estimate, problem.reference
  f1_thresholds = tuple(getattr(params, "f1_thresholds", ()))
  levels = params.thresholds + f1_thresholds
  level, rank = match_ranked(*iou_pairs(problem), levels)
  hits = np.zeros((len(levels), est.num_events), bool)
  hits[level, rank] = True
  cells = len(problem.files) * num_labels
  counts = {
    "file": est.file,
    "label": est.label,
    "score": est.score,
    "hits": hits,  # [thresholds, detections], in descending score
    "num_references": np.bincount(
      ref.file * num_labels + ref.label, minlength=cells
    ).reshape(len(problem.files), num_labels),
  }
  weights = np.ones(len(problem.files))
  present = counts["num_references"].sum(axis=0) > 0
  seconds = problem.durations
  return MetricResult(
    name=name,
    params=params,
    labels=problem.labels,
    counts=counts,
    curves=_curves(counts, problem.labels, present),
    num_files=len(problem.files),
    total_seconds=float("nan") if seconds is None else float(seconds.sum()),
    notes={**problem.notes, "over_max_detections": dropped},
    files=problem.files,
    **assemble(
      ranked_values(counts, weights, params),
      problem.labels,
      present,
      params.absent_classes,
    ),
  )


def _best_detections(problem, max_detections):
  """Estimates in rank order, the best per file and label, and how many not.

  Ties are broken by filename, then start, then input order.
  """
  est = problem.estimate
  order = np.argsort(-est.score)  # ties are broken below
  if (np.diff(est.score[order]) == 0).any():
    name_rank = np.empty(len(problem.files), np.int64)
    name_rank[
      np.argsort(np.array(problem.files, dtype=object), kind="stable")
    ] = np.arange(len(problem.files))
    order = np.lexsort((est.start, name_rank[est.file], -est.score))
  est = est.take(order)
  before = est.num_events
  if max_detections is not None and before:
    lane = est.file * len(problem.labels) + est.label
    by_lane = np.argsort(lane, kind="stable")
    first = np.searchsorted(lane[by_lane], lane[by_lane])
    place = np.empty(before, np.int64)
    place[by_lane] = np.arange(before) - first
    est = est.take(place < max_detections)
  fields = {**problem.__dict__, "estimate": est}
  return type(problem)(**fields), before - est.num_events


def ranked_values(counts, weights, params):
  """Values with a weight per file.

  Args:
    counts: the `counts` of a result.
    weights: float64 `[files]`.
    params: `TemporalParams` or `BoxParams`.

  Returns:
    Dicts of arrays: overall, macro, class-wise.
  """
  num_refs = weights @ counts["num_references"]  # [classes]
  num_ap = len(params.thresholds)
  ap = np.full((num_ap, len(num_refs)), np.nan)
  true = np.zeros((len(counts["hits"]), len(num_refs)))
  num_dets = np.zeros(len(num_refs))
  weight = weights[counts["file"]]  # [detections]
  is_hit = counts["hits"].any(axis=0)
  for label, rows in enumerate(_rows_by_label(counts["label"], len(num_refs))):
    num_dets[label] = weight[rows].sum()
    if num_refs[label] == 0:
      continue
    places = np.flatnonzero(is_hit[rows])
    rows, seen = rows[places], np.cumsum(weight[rows])[places]
    hits = counts["hits"][:, rows] * weight[rows]  # [thresholds, hits]
    true[:, label] = hits.sum(axis=1)
    ap[:, label] = average_precision_of_hits(
      hits[:num_ap], seen, num_refs[label], params.interpolation
    )
  present = num_refs > 0
  class_wise = {"ap": ap.mean(axis=0)}
  macro, overall = {}, {}
  for i, threshold in enumerate(params.thresholds):
    class_wise[f"ap@{threshold:g}"] = ap[i]
    macro[f"map@{threshold:g}"] = mean_over_classes(
      ap[i], present, params.absent_classes
    )
  macro["map"] = np.mean(list(macro.values()))
  f1_thresholds = getattr(params, "f1_thresholds", ())
  for i, threshold in enumerate(f1_thresholds, start=num_ap):
    f1 = divide(2 * true[i], num_dets + num_refs)
    class_wise[f"f1@{threshold:g}"] = np.where(present, f1, np.nan)
    macro[f"f1@{threshold:g}_macro"] = mean_over_classes(
      f1, present, params.absent_classes
    )
    overall[f"f1@{threshold:g}_micro"] = divide(
      2 * true[i].sum(), num_dets.sum() + num_refs.sum()
    )
    overall[f"recall@{threshold:g}_micro"] = divide(
      true[i].sum(), num_refs.sum()
    )
  return overall, macro, class_wise


def _rows_by_label(label, num_labels):
  """Rows of every label, in order: list of int64 `[rows of the label]`."""
  # Sorting small integers stably takes linear time.
  kind = np.min_scalar_type(max(num_labels - 1, 0))
  order = np.argsort(label.astype(kind), kind="stable")
  return np.split(
    order, np.cumsum(np.bincount(label, minlength=num_labels))[:-1]
  )


def average_precision_of_hits(hits, seen, num_references, interpolation):
  """Average precision of one class, from the detections that hit anything.

  Precision only falls between two hits, so no other detection can matter.

  Args:
    hits: float64 `[thresholds, hits]`, the weight where a true positive.
    seen: float64 `[hits]`, weight of all detections up to each.
    num_references: weighted number of references.
    interpolation: "all" or "101".

  Returns:
    float64 `[thresholds]`.
  """
  if not len(seen):
    return np.zeros(len(hits))
  true = np.cumsum(hits, axis=1)
  precision = true / np.where(seen > 0, seen, 1.0)
  precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
  recall = true / num_references
  if interpolation == "all":
    return np.sum(np.diff(recall, axis=1, prepend=0.0) * precision, axis=1)
  points = np.linspace(0.0, 1.0, 101)
  padded = np.append(precision, np.zeros((len(hits), 1)), axis=1)
  return np.array(
    [
      padded[i][np.searchsorted(recall[i], points, side="left")].mean()
      for i in range(len(hits))
    ]
  )


def _curves(counts, labels, present):
  """Precision over recall at the first threshold, per class."""
  curves = {}
  if not len(counts["hits"]):
    return curves
  num_refs = counts["num_references"].sum(axis=0)
  for label, rows in enumerate(_rows_by_label(counts["label"], len(labels))):
    if present[label]:
      true = np.cumsum(counts["hits"][0][rows])
      curves[labels[label]] = {
        "x": true / num_refs[label],
        "y": true / np.arange(1, len(true) + 1),
        "x_name": "recall",
        "y_name": "precision",
      }
  return curves
