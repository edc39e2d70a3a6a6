"""`yoho data`: published data sets, records of them, and synthetic scenes."""

import argparse
import json
import sys
from pathlib import Path


def _parser(prog):
  parser = argparse.ArgumentParser(prog=prog, description=__doc__)
  commands = parser.add_subparsers(dest="command", required=True)

  def command(name, text):
    own = commands.add_parser(name, help=text, description=text)
    if name not in ("list", "verify"):
      own.add_argument("name", help="a data set of `yoho data list`")
      own.add_argument("root", help="its folder")
    return own

  own = command("list", "list the data sets that this package reads")
  own.add_argument("--json", action="store_true", help="print JSON")
  own = command("check", "compare a data set with what was published")
  own.add_argument("--full", action="store_true", help="open every audio file")
  own.add_argument(
    "--allow-missing", action="store_true", help="count missing clips (desed)"
  )
  own = command("prepare", "write a data set as records to train on")
  own.add_argument("out", help="folder of records")
  own.add_argument("--fold", type=int, help="of the set's own folds")
  own.add_argument(
    "--labels", help="class map: a CSV file or the name of a bundled one"
  )
  own.add_argument("--sample-rate-hz", type=int, default=16_000)
  own.add_argument(
    "--piece-seconds", type=float, default=30.0, help="of long recordings"
  )
  own.add_argument(
    "--min-score", type=float, default=0.5, help="of soft labels"
  )
  own.add_argument("--seed", type=int, default=0, help="of the order")
  own.add_argument(
    "--allow-missing", action="store_true", help="leave out missing clips"
  )
  own.add_argument("--openbmat-columns", help="START,END,LABEL, from 0")
  own = command("fixture", "write a small made-up set in the same layout")
  own.add_argument("--seed", type=int, default=0)
  own = command("verify", "read every record and compare checksums")
  own.add_argument("root", help="folder of records")
  # Has a parser of its own, cli/data_synth.py.
  commands.add_parser("synth", help="mix scenes with exact labels")
  return parser


def main(argv=None, prog="yoho data") -> int:
  """Runs the command; returns 0 or 1 (argparse exits with 2)."""
  argv = list(sys.argv[1:] if argv is None else argv)
  if argv[:1] == ["synth"]:
    from yoho_tf.cli import data_synth

    return data_synth.main(argv[1:], prog=f"{prog} synth")
  args = _parser(prog).parse_args(argv)
  try:
    return _COMMANDS[args.command](args)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1


def _options(module, args):
  """Options that some sets take, as their `check` and `load` call them."""
  options = {}
  if args.allow_missing:
    if module.INFO.name != "desed":
      raise ValueError(
        f"--allow-missing must be for desed, got {module.INFO.name}"
      )
    options["allow_missing"] = True
  columns = getattr(args, "openbmat_columns", None)
  if columns:
    try:
      numbers = [int(number) for number in columns.split(",")]
      options["columns"] = dict(
        zip(("start", "end", "label"), numbers, strict=True)
      )
    except ValueError:
      raise ValueError(
        f"--openbmat-columns must be three numbers, got {columns!r}"
      ) from None
  return options


def _list(args):
  from yoho_tf.data import datasets

  names = datasets.NAMES + datasets.CHECK_ONLY
  infos = [datasets.get(name).INFO for name in names]
  if args.json:
    print(json.dumps([vars(info) for info in infos], indent=2))
    return 0
  width = max(len(info.name) for info in infos)
  for info in infos:
    count = f"{len(info.labels)} labels" if info.labels else ""
    count = "check only" if info.name in datasets.CHECK_ONLY else count
    print(f"{info.name:{width}}  {count:11}  {info.title} ({info.licence})")
  return 0


def _check(args):
  from yoho_tf.data import datasets

  module = datasets.get(args.name)
  report = module.check(args.root, full=args.full, **_options(module, args))
  print(report)
  return 0 if report.ok else 1


def _prepare(args):
  from yoho_tf.data import datasets, prepare
  from yoho_tf.labels import ClassMap

  module = datasets.get(args.name, loadable=True)
  class_map = None
  if args.labels:
    is_file = Path(args.labels).suffix == ".csv"
    class_map = (ClassMap.read if is_file else ClassMap.bundled)(args.labels)
  index = prepare.prepare(
    module,
    args.root,
    args.out,
    fold=args.fold,
    class_map=class_map,
    params=prepare.PrepareParams(
      sample_rate_hz=args.sample_rate_hz,
      piece_seconds=args.piece_seconds,
      min_score=args.min_score,
      seed=args.seed,
    ),
    **_options(module, args),
  )
  print(f"{args.name}: {len(index.class_map)} classes -> {index.folder}")
  for split, count in index.counts.items():
    print(
      f"  {split}: {count['examples']} examples, {count['events']} events, "
      f"{count['seconds'] / 3600:.2f} h, {len(index.of(split))} shards"
    )
  return 0


def _fixture(args):
  from yoho_tf.data import datasets

  module, root = datasets.get(args.name, loadable=True), Path(args.root)
  if root.exists() and (not root.is_dir() or any(root.iterdir())):
    raise ValueError(f"root must be a new or empty folder, got {root}")
  module.make_fixture(root, seed=args.seed)
  print(f"{args.name}: a made-up set under {root}")
  return 0


def _verify(args):
  from yoho_tf.data import records

  index = records.verify(args.root)
  total = sum(count["examples"] for count in index.counts.values())
  print(f"{args.root}: {len(index.shards)} shards, {total} examples, all whole")
  return 0


_COMMANDS = {
  "list": _list,
  "check": _check,
  "prepare": _prepare,
  "fixture": _fixture,
  "verify": _verify,
}


if __name__ == "__main__":
  sys.exit(main())
