"""Recordings to mix from: a manifest, its splits and licences.

A manifest is a CSV with `path,role,class,split,source_id,licence` (as in the
documented audio folder), optionally `start,end` in seconds; `label` may stand
for `class`. `labels.csv` beside it may hold strong labels of the recordings of
role `real_strong`, from which occurrences are cut.
"""

import csv
import hashlib
import pathlib
import re

from yoho_tf import audio
from yoho_tf.data.pool import Source, SourcePool
from yoho_tf.labels import FOLDERS, csv_text, did_you_mean

SPLITS = ("train", "val", "test")
# Scaper's folders -> roles.
_FOLDERS = {
  "foreground": "event",
  "background": "background",
  "rir": "rir",
}

# Manifest roles -> ours. Speech, keywords and music are event material.
_ROLE_OF = {
  "event": "event",
  "speech": "event",
  "keyword": "event",
  "music": "event",
  "distractor": "distractor",
  "background": "background",
  "rir": "rir",
}

# Classes that are someone speaking, whatever the word.
_SPOKEN_ROLES = ("speech", "keyword")

# Background recordings in which a class of ours may sound, and distractors
# that hold one: neither background nor event. A train is not rain.
_AMBIGUOUS = re.compile(
  r"(?<!t)rain|storm|drizzle|thunder|weather_portal", re.I
)
_AMBIGUOUS_CLASSES = ("thunderstorm", "vocal_creature", "laughing")

# Field recordings whose labels are too loose to cut by.
_WEAKLY_ALIGNED = ("children_playing",)

# Terms that forbid commercial use or derivatives, force a licence on
# derivatives in full (GPL), or are not known.
_NOT_PERMISSIVE = re.compile(
  r"NC|\bND\b|GPL|\?|Sampling Plus|extra conditions|^\s*$"
)

_COLUMNS = ("path", "role", "class|label", "source_id", "licence")


def aliases() -> dict[str, str]:
  """Spellings of other data sets -> display names (class_maps/aliases.csv)."""
  for folder in FOLDERS:
    path = folder / "aliases.csv"
    if path.is_file():
      return {row["alias"]: row["display_name"] for row in _rows(path)}
  raise ValueError("class_maps/aliases.csv must be beside the package")


def is_permissive(licence: str) -> bool:
  """Whether commercial use is allowed (CC0, PD, CC BY, CC BY-SA, Apache)."""
  return not _NOT_PERMISSIVE.search(licence)


def read_manifest(
  path,
  *,
  split: str,
  labels=None,
  permissive_only: bool = False,
  exclude_ids=(),
  sample_rate_hz: int = 16_000,
) -> SourcePool:
  """The pool of one split of a manifest.

  A row without a split gets one by a hash of its source id (`split_of`).

  Args:
    path: the manifest, or the folder that holds `manifest.csv`.
    split: "train", "val" or "test"; "all" takes every row.
    labels: vocabulary; other event classes become distractors. A class of the
      manifest is found by its own name, else by its display name (aliases).
      None: all classes of events in the rows that are not left out.
    permissive_only: leave out what `is_permissive` refuses.
    exclude_ids: source ids to leave out.
    sample_rate_hz: of the decoded audio.

  Raises:
    ValueError: no manifest, missing columns, a label without a source, or a
      source id in two splits.
  """
  _check_split(split)
  path = pathlib.Path(path)
  path = path / "manifest.csv" if path.is_dir() else path
  if not path.is_file():
    raise ValueError(
      f"sources must hold a manifest.csv; received {str(path)!r}"
    )
  root, names = path.parent, aliases()
  rows = _rows(path)
  for name in _COLUMNS:
    if rows and not {*name.split("|")} & {*rows[0]}:
      raise ValueError(f"{path}: must have a column {name.split('|')[0]!r}")
  rows = [
    row
    for row in rows
    if row["source_id"] not in exclude_ids
    and (is_permissive(row["licence"]) or not permissive_only)
  ]
  strong = {}
  labels_path = root / "labels.csv"
  if labels_path.is_file():
    for row in _rows(labels_path):
      strong.setdefault(row["path"], []).append(row)
  if labels is None:
    labels = sorted(
      {
        _label(row, names, None)
        for row in rows
        if _ROLE_OF.get(row["role"]) == "event"
      }
    )
  found = {name: [] for name in SPLITS}
  for row in rows:
    own = row.get("split") or split_of(row["source_id"])
    if own not in found:
      raise ValueError(f"{path}: split {did_you_mean(own, SPLITS)}")
    found[own] += _row_sources(row, path, names, labels, strong, own)
  return _pool(found, split, labels, path, root, sample_rate_hz)


def _label(row, names, labels) -> str:
  """The name in the vocabulary, "" where the class is not of it."""
  own = row["class"] if "class" in row else row["label"]
  if labels and own in labels:
    return own
  own = "speech" if row["role"] in _SPOKEN_ROLES else own
  if labels is None:
    return names.get(own, own)
  return next((n for n in (own, names.get(own)) if n in labels), "")


def _row_sources(row, path, names, labels, strong, split):
  """The sources that a row of the manifest stands for."""
  label = _label(row, names, labels)
  own = row["class"] if "class" in row else row["label"]
  common = dict(
    path=path.parent / row["path"],
    source_id=row["source_id"],
    licence=row["licence"],
  )
  if row["role"] == "real_strong":
    # Occurrences of field recordings, cut by their labels; training only:
    # the other splits' recordings are kept whole for evaluation.
    cut = split == "train" and label and own not in _WEAKLY_ALIGNED
    events = strong.get(row["path"], ()) if cut else ()
    return [
      Source(
        role="event",
        label=label,
        start=float(event["onset"]),
        end=float(event["offset"]),
        **common,
      )
      for event in events
      if event["offset_exact"] == "1" and event["salience"] == "1"
    ]
  if row["role"] not in _ROLE_OF:
    known = (*_ROLE_OF, "real_strong")
    raise ValueError(f"{path}: role {did_you_mean(row['role'], known)}")
  role = _ROLE_OF[row["role"]]
  if is_ambiguous(row):
    return []
  if role in ("event", "distractor"):
    role = "event" if label else "distractor"
  label = label if role == "event" else ""
  start, end = float(row.get("start") or 0), row.get("end")
  end = float(end) if end else None
  return [Source(role=role, label=label, start=start, end=end, **common)]


def is_ambiguous(row) -> bool:
  """Whether a class of ours may sound in a background or a distractor."""
  own = row["class"] if "class" in row else row["label"]
  return row["role"] in ("background", "distractor") and bool(
    _AMBIGUOUS.search(row["path"]) or own in _AMBIGUOUS_CLASSES
  )


def read_folder(
  path, *, split: str, labels=None, sample_rate_hz: int = 16_000
) -> SourcePool:
  """The pool of one split of Scaper's folders.

  `foreground/<label>/`, `background/<label>/` and, ours, `rir/` hold audio.
  Every file is a source of its own; its split is a hash of its path.
  Arguments and errors are those of `read_manifest`.
  """
  _check_split(split)
  root = pathlib.Path(path)
  found = {name: [] for name in SPLITS}
  names = set()
  for folder, role in _FOLDERS.items():
    files = sorted((root / folder).rglob("*"))
    for file in files:
      if file.suffix.lower() not in audio.AUDIO_EXTENSIONS:
        continue
      name = file.relative_to(root).as_posix()
      parts = file.relative_to(root / folder).parts
      label = parts[0] if role == "event" and len(parts) > 1 else ""
      names |= {label} - {""}
      own = role
      if role == "event" and labels is not None and label not in labels:
        own, label = "distractor", ""
      found[split_of(name)].append(Source(file, own, label, name, ""))
  if not any(found.values()):
    raise ValueError(
      f"sources must hold manifest.csv or foreground/<label>/ with audio; "
      f"received {str(root)!r}"
    )
  labels = sorted(names) if labels is None else labels
  return _pool(found, split, labels, root, root, sample_rate_hz)


def read_sources(path, **options) -> SourcePool:
  """`read_folder` for a folder with `foreground/`, else `read_manifest`."""
  path = pathlib.Path(path)
  if (path / "manifest.csv").is_file() or not (path / "foreground").is_dir():
    return read_manifest(path, **options)
  options.pop("permissive_only", None)  # no licence is known
  return read_folder(path, **options)


def split_of(source_id: str) -> str:
  """The split of a source id by its hash: 70 % train, 15 % val, 15 % test."""
  digest = hashlib.sha256(source_id.encode()).digest()
  share = int.from_bytes(digest[:8], "big") / 2**64
  return "train" if share < 0.7 else "val" if share < 0.85 else "test"


def _check_split(split):
  if split not in (*SPLITS, "all"):
    raise ValueError(f"split {did_you_mean(split, (*SPLITS, 'all'))}")


def _pool(found, split, labels, path, root, sample_rate_hz):
  """The checked pool of a split: disjoint, and with every label."""
  every = sum(found.values(), [])
  sources = every if split == "all" else found[split]
  pool = SourcePool(tuple(sources), sample_rate_hz, root)
  splits = {}
  for name, own in found.items():
    for source in own:
      splits.setdefault(pool.group(source), set()).add(name)
  crossing = sorted(group for group, own in splits.items() if len(own) > 1)
  if crossing:
    raise ValueError(
      f"{path}: a source id must be in one split; received {len(crossing)} "
      f"in several: {', '.join(crossing[:10])}"
    )
  check_labels(pool, labels, split)
  return pool


def check_labels(pool: SourcePool, labels, split: str) -> None:
  """Raises ValueError with the labels of which a pool has no source."""
  if not labels:
    raise ValueError(f"sources must hold events; received none ({pool.root})")
  missing = [name for name in labels if not pool.groups("event", name)]
  if missing:
    raise ValueError(
      "sources must hold every label; received none of "
      f"{', '.join(map(repr, missing))} in split {split!r}"
    )


def _rows(path):
  with open(path, newline="", encoding="utf-8") as stream:
    return list(csv.DictReader(stream))


def attribution(pool: SourcePool) -> str:
  """CSV of what a model was trained on: role, label, source id, licence."""
  rows = {(s.role, s.label, s.source_id, s.licence) for s in pool.sources}
  return attribution_csv(sorted(rows))


def attribution_csv(rows) -> str:
  """The same of given (role, label, source id, licence)."""
  return csv_text([("role", "label", "source_id", "licence"), *rows])


def real_strong_ids(path, *, split: str) -> set[str]:
  """Source ids of the whole field recordings of a split."""
  path = pathlib.Path(path)
  path = path / "manifest.csv" if path.is_dir() else path
  return {
    row["source_id"]
    for row in _rows(path)
    if row["role"] == "real_strong" and row["split"] == split
  }


def strong_rows(folder, *, split: str) -> list[dict]:
  """Rows of `labels.csv`: strong labels of the field recordings of a split."""
  rows = _rows(pathlib.Path(folder, "labels.csv"))
  return [row for row in rows if row["split"] == split]
