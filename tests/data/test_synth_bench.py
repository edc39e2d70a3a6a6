"""`yoho bench synth` measures what it says."""

import json

from yoho_tf.bench import synth as bench
from yoho_tf.data import sources

SMALL = ["--num-scenes=1", "--repeats=1"]


def test_the_table(capsys):
  assert bench.main([*SMALL, "--json"]) == 0
  result = json.loads(capsys.readouterr().out)
  assert set(result["times"]) == set(bench.VARIANTS)
  assert all(value > 0 for value in result["times"].values())
  assert result["source_seconds"] > 100
  assert bench.main(SMALL) == 0
  assert capsys.readouterr().out.count("x real time") == len(bench.VARIANTS)


def test_made_up_sources_are_a_manifest(tmp_path):
  bench.make_sources(tmp_path, labels=("a", "b"), seconds=0.5)
  pool = sources.read_sources(tmp_path, split="train", labels=("a", "b"))
  assert len(pool.groups("event", "a")) == len(pool.groups("rir")) == 4


def test_sources_that_are_not_there(tmp_path, capsys):
  assert bench.main([*SMALL, f"--sources={tmp_path}"]) == 1
  assert "manifest.csv" in capsys.readouterr().err
