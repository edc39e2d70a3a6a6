"""Whether an artefact does what the float Keras network does: a report.

The sounds are those of signals.py and, where there are some, recordings that
nobody calibrated on: whole windows of them, as long as the network's input.
Differences are of the outputs; where a recording is labelled, events are
decoded from both and scored. Every artefact must also give silence, noise, a
tone and a real event the labels that the float network gives them.
"""

import hashlib
import importlib.metadata
import pathlib
from typing import NamedTuple

import numpy as np

from yoho_tf import files
from yoho_tf.deploy import flatbuffer, judging, runtime
from yoho_tf.deploy.examples import Examples
from yoho_tf.params import YohoParams, to_json

# yoho.md: presence 0.10, boundaries 0.02 of a cell on average.
_BOUNDARY = 0.02
TOLERANCES = {
  "float32": {"max_error": 1e-4, "top1": 0.99, "event_f1": 0.1},
  "float16": {"max_error": 0.01, "top1": 0.99, "event_f1": 0.2},
  "dynamic": {"max_error": 0.08, "top1": 0.95, "event_f1": 1.0},
  "int8": {"max_error": 0.10, "top1": 0.85, "event_f1": 1.0},
}
_FROM_WAVEFORM = 1e-3  # max_error of float32: the logarithm enlarges rounding
_BATCH = 16
_PACKAGES = (
  "yoho_tf", "numpy", "keras", "tensorflow", "ai-edge-litert", "onnx",
  "onnxruntime", "tf2onnx",
)  # fmt: skip


class Reference(NamedTuple):
  """Of the float network: `[examples, ...]` each."""

  log_mel: np.ndarray
  outputs: dict


def tolerances(precision, input, changes=None) -> dict:
  """What an artefact of that precision must keep.

  Args:
    changes: `{name: value}` that replace the defaults.

  Raises:
    ValueError: an unknown name.
  """
  found = {**TOLERANCES[precision], "boundary": _BOUNDARY}
  if precision == "float32" and input == "waveform":
    found["max_error"] = _FROM_WAVEFORM
  for name, value in (changes or {}).items():
    if name not in found:
      raise ValueError(
        f"tolerance must be one of {', '.join(found)}; got {name!r}"
      )
    found[name] = float(value)
  return found


def report(
  path,
  wanted: Reference,
  params,
  examples: Examples,
  *,
  precision,
  input="waveform",
  io="float32",
  calibration=None,
  tolerance=None,
) -> dict:
  """Runs an artefact beside the float network.

  Args:
    path: of the artefact: what `runtime.Runtime` opens.
    wanted: `reference` of the float network.
    params: of the network.
    precision, input, io: how the artefact was made.
    calibration: facts of the data that an int8 one was calibrated on.
    tolerance: `{name: value}` other than the defaults.

  Returns:
    Plain dicts, lists and numbers, for JSON; `passed` and `reasons` say it.
  """
  path = pathlib.Path(path)
  opened = runtime.Runtime.open(path, num_threads=1)
  got = outputs(opened, wanted, params, examples, input)
  limits = tolerances(precision, input, tolerance)
  expected = {key: wanted.outputs[key] for key in got}
  judged = judging.judge(expected, got, params, examples)
  reasons = judging.reasons(judged, limits)
  return {
    "artefact": path.name,
    "bytes": _size(path),
    "sha256": _digest(path),
    "system": "yoho" if isinstance(params, YohoParams) else "yamnet",
    "family": params.activation,
    "params_sha256": hashlib.sha256(to_json(params).encode()).hexdigest(),
    "format": opened.info.get("format"),
    "precision": precision,
    "input": input,
    "io": io,
    "tensors": tensors(path, opened),
    "operators": operators(path),
    "versions": _versions(),
    "examples": examples.facts,
    "calibration": calibration,
    **judged,
    "tolerances": limits,
    "tolerances_changed": sorted(tolerance or {}),
    "passed": not reasons,
    "reasons": reasons,
  }


def reference(network, params, examples: Examples) -> Reference:
  """What the float network gives for every example.

  Args:
    network: Keras, float32, `log_mel` input.
    params: of the network.
  """
  from yoho_tf.layers.frontend import log_mel_layer

  front = log_mel_layer(params.frontend)
  parts = []
  for first in range(0, len(examples.waveforms), _BATCH):
    rows = examples.waveforms[first : first + _BATCH]
    log_mel = front(np.stack([_ended(row, params) for row in rows]))
    found = network({"log_mel": log_mel}, training=False)
    parts.append({**found, "log_mel": log_mel})
  whole = {
    name: np.concatenate([np.asarray(part[name]) for part in parts])
    for name in parts[0]
  }
  return Reference(whole.pop("log_mel"), whole)


def outputs(opened, wanted: Reference, params, examples, input):
  """`{name: [examples, ...]}` of an artefact, shaped as the reference's."""
  got = {}
  for i, waveform in enumerate(examples.waveforms):
    if input == "log_mel":
      found = opened.predict({"log_mel": wanted.log_mel[i : i + 1]})
    else:
      found = opened.predict({"waveform": _fed(waveform, opened, params)})
    for name, value in found.items():
      if name in wanted.outputs:
        shape = wanted.outputs[name][i].shape
        got.setdefault(name, []).append(np.reshape(value, shape))
  if not got:
    raise ValueError(
      f"artefact must give one of {', '.join(wanted.outputs)}; got "
      f"{', '.join(opened.outputs)}"
    )
  return {name: np.stack(values) for name, values in got.items()}


def _ended(waveform, params):
  """With the zeros behind the last cell that every artefact hears there."""
  extra = params.extra_samples if isinstance(params, YohoParams) else 0
  return np.pad(waveform, (0, extra))


def _fed(waveform, opened, params):
  """The waveform as the artefact takes it: some fill up cells themselves."""
  length = opened.inputs["waveform"].shape[-1]
  return waveform if length in (-1, len(waveform)) else _ended(waveform, params)


# ---- facts of the file ------------------------------------------------------


def _files(path):
  return sorted(p for p in path.rglob("*") if p.is_file())


def _size(path):
  if path.is_dir():
    return sum(file.stat().st_size for file in _files(path))
  return path.stat().st_size


def _digest(path):
  """Of a file; of a folder, over names and contents."""
  if not path.is_dir():
    return files.sha256(path)
  lines = [
    f"{file.relative_to(path).as_posix()} {files.sha256(file)}\n"
    for file in _files(path)
  ]
  return hashlib.sha256("".join(lines).encode()).hexdigest()


def tensors(path, opened) -> dict:
  """Inputs and outputs: shape, type and, of integers, scale and zero point."""
  step = getattr(opened.network, "file", opened)  # of a stateful file
  found = {
    side: {
      name: {"shape": list(tensor.shape), "dtype": tensor.dtype}
      for name, tensor in getattr(step, side).items()
    }
    for side in ("inputs", "outputs")
  }
  if opened.info.get("format") != "tflite":
    return found
  tree = flatbuffer.load(path.read_bytes())
  graph = tree.subgraphs[0]
  for side in found if tree.signatureDefs else ():
    for entry in getattr(tree.signatureDefs[0], side):
      quantization = graph.tensors[entry.tensorIndex].quantization
      if quantization is None or quantization.scale is None:
        continue
      found[side][entry.name.decode()] |= {
        "scale": float(quantization.scale[0]),
        "zero_point": int(quantization.zeroPoint[0]),
      }
  return found


def operators(path) -> list:
  """`[name, version, count]` of a `.tflite`, as they first occur; else []."""
  path = pathlib.Path(path)
  if path.is_dir() or path.read_bytes()[4:8] != flatbuffer.IDENTIFIER:
    return []
  from ai_edge_litert import schema_py_generated as schema

  tree = flatbuffer.load(path.read_bytes())
  names = flatbuffer.names(schema.BuiltinOperator)
  counts = {}
  for graph in tree.subgraphs:
    for operator in graph.operators:
      code = tree.operatorCodes[operator.opcodeIndex]
      key = names[flatbuffer.operator_code(code)], int(code.version)
      counts[key] = counts.get(key, 0) + 1
  return [[*key, count] for key, count in counts.items()]


def _versions():
  found = {}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


# ---- to read ----------------------------------------------------------------


def table(reports) -> list[str]:
  """A line per report, for a screen."""
  rows = [("artefact", "MB", "max error", "mean", "top-1", "event F1", "", "")]
  for one in reports:
    f1 = one["event_f1"]
    rows.append(
      (
        one["artefact"],
        f"{one['bytes'] / 1e6:.2f}",
        f"{one['max_error']:.2g}",
        f"{one['mean_error']:.2g}",
        f"{one['top1_agreement_margin']:.3f}",
        "-" if f1 is None else f"{f1:.3f}",
        "" if f1 is None else f"({one['event_f1_difference']:+.1f} points)",
        "passed" if one["passed"] else "FAILED",
      )
    )
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  return [
    "  ".join(
      f"{cell:{'<' if i in (0, 6, 7) else '>'}{width}}"
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in rows
  ]
