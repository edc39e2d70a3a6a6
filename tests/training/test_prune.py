"""Pruning as a network trains: exact zeros, which stay, also after a kill."""

import os
import subprocess
import sys

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from yoho_tf.training import prune, resume  # noqa: E402

SPARSITY = 0.6
BATCHES = 5  # of an epoch


def model():
  keras.utils.set_random_seed(0)
  layers = keras.layers
  network = keras.Sequential(
    [
      layers.Input((6, 6, 2)),
      layers.Conv2D(4, 3, name="conv"),
      layers.DepthwiseConv2D(3, name="depthwise"),
      layers.Flatten(),
      layers.Dense(3, name="dense"),
    ],
    name="network",
  )
  network.compile(keras.optimizers.Adam(0.01), "mse")
  return network


def fit(network, epochs, *, initial_epoch=0, state=None, end_step=10):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(4 * BATCHES, 6, 6, 2)).astype("float32")
  shares = []
  callbacks = [
    prune.Pruning(network, sparsity=SPARSITY, end_step=end_step, every_steps=3),
    keras.callbacks.LambdaCallback(
      on_train_batch_end=lambda batch, logs: shares.append(zeros(network))
    ),
  ]
  if state:
    callbacks.append(resume.SaveState(state))
  network.fit(
    x,
    np.tanh(x[:, 0, :3, 0]),
    batch_size=4,
    epochs=epochs,
    initial_epoch=initial_epoch,
    shuffle=False,
    verbose=0,
    callbacks=callbacks,
  )
  return shares


def zeros(network):
  """Number of zeros in each kernel."""
  return [
    int(np.sum(np.asarray(kernel) == 0)) for kernel in prune.kernels(network)
  ]


def exact(network):
  return [
    round(SPARSITY * np.asarray(kernel).size)
    for kernel in prune.kernels(network)
  ]


def test_the_zeros_grow_to_the_exact_share_and_stay():
  network = model()
  shares = fit(network, 4)
  assert shares[9:] == [exact(network)] * (4 * BATCHES - 9)
  first = [row[0] for row in shares]
  assert first == sorted(first) and 0 < first[2] < first[5] < first[9]
  # Cubic: most of them in the first half.
  assert first[5] > 0.8 * first[9]
  assert np.all(network.get_layer("depthwise").get_weights()[0] != 0)


def test_the_least_go_and_the_rest_train():
  network = model()
  before = network.get_weights()
  fit(network, 1, end_step=1)  # all in the first step
  mask = np.asarray(network.get_layer("conv").kernel) != 0
  magnitude = np.abs(before[0])  # nearly those after a step of 0.01
  assert magnitude[mask].min() > magnitude[~mask].max() - 0.05
  assert np.all(network.get_weights()[0][mask] != before[0][mask])


@pytest.mark.large
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_run_goes_on_with_its_masks(killed_after, tmp_path):
  """Before and after the last zeros were made."""
  whole = model()
  fit(whole, 4)
  fit(model(), killed_after, state=tmp_path / "state.npz")
  again = model()
  with pytest.raises(ValueError, match="must hold the .* it holds"):
    resume.restore(tmp_path / "state.npz", again)  # no optimizer variables yet
  again.optimizer.build(again.trainable_variables)
  start = resume.restore(tmp_path / "state.npz", again)
  assert start == killed_after
  fit(again, 4, initial_epoch=start)
  for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
    np.testing.assert_array_equal(one, other)
  assert zeros(again) == exact(again)


def test_under_jax(repository):
  pytest.importorskip("jax")
  done = subprocess.run(
    [sys.executable, "-m", "pytest", "-q", "-k", "zeros or least", __file__],
    cwd=repository,
    env={**os.environ, "KERAS_BACKEND": "jax"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("sparsity", [0.0, 1.0, -0.5])
def test_a_share_that_cannot_be(sparsity):
  with pytest.raises(ValueError, match=r"sparsity must lie in \(0, 1\)"):
    prune.Pruning(model(), sparsity=sparsity, end_step=3)


def test_steps_that_cannot_be():
  with pytest.raises(ValueError, match="less than end_step; received 5 and 5"):
    prune.Pruning(model(), sparsity=0.5, begin_step=5, end_step=5)
