"""Levels and ends of sounds, judged in frames of 20 ms."""

import numpy as np

from yoho_tf.data.pool import active_span, frame_power

FRAME_SECONDS = 0.02
_ACTIVE_DB = 40.0


def rms(waveform) -> float:
  return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def gain(db) -> float:
  return 10 ** (db / 20)


def active_rms(sound, rate) -> float:
  """RMS of the frames within 40 dB of the loudest, 0.0 for silence."""
  power = _power(sound, rate)
  active = power > power.max() * gain(-2 * _ACTIVE_DB)
  return float(np.sqrt(power[active].mean())) if active.any() else 0.0


def audible(sound, rate, floor_rms) -> tuple[int, int]:
  """First and last sample (exclusive) of what is louder than a floor.

  (0, 0) where nothing is.
  """
  frame = round(FRAME_SECONDS * rate)
  loud = np.flatnonzero(_power(sound, rate) > floor_rms**2)
  if not len(loud):
    return 0, 0
  return int(loud[0]) * frame, min((int(loud[-1]) + 1) * frame, len(sound))


def trim(waveform, rate):
  """The waveform without its quiet ends (`active_span`)."""
  first, stop = active_span(waveform, rate)
  return waveform[first:stop]


def _power(sound, rate):
  """Mean square of every frame; the last one may be padded."""
  frame = round(FRAME_SECONDS * rate)
  whole = len(sound) // frame * frame
  power = frame_power(sound[:whole], frame)
  rest = np.square(sound[whole:], dtype=np.float64).sum() / frame
  return np.append(power, rest) if whole < len(sound) else power
