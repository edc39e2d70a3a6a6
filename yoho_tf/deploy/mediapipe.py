"""Network -> a `.tflite` for MediaPipe's AudioClassifier: `scores` only.

It takes every output for a classification head, cuts the sound into windows
of the input's length by itself, and wants labels and rate inside the file.
"""

from yoho_tf.deploy import litert, metadata
from yoho_tf.params import YohoParams


def tflite(
  network,
  params,
  *,
  class_map,
  name,
  precision="float16",
  representative=None,
  frames=None,
  transform="rfft",
  allow_relu_int8=False,
  **texts,
) -> bytes:
  """`waveform [1, samples]` -> `scores [1, classes]`, with audio metadata.

  YAMNet: 15,600 samples, its scores. YOHO: one window, the greatest presence
  of each class in it; where the events lie is lost, and so are the params,
  which would have `hub.load` look for `events`.

  Args:
    network: built with `params` and `input="log_mel"`.
    class_map: `ClassMap` of `params.labels`.
    precision, representative, transform, allow_relu_int8: `litert.tflite`.
    frames: of a YOHO's window; default `params.window_frames`.
    name, texts: `metadata.with_audio`'s name, description, version, author,
      license.

  Raises:
    ValueError: a baseline of YOHO, whose scores are per frame; labels or
      settings that do not fit.
  """
  is_yoho = isinstance(params, YohoParams)
  if is_yoho:
    network = window_scores(network, params)
    frames = frames or params.window_frames
  model = litert.tflite(
    network,
    params,
    class_map=class_map,
    precision=precision,
    representative=representative,
    frames=frames,
    outputs=("scores",),
    transform=transform,
    allow_relu_int8=allow_relu_int8,
  )
  if is_yoho:
    model, files = metadata.unpack(model)
    del files[metadata.PARAMS]
    model = metadata.pack(model, files)
  return metadata.with_audio(
    model,
    name=name,
    sample_rate_hz=params.frontend.sample_rate_hz,
    labels=class_map.names,
    **texts,
  )


def window_scores(network, params):
  """A YOHO network -> `scores [batch, classes]`: presence, its maximum.

  Raises:
    ValueError: a baseline.
  """
  import keras

  if params.baseline != "none":
    raise ValueError(
      "network must have cells, not frames, for AudioClassifier; received the "
      f"baseline {params.baseline!r}"
    )
  events = network.output["events"]  # [batch, cells, classes, 3 * slots]
  scores = keras.ops.max(events[..., ::3], axis=(1, 3))  # [batch, classes]
  return keras.Model(network.input, {"scores": scores})
