"""Keras -> `.tflite`: the same numbers, builtin operators, one file."""

import dataclasses
import shutil
import subprocess

import numpy as np
import pytest

from tests import small
from yoho_tf import hub
from yoho_tf.deploy import metadata, runtime
from yoho_tf.labels import ClassMap
from yoho_tf.layers import mel
from yoho_tf.params import from_json

tf = pytest.importorskip("tensorflow")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

from yoho_tf.deploy import litert  # noqa: E402
from yoho_tf.layers.frontend import log_mel_layer  # noqa: E402

# Each precision is a conversion of its own.
PRECISIONS = [
  "float32",
  *[
    pytest.param(name, marks=pytest.mark.export)
    for name in litert.PRECISIONS
    if name != "float32"
  ],
]


@pytest.fixture(scope="module")
def file_of(tmp_path_factory):
  """A function of a precision that returns the file's path."""
  folder = tmp_path_factory.mktemp("litert")

  def path_of(precision):
    path = folder / f"{precision}.tflite"
    if not path.is_file():
      path.write_bytes(small.lite_bytes(precision))
    return path

  return path_of


def opened(data):
  """The flatbuffer as objects."""
  return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))


def packed(model):
  import flatbuffers

  builder = flatbuffers.Builder(1024)
  builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
  return bytes(builder.Output())


def keras_events(waveform):
  log_mel = log_mel_layer(small.PARAMS.frontend)(waveform)
  return np.asarray(small.network()({"log_mel": log_mel})["events"])


# ---- numbers ----------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS[:2])
def test_it_equals_keras_at_lengths_up_and_down(precision, file_of):
  tolerance = {"float32": 1e-3, "float16": 0.02}[precision]
  network = runtime.LiteRt(file_of(precision))
  for cells in (3, 1, 25, 60, 2, 25):
    waveform = small.signal(cells * 0.32 + 0.015, seed=cells)[None]
    expected = keras_events(waveform)
    got = network({"waveform": waveform})["events"]
    assert got.shape == expected.shape == (1, cells, 8, 3)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)
    assert cells < 20 or np.ptp(expected) > 0.9  # scores high and low


@pytest.mark.export
def test_fewer_bits_take_less_room():
  """The front end's constants stay float32; the network's weights shrink."""
  sizes = {name: len(small.lite_bytes(name)) for name in litert.PRECISIONS}
  weights = sum(int(np.prod(w.shape)) for w in small.network().weights)
  assert sizes["float32"] - sizes["float16"] > 1.8 * weights
  assert sizes["float32"] - sizes["dynamic"] > 2.5 * weights
  assert sizes["float32"] - sizes["int8"] > 2.5 * weights


@pytest.mark.export
@pytest.mark.parametrize("precision", ["dynamic", "int8"])
def test_integers_stay_near_at_any_length(precision, file_of):
  """Random weights enlarge rounding errors: trained ones are nearer."""
  network = runtime.LiteRt(file_of(precision))
  for cells in (25, 3, 40):
    waveform = small.signal(cells * 0.32 + 0.015, seed=cells)[None]
    expected = keras_events(waveform)
    got = network({"waveform": waveform})["events"]
    assert got.shape == expected.shape
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.9


def test_the_bundled_file_equals_its_weights():
  lite = hub.load("yoho_everyday")
  weights = hub.WEIGHTS / "yoho_everyday.weights.h5"
  if not weights.is_file():
    pytest.skip("no yoho_everyday.weights.h5 beside the bundled model")
  ours = hub.load("yoho_everyday", weights=weights)
  waveform = small.signal(10, seed=5)
  np.testing.assert_allclose(
    lite.predict(waveform).scores,
    ours.predict(waveform).scores,
    rtol=0,
    atol=0.02,
  )


def test_silence_and_full_scale_stay_finite(file_of):
  network = runtime.LiteRt(file_of("float32"))
  for level in (0.0, 1.0):
    waveform = np.full((1, 5 * 5120 + 240), level, np.float32)
    got = network({"waveform": waveform})["events"]
    # A constant leaves most bands to rounding, which the logarithm enlarges.
    np.testing.assert_allclose(got, keras_events(waveform), rtol=0, atol=1e-3)


# ---- the file ---------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_operators_are_builtin_and_names_are_ours(precision):
  data = small.lite_bytes(precision)
  assert data[4:8] == b"TFL3"
  model = opened(data)
  for code in model.operatorCodes:
    assert code.customCode is None
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)
    assert kind != schema.BuiltinOperator.CUSTOM
  assert len(model.subgraphs) == 2  # the second is the network alone
  signatures = {s.signatureKey: s for s in model.signatureDefs}
  assert list(signatures) == [b"serving_default", b"log_mel"]
  for key, name in ((b"serving_default", b"waveform"), (b"log_mel",) * 2):
    assert [t.name for t in signatures[key].inputs] == [name]
    assert [t.name for t in signatures[key].outputs] == [b"events"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_network_runs_without_its_front_end(precision, file_of):
  opened = runtime.Runtime.open(file_of(precision))
  trunk = opened.trunk
  assert trunk.input_shapes == {"log_mel": (1, -1, 64)}
  assert trunk.params == opened.params and trunk.trunk is None
  for seconds in (2.0, 3.3, 2.0):
    params = opened.params
    cells = params.num_cells(round(seconds * 16_000))
    size = cells * params.cell_samples + params.extra_samples
    waveform = small.signal(size / 16_000, seed=int(10 * seconds))
    whole = waveform[: cells * params.cell_samples]  # padded by `predict`
    expected = opened.predict(whole)["events"]
    waveform[len(whole) :] = 0
    log_mel = mel.log_mel(waveform, params.frontend)
    for network in (trunk, trunk.clone(num_threads=1)):
      got = network.predict(log_mel)["events"]
      # The front ends round apart: integers differ by a step, and steps that
      # are chosen as it runs by more.
      atol = {"int8": 0.02, "dynamic": 0.2}.get(precision, 1e-4)
      np.testing.assert_allclose(got, expected, rtol=0, atol=atol)
  with pytest.raises(ValueError, match="log_mel must have shape"):
    trunk.predict(log_mel[:, :10])


@pytest.mark.export
def test_a_file_of_one_length_has_one_graph():
  class_map = ClassMap.for_names(small.PARAMS.labels)
  data = litert.tflite(
    small.network(), small.PARAMS, class_map=class_map, frames=320
  )
  assert len(opened(data).subgraphs) == 1


def test_the_file_carries_vocabulary_and_tuned_params(file_of):
  inside = metadata.read(file_of("float32"))
  assert inside["labels.txt"].splitlines() == list(small.PARAMS.labels)
  assert inside["class_map.csv"] == ClassMap.bundled("everyday").text()
  params = from_json(inside["params.json"])
  assert params == dataclasses.replace(small.PARAMS, input="waveform")
  assert params.postprocess.per_label == small.TUNED
  loaded = hub.load(file_of("float32"))
  assert loaded.params == params and loaded.labels == small.PARAMS.labels


@pytest.mark.skipif(not shutil.which("unzip"), reason="no unzip here")
def test_unzip_lists_what_is_inside(file_of):
  done = subprocess.run(
    ["unzip", "-l", file_of("float32")], capture_output=True, text=True
  )
  assert done.returncode == 0 and done.stderr == ""
  for name in ("labels.txt", "class_map.csv", "params.json"):
    assert name in done.stdout


@pytest.mark.export
def test_the_same_network_gives_the_same_bytes():
  again = litert.tflite(
    small.network(),
    small.PARAMS,
    class_map=ClassMap.bundled("everyday"),
    precision="float32",
  )
  assert again == small.lite_bytes("float32")


@pytest.mark.export
def test_int8_is_int8_from_end_to_end():
  """Behind the front end: QUANTIZE, integers only, DEQUANTIZE."""
  model = opened(small.lite_bytes("int8"))
  graph = model.subgraphs[0]
  kinds = {v: k for k, v in vars(schema.BuiltinOperator).items()}
  names = [
    kinds[model.operatorCodes[o.opcodeIndex].builtinCode]
    for o in graph.operators
  ]
  assert names.count("QUANTIZE") == names.count("DEQUANTIZE") == 1
  first = names.index("QUANTIZE")
  assert first > names.index("LOG") and names[-1] == "DEQUANTIZE"
  inner = graph.operators[first + 1 : -1]
  assert len(inner) > 34  # 17 layers, depthwise and pointwise
  integers = {schema.TensorType.INT8, schema.TensorType.INT32}
  for operator in inner:
    for i in (*operator.inputs, *operator.outputs):
      assert graph.tensors[i].type in integers
    (output,) = operator.outputs
    assert graph.tensors[output].type == schema.TensorType.INT8
  for operator in graph.operators[:first]:
    for i in operator.outputs:
      assert graph.tensors[i].type != schema.TensorType.INT8


@pytest.mark.export
def test_int8_ends_take_and_give_integers(file_of, tmp_path):
  """The same network as with float ends, without its front end."""
  path = tmp_path / "ends.tflite"
  path.write_bytes(
    litert.tflite(
      small.network(),
      small.PARAMS,
      class_map=ClassMap.bundled("everyday"),
      precision="int8",
      input="log_mel",
      io="int8",
      representative=small.representative(),
    )
  )
  network = runtime.LiteRt(path)
  assert network.inputs["log_mel"] == ((1, -1, 64), "int8")
  assert network.outputs["events"].dtype == "int8"
  front = tmp_path / "front.tflite"
  front.write_bytes(litert.front_end(small.PARAMS))
  waveform = small.signal(25 * 0.32 + 0.015, seed=2)[None]
  got = network(runtime.LiteRt(front)({"waveform": waveform}))["events"]
  expected = runtime.LiteRt(file_of("int8"))({"waveform": waveform})["events"]
  # Half a step of the input may be rounded either way, here and in LiteRT.
  assert (got == expected).mean() > 0.95
  np.testing.assert_allclose(got, expected, rtol=0, atol=1 / 8)


# ---- refusals ---------------------------------------------------------------


@pytest.fixture(scope="module")
def halves():
  """Two small models that fit: x -> 2 x, and x -> x @ ones(4, 3)."""
  weights = tf.Variable(np.ones((4, 3), np.float32))
  return (
    litert.convert(lambda x: 2 * x, [], shape=[1, 4], name="a", output="b"),
    litert.convert(
      lambda x: x @ weights, [weights], shape=[1, 4], name="b", output="c"
    ),
  )


def test_graft_joins_two_models(halves, tmp_path):
  path = tmp_path / "joined.tflite"
  path.write_bytes(litert.graft(*halves))
  got = runtime.LiteRt(path)({"a": np.array([[1, 2, 3, 4]])})
  assert list(got) == ["c"]
  np.testing.assert_array_equal(got["c"], [[20, 20, 20]])


def test_graft_refuses_another_shape(halves):
  wide = litert.convert(lambda x: 2 * x, [], shape=[1, 5], name="a", output="b")
  with pytest.raises(ValueError, match=r"same shape.*\[1, 5\] and \[1, 4\]"):
    litert.graft(wide, halves[1])


def sum_of(*names):
  """A model of two inputs: -> c, the first three times and the second."""
  return litert.convert(
    lambda x, y: 3 * x + y, [], shape=[[1, 4]] * 2, name=names, output="c"
  )


@pytest.mark.parametrize("names", [("b", "d"), ("d", "b")])
def test_graft_leaves_the_other_inputs(names, halves, tmp_path):
  path = tmp_path / "joined.tflite"
  path.write_bytes(litert.graft(halves[0], sum_of(*names)))
  network = runtime.LiteRt(path)
  assert set(network.inputs) == {"a", "d"}
  a, d = np.array([[1, 2, 3, 4]]), np.array([[50, 60, 70, 80]])
  b = 2 * a
  expected = 3 * b + d if names[0] == "b" else 3 * d + b
  np.testing.assert_array_equal(network({"a": a, "d": d})["c"], expected)


def test_graft_refuses_two_outputs_or_inputs(halves):
  front = opened(halves[0])
  front.subgraphs[0].outputs = np.array([0, 1], np.int32)
  with pytest.raises(ValueError, match="one output.*received 2 and 1"):
    litert.graft(packed(front), halves[1])
  with pytest.raises(ValueError, match="one of its name; received 1 and 0"):
    litert.graft(halves[0], sum_of("x", "y"))


def test_graft_refuses_another_type(halves):
  front = opened(halves[0])
  graph = front.subgraphs[0]
  graph.tensors[graph.outputs[0]].type = schema.TensorType.INT8
  with pytest.raises(ValueError, match="same type"):
    litert.graft(packed(front), halves[1])


def test_convert_refuses_an_unknown_precision():
  with pytest.raises(ValueError, match="dynamic, int8; got 'int4'"):
    litert.convert(
      lambda x: x, [], shape=[1], name="x", output="y", precision="int4"
    )


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"precision": "int8"}, "representative must be given with precision int8"),
    (
      {"representative": [np.zeros(4)]},
      "and only there; got precision float32",
    ),
    ({"io": "int8"}, "io int8 must go with precision int8; got float32"),
    ({"io": "int4"}, "io must be one of float32, int8; got 'int4'"),
  ],
)
def test_convert_refuses_options_that_do_not_fit(options, message):
  with pytest.raises(ValueError, match=message):
    litert.convert(
      lambda x: x, [], shape=[1, 4], name="x", output="y", **options
    )


def test_convert_names_an_operator_without_a_builtin():
  with pytest.raises(ValueError, match="LiteRT has; got Erfinv$"):
    litert.convert(tf.math.erfinv, [], shape=[1, 4], name="x", output="y")


def test_another_vocabulary_is_refused():
  with pytest.raises(ValueError, match="class_map must hold the labels"):
    litert.tflite(
      small.network(), small.PARAMS, class_map=ClassMap.bundled("urban")
    )


def test_relu_is_refused_where_integers_would_ruin_it():
  relu = dataclasses.replace(small.PARAMS, activation="relu")
  for precision in ("dynamic", "int8"):
    with pytest.raises(ValueError, match=f"{precision} must go with.*relu6"):
      litert.tflite(
        None,
        relu,
        class_map=ClassMap.bundled("everyday"),
        precision=precision,
      )
    litert.check_relu(relu, precision, allow_relu_int8=True)
  litert.check_relu(relu, "float16")


def test_a_length_that_the_network_does_not_take_is_refused():
  for frames in (0, 33, -32):
    with pytest.raises(ValueError, match=f"multiple of 32; got {frames}"):
      litert.lengths(small.PARAMS, frames)
  with pytest.raises(ValueError, match="frames must be 801 .*; got 800"):
    litert.lengths(small.PAPER, 800)
  assert litert.lengths(small.PARAMS, 64) == (2 * 5120 + 240, 64)
  assert litert.lengths(small.PARAMS) == (None, None)


# ---- the paper's windows, and its baselines ---------------------------------


@pytest.mark.large
@pytest.mark.parametrize("baseline", ["none", "cnn", "crnn"])
def test_windows_and_baselines_equal_keras(baseline, tmp_path):
  """A GRU is a loop: its body is a subgraph that moves with the graft."""
  from yoho_tf.deploy import keras_file
  from yoho_tf.models import yoho

  params = dataclasses.replace(
    small.PAPER, labels=("Speech", "Music"), baseline=baseline
  )
  log_mel = dataclasses.replace(params, input="log_mel")
  network = yoho.build(log_mel)
  small.draw_kernels(network)
  class_map = ClassMap.for_names(params.labels)
  paths = [tmp_path / f"model.{end}" for end in ("tflite", "keras")]
  paths[0].write_bytes(
    litert.tflite(network, log_mel, class_map=class_map, precision="float32")
  )
  keras_file.write(network, log_mel, paths[1], class_map=class_map)
  rate = params.frontend.sample_rate_hz
  lite, own = (hub.load(path) for path in paths)
  assert lite.params == own.params
  windows = small.signal(8.0, rate=rate)[None]
  got, expected = (
    model.network({"waveform": windows})[params.output] for model in (lite, own)
  )
  assert np.asarray(expected).std() > 1e-3
  np.testing.assert_allclose(got, expected, atol=1e-3)
  clip = small.signal(20.0, rate=rate, seed=1)
  counts = [len(model.predict(clip).events) for model in (lite, own)]
  assert counts[0] == counts[1]
