"""`yoho bench metrics`: our metrics and their peers, on the same tables.

CPU seconds, best of the repeats; ours and the peer take turns in one process.
The values are compared first: a difference above 1e-9 is a failure and prints
no time. Tables of ours go in as DataFrames, so conversion and validation are
part of our time; a peer gets what it takes, made beforehand.
"""

import argparse
import gc
import json
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yoho_tf import metrics
from yoho_tf.bench import activitynet, at_least_one, peers
from yoho_tf.bench.load import LABELS, make_load
from yoho_tf.files import replace_text
from yoho_tf.params import (
  PSDS1,
  PSDS2,
  EventParams,
  SegmentParams,
  TemporalParams,
)

TOLERANCE = 1e-9
POINTS = tuple(round(x, 2) for x in np.linspace(0.01, 0.99, 50))


class Comparison(NamedTuple):
  """One line of the table."""

  name: str
  peer: str
  at_least: float | None  # the ratio of times that is asked for
  prepare: object  # Load -> (ours, theirs, same), functions of no argument


class Row(NamedTuple):
  """One measured line."""

  name: str
  peer: str
  version: str
  difference: float
  ours_seconds: float
  peer_seconds: float
  ratio: float
  at_least: float | None


def _tables(function, params, theirs):
  """Comparison of a metric of tables with sed_eval."""

  def prepare(load):
    inputs = [
      peers.sed_eval_rows(table, load.durations)
      for table in (load.reference, load.estimate)
    ]

    def ours():
      result = function(
        load.reference,
        load.estimate,
        durations=load.durations,
        labels=LABELS,
        params=params,
      )
      return result["f1_micro"], result["f1_macro"], result["er_micro"]

    return (
      ours,
      lambda: theirs(*inputs, load.durations, list(LABELS)),
      None,
    )

  return prepare


def _psds(load, estimate, params):
  results = metrics.psds_metrics(
    load.reference,
    estimate,
    durations=load.durations,
    labels=LABELS,
    params=params,
  )
  return tuple(result["psds"] for result in results)


def _points(load):
  """Exact PSDS against 50 operating points, compared at those points."""
  import pandas as pd

  params = (PSDS1, PSDS2)
  points = [
    pd.DataFrame(metrics.events_at(load.scores, threshold))
    for threshold in POINTS
  ]
  reference = peers.psds_eval_table(load.reference)
  tables = [peers.psds_eval_table(point) for point in points]
  return (
    lambda: _psds(load, load.scores, params),
    lambda: peers.psds_eval_scores(
      reference, load.durations, tables, list(LABELS), params
    ),
    lambda: _psds(load, points, params),
  )


def _exact(params):
  def prepare(load):
    bounds = load.scores.boundaries_seconds
    frames = {
      name: peers.sed_scores_eval_table(scores, bounds, list(LABELS))
      for name, scores in load.scores.scores.items()
    }
    truth = {name: [] for name in load.durations}
    for row in load.reference.itertuples(index=False):
      truth[row.filename].append((row.start, row.end, row.label))
    return (
      lambda: _psds(load, load.scores, (params,)),
      lambda: (
        peers.sed_scores_eval_psds(frames, truth, load.durations, params),
      ),
      None,
    )

  return prepare


def _ranking(loop):
  def prepare(load):
    params = TemporalParams()

    def ours():
      result = metrics.temporal_map(
        load.reference,
        load.ranked,
        durations=load.durations,
        labels=LABELS,
        params=params,
      )
      return (result["map"],)

    return (
      ours,
      lambda: (loop(load.reference, load.ranked, params.thresholds),),
      None,
    )

  return prepare


COMPARISONS = (
  Comparison(
    "segment F1/ER, 1 s",
    "sed_eval",
    50,
    _tables(metrics.segment_metrics, SegmentParams(), peers.sed_eval_segments),
  ),
  Comparison(
    "event F1/ER, .2/.2",
    "sed_eval",
    100,
    _tables(metrics.event_metrics, EventParams(), peers.sed_eval_events),
  ),
  Comparison("exact PSDS1 + PSDS2", "psds_eval", 8, _points),
  Comparison("exact PSDS2", "sed_scores_eval", 3, _exact(PSDS2)),
  Comparison("exact PSDS1", "sed_scores_eval", 1.2, _exact(PSDS1)),
  Comparison(
    "mAP at .5:.05:.95",
    "activitynet",
    100,
    _ranking(activitynet.over_tables),
  ),
  Comparison(
    "mAP, same loop on tuples",
    "activitynet",
    None,
    _ranking(activitynet.over_tuples),
  ),
)


def measure(comparison, load, repeat):
  """Compares the values, then the times.

  Raises:
    ValueError: the values differ.
  """
  ours, theirs, same = comparison.prepare(load)
  expected, found = theirs(), (same or ours)()
  difference = float(np.max(np.abs(np.subtract(found, expected))))
  if not difference <= TOLERANCE:
    raise ValueError(
      f"{comparison.name}: values must equal those of {comparison.peer}, got"
      f" {found} and {expected}"
    )
  ours()
  best = [np.inf, np.inf]
  for _ in range(repeat):
    for i, function in enumerate((ours, theirs)):
      gc.collect()
      begin = time.process_time()
      function()
      best[i] = min(best[i], time.process_time() - begin)
  return Row(
    comparison.name,
    comparison.peer,
    peers.version_of(comparison.peer),
    difference,
    *best,
    best[1] / best[0],
    comparison.at_least,
  )


TABLE_HEAD = (
  "| ours | CPU s | against | CPU s | ratio | asked | difference |\n"
  "| --- | ---: | --- | ---: | ---: | ---: | ---: |"
)


def markdown(row):
  """One line of the table."""
  asked = "" if row.at_least is None else f"{row.at_least:g}x"
  return (
    f"| {row.name} | {row.ours_seconds:.4f} | {row.peer} {row.version} |"
    f" {row.peer_seconds:.3f} | {row.ratio:.3g}x | {asked} |"
    f" {row.difference:.1e} |"
  )


def environment():
  """Versions and machine that a time depends on."""
  names = ("numpy", "pandas", "scipy")
  return {
    "python": platform.python_version(),
    "machine": platform.machine(),
    **{name: metadata.version(name) for name in names if _is_there(name)},
  }


def _is_there(name):
  try:
    return bool(metadata.version(name))
  except metadata.PackageNotFoundError:
    return False


def parser(prog):
  p = argparse.ArgumentParser(
    prog=prog, description="CPU seconds of our metrics and of their peers."
  )
  add = p.add_argument
  add("--files", type=at_least_one, default=1000, help="files of 10 s")
  add("--seed", type=int, default=0)
  add("--repeat", type=at_least_one, default=5, help="the best one counts")
  add(
    "--peers",
    default="auto",
    metavar="P[,P]",
    help=f"auto, or among {','.join(peers.VERSIONS)}",
  )
  add(
    "--require-peers",
    action="store_true",
    help="a peer that is not installed is a failure",
  )
  add("--out", metavar="F", help="write the table: .md or .json")
  return p


def main(argv=None, prog="yoho bench metrics") -> int:
  """Runs the benchmark; 0, 1 (a peer or a value failed) or 2 (usage)."""
  p = parser(prog)
  args = p.parse_args(argv)
  wanted = list(peers.VERSIONS)
  if args.peers != "auto":
    wanted = args.peers.split(",")
    for name in wanted:
      if name not in peers.VERSIONS:
        p.error(
          f"--peers must be among {','.join(peers.VERSIONS)}, got {name!r}"
        )
  if args.out and Path(args.out).suffix not in (".md", ".json"):
    p.error(f"--out must end in .md or .json, got {args.out!r}")
  code = 0
  for name in [n for n in wanted if peers.version_of(n) is None]:
    wanted.remove(name)
    code = max(code, int(args.require_peers))
    print(
      f"{prog}: needs {name} {peers.VERSIONS[name]}, left out:"
      " pip install '.[parity]'",
      file=sys.stderr,
    )
  load = make_load(args.files, args.seed)
  head = (
    f"{args.files} files, seed {args.seed}: {len(load.reference)} references,"
    f" {len(load.estimate)} events at .5, {len(load.ranked)} ranked;"
    f" best of {args.repeat}"
  )
  print(f"{head}\n{TABLE_HEAD}", flush=True)
  rows = []
  for comparison in COMPARISONS:
    if comparison.peer not in wanted:
      continue
    try:
      rows.append(measure(comparison, load, args.repeat))
    except ValueError as error:
      print(f"{prog}: {error}", file=sys.stderr)
      code = 1
      continue
    print(markdown(rows[-1]), flush=True)
  if args.out:
    _write(args.out, head, rows)
  return code


def _write(path, head, rows):
  about = environment()
  if Path(path).suffix == ".json":
    body = {
      "load": head,
      "environment": about,
      "rows": [row._asdict() for row in rows],
    }
    replace_text(path, json.dumps(body, indent=2) + "\n")
  else:
    versions = ", ".join(f"{name} {text}" for name, text in about.items())
    lines = "\n".join([TABLE_HEAD, *map(markdown, rows)])
    replace_text(path, f"{head}\n({versions})\n\n{lines}\n")
