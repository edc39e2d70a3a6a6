"""Lists of sets with music and speech: Muspeak, OFAI, qlemaire, MUSAN."""

from yoho_tf.annotations import Annotations, Tag
from yoho_tf.events import EventTable
from yoho_tf.formats.base import TIMES, Format
from yoho_tf.formats.lists import (
  UrbanSed,
  first_fields,
  is_times,
  need_fields,
  read_rows,
  rows_of,
)
from yoho_tf.formats.text import (
  lines_of,
  numbered_lines,
  read_table,
  spell,
)
from yoho_tf.labels import csv_text


class Muspeak(Format):
  """`start,duration,class` without a header, one file per recording."""

  name = "muspeak"
  extensions = (".csv",)
  keeps = TIMES
  # The end is a sum.
  precision_seconds = 1e-9
  per_recording = True

  @classmethod
  def sniff(cls, head):
    fields = first_fields(head)
    return len(fields) == 3 and is_times(fields[:2]) and (
      fields[2].lower() in ("m", "s", "music", "speech")
    )  # fmt: skip

  @classmethod
  def read(cls, source):
    rows = rows_of(source)
    need_fields(source, rows, (3,), "start,duration,class")
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    layout = {"start": 0, "duration": 1, "label": 2}
    return read_rows(source, rows, layout, cls.name, filename=source.recording)

  @classmethod
  def text(cls, annotations):
    rows = []
    for event in annotations.events:
      label = spell("label", event.label, cls.name)
      rows.append((event.start, event.end - event.start, label))
    return csv_text(rows, ",")


class Ofai(Format):
  """`start duration flag` between tabs with a header; the flag is the label."""

  name = "ofai"
  extensions = (".label",)
  per_recording = True

  @classmethod
  def read(cls, source):
    table = read_table(source)
    table.need("start", "duration", "flag")
    rows = [
      (line, fields)
      for line, fields in zip(
        table.lines,
        zip(*(table.columns[name] for name in ("start", "duration", "flag"))),
      )
    ]
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    layout = {"start": 0, "duration": 1, "label": 2}
    return read_rows(source, rows, layout, cls.name, filename=source.recording)


class Qlemaire(Format):
  """`t_start t_stop music|speech` between blanks, or one word for the file.

  One word is an event as long as the audio beside it, or, without audio, a
  tag.
  """

  name = "qlemaire"
  extensions = (".txt",)
  per_recording = True
  words = ("music", "speech", "noise")

  @classmethod
  def sniff(cls, head):
    fields = next(filter(str.strip, lines_of(head)), "").lower().split()
    return fields in [[word] for word in cls.words] or (
      len(fields) == 3 and is_times(fields[:2]) and fields[2] in cls.words
    )

  @classmethod
  def read(cls, source):
    rows = [(line, text.split()) for line, text in numbered_lines(source)]
    if len(rows) == 1 and len(rows[0][1]) == 1:
      return whole_file(source, source.stem, rows[0][1][0], cls.name)
    need_fields(source, rows, (3,), "t_start t_stop label")
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    return read_rows(
      source, rows, UrbanSed.layout, cls.name, filename=source.recording
    )


class Musan(Format):
  """`ANNOTATIONS` beside the audio: `utt genres vocals(Y/N) musician`.

  One event per file, labelled by the first part of its name (music, speech,
  noise); a tag where the audio is not at hand. The musician may hold blanks.
  """

  name = "musan"
  extensions = ()
  filenames = ("ANNOTATIONS",)

  @classmethod
  def read(cls, source):
    parts, columns = [], {"genres": [], "vocals": [], "musician": []}
    for line, text in numbered_lines(source):
      utterance, *fields = text.split(maxsplit=3)
      label = utterance.split("-")[0]
      if "-" not in utterance or not label:
        raise source.error(
          line, f"utt must be like music-fma-0000, got {utterance!r}"
        )
      parts.append(whole_file(source, utterance, label, cls.name))
      fields += [""] * (3 - len(fields))
      for column, value in zip(columns.values(), fields):
        column.append(value.strip())
    notes = Annotations.concat(parts)
    if len(notes.events) in (0, len(parts)):
      notes = Annotations(**{**vars(notes), "extras": columns})
    return notes


def whole_file(source, stem, label, name) -> Annotations:
  """One label for a recording: an event of its length, or a tag."""
  filename, path = source.audio_of(stem)
  if path is None:
    return Annotations(tags=[Tag(filename, label)], source_format=name)
  from yoho_tf import audio

  seconds = audio.info(path).duration_seconds
  return Annotations(
    events=EventTable.from_columns(
      start=[0.0], end=[seconds], label=[label], filename=filename
    ),
    durations={filename: seconds},
    source_format=name,
  )
