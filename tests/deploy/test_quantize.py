"""Networks that round as int8 files do, and the files they become."""

import dataclasses
import functools
import subprocess
import sys

import numpy as np
import pytest

from tests import small
from tests.deploy import artefacts

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from yoho_tf.deploy import (  # noqa: E402
  edgetpu,
  export,
  keras_file,
  litert,
  parity,
  quantize,
  runtime,
  targets,
)
from yoho_tf.labels import ClassMap  # noqa: E402
from yoho_tf.layers.frontend import log_mel_layer  # noqa: E402
from yoho_tf.models import yamnet, yoho  # noqa: E402
from yoho_tf.params import PRESETS, YamnetParams  # noqa: E402

TRAIN_UNDER_JAX = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"
import dataclasses, keras, numpy as np
sys.path.insert(0, "tests")  # some package of the peers installs a `tests`
import small
from yoho_tf.deploy import quantize
from yoho_tf.models import yamnet
from yoho_tf.params import YamnetParams
params = YamnetParams(
  width=0.1, num_classes=3, labels=tuple("abc"), activation="relu6",
  input="log_mel",
)
network = yamnet.build(params)
small.draw_kernels(network)
twin = quantize.fake_quant(network)
before = twin.get_weights()
model = keras.Model(twin.input, twin.output["scores"])
model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
rng = np.random.default_rng(0)
x = rng.uniform(-7, 5, (4, 96, 64)).astype("float32")
history = model.fit(x, np.ones((4, 3)), epochs=3, verbose=0).history["loss"]
assert history[-1] < history[0], history
assert all((a != b).any() for a, b in zip(before[-2:], twin.get_weights()[-2:]))
"""


@functools.cache
def twin():
  return quantize.fake_quant(artefacts.network("yamnet"))


@pytest.fixture(scope="module")
def log_mel():
  waveforms = np.stack(artefacts.representative("yamnet"))
  return np.asarray(log_mel_layer(artefacts.YAMNET.frontend)(waveforms))


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
  path = tmp_path_factory.mktemp("quantize") / "twin.tflite"
  path.write_bytes(
    converted(twin(), artefacts.YAMNET, ClassMap(tuple("abcde")))
  )
  return path


def converted(network, params, class_map):
  return litert.tflite(
    network, params, class_map=class_map, precision="dynamic", input="log_mel"
  )


# ---- rounding ----------------------------------------------------------------


@pytest.fixture
def other_backends(monkeypatch):
  """The arithmetic that JAX gets, where TensorFlow has operators for it."""

  def use():
    monkeypatch.setattr(quantize.keras.backend, "backend", lambda: "jax")

  return use


@pytest.mark.parametrize(
  ("low", "high"), [(0.0, 6.0), (-6.93, 5.26), (-16.0, 16.0)]
)
def test_both_ways_of_rounding_agree(low, high, other_backends):
  x = tf.constant(np.random.default_rng(0).uniform(-20, 20, 4000), tf.float32)
  found = []
  for _ in range(2):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = quantize.rounded(x, low, high)
    found.append((y.numpy(), tape.gradient(y, x).numpy()))
    other_backends()
  np.testing.assert_allclose(found[0][0], found[1][0], atol=2e-6)
  np.testing.assert_array_equal(found[0][1], found[1][1])
  values = np.unique(found[0][0])
  assert len(values) <= 256 and 0 in values
  inside = (x > low + 0.1) & (x < high - 0.1)
  assert np.abs(found[0][0] - x)[inside].max() <= (high - low) / 255 / 2 + 1e-6
  assert not found[0][1][(x < low - 0.1) | (x > high + 0.1)].any()


@pytest.mark.parametrize(
  ("shape", "axis"), [((3, 3, 5, 7), 3), ((3, 3, 8, 1), 2), ((9, 4), None)]
)
def test_kernels_are_rounded_symmetrically(shape, axis, other_backends):
  """Against numpy: k = round(127 k / max |k|) max |k| / 127 of each channel."""
  kernel = np.random.default_rng(1).normal(size=shape).astype(np.float32)
  if axis is not None:
    kernel *= np.arange(1, shape[axis] + 1).reshape(
      [-1 if a == axis else 1 for a in range(4)]
    )
  others = tuple(a for a in range(len(shape)) if a != axis)
  top = np.abs(kernel).max(axis=others, keepdims=True)
  expected = np.round(127 * kernel / top) * top / 127
  for _ in range(2):
    x = tf.Variable(kernel)
    with tf.GradientTape() as tape:
      y = quantize.rounded_kernel(x, axis)
    np.testing.assert_allclose(y, expected, atol=1e-5 * top.max())
    np.testing.assert_array_equal(tape.gradient(y, x), np.ones(shape))
    other_backends()


def test_a_channel_of_zeros_stays_zero(other_backends):
  kernel = np.zeros((1, 1, 4, 2), np.float32)
  kernel[..., 1] = 1
  for _ in range(2):
    np.testing.assert_array_equal(quantize.rounded_kernel(kernel, 3), kernel)
    other_backends()


# ---- the twin ----------------------------------------------------------------


def test_names_stay_and_batchnorm_goes():
  network = artefacts.network("yamnet")
  names = [layer.name for layer in network.layers]
  assert [layer.name for layer in twin().layers] == [
    name for name in names if not name.endswith("_bn")
  ]
  assert twin().input.keys() == network.input.keys()
  assert {k: x.shape for k, x in twin().output.items()} == {
    k: x.shape for k, x in network.output.items()
  }


@pytest.mark.parametrize("system", ["yamnet", "yoho"])
def test_weights_go_there_and_back(system):
  """A float network with the twin's weights gives the first one's outputs."""
  network, params = artefacts.network(system), artefacts.PARAMS[system]
  params = dataclasses.replace(params, input="log_mel")
  module = yoho if system == "yoho" else yamnet
  other = module.build(params)
  quantize.unfold(quantize.fake_quant(network), other)
  log_mel = np.random.default_rng(2).normal(size=(2, 96, 64)).astype("float32")
  name = "layer4_pointwise_conv_relu"  # beyond, random weights are chaotic
  values = [
    keras.Model(m.input, m.get_layer(name).output)({"log_mel": log_mel})
    for m in (network, other)
  ]
  assert np.std(values[0]) > 1e-3
  np.testing.assert_allclose(*values, rtol=0, atol=1e-4 * np.max(values[0]))
  ours, theirs = quantize.folded(network), quantize.folded(other)
  assert ours.keys() == theirs.keys()
  for key, pair in ours.items():
    for one, two in zip(pair, theirs[key], strict=True):
      np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)


def test_a_step_changes_every_weight(log_mel):
  twin = quantize.fake_quant(artefacts.network("yamnet"))
  with tf.GradientTape() as tape:
    scores = twin({"log_mel": log_mel})["scores"]
    loss = tf.reduce_mean(tf.square(scores - 1.0))
  gradients = tape.gradient(loss, twin.trainable_variables)
  assert len(gradients) == 2 * 28
  for gradient, weight in zip(gradients, twin.trainable_variables, strict=True):
    assert np.isfinite(gradient).all() and np.any(gradient != 0), weight.path


def test_it_is_saved_and_loaded(tmp_path, log_mel):
  twin().save(tmp_path / "twin.keras")
  again = keras.saving.load_model(tmp_path / "twin.keras")
  for name, value in twin()({"log_mel": log_mel}).items():
    np.testing.assert_array_equal(again({"log_mel": log_mel})[name], value)


def test_it_trains_under_jax(repository):
  pytest.importorskip("jax")
  done = subprocess.run(
    [sys.executable, "-c", TRAIN_UNDER_JAX],
    cwd=repository,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr


def test_what_has_no_twin_is_refused():
  narrow = {"width": 0.1, "num_classes": 2, "labels": ("a", "b")}
  relu = YamnetParams(**narrow, activation="relu", input="log_mel")
  with pytest.raises(ValueError, match="must be relu6.*got relu in 'layer1"):
    quantize.fake_quant(yamnet.build(relu))
  waveform = YamnetParams(**narrow, activation="relu6")
  with pytest.raises(ValueError, match="input log_mel; got waveform"):
    quantize.fake_quant(yamnet.build(waveform))
  crnn = dataclasses.replace(
    small.PAPER, baseline="crnn", activation="relu6", input="log_mel"
  )
  with pytest.raises(ValueError, match="layer must be one of.*got"):
    quantize.fake_quant(yoho.build(crnn))
  with pytest.raises(ValueError, match="dialect must be yamnet.*got yoho"):
    quantize.input_range(PRESETS["yoho_music_speech"])
  assert quantize.input_range(artefacts.YAMNET) == edgetpu.LOG_MEL_RANGE


# ---- the file ----------------------------------------------------------------


@pytest.mark.export
def test_the_file_has_the_operators_of_an_edge_tpu(lite):
  found = {(name, version) for name, version, _ in parity.operators(lite)}
  assert found == {
    ("QUANTIZE", 1), ("RESHAPE", 1), ("CONV_2D", 3), ("DEPTHWISE_CONV_2D", 3),
    ("MEAN", 2), ("FULLY_CONNECTED", 4), ("LOGISTIC", 2), ("DEQUANTIZE", 2),
  }  # fmt: skip
  report = edgetpu.check(lite.read_bytes())
  assert report.passed and not report.warnings, report.text()
  (tensor,) = report.inputs
  assert tensor.scale == pytest.approx(0.0478, abs=1e-4)
  assert tensor.zero_point == 17
  assert report.outputs[0].scale == 1 / 256


@pytest.mark.export
def test_the_file_gives_what_the_twin_gives(lite, log_mel):
  """No calibration: the ranges of the file are those of the twin."""
  opened = runtime.Runtime.open(lite)
  expected = np.asarray(twin()({"log_mel": log_mel})["scores"])
  got = np.concatenate(
    [opened.predict({"log_mel": row[None]})["scores"] for row in log_mel]
  )
  assert np.ptp(expected) > 0.3
  np.testing.assert_allclose(got, expected, rtol=0, atol=0.07)


@pytest.mark.parametrize(
  ("to", "how", "words"),
  [
    ("onnx", {"optimize": "prune"}, "optimize prune is for tflite"),
    ("edgetpu", {"optimize": "qat"}, "optimize qat is for tflite"),
    ("tflite", {"optimize": "squeeze"}, "fake_quant or qat.*'squeeze'"),
    (
      "tflite",
      {"optimize": "fake_quant", "precision": "float16"},
      "for precision int8; got float16",
    ),
  ],
)
def test_what_cannot_be_optimized(to, how, words):
  precision = how.pop("precision", "int8" if to == "tflite" else None)
  with pytest.raises(ValueError, match=words):
    targets.jobs(artefacts.YAMNET, to, "x", precision, None, how)


@pytest.mark.export
@pytest.mark.parametrize("to", ["tflite", "edgetpu"])
def test_export_needs_no_calibration(to, tmp_path):
  keras_file.write(
    small.network(),
    small.PARAMS,
    tmp_path / "tiny.keras",
    class_map=artefacts.CLASS_MAPS["yoho"],
  )
  (report,) = export.export(
    tmp_path / "tiny.keras",
    to=to,
    out=tmp_path / "out",
    optimize="fake_quant",
    tolerance={"max_error": 1.0, "top1": 0.0, "boundary": 1.0},
    log=lambda line: None,
  )
  assert report["precision"] == "int8" and report["calibration"] is None
  assert report["optimize"] == {"method": "fake_quant"}
  if to == "edgetpu":
    assert report["edgetpu"]["status"].startswith("checked")


@pytest.mark.export
def test_yamnet_untrained(shared, tmp_path):
  """deploy.md: 4.05 MB and at most .06 from the float network."""
  from yoho_tf.deploy import examples, float_network

  source = float_network.load(
    "yamnet", weights=shared / "yamnet" / "yamnet_relu6.h5", family="relu6"
  )
  path = tmp_path / "yamnet.tflite"
  path.write_bytes(
    converted(
      quantize.fake_quant(source.network), source.params, source.class_map
    )
  )
  assert 4.0e6 < path.stat().st_size < 4.12e6  # labels and class map inside
  windows = examples.examples(source.params)
  report = parity.report(
    path,
    parity.reference(source.network, source.params, windows),
    source.params,
    windows,
    precision="int8",
    input="log_mel",
    tolerance={"max_error": 0.06},
  )
  assert report["passed"], report["reasons"]
  assert edgetpu.check(path.read_bytes()).passed
