"""`yoho bench results`: docs/results.md, and the answers it is made from.

Trains what is not there yet (experiments.py), row by row and seed by seed;
killed, it goes on. Every system then answers the test scenes and the field
recordings, and every shipped model the sets of shipped.py; the answers are kept
in --answers. `--costs` times untrained networks instead, all in one run.
`--table-only` makes the tables from what is kept, without data or network.
"""

import argparse
import json
import pathlib
import sys
from dataclasses import replace

from yoho_tf import files
from yoho_tf.bench import (
  answers,
  at_least_one,
  experiments,
  network_costs,
  results_errors,
  results_table,
  shipped,
)
from yoho_tf.bench.results_table import FIELD_COLUMNS, SCENE_COLUMNS, Scored
from yoho_tf.labels import did_you_mean
from yoho_tf.params import to_json

# Sets of the experiments, folders of --answers -> columns of their table.
SETS = {"scenes": SCENE_COLUMNS, "field": FIELD_COLUMNS}
YAMNET = "yamnet"
_COSTS = "costs.json"  # experiment -> network_costs.costs


def parser(prog):
  p = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
  add = p.add_argument
  add("--answers", default="docs/results", help="folder of kept answers")
  add("--out", metavar="F.md", help="write the tables")
  add("--table-only", action="store_true", help="of what was kept")
  add("--sources", help="folder with manifest.csv")
  add("--runs", help="folder of the set and of all runs")
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
  add("--no-training", action="store_true", help="answers of finished runs")
  add(
    "--costs",
    action="store_true",
    help="time the networks instead, on an otherwise idle machine",
  )
  add("--shipped", action="store_true", help="answers of the shipped models")
  return p


def main(argv=None, prog="yoho bench results") -> int:
  """Trains, answers, prints; 0, 1 (data or settings) or 2 (usage)."""
  p = parser(prog)
  args = p.parse_args(argv)
  makes_answers = not (args.table_only or args.costs)
  if makes_answers and not (args.sources and args.runs):
    p.error("--sources and --runs go together; without them, --table-only")
  try:
    if args.costs:
      _time(args)
    if makes_answers:
      _fill(args)
    text = tables(args.answers)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  print(text)
  if args.out:
    files.replace_text(args.out, text)
  return 0


# ---- answers -----------------------------------------------------------------


def _names(args):
  """Of the experiments that were asked for."""
  names = args.only.split(",")
  for name in names:
    if name not in experiments.EXPERIMENTS:
      raise ValueError(f"--only {did_you_mean(name, experiments.EXPERIMENTS)}")
  return names


def _time(args):
  """Keeps the costs of every experiment.

  Those that differ in their losses or their training alone are one network.
  """
  found, of_network = {}, {}
  for name in _names(args):
    params = experiments.EXPERIMENTS[name].params
    network = to_json(replace(params, loss=experiments.PARAMS.loss))
    if network not in of_network:
      of_network[network] = network_costs.costs(params)
    found[name] = of_network[network]
    _log(f"{name}: " + json.dumps(found[name]))
  path = pathlib.Path(args.answers, _COSTS)
  files.replace_text(path, json.dumps(found, indent=1) + "\n")


def _fill(args):
  """Trains what is missing and keeps the answers."""
  names = _names(args)
  if not all(seed.isdecimal() for seed in args.seeds.split(",")):
    raise ValueError(f"--seeds must be numbers with commas, got {args.seeds!r}")
  runs, out = pathlib.Path(args.runs), pathlib.Path(args.answers)
  index = experiments.make_set(
    args.sources,
    runs / "set",
    num_scenes=args.scenes
    and dict.fromkeys(experiments.NUM_SCENES, args.scenes),
    log=_log,
  )
  known = _Known(args.sources, index, out)
  if args.yamnet_weights:
    known.answer_yamnet(args.yamnet_weights)
  for seed in args.seeds.split(","):
    for name in names:
      if args.no_training:
        run = runs / f"{name}-{seed}"
        if not (run / "model.keras").is_file():
          continue
      else:
        run = experiments.train(
          name,
          int(seed),
          index,
          runs,
          yamnet_weights=args.yamnet_weights,
          steps=args.steps,
          log=_log,
        )
      known.answer(run)
  if args.shipped:
    shipped.fill(args.sources, out, log=_log)


class _Known:
  """The sets of the experiments, loaded when a system has to answer one."""

  def __init__(self, sources, index, out):
    self.sources, self.index, self.out = sources, index, out
    self.loaded = {}

  def __getitem__(self, name):
    if name not in self.loaded:
      from yoho_tf.training import evaluation, held_out

      known = (
        evaluation.Validation.of_records(
          None, self.index, experiments.PARAMS, split="test"
        )
        if name == "scenes"
        else held_out.field_recordings(
          self.sources, split="val", labels=experiments.LABELS
        )
      )
      self.loaded[name] = known
      answers.keep_reference(known, self.out / name)
    return self.loaded[name]

  def answer(self, run):
    """Keeps the answers of a finished run, where they are not kept."""
    name, _, seed = run.name.rpartition("-")
    rows = {name: False}
    rows |= {
      row: True for row, (of, _) in experiments.FIXED.items() if of == name
    }
    for which in SETS:
      for row, fixed in rows.items():
        system = f"{row}-{seed}"
        if system in answers.names(self.out / which):
          continue
        events, params = experiments.answer(run, self[which], fixed=fixed)
        answers.keep(self.out / which, system, events, params)
        _log(f"{system}: {len(events)} events on {which}")

  def answer_yamnet(self, weights):
    """Keeps what YAMNet's frames say, thresholds fitted on validation."""
    from yoho_tf import hub
    from yoho_tf.training import evaluation

    if YAMNET in answers.names(self.out / "scenes"):
      return
    model = hub.load("yamnet", weights=weights)
    fit = evaluation.Validation.of_records(
      None, self.index, experiments.PARAMS, split="val"
    )
    for name in SETS:
      known = self[name]
      events, params = experiments.yamnet_answers(model, fit, known)
      answers.keep(self.out / name, YAMNET, events, params)


# ---- tables ------------------------------------------------------------------


def tables(folder) -> str:
  """The text of docs/results.md, from the kept answers.

  Raises:
    ValueError: none were kept.
  """
  folder = pathlib.Path(folder)
  parts = ["# Results\n"]
  for name in ("introduction", *SETS, "shipped", "trials"):
    text = folder / f"{name}.md"
    if text.is_file():
      parts.append(text.read_text(encoding="utf-8"))
    if name in SETS:
      costs = _costs(folder) if name == "scenes" else {}
      lines = _set_lines(folder / name, SETS[name], costs)
      parts.append("\n".join(lines) + "\n")
    if name == "scenes":
      parts.append("\n".join(_error_lines(folder / name)) + "\n")
    if name == "shipped":
      parts.append("\n".join(shipped.lines(folder)) + "\n")
  return "\n".join(parts)


def _set_lines(folder, columns, costs) -> list[str]:
  """Scores, costs and differences of every system on one set."""
  known = answers.read_reference(folder)
  rows = {}
  for name, title in experiments.titles().items():
    for system in answers.names(folder):
      if system.rpartition("-")[0] != name:
        continue
      events, params, _ = answers.read(folder, system)
      row = results_table.score(events, params, known, columns)
      rows.setdefault(title, []).append(row)
  if not rows:
    raise ValueError(f"--answers must hold a system; got {str(folder)!r}")
  rows |= _without_hearing(folder, known, columns)
  first = experiments.EXPERIMENTS["ours"].title
  hours = sum(known.durations.values()) / 3600
  seconds = results_table.mean_seconds(known.reference)
  lines = [
    f"{len(known.durations)} files, {hours:.2f} h, {len(known.reference)} "
    f"events of {seconds:.1f} s on average.",
    "",
    *results_table.score_lines(rows, columns, costs=costs),
  ]
  if first in rows:
    lines += ["", *results_table.difference_lines(first, rows, columns)]
  return lines


def _costs(folder):
  """`{title: costs}` as they were kept."""
  path = folder / _COSTS
  kept = json.loads(path.read_text()) if path.is_file() else {}
  return {experiments.EXPERIMENTS[n].title: own for n, own in kept.items()}


def _error_lines(folder) -> list[str]:
  """Where the first seed of ours errs."""
  known = answers.read_reference(folder)
  system = _first(folder)
  if not system.startswith("ours-"):
    return []
  events, params, _ = answers.read(folder, system)
  title = experiments.EXPERIMENTS["ours"].title
  return [
    f"### Where it errs: {title}, seed {system.rpartition('-')[2]}",
    "",
    *results_errors.lines(events, params, known),
  ]


def _first(folder) -> str:
  """The first seed of ours, or whatever was kept first."""
  systems = answers.names(folder)
  return next((n for n in systems if n.startswith("ours-")), systems[0])


def _without_hearing(folder, known, columns) -> dict[str, list[Scored]]:
  """YAMNet's frames, and chance."""
  from yoho_tf.training import baselines

  rows = {}
  if YAMNET in answers.names(folder):
    events, params, _ = answers.read(folder, YAMNET)
    rows["YAMNet's frames, thresholded"] = [
      results_table.score(events, params, known, columns)
    ]
  events, params, _ = answers.read(folder, _first(folder))
  labels = results_table.known_labels(known, params.labels)
  for title, found in (
    (
      "chance: answers for another file",
      baselines.shuffled(events, known.durations, seed=0),
    ),
    (
      "chance: always active",
      baselines.always_active(known.durations, labels),
    ),
  ):
    rows[title] = [
      results_table.score(known.only_own(found), params, known, columns)
    ]
  return rows


def _log(line):
  print(line, flush=True)


if __name__ == "__main__":
  sys.exit(main())
