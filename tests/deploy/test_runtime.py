"""`.tflite` files behind a call: any length, clear errors, no noise."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from yoho_tf import hub
from yoho_tf.deploy import runtime

pytestmark = pytest.mark.edge
ROOT = Path(__file__).resolve().parents[2]
CELL = 5120


@pytest.fixture(scope="module")
def path():
  return hub.WEIGHTS / "yoho_everyday.tflite"


@pytest.fixture(scope="module")
def network(path):
  return runtime.LiteRt(path)


def waveform(cells, seed=0):
  size = cells * CELL + 240
  random = np.random.default_rng(seed)
  return 0.1 * random.standard_normal((1, size)).astype(np.float32)


def test_names_and_shapes(network):
  assert network.input_names == ("waveform",)
  assert network.input_shapes == {"waveform": (1, -1)}
  outputs = network({"waveform": waveform(3)})
  assert list(outputs) == ["events"]
  classes = len(hub.load("yoho_everyday").labels)
  assert outputs["events"].shape == (1, 3, classes, 3)
  assert outputs["events"].dtype == np.float32


def test_lengths_go_up_and_down(network, path):
  """The same numbers as from an interpreter that has seen nothing else."""
  for cells in (1, 7, 2, 25, 25, 1):
    inputs = {"waveform": waveform(cells, seed=cells)}
    expected = runtime.LiteRt(path)(inputs)["events"]
    np.testing.assert_array_equal(network(inputs)["events"], expected)


def test_an_answer_outlives_the_next_call(network):
  first = network({"waveform": waveform(4, seed=1)})["events"]
  kept = first.copy()
  network({"waveform": waveform(4, seed=2)})
  np.testing.assert_array_equal(first, kept)


def test_other_dtypes_and_strides_are_taken(network):
  samples = waveform(2)
  expected = network({"waveform": samples})["events"]
  for same in (samples.astype(np.float64), np.repeat(samples, 2, 1)[:, ::2]):
    got = network({"waveform": same})["events"]
    np.testing.assert_array_equal(got, expected)


def test_shapes_that_do_not_fit_are_refused_and_do_no_harm(network):
  inputs = {"waveform": waveform(3)}
  expected = network(inputs)["events"]
  for shape in ((1, 0), (2, 5360), (2, 2, 2, 2), (5360,), ()):
    with pytest.raises(ValueError, match=r"waveform must have shape \(1, -1\)"):
      network({"waveform": np.zeros(shape)})
    np.testing.assert_array_equal(network(inputs)["events"], expected)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_threads_change_no_number(num_threads, network, path):
  inputs = {"waveform": waveform(5)}
  other = runtime.LiteRt(path, num_threads=num_threads)
  np.testing.assert_allclose(
    other(inputs)["events"], network(inputs)["events"], rtol=0, atol=1e-6
  )


def test_loading_and_running_print_nothing(path, capfd):
  runtime.LiteRt(path)({"waveform": waveform(1)})
  assert capfd.readouterr() == ("", "")


def test_stderr_is_open_again_afterwards(path, capfd):
  runtime.LiteRt(path)({"waveform": waveform(1)})
  print("a message", file=sys.stderr, flush=True)
  assert capfd.readouterr().err == "a message\n"


def test_files_that_are_no_model(path, tmp_path):
  model = path.read_bytes()
  files = {
    "empty": b"",
    "text": b"no model\n" * 100,
    "cut": model[: len(model) // 2],
    "sound": b"RIFF$\0\0\0WAVEfmt ",
  }
  for name, data in files.items():
    (tmp_path / f"{name}.tflite").write_bytes(data)
    with pytest.raises(ValueError, match=f"{name}.tflite") as error:
      runtime.LiteRt(tmp_path / f"{name}.tflite")
    assert "\n" not in str(error.value), name
  for wrong in (tmp_path, tmp_path / "absent.tflite"):
    with pytest.raises(ValueError, match="model must be a file; got '"):
      runtime.LiteRt(wrong)


def test_it_needs_neither_tensorflow_nor_keras(path):
  code = f"""
import sys
import numpy as np
from yoho_tf.deploy import runtime
runtime.LiteRt({str(path)!r})({{"waveform": np.zeros((1, 5360), np.float32)}})
print(*({{"tensorflow", "keras", "pandas", "matplotlib"}} & set(sys.modules)))
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
