"""Overlap of time-frequency masks, file by file in constant memory."""

import numpy as np

from yoho_tf.metrics._inputs import label_names
from yoho_tf.metrics._matching import match_ranked
from yoho_tf.metrics._result import (
  MetricResult,
  assemble,
  divide,
  mean_over_classes,
)
from yoho_tf.metrics.temporal_iou import average_precision_of_hits
from yoho_tf.params import MaskParams


class MaskAccumulator:
  """Sums intersections and areas of masks.

  Example:
    masks = MaskAccumulator(labels=("rain", "wind"))
    masks.update(reference, estimate, filename="a.wav")
    masks.result()["iou_macro"]
  """

  def __init__(self, *, labels, params=None):
    self.labels = label_names(labels)
    self.params = MaskParams() if params is None else params
    self.files = []
    self._sums = []  # per file: int64 [3, classes]

  def update(self, reference, estimate, *, filename=""):
    """Adds one file.

    Args:
      reference, estimate: `[frames, bands, classes]`, boolean or scores.
      filename: for messages and for the rows of the counts.

    Raises:
      ValueError: shapes differ, or a score is not finite.
    """
    masks = [
      as_mask(mask, name, self.params.threshold)
      for name, mask in (("reference", reference), ("estimate", estimate))
    ]
    if masks[0].shape != masks[1].shape:
      raise ValueError(
        "estimate: needs the shape of the reference, received"
        f" {masks[1].shape} and {masks[0].shape} for {filename!r}"
      )
    if masks[0].ndim != 3 or masks[0].shape[2] != len(self.labels):
      raise ValueError(
        f"reference: [frames, bands, {len(self.labels)} classes], received"
        f" {masks[0].shape} for {filename!r}"
      )
    both = np.count_nonzero(masks[0] & masks[1], axis=(0, 1))
    areas = [np.count_nonzero(mask, axis=(0, 1)) for mask in masks]
    self._sums.append(np.stack([both, *areas]).astype(np.int64))
    self.files.append(filename)

  def result(self):
    """`MetricResult` of all files so far."""
    sums = np.array(self._sums, np.int64).reshape(-1, 3, len(self.labels))
    counts = dict(
      zip(("intersection", "reference", "estimate"), sums.swapaxes(0, 1))
    )
    weights = np.ones(len(sums))
    total = sums.sum(axis=0)
    present = total[1] + total[2] > 0
    values = assemble(
      mask_values(counts, weights, self.params),
      self.labels,
      present,
      self.params.absent_classes,
    )
    values["skipped"] = {label: "empty union" for label in values["skipped"]}
    return MetricResult(
      name="masks",
      params=self.params,
      labels=self.labels,
      counts=counts,
      num_files=len(sums),
      files=tuple(self.files),
      **values,
    )


def mask_metrics(reference, estimate, *, labels, params=None):
  """IoU and Dice of masks.

  Args:
    reference, estimate: file -> `[frames, bands, classes]`, boolean or scores.
    labels: `ClassMap` or names.
    params: `MaskParams`.

  Raises:
    ValueError: a file is missing on one side, or shapes differ.
  """
  missing = sorted(set(reference) ^ set(estimate))
  if missing:
    raise ValueError(
      f"estimate: needs the files of the reference, received {missing[:5]}"
      " on one side only"
    )
  masks = MaskAccumulator(labels=labels, params=params)
  for name in reference:
    masks.update(reference[name], estimate[name], filename=name)
  return masks.result()


def as_mask(mask, argument, threshold=0.5):
  """A boolean mask: scores are inside where they exceed the threshold."""
  mask = np.asarray(mask)
  if mask.dtype == bool:
    return mask
  if not np.isfinite(mask).all():
    raise ValueError(f"{argument}: must be finite, received NaN or infinity")
  return mask > threshold


def mask_values(counts, weights, params):
  """Values with a weight per file; see `ranked_values`."""
  both, ref, est = (
    counts[name] for name in ("intersection", "reference", "estimate")
  )
  sums = [weights @ count for count in (both, ref, est)]  # [classes]
  union = sums[1] + sums[2] - sums[0]
  present = union > 0
  class_wise = {
    "iou": divide(sums[0], union),
    "dice": divide(2 * sums[0], sums[1] + sums[2]),
  }
  macro = {
    f"{name}_macro": mean_over_classes(value, present, params.absent_classes)
    for name, value in class_wise.items()
  }
  clip_union = ref + est - both  # [files, classes]
  clip_iou = np.nan_to_num(divide(both, clip_union))
  pairs = (clip_union > 0) * weights[:, None]
  overall = {
    "iou_micro": divide(sums[0].sum(), union.sum()),
    "dice_micro": divide(2 * sums[0].sum(), sums[1].sum() + sums[2].sum()),
    "iou_clip_mean": divide((clip_iou * pairs).sum(), pairs.sum()),
  }
  return overall, macro, class_wise


def mask_map(reference, estimate, *, labels, params=None):
  """Instance average precision: one mask per event, matched by mask IoU.

  Args:
    reference: file -> list of (label, mask `[frames, bands]`).
    estimate: file -> list of (label, mask, score).
    labels: `ClassMap` or names.
    params: `MaskParams`.

  Returns:
    `MetricResult` with `map` and `map@t` per threshold.

  Raises:
    ValueError: unknown file or label, shapes differ, no reference at all.
  """
  params = MaskParams() if params is None else params
  labels = label_names(labels)
  files = sorted(set(reference) | set(estimate))
  pairs, detections = [], []
  num_refs = np.zeros(len(labels))
  for name in files:
    refs = reference.get(name, ())
    for label, _ in refs:
      num_refs[_label_index(label, labels, "reference")] += 1
    best = sorted(
      estimate.get(name, ()), key=lambda item: item[2], reverse=True
    )
    taken = {}
    for label, mask, score in best:
      index = _label_index(label, labels, "estimate")
      taken[label] = taken.get(label, 0) + 1
      if params.max_detections and taken[label] > params.max_detections:
        continue
      ious = [
        (i, _mask_iou(mask, ref, name, params.threshold))
        for i, (ref_label, ref) in enumerate(refs)
        if ref_label == label
      ]
      pairs += [(len(detections), (name, i), iou) for i, iou in ious]
      detections.append((float(score), index))
  if not num_refs.any():
    raise ValueError("reference: mask_map needs a mask, received none")
  score = np.array([d[0] for d in detections])
  label = np.array([d[1] for d in detections], np.int64)
  order = np.argsort(-score, kind="stable")
  place = np.empty(len(order), np.int64)
  place[order] = np.arange(len(order))
  ref_index = {
    key: i for i, key in enumerate(dict.fromkeys(p[1] for p in pairs))
  }
  level, rank = match_ranked(
    np.array([place[p[0]] for p in pairs], np.int64),
    np.array([ref_index[p[1]] for p in pairs], np.int64),
    np.array([p[2] for p in pairs]),
    params.thresholds,
  )
  hits = np.zeros((len(params.thresholds), len(order)))
  hits[level, rank] = 1.0
  ap = np.full((len(params.thresholds), len(labels)), np.nan)
  for index in np.flatnonzero(num_refs).tolist():
    rows = np.flatnonzero(label[order] == index)
    seen = np.arange(1.0, len(rows) + 1)
    ap[:, index] = average_precision_of_hits(
      hits[:, rows], seen, num_refs[index], params.interpolation
    )
  present = num_refs > 0
  macro = {
    f"map@{threshold:g}": mean_over_classes(
      ap[i], present, params.absent_classes
    )
    for i, threshold in enumerate(params.thresholds)
  }
  macro["map"] = np.mean(list(macro.values()))
  return MetricResult(
    name="mask_map",
    params=params,
    labels=labels,
    num_files=len(files),
    files=tuple(files),
    **assemble(
      ({}, macro, {"ap": ap.mean(axis=0)}),
      labels,
      present,
      params.absent_classes,
    ),
  )


def _label_index(label, labels, argument):
  if label not in labels:
    raise ValueError(f"{argument}: label must be in labels, received {label!r}")
  return labels.index(label)


def _mask_iou(a, b, name, threshold):
  a, b = as_mask(a, "estimate", threshold), as_mask(b, "reference", threshold)
  if a.shape != b.shape:
    raise ValueError(
      "estimate: needs the shape of the reference, received"
      f" {a.shape} and {b.shape} for {name!r}"
    )
  union = np.count_nonzero(a | b)
  return np.count_nonzero(a & b) / union if union else 0.0
