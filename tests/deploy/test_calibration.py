"""Windows for int8: how many, of what, and never those to judge by."""

import numpy as np
import pytest

from tests import small
from tests.conftest import write_wav
from tests.source_folder import source_folder  # noqa: F401 (a fixture)
from yoho_tf import files
from yoho_tf.deploy import calibration, examples, signals
from yoho_tf.events import EventTable
from yoho_tf.params import PRESETS, YamnetParams

SIZE = 25 * 5120 + 240
YAMNET = YamnetParams(labels=tuple("abcde"), num_classes=5)


def windows(source, params=small.PARAMS, **how):
  how = {"num_windows": 100, **how}
  return calibration.windows(source, params, **how)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
  """130 windows of YAMNet's length: 100 of class "many", 30 of "few"."""
  folder = tmp_path_factory.mktemp("clips")
  for label, count in (("many", 100), ("few", 30)):
    samples = count * YAMNET.min_samples
    waveform = small.signal(samples / small.RATE, seed=count)
    write_wav(folder / label / "a.wav", waveform[:samples])
  return folder


def test_windows_are_as_many_kinds_as_promised():
  found = windows("synthetic", YAMNET, num_windows=200)
  assert len(found.waveforms) == 200
  for waveform in found.waveforms:
    assert waveform.dtype == np.float32
    assert waveform.shape == (YAMNET.min_samples,)
    assert np.abs(waveform).max() <= 1
  silent = [w for w in found.waveforms if not w.any()]
  cut = [w for w in found.waveforms if (np.abs(w) == 1).sum() > 10]
  assert len(silent) == 10 and len(cut) >= 20
  peaks = [np.abs(w).max() for w in found.waveforms if w.any()]
  assert sum(peak <= 0.01 for peak in peaks) >= 20
  facts = found.facts
  assert facts["kind"] == "synthetic" and facts["windows"] == 200
  counts = [facts[k] for k in ("silent", "quiet", "clipped", "made")]
  assert counts == [10, 20, 20, 10]
  assert sum(facts["per_class"].values()) == 140


def test_the_seed_decides():
  same = [windows("synthetic", YAMNET, seed=3).facts for _ in range(2)]
  assert same[0] == same[1]
  assert windows("synthetic", YAMNET, seed=4).facts != same[0]


@pytest.mark.parametrize(
  ("params", "frames", "samples"),
  [
    (small.PARAMS, None, SIZE),
    (small.PARAMS, 64, 2 * 5120 + 240),
    (small.PAPER, None, 8 * 16_000),
    (PRESETS["yamnet_audioset_relu6"], None, 15_600),
  ],
)
def test_a_window_is_as_long_as_the_input(params, frames, samples):
  assert calibration.window_samples(params, frames) == samples


def test_classes_take_turns(clips):
  """Of 70 windows, 30 are all that one class has; the other fills up."""
  found = windows(clips, YAMNET)
  assert found.facts["per_class"] == {"few": 30, "many": 40}
  assert found.facts["kind"] == "audio"


def test_too_few_windows_are_named(tmp_path):
  samples = 7 * YAMNET.min_samples
  write_wav(tmp_path / "a.wav", small.signal(samples / small.RATE)[:samples])
  with pytest.raises(ValueError, match="at least 100 windows .*; found 7 in"):
    windows(tmp_path, YAMNET)
  for count in (99, 2001):
    with pytest.raises(ValueError, match=f"100 to 2000; got {count}"):
      windows("synthetic", num_windows=count)


def test_what_is_no_folder_is_named(tmp_path):
  with pytest.raises(ValueError, match="a folder, or synthetic; got 'sin'"):
    windows("sin")
  with pytest.raises(ValueError, match="must hold audio files"):
    windows(tmp_path)


def test_samples_that_are_no_numbers_name_their_file(tmp_path):
  size = 101 * YAMNET.min_samples
  waveform = small.signal(size / small.RATE)[:size]
  waveform[:] = np.nan
  path = write_wav(tmp_path / "bad.wav", waveform, subtype="FLOAT")
  with pytest.raises(ValueError, match="bad.wav"):
    windows(path.parent, YAMNET)


def test_scenes_of_training_sources_hold_every_class(source_folder):  # noqa: F811
  """Whole cells around events, of the split "train" alone."""
  import dataclasses

  labels = ("Rain", "Bark", "Speech")
  params = dataclasses.replace(
    small.PARAMS, labels=labels, postprocess=PRESETS["yoho_urban"].postprocess
  )
  found = windows(source_folder, params)
  assert found.facts["kind"] == "sources"
  per_class = found.facts["per_class"]
  assert {*labels} <= {*per_class}
  own = [per_class[label] for label in labels]
  assert max(own) - min(own) <= 5
  judged = examples.examples(params, source_folder, num_windows=5)
  calibration.check_apart(found, judged.digests)
  assert judged.facts["labelled"] == 5
  assert any(len(table) for table in judged.events if table is not None)
  paid = files.sha256(source_folder / "ev" / "train" / "rain2.wav")
  assert paid not in found.digests  # CC BY-NC
  assert paid in windows(source_folder, params, permissive_only=False).digests


def test_records_are_cut_around_their_events(tmp_path):
  from yoho_tf.data import examples as data_examples
  from yoho_tf.data import records
  from yoho_tf.labels import ClassMap

  class_map = ClassMap(small.PARAMS.labels)
  made = []
  for i in range(80):
    waveform = small.signal(17.0, seed=i)
    values, scale = data_examples.quantise(waveform)
    label = ("Rain", "Speech")[i % 2]
    rows = [(15.0, 16.0, label), (3.0, 4.0, label)]
    made.append(
      data_examples.Example(
        waveform=values,
        scale=scale,
        sample_rate_hz=small.RATE,
        events=EventTable.from_rows(sorted(rows)),
        filename=f"{i}.wav",
        split="train" if i < 70 else "val",
      )
    )
  records.write_records(tmp_path, made, class_map=class_map)
  found = windows(tmp_path)
  assert found.facts["per_class"] == {"Rain": 35, "Speech": 35}
  judged = examples.examples(small.PARAMS, tmp_path)
  assert judged.facts["count"] == judged.num_builtin + 10
  calibration.check_apart(found, judged.digests)
  with pytest.raises(ValueError, match="received 1 in both: again"):
    overlap = {next(iter(found.digests)): "again"}
    calibration.check_apart(found, overlap)
  for table in judged.events[judged.num_builtin :]:
    assert table.start.tolist() == [3.0] and table.end.tolist() == [4.0]


def test_the_same_files_on_both_sides_are_refused(clips):
  found = windows(clips, YAMNET)
  judged = examples.examples(YAMNET, clips, num_windows=9)
  assert len(judged.waveforms) == judged.num_builtin + 9
  with pytest.raises(ValueError, match="judges by; received 2 in both: few/a"):
    calibration.check_apart(found, judged.digests)


def test_signals_need_no_file():
  found = signals.builtin(16_000, 16_000)
  assert not found["silence"].any() and len(found) == 13
  ratio = np.abs(found["tone -40 dB"]).max() / np.abs(found["tone"]).max()
  assert ratio == pytest.approx(0.01)
  spectrum = np.abs(np.fft.rfft(found["tone"]))
  assert spectrum.argmax() == 440  # Hz: one second
