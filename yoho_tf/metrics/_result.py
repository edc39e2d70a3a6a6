"""The result of one metric, and the arithmetic of counts."""

import json
from dataclasses import asdict, dataclass, field, is_dataclass

import numpy as np

from yoho_tf.files import replace_text


@dataclass(frozen=True)
class MetricResult:
  """What a metric returns.

  Attributes:
    name: name of the metric.
    params: the resolved parameters.
    labels: class names, in the order of the count columns.
    overall: micro and other scalars, by name.
    macro: means over classes, by name.
    class_wise: label -> values by name.
    counts: sufficient statistics per file: integer arrays
      `[files, classes]` or `[files]`, and score-sorted changes.
    curves: points of curves, by name.
    skipped: label -> why it is not in the macro values.
    num_files: number of evaluated files.
    total_seconds: evaluated length.
    notes: counts of what was reported or ignored, by name.
    files: file names, in the order of the count rows.
  """

  name: str
  params: object
  labels: tuple[str, ...]
  overall: dict = field(default_factory=dict)
  macro: dict = field(default_factory=dict)
  class_wise: dict = field(default_factory=dict)
  counts: dict = field(default_factory=dict, repr=False)
  curves: dict = field(default_factory=dict, repr=False)
  skipped: dict = field(default_factory=dict)
  num_files: int = 0
  total_seconds: float = float("nan")
  notes: dict = field(default_factory=dict)
  files: tuple[str, ...] = field(default=(), repr=False)

  def __getitem__(self, key):
    """One number of `overall` or `macro`, such as `result["f1_micro"]`."""
    for values in (self.overall, self.macro):
      if key in values:
        return values[key]
    names = sorted({*self.overall, *self.macro})
    raise KeyError(f"{key!r}: {self.name} has {names}")

  def to_dict(self):
    """Plain Python values; numbers that are not finite stay."""
    params = asdict(self.params) if is_dataclass(self.params) else self.params
    return {
      "name": self.name,
      "params": plain(params),
      "labels": list(self.labels),
      "overall": plain(self.overall),
      "macro": plain(self.macro),
      "class_wise": plain(self.class_wise),
      "skipped": dict(self.skipped),
      "num_files": int(self.num_files),
      "total_seconds": float(self.total_seconds),
      "notes": plain(self.notes),
    }

  def save(self, path):
    """Writes JSON; null for numbers that are not finite, keys listed."""
    save_json(self.to_dict(), path)

  def to_df(self):
    """DataFrame with one row per class, then `macro` and `micro`."""
    import pandas as pd

    rows = [
      {"label": label, **self.class_wise.get(label, {})}
      for label in self.labels
    ]
    for ending, values in (("macro", self.macro), ("micro", self.overall)):
      rows.append(
        {
          "label": ending,
          **{key.removesuffix(f"_{ending}"): values[key] for key in values},
        }
      )
    return pd.DataFrame(rows)

  def plot(self, ax=None):
    """Draws the curves of the result, if it has any; returns the Axes."""
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1] if ax is None else ax
    for name, curve in self.curves.items():
      if curve.get("kind", "curve") == "hidden":
        continue
      style = "steps-post" if curve.get("staircase") else "default"
      ax.plot(curve["x"], curve["y"], drawstyle=style, label=name)
      ax.set_xlabel(curve.get("x_name", "x"))
      ax.set_ylabel(curve.get("y_name", "y"))
    ax.set_title(self.name)
    if self.curves:
      ax.legend(fontsize="small")
    return ax


def plain(value):
  """Numpy values, arrays and tuples as plain Python."""
  if isinstance(value, dict):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, np.ndarray):
    return value.tolist()
  if isinstance(value, np.generic):
    return value.item()
  if isinstance(value, (list, tuple)):
    return [plain(item) for item in value]
  return value


def save_json(values, path):
  """Writes a dict as `json_text`, whole or not at all."""
  replace_text(path, json_text(values))


def json_text(values):
  """A dict as JSON; null for numbers that are not finite, keys listed."""
  non_finite = []

  def clean(value, key):
    if isinstance(value, dict):
      return {k: clean(v, f"{key}.{k}" if key else k) for k, v in value.items()}
    if isinstance(value, list):
      return [clean(v, f"{key}.{i}") for i, v in enumerate(value)]
    if isinstance(value, float) and not np.isfinite(value):
      non_finite.append(key)
      return None
    return value

  values = clean(values, "")
  values["non_finite"] = non_finite
  return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def divide(numerator, denominator):
  """Quotient of arrays, NaN where the denominator is 0."""
  numerator = np.asarray(numerator, np.float64)
  denominator = np.asarray(denominator, np.float64)
  out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
  return np.divide(numerator, denominator, out=out, where=denominator != 0)


def precision_recall_f1(true, num_estimate, num_reference, *, empty_system):
  """Precision, recall and F1 of counts of any shape.

  Precision without estimates is NaN or 0; F1 is 0 where both are 0.
  """
  precision = divide(true, num_estimate)
  if empty_system == "zero":
    precision = np.where(np.asarray(num_estimate) == 0, 0.0, precision)
  recall = divide(true, num_reference)
  return precision, recall, f_score(precision, recall)


def f_score(precision, recall):
  """Harmonic mean, 0 where both are 0."""
  both_zero = (precision == 0) & (recall == 0)
  return np.where(
    both_zero, 0.0, divide(2 * precision * recall, precision + recall)
  )


def mean_over_classes(values, present, absent_classes):
  """Mean over the last axis; NaN is skipped.

  Args:
    values: `[..., classes]`.
    present: bool `[..., classes]`, class has a reference.
    absent_classes: "exclude" skips classes without reference, "zero" counts
      them as 0.
  """
  if absent_classes == "zero":
    values = np.where(present, values, 0.0)
  else:
    values = np.where(present, values, np.nan)
  valid = ~np.isnan(values)
  return divide(np.where(valid, values, 0.0).sum(axis=-1), valid.sum(axis=-1))


def score_columns(tp, fp, fn, *, empty_system):
  """Precision, recall and F1 of counts of any shape, by name."""
  scores = precision_recall_f1(tp, tp + fp, tp + fn, empty_system=empty_system)
  return dict(zip(("precision", "recall", "f1"), scores))


def of_counts(name, problem, params, counts, values, total_seconds=None):
  """The `MetricResult` of counts per file and class.

  Args:
    problem: `_inputs.prepare`'s.
    counts: `tp fn` int64 `[files, classes]`, and others by file.
    values: `(sums, params)` -> the three dicts that `assemble` takes.
    total_seconds: evaluated length; default the durations', NaN without them.
  """
  sums = {key: column.sum(axis=0) for key, column in counts.items()}
  if total_seconds is None:
    seconds = problem.durations
    total_seconds = np.nan if seconds is None else seconds.sum()
  return MetricResult(
    name=name,
    params=params,
    labels=problem.labels,
    counts=counts,
    num_files=len(problem.files),
    total_seconds=float(total_seconds),
    notes=problem.notes,
    files=problem.files,
    **assemble(
      values(sums, params),
      problem.labels,
      sums["tp"] + sums["fn"] > 0,
      params.absent_classes,
    ),
  )


def assemble(values, labels, present, absent_classes):
  """Splits value arrays into overall, macro, class-wise and skipped.

  Args:
    values: (overall, macro, class_wise) dicts of arrays, class-wise
      `[classes]`.
    labels: class names.
    present: bool `[classes]`.
    absent_classes: see `mean_over_classes`.
  """
  overall, macro, class_wise = values
  skipped = {}
  if absent_classes == "exclude":
    skipped = {
      label: "no reference"
      for label, there in zip(labels, present)
      if not there
    }
  columns = {
    name: plain(np.asarray(column)) for name, column in class_wise.items()
  }
  return {
    "overall": {name: plain(np.asarray(v)) for name, v in overall.items()},
    "macro": {name: plain(np.asarray(v)) for name, v in macro.items()},
    "class_wise": {
      label: {name: column[i] for name, column in columns.items()}
      for i, label in enumerate(labels)
    },
    "skipped": skipped,
  }
