"""`yoho train`: a YOHO preset on own recordings, records, or mixed scenes."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from yoho_tf.params import (
  FINE_TUNING,
  PRESETS,
  TrainingParams,
  YohoParams,
  override,
  parse_settings,
  scene_preset,
)


def _parser(prog):
  parser = argparse.ArgumentParser(prog=prog, description=__doc__)
  names = [name for name, p in PRESETS.items() if isinstance(p, YohoParams)]
  parser.add_argument("preset", choices=names)
  what = parser.add_mutually_exclusive_group(required=True)
  what.add_argument(
    "--data",
    metavar="FOLDER",
    help="own recordings with labels beside them (docs/training.md)",
  )
  what.add_argument(
    "--records", metavar="FOLDER", help="what `yoho data prepare` wrote"
  )
  what.add_argument(
    "--sources",
    metavar="FOLDER",
    help="recordings to mix scenes from, listed in its manifest.csv",
  )
  parser.add_argument("--out", help="run folder; resumes")
  parser.add_argument(
    "--yamnet-weights", help="110-dataset HDF5 file for layers 1-14"
  )
  parser.add_argument("--family", choices=("relu", "relu6"))
  parser.add_argument(
    "--initial-weights",
    help="a .weights.h5 to start from, after that, or none; default with "
    "--data: those of the preset, where it is bundled",
  )
  parser.add_argument(
    "--teacher",
    metavar="MODEL.keras",
    help="a finished model of the same classes to learn from as well",
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
  scenes = parser.add_argument_group("with --sources")
  scenes.add_argument(
    "--allow-non-commercial",
    action="store_true",
    help="also use material whose licence forbids commercial use",
  )
  scenes.add_argument(
    "--scene",
    default="everyday",
    metavar="NAME",
    help="what scenes are like: a preset of `yoho data synth`, which "
    "--set training.scene.* changes (default everyday)",
  )
  own = parser.add_argument_group("with --data")
  own.add_argument(
    "--dry-run", action="store_true", help="say what is there, and stop"
  )
  own.add_argument("--label-format", help="of `yoho convert`; default by name")
  own.add_argument(
    "--unlabelled",
    choices=("error", "empty", "ignore"),
    default="error",
    help="recordings without labels hold no event, or are left out",
  )
  own.add_argument(
    "--group-by",
    default="folder",
    metavar="folder|file|stem-prefix|column:NAME",
    help="what must not be in two splits (default: the top subfolder)",
  )
  own.add_argument(
    "--drop-rare",
    action="store_true",
    help="leave out labels that are in fewer than 3 groups",
  )
  own.add_argument(
    "--weak",
    action="store_true",
    help="clips of one sound each: a subfolder per label; scenes are mixed",
  )
  return parser


def _hosts(text):
  """ "10.0.0.1:9000,2,0" -> ("10.0.0.1:9000", 2, 0)."""
  match = re.fullmatch(r"([^,]+:\d+),(\d+),(\d+)", text)
  if not match:
    raise ValueError(f"--hosts must be ADDRESS:PORT,COUNT,INDEX; got {text!r}")
  address, count, index = match.groups()
  return address, int(count), int(index)


def _settings(args):
  """The preset and the training's settings, `--set` included."""
  params = PRESETS[args.preset]
  training = FINE_TUNING if args.data else TrainingParams()
  training = replace(training, scene=scene_preset(args.scene))
  for key, value in parse_settings(args.set).items():
    if key.startswith("training."):
      training = override(training, {key.removeprefix("training."): value})
    elif key == "labels" and not args.sources:
      raise ValueError(
        f"--set labels is for --sources; here the data name them; got {value!r}"
      )
    else:
      params = override(params, {key: value})
  return params, training


def main(argv=None, prog="yoho train") -> int:
  """Runs the command; returns 0 or 1 (argparse exits with 2)."""
  parser = _parser(prog)
  args = parser.parse_args(argv)
  if not args.out and not args.dry_run:
    parser.error("--out must be given: the run folder")
  if args.dry_run and not args.data:
    parser.error("--dry-run goes with --data")
  try:
    _run(args)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  return 0


def _run(args):
  params, training = _settings(args)
  if args.data:
    from yoho_tf.data import folder
    from yoho_tf.training import own

    if args.out and Path(args.out).resolve().is_relative_to(
      Path(args.data).resolve()
    ):
      raise ValueError(
        f"--out must lie outside --data, {args.data!r}; received {args.out!r}"
      )
    own_params = folder.FolderParams(
      label_format=args.label_format,
      unlabelled=args.unlabelled,
      weak=args.weak,
      group_by=args.group_by,
      drop_rare=args.drop_rare,
      seed=training.seed,
    )
    found, splits = own.datasets(args.data, own_params, _log)
    chosen = params.slots
    params = own.fitted(params, splits)
    if "slots" in parse_settings(args.set):
      params = override(params, {"slots": chosen})
    elif params.slots > 1:
      _log(f"slots {params.slots}: a cell holds so many events of one class")
    if args.dry_run:
      return
  from yoho_tf.training import distribution

  if args.hosts:
    distribution.join(*_hosts(args.hosts))
  from yoho_tf.training import finish, fit, held_out, material

  if args.data:
    stuff = own.of_folder(
      found,
      splits,
      params,
      training,
      own_params,
      out_folder=args.out,
      workers=args.workers,
      log=_log,
    )
  elif args.records:
    from yoho_tf.data import records

    index = records.read_index(args.records)
    params = override(params, {"labels": list(index.class_map.names)})
    stuff = material.of_records(index, params, training, workers=args.workers)
  else:
    permissive_only = not args.allow_non_commercial
    stuff = material.of_scenes(
      material.pools(args.sources, params, permissive_only=permissive_only),
      params,
      training,
      about={"permissive_only": permissive_only},
      workers=args.workers,
      negatives=held_out.negatives(
        args.sources,
        split="val",
        labels=params.labels,
        rate_hz=params.frontend.sample_rate_hz,
        permissive_only=permissive_only,
      ),
    )
  network, params = fit.train(
    params,
    training,
    material=stuff,
    out_folder=args.out,
    yamnet_weights=args.yamnet_weights,
    family=args.family,
    initial_weights=_initial_weights(args, params),
    teacher=args.teacher,
    devices=args.devices,
    log=_log,
  )
  if distribution.is_first_host():
    finish.finish(
      network,
      params,
      training,
      name="model",
      material=stuff,
      out_folder=args.out,
      facts={"preset": args.preset},
      log=_log,
    )


def _initial_weights(args, params):
  """A file, or None; of a bundled model only where its body has our width."""
  if args.initial_weights:
    return None if args.initial_weights == "none" else args.initial_weights
  if not args.data or args.yamnet_weights or params.baseline != "none":
    return None
  if params.width != PRESETS[args.preset].width:
    return None
  from yoho_tf import hub

  path = hub.initial_weights(args.preset)
  if path:
    _log(f"starting from the weights of {args.preset}")
  return path


def _log(line):
  print(line, flush=True)


if __name__ == "__main__":
  sys.exit(main())
