"""`python inference.py`: files in, events out, one line per mistake."""

import dataclasses
import json
import os

import numpy as np
import pytest

from tests import small
from tests.conftest import write_wav
from yoho_tf import hub

pytestmark = pytest.mark.edge
RATE = 16_000


def events_of(line):
  return json.loads(line)["events"]


# ---- files that cannot be read ----------------------------------------------


def write_empty(path):
  path.write_bytes(b"")


def write_text(path):
  path.write_text("this is no sound\n")


def write_no_samples(path):
  write_wav(path, np.zeros(0))


def write_nan(path):
  waveform = small.signal(1)
  waveform[8000] = np.nan
  write_wav(path, waveform, subtype="FLOAT")


def write_cut_flac(path):
  write_wav(path, small.signal(5))
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])


def write_folder(path):
  path.mkdir()


BROKEN = {
  "missing.wav": (lambda path: None, "No such file or directory"),
  "empty.wav": (write_empty, "must be an audio file; got an empty file"),
  "text.wav": (write_text, "must be audio (wav, flac"),
  "no_samples.wav": (write_no_samples, "must hold at least 1 sample; got 0"),
  "nan.wav": (write_nan, "samples must be finite; got nan at 0.5"),
  "cut.flac": (write_cut_flac, "must decode to its end; got"),
  "folder": (write_folder, "must hold audio files"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_line_and_code_1(name, run, tmp_path):
  make, rule = BROKEN[name]
  make(tmp_path / name)
  code, out, error = run(tmp_path / name)
  assert (code, out) == (1, [])
  (line,) = error
  assert (
    line.startswith(f"inference.py: '{tmp_path / name}': ") and rule in line
  )


def test_good_files_are_answered_among_broken_ones(run, tmp_path, good):
  for name, (make, _) in BROKEN.items():
    make(tmp_path / name)
  last = write_wav(tmp_path / "z.flac", small.signal(2, seed=1))
  paths = [tmp_path / name for name in BROKEN]
  code, out, error = run(*paths[:3], good, *paths[3:], last, "--json")
  assert code == 1
  assert [json.loads(x)["filename"] for x in out] == [str(good), str(last)]
  assert len(error) == len(BROKEN)
  for name in BROKEN:
    assert sum(f"/{name}'" in line for line in error) == 1, name


def test_a_folder_with_a_broken_file(run, tmp_path, good):
  write_empty(tmp_path / "empty.wav")
  write_text(tmp_path / "notes.txt")  # no audio by its name: not tried
  (tmp_path / "sub").mkdir()
  write_wav(tmp_path / "sub" / "more.ogg", small.signal(1))
  code, out, error = run(tmp_path, "--json", "-o", tmp_path / "out")
  assert code == 1 and len(error) == 1 and "empty.wav" in error[0]
  assert [json.loads(line)["filename"] for line in out] == [
    str(good),
    str(tmp_path / "sub" / "more.ogg"),
  ]
  assert (tmp_path / "out" / "good.csv").is_file()
  assert (tmp_path / "out" / "sub" / "more.csv").is_file()


def test_one_sample_and_eight_channels_at_192_khz_are_fine(run, tmp_path):
  one = write_wav(tmp_path / "one.wav", np.zeros(1))
  channels = np.tile(small.signal(1.5, rate=192_000)[:, None], (1, 8))
  many = write_wav(tmp_path / "many.wav", channels, 192_000)
  code, out, error = run(one, many, "--json")
  assert (code, error) == (0, [])
  seconds = [json.loads(line)["duration_seconds"] for line in out]
  assert seconds == [1 / RATE, 1.5]


def test_a_peak_above_one_is_a_warning(run, tmp_path):
  waveform = np.linspace(-3, 3, RATE)
  loud = write_wav(tmp_path / "l.wav", waveform, subtype="FLOAT")
  code, out, error = run(loud)
  assert code == 0 and out
  (line,) = error
  assert line.startswith("inference.py: warning: ") and "l.wav" in line


# ---- wrong usage ------------------------------------------------------------


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--model", "yoho_everday"], "did you mean 'yoho_everyday'"),
    (["--model", "absent.tflite"], "model must be a file"),
    (["--model", __file__], "model must be one of"),
    (["--set", "postprocess.treshold=1"], "did you mean 'threshold'?"),
    (["--set", "postprocess.low=x"], "must be of type float; received 'x'"),
    (["--set", "postprocess.low"], "--set must be KEY=VALUE"),
    (["--set", "slots=2"], "part of the trained network"),
    (["--format", "nonsense"], "csv,json,audacity, got 'nonsense'"),
    (["--format", "csv,"], "csv,json,audacity, got ''"),
    (["--threshold", "1.5"], "must be a number in 0..1, got '1.5'"),
    (["--threshold", "nan"], "must be a number in 0..1, got 'nan'"),
    (["--threshold", "high"], "must be a number in 0..1, got 'high'"),
    (["--top", "0"], "must be a whole number of at least 1, got '0'"),
    (["--top", "few"], "must be a whole number of at least 1, got 'few'"),
    (["--hop", "0.5"], "patch_hop_seconds"),
    (["--nonsense"], "unrecognized arguments: --nonsense"),
  ],
)
def test_wrong_usage_is_code_2(arguments, message, run, good):
  code, out, error = run(good, *arguments)
  assert (code, out) == (2, [])
  assert error[0].startswith("usage: inference.py")
  assert error[-1].startswith("inference.py: error: ") and message in error[-1]
  assert sum(line.startswith("inference.py: ") for line in error) == 1


def test_without_audio_the_usage_is_shown(run):
  code, out, error = run()
  assert (code, out) == (2, []) and "required: audio" in error[-1]


@pytest.mark.parametrize("option", ["--plot", "--embeddings"])
def test_options_for_one_recording_refuse_two(option, run, tmp_path, good):
  other = write_wav(tmp_path / "other.wav", small.signal(1))
  target = tmp_path / "out.png"
  code, out, error = run(good, other, option, target)
  assert (code, out) == (2, [])
  assert f"{option} takes one recording, got 2" in error[-1]
  assert not target.exists()


def test_embeddings_need_yamnet(run, tmp_path, good):
  code, out, error = run(good, "--embeddings", tmp_path / "e.npz")
  assert (code, out, len(error)) == (1, [], 1)
  assert "--model yamnet" in error[0] and not (tmp_path / "e.npz").exists()


def test_help_names_every_format(run):
  code, out, error = run("--help")
  assert (code, error) == (0, [])
  assert "csv,json,audacity" in "".join(out)


# ---- stdout -----------------------------------------------------------------


def test_the_table_and_the_summary_are_the_json_events(run, radio):
  code, out, error = run(radio)
  assert (code, error) == (0, [])
  events = events_of(run(radio, "--json")[1][0])
  head, *body, summary = out
  assert head.split() == ["start", "end", "label", "score"]
  assert len(body) == len(events) > 0
  for line, event in zip(body, events):
    start, end, rest = line.split(maxsplit=2)
    label, score = rest.rsplit(maxsplit=1)
    assert label.strip() == event["label"]
    for text, value in ((start, event["start"]), (end, event["end"])):
      assert float(text) == pytest.approx(value, abs=0.0051)
    assert float(score) == pytest.approx(event["score"], abs=0.0051)
  assert summary.startswith(f"{radio}: {len(events)} event")


def test_quiet_leaves_one_line_per_file(run, radio, good):
  loud = run(radio, good)
  code, out, error = run(radio, good, "--quiet")
  assert (code, error) == (0, [])
  assert [line.split(": ")[0] for line in out] == [str(radio), str(good)]
  assert set(out) < set(loud[1])
  assert len(run(radio, good, "-q", "--json")[1]) == 2


def test_json_lines_are_json(run, radio, good):
  code, out, error = run(radio, good, "--json")
  assert (code, error, len(out)) == (0, [], 2)
  for line, path in zip(out, (radio, good)):
    result = json.loads(line)
    assert result["filename"] == str(path)
    assert result["model"] == "yoho_everyday"
    assert result["labels"] == list(hub.load("yoho_everyday").labels)
    for event in result["events"]:
      assert 0 <= event["start"] < event["end"] <= result["duration_seconds"]
      assert 0 <= event["score"] <= 1 and event["label"] in result["labels"]


def test_a_file_given_twice_is_answered_once(run, good):
  code, out, _ = run(good, good.parent, os.path.relpath(good), "--json")
  assert code == 0 and len(out) == 1


# ---- thresholds, settings, top ----------------------------------------------


def test_raising_the_threshold_never_adds_an_event(run, radio):
  """Above every label's `low` events go as they are, with no edge moved.

  Below it they may grow into one another: what a higher threshold finds lies
  inside what a lower one finds.
  """
  post = hub.load("yoho_everyday").params.postprocess
  labels = hub.load("yoho_everyday").labels
  low = max(post.for_label(label).low for label in labels)
  thresholds = [0.01, 0.05, 0.1, 0.2, 0.3, low, 0.6, 0.8, 0.9, 0.97, 1.0]
  found = []
  for threshold in sorted(thresholds):
    code, out, _ = run(radio, "--json", "--threshold", threshold)
    assert code == 0
    found.append((threshold, events_of(out[0])))
  for (lower, more), (higher, fewer) in zip(found, found[1:]):
    if lower >= low:
      assert fewer == [e for e in more if e["score"] >= higher]
    for event in fewer:
      assert event["score"] >= higher
      assert any(
        event["label"] == e["label"]
        and e["start"] <= event["start"]
        and event["end"] <= e["end"]
        for e in more
      )
  assert len(found[0][1]) > len(found[-2][1])


def test_lowering_the_threshold_finds_more(run, radio):
  seconds = [
    sum(
      e["end"] - e["start"]
      for e in events_of(run(radio, "--json", "--threshold", t)[1][0])
    )
    for t in ("0.02", "0.5")
  ]
  assert seconds[0] > 1.2 * seconds[1] > 0


def test_threshold_zero_is_taken(run, good):
  code, out, error = run(good, "--json", "--threshold", 0)
  assert (code, error) == (0, []) and events_of(out[0])


def test_the_threshold_takes_the_place_of_tuned_ones_only(run, radio):
  """`low`, gaps and shortest durations stay those of the model."""
  model = hub.load("yoho_everyday")
  seen = []

  def spy(model, settings):
    seen.append(original(model, settings))
    return seen[-1]

  original = hub.configured
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(hub, "configured", spy)
    run(radio, "--threshold", "0.99")
  post = seen[-1].params.postprocess
  for label in model.labels:
    tuned = model.params.postprocess.for_label(label)
    assert post.for_label(label) == dataclasses.replace(tuned, threshold=0.99)


def test_a_setting_is_used(run, radio):
  plain = events_of(run(radio, "--json")[1][0])
  long = 0.5 + min(e["end"] - e["start"] for e in plain)
  code, out, error = run(
    radio, "--json", "--set", f"postprocess.min_duration_seconds={long}"
  )
  assert (code, error) == (0, [])
  assert events_of(out[0]) == [
    e for e in plain if e["end"] - e["start"] >= long
  ]


def test_a_setting_for_one_label(run, radio):
  plain = events_of(run(radio, "--json")[1][0])
  setting = "postprocess.per_label.Speech.threshold=1"
  got = events_of(run(radio, "--json", "--set", setting)[1][0])
  assert got == [e for e in plain if e["label"] != "Speech"] != plain


def test_settings_add_up_and_meet_the_threshold(run, radio):
  arguments = ["--set", "postprocess.low=0.4", "--threshold", "0.2"]
  code, out, _ = run(radio, "--json", *arguments)
  got = events_of(out[0])
  assert code == 0 and all(e["score"] >= 0.4 for e in got)  # `low` stays


def test_top_keeps_the_surest_in_order_of_time(run, radio):
  low = ["--json", "--threshold", "0.05"]
  every = events_of(run(radio, *low)[1][0])
  assert len(every) > 3
  got = events_of(run(radio, *low, "--top", 2)[1][0])
  best = sorted(every, key=lambda e: -e["score"])[:2]
  assert got == [e for e in every if e in best]
  assert events_of(run(radio, *low, "--top", 1000)[1][0]) == every
