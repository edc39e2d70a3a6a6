"""Annotations as rows, the way our own formats store them."""

from yoho_tf.annotations import Annotations
from yoho_tf.events import COLUMNS, TEXT_COLUMNS, EventTable
from yoho_tf.results import Detections, Tags

BASE_COLUMNS = ("filename", "start", "end", "label", "score")
# Kind of row -> the columns that it must have.
NEEDED = {
  "event": ("start", "end", "label"),
  "unknown": ("start", "end", "label"),
  "known": ("start", "end", "label", "score"),
  "tag": ("label",),
  "duration": ("filename", "end"),
  "empty": ("filename",),
}
KINDS = tuple(NEEDED)


def annotations_of(result) -> Annotations:
  """Annotations of whatever can be written.

  Args:
    result: Annotations, EventTable, Detections or Tags.
  """
  if isinstance(result, Annotations):
    return result
  if isinstance(result, EventTable):
    return Annotations(result)
  if isinstance(result, Detections):
    return Annotations(result.named_events())
  if isinstance(result, Tags):
    return Annotations(result.events())
  raise ValueError(
    "result must be Annotations, Detections, Tags or EventTable, got "
    f"{type(result).__name__}"
  )


def used_columns(events: EventTable) -> list[str]:
  """The five columns every file has, and others that some event uses."""
  return [
    name
    for name in COLUMNS
    if name in BASE_COLUMNS or is_used(events, name).any()
  ]


def is_used(events: EventTable, name: str):
  """Which events say something in a column: bool [events]."""
  column = getattr(events, name)
  if name in TEXT_COLUMNS:
    return (column != "").astype(bool)
  return column == column


def companion_rows(notes: Annotations):
  """Dicts of all companions but the extras."""
  for tag in notes.tags:
    yield {
      "row_kind": "tag",
      "filename": tag.filename,
      "label": tag.label,
      "score": tag.value,
    }
  for name, seconds in notes.durations.items():
    yield {"row_kind": "duration", "filename": name, "end": seconds}
  for name in notes.known_empty:
    yield {"row_kind": "empty", "filename": name}
  for kind in ("unknown", "known"):
    for event in getattr(notes, kind):
      row = {"row_kind": kind, "filename": event.filename}
      row |= {"start": event.start, "end": event.end, "label": event.label}
      if kind == "known":
        row["score"] = event.score
      yield row
