"""Reads annotations: one function, `read`, for every format of FORMATS.

`read(path)` takes a file, a folder, a glob or a .zip and returns

  * `Annotations` (see annotations.py): `.events` is an EventTable, beside it
    `.durations` {filename: seconds}, `.known_empty`, `.tags`, `.unknown`, ...
  * {threshold: Annotations}, rising, for operating points: a folder or a glob
    of strong tables whose names end in different numbers;
  * `FrameScores` for a folder of score tables (`score_tsv`).

Every file is checked; the first row that breaks a rule is a ValueError
`file:line: rule, got what`. The format is `format=`, else what the extension
and the first 64 KiB say.
"""

import functools
import glob as globbing
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from yoho_tf.annotations import (
  Annotations,
  FrameScores,
  labels_of,
  relabel,
)
from yoho_tf.audio import AUDIO_EXTENSIONS
from yoho_tf.formats import FORMATS
from yoho_tf.formats.text import Source, decode, lines_of
from yoho_tf.labels import did_you_mean

HEAD_SIZE = 65536


def read(
  path, *, format: str | None = None, labels=None, audio_root=None, **options
):
  """Reads annotations.

  Args:
    path: a file, a folder (with all folders in it), a glob or a .zip.
    format: a name of FORMATS; without it the format is found out.
    labels: a `ClassMap` or names. Every label must be one of them; the mid of
      a class stands for its name.
    audio_root: where the audio files are, for formats with one file per
      recording, which say no more than its stem. Without it they are looked
      for beside the annotations.
    **options: of the format: label (dcase_list), label_column (raven),
      point_seconds (audacity, textgrid), fold (maestro_windows), columns
      (csv, tsv: names of ours -> those of the table).

  Returns:
    Annotations, {threshold: Annotations} or FrameScores; see the module.

  Raises:
    ValueError: no such format, none or several fit, or a rule is broken:
      names file, line, column, rule and what was found.
    FileNotFoundError: nothing there.
  """
  kind = None
  if format is not None:
    if format not in FORMATS:
      raise ValueError(f"format {did_you_mean(format, FORMATS)}")
    kind = FORMATS[format]
    for name in options:
      if name not in kind.options:
        raise ValueError(f"option {did_you_mean(name, kind.options)}")
  found = list_files(path, kind)
  if kind is None and found.several:
    kind = _folder_kind(found)
  if kind is not None and kind.opens == "folder":
    result = kind.read_folder(
      [_source(file, audio_root) for file in found.files]
    )
  else:
    result = Annotations.concat(
      _read_file(file, kind, audio_root, options) for file in found.files
    )
  return result if labels is None else with_labels(result, labels)


@dataclass(frozen=True)
class File:
  """A file on disk, or a member of an archive."""

  path: Path
  member: str = ""

  def __str__(self):
    return f"{self.path}/{self.member}" if self.member else str(self.path)

  def read(self, size: int = -1) -> bytes:
    """Its bytes, or the first `size` of them."""
    if not self.member:
      with open(self.path, "rb") as file:
        return file.read(size)
    with _archive(self.path) as archive, archive.open(self.member) as file:
      return file.read(size)


def _archive(path) -> zipfile.ZipFile:
  try:
    return zipfile.ZipFile(path)
  except zipfile.BadZipFile as error:
    raise ValueError(f"{path}: must be a .zip, got {error}") from None


@dataclass(frozen=True)
class Files:
  """What a path stands for: files, sorted; several if it is no plain file."""

  files: tuple[File, ...]
  several: bool


def list_files(path, kind=None) -> Files:
  """The annotation files of a file, folder, glob or .zip.

  Args:
    path: of them.
    kind: a class of FORMATS; without it, any extension that one has.

  Raises:
    FileNotFoundError: there is none.
  """
  text, path = str(path), Path(path)
  if path.is_dir():
    found = sorted(p for p in path.rglob("*") if p.is_file())
    files = [File(p) for p in found if _is_wanted(p, kind, path)]
  elif path.suffix.lower() == ".zip" and path.is_file():
    with _archive(path) as archive:
      names = sorted(n for n in archive.namelist() if not n.endswith("/"))
    files = [File(path, n) for n in names if _is_wanted(PurePosixPath(n), kind)]
  elif path.exists():
    return Files((File(path),), False)
  elif any(mark in text for mark in "*?["):
    found = sorted(globbing.glob(text, recursive=True))
    files = [File(Path(p)) for p in found if Path(p).is_file()]
  else:
    files = []
  if not files:
    known = _extensions(kind)
    raise FileNotFoundError(
      f"path must be a file, or a folder, glob or .zip with files "
      f"{', '.join(sorted(known))}, got {text}"
    )
  return Files(tuple(files), True)


def sniff(head: str, name: str) -> list[type]:
  """The formats that a file may be of, in the order of FORMATS.

  Args:
    head: its first characters.
    name: of the file; its extension decides where only one format has it.
  """
  path = PurePosixPath(name.replace("\\", "/"))
  single = [kind for kind in FORMATS.values() if kind.opens == "file"]
  named = [
    kind
    for kind in single
    if path.suffix.lower() in kind.extensions or path.name in kind.filenames
  ]
  if len(named) == 1:
    return named
  fitting = [kind for kind in named if kind.sniff(head)]
  return fitting or [k for k in single if k not in named and k.sniff(head)]


def _is_wanted(path, kind, root=None) -> bool:
  parts = path.relative_to(root).parts if root else path.parts
  if any(part.startswith((".", "__MACOSX")) for part in parts):
    return False
  if path.suffix.lower() == ".ann" and "non_verified" in str(path):
    return False  # TUT's other, unchecked version of the same labels
  kinds = FORMATS.values() if kind is None else (kind,)
  is_named = any(path.name in k.filenames for k in kinds)
  return is_named or path.suffix.lower() in _extensions(kind)


def _extensions(kind) -> set[str]:
  kinds = FORMATS.values() if kind is None else (kind,)
  return {end for k in kinds for end in k.extensions}


def _folder_kind(found: Files) -> type | None:
  """The format that takes all the files as a whole, or None."""
  kinds = [kind for kind in FORMATS.values() if kind.opens == "folder"]
  heads = []
  for file in found.files:
    name = str(file)
    if not any(name.lower().endswith(k.extensions) for k in kinds):
      return None
    head = decode(file.read(HEAD_SIZE), name, errors="replace")
    heads.append((name, head))
  return next((kind for kind in kinds if kind.sniff_folder(heads)), None)


def _source(file: File, audio_root) -> Source:
  folder = file.path.parent if not file.member else None
  return Source(
    path=str(file),
    text=decode(file.read(), file),
    audio_of=functools.partial(find_audio, folder=folder, root=audio_root),
  )


def find_audio(stem: str, *, folder=None, root=None):
  """The audio file of a stem: its name, and its path or None.

  Args:
    stem: of the annotations.
    folder: where they lie; the audio may lie beside them.
    root: folder with the audio, at any depth.
  """
  if root is not None:
    path = _audio_index(str(root)).get(stem)
    if path is not None:
      return path.name, path
  if folder is not None:
    for extension in AUDIO_EXTENSIONS:
      path = folder / f"{stem}{extension}"
      if path.exists():
        return path.name, path
  return f"{stem}.wav", None


@functools.lru_cache(maxsize=4)
def _audio_index(root: str) -> dict[str, Path]:
  """Stem -> path of every audio file below a folder."""
  if not Path(root).is_dir():
    raise ValueError(f"audio_root must be a folder, got {root}")
  found = sorted(Path(root).rglob("*"), reverse=True)
  return {p.stem: p for p in found if p.suffix.lower() in AUDIO_EXTENSIONS}


def read_file(
  file: File, *, format=None, audio_root=None, **options
) -> Annotations:
  """Reads one file of `list_files`; arguments as `read`."""
  kind = None if format is None else FORMATS[format]
  return _read_file(file, kind, audio_root, options)


def _read_file(file: File, kind, audio_root, options) -> Annotations:
  source = _source(file, audio_root)
  if kind is not None:
    return kind.read(source, **options)
  kinds = sniff(source.text[:HEAD_SIZE], str(file))
  if options:
    # A table with other column names is known by its extension alone.
    suffix = PurePosixPath(str(file)).suffix.lower()
    named = [k for k in FORMATS.values() if suffix in k.extensions]
    takers = [
      [k for k in some if set(options) <= set(k.options)]
      for some in (kinds, named)
    ]
    kinds = takers[0] or takers[1] or kinds
  if not kinds:
    first = next(filter(str.strip, lines_of(source.text)), "")
    raise source.error(
      1, f"no known format fits; say format=; got {first[:80]!r}"
    )
  results, errors = [], []
  for candidate in kinds:
    wrong = [name for name in options if name not in candidate.options]
    if wrong:
      errors.append(
        ValueError(
          f"{file}: option of {candidate.name} "
          f"{did_you_mean(wrong[0], candidate.options)}"
        )
      )
      continue
    try:
      results.append(candidate.read(source, **options))
    except ValueError as error:
      errors.append(error)
  if not results:
    raise errors[0]
  others = [r for r in results[1:] if not _is_same(r, results[0])]
  if others:
    names = ", ".join(r.source_format for r in (results[0], *others))
    raise ValueError(
      f"{file}: could be {names}, which read it differently; say format="
    )
  return results[0]


def _is_same(one: Annotations, other: Annotations) -> bool:
  return replace(one, extras={}, source_format="") == replace(
    other, extras={}, source_format=""
  )


def with_labels(result, labels):
  """Checks labels against a class map and replaces mids by names.

  Args:
    result: what `read` returns.
    labels: a `ClassMap` or names.
  """
  names = tuple(getattr(labels, "names", labels))
  mids = getattr(labels, "mids", ("",) * len(names))
  known = {mid: name for mid, name in zip(mids, names) if mid}
  known |= {name: name for name in names}
  if isinstance(result, dict):
    return {key: with_labels(part, labels) for key, part in result.items()}
  is_frames = isinstance(result, FrameScores)
  for name in result.labels if is_frames else labels_of(result):
    if name not in known:
      raise ValueError(f"label {did_you_mean(name, names)}")
  if is_frames:
    return replace(result, labels=tuple(known[n] for n in result.labels))
  return relabel(result, known)
