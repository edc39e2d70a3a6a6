"""Archives: nothing lost, nothing doubled, whatever is killed and when."""

import csv
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import small
from tests.conftest import heed_interrupts, write_wav
from yoho_tf import corpus
from yoho_tf.corpus import journal as journals
from yoho_tf.corpus import work
from yoho_tf.corpus.pool import Pool

pytestmark = pytest.mark.edge
ROOT = pathlib.Path(__file__).resolve().parent.parent
needs_proc = pytest.mark.skipif(
  not os.path.isdir("/proc/self"), reason="finds processes in /proc"
)


def make_archive(folder, count, *, seconds=1.0):
  """Clips of several lengths, in two folders; small.signal, cut."""
  waveform = small.signal(60)
  for i in range(count):
    size = round((seconds + 0.1 * (i % 5)) * small.RATE)
    first = (i * 7919) % (len(waveform) - size)
    path = folder / "ab"[i % 2] / f"{i:04}.wav"
    write_wav(path, waveform[first : first + size])
  return folder


def outputs_of(folder):
  """{name: bytes} of the results, without journal and errors."""
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file() and path.name not in (corpus.ERRORS, journals.NAME)
  }


def rows_of(folder):
  """Whole lines of the journal behind the first."""
  path = folder / journals.NAME
  lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
  return [json.loads(line) for line in lines]


def keys_of(folder, status="done"):
  return [row["key"] for row in rows_of(folder) if row["status"] == status]


def errors_of(folder):
  with open(folder / corpus.ERRORS, newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


def predict(archive, out_folder, **options):
  """The keys done or tried by this run, and its summary."""
  tried = []
  summary = corpus.predict(
    archive, out_folder, on_outcome=lambda o: tried.append(o.key), **options
  )
  return tried, summary


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
  return make_archive(tmp_path_factory.mktemp("archive"), 30)


@pytest.fixture(scope="module")
def expected(archive, tmp_path_factory):
  folder = tmp_path_factory.mktemp("expected")
  summary = corpus.predict(archive, folder, formats=("csv", "json"))
  assert summary[:3] == (30, 0, 0)
  return outputs_of(folder)


# ---- going on ---------------------------------------------------------------


def test_a_second_run_has_nothing_to_do(archive, expected, tmp_path):
  done, summary = predict(archive, tmp_path, formats=("csv", "json"))
  assert len(done) == 30 == summary.num_done
  assert summary.seconds_of_audio == pytest.approx(30 * 1.2)
  before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
  again, summary = predict(archive, tmp_path, formats=("json", "csv"))
  assert again == [] and summary[:4] == (0, 30, 0, 0.0)
  assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
  assert outputs_of(tmp_path) == expected


def test_what_has_changed_is_done_again(tmp_path):
  archive, out = make_archive(tmp_path / "in", 6, seconds=0.4), tmp_path / "out"
  predict(archive, out)
  write_wav(archive / "a" / "0000.wav", small.signal(0.5, seed=9))  # new bytes
  os.utime(archive / "b" / "0001.wav")  # touched
  (out / "a" / "0002.csv").unlink()
  (out / "b" / "0003.csv").write_bytes(b"")  # as a loss of power leaves it
  write_wav(archive / "c.wav", small.signal(0.5))  # added
  tried, summary = predict(archive, out)
  names = ["a/0000.wav", "a/0002.wav", "b/0001.wav", "b/0003.wav", "c.wav"]
  assert sorted(tried) == names and summary[:3] == (5, 2, 0)
  corpus.predict(archive, tmp_path / "fresh")
  assert outputs_of(out) == outputs_of(tmp_path / "fresh")
  assert predict(archive, out)[0] == []
  assert len(keys_of(out)) == 7 == len({*keys_of(out)})  # tidied up


def test_an_archive_may_move(tmp_path):
  archive, out = make_archive(tmp_path / "in", 3, seconds=0.4), tmp_path / "out"
  predict(archive, out)
  archive.rename(tmp_path / "moved")
  assert predict(tmp_path / "moved", out)[0] == []


def test_a_file_that_fails_is_listed_and_tried_again(tmp_path):
  archive, out = make_archive(tmp_path / "in", 3, seconds=0.4), tmp_path / "out"
  bad = archive / "a" / "bad.wav"
  bad.write_text("this is no sound\n")
  absent = tmp_path / "absent.wav"
  _, summary = predict([archive, absent], out)
  assert summary[:3] == (3, 0, 2)
  rows = errors_of(out)
  assert [row["filename"] for row in rows] == [str(absent), str(bad)]
  assert "No such file" in rows[0]["error"]
  assert "must be audio (wav, flac" in rows[1]["error"]
  assert keys_of(out, "error") == ["a/bad.wav"]
  tried, summary = predict(archive, out)  # still bad
  assert tried == ["a/bad.wav"] and summary[:3] == (0, 3, 1)
  assert len(errors_of(out)) == 1
  write_wav(bad, small.signal(0.4))
  tried, summary = predict(archive, out)
  assert tried == ["a/bad.wav"] and summary[:3] == (1, 3, 0)
  assert not (out / corpus.ERRORS).exists()
  assert predict(archive, out)[0] == [] and keys_of(out, "error") == []


def test_a_network_that_refuses_fails_its_file_alone(tmp_path, monkeypatch):
  archive, out = make_archive(tmp_path / "in", 3, seconds=0.4), tmp_path / "out"
  load = work.Setup.load

  @dataclasses.dataclass
  class Refusing:
    model: object

    def __getattr__(self, name):
      return getattr(self.model, name)

    def predict(self, path, **options):
      if path.endswith("0001.wav"):
        raise RuntimeError("Node 3 failed\nto invoke")
      return self.model.predict(path, **options)

  monkeypatch.setattr(work.Setup, "load", lambda s, **o: Refusing(load(s, **o)))
  assert corpus.predict(archive, out)[:3] == (2, 0, 1)
  (row,) = errors_of(out)
  assert row["error"].endswith(
    "0001.wav': RuntimeError: Node 3 failed to invoke"
  )


OTHERWISE = {
  "threshold null -> 0.4": {"threshold": 0.4},
  'formats ["csv"] -> ["csv", "json"]': {"formats": ("csv", "json")},
  "top null -> 3": {"top": 3},
  "params.postprocess.merge_gap_seconds": {
    "settings": {"postprocess.merge_gap_seconds": 0.75}
  },
  'model "yoho_everyday" -> "yoho_urban", weights_sha256': {
    "model": "yoho_urban"
  },
}


def test_other_settings_are_refused_and_named(tmp_path):
  archive, out = make_archive(tmp_path / "in", 2, seconds=0.4), tmp_path / "out"
  predict(archive, out)
  before = outputs_of(out), rows_of(out)
  for text, options in OTHERWISE.items():
    with pytest.raises(corpus.JournalError) as caught:
      predict(archive, out, **options)
    message = str(caught.value)
    assert text in message and "--restart" in message and "\n" not in message
    assert (outputs_of(out), rows_of(out)) == before
  tried, _ = predict(archive, out, threshold=0.4, restart=True)
  assert len(tried) == 2 and len(keys_of(out)) == 2
  assert predict(archive, out, threshold=0.4)[0] == []


def test_other_weights_of_one_name_are_refused(tmp_path):
  archive, out = make_archive(tmp_path / "in", 1, seconds=0.4), tmp_path / "out"
  bundled = ROOT / "yoho_tf" / "weights" / "yoho_everyday.tflite"
  model = tmp_path / "model.tflite"
  model.write_bytes(bundled.read_bytes())
  predict(archive, out, model=model)
  model.write_bytes(bundled.read_bytes() + bytes(16))
  with pytest.raises(corpus.JournalError, match=r"otherwise: weights_sha256"):
    predict(archive, out, model=model)


@pytest.mark.parametrize("data", [b"mine\n", b"{}\n", b'{"fingerprint": 3}\n'])
def test_another_file_of_that_name_is_kept(data, archive, tmp_path):
  (tmp_path / journals.NAME).write_bytes(data)
  with pytest.raises(corpus.JournalError, match="must be a journal"):
    predict(archive, tmp_path)
  assert (tmp_path / journals.NAME).read_bytes() == data


# ---- the journal ------------------------------------------------------------


@settings(max_examples=60)
@example(cut=90, junk=b"\n")
@given(
  cut=st.integers(0, 10_000),
  junk=st.sampled_from([b"", b"\0" * 40, b'{"key": "a', b"\n", b"[]\n"]),
)
def test_a_torn_journal_keeps_its_whole_lines(cut, junk, tmp_path_factory):
  folder = tmp_path_factory.mktemp("torn")
  outcomes = [
    work.Outcome(i, f"{i}.wav", f"{i}.wav", (7, i), outputs={f"{i}.csv": 3})
    for i in range(5)
  ]
  with journals.Journal(folder, {"model": "m"}) as journal:
    for outcome in outcomes:
      journal.add(outcome)
  path = folder / journals.NAME
  data = path.read_bytes()
  first = data.index(b"\n") + 1
  end = first + cut % (len(data) - first + 1)
  path.write_bytes(data[:end] + junk)
  # A new line as junk may complete one that lacked nothing else.
  lines = [text.split(b"\n")[:-1] for text in (data, data[:end] + junk)]
  whole = sum(a == b for a, b in zip(*lines)) - 1
  with journals.Journal(folder, {"model": "m"}) as journal:
    assert [*journal.done] == [f"{i}.wav" for i in range(whole)]
    journal.add(outcomes[whole % 5])  # does not stick to what was torn
  with journals.Journal(folder, {"model": "m"}) as journal:
    assert len(journal.done) == (whole + 1 if whole < 5 else 5)


@settings(max_examples=50)
@given(st.permutations(range(12)), st.integers(0, 12))
def test_outcomes_come_in_order_and_all_come(order, most):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(corpus, "_MAX_HELD", most)
    jobs = [work.Job(i, "", "", ()) for i in range(12)]
    got = [
      outcome.index
      for outcome in corpus._in_order(
        (work.Outcome(i, "", "") for i in order), jobs
      )
    ]
  assert sorted(got) == [*range(12)]
  if most == 12:
    assert got == [*range(12)]


def test_two_runs_do_not_share_a_folder(archive, tmp_path):
  pytest.importorskip("fcntl")
  with journals.locked(tmp_path):
    with pytest.raises(corpus.JournalError, match="another run is writing"):
      predict(archive, tmp_path)
  assert os.listdir(tmp_path) == []


def test_only_our_temporary_files_are_removed(tmp_path):
  archive, out = make_archive(tmp_path / "in", 2, seconds=0.4), tmp_path / "out"
  (out / "a").mkdir(parents=True)
  ours = [out / "a" / ".77.part.0000.csv", out / ".8.part.journal.jsonl"]
  others = [out / "a" / ".77.part.mine.csv", out / "a" / ".part.0000.csv"]
  for path in ours + others:
    path.write_text("half")
  predict(archive, out)
  assert [p.exists() for p in ours + others] == [False, False, True, True]


def test_names_that_are_ours_are_refused(tmp_path):
  write_wav(tmp_path / "in" / "errors.wav", small.signal(0.4))
  with pytest.raises(ValueError, match="errors.csv, which is ours"):
    predict(tmp_path / "in", tmp_path / "out")


def test_a_name_that_is_no_utf_8(tmp_path):
  plain = write_wav(tmp_path / "in" / "plain.wav", small.signal(0.4))
  odd = os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9.wav")
  try:
    os.rename(plain, odd)
  except OSError:
    pytest.skip("this file system takes UTF-8 names only")
  pathlib.Path(os.fsdecode(os.fsencode(odd) + b".wav")).write_bytes(b"x")
  for count in (2, 1):
    tried, summary = predict(tmp_path / "in", tmp_path / "out", workers=2)
    assert (len(tried), summary.num_failed) == (count, 1)
  assert errors_of(tmp_path / "out")[0]["filename"].endswith(r"caf\xe9.wav.wav")


# ---- workers that die -------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Deadly:
  """Kills its worker by the name of a job: each time, or once."""

  folder: str
  trouble: str = ""

  def start(self):
    if self.trouble == "raises":
      raise MemoryError("too small")
    if self.trouble == "dies":
      os.kill(os.getpid(), signal.SIGKILL)
    return self.work

  def work(self, job):
    marker = pathlib.Path(self.folder, job.key)
    if job.path == "deadly" or (job.path == "once" and not marker.exists()):
      marker.touch()
      os.kill(os.getpid(), signal.SIGSEGV)
    return work.Outcome(job.index, job.path, job.key, seconds=os.getpid())


def test_a_dead_worker_costs_its_file_at_most(tmp_path):
  paths = ["fine"] * 3 + ["deadly"] + ["fine"] * 3 + ["once"] + ["fine"] * 4
  jobs = [work.Job(i, path, f"{i}", ()) for i, path in enumerate(paths)]
  with Pool(Deadly(str(tmp_path)).start, 2) as pool:
    outcomes = sorted(pool.run(jobs))
    assert [o.index for o in outcomes] == [*range(12)]  # each once
    for job, outcome in zip(jobs, outcomes):
      if job.path == "deadly":
        assert outcome.error == "'deadly': given up: 2 workers died (SIGSEGV)"
      elif job.path == "once":
        assert outcome.warnings == ("'once': its worker died (SIGSEGV)",)
      else:
        assert not outcome.error and not outcome.warnings
    again = [*pool.run(jobs[:3])]  # the pool serves on
    assert {o.index for o in again} == {0, 1, 2}
    pids = {int(o.seconds) for o in again}
  for pid in pids:
    with pytest.raises(ProcessLookupError):
      os.kill(pid, 0)


@pytest.mark.parametrize(
  ("trouble", "message"),
  [
    ("raises", "MemoryError: too small"),
    ("dies", r"3 in a row died \(SIGKILL\)"),
  ],
)
def test_workers_that_do_not_start(trouble, message, tmp_path):
  jobs = [work.Job(0, "fine", "0", ())]
  with Pool(Deadly(str(tmp_path), trouble).start, 1) as pool:
    with pytest.raises(RuntimeError, match=message):
      list(pool.run(jobs))


# ---- runs that are killed ---------------------------------------------------


def begin(archive, out, *, workers=2):
  """The command, in a session of its own, its stderr in a pipe."""
  command = [sys.executable, "-m", "yoho_tf", "predict", archive, "-o", out]
  command += ["--format", "csv,json", "-q", "--workers", workers]
  return subprocess.Popen(
    [str(part) for part in command],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
    cwd=ROOT,
    start_new_session=True,
    preexec_fn=heed_interrupts,
  )


def wait_for(condition, *, seconds=60.0):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, "waited in vain"
    time.sleep(0.002)


def members(session):
  """{pid: command line} of the processes of a session that live."""
  found = {}
  for folder in pathlib.Path("/proc").iterdir():
    try:
      state, *fields = (folder / "stat").read_text().rpartition(")")[2].split()
      if int(fields[2]) == session and state not in "ZX":
        line = (folder / "cmdline").read_bytes()
        found[int(folder.name)] = line.replace(b"\0", b" ").decode()
    except (OSError, ValueError, IndexError):
      continue
  return found


def workers_of(process):
  return [
    pid
    for pid, line in members(process.pid).items()
    if "spawn_main" in line and pid != process.pid
  ]


def kill_and_go_on(archive, expected, out, *, kills):
  """Kills runs at the given numbers of lines; then one to the end."""
  wanted = len(expected) // 2
  stamps = {}
  for lines, delay in kills:
    kill_one(archive, out, lines=lines, delay=delay)
    done = keys_of(out)
    for key, stamp in stamps.items():  # nothing lost
      assert key in done and stamp == stamp_of(out, key)
    stamps = {key: stamp_of(out, key) for key in done}
  process = begin(archive, out)
  _, error = process.communicate(timeout=300)
  assert process.returncode == 0
  if stamps:
    assert f"{len(stamps)} of {wanted} done before" in error
  assert outputs_of(out) == expected  # all, the same, no temporary file
  assert len(keys_of(out)) == wanted == len({*keys_of(out)})
  for key, stamp in stamps.items():  # nothing redone
    assert stamp == stamp_of(out, key)
  return len(stamps)


def kill_one(archive, out, *, lines, delay):
  process = begin(archive, out)
  wait_for(lambda: len(rows_of(out)) >= lines or process.poll() is not None)
  time.sleep(delay)
  process.kill()
  process.communicate()
  wait_for(lambda: not members(process.pid))  # no orphans


def stamp_of(out, key):
  path = out / key
  return [
    (s.st_mtime_ns, s.st_ino)
    for s in (path.with_suffix(e).stat() for e in (".csv", ".json"))
  ]


@needs_proc
def test_killed_at_any_moment_it_goes_on(archive, expected, tmp_path):
  moments = random.Random()  # others each time
  kills = [(0, moments.uniform(0, 2)), (moments.randint(1, 25), 0.0)]
  kill_and_go_on(archive, expected, tmp_path, kills=kills)


@needs_proc
@pytest.mark.large
def test_ten_kills_in_a_row_over_200_files(tmp_path):
  archive = make_archive(tmp_path / "in", 200, seconds=3.0)
  corpus.predict(archive, tmp_path / "all", formats=("csv", "json"))
  moments = random.Random(7)
  kills = [(18 * i, moments.uniform(0, 0.2)) for i in range(10)]
  left = kill_and_go_on(
    archive, outputs_of(tmp_path / "all"), tmp_path / "out", kills=kills
  )
  assert left >= 162


@needs_proc
def test_a_worker_killed_from_outside(archive, expected, tmp_path):
  process = begin(archive, tmp_path)
  wait_for(lambda: len(rows_of(tmp_path)) >= 2)
  os.kill(workers_of(process)[0], signal.SIGKILL)
  _, error = process.communicate(timeout=120)
  assert process.returncode == 0
  assert outputs_of(tmp_path) == expected
  assert len(keys_of(tmp_path)) == 30 == len({*keys_of(tmp_path)})
  *warned, summary = error.splitlines()
  assert "30 done, 0 done before, 0 failed" in summary
  for line in warned:  # unless it was between two files
    assert "its worker died (SIGKILL)" in line


@needs_proc
def test_ctrl_c_ends_cleanly(archive, expected, tmp_path):
  process = begin(archive, tmp_path)
  wait_for(lambda: len(rows_of(tmp_path)) >= 5)
  os.killpg(process.pid, signal.SIGINT)  # as a terminal does
  _, error = process.communicate(timeout=60)
  assert process.returncode == 130
  assert error.splitlines() == [
    "yoho predict: interrupted; the same command goes on"
  ]
  wait_for(lambda: not members(process.pid), seconds=10)
  done = keys_of(tmp_path)
  assert 5 <= len(done) == len({*done}) < 30
  assert not [p for p in tmp_path.rglob(".*")]
  tried, _ = predict(archive, tmp_path, formats=("csv", "json"))
  assert not {*tried} & {*done} and outputs_of(tmp_path) == expected
