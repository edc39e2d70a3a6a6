"""Streams say what `predict` says, however the samples are cut."""

import dataclasses
import gc
import itertools
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import small
from yoho_tf import audio, hub, predictor, resampling
from yoho_tf.events import EventTable
from yoho_tf.models import yamnet, yoho
from yoho_tf.params import (
  FrontendParams,
  PostprocessParams,
  YamnetParams,
  YohoInferenceParams,
  YohoParams,
)
from yoho_tf.streaming import Stream

edge = pytest.mark.edge
LABELS = ("music", "speech")
# 64 samples a cell: hours of it pass quickly.
FRONTEND = FrontendParams(sample_rate_hz=200, mel_min_hz=10, mel_max_hz=100)
CELL, EXTRA, WIDTH = 64, 3, 0.32
PARAMS = YohoParams(labels=LABELS, frontend=FRONTEND)
UNIT = 2.0**-20  # samples of cell j are j times this, exact in float32


class Script:
  """A network whose answer for cell j of the stream is row j of an array.

  It knows the cell from the samples, and checks that all of them are there.
  """

  def __init__(self, rows):
    self.rows = rows

  def __call__(self, inputs):
    (samples,) = inputs["waveform"]
    num_cells = (len(samples) - EXTRA) // CELL
    assert len(samples) == num_cells * CELL + EXTRA
    cells = np.round(samples[: -EXTRA or None : CELL] / UNIT).astype(int)
    first = cells[0]
    np.testing.assert_array_equal(cells, first + np.arange(num_cells))
    codes = np.round(samples / UNIT).astype(int)
    expected = first + np.arange(len(samples)) // CELL
    assert np.all((codes == expected) | (codes == 0))  # 0: past the end
    return {"events": self.rows[cells][None]}


def waveform_of(num_samples):
  return (np.arange(num_samples) // CELL * UNIT).astype(np.float32)


def scripted(rows, params=PARAMS):
  return predictor.YohoModel("script", params, Script(rows))


def cells(num_cells, *pieces, slots=1):
  """`[cells, classes, 3]` of (cell, column, presence, start, stop)."""
  rows = np.zeros((num_cells, len(LABELS), 3 * slots), np.float32)
  for cell, column, *values in pieces:
    rows[cell, column] = values
  return rows


def random_rows(seed, num_cells, density, slots):
  """Runs of full cells, single pieces, presence on either side of limits."""
  random = np.random.default_rng(seed)
  shape = num_cells, len(LABELS), slots
  presence = random.choice([0.2, 0.3, 0.4, 0.5, 0.9], shape)
  presence[random.random(shape) >= density] = 0
  edges = random.choice([0, 0.25, 0.5, 0.75, 1], (*shape, 2))
  full = random.random(shape) < 0.5
  edges[full] = 0, 1
  rows = np.concatenate([presence[..., None], edges], axis=-1)
  return rows.reshape(num_cells, len(LABELS), -1).astype(np.float32)


def answers(stream, waveform, sizes):
  """Yields what a stream answers; `sizes` are repeated to the end."""
  sizes, first = itertools.cycle(sizes), 0
  while first < len(waveform):
    size = next(sizes)
    yield stream.push(waveform[first : first + size])
    first += size
  yield stream.finish()


def pushed(stream, waveform, sizes):
  return list(answers(stream, waveform, sizes))


def final(found):
  return EventTable.concat(answer.final for answer in found).sort()


def assert_events(got, expected, *, atol=0.0):
  """The same rows, in order; atol of times and scores."""
  assert list(got.label) == list(expected.label)
  for column in ("start", "end", "score"):
    values = getattr(got, column), getattr(expected, column)
    np.testing.assert_allclose(*values, rtol=0, atol=max(atol, 1e-12))
    if not atol and column != "score":  # a mean may add up in another order
      np.testing.assert_array_equal(*values)


chunk_sizes = st.one_of(
  st.just([1]),
  st.lists(st.integers(0, 40_000), min_size=1, max_size=8).filter(any),
  st.lists(st.integers(1, 300), min_size=1, max_size=8),
)


# ---- the same events --------------------------------------------------------


@edge
@settings(max_examples=100)
@given(data=st.data())
def test_final_events_are_those_of_the_whole(data):
  draw = data.draw
  slots = draw(st.sampled_from([1, 2]))
  num_samples = draw(st.integers(1, 70 * CELL))
  exact = draw(st.booleans())
  margins = (7, 8) if exact else draw(st.tuples(*[st.integers(0, 9)] * 2))
  hop = draw(st.integers(1, 20))
  one = st.fixed_dictionaries(
    {
      "merge_gap_seconds": st.sampled_from([0.0, 0.16, 0.32, 0.5, 2.0]),
      "min_duration_seconds": st.sampled_from([0.0, 0.2, 1.0]),
      "calibration_b": st.sampled_from([0.0, 1.0]),
    }
  )
  params = dataclasses.replace(
    PARAMS,
    slots=slots,
    postprocess=PostprocessParams(
      score=draw(st.sampled_from(["max", "mean"])),
      per_label={label: draw(one) for label in LABELS},
    ),
    inference=YohoInferenceParams(
      window_cells=sum(margins) + 1,
      discard_left_cells=margins[0],
      discard_right_cells=margins[1],
      exact_stitching=exact,
    ),
  )
  rows = random_rows(
    draw(st.integers(0, 2**20)),
    -(-num_samples // CELL),
    draw(st.sampled_from([0.02, 0.3, 0.7, 1.0])),
    slots,
  )
  stream = Stream(
    scripted(rows, params),
    hop_cells=hop,
    window_cells=sum(margins) + hop + draw(st.integers(0, 3)),
  )
  waveform = waveform_of(num_samples)
  found = pushed(stream, waveform, draw(chunk_sizes))
  whole = yoho.decode(
    {"events": rows}, params, duration_seconds=num_samples / 200
  )
  assert_events(final(found), whole.events)
  assert_events(stream.model.predict(waveform).events, whole.events)
  assert stream.seconds == num_samples / 200
  assert len(found[-1].provisional) == 0


ALWAYS = [(j, 0, 0.9, 0, 1) for j in range(61)]
SEAMS = range(10, 61, 10)  # of windows of 25 cells that keep 17, then 10


@edge
@pytest.mark.parametrize(
  ("pieces", "expected"),
  [
    ([], []),
    (ALWAYS, [(0, 19.3)]),  # clipped to the stream
    # Across every seam, and one event each.
    (
      [
        p for j in SEAMS for p in ((j + 6, 0, 1, 0.5, 1), (j + 7, 0, 1, 0, 0.5))
      ],
      [((j + 6.5) * WIDTH, min((j + 7.5) * WIDTH, 19.3)) for j in SEAMS],
    ),
    # Up to every seam, and from every seam on.
    (
      [(j + 6, 0, 1, 0.5, 1) for j in SEAMS if j < 60],
      [((j + 6.5) * WIDTH, (j + 7) * WIDTH) for j in SEAMS if j < 60],
    ),
    (
      [(j + 7, 0, 1, 0, 0.5) for j in SEAMS if j < 60],
      [((j + 7) * WIDTH, (j + 7.5) * WIDTH) for j in SEAMS if j < 60],
    ),
    ([(60, 0, 1, 0, 0.2)], [(60 * WIDTH, 60.2 * WIDTH)]),  # the partial cell
    ([(60, 0, 1, 0.9, 1)], []),  # past the end
    ([(0, 0, 1, 0, 0.1)], [(0, 0.032)]),
  ],
)
def test_events_on_the_seams(pieces, expected):
  num_samples = 3860  # 19.3 s: 60.3 cells
  pieces = [piece for piece in pieces if piece[0] <= 60]
  expected = [pair for pair in expected if pair[0] < 19.3]
  stream = Stream(scripted(cells(61, *pieces)))
  found = pushed(stream, waveform_of(num_samples), [97])
  times = [(event.start, event.end) for event in final(found)]
  np.testing.assert_allclose(
    np.reshape(times, (-1, 2)), np.reshape(expected, (-1, 2)), atol=1e-6
  )


@pytest.fixture(scope="module")
def network():
  """Weights from a seed, through Keras."""
  pytest.importorskip("keras")
  return hub._yoho_of_keras("small", small.network(), small.PARAMS)


@settings(max_examples=5)
@given(
  sizes=chunk_sizes.filter(lambda sizes: np.mean(sizes) > 20),
  num_samples=st.integers(1, 12 * small.RATE),
  seed=st.integers(0, 9),
  hop=st.sampled_from([3, 10]),
)
def test_a_network_with_random_weights(network, sizes, num_samples, seed, hop):
  waveform = small.signal(12, seed=seed)[:num_samples]
  stream = Stream(network, hop_cells=hop)
  found = pushed(stream, waveform, sizes)
  assert_events(final(found), stream.model.predict(waveform).events)
  # Exact stitching: one pass over everything, too.
  assert_events(final(found), network.predict(waveform).events, atol=1e-4)


def test_less_look_ahead_costs_exactness_not_equality(network):
  plan = YohoInferenceParams(discard_right_cells=2, exact_stitching=False)
  params = dataclasses.replace(network.params, inference=plan)
  stream = Stream(network.with_params(params))
  assert stream.latency_seconds == Stream(network).latency_seconds - 6 * WIDTH
  waveform = small.signal(10, seed=3)
  got = final(pushed(stream, waveform, [5000]))
  assert_events(got, stream.model.predict(waveform).events)
  whole = network.predict(waveform).events
  assert len(got) != len(whole) or np.abs(got.score - whole.score).max() > 1e-4


@edge
@pytest.mark.parametrize("baseline", ["none", "crnn"])
@settings(max_examples=15)
@given(
  num_samples=st.integers(1, 5000), sizes=chunk_sizes, seed=st.integers(0, 99)
)
def test_the_paper_s_windows(baseline, num_samples, sizes, seed):
  params = dataclasses.replace(
    small.PAPER,
    baseline=baseline,
    frontend=dataclasses.replace(
      small.PAPER.frontend, sample_rate_hz=200, mel_min_hz=0, mel_max_hz=100
    ),
  )

  def network(inputs):
    (samples,) = inputs["waveform"]
    assert len(samples) == params.window_samples
    random = np.random.default_rng(zlib.crc32(samples.tobytes()))
    values = 1 if baseline != "none" else 3
    rows = random.random((1, params.window_cells, 2, values)) ** 3
    if baseline != "none":
      return {"scores": rows[..., 0]}
    rows[..., 1:] = np.round(rows[..., 1:], 1)
    return {"events": rows}

  model = predictor.YohoModel("paper", params, network)
  random = np.random.default_rng(seed)
  waveform = random.uniform(-1, 1, num_samples).astype(np.float32)
  stream = Stream(model)
  found = pushed(stream, waveform, sizes)
  assert_events(final(found), model.predict(waveform).events)


# ---- provisional ------------------------------------------------------------


@edge
@settings(max_examples=20)
@given(seed=st.integers(0, 2**20), density=st.sampled_from([0.3, 0.7]))
def test_what_runs_on_keeps_its_name_and_comes_true(seed, density):
  stream = Stream(scripted(random_rows(seed, 120, density, 1)), hop_cells=2)
  before, done = {}, set()
  for answer in pushed(stream, waveform_of(120 * CELL), [50]):
    left = {(e.start, e.label): e for e in answer.final}
    now = {(e.start, e.label): e for e in answer.provisional}
    assert not done & (set(left) | set(now))  # final means final
    for key, event in before.items():
      later = left.get(key) or now[key]  # none gets lost
      assert later.end >= event.end and later.score >= event.score
    before, done = now, done | set(left)
  assert done and not before


@edge
def test_an_event_that_runs_on_is_seen_before_it_is_over():
  stream = Stream(scripted(cells(61, *ALWAYS[10:40])), hop_cells=1)
  seen = {}
  for answer in answers(stream, waveform_of(61 * CELL), [CELL]):
    assert len(answer.final) + len(answer.provisional) <= 1
    for name, events in answer._asdict().items():
      for event in events:
        seen.setdefault(name, stream.seconds)
        assert event.start == 10 * WIDTH and event.label == "music"
  # Cell 10 and 8 cells of look-ahead, in chunks of a cell.
  assert seen["provisional"] == pytest.approx(20 * WIDTH)
  # Its end, a merge gap of half a cell, so cell 40, and 8 cells.
  assert seen["final"] == pytest.approx(50 * WIDTH)


@edge
@settings(max_examples=20)
@given(
  seed=st.integers(0, 2**20),
  hop=st.integers(1, 12),
  gap=st.sampled_from([0.0, 0.16, 0.7]),
)
def test_the_stated_latency_holds(seed, hop, gap):
  params = dataclasses.replace(
    PARAMS, postprocess=PostprocessParams(merge_gap_seconds=gap)
  )
  stream = Stream(
    scripted(random_rows(seed, 100, 0.2, 1), params), hop_cells=hop
  )
  extra = EXTRA / 200
  assert stream.latency_seconds == pytest.approx(
    gap + (hop + 8) * WIDTH + extra
  )
  assert stream.first_seconds == pytest.approx((hop + 15) * WIDTH + extra)
  assert stream.step_seconds == pytest.approx(hop * WIDTH)
  sample = 1 / 200
  for answer in answers(stream, waveform_of(100 * CELL), [1]):
    for event in answer.final if stream.seconds < 32 else ():
      late = stream.seconds - event.end
      assert late <= stream.latency_seconds + sample or stream.num_steps == 1
      # And no sooner than the look-ahead and the gap allow.
      assert late >= gap + 8 * WIDTH + extra - sample


# ---- hours ------------------------------------------------------------------


def held_bytes():
  """What the code of a stream and numpy hold, not what else runs here."""
  gc.collect()
  names = "yoho_tf/stream* yoho_tf/models/* yoho_tf/events* yoho_tf/intervals*"
  names = [*names.split(), "yoho_tf/windows*", "numpy/*"]
  ours = [tracemalloc.Filter(True, f"*/{name}") for name in names]
  traces = tracemalloc.take_snapshot().filter_traces(ours).traces
  return sum(trace.size for trace in traces)


@edge
def test_ten_hours_without_drift_in_flat_memory():
  num_cells = 112_500  # 10 h
  marks = np.arange(5, num_cells, 11_250)  # an hour has 11,250 cells
  rows = cells(num_cells)
  rows[:, 0] = 0.9, 0, 1  # music never ends
  rows[marks, 1] = 0.8, 0.25, 0.75
  stream = Stream(scripted(rows), hop_cells=85)
  block = 11_250 * CELL // 2
  found, before = [], 0
  for first in range(0, num_cells * CELL, block):
    if first == 16 * block:  # the last two hours: it is slow
      gc.collect()
      tracemalloc.start()
    samples = np.arange(first, first + block) // CELL * UNIT
    answer = stream.push(samples.astype(np.float32))
    found += answer.final
    assert [e.start for e in answer.provisional if e.label == "music"] == [0]
    del samples, answer
    assert len(stream._reader._open.lane) <= len(LABELS)
    if first == 16 * block:
      before = held_bytes()
  grown = held_bytes() - before
  tracemalloc.stop()
  found += stream.finish().final
  speech = [event for event in found if event.label == "speech"]
  assert [e.start for e in speech] == [(m + 0.25) * WIDTH for m in marks]
  assert [e.end for e in speech] == [(m + 0.75) * WIDTH for m in marks]
  (music,) = [event for event in found if event.label == "music"]
  assert (music.start, music.end) == (0, 36_000)
  assert grown < 20_000  # two events; one column of cells is 67 kB


# ---- YAMNet -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tagger():
  pytest.importorskip("keras")
  from yoho_tf.deploy import runtime

  params = YamnetParams(
    width=0.25, num_classes=5, labels=tuple("abcde"), activation="relu6"
  )
  model = yamnet.build(params)
  small.draw_kernels(model)
  kernel, bias = model.get_layer("logits").get_weights()
  model.get_layer("logits").set_weights([kernel * 10, bias])
  return predictor.YamnetModel("small", params, runtime.KerasNetwork(model))


@pytest.mark.parametrize(
  ("num_samples", "sizes"),
  [
    (1, [1]),
    (15_599, [1000]),
    (15_600, [7]),
    (15_601, [15_600]),
    (23_280, [1, 40_000]),
    (23_281, [23_280]),
    (100_000, [3, 0, 30_001, 999]),
  ],
)
def test_patches_are_those_of_the_whole(tagger, num_samples, sizes):
  waveform = small.signal(7, seed=4)[:num_samples]
  stream = Stream(tagger)
  found = pushed(stream, waveform, sizes)
  expected = tagger.predict(waveform)
  columns = {}
  for name in ("start", "end", "valid_fraction", "scores", "embeddings"):
    parts = [getattr(answer, name) for answer in found if len(answer.start)]
    columns[name] = np.concatenate(parts)
    np.testing.assert_allclose(
      columns[name], getattr(expected, name), rtol=0, atol=1e-5
    )
  clip = yamnet.clip_scores(
    columns["scores"], columns["valid_fraction"], tagger.params
  )
  np.testing.assert_allclose(clip, expected.clip_scores, rtol=0, atol=1e-5)


def test_a_patch_leaves_with_its_last_sample(tagger):
  stream = Stream(tagger)
  assert stream.latency_seconds == stream.first_seconds == 0.975
  waveform = small.signal(2)
  for patch in range(3):
    last = 15_600 + 7680 * patch
    first = 0 if patch == 0 else last - 7680
    assert stream.push(waveform[first : last - 1]).scores.shape == (0, 5)
    answer = stream.push(waveform[last - 1 : last])
    assert answer.start.tolist() == [0.48 * patch]
  assert len(stream.finish().scores) == 0  # every sample was heard


# ---- samples ----------------------------------------------------------------


@edge
@settings(max_examples=20)
@given(
  rate=st.sampled_from([8000, 22_050, 44_100, 48_000]),
  num_samples=st.integers(1, 60_000),
  sizes=chunk_sizes.filter(lambda sizes: np.mean(sizes) > 20),
)
def test_resampling_in_chunks_gives_the_same_numbers(rate, num_samples, sizes):
  random = np.random.default_rng(num_samples)
  waveform = random.uniform(-1, 1, num_samples).astype(np.float32)
  resampler = resampling.Resampler(rate, 16_000)
  parts, first, i = [], 0, 0
  while first < num_samples:
    size = sizes[i % len(sizes)]
    parts.append(resampler.push(waveform[first : first + size]))
    first, i = first + size, i + 1
  parts.append(resampler.finish())
  np.testing.assert_array_equal(
    np.concatenate(parts), resampling.resample(waveform, rate, 16_000)
  )


def test_a_stream_at_another_rate(network):
  waveform = small.signal(9, seed=2, rate=44_100)
  stream = Stream(network, sample_rate_hz=44_100)
  found = pushed(stream, waveform, [4410])
  expected = stream.model.predict(waveform, sample_rate_hz=44_100)
  assert len(expected.events)
  assert_events(final(found), expected.events)
  assert stream.seconds == 9


@edge
def test_a_stream_of_nothing_and_a_second_one():
  stream = Stream(scripted(cells(61, *ALWAYS)))
  assert stream.push(np.zeros(0)) == stream.push([]) == stream.finish()
  assert stream.finish() == (EventTable.empty(),) * 2 and stream.num_steps == 0
  with pytest.raises(ValueError, match="push must come before finish; reset"):
    stream.push(np.zeros(3))
  for num_samples in (1000, 3860):
    stream.reset()
    found = pushed(stream, waveform_of(num_samples), [200])
    assert final(found).end.tolist() == [num_samples / 200]


@edge
@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (np.zeros(100, np.int16), "float in -1..1"),
    (np.zeros((2, 100)), r"mono.*\(2, 100\)"),
    (np.array([0, np.nan]), "finite"),
    (np.array([0, -np.inf]), "finite"),
    (np.full(10, 3e4), "unscaled"),
    (None, "float"),
  ],
)
@pytest.mark.parametrize("is_loud", [False, True])
def test_samples_that_are_none_change_nothing(wrong, message, is_loud):
  stream = Stream(scripted(cells(61, *ALWAYS)))
  waveform = waveform_of(3860)
  stream.push(waveform[:3000])
  if is_loud:
    stream._is_loud = True  # a peak above 1 was there, and was said
  with pytest.raises(audio.AudioError, match=message):
    stream.push(wrong)
  stream.push(waveform[3000:])
  assert final([stream.finish()]).end.tolist() == [19.3]


@edge
def test_a_loud_stream_is_said_once():
  stream = Stream(scripted(cells(1)))
  with pytest.warns(UserWarning, match="peak is 2"):
    stream.push(np.full(3, 2.0))
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    stream.push(np.full(3, 3.0))


# ---- plans ------------------------------------------------------------------


def planned(**inference):
  options = {"exact_stitching": False, **inference}
  plan = YohoInferenceParams(**options)
  return scripted(cells(1), dataclasses.replace(PARAMS, inference=plan))


@edge
@pytest.mark.parametrize(
  ("options", "window", "hop"),
  [
    ({}, 25, 10),
    ({"hop_cells": 1}, 16, 1),
    ({"window_cells": 20}, 20, 5),
    ({"window_cells": 50}, 50, 10),
    ({"window_cells": 50, "hop_cells": 35}, 50, 35),
  ],
)
def test_the_plan_of_a_stream(options, window, hop):
  plan = Stream(scripted(cells(1)), **options).model.params.inference
  margins = plan.discard_left_cells, plan.discard_right_cells
  assert plan.window_cells == window and margins == (window - hop - 8, 8)


@edge
def test_a_file_of_one_length_hears_windows_of_that_length():
  model = scripted(cells(1))
  model.network.fixed = 40
  assert Stream(model).model.params.inference.window_cells == 40
  with pytest.raises(ValueError, match="at most 40, the only window"):
    Stream(model, hop_cells=30)


@edge
@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"hop_cells": 0}, "hop_cells: must be an integer of at least 1, got 0"),
    ({"hop_cells": 2.5}, "hop_cells"),
    ({"window_cells": 15}, r"hop_cells 1 \+ margins 7 \+ 8 = 16; received 15"),
    ({"window_cells": 20, "hop_cells": 6}, "= 21; received 20"),
    ({"sample_rate_hz": 0}, "sample_rate_hz"),
  ],
)
def test_wrong_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    Stream(scripted(cells(1)), **options)


@edge
def test_plans_that_no_stream_follows_are_named():
  with pytest.raises(ValueError, match="inference.compat must be none"):
    Stream(planned(compat="paper_code"))
  paper = predictor.YohoModel("paper", small.PAPER, None)
  with pytest.raises(ValueError, match="None on the lattice window"):
    Stream(paper, hop_cells=3)
  plan = dataclasses.replace(small.PAPER.inference, window_hop_seconds=4.0)
  params = dataclasses.replace(small.PAPER, inference=plan)
  with pytest.raises(ValueError, match="= 6 for a stream.*received 4"):
    Stream(paper.with_params(params))
  tags = predictor.YamnetModel("tags", YamnetParams(), None)
  with pytest.raises(ValueError, match="None with YAMNet"):
    Stream(tags, hop_cells=3)


# ---- the bundled model ------------------------------------------------------


@pytest.mark.large
def test_an_hour_through_the_bundled_model(repository):
  model = hub.load("yoho_everyday")
  radio = audio.read(repository / "examples" / "radio.flac")
  random = np.random.default_rng(0)
  parts = [
    random.uniform(0.2, 1) * np.roll(radio, random.integers(len(radio)))
    for _ in range(3600 * small.RATE // len(radio))
  ]
  hour = np.concatenate(parts).astype(np.float32)
  stream = Stream(model)
  found, first, sizes = [], 0, []
  tracemalloc.start()
  try:
    while first < len(hour):
      size = int(random.integers(1, 40_001))
      found.append(stream.push(hour[first : first + size]).final)
      first += size
      if len(found[-1]) == 0:
        found.pop()
      sizes.append(tracemalloc.get_traced_memory()[0])
  finally:
    tracemalloc.stop()
  found.append(stream.finish().final)
  got = EventTable.concat(found).sort()
  assert len(got) > 200
  assert_events(got, stream.model.predict(hour).events)
  assert_events(got, model.predict(hour).events, atol=1e-3)
  # The events that this test keeps, not the hour: 230 MB of samples.
  assert sizes[-1] - sizes[len(sizes) // 10] < 2e6
