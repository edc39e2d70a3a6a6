"""Folders of examples: TFRecord shards with an index, without TensorFlow.

A folder of records holds `train-00000-of-00012.tfrecord` ... and `index.json`:
schema version, class map, params, seeds, counts, and per shard its records,
bytes and sha256. The number of an example (its id) is its place in the sorted
shards of a split: random choices hang on it, whoever reads.
"""

import bisect
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yoho_tf.data import tfrecord
from yoho_tf.data.examples import (
  SCHEMA_VERSION,
  Example,
  from_bytes,
  to_bytes,
)
from yoho_tf.data.tfrecord import RecordError
from yoho_tf.files import replace_text, sha256
from yoho_tf.labels import ClassMap, did_you_mean

SHARD_BYTES = 128 * 2**20
INDEX = "index.json"


@dataclass(frozen=True)
class Shard:
  """One file: its name, what it holds and its checksum."""

  file: str
  split: str
  num_examples: int
  bytes: int
  sha256: str


@dataclass(frozen=True)
class Index:
  """What `index.json` says; `counts` split -> {examples, events, seconds}."""

  folder: Path
  class_map: ClassMap
  shards: tuple[Shard, ...]
  counts: dict
  params: dict
  seeds: dict
  sample_rate_hz: int

  def of(self, split: str) -> tuple[Shard, ...]:
    """The sorted shards of a split.

    Raises:
      ValueError: no such split, or a file of it is missing, cut or may not be
        read.
    """
    if split not in self.counts:
      raise ValueError(f"split {did_you_mean(split, self.counts)}")
    found = tuple(shard for shard in self.shards if shard.split == split)
    for shard in found:
      path = self.folder / shard.file
      size = path.stat().st_size if path.is_file() else None
      if size != shard.bytes:
        size = "no file" if size is None else size
        raise RecordError(f"{path}: must have {shard.bytes} bytes, got {size}")
      if not os.access(path, os.R_OK):
        raise RecordError(f"{path}: must be readable; permission denied")
    return found

  def paths(self, split: str) -> list[Path]:
    return [self.folder / shard.file for shard in self.of(split)]

  def num_examples(self, split: str) -> int:
    return sum(shard.num_examples for shard in self.of(split))


def write_records(
  folder,
  examples,
  *,
  class_map: ClassMap,
  params: dict | None = None,
  seeds: dict | None = None,
  shard_bytes: int = SHARD_BYTES,
) -> Index:
  """Writes shards and their index; what was in the folder before goes last.

  Args:
    folder: made where it is missing.
    examples: `Example`s of any split, in the order of their ids; one at a time
      is in memory.
    params, seeds: kept in the index, to repeat the preparation.
    shard_bytes: a shard is closed when it reaches this.

  Raises:
    ValueError: no example, two sample rates, or a group in two splits.
  """
  folder = Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  before = set(folder.glob("*.tfrecord")) | set(folder.glob(".*.part"))
  parts, counts, split_of, rates = {}, {}, {}, set()
  try:
    for split, group in itertools.groupby(examples, lambda e: e.split):
      for example in group:
        rates.add(example.sample_rate_hz)
        other = split_of.setdefault(example.group or example.filename, split)
        if other != split or len(rates) > 1:
          raise ValueError(
            f"group {example.group!r} must be in one split, got it in "
            f"{other!r} and {split!r} ({example.filename!r})"
            if other != split
            else f"sample_rate_hz must be one, got {sorted(rates)}"
          )
        own = parts.setdefault(split, [])
        if not own or own[-1].size >= shard_bytes:
          if own:
            own[-1].file.close()
          own.append(_Part(folder / f".{split}-{len(own):05d}.part"))
        own[-1].add(tfrecord.frame(to_bytes(example, class_map)))
        count = counts.setdefault(split, dict.fromkeys(_COUNTS, 0))
        for key, value in zip(
          _COUNTS, (1, len(example.events), example.duration_seconds)
        ):
          count[key] += value
    if not counts:
      raise ValueError(f"examples must not be empty; none for {folder}")
  except BaseException:
    for part in itertools.chain.from_iterable(parts.values()):
      part.file.close()
      part.path.unlink(missing_ok=True)
    raise
  (folder / INDEX).unlink(missing_ok=True)
  for path in before:
    path.unlink(missing_ok=True)
  shards = []
  for split, own in sorted(parts.items()):
    for number, part in enumerate(own):
      part.file.close()
      name = f"{split}-{number:05d}-of-{len(own):05d}.tfrecord"
      path = part.path.replace(folder / name)
      shards.append(Shard(name, split, part.count, part.size, sha256(path)))
  body = {
    "schema_version": SCHEMA_VERSION,
    "class_map": {
      "names": class_map.names,
      "mids": class_map.mids,
      "namespace": class_map.namespace,
    },
    "sample_rate_hz": rates.pop(),
    "params": params or {},
    "seeds": seeds or {},
    "counts": counts,
    "shards": [vars(shard) for shard in shards],
  }
  replace_text(folder / INDEX, json.dumps(body, indent=2) + "\n")
  return read_index(folder)


_COUNTS = ("examples", "events", "seconds")


class _Part:
  """A shard that is being written."""

  def __init__(self, path):
    self.path, self.file = path, open(path, "wb")
    self.count = self.size = 0

  def add(self, record):
    self.file.write(record)
    self.count += 1
    self.size += len(record)


def read_index(folder, *, labels=None) -> Index:
  """Reads `index.json`.

  Args:
    labels: the model's classes in order; others in the folder are an error.

  Raises:
    ValueError: no index, another schema, or a class map that differs.
  """
  path = Path(folder, INDEX)
  if not path.is_file():
    raise ValueError(f"records must hold {INDEX}; received {str(folder)!r}")
  try:
    body = json.loads(path.read_text(encoding="utf-8"))
    version = body["schema_version"]
    if version != SCHEMA_VERSION:
      raise ValueError(
        f"schema_version must be {SCHEMA_VERSION}, got {version}"
      )
    index = Index(
      folder=path.parent,
      class_map=ClassMap(**body["class_map"]),
      shards=tuple(Shard(**shard) for shard in body["shards"]),
      **{k: body[k] for k in ("counts", "params", "seeds", "sample_rate_hz")},
    )
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{path}: must be an index of records; {error}") from None
  if labels is not None and tuple(labels) != index.class_map.names:
    own = index.class_map.names
    raise ValueError(
      f"{path}: class map must be the model's {len(labels)} classes in order, "
      f"got {len(own)}; first difference: {_first_difference(labels, own)}"
    )
  return index


def check_fits(index: Index, params) -> None:
  """Raises ValueError where a model cannot train on the records."""
  read_index(index.folder, labels=params.labels)
  rate = params.frontend.sample_rate_hz
  if index.sample_rate_hz != rate:
    raise ValueError(
      f"{index.folder / INDEX}: sample_rate_hz must be the model's {rate}, "
      f"got {index.sample_rate_hz}"
    )


def _first_difference(expected, found):
  for place, (a, b) in enumerate(itertools.zip_longest(expected, found)):
    if a != b:
      return f"class {place} is {b!r}, the model's {a!r}"


class Reader:
  """Examples of a split by id, read when asked for; works across processes.

  Args:
    index: of `read_index`.
    split: its name.
  """

  def __init__(self, index: Index, split: str):
    self.class_map = index.class_map
    self.paths = index.paths(split)
    self.offsets = [tfrecord.offsets(path) for path in self.paths]
    self.first = np.cumsum([0, *map(len, self.offsets)]).tolist()

  def __len__(self):
    return self.first[-1]

  def __getitem__(self, example_id: int) -> Example:
    if not 0 <= example_id < len(self):
      raise IndexError(f"example {example_id} of {len(self)}")
    shard = bisect.bisect_right(self.first, example_id) - 1
    place = example_id - self.first[shard]
    path, offset = self.paths[shard], int(self.offsets[shard][place])
    payload = tfrecord.read_at(path, offset, place)
    return _example(payload, path, place, self.class_map)


def _example(payload, path, place, class_map):
  try:
    return from_bytes(payload, class_map)
  except ValueError as error:
    raise RecordError(f"{path}: record {place}: {error}") from None


def damage(index: Index, split: str) -> str | None:
  """The first damaged record of a split, in one line; None where all is well.

  Reads every record: for after an error, when whoever reads through tf.data
  has no names to give.
  """
  try:
    for path in index.paths(split):
      for place, payload in enumerate(tfrecord.read(path)):
        _example(payload, path, place, index.class_map)
  except (RecordError, OSError) as error:
    return str(error)
  return None


def verify(folder) -> Index:
  """Reads every record and compares every checksum.

  Raises:
    ValueError: names the shard and, where one is damaged, the record.
  """
  index = read_index(folder)
  for shard in index.shards:
    path = index.folder / shard.file
    if not path.is_file():
      raise RecordError(f"{path}: must be there; the index lists it")
    count = sum(1 for _ in tfrecord.read(path))
    if count != shard.num_examples or sha256(path) != shard.sha256:
      raise RecordError(
        f"{path}: must be the file of the index ({shard.num_examples} "
        f"records, sha256 {shard.sha256}); got {count} records"
      )
  return index
