"""Ten hours in one file: constant memory, exact times, nothing at a seam."""

import json
import subprocess
import sys

import numpy as np
import pytest

from yoho_tf import audio, hub

pytestmark = pytest.mark.large
RATE = 16_000
HOURS = 10

PREDICT = """
import json, sys, yoho_tf
model = yoho_tf.load("yoho_everyday", num_threads=2)
events = model.predict(sys.argv[1]).events
status = open("/proc/self/status").read()
print(json.dumps([int(status.split("VmHWM:")[1].split()[0]) / 1024,
                  [tuple(e)[:4] for e in events]]))
"""


@pytest.fixture(scope="module")
def clip(repository):
  return audio.read(repository / "examples" / "radio.flac")


def predicted(path, repository):
  """Peak MB of a process of its own, and its events."""
  done = subprocess.run(
    [sys.executable, "-c", PREDICT, str(path)],
    cwd=repository,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_ten_hours_are_exact_to_their_end(clip, repository, tmp_path):
  """The clip at places a cell apart, the last at the very end."""
  import soundfile

  cell = hub.load("yoho_everyday").params.cell_samples
  quiet = np.zeros(60 * RATE, np.float32)
  short = np.concatenate([quiet, clip, quiet[: 20 * cell]])
  short = short[: len(short) // cell * cell]
  soundfile.write(tmp_path / "short.flac", short, RATE)
  _, alone = predicted(tmp_path / "short.flac", repository)
  assert len(alone) >= 3

  path = tmp_path / "long.flac"
  period = len(short) + 7 * cell  # seams fall everywhere in the clip
  count = HOURS * 3600 * RATE // period
  with soundfile.SoundFile(path, "w", RATE, 1) as file:
    for _ in range(count - 1):
      file.write(short)
      file.write(quiet[: 7 * cell])
    file.write(short)
  megabytes, found = predicted(path, repository)
  print(f"{audio.info(path).duration_seconds / 3600:.2f} h: {megabytes:.0f} MB")
  assert megabytes < 400
  assert len(found) == count * len(alone)
  for i in range(count):
    part = found[i * len(alone) : (i + 1) * len(alone)]
    offset = i * period / RATE
    for got, expected in zip(part, alone, strict=True):
      assert got[2] == expected[2]
      moved = [expected[0] + offset, expected[1] + offset, expected[3]]
      # 2 ** -53 of ten hours, and what float32 networks differ by.
      np.testing.assert_allclose(
        [got[0], got[1], got[3]], moved, rtol=0, atol=2e-4
      )
