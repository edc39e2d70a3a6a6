"""read(write(x)) = x for what a format keeps, exactly or as it promises."""

import dataclasses
import math
import warnings

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.tables import (
  LABELS,
  assert_same,
  can_spell,
  held,
  random_events,
  source_of,
)
from yoho_tf.annotations import Annotations, FrameScores, Tag
from yoho_tf.events import EventTable
from yoho_tf.formats import FORMATS
from yoho_tf.readers import read
from yoho_tf.writers import write

pytestmark = pytest.mark.edge

WRITABLE = {k: v for k, v in FORMATS.items() if v.can_write()}
OF_EVENTS = {
  name: kind
  for name, kind in WRITABLE.items()
  if "start" in kind.keeps and kind.opens == "file"
}
EXACT = {k: v for k, v in OF_EVENTS.items() if not v.precision_seconds}
OURS = ("csv", "tsv", "json", "jsonl")
FILES = {
  "rttm": ("clip.wav", "dir/b.wav"),
  "audioset_strong": ("--a_b_30000", "x_0"),
  "maestro_windows": ("a-000000-001000.wav", "b-000100-001100.wav"),
}


def filenames_of(kind):
  if "filename" not in kind.keeps or kind.name in ("elan", "tut_ann"):
    return ("clip.wav",)
  return FILES.get(kind.name, ("clip.wav", "dir/b c.wav", "ü.flac"))


def random_notes(kind, num_events, seed, labels):
  """Random annotations that a format can spell."""
  rng = np.random.default_rng(seed)
  events = random_events(
    rng,
    num_events,
    labels=labels,
    filenames=filenames_of(kind),
    short=not kind.precision_seconds,
  )
  if kind.name in ("maestro_soft",):
    events = events.replace(score=np.nan_to_num(events.score, nan=0.5))
  if kind.name == "elan":
    events = events.replace(
      annotator=[e.annotator if e.track else "Ann" for e in events]
    )
  columns = ["a"] if "extras" in kind.keeps else []
  columns += ["scene"] if kind.name in ("dcase_list", "tut_ann") else []
  columns += ["channel"] if kind.name == "rttm" else []
  columns = ["scene", "column_6"] if kind.name == "tut_ann" else columns
  extras = {name: [f"{i % 3}x" for i in range(num_events)] for name in columns}
  if not num_events:
    return Annotations(events)
  end = float(events.end.max())
  one_file = kind.per_recording
  is_windows = kind.name == "maestro_windows"
  empty = "x-000000-001000.wav" if is_windows else "empty.wav"
  return Annotations(
    events=events,
    tags=[Tag("clip.wav", "dog", 0.25), Tag("clip.wav", "b", 1.0)],
    durations={"clip.wav": end + 1},
    known_empty=[] if one_file else [empty],
    unknown=EventTable.from_rows([(0, 1, "", math.nan, "clip.wav")]),
    known=EventTable.from_rows([(0, 1, "x", 1.0, "clip.wav")]),
    extras=extras,
  )


@pytest.mark.parametrize("name", OF_EVENTS)
@given(num_events=st.integers(0, 200), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5)
def test_what_is_written_is_read(name, num_events, seed):
  kind = OF_EVENTS[name]
  labels = [x for x in LABELS if can_spell(kind, x, filenames_of(kind)[0])]
  assert len(labels) > 10
  notes = random_notes(kind, num_events, seed, labels)
  found = kind.read(source_of(kind.text(notes)))
  if (
    not num_events
    and kind.per_recording
    or (name == "dcase_list" and not num_events)
  ):
    assert found.known_empty == ("clip.wav",)
    return
  assert_same(found, held(notes, kind), seconds=kind.precision_seconds * 1.001)


@pytest.mark.parametrize("name", ["csv", "tsv"])
@given(
  num_events=st.integers(0, 50), seed=st.integers(0, 2**32 - 1), data=st.data()
)
@settings(max_examples=10)
def test_under_other_names_a_table_says_the_same(name, num_events, seed, data):
  kind = FORMATS[name]
  notes = random_notes(kind, num_events, seed, ["dog", "a,b", 'say "hi"'])
  expected = kind.read(source_of(kind.text(notes)))
  head, body = kind.text(notes).split("\n", 1)
  ours = head.split(kind.delimiter)
  order = data.draw(st.permutations(ours))
  # Old names for other columns, as treacherous as can be.
  other = {ours: name for ours, name in zip(ours, order) if ours != "a"}
  head = kind.delimiter.join(other.get(name, "note") for name in ours)
  found = kind.read(source_of(f"{head}\n{body}"), columns=other)
  extras = {"note": expected.extras["a"]} if expected.extras else {}
  assert_same(found, dataclasses.replace(expected, extras=extras))


@pytest.mark.parametrize("label", LABELS, ids=ascii)
@pytest.mark.parametrize("name", OF_EVENTS)
def test_a_label_is_read_back_or_refused(name, label):
  kind = OF_EVENTS[name]
  events = EventTable.from_columns(
    filename=filenames_of(kind)[0], start=[0.0], end=[1.5], label=[label],
    score=0.5,
  )  # fmt: skip
  try:
    text = kind.text(Annotations(events))
  except ValueError as error:
    assert "label" in str(error) and "\n" not in str(error)
    assert name not in OURS
    return
  assert kind.read(source_of(text)).events.label.tolist() == [label]


@given(seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(max_examples=15)
def test_exact_formats_in_a_chain_leave_times_unchanged(seed, data):
  rng = np.random.default_rng(seed)
  events = random_events(
    rng, 40, labels=["a", "b"], filenames=["clip.wav"], short=True
  ).replace(score=0.5)
  notes = Annotations(events)
  chain = data.draw(st.lists(st.sampled_from(sorted(EXACT)), max_size=5))
  chain = [n for n in chain if n not in FILES and n != "maestro_soft"]
  for name in chain:
    kind = EXACT[name]
    text = kind.text(Annotations(notes.events))
    notes = kind.read(source_of(text))
  times = [
    sorted(zip(table.label, table.start, table.end))
    for table in (events, notes.events)
  ]
  assert times[0] == times[1]


@pytest.mark.parametrize("name", OF_EVENTS)
def test_files_and_folders_through_the_facade(tmp_path, name):
  kind = OF_EVENTS[name]
  files = filenames_of(kind)[:1]
  if kind.per_recording:
    files = ("a.wav", "b.wav")
  events = EventTable.from_columns(
    filename=[files[i % len(files)] for i in range(4)],
    start=[0.0, 0.5, 1.0, 2.0],
    end=[0.5, 1.0, 1.25, 3.0],
    label=["music", "speech", "music", "dog"],
    score=0.5,
  )
  known_empty = ("quiet.wav",) if kind.per_recording else ()
  notes = Annotations(events, known_empty=known_empty)
  path = tmp_path / "out"
  path.mkdir()
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    if kind.per_recording:
      write(notes, path, format=name)
    else:
      write(notes, path / f"x{kind.extensions[0]}", format=name)
  found = read(path, format=name)
  assert found.source_format == name
  assert found.filenames == notes.filenames or kind.per_recording
  assert set(found.filenames) == set(notes.filenames)
  assert found.known_empty == known_empty
  columns = ("filename", "start", "end", "label")
  table = held(notes, kind).events.replace(filename=events.filename)
  for column in columns:
    one, other = getattr(found.events.sort(), column), getattr(
      table.sort(), column
    )  # fmt: skip
    assert one.tolist() == other.tolist()


def test_clip_labels_are_read_back():
  tags = [Tag("a_1000", "x"), Tag("a_1000", "y"), Tag("b_0", "None")]
  notes = Annotations(tags=tags, durations={"a_1000": 10.0, "b_0": 9.5})
  weak = FORMATS["desed_weak"].read(
    source_of(FORMATS["desed_weak"].text(notes))
  )
  assert list(weak.tags) == tags
  found = FORMATS["audioset_weak"].read(
    source_of(FORMATS["audioset_weak"].text(notes))
  )
  assert list(found.tags) == tags
  assert dict(found.durations) == dict(notes.durations)
  for name in ("desed_weak", "audioset_weak"):
    with pytest.raises(ValueError, match="label must be without ','"):
      FORMATS[name].text(Annotations(tags=[Tag("a_1", "x,y")]))
  with pytest.raises(ValueError, match="value 1"):
    FORMATS["desed_weak"].text(Annotations(tags=[Tag("a", "x", 0.5)]))


@given(st.dictionaries(st.text(
  st.characters(exclude_categories=["Cs"]), min_size=1), st.floats(
  1e-3, 1e6)))  # fmt: skip
@settings(max_examples=30)
def test_durations_are_read_back(durations):
  kind = FORMATS["desed_durations"]
  text = kind.text(Annotations(durations=durations))
  assert kind.read(source_of(text)).durations == durations


def test_operating_points_are_read_back(tmp_path):
  rng = np.random.default_rng(0)
  points = {
    threshold: Annotations(
      random_events(rng, 5, labels=["a", "b"], filenames=["x.wav"])
    )
    for threshold in (0.01, 0.1, 1e-7, 1.0)
  }
  points[0.5] = Annotations()
  with pytest.warns(UserWarning, match="cannot hold low_hz"):
    write(points, tmp_path / "points", format="operating_points")
  found = read(tmp_path / "points")
  assert list(found) == sorted(points)
  for threshold, part in points.items():
    assert_same(found[threshold], held(part, FORMATS["desed_strong"]))


def test_scores_are_read_back(tmp_path):
  rng = np.random.default_rng(0)
  frames = FrameScores(
    scores={"a": rng.random((3, 2)), "b": rng.random((5, 2))},
    boundaries_seconds={
      "a": np.array([0, 0.1, 0.2, 0.3]), "b": np.cumsum(rng.random(6))
    },
    labels=("dog", "a, b"),
  )  # fmt: skip
  write(frames, tmp_path / "scores", format="score_tsv")
  found = read(tmp_path / "scores")
  assert found.labels == frames.labels and list(found.scores) == ["a", "b"]
  for clip in ("a", "b"):
    np.testing.assert_array_equal(found.scores[clip], frames.scores[clip])
    np.testing.assert_array_equal(
      found.boundaries_of(clip), frames.boundaries_of(clip)
    )
