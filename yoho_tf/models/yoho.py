"""YOHO: sound events by regression, one cell of about 0.3 s at a time.

Paper: Venkatesh, Moffat, Miranda, "You Only Hear Once", Appl. Sci. 2022,
12(7), 3293. A log-mel goes through a convolutional body of stride 32; each
output cell holds, per class, presence, start and stop. No recurrence, no frame
labels. One file for the paper's presets and for ours: a difference is a field.
With `params.baseline` the functions here stand for those of yoho_baselines.py.

Inputs: `waveform [batch, samples]` in [-1, 1], or `log_mel [batch, frames,
bands]`. Outputs: `events [batch, cells, classes, 3 * slots]` in 0..1, last
axis slot-major (presence, start, stop), start and stop being positions inside
the cell; `event_logits`, the same before the sigmoid.

Ours (`yoho_everyday`, lattice `stride`) differs from the paper in: cells of
exactly 32 frames (0.32 s) on a global lattice, YAMNet's front end and ReLU6
body, losses from logits, slots, post-processing per class, exact stitching.
"""

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.intervals import merge_gaps
from yoho_tf.labels import did_you_mean
from yoho_tf.models import yamnet, yoho_decode
from yoho_tf.params import PRESETS, YohoParams
from yoho_tf.results import Detections

# Keras is imported by `build` and `loss` only: prediction through LiteRT needs
# `decode` and no Keras.

# Kind, stride, channels: YAMNet's layers 1-14 and the paper's 15-17 (table 1).
TABLE = yamnet.TABLE + (
  ("separable", 1, 512),
  ("separable", 1, 256),
  ("separable", 1, 128),
)

PARAMS = PRESETS["yoho_everyday"]

_EPSILON = 1e-9  # in cells: floor(t / w + 1e-9), never t // w


def build(params: YohoParams = PARAMS) -> "keras.Model":  # noqa: F821
  """The network as a Functional model with a dict output.

  The head is a convolution over all remaining bands: the paper's flatten and
  Conv1D with kernel 1, the same numbers without the reshape.

  Args:
    params: `YohoParams`; `params.input` chooses `waveform` or `log_mel`. On
      the `stride` lattice any length fits, on `window` exactly
      `params.window_samples`.

  Raises:
    ValueError: for frames that are not a multiple of 32 (`stride`, `log_mel`).
  """
  if baseline := _baseline(params):
    return baseline.build(params)
  import keras

  classes = len(params.labels)
  inputs, x = trunk(params)  # [batch, cells, bands / 32, 128 * width]
  x = keras.layers.Conv2D(
    3 * params.slots * classes,
    (1, x.shape[2]),
    padding="valid",
    dtype="float32",
    name="head",
  )(x)  # [batch, cells, 1, classes * 3 * slots]
  logits = keras.layers.Reshape(
    (-1, classes, 3 * params.slots), dtype="float32", name="event_logits"
  )(x)
  events = keras.layers.Activation("sigmoid", dtype="float32", name="events")(
    logits
  )
  return keras.Model(
    {params.input: inputs},
    {"events": events, "event_logits": logits},
    name="yoho",
  )


def trunk(params, table=TABLE, *, framewise=False):
  """Input, front end and body: the input tensor and the last feature map."""
  import keras

  from yoho_tf.layers import conv, frontend

  front = params.frontend
  stride_lattice = params.lattice == "stride"
  if params.input == "waveform":
    samples = None if stride_lattice else params.window_samples
    waveform = keras.Input((samples,), dtype="float32", name="waveform")
    inputs = x = waveform
    if stride_lattice:
      x = frontend.PadWaveform(
        step=params.cell_samples,
        extra=params.extra_samples,
        covered=0,
        name="pad",
      )(x)
    x = frontend.log_mel_layer(front)(x)
  else:
    frames = None if stride_lattice else params.window_frames
    inputs = x = keras.Input(
      (frames, front.mel_bands), dtype="float32", name="log_mel"
    )
    if stride_lattice:
      x = frontend.CheckFrames(params.STRIDE_FRAMES, name="check_frames")(x)
  x = keras.layers.Reshape((-1, front.mel_bands, 1), name="image")(x)
  x = conv.body(
    x,
    table,
    activation=params.activation,
    batchnorm_epsilon=params.batchnorm_epsilon,
    batchnorm_momentum=params.batchnorm_momentum,
    width=params.width,
    frozen_batchnorm_layers=params.frozen_batchnorm_layers,
    dropout=params.dropout,
    dropout_from_layer=params.dropout_from_layer,
    l2_first=params.l2_first,
    l2_pointwise=params.l2_pointwise,
    framewise=framewise,
  )
  return inputs, x


def _baseline(params):
  """The module that stands in for this one, or None."""
  if params.baseline == "none":
    return None
  from yoho_tf.models import yoho_baselines

  return yoho_baselines


# ---- labels -> targets ------------------------------------------------------


def encode(
  events: EventTable,
  params: YohoParams = PARAMS,
  *,
  num_cells: int | None = None,
  return_info: bool = False,
):
  """Events of one window -> targets (Venkatesh et al. 2022, table 2).

  Args:
    events: one recording's events, seconds relative to the window.
    num_cells: length of the window in cells; default `params.window_cells`.
    return_info: also return `{"num_joined": {label: count}}`, the pieces that
      were joined because a cell held more of a class than it has slots.

  Returns:
    float32 `[cells, classes, 3 * slots]`; absent slots are all 0.

  Raises:
    ValueError: end <= start, NaN, start < 0, an end beyond the window by more
      than 1 ms, an unknown label; the event and the rule are named.
  """
  cells = params.window_cells if num_cells is None else num_cells
  if baseline := _baseline(params):
    return baseline.encode(
      events, params, num_cells=cells, return_info=return_info
    )
  width = params.cell_seconds
  targets = np.zeros((cells, len(params.labels), params.slots, 3), np.float32)
  joined = dict.fromkeys(params.labels, 0)
  for column, start, end in merged_labels(events, params, cells * width):
    pieces = {}  # cell -> [(start, stop)] in cells
    for a, b in zip(start / width, end / width, strict=True):
      first = int(np.floor(a + _EPSILON))
      last = min(int(np.floor(b + _EPSILON)), cells - 1)
      for cell in range(first, last + 1):
        piece = (max(a - cell, 0.0), min(b - cell, 1.0))
        if (piece[1] - piece[0]) * width > 1e-6 or first == last:
          pieces.setdefault(cell, []).append(piece)
    for cell, own_pieces in pieces.items():
      while len(own_pieces) > params.slots:
        gaps = [
          q[0] - p[1] for p, q in zip(own_pieces, own_pieces[1:], strict=False)
        ]
        i = int(np.argmin(gaps))
        own_pieces[i : i + 2] = [(own_pieces[i][0], own_pieces[i + 1][1])]
        joined[params.labels[column]] += 1
      for slot, (a, b) in enumerate(own_pieces):
        targets[cell, column, slot] = (1.0, a, b)
  targets = targets.reshape(cells, len(params.labels), -1)
  if return_info:
    return targets, {"num_joined": joined}
  return targets


def merged_labels(events, params, limit):
  """Yields (column, starts, ends) of every label, checked and merged.

  Seconds, clipped to `limit`, the window's end.
  """
  _check_events(events, params, limit)
  label_of = np.asarray(events.label)
  for column, label in enumerate(params.labels):
    own = label_of == label
    order = np.argsort(events.start[own], kind="stable")
    start, end, _ = merge_gaps(
      events.start[own][order],
      np.minimum(events.end[own][order], limit),
      params.label_merge_gap_seconds.get(label, 0.0),
    )
    yield column, start, end


def _check_events(events, params, limit):
  for event in events:
    for ok, rule in (
      (np.isfinite([event.start, event.end]).all(), "be finite"),
      (event.start >= 0, "start at 0 or later"),
      (event.end > event.start, "end after it starts"),
      (event.start < limit, f"start before the window's end, {limit:g} s"),
      (event.end <= limit + 1e-3, f"end by the window's end, {limit:g} s"),
    ):
      if not ok:
        raise ValueError(
          f"event must {rule}; received {event.label!r} "
          f"{event.start:g}-{event.end:g} s"
        )
    if event.label not in params.labels:
      raise ValueError(
        f"event label {did_you_mean(event.label, params.labels)}"
      )


# ---- outputs -> events ------------------------------------------------------


def decode(
  outputs,
  params: YohoParams = PARAMS,
  *,
  duration_seconds: float | None = None,
  filename: str = "",
  model: str = "yoho",
) -> Detections:
  """Network outputs of one recording -> `Detections`.

  Args:
    outputs: dict with `events`: `[cells, classes, 3 * slots]` (a whole
      recording, stitched), or on the `window` lattice also `[windows, cells,
      classes, 3 * slots]`, windows every `inference.window_hop_seconds`.
    duration_seconds: the recording's length; events are clipped to it.

  Raises:
    ValueError: another shape, or several windows on the `stride` lattice.
  """
  grid = _grid(outputs, params)
  if duration_seconds is None:
    duration_seconds = yoho_decode.grid_seconds(grid, params)
  table = yoho_decode.decode_grids(
    {filename: grid}, params, {filename: duration_seconds}
  )
  scores = grid[..., 0].max(axis=-1)  # [windows, cells, classes]
  return Detections(
    events=table,
    labels=params.labels,
    duration_seconds=float(duration_seconds),
    scores=scores[0].astype(np.float32) if len(grid) == 1 else None,
    cell_seconds=params.cell_seconds,
    filename=filename,
    model=model,
  )


def decode_files(outputs, params: YohoParams, durations) -> EventTable:
  """`decode` of many recordings at once: their events in one table.

  Args:
    outputs: `{filename: array}`, as `decode` takes it under `params.output`.
    durations: `{filename: seconds}`.
  """
  grids = {
    name: _grid({params.output: value}, params)
    for name, value in outputs.items()
  }
  return yoho_decode.decode_grids(grids, params, durations)


def _grid(outputs, params):
  if baseline := _baseline(params):
    outputs = baseline.as_cells(outputs, params)
  return yoho_decode.grid_of(outputs["events"], params)


def num_windows(num_samples: int, params: YohoParams) -> int:
  """Windows of a recording on the `window` lattice (yoho.md section 6).

  A rest below one STFT hop makes no window (U3: 441,001-sample clips).
  """
  rate = params.frontend.sample_rate_hz
  hop = round(params.inference.window_hop_seconds * rate)
  rest = num_samples - params.window_samples
  rest -= params.frontend.stft_hop_samples - 1
  return max(1, -(-rest // hop) + 1)


def loss(params: YohoParams = PARAMS):
  """`losses.YohoLoss` on `event_logits`, as `params.loss` says."""
  if baseline := _baseline(params):
    return baseline.loss(params)
  from yoho_tf.losses import YohoLoss

  settings = params.loss
  return YohoLoss(
    presence=settings.presence,
    boundary=settings.boundary,
    presence_weight=settings.presence_weight,
    boundary_weight=settings.boundary_weight,
    edge_weight=settings.edge_weight,
  )
