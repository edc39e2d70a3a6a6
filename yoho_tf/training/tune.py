"""Post-processing per label, fitted on validation scenes (yoho.md 9, item 5).

Coordinate search over `low`, `merge_gap_seconds` and `min_duration_seconds`,
with the best `threshold` among observed scores for each, maximising event F1
(0.2 s, 20 %). A label with fewer than 20 reference events takes the values
fitted on all labels together.
"""

from dataclasses import replace

import numpy as np

from yoho_tf.metrics import event_metrics
from yoho_tf.training.evaluation import decode_all

GRID = {
  "low": (0.1, 0.2, 0.3, 0.4, 0.5),
  "merge_gap_seconds": (0.05, 0.16, 0.3, 0.5, 1.0),
  "min_duration_seconds": (0.0, 0.1, 0.2, 0.4),
}
NUM_THRESHOLDS = 12
MIN_EVENTS = 20


def tune(cells, reference, durations, params, *, rounds=2):
  """`params` with fitted `postprocess.per_label`.

  Args:
    cells: `{filename: [cells, classes, 3 * slots]}` of the validation set.
    reference: `EventTable` of the same files.
    durations: `{filename: seconds}`.
  """
  counts = {
    label: int((reference.label == label).sum()) for label in params.labels
  }
  pooled = _search(cells, reference, durations, params, params.labels, rounds)
  per_label = {}
  for label in params.labels:
    if counts[label] < MIN_EVENTS:
      per_label[label] = pooled
      continue
    column = params.labels.index(label)
    own = {name: c[:, column : column + 1] for name, c in cells.items()}
    per_label[label] = _search(
      own,
      reference[reference.label == label],
      durations,
      replace(params, labels=(label,)),
      (label,),
      rounds,
    )
  post = replace(params.postprocess, per_label=per_label)
  return replace(params, postprocess=post)


def _search(cells, reference, durations, params, labels, rounds):
  best = {key: getattr(params.postprocess, key) for key in GRID}
  best_f1, best_threshold = -1.0, params.postprocess.threshold

  def score(values):
    post = replace(params.postprocess, threshold=0.0, per_label={}, **values)
    found = decode_all(cells, replace(params, postprocess=post), durations)
    result = (-1.0, params.postprocess.threshold)
    for threshold in _thresholds(found.score):
      f1 = event_metrics(
        reference,
        found[found.score >= threshold],
        files=list(durations),
        labels=list(labels),
      )["f1_micro"]
      if f1 > result[0] + 1e-9:
        result = (f1, threshold)
    return result

  for _ in range(rounds):
    before = best_f1
    for key, options in GRID.items():
      for option in options:
        f1, threshold = score({**best, key: option})
        if f1 > best_f1 + 1e-9:
          best_f1, best_threshold = f1, threshold
          best = {**best, key: option}
    if best_f1 <= before + 1e-9:
      break
  return {**best, "threshold": best_threshold}


def _thresholds(scores):
  """Midpoints between observed scores, at most `NUM_THRESHOLDS` of them."""
  values = np.unique(np.asarray(scores, np.float64))
  values = values[np.isfinite(values)]
  if len(values) < 2:
    return values.tolist() or [0.5]
  middle = (values[1:] + values[:-1]) / 2
  picks = np.unique(
    np.linspace(0, len(middle) - 1, NUM_THRESHOLDS).round().astype(int)
  )
  return np.round(middle[picks], 4).tolist()
