"""Tables of DESED and of what evaluates it: TSV with a header."""

import re
from pathlib import PurePath

import numpy as np

from yoho_tf.annotations import Annotations, FrameScores, Tag
from yoho_tf.formats.base import EVENTS, Format
from yoho_tf.formats.text import (
  Table,
  blank_nan,
  header_of,
  make_events,
  read_table,
  shortest,
  spell,
)
from yoho_tf.labels import csv_text

STRONG = ("filename", "onset", "offset", "event_label")


def split_empty(table: Table, columns) -> tuple[Table, list[str]]:
  """Parts event-free rows, where all these columns are empty, from events.

  Returns:
    the table without them, and their file names.
  """
  values = zip(*(table.columns[name] for name in columns))
  empty = {i for i, row in enumerate(values) if not "".join(row).strip()}
  if not empty:
    return table, []
  names = [table.columns["filename"][i] for i in sorted(empty)]
  kept = [i for i in range(len(table.lines)) if i not in empty]
  return table.take(kept), names


class DesedStrong(Format):
  """`filename onset offset event_label` [`confidence`], in any order.

  A row with nothing but a file name stands for a recording without events.
  """

  name = "desed_strong"
  extensions = (".tsv", ".csv", ".txt")
  keeps = (*EVENTS, "score", "known_empty", "extras")

  @classmethod
  def sniff(cls, head):
    return set(STRONG) <= set(header_of(head))

  @classmethod
  def read(cls, source):
    table = read_table(source)
    table.need(*STRONG)
    table, empty = split_empty(table, STRONG[1:])
    scores = {}
    if "confidence" in table.columns:
      scores["score"] = optional_numbers(table, "confidence")
    return Annotations(
      events=make_events(
        source,
        table.lines,
        filename=table.columns["filename"],
        start=table.numbers("onset"),
        end=table.numbers("offset"),
        label=table.columns["event_label"],
        **scores,
      ),
      known_empty=empty,
      extras=table.extras(*STRONG, "confidence"),
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    events, extras = annotations.events, annotations.extras
    header = list(STRONG)
    for label in set(events.label):
      spell("label", label, cls.name, "")
    columns = [events.filename.tolist(), events.start.tolist()]
    columns += [events.end.tolist(), events.label.tolist()]
    if not np.isnan(events.score).all():
      header.append("confidence")
      columns.append(blank_nan(events.score))
    if len(events):
      header += extras
      columns += extras.values()
    blank = [None] * (len(header) - 1)
    if "" in annotations.known_empty:
      raise ValueError(f"known_empty must have names in {cls.name}, got ''")
    empty = [[name, *blank] for name in annotations.known_empty]
    return csv_text([header, *zip(*columns), *empty], "\t")


class DesedWeak(Format):
  """`filename event_labels`, labels between commas -> tags."""

  name = "desed_weak"
  extensions = (".tsv", ".csv")
  keeps = ("tags", "known_empty")

  @classmethod
  def sniff(cls, head):
    return {"filename", "event_labels"} <= set(header_of(head))

  @classmethod
  def read(cls, source):
    table = read_table(source)
    table.need("filename", "event_labels")
    tags, empty = [], []
    columns = (table.columns["filename"], table.columns["event_labels"])
    for line, name, labels in zip(table.lines, *columns):
      if not labels.strip():
        empty.append(name)
        continue
      for label in labels.split(","):
        if not label.strip():
          raise source.error(
            line, f"event_labels must not be empty, got {labels!r}"
          )
        tags.append(Tag(name, label.strip()))
    return Annotations(tags=tags, known_empty=empty, source_format=cls.name)

  @classmethod
  def text(cls, annotations):
    labels = {name: [] for name in annotations.known_empty}
    for tag in annotations.tags:
      if tag.value != 1:
        raise ValueError(
          f"tags must have the value 1 in {cls.name}, got {tag.value} for "
          f"{tag.label!r} in {tag.filename!r}"
        )
      spell("label", tag.label, cls.name, ",")
      labels.setdefault(tag.filename, []).append(tag.label)
    rows = [(name, ",".join(of_file)) for name, of_file in labels.items()]
    return csv_text([("filename", "event_labels"), *rows], "\t")


class DesedDurations(Format):
  """`filename duration`; rows that say the same twice collapse."""

  name = "desed_durations"
  extensions = (".tsv", ".csv")
  keeps = ("durations",)

  @classmethod
  def sniff(cls, head):
    header = set(header_of(head))
    return {"filename", "duration"} <= header and "onset" not in header

  @classmethod
  def read(cls, source):
    table = read_table(source)
    table.need("filename", "duration")
    seconds = table.numbers("duration")
    durations = {}
    for line, name, value in zip(
      table.lines, table.columns["filename"], seconds.tolist()
    ):
      if value <= 0:
        raise source.error(line, f"duration must be above 0, got {value}")
      if durations.setdefault(name, value) != value:
        raise source.error(
          line,
          f"duration must be one per file, got {value} after "
          f"{durations[name]} for {name!r}",
        )
    return Annotations(durations=durations, source_format=cls.name)

  @classmethod
  def text(cls, annotations):
    rows = annotations.durations.items()
    return csv_text([("filename", "duration"), *rows], "\t")


class OperatingPoints(Format):
  """A folder of strong tables, one per threshold, which ends their names.

  Reads as {threshold: Annotations}, in rising order.
  """

  name = "operating_points"
  extensions = (".tsv", ".csv")
  keeps = DesedStrong.keeps
  opens = "folder"
  holds = dict
  holds_text = "{threshold: Annotations}"

  @classmethod
  def sniff_folder(cls, named_heads):
    """Whether all files are strong tables and their names end in numbers."""
    points = [last_number(name) for name, _ in named_heads]
    return (
      len(points) > 1
      and None not in points
      and len(set(points)) == len(points)
      and all(DesedStrong.sniff(head) for _, head in named_heads)
    )

  @classmethod
  def read_folder(cls, sources):
    points = {}
    for source in sources:
      threshold = last_number(source.path)
      if threshold is None:
        raise ValueError(
          f"{source.path}: name must end in the threshold, got none"
        )
      if threshold in points:
        raise ValueError(
          f"{source.path}: threshold must be another in every file, got "
          f"{threshold} again"
        )
      points[threshold] = DesedStrong.read(source)
    return dict(sorted(points.items()))

  @classmethod
  def folder_texts(cls, points):
    """{file name: text}."""
    return {
      f"predictions_th_{shortest(threshold)}.tsv": DesedStrong.text(table)
      for threshold, table in points.items()
    }


class ScoreTsv(Format):
  """A folder, one table of frames per clip: `onset offset class1 class2 ...`.

  Reads as `FrameScores`; the stem is the clip.
  """

  name = "score_tsv"
  extensions = (".tsv",)
  opens = "folder"
  holds = FrameScores
  holds_text = "FrameScores"

  @classmethod
  def sniff(cls, head):
    header = header_of(head)
    others = {"filename", "event_label", "label", "class"}
    return header[:2] == ["onset", "offset"] and (
      len(header) > 2 and not others & set(header)
    )

  @classmethod
  def sniff_folder(cls, named_heads):
    return bool(named_heads) and all(cls.sniff(h) for _, h in named_heads)

  @classmethod
  def read_folder(cls, sources):
    scores, boundaries, labels = {}, {}, None
    for source in sources:
      clip = source.stem
      if clip in scores:
        raise ValueError(f"{source.path}: stem must be unique, got {clip!r}")
      table = read_table(source)
      table.need("onset", "offset")
      found = tuple(n for n in table.columns if n not in ("onset", "offset"))
      labels = found if labels is None else labels
      if set(found) != set(labels):
        raise source.error(
          1, f"header must have the classes {labels}, got {found}"
        )
      start, end = table.numbers("onset"), table.numbers("offset")
      if not len(start):
        raise source.error(1, "must hold at least one frame, got none")
      broken = np.append(np.abs(start[1:] - end[:-1]) > 1e-6, False)
      broken |= end <= start
      if broken.any():
        row = int(np.argmax(broken))
        raise source.error(
          table.lines[row],
          f"frames must be contiguous and not empty, got {start[row]} "
          f"{end[row]} before {start[min(row + 1, len(start) - 1)]}",
        )
      scores[clip] = np.stack([table.numbers(n) for n in labels], axis=1)
      boundaries[clip] = np.append(start, end[-1])  # [frames + 1]
    return FrameScores(scores, boundaries, labels or ())

  @classmethod
  def folder_texts(cls, frames):
    """{file name: text}."""
    labels = tuple(getattr(frames.labels, "names", frames.labels))
    for label in labels:
      spell("label", label, cls.name, "")
      if label in ("onset", "offset", "index"):
        raise ValueError(f"label must not be a column's name, got {label!r}")
    texts = {}
    for clip, scores in frames.scores.items():
      bounds = np.asarray(frames.boundaries_of(clip), np.float64).tolist()
      rows = zip(bounds[:-1], bounds[1:], np.asarray(scores).tolist())
      rows = [(start, end, *values) for start, end, values in rows]
      texts[f"{clip}.tsv"] = csv_text(
        [("onset", "offset", *labels), *rows], "\t"
      )
    return texts


def optional_numbers(table: Table, column: str) -> np.ndarray:
  """A column of numbers with gaps, which become NaN."""
  texts = [text if text.strip() else None for text in table.columns[column]]
  if None not in texts:
    return table.numbers(column)
  rows = [i for i, text in enumerate(texts) if text is not None]
  values = np.full(len(texts), np.nan)
  values[rows] = table.take(rows).numbers(column)
  return values


def last_number(path: str) -> float | None:
  """The number that a file's name, without its extension, ends with."""
  found = re.search(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)$", PurePath(path).stem)
  return float(found[1]) if found else None
