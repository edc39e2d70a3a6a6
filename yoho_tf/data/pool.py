"""Recordings to draw from, decoded once."""

import pathlib
import threading
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from yoho_tf import audio

# Speakers unknown: every file counts as a source of its own.
UNKNOWN = "unknown-speaker"
_MAX_CACHE_BYTES = 1 << 30
_FRAME_SECONDS = 0.02
_TRIM_DB = 45.0


@dataclass(frozen=True)
class Source:
  """One piece of material: a file, or a part of it (seconds)."""

  path: pathlib.Path
  role: str
  label: str  # display name, "" for a distractor or background
  source_id: str
  licence: str
  start: float = 0.0
  end: float | None = None


class _Cache:
  """The latest files as int16; copies and pickles of it are empty."""

  def __init__(self):
    self.lock = threading.Lock()
    self.files, self.spans, self.num_bytes = {}, {}, 0

  def __reduce__(self):
    return _Cache, ()

  def add(self, name, samples):
    with self.lock:
      if name not in self.files:
        self.files[name] = samples
        self.num_bytes += samples.nbytes
      while self.num_bytes > _MAX_CACHE_BYTES and len(self.files) > 1:
        oldest = self.files.pop(next(iter(self.files)))
        self.num_bytes -= oldest.nbytes


@dataclass(frozen=True)
class SourcePool:
  """Sources of one split, with decoded audio kept as int16.

  `groups(role, label)` -> [[Source]], one list per source id. Drawing a source
  id first and a file of it second keeps one long recording from dominating its
  class. Files are named relative to `root`, so that a recipe fits wherever the
  folder lies.
  """

  sources: tuple[Source, ...]
  sample_rate_hz: int = 16_000
  root: pathlib.Path = pathlib.Path()
  _cache: _Cache = field(
    default_factory=_Cache, init=False, repr=False, compare=False
  )

  @cached_property
  def _index(self):
    index = {}
    # By path: what is drawn does not depend on the order of the manifest.
    for source in sorted(self.sources, key=lambda s: (self.name(s), s.start)):
      groups = index.setdefault((source.role, source.label), {})
      groups.setdefault(self.group(source), []).append(source)
    return {
      key: [groups[name] for name in sorted(groups)]
      for key, groups in sorted(index.items())
    }

  def groups(self, role: str, label: str = "") -> list[list[Source]]:
    return self._index.get((role, label), [])

  @property
  def labels(self) -> tuple[str, ...]:
    return tuple(label for role, label in self._index if role == "event")

  def draw(self, rng, role: str, label: str = "") -> Source:
    group = self.groups(role, label)
    group = group[rng.integers(len(group))]
    return group[rng.integers(len(group))]

  def name(self, source: Source) -> str:
    """The source's file, relative to the root where it lies below it."""
    path = source.path
    if path.is_relative_to(self.root):
      path = path.relative_to(self.root)
    return path.as_posix()

  def group(self, source: Source) -> str:
    """What must not be in two splits."""
    unknown = UNKNOWN in source.source_id
    return self.name(source) if unknown else source.source_id

  def samples(self, name: str) -> np.ndarray:
    """int16 [samples] of a whole file at the pool's rate."""
    found = self._cache.files.get(name)
    if found is None:
      with warnings.catch_warnings():  # lossy files overshoot a little
        warnings.simplefilter("ignore")
        whole = audio.read(self.root / name, sample_rate_hz=self.sample_rate_hz)
      found = np.round(np.clip(whole, -1, 1) * 32767).astype(np.int16)
      self._cache.add(name, found)
    return found

  def piece(self, name: str, first: int, stop: int | None) -> np.ndarray:
    """float32 [samples]: part of a file, first to stop (exclusive)."""
    part = self.samples(name)[first:stop]
    return part.astype(np.float32) / np.float32(32767)

  def bounds(self, source: Source) -> tuple[int, int]:
    """First and last sample (exclusive) of a source in its file."""
    rate = self.sample_rate_hz
    first = round(source.start * rate)
    length = len(self.samples(self.name(source)))
    stop = length if source.end is None else round(source.end * rate)
    return min(first, length), min(stop, length)

  def span(self, source: Source) -> tuple[int, int]:
    """`bounds` without the quiet ends, found once (see `active_span`)."""
    key = (source.path, source.start, source.end)
    if key not in self._cache.spans:
      first, stop = self.bounds(source)
      part = self.samples(self.name(source))[first:stop]
      begin, end = active_span(part, self.sample_rate_hz)
      self._cache.spans[key] = (first + begin, first + end)
    return self._cache.spans[key]

  def waveform(self, source: Source) -> np.ndarray:
    """float32 [samples] of a source."""
    return self.piece(self.name(source), *self.bounds(source))

  def without_broken(self) -> tuple["SourcePool", list[str]]:
    """The pool of what decodes, and one line for each file that does not."""
    errors, broken = [], set()
    for path in sorted({source.path for source in self.sources}):
      try:
        self.samples(self.name(Source(path, "", "", "", "")))
      except audio.AudioError as error:
        broken.add(path)
        errors.append(str(error))
    kept = tuple(s for s in self.sources if s.path not in broken)
    return replace(self, sources=kept), errors


def active_span(waveform, rate) -> tuple[int, int]:
  """First and last sample (exclusive) without the quiet ends.

  Quiet are frames of 20 ms more than 45 dB below the 99th percentile. A
  waveform shorter than two frames is left as it is.
  """
  frame = round(_FRAME_SECONDS * rate)
  count = len(waveform) // frame
  if count < 2:
    return 0, len(waveform)
  power = frame_power(waveform[: count * frame], frame)
  limit = np.percentile(power, 99) * 10 ** (-_TRIM_DB / 10)
  active = np.flatnonzero(power > limit)
  if not len(active):
    return 0, 0
  return int(active[0]) * frame, (int(active[-1]) + 1) * frame


def frame_power(waveform, frame) -> np.ndarray:
  """Mean square, float64 [frames], of a whole number of frames."""
  frames = waveform.reshape(-1, frame).astype(np.float64)
  return np.einsum("fs,fs->f", frames, frames) / frame
