"""This project's own tables, csv and tsv; they hold everything.

A row without the column `row_kind` is an event, or, where only the file is
named, a recording without events. Other kinds: `tag` (score = value),
`duration` (end = seconds), `unknown` and `known` (score = presence).

With `columns`, {our column: the table's}, both read any table with a header.
"""

import csv
import math

from yoho_tf.annotations import Annotations
from yoho_tf.events import COLUMNS, TEXT_COLUMNS
from yoho_tf.formats.base import EVERYTHING, Format
from yoho_tf.formats.rows import (
  BASE_COLUMNS,
  KINDS,
  annotations_of,
  companion_rows,
  used_columns,
)
from yoho_tf.formats.text import (
  blank_nan,
  header_of,
  make_events,
  read_table,
)
from yoho_tf.labels import csv_text, did_you_mean
from yoho_tf.results import Tags

NEEDED = ("filename", "start", "end", "label")
OURS = (*COLUMNS, "row_kind")
NUMBERS = tuple(name for name in COLUMNS if name not in TEXT_COLUMNS)


class Csv(Format):
  """One row per event; of Tags, one row per patch with every score.

  Event columns: filename, start, end, label, score, then those of low_hz,
  high_hz, annotator, track that some event has. Empty field: none.
  """

  name = "csv"
  extensions = (".csv",)
  keeps = EVERYTHING
  whole_results = True
  options = ("columns",)
  delimiter = ","

  @classmethod
  def sniff(cls, head):
    return set(NEEDED) <= set(header_of(head))

  @classmethod
  def read(cls, source, *, columns=None):
    """Reads one `text.Source`.

    Args:
      columns: {our column: the table's}, for tables with other names; a
        column of ours that is left out has its own name. What the table
        holds beside them goes to the extras.
    """
    table = read_table(source)
    if columns is not None:
      table = renamed(table, columns)
    table.need(*NEEDED)
    columns, num_rows = table.columns, len(table.lines)
    kinds = columns.get("row_kind", ("",) * num_rows)
    rows = {kind: [] for kind in KINDS}
    filled = zip(columns["start"], columns["end"], columns["label"])
    for row, (kind, values) in enumerate(zip(kinds, filled)):
      kind = kind or ("event" if any(values) else "empty")
      if kind not in rows:
        raise source.error(
          table.lines[row], f"row_kind must be one of {KINDS}, got {kind!r}"
        )
      rows[kind].append(row)

    def part(kind, *names):
      """Columns of one kind of row: texts, or numbers with NaN for gaps."""
      part = table.take(rows[kind]) if len(rows[kind]) < num_rows else table
      for name in names:
        if name not in columns:
          yield [math.nan] * len(part.lines)
        elif name in NUMBERS:
          yield gappy(part, name)
        else:
          yield part.columns[name]

    def events(kind, names):
      names = [name for name in names if name in columns]
      lines = [table.lines[row] for row in rows[kind]]
      found = dict(zip(names, part(kind, *names)))
      return make_events(source, lines, allow_empty_label=True, **found)

    names = [name for name in columns if name not in OURS]
    kind = "event" if rows["event"] else "tag"
    extras = dict(zip(names, part(kind, *names))) if rows[kind] else {}
    return Annotations(
      events=events("event", COLUMNS),
      tags=list(zip(*part("tag", "filename", "label", "score"))),
      durations=dict(zip(*part("duration", "filename", "end"))),
      known_empty=next(part("empty", "filename")),
      unknown=events("unknown", BASE_COLUMNS[:4]),
      known=events("known", BASE_COLUMNS),
      extras=extras,
      source_format=cls.name,
    )

  @classmethod
  def text(cls, result):
    if isinstance(result, Tags):
      header = ("start", "end", *result.labels)
      patches = result.to_dict()["patches"]
      rows = [(p["start"], p["end"], *p["scores"]) for p in patches]
      return csv_text([header, *rows], cls.delimiter)
    notes = annotations_of(result)
    events = notes.events
    header = [*used_columns(events)]
    rows = list(zip(*(blank_nan(getattr(events, name)) for name in header)))
    others = list(companion_rows(notes))
    if any(r["row_kind"] != "empty" or not r["filename"] for r in others):
      header.append("row_kind")
      rows = [(*row, None) for row in rows]
    names = list(notes.extras)
    clash = sorted({*names} & {*OURS, "index", ""})
    if clash:
      raise ValueError(f"extras must have names of their own, got {clash}")
    extras = list(zip(*notes.extras.values()))
    if len(events) and names:
      rows = [(*row, *extra) for row, extra in zip(rows, extras)]
    num_tags = 0
    for other in others:
      row = tuple(other.get(name) for name in header)
      if names and not len(events) and other["row_kind"] == "tag":
        row, num_tags = (*row, *extras[num_tags]), num_tags + 1
      rows.append((*row, *(None for _ in names[len(row) - len(header) :])))
    return csv_text([header + names, *rows], cls.delimiter)


class Tsv(Csv):
  """As csv, between tabs."""

  name = "tsv"
  extensions = (".tsv",)
  delimiter = "\t"


def parse_columns(text: str) -> dict[str, str]:
  """ "start=onset,end=offset" -> {"start": "onset", "end": "offset"}.

  A part with a comma in it stands in quotes, as in a row of CSV.
  """
  columns = {}
  for part in next(csv.reader([text], skipinitialspace=True)) or [""]:
    ours, equals, name = (field.strip() for field in part.partition("="))
    if not (ours and equals and name):
      raise ValueError(f"must be OURS=NAME,..., got {part!r}")
    if ours in columns:
      raise ValueError(f"must name {ours} once, got {text!r}")
    columns[ours] = name
  check_columns(columns)
  return columns


def check_columns(columns) -> None:
  """Raises ValueError where {our column: the table's} names none of ours."""
  for name in columns:
    if name not in OURS:
      raise ValueError(f"name of a column {did_you_mean(name, OURS)}")


def renamed(table, columns):
  """A table under our names.

  A column that is not asked for but has the name of one that is becomes
  `table_NAME`.
  """
  check_columns(columns)
  found, taken = {}, {*columns, *table.columns}
  for ours, name in columns.items():
    if name not in table.columns:
      raise table.source.error(
        1, f"column for {ours} {did_you_mean(name, table.columns)}"
      )
    found[ours] = table.columns[name]
  for name, column in table.columns.items():
    if name in columns.values():
      continue
    if name in columns:
      while name in taken:
        name = f"table_{name}"
      taken.add(name)
    found[name] = column
  for ours in NEEDED:
    if ours not in found:
      raise table.source.error(
        1,
        f"columns must say which one is {ours}, got only "
        f"{', '.join(columns)}; the table has {', '.join(table.columns)}",
      )
  return table._replace(columns=found)


def gappy(table, column):
  """A column of numbers with gaps, which become NaN: a list."""
  texts = table.columns[column]
  rows = [i for i, text in enumerate(texts) if text.strip()]
  if len(rows) == len(texts):
    return table.numbers(column).tolist()
  values = [math.nan] * len(texts)
  for row, value in zip(rows, table.take(rows).numbers(column).tolist()):
    values[row] = value
  return values
