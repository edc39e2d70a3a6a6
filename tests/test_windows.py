"""Windows of cells: the plan, and the same plan from a stream."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf import audio
from yoho_tf.windows import iter_windows, plan_windows


def message(call, *args, **kwargs):
  with pytest.raises(audio.AudioError) as caught:
    call(*args, **kwargs)
  return str(caught.value)


plans = st.tuples(st.integers(1, 40), st.integers(0, 9), st.integers(0, 9)).map(
  lambda plan: {
    "window_cells": plan[0] + plan[1] + plan[2],
    "discard_left_cells": plan[1],
    "discard_right_cells": plan[2],
  }
)


@settings(max_examples=300, deadline=None)
@given(num_cells=st.integers(1, 2000), plan=plans)
def test_kept_cells_tile_the_file(num_cells, plan):
  windows = plan_windows(num_cells, **plan)
  left, right = plan["discard_left_cells"], plan["discard_right_cells"]
  hop = plan["window_cells"] - left - right
  kept = [c for w in windows for c in range(w.keep_start, w.keep_end)]
  assert kept == list(range(num_cells))
  assert windows[-1].end_cell == num_cells
  for index, window in enumerate(windows):
    assert window.start_cell == index * hop
    assert window.start_cell <= window.keep_start < window.keep_end
    assert window.keep_end <= window.end_cell
    assert window.end_cell - window.start_cell <= plan["window_cells"]
    assert window.total_samples is None
    if index:
      assert window.keep_start - window.start_cell == left
    if window is not windows[-1]:
      assert window.end_cell - window.start_cell == plan["window_cells"]
      assert window.end_cell - window.keep_end == right
  assert (len(windows) == 1) == (num_cells <= plan["window_cells"])


def test_default_plan():
  assert plan_windows(100) == [(0, 100, 0, 100, None)]
  assert plan_windows(101) == [
    (0, 100, 0, 92, None),
    (85, 101, 92, 101, None),
  ]
  assert plan_windows(185)[-1] == (85, 185, 92, 185, None)
  assert plan_windows(186)[-1] == (170, 186, 177, 186, None)


@pytest.mark.parametrize(
  ("name", "arguments"),
  [
    ("num_cells", {"num_cells": 0}),
    ("num_cells", {"num_cells": 2.5}),
    ("window_cells", {"window_cells": 15}),
    ("window_cells", {"window_cells": 0}),
    ("discard_left_cells", {"discard_left_cells": -1}),
    ("discard_right_cells", {"discard_right_cells": -1}),
    ("discard_right_cells", {"discard_right_cells": 8.0}),
  ],
)
def test_plan_errors(name, arguments):
  arguments = {"num_cells": 10, **arguments}
  assert name in message(plan_windows, **arguments)
  del arguments["num_cells"]
  if arguments:
    assert name in message(list, iter_windows([np.ones(9)], **arguments))


@settings(max_examples=150, deadline=None)
@given(
  total=st.integers(1, 900),
  cell_samples=st.integers(1, 12),
  extra_samples=st.integers(0, 30),
  plan=plans,
  cuts=st.lists(st.integers(0, 900), max_size=20),
)
def test_streamed_windows_equal_the_plan(
  total, cell_samples, extra_samples, plan, cuts
):
  waveform = np.arange(1, total + 1, dtype=np.float32)
  blocks = np.split(waveform, sorted(min(cut, total) for cut in cuts))
  streamed = list(
    iter_windows(
      iter(blocks),
      cell_samples=cell_samples,
      extra_samples=extra_samples,
      **plan,
    )
  )
  planned = plan_windows(-(-total // cell_samples), **plan)
  planned[-1] = planned[-1]._replace(total_samples=total)
  assert [window for window, _ in streamed] == planned
  padding = np.zeros(cell_samples + extra_samples, np.float32)
  padded = np.concatenate([waveform, padding])
  for window, samples in streamed:
    first = window.start_cell * cell_samples
    last = window.end_cell * cell_samples + extra_samples
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, padded[first:last])


def test_windows_of_the_default_plan():
  waveform = np.linspace(-1, 1, 5120 * 100 + 1, dtype=np.float32)
  (first, head), (last, tail) = iter_windows([waveform])
  assert first == (0, 100, 0, 92, None) and head.shape == (512240,)
  assert last == (85, 101, 92, 101, 512001)
  assert tail.shape == (16 * 5120 + 240,)
  np.testing.assert_array_equal(head[:512001], waveform)
  assert not head[512001:].any()
  ((only, samples),) = iter_windows([waveform[:1]])
  assert only == (0, 1, 0, 1, 1) and samples.shape == (5360,)


def test_streamed_windows_are_copies_and_memory_is_flat():
  import tracemalloc

  def blocks():
    for _ in range(3000):  # 12 MB in all
      yield np.ones(1000, np.float32)

  plan = {"window_cells": 20, "cell_samples": 500, "extra_samples": 24}
  tracemalloc.start()
  num_windows = 0
  for _, samples in iter_windows(blocks(), **plan):
    samples[:] = np.nan  # a window that shared memory would spoil the next
    num_windows += 1
  _, peak_bytes = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert num_windows == len(plan_windows(6000, window_cells=20))
  assert peak_bytes < 1e6
  last = None
  for last in iter_windows(blocks(), **plan):
    assert not np.isnan(last[1]).any()
    last[1][:] = np.nan
  assert last[0].total_samples == 3_000_000


def test_stream_errors():
  assert "at least 1 sample" in message(list, iter_windows([]))
  empty = [np.zeros(0, np.float32)]
  assert "at least 1 sample" in message(list, iter_windows(empty))
  flat = np.zeros(100, np.float32)  # an array where a list of blocks belongs
  assert "[samples]" in message(list, iter_windows(flat))


def test_file_to_windows(tmp_path):
  path = tmp_path / "a.wav"
  noise = np.random.default_rng(0).uniform(-0.3, 0.3, 44100 * 40)
  soundfile.write(path, noise, 44100)
  windows = list(iter_windows(audio.read_blocks(path, block_seconds=3)))
  assert len(windows) == 2
  assert windows[-1][0].total_samples == 640000
  whole = audio.read(path)
  np.testing.assert_allclose(windows[0][1], whole[:512240], atol=1e-6)
