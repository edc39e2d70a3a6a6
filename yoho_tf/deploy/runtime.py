"""Running a network, whatever it is stored in: `dict -> dict` of arrays.

No TensorFlow and no Keras at module level: prediction with a `.tflite` needs
numpy and LiteRT only.
"""

import contextlib
import os
import sys

import numpy as np


@contextlib.contextmanager
def _quiet():
  """Drops what LiteRT's C++ side prints ("INFO: Created ... delegate").

  It knows no log level; what is wrong comes as an exception all the same.
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


class LiteRt:
  """A `.tflite` file. Inputs of another length resize the interpreter.

  Args:
    path: the file.
    num_threads: default: all processors, at most 4.

  Raises:
    ValueError: LiteRT cannot load the file.
  """

  def __init__(self, path, *, num_threads: int | None = None):
    from ai_edge_litert.interpreter import Interpreter

    threads = num_threads or min(4, os.cpu_count() or 1)
    path = os.fspath(path)
    if not os.path.isfile(path):
      raise ValueError(f"model must be a file; got {path!r}")
    try:
      with _quiet():
        self._interpreter = Interpreter(model_path=path, num_threads=threads)
    except (ValueError, RuntimeError) as error:
      reason = str(error).splitlines()[0]
      raise ValueError(
        f"model must be a .tflite file that LiteRT loads; got {path!r} "
        f"({reason})"
      ) from None
    self._inputs = self._details(self._interpreter.get_input_details(), 0)
    self._outputs = self._details(self._interpreter.get_output_details(), 1)
    self._shapes = {}

  def _details(self, details, side):
    """{signature name: detail}; without a signature, the tensors' names."""
    signatures = self._interpreter.get_signature_list()
    if not signatures:
      return {d["name"]: d for d in details}
    key = next(iter(signatures))
    names = signatures[key][("inputs", "outputs")[side]]
    runner = self._interpreter.get_signature_runner(key)
    table = (runner.get_input_details, runner.get_output_details)[side]()
    return {name: table[name] for name in names}

  @property
  def input_names(self) -> tuple[str, ...]:
    return tuple(self._inputs)

  @property
  def input_shapes(self) -> dict[str, tuple[int, ...]]:
    """Shapes by name; -1 where a length is free."""
    return {
      name: tuple(int(n) for n in d["shape_signature"])
      for name, d in self._inputs.items()
    }

  def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Raises ValueError for a shape that the file does not take."""
    shapes = {name: np.shape(value) for name, value in inputs.items()}
    if shapes != self._shapes:
      self._check(shapes)
      first, self._shapes = not self._shapes, {}
      for name, shape in shapes.items():
        index = self._inputs[name]["index"]
        self._interpreter.resize_tensor_input(index, shape)
      with _quiet() if first else contextlib.nullcontext():
        self._interpreter.allocate_tensors()
      self._shapes = shapes
    for name, value in inputs.items():
      self._interpreter.set_tensor(
        self._inputs[name]["index"], np.ascontiguousarray(value, np.float32)
      )
    self._interpreter.invoke()
    return {
      name: self._interpreter.get_tensor(detail["index"])
      for name, detail in self._outputs.items()
    }

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


class KerasNetwork:
  """A Keras model behind the same call."""

  def __init__(self, model):
    self.model = model
    self.input_names = tuple(model.input)

  def __call__(self, inputs):
    outputs = self.model(inputs, training=False)
    return {name: np.asarray(value) for name, value in outputs.items()}
