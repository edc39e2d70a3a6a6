"""Post-processing per label, fitted on validation scenes (yoho.md 9, item 5).

Every combination of the grid, each with the exact best threshold (metrics/
best.py), judged by event F1 (0.2 s, 20 %). A label with fewer than 20
reference events takes the values fitted on all labels together.
"""

import itertools
from dataclasses import replace

import numpy as np

from yoho_tf.metrics import best_thresholds
from yoho_tf.training.evaluation import decode_all

GRID = {
  "low": (0.1, 0.2, 0.3, 0.4, 0.5),
  "merge_gap_seconds": (0.05, 0.16, 0.3, 0.5, 1.0),
  "min_duration_seconds": (0.0, 0.1, 0.2, 0.4),
}
MIN_EVENTS = 20
_POOLED = "all labels"


def tune(cells, reference, durations, params):
  """`params` with fitted `postprocess.per_label`.

  Args:
    cells: `{filename: [cells, classes, 3 * slots]}` of the validation set.
    reference: `EventTable` of the same files.
    durations: `{filename: seconds}`.
  """
  best = {label: (-1.0, {}) for label in (*params.labels, _POOLED)}
  pooled_reference = _pool(reference)
  for values in itertools.product(*GRID.values()):
    values = dict(zip(GRID, values, strict=True))
    post = replace(params.postprocess, threshold=0.0, per_label={}, **values)
    found = decode_all(cells, replace(params, postprocess=post), durations)
    results = (
      best_thresholds(
        reference, found, labels=params.labels, files=list(durations)
      ),
      best_thresholds(pooled_reference, _pool(found), labels=[_POOLED]),
    )
    for result in results:
      for label, f1 in result.f1.items():
        if f1 > best[label][0] + 1e-9:
          threshold = float(result.thresholds[label])
          best[label] = (f1, {**values, "threshold": threshold})
  per_label = {}
  for label in params.labels:
    few = int((reference.label == label).sum()) < MIN_EVENTS
    per_label[label] = best[_POOLED if few or not best[label][1] else label][1]
  return replace(
    params, postprocess=replace(params.postprocess, per_label=per_label)
  )


def _pool(events):
  """All labels as one: a file for each label of each file."""
  names = [
    f"{name}/{label}"
    for name, label in zip(events.filename, events.label, strict=True)
  ]
  return events.replace(
    filename=names, label=np.full(len(events), _POOLED, object)
  )
