"""YOHO trains: one step on both backends, frozen statistics, overfitting."""

import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from yoho_tf.events import EventTable
from yoho_tf.layers.frontend import log_mel_layer
from yoho_tf.metrics import event_metrics
from yoho_tf.models import yoho
from yoho_tf.params import METRIC_PRESETS, PRESETS

SMALL = replace(
  PRESETS["yoho_everyday_small"],
  labels=("tone", "noise", "sweep"),
  input="log_mel",
  window_seconds=6 * 0.32,
)


def trainer_of(network):
  """The training view: `log_mel` -> `event_logits`, weights shared."""
  return keras.Model(network.input, network.output["event_logits"])


def one_step(network, inputs, targets, *, learning_rate):
  """One step of plain gradient descent; the loss before it."""
  trainer = trainer_of(network)
  trainer.compile(
    optimizer=keras.optimizers.SGD(learning_rate),
    loss=yoho.loss(SMALL),
    run_eagerly=True,  # tracing costs more than one step
  )
  return trainer.train_on_batch(inputs, targets)


def random_batch(params, *, seed=0, batch=4):
  rng = np.random.default_rng(seed)
  frames = params.window_cells * 32
  log_mel = rng.normal(size=(batch, frames, 64)).astype("float32")
  shape = (batch, params.window_cells, len(params.labels), 3)
  return log_mel, rng.random(shape).round().astype("float32")


def load_synthetic(network, *, seed=0):
  """Kernels and betas as from a folded file: mean 0, variance 0.9999."""
  rng = np.random.default_rng(seed)
  for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      beta, mean, variance = (np.zeros(v.shape) for v in layer.weights)
      layer.set_weights(
        [rng.normal(size=beta.shape) * 0.3 + 0.2, mean, variance + 0.9999]
      )


@pytest.mark.parametrize("frozen, moves", [(14, False), (0, True)])
def test_loaded_statistics_survive_a_step_at_learning_rate_0(frozen, moves):
  network = yoho.build(replace(SMALL, frozen_batchnorm_layers=frozen))
  load_synthetic(network)
  layer_14 = keras.Model(
    network.input, network.get_layer("layer14_pointwise_conv_relu").output
  )
  log_mel, targets = random_batch(SMALL)
  before = np.asarray(layer_14({"log_mel": log_mel}, training=False))
  assert before.std() > 0
  one_step(network, {"log_mel": log_mel}, targets, learning_rate=0.0)
  after = np.asarray(layer_14({"log_mel": log_mel}, training=False))
  assert bool(np.abs(after - before).max() > 0.0) is moves
  # Training sees the same function as inference, batch or not.
  training = np.asarray(layer_14({"log_mel": log_mel}, training=True))
  assert bool(np.abs(training - after).max() > 0.0) is moves


def test_frozen_statistics_leave_beta_trainable():
  network = yoho.build(replace(SMALL, frozen_batchnorm_layers=14))
  names = {v.path for v in network.trainable_variables}
  assert "layer14_pointwise_conv_bn/beta" in names
  assert "layer14_pointwise_conv_bn/moving_mean" not in names
  norm = network.get_layer("layer14_pointwise_conv_bn")
  beta, mean, variance = norm.get_weights()
  later = network.get_layer("layer15_pointwise_conv_bn").get_weights()[1]
  log_mel, targets = random_batch(SMALL)
  one_step(network, {"log_mel": log_mel}, targets, learning_rate=0.1)
  assert np.abs(norm.get_weights()[0] - beta).max() > 0
  np.testing.assert_array_equal(norm.get_weights()[1], mean)
  np.testing.assert_array_equal(norm.get_weights()[2], variance)
  now = network.get_layer("layer15_pointwise_conv_bn").get_weights()[1]
  assert np.abs(now - later).max() > 0


# One step in a process of its own: the backend is chosen at import.
STEP = """
import sys
from dataclasses import replace
import keras, numpy as np
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS
assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
folder = sys.argv[1]
params = replace(PRESETS["yoho_everyday_small"],
  labels=("tone", "noise", "sweep"), input="log_mel", window_seconds=1.28,
  dropout=0.0)
network = yoho.build(params)
network.load_weights(folder + "/before.weights.h5")
data = np.load(folder + "/batch.npz")
x = {"log_mel": data["log_mel"]}
outputs = {"before": network.predict_on_batch(x)["events"]}
trainer = keras.Model(network.input, network.output["event_logits"])
trainer.compile(optimizer=keras.optimizers.SGD(1e-3), loss=yoho.loss(params))
outputs["loss"] = trainer.train_on_batch(x, data["targets"])
outputs["after"] = network.predict_on_batch(x)["events"]
network.save_weights(folder + "/after.weights.h5")
np.savez(folder + "/jax.npz", **{k: np.asarray(v) for k, v in outputs.items()})
"""


def test_one_step_under_tensorflow_and_jax(tmp_path, repository):
  pytest.importorskip("jax")
  params = replace(SMALL, window_seconds=4 * 0.32, dropout=0.0)
  network = yoho.build(params)
  network.save_weights(tmp_path / "before.weights.h5")
  log_mel, targets = random_batch(params)
  np.savez(tmp_path / "batch.npz", log_mel=log_mel, targets=targets)
  done = subprocess.run(
    [sys.executable, "-c", STEP, str(tmp_path)],
    env={
      **os.environ,
      "KERAS_BACKEND": "jax",
      "PYTHONPATH": str(repository),
      # One step does not pay for optimised code.
      "XLA_FLAGS": "--xla_backend_optimization_level=0",
    },
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  jax = np.load(tmp_path / "jax.npz")

  def events():
    return np.asarray(network({"log_mel": log_mel})["events"])

  before = events()
  np.testing.assert_allclose(before, jax["before"], rtol=0, atol=1e-4)
  loss = one_step(network, {"log_mel": log_mel}, targets, learning_rate=1e-3)
  np.testing.assert_allclose(loss, jax["loss"], rtol=1e-4)
  after = events()
  assert np.abs(after - before).max() > 1e-4  # the step did something
  np.testing.assert_allclose(after, jax["after"], rtol=0, atol=1e-3)
  # Weights trained under JAX give the same outputs here.
  network.load_weights(tmp_path / "after.weights.h5")
  np.testing.assert_allclose(events(), jax["after"], rtol=0, atol=1e-4)


def clip(rng, params):
  """A clip with up to two sounds per class in faint noise, and its events."""
  rate = params.frontend.sample_rate_hz
  samples = params.window_samples + params.extra_samples
  waveform = rng.normal(size=samples) * 1e-3
  rows = []
  for label in params.labels:
    start = rng.uniform(0, 0.4)
    for _ in range(rng.integers(0, 3)):
      end = start + rng.uniform(0.3, 0.5)
      time = np.arange(round(start * rate), round(end * rate)) / rate
      if label == "tone":
        sound = np.sin(2 * np.pi * 500 * time)
      elif label == "noise":
        sound = rng.normal(size=len(time)) * 0.5
      else:
        sound = np.sin(2 * np.pi * (2000 + 1500 * np.sin(25 * time)) * time)
      waveform[round(start * rate) : round(end * rate)] += 0.2 * sound
      rows.append((start, end, label))
      start = end + rng.uniform(0.35, 0.5)
  return waveform.astype("float32"), EventTable.from_rows(rows)


def test_overfits_8_clips():
  # Statistics that follow the few steps there are.
  params = replace(SMALL, dropout=0.0, batchnorm_momentum=0.8)
  rng = np.random.default_rng(0)
  waveforms, tables = zip(*[clip(rng, params) for _ in range(8)], strict=True)
  front = log_mel_layer(params.frontend)
  log_mel = {"log_mel": np.asarray(front(np.stack(waveforms)))}
  targets = np.stack([yoho.encode(events, params) for events in tables])
  network = yoho.build(params)
  trainer = trainer_of(network)
  optimizer = keras.optimizers.Adam(0.01)
  trainer.compile(optimizer=optimizer, loss=yoho.loss(params))
  # With its variables made outside, the graph is traced once, not twice.
  optimizer.build(trainer.trainable_variables)
  names = [f"{i}.wav" for i in range(8)]
  reference = EventTable.concat(
    [t.replace(filename=n) for t, n in zip(tables, names, strict=True)]
  )

  def event_f1():
    events = network(log_mel, training=False)["events"]
    estimate = EventTable.concat(
      [
        yoho.decode({"events": e}, params, filename=n).events
        for e, n in zip(np.asarray(events), names, strict=True)
      ]
    )
    return event_metrics(
      reference,
      estimate,
      files=names,
      labels=params.labels,
      params=METRIC_PRESETS["desed"].event,
    )["f1_micro"]

  for _ in range(15):
    for _ in range(10):
      trainer.train_on_batch(log_mel, targets)
    f1 = event_f1()
    if f1 >= 0.95:
      return
  pytest.fail(f"event F1 {f1:.3f} after 150 steps")
