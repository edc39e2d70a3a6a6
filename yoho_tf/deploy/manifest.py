"""`manifest.json`: several artefacts that run one after the other.

    {"chain": [{"file": "x.frontend.tflite", "sha256": "...",
                "inputs": {"waveform": [1, 15600]},
                "outputs": {"log_mel": [1, 96, 64]}},
               {"file": "x.edgetpu.tflite", ...}]}

Outputs feed the inputs of the same name of the parts behind. Files lie beside
the manifest. `texts` holds what travels in them (class map, labels, params): a
compiler for an accelerator may drop it. No TensorFlow here.
"""

import json
import pathlib

from yoho_tf import files

NAME = "manifest.json"
_RULE = 'hold {"chain": [{"file": name, "sha256": digest}, ...]}'


def write(path, parts) -> None:
  """Writes the manifest of a chain; what else an older one says stays.

  Args:
    path: the manifest; the parts lie in the same folder.
    parts: file names or paths, in the order they run.

  Raises:
    ValueError: a part that lies elsewhere, cannot be opened, or lacks an input.
  """
  from yoho_tf.deploy import runtime

  path = pathlib.Path(path)
  rows, texts = [], {}
  for part in map(pathlib.Path, parts):
    file = path.parent / part.name
    if part != pathlib.Path(part.name) and part.resolve() != file.resolve():
      raise ValueError(
        f"parts must lie beside the manifest, in {path.parent}; got {part}"
      )
    opened = runtime.Runtime.open(file)
    texts.update(opened.texts)
    rows.append(
      {
        "file": part.name,
        "sha256": files.sha256(file),
        "inputs": {n: list(t.shape) for n, t in opened.inputs.items()},
        "outputs": {n: list(t.shape) for n, t in opened.outputs.items()},
      }
    )
  body = _load(path) if path.is_file() else {}
  body["chain"] = rows
  body["texts"] = texts or body.get("texts", {})
  files.replace_text(path, json.dumps(body, indent=2) + "\n")


def read(path) -> tuple[list[pathlib.Path], dict[str, str]]:
  """The files of a chain, in order, their digests checked; and the texts.

  Raises:
    ValueError: no such manifest, a part that is absent, elsewhere or changed.
  """
  path = pathlib.Path(path)
  body = _load(path)
  try:
    parts = [(row["file"], row["sha256"]) for row in body["chain"]]
    parts[0]
    texts = {str(n): str(text) for n, text in body.get("texts", {}).items()}
  except (TypeError, KeyError, IndexError, AttributeError) as error:
    raise _other(path, error) from None
  found = []
  for name, digest in parts:
    file = path.parent / str(name)
    if file.name != name or not file.is_file():
      raise ValueError(f"{path}: parts must be files beside it; got {name!r}")
    actual = files.sha256(file)
    if actual != digest:
      raise ValueError(
        f"{path}: {name} must have sha256 {digest}; got {actual}"
      )
    found.append(file)
  return found, texts


def _load(path) -> dict:
  try:
    body = json.loads(path.read_text(encoding="utf-8"))
    return {**body}
  except (ValueError, TypeError) as error:
    raise _other(path, error) from None


def _other(path, error):
  return ValueError(
    f"{path}: must {_RULE}; got another text ({type(error).__name__})"
  )
