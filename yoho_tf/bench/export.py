"""`yoho bench export`: how long artefacts take for the same audio.

    yoho export yoho_everyday --to all --out out
    yoho bench export out/*.tflite out/*.onnx --lite yamnet_lite.tflite

Front end, network and decoding of `predict`, in milliseconds per second of
audio, the best of several runs, with one thread and with two. What a file
takes before its first answer is not in it. The published YAMNet Lite model on
the same audio is the yardstick: the ratio is to its time with as many threads.
"""

import argparse
import pathlib
import sys
import time

import numpy as np

from yoho_tf import audio

THREADS = (1, 2)
KINDS = (".tflite", ".onnx", ".json")  # whose threads we can set


def seconds_of(model, waveform, repeats) -> float:
  """Of the fastest `predict`; the first, which allocates, does not count."""
  model.predict(waveform)
  spent = []
  for _ in range(repeats):
    begin = time.perf_counter()
    model.predict(waveform)
    spent.append(time.perf_counter() - begin)
  return min(spent)


def measure(paths, waveform, *, lite=None, repeats=5, log=print):
  """Rows: name, bytes, `{threads: ms per second}`, `{threads: ratio}`.

  Args:
    paths: artefacts that `hub.load` takes.
    waveform: float32 `[samples]` at 16 kHz.
    lite: the published YAMNet Lite file, or None: no ratios.
  """
  from yoho_tf import hub

  duration = len(waveform) / 16_000

  def times(name, **how):
    return {
      threads: 1e3
      / duration
      * seconds_of(
        hub.load(name, num_threads=threads, **how), waveform, repeats
      )
      for threads in THREADS
    }

  rows = []
  if lite:
    yardstick = times("yamnet_lite", weights=lite)
    rows.append(("YAMNet Lite", pathlib.Path(lite).stat().st_size, yardstick))
  for path in map(pathlib.Path, paths):
    log(f"timing {path.name}")
    rows.append((path.name, _size(path), times(path)))
  return [
    (*row, {t: row[2][t] / rows[0][2][t] for t in THREADS} if lite else {})
    for row in rows
  ]


def _size(path):
  if path.suffix != ".json":
    return path.stat().st_size
  from yoho_tf.deploy import manifest

  parts, _ = manifest.read(path)
  return sum(part.stat().st_size for part in parts)


def table(rows) -> list[str]:
  """Lines of a Markdown table."""
  heads = ["artefact", "MB"]
  for threads in THREADS:
    name = f"{threads} thread{'s' if threads > 1 else ''}"
    heads += [f"{name}, ms/s", "ratio"]
  lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
  for name, size, times, ratios in rows:
    cells = [name, f"{size / 1e6:.2f}"]
    for threads in THREADS:
      ratio = ratios.get(threads)
      cells.append(f"{times[threads]:.2f}")
      cells.append("-" if ratio is None else f"{ratio:.2f}")
    lines.append("| " + " | ".join(cells) + " |")
  return lines


def main(argv=None, prog="yoho bench export") -> int:
  """Prints the table; returns 0 or 1 (argparse exits with 2)."""
  parser = argparse.ArgumentParser(
    prog=prog, description="Times exported files on the same audio."
  )
  parser.add_argument(
    "paths", nargs="+", metavar="FILE", help=".tflite, .onnx, manifest.json"
  )
  parser.add_argument("--lite", help="the published yamnet_lite.tflite")
  parser.add_argument(
    "--audio", help="recording to run on (default: 60 s of faint noise)"
  )
  parser.add_argument("--repeats", type=int, default=5)
  args = parser.parse_args(argv)
  try:
    for path in args.paths:
      if not path.endswith(KINDS):
        raise ValueError(
          f"files must end in {', '.join(KINDS)}: those whose threads can be "
          f"set; got {path!r}"
        )
    if args.repeats < 1:
      raise ValueError(f"--repeats must be at least 1; got {args.repeats}")
    if args.audio:
      waveform = audio.read(args.audio)
    else:
      rng = np.random.default_rng(0)
      waveform = (0.05 * rng.standard_normal(60 * 16_000)).astype(np.float32)
    rows = measure(
      args.paths,
      waveform,
      lite=args.lite,
      repeats=args.repeats,
      log=lambda line: print(line, file=sys.stderr, flush=True),
    )
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  print("\n".join(table(rows)))
  return 0


if __name__ == "__main__":
  sys.exit(main())
