"""Writing files whole or not at all."""

import contextlib
import hashlib
import os
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
  """Yields a temporary path that takes the place of `path` at the end.

  The temporary file lies in the same folder and keeps the name's ending. A
  failure keeps the old file and leaves nothing behind. A link is followed; a
  pipe or device is yielded itself.
  """
  path = Path(path)
  if not path.parent.is_dir():
    raise FileNotFoundError(f"path must be in an existing folder, got {path}")
  if path.exists() and not path.is_file():
    yield path
    return
  path = path.resolve()
  # 50 characters have at most 200 of the 255 bytes of a name.
  part = path.with_name(f".{os.getpid()}.part.{path.name[-50:]}")
  try:
    yield part
    os.replace(part, path)
  except BaseException:
    part.unlink(missing_ok=True)
    raise


def replace_bytes(path, data: bytes) -> None:
  """Writes a file, whole or not at all."""
  with replacing(path) as part:
    part.write_bytes(data)


def replace_text(path, text: str) -> None:
  """Writes a UTF-8 file, whole or not at all; line ends stay as they are."""
  with (
    replacing(path) as part,
    open(part, "w", encoding="utf-8", newline="") as file,
  ):
    file.write(text)


def sha256(path) -> str:
  """Hexadecimal digest of a file."""
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    for block in iter(lambda: file.read(1 << 20), b""):
      digest.update(block)
  return digest.hexdigest()
