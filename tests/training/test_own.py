"""`yoho train --data`: a person's own folder, from labels to a model."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import yoho_tf
from yoho_tf import writers
from yoho_tf.annotations import Annotations
from yoho_tf.cli import predict
from yoho_tf.cli import train as command
from yoho_tf.data import records
from yoho_tf.events import EventTable

pytest.importorskip("keras")

RATE = 22_050
SETTINGS = {
  "width": 0.125,
  "window_seconds": 1.28,
  "training.batch_size": 2,
  "training.head_steps": 2,
  "training.steps": 4,
  "training.steps_per_epoch": 2,
}
# Format -> how a label file of a recording is called.
FORMATS = {
  "audacity": "{}.txt",
  "raven": "{}.Table.1.selections.txt",
  "tsv": "{}.tsv",
}


def recording(rng):
  """[samples] of 3 s with a beep and a hiss; (start, end, label) of both."""
  waveform = 0.003 * rng.standard_normal(3 * RATE)
  first, second = sorted(rng.uniform(0.1, 2.2, 2).round(2))
  events = []
  for label, start in (("beep", first), ("hiss", second)):
    length = round(float(rng.uniform(0.2, 0.6)), 2)
    span = slice(round(start * RATE), round((start + length) * RATE))
    time = np.arange(span.stop - span.start) / RATE
    sound = np.sin(2 * np.pi * 1500 * time)
    if label == "hiss":
      sound = rng.standard_normal(len(time)).clip(-3, 3)
    waveform[span] += 0.2 * sound
    events.append((float(start), float(start) + length, label))
  return waveform.clip(-1, 1), events


def make_folder(root, write_wav, kind, *, num=12):
  """Recordings, some stereo, with labels of one format beside each."""
  rng = np.random.default_rng(0)
  for number in range(num):
    waveform, events = recording(rng)
    name = f"take{number:02d}.wav"
    if number % 3 == 0:
      waveform = np.stack([waveform, waveform], axis=1)
    write_wav(root / name, waveform, RATE)
    table = EventTable.from_rows(events).replace(filename=[name] * 2)
    path = root / FORMATS[kind].format(name.removesuffix(".wav"))
    writers.write(Annotations(events=table), path, format=kind)
  return root


def arguments(root, out, *options, **changes):
  pairs = {**SETTINGS, **changes}
  sets = [f"--set={key}={value}" for key, value in pairs.items()]
  return [
    "yoho_everyday_small",
    f"--data={root}",
    f"--out={out}",
    *sets,
    *options,
  ]


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_wav):
  return make_folder(tmp_path_factory.mktemp("own"), write_wav, "audacity")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, eager_steps):
  out = tmp_path_factory.mktemp("run")
  assert command.main(arguments(data, out)) == 0
  return out


def test_one_command_makes_a_model_that_inference_runs(run, data, capsys):
  clip = str(data / "take00.wav")
  for path in (run, run / "model.tflite", run / "model.keras"):
    assert predict.main([clip, "--model", str(path)]) == 0
  assert "take00.wav" in capsys.readouterr().out
  lite, keras_model = (
    yoho_tf.load(run / name).predict(clip)
    for name in ("model.tflite", "model.keras")
  )
  assert lite.labels == keras_model.labels == ("beep", "hiss")
  np.testing.assert_allclose(lite.scores, keras_model.scores, atol=0.01)
  assert (run / "class_map.csv").read_text().splitlines()[1:] == [
    "0,,beep",
    "1,,hiss",
  ]


def test_the_keras_file_is_plain_keras(run):
  import keras

  from yoho_tf.layers import frontend  # noqa: F401 (registers layers)

  model = keras.saving.load_model(run / "model.keras")
  outputs = model({"waveform": np.zeros((2, 16_000), "float32")})
  assert outputs["events"].shape == (2, 4, 2, 3)


def test_test_files_are_scored_beside_chance(run, data):
  scores = json.loads((run / "test.json").read_text())
  assert list(scores) == [
    "trained",
    "chance: answers of another file",
    "chance: always active",
    "before training",
  ]
  index = records.read_index(run / "records")
  groups = {
    split: {e.group for e in records.Reader(index, split)}
    for split in ("train", "val", "test")
  }
  assert all(groups.values())
  assert len(set.union(*groups.values())) == 12
  assert sum(map(len, groups.values())) == 12


def test_repeating_the_command_trains_nothing_again(
  run, data, capsys, monkeypatch
):
  monkeypatch.setattr("yoho_tf.training.finish.finish", lambda *a, **k: None)
  kept = ("all.weights.h5", "records/index.json", "class_map.csv")
  before = [(run / name).stat().st_mtime_ns for name in kept]
  assert command.main(arguments(data, run)) == 0
  assert [(run / name).stat().st_mtime_ns for name in kept] == before
  assert "epoch" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["raven", "tsv"])
def test_other_copies_of_the_labels_make_the_same_records(
  kind, run, tmp_path, write_wav
):
  root = make_folder(tmp_path / kind, write_wav, kind)
  out = tmp_path / "run"
  bad = {"training.batch_size": 1000}  # ends after the records are written
  assert command.main(arguments(root, out, **bad)) == 1
  one, other = (records.read_index(f / "records") for f in (run, out))
  assert [s.sha256 for s in one.shards] == [s.sha256 for s in other.shards]


def test_a_dry_run_says_what_is_there(data, capsys):
  argv = arguments(data, "unused", "--dry-run")
  assert command.main([a for a in argv if not a.startswith("--out")]) == 0
  out = capsys.readouterr().out
  assert "12 recordings" in out and "beep" in out and "train" in out


def test_changed_labels_are_refused_and_nothing_is_overwritten(
  run, tmp_path, write_wav, capsys
):
  before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
  root = make_folder(tmp_path / "other", write_wav, "audacity")
  for words, old, new in (
    ("data must be the folder as it was", "beep", "beep"),
    ("class_map.csv", "hiss", "buzz"),
  ):
    for path in root.glob("*.txt"):
      path.write_text(path.read_text().replace(old, new))
    capsys.readouterr()
    assert command.main(arguments(root, run)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
  assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


@pytest.mark.large
def test_a_clip_of_one_sound_each_is_mixed_into_scenes(
  tmp_path, write_wav, capsys, eager_steps
):
  rng = np.random.default_rng(0)
  for label in ("beep", "hiss"):
    for number in range(12):
      time = np.arange(RATE // 2) / RATE
      sound = np.sin(2 * np.pi * rng.uniform(500, 2000) * time)
      if label == "hiss":
        sound = rng.standard_normal(len(time)).clip(-3, 3)
      write_wav(tmp_path / f"clips/{label}/{number}.wav", 0.2 * sound, RATE)
  small = {
    f"training.num_{k}_scenes": 4 for k in ("validation", "tuning", "test")
  }
  argv = arguments(
    tmp_path / "clips", tmp_path / "run", "--weak", "--group-by=file", **small
  )
  code, said = command.main(argv), capsys.readouterr()
  assert code == 0, said.err
  assert "batchnorm_momentum 0.9 keeps 0.66 of" in said.out  # after 4 steps
  assert yoho_tf.load(tmp_path / "run").labels == ("beep", "hiss")


@pytest.mark.large
def test_records_of_a_published_set(tmp_path, capsys, eager_steps):
  from yoho_tf.cli import data as data_command

  root = str(tmp_path / "set")
  assert data_command.main(["fixture", "urban_sed", root]) == 0
  out = str(tmp_path / "records")
  assert data_command.main(["prepare", "urban_sed", root, out]) == 0
  argv = arguments(root, tmp_path / "run", **{"training.batch_size": 1})
  argv[1] = f"--records={out}"
  assert command.main(argv) == 0, capsys.readouterr().err
  assert len(yoho_tf.load(tmp_path / "run").labels) == 10
  # A damaged record ends it with one line that names shard and record.
  shard = next((tmp_path / "records").glob("train-*"))
  damaged = bytearray(shard.read_bytes())
  damaged[200] ^= 255
  shard.write_bytes(damaged)
  argv[2] = f"--out={tmp_path / 'again'}"
  capsys.readouterr()
  assert command.main(argv) == 1
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and shard.name in error and "record 0" in error


@pytest.mark.large
def test_a_smaller_network_learns_from_a_finished_one(
  run, data, tmp_path, capsys, eager_steps
):
  argv = arguments(data, tmp_path / "run", width=0.0625)
  teacher = f"--teacher={run / 'model.keras'}"
  assert command.main([*argv, teacher]) == 0, capsys.readouterr().err
  assert yoho_tf.load(tmp_path / "run").labels == ("beep", "hiss")
  argv = arguments(data, tmp_path / "other", slots=2)
  assert command.main([*argv, teacher]) == 1
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and "teacher must have the same slots" in error


@pytest.mark.parametrize(
  ("options", "words"),
  [
    (["--group-by=colour"], "group_by must be one of"),
    (["--label-format=ravenn"], "raven"),
    (["--out=."], "--out must lie outside --data"),
    (["--set=labels=a,b"], "--set labels is for --sources"),
    (["--initial-weights=no.h5"], "initial_weights must be"),
  ],
)
def test_bad_options(data, tmp_path, capsys, monkeypatch, options, words):
  monkeypatch.chdir(data)
  assert command.main(arguments(data, tmp_path / "run", *options)) == 1
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and words in error


@pytest.mark.large
@pytest.mark.parametrize("moment", ["writing records", "epoch 2", "tuning"])
def test_a_killed_run_ends_as_if_nothing_had_happened(
  moment, data, run, tmp_path, repository
):
  code = (
    "import os, signal, sys\n"
    "from yoho_tf.cli import train\n"
    "from yoho_tf.training import tune\n"
    "tune.GRID = {'low': (0.1, 0.3), 'merge_gap_seconds': (0.16,)}\n"
    "said = train._log\n"
    "def log(line):\n"
    "  said(line)\n"
    f"  if sys.argv[1] == 'kill' and line.startswith({moment!r}):\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
    "train._log = log\n"
    "sys.exit(train.main(sys.argv[2:]))\n"
  )
  for what, expected in (("kill", -signal.SIGKILL), ("go on", 0)):
    done = subprocess.run(
      [sys.executable, "-c", code, what, *arguments(data, tmp_path / "run")],
      env={**os.environ, "PYTHONPATH": str(repository)},
      capture_output=True,
      text=True,
    )
    assert done.returncode == expected, done.stderr
  one, other = (
    json.loads((folder / "test.json").read_text())["trained"]
    for folder in (run, tmp_path / "run")
  )
  assert one.keys() == other.keys()
  for column in one:
    assert one[column]["value"] == pytest.approx(
      other[column]["value"], abs=0.02, nan_ok=True
    )
