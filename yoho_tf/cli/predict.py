"""`yoho predict`, which is also `python inference.py`: audio files -> events.

Results go to stdout, progress and messages to stderr. Every file is tried;
the exit code is 1 if any failed, 2 for wrong usage.
"""

import argparse
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
    help=f"a name of `yoho models` or a .tflite (default {DEFAULT_MODEL})",
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
  value = float(text)
  if not 0 <= value <= 1:
    raise argparse.ArgumentTypeError(f"must lie in 0..1, got {text}")
  return value


def _count(text):
  value = int(text)
  if value < 1:
    raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
  return value


def main(argv=None, prog="yoho predict") -> int:
  """Runs the command; returns 0, 1 (a file failed) or 2 (usage)."""
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
    targets = _targets(args, paths, formats)
  except ValueError as error:
    p.error(str(error))
  except OSError as error:
    report(error)
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
          result.save(target, format=name)
        if args.plot:
          _plot(path, result, model, args)
        if args.embeddings:
          _save_embeddings(result, args.embeddings)
      for warning in {str(w.message): w for w in caught}.values():
        if "cannot hold" not in str(warning.message):
          report(f"warning: {warning.message}")
      _print(result, args)
    except (ValueError, OSError) as error:
      report(error)
      failed = True
  return int(failed)


def _say(line):
  print(" ".join(str(line).split("\n")), file=sys.stderr)


def _settings(args):
  settings = {}
  for item in args.set:
    key, equals, value = item.partition("=")
    if not equals:
      raise ValueError(f"--set must be KEY=VALUE, got {item!r}")
    settings[key] = value
  if args.threshold is not None:
    system = "" if "yamnet" in args.model else "postprocess."
    settings[f"{system}threshold"] = args.threshold
    if system and args.threshold > 0:  # events below `low` were never made
      low = min(args.threshold, 0.3)
      settings.setdefault("postprocess.low", max(low, 1e-3))
  if args.hop is not None:
    settings["patch_hop_seconds"] = args.hop
  if args.tail is not None:
    settings["tail"] = args.tail
  return settings


def _progress(paths, args):
  if args.quiet or len(paths) < 2 or not sys.stderr.isatty():
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
  for path, stem in zip(paths, stems, strict=True):
    if stems.count(stem) > 1:  # clip.wav beside clip.flac
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


def _print(result, args):
  from yoho_tf.results import Tags

  if args.json:
    print(json.dumps(result.to_dict(), ensure_ascii=False))
  elif isinstance(result, Tags):
    if not args.quiet:
      _print_tags(result, args)
  else:
    if not args.quiet and len(result.events):
      width = max(len(str(label)) for label in result.events.label)
      print(f"{'start':>9} {'end':>9}  {'label':{width}}  score")
      for e in result.events:
        print(f"{e.start:9.2f} {e.end:9.2f}  {e.label:{width}}  {e.score:.2f}")
    print(result.summary(), flush=True)


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
  import matplotlib

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
  with files.replacing(args.plot) as part:
    figure.savefig(part, dpi=150)


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
