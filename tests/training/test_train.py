"""`yoho train` from recordings to a model file, also after a kill."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import yoho_tf
from yoho_tf.cli import train as command

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
  "labels": "Bark,Rain,Speech",
  "width": 0.125,
  "training.batch_size": 2,
  "training.steps": 4,
  "training.steps_per_epoch": 2,
  "training.num_validation_scenes": 3,
  "training.num_tuning_scenes": 4,
}


def arguments(source_folder, out, **changes):
  pairs = {**SETTINGS, **changes}
  sets = [f"--set={key}={value}" for key, value in pairs.items()]
  return [
    "yoho_everyday_small",
    "--sources",
    str(source_folder),
    "--out",
    str(out),
    *sets,
  ]


def losses(out):
  with open(out / "log_all.csv", newline="") as file:
    return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def run(source_folder, tmp_path_factory):
  out = tmp_path_factory.mktemp("run")
  assert command.main(arguments(source_folder, out)) == 0
  return out


def test_the_run_folder_holds_a_model_that_predicts(run):
  model = yoho_tf.load(run / "yoho_everyday_small.tflite")
  assert model.labels == ("Bark", "Rain", "Speech")
  # Tuned values travel inside the file.
  assert set(model.params.postprocess.per_label) == set(model.labels)
  rng = np.random.default_rng(0)
  found = model.predict(0.1 * rng.standard_normal(40_000).astype("float32"))
  assert found.scores.shape == (8, 3)
  facts = json.loads((run / "yoho_everyday_small.json").read_text())
  assert facts["labels"] == ["Bark", "Rain", "Speech"]
  listed = (run / "yoho_everyday_small.sources.csv").read_text()
  assert "CC BY 3.0" in listed and "NC" not in listed and "val:" not in listed


def test_keras_and_the_file_agree(run):
  rng = np.random.default_rng(1)
  waveform = 0.1 * rng.standard_normal(60_000).astype("float32")
  from yoho_tf.params import from_json

  params = from_json((run / "yoho_everyday_small.params.json").read_text())
  lite = yoho_tf.load(run / "yoho_everyday_small.tflite").predict(waveform)
  keras_model = yoho_tf.load(
    "yoho_everyday_small",
    weights=run / "yoho_everyday_small.weights.h5",
    settings={"labels": ",".join(params.labels), "width": params.width},
  )
  np.testing.assert_allclose(
    lite.scores, keras_model.predict(waveform).scores, atol=0.01
  )


def test_repeating_the_command_trains_nothing_again(run, source_folder, capsys):
  before = (run / "all.weights.h5").stat().st_mtime_ns
  assert command.main(arguments(source_folder, run)) == 0
  assert (run / "all.weights.h5").stat().st_mtime_ns == before
  assert "epoch" not in capsys.readouterr().out


def test_other_settings_are_refused(run, source_folder, capsys):
  changed = arguments(source_folder, run, **{"training.batch_size": 4})
  assert command.main(changed) == 1
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and "training.json" in error


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"training.step": 3}, "steps"),
    ({"labels": "Bark,Yodel"}, "Yodel"),
    ({"scene": 1}, "scene"),
  ],
)
def test_bad_settings(source_folder, tmp_path, capsys, change, words):
  bad = arguments(source_folder, tmp_path / "run", **change)
  assert command.main(bad) in (1, 2)
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and words in error


def test_no_manifest(tmp_path, capsys):
  assert command.main(arguments(tmp_path, tmp_path / "run")) == 1
  assert "manifest.csv" in capsys.readouterr().err


@pytest.mark.large
def test_a_killed_run_continues_the_same_curve(run, source_folder, tmp_path):
  """kill -9 after the first epoch; the second epoch's loss is the same."""
  out = tmp_path / "killed"
  argv = [sys.executable, "-m", "yoho_tf", "train"]
  argv += arguments(source_folder, out)
  env = {**os.environ, "PYTHONPATH": str(ROOT)}
  process = subprocess.Popen(argv, env=env, cwd=ROOT)
  log = out / "log_all.csv"
  deadline = time.monotonic() + 300
  while time.monotonic() < deadline and process.poll() is None:
    if log.is_file() and len(log.read_text().splitlines()) >= 2:
      break
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  process.wait()
  killed = losses(out)
  done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  np.testing.assert_allclose(killed, losses(run)[: len(killed)], rtol=1e-4)
  np.testing.assert_allclose(losses(out)[-1], losses(run)[-1], rtol=1e-3)
