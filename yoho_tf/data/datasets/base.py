"""What the data set modules share: recordings and their annotations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yoho_tf import audio
from yoho_tf.annotations import Annotations, Tag
from yoho_tf.labels import did_you_mean


@dataclass(frozen=True)
class Info:
  """What a data set is; `labels` is empty where its files name them."""

  name: str
  title: str
  published: str
  licence: str
  citation: str
  labels: tuple[str, ...]
  sample_rate_hz: int
  folds: int = 0


@dataclass(frozen=True)
class Record:
  """One recording; `filename` is its name in the annotations.

  `group` is the original recording, speaker or upload, never in two splits.
  """

  path: Path
  filename: str
  duration_seconds: float
  group: str
  split: str


@dataclass(frozen=True)
class Dataset:
  """Recordings of one split and what is known about them."""

  info: Info
  split: str
  records: tuple[Record, ...]
  annotations: Annotations
  labels: tuple[str, ...]

  def __post_init__(self):
    names = [record.filename for record in self.records]
    if len(set(names)) != len(names):
      twice = sorted({name for name in names if names.count(name) > 1})
      raise ValueError(f"records must have names of their own, got {twice[:5]}")


def assert_disjoint(datasets) -> None:
  """Raises ValueError for a group that is in two splits, and lists them."""
  splits_of = {}
  for dataset in datasets:
    for record in dataset.records:
      splits_of.setdefault(record.group, {}).setdefault(
        record.split, f"{dataset.info.name}/{record.filename}"
      )
  shared = {k: v for k, v in sorted(splits_of.items()) if len(v) > 1}
  if shared:
    some = [
      f"{group} ({', '.join(f'{s}: {name}' for s, name in v.items())})"
      for group, v in list(shared.items())[:10]
    ]
    raise ValueError(
      f"group must be in one split, got {len(shared)} in several: "
      + "; ".join(some)
    )


def choose(split: str, splits, fold, num_folds: int) -> None:
  """Raises ValueError for a split or fold that a set does not have."""
  if split not in splits:
    raise ValueError(f"split {did_you_mean(split, splits)}")
  if fold is not None and fold not in range(1, num_folds + 1):
    rule = f"be 1 to {num_folds}" if num_folds else "be left out: there is none"
    raise ValueError(f"fold must {rule}, got {fold!r}")


def seconds_of(paths: dict) -> dict:
  """name -> duration of its file, from the headers."""
  return {k: audio.info(path).duration_seconds for k, path in paths.items()}


def clipped(annotations: Annotations, durations) -> Annotations:
  """Events cut at the end of their recordings; what lies behind falls."""
  events = annotations.events
  limit = np.array([durations.get(v, np.inf) for v in events.filename])
  inside = events.start < limit
  if inside.all() and (events.end <= limit).all():
    return annotations
  notes = annotations.take(inside)
  end = np.minimum(notes.events.end, limit[inside])
  return notes.with_events(notes.events.replace(end=end))


def renamed(annotations: Annotations, name_of) -> Annotations:
  """The same with other file names, `name_of(filename)`."""
  notes = annotations

  def table(events):
    return events.replace(filename=[name_of(v) for v in events.filename])

  return Annotations(
    events=table(notes.events),
    tags=[Tag(name_of(t.filename), t.label, t.value) for t in notes.tags],
    durations={name_of(k): v for k, v in notes.durations.items()},
    known_empty=[name_of(v) for v in notes.known_empty],
    unknown=table(notes.unknown),
    known=table(notes.known),
    extras=notes.extras,
    source_format=notes.source_format,
  )


def only(annotations: Annotations, names) -> Annotations:
  """What is said about some recordings; extras fall where rows do."""
  notes, names = annotations, set(names)

  def table(events):
    return events[np.array([v in names for v in events.filename], bool)]

  return Annotations(
    events=table(notes.events),
    tags=[tag for tag in notes.tags if tag.filename in names],
    durations={k: v for k, v in notes.durations.items() if k in names},
    known_empty=[name for name in notes.known_empty if name in names],
    unknown=table(notes.unknown),
    known=table(notes.known),
    source_format=notes.source_format,
  )


def simple(
  info, splits, split, paths, annotations, *, group, labels=None
) -> Dataset:
  """A `Dataset` of files: durations from headers, events cut at the end.

  Args:
    splits: `SPLITS` of the module.
    paths: filename -> path of every recording of the split.
    annotations: of these and maybe of others.
    group: function of the filename.
    labels: default `info.labels`.
  """
  durations = seconds_of(paths)
  records = tuple(
    Record(path, name, durations[name], group(name), splits[split])
    for name, path in paths.items()
  )
  notes = clipped(only(annotations, paths), durations)
  return Dataset(info, split, records, notes, labels or info.labels)
