"""The front end: `(batch, samples) -> (batch, frames, bands)`.

Dialects (design.md): `yamnet` (yamnet.md section 3) and `yoho` (yoho.md
section 2). Both run in float32 whatever the policy of the model around them.
"""

import keras
import numpy as np
from keras import ops

from yoho_tf.layers import mel
from yoho_tf.params import FrontendParams

_REGISTER = keras.saving.register_keras_serializable("yoho_tf")


def log_mel_layer(params: FrontendParams, name="log_mel") -> keras.Layer:
  """The front-end layer for `params`, settings unpacked to scalars."""
  common = dict(
    sample_rate_hz=params.sample_rate_hz,
    window_samples=params.stft_window_samples,
    hop_samples=params.stft_hop_samples,
    fft_length=params.fft_length,
    mel_bands=params.mel_bands,
    mel_min_hz=params.mel_min_hz,
    mel_max_hz=params.mel_max_hz,
    transform=params.transform,
    name=name,
  )
  if params.dialect == "yamnet":
    return YamnetLogMel(log_offset=params.log_offset, **common)
  return YohoLogMel(
    amin=params.amin, top_db=params.top_db, pad_mode=params.pad_mode, **common
  )


class _Spectrum(keras.Layer):
  """Shared part: framed power spectrum of the non-empty bins, then mel.

  `transform="dft"` is one strided convolution with cosine and sine kernels,
  window included: it exports everywhere. `"rfft"` is smaller, but absent from
  ONNX. `keras.ops.stft` is not used: it centre-pads the window (frames 56
  samples early at 400 in 512).
  """

  mel_matrix = None  # a function of layers/mel.py, set by the dialect

  def __init__(
    self,
    *,
    sample_rate_hz,
    window_samples,
    hop_samples,
    fft_length,
    mel_bands,
    mel_min_hz,
    mel_max_hz,
    transform="dft",
    **kwargs,
  ):
    kwargs["dtype"] = "float32"  # also under mixed precision
    super().__init__(trainable=False, **kwargs)
    self.sample_rate_hz = sample_rate_hz
    self.window_samples = window_samples
    self.hop_samples = hop_samples
    self.fft_length = fft_length
    self.mel_bands = mel_bands
    self.mel_min_hz = mel_min_hz
    self.mel_max_hz = mel_max_hz
    self.transform = transform
    matrix = type(self).mel_matrix(
      fft_length=fft_length,
      sample_rate_hz=sample_rate_hz,
      mel_bands=mel_bands,
      mel_min_hz=mel_min_hz,
      mel_max_hz=mel_max_hz,
    )
    rows = np.flatnonzero(matrix.any(axis=1))
    self._bins = slice(int(rows[0]), int(rows[-1]) + 1)
    self._mel = matrix[self._bins].astype("float32")
    self._window = mel.hann_window(window_samples)
    if transform == "dft":
      self._kernel = self._dft_kernel()

  def _dft_kernel(self):
    n = np.arange(self.window_samples)[:, None]
    k = np.arange(self._bins.start, self._bins.stop)[None, :]
    # n k mod fft_length first: the phase stays exact for large products.
    phase = 2 * np.pi * ((n * k) % self.fft_length) / self.fft_length
    kernel = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1)
    kernel = kernel * self._window[:, None]
    return kernel[:, None, :].astype("float32")  # [window, 1, 2 bins]

  def _power(self, waveform):
    """[batch, samples] -> |X|^2, [batch, frames, bins]."""
    if self.transform == "dft":
      parts = ops.conv(
        waveform[..., None],  # [batch, samples, 1]
        self._kernel,
        strides=self.hop_samples,
        padding="valid",
        data_format="channels_last",
      )  # [batch, frames, 2 bins]
      bins = self._bins.stop - self._bins.start
      real, imag = parts[..., :bins], parts[..., bins:]
    else:
      frames = ops.extract_sequences(
        waveform, self.window_samples, self.hop_samples
      )  # [batch, frames, window]
      frames = frames * self._window.astype("float32")
      real, imag = ops.rfft(frames, self.fft_length)
      real, imag = real[..., self._bins], imag[..., self._bins]
    return real * real + imag * imag

  def _num_frames(self, num_samples):
    return 1 + (num_samples - self.window_samples) // self.hop_samples

  def compute_output_shape(self, input_shape):
    batch, samples = input_shape
    frames = None if samples is None else self._num_frames(samples)
    return (batch, frames, self.mel_bands)

  def get_config(self):
    keys = (
      "sample_rate_hz window_samples hop_samples fft_length mel_bands "
      "mel_min_hz mel_max_hz transform"
    ).split()
    config = {**super().get_config(), **{k: getattr(self, k) for k in keys}}
    del config["trainable"], config["dtype"]
    return config


@_REGISTER
class YamnetLogMel(_Spectrum):
  """Natural log of HTK mel magnitudes: YAMNet's features.

  frames = 1 + (samples - window) // hop: no centring, no padding.

  Args:
    log_offset: added to the mel magnitude before the logarithm.

  Input shape: waveform float32 `[batch, samples]` in [-1, 1].
  Output shape: float32 `[batch, frames, mel_bands]`.
  Reference: tensorflow/models research/audioset/yamnet, features.py.
  """

  mel_matrix = staticmethod(mel.htk_mel_matrix)

  def __init__(self, *, log_offset=0.001, **kwargs):
    super().__init__(**kwargs)
    self.log_offset = log_offset

  def call(self, waveform):
    magnitude = ops.sqrt(self._power(waveform))  # [batch, frames, bins]
    return ops.log(ops.matmul(magnitude, self._mel) + self.log_offset)

  def get_config(self):
    return {**super().get_config(), "log_offset": self.log_offset}


@_REGISTER
class YohoLogMel(_Spectrum):
  """dB of Slaney mel power of one peak-normalised window: YOHO's features.

  The window is divided by its peak |x|, padded by half an FFT on both sides
  (centred frames: 1 + samples // hop) and floored `top_db` below *its own*
  maximum, so that a quiet clip does not change beside a loud one.

  Args:
    amin: smallest mel power before the logarithm.
    top_db: dynamic range in dB.
    pad_mode: "reflect" (librosa before 0.9, the paper's) or "constant".

  Input shape: waveform float32 `[batch, samples]`, one window per row.
  Output shape: float32 `[batch, frames, mel_bands]`, dB.
  Reference: Venkatesh et al. 2022, section 2.3; librosa's melspectrogram.
  """

  mel_matrix = staticmethod(mel.slaney_mel_matrix)

  def __init__(self, *, amin=1e-10, top_db=80.0, pad_mode="reflect", **kwargs):
    super().__init__(**kwargs)
    self.amin = amin
    self.top_db = top_db
    self.pad_mode = pad_mode

  def _num_frames(self, num_samples):
    return 1 + num_samples // self.hop_samples

  def call(self, waveform):
    peak = ops.max(ops.abs(waveform), axis=1, keepdims=True)  # [batch, 1]
    waveform = waveform / ops.where(peak > 0, peak, ops.ones_like(peak))
    # The Hann window sits in the middle of the FFT frame, so the samples that
    # count begin half a *window* before the frame's centre; where the zeros of
    # the FFT frame stand changes the phase only.
    half = self.window_samples // 2
    waveform = ops.pad(waveform, [[0, 0], [half, half]], mode=self.pad_mode)
    power = ops.matmul(self._power(waveform), self._mel)
    db = ops.log(ops.maximum(power, self.amin)) * (10 / np.log(10))
    top = ops.max(db, axis=(1, 2), keepdims=True)  # [batch, 1, 1]
    return ops.maximum(db, top - self.top_db)

  def get_config(self):
    return {
      **super().get_config(),
      "amin": self.amin,
      "top_db": self.top_db,
      "pad_mode": self.pad_mode,
    }


@_REGISTER
class PadWaveform(keras.Layer):
  """Zeros at the end of a waveform, up to `k * step + extra` samples.

  `[batch, samples]` -> `[batch, k * step + extra]` with
  k = max(1, ceil((samples - covered) / step)), in integer arithmetic.

  Args:
    step: samples of one patch hop (YAMNet: 7,680) or one cell (YOHO: 5,120).
    extra: samples beyond the last step (7,920; 240).
    covered: how many of the extra samples hold signal rather than lie beyond
      the lattice (7,920; 0).
  """

  def __init__(self, *, step, extra, covered, **kwargs):
    kwargs["dtype"] = "float32"  # float16 would leave 11 bits of the waveform
    super().__init__(**kwargs)
    self.step = step
    self.extra = extra
    self.covered = covered

  def _padded(self, samples):
    steps = (samples - self.covered + self.step - 1) // self.step
    if isinstance(samples, int):
      return max(1, steps) * self.step + self.extra
    return ops.maximum(steps, 1) * self.step + self.extra

  def call(self, waveform):
    samples = ops.shape(waveform)[1]
    # Pad by the most that can be needed, then cut: no tensor-valued widths.
    most = self.step + self.extra
    padded = ops.pad(waveform, [[0, 0], [0, most]])
    return padded[:, : self._padded(samples)]

  def compute_output_shape(self, input_shape):
    batch, samples = input_shape
    return (batch, None if samples is None else self._padded(samples))

  def get_config(self):
    return {
      **super().get_config(),
      "step": self.step,
      "extra": self.extra,
      "covered": self.covered,
    }


@_REGISTER
class CheckFrames(keras.Layer):
  """Passes `[batch, frames, bands]` on; frames must be a multiple of `step`.

  Raises:
    ValueError: as soon as the number of frames is known and does not fit.
  """

  def __init__(self, step, **kwargs):
    super().__init__(**kwargs)
    self.step = step

  def call(self, log_mel):
    self.compute_output_shape(log_mel.shape)
    return log_mel

  def compute_output_shape(self, input_shape):
    frames = input_shape[1]
    if frames is not None and frames % self.step:
      raise ValueError(
        f"log_mel must have a multiple of {self.step} frames; received {frames}"
      )
    return input_shape

  def get_config(self):
    return {**super().get_config(), "step": self.step}


@_REGISTER
class Patches(keras.Layer):
  """Overlapping patches of frames, folded into the batch axis.

  `[batch, frames, bands]` -> `[batch * patches, patch_frames, bands]`, with
  patches = 1 + (frames - patch_frames) // hop_frames.
  """

  def __init__(self, *, patch_frames, hop_frames, **kwargs):
    super().__init__(**kwargs)
    self.patch_frames = patch_frames
    self.hop_frames = hop_frames

  def _num_patches(self, frames):
    return 1 + (frames - self.patch_frames) // self.hop_frames

  def call(self, log_mel):
    frames, bands = ops.shape(log_mel)[1], log_mel.shape[2]
    starts = ops.arange(self._num_patches(frames), dtype="int32")
    index = starts[:, None] * self.hop_frames + np.arange(
      self.patch_frames, dtype="int32"
    )  # [patches, patch_frames]
    patches = ops.take(log_mel, index, axis=1)
    return ops.reshape(patches, (-1, self.patch_frames, bands))

  def compute_output_shape(self, input_shape):
    batch, frames, bands = input_shape
    known = batch is not None and frames is not None
    rows = batch * self._num_patches(frames) if known else None
    return (rows, self.patch_frames, bands)

  def get_config(self):
    return {
      **super().get_config(),
      "patch_frames": self.patch_frames,
      "hop_frames": self.hop_frames,
    }


@_REGISTER
class Unfold(keras.Layer):
  """Takes the patch axis out of the batch axis again.

  Inputs: a tensor `[batch * patches, dims]` and any tensor whose first axis is
  the batch. Output: `[batch, patches, dims]`.
  """

  def call(self, inputs):
    folded, like = inputs
    return ops.reshape(folded, (ops.shape(like)[0], -1, folded.shape[-1]))

  def compute_output_shape(self, input_shape):
    folded, like = input_shape
    known = folded[0] is not None and like[0] is not None
    return (like[0], folded[0] // like[0] if known else None, folded[-1])
