"""YOHO as a `.tflite` that hears one cell at a time, and what runs it.

The file holds models/yoho_stream.py: `log_mel [1, 32, bands]`, `inside [1, 1]`
and `state [1, values]` in, `events [1, 1, classes, 3 * slots]`, `inside` and
`state` out. An app keeps one array, zeros at first. No TensorFlow and no Keras
before `tflite` is called.
"""

from dataclasses import replace

import numpy as np

from yoho_tf.deploy import metadata
from yoho_tf.deploy.backends import Backend, Tensor

INPUTS = ("log_mel", "inside", "state")
OUTPUTS = ("events", "inside", "state")
PRECISIONS = ("float16", "float32", "dynamic")


def tflite(
  network, params, *, class_map, precision="float16", allow_relu_int8=False
) -> bytes:
  """A YOHO network -> the `.tflite` of its steps.

  Args:
    network: of `yoho.build(params)`, float32.
    params: on the lattice `stride`; stored inside.
    class_map: `ClassMap` of `params.labels`, stored inside.
    precision: of the weights; "dynamic" as in `litert.convert`. The state is
      float32.
    allow_relu_int8: "dynamic" of a network with unbounded ReLU all the same.

  Raises:
    ValueError: another lattice, precision or class map.
  """
  from yoho_tf.deploy import litert
  from yoho_tf.models import yoho_stream

  if class_map.names != params.labels:
    raise ValueError(
      f"class_map must hold the labels {params.labels}; got {class_map.names}"
    )
  if precision not in PRECISIONS:
    raise ValueError(
      f"precision must be {' or '.join(PRECISIONS)} for steps; got {precision}"
    )
  litert.check_relu(params, precision, allow_relu_int8)
  step = yoho_stream.weigh(yoho_stream.build(params), network)

  def run(*inputs):
    found = step(dict(zip(INPUTS, inputs)), training=False)
    return [found[name] for name in OUTPUTS]

  data = litert.convert(
    run,
    [v.value for v in step.variables],
    shape=[[1, *step.input[name].shape[1:]] for name in INPUTS],
    name=INPUTS,
    output=OUTPUTS,
    precision=precision,
  )
  texts = metadata.texts(replace(params, input="log_mel"), class_map)
  return metadata.pack(data, texts)


def is_stateful(network) -> bool:
  """Whether a backend is that of such a file."""
  return set(network.inputs) == set(INPUTS)


class StepNetwork(Backend):
  """The steps of one stream; or, called as a backend, of whole recordings.

      cells = [network.step(log_mel) for log_mel in ...] + [network.finish()]

  Cells are those of the whole network in one pass, float32 `[cells, classes, 3
  * slots]`, the first of them with the step that is the look-ahead behind it.

  Args:
    file: `backends.LiteRt` of a file of `tflite`.

  Attributes:
    file: the same: one step, its tensors as they are.
  """

  pads = False

  def __init__(self, file):
    self.file = file
    _, self._frames, bands = file.inputs["log_mel"].shape
    *_, classes, values = file.outputs["events"].shape
    self.inputs = {"log_mel": Tensor((1, -1, bands), "float32")}
    self.outputs = {"events": Tensor((1, -1, classes, values), "float32")}
    self.reset()

  def reset(self) -> None:
    """Forgets everything: the next cell is the first of a recording."""
    self._state = np.zeros(self.file.inputs["state"].shape, np.float32)
    self._num_open = 0  # cells that went in and did not come out

  def step(self, log_mel) -> np.ndarray:
    """Takes the frames of a cell, `[32, bands]`; returns the cells known now.

    Raises:
      ValueError: another shape.
    """
    return self._run(np.asarray(log_mel, np.float32)[None], 1)

  def finish(self) -> np.ndarray:
    """Ends the recording; returns the cells that are still to come.

    What comes next is the first cell of another one.
    """
    silence = np.zeros(self.file.inputs["log_mel"].shape, np.float32)
    found = [np.zeros((0, *self.outputs["events"].shape[2:]), np.float32)]
    while self._num_open:
      found.append(self._run(silence, 0))
    self.reset()
    return np.concatenate(found)

  def _run(self, log_mel, inside):
    outputs = self.file(
      {
        "log_mel": log_mel,
        "inside": np.array([[inside]], np.float32),
        "state": self._state,
      }
    )
    self._state = outputs["state"]
    num_cells = int(outputs["inside"][0, 0])
    self._num_open += inside - num_cells
    return outputs["events"][0, :num_cells]

  def apart(self) -> "StepNetwork":
    """The same file with a memory of its own; for the same thread."""
    return StepNetwork(self.file)

  def clone(self, **options) -> "StepNetwork":
    return StepNetwork(self.file.clone(**options))

  def __call__(self, inputs):
    """`log_mel [1, frames, bands]` of a recording -> `events [1, cells, ...]`.

    Raises:
      ValueError: frames that do not fill cells.
    """
    (log_mel,) = inputs["log_mel"]
    if not len(log_mel) or len(log_mel) % self._frames:
      raise ValueError(
        f"log_mel must have a multiple of {self._frames} frames; received "
        f"{len(log_mel)}"
      )
    run = self.apart()
    found = [
      run.step(log_mel[first : first + self._frames])
      for first in range(0, len(log_mel), self._frames)
    ]
    return {"events": np.concatenate([*found, run.finish()])[None]}
