"""The weight file of YOHO's authors: read, refused, and what it hears."""

import dataclasses

import h5py
import numpy as np
import pytest

from yoho_tf import audio, hub, resampling, weights_yoho_h5
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS

PARAMS = dataclasses.replace(PRESETS["yoho_music_speech"], input="log_mel")
# Written down once more: not taken from the package.
CHANNELS = (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024, 512, 256, 128)
HEAD = "conv1d_3"


def authors_arrays():
  """{Keras 2 layer: {variable: array}} of drawn numbers that keep signals."""
  random = np.random.default_rng(0)
  layers = {}

  def draw(*shape, scale=1.0):
    return (scale * random.standard_normal(shape)).astype(np.float32)

  def add(name, variable, kernel, channels, norm=None):
    layers[name] = {variable: kernel}
    layers[norm or f"{name}/bn"] = {
      "beta": draw(channels, scale=0.2),
      "moving_mean": draw(channels, scale=0.1),
      "moving_variance": random.uniform(0.5, 1.5, channels).astype(np.float32),
    }

  kernel = draw(3, 3, 1, 32, scale=1 / 60)  # the input is in dB
  add("layer1/conv", "kernel", kernel, 32, "layer1/bn")
  for number, (before, after) in enumerate(zip(CHANNELS, CHANNELS[1:]), 2):
    kernel = draw(3, 3, before, 1, scale=(2 / 9) ** 0.5)
    add(f"layer{number}/depthwise_conv", "depthwise_kernel", kernel, before)
    kernel = draw(1, 1, before, after, scale=(2 / before) ** 0.5)
    add(f"layer{number}/pointwise_conv", "kernel", kernel, after)
  layers[HEAD] = {"kernel": draw(1, 256, 6, scale=0.3), "bias": draw(6)}
  return layers


@pytest.fixture(scope="module")
def layers():
  return authors_arrays()


def write(path, layers, *, below="", more=()):
  """As Keras 2 wrote it: a group per layer, in it the full variable names."""
  with h5py.File(path, "w") as file:
    file.attrs["keras_version"] = "2.4.0"
    file.create_group(f"{below}layer1/relu")  # a layer without weights
    for name, variables in layers.items():
      for variable, value in variables.items():
        file[f"{below}{name}/{name}/{variable}:0"] = value
    for name in more:
      file[name] = np.ones(1, np.float32)
  return path


@pytest.fixture(scope="module")
def file(layers, tmp_path_factory):
  path = tmp_path_factory.mktemp("authors") / "YOHO-music-speech.h5"
  return write(path, layers)


@pytest.fixture(scope="module")
def blank():
  """A network that no test of errors may change."""
  return yoho.build(PARAMS)


def test_there_are_134_arrays(file, layers):
  rows = weights_yoho_h5.layout(yoho.TABLE, num_outputs=6, bands_left=2)
  assert len(rows) == sum(map(len, layers.values())) == 4 + 16 * 8 + 2 == 134
  shapes = {
    f"{name}/{name}/{variable}:0".replace(HEAD, "conv1d"): value.shape
    for name, variables in layers.items()
    for variable, value in variables.items()
  }
  assert {row[0]: row[3] for row in rows} == shapes
  assert "layer1/bn/layer1/bn/beta:0" in shapes
  assert "layer17/pointwise_conv/bn/layer17/pointwise_conv/bn/beta:0" in shapes


@pytest.mark.parametrize("whole_model", [False, True])
def test_every_array_reaches_its_layer(whole_model, file, layers, tmp_path):
  if whole_model:
    below = "model_weights/"
    extra = ["optimizer_weights/Adam/iter:0"]
    file = write(tmp_path / "model.h5", layers, below=below, more=extra)
  model = yoho.build(PARAMS)
  weights_yoho_h5.load_weights(model, file)
  for name, variables in layers.items():
    if name == HEAD:
      continue
    ours = "layer1_conv_bn" if name == "layer1/bn" else name.replace("/", "_")
    weights = model.get_layer(ours).weights
    assert len(weights) == len(variables)
    for got, expected in zip(weights, variables.values()):
      np.testing.assert_array_equal(np.asarray(got), expected, err_msg=name)
  if whole_model:
    return
  # The authors' head: bands and channels flattened, then a Conv1D.
  import keras

  last = model.get_layer("layer17_pointwise_conv_relu").output
  both = keras.Model(model.input, [last, model.output["event_logits"]])
  random = np.random.default_rng(1)
  log_mel = random.uniform(-80, 20, (1, 801, 64)).astype(np.float32)
  features, logits = (np.asarray(x) for x in both({"log_mel": log_mel}))
  head = layers[HEAD]
  flat = features.reshape(26, 256).astype(np.float64)
  expected = flat @ head["kernel"][0] + head["bias"]
  assert np.ptp(expected) > 1
  np.testing.assert_allclose(
    logits[0].reshape(26, 6), expected, rtol=1e-4, atol=1e-4
  )


FAULTS = {
  "missing": (
    {"layer16/pointwise_conv/bn": {"beta": None}},
    "missing layer16/pointwise_conv/bn/layer16/pointwise_conv/bn/beta:0",
  ),
  "shape": (
    {"layer3/pointwise_conv": {"kernel": np.ones((1, 1, 64, 127), "f")}},
    r"layer3/pointwise_conv/kernel:0 has shape \(1, 1, 64, 127\), expected",
  ),
  "head": (
    {HEAD: {"kernel": np.ones((1, 256, 18), "f")}},
    r"kernel:0 has shape \(1, 256, 18\), expected \(1, 256, 6\)",
  ),
  "extra": (
    {"layer18/conv": {"kernel": np.ones(3, "f")}},
    "unexpected layer18/conv/layer18/conv/kernel:0",
  ),
  "two heads": (
    {"conv1d_4": {"bias": np.ones(6, "f")}},
    "unexpected conv1d_4/conv1d_4/bias:0",
  ),
  "nan": (
    {HEAD: {"bias": np.full(6, np.nan, "f")}},
    "bias:0 holds NaN or infinite values",
  ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_files_change_nothing(fault, layers, tmp_path, blank):
  changes, message = FAULTS[fault]
  changed = {name: dict(variables) for name, variables in layers.items()}
  for name, variables in changes.items():
    changed[name] = {
      key: value
      for key, value in {**changed.get(name, {}), **variables}.items()
      if value is not None
    }
  path = write(tmp_path / "faulty.h5", changed)
  before = [np.asarray(w) for w in blank.weights]
  with pytest.raises(ValueError, match=message) as error:
    weights_yoho_h5.load_weights(blank, path)
  text = str(error.value)
  assert text.startswith("weights faulty.h5 must hold the 134 YOHO datasets; ")
  assert "\n" not in text
  for got, expected in zip(blank.weights, before):
    np.testing.assert_array_equal(np.asarray(got), expected)


def test_the_hub_takes_the_file_by_its_preset(file, tmp_path, layers):
  model = hub.load("yoho_music_speech", weights=file)
  result = model.predict(np.zeros(16_000, np.float32))
  assert result.labels == ("speech", "music")
  assert result.scores.shape == (26, 2)
  with pytest.raises(ValueError, match="the baseline crnn must be a .weights"):
    hub.load("yoho_music_speech", weights=file, settings={"baseline": "crnn"})
  with pytest.raises(ValueError, match="must be an HDF5 file.*text.h5"):
    (tmp_path / "text.h5").write_text("none\n")
    hub.load("yoho_music_speech", weights=tmp_path / "text.h5")
  settings = {"width": 0.25}
  with pytest.raises(ValueError, match="width 1.0 only; layer1_conv has"):
    hub.load("yoho_music_speech", weights=file, settings=settings)


@pytest.mark.large
def test_the_authors_example(shared):
  """music 0.0-8.0 s, speech 2.967-8.0 s, as their notebook prints.

  Their windows are cut and normalised at 22,050 Hz, then resampled.
  """
  folder = shared / "yoho"
  weights = folder / "YOHO-music-speech.h5"
  clip = folder / "test-music-speech.wav"
  for path in (weights, clip):
    if not path.is_file():
      pytest.skip(f"test data absent: ../shared/data/yoho/{path.name}")
  waveform = audio.read(clip, sample_rate_hz=22_050)[: 8 * 22_050]
  waveform = np.pad(waveform, (0, 8 * 22_050 - len(waveform)))
  waveform = resampling.resample(
    waveform / np.abs(waveform).max(), 22_050, 16_000
  )
  model = hub.load(
    "yoho_music_speech",
    weights=weights,
    settings={"inference.compat": "paper_code"},
  )
  events = {e.label: e for e in model.predict(waveform[:128_000]).events}
  assert set(events) == {"music", "speech"}
  for label, start in (("music", 0.0), ("speech", 2.967)):
    assert events[label].start == pytest.approx(start, abs=0.02)
    assert events[label].end == pytest.approx(8.0, abs=0.02)
