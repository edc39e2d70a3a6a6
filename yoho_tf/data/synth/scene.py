"""Draws a scene: which sounds, how changed, where."""

import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from yoho_tf.data.pool import active_span
from yoho_tf.data.synth import mix
from yoho_tf.data.synth.recipe import (
  BackgroundRecipe,
  EventRecipe,
  Piece,
  Recipe,
  Room,
)
from yoho_tf.params import SceneParams

_MIN_SECONDS = 0.1  # of a sound, and of what the scene shows of it
_NUM_TRIES = 100


def make_scene(
  pool,
  params: SceneParams,
  *,
  seed: int,
  index: int,
  labels=None,
  split: str = "",
  stems: bool = False,
) -> mix.Scene:
  """One scene, which depends on its arguments alone.

  Args:
    pool: `data.pool.SourcePool` of one split.
    labels: the vocabulary to draw from, equally likely; else
      `params.labels`, else all of the pool.
    split: its name counts like the seed.
    stems: keep every sound as mixed.

  Returns:
    `Scene`. A decay that the background covers is nobody's to find, and no
    annotator would have marked it: see `params.label_floor_db`.
  """
  recipe, sounds = _draw(pool, params, seed, index, labels, split)
  sounds = [
    sound or mix.render(event, recipe, pool)
    for event, sound in zip(recipe.events, sounds, strict=True)
  ]
  return mix.mix_recipe(recipe, pool, stems=stems, sounds=sounds)


def draw_recipe(
  pool, params, *, seed: int, index: int, labels=None, split=""
) -> Recipe:
  """The recipe of the scene that `make_scene` makes of the same arguments."""
  return _draw(pool, params, seed, index, labels, split)[0]


@dataclass
class _Stage:
  """What is drawn so far: (label, first, stop) of the sounds in place."""

  params: SceneParams
  length: int
  crossfade: int
  placed: list = field(default_factory=list)


def _draw(pool, params, seed, index, labels, split):
  """The recipe, and per event its sound, or None if drawing needed none."""
  rate = params.sample_rate_hz
  if pool.sample_rate_hz != rate:
    raise ValueError(
      f"pool must have the scene's sample_rate_hz {rate}; received "
      f"{pool.sample_rate_hz}"
    )
  labels = labels or params.labels or pool.labels
  rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
  length = round(params.duration_seconds * rate)
  recipe = Recipe(
    seed=seed,
    split=split,
    index=index,
    sample_rate_hz=rate,
    num_samples=length,
    label_tail=params.label_tail,
    label_floor_db=params.label_floor_db,
    background=_background(rng, pool, params, length),
    events=(),
    num_dropped=0,
  )
  crossfade = round(params.crossfade_seconds.draw(rng) * rate)
  stage = _Stage(params, length, crossfade)
  num_events = round(params.num_events.draw(rng))
  num_distractors = round(params.num_distractors.draw(rng))
  if not pool.groups("distractor"):
    num_distractors = 0
  wanted = [labels[rng.integers(len(labels))] for _ in range(num_events)]
  wanted += [""] * num_distractors
  events, sounds = [], []
  for label in wanted:
    event = _event(rng, pool, stage, label)
    if event is None:
      continue
    sound, size = None, event.num_samples
    if event.room and params.label_tail == "audible":
      sound = mix.render(event, recipe, pool)
      size = sound.num_labelled
    start = _place(rng, stage, label, size)
    if start is None:
      continue
    events.append(replace(event, start=start))
    sounds.append(sound)
  events = _ducked(rng, stage, events)
  dropped = len(wanted) - len(events)
  recipe = replace(recipe, events=tuple(events), num_dropped=dropped)
  return recipe, sounds


def _background(rng, pool, params, length) -> BackgroundRecipe:
  level = params.background_level_db.draw(rng)
  seed = int(rng.integers(2**31))
  if rng.random() < params.silence_probability:
    quiet = float(rng.uniform(-60, -20))
    return BackgroundRecipe(level, noise="white", seed=seed, quiet_db=quiet)
  noise = params.noises[rng.integers(len(params.noises))]
  if rng.random() >= params.recorded_background_probability:
    return BackgroundRecipe(level, noise=noise, seed=seed)
  if not pool.groups("background"):
    if params.recorded_background_probability == 1:
      raise ValueError("sources must hold a background; received none")
    return BackgroundRecipe(level, noise=noise, seed=seed)
  source = pool.draw(rng, "background")
  first, stop = pool.bounds(source)
  if stop - first > length:
    first += int(rng.integers(stop - first - length + 1))
    stop = first + length
  piece = Piece(pool.name(source), source.source_id, first, stop)
  return BackgroundRecipe(level, piece=piece)


def _event(rng, pool, stage, label) -> EventRecipe | None:
  """A sound without its place, or None if the sources have but clicks."""
  params, rate = stage.params, stage.params.sample_rate_hz
  changes = {}
  if rng.random() < params.pitch_probability:
    changes["semitones"] = params.pitch_semitones.draw(rng)
  if rng.random() < params.time_stretch_probability:
    changes["stretch"] = params.time_stretch.draw(rng)
  if rng.random() < params.speed_probability:
    changes["speed"] = params.speed.draw(rng)
  fade = round(params.fade_seconds * rate)
  if params.layout == "chain":
    fade = max(fade, stage.crossfade)
  for _ in range(_NUM_TRIES):
    if label in params.joined:
      pieces, pause = _joined(rng, pool, params, label)
    else:
      pieces, pause = [_piece(rng, pool, params, label)], 0
    event = EventRecipe(label, tuple(pieces), pause, fade=fade, **changes)
    if event.num_samples >= _MIN_SECONDS * rate:
      snr_db = params.snr_db.draw(rng)
      return replace(event, snr_db=snr_db, room=_room(rng, pool, params))
  return None


def _role(label):
  return "event" if label else "distractor"


def _piece(rng, pool, params, label) -> Piece:
  """A part of a source, at most as long as an event is to be."""
  source = pool.draw(rng, _role(label), label)
  name = pool.name(source)
  first, stop = pool.span(source)
  most = round(params.event_seconds.draw(rng) * params.sample_rate_hz)
  if stop - first > most:
    first += int(rng.integers(stop - first - most + 1))
    part = pool.samples(name)[first : first + most]
    begin, end = active_span(part, params.sample_rate_hz)
    first, stop = first + begin, first + end
  return Piece(name, source.source_id, first, stop)


def _joined(rng, pool, params, label):
  """Pieces of one source id that follow one another, and their pause."""
  rate, join = params.sample_rate_hz, params.joined[label]
  source = pool.draw(rng, _role(label), label)
  groups = pool.groups(_role(label), label)
  own = next(group for group in groups if source in group)
  pause = round(join.pause_seconds.draw(rng) * rate)
  budget = params.event_seconds.draw(rng) * rate
  pieces, total = [], 0
  for _ in range(max(1, round(join.num_parts.draw(rng)))):
    if len(own) > 1:
      source = own[rng.integers(len(own))]
    first, stop = pool.span(source)
    pieces.append(Piece(pool.name(source), source.source_id, first, stop))
    total += stop - first + pause
    if total > budget or stop - first > join.enough_seconds * rate:
      break
    if len(own) == 1 and join.other_sources:
      source = pool.draw(rng, _role(label), label)
      own = [source]
  return pieces, pause


def _room(rng, pool, params) -> Room | None:
  if rng.random() >= params.reverb_probability:
    return None
  if params.rooms == "recorded" and pool.groups("rir"):
    return Room(file=pool.name(pool.draw(rng, "rir")))
  seconds = params.rt60_seconds.draw(rng)
  return Room(rt60_seconds=seconds, seed=int(rng.integers(2**31)))


def _place(rng, stage, label, size) -> int | None:
  """First sample such that the overlap rules hold, or None."""
  params, rate = stage.params, stage.params.sample_rate_hz
  gap = round(params.min_gap_seconds * rate)
  for _ in range(_NUM_TRIES):
    first = _candidate(rng, stage, label, size, gap)
    start, stop = mix.first_stop(first, first + size, stage.length)
    if stop - start < _MIN_SECONDS * rate:
      continue
    same = label and not params.same_class_overlap and any(
      other == label and a < stop + gap and b > start - gap
      for other, a, b in stage.placed
    )  # fmt: skip
    if not same and _most(stage.placed, start, stop) < params.max_overlap:
      stage.placed.append((label, start, stop))
      return first
  return None


def _candidate(rng, stage, label, size, gap) -> int:
  params, length = stage.params, stage.length
  if params.layout == "chain" and label:
    if not stage.placed:
      return 0
    last, begin, end = max(stage.placed, key=lambda p: p[2])
    if label != last and rng.random() < params.talk_over_probability:
      return int(rng.integers(begin, end))
    # One class may not overlap itself, so it cannot cross-fade either.
    return end + gap if label == last else end - stage.crossfade
  inside = min(int(np.ceil((1 - params.overhang) * size)), length)
  low, high = inside - size, length - inside
  return low + min(int(params.start.draw(rng) * (high - low + 1)), high - low)


def _most(placed, start, stop) -> int:
  """How many sounds in place are on at once, at most, from start to stop."""
  own = [(max(a, start), b) for _, a, b in placed if a < stop and b > start]
  return max((sum(a <= t < b for a, b in own) for t, _ in own), default=0)


def _ducked(rng, stage, events):
  """The events, with the spans in which some are lowered."""
  params, length = stage.params, stage.length
  over = [
    (e.start, e.start + e.num_samples)
    for e in events
    if e.label in params.ducking_labels
  ]
  for i, event in enumerate(events):
    if event.label not in params.ducked_labels:
      continue
    stop = min(event.start + event.num_samples, length)
    ducks = [
      (a, b, params.duck_db.draw(rng))
      for a, b in over
      if a < stop and b > event.start
    ]
    events[i] = replace(event, ducks=tuple(ducks))
  return events
