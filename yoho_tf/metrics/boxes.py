"""Mean average precision of boxes: time-frequency, or pixels.

A box is (start, low, end, high). Pixel boxes are the same with pixels for
seconds and hertz. The matching is that of `temporal_iou`.

Reference: Lin et al., "Microsoft COCO", 2014.
"""

import numpy as np

from yoho_tf.metrics._inputs import prepare
from yoho_tf.metrics._overlaps import overlapping_pairs
from yoho_tf.metrics.temporal_iou import ranked_result
from yoho_tf.params import BoxParams


def box_map(
  reference, estimate, *, durations=None, labels=None, params=None, **checks
):
  """mAP at intersection over union of boxes.

  Args:
    reference: event table with `low_hz` and `high_hz`; a missing lower bound
      is 0, a missing upper one is `params.nyquist_hz`.
    estimate: such a table with scores.
    durations: mapping or table of seconds per file, or None.
    labels: `ClassMap` or names; default the labels of the reference.
    params: `BoxParams`.
    **checks: `files`, `unknown_labels`, `unknown_files`, `match`.

  Returns:
    `MetricResult` with `map` and `map@t` per threshold.

  Raises:
    ValueError: an input breaks a rule, a bound is missing without
      `nyquist_hz`, or there is no reference.
  """
  params = BoxParams() if params is None else params
  problem = prepare(
    reference, estimate, durations=durations, labels=labels, **checks
  )
  fields = dict(problem.__dict__)
  for name in ("reference", "estimate"):
    fields[name] = _with_bounds(fields[name], name, params)
  return ranked_result("boxes", type(problem)(**fields), params, box_iou_pairs)


def _with_bounds(events, argument, params):
  low = np.where(np.isnan(events.low_hz), 0.0, events.low_hz)
  high = events.high_hz
  missing = np.isnan(high)
  if missing.any():
    if params.nyquist_hz is None:
      raise ValueError(
        f"nyquist_hz: needed where high_hz is missing, received None for"
        f" {int(missing.sum())} rows of {argument}"
      )
    high = np.where(missing, params.nyquist_hz, high)
  wrong = np.flatnonzero(
    ~(np.isfinite(low) & np.isfinite(high) & (0 <= low) & (low < high))
  )
  if len(wrong):
    shown = [(float(low[i]), float(high[i])) for i in wrong[:5]]
    raise ValueError(
      f"{argument}: needs 0 <= low_hz < high_hz, received {shown}"
    )
  if params.frequency_axis == "mel":
    low, high = hz_to_mel(low), hz_to_mel(high)
  return events._replace(low_hz=low, high_hz=high)


def hz_to_mel(hz):
  """HTK mel scale, as in the YAMNet front end."""
  return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def box_iou_pairs(problem):
  """All pairs of one file and label that overlap: (est, ref, iou)."""
  num_labels = len(problem.labels)
  est, ref = problem.estimate, problem.reference
  e, r = overlapping_pairs(
    est._replace(file=est.file * num_labels + est.label),
    ref._replace(file=ref.file * num_labels + ref.label),
  )
  iou = box_iou(_boxes(est)[e], _boxes(ref)[r])
  keep = iou > 0
  return e[keep], r[keep], iou[keep]


def _boxes(events):
  return np.stack(
    [events.start, events.low_hz, events.end, events.high_hz], axis=1
  )


def box_iou(a, b):
  """Intersection over union of xyxy boxes, elementwise.

  Args:
    a, b: float `[..., 4]`, broadcast against each other.

  Returns:
    float64 `[...]`; 0 where the union is empty.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  low = np.maximum(a[..., :2], b[..., :2])
  high = np.minimum(a[..., 2:], b[..., 2:])
  both = np.prod(np.maximum(high - low, 0.0), axis=-1)
  either = (
    np.prod(a[..., 2:] - a[..., :2], axis=-1)
    + np.prod(b[..., 2:] - b[..., :2], axis=-1)
    - both
  )
  return np.where(either > 0, both / np.where(either > 0, either, 1.0), 0.0)
