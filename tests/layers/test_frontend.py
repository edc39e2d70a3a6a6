"""Front ends: against independent float64 code, tf.signal and librosa."""

import sys

import keras
import numpy as np
import pytest
from keras import ops

from tests.harness import check_layer, to_numpy
from yoho_tf.layers import frontend, mel
from yoho_tf.params import PRESETS, FrontendParams, YamnetParams

RATE = 16_000
TRANSFORMS = ("dft", "rfft")
PAPER_PRESETS = ("yoho_music_speech", "yoho_tut2017", "yoho_urban_sed")


def chirp(num_samples, rate, low_hz=20.0):
  """A full-scale sweep from `low_hz` to just below half the rate."""
  t = np.arange(num_samples) / rate
  high_hz, seconds = 0.45 * rate, num_samples / rate
  return np.sin(2 * np.pi * (low_hz + (high_hz - low_hz) * t / seconds / 2) * t)


def three_seconds():
  """{name: float32 [48000]}: silence, noise, sine, chirp."""
  noise = np.random.RandomState(51773).uniform(-1, 1, 3 * RATE)
  signals = {
    "silence": np.zeros(3 * RATE),
    "noise": noise,
    "sine": np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE),
    "chirp": chirp(3 * RATE, RATE),
  }
  return {name: x.astype(np.float32) for name, x in signals.items()}


SIGNALS = three_seconds()


# A full-scale tone leaves most bands empty but for the rounding noise of
# float32, which reaches the log offset. `tf.signal` itself is up to 0.012 off
# the float64 reference on a sweep; so is "rfft", which uses the same FFT.
TOLERANCE = {
  "dft": {"sine": 1e-2, "chirp": 1e-2},
  "rfft": {"sine": 1e-2, "chirp": 2e-2},
}


def yamnet_layer(transform="dft", **changes):
  return frontend.log_mel_layer(FrontendParams(transform=transform, **changes))


def yoho_layer(name, **changes):
  params = PRESETS[name].frontend
  config = {**frontend.log_mel_layer(params).get_config(), **changes}
  return frontend.YohoLogMel(**config)


def features(layer, waveform):
  """[samples] -> [frames, bands]."""
  return to_numpy(layer(waveform[None]))[0]


# ---- an independent reference, float64 --------------------------------------


def mel_of(frequency_hz):
  return 1127 * np.log(1 + frequency_hz / 700)


def reference_mel_matrix():
  """[257, 64], one triangle at a time."""
  low, high = mel_of(125.0), mel_of(7500.0)
  step = (high - low) / 65
  matrix = np.zeros((257, 64))
  for k in range(1, 257):
    m = mel_of(k * RATE / 512)
    for band in range(64):
      centre = low + (band + 1) * step
      matrix[k, band] = max(0.0, 1 - abs(m - centre) / step)
  return matrix


def reference_log_mel(waveform):
  """float [samples] -> float64 [frames, 64], a plain Fourier sum."""
  waveform = np.asarray(waveform, np.float64)
  frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160]
  window = np.sin(np.pi * np.arange(400) / 400) ** 2
  angle = 2 * np.pi * np.outer(np.arange(400), np.arange(257)) / 512
  spectrum = (frames * window) @ np.exp(-1j * angle)  # [frames, 257]
  return np.log(np.abs(spectrum) @ reference_mel_matrix() + 0.001)


# ---- dialect yamnet ---------------------------------------------------------


def test_mel_matrix_goldens():
  matrix = mel.htk_mel_matrix(
    fft_length=512,
    sample_rate_hz=RATE,
    mel_bands=64,
    mel_min_hz=125.0,
    mel_max_hz=7500.0,
  )
  assert matrix.shape == (257, 64)
  assert np.flatnonzero(matrix.any(axis=1)).tolist() == list(range(5, 240))
  assert matrix.any(axis=0).all()  # no empty band
  bins = {band: np.flatnonzero(matrix[:, band]) for band in (0, 1, 31, 62, 63)}
  assert matrix[5, 0] == pytest.approx(0.94769, abs=5e-6)
  assert {b: (k[0], k[-1]) for b, k in bins.items()} == {
    0: (5, 5),
    1: (5, 6),
    31: (57, 62),
    62: (214, 230),
    63: (223, 239),
  }
  sums = matrix.sum(axis=0)[[0, 1, 31, 63]]
  np.testing.assert_allclose(sums, [0.948, 0.985, 2.889, 8.944], atol=5e-4)
  np.testing.assert_allclose(matrix, reference_mel_matrix(), atol=1e-12)


def test_mel_matrix_equals_tf_signal():
  tf = pytest.importorskip("tensorflow")
  theirs = tf.signal.linear_to_mel_weight_matrix(64, 257, RATE, 125.0, 7500.0)
  ours = mel.htk_mel_matrix(
    fft_length=512,
    sample_rate_hz=RATE,
    mel_bands=64,
    mel_min_hz=125.0,
    mel_max_hz=7500.0,
  )
  np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_log_mel_goldens(transform):
  layer = yamnet_layer(transform)
  sine = features(layer, SIGNALS["sine"])
  assert sine.shape == (298, 64)
  expected = (
    "-3.5514 -2.2104 -1.6016 -1.4363 -1.7502 0.3320 1.9943 3.8808 4.7822 "
    "4.3387 2.4837 0.1493"
  )
  expected = [float(digits) for digits in expected.split()]
  np.testing.assert_allclose(sine[0, :12], expected, rtol=0, atol=1e-2)
  assert sine[0].argmax() == 8
  noise = features(layer, SIGNALS["noise"])
  first = [1.3782, 1.5274, 1.7360, 1.7395]
  np.testing.assert_allclose(noise[0, :4], first, rtol=0, atol=1e-4)
  later = [2.1370, 3.2771, 3.7192]
  np.testing.assert_allclose(noise[100, [0, 31, 63]], later, rtol=0, atol=1e-4)
  silence = features(layer, SIGNALS["silence"])
  np.testing.assert_allclose(silence, -6.907755, rtol=0, atol=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_log_mel_equals_float64_reference(transform):
  layer = yamnet_layer(transform)
  for name, waveform in SIGNALS.items():
    error = np.abs(features(layer, waveform) - reference_log_mel(waveform))
    assert error.max() <= TOLERANCE[transform].get(name, 1e-4), name


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_log_mel_equals_tf_signal(transform):
  tf = pytest.importorskip("tensorflow")
  matrix = tf.signal.linear_to_mel_weight_matrix(64, 257, RATE, 125.0, 7500.0)
  layer = yamnet_layer(transform)
  for name, waveform in SIGNALS.items():
    spectrum = tf.abs(tf.signal.stft(waveform, 400, 160, 512))
    theirs = tf.math.log(tf.matmul(spectrum, matrix) + 0.001).numpy()
    error = np.abs(features(layer, waveform) - theirs)
    assert error.max() <= TOLERANCE["rfft"].get(name, 1e-4), name


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_speech_equals_float64_reference(transform, shared):
  path = shared / "yamnet" / "coral_spectra.npz"
  if not path.is_file():
    pytest.skip("test data absent: ../shared/data/yamnet")
  data = np.load(path)
  waveform = data["audio"].astype(np.float32) / 32768
  ours = features(yamnet_layer(transform), waveform)
  assert ours.shape == data["spectrogram"].shape == (96, 64)
  assert np.abs(ours - reference_log_mel(waveform)).max() <= 1e-4
  # The Coral board's own front end is near, not equal: another fixed point.
  theirs = data["spectrogram"]
  assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] >= 0.9999
  assert np.abs(ours - theirs).max() > 0.5


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("samples", [400, 559, 560, 15_600, 16_001])
def test_frames_are_neither_centred_nor_padded(transform, samples):
  waveform = np.random.default_rng(0).uniform(-1, 1, (2, samples))
  layer = yamnet_layer(transform)
  frames = 1 + (samples - 400) // 160
  out = check_layer(
    layer, waveform.astype(np.float32), output_shape=(2, frames, 64)
  )
  moved = np.pad(waveform, [(0, 0), (160, 0)]).astype(np.float32)
  np.testing.assert_allclose(to_numpy(layer(moved))[:, 1:], out, atol=1e-5)


def test_rows_of_a_batch_do_not_meet():
  batch = np.stack([SIGNALS["noise"], 1e-3 * SIGNALS["noise"]])
  together = to_numpy(yamnet_layer()(batch))
  for row, alone in zip(together, batch):
    np.testing.assert_allclose(row, features(yamnet_layer(), alone), atol=1e-5)


# ---- dialect yoho -----------------------------------------------------------


def window_signals(params):
  """{name: float32 [samples]} of one window of a preset."""
  samples, rate = params.window_samples, params.frontend.sample_rate_hz
  click = np.zeros(samples)
  click[samples // 3] = 0.5
  noise = np.random.RandomState(1).uniform(-0.3, 0.3, samples)
  signals = {
    "noise": noise,
    "chirp": chirp(samples, rate),
    "click": click,
    "silence": np.zeros(samples),
  }
  return {name: x.astype(np.float32) for name, x in signals.items()}


@pytest.fixture(scope="module")
def librosa():
  """librosa without its compiled loops, none of which is used here.

  It compiles them at import, which takes half a minute the first time.
  """
  numba = pytest.importorskip("numba")

  def as_it_is(*args, **kwargs):
    if args and callable(args[0]):
      return args[0]
    return lambda function: function

  with pytest.MonkeyPatch.context() as patch:
    for name in ("jit", "vectorize", "guvectorize", "stencil"):
      patch.setattr(numba, name, as_it_is)
    loaded = pytest.importorskip("librosa")
    assert loaded.feature and loaded.filters  # imports them
    yield loaded
  for name in [*sys.modules]:
    if name.split(".")[0] == "librosa":
      del sys.modules[name]


def librosa_db(librosa, waveform, params, pad_mode):
  """float [samples] -> float64 [frames, bands], after peak normalisation."""
  waveform = np.asarray(waveform, np.float64)
  waveform = waveform / (np.abs(waveform).max() or 1)
  power = librosa.feature.melspectrogram(
    y=waveform,
    sr=params.sample_rate_hz,
    n_fft=params.fft_length,
    win_length=params.stft_window_samples,
    hop_length=params.stft_hop_samples,
    n_mels=params.mel_bands,
    fmin=params.mel_min_hz,
    fmax=params.mel_max_hz,
    pad_mode=pad_mode,
    dtype=np.float64,
  )
  return librosa.power_to_db(power, amin=params.amin, top_db=params.top_db).T


def reference_db(waveform, params):
  """float [samples] -> float64 [frames, bands], with reflected edges."""
  samples, hop = params.stft_window_samples, params.stft_hop_samples
  size, rate = params.fft_length, params.sample_rate_hz
  waveform = np.asarray(waveform, np.float64)
  waveform = np.pad(
    waveform / (np.abs(waveform).max() or 1), size // 2, "reflect"
  )
  window = np.zeros(size)
  first = (size - samples) // 2
  window[first : first + samples] = (
    np.sin(np.pi * np.arange(samples) / samples) ** 2
  )
  frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop]
  power = np.abs(np.fft.rfft(frames * window)) ** 2  # [frames, bins]

  # Slaney's scale as a table: 200 / 3 Hz a step to 1 kHz, then 27 steps for a
  # factor of 6.4; its corner lies on a step.
  steps = np.arange(0, 70, 0.001)
  hz = np.where(steps < 15, steps * 200 / 3, 1000 * 6.4 ** ((steps - 15) / 27))
  low, high = np.interp([params.mel_min_hz, params.mel_max_hz], hz, steps)
  edges = np.interp(np.linspace(low, high, params.mel_bands + 2), steps, hz)
  bins_hz = np.arange(size // 2 + 1) * rate / size
  mel_power = np.stack(
    [
      power @ np.interp(bins_hz, edges[b : b + 3], [0, 2 / width, 0])
      for b, width in enumerate(edges[2:] - edges[:-2])
    ],
    axis=1,
  )
  db = 10 * np.log10(np.maximum(mel_power, params.amin))
  return np.maximum(db, db.max() - params.top_db)


@pytest.mark.parametrize("name", PAPER_PRESETS[:2])
def test_yoho_dialect_equals_float64_reference(name):
  params = PRESETS[name]
  signals = window_signals(params)
  batch = to_numpy(yoho_layer(name)(np.stack(list(signals.values()))))
  for (kind, waveform), ours in zip(signals.items(), batch):
    error = np.abs(ours - reference_db(waveform, params.frontend))
    assert error.max() <= 1e-2, (kind, error.max())
    assert error.mean() <= 1e-3, (kind, error.mean())


@pytest.mark.parametrize(
  ("name", "transform", "pad_mode"),
  [
    *((name, "rfft", "reflect") for name in PAPER_PRESETS),
    *((name, "rfft", "constant") for name in PAPER_PRESETS),
    ("yoho_music_speech", "dft", "reflect"),
    ("yoho_tut2017", "dft", "reflect"),
  ],
)
def test_yoho_dialect_equals_librosa(librosa, name, transform, pad_mode):
  params = PRESETS[name]
  signals = window_signals(params)
  layer = yoho_layer(name, transform=transform, pad_mode=pad_mode)
  batch = to_numpy(layer(np.stack(list(signals.values()))))
  for (kind, waveform), ours in zip(signals.items(), batch):
    theirs = librosa_db(librosa, waveform, params.frontend, pad_mode)
    assert (
      ours.shape
      == theirs.shape
      == (
        params.window_frames,
        params.frontend.mel_bands,
      )
    )
    error = np.abs(ours - theirs)
    assert error.max() <= 1e-2, (kind, error.max())
    assert error.mean() <= 1e-3, (kind, error.mean())


def test_slaney_matrix_equals_librosa(librosa):
  for name in ("yoho_music_speech", "yoho_tut2017"):
    params = PRESETS[name].frontend
    ours = mel.slaney_mel_matrix(
      fft_length=params.fft_length,
      sample_rate_hz=params.sample_rate_hz,
      mel_bands=params.mel_bands,
      mel_min_hz=params.mel_min_hz,
      mel_max_hz=params.mel_max_hz,
    )
    theirs = librosa.filters.mel(
      sr=params.sample_rate_hz,
      n_fft=params.fft_length,
      n_mels=params.mel_bands,
      fmin=params.mel_min_hz,
      fmax=params.mel_max_hz,
      dtype=np.float64,
    )
    np.testing.assert_allclose(ours, theirs.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
  ("name", "frames", "bands"),
  [
    ("yoho_music_speech", 801, 64),
    ("yoho_tut2017", 257, 40),
    ("yoho_urban_sed", 1001, 40),
  ],
)
def test_yoho_dialect_promises(name, frames, bands):
  params = PRESETS[name]
  signals = window_signals(params)
  pair = np.stack([1e-2 * signals["noise"], signals["chirp"]])
  check_layer(yoho_layer(name), pair, output_shape=(2, frames, bands))
  layer = yoho_layer(name)
  quiet = features(layer, pair[0])
  # A loud neighbour changes nothing; nor does the level of the window itself.
  np.testing.assert_allclose(to_numpy(layer(pair))[0], quiet, atol=1e-4)
  loud = features(layer, signals["noise"])
  np.testing.assert_allclose(loud, quiet, rtol=0, atol=1e-3)
  silence = features(layer, signals["silence"])
  lowest = 10 * np.log10(params.frontend.amin)
  np.testing.assert_allclose(silence, lowest, rtol=0, atol=1e-4)
  click = features(layer, signals["click"])
  floor = max(lowest, click.max() - 80)
  assert click.min() == pytest.approx(floor, abs=1e-3)


# ---- padding and patches ----------------------------------------------------

# samples, padded, frames, patches
PADDING = [
  (100, 15_600, 96, 1),
  (15_600, 15_600, 96, 1),
  (15_601, 23_280, 144, 2),
  (16_000, 23_280, 144, 2),
  (23_280, 23_280, 144, 2),
  (23_281, 30_960, 192, 3),
  (48_000, 54_000, 336, 6),
  (160_000, 161_520, 1_008, 20),
]


def pad_layer(params=YamnetParams()):  # noqa: B008 (frozen)
  covered = params.min_samples - params.patch_hop_samples
  return frontend.PadWaveform(
    step=params.patch_hop_samples, extra=covered, covered=covered
  )


@pytest.mark.parametrize(("samples", "padded", "frames", "patches"), PADDING)
def test_padding_table(samples, padded, frames, patches):
  params = YamnetParams()
  assert params.padded_samples(samples) == padded
  assert params.num_patches(samples) == patches
  # 2049 / 2048 is lost in float16: the waveform must never pass through it.
  waveform = np.full((2, samples), 2049 / 2048, np.float32)
  out = check_layer(pad_layer(), waveform, output_shape=(2, padded))
  np.testing.assert_array_equal(out[:, :samples], waveform)
  assert not out[:, samples:].any()
  assert 1 + (padded - 400) // 160 == frames
  assert 1 + (frames - 96) // 48 == patches


@pytest.mark.parametrize("hop_seconds", [0.01, 0.1, 0.48, 0.96])
def test_padding_follows_the_patch_hop(hop_seconds):
  params = YamnetParams(patch_hop_seconds=hop_seconds)
  hop = round(hop_seconds * RATE)
  layer = pad_layer(params)
  for samples in (1, 15_599, 15_600, 15_601, 15_600 + hop, 15_601 + hop):
    missing = max(0, samples - 15_600)
    padded = 15_600 + -(-missing // hop) * hop
    assert params.padded_samples(samples) == padded
    assert layer(np.ones((1, samples), np.float32)).shape == (1, padded)


@pytest.mark.parametrize(
  ("samples", "padded"),
  [(1, 5_360), (5_120, 5_360), (5_121, 10_480), (16_000, 20_720)],
)
def test_padding_of_whole_cells(samples, padded):
  layer = frontend.PadWaveform(step=5_120, extra=240, covered=0)
  waveform = np.ones((1, samples), np.float32)
  check_layer(layer, waveform, output_shape=(1, padded))


@pytest.mark.parametrize(
  ("frames", "hop", "patches"), [(96, 48, 1), (143, 48, 1), (336, 48, 6)]
)
def test_patch_p_holds_its_frames(frames, hop, patches):
  log_mel = np.arange(2 * frames * 4, dtype=np.float32).reshape(2, frames, 4)
  layer = frontend.Patches(patch_frames=96, hop_frames=hop)
  out = check_layer(
    layer, log_mel, output_shape=(2 * patches, 96, 4), is_float32=False
  )
  for row in range(2):
    for patch in range(patches):
      expected = log_mel[row, patch * hop : patch * hop + 96]
      np.testing.assert_array_equal(out[row * patches + patch], expected)


def test_unfold_gives_the_patch_axis_back():
  folded = np.arange(2 * 3 * 5, dtype=np.float32).reshape(6, 5)
  out = check_layer(
    frontend.Unfold(dtype="float32"),
    [folded, np.zeros((2, 9), np.float32)],
    output_shape=(2, 3, 5),
    is_float32=False,
  )
  np.testing.assert_array_equal(out.reshape(6, 5), folded)


def test_frames_that_do_not_fit_are_an_error():
  layer = frontend.CheckFrames(32)
  log_mel = np.zeros((1, 64, 4), np.float32)
  check_layer(layer, log_mel, output_shape=(1, 64, 4), is_float32=False)
  with pytest.raises(ValueError, match="multiple of 32 frames; received 65"):
    layer(np.zeros((1, 65, 4), np.float32))


def test_short_keras_stft_is_not_this_front_end():
  """The trap: `keras.ops.stft` centres 400 samples in 512, 56 too early."""
  waveform = SIGNALS["noise"][None]
  stft = dict(sequence_length=400, sequence_stride=160, fft_length=512)
  window = mel.hann_window(400).astype("float32")
  real, imag = ops.stft(
    np.pad(waveform, [(0, 0), (56, 56)]), window=window, center=False, **stft
  )
  magnitude = to_numpy(ops.sqrt(real**2 + imag**2))[0]
  theirs = np.log(magnitude @ reference_mel_matrix() + 0.001)
  assert len(theirs) == 298
  np.testing.assert_allclose(
    features(yamnet_layer(), waveform[0]), theirs, rtol=0, atol=1e-4
  )


def test_front_end_has_no_weights():
  for layer in (yamnet_layer(), yoho_layer("yoho_tut2017")):
    assert not layer.trainable and not layer.weights
    assert isinstance(layer, keras.Layer)
