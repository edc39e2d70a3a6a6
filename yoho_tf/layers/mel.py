"""Mel filter banks and windows as numpy constants, float64 inside.

No TensorFlow and no Keras: the layers take them as constants.
"""

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


def log_mel(waveform, params) -> np.ndarray:
  """YAMNet's log-mel of a whole recording, for pictures and references.

  The network's own front end is `layers/frontend.py`; this one is float64
  numpy, and pads a short waveform to one frame.

  Args:
    waveform: [samples].
    params: `FrontendParams`; its STFT, mel and `log_offset` fields are used.

  Returns:
    float32 [frames, bands].
  """
  window, hop = params.stft_window_samples, params.stft_hop_samples
  waveform = np.pad(waveform, (0, max(0, window - len(waveform))))
  frames = np.lib.stride_tricks.sliding_window_view(waveform, window)[::hop]
  matrix = htk_mel_matrix(
    fft_length=params.fft_length,
    sample_rate_hz=params.sample_rate_hz,
    mel_bands=params.mel_bands,
    mel_min_hz=params.mel_min_hz,
    mel_max_hz=params.mel_max_hz,
  )
  blocks = [
    np.abs(np.fft.rfft(part * hann_window(window), params.fft_length)) @ matrix
    for part in np.array_split(frames, max(1, len(frames) // 4096))
  ]  # in parts: an hour of frames would not fit at once
  mel = np.concatenate(blocks)  # [frames, bands]
  return np.log(mel + params.log_offset).astype(np.float32)
