"""What all text formats share: decoding, rows, numbers, errors with a line.

Every error is a ValueError `file:line: column rule, got 'text'`.
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from yoho_tf.events import EventTable

BOMS = (
  (b"\xef\xbb\xbf", "utf-8"),
  (b"\xff\xfe", "utf-16-le"),
  (b"\xfe\xff", "utf-16-be"),
)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# What somebody may have meant as a number; the reader then says what is wrong.
NUMBER_LIKE = re.compile(
  r"[+-]?[0-9.][0-9.,]*([eE][+-]?[0-9]+)?|[+-]?(nan|inf)"
)


@dataclass(frozen=True)
class Source:
  """One file that is being read.

  Attributes:
    path: as messages name it.
    text: decoded; line ends as they are.
    audio_of: function of a stem -> name of the audio file that it stands for
      and its path, or None where there is no such file.
  """

  path: str
  text: str
  audio_of: object = lambda stem: (f"{stem}.wav", None)

  @property
  def stem(self) -> str:
    """Name without folder and extension."""
    return PurePath(self.path).stem

  @property
  def recording(self) -> str:
    """The recording, in formats with one file per recording."""
    return self.audio_of(self.stem)[0]

  def json(self):
    """The text as JSON."""
    try:
      return json.loads(self.text)
    except json.JSONDecodeError as error:
      raise self.error(error.lineno, f"must be JSON, got {error.msg}") from None

  def error(self, line: int, message: str) -> ValueError:
    """The error to raise for a line (from 1)."""
    return ValueError(f"{self.path}:{line}: {message}")


def decode(data: bytes, path, *, errors: str = "strict") -> str:
  """Text of a file: UTF-8, or UTF-16 with or without its mark."""
  found = next((pair for pair in BOMS if data.startswith(pair[0])), None)
  if found:
    data, encoding = data[len(found[0]) :], found[1]
  elif len(data) % 2 == 0 and data[:4].count(0) == 2:
    encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
  else:
    encoding = "utf-8"
  try:
    return data.decode(encoding, errors)
  except UnicodeDecodeError as error:
    line = data[: error.start].count(b"\n") + 1
    raise ValueError(
      f"{path}:{line}: text must be UTF-8 or UTF-16, got byte "
      f"{data[error.start]:#04x}"
    ) from None


def lines_of(text: str) -> list[str]:
  """All lines, whatever their ends; other breaks of Unicode are text."""
  return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def numbered_lines(source: Source) -> list[tuple[int, str]]:
  """(line number from 1, text) of the lines that are not blank."""
  lines = enumerate(lines_of(source.text), 1)
  return [(number, line) for number, line in lines if line.strip()]


class Table(NamedTuple):
  """A table with a header; columns are texts, [rows]."""

  source: Source
  lines: list[int]
  columns: dict[str, Sequence[str]]

  def numbers(self, column: str) -> np.ndarray:
    """A column as float64 [rows]."""
    return numbers(self.source, self.lines, column, self.columns[column])

  def take(self, rows: Sequence[int]) -> "Table":
    """Some of the rows."""
    columns = {k: [v[i] for i in rows] for k, v in self.columns.items()}
    return Table(self.source, [self.lines[i] for i in rows], columns)

  def need(self, *names: str) -> None:
    """Raises where a column is absent."""
    missing = [name for name in names if name not in self.columns]
    if missing:
      raise self.source.error(
        1, f"header must have {', '.join(missing)}, got {list(self.columns)}"
      )

  def extras(self, *known: str) -> dict[str, Sequence[str]]:
    """The columns that are not known to a format."""
    names = [name for name in self.columns if name not in known]
    return {name: self.columns[name] for name in names}


def delimiter_of(text: str) -> str:
  """Tab where the first line that is not blank has one, else comma."""
  first = next(filter(str.strip, lines_of(text[:65536])), "")
  return "\t" if "\t" in first else ","


def header_of(head: str) -> list[str]:
  """Fields of the first line that is not blank, stripped."""
  first = next(filter(str.strip, lines_of(head)), "")
  row = next(csv.reader([first], delimiter=delimiter_of(first)), [])
  return [field.strip() for field in row]


def read_table(source: Source, *, quoted: bool = True) -> Table:
  """Reads a table with a header, between tabs or commas, quoted as CSV.

  Blank lines are skipped, a short row is filled with "". Columns without a
  name, and pandas' `index` and `Unnamed: 0`, are left out.

  Args:
    source: the file.
    quoted: whether a field that begins with a quote ends with one.
  """
  reader = csv.reader(
    io.StringIO(source.text, newline=""),
    delimiter=delimiter_of(source.text),
    quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    strict=True,
  )
  try:
    pairs = [
      (reader.line_num, row) for row in reader if any(map(str.strip, row))
    ]
  except csv.Error as error:
    raise source.error(reader.line_num, f"must be CSV, got {error}") from None
  if not pairs:
    raise source.error(1, "must have a header, got an empty file")
  header = [name.strip() for name in pairs[0][1]]
  lines = [line for line, _ in pairs[1:]]
  rows = [row for _, row in pairs[1:]]
  for index, row in enumerate(rows):
    if len(row) < len(header):
      rows[index] = row + [""] * (len(header) - len(row))
    elif len(row) > len(header):
      raise source.error(
        lines[index],
        f"row must have {len(header)} fields, got {len(row)}: {row}",
      )
  columns = {}
  values = list(zip(*rows)) if rows else [()] * len(header)
  for name, column in zip(header, values):
    if name in columns:
      raise source.error(1, f"header must name {name!r} once, got two")
    if name and name != "index" and not name.startswith("Unnamed: "):
      columns[name] = column
  return Table(source, lines, columns)


def numbers(source: Source, lines, column: str, texts) -> np.ndarray:
  """Texts as float64; an error names the line, the column and the text."""
  try:
    values = np.array(list(map(float, texts)), np.float64)
    # float() also takes "nan", "inf" and "1_0".
    is_plain = np.isfinite(values).all() and "_" not in "".join(texts)
  except ValueError:
    is_plain = False
  if not is_plain:
    for line, text in zip(lines, texts):
      number(source, line, column, text)
  return values


def number(source: Source, line: int, column: str, text: str) -> float:
  """One finite number."""
  text = text.strip()
  if not NUMBER.fullmatch(text):
    hint = " (a decimal comma?)" if re.search("[0-9],[0-9]", text) else ""
    raise source.error(line, f"{column} must be a number, got {text!r}{hint}")
  if not np.isfinite(float(text)):
    raise source.error(line, f"{column} must be finite, got {text!r}")
  return float(text)


def is_number_like(text: str) -> bool:
  """Whether a sniffer takes a field for a number, well written or not."""
  return bool(NUMBER_LIKE.fullmatch(text.strip()))


def make_events(
  source: Source,
  lines,
  *,
  label,
  start,
  end,
  allow_empty_label=False,
  **columns,
):
  """An EventTable whose rules are checked with the lines of the source.

  Args:
    source: the file.
    lines: line of each event, [events].
    label: names, [events].
    start: seconds, [events].
    end: seconds, [events].
    allow_empty_label: "" is a label.
    **columns: others of EventTable, [events] or one for all.
  """
  start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
  # [events]
  score = np.broadcast_to(
    np.asarray(columns.get("score", np.nan), np.float64), start.shape
  )
  rules = (
    ("start must be at least 0", start < 0),
    ("end must be greater than start", ~(end > start)),
    ("score must be finite", np.isinf(score)),
  )
  for rule, broken in rules:
    if broken.any():
      row = int(np.argmax(broken))
      raise source.error(
        lines[row], f"{rule}, got {start[row]} {end[row]} {label[row]!r}"
      )
  if not (allow_empty_label or all(text.strip() for text in set(label))):
    row = next(i for i, text in enumerate(label) if not text.strip())
    raise source.error(
      lines[row], f"label must not be empty, got {label[row]!r}"
    )
  try:
    return EventTable.from_columns(start=start, end=end, label=label, **columns)
  except ValueError as error:
    found = re.match("row ([0-9]+): ", str(error))
    line = lines[int(found[1])] if found else 1
    text = str(error).removeprefix(found[0] if found else "")
    raise source.error(line, text) from None


def blank_nan(column) -> list:
  """Plain values; NaN becomes None, which is written as an empty field."""
  values = column.tolist()
  return [None if value != value else value for value in values]


def shortest(value: float) -> str:
  """The shortest decimal that reads back equal."""
  return repr(float(value))


def decimals(value: float) -> str:
  """Shortest exact decimal, never in exponents, with six places at least."""
  return np.format_float_positional(value, unique=True, min_digits=6)


def milliseconds(event) -> tuple[int, int]:
  """Start and end in whole milliseconds, at least one apart."""
  start = round(event.start * 1000)
  return start, max(start + 1, round(event.end * 1000))


def spell(column: str, text: str, kind: str, forbidden: str = "\t\n\r") -> str:
  """The text itself, or an error where a format cannot hold it."""
  if any(mark in text for mark in forbidden):
    marks = [m for m in forbidden if m in text]
    raise ValueError(f"{column} must be without {marks[0]!r} in {kind}, "
                     f"got {text!r}")  # fmt: skip
  if not text or text != text.strip():
    raise ValueError(
      f"{column} must be without outer blanks and not empty in {kind}, "
      f"got {text!r}"
    )
  return text
