"""Audio files: find them, decode by blocks, mix down, to one rate.

Everything here is NumPy; soundfile, soxr and resampy are imported by the
functions that use them, so that importing this module costs NumPy only.

A waveform is float32 [samples], mono, nominally in -1..1. Decoding and
resampling hold about one block in memory, whatever the length of the file
(`resampler="resampy"` needs the whole file). All errors are `AudioError`: one
line with the file or argument, the rule and what was received.
"""

import contextlib
import math
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yoho_tf.audio_checks import (
  AudioError,
  check_count,
  check_peak,
  peak_text,
)
from yoho_tf.resampling import check_resampler, resample_blocks

AUDIO_EXTENSIONS = (
  ".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus",
  ".w64", ".wav",
)  # fmt: skip

_MAX_BLOCK_VALUES = 2**20  # decoded at once, samples x channels (4 MiB)
_UNKNOWN_LENGTH = 2**62  # libsndfile reports 2**63 - 1 for "not stated"
_MP3_SLACK_SAMPLES = 2 * 1152  # two frames: an MP3's length may be estimated
_WAV_OPEN_SIZE = 0x7FFF0000  # recorders to a pipe write such a size or more


class AudioInfo(NamedTuple):
  """What a file's header says; `num_samples` counts one channel."""

  sample_rate_hz: int
  num_channels: int
  num_samples: int
  duration_seconds: float


# --- Files -------------------------------------------------------------------


def find_files(
  paths: Iterable[str | os.PathLike],
) -> tuple[list[Path], list[AudioError]]:
  """Expands files and folders to a list of files.

  A file is kept as given, whatever its extension. A folder is walked with its
  subfolders, in sorted order, for AUDIO_EXTENSIONS in any case; hidden files
  and folders are skipped. A path that occurs twice is kept once.

  Args:
    paths: files and folders; a single one may be given without a list.

  Returns:
    The files, in the order of `paths`, and one AudioError per path that is
    missing, not readable or a folder without audio: the caller reports these
    and goes on with the files.
  """
  if isinstance(paths, (str, os.PathLike)):
    paths = [paths]
  files, errors = {}, []  # files: absolute path -> path as given, in order
  for path in map(Path, paths):
    try:
      found = _walk(path, errors) if _is_folder(path) else [path]
    except AudioError as error:
      errors.append(error)
      continue
    for file in found:
      files.setdefault(os.path.abspath(file), file)
  return list(files.values()), errors


def _walk(folder: Path, errors: list[AudioError]) -> list[Path]:
  """All audio below `folder`; folders that cannot be listed go to errors."""

  def on_error(error):
    errors.append(_os_error(error.filename, error))

  found, num_errors = [], len(errors)
  for root, folders, names in os.walk(folder, onerror=on_error):
    folders[:] = [name for name in folders if not name.startswith(".")]
    found += [
      Path(root, name)
      for name in names
      if name.lower().endswith(AUDIO_EXTENSIONS) and not name.startswith(".")
    ]
  if not found and len(errors) == num_errors:
    raise AudioError(
      f"{_name(folder)}: a folder must hold audio files "
      f"({' '.join(AUDIO_EXTENSIONS)}); found none"
    )
  return sorted(found)


def _name(path) -> str:
  """A path for a message: quoted, one line, printable even if not UTF-8."""
  return repr(os.fsdecode(path))


def _os_error(path, error: Exception) -> AudioError:
  reason = getattr(error, "strerror", None) or error
  return AudioError(f"{_name(path)}: must be a readable file; {reason}")


def _is_folder(path) -> bool:
  """True for a folder, False for a regular file; else raises AudioError."""
  try:
    mode = os.stat(path).st_mode
  except (OSError, ValueError) as error:  # ValueError: a null byte in the name
    raise _os_error(path, error) from None
  if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
    # Opening a named pipe would wait for its writer.
    raise AudioError(
      f"{_name(path)}: must be a regular file; got a pipe, socket or device"
    )
  return stat.S_ISDIR(mode)


# --- Decoding ----------------------------------------------------------------


def info(path: str | os.PathLike) -> AudioInfo:
  """Reads the header of an audio file.

  Raises:
    AudioError: the file cannot be opened, is no audio or holds no samples.
  """
  with _open(path) as (sound, _):
    return AudioInfo(
      sample_rate_hz=sound.samplerate,
      num_channels=sound.channels,
      num_samples=sound.frames,
      duration_seconds=sound.frames / sound.samplerate,
    )


def read_blocks(
  path: str | os.PathLike,
  *,
  sample_rate_hz: int = 16000,
  block_seconds: float = 30.0,
  resampler: str = "soxr",
) -> Iterator[np.ndarray]:
  """Decodes a file to mono blocks at one rate, in constant memory.

  Reads wav, flac, ogg, mp3 and what else libsndfile knows, at any rate,
  subtype and number of channels. Channels are averaged; integer samples are
  scaled to -1..1 (int16 / 32768). The samples do not depend on the block size.
  From n samples at another rate come exactly ceil(n * sample_rate_hz / rate)
  with soxr, and as many as resampy returns with resampy.

  A peak above 1 gives one warning per file, at its end; so does a wav, ogg or
  mp3 that appears to be cut off but decodes.

  Args:
    path: the file.
    sample_rate_hz: rate of the result.
    block_seconds: longest piece decoded at once; shorter with many channels.
    resampler: "soxr", or "resampy" (kaiser_best, as in the YAMNet reference),
      which reads the whole file first.

  Yields:
    float32 [samples], never empty, of any length.

  Raises:
    AudioError: at the first step, for a file that cannot be opened, is no
      audio or holds no samples, and for a bad argument; later, for NaN,
      infinite or unscaled samples and for a file that ends early.
  """
  check_count("sample_rate_hz", sample_rate_hz, 1)
  check_resampler(resampler)
  if not (block_seconds > 0 and math.isfinite(block_seconds)):
    raise AudioError(
      f"block_seconds: must be a positive number, got {block_seconds!r}"
    )
  with _open(path) as (sound, handle):
    source_hz = sound.samplerate
    blocks = _mono_blocks(path, sound, handle, block_seconds)
    yield from resample_blocks(blocks, source_hz, sample_rate_hz, resampler)


def read(
  path: str | os.PathLike,
  *,
  sample_rate_hz: int = 16000,
  resampler: str = "soxr",
) -> np.ndarray:
  """Decodes a whole file; arguments and errors are those of read_blocks.

  Returns:
    float32 [samples].
  """
  blocks = read_blocks(path, sample_rate_hz=sample_rate_hz, resampler=resampler)
  return np.concatenate(list(blocks))


@contextlib.contextmanager
def _open(path):
  """Opens a file for decoding; yields the SoundFile and its byte stream."""
  import soundfile

  name = _name(path)
  if _is_folder(path):
    raise AudioError(f"{name}: must be a file; got a folder")
  # A Python stream, not the name: libsndfile takes "-" for standard input and
  # soundfile refuses names that are not UTF-8.
  with contextlib.ExitStack() as stack:
    try:
      handle = stack.enter_context(open(path, "rb"))
      first_bytes = handle.read(16)
      handle.seek(0)
    except OSError as error:
      raise _os_error(path, error) from None
    if not first_bytes:
      raise AudioError(f"{name}: must be an audio file; got an empty file")
    try:
      sound = stack.enter_context(soundfile.SoundFile(handle))
    except (RuntimeError, TypeError):  # TypeError: headerless .raw
      raise AudioError(
        f"{name}: must be audio (wav, flac, ogg, mp3 or another format of "
        f"libsndfile); got a file that begins with {first_bytes!r}"
      ) from None
    if sound.frames >= _UNKNOWN_LENGTH:
      raise AudioError(
        f"{name}: the header must state the number of samples; got none "
        f"(a piped {sound.format}; rewrite it to a file)"
      )
    if sound.frames < 1:
      raise AudioError(f"{name}: must hold at least 1 sample; got 0")
    yield sound, handle


def _mono_blocks(path, sound, handle, block_seconds: float):
  """Yields float32 [samples] at the file's own rate, checked."""
  name, num_done, peak = _name(path), 0, 0.0
  num_expected, rate_hz = sound.frames, sound.samplerate
  block_samples = min(
    max(1, int(block_seconds * rate_hz)),
    max(1, _MAX_BLOCK_VALUES // sound.channels),
  )
  while True:
    try:
      # [samples, channels]
      block = sound.read(block_samples, dtype="float32", always_2d=True)
    except RuntimeError as error:
      with contextlib.suppress(RuntimeError):
        num_done = max(num_done, min(sound.tell(), num_expected))
      raise AudioError(
        f"{name}: must decode to its end; got {num_done} of {num_expected} "
        f"samples, then: {' '.join(str(error).split())}"
      ) from None
    if not len(block):
      break
    peak = max(peak, check_peak(block, name, num_done, rate_hz))
    num_done += len(block)
    if block.shape[1] == 1:
      yield block[:, 0]  # [samples]
      continue
    # float64 sums: eight equal channels average to themselves.
    yield block.mean(axis=1, dtype=np.float64).astype(np.float32)
  short_by = num_expected - num_done
  if num_done == 0 or (short_by > 0 and sound.format != "MP3"):
    raise AudioError(
      f"{name}: must decode to its end; got {num_done} of {num_expected} "
      "samples (truncated or damaged)"
    )
  cut_off = _cut_off(sound, handle, short_by)
  if cut_off:
    warnings.warn(f"{name}: {cut_off}", stacklevel=2)
  if peak > 1:
    warnings.warn(peak_text(name, peak), stacklevel=2)


def _cut_off(sound, handle, short_by: int) -> str:
  """Says why a file that decoded without error may have lost its end.

  libsndfile raises for a truncated FLAC only. It adapts the length of the
  others in silence, and takes that of an MP3 without length header from its
  first frame.
  """
  num_bytes = os.fstat(handle.fileno()).st_size
  num_unread = num_bytes - handle.tell()
  if sound.format == "MP3":
    if short_by > _MP3_SLACK_SAMPLES:
      return (
        f"decoded {sound.frames - short_by} of {sound.frames} samples that the "
        "header states or its first frame suggests (truncated?)"
      )
    if num_unread > max(2**13, num_bytes // 20):  # more than text tags
      return (
        f"decoded {num_bytes - num_unread} of {num_bytes} bytes (an MP3 with "
        "a missing or wrong length header? rewrite it)"
      )
  if sound.format == "OGG":
    handle.seek(max(0, num_bytes - 2**16))  # a page has less than 64 KiB
    page = handle.read().rpartition(b"OggS")[2]
    if len(page) < 2 or not page[1] & 4:  # header type, bit "end of stream"
      return "its last Ogg page carries no end mark (truncated?)"
  size = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.M)
  if size and int(size[1]) < _WAV_OPEN_SIZE:
    return f"holds {size[2]} of {size[1]} bytes of samples (truncated?)"
  return ""
