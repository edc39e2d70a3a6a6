"""YOHO's labels: goldens, rules, and defects of the references.

Tests named test_d<n>_ and test_u<n>_ prove that a defect of the reference
implementations is not here.
"""

from dataclasses import replace

import numpy as np
import pytest

from yoho_tf.events import EventTable
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, PostprocessParams, override

MUSIC_SPEECH = PRESETS["yoho_music_speech"]
TUT = PRESETS["yoho_tut2017"]
URBAN_SED = PRESETS["yoho_urban_sed"]
EVERYDAY = PRESETS["yoho_everyday"]
STRIDE = replace(EVERYDAY, labels=("speech", "music"))
BARE = replace(  # no merging of pieces apart, nothing deleted
  MUSIC_SPEECH, postprocess=PostprocessParams(low=0.5, merge_gap_seconds=0.0)
)
TABLE_2 = [(0.2, 4.3, "music"), (3.6, 6.0, "speech")]


def table(*rows):
  return EventTable.from_rows(rows)


def piece(params, *cells):
  """Outputs of one window: `(cell, column, values of the slots)`."""
  shape = (params.window_cells, len(params.labels), 3 * params.slots)
  outputs = np.zeros(shape)
  for cell, column, values in cells:
    outputs[cell, column, : len(values)] = values
  return outputs


def decoded(outputs, params, **options):
  """[(start, end, label)] rounded to a microsecond."""
  events = yoho.decode({"events": outputs}, params, **options).events
  return [(round(e.start, 6), round(e.end, 6), e.label) for e in events]


# ---- goldens ----------------------------------------------------------------


def test_golden_table_2_of_the_paper():
  expected = np.zeros((26, 2, 3))
  expected[0, 1] = 1, 0.65, 1
  expected[1:13, 1] = 1, 0, 1
  expected[13, 1] = 1, 0, 0.975
  expected[11, 0] = 1, 0.7, 1
  expected[12:19, 0] = 1, 0, 1
  expected[19, 0] = 1, 0, 0.5
  targets = yoho.encode(table(*TABLE_2), MUSIC_SPEECH)
  assert targets.dtype == np.float32
  np.testing.assert_allclose(targets, expected, rtol=0, atol=1e-6)


def test_golden_on_cells_of_320_ms():
  expected = np.zeros((25, 2, 3))
  expected[0, 1] = 1, 0.625, 1
  expected[1:13, 1] = 1, 0, 1
  expected[13, 1] = 1, 0, 0.4375
  expected[11, 0] = 1, 0.25, 1
  expected[12:18, 0] = 1, 0, 1
  expected[18, 0] = 1, 0, 0.75
  targets = yoho.encode(table(*TABLE_2), STRIDE)
  np.testing.assert_allclose(targets, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
  "slots, expected, joined",
  [(2, (1, 0.125, 0.3125, 1, 0.625, 0.875), 0), (1, (1, 0.125, 0.875), 1)],
)
def test_golden_slots(slots, expected, joined):
  params = replace(STRIDE, slots=slots)
  targets, info = yoho.encode(
    table((0.04, 0.10, "music"), (0.20, 0.28, "music")),
    params,
    return_info=True,
  )
  np.testing.assert_allclose(targets[0, 1], expected, rtol=0, atol=1e-6)
  assert not targets[1:].any() and not targets[:, 0].any()
  assert info == {"num_joined": {"speech": 0, "music": joined}}


def test_slots_join_the_two_pieces_with_the_smallest_gap():
  rows = [(0.0, 0.04), (0.08, 0.12), (0.14, 0.20), (0.28, 0.32)]
  targets, info = yoho.encode(
    table(*[(a, b, "music") for a, b in rows]),
    replace(STRIDE, slots=2),
    return_info=True,
  )
  # Gaps .04, .02, .08: first the second one closes, then the first.
  expected = (1, 0, 0.625, 1, 0.875, 1)
  np.testing.assert_allclose(targets[0, 1], expected, rtol=0, atol=1e-6)
  assert info["num_joined"]["music"] == 2


def test_golden_paper_code_end():
  outputs = piece(BARE, (0, 0, (1, 0.25, 0.75)))
  ((start, end, _),) = decoded(outputs, BARE)
  assert abs(start - 0.0769) < 5e-5 and abs(end - 0.2308) < 5e-5
  code = override(BARE, {"inference.compat": "paper_code"})
  assert decoded(outputs, code) == [(0.077, 0.308, "speech")]


def test_cell_edges_fall_into_their_own_cell():
  edges = np.arange(2000)
  # The trap: floor division of doubles errs on 992 of these 2,000 edges.
  assert ((edges * 0.32) // 0.32 != edges).sum() == 992
  assert 8.0 // (8 / 26) == 25
  starts = EventTable.from_columns(
    start=edges * 0.32, end=edges * 0.32 + 0.1, label="speech"
  )
  targets = yoho.encode(starts, STRIDE, num_cells=2001)
  np.testing.assert_allclose(
    targets[:2000, 0], np.tile([1, 0, 0.3125], (2000, 1)), atol=1e-6
  )
  ends = EventTable.from_columns(
    start=edges[1:] * 0.32 - 0.1, end=edges[1:] * 0.32, label="speech"
  )
  targets = yoho.encode(ends, STRIDE, num_cells=2001)
  np.testing.assert_allclose(
    targets[:1999, 0], np.tile([1, 0.6875, 1], (1999, 1)), atol=1e-6
  )
  assert not targets[1999:].any()


# ---- encode: rules ----------------------------------------------------------


@pytest.mark.parametrize("params", [MUSIC_SPEECH, STRIDE])
@pytest.mark.parametrize(
  "row, message",
  [
    ((2.0, 2.0, "speech"), "end must be greater than start.*'speech'"),
    ((3.0, 2.0, "speech"), "end must be greater than start.*'speech'"),
    ((np.nan, 2.0, "speech"), "start must .*'speech'"),
    ((1.0, np.nan, "speech"), "end must be finite.*'speech'"),
    ((-0.1, 2.0, "speech"), "start must be at least 0.*'speech'"),
    ((1.0, 8.0011, "speech"), "end by the window's end, 8 s.*'speech' 1-8"),
    ((8.0, 8.0005, "speech"), "start before the window's end, 8 s.*'speech'"),
    ((1.0, 2.0, "speach"), "'speach'; did you mean 'speech'"),
  ],
)
def test_encode_errors_name_event_and_rule(params, row, message):
  with pytest.raises(ValueError, match=message):
    yoho.encode(table((0.5, 1.0, "music"), row), params)


@pytest.mark.parametrize("params", [MUSIC_SPEECH, STRIDE])
def test_end_is_snapped_within_a_millisecond(params):
  exact = yoho.encode(table((7.9, 8.0, "music")), params)
  np.testing.assert_array_equal(
    yoho.encode(table((7.9, 8.0009, "music")), params), exact
  )
  assert exact[-1, 1, 0] == 1 and exact[-1, 1, 2] == 1
  assert not exact[:-1].any()


def test_label_merge_gaps_are_per_label():
  rows = [(1.0, 2.0), (2.5, 3.0)]  # .5 s apart: above speech's .4, not .6
  events = table(*[(a, b, c) for c in ("speech", "music") for a, b in rows])
  targets = yoho.encode(events, MUSIC_SPEECH)
  cell = int(2.3 / MUSIC_SPEECH.cell_seconds)
  assert targets[cell, 1, 0] == 1 and targets[cell, 0, 0] == 0
  joined = yoho.encode(
    table((1.0, 3.0, "music"), *[(a, b, "speech") for a, b in rows]),
    MUSIC_SPEECH,
  )
  np.testing.assert_array_equal(targets, joined)


def test_overlapping_events_of_a_class_are_one():
  whole = yoho.encode(table((1.0, 3.0, "music")), STRIDE)
  parts = table((1.5, 3.0, "music"), (1.0, 2.0, "music"), (1.2, 1.4, "music"))
  np.testing.assert_array_equal(yoho.encode(parts, STRIDE), whole)


# ---- defects of the references ----------------------------------------------


def test_d1_stop_is_relative_to_the_cell():
  assert decoded(piece(BARE, (3, 1, (1, 0.5, 1.0))), BARE) == [
    (round(3.5 * 8 / 26, 6), round(4 * 8 / 26, 6), "music")
  ]


def test_d2_second_event_in_a_cell_is_not_lost():
  events = table((0.04, 0.10, "music"), (0.20, 0.28, "music"))
  two = override(
    replace(STRIDE, slots=2), {"postprocess.merge_gap_seconds": 0.05}
  )
  assert decoded(yoho.encode(events, two), two) == [
    (0.04, 0.10, "music"),
    (0.20, 0.28, "music"),
  ]
  targets, info = yoho.encode(events, STRIDE, return_info=True)
  assert decoded(targets, STRIDE) == [(0.04, 0.28, "music")]
  assert info["num_joined"]["music"] == 1  # said, not silent


def test_d3_label_cells_are_the_cells_of_the_network():
  assert STRIDE.cell_seconds == STRIDE.STRIDE_FRAMES * 0.01 == 0.32
  # On the window lattice the last cell starts at 7.69 s; the network's 26th
  # cell of 32 frames would start at 8 s. On ours, event and cell agree.
  start = 24 * 0.32
  targets = yoho.encode(table((start, 8.0, "music")), STRIDE)
  np.testing.assert_allclose(targets[24, 1], (1, 0, 1), atol=1e-6)


def test_d4_edges_are_errors_or_exact():
  with pytest.raises(ValueError, match="start before the window's end"):
    yoho.encode(table((8.0, 8.0001, "music")), MUSIC_SPEECH)
  targets = yoho.encode(table((7.0, 8.0, "music")), MUSIC_SPEECH)
  positives = targets[targets[..., 0] > 0]
  assert (positives[:, 2] > positives[:, 1]).all()  # no zero-length positive
  # An end on a cell edge opens no cell behind it.
  edge = 5 * MUSIC_SPEECH.cell_seconds
  targets = yoho.encode(table((1.0, edge, "music")), MUSIC_SPEECH)
  assert targets[4, 1, 0] == 1 and not targets[5].any()
  # Nothing is rounded before binning.
  ((start, end, _),) = decoded(
    yoho.encode(table((0.123456, 0.654321, "music")), BARE), BARE
  )
  assert (start, end) == (0.123456, 0.654321)


def test_d5_pieces_are_sorted_before_they_merge():
  two = replace(STRIDE, slots=2)
  outputs = piece(two, (0, 0, (1, 0.5, 0.9, 0.8, 0.1, 0.6)))
  assert decoded(outputs, two) == [
    (round(0.1 * 0.32, 6), round(0.9 * 0.32, 6), "speech")
  ]
  # A nested piece does not shorten the event.
  outputs = piece(two, (0, 0, (1, 0.1, 0.9, 1, 0.2, 0.3)))
  assert decoded(outputs, two) == [
    (round(0.1 * 0.32, 6), round(0.9 * 0.32, 6), "speech")
  ]
  code = override(two, {"inference.compat": "paper_code"})
  outputs = piece(two, (0, 0, (1, 0.5, 0.4, 1, 0.1, 0.5)))
  assert decoded(outputs, code) == [(0.16, 0.288, "speech")]


def test_d6_middle_windows_keep_their_zone_only():
  code = override(BARE, {"inference.compat": "paper_code"})
  windows = np.zeros((3, 26, 2, 3))
  windows[1, 24:, 0] = 1, 0, 1  # 7.38-8 s of the middle window
  assert decoded(windows, BARE) == []
  assert decoded(windows, code) == [(13.385, 14.0, "speech")]
  windows[1, 24:] = 0
  windows[1, :3, 0] = 1, 0, 1  # 0-0.92 s: the first window's
  assert decoded(windows, BARE) == [] == decoded(windows, code)
  for seconds in (1 / 16_000, 0.5, 2.0):
    assert yoho.num_windows(round(seconds * 16_000), BARE) == 1


def test_d7_every_class_has_its_own_boundaries():
  rng = np.random.default_rng(1)
  bare = replace(TUT, postprocess=BARE.postprocess)
  pairs = np.sort(rng.uniform(0, 1, (6, 2)), axis=1)
  outputs = piece(bare, *[(4, i, (1, *pair)) for i, pair in enumerate(pairs)])
  events = yoho.decode({"events": outputs}, bare).events
  for label, pair in zip(bare.labels, pairs, strict=True):
    (event,) = events[events.label == label]
    np.testing.assert_allclose(
      (event.start, event.end), (4 + pair) * bare.cell_seconds
    )


def test_d12_thresholds_are_per_class():
  params = override(
    STRIDE,
    {
      "postprocess.per_label.speech.threshold": 0.8,
      "postprocess.per_label.music.low": 0.1,
      "postprocess.per_label.music.threshold": 0.2,
    },
  )
  outputs = piece(params, (0, 0, (0.7, 0, 1)), (0, 1, (0.25, 0, 1)))
  assert decoded(outputs, params) == [(0, 0.32, "music")]
  assert params.loss.presence == "bce"  # not the squared error on sigmoids


def test_u2_urban_targets_are_cells():
  events = table((0.0, 10.0, "siren"), (1.0, 1.1, "gun_shot"))
  targets = yoho.encode(events, URBAN_SED)
  assert targets.shape == (32, 10, 3)  # not [frames, classes]
  np.testing.assert_allclose(targets[:, 8], np.tile([1.0, 0, 1], (32, 1)))
  np.testing.assert_allclose(targets[3, 6], (1, 0.2, 0.52), atol=1e-6)


def test_u3_an_excess_below_one_hop_makes_no_window():
  count = [yoho.num_windows(441_000 + n, URBAN_SED) for n in (0, 1, 440, 441)]
  assert count == [1, 1, 1, 2]
  # The same behind any later window.
  hop = 8 * 44_100
  for windows in (2, 5):
    fits = 441_000 + (windows - 1) * hop
    assert yoho.num_windows(fits, URBAN_SED) == windows
    assert yoho.num_windows(fits + 440, URBAN_SED) == windows
    assert yoho.num_windows(fits + 441, URBAN_SED) == windows + 1
