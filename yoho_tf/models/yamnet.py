"""YAMNet: 521 AudioSet scores every 0.48 s, by a MobileNet v1 on log-mels.

Reference: tensorflow/models research/audioset/yamnet; Howard et al.,
"MobileNets", 2017; Gemmeke et al., "Audio Set", 2017.

Inputs: `waveform [batch, samples]`, float32 in [-1, 1] at 16 kHz, or
`log_mel [batch, 96, 64]`. Outputs: `scores [batch, patches, 521]` (independent
sigmoids: they do not add to 1), `embeddings [batch, patches, 1024]`,
`log_mel [batch, frames, 64]`.

Differs from the reference: a batch axis, integer padding arithmetic, stable
snake_case names, tail patches weighted by their share of real audio. Two
weight families exist and are never mixed: `relu` and `relu6`.
"""

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.params import PRESETS, YamnetParams
from yoho_tf.results import Tags

# Keras is imported by `build` and `loss` only: prediction through LiteRT needs
# `decode` and no Keras.

# Kind, stride, channels: MobileNet v1, table 1, without its classifier.
TABLE = (
  ("conv", 2, 32),  # 1
  ("separable", 1, 64),
  ("separable", 2, 128),
  ("separable", 1, 128),
  ("separable", 2, 256),  # 5
  ("separable", 1, 256),
  ("separable", 2, 512),
  ("separable", 1, 512),
  ("separable", 1, 512),
  ("separable", 1, 512),  # 10
  ("separable", 1, 512),
  ("separable", 1, 512),
  ("separable", 2, 1024),
  ("separable", 1, 1024),  # 14
)

PARAMS = PRESETS["yamnet_audioset"]


def build(params: YamnetParams = PARAMS) -> "keras.Model":  # noqa: F821
  """The network as a Functional model with named inputs and outputs.

  Args:
    params: `YamnetParams`; `params.input` chooses `waveform` or `log_mel`.

  Returns:
    A model with a dict output: `scores`, `embeddings` and, from a waveform,
    `log_mel`. For `log_mel` input there is no patch axis.
  """
  import keras

  from yoho_tf.layers import conv, frontend

  front = params.frontend
  outputs = {}
  if params.input == "waveform":
    waveform = keras.Input((None,), dtype="float32", name="waveform")
    padded = frontend.PadWaveform(
      step=params.patch_hop_samples,
      extra=params.min_samples - params.patch_hop_samples,
      covered=params.min_samples - params.patch_hop_samples,
      name="pad",
    )(waveform)
    log_mel = frontend.log_mel_layer(front)(padded)
    patches = frontend.Patches(
      patch_frames=params.patch_frames,
      hop_frames=params.patch_hop_frames,
      name="patches",
    )(log_mel)  # [batch * patches, 96, 64]
    inputs = {"waveform": waveform}
  else:
    patches = keras.Input(
      (params.patch_frames, front.mel_bands), dtype="float32", name="log_mel"
    )
    inputs = {"log_mel": patches}
  x = keras.layers.Reshape(
    (params.patch_frames, front.mel_bands, 1), name="image"
  )(patches)
  x = conv.body(
    x,
    TABLE,
    activation=params.activation,
    batchnorm_epsilon=params.batchnorm_epsilon,
    width=params.width,
  )  # [rows, 3, 2, 1024]
  embeddings = keras.layers.GlobalAveragePooling2D(name="embeddings")(x)
  logits = keras.layers.Dense(
    params.num_classes, dtype="float32", name="logits"
  )(embeddings)
  scores = keras.layers.Activation(
    params.classifier_activation, dtype="float32", name="scores"
  )(logits)
  if params.input == "waveform":
    unfold = frontend.Unfold
    outputs["scores"] = unfold(name="patch_scores", dtype="float32")(
      [scores, waveform]
    )
    outputs["embeddings"] = unfold(name="patch_embeddings", dtype="float32")(
      [embeddings, waveform]
    )
    outputs["log_mel"] = log_mel
  else:
    outputs["scores"] = scores
    outputs["embeddings"] = embeddings
  return keras.Model(inputs, outputs, name="yamnet")


def cells(params: YamnetParams, duration_seconds: float) -> np.ndarray:
  """Cell edges in seconds, float64 [patches + 1].

  Patch p owns the `patch_hop_seconds` around its centre; the first cell starts
  at 0 and the last ends with the clip.
  """
  samples = round(duration_seconds * params.frontend.sample_rate_hz)
  patches = params.num_patches(samples)
  half = (params.patch_window_seconds - params.patch_hop_seconds) / 2
  edges = half + params.patch_hop_seconds * np.arange(patches + 1)
  edges[0], edges[-1] = 0.0, duration_seconds
  return edges


def encode(
  events: EventTable, params: YamnetParams = PARAMS, *, duration_seconds
) -> np.ndarray:
  """Events -> targets, float32 [patches, classes].

  A cell is set when an event covers at least half of it, and always the cell
  that holds the event's centre, so that no event is lost.

  Raises:
    ValueError: for a label that is not in `params.labels`, or an event that
      starts after the clip's end.
  """
  edges = cells(params, duration_seconds)
  targets = np.zeros((len(edges) - 1, params.num_classes), np.float32)
  lookup = {label: i for i, label in enumerate(params.labels)}
  for event in events:
    if event.label not in lookup:
      raise ValueError(
        f"events must have labels of the class map; received {event.label!r}"
      )
    if event.start >= edges[-1]:
      raise ValueError(
        f"events must start before the clip's end, {edges[-1]:g} s; received "
        f"{event.label!r} {event.start:g}-{event.end:g} s"
      )
    covered = np.minimum(event.end, edges[1:]) - np.maximum(
      event.start, edges[:-1]
    )
    hit = covered >= 0.5 * np.diff(edges) - 1e-9
    centre = (event.start + event.end) / 2
    hit[min(np.searchsorted(edges, centre, "right") - 1, len(hit) - 1)] = True
    targets[hit, lookup[event.label]] = 1
  return targets


def decode(
  outputs,
  params: YamnetParams = PARAMS,
  *,
  duration_seconds=None,
  filename="",
  model="yamnet",
) -> Tags:
  """Network outputs of one clip -> `Tags`.

  Args:
    outputs: `scores [patches, classes]`, optional `embeddings`; a leading
      batch axis of 1 is dropped, and so are patches past the clip's end.
    duration_seconds: the clip's length; without it the last patch counts as
      full.

  Raises:
    ValueError: fewer patches than the duration needs.
  """

  def squeeze(value):
    value = np.asarray(value, np.float32)
    return value[0] if value.ndim == 3 else value

  scores = squeeze(outputs["scores"])
  embeddings = outputs.get("embeddings")
  rate, hop = params.frontend.sample_rate_hz, params.patch_hop_samples
  if duration_seconds is None:
    full = params.min_samples + (len(scores) - 1) * hop
    duration_seconds = full / rate
  samples = round(duration_seconds * rate)
  patches = params.num_patches(samples)
  if len(scores) < patches:
    raise ValueError(
      f"scores must have {patches} patches for {duration_seconds:g} s; "
      f"received {len(scores)}"
    )
  scores = scores[:patches]
  start = np.arange(len(scores)) * hop  # [patches], in samples
  fraction = np.clip((samples - start) / params.min_samples, 0, 1)
  end_seconds = start / rate + params.patch_window_seconds
  return Tags(
    labels=params.labels or tuple(str(i) for i in range(scores.shape[1])),
    scores=scores,
    embeddings=None
    if embeddings is None
    else squeeze(embeddings)[: len(scores)],
    start=start / rate,
    end=np.minimum(end_seconds, duration_seconds),
    valid_fraction=fraction,
    clip_scores=clip_scores(scores, fraction, params),
    duration_seconds=float(duration_seconds),
    filename=filename,
    model=model,
  )


def clip_scores(scores, valid_fraction, params: YamnetParams) -> np.ndarray:
  """[patches, classes] -> [classes], by `params.tail` and `aggregation`."""
  if params.tail == "weight":
    weight = valid_fraction
  elif params.tail == "drop":
    weight = (valid_fraction >= 0.5).astype(float)
    if not weight.any():
      weight = np.ones(len(scores))
  else:
    weight = np.ones(len(scores))
  weight = np.asarray(weight, np.float64)[:, None]
  if params.aggregation == "max":
    return np.where(weight > 0, scores, 0).max(axis=0)
  if params.aggregation == "linear_softmax":
    total = (weight * scores).sum(axis=0)
    return (weight * scores**2).sum(axis=0) / np.maximum(total, 1e-12)
  return (weight * scores).sum(axis=0) / weight.sum()


def loss(params: YamnetParams = PARAMS):
  """Binary cross-entropy on `logits`, weights `[batch, patches, classes]`."""
  from yoho_tf.losses import BinaryCrossEntropy

  return BinaryCrossEntropy()
