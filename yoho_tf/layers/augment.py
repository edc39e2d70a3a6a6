"""Augmentation inside the training graph: nothing here changes a label.

Of waveforms: `RandomGain`, `RandomFilter`, `RandomNoise`; of log-mels:
`SpecAugment`. Every example of a batch draws its own. Outside training all are
the identity.
"""

import keras
import numpy as np
from keras import ops

_REGISTER = keras.saving.register_keras_serializable("yoho_tf")


class _RandomWaveform(keras.layers.Layer):
  """Shared part: `changed(waveform)` for some of the examples, in training.

  Args:
    probability: that an example is changed.
    seed: of what is drawn.

  Input and output shape: `[batch, samples]`, float32 also under mixed
  precision.
  """

  KEYS = ("probability", "seed")

  def __init__(self, *, probability=1.0, seed=0, **kwargs):
    kwargs["dtype"] = "float32"
    super().__init__(**kwargs)
    if not 0 <= probability <= 1:
      raise ValueError(f"probability must lie in 0..1, got {probability}")
    self.probability = probability
    self.seed = seed
    self._generator = keras.random.SeedGenerator(seed)

  def _uniform(self, shape, low=0.0, high=1.0):
    return keras.random.uniform(shape, low, high, seed=self._generator)

  def call(self, waveform, training=False):
    if not training or not self.probability:
      return waveform
    changed = self.changed(waveform)
    if self.probability == 1:
      return changed
    chosen = self._uniform((ops.shape(waveform)[0], 1)) < self.probability
    return ops.where(chosen, changed, waveform)

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    return {**super().get_config(), **{k: getattr(self, k) for k in self.KEYS}}


@_REGISTER
class RandomGain(_RandomWaveform):
  """Makes each example louder or softer by a gain drawn from `gain_db`."""

  KEYS = ("gain_db", *_RandomWaveform.KEYS)

  def __init__(self, *, gain_db=(-20.0, 6.0), **kwargs):
    super().__init__(**kwargs)
    self.gain_db = list(gain_db)

  def changed(self, waveform):
    gain_db = self._uniform((ops.shape(waveform)[0], 1), *self.gain_db)
    return waveform * ops.power(10.0, gain_db / 20)


@_REGISTER
class RandomFilter(_RandomWaveform):
  """Colours each example with a linear-phase FIR filter of its own.

  The response is 3 to 6 bands (`num_bands`) with gains drawn from `gain_db`,
  sampled at 65 frequencies; edges lie denser at low ones. The delay of the 129
  taps is removed: labels stay where they are.
  """

  KEYS = ("num_bands", "gain_db", *_RandomWaveform.KEYS)
  HALF = 64  # taps on each side of the middle one

  def __init__(self, *, num_bands=(3, 6), gain_db=(-6.0, 6.0), **kwargs):
    super().__init__(**kwargs)
    self.num_bands = list(num_bands)
    self.gain_db = list(gain_db)
    tap = np.arange(-self.HALF, self.HALF + 1)
    size = 2 * self.HALF + 1
    bins = np.arange(self.HALF + 1)
    # An inverse DFT of a real, even response; the window leaves the middle
    # tap alone, so that 0 dB everywhere is the identity.
    basis = np.cos(2 * np.pi * np.outer(bins, tap) / size) / size
    basis[1:] *= 2
    basis *= 0.54 + 0.46 * np.cos(np.pi * tap / (self.HALF + 1))
    self._basis = basis.astype(np.float32)  # [bins, taps]

  def response_db(self, batch):
    """float32 [batch, bins]: what is drawn."""
    low, high = self.num_bands
    draw = self._uniform((batch, 1))
    count = ops.floor(draw * (high - low + 1)) + low  # [batch, 1]
    edges = ops.square(self._uniform((batch, high - 1)))
    number = ops.arange(1, high, dtype="float32")[None]
    edges = ops.where(number < count, edges, 2.0)  # 2: beyond the last bin
    frequency = np.arange(self.HALF + 1, dtype=np.float32) / self.HALF
    band = ops.sum(
      ops.cast(frequency[None, :, None] >= edges[:, None, :], "int32"), axis=-1
    )  # [batch, bins]
    gains = self._uniform((batch, high), *self.gain_db)
    return ops.take_along_axis(gains, band, axis=1)

  def changed(self, waveform):
    batch, samples = ops.shape(waveform)
    response = ops.power(10.0, self.response_db(batch) / 20)
    taps = ops.matmul(response, self._basis)  # [batch, taps]
    size = 1 << (samples + 2 * self.HALF - 1).bit_length()
    a, b = ops.rfft(waveform, size)
    c, d = ops.rfft(taps, size)
    wet = ops.irfft((a * c - b * d, a * d + b * c), size)
    return wet[:, self.HALF : self.HALF + samples]


@_REGISTER
class RandomNoise(_RandomWaveform):
  """Adds white noise `snr_db` (drawn) below each example's RMS."""

  KEYS = ("snr_db", *_RandomWaveform.KEYS)

  def __init__(self, *, snr_db=(5.0, 40.0), **kwargs):
    super().__init__(**kwargs)
    self.snr_db = list(snr_db)

  def changed(self, waveform):
    snr_db = self._uniform((ops.shape(waveform)[0], 1), *self.snr_db)
    rms = ops.sqrt(ops.mean(ops.square(waveform), axis=1, keepdims=True))
    noise = keras.random.normal(ops.shape(waveform), seed=self._generator)
    return waveform + noise * rms * ops.power(10.0, -snr_db / 20)


@_REGISTER
class SpecAugment(keras.layers.Layer):
  """Masks bands and frames with the example's mean, in training only.

  Masks are drawn per example and filled with that example's mean (not 0 dB,
  which is loud). Park et al. 2019, without warping.

  Args:
    frequency_masks, frequency_mask_bands: number, and largest width in bands.
    time_masks, time_mask_frames: number, and largest width in frames.
    seed: of the masks.

  Input and output shape: `[batch, frames, bands]`.
  """

  def __init__(
    self,
    *,
    frequency_masks=1,
    frequency_mask_bands=7,
    time_masks=2,
    time_mask_frames=24,
    seed=0,
    **kwargs,
  ):
    # Also under mixed precision: the sum of a log-mel in dB leaves float16.
    kwargs["dtype"] = "float32"
    super().__init__(**kwargs)
    self.frequency_masks = frequency_masks
    self.frequency_mask_bands = frequency_mask_bands
    self.time_masks = time_masks
    self.time_mask_frames = time_mask_frames
    self.seed = seed
    self._generator = keras.random.SeedGenerator(seed)

  def _mask(self, batch, size, widest):
    """bool [batch, size], True in one random run of 0..widest."""
    draw = keras.random.uniform((2, batch, 1), seed=self._generator)
    width = ops.floor(draw[0] * (widest + 1))
    first = ops.floor(draw[1] * (ops.cast(size, "float32") - width + 1))
    position = ops.cast(ops.arange(size), "float32")[None]  # [1, size]
    return ops.logical_and(position >= first, position < first + width)

  def call(self, log_mel, training=False):
    if not training:
      return log_mel
    batch, frames, bands = ops.shape(log_mel)
    mean = ops.mean(log_mel, axis=(1, 2), keepdims=True)  # [batch, 1, 1]
    for _ in range(self.frequency_masks):
      mask = self._mask(batch, bands, self.frequency_mask_bands)[:, None, :]
      log_mel = ops.where(mask, mean, log_mel)
    for _ in range(self.time_masks):
      mask = self._mask(batch, frames, self.time_mask_frames)[:, :, None]
      log_mel = ops.where(mask, mean, log_mel)
    return log_mel

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    keys = (
      "frequency_masks frequency_mask_bands time_masks time_mask_frames seed"
    ).split()
    return {**super().get_config(), **{k: getattr(self, k) for k in keys}}
