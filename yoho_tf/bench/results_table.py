"""Scores of kept answers, differences with their intervals, and the tables."""

from dataclasses import dataclass

import numpy as np

from yoho_tf import metrics
from yoho_tf.bench.experiments import at_tuned
from yoho_tf.bench.network_costs import COSTS
from yoho_tf.metrics.bootstrap import replicate_values, resample_weights
from yoho_tf.params import PSDS1, PSDS2, BootstrapParams, TemporalParams
from yoho_tf.training import baselines, calibrate

BOOTSTRAP = BootstrapParams(num_samples=300, confidence=0.95, seed=0)

# Column -> title, and which value of its result.
SCENE_COLUMNS = {
  "segment_f1": ("segment F1 (1 s)", "f1_micro"),
  "event_f1": ("event F1 (0.2 s, 20 %)", "f1_micro"),
  "psds1": ("PSDS1", "psds"),
  "psds2": ("PSDS2", "psds"),
  "map": ("mAP@tIoU", "map"),
}
FIELD_COLUMNS = {
  "segment_f1": ("segment F1 (1 s)", "f1_micro"),
  "event_f1": ("event F1 (0.2 s, 20 %)", "f1_micro"),
  "recall": ("recall (temporal IoU 0.3)", "recall@0.3_micro"),
}


@dataclass(frozen=True)
class Scored:
  """One system on one set: results by column, and what no file is resampled of.

  `event_seconds`: mean length of the answered events.
  """

  results: dict
  event_seconds: float = float("nan")
  calibration_error: float = float("nan")

  def value(self, column, columns) -> float:
    return float(self.results[column][columns[column][1]])


def score(found, params, known, columns, *, ranked=None) -> Scored:
  """Every column for one system.

  Args:
    found: events with scores, at every threshold.
    params: tuned; `at_tuned` says which of them are answered.
    known: `evaluation.Validation`.
    ranked: what PSDS is of, where that is not `found`: frame scores.
  """
  labels = known_labels(known, params.labels)
  found = found[[label in labels for label in found.label]]
  kept = at_tuned(found, params)
  about = dict(durations=known.durations, labels=labels)
  results = {}
  for column in columns:
    if column in baselines.COLUMNS:
      measure = baselines.COLUMNS[column][1]
      results[column] = measure(known.reference, kept, **about)
  if "psds1" in columns:
    results["psds1"], results["psds2"] = metrics.psds_metrics(
      known.reference,
      found if ranked is None else ranked,
      params=[PSDS1, PSDS2],
      **about,
    )
  if "map" in columns:
    results["map"] = metrics.temporal_map(
      known.reference, found, params=TemporalParams(), **about
    )
  _, points, hits, _ = calibrate.matched(
    found, known.reference, known.durations, labels
  )
  error = calibrate.expected_calibration_error(points, hits)
  return Scored(results, mean_seconds(kept), error)


def mean_seconds(events) -> float:
  """Mean length, NaN of none."""
  return float(np.mean(events.end - events.start)) if len(events) else np.nan


def known_labels(known, labels):
  """Those that somebody listened for."""
  if not known.own:
    return tuple(labels)
  return tuple(n for n in labels if n in set(known.own.values()))


def difference(ours, others, column, columns):
  """(mean, low, high) of ours minus another system, over their seeds.

  Files are resampled; a replicate is the mean over the seeds of each side.
  """
  first = ours[0].results[column]
  weights = resample_weights(first.num_files, BOOTSTRAP)
  key = columns[column][1]
  sides = [
    np.mean(
      [replicate_values(s.results[column], weights)[0][key] for s in side],
      axis=0,
    )
    for side in (ours, others)
  ]
  value = np.mean([s.value(column, columns) for s in ours]) - np.mean(
    [s.value(column, columns) for s in others]
  )
  low, high = np.quantile(sides[0] - sides[1], [0.025, 0.975])
  return float(value), float(low), float(high)


def _row(cells) -> str:
  return "| " + " | ".join(cells) + " |"


def _head(titles) -> list[str]:
  return [_row(titles), "| --- " * len(titles) + "|"]


def _mean_and_range(values, digits=3) -> str:
  text = f"{np.mean(values):.{digits}f}"
  if len(values) > 1:
    text += f" ({min(values):.{digits}f}-{max(values):.{digits}f})"
  return text


def score_lines(rows, columns, *, costs=None) -> list[str]:
  """A table: mean and range over seeds.

  Args:
    rows: `{title: [Scored of each seed]}`.
    costs: `{title: network_costs.costs}`; rows without have empty cells.
  """
  titles = ["", "seeds", *(title for title, _ in columns.values())]
  titles += ["mean event, s", "calibration error"]
  lines = _head(titles + ([t for t, _ in COSTS.values()] if costs else []))
  for title, seeds in rows.items():
    cells = [title, str(len(seeds))]
    for column in columns:
      cells.append(_mean_and_range([s.value(column, columns) for s in seeds]))
    cells.append(_mean_and_range([s.event_seconds for s in seeds], 1))
    cells.append(_mean_and_range([s.calibration_error for s in seeds]))
    if costs:
      own = costs.get(title)
      cells += [COSTS[key][1].format(own[key]) if own else "" for key in COSTS]
    lines.append(_row(cells))
  return lines


def difference_lines(first, rows, columns) -> list[str]:
  """A table: the row `first` minus every other, with 95 % intervals."""
  lines = _head([f"{first} minus ...", *(t for t, _ in columns.values())])
  for title, seeds in rows.items():
    if title == first:
      continue
    cells = [title]
    for column in columns:
      value, low, high = difference(rows[first], seeds, column, columns)
      cells.append(f"{value:+.3f} [{low:+.3f}, {high:+.3f}]")
    lines.append(_row(cells))
  return lines
