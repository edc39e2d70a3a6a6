"""YOHO as a `.tflite` that hears one cell at a time, and what runs it.

The file holds models/yoho_stream.py: `log_mel [1, 32, bands]`, `inside [1, 1]`
and `state [1, values]` in, `events [1, 1, classes, 3 * slots]`, `inside` and
`state` out; or, behind a front end, `waveform [1, samples]` in place of
`log_mel`: a cell and the `extra_samples` after it. An app keeps one array,
zeros at first. No TensorFlow and no Keras before `tflite` is called.
"""

from dataclasses import replace

import numpy as np

from yoho_tf.deploy import metadata
from yoho_tf.deploy.backends import Backend, Tensor
from yoho_tf.deploy.graft import graft

MEMORY = ("inside", "state")
INPUTS = ("log_mel", *MEMORY)
OUTPUTS = ("events", "inside", "state")
PRECISIONS = ("float16", "float32", "dynamic")


def tflite(
  network,
  params,
  *,
  class_map,
  precision="float16",
  input="log_mel",
  transform="rfft",
  allow_relu_int8=False,
) -> bytes:
  """A YOHO network -> the `.tflite` of its steps.

  Args:
    network: of `yoho.build(params)`, float32.
    params: on the lattice `stride`; stored inside.
    class_map: `ClassMap` of `params.labels`, stored inside.
    precision: of the weights; "dynamic" as in `litert.convert`. The state
      and the front end are float32.
    input: "log_mel" or "waveform".
    transform: of the front end, as in `litert.tflite`.
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
  if input == "waveform":
    frames = params.STRIDE_FRAMES
    front = litert.front_end(params, frames=frames, transform=transform)
    data = graft(front, data)
  texts = metadata.texts(replace(params, input=input), class_map)
  return metadata.pack(data, texts)


def is_stateful(network) -> bool:
  """Whether a backend is that of such a file."""
  return set(MEMORY) < set(network.inputs)


class StepNetwork(Backend):
  """The steps of one stream; or, called as a backend, of whole recordings.

      cells = [network.step(cell) for cell in network.cut(recording)]
      cells.append(network.finish())

  Cells are those of the whole network in one pass, float32 `[cells, classes, 3
  * slots]`, the first of them with the step that is the look-ahead behind it.

  Args:
    file: `backends.LiteRt` of a file of `tflite`.
    params: that travel in it.

  Attributes:
    file: the same: one step, its tensors as they are.
    input: what it hears, "log_mel" or "waveform".
  """

  pads = False

  def __init__(self, file, params):
    self.file, self._params = file, params
    (self.input,) = set(file.inputs) - set(MEMORY)
    self._shape = file.inputs[self.input].shape  # of one step
    self._hop = (
      params.STRIDE_FRAMES if self.input == "log_mel" else params.cell_samples
    )
    *_, classes, values = file.outputs["events"].shape
    self.inputs = {self.input: Tensor((1, -1, *self._shape[2:]), "float32")}
    self.outputs = {"events": Tensor((1, -1, classes, values), "float32")}
    self.reset()

  def reset(self) -> None:
    """Forgets everything: the next cell is the first of a recording."""
    self._state = np.zeros(self.file.inputs["state"].shape, np.float32)
    self._num_open = 0  # cells that went in and did not come out

  def cut(self, recording) -> list:
    """`[frames, bands]` or `[samples]` of whole cells -> what `step` takes.

    Raises:
      ValueError: a length that does not fill cells.
    """
    hop, more = self._hop, self._shape[1] - self._hop
    num_cells, rest = divmod(len(recording) - more, hop)
    if num_cells < 1 or rest:
      unit = "frames" if self.input == "log_mel" else "samples"
      raise ValueError(
        f"{self.input} must have a multiple of {hop} {unit}"
        f"{f' and {more}' if more else ''}; received {len(recording)}"
      )
    return [recording[i * hop : (i + 1) * hop + more] for i in range(num_cells)]

  def step(self, cell) -> np.ndarray:
    """Takes a cell, a piece of `cut`; returns the cells known now.

    Raises:
      ValueError: another shape.
    """
    return self._run(np.asarray(cell, np.float32)[None], 1)

  def finish(self) -> np.ndarray:
    """Ends the recording; returns the cells that are still to come.

    What comes next is the first cell of another one.
    """
    silence = np.zeros(self._shape, np.float32)
    found = [np.zeros((0, *self.outputs["events"].shape[2:]), np.float32)]
    while self._num_open:
      found.append(self._run(silence, 0))
    self.reset()
    return np.concatenate(found)

  def _run(self, cell, inside):
    outputs = self.file(
      {
        self.input: cell,
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
    return StepNetwork(self.file, self._params)

  def clone(self, **options) -> "StepNetwork":
    return StepNetwork(self.file.clone(**options), self._params)

  def __call__(self, inputs):
    """A recording, `[1, frames, bands]` or `[1, samples]` -> its cells.

    Raises:
      ValueError: as `cut`.
    """
    (recording,) = inputs[self.input]
    run = self.apart()
    found = [run.step(cell) for cell in self.cut(recording)]
    return {"events": np.concatenate([*found, run.finish()])[None]}
