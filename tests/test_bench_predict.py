"""`yoho bench predict`: what it writes, counts and prints."""

import numpy as np
import pytest

from yoho_tf import audio
from yoho_tf.bench import machine, predict

pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.fixture
def radio(repository):
  return repository / "examples" / "radio.flac"


def test_a_recording_is_repeated_to_the_sample(radio, tmp_path):
  predict.tile(radio, tmp_path / "long.flac", 40)
  clip, long = audio.read(radio), audio.read(tmp_path / "long.flac")
  assert len(long) == 40 * 16_000
  for first in range(0, len(long), len(clip)):
    part = long[first : first + len(clip)]
    np.testing.assert_array_equal(part, clip[: len(part)])


def test_an_hour_is_an_hour():
  lines = predict.whole_table([(2, 7200, 10.0, 300.4)])
  assert lines[-1] == "| 2 | 2 | 10.00 | 720 | 5.00 | 300 |"
  lines = predict.stage_table([("network", 9.0, 6.0)])
  assert lines[-1] == "| network | 9.00 | 6 | 1.5x |"


def test_the_machine_is_not_faster_than_light():
  macs, copied = machine.rates(1)
  assert 1e8 < macs < 1e13 and 1e8 < copied < 1e13


def test_a_file_that_is_no_audio_ends_it(capsys, tmp_path):
  path = tmp_path / "text.wav"
  path.write_text("no audio")
  assert predict.main(["--audio", str(path), "--seconds", "1"]) == 1
  assert "text.wav" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.export
def test_the_stages_of_a_minute(radio, capsys):
  pytest.importorskip("keras")
  arguments = ["--audio", str(radio), "--seconds", "30", "--lengths", "60"]
  assert predict.main(arguments) == 0
  out = capsys.readouterr().out
  rows = [line.split(" | ") for line in out.splitlines()]
  found = {row[0].strip("| "): row for row in rows}
  for stage in ("decode", "front end", "network", "post-processing"):
    seconds, floor = map(float, found[stage][1:3])
    assert 0 <= floor < seconds + 0.01
  # A step of the window plan hears a cell and 2.56 s ahead.
  assert float(found["yoho_everyday"][1]) == 0.32
  # 75.9 M multiplies per second of audio (yoho.md section 9).
  assert predict.multiplies_per_second("yoho_everyday") == pytest.approx(
    75.9e6, rel=0.01
  )
