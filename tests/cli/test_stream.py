"""`yoho stream`: files, stdin, microphones; its output and its codes."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

from tests import small
from tests.conftest import heed_interrupts, write_wav
from yoho_tf import audio, cli, hub
from yoho_tf.cli import stream

pytestmark = pytest.mark.edge
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "yoho_tf", "stream"]


@pytest.fixture(autouse=True, scope="module")
def once():
  """The bundled model, loaded once."""
  load, known = hub.load, {}

  def cached(name, *, settings, **options):
    key = name, str(settings), str(options)
    if key not in known:
      known[key] = load(name, settings=settings, **options)
    return known[key]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(hub, "load", cached)
    yield


@pytest.fixture
def run(capsys):
  """run(*arguments) -> (exit code, lines of stdout, lines of stderr)"""

  def run(*arguments):
    capsys.readouterr()
    try:
      code = cli.guard(stream.main, [str(a) for a in arguments], prog="yoho")
    except SystemExit as end:  # argparse
      code = end.code
    out, error = capsys.readouterr()
    return code, out.splitlines(), error.splitlines()

  return run


@pytest.fixture(scope="module")
def expected(radio):
  return hub.load("yoho_everyday", settings={}).predict(radio).events


def assert_rows(rows, expected):
  """JSON rows against events, in whatever order they left."""
  rows = sorted(rows, key=lambda row: (row["start"], row["end"]))
  assert [row["label"] for row in rows] == list(expected.label)
  for name in ("start", "end", "score"):
    got = [row[name] for row in rows]
    np.testing.assert_allclose(got, getattr(expected, name), atol=1e-3)


# ---- events -----------------------------------------------------------------


def test_a_file_gives_the_events_of_predict(run, radio, expected):
  code, out, error = run(radio, "--fast", "--json")
  assert code == 0
  rows = [json.loads(line) for line in out]
  assert not any(row.pop("provisional") for row in rows)
  assert_rows(rows, expected)
  promise, summary = error
  assert "a step every 3.20 s, the first after 8.0" in promise
  assert "an event leaves at most" in promise
  assert f"14.87 s heard, {len(rows)} left" in summary
  assert "; 4 steps of " in summary and "of real time" in summary


def test_as_text_and_quiet(run, radio, expected):
  code, out, error = run(radio, "--fast", "--quiet")
  assert code == 0 and error == []
  got = sorted(line.split()[2] for line in out)
  assert got == sorted(label.split()[0] for label in expected.label)
  start, end = map(float, out[0].split()[:2])
  assert 0 <= start < end <= 14.88


def test_provisional_events_are_marked(run, radio, expected):
  options = (radio, "--fast", "--hop", 5, "--provisional")
  code, out, _ = run(*options, "--json")
  rows = [json.loads(line) for line in out]
  assert code == 0
  assert_rows([row for row in rows if not row["provisional"]], expected)
  seen, done = {}, set()
  for row in rows:
    key = row["start"], row["label"]
    assert key not in done
    if row["provisional"]:
      assert row["end"] > seen.get(key, 0)  # a line only when it has grown
      seen[key] = row["end"]
    else:
      done.add(key)
  assert seen and max(seen.values()) < 14.88
  code, out, _ = run(*options)
  running = [line for line in out if "..." in line]
  assert len(running) == len(seen) and len(out) == len(seen) + len(done)


def test_threshold_and_settings_reach_the_model(run, radio, expected):
  _, out, _ = run(radio, "--fast", "--json", "--threshold", 0.9)
  assert_rows(map(json.loads, out), expected[expected.score >= 0.9])
  setting = "postprocess.min_duration_seconds=5"
  _, out, _ = run(radio, "--fast", "--json", "--set", setting)
  lengths = expected.end - expected.start
  assert_rows(map(json.loads, out), expected[lengths >= 5])


def test_a_file_takes_its_time_unless_fast(run, tmp_path):
  path = write_wav(tmp_path / "a.wav", small.signal(0.6))
  started = time.monotonic()
  assert run(path)[0] == 0
  assert time.monotonic() - started >= 0.6


def test_yamnet_s_scores_come_patch_by_patch(run, radio, shared):
  weights = shared / "yamnet" / "yamnet_lite.tflite"
  if not weights.is_file():
    pytest.skip("test data absent: ../shared/data/yamnet")
  options = ("-m", "yamnet_lite", "--weights", weights, "--fast")
  code, out, error = run(radio, *options, "--json", "--top", 2)
  rows = [json.loads(line) for line in out]
  assert code == 0 and len(rows) == 30
  assert [row["start"] for row in rows[:2]] == [0, 0.48]
  assert {len(row["scores"]) for row in rows} == {2}
  assert sum("Speech" in row["scores"] for row in rows) > 3
  assert "scores leave 0.97 s" in error[0]
  code, out, _ = run(radio, *options, "--threshold", 0.5)
  assert code == 0 and any("Speech 0." in line for line in out)
  assert run(radio, *options, "--hop", 3)[0] == 2


# ---- stdin and microphones --------------------------------------------------


def feed(monkeypatch, data):
  raw = io.BufferedReader(io.BytesIO(data))
  monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=raw))


@pytest.mark.parametrize("kind", ["s16le", "f32le"])
@pytest.mark.parametrize("channels", [1, 2])
def test_raw_samples_on_stdin(
  kind, channels, run, radio, expected, monkeypatch
):
  samples = np.repeat(audio.read(radio)[:, None], channels, axis=1)
  if channels == 2:
    samples[:, 0] *= 2  # the mean of both channels is the sound
    samples[:, 1] = 0
  if kind == "s16le":
    data = np.round(samples * 32768).clip(-32768, 32767).astype("<i2")
  else:
    data = samples.astype("<f4")
  feed(monkeypatch, data.tobytes())
  code, out, _ = run("-", "--json", "--format", kind, "--channels", channels)
  assert code == 0
  assert_rows(map(json.loads, out), expected)


def test_stdin_at_another_rate(run, monkeypatch):
  samples = small.signal(5, rate=44_100)
  feed(monkeypatch, samples.astype("<f4").tobytes())
  code, _, error = run("-", "--format", "f32le", "--rate", 44_100)
  assert code == 0 and "5.00 s heard" in error[1]


def test_half_a_sample_at_the_end_is_an_error_after_the_events(
  run, radio, expected, monkeypatch
):
  data = audio.read(radio).astype("<f4").tobytes()
  feed(monkeypatch, data + b"1")
  code, out, error = run("-", "--json", "--format", "f32le", "-q")
  assert code == 1
  assert_rows(map(json.loads, out), expected)
  (line,) = error
  assert line.endswith("whole samples of 4 bytes; got 1 bytes more at its end")


@pytest.mark.parametrize("data", [b"", b"\0\0"])
def test_a_short_stdin_is_no_error(data, run, monkeypatch):
  feed(monkeypatch, data)
  code, out, error = run("-")
  assert (code, out) == (0, []) and f"{len(data) // 2} steps" not in error[0]


def fake_microphone(monkeypatch, blocks, *, error=None):
  """A sounddevice whose input plays blocks, then sends Ctrl-C."""
  module = types.ModuleType("sounddevice")
  module.PortAudioError = type("PortAudioError", (Exception,), {})
  asked = {}

  class InputStream:
    def __init__(self, *, callback, **options):
      asked.update(options)
      if error:
        raise module.PortAudioError(error)
      self.callback = callback

    def __enter__(self):
      status = types.SimpleNamespace(input_overflow=False)
      for block in blocks:
        self.callback(block, len(block), None, status)
      signal.setitimer(signal.ITIMER_REAL, 2.0)
      return self

    def __exit__(self, *_):
      signal.setitimer(signal.ITIMER_REAL, 0)

  def ring(*_):
    raise KeyboardInterrupt

  module.InputStream = InputStream
  monkeypatch.setitem(sys.modules, "sounddevice", module)
  if hasattr(signal, "SIGALRM"):
    signal.signal(signal.SIGALRM, ring)
  return asked


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs SIGALRM")
def test_a_microphone_until_ctrl_c(run, radio, expected, monkeypatch):
  samples = audio.read(radio)
  blocks = [b[:, None] for b in np.array_split(samples, 150)]
  asked = fake_microphone(monkeypatch, blocks)
  code, out, error = run("--mic", "--device", "3", "--json")
  assert code == 0
  assert_rows(map(json.loads, out), expected)
  assert asked["device"] == 3 and asked["samplerate"] == 16_000
  assert asked["channels"] == 1 and "14.87 s heard" in error[1]


def test_a_microphone_that_cannot_be_opened(run, monkeypatch):
  fake_microphone(monkeypatch, [], error="Invalid sample rate")
  code, out, error = run("--mic", "--device", "usb", "--rate", 12_345, "-q")
  assert (code, out) == (1, [])
  (line,) = error
  assert "no input for 12345 Hz and device 'usb': Invalid sample rate" in line


def test_without_sounddevice_the_extra_is_named(run, monkeypatch):
  monkeypatch.setitem(sys.modules, "sounddevice", None)
  code, out, error = run("--mic", "-q")
  assert (code, out) == (1, [])
  assert error == [
    "yoho: needs sounddevice, which is not installed: pip install '.[mic]'"
  ]


# ---- ends -------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_prints_what_was_heard(radio, expected):
  samples = (audio.read(radio) * 32768).astype("<i2")
  with subprocess.Popen(
    [*COMMAND, "-", "--json"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    cwd=ROOT,
    preexec_fn=heed_interrupts,
  ) as process:
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    process.stdin.write(samples.tobytes())
    process.stdin.flush()
    first = process.stdout.readline()  # an event that became final
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read().splitlines()
    error = process.stderr.read().decode()
    watchdog.cancel()
  assert process.returncode == 0 and "Traceback" not in error
  assert_rows(map(json.loads, [first, *rest]), expected)
  assert "14.87 s heard" in error


def test_a_closed_pipe_is_quiet(radio):
  with subprocess.Popen(
    [*COMMAND, str(radio), "--fast", "-q"],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    cwd=ROOT,
  ) as process:
    process.stdout.close()
    assert process.stderr.read() == b""
  assert process.returncode == 141


@pytest.mark.parametrize(
  ("arguments", "code", "message"),
  [
    ([], 2, "give one source: a file, - for stdin, or --mic"),
    (["a.wav", "--mic"], 2, "give one source"),
    (["a.wav", "--rate", "8000"], 2, "--rate does not go with this source"),
    (["-", "--fast"], 2, "--fast does not go"),
    (["--mic", "--format", "f32le"], 2, "--format does not go"),
    (["a.wav", "--hop", "0"], 2, "whole number of at least 1, got '0'"),
    (["a.wav", "--window", "15"], 2, "margins 7 + 8 = 16; received 15"),
    (["a.wav", "--threshold", "2"], 2, "must be a number in 0..1, got '2'"),
    (["a.wav", "--set", "postprocess.lo=1"], 2, "did you mean"),
    (["a.wav", "-m", "yoho_everyda"], 2, "did you mean"),
    (["absent.wav", "-q"], 1, "absent.wav': must be a readable file"),
  ],
)
def test_what_is_wrong_is_said_in_a_line(arguments, code, message, run):
  got, out, error = run(*arguments)
  assert got == code and out == []
  assert message in error[-1]
  assert code == 2 or len(error) == 1


def test_a_sound_file_on_stdin_is_no_raw_samples(run, radio, monkeypatch):
  feed(monkeypatch, radio.read_bytes())
  code, out, error = run("-", "-q")
  assert (code, out) == (1, [])
  assert "stdin must be raw samples; got an audio file" in error[0]
