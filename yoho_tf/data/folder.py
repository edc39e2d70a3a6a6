"""A user's own folder, audio with labels beside it -> a data set per split.

    found = find("my_recordings", params)
    datasets = split(found, params)        # {"train", "val", "test": Dataset}

Recordings are called by their path below the folder, with `/`. Matching them
with labels is the matter of folder_labels.py, splitting of folder_split.py.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from yoho_tf import audio
from yoho_tf.annotations import Annotations
from yoho_tf.data.datasets import base
from yoho_tf.data.folder_labels import Names, listed, read_labels, read_splits
from yoho_tf.data.folder_split import (
  aligned,
  amounts_of,
  groups_text,
  label_notes,
  pool,
  split,
  split_summary,
)
from yoho_tf.files import sha256
from yoho_tf.formats import FORMATS
from yoho_tf.labels import did_you_mean
from yoho_tf.params import rules

__all__ = [
  "Found",
  "FolderParams",
  "find",
  "fingerprint",
  "pool",
  "split",
  "split_summary",
]
_CUT_SECONDS = 0.01  # ends are rounded: a cut below is not worth a word


@dataclass(frozen=True)
class FolderParams:
  """How a folder is read.

  Attributes:
    label_format: a name of FORMATS; chooses where a recording has several
      files of labels. None: what the file says.
    unlabelled: recordings without labels are an `error`, hold nothing
      (`empty`) or are left out (`ignore`).
    weak: labels say what sounds in a clip, not when: a table of clips, or the
      top folder is the label.
    group_by: what stays in one split: recordings of one top `folder`, each
      `file` of its own, of one `stem-prefix` (up to the first _ or -), or with
      the same text in `column:NAME` of the combined table.
    drop_rare: leave out labels of fewer than 3 groups.
    seed: of the split.
  """

  label_format: str | None = None
  unlabelled: str = "error"
  weak: bool = False
  group_by: str = "folder"
  drop_rare: bool = False
  seed: int = 0

  def __post_init__(self):
    formats = [k for k, kind in FORMATS.items() if kind.opens == "file"]
    if self.label_format not in (None, *formats):
      raise ValueError(
        f"label_format {did_you_mean(self.label_format, formats)}"
      )
    rules.choice("unlabelled", self.unlabelled, ("error", "empty", "ignore"))
    rules.require(
      self.group_by in ("folder", "file", "stem-prefix")
      or re.fullmatch("column:.+", self.group_by) is not None,
      "group_by",
      "be one of folder, file, stem-prefix, column:NAME",
      self.group_by,
    )
    rules.require(self.seed >= 0, "seed", "be at least 0", self.seed)


@dataclass(frozen=True)
class Found:
  """What a folder holds.

  Attributes:
    root: the folder, absolute.
    records: the recordings, sorted by name; split "".
    annotations: events (of weak labels: tags), sorted, cut at the end of their
      recordings.
    labels: sorted.
    label_files: everything that was read beside audio.
    notes: warnings to print.
    published: recording -> split of `splits.csv`; {} where there is none.
  """

  root: Path
  records: tuple[base.Record, ...]
  annotations: Annotations
  labels: tuple[str, ...]
  label_files: tuple[Path, ...]
  notes: tuple[str, ...]
  published: Mapping[str, str] = field(default_factory=dict)

  def summary(self) -> list[str]:
    """What there is in all, then of each label; lines to print."""
    hours = sum(r.duration_seconds for r in self.records) / 3600
    num_groups = len({record.group for record in self.records})
    what = "events" if len(self.annotations.events) else "clips"
    rows = [
      (label, f"{own.num} {what}", f"{own.seconds:.1f} s", groups_text(own))
      for label, own in amounts_of(self.records, self.annotations).items()
    ]
    return [
      f"found {len(self.records)} recordings, {hours:.2f} h, "
      f"{len(self.labels)} labels, {num_groups} groups",
      *aligned(rows, indent="  "),
    ]


# --- Finding -----------------------------------------------------------------


def find(root, params: FolderParams = FolderParams()) -> Found:  # noqa: B008
  """Finds recordings and labels below a folder; headers are read, no samples.

  Args:
    root: the folder. Audio is what has one of AUDIO_EXTENSIONS, at any depth;
      hidden files and folders are skipped.
    params: how to read it.

  Raises:
    ValueError: names the file or the recordings, the rule, and what was found.
  """
  root = Path(os.path.abspath(root))
  if not root.is_dir():
    raise ValueError(
      f"data must be a folder of recordings; received {str(root)!r}"
    )
  files, errors = audio.find_files(root)
  if errors:
    raise errors[0]
  paths = {path.relative_to(root).as_posix(): path for path in files}
  paths = dict(sorted(paths.items()))
  every = Names(paths)
  labels = read_labels(root, every, params)
  annotations, notes = labels.annotations, [*labels.notes]
  annotations = _of_kind(annotations, params.weak, root)
  annotations, more = _fill(annotations, list(paths), params)
  notes += more
  if params.unlabelled == "ignore":
    kept = {*annotations.filenames}
    paths = {name: path for name, path in paths.items() if name in kept}
  published = read_splits(root, every)
  lacking = [name for name in paths if published and name not in published]
  if lacking:
    raise ValueError(
      "splits.csv must name every recording; received none of "
      f"{len(lacking)}: {listed(lacking)}"
    )
  groups = _groups_of(paths, params, labels)
  durations = base.seconds_of(paths)
  records = tuple(
    base.Record(path, name, durations[name], groups[name], "")
    for name, path in paths.items()
  )
  annotations, more = _cut(annotations, durations)
  events, tags = annotations.events.sort(), annotations.tags
  found = Found(
    root=root,
    records=records,
    annotations=replace(
      annotations, events=events, tags=sorted(tags), durations=durations,
      extras={},
    ),
    labels=tuple(sorted({*events.label, *(tag.label for tag in tags)})),
    label_files=(
      *labels.files, *([root / "splits.csv"] if published else []),
    ),
    notes=(),
    published={name: published[name] for name in paths if published},
  )  # fmt: skip
  return replace(found, notes=(*notes, *more, *label_notes(found, params)))


def _of_kind(notes: Annotations, weak: bool, root: Path) -> Annotations:
  """Events without tags, or tags without events."""
  if weak and len(notes.events):
    raise ValueError(
      f"{root}: clip labels (weak) must be without times; received "
      f"{len(notes.events)} events; without --weak they are read"
    )
  if "" in {*notes.events.label, *(tag.label for tag in notes.tags)}:
    rows = [event.filename for event in notes.events if not event.label]
    raise ValueError(
      f"{root}: label must not be empty; received '' in {listed(rows)}"
    )
  tags = tuple(tag for tag in notes.tags if tag.value > 0) if weak else ()
  silent = {tag.filename for tag in notes.tags} - {tag.filename for tag in tags}
  empty = (*notes.known_empty, *(sorted(silent) if weak else ()))
  if notes.tags and not weak and not len(notes.events):
    raise ValueError(
      f"{root}: labels must be events with times; received "
      f"{len(notes.tags)} clip labels; --weak reads them"
    )
  if not tags and not len(notes.events):
    raise ValueError(
      f"{root}: labels must hold at least one event; received none in "
      f"{len(notes.filenames)} labelled recordings"
    )
  return replace(notes, tags=tags, known_empty=empty, extras={})


def _fill(notes: Annotations, names, params) -> tuple[Annotations, list[str]]:
  """Says what recordings without labels are."""
  said = {*notes.filenames}
  lacking = [name for name in names if name not in said]
  if not lacking:
    return notes, []
  if params.unlabelled == "error":
    raise ValueError(
      "every recording must have labels; received none for "
      f"{len(lacking)} of {len(names)}: {listed(lacking)}; --unlabelled empty "
      "takes them as holding nothing, --unlabelled ignore leaves them out"
    )
  if params.unlabelled == "ignore":
    return notes, [f"{len(lacking)} recordings without labels are left out"]
  notes = replace(notes, known_empty=(*notes.known_empty, *lacking))
  return notes, [
    f"{len(lacking)} recordings without labels are taken as holding nothing"
  ]


def _groups_of(paths, params, labels) -> dict[str, str]:
  """recording -> group."""
  by, column = params.group_by, params.group_by.partition("column:")[2]
  if column and labels.table is None:
    raise ValueError(
      f"group_by must be folder, file or stem-prefix without a table labels.* "
      f"at the top of the folder; received {by!r}"
    )
  groups = {}
  for name in paths:
    parts = PurePosixPath(name).parts
    if params.weak and labels.table is None:
      parts = parts[1:]  # the top folder is the label
    stem = PurePosixPath(name).stem
    groups[name] = {
      "folder": parts[0] if len(parts) > 1 else name,
      "file": name,
      "stem-prefix": re.split("[_-]", stem)[0] or stem,
    }.get(by) or labels.group_values.get(name, name)
  blank = [name for name in labels.group_values if not groups.get(name, "-")]
  if blank:
    raise ValueError(
      f"{labels.table.name}: column {column} must not be empty; received '' "
      f"for {listed(blank)}"
    )
  return groups


def _cut(notes: Annotations, durations) -> tuple[Annotations, list[str]]:
  """Events cut at the end of their recordings, and a note of it."""
  events = notes.events
  limit = np.array([durations.get(v, np.inf) for v in events.filename])
  late = np.flatnonzero(events.end > limit + _CUT_SECONDS)
  behind = {*events.filename} - {*events.filename[events.start < limit]}
  if behind:
    raise ValueError(
      "events must begin within their recording; received none that does for "
      f"{listed(sorted(behind))} (labels of another recording?)"
    )
  more = []
  if len(late):
    row = late[0]
    gone = np.count_nonzero(events.start >= limit)
    more.append(
      f"{len(late)} events end after their recording and are cut there"
      f"{f' ({gone} begin after it and are left out)' if gone else ''}: "
      f"{events.filename[row]} has {limit[row]:.3f} s, the event "
      f"{events.label[row]!r} ends at {events.end[row]:.3f}"
    )
  return base.clipped(notes, durations), more


def fingerprint(found: Found, params: FolderParams, extra: dict) -> str:
  """sha256 of all that records made of a folder depend on.

  Args:
    found: of `find`; audio counts by size and time of change, label files by
      their bytes.
    params: of `find` and `split`.
    extra: anything else that JSON can hold.
  """
  stats = {record.filename: record.path.stat() for record in found.records}
  body = {
    "audio": {k: [v.st_size, v.st_mtime_ns] for k, v in stats.items()},
    "labels": {
      path.relative_to(found.root).as_posix(): sha256(path)
      for path in found.label_files
    },
    "params": vars(params),
    "extra": extra,
  }
  text = json.dumps(body, sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()
