"""JAMS: JSON of several annotations of one recording."""

import json
import math

from yoho_tf.annotations import Annotations, Tag
from yoho_tf.formats.base import TIMES, Format
from yoho_tf.formats.text import make_events, spell

EVENT_SPACES = ("scaper", "segment_open")
# Where the end is not start + duration, bit for bit, it stands here by row.
EXACT_ENDS = "exact_end_seconds"


class Jams(Format):
  """Namespaces scaper, segment_open (events) and tag_open (tags).

  Of scaper the observation's duration counts, since `event_duration` is that
  before stretching; role `background` is left out.
  """

  name = "jams"
  extensions = (".jams",)
  keeps = (*TIMES, "score", "annotator", "tags", "durations")
  per_recording = True

  @classmethod
  def sniff(cls, head):
    return head.lstrip().startswith("{") and '"namespace"' in head

  @classmethod
  def read(cls, source):
    data = source.json()
    try:
      annotations = data["annotations"]
      seconds = data.get("file_metadata", {}).get("duration")
    except (KeyError, TypeError, AttributeError):
      raise source.error(
        1, 'must be an object with "annotations" and "file_metadata"'
      ) from None
    name, rows, tags, has_events = source.recording, [], [], False
    for index, annotation in enumerate(annotations):
      space = annotation.get("namespace", "")
      where = f"annotations[{index}].data"
      if space == "tag_open":
        for item in _observations(source, annotation, where):
          confidence = item.get("confidence")
          value = 1.0 if confidence is None else confidence
          tags.append(Tag(name, _label(source, item["value"], where), value))
      if space not in EVENT_SPACES:
        continue
      has_events = True
      person = annotation.get("annotation_metadata", {}).get("annotator", {})
      ends = (annotation.get("sandbox") or {}).get(EXACT_ENDS) or {}
      items = _observations(source, annotation, where)
      for row, item in enumerate(items):
        value, score = item["value"], item.get("confidence")
        if isinstance(value, dict):
          if value.get("role") == "background":
            continue
          value = value.get("label")
        if space == "scaper" or score is None:
          score = math.nan
        start = float(item["time"])
        end = ends.get(str(row), start + float(item["duration"]))
        label = _label(source, value, f"{where}[{row}]")
        rows.append((start, end, label, score, person.get("name") or ""))
    names = ("start", "end", "label", "score", "annotator")
    columns = dict(zip(names, zip(*rows))) or {n: () for n in names}
    return Annotations(
      events=make_events(source, [1] * len(rows), filename=name, **columns),
      tags=tags,
      durations={name: seconds} if seconds else {},
      known_empty=() if rows or (tags and not has_events) else (name,),
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    events, tags = annotations.events, annotations.tags
    for label in {*events.label, *(tag.label for tag in tags)}:
      spell("label", label, cls.name, "")
    seconds = [*annotations.durations.values()]
    seconds = max(seconds or [*events.end.tolist(), 0.0])
    parts = []
    people = list(dict.fromkeys(events.annotator))
    if not people and not (tags and not annotations.known_empty):
      people = [""]
    for person in people:
      data, ends = [], {}
      for event in events[events.annotator == person]:
        duration = event.end - event.start
        if event.start + duration != event.end:
          ends[str(len(data))] = event.end
        score = None if math.isnan(event.score) else event.score
        data.append(_observation(event.start, duration, event.label, score))
      parts.append(_annotation("segment_open", data, person, seconds, ends))
    if tags:
      data = [_observation(0.0, seconds, tag.label, tag.value) for tag in tags]
      parts.append(_annotation("tag_open", data, "", seconds, {}))
    metadata = {
      "title": "",
      "artist": "",
      "release": "",
      "duration": seconds,
      "identifiers": {},
      "jams_version": "0.3.4",
    }
    document = {"annotations": parts, "file_metadata": metadata, "sandbox": {}}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _observations(source, annotation, where) -> list[dict]:
  """Rows of an annotation, whether stored as rows or as columns."""
  data = annotation.get("data", [])
  if isinstance(data, dict):
    data = [dict(zip(data, row)) for row in zip(*data.values())]
  for row, item in enumerate(data):
    missing = {"time", "duration", "value"} - {*item}
    if missing:
      raise source.error(
        1, f"{where}[{row}] must have {sorted(missing)}, got {item}"
      )
    for column in ("time", "duration"):
      if not isinstance(item[column], (int, float)):
        raise source.error(
          1, f"{where}[{row}].{column} must be a number, got {item[column]!r}"
        )
  return data


def _label(source, value, where) -> str:
  if not isinstance(value, str):
    raise source.error(1, f"{where}: label must be text, got {value!r}")
  return value


def _observation(start, duration, label, confidence) -> dict:
  return {
    "time": start,
    "duration": duration,
    "value": label,
    "confidence": confidence,
  }


def _annotation(namespace, data, person, seconds, ends) -> dict:
  metadata = {
    "curator": {"name": "", "email": ""},
    "annotator": {"name": person} if person else {},
    "version": "",
    "corpus": "",
    "annotation_tools": "",
    "annotation_rules": "",
    "validation": "",
    "data_source": "",
  }
  return {
    "annotation_metadata": metadata,
    "namespace": namespace,
    "data": data,
    "sandbox": {EXACT_ENDS: ends} if ends else {},
    "time": 0,
    "duration": seconds,
  }
