"""Coral's `edgetpu_compiler`, where it is installed.

It is closed, x86-64 Debian only, and leaves what it cannot map to the CPU
without an error: hence the count of mapped operators.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

COMPILER = "edgetpu_compiler"

_MAPPED = "Mapped to Edge TPU"


class Compiled(NamedTuple):
  """What the compiler made.

  Attributes:
    path: the file for the Edge TPU.
    mapped, total: operators that it runs, and all.
    operators: `[(name, count, status)]`, the compiler's table.
    version: of the compiler.
  """

  path: Path
  mapped: int
  total: int
  operators: tuple[tuple[str, int, str], ...]
  version: str


def compile(path, folder=None) -> Compiled | None:
  """Runs `edgetpu_compiler`; None where it is not on PATH.

  Args:
    path: the `.tflite` that `check` passed.
    folder: for `<stem>_edgetpu.tflite` and its log; default that of `path`.

  Raises:
    ValueError: the compiler fails; its last line.
  """
  program = shutil.which(COMPILER)
  if program is None:
    return None
  path = Path(path)
  folder = Path(folder or path.parent)
  done = subprocess.run(
    [program, "--show_operations", "--out_dir", folder, path],
    capture_output=True,
    text=True,
  )
  made = folder / f"{path.stem}_edgetpu.tflite"
  log = done.stdout + done.stderr
  if done.returncode or not made.is_file():
    lines = [line for line in log.splitlines() if line.strip()]
    raise ValueError(
      f"{COMPILER} must make {made.name}; exit code {done.returncode}, "
      f"{lines[-1].strip() if lines else 'no output'}"
    )
  return parse_log(log, made)


def parse_log(log: str, path) -> Compiled:
  """The table that `edgetpu_compiler --show_operations` prints."""
  found = re.search(r"Edge TPU Compiler version (\S+)", log)
  _, _, table = log.partition("Operator ")
  rows = re.findall(r"^(\w+)\s+(\d+)\s+(\S.*?)\s*$", table, re.MULTILINE)
  operators = tuple((name, int(count), status) for name, count, status in rows)
  return Compiled(
    path=Path(path),
    mapped=sum(count for _, count, status in operators if status == _MAPPED),
    total=sum(count for _, count, _ in operators),
    operators=operators,
    version=found[1] if found else "",
  )
