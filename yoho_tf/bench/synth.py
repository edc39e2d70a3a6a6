"""`yoho bench synth`: how fast scenes are mixed, in times real time per core.

CPU seconds of one process, best of the repeats, sources decoded beforehand
(that is timed on its own); files are not written.
"""

import argparse
import csv
import json
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from yoho_tf.data import sources, synth
from yoho_tf.data.synth.files import wav_bytes
from yoho_tf.files import replace_bytes
from yoho_tf.params import SCENE_PRESETS

RATE = 16_000
# Name -> what is changed in the preset.
VARIANTS = {
  "as it is": {},
  "without pitch, stretch": dict(
    pitch_probability=0.0, time_stretch_probability=0.0
  ),
  "without those and reverb": dict(
    pitch_probability=0.0, time_stretch_probability=0.0, reverb_probability=0.0
  ),
  "all pitched, stretched": dict(
    pitch_probability=1.0, time_stretch_probability=1.0
  ),
}


def make_sources(folder, *, labels, seconds, seed=0):
  """A manifest and files of made-up sound, 4 per label, to mix from."""
  rng = np.random.default_rng(seed)
  rows = [("path", "role", "class", "split", "source_id", "licence")]
  names = [("event", label) for label in labels]
  for role, label in [*names, ("background", "hum"), ("rir", "room")]:
    for take in range(4):
      length = round((2 if role == "rir" else 1) * seconds * RATE)
      waveform = 0.1 * rng.standard_normal(length)
      if role == "rir":
        waveform *= np.exp(-np.arange(length) / (0.05 * RATE))
      name = f"{role}_{len(rows):03d}.wav"
      replace_bytes(Path(folder, name), wav_bytes(np.float32(waveform), RATE))
      rows.append((name, role, label, "train", f"id{len(rows)}-{take}", "CC0"))
  with open(Path(folder, "manifest.csv"), "w", newline="") as file:
    csv.writer(file).writerows(rows)


def measure(pool, params, *, num_scenes, repeats, stems=False) -> float:
  """Seconds of audio per CPU second, best of the repeats."""
  best = 0.0
  for repeat in range(repeats):
    begin = time.process_time()
    for index in range(num_scenes):
      synth.make_scene(
        pool, params, seed=repeat, index=index, split="train", stems=stems
      )
    seconds = time.process_time() - begin
    best = max(best, num_scenes * params.duration_seconds / seconds)
  return best


def _decode(pool):
  """CPU seconds that decoding, trimming and the seconds of it all take."""
  begin, total = time.process_time(), 0
  for source in pool.sources:
    if source.role == "event":
      pool.span(source)
    first, stop = pool.bounds(source)
    total += stop - first
  return time.process_time() - begin, total / pool.sample_rate_hz


def run(args) -> dict:
  """{"preset", "machine", "decode_seconds", "source_seconds", "times"}."""
  params = SCENE_PRESETS[args.preset]
  with tempfile.TemporaryDirectory() as folder:
    labels = params.labels or ("one", "two", "three")
    if not args.sources:
      make_sources(folder, labels=labels, seconds=5.0)
    pool = sources.read_sources(
      args.sources or folder,
      split="train",
      labels=params.labels or None,
      sample_rate_hz=params.sample_rate_hz,
    )
    decode_seconds, source_seconds = _decode(pool)
    times = {
      name: measure(
        pool,
        replace(params, **changes),
        num_scenes=args.num_scenes,
        repeats=args.repeats,
      )
      for name, changes in VARIANTS.items()
    }
  return {
    "preset": args.preset,
    "machine": f"{platform.machine()}, Python {platform.python_version()}",
    "decode_seconds": decode_seconds,
    "source_seconds": source_seconds,
    "times": times,
  }


def main(argv=None, prog="yoho bench synth") -> int:
  """Prints the table; returns 0, or 1 for sources that cannot be used."""
  parser = argparse.ArgumentParser(prog=prog, description=__doc__)
  add = parser.add_argument
  add("--preset", choices=tuple(SCENE_PRESETS), default="urban")
  add("--sources", help="as in `yoho data synth`; default: made-up noise")
  add("--num-scenes", type=int, default=40)
  add("--repeats", type=int, default=3)
  add("--json", action="store_true", help="print JSON")
  args = parser.parse_args(argv)
  if args.num_scenes < 1 or args.repeats < 1:
    parser.error("--num-scenes and --repeats must be at least 1")
  try:
    result = run(args)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  if args.json:
    print(json.dumps(result, indent=2))
    return 0
  print(f"preset {result['preset']}, one core ({result['machine']})")
  print(
    f"  {'decoding and trimming':26} {result['decode_seconds']:7.2f} s for "
    f"{result['source_seconds']:.0f} s of sources, once"
  )
  for name, value in result["times"].items():
    print(f"  {name:26} {value:7.0f} x real time")
  return 0


if __name__ == "__main__":
  sys.exit(main())
