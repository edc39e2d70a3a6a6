"""Functions on intervals: join, drop, threshold with hysteresis, suppress.

Intervals are columns, `start` and `end` in seconds [pieces], half-open.
"""

import numpy as np

# Two edges nearer than this are one edge. Times are products such as 3 * 0.32,
# so what touches on paper may be a rounding error apart.
TOLERANCE_SECONDS = 1e-9


def merge_gaps(start, end, gap_seconds, *, key=None):
  """Joins pieces with at most a gap between them.

  Args:
    start: seconds, [pieces], sorted.
    end: seconds, [pieces].
    gap_seconds: largest gap that is closed, one or [pieces].
    key: int, [pieces]; pieces of different keys are never joined. With keys,
      pieces are sorted by (key, start).

  Returns:
    start, end [merged] and, per piece, the index of what it went into: int64
    [pieces].

  Raises:
    ValueError: lengths differ, or pieces are not sorted.
  """
  start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
  key = np.zeros(len(start), np.int64) if key is None else np.asarray(key)
  if not start.shape == end.shape == key.shape:
    raise ValueError(
      "start, end, key must be equally long, got "
      f"{start.shape}, {end.shape}, {key.shape}"
    )
  if not len(start):
    return start, end, key.astype(np.int64)
  new_key = np.diff(key) != 0  # [pieces - 1]
  if np.any((np.diff(start) < 0) & ~new_key) or np.any(np.diff(key) < 0):
    raise ValueError("start must be sorted (within key), got another order")
  # The running maximum of `end` restarts with every key: accumulate integers
  # that put the key above the rank of the end.
  order = np.argsort(end, kind="stable")
  rank = np.empty(len(end), np.int64)
  rank[order] = np.arange(len(end))
  latest = np.maximum.accumulate(key.astype(np.int64) * len(end) + rank)
  latest = end[order[latest % len(end)]]  # [pieces]
  gap = np.broadcast_to(gap_seconds, start.shape)[1:] + TOLERANCE_SECONDS
  is_first = np.append(True, new_key | (start[1:] - latest[:-1] > gap))
  first = np.flatnonzero(is_first)  # [merged]
  last = np.append(first[1:], len(start)) - 1
  return start[first], latest[last], np.cumsum(is_first) - 1


def drop_short(start, end, min_duration_seconds) -> np.ndarray:
  """Mask of the pieces that last long enough: bool [pieces].

  Args:
    start: seconds, [pieces].
    end: seconds, [pieces].
    min_duration_seconds: shortest duration that is kept, one or [pieces].
  """
  duration = np.subtract(end, start)
  return duration >= np.asarray(min_duration_seconds) - TOLERANCE_SECONDS


def hysteresis(scores, low: float, high: float):
  """Runs of frames with scores of at least `low` that reach `high` somewhere.

  Args:
    scores: [frames]; NaN is below everything.
    low: a run consists of scores >= low.
    high: a run counts when it holds a score >= high.

  Returns:
    first frame and the frame after the last one, int64 [runs] each.
  """
  scores = np.asarray(scores)
  if scores.ndim != 1:
    raise ValueError(f"scores must have shape [frames], got {scores.shape}")
  if not low <= high:
    raise ValueError(f"low must not be above high, got {low}, {high}")
  edges = np.diff(np.r_[0, scores >= low, 0])  # [frames + 1]
  first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
  num_high = np.r_[0, np.cumsum(scores >= high)]  # [frames + 1]
  reaches = num_high[last] > num_high[first]  # [runs]
  return first[reaches], last[reaches]


def nms_1d(start, end, score, iou_threshold: float) -> np.ndarray:
  """Greedy non-maximum suppression of intervals.

  Args:
    start: seconds, [pieces].
    end: seconds, [pieces].
    score: [pieces]; of equal ones the earlier row wins.
    iou_threshold: a piece goes when its intersection over union with a better
      one that stays is above this, 0..1.

  Returns:
    Rows that stay, best first: int64 [kept].
  """
  start, end, score = (np.asarray(v, np.float64) for v in (start, end, score))
  if not start.shape == end.shape == score.shape or np.isnan(score).any():
    raise ValueError(
      "start, end, score must be equally long and score without NaN, got "
      f"{start.shape}, {end.shape}, {score.shape}"
    )
  left = np.argsort(-score, kind="stable")
  kept = []
  while len(left):
    best, left = left[0], left[1:]
    kept.append(best)
    overlap = np.minimum(end[left], end[best]) - np.maximum(
      start[left], start[best]
    )
    overlap = np.maximum(overlap, 0)
    union = end[left] - start[left] + (end[best] - start[best]) - overlap
    left = left[overlap <= iou_threshold * union]
  return np.array(kept, np.int64)
