"""`yoho evaluate [events] REFERENCE ESTIMATE`: how well events agree.

REFERENCE and ESTIMATE are files or folders of any known format. ESTIMATE may
also be a folder of operating points or of frame scores; with --model or
--ensemble the estimate is what the model hears in --audio. Tables go to
stdout, messages to stderr.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from yoho_tf import metrics
from yoho_tf.cli import evaluate_inputs as inputs
from yoho_tf.cli import evaluate_output as output
from yoho_tf.files import replace_text
from yoho_tf.labels import did_you_mean
from yoho_tf.params import METRIC_PRESETS, override, parse_settings

# Words of --metrics that stand for several.
GROUPS = {"psds": ("psds1", "psds2"), "map": ("temporal_iou",)}


class Inputs(NamedTuple):
  """All that was read."""

  reference: object
  estimate: object  # event table or None
  scores: object  # what ranks, or None
  other: object  # (event table, what ranks) of --compare, or None
  durations: dict | None
  labels: object
  smooth: object  # the smoothed reference, or None


def parser(prog):
  p = argparse.ArgumentParser(
    prog=prog, description=" ".join(__doc__.split("\n\n")[1].split())
  )
  add = p.add_argument
  add("task", choices=("events",))
  add("reference", metavar="REFERENCE", help="what is true")
  add("estimate", metavar="ESTIMATE", nargs="?", help="what a system found")
  add(
    "--preset",
    default="desed",
    metavar="P",
    help=f"conventions: {', '.join(METRIC_PRESETS)} (default desed)",
  )
  add(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="a setting, e.g. event.end_collar_ratio=0.5",
  )
  add("--metrics", metavar="M[,M]", help="default: all that the inputs allow")
  add("--durations", metavar="F", help="table of seconds per file")
  add(
    "--scores",
    metavar="DIR",
    help="frame scores, operating points, or a table of scored events",
  )
  add("--labels", metavar="MAP.csv", help="class map, or the name of one")
  add(
    "--thresholds",
    metavar="F|X",
    help="score that an event must exceed; JSON file of one per label",
  )
  add("--bootstrap", action="store_true", help="intervals over files")
  add("--compare", metavar="OTHER", help="another estimate: differences")
  add("--class-wise", action="store_true", help="also a table of classes")
  add(
    "--match",
    default="name",
    choices=("name", "basename", "stem"),
    help="what makes two files the same (default name)",
  )
  add("--drop-invalid", action="store_true", help="count bad rows, go on")
  add("--model", metavar="M", help="a model that predicts --audio")
  add("--ensemble", nargs=2, metavar=("A", "B"), help="mean of two models")
  add("--audio", metavar="DIR", help="the recordings of REFERENCE")
  add(
    "--tune",
    metavar="OUT.json",
    help="fit the model's post-processing on these recordings and write it",
  )
  add(
    "--smooth-reference",
    action="store_true",
    help="also against the reference with the model's gaps closed",
  )
  add("--out", metavar="F", help=f"write {', '.join(output.ENDINGS)}")
  add("--json", action="store_true", help="JSON on stdout")
  return p


def main(argv=None, prog="yoho evaluate") -> int:
  """Runs the command; returns 0, 1 (an input failed) or 2 (usage)."""
  p = parser(prog)
  args = p.parse_args(argv)
  try:
    params, names = _settings(args)
  except ValueError as error:
    p.error(str(error))
  failures = []

  def attempt(function, *arguments, **options):
    """The result, or None and one more failure."""
    try:
      return function(*arguments, **options)
    except (ValueError, OSError) as error:
      failures.append(" ".join(str(error).split()))

  found = _read(args, attempt)
  if not failures:
    reports = attempt(_evaluate, found, params, names, args)
  for text in failures:
    print(f"{prog}: {_named(text, args)}", file=sys.stderr)
  if failures:
    return 1
  unknown = len(getattr(found.reference, "unknown", ()))
  if unknown:
    text = f"{unknown} spans nobody labelled count as without events"
    print(f"{prog}: {args.reference}: {text}", file=sys.stderr)
  report, smooth, other = reports
  if not report.results:
    for name, why in report.skipped.items():
      print(f"{prog}: {name} left out: {_named(why, args)}", file=sys.stderr)
    return 1
  intervals = differences = None
  if args.bootstrap:
    intervals = _resampled(report, params.bootstrap)
  if other is not None:
    differences = _compared(report, other, params.bootstrap)
  rows = output.rows_of(report, intervals, smooth, other, differences)
  body = _body(args, report, rows)
  if args.json:
    print(metrics.json_text(body), end="")
  else:
    _print(report, rows, args, params)
  if (
    args.out
    and attempt(output.write, args.out, body, rows) is None
    and failures
  ):
    print(f"{prog}: {failures[-1]}", file=sys.stderr)
    return 1
  asked = [name for name in names or () if name in report.skipped]
  for name in asked:
    why = _named(report.skipped[name], args)
    print(f"{prog}: {name} left out: {why}", file=sys.stderr)
  return int(bool(asked))


def _settings(args):
  """The params and the names of metrics; ValueError is a wrong usage."""
  if args.preset not in METRIC_PRESETS:
    raise ValueError(f"--preset {did_you_mean(args.preset, METRIC_PRESETS)}")
  params = override(METRIC_PRESETS[args.preset], parse_settings(args.set))
  names = None
  if args.metrics is not None:
    names = []
    for word in args.metrics.split(","):
      known = [*metrics.METRICS, *GROUPS]
      if word not in known:
        raise ValueError(f"--metrics {did_you_mean(word, known)}")
      names += GROUPS.get(word, (word,))
  predicts = bool(args.model or args.ensemble)
  rules = (
    (args.model and args.ensemble, "--model or --ensemble, not both"),
    (predicts and not args.audio, "--model and --ensemble need --audio"),
    (args.audio and not predicts, "--audio needs --model or --ensemble"),
    (predicts and args.estimate, "ESTIMATE or --model, not both"),
    (not predicts and not args.estimate, "ESTIMATE is missing (or --model)"),
    (args.tune and not predicts, "--tune needs --model"),
    (
      args.smooth_reference and not predicts,
      "--smooth-reference needs --model",
    ),
    (
      args.out and Path(args.out).suffix.lower() not in output.ENDINGS,
      f"--out must end in {', '.join(output.ENDINGS)}, got {args.out!r}",
    ),
  )
  for broken, rule in rules:
    if broken:
      raise ValueError(rule)
  return params, names


def _read(args, attempt):
  """All inputs; every one is tried, so that every bad one is named."""
  drop = args.drop_invalid
  reference = attempt(inputs.read_events, args.reference, drop_invalid=drop)
  durations = attempt(inputs.read_lengths, args.durations)
  labels = attempt(inputs.read_labels, args.labels)
  thresholds = None
  if args.thresholds is not None:
    thresholds = attempt(inputs.read_thresholds, args.thresholds)
  scores = None
  if args.scores is not None:
    scores = attempt(inputs.read_estimate, args.scores)
  if args.estimate is None:
    if reference is None:
      return None
    heard = attempt(_predicted, args, reference, durations)
    if heard is None:
      return None
    model, table, seconds = heard
    smooth = None
    if args.smooth_reference:
      smooth = attempt(inputs.smoothed, reference, model.params)
    durations = durations or seconds
    labels = labels or model.labels
  else:
    smooth = None
    table = attempt(inputs.read_estimate, args.estimate, drop_invalid=drop)
  pair = _paired(args, reference, table, args.estimate, thresholds, attempt)
  other = None
  if args.compare is not None:
    found = attempt(inputs.read_estimate, args.compare, drop_invalid=drop)
    other = _paired(args, reference, found, args.compare, thresholds, attempt)
  table, ranks = pair or (None, None)
  scores = getattr(scores, "events", scores)
  return Inputs(
    inputs.with_known_lengths(reference),
    table,
    ranks if scores is None else scores,
    other,
    inputs.for_one(durations, reference),
    labels,
    smooth,
  )


def _paired(args, reference, found, path, thresholds, attempt):
  """(event table, what ranks) of an estimate, under the reference's name."""
  if reference is None or found is None:
    return None
  if path is not None:
    found = inputs.same_recording(reference, args.reference, found, path)
  return attempt(inputs.with_thresholds, found, thresholds)


def _predicted(args, reference, durations):
  """(model, events, {file: seconds}) of the recordings of the reference."""
  wanted = durations or inputs.filenames_of(reference)
  files, missing = inputs.audio_files(args.audio, wanted, args.match)
  if missing:
    raise ValueError(
      f"--audio {args.audio}: must hold every recording of the reference,"
      f" lacks {len(missing)}: {missing[:5]}"
    )
  model = inputs.load_model(args)
  if args.tune:
    model = inputs.tune(model, files, reference)
    values = asdict(model.params.postprocess)
    replace_text(args.tune, json.dumps(values, indent=2) + "\n")
  return model, *inputs.predict(model, files)


def _evaluate(found, params, names, args):
  """Reports: of the estimate, on the smoothed reference, of the other one."""

  def report(reference, table, ranks):
    return metrics.evaluate(
      reference,
      table,
      params=params,
      durations=found.durations,
      scores=ranks,
      labels=found.labels,
      metrics=names,
      match=args.match,
      drop_invalid=args.drop_invalid,
    )

  smooth = other = None
  main = report(found.reference, found.estimate, found.scores)
  if found.smooth is not None:
    smooth = report(found.smooth, found.estimate, found.scores)
  if found.other is not None:
    other = report(found.reference, *found.other)
  return main, smooth, other


def _resampled(report, params):
  return {
    name: metrics.bootstrap(result, params)
    for name, result in report.results.items()
    if result.counts
  }


def _compared(report, other, params):
  """Differences of the metrics that both reports have, on the same files."""
  return {
    name: metrics.compare(result, other.results[name], params)
    for name, result in report.results.items()
    if result.counts and name in other.results
  }


def _named(text, args):
  """A message that names the file instead of the argument."""
  for argument in ("reference", "estimate", "scores", "durations"):
    path = getattr(args, argument)
    if path and text.startswith(f"{argument}: "):
      return f"{path}: {text.removeprefix(f'{argument}: ')}"
  return text


def _body(args, report, rows):
  """What JSON holds."""
  return {
    "reference": args.reference,
    "estimate": args.estimate or args.model or " + ".join(args.ensemble),
    "compare": args.compare,
    "params": asdict(report.params),
    "rows": rows,
    "conventions": output.conventions(report),
    "remarks": output.remarks(report),
    **report.to_dict(),
  }


def _print(report, rows, args, params):
  first = next(iter(report.results.values()))
  seconds = first.total_seconds
  length = f", {seconds:.1f} s" if seconds == seconds else ""
  print(f"{first.num_files} files{length}, {len(first.labels)} classes")
  confidence = params.bootstrap.confidence
  print(output.screen_text(rows, confidence, args.class_wise), end="")
  lines = output.conventions(report) + output.remarks(report)
  if args.tune:
    lines.insert(0, "post-processing was fitted on these recordings (oracle)")
  if lines:
    print()
  for line in lines:
    print(line)
