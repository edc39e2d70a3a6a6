"""The systems that `yoho bench predict` compares with, behind one function.

| name | what runs | weights |
| --- | --- | --- |
| `yamnet_lite` | YAMNet Lite as published, through LiteRT | its own |
| `yamnet_tf_keras` | YAMNet in tf_keras, as upstream calls it | random |
| `cnn`, `crnn` | baselines of YOHO's paper, through LiteRT | random |
| `ina_speech_segmenter` | the package, with its network rebuilt | random |
| `panns_cnn14` | Cnn14_DecisionLevelMax, through LiteRT | random |

Weights do not change how long a network takes; where those published cannot
be had, random ones stand in and the note says so.
"""

import functools
import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from yoho_tf import resampling
from yoho_tf.bench import network_costs, predict_networks, predict_worker
from yoho_tf.bench.predict_stages import RATE_HZ
from yoho_tf.deploy import tfmot
from yoho_tf.params import PRESETS

INA_PYTHON = "YOHO_INA_PYTHON"  # environment variable


class Options(NamedTuple):
  """What peers need; anything with these attributes serves.

  Attributes:
    lite: the published yamnet_lite.tflite.
    tfmot_python: interpreter with tf_keras; default: $YOHO_TFMOT_PYTHON.
    ina_python: interpreter with inaSpeechSegmenter; default: $YOHO_INA_PYTHON.
  """

  lite: str | None = None
  tfmot_python: str | None = None
  ina_python: str | None = None


class Peer(NamedTuple):
  """One system.

  Attributes:
    title: for a table.
    macs_per_second: multiply-adds of the network per second of audio.
    note: what a reader must know of the time.
    seconds: `(waveform, *, num_threads, repeats)`: of the fastest run over
      float32 `[samples]` at 16 kHz, front end, network and decisions, after a
      first run that does not count.
  """

  title: str
  macs_per_second: float | None
  note: str
  seconds: Callable[..., float]


# ---- YAMNet ------------------------------------------------------------------

_YAMNET = replace(PRESETS["yamnet_audioset"], input="log_mel")
_YAMNET_FRONTEND = (
  "sample_rate_hz stft_window_samples stft_hop_samples fft_length mel_bands "
  "mel_min_hz mel_max_hz log_offset"
).split()


@functools.cache
def _yamnet_network():
  from yoho_tf.models import yamnet

  return yamnet.build(_YAMNET)


@functools.cache
def _yamnet_macs():
  macs = network_costs.multiplies(_yamnet_network(), _YAMNET.patch_frames)
  return macs / _YAMNET.patch_hop_seconds


def _yamnet_lite(options) -> Peer:
  """The published 8-bit file; the same layers as the float one."""
  from yoho_tf import hub

  path = getattr(options, "lite", None)
  if not path or not os.path.isfile(path):
    raise ValueError(
      "yamnet_lite must have the published yamnet_lite.tflite (--lite); got "
      f"{path!r}"
    )

  def seconds(waveform, *, num_threads, repeats):
    model = hub.load("yamnet_lite", weights=path, num_threads=num_threads)
    return predict_worker.best_seconds(
      lambda: model.predict(waveform), repeats
    )[0]

  note = f"8 bits; a patch every {_YAMNET.patch_hop_seconds} s"
  return Peer("YAMNet Lite, LiteRT", _yamnet_macs(), note, seconds)


def _yamnet_tf_keras(options) -> Peer:
  """Upstream's YAMNet: a Functional model of a waveform, called."""
  python, version = _environment(
    options, "tfmot_python", tfmot.PYTHON, "tf_keras"
  )

  def seconds(waveform, **how):
    return yamnet_scores(python, _yamnet_network(), waveform, **how)[0]

  note = f"random weights; patches every {_YAMNET.patch_hop_seconds} s"
  return Peer(f"YAMNet, tf_keras {version}", _yamnet_macs(), note, seconds)


def yamnet_scores(python, network, waveform, *, num_threads, repeats):
  """Seconds, and scores `[patches, classes]`, of a network in tf_keras."""
  front = _YAMNET.frontend
  return _work(
    python,
    "yamnet",
    network,
    waveform,
    num_threads=num_threads,
    repeats=repeats,
    frontend={name: getattr(front, name) for name in _YAMNET_FRONTEND},
    patch_frames=_YAMNET.patch_frames,
    patch_hop_frames=_YAMNET.patch_hop_frames,
  )


# ---- the baselines of YOHO's paper -------------------------------------------


def _baseline(options, *, name) -> Peer:
  from yoho_tf import hub
  from yoho_tf.deploy import litert
  from yoho_tf.labels import ClassMap
  from yoho_tf.models import yoho

  params = replace(PRESETS["yoho_music_speech"], baseline=name, input="log_mel")
  network = yoho.build(params)
  hop = params.inference.window_hop_seconds
  macs = network_costs.multiplies(network, params.window_frames) / hop
  data = litert.tflite(
    network,
    params,
    class_map=ClassMap.for_names(params.labels),
    precision="float32",
  )

  def seconds(waveform, *, num_threads, repeats):
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, f"{name}.tflite")
      path.write_bytes(data)
      model = hub.load(path, num_threads=num_threads)
      return predict_worker.best_seconds(
        lambda: model.predict(waveform, sample_rate_hz=RATE_HZ), repeats
      )[0]

  note = f"random weights; {params.window_seconds:g} s every {hop:g} s"
  return Peer(f"{name.upper()} of YOHO's paper, LiteRT", macs, note, seconds)


# ---- inaSpeechSegmenter ------------------------------------------------------

_INA_BATCH = 32  # of patches, the default; on a CPU 1024 took longer


def _ina_speech_segmenter(options) -> Peer:
  """The package on a `.wav`, its network with random weights."""
  python, version = _environment(
    options, "ina_python", INA_PYTHON, "inaSpeechSegmenter"
  )
  network = predict_networks.ina()
  frames = predict_networks.INA_PATCH[0]
  macs = network_costs.multiplies(network, frames)

  def seconds(waveform, **how):
    return ina_segments(python, network, waveform, **how)[0]

  return Peer(
    f"inaSpeechSegmenter {version}, smn",
    macs / predict_networks.INA_HOP_SECONDS,
    "random weights; without gender; a patch every "
    f"{predict_networks.INA_HOP_SECONDS} s",
    seconds,
  )


def ina_segments(
  python, network, waveform, *, num_threads, repeats, batch_size=_INA_BATCH
):
  """Seconds, and the segments' ends `[segments, 2]` in seconds."""
  return _work(
    python,
    "ina",
    network,
    waveform,
    num_threads=num_threads,
    repeats=repeats,
    batch_size=batch_size,
  )


# ---- PANNs -------------------------------------------------------------------

_PANNS_CLIP_SECONDS = 10.0  # AudioSet's


def _panns_cnn14(options) -> Peer:
  """Clips one after the other; 16 kHz are resampled to 32 kHz."""
  from yoho_tf.deploy import litert, runtime
  from yoho_tf.layers.frontend import log_mel_layer

  params = predict_networks.PANNS_FRONTEND
  rate = params.sample_rate_hz
  size = round(_PANNS_CLIP_SECONDS * rate)
  frames = 1 + size // params.stft_hop_samples
  network = predict_networks.panns_cnn14()
  macs = network_costs.multiplies(network, frames) / _PANNS_CLIP_SECONDS
  front = log_mel_layer(params)
  data = litert.convert(
    lambda x: network({"log_mel": front(x)}),
    [v.value for v in network.variables],
    shape=[1, size],
    name="waveform",
    output="scores",
  )

  def run(model, waveform):
    samples = resampling.resample(waveform, RATE_HZ, rate)
    for first in range(0, len(samples), size):
      part = samples[first : first + size]
      part = np.pad(part, (0, size - len(part)))
      scores = model({"waveform": part[None]})["scores"][0]
      predict_networks.panns_events(scores, frames)

  def seconds(waveform, *, num_threads, repeats):
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, "panns.tflite")
      path.write_bytes(data)
      model = runtime.LiteRt(path, num_threads=num_threads)
      call = functools.partial(run, model, waveform)
      return predict_worker.best_seconds(call, repeats)[0]

  note = f"random weights; clips of {_PANNS_CLIP_SECONDS:g} s at 32 kHz"
  return Peer("PANNs Cnn14_DecisionLevelMax, LiteRT", macs, note, seconds)


# Name -> a function of `Options`; ValueError says in a line what is missing.
PEERS = {
  "yamnet_lite": _yamnet_lite,
  "yamnet_tf_keras": _yamnet_tf_keras,
  "cnn": functools.partial(_baseline, name="cnn"),
  "crnn": functools.partial(_baseline, name="crnn"),
  "ina_speech_segmenter": _ina_speech_segmenter,
  "panns_cnn14": _panns_cnn14,
}


# ---- other environments ------------------------------------------------------


def _environment(options, field, variable, package) -> tuple[str, str]:
  """The Python of an environment with a package, and the package's version."""
  python = getattr(options, field, None) or os.environ.get(variable)
  if not python or not os.path.isfile(python):
    raise ValueError(
      f"{field} must be the interpreter of an environment with {package}, or "
      f"{variable} name it; got {python!r}"
    )
  code = f"import importlib.metadata as m; print(m.version({package!r}))"
  done = subprocess.run(
    [python, "-I", "-c", code], capture_output=True, text=True
  )
  if done.returncode:
    raise ValueError(
      f"{field} must have {package} (pip install {package} there); got "
      f"{python!r}"
    )
  return os.fspath(python), done.stdout.strip()


def _work(python, kind, network, waveform, *, num_threads, **job):
  """Runs predict_worker.py: seconds, and the output, an array."""
  (source,) = network.inputs
  job |= {
    "kind": kind,
    "num_threads": num_threads,
    "layers": tfmot.layer_table(network),
    "input_shape": list(source.shape[1:]),
  }
  environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
  environment |= {
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": str(num_threads),
    "OPENBLAS_NUM_THREADS": str(num_threads),
    "TF_CPP_MIN_LOG_LEVEL": "3",
  }
  with tempfile.TemporaryDirectory(prefix="yoho_peer_") as folder:
    folder = pathlib.Path(folder)
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    np.savez(folder / "weights.npz", **tfmot.weights_of(network))
    np.save(folder / "waveform.npy", np.asarray(waveform, np.float32))
    done = subprocess.run(
      [python, "-I", predict_worker.__file__, os.fspath(folder)],
      capture_output=True,
      text=True,
      errors="replace",
      env=environment,
    )
    if done.returncode:
      lines = done.stderr.strip().splitlines() or [""]
      raise ValueError(
        f"the worker of {kind} in {python!r} ended with code "
        f"{done.returncode}: {lines[-1]}"
      )
    seconds = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
    return seconds, np.load(folder / "output.npy")
