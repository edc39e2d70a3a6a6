"""This project's own JSON, whole or a row per line; it holds everything."""

import json
import math

from yoho_tf.annotations import Annotations, Tag
from yoho_tf.events import COLUMNS, TEXT_COLUMNS
from yoho_tf.formats.base import EVERYTHING, Format
from yoho_tf.formats.rows import KINDS, NEEDED, annotations_of, companion_rows
from yoho_tf.formats.text import lines_of, make_events
from yoho_tf.results import Detections, Tags, extra_fields

# Kind of row -> its key in the file, where they differ.
PLURALS = {"tag": "tags"}
TOP_LEVEL = {
  "filename": str,
  "durations": dict,
  "known_empty": list,
  "tags": list,
  "unknown": list,
  "known": list,
}


class Json(Format):
  """The result's `to_dict()`; of annotations, {"events": [...], ...}.

  What is unknown is left out, a score null: NaN never appears.
  """

  name = "json"
  extensions = (".json",)
  keeps = EVERYTHING
  whole_results = True

  @classmethod
  def sniff(cls, head):
    return head.lstrip().startswith("{") and '"events"' in head

  @classmethod
  def read(cls, source):
    data = source.json()
    if not isinstance(data, dict) or not isinstance(data.get("events"), list):
      raise source.error(1, 'must be an object with a list "events"')
    for key, wanted in TOP_LEVEL.items():
      if not isinstance(data.get(key, wanted()), wanted):
        raise source.error(1, f"{key} must be a {wanted.__name__} of JSON")
    name = data.get("filename", "")
    rows = [
      ("event", {"filename": name, **row} if isinstance(row, dict) else row)
      for row in data["events"]
    ]
    for kind in ("tag", "unknown", "known"):
      rows += [(kind, row) for row in data.get(PLURALS.get(kind, kind), [])]
    durations = dict(data.get("durations", {}))
    if "duration_seconds" in data:
      durations[name] = data["duration_seconds"]
      if not data["events"]:
        rows.append(("empty", {"filename": name}))
    rows += [("empty", {"filename": n}) for n in data.get("known_empty", [])]
    rows += [
      ("duration", {"filename": n, "end": v}) for n, v in durations.items()
    ]
    return from_dicts(source, [1] * len(rows), rows, cls.name)

  @classmethod
  def text(cls, result):
    if isinstance(result, (Detections, Tags)):
      data = result.to_dict()
    else:
      notes = annotations_of(result)
      data = {"events": _event_dicts(notes)}
      for row in companion_rows(notes):
        kind = row.pop("row_kind")
        if kind == "duration":
          data.setdefault("durations", {})[row["filename"]] = row["end"]
        elif kind == "empty":
          data.setdefault("known_empty", []).append(row["filename"])
        else:
          data.setdefault(PLURALS.get(kind, kind), []).append(row)
      if not len(notes.events) and notes.extras:
        for row, extra in zip(data["tags"], _extra_dicts(notes)):
          row["extras"] = extra
    fields = (f"  {_dump(key)}: {_lines(v)}" for key, v in data.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


class Jsonl(Format):
  """One JSON object per line, as the rows of csv."""

  name = "jsonl"
  extensions = (".jsonl",)
  keeps = EVERYTHING

  @classmethod
  def sniff(cls, head):
    return head.lstrip().startswith("{")

  @classmethod
  def read(cls, source):
    rows, lines = [], []
    for line, text in enumerate(lines_of(source.text), 1):
      if not text.strip():
        continue
      try:
        row = json.loads(text)
      except json.JSONDecodeError as error:
        raise source.error(line, f"must be JSON, got {error.msg}") from None
      if not isinstance(row, dict):
        raise source.error(line, f"must be an object, got {text!r}")
      kind = row.pop("row_kind", "event")
      if kind not in KINDS:
        raise source.error(
          line, f"row_kind must be one of {KINDS}, got {kind!r}"
        )
      rows.append((kind, row))
      lines.append(line)
    return from_dicts(source, lines, rows, cls.name)

  @classmethod
  def text(cls, result):
    notes = annotations_of(result)
    others = list(companion_rows(notes))
    if not len(notes.events):
      tags = (row for row in others if row["row_kind"] == "tag")
      for row, extra in zip(tags, _extra_dicts(notes)):
        row["extras"] = extra
    rows = [*_event_dicts(notes), *others]
    return "".join(_dump(row) + "\n" for row in rows)


def from_dicts(source, lines, rows, name) -> Annotations:
  """Annotations of (kind, dict) pairs, checked.

  Args:
    source: the file.
    lines: line of each row.
    rows: (kind, columns) pairs.
    name: of the format.
  """
  parts = {kind: [] for kind in KINDS}
  for line, (kind, row) in zip(lines, rows):
    if not isinstance(row, dict):
      raise source.error(line, f"{kind} must be an object, got {row!r}")
    for column, value in row.items():
      wanted = str if column in TEXT_COLUMNS else (int, float)
      if column in COLUMNS and value is not None:
        if not isinstance(value, wanted) or isinstance(value, bool):
          raise source.error(
            line,
            f"{column} must be {'text' if wanted is str else 'a number'}, "
            f"got {value!r}",
          )
    for column in NEEDED[kind]:
      if row.get(column) is None:
        raise source.error(line, f"{kind} must have {column}, got {row}")
    parts[kind].append((line, row))

  def events(kind):
    found = parts[kind]
    columns = {
      column: [
        ("" if column in TEXT_COLUMNS else math.nan)
        if row.get(column) is None
        else row[column]
        for _, row in found
      ]
      for column in COLUMNS
    }
    of_rows = [line for line, _ in found]
    return make_events(source, of_rows, allow_empty_label=True, **columns)

  def extras(row):
    known = (*COLUMNS, "extras")
    other = {k: _plain(v) for k, v in row.items() if k not in known}
    return other | {k: _plain(v) for k, v in row.get("extras", {}).items()}

  found = [extras(row) for _, row in parts["event"] or parts["tag"]]
  names = dict.fromkeys(name for row in found for name in row)
  return Annotations(
    events=events("event"),
    tags=[
      Tag(row.get("filename", ""), row["label"], row.get("score", 1.0))
      for _, row in parts["tag"]
    ],
    durations={row["filename"]: row["end"] for _, row in parts["duration"]},
    known_empty=[row["filename"] for _, row in parts["empty"]],
    unknown=events("unknown"),
    known=events("known"),
    extras={name: [row.get(name, "") for row in found] for name in names},
    source_format=name,
  )


def _extra_dicts(notes: Annotations) -> list[dict]:
  names = list(notes.extras)
  return [dict(zip(names, row)) for row in zip(*notes.extras.values())]


def _event_dicts(notes: Annotations) -> list[dict]:
  rows = []
  extras = _extra_dicts(notes) if len(notes.events) else []
  for index, event in enumerate(notes.events):
    row = {"start": event.start, "end": event.end, "label": event.label}
    if not math.isnan(event.score):
      row["score"] = event.score
    row |= extra_fields(event)
    if extras:
      row["extras"] = extras[index]
    rows.append(row)
  return rows


def _plain(value) -> str:
  return value if isinstance(value, str) else json.dumps(value)


def _dump(value) -> str:
  return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(value) -> str:
  """JSON with every dict of a list on its own line."""
  if isinstance(value, list) and value and isinstance(value[0], dict):
    return "[\n    " + ",\n    ".join(map(_dump, value)) + "\n  ]"
  return _dump(value)
