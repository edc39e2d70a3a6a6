"""Label tracks of editors: Raven selection tables, Audacity; and RTTM."""

import math
import re

import numpy as np

from yoho_tf.annotations import Annotations
from yoho_tf.events import EventTable
from yoho_tf.formats.base import EVENTS, TIMES, Format
from yoho_tf.formats.desed import optional_numbers
from yoho_tf.formats.lists import plain_text
from yoho_tf.formats.text import (
  decimals,
  header_of,
  is_number_like,
  lines_of,
  make_events,
  milliseconds,
  number,
  numbered_lines,
  read_table,
  shortest,
  spell,
)
from yoho_tf.labels import did_you_mean

BEGIN, END = "Begin Time (s)", "End Time (s)"
LOW, HIGH = "Low Freq (Hz)", "High Freq (Hz)"
OFFSET = "File Offset (s)"
LABELS = ("Annotation", "Species", "Label", "Tags", "Common Name")
FILES = ("Begin Path", "Begin File")


class Raven(Format):
  """A selection table: one row per view of a selection.

  The views of one selection collapse; frequencies are those of the
  spectrogram. Other columns become extras. Written: one view per event, with
  `Begin File` where the recording has a name.
  """

  name = "raven"
  extensions = (".txt", ".tsv")
  file_ending = ".Table.1.selections.txt"
  keeps = (*EVENTS, "score", "low_hz", "high_hz", "extras")
  per_recording = True
  options = ("label_column",)

  @classmethod
  def sniff(cls, head):
    return {BEGIN, END} <= set(header_of(head))

  @classmethod
  def read(cls, source, *, label_column=None):
    table = read_table(source, quoted=False)
    table.need(BEGIN, END)
    named = [name for name in LABELS if name in table.columns]
    if label_column is not None and label_column not in table.columns:
      raise source.error(
        1, f"label_column {did_you_mean(label_column, table.columns)}"
      )
    if label_column is None and not named:
      raise source.error(
        1,
        f"header must have one of {', '.join(LABELS)} (or say label_column=), "
        f"got {list(table.columns)}",
      )
    label_column = label_column or named[0]
    stem = re.sub(r"(\.Table\.[0-9]+)?(\.selections)?$", "", source.stem)
    recording = source.audio_of(stem)[0]
    table = _one_view(table)
    columns = table.columns
    if not table.lines:
      return Annotations(known_empty=(recording,), source_format=cls.name)
    start, end = table.numbers(BEGIN), table.numbers(END)
    if OFFSET in columns:
      offset = table.numbers(OFFSET)
      # Where both agree the end stays as written, bit for bit.
      end = np.where(offset == start, end, offset + (end - start))
      start = offset
    file_column = next((name for name in FILES if name in columns), None)
    numbers = {
      name: optional_numbers(table, column)
      for name, column in (
        ("low_hz", LOW), ("high_hz", HIGH), ("score", "Confidence")
      )
      if column in columns
    }  # fmt: skip
    if set(columns.get("Channel", ())) <= {"1"}:
      columns.pop("Channel", None)
    used = {"Selection", "View", BEGIN, END, LOW, HIGH, OFFSET, "Confidence"}
    return Annotations(
      events=make_events(
        source,
        table.lines,
        filename=columns[file_column] if file_column else recording,
        start=start,
        end=end,
        label=columns[label_column],
        **numbers,
      ),
      extras=table.extras(*used, label_column, file_column),
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    events = annotations.events
    extras = dict(annotations.extras)
    blank = ("1",) * len(events)
    columns = {
      "Selection": map(str, range(1, len(events) + 1)),
      "View": ("Spectrogram 1",) * len(events),
      "Channel": extras.pop("Channel", blank),
      BEGIN: map(shortest, events.start),
      END: map(shortest, events.end),
      LOW: map(_blank, events.low_hz),
      HIGH: map(_blank, events.high_hz),
    }
    if not np.isnan(events.score).all():
      columns["Confidence"] = map(_blank, events.score)
    if any(events.filename):
      columns["Begin File"] = [
        spell("filename", name, cls.name) for name in events.filename
      ]
    columns["Annotation"] = [
      spell("label", label, cls.name) for label in events.label
    ]
    for name, column in extras.items() if len(events) else ():
      if name in columns or any(re.search("[\t\n\r]", x) for x in column):
        raise ValueError(f"extras must be without tab and newline, in a "
                         f"column of their own, got {name!r}")  # fmt: skip
      columns[name] = column
    return plain_text([list(columns), *zip(*columns.values())])


def _blank(value: float) -> str:
  return "" if math.isnan(value) else shortest(value)


def _one_view(table):
  """One row per selection: the first, or that of the spectrogram."""
  if not {"Selection", "View"} <= table.columns.keys():
    return table
  files = next((table.columns[n] for n in FILES if n in table.columns), None)
  chosen, seen = {}, {}
  for row, (selection, view) in enumerate(
    zip(table.columns["Selection"], table.columns["View"])
  ):
    key = (files[row] if files else "", selection)
    if not selection.strip() or view in seen.get(key, ()):
      key = (*key, row)  # The same view again is another event.
    seen.setdefault(key, set()).add(view)
    if key not in chosen or view.startswith("Spectrogram"):
      chosen[key] = row
  return table.take(sorted(chosen.values()))


class Audacity(Format):
  """A label track: start, end, label between tabs.

  Where an event has a band, a second line follows: backslash, low, high in Hz,
  -1 for no bound. A label without width is an error, or lasts `point_seconds`.
  """

  name = "audacity"
  extensions = (".txt",)
  keeps = (*TIMES, "low_hz", "high_hz")
  per_recording = True
  options = ("point_seconds",)

  @classmethod
  def sniff(cls, head):
    first = next(filter(str.strip, lines_of(head)), None)
    if first is None:
      return True
    fields = first.split("\t")
    return len(fields) == 3 and all(map(is_number_like, fields[:2]))

  @classmethod
  def read(cls, source, *, point_seconds=None):
    rows, lines = [], []
    for line, text in numbered_lines(source):
      fields = text.strip(" ").split("\t", 2)
      if fields[0].strip() == "\\":
        if not rows or len(rows[-1]) > 3:
          raise source.error(line, "a frequency line must follow a label")
        rows[-1] += _band(source, line, fields[1:])
        continue
      if len(fields) != 3:
        raise source.error(
          line, f"row must be start, end, label between tabs, got {text!r}"
        )
      start, end = (
        number(source, line, column, value)
        for column, value in zip(("start", "end"), fields)
      )
      if start == end and point_seconds is None:
        raise source.error(
          line,
          "end must be greater than start (or say point_seconds=), got "
          f"{text!r}",
        )
      rows.append([start, end if end != start else end + point_seconds])
      rows[-1].append(fields[2])
      lines.append(line)
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    rows = [row if len(row) > 3 else [*row, math.nan, math.nan] for row in rows]
    names = ("start", "end", "label", "low_hz", "high_hz")
    columns = dict(zip(names, zip(*rows)))
    return Annotations(
      events=make_events(source, lines, filename=source.recording, **columns),
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    rows = []
    for event in annotations.events:
      label = spell("label", event.label, "Audacity")
      rows.append([decimals(event.start), decimals(event.end), label])
      band = [
        "-1" if math.isnan(value) else decimals(value)
        for value in (event.low_hz, event.high_hz)
      ]
      if band != ["-1", "-1"]:
        rows.append(["\\", *band])
    return plain_text(rows)


def _band(source, line, fields) -> list[float]:
  if len(fields) != 2:
    raise source.error(
      line, f"a frequency line must be \\, low, high, got {fields}"
    )
  bounds = [
    number(source, line, column, text)
    for column, text in zip(("low", "high"), fields)
  ]
  return [math.nan if bound == -1 else bound for bound in bounds]


class Rttm(Format):
  """`SPEAKER file channel start duration <NA> <NA> label score <NA>`."""

  name = "rttm"
  extensions = (".rttm",)
  keeps = (*EVENTS, "score", "extras.channel")
  precision_seconds = 1e-3

  @classmethod
  def read(cls, source):
    rows, lines = [], []
    for line, text in numbered_lines(source):
      fields = text.split()
      if fields[0].startswith(";") or fields[0] != "SPEAKER":
        continue
      if len(fields) not in (9, 10):
        raise source.error(
          line, f"row must have 10 fields, got {len(fields)}: {text!r}"
        )
      start = number(source, line, "start", fields[3])
      seconds = number(source, line, "duration", fields[4])
      score = math.nan
      if fields[8] != "<NA>":
        score = number(source, line, "score", fields[8])
      # A sum of milliseconds is meant, not that of two binary numbers.
      end = round(start + seconds, 9)
      rows.append((fields[1], start, end, fields[7], score, fields[2]))
      lines.append(line)
    if not rows:
      return Annotations(events=EventTable.empty(), source_format=cls.name)
    *columns, channels = zip(*rows)
    names = ("filename", "start", "end", "label", "score")
    return Annotations(
      events=make_events(source, lines, **dict(zip(names, columns))),
      extras={"channel": channels} if set(channels) != {"1"} else {},
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    lines = []
    channels = annotations.extras.get("channel")
    for row, event in enumerate(annotations.events):
      for column in ("filename", "label"):
        value = spell(column, getattr(event, column), cls.name, "")
        if len(value.split()) > 1:
          raise ValueError(
            f"{column} must be without blanks in {cls.name}, got {value!r}"
          )
      start, end = milliseconds(event)
      score = "<NA>" if math.isnan(event.score) else shortest(event.score)
      channel = channels[row] if channels else "1"
      lines.append(
        f"SPEAKER {event.filename} {channel} {start / 1000:.3f} "
        f"{(end - start) / 1000:.3f} <NA> <NA> {event.label} {score} <NA>\n"
      )
    return "".join(lines)
