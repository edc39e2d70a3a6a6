"""A recording -> YOHO's windows -> outputs of the recording (numpy only)."""

import numpy as np

from yoho_tf.models import yoho
from yoho_tf.windows import iter_windows


def window_plan(blocks, params):
  """Yields the windows of a recording: (cells to keep, samples, length).

  `stride`: stitched on the global lattice. `window`: overlapping, as the
  paper's; all cells are kept, `decode` sorts them out. The length, in samples
  of the recording, is known with the last window.
  """
  plan = params.inference
  if params.lattice == "stride":
    for window, samples in iter_windows(
      blocks,
      cell_samples=params.cell_samples,
      extra_samples=params.extra_samples,
      window_cells=plan.window_cells,
      discard_left_cells=plan.discard_left_cells,
      discard_right_cells=plan.discard_right_cells,
    ):
      first = window.start_cell
      keep = slice(window.keep_start - first, window.keep_end - first)
      yield keep, samples, window.total_samples
    return
  waveform = np.concatenate(list(blocks))
  size = params.window_samples
  hop = round(plan.window_hop_seconds * params.frontend.sample_rate_hz)
  for i in range(yoho.num_windows(len(waveform), params)):
    part = waveform[i * hop : i * hop + size]
    part = np.pad(part, (0, size - len(part)))
    yield slice(None), part, len(waveform)


def join_windows(parts, params):
  """Kept cells of each window -> outputs of the recording, for `decode`."""
  join = np.concatenate if params.lattice == "stride" else np.stack
  return join(parts)


def run_windows(run, waveforms, params, *, batch_size):
  """Outputs of whole recordings; windows of one length go together.

  Args:
    run: `[batch, samples] -> [batch, cells, ...]`.
    waveforms: `[samples]` each.
    batch_size: windows that go together, a function of their length.

  Returns:
    `join_windows` of each recording, a list.
  """
  found, pending = [], {}  # samples of a window -> windows awaiting company

  def run_batch(rows):
    outputs = np.asarray(run(np.stack([row[-1] for row in rows])))
    for (parts, index, keep, _), output in zip(rows, outputs, strict=True):
      parts[index] = output[keep]
    rows.clear()

  for waveform in waveforms:
    parts = {}
    found.append(parts)
    for index, (keep, samples, _) in enumerate(window_plan([waveform], params)):
      rows = pending.setdefault(len(samples), [])
      rows.append((parts, index, keep, samples))
      if len(rows) == batch_size(len(samples)):
        run_batch(rows)
  for rows in pending.values():
    if rows:
      run_batch(rows)
  return [
    join_windows([parts[i] for i in range(len(parts))], params)
    for parts in found
  ]
