"""The baselines of YOHO's paper: a CNN and a CRNN that answer every frame.

Venkatesh et al. 2022, section 3.4; Howard et al., "MobileNets", 2017. YOHO's
layers with all frames kept: where its body has stride 2, only the bands are
halved. `cnn` is all 17 layers, `crnn` the first 6 and two bidirectional GRUs.

Inputs: `waveform [batch, samples]` or `log_mel [batch, frames, bands]` of one
window. Outputs: `scores [batch, frames, classes]` in 0..1; `score_logits`, the
same before the sigmoid. A frame is 1 / frames of the window: 8 s / 801, that
is 10 ms.

Chosen by `params.baseline`: the functions of `models/yoho.py` then call these.
"""

from dataclasses import replace

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, YohoParams
from yoho_tf.results import Detections

# Rows of YOHO's table, units of the recurrent layers.
TABLE = {"cnn": (yoho.TABLE, ()), "crnn": (yoho.TABLE[:6], (80, 80))}

PARAMS = replace(PRESETS["yoho_music_speech"], baseline="crnn")


def build(params: YohoParams = PARAMS) -> "keras.Model":  # noqa: F821
  """The network as a Functional model with a dict output.

  Args:
    params: `YohoParams` with a baseline; `params.input` chooses `waveform` or
      `log_mel`.
  """
  import keras

  table, recurrent = TABLE[params.baseline]
  inputs, x = yoho.trunk(params, table, framewise=True)
  _, _, bands, channels = x.shape
  x = keras.layers.Reshape((-1, bands * channels), name="flatten")(x)
  for number, units in enumerate(recurrent, start=1):
    x = keras.layers.Bidirectional(
      keras.layers.GRU(units, return_sequences=True, name="gru"),
      name=f"recurrent{number}",
    )(x)  # [batch, frames, 2 * units]
  logits = keras.layers.Dense(
    len(params.labels), dtype="float32", name="score_logits"
  )(x)
  scores = keras.layers.Activation("sigmoid", dtype="float32", name="scores")(
    logits
  )
  return keras.Model(
    {params.input: inputs},
    {"scores": scores, "score_logits": logits},
    name=f"yoho_{params.baseline}",
  )


def encode(
  events: EventTable,
  params: YohoParams = PARAMS,
  *,
  num_cells: int | None = None,
  return_info: bool = False,
):
  """Events of one window -> targets, float32 `[frames, classes]`.

  An event sets the frames between its start and its end, each rounded to the
  nearest edge of a frame, and at least one. Other arguments, merging before
  and errors as `yoho.encode`.
  """
  frames = params.window_cells if num_cells is None else num_cells
  width = params.cell_seconds
  targets = np.zeros((frames, len(params.labels)), np.float32)
  joined = {}
  for column, start, end in yoho.merged_labels(events, params, frames * width):
    first = np.minimum(np.floor(start / width + 0.5), frames - 1).astype(int)
    last = np.maximum(np.floor(end / width + 0.5).astype(int), first + 1)
    for a, b in zip(first, last, strict=True):
      targets[a:b, column] = 1
    runs = np.sum(np.diff(targets[:, column], prepend=0) > 0)
    joined[params.labels[column]] = len(start) - int(runs)
  return (targets, {"num_joined": joined}) if return_info else targets


def as_cells(outputs, params: YohoParams = PARAMS) -> dict:
  """Frames as YOHO's cells that sound from edge to edge, for `yoho.decode`.

  Args:
    outputs: dict with `scores`: `[frames, classes]` or `[windows, frames,
      classes]`.
  """
  scores = np.asarray(outputs["scores"], np.float64)
  if scores.ndim not in (2, 3) or scores.shape[-1] != len(params.labels):
    raise ValueError(
      f"scores must have shape [frames, {len(params.labels)}]; received "
      f"{scores.shape}"
    )
  ones = np.ones_like(scores)
  return {"events": np.stack([scores, 0 * ones, ones], axis=-1)}


def decode(outputs, params: YohoParams = PARAMS, **options) -> Detections:
  """Frames of a recording -> `Detections`: threshold, then YOHO's merging.

  Args:
    outputs: as `as_cells`.
    **options: `duration_seconds`, `filename`, `model`, as `yoho.decode`.
  """
  return yoho.decode(outputs, params, **options)


def loss(params: YohoParams = PARAMS):
  """Binary cross-entropy of `score_logits`, the mean over every element."""
  from yoho_tf.losses import BinaryCrossEntropy

  return BinaryCrossEntropy()
