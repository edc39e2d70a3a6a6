"""What `python inference.py` writes: events, pictures, YAMNet's numbers."""

import contextlib
import csv
import json
import os
import sys
import warnings

import numpy as np
import pytest

from tests import small
from tests.conftest import write_wav
from yoho_tf import files, hub

edge = pytest.mark.edge
RATE = 16_000


def tree(folder):
  """Paths of all files below a folder, with "/"."""
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file()
  )


# ---- files that are written -------------------------------------------------


@edge
def test_output_in_every_format_holds_the_same_events(run, radio, tmp_path):
  out_folder = tmp_path / "deep" / "out"  # made
  code, out, error = run(
    radio, "--json", "-o", out_folder, "--format", "csv,json,audacity"
  )
  assert (code, error) == (0, [])
  assert tree(out_folder) == ["radio.csv", "radio.json", "radio.txt"]
  result = json.loads(out[0])
  assert json.loads((out_folder / "radio.json").read_text()) == result
  with open(out_folder / "radio.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  tracks = [
    line.split("\t")
    for line in (out_folder / "radio.txt").read_text().splitlines()
  ]
  assert len(rows) == len(tracks) == len(result["events"])
  for event, row, track in zip(result["events"], rows, tracks):
    assert row["filename"] == str(radio) and row["label"] == event["label"]
    assert track[2] == event["label"]
    for key, text in (("start", track[0]), ("end", track[1])):
      assert float(row[key]) == event[key] == float(text)


@edge
def test_names_that_collide_keep_their_ending(run, tmp_path):
  for name in ("clip.wav", "clip.flac", "other.wav", "sub/clip.wav"):
    write_wav(tmp_path / "in" / name, small.signal(0.5))
  code, out, error = run(tmp_path / "in", "-o", tmp_path / "out", "-q")
  assert (code, error, len(out)) == (0, [], 4)
  assert tree(tmp_path / "out") == [
    "clip.flac.csv",
    "clip.wav.csv",
    "other.csv",
    "sub/clip.csv",
  ]


@edge
def test_names_that_would_be_one_file_are_refused(run, tmp_path):
  paths = [
    write_wav(tmp_path / name / "clip.wav", np.zeros(10)) for name in "ab"
  ]
  code, out, error = run(*paths, "-o", tmp_path / "out")
  assert (code, out) == (2, [])
  assert "would both be" in error[-1] and not (tmp_path / "out").exists()


@edge
def test_dots_in_names_and_folders_of_the_same_name(run, tmp_path):
  for name in ("take.1.wav", "take.2.wav", "a.b/take.1.wav"):
    write_wav(tmp_path / "in" / name, np.zeros(10))
  code, _, error = run(tmp_path / "in", "-o", tmp_path / "out", "-q")
  assert (code, error) == (0, [])
  names = ["a.b/take.1.csv", "take.1.csv", "take.2.csv"]
  assert tree(tmp_path / "out") == names


ODD = [
  "größe 録音 🔔.wav",
  "with 'quotes' \" and\ttab.wav",
  "-leading.wav",
  "per%cent {brace}.wav",
  "new\nline.wav",
  "x" * 240 + ".wav",
]


@edge
@pytest.mark.parametrize("name", ODD)
def test_odd_names(name, run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  try:
    write_wav(tmp_path / name, small.signal(0.6))
  except OSError:
    pytest.skip("this file system does not take the name")
  code, out, error = run("--json", "-o", "out", "--", name)
  assert (code, error, len(out)) == (0, [], 1)
  assert json.loads(out[0])["filename"] == name
  assert tree(tmp_path / "out") == [name.removesuffix(".wav") + ".csv"]
  code, out, error = run("-q", "--", name)
  assert (code, error, len(out)) == (0, [], 1)
  (tmp_path / name).write_text("no sound")
  code, out, error = run("--", name)
  assert (code, out, len(error)) == (1, [], 1)


@edge
def test_a_name_that_is_no_utf_8(run, tmp_path):
  plain = write_wav(tmp_path / "plain.wav", small.signal(0.6))
  name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
  try:
    os.rename(plain, name)
  except OSError:
    pytest.skip("this file system takes UTF-8 names only")
  code, out, error = run(name, "--json", "-o", tmp_path / "out")
  assert (code, error) == (0, [])
  assert json.loads(out[0])["filename"] == f"{tmp_path}/caf\\xe9.wav"
  assert len(os.listdir(tmp_path / "out")) == 1


@edge
@pytest.mark.parametrize("inner", ["", "/deeper"])
def test_an_output_that_is_a_file_is_one_line(inner, run, tmp_path, good):
  (tmp_path / "taken").write_text("mine")
  code, out, error = run(good, good, "-o", f"{tmp_path}/taken{inner}")
  assert (code, out, len(error)) == (1, [], 1)
  assert "--output must be a folder" in error[0]
  assert (tmp_path / "taken").read_text() == "mine"


@edge
def test_a_write_that_fails_leaves_the_old_file_and_goes_on(
  run, tmp_path, good, monkeypatch
):
  """The disk is full for the first of two files."""
  other = write_wav(tmp_path / "other.wav", small.signal(0.5))
  out_folder = tmp_path / "out"
  out_folder.mkdir()
  (out_folder / "good.csv").write_text("old")
  replacing = files.replacing

  @contextlib.contextmanager
  def full(path):
    with replacing(path) as part:
      yield part
      if path.name == "good.csv":
        assert part.stat().st_size > 0  # half of it was there
        raise OSError(28, "No space left on device", str(path))

  monkeypatch.setattr(files, "replacing", full)
  code, out, error = run(good, other, "--json", "-o", out_folder)
  assert code == 1 and len(error) == 1 and "No space left" in error[0]
  assert [json.loads(line)["filename"] for line in out] == [str(other)]
  assert (out_folder / "good.csv").read_text() == "old"
  assert sorted(os.listdir(out_folder)) == ["good.csv", "other.csv"]


@edge
def test_a_folder_in_the_way_fails_that_file_alone(run, tmp_path, good):
  other = write_wav(tmp_path / "other.wav", small.signal(0.5))
  (tmp_path / "out" / "good.csv").mkdir(parents=True)
  code, out, error = run(good, other, "-q", "-o", tmp_path / "out")
  assert code == 1 and len(error) == len(out) == 1
  assert tree(tmp_path / "out") == ["other.csv"]


# ---- pictures ---------------------------------------------------------------


def test_plot_writes_a_picture(run, radio, tmp_path):
  plt = pytest.importorskip("matplotlib.pyplot")
  code, out, error = run(radio, "--plot", tmp_path / "radio.png", "-q")
  assert (code, error, len(out)) == (0, [], 1)
  assert os.listdir(tmp_path) == ["radio.png"]
  plt.close("all")
  image = plt.imread(tmp_path / "radio.png")
  assert image.shape[0] > 300 and image.shape[1] > 600
  assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 50


@pytest.mark.parametrize(
  ("name", "begin"),
  [("a.PNG", b"\x89PNG\r\n"), ("a", b"\x89PNG\r\n"), ("a.svg", b"<?xml")],
)
def test_the_ending_chooses_the_kind_of_picture(
  name, begin, run, tmp_path, good
):
  plt = pytest.importorskip("matplotlib.pyplot")
  code, _, error = run(good, "--plot", tmp_path / name)
  assert (code, error) == (0, [])
  assert (tmp_path / name).read_bytes().startswith(begin)
  plt.close("all")


def test_plot_of_silence_and_of_one_sample(run, tmp_path):
  plt = pytest.importorskip("matplotlib.pyplot")
  for num_samples in (1, RATE):
    path = write_wav(tmp_path / "a.wav", np.zeros(num_samples))
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      code, _, error = run(path, "--plot", tmp_path / "a.png")
    assert (code, error) == (0, [])
  plt.close("all")


@pytest.mark.parametrize("name", ["a.nonsense", "absent/a.png"])
def test_a_picture_that_cannot_be_written(name, run, tmp_path, good):
  plt = pytest.importorskip("matplotlib.pyplot")
  code, _, error = run(good, "--plot", tmp_path / name)
  assert (code, len(error)) == (1, 1)
  assert os.listdir(tmp_path) == ["good.wav"]
  plt.close("all")


@edge
def test_without_matplotlib_a_picture_is_one_line(
  run, tmp_path, good, monkeypatch
):
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  code, out, error = run(good, "--plot", tmp_path / "a.png")
  assert (code, out, len(error)) == (1, [], 1)
  assert "--plot needs matplotlib" in error[0]


# ---- YAMNet -----------------------------------------------------------------


@pytest.fixture(scope="module")
def lite(shared):
  """The arguments that choose YAMNet's Lite model."""
  path = shared / "yamnet" / "yamnet_lite.tflite"
  if not path.is_file():
    pytest.skip("test data absent: ../shared/data/yamnet")
  return ["--model", "yamnet_lite", "--weights", str(path)]


def test_yamnet_prints_names_and_clip_scores(lite, run, radio):
  code, out, error = run(radio, *lite)
  assert (code, error, len(out)) == (0, [], 6)
  assert out[0] == f"{radio}:" or out[0] == f"{radio} :"
  scores = [float(line.rsplit(": ", 1)[1]) for line in out[1:]]
  assert scores == sorted(scores, reverse=True)
  assert "Music" in "".join(out[1:4])
  assert len(run(radio, *lite, "--top", 3)[1]) == 4


def test_yamnet_timeline_has_a_row_per_patch(lite, run, radio):
  code, out, _ = run(radio, *lite, "--timeline", "--top", 2)
  patches = json.loads(run(radio, *lite, "--json")[1][0])["patches"]
  assert code == 0 and len(out) == 1 + len(patches)
  assert "Speech" in out[1 + 10]  # 4.8 to 5.8 s


def test_yamnet_threshold_is_that_of_the_label_track(
  lite, run, radio, tmp_path
):
  counts = []
  for threshold in (0.05, 0.5, 0.99):
    code, _, error = run(
      radio, *lite, "-o", tmp_path, "--format", "audacity",
      "--threshold", threshold,
    )  # fmt: skip
    assert (code, error) == (0, [])
    counts.append(len((tmp_path / "radio.txt").read_text().splitlines()))
  assert counts[0] > counts[1] > 0 and counts[2] < counts[1]


def test_yamnet_embeddings_are_saved(run, shared, radio, tmp_path):
  pytest.importorskip("keras")
  weights = shared / "yamnet" / "yamnet_relu6.h5"
  if not weights.is_file():
    pytest.skip("test data absent: ../shared/data/yamnet")
  code, _, error = run(
    radio, "--model", "yamnet", "--weights", weights, "--hop", "0.96",
    "--embeddings", tmp_path / "e.npz",
  )  # fmt: skip
  assert (code, error) == (0, [])
  saved = np.load(tmp_path / "e.npz")
  assert saved["embeddings"].shape == (len(saved["start_seconds"]), 1024)
  np.testing.assert_allclose(np.diff(saved["start_seconds"]), 0.96)
  assert os.listdir(tmp_path) == ["e.npz"]


def test_yamnet_without_a_connection_is_code_1(
  run, good, tmp_path, monkeypatch
):
  monkeypatch.setenv("YOHO_TF_CACHE", str(tmp_path / "cache"))
  url = (tmp_path / "nothing" / "there").as_uri()
  monkeypatch.setitem(
    hub.PUBLISHED, "yamnet_lite.tflite", hub.Published(url, 1, "00")
  )
  code, out, error = run(good, "--model", "yamnet_lite")
  assert (code, out, len(error)) == (1, [], 1)
  assert url in error[0] and "--weights" in error[0]
