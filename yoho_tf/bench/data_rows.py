"""What `yoho bench data` measures; needs TensorFlow."""

import time
from dataclasses import replace
from typing import NamedTuple

import keras

from yoho_tf.bench import notebook_input
from yoho_tf.bench.data_material import make_clips
from yoho_tf.data import pipeline, pydataset
from yoho_tf.data.augment import OFF
from yoho_tf.data.datasets import urban_sed
from yoho_tf.data.prepare import PrepareParams, prepare
from yoho_tf.layers import frontend
from yoho_tf.models import yoho
from yoho_tf.params import TrainingParams
from yoho_tf.training.callbacks import KeepFreedMemory
from yoho_tf.training.fit import training_model

WARM_STEPS = 3  # of every fit, not timed: buffers fill meanwhile
THEIR_PREPARATION = "paper, once: notebook, librosa and np.save"
OUR_PREPARATION = "paper, once: ours, yoho data prepare"
THEIR_INPUT = "paper, input: notebook, np.load"
OUR_INPUT = "paper, input: ours, record_dataset"
THEIR_STEP = "paper, step: log-mels, one batch, repeated"
OUR_STEP = "paper, step: waveforms, one batch, repeated"
THEIR_FIT = "paper, fit: notebook, np.load"
OUR_FIT = "paper, fit: ours, record_dataset"


class Speed(NamedTuple):
  """One measurement."""

  examples_per_second: float
  cpu_ms: float  # of all threads, per example


class Row(NamedTuple):
  """One line of the table."""

  name: str
  batch_size: int
  speeds: list
  wait: float | None = None

  @property
  def best(self) -> float:
    return max(speed.examples_per_second for speed in self.speeds)


def wait_share(repeated_seconds, input_seconds) -> float:
  """Share of a step that waits for its input (or shares a core with it).

  Args:
    repeated_seconds: per step, on one repeated batch.
    input_seconds: per step, with input.
  """
  return 1 - repeated_seconds / input_seconds


def timed(step, examples, seconds) -> Speed:
  """Calls `step`, which makes so many examples, until the time is over."""
  begin, cpu, count = time.perf_counter(), time.process_time(), 0
  while True:
    step()
    count += examples
    wall = time.perf_counter() - begin
    if wall >= seconds:
      break
  return Speed(count / wall, 1e3 * (time.process_time() - cpu) / count)


def take_turns(competitors, repeats) -> dict:
  """{name: function} -> {name: [`Speed`]}, one after the other, repeatedly."""
  speeds = {name: [] for name in competitors}
  for _ in range(repeats):
    for name, function in competitors.items():
      speeds[name].append(function())
  return speeds


def input_rows(task, args):
  """The stages of the input, each alone."""
  params, training, pool, index = task
  size, seconds = training.batch_size, args.seconds
  scenes = pydataset.SceneBatches(pool, params, training)
  stored = pydataset.RecordBatches(index, params, batch_size=size)
  waveforms = scenes[0][0]
  tables = [scenes.labelled(number)[1] for number in range(size)]
  inputs = keras.Input(waveforms.shape[1:], dtype="float32")
  front = keras.Model(inputs, frontend.log_mel_layer(params.frontend)(inputs))
  front.predict_on_batch(waveforms)
  mixed = pipeline.scene_dataset(pool, params, training)
  read = pipeline.record_dataset(index, params, batch_size=size)
  number = iter(range(2**62))
  KeepFreedMemory().on_train_batch_end(0)
  competitors = {
    "scene synthesis, SceneBatches.example": lambda: timed(
      lambda: scenes.example(next(number)), 1, seconds
    ),
    "scenes through tf.data, scene_dataset": lambda: pulled(
      mixed, size, seconds
    ),
    "log-mel front end, of a batch": lambda: timed(
      lambda: front.predict_on_batch(waveforms), size, seconds
    ),
    "target encoding, yoho.encode": lambda: timed(
      lambda: [yoho.encode(table, params) for table in tables], size, seconds
    ),
    "records through tf.data, record_dataset": lambda: pulled(
      read, size, seconds
    ),
    "records without TensorFlow, RecordBatches": lambda: timed(
      lambda: stored[next(number) % len(stored)], size, seconds
    ),
  }
  speeds = take_turns(competitors, args.repeats)
  return [Row(f"input: {name}", size, own) for name, own in speeds.items()]


def pulled(dataset, size, seconds):
  """Speed of a dataset that nobody else reads."""
  batches = iter(dataset)
  next(batches)
  return timed(lambda: next(batches), size, seconds)


class _Timer(keras.callbacks.Callback):
  """Times the steps of an epoch after the first `warm` ones."""

  def __init__(self, warm):
    super().__init__()
    self.warm = warm

  def on_train_batch_end(self, batch, logs=None):
    self.steps = batch + 1 - self.warm
    if self.steps <= 0:
      float(logs["loss"])  # waits for the device
      self.begin, self.cpu = time.perf_counter(), time.process_time()

  def on_epoch_end(self, epoch, logs=None):
    float(logs["loss"])
    self.seconds = time.perf_counter() - self.begin
    self.cpu = time.process_time() - self.cpu

  def speed(self, batch_size):
    count = self.steps * batch_size
    return Speed(count / self.seconds, 1e3 * self.cpu / count)


def fit_speed(model, data, batch_size, steps) -> Speed:
  """Speed of `steps` steps of `fit` on `data`, after WARM_STEPS more."""
  timer = _Timer(WARM_STEPS)
  model.fit(
    data,
    steps_per_epoch=WARM_STEPS + steps,
    shuffle=False,
    verbose=0,
    callbacks=[KeepFreedMemory(), timer],
  )
  return timer.speed(batch_size)


def _fitted(feeds, batch_size, args) -> list:
  """Rows of {name: (model, data, name of the step without input or None)}."""
  competitors = {
    name: lambda model=model, data=data: fit_speed(
      model, data, batch_size, args.steps
    )
    for name, (model, data, _) in feeds.items()
  }
  for model, data, _ in feeds.values():  # traces the graphs
    model.fit(data, steps_per_epoch=1, shuffle=False, verbose=0)
  speeds = take_turns(competitors, args.repeats)
  rows = {name: Row(name, batch_size, own) for name, own in speeds.items()}
  for name, (*_, alone) in feeds.items():
    if alone:
      share = wait_share(1 / rows[alone].best, 1 / rows[name].best)
      rows[name] = rows[name]._replace(wait=share)
  return list(rows.values())


def fit_rows(task, args) -> list:
  """The training step alone, and with the inputs of `yoho train`."""
  params, training, pool, index = task
  size = training.batch_size
  params = replace(params, input="log_mel")
  keras.utils.set_random_seed(1)
  model = training_model(yoho.build(params), params, training)
  model.compile(
    optimizer=keras.optimizers.AdamW(
      1e-4, weight_decay=training.weight_decay, clipnorm=20.0
    ),
    loss=yoho.loss(params),
  )
  scenes = pipeline.scene_dataset(pool, params, training)
  workers = "1 worker" if args.workers == 1 else f"{args.workers} workers"
  step = "step: one batch, repeated"
  training = replace(training, steps_per_epoch=WARM_STEPS + args.steps)
  feeds = {
    step: (scenes.take(1).cache().repeat(), None),
    f"fit: scenes, SceneBatches, {workers}": (
      pydataset.SceneBatches(pool, params, training, workers=args.workers),
      step,
    ),
    "fit: scenes, scene_dataset": (scenes, step),
    "fit: records, record_dataset": (
      pipeline.record_dataset(index, params, batch_size=size),
      step,
    ),
  }
  return _fitted(
    {name: (model, *feed) for name, feed in feeds.items()}, size, args
  )


class _Repeated(keras.utils.PyDataset):
  """The same batch for ever."""

  def __init__(self, batch, length):
    super().__init__()
    self.batch, self.length = batch, length

  def __len__(self):
    return self.length

  def __getitem__(self, index):
    return self.batch


def notebook_rows(params, folder, args):
  """Yields rows of the paper's YOHO, fed as the notebooks do and as we do."""
  size = args.paper_batch_size
  sounds, lists = make_clips(folder, params, 2 * size)
  once, index, pairs = _prepared(sounds, lists, folder, params)
  length = WARM_STEPS + args.steps
  stored = pipeline.record_dataset(index, params, batch_size=size, settings=OFF)
  feeds = {OUR_STEP: (stored.take(1).cache().repeat(), None)}
  competitors = {OUR_INPUT: lambda: pulled(stored, size, args.seconds)}
  if pairs:
    epochs = -(-length * size // len(pairs))  # one epoch that is long enough
    theirs = notebook_input.NotebookBatches(
      pairs * epochs, params, batch_size=size
    )
    number = iter(range(2**62))
    competitors[THEIR_INPUT] = lambda: timed(
      lambda: theirs[next(number) % len(theirs)], size, args.seconds
    )
    feeds[THEIR_STEP] = (_Repeated(theirs[0], length), None)
    feeds[THEIR_FIT] = (theirs, THEIR_STEP)
  feeds[OUR_FIT] = (stored, OUR_STEP)
  yield from (Row(name, 1, [speed]) for name, speed in once.items())
  KeepFreedMemory().on_train_batch_end(0)
  speeds = take_turns(competitors, args.repeats)
  yield from (Row(name, size, own) for name, own in speeds.items())
  models = _paper_models(params)
  feeds = {
    name: (models[name in (OUR_STEP, OUR_FIT)], *feed)
    for name, feed in feeds.items()
  }
  yield from _fitted(feeds, size, args)


def _prepared(sounds, lists, folder, params):
  """({name: `Speed`} of the preparations, our index, their pairs or None)."""
  rate = params.frontend.sample_rate_hz
  once, made = {}, {}

  def ours():
    made["index"] = prepare(
      urban_sed,
      folder,
      folder / "records",
      params=PrepareParams(sample_rate_hz=rate),
    )

  def theirs():
    made["pairs"] = notebook_input.prepare(sounds, lists, pairs_folder, params)

  once[OUR_PREPARATION] = timed(ours, len(sounds) + 2, 0)
  if notebook_input.missing() is None:
    pairs_folder = folder / "pairs"
    pairs_folder.mkdir()
    notebook_input.prepare(sounds[:1], lists[:1], pairs_folder, params)
    once[THEIR_PREPARATION] = timed(theirs, len(sounds), 0)
  return once, made["index"], made.get("pairs")


def _paper_models(params):
  """(theirs on log-mels, ours on waveforms), the paper's optimizer and loss."""
  params = replace(params, input="log_mel")
  # Neither has SpecAugment: the paper trains on Urban-SED without it.
  training = TrainingParams(frequency_masks=0, time_masks=0)
  models = []
  for make in (
    lambda network: notebook_input.training_model(network, params),
    lambda network: training_model(network, params, training),
  ):
    keras.utils.set_random_seed(1)
    model = make(yoho.build(params))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=yoho.loss(params))
    models.append(model)
  return models
