"""`yoho bench export`: a row per file, ratios to the first."""

import pytest

from tests import small
from yoho_tf import cli
from yoho_tf.bench import export

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  path = tmp_path_factory.mktemp("bench") / "tiny.tflite"
  path.write_bytes(small.lite_bytes("float32"))
  return path


def test_every_file_is_a_row(path, capsys):
  code = cli.main(["bench", "export", str(path), "--repeats", "1"])
  head, _, row = capsys.readouterr().out.splitlines()
  cells = [cell.strip() for cell in row.strip("|").split("|")]
  assert code == 0 and len(cells) == head.count("|") - 1
  assert cells[0] == "tiny.tflite" and cells[3] == "-"
  assert float(cells[1]) == pytest.approx(path.stat().st_size / 1e6, abs=0.01)
  assert float(cells[2]) > 0 and float(cells[4]) > 0


def test_ratios_are_to_the_yardstick():
  rows = [
    ("Lite", 4_000_000, {1: 2.0, 2: 1.0}, {1: 1.0, 2: 1.0}),
    ("x", 1_000_000, {1: 1.0, 2: 0.75}, {1: 0.5, 2: 0.75}),
  ]
  assert export.table(rows)[-1] == "| x | 1.00 | 1.00 | 0.50 | 0.75 | 0.75 |"


def test_files_whose_threads_cannot_be_set_are_refused(capsys):
  assert cli.main(["bench", "export", "a.saved_model"]) == 1
  assert "got 'a.saved_model'" in capsys.readouterr().err
