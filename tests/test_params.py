"""Params: presets, overrides from a command line, JSON, cross-field rules."""

import dataclasses
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.labels import ClassMap
from yoho_tf.params import (
  PRESETS,
  Choice,
  FrontendParams,
  PostprocessParams,
  SceneParams,
  TrainingParams,
  YamnetParams,
  YohoInferenceParams,
  YohoLossParams,
  YohoParams,
  flatten,
  from_json,
  override,
  preset,
  system_of,
  to_json,
)

EVERYDAY = PRESETS["yoho_everyday"]
MUSIC_SPEECH = PRESETS["yoho_music_speech"]


# ---- presets ----------------------------------------------------------------


@pytest.mark.parametrize(
  "name, frames, cells, cell_seconds, classes",
  [
    ("yoho_music_speech", 801, 26, 8 / 26, 2),
    ("yoho_tut2017", 257, 9, 2.56 / 9, 6),
    ("yoho_urban_sed", 1001, 32, 0.3125, 10),
    ("yoho_everyday", 800, 25, 0.32, 8),
    ("yoho_urban", 800, 25, 0.32, 16),
  ],
)
def test_presets_frames_and_cells(name, frames, cells, cell_seconds, classes):
  params = preset(name)
  assert params.window_frames == frames
  assert params.window_cells == cells
  assert math.isclose(params.cell_seconds, cell_seconds, rel_tol=1e-12)
  assert len(params.labels) == classes


@pytest.mark.parametrize(
  "name, rate, fft, window, hop, bands, low, high, amin",
  [
    ("yoho_music_speech", 16000, 512, 400, 160, 64, 125, 7500, 1e-7),
    ("yoho_tut2017", 44100, 2048, 1764, 441, 40, 0, 22050, 1e-10),
    ("yoho_urban_sed", 44100, 2048, 1764, 441, 40, 0, 22050, 1e-10),
  ],
)
def test_paper_front_ends(name, rate, fft, window, hop, bands, low, high, amin):
  front = preset(name).frontend
  assert front.dialect == "yoho"
  assert front.sample_rate_hz == rate
  assert front.fft_length == fft
  assert front.stft_window_samples == window
  assert front.stft_hop_samples == hop
  assert (front.mel_bands, front.mel_min_hz, front.mel_max_hz) == (
    bands,
    low,
    high,
  )
  assert (front.amin, front.top_db, front.pad_mode) == (amin, 80, "reflect")


@pytest.mark.parametrize(
  "name, window, hop, discard, gap",
  [
    ("yoho_music_speech", 8, 6, 1.0, 0.8),
    ("yoho_tut2017", 2.56, 1.96, 0.3, 0.3),
    ("yoho_urban_sed", 10, 8, 1.0, 0.3),
  ],
)
def test_paper_windows_tile(name, window, hop, discard, gap):
  params = preset(name)
  assert params.window_seconds == window
  assert params.inference.window_hop_seconds == hop
  assert params.inference.discard_seconds == discard
  assert math.isclose(hop, window - 2 * discard)  # keep zones touch
  assert params.postprocess.merge_gap_seconds == gap
  assert params.postprocess.threshold == params.postprocess.low == 0.5


def test_paper_music_speech_durations_and_label_gaps():
  post = MUSIC_SPEECH.postprocess
  assert post.for_label("speech").min_duration_seconds == 0.8
  assert post.for_label("music").min_duration_seconds == 3.4
  assert post.for_label("speech").merge_gap_seconds == 0.8
  assert MUSIC_SPEECH.label_merge_gap_seconds == {"speech": 0.4, "music": 0.6}
  for name in ("yoho_tut2017", "yoho_urban_sed"):
    assert preset(name).label_merge_gap_seconds == {}


@pytest.mark.parametrize(
  "name, map_name",
  [
    ("yoho_everyday", "everyday"),
    ("yoho_everyday_medium", "everyday"),
    ("yoho_everyday_small", "everyday"),
    ("yoho_urban", "urban"),
  ],
)
def test_labels_are_the_class_map(name, map_name):
  assert preset(name).labels == ClassMap.bundled(map_name).names


def test_unknown_preset_says_which_are_near():
  with pytest.raises(ValueError, match=r"'yoho_everday'.*'yoho_everyday'"):
    preset("yoho_everday")


def test_cell_is_exactly_the_stride_of_the_network():
  assert EVERYDAY.cell_samples == 5120 == 32 * 160
  assert EVERYDAY.extra_samples == 240
  for samples, cells in [(1, 1), (5120, 1), (5121, 2), (16000, 4)]:
    assert EVERYDAY.num_cells(samples) == cells


def test_lattice_window_with_our_front_end():
  """The ablation "lattice window": frames inside the window, no recursion."""
  params = replace(EVERYDAY, lattice="window")
  assert params.window_frames == 798  # 1 + (128,000 - 400) // 160
  assert params.window_cells == 25


# ---- override ---------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_override_reads_every_setting_from_a_string(name):
  params = PRESETS[name]
  changes = {
    key: value if isinstance(value, str) else json.dumps(value)
    for key, value in flatten(dataclasses.asdict(params)).items()
  }
  assert override(params, changes) == params


@pytest.mark.parametrize(
  "key, value, expected",
  [
    ("frontend.mel_bands", "128", 128),
    ("frontend.mel_bands", 128, 128),
    ("width", "0.5", 0.5),
    ("width", "1", 1.0),
    ("width", 1, 1.0),
    ("activation", "relu", "relu"),
    ("labels", "a,b", ("a", "b")),
    ("labels", '["a, b", "c"]', ("a, b", "c")),
    ("labels", ["a"], ("a",)),
    ("inference.exact_stitching", "False", False),
    ("inference.exact_stitching", "true", True),
  ],
)
def test_override_values(key, value, expected):
  node = override(EVERYDAY, {key: value})
  for name in key.split("."):
    node = getattr(node, name)
  assert node == expected and type(node) is type(expected)


def test_override_reads_number_pairs():
  training = override(
    TrainingParams(), {"gain_db": "-3,2.5", "scene.num_events": "1,2"}
  )
  assert training.gain_db == (-3.0, 2.5)
  assert training.scene.num_events == Choice((1, 2))


def test_override_per_label():
  changes = {
    "postprocess.per_label.Tick-tock.low": "0.2",
    "postprocess.per_label.Tick-tock.threshold": 0.7,
    "postprocess.per_label.Chicken, rooster.merge_gap_seconds": "1",
  }
  post = override(EVERYDAY, changes).postprocess
  assert post.per_label == {
    "Tick-tock": {"low": 0.2, "threshold": 0.7},
    "Chicken, rooster": {"merge_gap_seconds": 1.0},
  }
  assert post.for_label("Tick-tock").threshold == 0.7
  assert post.for_label("Rain") == replace(post, per_label={})
  changed = override(MUSIC_SPEECH, {"label_merge_gap_seconds.speech": "0.5"})
  assert changed.label_merge_gap_seconds == {"speech": 0.5, "music": 0.6}


def test_override_labels_may_hold_dots():
  params = replace(EVERYDAY, labels=("St. Paul",))
  key = "postprocess.per_label.St. Paul.low"
  assert override(params, {key: "0.1"}).postprocess.per_label == {
    "St. Paul": {"low": 0.1}
  }
  key = "label_merge_gap_seconds.St. Paul"
  changed = override(params, {key: "0.1"})
  assert changed.label_merge_gap_seconds == {"St. Paul": 0.1}


@pytest.mark.parametrize(
  "key, value, message",
  [
    ("frontend.mel_band", 1, "did you mean 'mel_bands'"),
    ("frontent.mel_bands", 1, "did you mean 'frontend'"),
    ("frontend.mel_bands", "many", "of type int; received 'many'"),
    ("frontend.mel_bands", 1.5, "of type int; received 1.5"),
    ("frontend.mel_bands", True, "of type int; received True"),
    ("width", "NaN", "of type float; received nan"),
    ("width", "inf", "of type float; received 'inf'"),
    ("labels", 3, "of type tuple; received 3"),
    ("labels", "[1]", "of type str; received 1"),
    ("inference.exact_stitching", "1", "of type bool; received 1"),
    ("activation", 6, "of type str; received 6"),
    ("activation", "gelu", "activation must be one of relu, relu6"),
    ("width.x", 1, "'width' has no fields; received 'x'"),
    ("frontend", "3", "of type FrontendParams; received 3"),
    ("postprocess.per_label.Rain.lwo", 0.1, "received 'lwo'"),
    ("postprocess.per_label.Rain", 0.1, "must name a label and one of its"),
    ("postprocess.per_label.Rain.low", "x", "of type float; received 'x'"),
    ("postprocess.per_label.Rain.low", 2, r"lie in \(0, 1\)"),
  ],
)
def test_override_errors_name_key_rule_and_value(key, value, message):
  with pytest.raises(ValueError, match=message):
    override(EVERYDAY, {key: value})


def test_override_leaves_the_original_alone():
  before = to_json(EVERYDAY)
  override(EVERYDAY, {"postprocess.per_label.Rain.low": 0.2, "width": 0.5})
  assert to_json(EVERYDAY) == before


# ---- JSON -------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip_of_presets(name):
  text = to_json(PRESETS[name])
  assert from_json(text) == PRESETS[name]
  assert to_json(from_json(text)) == text
  assert json.loads(text)["system"] == name.split("_")[0]


FRACTION = st.floats(0.01, 0.99)
NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, unique=True)


@st.composite
def yoho_params(draw):
  labels = tuple(draw(NAMES))
  entry = st.fixed_dictionaries(
    {}, optional={"low": FRACTION, "calibration_a": st.floats(0.1, 9)}
  )
  per_label = st.dictionaries(st.sampled_from(labels), entry)
  gaps = st.dictionaries(st.sampled_from(labels), st.floats(0, 3))
  return YohoParams(
    labels=labels,
    window_seconds=draw(st.integers(1, 200)) * 0.32,
    width=draw(st.floats(0.01, 4)),
    slots=draw(st.integers(1, 3)),
    dropout=draw(FRACTION),
    label_merge_gap_seconds=draw(gaps),
    frontend=FrontendParams(mel_bands=draw(st.integers(1, 256))),
    loss=YohoLossParams(
      presence=draw(st.sampled_from(["squared", "bce", "focal"])),
      boundary_weight=draw(st.floats(0, 9)),
    ),
    postprocess=PostprocessParams(
      low=draw(FRACTION),
      calibration_b=draw(st.floats(-9, 9)),
      per_label=draw(per_label),
    ),
    inference=YohoInferenceParams(window_cells=draw(st.integers(16, 999))),
  )


@given(yoho_params())
@settings(max_examples=40)
def test_json_round_trip_of_any_params(params):
  again = from_json(to_json(params))
  assert again == params
  assert hash(again.labels) == hash(params.labels)  # tuples, not lists


@pytest.mark.parametrize(
  "text, message",
  [
    ("{", "must be JSON"),
    ("[]", "must name a system among yamnet, yoho"),
    ('{"system": "yolo"}', "received 'yolo'"),
    ('{"system": "yoho", "widht": 1}', "did you mean 'width'"),
    ('{"system": "yoho", "width": "1"}', "yoho.width.*float; received '1'"),
    (
      '{"system": "yoho", "frontend": {"mel_band": 1}}',
      "yoho.frontend.*did you mean 'mel_bands'",
    ),
  ],
)
def test_json_errors(text, message):
  with pytest.raises(ValueError, match=message):
    from_json(text)


def test_system_of_other_params():
  assert system_of(EVERYDAY) == "yoho"
  with pytest.raises(ValueError, match="received FrontendParams"):
    system_of(FrontendParams())


def test_params_are_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    EVERYDAY.width = 2.0


# ---- rules ------------------------------------------------------------------


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: FrontendParams(dialect="mfcc"), "frontend.dialect"),
    (lambda: FrontendParams(mel_bands=0), "mel_bands must be > 0"),
    (lambda: FrontendParams(mel_max_hz=9000.0), "max <= 8000"),
    (lambda: FrontendParams(mel_min_hz=7500.0), "min < max"),
    (
      lambda: FrontendParams(stft_hop_seconds=0.01001),
      "stft_hop_seconds must be a whole number of samples",
    ),
    (lambda: YamnetParams(patch_hop_seconds=0.475), "whole number of STFT"),
    (lambda: YamnetParams(labels=("a",)), "num_classes=521"),
    (lambda: YohoParams(labels=()), "not be empty"),
    (lambda: YohoParams(labels=("a", "a")), "be distinct"),
    (lambda: YohoParams(slots=0), "slots must be at least 1"),
    (lambda: YohoParams(width=0), "width must be > 0"),
    (lambda: YohoParams(window_seconds=2.5), "whole number of cells of 0.32"),
    (lambda: replace(MUSIC_SPEECH, window_seconds=0.0), "be > 0"),
    (lambda: replace(MUSIC_SPEECH, lattice="stride"), "frontend.dialect"),
    (lambda: YohoLossParams(boundary="l2"), "loss.boundary"),
    (lambda: PostprocessParams(low=0.0), r"lie in \(0, 1\)"),
    (lambda: PostprocessParams(calibration_a=0.0), "calibration_a"),
    (lambda: PostprocessParams(score="median"), "postprocess.score"),
    (
      lambda: PostprocessParams(per_label={"a": {"calibration_a": -1.0}}),
      "calibration_a must be > 0",
    ),
    (lambda: YohoInferenceParams(compat="authors"), "inference.compat"),
    (lambda: YohoInferenceParams(window_cells=15), "window_cells must exceed"),
    (lambda: SceneParams(snr_db=(3.0, 1.0)), "scene.snr_db"),
    (lambda: SceneParams(duration_seconds=0.0), "duration_seconds"),
  ],
)
def test_rules_are_errors(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize("margins", [(6, 8), (7, 7)])
def test_margins_below_the_reach_are_rejected(margins):
  left, right = margins
  with pytest.raises(ValueError, match="at least 7, 8 while exact_stitching"):
    YohoInferenceParams(discard_left_cells=left, discard_right_cells=right)
  YohoInferenceParams(
    discard_left_cells=left, discard_right_cells=right, exact_stitching=False
  )
