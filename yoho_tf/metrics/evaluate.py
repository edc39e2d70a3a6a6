"""Every metric that the inputs allow, in one call."""

from dataclasses import dataclass, replace

import numpy as np

from yoho_tf.metrics._frames import check_frame_scores
from yoho_tf.metrics._inputs import label_names, prepare
from yoho_tf.metrics._result import save_json
from yoho_tf.metrics.best import best_thresholds, segment_cells
from yoho_tf.metrics.boxes import box_map
from yoho_tf.metrics.event import event_metrics
from yoho_tf.metrics.masks import mask_metrics
from yoho_tf.metrics.psds import intersection_metrics, psds_metrics
from yoho_tf.metrics.segment import segment_metrics
from yoho_tf.metrics.tagging import tagging_metrics
from yoho_tf.metrics.temporal_iou import temporal_map
from yoho_tf.params import MetricParams

_NO_EVENTS = {"filename": [], "start": [], "end": [], "label": []}


@dataclass(frozen=True)
class EvaluationReport:
  """Results by name, and why others were left out.

  Attributes:
    results: name -> `MetricResult`.
    best: metric -> `BestThresholds` (oracle).
    skipped: name -> reason.
    params: `MetricParams`.
  """

  results: dict
  best: dict
  skipped: dict
  params: MetricParams

  def __getitem__(self, key):
    """A result ("event"), or a number ("event_f1_macro")."""
    if key in self.results:
      return self.results[key]
    for name, result in self.results.items():
      inner = key.removeprefix(f"{name}_")
      if inner != key:
        try:
          return result[inner]
        except KeyError:
          continue
    raise KeyError(f"{key!r}: the report has {sorted(self.results)}")

  def to_dict(self):
    """Plain Python values."""
    return {
      "results": {name: item.to_dict() for name, item in self.results.items()},
      "best": {
        name: {
          "thresholds": dict(item.thresholds),
          "f1": dict(item.f1),
          "f1_macro": item.f1_macro,
          "average_precision": dict(item.average_precision),
          "oracle": item.oracle,
        }
        for name, item in self.best.items()
      },
      "skipped": dict(self.skipped),
    }

  def save(self, path):
    """Writes JSON; null for numbers that are not finite, keys listed."""
    save_json(self.to_dict(), path)

  def to_df(self):
    """DataFrame: one row per metric and class, macro and micro."""
    import pandas as pd

    tables = [
      item.to_df().assign(metric=name) for name, item in self.results.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["metric", "label"] + [
      name for name in table.columns if name not in ("metric", "label")
    ]]  # fmt: skip


def evaluate(
  reference,
  estimate=None,
  *,
  params=None,
  durations=None,
  scores=None,
  masks=None,
  labels=None,
  **checks,
):
  """Runs every metric the inputs allow.

  Args:
    reference: event table.
    estimate: event table, or None.
    params: `MetricParams`, such as one of `METRIC_PRESETS`.
    durations: mapping or table of seconds per file, or None.
    scores: `FrameScores`, or None.
    masks: (reference, estimate), each file -> `[frames, bands, classes]`.
    labels: `ClassMap` or names; default the labels of the reference.
    **checks: `files`, `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `EvaluationReport`.

  Raises:
    ValueError: an input breaks a rule, or there is nothing to evaluate.
  """
  params = MetricParams() if params is None else params
  if estimate is None and scores is None and masks is None:
    raise ValueError(
      "estimate: an event table, scores or masks, received none of them"
    )
  if labels is None and scores is not None:
    labels = label_names(scores.labels)
  # The rules of the inputs hold for all metrics: break them once, here.
  problem = prepare(
    reference,
    _NO_EVENTS if estimate is None else estimate,
    durations=durations,
    labels=labels,
    **checks,
  )
  if durations is None and problem.durations is not None:
    durations = dict(zip(problem.files, problem.durations.tolist()))
  common = {"durations": durations, "labels": problem.labels, **checks}
  no_reference = problem.reference.num_events == 0
  has_table = estimate is not None
  scored = has_table and (
    problem.estimate.num_events > 0
    and not np.isnan(problem.estimate.score).any()
  )
  has_boxes = has_table and not (
    np.isnan(problem.reference.high_hz).all()
    or np.isnan(problem.estimate.high_hz).all()
  )
  results, best, skipped = {}, {}, {}

  def run(name, compute, *reasons):
    reason = next((text for holds, text in reasons if holds), None)
    if reason is not None:
      skipped[name] = reason
      return
    try:
      results[name] = compute()
    except ValueError as error:
      skipped[name] = str(error)

  no_table = (not has_table, "no event table")
  no_event = (no_reference, "no reference event")
  unscored = (not scored, "no scores")
  for name, function, own in (
    ("segment", segment_metrics, params.segment),
    ("event", event_metrics, params.event),
    ("intersection", intersection_metrics, params.intersection),
  ):
    reasons = (no_table,) if name == "segment" else (no_table, no_event)
    run(
      name,
      lambda f=function, p=own: f(reference, estimate, params=p, **common),
      *reasons,
    )
  run(
    "temporal_iou",
    lambda: temporal_map(reference, estimate, params=params.temporal, **common),
    no_table,
    unscored,
    no_event,
  )
  run(
    "boxes",
    lambda: box_map(reference, estimate, params=params.boxes, **common),
    no_table,
    unscored,
    (not has_boxes, "no frequency bounds"),
    no_event,
  )
  source = scores if scores is not None else (estimate if scored else None)
  for name, own in (("psds1", params.psds1), ("psds2", params.psds2)):
    run(
      name,
      lambda p=own: psds_metrics(reference, source, params=p, **common),
      (source is None, "no scores"),
      (problem.durations is None, "no durations"),
      no_event,
    )
  run(
    "tagging",
    lambda: _tagging(problem, scores, params),
    (scores is None, "no frame scores"),
    no_event,
  )
  run(
    "segment_scores",
    lambda: _segment_scores(problem, scores, params),
    (scores is None, "no frame scores"),
    no_event,
  )
  if scores is not None and not no_reference:
    best["segment"] = best_thresholds(
      reference, scores, metric="segment", params=params.segment, **common
    )
  run(
    "masks",
    lambda: mask_metrics(*masks, labels=problem.labels, params=params.masks),
    (masks is None, "no masks"),
  )
  return EvaluationReport(results, best, skipped, params)


def _tagging(problem, scores, params):
  """Clip scores by maximum over time against the classes of a file."""
  frames = check_frame_scores(
    scores, problem.files, problem.labels, problem.durations
  )
  clip_scores = np.array([item.scores.max(axis=0) for item in frames])
  targets = np.zeros(clip_scores.shape, bool)
  targets[problem.reference.file, problem.reference.label] = True
  return tagging_metrics(
    targets,
    clip_scores,
    labels=problem.labels,
    params=params.tagging,
    files=problem.files,
  )


def _segment_scores(problem, scores, params):
  """Average precision and AUROC of segments; it has no replicates by file."""
  frames = check_frame_scores(
    scores, problem.files, problem.labels, problem.durations
  )
  targets, values = segment_cells(problem, frames, params.segment)
  covered = np.isfinite(values).all(axis=1)
  result = tagging_metrics(
    targets[covered],
    values[covered],
    labels=problem.labels,
    params=params.tagging,
  )
  return replace(
    result, name="segment_scores", counts={}, num_files=len(problem.files)
  )
