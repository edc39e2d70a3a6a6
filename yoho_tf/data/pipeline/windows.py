"""Records to windows: the twin of `data/augment.py` in TensorFlow operations.

Spans (events, or what is unknown) are a tuple of start and end in seconds,
float64 [spans], and class, int64 [spans], -1 for all classes.
"""

import tensorflow as tf

from yoho_tf.data.augment import COLUMNS

_SHORTEST_SECONDS = 1e-6
_BYTES, _INT, _FLOAT = (
  tf.io.FixedLenFeature((), tf.string),
  tf.io.VarLenFeature(tf.int64),
  tf.io.FixedLenFeature((), tf.float32),
)
_FEATURES = {
  "waveform": _BYTES,
  "scale": _FLOAT,
  **{
    f"{kind}_{name}": _INT if name == "class" else _BYTES
    for kind in ("event", "unknown")
    for name in ("start", "end", "class")
  },
  "known_classes": _INT,
}


def parse(number, payload):
  """Record -> (id, fields); times float64 [events], classes int64 [events]."""
  fields = tf.io.parse_single_example(payload, _FEATURES)

  def spans(kind):
    start, end = (
      tf.io.decode_raw(fields[f"{kind}_{name}"], tf.float64)
      for name in ("start", "end")
    )
    return start, end, fields[f"{kind}_class"].values

  return number, {
    "waveform": tf.io.decode_raw(fields["waveform"], tf.int16),
    "scale": fields["scale"],
    "events": spans("event"),
    "unknown": spans("unknown"),
    "known": fields["known_classes"].values,
  }


def draw(fields, row, settings, params):
  """`augment.draw` in TensorFlow operations.

  Returns:
    waveform float32 [samples], events and unknown as (start, end, class),
    bool [classes]: what somebody listened for.
  """
  size, extra = params.window_samples, getattr(params, "extra_samples", 0)
  rate = tf.constant(params.frontend.sample_rate_hz, tf.float64)
  pick = dict(zip(COLUMNS, tf.unstack(row)))
  stored = tf.size(fields["waveform"])
  room = tf.cast(tf.maximum(stored - size, 0) + 1, tf.float64)
  first = tf.cast(tf.floor(pick["crop"] * room), tf.int32)
  first = tf.where(pick["crop_on"] < settings.crop.probability, first, 0)
  part = fields["waveform"][first : first + size + extra]
  part = tf.pad(part, [[0, size + extra - tf.size(part)]])
  waveform = tf.cast(part, tf.float32) * fields["scale"]
  begin = tf.cast(first, tf.float64) / rate
  finish = tf.cast(first + size, tf.float64) / rate

  def cropped(spans):
    start = tf.maximum(spans[0], begin) - begin
    end = tf.minimum(spans[1], finish) - begin
    return _keep((start, end, spans[2]), end - start > _SHORTEST_SECONDS)

  events, unknown = cropped(fields["events"]), cropped(fields["unknown"])
  if settings.time_shift.probability:
    on = pick["shift_on"] < settings.time_shift.probability
    shift = tf.cast(tf.floor(pick["shift"] * size), tf.int32)
    shift = tf.where(on, shift, 0)  # by 0 nothing moves: no branch
    parts = [waveform[size - shift : size], waveform[: size - shift]]
    if extra:
      wrapped = tf.concat(parts, 0)[:extra]
      parts.append(tf.where(on, wrapped, waveform[size:]))
    waveform = tf.concat(parts, 0)
    seconds = tf.cast(shift, tf.float64) / rate
    length = tf.constant(size, tf.float64) / rate
    events, unknown = (
      _shifted(spans, seconds, length) for spans in (events, unknown)
    )
  known = tf.scatter_nd(
    fields["known"][:, None],
    tf.ones_like(fields["known"], tf.int32),
    [len(params.labels)],
  )
  waveform.set_shape([size + extra])
  return waveform, events, unknown, known > 0


def _keep(spans, mask):
  rows = tf.where(mask)[:, 0]
  return tuple(tf.gather(column, rows) for column in spans)


def _shifted(spans, shift, length):
  start, end, classes = spans
  start, end = start + shift, end + shift
  parts = []
  for offset in (0.0, length):
    a, b = tf.maximum(start - offset, 0), tf.minimum(end - offset, length)
    parts.append(_keep((a, b, classes), b - a > _SHORTEST_SECONDS))
  return tuple(tf.concat(columns, 0) for columns in zip(*parts))


def none(params):
  """What comes before the first window: a waveform of size 0."""
  none = tf.zeros([0], tf.float64)
  spans = (none, none, tf.zeros([0], tf.int64))
  everything = tf.ones([len(params.labels)], tf.bool)
  return tf.zeros([0], tf.float32), spans, spans, everything


def with_the_one_before(state, element):
  window, row = element
  return window, (window, state, row)


def mix(window, other, row, settings):
  """`augment.draw_mix` in TensorFlow operations."""
  pick = dict(zip(COLUMNS, tf.unstack(row)))
  low, high = settings.mix.snr_db
  snr_db = low + pick["mix_snr"] * (high - low)
  on = pick["mix_on"] < settings.mix.probability
  on = tf.logical_and(on, tf.size(other[0]) > 0)
  shape = window[0].shape

  def mixed():
    loud, soft = (
      tf.sqrt(tf.reduce_mean(tf.square(w[0]))) for w in (window, other)
    )
    gain = tf.cast(10.0 ** (-snr_db / 20), tf.float32) * loud / soft
    gain = tf.where(tf.logical_and(loud > 0, soft > 0), gain, 1.0)
    waveform = window[0] + other[0] * gain
    waveform /= tf.maximum(tf.reduce_max(tf.abs(waveform)), 1.0)
    spans = (
      tuple(tf.concat(columns, 0) for columns in zip(window[i], other[i]))
      for i in (1, 2)
    )
    return waveform, *spans, tf.logical_and(window[3], other[3])

  waveform, *rest = tf.cond(on, mixed, lambda: window)
  return tf.ensure_shape(waveform, shape), *rest
