"""What samples must be. Errors are `AudioError`, one line: the argument or
file, the rule and what was received.
"""

import warnings

import numpy as np

MAX_ABS = 8.0  # above: unscaled integers rather than loud audio


class AudioError(ValueError):
  """Audio that cannot be used; the message is one line."""


def check_waveform(waveform: np.ndarray) -> np.ndarray:
  """Checks a waveform that a caller passed in.

  Args:
    waveform: float [samples]; a peak above 1 and up to 8 gives one warning.

  Returns:
    float32 [samples].

  Raises:
    AudioError: integer or other dtype, wrong rank, no samples, NaN or infinite
      samples, |x| > 8.
  """
  waveform = np.asarray(waveform)
  if waveform.dtype.kind in "iu":
    raise AudioError(
      "waveform: must be float in -1..1 (divide int16 by 32768), got "
      f"{waveform.dtype}"
    )
  if waveform.dtype.kind != "f":
    raise AudioError(f"waveform: must be float, got {waveform.dtype}")
  if waveform.ndim != 1:
    raise AudioError(
      f"waveform: must be [samples] (mono), got shape {waveform.shape}"
    )
  if not waveform.size:
    raise AudioError("waveform: must hold at least 1 sample, got 0")
  peak = check_peak(waveform, "waveform", 0, None)
  if peak > 1:
    warnings.warn(peak_text("waveform", peak), stacklevel=2)
  return np.ascontiguousarray(waveform, np.float32)


def check_peak(block, name: str, offset: int, rate_hz: int | None) -> float:
  """Largest |x|; raises AudioError if it is not finite or above 8."""
  peak = max(float(block.max()), -float(block.min()))  # NaN if any is
  if peak <= MAX_ABS:
    return peak
  is_bad = ~np.isfinite(block)
  rule = "samples must be finite"
  if not is_bad.any():
    is_bad = np.abs(block) > MAX_ABS
    rule = "|x| must be at most 8 (unscaled int16? divide by 32768)"
  first = tuple(np.argwhere(is_bad)[0])
  sample = offset + int(first[0])
  where = f"at {sample / rate_hz:.6f} s" if rate_hz else f"at sample {sample}"
  raise AudioError(f"{name}: {rule}; got {float(block[first]):g} {where}")


def peak_text(name: str, peak: float) -> str:
  return f"{name}: samples should lie in -1..1; the peak is {peak:g}"


def check_count(name: str, value, minimum: int) -> None:
  if not isinstance(value, (int, np.integer)) or value < minimum:
    raise AudioError(
      f"{name}: must be an integer of at least {minimum}, got {value!r}"
    )
