"""Any table of events as checked columns.

Accepts an `EventTable` or anything with its columns as attributes, a mapping
of columns, `Annotations`, a pandas DataFrame (its index is never used), or a
path.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

_ALIASES = {
  "filename": ("filename",),
  "start": ("start", "onset"),
  "end": ("end", "offset"),
  "label": ("label", "event_label"),
  "score": ("score", "confidence"),
  "low_hz": ("low_hz",),
  "high_hz": ("high_hz",),
}


class Table(NamedTuple):
  """Checked columns of one table."""

  names: list
  labels: list
  times: tuple  # start, end, score, low_hz, high_hz, float64 [events]
  known_empty: list


def read_table(source, argument, rules, notes):
  """Columns of any accepted input, checked row by row."""
  known_empty = []
  if isinstance(source, (str, os.PathLike)):
    from yoho_tf.readers import read

    source = read(source)
  if hasattr(source, "events") and not hasattr(source, "start"):
    known_empty = [str(name) for name in getattr(source, "known_empty", ())]
    source = source.events
  columns = _columns(source, argument)
  names, labels = columns["filename"], columns["label"]
  num_rows = len(labels)
  if names is None:
    names = [""] * num_rows
  times = tuple(
    np.full(num_rows, np.nan) if columns[name] is None else columns[name]
    for name in ("start", "end", "score", "low_hz", "high_hz")
  )
  lengths = {len(names), num_rows, *(len(column) for column in times)}
  if len(lengths) > 1:
    raise ValueError(
      f"{argument}: columns of one length, received {sorted(lengths)}"
    )
  start, end = times[:2]
  unlabelled = np.zeros(num_rows, bool)
  if not all(isinstance(label, str) and label for label in set(labels)):
    unlabelled[:] = [
      not isinstance(label, str) or not label for label in labels
    ]
  empty = unlabelled & np.isnan(start) & np.isnan(end)
  if empty.any():
    known_empty += [str(names[i]) for i in np.flatnonzero(empty)]
    keep = np.flatnonzero(~empty)
    names = [names[i] for i in keep]
    labels = [labels[i] for i in keep]
    times = tuple(column[keep] for column in times)
    start, end, unlabelled = *times[:2], unlabelled[keep]
  broken = _check_rows(argument, names, labels, times, unlabelled, *rules)
  if broken.any():
    notes[f"{argument}_rows_dropped"] = int(np.count_nonzero(broken))
    keep = np.flatnonzero(~broken)
    names = [names[i] for i in keep]
    labels = [labels[i] for i in keep]
    times = tuple(column[keep] for column in times)
  return Table(names, labels, times, list(dict.fromkeys(known_empty)))


def _check_rows(
  argument, names, labels, times, unlabelled, drop_invalid, zero_length
):
  """Raises at the first rule that a row breaks, or marks such rows."""
  start, end, score = times[:3]
  rules = (
    (unlabelled, "label must be a non-empty text"),
    (~(np.isfinite(start) & np.isfinite(end)), "times must be finite"),
    ((start < 0) | (end < 0), "times must be >= 0"),
    (
      (end < start) if zero_length else (end <= start),
      "end must be greater than start",
    ),
    (np.isinf(score), "score must be finite"),
  )
  if drop_invalid:
    return np.any([broken for broken, _ in rules], axis=0)
  for broken, rule in rules:
    if broken.any():
      rows = np.flatnonzero(broken)
      shown = "; ".join(
        f"row {i}: {names[i]!r} {start[i]} {end[i]} {labels[i]!r}"
        + (f" {score[i]}" if not np.isnan(score[i]) else "")
        for i in rows[:5]
      )
      raise ValueError(
        f"{argument}: {rule}, received {len(rows)} such rows: {shown}"
      )
  return np.zeros(len(labels), bool)


def _columns(source, argument):
  """Dict of columns: lists of text, float64 arrays, None where absent."""
  is_table = hasattr(source, "columns") or isinstance(source, Mapping)
  if not is_table and not hasattr(source, "start"):
    raise ValueError(
      f"{argument}: an EventTable, a DataFrame or a path, received"
      f" {type(source).__name__}"
    )
  present = getattr(source, "columns", source) if is_table else dir(source)
  columns = {}
  for name, aliases in _ALIASES.items():
    found = next((alias for alias in aliases if alias in present), None)
    if found is None:
      if name in ("start", "end", "label") or (name == "filename" and is_table):
        raise ValueError(
          f"{argument}: needs a column {' or '.join(aliases)}, received"
          f" {[str(column) for column in present if column[:1] != '_']}"
        )
      columns[name] = None
      continue
    column = source[found] if is_table else getattr(source, found)
    if name in ("filename", "label"):
      columns[name] = (
        column.tolist() if hasattr(column, "tolist") else list(column)
      )
    else:
      try:
        columns[name] = np.asarray(column, dtype=np.float64)
      except (TypeError, ValueError) as error:
        raise ValueError(
          f"{argument}: {name} must be numbers, {error}"
        ) from None
  return columns
