"""Tables of events: rules, identities, errors."""

import math

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.events import Event, EventTable

pytestmark = pytest.mark.edge

TIMES = st.integers(0, 400).map(lambda t: t / 20)
TEXT = st.sampled_from(["", "a", "b b", "été"])
MAYBE = st.one_of(st.just(math.nan), st.floats(0, 1))


@st.composite
def rows(draw):
  start = draw(TIMES)
  return Event(
    start,
    start + draw(st.integers(1, 60)) / 20,
    draw(st.sampled_from(["dog", "None", "car, big", 'quo"te'])),
    draw(MAYBE),
    draw(st.sampled_from(["", "x.wav", "y.wav"])),
    draw(MAYBE),
    draw(MAYBE.map(lambda x: x + 1)),
    draw(TEXT),
    draw(TEXT),
  )


TABLES = st.lists(rows(), max_size=12).map(EventTable.from_rows)
ONE_FILE = TABLES.map(lambda table: table.replace(filename="x.wav"))


def test_rows_columns_and_items_agree():
  table = EventTable.from_rows(
    [(0, 1, "dog"), Event(1.5, 2, " cat ", 0.5, filename="a.wav")]
  )
  same = EventTable.from_columns(
    start=np.array([0, 1.5], np.float32),
    end=[1, 2],
    label=np.array(["dog", "cat"]),
    score=[None, 0.5],
    filename=["", "a.wav"],
  )
  assert table == same
  assert len(table) == 2
  assert table[1][:5] == table[-1][:5] == (1.5, 2.0, "cat", 0.5, "a.wav")
  assert math.isnan(table[0].score) and type(table[0].start) is float
  assert [event.label for event in table] == ["dog", "cat"]
  assert table[:1] == table[[0]] == table[table.label == "dog"]
  assert len(table[[]]) == len(EventTable.empty()) == 0
  assert table[np.int64(0)].label == "dog"
  for index in (2, -3):
    with pytest.raises(IndexError):
      table[index]
  with pytest.raises(ValueError, match="read-only"):
    table.start[0] = 5
  assert table != table[::-1]
  assert table != 3
  assert repr(table) == "EventTable(2 events, 2 labels, 2 files)"


def test_making_a_table_leaves_the_callers_arrays_alone():
  start = np.array([0.0])
  table = EventTable.from_columns(start=start, end=[1], label="a")
  start[0] = 0.5
  assert table.start[0] == 0


@pytest.mark.parametrize(
  ("row", "rule"),
  [
    ((2, 2, "a"), "row 1: end must be greater than start, got 2.0"),
    ((2, 1, "a"), "row 1: end must be greater than start, got 1.0"),
    ((math.nan, 1, "a"), "row 1: start must be at least 0, got nan"),
    ((math.inf, math.inf, "a"), "row 1: start must be finite"),
    ((-0.1, 1, "a"), "row 1: start must be at least 0, got -0.1"),
    ((0, math.nan, "a"), "row 1: end must be finite"),
    ((0, math.inf, "a"), "row 1: end must be finite"),
    ((0, 1, "a", math.inf), "row 1: score must not be infinite"),
    ((0, 1, None), "row 1: label must be a str, got None"),
    ((0, 1, 7), "row 1: label must be a str, got 7"),
    ((0, 1), "row 1: must be"),
    ((0, 1, "a", 1, "f", 200, 100), "row 1: high_hz must not be below"),
    ((0, 1, "a", 1, "f", -1), "row 1: low_hz must be"),
    (("0", 1, "a"), "start must hold numbers"),
  ],
)
def test_errors_name_row_and_rule(row, rule):
  with pytest.raises(ValueError) as error:
    EventTable.from_rows([(0, 1, "fine"), row])
  assert str(error.value).startswith(rule)
  assert "\n" not in str(error.value)


def test_column_errors():
  with pytest.raises(ValueError, match="did you mean 'score'"):
    EventTable.from_columns(start=[0], end=[1], label="a", scores=[1])
  with pytest.raises(ValueError, match="as long as filename"):
    EventTable.from_columns(start=[0], end=[1, 2], label="a")
  with pytest.raises(ValueError, match="did you mean 'track'"):
    EventTable.empty().replace(tracks="a")


@given(TABLES)
@settings(max_examples=20)
def test_data_frame_round_trip(table):
  pytest.importorskip("pandas")
  df = table.to_df()
  assert list(df.columns)[:4] == ["filename", "start", "end", "label"]
  assert EventTable.from_df(df) == table


def test_from_df_fills_what_is_missing():
  pd = pytest.importorskip("pandas")
  df = pd.DataFrame({"label": ["None"], "start": [0], "end": [1], "x": [1]})
  assert EventTable.from_df(df) == EventTable.from_rows([(0, 1, "None")])
  df["filename"] = [None]
  assert EventTable.from_df(df).filename[0] == ""
  with pytest.raises(ValueError, match="df must have a column start"):
    EventTable.from_df(df.rename(columns={"start": "onset"}))


@given(TABLES, st.integers(0, 12))
def test_split_and_concat_is_the_identity(table, at):
  assert EventTable.concat([table[:at], table[at:]]) == table
  assert EventTable.concat([]) == EventTable.empty()


@given(TABLES, st.randoms(use_true_random=False), st.sampled_from([0, 0.1, 2]))
def test_merge_ignores_order_and_repeats(table, random, gap):
  merged = table.merge(gap)
  order = list(range(len(table)))
  random.shuffle(order)
  assert table[order].merge(gap) == merged
  assert merged.merge(gap) == merged
  assert merged.sort() == merged
  assert EventTable.concat([table, merged]).merge(gap).start.tolist() == (
    merged.start.tolist()
  )
  seconds = {(e.filename, e.label): 0.0 for e in table}
  for event in merged:
    seconds[event.filename, event.label] += event.end - event.start
  for (filename, label), total in seconds.items():
    mine = table[(table.filename == filename) & (table.label == label)]
    span = mine.end.max() - mine.start.min()
    assert total <= span + 1e-9


def test_merge_keeps_the_best_score_and_what_all_parts_share():
  table = EventTable.from_rows(
    [
      Event(1.3, 2, "a", 0.2, "f", 100, 200, "me", "t1"),
      Event(0, 1, "a", 0.9, "f", 50, 150, "me", "t2"),
      Event(0, 5, "b", filename="f"),
      Event(0, 1, "a", 0.4, "g"),
    ]
  )
  merged = table.merge(0.3)  # 1.3 - 1 is a little more than 0.3 in binary.
  assert merged == EventTable.from_rows(
    [
      Event(0, 2, "a", 0.9, "f", 50, 200, "me", ""),
      Event(0, 5, "b", filename="f"),
      Event(0, 1, "a", 0.4, "g"),
    ]
  )
  assert len(table.merge({"a": 0.2, "b": 0.0})) == 4
  assert len(table.merge({"a": 0.3, "b": 0.0})) == 3
  assert len(table.merge(math.inf)) == 3
  with pytest.raises(ValueError, match="gap_seconds must be one of a, got 'b'"):
    table.merge({"a": 0.2})
  for gap in (-1, math.nan):
    with pytest.raises(ValueError, match="gap_seconds must be at least 0"):
      table.merge(gap)


def test_merge_does_not_end_with_an_inner_event():
  table = EventTable.from_rows([(0, 10, "a"), (1, 2, "a"), (10.1, 11, "a")])
  assert table.merge(0.2) == EventTable.from_rows([(0, 11, "a")])


def test_cells_that_touch_on_paper_merge_with_gap_zero():
  cells = np.arange(2000)
  table = EventTable.from_columns(
    start=0.32 * cells, end=0.32 * cells + 0.32, label="a"
  )
  assert len(table.merge(0)) == 1


@given(ONE_FILE, TIMES, TIMES)
def test_crop_in_two_steps_equals_one(table, a, b):
  low, high = min(a, b), max(a, b) + 0.5
  cropped = table.crop(low, high)
  assert np.all(cropped.end <= high - low + 1e-9)
  kept = [e for e in table if min(e.end, high) > max(e.start, low)]
  assert [e.label for e in cropped] == [e.label for e in kept]
  again = table.crop(0, high).crop(low, high)
  assert again == cropped
  assert table.crop(0, math.inf) == table


def test_crop_needs_to_know_the_recording():
  table = EventTable.from_rows(
    [Event(0, 2, "a", filename="f"), Event(1, 2, "b", filename="g")]
  )
  with pytest.raises(ValueError, match="filename must be given"):
    table.crop(0, 1)
  assert table.crop(0.5, 1, filename="f")[0][:3] == (0, 0.5, "a")
  assert len(table.crop(0.5, 1, filename="g")) == 0  # it only touches
  for window in ((1, 1), (2, 1), (math.nan, 1), (0, math.nan)):
    with pytest.raises(ValueError, match="end must be greater than start"):
      table.crop(*window, filename="f")


def test_relabel_lists_what_is_missing_and_drops_none():
  table = EventTable.from_rows([(0, 1, "a"), (1, 2, "b"), (2, 3, "c")])
  assert table.relabel({"a": "x", "b": None, "c": "y"}).label.tolist() == [
    "x",
    "y",
  ]
  with pytest.raises(ValueError, match=r"lacks \['b', 'c'\]"):
    table.relabel({"a": "x"})
  assert len(EventTable.empty().relabel({})) == 0


def test_large_tables_need_no_loop():
  num_events = 200_000
  random = np.random.default_rng(0)
  start = random.uniform(0, 3600, num_events)
  table = EventTable.from_columns(
    start=start,
    end=start + random.uniform(0.01, 2, num_events),
    label=random.choice(["a", "b", "c"], num_events),
    filename=random.choice([f"{i}.wav" for i in range(500)], num_events),
  )
  merged = table.merge(0.2)
  assert 0 < len(merged) < num_events
  same = (merged.filename[1:] == merged.filename[:-1]) & np.diff(
    merged.start
  ).astype(bool)
  assert np.all(np.diff(merged.start)[same] > 0)
