"""`yoho bench results`: its set, its rows and its table."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("keras")

from yoho_tf.bench import experiments, results  # noqa: E402
from yoho_tf.models import yoho  # noqa: E402


def test_multiplies_are_those_of_the_specification():
  # yoho.md, section 9: 75.9 M, 19.7 M and 5.3 M per second for 16 classes.
  labels = tuple("abcdefghijklmnop")
  for width, millions in ((1.0, 75.9), (0.5, 19.7), (0.25, 5.3)):
    params = replace(
      experiments.EXPERIMENTS["ours"].params,
      labels=labels,
      width=width,
      input="log_mel",
    )
    count = results.multiplies(yoho.build(params), params.window_frames)
    assert round(count / params.window_seconds / 1e6, 1) == millions


def test_every_row_is_one_change_of_ours():
  ours = vars(experiments.EXPERIMENTS["ours"].params)
  for name in ("squared", "l1", "iou", "even", "slots"):
    row = experiments.EXPERIMENTS[name]
    changed = [k for k, v in vars(row.params).items() if v != ours[k]]
    assert len(changed) == 1, name
    assert row.training == experiments.EXPERIMENTS["ours"].training
  for row in experiments.EXPERIMENTS.values():
    assert row.params.labels == experiments.LABELS
    assert row.teacher in ("", "ours")


def test_the_table_gives_mean_and_range():
  quality = dict.fromkeys(results.COLUMNS, 0.5)
  costs = dict.fromkeys(results.COSTS, 2.0) | {"parameters": 1234567}
  text = results.markdown(
    {"one": ([quality, {**quality, "map": 0.7}], costs)}, {"none": quality}, []
  )
  row = next(line for line in text.splitlines() if line.startswith("| one"))
  assert "0.600 (0.500-0.700)" in row and "1,234,567" in row
  assert (
    len({line.count("|") for line in text.splitlines() if "|" in line}) == 1
  )


@pytest.mark.large
def test_a_trial_trains_scores_and_goes_on(shared, tmp_path, capsys):
  out = tmp_path / "results.md"
  argv = [
    f"--sources={shared / 'audio'}",
    f"--runs={tmp_path / 'runs'}",
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
    # What the log said at the end of training is what the table says.
    log = capsys.readouterr().out
    said = json.loads(log.split("small-0: ")[1].splitlines()[0])
    assert f"| {said['segment_f1']:.3f} |" in first
    assert results.main([*argv, "--table-only"]) == 0
    assert out.read_text() == first
  assert results.main([*argv, "--only=smal"]) == 1
  assert "small" in capsys.readouterr().err
