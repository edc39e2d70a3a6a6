"""Post-processing per label, fitted on validation files (yoho.md 9, item 5).

Every combination of the grid, each with the exact best threshold (metrics/
best.py), judged by event F1 (0.2 s, 20 %). A label leaves the values of the
params only for those that are better by `MARGIN`: a few dozen events per label
say no more, and what is fitted closer does worse on other files. Then the
threshold alone again, by the mean of event and segment F1: event F1 by itself
is flat in the threshold and leaves out events that are heard but whose edges
are not met. Then calibration (calibrate.py). A label with fewer than 20
reference events takes the values fitted on all labels together. `limited`
raises thresholds where recordings of other things say so.
"""

import itertools
from dataclasses import replace

import numpy as np

from yoho_tf.metrics import best_thresholds
from yoho_tf.models import yoho
from yoho_tf.training import calibrate
from yoho_tf.training.evaluation import scores, unthresholded

GRID = {
  "low": (0.1, 0.2, 0.3, 0.4, 0.5),
  "merge_gap_seconds": (0.02, 0.05, 0.16, 0.3, 0.5, 1.0),
  "min_duration_seconds": (0.0, 0.1, 0.2, 0.4),
}
MARGIN = 0.06
NUM_THRESHOLDS = 60
MIN_EVENTS = 20
_POOLED = "all labels"


def tune(cells, reference, durations, params):
  """`params` with fitted `postprocess.per_label`, calibration included.

  Args:
    cells: `{filename: [cells, classes, 3 * slots]}` of the validation set.
    reference: `EventTable` of the same files.
    durations: `{filename: seconds}`.

  A label of which nothing is heard keeps the values of `params`.
  """
  best = {}
  untuned = unthresholded(
    replace(params, postprocess=replace(params.postprocess, per_label={}))
  )
  start = tuple(getattr(params.postprocess, name) for name in GRID)
  for values in dict.fromkeys((start, *itertools.product(*GRID.values()))):
    named = dict(zip(GRID, values, strict=True))
    post = replace(untuned.postprocess, **named)
    found = yoho.decode_files(
      cells, replace(params, postprocess=post), durations
    )
    results = _best(reference, found, list(durations), params.labels)
    for label, (f1, threshold) in results.items():
      f1 = np.nan_to_num(f1) - (MARGIN if values != start else 0)
      if label not in best or f1 > best[label][0] + 1e-9:
        heard = {"threshold": threshold} if np.isfinite(threshold) else {}
        best[label] = (f1, {**named, **heard})
  per_label = {}
  for label in params.labels:
    name = _POOLED if _is_rare(label, reference) else label
    per_label[label] = dict(best[name][1])
  params = replace(
    params, postprocess=replace(params.postprocess, per_label=per_label)
  )
  found = yoho.decode_files(cells, unthresholded(params), durations)
  for label in params.labels:
    own, answers = (t[t.label == label] for t in (reference, found))
    if len(answers) and not _is_rare(label, reference):
      per_label[label]["threshold"] = _balanced(own, answers, durations)
  return calibrate.calibrate(cells, reference, durations, params)


def _balanced(reference, found, durations) -> float:
  """The threshold with the best mean of event and segment F1.

  Args:
    reference, found: of one label; `found` with every score.
  """
  labels = sorted(set(reference.label))
  best = (-1.0, 0.5)
  for candidate in np.quantile(
    found.score, np.linspace(0, 0.99, NUM_THRESHOLDS)
  ):
    kept = found[found.score >= candidate]
    values = scores(reference, kept, durations, labels)
    f1 = np.nan_to_num([values["event_f1"], values["segment_f1"]]).sum()
    best = max(best, (float(f1), float(candidate)))
  return best[1]


def limited(params, false, minutes: float, per_minute: float):
  """`params`, thresholds raised where a label has too many false events.

  Args:
    false: `EventTable` of events that are wrong, decoded by `params` at
      threshold 0.
    minutes: of audio that they were found in.
    per_minute: at most as many of each label stay.
  """
  allowed = int(per_minute * minutes)
  per_label = {}
  for label in params.labels:
    own = params.postprocess.for_label(label)
    worst = np.sort(false.score[false.label == label])[::-1][allowed:]
    threshold = max([own.threshold, *np.nextafter(worst[:1], np.inf)])
    per_label[label] = {
      **params.postprocess.per_label.get(label, {}),
      "threshold": float(threshold),
    }
  return replace(
    params, postprocess=replace(params.postprocess, per_label=per_label)
  )


def thresholds(reference, found, files, labels) -> dict[str, float]:
  """Per label the threshold with the best event F1, pooled for a rare label.

  Args:
    found: events of every score, decoded with threshold 0.
    files: names of all files, silent ones included.
  """
  best = _best(reference, found, files, labels)
  chosen = {}
  for label in labels:
    own = best[label][1]
    if np.isnan(own) or _is_rare(label, reference):
      own = best[_POOLED][1]
    chosen[label] = 0.5 if np.isnan(own) else own  # nothing was found at all
  return chosen


def _best(reference, found, files, labels):
  """`{label: (F1, threshold)}`, all labels as one among them; NaN if none."""
  results = (
    best_thresholds(reference, found, labels=labels, files=files),
    best_thresholds(_pool(reference), _pool(found), labels=[_POOLED]),
  )
  return {
    label: (f1, float(result.thresholds[label]))
    for result in results
    for label, f1 in result.f1.items()
  }


def _is_rare(label, reference):
  return int((reference.label == label).sum()) < MIN_EVENTS


def _pool(events):
  """All labels as one: a file for each label of each file."""
  names = [
    f"{name}/{label}"
    for name, label in zip(events.filename, events.label, strict=True)
  ]
  return events.replace(
    filename=names, label=np.full(len(events), _POOLED, object)
  )
