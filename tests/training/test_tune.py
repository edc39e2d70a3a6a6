"""Thresholds raised where recordings of other things are answered."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoho_tf.events import EventTable
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, TrainingParams, override
from yoho_tf.training import tune

PARAMS = override(
  PRESETS["yoho_everyday"],
  {"postprocess.per_label": {"Fire": {"threshold": 0.4, "low": 0.2}}},
)
FALSE = st.lists(
  st.tuples(
    st.sampled_from(["Fire", "Rain"]), st.sampled_from([0.1, 0.5, 0.7, 0.9])
  ),
  max_size=30,
)


def threshold(params, label):
  return params.postprocess.for_label(label).threshold


@given(FALSE, st.floats(0, 3))
def test_no_label_keeps_more_false_events_than_allowed(rows, per_minute):
  events = EventTable.from_rows(
    [(i, i + 1, label, score) for i, (label, score) in enumerate(rows)]
  )
  limited = tune.limited(PARAMS, events, 2.5, per_minute)
  allowed = int(per_minute * 2.5)
  for label in PARAMS.labels:
    scores = np.array([s for name, s in rows if name == label])
    before, after = threshold(PARAMS, label), threshold(limited, label)
    assert after >= before
    assert np.sum(scores >= after) <= allowed
    if np.sum(scores >= before) <= allowed:
      assert after == before
    else:  # no higher than it must be: one step lower lets more through
      assert np.sum(scores >= np.nextafter(after, 0)) > allowed
  assert limited.postprocess.for_label("Fire").low == 0.2


@pytest.mark.parametrize("heard", [("Fire",), ()])
def test_a_network_that_hears_nothing_of_a_class(heard):
  """Cells of one class, or of none; the others are never present."""
  labels = ("Fire", "Rain")
  params = replace(PRESETS["yoho_everyday"], labels=labels)
  cells, rows = {}, []
  for i in range(25):
    outputs = np.zeros((10, 2, 3))
    outputs[2:4, [labels.index(x) for x in heard]] = (0.8, 0, 1)
    cells[f"{i}.wav"] = outputs
    rows += [(0.64, 1.28, label, 1.0, f"{i}.wav") for label in labels]
  durations = dict.fromkeys(cells, 3.2)
  tuned = tune.tune(cells, EventTable.from_rows(rows), durations, params)
  found = yoho.decode_files(cells, tuned, durations)
  assert set(found.label) == set(heard)
  assert len(found) == 25 * len(heard)
  for label in labels:
    assert 0 < tuned.postprocess.for_label(label).threshold < 1


def gapped(num_files, num_joined):
  """Cells with a pause of 0.32 s; in `num_joined` files it is one event.

  Returns cells, reference and durations of one class.
  """
  cells, rows = {}, []
  for i in range(num_files):
    outputs = np.zeros((12, 1, 3))
    outputs[[2, 3, 5, 6]] = (0.8, 0, 1)
    cells[f"{i}.wav"] = outputs
    spans = [(2, 7)] if i < num_joined else [(2, 4), (5, 7)]
    rows += [(a * 0.32, b * 0.32, "Fire", 1.0, f"{i}.wav") for a, b in spans]
  return cells, EventTable.from_rows(rows), dict.fromkeys(cells, 3.84)


@pytest.mark.parametrize("num_joined, merged", [(40, True), (14, False)])
def test_a_label_leaves_the_preset_only_for_much(
  num_joined, merged, monkeypatch
):
  monkeypatch.setattr(tune, "GRID", {"merge_gap_seconds": (0.02, 0.5)})
  params = replace(PRESETS["yoho_everyday"], labels=("Fire",))
  tuned = tune.tune(*gapped(40, num_joined), params)
  own, start = (p.postprocess.for_label("Fire") for p in (tuned, params))
  if merged:
    assert own.merge_gap_seconds >= 0.32
  else:
    assert own.merge_gap_seconds == start.merge_gap_seconds


def test_the_limit_is_a_setting():
  with pytest.raises(ValueError, match="max_false_per_minute must be at least"):
    TrainingParams(max_false_per_minute=-1)
