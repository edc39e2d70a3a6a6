"""Replicates are the metric on tables with files repeated."""

import numpy as np
import pytest

from tests.metrics.tables import (
  columns,
  random_rows,
  random_scores,
  without_overlaps,
)
from yoho_tf.metrics import (
  FrameScores,
  bootstrap,
  compare,
  event_metrics,
  intersection_metrics,
  mask_metrics,
  psds_metrics,
  segment_metrics,
  soft_label_metrics,
  tagging_metrics,
  temporal_map,
)
from yoho_tf.metrics.bootstrap import replicate_values, resample_weights
from yoho_tf.params import PSDS2, BootstrapParams

FILES = ("f0", "f1", "f2", "f3")
LABELS = ("a", "b", "c")
NOTHING = columns([])


def repeat_rows(rows, weights):
  return [
    (f"{row[0]}/{copy}", *row[1:])
    for row in rows
    for copy in range(weights[FILES.index(row[0])])
  ]


def repeat_files(values, weights):
  return {
    f"{name}/{copy}": values[name]
    for name, weight in zip(FILES, weights)
    for copy in range(weight)
  }


def build(seed):
  generator = np.random.default_rng(seed)
  reference = without_overlaps(random_rows(generator, num_events=20))
  rows = without_overlaps(random_rows(generator, num_events=20))
  places = generator.permutation(len(rows)) / len(rows)
  estimate = [(*row, float(place)) for row, place in zip(rows, places)]
  return reference, estimate, random_scores(generator)


METRICS = {
  "segment": segment_metrics,
  "event": event_metrics,
  "intersection": intersection_metrics,
  "temporal_iou": temporal_map,
  "psds": lambda *tables, **common: psds_metrics(
    *tables, params=PSDS2, **common
  ),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_replicates_equal_repeated_files(name, seed):
  reference, estimate, scores = build(seed)
  durations = dict.fromkeys(FILES, 20.0)
  metric = METRICS[name]

  def run(weights):
    ref = columns(repeat_rows(reference, weights))
    common = {"durations": repeat_files(durations, weights), "labels": LABELS}
    if name == "psds" and seed:
      frames = FrameScores(
        repeat_files(scores.scores, weights),
        repeat_files(scores.boundaries_seconds, weights),
        LABELS,
      )
      return metric(ref, frames, **common)
    return metric(ref, columns(repeat_rows(estimate, weights)), **common)

  once = run([1] * 4)
  weights = resample_weights(4, BootstrapParams(num_samples=6, seed=seed))
  scalars, class_wise = replicate_values(once, weights)
  for i, weight in enumerate(weights.tolist()):
    try:
      again = run(weight)
    except ValueError:  # a replicate without any reference event
      continue
    for key, value in {**again.overall, **again.macro}.items():
      assert scalars[key][i] == pytest.approx(value, abs=1e-12, nan_ok=True)
    for c, label in enumerate(LABELS):
      for key, value in again.class_wise[label].items():
        ours = class_wise[key][i, c]
        assert ours == pytest.approx(value, abs=1e-12, nan_ok=True)


def test_other_metrics_have_replicates():
  generator = np.random.default_rng(0)
  targets = generator.random((12, 2)) < 0.4
  values = generator.integers(0, 5, (12, 2)) / 5
  tags = tagging_metrics(targets, values, labels="ab")
  weights = resample_weights(12, BootstrapParams(num_samples=4))
  scalars, _ = replicate_values(tags, weights)
  for i, weight in enumerate(weights):
    rows = np.repeat(np.arange(12), weight)
    again = tagging_metrics(targets[rows], values[rows], labels="ab")
    for key, value in {**again.overall, **again.macro}.items():
      assert scalars[key][i] == pytest.approx(value, abs=1e-12)
  masks = {str(i): generator.random((3, 2, 2)) for i in range(5)}
  result = mask_metrics(
    {name: mask > 0.4 for name, mask in masks.items()}, masks, labels="ab"
  )
  interval = bootstrap(result)["iou_macro"]
  assert interval.low <= interval.value <= interval.high
  soft = columns([(f, i, i + 1, "a", 0.9) for f in "xyz" for i in range(3)])
  frames = {name: generator.random((5, 1)) for name in "xyz"}
  result = soft_label_metrics(
    soft,
    FrameScores(frames, np.arange(6.0), ("a",)),
    durations=dict.fromkeys("xyz", 5.0),
  )
  assert bootstrap(result)["f1_micro"].value == result["f1_micro"]


def test_resampling():
  for method in ("balanced", "multinomial"):
    params = BootstrapParams(method=method, num_samples=7)
    weights = resample_weights(9, params)
    assert (weights.sum(axis=1) == 9).all()
    assert np.array_equal(weights, resample_weights(9, params))
    is_even = (weights.sum(axis=0) == 7).all()
    assert is_even == (method == "balanced")


def test_intervals():
  reference, estimate, _ = build(0)
  first = event_metrics(columns(reference), columns(estimate), labels=LABELS)
  second = event_metrics(columns(reference), columns(reference), labels=LABELS)
  assert bootstrap(first) == bootstrap(first)
  other = bootstrap(first, BootstrapParams(seed=1))
  assert other["f1_micro"].value == first["f1_micro"]
  same = compare(first, first)
  for item in same.values.values():
    assert item[:4] == (0, 0, 0, 0) and item.share_above_zero == 0
  better = compare(second, first)["f1_micro"]
  assert better.value == second["f1_micro"] - first["f1_micro"]
  assert better.share_above_zero == 1.0
  assert 0 < better.low <= better.high
  with pytest.raises(ValueError, match="b: needs the labels of a"):
    more = (*LABELS, "d")
    compare(first, event_metrics(columns(reference), NOTHING, labels=more))


def test_one_file_has_no_width():
  result = segment_metrics(
    columns([("f0", 0, 2, "a")]), columns([("f0", 1, 3, "a")])
  )
  with pytest.warns(UserWarning, match="one file"):
    interval = bootstrap(result)["f1_micro"]
  assert interval.low == interval.high == interval.value
