"""YOHO's cells -> events, of many recordings at once (numpy only).

Paper section 3.3; yoho.md sections 6 and 9, items 5 and 7. Everything is done
for all recordings and classes together: a *lane* is one class of one
recording, and pieces of two lanes never meet. `decode_next` does the same for
one recording whose cells come in stretches.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.intervals import TOLERANCE_SECONDS, merge_gaps
from yoho_tf.params import PRESETS, YohoParams

_EPSILON = 1e-9  # of lengths, seconds
_NO_EVENTS = EventTable.empty()


class Pieces(NamedTuple):
  """Where something sounds: one slot of a cell, or several joined.

  Arrays [pieces]: the lane; start and end in seconds; presence as its largest
  value, its sum and the number summed; the number of the last cell.
  """

  lane: np.ndarray
  start: np.ndarray
  end: np.ndarray
  best: np.ndarray
  total: np.ndarray
  count: np.ndarray
  cell: np.ndarray

  def take(self, which) -> "Pieces":
    return Pieces(*(column[which] for column in self))


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
  seconds = np.array([durations[name] for name in grids], np.float64)
  settings = settings_of(params)
  pieces = _pieces(list(grids.values()), seconds, params, settings)
  events = _judge(_join(pieces, params, settings), params, settings)
  return _table(events, params, list(grids))


def decode_next(
  grid,
  params: YohoParams,
  *,
  first: int = 0,
  before: Pieces | None = None,
  duration_seconds: float | None = None,
  settings: dict | None = None,
) -> tuple[EventTable, EventTable, Pieces]:
  """Events of one recording whose cells come in stretches.

  An event is final once no later cell can join it. Of an open one only what
  has been joined so far is kept: a stretch costs the same however long the
  events are that run on.

  Args:
    grid: `grid_of` the next stretch; on the `window` lattice the next window,
      and windows whose kept parts tile the recording.
    first: number of cells (`window`: windows) before this stretch.
    before: the last thing that the call before returned; None at the start.
    duration_seconds: of the recording, with its last stretch.
    settings: `settings_of(params)`, for who calls often.

  Returns:
    The events that are final now, each once; those that run on, as they would
    be if they ended here; what the next call needs.
  """
  is_last = duration_seconds is not None
  settings = settings or settings_of(params)
  seconds = np.array([duration_seconds if is_last else np.inf])
  pieces = _pieces([grid], seconds, params, settings, first, is_last)
  if before is not None:
    pieces = Pieces(*map(np.concatenate, zip(before, pieces)))
  if not len(pieces.lane):  # nothing sounds: most steps of most streams
    return _NO_EVENTS, _NO_EVENTS, pieces
  joined = _join(pieces, params, settings)
  if params.lattice == "stride":
    frontier = (first + grid.shape[1]) * params.cell_seconds
  else:
    plan = params.inference
    frontier = plan.discard_seconds + (first + 1) * plan.window_hop_seconds
  # What follows in a lane starts at the frontier or later.
  gap = _own(settings, "merge_gap_seconds", joined.lane) + TOLERANCE_SECONDS
  is_open = np.append(np.diff(joined.lane) > 0, True)[: len(joined.lane)]
  is_open &= frontier - joined.end <= gap
  if is_last:
    is_open[:] = False
  rest = joined.take(is_open)
  final, provisional = (
    _table(_judge(some, params, settings), params, [""])
    for some in (joined.take(~is_open), rest)
  )
  return final, provisional, rest


def settings_of(params) -> dict[str, np.ndarray]:
  """Post-processing of every class: `{setting: [classes]}`."""
  settings = [params.postprocess.for_label(name) for name in params.labels]
  return {
    field.name: np.array([getattr(one, field.name) for one in settings])
    for field in fields(settings[0])
    if field.name != "per_label"
  }


def _own(settings, name, lane):
  """A setting of every piece's or event's class, [pieces]."""
  values = settings[name]
  return values[lane % len(values)]


def _table(events, params, filenames):
  """`_judge`'s columns, sorted by (recording, start, end, label)."""
  lane, start, end, score = events
  if not len(lane):
    return _NO_EVENTS
  file, column = np.divmod(lane, len(params.labels))
  names = np.array(params.labels, object)
  rank = np.argsort(np.argsort(names))
  order = np.lexsort((rank[column], end, start, file))
  return EventTable.from_columns(
    filename=np.array(filenames, object)[file[order]],
    start=start[order],
    end=end[order],
    label=names[column[order]],
    score=score[order],
  )


def _pieces(grids, durations, params, settings, before=0, is_last=True):
  """Cells that reach `low` -> `Pieces`.

  Seconds in the recording, listed by window, cell and slot, clipped to each
  window's keep zone and to the recording; cells are numbered through. Where
  grids are not whole recordings, `before` counts what came before them.
  """
  width, inference = params.cell_seconds, params.inference
  rows = np.concatenate([g.reshape(-1, *g.shape[2:]) for g in grids])
  low = settings["low"]
  row, column, slot = np.nonzero(rows[..., 0] >= low[:, None])
  score, first, second = rows[row, column, slot].T
  file, windows, window, cell = (
    np.concatenate(parts)[row]
    for parts in zip(*map(_places, range(len(grids)), grids), strict=True)
  )
  if params.lattice == "stride":
    cell = cell + before
  else:
    window, windows = window + before, windows + before + (not is_last)
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
  lane = file * len(low) + column
  count = np.ones_like(score)
  pieces = Pieces(lane, start, end, score, score, count, number)
  return pieces.take(keep)


def _places(file, grid):
  """File, number of windows, window and cell of every row, [rows] each."""
  windows, cells = grid.shape[:2]
  window, cell = np.divmod(np.arange(windows * cells), cells)
  return np.full_like(cell, file), np.full_like(cell, windows), window, cell


def _join(pieces, params, settings):
  """Joins what is near enough; sorted by lane and start.

  What is apart within one cell is several events: `encode` would have joined
  it otherwise.
  """
  if not len(pieces.lane):
    return pieces
  order = np.lexsort((pieces.start, pieces.lane))  # stable: by listing
  lane, start, end, best, total, count, cell = pieces.take(order)
  is_apart = np.diff(cell, prepend=-1) == 0
  gap = np.where(is_apart, 0.0, _own(settings, "merge_gap_seconds", lane))
  begin, stop, group = merge_gaps(start, end, gap, key=lane)
  heads = np.searchsorted(group, np.arange(len(begin)))
  if params.inference.compat == "paper_code":
    # The earlier listed start survives a merge (D5).
    begin = pieces.start[np.minimum.reduceat(order, heads)]
  return Pieces(
    lane[heads],
    begin,
    stop,
    np.maximum.reduceat(best, heads),
    np.add.reduceat(total, heads),
    np.add.reduceat(count, heads),
    np.maximum.reduceat(cell, heads),
  )


def _judge(joined, params, settings):
  """Drop short, calibrate, threshold: lane, start, end, score of events."""
  lane, begin, stop, best = joined[:4]
  mean = joined.total / joined.count
  best = np.where(_own(settings, "score", lane) == "max", best, mean)
  a = _own(settings, "calibration_a", lane)
  b = _own(settings, "calibration_b", lane)
  clipped = np.clip(best, 1e-7, 1 - 1e-7)
  logit = a * np.log(clipped / (1 - clipped)) + b
  best = np.where((a != 1) | (b != 0), 1 / (1 + np.exp(-logit)), best)
  shortest = _own(settings, "min_duration_seconds", lane)
  keep = stop - begin >= shortest - _EPSILON
  keep &= best >= _own(settings, "threshold", lane)
  if params.inference.compat == "paper_code":
    begin, stop = np.round(begin, 3), np.round(stop, 3)
    keep &= stop > begin
  return tuple(v[keep] for v in (lane, begin, stop, best))
