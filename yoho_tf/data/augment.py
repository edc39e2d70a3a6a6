"""Augmentation that changes labels: crop, time shift, mix.

Each acts on a `Window`, a waveform with its labels. What is random comes from
a row of `choices`, a pure function of (seed, epoch, example id): neither the
order of reading nor the number of threads changes an example. Augmentation
that leaves labels alone is in `layers/augment.py`.
"""

from dataclasses import dataclass, field, fields, replace

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.params.augmentation import (  # noqa: F401 (their home is params)
  OFF,
  Augmentation,
  Crop,
  Mix,
  TimeShift,
)

# Columns of a row of choices, each uniform in 0..1.
COLUMNS = ("crop_on", "crop", "shift_on", "shift", "mix_on", "mix_snr")
_SHORTEST_SECONDS = 1e-6  # an overlap below this is a rounding error


# ---- choices ----------------------------------------------------------------


def _mix_bits(values):
  """The finaliser of SplitMix64 (Steele et al. 2014), uint64 in and out."""
  values = (values ^ (values >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
  values = (values ^ (values >> 27)) * np.uint64(0x94D049BB133111EB)
  return values ^ (values >> 31)


def _uniform(seed, epoch, ids, columns):
  """float64 [ids, columns] in 0..1, each a hash of its four numbers."""
  state = np.zeros((1, 1), np.uint64)
  ids = np.asarray(ids, np.uint64)[:, None]
  for part in (np.uint64(seed), np.uint64(epoch), ids, columns):
    state = _mix_bits((state ^ part) + np.uint64(0x9E3779B97F4A7C15))
  return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def choices(seed: int, epoch: int, ids) -> np.ndarray:
  """The rows of choices of some examples: float64 [ids, len(COLUMNS)]."""
  return _uniform(seed, epoch, ids, np.arange(len(COLUMNS), dtype=np.uint64))


def order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
  """A permutation of the example ids: int64 [num_examples]."""
  column = np.array([1000], np.uint64)
  keys = _uniform(seed, epoch, np.arange(num_examples), column)
  return np.argsort(keys[:, 0], kind="stable")


# ---- windows ----------------------------------------------------------------


@dataclass(frozen=True)
class Window:
  """A waveform of fixed length with its labels, seconds from its start.

  Attributes:
    waveform: float32 [num_samples + extra]; the extra samples feed the last
      STFT frame and carry no labels.
    num_samples: labelled samples.
    unknown: spans in which nobody looked; label "" stands for all classes.
    tags: label -> 0..1.
    known_labels: classes somebody listened for; None: all.
  """

  waveform: np.ndarray
  sample_rate_hz: int
  num_samples: int
  events: EventTable
  unknown: EventTable = field(default_factory=EventTable.empty)
  tags: dict = field(default_factory=dict)
  known_labels: tuple[str, ...] | None = None


def crop(example, first: int, *, num_samples: int, extra_samples: int = 0):
  """The `Window` of an `Example` that begins at sample `first`.

  Zeros follow where the example ends; they hold no events.
  """
  rate = example.sample_rate_hz
  part = example.waveform[first : first + num_samples + extra_samples]
  waveform = np.zeros(num_samples + extra_samples, np.float32)
  waveform[: len(part)] = part
  start, end = first / rate, (first + num_samples) / rate
  return Window(
    waveform=waveform * np.float32(example.scale),
    sample_rate_hz=rate,
    num_samples=num_samples,
    events=_cropped(example.events, start, end),
    unknown=_cropped(example.unknown, start, end),
    tags=example.tags,
    known_labels=example.known_labels,
  )


def _cropped(events, start, end):
  events = events.crop(start, end)
  keep = events.end - events.start > _SHORTEST_SECONDS
  return events if keep.all() else events[keep]


def time_shift(window: Window, shift_samples: int) -> Window:
  """Moves a window by 0..num_samples samples, circularly."""
  size = window.num_samples
  place = np.arange(len(window.waveform)) - shift_samples
  return replace(
    window,
    waveform=window.waveform[place % size],
    events=_shifted(window.events, shift_samples, window),
    unknown=_shifted(window.unknown, shift_samples, window),
  )


def _shifted(events, shift_samples, window):
  length = window.num_samples / window.sample_rate_hz
  shift = shift_samples / window.sample_rate_hz
  start, end = events.start + shift, events.end + shift
  parts = []
  for offset in (0.0, length):  # before the edge, and around it
    a, b = np.maximum(start - offset, 0), np.minimum(end - offset, length)
    keep = b - a > _SHORTEST_SECONDS
    parts.append(events[keep].replace(start=a[keep], end=b[keep]))
  return EventTable.concat(parts)


def mix(window: Window, other: Window, snr_db: float) -> Window:
  """Adds another window, `snr_db` below this one (RMS over the whole).

  Events are united, tags the maximum; what is unknown in either stays
  unknown, so that no negative is invented.
  """
  loud, soft = (
    np.sqrt(np.mean(np.square(w.waveform))) for w in (window, other)
  )
  gain = (
    np.float32(10 ** (-snr_db / 20)) * loud / soft if loud and soft else 1.0
  )
  waveform = window.waveform + other.waveform * np.float32(gain)
  peak = np.abs(waveform).max(initial=0.0)
  tags = {**other.tags, **window.tags}
  known = (window.known_labels, other.known_labels)
  if None in known:
    known = known[0] if known[1] is None else known[1]
  else:
    known = tuple(label for label in known[0] if label in known[1])
  return replace(
    window,
    waveform=waveform / np.maximum(peak, np.float32(1.0)),
    events=EventTable.concat([window.events, other.events]),
    unknown=EventTable.concat([window.unknown, other.unknown]),
    tags={k: max(v, other.tags.get(k, 0.0)) for k, v in tags.items()},
    known_labels=known,
  )


def draw(
  example, row, settings: Augmentation, *, num_samples: int, extra_samples=0
) -> Window:
  """Crops and shifts an example as its row of choices says."""
  pick = dict(zip(COLUMNS, np.asarray(row).tolist(), strict=True))
  room = max(len(example.waveform) - num_samples, 0)
  first = int(pick["crop"] * (room + 1))
  if pick["crop_on"] >= settings.crop.probability:
    first = 0
  window = crop(
    example, first, num_samples=num_samples, extra_samples=extra_samples
  )
  if pick["shift_on"] < settings.time_shift.probability:
    window = time_shift(window, int(pick["shift"] * num_samples))
  return window


def draw_mix(window, other, row, settings: Augmentation) -> Window:
  """Mixes in another example's window, or not, as the row says."""
  pick = dict(zip(COLUMNS, np.asarray(row).tolist(), strict=True))
  if other is None or pick["mix_on"] >= settings.mix.probability:
    return window
  low, high = settings.mix.snr_db
  return mix(window, other, low + pick["mix_snr"] * (high - low))


def weights(window: Window, params) -> np.ndarray:
  """float32 [cells, classes]: 0 where nobody looked, else 1.

  Args:
    params: with `labels`, `window_cells`, `cell_seconds`.
  """
  grid = np.ones((params.window_cells, len(params.labels)), np.float32)
  edges = np.arange(params.window_cells + 1) * params.cell_seconds
  for span in window.unknown:
    overlap = np.minimum(edges[1:], span.end) - np.maximum(
      edges[:-1], span.start
    )
    hidden = overlap > _SHORTEST_SECONDS
    column = slice(None) if not span.label else params.labels.index(span.label)
    grid[hidden, column] = 0
  if window.known_labels is not None:
    looked = np.array([v in window.known_labels for v in params.labels])
    grid[:, ~looked] = 0
  return grid


def describe(settings: Augmentation) -> str:
  """One line for logs: "crop 1, mix 0.5"."""
  parts = ((f.name, getattr(settings, f.name)) for f in fields(settings))
  on = [f"{name} {p.probability:g}" for name, p in parts if p.probability]
  return ", ".join(on) or "off"
