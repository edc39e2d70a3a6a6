"""What is accepted, what is refused and what every switch changes."""

import copy
import functools
import json
import subprocess
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.metrics.tables import columns
from yoho_tf.metrics import (
  FrameScores,
  box_map,
  evaluate,
  event_metrics,
  intersection_metrics,
  psds_metrics,
  segment_metrics,
  tagging_metrics,
  temporal_map,
)
from yoho_tf.params import (
  METRIC_PRESETS,
  PSDS1,
  PSDS2,
  BootstrapParams,
  BoxParams,
  EventParams,
  IntersectionParams,
  PSDSParams,
  SegmentParams,
  TaggingParams,
  TemporalParams,
)

REFERENCE = [("x", 0, 2, "dog"), ("x", 3, 5, "cat"), ("y", 1, 4, "dog")]
ESTIMATE = [
  ("x", 0.1, 2, "dog", 0.9),
  ("x", 3, 4, "dog", 0.6),
  ("y", 1, 4, "cat", 0.4),
  ("y", 6, 7, "dog", 0.2),
]
DURATIONS = {"x": 10.0, "y": 10.0}


def scores(value=0.5, frames=10, **changes):
  values = np.full((frames, 2), value)
  values[::3, 0] = 0.9
  settings = {
    "scores": {"x": values, "y": values[::-1]},
    "boundaries_seconds": np.arange(frames + 1.0),
    "labels": ("dog", "cat"),
    **changes,
  }
  return FrameScores(**settings)


def with_row(rows, row):
  return columns([*rows, row])


@pytest.mark.parametrize(
  ("reference", "message"),
  [
    (("x", np.nan, 2, "dog"), "reference: times must be finite.*row 3"),
    (("x", 1, np.inf, "dog"), "reference: times must be finite"),
    (("x", -1, 2, "dog"), "reference: times must be >= 0"),
    (("x", 2, 2, "dog"), "reference: end must be greater than start"),
    (("x", 2, 1, "dog"), "reference: end must be greater than start"),
    (("x", 1, 2, ""), "reference: label must be a non-empty text"),
    (("x", np.nan, np.nan, "dog"), "reference: times must be finite"),
  ],
)
def test_bad_rows(reference, message):
  for metric in (segment_metrics, event_metrics):
    with pytest.raises(ValueError, match=message):
      metric(with_row(REFERENCE, reference), columns(ESTIMATE))
  result = event_metrics(
    with_row(REFERENCE, reference), columns(ESTIMATE), drop_invalid=True
  )
  assert result.notes["reference_rows_dropped"] == 1
  assert result["f1_micro"] == good()["f1_micro"]


def good(**settings):
  return event_metrics(columns(REFERENCE), columns(ESTIMATE), **settings)


def test_known_empty_files():
  table = with_row(REFERENCE, ("z", np.nan, np.nan, ""))
  assert event_metrics(table, columns(ESTIMATE)).num_files == 3
  with pytest.raises(ValueError, match="estimate: file .*match='basename'"):
    event_metrics(table, with_row(ESTIMATE, ("w", 0, 1, "dog", 0.5)))
  annotations = SimpleNamespace(
    events=SimpleNamespace(**columns(REFERENCE)),
    known_empty=("z",),
    durations={},
  )
  assert event_metrics(annotations, columns(ESTIMATE)).num_files == 3


def test_unknown_labels():
  table = with_row(ESTIMATE, ("x", 0, 1, "dogg", 0.5))
  with pytest.raises(ValueError, match="estimate: label .*did you mean 'dog'"):
    event_metrics(columns(REFERENCE), table)
  result = event_metrics(columns(REFERENCE), table, unknown_labels="ignore")
  assert result.notes["unknown_labels_ignored"] == 1
  assert result["f1_micro"] == good()["f1_micro"]
  with pytest.raises(ValueError, match="labels: each name once"):
    good(labels=["dog", "dog", "cat"])


def test_unknown_files_and_match():
  table = columns([("audio/x.wav", *ESTIMATE[0][1:])])
  reference = columns([("x", *REFERENCE[0][1:])])
  common = {"durations": {"x": 10}}
  with pytest.raises(ValueError, match="estimate: file must be in the file"):
    event_metrics(reference, table, **common)
  result = event_metrics(reference, table, match="stem", **common)
  assert result["tp"] == 1
  result = event_metrics(reference, table, unknown_files="ignore", **common)
  assert (result["tp"], result.notes["unknown_files_ignored"]) == (0, 1)
  two = columns([("a/x.wav", 0, 1, "dog"), ("b/x.wav", 0, 1, "dog")])
  with pytest.raises(ValueError, match="match: keys must tell files apart"):
    event_metrics(reference, two, match="stem", **common)


def test_files_of_scores_match_like_those_of_tables():
  source = scores()
  bounds = source.boundaries_seconds
  renamed = FrameScores(
    {f"audio/{name}.wav": values for name, values in source.scores.items()},
    bounds,
    source.labels,
  )
  common = {"durations": DURATIONS, "params": PSDS1}
  with pytest.raises(ValueError, match="scores: file .*match='stem'"):
    psds_metrics(columns(REFERENCE), renamed, **common)
  found = psds_metrics(columns(REFERENCE), renamed, match="stem", **common)
  expected = psds_metrics(columns(REFERENCE), source, **common)
  assert found["psds"] == expected["psds"]
  twice = FrameScores(
    {**renamed.scores, "x.flac": renamed.scores["audio/x.wav"]},
    bounds,
    source.labels,
  )
  with pytest.raises(ValueError, match="match: keys must tell files apart"):
    psds_metrics(columns(REFERENCE), twice, match="stem", **common)


def test_durations():
  table = {"filename": ["x", "y", "x"], "duration": [10, 10, 10]}
  frame_like = type(
    "Table",
    (),
    {
      "columns": list(table),
      "__getitem__": lambda self, key: np.array(table[key]),
    },
  )()
  assert good(durations=frame_like).num_files == 2
  table["duration"][2] = 11
  with pytest.raises(ValueError, match="durations: one value per file"):
    good(durations=frame_like)
  with pytest.raises(ValueError, match="durations: a finite number > 0"):
    good(durations={"x": np.nan, "y": 1})
  result = good(durations={"x": 4.0, "y": 10.0})
  assert result.notes["reference_beyond_duration"] == 1


@pytest.mark.parametrize(
  ("source", "message"),
  [
    (scores(np.nan), "scores: must be finite"),
    (
      scores(labels=("dog", "cow")),
      "scores: (column must be one of|needs a column)",
    ),
    (scores(boundaries_seconds=np.zeros(11)), "boundaries_seconds: must incr"),
    (scores(frames=14), "boundaries_seconds: end of 'x'"),
    (
      scores(boundaries_seconds=np.arange(10.0)),
      r"scores: .*\(9, 2\), received \(10, 2\)",
    ),
    (scores(scores={"x": np.zeros((10, 2))}), "scores: needs every file.*'y'"),
  ],
)
def test_bad_scores(source, message):
  with pytest.raises(ValueError, match=message):
    psds_metrics(
      columns(REFERENCE), source, durations=DURATIONS, labels=("dog", "cat")
    )


def test_other_errors():
  none = columns([])
  for metric in (event_metrics, intersection_metrics, temporal_map):
    with pytest.raises(ValueError, match="reference: .*at least one event"):
      metric(none, none, labels=["dog"])
  assert segment_metrics(none, none, labels=["dog"])["tp"] == 0
  with pytest.raises(ValueError, match="durations: PSDS needs"):
    psds_metrics(columns(REFERENCE), columns(ESTIMATE))
  with pytest.raises(ValueError, match="estimate: .*score"):
    temporal_map(columns(REFERENCE), columns([row[:4] for row in ESTIMATE]))
  with pytest.raises(ValueError, match="estimate: score must be finite"):
    temporal_map(
      columns(REFERENCE), with_row(ESTIMATE, ("x", 0, 1, "dog", np.inf))
    )
  with pytest.raises(ValueError, match="nyquist_hz: needed"):
    box_map(columns(REFERENCE), columns(ESTIMATE))
  with pytest.raises(ValueError, match="targets: at least one positive"):
    tagging_metrics(np.zeros((2, 1)), np.zeros((2, 1)), labels="a")
  with pytest.raises(ValueError, match="reference: needs a column start"):
    event_metrics({"filename": [], "label": []}, none)


@pytest.mark.parametrize(
  "settings",
  [{"cttc": 0.3}, {"alpha_ct": 0.5}, {"dtc": 0.0}, {"overlap": "ignore"}],
)
def test_bad_params(settings):
  with pytest.raises(ValueError, match=next(iter(settings))):
    PSDSParams(**settings)


def test_inputs_are_not_modified():
  tables = columns(REFERENCE), columns(ESTIMATE)
  source = scores()
  before = copy.deepcopy((tables, source.scores, DURATIONS))
  evaluate(*tables, durations=DURATIONS, scores=source)
  assert tables == before[0] and DURATIONS == before[2]
  for name, values in source.scores.items():
    assert np.array_equal(values, before[1][name])


def test_data_frame_index_is_not_used():
  pd = pytest.importorskip("pandas", reason="pandas is not installed")
  frames = []
  for rows in (REFERENCE, ESTIMATE):
    frame = pd.DataFrame(columns(rows)).rename(
      columns={"start": "onset", "end": "offset", "label": "event_label"}
    )
    frame["index"] = frame["Unnamed: 0"] = 0
    frame.index = [0] * len(frame)
    frames.append(frame)
  before = [frame.copy() for frame in frames]
  result = event_metrics(*frames, durations=DURATIONS)
  assert result.to_dict() == good(durations=DURATIONS).to_dict()
  for frame, old in zip(frames, before):
    pd.testing.assert_frame_equal(frame, old)


def test_event_tables():
  from yoho_tf.events import Event, EventTable

  tables = [
    EventTable.from_rows(
      Event(row[1], row[2], row[3], filename=row[0], score=score)
      for row, score in zip(rows, (0.9, 0.6, 0.4, 0.2))
    )
    for rows in (REFERENCE, ESTIMATE)
  ]
  result = event_metrics(*tables, durations=DURATIONS)
  assert result.to_dict() == good(durations=DURATIONS).to_dict()


# Every switch: the default, another value, and a number that it changes.
LONG = columns([("x", 0.0, 2.0, "dog"), ("x", 4.0, 7.0, "dog")])
NEAR = columns([("x", 0.2, 2.0, "dog", 0.9), ("x", 4.0, 7.55, "dog", 0.8)])
LATE = columns([("x", 0.0, 2.0, "dog", 0.9), ("x", 12.0, 13.0, "dog", 0.9)])


def segment(key, reference=LONG, estimate=LATE, **settings):
  return segment_metrics(
    reference,
    estimate,
    durations={"x": 10.0},
    labels=settings.pop("labels", ["dog"]),
    params=SegmentParams(**settings),
  )[key]


def event(key, reference=LONG, estimate=NEAR, **settings):
  labels = settings.pop("labels", ["dog"])
  params = EventParams(**settings)
  return event_metrics(reference, estimate, labels=labels, params=params)[key]


def score(reference=LONG, estimate=NEAR, **settings):
  labels = settings.pop("labels", ["dog"])
  return psds_metrics(
    reference,
    estimate,
    durations={"x": 10.0},
    labels=labels,
    params=PSDSParams(**{"max_efpr_per_hour": 1000.0, **settings}),
  )["psds"]


def area(**settings):
  targets = [[1], [0], [0], [1], [0]]
  values = [[0.9], [0.5], [0.5], [0.5], [0.1]]
  result = tagging_metrics(
    targets, values, labels="a", params=TaggingParams(**settings)
  )
  return result["pauroc_macro"]


TOUCHING = columns([("x", 0, 2, "dog", 0.9), ("x", 1, 3, "dog", 0.8)])
CROSSED = columns([("x", 0, 2, "dog"), ("x", 5, 7, "cat"), ("x", 8, 9, "cow")])
CROSSING = columns([("x", 0, 2, "dog", 0.2), ("x", 5, 7, "dog", 0.9)])
PATH = columns([("x", 1.5, 3, "dog"), ("x", 1.0, 3, "dog")])
PATH_FOUND = columns([("x", 1.25, 3, "dog"), ("x", 1.75, 3, "dog")])
CT = {"labels": ["dog", "cat", "cow"], "cttc": 0.3, "alpha_ct": 1.0}
TIE = columns([("x", 0.7, 5.0, "dog")])
TIE_FOUND = columns([("x", 0.9, 5.0, "dog")])  # .2 apart, plus one rounding


@pytest.mark.parametrize(
  ("compute", "fixed", "name", "default", "other"),
  [
    (segment, ("tn",), "resolution_seconds", 1.0, 0.01),
    (segment, ("tn",), "evaluated_length", "auto", "longest_event"),
    (
      lambda **s: event(
        "f1_macro",
        columns([("x", 0, 1, "dog"), ("x", 0, 1, "cat")]),
        columns([("x", 0, 1, "dog")]),
        labels=["dog", "cat"],
        **s,
      ),
      (),
      "empty_system",
      "zero",
      "nan",
    ),
    (event, ("tp",), "start_collar_seconds", 0.2, 0.1),
    (
      lambda **s: event("tp", LONG, NEAR, end_collar_ratio=0.0, **s),
      (),
      "end_collar_seconds",
      0.2,
      0.6,
    ),
    (event, ("tp",), "end_collar_ratio", 0.2, 0.1),
    (
      lambda **s: event("tp", LONG, NEAR, end_collar_ratio=0.0, **s),
      (),
      "match_end",
      True,
      False,
    ),
    (
      lambda **s: event("tp", PATH, PATH_FOUND, start_collar_seconds=0.25, **s),
      (),
      "matching",
      "optimal",
      "greedy",
    ),
    (
      lambda **s: event("tp", TIE, TIE_FOUND, **s),
      (),
      "time_decimals",
      None,
      6,
    ),
    (
      lambda **s: event("f1_macro", labels=["dog", "cat"], **s),
      (),
      "absent_classes",
      "exclude",
      "zero",
    ),
    (
      lambda **s: segment("f1_macro", labels=["dog", "cat"], **s),
      (),
      "absent_classes",
      "exclude",
      "zero",
    ),
    (
      lambda **s: score(labels=["dog", "cat"], **s),
      (),
      "absent_classes",
      "exclude",
      "zero",
    ),
    (
      lambda **s: score(CROSSED, CROSSING, **CT, **s),
      (),
      "ct_mean",
      "other",
      "all",
    ),
    (
      lambda **s: score(
        LONG, columns([("x", 0, 2, "dog", 0.5), ("x", 12, 13, "dog", 0.9)]), **s
      ),
      (),
      "count_outside_fp",
      False,
      True,
    ),
    (
      lambda **s: score(
        LONG,
        [
          columns([("x", 0, 2, "dog"), ("x", 4, 7, "dog")]),
          columns([("x", 0, 2, "dog"), ("x", 8, 9, "dog")]),
        ],
        **s,
      ),
      (),
      "non_oracle",
      False,
      True,
    ),
    (score, (), "dtc", 0.5, 0.99),
    (score, (), "gtc", 0.5, 0.99),
    (
      lambda **s: score(
        LONG, columns([("x", 0, 2, "dog", 0.5), ("x", 8, 9, "dog", 0.9)]), **s
      ),
      (),
      "max_efpr_per_hour",
      1000.0,
      100.0,
    ),
    (
      lambda **s: score(labels=["dog", "cat"], absent_classes="zero", **s),
      (),
      "alpha_st",
      0.0,
      1.0,
    ),
    (area, (), "auroc", "linear", "staircase"),
    (area, (), "mcclish", False, True),
    (area, (), "max_fpr", 0.1, 1.0),
  ],
)
def test_switches(compute, fixed, name, default, other):
  value = compute(*fixed)
  assert compute(*fixed, **{name: default}) == value
  assert compute(*fixed, **{name: other}) != value


def test_segment_rounding():
  reference = columns([("x", 0.0, 1.0000000001, "dog")])
  results = [
    segment_metrics(
      reference, reference, params=SegmentParams(time_decimals=decimals)
    )["tp"]
    for decimals in (None, 6)
  ]
  assert results == [2, 1]


def test_overlap_switch():
  common = {"durations": {"x": 10.0}, "labels": ["dog"]}
  long = columns([("x", 0, 3, "dog")])
  with pytest.raises(ValueError, match="estimate: .*overlap='merge'"):
    psds_metrics(long, TOUCHING, **common)
  values = {
    overlap: psds_metrics(
      long,
      TOUCHING,
      params=PSDSParams(gtc=0.9, overlap=overlap),
      **common,
    ).counts["changes"]
    for overlap in ("merge", "keep")
  }
  assert values["merge"].score.tolist() == [0.8]
  assert values["keep"].score.tolist() == [0.8]
  merged = intersection_metrics(
    TOUCHING, long, params=IntersectionParams(overlap="merge"), **common
  )
  kept = intersection_metrics(
    TOUCHING, long, params=IntersectionParams(overlap="keep"), **common
  )
  assert (merged["tp"], kept["tp"]) == (1, 2)


def test_point_rounding():
  # .3 / .6 is just below one half in floats, and rounding lifts it.
  reference = columns([("x", 0.7, 1.0, "dog")])
  estimate = columns([("x", 0.4, 1.0, "dog")])
  common = {"durations": {"x": 10.0}}
  tp = [
    intersection_metrics(
      reference,
      estimate,
      params=IntersectionParams(time_decimals=decimals, cttc=None),
      **common,
    )["tp"]
    for decimals in (None, 6)
  ]
  assert tp[1] == 1 and tp[0] in (0, 1)


def test_average_precision_switches():
  estimate = columns(
    [("x", 0, 2, "dog", 0.9), ("x", 3, 4, "dog", 0.8), ("x", 4, 7, "dog", 0.7)]
  )
  values = [
    temporal_map(LONG, estimate, params=TemporalParams(**settings))["map@0.5"]
    for settings in (
      {},
      {"interpolation": "all"},
      {"interpolation": "101"},
      {"max_detections": 1},
    )
  ]
  assert values[0] == values[1] != values[2]
  assert values[3] == 0.5
  assert BoxParams().interpolation == "101"
  assert BoxParams().max_detections == 100


def test_defaults_and_presets():
  assert TemporalParams().interpolation == "all"
  bootstrap = BootstrapParams()
  assert asdict(bootstrap) == {
    "method": "balanced",
    "num_samples": 100,
    "confidence": 0.9,
    "seed": 0,
  }
  assert (PSDS1.dtc, PSDS1.gtc, PSDS1.cttc) == (0.7, 0.7, None)
  assert (PSDS1.alpha_ct, PSDS1.alpha_st) == (0.0, 1.0)
  assert (PSDS2.dtc, PSDS2.gtc, PSDS2.cttc) == (0.1, 0.1, 0.3)
  assert (PSDS2.alpha_ct, PSDS2.alpha_st) == (0.5, 1.0)
  for params in (PSDS1, PSDS2):
    assert params.max_efpr_per_hour == 100
    assert (params.time_decimals, params.point_time_decimals) == (6, None)
    assert params.overlap == "error"
  assert set(METRIC_PRESETS) == {
    "desed",
    "sed_eval",
    "urban_sed",
    "tut2017",
    "music_speech",
    "maestro",
    "audioset_strong",
    "activitynet",
    "thumos",
  }
  urban = METRIC_PRESETS["urban_sed"].event
  assert urban == EventParams(
    start_collar_seconds=1.0, end_collar_seconds=1.0, end_collar_ratio=0.5
  )
  assert METRIC_PRESETS["audioset_strong"].psds1 == replace(PSDS1, alpha_st=0.0)


def test_report(tmp_path):
  report = evaluate(
    columns(REFERENCE), columns(ESTIMATE), durations=DURATIONS, scores=scores()
  )
  assert set(report.results) == {
    "segment",
    "event",
    "intersection",
    "temporal_iou",
    "psds1",
    "psds2",
    "tagging",
    "segment_scores",
  }
  assert report["segment_scores_map"] == pytest.approx(
    np.mean(list(report.best["segment"].average_precision.values()))
  )
  assert set(report.skipped) == {"boxes", "masks"}
  assert report["event_f1_macro"] == report["event"]["f1_macro"]
  assert report.best["segment"].oracle
  report.save(tmp_path / "report.json")
  saved = json.loads((tmp_path / "report.json").read_text())
  assert saved["results"]["event"]["overall"]["tp"] == report["event"]["tp"]
  report = evaluate(columns(REFERENCE), columns([row[:4] for row in ESTIMATE]))
  assert set(report.results) == {"segment", "event", "intersection"}
  assert report.skipped["psds1"] == "no scores"


def test_report_of_what_ranks():
  table, common = columns(ESTIMATE), {"durations": DURATIONS}
  loose = columns([row[:4] for row in ESTIMATE[:1]])
  psds2 = functools.partial(psds_metrics, params=PSDS2)
  report = evaluate(columns(REFERENCE), loose, scores=table, **common)
  assert report["event"]["tp"] == 1
  for name, function in (("temporal_iou", temporal_map), ("psds2", psds2)):
    expected = function(columns(REFERENCE), table, **common)
    assert report[name].macro == expected.macro
    assert report[name].overall == expected.overall
  points = {0.5: table, 0.8: loose}
  report = evaluate(
    columns(REFERENCE), scores=points, metrics=["psds1"], **common
  )
  assert set(report.results) == {"psds1"}
  expected = psds_metrics(columns(REFERENCE), points, params=PSDS1, **common)
  assert report["psds1"]["psds"] == expected["psds"]
  with pytest.raises(ValueError, match="metrics: name .*did you mean 'event'"):
    evaluate(columns(REFERENCE), loose, metrics=["evnt"])


def test_result(tmp_path):
  result = good(labels=["dog", "cat", "cow"])
  assert result.skipped == {"cow": "no reference"}
  result.save(tmp_path / "x.json")
  saved = json.loads((tmp_path / "x.json").read_text())
  assert "class_wise.cow.recall" in saved["non_finite"]
  assert saved["class_wise"]["cow"]["recall"] is None
  assert saved["params"]["matching"] == "optimal"
  with pytest.raises(KeyError, match="f1_micro"):
    result["f2"]
  pytest.importorskip("pandas", reason="pandas is not installed")
  table = result.to_df()
  assert table["label"].tolist() == ["dog", "cat", "cow", "macro", "micro"]
  assert table["f1"].tolist()[-1] == result["f1_micro"]
  pytest.importorskip("matplotlib", reason="matplotlib is not installed")
  curve = psds_metrics(
    columns(REFERENCE), scores(), durations=DURATIONS, params=PSDS2
  )
  assert len(curve.plot().lines) == 3


def test_import_is_light():
  code = (
    "import sys, yoho_tf.metrics; print([name for name in ('pandas', 'keras',"
    " 'tensorflow', 'sklearn', 'matplotlib') if name in sys.modules])"
  )
  out = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert out.stdout.strip() == "[]"
