"""A small YOHO that makes events, for the tests of what runs networks.

Its weights come from a seed. Some layers take the statistics of a test signal
and the head is scaled to it, so that scores come out high and low.
Needs Keras; TensorFlow for the file.
"""

import dataclasses
import functools

import numpy as np

from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS, PostprocessParams

RATE = 16_000
FITTED = (
  "layer1_conv_bn",
  "layer9_pointwise_conv_bn",
  "layer17_pointwise_conv_bn",
)
TUNED = {"Speech": {"low": 0.2, "threshold": 0.6, "merge_gap_seconds": 0.4}}
PARAMS = dataclasses.replace(
  PRESETS["yoho_everyday_small"],
  postprocess=PostprocessParams(per_label=TUNED),
)
# The paper's windows: 8 s every 6 s, 26 cells of 0.3077 s.
PAPER = dataclasses.replace(
  PRESETS["yoho_music_speech"],
  width=0.25,
  postprocess=PostprocessParams(),  # the preset's drops what is short
)


def signal(seconds, *, seed=0, rate=RATE):
  """Bursts of tones and noise with pauses, float32 [samples]."""
  random = np.random.default_rng(seed)
  waveform = 1e-3 * random.standard_normal(max(1, round(seconds * rate)))
  first = 0
  while first < len(waveform):
    size = round(random.uniform(0.2, 1.5) * rate)
    burst = waveform[first : first + size]
    time = np.arange(len(burst)) / rate
    level = random.uniform(0.02, 0.3)
    if random.random() < 0.5:
      burst += level * random.standard_normal(len(burst))
    else:
      burst += level * np.sin(2 * np.pi * random.uniform(200, 4000) * time)
    first += size + round(random.uniform(0.2, 1.0) * rate)
  return np.clip(waveform, -1, 1).astype(np.float32)


def draw_kernels(network):
  """Sets the convolutions so that signals neither fade nor grow."""
  random = np.random.default_rng(0)
  for layer in network.layers:
    if layer.name.endswith("_conv"):
      shape = layer.kernel.shape  # [3, 3, channels, 1], [1, 1, in, out]
      num_inputs = 9 if shape[0] == 3 else shape[2]
      scale = np.sqrt(2 / num_inputs)
      layer.set_weights([scale * random.standard_normal(shape)])


def build(params):
  """The network on `log_mel` whose head was fitted to `signal`."""
  import keras

  from yoho_tf.layers.frontend import log_mel_layer
  from yoho_tf.models import yoho

  keras.utils.set_random_seed(1)
  # Momentum 0: one training step leaves the statistics of its batch.
  network = yoho.build(
    dataclasses.replace(
      params, input="log_mel", batchnorm_momentum=0.0, dropout=0.0
    )
  )
  draw_kernels(network)
  for layer in network.layers:  # all would be chaotic: rounding errors grow
    layer.trainable = layer.name in FITTED
  rate = params.frontend.sample_rate_hz
  size = params.window_samples
  if params.lattice == "stride":
    size += params.extra_samples
  waveform = signal(6 * size / rate + 1, rate=rate)
  windows = waveform[: 6 * size].reshape(6, size)
  log_mel = log_mel_layer(params.frontend)(windows)
  network({"log_mel": log_mel}, training=True)
  logits = np.asarray(network({"log_mel": log_mel})["event_logits"])
  axes = (0, 1)
  mean, deviation = logits.mean(axes).ravel(), logits.std(axes).ravel()
  head = network.get_layer("head")
  kernel, _ = head.get_weights()  # [1, bands, channels, 3 * classes]
  classes = len(params.labels)
  wanted = np.tile([-1.0, -1.0, 1.0], classes)  # presence, start, stop
  head.set_weights([kernel * 2 / deviation, wanted - mean * 2 / deviation])
  return network


@functools.cache
def network():
  """`build(PARAMS)`, once per process."""
  return build(PARAMS)


@functools.cache
def lite_bytes(precision="float32"):
  """The same network as a `.tflite`, once per process."""
  from yoho_tf.deploy import litert

  return litert.tflite(
    network(),
    PARAMS,
    class_map=ClassMap.bundled("everyday"),
    precision=precision,
    representative=representative() if precision == "int8" else None,
  )


def representative():
  """Windows for int8: whole cells and what the last frame hears beyond."""
  size = 10 * PARAMS.cell_samples + PARAMS.extra_samples
  return [signal(size / RATE, seed=seed)[:size] for seed in range(20)]
