"""Keras -> ONNX: Keras' numbers, our names, standard operators."""

import dataclasses
import sys

import numpy as np
import pytest

from tests import small
from tests.deploy import artefacts

tf = pytest.importorskip("tensorflow")
library = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from yoho_tf.deploy import metadata  # noqa: E402
from yoho_tf.deploy import onnx as export  # noqa: E402
from yoho_tf.labels import ClassMap  # noqa: E402
from yoho_tf.layers.frontend import log_mel_layer  # noqa: E402
from yoho_tf.params import from_json  # noqa: E402

pytestmark = pytest.mark.export  # whole conversions


def session(path):
  return onnxruntime.InferenceSession(
    str(path), providers=["CPUExecutionProvider"]
  )


def run(path, inputs):
  """By ONNX Runtime alone: `{name: array}`."""
  opened = session(path)
  names = [node.name for node in opened.get_outputs()]
  return dict(zip(names, opened.run(None, inputs), strict=True))


def write(system, path, **how):
  network = artefacts.network(system)
  export.write(network, path=path, **artefacts.options(system), **how)
  return path


def shapes(nodes):
  return {node.name: node.shape for node in nodes}


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
  """YOHO on log-mels of any batch and length."""
  path = tmp_path_factory.mktemp("onnx") / "cut.onnx"
  return write("yoho", path, input="log_mel", dynamic_batch=True)


@pytest.fixture(scope="module")
def yamnet():
  """YAMNet on waveforms."""
  return artefacts.made("yamnet", "onnx")


# ---- numbers ----------------------------------------------------------------


@pytest.mark.parametrize(("batch", "cells"), [(1, 1), (2, 7), (1, 40)])
def test_a_cut_network_equals_keras(batch, cells, cut):
  size = cells * 5120 + 240
  waveforms = [small.signal(size / 16e3, seed=i)[:size] for i in range(batch)]
  log_mel = np.stack([artefacts.log_mel(w) for w in waveforms])
  expected = artefacts.network("yoho")({"log_mel": log_mel})["events"]
  got = run(cut, {"log_mel": log_mel})
  assert list(got) == ["events"]
  assert got["events"].shape == (batch, cells, 8, 3)
  np.testing.assert_allclose(got["events"], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
  ("num_samples", "patches"),
  [(1, 1), (100, 1), (15_600, 1), (15_601, 2), (48_000, 6)],
)
def test_yamnet_pads_inside(num_samples, patches, yamnet):
  waveform = small.signal(num_samples / 16e3)[None, :num_samples]
  expected = artefacts.expected("yamnet", waveform)
  got = run(yamnet, {"waveform": waveform})
  assert list(got) == list(expected) == ["scores", "embeddings", "log_mel"]
  assert got["scores"].shape == (1, patches, 5)
  for name, value in got.items():
    np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-3)


def test_yoho_pads_inside():
  path = artefacts.made("yoho", "onnx")
  for num_samples in (1, 5120, 5121, 128_000):
    waveform = small.signal(num_samples / 16e3)[None, :num_samples]
    got = run(path, {"waveform": waveform})["events"]
    assert got.shape[1] == -(-num_samples // 5120)
    expected = artefacts.expected("yoho", waveform)["events"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


def test_a_fixed_length_is_not_padded(tmp_path):
  path = write("yoho", tmp_path / "a.onnx", frames=64)
  opened = session(path)
  assert shapes(opened.get_inputs()) == {"waveform": [1, 2 * 5120 + 240]}
  assert shapes(opened.get_outputs()) == {"events": [1, 2, 8, 3]}
  waveform = small.signal(1)[None, : 2 * 5120 + 240]
  front = log_mel_layer(small.PARAMS.frontend)
  expected = small.network()({"log_mel": front(waveform)})["events"]
  got = run(path, {"waveform": waveform})["events"]
  np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
  "baseline",
  [
    "none",
    "cnn",
    pytest.param("crnn", marks=pytest.mark.large),  # minutes: GRUs unrolled
  ],
)
def test_windows_and_baselines_equal_keras(baseline, tmp_path):
  """The front end was `rfft`, decibels of the window's own peak."""
  from yoho_tf.deploy import keras_file
  from yoho_tf.models import yoho

  params = dataclasses.replace(
    small.PAPER, labels=("Speech", "Music"), baseline=baseline, input="log_mel"
  )
  assert params.frontend.transform == "rfft"
  network = yoho.build(params)
  small.draw_kernels(network)
  path = tmp_path / "a.onnx"
  class_map = ClassMap.for_names(params.labels)
  export.write(network, params, path, class_map=class_map)
  whole = keras_file.rebuilt(network, params, input="waveform")
  waveform = small.signal(8)[None]
  got = run(path, {"waveform": waveform})
  assert list(got) == [params.output]
  expected = np.asarray(whole({"waveform": waveform})[params.output])
  assert expected.std() > 1e-3
  np.testing.assert_allclose(got[params.output], expected, atol=1e-3)


# ---- the file ---------------------------------------------------------------


def test_names_axes_and_operators(cut, yamnet):
  for path in (cut, yamnet):
    model = library.load(path)
    library.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
  opened = session(cut)
  assert shapes(opened.get_inputs()) == {"log_mel": ["batch", "frames", 64]}
  assert shapes(opened.get_outputs()) == {"events": ["batch", "cells", 8, 3]}
  opened = session(yamnet)
  assert shapes(opened.get_inputs()) == {"waveform": [1, "samples"]}
  assert shapes(opened.get_outputs()) == {
    "scores": [1, "patches", 5],
    "embeddings": [1, "patches", 256],
    "log_mel": [1, "frames", 64],
  }


def test_the_file_carries_vocabulary_and_params(cut):
  inside = session(cut).get_modelmeta().custom_metadata_map
  assert inside[metadata.LABELS].splitlines() == list(small.PARAMS.labels)
  assert inside[metadata.CLASS_MAP] == ClassMap.bundled("everyday").text()
  params = from_json(inside[metadata.PARAMS])
  assert params == dataclasses.replace(small.PARAMS, input="log_mel")


def test_chosen_outputs_only(tmp_path):
  path = tmp_path / "a.onnx"
  write("yamnet", path, input="log_mel", outputs=["scores"])
  opened = session(path)
  assert shapes(opened.get_inputs()) == {"log_mel": [1, 96, 64]}
  assert shapes(opened.get_outputs()) == {"scores": [1, 5]}


# ---- refusals ---------------------------------------------------------------


def test_an_fft_is_refused_before_conversion():
  front = dataclasses.replace(small.PARAMS.frontend, transform="rfft")
  layer = log_mel_layer(front)
  with pytest.raises(ValueError, match=r"ONNX has; got RFFT .*transform='dft'"):
    export.convert(
      lambda x: {"log_mel": layer(x)}, shape=[1, 5360], name="waveform"
    )


def test_a_file_that_differs_from_keras_is_not_left(tmp_path, monkeypatch):
  monkeypatch.setitem(export.TOLERANCE, "log_mel", 1e-12)
  with pytest.raises(ValueError, match=r"scores must agree with Keras.*1e-12"):
    write("yamnet", tmp_path / "a.onnx", input="log_mel")
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("how", "message"),
  [
    ({"input": "audio"}, "input must be waveform or log_mel; got 'audio'"),
    ({"frames": 33}, "frames must be a positive multiple of 32; got 33"),
    ({"outputs": ["event"]}, "outputs must be among events.*got 'event'"),
    ({"class_map": ClassMap(("a", "b"))}, "class_map must hold the labels"),
  ],
)
def test_what_cannot_be_written_is_named(how, message, tmp_path):
  how = {**artefacts.options("yoho"), **how}
  with pytest.raises(ValueError, match=message):
    export.write(small.network(), path=tmp_path / "a.onnx", **how)
  assert list(tmp_path.iterdir()) == []


def test_without_the_packages_the_extra_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "tf2onnx", None)
  with pytest.raises(ValueError, match=r"needs tf2onnx.*yoho_tf\[onnx\]"):
    write("yamnet", tmp_path / "a.onnx")
