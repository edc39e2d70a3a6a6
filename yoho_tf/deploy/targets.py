"""What a model may become: targets, and the artefacts that were asked for."""

from dataclasses import dataclass

from yoho_tf.deploy import litert, optimize, stateful
from yoho_tf.labels import did_you_mean
from yoho_tf.params import YohoParams

ALL = "all"
INPUTS = ("waveform", "log_mel")


@dataclass(frozen=True)
class Target:
  """What a target may be asked for; the first of each is the default."""

  precisions: tuple[str, ...]
  inputs: tuple[str, ...]
  files: tuple[str, ...]  # endings; the last is the artefact


TARGETS = {
  "tflite": Target(
    ("float16", "float32", "dynamic", "int8"), INPUTS, (".tflite",)
  ),
  "saved_model": Target(("float32",), ("waveform",), (".saved_model",)),
  "onnx": Target(("float32",), INPUTS, (".onnx",)),
  "edgetpu": Target(
    ("int8",), ("log_mel",), (".frontend.tflite", ".edgetpu.tflite")
  ),
  "mediapipe": Target(
    ("float16", "float32", "dynamic", "int8"),
    ("waveform",),
    (".mediapipe.tflite",),
  ),
  "stream": Target(stateful.PRECISIONS, INPUTS[::-1], (".stream.tflite",)),
}


@dataclass(frozen=True)
class Job:
  """One artefact that is wanted."""

  target: str
  precision: str
  input: str
  stem: str
  io: str = "float32"
  frames: int | None = None
  outputs: tuple[str, ...] | None = None
  transform: str = "rfft"
  dynamic_batch: bool = False
  allow_relu_int8: bool = False
  optimize: str | None = None

  @property
  def needs_calibration(self) -> bool:
    knows = self.optimize in optimize.INT8 and self.io == "float32"
    return self.precision == "int8" and not knows

  @property
  def names(self) -> tuple[str, ...]:
    return tuple(self.stem + ending for ending in TARGETS[self.target].files)

  @property
  def report(self) -> str:
    """Name of the parity file: that of the artefact, a `.tflite`'s shorter."""
    return self.names[-1].removesuffix(".tflite") + ".parity.json"


def jobs(params, to, stem, precision, input, options, log=print) -> list[Job]:
  """The artefacts of a target.

  Raises:
    ValueError: one that is not supported.
  """
  if to != ALL:
    target = TARGETS.get(to)
    if target is None:
      raise ValueError(f"to {did_you_mean(to, (*TARGETS, ALL))}")
    is_int8 = options.get("optimize") in optimize.INT8
    job = Job(
      to,
      precision or ("int8" if is_int8 else target.precisions[0]),
      input or target.inputs[0],
      stem,
      **options,
    )
    if reason := refusal(params, job):
      raise ValueError(f"{_system(params)} cannot become {to}: {reason}")
    return [job]
  if precision or input:
    raise ValueError(
      f"precision and input must be left to 'all'; got {precision or input!r}"
    )
  found = []
  every = [("tflite", p, f".{p}") for p in litert.PRECISIONS]
  every += [(to, TARGETS[to].precisions[0], "") for to in TARGETS][1:]
  for target, own, ending in every:
    job = Job(target, own, TARGETS[target].inputs[0], stem + ending, **options)
    if reason := refusal(params, job):
      log(f"no {job.names[-1]}: {reason}")
    else:
      found.append(job)
  return found


def _system(params):
  if not isinstance(params, YohoParams):
    return f"yamnet ({params.activation})"
  kind = params.activation if params.baseline == "none" else params.baseline
  return f"yoho ({kind})"


def refusal(params, job) -> str | None:
  """Why a network cannot become an artefact, or None."""
  target = TARGETS[job.target]
  is_window = getattr(params, "lattice", "window") == "window"
  baseline = getattr(params, "baseline", "none")
  for ok, reason in (
    (
      job.precision in target.precisions,
      f"precision must be {' or '.join(target.precisions)}; got "
      f"{job.precision}",
    ),
    (
      job.input in target.inputs,
      f"input must be {' or '.join(target.inputs)}; got {job.input}",
    ),
    (
      job.io == "float32"
      or (job.precision == "int8" and job.input == "log_mel"),
      "io int8 must go with precision int8 and input log_mel; got "
      f"{job.precision} and {job.input}",
    ),
    (
      not job.dynamic_batch or job.target == "onnx",
      "its batch is 1 (dynamic_batch is for onnx)",
    ),
    (
      job.outputs is None or job.target in ("tflite", "onnx", "edgetpu"),
      f"its outputs are given; got {', '.join(job.outputs or ())}",
    ),
    (
      job.frames is None or not is_window or job.frames == own_frames(params),
      f"frames must be {own_frames(params)}, its only length; got {job.frames}",
    ),
    (
      job.frames is None or job.target != "saved_model",
      f"its length is free; got frames {job.frames}",
    ),
    (
      not is_window or job.target != "stream",
      "it goes from cell to cell, on the lattice stride",
    ),
    (
      job.frames is None or job.target != "stream",
      f"its length is a cell; got frames {job.frames}",
    ),
    (
      baseline == "none" or job.target not in ("edgetpu", "mediapipe"),
      f"the baseline {baseline} answers for each frame, not for each cell",
    ),
    (
      baseline != "crnn" or job.precision != "int8",
      "the recurrence of a crnn has no int8 of its own",
    ),
  ):
    if not ok:
      return reason
  if reason := optimize.refusal(job):
    return reason
  try:
    litert.check_relu(params, job.precision, job.allow_relu_int8)
  except ValueError as error:
    return str(error)
  return None


def own_frames(params):
  is_yoho = isinstance(params, YohoParams)
  return params.window_frames if is_yoho else params.patch_frames
