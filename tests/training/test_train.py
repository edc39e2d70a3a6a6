"""`yoho train` from recordings to a model file."""

import json

import numpy as np
import pytest

import yoho_tf
from yoho_tf import hub
from yoho_tf.cli import train as command
from yoho_tf.training import held_out

SETTINGS = {
  "labels": "Bark,Rain,Speech",
  "width": 0.125,
  "training.batch_size": 2,
  "training.steps": 4,
  "training.steps_per_epoch": 2,
  "training.num_validation_scenes": 6,
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


@pytest.fixture(scope="module")
def run(source_folder, tmp_path_factory, eager_steps):
  out = tmp_path_factory.mktemp("run")
  assert command.main(arguments(source_folder, out)) == 0
  return out


def test_the_run_folder_holds_a_model_that_predicts(run):
  model = yoho_tf.load(run / "model.tflite")
  assert model.labels == ("Bark", "Rain", "Speech")
  # Tuned values travel inside the file.
  assert set(model.params.postprocess.per_label) == set(model.labels)
  rng = np.random.default_rng(0)
  found = model.predict(0.1 * rng.standard_normal(40_000).astype("float32"))
  assert found.scores.shape == (8, 3)
  facts = json.loads((run / "model.json").read_text())
  assert facts["labels"] == ["Bark", "Rain", "Speech"]
  listed = (run / "model.sources.csv").read_text()
  assert "CC BY 3.0" in listed and "NC" not in listed and "val:" not in listed


def test_few_false_events_where_nothing_of_it_sounds(run, source_folder):
  model = yoho_tf.load(run / "model.keras")
  known = held_out.negatives(source_folder, split="val", labels=model.labels)
  everything = hub.configured(model, {"postprocess.threshold": 0.0})
  for one, is_limited in ((model, True), (everything, False)):
    events, counts = held_out.false_events(held_out.answers(one, known), known)
    allowed = int(0.2 * counts["all"]["minutes"])
    most = max(np.sum(events.label == name) for name in model.labels)
    assert (most <= allowed) == is_limited


def test_keras_and_the_file_agree(run):
  rng = np.random.default_rng(1)
  waveform = 0.1 * rng.standard_normal(60_000).astype("float32")
  from yoho_tf.params import from_json

  params = from_json((run / "model.params.json").read_text())
  lite = yoho_tf.load(run / "model.tflite").predict(waveform)
  keras_model = yoho_tf.load(
    "yoho_everyday_small",
    weights=run / "model.weights.h5",
    settings={"labels": ",".join(params.labels), "width": params.width},
  )
  np.testing.assert_allclose(
    lite.scores, keras_model.predict(waveform).scores, atol=0.01
  )


def test_repeating_the_command_trains_nothing_again(
  run, source_folder, capsys, monkeypatch
):
  monkeypatch.setattr("yoho_tf.training.finish.finish", lambda *a, **k: None)
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


def test_a_scene_preset_that_is_not_there(source_folder, tmp_path, capsys):
  bad = [*arguments(source_folder, tmp_path / "run"), "--scene", "rado"]
  assert command.main(bad) == 1
  assert "did you mean 'radio'" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("options", "words"),
  [
    (["--devices", "0"], "devices must divide"),
    (["--devices", "3"], "batch_size = 2"),
    (["--devices", "2"], "devices must be at most 1"),
    (["--hosts", "here"], "ADDRESS:PORT,COUNT,INDEX"),
    (["--hosts", "here:1,2,0"], "KERAS_BACKEND=jax"),
  ],
)
def test_devices_and_hosts_that_cannot_be(
  source_folder, tmp_path, capsys, options, words
):
  keras = pytest.importorskip("keras")
  if keras.backend.backend() != "tensorflow":
    pytest.skip("the messages of TensorFlow, which has one CPU")
  assert command.main([*arguments(source_folder, tmp_path), *options]) == 1
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and words in error


def test_no_manifest(tmp_path, capsys):
  assert command.main(arguments(tmp_path, tmp_path / "run")) == 1
  assert "manifest.csv" in capsys.readouterr().err
