"""Intersection criteria: detections to changes of TP, FP and cross-triggers.

A detection exists for thresholds in [low, high). It adds its counts just
below `high` and takes them back at `low`; summing the changes in descending
score gives the counts just below every score.
"""

from typing import NamedTuple

import numpy as np

TP, FP, CT = 0, 1, 2  # kinds; CT + label is a cross-trigger with that label


class Candidates(NamedTuple):
  """Detections with the thresholds at which they exist."""

  file: np.ndarray  # int64 [events]
  label: np.ndarray  # int64 [events]
  start: np.ndarray  # float64 seconds [events]
  end: np.ndarray  # float64 seconds [events]
  high: np.ndarray  # float64 [events]
  low: np.ndarray  # float64 [events]
  parent: np.ndarray | None  # int64 [events]: what replaces it at `low`


class Overlaps(NamedTuple):
  """How candidates and references intersect, shared by all criteria.

  `same` and `other` are the totals per candidate and label; `pairs` gives
  every (candidate, reference) of one label for chosen candidates.
  """

  events: Candidates
  same: np.ndarray  # float64 [events], share of the length where `is_share`
  other: object  # rows -> (row, label, total), of the same kind as `same`
  pairs: object  # rows -> (row, reference, seconds)
  is_share: bool
  is_points: bool = False  # detections of different `high` never meet


class Changes(NamedTuple):
  """Count changes, sorted by label, then descending score."""

  score: np.ndarray  # float64 [changes]
  file: np.ndarray  # int64 [changes]
  label: np.ndarray  # int64 [changes]
  kind: np.ndarray  # int64 [changes]
  delta: np.ndarray  # int64 [changes]


def reaches(total, share, length, decimals):
  """total >= share * length, both sides rounded where `decimals` is given."""
  bound = share * length
  if decimals is None:
    return total >= bound
  # Rounding keeps the order, so only near misses need it.
  out = np.asarray(total >= bound)
  near = np.flatnonzero(~out & (total >= bound - 2 * 10.0**-decimals))
  out[near] = np.round(total[near], decimals) >= np.round(
    np.broadcast_to(bound, out.shape)[near], decimals
  )
  return out


def changes(overlaps, references, durations, params, decimals):
  """Changes of the counts of one set of overlaps under one criterion.

  Args:
    overlaps: `Overlaps`.
    references: `Events`, sorted as the pairs count them.
    durations: float seconds `[files]`, or None.
    params: has `dtc gtc cttc count_outside_fp`.
    decimals: rounding, or None.

  Returns:
    `Changes`.
  """
  if overlaps.is_share and decimals is not None:
    overlaps = _in_seconds(overlaps)
  events = overlaps.events
  length = events.end - events.start
  unit = 1.0 if overlaps.is_share else length
  passed = reaches(overlaps.same, params.dtc, unit, decimals)
  failed = ~passed
  counted = failed
  if durations is not None and not params.count_outside_fp:
    counted = failed & (events.start < durations[events.file])
  parts = [_false_positives(events, counted)]
  if params.cttc is not None:
    row, label, total = overlaps.other(
      np.flatnonzero(failed), params.cttc, decimals
    )
    unit = 1.0 if overlaps.is_share else length[row]
    hit = reaches(total, params.cttc, unit, decimals)
    parts.append(_cross_triggers(events, row[hit], label[hit]))
  covered = _coverage(overlaps, np.flatnonzero(passed), references)
  parts.append(_true_positives(covered, overlaps, references, params, decimals))
  return Changes(*(np.concatenate(columns) for columns in zip(*parts)))


def _in_seconds(overlaps):
  """Totals in seconds, for criteria that round them."""
  length = overlaps.events.end - overlaps.events.start

  def other(rows, cttc, decimals):
    row, label, total = overlaps.other(rows, cttc, decimals)
    return row, label, total * length[row]

  return overlaps._replace(
    same=overlaps.same * length, other=other, is_share=False
  )


def sort_changes(parts):
  """Joins and sorts changes."""
  joined = [np.concatenate(columns) for columns in zip(*parts)]
  score, label = joined[0], joined[2]
  order = np.argsort(label, kind="stable")
  bounds = np.searchsorted(label[order], np.arange(label.max(initial=-1) + 2))
  for first, stop in zip(bounds[:-1], bounds[1:]):
    rows = order[first:stop]
    order[first:stop] = rows[np.argsort(-score[rows], kind="stable")]
  return Changes(*(column[order] for column in joined))


def _exist(events, rows, kind):
  """+1 at `high` and -1 at `low` of the given candidates."""
  ends = np.flatnonzero(events.low[rows] > -np.inf)
  twice = np.concatenate([rows, rows[ends]])
  return Changes(
    np.concatenate([events.high[rows], events.low[rows[ends]]]),
    events.file[twice],
    events.label[twice],
    np.concatenate([kind, kind[ends]]),
    np.repeat([1, -1], [len(rows), len(ends)]),
  )


def _at_high(events, rows, kind, delta):
  rows_kept = np.flatnonzero(delta)
  rows, kind, delta = rows[rows_kept], kind[rows_kept], delta[rows_kept]
  return Changes(
    events.high[rows], events.file[rows], events.label[rows], kind, delta
  )


def _false_positives(events, counted):
  if events.parent is None:
    rows = np.flatnonzero(counted)
    return _exist(events, rows, np.full(len(rows), FP))
  # What a node takes back is added at its parent: chains cancel.
  delta = counted.astype(np.int64)
  parent = events.parent[counted & (events.parent >= 0)]
  delta -= np.bincount(parent, minlength=len(delta))
  return _at_high(events, np.arange(len(delta)), np.full(len(delta), FP), delta)


def _cross_triggers(events, rows, label):
  """Changes for pairs of a candidate and another label, sorted by both."""
  if events.parent is None:
    return _exist(events, rows, CT + label)
  size = int(label.max(initial=0)) + 1
  key = rows * size + label
  parent = events.parent[rows]
  above = parent * size + label
  at = np.minimum(np.searchsorted(key, above), max(len(key) - 1, 0))
  cancels = key[at] == above
  delta = 1 - np.bincount(at[cancels], minlength=len(key))
  ends = np.flatnonzero(~cancels & (parent >= 0))
  return _at_high(
    events,
    np.concatenate([rows, parent[ends]]),
    CT + np.concatenate([label, label[ends]]),
    np.concatenate([delta, np.full(len(ends), -1)]),
  )


def _coverage(overlaps, passed, references):
  """Coverage of every reference after each change.

  Returns:
    (reference, score, coverage) `[changes]`, by reference, then descending
    score; coverage is a share where `overlaps.is_share`.
  """
  events = overlaps.events
  row, ref, amount = overlaps.pairs(passed)
  if overlaps.is_share:
    amount = amount / (references.end - references.start)[ref]
  score = events.high[row]
  if not overlaps.is_points:
    ends = np.flatnonzero(events.low[row] > -np.inf)
    score = np.concatenate([score, events.low[row[ends]]])
    ref = np.concatenate([ref, ref[ends]])
    amount = np.concatenate([amount, -amount[ends]])
  order = np.lexsort((-score, ref))
  score, ref, amount = score[order], ref[order], amount[order]
  if overlaps.is_points:
    first = _first_of_runs(ref, score)
    group = np.cumsum(first) - 1
    return ref[first], score[first], np.bincount(group, weights=amount)
  last = _last_of_runs(ref, score)
  total = np.cumsum(amount)[last]
  score, ref = score[last], ref[last]
  # Sums run on over all references: take off what came before each.
  new = _first_of_runs(ref)
  before = np.append(0.0, total)[np.flatnonzero(new)]
  return ref, score, total - before[np.cumsum(new) - 1]


def _true_positives(covered, overlaps, references, params, decimals):
  """Changes of the number of references that are covered enough."""
  ref, score, coverage = covered
  length = references.end - references.start
  unit = 1.0 if overlaps.is_share else length[ref]
  hit = reaches(coverage, params.gtc, unit, decimals)
  if overlaps.is_points:
    rows = np.flatnonzero(hit)
    ref = np.tile(ref[rows], 2)
    score = np.concatenate([score[rows], score[rows] - 1])
    delta = np.repeat([1, -1], len(rows))
  else:
    hit = hit.astype(np.int64)
    new = _first_of_runs(ref)
    delta = hit - np.where(new, 0, np.append(0, hit[:-1])[: len(hit)])
    rows = np.flatnonzero(delta)
    ref, score, delta = ref[rows], score[rows], delta[rows]
  return Changes(
    score,
    references.file[ref],
    references.label[ref],
    np.full(len(ref), TP),
    delta,
  )


def _first_of_runs(*keys):
  if not len(keys[0]):
    return np.zeros(0, bool)
  differs = np.zeros(len(keys[0]) - 1, bool)
  for key in keys:
    differs |= key[1:] != key[:-1]
  return np.append(True, differs)


def _last_of_runs(*keys):
  return np.append(_first_of_runs(*keys)[1:], True)[: len(keys[0])]
