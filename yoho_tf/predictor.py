"""A loaded model: `predict(path or waveform)` -> `Detections` or `Tags`.

Whatever the network is stored in (deploy/runtime.py), audio goes through the
same steps: blocks, windows of whole cells or patches, network, `decode`.
"""

import os
from dataclasses import dataclass, replace

import numpy as np

from yoho_tf import audio
from yoho_tf.models import yamnet, yoho
from yoho_tf.params import YamnetParams, YohoParams
from yoho_tf.windows import iter_windows

_PATCHES_AT_ONCE = 64


def _blocks(source, sample_rate_hz, rate, resampler):
  """Blocks of float32 samples at `rate`, and a name for the source."""
  if isinstance(source, str | os.PathLike):
    blocks = audio.read_blocks(source, sample_rate_hz=rate, resampler=resampler)
    # A name that is not UTF-8 stays printable.
    return blocks, os.fsencode(source).decode("utf-8", "backslashreplace")
  waveform = audio.check_waveform(source)
  if sample_rate_hz not in (None, rate):
    waveform = audio.resample(
      waveform, sample_rate_hz, rate, resampler=resampler
    )
  return [waveform], ""


@dataclass(frozen=True)
class Model:
  """What `yoho_tf.load` returns.

  Attributes:
    name: preset or file.
    params: resolved params, tuned post-processing included.
    network: `{input: array} -> {output: array}`.
  """

  name: str
  params: YamnetParams | YohoParams
  network: object

  @property
  def labels(self) -> tuple[str, ...]:
    return self.params.labels

  def with_params(self, params) -> "Model":
    """The same network with other post-processing."""
    return replace(self, params=params)


@dataclass(frozen=True)
class YohoModel(Model):
  """Sound events by YOHO."""

  def predict(
    self, source, *, sample_rate_hz: int | None = None, resampler="soxr"
  ):
    """Events of one recording.

    Args:
      source: path of an audio file, or mono samples in [-1, 1], [samples].
      sample_rate_hz: of `source` where it is an array; default the model's.
      resampler: "soxr" or "resampy".

    Returns:
      `Detections`; `scores [cells, classes]` holds the presence of each cell.

    Raises:
      yoho_tf.audio.AudioError: what cannot be read; the file and the rule.
    """
    params = self.params
    blocks, name = _blocks(
      source, sample_rate_hz, params.frontend.sample_rate_hz, resampler
    )
    run = self._cells if params.lattice == "stride" else self._windows
    events, num_samples = run(blocks)
    return yoho.decode(
      {"events": events},
      params,
      duration_seconds=num_samples / params.frontend.sample_rate_hz,
      filename=name,
      model=self.name,
    )

  def _cells(self, blocks):
    """`[cells, classes, 3 * slots]` on the global lattice, stitched."""
    params, kept = self.params, []
    windows = iter_windows(
      blocks,
      cell_samples=params.cell_samples,
      extra_samples=params.extra_samples,
      window_cells=params.inference.window_cells,
      discard_left_cells=params.inference.discard_left_cells,
      discard_right_cells=params.inference.discard_right_cells,
    )
    for window, samples in windows:
      cells = self.network({"waveform": samples[None]})["events"][0]
      first = window.start_cell
      kept.append(cells[window.keep_start - first : window.keep_end - first])
    return np.concatenate(kept), window.total_samples

  def _windows(self, blocks):
    """`[windows, cells, classes, 3 * slots]`, overlapping (the paper's)."""
    params = self.params
    waveform = np.concatenate(list(blocks))
    size = params.window_samples
    hop = round(
      params.inference.window_hop_seconds * params.frontend.sample_rate_hz
    )
    outputs = []
    for i in range(yoho.num_windows(len(waveform), params)):
      part = waveform[i * hop : i * hop + size]
      part = np.pad(part, (0, size - len(part)))
      outputs.append(self.network({"waveform": part[None]})["events"][0])
    return np.stack(outputs), len(waveform)


@dataclass(frozen=True)
class YamnetModel(Model):
  """AudioSet scores by YAMNet."""

  def predict(
    self, source, *, sample_rate_hz: int | None = None, resampler="soxr"
  ):
    """Scores of one recording: `Tags`. Arguments as `YohoModel.predict`."""
    params = self.params
    rate = params.frontend.sample_rate_hz
    blocks, name = _blocks(source, sample_rate_hz, rate, resampler)
    waveform = np.concatenate(list(blocks))
    num_samples = len(waveform)
    patches = params.num_patches(num_samples)
    padded = np.pad(
      waveform, (0, params.padded_samples(num_samples) - num_samples)
    )
    free = getattr(self.network, "input_shapes", None) is None
    step = _PATCHES_AT_ONCE if free else 1  # the Lite file takes one patch
    found = []
    for first in range(0, patches, step):
      last = min(first + step, patches) - 1
      start, stop = (i * params.patch_hop_samples for i in (first, last))
      found.append(self._run(padded[start : stop + params.min_samples], free))
    outputs = {key: np.concatenate([f[key] for f in found]) for key in found[0]}
    return yamnet.decode(
      outputs,
      params,
      duration_seconds=num_samples / rate,
      filename=name,
      model=self.name,
    )

  def _run(self, samples, free):
    """`scores` and, from Keras, `embeddings` of a few patches."""
    if free:
      outputs = self.network({"waveform": samples[None]})
      return {key: outputs[key][0] for key in ("scores", "embeddings")}
    (name,) = self.network.input_names
    (scores,) = self.network({name: samples}).values()
    return {"scores": scores.reshape(1, -1)}
