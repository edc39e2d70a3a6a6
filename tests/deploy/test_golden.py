"""Goldens: the same every time, and read back they check an artefact."""

import dataclasses
import json

import numpy as np
import pytest

from yoho_tf import hub
from yoho_tf.deploy import golden, runtime
from yoho_tf.events import EventTable
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, PostprocessParams

pytestmark = pytest.mark.edge


def front(waveform):
  """Stands in for the front end: one frame per 10 ms, any numbers."""
  frames = 1 + (waveform.shape[1] - 400) // 160
  return np.arange(frames * 64.0).reshape(1, frames, 64) / 1000


@pytest.fixture(scope="module")
def network():
  return runtime.Runtime.open(hub.WEIGHTS / "yoho_everyday.tflite")


@pytest.fixture
def folder(network, tmp_path):
  golden.write(tmp_path, network, network.params, tolerance=1e-3, front=front)
  return tmp_path


def content(path):
  return json.loads(path.read_text(encoding="utf-8"))


def test_what_was_written_checks_the_artefact(folder, network):
  differences = golden.check(folder, network, network.params)
  assert list(differences) == ["events"]
  assert differences["events"] < 1e-5  # seven digits


def test_the_files_and_what_they_hold(folder, network):
  assert sorted(p.name for p in folder.iterdir()) == [
    "decoder.json",
    "golden_decoding.json",
    "golden_events.json",
    "golden_log_mel.json",
    "golden_waveform.json",
  ]
  sound = content(folder / "golden_waveform.json")
  samples = np.array(sound["samples"])
  assert sound["sample_rate_hz"] == 16000 and sound["full_scale"] == 32768
  assert samples.dtype == np.int64 and 8000 < np.abs(samples).max() <= 32768
  assert len(samples) == 8 * 5120 + 240
  # What an app does: divide by 32,768, run, compare.
  outputs = network({"waveform": np.float32(samples / 32768)[None]})
  events = content(folder / "golden_events.json")
  assert events["shape"] == list(outputs["events"].shape) == [1, 8, 8, 3]
  assert events["tolerance"] == 1e-3
  np.testing.assert_allclose(
    np.reshape(events["values"], events["shape"]),
    outputs["events"],
    rtol=0,
    atol=1e-6,
  )


def test_the_same_artefact_gives_the_same_files(folder, network, tmp_path):
  again = tmp_path / "again"
  again.mkdir()
  paths = golden.write(
    again, network, network.params, tolerance=1e-3, front=front
  )
  assert len(paths) == 5
  for path in paths:
    assert path.read_bytes() == (folder / path.name).read_bytes()


def test_another_network_is_found_out(folder, network):
  def other(inputs):
    return {k: v + 0.01 for k, v in network(inputs).items()}

  with pytest.raises(
    ValueError, match=r"golden_events.json within 0.001; .* 0.01"
  ):
    golden.check(folder, other, network.params)

  def shorter(inputs):
    return {k: v[:, 1:] for k, v in network(inputs).items()}

  with pytest.raises(ValueError, match=r"\(1, 8, 8, 3\); received \(1, 7"):
    golden.check(folder, shorter, network.params)

  def broken(inputs):
    return {k: v * np.nan for k, v in network(inputs).items()}

  with pytest.raises(ValueError, match="difference of nan"):
    golden.check(folder, broken, network.params)


def test_decoding_holds_cells_and_their_events(folder, network):
  """Read as an app reads it, decoded by the package."""
  example = content(folder / "golden_decoding.json")
  cells = np.float32(np.reshape(example["values"], example["shape"]))
  found = yoho.decode(
    {"events": cells},
    network.params,
    duration_seconds=example["duration_seconds"],
  ).events
  expected = EventTable.from_columns(
    **{
      key: [event[key] for event in example["events"]]
      for key in ("start", "end", "label", "score")
    }
  )
  assert len(found) == len(expected) > 20
  assert list(found.label) == list(expected.label)
  for key in ("start", "end", "score"):
    np.testing.assert_allclose(
      getattr(found, key), getattr(expected, key), rtol=1e-6, atol=1e-9
    )
  # Merged runs, and pieces of less than a cell.
  length = np.array(found.end) - np.array(found.start)
  assert length.max() > 1.0


def test_the_decoder_has_each_labels_settings():
  params = dataclasses.replace(
    PRESETS["yoho_everyday"],
    postprocess=PostprocessParams(
      low=0.25, per_label={"Speech": {"threshold": 0.7}}
    ),
  )
  found = golden.decoder(params)
  assert [row["label"] for row in found["labels"]] == list(params.labels)
  for row in found["labels"]:
    assert row["low"] == 0.25
    assert row["threshold"] == (0.7 if row["label"] == "Speech" else 0.5)
  assert found["cell_seconds"] == 0.32 and found["cell_samples"] == 5120


def test_scores_of_a_network_on_log_mels(tmp_path):
  """YAMNet cut at the log-mel: its input is the golden log-mel."""
  params = dataclasses.replace(PRESETS["yamnet_audioset"], input="log_mel")

  def run(inputs):
    (log_mel,) = inputs.values()
    return {"scores": np.full((1, 521), log_mel.mean())}

  paths = golden.write(tmp_path, run, params, tolerance=0.1, front=front)
  assert sorted(p.name for p in paths) == [
    "golden_log_mel.json",
    "golden_scores.json",
    "golden_waveform.json",
  ]
  log_mel = content(tmp_path / "golden_log_mel.json")
  assert log_mel["shape"] == [1, 96, 64] and log_mel["tolerance"] == 0.01
  assert len(content(tmp_path / "golden_waveform.json")["samples"]) == 15600
  assert golden.check(tmp_path, run, params)["scores"] < 1e-6


def test_own_sound(network, tmp_path):
  sound = np.linspace(-1, 1, 5360)
  golden.write(
    tmp_path,
    network,
    network.params,
    tolerance=1e-3,
    front=front,
    waveform=sound,
  )
  samples = content(tmp_path / "golden_waveform.json")["samples"]
  assert (samples[0], samples[-1]) == (-32768, 32767)  # 16 bits end there


@pytest.mark.parametrize(
  "waveform", [np.zeros((2, 5)), np.zeros(0), [2.0], [np.nan]]
)
def test_sounds_that_are_refused(waveform, network, tmp_path):
  with pytest.raises(ValueError, match="waveform must be .samples. in"):
    golden.write(
      tmp_path,
      network,
      network.params,
      tolerance=1,
      front=front,
      waveform=waveform,
    )
  assert list(tmp_path.iterdir()) == []


def test_missing_and_broken_goldens_are_named(folder, network):
  (folder / "golden_events.json").write_text("{")
  with pytest.raises(ValueError, match="golden_events.json: must be JSON"):
    golden.check(folder, network, network.params)
  (folder / "golden_events.json").unlink()
  with pytest.raises(ValueError, match="must be a file; .*golden_events"):
    golden.check(folder, network, network.params)


def test_the_log_mel_is_the_front_ends(network, tmp_path):
  pytest.importorskip("tensorflow")
  from yoho_tf.layers.frontend import log_mel_layer

  golden.write(tmp_path, network, network.params, tolerance=1e-3)
  samples = np.array(content(tmp_path / "golden_waveform.json")["samples"])
  log_mel = content(tmp_path / "golden_log_mel.json")
  expected = log_mel_layer(network.params.frontend)(
    np.float32(samples / 32768)[None]
  )
  np.testing.assert_allclose(
    np.reshape(log_mel["values"], log_mel["shape"]), expected, atol=1e-5
  )
