"""Scores that mean something: the share of events that match the truth.

Per label `sigmoid(a logit(score) + b)` with a > 0, fitted by maximum
likelihood to "this event matches a reference at temporal IoU >= 0.5" (Platt
1999, with his smoothed targets). A monotone map: which events are kept does
not change, since thresholds go through it too.
"""

from dataclasses import replace

import numpy as np

from yoho_tf.metrics import temporal_map
from yoho_tf.models import yoho
from yoho_tf.params import TemporalParams
from yoho_tf.training.evaluation import unthresholded

MIN_EVENTS = 20
_IOU = 0.5
_SMALLEST_A = 0.01
_EDGE = 1e-7  # as in `models.yoho.decode`


def calibrate(cells, reference, durations, params):
  """`params` with `calibration_a`, `calibration_b` of every label.

  Args:
    cells: `{filename: outputs}` of files that the network did not train on.
    reference: `EventTable` of the same files.
    durations: `{filename: seconds}`.
    params: with tuned, uncalibrated post-processing. A label with fewer than
      20 events, or only hits or only misses, takes the map of all labels.
  """
  events = scored_events(cells, reference, durations, params)
  maps = _fit_per_label(*events, params.labels)
  per_label = {}
  for label in params.labels:
    own = params.postprocess.for_label(label)
    a, b = maps[label]
    per_label[label] = {
      **params.postprocess.per_label.get(label, {}),
      "threshold": float(_apply(own.threshold, a, b)),
      "calibration_a": a,
      "calibration_b": b,
    }
  return replace(
    params, postprocess=replace(params.postprocess, per_label=per_label)
  )


def calibration_errors(cells, reference, durations, params, *, seed=0):
  """Expected calibration error `{"before": ..., "after": ...}`, 0..1.

  "After" is cross-fitted: each half of the files is judged by the map of the
  other half.
  """
  label, score, hit, name = scored_events(cells, reference, durations, params)
  files = sorted(durations)
  order = np.random.default_rng(seed).permutation(len(files))
  half_of = dict(zip(files, order % 2, strict=True))
  half = np.array([half_of[n] for n in name], int)
  after = np.zeros(len(score))
  for side in (0, 1):
    fitted, judged = half != side, half == side
    maps = _fit_per_label(
      *(column[fitted] for column in (label, score, hit, name)), params.labels
    )
    a, b = np.array([maps[n] for n in label[judged]]).reshape(-1, 2).T
    after[judged] = _apply(score[judged], a, b)
  return {
    "before": expected_calibration_error(score, hit),
    "after": expected_calibration_error(after, hit),
  }


def expected_calibration_error(score, hit, *, num_bins=10) -> float:
  """Mean |share of hits - mean score| over equal bins, weighted by events.

  Guo et al. 2017, equation 3; NaN without an event.
  """
  score, hit = np.asarray(score, float), np.asarray(hit, float)
  if not len(score):
    return float("nan")
  number = np.minimum((score * num_bins).astype(int), num_bins - 1)
  gap = np.bincount(number, hit - score, num_bins)  # events times difference
  return float(np.abs(gap).sum() / len(score))


def fit(score, hit) -> tuple[float, float]:
  """(a, b) of `sigmoid(a logit(score) + b)`, a >= 0.01, by Newton's method.

  Args:
    score: [events], 0..1.
    hit: bool [events].
  """
  x, hit = _logit(score), np.asarray(hit, bool)
  hits, misses = hit.sum(), (~hit).sum()
  # Platt's targets: separable events keep a finite slope.
  y = np.where(hit, (hits + 1) / (hits + 2), 1 / (misses + 2))
  design = np.stack([x, np.ones_like(x)])  # [2, events]
  best = np.array([1.0, 0.0])
  loss = _cross_entropy(best @ design, y)
  for _ in range(100):
    p = _sigmoid(best @ design)
    gradient = design @ (p - y)
    hessian = (design * (p * (1 - p))) @ design.T + 1e-9 * np.eye(2)
    step = np.linalg.solve(hessian, gradient)
    while True:  # halve until the loss falls
      trial = best - step
      trial_loss = _cross_entropy(trial @ design, y)
      if trial_loss <= loss or np.abs(step).max() < 1e-9:
        break
      step = step / 2
    if np.abs(step).max() < 1e-9:
      break
    best, loss = trial, trial_loss
  a, b = best
  if a < _SMALLEST_A:  # scores that say nothing, or the opposite
    a = _SMALLEST_A
    for _ in range(100):
      p = _sigmoid(a * x + b)
      b -= np.clip((p - y).sum() / max((p * (1 - p)).sum(), 1e-9), -1, 1)
  return float(a), float(b)


def scored_events(cells, reference, durations, params):
  """`matched` of all events before the threshold, uncalibrated."""
  found = yoho.decode_files(cells, unthresholded(params), durations)
  return matched(found, reference, durations, params.labels)


def matched(found, reference, durations, labels):
  """Columns of scored events, best first: label, score, hit, filename.

  A hit takes, in order of score, the free reference of its file and label
  with the largest temporal IoU, at least 0.5.
  """
  if not len(found):
    empty = np.zeros(0, object)
    return empty, np.zeros(0), np.zeros(0, bool), empty
  result = temporal_map(
    reference,
    found,
    durations=durations,
    labels=labels,
    params=TemporalParams(thresholds=(_IOU,), f1_thresholds=()),
  )
  counts = result.counts  # in descending score
  return (
    np.array(result.labels, object)[counts["label"]],
    counts["score"],
    counts["hits"][0],
    np.array(result.files, object)[counts["file"]],
  )


def _fit_per_label(label, score, hit, name, labels):
  """`{label: (a, b)}`; (1, 0) where there is no event at all."""
  pooled = fit(score, hit) if len(score) else (1.0, 0.0)
  maps = {}
  for one in labels:
    own = label == one
    enough = own.sum() >= MIN_EVENTS and 0 < hit[own].sum() < own.sum()
    maps[one] = fit(score[own], hit[own]) if enough else pooled
  return maps


def _apply(score, a, b):
  return _sigmoid(a * _logit(score) + b)


def _logit(score):
  score = np.clip(np.asarray(score, float), _EDGE, 1 - _EDGE)
  return np.log(score / (1 - score))


def _sigmoid(x):
  return 0.5 * (1 + np.tanh(0.5 * np.asarray(x)))  # without overflow


def _cross_entropy(logits, targets):
  """Sum over events, from logits."""
  return np.sum(np.logaddexp(0, logits) - targets * logits)
