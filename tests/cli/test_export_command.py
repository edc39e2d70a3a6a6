"""`yoho export`: its options, its table and its exit codes."""

import pytest

from tests import small
from yoho_tf import cli
from yoho_tf.cli import export as command
from yoho_tf.labels import ClassMap

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  from yoho_tf.deploy import keras_file

  path = tmp_path_factory.mktemp("model") / "tiny.keras"
  keras_file.write(
    small.network(),
    small.PARAMS,
    path,
    class_map=ClassMap.bundled("everyday"),
  )
  return path


@pytest.fixture
def run(monkeypatch, capsys):
  """run(*arguments) -> (exit code, stdout, stderr); conversion is cached."""
  from yoho_tf.deploy import litert

  data = small.lite_bytes("float32")
  monkeypatch.setattr(litert, "tflite", lambda *args, **how: data)

  def run(*arguments):
    capsys.readouterr()
    try:
      code = cli.main(["export", *map(str, arguments)])
    except SystemExit as end:  # argparse
      code = end.code
    out, error = capsys.readouterr()
    return code, out, error

  return run


def test_a_pass_is_a_table_and_code_0(run, model, tmp_path):
  code, out, _ = run(
    model, "--to", "tflite", "--out", tmp_path, "--tolerance", "max_error=0.05"
  )
  assert code == 0
  assert out.splitlines()[0] == "tiny.tflite: float16, from waveform"
  assert "passed" in out.splitlines()[-1]
  assert (tmp_path / "tiny.parity.json").is_file()


def test_a_failure_is_code_1_and_a_failed_file(run, model, tmp_path):
  code, out, _ = run(
    model, "--to", "tflite", "--out", tmp_path, "--tolerance", "max_error=1e-9"
  )
  assert code == 1
  assert "max_error must be at most 1e-09" in out and "FAILED" in out
  assert (tmp_path / "tiny.failed.tflite").is_file()
  assert not (tmp_path / "tiny.tflite").exists()


@pytest.mark.export
def test_what_cannot_be_made_is_one_line(run, model, tmp_path):
  options = ["--to", "tflite", "--out", tmp_path / "out"]
  for more, message in (
    (["--precision", "int8"], "calibration must be given for int8"),
    (["--tolerance", "worst=1"], "tolerance must be one of max_error"),
    (["--frames", "33"], "multiple of 32; got 33"),
    (["--dynamic-batch"], "its batch is 1"),
    (["--parity-data", "nowhere"], "must be a folder"),
    (["--set", "postproces.low=0.2"], "did you mean"),
  ):
    code, _, error = run(model, *options, *more)
    assert code == 1 and error.startswith("yoho export: ")
    assert message in error and error.count("\n") == 1


def test_a_wrong_command_line_is_code_2(run, model, tmp_path):
  for arguments in (
    [model, "--out", tmp_path],
    [model, "--to", "tflite"],
    [model, "--to", "caffe", "--out", tmp_path],
    [model, "--to", "tflite", "--out", tmp_path, "--tolerance", "max_error"],
  ):
    code, _, error = run(*arguments)
    assert code == 2 and "usage: yoho export" in error


def test_its_targets_are_those_of_the_library():
  from yoho_tf.deploy import targets

  assert command.TARGETS == (*targets.TARGETS, targets.ALL)
