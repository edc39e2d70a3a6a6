"""Goldens: what an app's own test feeds an artefact, and what must come out.

JSON that any language reads, beside the artefact:

| file | holds |
| --- | --- |
| golden_waveform.json | 16-bit samples; an app divides them by 32,768 |
| golden_log_mel.json | the front end's output, for those who write their own |
| golden_scores.json, golden_events.json | the artefact's output, by its name |
| decoder.json | YOHO: settings of every label, for a decoder in the app |
| golden_decoding.json | YOHO: made-up cells and the events that they are |

Numbers lie row by row (C order) in `values`, their `shape` beside them; read
them as float32. Each differs from an app's by `tolerance` at most.
"""

import json
from pathlib import Path

import numpy as np

from yoho_tf.files import replace_text
from yoho_tf.models import yoho
from yoho_tf.params import YohoParams

FULL_SCALE = 32768  # of 16-bit samples

WAVEFORM = "golden_waveform.json"
LOG_MEL = "golden_log_mel.json"
DECODING = "golden_decoding.json"
DECODER = "decoder.json"

# The log offset of silence and the leakage of pure tones differ most.
LOG_MEL_TOLERANCE = 0.01

_CELLS = 8  # where the artefact takes any length
_SECONDS_TOLERANCE = 1e-4


def write(
  folder, run, params, *, tolerance, front=None, waveform=None
) -> list[Path]:
  """Writes the goldens of an artefact; the same ones for the same artefact.

  Args:
    folder: exists.
    run: `runtime.Runtime`, or a function `{name: array} -> {name: array}`.
    params: what the artefact was made with; `params.input` is what it takes.
    tolerance: of the outputs, as the artefact's precision has it.
    front: `[1, samples]` -> `[1, frames, bands]`; default the Keras layer of
      `params.frontend`.
    waveform: float `[samples]` in [-1, 1), rounded to 16 bits; default: tones,
      noise and silence, as long as the artefact takes.

  Returns:
    The paths.
  """
  folder = Path(folder)
  if front is None:
    from yoho_tf.layers.frontend import log_mel_layer

    front = log_mel_layer(params.frontend)
  rate = params.frontend.sample_rate_hz
  if waveform is None:
    waveform = _signal(_num_samples(run, params), rate)
  waveform = np.asarray(waveform, np.float64)
  peak = np.abs(waveform).max(initial=0)
  if waveform.ndim != 1 or not waveform.size or not peak <= 1:
    raise ValueError(
      "waveform must be [samples] in [-1, 1]; received shape "
      f"{waveform.shape}, values up to {peak:g}"
    )
  samples = np.clip(np.round(waveform * FULL_SCALE), -FULL_SCALE, 32767)
  sound = _sound(samples)
  log_mel = np.asarray(front(sound), np.float32)
  outputs = _call(run, {"waveform": sound, "log_mel": log_mel}, params)
  files = {
    WAVEFORM: {
      "sample_rate_hz": rate,
      "full_scale": FULL_SCALE,
      "samples": samples.astype(int).tolist(),
    },
    LOG_MEL: _values("log_mel", log_mel, LOG_MEL_TOLERANCE),
  }
  for name, value in outputs.items():
    files[_file(name)] = _values(name, np.asarray(value), tolerance)
  if isinstance(params, YohoParams) and "events" in outputs:
    files[DECODER] = decoder(params)
    files[DECODING] = _decoding(params)
  for name, content in files.items():
    replace_text(folder / name, _text(content))
  return [folder / name for name in files]


def check(folder, run, params) -> dict[str, float]:
  """Runs an artefact on the goldens; needs no Keras.

  Args:
    folder: where `write` wrote.
    run, params: as there.

  Returns:
    `{output: largest difference}`.

  Raises:
    ValueError: a difference above the tolerance, or a file that is missing.
  """
  folder = Path(folder)
  inputs = {
    "waveform": _sound(_read(folder / WAVEFORM)["samples"]),
    "log_mel": _array(_read(folder / LOG_MEL)).astype(np.float32),
  }
  differences = {}
  for name, value in _call(run, inputs, params).items():
    golden = _read(folder / _file(name))
    expected, value = _array(golden), np.asarray(value)
    if expected.shape != value.shape:
      raise ValueError(
        f"{name} must have shape {expected.shape}; received {value.shape}"
      )
    worst = float(np.abs(expected - value).max())
    if not worst <= golden["tolerance"]:
      raise ValueError(
        f"{name} must equal {_file(name)} within {golden['tolerance']:g}; "
        f"received a difference of {worst:g}"
      )
    differences[name] = worst
  return differences


def decoder(params: YohoParams) -> dict:
  """Settings of a decoder of `events`, each label's own.

  For the lattice `stride`: one row of cells, as long as the recording.
  """
  keys = (
    "low",
    "threshold",
    "merge_gap_seconds",
    "min_duration_seconds",
    "calibration_a",
    "calibration_b",
  )
  labels = []
  for label in params.labels:
    settings = params.postprocess.for_label(label)
    labels.append({"label": label, **{k: getattr(settings, k) for k in keys}})
  return {
    "sample_rate_hz": params.frontend.sample_rate_hz,
    "cell_seconds": params.cell_seconds,
    "cell_samples": params.cell_samples,
    "extra_samples": params.extra_samples,
    "slots": params.slots,
    "score": params.postprocess.score,
    "labels": labels,
  }


def _decoding(params):
  """Made-up cells in which runs, gaps and single cells occur."""
  random = np.random.default_rng(0)
  shape = (40, len(params.labels), params.slots, 3)
  cells = random.uniform(0, 1, shape)
  # Presence lasts over several cells, and boundaries are mostly at the edges.
  presence = random.uniform(0, 1, (10, *shape[1:3])).repeat(4, axis=0)
  cells[..., 0] = np.clip(presence + random.normal(0, 0.1, shape[:3]), 0, 1)
  whole = random.uniform(0, 1, shape[:3]) < 0.6
  cells[whole, 1], cells[whole, 2] = 0.0, 1.0
  cells = np.float32(np.round(cells, 4)).reshape(*shape[:2], -1)
  duration = round((len(cells) - 0.5) * params.cell_seconds, 4)
  found = yoho.decode({"events": cells}, params, duration_seconds=duration)
  return {
    **_values("cells", cells, _SECONDS_TOLERANCE),
    "duration_seconds": duration,
    "events": [
      {
        "label": event.label,
        "start": _short(event.start),
        "end": _short(event.end),
        "score": _short(event.score),
      }
      for event in found.events
    ],
  }


def _call(run, inputs, params):
  # Not `predict`, which fills up cells: an app calls the file as it is.
  return run({params.input: inputs[params.input]})


def _num_samples(run, params):
  """As many as the artefact takes; `_CELLS` cells where it takes any."""
  front = params.frontend
  shape = getattr(run, "input_shapes", {}).get(params.input, (1, -1))
  if shape[1] > 0 and params.input == "waveform":
    return shape[1]
  if isinstance(params, YohoParams):
    if params.lattice == "window":
      return params.window_samples
    frames = shape[1] if shape[1] > 0 else _CELLS * params.STRIDE_FRAMES
    return frames * front.stft_hop_samples + params.extra_samples
  return params.min_samples


def _signal(num_samples, rate):
  """A rising tone, noise, silence and a chord, a quarter of the time each."""
  time = np.arange(num_samples) / rate
  quarter = num_samples / rate / 4
  rising = np.sin(2 * np.pi * (200 + 600 * time) * time)
  noise = np.random.default_rng(0).uniform(-1, 1, num_samples)
  chord = sum(np.sin(2 * np.pi * f * time) for f in (440, 554, 659)) / 3
  which = np.minimum(time // quarter, 3).astype(int)
  return np.choose(
    which, [0.5 * rising, 0.2 * noise, np.zeros(num_samples), 0.4 * chord]
  )


def _sound(samples):
  """16-bit samples -> float32 [1, samples], as an app must do it."""
  return (np.asarray(samples) / FULL_SCALE).astype(np.float32)[None]


def _file(output):
  return f"golden_{output}.json"


def _values(name, array, tolerance):
  return {
    "name": name,
    "shape": list(array.shape),
    "tolerance": tolerance,
    "values": [_short(value) for value in array.ravel()],
  }


def _short(value):
  return float(f"{value:.7g}")


def _array(content):
  return np.reshape(content["values"], content["shape"])


def _text(content):
  """JSON with one line per key: long lists stay on theirs."""
  rows = [
    f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
    for key, value in content.items()
  ]
  return "{\n" + ",\n".join(rows) + "\n}\n"


def _read(path):
  if not path.is_file():
    raise ValueError(f"golden must be a file; got {str(path)!r}")
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise ValueError(f"{path}: must be JSON; got {error}") from None
