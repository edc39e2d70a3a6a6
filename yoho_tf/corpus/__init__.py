"""Archives: many recordings, several processes or a cluster, any interruption.

    from yoho_tf import corpus
    corpus.predict(["recordings/"], "out", workers=4)

writes the files that `yoho predict -o` writes, and `out/journal.jsonl` beside
them: the same call goes on where a killed one stopped. Errors of single
recordings are in `out/errors.csv`; they are tried again by the next run.
"""

import collections
import contextlib
import itertools
import os
import pathlib
import time
from typing import NamedTuple

from yoho_tf import audio, files
from yoho_tf.corpus import journal as journals
from yoho_tf.corpus import work
from yoho_tf.corpus.journal import JournalError
from yoho_tf.corpus.pool import Pool
from yoho_tf.labels import csv_text, did_you_mean

__all__ = ["JournalError", "Summary", "predict"]

ERRORS = "errors.csv"
_MAX_HELD = 1000  # outcomes that wait for an earlier recording


class Summary(NamedTuple):
  """What a run did.

  Attributes:
    num_done, num_failed: recordings of this run; paths that hold no audio
      count as failed.
    num_skipped: done by an earlier run.
    seconds_of_audio: of the recordings done.
    seconds: the run took.
  """

  num_done: int
  num_skipped: int
  num_failed: int
  seconds_of_audio: float
  seconds: float


def predict(
  paths,
  out_folder,
  *,
  model="yoho_everyday",
  weights=None,
  family=None,
  settings: dict | None = None,
  threshold: float | None = None,
  top: int | None = None,
  resampler: str = "soxr",
  formats=("csv",),
  workers: int = 1,
  ray: str | None = None,
  restart: bool = False,
  on_start=None,
  on_outcome=None,
) -> Summary:
  """Predicts an archive; what an earlier run has done is left as it is.

  A recording is done if the journal says so, its size and time of change are
  those of then, and its output files are there and not empty.

  Args:
    paths: audio files and folders of them.
    out_folder: for the results, the journal and errors.csv; made.
    model, weights, family, settings: as `hub.load` takes them.
    threshold: least score of an event, instead of the model's tuned ones.
    top: only the surest events of a recording, this many.
    resampler: "soxr" or "resampy".
    formats: of the files per recording: csv, json, audacity.
    workers: processes, each with a model on one thread; 1 (or 0) is this
      process. With `ray` the number of actors, 0 or 1: one per processor.
    ray: address of a Ray cluster, "auto" for the one begun on this machine,
      "" for a new one. Needs the extra [ray].
    restart: do all again, whatever the journal says.
    on_start: called with the number of recordings to do, the number of those
      done before, and the errors of paths that hold no audio.
    on_outcome: called with the `work.Outcome` of each recording, in order
      (one that takes longer than 1000 others comes late).

  Raises:
    JournalError: the folder holds results of other settings, or another run
      is writing there.
    ModuleNotFoundError: `ray` without the extra.
    ValueError: an argument or a model that cannot be used.
    OSError: the folder cannot be written.
    RuntimeError: workers do not start.
  """
  started = time.monotonic()
  if isinstance(paths, str | os.PathLike):
    paths = [paths]
  for name in formats:
    if name not in work.ENDINGS:
      raise ValueError(f"format {did_you_mean(name, work.ENDINGS)}")
  if ray is not None:
    from yoho_tf.corpus import on_ray

    on_ray.import_ray()  # before anything is written
  setup = work.Setup(
    out_folder=os.fspath(out_folder),
    model=os.fspath(model),
    weights=weights,
    family=family,
    settings=settings,
    threshold=threshold,
    top=top,
    resampler=resampler,
    keeps_results=on_outcome is not None,
    folder=os.getcwd(),
  )
  loaded = setup.load()
  found, errors = audio.find_files(paths)
  jobs = work.plan(found, paths, formats)
  names = [name for job in jobs for name, _ in job.targets]
  for name in {ERRORS, journals.NAME} & {*names}:
    raise ValueError(
      f"output: a recording's file would be {name}, which is ours"
    )
  pathlib.Path(out_folder).mkdir(parents=True, exist_ok=True)

  failures = [(_path_of(error, paths), str(error)) for error in errors]
  num_done, seconds_of_audio = 0, 0.0
  with contextlib.ExitStack() as stack:
    stack.enter_context(journals.locked(out_folder))
    fingerprint = journals.fingerprint(setup, loaded.params, formats)
    journal = stack.enter_context(
      journals.Journal(out_folder, fingerprint, restart=restart)
    )
    # Last: whatever happens, workers gone.
    stack.callback(
      journals.remove_parts, out_folder, [*names, ERRORS, journals.NAME]
    )
    stack.callback(_write_errors, out_folder, failures)
    undone = [job for job in jobs if not journal.has(job)]
    if on_start:
      on_start(len(undone), len(jobs) - len(undone), errors)
    outcomes = stack.enter_context(
      contextlib.closing(_outcomes(undone, setup, loaded, workers, ray))
    )
    for outcome in _in_order(_noted(outcomes, journal), undone):
      if outcome.error:
        failures.append((outcome.path, outcome.error))
      else:
        num_done += 1
        seconds_of_audio += outcome.seconds
      if on_outcome:
        on_outcome(outcome)
  return Summary(
    num_done,
    len(jobs) - len(undone),
    len(failures),
    seconds_of_audio,
    time.monotonic() - started,
  )


def _outcomes(jobs, setup, model, workers, ray):
  """The stage itself, wherever it runs."""
  if not jobs:
    return
  if ray is not None:
    from yoho_tf.corpus import on_ray

    yield from on_ray.run(
      jobs, setup.start, address=ray, num_actors=workers if workers > 1 else 0
    )
  elif workers > 1:
    with Pool(setup.start, min(workers, len(jobs))) as pool:
      yield from pool.run(jobs)
  else:
    for job in jobs:
      yield work.run(job, model, setup)


def _noted(outcomes, journal):
  for outcome in outcomes:
    journal.add(outcome)
    yield outcome


def _in_order(outcomes, jobs):
  """Outcomes in the order of files, as long as that takes little memory."""
  held = {}
  order = collections.OrderedDict.fromkeys(job.index for job in jobs)
  for outcome in outcomes:
    held[outcome.index] = outcome
    ready = sorted(held)
    if len(held) <= _MAX_HELD:
      ready = list(itertools.takewhile(held.__contains__, order))
    for index in ready:
      del order[index]
      yield held.pop(index)


def _path_of(error, paths) -> str:
  """Which of the given paths an error of `find_files` is about."""
  for path in map(os.fspath, paths):
    if str(error).startswith(f"{path!r}: "):
      return path
  return ""


def _write_errors(folder, failures) -> None:
  """The errors of this run; without any, no file."""
  path = pathlib.Path(folder, ERRORS)
  if not failures:
    path.unlink(missing_ok=True)
    return
  rows = [("filename", "error"), *failures]
  # A name that is not UTF-8 is written as in the results.
  rows = [
    [os.fsencode(x).decode("utf-8", "backslashreplace") for x in row]
    for row in rows
  ]
  files.replace_text(path, csv_text(rows))
