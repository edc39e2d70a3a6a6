"""Files that others publish: fetched once, checked by size and sha256."""

import os
import pathlib
from dataclasses import dataclass

from yoho_tf import files


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
  import hashlib
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
