"""Masks: where, how wide, filled with what, and only in training."""

import numpy as np
import pytest

from tests.harness import check_layer, to_numpy
from yoho_tf.layers.augment import SpecAugment

FRAMES, BANDS = 200, 64


def log_mel(batch=32, seed=0):
  """Noise on both sides of each example's mean, but never equal to it."""
  random = np.random.default_rng(seed)
  values = random.choice([-1, 1], (batch, FRAMES, BANDS))
  values = values * random.uniform(1, 2, values.shape)
  means = np.linspace(-60, -20, batch)[:, None, None]
  return (values + means).astype(np.float32)


def masked(layer, x):
  """bool [batch, frames, bands]: where training changed the input."""
  return to_numpy(layer(x, training=True)) != x


def test_nothing_happens_outside_training():
  x = log_mel(2)
  layer = SpecAugment()
  np.testing.assert_array_equal(
    check_layer(layer, x, output_shape=x.shape, training=False), x
  )
  np.testing.assert_array_equal(to_numpy(layer(x)), x)


def test_masks_hold_the_mean_of_their_example():
  x = log_mel()
  layer = SpecAugment()
  y = to_numpy(layer(x, training=True))
  changed = y != x
  assert changed.any()
  means = np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
  np.testing.assert_allclose(y[changed], means[changed], rtol=0, atol=1e-3)


def test_widths_reach_their_limits_and_stay_within():
  x = log_mel(256)
  bands = masked(SpecAugment(time_masks=0), x)
  assert (bands.all(axis=1) == bands.any(axis=1)).all()  # all frames or none
  widths = bands[:, 0].sum(axis=1)
  assert widths.min() == 0 and widths.max() == 7
  assert len(set(widths)) == 8  # uniform on 0..7
  edges = np.abs(np.diff(bands[:, 0].astype(int), axis=1, prepend=0)).sum(1)
  assert edges.max() <= 2  # one run
  assert bands[:, 0, 0].any() and bands[:, 0, -1].any()

  frames = masked(SpecAugment(frequency_masks=0, time_masks=1), x)
  assert (frames.all(axis=2) == frames.any(axis=2)).all()
  widths = frames[:, :, 0].sum(axis=1)
  assert widths.min() <= 1 and 23 <= widths.max() <= 24
  frames = masked(SpecAugment(frequency_masks=0), x)[:, :, 0]
  assert 24 < frames.sum(axis=1).max() <= 48  # two masks


def test_examples_have_masks_of_their_own():
  changed = masked(SpecAugment(), log_mel())
  assert len({mask.tobytes() for mask in changed}) > 25


def test_masks_differ_by_step_and_repeat_by_seed():
  x = log_mel(8)
  first, second = SpecAugment(seed=3), SpecAugment(seed=3)
  once, again = masked(first, x), masked(first, x)
  assert (once != again).any()
  np.testing.assert_array_equal(masked(second, x), once)
  assert (masked(SpecAugment(seed=4), x) != once).any()


@pytest.mark.parametrize("training", [False, True])
def test_promises(training):
  x = log_mel(2)
  check_layer(SpecAugment(seed=1), x, output_shape=x.shape, training=training)


def test_masks_wider_than_the_input_are_no_error():
  x = log_mel(4)[:, :3, :2]
  y = to_numpy(SpecAugment()(x, training=True))
  assert y.shape == x.shape and np.isfinite(y).all()
