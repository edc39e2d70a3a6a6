"""Clip-wise metrics: average precision, ROC areas, d' and lwlrap.

All of them take `targets` and `scores` `[clips, classes]`. Equal scores are
one step of every curve, so the order of the clips never matters.
"""

from statistics import NormalDist

import numpy as np

from yoho_tf.metrics._inputs import label_names
from yoho_tf.metrics._result import MetricResult, assemble, divide
from yoho_tf.params import TaggingParams


def tagging_metrics(targets, scores, *, labels, params=None, files=()):
  """mAP, AUROC, partial AUROC, d' and lwlrap.

  Args:
    targets: 0 or 1, `[clips, classes]`.
    scores: `[clips, classes]`, larger is more likely.
    labels: `ClassMap` or names, one per column.
    params: `TaggingParams`.
    files: clip names, used in messages only.

  Returns:
    `MetricResult`; counts hold `targets` and `scores`.

  Raises:
    ValueError: shapes differ, a score is not finite, a target is not 0 or 1,
      or there is no positive at all.
  """
  params = TaggingParams() if params is None else params
  labels = label_names(labels)
  targets, scores = check_scores(targets, scores, labels)
  weights = np.ones(len(targets))
  num_positive = targets.sum(axis=0)  # [classes]
  skipped = {}
  for label, count in zip(labels, num_positive):
    if count == 0:
      skipped[label] = "no positive"
    elif count == len(targets):
      skipped[label] = "no negative, so no AUROC"
  result = assemble(
    tagging_values(targets, scores, weights, params),
    labels,
    num_positive > 0,
    params.absent_classes,
  )
  return MetricResult(
    name="tagging",
    params=params,
    labels=labels,
    counts={"targets": targets, "scores": scores},
    num_files=len(targets),
    files=tuple(files),
    **{**result, "skipped": skipped},
  )


def check_scores(targets, scores, labels):
  """Checked bool targets and float64 scores, `[clips, classes]` each."""
  targets, scores = np.asarray(targets), np.asarray(scores, np.float64)
  if targets.shape != scores.shape or targets.ndim != 2:
    raise ValueError(
      "targets and scores: one shape [clips, classes], received"
      f" {targets.shape} and {scores.shape}"
    )
  if targets.shape[1] != len(labels):
    raise ValueError(
      f"labels: one per column, received {len(labels)} for shape"
      f" {targets.shape}"
    )
  if not np.isfinite(scores).all():
    rows = np.argwhere(~np.isfinite(scores))[:5].tolist()
    raise ValueError(f"scores: must be finite, received others at {rows}")
  if not np.isin(targets, (0, 1)).all():
    rows = np.argwhere(~np.isin(targets, (0, 1)))[:5].tolist()
    raise ValueError(f"targets: must be 0 or 1, received others at {rows}")
  targets = targets.astype(bool)
  if not targets.any():
    raise ValueError("targets: at least one positive, received none")
  return targets, scores


def tagging_values(targets, scores, weights, params):
  """Values with a weight per clip.

  Args:
    targets: bool `[clips, classes]`.
    scores: float64 `[clips, classes]`.
    weights: float64 `[clips]`, number of times a clip counts.
    params: `TaggingParams`.

  Returns:
    Dicts of arrays: overall, macro, class-wise.
  """
  columns = {"ap": [], "auroc": [], "pauroc": []}
  for target, score in zip(targets.T, scores.T):
    tp, fp = cumulative_counts(target, score, weights)
    columns["ap"].append(average_precision(tp, fp))
    columns["auroc"].append(area_under_roc(tp, fp, kind=params.auroc))
    columns["pauroc"].append(
      partial_area_under_roc(
        tp,
        fp,
        max_fpr=params.max_fpr,
        kind=params.auroc,
        mcclish=params.mcclish,
      )
    )
  class_wise = {name: np.array(values) for name, values in columns.items()}
  class_wise["dprime"] = np.array([dprime(a) for a in class_wise["auroc"]])
  shares, num_pairs = label_ranking(targets, scores, weights)  # [classes]
  class_wise["lwlrap"] = divide(shares, num_pairs)
  macro = {
    f"{name}_macro": _mean(class_wise[name], params)
    for name in ("ap", "auroc", "pauroc")
  }
  macro["map"] = macro.pop("ap_macro")
  macro["dprime"] = dprime(macro["auroc_macro"])
  macro["lwlrap_balanced"] = _mean(class_wise["lwlrap"], params)
  tp, fp = cumulative_counts(
    targets.ravel(), scores.ravel(), np.repeat(weights, targets.shape[1])
  )
  overall = {
    "ap_micro": average_precision(tp, fp),
    "lwlrap": float(divide(shares.sum(), num_pairs.sum())),
  }
  return overall, macro, class_wise


def _mean(values, params):
  if params.absent_classes == "zero":
    values = np.nan_to_num(values, nan=0.0)
  valid = ~np.isnan(values)
  return float(divide(values[valid].sum(), valid.sum()))


def cumulative_counts(target, score, weights=None):
  """TP and FP just below every distinct score, from the highest.

  Args:
    target: bool `[items]`.
    score: float `[items]`.
    weights: float `[items]` or None.

  Returns:
    (tp, fp) float64 `[steps]`.
  """
  weights = np.ones(len(target)) if weights is None else weights
  order = np.argsort(-score, kind="stable")
  score = score[order]
  last = np.flatnonzero(np.append(score[1:] != score[:-1], True)[: len(score)])
  positive = np.where(target, weights, 0.0)[order]
  negative = np.where(target, 0.0, weights)[order]
  return np.cumsum(positive)[last], np.cumsum(negative)[last]


def average_precision(tp, fp):
  """Sum of recall steps times precision, NaN without a positive."""
  if not len(tp) or tp[-1] == 0:
    return float("nan")
  seen = tp + fp
  precision = tp / np.where(seen > 0, seen, 1.0)
  return float(np.sum(np.diff(tp, prepend=0.0) * precision) / tp[-1])


def area_under_roc(tp, fp, *, kind="linear"):
  """Area under the ROC curve, NaN without a positive or a negative."""
  return partial_area_under_roc(tp, fp, max_fpr=1.0, kind=kind)


def partial_area_under_roc(tp, fp, *, max_fpr, kind="linear", mcclish=False):
  """Area under the ROC curve up to `max_fpr`, divided by it.

  Args:
    tp, fp: cumulative counts `[steps]`.
    max_fpr: in (0, 1].
    kind: "linear" interpolates, "staircase" holds the left value.
    mcclish: .5 (1 + (area - m) / (max_fpr - m)) with m = max_fpr^2 / 2.
  """
  if not len(tp) or tp[-1] == 0 or fp[-1] == 0:
    return float("nan")
  tpr = np.concatenate([[0.0], tp / tp[-1]])
  fpr = np.concatenate([[0.0], fp / fp[-1]])
  inside = fpr <= max_fpr
  x = np.append(fpr[inside], max_fpr)
  if kind == "linear":
    y = np.append(tpr[inside], _value_at(max_fpr, fpr, tpr))
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
  else:
    area = float(np.sum(np.diff(x) * tpr[inside]))
  if not mcclish:
    return area / max_fpr
  least = max_fpr**2 / 2
  return 0.5 * (1 + (area - least) / (max_fpr - least))


def _value_at(x, fpr, tpr):
  """The curve at x: the highest of equal false positive rates."""
  before = np.searchsorted(fpr, x, side="right") - 1
  if before == len(fpr) - 1 or fpr[before] == x:
    return tpr[before]
  share = (x - fpr[before]) / (fpr[before + 1] - fpr[before])
  return tpr[before] + share * (tpr[before + 1] - tpr[before])


def dprime(area):
  """sqrt(2) times the normal quantile of an area under the ROC curve."""
  if np.isnan(area):
    return float("nan")
  if area <= 0 or area >= 1:
    return float("inf") if area >= 1 else float("-inf")
  return 2**0.5 * NormalDist().inv_cdf(float(area))


def label_ranking(targets, scores, weights):
  """Sums for label-weighted label-ranking average precision.

  Returns:
    (sum of shares of positives ranked at or above, number of pairs), float64
    `[classes]` each.
  """
  order = np.argsort(-scores, axis=1, kind="stable")  # [clips, classes]
  ranked = np.take_along_axis(scores, order, axis=1)
  hits = np.cumsum(np.take_along_axis(targets, order, axis=1), axis=1)
  # Ties take the worst rank: the last position with an equal score.
  columns = np.arange(scores.shape[1])
  ends = np.concatenate(
    [ranked[:, 1:] != ranked[:, :-1], np.ones((len(scores), 1), bool)], axis=1
  )
  last = np.where(ends, columns, scores.shape[1])
  last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
  share = np.take_along_axis(hits, last, axis=1) / (last + 1)
  shares = np.empty_like(share)
  np.put_along_axis(shares, order, share, axis=1)
  shares = np.where(targets, shares, 0.0) * weights[:, None]
  return shares.sum(axis=0), (targets * weights[:, None]).sum(axis=0)
