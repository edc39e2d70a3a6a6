"""Windows of whole cells over audio of any length, in constant memory.

A plan is arithmetic on cells; `iter_windows` cuts it out of a stream of blocks
whose length nobody knows beforehand. All errors are `AudioError`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from yoho_tf.audio_checks import AudioError, check_count


class Window(NamedTuple):
  """A window in cells from the start of the file; ends are exclusive.

  Cells start_cell..end_cell are computed, keep_start..keep_end are used.
  `total_samples` is the length of the file on the last window of
  `iter_windows`, None everywhere else.
  """

  start_cell: int
  end_cell: int
  keep_start: int
  keep_end: int
  total_samples: int | None = None


def plan_windows(
  num_cells: int,
  *,
  window_cells: int = 100,
  discard_left_cells: int = 7,
  discard_right_cells: int = 8,
) -> list[Window]:
  """Plans overlapping windows whose kept parts tile the file.

  Window i starts at i * hop, hop = window_cells - discard_left_cells -
  discard_right_cells. The first one to reach the end of the file is the last;
  it ends there, and is shorter. The first keeps its left edge, the last its
  right edge, so the kept parts tile 0..num_cells and none is empty.

  Args:
    num_cells: length of the file, at least 1.
    window_cells: longest window; a shorter file is one window.
    discard_left_cells: cells dropped at an inner left edge.
    discard_right_cells: cells dropped at an inner right edge.

  Returns:
    The windows in order.

  Raises:
    AudioError: an argument is not a whole number in its range.
  """
  check_count("num_cells", num_cells, 1)
  hop_cells = _hop(window_cells, discard_left_cells, discard_right_cells)
  num_inner = max(0, -(-(num_cells - window_cells) // hop_cells))
  starts = range(0, (num_inner + 1) * hop_cells, hop_cells)
  return [
    Window(
      start_cell=start,
      end_cell=min(start + window_cells, num_cells),
      keep_start=start + discard_left_cells if start else 0,
      keep_end=(
        num_cells
        if start == starts[-1]
        else start + window_cells - discard_right_cells
      ),
    )
    for start in starts
  ]


def iter_windows(
  blocks: Iterable[np.ndarray],
  *,
  cell_samples: int = 5120,
  extra_samples: int = 240,
  window_cells: int = 100,
  discard_left_cells: int = 7,
  discard_right_cells: int = 8,
) -> Iterator[tuple[Window, np.ndarray]]:
  """Cuts a stream of blocks into the windows of `plan_windows`.

  The length of the stream need not be known: a window leaves once samples
  behind it have arrived, or at the end. Memory is constant in that length.
  The file has ceil(samples / cell_samples) cells; zeros follow its end.

  Args:
    blocks: float [samples] each, of any length, for example read_blocks().
    cell_samples: samples per cell.
    extra_samples: samples behind a window's last cell that its frames need.
    window_cells, discard_left_cells, discard_right_cells: see plan_windows.

  Yields:
    The window, and float32 [(end_cell - start_cell) * cell_samples +
    extra_samples] from sample start_cell * cell_samples on, a copy. The last
    window alone carries `total_samples`.

  Raises:
    AudioError: the stream held no samples, a block is not [samples], or an
      argument is not a whole number in its range.
  """
  check_count("cell_samples", cell_samples, 1)
  check_count("extra_samples", extra_samples, 0)
  hop_cells = _hop(window_cells, discard_left_cells, discard_right_cells)
  window_samples = window_cells * cell_samples
  # One sample behind the window proves that it is not the last.
  num_needed = window_samples + max(extra_samples, 1)
  pending, num_pending = [], 0  # samples from start_cell on
  start_cell = total_samples = 0
  for block in blocks:
    block = np.asarray(block, np.float32)
    if block.ndim != 1:
      raise AudioError(f"blocks: must be [samples], got shape {block.shape}")
    pending.append(block)
    num_pending += len(block)
    total_samples += len(block)
    if num_pending < num_needed:
      continue
    buffer = np.concatenate(pending)  # once per window or more, not per block
    while len(buffer) >= num_needed:
      window = Window(
        start_cell=start_cell,
        end_cell=start_cell + window_cells,
        keep_start=start_cell + discard_left_cells if start_cell else 0,
        keep_end=start_cell + window_cells - discard_right_cells,
      )
      yield window, buffer[: window_samples + extra_samples].copy()
      start_cell += hop_cells
      buffer = buffer[hop_cells * cell_samples :]
    pending, num_pending = [buffer.copy()], len(buffer)  # frees what is done
  if not total_samples:
    raise AudioError("audio: must hold at least 1 sample, got 0")
  buffer = np.concatenate(pending)
  windows = plan_windows(
    -(-total_samples // cell_samples),
    window_cells=window_cells,
    discard_left_cells=discard_left_cells,
    discard_right_cells=discard_right_cells,
  )
  for window in windows[start_cell // hop_cells :]:
    num_samples = (window.end_cell - window.start_cell) * cell_samples
    padded = np.zeros(num_samples + extra_samples, np.float32)
    offset = (window.start_cell - start_cell) * cell_samples
    rest = buffer[offset : offset + len(padded)]
    padded[: len(rest)] = rest
    if window is windows[-1]:
      window = window._replace(total_samples=total_samples)
    yield window, padded


def _hop(window_cells, discard_left_cells, discard_right_cells) -> int:
  """Cells from window to window, after checking the three."""
  check_count("window_cells", window_cells, 1)
  check_count("discard_left_cells", discard_left_cells, 0)
  check_count("discard_right_cells", discard_right_cells, 0)
  hop_cells = window_cells - discard_left_cells - discard_right_cells
  if hop_cells < 1:
    raise AudioError(
      "window_cells: must exceed discard_left_cells + discard_right_cells = "
      f"{discard_left_cells + discard_right_cells}, got {window_cells}"
    )
  return hop_cells
