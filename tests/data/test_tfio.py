"""Audio files through tf.data, decoded by soundfile and by tensorflow-io.

What needs the operators of tensorflow-io skips where they do not load, which
is everywhere but beside TensorFlow 2.16 and 2.17.
"""

import functools
import http.server
import io
import os
import subprocess
import sys
import threading
import types
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr
import tensorflow as tf

from yoho_tf import audio, resampling
from yoho_tf.cli import doctor
from yoho_tf.data import pipeline
from yoho_tf.data.pipeline import tfio
from yoho_tf.events import EventTable
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, TrainingParams
from yoho_tf.training import fit

RATE = 16_000
SMALL = replace(
  PRESETS["yoho_everyday_small"],
  width=0.05,
  labels=("Bark", "Music", "Rain"),
  window_seconds=1.28,
)
needs_tfio = pytest.mark.skipif(
  bool(tfio.why_not()), reason=f"[tfio]: {tfio.why_not()}"
)
BOTH = ["soundfile", pytest.param("tfio", marks=needs_tfio)]
# Extension, format, subtype, place among the decoders of the extension.
EXACT = [
  (".wav", "WAV", "PCM_U8", 0),
  (".wav", "WAV", "PCM_16", 1),
  (".wav", "WAV", "PCM_24", 2),
  (".wav", "WAV", "FLOAT", 3),
  (".wav", "WAVEX", "PCM_16", 1),
  (".wav", "WAVEX", "FLOAT", 3),
  (".flac", "FLAC", "PCM_S8", 0),
  (".flac", "FLAC", "PCM_16", 1),
  (".flac", "FLAC", "PCM_24", 2),
]
CLOSE = [
  (".ogg", "OGG", "VORBIS", 0),
  (".oga", "OGG", "VORBIS", 0),
  (".mp3", "MP3", "MPEG_LAYER_III", 0),
]
REFUSED = [
  (".wav", "WAV", "PCM_32"),
  (".wav", "WAV", "DOUBLE"),
  (".wav", "WAV", "ULAW"),
  (".ogg", "OGG", "OPUS"),
]


def noise(seconds, rate=RATE, channels=1, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(-0.5, 0.5, (round(seconds * rate), channels))


def to_bytes(form, subtype, *, rate=RATE, channels=1, seconds=0.3, seed=0):
  file = io.BytesIO()
  waveform = noise(seconds, rate, channels, seed)
  soundfile.write(file, waveform, rate, format=form, subtype=subtype)
  return file.getvalue()


def by_soundfile(contents):
  values, _ = soundfile.read(
    io.BytesIO(contents), dtype="float32", always_2d=True
  )
  return values.mean(axis=1, dtype=np.float64).astype(np.float32)


# --- Where the operators do not load ------------------------------------------


@pytest.fixture(name="afresh")
def afresh_fixture():
  tfio.why_not.cache_clear()
  yield
  tfio.why_not.cache_clear()


def broken(*_, **__):
  raise NotImplementedError(
    "unable to open file: libtensorflow_io.so, from paths: ['/a/b.so']\n"
    "caused by: ['/a/b.so: undefined symbol: _ZN3tsl5mutex6unlockEv']"
  )


@pytest.mark.parametrize(
  ("module", "reason"),
  [
    (None, "tensorflow-io is not installed"),
    (
      types.SimpleNamespace(audio=types.SimpleNamespace(encode_wav=broken)),
      f"do not load beside TensorFlow {tf.__version__} (undefined symbol: _ZN3",
    ),
  ],
)
def test_asking_for_what_does_not_load_is_one_line_with_what_to_do(
  module, reason, afresh, monkeypatch, tmp_path, write_wav
):
  monkeypatch.setitem(sys.modules, "tensorflow_io", module)
  path = write_wav(tmp_path / "a.wav", noise(0.1))
  for ask in (
    lambda: pipeline.waveform_dataset(path, decode="tfio"),
    lambda: pipeline.audio_dataset(path, SMALL, decode="tfio"),
    lambda: tfio.decode(b"", extension=".wav"),
  ):
    with pytest.raises(ValueError) as error:
      ask()
    text = str(error.value)
    assert reason in text and "soundfile" in text
    assert "pip install '.[tfio]'" in text and "\n" not in text
  # The default asks for nothing.
  assert len(list(pipeline.waveform_dataset(path))) == 1


# --- Headers ------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
@pytest.mark.parametrize(
  ("extension", "form", "subtype", "kind"), EXACT + CLOSE
)
def test_headers_say_the_rate_and_the_encoding(
  extension, form, subtype, kind, rate
):
  contents = to_bytes(form, subtype, rate=rate, channels=2)
  found = tfio.EXTENSIONS[extension](tf.constant(contents))
  assert (int(found[0]), int(found[1])) == (rate, kind)


def with_chunk(wav):
  """An odd-sized chunk between RIFF and fmt."""
  return wav[:12] + b"JUNK\x05\0\0\0abcde\0" + wav[12:]


def with_tag(mp3):
  """An ID3v2 tag of 300 bytes that looks like frames."""
  return b"ID3\x04\0\0\0\0\x02\x2c" + b"\xff\xfb\x92\x00" * 75 + mp3


def test_what_may_stand_before_the_header_is_skipped():
  wav = with_chunk(to_bytes("WAV", "PCM_24", rate=22_050))
  assert [int(v) for v in tfio.EXTENSIONS[".wav"](wav)[:2]] == [22_050, 2]
  mp3 = with_tag(to_bytes("MP3", "MPEG_LAYER_III", rate=48_000))
  assert [int(v) for v in tfio.EXTENSIONS[".mp3"](mp3)[:2]] == [48_000, 0]


@pytest.mark.parametrize("extension", sorted(tfio.EXTENSIONS))
@pytest.mark.parametrize(
  "contents", [b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"x" * 200, bytes(99)]
)
def test_what_is_no_audio_has_no_decoder(extension, contents):
  assert int(tfio.EXTENSIONS[extension](tf.constant(contents))[1]) == -1


# --- Decoding -----------------------------------------------------------------


def decoder(extension, rate=RATE):
  return tf.function(
    lambda contents: tfio.decode(
      contents, extension=extension, sample_rate_hz=rate, name="name"
    ),
    input_signature=[tf.TensorSpec([], tf.string)],
  )


@needs_tfio
@pytest.mark.parametrize(("extension", "form", "subtype", "_"), EXACT)
def test_wav_and_flac_are_soundfiles_bit_for_bit(extension, form, subtype, _):
  decode = decoder(extension.upper())
  for channels in (1, 2, 3):
    contents = to_bytes(form, subtype, channels=channels, seed=channels)
    np.testing.assert_array_equal(decode(contents), by_soundfile(contents))
  if form == "WAV":
    np.testing.assert_array_equal(
      decode(with_chunk(contents)), by_soundfile(contents)
    )


@needs_tfio
@pytest.mark.parametrize(("extension", "form", "subtype", "_"), CLOSE)
def test_ogg_and_mp3_are_soundfiles_but_for_rounding(
  extension, form, subtype, _
):
  decode = decoder(extension)
  for channels in (1, 2):
    contents = to_bytes(form, subtype, channels=channels, seconds=1.1)
    expected = by_soundfile(contents)
    assert len(decode(contents)) == len(expected)
    np.testing.assert_allclose(decode(contents), expected, atol=2e-6)


@needs_tfio
@pytest.mark.parametrize(("extension", "form", "subtype"), REFUSED)
def test_encodings_that_would_come_out_wrong_are_refused(
  extension, form, subtype
):
  with pytest.raises(tf.errors.InvalidArgumentError, match="name.*must be"):
    decoder(extension)(to_bytes(form, subtype))


@needs_tfio
@pytest.mark.parametrize("bad", [np.nan, np.inf, 9.0])
def test_samples_that_are_no_audio_are_refused(bad):
  waveform = noise(0.1)
  waveform[7] = bad
  file = io.BytesIO()
  soundfile.write(file, waveform, RATE, format="WAV", subtype="FLOAT")
  with pytest.raises(tf.errors.InvalidArgumentError, match="name.*finite"):
    decoder(".wav")(file.getvalue())


@needs_tfio
@pytest.mark.parametrize(
  ("form", "extension"), [("WAV", ".wav"), ("FLAC", ".flac"), ("OGG", ".ogg")]
)
def test_half_a_file_is_never_more_than_what_is_there(form, extension):
  contents = to_bytes(form, None, seconds=2.0)
  whole = by_soundfile(contents)
  try:
    found = decoder(extension)(contents[: len(contents) // 2]).numpy()
  except tf.errors.OpError:
    return
  assert len(found) < len(whole)
  np.testing.assert_allclose(found, whole[: len(found)], atol=2e-6)


# --- Resampling ---------------------------------------------------------------

RATES = [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]


def band_limited(source_hz, target_hz, seconds=1.0):
  """A sum of sines below 80 % of the lower Nyquist rate, fading at its ends."""
  rng = np.random.default_rng(source_hz)
  time = np.arange(round(seconds * source_hz) + 13) / source_hz
  hz = rng.uniform(50, 0.4 * min(source_hz, target_hz), 40)
  phase = rng.uniform(0, 2 * np.pi, 40)
  waveform = np.sin(2 * np.pi * hz[:, None] * time + phase[:, None]).mean(0)
  return (waveform * np.hanning(len(time))).astype(np.float32)


@needs_tfio
@pytest.mark.parametrize("source_hz", RATES)
@pytest.mark.parametrize("target_hz", [RATE, 44_100])
def test_resampling_is_soxrs_without_delay(source_hz, target_hz):
  resample = tf.function(
    lambda waveform, rate: tfio.resample(waveform, rate, target_hz)
  )
  waveform = band_limited(source_hz, target_hz)
  found = resample(waveform, source_hz).numpy()
  expected = resampling.resample(waveform, source_hz, target_hz)
  assert found.shape == expected.shape
  # -70 dB. One sample of delay would leave about 1.
  error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
  assert error < 3e-4


@needs_tfio
@pytest.mark.parametrize("source_hz", RATES)
@pytest.mark.parametrize("num_samples", [1, 2, 31, 177, 1_000])
def test_a_short_sound_keeps_its_place_and_length(source_hz, num_samples):
  waveform = np.zeros(num_samples, np.float32)
  waveform[num_samples // 2] = 1.0
  found = tfio.resample(tf.constant(waveform), source_hz, RATE).numpy()
  assert len(found) == -(-num_samples * RATE // source_hz)
  where = num_samples // 2 / source_hz * RATE
  if 0 < num_samples // 2 and where < len(found) - 1:
    assert abs(np.abs(found).argmax() - where) < 1


# --- Datasets -----------------------------------------------------------------


@pytest.fixture(name="files", scope="module")
def files_fixture(tmp_path_factory):
  """Recordings of other formats, rates, channels and lengths."""
  folder = tmp_path_factory.mktemp("files")
  found = []
  for name, rate, channels, seconds in [
    ("a.wav", RATE, 1, 3.0),
    ("b.flac", RATE, 2, 0.5),
    ("C.FLAC", 44_100, 1, 1.28),
    ("d.ogg", 48_000, 2, 2.57),
    ("e.mp3", RATE, 1, 1.3),
  ]:
    waveform = soxr.resample(noise(seconds, 8_000, channels), 8_000, rate)
    found.append(str(folder / name))
    soundfile.write(found[-1], waveform, rate)
  return found


@pytest.mark.parametrize("decode", BOTH)
def test_waveforms_are_those_of_audio_read(decode, files):
  rows = list(pipeline.waveform_dataset(files, decode=decode))
  assert [path.numpy().decode() for path, _ in rows] == files
  for path, waveform in rows:
    expected = audio.read(path.numpy().decode())
    assert waveform.dtype == tf.float32 and waveform.shape == expected.shape
    np.testing.assert_allclose(waveform, expected, atol=2e-3)


@pytest.mark.parametrize("decode", BOTH)
def test_windows_lie_side_by_side_and_say_where(decode, files):
  size, extra = SMALL.window_samples, SMALL.extra_samples
  dataset = pipeline.audio_dataset(files, SMALL, decode=decode, batch_size=2)
  waveforms = [audio.read(path) for path in files]
  expected = [
    (number, first)
    for number, waveform in enumerate(waveforms)
    for first in range(0, len(waveform), size)
  ]
  found = []
  for batch, place in dataset:
    assert batch.shape[1:] == (size + extra,)
    for window, file, seconds in zip(
      batch.numpy(), place["file"].numpy(), place["start_seconds"].numpy()
    ):
      first = round(seconds * RATE)
      part = waveforms[file][first : first + size + extra]
      part = np.pad(part, (0, size + extra - len(part)))
      np.testing.assert_allclose(window, part, atol=2e-3)
      found.append((file, first))
  assert found == expected


def tables(files, seed=0):
  """Random events for each file; the last has none."""
  rng = np.random.default_rng(seed)
  found = []
  for path in files[:-1]:
    seconds = audio.info(path).duration_seconds
    start = rng.uniform(0, seconds * 0.9, 6)
    found.append(
      EventTable.from_columns(
        start=start,
        end=np.minimum(start + rng.uniform(0.05, 2.0, 6), seconds),
        label=rng.choice(SMALL.labels, 6).tolist(),
      )
    )
  return [*found, EventTable.empty()]


@pytest.mark.parametrize("decode", BOTH)
def test_targets_are_those_of_the_events_in_each_window(decode, files):
  events, seconds = tables(files), SMALL.window_seconds
  places = pipeline.audio_dataset(files, SMALL, decode=decode).unbatch()
  labelled = pipeline.audio_dataset(
    files, SMALL, decode=decode, events=events
  ).unbatch()
  num_active = 0
  for (window, place), (same, targets, weight) in zip(places, labelled):
    begin = float(place["start_seconds"])
    inside = events[int(place["file"])].crop(begin, begin + seconds)
    np.testing.assert_array_equal(window, same)
    expected = yoho.encode(inside, SMALL)
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    assert weight.shape == expected.shape[:2] and np.all(weight == 1)
    num_active += expected.any()
  assert num_active > 3


@pytest.mark.large
@pytest.mark.parametrize("decode", BOTH)
def test_a_network_trains_and_predicts_on_files(decode, files):
  network = yoho.build(replace(SMALL, input="log_mel"))
  model = fit.training_model(network, SMALL, TrainingParams())
  model.compile("adam", loss=yoho.loss(SMALL))
  batches = functools.partial(
    pipeline.audio_dataset, files, SMALL, decode=decode, batch_size=4
  )
  train = batches(events=tables(files), training=True, seed=3)
  history = model.fit(train, steps_per_epoch=2, epochs=1, verbose=0)
  assert np.isfinite(history.history["loss"]).all()
  predicted = model.predict(batches(), verbose=0)
  num_windows = len(list(batches().unbatch()))
  assert predicted.shape[:2] == (num_windows, SMALL.window_cells)


def test_training_orders_differ_by_epoch_and_not_by_run(files):
  def order(seed):
    dataset = pipeline.audio_dataset(
      files[:3],
      SMALL,
      events=tables(files[:3]),
      training=True,
      batch_size=5,
      seed=seed,
    )
    return [batch[0].numpy() for batch in dataset.take(2)]

  first, again, other = order(1), order(1), order(2)
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first[0], first[1])
  assert not np.array_equal(first, other)


@pytest.mark.parametrize("decode", BOTH)
def test_bad_input_is_said_in_one_line(decode, files, tmp_path, write_wav):
  events = tables(files)
  build = functools.partial(pipeline.audio_dataset, params=SMALL, decode=decode)
  wrong = EventTable.from_rows([(0.0, 1.0, "Barq")])
  for call, text in [
    (lambda: build([]), "paths must not be empty"),
    (lambda: build([*files, "gone.wav"]), "'gone.wav': must be a file"),
    (lambda: build(files, decode="sndfile"), "decode must be one of"),
    (lambda: build(files, training=True), "events must be given"),
    (lambda: build(files, events=events[1:]), "events must be one table"),
    (lambda: build(files[:1], events=[wrong]), "did you mean 'Bark'"),
  ]:
    with pytest.raises(ValueError, match=text) as error:
      call()
    assert "\n" not in str(error.value)
  damaged = tmp_path / "damaged.wav"
  damaged.write_bytes(b"RIFF and no more")
  with pytest.raises(tf.errors.OpError, match="damaged.wav"):
    list(build([files[0], damaged]))


def test_a_url_needs_tfio():
  with pytest.raises(ValueError, match="decode must be 'tfio' to read s3://b"):
    pipeline.waveform_dataset(["s3://b/a.wav"])


@needs_tfio
def test_an_extension_that_tfio_cannot_decode(tmp_path):
  path = tmp_path / "a.aiff"
  soundfile.write(path, noise(0.1), RATE)
  assert len(list(pipeline.waveform_dataset(path))) == 1
  with pytest.raises(ValueError, match="a.aiff': extension.*by tfio"):
    pipeline.waveform_dataset(path, decode="tfio")


# --- Elsewhere ----------------------------------------------------------------


@pytest.fixture(name="server")
def server_fixture(files):
  """A folder over HTTP, and as the bucket `files` of an object store."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

    def translate_path(self, path):
      name = path.partition("?")[0].rpartition("/")[2]
      return os.path.join(os.path.dirname(files[0]), name or "none")

  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  yield f"http://127.0.0.1:{server.server_address[1]}"
  server.shutdown()
  server.server_close()


@needs_tfio
@pytest.mark.parametrize("query", ["", "?signature=a.b"])
def test_files_over_http_are_those_on_disc(query, files, server):
  urls = [f"{server}/{os.path.basename(path)}{query}" for path in files]
  local = pipeline.waveform_dataset(files, decode="tfio")
  remote = pipeline.waveform_dataset(urls, decode="tfio")
  for (_, expected), (_, found) in zip(local, remote):
    np.testing.assert_array_equal(found, expected)
  with pytest.raises(tf.errors.OpError, match="gone.wav': must be a readable"):
    list(pipeline.waveform_dataset(f"{server}/gone.wav", decode="tfio"))


# S3 in a process of its own, left without the destructors of tensorflow-io:
# after its S3 file system was used they abort.
IN_S3 = """
import os, sys
import numpy as np
from yoho_tf.data import pipeline
files = sys.argv[1:]
urls = [f"s3://files/{os.path.basename(path)}" for path in files]
local, remote = (
  [w for _, w in pipeline.waveform_dataset(paths, decode="tfio")]
  for paths in (files, urls)
)
for expected, found in zip(local, remote, strict=True):
  np.testing.assert_array_equal(found, expected)
print(len(remote), "equal", flush=True)
os._exit(0)
"""


@needs_tfio
def test_files_in_an_object_store_are_those_on_disc(files, server, repository):
  done = subprocess.run(
    [sys.executable, "-c", IN_S3, *files],
    capture_output=True,
    text=True,
    cwd=repository,
    timeout=300,
    env={
      **os.environ,
      "S3_ENDPOINT": server,
      "AWS_ACCESS_KEY_ID": "a",
      "AWS_SECRET_ACCESS_KEY": "b",
      "AWS_REGION": "us-east-1",
      "AWS_EC2_METADATA_DISABLED": "true",
    },
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == [str(len(files)), "equal"]


def test_the_doctor_knows_whether_it_loads():
  tfio_row = doctor.examine()["extras"]["tfio"]
  assert bool(tfio_row["missing"]) == bool(tfio.why_not()), tfio_row
