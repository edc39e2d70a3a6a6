"""Audio of any length -> events or tags, however the network is stored."""

import dataclasses

import numpy as np
import pytest

from tests import small
from yoho_tf import audio, hub, predictor
from yoho_tf.events import EventTable
from yoho_tf.models import yoho
from yoho_tf.params import YamnetParams, override

edge = pytest.mark.edge
RATE = 16_000


def rows(result):
  return [tuple(event[:4]) for event in result.events]


def assert_same(got, expected, *, atol=1e-5):
  """Scores and events of two results; boundaries within `atol` seconds."""
  np.testing.assert_allclose(got.scores, expected.scores, rtol=0, atol=atol)
  assert got.duration_seconds == expected.duration_seconds
  got, expected = rows(got), rows(expected)
  assert [row[2] for row in got] == [row[2] for row in expected]
  times = [np.array([(*r[:2], r[3]) for r in x]) for x in (got, expected)]
  np.testing.assert_allclose(*times, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def bundled():
  return hub.load("yoho_everyday")


@pytest.fixture(scope="module")
def radio(repository):
  return repository / "examples" / "radio.flac"


# ---- what goes in -----------------------------------------------------------


@edge
def test_a_path_and_its_samples_give_the_same_events(bundled, radio):
  result = bundled.predict(radio)
  assert result.filename == str(radio) and result.model == "yoho_everyday"
  assert len(result.events)
  for same in (
    bundled.predict(str(radio)),
    bundled.predict(audio.read(radio)),
    bundled.predict(audio.read(radio), sample_rate_hz=RATE),
    bundled.predict(audio.read(radio).astype(np.float64)),
  ):
    assert rows(same) == rows(result)
    np.testing.assert_array_equal(same.scores, result.scores)
  assert bundled.predict(audio.read(radio)).filename == ""


@edge
@pytest.mark.parametrize("rate", [8000, 44100, 192_000])
def test_samples_at_another_rate_are_resampled(rate, bundled, tmp_path):
  from tests.conftest import write_wav

  waveform = small.signal(3.7, rate=rate)
  path = write_wav(tmp_path / "a.wav", waveform, rate, subtype="FLOAT")
  expected = bundled.predict(path)
  got = bundled.predict(waveform, sample_rate_hz=rate)
  assert_same(got, expected)
  assert got.duration_seconds == pytest.approx(3.7, abs=1e-4)
  other = bundled.predict(waveform)  # taken for 16 kHz: another length
  assert other.duration_seconds == pytest.approx(3.7 * rate / RATE)


@edge
@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (np.zeros(100, np.int16), "float in -1..1"),
    (np.zeros((2, 100)), r"mono.*\(2, 100\)"),
    (np.zeros(0), "at least 1 sample"),
    (np.array([0, np.nan]), "finite"),
    (np.full(10, 3e4), "unscaled"),
    ([[0.0]], "mono"),
  ],
)
def test_samples_that_are_none_are_refused(wrong, message, bundled):
  with pytest.raises(audio.AudioError, match=message):
    bundled.predict(wrong)


@edge
@pytest.mark.parametrize("rate", [0, -1, 44100.5])
def test_a_rate_must_be_a_whole_number(rate, bundled):
  with pytest.raises(audio.AudioError, match="source_hz"):
    bundled.predict(np.zeros(100), sample_rate_hz=rate)


@edge
def test_a_name_that_is_no_utf_8_stays_printable(bundled, tmp_path):
  import os

  from tests.conftest import write_wav

  name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
  write_wav(tmp_path / "plain.wav", np.zeros(100))
  try:
    os.rename(os.fsencode(tmp_path / "plain.wav"), name)
  except OSError:
    pytest.skip("this file system takes UTF-8 names only")
  result = bundled.predict(os.fsdecode(name))
  assert result.filename.endswith(r"/caf\xe9.wav")
  result.filename.encode()


# ---- what comes out ---------------------------------------------------------


@edge
def test_silence_has_no_events(bundled):
  result = bundled.predict(np.zeros(5 * RATE, np.float32))
  assert rows(result) == []
  assert result.duration_seconds == 5
  assert result.scores.shape == (16, len(bundled.labels))  # ceil(5 / 0.32)


@edge
def test_the_example_is_understood(bundled, radio):
  """Voice and music are named for at least half of their time."""
  heard = bundled.predict(radio).events
  truth = [
    line.split("\t")
    for line in radio.with_suffix(".txt").read_text().split("\n")
  ]
  found = {row[2]: (float(row[0]), float(row[1])) for row in truth if row[1:]}
  for label in ("Speech", "Music"):
    start, end = found[label]
    own = heard[heard.label == label]
    overlap = np.minimum(own.end, end) - np.maximum(own.start, start)
    assert overlap.clip(0).sum() >= 0.5 * (end - start), label


@edge
def test_events_stay_inside_the_recording(bundled):
  for num_samples in (1, 159, 5120, 5121, 33_333):
    waveform = small.signal(5)[:num_samples]
    lowest = hub.configured(
      bundled, {"postprocess.threshold": 0.0, "postprocess.low": 1e-3}
    )
    result = lowest.predict(waveform)
    assert len(result.scores) == -(-num_samples // 5120)
    assert result.duration_seconds == num_samples / RATE
    assert all(
      0 <= e.start < e.end <= num_samples / RATE for e in result.events
    )


# ---- one pass and many windows ----------------------------------------------


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
  """The small network as a `.tflite`, with tuned values for Speech."""
  pytest.importorskip("tensorflow")
  path = tmp_path_factory.mktemp("small") / "small.tflite"
  path.write_bytes(small.lite_bytes("float32"))
  return hub.load(path)


def with_settings(model, **inference):
  changes = {f"inference.{key}": value for key, value in inference.items()}
  return model.with_params(override(model.params, changes))


SECONDS = [1 / RATE, 0.32, 0.32 + 1 / RATE, 7.3, 8.0, 12.8, 60.0]


@pytest.mark.parametrize("seconds", SECONDS)
def test_windows_of_25_cells_equal_one_pass(seconds, lite):
  waveform = small.signal(seconds, seed=round(seconds))
  once = with_settings(lite, window_cells=100_000).predict(waveform)
  windowed = with_settings(lite, window_cells=25).predict(waveform)
  assert len(once.scores) == -(-len(waveform) // 5120)
  assert_same(windowed, once)
  assert seconds < 7 or len(once.events) > 5


@edge
def test_threads_change_nothing(radio):
  clip = audio.read(radio)
  waveform = np.concatenate([clip, clip[::-1], clip])
  settings = {"inference.window_cells": 25}  # 14 windows
  one, three = (
    hub.load("yoho_everyday", num_threads=n, settings=settings) for n in (1, 3)
  )
  expected = one.predict(waveform)
  for _ in range(3):
    got = three.predict(waveform)
    assert rows(got) == rows(expected) and len(got.events)
    np.testing.assert_array_equal(got.scores, expected.scores)


@edge
def test_a_file_that_ends_early_ends_the_threads_too(radio, tmp_path):
  import threading

  import soundfile

  path = tmp_path / "cut.flac"
  soundfile.write(path, np.tile(audio.read(radio), 20), RATE)
  path.write_bytes(path.read_bytes()[:-50_000])
  model = hub.load(
    "yoho_everyday", num_threads=2, settings={"inference.window_cells": 25}
  )
  before = threading.active_count()
  with pytest.raises(audio.AudioError, match="cut.flac"):
    model.predict(path)
  assert threading.active_count() == before
  assert len(model.predict(radio).events)


@pytest.mark.parametrize("window_cells", [16, 40, 99])
def test_other_windows_equal_one_pass(window_cells, lite):
  waveform = small.signal(41.7, seed=window_cells)
  once = with_settings(lite, window_cells=100_000).predict(waveform)
  assert_same(
    with_settings(lite, window_cells=window_cells).predict(waveform), once
  )


def test_smaller_margins_do_differ(lite):
  """So the margins above are needed, and the tests above could fail."""
  waveform = small.signal(41.7, seed=40)
  once = with_settings(lite, window_cells=100_000).predict(waveform)
  rough = with_settings(
    lite,
    exact_stitching=False,
    window_cells=25,
    discard_left_cells=1,
    discard_right_cells=1,
  ).predict(waveform)
  assert np.abs(rough.scores - once.scores).max() > 1e-3


def test_a_long_file_by_blocks_equals_its_samples(lite, tmp_path, write_wav):
  waveform = small.signal(70, seed=9)  # three blocks, three windows
  path = write_wav(tmp_path / "long.wav", waveform, RATE, subtype="FLOAT")
  assert_same(lite.predict(path), lite.predict(waveform))


def test_keras_and_the_lite_file_agree(lite):
  from yoho_tf.deploy import runtime
  from yoho_tf.layers.frontend import log_mel_layer

  front = log_mel_layer(small.PARAMS.frontend)
  run = runtime.KerasNetwork(small.network())
  assert run.input_names == ("log_mel",)
  model = predictor.YohoModel(
    "keras", lite.params, lambda x: run({"log_mel": front(x["waveform"])})
  )
  for seconds in (0.2, 7.3, 40):
    waveform = small.signal(seconds, seed=3)
    assert_same(model.predict(waveform), lite.predict(waveform), atol=1e-3)


# ---- thresholds and settings ------------------------------------------------


def test_raising_the_threshold_only_drops_events(lite):
  """It moves no boundary and never adds an event."""
  waveform = small.signal(30, seed=2)
  before = None
  for threshold in (0.3, 0.4, 0.55, 0.7, 0.85, 0.95, 1.0):
    model = hub.configured(lite, {"postprocess.threshold": threshold})
    events = model.predict(waveform).events
    if before is not None:
      assert events == before[before.score >= threshold]
    before = events if before is None else before
  assert len(before) > 30 and len(events) < len(before) / 4


def test_a_setting_beats_the_tuned_value_and_leaves_the_others(lite):
  waveform = small.signal(30, seed=2)
  tuned = lite.predict(waveform).events
  assert tuned[tuned.label == "Speech"].score.min() >= 0.6
  lower = hub.configured(lite, {"postprocess.threshold": 0.2})
  events = lower.predict(waveform).events
  speech = events[events.label == "Speech"]
  assert speech.score.min() < 0.6
  one = hub.configured(lite, {"postprocess.per_label.Speech.threshold": 0.9})
  events = one.predict(waveform).events
  assert events[events.label == "Speech"].score.min() >= 0.9
  others = events[events.label != "Speech"]
  assert others == tuned[tuned.label != "Speech"]


def test_with_params_leaves_the_model_as_it_is(lite):
  before = lite.params
  other = hub.configured(lite, {"postprocess.threshold": 1.0})
  assert lite.params is before and other.network is lite.network
  assert other.name == lite.name and other.labels == lite.labels


# ---- the paper's windows ----------------------------------------------------


@pytest.fixture(scope="module")
def paper():
  """8 s windows every 6 s, through Keras; and its network on log-mels."""
  pytest.importorskip("keras")
  from yoho_tf.deploy import runtime
  from yoho_tf.layers.frontend import log_mel_layer

  network = small.build(small.PAPER)
  front = log_mel_layer(small.PAPER.frontend)
  run = runtime.KerasNetwork(network)
  return predictor.YohoModel(
    "paper", small.PAPER, lambda x: run({"log_mel": front(x["waveform"])})
  )


@pytest.mark.parametrize(
  ("seconds", "num_windows"), [(0.1, 1), (8, 1), (8.02, 2), (14, 2), (27, 5)]
)
def test_the_paper_s_windows(seconds, num_windows, paper):
  waveform = small.signal(seconds, seed=4)
  result = paper.predict(waveform)
  size, hop = 8 * RATE, 6 * RATE
  padded = np.pad(waveform, (0, num_windows * size))
  windows = np.stack(
    [padded[i * hop : i * hop + size] for i in range(num_windows)]
  )
  outputs = paper.network({"waveform": windows})  # all at once
  expected = yoho.decode(
    {"events": outputs["events"]},
    small.PAPER,
    duration_seconds=len(waveform) / RATE,
    model="paper",
  )
  np.testing.assert_allclose(
    np.array([(e.start, e.end, e.score) for e in result.events]),
    np.array([(e.start, e.end, e.score) for e in expected.events]),
    rtol=0,
    atol=1e-4,
  )
  assert list(result.events.label) == list(expected.events.label)
  assert result.duration_seconds == len(waveform) / RATE
  assert seconds < 8 or len(result.events)
  assert all(0 <= e.start < e.end <= seconds for e in result.events)
  assert (result.scores is None) == (num_windows > 1)  # they overlap


# ---- YAMNet -----------------------------------------------------------------


@pytest.fixture(scope="module")
def yamnet():
  pytest.importorskip("keras")
  from yoho_tf.deploy import runtime
  from yoho_tf.models import yamnet

  params = YamnetParams(
    width=0.25, num_classes=5, labels=tuple("abcde"), activation="relu6"
  )
  model = yamnet.build(params)
  small.draw_kernels(model)
  kernel, bias = model.get_layer("logits").get_weights()
  model.get_layer("logits").set_weights([kernel * 10, bias])
  return predictor.YamnetModel("small", params, runtime.KerasNetwork(model))


def test_chunks_of_64_patches_equal_one_call(yamnet):
  waveform = small.signal(70.3, seed=6)
  result = yamnet.predict(waveform)
  num_patches = yamnet.params.num_patches(len(waveform))
  assert num_patches > 2 * predictor._PATCHES_AT_ONCE
  whole = yamnet.network({"waveform": waveform[None]})
  for name in ("scores", "embeddings"):
    got = getattr(result, name)
    assert got.shape[0] == num_patches
    np.testing.assert_allclose(got, whole[name][0], rtol=0, atol=1e-5)
  assert np.ptp(result.scores, axis=0).max() > 0.1
  np.testing.assert_allclose(np.diff(result.start), 0.48)
  assert result.duration_seconds == len(waveform) / RATE


@pytest.mark.parametrize("num_samples", [1, 15_600, 15_601, 23_280, 23_281])
def test_yamnet_takes_any_length(num_samples, yamnet):
  result = yamnet.predict(small.signal(2)[:num_samples])
  expected = {1: 1, 15_600: 1, 15_601: 2, 23_280: 2, 23_281: 3}
  assert len(result.scores) == expected[num_samples]
  assert result.end[-1] == pytest.approx(
    min(num_samples / RATE, result.start[-1] + 0.96)
  )


def test_the_tail_setting_reaches_the_clip_scores(yamnet):
  waveform = small.signal(1.1, seed=8)
  scores = {
    tail: hub.configured(yamnet, {"tail": tail}).predict(waveform).clip_scores
    for tail in ("weight", "pad", "drop")
  }
  assert np.abs(scores["weight"] - scores["pad"]).max() > 1e-4
  # Half a patch and more is never dropped.
  np.testing.assert_array_equal(scores["drop"], scores["pad"])


def test_the_lite_file_agrees_with_its_weights(shared):
  folder = shared / "yamnet"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data/yamnet")
  lite = hub.load("yamnet_lite", weights=folder / "yamnet_lite.tflite")
  assert lite.labels[:2] == ("Speech", "Child speech, kid speaking")
  time = np.arange(round(2.2 * RATE)) / RATE
  tone = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
  result = lite.predict(tone)
  assert result.scores.shape == (4, 521) and result.embeddings is None
  again = lite.predict(tone[:15_600])
  np.testing.assert_allclose(again.scores[0], result.scores[0], atol=1e-6)

  pytest.importorskip("keras")
  keras_model = hub.load("yamnet", weights=folder / "yamnet_relu6.h5")
  for waveform, label in ((tone, None), (np.zeros(RATE), "Silence")):
    got, expected = lite.predict(waveform), keras_model.predict(waveform)
    np.testing.assert_allclose(got.scores, expected.scores, atol=0.1)
    best = {r.top(1)[0][0] for r in (got, expected)}
    assert label is None or best == {label}


# ---- many recordings --------------------------------------------------------


def clips(*seconds):
  return [small.signal(s, seed=i) for i, s in enumerate(seconds)]


class Counted:
  """A network that notes the shapes it was called with."""

  def __init__(self, network):
    self.network = network
    self.shapes = []
    for name in ("input_shapes", "input_names"):
      if hasattr(network, name):
        setattr(self, name, getattr(network, name))

  def __call__(self, inputs):
    (value,) = inputs.values()
    self.shapes.append(np.shape(value))
    return self.network(inputs)


@edge
def test_many_files_are_one_after_the_other(bundled, radio, tmp_path):
  from tests.conftest import write_wav

  short = small.signal(2.2, seed=5)
  path = write_wav(tmp_path / "a.wav", short, RATE, subtype="FLOAT")
  sources = [radio, short, str(path), audio.read(radio)[:50_000]]
  for batch_seconds in (600, 3.0, 1e-3):  # 1e-3: each file by blocks
    results = list(bundled.predict_many(sources, batch_seconds=batch_seconds))
    assert len(results) == len(sources)
    for source, result in zip(sources, results):
      expected = bundled.predict(source)
      assert result.filename == expected.filename
      assert_same(result, expected)
  assert list(bundled.predict_many([])) == []


@edge
def test_a_file_that_cannot_be_read_is_raised_or_yielded(bundled, tmp_path):
  (tmp_path / "broken.wav").write_bytes(b"RIFF and nothing else")
  wave = small.signal(1)
  absent = tmp_path / "absent.wav"
  sources = [wave, absent, wave, tmp_path / "broken.wav", np.zeros(0), wave]
  results = list(bundled.predict_many(sources, errors="yield"))
  kinds = [isinstance(r, audio.AudioError) for r in results]
  assert kinds == [False, True, False, True, True, False]
  assert "absent.wav" in str(results[1]) and "broken.wav" in str(results[3])
  assert_same(results[-1], bundled.predict(wave))
  found = []
  with pytest.raises(audio.AudioError, match="absent.wav"):
    for result in bundled.predict_many(sources):
      found.append(result)
  assert len(found) == 1  # what came before it was not lost


@edge
def test_many_reads_no_further_ahead_than_it_says(bundled):
  taken = []

  def endless():
    while True:
      taken.append(None)
      yield np.zeros(RATE, np.float32)

  results = bundled.predict_many(endless(), batch_seconds=3)
  next(results)
  assert len(taken) == 3
  next(results), next(results), next(results)
  assert len(taken) == 6


@edge
@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"errors": "ignore"}, "errors must be raise or yield; received 'ignore'"),
    ({"batch_seconds": 0}, "batch_seconds must be > 0; received 0"),
    ({"batch_seconds": float("nan")}, "batch_seconds must be > 0"),
  ],
)
def test_wrong_options_of_many_are_named(options, message, bundled):
  with pytest.raises(ValueError, match=message):
    list(bundled.predict_many([np.zeros(100)], **options))


def test_windows_of_one_length_go_together(paper):
  """5 windows of 8 s: one call of the network instead of 5."""
  network = Counted(paper.network)
  model = dataclasses.replace(paper, network=network)
  waveforms = clips(1, 17, 8)
  results = list(model.predict_many(waveforms))
  assert network.shapes == [(5, 8 * RATE)]
  for waveform, result in zip(waveforms, results):
    expected = paper.predict(waveform)
    assert len(result.events) == len(expected.events)
    for column in ("start", "end", "score"):
      np.testing.assert_allclose(
        getattr(result.events, column),
        getattr(expected.events, column),
        rtol=0,
        atol=1e-4,
      )


def test_a_file_of_one_window_is_not_asked_for_more(lite):
  """The `.tflite` takes one window; nothing else is tried."""
  network = Counted(lite.network)
  model = dataclasses.replace(lite, network=network)
  waveforms = clips(1.0, 3.2, 1.1)
  results = list(model.predict_many(waveforms))
  assert all(shape[0] == 1 for shape in network.shapes)
  for waveform, result in zip(waveforms, results):
    assert_same(result, lite.predict(waveform))


def test_yamnet_s_clips_do_not_hear_their_neighbours(yamnet):
  network = Counted(yamnet.network)
  model = dataclasses.replace(yamnet, network=network)
  waveforms = clips(0.5, 40, 2.0, 1.0, 0.97, 1.5, 0.01)
  results = list(model.predict_many(waveforms))
  # 40 s alone in two chunks of up to 64 patches, the others together.
  assert sorted(shape[0] for shape in network.shapes) == [1, 1, 6]
  for waveform, result in zip(waveforms, results):
    expected = yamnet.predict(waveform)
    assert len(result.scores) == len(expected.scores)
    for name in ("scores", "embeddings", "clip_scores"):
      np.testing.assert_allclose(
        getattr(result, name), getattr(expected, name), rtol=0, atol=1e-5
      )
    assert result.duration_seconds == expected.duration_seconds


@edge
def test_events_are_a_table(bundled, radio):
  result = bundled.predict(radio)
  assert isinstance(result.events, EventTable)
  assert dataclasses.replace(result, model="other").model == "other"
