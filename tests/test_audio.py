"""Audio in: formats, resampling, input rules."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf import audio, audio_checks, resampling, windows
from yoho_tf.audio import AudioError


def sine(sample_rate_hz, *, seconds=1.0, hz=440.0, amplitude=0.5):
  time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
  return amplitude * np.sin(2 * np.pi * hz * time)


def noise(num_samples, *, num_channels=1, seed=0):
  shape = (num_samples, num_channels)
  # Quiet: lossy codecs overshoot, and a peak above 1 warns.
  return np.random.default_rng(seed).uniform(-0.3, 0.3, shape)


@pytest.fixture
def save(tmp_path):
  def _save(name, samples, sample_rate_hz=16000, subtype=None):
    path = tmp_path / name
    soundfile.write(path, samples, sample_rate_hz, subtype=subtype)
    return path

  return _save


def message(call, *args, **kwargs):
  """The text of the AudioError that the call raises: always one line."""
  with pytest.raises(AudioError) as caught:
    call(*args, **kwargs)
  text = str(caught.value)
  assert text and "\n" not in text
  text.encode("utf-8")
  return text


# --- Decoding ----------------------------------------------------------------


@pytest.mark.parametrize(
  ("name", "subtype", "tolerance"),
  [
    ("a.wav", "PCM_16", 1e-4),
    ("a.wav", "PCM_24", 1e-6),
    ("a.wav", "PCM_32", 1e-7),
    ("a.wav", "PCM_U8", 1e-2),
    ("a.wav", "FLOAT", 1e-7),
    ("a.wav", "DOUBLE", 1e-7),
    ("a.wav", "ULAW", 3e-2),
    ("a.flac", "PCM_16", 1e-4),
    ("a.flac", "PCM_24", 1e-6),
    ("a.ogg", "VORBIS", 4e-2),
    ("a.mp3", "MPEG_LAYER_III", 4e-2),
    ("a.aiff", "PCM_16", 1e-4),
  ],
)
def test_round_trip_of_formats(save, name, subtype, tolerance):
  stereo = np.stack([sine(16000), sine(16000, hz=700)], axis=1)
  path = save(name, stereo, 16000, subtype)
  waveform = audio.read(path)
  assert waveform.dtype == np.float32 and waveform.shape == (16000,)
  inner = slice(1000, -1000)  # codecs smear the abrupt edges
  mono = stereo.mean(axis=1)
  np.testing.assert_allclose(waveform[inner], mono[inner], atol=tolerance)
  assert audio.info(path) == (16000, 2, 16000, 1.0)


def test_int16_is_divided_by_32768(save):
  samples = np.array([-32768, -1, 0, 1, 32767], np.int16)
  waveform = audio.read(save("a.wav", samples))
  np.testing.assert_array_equal(waveform * 32768, samples)


@pytest.mark.parametrize("num_channels", [1, 2, 8])
@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000, 192000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_rates_and_channels_against_scipy(save, rate_hz, num_channels, subtype):
  from scipy.signal import resample_poly

  mono = sine(rate_hz, seconds=0.5) + sine(rate_hz, seconds=0.5, hz=1500) / 2
  gains = np.linspace(0.2, 1.0, num_channels)
  path = save("a.wav", mono[:, None] * gains, rate_hz, subtype)
  waveform = audio.read(path)
  assert len(waveform) == 8000
  divisor = np.gcd(16000, rate_hz)
  expected = resample_poly(
    mono * gains.mean(), 16000 // divisor, rate_hz // divisor
  )
  inner = slice(400, -400)
  np.testing.assert_allclose(waveform[inner], expected[inner], atol=2e-3)
  assert audio.info(path) == (rate_hz, num_channels, rate_hz // 2, 0.5)


def test_a_sine_keeps_frequency_and_amplitude(save):
  path = save("a.wav", sine(44100, hz=1000), 44100, "FLOAT")
  waveform = audio.read(path)[1600:-1600]  # 0.1 s at the edges
  time = (np.arange(len(waveform)) + 1600) / 16000
  phasor = np.exp(-2j * np.pi * 1000 * time)
  amplitude = 2 * np.mean(waveform * phasor)
  np.testing.assert_allclose(amplitude, -0.5j, atol=1e-4)  # no delay either


def test_what_the_target_rate_cannot_hold_is_removed(save):
  path = save("a.wav", sine(48000, hz=9500), 48000, "FLOAT")
  assert np.abs(audio.read(path)[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_block_size_changes_nothing(save, suffix, rate_hz):
  path = save(f"a.{suffix}", noise(rate_hz + 17, num_channels=2), rate_hz)
  whole = audio.read(path)
  assert len(whole) == -(-(rate_hz + 17) * 16000 // rate_hz)
  for block_seconds in (0.003, 0.1, 0.77, 100):
    blocks = list(audio.read_blocks(path, block_seconds=block_seconds))
    assert all(len(block) for block in blocks)
    assert len(blocks) > 1 or block_seconds > 0.5
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
  rate_hz=st.sampled_from([1, 8000, 11025, 37123, 44100, 96000, 655350]),
  target_hz=st.sampled_from([8000, 16000, 22050, 44100]),
  num_samples=st.integers(1, 3000),
  cuts=st.lists(st.integers(0, 3000), max_size=8),
)
def test_length_is_exact_for_every_chunking(
  rate_hz, target_hz, num_samples, cuts
):
  if rate_hz == 1:  # keep the result small
    num_samples = 1 + num_samples % 3
  waveform = noise(num_samples)[:, 0].astype(np.float32)
  whole = resampling.resample(waveform, rate_hz, target_hz)
  assert len(whole) == -(-num_samples * target_hz // rate_hz)
  chunks = np.split(waveform, sorted(min(cut, num_samples) for cut in cuts))
  pieces = resampling.resample_blocks(chunks, rate_hz, target_hz, "soxr")
  if rate_hz != target_hz:
    np.testing.assert_allclose(np.concatenate(list(pieces)), whole, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 192000])
@pytest.mark.parametrize("resampler", resampling.RESAMPLERS)
def test_one_sample_works(save, rate_hz, resampler):
  if resampler == "resampy":
    pytest.importorskip("resampy")
  path = save("a.wav", np.full((1, 2), 0.25), rate_hz)
  waveform = audio.read(path, resampler=resampler)
  assert len(waveform) == max(1, 16000 // rate_hz)
  assert np.isfinite(waveform).all()


def test_resampy_gives_the_numbers_of_resampy(save):
  resampy = pytest.importorskip("resampy")
  stereo = noise(9000, num_channels=2)
  path = save("a.wav", stereo, 44100, "DOUBLE")
  mono = stereo.astype(np.float32).mean(axis=1, dtype=np.float64)
  expected = resampy.resample(mono, 44100, 16000)
  for waveform in (
    audio.read(path, resampler="resampy"),
    resampling.resample(mono, 44100, 16000, resampler="resampy"),
  ):
    assert waveform.dtype == np.float32 and waveform.shape == expected.shape
    np.testing.assert_allclose(waveform, expected, atol=1e-6)


def test_missing_resampy_names_the_extra(save, monkeypatch):
  monkeypatch.setitem(sys.modules, "resampy", None)
  path = save("a.wav", sine(8000), 8000)
  text = message(audio.read, path, resampler="resampy")
  assert "pip install 'yoho_tf[resampy]'" in text


def test_bad_arguments(save):
  path = save("a.wav", sine(16000))
  assert "soxr, resampy" in message(audio.read, path, resampler="sinc")
  assert "'sinc'" in message(resampling.resample, [0.5], 1, 2, resampler="sinc")
  assert "sample_rate_hz" in message(audio.read, path, sample_rate_hz=0)
  assert "44100.5" in message(resampling.resample, np.ones(9), 44100.5, 16000)
  for seconds in (0, -1, float("nan"), float("inf")):
    blocks = audio.read_blocks(path, block_seconds=seconds)
    assert "block_seconds" in message(list, blocks)


def test_many_channels_are_decoded_in_small_pieces(save, monkeypatch):
  path = save("a.wav", noise(192000, num_channels=8), 192000)
  whole = audio.read(path)
  monkeypatch.setattr(audio, "_MAX_BLOCK_VALUES", 8 * 1920)
  blocks = list(audio.read_blocks(path))
  assert max(map(len, blocks)) < 4000
  np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


# --- Input rules: files ------------------------------------------------------


def test_no_file_folder_empty_text_and_no_samples(tmp_path, save):
  missing = tmp_path / "missing.wav"
  assert "missing.wav" in message(audio.read, missing)
  assert "No such file" in message(audio.info, missing)
  assert "got a folder" in message(audio.read, tmp_path)
  empty = tmp_path / "empty.wav"
  empty.touch()
  assert "empty.wav" in message(audio.read, empty)
  assert "got an empty file" in message(audio.read, empty)
  text = tmp_path / "text.wav"
  text.write_text("These are words.\n" * 50)
  assert "These are words" in message(audio.read, text)
  headerless = tmp_path / "a.raw"
  headerless.write_bytes(bytes(1000))
  assert "must be audio" in message(audio.read, headerless)
  silent = save("none.wav", np.zeros(0))
  assert "at least 1 sample; got 0" in message(audio.read, silent)
  assert "none.wav" in message(audio.info, silent)


def test_no_permission(save, monkeypatch):
  path = save("a.wav", sine(16000))

  def refuse(*args, **kwargs):
    raise PermissionError(13, "Permission denied")

  with monkeypatch.context() as patch:
    patch.setattr(audio, "open", refuse, raising=False)
    text = message(audio.read, path)
  assert "a.wav" in text and "Permission denied" in text


@pytest.mark.parametrize(
  "name",
  ["-", "-a.wav", "naïve ☂ 音.wav", "a\nb.wav", "%s{}.wav", "a.wav\udcff"],
)
def test_odd_names(tmp_path, save, monkeypatch, name):
  monkeypatch.chdir(tmp_path)
  assert "No such file" in message(audio.read, name)
  source = save("plain.wav", sine(16000))
  try:
    os.rename(source, name)
  except (OSError, UnicodeError):
    pytest.skip("the file system refuses this name")
  assert len(audio.read(name)) == 16000
  files, errors = audio.find_files([name])
  assert files == [Path(name)] and not errors
  Path(name).write_text("no audio")
  message(audio.read, name)


def test_names_that_no_file_can_have():
  message(audio.read, "a\0b.wav")
  message(audio.read, "a" * 5000)
  message(audio.read, "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_block(tmp_path):
  os.mkfifo(tmp_path / "pipe.wav")
  assert "regular file" in message(audio.read, tmp_path / "pipe.wav")


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_samples_name_the_time(save, value, subtype):
  samples = np.stack([sine(44100, seconds=3)] * 2, axis=1)
  samples[88200:, 1] = value  # from 2 s on
  path = save("a.wav", samples, 44100, subtype)
  text = message(list, audio.read_blocks(path, block_seconds=0.7))
  assert "a.wav" in text and "finite" in text and "2.000000 s" in text
  assert f"{value:g}" in text


def test_unscaled_samples(save):
  path = save("a.wav", 12000 * sine(16000), subtype="FLOAT")
  text = message(audio.read, path)
  assert "at most 8" in text and "32768" in text and "at 0.0000" in text


@pytest.mark.parametrize("peak", [1.5, 8.0])
def test_loud_samples_pass_with_one_warning(save, peak):
  samples = sine(16000, seconds=2, hz=4000, amplitude=peak / 2)
  samples[20000] = -peak
  path = save("a.wav", samples, subtype="FLOAT")
  with pytest.warns(UserWarning, match="a.wav") as caught:
    blocks = list(audio.read_blocks(path, block_seconds=0.1))
  assert len(caught) == 1 and f"{peak:g}" in str(caught[0].message)
  assert np.concatenate(blocks).min() == -peak  # not scaled, not clipped


def test_ordinary_files_give_no_warning(save):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"):
      audio.read(save(name, noise(50000), 22050))
    audio.read(save("a.wav", np.array([-1.0, 1.0]), subtype="FLOAT"))


def cut(path, fraction):
  data = path.read_bytes()
  path.write_bytes(data[: int(len(data) * fraction)])
  return path


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_truncated_flac_is_an_error(save, fraction, rate_hz):
  path = cut(save("a.flac", noise(150000, num_channels=2), rate_hz), fraction)
  text = message(audio.read, path)
  assert "a.flac" in text
  assert "of 150000 samples" in text
  num_decoded = int(text.split("got ")[1].split()[0])
  assert fraction * 150000 - 9000 < num_decoded < 150000


def test_a_flac_that_ends_between_two_frames_is_an_error(save, monkeypatch):
  path = save("a.flac", noise(20000))
  real_read = soundfile.SoundFile.read

  def short_read(sound, frames, **kwargs):
    return real_read(sound, min(frames, 12000 - sound.tell()), **kwargs)

  monkeypatch.setattr(soundfile.SoundFile, "read", short_read)
  assert "got 12000 of 20000 samples" in message(audio.read, path)


def test_damaged_flac_is_an_error(save):
  path = save("a.flac", noise(100000))
  data = bytearray(path.read_bytes())
  middle = len(data) // 2
  data[middle : middle + 3000] = bytes(3000)
  path.write_bytes(data)
  assert "of 100000 samples" in message(audio.read, path)


def test_flac_without_a_length_is_an_error(save):
  path = save("a.flac", noise(10000))
  data = bytearray(path.read_bytes())
  data[21] &= 0xF0  # STREAMINFO: 36 bits of total samples
  data[22:26] = bytes(4)
  path.write_bytes(data)
  assert "number of samples" in message(audio.read, path)
  assert "number of samples" in message(audio.info, path)


@pytest.mark.parametrize("suffix", ["wav", "ogg", "mp3"])
def test_other_truncated_files_warn(save, suffix):
  path = cut(save(f"a.{suffix}", noise(150000), 44100), 0.6)
  with pytest.warns(UserWarning, match="truncated") as caught:
    waveform = audio.read(path)
  assert len(caught) == 1
  assert 0.4 * 54422 < len(waveform) < 0.7 * 54422


def test_mp3_whose_length_is_a_wrong_guess_warns(tmp_path):
  # Variable bit rate, without the first frame, which holds the length: noise
  # (large frames) before a tone (small ones) makes the guess too short.
  path = tmp_path / "a.mp3"
  with soundfile.SoundFile(
    path, "w", 44100, 1, bitrate_mode="VARIABLE", compression_level=0.5
  ) as sound:
    sound.write(np.concatenate([noise(400000)[:, 0], sine(44100, seconds=9)]))
  data = path.read_bytes()
  path.write_bytes(data[data.index(data[:2], 100) :])
  with pytest.warns(UserWarning, match="of .* bytes") as caught:
    waveform = audio.read(path)
  assert len(caught) == 1 and len(waveform) < 0.9 * 18 * 16000


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_wav_of_a_recorder_that_wrote_to_a_pipe(save, size):
  path = save("a.wav", sine(16000))
  data = bytearray(path.read_bytes())
  data[40:44] = size.to_bytes(4, "little")
  path.write_bytes(data)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert len(audio.read(path)) == 16000


# --- Input rules: arrays -----------------------------------------------------


def test_check_waveform_passes_floats():
  for dtype in (np.float16, np.float32, np.float64):
    checked = audio_checks.check_waveform(np.array([0.5, -1, 0], dtype))
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, [0.5, -1, 0])
  assert audio_checks.check_waveform([0.25]).shape == (1,)
  reversed_view = np.linspace(-1, 1, 5)[::-1]
  assert audio_checks.check_waveform(reversed_view).flags.c_contiguous


@pytest.mark.parametrize(
  ("waveform", "words"),
  [
    (np.zeros((2, 100)), ["[samples]", "(2, 100)"]),
    (np.float32(0.5), ["[samples]", "()"]),
    (np.zeros(0), ["at least 1 sample", "0"]),
    (np.zeros(9, np.int16), ["int16", "32768"]),
    ([1, 2, 3], ["int64"]),
    (np.zeros(9, bool), ["bool"]),
    (np.zeros(9, complex), ["complex128"]),
    (["a"], ["float"]),
    (np.array([0, 0, np.nan]), ["finite", "nan", "sample 2"]),
    (np.array([0, -np.inf]), ["finite", "-inf", "sample 1"]),
    (np.array([0.5, 8.001]), ["at most 8", "8.001", "sample 1"]),
    (np.array([-1e300]), ["at most 8", "-1e+300"]),
  ],
)
def test_check_waveform_errors(waveform, words):
  for call in (
    audio_checks.check_waveform,
    lambda waveform: resampling.resample(waveform, 8000, 16000),
  ):
    text = message(call, waveform)
    for word in ["waveform:", *words]:
      assert word in text


def test_check_waveform_warns_once_when_loud():
  with pytest.warns(UserWarning, match="waveform") as caught:
    checked = audio_checks.check_waveform(np.array([0.5, -8.0]))
  assert len(caught) == 1 and checked[1] == -8


# --- Finding files -----------------------------------------------------------


def test_find_files(tmp_path):
  names = [
    "b/2.WAV", "b/1.flac", "a.mp3", "b/c/3.Ogg", "b/notes.txt", ".hidden.wav",
    ".git/x.wav", "odd.xyz",
  ]  # fmt: skip
  for name in [*names, "empty/readme.txt"]:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.touch()
  files, errors = audio.find_files(
    [
      tmp_path / "odd.xyz",
      tmp_path / "empty",
      str(tmp_path),
      tmp_path / "nowhere",
      tmp_path / "b" / ".." / "a.mp3",
      tmp_path / ".hidden.wav",
    ]
  )
  found = [file.relative_to(tmp_path).as_posix() for file in files]
  assert found == [
    "odd.xyz", "a.mp3", "b/1.flac", "b/2.WAV", "b/c/3.Ogg", ".hidden.wav",
  ]  # fmt: skip
  assert len(errors) == 2 and all(isinstance(e, AudioError) for e in errors)
  assert "empty" in str(errors[0]) and ".wav" in str(errors[0])
  assert "nowhere" in str(errors[1])
  assert audio.find_files(str(tmp_path / "b"))[0] == files[2:5]
  assert audio.find_files([]) == ([], [])


# --- The module --------------------------------------------------------------


def test_import_costs_numpy_only():
  code = (
    "import sys, yoho_tf.audio; print([m for m in ('soundfile', 'soxr', "
    "'resampy', 'pandas', 'tensorflow', 'keras') if m in sys.modules])"
  )
  root = Path(__file__).parents[1]
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=root, capture_output=True, text=True
  )
  assert done.stdout.strip() == "[]", done.stderr


def test_real_recordings(shared):
  folder = shared / "audio"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data/audio")
  files = [
    *sorted(folder.glob("real_strong/*/*/*.flac"))[:20:4],
    *sorted(folder.glob("background/*/*.ogg"))[:3],
    *sorted(folder.glob("music/*/*.ogg"))[:2],
  ]
  assert files
  for path in files:
    header = audio.info(path)
    with warnings.catch_warnings():
      warnings.filterwarnings("ignore", message=".*should lie in -1..1")
      warnings.filterwarnings("error", message=".*truncated")
      found = [w for w, _ in windows.iter_windows(audio.read_blocks(path))]
    num_samples = -(-header.num_samples * 16000 // header.sample_rate_hz)
    assert found[-1].total_samples == num_samples
    assert found[-1].keep_end == -(-num_samples // 5120)
