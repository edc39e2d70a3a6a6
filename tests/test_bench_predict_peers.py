"""The peers of `yoho bench predict`: what was published, and that they run.

The tests marked large need ../shared/data/yamnet and environments that
YOHO_TFMOT_PYTHON (tf_keras) and YOHO_INA_PYTHON (inaSpeechSegmenter) name.
"""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from yoho_tf.bench import (  # noqa: E402
  network_costs,
  predict_networks,
  predict_peers,
  predict_worker,
)
from yoho_tf.bench.predict_peers import PEERS, Options  # noqa: E402
from yoho_tf.deploy import tfmot  # noqa: E402
from yoho_tf.params import PRESETS  # noqa: E402

PYTHONS = {
  "yamnet_tf_keras": tfmot.PYTHON,
  "ina_speech_segmenter": predict_peers.INA_PYTHON,
}


def num_weights(network, *, without=()):
  return sum(
    int(np.prod(weight.shape))
    for layer in network.layers
    if not layer.name.endswith(without)
    for weight in layer.trainable_weights
  )


# ---- architectures -----------------------------------------------------------


def test_cnn14_is_as_published():
  """Kong et al. 2020, table XII: 80,753,615 and 42.220 G for 10 s.

  The paper counts multiplications and additions, and the STFT, which upstream
  makes by two convolutions of 513 bins and 1024 samples.
  """
  network = predict_networks.panns_cnn14()
  assert num_weights(network) == 80_753_615
  assert network.compute_output_shape({"log_mel": (2, 1001, 64)}) == (
    2,
    31,
    527,
  )
  macs = network_costs.multiplies(network, 1001) + 1001 * 2 * 513 * 1024
  assert 2 * macs == pytest.approx(42.220e9, rel=0.01)
  front = predict_networks.PANNS_FRONTEND
  assert (front.stft_window_samples, front.stft_hop_samples) == (1024, 320)
  assert front.fft_length == 1024


def test_the_segmenters_network_is_as_published():
  """782,403 weights once the norms are folded into the layers before."""
  network = predict_networks.ina()
  assert num_weights(network, without="_bn") == 782_403
  scores = np.asarray(network({"log_mel": np.ones((2, 68, 21), "float32")}))
  assert scores.shape == (2, 3)
  np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
  convolutions = (
    62 * 18 * 64 * (7 * 4)
    + 14 * 7 * 128 * (9 * 64)
    + 12 * 5 * 128 * (9 * 128)
    + 4 * 256 * (9 * 128)
  )
  dense = 4 * 256 * 256 + 256 * 3
  assert network_costs.multiplies(network, 68) == convolutions + dense


def test_yamnet_costs_what_its_authors_say(tmp_path):
  """3.7 M weights, 69.2 M multiplies for a patch; one every 0.48 s."""
  path = tmp_path / "yamnet_lite.tflite"
  path.write_bytes(b"opened when it is timed")
  peer = PEERS["yamnet_lite"](Options(lite=str(path)))
  assert 0.48 * peer.macs_per_second == pytest.approx(69.2e6, rel=0.005)
  from yoho_tf.models import yamnet

  network = yamnet.build(replace(PRESETS["yamnet_audioset"], input="log_mel"))
  assert network.count_params() == pytest.approx(3.75e6, rel=0.01)


def test_events_are_the_frames_above_one_half():
  scores = np.random.default_rng(0).random((4, 3))
  num_frames = 133  # 5 more than the scores stand for
  held = np.array([scores[min(i // 32, 3)] for i in range(num_frames)])
  seen = np.zeros(held.shape, bool)
  for kind, start, end in predict_networks.panns_events(scores, num_frames):
    assert start < end and not seen[start:end, kind].any()
    seen[start:end, kind] = True
  np.testing.assert_array_equal(seen, held > 0.5)


# ---- what is missing ---------------------------------------------------------


@pytest.mark.parametrize(
  ("name", "options", "words"),
  [
    ("yamnet_lite", Options(), "--lite.*got None"),
    ("yamnet_lite", Options(lite="no/such.tflite"), "no/such.tflite"),
    ("yamnet_lite", object(), "--lite.*got None"),
    ("yamnet_tf_keras", Options(), "YOHO_TFMOT_PYTHON"),
    ("ina_speech_segmenter", Options(), "YOHO_INA_PYTHON"),
    ("ina_speech_segmenter", Options(ina_python="no/python"), "no/python"),
  ],
)
def test_what_is_missing_is_said_in_a_line(monkeypatch, name, options, words):
  for variable in PYTHONS.values():
    monkeypatch.delenv(variable, raising=False)
  with pytest.raises(ValueError, match=words) as error:
    PEERS[name](options)
  assert "\n" not in str(error.value)


def test_an_environment_without_the_package_is_refused():
  with pytest.raises(ValueError, match="must have inaSpeechSegmenter") as error:
    PEERS["ina_speech_segmenter"](Options(ina_python=sys.executable))
  assert "\n" not in str(error.value)


def test_a_worker_that_fails_says_why_in_a_line(monkeypatch, tmp_path):
  script = tmp_path / "worker.py"
  script.write_text("print('loading')\nraise RuntimeError('out of luck')\n")
  monkeypatch.setattr(predict_worker, "__file__", str(script))
  with pytest.raises(ValueError, match="code 1: .*out of luck") as error:
    predict_peers.ina_segments(
      sys.executable,
      predict_networks.ina(),
      np.zeros(16_000),
      num_threads=1,
      repeats=1,
    )
  assert "\n" not in str(error.value)


def test_the_first_run_does_not_count(monkeypatch):
  clock = iter([0.0, 5.0, 10.0, 12.0])  # after the first call: 5 s and 2 s
  monkeypatch.setattr(predict_worker.time, "perf_counter", lambda: next(clock))
  calls = iter("abc")
  answer = predict_worker.best_seconds(lambda: next(calls), 2)
  assert answer == (2.0, "c")


# ---- they run ----------------------------------------------------------------


def noise(seconds):
  random = np.random.default_rng(0)
  return (0.1 * random.standard_normal(seconds * 16_000)).astype(np.float32)


def python_of(name):
  found = os.environ.get(PYTHONS[name])
  if not found:
    pytest.skip(f"{PYTHONS[name]} names no interpreter")
  return found


@pytest.mark.large
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_runs(name, shared):
  if name in PYTHONS:
    python_of(name)
  lite = shared / "yamnet" / "yamnet_lite.tflite"
  peer = PEERS[name](Options(lite=str(lite)))
  assert peer.title and peer.note and peer.macs_per_second > 1e8
  spent = peer.seconds(noise(10), num_threads=1, repeats=1)
  # More would be 2,000 G multiply-adds per second: nothing was computed.
  assert 10 * peer.macs_per_second / 2e12 < spent < 600


@pytest.mark.large
def test_yamnet_in_tf_keras_is_yamnet(shared):
  """Ours and tf.signal's, with the same weights, give the same scores."""
  from yoho_tf import weights_h5
  from yoho_tf.models import yamnet

  python = python_of("yamnet_tf_keras")
  params = PRESETS["yamnet_audioset_relu6"]
  ours = yamnet.build(params)
  path = shared / "yamnet" / "yamnet_relu6.h5"
  weights_h5.load_weights(ours, path, activation=params.activation)
  network = yamnet.build(replace(params, input="log_mel"))
  tfmot.set_weights(network, tfmot.weights_of(ours))
  waveform = noise(3)[:-1234]
  _, scores = predict_peers.yamnet_scores(
    python, network, waveform, num_threads=1, repeats=1
  )
  expected = np.asarray(ours({"waveform": waveform[None]})["scores"])[0]
  assert scores.shape == expected.shape and expected.max() > 0.1
  np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.large
def test_the_segmenter_divides_the_whole_recording():
  python = python_of("ina_speech_segmenter")
  _, segments = predict_peers.ina_segments(
    python, predict_networks.ina(), noise(10), num_threads=1, repeats=1
  )
  assert segments[0, 0] == 0 and 9.9 < segments[-1, 1] <= 10
  np.testing.assert_allclose(segments[1:, 0], segments[:-1, 1])
