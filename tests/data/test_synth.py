"""Scenes: the labels are where the energy is, and nothing else decides."""

from dataclasses import replace

import numpy as np
import pytest

from yoho_tf.data import sources, synth
from yoho_tf.events import EventTable
from yoho_tf.params import PRESETS, SCENE_PRESETS, TrainingParams

RATE = 16_000
LABELS = ("Bark", "Rain", "Speech", "Walk, footsteps")
SCENE = replace(
  SCENE_PRESETS["everyday"],
  duration_seconds=4.0,
  num_events=(1, 5),
  event_seconds=(0.3, 2.0),
)
# One event, nothing random about its level or its room.
LOUD = replace(
  SCENE,
  num_events=(1, 1),
  num_distractors=(0, 0),
  background_level_db=(-40.0, -40.0),
  snr_db=(20.0, 20.0),
  speed_probability=0.0,
  reverb_probability=0.0,
  label_floor_db=-200.0,
)


@pytest.fixture(scope="module")
def pool(source_folder):
  return new_pool(source_folder)


def new_pool(folder, split="train"):
  return sources.read_manifest(
    folder, split=split, labels=LABELS, permissive_only=False
  )


def scene_of(pool, params, index, *, seed=3, labels=LABELS):
  return synth.make_scene(pool, params, seed=seed, index=index, labels=labels)


def rms(waveform):
  return np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))


def event_alone(pool, params, index, **options):
  """(events, dry event [samples], background [samples]) of one scene.

  The background is drawn before the events: without events it is the same.
  """
  scene = scene_of(pool, params, index, **options)
  empty = replace(params, num_events=(0, 0))
  background = scene_of(pool, empty, index, **options).waveform
  return scene.events, scene.waveform - background, background


# ---- determinism ------------------------------------------------------------


def test_a_scene_depends_on_seed_and_index_alone(pool, source_folder):
  first = [scene_of(pool, SCENE, i) for i in range(6)]
  other = new_pool(source_folder)  # nothing decoded yet
  for i in (4, 0, 5, 4, 2):
    again = scene_of(other, SCENE, i)
    np.testing.assert_array_equal(again.waveform, first[i].waveform)
    assert again.events == first[i].events
    assert again.num_dropped == first[i].num_dropped
  assert not np.array_equal(first[0].waveform, first[1].waveform)
  moved = scene_of(pool, SCENE, 0, seed=4).waveform
  assert not np.array_equal(moved, first[0].waveform)


def test_global_random_state_is_not_used(pool):
  np.random.seed(1)
  first = scene_of(pool, SCENE, 1).waveform
  np.random.seed(2)
  np.testing.assert_array_equal(scene_of(pool, SCENE, 1).waveform, first)


# ---- labels and levels ------------------------------------------------------


def test_shape_and_range(pool):
  hot = replace(SCENE, background_level_db=(-6.0, -6.0), snr_db=(20.0, 30.0))
  for params in (SCENE, hot):
    for i in range(5):
      scene = scene_of(pool, params, i)
      assert scene.waveform.shape == (4 * RATE,)
      assert scene.waveform.dtype == np.float32
      assert np.abs(scene.waveform).max() <= 0.999 + 1e-6
      assert (scene.events.end <= 4.0).all()
      assert set(scene.events.label) <= set(LABELS)


def test_labels_are_exactly_where_the_energy_is(pool):
  inside = 0
  for i in range(20):
    events, sound, background = event_alone(pool, LOUD, i)
    if not len(events):
      assert not sound.any()
      continue
    (event,) = events
    first, last = round(event.start * RATE), round(event.end * RATE)
    assert first / RATE == event.start and last / RATE == event.end
    quiet = 2 * np.finfo(np.float32).eps
    assert np.abs(sound[:first]).max(initial=0) <= quiet
    assert np.abs(sound[last:]).max(initial=0) <= quiet
    assert rms(sound[first:last]) > 3 * rms(background)
    if first > 0 and last < len(sound):
      # Nothing silent is labelled: sound within 20 ms of either edge. (An
      # event that the scene cuts may be cut in a pause.)
      loud = np.flatnonzero(np.abs(sound) > 10 * quiet)
      assert loud[0] - first < 320 and last - loud[-1] <= 320
      inside += 1
  assert inside > 5


def test_what_the_background_covers_is_not_labelled(pool):
  """Labels end where the last frame 10 dB below the background ends."""
  shortened = 0
  for i in range(20):
    placed, sound, background = event_alone(pool, LOUD, i)
    heard, same, _ = event_alone(pool, replace(LOUD, label_floor_db=10.0), i)
    np.testing.assert_array_equal(same, sound)  # only the label changes
    floor = rms(background) * 10 ** (10 / 20)
    for event in heard:
      (whole,) = placed
      assert whole.start <= event.start < event.end <= whole.end
      first, last = round(event.start * RATE), round(event.end * RATE)
      if first > 0 and last < len(sound):
        assert rms(sound[first : first + 320]) > floor
        before = sound[round(whole.start * RATE) : first]
        for frame in before[: len(before) // 320 * 320].reshape(-1, 320):
          assert rms(frame) <= floor * (1 + 1e-4)
      shortened += event.end - event.start < whole.end - whole.start
  assert shortened > 0


def test_audible():
  sound = np.r_[np.full(320, 0.1), np.full(640, 1.0), np.full(330, 0.1)]
  assert synth.audible(sound, RATE, 0.5) == (320, 960)
  assert synth.audible(sound, RATE, 0.01) == (0, 1290)
  assert synth.audible(sound, RATE, 2.0) == (0, 0)


def test_snr_is_the_one_drawn(pool):
  """Active frames of the event over the background, both as mixed."""
  loud = replace(LOUD, silence_probability=0.0)
  checked = 0
  for i in range(20):
    events, sound, background = event_alone(
      pool, loud, i, labels=("Bark", "Rain")
    )
    assert abs(20 * np.log10(rms(background)) + 40) < 0.01
    for event in events:
      first, last = round(event.start * RATE), round(event.end * RATE)
      if first == 0 or last == len(sound):
        continue  # a part of it lies outside the scene
      level = synth.active_rms(sound[first:last], RATE)
      assert abs(20 * np.log10(level / rms(background)) - 20) < 0.05
      checked += 1
  assert checked > 5


def test_reverb_moves_no_start(pool):
  wet = replace(LOUD, reverb_probability=1.0)
  for i in range(10):
    events, sound, _ = event_alone(pool, wet, i)
    for event in events:
      first = round(event.start * RATE)
      assert np.abs(sound[:first]).max(initial=0) <= 1e-6
      assert np.abs(sound[first : first + 320]).max() > 1e-5


def test_active_rms_leaves_silence_out():
  rng = np.random.default_rng(0)
  sound = rng.normal(size=RATE).astype(np.float32)
  sound[RATE // 2 :] = 0
  assert abs(synth.active_rms(sound, RATE) - rms(sound[: RATE // 2])) < 1e-6
  assert synth.active_rms(np.zeros(1000, np.float32), RATE) == 0.0
  # A frame more than 40 dB below the loudest does not count.
  sound[RATE // 2 :] = 0.001
  assert abs(synth.active_rms(sound, RATE) - rms(sound[: RATE // 2])) < 1e-6


def test_trim_cuts_what_lies_45_db_below():
  rng = np.random.default_rng(0)
  loud = rng.normal(size=3200) * 0.1
  faint = np.full(640, 0.1 * 10 ** (-60 / 20))
  whole = np.concatenate([faint, loud, faint, loud, faint]).astype(np.float32)
  np.testing.assert_array_equal(synth.trim(whole, RATE), whole[640:-640])
  assert len(synth.trim(np.zeros(3200, np.float32), RATE)) == 0


# ---- overlap and vocabulary -------------------------------------------------


@pytest.mark.parametrize("max_overlap", [1, 2])
def test_overlap_rules(pool, max_overlap):
  crowded = replace(
    SCENE,
    num_events=(8, 8),
    max_overlap=max_overlap,
    min_gap_seconds=0.25,
    label_floor_db=-200.0,
  )
  most, placed, dropped = 0, 0, 0
  for i in range(15):
    scene = scene_of(pool, crowded, i)
    events = scene.events
    placed, dropped = placed + len(events), dropped + scene.num_dropped
    assert (events.end - events.start >= 0.1).all()
    edges = np.concatenate([events.start, events.end])
    step = np.repeat([1, -1], len(events))
    order = np.lexsort((step, edges))  # an end before a start at its time
    most = max(most, np.cumsum(step[order]).max(initial=0))
    for label in LABELS:
      own = events[events.label == label]
      gaps = own.start[1:] - own.end[:-1]
      assert (gaps >= 0.25 - 1e-9).all()
  assert most == max_overlap  # reached, never exceeded
  assert dropped and placed > 30


def test_every_label_is_drawn(pool):
  labels = EventTable.concat(
    [scene_of(pool, SCENE, i).events for i in range(40)]
  ).label
  counts = {label: int((labels == label).sum()) for label in LABELS}
  assert min(counts.values()) > 10, counts


def test_distractors_have_no_label(pool):
  only = replace(LOUD, num_events=(0, 0), num_distractors=(2, 2))
  none = replace(only, num_distractors=(0, 0))
  scene, quiet = scene_of(pool, only, 0), scene_of(pool, none, 0)
  assert len(scene.events) == len(quiet.events) == 0
  assert rms(scene.waveform - quiet.waveform) > rms(quiet.waveform)


# ---- crops and batches ------------------------------------------------------


def test_crop():
  waveform = np.arange(4 * RATE, dtype=np.float32)
  events = EventTable.from_rows(
    [(0.0, 1.0, "Rain"), (0.5, 2.5, "Bark"), (3.0, 4.0, "Rain")]
  )
  scene = synth.Scene(waveform, events, 0)
  part, cut = synth.crop(scene, RATE, 2 * RATE, RATE)
  np.testing.assert_array_equal(part, waveform[RATE : 3 * RATE])
  # Half-open: what ends at 1 s or starts at 3 s is outside.
  assert cut == EventTable.from_rows([(0.0, 1.5, "Bark")])
  part, cut = synth.crop(scene, 3 * RATE + 100, 2 * RATE, RATE)
  assert len(part) == 2 * RATE
  np.testing.assert_array_equal(part[: RATE - 100], waveform[3 * RATE + 100 :])
  assert not part[RATE - 100 :].any()
  ((start, end, *_),) = cut
  assert start == 0 and abs(end - (1 - 100 / RATE)) < 1e-9


def test_batches_resume_where_they_stopped(pool):
  pytest.importorskip("keras")
  from yoho_tf.data.pydataset import SceneBatches

  params = replace(
    PRESETS["yoho_everyday_small"], labels=LABELS, window_seconds=5 * 0.32
  )
  training = TrainingParams(batch_size=2, steps_per_epoch=3, scene=SCENE)
  run = SceneBatches(pool, params, training)
  assert len(run) == 3
  run[0]
  run.epoch = 1  # a training callback does this
  waveform, targets = run[1]
  assert waveform.shape == (2, 5 * 5120 + 240) and waveform.dtype == np.float32
  assert targets.shape == (2, 5, 4, 3)
  resumed = SceneBatches(pool, params, training, first_epoch=1)
  for one, other in zip((waveform, targets), resumed[1], strict=True):
    np.testing.assert_array_equal(one, other)
