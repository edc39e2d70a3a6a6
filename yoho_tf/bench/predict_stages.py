"""The stages of `predict`, one by one on one thread, beside their floors."""

import functools
import os
import time

import numpy as np

from yoho_tf import audio, resampling
from yoho_tf.bench.predict_worker import best_seconds

RATE_HZ = 16_000
_RESAMPLED_HZ, _RESAMPLED_SECONDS = 44_100, 300
_REPEATS = 3


@functools.cache  # it builds the network
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
    macs, bandwidth: of one thread, `machine.rates`.
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
  seconds = {"decode": best_seconds(decode, _REPEATS)[0] * hour}
  rng = np.random.default_rng(0)
  noise = rng.uniform(-0.5, 0.5, _RESAMPLED_HZ * _RESAMPLED_SECONDS)
  noise = noise.astype(np.float32)
  title = f"resample, were it {_RESAMPLED_HZ / 1000:g} kHz"
  seconds[title] = (
    best_seconds(
      lambda: resampling.resample(noise, _RESAMPLED_HZ, RATE_HZ), _REPEATS
    )[0]
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

  seconds["post-processing"] = best_seconds(post, _REPEATS)[0] * hour

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
