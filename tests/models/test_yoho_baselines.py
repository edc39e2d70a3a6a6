"""The paper's CNN and CRNN: sizes, frames, round trips, windows, files."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import small
from yoho_tf import hub
from yoho_tf.events import EventTable
from yoho_tf.models import yoho, yoho_baselines
from yoho_tf.params import PRESETS, PostprocessParams, override

MUSIC_SPEECH = PRESETS["yoho_music_speech"]
CRNN = replace(MUSIC_SPEECH, baseline="crnn")
BARE = replace(
  CRNN,
  postprocess=PostprocessParams(low=0.5, merge_gap_seconds=0.0),
  label_merge_gap_seconds={},
)
FRAME = 8 / 801
# 11 frames: the steps of the recurrent layers take the time.
TINY_SETTINGS = {
  "width": 0.125,
  "window_seconds": 0.1,
  "inference.window_hop_seconds": 0.06,
  "inference.discard_seconds": 0.02,
  "postprocess.per_label": {},
}
TINY = {
  name: override(MUSIC_SPEECH, {"baseline": name, **TINY_SETTINGS})
  for name in ("cnn", "crnn")
}


def table(*rows):
  return EventTable.from_rows(rows) if rows else EventTable.empty()


def rows_of(result):
  return [(e.start, e.end, e.label) for e in result.events]


# ---- networks ---------------------------------------------------------------


@pytest.mark.parametrize(
  "name, total, layers", [("cnn", 3_930_178, 17), ("crnn", 1_273_986, 6)]
)
def test_parameters_and_frames(name, total, layers):
  params = replace(MUSIC_SPEECH, input="log_mel")
  params = replace(params, baseline=name)  # one field away from YOHO
  model = yoho.build(params)
  assert model.count_params() == total
  assert model.input.keys() == {"log_mel"}
  assert [*model.output] == ["scores", "score_logits"]
  for key in (params.output, params.logits):
    assert model.output[key].shape == (None, 801, 2)
  channels = [c for _, _, c in yoho.TABLE[:layers]]
  bands = [32, 32, 16, 16, 8, 8, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2]
  for number in range(1, layers + 1):
    last = model.get_layer(
      f"layer{number}_pointwise_conv_relu" if number > 1 else "layer1_pool"
    )
    shape = (None, 801, bands[number - 1], channels[number - 1])
    assert last.output.shape == shape, number
  pools = [x for x in model.layers if x.name.endswith("_pool")]
  assert [x.name for x in pools] == [
    f"layer{n}_pool" for n in (1, 3, 5, 7, 13) if n <= layers
  ]
  for pool in pools:  # after the strided convolution's activation
    kind = "conv" if pool.name == "layer1_pool" else "depthwise_conv"
    before = model.get_layer(pool.name.replace("pool", f"{kind}_relu"))
    assert pool.input is before.output
    assert pool.pool_size == pool.strides == (1, 2)
  grus = [x for x in model.layers if isinstance(x, keras.layers.Bidirectional)]
  assert [x.output.shape[-1] for x in grus] == [160, 160] * (name == "crnn")


@pytest.mark.parametrize("name", ["cnn", "crnn"])
def test_one_step_trains_and_the_saved_model_is_the_same(name, tmp_path):
  params = replace(TINY[name], input="log_mel")
  model = yoho.build(params)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, params.window_frames, 64)).astype("float32")
  targets = np.stack(
    [yoho.encode(table((0.02 * i, 0.07, "music")), params) for i in range(3)]
  )
  trainer = keras.Model(model.input, model.output[params.logits])
  trainer.compile(
    keras.optimizers.SGD(0.01), yoho.loss(params), run_eagerly=True
  )
  losses = [trainer.train_on_batch(x, targets) for _ in range(2)]
  assert losses[1] < losses[0]
  model.save(tmp_path / "model.keras")
  again = keras.models.load_model(tmp_path / "model.keras")
  before, after = model({"log_mel": x}), again({"log_mel": x})
  for key in before:
    np.testing.assert_array_equal(before[key], after[key])
  logits = np.asarray(before["score_logits"], np.float64)
  np.testing.assert_allclose(
    before["scores"], 1 / (1 + np.exp(-logits)), atol=1e-6
  )


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"baseline": "rnn"}, "baseline must be one of none, cnn, crnn"),
    ({"baseline": "cnn", "slots": 2}, "slots must be 1 with the baseline cnn"),
    (
      {"baseline": "cnn", "lattice": "stride"},
      "lattice must be window with the baseline cnn.*received 'stride'",
    ),
  ],
)
def test_baselines_that_cannot_be(changes, message):
  with pytest.raises(ValueError, match=message):
    replace(PRESETS["yoho_tut2017"], **changes)


# ---- labels -----------------------------------------------------------------


def test_golden_frames():
  """Table 2 of the paper: music 0.2-4.3 s, speech 3.6-6.0 s."""
  assert BARE.window_cells == 801 and BARE.cell_seconds == pytest.approx(FRAME)
  targets = yoho.encode(table((0.2, 4.3, "music"), (3.6, 6, "speech")), BARE)
  assert targets.dtype == np.float32
  # 0.2 s is frame 20.03 and 4.3 s frame 430.54; 3.6 s 360.45, 6 s 600.75.
  expected = np.zeros((801, 2))
  expected[20:431, 1] = 1
  expected[360:601, 0] = 1
  np.testing.assert_array_equal(targets, expected)


def test_no_event_is_lost():
  events = table(
    (0.0, 1e-4, "music"), (4, 4.001, "music"), (7.9999, 8, "music")
  )
  targets, info = yoho.encode(events, BARE, return_info=True)
  assert np.flatnonzero(targets[:, 1]).tolist() == [0, 401, 800]
  assert info == {"num_joined": {"speech": 0, "music": 0}}
  near = table((1, 1.5, "speech"), (1.501, 2, "speech"), (3, 4, "music"))
  targets, info = yoho.encode(near, BARE, return_info=True)
  assert info == {"num_joined": {"speech": 1, "music": 0}}
  assert targets[:, 0].sum() == 100  # 1-2 s in one piece


def test_labels_merge_before_encoding():
  """The preset's gaps: speech 0.4 s, music 0.6 s."""
  events = [(0, 1), (1.5, 2)]
  both = [(*e, label) for e in events for label in ("music", "speech")]
  targets = yoho.encode(table(*both), CRNN)
  assert targets[100:150, 1].all() and not targets[101:150, 0].any()


def test_what_cannot_be_encoded_is_named():
  with pytest.raises(ValueError, match="end by the window's end, 8 s.*'music'"):
    yoho.encode(table((7, 8.5, "music")), CRNN)
  with pytest.raises(ValueError, match="did you mean 'music'"):
    yoho.encode(table((7, 8, "musik")), CRNN)


@st.composite
def events_of_a_window(draw, edges=None):
  """Rows with gaps above a frame; on frame edges where `edges` is True."""
  rows = []
  for label in BARE.labels:
    time = 0.0
    for _ in range(draw(st.integers(0, 6))):
      start = time + draw(st.floats(0, 1))
      end = start + draw(st.floats(1.01 * FRAME, 2))
      if edges:
        start, end = (round(t / FRAME) * FRAME for t in (start, end))
      end = min(end, 8.0)
      if end - start < FRAME / 2:
        break
      rows.append((start, end, label))
      time = end + 2.01 * FRAME
  return rows


def sorted_rows(rows):
  return sorted(rows, key=lambda row: (row[2], row[0]))


@given(events_of_a_window())
@settings(max_examples=60)
def test_decode_inverts_encode_to_half_a_frame(rows):
  result = yoho.decode({"scores": yoho.encode(table(*rows), BARE)}, BARE)
  got, wanted = sorted_rows(rows_of(result)), sorted_rows(rows)
  assert [row[2] for row in got] == [row[2] for row in wanted]
  for a, b in zip(got, wanted, strict=True):
    np.testing.assert_allclose(a[:2], b[:2], rtol=0, atol=FRAME / 2 + 1e-9)
  assert result.cell_seconds == pytest.approx(FRAME)
  assert result.scores.shape == (801, 2)


@given(events_of_a_window(edges=True))
@settings(max_examples=40)
def test_decode_inverts_encode_exactly_on_the_edges_of_frames(rows):
  targets = yoho_baselines.encode(table(*rows), BARE)
  result = yoho_baselines.decode({"scores": targets}, BARE)
  got, wanted = sorted_rows(rows_of(result)), sorted_rows(rows)
  assert len(got) == len(wanted)
  for a, b in zip(got, wanted, strict=True):
    np.testing.assert_allclose(a[:2], b[:2], rtol=0, atol=1e-6)
  np.testing.assert_array_equal(
    yoho.encode(result.events.replace(filename=""), BARE), targets
  )


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_windows_give_the_events_of_the_recording(seed):
  """8 s windows every 6 s, 1 s discarded at each inner side."""
  rng = np.random.default_rng(seed)
  params = replace(BARE, postprocess=replace(BARE.postprocess))
  duration = round(rng.uniform(1, 30), 2)
  rows, time = [], 0.0
  while time + 0.1 < duration:
    end = min(time + rng.uniform(0.1, 5), duration)
    rows.append((time, end, "speech"))
    time = end + rng.uniform(0.05, 3)
  events = table(*rows)
  count = yoho.num_windows(round(duration * 16_000), params)
  frames = [
    yoho.encode(events.crop(6 * i, 6 * i + 8), params) for i in range(count)
  ]
  result = yoho.decode(
    {"scores": np.stack(frames)}, params, duration_seconds=duration
  )
  # Where two windows meet, their frames lie apart by less than one.
  merged = result.events.merge(FRAME)
  assert len(merged) == len(rows)
  np.testing.assert_allclose(merged.start, events.start, rtol=0, atol=FRAME)
  np.testing.assert_allclose(merged.end, events.end, rtol=0, atol=FRAME)


# ---- decoding ---------------------------------------------------------------


def test_the_preset_s_smoothing_is_yoho_s():
  scores = np.zeros((801, 2))
  scores[100:160, 0] = 0.6  # .6 s of speech
  scores[230:300, 0] = 0.9  # .7 s later
  scores[400:470, 0] = 0.8  # 1 s later, shorter than .8 s: dropped
  scores[100:400, 1] = 0.7  # 3 s of music: shorter than 3.4 s
  (event,) = yoho.decode({"scores": scores}, CRNN).events
  assert event.label == "speech" and event.score == 0.9
  np.testing.assert_allclose(
    (event.start, event.end), (100 * FRAME, 300 * FRAME)
  )


@given(st.integers(0, 10_000), st.floats(0.5, 1), st.floats(0.5, 1))
@settings(max_examples=30)
def test_the_threshold_moves_no_boundary(seed, one, other):
  scores = {"scores": np.random.default_rng(seed).random((2, 801, 2)) ** 0.2}

  def at(threshold):
    params = override(BARE, {"postprocess.threshold": threshold})
    return yoho.decode(scores, params).events

  low, high = sorted((one, other))
  events = at(low)
  assert at(high) == events[events.score >= high]


@pytest.mark.parametrize("shape", [(801,), (801, 3), (2, 801, 2, 3)])
def test_wrong_shapes_are_errors(shape):
  with pytest.raises(ValueError, match=r"scores must have shape \[frames, 2\]"):
    yoho.decode({"scores": np.zeros(shape)}, CRNN)


def test_loss_is_the_mean_cross_entropy():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(3, 20, 2)).astype("float32") * 3
  targets = rng.integers(0, 2, (3, 20, 2)).astype("float32")
  p = 1 / (1 + np.exp(-logits.astype("float64")))
  error = -np.log(np.where(targets == 1, p, 1 - p))
  loss = yoho.loss(CRNN)
  assert float(loss(targets, logits)) == pytest.approx(error.mean(), abs=1e-5)
  weights = rng.integers(0, 2, error.shape).astype("float32")
  got = float(loss(targets, logits, sample_weight=weights))
  assert got == pytest.approx((weights * error).mean(), abs=1e-5)


# ---- prediction -------------------------------------------------------------


@pytest.fixture(scope="module", params=["cnn", "crnn"])
def saved(request, tmp_path_factory):
  """(weight file, settings, network) of a tiny baseline that hears events."""
  keras.utils.set_random_seed(1)
  params = TINY[request.param]
  network = yoho.build(replace(params, input="log_mel"))
  small.draw_kernels(network)
  path = tmp_path_factory.mktemp("baseline") / "own.weights.h5"
  network.save_weights(path)
  settings_ = {
    "baseline": request.param,
    **TINY_SETTINGS,
    "postprocess.low": 1e-3,
    "postprocess.threshold": 0.0,
    "postprocess.merge_gap_seconds": 0.0,
  }
  return path, settings_, network


def test_a_baseline_predicts_through_the_hub(saved):
  from yoho_tf.layers.frontend import log_mel_layer

  path, settings_, network = saved
  model = hub.load("yoho_music_speech", weights=path, settings=settings_)
  waveform = small.signal(0.2, seed=3)
  result = model.predict(waveform)
  padded = np.pad(waveform, (0, 1_600))
  starts = [0, 960, 1_920]  # ceil((.2 - .1) / .06) + 1 windows
  windows = np.stack([padded[i : i + 1_600] for i in starts])
  log_mel = log_mel_layer(model.params.frontend)(windows)
  scores = np.asarray(network({"log_mel": log_mel}, training=False)["scores"])
  assert scores.shape == (3, 11, 2) and np.ptp(scores) > 0.05
  (many,) = model.predict_many([waveform])
  expected = yoho.decode(
    {"scores": scores}, model.params, duration_seconds=0.2
  ).events
  for events in (result.events, many.events):
    assert len(events) == len(expected) > 0
    for column in ("start", "end", "score"):
      np.testing.assert_allclose(
        getattr(events, column), getattr(expected, column), atol=1e-4
      )
    assert events.end.max() <= 0.2


def test_weights_of_another_network_are_refused_in_one_line(saved):
  path, settings_, _ = saved
  other = {"cnn": "crnn", "crnn": "cnn"}[settings_["baseline"]]
  for changes in ({"baseline": other}, {"baseline": "none"}):
    with pytest.raises(ValueError, match="weights must fit.*own.weights") as e:
      hub.load(
        "yoho_music_speech", weights=path, settings={**settings_, **changes}
      )
    assert "\n" not in str(e.value)
