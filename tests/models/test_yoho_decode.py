"""YOHO's post-processing: windows, merging, one confidence per event."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, PostprocessParams, override

MUSIC_SPEECH = PRESETS["yoho_music_speech"]
TUT = PRESETS["yoho_tut2017"]
STRIDE = replace(PRESETS["yoho_everyday"], labels=("speech", "music"))
BARE = PostprocessParams(low=0.5, merge_gap_seconds=0.0)


def cells(params, *pieces, num_cells=25):
  """Outputs `[cells, classes, 3]` of (cell, column, presence, start, stop)."""
  outputs = np.zeros((num_cells, len(params.labels), 3))
  for cell, column, *values in pieces:
    outputs[cell, column] = values
  return outputs


def decoded(outputs, params, **options):
  events = yoho.decode({"events": outputs}, params, **options).events
  return [(round(e.start, 6), round(e.end, 6), e.label) for e in events]


def scores(outputs, params):
  return yoho.decode({"events": outputs}, params).events.score.tolist()


def test_result_carries_scores_and_names():
  outputs = cells(STRIDE, (0, 0, 0.9, 0.25, 1.0), (1, 0, 0.6, 0.0, 0.5))
  result = yoho.decode({"events": outputs}, STRIDE, filename="a.wav")
  assert result.labels == ("speech", "music")
  assert result.duration_seconds == 8.0 and result.cell_seconds == 0.32
  assert result.scores.shape == (25, 2) and result.filename == "a.wav"
  (event,) = result.events
  assert event.filename == "a.wav" and event.score == 0.9
  assert (event.start, event.end) == (0.08, 0.48)


@pytest.mark.parametrize(
  "shape, message",
  [
    ((25, 2), r"shape \[cells, 2, 3\]; received \(25, 2\)"),
    ((25, 3, 3), r"shape \[cells, 2, 3\]; received \(25, 3, 3\)"),
    ((25, 2, 6), r"shape \[cells, 2, 3\]; received \(25, 2, 6\)"),
    ((2, 25, 2, 3), "stitched to one row of cells.*received 2 windows"),
  ],
)
def test_wrong_shapes_are_errors(shape, message):
  with pytest.raises(ValueError, match=message):
    yoho.decode({"events": np.zeros(shape)}, STRIDE)


def test_nothing_present_is_an_empty_table():
  result = yoho.decode({"events": cells(STRIDE)}, STRIDE)
  assert len(result.events) == 0
  assert result.scores.max() == 0


def test_events_are_clipped_to_the_recording():
  outputs = cells(STRIDE, (2, 0, 1, 0, 1), (3, 0, 1, 0, 1), (9, 1, 1, 0, 1))
  assert decoded(outputs, STRIDE, duration_seconds=1.1) == [
    (0.64, 1.1, "speech")
  ]


def test_stop_before_start_is_swapped():
  outputs = cells(STRIDE, (1, 0, 1, 0.75, 0.25))
  assert decoded(outputs, STRIDE) == [(0.4, 0.56, "speech")]


@pytest.mark.parametrize(
  "gap, expected",
  [
    (0.16, [(0.0, 0.64, "speech")]),
    (0.159, [(0.0, 0.16, "speech"), (0.32, 0.64, "speech")]),
  ],
)
def test_merge_gap_is_inclusive(gap, expected):
  params = override(STRIDE, {"postprocess.merge_gap_seconds": gap})
  outputs = cells(params, (0, 0, 1, 0, 0.5), (1, 0, 1, 0, 1))
  assert decoded(outputs, params) == expected


def test_merging_comes_before_the_minimum_duration():
  params = override(
    STRIDE,
    {
      "postprocess.per_label.speech.min_duration_seconds": 0.4,
      "postprocess.per_label.music.min_duration_seconds": 0.16,
    },
  )
  outputs = cells(
    params,
    (0, 0, 1, 0.75, 1.0),  # .08 s, joined to .32 s: .4 s in all
    (1, 0, 1, 0.0, 1.0),
    (9, 0, 1, 0.0, 1.0),  # .32 s alone: too short
    (5, 1, 1, 0.0, 0.5),  # .16 s: exactly enough
    (8, 1, 1, 0.0, 0.4999),
  )
  assert decoded(outputs, params) == [
    (0.24, 0.64, "speech"),
    (1.6, 1.76, "music"),
  ]


def test_paper_music_speech_smoothing():
  """Gap .8 s for both; shorter than .8 s (speech), 3.4 s (music) goes."""
  outputs = cells(
    MUSIC_SPEECH,
    *[(j, c, 1, 0, 1) for j in (0, 1, 4, 5) for c in (0, 1)],  # .62 s apart
    (12, 0, 1, 0, 1),  # .31 s of speech
    num_cells=26,
  )
  assert decoded(outputs, MUSIC_SPEECH) == [(0.0, round(48 / 26, 6), "speech")]
  outputs = cells(
    MUSIC_SPEECH, *[(j, 1, 1, 0, 1) for j in range(12)], num_cells=26
  )
  assert decoded(outputs, MUSIC_SPEECH) == [(0.0, round(96 / 26, 6), "music")]


@pytest.mark.parametrize("gap, count", [(0.3, 2), (1.0, 1)])
def test_paper_environment_merge_gap_is_one_setting(gap, count):
  params = override(TUT, {"postprocess.merge_gap_seconds": str(gap)})
  outputs = cells(
    params, (1, 2, 1, 0, 1), (4, 2, 1, 0, 1), num_cells=9
  )  # 0.57 s apart
  assert len(decoded(outputs, params)) == count


# ---- windows of the paper's presets -----------------------------------------


@pytest.mark.parametrize(
  "name", ["yoho_music_speech", "yoho_tut2017", "yoho_urban_sed"]
)
def test_keep_zones_tile_the_recording(name):
  params = PRESETS[name]
  hop, length = params.inference.window_hop_seconds, params.window_seconds
  ones = np.zeros((4, params.window_cells, len(params.labels), 3))
  ones[..., 0] = ones[..., 2] = 1
  duration = 3 * hop + length - 0.37
  result = yoho.decode({"events": ones}, params, duration_seconds=duration)
  assert result.scores is None
  assert [(e.start, e.end) for e in result.events] == [(0.0, duration)] * len(
    params.labels
  )
  # Each window alone: its keep zone, first left edge and last right edge.
  discard = params.inference.discard_seconds
  for window in range(4):
    outputs = np.zeros_like(ones)
    outputs[window] = ones[window]
    start = window * hop + (discard if window else 0)
    end = window * hop + length - discard if window < 3 else duration
    for event in yoho.decode(
      {"events": outputs}, params, duration_seconds=duration
    ).events:
      np.testing.assert_allclose((event.start, event.end), (start, end))


def test_paper_code_windows():
  """Middle windows keep [6j + 1, 6j + 8); TUT takes the union."""
  params = override(
    replace(MUSIC_SPEECH, postprocess=BARE),
    {"inference.compat": "paper_code"},
  )
  windows = np.zeros((3, 26, 2, 3))
  windows[1, :, 0] = 1, 0, 1
  assert decoded(windows, params) == [(7.0, 14.0, "speech")]
  tut = replace(TUT, postprocess=BARE)
  windows = np.zeros((3, 9, 6, 3))
  windows[1, 0, 0] = 1, 0, 1  # 0-.284 s, inside the .3 s that are discarded
  assert decoded(windows, tut) == []
  tut = override(tut, {"inference.compat": "paper_code"})
  assert decoded(windows, tut) == [(1.96, 2.244, "brakes squeaking")]


@pytest.mark.parametrize(
  "name, seconds, count",
  [
    ("yoho_music_speech", 8.0, 1),
    ("yoho_music_speech", 8.01, 2),
    ("yoho_music_speech", 14.0, 2),
    ("yoho_music_speech", 14.01, 3),
    ("yoho_music_speech", 3600.0, 600),
    ("yoho_tut2017", 2.56, 1),
    ("yoho_tut2017", 4.52, 2),
    ("yoho_urban_sed", 10.0, 1),
    ("yoho_urban_sed", 18.0, 2),
  ],
)
def test_num_windows(name, seconds, count):
  params = PRESETS[name]
  samples = round(seconds * params.frontend.sample_rate_hz)
  assert yoho.num_windows(samples, params) == count


# ---- one confidence per event -----------------------------------------------


def test_score_is_the_largest_or_the_mean_presence():
  outputs = cells(STRIDE, *[(j, 0, p, 0, 1) for j, p in enumerate((0.4, 0.8))])
  assert scores(outputs, STRIDE) == [0.8]
  mean = override(STRIDE, {"postprocess.score": "mean"})
  np.testing.assert_allclose(scores(outputs, mean), [0.6])


def test_max_score_is_hysteresis():
  """Cells >= low make the event, one >= threshold keeps it."""
  weak, strong = (0.35, 0.4, 0.3), (0.35, 0.9, 0.3)
  outputs = cells(
    STRIDE,
    *[(j, 0, p, 0, 1) for j, p in enumerate(weak)],
    *[(j + 10, 0, p, 0, 1) for j, p in enumerate(strong)],
  )
  assert decoded(outputs, STRIDE) == [(3.2, 4.16, "speech")]


def test_calibration_is_per_label():
  params = override(
    STRIDE,
    {
      "postprocess.per_label.speech.calibration_a": 2.0,
      "postprocess.per_label.speech.calibration_b": -1.0,
    },
  )
  outputs = cells(params, (0, 0, 0.8, 0, 1), (5, 1, 0.8, 0, 1))
  # sigmoid(2 * ln(.8 / .2) - 1) = 16 / (16 + e) = 0.854770
  np.testing.assert_allclose(
    scores(outputs, params), [16 / (16 + np.e), 0.8], rtol=0, atol=1e-12
  )
  low = override(params, {"postprocess.per_label.speech.calibration_b": -4.0})
  assert decoded(outputs, low) == [(1.6, 1.92, "music")]  # .226 < .5


def test_calibration_of_certain_events_is_finite():
  params = override(STRIDE, {"postprocess.calibration_a": 3.0})
  (score,) = scores(cells(params, (0, 0, 1.0, 0, 1)), params)
  assert 0.999 < score <= 1.0


@given(
  seed=st.integers(0, 2**31),
  thresholds=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
  score=st.sampled_from(["max", "mean"]),
  slots=st.sampled_from([1, 2]),
  lattice=st.sampled_from(["stride", "window"]),
)
@settings(max_examples=60)
def test_the_threshold_moves_no_boundary(
  seed, thresholds, score, slots, lattice
):
  """Events at t2 are exactly those at t1 < t2 with a score of at least t2."""
  rng = np.random.default_rng(seed)
  labels = ("a", "b", "c")
  base = STRIDE if lattice == "stride" else MUSIC_SPEECH
  per_label = {
    label: {
      "low": float(rng.uniform(0.05, 0.6)),
      "merge_gap_seconds": float(rng.uniform(0, 0.6)),
      "min_duration_seconds": float(rng.uniform(0, 0.4)),
      "calibration_a": float(rng.uniform(0.2, 4)),
      "calibration_b": float(rng.normal()),
    }
    for label in labels[1:]
  }
  windows = 1 if lattice == "stride" else 3
  shape = (windows, base.window_cells, 3, 3 * slots)
  outputs = {"events": rng.random(shape) ** rng.uniform(0.5, 3)}

  def at(threshold):
    params = replace(
      base,
      labels=labels,
      slots=slots,
      postprocess=PostprocessParams(
        threshold=threshold, score=score, per_label=per_label
      ),
    )
    return yoho.decode(outputs, params).events

  low, high = sorted(thresholds)
  events = at(low)
  assert at(high) == events[events.score >= high]
