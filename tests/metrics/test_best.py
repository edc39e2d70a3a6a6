"""Best thresholds against trying every threshold."""

import numpy as np
import pytest

from tests.metrics.tables import (
  columns,
  random_rows,
  random_scores,
  without_overlaps,
)
from yoho_tf.metrics import (
  apply_thresholds,
  best_thresholds,
  event_metrics,
  intersection_metrics,
  segment_metrics,
)
from yoho_tf.params import EventParams, IntersectionParams

LABELS = ("a", "b", "c")
DURATIONS = {f"f{i}": 20.0 for i in range(4)}
METRICS = {
  "segment": (segment_metrics, None),
  "event": (
    event_metrics,
    EventParams(start_collar_seconds=0.5, end_collar_seconds=1.0),
  ),
  "intersection": (
    intersection_metrics,
    IntersectionParams(cttc=None, time_decimals=6, overlap="error"),
  ),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["frames", "table"])
def test_best_is_the_best_of_all(metric, kind):
  function, params = METRICS[metric]
  for seed in range(12):
    generator = np.random.default_rng(seed)
    reference = columns(without_overlaps(random_rows(generator, num_events=14)))
    if kind == "frames":
      estimate = random_scores(generator)
      values = np.concatenate([s.ravel() for s in estimate.scores.values()])
    else:
      rows = without_overlaps(random_rows(generator, num_events=14))
      values = generator.integers(0, 6, len(rows)) / 6
      estimate = columns([(*row, v) for row, v in zip(rows, values)])
    levels = np.unique(values)
    middles = np.append((levels[1:] + levels[:-1]) / 2, levels[0] - 1)
    common = {"durations": DURATIONS, "labels": LABELS}
    found = best_thresholds(
      reference, estimate, metric=metric, params=params, **common
    )
    assert found.oracle
    tried = [
      function(
        reference, apply_thresholds(estimate, level), params=params, **common
      )
      for level in middles
    ]
    chosen = function(
      reference,
      apply_thresholds(estimate, found.thresholds),
      params=params,
      **common,
    )
    for label in set(reference["label"]):
      best = max(result.class_wise[label]["f1"] for result in tried)
      if kind == "table" and label not in estimate["label"]:
        continue
      assert found.f1[label] == pytest.approx(best, abs=1e-12)
      assert chosen.class_wise[label]["f1"] == pytest.approx(best, abs=1e-12)


def test_ties_go_to_the_higher_threshold():
  reference = columns([("x", 0, 1, "a"), ("x", 4, 5, "a")])
  estimate = columns(
    [
      ("x", 0, 1, "a", 0.9),
      ("x", 2, 3, "a", 0.8),
      ("x", 6, 7, "a", 0.4),
      ("x", 4, 5, "a", 0.2),
    ]
  )
  found = best_thresholds(reference, estimate)
  assert found.f1["a"] == pytest.approx(2 / 3)
  assert found.thresholds["a"] == pytest.approx(0.85)
  with pytest.raises(ValueError, match="metric: one of"):
    best_thresholds(reference, estimate, metric="f1")
