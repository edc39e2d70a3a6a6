"""Settings of a training run: precision, clipping, averages, logs, resume."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from yoho_tf.params import PRESETS, SceneParams, TrainingParams

keras = pytest.importorskip("keras")

from yoho_tf.models import yoho  # noqa: E402
from yoho_tf.training import callbacks, fit  # noqa: E402

PARAMS = replace(
  PRESETS["yoho_everyday_small"],
  width=0.125,
  labels=("Bark", "Rain", "Speech"),
  window_seconds=1.28,
  input="log_mel",
)
TRAINING = TrainingParams(
  batch_size=2,
  steps=6,
  steps_per_epoch=2,
  num_validation_scenes=6,
  scene=SceneParams(duration_seconds=3.0, num_events=(3, 5)),
)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_mixed_body_with_a_float32_head(policy, tmp_path):
  before = keras.config.dtype_policy()
  with fit._precision(policy):
    network = yoho.build(PARAMS)
    model = fit.training_model(network, PARAMS, TRAINING)
    model.compile(
      optimizer=fit._optimizer(TRAINING, 1e-3, 10), loss=yoho.loss(PARAMS)
    )
  assert keras.config.dtype_policy() == before
  body = network.get_layer("layer3_pointwise_conv")
  assert body.compute_dtype == policy.removeprefix("mixed_")
  assert body.variable_dtype == "float32"
  for name in ("head", "event_logits", "events"):
    assert network.get_layer(name).compute_dtype == "float32"
  # float16 needs its loss scaled, or small gradients vanish.
  scaled = hasattr(model.optimizer, "inner_optimizer")
  assert scaled is (policy == "mixed_float16")
  # The weights serve a float32 network, whose layers answer nearly the same
  # (three of them: through 17 untrained layers rounding grows without limit).
  network.save_weights(tmp_path / "w.weights.h5")
  plain = yoho.build(PARAMS)
  plain.load_weights(tmp_path / "w.weights.h5")
  log_mel = np.random.default_rng(0).normal(size=(1, 64, 64)).astype("float32")
  one, other = (
    np.asarray(
      keras.Model(m.inputs, m.get_layer("layer3_pointwise_conv_relu").output)(
        [log_mel]
      ),
      "float32",
    )
    for m in (network, plain)
  )
  assert 0 < np.abs(one - other).max() < 0.05 * np.abs(other).max()
  for m in (network, plain):
    assert m({"log_mel": log_mel})["event_logits"].dtype == "float32"


@pytest.mark.parametrize("norm", [0.0, 1e-3])
def test_gradients_are_clipped(norm):
  optimizer = fit._optimizer(replace(TRAINING, gradient_clip_norm=norm), 1, 10)
  assert optimizer.clipnorm == (norm or None)
  gradient = keras.ops.convert_to_tensor([3.0, 4.0])
  (clipped,) = optimizer._clip_gradients([gradient])
  length = float(keras.ops.norm(clipped))
  assert length == pytest.approx(norm or 5.0)


def test_the_learning_rate_warms_up_and_falls():
  schedule = fit._optimizer(
    replace(TRAINING, warmup_steps=10, final_learning_rate=1e-5), 1e-2, 100
  )._learning_rate
  rates = [float(schedule(step)) for step in range(101)]
  assert np.argmax(rates) == 10 and rates[10] == pytest.approx(1e-2)
  assert rates[0] == pytest.approx(1e-4) and rates[100] == pytest.approx(1e-5)
  assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()


@pytest.mark.parametrize(
  "changes",
  [
    {"precision": "float16"},
    {"ema_momentum": 1.0},
    {"batch_size": 0},
    {"patience_epochs": -1},
  ],
)
def test_settings_that_break_a_rule(changes):
  (name,) = changes
  with pytest.raises(ValueError, match=f"training.{name} must"):
    replace(TRAINING, **changes)


def test_tensorboard_that_is_not_installed(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
  with pytest.raises(ValueError, match="pip install tensorboard"):
    callbacks.TensorBoard(tmp_path)


def test_tensorboard_holds_the_scores(tmp_path):
  pytest.importorskip("tensorboard")
  from tensorboard.backend.event_processing import event_accumulator

  callback = callbacks.TensorBoard(tmp_path)
  for epoch, loss in enumerate((3.0, 2.5)):
    callback.on_epoch_end(epoch, {"loss": loss})
  callback.on_train_end()
  events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
  values = [e.tensor_proto.float_val[0] for e in events.Tensors("loss")]
  assert values == [3.0, 2.5]


TRAIN = """
import os, signal, sys
from dataclasses import replace
from tests.training.test_fit import *
from yoho_tf.training import material
source, out, kill_at = sys.argv[1:]
def log(line):
  if line.startswith(kill_at):
    os.kill(os.getpid(), signal.SIGKILL)
training = replace(TRAINING, precision="mixed_bfloat16", ema_momentum=0.5)
pools = material.pools(source, PARAMS, permissive_only=True)
network, _ = fit.train(PARAMS, training, out_folder=out, log=log,
  material=material.of_scenes(pools, PARAMS, training, about={}))
assert {w.dtype for w in network.weights} == {"float32"}
assert network.get_layer("layer3_pointwise_conv").compute_dtype == "float32"
"""


def train(source_folder, out, repository, backend, kill_at="never"):
  return subprocess.Popen(
    [sys.executable, "-c", TRAIN, str(source_folder), str(out), kill_at],
    env={
      **os.environ,
      "KERAS_BACKEND": backend,
      "PYTHONPATH": str(repository),
      # Compiling is what costs.
      "XLA_FLAGS": "--xla_backend_optimization_level=0",
    },
    cwd=repository,
    stderr=subprocess.PIPE,
    text=True,
  )


def log_of(out):
  with open(out / "log_all.csv", newline="") as file:
    return list(csv.DictReader(file))


def killed_and_restarted(source_folder, tmp_path, repository, backend):
  """kill -9 in epoch 2 of 3, with dropout, masks, bfloat16 and an average."""
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  first = train(source_folder, whole, repository, backend)
  second = train(source_folder, killed, repository, backend, "epoch 2")
  for process in (first, second):
    error = process.communicate()[1]
  assert first.returncode == 0 and second.returncode == -signal.SIGKILL, error
  assert [row["epoch"] for row in log_of(killed)] == ["0", "1"]
  assert np.load(killed / "state_all.npz")["next_epoch"] == 1  # 1 is repeated
  again = train(source_folder, killed, repository, backend)
  error = again.communicate()[1]
  assert again.returncode == 0, error
  rows = log_of(whole), log_of(killed)
  assert [row["epoch"] for row in rows[1]] == ["0", "1", "2"]
  for one, other in zip(*rows, strict=True):
    assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-5)
    assert one["event_f1"] == other["event_f1"]
  assert not (killed / "state_all.npz").exists()
  best = [json.loads((o / "best.json").read_text()) for o in (whole, killed)]
  assert best[0]["epoch"] == best[1]["epoch"]


@pytest.mark.large
def test_a_killed_run_continues_its_curve(source_folder, tmp_path, repository):
  backend = keras.backend.backend()
  killed_and_restarted(source_folder, tmp_path, repository, backend)


@pytest.mark.large
def test_a_killed_run_under_jax(source_folder, tmp_path, repository):
  pytest.importorskip("jax")
  killed_and_restarted(source_folder, tmp_path, repository, "jax")
