"""`yoho bench`: the dispatcher, and the benchmark of the metrics, small."""

import json
import subprocess
import sys

import numpy as np
import pytest

from yoho_tf.bench import activitynet, load, metrics, peers
from yoho_tf.cli import bench

pytest.importorskip("pandas", reason="pandas is not installed")
SMALL = ("--files", "12", "--repeat", "1")


@pytest.fixture
def run(capsys):
  """run(*arguments) -> (exit code, stdout, lines of stderr)"""

  def run(*arguments):
    capsys.readouterr()
    try:
      code = bench.main(list(arguments))
    except SystemExit as end:  # argparse
      code = end.code
    out, error = capsys.readouterr()
    return code, out, error.splitlines()

  return run


def test_usage(run):
  code, out, _ = run("--help")
  assert code == 0 and all(name in out for name in bench.BENCHMARKS)
  assert run()[:2] == (2, out)
  code, _, error = run("metric")
  assert code == 2 and len(error) == 1 and "did you mean 'metrics'" in error[0]
  assert run("metrics", "--peers", "sed_evil")[0] == 2
  assert run("metrics", "--files", "0")[0] == 2
  assert run("metrics", "--out", "table.doc")[0] == 2


def test_the_table_has_ratios_of_equal_values(run, tmp_path):
  path = tmp_path / "bench.json"
  arguments = ("metrics", *SMALL, "--peers", "activitynet")
  code, out, error = run(*arguments, "--out", str(path))
  assert (code, error) == (0, [])
  rows = json.loads(path.read_text())["rows"]
  assert len(rows) == 2
  for row in rows:
    assert row["difference"] <= 1e-9
    assert row["ratio"] == row["peer_seconds"] / row["ours_seconds"]
    assert f"| {row['ours_seconds']:.4f} |" in out
  path = tmp_path / "bench.md"
  code, out, _ = run(*arguments, "--out", str(path))
  table = out.split("\n", 1)[1]
  assert code == 0 and table.count("\n") == 4 and table in path.read_text()


@pytest.mark.parametrize("peer", ["sed_eval", "psds_eval", "sed_scores_eval"])
def test_values_equal_those_of_the_peers(run, peer, monkeypatch):
  if peers.version_of(peer) is None:
    pytest.skip(f"{peer} is not installed: pip install '.[parity]'")
  monkeypatch.setattr(metrics, "POINTS", (0.1, 0.5, 0.9))
  code, out, error = run("metrics", *SMALL, "--peers", peer, "--require-peers")
  assert (code, error) == (0, [])
  assert peer in out


def test_a_peer_that_is_missing_is_one_line(run, monkeypatch):
  monkeypatch.setitem(peers.VERSIONS, "sed_eval", "0.0.0")
  arguments = ("metrics", *SMALL, "--peers", "sed_eval")
  code, _, error = run(*arguments)
  assert code == 0
  assert len(error) == 1 and "needs sed_eval 0.0.0" in error[0]
  assert run(*arguments, "--require-peers")[0] == 1


def test_no_time_where_the_values_differ(run, monkeypatch):
  loop = metrics.Comparison(
    "wrong", "activitynet", 1, metrics._ranking(lambda *_: 0.5)
  )
  monkeypatch.setattr(metrics, "COMPARISONS", (loop,))
  code, out, error = run("metrics", *SMALL, "--peers", "activitynet")
  assert code == 1
  assert "wrong: values must equal" in error[0] and "wrong" not in out


def test_the_load_is_the_same_for_a_seed():
  one, same, other = (load.make_load(6, seed) for seed in (0, 0, 1))
  assert one.reference.equals(same.reference) and one.ranked.equals(same.ranked)
  assert not one.reference.equals(other.reference)
  spans = one.reference["end"] - one.reference["start"]
  assert (spans >= 0.25 - 1e-12).all() and (one.reference["end"] <= 10).all()
  assert all(scores.shape == (157, 10) for scores in one.scores.scores.values())
  bounds = one.scores.boundaries_seconds
  assert np.allclose(np.diff(bounds)[:-1], 0.064) and bounds[-1] == 10
  assert one.ranked["score"].min() > load.FLOOR


def test_both_loops_are_one_metric():
  made = load.make_load(20, 3)
  thresholds = (0.3, 0.5, 0.75)
  values = [
    loop(made.reference, made.ranked, thresholds)
    for loop in (activitynet.over_tables, activitynet.over_tuples)
  ]
  assert values[0] == pytest.approx(values[1], abs=1e-12)
  assert 0 < values[0] < 1


def test_the_repairs_of_the_peers_are_taken_back():
  module = pytest.importorskip(
    "psds_eval.psds", reason="psds_eval is not installed"
  )
  before = module.PSDSEval.__dict__["step_curve"]
  with peers.repaired_psds_eval():
    assert module.PSDSEval.__dict__["step_curve"] is not before
  assert module.PSDSEval.__dict__["step_curve"] is before
  assert not hasattr(module, "int")


def test_importing_the_command_is_light():
  code = "import yoho_tf.cli.bench, sys; print('numpy' in sys.modules)"
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == "False"
