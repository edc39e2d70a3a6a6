"""Lengths, pitches, rooms, loops: what is done to sounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.data.synth import effects

RATE = 16_000


def tone(frequency, seconds=1.0, level=0.3):
  time = np.arange(round(seconds * RATE)) / RATE
  return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def peak_hz(sound):
  middle = sound[len(sound) // 8 : -len(sound) // 8]
  spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 17))
  return np.argmax(spectrum) * RATE / (1 << 17)


def middle_rms(sound):
  return np.sqrt(np.mean(np.square(sound[2000:-2000], dtype=np.float64)))


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.2, 2.0])
def test_stretch_keeps_pitch_and_level(factor):
  sound = tone(440)
  size = round(len(sound) * factor)
  longer = effects.stretch(sound, size, rate=RATE)
  assert longer.shape == (size,) and longer.dtype == np.float32
  assert abs(peak_hz(longer) - 440) < 0.5
  assert abs(middle_rms(longer) / middle_rms(sound) - 1) < 0.01


@pytest.mark.parametrize("semitones", [-3.0, 1.5, 3.0])
def test_shift_moves_the_pitch_and_sets_the_length(semitones):
  sound = effects.shift(tone(440), semitones, 14_321, rate=RATE)
  assert len(sound) == 14_321
  assert abs(peak_hz(sound) - 440 * 2 ** (semitones / 12)) < 0.5


def test_stretch_moves_a_click_with_its_time():
  sound = np.zeros(RATE, np.float32)
  sound[8_000] = 1.0
  for factor in (0.8, 1.25):
    moved = effects.stretch(sound, round(RATE * factor), rate=RATE)
    energy = moved.astype(np.float64) ** 2
    centre = np.sum(np.arange(len(moved)) * energy) / energy.sum()
    assert abs(centre - 8_000 * factor) < 0.01 * RATE


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9_000), st.floats(0.7, 1.4), st.integers(0, 9))
def test_lengths_are_exact(size, factor, seed):
  sound = np.random.default_rng(seed).normal(size=size).astype(np.float32)
  wanted = max(1, round(size * factor))
  for made in (
    effects.stretch(sound, wanted, rate=RATE),
    effects.resize(sound, wanted),
    effects.shift(sound, 2.0, wanted, rate=RATE),
  ):
    assert made.shape == (wanted,) and np.isfinite(made).all()
  assert effects.stretch(sound, size, rate=RATE) is sound  # no change


def test_a_room_has_its_direct_path_first_and_decays():
  room = effects.synthetic_room(0.4, 7, RATE)
  assert room[0] == 1.0 and np.abs(room[1:]).max() < 1.0
  np.testing.assert_array_equal(room, effects.synthetic_room(0.4, 7, RATE))
  power = np.square(room[RATE // 50 :], dtype=np.float64)
  energy = np.cumsum(power[::-1])[::-1]  # Schroeder's integral
  at = [int(RATE * t) for t in (0.02, 0.2)]
  fall_db = 10 * np.log10(energy[at[0]] / energy[at[1]])
  # 60 dB in 0.4 s are 27 dB in 0.18 s; what is cut off adds a little.
  assert 24 < fall_db < 31


def test_direct_first():
  response = np.zeros(500, np.float32)
  response[40], response[100] = -0.5, 0.1
  room = effects.direct_first(response, RATE)
  assert len(room) == 460 and abs(room[0]) == 1.0
  assert abs(abs(room[60]) - 0.2) < 1e-6


def test_convolve_is_the_direct_sum():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=301), rng.normal(size=77)
  made = effects.convolve(np.float32(a), np.float32(b))
  np.testing.assert_allclose(made, np.convolve(a, b), atol=1e-4)


def test_loop_has_no_click_and_keeps_the_level():
  sound = 0.2 * np.random.default_rng(0).normal(size=RATE).astype(np.float32)
  made = effects.loop(sound, 5 * RATE, rate=RATE)
  assert len(made) == 5 * RATE
  levels = np.sqrt(np.mean(made.reshape(-1, 800) ** 2, axis=1))  # 50 ms
  assert 0.17 < levels.min() and levels.max() < 0.23
  ramp = np.linspace(0, 1, RATE, dtype=np.float32)  # a jump at its end
  made = effects.loop(ramp, 3 * RATE, rate=RATE)
  assert np.abs(np.diff(made)).max() < 0.01
  np.testing.assert_array_equal(
    effects.loop(sound, 100, rate=RATE), sound[:100]
  )


@pytest.mark.parametrize(
  "kind, fall_db", [("white", 0), ("pink", 3), ("brown", 6)]
)
def test_noise_falls_by_its_decibels_per_octave(kind, fall_db):
  sound = effects.noise(kind, 10 * RATE, seed=3, rate=RATE)
  power = np.abs(np.fft.rfft(sound)) ** 2
  hz = np.arange(len(power)) / 10
  bands = [
    power[(hz >= low) & (hz < 2 * low)].mean() for low in (200, 400, 800, 1600)
  ]
  falls = -10 * np.log10(np.divide(bands[1:], bands[:-1]))
  np.testing.assert_allclose(falls, fall_db, atol=0.5)


def test_duck_lowers_a_span_and_nothing_far_from_it():
  sound = np.ones(3 * RATE, np.float32)
  made = effects.duck(sound, [(RATE, 2 * RATE, 12.0)], RATE)
  np.testing.assert_allclose(made[RATE : 2 * RATE], 10 ** (-12 / 20), rtol=1e-5)
  assert (made[: RATE // 2] == 1).all() and (made[-RATE // 2 :] == 1).all()
