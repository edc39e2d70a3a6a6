"""Recordings to mix from: a manifest, its splits and licences.

A manifest is a CSV with `path,role,class,split,source_id,licence,seconds` (as
in the documented audio folder); `labels.csv` beside it may hold strong labels
of the recordings of role `real_strong`, from which occurrences are cut.
"""

import csv
import pathlib
import re
import warnings
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from yoho_tf import audio
from yoho_tf.labels import FOLDERS, csv_text, did_you_mean

ROLES = ("event", "distractor", "background", "rir")

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

# Terms that forbid commercial use or derivatives, force a licence on
# derivatives in full (GPL), or are not known.
_NOT_PERMISSIVE = re.compile(
  r"NC|\bND\b|GPL|\?|Sampling Plus|extra conditions|^\s*$"
)

_COLUMNS = ("path", "role", "class", "split", "source_id", "licence")


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


@dataclass(frozen=True)
class Source:
  """One piece of material: a file, or a part of it (seconds)."""

  path: pathlib.Path
  role: str
  label: str  # display name, "" for a distractor or background
  source_id: str
  licence: str
  start: float = 0.0
  end: float | None = None


@dataclass(frozen=True)
class SourcePool:
  """Sources of one split, with decoded audio kept as int16.

  `material(role, label)` -> {source_id: [Source]}. Drawing a source id first
  and a file of it second keeps one long recording from dominating its class.
  """

  sources: tuple[Source, ...]
  sample_rate_hz: int = 16_000
  _cache: dict = field(default_factory=dict, repr=False, compare=False)

  @cached_property
  def _index(self):
    index = {}
    for source in self.sources:
      groups = index.setdefault((source.role, source.label), {})
      # Speakers unknown: every file counts as a source of its own.
      key = source.source_id
      if "unknown-speaker" in key:
        key = source.path.name
      groups.setdefault(key, []).append(source)
    return {
      key: [groups[name] for name in sorted(groups)]
      for key, groups in sorted(index.items())
    }

  def groups(self, role: str, label: str = "") -> list[list[Source]]:
    return self._index.get((role, label), [])

  @property
  def labels(self) -> tuple[str, ...]:
    return tuple(label for role, label in self._index if role == "event")

  def draw(self, rng, role: str, label: str = "") -> Source:
    group = self.groups(role, label)
    group = group[rng.integers(len(group))]
    return group[rng.integers(len(group))]

  def waveform(self, source: Source) -> np.ndarray:
    """float32 [samples], decoded once."""
    key = (source.path, source.start, source.end)
    if key not in self._cache:
      with warnings.catch_warnings():  # lossy files overshoot a little
        warnings.simplefilter("ignore")
        whole = audio.read(source.path, sample_rate_hz=self.sample_rate_hz)
      rate = self.sample_rate_hz
      stop = None if source.end is None else round(source.end * rate)
      part = np.clip(whole[round(source.start * rate) : stop], -1, 1)
      self._cache[key] = np.round(part * 32767).astype(np.int16)
    return self._cache[key].astype(np.float32) / 32767


def read_manifest(
  path, *, split: str, labels, permissive_only: bool, exclude_ids=()
) -> SourcePool:
  """The pool of one split of a manifest.

  Args:
    path: the manifest, or the folder that holds `manifest.csv`.
    split: "train", "val" or "test".
    labels: vocabulary; other event classes become distractors.
    permissive_only: leave out what `is_permissive` refuses.
    exclude_ids: source ids to leave out.

  Raises:
    ValueError: no manifest, missing columns, or a label without a source.
  """
  path = pathlib.Path(path)
  path = path / "manifest.csv" if path.is_dir() else path
  if not path.is_file():
    raise ValueError(
      f"sources must hold a manifest.csv; received {str(path)!r}"
    )
  root, names = path.parent, aliases()
  rows = _rows(path)
  missing = [name for name in _COLUMNS if rows and name not in rows[0]]
  if missing:
    raise ValueError(f"{path}: must have a column {missing[0]!r}")
  strong = {}
  labels_path = root / "labels.csv"
  if labels_path.is_file():
    for row in _rows(labels_path):
      strong.setdefault(row["path"], []).append(row)
  sources = []
  for row in rows:
    if row["split"] != split or row["source_id"] in exclude_ids:
      continue
    if permissive_only and not is_permissive(row["licence"]):
      continue
    spoken = row["role"] in _SPOKEN_ROLES
    label = names.get("speech" if spoken else row["class"], "")
    common = dict(
      path=root / row["path"],
      source_id=row["source_id"],
      licence=row["licence"],
    )
    if row["role"] == "real_strong":
      # Occurrences of field recordings, cut by their labels; training only:
      # the other splits' recordings are kept whole for evaluation.
      if split == "train" and label in labels:
        for event in strong.get(row["path"], ()):
          start, end = float(event["onset"]), float(event["offset"])
          if event["offset_exact"] == "1" and event["salience"] == "1":
            sources.append(
              Source(role="event", label=label, start=start, end=end, **common)
            )
      continue
    if row["role"] not in _ROLE_OF:
      known = (*_ROLE_OF, "real_strong")
      raise ValueError(f"{path}: role {did_you_mean(row['role'], known)}")
    role = _ROLE_OF[row["role"]]
    if role in ("background", "distractor") and (
      _AMBIGUOUS.search(row["path"]) or row["class"] in _AMBIGUOUS_CLASSES
    ):
      continue
    if role in ("event", "distractor"):
      role = "event" if label in labels else "distractor"
    sources.append(
      Source(role=role, label=label if role == "event" else "", **common)
    )
  pool = SourcePool(tuple(sources))
  for label in labels:
    if not pool.groups("event", label):
      raise ValueError(
        f"sources must hold every label; received none of {label!r} in split "
        f"{split!r}"
      )
  return pool


def _rows(path):
  with open(path, newline="", encoding="utf-8") as stream:
    return list(csv.DictReader(stream))


def attribution(pool: SourcePool) -> str:
  """CSV of what a model was trained on: role, label, source id, licence."""
  rows = sorted(
    {(s.role, s.label, s.source_id, s.licence) for s in pool.sources}
  )
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
