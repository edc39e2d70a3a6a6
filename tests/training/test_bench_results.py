"""`yoho bench results`: its rows, the answers it keeps, and its tables."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("keras")

from yoho_tf import hub  # noqa: E402
from yoho_tf.bench import (  # noqa: E402
  answers,
  experiments,
  network_costs,
  results,
  results_errors,
  results_table,
)
from yoho_tf.events import EventTable  # noqa: E402
from yoho_tf.models import yoho  # noqa: E402
from yoho_tf.training.evaluation import Validation  # noqa: E402

LABELS = experiments.LABELS


@pytest.fixture
def known():
  """Twelve files of 10 s with an event of two labels each."""
  rows = [
    (1.0 + 0.1 * i, 4.0, label, 1.0, f"{i}.wav")
    for i in range(12)
    for label in LABELS[:2]
  ]
  durations = {f"{i}.wav": 10.0 for i in range(12)}
  return Validation("test", {}, EventTable.from_rows(rows), durations)


def heard(known, shift, seed=0):
  """The reference, moved by up to `shift` seconds, with random scores."""
  rng = np.random.default_rng(seed)
  return EventTable.from_rows(
    [
      (
        e.start,
        e.end + shift * rng.uniform(),
        e.label,
        rng.uniform(0.4, 1),
        e.filename,
      )
      for e in known.reference
    ]
  )


def test_multiplies_are_those_of_the_specification():
  # yoho.md, section 9: 75.9 M, 19.7 M and 5.3 M per second for 16 classes.
  labels = tuple("abcdefghijklmnop")
  for width, millions in ((1.0, 75.9), (0.5, 19.7), (0.25, 5.3)):
    params = replace(
      experiments.PARAMS, labels=labels, width=width, input="log_mel"
    )
    network = yoho.build(params)
    count = network_costs.multiplies(network, params.window_frames)
    assert round(count / params.window_seconds / 1e6, 1) == millions


def test_every_row_is_one_change_of_ours():
  ours = vars(experiments.EXPERIMENTS["ours"].params)
  for name in ("squared", "l1", "iou", "even", "slots"):
    row = experiments.EXPERIMENTS[name]
    changed = [k for k, v in vars(row.params).items() if v != ours[k]]
    assert len(changed) == 1, name
    assert row.training == experiments.EXPERIMENTS["ours"].training
  for row in experiments.EXPERIMENTS.values():
    assert row.params.labels == LABELS
    assert row.teacher in ("", "ours")


def test_answers_come_back_as_they_were_kept(known, tmp_path):
  known = replace(known, own={name: LABELS[0] for name in known.durations})
  found = heard(known, 0.5)
  answers.keep_reference(known, tmp_path)
  answers.keep(tmp_path, "one", found, experiments.PARAMS, costs={"macs": 1.5})
  first = (tmp_path / "one.csv.gz").read_bytes()
  again = answers.read_reference(tmp_path)
  assert again.reference == known.reference
  assert again.durations == known.durations and again.own == known.own
  events, params, facts = answers.read(tmp_path, "one")
  assert events == found
  assert params == experiments.PARAMS and facts == {"costs": {"macs": 1.5}}
  assert answers.names(tmp_path) == ["one"]
  answers.keep(tmp_path, "one", found, experiments.PARAMS, costs={"macs": 1.5})
  assert (tmp_path / "one.csv.gz").read_bytes() == first
  with pytest.raises(ValueError, match="must hold reference.json.gz"):
    answers.read_reference(tmp_path / "none")


def test_a_better_system_is_ahead_and_its_interval_says_so(known):
  columns = results_table.SCENE_COLUMNS
  rows = {}
  for title, shift in (("ours", 0.1), ("other", 3.0)):
    rows[title] = [
      results_table.score(
        heard(known, shift, seed), experiments.PARAMS, known, columns
      )
      for seed in range(2)
    ]
  value, low, high = results_table.difference(
    rows["ours"], rows["other"], "event_f1", columns
  )
  assert 0 < low <= value <= high
  assert value == pytest.approx(
    np.mean([s.value("event_f1", columns) for s in rows["ours"]])
    - np.mean([s.value("event_f1", columns) for s in rows["other"]])
  )
  same = results_table.difference(rows["ours"], rows["ours"], "psds1", columns)
  assert same == (0, 0, 0)


def test_errors_of_edges_are_told_from_what_is_missed(known):
  """Answers start 0.3 s late and end 0.1 s early; one is gone."""
  moved = EventTable.from_rows(
    [(e.start + 0.3, e.end - 0.1, *e[2:]) for e in known.reference]
  )[1:]
  lines = results_errors.lines(moved, experiments.PARAMS, known)
  text = "\n".join(lines)
  assert "2.0 events per file, half of them shorter than 2.5 s" in text
  # 0.3 s is too late for a start at 0.2 s, and early enough at 0.5 s.
  assert "| 0.2 s, 20 % | 0.000 | 0.000 | 0.000 |" in text
  assert f"| 0.5 s, 20 % | {46 / 47:.3f} | 1.000 | {23 / 24:.3f} |" in text
  assert "23 of 24 events are found" in text
  assert "| start |" + " +0.30 |" * 5 + " 0% |" in text
  assert "| end |" + " -0.10 |" * 5 + " 100% |" in text
  row = next(line for line in lines if line.startswith(f"| {LABELS[1]} "))
  assert row.startswith(f"| {LABELS[1]} | 12 |") and row.endswith(" 1.000 |")


@pytest.mark.large
def test_the_tables_are_made_from_kept_answers_alone(known, tmp_path, capsys):
  for which in results.SETS:
    answers.keep_reference(known, tmp_path / which)
    for seed in range(2):
      answers.keep(
        tmp_path / which,
        f"ours-{seed}",
        heard(known, 0.2, seed),
        experiments.PARAMS,
      )
    answers.keep(
      tmp_path / which, "paper-0", heard(known, 2.0), experiments.PARAMS
    )
  (tmp_path / "trials.md").write_text("## Trials\n")
  costs = {"ours": dict.fromkeys(network_costs.COSTS, 1234567)}
  (tmp_path / "costs.json").write_text(json.dumps(costs))
  out = tmp_path / "results.md"
  argv = ["--table-only", f"--answers={tmp_path}", f"--out={out}"]
  assert results.main(argv) == 0, capsys.readouterr().err
  text = out.read_text()
  row = next(line for line in text.splitlines() if "from YAMNet (R" in line)
  assert "| 2 |" in row and "1,234,567" in row
  assert "chance: always active" in text and text.endswith("## Trials\n")
  wide = [line for line in text.splitlines() if line.startswith("|")]
  assert len({line.count("|") for line in wide}) <= 7  # seven tables
  assert "### Where it errs: ours, from YAMNet (ReLU6), seed 0" in text
  assert results.main(["--table-only", f"--answers={tmp_path / 'no'}"]) == 1
  assert "reference.json.gz" in capsys.readouterr().err


@pytest.mark.large
def test_a_trial_trains_scores_and_goes_on(shared, tmp_path, capsys):
  out = tmp_path / "results.md"
  argv = [
    f"--sources={shared / 'audio'}",
    f"--runs={tmp_path / 'runs'}",
    f"--answers={tmp_path / 'answers'}",
    "--scenes=20",
    "--steps=1",
    "--only=small",
    "--seeds=0",
    f"--out={out}",
  ]
  experiment = experiments.EXPERIMENTS["small"]
  with pytest.MonkeyPatch.context() as patch:
    alone = replace(experiment, teacher="")
    patch.setitem(experiments.EXPERIMENTS, "small", alone)
    assert results.main(argv) == 0, capsys.readouterr().err
    first = out.read_text()
    assert "distilled" in first and "chance: always active" in first
    assert results.main([argv[2], "--only=small", "--costs", argv[-1]]) == 0
    first = out.read_text()
    costs = json.loads((tmp_path / "answers/costs.json").read_text())
    assert f"{costs['small']['parameters']:,}" in first
    (tmp_path / "runs").rename(tmp_path / "gone")
    table = ["--table-only", *argv[2:3], f"--out={tmp_path / 'again.md'}"]
    assert results.main(table) == 0
    assert (tmp_path / "again.md").read_text() == first
  assert results.main([*argv, "--only=smal"]) == 1
  assert "small" in capsys.readouterr().err


def test_yamnet_answers_for_every_class(shared):
  path = shared / "yamnet" / "yamnet_lite.tflite"
  if not path.is_file():
    pytest.skip("test data absent: ../shared/data/yamnet")
  model = hub.load("yamnet_lite", weights=path)
  rng = np.random.default_rng(0)
  waveforms = {"a.wav": 0.1 * rng.standard_normal(64_000).astype(np.float32)}
  known = Validation("test", waveforms, EventTable.empty(), {"a.wav": 4.0})
  cells = experiments.yamnet_cells(model, known, experiments.PARAMS)["a.wav"]
  assert cells.shape == (13, len(LABELS), 3)
  scores = model.predict(waveforms["a.wav"]).scores
  column = model.labels.index("Jackhammer")
  found = cells[:, LABELS.index("jackhammer"), 0]
  assert {*found.tolist()} <= {*scores[:, column].tolist()}
  assert (cells[..., 1:] == [0, 1]).all()
