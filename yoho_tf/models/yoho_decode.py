"""YOHO's cells -> events, of many recordings at once (numpy only).

Paper section 3.3; yoho.md sections 6 and 9, items 5 and 7. Everything is done
for all recordings and classes together: a *lane* is one class of one
recording, and pieces of two lanes never meet.
"""

from collections.abc import Mapping

import numpy as np

from yoho_tf.events import EventTable, merge_gaps
from yoho_tf.params import PRESETS, YohoParams

_EPSILON = 1e-9  # of lengths, seconds


def grid_of(outputs, params: YohoParams) -> np.ndarray:
  """`[windows, cells, classes, slots, 3]` float64 of one recording.

  Raises:
    ValueError: another shape, or several windows on the `stride` lattice.
  """
  events = np.asarray(outputs, np.float64)
  if events.ndim == 3:
    events = events[None]
  shape = (len(params.labels), 3 * params.slots)
  if events.ndim != 4 or events.shape[2:] != shape:
    raise ValueError(
      f"events must have shape [cells, {shape[0]}, {shape[1]}]; received "
      f"{np.shape(outputs)}"
    )
  if len(events) > 1 and params.lattice == "stride":
    raise ValueError(
      "events must be stitched to one row of cells on the lattice stride; "
      f"received {len(events)} windows"
    )
  return events.reshape(*events.shape[:3], params.slots, 3)


def grid_seconds(grid, params: YohoParams) -> float:
  """From the start of the first window to the end of the last."""
  windows, cells = grid.shape[:2]
  hop = params.inference.window_hop_seconds
  return (windows - 1) * hop + cells * params.cell_seconds


def decode_grids(
  grids: Mapping, params: YohoParams, durations: Mapping
) -> EventTable:
  """Events of every recording, sorted by (recording, start, end, label).

  Args:
    grids: filename -> `grid_of`, in the order of the table.
    durations: filename -> seconds; events are clipped to them.
  """
  if not grids:
    return EventTable.empty()
  settings = [params.postprocess.for_label(n) for n in params.labels]
  seconds = np.array([durations[name] for name in grids], np.float64)
  pieces = _pieces(list(grids.values()), seconds, params, settings)
  lane, start, end, score = _join(pieces, params, settings)
  file, column = np.divmod(lane, len(params.labels))
  names = np.array(params.labels, object)
  rank = np.argsort(np.argsort(names))
  order = np.lexsort((rank[column], end, start, file))
  return EventTable.from_columns(
    filename=np.array(list(grids), object)[file[order]],
    start=start[order],
    end=end[order],
    label=names[column[order]],
    score=score[order],
  )


def _pieces(grids, durations, params, settings):
  """Cells that reach `low` -> lane, start, end, score and cell, [pieces].

  Seconds in the recording, listed by window, cell and slot, clipped to each
  window's keep zone and to the recording; cells are numbered through.
  """
  width, inference = params.cell_seconds, params.inference
  rows = np.concatenate([g.reshape(-1, *g.shape[2:]) for g in grids])
  low = np.array([own.low for own in settings])
  row, column, slot = np.nonzero(rows[..., 0] >= low[:, None])
  score, first, second = rows[row, column, slot].T
  file, windows, window, cell = (
    np.concatenate(parts)[row]
    for parts in zip(*map(_places, range(len(grids)), grids), strict=True)
  )
  paper_code = inference.compat == "paper_code"
  if paper_code:  # the stop is added to the start (yoho.md section 8, D1)
    start = (cell + first) * width
    end = start + second * width
  else:
    start = (cell + np.minimum(first, second)) * width
    end = (cell + np.maximum(first, second)) * width
  # The first window keeps its left edge, the last its right one.
  length, left = params.window_seconds, inference.discard_seconds
  right = length - left
  if paper_code and params.labels == PRESETS["yoho_tut2017"].labels:
    left, right = 0.0, length
  elif paper_code:  # middle windows keep their last second (D6)
    right = length
  left = np.where(window > 0, left, 0.0)
  right = np.where(window < windows - 1, right, length)
  right = np.where(windows > 1, right, np.inf)
  offset = window * inference.window_hop_seconds
  start = np.maximum(start, left) + offset
  end = np.minimum(np.minimum(end, right) + offset, durations[file])
  keep = end > start
  number = window * np.array([g.shape[1] for g in grids])[file] + cell
  lane = file * len(settings) + column
  return tuple(v[keep] for v in (lane, start, end, score, number))


def _places(file, grid):
  """File, number of windows, window and cell of every row, [rows] each."""
  windows, cells = grid.shape[:2]
  window, cell = np.divmod(np.arange(windows * cells), cells)
  return np.full_like(cell, file), np.full_like(cell, windows), window, cell


def _join(pieces, params, settings):
  """Merge, drop short, calibrate, threshold: lane, start, end, score.

  What is apart within one cell is several events: `encode` would have joined
  it otherwise.
  """
  lane, start, end, score, cell = pieces
  if not len(lane):
    return lane, start, end, score
  paper_code = params.inference.compat == "paper_code"
  listed = start

  def own(name):
    """A setting of every piece's or event's class."""
    values = np.array([getattr(one, name) for one in settings])
    return lambda lane: values[lane % len(settings)]

  order = np.lexsort((start, lane))  # stable: by listing within equal starts
  lane, start, end, score = (v[order] for v in (lane, start, end, score))
  is_apart = np.diff(cell[order], prepend=-1) == 0
  gap = np.where(is_apart, 0.0, own("merge_gap_seconds")(lane))
  begin, stop, group = merge_gaps(start, end, gap, key=lane)
  heads = np.searchsorted(group, np.arange(len(begin)))
  lane = lane[heads]
  best = np.maximum.reduceat(score, heads)
  mean = np.add.reduceat(score, heads) / np.bincount(group)
  best = np.where(own("score")(lane) == "max", best, mean)
  if paper_code:  # the earlier listed start survives a merge (D5)
    begin = listed[np.minimum.reduceat(order, heads)]
  a, b = own("calibration_a")(lane), own("calibration_b")(lane)
  clipped = np.clip(best, 1e-7, 1 - 1e-7)
  logit = a * np.log(clipped / (1 - clipped)) + b
  best = np.where((a != 1) | (b != 0), 1 / (1 + np.exp(-logit)), best)
  keep = stop - begin >= own("min_duration_seconds")(lane) - _EPSILON
  keep &= best >= own("threshold")(lane)
  if paper_code:
    begin, stop = np.round(begin, 3), np.round(stop, 3)
    keep &= stop > begin
  return tuple(v[keep] for v in (lane, begin, stop, best))
