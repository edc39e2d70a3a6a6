"""Keras -> SavedModel: a waveform of any length in, everything inside.

It loads where this package is not installed, wherever the folder is moved:

    model = tf.saved_model.load(folder)
    outputs = model(waveform)  # or model.signatures["serving_default"]
    names = csv.DictReader(open(model.class_map_path().numpy()))

`waveform [samples]`, float32 in [-1, 1] -> YAMNet: `scores [patches,
classes]`, `embeddings [patches, dims]`, `log_mel [frames, bands]`; YOHO:
`events [cells, classes, 3 * slots]` with ceil(samples / cell) cells, at least
1. On YOHO's lattice `window` a leading axis counts the windows that prediction
cuts, every `inference.window_hop_seconds`; a baseline gives `scores`.
"""

import pathlib
import shutil
import tempfile
from dataclasses import replace

import numpy as np

from yoho_tf.deploy import keras_file, metadata
from yoho_tf.params import YohoParams

_LEAST_SIZE = 0.9  # of the weights: a module that lost them saves happily


def write(network, params, folder, *, class_map) -> None:
  """Writes the folder once what was written loads, runs and agrees.

  Args:
    network: float32, built with `params` and `input="log_mel"`.
    params: `YohoParams` or `YamnetParams`; travels as asset `params.json`.
    folder: a SavedModel there is replaced.
    class_map: `ClassMap` of `params.labels`; travels as an asset.

  Raises:
    ValueError: a folder of something else, a class map with other labels.
  """
  import tensorflow as tf

  folder = pathlib.Path(folder)
  is_ours = (folder / "saved_model.pb").is_file()
  if folder.exists() and not is_ours and any(folder.iterdir()):
    raise ValueError(
      f"folder must be new, empty or a SavedModel; got {str(folder)!r}"
    )
  if params.labels and class_map.names != params.labels:
    raise ValueError(
      f"class_map must hold the labels {params.labels}; got {class_map.names}"
    )
  params = replace(params, input="waveform")
  model = keras_file.rebuilt(network, params)
  with tempfile.TemporaryDirectory(
    prefix=f".{folder.name[:50]}.", dir=folder.parent
  ) as scratch:
    assets = pathlib.Path(scratch, "texts")
    assets.mkdir()
    texts = metadata.texts(params, class_map)
    for name, text in texts.items():
      with open(assets / name, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    module = _module(model, params, assets, list(texts))
    part = pathlib.Path(scratch, "model")
    tf.saved_model.save(
      module, str(part), signatures={"serving_default": module.__call__}
    )
    _check(part, model, params)
    if folder.exists():
      shutil.rmtree(folder)
    part.rename(folder)


def _module(model, params, assets, names):
  import tensorflow as tf

  outputs = _whole_recording(model, params)

  class Listener(tf.Module):
    """What is saved; the first argument has to be called self."""

    def __init__(self):
      super().__init__(name=model.name)
      self.weights = [v.value for v in model.variables]
      self.assets = {
        name: tf.saved_model.Asset(str(assets / name)) for name in names
      }

    @tf.function(
      input_signature=[tf.TensorSpec([None], tf.float32, name="waveform")]
    )
    def __call__(self, waveform):
      return outputs(waveform)

    @tf.function(input_signature=[])
    def class_map_path(self):
      return self.assets[metadata.CLASS_MAP].asset_path

  return Listener()


def _whole_recording(model, params):
  """The function `waveform [samples] -> {name: [...]}`."""
  import tensorflow as tf

  if not isinstance(params, YohoParams):
    return lambda waveform: {
      name: value[0]
      for name, value in model({"waveform": waveform[None]}).items()
    }
  if params.lattice == "stride":
    return lambda waveform: {
      "events": model({"waveform": waveform[None]})["events"][0]
    }
  rate, size = params.frontend.sample_rate_hz, params.window_samples
  hop = round(params.inference.window_hop_seconds * rate)
  # As models.yoho.num_windows: a rest below one STFT hop makes no window.
  covered = size + params.frontend.stft_hop_samples - 1

  def windows(waveform):
    samples = tf.shape(waveform)[0]
    more = (tf.maximum(samples - covered, 0) + hop - 1) // hop
    waveform = tf.pad(waveform, [[0, more * hop + size]])
    starts = tf.range(more + 1)[:, None] * hop
    rows = tf.gather(waveform, starts + tf.range(size))  # [windows, samples]
    return {params.output: model({"waveform": rows})[params.output]}

  return windows


def _check(folder, model, params):
  """Weights there, loads, and gives the model's numbers."""
  import tensorflow as tf

  expected = 4 * sum(int(np.prod(v.shape)) for v in model.variables)
  size = sum(f.stat().st_size for f in (folder / "variables").iterdir())
  if size < _LEAST_SIZE * expected:
    raise ValueError(
      f"the SavedModel must hold its weights, {expected} bytes; got {size}"
    )
  samples = np.random.default_rng(0).standard_normal(
    params.window_samples
    if isinstance(params, YohoParams)
    else params.min_samples
  )
  samples = (0.1 * samples).astype(np.float32)
  wanted = _whole_recording(model, params)(tf.constant(samples))
  serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
  got = serve(waveform=tf.constant(samples))
  for name, value in wanted.items():
    error = float(np.abs(np.asarray(got[name]) - np.asarray(value)).max())
    if not error <= 1e-4:
      raise ValueError(
        f"the SavedModel's {name} must agree with Keras; got a difference of "
        f"{error:.3g}"
      )
