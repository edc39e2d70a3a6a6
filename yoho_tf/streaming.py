"""Sound that is still coming in -> events, or YAMNet's scores.

    stream = Stream(yoho_tf.load("yoho_everyday"))
    for samples in microphone:
      final, provisional = stream.push(samples)
    final, _ = stream.finish()

The windows, the network and the decoding are those of `Model.predict`: what a
stream says, however its samples are cut, `predict` says of the recording with
the same `inference` settings. Memory and the time of a step do not grow with
the stream, nor with an event that never ends.

A file of `yoho export --to stream` remembers the cells before: its step is one
cell and costs no more. The others hear a window again at each step.
"""

from dataclasses import replace

import numpy as np

from yoho_tf import audio_checks, resampling, stream_readers
from yoho_tf.params import YohoParams
from yoho_tf.stream_readers import (  # noqa: F401 (a part of this module's API)
  StreamEvents,
  StreamPatches,
)


class Stream:
  """A stream through a model.

  Args:
    model: what `yoho_tf.load` returns.
    hop_cells: YOHO on the lattice `stride`: cells from step to step; default
      10, or what a short window leaves. A file of steps: always 1.
    window_cells: cells heard at each step; default hop_cells and the two
      margins of `model.params.inference`. What is more goes to the left
      margin.
    sample_rate_hz: of the samples pushed; default the model's.

  Attributes:
    model: the model with the plan in use: `stream.model.predict(recording)`
      gives the events of this stream.
    latency_seconds: from the end of an event to the moment when it is final,
      at most: the right margin, a hop and the largest `merge_gap_seconds`
      (silence that a later cell could still close). To be added: the time of
      a step, the chunks' length, up to 0.12 s where samples are resampled.
      What ends early waits for the first window, `first_seconds`. For YAMNet,
      from the start of a patch to its scores.
    first_seconds: of audio before the first step.
    step_seconds: of audio from step to step.
    num_steps: windows (a file of steps: cells, YAMNet: patches) computed.

  Raises:
    ValueError: settings that no stream can follow.
  """

  def __init__(
    self, model, *, hop_cells=None, window_cells=None, sample_rate_hz=None
  ):
    self.model = model = _planned(model, hop_cells, window_cells)
    self._reader = stream_readers.reader(model)
    self.rate_hz = model.params.frontend.sample_rate_hz
    self.source_rate_hz = (
      self.rate_hz if sample_rate_hz is None else sample_rate_hz
    )
    audio_checks.check_count("sample_rate_hz", self.source_rate_hz, 1)
    self.latency_seconds = self._reader.latency_samples / self.rate_hz
    self.first_seconds = self._reader.size / self.rate_hz
    self.step_seconds = self._reader.hop / self.rate_hz
    self._buffer = np.zeros(self._reader.size, np.float32)
    self.reset()

  def reset(self) -> None:
    """Forgets everything: the next sample is the first of a new stream."""
    self._reader.reset()
    self._resampler = None
    if self.source_rate_hz != self.rate_hz:
      self._resampler = resampling.Resampler(self.source_rate_hz, self.rate_hz)
    self._num_filled = 0  # samples in the buffer
    self._num_heard = 0  # samples at the model's rate
    self._num_pushed = 0
    self._is_loud = self._is_finished = False
    self.num_steps = 0

  @property
  def seconds(self) -> float:
    """Length of what was pushed."""
    return self._num_pushed / self.source_rate_hz

  def push(self, samples):
    """Takes the next samples.

    Args:
      samples: float [samples] in -1..1, mono, any number of them.

    Returns:
      `StreamEvents` or `StreamPatches`, often without rows.

    Raises:
      yoho_tf.audio_checks.AudioError: no such samples; the stream is as before.
      ValueError: the stream is finished.
    """
    if self._is_finished:
      raise ValueError(
        "push must come before finish; reset() starts another stream"
      )
    samples = self._checked(samples)
    self._num_pushed += len(samples)
    if self._resampler:
      samples = self._resampler.push(samples)
    return self._reader.result(self._steps(samples))

  def finish(self):
    """Ends the stream.

    Returns:
      What was still open: everything is final now.
    """
    if self._is_finished:
      return self._reader.result([])
    self._is_finished = True
    found = []
    if self._resampler:
      found = self._steps(self._resampler.finish())
    if self._num_heard:
      rest = self._buffer[: self._num_filled]
      found += self._step(rest, self._num_heard)
    return self._reader.result(found)

  def _checked(self, samples):
    samples = np.asarray(samples)
    is_fine = samples.dtype.kind == "f" and samples.ndim == 1
    if is_fine and samples.size:
      peak = np.abs(samples).max()  # NaN is not at most anything
      is_fine = peak <= (audio_checks.MAX_ABS if self._is_loud else 1)
    if not is_fine:
      samples = audio_checks.check_waveform(samples)  # raises, or warns: once
      self._is_loud = True
    return samples.astype(np.float32, copy=False)

  def _steps(self, samples):
    """Results of the windows that `samples` fill, a list."""
    found = []
    size, hop = self._reader.size, self._reader.hop
    self._num_heard += len(samples)
    while len(samples):
      num_new = min(len(samples), size - self._num_filled)
      end = self._num_filled + num_new
      self._buffer[self._num_filled : end] = samples[:num_new]
      samples, self._num_filled = samples[num_new:], end
      if end == size:
        found += self._step(self._buffer)
        self._buffer[: size - hop] = self._buffer[hop:].copy()
        self._num_filled = size - hop
    return found

  def _step(self, samples, total_samples=None):
    found = self._reader.step(samples, total_samples)
    self.num_steps += len(found)
    return found


def _planned(model, hop_cells, window_cells):
  """The model with the windows of a stream, or ValueError."""
  params = model.params
  is_yoho = isinstance(params, YohoParams)
  is_stepping = stream_readers.steps_of(model) is not None
  for fixed, why in (
    (not is_yoho, "with YAMNet (its patch_hop_seconds is a setting)"),
    (is_stepping, "with a file of steps (of one cell)"),
    (
      is_yoho and params.lattice == "window",
      "on the lattice window (set inference.window_hop_seconds)",
    ),
  ):
    if fixed and (hop_cells, window_cells) != (None, None):
      raise ValueError(
        f"hop_cells, window_cells must be None {why}; received {hop_cells}, "
        f"{window_cells}"
      )
  if not is_yoho:
    return model
  plan = params.inference
  if plan.compat != "none":
    raise ValueError(
      "inference.compat must be none for a stream (the authors' code merges "
      f"in the order of a whole list); received {plan.compat!r}"
    )
  if is_stepping:
    return model
  if params.lattice == "window":
    kept = params.window_seconds - 2 * plan.discard_seconds
    if abs(kept - plan.window_hop_seconds) > 1e-6:
      raise ValueError(
        "inference.window_hop_seconds must be window_seconds - 2 "
        f"discard_seconds = {kept:g} for a stream, so that windows tile; "
        f"received {plan.window_hop_seconds:g}"
      )
    return model
  right = plan.discard_right_cells
  margins = plan.discard_left_cells + right
  fixed = getattr(model.network, "fixed", None)  # cells that the file takes
  limit = window_cells or fixed
  if hop_cells is None:
    hop_cells = min(10, limit - margins) if limit else 10
    hop_cells = max(1, hop_cells)
  if window_cells is None:
    window_cells = max(fixed or 0, hop_cells + margins)
  audio_checks.check_count("hop_cells", hop_cells, 1)
  audio_checks.check_count("window_cells", window_cells, 1)
  if fixed and window_cells > fixed:
    raise ValueError(
      f"window_cells must be at most {fixed}, the only window that this file "
      f"takes; received {window_cells}"
    )
  if window_cells < hop_cells + margins:
    raise ValueError(
      f"window_cells must be at least hop_cells {hop_cells} + margins "
      f"{plan.discard_left_cells} + {right} = {hop_cells + margins}; received "
      f"{window_cells}"
    )
  plan = replace(
    plan,
    window_cells=window_cells,
    discard_left_cells=window_cells - hop_cells - right,
  )
  return model.with_params(replace(params, inference=plan))
