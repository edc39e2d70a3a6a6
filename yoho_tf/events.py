"""Sound events: one row, and a table of rows.

Times are seconds as float64, half-open: an event sounds from `start` up to,
not including, `end`. Only numpy is needed; pandas is imported on request.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from yoho_tf.intervals import merge_gaps
from yoho_tf.labels import did_you_mean

NAN = float("nan")


class Event(NamedTuple):
  """One sound: when, what, how sure, and where it was heard.

  `score` NaN: none. `low_hz`, `high_hz` NaN: unknown, that is the full band.
  `track` is a speaker, tier or instance.
  """

  start: float
  end: float
  label: str
  score: float = NAN
  filename: str = ""
  low_hz: float = NAN
  high_hz: float = NAN
  annotator: str = ""
  track: str = ""


# Column -> what an event has that does not say; None: the column is required.
DEFAULTS = {
  "filename": "",
  "start": None,
  "end": None,
  "label": None,
  "score": NAN,
  "low_hz": NAN,
  "high_hz": NAN,
  "annotator": "",
  "track": "",
}
COLUMNS = tuple(DEFAULTS)
TEXT_COLUMNS = ("filename", "label", "annotator", "track")


@dataclass(frozen=True, eq=False, repr=False)
class EventTable:
  """A table of events; the columns are read-only numpy arrays.

  Text columns are object arrays of str, the others float64, all [events].
  Every table is checked when it is made.

  Raises:
    ValueError: names the row (from 0) and the rule that it breaks.
  """

  filename: np.ndarray
  start: np.ndarray
  end: np.ndarray
  label: np.ndarray
  score: np.ndarray
  low_hz: np.ndarray
  high_hz: np.ndarray
  annotator: np.ndarray
  track: np.ndarray

  def __post_init__(self):
    for name in COLUMNS:
      make = _text_column if name in TEXT_COLUMNS else _number_column
      column = make(name, getattr(self, name))  # [events]
      column.flags.writeable = False
      object.__setattr__(self, name, column)
      if len(column) != len(self.filename):
        raise ValueError(
          f"{name} must be as long as filename, got {len(column)} rows for "
          f"{len(self.filename)}"
        )
    _check_rows(self)

  @classmethod
  def from_rows(cls, rows: Iterable) -> "EventTable":
    """Makes a table of Events, or of tuples in the order of `Event`.

    Args:
      rows: (start, end, label) and as many further fields as wanted.
    """
    events = []
    for index, row in enumerate(rows):
      try:
        events.append(Event(*row))
      except TypeError:
        raise ValueError(
          f"row {index}: must be (start, end, label, ...) with at most "
          f"{len(Event._fields)} fields, got {row!r}"
        ) from None
    if not events:
      return cls.empty()
    columns = zip(*events, strict=True)
    return cls(**dict(zip(Event._fields, columns, strict=True)))

  @classmethod
  def from_columns(cls, *, start, end, label, **optional) -> "EventTable":
    """Makes a table of columns.

    Args:
      start: seconds, [events].
      end: seconds, [events].
      label: names, [events]; like every other column also one value for all.
      **optional: filename, score, low_hz, high_hz, annotator, track.
    """
    unknown = sorted(set(optional) - set(COLUMNS))
    if unknown:
      raise ValueError(f"column {did_you_mean(unknown[0], COLUMNS)}")
    given = {**DEFAULTS, **optional, "start": start, "end": end, "label": label}
    num_rows = np.size(start)
    return cls(**{name: _spread(v, num_rows) for name, v in given.items()})

  @classmethod
  def empty(cls) -> "EventTable":
    """A table without events."""
    return cls.from_columns(start=(), end=(), label=())

  @classmethod
  def concat(cls, tables: Iterable["EventTable"]) -> "EventTable":
    """Joins tables, one below the other."""
    tables = list(tables)
    if not tables:
      return cls.empty()
    return cls(
      *(
        np.concatenate([getattr(table, name) for table in tables])
        for name in COLUMNS
      )
    )

  @classmethod
  def from_df(cls, df) -> "EventTable":
    """Makes a table of a pandas DataFrame.

    Args:
      df: columns start, end, label, and any others of this table. Columns this
        table does not know are left out; missing text becomes "".
    """
    columns = {}
    for name in COLUMNS:
      if name in df.columns and name in TEXT_COLUMNS and name != "label":
        column = df[name].astype(object)
        columns[name] = column.where(column.notna(), "").to_numpy()
      elif name in df.columns:
        columns[name] = df[name].to_numpy(dtype=object)
      elif DEFAULTS[name] is None:
        raise ValueError(
          f"df must have a column {name}, got {list(df.columns)}"
        )
    return cls.from_columns(**columns)

  def to_df(self):
    """The table as a pandas DataFrame with all nine columns."""
    import pandas as pd

    return pd.DataFrame({name: getattr(self, name) for name in COLUMNS})

  def __len__(self) -> int:
    return len(self.start)

  def __iter__(self) -> Iterator[Event]:
    columns = [getattr(self, name).tolist() for name in Event._fields]
    return map(Event._make, zip(*columns, strict=True))

  def __getitem__(self, key):
    """An Event for an int; a table for a slice, a mask or an index array."""
    if np.ndim(key) == 0 and hasattr(key, "__index__"):
      return next(iter(self[[operator.index(key)]]))
    if isinstance(key, (list, tuple)) and not len(key):
      key = slice(0)  # numpy takes an empty list for floats.
    return EventTable(*(getattr(self, name)[key] for name in COLUMNS))

  def __eq__(self, other) -> bool:
    """Same rows in the same order; NaN equals NaN."""
    if not isinstance(other, EventTable):
      return NotImplemented
    return all(
      np.array_equal(
        getattr(self, name),
        getattr(other, name),
        equal_nan=name not in TEXT_COLUMNS,
      )
      for name in COLUMNS
    )

  __hash__ = None

  def __repr__(self) -> str:
    return (
      f"EventTable({len(self)} events, {len(set(self.label))} labels, "
      f"{len(set(self.filename))} files)"
    )

  def replace(self, **columns) -> "EventTable":
    """The same table with some columns exchanged (one value or [events])."""
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
      raise ValueError(f"column {did_you_mean(unknown[0], COLUMNS)}")
    spread = {name: _spread(v, len(self)) for name, v in columns.items()}
    kept = {name: getattr(self, name) for name in COLUMNS}
    return EventTable(**{**kept, **spread})

  def crop(self, start: float, end: float, *, filename=None) -> "EventTable":
    """Cuts a window out of a recording; times then count from its start.

    Keeps what overlaps the window by more than 0.

    Args:
      start: of the window, seconds.
      end: of the window, seconds; may be infinite.
      filename: the recording; without it the table must hold one only.
    """
    if not (np.isfinite(start) and end > start):
      raise ValueError(f"end must be greater than start, got {start}, {end}")
    table = self
    if filename is not None:
      table = self[self.filename == filename]
    elif len(set(self.filename)) > 1:
      raise ValueError(
        "filename must be given for a table of several recordings, got "
        f"{len(set(self.filename))}"
      )
    first = np.maximum(table.start, start) - start
    last = np.minimum(table.end, end) - start
    keep = last > first
    return table[keep].replace(start=first[keep], end=last[keep])

  def merge(self, gap_seconds: float | Mapping[str, float]) -> "EventTable":
    """Joins events of one file and label with at most a gap between them.

    The joined event has the least start, the greatest end and the highest
    score; `annotator` and `track` survive where all parts agree.

    Args:
      gap_seconds: one gap, or label -> gap (a defaultdict has a default).

    Returns:
      A sorted table.
    """
    if not len(self):
      return self
    files, _ = _codes(self.filename)
    labels, names = _codes(self.label)
    gaps = np.array([_gap_of(gap_seconds, name) for name in names])
    key = files * len(names) + labels  # [events]
    order = np.lexsort((self.end, self.start, key))
    start, end, group = merge_gaps(
      self.start[order], self.end[order], gaps[labels[order]], key=key[order]
    )
    first = np.flatnonzero(np.diff(group, prepend=-1))  # [merged]
    return EventTable(
      filename=self.filename[order][first],
      start=start,
      end=end,
      label=self.label[order][first],
      score=np.fmax.reduceat(self.score[order], first),
      # NaN is the full band, so here NaN wins.
      low_hz=np.minimum.reduceat(self.low_hz[order], first),
      high_hz=np.maximum.reduceat(self.high_hz[order], first),
      annotator=_common(self.annotator[order], first),
      track=_common(self.track[order], first),
    ).sort()

  def relabel(self, mapping: Mapping[str, str | None]) -> "EventTable":
    """Renames labels; None leaves the events of a label out.

    Raises:
      ValueError: lists the labels that are not in the mapping.
    """
    missing = sorted(set(self.label) - set(mapping))
    if missing:
      raise ValueError(f"mapping must hold every label, lacks {missing}")
    keep = np.array([mapping[name] is not None for name in self.label], bool)
    table = self[keep]
    return table.replace(label=[mapping[name] for name in table.label])

  def sort(self) -> "EventTable":
    """Sorts by (filename, start, end, label); equal rows keep their order."""
    files, labels = _codes(self.filename)[0], _codes(self.label)[0]
    return self[np.lexsort((labels, self.end, self.start, files))]


def _spread(value, num_rows: int):
  """One value becomes a column."""
  if isinstance(value, str) or np.ndim(value) == 0:
    return [value] * num_rows
  return value


def _number_column(name: str, values) -> np.ndarray:
  """A float64 copy [events] of numbers."""
  array = np.asarray(values)
  if array.size and array.dtype.kind not in "fiuO":
    raise ValueError(f"{name} must hold numbers, got {array.dtype}")
  try:
    array = np.array(values, np.float64)
  except (TypeError, ValueError) as error:
    raise ValueError(f"{name} must hold numbers, got {error}") from None
  if array.ndim != 1:
    raise ValueError(f"{name} must have shape [events], got {array.shape}")
  return array


def _text_column(name: str, values) -> np.ndarray:
  """An object copy [events] of str; equal texts share one str."""
  if isinstance(values, str):
    raise ValueError(f"{name} must have shape [events], got {values!r}")
  values = values.tolist() if isinstance(values, np.ndarray) else list(values)
  if not all(issubclass(kind, str) for kind in set(map(type, values))):
    row = next(i for i, v in enumerate(values) if not isinstance(v, str))
    raise ValueError(f"row {row}: {name} must be a str, got {values[row]!r}")
  shared = {text: str(text) for text in values}
  if name == "label":
    shared = {text: text.strip() for text in shared}
  column = np.empty(len(values), object)  # [events]
  column[:] = [shared[text] for text in values]
  return column


def _check_rows(table: EventTable) -> None:
  """Raises ValueError for the first row that breaks a rule."""
  low, high = table.low_hz, table.high_hz
  rules = (
    ("start must be at least 0", table.start, table.start >= 0),
    ("start must be finite", table.start, np.isfinite(table.start)),
    ("end must be finite", table.end, np.isfinite(table.end)),
    ("end must be greater than start", table.end, table.end > table.start),
    ("score must not be infinite", table.score, ~np.isinf(table.score)),
    ("low_hz must be finite and at least 0", low, ~(low < 0) & ~np.isinf(low)),
    ("high_hz must not be infinite", high, ~np.isinf(high)),
    ("high_hz must not be below low_hz", high, ~(high < low)),
  )
  for rule, values, holds in rules:
    if not holds.all():
      row = int(np.argmin(holds))
      raise ValueError(
        f"row {row}: {rule}, got {values[row]} "
        f"(start {table.start[row]}, label {table.label[row]!r})"
      )


def _codes(texts: np.ndarray) -> tuple[np.ndarray, list[str]]:
  """Index of every text among the sorted different ones, and those."""
  texts = texts.tolist()
  names = sorted(set(texts))
  rank = {name: index for index, name in enumerate(names)}
  return np.array([rank[text] for text in texts], np.int64), names


def _common(texts: np.ndarray, first: np.ndarray) -> np.ndarray:
  """The text of each group that starts at `first`, "" where parts differ."""
  codes, _ = _codes(texts)
  agree = np.minimum.reduceat(codes, first) == np.maximum.reduceat(codes, first)
  return np.where(agree, texts[first], "")


def _gap_of(gap_seconds, label: str) -> float:
  gap = gap_seconds
  if isinstance(gap_seconds, Mapping):
    try:
      gap = gap_seconds[label]
    except KeyError:
      known = sorted(gap_seconds)
      raise ValueError(f"gap_seconds {did_you_mean(label, known)}") from None
  if not gap >= 0:
    raise ValueError(f"gap_seconds must be at least 0, got {gap} for {label!r}")
  return float(gap)
