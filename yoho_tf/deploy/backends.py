"""What runs a network: one class per kind of file, all called the same way.

A backend has `inputs` and `outputs`, `{name: Tensor}`, is called with a dict
of float arrays and returns one of float32 copies. It checks no more than its
library would get wrong silently; `runtime.Runtime` does the rest.

No TensorFlow, Keras or ONNX Runtime at module level: a `.tflite` needs numpy
and LiteRT only.
"""

import contextlib
import ctypes
import importlib
import os
import sys
import warnings
from typing import NamedTuple

import numpy as np


class Tensor(NamedTuple):
  """An input or output: -1 where a length is free; the file's own dtype."""

  shape: tuple[int, ...]
  dtype: str


def need(module, *, what, extra):
  """Imports a package that may be missing.

  Raises:
    ValueError: it is; says what asked for it and how to get it.
  """
  try:
    with quiet():
      return importlib.import_module(module)
  except ImportError:
    raise ValueError(
      f"{what} needs {module.partition('.')[0]}, which is not installed; "
      f"pip install 'yoho_tf{extra}'"
    ) from None


@contextlib.contextmanager
def quiet():
  """Drops what C++ prints ("INFO: Created ... delegate").

  LiteRT knows no log level; what is wrong comes as an exception all the same.
  """
  if not sys.stderr:  # closed before the start: nobody to disturb
    yield
    return
  sys.stderr.flush()
  kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
  os.dup2(null, 2)
  try:
    yield
  finally:
    os.dup2(kept, 2)
    os.close(kept)
    os.close(null)


def refused(path, kind, error):
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return ValueError(
    f"model must be {kind}; got {os.fspath(path)!r} ({lines[0][:200]})"
  )


class Backend:
  """What they share."""

  pads = True  # a waveform of any length is filled up to whole cells inside

  @property
  def input_names(self) -> tuple[str, ...]:
    return tuple(self.inputs)

  @property
  def input_shapes(self) -> dict[str, tuple[int, ...]]:
    """Shapes by name; -1 where a length is free."""
    return {name: tensor.shape for name, tensor in self.inputs.items()}

  def clone(self, **options):
    """Itself, where its library may be called by several threads at once."""
    return self


# Signature of the network without its front end, in a file that has both.
_TRUNK = "log_mel"


class LiteRt(Backend):
  """A `.tflite` file. Inputs of another length resize the interpreter.

  Int8 tensors are quantised and dequantised here.

  Args:
    path: the file.
    num_threads: default: all processors, at most 4.
    delegate: a shared library that runs what it can, e.g. the Edge TPU's.
    module: "tensorflow" for its `tf.lite`; default: LiteRT, and tf.lite with
      a warning where that is not installed.
    trunk: run the network behind the front end, of a file that offers it
      (litert.py).

  Raises:
    ValueError: LiteRT cannot load the file.
  """

  pads = False

  def __init__(
    self, path, *, num_threads=None, delegate=None, module=None, trunk=False
  ):
    self._options = dict(
      num_threads=num_threads, delegate=delegate, module=module, trunk=trunk
    )
    threads = num_threads or min(4, os.cpu_count() or 1)
    self._path = path = os.fspath(path)
    if not os.path.isfile(path):
      raise ValueError(f"model must be a file; got {path!r}")
    library = _lite_library(module)
    extra = {}
    if delegate:
      extra["experimental_delegates"] = [_delegate(library, delegate)]
    try:
      with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf.lite.Interpreter: we know
        self._interpreter = library.Interpreter(
          model_path=path, num_threads=threads, **extra
        )
    except (ValueError, RuntimeError) as error:
      kind = "a .tflite file that LiteRT loads"
      raise refused(path, kind, error) from None
    self._signatures = self._interpreter.get_signature_list()
    keys = [key for key in self._signatures if (key == _TRUNK) == trunk]
    self._runner = None  # the first graph runs without one
    if keys:
      runner = self._interpreter.get_signature_runner(keys[0])
      names = self._signatures[keys[0]]
      tables = runner.get_input_details(), runner.get_output_details()
      self._inputs, self._outputs = (
        {name: table[name] for name in names[side]}
        for side, table in zip(("inputs", "outputs"), tables, strict=True)
      )
      if trunk:
        self._runner = runner
    else:  # the tensors' own names
      self._inputs, self._outputs = (
        {d["name"]: d for d in details}
        for details in (
          self._interpreter.get_input_details(),
          self._interpreter.get_output_details(),
        )
      )
    self._shapes = {}

  @property
  def has_signature(self) -> bool:
    return bool(self._signatures)

  @property
  def trunk(self):
    """The network behind the front end, opened anew; None: not offered."""
    if _TRUNK not in self._signatures or self._runner is not None:
      return None
    return LiteRt(self._path, **{**self._options, "trunk": True})

  @property
  def inputs(self) -> dict[str, Tensor]:
    return {name: _tensor(d) for name, d in self._inputs.items()}

  @property
  def outputs(self) -> dict[str, Tensor]:
    return {name: _tensor(d) for name, d in self._outputs.items()}

  def clone(self, *, num_threads=None):
    options = dict(self._options)
    if num_threads is not None:
      options["num_threads"] = num_threads
    return LiteRt(self._path, **options)

  def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Raises ValueError for a shape that the file does not take."""
    shapes = {name: np.shape(value) for name, value in inputs.items()}
    if self._runner is not None:
      self._check(shapes)
      with contextlib.nullcontext() if self._shapes else quiet():
        found = self._runner(
          **{n: _quantized(x, self._inputs[n]) for n, x in inputs.items()}
        )
      self._shapes = shapes
      return {n: _dequantized(found[n], d) for n, d in self._outputs.items()}
    if shapes != self._shapes:
      self._check(shapes)
      first, self._shapes = not self._shapes, {}
      for name, shape in shapes.items():
        index = self._inputs[name]["index"]
        self._interpreter.resize_tensor_input(index, shape)
      with quiet() if first else contextlib.nullcontext():
        self._allocate()
      self._shapes = shapes
    for name, value in inputs.items():
      detail = self._inputs[name]
      self._interpreter.set_tensor(detail["index"], _quantized(value, detail))
    self._interpreter.invoke()
    return {
      name: _dequantized(self._interpreter.get_tensor(d["index"]), d)
      for name, d in self._outputs.items()
    }

  def _allocate(self):
    try:
      self._interpreter.allocate_tensors()
    except RuntimeError as error:  # such as an operator of a delegate
      kind = "a .tflite file whose operators LiteRT has"
      raise refused(self._path, kind, error) from None

  def _check(self, shapes):
    """LiteRT itself takes any shape: wrong numbers come out, or it crashes."""
    for name, free in self.input_shapes.items():
      shape = shapes.get(name, ())
      fits = len(shape) == len(free) and all(
        size == known or (known == -1 and size > 0)
        for size, known in zip(shape, free, strict=True)
      )
      if not fits:
        raise ValueError(
          f"{name} must have shape {free} (-1: any length); got {shape}"
        )


def _lite_library(module):
  """What has `Interpreter`: the module asked for, or the first there is."""
  if module is not None:
    return need(module, what="a .tflite model", extra="[train]").lite
  try:
    return importlib.import_module("ai_edge_litert.interpreter")
  except ImportError:
    pass
  try:
    library = importlib.import_module("tensorflow").lite
  except ImportError:
    need("ai_edge_litert.interpreter", what="a .tflite model", extra="")
  warnings.warn(
    "ai-edge-litert is not installed: the .tflite runs through tf.lite, "
    "which TensorFlow is about to drop; pip install ai-edge-litert",
    stacklevel=4,
  )
  return library


def _delegate(library, path):
  load = getattr(library, "load_delegate", None)
  load = load or library.experimental.load_delegate  # tf.lite
  try:
    ctypes.CDLL(path)  # LiteRT's own attempt would leave a traceback behind
    return load(path)
  except (ValueError, OSError) as error:
    raise ValueError(
      f"backend must name a delegate that loads; got {path!r} ({error})"
    ) from None


def _tensor(detail):
  shape = tuple(int(n) for n in detail["shape_signature"])
  return Tensor(shape, np.dtype(detail["dtype"]).name)


def _quantized(value, detail):
  """Float numbers as the file's tensor stores them."""
  dtype = np.dtype(detail["dtype"])
  if dtype.kind not in "iu":
    return np.ascontiguousarray(value, dtype)
  scale, zero_point = detail["quantization"]
  steps = np.asarray(value, np.float64) / scale
  # Half away from zero: np.round would go to the even neighbour.
  steps = np.copysign(np.floor(np.abs(steps) + 0.5), steps) + zero_point
  limits = np.iinfo(dtype)
  return np.clip(steps, limits.min, limits.max).astype(dtype)


def _dequantized(value, detail):
  if np.dtype(detail["dtype"]).kind not in "iu":
    return np.asarray(value, np.float32)
  scale, zero_point = detail["quantization"]
  return ((value.astype(np.float64) - zero_point) * scale).astype(np.float32)


class OnnxFile(Backend):
  """An `.onnx` file through ONNX Runtime.

  Args:
    path: the file.
    num_threads: default: ONNX Runtime's choice.
    provider: "CPUExecutionProvider" unless another is asked for.
  """

  def __init__(
    self, path, *, num_threads=None, provider="CPUExecutionProvider"
  ):
    library = need("onnxruntime", what="an .onnx model", extra="[onnx]")
    available = library.get_available_providers()
    if provider not in available:
      raise ValueError(
        f"backend must be one of {', '.join(available)} for an .onnx model; "
        f"got {provider!r}"
      )
    options = library.SessionOptions()
    options.log_severity_level = 4  # fatal: errors come as exceptions
    options.intra_op_num_threads = num_threads or 0
    try:
      self._session = library.InferenceSession(
        os.fspath(path), options, providers=[provider]
      )
    except Exception as error:  # ONNX Runtime's classes have no common parent
      kind = "an .onnx file that ONNX Runtime loads"
      raise refused(path, kind, error) from None
    self.inputs, self.outputs = (
      {node.name: _onnx_tensor(node) for node in nodes}
      for nodes in (self._session.get_inputs(), self._session.get_outputs())
    )
    self.texts = dict(self._session.get_modelmeta().custom_metadata_map)

  def __call__(self, inputs):
    feeds = {
      name: np.ascontiguousarray(value, np.float32)
      for name, value in inputs.items()
    }
    names = list(self.outputs)
    values = self._session.run(names, feeds)
    return {
      name: np.array(value, np.float32)
      for name, value in zip(names, values, strict=True)
    }


def _onnx_tensor(node):
  shape = tuple(n if isinstance(n, int) else -1 for n in node.shape)
  names = {"float": "float32", "double": "float64"}
  kind = node.type.removeprefix("tensor(").removesuffix(")")
  return Tensor(shape, names.get(kind, kind))


class SavedModel(Backend):
  """A folder with `saved_model.pb`, through its signature."""

  def __init__(self, path):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tf = need("tensorflow", what="a SavedModel", extra="[train]")
    try:
      with quiet():
        self._loaded = tf.saved_model.load(os.fspath(path))
      self._call = self._loaded.signatures["serving_default"]
    except Exception as error:  # many kinds, most of them TensorFlow's own
      kind = "a SavedModel that TensorFlow loads, with serving_default"
      raise refused(path, kind, error) from None
    self.inputs, self.outputs = (
      {name: _spec_tensor(spec) for name, spec in specs.items()}
      for specs in (
        self._call.structured_input_signature[1],
        self._call.structured_outputs,
      )
    )

  def __call__(self, inputs):
    outputs = self._call(
      **{name: np.asarray(value, np.float32) for name, value in inputs.items()}
    )
    return {name: np.array(outputs[name]) for name in self.outputs}


def _spec_tensor(spec):
  shape = tuple(-1 if n is None else int(n) for n in spec.shape)
  return Tensor(shape, str(getattr(spec.dtype, "name", spec.dtype)))


class KerasNetwork(Backend):
  """A Keras model with dict inputs and outputs.

  Args:
    model: the model.
    outputs: names of the outputs that are wanted; default: all.
  """

  def __init__(self, model, *, outputs=None):
    self.model = model
    self.inputs, self.outputs = (
      {name: _spec_tensor(tensor) for name, tensor in tensors.items()}
      for tensors in (model.input, model.output)
    )
    if outputs is not None:
      self.outputs = {name: self.outputs[name] for name in outputs}

  def __call__(self, inputs):
    outputs = self.model(inputs, training=False)
    return {name: np.array(outputs[name]) for name in self.outputs}
