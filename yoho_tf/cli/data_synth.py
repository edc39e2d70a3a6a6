"""`yoho data synth`: scenes with exact labels, mixed from recordings.

The same seed gives the same bytes, whatever the number of workers; a run that
was killed goes on with the same command.
"""

import argparse
import sys

from yoho_tf.params import SCENE_PRESETS


def parser(prog):
  p = argparse.ArgumentParser(prog=prog, description=__doc__)
  add = p.add_argument
  add(
    "--sources",
    required=True,
    help="manifest.csv, its folder, or a folder with foreground/<label>/",
  )
  add("--out", required=True, help="folder of scenes; goes on with a run")
  add("--num-scenes", type=int, help="scenes of the split")
  add("--split", choices=("train", "val", "test", "all"))
  add("--seed", type=int, help="default 0")
  add("--preset", choices=tuple(SCENE_PRESETS), help="default urban's recipe")
  add(
    "--set",
    action="append",
    default=[],
    metavar="scene.KEY=VALUE",
    help="a setting, such as scene.snr_db=0,30 or 'scene.num_events=Choice(1)'",
  )
  add("--labels", help="class map: a CSV file or the name of a bundled one")
  add("--from", dest="recipes", help="scenes.jsonl: mix these scenes again")
  add("--stems", action="store_true", help="write every sound as mixed, too")
  add("--workers", type=int, default=1, metavar="N", help="processes")
  add(
    "--permissive-only",
    action="store_true",
    help="leave out what a licence forbids to use commercially",
  )
  add(
    "--skip-broken",
    action="store_true",
    help="leave out files that do not decode, list them, exit with 1",
  )
  return p


def main(argv=None, prog="yoho data synth") -> int:
  """Runs the command; returns 0 or 1 (argparse exits with 2)."""
  own = parser(prog)
  args = own.parse_args(argv)
  drawn = ("num_scenes", "split", "seed", "preset", "labels")
  if args.recipes:
    drawn += ("permissive_only", "skip_broken")
    given = [n for n in drawn if getattr(args, n) not in (None, False)]
    given += ["set"] * bool(args.set)
    if given:
      own.error(f"--from takes no --{given[0].replace('_', '-')}")
  elif args.num_scenes is None or args.split is None:
    own.error("--num-scenes and --split are required (or --from)")
  try:
    return _again(args) if args.recipes else _draw(args, prog)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1


def _draw(args, prog):
  from dataclasses import replace

  from yoho_tf.data import sources
  from yoho_tf.data.synth import dataset

  params = scene_params(args.preset, args.set)
  labels = _labels(args.labels) or params.labels or None
  pool = sources.read_sources(
    args.sources,
    split=args.split,
    labels=labels,
    permissive_only=args.permissive_only,
    sample_rate_hz=params.sample_rate_hz,
  )
  labels, broken = labels or pool.labels, []
  if args.skip_broken:
    pool, broken = pool.without_broken()
    sources.check_labels(pool, labels, args.split)
  report = dataset.write_scenes(
    args.out,
    pool,
    replace(params, labels=tuple(labels)),
    split=args.split,
    seed=args.seed or 0,
    num_scenes=args.num_scenes,
    stems=args.stems,
    workers=args.workers,
  )
  _print(report, args.out)
  for line in broken:
    print(f"{prog}: skipped {line}", file=sys.stderr)
  return 1 if broken else 0


def _again(args):
  from pathlib import Path

  from yoho_tf.data import sources
  from yoho_tf.data.synth import dataset
  from yoho_tf.params import from_json

  path = Path(args.recipes).parent / "params.json"
  if not path.is_file():
    raise ValueError(f"--from: {path} must lie beside the recipes; found none")
  params = from_json(path.read_text(encoding="utf-8"))
  pool = sources.read_sources(
    args.sources,
    split="all",
    labels=params.labels,
    sample_rate_hz=params.sample_rate_hz,
  )
  report, wrong = dataset.write_again(
    args.out,
    args.recipes,
    pool,
    params,
    stems=args.stems,
    workers=args.workers,
  )
  _print(report, args.out)
  for name in wrong:
    print(f"{name}: other samples than before", file=sys.stderr)
  return 1 if wrong else 0


def scene_params(preset, changes):
  """`SceneParams` of a preset's name, or None, and of KEY=VALUE texts."""
  from yoho_tf.params import SceneParams, override, scene_preset

  params = scene_preset(preset) if preset else SceneParams()
  for item in changes:
    key, equals, value = item.partition("=")
    if not equals or not key.startswith("scene."):
      raise ValueError(f"--set must be scene.KEY=VALUE; received {item!r}")
    params = override(params, {key.removeprefix("scene."): value})
  return params


def _labels(name):
  from pathlib import Path

  from yoho_tf.labels import ClassMap

  if name is None:
    return ()
  read = ClassMap.read if Path(name).suffix == ".csv" else ClassMap.bundled
  return read(name).names


def _print(report, out):
  for split, own in report.items():
    print(
      f"{split}: {own['scenes']} scenes, {own['seconds'] / 3600:.2f} h, "
      f"{sum(own['events'].values())} events of {len(own['events'])} classes, "
      f"{own['dropped']} found no place -> {out}"
    )


if __name__ == "__main__":
  sys.exit(main())
