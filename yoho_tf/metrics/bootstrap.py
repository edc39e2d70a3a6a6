"""Confidence intervals by resampling files.

Every result keeps its sufficient statistics per file, so a replicate is a
vector of file weights: nothing is thresholded or matched again.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from yoho_tf.metrics._result import plain, save_json
from yoho_tf.metrics.event import event_values
from yoho_tf.metrics.intersection import intersection_values
from yoho_tf.metrics.masks import mask_values
from yoho_tf.metrics.psds import psds_values
from yoho_tf.metrics.segment import segment_values
from yoho_tf.metrics.soft_labels import soft_label_values
from yoho_tf.metrics.tagging import tagging_values
from yoho_tf.metrics.temporal_iou import ranked_values
from yoho_tf.params import BootstrapParams

# Values of counts that add up over files, for all replicates at once.
_FROM_SUMS = {
  "segment": segment_values,
  "event": event_values,
  "intersection": intersection_values,
}
# Values with a weight per file, for one replicate.
_FROM_WEIGHTS = {
  "psds": lambda counts, weights, params: psds_values(counts, weights, params)[
    0
  ],
  "temporal_iou": ranked_values,
  "boxes": ranked_values,
  "masks": mask_values,
  "soft_labels": soft_label_values,
  "tagging": lambda counts, weights, params: tagging_values(
    counts["targets"], counts["scores"], weights, params
  ),
}


class Interval(NamedTuple):
  """A number, the mean of its replicates and their percentile interval."""

  value: float
  mean: float
  low: float
  high: float


class Difference(NamedTuple):
  """a - b, its replicates' mean and interval, and the share above 0."""

  value: float
  mean: float
  low: float
  high: float
  share_above_zero: float


@dataclass(frozen=True)
class BootstrapResult:
  """Intervals of one result, or of the difference of two.

  Attributes:
    name: name of the metric.
    params: `BootstrapParams`.
    values: name -> `Interval` or `Difference`.
    class_wise: label -> name -> the same.
  """

  name: str
  params: BootstrapParams
  values: dict
  class_wise: dict

  def __getitem__(self, key):
    return self.values[key]

  def to_dict(self):
    """Plain Python values."""
    return {
      "name": self.name,
      "params": plain(dict(self.params.__dict__)),
      "values": {key: item._asdict() for key, item in self.values.items()},
      "class_wise": {
        label: {key: item._asdict() for key, item in columns.items()}
        for label, columns in self.class_wise.items()
      },
    }

  def save(self, path):
    """Writes JSON; null for numbers that are not finite, keys listed."""
    save_json(self.to_dict(), path)


def resample_weights(num_files, params):
  """How often every replicate uses every file, int64 `[replicates, files]`."""
  generator = np.random.default_rng(params.seed)
  shape = (params.num_samples, num_files)
  if params.method == "balanced":
    drawn = generator.permutation(
      np.repeat(np.arange(num_files), params.num_samples)
    ).reshape(shape)
  else:
    drawn = generator.integers(num_files, size=shape)
  replicate = np.repeat(np.arange(params.num_samples), num_files)
  return np.bincount(
    replicate * num_files + drawn.ravel(), minlength=shape[0] * num_files
  ).reshape(shape)


def replicate_values(result, weights):
  """Values of a result under file weights.

  Args:
    result: `MetricResult`.
    weights: `[replicates, files]`.

  Returns:
    (name -> float64 `[replicates]`, name -> float64 `[replicates, classes]`).

  Raises:
    ValueError: the result keeps no statistics per file.
  """
  if result.name in _FROM_SUMS:
    sums = {
      name: np.tensordot(weights, column, axes=1)
      for name, column in result.counts.items()
    }
    overall, macro, class_wise = _FROM_SUMS[result.name](sums, result.params)
    scalars = {
      name: np.broadcast_to(np.asarray(value, np.float64), len(weights))
      for name, value in {**overall, **macro}.items()
    }
    return scalars, {
      name: np.asarray(value, np.float64) for name, value in class_wise.items()
    }
  if result.name not in _FROM_WEIGHTS or not result.counts:
    known = sorted({*_FROM_SUMS, *_FROM_WEIGHTS})
    raise ValueError(f"result: one of {known}, received {result.name!r}")
  values = _FROM_WEIGHTS[result.name]
  rows = [
    values(result.counts, weight.astype(np.float64), result.params)
    for weight in weights
  ]
  scalars = {
    name: np.array([{**row[0], **row[1]}[name] for row in rows], np.float64)
    for name in {**rows[0][0], **rows[0][1]}
  }
  return scalars, {
    name: np.array([row[2][name] for row in rows], np.float64)
    for name in rows[0][2]
  }


def bootstrap(result, params=None):
  """Percentile intervals of all values of a result.

  Args:
    result: `MetricResult`.
    params: `BootstrapParams`.

  Returns:
    `BootstrapResult` of `Interval`s.
  """
  params = BootstrapParams() if params is None else params
  weights = _weights(result, params)
  once = np.ones((1, weights.shape[1]), np.int64)
  value = replicate_values(result, once)
  replicas = replicate_values(result, weights)
  return _collect(
    result,
    params,
    value,
    replicas,
    lambda one, many: Interval(one, *_summary(many, params)),
  )


def compare(a, b, params=None):
  """Difference a - b of two results on the same files and resamples.

  Args:
    a, b: `MetricResult`s of the same metric, files and labels.
    params: `BootstrapParams`.

  Returns:
    `BootstrapResult` of `Difference`s.

  Raises:
    ValueError: the results differ in metric, files or labels.
  """
  params = BootstrapParams() if params is None else params
  for name in ("name", "labels", "num_files", "files"):
    if getattr(a, name) != getattr(b, name):
      raise ValueError(
        f"b: needs the {name} of a, received"
        f" {str(getattr(b, name))[:60]} and {str(getattr(a, name))[:60]}"
      )
  weights = _weights(a, params)
  once = np.ones((1, weights.shape[1]), np.int64)
  value, replicas = (
    tuple(
      {name: first[name] - second[name] for name in first}
      for first, second in zip(replicate_values(a, w), replicate_values(b, w))
    )
    for w in (once, weights)
  )

  def difference(one, many):
    valid = many[~np.isnan(many)]
    share = float(np.mean(valid > 0)) if len(valid) else float("nan")
    return Difference(one, *_summary(many, params), share)

  return _collect(a, params, value, replicas, difference)


def _weights(result, params):
  if result.num_files < 1:
    raise ValueError("result: bootstrap needs a file, received none")
  if result.num_files == 1:
    warnings.warn(
      "bootstrap: one file gives an interval of width 0", stacklevel=3
    )
  return resample_weights(result.num_files, params)


def _summary(many, params):
  valid = many[~np.isnan(many)]
  if not len(valid):
    return (float("nan"),) * 3
  tail = (1 - params.confidence) / 2
  # Infinite values (d' of a perfect class) must not turn into NaN.
  low, high = np.quantile(valid, [tail, 1 - tail], method="nearest") if (
    not np.isfinite(valid).all()
  ) else np.quantile(valid, [tail, 1 - tail])  # fmt: skip
  return float(np.mean(valid)), float(low), float(high)


def _collect(result, params, value, replicas, make):
  return BootstrapResult(
    name=result.name,
    params=params,
    values={
      name: make(float(value[0][name][0]), many)
      for name, many in replicas[0].items()
    },
    class_wise={
      label: {
        name: make(float(value[1][name][0, i]), many[:, i])
        for name, many in replicas[1].items()
      }
      for i, label in enumerate(result.labels)
    },
  )
