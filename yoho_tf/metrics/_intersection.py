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
    parts.append(_exist(events, row[hit], CT + label[hit], 1))
  parts.append(
    _true_positives(overlaps, np.flatnonzero(passed), references, params, decimals)
  )
  return sort_changes(parts)


def sort_changes(parts):
  """Joins and sorts changes."""
  joined = [np.concatenate(columns) for columns in zip(*parts)]
  order = np.lexsort((-joined[0], joined[2]))
  return Changes(*(column[order] for column in joined))


def _exist(events, rows, kind, delta):
  """+delta at `high` and -delta at `low` of the given candidates."""
  ends = np.flatnonzero(events.low[rows] > -np.inf)
  twice = np.concatenate([rows, rows[ends]])
  sign = np.repeat([1, -1], [len(rows), len(ends)])
  kind = np.broadcast_to(kind, rows.shape)
  return Changes(
    np.concatenate([events.high[rows], events.low[rows[ends]]]),
    events.file[twice],
    events.label[twice],
    np.concatenate([kind, kind[ends]]),
    sign * delta,
  )


def _false_positives(events, counted):
  if events.parent is None:
    return _exist(events, np.flatnonzero(counted), FP, 1)
  # What a node takes back is added at its parent: chains cancel.
  delta = counted.astype(np.int64)
  parent = events.parent[counted & (events.parent >= 0)]
  delta -= np.bincount(parent, minlength=len(delta))
  rows = np.flatnonzero(delta)
  return Changes(
    events.high[rows],
    events.file[rows],
    events.label[rows],
    np.full(len(rows), FP),
    delta[rows],
  )


def _true_positives(overlaps, passed, references, params, decimals):
  """Changes of the number of references that are covered enough."""
  events = overlaps.events
  row, ref, seconds = overlaps.pairs(passed)
  ends = np.flatnonzero(events.low[row] > -np.inf)
  length = references.end - references.start
  if overlaps.is_share:
    seconds = seconds / length[ref]
  score = np.concatenate([events.high[row], events.low[row[ends]]])
  ref = np.concatenate([ref, ref[ends]])
  seconds = np.concatenate([seconds, -seconds[ends]])
  order = np.lexsort((-score, ref))
  score, ref, seconds = score[order], ref[order], seconds[order]
  last = _last_of_runs(ref, score)
  coverage = np.cumsum(seconds)[last]
  score, ref = score[last], ref[last]
  new_ref = _first_of_runs(ref)
  # Sums run on over all references: take off what came before each.
  base = np.append(0.0, coverage)[np.flatnonzero(new_ref)]
  coverage = coverage - base[np.cumsum(new_ref) - 1]
  unit = 1.0 if overlaps.is_share else length[ref]
  hit = reaches(coverage, params.gtc, unit, decimals).astype(np.int64)
  before = np.where(new_ref, 0, np.append(0, hit[:-1])[: len(hit)])
  moved = np.flatnonzero(hit != before)
  ref = ref[moved]
  return Changes(
    score[moved],
    references.file[ref],
    references.label[ref],
    np.full(len(moved), TP),
    (hit - before)[moved],
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
