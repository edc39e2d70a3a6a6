"""What a network costs: parameters, multiplies, seconds per hour of audio."""

import pathlib
import tempfile
import time
from dataclasses import replace

import numpy as np

# Name -> title and format.
COSTS = {
  "parameters": ("parameters", "{:,}"),
  "macs": ("M multiplies per s", "{:.4g}"),
  "network_seconds": ("network, s per h", "{:.3g}"),
  "decode_seconds": ("decoding, s per h", "{:.2g}"),
}
_TIMED_SECONDS = 300.0


def multiplies(network, num_frames: int) -> int:
  """Multiply-adds of one pass over `num_frames`, convolutions and products."""
  import keras

  layers = [layer for layer in network.layers if layer.weights]
  inner = keras.Model(network.input, [layer.output for layer in layers])
  (shape,) = [tensor.shape for tensor in network.inputs]
  outputs = inner({"log_mel": np.zeros((1, num_frames, shape[-1]), "float32")})
  total = 0
  for layer, output in zip(layers, outputs, strict=True):
    size = int(np.prod(output.shape[1:]))
    if isinstance(layer, keras.layers.DepthwiseConv2D):
      total += size * int(np.prod(layer.kernel_size))
    elif isinstance(layer, keras.layers.Conv2D | keras.layers.Conv1D):
      total += size * int(np.prod(layer.kernel.shape[:-1]))
    elif isinstance(layer, keras.layers.Dense):
      total += size * int(layer.kernel.shape[0])
    elif isinstance(layer, keras.layers.Bidirectional | keras.layers.GRU):
      steps = int(output.shape[1])
      kernels = [w for w in layer.weights if len(w.shape) == 2]
      total += steps * sum(
        int(np.prod(w.shape)) for w in kernels if "bias" not in w.path
      )
  return total


def costs(params) -> dict[str, float]:
  """Parameters, multiplies and seconds of the network that `params` describes.

  Nothing is trained, since no cost but the decoding depends on it: scores near
  0.5 begin and end events all the time, which is the worst case.
  """
  import keras

  from yoho_tf import hub
  from yoho_tf.deploy import litert
  from yoho_tf.labels import ClassMap
  from yoho_tf.models import yoho

  keras.utils.set_random_seed(0)
  network = yoho.build(replace(params, input="log_mel"))
  seconds = params.window_seconds
  frames = params.window_frames
  data = litert.tflite(
    network,
    params,
    class_map=ClassMap.for_names(params.labels),
    precision="float32",
  )
  with tempfile.TemporaryDirectory() as folder:
    part = pathlib.Path(folder, "timed.tflite")
    part.write_bytes(data)
    model = hub.load(part)
  rate = params.frontend.sample_rate_hz
  rng = np.random.default_rng(0)
  waveform = 0.1 * rng.standard_normal(round(_TIMED_SECONDS * rate))
  waveform = waveform.astype(np.float32)
  best, decoding = np.inf, np.inf
  for _ in range(3):
    spent = [0.0]

    def run(inputs, spent=spent):
      begin = time.perf_counter()
      outputs = model.network(inputs)
      spent[0] += time.perf_counter() - begin
      return outputs

    begin = time.perf_counter()
    replace(model, network=run).predict(waveform)
    whole = time.perf_counter() - begin
    best, decoding = min(best, spent[0]), min(decoding, whole - spent[0])
  hour = 3600 / _TIMED_SECONDS
  return {
    "parameters": network.count_params(),
    "macs": multiplies(network, frames) / seconds / 1e6,
    "network_seconds": best * hour,
    "decode_seconds": decoding * hour,
  }
