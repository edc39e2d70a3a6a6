"""Detections and Tags: views of the same data never disagree."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from yoho_tf.events import Event, EventTable
from yoho_tf.results import Detections, Tags

pytestmark = pytest.mark.edge

LABELS = ("Dog", "Rain", "Siren")


def make_detections(**changes):
  events = EventTable.from_rows(
    [
      Event(0.0, 1.0, "Dog", 0.9),
      Event(2.0, 2.5, "Dog", 0.4),
      Event(1.0, 3.0, "Siren", 0.6),
      Event(3.0, 3.5, "Siren"),
    ]
  )
  fields = {
    "events": events,
    "labels": LABELS,
    "duration_seconds": 4.0,
    "scores": np.linspace(0, 1, 36).reshape(12, 3),
    "cell_seconds": 0.32,
    "filename": "a.wav",
    "model": "preset",
  }
  return Detections(**{**fields, **changes})


def make_tags(scores, *, duration_seconds=None, **changes):
  """Tags with patches of 0.96 s every 0.48 s."""
  scores = np.array(scores, np.float32)
  start = 0.48 * np.arange(len(scores))
  fields = {
    "labels": LABELS[: scores.shape[1]],
    "scores": scores,
    "embeddings": None,
    "start": start,
    "end": start + 0.96,
    "valid_fraction": np.ones(len(scores)),
    "clip_scores": scores.mean(axis=0),
    "duration_seconds": duration_seconds or start[-1] + 0.96,
    "filename": "a.wav",
  }
  return Tags(**{**fields, **changes})


def test_above_keeps_rows_unchanged_and_is_monotone():
  detections = make_detections()
  above = [detections.above(t).events for t in (0.0, 0.5, 0.9, 1.0)]
  rows = [{event[:4] for event in events} for events in above]
  assert [len(r) for r in rows] == [3, 2, 1, 0]
  assert all(b <= a for a, b in zip(rows, rows[1:]))
  assert detections.above(0.5).above(0.4).events == (
    detections.above(0.5).events
  )
  assert detections.above(0.5).model == "preset"


def test_to_dict_is_plain_json_without_nan():
  detections = make_detections()
  value = detections.to_dict()
  assert json.loads(json.dumps(value, allow_nan=False)) == value
  assert list(value) == [
    "filename",
    "model",
    "duration_seconds",
    "labels",
    "events",
  ]
  assert value["events"][0] == {
    "start": 0.0,
    "end": 1.0,
    "label": "Dog",
    "score": 0.9,
  }
  assert value["events"][3]["score"] is None


def test_summary_is_one_line():
  assert make_detections().summary() == (
    "a.wav: 4 events in 4.00 s: Dog 2, Siren 2 (preset)"
  )
  empty = make_detections(events=EventTable.empty(), filename="", model="")
  assert empty.summary() == "no events in 4.00 s"
  assert make_tags([[0.1, 0.9]]).summary() == (
    "a.wav: Rain 0.90, Dog 0.10 in 0.96 s"
  )


def test_data_frame_of_detections():
  pytest.importorskip("pandas")
  df = make_detections().to_df()
  assert list(df.columns) == ["filename", "start", "end", "label", "score"]
  assert df["filename"].tolist() == ["a.wav"] * 4
  assert df["end"].tolist() == [1.0, 2.5, 3.0, 3.5]


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"labels": ("Dog", "Rain", "Sirene")}, "events: label must be one of"),
    ({"labels": ("Dog", "Dog", "Siren")}, "labels must be unique"),
    ({"labels": "Dog"}, "labels must be several str"),
    ({"duration_seconds": 0}, "duration_seconds must be finite and above 0"),
    ({"scores": np.zeros((12, 2))}, r"scores must have shape \('any', 3\)"),
    ({"scores": np.full((12, 3), np.nan)}, "scores must be finite"),
    ({"cell_seconds": 0}, "cell_seconds must be finite and above 0"),
    ({"filename": None}, "filename must be a str"),
  ],
)
def test_detections_rules(changes, rule):
  with pytest.raises(ValueError, match=rule):
    make_detections(**changes)


def test_results_do_not_change_afterwards():
  scores = np.zeros((12, 3), np.float32)
  detections = make_detections(scores=scores)
  with pytest.raises(ValueError, match="read-only"):
    detections.scores[0, 0] = 1
  scores[0, 0] = 1  # The caller's own array stays writeable.


def test_top_is_sorted_and_ties_keep_class_order():
  tags = make_tags([[0.5, 0.75, 0.5]])
  assert tags.top(2) == [("Rain", 0.75), ("Dog", 0.5)]
  assert [name for name, _ in tags.top(9)] == ["Rain", "Dog", "Siren"]


def test_cells_tile_the_clip():
  tags = make_tags([[0.0]] * 4, duration_seconds=2.3)
  scores, boundaries = tags.frame_scores()
  assert scores.shape == (4, 1)
  assert boundaries == pytest.approx([0, 0.72, 1.2, 1.68, 2.3])
  # Patch ends that were cut at the end of the clip change no edge.
  cut = make_tags(
    [[0.0]] * 4, duration_seconds=2.3, end=np.minimum(tags.end, 2.3)
  )
  assert cut.frame_scores()[1].tolist() == boundaries.tolist()
  one = make_tags([[0.7]], duration_seconds=0.1)
  assert one.frame_scores()[1].tolist() == [0, 0.1]


def test_events_are_runs_of_cells_with_their_highest_score():
  tags = make_tags(
    [[0.6, 0.1], [0.9, 0.1], [0.2, 0.1], [0.5, 0.1]], duration_seconds=2.3
  )
  edges = tags.frame_scores()[1]
  events = tags.events()
  assert events == EventTable.from_rows(
    [
      Event(0, edges[2], "Dog", np.float32(0.9), "a.wav"),
      Event(edges[3], 2.3, "Dog", 0.5, "a.wav"),
    ]
  )
  assert len(tags.events(0.95)) == 0
  assert len(tags.events(0.0)) == 2  # Everything, one event per class.


def test_tag_events_equal_a_loop_and_shrink_with_the_threshold():
  scores = np.random.default_rng(3).uniform(0, 1, (40, 3)).astype(np.float32)
  tags = make_tags(scores)
  edges = tags.frame_scores()[1]
  covered_before = None
  for threshold in (0.2, 0.5, 0.8):
    events = tags.events(threshold)
    middles = (edges[:-1] + edges[1:]) / 2
    covered = np.stack(
      [
        [
          any(e.start <= m < e.end and e.label == name for e in events)
          for m in middles
        ]
        for name in LABELS
      ],
      axis=-1,
    )
    assert np.array_equal(covered, scores >= threshold)
    assert covered_before is None or np.all(covered <= covered_before)
    covered_before = covered
    assert events == events.sort()


def test_tags_to_dict_and_data_frame():
  pytest.importorskip("pandas")
  tags = make_tags([[0.1, 0.9], [0.3, 0.7]], embeddings=np.zeros((2, 5)))
  value = tags.to_dict()
  assert json.loads(json.dumps(value, allow_nan=False)) == value
  assert value["patches"][0]["scores"] == [0.1, 0.9]  # Not 0.8999999761581421.
  read = np.array([p["scores"] for p in value["patches"]], np.float32)
  assert np.array_equal(read, tags.scores)
  df = tags.to_df()
  assert list(df.columns) == ["start", "end", "Dog", "Rain"]
  assert np.array_equal(df[["Dog", "Rain"]].to_numpy(), tags.scores)


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"embeddings": np.zeros((3, 5))}, r"embeddings must have shape \(2, 'any"),
    ({"clip_scores": np.zeros(3)}, r"clip_scores must have shape \(2,\)"),
    ({"start": [0.48, 0]}, "start must increase"),
    ({"end": [0, 1]}, "start must increase and lie before end"),
    ({"valid_fraction": [1, math.nan]}, "valid_fraction must be finite"),
    ({"duration_seconds": math.inf}, "duration_seconds must be finite"),
  ],
)
def test_tags_rules(changes, rule):
  with pytest.raises(ValueError, match=rule):
    make_tags([[0.1, 0.9], [0.3, 0.7]], **changes)


def test_save_chooses_by_extension(tmp_path):
  make_detections().save(tmp_path / "a.JSON")
  value = json.loads((tmp_path / "a.JSON").read_text())
  assert value == make_detections().to_dict()
  make_detections().save(tmp_path / "b.json", format="csv")
  assert (tmp_path / "b.json").read_text().startswith("filename,start,end")


def test_start_is_light(repository):
  code = (
    "import sys, yoho_tf.viz, yoho_tf.writers\n"
    "heavy = {'pandas', 'matplotlib', 'tensorflow', 'keras', 'scipy'}\n"
    "print(sorted(heavy & set(sys.modules)))"
  )
  out = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    check=True,
    cwd=repository,
  )
  assert out.stdout.strip() == "[]"
