"""Tables of AudioSet, and of ESC-50: clip labels and strong labels."""

import csv

from yoho_tf.annotations import Annotations, Tag
from yoho_tf.events import EventTable
from yoho_tf.formats.base import EVENTS, Format
from yoho_tf.formats.text import (
  Table,
  header_of,
  lines_of,
  make_events,
  number,
  read_table,
  shortest,
  spell,
)
from yoho_tf.labels import csv_text

STRONG = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
CLIP_SECONDS = 10.0


def split_segment_id(segment_id: str) -> tuple[str, float]:
  """YouTube id and start in seconds of `ytid_startms`.

  The id may hold "_" itself, so the last one counts.
  """
  video, _, start = segment_id.rpartition("_")
  if not video or not start.isdecimal():
    raise ValueError(f"segment_id must be ytid_startms, got {segment_id!r}")
  return video, int(start) / 1000


def _events(source, table: Table, **columns) -> EventTable:
  for line, name in zip(table.lines, table.columns["segment_id"]):
    try:
      split_segment_id(name)
    except ValueError as error:
      raise source.error(line, str(error)) from None
  return make_events(
    source,
    table.lines,
    filename=table.columns["segment_id"],
    start=table.numbers("start_time_seconds"),
    end=table.numbers("end_time_seconds"),
    label=table.columns["label"],
    **columns,
  )


class AudiosetStrong(Format):
  """`segment_id start_time_seconds end_time_seconds label`.

  Labels are mids: `labels=` or `--relabel mid_to_display_name.tsv` names them.
  """

  name = "audioset_strong"
  extensions = (".tsv",)
  keeps = EVENTS

  @classmethod
  def sniff(cls, head):
    header = set(header_of(head))
    return set(STRONG) <= header and "present" not in header

  @classmethod
  def read(cls, source):
    table = read_table(source)
    table.need(*STRONG)
    return Annotations(events=_events(source, table), source_format=cls.name)

  @classmethod
  def text(cls, annotations):
    events = annotations.events
    for name in set(events.filename):
      split_segment_id(name)
    for label in set(events.label):
      spell("label", label, cls.name, "")
    columns = (events.filename, events.start, events.end, events.label)
    rows = zip(*(column.tolist() for column in columns))
    return csv_text([STRONG, *rows], "\t")


class AudiosetPosneg(Format):
  """The strong columns plus `present`, PRESENT or NOT_PRESENT, per frame.

  Listed pairs of frame and label are `known`; all else is `unknown`.
  """

  name = "audioset_posneg"
  extensions = (".tsv",)
  answers = {"present": 1.0, "not present": 0.0}

  @classmethod
  def sniff(cls, head):
    return {*STRONG, "present"} <= set(header_of(head))

  @classmethod
  def read(cls, source):
    table = read_table(source)
    table.need(*STRONG, "present")
    scores = []
    for line, text in zip(table.lines, table.columns["present"]):
      answer = text.strip().lower().replace("_", " ")
      if answer not in cls.answers:
        raise source.error(
          line, f"present must be PRESENT or NOT_PRESENT, got {text!r}"
        )
      scores.append(cls.answers[answer])
    known = _events(source, table, score=scores)
    ends = {}
    for name, end in zip(known.filename, known.end.tolist()):
      ends[name] = max(end, ends.get(name, CLIP_SECONDS))
    return Annotations(
      known=known,
      unknown=EventTable.from_columns(
        filename=list(ends),
        start=[0.0] * len(ends),
        end=list(ends.values()),
        label="",
      ),
      source_format=cls.name,
    )


class AudiosetWeak(Format):
  """Three `#` lines, then `YTID, start, end, "mid,mid"` -> tags.

  Recordings are named `ytid_startms`, as in the strong tables.
  """

  name = "audioset_weak"
  extensions = (".csv",)
  keeps = ("tags", "durations")

  @classmethod
  def sniff(cls, head):
    first = next(filter(str.strip, lines_of(head)), "")
    return first.startswith("#") and "YTID" in head

  @classmethod
  def read(cls, source):
    tags, durations = [], {}
    for line, text in enumerate(lines_of(source.text), 1):
      if not text.strip() or text.startswith("#"):
        continue
      fields = next(csv.reader([text], skipinitialspace=True))
      if len(fields) != 4:
        raise source.error(
          line, f'row must be YTID, start, end, "labels", got {fields}'
        )
      video, start, end, labels = fields
      start = number(source, line, "start", start)
      end = number(source, line, "end", end)
      if not 0 <= start < end:
        raise source.error(
          line, f"end must be greater than start, got {start} {end}"
        )
      name = f"{video.strip()}_{round(start * 1000)}"
      durations[name] = end - start
      for label in labels.split(","):
        if not label.strip():
          raise source.error(line, f"label must not be empty, got {labels!r}")
        tags.append(Tag(name, label.strip()))
    return Annotations(tags=tags, durations=durations, source_format=cls.name)

  @classmethod
  def text(cls, annotations):
    clips = {}
    for tag in annotations.tags:
      if tag.value != 1:
        raise ValueError(f"tags must have the value 1, got {tag}")
      spell("label", tag.label, cls.name, ',"\n\r')
      clips.setdefault(tag.filename, []).append(tag.label)
    labels = {tag.label for tag in annotations.tags}
    lines = [
      "# Segments csv",
      f"# num_ytids={len(clips)}, num_segs={len(clips)}, "
      f"num_unique_labels={len(labels)}, "
      f"num_positive_labels={len(annotations.tags)}",
      "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for name, of_clip in clips.items():
      video, start = split_segment_id(name)
      spell("filename", video, cls.name, ',"\n\r')
      end = start + annotations.durations.get(name, CLIP_SECONDS)
      times = f"{shortest(start)}, {shortest(end)}"
      lines.append(f'{video}, {times}, "{",".join(of_clip)}"')
    return "\n".join(lines) + "\n"


class Esc50(Format):
  """`filename,fold,target,category,esc10,src_file,take` -> tags."""

  name = "esc50"
  extensions = (".csv",)
  header = "filename fold target category esc10 src_file take".split()
  others = ("fold", "target", "esc10", "src_file", "take")
  keeps = ("tags", *(f"extras.{name}" for name in others))

  @classmethod
  def sniff(cls, head):
    return set(cls.header) <= set(header_of(head))

  @classmethod
  def read(cls, source):
    table = read_table(source)
    table.need(*cls.header)
    names, labels = table.columns["filename"], table.columns["category"]
    for line, label in zip(table.lines, labels):
      if not label.strip():
        raise source.error(line, f"category must not be empty, got {label!r}")
    return Annotations(
      tags=[Tag(name, label.strip()) for name, label in zip(names, labels)],
      extras={name: table.columns[name] for name in cls.others},
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    if any(tag.value != 1 for tag in annotations.tags):
      raise ValueError(f"tags must have the value 1 in {cls.name}, got others")
    extras = {} if len(annotations.events) else annotations.extras
    blank = [None] * len(annotations.tags)
    columns = {name: extras.get(name, blank) for name in cls.others}
    columns["filename"] = [tag.filename for tag in annotations.tags]
    columns["category"] = [tag.label for tag in annotations.tags]
    rows = zip(*(columns[name] for name in cls.header))
    return csv_text([cls.header, *rows], ",")
