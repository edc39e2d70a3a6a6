"""Which labels belong to which recording of a user's folder.

A recording has one source of labels: a file of its stem beside it, or rows of
the one table `labels.*` or `annotations.*` at the top of the folder. Recordings
are called by their path below the folder, with `/`.
"""

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from yoho_tf.annotations import Annotations, Tag
from yoho_tf.data.datasets.base import renamed
from yoho_tf.data.splits import SPLITS
from yoho_tf.formats import FORMATS
from yoho_tf.formats.text import Source, decode, header_of, read_table
from yoho_tf.labels import did_you_mean
from yoho_tf.readers import HEAD_SIZE, read

TABLES = ("labels", "annotations")
SPLITS_FILE = "splits.csv"
# Of files beside a recording; a table may have any that a format has.
EXTENSIONS = (
  ".txt", ".tsv", ".csv", ".jams", ".textgrid", ".eaf", ".rttm", ".json",
)  # fmt: skip
_KNOWN = {end for kind in FORMATS.values() for end in kind.extensions}
_RAVEN = re.compile(r"(\.Table\.[0-9]+)?\.selections$", re.I)


def listed(names: Iterable[str], limit: int = 5) -> str:
  """The first names for a message: "a, b, c, d, e, ..."."""
  names = list(names)
  return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


@dataclass(frozen=True)
class Labels:
  """What is said about the recordings, under their names in the folder.

  Attributes:
    annotations: of all recordings that something is said about.
    files: everything that was read.
    notes: warnings, one line each.
    table: the combined table, or None.
    group_values: recording -> its text in the column asked for.
  """

  annotations: Annotations
  files: tuple[Path, ...]
  notes: tuple[str, ...]
  table: Path | None
  group_values: Mapping[str, str]


class Names:
  """Finds recordings by relative name, then file name, then stem."""

  def __init__(self, filenames: Iterable[str]):
    self.filenames = tuple(filenames)
    self._by_relative = {name: [name] for name in self.filenames}
    self._by_name, self._by_stem, self._by_place = {}, {}, {}
    for filename in self.filenames:
      path = PurePosixPath(filename)
      self._by_name.setdefault(path.name, []).append(filename)
      self._by_stem.setdefault(path.stem, []).append(filename)
      place = (path.parent, path.stem)
      self._by_place.setdefault(place, []).append(filename)

  def find(self, name: str) -> list[str]:
    """The recordings that a name may stand for."""
    path = PurePosixPath(name.replace("\\", "/"))
    return (
      self._by_relative.get(path.as_posix())
      or self._by_name.get(path.name)
      or self._by_stem.get(path.name)  # a stem may have dots
      or self._by_stem.get(path.stem)
      or []
    )

  def beside(self, path: PurePosixPath) -> list[str]:
    """The recordings that a label file lies beside."""
    for stem in (_RAVEN.sub("", path.stem), path.stem):
      found = self._by_place.get((path.parent, stem))
      if found:
        return found
    return []

  def match(self, names: Iterable[str], where: str) -> dict[str, str]:
    """name -> recording.

    Raises:
      ValueError: names without a recording, or with several.
    """
    found = {name: self.find(name) for name in names}
    absent = [name or "''" for name, own in found.items() if not own]
    if absent:
      raise ValueError(
        f"{where} names {len(absent)} recordings that are not there: "
        f"{listed(absent)}"
      )
    unclear = {name: own for name, own in found.items() if len(own) > 1}
    if unclear:
      name, own = next(iter(unclear.items()))
      raise ValueError(
        f"{where}: a name must stand for one recording; received "
        f"{len(unclear)} that stand for several: {name!r} for {listed(own)}"
      )
    return {name: own[0] for name, own in found.items()}


def read_labels(root: Path, names: Names, params) -> Labels:
  """Finds, reads and checks the labels of all recordings.

  Args:
    root: the folder.
    names: of its recordings.
    params: `folder.FolderParams`.

  Raises:
    ValueError: labels that belong to no recording or to several, two sources
      for one recording, or what the readers raise.
  """
  kind = FORMATS.get(params.label_format)
  endings = EXTENSIONS if kind is None else kind.extensions
  sidecars, others = {}, []
  for path in _label_files(root):
    place = PurePosixPath(path.relative_to(root).as_posix())
    own = names.beside(place)
    if not own and place.as_posix() != SPLITS_FILE:
      others.append(path)
    elif own and path.suffix.lower() in endings:
      if len(own) > 1:
        raise ValueError(
          f"{path}: must lie beside one recording of its stem; received "
          f"{listed(own)}"
        )
      sidecars.setdefault(own[0], []).append(path)
  if params.weak:  # folders or the table say what sounds
    sidecars = {}
  elif kind is not None:
    sidecars = {k: _of_format(v, kind) for k, v in sidecars.items()}
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    table = _find_table(root, others, kind, bool(sidecars))
    parts, values = [], {}
    if table is not None:
      part, values = _read_table(table, names, params)
      parts.append(part)
    _check_one_source(root, sidecars, table, parts)
    for filename, (path,) in sorted(sidecars.items()):
      parts.append(_read_beside(path, filename, params.label_format))
  if params.weak and table is None:
    parts = [_folder_tags(names.filenames)]
  if not params.weak:
    _check_strays(root, others, table, params.label_format)
  notes = [str(warning.message) for warning in caught]
  files = [path for own in sidecars.values() for path in own]
  return Labels(
    annotations=Annotations.concat(parts),
    files=tuple(sorted([*files, *([table] if table else [])])),
    notes=tuple(dict.fromkeys(notes)),
    table=table,
    group_values=values,
  )


def _label_files(root: Path) -> list[Path]:
  """Files that may hold labels, sorted; hidden ones are left out."""
  found = []
  for folder, folders, names in os.walk(root):
    folders[:] = [name for name in folders if not name.startswith(".")]
    found += [
      Path(folder, name)
      for name in names
      if not name.startswith(".") and Path(name).suffix.lower() in _KNOWN
    ]
  return sorted(found)


def _of_format(paths, kind) -> list[Path]:
  """Those that look like a format, where there is a choice."""
  if len(paths) < 2:
    return paths
  return [path for path in paths if kind.sniff(_head(path))] or paths


def _head(path: Path) -> str:
  with open(path, "rb") as file:
    return decode(file.read(HEAD_SIZE), path, errors="replace")


def _find_table(root, others, kind, has_sidecars) -> Path | None:
  found = [
    path
    for path in others
    if path.parent == root and path.name.split(".")[0].lower() in TABLES
  ]
  if kind is not None:
    found = [path for path in found if path.suffix.lower() in kind.extensions]
    fitting = [path for path in found if kind.sniff(_head(path))]
    # A table that does not look like the format may be a broken one: then its
    # reader says so. Beside labels of the format it is just another table.
    found = fitting if fitting or has_sidecars else found
  if len(found) > 1:
    raise ValueError(
      f"{root}: must have one table of labels; received "
      f"{listed(path.name for path in found)}; --label-format chooses"
    )
  return found[0] if found else None


def _read_table(path, names, params) -> tuple[Annotations, dict[str, str]]:
  """The combined table, and the group column asked for."""
  notes = read(path, format=params.label_format)
  name_of = names.match(notes.filenames, path.name)
  column = params.group_by.partition("column:")[2]
  values = {}
  for name, text in _column(path, notes, column) if column else ():
    own, text = name_of.get(name), text.strip()
    if own is not None and values.setdefault(own, text) != text:
      raise ValueError(
        f"{path.name}: column {column} must be the same in all rows of a "
        f"recording; received {values[own]!r} and {text!r} for {own}"
      )
  return renamed(replace(notes, durations={}), name_of.__getitem__), values


def _column(path, notes, column):
  """(name, text) pairs of a column, rows without events included."""
  text = decode(path.read_bytes(), path)
  if {"filename", column} <= set(header_of(text[:HEAD_SIZE])):
    columns = read_table(Source(str(path), text)).columns
    return zip(columns["filename"], columns[column])
  if column not in notes.extras:
    raise ValueError(
      f"{path.name}: group_by: column {did_you_mean(column, notes.extras)}"
    )
  rows = notes.events.filename
  if not len(rows):
    rows = [tag.filename for tag in notes.tags]
  return zip(rows, notes.extras[column])


def _read_beside(path, filename, label_format) -> Annotations:
  """The labels of one recording."""
  notes = read(path, format=label_format)
  stem = PurePosixPath(filename).stem.casefold()
  for name in notes.filenames:
    last = PurePosixPath(name.replace("\\", "/").casefold())
    if name and stem not in (last.name, last.stem):
      raise ValueError(
        f"{path}: must be about {filename} alone; received {name!r}"
      )
  notes = renamed(replace(notes, durations={}), lambda _: filename)
  if not notes.filenames:  # a header without rows
    notes = replace(notes, known_empty=(filename,))
  return notes


def _folder_tags(filenames) -> Annotations:
  """The top folder of a recording as its label."""
  parts = {name: PurePosixPath(name).parts for name in filenames}
  return Annotations(
    tags=[Tag(name, own[0]) for name, own in parts.items() if len(own) > 1],
    source_format="folders",
  )


def _check_one_source(root, sidecars, table, parts) -> None:
  in_table = {name for part in parts for name in part.filenames}
  clashes = {}
  for filename, paths in sorted(sidecars.items()):
    sources = [path.relative_to(root).as_posix() for path in paths]
    sources += [table.name] if filename in in_table else []
    if len(sources) > 1:
      clashes[filename] = f"{filename} ({', '.join(sources)})"
  if clashes:
    raise ValueError(
      "a recording must have one source of labels; received several for "
      f"{len(clashes)}: {listed(clashes.values())}; --label-format chooses"
    )


def _check_strays(root, others, table, label_format) -> None:
  """Raises where a file holds labels of a recording that is not there."""
  strays = [
    path.relative_to(root).as_posix()
    for path in others
    if path != table and _holds_labels(path, label_format)
  ]
  if strays:
    raise ValueError(
      "labels must lie beside a recording of their stem (or be a table "
      f"labels.* at the top); received {len(strays)} without one: "
      f"{listed(strays)}"
    )


def _holds_labels(path, label_format) -> bool:
  if label_format and path.suffix.lower() not in (
    FORMATS[label_format].extensions
  ):
    return False
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      notes = read(path, format=label_format)
  except ValueError:  # notes, a class map, settings ...
    return False
  return bool(len(notes.events) or notes.tags)


def read_splits(root: Path, names: Names) -> dict[str, str]:
  """recording -> split of `splits.csv`; {} where there is none.

  Raises:
    ValueError: an unknown split, a recording that is not there, or two splits
      for one.
  """
  path = root / SPLITS_FILE
  if not path.is_file():
    return {}
  table = read_table(Source(str(path), decode(path.read_bytes(), path)))
  table.need("filename", "split")
  if not table.lines:
    raise table.source.error(1, "must name every recording, got none")
  name_of = names.match(dict.fromkeys(table.columns["filename"]), path.name)
  splits = {}
  for line, name, split in zip(
    table.lines, table.columns["filename"], table.columns["split"]
  ):
    split = {"validation": "val"}.get(split.strip(), split.strip())
    if split not in SPLITS:
      raise table.source.error(line, f"split {did_you_mean(split, SPLITS)}")
    if splits.setdefault(name_of[name], split) != split:
      raise table.source.error(
        line,
        f"split must be one per recording, got {splits[name_of[name]]!r} and "
        f"{split!r} for {name_of[name]}",
      )
  return splits
