"""What every test shares: data, quiet logs, one backend, fixed seeds.

This file imports neither TensorFlow nor Keras: the tests marked `edge` run
where they are not installed.
"""

import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

# Read when Keras, TensorFlow and matplotlib are imported, hence set here.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

try:
  import hypothesis
except ImportError:  # the edge environment may go without
  pass
else:
  # The first example may pay for a graph or a font cache: no deadline.
  # In CI the examples are the same on every run.
  hypothesis.settings.register_profile(
    "yoho", deadline=None, derandomize=bool(os.environ.get("CI"))
  )
  hypothesis.settings.load_profile("yoho")

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = 20260117


def write_wav(path, waveform, sample_rate_hz=16000, *, subtype=None):
  """Writes a sound file and returns its path.

  Args:
    path: where to; the extension chooses the container (.wav, .flac, .ogg).
    waveform: float [samples] or [samples, channels] in [-1, 1].
    sample_rate_hz: of the file.
    subtype: of the samples, as soundfile names it ("FLOAT"); by default the
      container's own: 16 bits for .wav and .flac.

  Returns:
    `path` as a pathlib.Path; missing folders are made.
  """
  import soundfile

  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, np.asarray(waveform), sample_rate_hz, subtype=subtype)
  return path


@pytest.fixture(name="write_wav", scope="session")
def write_wav_fixture():
  """The function `write_wav` above, without an import."""
  return write_wav


@pytest.fixture(scope="session")
def repository():
  """The root of the checkout, a pathlib.Path."""
  return REPOSITORY


@pytest.fixture(scope="session")
def shared():
  """The test data beside the checkout; skips, with the reason, if absent."""
  folder = REPOSITORY.parent / "shared" / "data"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data")
  return folder


def pytest_runtest_setup(item):
  """Every test starts from the same seeds, in whatever order it runs."""
  random.seed(SEED)
  np.random.seed(SEED)
  if "keras" in sys.modules:
    sys.modules["keras"].utils.set_random_seed(SEED)


def heed_interrupts():
  """For `preexec_fn`: a shell's background jobs inherit an ignored Ctrl-C."""
  signal.signal(signal.SIGINT, signal.SIG_DFL)
