"""Lists without a header, one event per line."""

import csv
import math
import re
import warnings

from yoho_tf.annotations import Annotations
from yoho_tf.formats.base import EVENTS, TIMES, Format
from yoho_tf.formats.text import (
  is_number_like,
  lines_of,
  make_events,
  number,
  numbered_lines,
  shortest,
  spell,
)

HEADER_WORDS = {"onset", "offset", "start", "end", "duration"}


def split_row(line: str) -> list[str]:
  """Fields between tabs, else between commas (quoted as CSV), stripped."""
  if "\t" in line:
    fields = line.split("\t")
  else:
    fields = next(csv.reader([line], skipinitialspace=True))
  return [field.strip() for field in fields]


def split_fields(line: str) -> list[str]:
  """The same without empty fields at the end."""
  fields = split_row(line)
  while fields and not fields[-1]:
    fields.pop()
  return fields


def rows_of(source) -> list[tuple[int, list[str]]]:
  """(line number, fields) of every line that is not blank.

  Raises:
    ValueError: the first row names columns instead of giving numbers.
  """
  rows = [(n, split_fields(line)) for n, line in numbered_lines(source)]
  for line, fields in rows[:1]:
    is_named = HEADER_WORDS & {field.lower() for field in fields}
    if is_named and not any(map(is_number_like, fields)):
      raise source.error(
        line, f"row must hold numbers, without a header before, got {fields}"
      )
  return rows


def first_fields(head: str) -> list[str]:
  """Fields of the first line that is not blank; [] for an empty file."""
  first = next(filter(str.strip, lines_of(head)), "")
  return split_fields(first) if first else []


def is_times(fields) -> bool:
  """Whether two fields are meant as numbers."""
  return len(fields) == 2 and all(map(is_number_like, fields))


def read_rows(source, rows, layout, name, *, points=False, **columns):
  """Annotations with events of rows that all have the columns of `layout`.

  Args:
    source: the file.
    rows: (line, fields) pairs.
    layout: column -> index among the fields; `start`, `end` or `duration`,
      and `score` are numbers.
    name: of the format.
    points: an event without length gets the least one there is, with a
      warning; published lists have some.
    **columns: further columns, one value or [events].
  """
  lines = [line for line, _ in rows]
  found = {}
  for column, index in layout.items():
    found[column] = texts = [fields[index] for _, fields in rows]
    if column in ("start", "end", "duration", "score"):
      found[column] = [
        number(source, line, column, text) for line, text in zip(lines, texts)
      ]
  if "duration" in found:
    seconds = found.pop("duration")
    found["end"] = [a + b for a, b in zip(found["start"], seconds)]
  if points:
    pairs = enumerate(zip(found["start"], found["end"]))
    at = [row for row, (start, end) in pairs if start == end]
    for row in at:
      found["end"][row] = math.nextafter(found["end"][row], math.inf)
    if at:
      warnings.warn(
        f"{source.path}:{lines[at[0]]}: {len(at)} events end where they start; "
        "kept with the least length there is",
        stacklevel=4,
      )
  return Annotations(
    events=make_events(source, lines, **{**found, **columns}),
    source_format=name,
  )


def need_fields(source, rows, allowed, what: str):
  """Raises at the first row whose number of fields is not allowed."""
  for line, fields in rows:
    if len(fields) not in allowed:
      raise source.error(
        line, f"row must be {what}, got {len(fields)} fields: {fields}"
      )


class DcaseList(Format):
  """`[file [scene]] onset offset label` between tabs or commas.

  Two columns need `label=`. A lone file name, or an empty file, stands for a
  recording without events.
  """

  name = "dcase_list"
  extensions = (".txt", ".lst", ".tsv", ".csv")
  keeps = (*EVENTS, "known_empty", "extras.scene")
  options = ("label",)
  layouts = {
    2: {"start": 0, "end": 1},
    3: {"start": 0, "end": 1, "label": 2},
    4: {"filename": 0, "start": 1, "end": 2, "label": 3},
    5: {"filename": 0, "start": 2, "end": 3, "label": 4},
  }

  @classmethod
  def sniff(cls, head):
    fields = first_fields(head)
    if len(fields) < 2:
      return not fields or re.search(r"\.\w{2,4}$", fields[0]) is not None
    layout = cls.layouts.get(len(fields))
    if not layout or not is_times(fields[layout["start"]:][:2]):  # fmt: skip
      return False
    # Four columns that begin with two times are another format.
    return len(fields) != 4 or not is_times(fields[:2])

  @classmethod
  def read(cls, source, *, label=None):
    rows = rows_of(source)
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    # One word could be a file, or a broken row: files have a dot.
    lone = [fields[0] for _, fields in rows if len(fields) == 1]
    rows = [row for row in rows if len(row[1]) > 1]
    if not rows:
      return Annotations(known_empty=lone, source_format=cls.name)
    num_fields = len(rows[0][1])
    need_fields(
      source,
      rows,
      {num_fields} & cls.layouts.keys(),
      "[file [scene]] onset offset label, all alike",
    )
    given = {}
    if num_fields == 2:
      if label is None:
        raise source.error(
          rows[0][0], f"label= must be given for two columns, got {rows[0][1]}"
        )
      given["label"] = [label] * len(rows)
    if num_fields < 4:
      given["filename"] = source.recording
    notes = read_rows(
      source, rows, cls.layouts[num_fields], cls.name, points=True, **given
    )
    scenes = {"scene": [fields[1] for _, fields in rows]}
    return Annotations(
      events=notes.events,
      known_empty=lone,
      extras=scenes if num_fields == 5 else {},
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    events = annotations.events
    scenes = annotations.extras.get("scene")
    lines = []
    has_files = any(events.filename) or annotations.known_empty
    for row, event in enumerate(events):
      fields = [shortest(event.start), shortest(event.end)]
      fields.append(spell("label", event.label, cls.name))
      if has_files:
        if scenes:
          fields.insert(0, spell("scene", scenes[row], cls.name))
        fields.insert(0, spell("filename", event.filename, cls.name))
      lines.append(fields)
    for name in annotations.known_empty:
      spell("filename", name, cls.name, "\t\n\r,")
      lines.append([name])
    return plain_text(lines)


class UrbanSed(Format):
  """`start end label` between tabs, one file per clip."""

  name = "urban_sed"
  extensions = (".txt",)
  keeps = TIMES
  per_recording = True
  layout = {"start": 0, "end": 1, "label": 2}

  @classmethod
  def sniff(cls, head):
    fields = first_fields(head)
    first = next(filter(str.strip, lines_of(head)), "\t")
    return not fields or (
      len(fields) == len(cls.layout) and is_times(fields[:2]) and "\t" in first
    )

  @classmethod
  def read(cls, source):
    rows = rows_of(source)
    need_fields(source, rows, (len(cls.layout),), " ".join(cls.layout))
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    return read_rows(
      source, rows, cls.layout, cls.name, filename=source.recording
    )

  @classmethod
  def text(cls, annotations):
    rows = []
    for event in annotations.events:
      values = event._asdict()
      row = [
        spell("label", event.label, cls.name)
        if column == "label"
        else shortest(values[column])
        for column in cls.layout
      ]
      rows.append(row)
    return plain_text(rows)


class Mirex(UrbanSed):
  """`onset offset class` between tabs, one file per clip."""

  name = "mirex"
  extensions = (".txt", ".lab", ".mirex")


def plain_text(rows) -> str:
  """Rows between tabs, never quoted."""
  return "".join("\t".join(fields) + "\n" for fields in rows)
