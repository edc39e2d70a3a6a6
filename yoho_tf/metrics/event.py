"""Event-based detection metrics with collars.

A reference and an estimate of one file and label match when their starts
and ends differ by no more than the collars.

Reference: Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event
Detection", 2016.
"""

import numpy as np

from yoho_tf.metrics._inputs import need_reference, prepare
from yoho_tf.metrics._matching import (
  match_greedy,
  match_optimal,
  pairs_within,
)
from yoho_tf.metrics._result import (
  divide,
  mean_over_classes,
  of_counts,
  score_columns,
)
from yoho_tf.params import EventParams


def event_metrics(
  reference,
  estimate,
  *,
  labels=None,
  files=None,
  durations=None,
  params=None,
  **checks,
):
  """F1 and error rate over matched events.

  Args:
    reference, estimate: event tables.
    labels: `ClassMap` or names; default the labels of the reference.
    files: file list where there are no durations.
    durations: mapping or table of seconds per file, or None.
    params: `EventParams`.
    **checks: `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `MetricResult`; counts `tp fp fn` int64 `[files, classes]`,
    `substitutions` int64 `[files]`.

  Raises:
    ValueError: an input breaks a rule, or there is no reference event.
  """
  params = EventParams() if params is None else params
  problem = prepare(
    reference,
    estimate,
    durations=durations,
    labels=labels,
    files=files,
    **checks,
  )
  need_reference(problem, "event F1")
  counts = count_events(problem, params)
  return of_counts("event", problem, params, counts, event_values)


def count_events(problem, params):
  """Sufficient statistics per file, see `event_metrics`."""
  ref, est = problem.reference, problem.estimate
  num_labels = len(problem.labels)
  shape = (len(problem.files), num_labels)
  match = match_optimal if params.matching == "optimal" else match_greedy
  matched = match(
    *close_pairs(
      ref,
      est,
      params,
      ref_group=ref.file * num_labels + ref.label,
      est_group=est.file * num_labels + est.label,
    )
  )
  hit = np.fromiter(matched.values(), np.int64, len(matched))  # refs
  ref_left = np.ones(ref.num_events, bool)
  ref_left[hit] = False
  est_left = np.ones(est.num_events, bool)
  est_left[np.fromiter(matched.keys(), np.int64, len(matched))] = False
  ref_left, est_left = np.flatnonzero(ref_left), np.flatnonzero(est_left)
  # What is left is compared without labels, in input order.
  rest_ref, rest_est = ref.take(ref_left), est.take(est_left)
  substituted = match_greedy(
    *close_pairs(rest_ref, rest_est, params, rest_ref.file, rest_est.file)
  )
  swapped = np.fromiter(substituted.values(), np.int64, len(substituted))

  def per_class(events):
    cell = events.file * num_labels + events.label
    return np.bincount(cell, minlength=shape[0] * num_labels).reshape(shape)

  return {
    "tp": per_class(ref.take(hit)),
    "fp": per_class(rest_est),
    "fn": per_class(rest_ref),
    "substitutions": np.bincount(rest_ref.file[swapped], minlength=shape[0]),
  }


def close_pairs(ref, est, params, ref_group, est_group):
  """Pairs of one group within the collars, int64 `[pairs]` each."""
  collar = params.start_collar_seconds
  # The window is a little wider; the exact rule follows.
  slack = collar + 1e-6 * (1.0 + np.abs(ref.start))
  r, e = pairs_within(
    ref_group, ref.start - slack, ref.start + slack, est_group, est.start
  )
  close = _within(np.abs(ref.start[r] - est.start[e]), collar, params)
  if params.match_end:
    collar = np.maximum(
      params.end_collar_seconds,
      params.end_collar_ratio * (ref.end[r] - ref.start[r]),
    )
    close &= _within(np.abs(ref.end[r] - est.end[e]), collar, params)
  return r[close], e[close]


def _within(difference, collar, params):
  if params.time_decimals is None:
    return difference <= collar
  return np.round(difference - collar, params.time_decimals) <= 0


def event_values(sums, params):
  """Values of summed counts.

  Args:
    sums: the counts summed over files: `tp fp fn` `[..., classes]`,
      `substitutions` `[...]`.
    params: `EventParams`.

  Returns:
    Dicts of arrays: overall `[...]`, macro `[...]`, class-wise
    `[..., classes]`.
  """
  tp, fp, fn = sums["tp"], sums["fp"], sums["fn"]
  handling = {"empty_system": params.empty_system}
  class_wise = score_columns(tp, fp, fn, **handling)
  class_wise["er"] = divide(fn + fp, tp + fn)
  macro = {
    f"{name}_macro": mean_over_classes(
      value, tp + fn > 0, params.absent_classes
    )
    for name, value in class_wise.items()
  }
  micro = [count.sum(axis=-1) for count in (tp, fp, fn)]
  overall = score_columns(*micro, **handling)
  num_reference, swapped = micro[0] + micro[2], sums["substitutions"]
  overall["substitution_rate"] = divide(swapped, num_reference)
  overall["deletion_rate"] = divide(micro[2] - swapped, num_reference)
  overall["insertion_rate"] = divide(micro[1] - swapped, num_reference)
  overall["er"] = (
    overall["substitution_rate"]
    + overall["deletion_rate"]
    + overall["insertion_rate"]
  )
  overall = {f"{name}_micro": value for name, value in overall.items()}
  overall.update(tp=micro[0], fp=micro[1], fn=micro[2], substitutions=swapped)
  class_wise.update(tp=tp, fp=fp, fn=fn)
  return overall, macro, class_wise
