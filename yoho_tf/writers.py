"""Writes events and results to files: csv, json, Audacity labels.

    write(result, "out.csv")               chosen by the extension
    write(result, "out", format="json")    chosen by name

A format is a class with `name`, `extensions`, `keeps` (event columns it can
hold), `precision_seconds` (0: times read back bit for bit) and `text`.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np

from yoho_tf.events import COLUMNS, DEFAULTS, TEXT_COLUMNS, EventTable
from yoho_tf.files import replace_text
from yoho_tf.labels import csv_text, did_you_mean
from yoho_tf.results import Detections, Tags, extra_fields

BASE_COLUMNS = ("filename", "start", "end", "label", "score")


class Csv:
  """One row per event; of Tags, one row per patch with every score.

  Event columns: filename, start, end, label, score, then those of low_hz,
  high_hz, annotator, track that some event has. Empty field: none.
  """

  name = "csv"
  extensions = (".csv",)
  keeps = COLUMNS
  precision_seconds = 0.0

  @staticmethod
  def text(result) -> str:
    if isinstance(result, Tags):
      header = ("start", "end", *result.labels)
      patches = result.to_dict()["patches"]
      rows = [(p["start"], p["end"], *p["scores"]) for p in patches]
    else:
      events = events_of(result)
      header = used_columns(events)
      columns = [_blank_nan(getattr(events, name)) for name in header]
      rows = zip(*columns, strict=True)
    return csv_text([header, *rows])


class Json:
  """The result's `to_dict()`; of an EventTable, {"events": [...]}.

  What is unknown is left out, a score null: NaN never appears.
  """

  name = "json"
  extensions = (".json",)
  keeps = COLUMNS
  precision_seconds = 0.0

  @staticmethod
  def text(result) -> str:
    if isinstance(result, EventTable):
      result = {"events": [_event_dict(event) for event in result]}
    else:
      result = result.to_dict()
    fields = (f"  {_dump(key)}: {_lines(v)}" for key, v in result.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


class Audacity:
  """A label track: start, end, label between tabs; of Tags, its events().

  Where an event has a band, a second line follows: backslash, low, high in Hz,
  -1 for no bound.
  """

  name = "audacity"
  extensions = (".txt",)
  keeps = ("start", "end", "label", "low_hz", "high_hz")
  precision_seconds = 0.0

  @staticmethod
  def text(result) -> str:
    lines = []
    for event in events_of(result):
      if any(mark in event.label for mark in "\t\n\r"):
        raise ValueError(
          f"label must be without tab and newline in Audacity, "
          f"got {event.label!r}"
        )
      times = _decimals(event.start), _decimals(event.end)
      lines.append("\t".join((*times, event.label)))
      band = [
        "-1" if math.isnan(value) else _decimals(value)
        for value in (event.low_hz, event.high_hz)
      ]
      if band != ["-1", "-1"]:
        lines.append("\t".join(("\\", *band)))
    return "".join(line + "\n" for line in lines)


FORMATS = {kind.name: kind for kind in (Csv, Json, Audacity)}


def write(result, path, *, format: str | None = None, strict=False) -> None:
  """Writes a result or a table, whole or not at all.

  A failure leaves the file that was there before.

  Args:
    result: Detections, Tags or EventTable.
    path: the file; its folder must exist.
    format: a name of FORMATS; without it the extension decides.
    strict: what the format cannot hold is an error, not a warning.

  Raises:
    ValueError: unknown format, or a label that the format cannot spell.
  """
  kind = find_format(path, format=format)
  lost = lost_columns(result, kind)
  if lost:
    what = ", ".join(f"{column} ({count})" for column, count in lost.items())
    message = f"{path}: {kind.name} cannot hold {what}"
    if strict:
      raise ValueError(message)
    warnings.warn(message, stacklevel=2)
  replace_text(path, kind.text(result))


def find_format(path, *, format: str | None = None) -> type:
  """The class of FORMATS for a name or else for a path's extension."""
  if format is not None:
    if format not in FORMATS:
      raise ValueError(f"format {did_you_mean(format, FORMATS)}")
    return FORMATS[format]
  extension = Path(path).suffix.lower()
  by_extension = {
    end: kind for kind in FORMATS.values() for end in kind.extensions
  }
  if extension not in by_extension:
    raise ValueError(
      f"{path}: extension {did_you_mean(extension, by_extension)} (or give "
      f"format=)"
    )
  return by_extension[extension]


def events_of(result) -> EventTable:
  """The events of a result, or the table itself."""
  if isinstance(result, EventTable):
    return result
  if isinstance(result, Detections):
    return result.named_events()
  if isinstance(result, Tags):
    return result.events()
  raise ValueError(
    "result must be Detections, Tags or EventTable, got "
    f"{type(result).__name__}"
  )


def used_columns(events: EventTable) -> list[str]:
  """The five columns every file has, and others that some event uses."""
  return [
    name
    for name in COLUMNS
    if name in BASE_COLUMNS or _is_used(events, name).any()
  ]


def lost_columns(result, kind: type) -> dict[str, int]:
  """Event columns that a format cannot hold, with the events concerned."""
  events = events_of(result)
  lost = {}
  for name in COLUMNS:
    used = int(_is_used(events, name).sum())
    # One recording per file is what its own name says.
    implied = name == "filename" and len(set(events.filename)) < 2
    if used and name not in kind.keeps and not implied:
      lost[name] = used
  return lost


def _is_used(events: EventTable, name: str) -> np.ndarray:
  """Which events say something in a column: bool [events]."""
  column = getattr(events, name)
  if name in TEXT_COLUMNS:
    return np.array(column != DEFAULTS[name], bool)
  return ~np.isnan(column)


def _blank_nan(column: np.ndarray) -> list:
  """Plain values; NaN becomes None, which csv writes as an empty field."""
  if column.dtype == object:
    return column.tolist()
  return np.where(np.isnan(column), None, column).tolist()


def _event_dict(event) -> dict:
  row = {"start": event.start, "end": event.end, "label": event.label}
  if not math.isnan(event.score):
    row["score"] = event.score
  return row | extra_fields(event)


def _dump(value) -> str:
  return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(value) -> str:
  """JSON with every dict of a list on its own line."""
  if isinstance(value, list) and value and isinstance(value[0], dict):
    return "[\n    " + ",\n    ".join(map(_dump, value)) + "\n  ]"
  return _dump(value)


def _decimals(value: float) -> str:
  """Shortest exact decimal, never in exponents, with six places at least."""
  return np.format_float_positional(value, unique=True, min_digits=6)
