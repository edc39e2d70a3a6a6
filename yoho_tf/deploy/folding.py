"""The calibration of the scores, folded into the last layer of a network.

Whoever reads the outputs then gets calibrated scores. A map that flattens (a <
1) also keeps the 256 steps of 8 bits for what the thresholds tell apart, where
raw scores crowd at 1; a steep one widens the steps.
"""

from dataclasses import replace

import numpy as np

from yoho_tf.params import YohoParams


def folded(source):
  """A network that gives calibrated scores, and the same events.

  `decode` maps an event's largest presence by `sigmoid(a logit(p) + b)`, a > 0:
  the same as the largest of mapped presences, of cells that reach the mapped
  `low`. With `score="mean"` it would not be, and nothing is folded; nor is
  anything of YAMNet, which has no calibration.

  Args:
    source: `float_network.FloatNetwork`.
  """
  params = source.params
  if not isinstance(params, YohoParams) or params.postprocess.score != "max":
    return source
  from yoho_tf.models import yoho

  post = params.postprocess
  own = [post.for_label(label) for label in params.labels]
  scale = np.array([values.calibration_a for values in own])
  shift = np.array([values.calibration_b for values in own])
  low = np.array([values.low for values in own])
  low = 1 / (1 + np.exp(-scale * np.log(low / (1 - low)) - shift))
  per_label = {
    label: {
      **post.per_label.get(label, {}),
      "low": float(reached),
      "calibration_a": 1.0,
      "calibration_b": 0.0,
    }
    for label, reached in zip(params.labels, low, strict=True)
  }
  if params.baseline == "none":  # start and stop of every slot stay
    is_presence = np.tile([True, False, False], params.slots)
    scale = np.where(is_presence, scale[:, None], 1).ravel()
    shift = np.where(is_presence, shift[:, None], 0).ravel()
  network = yoho.build(replace(params, input="log_mel"))
  network.set_weights(source.network.get_weights())
  last = network.get_layer(
    "head" if params.baseline == "none" else "score_logits"
  )
  kernel, bias = last.get_weights()
  last.set_weights([kernel * scale, bias * scale + shift])
  post = replace(post, per_label=per_label)
  return source._replace(
    network=network, params=replace(params, postprocess=post)
  )
