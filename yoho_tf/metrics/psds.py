"""The polyphonic sound detection score (PSDS).

The curve of every class is exact: it has a point for every score at which
anything changes, not only for a list of thresholds.

References: Bilen, Ferroni, Tuveri, Azcarreta, Krstulovic, "A Framework for
the Robust Evaluation of Sound Event Detection", 2020; Ebbers, Haeb-Umbach,
Serizel, "Threshold Independent Evaluation of Sound Event Detection Scores",
2022.
"""

from collections.abc import Mapping

import numpy as np

from yoho_tf.metrics._candidates import (
  frame_overlaps,
  point_overlaps,
  scored_overlaps,
  sorted_references,
)
from yoho_tf.metrics._inputs import label_names, need_reference, prepare
from yoho_tf.metrics._intersection import (
  CT,
  FP,
  TP,
  changes,
  sort_changes,
)
from yoho_tf.metrics._result import (
  MetricResult,
  assemble,
  divide,
)
from yoho_tf.params import PSDSParams

_EMPTY = {"start": [], "end": [], "label": [], "filename": []}


def psds_metrics(
  reference, estimate, *, durations=None, labels=None, params=None, **checks
):
  """Polyphonic sound detection score.

  Args:
    reference: event table.
    estimate: `FrameScores`, a scored event table, or operating points: a list
      of event tables or a mapping threshold -> event table.
    durations: mapping or table of seconds per file; needed.
    labels: `ClassMap` or names; default the labels of the reference.
    params: `PSDSParams`, or several, which share the intersections.
    **checks: `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `MetricResult`, or a tuple of them for several params; counts hold the
    `changes`, sorted by class and descending score.

  Raises:
    ValueError: an input breaks a rule, or there is no reference event.
  """
  params = PSDSParams() if params is None else params
  several = params if isinstance(params, (tuple, list)) else (params,)
  overlap = several[0].overlap
  if any(one.overlap != overlap for one in several):
    raise ValueError("params: several share one overlap rule, received two")
  kind = kind_of(estimate)
  if kind == "frames" and labels is None:
    labels = label_names(estimate.labels)
  if kind == "points":
    tables = estimate.values() if isinstance(estimate, Mapping) else estimate
    tables = list(tables)
    estimates = tables or [_EMPTY]
  else:
    estimates = [_EMPTY if kind == "frames" else estimate]
  problems = [
    prepare(reference, one, durations=durations, labels=labels, **checks)
    for one in estimates[:1]
  ]
  problem = problems[0]
  need_reference(problem, "PSDS")
  if problem.durations is None:
    raise ValueError("durations: PSDS needs seconds per file, received none")
  references = sorted_references(problem, overlap)
  if kind == "frames":
    batches = frame_overlaps(estimate, problem, references)
  elif kind == "points":
    problems += [
      prepare(
        reference,
        one,
        durations=durations,
        labels=problem.labels,
        **checks,
      )
      for one in estimates[1:]
    ]
    batches = [point_overlaps(problems, references, overlap)]
  else:
    batches = scored_overlaps(problem, references, overlap)
  parts = [[] for _ in several]
  for overlaps in batches:
    for one, found in zip(several, parts):
      decimals = (
        one.point_time_decimals if kind == "points" else one.time_decimals
      )
      found.append(
        changes(overlaps, references, problem.durations, one, decimals)
      )
  results = tuple(
    _psds_result(problem, references, one, sort_changes(found))
    for one, found in zip(several, parts)
  )
  return results if several is params else results[0]


def kind_of(estimate):
  """ "frames", "points" or "scored": what PSDS takes an estimate for."""
  if hasattr(estimate, "boundaries_seconds"):
    return "frames"
  is_columns = isinstance(estimate, Mapping) and "label" in estimate
  if isinstance(estimate, (list, tuple, Mapping)) and not is_columns:
    return "points"
  return "scored"


def _psds_result(problem, references, params, found):
  num_files, num_labels = len(problem.files), len(problem.labels)
  cell = references.file * num_labels + references.label
  shape = (num_files, num_labels)
  length = references.end - references.start
  counts = {
    "changes": found,
    "num_references": np.bincount(cell, minlength=num_files * num_labels)
    .astype(np.int64)
    .reshape(shape),
    "reference_seconds": np.bincount(
      cell, weights=length, minlength=num_files * num_labels
    ).reshape(shape),
    "durations": problem.durations,
  }
  weights = np.ones(num_files)
  values, curves = psds_values(counts, weights, params)
  present = counts["num_references"].sum(axis=0) > 0
  curves = {
    problem.labels[name] if isinstance(name, int) else name: curve
    for name, curve in curves.items()
  }
  return MetricResult(
    name="psds",
    params=params,
    labels=problem.labels,
    counts=counts,
    curves=curves,
    num_files=num_files,
    total_seconds=float(problem.durations.sum()),
    notes=problem.notes,
    files=problem.files,
    **assemble(values, problem.labels, present, params.absent_classes),
  )


def psds_values(counts, weights, params):
  """PSDS with a weight per file.

  Args:
    counts: the `counts` of a PSDS result.
    weights: float64 `[files]`.
    params: `PSDSParams`.

  Returns:
    ((overall, macro, class-wise), curves by class index and "psd_roc").
  """
  num_refs = weights @ counts["num_references"]  # [classes]
  hours = weights @ counts["reference_seconds"] / 3600.0
  total_hours = float(weights @ counts["durations"]) / 3600.0
  found = counts["changes"]
  present = num_refs > 0
  num_labels = len(num_refs)
  evaluated = (
    np.flatnonzero(present)
    if params.absent_classes == "exclude"
    else np.arange(num_labels)
  )
  # Cost of one cross-trigger with each class, in effective false positives.
  num_means = len(evaluated) - (params.ct_mean == "other")
  cost = np.zeros(num_labels)
  if num_means > 0 and params.alpha_ct > 0:
    cost[evaluated] = np.nan_to_num(
      params.alpha_ct * divide(1.0, hours[evaluated] * num_means)
    )
  bounds = np.searchsorted(found.label, np.arange(num_labels + 1))
  curves, psds = {}, np.full(num_labels, np.nan)
  for label in evaluated.tolist():
    rows = slice(bounds[label], bounds[label + 1])
    x, y = _class_points(
      *(column[rows] for column in (found.score, found.file, found.kind)),
      found.delta[rows],
      weights,
      1.0 / total_hours if total_hours else 0.0,
      cost,
      params,
    )
    y = y / num_refs[label] if num_refs[label] else 0.0 * y
    x, y = _staircase(x, y, params)
    curves[label] = _curve(x, y)
    psds[label] = _area(x, y, params)
  grid, mean = _effective(curves, evaluated, params)
  curves["psd_roc"] = _curve(grid, mean)
  overall = {"psds": _area(grid, mean, params)}
  return (overall, {}, {"psds": psds}), curves


def _curve(x, y):
  return {
    "x": x,
    "y": y,
    "staircase": True,
    "x_name": "effective false positives per hour",
    "y_name": "true positive rate",
  }


def _class_points(score, file, kind, delta, weights, fp_cost, cost, params):
  """Effective FP rate and weighted TP just below every score, from (0, 0)."""
  weighted = weights[file] * delta
  hits = np.cumsum(np.where(kind == TP, weighted, 0.0))
  rate = np.cumsum(np.where(kind == FP, weighted, 0.0)) * fp_cost
  crossed = np.flatnonzero(kind >= CT)
  if len(crossed):
    step = np.zeros(len(kind))
    step[crossed] = weighted[crossed] * cost[kind[crossed] - CT]
    rate = rate + np.cumsum(step)
  last = np.append(score[1:] != score[:-1], True)[: len(score)]
  hits, rate = hits[last], rate[last]
  if len(hits) and not params.non_oracle:
    # Between changes of TP only the lowest rate can matter.
    first = np.flatnonzero(np.append(True, np.diff(hits) != 0))
    rate = np.minimum.reduceat(rate, first)
    hits = hits[first]
  return np.append(0.0, np.maximum(rate, 0.0)), np.append(0.0, hits)


def _staircase(x, y, params):
  """Sorted points, one per x, as a curve that holds its left value."""
  order = np.lexsort((y, x))
  x, y = x[order], y[order]
  last = np.append(x[1:] != x[:-1], True)
  x, y = x[last], y[last]
  if params.non_oracle:
    return x, y
  y = np.maximum.accumulate(y)
  rises = np.append(True, np.diff(y) > 0)
  return x[rises], y[rises]


def _effective(curves, evaluated, params):
  """Mean minus alpha_st standard deviations on the union of all rates."""
  limit = params.max_efpr_per_hour
  grid = np.unique(np.concatenate([[0.0]] + [c["x"] for c in curves.values()]))
  grid = grid[grid <= limit]
  total, squares = np.zeros(len(grid)), np.zeros(len(grid))
  columns = [
    curves[label]["y"][
      np.searchsorted(curves[label]["x"], grid, side="right") - 1
    ]
    for label in evaluated.tolist()
  ]
  if not columns:
    return grid, total
  num = len(columns)
  for column in columns:
    total += column
  mean = total / num
  for column in columns:
    squares += (column - mean) ** 2
  return grid, np.maximum(0.0, mean - params.alpha_st * np.sqrt(squares / num))


def _area(x, y, params):
  """Area under a staircase to the limit, the last value held, over it."""
  limit = params.max_efpr_per_hour
  inside = x <= limit
  edges = np.append(x[inside], limit)
  return float(np.sum(np.diff(edges) * y[inside]) / limit)
