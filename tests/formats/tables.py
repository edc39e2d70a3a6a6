"""Random annotations for the tests of formats, and how to compare them."""

import dataclasses
import math

import numpy as np

from yoho_tf.annotations import Annotations
from yoho_tf.events import COLUMNS, Event, EventTable
from yoho_tf.formats.text import Source

LABELS = (
  "None", "NA", "null", "nan", "-1", "1.5", "dog", "car horn", 'say "hi"',
  '"quoted"', "it's", "a,b", "ü→日本", "tab\there", "line\nbreak", "#hash",
  "a/b", "x#2", "dog (0.9)", "<b>bold</b>", "&amp;", "a --> b", "\\", "NOTE x",
  "a\u2028b", "a\x0bb", "a\rb", "index", "'", '"', "1,5", "music", "WEBVTT",
)  # fmt: skip


def random_events(rng, num_events, *, labels, filenames, short=False):
  """A table with every column, times of all sizes.

  Args:
    rng: numpy Generator.
    num_events: rows.
    labels: to draw from.
    filenames: to draw from.
    short: events may be shorter than 10 ms, and start together.
  """
  scale = rng.choice([1e-3, 1.0, 100.0, 1e5], num_events)
  start = rng.random(num_events) * scale
  start[rng.random(num_events) < 0.3] = 0.0
  least = 1e-7 if short else 0.01
  if not short:  # so far apart that rounded times still tell rows apart
    start = rng.permutation(num_events) * 0.1 + start % 0.05
  end = start + least + rng.random(num_events) * rng.choice([0.1, 10.0])
  on_grid = rng.random(num_events) < 0.3
  start, end = (
    np.where(on_grid, np.round(times, 3), times) for times in (start, end)
  )
  end = np.where(end > start, end, start + 0.5)
  low = np.round(rng.random(num_events) * 1e3, 3)
  low[rng.random(num_events) < 0.5] = math.nan
  return EventTable.from_columns(
    filename=rng.choice(np.array(filenames, object), num_events),
    start=start,
    end=end,
    label=rng.choice(np.array(labels, object), num_events),
    score=np.where(rng.random(num_events) < 0.3, math.nan, rng.random()),
    low_hz=low,
    high_hz=low + 1000 * rng.random(num_events),
    annotator=rng.choice(np.array(["", "Ann", "Bob <b>"], object), num_events),
    track=rng.choice(np.array(["", "voice 1", "a/b"], object), num_events),
  )


def held(notes, kind) -> Annotations:
  """What a format can hold of annotations."""
  defaults = {
    "filename": "clip.wav", "annotator": "", "track": ""
  }  # fmt: skip
  lost = {
    name: defaults.get(name, math.nan)
    for name in COLUMNS
    if name not in kind.keeps and name not in ("start", "end", "label")
  }
  extras = {
    name: column
    for name, column in notes.extras.items()
    if {"extras", f"extras.{name}"} & {*kind.keeps}
  }
  companions = {
    name: getattr(Annotations(), name)
    for name in ("tags", "durations", "known_empty", "unknown", "known")
    if name not in kind.keeps
  }
  return dataclasses.replace(
    notes, events=notes.events.replace(**lost), extras=extras, **companions
  )


def rows_of(notes) -> list[tuple]:
  """Events with their extras, in an order of their own, comparable."""
  extras = zip(*notes.extras.values()) if notes.extras else iter(())
  rows = []
  for event in notes.events:
    extra = dict(zip(notes.extras, next(extras, ()), strict=True))
    rows.append((event, tuple(sorted(extra.items()))))
  return sorted(rows, key=lambda row: repr((row[0][2:], row[1], row[0][:2])))


def assert_same(found, wanted, *, seconds=0.0):
  """The same events in any order, the same companions."""
  found_rows, wanted_rows = rows_of(found), rows_of(wanted)
  if seconds:
    key = lambda row: (repr((row[0][2:], row[1])), row[0].start)  # noqa: E731
    found_rows.sort(key=key)
    wanted_rows.sort(key=key)
  assert len(found_rows) == len(wanted_rows)
  for (one, one_extra), (other, other_extra) in zip(found_rows, wanted_rows):
    assert one_extra == other_extra
    assert repr(Event(0, 1, *one[2:])) == repr(Event(0, 1, *other[2:]))
    assert abs(one.start - other.start) <= seconds
    assert abs(one.end - other.end) <= seconds
  assert sorted(found.tags) == sorted(wanted.tags)
  assert found.durations == wanted.durations
  assert sorted(found.known_empty) == sorted(wanted.known_empty)
  assert found.unknown.sort() == wanted.unknown.sort()
  assert found.known.sort() == wanted.known.sort()


def source_of(text, name="clip.txt", *, encoding="utf-8"):
  """A Source as the readers make it."""
  return Source(name, text)


def can_spell(kind, label, filename="clip.wav") -> bool:
  """Whether the writer takes a label."""
  events = EventTable.from_columns(
    filename=filename, start=[0.0], end=[1.0], label=[label], score=0.5
  )
  try:
    kind.text(Annotations(events, extras={"scene": ["street"]}))
  except ValueError:
    return False
  return True
