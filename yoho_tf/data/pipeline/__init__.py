"""Training batches through tf.data: the one folder of `data/` with TensorFlow.

    sorted shards -> shuffled by (seed, epoch) -> interleaved -> parsed ->
    cached -> shuffled -> crop, shift, mix -> targets -> batches -> prefetch

What is random about an example is a row of `augment.choices`, a pure function
of (seed, epoch, example id). In deterministic mode the batches of an epoch are
the same, bit for bit, for any number of threads, and after a resume.
"""

import numpy as np
import tensorflow as tf

from yoho_tf.data import augment, pydataset, records
from yoho_tf.data.augment import COLUMNS, Augmentation
from yoho_tf.data.pipeline import windows
from yoho_tf.data.pipeline.recordings import (
  audio_dataset,
  waveform_dataset,
)
from yoho_tf.data.pipeline.targets import encode_yoho, encoder

__all__ = [
  "audio_dataset",
  "num_steps",
  "readable_error",
  "record_dataset",
  "scene_dataset",
  "waveform_dataset",
]


def record_dataset(
  index,
  params,
  *,
  split="train",
  batch_size=32,
  training=True,
  seed=0,
  settings=Augmentation(),  # noqa: B008 (frozen)
  encode=None,
  cache="none",
  shuffle_buffer=256,
  first_epoch=0,
  first_step=0,
  deterministic=True,
  num_parallel_calls=tf.data.AUTOTUNE,
) -> tf.data.Dataset:
  """Batches of a folder of records.

  Args:
    index: `records.Index`, or the folder.
    params: `YohoParams`, or another system's with `labels`, `window_samples`,
      `window_cells`, `cell_seconds` and `frontend` where `encode` is given.
    split: of the records.
    batch_size: examples of a batch.
    training: epoch after epoch without end (use `steps_per_epoch =
      num_steps(...)`), shuffled, augmented, the last smaller batch dropped;
      otherwise once over everything in the order of the ids, nothing random.
    seed: of orders and choices.
    settings: `augment.Augmentation`, for training.
    encode: `encode(events, params) -> targets` of a system without a twin in
      TensorFlow; it runs in Python.
    cache: "none", "memory", or a path for tf.data's cache file. With a cache
      the shards keep the order of the first epoch.
    shuffle_buffer: examples that are shuffled at once.
    first_epoch, first_step: where to begin, after a resume.
    deterministic: the same order for any number of threads.
    num_parallel_calls: of reading and of what is done to examples.

  Returns:
    Dataset of `(waveform float32 [batch, samples], targets float32 [batch,
    cells, ...], sample_weight float32 [batch, cells, classes])`.

  Raises:
    ValueError: a class map or rate that is not the model's, no such split, a
      shard that is missing, cut or may not be read. A record that is damaged
      inside raises a tf.errors.OpError when it is reached: see
      `readable_error`.
  """
  if not isinstance(index, records.Index):
    index = records.read_index(index)
  records.check_fits(index, params)
  shards = index.of(split)
  counts = [shard.num_examples for shard in shards]
  paths = tf.constant([str(path) for path in index.paths(split)])
  firsts = tf.constant(np.cumsum([0, *counts[:-1]]), tf.int64)
  num_examples = sum(counts)
  if training and num_examples < batch_size:
    raise ValueError(
      f"batch_size must be at most the {num_examples} examples of split "
      f"{split!r}, got {batch_size}"
    )
  settings = settings if training else augment.OFF
  encode = encoder(params, encode)

  def numbered(path, first):
    return tf.data.TFRecordDataset(path).enumerate(start=first)

  def stored(epoch):
    shard_order = tf.range(len(shards))
    if training:
      shard_order = tf.random.experimental.stateless_shuffle(
        shard_order, seed=tf.stack([tf.cast(seed, tf.int64), epoch])
      )
    files = tf.data.Dataset.from_tensor_slices(
      (tf.gather(paths, shard_order), tf.gather(firsts, shard_order))
    )
    return files.interleave(
      numbered,
      cycle_length=8 if training else 1,
      num_parallel_calls=num_parallel_calls if training else None,
      deterministic=deterministic if training else None,
    ).map(windows.parse, num_parallel_calls, deterministic)

  cached = None
  if cache != "none":
    cached = stored(tf.constant(first_epoch, tf.int64))
    cached = cached.cache("" if cache == "memory" else str(cache))

  @tf.autograph.experimental.do_not_convert  # nothing to convert
  def epoch_of_batches(epoch):
    examples = stored(epoch) if cached is None else cached
    if training:
      # The seed below is all that counts, whatever tf.random.set_seed said
      # (after 0 TensorFlow would ask a symbolic seed for its value).
      tf.compat.v1.get_default_graph().seed = None
      examples = examples.shuffle(
        shuffle_buffer,
        seed=seed + 7919 * (epoch + 1),
        reshuffle_each_iteration=False,
      )
    rows = tf.numpy_function(
      lambda e: augment.choices(seed, int(e), np.arange(num_examples)),
      [epoch],
      tf.float64,
      stateful=False,
    )
    rows.set_shape([num_examples, len(COLUMNS)])

    def draw(number, fields):
      row = rows[number]
      return windows.draw(fields, row, settings, params), row

    drawn = examples.map(draw, num_parallel_calls, deterministic)
    if settings.mix.probability:
      drawn = drawn.scan(windows.none(params), windows.with_the_one_before).map(
        lambda window, other, row: (
          windows.mix(window, other, row, settings),
          row,
        ),
        num_parallel_calls,
        deterministic,
      )
    return drawn.map(
      lambda window, row: encode(window), num_parallel_calls, deterministic
    ).batch(
      batch_size,
      drop_remainder=training,
      num_parallel_calls=num_parallel_calls,
      deterministic=deterministic,
    )

  if training:
    epochs = tf.data.Dataset.range(first_epoch, 2**31)
    batches = epochs.flat_map(epoch_of_batches).skip(first_step)
  else:
    batches = epoch_of_batches(tf.constant(0, tf.int64))
  return batches.prefetch(tf.data.AUTOTUNE)


def num_steps(index, *, split="train", batch_size=32, training=True) -> int:
  """Batches of one epoch of `record_dataset`."""
  if not isinstance(index, records.Index):
    index = records.read_index(index)
  whole, rest = divmod(index.num_examples(split), batch_size)
  return whole + (rest > 0 and not training)


def readable_error(error, index, split="train") -> Exception:
  """What to raise for an error of a dataset: names the record that is damaged.

      try:
        model.fit(dataset)
      except tf.errors.OpError as error:
        raise pipeline.readable_error(error, index, split) from None

  Args:
    error: what TensorFlow raised.
    index: `records.Index`, or the folder.
    split: of the records.

  Returns:
    `records.RecordError`, one line with shard and record; or `error` itself
    where it cannot come from a record, or every record is well.
  """
  if not isinstance(error, _OF_RECORDS):
    return error
  if not isinstance(index, records.Index):
    index = records.read_index(index)
  found = records.damage(index, split)
  return error if found is None else records.RecordError(found)


# Wrong bytes, what no longer parses, and files that go away meanwhile.
_OF_RECORDS = (
  tf.errors.DataLossError,
  tf.errors.InvalidArgumentError,
  tf.errors.NotFoundError,
  tf.errors.PermissionDeniedError,
)


def scene_dataset(
  pool,
  params,
  training,
  *,
  first_step=0,
  deterministic=True,
  num_parallel_calls=tf.data.AUTOTUNE,
) -> tf.data.Dataset:
  """Batches of scenes mixed on the fly, without end.

  Batch `i` holds the examples of `pydataset.SceneBatches` at the same step: a
  pure function of (training.seed, i). Scenes are mixed by several threads.

  Args:
    pool, params, training: as for `SceneBatches`.
    first_step: where to begin, after a resume.
    deterministic, num_parallel_calls: as for `record_dataset`.

  Returns:
    Dataset of `(waveform float32 [batch, samples], targets float32 [batch,
    cells, classes, 3 * slots])`.
  """
  scenes = pydataset.SceneBatches(pool, params, training)
  column_of = {label: i for i, label in enumerate(params.labels)}
  samples = params.window_samples + params.extra_samples

  def mixed(number):
    waveform, events = scenes.labelled(int(number))
    classes = np.array([column_of[v] for v in events.label], np.int64)
    return waveform.astype(np.float32), events.start, events.end, classes

  def example(number):
    types = (tf.float32, tf.float64, tf.float64, tf.int64)
    waveform, *events = tf.numpy_function(mixed, [number], types)
    waveform.set_shape([samples])
    for column in events:
      column.set_shape([None])
    return waveform, encode_yoho(*events, params)

  first = first_step * training.batch_size
  return (
    tf.data.Dataset.range(first, 2**62)
    .map(example, num_parallel_calls, deterministic)
    .batch(training.batch_size, drop_remainder=True)
    .prefetch(tf.data.AUTOTUNE)
  )
