"""`yoho bench predict`: an hour of audio, stage by stage, and beside others.

    yoho bench predict --audio examples/radio.flac --seconds 3600 \
      --lite ../shared/data/yamnet/yamnet_lite.tflite

The recording is repeated to the length asked for and written as 16 kHz FLAC.
Tables: what the machine can do; each stage of `predict` on one thread, beside
its floor; the whole of it, with the peak memory of the process, for one length
or several; a step of a stream; others on the same samples.

A floor is what the machine could do at best: multiply-adds at the rate of a
large float32 matrix product, bytes at the rate of a large copy, measured in
the same run. An FFT of N points counts as 1.25 N log2 N multiply-adds.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from yoho_tf import audio
from yoho_tf.bench import at_least_one, machine
from yoho_tf.bench.predict_stages import (
  RATE_HZ,
  multiplies_per_second,
  stages,
)
from yoho_tf.bench.predict_worker import best_seconds

# ---- the whole --------------------------------------------------------------

_WHOLE = """
import json, resource, sys, time
import yoho_tf
name, threads, *paths = sys.argv[1:]
model = yoho_tf.load(name, num_threads=int(threads))
model.predict(paths[0])  # the first call allocates
begin = time.perf_counter()
found = len(model.predict(paths[-1]).events)
seconds = time.perf_counter() - begin
try:  # a child's ru_maxrss begins with its parent's
  status = open("/proc/self/status").read()
  peak = int(status.split("VmHWM:")[1].split()[0])
except (OSError, IndexError):
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, peak / 1024, found]))
"""


def whole(name, warm_up, path, *, threads):
  """Seconds of `predict` on a file, peak MB of its process, events."""
  done = subprocess.run(
    [sys.executable, "-c", _WHOLE, name, str(threads), warm_up, path],
    capture_output=True,
    text=True,
    check=True,
  )
  return json.loads(done.stdout)


def tile(source, path, seconds) -> None:
  """Writes a recording again and again as 16 kHz FLAC, `seconds` of it."""
  import soundfile

  clip = audio.read(source, sample_rate_hz=RATE_HZ)
  left = round(seconds * RATE_HZ)
  with soundfile.SoundFile(path, "w", RATE_HZ, 1, format="FLAC") as file:
    while left > 0:
      file.write(clip[:left])
      left -= len(clip)


def table(heads, rows) -> list[str]:
  """Lines of a Markdown table; the first column is text."""
  lines = ["| " + " | ".join(heads) + " |"]
  lines.append("| --- " + "| ---: " * (len(heads) - 1) + "|")
  return lines + ["| " + " | ".join(row) + " |" for row in rows]


def stage_table(rows) -> list[str]:
  return table(
    ["stage", "s per hour", "floor, s", "of its floor"],
    [
      [stage, f"{value:.2f}", f"{floor:.3g}", f"{value / floor:.1f}x"]
      for stage, value, floor in rows
    ],
  )


def whole_table(found) -> list[str]:
  """`found`: threads, seconds of audio, seconds, MB."""
  return table(
    ["threads", "hours", "s", "times real time", "s per hour", "peak MB"],
    [
      [
        str(threads),
        f"{audio_seconds / 3600:g}",
        f"{seconds:.2f}",
        f"{audio_seconds / seconds:,.0f}",
        f"{seconds / audio_seconds * 3600:.2f}",
        f"{megabytes:.0f}",
      ]
      for threads, audio_seconds, seconds, megabytes in found
    ],
  )


# ---- others -----------------------------------------------------------------


def peer_table(name, waveform, peers, *, threads, repeats, log) -> list[str]:
  """Ours and `peers` on the same samples, from memory: seconds per hour."""
  from yoho_tf import hub

  hour = 3600 * RATE_HZ / len(waveform)
  model = hub.load(name, num_threads=threads)
  ours = best_seconds(lambda: model.predict(waveform), repeats)[0] * hour
  rows = [[name, f"{multiplies_per_second(name) / 1e6:.3g}", f"{ours:.2f}"]]
  rows[0] += ["1.0", ""]
  for peer in peers:
    log(f"timing {peer.title}")
    seconds = peer.seconds(waveform, num_threads=threads, repeats=repeats)
    macs = peer.macs_per_second
    rows.append(
      [
        peer.title,
        "-" if macs is None else f"{macs / 1e6:.3g}",
        f"{seconds * hour:.2f}",
        f"{seconds * hour / ours:.1f}",
        peer.note,
      ]
    )
  heads = ["system", "M multiplies per s", "s per hour", "of ours", ""]
  return table(heads, rows)


# ---- streams ----------------------------------------------------------------


def steps(model, path):
  """Seconds of each `push` of one step; seconds of audio in it; latency."""
  from yoho_tf import hub, stream_readers
  from yoho_tf.streaming import Stream

  model = hub.load(model, num_threads=1)
  has_steps = stream_readers.steps_of(model) is not None
  stream = Stream(model, hop_cells=None if has_steps else 1)
  waveform = audio.read(path)
  size = round(stream.step_seconds * RATE_HZ)
  stream.push(waveform[: round(stream.first_seconds * RATE_HZ)])
  spent = []
  for first in range(0, len(waveform) - size + 1, size):
    begin = time.perf_counter()
    stream.push(waveform[first : first + size])
    spent.append(time.perf_counter() - begin)
  return spent, stream.step_seconds, stream.latency_seconds


def step_table(models, path) -> list[str]:
  """A step of a stream: log-mel, network and decoding, on one thread."""
  rows = []
  for model in models:
    spent, step, latency = steps(model, path)
    rows.append(
      [
        pathlib.Path(model).name,
        f"{step:.2f}",
        f"{1e3 * np.median(spent):.2f}",
        f"{1e3 * min(spent):.2f}",
        f"{latency:.2f}",
      ]
    )
  return table(
    ["model", "step, s", "median, ms", "fastest, ms", "latency, s"], rows
  )


def parser(prog):
  from yoho_tf.bench import predict_peers

  p = argparse.ArgumentParser(
    prog=prog,
    description="How long an hour of audio takes, stage by stage.",
  )
  add = p.add_argument
  add("--model", default="yoho_everyday", help="a bundled YOHO")
  add("--audio", required=True, help="recording, repeated to the length")
  add("--seconds", type=at_least_one, default=3600)
  add(
    "--lengths",
    type=at_least_one,
    nargs="*",
    default=[],
    metavar="SECONDS",
    help="further lengths of the whole, on all processors",
  )
  add("--peer-seconds", type=at_least_one, default=30)
  add("--repeats", type=at_least_one, default=3)
  add(
    "--peers",
    nargs="*",
    default=[],
    choices=tuple(predict_peers.PEERS),
    help="others to time, see yoho_tf/bench/predict_peers.py",
  )
  add("--lite", metavar="FILE", help="of yamnet_lite: the published .tflite")
  add(
    "--tfmot-python", metavar="PYTHON", help="of yamnet_tf_keras: with tf_keras"
  )
  add("--ina-python", metavar="PYTHON", help="of ina_speech_segmenter: with it")
  add(
    "--stream",
    nargs="*",
    default=[],
    metavar="FILE",
    help="further models to time step by step (yoho export --to stream)",
  )
  add("--out", help="also write the tables here (Markdown)")
  return p


def main(argv=None, prog="yoho bench predict") -> int:
  """Prints the tables; returns 0 or 1 (argparse exits with 2)."""
  args = parser(prog).parse_args(argv)

  def log(line):
    print(line, file=sys.stderr, flush=True)

  try:
    lines = _tables(args, log)
    if args.out:
      from yoho_tf import files

      files.replace_text(args.out, "\n".join(lines) + "\n")
  except subprocess.CalledProcessError as error:
    print(f"{prog}: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    return 1
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  print("\n".join(lines))
  return 0


def _tables(args, log):
  from yoho_tf.bench import predict_peers
  from yoho_tf.predictor import num_processors

  peers = [predict_peers.PEERS[name](args) for name in args.peers]
  processors = num_processors()
  log("measuring the machine")
  counts = dict.fromkeys((1, processors))
  rates = {threads: machine.rates(threads) for threads in counts}
  lines = table(
    ["threads", "float32 product, G multiply-adds/s", "copy, GB/s"],
    [
      [str(t), f"{macs / 1e9:.1f}", f"{copied / 1e9:.1f}"]
      for t, (macs, copied) in rates.items()
    ],
  )
  with tempfile.TemporaryDirectory() as folder:
    paths = {}
    for seconds in (60, args.seconds, *args.lengths):
      log(f"writing {seconds} s")
      paths[seconds] = str(pathlib.Path(folder, f"{seconds}.flac"))
      tile(args.audio, paths[seconds], seconds)
    found = []
    for threads, seconds in (
      *((t, args.seconds) for t in counts),
      *((processors, s) for s in args.lengths),
    ):
      log(f"predicting {seconds} s with {threads} threads")
      spent, megabytes, _ = whole(
        args.model, paths[60], paths[seconds], threads=threads
      )
      found.append((threads, seconds, spent, megabytes))
    macs, bandwidth = rates[1]
    rows = stages(
      args.model,
      paths[args.seconds],
      macs=macs,
      bandwidth=bandwidth,
      log=log,
    )
    log("a stream, step by step")
    streamed = step_table([args.model, *args.stream], paths[60])
    waveform = audio.read(paths[args.seconds])
    waveform = waveform[: args.peer_seconds * RATE_HZ]
  for more in (stage_table(rows), whole_table(found), streamed):
    lines += ["", *more]
  if peers:
    lines += ["", f"Others, {args.peer_seconds} s from memory, 1 thread:", ""]
    options = dict(repeats=args.repeats, log=log)
    lines += peer_table(args.model, waveform, peers, threads=1, **options)
    lines += ["", f"The same, {processors} threads:", ""]
    lines += peer_table(
      args.model, waveform, peers, threads=processors, **options
    )
  return lines


if __name__ == "__main__":
  sys.exit(main())
