"""Tables for the metric tests: plain files, and random ones."""

import csv
from pathlib import Path

import numpy as np

from yoho_tf.metrics import FrameScores

_NAMES = {"onset": "start", "offset": "end", "event_label": "label"}


def read_columns(path):
  """Columns of a table with a header; empty times are NaN."""
  delimiter = "," if _head(path).startswith(",") else "\t"
  with open(path, newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file, delimiter=delimiter))
  columns = {}
  header = rows[0] if rows else dict.fromkeys(_head(path).strip().split("\t"))
  for name in header:
    values = [row[name] for row in rows]
    if name in _NAMES and name != "event_label":
      values = np.array([float(value or "nan") for value in values])
    columns[_NAMES.get(name, name)] = values
  return columns


def _head(path):
  with open(path, encoding="utf-8") as file:
    return file.readline()


def read_durations(path):
  """File -> seconds."""
  table = read_columns(path)
  return dict(zip(table["filename"], map(float, table["duration"])))


def read_list(folder, name):
  """A nameless event list, as rows of (filename, start, end, label)."""
  rows = []
  for line in (Path(folder) / name).read_text(encoding="utf-8").splitlines():
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) >= 3:
      numbers = [i for i, field in enumerate(fields) if _is_number(field)]
      at = numbers[0]
      rows.append((float(fields[at]), float(fields[at + 1]), fields[at + 2]))
  return rows


def _is_number(text):
  try:
    float(text)
  except ValueError:
    return False
  return True


def columns(rows):
  """Rows of (filename, start, end, label[, score]) as columns."""
  names = ("filename", "start", "end", "label", "score")
  width = len(rows[0]) if rows else 4
  return {
    name: [row[i] for row in rows] for i, name in enumerate(names[:width])
  }


def pair_columns(folder, pairs):
  """Pairs of nameless lists, each one file: (reference, estimate)."""
  out = ([], [])
  for name, pair in enumerate(pairs):
    for rows, source in zip(out, pair):
      rows += [(f"{name}", *row) for row in read_list(folder, source)]
  return columns(out[0]), columns(out[1])


def random_rows(generator, *, num_files=4, num_events=6, labels="abc", grid=4):
  """Random events on a coarse grid, so that edges often coincide."""
  rows = []
  for _ in range(num_events):
    start = generator.integers(0, 9 * grid) / grid
    end = start + generator.integers(1, 3 * grid) / grid
    rows.append(
      (
        f"f{generator.integers(num_files)}",
        float(start),
        float(end),
        labels[generator.integers(len(labels))],
      )
    )
  return rows


def without_overlaps(rows):
  """Leaves out what overlaps or touches an earlier event of its class."""
  kept = []
  for row in sorted(rows):
    if all(
      row[0] != other[0] or row[3] != other[3] or row[1] > other[2]
      for other in kept
    ):
      kept.append(row)
  return kept


def random_scores(generator, *, num_files=4, labels="abc", levels=8):
  """Scores with ties and plateaus, files of different length."""
  scores, bounds = {}, {}
  for file in range(num_files):
    frames = int(generator.integers(1, 14))
    values = generator.integers(0, levels, (frames, len(labels))) / levels
    repeat = generator.integers(1, 3, frames)
    scores[f"f{file}"] = np.repeat(values, repeat, axis=0)
    bounds[f"f{file}"] = np.arange(repeat.sum() + 1) * 0.5
  return FrameScores(scores, bounds, tuple(labels))
