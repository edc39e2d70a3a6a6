"""Whether a `.tflite` fits Coral's Edge TPU.

`check` reads the flatbuffer against the published rules ("TensorFlow models on
the Edge TPU", coral.ai/docs/edgetpu/models-intro) and against the operator
versions of the YAMNet that Google published for it. It stays a check: that
every operator is mapped only the compiler can tell (`compile`).
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from yoho_tf.deploy import flatbuffer
from yoho_tf.deploy.edgetpu_compiler import (  # noqa: F401 (part of the API)
  Compiled,
  compile,
)

# Operator -> highest version. A later one means a later feature, which the
# compiler (last release 16.0, 2021) refuses.
OPERATORS = {
  "QUANTIZE": 1,
  "RESHAPE": 1,
  "SPLIT": 2,
  "CONV_2D": 3,
  "DEPTHWISE_CONV_2D": 3,
  "MEAN": 2,
  "FULLY_CONNECTED": 4,
  "LOGISTIC": 2,
  "DEQUANTIZE": 2,
}

# Of log-mels as dialect `yamnet` makes them, ln(mel + 0.001): silence to loud.
LOG_MEL_RANGE = (-6.93, 5.26)

_SHOWN = 3  # lines of one rule


class Tensor(NamedTuple):
  """An input or output; scale and zero point are None where it is float."""

  name: str
  shape: tuple[int, ...]
  type: str
  scale: float | None
  zero_point: int | None


@dataclass(frozen=True)
class Report:
  """What `check` found; `passed` means no problem, not that it was compiled.

  Attributes:
    operators: `(name, version, count)` each.
    inputs, outputs: `Tensor` each, of the int8 block: behind QUANTIZE, before
      DEQUANTIZE.
    problems: what keeps it from the Edge TPU, one line each.
    warnings: what will probably cost accuracy.
    compiled: what the compiler said, or None.
  """

  operators: tuple[tuple[str, int, int], ...]
  inputs: tuple[Tensor, ...]
  outputs: tuple[Tensor, ...]
  problems: tuple[str, ...]
  warnings: tuple[str, ...]
  compiled: Compiled | None = None

  @property
  def passed(self) -> bool:
    return not self.problems

  @property
  def status(self) -> str:
    if self.problems:
      return "refused"
    if self.compiled is None:
      return "checked, not compiled"
    return f"compiled, {self.compiled.mapped} of {self.compiled.total} mapped"

  def text(self) -> str:
    """The report as lines to print."""
    lines = [f"Edge TPU: {self.status}"]
    for side in ("inputs", "outputs"):
      for t in getattr(self, side):
        scale = "-" if t.scale is None else f"{t.scale:.5f}"
        lines.append(
          f"  {side[:-1]} {t.name} {list(t.shape)} {t.type}, scale {scale}, "
          f"zero point {t.zero_point}"
        )
    for name, version, count in self.operators:
      lines.append(f"  {count:3d} {name} {version}")
    lines += [f"  problem: {line}" for line in self.problems]
    lines += [f"  warning: {line}" for line in self.warnings]
    return "\n".join(lines) + "\n"


def check(model: bytes, *, input_range=LOG_MEL_RANGE) -> Report:
  """Reads a `.tflite` against the rules of the Edge TPU.

  Args:
    model: the file's bytes.
    input_range: least and greatest value expected in the input, for a warning
      when the calibration saw others; None: no such warning.

  Raises:
    ValueError: no `.tflite`, or not a whole one.
  """
  view = _View(flatbuffer.load(model))
  if not view.operators:
    return Report((), (), (), ("model must have operators; received none",), ())
  problems = []
  for rule in _RULES:
    found = list(dict.fromkeys(rule(view)))
    problems += found[:_SHOWN]
    if len(found) > _SHOWN:
      problems.append(f"and {len(found) - _SHOWN} more like the last")
  counts = Counter((o.name, o.version) for o in view.operators)
  inputs, outputs = view.ends()
  return Report(
    operators=tuple((*key, count) for key, count in counts.items()),
    inputs=inputs,
    outputs=outputs,
    problems=tuple(problems),
    warnings=tuple(_warnings(view, inputs, input_range)),
  )


class _Operator(NamedTuple):
  name: str
  version: int
  inputs: list
  outputs: list
  options: object


class _View:
  """The first subgraph by names, as the rules want it."""

  def __init__(self, tree):
    from ai_edge_litert import schema_py_generated as schema

    self.schema = schema
    self.num_subgraphs = len(tree.subgraphs)
    self.buffers = tree.buffers
    graph = tree.subgraphs[0]
    tensors = graph.tensors
    self.types = flatbuffer.names(schema.TensorType)
    kinds = flatbuffer.names(schema.BuiltinOperator)
    self.operators = []
    for operator in graph.operators:
      code = tree.operatorCodes[operator.opcodeIndex]
      name = kinds[flatbuffer.operator_code(code)]
      if name == "CUSTOM":
        name = f"custom {(code.customCode or b'?').decode()}"
      sides = [
        [tensors[i] for i in side if i != -1]
        for side in (operator.inputs, operator.outputs)
      ]
      options = operator.builtinOptions
      self.operators.append(_Operator(name, code.version, *sides, options))
    self.inputs = [tensors[i] for i in graph.inputs]
    self.outputs = [tensors[i] for i in graph.outputs]

  def is_constant(self, tensor) -> bool:
    data = self.buffers[tensor.buffer].data
    return data is not None and len(data) > 0

  def type(self, tensor) -> str:
    return self.types[tensor.type]

  def is_end(self, operator) -> bool:
    """QUANTIZE of the model's input or DEQUANTIZE of its output."""
    if operator.name == "QUANTIZE":
      return any(operator.inputs[0] is t for t in self.inputs)
    if operator.name == "DEQUANTIZE":
      return any(operator.outputs[0] is t for t in self.outputs)
    return False

  def inner(self):
    return [o for o in self.operators if not self.is_end(o)]

  def activations(self):
    """Tensors that are no constants, each once."""
    found = [*self.inputs, *self.outputs]
    for operator in self.operators:
      found += [t for t in operator.inputs if not self.is_constant(t)]
      found += operator.outputs
    return {id(t): t for t in found}.values()

  def ends(self):
    """Inputs and outputs of the int8 block as `Tensor`."""
    behind = {}
    for o in self.operators:
      if self.is_end(o):
        key, inner = o.inputs[0], o.outputs[0]
        if o.name == "DEQUANTIZE":
          key, inner = inner, key
        behind[id(key)] = inner
    return tuple(
      tuple(self._tensor(behind.get(id(t), t)) for t in side)
      for side in (self.inputs, self.outputs)
    )

  def _tensor(self, tensor):
    scales, points = _scales(tensor)
    return Tensor(
      _name(tensor),
      tuple(flatbuffer.shape(tensor)),
      self.type(tensor),
      scales[0] if scales else None,
      points[0] if points else None,
    )


def _name(tensor) -> str:
  """The converter joins the names of what it fused with ";"."""
  return tensor.name.decode().partition(";")[0]


def _scales(tensor):
  quantization = tensor.quantization
  found = []
  for key, kind in (("scale", float), ("zeroPoint", int)):
    values = quantization and getattr(quantization, key)
    found.append([kind(v) for v in values] if values is not None else [])
  return found


# ---- rules: each yields lines -----------------------------------------------


def _one_graph(view):
  if view.num_subgraphs != 1:
    yield f"model must have one subgraph; received {view.num_subgraphs}"
  for side in ("inputs", "outputs"):
    count = len(getattr(view, side))
    if count != 1:
      yield f"model must have one of {side}; received {count}"


def _known_operators(view):
  others = [o.name for o in view.operators if o.name not in OPERATORS]
  if others:
    yield (
      f"operator must be one of {', '.join(OPERATORS)}; received "
      f"{', '.join(dict.fromkeys(others))}"
    )
  for name, version, *_ in view.operators:
    if version > OPERATORS.get(name, version):
      yield (
        f"operator {name} must have version {OPERATORS[name]} at most; "
        f"received {version}"
      )


def _static_shapes(view):
  for tensor in view.activations():
    shape = flatbuffer.shape(tensor)
    name = _name(tensor)
    if -1 in shape:
      yield f"shape must be fixed; received {name} {shape}"
    elif any(n != 1 for n in shape[:-3]):
      yield (
        f"shape must be 1 but for the last three axes; received {name} {shape}"
      )
  for tensor in view.inputs:
    shape = flatbuffer.shape(tensor)
    if shape[:1] not in ([1], [-1]):  # -1: said above
      yield f"batch must be 1; received {shape}"


def _eight_bits(view):
  for operator in view.inner():
    for tensor in (*operator.inputs, *operator.outputs):
      kind = view.type(tensor)
      is_number = kind == "INT32" and view.is_constant(tensor)  # bias, axes
      name = _name(tensor)
      if kind != "INT8" and not is_number:
        yield f"tensor inside must be INT8; received {name} {kind}"
      elif kind == "INT8" and not _scales(tensor)[0]:
        yield f"tensor must have a scale; received none for {name}"


def _constants(view):
  for operator in view.operators:
    free = [t for t in operator.inputs if not view.is_constant(t)]
    if len(free) != 1:
      yield (
        "operator must have one input that is no constant; received "
        f"{len(free)} of {operator.name}"
      )


def _one_block(view):
  inner = view.inner()
  if not inner:
    yield "model must have operators between its ends; received none"
  for operator in inner:
    kinds = [view.type(t) for t in (*operator.inputs, *operator.outputs)]
    casts = operator.name in ("QUANTIZE", "DEQUANTIZE")
    if casts and any(kind.startswith("FLOAT") for kind in kinds):
      yield (
        "operators between the ends must be one block of integers; received "
        f"{operator.name} at place {view.operators.index(operator) + 1} of "
        f"{len(view.operators)}"
      )


def _dense_scales(view):
  for operator in view.operators:
    if operator.name == "FULLY_CONNECTED":
      count = len(_scales(operator.inputs[1])[0])
      if count != 1:
        yield f"dense kernel must have one scale; received {count}"


_RULES = (
  _one_graph,
  _known_operators,
  _static_shapes,
  _eight_bits,
  _constants,
  _one_block,
  _dense_scales,
)


def _warnings(view, inputs, input_range):
  for tensor in inputs if input_range else ():
    if tensor.scale is None or tensor.zero_point is None:
      continue
    low, high = (tensor.scale * (q - tensor.zero_point) for q in (-128, 127))
    slack = 0.25 * (input_range[1] - input_range[0])
    if max(abs(low - input_range[0]), abs(high - input_range[1])) > slack:
      yield (
        f"input spans {low:.2f}..{high:.2f}, far from {input_range[0]}.."
        f"{input_range[1]}: calibrate on other data"
      )
  relu = view.schema.ActivationFunctionType.RELU
  count = sum(
    getattr(o.options, "fusedActivationFunction", None) == relu
    for o in view.operators
  )
  if count:
    yield f"{count} operators end in RELU: RELU6 keeps 8 bits fine"
