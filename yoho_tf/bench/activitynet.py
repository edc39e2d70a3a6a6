"""mAP at temporal IoU as ActivityNet's loop: what ours is compared with.

One detection after the other, one threshold after the other. Two ports, which
share no code with `yoho_tf.metrics`: `over_tables` looks every detection up in
DataFrames, as the original does; `over_tuples` does the same on plain tuples.
"""

import numpy as np


def over_tables(reference, estimate, thresholds):
  """Mean over classes and thresholds of the average precision.

  Args:
    reference: DataFrame `filename start end label`.
    estimate: the same with `score`.
    thresholds: intersection over union a true positive needs, each.

  Returns:
    float.
  """
  values = []
  detections = {
    label: rows.sort_values(
      ["score", "filename", "start"], ascending=[False, True, True]
    )
    for label, rows in estimate.groupby("label")
  }
  for label, references in reference.groupby("label"):
    by_file = references.reset_index(drop=True).groupby("filename")
    found = detections.get(label, estimate.iloc[:0])
    state = _State(len(thresholds), len(references), len(found))
    for rank, (_, row) in enumerate(found.iterrows()):
      try:
        there = by_file.get_group(row["filename"])
      except KeyError:
        continue
      spans = there[["start", "end"]].to_numpy()
      iou = _iou(row["start"], row["end"], spans)
      state.take(rank, iou, there.index, thresholds)
    values.append(state.average_precisions())
  return float(np.mean(values))


def over_tuples(reference, estimate, thresholds):
  """The same value as `over_tables`, without DataFrames in the loop."""
  references, detections = {}, {}
  for row in reference.itertuples(index=False):
    references.setdefault(row.label, []).append(row)
  for row in estimate.itertuples(index=False):
    detections.setdefault(row.label, []).append(row)
  values = []
  for label, rows in references.items():
    by_file = {}
    for index, row in enumerate(rows):
      spans, indices = by_file.setdefault(row.filename, ([], []))
      spans.append((row.start, row.end))
      indices.append(index)
    by_file = {name: (np.array(s), i) for name, (s, i) in by_file.items()}
    found = sorted(
      detections.get(label, ()), key=lambda r: (-r.score, r.filename, r.start)
    )
    state = _State(len(thresholds), len(rows), len(found))
    for rank, row in enumerate(found):
      if row.filename in by_file:
        spans, indices = by_file[row.filename]
        iou = _iou(row.start, row.end, spans)
        state.take(rank, iou, indices, thresholds)
    values.append(state.average_precisions())
  return float(np.mean(values))


def _iou(start, end, spans):
  """Intersection over union of one span with several, float64 `[spans]`."""
  both = np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start)
  both = np.maximum(both, 0.0)
  return both / (spans[:, 1] - spans[:, 0] + end - start - both)


class _State:
  """What is taken and hit so far, for one class and all thresholds."""

  def __init__(self, num_thresholds, num_references, num_detections):
    self.is_taken = np.zeros((num_thresholds, num_references), bool)
    self.hits = np.zeros((num_thresholds, num_detections), bool)

  def take(self, rank, iou, indices, thresholds):
    """Lets a detection take the best free reference at every threshold."""
    order = np.argsort(-iou, kind="stable")
    for level, threshold in enumerate(thresholds):
      for place in order:
        if iou[place] < threshold:
          break
        if not self.is_taken[level, indices[place]]:
          self.is_taken[level, indices[place]] = True
          self.hits[level, rank] = True
          break

  def average_precisions(self):
    """Average precision at every threshold, float64 `[thresholds]`."""
    out = []
    for hits in self.hits:
      true = np.cumsum(hits)
      precision = true / np.arange(1, len(true) + 1)
      for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
      recall = true / self.is_taken.shape[1]
      out.append(np.sum(np.diff(recall, prepend=0.0) * precision))
    return np.array(out)
