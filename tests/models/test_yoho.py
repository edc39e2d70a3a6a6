"""YOHO's network: sizes, reach, lattices, exact stitching, saving."""

import functools
import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from yoho_tf import windows
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, YohoInferenceParams

SMALL = replace(PRESETS["yoho_everyday_small"], input="log_mel")
PAPER = ("yoho_music_speech", "yoho_tut2017", "yoho_urban_sed")
SIXTEEN = PRESETS["yoho_urban"].labels

# Per layer: kernels (depthwise, pointwise), BatchNorm values (yoho.md 1).
LAYERS = [
  (288, 96),
  (288 + 2_048, 96 + 192),
  (576 + 8_192, 192 + 384),
  (1_152 + 16_384, 384 + 384),
  (1_152 + 32_768, 384 + 768),
  (2_304 + 65_536, 768 + 768),
  (2_304 + 131_072, 768 + 1_536),
  *[(4_608 + 262_144, 1_536 + 1_536)] * 5,
  (4_608 + 524_288, 1_536 + 3_072),
  (9_216 + 1_048_576, 3_072 + 3_072),
  (9_216 + 524_288, 3_072 + 1_536),
  (4_608 + 131_072, 1_536 + 768),
  (2_304 + 32_768, 768 + 384),
]


@functools.cache
def network(name):
  """The full-size network of a preset; ours with 16 classes."""
  params = PRESETS[name]
  if name not in PAPER:
    params = replace(params, labels=SIXTEEN, input="log_mel")
  return yoho.build(params)


def size(variables):
  return sum(int(np.prod(v.shape)) for v in variables)


def layer_output(model, number):
  kind = "conv" if number == 1 else "pointwise_conv"
  return model.get_layer(f"layer{number}_{kind}_relu").output


def randomise(model, seed=0):
  """Random weights that keep signals alive through 33 convolutions."""
  rng = np.random.default_rng(seed)
  for layer in model.layers:
    new = []
    for v in layer.weights:
      if "kernel" in v.name:
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        fan_in = np.prod(v.shape[:2] if depthwise else v.shape[:-1])
        new.append(rng.normal(size=v.shape) * np.sqrt(2 / fan_in))
      elif "variance" in v.name:
        new.append(rng.uniform(0.5, 1.5, v.shape))
      else:
        new.append(rng.normal(size=v.shape) * 0.2)
    layer.set_weights(new)
  return model


@pytest.fixture(scope="module")
def small():
  return randomise(yoho.build(SMALL))


def cells_of(model, **inputs):
  """`events` of one recording, `[cells, classes, 3]`."""
  inputs = {key: value[None] for key, value in inputs.items()}
  return np.asarray(model(inputs, training=False)["events"])[0]


def noise_log_mel(rng, cells):
  return rng.normal(size=(32 * cells, 64)).astype("float32") * 1.5


# ---- sizes ------------------------------------------------------------------


@pytest.mark.parametrize(
  "name, total, trainable",
  [
    ("yoho_music_speech", 3_931_206, 3_903_942),
    ("yoho_tut2017", 3_934_290, 3_907_026),
    ("yoho_urban_sed", 3_937_374, 3_910_110),
    ("yoho_everyday", 3_942_000, 3_914_736),
    ("yoho_everyday_medium", 1_014_096, 1_000_464),
    ("yoho_everyday_small", 267_840, 261_024),
  ],
)
def test_parameter_totals(name, total, trainable):
  model = network(name)
  assert model.count_params() == total
  assert size(model.trainable_variables) == trainable
  if PRESETS[name].width == 1:
    assert size(model.non_trainable_weights) == 27_264
  # head = 3 N K (256 width + 1)
  width, classes = PRESETS[name].width, len(SIXTEEN)
  if name in PAPER:
    classes = len(PRESETS[name].labels)
  head = model.get_layer("head")
  assert head.count_params() == 3 * classes * (256 * width + 1)


def test_parameters_of_every_layer():
  model = network("yoho_music_speech")
  for number, (kernels, norms) in enumerate(LAYERS, start=1):
    own = [x for x in model.layers if x.name.startswith(f"layer{number}_")]
    is_norm = keras.layers.BatchNormalization
    got = (
      sum(x.count_params() for x in own if not isinstance(x, is_norm)),
      sum(x.count_params() for x in own if isinstance(x, is_norm)),
    )
    assert got == (kernels, norms), number
  assert sum(k for k, _ in LAYERS) == 3_888_768
  assert sum(n for _, n in LAYERS) == 40_896
  heads = [network(name).get_layer("head").count_params() for name in PAPER]
  assert heads == [1_542, 4_626, 7_710]


@pytest.mark.parametrize(
  "name, frames, time, bands",
  [
    ("yoho_music_speech", (801, 64), (401, 201, 101, 51, 26), (32, 16, 8, 4)),
    ("yoho_tut2017", (257, 40), (129, 65, 33, 17, 9), (20, 10, 5, 3)),
    ("yoho_urban_sed", (1001, 40), (501, 251, 126, 63, 32), (20, 10, 5, 3)),
  ],
)
def test_grids_of_the_paper(name, frames, time, bands):
  model, params = network(name), PRESETS[name]
  assert model.get_layer("log_mel").output.shape == (None, *frames)
  grids = [*zip(time, (*bands, 2))]
  # Stride 2 in layers 1, 3, 5, 7 and 13.
  stage = [0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4]
  channels = [c for _, _, c in yoho.TABLE]
  for number, s in enumerate(stage, start=1):
    shape = (None, *grids[s], channels[number - 1])
    assert layer_output(model, number).shape == shape, number
  classes = len(params.labels)
  assert model.get_layer("head").output.shape[1:3] == (time[-1], 1)
  for key in ("events", "event_logits"):
    assert model.output[key].shape == (None, time[-1], classes, 3)


def multiplies(model, bands, frames):
  """Multiply-adds of the convolutions for one `[frames, bands]`."""
  total = 0
  for layer in model.layers:
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    if isinstance(layer, kinds):
      if max(layer.strides) > 1:
        frames, bands = -(-frames // 2), -(-bands // 2)
      columns = 1 if layer.name == "head" else bands
      total += size(layer.weights[:1]) * frames * columns
  return total


@pytest.mark.parametrize(
  "name, millions",
  [
    ("yoho_everyday", 75.9),
    ("yoho_everyday_medium", 19.7),
    ("yoho_everyday_small", 5.3),
  ],
)
def test_multiplies_per_second(name, millions):
  per_second = multiplies(network(name), 64, 3200) / 32
  assert abs(per_second / 1e6 - millions) < 0.06


def test_multiplies_of_a_paper_window():
  total = multiplies(network("yoho_music_speech"), 64, 801)
  assert abs(total / 1e6 - 619) < 1


def test_slots_widen_the_last_axis():
  model = yoho.build(replace(SMALL, slots=2, width=1 / 32))
  assert model.output["events"].shape[2:] == (8, 6)


@pytest.mark.parametrize(
  "name, first, pointwise, dropout_layers",
  [
    ("yoho_music_speech", 0, 0, []),
    ("yoho_tut2017", 1e-3, 1e-2, [*range(2, 18)]),
    ("yoho_urban_sed", 1e-3, 1e-2, [*range(2, 18)]),
    ("yoho_everyday", 0, 0, [15, 16, 17]),
  ],
)
def test_regularisation(name, first, pointwise, dropout_layers):
  model = network(name)
  drops = [x for x in model.layers if x.name.endswith("_drop")]
  assert [x.name for x in drops] == [f"layer{n}_drop" for n in dropout_layers]
  assert all(x.rate == 0.1 for x in drops)
  for layer in model.layers:
    factor = getattr(getattr(layer, "kernel_regularizer", None), "l2", 0)
    wanted = 0
    if layer.name == "layer1_conv":
      wanted = first
    elif layer.name.endswith("pointwise_conv"):
      wanted = pointwise
    assert abs(float(factor or 0) - wanted) < 1e-9, layer.name
    norm = isinstance(layer, keras.layers.BatchNormalization)
    momentum = 0.99 if name in PAPER else 0.9
    assert not norm or (layer.epsilon, layer.scale) == (1e-4, False)
    assert not norm or layer.momentum == momentum


# ---- head and reach ---------------------------------------------------------


def test_head_is_the_papers_flatten_and_conv1d(small):
  features = keras.Model(small.input, layer_output(small, 17))
  x = noise_log_mel(np.random.default_rng(0), 20)[None]
  maps = np.asarray(features({"log_mel": x}))  # [1, 20, 2, 32]
  kernel, bias = small.get_layer("head").get_weights()
  conv = keras.layers.Conv1D(kernel.shape[-1], 1)
  flat = maps.reshape(1, 20, -1)  # band-major, then channel
  conv.build(flat.shape)
  conv.set_weights([kernel.reshape(1, -1, kernel.shape[-1]), bias])
  expected = np.asarray(keras.ops.sigmoid(conv(flat))).reshape(1, 20, 8, 3)
  got = np.asarray(small({"log_mel": x})["events"])
  np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def frames_seen(params, frames, cell):
  """Frames with a gradient: all weights positive, so that none cancels."""
  import tensorflow as tf

  model = yoho.build(params)
  for layer in model.layers:
    new = []
    for v in layer.weights:
      if "kernel" in v.name:
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        fan_in = np.prod(v.shape[:2] if depthwise else v.shape[:-1])
        new.append(np.full(v.shape, 1 / fan_in))
      else:
        new.append(np.full(v.shape, float("variance" in v.name)))
    layer.set_weights(new)
  x = tf.ones((1, frames, params.frontend.mel_bands))
  with tf.GradientTape() as tape:
    tape.watch(x)
    logits = model({"log_mel": x}, training=False)["event_logits"]
    target = tf.reduce_sum(logits[0, cell])
  seen = np.abs(tape.gradient(target, x).numpy()[0]).max(axis=1) > 0
  return np.flatnonzero(seen)


def test_reach_of_a_cell_on_the_stride_lattice():
  params = replace(SMALL, width=1 / 32)
  for cell in (8, 11):
    expected = np.arange(32 * cell - 222, 32 * cell + 285)
    assert len(expected) == 507  # 5.07 s
    np.testing.assert_array_equal(frames_seen(params, 640, cell), expected)


def test_reach_of_a_cell_of_the_paper():
  params = replace(PRESETS["yoho_music_speech"], width=1 / 32, input="log_mel")
  seen = frames_seen(params, 801, 13)
  assert len(seen) == 507 == seen[-1] - seen[0] + 1


# ---- the stride lattice -----------------------------------------------------


def test_same_weights_on_any_length(small):
  waveform_model = yoho.build(replace(SMALL, input="waveform"))
  waveform_model.set_weights(small.get_weights())
  rng = np.random.default_rng(1)
  waveform = (rng.normal(size=60 * 16_000) * 0.1).astype("float32")
  outputs = {
    seconds: cells_of(waveform_model, waveform=waveform[: int(seconds * 16e3)])
    for seconds in (1, 7.3, 60)
  }
  assert [len(v) for v in outputs.values()] == [4, 23, 188]
  # 8 cells from its end on, the short clip is the beginning of the long one.
  np.testing.assert_allclose(
    outputs[7.3][:14], outputs[60][:14], rtol=0, atol=1e-5
  )
  assert len(cells_of(waveform_model, waveform=waveform[:1])) == 1
  # Shifted by k cells of 5,120 samples: the same cells, k earlier.
  for k in (1, 5):
    shifted = cells_of(waveform_model, waveform=waveform[k * 5120 : 30 * 5120])
    np.testing.assert_allclose(
      shifted[7 : 22 - k], outputs[60][7 + k : 22], rtol=0, atol=1e-5
    )
  # Half a cell is another phase of the lattice: not the same cells.
  half = cells_of(waveform_model, waveform=waveform[2560 : 30 * 5120])
  assert np.abs(half[7:21] - outputs[60][7:21]).max() > 1e-3


def test_frames_must_fill_the_cells(small):
  with pytest.raises(ValueError, match="multiple of 32 frames; received 33"):
    small({"log_mel": np.zeros((1, 33, 64), "float32")})


def stitched(model, log_mel, plan):
  kept = []
  for window in plan:
    part = log_mel[32 * window.start_cell : 32 * window.end_cell]
    first = window.start_cell
    cells = cells_of(model, log_mel=part)
    kept.append(cells[window.keep_start - first : window.keep_end - first])
  return np.concatenate(kept)


def test_stitched_windows_equal_one_pass(small):
  rng = np.random.default_rng(2)
  for _ in range(4):
    num_cells = int(rng.integers(1, 90))
    window_cells = int(rng.integers(17, 60))
    log_mel = noise_log_mel(rng, num_cells)
    plan = windows.plan_windows(num_cells, window_cells=window_cells)
    np.testing.assert_allclose(
      stitched(small, log_mel, plan),
      cells_of(small, log_mel=log_mel),
      rtol=0,
      atol=1e-5,
    )


def test_stitching_below_the_reach_is_not_exact(small):
  """The margins are needed: the test above could fail."""
  log_mel = noise_log_mel(np.random.default_rng(3), 40)
  plan = windows.plan_windows(
    40, window_cells=20, discard_left_cells=2, discard_right_cells=2
  )
  difference = stitched(small, log_mel, plan) - cells_of(small, log_mel=log_mel)
  assert np.abs(difference).max() > 1e-4


def test_defaults_hold_the_reach():
  defaults = YohoInferenceParams()
  assert defaults.window_cells == 150 and defaults.exact_stitching
  assert defaults.discard_left_cells * 32 >= 222
  assert defaults.discard_right_cells * 32 >= 253


# ---- files ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["yoho_everyday_small", "yoho_tut2017"])
def test_saved_model_is_the_same(name, tmp_path):
  params = replace(PRESETS[name], width=0.25)
  model = randomise(yoho.build(params))
  model.save(tmp_path / "model.keras")
  again = keras.models.load_model(tmp_path / "model.keras")
  rng = np.random.default_rng(4)
  x = rng.normal(size=(2, params.window_samples)).astype("float32") * 0.1
  for key, value in model({"waveform": x}).items():
    np.testing.assert_array_equal(value, again({"waveform": x})[key])
  assert again.input.keys() == {"waveform"}
  assert json.loads(model.to_json()) == json.loads(again.to_json())
