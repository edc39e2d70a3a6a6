"""Lists of the sets TUT Sound Events and MAESTRO Real."""

import re
import warnings

import numpy as np

from yoho_tf.annotations import Annotations
from yoho_tf.events import EventTable
from yoho_tf.formats.base import EVENTS, TIMES, Format
from yoho_tf.formats.desed import STRONG, DesedStrong
from yoho_tf.formats.lists import (
  UrbanSed,
  first_fields,
  is_number_like,
  need_fields,
  plain_text,
  read_rows,
  rows_of,
)
from yoho_tf.formats.text import (
  header_of,
  lines_of,
  shortest,
  spell,
)


class TutAnn(Format):
  """`.ann` of TUT sets.

  Development: `file scene onset offset label ...`, where further columns
  become extras; evaluation: `onset offset label`, the stem is the clip.
  Written as development where the extras hold a scene.
  """

  name = "tut_ann"
  extensions = (".ann",)
  further = ("column_6", "column_7", "column_8")
  keeps = (*EVENTS, "extras.scene", *(f"extras.{name}" for name in further))
  per_recording = True

  @classmethod
  def read(cls, source):
    rows = rows_of(source)
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    num_fields = len(rows[0][1])
    if num_fields == 3:
      need_fields(source, rows, (3,), "onset offset label, all alike")
      layout = UrbanSed.layout
      return read_rows(
        source,
        rows,
        layout,
        cls.name,
        points=True,
        filename=source.recording,
      )
    need_fields(source, rows, range(5, 9), "file scene onset offset label ...")
    layout = {"filename": 0, "start": 2, "end": 3, "label": 4}
    notes = read_rows(source, rows, layout, cls.name, points=True)
    extras = {"scene": [fields[1] for _, fields in rows]}
    for index, name in enumerate(cls.further, 5):
      texts = ["".join(fields[index : index + 1]) for _, fields in rows]
      if any(texts):
        extras[name] = texts
    return Annotations(
      events=notes.events, extras=extras, source_format=cls.name
    )

  @classmethod
  def text(cls, annotations):
    events, extras = annotations.events, annotations.extras
    scenes = extras.get("scene")
    if scenes is None and len(set(events.filename)) > 1:
      raise ValueError(
        f"extras must have a scene in {cls.name} for several recordings, got "
        "none"
      )
    further = [extras.get(name, ("",) * len(events)) for name in cls.further]
    rows = []
    for row, event in enumerate(events):
      fields = [shortest(event.start), shortest(event.end)]
      fields.append(spell("label", event.label, cls.name))
      if scenes is not None:
        fields.insert(0, spell("scene", scenes[row], cls.name))
        fields.insert(0, spell("filename", event.filename, cls.name))
        fields += [column[row] for column in further]
        while not fields[-1]:
          fields.pop()
      rows.append(fields)
    return plain_text(rows)


class MaestroSoft(UrbanSed):
  """`onset offset label confidence` between tabs, one file per recording.

  Seconds without a row are a known 0. Values above 1 become 1, with a warning.
  """

  name = "maestro_soft"
  keeps = (*TIMES, "score")
  layout = {"start": 0, "end": 1, "label": 2, "score": 3}

  @classmethod
  def sniff(cls, head):
    fields = first_fields(head)
    return len(fields) == 4 and all(
      map(is_number_like, fields[:2] + fields[3:])
    )

  @classmethod
  def read(cls, source):
    notes = super().read(source)
    score = notes.events.score
    above = int(np.count_nonzero(score > 1))
    if above:
      warnings.warn(
        f"{source.path}: {above} values above 1 were clipped", stacklevel=3
      )
    if (score < 0).any():
      row = int(np.argmin(score))
      raise source.error(
        rows_of(source)[row][0],
        f"confidence must be in 0..1, got {score[row]}",
      )
    return Annotations(
      events=notes.events.replace(score=np.minimum(score, 1.0)),
      known_empty=notes.known_empty,
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    if np.isnan(annotations.events.score).any():
      raise ValueError(f"score must be given in {cls.name}, got NaN")
    return super().text(annotations)


WINDOW = re.compile(r"(.+)-([0-9]{6,})-([0-9]{6,})(\.[A-Za-z0-9]+)")


class MaestroWindows(DesedStrong):
  """A strong table of windows `<stem>-<start*100>-<end*100>.wav`.

  With `fold=True` files are the recordings again, and times count from their
  start; what overlapping windows say twice is kept once.
  """

  name = "maestro_windows"
  extensions = (".tsv", ".csv")
  keeps = (*EVENTS, "score", "known_empty", "extras")
  options = ("fold",)

  @classmethod
  def sniff(cls, head):
    header = header_of(head)
    if not set(STRONG) <= set(header):
      return False
    second = [line for line in lines_of(head) if line.strip()][1:2]
    fields = second[0].split("\t") if second else []
    index = header.index("filename")
    return len(fields) > index and bool(WINDOW.fullmatch(fields[index]))

  @classmethod
  def read(cls, source, *, fold=False):
    notes = super().read(source)
    names = dict.fromkeys([*notes.events.filename, *notes.known_empty])
    windows = {name: window_of(name, source) for name in names}
    if not fold:
      return notes
    events = notes.events
    start = [windows[name][1] for name in events.filename]
    rows = events.replace(
      filename=[windows[name][0] for name in events.filename],
      start=events.start + start,
      end=events.end + start,
    )
    # repr, since NaN is not equal to itself.
    once = list({repr(event): event for event in rows}.values())
    return Annotations(
      events=EventTable.from_rows(once),
      known_empty=[windows[name][0] for name in notes.known_empty],
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    events = annotations.events
    for name in dict.fromkeys([*events.filename, *annotations.known_empty]):
      window_of(name)
    return super().text(annotations)


def window_of(name: str, source=None) -> tuple[str, float]:
  """Recording and first second of a window's file name."""
  found = WINDOW.fullmatch(name)
  if not found:
    where = f"{source.path}: " if source else ""
    raise ValueError(
      f"{where}filename must be <stem>-<start*100:06d>-<end*100:06d>.wav, got "
      f"{name!r}"
    )
  return found[1] + found[4], int(found[2]) / 100
