"""The part of bench/predict_peers.py that runs in other environments.

    python -I yoho_tf/bench/predict_worker.py JOB

Builds the layer table of `JOB/job.json` with the weights of `weights.npz`,
times the peer on `waveform.npy` (float32, 16 kHz), and writes `seconds.json`
and `output.npy`. Imports nothing of yoho_tf.

| kind | Keras | what is timed |
| --- | --- | --- |
| `yamnet` | tf_keras | YAMNet as a model of a waveform, called as upstream |
| `ina` | of inaSpeechSegmenter | its `Segmenter` on a `.wav` |
"""

import contextlib
import json
import os
import pathlib
import sys
import time

import numpy as np


def best_seconds(call, repeats):
  """Of the fastest of `repeats` calls after a first one; its answer too."""
  answer = call()
  spent = []
  for _ in range(repeats):
    begin = time.perf_counter()
    answer = call()
    spent.append(time.perf_counter() - begin)
  return min(spent), answer


def build(job, weights, keras):
  """The layer table as a model of one input, weights set by name."""
  source = x = keras.Input(tuple(job["input_shape"]))
  for row in job["layers"]:
    kind = getattr(keras.layers, row["kind"])
    x = kind(name=row["name"], **row["config"])(x)
  model = keras.Model(source, x)
  for layer in model.layers:
    for variable in layer.weights:
      name = variable.name.split("/")[-1].split(":")[0]
      key = f"{layer.name}/{name.removeprefix('depthwise_')}"
      variable.assign(weights[key])
  return model


# ---- kinds: (job, weights, folder) -> call -> the output, an array -----------


def yamnet(job, weights, folder):
  """Log-mel by tf.signal, patches as a batch; then the mean of their scores.

  Upstream's way: a Functional model, called as a function (eagerly), and the
  five classes with the highest means.
  """
  import tensorflow as tf
  import tf_keras

  front = job["frontend"]
  size, hop = front["stft_window_samples"], front["stft_hop_samples"]
  frames, frames_hop = job["patch_frames"], job["patch_hop_frames"]
  waveform = tf_keras.Input(batch_shape=(None,), dtype=tf.float32)
  least = (frames - 1) * hop + size  # samples of one patch
  step = frames_hop * hop
  rest = tf.shape(waveform)[0] - least
  steps = tf.maximum(0, tf.cast(tf.math.ceil(rest / step), tf.int32))
  padded = tf.pad(waveform, [[0, steps * step - rest]])
  spectrum = tf.abs(
    tf.signal.stft(padded, size, hop, fft_length=front["fft_length"])
  )  # [frames, bins]
  matrix = tf.signal.linear_to_mel_weight_matrix(
    front["mel_bands"],
    front["fft_length"] // 2 + 1,
    front["sample_rate_hz"],
    front["mel_min_hz"],
    front["mel_max_hz"],
  )
  log_mel = tf.math.log(tf.matmul(spectrum, matrix) + front["log_offset"])
  patches = tf.signal.frame(log_mel, frames, frames_hop, axis=0)
  scores = build(job, weights, tf_keras)(patches)  # [patches, classes]
  model = tf_keras.Model(waveform, [scores, log_mel])
  samples = np.load(folder / "waveform.npy")

  def call():
    scores = model(samples)[0].numpy()
    np.argsort(scores.mean(axis=0))[::-1][:5]
    return scores

  return call


def ina(job, weights, folder):
  """`Segmenter` without its second network, which needs speech to be found.

  Its files are on GitHub; here it is given ours.
  """
  import keras
  import soundfile
  from inaSpeechSegmenter import segmenter

  path = os.fspath(folder / "network.keras")
  build(job, weights, keras).save(path)
  segmenter.get_remote = lambda name: path
  sound = os.fspath(folder / "waveform.wav")
  soundfile.write(sound, np.load(folder / "waveform.npy"), 16_000)
  segment = segmenter.Segmenter(
    vad_engine="smn",
    detect_gender=False,
    ffmpeg=None,
    batch_size=job["batch_size"],
  )

  def call():
    return np.array([row[1:] for row in segment(sound)])  # seconds

  return call


KINDS = {"yamnet": yamnet, "ina": ina}


def main(arguments) -> int:
  folder = pathlib.Path(arguments[0])
  job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
  import tensorflow as tf

  tf.config.threading.set_intra_op_parallelism_threads(job["num_threads"])
  tf.config.threading.set_inter_op_parallelism_threads(job["num_threads"])
  with np.load(folder / "weights.npz") as file:
    weights = {key: file[key] for key in file}
  with contextlib.redirect_stdout(sys.stderr):  # they print
    call = KINDS[job["kind"]](job, weights, folder)
    seconds, output = best_seconds(call, job["repeats"])
  np.save(folder / "output.npy", output)
  (folder / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
