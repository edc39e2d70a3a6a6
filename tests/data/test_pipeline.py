"""tf.data and PyDataset: the same examples, whatever reads them."""

import os
import pickle
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.data import (
  augment,
  examples,
  pipeline,
  pydataset,
  records,
  tfrecord,
)
from yoho_tf.data.augment import Augmentation, Crop, Mix, TimeShift
from yoho_tf.data.examples import Example
from yoho_tf.data.pipeline.targets import encode_yoho
from yoho_tf.events import EventTable
from yoho_tf.labels import ClassMap
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS
from yoho_tf.training.callbacks import SetEpoch

LABELS = ("Bark", "Music", "Rain")
SMALL = replace(
  PRESETS["yoho_everyday_small"],
  width=0.05,
  labels=LABELS,
  window_seconds=1.28,
  label_merge_gap_seconds={"Music": 0.2},
)
RATE = 16_000
ALL = Augmentation(Crop(0.9), TimeShift(0.7), Mix(0.0))


def random_events(rng, seconds, labels=LABELS, most=12):
  count = rng.integers(most)
  start = rng.uniform(0, seconds * 0.98, count)
  if rng.random() < 0.5:  # on the edges of cells
    start = np.round(start / 0.16) * 0.16
  length = rng.choice([0.01, 0.1, 0.16, 0.64, 3.0], count)
  end = np.minimum(start + length * rng.uniform(0.5, 1.5, count), seconds)
  keep = end > start
  return EventTable.from_columns(
    start=start[keep],
    end=end[keep],
    label=rng.choice(labels, count)[keep].tolist(),
  )


@pytest.fixture(scope="module")
def index(tmp_path_factory):
  """30 examples of 0.6 to 3 s in several shards, and 5 for validation."""
  rng = np.random.default_rng(1)
  items = []
  for number in range(35):
    seconds = float(rng.uniform(0.6, 3.0))
    waveform = rng.uniform(-0.5, 0.5, round(seconds * RATE))
    values, scale = examples.quantise(waveform)
    unknown = [(0.3, 0.5, ""), (0.1, 0.9, "Rain")] if number % 3 == 0 else []
    items.append(
      Example(
        waveform=values,
        scale=scale,
        sample_rate_hz=RATE,
        filename=f"{number}.wav",
        group=f"g{number}",
        split="train" if number < 30 else "val",
        events=random_events(rng, seconds),
        unknown=EventTable.from_rows(unknown),
        known_labels=("Bark", "Music") if number % 4 == 0 else None,
      )
    )
  return records.write_records(
    tmp_path_factory.mktemp("records"),
    items,
    class_map=ClassMap(LABELS),
    shard_bytes=300_000,
  )


def take(dataset, count):
  return [
    tuple(np.asarray(part) for part in batch) for batch in dataset.take(count)
  ]


def assert_same(one, two, tolerance=0.0):
  assert len(one) == len(two)
  for a, b in zip(one, two):
    for x, y in zip(a, b, strict=True):
      assert x.dtype == y.dtype and x.shape == y.shape
      np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)


# ---- the twin of encode -----------------------------------------------------


@pytest.mark.parametrize(
  "params",
  [
    SMALL,
    replace(SMALL, slots=2),
    replace(SMALL, slots=3, window_seconds=0.64),
    replace(PRESETS["yoho_music_speech"], labels=LABELS),
  ],
  ids=["one slot", "two slots", "three slots", "window lattice"],
)
def test_encode_is_the_numpy_one(params):
  """250 random tables each: 1,000 in all."""
  spec = [tf.TensorSpec([None], t) for t in (tf.float64, tf.float64, tf.int64)]
  twin = tf.function(
    lambda *events: encode_yoho(*events, params), input_signature=spec
  )
  rng = np.random.default_rng(7)
  seconds = params.window_cells * params.cell_seconds
  most = 40 if params.slots > 1 else 12
  for number in range(250):
    events = random_events(rng, seconds, most=most if number else 1)
    classes = np.array([LABELS.index(v) for v in events.label], np.int64)
    got = twin(events.start, events.end, classes)
    expected = yoho.encode(events, params)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


# ---- both views -------------------------------------------------------------


def by_id(index, settings, epoch, seed=3):
  """The PyDataset's examples of an epoch, by id."""
  batches = pydataset.RecordBatches(
    index, SMALL, seed=seed, settings=settings, first_epoch=epoch, batch_size=5
  )
  return {i: batches.example(i) for i in batches.ids().tolist()}


def test_both_views_hold_the_same_examples(index):
  options = dict(batch_size=5, seed=3, settings=ALL)
  got = take(pipeline.record_dataset(index, SMALL, **options), 12)
  assert [b[0].shape for b in got] == [(5, 20_720)] * 12
  seen = []
  for epoch in (0, 1):
    own = by_id(index, ALL, epoch)
    keys = {v[0].tobytes(): k for k, v in own.items()}
    order = []
    for batch in got[6 * epoch : 6 * epoch + 6]:
      for example in zip(*batch):
        number = keys[example[0].tobytes()]  # equal bits
        order.append(number)
        assert_same([example], [own[number]], 1e-6)
    assert sorted(order) == list(range(30))  # each once
    seen.append(order)
  assert seen[0] != seen[1] and seen[0] != sorted(seen[0])


def test_the_global_seed_changes_nothing(index):
  options = dict(batch_size=5, seed=3)
  before = take(pipeline.record_dataset(index, SMALL, **options), 3)
  try:
    for seed in (0, 1):
      tf.random.set_seed(seed)
      after = take(pipeline.record_dataset(index, SMALL, **options), 3)
      assert_same(before, after)
  finally:
    tf.random.set_seed(None)


def test_passes_may_be_cut_into_epochs_of_any_length(index):
  options = dict(batch_size=8, seed=3, settings=ALL)
  passes = [
    batch
    for epoch in range(2)
    for batch in pydataset.RecordBatches(
      index, SMALL, first_epoch=epoch, **options
    )
  ]
  for first in (0, 2):
    cut = pydataset.RecordBatches(
      index, SMALL, first_epoch=first, steps_per_epoch=2, **options
    )
    assert len(cut) == 2
    assert_same(list(cut), passes[2 * first : 2 * first + 2])


def test_an_epoch_of_the_pydataset_is_its_examples_in_order(index):
  batches = pydataset.RecordBatches(
    index, SMALL, seed=3, settings=ALL, batch_size=8
  )
  own = by_id(index, ALL, 0)
  assert len(batches) == 3
  batches.reader = pickle.loads(pickle.dumps(batches.reader))
  flat = [e for i in range(3) for e in zip(*batches[i])]
  assert_same(flat, [own[i] for i in batches.ids().tolist()[:24]])


class Collector(keras.Model):
  """Learns nothing and keeps the batches that it is fed."""

  def __init__(self):
    super().__init__()
    self.seen = []

  def train_step(self, data):
    self.seen.append(tuple(np.asarray(part) for part in data))
    return {"loss": 0.0}


@pytest.mark.parametrize(
  ("workers", "use_multiprocessing", "first"),
  [(1, False, None), (8, False, None), (8, True, None), (8, True, 4)],
)
def test_workers_change_nothing(index, workers, use_multiprocessing, first):
  """Two epochs of `fit`, counted by the batches or told by SetEpoch."""
  make = dict(seed=5, settings=replace(ALL, mix=Mix(0.8)), batch_size=6)
  batches = pydataset.RecordBatches(
    index,
    SMALL,
    workers=workers,
    use_multiprocessing=use_multiprocessing,
    **make,
  )
  model = Collector()
  model.compile(run_eagerly=True)
  model.fit(
    batches,
    initial_epoch=first or 0,
    epochs=(first or 0) + 2,
    shuffle=False,
    verbose=0,
    callbacks=[] if first is None else [SetEpoch(batches)],
  )
  expected = []
  for epoch in range(first or 0, (first or 0) + 2):
    again = pydataset.RecordBatches(index, SMALL, first_epoch=epoch, **make)
    expected += [again[i] for i in range(len(again))]
  assert_same(model.seen, expected)


def test_draws_of_an_epoch_are_its_choices(index):
  """A run of two epochs, then another that goes on where it ended."""
  batches = pydataset.RecordBatches(
    index, SMALL, seed=3, settings=ALL, batch_size=30
  )
  drawn = []

  class Log(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
      drawn.append((batches.epoch, batches.ids().tolist()))

  model = Collector()
  model.compile(run_eagerly=True)
  for _ in range(2):
    model.fit(batches, epochs=2, shuffle=False, verbose=0, callbacks=[Log()])
  assert [epoch for epoch, _ in drawn] == [0, 1, 2, 3]
  for (epoch, ids), (waveforms, *_) in zip(drawn, model.seen, strict=True):
    rows = augment.choices(3, epoch, ids)
    expected = [batches._window(*pair).waveform for pair in zip(ids, rows)]
    np.testing.assert_array_equal(waveforms, expected)
  assert len({batch[0].tobytes() for batch in model.seen}) == 4


def test_mix_is_the_numpy_one(index):
  """Partners come from the order: compared along the pipeline's order."""
  mixing = replace(ALL, mix=Mix(0.8))
  plain, mixed = (
    take(pipeline.record_dataset(index, SMALL, batch_size=5, settings=s), 6)
    for s in (ALL, mixing)
  )
  batches = pydataset.RecordBatches(index, SMALL, batch_size=5, settings=ALL)
  rows = augment.choices(0, 0, np.arange(30))
  windows = [batches._window(i, rows[i]) for i in range(30)]
  keys = {w.waveform.tobytes(): i for i, w in enumerate(windows)}
  order = [keys[w.tobytes()] for batch in plain for w in batch[0]]
  expected, changed = [], 0
  for before, number in zip([None, *order], order):
    other = None if before is None else windows[before]
    window = augment.draw_mix(windows[number], other, rows[number], mixing)
    changed += window is not windows[number]
    expected.append(batches._encoded(window))
  assert 15 < changed < 30
  got = [e for batch in mixed for e in zip(*batch)]
  assert_same(got, expected, 1e-6)


# ---- order, resume, threads -------------------------------------------------


def test_the_same_bits_for_any_number_of_threads(index):
  mixing = replace(ALL, mix=Mix(0.5))
  make = dict(batch_size=4, seed=9, settings=mixing, shuffle_buffer=10)
  one, eight = (
    take(
      pipeline.record_dataset(index, SMALL, num_parallel_calls=n, **make), 14
    )
    for n in (1, 8)
  )
  assert_same(one, eight)


@pytest.mark.parametrize("cache", ["none", "memory", "file"])
def test_resume_goes_on_with_the_next_batch(index, cache, tmp_path):
  cache = tmp_path / "cache" if cache == "file" else cache
  make = dict(batch_size=7, settings=ALL, cache=cache)
  whole = take(pipeline.record_dataset(index, SMALL, **make), 10)
  assert pipeline.num_steps(index, batch_size=7) == 4
  resumed = pipeline.record_dataset(
    index, SMALL, first_epoch=1, first_step=2, **make
  )
  if cache != "memory":  # a new memory cache has the order of its own epoch
    assert_same(take(resumed, 4), whole[6:])
  # The cache holds what comes before anything random.
  assert (whole[0][0] != whole[4][0]).any()
  assert (whole[4][0] != whole[8][0]).any()


def test_validation_is_the_same_twice_and_whole(index):
  dataset = pipeline.record_dataset(
    index, SMALL, split="val", batch_size=2, training=False, settings=ALL
  )
  first, second = take(dataset, -1), take(dataset, -1)
  assert_same(first, second)
  assert [len(b[0]) for b in first] == [2, 2, 1]
  batches = pydataset.RecordBatches(
    index, SMALL, split="val", batch_size=2, training=False, settings=ALL
  )
  assert len(batches) == 3
  assert_same([batches[i] for i in range(3)], first, 1e-6)
  batches.epoch = 2
  assert_same([batches[i] for i in range(3)], first, 1e-6)


def test_stems_in_the_records_change_no_batch(index, tmp_path):
  reader = records.Reader(index, "val")
  items = [
    replace(reader[i], stems=reader[i].waveform[None], stem_labels=("",))
    for i in range(len(reader))
  ]
  own = records.write_records(tmp_path, items, class_map=ClassMap(LABELS))
  make = dict(split="val", batch_size=5, training=False)
  plain, stems = (
    take(pipeline.record_dataset(i, SMALL, **make), 1) for i in (index, own)
  )
  assert_same(plain, stems)
  assert_same([pydataset.RecordBatches(own, SMALL, **make)[0]], stems, 1e-6)


def test_static_shapes(index):
  for training in (True, False):
    dataset = pipeline.record_dataset(
      index, SMALL, batch_size=3, training=training
    )
    size = 3 if training else None
    shapes = [tuple(spec.shape) for spec in dataset.element_spec]
    assert shapes == [(size, 20_720), (size, 4, 3, 3), (size, 4, 3)]


def test_another_model_is_refused(index):
  other = replace(SMALL, labels=("Bark", "Rain", "Music"))
  for make in (pipeline.record_dataset, pydataset.RecordBatches):
    with pytest.raises(ValueError, match="class map must be the model's"):
      make(index.folder, other)
    with pytest.raises(ValueError, match="sample_rate_hz must be the model's"):
      make(index, replace(PRESETS["yoho_tut2017"], labels=LABELS))
    with pytest.raises(ValueError, match="batch_size must be at most the 30"):
      make(index, SMALL, batch_size=31)


BOTH = (pipeline.record_dataset, pydataset.RecordBatches)


@pytest.fixture
def own_copy(index, tmp_path):
  """The records in a folder of their own, to be damaged; their first shard."""
  folder = tmp_path / "records"
  shutil.copytree(index.folder, folder)
  return folder, folder / index.shards[0].file


@pytest.mark.parametrize("make", BOTH)
def test_a_shard_that_cannot_be_read_is_named(own_copy, make, monkeypatch):
  folder, path = own_copy
  size = path.stat().st_size
  access = os.access  # root may read everything: the answer is feigned
  monkeypatch.setattr(
    os, "access", lambda p, mode: p != path and access(p, mode)
  )
  with pytest.raises(records.RecordError) as denied:
    make(folder, SMALL)
  monkeypatch.undo()
  path.write_bytes(path.read_bytes()[:-3])
  with pytest.raises(records.RecordError) as cut:
    make(folder, SMALL)
  path.unlink()
  with pytest.raises(records.RecordError) as lost:
    make(folder, SMALL)
  assert [str(error.value) for error in (denied, cut, lost)] == [
    f"{path}: must be readable; permission denied",
    f"{path}: must have {size} bytes, got {size - 3}",
    f"{path}: must have {size} bytes, got no file",
  ]


@pytest.mark.parametrize("training", [True, False])
def test_a_damaged_record_is_named(own_copy, training):
  folder, path = own_copy
  place = int(tfrecord.offsets(path)[2])
  data = bytearray(path.read_bytes())
  data[place + 5000] ^= 1
  path.write_bytes(data)
  dataset = pipeline.record_dataset(
    folder, SMALL, batch_size=5, training=training
  )
  with pytest.raises(tf.errors.DataLossError) as error:
    take(dataset, 6)
  found = pipeline.readable_error(error.value, folder)
  assert isinstance(found, records.RecordError)
  length = int(tfrecord.offsets(path)[3]) - place - 16
  assert str(found) == (
    f"{path}: record 2: its {length} bytes must fit their checksum"
  )
  # What comes from elsewhere stays what it is.
  assert pipeline.readable_error(error.value, folder, "val") is error.value
  other = tf.errors.ResourceExhaustedError(None, None, "out of memory")
  assert pipeline.readable_error(other, folder) is other


def test_a_damaged_record_in_fit_is_named(own_copy):
  """Keras feeds a PyDataset through TensorFlow, which wraps the error."""
  folder, path = own_copy
  data = bytearray(path.read_bytes())
  data[-100] ^= 1
  path.write_bytes(data)
  last = len(tfrecord.offsets(path)) - 1
  for options in ({}, {"workers": 8}):
    batches = pydataset.RecordBatches(folder, SMALL, batch_size=30, **options)
    model = Collector()
    model.compile(run_eagerly=True)
    with pytest.raises((tf.errors.OpError, ValueError)) as error:
      model.fit(batches, verbose=0)
    found = pipeline.readable_error(error.value, folder)
    assert str(found).startswith(f"{path}: record {last}: its ")
    assert "\n" not in str(found)


def test_a_record_of_another_kind_is_named(own_copy):
  """Its checksum is right, and so are the sizes of the index."""
  folder, path = own_copy
  payloads = list(tfrecord.read(path))
  payloads[1] = payloads[1].replace(b"scale", b"skale")
  tfrecord.write(path, payloads)
  with pytest.raises(tf.errors.OpError) as error:
    take(pipeline.record_dataset(folder, SMALL, training=False), -1)
  found = pipeline.readable_error(error.value, folder)
  assert str(found).startswith(f"{path}: record 1: record must hold the fields")
  assert "\n" not in str(found)


def test_a_system_without_a_twin_uses_its_own_encode(index):
  params = PRESETS["yamnet_audioset"]

  class Other:
    labels, window_samples, frontend = LABELS, 16_000, params.frontend
    window_cells, cell_seconds = 10, 0.1

  def count(events, params):
    return np.array([list(events.label).count(v) for v in params.labels])

  with pytest.raises(ValueError, match="encode must be given for Other"):
    pipeline.record_dataset(index, Other(), batch_size=30)
  with pytest.warns(UserWarning, match="no twin in TensorFlow"):
    dataset = pipeline.record_dataset(
      index, Other(), encode=count, training=False, batch_size=30
    )
  ((waveform, targets, weights),) = take(dataset, 1)
  assert waveform.shape == (30, 16_000) and weights.shape == (30, 10, 3)
  reader = records.Reader(index, "train")
  for number in range(30):
    events = reader[number].events.crop(0, 1)
    np.testing.assert_array_equal(targets[number], count(events, Other))


# ---- scenes on the fly ------------------------------------------------------


def test_scenes_are_those_of_the_pydataset(source_folder):
  from yoho_tf.data import sources
  from yoho_tf.params import SceneParams, TrainingParams

  labels = ("Bark", "Rain", "Speech")
  params = replace(SMALL, labels=labels)
  pool = sources.read_manifest(
    source_folder, split="train", labels=labels, permissive_only=True
  )
  training = TrainingParams(
    batch_size=3, steps_per_epoch=2, scene=SceneParams(duration_seconds=3.0)
  )
  batches = pydataset.SceneBatches(pool, params, training)
  one, eight = (
    take(
      pipeline.scene_dataset(pool, params, training, num_parallel_calls=n), 4
    )
    for n in (1, 8)
  )
  assert_same(one, eight)
  assert_same(one[:2], [batches[0], batches[1]], 1e-6)
  resumed = pipeline.scene_dataset(pool, params, training, first_step=3)
  assert_same(take(resumed, 1), one[3:])


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 20_479))
def test_shift_then_encode_is_encode_of_the_shifted_table(number, shift):
  rng = np.random.default_rng(number)
  window = augment.Window(
    waveform=rng.normal(size=20_720).astype(np.float32),
    sample_rate_hz=RATE,
    num_samples=20_480,
    events=random_events(rng, 1.28),
  )
  moved = augment.time_shift(window, shift)
  shifted = [
    (max(e.start + t, 0), min(e.end + t, 1.28), e.label)
    for e in window.events
    for t in (shift / RATE, shift / RATE - 1.28)
  ]
  rows = [row for row in shifted if row[1] - row[0] > 1e-6]
  expected = yoho.encode(EventTable.from_rows(rows), SMALL)
  np.testing.assert_allclose(
    yoho.encode(moved.events, SMALL), expected, rtol=0, atol=1e-6
  )
  np.testing.assert_array_equal(
    moved.waveform[:20_480], np.roll(window.waveform[:20_480], shift)
  )
  np.testing.assert_array_equal(moved.waveform[20_480:], moved.waveform[:240])
