"""Pairs of close events, and matchings between them."""

import numpy as np


def pairs_within(ref_group, ref_low, ref_high, est_group, est_value):
  """All pairs of one group with ref_low <= est_value <= ref_high.

  Args:
    ref_group, est_group: int64 `[refs]`, `[ests]`.
    ref_low, ref_high: float64 `[refs]`.
    est_value: float64 `[ests]`.

  Returns:
    (ref, est) int64 `[pairs]`, sorted by ref, then est.
  """
  num_ref, num_est = len(ref_group), len(est_group)
  # Bounds and values are sorted together, so that the comparison stays exact:
  # at equal values a lower bound comes before and an upper bound after.
  group = np.concatenate([ref_group, est_group, ref_group])
  value = np.concatenate([ref_low, est_value, ref_high])
  kind = np.repeat(np.arange(3, dtype=np.int8), [num_ref, num_est, num_ref])
  order = np.lexsort((kind, value, group))
  rank = np.empty(len(order), np.int64)
  rank[order] = np.cumsum(kind[order] == 1)
  first, stop = rank[:num_ref], rank[num_ref + num_est :]
  count = np.maximum(stop - first, 0)
  ref = np.repeat(np.arange(num_ref), count)  # [pairs]
  within = np.arange(len(ref)) - np.repeat(np.cumsum(count) - count, count)
  est_order = order[kind[order] == 1] - num_ref
  est = est_order[first[ref] + within]
  order = np.lexsort((est, ref))
  return ref[order], est[order]


def match_greedy(ref, est):
  """Each reference in order takes its first free estimate.

  Args:
    ref, est: int64 `[pairs]`, sorted by ref, then est.

  Returns:
    dict est -> ref.
  """
  taken, done = {}, -1
  for r, e in zip(ref.tolist(), est.tolist()):
    if r != done and e not in taken:
      taken[e] = done = r
  return {e: r for e, r in taken.items()}


class Matching:
  """A maximum bipartite matching that grows by one estimate at a time.

  Estimates are added once each. A search that fails marks what it has seen:
  no later augmenting path can lead through it, since references never
  appear later. So all failed searches together cost one pass over the pairs.
  """

  def __init__(self):
    self.ref_of = {}  # est -> ref
    self.est_of = {}  # ref -> est
    self._dead = set()  # refs of failed searches

  def take_free(self, est, refs):
    """Matches `est` with its first free reference, if there is one."""
    for ref in refs:
      if ref not in self.est_of:
        self.est_of[ref], self.ref_of[est] = est, ref
        return True
    return False

  def augment(self, est, refs_of):
    """Matches `est` along a shortest augmenting path, if there is one.

    Args:
      est: an unmatched estimate.
      refs_of: mapping est -> references in order.
    """
    came_from = {}  # ref -> est that reached it
    layer = [est]
    while layer:
      following = []
      for e in layer:
        for ref in refs_of[e]:
          if ref in came_from or ref in self._dead:
            continue
          came_from[ref] = e
          if ref not in self.est_of:
            self._flip(ref, came_from)
            return True
          following.append(self.est_of[ref])
      layer = following
    self._dead.update(came_from)
    return False

  def _flip(self, ref, came_from):
    while ref is not None:
      est = came_from[ref]
      previous = self.ref_of.get(est)
      self.ref_of[est], self.est_of[ref] = ref, est
      ref = previous


def match_optimal(ref, est):
  """A maximum bipartite matching.

  Estimates are tried in the order of their first pair, as the greedy start
  of the usual algorithm does; most need no augmenting path.

  Args:
    ref, est: int64 `[pairs]`, sorted by ref, then est.

  Returns:
    dict est -> ref.
  """
  refs_of = {}
  for r, e in zip(ref.tolist(), est.tolist()):
    refs_of.setdefault(e, []).append(r)
  matching = Matching()
  left = [e for e, refs in refs_of.items() if not matching.take_free(e, refs)]
  for e in left:
    matching.augment(e, refs_of)
  return matching.ref_of


def match_ranked(rank, ref, iou, thresholds):
  """Detections in rank order each take the free reference of highest IoU.

  All thresholds and all files are solved together: every detection proposes
  to its best remaining reference, a reference keeps the best-ranked
  proposal, and the others move on. With one ranking for all references this
  ends in the result of taking the detections one after the other.

  Args:
    rank: int64 `[pairs]`, position of the detection.
    ref: int64 `[pairs]`.
    iou: float64 `[pairs]`.
    thresholds: floats.

  Returns:
    (threshold index, rank) of the true positives, int64 `[matches]` each.
  """
  if not len(rank):
    return np.zeros(0, np.int64), np.zeros(0, np.int64)
  order = np.lexsort((ref, -iou, rank))
  rank, ref, iou = rank[order], ref[order], iou[order]
  level, pair = np.nonzero(iou >= np.asarray(thresholds)[:, None])
  rank, ref = rank[pair], ref[pair]
  num_ranks, num_refs = (
    int(rank.max(initial=0)) + 1,
    int(ref.max(initial=0)) + 1,
  )
  det, goal = level * num_ranks + rank, level * num_refs + ref
  holder = np.full(len(thresholds) * num_refs, num_ranks)
  while True:
    head = np.flatnonzero(np.append(True, det[1:] != det[:-1])[: len(det)])
    np.minimum.at(holder, goal[head], rank[head])
    keep = rank <= holder[goal]
    if keep.all():
      return level[head], rank[head]
    det, goal, rank, level = det[keep], goal[keep], rank[keep], level[keep]
