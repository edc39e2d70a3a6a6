"""Files for MediaPipe's AudioClassifier, run by MediaPipe itself.

Its requirements clash with those of other extras, so it may live in an
environment of its own: YOHO_MEDIAPIPE_PYTHON names that interpreter, by
default the one that runs the tests.
"""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests import small
from yoho_tf import weights_h5
from yoho_tf.deploy import flatbuffer, metadata, runtime
from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS

pytest.importorskip("tensorflow")

from yoho_tf.deploy import mediapipe  # noqa: E402
from yoho_tf.models import yamnet  # noqa: E402

pytestmark = pytest.mark.export  # whole conversions

PYTHON = os.environ.get("YOHO_MEDIAPIPE_PYTHON", sys.executable)
CLASSIFY = """
import json, sys
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import audio
from mediapipe.tasks.python.components import containers
model, waveform = sys.argv[1:]
options = audio.AudioClassifierOptions(
  base_options=tasks.BaseOptions(model_asset_path=model), max_results=1
)
with audio.AudioClassifier.create_from_options(options) as classifier:
  data = containers.AudioData.create_from_array(np.load(waveform), 16000)
  rows = [
    [head.head_name, head.categories[0].category_name, head.categories[0].score]
    for result in classifier.classify(data)
    for head in result.classifications
  ]
print("ROWS", json.dumps(rows))
"""


def is_installed():
  code = "import importlib.util as u; print(bool(u.find_spec('mediapipe')))"
  done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
  return done.stdout.strip() == "True"


@pytest.fixture(scope="module")
def classify(tmp_path_factory):
  """A function: model bytes, waveform -> [head, best label, score] a window."""
  if not is_installed():
    pytest.skip(f"no mediapipe in {PYTHON}; YOHO_MEDIAPIPE_PYTHON names one")
  folder = tmp_path_factory.mktemp("mediapipe")

  def run(model, waveform):
    (folder / "model.tflite").write_bytes(model)
    np.save(folder / "waveform.npy", np.float32(waveform))
    done = subprocess.run(
      [PYTHON, "-c", CLASSIFY, "model.tflite", "waveform.npy"],
      capture_output=True,
      text=True,
      cwd=folder,
    )
    if done.returncode:
      raise RuntimeError(done.stderr)
    (line,) = (r for r in done.stdout.splitlines() if r.startswith("ROWS"))
    return json.loads(line.removeprefix("ROWS"))

  return run


def tone(seconds):
  return np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)


# ---- YAMNet -----------------------------------------------------------------


@pytest.fixture(scope="module")
def speech(shared):
  """A second of it, the one that Coral's example has."""
  return np.load(shared / "yamnet" / "coral_spectra.npz")["audio"] / 32768


@pytest.fixture(scope="module")
def converted(shared, speech):
  """precision -> a YAMNet for MediaPipe."""
  folder = shared / "yamnet"
  class_map = ClassMap.read(folder / "yamnet_class_map.csv")
  params = dataclasses.replace(
    PRESETS["yamnet_audioset_relu6"], input="log_mel", labels=class_map.names
  )
  network = yamnet.build(params)
  weights_h5.load_weights(
    network, folder / "yamnet_relu6.h5", activation="relu6", family="relu6"
  )
  windows = [small.signal(1, seed=i)[:15600] for i in range(10)]
  windows += [g * x for x in (speech, tone(0.975)) for g in (1, 0.3, 0.01)]
  windows.append(np.zeros(15600))

  @functools.cache
  def convert(precision):
    return mediapipe.tflite(
      network,
      params,
      class_map=class_map,
      name="YAMNet",
      precision=precision,
      representative=[np.float32(w) for w in windows]
      if precision == "int8"
      else None,
    )

  return convert


@pytest.mark.export
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_it_hears_a_tone_and_speech(precision, converted, classify, speech):
  model = converted(precision)
  *rows, _ = classify(model, tone(2.9))  # the last window is mostly silence
  assert len(rows) == 2
  for head, label, score in rows:
    assert (head, label) == ("scores", "Sine wave") and score > 0.99
  ((head, label, score),) = classify(model, speech)
  assert (head, label) == ("scores", "Speech") and score > 0.9


@pytest.mark.export
def test_without_metadata_it_is_refused(converted, classify):
  model, files = metadata.unpack(converted("float32"))
  tree = flatbuffer.load(model)
  tree.metadata = []
  bare = flatbuffer.dump(tree)
  with pytest.raises(RuntimeError, match="Metadata but none was found"):
    classify(bare, tone(1))
  # The labels alone, which others may pack, are not enough.
  with pytest.raises(RuntimeError, match="Metadata but none was found"):
    classify(metadata.pack(bare, files), tone(1))


# ---- YOHO -------------------------------------------------------------------


@pytest.fixture(scope="module")
def yoho_bytes():
  return mediapipe.tflite(
    small.network(),
    small.PARAMS,
    class_map=ClassMap.bundled("everyday"),
    name="YOHO",
    precision="float32",
    frames=96,
  )


def test_yoho_gives_the_greatest_presence_of_a_window(yoho_bytes, tmp_path):
  from yoho_tf.layers.frontend import log_mel_layer

  path = tmp_path / "yoho.tflite"
  path.write_bytes(yoho_bytes)
  waveform = small.signal(0.975, seed=3)[None, :15600]
  log_mel = log_mel_layer(small.PARAMS.frontend)(waveform)
  events = np.asarray(small.network()({"log_mel": log_mel})["events"])
  got = runtime.LiteRt(path)({"waveform": waveform})
  assert list(got) == ["scores"]
  expected = events[..., 0].max(axis=1)
  np.testing.assert_allclose(got["scores"], expected, rtol=0, atol=1e-4)
  found = metadata.describe(path)
  assert found.labels == small.PARAMS.labels
  assert (found.sample_rate_hz, found.name) == (16000, "YOHO")
  # `hub.load` would look for `events`.
  assert found.params is None


@pytest.mark.export
def test_mediapipe_runs_a_yoho(yoho_bytes, classify, tmp_path):
  path = tmp_path / "yoho.tflite"
  path.write_bytes(yoho_bytes)
  waveform = small.signal(0.975, seed=3)[:15600]
  ((head, label, score),) = classify(yoho_bytes, waveform)
  scores = runtime.LiteRt(path)({"waveform": waveform[None]})["scores"][0]
  assert (head, label) == ("scores", small.PARAMS.labels[scores.argmax()])
  assert score == pytest.approx(scores.max(), abs=1e-4)


def test_a_baseline_has_no_window_scores():
  params = dataclasses.replace(small.PAPER, baseline="cnn")
  with pytest.raises(ValueError, match="cells, not frames.*'cnn'"):
    mediapipe.window_scores(None, params)
