"""Sounds from which int8 conversion takes the ranges of the activations.

Windows as long as the network's input: of recordings, of records, of scenes
mixed from a manifest's sources, or synthetic. Drawn by seed and in equal
numbers per class, with silence, quiet and clipped ones and a few tones, chirps
and noises, from training material only. No TensorFlow here.
"""

import functools
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yoho_tf import audio, files
from yoho_tf.deploy import signals
from yoho_tf.params import TrainingParams, YohoParams

SYNTHETIC = "synthetic"
LEAST, MOST, DEFAULT = 100, 2_000, 500
# Of all windows: zeros, copies of others, and made ones: a tone drives some
# channels further than any recording does.
_EXTRA = {"silent": 0.05, "quiet": 0.10, "clipped": 0.10, "made": 0.05}
_QUIET_GAIN = 10 ** (-40 / 20)
_CLIPPED_PEAK = 4.0  # before it is cut at 1
_UNLABELLED = ""


@dataclass(frozen=True)
class Calibration:
  """Windows, and what the report says of them.

  Attributes:
    waveforms: float32 `[samples]` each.
    facts: plain: source, kind, seed, counts, windows per class, sha256.
    digests: of files or records that they were cut from.
  """

  waveforms: tuple
  facts: dict
  digests: frozenset = field(default_factory=frozenset)


@dataclass(frozen=True)
class _Piece:
  """One window to be: its class, and how to get it."""

  label: str
  key: str
  cut: object  # function -> float [samples], at most the window's length


class _Draw(NamedTuple):
  """How windows are drawn: at most `count` are needed."""

  count: int
  rng: np.random.Generator
  seed: int
  permissive_only: bool


def window_samples(params, frames=None) -> int:
  """Length of a window: the network's input, 25 cells for YOHO's lattice.

  Args:
    frames: of a fixed input, if not the model's own.
  """
  from yoho_tf.deploy import litert

  if frames is None and isinstance(params, YohoParams):
    frames = params.window_frames
  return litert.lengths(params, frames)[0]


def windows(
  source,
  params,
  *,
  num_windows=DEFAULT,
  seed=0,
  frames=None,
  permissive_only=True,
) -> Calibration:
  """Draws the windows.

  Args:
    source: folder of records or of sources (`manifest.csv`), whose split
      "train" is taken; folder of audio, a class per subfolder; "synthetic".
    params: `YohoParams` or `YamnetParams`.
    num_windows: 100 to 2,000, all kinds together; fewer where a folder does
      not hold as many.
    frames: as `window_samples`.
    permissive_only: of sources: those whose licence allows commercial use.

  Raises:
    ValueError: too few, or an unreadable file.
  """
  if not LEAST <= num_windows <= MOST:
    raise ValueError(
      f"num_windows must be {LEAST} to {MOST}; got {num_windows}"
    )
  size = window_samples(params, frames)
  num_base = num_windows - sum(
    round(share * num_windows) for share in _EXTRA.values()
  )
  rng = np.random.default_rng(seed)
  kind = kind_of(source)
  most = max(num_base, LEAST)  # of what is made, there is always enough
  draw = _Draw(most, rng, seed, permissive_only)
  pieces, digests = _KINDS[kind](source, params, size, draw)
  if len(pieces) < LEAST:
    raise ValueError(
      f"calibration must hold at least {LEAST} windows of "
      f"{size / params.frontend.sample_rate_hz:g} s; found {len(pieces)} in "
      f"{str(source)!r}"
    )
  chosen = _spread(pieces, num_base, rng)
  base = [_checked(piece, size) for piece in chosen]
  rate = params.frontend.sample_rate_hz
  waveforms, counts = _with_extra(base, num_windows, rng, rate)
  labels = {}
  for piece in chosen:
    labels[piece.label] = labels.get(piece.label, 0) + 1
  facts = {
    "source": str(source),
    "kind": kind,
    "seed": seed,
    "windows": len(waveforms),
    **counts,
    "per_class": dict(sorted(labels.items())),
    "sha256": digest(np.concatenate(waveforms)),
  }
  return Calibration(tuple(waveforms), facts, frozenset(digests))


def digest(waveform) -> str:
  """Of samples, as float32."""
  data = np.ascontiguousarray(waveform, "<f4").tobytes()
  return hashlib.sha256(data).hexdigest()


def check_apart(calibration: Calibration, digests) -> None:
  """Raises ValueError where examples to judge by were calibrated on.

  Args:
    digests: `{digest: name}` of the examples.
  """
  both = sorted(digests[d] for d in calibration.digests & digests.keys())
  if both:
    raise ValueError(
      "calibration must not hold what the parity report judges by; received "
      f"{len(both)} in both: {', '.join(both[:5])}"
    )


def kind_of(source) -> str:
  """ "synthetic", "records", "sources" or "audio"."""
  path = Path(source)
  if str(source) == SYNTHETIC:
    return SYNTHETIC
  if not path.is_dir():
    raise ValueError(
      f"calibration must be a folder, or {SYNTHETIC}; got {str(source)!r}"
    )
  for name, kind in (("index.json", "records"), ("manifest.csv", "sources")):
    if (path / name).is_file():
      return kind
  return "audio"


# ---- drawing ----------------------------------------------------------------


def _spread(pieces, count, rng):
  """At most `count` of them, of every class as many as of the others."""
  groups = {}
  for i in rng.permutation(len(pieces)):
    groups.setdefault(pieces[i].label, []).append(pieces[i])
  chosen = []
  for turn in range(max(map(len, groups.values()))):
    for label in sorted(groups):
      if turn < len(groups[label]):
        chosen.append(groups[label][turn])
  return chosen[:count]


def _checked(piece, size):
  waveform = np.asarray(piece.cut(), np.float32)
  if waveform.ndim != 1 or not np.isfinite(waveform).all():
    raise ValueError(
      f"{piece.key}: samples must be finite, in one row; received "
      f"{waveform.shape} with {np.sum(~np.isfinite(waveform))} others"
    )
  return np.pad(waveform[:size], (0, max(0, size - len(waveform))))


def _with_extra(base, num_windows, rng, rate):
  """The windows with silence, quiet, clipped and made ones, shuffled."""
  share = min(1.0, len(base) / ((1 - sum(_EXTRA.values())) * num_windows))
  counts = {
    name: round(part * num_windows * share) for name, part in _EXTRA.items()
  }
  silent, quiet, clipped, made = counts.values()
  picks = rng.permutation(len(base))
  extra = [np.zeros_like(base[0])] * silent
  extra += [np.float32(_QUIET_GAIN) * base[i] for i in picks[:quiet]]
  for i in picks[quiet : quiet + clipped]:
    peak = max(float(np.abs(base[i]).max()), 1e-6)
    extra.append(np.clip(base[i] * np.float32(_CLIPPED_PEAK / peak), -1, 1))
  kinds = tuple(signals.KINDS)
  for i in range(made):
    kind = kinds[i % len(kinds)]
    extra.append(signals.bursts(rng, len(base[0]), rate, kind))
  whole = [*base, *extra]
  return [whole[i] for i in rng.permutation(len(whole))], counts


# ---- kinds: (source, params, size, draw) -> pieces, digests ------------------


def _audio(source, params, size, draw):
  """Windows side by side of every file; its class is the top subfolder."""
  found, errors = audio.find_files(source)
  if errors:
    raise errors[0]
  rate, root = params.frontend.sample_rate_hz, Path(source)
  read = functools.lru_cache(maxsize=16)(audio.read)
  pieces, digests = [], set()
  for path in found:
    digests.add(files.sha256(path))
    *parents, _ = path.relative_to(root).parts
    seconds = audio.info(path).duration_seconds
    for i in range(max(1, int(seconds * rate) // size)):

      def cut(path=path, i=i):
        return read(path, sample_rate_hz=rate)[i * size : (i + 1) * size]

      label = parents[0] if parents else _UNLABELLED
      pieces.append(_Piece(label, str(path), cut))
  return pieces, digests


def _records(source, params, size, draw):
  """Windows of the split "train", each around the middle of an event."""
  from yoho_tf.data import records

  index = records.read_index(source)
  rate = params.frontend.sample_rate_hz
  if index.sample_rate_hz != rate:
    raise ValueError(
      f"calibration must be at the model's {rate} Hz; got "
      f"{index.sample_rate_hz} in {str(source)!r}"
    )
  reader = records.Reader(index, "train")
  pieces, digests = [], set()
  for i in range(len(reader)):
    example = reader[i]
    digests.add(digest(example.floats()))
    name = f"{source}: {example.filename or i}"
    spots = [(e.label, (e.start + e.end) / 2) for e in example.events]
    for label, seconds in spots or [(_UNLABELLED, 0.0)]:
      first = _around(seconds * rate, size, len(example.waveform))

      def cut(i=i, first=first):
        return reader[i].floats()[first : first + size]

      pieces.append(_Piece(label, name, cut))
  return pieces, digests


def _sources(source, params, size, draw):
  """Scenes mixed from the split "train", each around one of its events."""
  from yoho_tf.data import sources, synth

  is_yoho = isinstance(params, YohoParams)
  rate = params.frontend.sample_rate_hz
  pool = sources.read_manifest(
    source,
    split="train",
    labels=params.labels if is_yoho else None,
    permissive_only=draw.permissive_only,
    sample_rate_hz=rate,
  )
  scene = replace(TrainingParams().scene, sample_rate_hz=rate)
  pieces, counts = [], dict.fromkeys(pool.labels, 0)
  for i in range(draw.count):
    made = synth.make_scene(
      pool,
      scene,
      seed=draw.seed,
      index=i,
      labels=pool.labels,
      split="calibration",
    )
    events = sorted(made.events, key=lambda e: (counts[e.label], e.start))
    label, middle = _UNLABELLED, 0.0
    if events:
      label = events[0].label
      middle = (events[0].start + events[0].end) / 2
      counts[label] += 1
    first = _around(middle * rate, size, len(made.waveform))
    window = made.waveform[first : first + size].astype(np.float32)
    pieces.append(_Piece(label, f"scene {i}", lambda window=window: window))
  return pieces, {files.sha256(path) for path in {s.path for s in pool.sources}}


def _around(middle, size, length) -> int:
  """First sample of a window around a place, inside the recording."""
  return int(np.clip(middle - size / 2, 0, max(0, length - size)))


def _synthetic(source, params, size, draw):
  """`signals.bursts` of every kind in turn."""
  rate = params.frontend.sample_rate_hz
  kinds = tuple(signals.KINDS)
  pieces = []
  for i in range(draw.count):
    kind = kinds[i % len(kinds)]

    def cut(kind=kind, i=i):
      own = np.random.default_rng((draw.seed, i))
      return signals.bursts(own, size, rate, kind)

    pieces.append(_Piece(kind, f"{SYNTHETIC} {i}", cut))
  return pieces, set()


_KINDS = {
  "audio": _audio,
  "records": _records,
  "sources": _sources,
  SYNTHETIC: _synthetic,
}
