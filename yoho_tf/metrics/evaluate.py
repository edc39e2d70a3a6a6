"""Every metric that the inputs allow, in one call."""

from dataclasses import dataclass, replace

import numpy as np

from yoho_tf.labels import did_you_mean
from yoho_tf.metrics._frames import frames_of
from yoho_tf.metrics._inputs import label_names, prepare
from yoho_tf.metrics._result import save_json
from yoho_tf.metrics._threshold_curves import segment_cells
from yoho_tf.metrics.best import best_thresholds
from yoho_tf.metrics.boxes import box_map
from yoho_tf.metrics.event import event_metrics
from yoho_tf.metrics.intersection import intersection_metrics
from yoho_tf.metrics.masks import mask_metrics
from yoho_tf.metrics.psds import kind_of, psds_metrics
from yoho_tf.metrics.segment import segment_metrics
from yoho_tf.metrics.tagging import tagging_metrics
from yoho_tf.metrics.temporal_iou import temporal_map
from yoho_tf.params import MetricParams

METRICS = (
  "segment event intersection temporal_iou boxes psds1 psds2 tagging"
  " segment_scores masks"
).split()
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
  metrics=None,
  **checks,
):
  """Runs every metric the inputs allow.

  Args:
    reference: event table.
    estimate: event table, or None.
    params: `MetricParams`, such as one of `METRIC_PRESETS`.
    durations: mapping or table of seconds per file, or None.
    scores: what ranks: `FrameScores`, operating points, or a scored event
      table; default the estimate, where every row of it has a score.
    masks: (reference, estimate), each file -> `[frames, bands, classes]`.
    labels: `ClassMap` or names; default the labels of the reference.
    metrics: names of `METRICS`; default all.
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
  for name in metrics or ():
    if name not in METRICS:
      raise ValueError(f"metrics: name {did_you_mean(name, METRICS)}")
  kind = None if scores is None else kind_of(scores)
  frames = scores if kind == "frames" else None
  if labels is None and frames is not None:
    labels = label_names(frames.labels)
  # The rules of the inputs hold for all metrics: break them once, here.
  problem, ranked = (
    prepare(
      reference,
      _NO_EVENTS if table is None else table,
      durations=durations,
      labels=labels,
      **checks,
    )
    for table in (estimate, scores if kind == "scored" else estimate)
  )
  if durations is None and problem.durations is not None:
    durations = dict(zip(problem.files, problem.durations.tolist()))
  common = {"durations": durations, "labels": problem.labels, **checks}
  is_ranked = (
    ranked.estimate.num_events > 0 and not np.isnan(ranked.estimate.score).any()
  )
  ranking = scores if kind == "scored" else estimate
  if scores is None and is_ranked:
    scores = estimate
  has_boxes = not any(
    np.isnan(events.high_hz).all()
    for events in (ranked.reference, ranked.estimate)
  )
  no_table = (estimate is None, "no event table")
  no_event = (problem.reference.num_events == 0, "no reference event")
  unranked = (not is_ranked, "no scored event table")
  no_frames = (frames is None, "no frame scores")
  for_psds = (
    (scores is None, "no scores"),
    (problem.durations is None, "no durations"),
    no_event,
  )

  def table(function, own, source=estimate):
    return lambda: function(reference, source, params=own, **common)

  # Name -> what computes it, and what may stand against it.
  plan = {
    "segment": (table(segment_metrics, params.segment), no_table),
    "event": (table(event_metrics, params.event), no_table, no_event),
    "intersection": (
      table(intersection_metrics, params.intersection),
      no_table,
      no_event,
    ),
    "temporal_iou": (
      table(temporal_map, params.temporal, ranking),
      unranked,
      no_event,
    ),
    "boxes": (
      table(box_map, params.boxes, ranking),
      unranked,
      (not has_boxes, "no frequency bounds"),
      no_event,
    ),
    "psds1": (table(psds_metrics, params.psds1, scores), *for_psds),
    "psds2": (table(psds_metrics, params.psds2, scores), *for_psds),
    "tagging": (
      lambda: _tagging(problem, frames, params),
      no_frames,
      no_event,
    ),
    "segment_scores": (
      lambda: _segment_scores(problem, frames, params),
      no_frames,
      no_event,
    ),
    "masks": (
      lambda: mask_metrics(*masks, labels=problem.labels, params=params.masks),
      (masks is None, "no masks"),
    ),
  }
  results, best, skipped = {}, {}, {}
  for name in plan if metrics is None else metrics:
    compute, *reasons = plan[name]
    reason = next((text for holds, text in reasons if holds), None)
    if reason is None:
      try:
        results[name] = compute()
      except ValueError as error:
        reason = str(error)
    if reason is not None:
      skipped[name] = reason
  if "segment_scores" in results:
    best["segment"] = best_thresholds(
      reference, frames, metric="segment", params=params.segment, **common
    )
  return EvaluationReport(results, best, skipped, params)


def _tagging(problem, scores, params):
  """Clip scores by maximum over time against the classes of a file."""
  frames = frames_of(scores, problem)
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
  frames = frames_of(scores, problem)
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
