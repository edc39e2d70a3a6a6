"""Rules that hold for every input, checked on random ones."""

from dataclasses import replace

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
  box_iou,
  event_metrics,
  events_at,
  intersection_metrics,
  mask_map,
  mask_metrics,
  psds_metrics,
  segment_metrics,
  tagging_metrics,
  temporal_map,
)
from yoho_tf.metrics._frames import component_tree
from yoho_tf.metrics._inputs import prepare
from yoho_tf.metrics._overlaps import overlapping_pairs
from yoho_tf.params import (
  PSDS1,
  PSDS2,
  EventParams,
  PSDSParams,
  SegmentParams,
)

LABELS = ("a", "b", "c")
FILES = ("f0", "f1", "f2", "f3")
DURATIONS = dict.fromkeys(FILES, 20.0)


def tables(seed, **settings):
  generator = np.random.default_rng(seed)
  reference = random_rows(generator, num_events=12, **settings)
  estimate = [
    (*row, round(float(generator.random()), 1))
    for row in random_rows(generator, num_events=14, **settings)
  ]
  return reference, estimate, generator


def all_numbers(reference, estimate, rename=None, scale=1.0):
  """Numbers of every table metric, by name."""
  rename = rename or {}

  def build(rows):
    return columns(
      [
        (rename.get(row[0], row[0]), row[1] * scale, row[2] * scale, *row[3:])
        for row in rows
      ]
    )

  durations = {rename.get(name, name): 20.0 * scale for name in FILES}
  common = {"durations": durations, "labels": LABELS}
  ref, est = build(reference), build(estimate)
  results = [
    segment_metrics(
      ref, est, params=SegmentParams(resolution_seconds=scale), **common
    ),
    event_metrics(
      ref,
      est,
      params=EventParams(
        start_collar_seconds=0.25 * scale, end_collar_seconds=0.25 * scale
      ),
      **common,
    ),
    temporal_map(ref, est, **common),
  ]
  flat_ref = columns(without_overlaps(reference))
  flat_est = columns(without_overlaps(estimate))
  if scale == 1.0 and not rename:
    results += [
      intersection_metrics(flat_ref, flat_est, **common),
      psds_metrics(flat_ref, flat_est, params=PSDS2, **common),
    ]
  return {
    f"{result.name}.{name}": value
    for result in results
    for name, value in {**result.overall, **result.macro}.items()
    if name != "substitutions" and "substitution" not in name
  }


@pytest.mark.parametrize("seed", range(8))
def test_order_and_names_of_files_change_nothing(seed):
  reference, estimate, generator = tables(seed)
  numbers = all_numbers(reference, estimate)
  shuffled = all_numbers(
    [reference[i] for i in generator.permutation(len(reference))],
    [estimate[i] for i in generator.permutation(len(estimate))],
  )
  # Equal scores keep their input order where file and start are equal too;
  # what a substitution takes depends on the order, and so does ER.
  for name, value in numbers.items():
    if not name.startswith(("event.er", "event.ins", "event.del")):
      assert shuffled[name] == pytest.approx(value, abs=1e-12, nan_ok=True)
  renamed = all_numbers(
    reference, estimate, rename={name: f"{name}.wav" for name in FILES}
  )
  for name, value in renamed.items():
    assert value == pytest.approx(numbers[name], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(4))
def test_doubling_all_times_changes_no_count(seed):
  reference, estimate, _ = tables(seed)
  once = all_numbers(reference, estimate)
  for name, value in all_numbers(reference, estimate, scale=2.0).items():
    assert value == pytest.approx(once[name], abs=1e-12, nan_ok=True)


def test_perfect_and_empty_estimates():
  reference = without_overlaps(tables(0)[0])
  perfect = [(*row, 0.5) for row in reference]
  ref = columns(reference)
  labels = sorted(set(ref["label"]))
  common = {"durations": DURATIONS, "labels": labels}
  for estimate, f1, er, area in (
    (columns(perfect), 1.0, 0.0, 1.0),
    (columns([]), 0.0, 1.0, 0.0),
  ):
    for metric in (segment_metrics, event_metrics):
      result = metric(ref, estimate, **common)
      assert (result["f1_micro"], result["er_micro"]) == (f1, er)
      assert result["f1_macro"] == f1
    result = intersection_metrics(ref, estimate, **common)
    assert result["f1_micro"] == f1
    for params in (PSDS1, PSDS2):
      result = psds_metrics(ref, estimate, params=params, **common)
      assert result["psds"] == pytest.approx(area, abs=1e-12)
    result = temporal_map(ref, estimate, **common)
    assert result["map"] == pytest.approx(area, abs=1e-12)
  mask = np.zeros((4, 3, 2), bool)
  mask[1:3] = True
  result = mask_metrics({"f": mask}, {"f": mask * 1.0}, labels="ab")
  assert result["iou_macro"] == result["dice_macro"] == 1.0


def test_tree_is_all_thresholded_events():
  for seed in range(200):
    scores = random_scores(np.random.default_rng(seed), num_files=1)
    values, bounds = scores.scores["f0"], scores.boundaries_seconds["f0"]
    tree = component_tree(values)
    low = np.where(tree.parent >= 0, tree.score[tree.parent], -np.inf)
    levels = np.unique(values)
    middles = np.append((levels[1:] + levels[:-1]) / 2, levels[0] - 1)
    for level in middles:
      rows = (low <= level) & (level < tree.score)
      ours = sorted(
        zip(tree.lane[rows], bounds[tree.first[rows]], bounds[tree.stop[rows]])
      )
      table = events_at(scores, level)
      label = [LABELS.index(name) for name in table["label"]]
      assert ours == sorted(zip(label, table["start"], table["end"]))


def test_exact_psds_is_the_value_at_every_threshold():
  for seed in range(60):
    generator = np.random.default_rng(seed)
    reference = without_overlaps(random_rows(generator, num_events=9))
    scores = random_scores(generator, levels=5)
    values = np.concatenate([item.ravel() for item in scores.scores.values()])
    levels = np.unique(values)
    middles = np.append((levels[1:] + levels[:-1]) / 2, levels[0] - 1)
    points = [events_at(scores, level) for level in middles]
    for params in (
      replace(PSDS1, max_efpr_per_hour=2000.0),
      replace(PSDS2, max_efpr_per_hour=2000.0),
      PSDSParams(cttc=0.5, alpha_ct=1.0, max_efpr_per_hour=2000.0),
    ):
      params = replace(params, point_time_decimals=6)
      common = {"durations": DURATIONS, "labels": LABELS, "params": params}
      exact = psds_metrics(columns(reference), scores, **common)["psds"]
      listed = psds_metrics(columns(reference), points, **common)["psds"]
      assert exact == pytest.approx(listed, abs=1e-9)
      if params.alpha_st == 0:
        some = psds_metrics(columns(reference), points[::2], **common)["psds"]
        assert exact >= some - 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_scored_table_is_the_value_at_every_score(seed):
  reference, estimate, _ = tables(seed)
  reference = columns(without_overlaps(reference))
  estimate = without_overlaps(estimate)
  levels = sorted({row[4] for row in estimate})
  points = [
    columns([row[:4] for row in estimate if row[4] >= level])
    for level in levels
  ]
  for overlap in ("error", "merge"):
    params = replace(
      PSDS2,
      max_efpr_per_hour=2000.0,
      overlap=overlap,
      point_time_decimals=6,
    )
    common = {"durations": DURATIONS, "labels": LABELS, "params": params}
    exact = psds_metrics(reference, columns(estimate), **common)["psds"]
    listed = psds_metrics(reference, points, **common)["psds"]
    assert exact == pytest.approx(listed, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_overlapping_scored_events_merge_at_every_score(seed):
  reference, estimate, _ = tables(seed)
  reference = columns(without_overlaps(reference))
  points = [
    columns([row[:4] for row in estimate if row[4] >= level])
    for level in sorted({row[4] for row in estimate})
  ]
  params = replace(
    PSDS2, max_efpr_per_hour=2000.0, overlap="merge", point_time_decimals=6
  )
  common = {"durations": DURATIONS, "labels": LABELS, "params": params}
  exact = psds_metrics(reference, columns(estimate), **common)["psds"]
  listed = psds_metrics(reference, points, **common)["psds"]
  assert exact == pytest.approx(listed, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_optimal_matches_at_least_as_many(seed):
  reference, estimate, _ = tables(seed, num_files=1)
  tp = [
    event_metrics(
      columns(reference),
      columns(estimate),
      labels=LABELS,
      params=EventParams(start_collar_seconds=2, matching=matching),
      files=FILES,
    )["tp"]
    for matching in ("greedy", "optimal")
  ]
  assert tp[0] <= tp[1]


def test_increasing_map_of_scores_changes_nothing():
  generator = np.random.default_rng(3)
  reference = columns(without_overlaps(random_rows(generator)))
  scores = random_scores(generator)
  mapped = FrameScores(
    {name: np.exp(3 * item) for name, item in scores.scores.items()},
    scores.boundaries_seconds,
    scores.labels,
  )
  for params in (PSDS1, PSDS2):
    common = {"durations": DURATIONS, "labels": LABELS, "params": params}
    values = [
      psds_metrics(reference, item, **common)["psds"]
      for item in (scores, mapped)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-12)
  targets = generator.random((30, 2)) < 0.4
  values = generator.integers(0, 9, (30, 2)) / 9
  first, second = (
    tagging_metrics(targets, item, labels="ab").to_dict()
    for item in (values, np.exp(values))
  )
  assert first == second


@pytest.mark.parametrize(
  "scores",
  [
    np.full((1, 3), 0.5),  # one frame
    np.full((8, 3), 0.5),  # constant
    np.zeros((8, 3)),
    np.tile([[0.0], [1.0]], (4, 3)),
  ],
)
def test_edge_cases_of_scores(scores):
  bounds = np.linspace(0, 20, len(scores) + 1)
  frames = FrameScores(dict.fromkeys(FILES, scores), bounds, LABELS)
  reference = columns([("f0", 1, 2, "a"), ("f0", 18, 19.5, "b")])
  points = [events_at(frames, level) for level in (0.75, 0.25, -1)]
  for params in (PSDS1, PSDS2):
    params = replace(params, max_efpr_per_hour=5000.0, point_time_decimals=6)
    common = {"durations": DURATIONS, "labels": LABELS, "params": params}
    exact = psds_metrics(reference, frames, **common)
    listed = psds_metrics(reference, points, **common)
    assert exact["psds"] == pytest.approx(listed["psds"], abs=1e-9)
    assert exact.skipped == {"c": "no reference"}


def slow_average_precision(reference, estimate, threshold):
  """The plain loop over detections of one class."""
  detections = sorted(estimate, key=lambda row: (-row[4], row[0], row[1]))
  used, hits = set(), []
  for file, start, end, *_ in detections:
    best, at = 0.0, None
    for i, (ref_file, ref_start, ref_end, _) in enumerate(reference):
      both = min(end, ref_end) - max(start, ref_start)
      if ref_file != file or i in used or both <= 0:
        continue
      iou = both / (end - start + ref_end - ref_start - both)
      if iou > best:
        best, at = iou, i
    hits.append(best >= threshold)
    if hits[-1]:
      used.add(at)
  if not hits:
    return 0.0
  true = np.cumsum(hits)
  precision = true / np.arange(1, len(hits) + 1)
  precision = np.maximum.accumulate(precision[::-1])[::-1]
  recall = true / len(reference)
  return float(np.sum(np.diff(recall, prepend=0) * precision))


@pytest.mark.parametrize("seed", range(10))
def test_temporal_map_is_the_plain_loop(seed):
  generator = np.random.default_rng(seed)
  reference = random_rows(generator, num_events=20, num_files=2, labels="ab")
  scores = generator.permutation(40) / 40
  estimate = [
    (*row, float(score))
    for row, score in zip(
      random_rows(generator, num_events=40, num_files=2, labels="ab"), scores
    )
  ]
  result = temporal_map(columns(reference), columns(estimate), files=FILES)
  for label in "ab":
    for threshold in result.params.thresholds:
      expected = slow_average_precision(
        [row for row in reference if row[3] == label],
        [row for row in estimate if row[3] == label],
        threshold,
      )
      value = result.class_wise[label][f"ap@{threshold:g}"]
      assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_references", [6, 12, 80])
@pytest.mark.parametrize("num_files", [1, 40])
def test_overlapping_pairs_are_all_that_overlap(num_files, num_references):
  # Many references per file take the search, few are compared one by one.
  generator = np.random.default_rng(num_references)
  common = {"num_files": num_files, "labels": "a"}
  reference, estimate = (
    columns(random_rows(generator, num_events=count, **common))
    for count in (num_references, 50)
  )
  files = [f"f{i}" for i in range(num_files)]
  problem = prepare(reference, estimate, files=files)
  est, ref = problem.estimate, problem.reference
  expected = {
    (i, j)
    for i in range(est.num_events)
    for j in range(ref.num_events)
    if est.file[i] == ref.file[j]
    and est.start[i] < ref.end[j]
    and ref.start[j] < est.end[i]
  }
  found = list(zip(*(rows.tolist() for rows in overlapping_pairs(est, ref))))
  assert len(found) == len(set(found))
  assert set(found) == expected


def test_masks():
  generator = np.random.default_rng(0)
  reference = {name: generator.random((5, 4, 3)) < 0.4 for name in "xy"}
  estimate = {name: generator.random((5, 4, 3)) for name in "xy"}
  result = mask_metrics(reference, estimate, labels=LABELS)
  for i, label in enumerate(LABELS):
    both = either = 0
    for name in "xy":
      on = estimate[name][..., i] > 0.5
      both += (on & reference[name][..., i]).sum()
      either += (on | reference[name][..., i]).sum()
    assert result.class_wise[label]["iou"] == pytest.approx(both / either)
    dice = 2 * both / (both + either)
    assert result.class_wise[label]["dice"] == pytest.approx(dice)
  with pytest.raises(ValueError, match=r"\(5, 4, 2\).*\(5, 4, 3\)"):
    mask_metrics(
      {"x": reference["x"]}, {"x": estimate["x"][..., :2]}, labels=LABELS
    )
  square = np.zeros((4, 4), bool)
  square[:2] = True
  found = {"x": [("a", square, 0.9), ("a", ~square, 0.95)]}
  result = mask_map({"x": [("a", square)]}, found, labels="a")
  assert result["map"] == pytest.approx(0.5)


def test_masks_equal_keras():
  keras = pytest.importorskip("keras", reason="keras is not installed")
  generator = np.random.default_rng(1)
  reference = generator.random((6, 5, 1)) < 0.5
  estimate = generator.random((6, 5, 1))
  metric = keras.metrics.BinaryIoU(target_class_ids=[1], threshold=0.5)
  metric.update_state(reference, estimate)
  result = mask_metrics({"x": reference}, {"x": estimate}, labels="a")
  assert result["iou_macro"] == pytest.approx(float(metric.result()), abs=1e-6)


def test_box_iou():
  assert box_iou([0, 0, 2, 2], [1, 1, 3, 3]) == pytest.approx(1 / 7)
  assert box_iou([0, 0, 1, 1], [2, 2, 3, 3]) == 0
