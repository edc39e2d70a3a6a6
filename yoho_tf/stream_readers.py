"""What a `streaming.Stream` does with its samples: one reader per kind of file.

A reader takes `size` samples at each step; the next step starts `hop` samples
later. `size` samples prove that they are not the last ones.
"""

import math
from typing import NamedTuple

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.layers import mel
from yoho_tf.models import yoho_baselines, yoho_decode, yoho_stream
from yoho_tf.models.yoho_windows import window_plan
from yoho_tf.params import YohoParams

_NO_EVENTS = EventTable.empty()


class StreamEvents(NamedTuple):
  """What YOHO knows; times in seconds from the start of the stream.

  Attributes:
    final: events that left now. Each leaves once and never changes.
    provisional: all that run on, as they would be if they ended with the last
      cell known. Until such an event is final only its end and score change;
      (start, label) names it. One scored by its mean presence may fall below
      its threshold again, and is then gone.
  """

  final: EventTable
  provisional: EventTable


class StreamPatches(NamedTuple):
  """YAMNet's patches that left now, fields as in `results.Tags`.

  `models.yamnet.clip_scores` of all of them is that of the whole clip.
  """

  start: np.ndarray  # [patches], seconds
  end: np.ndarray  # [patches]
  valid_fraction: np.ndarray  # [patches], below 1 at the end of the stream
  scores: np.ndarray  # [patches, classes]
  embeddings: np.ndarray | None  # [patches, dims], where the network has them


def steps_of(model):
  """`deploy.stateful.StepNetwork` of a model that goes by cells, or None."""
  return getattr(model.network, "steps", None)


def reader(model):
  """The reader of a model whose plan fits a stream."""
  if not isinstance(model.params, YohoParams):
    return _Patches(model)
  return _Cells(model) if steps_of(model) else _Windows(model)


class _Events:
  """YOHO: the shared part, cells -> events.

  Args:
    model: the model.
    latency_samples: from the end of a cell until it is known, at most.
  """

  def __init__(self, model, latency_samples):
    self._params = params = model.params
    self._settings = yoho_decode.settings_of(params)
    gap = self._settings["merge_gap_seconds"].max()
    gap = math.ceil(gap * params.frontend.sample_rate_hz)
    # An event is final with the first cell behind its end and the gap.
    self.latency_samples = gap + latency_samples
    self.reset()

  def reset(self):
    self._first = 0  # number of the next cell or window
    self._open = None
    self._provisional = _NO_EVENTS

  def _decoded(self, cells, total_samples=None):
    """The next cells, the last ones with `total_samples` -> final events."""
    params = self._params
    rate = params.frontend.sample_rate_hz
    if params.baseline != "none":
      cells = yoho_baselines.as_cells({"scores": cells}, params)["events"]
    grid = yoho_decode.grid_of(cells, params)
    final, self._provisional, self._open = yoho_decode.decode_next(
      grid,
      params,
      first=self._first,
      before=self._open,
      duration_seconds=None if total_samples is None else total_samples / rate,
      settings=self._settings,
    )
    self._first += grid.shape[1] if params.lattice == "stride" else 1
    return final

  def result(self, found):
    found = [table for table in found if len(table)]
    final = EventTable.concat(found) if found else _NO_EVENTS
    return StreamEvents(final, self._provisional)


class _Windows(_Events):
  """Windows of the plan; what overlaps is computed again."""

  def __init__(self, model):
    self._network = model.network
    params, plan = model.params, model.params.inference
    rate = params.frontend.sample_rate_hz
    if params.lattice == "stride":
      right, cell = plan.discard_right_cells, params.cell_samples
      self._left = plan.discard_left_cells
      self.hop = (plan.window_cells - self._left - right) * cell
      self.size = plan.window_cells * cell + max(params.extra_samples, 1)
      kept = (plan.window_cells - right) * cell
    else:
      self.hop = round(plan.window_hop_seconds * rate)
      # A rest below one STFT hop makes no window.
      self.size = params.window_samples + params.frontend.stft_hop_samples
      kept = self.hop + round(plan.discard_seconds * rate)
    # Windows keep one hop more each.
    super().__init__(model, self.hop + self.size - kept)

  def step(self, samples, total_samples=None):
    """The next window, or with `total_samples` all up to the end; finals."""
    params = self._params
    windows = window_plan([samples], params)
    windows = [next(windows)] if total_samples is None else list(windows)
    found = []
    for i, (keep, samples, _) in enumerate(windows):
      if params.lattice == "stride" and self._first and i == 0:
        # It starts these samples, but not the stream.
        keep = slice(self._left, keep.stop)
      output = self._network({"waveform": samples[None]})[params.output]
      is_last = i == len(windows) - 1
      found.append(
        self._decoded(
          np.asarray(output)[0, keep], total_samples if is_last else None
        )
      )
    return found


class _Cells(_Events):
  """One cell after the other, through a network that remembers the others."""

  def __init__(self, model):
    self._network = steps_of(model).apart()
    params = model.params
    self.hop = params.cell_samples
    self.size = self.hop + max(params.extra_samples, 1)
    super().__init__(model, yoho_stream.LOOKAHEAD_CELLS * self.hop + self.size)

  def reset(self):
    super().reset()
    self._network.reset()

  def step(self, samples, total_samples=None):
    """The next cell, or with `total_samples` all up to the end; finals."""
    params = self._params
    num_cells = 1 if total_samples is None else -(-len(samples) // self.hop)
    size = num_cells * self.hop + params.extra_samples
    heard = np.pad(samples[:size], (0, max(0, size - len(samples))))
    if self._network.input == "log_mel":
      heard = mel.log_mel(heard, params.frontend)  # [32 * cells, bands]
    cells = [self._network.step(cell) for cell in self._network.cut(heard)]
    if total_samples is not None:
      cells.append(self._network.finish())
    cells = np.concatenate(cells)
    final = self._decoded(cells, total_samples) if len(cells) else _NO_EVENTS
    return [_NO_EVENTS] * (num_cells - 1) + [final]


class _Patches:
  """YAMNet: a patch leaves with its last sample."""

  def __init__(self, model):
    self._network, self._params = model.network, model.params
    self.size = self.latency_samples = model.params.min_samples
    self.hop = model.params.patch_hop_samples
    self.reset()

  def reset(self):
    self._num_patches = 0

  def step(self, samples, total_samples=None):
    """The next patch, where there is one; a list."""
    params = self._params
    rate = params.frontend.sample_rate_hz
    first = self._num_patches * self.hop
    known = first + self.size if total_samples is None else total_samples
    if self._num_patches == params.num_patches(known):
      return []
    padded = np.zeros((1, self.size), np.float32)
    padded[0, : len(samples)] = samples
    outputs = self._network({"waveform": padded})
    self._num_patches += 1
    end = first / rate + params.patch_window_seconds
    embeddings = outputs.get("embeddings")
    patch = StreamPatches(
      start=np.array([first / rate]),
      end=np.array([min(end, known / rate)]),
      valid_fraction=np.array([min(1.0, (known - first) / self.size)]),
      scores=np.asarray(outputs["scores"])[0],
      embeddings=None if embeddings is None else np.asarray(embeddings)[0],
    )
    return [patch]

  def result(self, found):
    if not found:
      scores = np.zeros((0, self._params.num_classes), np.float32)
      return StreamPatches(*[np.zeros(0)] * 3, scores, None)
    columns = zip(*found)
    return StreamPatches(
      *(None if c[0] is None else np.concatenate(c) for c in columns)
    )
