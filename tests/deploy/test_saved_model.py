"""Keras -> SavedModel: loads elsewhere, moved, without this package."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests import small
from tests.deploy import artefacts

tf = pytest.importorskip("tensorflow")

from yoho_tf.deploy import saved_model  # noqa: E402
from yoho_tf.labels import ClassMap  # noqa: E402
from yoho_tf.models import yoho  # noqa: E402
from yoho_tf.params import from_json  # noqa: E402

LENGTHS = (0, 1, 100, 15_600, 15_601, 48_000)
ELSEWHERE = """
import csv, json, sys
sys.modules["yoho_tf"] = None  # not even where it is installed
import numpy as np
import tensorflow as tf

folder, clips, out = sys.argv[1:]
model = tf.saved_model.load(folder)
serve = model.signatures["serving_default"]
((name, spec),) = serve.structured_input_signature[1].items()
with open(model.class_map_path().numpy(), newline="") as file:
  names = [row["display_name"] for row in csv.DictReader(file)]
facts = {"input": name, "shape": spec.shape.as_list(), "names": names}
arrays = {}
with np.load(clips) as data:
  for key in data.files:
    called = model(tf.constant(data[key]))
    for name, value in serve(waveform=tf.constant(data[key])).items():
      assert np.array_equal(value, called[name])
      arrays[f"{key} {name}"] = value.numpy()
np.savez(out, facts=json.dumps(facts), **arrays)
"""


def clips():
  return {str(n): small.signal(4, seed=n)[:n] for n in LENGTHS}


def elsewhere(folder, tmp_path):
  """What another process, without this package, gets from the moved folder."""
  moved = tmp_path / "moved" / "there"
  moved.parent.mkdir()
  shutil.move(folder, moved)
  np.savez(tmp_path / "clips.npz", **clips())
  done = subprocess.run(
    [sys.executable, "-c", ELSEWHERE, moved, "clips.npz", "out.npz"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
  )
  assert done.returncode == 0, done.stderr
  with np.load(tmp_path / "out.npz") as data:
    arrays = dict(data)
  return json.loads(str(arrays.pop("facts"))), arrays


@pytest.mark.export
@pytest.mark.parametrize(
  ("system", "counted", "counts", "ranks"),
  [
    (
      "yamnet",
      "scores",
      [1, 1, 1, 1, 2, 6],
      {"scores": 2, "embeddings": 2, "log_mel": 2},
    ),
    ("yoho", "events", [1, 1, 1, 4, 4, 10], {"events": 3}),
  ],
)
def test_it_equals_keras_elsewhere(system, counted, counts, ranks, tmp_path):
  folder = tmp_path / "saved"
  shutil.copytree(artefacts.made(system, "saved_model"), folder)
  facts, arrays = elsewhere(folder, tmp_path)
  assert facts["input"] == "waveform" and facts["shape"] == [None]
  assert facts["names"] == list(artefacts.CLASS_MAPS[system].names)
  assert len(arrays) == len(LENGTHS) * len(ranks)
  for (key, waveform), count in zip(clips().items(), counts, strict=True):
    assert len(arrays[f"{key} {counted}"]) == count
    expected = artefacts.expected(system, waveform[None])
    for name, rank in ranks.items():
      got = arrays[f"{key} {name}"]
      assert got.ndim == rank and got.dtype == np.float32
      np.testing.assert_allclose(got, expected[name][0], rtol=0, atol=1e-5)


@pytest.mark.export
def test_the_paper_s_windows_are_cut_inside(tmp_path):
  """As `predictor` cuts them: 8 s every 6 s, zeros behind the end."""
  from yoho_tf.models import yoho_windows

  params = small.PAPER
  network = small.build(params)
  folder = tmp_path / "paper"
  class_map = ClassMap.for_names(params.labels)
  saved_model.write(network, params, folder, class_map=class_map)
  model = tf.saved_model.load(str(folder))
  from yoho_tf.deploy import keras_file

  whole = keras_file.rebuilt(network, params, input="waveform")
  for seconds in (0.1, 8, 8.01, 8.02, 14, 27):
    waveform = small.signal(seconds, seed=4)
    plan = yoho_windows.window_plan([waveform], params)
    windows = np.stack([samples for _, samples, _ in plan])
    got = model(waveform)["events"]
    assert len(got) == yoho.num_windows(len(waveform), params)
    expected = whole({"waveform": windows})["events"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_what_is_there_is_kept_or_replaced(tmp_path):
  network, how = artefacts.network("yamnet"), artefacts.options("yamnet")
  mine = tmp_path / "mine"
  mine.mkdir()
  (mine / "notes.txt").write_text("mine")
  with pytest.raises(
    ValueError, match="new, empty or a SavedModel; got .*mine"
  ):
    saved_model.write(network, folder=mine, **how)
  assert (mine / "notes.txt").read_text() == "mine"
  (mine / "notes.txt").rename(mine / "saved_model.pb")  # an older one
  saved_model.write(network, folder=mine, **how)
  assert sorted(p.name for p in (mine / "assets").iterdir()) == [
    "class_map.csv",
    "labels.txt",
    "params.json",
  ]
  assert [p.name for p in tmp_path.iterdir()] == ["mine"]  # nothing else left
  text = (mine / "assets" / "params.json").read_text(encoding="utf-8")
  wanted = dataclasses.replace(artefacts.YAMNET, input="waveform")
  assert from_json(text) == wanted

  variables = next((mine / "variables").glob("*.data*"))
  variables.write_bytes(variables.read_bytes()[: variables.stat().st_size // 2])
  with pytest.raises(ValueError, match="must hold its weights, .* bytes; got"):
    saved_model._check(mine, artefacts.whole("yamnet"), how["params"])


def test_another_vocabulary_is_refused(tmp_path):
  how = dict(artefacts.options("yamnet"), class_map=ClassMap(("a", "b")))
  with pytest.raises(ValueError, match="class_map must hold the labels"):
    saved_model.write(artefacts.network("yamnet"), folder=tmp_path / "a", **how)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.export
def test_a_file_that_differs_from_keras_is_not_left(tmp_path, monkeypatch):
  """As when the weights that were saved are not the model's."""
  whole = saved_model._whole_recording
  calls = []

  def other(model, params):
    calls.append(params)
    function = whole(model, params)
    if len(calls) > 1:  # the reference
      return function
    return lambda x: {n: value + 0.01 for n, value in function(x).items()}

  monkeypatch.setattr(saved_model, "_whole_recording", other)
  with pytest.raises(ValueError, match="must agree with Keras.*of 0.01"):
    saved_model.write(
      artefacts.network("yamnet"),
      folder=tmp_path / "a",
      **artefacts.options("yamnet"),
    )
  assert list(tmp_path.iterdir()) == []
