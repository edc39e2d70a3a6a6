"""tensorflow-model-optimization, in a process and an environment of its own.

It takes models of tf_keras only, so the network travels as a layer table with
weights by name: `job.json`, `weights.npz` and `windows.npz` go there,
`weights_out.npz`, `model.tflite` and `report.json` come back
(tfmot_worker.py).

| method | what it does | product |
| --- | --- | --- |
| `qat` | trains with the roundings of int8 | `model.tflite` |
| `prune` | sets the least kernel weights to 0 | weights |
| `cluster` | leaves a kernel a few values | weights |

The last two make a file smaller only once it is compressed.
"""

import json
import os
import pathlib
import subprocess
import tempfile
from typing import NamedTuple

import numpy as np

from yoho_tf.deploy import tfmot_worker
from yoho_tf.params import to_json

METHODS = ("qat", "prune", "cluster")
PYTHON = "YOHO_TFMOT_PYTHON"  # environment variable
OPTIONS = {
  "seed": 0,
  "batch_size": 16,
  "epochs": 5,
  "learning_rate": 1e-5,
  "range_passes": 10,  # qat: over the windows, before it trains
  "sparsity": 0.5,  # prune: share of zeros
  "clusters": 16,  # cluster: values of a kernel
  "frames": None,  # of model.tflite; None: the network's
}
_LOG_LINES = 20

# Class of a layer -> the arguments that its twin takes.
_FIELDS = {
  "Conv2D": "filters kernel_size strides padding use_bias",
  "DepthwiseConv2D": "kernel_size strides padding use_bias",
  "BatchNormalization": "epsilon momentum scale",
  "ReLU": "max_value",
  "Reshape": "target_shape",
  "MaxPooling2D": "pool_size strides padding",
  "GlobalAveragePooling2D": "",
  "SpatialDropout2D": "rate",
  "Dense": "units",
  "Activation": "activation",
}
_LEFT_OUT = ("InputLayer", "CheckFrames")


class Result(NamedTuple):
  """What came back.

  Attributes:
    weights: `{"layer/weight": array}`.
    tflite: bytes, `log_mel [1, frames, bands]` -> the output.
    report: of the worker.
  """

  weights: dict
  tflite: bytes
  report: dict


def layer_table(network) -> list[dict]:
  """Rows `{"kind", "name", "config"}` of a network that is a chain.

  Raises:
    ValueError: a layer of another kind.
  """
  rows = []
  for layer in network.layers:
    kind = type(layer).__name__
    if kind in _LEFT_OUT:
      continue
    if kind not in _FIELDS:
      raise ValueError(
        f"layer must be one of {', '.join(_FIELDS)}; got {kind} {layer.name!r}"
      )
    config = layer.get_config()
    fields = {field: config[field] for field in _FIELDS[kind].split()}
    rows.append({"kind": kind, "name": layer.name, "config": fields})
  return rows


def weights_of(network) -> dict:
  """`{"layer/weight": array}`."""
  return {
    f"{layer.name}/{weight.name}": np.asarray(weight)
    for layer in network.layers
    for weight in layer.weights
  }


def set_weights(network, weights) -> None:
  """By name, what `weights_of` gave for a network of the same layers."""
  for layer in network.layers:
    for weight in layer.weights:
      weight.assign(weights[f"{layer.name}/{weight.name}"])


def optimize(
  network,
  params,
  log_mel,
  *,
  method,
  python=None,
  folder=None,
  log=print,
  **options,
) -> Result:
  """Runs a job in the other environment.

  Args:
    network: Keras, with `log_mel` input.
    params: of the network.
    log_mel: float32 `[windows, frames, bands]` to train on, towards what the
      network itself gives for them.
    method: of METHODS, or "carry", which changes nothing.
    python: of an environment with the extra [tfmot]; default: what the
      environment variable YOHO_TFMOT_PYTHON names.
    folder: for the job, kept; default: a temporary one.
    options: those of OPTIONS that are to be others.

  Raises:
    ValueError: an unknown method, option or layer, no such Python, a package
      that it lacks, a worker that failed.
  """
  if method not in tfmot_worker.METHODS:
    raise ValueError(
      f"method must be one of {', '.join(METHODS)}; got {method!r}"
    )
  if unknown := sorted(options.keys() - OPTIONS.keys()):
    raise ValueError(
      f"options must be of {', '.join(OPTIONS)}; got {', '.join(unknown)}"
    )
  python = _interpreter(python)
  with tempfile.TemporaryDirectory(prefix="yoho_tfmot_") as scratch:
    folder = pathlib.Path(folder or scratch)
    folder.mkdir(parents=True, exist_ok=True)
    job = _write(folder, network, params, log_mel, method, options)
    log(f"{method}: {len(log_mel)} windows, {job['options']['epochs']} epochs")
    _run(python, folder)
    with np.load(folder / "weights_out.npz") as file:
      weights = {key: file[key] for key in file}
    return Result(
      weights,
      (folder / "model.tflite").read_bytes(),
      json.loads((folder / "report.json").read_text(encoding="utf-8")),
    )


def _write(folder, network, params, log_mel, method, options) -> dict:
  table = layer_table(network)
  output = table[-1]["name"]
  log_mel = np.asarray(log_mel, np.float32)
  size = {**OPTIONS, **options}["batch_size"]
  target = np.concatenate(
    [
      network({"log_mel": log_mel[i : i + size]}, training=False)[output]
      for i in range(0, len(log_mel), size)
    ]
  )
  (source,) = network.inputs
  job = {
    "method": method,
    "options": {**OPTIONS, **options},
    "input": source.name,
    "input_shape": list(source.shape[1:]),
    "output": output,
    "layers": table,
    "params": json.loads(to_json(params)),
  }
  if job["options"]["frames"] is None:
    job["options"]["frames"] = source.shape[1]
  text = json.dumps(job, indent=2)
  (folder / "job.json").write_text(text + "\n", encoding="utf-8")
  np.savez(folder / "weights.npz", **weights_of(network))
  np.savez(folder / "windows.npz", log_mel=log_mel, target=target)
  return job


def _interpreter(python) -> str:
  found = python or os.environ.get(PYTHON)
  if not found or not os.path.isfile(found):
    raise ValueError(
      "python must be the interpreter of an environment with "
      f"tensorflow-model-optimization (pip install 'yoho_tf[tfmot]'), or "
      f"{PYTHON} name it; got {found!r}"
    )
  return os.fspath(found)


def _run(python, folder):
  # -I: nothing of this environment, and none of this folder's names (onnx).
  command = [python, "-I", tfmot_worker.__file__, os.fspath(folder.resolve())]
  # The legacy switch is the worker's; the rest of Keras' is not for tf_keras.
  environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
  path = folder / "worker.log"
  with open(path, "w", encoding="utf-8") as file:
    done = subprocess.run(
      command, stdout=file, stderr=subprocess.STDOUT, env=environment
    )
  if done.returncode == tfmot_worker.MISSING_PACKAGE:
    raise ValueError(
      f"python {python!r} must have tensorflow-model-optimization; pip install "
      f"'yoho_tf[tfmot]' there ({path.read_text().strip().splitlines()[-1]})"
    )
  if done.returncode:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "\n".join(lines[-_LOG_LINES:])
    raise ValueError(
      f"the worker of tensorflow-model-optimization ended with code "
      f"{done.returncode}:\n{tail}"
    )
