"""Scenes: recipes, stems, overlap, distributions, presets."""

import json
from dataclasses import replace

import numpy as np
import pytest

from yoho_tf.data import sources, synth
from yoho_tf.params import (
  SCENE_PRESETS,
  Choice,
  Const,
  Distribution,
  Normal,
  SceneParams,
  TrainingParams,
  Uniform,
  from_json,
  override,
  scene_preset,
  to_json,
)

RATE = 16_000
LABELS = ("Bark", "Rain", "Speech", "Walk, footsteps")
SHORT = SceneParams(duration_seconds=3.0, event_seconds=(0.3, 1.0))


@pytest.fixture(scope="module")
def pool(source_folder):
  return sources.read_manifest(source_folder, split="train", labels=LABELS)


def scene_of(pool, params, index, **options):
  options = {"labels": LABELS, "split": "train", **options}
  return synth.make_scene(pool, params, seed=5, index=index, **options)


# ---- stems and recipes ------------------------------------------------------


@pytest.mark.parametrize("name", SCENE_PRESETS)
def test_stems_sum_to_the_mixture(pool, name):
  params = replace(
    SCENE_PRESETS[name],
    duration_seconds=4.0,
    background_level_db=Uniform(-30, -10),  # loud: the peak rule acts
    labels=(),
  )
  factors = []
  for index in range(6):
    scene = scene_of(pool, params, index, stems=True)
    total = np.zeros(len(scene.waveform))
    for stem in scene.stems:
      assert np.abs(stem.waveform).max() <= 0.999 + 1e-6
      total[stem.start : stem.start + len(stem.waveform)] += stem.waveform
    assert np.abs(total - scene.waveform).max() <= 1e-6
    labels = [event.label for event in scene.recipe.events]
    assert [stem.label for stem in scene.stems] == [*labels, "background"]
    plain = scene_of(pool, params, index)
    np.testing.assert_array_equal(plain.waveform, scene.waveform)
    factors.append(scene.gain)
  assert min(factors) < 1


@pytest.mark.parametrize("name", SCENE_PRESETS)
def test_a_recipe_is_mixed_again_from_json(pool, source_folder, name):
  params = replace(SCENE_PRESETS[name], duration_seconds=4.0, labels=())
  fresh = sources.read_manifest(source_folder, split="all", labels=LABELS)
  for index in range(3):
    scene = scene_of(pool, params, index)
    text = json.dumps(synth.recipe_to_dict(scene.recipe))
    recipe = synth.recipe_from_dict(json.loads(text))
    assert recipe == scene.recipe
    again = synth.mix_recipe(recipe, fresh)
    np.testing.assert_array_equal(again.waveform, scene.waveform)
    assert again.events == scene.events and again.spans == scene.spans
  with pytest.raises(ValueError, match="recipe must have other fields"):
    synth.recipe_from_dict({**json.loads(text), "speed": 1})


def test_events_placed_by_hand_are_where_the_recipe_says(pool):
  """Two events and silence: samples, times and levels are as written."""
  empty = scene_of(pool, replace(SHORT, num_events=Const(0)), 0).recipe
  source = pool.groups("event", "Rain")[0][0]
  piece = synth.recipe.Piece(pool.name(source), "a", 0, 8_000)
  events = tuple(
    synth.recipe.EventRecipe("Rain", (piece,), start=start, snr_db=20.0)
    for start in (4_800, 44_000)
  )
  quiet = replace(empty.background, level_db=-60.0)
  recipe = replace(empty, events=events, background=quiet)
  scene = synth.mix_recipe(recipe, pool, stems=True)
  assert [e[:3] for e in scene.events] == [
    (0.3, 0.8, "Rain"),
    (2.75, 3.0, "Rain"),  # cut at the scene's end
  ]
  one, two, background = scene.stems
  assert (one.start, len(one.waveform)) == (4_800, 8_000)
  assert (two.start, len(two.waveform)) == (44_000, 4_000)
  np.testing.assert_array_equal(two.waveform, one.waveform[:4_000])
  raw = pool.piece(pool.name(source), 0, 8_000)
  np.testing.assert_allclose(
    one.waveform / one.waveform.std(), raw / raw.std(), atol=1e-4
  )
  ratio = synth.active_rms(one.waveform, RATE) / background.waveform.std()
  assert abs(20 * np.log10(ratio) - 20) < 0.1


def test_labels_are_found_again_by_energy(pool):
  """Frames 20 dB above a silent background, within 20 ms of the labels."""
  clear = replace(
    SHORT,
    num_events=Const(1),
    background_level_db=Const(-80),
    noises=("white",),
    snr_db=Const(60),
    reverb_probability=0.0,
  )
  found = 0
  for index in range(25):
    scene = scene_of(pool, clear, index)
    ((start, end, *_),) = scene.events
    start, end = round(start * RATE), round(end * RATE)
    loud = np.abs(scene.waveform) > 10 ** ((-80 + 20) / 20)
    loud = np.flatnonzero(loud)
    assert start <= loud[0] < start + 320 and end - 320 < loud[-1] < end
    found += bool(scene.recipe.events[0].stretch != 1)
  assert 5 < found < 20  # with and without stretching


def test_the_audible_tail_is_labelled(pool):
  wet = replace(
    SHORT,
    num_events=Const(1),
    reverb_probability=1.0,
    rt60_seconds=Const(0.6),
    snr_db=Const(40),
  )
  longer = 0
  for index in range(10):
    dry = scene_of(pool, wet, index)
    tail = scene_of(pool, replace(wet, label_tail="audible"), index, stems=True)
    (event,), (dry_event,) = tail.recipe.events, dry.recipe.events
    assert replace(event, start=0) == replace(dry_event, start=0)
    first, stop = tail.spans[0]
    assert stop - first >= event.num_samples
    longer += stop - first > event.num_samples
    stem = tail.stems[0].waveform[: stop - first]
    level = synth.active_rms(stem[: event.num_samples], RATE)
    # What is not labelled any more is 30 dB below the event.
    rest = tail.stems[0].waveform[stop - first + 320 :]
    if len(rest) and stop < len(tail.waveform):
      frames = rest[: len(rest) // 320 * 320].reshape(-1, 320)
      assert (np.sqrt((frames**2).mean(1)) < 1.2 * level * 10**-1.5).all()
  assert longer > 5


def test_ducked_music_is_lowered_under_speech(source_folder):
  labels = ("Music", "Speech")
  pool = sources.read_manifest(source_folder, split="train", labels=labels)
  radio = replace(
    SCENE_PRESETS["radio"],
    duration_seconds=8.0,
    event_seconds=Uniform(1.0, 4.0),
    crossfade_seconds=Uniform(0.2, 0.4),
    duck_db=Const(12),
  )
  ducked = 0
  for index in range(10):
    scene = scene_of(pool, radio, index, labels=labels, stems=True)
    plain = replace(
      scene.recipe,
      events=tuple(replace(e, ducks=()) for e in scene.recipe.events),
    )
    loud = synth.mix_recipe(plain, pool, stems=True)
    for event, stem, own in zip(scene.recipe.events, scene.stems, loud.stems):
      for first, stop, _ in event.ducks:
        assert event.label == "Music"
        part = slice(max(first - stem.start, 0), stop - stem.start)
        np.testing.assert_allclose(
          stem.waveform[part] / scene.gain,
          own.waveform[part] / loud.gain * 10 ** (-12 / 20),
          atol=1e-6,
        )
        ducked += 1
  assert ducked > 3


# ---- what is drawn ----------------------------------------------------------


def test_labels_are_drawn_equally_often(pool):
  counts = dict.fromkeys(LABELS, 0)
  params = replace(SHORT, num_events=Const(4), max_overlap=50)
  params = replace(params, same_class_overlap=True, duration_seconds=2.0)
  for index in range(150):
    recipe = synth.draw_recipe(pool, params, seed=1, index=index, labels=LABELS)
    for event in recipe.events:
      counts[event.label] += 1
  expected = sum(counts.values()) / len(LABELS)
  chi_square = sum((n - expected) ** 2 / expected for n in counts.values())
  assert chi_square < 16.27, counts  # p = .001 at 3 degrees of freedom


@pytest.mark.parametrize("most", [1, 2, 3])
def test_never_more_sounds_at_once(pool, most):
  params = replace(SHORT, num_events=Const(9), max_overlap=most)
  reached, dropped = 0, 0
  for index in range(12):
    scene = scene_of(pool, params, index)
    dropped += scene.num_dropped
    assert scene.num_dropped == 9 - len(scene.recipe.events)
    active = np.zeros(len(scene.waveform), int)
    for start, end, *_ in scene.events:
      active[round(start * RATE) : round(end * RATE)] += 1
    reached = max(reached, active.max())
  assert reached == most and dropped


def test_no_part_of_an_event_is_lost_without_overhang(pool):
  for index in range(10):
    scene = scene_of(pool, SHORT, index)
    for event, span in zip(scene.recipe.events, scene.spans):
      assert span == (event.start, event.start + event.num_samples)


def test_split_and_index_count_like_the_seed(pool):
  one = scene_of(pool, SHORT, 0).waveform
  assert not np.array_equal(one, scene_of(pool, SHORT, 0, split="val").waveform)
  assert not np.array_equal(one, scene_of(pool, SHORT, 1).waveform)


def test_the_order_of_the_manifest_does_not_count(pool):
  turned = replace(pool, sources=pool.sources[::-1])
  one, two = (scene_of(p, SHORT, 2) for p in (pool, turned))
  np.testing.assert_array_equal(one.waveform, two.waveform)


def test_recorded_backgrounds_must_be_there(pool):
  kept = tuple(s for s in pool.sources if s.role != "background")
  home = replace(SCENE_PRESETS["home"], duration_seconds=1.0)
  with pytest.raises(ValueError, match="must hold a background"):
    scene_of(replace(pool, sources=kept), home, 0)
  with pytest.raises(ValueError, match="sample_rate_hz 8000; received 16000"):
    scene_of(pool, replace(home, sample_rate_hz=8_000), 0)


# ---- settings ---------------------------------------------------------------


@pytest.mark.parametrize("name", SCENE_PRESETS)
def test_presets_survive_json(name):
  params = scene_preset(name)
  assert from_json(to_json(params)) == params


def test_the_published_recipe():
  urban = scene_preset("urban")
  assert len(urban.labels) == 10 and urban.duration_seconds == 10
  assert urban.num_events == Choice(tuple(range(1, 10)))
  assert urban.snr_db == Uniform(6, 30) and urban.noises == ("brown",)
  assert replace(urban, labels=()) == SceneParams()
  assert TrainingParams().scene == scene_preset("everyday")


@pytest.mark.parametrize(
  "value, expected",
  [
    ("Uniform(6, 30)", Uniform(6, 30)),
    ("6,30", Uniform(6, 30)),
    ((6, 30), Uniform(6, 30)),
    ("[6, 30]", Uniform(6, 30)),
    ('{"low": 6, "high": 30}', Uniform(6, 30)),
    ("12.5", Const(12.5)),
    (12, Const(12)),
    ("Normal(10, 3, 0, 20)", Normal(10, 3, 0, 20)),
    ("Choice(6, 10, 20)", Choice((6, 10, 20))),
    ("Choice(6..8)", Choice((6, 7, 8))),
  ],
)
def test_settings_read_distributions(value, expected):
  scene = override(TrainingParams(), {"scene.snr_db": value}).scene
  assert scene.snr_db == expected
  assert from_json(to_json(scene)) == scene


@pytest.mark.parametrize(
  "key, value, message",
  [
    ("snr_db", "Unifrm(1, 2)", "did you mean 'Uniform'"),
    ("snr_db", "Uniform(2, 1)", "low <= high"),
    ("snr_db", "loud", "must hold numbers; received 'loud'"),
    ("snr_db", "Uniform(1, 2", "must be like"),
    ("snr_db", "nan", "finite"),
    ("snr_db", "Normal(0, 1, 50, 60)", "some of its mass"),
    ("snr_db", [1, 2, 3], "a number, a pair or one of"),
    ("start", "0,2", r"scene.start must lie in 0..1"),
    ("num_events", "0.5,2", "scene.num_events must hold whole numbers"),
    ("time_stretch", "0", "scene.time_stretch must lie in"),
    ("pitch_probability", "2", "scene.pitch_probability must lie in 0..1"),
    ("noises", "blue", "scene.noises"),
    ("layout", "row", "scene.layout"),
    ("max_overlap", "0", "scene.max_overlap must be at least 1"),
  ],
)
def test_settings_that_are_wrong(key, value, message):
  with pytest.raises(ValueError, match=message):
    override(SceneParams(), {key: value})


@pytest.mark.parametrize(
  "distribution",
  [
    Const(2.0),
    Uniform(-1, 3),
    Normal(0, 2, -1, 5),
    Normal(0, 1, 2, 3),
    Choice((1, 4)),
  ],
)
def test_what_is_drawn_keeps_its_limits(distribution):
  rng = np.random.default_rng(0)
  values = np.array([distribution.draw(rng) for _ in range(4000)])
  low, high = distribution.limits
  assert low <= values.min() and values.max() <= high
  assert Distribution.parse(distribution, "x") is distribution
  if isinstance(distribution, Normal):
    wide = rng.normal(distribution.mean, distribution.std, 200_000)
    kept = wide[(wide >= low) & (wide <= high)]
    assert abs(values.mean() - kept.mean()) < 5 * kept.std() / 4000**0.5
    assert abs(values.std() / kept.std() - 1) < 0.1
