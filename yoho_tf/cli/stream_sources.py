"""Where `yoho stream` hears: a file, raw samples on stdin, a microphone."""

import contextlib
import queue
import sys
import time

from yoho_tf.cli import options

CHUNK_SECONDS = 0.1
# Bytes of a sample, numpy's name, what full scale is.
FORMATS = {"s16le": (2, "<i2", 32768.0), "f32le": (4, "<f4", 1.0)}
_MOST_WAITING_SECONDS = 30.0


def chunks(args, rate):
  """Mono samples of the source that `args` names, as they come.

  Args:
    args: of `yoho stream`.
    rate: samples per second.

  Yields:
    float32 [samples], and for how many seconds they waited to be taken.

  Raises:
    ValueError: the source cannot be read; one line.
  """
  if args.mic:
    return _microphone(args, rate)
  if args.source == "-":
    return _standard_input(args, rate)
  return _file(args, rate)


def _file(args, rate):
  """A file in chunks, each when it would have been heard."""
  from yoho_tf import audio

  started, num_done = None, 0
  for block in audio.read_blocks(args.source, sample_rate_hz=rate):
    started = started or time.monotonic()
    size = round(CHUNK_SECONDS * rate)
    for first in range(0, len(block), size):
      chunk = block[first : first + size]
      num_done += len(chunk)
      late = 0.0
      if not args.fast:
        late = time.monotonic() - started - num_done / rate
        time.sleep(max(0.0, -late))
      yield chunk, max(0.0, late)


def _standard_input(args, rate):
  import numpy as np

  num_bytes, kind, scale = FORMATS[args.format or "s16le"]
  channels = args.channels or 1
  frame = num_bytes * channels
  if sys.stdin is None:
    raise ValueError("-: stdin must be open; it is closed")
  if sys.stdin.buffer.peek(4)[:4] in (b"RIFF", b"fLaC", b"OggS", b"ID3\x03"):
    raise ValueError(
      "-: stdin must be raw samples; got an audio file (give its name, or "
      "`ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | yoho stream -`)"
    )
  data = b""
  # read1: what there is, without waiting for a whole chunk.
  while more := sys.stdin.buffer.read1(frame * round(CHUNK_SECONDS * rate)):
    data += more
    whole = len(data) // frame * frame
    values = np.frombuffer(data[:whole], kind).reshape(-1, channels)
    data = data[whole:]
    yield (values.mean(axis=1) / scale).astype(np.float32), 0.0
  if data:
    raise ValueError(
      f"-: stdin must hold whole samples of {frame} bytes; got {len(data)} "
      "bytes more at its end"
    )


def _microphone(args, rate):
  try:
    import sounddevice
  except OSError as error:  # the package is there, PortAudio is not
    raise ValueError(f"--mic needs the library PortAudio: {error}") from None
  device = args.device
  if device is not None and device.isdecimal():
    device = int(device)
  heard, lost = queue.SimpleQueue(), []

  def take(samples, frames, when, status):
    if status.input_overflow:
      lost.append(frames)
    heard.put(samples.mean(axis=1))

  try:
    microphone = sounddevice.InputStream(
      samplerate=rate,
      blocksize=round(CHUNK_SECONDS * rate),
      device=device,
      channels=args.channels or 1,
      dtype="float32",
      callback=take,
    )
  except (ValueError, sounddevice.PortAudioError) as error:
    raise ValueError(
      f"--mic: no input for {rate} Hz and device {device!r}: {error}"
    ) from None
  with microphone:
    while True:
      # A timeout: on some systems Ctrl-C does not wake a thread that waits.
      with contextlib.suppress(queue.Empty):
        chunk = heard.get(timeout=0.5)
        waiting = heard.qsize() * CHUNK_SECONDS
        if waiting > _MOST_WAITING_SECONDS:
          raise ValueError(
            f"--mic: {waiting:.0f} s of sound wait to be heard; this machine "
            "is too slow for the model and --hop"
          )
        if lost:
          options.say(f"--mic: the device lost samples ({len(lost)} times)")
          lost.clear()
        yield chunk, waiting
