"""Numbers that other implementations give for public data and small cases."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.tables import (
  columns,
  pair_columns,
  read_columns,
  read_durations,
)
from yoho_tf.metrics import (
  FrameScores,
  box_map,
  event_metrics,
  events_at,
  intersection_metrics,
  psds_metrics,
  segment_metrics,
  soft_label_metrics,
  tagging_metrics,
  temporal_map,
)
from yoho_tf.params import (
  METRIC_PRESETS,
  PSDS1,
  PSDS2,
  BoxParams,
  EventParams,
  PSDSParams,
  SegmentParams,
  TaggingParams,
)

TOLERANCE = 1e-9


def near(value):
  return pytest.approx(value, abs=TOLERANCE, rel=0)


@pytest.fixture(scope="module")
def desed(shared):
  folder = shared / "metrics" / "desed_student"
  points = sorted((folder / "predictions_operating_points").iterdir())
  return {
    "folder": folder,
    "reference": read_columns(folder / "validation.tsv"),
    "estimate": read_columns(folder / "predictions0.5.csv"),
    "durations": read_durations(folder / "validation_durations.tsv"),
    "points": [read_columns(path) for path in points],
  }


@pytest.fixture(scope="module")
def lists(shared):
  return shared / "metrics" / "sed_eval" / "sound_event"


def test_desed_events(desed):
  result = event_metrics(desed["reference"], desed["estimate"])
  assert result["tp"] == 1543
  assert result.num_files == 1168
  assert result["f1_micro"] == near(0.40950106157112526)
  assert result["precision_micro"] == near(0.4658816425120773)
  assert result["recall_micro"] == near(0.3652935606060606)
  assert result["f1_macro"] == near(0.39872816179382786)
  assert result["er_micro"] == near(1.0291193181818183)
  assert result["substitution_rate_micro"] == near(0.024384469696969696)
  assert result["er_macro"] == near(1.185024601712633)
  rounded = event_metrics(
    desed["reference"], desed["estimate"], params=EventParams(time_decimals=6)
  )
  assert rounded["tp"] == 1544


def test_desed_segments(desed):
  tables = desed["reference"], desed["estimate"]
  result = segment_metrics(
    *tables,
    durations=desed["durations"],
    params=SegmentParams(evaluated_length="longest_event"),
  )
  assert result["f1_micro"] == near(0.7546578122117692)
  assert result["f1_macro"] == near(0.6935255609849056)
  assert result["er_micro"] == near(0.37519636934892653)
  assert result["accuracy_micro"] == near(0.951715374841169)
  result = segment_metrics(*tables, durations=desed["durations"])
  assert result["f1_micro"] == near(0.7548666851185534)
  assert result["f1_macro"] == near(0.6936210302174148)
  assert result["er_micro"] == near(0.3748362874356064)
  assert result["accuracy_micro"] == near(0.9542606300568084)
  assert result.total_seconds == near(sum(desed["durations"].values()))


def test_desed_class_wise(desed):
  path = desed["folder"] / "expected_sed_eval.json"
  expected = json.loads(path.read_text())["student"]
  tables = desed["reference"], desed["estimate"]
  results = {
    "event": event_metrics(*tables),
    "segment": segment_metrics(*tables),
  }
  for name, result in results.items():
    assert set(expected[name]["class_wise"]) == set(result.labels)
    for label, values in expected[name]["class_wise"].items():
      ours = result.class_wise[label]
      for key in ("precision", "recall"):
        assert ours[key] == near(values["f_measure"][key])
      assert ours["f1"] == near(values["f_measure"]["f_measure"])
      assert ours["er"] == near(values["error_rate"]["error_rate"])
      assert ours["tp"] + ours["fn"] == values["count"]["Nref"]
      assert ours["tp"] + ours["fp"] == values["count"]["Nsys"]
      for key, value in values["accuracy"].items():
        assert ours[key] == near(value)


def test_desed_intersections(desed):
  result = intersection_metrics(
    desed["reference"], desed["estimate"], durations=desed["durations"]
  )
  assert result["f1_macro"] == near(0.6374170478522705)
  assert result["f1_micro"] == near(0.7071866440589539)


def test_desed_psds(desed):
  settings = {
    PSDS1: 0.33446856021631743,
    PSDS2: 0.5281000255636458,
    replace(PSDS2, count_outside_fp=True): 0.5281048563171796,
    replace(PSDS2, ct_mean="all"): 0.5326955996111145,
  }
  results = psds_metrics(
    desed["reference"],
    desed["points"],
    durations=desed["durations"],
    params=tuple(settings),
  )
  for result, expected in zip(results, settings.values()):
    assert result["psds"] == near(expected)


def test_repeated_index_changes_nothing(desed):
  pd = pytest.importorskip("pandas", reason="pandas is not installed")
  reference, estimate = desed["reference"], desed["estimate"]
  frame = pd.DataFrame({name: estimate[name] for name in list(estimate)[1:]})
  frame.index = np.arange(len(frame)) % 7
  result = intersection_metrics(reference, frame, durations=desed["durations"])
  assert result["f1_macro"] == near(0.6374170478522705)


EXAMPLES = {
  (0.0, 0.0): (0.408129268266769, 0.4091415988067719),
  (0.0, 1.0): (0.2407326965784705, 0.2420814513935133),
  (1.0, 0.0): (0.29148466646251264, 0.2812881660775917),
  (0.5, 1.0): (0.17191775062839287, 0.16525936945861125),
}


def test_psds_eval_examples(shared):
  folder = shared / "metrics" / "psds_eval" / "examples"
  reference = read_columns(folder / "dcase2019t4_gt.csv")
  points = {
    path.stem: read_columns(path) for path in folder.glob("baseline_*.csv")
  }
  durations = read_durations(folder / "dcase2019t4_meta.csv")
  for (alpha_ct, alpha_st), expected in EXAMPLES.items():
    old = PSDSParams(
      cttc=0.3 if alpha_ct else None,
      alpha_ct=alpha_ct,
      alpha_st=alpha_st,
      overlap="keep",
      ct_mean="all",
    )
    new = replace(old, overlap="merge", ct_mean="other")
    for params, value in zip((old, new), expected):
      result = psds_metrics(
        reference, points, durations=durations, params=params
      )
      assert result["psds"] == near(value)
  with pytest.raises(ValueError, match="reference: .*overlap"):
    psds_metrics(reference, points, durations=durations)


SED_EVAL = METRIC_PRESETS["sed_eval"]
STREET = ("street_fold1_reference.txt", "street_fold1_detected.txt")
BINARY = [(f"binary{i}.txt", f"binary{i}_detected.txt") for i in range(1, 6)]
MINI = [("mini_reference.txt", f"mini_detected_{name}.txt") for name in "ab"]
OFFICE = [
  (f"office_snr0_{name}_v2.txt", f"office_snr0_{name}_v2_detected.txt")
  for name in ("high", "med")
]


@pytest.mark.parametrize(
  ("pairs", "resolution", "expected"),
  [
    (
      BINARY[:2],
      1.0,
      {
        "accuracy_micro": 2 / 3,
        "balanced_accuracy_micro": 0.75,
        "sensitivity_micro": 1.0,
        "specificity_micro": 0.5,
        "er_micro": 1.0,
        "f1_micro": 2 / 3,
      },
    ),
    (
      [("audioset1.txt", "audioset1_detected.txt")],
      1.0,
      {"accuracy_micro": 1.0, "er_micro": 0.0, "f1_micro": 1.0},
    ),
    (
      OFFICE,
      1.0,
      {"f1_micro": 0.4046242774566474, "er_micro": 0.8936170212765957},
    ),
    (
      OFFICE,
      0.1,
      {"f1_micro": 0.36955877998223274, "er_micro": 0.9796052631578946},
    ),
    (
      OFFICE,
      0.01,
      {"f1_micro": 0.36537556844911406, "er_micro": 0.9854446688488057},
    ),
  ],
)
def test_sed_eval_segments(lists, pairs, resolution, expected):
  reference, estimate = pair_columns(lists, pairs)
  labels = sorted({*reference["label"], *estimate["label"]})
  result = segment_metrics(
    reference,
    estimate,
    labels=labels,
    params=replace(SED_EVAL.segment, resolution_seconds=resolution),
  )
  for name, value in expected.items():
    assert result[name] == near(value)


def street_files(lists):
  """The street list names its files."""
  tables = []
  for name in STREET:
    rows = []
    for line in (lists / name).read_text().splitlines():
      fields = line.split("\t")
      rows.append((fields[0], float(fields[-3]), float(fields[-2]), fields[-1]))
    tables.append(columns(rows))
  return tables


def test_street_files(lists):
  reference, estimate = street_files(lists)
  result = segment_metrics(
    reference, estimate, params=SED_EVAL.segment, zero_length="keep"
  )
  durations = dict.fromkeys(reference["filename"], 1200.0)
  longer = segment_metrics(
    reference, estimate, durations=durations, zero_length="keep"
  )
  assert result["accuracy_micro"] == near(0.8424479166666666)
  assert longer["accuracy_micro"] == near(0.9719907407407408)
  for key in ("er_micro", "f1_micro"):
    assert longer[key] == near(result[key])
  result = event_metrics(reference, estimate, zero_length="keep")
  assert result["f1_micro"] == 0
  assert result["er_micro"] == near(2.535211267605634)
  result = event_metrics(
    reference,
    estimate,
    params=EventParams(match_end=False),
    zero_length="keep",
  )
  assert (result["tp"], result["substitutions"]) == (1, 1)
  assert result["f1_micro"] == near(0.005555555555555556)
  assert result["er_micro"] == near(2.5140845070422535)


def test_sed_eval_events(lists):
  reference, estimate = pair_columns(lists, BINARY[:2])
  result = event_metrics(reference, estimate, params=SED_EVAL.event)
  assert (result["f1_micro"], result["er_micro"]) == (near(2 / 3), 1.0)
  reference, estimate = pair_columns(lists, OFFICE)
  labels = sorted({*reference["label"], *estimate["label"]})
  for ratio, counts, f1 in (
    (0.5, (13, 22), 0.125),
    (0.2, (7, 13), 0.0673076923076923),
  ):
    result = event_metrics(
      reference,
      estimate,
      labels=labels,
      params=EventParams(end_collar_ratio=ratio),
    )
    assert (result["tp"], result["substitutions"]) == counts
    assert result["f1_micro"] == near(f1)
  result = event_metrics(
    reference, estimate, labels=labels, params=EventParams(match_end=False)
  )
  assert (result["tp"], result["substitutions"]) == (21, 23)
  assert result["f1_micro"] == near(0.20192307692307693)


def test_files_without_events(lists):
  """Rows that hold only a file name."""
  tables = []
  for name in BINARY[4]:
    rows = []
    for line in (lists / name).read_text().splitlines():
      fields = [field.strip() for field in line.split("\t")]
      if len(fields) == 1:
        rows.append((fields[0], np.nan, np.nan, ""))
      else:
        rows.append((fields[0], float(fields[1]), float(fields[2]), fields[3]))
    tables.append(columns(rows))
  result = event_metrics(*tables, params=SED_EVAL.event)
  assert result["f1_micro"] == 0
  assert result["er_micro"] == near(1.5)
  assert (result["tp"], result["fn"], result["fp"]) == (0, 4, 2)


@pytest.mark.parametrize("pair", MINI)
@pytest.mark.parametrize("matching", ["optimal", "greedy"])
def test_mini(lists, pair, matching):
  reference, estimate = pair_columns(lists, [pair])
  params = EventParams(
    start_collar_seconds=0.25, match_end=False, matching=matching
  )
  result = event_metrics(reference, estimate, params=params)
  assert result["f1_micro"] == 1.0


def cars(*times):
  return columns([("f", *time, "car") for time in times])


def test_inline_cases():
  reference = cars((0, 2.5), (2.8, 4.5), (6, 10))
  result = segment_metrics(reference, cars((1, 3.5), (7, 8)))
  assert result["accuracy_micro"] == 0.5
  assert result["er_micro"] == near(5 / 9)
  result = event_metrics(
    reference,
    cars((0.2, 3.5), (6, 8)),
    params=EventParams(end_collar_ratio=0.5),
  )
  assert result["f1_micro"] == near(0.8)
  assert result["er_micro"] == near(1 / 3)


def test_greedy_and_optimal():
  reference, estimate = cars((1.5, 3), (1.0, 3)), cars((1.25, 3), (1.75, 3))
  f1 = {
    matching: event_metrics(
      reference,
      estimate,
      params=EventParams(
        start_collar_seconds=0.25, match_end=False, matching=matching
      ),
    )["f1_micro"]
    for matching in ("greedy", "optimal")
  }
  assert f1 == {"greedy": 0.5, "optimal": 1.0}


def test_class_that_is_never_put_out():
  reference = columns([("f", 0, 1, "a"), ("f", 0, 1, "b")])
  estimate = columns([("f", 0, 1, "a")])
  for handling, expected in (("nan", 1.0), ("zero", 0.5)):
    params = EventParams(empty_system=handling)
    result = event_metrics(reference, estimate, params=params)
    assert result["f1_macro"] == expected


HAND_REFERENCE = columns(
  [
    ("x", 1, 3, "a"),
    ("x", 6, 8.5, "a"),
    ("x", 2, 6, "b"),
    ("y", 4, 7, "a"),
    ("y", 1, 4, "b"),
  ]
)
HAND_SCORES = FrameScores(
  {
    "x": np.array(
      [
        [0.1, 0.9, 0.8, 0.3, 0.2, 0.1, 0.6, 0.7, 0.2, 0.1],
        [0, 0.1, 0.4, 0.4, 0.5, 0.4, 0.1, 0, 0.2, 0.3],
      ]
    ).T,
    "y": np.array(
      [
        [0.2, 0.2, 0.1, 0.1, 0.5, 0.6, 0.5, 0.1, 0.1, 0.1],
        [0.1, 0.8, 0.9, 0.8, 0.2, 0.1, 0.1, 0.3, 0.6, 0.2],
      ]
    ).T,
  },
  np.arange(11.0),
  ("a", "b"),
)
HAND_DURATIONS = {"x": 10.0, "y": 10.0}


def hand_psds(estimate=HAND_SCORES, **settings):
  return psds_metrics(
    HAND_REFERENCE,
    estimate,
    durations=HAND_DURATIONS,
    params=PSDSParams(**settings),
  )


def test_psds_by_hand():
  both = psds_metrics(
    HAND_REFERENCE,
    HAND_SCORES,
    durations=HAND_DURATIONS,
    params=(PSDS1, PSDS2),
  )
  assert both[0]["psds"] == near(0.5)
  assert both[0].class_wise["a"]["psds"] == near(1.0)
  assert both[0].class_wise["b"]["psds"] == near(0.5)
  assert both[1]["psds"] == near(1.0)
  wide = {"cttc": 0.3, "alpha_ct": 1.0, "max_efpr_per_hour": 1000}
  assert hand_psds(**wide)["psds"] == near(0.955)
  assert hand_psds(**wide, non_oracle=True)["psds"] == near(0.915)
  strict = {"dtc": 0.7, "gtc": 0.7, "max_efpr_per_hour": 1000}
  assert hand_psds(**strict)["psds"] == near(0.955)
  value = hand_psds(**strict, non_oracle=True)["psds"]
  assert value == near(0.588333333333333)
  points = {level: events_at(HAND_SCORES, level) for level in (0.35, 0.5)}
  assert hand_psds(points, **wide)["psds"] == near(0.91)


def test_operating_point_by_hand():
  estimate = events_at(HAND_SCORES, 0.35)
  result = intersection_metrics(
    HAND_REFERENCE, estimate, durations=HAND_DURATIONS
  )
  assert result["f1_macro"] == near(0.9)
  f1 = event_metrics(HAND_REFERENCE, estimate)["f1_micro"]
  assert f1 == near(10 / 11)
  f1 = segment_metrics(HAND_REFERENCE, estimate)["f1_micro"]
  assert f1 == near(14 / 15)


TARGETS = [list(map(int, row)) for row in "100 011 000 110 001 010".split()]
SCORES = [
  (0.9, 0.2, 0.1),
  (0.4, 0.6, 0.3),
  (0.1, 0.3, 0.3),
  (0.4, 0.8, 0.5),
  (0.2, 0.1, 0.7),
  (0.6, 0.5, 0.2),
]


@pytest.mark.parametrize(
  ("settings", "auroc", "partial"),
  [
    ({}, (0.8125, 1, 0.8125), (0.625, 1, 0.625)),
    ({"auroc": "staircase"}, (0.75, 1, 0.75), (0.5, 1, 0.5)),
    ({"mcclish": True}, (0.8125, 1, 0.8125), (0.75, 1, 0.75)),
  ],
)
def test_tagging(settings, auroc, partial):
  params = TaggingParams(max_fpr=0.5, **settings)
  result = tagging_metrics(TARGETS, SCORES, labels="abc", params=params)
  values = [result.class_wise[label] for label in "abc"]
  assert [value["ap"] for value in values] == near([0.75, 1, 0.75])
  assert [value["auroc"] for value in values] == near(list(auroc))
  assert [value["pauroc"] for value in values] == near(list(partial))
  assert result["ap_micro"] == near(0.823469387755102)
  assert result["lwlrap"] == near(5 / 6)
  assert values[1]["dprime"] == np.inf
  if not settings:
    assert result["dprime"] == near(1.626839695195)


def test_temporal_iou():
  reference = {
    **columns([("f", 0, 4, "a"), ("f", 5, 9, "a")]),
    "low_hz": [100, 100],
    "high_hz": [1000, 1000],
  }
  estimate = {
    **columns(
      [
        ("f", 0, 3, "a", 0.9),
        ("f", 0.5, 4, "a", 0.8),
        ("f", 5, 8, "a", 0.7),
        ("f", 8, 10, "a", 0.6),
      ]
    ),
    "low_hz": [100] * 4,
    "high_hz": [1000] * 4,
  }
  result = temporal_map(reference, estimate)
  for threshold in ("0.5", "0.75"):
    assert result[f"map@{threshold}"] == near(5 / 6)
  for threshold in ("0.8", "0.85"):
    assert result[f"map@{threshold}"] == near(0.25)
  for axis in ("hz", "mel"):
    boxes = box_map(reference, estimate, params=BoxParams(frequency_axis=axis))
    assert boxes["map@0.5"] == near(0.834983498349835)
    assert boxes["map@0.8"] == near(0.252475247524752)


def test_soft_labels():
  rows = [
    ("f", second, second + 1, label, value)
    for label, values in (("a", (0.2, 0.6, 0.5, 1)), ("b", (0, 0.1, 0.9, 0.7)))
    for second, value in enumerate(values)
  ]
  scores = np.array([[0.3, 0.7, 0.6, 0.4], [0.1, 0.6, 0.8, 0.2]]).T
  estimate = FrameScores({"f": scores}, np.arange(5.0), ("a", "b"))
  result = soft_label_metrics(columns(rows), estimate)
  assert result["f1_micro"] == near(0.5)
  assert result["f1_macro"] == near(0.5)
  assert result["er_micro"] == near(1.0)
  assert result["f1_macro_optimal"] == near(0.8)
  assert result.class_wise["a"]["threshold"] == near(0.35)
  assert result.class_wise["b"]["threshold"] == near(0.15)
  assert result["mauc"] == near(0.75)
  assert result["mean_absolute_error"] == near(0.2625)
