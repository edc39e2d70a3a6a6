"""Counts of TP and FP just below every score, per class: what F1 is read from.

Each function returns (references per class, [(scores, tp, fp) per class]).
"""

from dataclasses import replace

import numpy as np

from yoho_tf.metrics._frames import component_tree
from yoho_tf.metrics._inputs import Events
from yoho_tf.metrics._intersection import FP, TP
from yoho_tf.metrics._matching import Matching, match_optimal
from yoho_tf.metrics._overlaps import ranges
from yoho_tf.metrics.event import close_pairs
from yoho_tf.metrics.psds import psds_metrics
from yoho_tf.metrics.segment import evaluated_lengths
from yoho_tf.metrics.tagging import cumulative_counts
from yoho_tf.params import PSDSParams


def _steps(score, delta_tp, delta_fp):
  """Cumulative counts just below every distinct score: (scores, tp, fp)."""
  order = np.argsort(-score, kind="stable")
  score = score[order]
  last = np.append(score[1:] != score[:-1], True)[: len(score)]
  return (
    score[last],
    np.cumsum(delta_tp[order])[last],
    np.cumsum(delta_fp[order])[last],
  )


def _by_label(label, num_labels, *columns):
  order = np.argsort(label, kind="stable")
  bounds = np.searchsorted(label[order], np.arange(num_labels + 1))
  return [
    _steps(*(column[order[first:stop]] for column in columns))
    for first, stop in zip(bounds[:-1], bounds[1:])
  ]


def _num_references(problem):
  return np.bincount(problem.reference.label, minlength=len(problem.labels))


def segment_cells(problem, frames, params):
  """Targets and scores of segments; the score of a segment is its largest.

  Args:
    problem: `Problem`; its estimates are used where `frames` is None.
    frames: list of `Frames`, or None.
    params: `SegmentParams`.

  Returns:
    bool and float64 `[segments of all files, classes]`, -inf = no score.
  """
  lengths = evaluated_lengths(problem, params)
  if frames is not None and problem.durations is None:
    last = np.array([item.boundaries[-1] for item in frames])
    lengths = np.maximum(lengths, last)
  resolution = params.resolution_seconds
  count = np.ceil(lengths / resolution).astype(np.int64)
  begin = np.concatenate([[0], np.cumsum(count)])
  shape = (int(begin[-1]), len(problem.labels))

  def cells(start, end, file):
    first = np.floor(start / resolution).astype(np.int64)
    stop = np.minimum(np.ceil(end / resolution).astype(np.int64), count[file])
    return ranges(begin[file] + first, begin[file] + stop)

  target, scores = np.zeros(shape, bool), np.full(shape, -np.inf)
  ref, est = problem.reference, problem.estimate
  row, cell = cells(ref.start, ref.end, ref.file)
  target[cell, ref.label[row]] = True
  if frames is None:
    row, cell = cells(est.start, est.end, est.file)
    np.maximum.at(scores, (cell, est.label[row]), est.score[row])
  for file, item in enumerate(frames or ()):
    bounds = item.boundaries
    row, cell = cells(
      bounds[:-1], bounds[1:], np.full(len(bounds) - 1, file, np.int64)
    )
    np.maximum.at(scores, cell, item.scores[row])
  return target, scores


def segment_curves(problem, frames, params):
  target, scores = segment_cells(problem, frames, params)
  curves = []
  for on, score in zip(target.T, scores.T):
    there = score > -np.inf
    tp, fp = cumulative_counts(on[there], score[there])
    curves.append((np.unique(score[there])[::-1], tp, fp))
  return target.sum(axis=0), curves


def table_event_curves(problem, params):
  """Estimates are added in descending score, the matching grows with them."""
  ref, est = problem.reference, problem.estimate
  num_labels = len(problem.labels)
  r, e = close_pairs(
    ref,
    est,
    params,
    ref.file * num_labels + ref.label,
    est.file * num_labels + est.label,
  )
  refs_of = {}
  for i, j in zip(r.tolist(), e.tolist()):
    refs_of.setdefault(j, []).append(i)
  hit = np.zeros(est.num_events, np.int64)
  matching = Matching()
  for j in np.argsort(-est.score, kind="stable").tolist():
    if j in refs_of:
      hit[j] = matching.augment(j, refs_of)
  return _num_references(problem), _by_label(
    est.label, num_labels, est.score, hit, 1 - hit
  )


def frame_event_curves(problem, frames, params):
  """Nodes near a reference are matched anew wherever one comes or goes."""
  ref, num_labels = problem.reference, len(problem.labels)
  nodes, low = _all_nodes(frames)
  # Number of events at every score.
  ends = np.flatnonzero(low > -np.inf)
  count_score = np.concatenate([nodes.score, low[ends]])
  count_label = np.concatenate([nodes.label, nodes.label[ends]])
  count_delta = np.repeat([1, -1], [len(low), len(ends)])
  ref_lane = ref.file * num_labels + ref.label
  lane = nodes.file * num_labels + nodes.label
  near = np.flatnonzero(np.isin(lane, ref_lane))
  r, e = close_pairs(ref, nodes.take(near), params, ref_lane, lane[near])
  node = near[e]
  used, slot = np.unique(node, return_inverse=True)
  # Moments: a lane and a score at which one of its near nodes changes.
  moments = np.unique(
    np.concatenate(
      [
        np.stack([lane[used], nodes.score[used]], axis=1),
        np.stack([lane[used], low[used]], axis=1),
      ]
    ),
    axis=0,
  )
  moments = moments[moments[:, 1] > -np.inf]  # by lane, then ascending score
  at_lane, at_score = moments[:, 0].astype(np.int64), moments[:, 1]
  pair, moment = ranges(
    np.searchsorted(at_lane, lane[node], "left"),
    np.searchsorted(at_lane, lane[node], "right"),
  )
  exists = (low[node[pair]] < at_score[moment]) & (
    at_score[moment] <= nodes.score[node[pair]]
  )
  pair, moment = pair[exists], moment[exists]
  num_refs = ref.num_events
  goal = moment * num_refs + r[pair]
  order = np.lexsort((slot[pair], goal))
  matched = match_optimal(goal[order], (moment * len(used) + slot[pair])[order])
  goals = np.fromiter(matched.values(), np.int64, len(matched))
  hits = np.bincount(goals // max(num_refs, 1), minlength=len(moments))
  # Ascending scores: a step is the difference to the next higher moment.
  above = np.where(
    np.append(at_lane[1:] == at_lane[:-1], False)[: len(hits)],
    np.append(hits[1:], 0)[: len(hits)],
    0,
  )
  step = hits - above
  score = np.concatenate([count_score, at_score])
  label = np.concatenate([count_label, at_lane % num_labels])
  zero = np.zeros(len(step), np.int64)
  delta_tp = np.concatenate([0 * count_delta, step])
  delta_all = np.concatenate([count_delta, zero])
  return _num_references(problem), _by_label(
    label, num_labels, score, delta_tp, delta_all - delta_tp
  )


def _all_nodes(frames):
  """Nodes of all trees as `Events` (score = high), and their low scores."""
  parts, lows = [], []
  for file, item in enumerate(frames):
    tree = component_tree(item.scores)
    none = np.full(len(tree.lane), np.nan)
    parts.append(
      Events(
        np.full(len(tree.lane), file),
        tree.lane,
        item.boundaries[tree.first],
        item.boundaries[tree.stop],
        tree.score,
        none,
        none,
      )
    )
    lows.append(
      np.where(tree.parent >= 0, tree.score[tree.parent], -np.inf)
      if len(tree.lane)
      else none
    )
  columns = (np.concatenate(column) for column in zip(*parts))
  return Events(*columns), np.concatenate(lows)


def intersection_curves(reference, estimate, durations, labels, params, checks):
  result = psds_metrics(
    reference,
    estimate,
    durations=durations,
    labels=labels,
    params=replace(
      PSDSParams(
        dtc=params.dtc,
        gtc=params.gtc,
        count_outside_fp=params.count_outside_fp,
        overlap=params.overlap,
      ),
      **(
        {}
        if params.time_decimals is None
        else {"time_decimals": params.time_decimals}
      ),
    ),
    **checks,
  )
  found = result.counts["changes"]
  curves = _by_label(
    found.label,
    len(labels),
    found.score,
    found.delta * (found.kind == TP),
    found.delta * (found.kind == FP),
  )
  return result.counts["num_references"].sum(axis=0), curves
