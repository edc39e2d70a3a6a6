"""`yoho train`: trains a YOHO preset on scenes mixed from recordings."""

import argparse
import re
import sys

from yoho_tf.params import PRESETS, TrainingParams, YohoParams, override


def _parser(prog):
  parser = argparse.ArgumentParser(prog=prog, description=__doc__)
  names = [name for name, p in PRESETS.items() if isinstance(p, YohoParams)]
  parser.add_argument("preset", choices=names)
  parser.add_argument(
    "--sources", required=True, help="folder with manifest.csv"
  )
  parser.add_argument("--out", required=True, help="run folder; resumes")
  parser.add_argument(
    "--yamnet-weights", help="110-dataset HDF5 file for layers 1-14"
  )
  parser.add_argument("--family", choices=("relu", "relu6"))
  parser.add_argument(
    "--initial-weights", help="a .weights.h5 to start from, after that"
  )
  parser.add_argument(
    "--allow-non-commercial",
    action="store_true",
    help="also use material whose licence forbids commercial use",
  )
  parser.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="a model setting, or training.KEY=VALUE",
  )
  parser.add_argument(
    "--devices",
    type=int,
    default=1,
    metavar="N",
    help="train on N devices of this host (default 1)",
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=1,
    metavar="N",
    help="threads that make batches (default 1)",
  )
  parser.add_argument(
    "--hosts",
    metavar="ADDRESS:PORT,COUNT,INDEX",
    help="one of several hosts: address of host 0, their number, this one's "
    "from 0 (KERAS_BACKEND=jax; all share --out)",
  )
  return parser


def _hosts(text):
  """ "10.0.0.1:9000,2,0" -> ("10.0.0.1:9000", 2, 0)."""
  match = re.fullmatch(r"([^,]+:\d+),(\d+),(\d+)", text)
  if not match:
    raise ValueError(f"--hosts must be ADDRESS:PORT,COUNT,INDEX; got {text!r}")
  address, count, index = match.groups()
  return address, int(count), int(index)


def main(argv=None, prog="yoho train") -> int:
  """Runs the command; returns 0 or 1 (argparse exits with 2)."""
  args = _parser(prog).parse_args(argv)
  try:
    params, training = PRESETS[args.preset], TrainingParams()
    for item in args.set:
      key, equals, value = item.partition("=")
      if not equals:
        raise ValueError(f"--set must be KEY=VALUE; received {item!r}")
      if key.startswith("training."):
        training = override(training, {key.removeprefix("training."): value})
      else:
        params = override(params, {key: value})
    from yoho_tf.training import distribution

    if args.hosts:
      distribution.join(*_hosts(args.hosts))
    from yoho_tf.training import finish, fit

    network, params = fit.train(
      params,
      training,
      source_folder=args.sources,
      out_folder=args.out,
      permissive_only=not args.allow_non_commercial,
      yamnet_weights=args.yamnet_weights,
      family=args.family,
      initial_weights=args.initial_weights,
      devices=args.devices,
      workers=args.workers,
      log=lambda line: print(line, flush=True),
    )
    if not distribution.is_first_host():
      return 0
    permissive_only = not args.allow_non_commercial
    finish.finish(
      network,
      params,
      training,
      name=args.preset,
      train_pool=fit.pool(args.sources, "train", params, permissive_only),
      validation_pool=fit.pool(args.sources, "val", params, permissive_only),
      out_folder=args.out,
      log=lambda line: print(line, flush=True),
    )
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())
