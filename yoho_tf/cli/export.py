"""`yoho export`: a model as SavedModel, LiteRT, ONNX or Edge TPU files."""

import argparse
import sys

from yoho_tf.params import parse_settings

# Those of deploy/targets.py, whose modules are slow to import.
TARGETS = (
  "tflite", "saved_model", "onnx", "edgetpu", "mediapipe", "stream", "all",
)  # fmt: skip


def _parser(prog):
  parser = argparse.ArgumentParser(
    prog=prog,
    description="Writes a model for other runtimes. Each file is opened, run "
    "and compared with the float model; NAME.parity.json says how near it is. "
    "One that is not near enough stays as NAME.failed.*, and the exit code is "
    "1.",
  )
  add = parser.add_argument
  add(
    "model",
    help="a bundled model, a run folder, a .keras, or a preset with --weights",
  )
  add("--to", required=True, choices=TARGETS, help="what it becomes")
  add("--out", required=True, metavar="DIR", help="folder for the files")
  add(
    "--precision",
    choices=("float32", "float16", "dynamic", "int8"),
    help="of tflite, mediapipe and stream (default float16); dynamic: int8 "
    "weights",
  )
  add(
    "--input",
    choices=("waveform", "log_mel"),
    help="log_mel leaves the front end out (default waveform; of edgetpu and "
    "stream log_mel)",
  )
  add(
    "--io",
    choices=("float32", "int8"),
    default="float32",
    help="of an int8 file with --input log_mel (default float32)",
  )
  add(
    "--calibration",
    metavar="DIR|synthetic",
    help="training material for int8: recordings, sources with manifest.csv, "
    "or records; default: the records of a run",
  )
  add("--calibration-windows", type=int, default=500, metavar="N")
  add(
    "--allow-non-commercial",
    action="store_true",
    help="calibrate on sources whose licence forbids commercial use, too",
  )
  add("--seed", type=int, default=0, help="of the calibration (default 0)")
  add(
    "--optimize",
    choices=("fake_quant", "qat", "prune", "cluster"),
    help="of a .tflite: fake_quant, int8 with the ranges of training.quantize_"
    "aware; the others train in --python's tensorflow-model-optimization",
  )
  add(
    "--data",
    metavar="DIR|synthetic",
    help="material for that training, as --calibration takes it",
  )
  add(
    "--python",
    metavar="PATH",
    help="interpreter of an environment with the extra [tfmot] (default: "
    "YOHO_TFMOT_PYTHON)",
  )
  add("--epochs", type=int, metavar="N", help="of that training (default 5)")
  add("--sparsity", type=float, help="of prune: share of zeros (default 0.5)")
  add("--clusters", type=int, help="of cluster: values (default 16)")
  add(
    "--parity-data",
    metavar="DIR",
    help="recordings to judge by, not those of --calibration; labels beside "
    "them are used (default: the validation records of a run)",
  )
  add(
    "--tolerance",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="max_error, top1, event_f1 (points) or boundary (cells)",
  )
  add(
    "--frames",
    type=int,
    metavar="N",
    help="fix the length of the input, a multiple of 32 (default: any for "
    "YOHO; 800 for edgetpu and mediapipe)",
  )
  add("--outputs", metavar="NAME,...", help="default: what prediction reads")
  add(
    "--transform",
    choices=("rfft", "dft"),
    default="rfft",
    help="of the front end in a .tflite; dft needs no FFT operator",
  )
  add("--dynamic-batch", action="store_true", help="onnx: any batch, not 1")
  add(
    "--fold-calibration",
    action="store_true",
    help="the last layer gives calibrated scores; for int8 where scores crowd "
    "at 1",
  )
  add(
    "--golden",
    action="store_true",
    help="also write an input and its output for an app's own test",
  )
  add(
    "--allow-relu-int8",
    action="store_true",
    help="dynamic and int8 of a network without ReLU6, whatever comes out",
  )
  add("--name", help="of the files; default the model's")
  add("--weights", metavar="FILE", help="of a preset")
  add("--family", choices=("relu", "relu6"), help="of YAMNet weights")
  add(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="a setting of the model",
  )
  add("--overwrite", action="store_true", help="replace what is there")
  return parser


def main(argv=None, prog="yoho export") -> int:
  """Runs the command; returns 0 or 1 (argparse exits with 2)."""
  parser = _parser(prog)
  args = parser.parse_args(argv)
  try:
    tolerance = {
      key: float(value)
      for key, value in (pair.split("=", 1) for pair in args.tolerance)
    }
  except ValueError:
    parser.error(f"--tolerance must be KEY=NUMBER; got {args.tolerance}")
  try:
    reports = _run(args, tolerance)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  return 0 if all(report["passed"] for report in reports) else 1


def _run(args, tolerance):
  _quiet()
  from yoho_tf.deploy import export, parity

  reports = export.export(
    args.model,
    to=args.to,
    out=args.out,
    precision=args.precision,
    input=args.input,
    calibrate=args.calibration,
    num_calibration=args.calibration_windows,
    seed=args.seed,
    permissive_only=not args.allow_non_commercial,
    parity_data=args.parity_data,
    data=args.data,
    optimizer={
      key: value
      for key in ("python", "epochs", "sparsity", "clusters", "seed")
      if (value := getattr(args, key)) is not None
    },
    tolerance=tolerance,
    with_golden=args.golden,
    overwrite=args.overwrite,
    name=args.name,
    weights=args.weights,
    family=args.family,
    settings=parse_settings(args.set),
    log=lambda line: print(line, flush=True),
    io=args.io,
    frames=args.frames,
    outputs=tuple(args.outputs.split(",")) if args.outputs else None,
    transform=args.transform,
    dynamic_batch=args.dynamic_batch,
    allow_relu_int8=args.allow_relu_int8,
    fold_calibration=args.fold_calibration,
    optimize=args.optimize,
  )
  for line in parity.table(reports):
    print(line)
  return reports


def _quiet():
  """TensorFlow's notes, unless someone asked for them."""
  import os

  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


if __name__ == "__main__":
  sys.exit(main())
