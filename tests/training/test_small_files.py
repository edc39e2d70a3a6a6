"""Training for small files: rounding and zeros, through `fit.train`."""

from dataclasses import replace

import numpy as np
import pytest

from tests import small
from yoho_tf.params import PRESETS, SceneParams, TrainingParams

keras = pytest.importorskip("keras")

from yoho_tf.deploy import quantize  # noqa: E402
from yoho_tf.models import yoho  # noqa: E402
from yoho_tf.training import fit, material, prune  # noqa: E402

PARAMS = replace(
  PRESETS["yoho_everyday_small"],
  width=0.125,
  labels=("Bark", "Rain", "Speech"),
  window_seconds=1.28,
)
TRAINING = TrainingParams(
  batch_size=2,
  steps=2,
  steps_per_epoch=1,
  warmup_steps=0,
  learning_rate=1e-5,
  num_validation_scenes=4,
  scene=SceneParams(duration_seconds=3.0, num_events=(3, 5)),
)


@pytest.fixture
def train(source_folder, eager_steps, tmp_path):
  start = tmp_path / "start.weights.h5"
  keras.utils.set_random_seed(3)
  network = yoho.build(replace(PARAMS, input="log_mel"))
  small.draw_kernels(network)  # others fade, and 8 bits make nothing of them
  network.save_weights(start)

  def run(**changes):
    training = replace(TRAINING, **changes)
    pools = material.pools(source_folder, PARAMS, permissive_only=True)
    stuff = material.of_scenes(pools, PARAMS, training, about={})
    found, _ = fit.train(
      PARAMS,
      training,
      material=stuff,
      out_folder=tmp_path / "run",
      initial_weights=start,
      log=lambda line: None,
    )
    return network, found

  return run


@pytest.mark.large
def test_one_run_learns_both_and_gives_a_float_network(train, tmp_path):
  before, after = train(quantize_aware=True, sparsity=0.5)
  names = [layer.name for layer in before.layers]
  assert [layer.name for layer in after.layers] == names
  one, other = quantize.folded(before), quantize.folded(after)
  name = "layer17_pointwise_conv"
  kernel = other[name][0]
  change = np.abs(one[name][0] - kernel)[kernel != 0].max()
  assert 0 < change < 1e-3  # it trained, a little
  for kernel in prune.kernels(after):
    values = np.asarray(kernel)
    assert np.sum(values == 0) == round(0.5 * values.size)
  # What is kept as the best, and was measured, is the twin.
  twin = quantize.fake_quant(before)
  twin.load_weights(tmp_path / "run" / "best.weights.h5")
  np.testing.assert_allclose(
    twin.get_layer(name).kernel, other[name][0], atol=1e-6
  )
  assert not (tmp_path / "run" / "log_head.csv").exists()


def test_quantize_aware_training_starts_from_trained_weights(tmp_path):
  with pytest.raises(ValueError, match="initial_weights.*received None"):
    fit.train(
      PARAMS,
      replace(TRAINING, quantize_aware=True),
      material=None,
      out_folder=tmp_path,
    )


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"sparsity": 1.0}, r"sparsity must lie in \[0, 1\)"),
    ({"sparsity": 0.5, "ema_momentum": 0.9}, "ema_momentum must be 0 with"),
    (
      {"quantize_aware": True, "learning_rate": 3e-4},
      "learning_rate must be at most 0.0001 with quantize_aware",
    ),
    (
      {"quantize_aware": True, "precision": "mixed_bfloat16"},
      "precision must be float32",
    ),
  ],
)
def test_settings_that_do_not_fit(changes, words):
  with pytest.raises(ValueError, match=words):
    replace(TRAINING, **changes)
