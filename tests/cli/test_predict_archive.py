"""`yoho predict --workers`: what it prints, and what it refuses."""

import json
import os

import pytest

from tests import small
from tests.conftest import write_wav
from yoho_tf import cli

pytestmark = pytest.mark.edge
JOURNAL = "journal.jsonl"


@pytest.fixture
def folder(tmp_path):
  for i in range(4):
    path = tmp_path / "in" / "ab"[i % 2] / f"{i}.wav"
    write_wav(path, small.signal(0.6 + 0.2 * i, seed=i))
  write_wav(tmp_path / "in" / "a" / "0.flac", small.signal(2))
  return tmp_path / "in"


def tree(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file() and path.name != JOURNAL
  }


OPTIONS = [
  ["--format", "csv,json,audacity", "--threshold", "0.05", "--top", "3"],
  ["--json", "--set", "postprocess.merge_gap_seconds=0.7"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=["tables", "json"])
def test_any_number_of_workers_says_and_writes_the_same(
  options, run, folder, tmp_path
):
  (folder / "b" / "bad.wav").write_text("no sound")
  code, out, error = run(folder, "-o", tmp_path / "plain", *options)
  assert code == 1 and len(out) >= 5 and len(error) == 1
  for workers in (0, 1, 2):
    target = tmp_path / f"out{workers}"
    result = run(folder, "-o", target, *options, "--workers", workers)
    assert result[:2] == (1, out)
    assert result[2][:-1] == error
    assert "5 done, 0 done before, 1 failed; " in result[2][-1]
    found = tree(target)
    assert b"bad.wav" in found.pop("errors.csv")
    assert found == tree(tmp_path / "plain")
    assert (target / JOURNAL).is_file()


def test_going_on_is_said_and_prints_what_is_new(run, folder, tmp_path):
  options = ["-o", tmp_path / "out", "--workers", 1, "-q"]
  assert run(folder, *options)[0] == 0
  new = write_wav(folder / "new.wav", small.signal(0.7))
  code, out, error = run(folder, *options)
  assert code == 0 and len(out) == 1 and out[0].startswith(f"{new}: ")
  assert error[0] == "inference.py: 5 of 6 done before"
  assert "1 done, 5 done before, 0 failed" in error[1]


def test_other_settings_are_one_line(run, folder, tmp_path):
  options = ["-o", tmp_path / "out", "--workers", 1, "-q"]
  assert run(folder, *options)[0] == 0
  before = tree(tmp_path / "out")
  code, out, error = run(folder, *options, "--threshold", "0.9")
  assert (code, out, len(error)) == (1, [], 1)
  assert "threshold null -> 0.9" in error[0] and "--restart" in error[0]
  assert tree(tmp_path / "out") == before
  code, out, _ = run(folder, *options, "--threshold", "0.9", "--restart")
  assert code == 0 and len(out) == 5


def test_a_missing_path_fails_and_the_others_are_done(run, folder, tmp_path):
  absent = tmp_path / "absent.wav"
  options = ["-o", tmp_path / "out", "--workers", 1, "--json"]
  code, out, error = run(absent, folder, *options)
  assert code == 1 and len(out) == 5
  assert [json.loads(x)["filename"] for x in out][0].startswith(str(folder))
  assert error[0].startswith(f"inference.py: '{absent}': must be a readable")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--workers", "2"], "--workers needs -o DIR"),
    (["--ray", "auto"], "--ray needs -o DIR"),
    (["--ray", "b", "-o", "out"], "--ray must be an address, or the last"),
    (["--restart", "-o", "out"], "--restart goes with --workers or --ray"),
    (["--workers", "-1", "-o", "out"], "at least 0, got '-1'"),
    (["--workers", "x", "-o", "out"], "at least 0, got 'x'"),
    (["--workers", "2", "-o", "out", "--plot", "a.png"], "--plot takes one"),
    (["--workers", "2", "-o", "out", "--model", "yoho_urbn"], "did you mean"),
    (["--workers", "2", "-o", "out", "--set", "slots=2"], "trained network"),
  ],
)
def test_wrong_usage_is_code_2(options, message, run, folder, monkeypatch):
  monkeypatch.chdir(folder)
  code, out, error = run("a", *options)
  assert (code, out) == (2, []) and message in error[-1]
  assert not os.path.exists("out")


def test_an_output_that_is_a_file_is_one_line(run, folder, tmp_path):
  (tmp_path / "taken").write_text("mine")
  code, out, error = run(folder, "-o", tmp_path / "taken", "--workers", 1)
  assert (code, out, len(error)) == (1, [], 1)
  assert "taken" in error[0] and (tmp_path / "taken").read_text() == "mine"


def test_without_ray_one_line_names_the_extra(
  folder, tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(__import__("sys").modules, "ray", None)
  target = tmp_path / "out"
  code = cli.main(["predict", str(folder), "-o", str(target), "--ray"])
  out, error = capsys.readouterr()
  assert (code, out, error.count("\n")) == (1, "", 1)
  assert "needs ray" in error and ".[ray]" in error
  assert not target.exists()
