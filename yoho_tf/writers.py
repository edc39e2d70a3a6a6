"""Writes events, results and annotations: one function, `write`.

    write(result, "out.csv")               chosen by the extension
    write(result, "out", format="json")    chosen by name
    write(annotations, "labels/", format="raven")     one file per recording

The formats are the classes of `FORMATS` (yoho_tf/formats/).
"""

import collections
import warnings
from pathlib import Path, PurePosixPath

import numpy as np

from yoho_tf.annotations import COMPANIONS
from yoho_tf.events import COLUMNS
from yoho_tf.files import replace_text
from yoho_tf.formats import FORMATS
from yoho_tf.formats.rows import annotations_of, is_used, used_columns
from yoho_tf.labels import did_you_mean

__all__ = ["FORMATS", "find_format", "lost_columns", "used_columns", "write"]

# Extensions that several formats share -> the one that writes them.
USUAL = {
  ".csv": "csv",
  ".tsv": "tsv",
  ".txt": "audacity",
}


def write(result, path, *, format: str | None = None, strict=False) -> None:
  """Writes annotations, a result or a table, every file whole or not at all.

  A failure leaves the file that was there before.

  Args:
    result: Annotations, EventTable, Detections or Tags; for the format
      operating_points {threshold: any of these}, for score_tsv FrameScores.
    path: the file; its folder must exist. Or a folder, for formats with one
      file per recording and those that are a folder.
    format: a name of FORMATS; without it the extension decides.
    strict: what the format cannot hold is an error, not a warning.

  Raises:
    ValueError: unknown format, or a label that the format cannot spell.
  """
  kind = find_format(path, format=format)
  path = Path(path)
  if kind.opens == "folder":
    texts, lost = _folder_texts(result, kind)
  elif path.is_dir() and kind.per_recording:
    texts, lost = _recording_texts(result, path, kind)
  elif path.is_dir():
    raise ValueError(f"path must be a file for {kind.name}, got folder {path}")
  else:
    lost = lost_columns(result, kind)
    texts = {"": text_of(result, kind)}
  if lost:
    what = ", ".join(f"{column} ({count})" for column, count in lost.items())
    message = f"{path}: {kind.name} cannot hold {what}"
    if strict:
      raise ValueError(message)
    warnings.warn(message, stacklevel=2)
  if "" in texts:
    replace_text(path, texts[""])
    return
  path.mkdir(exist_ok=True)
  for name, text in texts.items():
    replace_text(path / name, text)


def text_of(result, kind: type) -> str:
  """What a file of the format holds.

  Raises:
    ValueError: the format cannot spell something, or is read only.
  """
  if kind.whole_results:
    text = kind.text(result)
  else:
    text = kind.text(annotations_of(result))
  if text.startswith("\ufeff"):
    raise ValueError("text must not begin with a byte order mark, got one")
  return text


def find_format(path, *, format: str | None = None) -> type:
  """The class of FORMATS for a name or else for a path's extension."""
  if format is not None:
    if format not in FORMATS:
      raise ValueError(f"format {did_you_mean(format, FORMATS)}")
    return FORMATS[format]
  extension = Path(path).suffix.lower()
  by_extension = {
    end: kind
    for kind in reversed(FORMATS.values())
    if kind.can_write() and kind.opens == "file"
    for end in kind.extensions
  }
  by_extension |= {
    end: FORMATS[name] for end, name in USUAL.items() if name in FORMATS
  }
  if extension not in by_extension:
    raise ValueError(
      f"{path}: extension {did_you_mean(extension, by_extension)} (or give "
      f"format=)"
    )
  return by_extension[extension]


def lost_columns(result, kind: type) -> dict[str, int]:
  """What a format cannot hold: column or companion -> how many of them."""
  notes = annotations_of(result)
  lost = {}
  if "start" not in kind.keeps and len(notes.events):
    lost["events"] = len(notes.events)
  for name in () if lost else COLUMNS:
    used = int(np.count_nonzero(is_used(notes.events, name)))
    # One recording per file is what its own name says.
    is_implied = name == "filename" and len(set(notes.events.filename)) < 2
    if used and name not in kind.keeps and not is_implied:
      lost[name] = used
  # A file of its own for a recording says that it is empty by being so.
  is_own = kind.per_recording and not len(notes.events)
  for name in COMPANIONS[:-1]:
    if name == "known_empty" and is_own and len(notes.known_empty) == 1:
      continue
    if name not in kind.keeps and len(getattr(notes, name)):
      lost[name] = len(getattr(notes, name))
  for name, column in notes.extras.items():
    if not {"extras", f"extras.{name}"} & {*kind.keeps}:
      lost[f"extras.{name}"] = sum(map(bool, column))
  return {name: count for name, count in lost.items() if count}


def _recording_texts(result, path, kind) -> tuple[dict, dict]:
  """{file name: text}, one per recording, and what is lost."""
  texts, owner, lost = {}, {}, collections.Counter()
  for filename, part in annotations_of(result).split().items():
    name = recording_file(filename, kind)
    if name in owner:
      raise ValueError(
        f"{path}: recordings must have different stems, got "
        f"{owner[name]!r} and {filename!r}"
      )
    owner[name] = filename
    lost.update(lost_columns(part, kind))
    texts[name] = text_of(part, kind)
  return texts, lost


def _folder_texts(result, kind) -> tuple[dict, dict]:
  """{file name: text} of a format that is a folder, and what is lost."""
  if not isinstance(result, kind.holds):
    raise ValueError(
      f"result must be {kind.holds_text} for {kind.name}, got "
      f"{type(result).__name__}"
    )
  lost = collections.Counter()
  if isinstance(result, dict):
    result = {key: annotations_of(part) for key, part in result.items()}
    for part in result.values():
      lost.update(lost_columns(part, kind))
  return kind.folder_texts(result), lost


def recording_file(filename: str, kind: type) -> str:
  """Name of the file for a recording, in formats with one per recording."""
  stem = PurePosixPath(filename.replace("\\", "/")).stem
  if not stem:
    raise ValueError(f"filename must name the recording, got {filename!r}")
  return f"{stem}{kind.file_ending or kind.extensions[0]}"
