"""The command in process: its code, its stdout and its stderr by lines."""

import pytest

from tests import small
from tests.conftest import write_wav
from yoho_tf.cli import predict


@pytest.fixture(scope="module")
def radio(repository):
  return repository / "examples" / "radio.flac"


@pytest.fixture
def run(capsys):
  """run(*arguments) -> (exit code, lines of stdout, lines of stderr)"""

  def run(*arguments):
    capsys.readouterr()
    try:
      code = predict.main([str(a) for a in arguments], prog="inference.py")
    except SystemExit as end:  # argparse
      code = end.code
    out, error = capsys.readouterr()
    return code, out.splitlines(), error.splitlines()

  return run


@pytest.fixture
def good(tmp_path):
  return write_wav(tmp_path / "good.wav", small.signal(1.3))
