"""From a path to a backend: what a file is, its content says."""

import os
import pathlib
import re

from yoho_tf.deploy import composed, manifest, metadata, stateful
from yoho_tf.deploy.backends import (
  KerasNetwork,
  LiteRt,
  OnnxFile,
  SavedModel,
  need,
  refused,
)
from yoho_tf.labels import did_you_mean
from yoho_tf.params import from_json

EDGE_TPU = "libedgetpu.so.1"
_EDGE_TPU_OPERATOR = b"edgetpu-custom-op"


def open_file(path, *, backend=None, num_threads=None, names=None):
  """What `Runtime.open` takes -> (backend, texts inside, facts)."""
  path = os.fspath(path)
  kind = kind_of(path)
  network, texts, used = _OPENERS[kind](
    path, backend=backend, num_threads=num_threads
  )
  if names is not None or not getattr(network, "has_signature", True):
    names = composed.tensor_names(network, path, names)
    network = composed.Renamed(network, names)
  elif stateful.is_stateful(network):
    params = from_json(texts[metadata.PARAMS])
    network = stateful.StepNetwork(network, params)
  facts = {"path": path, "format": kind, "backend": used}
  return network, texts, {**facts, "num_threads": num_threads}


def kind_of(path) -> str:
  """ "tflite", "onnx", "saved_model", "keras" or "manifest", by content.

  A name's ending decides where the content says nothing, so that its own
  backend can say what is wrong.

  Raises:
    ValueError: something else.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    for name, kind in (
      ("saved_model.pb", "saved_model"),
      (manifest.NAME, "manifest"),
    ):
      if (path / name).is_file():
        return kind
    raise ValueError(
      f"model must be a folder with saved_model.pb or {manifest.NAME}; got "
      f"{str(path)!r}"
    )
  if not path.is_file():
    raise ValueError(f"model must be a file; got {str(path)!r}")
  with open(path, "rb") as file:
    head = file.read(8)
  if head[4:8] == b"TFL3":
    return "tflite"
  if head[:4] == b"PK\x03\x04":
    return "keras"
  if head.lstrip()[:1] == b"{":
    return "manifest"
  if head[:1] == b"\x08" and path.suffix != ".tflite":  # ir_version comes first
    return "onnx"
  kind = path.suffix.lstrip(".")
  if kind in ("tflite", "onnx", "keras"):
    return kind
  raise ValueError(
    "model must be a .tflite, .onnx, .keras, a folder with saved_model.pb or a "
    f"{manifest.NAME}; got {str(path)!r}"
  )


def _only(backend, allowed, kind):
  if backend not in (None, *allowed):
    raise ValueError(
      f"backend of a {kind} {did_you_mean(str(backend), allowed)}"
    )
  return allowed[0]


def _open_tflite(path, *, backend, num_threads):
  texts = metadata.read(path)
  if not texts:
    with open(path, "rb") as file:
      data = file.read()
    ours = "|".join(map(re.escape, (metadata.LABELS, metadata.PARAMS)))
    if re.search(rb"PK\x03\x04.{26}(%s)" % ours.encode(), data, re.DOTALL):
      raise ValueError(
        f"model must be whole, with its labels at the end; got {path!r}, which "
        "was cut"
      )
  options = {"num_threads": num_threads}
  if backend in (None, "litert"):
    network = LiteRt(path, **options)
  elif backend == "tf.lite":
    network = LiteRt(path, module="tensorflow", **options)
  else:
    library = EDGE_TPU if backend == "edgetpu" else backend
    network = LiteRt(path, delegate=library, **options)
  return network, texts, backend or "litert"


def _open_onnx(path, *, backend, num_threads):
  provider = backend or "CPUExecutionProvider"
  network = OnnxFile(path, num_threads=num_threads, provider=provider)
  return network, network.texts, provider


def _open_saved_model(path, *, backend, num_threads):
  used = _only(backend, ["tensorflow"], "SavedModel")
  texts = {
    file.name: file.read_text(encoding="utf-8")
    for file in sorted(pathlib.Path(path, "assets").glob("*"))
    if file.suffix in (".csv", ".json", ".txt")
  }
  return SavedModel(path), texts, used


def _open_keras(path, *, backend, num_threads):
  keras = need("keras", what=f"model {path!r}", extra="[train]")
  used = _only(backend, [keras.backend.backend()], ".keras")
  from yoho_tf.layers import conv, frontend  # noqa: F401 (registers layers)

  try:
    model = keras.saving.load_model(path, compile=False)
    # What is before the sigmoid is for training.
    outputs = [n for n in model.output if not n.endswith("_logits")]
  except Exception as error:  # zipfile's, h5py's and Keras' own, pages long
    raise refused(path, "a .keras file that Keras loads", error) from None
  return KerasNetwork(model, outputs=outputs), metadata.read(path), used


def _open_manifest(path, *, backend, num_threads):
  if os.path.isdir(path):
    path = os.path.join(path, manifest.NAME)
  files, texts = manifest.read(path)
  parts = []
  for file in files:
    own = backend
    if backend == "edgetpu" and _EDGE_TPU_OPERATOR not in file.read_bytes():
      own = None
    parts.append(open_file(file, backend=own, num_threads=num_threads))
  networks, texts_of, infos = zip(*parts, strict=True)
  for own in reversed(texts_of):  # the first part knows what goes in
    texts.update(own)
  used = " + ".join(info["backend"] for info in infos)
  return composed.Chain(networks), texts, used


_OPENERS = {
  "tflite": _open_tflite,
  "onnx": _open_onnx,
  "saved_model": _open_saved_model,
  "keras": _open_keras,
  "manifest": _open_manifest,
}
