"""A small YOHO that makes events, for the tests of what runs networks.

Its weights come from a seed. The statistics of its layers are those of a test
signal and its head is scaled to it, so that scores come out high and low.
Needs Keras; TensorFlow for the file.
"""

import dataclasses
import functools

import numpy as np

from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS

TRAIN = True
RATE = 16_000
PARAMS = PRESETS["yoho_everyday_small"]
# The paper's windows: 8 s every 6 s, 26 cells of 0.3077 s.
PAPER = dataclasses.replace(PRESETS["yoho_music_speech"], width=0.25)


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
  rate = params.frontend.sample_rate_hz
  size = params.window_samples
  if params.lattice == "stride":
    size += params.extra_samples
  waveform = signal(6 * size / rate + 1, rate=rate)
  windows = waveform[: 6 * size].reshape(6, size)
  log_mel = log_mel_layer(params.frontend)(windows)
  if TRAIN:
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

  return litert.yoho(
    network(),
    PARAMS,
    class_map=ClassMap.bundled("everyday"),
    precision=precision,
  )
