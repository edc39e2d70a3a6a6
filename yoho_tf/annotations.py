"""What is known about recordings: events, and what surrounds them.

`Annotations` is what a reader returns and a writer takes; `FrameScores` holds
scores over time. Only numpy is needed.
"""

import collections
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from yoho_tf.events import EventTable

# Companions of the events, in the order in which they are reported.
COMPANIONS = "tags durations known_empty unknown known extras".split()


class Tag(NamedTuple):
  """A weak label: a sound is somewhere in a recording.

  `value` is 0..1; 1 = present, 0 = absent.
  """

  filename: str
  label: str
  value: float = 1.0


@dataclass(frozen=True)
class Annotations:
  """Events of one or many recordings and what else a source says.

  Attributes:
    events: an `EventTable`.
    tags: weak labels, a tuple of `Tag`.
    durations: filename -> seconds.
    known_empty: recordings that were annotated and hold no event, each once;
      not the same as absent. One with events is taken out.
    unknown: an `EventTable` of spans where nobody looked, so that loss and
      metrics leave them out; label "" stands for all classes.
    known: an `EventTable` of explicit answers, which override `unknown`;
      score 1 = present, 0 = not present.
    extras: columns we do not know, name -> texts, one per event (per tag
      where there is no event); kept for formats that can hold them.
    source_format: name of the format that this was read from, or "".

  Raises:
    ValueError: a duration, a tag's value, or a column of extras is wrong.
  """

  events: EventTable = field(default_factory=EventTable.empty)
  tags: tuple[Tag, ...] = ()
  durations: Mapping[str, float] = field(default_factory=dict)
  known_empty: tuple[str, ...] = ()
  unknown: EventTable = field(default_factory=EventTable.empty)
  known: EventTable = field(default_factory=EventTable.empty)
  extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
  source_format: str = ""

  def __post_init__(self):
    def put(name, value):
      object.__setattr__(self, name, value)

    put("tags", tuple(Tag(*tag) for tag in self.tags))
    for tag in self.tags:
      if not 0 <= tag.value <= 1:
        raise ValueError(f"tags: value must be in 0..1, got {tag}")
    durations = {str(k): float(v) for k, v in dict(self.durations).items()}
    for name, seconds in durations.items():
      if not 0 < seconds < np.inf:
        raise ValueError(
          f"durations must be finite and above 0, got {seconds} for {name!r}"
        )
    put("durations", durations)
    heard = set(self.events.filename)
    empty = dict.fromkeys(name for name in self.known_empty)
    put("known_empty", tuple(name for name in empty if name not in heard))
    num_rows = len(self.events) or len(self.tags)
    extras = self.extras if num_rows else {}
    extras = {name: tuple(column) for name, column in extras.items()}
    for name, column in extras.items():
      if len(column) != num_rows:
        raise ValueError(
          f"extras: {name} must have {num_rows} rows, got {len(column)}"
        )
    put("extras", extras)

  @classmethod
  def concat(cls, parts: Iterable["Annotations"]) -> "Annotations":
    """Joins annotations; one that lacks a column of extras gets "" there.

    Raises:
      ValueError: two durations for one recording.
    """
    parts = list(parts)
    if len(parts) == 1:
      return parts[0]
    durations = {}
    for part in parts:
      for name, seconds in part.durations.items():
        if durations.setdefault(name, seconds) != seconds:
          raise ValueError(
            f"durations must be one per file, got {durations[name]} and "
            f"{seconds} for {name!r}"
          )
    has_events = any(len(part.events) for part in parts)
    rows = [len(part.events if has_events else part.tags) for part in parts]
    names = dict.fromkeys(
      name for part, count in zip(parts, rows) if count for name in part.extras
    )
    extras = {name: [] for name in names}
    for part, count in zip(parts, rows):
      for name in names:
        extras[name] += part.extras.get(name, ("",) * count) if count else ()
    formats = {part.source_format for part in parts}
    return cls(
      events=EventTable.concat(part.events for part in parts),
      tags=[tag for part in parts for tag in part.tags],
      durations=durations,
      known_empty=[name for part in parts for name in part.known_empty],
      unknown=EventTable.concat(part.unknown for part in parts),
      known=EventTable.concat(part.known for part in parts),
      extras=extras,
      source_format=formats.pop() if len(formats) == 1 else "",
    )

  @property
  def filenames(self) -> tuple[str, ...]:
    """Every recording that something is said about, in order, each once."""
    return tuple(
      dict.fromkeys(
        [
          *self.events.filename,
          *(tag.filename for tag in self.tags),
          *self.known_empty,
          *self.durations,
          *self.unknown.filename,
          *self.known.filename,
        ]
      )
    )

  def with_events(self, events: EventTable) -> "Annotations":
    """The same with other events; extras stay where the rows are as many."""
    extras = self.extras if len(events) == len(self.events) else {}
    return replace(self, events=events, extras=extras)

  def take(self, rows) -> "Annotations":
    """The same with some of the events (a mask or indices) and their extras."""
    extras = self.extras
    if len(self.events):
      index = np.arange(len(self.events))[rows]  # [kept]
      extras = {} if not len(index) else {
        name: [column[i] for i in index] for name, column in extras.items()
      }  # fmt: skip
    return replace(self, events=self.events[rows], extras=extras)

  def split(self) -> dict[str, "Annotations"]:
    """One `Annotations` per recording, in the order of `filenames`."""
    names = self.filenames
    if len(names) < 2:
      return dict.fromkeys(names, self)
    events, unknown, known, tags = (
      _rows_by_name(found)
      for found in (
        self.events.filename,
        self.unknown.filename,
        self.known.filename,
        [tag.filename for tag in self.tags],
      )
    )
    empty, parts = set(self.known_empty), {}
    for name in names:
      of_extras = (events if len(self.events) else tags)[name]
      parts[name] = Annotations(
        events=self.events[events[name]],
        tags=[self.tags[row] for row in tags[name]],
        durations={
          key: self.durations[key] for key in {name} & self.durations.keys()
        },
        known_empty=(name,) if name in empty else (),
        unknown=self.unknown[unknown[name]],
        known=self.known[known[name]],
        extras={
          column: [values[row] for row in of_extras]
          for column, values in self.extras.items()
        },
        source_format=self.source_format,
      )
    return parts


def _rows_by_name(names) -> dict[str, list[int]]:
  """Name -> its rows; [] for any other."""
  rows = collections.defaultdict(list)
  for row, name in enumerate(names):
    rows[name].append(row)
  return rows


def labels_of(notes: Annotations) -> tuple[str, ...]:
  """The labels of events, tags, known and unknown, sorted; without ""."""
  tables = (notes.events, notes.unknown, notes.known)
  found = {label for table in tables for label in table.label}
  return tuple(sorted((found | {tag.label for tag in notes.tags}) - {""}))


def relabel(notes: Annotations, names: Mapping) -> Annotations:
  """Renames labels everywhere; None leaves a label out.

  Args:
    notes: annotations.
    names: label -> new label or None.

  Raises:
    ValueError: lists the labels that are not in `names`.
  """
  missing = [label for label in labels_of(notes) if label not in names]
  if missing:
    raise ValueError(f"names must hold every label, lacks {missing}")
  names = {"": "", **names}
  kept = notes
  if None in names.values():
    keep = [names[label] is not None for label in notes.events.label]
    kept = notes.take(np.array(keep, bool))
  tags = [tag for tag in notes.tags if names[tag.label] is not None]
  extras = (
    kept.extras if len(kept.events) or len(tags) == len(notes.tags) else {}
  )
  return replace(
    kept,
    events=kept.events.relabel(names),
    tags=[tag._replace(label=names[tag.label]) for tag in tags],
    unknown=notes.unknown.relabel(names),
    known=notes.known.relabel(names),
    extras=extras,
  )


@dataclass(frozen=True, eq=False)
class FrameScores:
  """Scores over time of several recordings.

  Attributes:
    scores: filename -> float [frames, classes].
    boundaries_seconds: float [frames + 1] for all recordings, or filename ->
      such.
    labels: a `ClassMap` or names, one per column.
  """

  scores: Mapping[str, np.ndarray]
  boundaries_seconds: object
  labels: tuple[str, ...]

  def boundaries_of(self, filename: str) -> np.ndarray:
    """Boundaries of one recording in seconds, float [frames + 1]."""
    bounds = self.boundaries_seconds
    return bounds[filename] if isinstance(bounds, Mapping) else bounds
