"""The journal of an archive: which recordings are done, and by what.

JSON lines. The first says what determines the results (`fingerprint`); then a
line per recording, written when its files are there. A line that was cut off
by a crash is no line, and its recording is done again.

    {"yoho_tf_journal": 1, "fingerprint": {"model": "yoho_everyday", ...}}
    {"key": "a/clip.wav", "bytes": 320044, "mtime_ns": 1700000000000000000,
     "status": "done", "outputs": {"a/clip.csv": 181}, "seconds": 10.0}
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import time

from yoho_tf import __version__, files, hub
from yoho_tf.corpus import work
from yoho_tf.params import flatten, to_json

NAME = "journal.jsonl"
_SYNC_SECONDS = 2.0  # a crash of the machine may cost as much
_ABSENT = object()
_PART = re.compile(r"\.\d+\.part\.(.+)", re.DOTALL)  # files.replacing


class JournalError(ValueError):
  """An output folder that this run cannot go on in; one line."""


class Journal:
  """Lines that are appended and read back; a context manager.

  Attributes:
    done: `{key: row}` of earlier runs.
  """

  def __init__(self, folder, fingerprint: dict, *, restart=False):
    """Opens or begins the journal of an output folder.

    Raises:
      JournalError: it belongs to other settings, or is no journal.
    """
    self._folder = pathlib.Path(folder)
    path = self._folder / NAME
    head = _line({"yoho_tf_journal": 1, "fingerprint": fingerprint})
    self.done = {}
    old = b""
    if not restart:
      with contextlib.suppress(FileNotFoundError):
        old = path.read_bytes()
    if old:
      _check_head(path, old.partition(b"\n")[0], fingerprint)
      for row in _rows(old):
        self.done.pop(row["key"], None)
        if row["status"] == "done":
          self.done[row["key"]] = row
    text = b"".join([head, *map(_line, self.done.values())])
    if text != old:  # new, cut off, or with lines that later ones replaced
      files.replace_bytes(path, text)
    self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
    self._synced_at = time.monotonic()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    os.fsync(self._file)
    os.close(self._file)

  def has(self, job: work.Job) -> bool:
    """Whether a recording is done: unchanged since, its files still there."""
    row = self.done.get(job.key)
    return (
      row is not None
      and (row["bytes"], row["mtime_ns"]) == work.stamp(job.path)
      and {*row["outputs"]} == {name for name, _ in job.targets}
      and all(map(self._is_there, row["outputs"].items()))
    )

  def _is_there(self, output) -> bool:
    """A loss of power can empty a file that was just renamed."""
    name, size = output
    found, _ = work.stamp(self._folder / name)
    return found > 0 or found == size

  def add(self, outcome: work.Outcome) -> None:
    """Appends a line, by one call of the system."""
    size, mtime_ns = outcome.stamp
    row = {"key": outcome.key, "bytes": size, "mtime_ns": mtime_ns}
    if outcome.error:
      row |= {"status": "error", "error": outcome.error}
    else:
      row |= {"status": "done", "outputs": outcome.outputs}
      row |= {"seconds": outcome.seconds}
    os.write(self._file, _line(row))
    if time.monotonic() - self._synced_at > _SYNC_SECONDS:
      os.fsync(self._file)
      self._synced_at = time.monotonic()


def _line(row: dict) -> bytes:
  """ASCII: a name that is not UTF-8 survives as an escape."""
  return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _rows(data: bytes):
  """The lines behind the first that are whole."""
  for line in data.split(b"\n")[1:-1]:
    with contextlib.suppress(ValueError, TypeError, KeyError):
      row = json.loads(line)
      if row["status"] == "error" or (row["outputs"], row["mtime_ns"]):
        row["key"], row["bytes"]
        yield row


def _check_head(path, line, fingerprint) -> None:
  try:
    head = json.loads(line)
    before = {**head["fingerprint"]}
    head["yoho_tf_journal"]
  except (ValueError, TypeError, KeyError):
    raise JournalError(
      f"{path}: must be a journal of yoho predict, got another file; "
      "restart (--restart) to replace it"
    ) from None
  before, now = flatten(before), flatten(fingerprint)
  pairs = {
    key: (before.get(key, _ABSENT), now.get(key, _ABSENT))
    for key in dict.fromkeys([*before, *now])
  }
  changes = [
    f"{key} {_short(old)} -> {_short(new)}"
    for key, (old, new) in pairs.items()
    if old != new
  ]
  if changes:
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    raise JournalError(
      f"{path}: the results there were made otherwise: "
      f"{', '.join(changes[:3])}{more}; give another folder, or restart "
      "(--restart) to do all again"
    )


def _short(value) -> str:
  if value is _ABSENT:
    return "(absent)"
  text = json.dumps(value)
  return text if len(text) <= 40 else f"{text[:37]}..."


# --- Fingerprint -------------------------------------------------------------


def fingerprint(setup: work.Setup, params, formats) -> dict:
  """What determines the results, as plain values of JSON."""
  found = {
    "yoho_tf": __version__,
    "model": setup.model,
    "weights_sha256": _weights_sha256(setup),
    "family": setup.family,
    "formats": sorted(formats),
    "threshold": setup.threshold,
    "top": setup.top,
    "resampler": setup.resampler,
    "params": json.loads(to_json(params)),
  }
  return json.loads(json.dumps(found))


def _weights_sha256(setup) -> str:
  name = os.fspath(setup.model)
  if os.path.isdir(name):
    name = hub.of_folder(name)
  if setup.weights is not None:
    return files.sha256(setup.weights)
  if os.path.isdir(name):  # a SavedModel
    digest = hashlib.sha256()
    for path in sorted(p for p in pathlib.Path(name).rglob("*") if p.is_file()):
      digest.update(f"{path.relative_to(name)} {files.sha256(path)}\n".encode())
    return digest.hexdigest()
  if os.path.isfile(name):  # a manifest.json holds the digests of its parts
    return files.sha256(name)
  if name in hub.bundled():
    return files.sha256(hub.WEIGHTS / f"{name}.tflite")
  is_lite = name in ("yamnet_lite", "yamnet_audioset_relu6")
  return hub.PUBLISHED["yamnet_lite.tflite" if is_lite else "yamnet.h5"].sha256


# --- The folder --------------------------------------------------------------


@contextlib.contextmanager
def locked(folder):
  """Keeps a second run out of an output folder; gone with the process."""
  try:
    import fcntl
  except ImportError:  # Windows
    yield
    return
  handle = os.open(folder, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise JournalError(
        f"{folder}: another run is writing there; wait for its end"
      ) from None
    except OSError:  # a file system without locks
      pass
    yield
  finally:
    os.close(handle)


def remove_parts(folder, names) -> None:
  """Removes temporary files of `names` that a kill left behind."""
  own = {}  # folder -> ends of names that files.replacing kept
  for path in (pathlib.Path(folder, name) for name in names):
    own.setdefault(path.parent, set()).add(path.name[-50:])
  for parent, ends in own.items():
    with contextlib.suppress(OSError):
      for name in os.listdir(parent):
        match = _PART.fullmatch(name)
        if match and match[1] in ends:
          (parent / name).unlink(missing_ok=True)
