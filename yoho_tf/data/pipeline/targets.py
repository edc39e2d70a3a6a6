"""Windows to targets: twins of numpy functions in TensorFlow operations."""

import warnings

import numpy as np
import tensorflow as tf

from yoho_tf.events import EventTable
from yoho_tf.intervals import TOLERANCE_SECONDS
from yoho_tf.models import yoho
from yoho_tf.params import YohoParams

_EPSILON = 1e-9  # in cells, as in models/yoho.py
_SHORTEST_SECONDS = 1e-6


def weights(start, end, classes, known, params):
  """`augment.weights` in TensorFlow operations."""
  edges = tf.constant(
    np.arange(params.window_cells + 1) * params.cell_seconds, tf.float64
  )
  overlap = tf.minimum(edges[None, 1:], end[:, None]) - tf.maximum(
    edges[None, :-1], start[:, None]
  )
  hidden = tf.cast(overlap > _SHORTEST_SECONDS, tf.float32)  # [spans, cells]
  all_classes = tf.cast(classes < 0, tf.float32)[:, None]
  column = all_classes + tf.one_hot(classes, len(params.labels))
  hidden = tf.einsum("sc,sl->cl", hidden, column)  # [cells, classes]
  return tf.cast(tf.logical_and(hidden == 0, known), tf.float32)


def encode_yoho(start, end, classes, params: YohoParams):
  """`models.yoho.encode` in TensorFlow operations.

  Args:
    start, end: float64 [events], seconds in the window.
    classes: int64 [events].

  Returns:
    float32 `[cells, classes, 3 * slots]`.
  """
  cells, num_classes = params.window_cells, len(params.labels)
  width = tf.constant(params.cell_seconds, tf.float64)
  limit = tf.constant(cells * params.cell_seconds, tf.float64)
  gaps = [params.label_merge_gap_seconds.get(v, 0.0) for v in params.labels]
  start, end, classes = _merged(
    start, tf.minimum(end, limit), classes, tf.constant(gaps, tf.float64)
  )  # [groups], sorted by class, then start
  a, b = (start / width)[:, None], (end / width)[:, None]
  first = tf.floor(a + _EPSILON)
  last = tf.minimum(tf.floor(b + _EPSILON), cells - 1)
  cell = tf.range(cells, dtype=tf.float64)[None]  # [1, cells]
  begin = tf.maximum(a - cell, 0.0)  # [groups, cells]
  stop = tf.minimum(b - cell, 1.0)
  is_piece = (first <= cell) & (cell <= last)
  is_piece &= ((stop - begin) * width > _SHORTEST_SECONDS) | (first == last)
  where = tf.where(is_piece)  # [pieces, 2], by group and cell
  begin, stop = (tf.gather_nd(v, where) for v in (begin, stop))
  key = where[:, 1] * num_classes + tf.gather(classes, where[:, 0])
  slots = params.slots
  slot = tf.zeros_like(key)
  if slots > 1:
    # Pieces of one cell and class side by side, in the order of time.
    by_key = tf.argsort(key, stable=True)
    begin, stop, key = (tf.gather(v, by_key) for v in (begin, stop, key))
    slot = _slots(begin, stop, key, slots)
  place = key * slots + slot
  size = cells * num_classes * slots
  present = tf.math.unsorted_segment_max(tf.ones_like(begin), place, size)
  present = tf.maximum(present, 0.0)
  begin = tf.math.unsorted_segment_min(begin, place, size)
  stop = tf.math.unsorted_segment_max(stop, place, size)
  empty = tf.zeros_like(present)
  targets = tf.stack(
    [
      present,
      tf.where(present > 0, begin, empty),
      tf.where(present > 0, stop, empty),
    ],
    axis=-1,
  )
  targets = tf.cast(targets, tf.float32)
  return tf.reshape(targets, [cells, num_classes, 3 * slots])


def _merged(start, end, classes, gaps):
  """Events of a class with at most its gap between them, joined.

  Returns:
    start, end, classes [groups], sorted by class, then start.
  """
  by_start = tf.argsort(start, stable=True)
  rows = tf.gather(
    by_start, tf.argsort(tf.gather(classes, by_start), stable=True)
  )
  start, end, classes = (tf.gather(v, rows) for v in (start, end, classes))
  number = tf.range(tf.size(start))
  before = (number[:, None] > number[None]) & (
    classes[:, None] == classes[None]
  )  # [events, events]
  never = tf.constant(-np.inf, tf.float64)
  latest = tf.reduce_max(tf.where(before, end[None], never), axis=1)
  gap = tf.gather(gaps, classes) + TOLERANCE_SECONDS
  group = tf.cumsum(tf.cast(start - latest > gap, tf.int32)) - 1
  return (
    tf.math.segment_min(start, group),
    tf.math.segment_max(end, group),
    tf.math.segment_max(classes, group),
  )


def _slots(begin, stop, key, slots):
  """int64 [pieces]: the slot of each piece of a cell and class.

  A cell with more pieces than slots closes its smallest gaps, of equal ones
  the earliest: the `slots - 1` largest remain as borders.
  """
  follows = tf.concat([[False], key[1:] == key[:-1]], 0)[: tf.size(key)]
  gap = begin - tf.concat([begin[:1], stop[:-1]], 0)
  number = tf.range(tf.size(key))
  same = (key[:, None] == key[None]) & follows[None]  # [pieces, pieces]
  larger = gap[None] > gap[:, None]
  larger |= (gap[None] == gap[:, None]) & (number[None] > number[:, None])
  rank = tf.reduce_sum(tf.cast(same & larger, tf.int32), axis=1)
  is_border = follows & (rank < slots - 1)
  count = tf.cumsum(tf.cast(is_border, tf.int64))
  # From the first piece of each key.
  origin = tf.where(follows, tf.constant(-1, tf.int64), count)
  return count - _hold(origin)


def _hold(values):
  """Running maximum, int64 [n]."""
  number = tf.range(tf.size(values))
  seen = number[:, None] >= number[None]
  return tf.reduce_max(tf.where(seen, values[None], -1), axis=1)


def encoder(params, encode):
  """`window -> (waveform, targets, weights)`, by the model's encoder.

  Args:
    params: `YohoParams`, or another system's where `encode` is given.
    encode: `encode(events, params) -> targets`, run in Python; or None.
  """
  if getattr(params, "baseline", "none") != "none":
    encode = encode or yoho.encode  # frames, not cells
  if encode is None and isinstance(params, YohoParams):
    return lambda window: (
      window[0],
      encode_yoho(*window[1], params),
      weights(*window[2], window[3], params),
    )
  if encode is None:
    raise ValueError(
      f"encode must be given for {type(params).__name__}: it has no twin in "
      "TensorFlow"
    )
  warnings.warn(
    f"encode of {type(params).__name__} has no twin in TensorFlow: targets are "
    "made in Python",
    stacklevel=3,
  )
  names = np.array(params.labels, object)
  shape = np.shape(encode(EventTable.empty(), params))

  def in_python(start, end, classes):
    events = EventTable.from_columns(start=start, end=end, label=names[classes])
    return np.asarray(encode(events, params), np.float32)

  def apply(window):
    targets = tf.numpy_function(in_python, window[1], tf.float32)
    targets.set_shape(shape)
    return window[0], targets, weights(*window[2], window[3], params)

  return apply
