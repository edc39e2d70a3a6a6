"""Metrics for soft labels in segments, as in MAESTRO Real.

The reference gives a value between 0 and 1 per segment and class. Cells that
nobody looked at are left out; cells without a row are a known 0.

Reference: Martin-Morato, Mesaros, "Strong Labeling of Sound Events Using
Crowdsourced Weak Labels and Annotator Competence Estimation", 2023.
"""

import numpy as np

from yoho_tf.metrics._frames import check_frame_scores
from yoho_tf.metrics._inputs import label_names, prepare
from yoho_tf.metrics._overlaps import ranges
from yoho_tf.metrics._result import MetricResult, assemble, divide, f_score
from yoho_tf.metrics.tagging import (
  area_under_roc,
  cumulative_counts,
  partial_area_under_roc,
)
from yoho_tf.params import SoftLabelParams

_NO_EVENTS = {"filename": [], "start": [], "end": [], "label": []}


def soft_label_metrics(
  reference,
  estimate,
  *,
  durations=None,
  labels=None,
  unknown=None,
  params=None,
  **checks,
):
  """F1, error rate, AUROC and distances to soft labels.

  Args:
    reference: event table whose `score` is the soft value.
    estimate: `FrameScores`.
    durations: mapping or table of seconds per file; else the last end of the
      reference.
    labels: `ClassMap` or names; default the columns of the estimate.
    unknown: event table of what nobody looked at; label "" = all classes.
    params: `SoftLabelParams`.
    **checks: `files`, `match`.

  Returns:
    `MetricResult`; counts hold `soft scores known` `[segments, classes]` and
    `file` `[segments]`.

  Raises:
    ValueError: an input breaks a rule.
  """
  params = SoftLabelParams() if params is None else params
  labels = label_names(estimate.labels if labels is None else labels)
  unknown = getattr(reference, "unknown", None) if unknown is None else unknown
  problem = prepare(
    reference, _NO_EVENTS, durations=durations, labels=labels, **checks
  )
  events = problem.reference
  if (
    np.isnan(events.score).any()
    or not ((events.score >= 0) & (events.score <= 1)).all()
  ):
    wrong = ~((events.score >= 0) & (events.score <= 1))
    raise ValueError(
      "reference: soft values must lie in [0, 1], received"
      f" {events.score[wrong][:5].tolist()}"
    )
  lengths = problem.durations
  if lengths is None:
    lengths = np.zeros(len(problem.files))
    np.maximum.at(lengths, events.file, events.end)
  resolution = params.resolution_seconds
  num_segments = np.ceil(lengths / resolution).astype(np.int64)  # [files]
  begin = np.concatenate([[0], np.cumsum(num_segments)])
  soft = np.zeros((begin[-1], len(labels)))
  row, segment = _segments_of(events.start, events.end, resolution)
  inside = segment < num_segments[events.file[row]]
  row, segment = row[inside], segment[inside]
  np.maximum.at(
    soft,
    (begin[events.file[row]] + segment, events.label[row]),
    events.score[row],
  )
  known = _known_cells(unknown, problem, begin, num_segments, resolution)
  files = check_frame_scores(
    estimate,
    problem.files,
    labels,
    problem.durations,
    match=problem.match,
  )
  scores = np.full(soft.shape, -np.inf)
  for first, count, frames in zip(begin, num_segments, files):
    bounds = frames.boundaries
    row, segment = _segments_of(bounds[:-1], bounds[1:], resolution)
    row, segment = row[segment < count], segment[segment < count]
    np.maximum.at(scores, first + segment, frames.scores[row])
  if not np.isfinite(scores[known]).all():
    rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    file = np.searchsorted(begin, rows, side="right") - 1
    names = list(dict.fromkeys(problem.files[i] for i in file))
    raise ValueError(
      "scores: frames must cover every segment, received none for"
      f" {len(rows)} segments of {names[:5]}"
    )
  counts = {
    "soft": soft,
    "scores": scores,
    "known": known,
    "file": np.repeat(np.arange(len(problem.files)), num_segments),
  }
  values = soft_label_values(counts, np.ones(len(problem.files)), params)
  return MetricResult(
    name="soft_labels",
    params=params,
    labels=labels,
    counts=counts,
    num_files=len(problem.files),
    total_seconds=float(lengths.sum()),
    notes={**problem.notes, "unknown_cells": int(np.count_nonzero(~known))},
    files=problem.files,
    **assemble(values, labels, np.ones(len(labels), bool), "zero"),
  )


def _segments_of(start, end, resolution):
  """(row, segment) for all segments that overlap a row by more than 0."""
  first = np.floor(start / resolution).astype(np.int64)
  stop = np.ceil(end / resolution).astype(np.int64)
  return ranges(first, stop)


def _known_cells(unknown, problem, begin, num_segments, resolution):
  """Bool `[segments, classes]`, False where nobody looked."""
  known = np.ones((begin[-1], len(problem.labels)), bool)
  if unknown is None or not len(getattr(unknown, "start", unknown["start"])):
    return known
  columns = {
    name: list(
      unknown[name] if hasattr(unknown, "keys") else getattr(unknown, name)
    )
    for name in ("filename", "start", "end", "label")
  }
  file_index = {name: i for i, name in enumerate(problem.files)}
  for name, start, end, label in zip(*columns.values()):
    if name not in file_index:
      raise ValueError(
        f"unknown: file must be in the file list, received {name!r}"
      )
    if label and label not in problem.labels:
      raise ValueError(f"unknown: label must be in labels, received {label!r}")
    file = file_index[name]
    first = begin[file] + int(np.floor(start / resolution))
    stop = begin[file] + min(
      int(np.ceil(end / resolution)), int(num_segments[file])
    )
    column = problem.labels.index(label) if label else slice(None)
    known[first:stop, column] = False
  return known


def soft_label_values(counts, weights, params):
  """Values with a weight per file; see `tagging_values`."""
  soft, scores, known = counts["soft"], counts["scores"], counts["known"]
  weight = np.asarray(weights, np.float64)[counts["file"]]  # [segments]
  cell = known * weight[:, None]  # [segments, classes]
  target = (soft > params.reference_threshold) & known
  active = (scores > params.threshold) & known
  tp = (cell * (target & active)).sum(axis=0)
  num_ref, num_est = (cell * target).sum(axis=0), (cell * active).sum(axis=0)
  f1 = np.nan_to_num(divide(2 * tp, num_ref + num_est))
  refs, ests = target.sum(axis=1), active.sum(axis=1)
  hits = (target & active).sum(axis=1)
  # Substitutions, deletions and insertions of a segment make up the larger.
  errors = np.maximum(refs, ests) - hits
  columns = {"auroc": [], "pauroc": [], "f1_optimal": [], "threshold": []}
  for label in range(soft.shape[1]):
    rows = known[:, label] & (weight > 0)
    item = target[rows, label], scores[rows, label], weight[rows]
    step_tp, step_fp = cumulative_counts(*item)
    columns["auroc"].append(area_under_roc(step_tp, step_fp, kind=params.auroc))
    columns["pauroc"].append(
      partial_area_under_roc(
        step_tp, step_fp, max_fpr=params.max_fpr, kind=params.auroc
      )
    )
    best, threshold = best_threshold(
      step_tp, step_fp, num_ref[label], np.unique(item[1])[::-1]
    )
    columns["f1_optimal"].append(best)
    columns["threshold"].append(threshold)
  class_wise = {name: np.array(values) for name, values in columns.items()}
  clipped = np.clip(scores, params.clip, 1 - params.clip)
  distances = {
    "mean_absolute_error": np.abs(soft - scores),
    "brier": (soft - scores) ** 2,
    "cross_entropy": -soft * np.log(clipped) - (1 - soft) * np.log1p(-clipped),
  }
  overall = {
    "f1_micro": divide(2 * tp.sum(), num_ref.sum() + num_est.sum()),
    "er_micro": divide((errors * weight).sum(), num_ref.sum()),
  }
  for name, distance in distances.items():
    distance = np.where(known, distance, 0.0) * cell
    overall[name] = divide(distance.sum(), cell.sum())
    class_wise[name] = divide(distance.sum(axis=0), cell.sum(axis=0))
  macro = {
    "f1_macro": f1.mean(),
    "f1_macro_optimal": np.nan_to_num(class_wise["f1_optimal"]).mean(),
    "mauc": _nan_mean(class_wise["auroc"]),
    "mpauc": _nan_mean(class_wise["pauroc"]),
  }
  return overall, macro, {"f1": f1, **class_wise}


def _nan_mean(values):
  valid = values[~np.isnan(values)]
  return divide(valid.sum(), len(valid))


def best_threshold(tp, fp, num_reference, scores):
  """The threshold with the best F1.

  Ties go to the higher threshold; the value is the midpoint to the next
  lower score, below the lowest score half of it (or the next float, where
  that is not lower).

  Args:
    tp, fp: cumulative counts just below every score, `[steps]`.
    num_reference: number of positives.
    scores: distinct scores in descending order, `[steps]`.

  Returns:
    (best F1, threshold); (NaN, NaN) without a positive or a score.
  """
  if not len(scores) or num_reference == 0:
    return float("nan"), float("nan")
  precision = tp / np.where(tp + fp > 0, tp + fp, 1.0)
  best = f_score(precision, tp / num_reference)
  at = int(np.argmax(best))
  if at + 1 < len(scores):
    return float(best[at]), float((scores[at] + scores[at + 1]) / 2)
  lowest = float(scores[at])
  below = lowest / 2 if lowest > 0 else float(np.nextafter(lowest, -np.inf))
  return float(best[at]), below
