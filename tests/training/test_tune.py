"""Thresholds raised where recordings of other things are answered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoho_tf.events import EventTable
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


def test_the_limit_is_a_setting():
  with pytest.raises(ValueError, match="max_false_per_minute must be at least"):
    TrainingParams(max_false_per_minute=-1)
