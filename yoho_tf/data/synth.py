"""Scenes with exact strong labels, mixed from recordings.

`make_scene(pool, params, seed=, index=)` is a pure function of its arguments:
the same scene whatever the number of workers or the order of calls.
"""

from dataclasses import dataclass

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.params import SceneParams

# A step, a tick or a syllable is not the sound one hears: these labels are
# built from several files of one source id. (pause range in seconds, parts)
_SEQUENCES = {
  "Walk, footsteps": ((0.15, 0.55), (2, 9)),
  "Speech": ((0.05, 0.25), (1, 4)),
}
_FRAME_SECONDS = 0.02
_TRIM_DB = 45.0
_ACTIVE_DB = 40.0


@dataclass(frozen=True)
class Scene:
  """`waveform` float32 [samples], `events` in seconds, counts of what fell."""

  waveform: np.ndarray
  events: EventTable
  num_dropped: int


def make_scene(pool, params: SceneParams, *, seed: int, index: int, labels):
  """One scene.

  Args:
    pool: `data.sources.SourcePool` of one split.
    labels: the vocabulary to draw from, equally likely.

  Returns:
    `Scene`. Labels are the placed samples that can be heard
    (`params.label_floor_db`): start = first / rate, end = (last + 1) / rate,
    cut at the scene's edges. A decay that the background covers is nobody's
    to find, and no annotator would have marked it.
  """
  rng = np.random.default_rng([seed, index])
  rate = params.sample_rate_hz
  length = round(params.duration_seconds * rate)
  level = 10 ** (rng.uniform(*params.background_level_db) / 20)
  mixture = _background(pool, rng, params, length) * level
  floor = _rms(mixture) * 10 ** (params.label_floor_db / 20)
  placed, labelled, dropped = [], [], 0
  num_events = rng.integers(params.num_events[0], params.num_events[1] + 1)
  num_distractors = rng.integers(
    params.num_distractors[0], params.num_distractors[1] + 1
  )
  if not pool.groups("distractor"):
    num_distractors = 0
  wanted = [labels[rng.integers(len(labels))] for _ in range(num_events)]
  for label in wanted + [""] * num_distractors:
    sound = _sound(pool, rng, params, label)
    if len(sound) < 0.1 * rate:
      dropped += 1
      continue
    # The event may begin before the scene or run past its end.
    first = _place(rng, params, label, len(sound), length, placed)
    if first is None:
      dropped += 1
      continue
    snr = 10 ** (rng.uniform(*params.snr_db) / 20)
    rms = _active_rms(sound)
    sound = sound * (snr * level / max(rms, 1e-9))
    wet = _reverberate(pool, rng, params, sound)
    _add(mixture, wet, first)
    start, stop = max(first, 0), min(first + len(sound), length)
    placed.append((label, start, stop))
    if label:
      start, stop = audible(sound, rate, floor)
      start, stop = max(first + start, 0), min(first + stop, length)
      if stop > start:
        labelled.append((start / rate, stop / rate, label))
  peak = np.abs(mixture).max()
  if peak > 0.999:
    mixture *= 0.999 / peak
  events = EventTable.from_rows(sorted(labelled))
  return Scene(mixture.astype(np.float32), events, dropped)


def crop(scene: Scene, start_samples: int, num_samples: int, rate: int):
  """`(waveform [num_samples], events)`, zero-padded past the scene's end."""
  part = scene.waveform[start_samples : start_samples + num_samples]
  part = np.pad(part, (0, num_samples - len(part)))
  start = start_samples / rate
  return part, scene.events.crop(start, start + num_samples / rate)


def _place(rng, params, label, sound_samples, length, placed):
  """First sample such that the overlap rules hold, or None."""
  gap = round(params.min_gap_seconds * params.sample_rate_hz)
  room = min(sound_samples // 2, length // 2)
  for _ in range(30):
    first = int(rng.integers(-room, max(length - room, 1)))
    start, stop = max(first, 0), min(first + sound_samples, length)
    if stop - start < 0.1 * params.sample_rate_hz:
      continue
    others = [(a, b) for _, a, b in placed if a < stop and b > start]
    same = [
      1
      for other, a, b in placed
      if label and other == label and a < stop + gap and b > start - gap
    ]
    if not same and len(others) < params.max_overlap:
      return first
  return None


def _background(pool, rng, params, length):
  """float64 [length] with RMS 1: a recording, or brown, pink or white noise."""
  if rng.random() < params.silence_probability:
    return rng.standard_normal(length) * 10 ** (rng.uniform(-60, -20) / 20)
  if pool.groups("background") and rng.random() < 0.75:
    noise = pool.waveform(pool.draw(rng, "background"))
    if len(noise) > length:
      first = int(rng.integers(len(noise) - length))
      noise = noise[first : first + length]
    noise = np.resize(noise, length).astype(np.float64)
  else:
    slope = rng.choice([0.0, 0.5, 1.0])  # white, pink, brown
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.arange(len(spectrum)), 20 * length / 16_000)
    noise = np.fft.irfft(spectrum / frequency**slope, length)
  return noise / max(_rms(noise), 1e-9)


def _rms(waveform):
  return np.sqrt(np.mean(waveform**2))


def _sound(pool, rng, params, label):
  """One dry event, float32 [samples], trimmed, with fades."""
  rate = params.sample_rate_hz
  role = "event" if label else "distractor"
  if label in _SEQUENCES:
    pause, parts = _SEQUENCES[label]
    first = pool.draw(rng, role, label)
    own = next(g for g in pool.groups(role, label) if first in g)
    spoken = label == "Speech"
    silence = np.zeros(round(rng.uniform(*pause) * rate), np.float32)
    pieces, total = [], 0
    budget = rng.uniform(*params.event_seconds) * rate
    for _ in range(int(rng.integers(parts[0], parts[1] + 1))):
      source = own[rng.integers(len(own))] if len(own) > 1 else first
      piece = trim(pool.waveform(source), rate)
      pieces += [piece, silence]
      total += len(piece) + len(silence)
      if total > budget or len(piece) > 2 * rate:
        break
      if spoken and len(own) == 1:
        first = pool.draw(rng, role, label)
        own = [first]
    sound = np.concatenate(pieces[:-1])
  else:
    sound = trim(pool.waveform(pool.draw(rng, role, label)), rate)
    most = round(rng.uniform(*params.event_seconds) * rate)
    if len(sound) > most:
      first = int(rng.integers(len(sound) - most + 1))
      sound = trim(sound[first : first + most], rate)
  if rng.random() < params.speed_probability and len(sound):
    import soxr

    speed = rng.uniform(*params.speed)
    sound = soxr.resample(sound, 1000, round(1000 / speed), quality="MQ")
  return _fade(sound, round(params.fade_seconds * rate))


def trim(waveform, rate):
  """Cuts both ends: frames of 20 ms, 45 dB below the 99th percentile."""
  frame = round(_FRAME_SECONDS * rate)
  count = len(waveform) // frame
  if count < 2:
    return waveform
  power = np.mean(
    waveform[: count * frame].reshape(count, frame).astype(np.float64) ** 2, 1
  )
  limit = np.percentile(power, 99) * 10 ** (-_TRIM_DB / 10)
  active = np.flatnonzero(power > limit)
  if not len(active):
    return waveform[:0]
  return waveform[active[0] * frame : (active[-1] + 1) * frame]


def audible(sound, rate, floor_rms):
  """First and last sample (exclusive) of what is louder than a floor.

  Judged in frames of 20 ms; (0, 0) where nothing is.
  """
  frame = round(_FRAME_SECONDS * rate)
  count = -(-len(sound) // frame)
  padded = np.pad(sound.astype(np.float64), (0, count * frame - len(sound)))
  power = np.mean(padded.reshape(count, frame) ** 2, axis=1)
  loud = np.flatnonzero(power > floor_rms**2)
  if not len(loud):
    return 0, 0
  return int(loud[0]) * frame, min((int(loud[-1]) + 1) * frame, len(sound))


def _fade(sound, samples):
  samples = min(samples, len(sound) // 2)
  if samples:
    ramp = np.linspace(0, 1, samples, dtype=np.float32)
    sound = sound.copy()
    sound[:samples] *= ramp
    sound[-samples:] *= ramp[::-1]
  return sound


def _active_rms(sound):
  """RMS of the 20 ms frames within 40 dB of the loudest."""
  frame = 320
  count = max(1, len(sound) // frame)
  power = np.mean(
    np.resize(sound, count * frame).reshape(count, -1).astype(np.float64) ** 2,
    axis=1,
  )
  active = power > power.max() * 10 ** (-_ACTIVE_DB / 10)
  return np.sqrt(power[active].mean()) if active.any() else 0.0


def _reverberate(pool, rng, params, sound):
  """Convolved with a room; the direct path stays at sample 0 with gain 1."""
  if not pool.groups("rir") or rng.random() >= params.reverb_probability:
    return sound
  rir = pool.waveform(pool.draw(rng, "rir"))
  rir = rir[np.argmax(np.abs(rir)) :][: params.sample_rate_hz]
  rir = rir / max(abs(rir[0]), 1e-6)
  size = len(sound) + len(rir) - 1
  fast = 1 << (size - 1).bit_length()
  wet = np.fft.irfft(np.fft.rfft(sound, fast) * np.fft.rfft(rir, fast), fast)
  return wet[:size]


def _add(mixture, sound, first):
  start, stop = max(first, 0), min(first + len(sound), len(mixture))
  mixture[start:stop] += sound[start - first : stop - first]
