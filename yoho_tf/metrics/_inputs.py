"""Inputs of all metrics: two tables to arrays with common indices.

What counts as a table, and the rules of its rows: `_tables.py`. Nothing that
is passed in is modified.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from yoho_tf.labels import did_you_mean
from yoho_tf.metrics._tables import read_table


class Events(NamedTuple):
  """Events as arrays, in input order; files and labels are indices."""

  file: np.ndarray  # int64 [events]
  label: np.ndarray  # int64 [events]
  start: np.ndarray  # float64 seconds [events]
  end: np.ndarray  # float64 seconds [events]
  score: np.ndarray  # float64 [events], NaN = none
  low_hz: np.ndarray  # float64 [events], NaN = none
  high_hz: np.ndarray  # float64 [events], NaN = none

  def take(self, rows):
    """The events at `rows` (indices or a mask)."""
    return Events(*(column[rows] for column in self))

  @property
  def num_events(self):
    return len(self.start)


@dataclass(frozen=True)
class Problem:
  """What every table metric starts from."""

  files: tuple[str, ...]
  labels: tuple[str, ...]
  reference: Events
  estimate: Events
  durations: np.ndarray | None  # float64 seconds [files]
  notes: dict[str, int]
  match: str = "name"


def prepare(
  reference,
  estimate,
  *,
  durations=None,
  labels=None,
  files=None,
  unknown_labels="error",
  unknown_files="error",
  match="name",
  drop_invalid=False,
  zero_length="error",
):
  """Checks two tables and brings them to common indices.

  Args:
    reference, estimate: events, see the module.
    durations: mapping or table of seconds per file; it is the file list.
    labels: `ClassMap` or names; default the sorted labels of the reference.
    files: file list where there are no durations.
    unknown_labels, unknown_files: "error", or "ignore" drops such estimates.
    match: files are the same by "name", "basename" or "stem".
    drop_invalid: drops rows that break a rule and counts them in the notes,
      instead of an error.
    zero_length: "error", or "keep" events that end where they start, as
      sed_eval does; they count for segments and events only.

  Returns:
    A `Problem`.

  Raises:
    ValueError: names the argument, the rule and the first offending rows.
  """
  for name, value in (
    ("unknown_labels", unknown_labels),
    ("unknown_files", unknown_files),
  ):
    if value not in ("error", "ignore"):
      raise ValueError(f"{name}: 'error' or 'ignore', received {value!r}")
  if zero_length not in ("error", "keep"):
    raise ValueError(
      f"zero_length: 'error' or 'keep', received {zero_length!r}"
    )
  key = file_key(match)
  if durations is None:
    durations = getattr(reference, "durations", None) or None
  notes = {}
  rules = (drop_invalid, zero_length == "keep")
  ref = read_table(reference, "reference", rules, notes)
  est = read_table(estimate, "estimate", rules, notes)
  lengths = None if durations is None else read_durations(durations)
  file_index = _file_index(ref, est, lengths, files, key)
  labels = _label_names(labels, ref)
  reference = _encode(
    ref, "reference", file_index, labels, "error", "error", match, notes
  )
  estimate = _encode(
    est,
    "estimate",
    file_index,
    labels,
    unknown_labels,
    unknown_files,
    match,
    notes,
  )
  seconds = None
  if lengths is not None:
    seconds = np.fromiter(lengths.values(), np.float64, len(lengths))  # [files]
    for name, events in (("reference", reference), ("estimate", estimate)):
      notes[f"{name}_beyond_duration"] = int(
        np.count_nonzero(events.end > seconds[events.file])
      )
  return Problem(
    tuple(file_index), labels, reference, estimate, seconds, notes, match
  )


def read_durations(durations):
  """Durations as a dict of seconds; equal duplicate rows collapse."""
  if isinstance(durations, (str, os.PathLike)):
    from yoho_tf.readers import read

    durations = read(durations).durations
  if isinstance(durations, Mapping):
    pairs = list(durations.items())
  elif hasattr(durations, "columns"):
    for column in ("filename", "duration"):
      if column not in durations.columns:
        raise ValueError(
          f"durations: needs a column {column!r}, received"
          f" {list(durations.columns)}"
        )
    pairs = list(
      zip(durations["filename"].tolist(), durations["duration"].tolist())
    )
  else:
    raise ValueError(
      "durations: a mapping, a table or a path, received"
      f" {type(durations).__name__}"
    )
  seconds = {}
  for name, value in pairs:
    value = float(value)
    if not 0 < value < np.inf:
      raise ValueError(
        f"durations: a finite number > 0, received {name!r}: {value}"
      )
    if seconds.setdefault(str(name), value) != value:
      raise ValueError(
        "durations: one value per file, received"
        f" {name!r}: {seconds[str(name)]} and {value}"
      )
  return seconds


def need_reference(problem, metric):
  """Raises when there is no reference event at all."""
  if problem.reference.num_events == 0:
    raise ValueError(
      f"reference: {metric} needs at least one event, received none"
    )


def label_names(labels):
  """A `ClassMap` or names as a tuple without duplicates."""
  names = tuple(str(name) for name in getattr(labels, "names", labels))
  if len(set(names)) != len(names):
    twice = sorted({name for name in names if names.count(name) > 1})
    raise ValueError(f"labels: each name once, received twice {twice[:5]}")
  return names


def _label_names(labels, ref):
  return (
    tuple(sorted(set(ref.labels))) if labels is None else label_names(labels)
  )


def file_key(match):
  """What names of one file have in common, a function; None: the name."""
  keys = {
    "name": None,
    "basename": lambda name: PurePath(name).name,
    "stem": lambda name: PurePath(name).stem,
  }
  if match not in keys:
    raise ValueError(f"match: one of {tuple(keys)}, received {match!r}")
  return keys[match]


def _file_index(ref, est, lengths, files, key):
  """Ordered mapping from file name (and from its match key) to its index."""
  if lengths is not None:
    names = list(lengths)
  elif files is not None:
    names = list(dict.fromkeys(str(name) for name in files))
  else:
    names = list(dict.fromkeys(ref.names + ref.known_empty))
    if not ref.known_empty and key is None:
      names = list(dict.fromkeys(names + est.names + est.known_empty))
  if key is None:
    return {name: i for i, name in enumerate(names)}
  return _KeyedIndex(names, key, (ref, est))


class _KeyedIndex(dict):
  """File index under a match key; colliding names are an error."""

  def __init__(self, names, key, tables):
    super().__init__((name, i) for i, name in enumerate(names))
    self.key = key
    self.by_key = {}
    for source in (names, *(table.names for table in tables)):
      seen = {}
      for name in dict.fromkeys(source):
        if seen.setdefault(key(name), name) != name:
          raise ValueError(
            f"match: keys must tell files apart, received {name!r} and"
            f" {seen[key(name)]!r} for {key(name)!r}"
          )
    self.by_key = {key(name): i for name, i in self.items()}

  def get(self, name, default=None):
    return self.by_key.get(self.key(name), default)


def _encode(
  table, argument, file_index, labels, unknown_labels, unknown_files, match,
  notes,
):  # fmt: skip
  """Replaces names by indices; drops what is unknown and to be ignored."""
  label_index = {name: i for i, name in enumerate(labels)}
  num_rows = len(table.labels)
  file, label = (
    np.fromiter(map(index.get, names, repeat(-1)), np.int64, num_rows)  # [rows]
    for index, names in (
      (file_index, table.names),
      (label_index, table.labels),
    )
  )
  keep = np.ones(num_rows, bool)
  if num_rows and label.min() < 0:
    rows = np.flatnonzero(label < 0)
    unknown = list(dict.fromkeys(table.labels[i] for i in rows))
    if unknown_labels == "error":
      raise ValueError(
        f"{argument}: label {did_you_mean(unknown[0], labels)}"
        f" ({len(rows)} such rows from row {rows[0]} on: {unknown[:5]})"
      )
    notes["unknown_labels_ignored"] = len(rows)
    keep &= label >= 0
  if num_rows and file.min() < 0:
    rows = np.flatnonzero(file < 0)
    unknown = list(dict.fromkeys(table.names[i] for i in rows))
    if unknown_files == "error":
      hint = ", try match='basename' or match='stem'" if match == "name" else ""
      raise ValueError(
        f"{argument}: file must be in the file list, received"
        f" {unknown[:5]} in {len(rows)} rows from row {rows[0]} on{hint}"
      )
    notes["unknown_files_ignored"] = len(rows)
    keep &= file >= 0
  events = Events(file, label, *table.times)
  return events if keep.all() else events.take(keep)
