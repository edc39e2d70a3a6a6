"""Calibration of event scores, and the tuning that it belongs to."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.events import EventTable
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, from_json, to_json
from yoho_tf.training import calibrate, tune

PARAMS = replace(PRESETS["yoho_everyday_small"], labels=("low", "high", "rare"))


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def logit(p):
  return np.log(p / (1 - p))


@pytest.mark.parametrize("a, b", [(0.5, -1.0), (1.0, 0.0), (2.0, 1.5)])
def test_a_known_map_is_found(a, b):
  rng = np.random.default_rng(0)
  score = sigmoid(rng.normal(size=40_000))
  hit = rng.random(len(score)) < sigmoid(a * logit(score) + b)
  np.testing.assert_allclose(calibrate.fit(score, hit), (a, b), atol=0.06)


def test_the_fit_is_that_of_an_independent_minimiser():
  optimize = pytest.importorskip("scipy.optimize")
  rng = np.random.default_rng(1)
  score = sigmoid(rng.normal(size=60) * 2)
  hit = rng.random(60) < score**2

  def loss(x):  # Platt 1999, equations 2 to 4
    p = sigmoid(x[0] * logit(score) + x[1])
    t = np.where(hit, (hit.sum() + 1) / (hit.sum() + 2), 1 / ((~hit).sum() + 2))
    return -np.sum(t * np.log(p) + (1 - t) * np.log(1 - p))

  want = optimize.minimize(loss, [1.0, 0.0], method="Nelder-Mead", tol=1e-9).x
  np.testing.assert_allclose(calibrate.fit(score, hit), want, atol=1e-4)


@given(
  st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)
)
@settings(max_examples=50)
def test_any_scores_give_a_rising_finite_map(rows):
  score, hit = (np.array(column) for column in zip(*rows))
  a, b = calibrate.fit(score, hit)
  assert a > 0 and np.isfinite([a, b]).all()


def test_expected_calibration_error():
  # Ten scores of 0.75 of which 5 hit, and thirty of 0.25 of which none hits.
  score = np.repeat([0.75, 0.25], [10, 30])
  hit = np.arange(40) < 5
  error = calibrate.expected_calibration_error(score, hit)
  assert error == pytest.approx((10 * 0.25 + 30 * 0.25) / 40)
  # 0.24 and 0.26 lie in one bin of width 0.1: their errors cancel out.
  assert calibrate.expected_calibration_error([0.2, 1.0], [0, 1]) == (
    pytest.approx(0.1)
  )
  assert np.isnan(calibrate.expected_calibration_error([], []))


def outputs(num_files=60, seed=0):
  """Cells, truth and durations; the network is overconfident.

  `low` and `high` events are true half the time whatever score above 0.5 they
  get, and nearly never below; of `rare` there are three.
  """
  rng = np.random.default_rng(seed)
  cells, rows, durations = {}, [], {}
  for index in range(num_files):
    name = f"{index:03}.wav"
    events = np.zeros((20, 3, 3), "float32")
    for column, label in enumerate(PARAMS.labels):
      if label == "rare" and index >= 3:
        continue
      for cell in (2, 10):
        presence = rng.uniform(0.15, 0.99)
        events[cell : cell + 3, column] = (presence, 0.0, 1.0)
        if rng.random() < (0.5 if presence > 0.5 else 0.05):
          rows.append((cell * 0.32, (cell + 3) * 0.32, label, np.nan, name))
    cells[name], durations[name] = events, 20 * 0.32
  return cells, EventTable.from_rows(rows), durations


@pytest.fixture(scope="module")
def tuned():
  data = outputs()
  with pytest.MonkeyPatch.context() as patch:
    grid = {"low": (0.1, 0.3), "merge_gap_seconds": (0.16,)}
    patch.setattr(tune, "GRID", grid)  # the whole one takes longer
    return *data, tune.tune(*data, PARAMS)


def test_tuned_params_hold_a_calibration_per_label(tuned):
  *_, params = tuned
  low, high, rare = (params.postprocess.per_label[x] for x in PARAMS.labels)
  assert {"threshold", "low", "calibration_a", "calibration_b"} <= set(low)
  assert low["calibration_a"] > 0 and low != high
  assert from_json(to_json(params)) == params
  # Three files of `rare` are too few: it shares the map of all labels.
  assert rare["calibration_a"] not in (low["calibration_a"], 1.0)


def test_calibration_changes_scores_and_no_event(tuned):
  cells, _, durations, params = tuned
  plain = params
  for label, values in params.postprocess.per_label.items():
    a, b = values["calibration_a"], values["calibration_b"]
    raw = sigmoid((logit(values["threshold"]) - b) / a)
    plain = replace(
      plain,
      postprocess=replace(
        plain.postprocess,
        per_label={
          **plain.postprocess.per_label,
          label: {
            **values,
            "threshold": float(raw),
            "calibration_a": 1.0,
            "calibration_b": 0.0,
          },
        },
      ),
    )
  after = yoho.decode_files(cells, params, durations)
  before = yoho.decode_files(cells, plain, durations)
  assert len(after) == len(before) > 20
  for name in ("start", "end", "label", "filename"):
    np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
  assert np.abs(after.score - before.score).max() > 0.05


def test_the_error_falls_also_on_other_files(tuned):
  cells, reference, durations, params = tuned
  errors = calibrate.calibration_errors(cells, reference, durations, params)
  assert errors["after"] < errors["before"] / 2
  # Files that nothing was fitted on agree.
  others = outputs(seed=1)
  label, score, hit, _ = calibrate.scored_events(*others, params)
  maps = params.postprocess.per_label
  mapped = [
    sigmoid(maps[n]["calibration_a"] * logit(s) + maps[n]["calibration_b"])
    for n, s in zip(label, score)
  ]
  raw = calibrate.expected_calibration_error(score, hit)
  assert calibrate.expected_calibration_error(mapped, hit) < 0.7 * raw


def test_hits_need_half_an_overlap_and_a_free_reference():
  cells = {"a.wav": np.zeros((20, 3, 3), "float32")}
  cells["a.wav"][[2, 3, 10, 11, 12, 13], 0] = (0.9, 0.0, 1.0)
  cells["a.wav"][[6], 1] = (0.8, 0.0, 1.0)
  reference = EventTable.from_rows(
    [
      (0.64, 1.28, "low", np.nan, "a.wav"),  # the same
      (3.20, 3.80, "low", np.nan, "a.wav"),  # 0.6 of 1.28 s: IoU 0.47
      (1.92, 2.24, "low", np.nan, "a.wav"),  # another label
    ]
  )
  label, score, hit, _ = calibrate.scored_events(
    cells, reference, {"a.wav": 6.4}, PARAMS
  )
  assert sorted(zip(label, score.round(2), hit)) == [
    ("high", 0.8, False),
    ("low", 0.9, False),
    ("low", 0.9, True),
  ]


def test_nothing_found_leaves_scores_alone():
  cells = {"a.wav": np.zeros((20, 3, 3), "float32")}
  reference = EventTable.from_rows([(1.0, 2.0, "low", np.nan, "a.wav")])
  params = calibrate.calibrate(cells, reference, {"a.wav": 6.4}, PARAMS)
  values = params.postprocess.for_label("low")
  assert (values.calibration_a, values.calibration_b) == (1.0, 0.0)
  assert values.threshold == pytest.approx(0.5)
  assert not len(yoho.decode({"events": cells["a.wav"]}, params).events)
