"""A recipe and its files become a scene."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from yoho_tf.data.synth import effects
from yoho_tf.data.synth.levels import (
  FRAME_SECONDS,
  active_rms,
  audible,
  gain,
  rms,
)
from yoho_tf.data.synth.recipe import Recipe
from yoho_tf.events import EventTable

_MAX_PEAK = 0.999
_TAIL_DB = 30.0


class Stem(NamedTuple):
  """A sound of a scene as mixed: with its gain, its room, at its place."""

  label: str  # "" for a distractor, "background" for the background
  start: int  # sample of the scene
  waveform: np.ndarray  # float32 [samples], within the scene


@dataclass(frozen=True)
class Scene:
  """A mixture and what is in it.

  Attributes:
    waveform: float32 [samples].
    events: an `EventTable`, seconds, sorted.
    num_dropped: sounds that found no place.
    recipe: what the scene was mixed from.
    spans: per event of the recipe its labelled samples (first, stop), or None
      for a distractor and for what cannot be heard.
    gain: factor of everything, below 1 where the peak was too high.
    stems: the events of the recipe, then the background, if asked for. Their
      sum is the waveform within 1e-6.
  """

  waveform: np.ndarray
  events: EventTable
  num_dropped: int = 0
  recipe: Recipe | None = None
  spans: tuple = ()
  gain: float = 1.0
  stems: tuple[Stem, ...] = ()


class Sound(NamedTuple):
  """One event at its level, not yet placed."""

  waveform: np.ndarray  # float32 [samples], with its reverb
  num_labelled: int  # samples that a label covers


def mix_recipe(recipe: Recipe, pool, *, stems=False, sounds=None) -> Scene:
  """Mixes what a recipe says.

  Args:
    pool: `data.pool.SourcePool` of the folder that the files lie in.
    stems: keep every sound as mixed.
    sounds: `render`ed sounds of the events, where they are at hand.

  Returns:
    `Scene`. Labels are the placed samples that can be heard
    (`label_floor_db`): start = first / rate, end = (last + 1) / rate, cut at
    the scene's edges.
  """
  rate, length = recipe.sample_rate_hz, recipe.num_samples
  if sounds is None:
    sounds = [render(event, recipe, pool) for event in recipe.events]
  background = render_background(recipe, pool)
  floor = rms(background) * gain(recipe.label_floor_db)
  mixture = background.astype(np.float64)
  parts, spans = [], []
  for event, sound in zip(recipe.events, sounds, strict=True):
    waveform = sound.waveform
    if event.ducks:
      own = [(a - event.start, b - event.start, db) for a, b, db in event.ducks]
      waveform = effects.duck(waveform, own, rate)
    first = max(event.start, 0)
    part = waveform[first - event.start : length - event.start]
    mixture[first : first + len(part)] += part
    parts.append((event.label, first, part))
    spans.append(None)
    if event.label:
      start, stop = audible(waveform[: sound.num_labelled], rate, floor)
      start, stop = first_stop(event.start + start, event.start + stop, length)
      spans[-1] = (start, stop) if start < stop else None
  parts.append(("background", 0, background))
  peak = max(float(np.abs(p).max(initial=0)) for *_, p in [*parts, (mixture,)])
  factor = _MAX_PEAK / peak if peak > _MAX_PEAK else 1.0
  if factor != 1.0:
    mixture *= factor
  kept = ()
  if stems:
    kept = tuple(
      Stem(label, first, (part * factor).astype(np.float32))
      for label, first, part in parts
    )
  rows = [
    (span[0] / rate, span[1] / rate, event.label)
    for event, span in zip(recipe.events, spans, strict=True)
    if span
  ]
  return Scene(
    waveform=mixture.astype(np.float32),
    events=EventTable.from_rows(sorted(rows)),
    num_dropped=recipe.num_dropped,
    recipe=recipe,
    spans=tuple(spans),
    gain=factor,
    stems=kept,
  )


def first_stop(first, stop, length):
  """Cut at the edges of a scene."""
  return max(first, 0), min(stop, length)


def render(event, recipe, pool) -> Sound:
  """One sound with its effects, level and room."""
  rate = recipe.sample_rate_hz
  pieces = [pool.piece(p.file, p.first, p.stop) for p in event.pieces]
  silence = np.zeros(event.pause, np.float32)
  joined = [part for piece in pieces for part in (piece, silence)][:-1]
  sound = np.concatenate(joined) if len(joined) > 1 else joined[0]
  if event.stretch != 1 or event.semitones:
    size = round(len(sound) * event.stretch)
    sound = effects.shift(sound, event.semitones, size, rate=rate)
  sound = effects.resize(sound, event.num_samples)
  sound = effects.fade(sound, event.fade)
  level = recipe.background.level_db + event.snr_db
  sound = sound * np.float32(gain(level) / max(active_rms(sound, rate), 1e-9))
  if event.room is None:
    return Sound(sound, len(sound))
  if event.room.file:
    response = effects.direct_first(pool.piece(event.room.file, 0, None), rate)
  else:
    room = event.room
    response = effects.synthetic_room(room.rt60_seconds, room.seed, rate)
  wet = effects.convolve(sound, response)
  num_labelled = len(sound)
  if recipe.label_tail == "audible":
    # From the end of the dry sound on: what is less than 30 dB below it.
    frame = round(FRAME_SECONDS * rate)
    edge = len(sound) // frame * frame
    floor = active_rms(sound, rate) * gain(-_TAIL_DB)
    num_labelled = max(num_labelled, edge + audible(wet[edge:], rate, floor)[1])
  return Sound(wet, num_labelled)


def render_background(recipe, pool):
  """float32 [samples] at its level."""
  rate, length = recipe.sample_rate_hz, recipe.num_samples
  own = recipe.background
  if own.piece:
    sound = pool.piece(own.piece.file, own.piece.first, own.piece.stop)
    sound = effects.loop(sound, length, rate=rate)
  else:
    sound = effects.noise(own.noise, length, seed=own.seed, rate=rate)
  level = gain(own.level_db + own.quiet_db)
  return sound * np.float32(level / max(rms(sound), 1e-9))


def crop(scene: Scene, start_samples: int, num_samples: int, rate: int):
  """`(waveform [num_samples], events)`, zero-padded past the scene's end."""
  part = scene.waveform[start_samples : start_samples + num_samples]
  part = np.pad(part, (0, num_samples - len(part)))
  start = start_samples / rate
  return part, scene.events.crop(start, start + num_samples / rate)
