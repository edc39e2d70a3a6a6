"""One recording: the model, its result, the files that hold it.

What every way to run an archive shares (this process, several, Ray): a `Job`
goes in, an `Outcome` comes out, and a recording that fails is an outcome too.
"""

import collections
import os
import pathlib
import warnings
from dataclasses import dataclass, replace
from typing import NamedTuple

from yoho_tf import hub

# Formats of the files of a recording -> their ending.
ENDINGS = {"csv": ".csv", "json": ".json", "audacity": ".txt"}


class Job(NamedTuple):
  """A recording to do.

  Attributes:
    index: its place in the order of files.
    path: as given.
    key: path below the folder that was given; names it in the journal.
    targets: (path below the output folder, format) of each file to write.
  """

  index: int
  path: str
  key: str
  targets: tuple[tuple[str, str], ...]


class Outcome(NamedTuple):
  """What became of a job.

  Attributes:
    index, path, key: those of the job.
    stamp: (bytes, mtime in ns) of the recording before it was read.
    error: one line, "" where all went well.
    warnings: one line each.
    outputs: `{path below the output folder: bytes}`.
    seconds: of audio.
    result: `Detections` or `Tags` without scores of cells and embeddings, or
      None where nobody asked.
  """

  index: int
  path: str
  key: str
  stamp: tuple[int, int] = (-1, -1)
  error: str = ""
  warnings: tuple[str, ...] = ()
  outputs: dict[str, int] = {}
  seconds: float = 0.0
  result: object = None


@dataclass(frozen=True)
class Setup:
  """All that a worker needs to know; travels to other processes.

  Attributes:
    out_folder: where the files go.
    model, weights, family, settings: as `hub.load` takes them.
    threshold: least score of an event, instead of the model's tuned ones.
    top: only the surest events, this many.
    resampler: "soxr" or "resampy".
    keeps_results: whether outcomes carry the result.
    folder: current folder of whoever began.
  """

  out_folder: str
  model: str = "yoho_everyday"
  weights: str | None = None
  family: str | None = None
  settings: dict | None = None
  threshold: float | None = None
  top: int | None = None
  resampler: str = "soxr"
  keeps_results: bool = False
  folder: str = ""

  def load(self, *, num_threads: int | None = None):
    """The model, with its threshold."""
    settings = self.settings or {}
    model = hub.load(
      self.model,
      weights=self.weights,
      family=self.family,
      settings=settings,
      num_threads=num_threads,
    )
    if self.threshold is None:
      return model
    changes = threshold_settings(self.threshold, model.params, settings)
    return hub.configured(model, changes)

  def start(self):
    """Begins a process of its own: `job -> outcome`, on one thread."""
    if self.folder:  # relative paths mean there what they meant here
      os.chdir(self.folder)
    model = self.load(num_threads=1)
    return lambda job: run(job, model, self)


def run(job: Job, model, setup: Setup) -> Outcome:
  """Predicts and writes; raises nothing that is about one recording."""
  outcome = Outcome(job.index, job.path, job.key, stamp(job.path))
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
      result = model.predict(job.path, resampler=setup.resampler)
      result = strongest(result, setup.top)
      folder = setup.out_folder
      outputs = write(result, job.targets, folder, model.params)
    except (ValueError, OSError) as error:
      return outcome._replace(error=one_line(error))
    except Exception as error:  # a network that refuses, no memory: go on
      text = f"{job.path!r}: {type(error).__name__}: {error}"
      return outcome._replace(error=one_line(text))
  return outcome._replace(
    warnings=texts_of(caught),
    outputs=outputs,
    seconds=float(result.duration_seconds),
    result=_slim(result) if setup.keeps_results else None,
  )


def texts_of(caught) -> tuple[str, ...]:
  """Warnings to show, each once.

  What a format cannot hold was known when it was chosen.
  """
  texts = dict.fromkeys(one_line(w.message) for w in caught)
  return tuple(text for text in texts if "cannot hold" not in text)


def one_line(text) -> str:
  return " ".join(str(text).splitlines())


def stamp(path) -> tuple[int, int]:
  """(bytes, mtime in ns): changes when a file does. (-1, -1): no file."""
  try:
    found = os.stat(path)
  except (OSError, ValueError):
    return -1, -1
  return found.st_size, found.st_mtime_ns


def _slim(result):
  """Without what is large and on no screen."""
  name = "embeddings" if hasattr(result, "embeddings") else "scores"
  return replace(result, **{name: None})


# --- Names -------------------------------------------------------------------


def plan(paths, given, formats) -> list[Job]:
  """The jobs of recordings; no two of them write the same file.

  Args:
    paths: the recordings, in order.
    given: what was asked for: these, or folders that hold them, whose
      subfolders then stand below the output folder too.
    formats: names of ENDINGS.

  Raises:
    ValueError: two recordings would write one file.
  """
  roots = [pathlib.Path(p) for p in given if pathlib.Path(p).is_dir()]
  keys = [_relative(path, roots) for path in paths]
  count = collections.Counter(key.with_suffix("") for key in keys)
  jobs, owner = [], {}
  for index, (path, key) in enumerate(zip(paths, keys, strict=True)):
    stem = key.with_suffix("")
    if count[stem] > 1:  # clip.wav beside clip.flac
      stem = key
    targets = tuple(
      (f"{stem.as_posix()}{ENDINGS[kind]}", kind) for kind in formats
    )
    for name, _ in targets:
      if name in owner:
        raise ValueError(
          f"output: {owner[name]} and {path} would both be {name}"
        )
      owner[name] = path
    jobs.append(Job(index, os.fspath(path), key.as_posix(), targets))
  return jobs


def _relative(path, roots):
  for root in roots:
    if root in path.parents:
      return path.relative_to(root)
  return pathlib.Path(path.name)


# --- Results -----------------------------------------------------------------


def threshold_settings(threshold, params, settings) -> dict:
  """What to set for one least score of an event, not the tuned ones.

  It moves no boundary of an event as long as it is not below a label's `low`;
  cells below that make no events, so a lower threshold lowers it too.
  """
  if not hasattr(params, "postprocess"):
    return {"threshold": threshold}
  changes = {"postprocess.threshold": threshold}
  for label in params.labels:
    low = params.postprocess.for_label(label).low
    if threshold < low and "postprocess.low" not in settings:
      key = f"postprocess.per_label.{label}.low"
      changes[key] = max(threshold, 1e-3)
  return changes


def strongest(result, count):
  """The `count` surest events of a `Detections`, still in order of time."""
  from yoho_tf.results import Detections

  if count is None or not isinstance(result, Detections):
    return result
  import numpy as np

  order = np.argsort(-result.events.score, kind="stable")[:count]
  return replace(result, events=result.events[np.sort(order)])


def write(result, targets, folder, params) -> dict[str, int]:
  """Writes the files of a result, each whole or not at all.

  Args:
    result: `Detections` or `Tags`.
    targets: as of `Job`.
    folder: the output folder.
    params: of the model.

  Returns:
    `{path below the folder: bytes}`.
  """
  from yoho_tf import writers
  from yoho_tf.results import Tags

  sizes = {}
  for name, kind in targets:
    path = pathlib.Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_track = isinstance(result, Tags) and kind == "audacity"
    rows = result.events(params.threshold) if is_track else result
    writers.write(rows, path, format=kind)
    sizes[name] = path.stat().st_size
  return sizes
