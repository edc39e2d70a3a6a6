"""What a training run starts from: loaded weights, statistics, a teacher."""

import pathlib
import warnings

import keras
import numpy as np
from keras import ops

from yoho_tf.deploy import keras_file
from yoho_tf.layers import conv, frontend


def load_body(network, path) -> None:
  """Weights of another network: whatever has the same shape.

  Raises:
    ValueError: no `.weights.h5`.
  """
  if not str(path).endswith(".weights.h5") or not pathlib.Path(path).is_file():
    raise ValueError(
      f"initial_weights must be a .weights.h5 file; received {str(path)!r}"
    )
  with warnings.catch_warnings():  # of the head of other classes
    for words in (".*could not be loaded", "Skipping nested container"):
      warnings.filterwarnings("ignore", message=words)
    network.load_weights(path, skip_mismatch=True)


def begin_statistics(network, params, batches) -> None:
  """Moving statistics of new layers begin at those of the first batch.

  Keras begins with a variance of 1. After 600 steps with momentum .99 that
  still weighs .0024: more than all that some depthwise layers put out, so that
  the network answers something else than it has learnt.

  Args:
    network: with `log_mel` input; layers with loaded statistics keep them.
    batches: of the material.
  """
  norms = [
    layer
    for layer in network.layers
    if isinstance(layer, conv.BatchNormalization) and not layer.frozen
  ]
  is_new = [
    np.all(ops.convert_to_numpy(layer.moving_variance) == 1) for layer in norms
  ]
  if not any(is_new):
    return
  is_indexed = isinstance(batches, keras.utils.PyDataset)
  waveform = (batches[0] if is_indexed else next(iter(batches)))[0]
  log_mel = frontend.log_mel_layer(params.frontend)(waveform)
  own = [layer.momentum for layer in norms]
  for layer, begins in zip(norms, is_new, strict=True):
    layer.momentum = 0.0 if begins else 1.0
  network({"log_mel": log_mel}, training=True)
  for layer, momentum in zip(norms, own, strict=True):
    layer.momentum = momentum


def teacher(path, params):
  """The frozen network of a `.keras` whose logits mean what ours do."""
  network, own = keras_file.read(path)
  for name in ("labels", "frontend", "slots", "lattice", "window_seconds"):
    if getattr(own, name) != getattr(params, name):
      raise ValueError(
        f"teacher must have the same {name}, {getattr(params, name)}; received "
        f"{getattr(own, name)} ({str(path)!r})"
      )
  network.trainable = False
  return keras.Model(network.input, network.output, name="teacher")
