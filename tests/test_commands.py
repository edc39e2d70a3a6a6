"""`yoho`: the dispatcher, `yoho models` and `yoho doctor`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import yoho_tf
from yoho_tf import cli, hub
from yoho_tf.cli import doctor, models

pytestmark = pytest.mark.edge
ROOT = Path(__file__).resolve().parent.parent


def test_without_a_command_the_help_names_all_and_the_code_is_2(capsys):
  assert cli.main([]) == 2
  text = capsys.readouterr().out
  assert all(name in text for name in cli.COMMANDS)
  assert cli.main(["--help"]) == 0
  assert capsys.readouterr().out == text


@pytest.mark.parametrize(
  ("name", "hint"),
  [("predcit", "did you mean 'predict'?"), ("zzz", "see `yoho --help`")],
)
def test_an_unknown_command_is_one_line_and_code_2(name, hint, capsys):
  assert cli.main([name]) == 2
  out, error = capsys.readouterr()
  assert out == ""
  assert error == f"yoho: no command {name!r}; {hint}\n"


def test_version(capsys):
  assert cli.main(["--version"]) == 0
  assert capsys.readouterr().out == f"yoho {yoho_tf.__version__}\n"


def test_a_command_gets_its_arguments_and_its_name(monkeypatch):
  seen = []

  def main(argv, prog):
    seen.append((argv, prog))
    return 7

  monkeypatch.setattr(doctor, "main", main)
  assert cli.main(["doctor", "--json"]) == 7
  assert seen == [(["--json"], "yoho doctor")]


@pytest.mark.parametrize(
  ("problem", "code", "message"),
  [
    (KeyboardInterrupt(), 130, ""),
    (
      ModuleNotFoundError("", name="keras.ops"),
      1,
      "yoho x: needs keras, which is not installed: pip install '.[train]'\n",
    ),
  ],
)
def test_ends_that_nobody_planned_are_quiet(problem, code, message, capsys):
  def run(argv, prog):
    raise problem

  assert cli.guard(run, [], prog="yoho x") == code
  assert capsys.readouterr().err == message


def test_a_missing_module_of_our_own_is_not_hidden():
  def run(argv, prog):
    raise ModuleNotFoundError("no module", name="yoho_tf.nothing")

  with pytest.raises(ModuleNotFoundError):
    cli.guard(run, [], prog="yoho x")


def test_a_closed_pipe_is_quiet():
  with subprocess.Popen(
    [sys.executable, "-m", "yoho_tf", "--help"],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    cwd=ROOT,
  ) as process:
    process.stdout.close()
    assert process.stderr.read() == b""
  assert process.returncode == 141


@pytest.fixture
def weights(tmp_path, monkeypatch):
  """A folder of bundled models with one entry."""
  card = {
    "name": "small",
    "description": "hears cats",
    "classes": ["cat", "dog"],
    "licence": "Apache-2.0",
    "bytes": 1500000,
  }
  (tmp_path / "small.json").write_text(json.dumps(card))
  monkeypatch.setattr(hub, "WEIGHTS", tmp_path)
  monkeypatch.setattr(doctor, "WEIGHTS_FOLDER", tmp_path)
  return tmp_path


def test_models_says_what_each_is(weights, capsys):
  assert models.main([]) == 0
  small, *others = capsys.readouterr().out.splitlines()
  assert small.split() == "small 1.5 MB 2 classes hears cats".split()
  assert len(others) == len(yoho_tf.list_models()) - 1
  assert all(line.split()[1:] == "- - not bundled".split() for line in others)
  assert models.main(["--json"]) == 0
  found = json.loads(capsys.readouterr().out)
  assert [model["name"] for model in found] == yoho_tf.list_models()
  assert [model["classes"] for model in found[:2]] == [2, None]


def test_models_says_in_one_line_that_a_card_cannot_be_read(weights, capsys):
  (weights / "small.json").write_text("{")
  assert models.main([]) == 1
  assert capsys.readouterr().err.count("\n") == 1


def test_doctor_reports_in_text_and_in_json(weights, capsys):
  code = doctor.main(["--json"])
  report = json.loads(capsys.readouterr().out)
  assert code == 0 and report["ok"]
  assert report["yoho_tf"] == yoho_tf.__version__
  assert report["base"]["numpy"]["version"]
  assert set(report["extras"]) == set(doctor.EXTRAS)
  assert doctor.main([]) == 0
  text = capsys.readouterr().out
  assert all(name in text for name in [*doctor.BASE, *doctor.EXTRAS])


def test_doctor_fails_on_a_broken_base(weights, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "soxr", None)  # its import now fails
  assert doctor.main([]) == 1
  text = capsys.readouterr().out
  assert "BROKEN   soxr" in text and text.endswith("the base is broken\n")


def test_doctor_fails_on_a_broken_model_and_names_it(weights, capsys):
  (weights / "small.tflite").write_bytes(b"not a model")
  assert doctor.main([]) == 1
  assert "BROKEN   small.tflite" in capsys.readouterr().out


def test_doctor_does_without_pandas_on_a_small_device():
  absent = {"version": None, "error": "no module", "loss": "no to_df()"}
  assert not doctor.is_broken(absent)
  assert doctor.is_broken({**absent, "version": "3.0"})  # there, but broken
  assert doctor.is_broken({**absent, "loss": None})
