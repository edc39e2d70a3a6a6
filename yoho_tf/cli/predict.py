"""`yoho predict`, which is also `python inference.py`: audio files -> events.

Results go to stdout, progress and messages to stderr. Every file is tried;
the exit code is 1 if any failed, 2 for wrong usage.
"""

import argparse
import json
import pathlib
import sys
import warnings

from yoho_tf.cli import options

DEFAULT_MODEL = "yoho_everyday"
FORMATS = ("csv", "json", "audacity")


def parser(prog):
  p = argparse.ArgumentParser(
    prog=prog, description="Which sounds are in these files, and when."
  )
  add = p.add_argument
  add("audio", nargs="+", help="audio files, or folders of them")
  add(
    "-m",
    "--model",
    default=DEFAULT_MODEL,
    help="a name of `yoho models`, a .tflite, .onnx or .keras, or the folder "
    f"of a SavedModel or a run (default {DEFAULT_MODEL})",
  )
  options.add_network(p)
  add("-o", "--output", metavar="DIR", help="write one file per recording")
  add(
    "--format",
    default="csv",
    metavar="F[,F]",
    help=f"of the files in DIR: {','.join(FORMATS)} (default csv)",
  )
  add("--json", action="store_true", help="one JSON object per line on stdout")
  add(
    "--threshold",
    type=options.unit,
    help="least score of an event, instead of the model's tuned ones",
  )
  add(
    "--top",
    type=options.count,
    metavar="K",
    help="YAMNet: number of classes (default 5); else the K surest events",
  )
  add("--plot", metavar="PNG", help="draw one recording and its events")
  add("--embeddings", metavar="NPZ", help="YAMNet through Keras: one recording")
  add("--hop", type=float, metavar="SECONDS", help="YAMNet: hop of patches")
  add("--tail", choices=("weight", "pad", "drop"), help="YAMNet: last patch")
  add("--timeline", action="store_true", help="YAMNet: scores per patch")
  add("--resampler", choices=("soxr", "resampy"), default="soxr")
  add(
    "--workers",
    type=options.number,
    metavar="N",
    help="an archive: N processes, and a journal in DIR from which the same "
    "command goes on (0 or 1: in this process)",
  )
  add(
    "--ray",
    nargs="?",
    const="",
    metavar="ADDRESS",
    help="an archive on a Ray cluster, with the same journal (put it last)",
  )
  add("--restart", action="store_true", help="an archive: do all again")
  add("-q", "--quiet", action="store_true", help="no tables, no progress")
  options.add_settings(p)
  return p


def main(argv=None, prog="yoho predict") -> int:
  """Runs the command; returns 0, 1 (a file failed) or 2 (usage)."""
  options.any_name_prints()
  p = parser(prog)
  args = p.parse_args(argv)
  formats = args.format.split(",")
  for name in formats:
    if name not in FORMATS:
      p.error(f"--format must be among {','.join(FORMATS)}, got {name!r}")
  try:
    settings = _settings(args)
  except ValueError as error:
    p.error(str(error))

  if (args.workers, args.ray, args.restart) != (None, None, False):
    from yoho_tf.cli import predict_archive

    return predict_archive.main(p, args, formats, settings)

  from yoho_tf import audio, hub
  from yoho_tf.corpus import work

  paths, errors = audio.find_files(args.audio)
  one_file = {"--plot": args.plot, "--embeddings": args.embeddings}
  for option, value in one_file.items():
    if value and len(paths) + len(errors) != 1:
      p.error(f"{option} takes one recording, got {len(paths) + len(errors)}")

  def report(error):
    options.say(f"{prog}: {error}")

  for error in errors:
    report(error)
  if not paths:
    return 1
  targets = {}
  try:
    model = hub.load(
      args.model, weights=args.weights, family=args.family, settings=settings
    )
    if args.threshold is not None:
      changes = work.threshold_settings(args.threshold, model.params, settings)
      model = hub.configured(model, changes)
    if args.output is not None:
      jobs = work.plan(paths, args.audio, formats)
      targets = {paths[job.index]: job.targets for job in jobs}
  except ValueError as error:
    p.error(str(error))
  except OSError as error:
    report(error)
    return 1
  if args.output is not None:
    try:
      pathlib.Path(args.output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
      report(f"--output must be a folder; got {args.output!r} ({error})")
      return 1

  failed = bool(errors)
  for path in progress(paths, args):
    try:
      with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = model.predict(path, resampler=args.resampler)
        result = work.strongest(result, args.top)
        work.write(result, targets.get(path, ()), args.output, model.params)
        if args.plot:
          _plot(path, result, model, args)
        if args.embeddings:
          _save_embeddings(result, args.embeddings)
      for warning in work.texts_of(caught):
        report(f"warning: {warning}")
      show(result, args)
    except BrokenPipeError:  # nobody reads on: `guard` ends us
      raise
    except (ValueError, OSError) as error:
      report(error)
      failed = True
  return int(failed)


def _settings(args):
  from yoho_tf.params import parse_settings

  settings = parse_settings(args.set)
  if args.hop is not None:
    settings["patch_hop_seconds"] = args.hop
  if args.tail is not None:
    settings["tail"] = args.tail
  return settings


def progress(paths, args):
  shown = sys.stderr and sys.stderr.isatty()
  if args.quiet or len(paths) < 2 or not shown:
    return paths
  from tqdm import tqdm

  return tqdm(paths, unit="file", file=sys.stderr, leave=False)


def show(result, args, *, file=None):
  from yoho_tf.results import Tags

  file = file or sys.stdout
  if args.json:
    is_unicode = (file.encoding or "").lower().startswith("utf")
    print(json.dumps(result.to_dict(), ensure_ascii=not is_unicode), file=file)
  elif isinstance(result, Tags):
    if not args.quiet:
      _print_tags(result, args, file)
  else:
    if not args.quiet and len(result.events):
      width = max(len(str(label)) for label in result.events.label)
      print(f"{'start':>9} {'end':>9}  {'label':{width}}  score", file=file)
      for e in result.events:
        row = f"{e.start:9.2f} {e.end:9.2f}  {e.label:{width}}  {e.score:.2f}"
        print(row, file=file)
    print(" ".join(result.summary().splitlines()), flush=True, file=file)


def _print_tags(result, args, file):
  """The reference's shape: the file, then names and clip scores."""
  print(result.filename, ":", sep="", file=file)
  count = args.top or 5
  if args.timeline:
    for i, (start, end) in enumerate(
      zip(result.start, result.end, strict=True)
    ):
      best = result.scores[i].argsort()[::-1][:count]
      row = ", ".join(
        f"{result.labels[j]} {result.scores[i, j]:.3f}" for j in best
      )
      print(f"  {start:8.2f} {end:8.2f}  {row}", file=file)
    return
  for label, score in result.top(count):
    print(f"  {label:12s}: {score:.3f}", flush=True, file=file)


def _plot(path, result, model, args):
  """Spectrogram over events, as one PNG (or PDF, SVG by its ending)."""
  try:
    import matplotlib
  except ImportError:
    raise ValueError(
      "--plot needs matplotlib, which is not installed; pip install matplotlib"
    ) from None
  matplotlib.use("Agg")
  from yoho_tf import audio, files, viz
  from yoho_tf.layers import mel
  from yoho_tf.results import Tags

  front = model.params.frontend
  waveform = audio.read(
    path, sample_rate_hz=front.sample_rate_hz, resampler=args.resampler
  )
  if isinstance(result, Tags):
    figure = result.plot().figure
  else:
    log_mel = mel.log_mel(waveform, front)
    figure = viz.plot_prediction(
      log_mel, result, hop_seconds=front.stft_hop_seconds
    )
  target = pathlib.Path(args.plot)
  with files.replacing(target) as part:
    ending = part.suffix.lstrip(".") if target.suffix else "png"
    figure.savefig(part, dpi=150, format=ending)


def _save_embeddings(result, path):
  import numpy as np

  from yoho_tf import files

  if getattr(result, "embeddings", None) is None:
    raise ValueError(
      "--embeddings needs YAMNet through Keras (--model yamnet), got "
      f"{result.model!r}"
    )
  with files.replacing(path) as part, open(part, "wb") as file:
    np.savez(
      file,
      embeddings=result.embeddings,
      start_seconds=result.start,
      end_seconds=result.end,
    )
