"""YAMNet: its size, its numbers, what it hears, and its time axis."""

import csv
import dataclasses
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import harness
from yoho_tf.events import EventTable
from yoho_tf.models import yamnet
from yoho_tf.params import PRESETS, YamnetParams

RATE = 16_000
FAMILIES = ("relu", "relu6")
TAILS = ("pad", "weight", "drop")


def preset(family, **changes):
  name = {"relu": "yamnet_audioset", "relu6": "yamnet_audioset_relu6"}[family]
  return dataclasses.replace(PRESETS[name], **changes)


def small(**changes):
  """A network of the same form and hardly any size."""
  return dataclasses.replace(yamnet.PARAMS, width=0.125, **changes)


def noise(num_samples, seed=0, level=0.3):
  random = np.random.default_rng(seed)
  return random.uniform(-level, level, num_samples).astype(np.float32)


def run(model, waveform):
  """{name: numpy} of one clip, without the batch axis."""
  outputs = harness.to_numpy(model({"waveform": waveform[None]}))
  return {name: value[0] for name, value in outputs.items()}


@pytest.fixture(scope="module")
def weights():
  return harness.synthetic_weights()


@pytest.fixture(scope="module", params=FAMILIES)
def synthetic(request, weights):
  """(family, network on patches) with synthetic weights."""
  params = preset(request.param, input="log_mel")
  return request.param, harness.assign(yamnet.build(params), weights)


@pytest.fixture(scope="module")
def small_model():
  return yamnet.build(small(num_classes=7))


# ---- size -------------------------------------------------------------------

# Output [height, width, channels], multiplies and kernel parameters per layer.
LAYERS = [
  ((48, 32, 32), 442_368, 288),
  ((48, 32, 64), 3_588_096, 2_336),
  ((24, 16, 128), 3_366_912, 8_768),
  ((24, 16, 128), 6_733_824, 17_536),
  ((12, 8, 256), 3_256_320, 33_920),
  ((12, 8, 256), 6_512_640, 67_840),
  ((6, 4, 512), 3_201_024, 133_376),
  *[((6, 4, 512), 6_402_048, 266_752)] * 5,
  ((3, 2, 1024), 3_173_376, 528_896),
  ((3, 2, 1024), 6_346_752, 1_057_792),
]


def convolutions(model, number):
  names = ("conv", "depthwise_conv", "pointwise_conv")
  names = [f"layer{number}_{name}" for name in names]
  present = {layer.name for layer in model.layers}
  return [model.get_layer(name) for name in names if name in present]


def test_totals_and_layer_table(synthetic):
  _, model = synthetic
  assert model.count_params() == 3_751_369
  trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
  assert trainable == 3_729_481
  total = 0
  for number, (shape, multiplies, kernels) in enumerate(LAYERS, start=1):
    parts = convolutions(model, number)
    assert parts[-1].output.shape[1:] == shape
    assert all(len(layer.weights) == 1 for layer in parts)  # no bias
    sizes = [int(np.prod(layer.kernel.shape)) for layer in parts]
    assert sum(sizes) == kernels
    places = [int(np.prod(layer.output.shape[1:3])) for layer in parts]
    assert sum(s * p for s, p in zip(sizes, places)) == multiplies
    total += multiplies
    for layer in parts:
      norm = model.get_layer(f"{layer.name}_bn")
      assert not norm.scale and norm.center
      assert (norm.epsilon, norm.momentum) == (1e-4, 0.99)
      assert model.get_layer(f"{layer.name}_relu")
  head = model.get_layer("logits")
  assert head.count_params() == 534_025
  assert total + int(np.prod(head.kernel.shape)) == 69_165_056


def test_activation_of_each_family(synthetic):
  family, model = synthetic
  tops = {
    layer.max_value
    for layer in model.layers
    if isinstance(layer, keras.layers.ReLU)
  }
  assert tops == {None if family == "relu" else 6.0}


# ---- numbers without a file -------------------------------------------------

# scores 0-3; scores 132, 494, 520; their sum; embeddings 1, 3; sum; maximum
GOLDENS = {
  "relu": (
    (0.129048, 0.173045, 0.172198, 0.086490),
    (0.140905, 0.173271, 0.097125),
    70.444,
    (0.664663, 0.479952),
    401.10,
    2.63996,
  ),
  "relu6": (
    (0.137251, 0.148248, 0.153313, 0.107233),
    (0.131415, 0.152630, 0.130773),
    66.107,
    (0.196831, 0.420575),
    254.29,
    1.82700,
  ),
}


def test_synthetic_weights_are_the_agreed_ones(weights):
  kernel = weights["layer1_conv"][0].ravel()[:3]
  np.testing.assert_allclose(kernel, [0.8315823, 0.1886359, 0.4613815], 1e-6)
  assert weights["logits"][1][0] == pytest.approx(-1.8323262, abs=1e-6)
  assert sum(len(arrays) for arrays in weights.values()) == 110


def test_synthetic_goldens(synthetic):
  family, model = synthetic
  patch = np.linspace(-7, 5, 6144).reshape(1, 96, 64).astype(np.float32)
  got = harness.check_model(
    model,
    {"log_mel": patch},
    outputs={"scores": (1, 521), "embeddings": (1, 1024)},
  )
  scores, embeddings = got["scores"][0], got["embeddings"][0]
  first, some, total, two, total_embedding, highest = GOLDENS[family]
  close = dict(rtol=0, atol=1e-4)
  np.testing.assert_allclose(scores[:4], first, **close)
  np.testing.assert_allclose(scores[[132, 494, 520]], some, **close)
  np.testing.assert_allclose(embeddings[[1, 3]], two, **close)
  assert embeddings.max() == pytest.approx(highest, abs=1e-4)
  assert scores.sum() == pytest.approx(total, abs=1e-2)
  assert embeddings.sum() == pytest.approx(total_embedding, abs=1e-2)


def test_goldens_hold_under_jax(repository):
  """The same tests again, in a process with the other backend."""
  pytest.importorskip("jax")
  if keras.backend.backend() == "jax":
    pytest.skip("this is that process")
  front = "tests/layers/test_frontend.py"
  chosen = [
    "tests/models/test_yamnet.py::test_synthetic_goldens",
    f"{front}::test_log_mel_goldens",
    f"{front}::test_yoho_dialect_equals_float64_reference",
  ]
  options = ["-q", "-p", "no:cacheprovider", "--no-header"]
  settings = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles in two thirds the time
  }
  done = subprocess.run(
    [sys.executable, "-m", "pytest", *options, *chosen],
    cwd=repository,
    env={**os.environ, **settings},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  assert re.search(r"\b6 passed", done.stdout), done.stdout


# ---- the model as an object -------------------------------------------------


@pytest.mark.parametrize(
  ("samples", "frames", "patches"),
  [
    (100, 96, 1),
    (15_600, 96, 1),
    (15_601, 144, 2),
    (16_000, 144, 2),
    (23_281, 192, 3),
    (48_000, 336, 6),
    (160_000, 1_008, 20),
  ],
)
def test_names_and_shapes(small_model, samples, frames, patches):
  harness.check_model(
    small_model,
    {"waveform": np.stack([noise(samples), np.zeros(samples, np.float32)])},
    outputs={
      "scores": (2, patches, 7),
      "embeddings": (2, patches, 128),
      "log_mel": (2, frames, 64),
    },
  )


def test_patches_are_the_cut_model_on_slices_of_the_log_mel(small_model):
  cut = yamnet.build(small(num_classes=7, input="log_mel"))
  harness.copy_weights(small_model, cut)
  whole = run(small_model, noise(48_000))
  patches = [whole["log_mel"][p * 48 : p * 48 + 96] for p in range(6)]
  alone = harness.to_numpy(cut({"log_mel": np.stack(patches)}))
  for name, value in alone.items():
    np.testing.assert_allclose(whole[name], value, rtol=0, atol=1e-6)


def test_patch_hop_of_the_reference_notebook():
  params = small(num_classes=3, patch_hop_seconds=0.1)
  assert (params.patch_hop_samples, params.patch_hop_frames) == (1_600, 10)
  harness.check_model(
    yamnet.build(params),
    {"waveform": noise(16_000)[None]},
    outputs={
      "scores": (1, 2, 3),
      "embeddings": (1, 2, 128),
      "log_mel": (1, 106, 64),
    },
  )


@pytest.mark.parametrize("input_name", ["waveform", "log_mel"])
def test_saved_model_gives_the_same_numbers(input_name, tmp_path, small_model):
  model = small_model
  inputs = {"waveform": noise(20_000)[None]}
  if input_name == "log_mel":
    model = yamnet.build(small(num_classes=7, input="log_mel"))
    inputs = {"log_mel": noise(2 * 6144).reshape(2, 96, 64)}
  harness.check_saving(model, inputs, tmp_path)


def test_graph_of_unknown_sizes_equals_eager(small_model):
  if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.function is TensorFlow's")
  tf = pytest.importorskip("tensorflow")

  @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32)])
  def graph(waveform):
    return small_model({"waveform": waveform})

  for rows, samples in ((1, 1), (2, 15_600), (3, 23_281)):
    waveform = np.stack([noise(samples, seed) for seed in range(rows)])
    eager = harness.to_numpy(small_model({"waveform": waveform}))
    for name, value in harness.to_numpy(graph(waveform)).items():
      np.testing.assert_allclose(value, eager[name], rtol=0, atol=1e-5)


def test_mixed_precision_spares_the_front_end_and_the_scores(small_model):
  params = small(num_classes=7)
  with harness.dtype_policy("mixed_float16"):
    mixed = yamnet.build(params)
  assert mixed.get_layer("layer2_pointwise_conv").compute_dtype == "float16"
  harness.copy_weights(small_model, mixed)
  clip = noise(16_000, level=1e-4)  # float16 would lose much of it
  got, expected = run(mixed, clip), run(small_model, clip)
  assert {value.dtype for value in got.values()} == {np.dtype(np.float32)}
  np.testing.assert_allclose(got["log_mel"], expected["log_mel"], atol=1e-5)
  np.testing.assert_allclose(got["scores"], expected["scores"], atol=2e-2)


# ---- batches ----------------------------------------------------------------


def test_every_row_of_a_batch_equals_the_clip_alone(weights):
  params = preset("relu6")
  model = harness.assign(yamnet.build(params), weights)
  lengths = (9_000, 16_000, 33_333, 48_000)
  clips = [noise(n, seed, 0.2) for seed, n in enumerate(lengths)]
  clips[-1] *= 5  # a loud neighbour, and it is not padded
  batch = np.stack([np.pad(c, (0, max(lengths) - len(c))) for c in clips])
  together = harness.to_numpy(model({"waveform": batch}))
  for row, clip in enumerate(clips):
    seconds = len(clip) / RATE
    outputs = {name: value[row] for name, value in together.items()}
    tags = yamnet.decode(outputs, params, duration_seconds=seconds)
    alone = yamnet.decode(run(model, clip), params, duration_seconds=seconds)
    assert len(tags.scores) == params.num_patches(len(clip))
    for name in ("scores", "embeddings", "clip_scores", "start", "end"):
      np.testing.assert_allclose(
        getattr(tags, name), getattr(alone, name), rtol=0, atol=1e-5
      )


# ---- params -----------------------------------------------------------------


def test_params_in_samples_and_frames():
  params = YamnetParams()
  front = params.frontend
  assert (front.stft_window_samples, front.stft_hop_samples) == (400, 160)
  assert front.fft_length == 512
  assert (params.patch_frames, params.patch_hop_frames) == (96, 48)
  assert (params.min_samples, params.patch_hop_samples) == (15_600, 7_680)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"patch_hop_seconds": 0.484}, "patch_hop_seconds.*whole.*0.484 s"),
    ({"patch_hop_seconds": 0.0}, "patch_hop_seconds.*at least one STFT hop"),
    ({"patch_hop_seconds": 0.97}, "patch_hop_seconds.*at most.*0.96"),
    ({"activation": "gelu"}, "activation must be one of relu, relu6"),
    ({"labels": ("a", "b")}, "labels must have num_classes=521 rows.*2"),
    ({"tail": "none"}, "tail must be one of weight, pad, drop"),
    ({"width": 0.0}, "width must be > 0"),
  ],
)
def test_params_that_cannot_work_are_errors(changes, message):
  with pytest.raises(ValueError, match=message):
    YamnetParams(**changes)


# ---- events and tags --------------------------------------------------------

LABELS = ("Bird", "Dog", "Rain")
THREE = YamnetParams(labels=LABELS, num_classes=3)


def edges_of(num_samples):
  """Cell edges: 0, then every 0.48 s from 0.72 s, then the clip's end."""
  patches = 1 + max(0, -(-(num_samples - 15_600) // 7_680))
  inner = [0.72 + 0.48 * p for p in range(patches - 1)]
  return np.array([0.0, *inner, num_samples / RATE])


@given(st.integers(1, 160_000), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_decode_of_encode_gives_the_events_back(num_samples, random):
  edges = edges_of(num_samples)
  rows = []
  for label in LABELS:
    first = random.randrange(len(edges))
    while first < len(edges) - 1:
      last = random.randint(first + 1, len(edges) - 1)
      rows.append((edges[first], edges[last], label))
      first = last + random.randint(1, 4)  # a gap of one cell or more
  events = EventTable.from_rows(rows).sort()
  seconds = num_samples / RATE
  targets = yamnet.encode(events, THREE, duration_seconds=seconds)
  assert targets.shape == (len(edges) - 1, 3)
  assert targets.dtype == np.float32
  tags = yamnet.decode({"scores": targets}, THREE, duration_seconds=seconds)
  np.testing.assert_allclose(tags.frame_scores()[1], edges, atol=1e-9)
  again = tags.events()
  assert again.label.tolist() == events.label.tolist()
  np.testing.assert_allclose(again.start, events.start, atol=1e-9)
  np.testing.assert_allclose(again.end, events.end, atol=1e-9)
  assert (again.score == 1).all()


def test_encode_wants_half_a_cell_or_the_centre():
  def cells(start, end):
    events = EventTable.from_rows([(start, end, "Dog")])
    targets = yamnet.encode(events, THREE, duration_seconds=3.0)
    assert not targets[:, [0, 2]].any()
    return np.flatnonzero(targets[:, 1]).tolist()

  assert cells(0.72, 1.20) == [1]
  assert cells(0.96, 1.43) == [1]  # exactly half of cell 1, less of cell 2
  assert cells(0.97, 1.44) == [2]
  assert cells(0.9, 0.91) == [1]  # short, but it holds the centre
  assert cells(1.19, 1.22) == [2]
  assert cells(0.0, 3.0) == [0, 1, 2, 3, 4, 5]
  assert cells(2.99, 3.0) == [5]
  assert cells(2.4, 9.0) == [4, 5]  # cut by the clip's end
  for row, message in (
    ((0, 1, "Cat"), "events must have labels.*'Cat'"),
    ((3, 4, "Dog"), "events must start before the clip's end, 3 s.*'Dog' 3-4"),
  ):
    events = EventTable.from_rows([row])
    with pytest.raises(ValueError, match=message):
      yamnet.encode(events, THREE, duration_seconds=3.0)


def test_tags_carry_times_and_fractions():
  scores = np.linspace(0, 1, 18).reshape(6, 3).astype(np.float32)
  embeddings = np.arange(12, dtype=np.float32).reshape(1, 6, 2)
  outputs = {"scores": scores[None], "embeddings": embeddings}
  tags = yamnet.decode(
    outputs, THREE, duration_seconds=3.0, filename="a.wav", model="m"
  )
  assert (tags.filename, tags.model, tags.labels) == ("a.wav", "m", LABELS)
  np.testing.assert_array_equal(tags.scores, scores)
  np.testing.assert_array_equal(tags.embeddings, embeddings[0])
  np.testing.assert_allclose(tags.start, 0.48 * np.arange(6))
  np.testing.assert_allclose(tags.end[:5], 0.48 * np.arange(5) + 0.96)
  assert tags.end[5] == 3.0
  np.testing.assert_allclose(tags.valid_fraction[:5], 1)
  assert tags.valid_fraction[5] == pytest.approx(0.615, abs=5e-4)
  assert [name for name, _ in tags.top(2)] == ["Rain", "Dog"]
  assert tags.top(1)[0][1] == pytest.approx(tags.clip_scores[2])
  found = tags.events(threshold=0.9)
  assert list(found.label) == ["Dog", "Rain"]  # .94 and 1, in the last cell
  np.testing.assert_allclose(found.start, [2.64, 2.64])
  np.testing.assert_allclose(found.end, [3.0, 3.0])

  whole = yamnet.decode(outputs, THREE)
  assert whole.duration_seconds == pytest.approx((15_600 + 5 * 7_680) / RATE)
  np.testing.assert_array_equal(whole.valid_fraction, 1)
  short = yamnet.decode(outputs, THREE, duration_seconds=1.0)
  assert short.scores.shape == (2, 3) and short.embeddings.shape == (2, 2)
  with pytest.raises(ValueError, match="scores must have 20 patches.*6"):
    yamnet.decode(outputs, THREE, duration_seconds=10.0)
  unnamed = dataclasses.replace(THREE, labels=())
  assert yamnet.decode(outputs, unnamed).labels == ("0", "1", "2")


def clip_scores(scores, fraction, **changes):
  params = dataclasses.replace(THREE, num_classes=1, labels=(), **changes)
  column = np.array(scores, np.float32)[:, None]
  return float(yamnet.clip_scores(column, np.array(fraction), params)[0])


def test_tails_and_aggregation_by_hand():
  two, half = (0.2, 0.8), (1.0, 0.25)
  assert clip_scores(two, half, tail="pad") == pytest.approx(0.5)
  assert clip_scores(two, half, tail="weight") == pytest.approx(0.4 / 1.25)
  assert clip_scores(two, half, tail="drop") == pytest.approx(0.2)
  assert clip_scores(two, (1, 0.5), tail="drop") == pytest.approx(0.5)
  for tail in TAILS:  # the only patch always counts
    assert clip_scores((0.7,), (0.01,), tail=tail) == pytest.approx(0.7)
  full = (1.0, 1.0)
  soft = clip_scores(two, full, aggregation="linear_softmax")
  assert soft == pytest.approx(0.68)
  assert clip_scores(two, full, aggregation="max") == pytest.approx(0.8)
  assert clip_scores((0, 0), full, aggregation="linear_softmax") == 0


def test_loss_is_cross_entropy_of_logits():
  random = np.random.default_rng(0)
  logits = random.normal(0, 3, (2, 4, 3)).astype(np.float32)
  targets = random.integers(0, 2, logits.shape).astype(np.float32)
  scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
  error = -np.where(targets > 0, np.log(scores), np.log(1 - scores))
  loss = yamnet.loss(THREE)
  assert float(loss(targets, logits)) == pytest.approx(error.mean(), abs=1e-6)
  unknown = np.ones_like(logits)
  unknown[0, 1] = 0  # nobody listened to these
  logits[0, 1] = 100
  weighted = float(loss(targets, logits, sample_weight=unknown))
  assert weighted == pytest.approx((error * unknown).mean(), abs=1e-6)
  extreme = np.array([[1e4, -1e4]], np.float32)
  assert float(loss(np.array([[1.0, 0.0]]), extreme)) == 0
  assert np.isfinite(float(loss(np.array([[0.0, 1.0]]), extreme)))
  twin = keras.losses.deserialize(keras.losses.serialize(loss))
  assert type(twin) is type(loss)


# ---- what trained weights hear ----------------------------------------------


@pytest.fixture(scope="module")
def data(shared):
  folder = shared / "yamnet"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data/yamnet")
  return folder


@pytest.fixture(scope="module")
def names(data):
  with open(data / "yamnet_class_map.csv", newline="") as file:
    return tuple(row["display_name"] for row in csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(data, names):
  """{family: (params, model)} with the weights of the test data."""
  from yoho_tf.weights_h5 import load_weights

  models = {}
  for family, file in zip(FAMILIES, ("yamnet_layout.h5", "yamnet_relu6.h5")):
    params = preset(family, labels=names)
    model = yamnet.build(params)
    load_weights(model, data / file, activation=family)
    models[family] = params, model
  return models


@pytest.fixture(scope="module")
def heard(trained):
  """{family: {signal: outputs}} of three seconds each."""
  t = np.arange(3 * RATE) / RATE
  signals = {
    "zeros": np.zeros(3 * RATE),
    "noise": np.random.RandomState(51773).uniform(-1, 1, 3 * RATE),
    "sine": np.sin(2 * np.pi * 440 * t),
  }
  batch = np.stack(list(signals.values())).astype(np.float32)
  found = {}
  for family, (_, model) in trained.items():
    outputs = harness.to_numpy(model({"waveform": batch}))
    found[family] = {
      signal: {name: value[row] for name, value in outputs.items()}
      for row, signal in enumerate(signals)
    }
  return found


def tags_of(trained, heard, family, signal, tail="pad"):
  params = dataclasses.replace(trained[family][0], tail=tail)
  return yamnet.decode(heard[family][signal], params, duration_seconds=3.0)


BEHAVIOUR = {
  ("relu", "zeros"): {"Silence": 1.0},
  ("relu", "noise"): {"White noise": 0.336, "Noise": 0.278, "Static": 0.173},
  ("relu", "sine"): {
    "Telephone": 0.995,
    "Dial tone": 0.982,
    "Busy signal": 0.980,
    "Alarm": 0.951,
    "Sidetone": 0.069,
    "Sine wave": 0.035,
  },
  ("relu6", "zeros"): {"Silence": 0.789},
  ("relu6", "noise"): {"Static": 0.508, "White noise": 0.281, "Noise": 0.275},
  ("relu6", "sine"): {"Sine wave": 0.958, "Busy signal": 0.105},
}


@pytest.mark.parametrize(("family", "signal"), BEHAVIOUR)
def test_silence_noise_and_tone(trained, heard, family, signal):
  tags = tags_of(trained, heard, family, signal)
  assert len(tags.scores) == 6
  expected = BEHAVIOUR[family, signal]
  top = tags.top(10)
  assert [name for name, _ in top[: len(expected)]] == list(expected)
  for (_, score), golden in zip(top, expected.values()):
    assert score == pytest.approx(golden, abs=0.03)


def test_the_wrong_activation_would_go_unnoticed(trained, heard, names):
  """Why families are compared: relu weights under ReLU6 sound plausible."""
  params, model = trained["relu"]
  wrong = yamnet.build(dataclasses.replace(params, activation="relu6"))
  harness.copy_weights(model, wrong)
  waveform = np.random.RandomState(51773).uniform(-1, 1, 3 * RATE)
  scores = run(wrong, waveform.astype(np.float32))["scores"].mean(axis=0)
  assert names[scores.argmax()] == "White noise"
  assert scores.max() == pytest.approx(0.48, abs=0.03)


def test_three_tails(trained, heard, names):
  goldens = {"pad": 0.3361, "weight": 0.3559, "drop": 0.3361}
  for tail, golden in goldens.items():
    tags = tags_of(trained, heard, "relu", "noise", tail)
    assert len(tags.scores) == 6  # all patches are kept, whatever the tail
    assert dict(tags.top(1)) == {"White noise": pytest.approx(golden, abs=1e-3)}
  assert tags.valid_fraction[-1] == pytest.approx(0.615, abs=5e-4)
  full = tags.scores[:5, names.index("White noise")].mean()
  assert full == pytest.approx(0.3938, abs=1e-3)


def quiet_sine():
  """One second of 440 Hz whose phase was computed in float32.

  The rounding of the phase is heard: it lies above the log offset. With a
  float64 phase "Sidetone" would be 0.06 instead of 0.13.
  """
  t = np.arange(RATE, dtype=np.float32) / np.float32(RATE)
  return np.float32(0.5) * np.sin(np.float32(2 * np.pi * 440) * t)


# Scores of the first patch under the published yamnet.h5 (bherila's
# sinus-sentinel), and under the 8-bit copy in the test data.
SINE_GOLDENS = {
  "Telephone": (0.990763, 0.9900),
  "Dial tone": (0.985571, 0.9845),
  "Busy signal": (0.972617, 0.9713),
  "Alarm": (0.929680, 0.9239),
  "Sidetone": (0.147160, 0.1262),
}


def test_five_goldens_of_a_sine(trained, names):
  scores = run(trained["relu"][1], quiet_sine())["scores"][0]
  for label, (published, copied) in SINE_GOLDENS.items():
    score = scores[names.index(label)]
    assert score == pytest.approx(published, abs=0.03), label
    assert score == pytest.approx(copied, abs=2e-3), label


@pytest.mark.large
def test_five_goldens_with_the_published_file(data, names):
  from yoho_tf.weights_h5 import load_weights

  path = data / "yamnet.h5"
  if not path.is_file():
    pytest.skip("test data absent: ../shared/data/yamnet/yamnet.h5")
  model = yamnet.build(preset("relu"))
  load_weights(model, path, activation="relu")
  scores = run(model, quiet_sine())["scores"][0]
  for label, (published, _) in SINE_GOLDENS.items():
    assert scores[names.index(label)] == pytest.approx(published, abs=1e-3)


def test_speech_is_heard(trained, data, names):
  fixture = np.load(data / "coral_spectra.npz")
  waveform = fixture["audio"].astype(np.float32) / 32768
  for family, golden in (("relu", 0.995), ("relu6", 0.966)):
    outputs = run(trained[family][1], waveform)
    assert outputs["scores"].shape == (1, 521)
    assert names[outputs["scores"][0].argmax()] == "Speech"
    assert outputs["scores"][0].max() == pytest.approx(golden, abs=0.03)
  cut = yamnet.build(preset("relu6", input="log_mel"))
  harness.copy_weights(trained["relu6"][1], cut)
  scores = harness.to_numpy(cut({"log_mel": fixture["spectrogram"][None]}))
  assert scores["scores"][0, names.index("Speech")] == pytest.approx(
    0.945, abs=0.02
  )


# ---- against the official Lite file -----------------------------------------


@pytest.fixture(scope="module")
def lite(data):
  """The official model: float32 [15600] -> scores [521]."""
  litert = pytest.importorskip("ai_edge_litert.interpreter")
  interpreter = litert.Interpreter(str(data / "yamnet_lite.tflite"))
  interpreter.allocate_tensors()
  put = interpreter.get_input_details()[0]
  get = interpreter.get_output_details()[0]
  assert put["shape"].tolist() == [15_600]

  def scores(waveform):
    interpreter.set_tensor(put["index"], waveform)
    interpreter.invoke()
    return interpreter.get_tensor(get["index"])[0].copy()

  return scores


def clips_of(folder):
  """The first patch of one or two recordings of every class on the list."""
  import soundfile

  with open(folder / "manifest.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  chosen = {}
  for row in rows:
    if row["role"] in ("event", "background", "speech", "music"):
      paths = chosen.setdefault((row["role"], row["class"]), [])
      if len(paths) < 2 and (folder / row["path"]).is_file():
        paths.append(folder / row["path"])
  clips = []
  for path in sum(chosen.values(), []):
    waveform, rate = soundfile.read(path, frames=15_600, dtype="float32")
    assert rate == RATE and waveform.ndim == 1
    clips.append(np.pad(waveform, (0, 15_600 - len(waveform))))
  return np.stack(clips)


def test_relu6_equals_the_lite_model_on_real_clips(trained, lite, shared):
  if not (shared / "audio" / "manifest.csv").is_file():
    pytest.skip("test data absent: ../shared/data/audio")
  clips = clips_of(shared / "audio")
  assert len(clips) >= 40
  theirs = np.stack([lite(clip) for clip in clips])
  model = trained["relu6"][1]
  ours = np.concatenate(
    [
      harness.to_numpy(model({"waveform": part})["scores"])[:, 0]
      for part in np.array_split(clips, 4)
    ]
  )
  difference = np.abs(ours - theirs)
  agree = ours.argmax(axis=1) == theirs.argmax(axis=1)
  print(
    f"{len(clips)} clips: largest difference {difference.max():.4f}, mean "
    f"{difference.mean():.5f}, same best class {agree.mean():.3f}"
  )
  assert difference.max() <= 0.12  # eight-bit activations: steps of 6 / 255
  assert difference.mean() <= 1e-3
  assert agree.mean() >= 0.8
  # Where the best class differs, the Lite file's scores are nearly a draw.
  rows = np.arange(len(clips))
  behind = theirs.max(axis=1) - theirs[rows, ours.argmax(axis=1)]
  assert behind.max() <= 0.1


def test_relu6_equals_the_lite_model_on_signals(trained, lite, data, names):
  speech = np.load(data / "coral_spectra.npz")["audio"] / 32768
  signals = {
    "zeros": (np.zeros(3 * RATE), {"Silence": 0.80}),
    "noise": (
      np.random.RandomState(51773).uniform(-1, 1, 3 * RATE),
      {"Static": 0.55, "White noise": 0.27},
    ),
    "sine": (
      np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE),
      {"Sine wave": 0.996},
    ),
    "speech": (speech, {"Speech": 0.957}),
  }
  for waveform, expected in signals.values():
    clips = waveform.astype(np.float32)[: len(waveform) // 15_600 * 15_600]
    clips = clips.reshape(-1, 15_600)  # the Lite file's own windows
    theirs = np.stack([lite(clip) for clip in clips])
    outputs = trained["relu6"][1]({"waveform": clips})
    ours = harness.to_numpy(outputs["scores"])[:, 0]
    assert np.abs(ours - theirs).max() <= 0.12
    for scores in (ours, theirs):
      assert names[scores.mean(axis=0).argmax()] == next(iter(expected))
    for label, golden in expected.items():
      score = theirs[:, names.index(label)].mean()
      assert score == pytest.approx(golden, abs=0.03), label
