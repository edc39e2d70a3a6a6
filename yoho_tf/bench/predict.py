"""`yoho bench predict`: an hour of audio, stage by stage, and beside others.

    yoho bench predict --audio examples/radio.flac --seconds 3600 \
      --lite ../shared/data/yamnet/yamnet_lite.tflite

The recording is repeated to the length asked for and written as 16 kHz FLAC.
Three tables: each stage of `predict` on one thread, beside its floor on this
machine; the whole of it on all processors, with the peak memory of the
process, for one and for several lengths; and others on the same samples.

A floor is what the machine could do at best: multiply-adds at the rate of a
large float32 matrix product, bytes at the rate of a large copy, measured in
the same run. An FFT of N points counts as 1.25 N log2 N multiply-adds.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from yoho_tf import audio
from yoho_tf.bench import at_least_one

RATE_HZ = 16_000
_RESAMPLED_HZ, _RESAMPLED_SECONDS = 44_100, 300


def best_seconds(function, repeats=3) -> float:
  """Wall time of the fastest call."""
  spent = []
  for _ in range(repeats):
    begin = time.perf_counter()
    function()
    spent.append(time.perf_counter() - begin)
  return min(spent)


# ---- the machine ------------------------------------------------------------

_GEMM = """
import json, time, numpy as np
n = 1536
a, b = np.ones((2, n, n), np.float32)
x, y = np.ones((2, 2**25), np.float32)
def best(f):
  spent = []
  for _ in range(8):
    begin = time.perf_counter(); f(); spent.append(time.perf_counter() - begin)
  return min(spent)
print(json.dumps([n**3 / best(lambda: a @ b),
                  2 * x.nbytes / best(lambda: np.copyto(y, x))]))
"""


def machine(threads: int) -> tuple[float, float]:
  """Multiply-adds per second of a float32 product, bytes per second copied.

  In a process of its own: a BLAS takes its number of threads at the start.
  """
  names = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"
  done = subprocess.run(
    [sys.executable, "-c", _GEMM],
    env={**os.environ, **dict.fromkeys(names, str(threads))},
    capture_output=True,
    text=True,
    check=True,
  )
  return tuple(json.loads(done.stdout))


# ---- stages -----------------------------------------------------------------


def multiplies_per_second(name) -> float:
  """Multiply-adds of a model's network per second of audio."""
  from yoho_tf.bench import network_costs
  from yoho_tf.deploy import float_network

  found = float_network.load(name)
  params, cells = found.params, 50
  frames = cells * params.STRIDE_FRAMES
  macs = network_costs.multiplies(found.network, frames)
  return macs / (cells * params.cell_seconds)


def stages(name, path, *, macs, bandwidth, log):
  """Rows: stage, seconds per hour on one thread, of its floor or None.

  Args:
    name: a model whose `.tflite` offers its network alone.
    path: 16 kHz FLAC.
    macs, bandwidth: of one thread, `machine`.
  """
  from yoho_tf import hub
  from yoho_tf.layers import mel
  from yoho_tf.models import yoho_windows

  model = hub.load(name, num_threads=1)
  params, front = model.params, model.params.frontend
  duration = audio.info(path).duration_seconds
  hour = 3600 / duration
  samples = duration * RATE_HZ

  def decode():
    for _ in audio.read_blocks(path):
      pass

  log("decoding and resampling")
  seconds = {"decode": best_seconds(decode) * hour}
  rng = np.random.default_rng(0)
  noise = rng.uniform(-0.5, 0.5, _RESAMPLED_HZ * _RESAMPLED_SECONDS)
  noise = noise.astype(np.float32)
  title = f"resample, were it {_RESAMPLED_HZ / 1000:g} kHz"
  seconds[title] = (
    best_seconds(lambda: audio.resample(noise, _RESAMPLED_HZ, RATE_HZ))
    * 3600
    / _RESAMPLED_SECONDS
  )
  log("front end, network, post-processing")
  spent, parts = {"front end": 0.0, "network": 0.0}, []
  opened = _trunk(name)
  for keep, window, _ in yoho_windows.window_plan(
    audio.read_blocks(path), params
  ):
    begin = time.perf_counter()
    log_mel = mel.log_mel(window, front)
    middle = time.perf_counter()
    parts.append(opened({"log_mel": log_mel[None]})[params.output][0, keep])
    spent["front end"] += middle - begin
    spent["network"] += time.perf_counter() - middle
  seconds |= {stage: value * hour for stage, value in spent.items()}
  cells = yoho_windows.join_windows(parts, params)

  def post():
    model._decode(cells, round(samples), str(path))

  seconds["post-processing"] = best_seconds(post) * hour

  frames = 3600 / front.stft_hop_seconds
  points = front.fft_length
  bins = points // 2 + 1
  per_frame = 1.25 * points * np.log2(points) + bins * front.mel_bands
  read = os.path.getsize(path) * hour + 4 * 3600 * RATE_HZ
  floors = {
    "decode": read / bandwidth,
    title: 4 * 3600 * (_RESAMPLED_HZ + RATE_HZ) / bandwidth,
    "front end": frames * per_frame / macs,
    "network": 3600 * multiplies_per_second(name) / macs,
    "post-processing": cells.nbytes * hour / bandwidth,
  }
  return [(stage, value, floors[stage]) for stage, value in seconds.items()]


def _trunk(name):
  from yoho_tf import hub
  from yoho_tf.deploy import runtime

  opened = runtime.Runtime.open(hub.WEIGHTS / f"{name}.tflite", num_threads=1)
  if opened.trunk is None:
    raise ValueError(
      f"--model must offer its network alone (deploy/litert.py, keep_trunk); "
      f"got {name!r}"
    )
  return opened.trunk


# ---- the whole --------------------------------------------------------------

_WHOLE = """
import json, resource, sys, time
import yoho_tf
name, threads, *paths = sys.argv[1:]
model = yoho_tf.load(name, num_threads=int(threads) or None)
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


def whole(name, warm_up, path, *, threads=0):
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
  model.predict(waveform)
  ours = best_seconds(lambda: model.predict(waveform), repeats) * hour
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
  rates = {threads: machine(threads) for threads in counts}
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
    waveform = audio.read(paths[args.seconds])
    waveform = waveform[: args.peer_seconds * RATE_HZ]
  lines += ["", *stage_table(rows), "", *whole_table(found)]
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
