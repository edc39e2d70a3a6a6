"""What may go on an Edge TPU, and that each fault has its own message."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest

from tests import small
from tests.deploy import forge
from yoho_tf import weights_h5
from yoho_tf.deploy import edgetpu, edgetpu_compiler, flatbuffer, metadata
from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS

pytest.importorskip("tensorflow")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

from yoho_tf.deploy import litert  # noqa: E402
from yoho_tf.models import yamnet  # noqa: E402

FRAMES = 800  # 25 cells


def windows(samples, count=3):
  return [small.signal(10, seed=i)[:samples] for i in range(count)]


@pytest.fixture(
  scope="module", params=[pytest.param("int8", marks=pytest.mark.export)]
)
def model(request):
  """A YOHO for the Edge TPU, as bytes."""
  return litert.tflite(
    small.network(),
    small.PARAMS,
    class_map=ClassMap.bundled("everyday"),
    precision=request.param,
    input="log_mel",
    frames=FRAMES,
    representative=windows(25 * 5120 + 240),
    per_tensor_dense=True,
  )


# ---- what passes ------------------------------------------------------------


def test_an_int8_yoho_passes(model):
  report = edgetpu.check(model, input_range=None)
  assert report.passed and report.problems == report.warnings == ()
  assert {name for name, _, _ in report.operators} == {
    "QUANTIZE",
    "RESHAPE",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "LOGISTIC",
    "DEQUANTIZE",
  }
  (sound,), (events,) = report.inputs, report.outputs
  assert (sound.shape, sound.type) == ((1, FRAMES, 64), "INT8")
  assert (events.shape, events.type) == ((1, 25, 8, 3), "INT8")
  assert events.scale == pytest.approx(1 / 256) and events.zero_point == -128
  # A signal without silence spans less than the floor of the logarithm.
  low = sound.scale * (-128 - sound.zero_point)
  assert -6.93 < low < 0


def test_the_report_is_printed_and_stored(model):
  report = edgetpu.check(model, input_range=None)
  text = report.text()
  assert text.startswith("Edge TPU: checked, not compiled\n")
  assert "input " in text and "scale 0.00391, zero point -128" in text
  assert "  1 LOGISTIC 2" in text
  stored = json.loads(json.dumps(dataclasses.asdict(report)))
  assert ["LOGISTIC", 2, 1] in stored["operators"]
  assert stored["problems"] == []


def test_calibration_on_other_data_is_a_warning(model):
  (warning,) = edgetpu.check(model, input_range=(-80.0, 0.0)).warnings
  assert "far from -80.0..0.0" in warning


def test_plain_relu_is_a_warning(model):
  def edit(tree):
    relu = schema.ActivationFunctionType.RELU
    tree.subgraphs[0].operators[2].builtinOptions.fusedActivationFunction = relu

  report = edgetpu.check(forge.edited(model, edit), input_range=None)
  assert report.passed
  assert report.warnings == (
    "1 operators end in RELU: RELU6 keeps 8 bits fine",
  )


# ---- what does not ----------------------------------------------------------


def graph(tree):
  return tree.subgraphs[0]


def code(tree, name):
  """The entry of `operatorCodes` of an operator."""
  number = getattr(schema.BuiltinOperator, name)
  codes = tree.operatorCodes
  return next(c for c in codes if flatbuffer.operator_code(c) == number)


def activation(tree, place=3):
  """The tensor that an operator in the middle puts out."""
  return graph(tree).tensors[graph(tree).operators[place].outputs[0]]


def newer(tree):
  code(tree, "CONV_2D").version = 5


def foreign(tree):
  found = code(tree, "LOGISTIC")
  found.builtinCode = schema.BuiltinOperator.TANH
  found.deprecatedBuiltinCode = 0


def flex(tree):
  found = code(tree, "LOGISTIC")
  found.builtinCode = schema.BuiltinOperator.CUSTOM
  found.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
  found.customCode = b"FlexErf"


def second_input(tree):
  number = list(graph(tree).tensors).index(activation(tree))
  graph(tree).inputs = np.array([*graph(tree).inputs, number], np.int32)


def second_graph(tree):
  tree.subgraphs.append(graph(tree))


def free_axis(tree):
  sound = graph(tree).tensors[graph(tree).inputs[0]]
  sound.shapeSignature = np.array([1, -1, 64], np.int32)


def batch_of_two(tree):
  sound = graph(tree).tensors[graph(tree).inputs[0]]
  sound.shape = np.array([2, 800, 64], np.int32)


def four_long_axes(tree):
  activation(tree).shape = np.array([2, 400, 32, 8], np.int32)


def float_inside(tree):
  activation(tree).type = schema.TensorType.FLOAT32


def wide_inside(tree):
  activation(tree).type = schema.TensorType.INT16


def no_scale(tree):
  activation(tree).quantization = None


def kernel_from_elsewhere(tree):
  kernel = graph(tree).tensors[graph(tree).operators[2].inputs[1]]
  kernel.buffer = 0


def split_in_two(tree):
  """DEQUANTIZE in the middle: what follows would run on the CPU."""
  operators = graph(tree).operators
  float_inside(tree)
  operators[4].opcodeIndex = operators[-1].opcodeIndex


FAULTS = {
  newer: "operator CONV_2D must have version 3 at most; received 5",
  foreign: "operator must be one of .*; received TANH",
  flex: "operator must be one of .*; received custom FlexErf",
  second_input: "model must have one of inputs; received 2",
  second_graph: "model must have one subgraph; received 2",
  free_axis: r"shape must be fixed; received .* \[1, -1, 64\]",
  batch_of_two: r"batch must be 1; received \[2, 800, 64\]",
  four_long_axes: r"last three axes; received .* \[2, 400, 32, 8\]",
  float_inside: "tensor inside must be INT8; received .* FLOAT32",
  wide_inside: "tensor inside must be INT8; received .* INT16",
  no_scale: "tensor must have a scale; received none for",
  kernel_from_elsewhere: "one input that is no constant; received 2 of CONV_2D",
  split_in_two: "one block of integers; received DEQUANTIZE at place 5",
}


@pytest.mark.parametrize("edit", FAULTS, ids=lambda edit: edit.__name__)
def test_a_fault_is_named(edit, model):
  report = edgetpu.check(forge.edited(model, edit))
  assert not report.passed and report.status == "refused"
  found = [p for p in report.problems if re.search(FAULTS[edit], p)]
  assert len(found) == 1, report.problems
  assert all("\n" not in problem for problem in report.problems)
  # Nobody's message but its own.
  shared = {split_in_two: [float_inside]}.get(edit, [])
  for other in set(FAULTS) - {edit, *shared}:
    assert not re.search(FAULTS[other], "\n".join(report.problems)), other


def test_truncated_files_are_refused(model):
  bare, _ = metadata.unpack(model)
  for share in (0.01, 0.3, 0.9, 0.999):
    with pytest.raises(ValueError, match="must be a whole .tflite; received"):
      edgetpu.check(bare[: int(share * len(bare))])
  for data in (b"", b"RIFF", b"PK\3\4" * 10):
    with pytest.raises(ValueError, match="TFL3 at byte 4"):
      edgetpu.check(data)


def test_a_model_without_operators():
  def edit(tree):
    graph(tree).operators = []

  report = edgetpu.check(forge.edited(forge.classifier(), edit))
  assert report.problems == ("model must have operators; received none",)


def test_a_float_model_is_refused():
  problems = edgetpu.check(forge.classifier()).problems
  assert "dense kernel must have one scale; received 0" in problems
  assert any("INT8; received scores_tensor FLOAT32" in p for p in problems)


@pytest.mark.export
def test_a_dynamic_range_model_is_refused():
  data = litert.tflite(
    small.network(),
    small.PARAMS,
    class_map=ClassMap.bundled("everyday"),
    precision="dynamic",
    input="log_mel",
    frames=64,
  )
  problems = "\n".join(edgetpu.check(data).problems)
  assert "tensor inside must be INT8" in problems
  assert "CONV_2D must have version 3 at most; received 5" in problems


# ---- real networks ----------------------------------------------------------


@pytest.mark.export
@pytest.mark.parametrize("per_tensor", [True, False])
def test_yamnet_needs_one_scale_per_dense_kernel(per_tensor, shared):
  folder = shared / "yamnet"
  class_map = ClassMap.read(folder / "yamnet_class_map.csv")
  params = dataclasses.replace(
    PRESETS["yamnet_audioset_relu6"], input="log_mel", labels=class_map.names
  )
  network = yamnet.build(params)
  weights_h5.load_weights(
    network, folder / "yamnet_relu6.h5", activation="relu6", family="relu6"
  )
  data = litert.tflite(
    network,
    params,
    class_map=class_map,
    precision="int8",
    input="log_mel",
    representative=[np.zeros(15600, np.float32), *windows(15600, 20)],
    per_tensor_dense=per_tensor,
  )
  report = edgetpu.check(data)
  if per_tensor:
    assert report.passed and report.warnings == ()
    assert {row[:2] for row in report.operators} <= set(
      edgetpu.OPERATORS.items()
    )
  else:
    (problem,) = report.problems
    assert problem == "dense kernel must have one scale; received 521"


def test_the_published_waveform_file_is_no_edge_tpu_file(shared):
  data = (shared / "yamnet" / "yamnet_lite.tflite").read_bytes()
  report = edgetpu.check(data)
  # Its front end is float; behind it stand the table's operators.
  assert "RFFT2D" in report.problems[0]
  versions = {name: version for name, version, _ in report.operators}
  for name in set(edgetpu.OPERATORS) - {"FULLY_CONNECTED"}:
    assert versions[name] == edgetpu.OPERATORS[name], name


# ---- the compiler -----------------------------------------------------------

LOG = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 35 ms.

Input model: a.tflite
Number of Edge TPU subgraphs: 1
Total number of operations: 29
Operation log: a_edgetpu.log

Operator                       Count      Status

DEPTHWISE_CONV_2D              13         Mapped to Edge TPU
QUANTIZE                       1          Mapped to Edge TPU
DEQUANTIZE                     1          Operation is working on an \
unsupported data type
CONV_2D                        14         Mapped to Edge TPU
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def install(tmp_path, monkeypatch, script):
  """A program of the compiler's name, alone on PATH."""
  folder = tmp_path / "bin"
  folder.mkdir()
  program = folder / edgetpu_compiler.COMPILER
  program.write_text(f"#!/bin/sh\n{script}")
  program.chmod(0o755)
  monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")
  path = tmp_path / "a.tflite"
  path.write_bytes(b"model")
  return path


def test_without_a_compiler_nothing_is_compiled(tmp_path, monkeypatch):
  monkeypatch.setenv("PATH", str(tmp_path))
  assert edgetpu.compile(tmp_path / "a.tflite") is None


def test_what_the_compiler_mapped_is_counted(tmp_path, monkeypatch, model):
  (tmp_path / "log").write_text(LOG)
  path = install(
    tmp_path,
    monkeypatch,
    # --show_operations --out_dir FOLDER MODEL
    f'echo "$@" >{tmp_path}/arguments; cp "$4" "$3/a_edgetpu.tflite"; '
    f"cat {tmp_path}/log",
  )
  out = tmp_path / "out"
  out.mkdir()
  compiled = edgetpu.compile(path, out)
  assert (tmp_path / "arguments").read_text().split() == [
    "--show_operations",
    "--out_dir",
    str(out),
    str(path),
  ]
  assert compiled.path == out / "a_edgetpu.tflite"
  assert compiled.path.read_bytes() == b"model"
  assert (compiled.mapped, compiled.total) == (28, 29)
  assert compiled.version == "16.0.384591198"
  assert ("CONV_2D", 14, "Mapped to Edge TPU") in compiled.operators
  report = dataclasses.replace(edgetpu.check(model), compiled=compiled)
  assert report.status == "compiled, 28 of 29 mapped"


@pytest.mark.parametrize(
  ("script", "message"),
  [
    ("echo; echo Invalid model: a.tflite >&2; exit 1", "code 1, Invalid model"),
    ("exit 0", "exit code 0, no output"),
  ],
)
def test_a_compiler_that_fails(script, message, tmp_path, monkeypatch):
  path = install(tmp_path, monkeypatch, script)
  with pytest.raises(ValueError, match=message):
    edgetpu.compile(path)
