"""`yoho evaluate events`: numbers, files, formats, options, exit codes."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import write_wav
from yoho_tf import hub
from yoho_tf.annotations import Annotations, FrameScores
from yoho_tf.cli import evaluate
from yoho_tf.events import EventTable
from yoho_tf.readers import read
from yoho_tf.writers import write

REFERENCE = [
  ("x.wav", 1.0, 3.0, "dog"),
  ("x.wav", 5.0, 6.0, "cat"),
  ("y.wav", 0.0, 4.0, "cat"),
  ("y.wav", 6.0, 8.5, "dog"),
  ("z.wav", 2.0, 2.75, "dog"),
]
ESTIMATE = [
  ("x.wav", 1.125, 3.0, "dog", 0.9),
  ("x.wav", 5.5, 6.25, "cat", 0.75),
  ("y.wav", 0.0, 3.875, "cat", 0.5),
  ("y.wav", 1.0, 2.0, "dog", 0.25),
  ("z.wav", 2.0, 2.75, "dog", 0.625),
]
OTHER = [row for row in ESTIMATE if row[0] != "z.wav"]
SECONDS = {"x.wav": 10.0, "y.wav": 10.0, "z.wav": 10.0}


def table(rows):
  names = ("filename", "start", "end", "label", "score")
  columns = dict(zip(names, zip(*rows)))
  return EventTable.from_columns(**{k: list(v) for k, v in columns.items()})


def put(path, rows):
  write(Annotations(events=table(rows)), path, format="desed_strong")
  return path


@pytest.fixture
def run(capsys):
  """run(*arguments) -> (exit code, stdout, lines of stderr)"""

  def run(*arguments):
    capsys.readouterr()
    try:
      code = evaluate.main([str(a) for a in arguments])
    except SystemExit as end:  # argparse
      code = end.code
    out, error = capsys.readouterr()
    return code, out, error.splitlines()

  return run


@pytest.fixture
def report(run):
  """report(*arguments) -> the JSON of a run that must succeed"""

  def report(*arguments):
    code, out, error = run(*arguments, "--json")
    assert code == 0, error
    return json.loads(out)

  return report


@pytest.fixture
def files(tmp_path):
  """Reference, estimate, durations."""
  durations = tmp_path / "durations.tsv"
  write(Annotations(durations=SECONDS), durations, format="desed_durations")
  return (
    put(tmp_path / "reference.tsv", REFERENCE),
    put(tmp_path / "estimate.tsv", ESTIMATE),
    durations,
  )


def numbers(body, column="value"):
  return {
    (row["metric"], row["label"], row["quantity"]): row[column]
    for row in body["rows"]
    if column in row
  }


def same(one, other):
  assert one.keys() == other.keys()
  for key, value in one.items():
    equal = value == other[key]
    assert equal or (math.isnan(value) and math.isnan(other[key])), key


@pytest.fixture(scope="module")
def desed(shared):
  folder = shared / "metrics" / "desed_student"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data/metrics/desed_student")
  return folder


def test_known_numbers_on_the_screen_and_in_files(desed, run, tmp_path):
  arguments = (
    desed / "validation.tsv",
    desed / "predictions0.5.csv",
    "--durations",
    desed / "validation_durations.tsv",
    "--scores",
    desed / "predictions_operating_points",
    "--metrics",
    "segment,event,psds",
    "--bootstrap",
    "--set",
    "bootstrap.num_samples=10",
  )
  paths = [tmp_path / f"out{ending}" for ending in (".json", ".csv")]
  code, out, error = run(*arguments, "--out", paths[0])
  assert (code, error) == (0, [])
  lines = {tuple(line.split()[:2]): line for line in out.splitlines()}
  for key, text in (
    (("event", "f1"), "40.95 %"),
    (("segment", "f1"), "75.49 %"),
    (("psds1", "psds"), "0.3345"),
    (("psds2", "psds"), "0.5281"),
  ):
    line = next(
      line
      for line in out.splitlines()
      if tuple(line.split()[:2]) == key and "macro" not in line
    )
    assert text in line and "[" in line, lines
  body = json.loads(paths[0].read_text())
  low, high = (numbers(body, name) for name in ("low", "high"))
  value = numbers(body)["psds1", "", "psds"]
  assert value == pytest.approx(0.33446856021631743, abs=1e-9)
  assert low["psds1", "", "psds"] < value < high["psds1", "", "psds"]


@pytest.mark.parametrize("ending", [".json", ".csv", ".tsv", ".md"])
def test_files_read_back_equal(files, report, tmp_path, ending):
  path = tmp_path / f"out{ending}"
  body = report(
    *files[:2], "--durations", files[2], "--bootstrap", "--out", path
  )
  if ending == ".json":
    assert json.loads(path.read_text()) == body
    return
  with open(path, newline="", encoding="utf-8") as file:
    if ending == ".md":
      lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in file
      ]
      rows = [dict(zip(lines[0], line)) for line in lines[2:]]
    else:
      delimiter = "\t" if ending == ".tsv" else ","
      rows = list(csv.DictReader(file, delimiter=delimiter))
  assert len(rows) == len(body["rows"])
  for row, expected in zip(rows, body["rows"]):
    for name, value in expected.items():
      if isinstance(value, str):
        assert row[name] == value
      else:  # JSON writes null for NaN
        value = math.nan if value is None else value
        same({name: float(row[name])}, {name: value})


@pytest.mark.parametrize(
  ("name", "ending"),
  [
    ("desed_strong", ".csv"),
    ("json", ".json"),
    ("raven", ""),
    ("jams", ""),
    ("audacity", ""),
  ],
)
def test_every_format_gives_the_same_numbers(
  files, report, tmp_path, name, ending
):
  expected = report(*files[:2], "--durations", files[2])
  pair = []
  for role, rows in (("reference", REFERENCE), ("estimate", ESTIMATE)):
    path = tmp_path / f"{role}_copy{ending}"
    if not ending:
      path.mkdir()
    write(Annotations(events=table(rows)), path, format=name)
    pair.append(path)
  found = report(*pair, "--durations", files[2])
  kept = [
    k for k in numbers(expected) if name != "audacity" or "psds" not in k[0]
  ]
  kept = [k for k in kept if k in numbers(found)]
  assert ("event", "", "f1_micro") in kept
  same(
    {k: numbers(found)[k] for k in kept},
    {k: numbers(expected)[k] for k in kept},
  )
  if name != "audacity":  # it has no scores
    assert numbers(found).keys() == numbers(expected).keys()


@pytest.mark.large
@pytest.mark.parametrize("name", ["csv", "tsv", "json", "raven", "jams"])
def test_a_whole_set_gives_the_same_numbers(desed, report, tmp_path, name):
  pair = desed / "validation.tsv", desed / "predictions0.5.csv"
  common = ("--durations", desed / "validation_durations.tsv")
  expected = report(*pair, *common)
  copies = []
  for path in pair:
    copy = tmp_path / f"{path.stem}.{name}"
    if name in ("raven", "jams"):
      copy.mkdir()
    write(Annotations(events=read(path).events), copy, format=name)
    copies.append(copy)
  same(numbers(report(*copies, *common)), numbers(expected))


def test_unknown_spans_are_said(files, run, tmp_path):
  notes = Annotations(
    events=table(REFERENCE), unknown=table([("x.wav", 8.0, 9.0, "dog")])
  )
  path = tmp_path / "partly.json"
  write(notes, path, format="json")
  code, _, error = run(path, files[1])
  assert code == 0
  assert len(error) == 1 and f"{path}: 1 spans nobody labelled" in error[0]


def test_two_files_of_one_recording_are_compared_whatever_their_names(
  report, tmp_path
):
  rows = ["0.5\t2.0\tdog\n", "3.0\t4.0\tcat\n"]
  (tmp_path / "truth.ann").write_text("".join(rows))
  (tmp_path / "system.txt").write_text(rows[0])
  write(
    Annotations(durations={"clip.wav": 10.0}),
    tmp_path / "d.tsv",
    format="desed_durations",
  )
  body = report(
    tmp_path / "truth.ann",
    tmp_path / "system.txt",
    "--durations",
    tmp_path / "d.tsv",
  )
  assert body["results"]["event"]["num_files"] == 1
  assert numbers(body)["event", "", "tp"] == 1
  assert body["results"]["segment"]["total_seconds"] == 10.0


def test_presets_settings_and_conventions(files, run, report):
  strict = report(*files[:2])
  loose = report(*files[:2], "--preset", "tut2017")
  assert numbers(loose)["event", "", "tp"] > numbers(strict)["event", "", "tp"]
  one = report(*files[:2], "--set", "event.start_collar_seconds=0.05")
  assert numbers(one)["event", "", "tp"] == 2
  assert one["conventions"] == [
    "event.start_collar_seconds = 0.05 (default 0.2)"
  ]
  assert one["params"]["event"]["start_collar_seconds"] == 0.05
  _, out, _ = run(*files[:2], "--set", "event.start_collar_seconds=0.05")
  assert one["conventions"][0] in out


def test_metrics_chosen_and_classes(files, run):
  code, out, _ = run(*files[:2], "--metrics", "event", "--class-wise")
  assert code == 0
  assert "segment" not in out
  assert [line.split()[0] for line in out.splitlines()[-2:]] == ["cat", "dog"]


def test_a_metric_that_was_asked_for_and_cannot_be_had(files, run):
  code, _, error = run(*files[:2], "--metrics", "event,psds1")
  assert code == 1
  assert error == ["yoho evaluate: psds1 left out: no durations"]


def test_thresholds(files, report, tmp_path):
  scored = ("--durations", files[2], "--metrics", "event,map,psds")
  every = report(*files[:2], *scored)
  high = report(*files[:2], *scored, "--thresholds", 0.6)
  path = tmp_path / "thresholds.json"
  path.write_text(json.dumps({"dog": 0.6, "cat": 0.6}))
  same(
    numbers(report(*files[:2], *scored, "--thresholds", path)), numbers(high)
  )
  assert numbers(every)["event", "", "fp"] > numbers(high)["event", "", "fp"]
  for metric, quantity in (("temporal_iou", "map"), ("psds1", "psds")):
    key = (metric, "", quantity)  # they rank, so no threshold touches them
    assert numbers(every)[key] == numbers(high)[key]


def test_a_threshold_for_every_label(files, run, tmp_path):
  path = tmp_path / "thresholds.json"
  path.write_text('{"dog": 0.6, "cats": 0.6}')
  code, _, error = run(*files[:2], "--thresholds", path)
  assert code == 1
  assert len(error) == 1 and "did you mean 'cats'" in error[0]


def frame_scores(rows):
  """Scores in frames of 1/8 s: the score of the event, else .03125."""
  scores = {}
  column = {"cat": 0, "dog": 1}
  for name in SECONDS:
    values = np.full((80, 2), 0.03125)
    for _, start, end, label, score in (r for r in rows if r[0] == name):
      values[int(start * 8) : int(end * 8), column[label]] = score
    scores[name.removesuffix(".wav")] = values
  return FrameScores(scores, np.arange(81) / 8, ("cat", "dog"))


def test_frame_scores_as_estimate(files, report, tmp_path):
  folder = tmp_path / "scores"
  folder.mkdir()
  write(frame_scores(ESTIMATE), folder, format="score_tsv")
  common = ("--durations", files[2], "--match", "stem")
  frames = report(files[0], folder, *common, "--thresholds", 0.4)
  rows = [row for row in ESTIMATE if row[4] > 0.4]
  events = report(files[0], put(tmp_path / "at.tsv", rows), *common)
  key = ("event", "", "f1_micro")
  assert numbers(frames)[key] == numbers(events)[key]
  assert {"psds1", "psds2", "tagging"} <= frames["results"].keys()


def test_operating_points_as_estimate(files, report, tmp_path):
  folder = tmp_path / "points"
  folder.mkdir()
  for threshold in (0.2, 0.7):
    rows = [row for row in ESTIMATE if row[4] > threshold]
    put(folder / f"at_{threshold}.tsv", rows)
  arguments = (files[0], folder, "--durations", files[2])
  body = report(*arguments)
  assert set(body["results"]) == {"psds1", "psds2"}
  body = report(*arguments, "--thresholds", 0.7)
  assert numbers(body)["event", "", "fp"] == 1


def test_comparison(files, run, report, tmp_path):
  other = put(tmp_path / "other.tsv", OTHER)
  body = report(*files[:2], "--compare", other, "--metrics", "event")
  key = ("event", "", "recall_micro")
  value, theirs = numbers(body)[key], numbers(body, "other")[key]
  assert numbers(body, "difference_value")[key] == pytest.approx(value - theirs)
  low = numbers(body, "difference_low")[key]
  assert low <= value - theirs <= numbers(body, "difference_high")[key]
  body = report(*files[:2], "--compare", files[1], "--metrics", "event")
  assert set(numbers(body, "difference_low").values()) <= {0.0, None}
  code, out, _ = run(*files[:2], "--compare", other, "--metrics", "event")
  assert code == 0 and "above 0" in out


def test_bootstrap_is_repeatable(files, report):
  one = report(*files[:2], "--bootstrap")
  other = report(*files[:2], "--bootstrap")
  assert numbers(one, "low") == numbers(other, "low")
  seed = report(*files[:2], "--bootstrap", "--set", "bootstrap.seed=1")
  assert numbers(one, "low") != numbers(seed, "low")


BAD = (
  "filename\tonset\toffset\tevent_label\nx.wav\t1\t{}\tdog\nx.wav\t2\t3\tdog\n"
)


@pytest.mark.parametrize(
  ("cell", "words"),
  [
    ("1", [":2:", "end must be greater than start"]),
    ("0.5", [":2:", "end must be greater than start"]),
    ("one", [":2:", "offset must be a number", "'one'"]),
    ("nan", [":2:", "offset must be a number", "'nan'"]),
    ("", [":2:", "offset"]),
  ],
)
def test_a_bad_cell_is_named_in_one_line(files, run, tmp_path, cell, words):
  path = tmp_path / "bad.tsv"
  path.write_text(BAD.format(cell))
  code, out, error = run(files[0], path)
  assert (code, out, len(error)) == (1, "", 1)
  assert all(word in error[0] for word in [str(path), *words]), error
  code, out, error = run(files[0], path, "--drop-invalid", "--metrics", "event")
  assert (code, error) == (0, [])
  assert "estimate rows dropped: 1" in out


def test_dropped_rows_of_a_list_without_header(run, tmp_path):
  (tmp_path / "a.txt").write_text("0.5\t2.0\tdog\n3\t2.5\tdog\n4\t5\tdog\n")
  (tmp_path / "b.txt").write_text("0.5\t2.0\tdog\n4\t5\tdog\n")
  code, out, _ = run(tmp_path / "a.txt", tmp_path / "b.txt", "--drop-invalid")
  assert code == 0
  assert "reference rows dropped: 1" in out and "100.00 %" in out


def test_unknown_label_and_file(files, run, tmp_path):
  typo = put(tmp_path / "typo.tsv", [*ESTIMATE, ("x.wav", 7, 8, "dgo", 0.5)])
  code, _, error = run(files[0], typo)
  assert code == 1 and len(error) == 1
  assert error[0].startswith(f"yoho evaluate: {typo}: label must be one of")
  assert "did you mean 'dog'" in error[0] and "row 5" in error[0]
  wrong = put(tmp_path / "wrong.tsv", [("a/x.wav", 1.125, 3, "dog", 0.5)])
  code, _, error = run(files[0], wrong, "--durations", files[2])
  assert code == 1 and "match='basename'" in error[0]
  arguments = (files[0], wrong, "--durations", files[2], "--match", "basename")
  assert run(*arguments)[0] == 0


def test_every_bad_input_is_named(files, run, tmp_path):
  path = tmp_path / "bad.tsv"
  path.write_text(BAD.format("one"))
  absent = tmp_path / "absent.tsv"
  code, _, error = run(path, absent, "--durations", path)
  assert code == 1 and len(error) == 3
  assert str(path) in error[0] and str(path) in error[1]
  assert str(absent) in error[2]


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ((), "ESTIMATE is missing"),
    (("e", "--preset", "desd"), "did you mean 'desed'"),
    (("e", "--set", "event.collar=1"), "event.collar"),
    (("e", "--set", "event"), "KEY=VALUE"),
    (("e", "--metrics", "evnt"), "did you mean 'event'"),
    (("e", "--out", "report.doc"), ".json, .csv, .tsv, .md"),
    (("e", "--audio", "d"), "--model"),
    (("--model", "m"), "--audio"),
    (("e", "--model", "m", "--audio", "d"), "not both"),
    (("e", "--tune", "o.json"), "--tune needs"),
    (("e", "--smooth-reference"), "--smooth-reference needs"),
    (("e", "--match", "same"), "--match"),
  ],
)
def test_usage(files, run, arguments, words):
  code, out, error = run("events", files[0], *arguments)
  assert (code, out) == (2, "")
  assert words in error[-1]


def test_tasks(run):
  code, out, _ = run("--help")
  assert code == 0 and all(task in out for task in evaluate.TASKS)
  assert run() == (2, out, [])
  code, _, error = run("event")
  assert code == 2 and "did you mean 'events'" in error[0]
  assert run("scenes")[0] == 2  # --sources is missing


@pytest.fixture(scope="module")
def model():
  return hub.load("yoho_everyday")


@pytest.fixture
def radio(repository, tmp_path):
  """(reference, folder with audio) of the example, and of silence."""
  examples = repository / "examples"
  folder = tmp_path / "audio"
  folder.mkdir()
  (folder / "radio.flac").write_bytes((examples / "radio.flac").read_bytes())
  write_wav(folder / "silence.wav", np.zeros(32_000))
  write_wav(folder / "unlabelled.wav", np.zeros(32_000))
  events = []
  for line in (examples / "radio.txt").read_text().splitlines():
    start, end, label = line.split("\t")
    events.append(("radio.flac", float(start), float(end), label))
  notes = Annotations(events=table(events), known_empty=["silence.wav"])
  write(notes, tmp_path / "radio.tsv", format="desed_strong")
  return tmp_path / "radio.tsv", folder


def test_a_model(radio, report, model):
  reference, folder = radio
  body = report(
    reference,
    "--model",
    "yoho_everyday",
    "--audio",
    folder,
    "--smooth-reference",
  )
  event = body["results"]["event"]
  assert event["num_files"] == 2  # nobody said what is in the third
  assert event["labels"] == list(model.labels)
  found = model.predict(folder / "radio.flac").events
  silence = model.predict(folder / "silence.wav").events
  assert numbers(body)["event", "", "tp"] + numbers(body)[
    "event", "", "fp"
  ] == len(found) + len(silence)
  assert numbers(body, "smoothed_reference").keys() == numbers(body).keys()


def test_smoothing_closes_the_models_gaps(radio, report, model):
  reference, folder = radio
  label = model.labels[0]
  gap = model.params.postprocess.for_label(label).merge_gap_seconds
  rows = [
    ("radio.flac", 0.5, 1.0, label),
    ("radio.flac", 1.0 + gap, 3.0, label),
  ]
  put(reference, rows)
  arguments = ("--model", "yoho_everyday", "--audio", folder)
  body = report(reference, *arguments, "--smooth-reference")
  counts = [
    numbers(body, column)["event", label, "fn"]
    + numbers(body, column)["event", label, "tp"]
    for column in ("value", "smoothed_reference")
  ]
  assert counts == [2, 1]


def test_an_ensemble_is_the_mean_of_raw_outputs(
  radio, run, report, model, monkeypatch
):
  reference, folder = radio

  def scaled(factor):
    def network(inputs):
      outputs = model.network(inputs)
      return {name: factor * value for name, value in outputs.items()}

    return replace(model, name=f"{factor}", network=network)

  named = {"full": scaled(1.0), "half": scaled(0.5), "mean": scaled(0.75)}
  monkeypatch.setattr(hub, "load", lambda name: named[name])
  audio = ("--audio", folder)
  found = report(reference, "--ensemble", "full", "half", *audio)
  expected = report(reference, "--model", "mean", *audio)
  assert numbers(found) == pytest.approx(numbers(expected), nan_ok=True)
  code, _, error = run(reference, "--ensemble", "full", "full", *audio)
  assert code == 1 and "members must differ" in error[0]


def test_tuning_writes_post_processing(radio, report, run, model, tmp_path):
  reference, folder = radio
  path = tmp_path / "tuned.json"
  arguments = (reference, "--model", "yoho_everyday", "--audio", folder)
  plain = report(*arguments, "--metrics", "event")
  tuned = report(*arguments, "--metrics", "event", "--tune", path)
  values = json.loads(path.read_text())
  assert set(values["per_label"]) == set(model.labels)
  key = ("event", "", "f1_micro")
  assert numbers(tuned)[key] >= numbers(plain)[key]
  _, out, _ = run(*arguments, "--metrics", "event", "--tune", path)
  assert "oracle" in out


def test_audio_that_is_missing_is_named(radio, run):
  reference, folder = radio
  (folder / "silence.wav").unlink()
  arguments = ("--model", "yoho_everyday", "--audio", folder)
  code, _, error = run(reference, *arguments)
  assert code == 1 and "silence.wav" in error[0]
