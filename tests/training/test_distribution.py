"""Several devices and several hosts train the curve of one device.

Stand-ins on one machine: virtual CPUs, and two processes. Keras chooses its
backend when it is imported, so every run is a process of its own.
"""

import csv
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.large  # each run builds and compiles a network

TRAIN = """
import sys
from dataclasses import replace
source, out, devices, hosts, changes = sys.argv[1:]
import keras
if keras.backend.backend() == "tensorflow":
  import tensorflow as tf
  tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2)
from yoho_tf.training import distribution
if hosts:
  address, host = hosts.split(",")
  distribution.join(address, 2, int(host))
from yoho_tf.params import PRESETS, SceneParams, TrainingParams
from yoho_tf.training import fit, material
params = replace(PRESETS["yoho_everyday_small"], width=0.125, dropout=0.0,
  labels=("Bark", "Rain", "Speech"), window_seconds=1.28)
training = TrainingParams(batch_size=4, steps=4, steps_per_epoch=2,
  num_validation_scenes=6, frequency_masks=0, time_masks=0, gain_db=(0.0, 0.0),
  scene=SceneParams(duration_seconds=3.0, num_events=(3, 5)))
training = replace(training, **eval(changes))
pools = material.pools(source, params, permissive_only=True)
network, _ = fit.train(params, training, out_folder=out, devices=int(devices),
  material=material.of_scenes(pools, params, training, about={}))
print(sum(float(abs(w).sum()) for w in network.get_weights()))
"""


UNCLIPPED = "{'gradient_clip_norm': 0.0}"


def start(source_folder, out, backend, *, devices=1, hosts="", changes="{}"):
  argv = [str(source_folder), str(out), str(devices), hosts, changes]
  flags = "--xla_backend_optimization_level=0 "  # compiling is what costs
  if backend == "jax" and not hosts:
    flags += "--xla_force_host_platform_device_count=2"
  return subprocess.Popen(
    [sys.executable, "-c", TRAIN, *argv],
    env={
      **os.environ,
      "KERAS_BACKEND": backend,
      "PYTHONPATH": os.getcwd(),
      "XLA_FLAGS": flags if backend == "jax" else "",
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finished(*processes):
  try:
    for process in processes:
      _, error = process.communicate(timeout=1200)
      assert process.returncode == 0, error
  finally:
    for process in processes:
      process.kill()


def log_of(out):
  """{column: float [epochs]} of the run's CSV."""
  with open(out / "log_all.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  return {key: np.array([float(r[key]) for r in rows]) for key in rows[0]}


def assert_same_curve(one, other, *, later=1e-3):
  """The first epoch's loss within 0.1 %, what follows within `later`."""
  one, other = log_of(one), log_of(other)
  assert len(one["loss"]) == 2
  np.testing.assert_allclose(one["loss"][0], other["loss"][0], rtol=1e-3)
  for name in ("loss", "event_f1", "segment_f1"):
    np.testing.assert_allclose(one[name], other[name], rtol=later)


@pytest.fixture(scope="module")
def one_jax_device(source_folder, tmp_path_factory, repository):
  pytest.importorskip("jax")
  os.chdir(repository)
  out = tmp_path_factory.mktemp("jax")
  finished(start(source_folder, out, "jax"))
  return out


def test_two_devices_under_jax(one_jax_device, source_folder, tmp_path):
  finished(start(source_folder, tmp_path, "jax", devices=2))
  assert_same_curve(one_jax_device, tmp_path)


def test_two_hosts_under_jax(one_jax_device, source_folder, tmp_path):
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = probe.getsockname()[1]
  finished(
    *[
      start(source_folder, tmp_path, "jax", hosts=f"localhost:{port},{host}")
      for host in (0, 1)
    ]
  )
  assert_same_curve(one_jax_device, tmp_path)


def test_two_devices_under_tensorflow(
  source_folder, tmp_path, monkeypatch, repository
):
  pytest.importorskip("tensorflow")
  monkeypatch.chdir(repository)
  one, two = tmp_path / "one", tmp_path / "two"
  finished(
    # Keras clips each device's gradients before it adds them up.
    start(source_folder, one, "tensorflow", changes=UNCLIPPED),
    start(source_folder, two, "tensorflow", devices=2, changes=UNCLIPPED),
  )
  # Adam's first steps take the sign of a gradient, however small: rounding
  # that flips a few of them shows in the next epoch.
  assert_same_curve(one, two, later=0.02)


def test_more_devices_than_there_are(
  source_folder, tmp_path, monkeypatch, repository
):
  keras = pytest.importorskip("keras")
  monkeypatch.chdir(repository)
  process = start(source_folder, tmp_path, keras.backend.backend(), devices=4)
  _, error = process.communicate(timeout=600)
  assert process.returncode == 1
  assert "devices must be at most 2" in error.splitlines()[-1]
