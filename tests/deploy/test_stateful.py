"""The file of steps, its runner, and streams through it."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import small
from tests.conftest import write_wav
from yoho_tf import hub
from yoho_tf.events import EventTable
from yoho_tf.labels import ClassMap
from yoho_tf.layers import mel
from yoho_tf.params import PRESETS
from yoho_tf.streaming import Stream

pytest.importorskip("tensorflow")

from yoho_tf.deploy import (  # noqa: E402
  golden,
  parity,
  runtime,
  stateful,
  targets,
)
from yoho_tf.models import yoho  # noqa: E402

pytestmark = pytest.mark.export  # whole conversions

CLASS_MAP = ClassMap.bundled("everyday")
CELL = small.PARAMS.cell_samples


@pytest.fixture(scope="module")
def network():
  """`small.network`, moved so that no layer gives zeros for zeros."""
  network = yoho.build(dataclasses.replace(small.PARAMS, input="log_mel"))
  network.set_weights(small.network().get_weights())
  random = np.random.default_rng(0)
  for layer in network.layers:
    if layer.name.endswith("_bn"):
      beta, *others = layer.get_weights()
      layer.set_weights([beta + random.uniform(0, 0.2, beta.shape), *others])
  return network


@pytest.fixture(scope="module", params=["log_mel", "waveform"])
def path(request, network, tmp_path_factory):
  path = tmp_path_factory.mktemp("stateful") / "small.stream.tflite"
  path.write_bytes(
    stateful.tflite(
      network,
      small.PARAMS,
      class_map=CLASS_MAP,
      precision="float32",
      input=request.param,
    )
  )
  return path


@pytest.fixture(scope="module")
def whole(network):
  """The model that hears a recording in one pass, by Keras."""
  return hub._yoho_of_keras("whole", network, small.PARAMS)


@pytest.fixture(scope="module")
def model(path):
  return hub.load(path, num_threads=1)


@pytest.fixture
def steps(path):
  return runtime.Runtime.open(path, num_threads=1).network


def waveform_of(num_cells, seed=0):
  size = num_cells * CELL + small.PARAMS.extra_samples
  return small.signal(size / small.RATE, seed=seed)


def log_mel(waveform):
  return mel.log_mel(waveform, small.PARAMS.frontend)


def heard(steps, waveform):
  """A recording as the file takes it."""
  return waveform if steps.input == "waveform" else log_mel(waveform)


# ---- cells ------------------------------------------------------------------


def test_every_length_gives_the_cells_of_one_pass(network, steps):
  for num_cells in (*range(1, 13), 17, 40):
    x = waveform_of(num_cells, seed=num_cells)
    expected = np.asarray(network({"log_mel": log_mel(x)[None]})["events"])[0]
    got = [steps.step(cell) for cell in steps.cut(heard(steps, x))]
    assert [len(cells) for cells in got] == [
      int(number >= 8) for number in range(num_cells)
    ]
    got = np.concatenate([*got, steps.finish()])
    assert got.shape == expected.shape
    # The front ends round apart.
    atol = 1e-4 if steps.input == "log_mel" else 1e-3
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)
    assert np.ptp(expected) > 0.5


def test_each_stream_has_a_memory_of_its_own(steps):
  x, y = (heard(steps, waveform_of(12, seed=seed)) for seed in (1, 2))
  other = steps.apart()
  pairs = [
    (steps.step(a), other.step(b))
    for a, b in zip(steps.cut(x), steps.cut(y), strict=True)
  ]
  pairs.append((steps.finish(), other.finish()))
  for got, recording in zip(zip(*pairs, strict=True), (x, y), strict=True):
    alone = steps({steps.input: recording[None]})["events"][0]
    np.testing.assert_array_equal(np.concatenate(got), alone)
  assert steps.finish().shape == (0, 8, 3)  # nothing is left


def test_cells_that_are_none_change_nothing(steps):
  x = heard(steps, waveform_of(10))
  expected = steps({steps.input: x[None]})["events"][0]
  cells = steps.cut(x)
  got = [steps.step(cell) for cell in cells[:5]]
  with pytest.raises(ValueError, match=f"{steps.input} must have shape"):
    steps.step(cells[5][:31])
  got += [steps.step(cell) for cell in cells[5:]]
  np.testing.assert_array_equal(
    np.concatenate([*got, steps.finish()]), expected
  )
  rule = {
    "log_mel": "multiple of 32 frames; received 33",
    "waveform": "multiple of 5120 samples and 240; received 33",
  }
  with pytest.raises(ValueError, match=rule[steps.input]):
    steps({steps.input: x[None, :33]})


@pytest.mark.parametrize(
  ("precision", "bytes_per_weight"), [("float16", 2), ("dynamic", 1)]
)
def test_fewer_bits_stay_near(precision, bytes_per_weight, network, tmp_path):
  """Random weights enlarge rounding errors: trained ones are nearer."""
  path = tmp_path / "small.tflite"
  path.write_bytes(
    stateful.tflite(
      network, small.PARAMS, class_map=CLASS_MAP, precision=precision
    )
  )
  x = log_mel(waveform_of(25))[None]
  got = runtime.Runtime.open(path).predict({"log_mel": x})["events"]
  expected = np.asarray(network({"log_mel": x})["events"])
  assert got.shape == expected.shape
  assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.9
  if precision == "float16":
    np.testing.assert_allclose(got, expected, rtol=0, atol=0.03)
  weights = sum(int(np.prod(w.shape)) for w in network.weights)
  assert path.stat().st_size < bytes_per_weight * weights + 150_000


# ---- the file ---------------------------------------------------------------


def test_what_the_file_holds(path, steps):
  found = parity.tensors(path, runtime.Runtime.open(path))
  state = found["inputs"]["state"]["shape"]
  shapes = [
    {name: tensor["shape"] for name, tensor in found[side].items()}
    for side in ("inputs", "outputs")
  ]
  assert shapes == [
    {
      "log_mel": {"log_mel": [1, 32, 64]},
      "waveform": {"waveform": [1, CELL + 240]},
    }[steps.input]
    | {"inside": [1, 1], "state": state},
    {"events": [1, 1, 8, 3], "inside": [1, 1], "state": state},
  ]
  assert state[1] < 60_000 / 4 + 100  # width 1.0 has 52,360 values
  operators = {name for name, *_ in parity.operators(path)}
  assert "CUSTOM" not in operators and "CONV_2D" in operators
  opened = runtime.Runtime.open(path)
  assert opened.labels == small.PARAMS.labels
  assert opened.params == dataclasses.replace(small.PARAMS, input=steps.input)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"precision": "int8"}, "float16 or float32 or dynamic.*got int8"),
    ({"class_map": ClassMap.bundled("urban")}, "class_map must hold the label"),
    ({"params": small.PAPER}, "lattice stride"),
    (
      {
        "params": dataclasses.replace(small.PARAMS, activation="relu"),
        "precision": "dynamic",
      },
      "relu6",
    ),
  ],
)
def test_what_cannot_be_made_is_named(options, message):
  options = {"params": small.PARAMS, **options}
  options.setdefault("class_map", ClassMap(options["params"].labels))
  with pytest.raises(ValueError, match=message):
    stateful.tflite(None, **options)


def test_targets_refuse_what_has_no_cells():
  for params, options, message in (
    (PRESETS["yamnet_audioset_relu6"], {}, "lattice stride"),
    (PRESETS["yoho_music_speech"], {}, "lattice stride"),
    (small.PARAMS, {"frames": 64}, "its length is a cell; got frames 64"),
    (small.PARAMS, {"outputs": ("events",)}, "its outputs are given"),
  ):
    with pytest.raises(ValueError, match=f"cannot become stream: .*{message}"):
      targets.jobs(params, "stream", "x", None, None, options)


# ---- streams ----------------------------------------------------------------


def answers(stream, waveform, sizes):
  sizes, first, found = itertools.cycle(sizes), 0, []
  while first < len(waveform):
    size = next(sizes)
    found.append(stream.push(waveform[first : first + size]))
    first += size
  return [*found, stream.finish()]


def final(found):
  return EventTable.concat(answer.final for answer in found).sort()


def assert_events(got, expected, atol=1e-3):
  assert list(got.label) == list(expected.label)
  for column in ("start", "end", "score"):
    values = getattr(got, column), getattr(expected, column)
    np.testing.assert_allclose(*values, rtol=0, atol=atol)


@settings(max_examples=8, deadline=None)
@given(
  num_samples=st.one_of(
    st.integers(1, 12 * small.RATE),
    # On either side of the edges of cells, and of what the last frame hears.
    st.builds(
      lambda cells, more: cells * CELL + more,
      st.integers(1, 30),
      st.sampled_from([-1, 0, 1, 239, 240, 241]),
    ),
  ),
  sizes=st.lists(st.integers(50, 20_000), min_size=1, max_size=6),
  seed=st.integers(0, 9),
)
def test_a_stream_says_what_one_pass_says(
  model, whole, num_samples, sizes, seed
):
  waveform = small.signal(12, seed=seed)[:num_samples]
  stream = Stream(model)
  found = answers(stream, waveform, sizes)
  expected = whole.predict(waveform).events
  assert_events(final(found), expected)
  assert_events(model.predict(waveform).events, expected)
  assert stream.num_steps == model.params.num_cells(len(waveform))
  assert len(found[-1].provisional) == 0


def test_the_stated_latency_holds(model):
  stream = Stream(model)
  gap = 0.4  # the longest of small.TUNED
  assert stream.step_seconds == 0.32
  assert stream.first_seconds == pytest.approx(0.335)
  assert stream.latency_seconds == pytest.approx(gap + 9 * 0.32 + 0.015)
  heard, late = 0, []
  waveform = small.signal(20, seed=3)
  for first in range(0, len(waveform), 160):
    answer = stream.push(waveform[first : first + 160])
    late += [stream.seconds - event.end for event in answer.final]
    heard += len(answer.provisional)
  assert len(late) > 3 and heard
  assert 8 * 0.32 < max(late) <= stream.latency_seconds + 0.01


def test_two_streams_of_a_model_and_a_second_start(model):
  waveforms = small.signal(6, seed=1), small.signal(6, seed=2)
  streams = [Stream(model) for _ in waveforms]
  found = [[], []]
  for first in range(0, len(waveforms[0]), 1000):
    for own, stream, x in zip(found, streams, waveforms, strict=True):
      own.append(stream.push(x[first : first + 1000]))
  for own, stream, x in zip(found, streams, waveforms, strict=True):
    own.append(stream.finish())
    expected = final(own)
    assert_events(expected, model.predict(x).events, atol=1e-5)
    stream.reset()
    stream.push(x[:30_000])  # a start that is given up
    stream.reset()
    assert_events(final(answers(stream, x, [777])), expected, atol=1e-5)


def test_a_step_is_a_cell(model):
  for options in ({"hop_cells": 1}, {"window_cells": 20}):
    with pytest.raises(ValueError, match="None with a file of steps"):
      Stream(model, **options)


# ---- the command ------------------------------------------------------------


def test_the_command_writes_and_judges_it(network, tmp_path, capsys):
  from yoho_tf.cli import export, stream
  from yoho_tf.deploy import keras_file

  source = tmp_path / "tiny.keras"
  keras_file.write(network, small.PARAMS, source, class_map=CLASS_MAP)
  command = [str(source), "--to", "stream", "--precision", "float32"]
  command += ["--input", "waveform", "--golden", "--out", str(tmp_path)]
  # What the front ends round apart in pure tones, these weights enlarge.
  command += ["--tolerance", "max_error=0.005"]
  assert export.main(command) == 0
  report = json.loads((tmp_path / "tiny.stream.parity.json").read_text())
  assert report["passed"] and report["target"] == "stream"
  assert report["input"] == "waveform" and report["max_error"] < 5e-3
  opened = runtime.Runtime.open(tmp_path / "tiny.stream.tflite")
  golden.check(tmp_path / "tiny.stream.golden", opened, opened.params)
  wav = write_wav(tmp_path / "a.wav", small.signal(8, seed=1))
  made = tmp_path / "tiny.stream.tflite"
  capsys.readouterr()
  assert stream.main([str(wav), "-m", str(made), "--fast", "--json"]) == 0
  out, error = capsys.readouterr()
  assert "a step every 0.32 s" in error
  expected = hub.load(made).predict(wav).events
  assert out.count('"start"') == len(expected) > 0


# ---- the bundled model ------------------------------------------------------
