"""Training batches on the fly, for every Keras backend."""

import keras
import numpy as np

from yoho_tf.data import augment, records, synth
from yoho_tf.models import yoho


class SceneBatches(keras.utils.PyDataset):
  """Random crops of synthetic scenes with their YOHO targets.

  Batch `i` of epoch `e` is a pure function of (seed, e, i): a resumed run sees
  the batches it would have seen.

  Args:
    pool: `data.sources.SourcePool`.
    params: `YohoParams`.
    training: `TrainingParams`.
    first_epoch: epoch that the first pass counts as (after a resume).

  Yields:
    `(waveform float32 [batch, samples], targets float32 [batch, cells,
    classes, 3 * slots])`, samples = cells * 5,120 + 240.
  """

  def __init__(self, pool, params, training, *, first_epoch=0, **kwargs):
    super().__init__(**kwargs)
    self.pool = pool
    self.params = params
    self.training = training
    self.epoch = first_epoch

  def __len__(self):
    return self.training.steps_per_epoch

  def __getitem__(self, index):
    training = self.training
    step = self.epoch * training.steps_per_epoch + index
    first = step * training.batch_size
    examples = [self.example(first + i) for i in range(training.batch_size)]
    waveforms, targets = zip(*examples, strict=True)
    return np.stack(waveforms), np.stack(targets)

  def example(self, index):
    waveform, events = self.labelled(index)
    return waveform, yoho.encode(events, self.params)

  def labelled(self, index):
    """Example `index`: its waveform and its events, an `EventTable`."""
    params, training = self.params, self.training
    rate = params.frontend.sample_rate_hz
    scene = synth.make_scene(
      self.pool,
      training.scene,
      seed=training.seed,
      index=index,
      labels=params.labels,
    )
    rng = np.random.default_rng([training.seed, index, 1])
    room = len(scene.waveform) - params.window_samples
    first = int(rng.integers(max(room, 0) + 1))
    # The extra samples of the last frame carry signal, never labels.
    waveform, _ = synth.crop(
      scene, first, params.window_samples + params.extra_samples, rate
    )
    _, events = synth.crop(scene, first, params.window_samples, rate)
    return waveform, events


class RecordBatches(keras.utils.PyDataset):
  """Batches of a folder of records, the twin of `pipeline.record_dataset`.

  Example ids, choices and samples are the pipeline's; the order within an
  epoch is not. An example depends on (seed, epoch, id) only, whatever
  `workers` and `use_multiprocessing` are.

  Args:
    index: `records.Index`, or the folder.
    params: `YohoParams`.
    split: of the records.
    batch_size: examples of a batch.
    training: shuffle, augment and drop the last, smaller batch; otherwise the
      order of the ids, nothing random, every example.
    seed: of the order and of the choices.
    settings: `augment.Augmentation`, for training.
    first_epoch: epoch that the first pass counts as (after a resume).
    steps_per_epoch: batches that count as an epoch of training, as if passes
      over the records followed one another without end; default: one pass.

  `epoch` is a plain attribute. `training.callbacks.SetEpoch` sets it at the
  start of each epoch; where nobody does, every epoch that Keras ends moves it
  on by one. Before the first epoch Keras may pass over a few batches to build a
  model: that counts too, so only with SetEpoch is the number Keras' own.

  Yields:
    `(waveform float32 [batch, samples], targets float32 [batch, cells,
    classes, 3 * slots], sample_weight float32 [batch, cells, classes])`.
  """

  def __init__(
    self,
    index,
    params,
    *,
    split="train",
    batch_size=32,
    training=True,
    seed=0,
    settings=augment.Augmentation(),  # noqa: B008 (frozen)
    first_epoch=0,
    steps_per_epoch=None,
    **kwargs,
  ):
    super().__init__(**kwargs)
    if not isinstance(index, records.Index):
      index = records.read_index(index)
    records.check_fits(index, params)
    self.reader = records.Reader(index, split)
    self.params = params
    self.batch_size = batch_size
    self.seed = seed
    self.training = training
    self.settings = settings if training else augment.OFF
    self.epoch = first_epoch
    self._is_begun = False
    self._order = (None, None)
    whole, rest = divmod(len(self.reader), batch_size)
    if training and not whole:
      raise ValueError(
        f"batch_size must be at most the {rest} examples of split {split!r}, "
        f"got {batch_size}"
      )
    self._num_batches = whole + (rest > 0 and not training)  # of a pass
    self._num_steps = steps_per_epoch or self._num_batches

  def __len__(self):
    return self._num_steps

  def on_epoch_begin(self):
    # Workers already run here, so that it is too late to change the epoch.
    self._is_begun = True

  def on_epoch_end(self):
    # Keras also calls this once before it begins anything.
    self.epoch += self._is_begun
    self._is_begun = False

  def ids(self, epoch=None):
    """int64 [examples]: the order of a pass; default `epoch`."""
    epoch = self.epoch if epoch is None else epoch
    if not self.training:
      return np.arange(len(self.reader))
    order = self._order  # other threads may replace it
    if order[0] != epoch:
      ids = augment.order(self.seed, epoch, len(self.reader))
      order = self._order = (epoch, ids)
    return order[1]

  def __getitem__(self, index):
    step = self.epoch * self._num_steps + index
    epoch, place = divmod(step, self._num_batches)
    first = place * self.batch_size
    ids = self.ids(epoch)[max(first - 1, 0) : first + self.batch_size]
    rows = augment.choices(self.seed, epoch, ids)
    windows = [self._window(i, row) for i, row in zip(ids.tolist(), rows)]
    # The partner of a mix is the example before, as it was drawn.
    mixed = [
      augment.draw_mix(window, other, row, self.settings)
      for window, other, row in zip(windows, [None, *windows], rows)
    ]
    examples = [self._encoded(window) for window in mixed[first > 0 :]]
    return tuple(np.stack(column) for column in zip(*examples, strict=True))

  def example(self, example_id):
    """(waveform, targets, weights) of one id in this epoch, without mix."""
    row = augment.choices(self.seed, self.epoch, [example_id])[0]
    return self._encoded(self._window(example_id, row))

  def _window(self, example_id, row):
    return augment.draw(
      self.reader[example_id],
      row,
      self.settings,
      num_samples=self.params.window_samples,
      extra_samples=self.params.extra_samples,
    )

  def _encoded(self, window):
    targets = yoho.encode(window.events, self.params)
    return window.waveform, targets, augment.weights(window, self.params)
