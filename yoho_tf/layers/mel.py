"""Mel filter banks and windows as numpy constants, float64 inside.

No TensorFlow and no Keras: the layers take them as constants.
"""

import functools

import numpy as np


def hann_window(window_samples: int) -> np.ndarray:
  """Periodic Hann window, float64 [window_samples]."""
  n = np.arange(window_samples)
  return 0.5 - 0.5 * np.cos(2 * np.pi * n / window_samples)


def htk_mel(frequency_hz):
  return 1127.0 * np.log1p(np.asarray(frequency_hz, np.float64) / 700.0)


def htk_mel_matrix(
  *, fft_length, sample_rate_hz, mel_bands, mel_min_hz, mel_max_hz
) -> np.ndarray:
  """Triangles linear in HTK mel, peak 1, bin 0 empty: YAMNet's matrix.

  Returns:
    float64 [fft_length // 2 + 1, mel_bands].
  """
  edges = np.linspace(htk_mel(mel_min_hz), htk_mel(mel_max_hz), mel_bands + 2)
  low, centre, high = edges[:-2], edges[1:-1], edges[2:]  # [bands]
  bins_hz = np.linspace(0, sample_rate_hz / 2, fft_length // 2 + 1)
  mel = htk_mel(bins_hz)[:, None]  # [bins, 1]
  rising = (mel - low) / (centre - low)
  falling = (high - mel) / (high - centre)
  matrix = np.maximum(0, np.minimum(rising, falling))
  matrix[0] = 0
  return matrix


def slaney_mel(frequency_hz):
  """Slaney's scale: linear below 1 kHz, logarithmic above."""
  frequency_hz = np.asarray(frequency_hz, np.float64)
  linear = frequency_hz / (200 / 3)
  above = 15 + 27 * np.log(np.maximum(frequency_hz, 1000) / 1000) / np.log(6.4)
  return np.where(frequency_hz < 1000, linear, above)


def slaney_hz(mel):
  mel = np.asarray(mel, np.float64)
  above = 1000 * np.exp(np.log(6.4) / 27 * (np.maximum(mel, 15) - 15))
  return np.where(mel < 15, mel * (200 / 3), above)


def slaney_mel_matrix(
  *, fft_length, sample_rate_hz, mel_bands, mel_min_hz, mel_max_hz
) -> np.ndarray:
  """Triangles linear in Hz at Slaney mel edges, unit area each.

  Returns:
    float64 [fft_length // 2 + 1, mel_bands].
  """
  edges_hz = slaney_hz(
    np.linspace(slaney_mel(mel_min_hz), slaney_mel(mel_max_hz), mel_bands + 2)
  )
  low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
  bins_hz = np.linspace(0, sample_rate_hz / 2, fft_length // 2 + 1)[:, None]
  rising = (bins_hz - low) / (centre - low)
  falling = (high - bins_hz) / (high - centre)
  triangles = np.maximum(0, np.minimum(rising, falling))
  return triangles * (2 / (high - low))


# At once: they fit in a processor's cache.
_BLOCK_FRAMES = 256
# Of one matrix product: OpenBLAS keeps below 2 ** 18 multiplications to one
# thread, and callers have one per processor already.
_ROWS = 16


def log_mel(waveform, params) -> np.ndarray:
  """YAMNet's log-mel of a whole recording, in float32 numpy.

  The same function as `layers/frontend.py`, within 1e-5, and quicker than
  LiteRT's FFT; a short waveform is padded to one frame.

  Args:
    waveform: [samples].
    params: `FrontendParams`; its STFT, mel and `log_offset` fields are used.

  Returns:
    float32 [frames, bands].
  """
  size, hop = params.stft_window_samples, params.stft_hop_samples
  waveform = np.asarray(waveform, np.float32)
  waveform = np.pad(waveform, (0, max(0, size - len(waveform))))
  window, bins, matrix = _constants(params)
  frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop]
  mel = np.empty((len(frames), params.mel_bands), np.float32)
  most = min(_BLOCK_FRAMES, len(frames) + _ROWS)
  windowed = np.zeros((most, params.fft_length), np.float32)
  for first in range(0, len(frames), _BLOCK_FRAMES):
    part = frames[first : first + _BLOCK_FRAMES]
    rows = -(-len(part) // _ROWS) * _ROWS  # whole products
    np.multiply(part, window, out=windowed[: len(part), :size])
    magnitude = np.abs(np.fft.rfft(windowed[:rows])[:, bins])
    product = magnitude.reshape(-1, _ROWS, magnitude.shape[1]) @ matrix
    mel[first : first + len(part)] = product.reshape(rows, -1)[: len(part)]
  mel += np.float32(params.log_offset)
  return np.log(mel, out=mel)


@functools.cache
def _constants(params):
  """Window, the bins that any band uses, and their mel matrix, float32."""
  matrix = htk_mel_matrix(
    fft_length=params.fft_length,
    sample_rate_hz=params.sample_rate_hz,
    mel_bands=params.mel_bands,
    mel_min_hz=params.mel_min_hz,
    mel_max_hz=params.mel_max_hz,
  )
  used = np.flatnonzero(matrix.any(axis=1))
  bins = slice(int(used[0]), int(used[-1]) + 1)
  window = hann_window(params.stft_window_samples).astype(np.float32)
  return window, bins, np.ascontiguousarray(matrix[bins], np.float32)
