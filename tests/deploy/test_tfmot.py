"""Networks that go to tensorflow-model-optimization and come back.

It wants an environment of its own, whose interpreter the environment variable
YOHO_TFMOT_PYTHON names (pip install '.[tfmot]' there).
"""

import json
import os
import sys

import numpy as np
import pytest

from tests import small
from tests.deploy import artefacts

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from yoho_tf.deploy import export, keras_file, parity, tfmot  # noqa: E402
from yoho_tf.layers.frontend import log_mel_layer  # noqa: E402

FEW = {"batch_size": 4, "epochs": 1, "range_passes": 2, "learning_rate": 1e-4}
CELLS = 4  # of a training window


@pytest.fixture(scope="module")
def python():
  found = os.environ.get(tfmot.PYTHON)
  if not found:
    pytest.skip(f"{tfmot.PYTHON} names no interpreter with [tfmot]")
  return found


@pytest.fixture(scope="module")
def log_mel():
  size = CELLS * 5120 + 240
  waveforms = [small.signal(2, seed=seed)[:size] for seed in range(6)]
  return np.asarray(log_mel_layer(small.PARAMS.frontend)(np.stack(waveforms)))


def optimize(network, params, log_mel, **how):
  return tfmot.optimize(
    network, params, log_mel, log=lambda line: None, **{**FEW, **how}
  )


# ---- default tier: what needs no such environment ----------------------------


def test_the_table_and_the_weights_describe_the_network():
  network = artefacts.network("yamnet")
  table = tfmot.layer_table(network)
  names = [row["name"] for row in table]
  assert names == [layer.name for layer in network.layers[1:]]
  assert json.loads(json.dumps(table)) is not None
  weights = tfmot.weights_of(network)
  assert len(weights) == 110
  other = keras_file.rebuilt(network, artefacts.YAMNET, input="log_mel")
  tfmot.set_weights(other, {key: 0 * value for key, value in weights.items()})
  assert not any(np.any(value) for value in other.get_weights())
  tfmot.set_weights(other, weights)
  for one, two in zip(network.get_weights(), other.get_weights(), strict=True):
    np.testing.assert_array_equal(one, two)


def test_an_unknown_layer_is_refused():
  network = keras.Sequential(
    [keras.layers.Input((4, 2)), keras.layers.GRU(2, name="memory")]
  )
  with pytest.raises(ValueError, match="layer must be one of.*GRU 'memory'"):
    tfmot.layer_table(network)


@pytest.mark.parametrize(
  ("how", "words"),
  [
    ({"method": "squeeze"}, "method must be one of qat.*'squeeze'"),
    ({"method": "qat", "epoch": 3}, "options must be of .*epochs.*; got epoch"),
    ({"method": "qat", "python": "/no/python"}, "python must be.*'/no/python'"),
  ],
)
def test_what_cannot_be_asked_for(how, words, log_mel):
  with pytest.raises(ValueError, match=words):
    optimize(small.network(), small.PARAMS, log_mel, **how)


def interpreter(folder, code):
  """A "Python" that runs `code`, whatever it is given."""
  path = folder / "python"
  path.write_text(f"#!{sys.executable}\n{code}\n")
  path.chmod(0o755)
  return str(path)


def test_a_package_that_is_missing_is_named(log_mel, tmp_path):
  python = interpreter(
    tmp_path, "import sys; print('missing package: No module'); sys.exit(3)"
  )
  with pytest.raises(ValueError, match=r"pip install 'yoho_tf\[tfmot\]'"):
    optimize(
      small.network(), small.PARAMS, log_mel, method="qat", python=python
    )


def test_a_worker_that_fails_shows_the_end_of_its_log(log_mel, tmp_path):
  code = "import sys; [print('line', i) for i in range(50)]; sys.exit(9)"
  python = interpreter(tmp_path, code)
  with pytest.raises(ValueError, match="ended with code 9") as failure:
    optimize(
      small.network(), small.PARAMS, log_mel, method="qat", python=python
    )
  lines = str(failure.value).splitlines()[1:]
  assert lines == [f"line {i}" for i in range(30, 50)]


# ---- export tier -------------------------------------------------------------


@pytest.mark.export
@pytest.mark.parametrize("method", ["carry", "qat", "prune"])
def test_weights_come_back_bit_equal_without_training(python, method):
  network = artefacts.network("yamnet")
  log_mel = np.random.default_rng(0).normal(size=(4, 96, 64))
  result = optimize(
    network, artefacts.YAMNET, log_mel, method=method, python=python, epochs=0
  )
  weights = tfmot.weights_of(network)
  assert result.weights.keys() == weights.keys() and len(weights) == 110
  for key, value in weights.items():
    np.testing.assert_array_equal(result.weights[key], value)


@pytest.mark.export
@pytest.mark.large
@pytest.mark.parametrize(
  ("method", "key", "expected"),
  [("prune", "zeros", 0.5), ("cluster", "values", 16)],
)
def test_kernels_lose_weights_or_values(python, log_mel, method, key, expected):
  result = optimize(
    small.network(), small.PARAMS, log_mel, method=method, python=python
  )
  weights = tfmot.weights_of(small.network())
  assert np.isfinite(result.report["losses"]).all()
  for name, value in result.report[key].items():
    if "depthwise" in name:
      continue
    array = result.weights[name]
    if method == "prune":
      assert np.mean(array == 0) == pytest.approx(expected, abs=0.01)
    else:
      assert len(np.unique(array)) <= expected
    assert value == pytest.approx(
      np.mean(array == 0) if method == "prune" else len(np.unique(array))
    )
  for name, value in weights.items():  # batch statistics would ruin it
    if name.endswith(("moving_mean", "moving_variance")):
      np.testing.assert_array_equal(result.weights[name], value)


@pytest.mark.export
def test_qat_gives_integers(python, log_mel, tmp_path):
  result = optimize(
    small.network(),
    small.PARAMS,
    log_mel,
    method="qat",
    python=python,
    frames=32 * CELLS,
  )
  (tmp_path / "qat.tflite").write_bytes(result.tflite)
  found = {name for name, *_ in parity.operators(tmp_path / "qat.tflite")}
  assert found == {
    "QUANTIZE", "RESHAPE", "CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC",
    "DEQUANTIZE",
  }  # fmt: skip
  weights = sum(value.size for value in result.weights.values())
  assert len(result.tflite) < 2 * weights
  assert result.report["note"]


@pytest.mark.export
def test_an_unknown_layer_kind_is_the_workers_error_too(
  python, log_mel, monkeypatch
):
  table = tfmot.layer_table(small.network())
  table[1]["kind"] = "Conv7D"
  monkeypatch.setattr(tfmot, "layer_table", lambda network: table)
  with pytest.raises(ValueError, match="layer kind must be.*'Conv7D'"):
    optimize(
      small.network(), small.PARAMS, log_mel, method="carry", python=python
    )


@pytest.mark.export
@pytest.mark.large
@pytest.mark.parametrize(
  ("optimized", "precision"), [("qat", None), ("prune", "float32")]
)
def test_export_makes_a_judged_file(python, tmp_path, optimized, precision):
  keras_file.write(
    small.network(),
    small.PARAMS,
    tmp_path / "tiny.keras",
    class_map=artefacts.CLASS_MAPS["yoho"],
  )
  (report,) = export.export(
    tmp_path / "tiny.keras",
    to="tflite",
    out=tmp_path / "out",
    precision=precision,
    optimize=optimized,
    data="synthetic",
    num_calibration=100,
    optimizer={"python": python, "epochs": 0 if optimized == "qat" else 1},
    tolerance={"max_error": 1.0, "top1": 0.0, "boundary": 1.0},
    log=lambda line: None,
  )
  assert report["optimize"]["method"] == optimized
  assert report["tensors"]["inputs"].keys() == {"waveform"}
  names = {name for name, *_ in report["operators"]}
  assert ("QUANTIZE" in names) is (optimized == "qat")
