"""Step by step it says what the whole network says in one pass."""

import dataclasses
import functools

import numpy as np
import pytest

from yoho_tf.models import yoho, yoho_stream
from yoho_tf.params import PRESETS

keras = pytest.importorskip("keras")

PARAMS = dataclasses.replace(
  PRESETS["yoho_everyday_small"],
  labels=("a", "b", "c"),
  width=0.125,
  input="log_mel",
)


@functools.cache
def networks(slots=1, mel_bands=64):
  """The whole network and its step; nothing in them is zero at zero."""
  params = dataclasses.replace(
    PARAMS,
    slots=slots,
    frontend=dataclasses.replace(PARAMS.frontend, mel_bands=mel_bands),
  )
  whole = yoho.build(params)
  random = np.random.default_rng(0)
  for layer in whole.layers:
    if layer.name.endswith("_bn"):
      beta, mean, variance = layer.get_weights()
      beta, mean = random.normal(0.5, 0.5, (2, *beta.shape))
      variance = random.uniform(0.5, 1.5, variance.shape)
      layer.set_weights([beta, mean, variance])
    elif layer.name.endswith("_conv"):
      shape = layer.kernel.shape
      num_inputs = 9 if shape[0] == 3 else shape[2]
      layer.set_weights([random.normal(0, (2 / num_inputs) ** 0.5, shape)])
  step = yoho_stream.weigh(yoho_stream.build(params), whole)
  return whole, step


def stepped(step, log_mels):
  """Cells of recordings that go side by side, each to its own end."""
  num_cells = [len(x) // 32 for x in log_mels]
  state = np.zeros((len(log_mels), step.input["state"].shape[1]))
  found = [[] for _ in log_mels]
  for number in range(max(num_cells) + yoho_stream.LOOKAHEAD_CELLS):
    inside = np.array([[number < cells] for cells in num_cells], np.float32)
    frames = np.stack(
      [
        # Whatever comes past the end must not be heard.
        x[32 * number :][:32] if alive else np.full((32, x.shape[1]), 7.0)
        for x, (alive,) in zip(log_mels, inside)
      ]
    )
    outputs = step({"log_mel": frames, "inside": inside, "state": state})
    outputs = {name: np.asarray(value) for name, value in outputs.items()}
    state = outputs["state"]
    for own, events, (is_cell,) in zip(
      found, outputs["events"], outputs["inside"], strict=True
    ):
      assert is_cell in (0, 1)
      own += [events] * int(is_cell)
  return [np.concatenate(own) for own in found]


def log_mel(num_cells, *, seed=0, mel_bands=64):
  random = np.random.default_rng(seed)
  return random.normal(-3, 2, (32 * num_cells, mel_bands)).astype(np.float32)


@pytest.mark.parametrize(
  ("num_cells", "options"),
  [
    ((1, 2, 5), {}),
    ((2,), {"slots": 2, "mel_bands": 50}),  # odd numbers of bands, too
  ],
)
def test_cells_are_those_of_one_pass(num_cells, options):
  whole, step = networks(**options)
  bands = options.get("mel_bands", 64)
  log_mels = [log_mel(n, seed=n, mel_bands=bands) for n in num_cells]
  for got, x in zip(stepped(step, log_mels), log_mels, strict=True):
    expected = np.asarray(whole({"log_mel": x[None]})["events"])[0]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected) > 0.1


def test_a_step_costs_one_cell():
  """5.3 M multiplications per second of sound (yoho.md section 9)."""
  step = yoho_stream.build(PRESETS["yoho_everyday_small"])
  total = 0
  for layer in step.layers:
    if layer.weights and not layer.name.endswith("_bn"):
      _, frames, bands, channels = layer.output.shape
      per_output = int(np.prod(layer.kernel.shape[:3]))
      if "depthwise" in layer.name:
        per_output = 9
      total += frames * bands * channels * per_output
  assert total == pytest.approx(5.3e6 * 0.32, rel=0.02)


def test_the_layers_are_those_of_the_whole_network():
  whole, step = networks()
  for model in (whole, step):
    assert not any("/" in layer.name for layer in model.layers)
  weights = [
    [(la.name, w.name, w.shape) for la in model.layers for w in la.weights]
    for model in (whole, step)
  ]
  assert weights[0] == weights[1]
  assert list(step.input) == ["log_mel", "inside", "state"]
  assert list(step.output) == ["events", "inside", "state"]
  assert step.input["state"].shape == step.output["state"].shape


def test_look_ahead_is_the_reach_to_the_right():
  """yoho.md section 9, item 6: 253 frames are 8 cells."""
  assert yoho_stream.LOOKAHEAD_CELLS == 8
  whole, _ = networks()
  x = log_mel(20)
  y = np.concatenate([x[: 32 * 11], log_mel(9, seed=1)])
  first, second = (
    np.asarray(whole({"log_mel": v[None]})["events"][0]) for v in (x, y)
  )
  np.testing.assert_allclose(first[:3], second[:3], rtol=0, atol=1e-6)
  assert np.abs(first[3] - second[3]).max() > 1e-6


def test_what_has_no_steps_is_refused():
  for name, options in (
    ("yoho_music_speech", {}),
    ("yoho_music_speech", {"baseline": "cnn"}),
  ):
    params = dataclasses.replace(PRESETS[name], **options)
    with pytest.raises(ValueError, match="lattice stride and no baseline"):
      yoho_stream.build(params)


def test_weights_of_another_width_are_refused():
  whole = yoho.build(dataclasses.replace(PARAMS, width=0.25))
  with pytest.raises(ValueError, match="shape"):
    yoho_stream.weigh(networks()[1], whole)
