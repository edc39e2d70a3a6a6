"""Decoding and resampling in the graph, by tensorflow-io (extra `[tfio]`).

What soundfile and soxr do in Python, as TensorFlow operators, and its file
systems (s3, http, az, hdfs, ...) for `tf.io`. Its libraries load beside
TensorFlow 2.16 and 2.17 only: `require` says so in one line elsewhere. The
operators do not tell the sample rate, so that headers are read here.
"""

import functools
import warnings

import tensorflow as tf

from yoho_tf.audio_checks import MAX_ABS
from yoho_tf.labels import did_you_mean

_HEADER_BYTES = 1 << 12  # searched for an MP3's first frame
# Speex, quality as tensorflow-io sets it: taps at the higher of the two rates.
_RESAMPLER_TAPS = 64


@functools.cache
def why_not() -> str:
  """Why tensorflow-io cannot be used here, in one line; "" where it can.

  Importing it succeeds where its libraries do not load: an operator is called.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # what it warns of is said below
      import tensorflow_io

      tensorflow_io.audio.encode_wav(tf.zeros([1, 1], tf.int16), rate=8000)
  except ImportError as error:
    if error.name != "tensorflow_io":
      return f"tensorflow-io cannot be imported ({_one_line(error)})"
    return "tensorflow-io is not installed"
  except (NotImplementedError, OSError, tf.errors.OpError) as error:
    return (
      "the libraries of tensorflow-io do not load beside TensorFlow "
      f"{tf.__version__} ({_one_line(error)})"
    )
  return ""


def _one_line(error) -> str:
  """The end of a loader's message: which symbol or file is missing."""
  lines = str(error).strip(" '[]\n").splitlines() or [type(error).__name__]
  return lines[-1].rpartition(".so: ")[2][:70]


def require() -> None:
  """Raises ValueError, one line, where tensorflow-io cannot be used."""
  reason = why_not()
  if reason:
    raise ValueError(
      f"decode must be 'soundfile' here, got 'tfio': {reason}; "
      "pip install '.[tfio]' in an environment of its own, Python 3.11, brings "
      "TensorFlow 2.17 to it"
    )


def decode(
  contents, *, extension: str, sample_rate_hz: int = 16_000, name="contents"
):
  """Decodes the bytes of a file to mono at one rate; works in a graph.

  WAV of 8, 16, 24 bits and of float32, FLAC of 8, 16, 24 bits: bit for bit
  what soundfile decodes. Ogg Vorbis and MP3 but for rounding. Channels are
  averaged. The resampler's delay is taken out: sample 0 stays sample 0.

  Args:
    contents: string scalar, a whole file.
    extension: of `EXTENSIONS`, in any case.
    sample_rate_hz: of the result.
    name: string scalar or str, for errors: the file.

  Returns:
    float32 [ceil(samples * sample_rate_hz / its rate)].

  Raises:
    ValueError: tensorflow-io cannot be used here, or an extension it does not
      decode.
    tf.errors.InvalidArgumentError: when it runs: no such audio, an encoding
      that is not listed above, no samples, or samples that are not finite or
      above 8.
  """
  require()
  waveform, rate_hz = _mono(check_extension(extension), contents, name)
  return resample(waveform, rate_hz, sample_rate_hz)


def decode_kind(contents, kind, *, sample_rate_hz: int, name="contents"):
  """`decode` where the graph, not the program, knows the extension.

  Args:
    contents, sample_rate_hz, name: as for `decode`.
    kind: int32 scalar, of `KINDS`.
  """
  waveform, rate_hz = tf.switch_case(
    kind,
    [functools.partial(_mono, ending, contents, name) for ending in KINDS],
  )
  return resample(waveform, rate_hz, sample_rate_hz)


def check_extension(extension: str, name: str = "extension") -> str:
  """The extension as `EXTENSIONS` has it, or a ValueError."""
  extension = extension.lower()
  if extension not in EXTENSIONS:
    raise ValueError(f"{name} {did_you_mean(extension, EXTENSIONS)} (by tfio)")
  return extension


def _mono(extension, contents, name):
  """float32 [samples] at the file's rate, and that rate, int64."""
  rate_hz, place, decoders = EXTENSIONS[extension](contents)
  known = tf.debugging.Assert(
    (rate_hz > 0) & (place >= 0), [name, f"must be {_WANTED[extension]}"]
  )
  with tf.control_dependencies([known]):
    place = tf.identity(place)
  values = tf.switch_case(
    place, [functools.partial(decoder, contents) for decoder in decoders]
  )  # [samples, channels]
  sane = tf.debugging.Assert(
    (tf.size(values) > 0) & tf.reduce_all(tf.abs(values) <= MAX_ABS),
    [name, "must hold at least 1 sample, all finite and |x| at most 8"],
  )
  with tf.control_dependencies([sane]):
    # float64 sums, as in audio.py: equal channels average to themselves.
    mono = tf.reduce_mean(tf.cast(values, tf.float64), axis=1)
  return tf.ensure_shape(tf.cast(mono, tf.float32), [None]), rate_hz


# --- Formats: contents -> (rate, which decoder or -1, decoders) ---------------


def _number(contents, offset, size, *, big_endian=False):
  """An unsigned integer of `size` bytes, int64; 0s follow the end."""
  begin = tf.minimum(offset, tf.strings.length(contents))
  found = tf.io.decode_raw(tf.strings.substr(contents, begin, size), tf.uint8)
  found = tf.pad(found, [[0, size - tf.size(found)]])
  powers = [256**i for i in range(size)]
  powers = powers[::-1] if big_endian else powers
  return tf.reduce_sum(tf.cast(found, tf.int64) * tf.constant(powers, tf.int64))


def _begins(contents, text, offset=0):
  return tf.equal(
    _number(contents, offset, len(text)), int.from_bytes(text, "little")
  )


def _which(value, choices):
  """Place of an integer among the choices, int32; -1 for none."""
  is_it = tf.equal(tf.cast(value, tf.int64), tf.constant(choices, tf.int64))
  place = tf.argmax(is_it, output_type=tf.int32)
  return tf.where(tf.reduce_any(is_it), place, -1)


def _integers(operator, dtype):
  """Decoder of integers, scaled to -1..1 as soundfile does."""
  scale = {tf.uint8: 2.0**-7, tf.int16: 2.0**-15, tf.int32: 2.0**-31}[dtype]
  middle = 128.0 if dtype == tf.uint8 else 0.0

  def decoder(contents):
    values = getattr(_audio(), operator)(contents, dtype=dtype)
    return (tf.cast(values, tf.float32) - middle) * scale

  return decoder


def _floats(operator, **options):
  return lambda contents: getattr(_audio(), operator)(contents, **options)


def _audio():
  import tensorflow_io

  return tensorflow_io.audio


def _wav(contents):
  length = tf.cast(tf.strings.length(contents), tf.int64)

  def is_other(at):
    return (at + 8 < length) & ~_begins(
      contents, b"fmt ", tf.cast(at, tf.int32)
    )

  def after(at):  # chunks are padded to an even length
    size = _number(contents, tf.cast(at, tf.int32) + 4, 4)
    return (at + 8 + size + size % 2,)

  (at,) = tf.while_loop(is_other, after, (tf.constant(12, tf.int64),))
  at = tf.cast(tf.minimum(at, length), tf.int32) + 8
  form = _number(contents, at, 2)
  form = tf.where(form == 0xFFFE, _number(contents, at + 24, 2), form)
  bits = _number(contents, at + 14, 2)
  # 32-bit integers are left out: tensorflow-io takes them for floats.
  kind = _which(form * 100 + bits, [108, 116, 124, 332])
  is_wav = _begins(contents, b"RIFF") & _begins(contents, b"WAVE", 8)
  decoders = [
    *(_integers("decode_wav", t) for t in (tf.uint8, tf.int16, tf.int32)),
    _floats("decode_wav", dtype=tf.float32),
  ]
  return _number(contents, at + 4, 4), tf.where(is_wav, kind, -1), decoders


def _flac(contents):
  # Of STREAMINFO, the first block: 20 bits rate, 3 channels - 1, 5 bits - 1.
  fields = _number(contents, 18, 4, big_endian=True)
  kind = _which(fields // 16 % 32 + 1, [8, 16, 24])
  kind = tf.where(_begins(contents, b"fLaC"), kind, -1)
  types = (tf.uint8, tf.int16, tf.int32)
  return fields // 4096, kind, [_integers("decode_flac", t) for t in types]


def _vorbis(contents):
  is_vorbis = _begins(contents, b"OggS") & _begins(contents, b"\x01vorbis", 28)
  return (
    _number(contents, 40, 4),
    tf.where(is_vorbis, 0, -1),
    [_floats("decode_vorbis")],
  )


def _mp3(contents):
  # An ID3v2 tag may stand first; its size has 7 bits in a byte.
  size = tf.zeros([], tf.int64)
  for place in range(6, 10):
    size = size * 128 + _number(contents, place, 1)
  size = tf.where(_begins(contents, b"ID3"), size + 10, 0)
  begin = tf.minimum(tf.cast(size, tf.int32), tf.strings.length(contents))
  head = tf.strings.substr(contents, begin, _HEADER_BYTES)
  head = tf.pad(tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32), [[0, 3]])
  sync, version, third = head[:-2], head[1:-1], head[2:]
  found = (
    (sync == 0xFF)
    & (version >= 0xE0)
    & (version // 2 % 4 == 1)  # layer III
    & (version // 8 % 4 != 1)
    & (third // 4 % 4 != 3)
    & (third < 0xF0)
  )
  first = tf.argmax(found)
  rates = tf.constant([44_100, 48_000, 32_000, 0], tf.int64)
  rate = tf.gather(rates, third[first] // 4 % 4)
  halved = tf.gather([4, 1, 2, 1], version[first] // 8 % 4)  # MPEG 2.5, -, 2, 1
  rate //= tf.cast(halved, tf.int64)
  kind = tf.where(tf.reduce_any(found), 0, -1)
  return rate, kind, [_floats("decode_mp3")]


EXTENSIONS = {
  ".flac": _flac,
  ".mp3": _mp3,
  ".oga": _vorbis,
  ".ogg": _vorbis,
  ".wav": _wav,
}
KINDS = tuple(EXTENSIONS)
_WANTED = {
  ".flac": "FLAC of 8, 16 or 24 bits",
  ".mp3": "an MP3",
  ".oga": "Ogg Vorbis",
  ".ogg": "Ogg Vorbis",
  ".wav": "a WAV of 8, 16 or 24 bits or of float32",
}


# --- Resampling ---------------------------------------------------------------


def resample(waveform, source_hz, target_hz: int):
  """Resamples in the graph, without delay.

  The operator is causal: its output lags by half its filter, at most 32
  samples of the lower rate, in general no whole number of them. Zeros before
  the signal make it whole, then as many samples are cut off.

  Args:
    waveform: float32 [samples].
    source_hz: int64 scalar, its rate.
    target_hz: the rate wanted.

  Returns:
    float32 [ceil(samples * target_hz / source_hz)].
  """
  source_hz = tf.cast(source_hz, tf.int64)
  target_hz = tf.constant(target_hz, tf.int64)

  def resampled():
    step, _ = tf.while_loop(  # greatest common divisor
      lambda a, b: b > 0, lambda a, b: (b, a % b), (source_hz, target_hz)
    )
    unit = source_hz // step  # input samples of a whole number of outputs
    taps = tf.where(
      source_hz > target_hz,
      ((_RESAMPLER_TAPS * source_hz // target_hz - 1) // 8 + 1) * 8,
      _RESAMPLER_TAPS,
    )
    before = -(taps // 2) % unit
    padded = tf.pad(waveform, [[before, taps + unit]])
    # What tensorflow_io.audio.resample maps over channels, with warnings.
    from tensorflow_io.python.ops import core_ops

    output = core_ops.io_audio_resample(
      padded[:, None], rate_in=source_hz, rate_out=target_hz
    )[:, 0]
    first = (taps // 2 + before) * target_hz // source_hz
    num_samples = tf.size(waveform, tf.int64)
    count = -(-num_samples * target_hz // source_hz)
    return output[first : first + count]

  result = tf.cond(source_hz == target_hz, lambda: waveform, resampled)
  return tf.ensure_shape(result, [None])
