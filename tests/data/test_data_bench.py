"""`yoho bench data` measures what it says, and the notebooks' path is right."""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.bench import data as bench
from yoho_tf.bench import data_material, data_rows, notebook_input
from yoho_tf.bench.data_rows import Row, Speed
from yoho_tf.data import pipeline, records
from yoho_tf.events import EventTable
from yoho_tf.layers.frontend import log_mel_layer
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS

PAPER = PRESETS[bench.PAPER]
TINY = [
  *("--batch-size=2", "--paper-batch-size=2", "--steps=1", "--repeats=1"),
  *(
    "--seconds=0.01",
    "--set=window_seconds=2.56",
    "--set=training.frequency_masks=0",
  ),
]


@pytest.fixture
def small_network(monkeypatch):
  """One layer for YOHO's 17, whose graph takes longer to trace than to run."""

  def build(params):
    shape = (params.window_frames, params.frontend.mel_bands)
    inputs = keras.Input(shape, name="log_mel")
    cells = keras.layers.AveragePooling1D(32, padding="same")(inputs)
    classes = len(params.labels)
    logits = keras.layers.Dense(3 * classes)(cells)
    logits = keras.layers.Reshape((-1, classes, 3))(logits)
    return keras.Model({"log_mel": inputs}, {"event_logits": logits})

  monkeypatch.setattr(yoho, "build", build)
  monkeypatch.setattr(data_rows, "WARM_STEPS", 1)
  monkeypatch.setattr(data_material, "SOURCE_SECONDS", 1.0)


def cells_of(line):
  return [cell.strip() for cell in line.strip("|\n").split("|")]


@pytest.mark.large
def test_the_table(small_network, tmp_path, capsys):
  pytest.importorskip("librosa")
  out = tmp_path / "table.md"
  assert bench.main([*TINY, f"--out={out}"]) == 0
  printed = capsys.readouterr().out
  assert out.read_text() == printed
  rows = {
    cells[0]: cells[1:]
    for cells in map(cells_of, printed.splitlines())
    if len(cells) == 6
  }
  names = list(rows)[2:]  # without the head
  assert len(names) == len(set(names)) == 6 + 4 + 8
  for start, count in (("input:", 6), ("fit:", 3), ("paper, fit:", 2)):
    assert sum(name.startswith(start) for name in names) == count
  for name in names:
    batch, best, median, cpu, wait = rows[name]
    assert 0 < float(median) <= float(best)
    assert float(cpu) >= 0
    assert wait.endswith("%") == ("fit:" in name)
  assert f"keras {keras.__version__}" in printed
  assert f"backend {keras.backend.backend()}" in printed
  for text in ("input alone", "training", "first epoch"):
    assert text in printed.partition("| paper, fit")[2]


def test_without_librosa_the_reason_is_visible(
  small_network, capsys, monkeypatch
):
  find = notebook_input.importlib.util.find_spec
  monkeypatch.setattr(
    notebook_input.importlib.util,
    "find_spec",
    lambda name, *more: None if name == "librosa" else find(name, *more),
  )
  assert bench.main([*TINY, "--parts=paper"]) == 0
  printed = capsys.readouterr().out
  assert "librosa is not installed" in printed
  assert data_rows.OUR_FIT in printed
  assert data_rows.THEIR_FIT not in printed


def test_wait_share_on_made_up_numbers():
  assert data_rows.wait_share(0.45, 0.5) == pytest.approx(0.1)
  assert data_rows.wait_share(0.5, 0.5) == 0
  assert data_rows.wait_share(1.1, 1.0) < 0  # noise: shown as it is


def test_ratios_on_made_up_numbers():
  rates = {
    data_rows.THEIR_PREPARATION: 10,
    data_rows.OUR_PREPARATION: 100,
    data_rows.THEIR_INPUT: 500,
    data_rows.OUR_INPUT: 250,
    data_rows.THEIR_STEP: 40,
    data_rows.OUR_STEP: 30,
    data_rows.THEIR_FIT: 20,
    data_rows.OUR_FIT: 25,
  }
  rows = {
    name: Row(name, 32, [Speed(rate, 1.0), Speed(rate / 2, 1.0)])
    for name, rate in rates.items()
  }
  text = "\n".join(bench.ratios(rows))
  # 1/20 + 1/10 against 1/25 + 1/100: three times.
  for expected in ("0.50x", "1.25x", "1.50x", "2.00x", "3.00x"):
    assert expected in text


def test_timed_counts_examples_and_takes_turns():
  calls = []
  speed = data_rows.timed(lambda: calls.append(0), 4, 0.02)
  assert speed.examples_per_second <= 4 * len(calls) / 0.02
  order = []
  turns = {name: lambda name=name: order.append(name) or name for name in "ab"}
  assert data_rows.take_turns(turns, 2) == {"a": ["a"] * 2, "b": ["b"] * 2}
  assert order == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
  ("arguments", "code", "part"),
  [
    (["--preset=yoho_everyda"], 2, "did you mean 'yoho_everyday'"),
    (["--preset=yamnet_audioset"], 2, "--preset"),
    (["--seconds=0"], 2, "--seconds must be > 0"),
    (["--parts=input,model"], 2, "got 'model'"),
    (["--out=table.csv"], 2, "must end in .md"),
    (["--set=width"], 1, "KEY=VALUE"),
    (["--set=widht=1"], 1, "width"),
    (["--sources=no/such/folder"], 1, "manifest.csv"),
  ],
)
def test_bad_options_are_one_line(arguments, code, part, capsys):
  assert bench.main(arguments) == code
  error = capsys.readouterr().err
  assert part in error
  assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--steps=0", "--workers=two"])
def test_a_bad_number_is_a_usage_error(option, capsys):
  with pytest.raises(SystemExit) as caught:
    bench.main([option])
  assert caught.value.code == 2
  assert "whole number" in capsys.readouterr().err


# ---- the notebooks' path ----------------------------------------------------


@st.composite
def tables(draw):
  """Rows [start, end, label], whole ms, one event per class."""
  rows = []
  for label in draw(st.sets(st.sampled_from(PAPER.labels))):
    start = draw(st.integers(0, 9_990))
    end = draw(st.integers(start + 1, 10_000))
    rows.append([start / 1000, end / 1000, label])
  return rows


@given(tables())
@settings(max_examples=100)
def test_their_targets_are_ours(rows):
  expected = yoho.encode(EventTable.from_rows(rows), PAPER)
  got = notebook_input.targets(rows, PAPER).reshape(expected.shape)
  np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.large
def test_both_paths_feed_the_same(tmp_path):
  """The files of the notebooks hold what our step makes of our records."""
  pytest.importorskip("librosa")
  sounds, lists = data_material.make_clips(tmp_path, PAPER, 2)
  once, index, pairs = data_rows._prepared(sounds, lists, tmp_path, PAPER)
  assert all(speed.examples_per_second > 0 for speed in once.values())
  theirs, their_targets = notebook_input.NotebookBatches(
    pairs, PAPER, batch_size=2
  )[0]
  assert theirs.dtype == their_targets.dtype == np.float64
  dataset = pipeline.record_dataset(index, PAPER, batch_size=2, training=False)
  waveform, targets, weights = next(iter(dataset))
  ours = np.asarray(log_mel_layer(PAPER.frontend)(waveform))
  assert theirs.shape == (*ours.shape, 1)
  # The order of each is its own; the ends are padded differently.
  for clip, labels in zip(ours, targets.numpy()):
    gaps = [np.abs(clip - other[..., 0])[5:-5].max() for other in theirs]
    twin = int(np.argmin(gaps))
    assert gaps[twin] < 0.1
    same = np.abs(labels - their_targets[twin]) < 1.1e-3 / PAPER.cell_seconds
    assert same.mean() > 0.99  # times are rounded to 1 ms, some cross an edge
  assert (weights.numpy() == 1).all()


def test_records_of_a_task_are_its_scenes(tmp_path):
  params = dataclasses.replace(
    PRESETS["yoho_everyday"], labels=("a", "b"), window_seconds=1.28
  )
  training = data_rows.TrainingParams(batch_size=2)
  task = data_material.make_task(params, training, tmp_path)
  reader = records.Reader(task.index, "train")
  assert len(reader) == 8
  assert {*reader[0].events.label, *reader[5].events.label} <= {"a", "b"}
