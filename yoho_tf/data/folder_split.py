"""What was found in a user's folder -> train, val and test; counts to print."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np

from yoho_tf.annotations import Annotations
from yoho_tf.data import sources, splits
from yoho_tf.data.datasets import base
from yoho_tf.data.folder_labels import listed
from yoho_tf.data.pool import Source, SourcePool

LICENCE = "own recordings"
FEW_EVENTS = 5  # below: a warning
MIN_GROUPS = len(splits.SPLITS)  # below: not in every split


@dataclass
class Amount:
  """Events or clips of one label, their seconds, and group -> how many."""

  num: int = 0
  seconds: float = 0.0
  groups: dict = field(default_factory=dict)

  def add(self, group, seconds):
    self.num += 1
    self.seconds += seconds
    self.groups[group] = self.groups.get(group, 0) + 1


def amounts_of(records, notes: Annotations) -> dict[str, Amount]:
  """label -> its amount, sorted by label."""
  record_of = {record.filename: record for record in records}
  amounts = {}
  rows = [(e.filename, e.label, e.end - e.start) for e in notes.events]
  rows += [
    (tag.filename, tag.label, record_of[tag.filename].duration_seconds)
    for tag in notes.tags
  ]
  for filename, label, seconds in rows:
    group = record_of[filename].group
    amounts.setdefault(label, Amount()).add(group, seconds)
  return dict(sorted(amounts.items()))


def groups_text(amount: Amount) -> str:
  return f"{len(amount.groups)} group{'s' * (len(amount.groups) != 1)}"


def rare_labels(found) -> dict[str, str]:
  """label that cannot be learned and scored -> why."""
  if found.published:
    heard = _heard_in(found, "train")
    return {v: "none in train" for v in found.labels if v not in heard}
  what = "events" if len(found.annotations.events) else "clips"
  return {
    label: f"{own.num} {what} in {groups_text(own)}"
    for label, own in amounts_of(found.records, found.annotations).items()
    if len(own.groups) < MIN_GROUPS
  }


def _heard_in(found, split: str) -> set[str]:
  """Labels that a published split holds."""
  own = {name for name, other in found.published.items() if other == split}
  notes = base.only(found.annotations, own)
  return {*notes.events.label, *(tag.label for tag in notes.tags)}


def label_notes(found, params) -> list[str]:
  """What to warn of, one line each."""
  rare = rare_labels(found) if params.drop_rare else {}
  few = [
    f"{label!r} ({own.num})"
    for label, own in amounts_of(found.records, found.annotations).items()
    if own.num < FEW_EVENTS and label not in rare
  ]
  notes = []
  if few:
    notes.append(f"fewer than {FEW_EVENTS} examples of {', '.join(few)}")
  for name in splits.SPLITS[1:] if found.published else ():
    heard = _heard_in(found, name)
    lacking = [label for label in found.labels if label not in heard]
    if lacking:
      notes.append(f"splits.csv gives {name} none of {listed(lacking)}")
  if rare:
    texts = [f"{label!r} ({why})" for label, why in rare.items()]
    notes.append(f"rare labels are left out: {', '.join(texts)}")
  return notes


def _without(found, labels):
  """The same without some labels.

  Recordings that held nothing else are known to hold none of the others.
  """
  notes = found.annotations
  kept = [label not in labels for label in notes.events.label]
  events = notes.events[np.array(kept, bool)]
  tags = [tag for tag in notes.tags if tag.label not in labels]
  heard = {*events.filename, *(tag.filename for tag in tags)}
  gone = [name for name in notes.filenames if name not in heard]
  before = {*notes.events.filename, *(tag.filename for tag in notes.tags)}
  return replace(
    found,
    labels=tuple(label for label in found.labels if label not in labels),
    annotations=replace(
      notes,
      events=events,
      tags=tags,
      known_empty=(*notes.known_empty, *(n for n in gone if n in before)),
    ),
  )


def split(found, params) -> dict[str, base.Dataset]:
  """Splits what was found by group, or as `splits.csv` says.

  Args:
    found: `folder.Found`.
    params: `folder.FolderParams`.

  Returns:
    "train", "val" and "test" -> `base.Dataset`.

  Raises:
    ValueError: a label that is not in every split, or a group that is in two.
  """
  rare = rare_labels(found)
  if rare and not params.drop_rare:
    texts = [f"{label!r} ({why})" for label, why in rare.items()]
    rule = f"be in at least {MIN_GROUPS} groups, to be in every split"
    hint = ""
    if found.published:
      rule = "be in train"
    elif len({record.group for record in found.records}) < len(found.records):
      hint = "; --group-by file makes every recording a group"
    raise ValueError(
      f"every label must {rule}; received {listed(texts)}; --drop-rare leaves "
      f"them out{hint}"
    )
  found = _without(found, rare)
  if not found.labels:
    raise ValueError(
      f"{found.root}: labels must be left; received none but rare ones"
    )
  split_of = found.published or _drawn(found, params.seed)
  info = base.Info(
    name="folder",
    title=f"Recordings of {found.root.name}",
    published="",
    licence=LICENCE,
    citation="",
    labels=found.labels,
    sample_rate_hz=0,  # any
  )
  datasets = {}
  for name in splits.SPLITS:
    records = tuple(
      replace(record, split=name)
      for record in found.records
      if split_of[record.filename] == name
    )
    if not records:
      raise ValueError(
        f"splits.csv must give recordings to {', '.join(splits.SPLITS)}; "
        f"received none for {name}"
      )
    notes = base.only(found.annotations, [r.filename for r in records])
    datasets[name] = base.Dataset(info, name, records, notes, found.labels)
  try:
    base.assert_disjoint(datasets.values())
  except ValueError as error:
    raise ValueError(
      f"splits.csv: {error}; --group-by file takes it as it is"
    ) from None
  return datasets


def _drawn(found, seed: int) -> dict[str, str]:
  """recording -> split, by group."""
  sizes = {}
  for record in found.records:
    group = record.group
    sizes[group] = sizes.get(group, 0.0) + record.duration_seconds
  amounts = {group: {} for group in sizes}
  for label, own in amounts_of(found.records, found.annotations).items():
    for group, num in own.groups.items():
      amounts[group][label] = num
  split_of = splits.split_groups(amounts, sizes, seed=seed)
  return {r.filename: split_of[r.group] for r in found.records}


def split_summary(datasets: Mapping[str, base.Dataset]) -> list[str]:
  """A table of what each split holds; lines to print."""
  amounts = [amounts_of(d.records, d.annotations) for d in datasets.values()]
  records = [dataset.records for dataset in datasets.values()]
  hours = [sum(r.duration_seconds for r in own) / 3600 for own in records]
  rows = [
    ("", *datasets),
    ("recordings", *(str(len(own)) for own in records)),
    ("groups", *(str(len({r.group for r in own})) for own in records)),
    ("hours", *(f"{value:.2f}" for value in hours)),
  ]
  labels = sorted({v for d in datasets.values() for v in d.labels})
  for label in labels:
    rows.append((label, *(str(a.get(label, Amount()).num) for a in amounts)))
  return aligned(rows)


def aligned(rows, indent: str = "") -> list[str]:
  """Rows of texts as lines: the first column to the left, others right."""
  widths = [max(map(len, column)) for column in zip(*rows)]
  return [
    indent
    + "  ".join(
      [
        row[0].ljust(widths[0]),
        *(text.rjust(width) for text, width in zip(row[1:], widths[1:])),
      ]
    ).rstrip()
    for row in rows
  ]


def pool(
  datasets_by_split: Mapping[str, base.Dataset],
  split: str,
  *,
  labels,
  sample_rate_hz: int,
) -> SourcePool:
  """The clips of a split as material to mix scenes from (weak labels).

  Args:
    datasets_by_split: of the function `split`.
    split: "train", "val" or "test".
    labels: vocabulary; clips of other labels become distractors, those known
      to hold nothing are left out.
    sample_rate_hz: of the decoded audio.

  Raises:
    ValueError: a clip of several sounds, or a label without a clip.
  """
  dataset = datasets_by_split[split]
  tags = {}
  for tag in dataset.annotations.tags:
    tags.setdefault(tag.filename, []).append(tag.label)
  several = [
    f"{name} ({', '.join(own)})" for name, own in tags.items() if len(own) > 1
  ]
  if several:
    raise ValueError(
      f"mixing needs clips of one sound; received {len(several)} with several: "
      f"{listed(several)}"
    )
  found = []
  for record in dataset.records:
    for label in tags.get(record.filename, ()):
      role = "event" if label in labels else "distractor"
      label = label if role == "event" else ""
      found.append(Source(record.path, role, label, record.group, LICENCE))
  depth = len(PurePosixPath(dataset.records[0].filename).parts)
  root = dataset.records[0].path.parents[depth - 1]
  own = SourcePool(tuple(found), sample_rate_hz, root)
  sources.check_labels(own, labels, split)
  return own
