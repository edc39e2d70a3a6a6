"""Worker processes that may die: jobs in, outcomes out, nothing lost.

A worker that is killed (by a library's bug, for want of memory) costs its
recording a second try in a new process, and nobody else anything.
"""

import collections
import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing import connection

from yoho_tf.corpus.work import Outcome

_AHEAD = 2  # jobs a worker holds: the next is there when one ends
_MAX_DEATHS = 2  # of workers on one recording
_MAX_BAD_STARTS = 3  # in a row
_END_SECONDS = 5.0  # for a worker to end by itself
# A process per core, so a thread per process; read at import.
_THREADS = (
  "OMP_NUM_THREADS",
  "OPENBLAS_NUM_THREADS",
  "TF_NUM_INTRAOP_THREADS",
  "TF_NUM_INTEROP_THREADS",
)


class Pool:
  """A number of worker processes; a context manager.

  Args:
    start: `start() -> (job -> outcome)`, called in each worker; picklable.
    num_workers: processes.
  """

  def __init__(self, start, num_workers: int):
    self._start, self._num_workers = start, num_workers
    self._workers, self._bad_starts = [], 0

  def __enter__(self):
    return self

  def __exit__(self, *_):
    for worker in self._workers:
      worker.hang_up()
    for worker in self._workers:
      worker.end()
    self._workers = []

  def run(self, jobs):
    """Yields an outcome per job, in the order in which they are done.

    Raises:
      RuntimeError: workers do not start.
    """
    jobs, again = iter(jobs), collections.deque()
    deaths, is_more = {}, True  # deaths: index of a job -> lines
    while len(self._workers) < self._num_workers:
      self._workers.append(_Worker(self._start))
    while True:
      for worker in self._workers:
        while worker.is_ready and len(worker.jobs) < _AHEAD:
          job = again.popleft() if again else next(jobs, None)
          if job is None:
            is_more = False
            break
          worker.give(job)
      if not (is_more or again or any(w.jobs for w in self._workers)):
        return
      ready = connection.wait([w.connection for w in self._workers])
      for i, worker in enumerate(self._workers):
        if worker.connection not in ready:
          continue
        try:
          kind, value = worker.connection.recv()
        except (EOFError, OSError):
          self._workers[i] = _Worker(self._start)
          yield from self._bury(worker, again, deaths)
          continue
        if kind == "ready":
          worker.is_ready, self._bad_starts = True, 0
        elif kind == "failed":
          raise RuntimeError(f"workers must start; got {value}")
        else:
          worker.jobs.popleft()
          lines = deaths.pop(value.index, ())
          yield value._replace(warnings=(*lines, *value.warnings))

  def _bury(self, worker, again, deaths):
    """A worker has died: yields an outcome where a recording is given up."""
    reason = worker.end()
    if not worker.is_ready:
      self._bad_starts += 1
      if self._bad_starts == _MAX_BAD_STARTS:
        raise RuntimeError(
          f"workers must start; {_MAX_BAD_STARTS} in a row died ({reason})"
        )
    if not worker.jobs:
      return
    job = worker.jobs.popleft()  # a worker takes them in order: this was it
    again.extend(worker.jobs)
    lines = deaths.setdefault(job.index, [])
    lines.append(f"{job.path!r}: its worker died ({reason})")
    if len(lines) < _MAX_DEATHS:
      again.append(job)
      return
    error = f"{job.path!r}: given up: {_MAX_DEATHS} workers died ({reason})"
    del deaths[job.index]
    yield Outcome(job.index, job.path, job.key, error=error)


class _Worker:
  """A process and our end of its pipe."""

  def __init__(self, start):
    context = multiprocessing.get_context("spawn")
    self.connection, theirs = context.Pipe()
    self.jobs, self.is_ready = collections.deque(), False
    self._process = context.Process(
      target=_work, args=(theirs, start), daemon=True
    )
    with _without_interrupts(), _environment(dict.fromkeys(_THREADS, "1")):
      self._process.start()
    theirs.close()  # or its death would not show here

  def give(self, job):
    self.jobs.append(job)
    with contextlib.suppress(OSError):  # just died: `recv` will say so
      self.connection.send(job)

  def hang_up(self):
    """Ends it: at once while it is busy, else by closing its pipe."""
    if self.jobs or not self.is_ready:
      self._process.kill()
    self.connection.close()

  def end(self) -> str:
    """Waits for the end; says why it came."""
    self.connection.close()
    self._process.join(_END_SECONDS)
    if self._process.is_alive():
      self._process.kill()
      self._process.join()
    code = self._process.exitcode
    with contextlib.suppress(ValueError):
      return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"signal {-code}"


def _work(pipe, start):
  """What a worker does until its pipe closes."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
  threading.Thread(target=_die_with_parent, daemon=True).start()
  with contextlib.suppress(EOFError, OSError):
    try:
      work = start()
    except Exception as error:
      pipe.send(("failed", f"{type(error).__name__}: {error}"))
      return
    pipe.send(("ready", None))
    while True:
      pipe.send(("done", work(pipe.recv())))


def _die_with_parent():
  """A killed parent says nothing, and a long recording would go on."""
  connection.wait([multiprocessing.parent_process().sentinel])
  os._exit(1)


@contextlib.contextmanager
def _without_interrupts():
  """A new process inherits the mask: Ctrl-C reaches the parent alone."""
  if not hasattr(signal, "pthread_sigmask"):  # Windows
    yield
    return
  before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(values):
  """Variables that a new process inherits, where they are not set."""
  added = values.keys() - os.environ.keys()
  os.environ.update({name: values[name] for name in added})
  try:
    yield
  finally:
    for name in added:
      del os.environ[name]
