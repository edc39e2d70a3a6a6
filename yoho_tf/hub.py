"""Models by name: bundled -> cache -> published URL, checked by sha256.

    yoho_tf.load("yoho_everyday").predict("clip.wav")

Bundled models are `.tflite` files in `weights/`: no TensorFlow, no Keras.
YAMNet's files are published by Google, never bundled; `weights=` takes a file
of one's own instead of the URL.
"""

import json
import os
import pathlib
import zipfile
from dataclasses import replace

from yoho_tf import weights_h5, weights_yoho_h5
from yoho_tf.labels import ClassMap, did_you_mean
from yoho_tf.params import PRESETS, YohoParams, override
from yoho_tf.published import (  # noqa: F401 (a part of this module's API)
  PUBLISHED,
  Published,
  cache_folder,
  fetch,
)

WEIGHTS = pathlib.Path(__file__).resolve().parent / "weights"


# What may change without training again; `_load_keras` builds with the others.
FREE_SETTINGS = (
  "postprocess.",
  "inference.",
  "threshold",
  "tail",
  "aggregation",
  "patch_hop_seconds",
)

INT8 = ".int8"  # yoho_everyday.int8 is the 8-bit twin of yoho_everyday
ARTEFACTS = (".tflite", ".onnx", ".keras", ".json")  # and SavedModel's folder

ALIASES = {"yamnet": "yamnet_audioset"}


def bundled() -> dict[str, dict]:
  """`{name: facts}` of the models inside the package (their JSON files).

  The 8-bit twin of a network shares its facts, but for its size.
  """
  found = {}
  for path in sorted(WEIGHTS.glob("*.json")):
    facts = json.loads(path.read_text(encoding="utf-8"))
    found[path.stem] = facts
    twin = path.with_name(f"{path.stem}{INT8}.tflite")
    if twin.is_file():
      found[twin.stem] = {
        **facts,
        "name": twin.stem,
        "bytes": twin.stat().st_size,
        "description": f"the same in 8 bits: {facts['description']}",
      }
  return found


def list_models() -> list[str]:
  """Names that `load` takes: bundled models first, then YAMNet's."""
  return [*bundled(), *ALIASES, "yamnet_audioset", "yamnet_audioset_relu6"] + [
    "yamnet_lite"
  ]


def load(
  name="yoho_everyday",
  *,
  weights=None,
  family=None,
  settings: dict | None = None,
  num_threads: int | None = None,
):
  """A model that predicts.

  Args:
    name: one of `list_models()`, a preset (with `weights`), or the path of
      what this package wrote: a `.tflite`, `.onnx` or `.keras`, the folder of
      a SavedModel, a `manifest.json`, or the run folder of `yoho train` (its
      `model.tflite`, else its `model.keras`).
    weights: a file instead of the bundled or published one: YAMNet's 110
      datasets (`.h5`), its Lite model; for a YOHO preset `.weights.h5`, or
      the 134 datasets of YOHO's authors (any other `.h5`).
    family: "relu" or "relu6", for YAMNet weights that are not recognised.
    settings: dotted overrides, e.g. `{"postprocess.threshold": 0.3}`; with
      `weights` of a YOHO preset also what they were trained with, e.g.
      `{"baseline": "crnn"}`.
    num_threads: for LiteRT and ONNX Runtime.

  Returns:
    `predictor.YohoModel` or `predictor.YamnetModel`.

  Raises:
    ValueError: an unknown name, a file that does not fit, a missing extra.
    OSError: a published file cannot be fetched.
  """
  name = os.fspath(name)
  if os.path.isdir(name):
    name = of_folder(name)
  if os.path.isdir(name) or name.endswith(ARTEFACTS):
    model = _load_artefact(name, name, num_threads)
  elif name in bundled() and weights is None:
    model = _load_artefact(WEIGHTS / f"{name}.tflite", name, num_threads)
  elif name == "yamnet_lite":
    path = weights or fetch("yamnet_lite.tflite")
    model = _load_artefact(path, name, num_threads)
  elif name in ALIASES or name in PRESETS:
    model = _load_keras(name, weights, family, settings or {})
  else:
    raise ValueError(f"model {did_you_mean(name, list_models())}")
  return configured(model, settings or {})


def configured(model, settings: dict):
  """The same network with `settings`, as `load` takes them.

  Raises:
    ValueError: an unknown setting, or one that would need training again.
  """
  params = override(_global_first(model.params, settings), settings)
  for key in settings:
    if not key.startswith(FREE_SETTINGS) and params != model.params:
      raise ValueError(
        f"setting {key!r} is part of the trained network {model.name!r}; free "
        f"are {', '.join(FREE_SETTINGS)}"
      )
  return model.with_params(params)


def _global_first(params, settings):
  """A value given for all labels replaces what was tuned per label."""
  if not isinstance(params, YohoParams):
    return params
  keys = {
    key.removeprefix("postprocess.")
    for key in settings
    if key.startswith("postprocess.") and key.count(".") == 1
  }
  post = params.postprocess
  per_label = {
    label: {k: v for k, v in values.items() if k not in keys}
    for label, values in post.per_label.items()
  }
  return replace(params, postprocess=replace(post, per_label=per_label))


def _load_artefact(path, name, num_threads):
  from yoho_tf import predictor
  from yoho_tf.deploy import metadata, runtime, waveforms

  opened = runtime.Runtime.open(path, num_threads=num_threads)
  params = opened.params
  if params is None:
    params = _lite_params(opened)
  if params is None:
    raise ValueError(
      f"model must be an artefact with {metadata.PARAMS} inside, or YAMNet's "
      f"Lite model; got {os.fspath(path)!r}"
    )
  kind = (
    predictor.YohoModel
    if isinstance(params, YohoParams)
    else predictor.YamnetModel
  )
  network, params = waveforms.network(opened, params)
  return kind(name, params, network)


def _lite_params(opened):
  """Of the Lite model that Google publishes: labels inside, no params."""
  params = PRESETS["yamnet_audioset_relu6"]
  shapes = opened.input_shapes
  if shapes != {"waveform": (params.min_samples,)} or not opened.labels:
    return None
  labels = opened.labels
  return replace(params, labels=labels, num_classes=len(labels))


def of_folder(folder) -> str:
  """The model in a folder: a SavedModel, a chain, or of a run."""
  if os.path.isfile(os.path.join(folder, "saved_model.pb")):
    return folder
  for name in ("manifest.json", "model.tflite", "model.keras"):
    path = os.path.join(folder, name)
    if os.path.isfile(path):
      return path
  raise ValueError(
    "model must be a name, a file, or a folder with saved_model.pb, "
    f"manifest.json, model.tflite or model.keras; got {folder!r}"
  )


def _load_keras(name, weights, family, settings):
  preset = ALIASES.get(name, name)
  params = PRESETS[preset]
  if isinstance(params, YohoParams):
    return _load_yoho_keras(name, override(params, settings), weights)
  from yoho_tf import predictor
  from yoho_tf.deploy import runtime

  yamnet = _with_keras(name, "yoho_tf.models.yamnet")
  if weights is None:
    if params.activation == "relu6":
      weights = _relu6_weights()
    else:
      weights = fetch("yamnet.h5")
  if not os.path.isfile(weights):
    raise ValueError(f"weights must be a file; got {os.fspath(weights)!r}")
  if name in ALIASES:  # "yamnet" takes the family of the weights it is given
    known = weights_h5.known_family(weights) or family
    if known in ("relu", "relu6"):
      params = replace(params, activation=known)
  class_map = _class_map_beside(weights)
  params = replace(params, labels=class_map.names, num_classes=len(class_map))
  hop = {k: v for k, v in settings.items() if k == "patch_hop_seconds"}
  params = override(params, hop)
  model = yamnet.build(params)
  weights_h5.load_weights(
    model, weights, activation=params.activation, family=family
  )
  return predictor.YamnetModel(name, params, runtime.KerasNetwork(model))


def _load_yoho_keras(name, params, weights):
  if weights is None:
    raise ValueError(
      f"weights must be given for {name!r}: no trained ones are published; "
      "`yoho train` makes them"
    )
  if not os.path.isfile(weights):
    raise ValueError(f"weights must be a file; got {os.fspath(weights)!r}")
  yoho = _with_keras(name, "yoho_tf.models.yoho")
  network = yoho.build(replace(params, input="log_mel"))
  if os.fspath(weights).endswith(".weights.h5"):
    _load_own_weights(network, weights)
  elif params.output == "events":
    weights_yoho_h5.load_weights(network, weights)
  else:
    raise ValueError(
      f"weights of the baseline {params.baseline} must be a .weights.h5; "
      f"got {os.fspath(weights)!r}"
    )
  return _yoho_of_keras(name, network, params)


def _yoho_of_keras(name, network, params):
  """A model that predicts by a Keras network with `log_mel` input."""
  from yoho_tf import predictor
  from yoho_tf.deploy import runtime
  from yoho_tf.layers.frontend import log_mel_layer

  # Windows come padded to whole cells already: the front end as it is.
  front = log_mel_layer(params.frontend)
  run = runtime.KerasNetwork(network)
  return predictor.YohoModel(
    name, params, lambda inputs: run({"log_mel": front(inputs["waveform"])})
  )


def _load_own_weights(network, path):
  """Keras' own format; its errors, pages long, as one line."""
  try:
    network.load_weights(path)
  except (ValueError, OSError, KeyError) as error:
    reason = str(error).strip().splitlines()[0]
    raise ValueError(
      f"weights must fit the network that the preset and its settings "
      f"describe; got {os.fspath(path)!r} ({reason})"
    ) from None


def initial_weights(name: str) -> str | None:
  """The bundled `.weights.h5` of a preset, to train on from, or None."""
  path = WEIGHTS / f"{name}.weights.h5"
  return str(path) if path.is_file() else None


def _with_keras(name, module):
  import importlib

  try:
    importlib.import_module("keras")
  except ImportError:
    raise ValueError(
      f"model {name!r} runs through Keras, which is not installed; "
      "pip install 'yoho_tf[train]'"
    ) from None
  return importlib.import_module(module)


def _class_map_beside(weights) -> ClassMap:
  """YAMNet's class map: beside the weights, else cached or published."""
  beside = pathlib.Path(weights).with_name("yamnet_class_map.csv")
  path = beside if beside.is_file() else fetch("yamnet_class_map.csv")
  return ClassMap.read(path)


def _relu6_weights():
  """Family relu6 is published as a Lite model: converted once, and cached."""
  path = cache_folder() / "yamnet_relu6.h5"
  if not path.is_file():
    weights_h5.lite_to_h5(fetch("yamnet_lite.tflite"), path)
  return path


def main(argv=None) -> int:
  """`python -m yoho_tf.hub lite-to-h5 IN.tflite OUT.h5`."""
  import sys

  argv = sys.argv[1:] if argv is None else argv
  if len(argv) != 3 or argv[0] != "lite-to-h5":
    print(f"usage: {main.__doc__.strip('`. ')}", file=sys.stderr)
    return 2
  try:
    weights_h5.lite_to_h5(argv[1], argv[2])
  except (ValueError, OSError, zipfile.BadZipFile) as error:
    print(f"hub: {error}", file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  raise SystemExit(main())
