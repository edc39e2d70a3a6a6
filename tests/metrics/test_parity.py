"""The same numbers as independent implementations, run live.

They come with the extra `[parity]`; where one is missing the test says so.
"""

import logging
import warnings

import numpy as np
import pytest

from tests.metrics.tables import (
  columns,
  random_rows,
  random_scores,
  without_overlaps,
)
from yoho_tf.metrics import (
  box_map,
  event_metrics,
  events_at,
  intersection_metrics,
  psds_metrics,
  segment_metrics,
  tagging_metrics,
)
from yoho_tf.params import (
  BoxParams,
  EventParams,
  PSDSParams,
  SegmentParams,
  TaggingParams,
)

hypothesis = pytest.importorskip(
  "hypothesis", reason="hypothesis is not installed: pip install '.[test]'"
)
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

RAISED = "is not installed: pip install '.[parity]'"
LABELS = ["a", "b", "c"]

# Times on a grid of 1/8 s and some thirds: edges touch, coincide and round.
TIMES = st.one_of(
  st.integers(0, 40).map(lambda i: i / 8),
  st.integers(0, 15).map(lambda i: i / 3),
)


@st.composite
def event_lists(draw):
  """Events that touch, overlap, are empty, or lie beyond the file."""
  rows = []
  for _ in range(draw(st.integers(0, 8))):
    start = draw(TIMES)
    length = draw(st.sampled_from([0.0, 0.125, 0.2, 1 / 3, 1.0, 2.5, 30.0]))
    file = draw(st.sampled_from(["x", "y"]))
    rows.append((file, start, start + length, draw(st.sampled_from(LABELS))))
  return rows


def sed_eval_rows(rows, file):
  return [
    {"onset": row[1], "offset": row[2], "event_label": row[3], "file": file}
    for row in rows
    if row[0] == file
  ]


def run_sed_eval(metric, reference, estimate, **lengths):
  import dcase_util

  for file in ("x", "y"):
    metric.evaluate(
      *(
        dcase_util.containers.MetaDataContainer(sed_eval_rows(rows, file))
        for rows in (reference, estimate)
      ),
      **lengths,
    )
  return metric.results_overall_metrics(), metric.results_class_wise_metrics()


def same(ours, theirs):
  assert ours == pytest.approx(theirs, abs=1e-12, rel=1e-12, nan_ok=True)


def same_class_wise(result, theirs, present):
  for label in present:
    for key, name in (
      ("f1", "f_measure"),
      ("precision", "precision"),
      ("recall", "recall"),
    ):
      same(result.class_wise[label][key], theirs[label]["f_measure"][name])
    same(
      result.class_wise[label]["er"], theirs[label]["error_rate"]["error_rate"]
    )


@settings(max_examples=60, deadline=None)
@given(
  event_lists(),
  event_lists(),
  st.sampled_from([1.0, 0.5, 0.1]),
  st.sampled_from([None, 3.3, 6.0]),
)
def test_segments_equal_sed_eval(reference, estimate, resolution, length):
  sed_eval = pytest.importorskip("sed_eval", reason=f"sed_eval {RAISED}")
  metric = sed_eval.sound_event.SegmentBasedMetrics(
    LABELS, time_resolution=resolution
  )
  lengths = {} if length is None else {"evaluated_length_seconds": length}
  overall, class_wise = run_sed_eval(metric, reference, estimate, **lengths)
  result = segment_metrics(
    columns(reference),
    columns(estimate),
    labels=LABELS,
    files=["x", "y"],
    durations=None if length is None else {"x": length, "y": length},
    params=SegmentParams(resolution_seconds=resolution, empty_system="nan"),
    zero_length="keep",
  )
  counts = metric.overall
  for name in ("tp", "fp", "fn", "tn"):
    assert result[name] == counts[f"N{name}"]
  for name, key in (
    ("substitutions", "S"),
    ("deletions", "D"),
    ("insertions", "I"),
  ):
    assert result.counts[name].sum() == counts[key]
  if counts["Nref"]:
    same(result["er_micro"], overall["error_rate"]["error_rate"])
    same(result["f1_micro"], overall["f_measure"]["f_measure"])
    same(result["recall_micro"], overall["f_measure"]["recall"])
    same(result["accuracy_micro"], overall["accuracy"]["accuracy"])
  present = [label for label in LABELS if metric.class_wise[label]["Nref"]]
  same_class_wise(result, class_wise, present)


@settings(max_examples=60, deadline=None)
@given(
  event_lists(),
  event_lists(),
  st.sampled_from([0.125, 0.2, 0.5, 1.0]),
  st.sampled_from([0.0, 0.2, 0.5]),
  st.booleans(),
  st.sampled_from(["greedy", "optimal"]),
  st.sampled_from(["zero", "nan"]),
)
def test_events_equal_sed_eval(
  reference, estimate, collar, ratio, match_end, matching, empty
):
  sed_eval = pytest.importorskip("sed_eval", reason=f"sed_eval {RAISED}")
  hypothesis.assume(reference)
  metric = sed_eval.sound_event.EventBasedMetrics(
    LABELS,
    t_collar=collar,
    percentage_of_length=ratio,
    evaluate_offset=match_end,
    event_matching_type=matching,
    empty_system_output_handling="zero_score" if empty == "zero" else None,
  )
  overall, class_wise = run_sed_eval(metric, reference, estimate)
  result = event_metrics(
    columns(reference),
    columns(estimate),
    labels=LABELS,
    files=["x", "y"],
    params=EventParams(
      start_collar_seconds=collar,
      end_collar_seconds=collar,
      end_collar_ratio=ratio,
      match_end=match_end,
      matching=matching,
      empty_system=empty,
    ),
    zero_length="keep",
  )
  assert result["tp"] == metric.overall["Ntp"]
  assert result["substitutions"] == metric.overall["Nsubs"]
  same(result["f1_micro"], overall["f_measure"]["f_measure"])
  same(result["er_micro"], overall["error_rate"]["error_rate"])
  present = [label for label in LABELS if metric.class_wise[label]["Nref"]]
  same_class_wise(result, class_wise, present)


def durations_of(scores):
  return {
    name: float(bounds[-1])
    for name, bounds in scores.boundaries_seconds.items()
  }


CRITERIA = [
  PSDSParams(dtc=0.7, gtc=0.7, alpha_st=1.0, max_efpr_per_hour=3000),
  PSDSParams(
    dtc=0.1,
    gtc=0.1,
    cttc=0.3,
    alpha_ct=0.5,
    alpha_st=1.0,
    max_efpr_per_hour=3000,
  ),
  PSDSParams(cttc=0.5, alpha_ct=1.0, max_efpr_per_hour=3000),
]


def complete_reference(generator, labels="abc"):
  """Events without overlap, at least one of every class."""
  rows = without_overlaps(random_rows(generator, num_events=10))
  rows += [("f0", 20.0 + i, 20.5 + i, label) for i, label in enumerate(labels)]
  return without_overlaps(rows)


@pytest.mark.parametrize("seed", range(12))
def test_exact_psds_equals_sed_scores_eval(seed):
  sse = pytest.importorskip(
    "sed_scores_eval", reason=f"sed_scores_eval {RAISED}"
  )
  from sed_scores_eval.base_modules import statistics
  from sed_scores_eval.base_modules.scores import create_score_dataframe

  generator = np.random.default_rng(seed)
  reference = complete_reference(generator)
  scores = random_scores(generator)
  durations = {name: 30.0 for name in scores.scores}
  original = statistics.onset_offset_curves

  def writable(values, *rest):  # pandas 3 hands out read-only arrays
    return original(np.array(values), *(
      None if item is None else np.array(item) for item in rest
    ))  # fmt: skip

  frames = {
    name: create_score_dataframe(
      values, scores.boundaries_seconds[name], LABELS
    )
    for name, values in scores.scores.items()
  }
  truth = {
    name: [row[1:] for row in reference if row[0] == name] for name in durations
  }
  statistics.onset_offset_curves = writable
  try:
    for params in CRITERIA:
      theirs = sse.intersection_based.psds(
        scores=frames,
        ground_truth=truth,
        audio_durations=durations,
        dtc_threshold=params.dtc,
        gtc_threshold=params.gtc,
        cttc_threshold=params.cttc,
        alpha_ct=params.alpha_ct,
        alpha_st=params.alpha_st,
        max_efpr=params.max_efpr_per_hour,
      )
      ours = psds_metrics(
        columns(reference), scores, durations=durations, params=params
      )
      same(ours["psds"], theirs[0])
      for label in LABELS:
        same(ours.class_wise[label]["psds"], theirs[1][label])
  finally:
    statistics.onset_offset_curves = original


def held_curve(x, xp, yp):
  """The highest of the points at or before x; 0 before the first."""
  before = np.asarray(xp)[None, :] <= np.asarray(x)[:, None]
  return np.where(before, np.asarray(yp)[None, :], 0.0).max(axis=1)


def repaired_psds_eval(monkeypatch):
  """psds_eval 0.5.3 with two repairs for numpy 2.4 and pandas 3."""
  module = pytest.importorskip("psds_eval.psds", reason=f"psds_eval {RAISED}")
  logging.getLogger("psds_eval").setLevel(logging.ERROR)
  monkeypatch.setattr(module.PSDSEval, "step_curve", staticmethod(held_curve))
  monkeypatch.setattr(
    module, "int", lambda value: np.asarray(value).reshape(-1)[0], raising=False
  )
  return module


def as_frame(table):
  import pandas as pd

  return pd.DataFrame(
    {
      "filename": list(table["filename"]),
      "onset": np.asarray(table["start"], float),
      "offset": np.asarray(table["end"], float),
      "event_label": list(table["label"]),
    }
  )


@pytest.mark.parametrize("seed", range(4))
def test_points_equal_psds_eval(seed, monkeypatch):
  psds_eval = repaired_psds_eval(monkeypatch)
  import pandas as pd

  generator = np.random.default_rng(100 + seed)
  reference = complete_reference(generator)
  scores = random_scores(generator)
  durations = {name: 30.0 for name in scores.scores}
  points = [events_at(scores, level) for level in (0.1, 0.3, 0.55, 0.8)]
  for params in CRITERIA:
    evaluator = psds_eval.PSDSEval(
      ground_truth=as_frame(columns(reference)),
      metadata=pd.DataFrame(
        {"filename": list(durations), "duration": list(durations.values())}
      ),
      class_names=LABELS,
      dtc_threshold=params.dtc,
      gtc_threshold=params.gtc,
      cttc_threshold=0.3 if params.cttc is None else params.cttc,
    )
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      for point in points:
        evaluator.add_operating_point(as_frame(point))
      theirs = evaluator.psds(
        alpha_ct=params.alpha_ct,
        alpha_st=params.alpha_st,
        max_efpr=params.max_efpr_per_hour,
      ).value
    ours = psds_metrics(
      columns(reference), points, durations=durations, params=params
    )
    assert ours["psds"] == pytest.approx(theirs, abs=1e-9)
    f1, class_f1 = evaluator.compute_macro_f_score(as_frame(points[1]))
    result = intersection_metrics(
      columns(reference),
      points[1],
      durations=durations,
      params=None,
    )
    if params.dtc == params.gtc == 0.5:
      for label in LABELS:
        assert np.nan_to_num(result.class_wise[label]["f1"]) == pytest.approx(
          np.nan_to_num(class_f1[label]), abs=1e-9
        )


@pytest.mark.parametrize("seed", range(5))
def test_tagging_equals_scikit_learn(seed):
  metrics = pytest.importorskip(
    "sklearn.metrics", reason=f"scikit-learn {RAISED}"
  )
  generator = np.random.default_rng(seed)
  targets = generator.random((60, 4)) < 0.3
  scores = generator.integers(0, 12, (60, 4)) / 12
  result = tagging_metrics(targets, scores, labels="abcd")
  for i, label in enumerate("abcd"):
    ours = result.class_wise[label]
    same(
      ours["ap"], metrics.average_precision_score(targets[:, i], scores[:, i])
    )
    same(ours["auroc"], metrics.roc_auc_score(targets[:, i], scores[:, i]))
  same(
    result["ap_micro"],
    metrics.average_precision_score(targets, scores, average="micro"),
  )
  rows = targets.any(axis=1)
  weight = targets[rows].sum(axis=1)
  same(
    result["lwlrap"],
    metrics.label_ranking_average_precision_score(
      targets[rows], scores[rows], sample_weight=weight
    ),
  )
  params = TaggingParams(max_fpr=0.3, mcclish=True)
  result = tagging_metrics(targets, scores, labels="abcd", params=params)
  for i, label in enumerate("abcd"):
    same(
      result.class_wise[label]["pauroc"],
      metrics.roc_auc_score(targets[:, i], scores[:, i], max_fpr=0.3),
    )


@pytest.mark.parametrize("seed", range(5))
def test_boxes_equal_pycocotools(seed, capsys):
  pytest.importorskip("pycocotools", reason=f"pycocotools {RAISED}")
  from pycocotools.coco import COCO
  from pycocotools.cocoeval import COCOeval

  generator = np.random.default_rng(seed)
  tables = {}
  for name, spread in (("reference", 0.0), ("estimate", 4.0)):
    rng = np.random.default_rng(seed)
    start, low = rng.uniform(0, 60, 24), rng.uniform(0, 60, 24)
    moved = (
      generator.normal(0, spread, (4, 24)) if spread else np.zeros((4, 24))
    )
    end = start + rng.uniform(20, 40, 24) + moved[0]
    high = low + rng.uniform(20, 40, 24) + moved[1]
    tables[name] = {
      "filename": [f"f{i % 3}" for i in range(24)],
      "start": np.maximum(start + moved[2], 0),
      "end": np.maximum(end, start + 10),
      "low_hz": np.maximum(low + moved[3], 0),
      "high_hz": np.maximum(high, low + 10),
      "label": ["ab"[i % 2] for i in range(24)],
      "score": generator.permutation(24) / 24,
    }
  reference, estimate = tables["reference"], tables["estimate"]
  coco = COCO()
  coco.dataset = {
    "info": {},
    "images": [{"id": i} for i in range(3)],
    "categories": [{"id": 1}, {"id": 2}],
    "annotations": [
      {
        "id": i + 1,
        "image_id": i % 3,
        "category_id": 1 + i % 2,
        "iscrowd": 0,
        **coco_box(reference, i),
      }
      for i in range(24)
    ],
  }
  coco.createIndex()
  found = coco.loadRes(
    [
      {
        "image_id": i % 3,
        "category_id": 1 + i % 2,
        "score": float(estimate["score"][i]),
        "bbox": coco_box(estimate, i)["bbox"],
      }
      for i in range(24)
    ]
  )
  evaluation = COCOeval(coco, found, "bbox")
  evaluation.evaluate()
  evaluation.accumulate()
  precision = evaluation.eval["precision"][
    :, :, :, 0, 2
  ]  # [iou, recall, class]
  result = box_map(reference, estimate, params=BoxParams())
  for i, threshold in enumerate(result.params.thresholds):
    for c, label in enumerate("ab"):
      assert result.class_wise[label][f"ap@{threshold:g}"] == pytest.approx(
        precision[i, :, c].mean(), abs=1e-9
      )


def coco_box(table, i):
  x, y = float(table["start"][i]), float(table["low_hz"][i])
  width = float(table["end"][i]) - x
  height = float(table["high_hz"][i]) - y
  return {"bbox": [x, y, width, height], "area": width * height}
