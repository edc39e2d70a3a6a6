"""One promise of `Runtime`, over every backend and artefact of a tiny model.

The same call gives the same names, shapes and dtypes, and values as near to
Keras as the precision allows.
"""

import numpy as np
import pytest

from tests import small
from tests.deploy import artefacts
from yoho_tf import hub, predictor

pytest.importorskip("tensorflow")

from yoho_tf.deploy.runtime import KerasNetwork, Runtime  # noqa: E402

# Largest error of a score (shared tolerances of the parity report).
TOLERANCE = {"float16": 0.01, "int8": 0.10}
CASES = [
  pytest.param(
    (system, kind),
    id=f"{system} {kind}",
    marks=[] if (system, kind) == ("yamnet", "keras") else [pytest.mark.export],
  )
  for system in ("yamnet", "yoho")
  for kind in artefacts.KINDS
  # The tiny YOHO is tuned to answer sharply: 8 bits are too few for it.
  if not (system == "yoho" and "int8" in kind)
]


@pytest.fixture(scope="module", params=CASES)
def case(request):
  """System, kind of artefact, and the artefact opened."""
  system, kind = request.param
  if "onnx" in kind:
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
  return system, kind, Runtime.open(artefacts.made(system, kind))


def waveforms(system, runtime):
  """One length that every file takes, and more where it is free."""
  lengths = [15_600] if system == "yamnet" else [128_000]
  if runtime.input_shapes["waveform"][-1] == -1:
    lengths += [1, 20_479, 20_481]
  return [small.signal(n / small.RATE, seed=n)[:n] for n in lengths]


def tolerance(kind, name):
  if name == "log_mel":
    return 1e-3
  if name == "events" and "float16" in kind:
    return 0.02  # the tiny YOHO answers sharply; as in test_litert.py
  return next((t for key, t in TOLERANCE.items() if key in kind), 1e-3)


def test_names_shapes_dtypes_and_values(case):
  system, kind, runtime = case
  main = "scores" if system == "yamnet" else "events"
  assert runtime.input_names == ("waveform",) and main in runtime.outputs
  for waveform in waveforms(system, runtime):
    both = np.stack([waveform, -0.5 * waveform])
    expected = artefacts.expected(system, both)
    got = runtime.predict({"waveform": both})
    assert list(got) == list(runtime.outputs) and set(got) <= set(expected)
    for name, value in got.items():
      assert value.dtype == np.float32 and value.shape == expected[name].shape
      error = np.abs(value - expected[name]).max()
      assert error <= tolerance(kind, name), (name, len(waveform))
    assert np.ptp(got[main]) > 0.05


def test_one_item_is_a_batch_of_one(case):
  system, _, runtime = case
  waveform = waveforms(system, runtime)[0]
  batch = runtime.predict({"waveform": waveform[None]})
  for one in (waveform, waveform.astype(np.float64)):
    for given in ({"waveform": one}, one):
      got = runtime.predict(given)
      for name, value in got.items():
        np.testing.assert_allclose(value, batch[name][0], rtol=0, atol=1e-6)


def test_calls_leave_inputs_alone_and_repeat(case):
  system, _, runtime = case
  waveform = waveforms(system, runtime)[0]
  kept = waveform.copy()
  waveform.flags.writeable = False
  first = runtime.predict(waveform)
  values = {name: value.copy() for name, value in first.items()}
  for value in first.values():
    value[...] = 7  # what is given out belongs to the caller
  again = runtime.predict(waveform)
  np.testing.assert_array_equal(waveform, kept)
  for name, value in again.items():
    np.testing.assert_array_equal(value, values[name])
    value[...] = 8
  other = runtime.clone()
  for twin in (other, runtime):
    np.testing.assert_array_equal(twin.predict(waveform)[name], values[name])


def test_the_hub_predicts_with_it(case):
  """As with the Keras model: clips of any length, one by one and together."""
  system, kind, runtime = case
  if system == "yoho":  # its events: test_same_events.py
    return
  whole = KerasNetwork(artefacts.whole("yamnet"))
  reference = predictor.YamnetModel("keras", artefacts.YAMNET, whole)
  model = hub.load(artefacts.made(system, kind))
  assert model.labels == artefacts.YAMNET.labels
  limit = tolerance(kind, "scores")
  clips = [small.signal(s, seed=i) for i, s in enumerate((0.1, 3.3, 5))]
  for clip, many in zip(clips, model.predict_many(clips), strict=True):
    expected = reference.predict(clip)
    for got in (many, model.predict(clip)):
      assert np.abs(got.scores - expected.scores).max() <= limit
      assert np.abs(got.clip_scores - expected.clip_scores).max() <= limit
      assert (got.embeddings is None) == ("embeddings" not in runtime.outputs)
      if got.embeddings is not None:
        np.testing.assert_allclose(
          got.embeddings, expected.embeddings, rtol=0, atol=1e-3
        )


def test_what_travels_in_the_file(case):
  system, kind, runtime = case
  params = artefacts.PARAMS[system]
  assert runtime.labels == params.labels
  assert type(runtime.params) is type(params)
  assert runtime.params.labels == params.labels
  format = kind.split()[0].replace("chain", "manifest")
  assert runtime.info["format"] == format
  assert runtime.texts["class_map.csv"] == artefacts.CLASS_MAPS[system].text()


@pytest.mark.parametrize(
  ("inputs", "message"),
  [
    ({"wavefrom": np.zeros(9)}, "got 'wavefrom'; did you mean 'waveform'"),
    ({}, "inputs must hold waveform; waveform is missing"),
    (
      np.zeros(15_600, np.int16),
      r"must be float \(divide int16.*received int16",
    ),
    (np.zeros((0, 15_600)), r"must have shape \[.*received \[0, 15600\]"),
    (np.zeros(0), r"must have shape \[.*received \[0\]"),
    (np.zeros((2, 0)), r"must have shape \[.*received \[2, 0\]"),
    (np.zeros((1, 1, 15_600)), r"must have shape \[.*\[1, 1, 15600\]"),
    (np.float32(0), r"must have shape \[.*received \[\]"),
  ],
)
def test_what_it_does_not_take_is_named(inputs, message, case):
  _, _, runtime = case
  with pytest.raises(ValueError, match=message) as error:
    runtime.predict(inputs)
  assert "\n" not in str(error.value)


def test_another_length_than_the_file_s_is_named(case):
  _, _, runtime = case
  if runtime.input_shapes["waveform"][-1] == -1:
    runtime.predict(np.zeros(16_000))
    return
  with pytest.raises(
    ValueError, match=r"shape \[15600\] or \[batch, 15600\].*received \[16000\]"
  ):
    runtime.predict(np.zeros(16_000))
