"""`hub.load` and `inference.py` on any artefact: the events of the model."""

import dataclasses
import json

import numpy as np
import pytest

from tests import small
from tests.deploy import artefacts
from yoho_tf import hub, predictor

pytest.importorskip("tensorflow")

from yoho_tf.deploy import litert, runtime  # noqa: E402
from yoho_tf.layers.frontend import log_mel_layer  # noqa: E402

# Cells that a zero behind the file's end, instead of the network's own
# padding, may change: where a file takes windows of one length only.
REACH = 8


pytestmark = pytest.mark.export  # whole conversions


def keras_model(network, params, name="keras"):
  """The network behind its own front end, as `hub` runs weights."""
  front = log_mel_layer(params.frontend)
  run = runtime.KerasNetwork(network)
  return predictor.YohoModel(
    name, params, lambda x: run({"log_mel": front(x["waveform"])})
  )


def assert_same(got, expected, *, atol, seconds=0.02, until=None):
  """Scores and events of two results, in the first `until` cells."""
  assert got.scores.shape == expected.scores.shape
  np.testing.assert_allclose(
    got.scores[:until], expected.scores[:until], rtol=0, atol=atol
  )
  limit = np.inf if until is None else until * expected.cell_seconds
  rows = [
    [(e.label, e.start, e.end, e.score) for e in r.events if e.end < limit]
    for r in (got, expected)
  ]
  assert [row[0] for row in rows[0]] == [row[0] for row in rows[1]]
  assert rows[1]
  times = [np.array([row[1:] for row in part]) for part in rows]
  np.testing.assert_allclose(*times, rtol=0, atol=max(atol, seconds))


def cut(network, params, class_map, path, **how):
  """A `.tflite` on log-mels."""
  data = litert.tflite(
    network,
    params,
    class_map=class_map,
    precision="float32",
    input="log_mel",
    **how,
  )
  path.write_bytes(data)
  return path


@pytest.mark.parametrize(
  "frames", [pytest.param(None, marks=pytest.mark.export), 800]
)
def test_log_mels_of_any_and_of_one_length(frames, tmp_path):
  """Edge TPU files have windows of 25 cells, and no front end inside."""
  network, params = small.network(), small.PARAMS
  path = tmp_path / "cut.tflite"
  cut(network, params, artefacts.CLASS_MAPS["yoho"], path, frames=frames)
  model = hub.load(path)
  expected_cells = params.inference.window_cells if frames is None else 25
  assert model.params.inference.window_cells == expected_cells
  reference = keras_model(network, params)
  for seconds in (0.2, 8, 41.7):
    waveform = small.signal(seconds, seed=3)
    expected = reference.predict(waveform)
    until = len(expected.scores) - REACH if frames else None
    if until is None or until > 0:
      got = model.predict(waveform)
      assert_same(got, expected, atol=2e-3, until=until)
    else:
      assert model.predict(waveform).scores.shape == expected.scores.shape
  many = list(model.predict_many([waveform, waveform[:9000]]))
  assert_same(many[0], model.predict(waveform), atol=1e-6)


# ---- the bundled model, whole -----------------------------------------------


@pytest.fixture(scope="module")
def everyday():
  """Keras network and params of `yoho_everyday`, class map, model on Keras."""
  weights = hub.WEIGHTS / "yoho_everyday.weights.h5"
  if not weights.is_file():
    pytest.skip("no yoho_everyday.weights.h5 beside the bundled model")
  from yoho_tf.models import yoho

  params = hub.load("yoho_everyday").params
  network = yoho.build(dataclasses.replace(params, input="log_mel"))
  network.load_weights(weights)
  return network, params, artefacts.CLASS_MAPS["yoho"]


def _written(kind, network, params, class_map, folder):
  from yoho_tf.deploy import keras_file, saved_model

  if kind == "saved_model":
    path = folder / "everyday"
    saved_model.write(network, params, path, class_map=class_map)
  elif kind == "keras":
    path = folder / "everyday.keras"
    keras_file.write(network, params, path, class_map=class_map)
  elif kind.startswith("tflite"):
    frames = 800 if "800" in kind else None
    path = cut(network, params, class_map, folder / "a.tflite", frames=frames)
  else:
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    from yoho_tf.deploy import onnx

    how = {
      "onnx": {},
      "onnx 800": {"frames": 800},
      "onnx log_mel": {"input": "log_mel", "dynamic_batch": True},
    }[kind]
    path = folder / "everyday.onnx"
    onnx.write(network, params, path, class_map=class_map, **how)
  return path


@pytest.mark.export
@pytest.mark.parametrize(
  "kind",
  [
    "keras",
    "saved_model",
    "onnx",
    "onnx 800",
    "onnx log_mel",
    "tflite log_mel",
    "tflite log_mel 800",
  ],
)
def test_the_example_through_every_artefact(
  kind, everyday, repository, tmp_path, capsys
):
  from yoho_tf.cli import predict

  network, params, class_map = everyday
  path = _written(kind, network, params, class_map, tmp_path)
  radio = repository / "examples" / "radio.flac"
  expected = keras_model(network, params).predict(radio)
  got = hub.load(path).predict(radio)
  until = len(expected.scores) - REACH if "800" in kind else None
  assert_same(got, expected, atol=2e-3, until=until)

  capsys.readouterr()
  assert predict.main(["--model", str(path), "--json", str(radio)]) == 0
  (line,) = capsys.readouterr().out.splitlines()
  found = json.loads(line)["events"]
  assert len(found) == len(got.events)
  labels = [event["label"] for event in found]
  assert labels == [str(label) for label in got.events.label]
