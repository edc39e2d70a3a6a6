"""Functions on intervals against loops; rules, errors."""

import math

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

from yoho_tf.intervals import drop_short, hysteresis, merge_gaps, nms_1d

pytestmark = pytest.mark.edge

TIMES = st.integers(0, 400).map(lambda t: t / 20)


@given(
  st.lists(st.tuples(TIMES, TIMES), max_size=15),
  st.sampled_from([0.0, 0.1, 1.0]),
)
def test_merge_gaps_equals_a_loop(pairs, gap):
  pairs = sorted((min(p), max(p) + 0.05) for p in pairs)
  expected, group = [], []
  for start, end in pairs:
    if expected and start - expected[-1][1] <= gap + 1e-9:
      expected[-1][1] = max(expected[-1][1], end)
    else:
      expected.append([start, end])
    group.append(len(expected) - 1)
  got = merge_gaps([p[0] for p in pairs], [p[1] for p in pairs], gap)
  assert np.stack(got[:2], axis=-1).tolist() == expected
  assert got[2].tolist() == group


def test_merge_gaps_rejects_unsorted_pieces():
  with pytest.raises(ValueError, match="start must be sorted"):
    merge_gaps([1, 0], [2, 3], 0)
  start, end, group = merge_gaps([1, 0], [2, 3], 9, key=[0, 1])
  assert (start.tolist(), end.tolist()) == ([1, 0], [2, 3])
  assert group.tolist() == [0, 1]


def test_drop_short_counts_an_exact_minimum_as_long_enough():
  keep = drop_short([0.1, 0, 5], [0.4, 0.29, 5.1], 0.3)  # 0.4 - 0.1 < 0.3
  assert keep.tolist() == [True, False, False]
  assert drop_short([0, 0], [1, 1], [1, 2]).tolist() == [True, False]


SCORES = st.lists(
  st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.7, 1.0, math.nan]), max_size=20
)


def slow_hysteresis(scores, low, high):
  runs, begin = [], None
  for i, score in enumerate([*scores, -1.0]):
    if score >= low and begin is None:
      begin = i
    elif not score >= low and begin is not None:
      if any(s >= high for s in scores[begin:i]):
        runs.append((begin, i))
      begin = None
  return runs


@given(SCORES, st.sampled_from([0.2, 0.3]), st.sampled_from([0.3, 0.5, 0.9]))
def test_hysteresis_equals_a_loop(scores, low, high):
  first, last = hysteresis(np.array(scores), low, high)
  got = list(zip(first.tolist(), last.tolist(), strict=True))
  assert got == slow_hysteresis(scores, low, high)


@given(SCORES)
def test_a_higher_threshold_keeps_a_subset_and_moves_no_edge(scores):
  previous = None
  for high in (0.3, 0.5, 0.7, 1.0):
    runs = set(zip(*(x.tolist() for x in hysteresis(scores, 0.3, high))))
    assert previous is None or runs <= previous
    previous = runs


def test_hysteresis_errors():
  with pytest.raises(ValueError, match="shape"):
    hysteresis(np.zeros((2, 2)), 0.1, 0.2)
  with pytest.raises(ValueError, match="low must not be above high"):
    hysteresis([0.1], 0.5, 0.2)


def test_nms_keeps_the_best_of_what_overlaps():
  start, end = [0, 0.1, 2, 0], [1, 1.1, 3, 4]
  score = [0.8, 0.9, 0.7, 0.1]
  assert nms_1d(start, end, score, 0.5).tolist() == [1, 2, 3]
  assert nms_1d(start, end, score, 0.0).tolist() == [1, 2]
  assert nms_1d(start, end, score, 1.0).tolist() == [1, 0, 2, 3]
  assert nms_1d([0, 0], [1, 1], [0.5, 0.5], 0.5).tolist() == [0]
  assert nms_1d([], [], [], 0.5).tolist() == []
  with pytest.raises(ValueError, match="NaN"):
    nms_1d([0], [1], [math.nan], 0.5)
