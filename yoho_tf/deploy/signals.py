"""Sounds that need no file: for calibration, and to judge artefacts by."""

import numpy as np

GAINS_DB = (0, -12, -24, -40)


def builtin(num_samples: int, rate: int) -> dict[str, np.ndarray]:
  """Silence; noise, a tone and a chirp at four levels: float32 `[samples]`."""
  time = np.arange(num_samples) / rate
  noise = np.random.default_rng(0).uniform(-1, 1, num_samples)
  sweep = time / max(time[-1], 1e-9)
  sounds = {
    "noise": 0.5 * noise,
    "tone": 0.9 * np.sin(2 * np.pi * 440 * time),
    "chirp": 0.9 * np.sin(2 * np.pi * (100 + 1500 * sweep) * time),
  }
  found = {"silence": np.zeros(num_samples, np.float32)}
  for name, sound in sounds.items():
    for gain in GAINS_DB:
      own = name if gain == 0 else f"{name} {gain} dB"
      found[own] = (10 ** (gain / 20) * sound).astype(np.float32)
  return found


def bursts(rng, num_samples: int, rate: int, kind: str) -> np.ndarray:
  """Sounds of one of KINDS at many levels, over faint noise, with pauses."""
  waveform = 10 ** (rng.uniform(-90, -50) / 20) * rng.standard_normal(
    num_samples
  )
  first = 0
  while first < num_samples:
    length = round(rng.uniform(0.05, 2.0) * rate)
    part = waveform[first : first + length]
    sound = KINDS[kind](rng, len(part), rate)
    peak = max(np.abs(sound).max(), 1e-9)
    part += 10 ** (rng.uniform(-50, 0) / 20) / peak * sound
    first += length + round(rng.exponential(0.4) * rate)
  return np.clip(waveform, -1, 1).astype(np.float32)


def _chirp(rng, size, rate):
  time = np.arange(size) / rate
  base, slope = rng.uniform(100, 3000), rng.uniform(-500, 2000)
  return np.sin(2 * np.pi * (base + slope * time) * time)


def _harmonics(rng, size, rate):
  """Overtones of one voice, with vibrato."""
  time = np.arange(size) / rate
  vibrato = 1 + 0.01 * np.sin(2 * np.pi * rng.uniform(3, 7) * time)
  phase = 2 * np.pi * rng.uniform(80, 800) * np.cumsum(vibrato) / rate
  fall = rng.uniform(0.5, 2)
  return sum(np.sin(k * phase) / k**fall for k in range(1, 12))


def _noise(rng, size, rate):
  """Noise whose level falls or rises with frequency."""
  spectrum = np.fft.rfft(rng.standard_normal(size))
  slope = np.arange(1, len(spectrum) + 1) ** rng.uniform(-1.0, 0.5)
  return np.fft.irfft(spectrum * slope, size)


def _tone(rng, size, rate):
  return np.sin(
    2 * np.pi * rng.uniform(60, 0.45 * rate) * np.arange(size) / rate
  )


KINDS = {
  "chirp": _chirp,
  "harmonics": _harmonics,
  "noise": _noise,
  "tone": _tone,
}
