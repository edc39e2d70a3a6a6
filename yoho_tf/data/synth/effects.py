"""What is done to sounds: length, pitch, rooms, fades, noise, loops.

All lengths are samples, all waveforms float32 [samples].
"""

import numpy as np

_WINDOW_SECONDS = 0.064
_LOOP_SECONDS = 0.05
_DUCK_RAMP_SECONDS = 0.25
_MAX_ROOM_SECONDS = 1.0
_NOISE_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}


def stretch(sound, num_samples: int, *, rate: int):
  """The same sound at another length: a phase vocoder.

  Each frame of the result takes the magnitudes of a frame of the sound and the
  phases that the frame before leads to. How fast a phase turns is measured
  between two frames of the sound that are as far apart as those of the result.
  Bins around a peak keep their phases relative to it, so that transients stay
  sharp (identity phase locking).

  Args:
    sound: float32 [samples].
    num_samples: length of the result.

  Returns:
    float32 [num_samples].
  """
  if num_samples == len(sound):
    return sound
  size = 1 << round(np.log2(_WINDOW_SECONDS * rate))
  hop, half = size // 4, size // 2
  window = np.hanning(size + 1)[:-1].astype(np.float32)
  num_frames = -(-num_samples // hop) + 1
  # A frame is centred on what it stands for; `hop` more for the one before.
  starts = np.round(np.arange(num_frames) * hop * (len(sound) / num_samples))
  starts = starts.astype(int) + hop
  last = starts[-1] + size
  padded = np.pad(sound, (half + hop, max(0, last - half - hop - len(sound))))
  frames = np.lib.stride_tricks.sliding_window_view(padded, size)
  now = np.fft.rfft(frames[starts] * window)  # [frames, bins]
  before = np.fft.rfft(frames[starts - hop] * window)
  phase = np.angle(now)
  advance = phase - np.angle(before)
  owner = [_peak_of_bins(row) for row in np.abs(now)]
  turn = np.zeros_like(phase)  # how far each bin's phase is turned
  for t in range(1, num_frames):
    own = turn[t - 1] + phase[t - 1] + advance[t] - phase[t]
    turn[t] = own[owner[t]]
  result = np.fft.irfft(now * np.exp(1j * turn), size) * window
  total = np.zeros((num_frames + 3) * hop, np.float32)
  weight = np.zeros_like(total)
  for quarter in range(4):
    stop = quarter + num_frames
    part = slice(quarter * hop, (quarter + 1) * hop)
    total[quarter * hop : stop * hop] += result[:, part].ravel()
    weight[quarter * hop : stop * hop] += np.tile(window[part] ** 2, num_frames)
  total /= np.maximum(weight, 1e-3)
  return total[half : half + num_samples].astype(np.float32)


def _peak_of_bins(magnitude):
  """The peak that each bin belongs to, int [bins]: the nearest one."""
  inner = magnitude[1:-1]
  peaks = (
    np.flatnonzero((inner > magnitude[:-2]) & (inner >= magnitude[2:])) + 1
  )
  if not len(peaks):
    return np.arange(len(magnitude))
  edges = np.r_[0, (peaks[1:] + peaks[:-1] + 1) // 2, len(magnitude)]
  return np.repeat(peaks, np.diff(edges))


def resize(sound, num_samples: int):
  """Resampled to a number of samples: other length, other pitch."""
  if num_samples == len(sound) or not len(sound):
    return sound
  import soxr

  sound = soxr.resample(sound, len(sound), num_samples, quality="MQ")[
    :num_samples
  ]
  return np.pad(sound, (0, num_samples - len(sound)))


def shift(sound, semitones: float, num_samples: int, *, rate: int):
  """Another pitch and, without one changing the other, another length."""
  between = round(num_samples * 2 ** (semitones / 12))
  return resize(stretch(sound, between, rate=rate), num_samples)


def fade(sound, num_samples: int):
  """Linear ramps at both ends, of at most half the sound each."""
  num_samples = min(num_samples, len(sound) // 2)
  if num_samples:
    ramp = np.linspace(0, 1, num_samples, dtype=np.float32)
    sound = sound.copy()
    sound[:num_samples] *= ramp
    sound[-num_samples:] *= ramp[::-1]
  return sound


def direct_first(response, rate: int):
  """A recorded room response from its direct path on, which has gain 1."""
  response = response[np.argmax(np.abs(response)) :]
  response = response[: round(_MAX_ROOM_SECONDS * rate)]
  return response / max(abs(response[0]), 1e-6)


def synthetic_room(rt60_seconds: float, seed: int, rate: int):
  """Direct path, then noise that decays by 60 dB within the time.

  The direct path has 0-12 dB more energy than what follows.
  """
  rng = np.random.default_rng(seed)
  length = max(round(rt60_seconds * rate), 2)
  time = np.arange(length) / rate
  tail = rng.standard_normal(length) * 10 ** (-3 * time / rt60_seconds)
  # The first reflection comes after 1-5 ms, as in a room.
  tail[: min(round(rng.uniform(0.001, 0.005) * rate), length - 1)] = 0
  ratio_db = rng.uniform(0, 12)
  tail *= np.sqrt(10 ** (-ratio_db / 10) / max(np.sum(tail**2), 1e-12))
  tail[0] = 1.0
  return tail.astype(np.float32)


def convolve(sound, response):
  """float32 [samples + response - 1]."""
  size = len(sound) + len(response) - 1
  fast = 1 << (size - 1).bit_length()
  product = np.fft.rfft(sound, fast) * np.fft.rfft(response, fast)
  return np.fft.irfft(product, fast)[:size].astype(np.float32)


def duck(sound, ducks, rate: int):
  """Lowered in spans, with ramps of 0.25 s in dB outside of them.

  Args:
    ducks: (first, stop, dB) in samples of the sound; the lowest one counts.
  """
  ramp = round(_DUCK_RAMP_SECONDS * rate)
  lowered = np.zeros(len(sound), np.float32)  # dB
  for first, stop, db in ducks:
    begin, end = max(first - ramp, 0), min(stop + ramp, len(sound))
    if begin >= end:
      continue
    place = np.arange(begin, end)
    edge = np.minimum(place - (first - ramp), stop + ramp - place) / ramp
    part = (db * np.clip(edge, 0, 1)).astype(np.float32)
    lowered[begin:end] = np.maximum(lowered[begin:end], part)
  return sound * np.float32(10) ** (-lowered / 20)


def noise(kind: str, num_samples: int, *, seed: int, rate: int):
  """White, pink or brown noise, flat below 20 Hz."""
  rng = np.random.default_rng(seed)
  slope = _NOISE_SLOPES[kind]
  if not slope:
    return rng.standard_normal(num_samples, np.float32)
  fast = 1 << (num_samples - 1).bit_length()
  spectrum = np.fft.rfft(rng.standard_normal(fast, np.float32))
  frequency = np.maximum(np.arange(len(spectrum)), 20 * fast / rate)
  spectrum *= (frequency**-slope).astype(np.float32)
  return np.fft.irfft(spectrum, fast)[:num_samples].astype(np.float32)


def loop(sound, num_samples: int, *, rate: int):
  """Repeated to a length, with crossfades of 50 ms and of equal power."""
  size = len(sound)
  if size >= num_samples:
    return sound[:num_samples]
  overlap = min(round(_LOOP_SECONDS * rate), size // 2)
  step = size - overlap
  angle = (np.arange(overlap) + 0.5) / overlap * np.pi / 2 if overlap else ()
  head, tail = np.ones(size, np.float32), np.ones(size, np.float32)
  head[:overlap], tail[step:] = np.sin(angle), np.cos(angle)
  total = np.zeros(num_samples + size, np.float32)
  for first in range(0, num_samples, step):
    part = sound * tail
    total[first : first + size] += part * head if first else part
  return total[:num_samples]
