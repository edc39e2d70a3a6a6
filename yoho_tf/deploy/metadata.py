"""Files that travel inside a `.tflite` or `.keras`: class map and params.

A `.keras` is a ZIP; in a `.tflite` an uncompressed one stands behind the
flatbuffer. LiteRT ignores the tail; `unzip -l model.tflite` and `zipfile` read
it. No TensorFlow here.
"""

import io
import pathlib
import zipfile

from yoho_tf.params import to_json

CLASS_MAP = "class_map.csv"
PARAMS = "params.json"
LABELS = "labels.txt"

_TEXTS = (".csv", ".json", ".txt")

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes


def texts(params, class_map) -> dict[str, str]:
  """What travels with a model: `{name: text}`."""
  return {
    LABELS: "".join(f"{label}\n" for label in params.labels),
    CLASS_MAP: class_map.text(),
    PARAMS: to_json(params),
  }


def pack(model: bytes, files: dict[str, str]) -> bytes:
  """The model's bytes with `{name: text}` inside."""
  buffer = io.BytesIO(model)
  buffer.seek(0, io.SEEK_END)
  # Mode "a" on a buffer that is no archive appends one behind it.
  with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
    for name, text in files.items():
      archive.writestr(zipfile.ZipInfo(name, _EPOCH), text)
  return buffer.getvalue()


def read(path) -> dict[str, str]:
  """`{name: text}` of the texts inside; empty where there are none.

  Raises:
    ValueError: the files are damaged.
  """
  path = pathlib.Path(path)
  if not zipfile.is_zipfile(path):
    return {}
  try:
    with zipfile.ZipFile(path) as archive:
      names = [n for n in archive.namelist() if n.endswith(_TEXTS)]
      return {n: archive.read(n).decode("utf-8") for n in names}
  except (zipfile.BadZipFile, UnicodeDecodeError) as error:
    raise ValueError(
      f"model must hold whole files behind it; got {str(path)!r} ({error})"
    ) from None
