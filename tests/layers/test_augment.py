"""Masks, gains, filters and noise: how much, per example, only in training."""

import numpy as np
import pytest

from tests.harness import check_layer, to_numpy
from yoho_tf.layers.augment import (
  RandomFilter,
  RandomGain,
  RandomNoise,
  SpecAugment,
)

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


# ---- waveforms --------------------------------------------------------------

SAMPLES = 4000
RATE = 16_000


def waveforms(batch=16, samples=SAMPLES, seed=0):
  random = np.random.default_rng(seed)
  return random.normal(0, 0.1, (batch, samples)).astype(np.float32)


def rms_db(x):
  return 10 * np.log10(np.mean(np.square(x, dtype=np.float64), axis=-1))


@pytest.mark.parametrize("layer", [RandomGain, RandomFilter, RandomNoise])
def test_promises_of_waveform_layers(layer):
  x = waveforms(4)
  check_layer(layer(seed=1), x, output_shape=x.shape, training=True)
  same = check_layer(layer(), x, output_shape=x.shape, training=False)
  np.testing.assert_array_equal(same, x)
  np.testing.assert_array_equal(to_numpy(layer()(x)), x)
  never = layer(probability=0.0)
  np.testing.assert_array_equal(to_numpy(never(x, training=True)), x)
  with pytest.raises(ValueError, match="probability must lie in 0..1, got 2"):
    layer(probability=2)


@pytest.mark.parametrize("layer", [RandomGain, RandomFilter, RandomNoise])
def test_each_example_and_step_draws_its_own(layer):
  x = np.repeat(waveforms(1), 64, axis=0)
  first, second = layer(seed=3), layer(seed=3)
  once, again = (to_numpy(first(x, training=True)) for _ in range(2))
  assert len({row.tobytes() for row in once}) == 64
  assert (once != again).any()
  np.testing.assert_array_equal(to_numpy(second(x, training=True)), once)
  half = to_numpy(layer(probability=0.5, seed=5)(x, training=True))
  assert 16 < (half == x).all(axis=1).sum() < 48


def test_gain_is_one_factor_within_its_range():
  x = waveforms(400)
  y = to_numpy(RandomGain()(x, training=True))
  gain = rms_db(y) - rms_db(x)
  assert -20 <= gain.min() < -18 and 5 < gain.max() <= 6.001
  np.testing.assert_allclose(
    y, x * 10 ** (gain[:, None] / 20), rtol=1e-4, atol=1e-6
  )


def test_filter_at_0_db_is_the_identity():
  x = waveforms(3, 5001)
  y = to_numpy(RandomFilter(gain_db=(0.0, 0.0))(x, training=True))
  np.testing.assert_allclose(y, x, rtol=0, atol=1e-5)


def test_filter_has_bands_and_no_delay():
  """The response to an impulse: symmetric, 129 taps, 3 to 6 levels."""
  x = np.zeros((200, 1001), np.float32)
  x[:, 500] = 1
  layer, twin = RandomFilter(seed=2), RandomFilter(seed=2)
  y = to_numpy(layer(x, training=True))
  np.testing.assert_allclose(y, y[:, ::-1], atol=1e-5)
  assert abs(y[:, :436]).max() < 1e-5 and abs(y[:, 436:500]).max() > 0.01
  level = to_numpy(twin.response_db(200))
  counts = [len(set(row.tolist())) for row in level]
  assert max(counts) == 6 and np.mean(np.array(counts) >= 3) > 0.8
  assert -6 <= level.min() < -5.5 and 5.5 < level.max() <= 6
  # In the middle of wide bands the filter has the level that was drawn.
  got = 20 * np.log10(np.abs(np.fft.rfft(y[:, 436:565], 128 * 8)))
  flat = np.array(
    [
      [len(set(row[max(k - 6, 0) : k + 7])) == 1 for k in range(65)]
      for row in level
    ]
  )
  at = np.round(np.arange(65) * 2 / 129 * 512).astype(int)  # bins of 129
  np.testing.assert_allclose(got[:, at][flat], level[flat], atol=0.5)


def test_noise_has_the_drawn_level():
  x = waveforms(200)
  x[0] = 0
  y = to_numpy(RandomNoise(snr_db=(10.0, 20.0))(x, training=True))
  np.testing.assert_array_equal(y[0], 0)  # silence stays silent
  snr = rms_db(x[1:]) - rms_db(y[1:] - x[1:])
  assert 9.7 < snr.min() < 11 and 19 < snr.max() < 20.3
