"""`yoho predict`, which is also `python inference.py`: audio files -> events.

Results go to stdout, progress and messages to stderr. Every file is tried;
the exit code is 1 if any failed, 2 for wrong usage.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import sys
import warnings

DEFAULT_MODEL = "yoho_everyday"
FORMATS = ("csv", "json", "audacity")
ENDINGS = {"csv": ".csv", "json": ".json", "audacity": ".txt"}


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
  add("--weights", help="a local weights file, where the model needs one")
  add("--family", choices=("relu", "relu6"), help="of unknown YAMNet weights")
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
    type=_unit,
    help="least score of an event, instead of the model's tuned ones",
  )
  add(
    "--top",
    type=_count,
    metavar="K",
    help="YAMNet: number of classes (default 5); else the K surest events",
  )
  add("--plot", metavar="PNG", help="draw one recording and its events")
  add("--embeddings", metavar="NPZ", help="YAMNet through Keras: one recording")
  add("--hop", type=float, metavar="SECONDS", help="YAMNet: hop of patches")
  add("--tail", choices=("weight", "pad", "drop"), help="YAMNet: last patch")
  add("--timeline", action="store_true", help="YAMNet: scores per patch")
  add("--resampler", choices=("soxr", "resampy"), default="soxr")
  add("-q", "--quiet", action="store_true", help="no tables, no progress")
  add(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="a setting, e.g. postprocess.merge_gap_seconds=0.3",
  )
  return p


def _unit(text):
  with contextlib.suppress(ValueError):
    if 0 <= float(text) <= 1:
      return float(text)
  raise argparse.ArgumentTypeError(f"must be a number in 0..1, got {text!r}")


def _count(text):
  if text.isdecimal() and int(text) >= 1:
    return int(text)
  raise argparse.ArgumentTypeError(
    f"must be a whole number of at least 1, got {text!r}"
  )


def main(argv=None, prog="yoho predict") -> int:
  """Runs the command; returns 0, 1 (a file failed) or 2 (usage)."""
  with contextlib.suppress(AttributeError):  # a name may not fit a code page
    sys.stdout.reconfigure(errors="backslashreplace")
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

  from yoho_tf import audio, hub

  paths, errors = audio.find_files(args.audio)
  one_file = {"--plot": args.plot, "--embeddings": args.embeddings}
  for option, value in one_file.items():
    if value and len(paths) + len(errors) != 1:
      p.error(f"{option} takes one recording, got {len(paths) + len(errors)}")

  def report(error):
    _say(f"{prog}: {error}")

  for error in errors:
    report(error)
  if not paths:
    return 1
  try:
    model = hub.load(
      args.model, weights=args.weights, family=args.family, settings=settings
    )
    if args.threshold is not None:
      model = hub.configured(model, _threshold(args, model.params, settings))
    targets = _targets(args, paths, formats)
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
  for path in _progress(paths, args):
    try:
      with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = model.predict(path, resampler=args.resampler)
        result = _strongest(result, args.top)
        for target, name in targets.get(path, ()):
          target.parent.mkdir(parents=True, exist_ok=True)
          _save(result, target, name, model.params)
        if args.plot:
          _plot(path, result, model, args)
        if args.embeddings:
          _save_embeddings(result, args.embeddings)
      for warning in {str(w.message): w for w in caught}.values():
        if "cannot hold" not in str(warning.message):
          report(f"warning: {warning.message}")
      _print(result, args)
    except BrokenPipeError:  # nobody reads on: `guard` ends us
      raise
    except (ValueError, OSError) as error:
      report(error)
      failed = True
  return int(failed)


def _say(line):
  if sys.stderr:  # None where it was closed; print() would take stdout then
    print(" ".join(str(line).splitlines()), file=sys.stderr)


def _settings(args):
  from yoho_tf.params import parse_settings

  settings = parse_settings(args.set)
  if args.hop is not None:
    settings["patch_hop_seconds"] = args.hop
  if args.tail is not None:
    settings["tail"] = args.tail
  return settings


def _threshold(args, params, settings):
  """The settings that `--threshold` stands for.

  It moves no boundary of an event as long as it is not below a label's `low`;
  cells below that make no events, so a lower threshold lowers it too.
  """
  if not hasattr(params, "postprocess"):
    return {"threshold": args.threshold}
  changes = {"postprocess.threshold": args.threshold}
  for label in params.labels:
    low = params.postprocess.for_label(label).low
    if args.threshold < low and "postprocess.low" not in settings:
      key = f"postprocess.per_label.{label}.low"
      changes[key] = max(args.threshold, 1e-3)
  return changes


def _progress(paths, args):
  shown = sys.stderr and sys.stderr.isatty()
  if args.quiet or len(paths) < 2 or not shown:
    return paths
  from tqdm import tqdm

  return tqdm(paths, unit="file", file=sys.stderr, leave=False)


def _targets(args, paths, formats):
  """`{audio path: [(file to write, format)]}`; two may not share a name."""
  if args.output is None:
    return {}
  roots = [pathlib.Path(p) for p in args.audio if pathlib.Path(p).is_dir()]
  targets, owner = {}, {}
  stems = [_relative(path, roots).with_suffix("") for path in paths]
  count = collections.Counter(stems)
  for path, stem in zip(paths, stems, strict=True):
    if count[stem] > 1:  # clip.wav beside clip.flac
      stem = _relative(path, roots)
    for name in formats:
      ending = ENDINGS[name]
      target = pathlib.Path(args.output, f"{stem}{ending}")
      if target in owner:
        raise ValueError(
          f"--output: {owner[target]} and {path} would both be {target}"
        )
      owner[target] = path
      targets.setdefault(path, []).append((target, name))
  return targets


def _relative(path, roots):
  for root in roots:
    if root in path.parents:
      return path.relative_to(root)
  return pathlib.Path(path.name)


def _strongest(result, count):
  """The `count` surest events of a `Detections`, still in order of time."""
  from dataclasses import replace

  from yoho_tf.results import Detections

  if count is None or not isinstance(result, Detections):
    return result
  import numpy as np

  order = np.argsort(-result.events.score, kind="stable")[:count]
  return replace(result, events=result.events[np.sort(order)])


def _save(result, path, name, params):
  from yoho_tf import writers
  from yoho_tf.results import Tags

  if isinstance(result, Tags) and name == "audacity":
    result = result.events(params.threshold)
  writers.write(result, path, format=name)


def _print(result, args):
  from yoho_tf.results import Tags

  if args.json:
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(result.to_dict(), ensure_ascii=not is_unicode))
  elif isinstance(result, Tags):
    if not args.quiet:
      _print_tags(result, args)
  else:
    if not args.quiet and len(result.events):
      width = max(len(str(label)) for label in result.events.label)
      print(f"{'start':>9} {'end':>9}  {'label':{width}}  score")
      for e in result.events:
        print(f"{e.start:9.2f} {e.end:9.2f}  {e.label:{width}}  {e.score:.2f}")
    print(" ".join(result.summary().splitlines()), flush=True)


def _print_tags(result, args):
  """The reference's shape: the file, then names and clip scores."""
  print(result.filename, ":", sep="")
  count = args.top or 5
  if args.timeline:
    for i, (start, end) in enumerate(
      zip(result.start, result.end, strict=True)
    ):
      best = result.scores[i].argsort()[::-1][:count]
      row = ", ".join(
        f"{result.labels[j]} {result.scores[i, j]:.3f}" for j in best
      )
      print(f"  {start:8.2f} {end:8.2f}  {row}")
    return
  for label, score in result.top(count):
    print(f"  {label:12s}: {score:.3f}", flush=True)


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
