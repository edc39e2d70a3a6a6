"""`yoho bench results`: the table of docs/results.md.

Trains what is not there yet (experiments.py), row by row and seed by seed;
killed, it goes on. Then scores the answers that were kept: no network runs
again for the quality columns. Beside the systems stands chance.
"""

import argparse
import json
import pathlib
import sys
import time
from dataclasses import replace

import numpy as np

from yoho_tf import files, metrics, readers
from yoho_tf.bench import at_least_one, experiments
from yoho_tf.params import PSDS1, PSDS2, from_json

COLUMNS = {
  "segment_f1": "segment F1 (1 s)",
  "event_f1": "event F1 (0.2 s, 20 %)",
  "psds1": "PSDS1",
  "psds2": "PSDS2",
  "map": "mAP@tIoU",
  "calibration_error": "calibration error",
}
COSTS = {
  "parameters": "parameters",
  "macs": "M multiplies per s",
  "network_seconds": "network, s per h",
  "decode_seconds": "decoding, s per h",
}
_TIMED_SECONDS = 300.0


# ---- quality -----------------------------------------------------------------


def score(found, kept, reference, durations, labels) -> dict[str, float]:
  """Every column for one system.

  Args:
    found: events with scores, at every threshold.
    kept: those of them that are answered.
  """
  from yoho_tf.training import calibrate, evaluation

  own = evaluation.scores(reference, kept, durations, labels)
  psds = metrics.psds_metrics(
    reference, found, durations=durations, labels=labels, params=[PSDS1, PSDS2]
  )
  result = metrics.temporal_map(
    reference, found, durations=durations, labels=labels
  )
  _, points, hits, _ = calibrate.matched(found, reference, durations, labels)
  return {
    "segment_f1": own["segment_f1"],
    "event_f1": own["event_f1"],
    "psds1": float(psds[0]["psds"]),
    "psds2": float(psds[1]["psds"]),
    "map": float(result["map"]),
    "calibration_error": calibrate.expected_calibration_error(points, hits),
  }


def _answers(folder):
  """What a finished run kept: events of every score, tuned params."""
  found = readers.read(folder / "answers.csv").events
  return found, from_json((folder / "tuned.json").read_text())


def scores_of(folder, test) -> dict[str, float]:
  """Columns of a finished run, from its kept answers."""
  found, params = _answers(folder)
  kept = experiments.at_tuned(found, params)
  return score(found, kept, test.reference, test.durations, params.labels)


def chance(folder, test) -> dict[str, dict]:
  """Columns of systems that hear nothing."""
  from yoho_tf.training import baselines

  found, params = _answers(folder)
  moved = baselines.shuffled(found, test.durations, seed=0)
  always = baselines.always_active(test.durations, params.labels)
  rest = (test.reference, test.durations, params.labels)
  return {
    "chance: answers for another scene": score(
      moved, experiments.at_tuned(moved, params), *rest
    ),
    "chance: always active": score(always, always, *rest),
  }


# ---- costs -------------------------------------------------------------------


def multiplies(network, num_frames: int) -> int:
  """Multiply-adds of one pass over `num_frames`, convolutions and products."""
  import keras

  layers = [layer for layer in network.layers if layer.weights]
  inner = keras.Model(network.input, [layer.output for layer in layers])
  (shape,) = [tensor.shape for tensor in network.inputs]
  outputs = inner({"log_mel": np.zeros((1, num_frames, shape[-1]), "float32")})
  total = 0
  for layer, output in zip(layers, outputs, strict=True):
    size = int(np.prod(output.shape[1:]))
    if isinstance(layer, keras.layers.DepthwiseConv2D):
      total += size * int(np.prod(layer.kernel_size))
    elif isinstance(layer, keras.layers.Conv2D | keras.layers.Conv1D):
      total += size * int(np.prod(layer.kernel.shape[:-1]))
    elif isinstance(layer, keras.layers.Dense):
      total += size * int(layer.kernel.shape[0])
    elif isinstance(layer, keras.layers.Bidirectional | keras.layers.GRU):
      steps = int(output.shape[1])
      kernels = [w for w in layer.weights if len(w.shape) == 2]
      total += steps * sum(
        int(np.prod(w.shape)) for w in kernels if "bias" not in w.path
      )
  return total


def costs(folder) -> dict[str, float]:
  """Parameters, multiplies and seconds of a finished run's network."""
  from yoho_tf.deploy import keras_file, litert, runtime
  from yoho_tf.labels import ClassMap
  from yoho_tf.predictor import YohoModel

  network, params = keras_file.read(folder / "model.keras")
  seconds = params.window_seconds
  frames = params.window_frames
  data = litert.yoho(
    network,
    params,
    class_map=ClassMap.for_names(params.labels),
    precision="float32",
  )
  files.replace_bytes(folder / "timed.tflite", data)
  model = YohoModel("timed", params, runtime.LiteRt(folder / "timed.tflite"))
  rate = params.frontend.sample_rate_hz
  rng = np.random.default_rng(0)
  waveform = 0.1 * rng.standard_normal(round(_TIMED_SECONDS * rate))
  waveform = waveform.astype(np.float32)
  best, decoding = np.inf, np.inf
  for _ in range(3):
    spent = [0.0]

    def run(inputs, spent=spent):
      begin = time.perf_counter()
      outputs = model.network(inputs)
      spent[0] += time.perf_counter() - begin
      return outputs

    begin = time.perf_counter()
    replace(model, network=run).predict(waveform)
    whole = time.perf_counter() - begin
    best, decoding = min(best, spent[0]), min(decoding, whole - spent[0])
  hour = 3600 / _TIMED_SECONDS
  return {
    "parameters": network.count_params(),
    "macs": multiplies(network, frames) / seconds / 1e6,
    "network_seconds": best * hour,
    "decode_seconds": decoding * hour,
  }


# ---- the table ---------------------------------------------------------------


def markdown(rows, chances, about) -> str:
  """The text of docs/results.md.

  Args:
    rows: {title: ([columns of a seed], costs)}.
    chances: {title: columns}.
    about: lines above the table.
  """
  heads = [*COLUMNS.values(), *COSTS.values()]
  lines = [
    "# Results",
    "",
    *about,
    "",
    "| | seeds | " + " | ".join(heads) + " |",
    "| --- " * (2 + len(heads)) + "|",
  ]
  for title, (seeds, own) in rows.items():
    cells = [title, str(len(seeds))]
    for name in COLUMNS:
      values = np.array([seed[name] for seed in seeds])
      text = f"{values.mean():.3f}"
      if len(values) > 1:
        text += f" ({values.min():.3f}-{values.max():.3f})"
      cells.append(text)
    cells += [f"{own[name]:,.4g}" for name in COSTS]
    cells[-4] = f"{own['parameters']:,}"
    lines.append("| " + " | ".join(cells) + " |")
  for title, values in chances.items():
    cells = [title, "", *(f"{values[name]:.3f}" for name in COLUMNS)]
    lines.append("| " + " | ".join([*cells, *("" for _ in COSTS)]) + " |")
  return "\n".join(lines) + "\n"


def parser(prog):
  p = argparse.ArgumentParser(prog=prog, description=__doc__)
  add = p.add_argument
  add("--sources", required=True, help="folder with manifest.csv")
  add("--runs", required=True, help="folder of the set and of all runs")
  add(
    "--yamnet-weights", help="yamnet_relu6.h5, for systems that start from it"
  )
  add(
    "--only",
    default=",".join(experiments.EXPERIMENTS),
    help="experiments, with commas (default: all)",
  )
  add("--seeds", default="0,1,2", help="with commas")
  add("--steps", type=at_least_one, help="of each stage, for a trial")
  add("--scenes", type=at_least_one, help="of each split, for a trial")
  add("--table-only", action="store_true", help="of what is there; no training")
  add("--out", metavar="F.md", help="write the table")
  return p


def main(argv=None, prog="yoho bench results") -> int:
  """Trains, scores, prints; 0, or 1 (data or settings)."""
  args = parser(prog).parse_args(argv)
  try:
    _run(args)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  return 0


def _run(args):
  from yoho_tf.labels import did_you_mean
  from yoho_tf.training import evaluation

  names = args.only.split(",")
  for name in names:
    if name not in experiments.EXPERIMENTS:
      raise ValueError(f"--only {did_you_mean(name, experiments.EXPERIMENTS)}")
  if not all(seed.isdecimal() for seed in args.seeds.split(",")):
    raise ValueError(f"--seeds must be numbers with commas, got {args.seeds!r}")
  seeds = [int(seed) for seed in args.seeds.split(",")]
  runs = pathlib.Path(args.runs)
  index = experiments.make_set(
    args.sources,
    runs / "set",
    num_scenes=args.scenes
    and dict.fromkeys(experiments.NUM_SCENES, args.scenes),
    log=_log,
  )
  if not args.table_only:
    for seed in seeds:
      for name in names:
        experiments.run(
          name,
          seed,
          index,
          runs,
          yamnet_weights=args.yamnet_weights,
          steps=args.steps,
          log=_log,
        )
  params = experiments.EXPERIMENTS[names[0]].params
  test = evaluation.Validation.of_records(None, index, params, split="test")
  rows, first = {}, None
  for name in names:
    found = [runs / f"{name}-{seed}" for seed in seeds]
    found = [folder for folder in found if (folder / "answers.csv").is_file()]
    if found:
      first = first or found[0]
      title = experiments.EXPERIMENTS[name].title
      rows[title] = ([scores_of(f, test) for f in found], _costs(found[0]))
  if not rows:
    raise ValueError(f"--runs must hold a finished run; {args.runs!r} has none")
  counts = {split: own["examples"] for split, own in index.counts.items()}
  about = [
    f"Urban-SED-like scenes of 10 s, {counts}; test scenes and their sources",
    "were used for nothing else. Mean and range over seeds.",
  ]
  text = markdown(rows, chance(first, test), about)
  print(text)
  if args.out:
    files.replace_text(args.out, text)


def _costs(folder):
  """`costs`, measured once per run."""
  path = folder / "costs.json"
  if not path.is_file():
    files.replace_text(path, json.dumps(costs(folder)))
  return json.loads(path.read_text())


def _log(line):
  print(line, flush=True)


if __name__ == "__main__":
  sys.exit(main())
