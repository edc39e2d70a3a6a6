"""`yoho data synth`: the same bytes, however the run went."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from yoho_tf import audio, readers
from yoho_tf.cli import data_synth
from yoho_tf.data import sources
from yoho_tf.data.synth import dataset
from yoho_tf.files import sha256
from yoho_tf.labels import ClassMap
from yoho_tf.params import from_json

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000
QUICK = (
  "--set=scene.duration_seconds=1",
  "--set=scene.event_seconds=0.2,0.5",
  "--set=scene.num_events=1,3",
)


def arguments(source_folder, out, *more, num=5, split="train", seed=1):
  values = {"sources": source_folder, "out": out, "num-scenes": num}
  values |= {"split": split, "seed": seed}
  return [*(f"--{k}={v}" for k, v in values.items()), *QUICK, *more]


def synth(*args, **options):
  assert data_synth.main(arguments(*args, **options), "yoho data synth") == 0


def sums(folder):
  """{path: checksum} of every file."""
  return {
    path.relative_to(folder).as_posix(): sha256(path)
    for path in sorted(Path(folder).rglob("*"))
    if path.is_file()
  }


@pytest.fixture(scope="module")
def scenes(source_folder, tmp_path_factory):
  """Five scenes with stems, made by one process."""
  out = tmp_path_factory.mktemp("scenes") / "one"
  synth(source_folder, out, "--stems")
  return out


# ---- the same bytes ---------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 7])
def test_workers_change_no_byte(source_folder, scenes, tmp_path, workers):
  synth(source_folder, tmp_path / "x", "--stems", f"--workers={workers}")
  assert sums(tmp_path / "x") == sums(scenes)


def test_fewer_scenes_are_the_first_ones(source_folder, scenes, tmp_path):
  synth(source_folder, tmp_path, "--stems", num=2)
  one, all_of_them = (
    dataset.read_lines(p / "scenes.jsonl") for p in (tmp_path, scenes)
  )
  assert len(one) == 2 and one == dict(list(all_of_them.items())[:2])
  synth(source_folder, tmp_path, "--stems")  # the rest
  assert sums(tmp_path) == sums(scenes)


def test_a_damaged_scene_is_made_again(source_folder, scenes, tmp_path, capsys):
  synth(source_folder, tmp_path, "--stems")
  files = [
    tmp_path / "audio/train/train_000001.wav",
    next((tmp_path / "stems/train/train_000003").iterdir()),
  ]
  files[0].write_bytes(b"RIFF")
  files[1].unlink()
  (tmp_path / "audio/train/.7.part.train_000002.wav").write_bytes(b"torn")
  with open(tmp_path / ".scenes.part.jsonl", "w") as journal:
    journal.write('{"id": "train_0000')  # a line that was being written
  capsys.readouterr()
  synth(source_folder, tmp_path, "--stems")
  assert "3 of 5 scenes are there already" in capsys.readouterr().out
  assert sums(tmp_path) == sums(scenes)


def test_recipes_give_the_same_files(source_folder, scenes, tmp_path, capsys):
  again = [f"--sources={source_folder}", f"--from={scenes / 'scenes.jsonl'}"]
  assert data_synth.main([*again, f"--out={tmp_path / 'a'}", "--stems"]) == 0
  assert sums(tmp_path / "a") == sums(scenes)
  # What does not give the samples of the checksum is noticed.
  text = (scenes / "scenes.jsonl").read_text()
  (tmp_path / "scenes.jsonl").write_text(
    text.replace('"snr_db": ', '"snr_db":1')
  )
  (tmp_path / "params.json").write_text((scenes / "params.json").read_text())
  again[1] = f"--from={tmp_path / 'scenes.jsonl'}"
  capsys.readouterr()
  assert data_synth.main([*again, f"--out={tmp_path / 'b'}"]) == 1
  assert "train_000000: other samples" in capsys.readouterr().err


def start(source_folder, out, *more, hash_seed="0", **options):
  command = [sys.executable, "-m", "yoho_tf.cli.data_synth"]
  command += arguments(source_folder.resolve(), out.resolve(), *more, **options)
  path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
  env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
  return subprocess.Popen(
    command, cwd=out.parent, env=env, stdout=subprocess.DEVNULL
  )


def test_a_killed_run_goes_on(source_folder, tmp_path):
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  synth(source_folder, whole, num=60)
  run = start(source_folder, killed, "--workers=2", num=60, hash_seed="1")
  for _ in range(3000):
    if len(list(killed.glob("audio/train/[!.]*.wav"))) >= 3:
      break
    assert run.poll() is None, "it should have been killed first"
    time.sleep(0.02)
  run.send_signal(signal.SIGKILL)
  run.wait()
  assert not (killed / "scenes.jsonl").exists()
  assert len(sums(killed / "audio")) < 60
  run = start(source_folder, killed, num=60, hash_seed="2")
  assert run.wait() == 0
  assert sums(killed) == sums(whole)


# ---- what is in the folder --------------------------------------------------


def test_the_tables_say_what_the_scenes_hold(source_folder, scenes):
  lines = dataset.read_lines(scenes / "scenes.jsonl")
  strong = readers.read(scenes / "metadata" / "train.tsv").events
  durations = readers.read(scenes / "durations.tsv").durations
  tags = readers.read(scenes / "tags.tsv").tags
  labels = ClassMap.read(scenes / "class_map.csv").names
  params = from_json((scenes / "params.json").read_text())
  assert params.labels == labels and params.duration_seconds == 1.0
  assert {"Bark", "Rain", "Speech", "Walk, footsteps"} <= set(labels)
  report = json.loads((scenes / "report.json").read_text())["train"]
  assert report["scenes"] == 5 and report["seconds"] == 5.0
  for name, line in lines.items():
    filename = f"{name}.wav"
    waveform = audio.read(scenes / "audio" / "train" / filename)
    assert len(waveform) == RATE and durations[filename] == 1.0
    own = strong[strong.filename == filename]
    assert [[e.start, e.end, e.label] for e in own] == line["labels"]
    heard = {t.label for t in tags if t.filename == filename}
    assert heard == set(own.label)
    jams = readers.read(scenes / "jams" / "train" / f"{name}.jams")
    assert [e[:3] for e in jams.events] == [e[:3] for e in own]
    assert dict(jams.durations) == {filename: 1.0}
    stems = sorted((scenes / "stems" / "train" / name).iterdir())
    assert len(stems) == len(line["recipe"]["events"]) + 1
    total = sum(audio.read(stem).astype(np.float64) for stem in stems)
    assert np.abs(total - waveform).max() <= (len(stems) + 1) / 2**15
  counts = {name: int((strong.label == name).sum()) for name in labels}
  assert report["events"] == counts
  assert abs(sum(report["polyphony_seconds"].values()) - 5) < 1e-4
  seconds = sum(int(k) * v for k, v in report["polyphony_seconds"].items())
  assert abs(seconds - sum(report["event_seconds"].values())) < 1e-4
  with open(scenes / "metadata" / "train_sources.csv") as file:
    ids = {row["source_id"] for row in csv.DictReader(file)}
  used = {
    piece["source_id"]
    for line in lines.values()
    for event in line["recipe"]["events"]
    for piece in event["pieces"]
  }
  assert used <= ids


def test_jams_hold_what_scaper_says(scenes):
  line = dataset.read_lines(scenes / "scenes.jsonl")["train_000000"]
  path = scenes / "jams" / "train" / "train_000000.jams"
  (annotation,) = json.loads(path.read_text())["annotations"]
  assert annotation["namespace"] == "scaper"
  *rows, background = annotation["data"]
  assert background["value"]["role"] == "background"
  found = {row["value"]["event_time"]: row["value"] for row in rows}
  for event in line["recipe"]["events"]:
    value = found[event["start"] / RATE]
    own = sum(p["stop"] - p["first"] for p in event["pieces"])
    assert value["event_duration"] == own / RATE  # before stretching
    assert value["snr"] == event["snr_db"]
    assert value["source_file"] == event["pieces"][0]["file"]


def test_jams_are_valid(scenes):
  jams = pytest.importorskip("jams", reason="the reference reader of JAMS")
  for path in sorted((scenes / "jams" / "train").iterdir()):
    assert jams.load(str(path), validate=True, strict=True).validate()


def test_splits_share_a_folder_and_no_source(source_folder, tmp_path):
  for split in ("train", "val", "test"):
    synth(source_folder, tmp_path, split=split, num=4)
  used, first = {}, {}
  for line in dataset.read_lines(tmp_path / "scenes.jsonl").values():
    recipe = line["recipe"]
    own = used.setdefault(recipe["split"], set())
    for event in recipe["events"]:
      own |= {(p["source_id"], p["file"]) for p in event["pieces"]}
    first.setdefault(recipe["split"], line["labels"])
  assert len(used) == 3 and first["train"] != first["val"]
  for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
    assert not {f for _, f in used[a]} & {f for _, f in used[b]}
    common = {i for i, _ in used[a]} & {i for i, _ in used[b]}
    assert common <= {"words:unknown-speaker"}


# ---- sources ----------------------------------------------------------------


def noise_file(write_wav, path, seconds=0.6):
  rng = np.random.default_rng(len(str(path)))
  return write_wav(path, 0.1 * rng.normal(size=round(seconds * RATE)))


def test_scapers_folders(write_wav, tmp_path):
  folder = tmp_path / "bank"
  for take in range(30):
    for label in ("owl", "car, red"):
      noise_file(write_wav, folder / "foreground" / label / f"{take}.wav")
    noise_file(write_wav, folder / "background" / "park" / f"{take}.wav", 2)
  pools = {s: sources.read_sources(folder, split=s) for s in sources.SPLITS}
  files = [{s.path for s in pool.sources} for pool in pools.values()]
  assert sum(map(len, files)) == 90 == len(set.union(*files))
  assert len(files[0]) > 45
  assert all(pool.labels == ("car, red", "owl") for pool in pools.values())
  out = tmp_path / "out"
  synth(folder, out, "--set=scene.recorded_background_probability=1", num=3)
  assert readers.read(out / "tags.tsv").tags
  with pytest.raises(ValueError, match="none of 'cat', 'dog' in split 'val'"):
    sources.read_sources(folder, split="val", labels=("owl", "cat", "dog"))


def test_a_source_id_in_two_splits_is_an_error(write_wav, tmp_path):
  rows = [("path", "role", "label", "split", "source_id", "licence")]
  for split in ("train", "val"):
    noise_file(write_wav, tmp_path / f"{split}.wav")
    rows.append((f"{split}.wav", "event", "owl", split, "same", "CC0"))
  with open(tmp_path / "manifest.csv", "w", newline="") as file:
    csv.writer(file).writerows(rows)
  with pytest.raises(ValueError, match="1 in several: same"):
    sources.read_sources(tmp_path, split="train")


def test_broken_sources(source_folder, write_wav, tmp_path, capsys):
  rows = [("path", "role", "label", "source_id", "licence", "start", "end")]
  for take in range(3):
    noise_file(write_wav, tmp_path / f"{take}.wav")
    rows.append((f"{take}.wav", "event", "owl", f"id{take}", "CC0", 0.1, 0.5))
  (tmp_path / "1.wav").write_bytes(b"no sound")
  with open(tmp_path / "manifest.csv", "w", newline="") as file:
    csv.writer(file).writerows(rows)
  args = arguments(tmp_path, tmp_path / "out", split="all", num=6)
  assert data_synth.main(args) == 1
  assert "1.wav" in capsys.readouterr().err
  args = arguments(tmp_path, tmp_path / "new", "--skip-broken", split="all")
  assert data_synth.main(args) == 1
  error = capsys.readouterr().err
  assert error.count("skipped") == 1 and "1.wav" in error
  lines = dataset.read_lines(tmp_path / "new" / "scenes.jsonl")
  pieces = [
    piece
    for line in lines.values()
    for event in line["recipe"]["events"]
    for piece in event["pieces"]
  ]
  assert {p["file"] for p in pieces} <= {"0.wav", "2.wav"}
  # Only the part between start and end is used.
  assert all(1_600 <= p["first"] < p["stop"] <= 8_000 for p in pieces)


# ---- errors -----------------------------------------------------------------


@pytest.mark.parametrize(
  "more, options, message",
  [
    (["--set=scene.max_overlap=1"], {}, "params.json: the settings must be"),
    ([], {"seed": 2}, "seed must be those of the scenes already"),
    ([], {"split": "all"}, "split 'all' must be alone"),
    (["--set=max_overlap=1"], {}, "--set must be scene.KEY=VALUE"),
    (["--set=scene.max_overlp=1"], {}, "did you mean 'max_overlap'"),
    ([], {"num": -1}, "num_scenes must be at least 0"),
    (["--workers=0"], {}, "workers at least 1"),
  ],
)
def test_errors(source_folder, scenes, capsys, more, options, message):
  before = sums(scenes)
  args = arguments(source_folder, scenes, "--stems", *more, **options)
  assert data_synth.main(args) == 1
  error = capsys.readouterr().err
  assert message in error and error.count("\n") == 1
  assert sums(scenes) == before


@pytest.mark.parametrize(
  "argv",
  [
    ["--sources=a", "--out=b"],
    ["--sources=a", "--out=b", "--from=c", "--seed=1"],
    ["--sources=a", "--out=b", "--num-scenes=1", "--split=dev"],
  ],
)
def test_usage(argv, capsys):
  with pytest.raises(SystemExit, match="2"):
    data_synth.main(argv)


# ---- the published recipe, on the real folder -------------------------------


@pytest.mark.large
def test_urban_scenes_of_real_recordings(shared, tmp_path):
  argv = [f"--sources={shared / 'audio'}", f"--out={tmp_path}", "--seed=1"]
  for split in sources.SPLITS:
    more = ["--preset=urban", f"--split={split}", "--num-scenes=20"]
    assert data_synth.main([*argv, *more]) == 0
  report = json.loads((tmp_path / "report.json").read_text())
  ids = {}
  for line in dataset.read_lines(tmp_path / "scenes.jsonl").values():
    own = ids.setdefault(line["recipe"]["split"], set())
    for event in line["recipe"]["events"]:
      own |= {piece["source_id"] for piece in event["pieces"]}
  assert not ids["train"] & ids["val"] and not ids["train"] & ids["test"]
  assert not ids["val"] & ids["test"]
  for split in sources.SPLITS:
    assert report[split]["scenes"] == 20 and report[split]["seconds"] == 200
    assert max(map(int, report[split]["polyphony_seconds"])) <= 3
    assert sum(report[split]["events"].values()) > 40
