"""How long files take to decode: tensorflow-io against soundfile.

    python -m yoho_tf.bench.decoding FOLDER

Both read the same files, one at a time, through `waveform_dataset`, decoded,
mixed down and resampled to 16 kHz; they take turns in one process. CPU seconds
of the process, the best of the repeats; building graphs is not timed.
"""

import argparse
import platform
import sys
import time
from importlib import metadata

from yoho_tf import audio
from yoho_tf.bench import at_least_one

RATE = 16_000


def choose(folder, num_files):
  """Extension -> files, for what tensorflow-io decodes."""
  from yoho_tf.data.pipeline import tfio

  tfio.require()
  found, errors = audio.find_files(folder)
  if errors:
    raise errors[0]
  by_kind = {}
  for path in found:
    if path.suffix.lower() in tfio.EXTENSIONS:
      by_kind.setdefault(path.suffix.lower(), []).append(str(path))
  return {kind: paths[:num_files] for kind, paths in sorted(by_kind.items())}


def measure(paths, decode):
  """CPU seconds and samples of one pass over the files but the first."""
  from yoho_tf.data import pipeline

  dataset = pipeline.waveform_dataset(
    paths, sample_rate_hz=RATE, decode=decode, num_parallel_calls=1
  )
  rows = dataset.as_numpy_iterator()
  next(rows)  # pays for the graph
  begin = time.process_time()
  num_samples = sum(len(waveform) for _, waveform in rows)
  return time.process_time() - begin, num_samples


def main(argv=None, prog="python -m yoho_tf.bench.decoding") -> int:
  """Prints a table; returns 0, or 1 where a decoder or the files fail."""
  parser = argparse.ArgumentParser(prog=prog, description=__doc__)
  parser.add_argument("folder", help="audio files, with subfolders")
  parser.add_argument(
    "--files", type=at_least_one, default=60, help="of each format, at most"
  )
  parser.add_argument("--repeats", type=at_least_one, default=3)
  args = parser.parse_args(argv)
  try:
    rows = choose(args.folder, args.files)
    print("| format | files | audio s | soundfile CPU s | tfio CPU s | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for kind, paths in rows.items():
      best = {"soundfile": float("inf"), "tfio": float("inf")}
      for _ in range(args.repeats):
        for decode in best:
          seconds, num_samples = measure([paths[0], *paths], decode)
          best[decode] = min(best[decode], seconds)
      ours, theirs = best["soundfile"], best["tfio"]
      print(
        f"| {kind} | {len(paths)} | {num_samples / RATE:.0f} | {ours:.2f} |"
        f" {theirs:.2f} | {theirs / ours:.1f}x |"
      )
  except ValueError as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  names = ("tensorflow", "tensorflow-io", "soundfile", "soxr")
  versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
  print(f"\nPython {platform.python_version()}, {versions}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
