"""`yoho bench data`: does the input keep up with the training step?

Examples per second of the input alone, of the training step on one repeated
batch, and of both in `fit`; wait share = 1 - (time per step on a repeated
batch) / (time per step with input). The last part feeds the paper's YOHO as
the authors' notebooks do, and as we do, from the same clips. Competitors take
turns in one process. Files come from the page cache: discs are not measured.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from yoho_tf.bench import at_least_one
from yoho_tf.bench.data_material import make_task
from yoho_tf.files import replace_text
from yoho_tf.labels import did_you_mean
from yoho_tf.params import (
  PRESETS,
  TrainingParams,
  YohoParams,
  override,
  parse_settings,
)

PAPER = "yoho_urban_sed"


# ---- the table ---------------------------------------------------------------

TABLE_HEAD = (
  "| what | batch | examples/s, best | median | CPU ms per example |"
  " wait share |\n| --- | ---: | ---: | ---: | ---: | ---: |"
)


def markdown(row) -> str:
  """One line of the table; CPU ms are the median."""
  rates, cpu = zip(*row.speeds)
  wait = "" if row.wait is None else f"{row.wait:.1%}"
  return (
    f"| {row.name} | {row.batch_size} | {max(rates):.3g} |"
    f" {statistics.median(rates):.3g} | {statistics.median(cpu):.3g} | {wait} |"
  )


def ratios(rows) -> list[str]:
  """What the rows of the notebooks' path mean, in lines.

  Args:
    rows: {name: `Row`}.
  """
  from yoho_tf.bench import data_rows as names

  def best(name):
    return rows[name].best

  bound = best(names.THEIR_STEP) / best(names.THEIR_FIT)
  own = best(names.OUR_STEP) / best(names.THEIR_FIT)
  first = [
    1 / best(fit) + 1 / best(once)
    for fit, once in (
      (names.THEIR_FIT, names.THEIR_PREPARATION),
      (names.OUR_FIT, names.OUR_PREPARATION),
    )
  ]
  return [
    "input alone, ours / notebook:"
    f" {best(names.OUR_INPUT) / best(names.THEIR_INPUT):.2f}x (theirs reads"
    " stored log-mels, ours waveforms that the step turns into log-mels)",
    "training, ours / notebook:"
    f" {best(names.OUR_FIT) / best(names.THEIR_FIT):.2f}x",
    "  bound by the step, if input cost nothing:"
    f" {own:.2f}x with our step (front end inside),"
    f" {bound:.2f}x with theirs (log-mels)",
    "first epoch, with preparation, ours / notebook:"
    f" {first[0] / first[1]:.2f}x",
  ]


def environment() -> str:
  """Versions and machine that the figures depend on."""
  import keras

  versions = {"Python": platform.python_version()}
  versions |= {name: metadata.version(name) for name in ("keras", "tensorflow")}
  text = ", ".join(f"{name} {version}" for name, version in versions.items())
  cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else None
  load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
  return (
    f"{text}, backend {keras.backend.backend()}, {platform.machine()},"
    f" {cores or os.cpu_count()} cores{load}"
  )


def parser(prog):
  p = argparse.ArgumentParser(prog=prog, description=__doc__)
  add = p.add_argument
  add("--preset", default="yoho_everyday")
  add("--batch-size", type=at_least_one, default=16)
  add("--steps", type=at_least_one, default=15, help="timed steps of a fit")
  add("--workers", type=at_least_one, default=1, help="threads that mix scenes")
  add("--seconds", type=float, default=3.0, help="for which a stage is timed")
  add("--repeats", type=at_least_one, default=3)
  add("--sources", metavar="DIR", help="as in `yoho train`; default: made up")
  add(
    "--paper-batch-size",
    type=at_least_one,
    default=32,
    help=f"of {PAPER}, which is fed as the notebooks do; always made-up clips",
  )
  add(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="a setting of both presets, or training.KEY=VALUE",
  )
  add("--parts", default="input,fit,paper", help="of the table (default all)")
  add("--out", metavar="F.md", help="write the table")
  return p


def settings(args):
  """(params of the preset, those of the paper, `TrainingParams`)."""
  params = [PRESETS[args.preset], PRESETS[PAPER]]
  training = TrainingParams(batch_size=args.batch_size)
  for key, value in parse_settings(args.set).items():
    if key.startswith("training."):
      training = override(training, {key.removeprefix("training."): value})
    else:
      params = [override(own, {key: value}) for own in params]
  return *params, training


def main(argv=None, prog="yoho bench data") -> int:
  """Prints the table; 0, 1 (sources or settings) or 2 (usage)."""
  args = parser(prog).parse_args(argv)
  names = [
    name
    for name, own in PRESETS.items()
    if isinstance(own, YohoParams) and own.baseline == "none"
  ]
  problem = None
  if args.preset not in names:
    problem = f"--preset {did_you_mean(args.preset, names)}"
  elif not args.seconds > 0:
    problem = f"--seconds must be > 0, got {args.seconds:g}"
  elif extra := sorted({*args.parts.split(",")} - {"input", "fit", "paper"}):
    problem = f"--parts must be among input, fit, paper; got {extra[0]!r}"
  elif args.out and Path(args.out).suffix != ".md":
    problem = f"--out must end in .md, got {args.out!r}"
  if problem:
    print(f"{prog}: {problem}", file=sys.stderr)
    return 2
  try:
    params, paper, training = settings(args)
    with tempfile.TemporaryDirectory() as folder:
      lines = _run(params, paper, training, args, Path(folder))
    if args.out:
      replace_text(args.out, "\n".join(lines) + "\n")
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  return 0


def _run(params, paper, training, args, folder):
  """Measures and prints; returns the lines."""
  task = make_task(params, training, folder / "preset", args.sources)
  from yoho_tf.bench import data_rows

  lines = []

  def say(text):
    print(text, flush=True)
    lines.append(text)

  say(
    f"{args.preset} and {PAPER}, {args.steps} steps, {args.seconds:g} s per"
    f" stage, best of {args.repeats}\n({environment()})\n\n{TABLE_HEAD}"
  )
  parts = {
    "input": lambda: data_rows.input_rows(task, args),
    "fit": lambda: data_rows.fit_rows(task, args),
    "paper": lambda: data_rows.notebook_rows(paper, folder / "paper", args),
  }
  rows = {}
  for name in args.parts.split(","):
    for row in parts[name]():
      rows[row.name] = row
      say(markdown(row))
  if data_rows.THEIR_FIT in rows:
    say("\n" + "\n".join(ratios(rows)))
  elif "paper" in args.parts:
    from yoho_tf.bench import notebook_input

    say(f"\nwithout the notebooks' path: {notebook_input.missing()}")
  return lines


if __name__ == "__main__":
  sys.exit(main())
