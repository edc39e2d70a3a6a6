"""A model -> files with their reports, or `*.failed.*` and a reason."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests import small
from tests.conftest import REPOSITORY, write_wav
from yoho_tf import hub
from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS

pytest.importorskip("tensorflow")

from yoho_tf.deploy import (  # noqa: E402  # noqa: E402
  export,
  float_network,
  keras_file,
  litert,
  metadata,
  targets,
)

pytestmark = pytest.mark.export  # whole conversions

LOOSE = {"max_error": 0.05}  # random weights enlarge rounding errors


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
  """What `yoho train` leaves: `model.keras` in a folder of the run's name."""
  folder = tmp_path_factory.mktemp("runs") / "tiny"
  folder.mkdir()
  keras_file.write(
    small.network(),
    small.PARAMS,
    folder / "model.keras",
    class_map=ClassMap.bundled("everyday"),
  )
  return folder


@pytest.fixture
def quick(monkeypatch):
  """Conversion gives the float32 file that other tests made already."""
  data = small.lite_bytes("float32")
  monkeypatch.setattr(litert, "tflite", lambda *args, **how: data)


def run(model, out, **how):
  how = {"to": "tflite", "tolerance": LOOSE, "log": lambda line: None, **how}
  return export.export(model, out=out, **how)


def names(folder):
  return sorted(path.name for path in folder.iterdir())


# ---- files ------------------------------------------------------------------


def test_an_artefact_comes_with_its_report(quick, run_folder, tmp_path):
  (report,) = run(run_folder, tmp_path / "out", with_golden=True)
  out = tmp_path / "out"
  assert names(out) == [
    "tiny.golden",
    "tiny.labels.txt",
    "tiny.params.json",
    "tiny.parity.json",
    "tiny.tflite",
  ]
  assert report["passed"] and report["precision"] == "float16"
  saved = json.loads((out / "tiny.parity.json").read_text())
  assert saved == json.loads(json.dumps(report))
  assert (out / "tiny.tflite").read_bytes() == small.lite_bytes("float32")
  labels = (out / "tiny.labels.txt").read_text().splitlines()
  assert labels == list(small.PARAMS.labels)
  assert hub.load(out / "tiny.tflite").labels == small.PARAMS.labels
  assert "golden_waveform.json" in names(out / "tiny.golden")


def test_what_is_too_far_off_stays_as_failed(quick, run_folder, tmp_path):
  lines = []
  (report,) = run(
    run_folder, tmp_path, tolerance={"max_error": 1e-9}, log=lines.append
  )
  assert not report["passed"]
  assert names(tmp_path) == ["tiny.failed.parity.json", "tiny.failed.tflite"]
  saved = json.loads((tmp_path / "tiny.failed.parity.json").read_text())
  assert saved["artefact"] == "tiny.failed.tflite"
  assert saved["tolerances_changed"] == ["max_error"]
  assert any("max_error must be at most 1e-09" in line for line in lines)


def test_calibration_moves_into_the_file_where_it_is_asked_for(
  run_folder, tmp_path
):
  """Converted, not stubbed: the same events from other presences."""
  settings = {
    "postprocess.calibration_a": 0.5,
    "postprocess.calibration_b": -0.2,
    "postprocess.threshold": 0.3,
    "postprocess.merge_gap_seconds": 0.0,
  }
  found = []
  for fold in (False, True):
    out = tmp_path / str(fold)
    (report,) = run(
      run_folder,
      out,
      precision="float32",
      settings=settings,
      fold_calibration=fold,
    )
    assert report["passed"]
    model = hub.load(out / "tiny.tflite")
    after = model.params.postprocess.for_label("Speech").calibration_a
    assert after == (1.0 if fold else 0.5)
    found.append(model.predict(small.signal(8)))
  p = found[0].scores.astype(float)
  wanted = 1 / (1 + np.exp(-(0.5 * np.log(p / (1 - p)) - 0.2)))
  np.testing.assert_allclose(found[1].scores, wanted, atol=1e-4)
  plain, folded = (detections.events for detections in found)
  assert len(plain) == len(folded) > 3
  for name in ("start", "end", "score"):
    np.testing.assert_allclose(
      getattr(folded, name), getattr(plain, name), atol=1e-4
    )


def test_a_failure_keeps_the_good_file(quick, run_folder, tmp_path):
  run(run_folder, tmp_path)
  before = (tmp_path / "tiny.parity.json").read_text()
  run(run_folder, tmp_path, tolerance={"max_error": 1e-9}, overwrite=True)
  assert (tmp_path / "tiny.parity.json").read_text() == before
  assert {"tiny.tflite", "tiny.failed.tflite"} <= {*names(tmp_path)}


def test_a_file_that_is_there_is_not_replaced(quick, run_folder, tmp_path):
  (tmp_path / "tiny.tflite").write_bytes(b"mine")
  with pytest.raises(ValueError, match="overwrite replaces.*; got tiny.tflite"):
    run(run_folder, tmp_path)
  assert (tmp_path / "tiny.tflite").read_bytes() == b"mine"
  assert names(tmp_path) == ["tiny.tflite"]
  run(run_folder, tmp_path, overwrite=True)
  assert (tmp_path / "tiny.tflite").read_bytes() != b"mine"


def test_a_conversion_that_breaks_leaves_nothing(
  monkeypatch, run_folder, tmp_path
):
  monkeypatch.setattr(litert, "tflite", lambda *args, **how: b"no model")
  with pytest.raises(ValueError, match="must be"):
    run(run_folder, tmp_path)
  assert names(tmp_path) == []


def test_judged_by_recordings_it_was_calibrated_on(quick, run_folder, tmp_path):
  clips = tmp_path / "clips"
  size = 100 * 25 * 5120
  write_wav(clips / "a.wav", small.signal(size / small.RATE + 10))
  with pytest.raises(ValueError, match="received 1 in both: a.wav"):
    run(
      run_folder,
      tmp_path / "out",
      precision="int8",
      calibrate=clips,
      parity_data=clips,
      num_calibration=100,
    )
  assert names(tmp_path / "out") == []


def test_int8_needs_data_and_says_which(quick, run_folder, tmp_path):
  with pytest.raises(ValueError, match="calibration must be given for int8"):
    run(run_folder, tmp_path, precision="int8")
  (report,) = run(
    run_folder,
    tmp_path,
    precision="int8",
    calibrate="synthetic",
    num_calibration=100,
  )
  assert report["calibration"]["kind"] == "synthetic"
  assert report["calibration"]["windows"] == 100
  assert report["precision"] == "int8"


# ---- what can be asked for --------------------------------------------------


def refused(params=small.PARAMS, **how):
  with pytest.raises(ValueError) as error:
    targets.jobs(
      params,
      how.pop("to", "tflite"),
      "x",
      how.pop("precision", None),
      how.pop("input", None),
      how,
    )
  return str(error.value)


def test_pairs_that_do_not_go_name_system_target_and_reason():
  relu = dataclasses.replace(small.PARAMS, activation="relu")
  crnn = dataclasses.replace(small.PAPER, baseline="crnn")
  for text, rule in (
    (refused(relu, precision="int8"), "yoho (relu) cannot become tflite: "),
    (refused(relu, precision="int8"), "must go with activation relu6"),
    (refused(PRESETS["yamnet_audioset"], to="edgetpu"), "yamnet (relu) cannot"),
    (refused(to="edgetpu", precision="float16"), "precision must be int8"),
    (refused(to="edgetpu", input="waveform"), "input must be log_mel"),
    (refused(to="saved_model", precision="int8"), "precision must be float32"),
    (refused(to="saved_model", input="log_mel"), "input must be waveform"),
    (refused(to="mediapipe", input="log_mel"), "input must be waveform"),
    (refused(crnn, to="mediapipe"), "yoho (crnn) cannot become mediapipe: "),
    (refused(to="edgetpu", dynamic_batch=True), "batch is 1"),
    (refused(to="mediapipe", outputs=("events",)), "outputs are given; got ev"),
    (refused(precision="int8", io="int8"), "input log_mel; got int8 and wave"),
    (refused(small.PAPER, frames=64), "frames must be 801, its only length"),
    (refused(to="onx"), "did you mean 'onnx'"),
    (refused(to="all", precision="int8"), "must be left to 'all'"),
  ):
    assert rule in text and "\n" not in text


def test_allowed_relu_goes_to_the_report():
  relu = dataclasses.replace(small.PARAMS, activation="relu")
  options = {"allow_relu_int8": True}
  (job,) = targets.jobs(relu, "tflite", "x", "int8", None, options)
  assert job.allow_relu_int8


def test_all_is_whatever_the_network_can_become():
  lines = []
  found = targets.jobs(small.PARAMS, "all", "x", None, None, {})
  every = [job.names[-1] for job in found]
  assert every == [
    "x.float32.tflite",
    "x.float16.tflite",
    "x.dynamic.tflite",
    "x.int8.tflite",
    "x.saved_model",
    "x.onnx",
    "x.edgetpu.tflite",
    "x.mediapipe.tflite",
    "x.stream.tflite",
  ]
  reports = [job.report for job in found]
  assert len({*reports}) == len(reports) and "x.onnx.parity.json" in reports
  relu = dataclasses.replace(small.PARAMS, activation="relu")
  found = targets.jobs(relu, "all", "x", None, None, {}, lines.append)
  assert len(found) == 6 and len(lines) == 3
  assert all("relu6" in line for line in lines)


# ---- models -----------------------------------------------------------------


def test_a_model_is_found_by_name_folder_or_file(run_folder, tmp_path):
  weights = tmp_path / "tiny.weights.h5"
  small.network().save_weights(weights)
  log_mel = np.random.default_rng(0).normal(size=(1, 64, 64))
  expected = small.network()({"log_mel": log_mel})["events"]
  for found in (
    float_network.load(run_folder),
    float_network.load(run_folder / "model.keras"),
    float_network.load("yoho_everyday_small", weights=weights),
  ):
    assert found.class_map.names == found.params.labels
    got = found.network({"log_mel": log_mel})["events"]
    np.testing.assert_array_equal(got, expected)
  assert float_network.load(run_folder).name == "tiny"
  assert float_network.load(run_folder).params == dataclasses.replace(
    small.PARAMS, input="waveform"
  )


def test_a_model_that_is_none_is_named(tmp_path):
  for model, how, message in (
    ("yoho_everyda", {}, "did you mean 'yoho_everyday'"),
    ("none.keras", {}, "must be a file; got 'none.keras'"),
    ("yoho_urban_sed", {}, "weights must be a file for the preset"),
    (str(tmp_path), {}, "run folder with model.keras"),
  ):
    with pytest.raises(ValueError, match=message):
      float_network.load(model, **how)


# ---- whole models -----------------------------------------------------------


def bundled(out, *arguments):
  command = [sys.executable, "-m", "yoho_tf", "export", *arguments]
  done = subprocess.run(
    [*command, "--out", out], cwd=REPOSITORY, capture_output=True, text=True
  )
  return done.returncode, done.stdout + done.stderr


@pytest.mark.export
def test_two_processes_write_the_same_bytes(tmp_path):
  arguments = ["yoho_everyday", "--to", "tflite", "--precision", "int8"]
  arguments += ["--calibration", "synthetic", "--calibration-windows", "100"]
  arguments += ["--tolerance", "max_error=.2"]  # 100 of these are few
  for name in ("a", "b"):
    code, text = bundled(tmp_path / name, *arguments)
    assert code == 0, text
  first, second = (
    (tmp_path / name / "yoho_everyday.tflite").read_bytes() for name in "ab"
  )
  assert first == second


@pytest.mark.export
def test_the_bundled_model_becomes_everything(tmp_path):
  pytest.importorskip("tf2onnx")
  code, text = bundled(
    tmp_path, "yoho_everyday", "--to", "all", "--parity-data", "examples"
  )
  assert code == 0, text
  for name in (
    *(f"yoho_everyday.{p}.tflite" for p in litert.PRECISIONS),
    "yoho_everyday.saved_model",
    "yoho_everyday.onnx",
    "yoho_everyday.frontend.tflite",
    "yoho_everyday.edgetpu.tflite",
    "yoho_everyday.mediapipe.tflite",
    "manifest.json",
  ):
    assert (tmp_path / name).exists()
  size = (tmp_path / "yoho_everyday.int8.tflite").stat().st_size
  assert size <= 4_500_000
  for path in tmp_path.glob("*.parity.json"):
    assert json.loads(path.read_text())["passed"]
  clip = REPOSITORY / "examples" / "radio.flac"
  expected = hub.load("yoho_everyday").predict(clip).events
  for name in ("yoho_everyday.int8.tflite", "manifest.json"):
    found = hub.load(tmp_path / name).predict(clip).events
    assert {*found.label} == {*expected.label}


@pytest.mark.export
def test_yamnet_in_integers_passes(shared, tmp_path):
  weights = tmp_path / "yamnet.h5"
  shutil.copy(shared / "yamnet" / "yamnet_relu6.h5", weights)
  shutil.copy(shared / "yamnet" / "yamnet_class_map.csv", tmp_path)
  arguments = ["yamnet_audioset_relu6", "--weights", weights, "--to", "tflite"]
  arguments += ["--precision", "int8", "--calibration", shared / "audio"]
  code, text = bundled(tmp_path / "relu6", *arguments)
  assert code == 0, text
  found = metadata.describe(tmp_path / "relu6" / "yamnet_audioset_relu6.tflite")
  assert len(found.labels) == 521


@pytest.mark.export
@pytest.mark.parametrize(
  "script", ["to_savedmodel", "to_tflite", "to_onnx", "to_edgetpu"]
)
def test_the_scripts_are_the_command(script, tmp_path):
  done = subprocess.run(
    [sys.executable, REPOSITORY / "export" / f"{script}.py", "--help"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0 and f"usage: {script}.py" in done.stdout
