"""The part of deploy/tfmot.py that runs in the environment of [tfmot].

    python -I yoho_tf/deploy/tfmot_worker.py JOB

tensorflow-model-optimization takes models of tf_keras only and switches a
process over to it. So this file imports nothing of yoho_tf and no Keras 3: it
builds the network of `JOB/job.json` in tf_keras, with the weights of
`weights.npz`, trains it on `windows.npz` towards the scores that the float
network gave, and writes `weights_out.npz`, `model.tflite` and `report.json`.
"""

import json
import os
import pathlib
import sys
import tempfile

import numpy as np

MISSING_PACKAGE = 3  # exit code
_WRAPPERS = ("quant_", "prune_low_magnitude_", "cluster_")
_EPSILON = 1e-6


def run(folder) -> None:
  """Does the job of a folder.

  Raises:
    ValueError: an unknown method or layer kind, weights that do not fit.
  """
  import tf_keras

  folder = pathlib.Path(folder)
  job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
  method, options = job["method"], job["options"]
  if method not in METHODS:
    raise ValueError(
      f"method must be one of {', '.join(METHODS)}; got {method!r}"
    )
  tf_keras.utils.set_random_seed(options["seed"])
  network = build(job)
  with np.load(folder / "weights.npz") as file:
    weights = {key: file[key] for key in file}
  assign(network, weights)
  with np.load(folder / "windows.npz") as file:
    windows = file["log_mel"], file["target"]
  steps = -(-len(windows[0]) // options["batch_size"]) * options["epochs"]
  wrapped, strip = METHODS[method](network, steps, options)
  freeze_norms(wrapped)
  losses = train(wrapped, job, windows, method, strip is None)
  report = {"method": method, "steps": steps, "losses": losses, **versions()}
  if strip is None:  # its file holds what it learnt of ranges
    static, _ = METHODS[method](build(job, batch=1), steps, options)
    static.set_weights(wrapped.get_weights())
    report["note"] = "weights_out.npz is for fake-quant only"
  else:
    wrapped = strip(wrapped)
    static = build(job, batch=1)
    static.set_weights(wrapped.get_weights())
  found = {key: np.asarray(v) for key, v in variables(wrapped, weights).items()}
  if missing := sorted(weights.keys() - found.keys()):
    raise ValueError(f"weights must come back; got none of {missing[:5]}")
  kernels = {k: v for k, v in found.items() if k.endswith("/kernel")}
  report["zeros"] = {k: float(np.mean(v == 0)) for k, v in kernels.items()}
  report["values"] = {k: len(np.unique(v)) for k, v in kernels.items()}
  np.savez(folder / "weights_out.npz", **found)
  data = converted(static, job, quantized=strip is None)
  (folder / "model.tflite").write_bytes(data)
  text = json.dumps(report, indent=2)
  (folder / "report.json").write_text(text + "\n", encoding="utf-8")


# ---- the network -------------------------------------------------------------


def build(job, *, batch=None):
  """The layer table as a tf_keras model of one input and one output."""
  from tf_keras import Input, Model, layers

  frames, bands = job["input_shape"]
  if batch:
    frames = job["options"]["frames"]
  source = x = Input((frames, bands), batch_size=batch, name=job["input"])
  for row in job["layers"]:
    kind = getattr(layers, row["kind"], None)
    if kind is None:
      raise ValueError(f"layer kind must be one of Keras'; got {row['kind']!r}")
    x = kind(name=row["name"], **row["config"])(x)
  return Model(source, x)


def variables(model, keys) -> dict:
  """`{"layer/weight": variable}` of the keys, inside wrappers too."""
  found = {}
  for layer in model.layers:
    name = layer.name
    for wrapper in _WRAPPERS:
      name = name.removeprefix(wrapper)
    for variable in layer.weights:
      last = variable.name.split("/")[-1].split(":")[0]
      key = f"{name}/{last.removeprefix('depthwise_')}"
      if key in keys:
        found[key] = variable
  return found


def assign(model, weights) -> None:
  """Sets the weights by name; all of the model's must be there."""
  found = variables(model, weights)
  if len(found) != len(model.weights) or len(found) != len(weights):
    raise ValueError(
      f"weights must fit the layer table; got {len(weights)} for "
      f"{len(model.weights)}, {len(found)} of the same name"
    )
  for key, variable in found.items():
    variable.assign(weights[key])


def freeze_norms(model) -> None:
  """Their statistics stay: those of a batch would ruin a trained network."""
  from tf_keras.layers import BatchNormalization

  for layer in model.layers:
    inner = getattr(layer, "layer", layer)
    if isinstance(inner, BatchNormalization):
      layer.trainable = inner.trainable = False


# ---- methods: (network, steps, options) -> wrapped, strip or None ------------


def _carry(network, steps, options):
  return network, lambda model: model


def _qat(network, steps, options):
  import tensorflow_model_optimization as tfmot

  return tfmot.quantization.keras.quantize_model(network), None


def _prune(network, steps, options):
  import tensorflow_model_optimization as tfmot

  sparsity = tfmot.sparsity.keras
  # The masks grow in the first half; the rest of the training heals.
  every = max(1, steps // 2 // 20)
  schedule = sparsity.PolynomialDecay(
    initial_sparsity=0.0,
    final_sparsity=options["sparsity"],
    begin_step=0,
    end_step=max(1, steps // 2 // every) * every,
    frequency=every,
  )
  wrapped = sparsity.prune_low_magnitude(network, schedule)
  return wrapped, sparsity.strip_pruning


def _cluster(network, steps, options):
  import tensorflow_model_optimization as tfmot

  clustering = tfmot.clustering.keras
  wrapped = clustering.cluster_weights(
    network,
    number_of_clusters=options["clusters"],
    cluster_centroids_init=(clustering.CentroidInitialization.KMEANS_PLUS_PLUS),
  )
  return wrapped, clustering.strip_clustering


METHODS = {"carry": _carry, "qat": _qat, "prune": _prune, "cluster": _cluster}


# ---- training ----------------------------------------------------------------


def train(model, job, windows, method, learns_ranges) -> list[float]:
  """Towards the float network's scores; the loss of each epoch."""
  import tensorflow as tf
  import tf_keras

  options = job["options"]
  log_mel, target = windows
  size = options["batch_size"]
  if learns_ranges:
    # Before they know the ranges, the roundings would mislead the gradients.
    forward = tf.function(lambda x: model(x, training=True))
    for _ in range(options["range_passes"]):
      for first in range(0, len(log_mel), size):
        forward(tf.constant(log_mel[first : first + size]))
  if not options["epochs"]:
    return []
  callbacks = []
  if method == "prune":
    import tensorflow_model_optimization as tfmot

    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
  model.compile(
    tf_keras.optimizers.Adam(options["learning_rate"]),
    loss=_event_loss if job["output"] == "events" else _score_loss,
  )
  history = model.fit(
    log_mel,
    target,
    batch_size=size,
    epochs=options["epochs"],
    verbose=2,
    callbacks=callbacks,
  )
  return [float(value) for value in history.history["loss"]]


def _score_loss(target, score):
  """Cross-entropy with soft targets."""
  import tensorflow as tf

  score = tf.clip_by_value(score, _EPSILON, 1 - _EPSILON)
  loss = target * tf.math.log(score) + (1 - target) * tf.math.log(1 - score)
  return -loss


def _event_loss(target, score):
  """The same; start and stop count as far as the target is present.

  `[batch, cells, classes, 3 * slots]`, slot-major (presence, start, stop).
  """
  import tensorflow as tf

  present = target[..., ::3]
  ones = tf.ones_like(present)
  weight = tf.stack([ones, present, present], axis=-1)
  return _score_loss(target, score) * tf.reshape(weight, tf.shape(target))


# ---- the file ----------------------------------------------------------------


def converted(model, job, *, quantized) -> bytes:
  """The `.tflite`, with the names of the job in its signature."""
  import tensorflow as tf

  module = tf.Module()
  module.weights = model.variables
  spec = tf.TensorSpec(model.inputs[0].shape, tf.float32, name=job["input"])
  module.serve = tf.function(
    lambda x: {job["output"]: model(x, training=False)}, input_signature=[spec]
  )
  with tempfile.TemporaryDirectory() as folder:
    tf.saved_model.save(
      module, folder, signatures={"serving_default": module.serve}
    )
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantized:
      converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def versions() -> dict:
  import importlib.metadata

  names = ("tensorflow", "tf_keras", "tensorflow-model-optimization", "numpy")
  return {
    "versions": {name: importlib.metadata.version(name) for name in names}
  }


def main(arguments) -> int:
  """0, or MISSING_PACKAGE; what else goes wrong is raised."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  os.environ["TF_USE_LEGACY_KERAS"] = "1"
  try:
    import tensorflow_model_optimization  # noqa: F401
  except ImportError as error:
    print(f"missing package: {error}", file=sys.stderr)
    return MISSING_PACKAGE
  (folder,) = arguments
  run(folder)
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
