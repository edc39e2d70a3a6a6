"""Samples at another rate: whole, in blocks, or as they come.

soxr and resampy are imported by the functions that use them.
"""

import math

import numpy as np

from yoho_tf.audio_checks import AudioError, check_count, check_waveform

RESAMPLERS = ("soxr", "resampy")


def resample(
  waveform: np.ndarray,
  source_hz: int,
  target_hz: int,
  *,
  resampler: str = "soxr",
) -> np.ndarray:
  """Resamples a waveform.

  Args:
    waveform: float [samples]; checked as in check_waveform.
    source_hz: its rate.
    target_hz: the rate wanted.
    resampler: "soxr" or "resampy", as in read_blocks.

  Returns:
    float32 [ceil(samples * target_hz / source_hz)] with soxr; the same numbers
    as read_blocks gives, whatever its blocks.

  Raises:
    AudioError: bad waveform, rate or resampler, or resampy is not installed.
  """
  check_count("source_hz", source_hz, 1)
  check_count("target_hz", target_hz, 1)
  check_resampler(resampler)
  waveform = check_waveform(waveform)
  if source_hz == target_hz:
    return waveform  # no copy
  blocks = resample_blocks([waveform], source_hz, target_hz, resampler)
  return np.concatenate(list(blocks))


def resample_blocks(blocks, source_hz: int, target_hz: int, resampler: str):
  """Resamples a stream of float32 [samples]; arguments checked by the caller.

  With soxr n samples in give ceil(n * ratio) out, whatever the blocks; resampy
  waits for all of them.
  """
  if source_hz == target_hz:
    yield from blocks
    return
  if resampler == "resampy":
    yield _resampy(np.concatenate(list(blocks)), source_hz, target_hz)
    return
  stream = Resampler(source_hz, target_hz)
  for block in blocks:
    resampled = stream.push(block)
    if len(resampled):
      yield resampled
  rest = stream.finish()
  if len(rest):
    yield rest


class Resampler:
  """`resample` of samples that come in pieces: the same numbers, later."""

  def __init__(self, source_hz: int, target_hz: int):
    import soxr

    self._stream = soxr.ResampleStream(source_hz, target_hz, 1, dtype="float32")
    self._rates = source_hz, target_hz
    self._num_in = self._num_out = 0

  def push(self, samples: np.ndarray) -> np.ndarray:
    """float32 [samples] in, float32 [any number] out."""
    self._num_in += len(samples)
    resampled = self._stream.resample_chunk(samples)
    self._num_out += len(resampled)
    return resampled

  def finish(self) -> np.ndarray:
    """What was still inside."""
    source_hz, target_hz = self._rates
    # soxr rounds the length, down to 0 for one sample: a few zeros behind the
    # signal give at least one sample more than needed.
    zeros = np.zeros(math.ceil(source_hz / target_hz), np.float32)
    rest = self._stream.resample_chunk(zeros, last=True)
    num_rest = -(-self._num_in * target_hz // source_hz) - self._num_out
    return rest[: max(0, num_rest)]


def _resampy(waveform: np.ndarray, source_hz: int, target_hz: int):
  """Resamples as the YAMNet reference does: kaiser_best, in float64."""
  try:
    import resampy
  except ImportError:
    raise AudioError(
      "resampler: 'resampy' needs an extra package; "
      "pip install 'yoho_tf[resampy]'"
    ) from None
  # resampy rounds down and refuses a result of no samples.
  num_min = math.ceil(source_hz / target_hz)
  padded = np.pad(waveform, (0, max(0, num_min - len(waveform))))
  resampled = resampy.resample(padded.astype(np.float64), source_hz, target_hz)
  return resampled.astype(np.float32)


def check_resampler(resampler: str) -> None:
  if resampler not in RESAMPLERS:
    raise AudioError(
      f"resampler: must be one of {', '.join(RESAMPLERS)}, got {resampler!r}"
    )
