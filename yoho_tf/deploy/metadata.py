"""Files that travel inside a `.tflite`: class map and params.

They stand in an uncompressed ZIP behind the flatbuffer. LiteRT ignores the
tail; `unzip -l model.tflite` and `zipfile` read it. No TensorFlow here.
"""

import io
import pathlib
import zipfile

CLASS_MAP = "class_map.csv"
PARAMS = "params.json"
LABELS = "labels.txt"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes


def pack(flatbuffer: bytes, files: dict[str, str]) -> bytes:
  """The flatbuffer with `{name: text}` appended as a ZIP."""
  buffer = io.BytesIO(flatbuffer)
  buffer.seek(0, io.SEEK_END)
  # Mode "a" on a buffer that is no archive appends one behind it.
  with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
    for name, text in files.items():
      archive.writestr(zipfile.ZipInfo(name, _EPOCH), text)
  return buffer.getvalue()


def read(path) -> dict[str, str]:
  """`{name: text}` of the files inside; empty where there are none.

  Raises:
    ValueError: the files are damaged.
  """
  path = pathlib.Path(path)
  if not zipfile.is_zipfile(path):
    return {}
  try:
    with zipfile.ZipFile(path) as archive:
      return {n: archive.read(n).decode("utf-8") for n in archive.namelist()}
  except (zipfile.BadZipFile, UnicodeDecodeError) as error:
    raise ValueError(
      f"model must hold whole files behind it; got {str(path)!r} ({error})"
    ) from None
