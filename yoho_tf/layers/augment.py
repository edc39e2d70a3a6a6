"""Augmentation of log-mels inside the training graph."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("yoho_tf")
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
