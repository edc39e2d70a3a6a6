"""Audio files, local or in an object store -> waveforms, windows, batches.

    bytes of a file -> decoded, mixed down, resampled -> windows -> batches

Nothing is stored in between: for many epochs records are cheaper
(`record_dataset`). A recording is in memory as a whole.
"""

import os
import re
from pathlib import PurePosixPath

import numpy as np
import tensorflow as tf

from yoho_tf import audio
from yoho_tf.data.pipeline import tfio
from yoho_tf.data.pipeline.targets import encoder
from yoho_tf.labels import did_you_mean
from yoho_tf.params import rules

DECODERS = ("soundfile", "tfio")
_URL = re.compile("[a-z][a-z0-9+.-]+://")


def waveform_dataset(
  paths,
  *,
  sample_rate_hz: int = 16_000,
  decode: str = "soundfile",
  num_parallel_calls=tf.data.AUTOTUNE,
) -> tf.data.Dataset:
  """Whole recordings, in order.

  Args:
    paths: files; with `tfio` also URLs of its file systems (`s3://`,
      `http://`, `az://`, `hdfs://`, ...), of which `tf.io.gfile.glob` lists
      those that can be listed.
    sample_rate_hz: of the waveforms.
    decode: "soundfile": `audio.read`, in Python. "tfio": `tfio.decode`, in
      the graph.
    num_parallel_calls: files at once.

  Returns:
    Dataset of `(path string, waveform float32 [samples])`.

  Raises:
    ValueError: no path, a file that is missing, a URL or an extension that
      the decoder cannot take, or tensorflow-io cannot be used here. A
      tf.errors.OpError, when it is reached: what cannot be read or decoded.
  """
  files = _files(paths, decode)
  read = _reader(sample_rate_hz, decode)
  return tf.data.Dataset.from_tensor_slices(files).map(
    lambda path, kind: (path, read(path, kind)), num_parallel_calls
  )


def audio_dataset(
  paths,
  params,
  *,
  events=None,
  decode: str = "soundfile",
  batch_size: int = 16,
  training: bool = False,
  seed: int = 0,
  shuffle_buffer: int = 256,
  encode=None,
  num_parallel_calls=tf.data.AUTOTUNE,
) -> tf.data.Dataset:
  """Batches of windows that lie side by side; zeros follow a recording's end.

  Args:
    paths, decode, num_parallel_calls: as for `waveform_dataset`.
    params: `YohoParams`, or as for `record_dataset`.
    events: an `EventTable` for each path, everything that sounds in it.
    batch_size: windows of a batch.
    training: files and windows in another order every epoch, without end, the
      last smaller batch dropped; needs `events`.
    seed: of the orders.
    shuffle_buffer: windows that are shuffled at once.
    encode: as for `record_dataset`.

  Returns:
    With events: Dataset of `(waveform float32 [batch, samples], targets
    float32 [batch, cells, ...], sample_weight float32 [batch, cells,
    classes])`. Without: of `(waveform, {"file": int64 [batch], of `paths`,
    "start_seconds": float64 [batch]})`.

  Raises:
    ValueError: as `waveform_dataset`; events of another number of files, or
      with a label that is not the model's.
  """
  paths, kinds = _files(paths, decode)
  rules.require(
    events is not None or not training,
    "events",
    "be given for training",
    events,
  )
  rate = params.frontend.sample_rate_hz
  size, extra = params.window_samples, getattr(params, "extra_samples", 0)
  read = _reader(rate, decode)

  def windows(number, file):
    waveform = read(*file)
    # One frame for every `size` samples that begin: the extra is padded on.
    count = -(-tf.size(waveform) // size)
    padded = tf.pad(waveform, [[0, count * size + extra - tf.size(waveform)]])
    frames = tf.signal.frame(padded, size + extra, size)
    starts = tf.range(tf.cast(count, tf.int64)) * size
    return tf.data.Dataset.from_tensor_slices(
      (frames, {"file": tf.fill([count], number), "start": starts})
    )

  files = tf.data.Dataset.from_tensor_slices((paths, kinds)).enumerate()
  if training:
    files = files.shuffle(len(paths), seed=seed).repeat()
  found = files.interleave(
    windows,
    cycle_length=8 if training else 1,
    num_parallel_calls=num_parallel_calls if training else None,
    deterministic=True if training else None,
  )
  if training:
    found = found.shuffle(shuffle_buffer, seed=seed)
  if events is None:
    finish = _place(rate)
  else:
    finish = _labeller(paths, events, params, encoder(params, encode))
  return (
    found.map(finish, num_parallel_calls)
    .batch(batch_size, drop_remainder=training)
    .prefetch(tf.data.AUTOTUNE)
  )


def _files(paths, decode):
  """Paths, list of str, and kinds, numbers of `tfio.KINDS` (soundfile: -1).

  Raises ValueError for what can be said before reading.
  """
  rules.choice("decode", decode, DECODERS)
  if isinstance(paths, (str, os.PathLike)):
    paths = [paths]
  paths = [os.fspath(path) for path in paths]
  rules.require(len(paths) > 0, "paths", "not be empty", paths)
  if decode == "tfio":
    tfio.require()  # registers its file systems
  kinds = []
  for path in paths:
    if _URL.match(path):
      rules.require(
        decode == "tfio", "decode", f"be 'tfio' to read {path}", decode
      )
    elif not os.path.isfile(path):
      raise ValueError(f"{path!r}: must be a file; there is none")
    suffix = PurePosixPath(path.partition("?")[0]).suffix
    if decode == "tfio":
      suffix = tfio.check_extension(suffix, f"{path!r}: extension")
    kinds.append(tfio.KINDS.index(suffix) if decode == "tfio" else -1)
  return paths, kinds


def _reader(sample_rate_hz, decode):
  """`(path, kind) -> waveform [samples]`."""

  def with_soundfile(path, kind):
    waveform = tf.numpy_function(
      lambda path: audio.read(path, sample_rate_hz=sample_rate_hz),
      [path],
      tf.float32,
      stateful=False,
    )
    return tf.ensure_shape(waveform, [None])

  def with_tfio(path, kind):
    # Read in Python, so that an error names the file: the messages of the file
    # systems often do not.
    contents = tf.numpy_function(_bytes, [path], tf.string, stateful=False)
    return tfio.decode_kind(
      tf.ensure_shape(contents, []),
      kind,
      sample_rate_hz=sample_rate_hz,
      name=path,
    )

  return with_soundfile if decode == "soundfile" else with_tfio


def _bytes(path):
  try:
    with tf.io.gfile.GFile(path, "rb") as file:
      return file.read()
  except tf.errors.OpError as error:
    raise OSError(
      f"{os.fsdecode(path)!r}: must be a readable file; "
      f"{' '.join(str(error.message).split())[:100]}"
    ) from None


def _place(rate):
  return lambda waveform, place: (
    waveform,
    {
      "file": place["file"],
      "start_seconds": tf.cast(place["start"], tf.float64) / rate,
    },
  )


def _labeller(paths, events, params, encode):
  """`(waveform, place) -> (waveform, targets, weights)`."""
  events = list(events)
  rules.require(
    len(events) == len(paths),
    "events",
    f"be one table for each of the {len(paths)} paths",
    len(events),
  )
  column_of = {label: i for i, label in enumerate(params.labels)}
  for path, table in zip(paths, events):
    for label in set(table.label) - set(column_of):
      raise ValueError(
        f"events of {path!r}: label {did_you_mean(label, column_of)}"
      )
  firsts = tf.constant(np.cumsum([0, *map(len, events)]), tf.int64)
  start, end = (
    tf.constant(
      np.concatenate([getattr(table, name) for table in events]), tf.float64
    )
    for name in ("start", "end")
  )
  classes = tf.constant(
    [column_of[label] for table in events for label in table.label], tf.int64
  )
  rate = params.frontend.sample_rate_hz
  length = params.window_samples / rate
  nothing = (tf.zeros([0], tf.float64),) * 2 + (tf.zeros([0], tf.int64),)
  everything = tf.ones([len(params.labels)], tf.bool)

  def label(waveform, place):
    rows = slice(firsts[place["file"]], firsts[place["file"] + 1])
    begin = tf.cast(place["start"], tf.float64) / rate
    a = tf.maximum(start[rows] - begin, 0.0)
    b = tf.minimum(end[rows] - begin, length)
    inside = b - a > 1e-6
    own = tuple(tf.boolean_mask(v, inside) for v in (a, b, classes[rows]))
    return encode((waveform, own, nothing, everything))

  return label
