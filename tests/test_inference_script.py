"""`python inference.py` as a user starts it: a process of its own."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import small
from tests.conftest import write_wav

pytestmark = pytest.mark.edge
SCRIPT = "inference.py"


@pytest.fixture(scope="module")
def radio(repository):
  return repository / "examples" / "radio.flac"


@pytest.fixture
def run(repository, tmp_path):
  """run(*arguments) -> CompletedProcess, from a folder that is not ours."""

  def run(*arguments, **environment):
    return subprocess.run(
      [sys.executable, repository / SCRIPT, *arguments],
      capture_output=True,
      text=True,
      encoding="utf-8",
      cwd=tmp_path,
      env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )

  return run


def test_results_go_to_stdout_and_the_code_is_0(run, radio, tmp_path):
  done = run(radio)
  assert (done.returncode, done.stderr) == (0, "")
  *table, summary = done.stdout.splitlines()
  assert len(table) > 1 and summary.startswith(f"{radio}: ")
  assert os.listdir(tmp_path) == []  # nothing is written unasked


def test_messages_go_to_stderr_and_the_code_is_1(run, radio, tmp_path):
  write_wav(tmp_path / "in" / "good.wav", small.signal(1))
  (tmp_path / "in" / "bad.wav").write_bytes(b"")
  done = run("in", "missing.wav", radio, "--json", "--output", "out")
  assert done.returncode == 1
  names = [json.loads(x)["filename"] for x in done.stdout.splitlines()]
  assert names == [os.path.join("in", "good.wav"), str(radio)]
  lines = done.stderr.splitlines()
  assert len(lines) == 2 and all(x.startswith("inference.py: ") for x in lines)
  assert "'missing.wav'" in lines[0] and "bad.wav'" in lines[1]
  assert sorted(os.listdir(tmp_path / "out")) == ["good.csv", "radio.csv"]


@pytest.mark.parametrize(
  "arguments",
  [
    [],
    ["x.wav", "y.wav", "--plot", "p.png"],
    ["x.wav", "--format", "nonsense"],
    ["{radio}", "--model", "nonsense"],
    ["{radio}", "--set", "nonsense=1"],
  ],
)
def test_wrong_usage_is_2(arguments, run, radio):
  done = run(*(part.format(radio=radio) for part in arguments))
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr.splitlines()[-1].startswith("inference.py: error: ")
  assert "Traceback" not in done.stderr


def test_neither_tensorflow_nor_keras_nor_pandas_is_loaded(
  repository, radio, tmp_path
):
  code = f"""
import runpy, sys
sys.argv = ["inference.py", {str(radio)!r}, "-q", "-o", {str(tmp_path)!r}]
try:
  runpy.run_path({str(repository / SCRIPT)!r}, run_name="__main__")
except SystemExit as end:
  assert end.code == 0
heavy = "tensorflow keras jax torch pandas matplotlib scipy numba h5py"
print("loaded:", *sorted(set(heavy.split()) & set(sys.modules)))
"""
  done = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=repository,
  )
  assert (done.returncode, done.stderr) == (0, "")
  assert done.stdout.splitlines()[-1] == "loaded:"


def test_it_starts_fast(run, radio):
  """Two seconds are far more than it takes, and TensorFlow takes longer."""
  seconds = []
  for _ in range(3):
    begin = time.perf_counter()
    assert run(radio, "-q").returncode == 0
    seconds.append(time.perf_counter() - begin)
  assert min(seconds) < 2


@pytest.mark.skipif(os.name != "posix", reason="shell redirections")
@pytest.mark.parametrize(
  ("redirection", "code", "error"),
  [
    (">/dev/full", 1, "No space left"),
    (">&-", 0, ""),
    ("2>&-", 0, ""),
    ("missing.wav 2>&-", 1, ""),
    ("| head -n 1", 141, ""),
  ],
)
def test_redirections(redirection, code, error, repository, radio, tmp_path):
  several = [write_wav(tmp_path / f"{i}.wav", np.zeros(100)) for i in range(3)]
  command = " ".join(
    f"'{part}'" for part in (sys.executable, repository / SCRIPT, radio)
  )
  command += "".join(f" '{path}'" for path in several)
  done = subprocess.run(
    ["bash", "-c", f"{command} {redirection}; exit ${{PIPESTATUS[0]}}"],
    capture_output=True,
    text=True,
  )
  if "head" in redirection and done.returncode == 0:
    return  # all was written before the reader had gone
  assert done.returncode == code
  assert error in done.stderr and "Traceback" not in done.stderr
  assert error or done.stderr == ""


def test_an_output_that_cannot_spell_the_name(run, radio, tmp_path):
  """As where a code page is in use."""
  name = "größe 録音.wav"
  write_wav(tmp_path / name, small.signal(0.5))
  for option in ("-q", "--json"):
    done = run(name, option, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    if option == "--json":
      assert json.loads(done.stdout)["filename"] == name


def test_the_folder_it_is_started_from_does_not_matter(run, radio, tmp_path):
  (tmp_path / "params.py").write_text("raise RuntimeError\n")
  (tmp_path / "yoho_tf.py").write_text("raise RuntimeError\n")
  assert run(radio, "-q").returncode == 0
