"""How the authors' notebooks feed the training of YOHO, written anew.

What the notebooks of satvik-venkatesh/you-only-hear-once do, Urban-SED and TUT
alike: once, every window goes through librosa and is saved as `ex-<i>.npy` and
`label-<i>.npy` (float64); then a Sequence loads the pairs of a batch of 32 one
after the other into float64 arrays, and `fit` reads it with one worker. The
network takes log-mels. This module needs librosa for the first part.
"""

import csv
import functools
import importlib.util
import math
from pathlib import Path

import keras
import numpy as np

from yoho_tf.layers import conv


def missing():
  """Why the baseline cannot run, or None."""
  if importlib.util.find_spec("librosa") is None:
    return "librosa is not installed: pip install '.[test]'"
  return None


def prepare(audio_paths, annotation_paths, folder, params):
  """Writes the two files of every window, in the order of the clips.

  Args:
    audio_paths: mono sound files at the front end's rate.
    annotation_paths: of the same clips: start, end, label with tabs between.
    folder: where `ex-<i>.npy` [frames, bands] and `label-<i>.npy` [cells, 3 *
      classes] go.
    params: `YohoParams` of the lattice `window`.

  Returns:
    [(path of a log-mel, path of its targets)].
  """
  import soundfile

  front, size = params.frontend, params.window_samples
  pairs = []
  for audio, notes in zip(audio_paths, annotation_paths, strict=True):
    clip, _ = soundfile.read(audio)  # float64 [samples]
    hops = math.ceil(max(len(clip) - size, 0) / size)
    padded = np.zeros(size * (hops + 1))
    padded[: len(clip)] = clip
    for number in range(hops + 1):
      first = number * size
      log_mel = _log_mel(padded[first : first + size], front)
      rows = _events(notes, first / front.sample_rate_hz, params.window_seconds)
      names = [Path(folder, f"{k}-{len(pairs)}.npy") for k in ("ex", "label")]
      np.save(names[0], log_mel.T)
      np.save(names[1], targets(rows, params))
      pairs.append(tuple(map(str, names)))
  return pairs


def _log_mel(window, front):
  """float64 [samples] -> float64 [bands, frames], dB."""
  import librosa

  power = librosa.feature.melspectrogram(
    y=librosa.util.normalize(window),
    sr=front.sample_rate_hz,
    n_fft=front.fft_length,
    win_length=front.stft_window_samples,
    hop_length=front.stft_hop_samples,
    n_mels=front.mel_bands,
    fmin=front.mel_min_hz,
    fmax=front.mel_max_hz,
  )
  return librosa.power_to_db(power, amin=front.amin, top_db=front.top_db)


def _events(path, begin, seconds):
  """Rows of a file that touch a window: [start, end, label], merged, to 1 ms.

  The file is read for every window.
  """
  with open(path, newline="", encoding="utf-8") as file:
    rows = [
      (float(a), float(b), k) for a, b, k in csv.reader(file, "excel-tab")
    ]
  merged = []
  for label in sorted({row[2] for row in rows}):
    own = [
      [max(a - begin, 0.0), min(b - begin, seconds), label]
      for a, b, name in sorted(rows)
      if name == label and b > begin and a < begin + seconds
    ]
    for event in own:
      if merged and merged[-1][2] == label and event[0] <= merged[-1][1]:
        merged[-1][1] = max(event[1], merged[-1][1])
      else:
        merged.append(event)
  return sorted([round(a, 3), round(b, 3), label] for a, b, label in merged)


def targets(rows, params):
  """Events -> float64 [cells, 3 * classes], cell by cell in Python."""
  width = params.cell_seconds
  grid = np.zeros((params.window_cells, 3 * len(params.labels)))
  for start, end, label in rows:
    column = 3 * params.labels.index(label)
    first, last = (int(time / width + 1e-9) for time in (start, end))
    for cell in range(first, last + 1):
      left = start - cell * width if cell == first else 0.0
      right = end - cell * width if cell == last else width
      if right > 1e-9 and cell < len(grid):
        grid[cell, column : column + 3] = [1, left, right]
  for cell in range(grid.shape[0]):
    for column in range(grid.shape[1]):
      if column % 3:
        grid[cell, column] /= width
  return grid


class NotebookBatches(keras.utils.PyDataset):
  """Batches of pairs of files, loaded one by one in Python.

  Args:
    pairs: [(path of a log-mel, path of its targets)].
    params: `YohoParams`.
    batch_size: examples of a batch; the last, smaller batch is dropped.

  Yields:
    `(log_mel float64 [batch, frames, bands, 1], targets float64 [batch, cells,
    classes, 3])`. (Theirs are [batch, cells, 3 * classes]: the same numbers.)
  """

  def __init__(self, pairs, params, *, batch_size=32, **kwargs):
    super().__init__(**kwargs)
    self.pairs = list(pairs)
    self.params = params
    self.batch_size = batch_size
    self.random = np.random.default_rng(0)
    self.on_epoch_end()

  def __len__(self):
    return len(self.pairs) // self.batch_size

  def on_epoch_end(self):
    self.order = self.random.permutation(len(self.pairs))

  def __getitem__(self, index):
    params, size = self.params, self.batch_size
    bands, classes = params.frontend.mel_bands, len(params.labels)
    x = np.empty((size, params.window_frames, bands, 1))
    y = np.empty((size, params.window_cells, 3 * classes))
    for i, k in enumerate(self.order[index * size : (index + 1) * size]):
      log_mel, labels = self.pairs[k]
      x[i, :, :, 0] = np.load(log_mel)
      y[i] = np.load(labels)
    return x, y.reshape(size, params.window_cells, classes, 3)


def training_model(network, params):
  """log_mel [batch, frames, bands, 1] -> logits, as theirs begins.

  Its layers train as Keras' own do, which the notebooks use.
  """
  for layer in network.layers:
    if isinstance(layer, conv.BatchNormalization):
      layer.call = functools.partial(
        keras.layers.BatchNormalization.call, layer
      )
    elif isinstance(layer, conv.Conv2D):
      layer.call = functools.partial(_stock_conv, layer)
  shape = (params.window_frames, params.frontend.mel_bands)
  log_mel = keras.Input((*shape, 1), dtype="float32", name="log_mel")
  x = keras.layers.Reshape(shape)(log_mel)
  return keras.Model(log_mel, network({"log_mel": x})[params.logits])


def _stock_conv(layer, inputs, training=None):
  return keras.layers.Conv2D.call(layer, inputs)
