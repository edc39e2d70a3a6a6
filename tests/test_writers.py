"""Files: what plain csv and json parsing reads is what was written."""

import csv
import io
import json
import math
import os
import warnings

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.annotations import COMPANIONS, Annotations, Tag
from yoho_tf.events import COLUMNS, TEXT_COLUMNS, Event, EventTable
from yoho_tf.formats.ours import Csv
from yoho_tf.formats.ours_json import Json
from yoho_tf.formats.tracks import Audacity
from yoho_tf.results import Detections, Tags
from yoho_tf.writers import FORMATS, find_format, text_of, write

pytestmark = pytest.mark.edge

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LABEL = st.one_of(TEXT, st.sampled_from(["None", "NA", "null", 'a,"b"', "-1"]))
SCORE = st.one_of(st.just(math.nan), st.floats(0, 1))


@st.composite
def rows(draw):
  start = draw(st.floats(0, 1e6))
  end = draw(st.floats(start, 2e6, exclude_min=True))
  low, high = sorted(draw(st.tuples(SCORE, SCORE)), key=math.isnan)
  if low > high:
    low, high = high, low
  return Event(
    start, end, draw(LABEL), draw(SCORE), draw(TEXT), low, high, "", draw(TEXT)
  )


TABLES = st.lists(rows(), max_size=6).map(EventTable.from_rows)


def from_records(records):
  """An EventTable of dicts, as any csv or json module gives them."""
  events = []
  for record in records:
    fields = {}
    for name, value in record.items():
      is_text = name in TEXT_COLUMNS
      missing = value is None or (value == "" and not is_text)
      if not missing:
        fields[name] = value if is_text else float(value)
    events.append(Event(**fields))
  return EventTable.from_rows(events)


@given(TABLES)
@settings(max_examples=60)
def test_csv_reads_back_exactly(table):
  text = Csv.text(table)
  reader = csv.DictReader(io.StringIO(text, newline=""))
  assert from_records(reader) == table
  assert reader.fieldnames[:5] == "filename start end label score".split()
  assert set(reader.fieldnames) <= set(COLUMNS)


@given(TABLES)
@settings(max_examples=60)
def test_json_reads_back_exactly(table):
  text = Json.text(table)
  assert "NaN" not in text.replace('"NaN"', "")
  assert from_records(json.loads(text)["events"]) == table


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(1e-9, 1e4)), max_size=5))
@settings(max_examples=60)
def test_audacity_times_read_back_exactly(pairs):
  pairs = [(a, a + b) for a, b in pairs if a + b > a]
  table = EventTable.from_rows([(a, b, "None of it") for a, b in pairs])
  lines = text_of(table, Audacity).splitlines()
  fields = [line.split("\t") for line in lines]
  assert [(float(a), float(b)) for a, b, _ in fields] == pairs
  for start, end, label in fields:
    assert label == "None of it"
    for number in (start, end):
      assert "e" not in number and len(number.split(".")[1]) >= 6


def test_csv_has_further_columns_only_where_used():
  table = EventTable.from_rows([Event(0, 0.1, "a", 0.5, "x.wav")])
  assert Csv.text(table) == (
    "filename,start,end,label,score\nx.wav,0.0,0.1,a,0.5\n"
  )
  table = table.replace(low_hz=100.0, score=math.nan)
  assert Csv.text(table) == (
    "filename,start,end,label,score,low_hz\nx.wav,0.0,0.1,a,,100.0\n"
  )
  assert Csv.text(EventTable.empty()) == "filename,start,end,label,score\n"


def test_audacity_lines():
  table = EventTable.from_rows(
    [
      Event(0.5, 1 / 3 + 1, "Dog", 0.5),
      Event(1, 2, "Siren", low_hz=100, high_hz=2000.5),
      Event(1, 2, "Hum", high_hz=90),
    ]
  )
  assert text_of(table, Audacity) == (
    "0.500000\t1.3333333333333333\tDog\n"
    "1.000000\t2.000000\tSiren\n"
    "\\\t100.000000\t2000.500000\n"
    "1.000000\t2.000000\tHum\n"
    "\\\t-1\t90.000000\n"
  )


@pytest.mark.parametrize("label", ["a\tb", "a\nb", "a\rb"])
def test_audacity_names_a_label_it_cannot_spell(tmp_path, label):
  path = tmp_path / "a.txt"
  path.write_text("old")
  table = EventTable.from_rows([(0, 1, "fine"), (1, 2, label)])
  with pytest.raises(ValueError) as error:
    write(table, path)
  assert repr(label) in str(error.value) and "\n" not in str(error.value)
  assert path.read_text() == "old"


def make_detections(**changes):
  events = EventTable.from_rows([Event(0, 1, "a"), Event(1, 2, "b", 0.5)])
  fields = {"labels": ("a", "b"), "duration_seconds": 3, "filename": "x.wav"}
  return Detections(**{"events": events, **fields, **changes})


def test_detections_files():
  detections = make_detections(model="m")
  assert Csv.text(detections).splitlines()[1:] == [
    "x.wav,0.0,1.0,a,",
    "x.wav,1.0,2.0,b,0.5",
  ]
  assert Json.text(detections) == (
    '{\n  "filename": "x.wav",\n  "model": "m",\n  "duration_seconds": 3.0,\n'
    '  "labels": ["a", "b"],\n  "events": [\n'
    '    {"start": 0.0, "end": 1.0, "label": "a", "score": null},\n'
    '    {"start": 1.0, "end": 2.0, "label": "b", "score": 0.5}\n  ]\n}\n'
  )
  empty = make_detections(events=EventTable.empty())
  assert json.loads(Json.text(empty))["events"] == []


def test_tags_files():
  tags = Tags(
    labels=("a", "b, c"),
    scores=np.array([[0.1, 0.9], [0.2, 0.3]], np.float32),
    embeddings=None,
    start=[0, 0.48],
    end=[0.96, 1.44],
    valid_fraction=[1, 0.5],
    clip_scores=[0.1, 0.7],
    duration_seconds=1.2,
  )
  assert Csv.text(tags) == (
    'start,end,a,"b, c"\n0.0,0.96,0.1,0.9\n0.48,1.44,0.2,0.3\n'
  )
  assert json.loads(Json.text(tags)) == tags.to_dict()
  assert text_of(tags, Audacity) == "0.000000\t0.720000\tb, c\n"


def test_format_by_name_then_extension():
  assert find_format("a.TXT") is FORMATS["audacity"]
  assert find_format("a.txt", format="csv") is FORMATS["csv"]
  with pytest.raises(ValueError, match="did you mean 'audacity'"):
    find_format("a.csv", format="audacty")
  assert find_format("a.tsv") is FORMATS["tsv"]
  assert find_format("a.TextGrid") is FORMATS["textgrid"]
  with pytest.raises(ValueError, match="extension must be one of .*known"):
    find_format("a.xml")
  for name, kind in FORMATS.items():
    assert kind.name == name and kind.precision_seconds < 0.01
    kept = {column.partition(".")[0] for column in kind.keeps}
    assert kept <= {*COLUMNS, *COMPANIONS}
    assert kind.extensions or kind.filenames


def test_what_is_lost_is_one_warning_or_an_error(tmp_path):
  with pytest.warns(UserWarning, match=r"cannot hold score \(1\)$") as caught:
    write(make_detections(), tmp_path / "a.txt")
  assert len(caught) == 1
  with pytest.raises(ValueError, match=r"cannot hold score \(1\)"):
    write(make_detections(), tmp_path / "b.txt", strict=True)
  assert not (tmp_path / "b.txt").exists()
  table = EventTable.from_rows(
    [Event(0, 1, "a", filename="x"), Event(0, 1, "a", filename="y")]
  )
  with pytest.warns(UserWarning, match=r"cannot hold filename \(2\)"):
    write(table, tmp_path / "c.txt")
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    write(table, tmp_path / "c.csv")
    write(table, tmp_path / "c.json")


def test_every_loss_is_counted(tmp_path):
  events = EventTable.from_rows(
    [
      Event(0, 1, "a", 0.5, "x.wav", track="t"),
      Event(1, 2, "a", filename="x.wav", low_hz=100),
    ]
  )
  notes = Annotations(
    events=events,
    tags=[Tag("x.wav", "a")],
    durations={"x.wav": 5},
    known_empty=["y.wav"],
    unknown=events,
    known=events,
    extras={"device": ["", "phone"], "scene": ["a", "b"]},
  )
  message = (
    "dcase_list cannot hold score (1), low_hz (1), track (1), tags (1), "
    "durations (1), unknown (2), known (2), extras.device (1)"
  )
  with pytest.warns(UserWarning) as caught:
    write(notes, tmp_path / "x.txt", format="dcase_list")
  assert [str(w.message) for w in caught] == [
    f"{tmp_path / 'x.txt'}: {message}"
  ]
  with pytest.warns(UserWarning, match=r"cannot hold events \(2\), tags \(1\)"):
    write(notes, tmp_path / "d.tsv", format="desed_durations")
  with pytest.raises(ValueError, match="cannot hold"):
    write(notes, tmp_path, format="audacity", strict=True)
  assert sorted(p.name for p in tmp_path.iterdir()) == ["d.tsv", "x.txt"]


def test_a_folder_has_one_file_per_recording(tmp_path):
  events = EventTable.from_rows(
    [Event(0, 1, "a", filename="d/x.wav"), Event(0, 1, "a", filename="y.wav")]
  )
  notes = Annotations(events, known_empty=["z.wav"])
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    write(notes, tmp_path, format="raven")
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == [f"{x}.Table.1.selections.txt" for x in "xyz"]
  twice = events.replace(filename=["d/x.wav", "e/x.wav"])
  with pytest.raises(ValueError, match="recordings must have different stems"):
    write(twice, tmp_path, format="raven")
  with pytest.raises(ValueError, match="path must be a file for csv, got"):
    write(events, tmp_path, format="csv")
  with pytest.raises(ValueError, match="read only"):
    write(events[:1], tmp_path / "a.label", format="ofai")


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.txt"])
def test_a_failing_write_leaves_the_old_file_alone(tmp_path, name, monkeypatch):
  path = tmp_path / name
  table = EventTable.from_rows([(0, 1, "a")])
  write(table, path)
  old = path.read_bytes()
  with pytest.raises(UnicodeEncodeError):  # Fails in the middle of writing.
    write(table.replace(label="x" * 50_000 + "\ud800"), path)
  monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    write(table.replace(label="b"), path)
  assert path.read_bytes() == old
  assert list(tmp_path.iterdir()) == [path]


def test_other_values_are_an_error(tmp_path):
  for name in ("a.csv", "a.json", "a.txt"):
    with pytest.raises(ValueError, match="result must be .*, got list"):
      write([1], tmp_path / name)
  assert not list(tmp_path.iterdir())
