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
from dataclasses import dataclass, replace

from yoho_tf import files, weights_h5, weights_yoho_h5
from yoho_tf.labels import ClassMap, did_you_mean
from yoho_tf.params import PRESETS, YohoParams, from_json, override

WEIGHTS = pathlib.Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Published:
  """A file that others publish: where, how long, which digest."""

  url: str
  num_bytes: int
  sha256: str


# yamnet.md section 5.
PUBLISHED = {
  "yamnet.h5": Published(
    "https://storage.googleapis.com/audioset/yamnet.h5",
    15_296_092,
    "13c3308955bbfaef262f175ac9c40e47b134573a93984f009220dd7cc12a1744",
  ),
  "yamnet_lite.tflite": Published(
    "https://storage.googleapis.com/tfhub-lite-models/google/lite-model/"
    "yamnet/classification/tflite/1.tflite",
    4_126_810,
    "10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
  ),
  "yamnet_class_map.csv": Published(
    "https://raw.githubusercontent.com/tensorflow/models/master/research/"
    "audioset/yamnet/yamnet_class_map.csv",
    14_096,
    "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
  ),
}

# What may change without training again; `_load_keras` builds with the others.
FREE_SETTINGS = (
  "postprocess.",
  "inference.",
  "threshold",
  "tail",
  "aggregation",
  "patch_hop_seconds",
)

ALIASES = {"yamnet": "yamnet_audioset"}


def bundled() -> dict[str, dict]:
  """`{name: facts}` of the models inside the package (their JSON files)."""
  return {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(WEIGHTS.glob("*.json"))
  }


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
    name: one of `list_models()`, a preset (with `weights`), or the path of a
      `.tflite` that this package wrote.
    weights: a file instead of the bundled or published one: YAMNet's 110
      datasets (`.h5`), its Lite model; for a YOHO preset `.weights.h5`, or
      the 134 datasets of YOHO's authors (any other `.h5`).
    family: "relu" or "relu6", for YAMNet weights that are not recognised.
    settings: dotted overrides, e.g. `{"postprocess.threshold": 0.3}`; with
      `weights` of a YOHO preset also what they were trained with, e.g.
      `{"baseline": "crnn"}`.
    num_threads: for LiteRT.

  Returns:
    `predictor.YohoModel` or `predictor.YamnetModel`.

  Raises:
    ValueError: an unknown name, a file that does not fit, a missing extra.
    OSError: a published file cannot be fetched.
  """
  name = os.fspath(name)
  if name.endswith(".tflite"):
    model = _load_tflite(name, name, num_threads)
  elif name in bundled() and weights is None:
    model = _load_tflite(WEIGHTS / f"{name}.tflite", name, num_threads)
  elif name == "yamnet_lite":
    path = weights or fetch("yamnet_lite.tflite")
    model = _load_tflite(path, name, num_threads)
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


def _load_tflite(path, name, num_threads):
  from yoho_tf import predictor
  from yoho_tf.deploy import metadata, runtime

  network = runtime.LiteRt(path, num_threads=num_threads)
  inside = metadata.read(path)
  if metadata.PARAMS in inside:
    params = from_json(inside[metadata.PARAMS])
    kind = (
      predictor.YohoModel
      if isinstance(params, YohoParams)
      else predictor.YamnetModel
    )
    return kind(name, params, network)
  params = PRESETS["yamnet_audioset_relu6"]
  labels = [n for n in inside if n.endswith("label_list.txt")]
  if list(network.input_shapes.values()) == [(params.min_samples,)] and labels:
    rows = inside[labels[0]].splitlines()
    params = replace(params, labels=tuple(rows), num_classes=len(rows))
    return predictor.YamnetModel(name, params, network)
  raise ValueError(
    f"model must be a .tflite with {metadata.PARAMS} inside, or YAMNet's Lite "
    f"model; got {os.fspath(path)!r}"
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
  from yoho_tf import predictor
  from yoho_tf.deploy import runtime

  if weights is None:
    raise ValueError(
      f"weights must be given for {name!r}: no trained ones are published; "
      "`yoho train` makes them"
    )
  if not os.path.isfile(weights):
    raise ValueError(f"weights must be a file; got {os.fspath(weights)!r}")
  yoho = _with_keras(name, "yoho_tf.models.yoho")
  from yoho_tf.layers.frontend import log_mel_layer

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


# ---- published files --------------------------------------------------------


def cache_folder() -> pathlib.Path:
  """`$YOHO_TF_CACHE`, else `yoho_tf` in the user's cache folder; made."""
  folder = os.environ.get("YOHO_TF_CACHE")
  if not folder:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = pathlib.Path(base).expanduser() / "yoho_tf"
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  return folder


def fetch(name: str, *, published=None) -> pathlib.Path:
  """The path of a published file, downloaded once.

  Raises:
    OSError: no connection; names the URL and what to give instead.
    ValueError: a wrong size or digest; the file is kept as `<name>.rejected`.
  """
  import http.client
  import urllib.request

  entry = (published or PUBLISHED)[name]
  path = cache_folder() / name
  if path.is_file() and files.sha256(path) == entry.sha256:
    return path
  try:
    with urllib.request.urlopen(entry.url, timeout=60) as reply:
      data = reply.read(entry.num_bytes + 1)
  except (OSError, http.client.HTTPException) as error:
    reason = getattr(error, "reason", error)
    raise OSError(
      f"{name} must be fetched from {entry.url}, which failed ({reason}); "
      "give a local file instead: --weights PATH"
    ) from None
  import hashlib

  digest = hashlib.sha256(data).hexdigest()
  if digest != entry.sha256 or len(data) != entry.num_bytes:
    rejected = path.with_name(name + ".rejected")
    files.replace_bytes(rejected, data)
    raise ValueError(
      f"{name} must have {entry.num_bytes} bytes and sha256 {entry.sha256}; "
      f"got {len(data)} and {digest}; kept as {rejected}"
    )
  files.replace_bytes(path, data)
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
