"""Frame scores per file, their thresholded events and their component tree.

Every event that any threshold can cut out of a score sequence is a node of
a tree: frame i stands for the widest run of frames around it whose scores
are >= its own, and the run exists for thresholds below that score and not
below the larger of its two neighbours. A node's parent is the run that
replaces it there.

Reference: Ebbers, Haeb-Umbach, Serizel, "Threshold Independent Evaluation of
Sound Event Detection Scores", 2022 (the idea of change points).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from yoho_tf.labels import did_you_mean
from yoho_tf.metrics._inputs import file_key, label_names


class Frames(NamedTuple):
  """Checked scores of one file, columns in the order of the labels."""

  scores: np.ndarray  # float64 [frames, classes]
  boundaries: np.ndarray  # float64 seconds [frames + 1]


def check_frame_scores(source, files, labels, durations=None, *, match="name"):
  """Checks frame scores against the file list and the labels.

  Args:
    source: `FrameScores` or anything with its attributes.
    files: file names.
    labels: class names; columns are brought to their order.
    durations: float seconds `[files]`, or None.
    match: files are the same by "name", "basename" or "stem".

  Returns:
    List of `Frames`, one per file.

  Raises:
    ValueError: a file is missing or unknown, a shape differs, a score is
      not finite, boundaries do not increase or reach beyond the file.
  """
  names = label_names(source.labels)
  extra = [name for name in names if name not in labels]
  if extra:
    raise ValueError(f"scores: column {did_you_mean(extra[0], labels)}")
  missing = [name for name in labels if name not in names]
  if missing:
    raise ValueError(
      f"scores: needs a column per label, received none for {missing[:5]}"
    )
  key = file_key(match) or str
  own_name = {}  # key -> name in the scores
  for name in source.scores:
    if own_name.setdefault(key(name), name) != name:
      raise ValueError(
        f"match: keys must tell files apart, received {name!r} and"
        f" {own_name[key(name)]!r} for {key(name)!r}"
      )
  known = {key(name) for name in files}
  unknown = [name for k, name in own_name.items() if k not in known]
  if unknown:
    hint = ", try match='basename' or match='stem'" if match == "name" else ""
    raise ValueError(
      f"scores: file must be in the file list, received {unknown[:5]}{hint}"
    )
  order = [names.index(name) for name in labels]
  same_order = order == list(range(len(order)))
  bounds = source.boundaries_seconds
  out, checked = [], {}
  for i, name in enumerate(files):
    if key(name) not in own_name:
      raise ValueError(f"scores: needs every file, received none for {name!r}")
    name = own_name[key(name)]
    scores = np.asarray(source.scores[name], np.float64)
    bound = bounds[name] if isinstance(bounds, Mapping) else bounds
    if id(bound) not in checked:
      checked[id(bound)] = (bound, _check_boundaries(bound, name))
    boundaries = checked[id(bound)][1]
    if scores.shape != (len(boundaries) - 1, len(names)):
      raise ValueError(
        f"scores: [frames, classes] of {name!r} must be"
        f" {(len(boundaries) - 1, len(names))}, received {scores.shape}"
      )
    if not np.isfinite(scores).all():
      rows = np.argwhere(~np.isfinite(scores))[:5].tolist()
      raise ValueError(
        f"scores: must be finite, received others in {name!r} at {rows}"
      )
    if durations is not None and len(scores):
      excess = boundaries[-1] - durations[i]
      if excess > boundaries[-1] - boundaries[-2] + 1e-9:
        raise ValueError(
          f"boundaries_seconds: end of {name!r} must lie within one frame of"
          f" {durations[i]} s, received {boundaries[-1]} s"
        )
    out.append(Frames(scores if same_order else scores[:, order], boundaries))
  return out


def frames_of(source, problem):
  """The checked frame scores of a problem's files."""
  return check_frame_scores(
    source,
    problem.files,
    problem.labels,
    problem.durations,
    match=problem.match,
  )


def _check_boundaries(boundaries, name):
  boundaries = np.asarray(boundaries, np.float64)
  if (
    boundaries.ndim != 1
    or not len(boundaries)
    or not np.isfinite(boundaries).all()
    or (np.diff(boundaries) <= 0).any()
  ):
    rows = np.flatnonzero(~(np.diff(boundaries.ravel()) > 0))[:5].tolist()
    raise ValueError(
      f"boundaries_seconds: must increase, received others in {name!r} at"
      f" {rows}"
    )
  return boundaries


def events_at(source, threshold):
  """Events where score > threshold, as a mapping of columns.

  Args:
    source: `FrameScores`.
    threshold: one number, or label -> number.

  Returns:
    dict of lists and arrays `filename start end label`.
  """
  names = label_names(source.labels)
  level = np.array(
    [
      threshold[name] if isinstance(threshold, Mapping) else threshold
      for name in names
    ],
    np.float64,
  )  # [classes]
  files, labels, starts, ends = [], [], [], []
  for name, scores in source.scores.items():
    on = np.zeros((len(names), len(scores) + 2), np.int8)
    on[:, 1:-1] = (np.asarray(scores, np.float64) > level).T
    edge = np.diff(on, axis=1)  # [classes, frames + 1]
    label, first = np.nonzero(edge == 1)
    stop = np.nonzero(edge == -1)[1]
    bounds = source.boundaries_seconds
    bounds = np.asarray(bounds[name] if isinstance(bounds, Mapping) else bounds)
    starts.append(bounds[first])
    ends.append(bounds[stop])
    labels += [names[i] for i in label]
    files += [name] * len(label)
  return {
    "filename": files,
    "start": np.concatenate(starts) if starts else np.zeros(0),
    "end": np.concatenate(ends) if ends else np.zeros(0),
    "label": labels,
  }


class Tree(NamedTuple):
  """Nodes of the trees of several lanes."""

  lane: np.ndarray  # int64 [nodes]
  first: np.ndarray  # int64 [nodes], boundary where the run starts
  stop: np.ndarray  # int64 [nodes], boundary where the run ends
  score: np.ndarray  # float64 [nodes], it exists below this threshold
  parent: np.ndarray  # int64 [nodes], -1 = none


def component_tree(scores):
  """Trees of all lanes at once, by a monotone stack.

  Args:
    scores: float64 `[frames, lanes]`; -inf pads a shorter lane.

  Returns:
    `Tree`; at most one node per frame.
  """
  num_frames, num_lanes = scores.shape
  # Row 0 is the bottom of every stack; row i + 1 is frame i.
  rows = np.concatenate([np.full((1, num_lanes), -np.inf), scores])
  flat = rows.ravel()
  below = np.full(flat.size, -1)  # the node under a node in its stack
  start_row = np.zeros(flat.size, np.int64)  # row before the run
  stop_row = np.full(flat.size, num_frames + 1)  # row after the run
  columns = np.arange(num_lanes)
  top = columns.copy()  # [lanes], node on top of each stack
  top_row = np.zeros(flat.size, np.int64)  # latest row of an equal score
  for row in range(1, num_frames + 1):
    value = rows[row]
    lanes = np.flatnonzero(flat[top] > value)
    while lanes.size:
      node = top[lanes]
      stop_row[node] = row
      node = below[node]
      top[lanes] = node
      lanes = lanes[flat[node] > value[lanes]]
    # An equal score on top already stands for this frame.
    lanes = np.flatnonzero(flat[top] < value)
    node = lanes + row * num_lanes
    below[node] = top[lanes]
    start_row[node] = top_row[top[lanes]]
    top[lanes] = node
    top_row[top] = row
  node = np.flatnonzero(below >= 0)  # [nodes]
  lane = node % num_lanes
  left, right_row = below[node], stop_row[node]
  right = np.where(right_row <= num_frames, right_row, 0) * num_lanes + lane
  parent = np.where(flat[right] > flat[left], right, left)
  index = np.full(flat.size, -1)
  index[node] = np.arange(len(node))
  return Tree(lane, start_row[node], right_row - 1, flat[node], index[parent])
