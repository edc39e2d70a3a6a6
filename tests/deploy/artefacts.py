"""Every artefact of a tiny YOHO and a tiny YAMNet, for the deploy tests.

Needs TensorFlow; the ONNX files need the extra [onnx].
"""

import dataclasses
import functools
import pathlib
import tempfile

import numpy as np

from tests import small
from yoho_tf.labels import ClassMap
from yoho_tf.layers import mel
from yoho_tf.params import YamnetParams

YAMNET = YamnetParams(
  width=0.25, num_classes=5, labels=tuple("abcde"), activation="relu6"
)
CLASS_MAPS = {
  "yoho": ClassMap.bundled("everyday"),
  "yamnet": ClassMap(YAMNET.labels),
}
PARAMS = {"yoho": small.PARAMS, "yamnet": YAMNET}


@functools.cache
def network(system):
  """With `log_mel` input; scores come out high and low."""
  if system == "yoho":
    return small.network()
  from yoho_tf.models import yamnet

  model = yamnet.build(dataclasses.replace(YAMNET, input="log_mel"))
  small.draw_kernels(model)
  kernel, bias = model.get_layer("logits").get_weights()
  model.get_layer("logits").set_weights([kernel * 10, bias])
  return model


@functools.cache
def whole(system):
  """The Keras model on waveforms: what every artefact must equal."""
  from yoho_tf.deploy import keras_file

  return keras_file.rebuilt(network(system), PARAMS[system], input="waveform")


def expected(system, waveforms):
  """`[batch, samples]` -> `{name: array}` by Keras."""
  outputs = whole(system)({"waveform": waveforms})
  return {n: np.asarray(x) for n, x in outputs.items() if "logits" not in n}


def representative(system):
  """Waveforms for int8, as `litert.tflite` takes them."""
  params = PARAMS[system]
  size = 25 * 5120 + 240 if system == "yoho" else params.min_samples
  return [
    small.signal(size / small.RATE, seed=seed)[:size] for seed in range(8)
  ]


def options(system):
  return {"params": PARAMS[system], "class_map": CLASS_MAPS[system]}


@functools.cache
def _folder():
  return tempfile.TemporaryDirectory(prefix="yoho_artefacts_")


@functools.cache
def made(system, kind):
  """Path of the artefact `kind` of KINDS, written once per process.

  Copy it before you change it.
  """
  path = pathlib.Path(_folder().name, f"{system} {kind}".replace(" ", "_"))
  return KINDS[kind](system, path)


def _tflite(system, path, **how):
  from yoho_tf.deploy import litert

  if how.get("precision") == "int8":
    how["representative"] = representative(system)
  path = path.with_suffix(".tflite")
  data = litert.tflite(network(system), **options(system), **how)
  path.write_bytes(data)
  return path


def _onnx(system, path, **how):
  from yoho_tf.deploy import onnx

  path = path.with_suffix(".onnx")
  onnx.write(network(system), path=path, **options(system), **how)
  return path


def _keras(system, path):
  from yoho_tf.deploy import keras_file

  path = path.with_suffix(".keras")
  keras_file.write(network(system), path=path, **options(system))
  return path


def _saved_model(system, path):
  from yoho_tf.deploy import saved_model

  saved_model.write(network(system), folder=path, **options(system))
  return path


def _chain(system, path):
  """The float front end and an int8 network, as on an Edge TPU."""
  from yoho_tf.deploy import litert, manifest
  from yoho_tf.layers.frontend import log_mel_layer

  path.mkdir()
  params = PARAMS[system]
  samples, _ = litert.lengths(params)
  front = log_mel_layer(params.frontend)
  parts = [path / "front.tflite"]
  parts[0].write_bytes(
    litert.convert(
      front, [], shape=[1, samples], name="waveform", output="log_mel"
    )
  )
  how = {"precision": "int8", "input": "log_mel", "io": "int8"}
  parts.append(_tflite(system, path / "network", **how))
  manifest.write(path / manifest.NAME, parts)
  return path / manifest.NAME


KINDS = {
  "keras": _keras,
  "saved_model": _saved_model,
  "onnx": _onnx,
  "onnx batch": functools.partial(_onnx, dynamic_batch=True),
  "tflite": functools.partial(_tflite, precision="float32"),
  "tflite float16": functools.partial(_tflite, precision="float16"),
  "tflite int8": functools.partial(_tflite, precision="int8"),
  "chain int8": _chain,
}


def log_mel(waveform):
  """YAMNet's front end, float64 numpy."""
  return mel.log_mel(waveform, YAMNET.frontend)
