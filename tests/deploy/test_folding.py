"""Calibration inside the last layer: other outputs, the same events."""

from dataclasses import replace

import numpy as np
import pytest

from yoho_tf.deploy import float_network, folding
from yoho_tf.labels import ClassMap
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, from_json, to_json

PARAMS = replace(
  PRESETS["yoho_everyday_small"], labels=("low", "high"), window_seconds=3.2
)


@pytest.mark.parametrize(
  "changes", [{}, {"slots": 2}, {"lattice": "window", "baseline": "cnn"}]
)
def test_a_folded_calibration_gives_the_same_events(changes):
  rng = np.random.default_rng(0)
  per_label = {
    "low": {"calibration_a": 0.4, "calibration_b": -0.3, "threshold": 0.42},
    "high": {"calibration_a": 2.0, "calibration_b": 0.1, "low": 0.45},
  }
  post = replace(PARAMS.postprocess, merge_gap_seconds=0.0, per_label=per_label)
  params = replace(PARAMS, postprocess=post, **changes)
  network = yoho.build(replace(params, input="log_mel"))
  last = network.layers[-2 if params.baseline != "none" else -3]
  frames = params.window_frames
  level = np.repeat(rng.uniform(-40, 40, -(-frames // 32)), 32)[:frames]
  log_mel = rng.normal(level[None, :, None], 20, (1, frames, 64))
  logits = np.asarray(network({"log_mel": log_mel})[params.logits])
  kernel, _ = last.get_weights()
  middle, scale = np.median(logits[0], axis=0), 2 / np.std(logits[0], axis=0)
  spread = kernel * scale.ravel(), -(middle * scale).ravel()
  last.set_weights(spread)
  source = float_network.FloatNetwork(
    "x", network, params, ClassMap.for_names(params.labels)
  )
  _, model, after, *_ = folding.folded(source)
  before, cells = (
    {k: np.asarray(v)[0] for k, v in n({"log_mel": log_mel}).items()}
    for n in (network, model)
  )
  wanted = yoho.decode(before, params).events
  found = yoho.decode(cells, after).events
  assert len(wanted) == len(found) > 5
  assert {"low", "high"} <= {*found.label}
  np.testing.assert_array_equal(found.label, wanted.label)
  for name in ("start", "end", "score"):
    np.testing.assert_allclose(
      getattr(found, name), getattr(wanted, name), atol=1e-4
    )
  assert after.postprocess.for_label("low").calibration_a == 1
  np.testing.assert_array_equal(last.get_weights()[0], spread[0])
  assert from_json(to_json(after)) == after
  mean = replace(params, postprocess=replace(post, score="mean"))
  assert folding.folded(source._replace(params=mean)).network is network
