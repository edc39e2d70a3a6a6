"""Inputs of the intersection criteria: references and detections."""

import numpy as np

from yoho_tf.metrics._frames import frames_of
from yoho_tf.metrics._intersection import Candidates
from yoho_tf.metrics._overlaps import (
  ranges,
  table_overlaps,
  tree_overlaps,
)

_MAX_CELLS = 1 << 21  # frames x lanes that are worked on at a time


def sorted_references(problem, overlap):
  """References by (file, label, start), overlaps handled."""
  events = problem.reference
  order = np.lexsort((events.end, events.start, events.label, events.file))
  return _handle_overlaps(events.take(order), problem, "reference", overlap)


def table_candidates(problem, overlap):
  """Estimates as candidates that exist at one operating point."""
  events = problem.estimate
  order = np.lexsort((events.end, events.start, events.label, events.file))
  events = _handle_overlaps(events.take(order), problem, "estimate", overlap)
  return _candidates(events, np.zeros(events.num_events))


def _candidates(events, high, low=None):
  low = np.full(events.num_events, -np.inf) if low is None else low
  return Candidates(
    events.file, events.label, events.start, events.end, high, low, None
  )


def _lane(events, problem):
  return events.file * len(problem.labels) + events.label


def _reach(lane, end):
  """Running maximum of the ends of earlier events of the same lane."""
  ends, rank = np.unique(end, return_inverse=True)
  size = len(ends) + 1
  values = ends[np.maximum.accumulate(lane * size + rank.reshape(-1)) % size]
  first = np.append(True, lane[1:] != lane[:-1])[: len(lane)]
  return np.where(first, -np.inf, np.append(-np.inf, values[:-1])[: len(lane)])


def _handle_overlaps(events, problem, argument, overlap):
  """Applies "error", "merge" or "keep" to events sorted by lane and start."""
  if overlap == "keep" or not events.num_events:
    return events
  lane = _lane(events, problem)
  before = _reach(lane, events.end)
  if overlap == "error":
    rows = np.flatnonzero(events.start < before)
    if len(rows):
      shown = "; ".join(
        f"{problem.files[events.file[i]]!r} {events.start[i]} {events.end[i]}"
        f" {problem.labels[events.label[i]]!r}"
        for i in rows[:5]
      )
      raise ValueError(
        f"{argument}: events of one class must not overlap, received"
        f" {len(rows)} such (overlap='merge' or 'keep'): {shown}"
      )
    return events
  first = np.flatnonzero(events.start > before)
  end = np.maximum.reduceat(events.end, first)
  return events.take(first)._replace(end=end)


def frame_overlaps(source, problem, references):
  """Yields `Overlaps` of the component trees, some files at a time."""
  files = frames_of(source, problem)
  num_labels = len(problem.labels)
  num_frames = np.array([len(frames.scores) for frames in files])
  order = np.argsort(num_frames, kind="stable")[::-1]
  at = 0
  while at < len(order):
    longest = max(int(num_frames[order[at]]), 1)
    take = max(_MAX_CELLS // (longest * max(num_labels, 1)), 1)
    batch = np.sort(order[at : at + take])
    at += take
    scores = np.full((longest, len(batch), num_labels), -np.inf)
    cuts = np.zeros((len(batch), longest + 1))
    for row, index in enumerate(batch):
      frames = files[index]
      scores[: len(frames.scores), row] = frames.scores
      cuts[row, : len(frames.boundaries)] = frames.boundaries
      cuts[row, len(frames.boundaries) :] = frames.boundaries[-1]
    yield tree_overlaps(
      scores.reshape(longest, -1),
      cuts,
      np.repeat(np.arange(len(batch)), num_labels),
      np.tile(np.arange(num_labels), len(batch)),
      batch,
      references,
      num_labels,
    )


def scored_overlaps(problem, references, overlap):
  """`Overlaps` of a table whose events exist below their score."""
  events = problem.estimate
  if np.isnan(events.score).any():
    raise ValueError(
      "estimate: a scored table needs a score in every row, received"
      f" {int(np.isnan(events.score).sum())} rows without"
    )
  order = np.lexsort(
    (events.score, events.end, events.start, events.label, events.file)
  )
  events = events.take(order)
  if overlap != "merge" or not events.num_events:
    events = _handle_overlaps(events, problem, "estimate", overlap)
    candidates = _candidates(events, events.score)
    return [table_overlaps(candidates, references, len(problem.labels))]
  return [_step_functions(events, problem, references)]


def _step_functions(events, problem, references):
  """Trees of the pointwise maximum of the scores of each lane."""
  lane, row = np.unique(_lane(events, problem), return_inverse=True)
  # Cuts: the distinct edges of each lane.
  edge = np.concatenate([events.start, events.end])
  edge_row = np.concatenate([row, row])
  order = np.lexsort((edge, edge_row))
  edge, edge_row = edge[order], edge_row[order]
  new = np.append(
    True, (edge[1:] != edge[:-1]) | (edge_row[1:] != edge_row[:-1])
  )
  index = np.empty(len(order), np.int64)
  index[order] = np.cumsum(new) - 1
  cut, cut_row = edge[new], edge_row[new]
  begin = np.searchsorted(cut_row, np.arange(len(lane)))
  num_cuts = np.bincount(cut_row, minlength=len(lane))
  first, stop = np.split(index - begin[np.concatenate([row, row])], 2)
  cuts = np.empty((len(lane), num_cuts.max()))
  cuts[:] = cut[begin + num_cuts - 1][:, None]
  cuts[cut_row, np.arange(len(cut)) - begin[cut_row]] = cut
  scores = np.full((num_cuts.max() - 1, len(lane)), -np.inf)
  event, frame = ranges(first, stop)
  np.maximum.at(scores, (frame, row[event]), events.score[event])
  num_labels = len(problem.labels)
  return tree_overlaps(
    scores,
    cuts,
    np.arange(len(lane)),
    lane % num_labels,
    lane // num_labels,
    references,
    num_labels,
  )


def point_overlaps(problems, references, overlap):
  """`Overlaps` of a list of operating points.

  Point i exists in the step below score -i only; coverage is summed within
  the point, not carried over.
  """
  parts, steps = [], []
  for step, problem in enumerate(problems):
    events = table_candidates(problem, overlap)
    parts.append(events[:4])
    steps.append(np.full(len(events.file), float(step)))
  columns = [np.concatenate(column) for column in zip(*parts)]
  step = np.concatenate(steps)
  candidates = Candidates(*columns, -step, -step - 1, None)
  overlaps = table_overlaps(candidates, references, len(problems[0].labels))
  return overlaps._replace(is_points=True)
