"""Which file is what; damaged and foreign ones, each by its own name."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import small
from tests.deploy import forge
from yoho_tf import hub
from yoho_tf.deploy import backends, composed, manifest, metadata, opening
from yoho_tf.deploy.runtime import Runtime

edge = pytest.mark.edge
ROOT = Path(__file__).resolve().parents[2]
BUNDLED = hub.WEIGHTS / "yoho_everyday.tflite"


def refused(path, message, **how):
  with pytest.raises(ValueError, match=message) as error:
    Runtime.open(path, **how)
  assert "\n" not in str(error.value)


# ---- .tflite ----------------------------------------------------------------


@edge
def test_a_bundled_file_pads_to_whole_cells():
  runtime = Runtime.open(BUNDLED, num_threads=1)
  assert runtime.labels == hub.load("yoho_everyday").labels
  assert runtime.info == {
    "path": str(BUNDLED),
    "format": "tflite",
    "backend": "litert",
    "num_threads": 1,
  }
  for samples, cells in ((1, 1), (5120, 1), (5121, 2), (16_000, 4)):
    waveform = small.signal(1)[:samples]
    got = runtime.predict(waveform)["events"]
    assert got.shape == (cells, len(runtime.labels), 3)
    padded = np.pad(waveform, (0, cells * 5120 + 240 - samples))
    raw = runtime({"waveform": padded[None]})["events"]
    np.testing.assert_array_equal(got, raw[0])


@edge
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_tflite_that_was_cut(share, tmp_path):
  """Behind the network lie its labels: a cut there is not passed over."""
  data = BUNDLED.read_bytes()
  tail = data.index(b"PK\x03\x04")
  path = tmp_path / "cut.tflite"
  path.write_bytes(data[: int(share * tail)])
  refused(path, r"model must be a \.tflite file that LiteRT loads.*cut\.tflite")
  path.write_bytes(data[: tail + 200])
  refused(path, r"whole, with its labels at the end; got .*cut\.tflite")


@edge
@pytest.mark.parametrize(
  ("name", "data", "message"),
  [
    ("a.wav", b"RIFF$\0\0\0WAVEfmt ", r"\.tflite, \.onnx, \.keras, a folder"),
    ("empty", b"", r"\.tflite, \.onnx, \.keras, a folder"),
    ("a.tflite", b"no model\n" * 99, "a .tflite file that LiteRT loads"),
    ("a.json", b'{"chain": []}', 'must hold {"chain".*IndexError'),
    ("a.json", b'{"chain": [{}]}', 'must hold {"chain".*KeyError'),
    ("a.json", b"{broken", 'must hold {"chain"'),
  ],
)
def test_files_that_are_no_artefact(name, data, message, tmp_path):
  (tmp_path / name).write_bytes(data)
  refused(tmp_path / name, message)


def _operator(**values):
  def edit(tree):
    for name, value in values.items():
      setattr(tree.operatorCodes[0], name, value)

  return edit


@edge
def test_forged_operators_and_labels(tmp_path):
  """Refused with what is wrong, at the latest by the first call."""
  path = tmp_path / "a.tflite"
  path.write_bytes(forge.classifier())
  runtime = Runtime.open(path)
  assert runtime.predict(np.ones((2, 8)))["scores"].shape == (2, 3)
  assert runtime.labels is None

  path.write_bytes(forge.edited(forge.classifier(), _operator(version=99)))
  refused(path, "that LiteRT loads.*FULLY_CONNECTED.*version '99'")

  custom = _operator(builtinCode=32, deprecatedBuiltinCode=32)
  named = _operator(customCode=b"FlexErf")
  path.write_bytes(
    forge.edited(forge.edited(forge.classifier(), custom), named)
  )
  with pytest.raises(
    ValueError, match="whose operators LiteRT has; got.*a.tfl"
  ):
    Runtime.open(path).predict(np.ones(8))

  labelled = metadata.pack(forge.classifier(), {"labels.txt": "one\ntwo\n"})
  path.write_bytes(labelled)
  refused(path, "one label per class, 3 of scores; got 2 in .*a.tflite")


@edge
def test_folders_and_names_that_are_none(tmp_path):
  refused(tmp_path, "a folder with saved_model.pb or manifest.json; got")
  refused(tmp_path / "absent.tflite", "model must be a file; got .*absent")


@edge
@pytest.mark.parametrize(
  ("backend", "message"),
  [
    ("edgetpu", "a delegate that loads; got 'libedgetpu.so.1'"),
    ("absent.so", "a delegate that loads; got 'absent.so'"),
  ],
)
def test_a_delegate_that_is_absent_is_named(backend, message):
  refused(BUNDLED, message, backend=backend)


@edge
def test_content_decides_not_the_name(tmp_path):
  path = tmp_path / "model.bin"
  shutil.copy(BUNDLED, path)
  assert opening.kind_of(path) == "tflite"
  assert Runtime.open(path).info["format"] == "tflite"


@edge
def test_tflite_and_onnx_need_no_tensorflow(tmp_path):
  """And `inference.py` does not load it for them either."""
  models = [BUNDLED]
  try:
    models.append(tiny_onnx(tmp_path / "tiny.onnx"))
  except ImportError:
    pass
  code = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
import numpy as np
from yoho_tf.deploy.runtime import Runtime
for path in {[str(m) for m in models]}:
  Runtime.open(path).predict(np.zeros(5360, np.float32))
print({{"pandas", "matplotlib", "onnx"}} & set(sys.modules) or "none")
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
  )
  assert (done.returncode, done.stdout, done.stderr) == (0, "none\n", "")


def test_without_litert_tensorflow_runs_it_with_a_note(monkeypatch):
  pytest.importorskip("tensorflow")
  expected = Runtime.open(BUNDLED).predict(np.zeros(5120))["events"]
  monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
  with pytest.warns(UserWarning, match="pip install ai-edge-litert"):
    runtime = Runtime.open(BUNDLED)
  got = runtime.predict(np.zeros(5120))["events"]
  np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
  named = Runtime.open(BUNDLED, backend="tf.lite")
  np.testing.assert_array_equal(named.predict(np.zeros(5120))["events"], got)
  monkeypatch.setitem(sys.modules, "tensorflow", None)
  refused(BUNDLED, "needs ai_edge_litert, which is not installed")


# ---- .onnx ------------------------------------------------------------------


def tiny_onnx(path, *, name="waveform", shape=(1, "samples")):
  """`x -> scores = 2 x`, made by hand."""
  import onnx
  import onnxruntime  # noqa: F401 (the caller skips without)

  one = onnx.TensorProto.FLOAT
  graph = onnx.helper.make_graph(
    [onnx.helper.make_node("Add", [name, name], ["scores"])],
    "tiny",
    [onnx.helper.make_tensor_value_info(name, one, shape)],
    [onnx.helper.make_tensor_value_info("scores", one, shape)],
  )
  opset = [onnx.helper.make_opsetid("", 17)]
  onnx.save(
    onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path
  )
  return path


def test_an_onnx_file_of_others(tmp_path):
  pytest.importorskip("onnx")
  pytest.importorskip("onnxruntime")
  path = tiny_onnx(tmp_path / "a.onnx")
  runtime = Runtime.open(path, num_threads=1)
  assert runtime.params is None and runtime.labels is None
  assert runtime.info["backend"] == "CPUExecutionProvider"
  np.testing.assert_array_equal(
    runtime.predict(np.ones((3, 4)))["scores"], np.full((3, 4), 2)
  )
  with pytest.raises(ValueError, match="artefact with params.json inside"):
    hub.load(path)
  refused(path, "backend must be one of .*got 'Cuda'", backend="Cuda")
  data = path.read_bytes()
  for size in (1, len(data) // 2, len(data) - 1):
    path.write_bytes(data[:size])
    refused(path, r"an \.onnx file that ONNX Runtime loads; got .*a\.onnx")


@edge
@pytest.mark.parametrize(
  ("module", "name", "data", "message"),
  [
    ("onnxruntime", "a.onnx", b"\x08\x08", r"onnxruntime.*yoho_tf\[onnx\]"),
    ("keras", "a.keras", b"PK\x03\x04", r"keras, .*yoho_tf\[train\]"),
    ("tensorflow", "saved_model.pb", b"", r"tensorflow, .*yoho_tf\[train\]"),
  ],
)
def test_a_missing_package_names_its_extra(
  module, name, data, message, tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, module, None)
  (tmp_path / name).write_bytes(data)
  path = tmp_path if name == "saved_model.pb" else tmp_path / name
  refused(path, f"needs {message}")


# ---- SavedModel and .keras --------------------------------------------------


def test_a_damaged_saved_model(tmp_path):
  tf = pytest.importorskip("tensorflow")
  module = tf.Module()
  module.weight = tf.Variable(np.ones(1000, np.float32))
  module.serve = tf.function(
    lambda x: {"scores": x * module.weight[0]},
    input_signature=[tf.TensorSpec([None], tf.float32, name="waveform")],
  )
  folder = tmp_path / "model"
  tf.saved_model.save(
    module, str(folder), signatures={"serving_default": module.serve}
  )
  runtime = Runtime.open(folder)
  got = runtime.predict(np.ones((2, 5)))["scores"]
  np.testing.assert_array_equal(got, np.ones((2, 5)))
  refused(folder, "backend of a SavedModel must be", backend="jax")
  message = "a SavedModel that TensorFlow loads.*model"
  shutil.rmtree(folder / "variables")
  refused(folder, message)
  (folder / "saved_model.pb").write_bytes(b"nonsense")
  refused(folder, message)
  tf.saved_model.save(module, str(folder))  # without the signature's name
  bare = tf.Module()
  tf.saved_model.save(bare, str(tmp_path / "bare"))
  refused(tmp_path / "bare", "with serving_default")


def test_a_damaged_keras_file(tmp_path):
  keras = pytest.importorskip("keras")
  x = keras.Input((4,), name="waveform")
  y = keras.layers.Dense(2, name="scores")(x)
  path = tmp_path / "a.keras"
  keras.Model({"waveform": x}, {"scores": y, "score_logits": y}).save(path)
  runtime = Runtime.open(path)
  assert list(runtime.outputs) == ["scores"]  # logits are for training
  refused(path, "backend of a .keras must be", backend="numpy")
  data = path.read_bytes()
  for size in (4, len(data) // 2, len(data) - 1):
    path.write_bytes(data[:size])
    refused(path, r"a \.keras file that Keras loads; got .*a\.keras")


# ---- chains -----------------------------------------------------------------


class Doubler(backends.Backend):
  """A backend for tests: every input, doubled, under the next name."""

  def __init__(self, source, target, shape=(1, 3)):
    self.inputs = {source: backends.Tensor(shape, "float32")}
    self.outputs = {target: backends.Tensor(shape, "float32")}

  def __call__(self, inputs):
    ((target,), (value,)) = self.outputs, inputs.values()
    return {target: 2 * value}


@edge
def test_outputs_feed_the_inputs_of_their_name():
  chain = composed.Chain(
    [Doubler("waveform", "log_mel"), Doubler("log_mel", "b")]
  )
  runtime = Runtime(chain)
  assert runtime.input_names == ("waveform",) and list(runtime.outputs) == ["b"]
  got = runtime.predict(np.ones((2, 3)))
  np.testing.assert_array_equal(got["b"], np.full((2, 3), 4))
  with pytest.raises(
    ValueError, match=r"log_mel must have one shape in a chain"
  ):
    composed.Chain(
      [Doubler("waveform", "log_mel"), Doubler("log_mel", "b", (1, 4))]
    )


@edge
def test_a_chain_of_one_and_what_may_befall_it(tmp_path):
  part = tmp_path / "part.tflite"
  shutil.copy(BUNDLED, part)
  path = tmp_path / manifest.NAME
  manifest.write(path, [part])
  row = json.loads(path.read_text())["chain"][0]
  assert row["file"] == "part.tflite" and row["inputs"] == {"waveform": [1, -1]}
  alone, chain = Runtime.open(part), Runtime.open(tmp_path)
  waveform = small.signal(1)
  np.testing.assert_array_equal(
    alone.predict(waveform)["events"], chain.predict(waveform)["events"]
  )
  assert chain.params == alone.params
  events = hub.load(path).predict(waveform).events
  assert events == hub.load(part).predict(waveform).events

  # A compiler may drop what lies behind the network: it is here as well, and
  # stays when the chain is written again.
  data = part.read_bytes()
  part.write_bytes(data[: data.index(b"PK\x03\x04")])
  body = json.loads(path.read_text())
  path.write_text(json.dumps({**body, "artefacts": ["listed"]}))
  manifest.write(path, [part.name])
  again = Runtime.open(path)
  assert again.params == alone.params and again.texts == alone.texts
  assert json.loads(path.read_text())["artefacts"] == ["listed"]
  row = json.loads(path.read_text())["chain"][0]

  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  with pytest.raises(ValueError, match="parts must lie beside the manifest"):
    manifest.write(elsewhere / manifest.NAME, [part])
  text = path.read_text()
  path.write_text(text.replace("part.tflite", "../part.tflite"))
  refused(path, "parts must be files beside it; got '../part.tflite'")
  path.write_text(text)
  with open(part, "ab") as file:
    file.write(b"!")
  refused(path, f"part.tflite must have sha256 {row['sha256']}; got ")
  part.unlink()
  refused(path, "parts must be files beside it; got 'part.tflite'")


# ---- files without signature, int8 ------------------------------------------


class Bare(Doubler):
  has_signature = False


@edge
@pytest.mark.parametrize(
  ("shape", "ours"),
  [((15_600,), "waveform"), ((1, 9), "waveform"), ((1, 96, 64), "log_mel")],
)
def test_tensors_get_our_names_by_shape(shape, ours):
  bare = Bare("in0", "out0", shape)
  names = composed.tensor_names(bare, "a.tflite", None)
  runtime = Runtime(composed.Renamed(bare, names))
  assert runtime.input_names == (ours,) and list(runtime.outputs) == ["scores"]
  got = runtime.predict(
    {ours: np.ones(shape[-2:] if len(shape) > 2 else shape)}
  )
  assert set(np.unique(got["scores"])) == {2}


@edge
def test_cells_are_events_by_shape():
  bare = Bare("in0", "out0", (1, 800, 64))
  bare.outputs = {"out0": backends.Tensor((1, 25, 8, 3), "int8")}
  names = composed.tensor_names(bare, "a.tflite", None)
  assert names == {"in0": "log_mel", "out0": "events"}


@edge
def test_tensors_that_shapes_do_not_tell_are_listed():
  bare = Bare("in0", "out0", (1, 4, 4, 3))
  with pytest.raises(ValueError) as error:
    composed.tensor_names(bare, "a.tflite", None)
  text = str(error.value)
  for part in ("names must say", "a.tflite", "in0 [1, 4, 4, 3]", "out0"):
    assert part in text
  given = {"in0": "image", "out0": "boxes"}
  assert composed.tensor_names(bare, "a.tflite", given) == given
  with pytest.raises(ValueError, match="names: tensor .*did you mean 'in0'"):
    composed.tensor_names(bare, "a.tflite", {"in1": "image"})


@edge
def test_numbers_are_rounded_half_away_from_zero_and_clipped():
  detail = {"dtype": np.int8, "quantization": (0.5, 3)}
  values = np.array([0.25, -0.25, 0.2, 0.75, 0, 1e9, -1e9, 62])
  got = backends._quantized(values, detail)
  assert got.dtype == np.int8
  np.testing.assert_array_equal(got, [4, 2, 3, 5, 3, 127, -128, 127])
  back = backends._dequantized(got, detail)
  assert back.dtype == np.float32
  np.testing.assert_array_equal(back[:5], [0.5, -0.5, 0, 1, 0])


def test_the_published_lite_file(shared):
  path = shared / "yamnet" / "yamnet_lite.tflite"
  if not path.is_file():
    pytest.skip("test data absent: ../shared/data/yamnet")
  runtime = Runtime.open(path)
  assert runtime.input_shapes == {"waveform": (15_600,)}
  assert list(runtime.outputs) == ["scores"]
  assert runtime.labels[:2] == ("Speech", "Child speech, kid speaking")
  got = runtime.predict(np.zeros((2, 15_600)))["scores"]
  assert got.shape == (2, 1, 521)
  assert {runtime.labels[i] for i in got.argmax(-1).ravel()} == {"Silence"}
