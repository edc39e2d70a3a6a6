"""Intersections of detections with references.

Two sources: lists of detections (pairs are enumerated), and score sequences
(all nodes of their component trees, by cumulative sums).
"""

import numpy as np

from yoho_tf.metrics._frames import component_tree
from yoho_tf.metrics._intersection import Candidates, Overlaps


def ranges(first, stop):
  """Expands [first, stop) of every row.

  Args:
    first, stop: int64 `[rows]`.

  Returns:
    (row, position) int64 `[total]` each.
  """
  count = np.maximum(stop - first, 0)
  row = np.repeat(np.arange(len(count)), count)
  within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
  return row, first[row] + within


def table_overlaps(events, references, num_labels):
  """Overlaps of a list of candidates, from all intersecting pairs.

  Totals are sums of ratios to the candidate's length, as the definition by
  operating points has them.
  """
  row, ref = overlapping_pairs(events, references)
  seconds = np.minimum(events.end[row], references.end[ref]) - np.maximum(
    events.start[row], references.start[ref]
  )
  length = events.end - events.start
  share = seconds / length[row]
  is_same = events.label[row] == references.label[ref]
  num_events = len(events.file)
  same = np.bincount(row[is_same], weights=share[is_same], minlength=num_events)
  other_row, other_ref = row[~is_same], ref[~is_same]
  other_share = share[~is_same]

  def other(rows, cttc, decimals):
    wanted = np.zeros(num_events, bool)
    wanted[rows] = True
    keep = wanted[other_row]
    key = other_row[keep] * num_labels + references.label[other_ref[keep]]
    unique, index = np.unique(key, return_inverse=True)
    total = np.bincount(index, weights=other_share[keep], minlength=len(unique))
    return unique // num_labels, unique % num_labels, total

  def pairs(rows):
    wanted = np.zeros(num_events, bool)
    wanted[rows] = True
    keep = is_same & wanted[row]
    return row[keep], ref[keep], seconds[keep]

  return Overlaps(events, same, other, pairs, True)


def overlapping_pairs(events, references):
  """All (event, reference) of one file that overlap by more than 0.

  Where files have few references, all of them are compared. Otherwise the
  search is narrowed first; exactly, since times are replaced by their ranks
  among the times of the references, so that (file, time) is one integer key.
  A running maximum of the ends bounds the search on the left.
  """
  if not len(references.file) or not len(events.file):
    return np.zeros(0, np.int64), np.zeros(0, np.int64)
  num_files = int(max(events.file.max(), references.file.max())) + 1
  count = np.bincount(references.file, minlength=num_files)  # [files]
  # Most events of most systems lie where there is no reference at all.
  rows = np.flatnonzero(count[events.file])
  file, start, end = events.file[rows], events.start[rows], events.end[rows]
  order = np.lexsort((references.start, references.file))
  stop = np.cumsum(count)[file]
  first = stop - count[file]
  if np.sum(stop - first) > 8 * len(rows):
    times = np.unique(np.concatenate([references.start, references.end]))
    size = len(times) + 1
    base = references.file[order] * size
    ends = np.searchsorted(times, references.end[order])
    starts = np.searchsorted(times, references.start[order])
    # The first reference that may end after the event starts, and the first
    # that starts at or after its end.
    after_start = np.searchsorted(times, start, side="right")
    at_end = np.searchsorted(times, end, side="left")
    first = np.searchsorted(
      np.maximum.accumulate(base + ends), file * size + after_start
    )
    stop = np.searchsorted(base + starts, file * size + at_end)
  row, position = ranges(first, stop)
  ref = order[position]
  keep = (references.end[ref] > start[row]) & (references.start[ref] < end[row])
  return rows[row[keep]], ref[keep]


def tree_overlaps(
  scores, boundaries, lane_row, lane_label, row_file, references, num_labels
):
  """Overlaps of all nodes of the component trees of some lanes.

  A lane is one class in one row; a row has its own boundaries. `meeting`s
  are pairs of a row and a group, the references of one label in its file.

  Args:
    scores: float64 `[frames, lanes]`, -inf = padding.
    boundaries: float64 seconds `[rows, cuts]`; beyond the end of a row its
      last value repeats.
    lane_row, lane_label: int64 `[lanes]`.
    row_file: int64 `[rows]`.
    references: `Events`, sorted by file, label, start.
    num_labels: number of classes.

  Returns:
    `Overlaps`.
  """
  tree = component_tree(scores)
  num_rows, num_cuts = boundaries.shape
  node_row = lane_row[tree.lane]
  events = Candidates(
    row_file[node_row],
    lane_label[tree.lane],
    boundaries[node_row, tree.first],
    boundaries[node_row, tree.stop],
    tree.score,
    np.where(tree.parent >= 0, tree.score[tree.parent], -np.inf),
    tree.parent,
  )
  # Meetings, sorted by (row, label); each with its references by start.
  by_file = np.searchsorted(
    references.file, np.stack([row_file, row_file + 1])
  )  # [2, rows]
  met_row, met_ref = ranges(*by_file)  # [row x reference]
  key = met_row * num_labels + references.label[met_ref]
  meeting_key, met = np.unique(key, return_inverse=True)
  meeting_row, meeting_label = np.divmod(meeting_key, max(num_labels, 1))
  after_start, at_end = _cut_of(
    boundaries,
    met_row,
    references.start[met_ref],
    references.end[met_ref],
  )
  covered = _covered_until(
    boundaries[meeting_row], met, references, met_ref, after_start, at_end
  )  # [meetings, cuts]
  node_key = node_row * num_labels + lane_label[tree.lane]
  own = np.searchsorted(meeting_key, node_key)
  own = np.minimum(own, max(len(meeting_key) - 1, 0))
  has_own = (
    meeting_key[own] == node_key
    if len(meeting_key)
    else np.zeros(len(node_key), bool)
  )
  same = np.zeros(len(node_key))
  rows = np.flatnonzero(has_own)
  same[rows] = (
    covered[own[rows], tree.stop[rows]] - covered[own[rows], tree.first[rows]]
  )
  bound = np.searchsorted(meeting_row, np.arange(num_rows + 1))
  in_row = np.concatenate([np.zeros((1, num_cuts)), np.cumsum(covered, axis=0)])
  in_row = in_row[bound[1:]] - in_row[bound[:-1]]  # [rows, cuts]

  def other(wanted, cttc, decimals):
    # What all other classes together cover is an upper bound.
    row, first, stop = node_row[wanted], tree.first[wanted], tree.stop[wanted]
    most = in_row[row, stop] - in_row[row, first] - same[wanted]
    length = events.end[wanted] - events.start[wanted]
    slack = 1e-6 if decimals is None else 1e-6 + 2 * 10.0**-decimals
    wanted = wanted[most >= cttc * length - slack]
    row = node_row[wanted]
    index, meeting = ranges(bound[row], bound[row + 1])
    node = wanted[index]
    differs = meeting_label[meeting] != events.label[node]
    node, meeting = node[differs], meeting[differs]
    total = (
      covered[meeting, tree.stop[node]] - covered[meeting, tree.first[node]]
    )
    return node, meeting_label[meeting], total

  def pairs(wanted):
    wanted = wanted[has_own[wanted]]
    size = num_cuts + 1
    base, meeting = met * size, own[wanted] * size
    first = np.searchsorted(
      np.maximum.accumulate(base + at_end),
      meeting + tree.first[wanted],
      "right",
    )
    stop = np.searchsorted(
      base + after_start, meeting + tree.stop[wanted], "right"
    )
    index, position = ranges(first, stop)
    node, ref = wanted[index], met_ref[position]
    seconds = np.minimum(events.end[node], references.end[ref]) - np.maximum(
      events.start[node], references.start[ref]
    )
    keep = (seconds > 0) & (met[position] == own[node])
    return node[keep], ref[keep], seconds[keep]

  return Overlaps(events, same, other, pairs, False)


def _cut_of(boundaries, row, start, end):
  """Index of the first cut after each start, and at or after each end."""
  num_rows, num_cuts = boundaries.shape
  times = np.concatenate([boundaries.ravel(), start, end])
  rank = np.unique(times, return_inverse=True)[1].reshape(-1)
  size = len(times) + 1
  cuts, starts, ends = np.split(
    rank, [num_rows * num_cuts, len(rank) - len(end)]
  )
  keys = np.repeat(np.arange(num_rows), num_cuts) * size + cuts
  base = row * num_cuts
  return (
    np.searchsorted(keys, row * size + starts, side="right") - base,
    np.searchsorted(keys, row * size + ends, side="left") - base,
  )


def _covered_until(cuts, met, references, met_ref, after_start, at_end):
  """Seconds of the references of a meeting before each cut.

  References that ended count in full, running ones up to the cut.

  Args:
    cuts: float64 seconds `[meetings, cuts]`.
    met, met_ref: meeting and reference `[pairs]`.
    after_start, at_end: see `_cut_of`, `[pairs]`.

  Returns:
    float64 `[meetings, cuts]`.
  """
  num_meetings, num_cuts = cuts.shape
  size = num_cuts + 1  # one more cell for what lies beyond the last cut
  begins, ends = met * size + after_start, met * size + at_end
  start, end = references.start[met_ref], references.end[met_ref]

  def steps(at_begin, at_ending):
    total = np.bincount(
      np.concatenate([begins, ends]),
      weights=np.concatenate([at_begin, at_ending]),
      minlength=num_meetings * size,
    )
    return np.cumsum(total.reshape(num_meetings, size), axis=1)[:, :num_cuts]

  one = np.ones(len(met))
  done = steps(0 * one, end - start)
  running, since = steps(one, -one), steps(start, -start)
  return done + running * cuts - since
