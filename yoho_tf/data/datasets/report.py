"""What is there of a data set: counts, missing files, audio headers."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from yoho_tf import audio, readers
from yoho_tf.data.datasets import base
from yoho_tf.data.datasets.fixtures import FIXTURE

NUM_OPENED = 20  # audio files, where not all are asked for
_ARCHIVES = ("*.zip", "*.tar", "*.tar.*", "*.tgz", "*.7z", "*.rar")


@dataclass(frozen=True)
class Part:
  """One line of a report; `state`: ok, missing, wrong, broken or absent."""

  state: str
  name: str
  text: str

  @property
  def ok(self) -> bool:
    return self.state in ("ok", "absent")  # absent: not required


@dataclass(frozen=True)
class Report:
  """What was found of a data set; `str(report)` is for people."""

  info: base.Info
  root: Path
  parts: tuple[Part, ...]
  notes: tuple[str, ...] = ()

  @property
  def ok(self) -> bool:
    return all(part.ok for part in self.parts)

  def __str__(self) -> str:
    bad = sum(not part.ok for part in self.parts)
    first = f"{len(self.parts)} parts complete"
    if bad:
      first = f"{bad} of {len(self.parts)} parts incomplete"
    width = max(len(part.name) for part in self.parts)
    lines = [f"{self.info.name}: {first} under {self.root}"]
    lines += [
      f"  {part.state:8} {part.name:{width}}  {part.text}"
      for part in self.parts
    ]
    lines += [f"  {note}" for note in self.notes]
    lines.append(f"published at: {self.info.published} ({self.info.licence})")
    return "\n".join(lines)


class Checker:
  """Collects the parts of a report; no problem stops it.

  Args:
    info: of the set.
    root: its folder, which need not be there.
    counts: part -> what must be found; a fixture brings its own.
    full: open every audio file, not 20 of them.
  """

  def __init__(
    self, info: base.Info, root, counts: dict, *, full: bool = False
  ):
    self.info, self.root, self.full = info, Path(root), full
    self.parts, self.notes = [], []
    self.counts = dict(counts)
    fixture = self.root / FIXTURE
    if fixture.is_file():
      own = json.loads(fixture.read_text(encoding="utf-8"))
      self.counts.update(own["counts"])
      self.notes.append(f"counts are those of {FIXTURE}: a made-up set")

  def add(self, name, text, *, state):
    self.parts.append(Part(state, name, text))

  def number(self, name: str, found: int, unit: str, *, missing="") -> bool:
    """A count against the expected one, which `counts[name]` holds."""
    expected = self.counts[name]
    if found == expected and not missing:
      self.add(name, f"{found} {unit}", state="ok")
      return True
    state = "missing" if found < expected or missing else "wrong"
    text = f"{expected} {unit} expected, {found} found"
    if missing:
      text += f"; first missing {missing}"
    self.add(name, text, state=state)
    return False

  def table(self, path: str, unit: str, count, **options):
    """Reads annotations; a file or folder that cannot be read is a part.

    Args:
      path: below the root.
      count: function of the `Annotations`, for the expected number.
      **options: for `readers.read`.

    Returns:
      the `Annotations`, or None.
    """
    try:
      notes = readers.read(self.root / path, **options)
    except FileNotFoundError:
      expected = self.counts[path]
      self.add(
        path,
        f"{expected} {unit} expected, 0 found; first missing {path}",
        state="missing",
      )
      return None
    except ValueError as error:
      self.add(path, str(error), state="broken")
      return None
    self.number(path, count(notes), unit)
    return notes

  def files(self, pattern: str, names=None, *, required=True) -> list[Path]:
    """Files that must be there.

    Args:
      pattern: glob below the root, the name of the part.
      names: paths below the root, where a table lists them; their number is
        counted against `counts[pattern]` too.
      required: what is missing makes the set incomplete.

    Returns:
      Those that are there, sorted.
    """
    if names is None:
      found, missing = sorted(self.root.glob(pattern)), ""
      if len(found) < self.counts[pattern]:
        missing = pattern
    else:
      paths = [self.root / name for name in sorted(set(names))]
      found = [path for path in paths if path.is_file()]
      lost = set(paths) - set(found)
      missing = ""
      if lost:
        missing = min(lost).relative_to(self.root).as_posix()
    if required:
      self.number(pattern, len(found), "files", missing=missing)
    else:
      text = f"{len(found)} of {self.counts[pattern]} files (not required)"
      self.add(pattern, text, state="ok" if found else "absent")
    return found

  def audio(self, paths, *, channels=(1, 2), seconds=(0, 1e9), events=None):
    """Opens files, 20 by default: rate, channels, duration, events inside.

    Args:
      paths: name in the events -> path, or a list of paths.
      seconds: range of durations; a fixture's own goes before it.
      events: an `EventTable`; every event must end by its recording's end.
    """
    name = "audio headers"
    if not isinstance(paths, dict):
      paths = {path.name: path for path in paths}
    if not paths:
      return self.add(name, "no file to open", state="missing")
    low, high = self.counts.get("seconds", seconds)
    ends = {}
    if events is not None:
      for file, end in zip(events.filename, events.end.tolist()):
        ends[file] = max(end, ends.get(file, 0.0))
    names = sorted(paths)
    if not self.full and len(names) > NUM_OPENED:
      names = sorted(random.Random(0).sample(names, NUM_OPENED))
    problems = []
    for file in names:
      problem = self._header(paths[file], channels, low, high, ends.get(file))
      if problem:
        problems.append(f"{paths[file]}: {problem}")
    text = f"{len(names)} of {len(paths)} files opened"
    if problems:
      text += f", {len(problems)} wrong; first {problems[0]}"
    return self.add(name, text, state="wrong" if problems else "ok")

  def _header(self, path, channels, low, high, end):
    try:
      info = audio.info(path)
    except ValueError as error:
      return str(error)
    for ok, rule, received in (
      (
        self.info.sample_rate_hz in (0, info.sample_rate_hz),
        f"{self.info.sample_rate_hz} Hz",
        info.sample_rate_hz,
      ),
      (
        info.num_channels in channels,
        " or ".join(f"{count} channels" for count in channels),
        info.num_channels,
      ),
      (
        low <= info.duration_seconds <= high,
        f"{low:g} to {high:g} s",
        f"{info.duration_seconds:g}",
      ),
      (
        end is None or end <= info.duration_seconds + 0.05,
        "as long as its events",
        f"an end at {end} s in {info.duration_seconds:g} s",
      ),
    ):
      if not ok:
        return f"must be {rule}, got {received}"
    return ""

  def report(self) -> Report:
    if not all(part.ok for part in self.parts):
      for pattern in _ARCHIVES:
        for folder in ("", "*/"):
          self.notes += [
            f"not unpacked: {path.relative_to(self.root)}"
            for path in sorted(self.root.glob(folder + pattern))
          ]
    parts, notes = tuple(self.parts), tuple(dict.fromkeys(self.notes))
    return Report(self.info, self.root, parts, notes)
