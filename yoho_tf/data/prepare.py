"""Data sets, published ones and a user's own -> a folder of records.

Recordings become mono at one rate, in pieces of bounded length. What nobody
said about them is marked unknown, so that no negative is invented:

  * a clip with tags only: where in it the tagged classes sound;
  * a recording without labels: everything;
  * classes of the class map that the set has no label for.
"""

import random
from dataclasses import dataclass

import numpy as np

from yoho_tf import audio
from yoho_tf.annotations import Annotations
from yoho_tf.data import records
from yoho_tf.data.datasets import base
from yoho_tf.data.examples import Example, quantise
from yoho_tf.data.sources import aliases
from yoho_tf.events import EventTable
from yoho_tf.labels import ClassMap

EVALUATION_SPLITS = ("val", "validate", "test", "eval")


@dataclass(frozen=True)
class PrepareParams:
  """`yoho data prepare`.

  `piece_seconds`: longer recordings are cut; a rest below half a piece goes to
  the piece before. `evaluation_piece_seconds`: the same in EVALUATION_SPLITS,
  where a cut would make two events of one. `min_score`: soft labels from here
  on are events.
  """

  sample_rate_hz: int = 16_000
  piece_seconds: float = 30.0
  evaluation_piece_seconds: float = 300.0
  min_score: float = 0.5
  seed: int = 0


def prepare(
  module,
  root,
  out,
  *,
  fold=None,
  class_map: ClassMap | None = None,
  params: PrepareParams = PrepareParams(),  # noqa: B008 (frozen)
  shard_bytes: int = records.SHARD_BYTES,
  **options,
) -> records.Index:
  """Writes every split of a set that is there.

  Args:
    module: of `data.datasets`.
    root: where the set is.
    out: the folder of records.
    fold: of the set's own folds.
    class_map: default the set's labels. Labels are looked up by name, then by
      class_maps/aliases.csv; others are left out.
    **options: for `module.load`.

  Raises:
    ValueError: what `load` raises, or a group that is in two splits.
  """
  datasets = []
  for split in module.SPLITS:
    try:
      datasets.append(module.load(root, split=split, fold=fold, **options))
    except FileNotFoundError:
      if split not in getattr(module, "OPTIONAL", ()):
        raise
  if class_map is None:
    class_map = ClassMap(datasets[0].labels)
  return write(
    datasets,
    out,
    class_map=class_map,
    params=params,
    about={"data": module.INFO.name, "fold": fold},
    shard_bytes=shard_bytes,
  )


def write(
  datasets,
  out,
  *,
  class_map: ClassMap,
  params: PrepareParams = PrepareParams(),  # noqa: B008 (frozen)
  about: dict | None = None,
  shard_bytes: int = records.SHARD_BYTES,
) -> records.Index:
  """Writes data sets as records.

  Args:
    datasets: `base.Dataset`s; the splits are those of their records.
    out: the folder of records.
    class_map: labels are looked up by name, then by class_maps/aliases.csv;
      others are left out.
    about: kept in the index beside `params`.

  Raises:
    ValueError: a group that is in two splits, no recording, or one that cannot
      be read.
  """
  base.assert_disjoint(datasets)
  return records.write_records(
    out,
    _examples(datasets, class_map, params),
    class_map=class_map,
    params={**(about or {}), **vars(params)},
    seeds={"order": params.seed},
    shard_bytes=shard_bytes,
  )


def _examples(datasets, class_map, params):
  """Every example, split by split, recordings in random order."""
  found = []
  for dataset in datasets:
    notes_of = dataset.annotations.split()
    names = names_for(dataset.labels, class_map)
    found += [
      (record, notes_of.get(record.filename, Annotations()), names)
      for record in dataset.records
    ]
  random.Random(params.seed).shuffle(found)
  for split in sorted({record.split for record, *_ in found}):
    for record, notes, names in found:
      if record.split == split:
        yield from examples_of(record, notes, names, class_map, params)


def names_for(labels, class_map) -> dict[str, str | None]:
  """Label of a set -> class of the map, or None."""
  also = aliases()
  names = {label: label for label in labels if label in class_map}
  for label in labels:
    other = also.get(label)
    names.setdefault(label, other if other in class_map else None)
  return names


def examples_of(record, notes, names, class_map, params):
  """Yields the `Example`s of one recording.

  Args:
    record: `base.Record`.
    notes: its `Annotations`.
    names: of `names_for`.
  """
  events, unknown, tags = labels_of(notes, names, params.min_score)
  covered = {name for name in names.values() if name is not None}
  known = tuple(name for name in class_map if name in covered)
  rate, seconds = params.sample_rate_hz, params.piece_seconds
  if record.split in EVALUATION_SPLITS:
    seconds = params.evaluation_piece_seconds
  for first, waveform in pieces(record.path, rate, seconds):
    start, end = first / rate, (first + len(waveform)) / rate
    values, scale = quantise(waveform)
    yield Example(
      waveform=values,
      scale=scale,
      sample_rate_hz=rate,
      filename=record.filename,
      offset_seconds=start,
      group=record.group,
      split=record.split,
      events=events.crop(start, end),
      unknown=unknown.crop(start, end),
      tags=tags,
      known_labels=known,
    )


def labels_of(notes, names, min_score):
  """Annotations of one recording -> events, unknown, tags.

  What is unknown may end at infinity: the recording's end.
  """
  table = notes.events[~(notes.events.score < min_score)]  # NaN stays
  soft = ~np.isnan(table.score)
  events = _renamed(table, names)
  if soft.any():  # seconds of one sound
    events = events.merge(0.0)
  tags = {}
  for tag in notes.tags:
    name = names.get(tag.label)
    if name is not None:
      tags[name] = max(tag.value, tags.get(name, 0.0))
  unknown = _renamed(notes.unknown, {**names, "": ""})
  known = _renamed(notes.known, names)
  if len(known):
    heard = known[known.score >= min_score]
    events = EventTable.concat([events, heard.merge(0.0)])
    unknown = subtract(
      unknown, known, sorted(set(filter(None, names.values())))
    )
  is_strong = len(notes.events) or notes.known_empty or len(notes.known)
  if not is_strong and not len(unknown):
    hidden = [name for name, value in tags.items() if value > 0]
    hidden = hidden if notes.tags else [""]
    unknown = EventTable.from_columns(
      start=[0.0] * len(hidden),
      end=[_FOREVER_SECONDS] * len(hidden),
      label=hidden,
    )
  plain = dict(filename="", annotator="", track="")
  return events.replace(**plain), unknown.replace(**plain), tags


_FOREVER_SECONDS = 1e9


def _renamed(table, names):
  names = {label: names.get(label) for label in set(table.label)}
  return table.relabel(names)


def subtract(spans, known, labels) -> EventTable:
  """Spans (label "" = all) without the times at which a class is known."""
  rows = []
  for label in labels:
    own = known[known.label == label]
    for span in spans:
      if span.label not in ("", label):
        continue
      start = span.start
      for answer in own.sort():
        if answer.end <= start or answer.start >= span.end:
          continue
        if answer.start > start:
          rows.append((start, answer.start, label))
        start = max(start, answer.end)
      if start < span.end:
        rows.append((start, span.end, label))
  return EventTable.from_rows(rows)


def pieces(path, sample_rate_hz: int, piece_seconds: float):
  """Yields (first sample, float32 [samples]) of a file, in bounded memory.

  All pieces have `piece_seconds` except the last: a rest of less than half a
  piece is part of it, a longer one is a piece of its own.
  """
  size = round(piece_seconds * sample_rate_hz)
  first, held, count = 0, [], 0
  for block in audio.read_blocks(path, sample_rate_hz=sample_rate_hz):
    held.append(block)
    count += len(block)
    if count < size + (size + 1) // 2:
      continue
    whole = np.concatenate(held)
    while len(whole) >= size + (size + 1) // 2:
      yield first, whole[:size]
      first, whole = first + size, whole[size:]
    held, count = [whole], len(whole)
  if count:
    yield first, np.concatenate(held)
