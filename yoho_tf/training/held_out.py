"""Audio that no model trained on, by task of `yoho evaluate`.

Scenes and radio are mixed from sources of a split; recordings are field
recordings with strong labels; in negatives nothing else sounds.
"""

import csv
import pathlib
from dataclasses import dataclass, replace

import numpy as np

from yoho_tf import audio
from yoho_tf.data import sources
from yoho_tf.events import EventTable
from yoho_tf.params import SCENE_PRESETS
from yoho_tf.training.evaluation import Validation

RATE_HZ = 16_000


@dataclass(frozen=True)
class Task:
  """What a model is asked.

  Attributes:
    split: unless another is asked for.
    scene: scene preset, where scenes are mixed.
    columns: of `baselines.COLUMNS`.
  """

  split: str
  scene: str = ""
  columns: tuple[str, ...] = ()


TASKS = {
  "scenes": Task("test", "everyday", ("segment_f1", "event_f1")),
  "radio": Task("test", "radio", ("fine_segment_f1", "segment_f1", "event_f1")),
  "recordings": Task("val", "", ("segment_f1", "event_f1", "recall")),
  "negatives": Task("test"),
}

# Manifest role -> what sounds in such a recording, as a display name.
_NEGATIVE_ROLES = {
  "speech": "Speech",
  "keyword": "Speech",
  "music": "Music",
  "background": "",
}


def field_recordings(folder, *, split, labels) -> Validation:
  """Field recordings with strong labels of one class each, its `own`.

  Recordings of classes outside `labels` are left out, as are weakly aligned
  ones (children_playing).
  """
  names, rows_of, own = sources.aliases(), {}, {}
  for row in sources.strong_rows(folder, split=split):
    event = row["event"]
    label = event if event in labels else names.get(event)
    if label in labels and event != "children_playing":
      own[row["path"]] = label
      rows_of.setdefault(row["path"], []).append(
        (float(row["onset"]), float(row["offset"]), label)
      )
  waveforms = {name: audio.read(pathlib.Path(folder, name)) for name in own}
  durations = {name: len(w) / RATE_HZ for name, w in waveforms.items()}
  tables = [EventTable.empty()]
  for name, rows in rows_of.items():
    events = EventTable.from_rows(sorted(rows)).merge(0.0)
    tables.append(events.crop(0.0, durations[name]).replace(filename=name))
  reference = EventTable.concat(tables)
  return Validation(split, waveforms, reference, durations, own=own)


def negatives(
  folder, *, split, labels, rate_hz=RATE_HZ, permissive_only=False
) -> Validation:
  """Speech, music and backgrounds, in which nothing else sounds.

  `own` is "Speech", "Music" or "". Backgrounds in which a class of `labels`
  may sound (rain, thunder) are left out; at most 120 single words.
  """
  with open(pathlib.Path(folder, "manifest.csv"), newline="") as stream:
    rows = [row for row in csv.DictReader(stream) if row["split"] == split]
  own, num_words = {}, 0
  for row in rows:
    role = row["role"]
    if role not in _NEGATIVE_ROLES or sources.is_ambiguous(row):
      continue
    if permissive_only and not sources.is_permissive(row["licence"]):
      continue
    num_words += role == "keyword"
    if role != "keyword" or num_words <= 120:
      own[row["path"]] = _NEGATIVE_ROLES[role]
  waveforms = {
    name: audio.read(pathlib.Path(folder, name), sample_rate_hz=rate_hz)
    for name in own
  }
  durations = {name: len(w) / rate_hz for name, w in waveforms.items()}
  reference = EventTable.from_rows(
    [
      (0.0, durations[name], label, 1.0, name)
      for name, label in own.items()
      if label in labels
    ]
  )
  return Validation(split, waveforms, reference, durations, own=own)


def known(
  task,
  folder,
  labels,
  *,
  split=None,
  num_scenes=300,
  seed=2,
  permissive_only=True,
) -> Validation:
  """The audio of a task.

  Args:
    task: of TASKS.
    folder: with `manifest.csv`.
    labels: of the model; others are not asked for.
    num_scenes, seed, permissive_only: of mixed scenes.

  Raises:
    ValueError: nothing there for these labels.
  """
  split = split or TASKS[task].split
  if TASKS[task].scene:
    scene = SCENE_PRESETS[TASKS[task].scene]
    own = tuple(n for n in labels if n in (scene.labels or labels))
    if not own:
      raise ValueError(
        f"model must know {' or '.join(scene.labels)} for {task}; it knows "
        f"{', '.join(labels)}"
      )
    pool = sources.read_manifest(
      folder,
      split=split,
      labels=own,
      permissive_only=permissive_only,
      exclude_ids=sources.real_strong_ids(folder, split="val"),
    )
    return Validation.of_pool(
      pool,
      replace(scene, labels=()),
      labels=own,
      num_scenes=num_scenes,
      seed=seed,
      split=split,
    )
  make = {"recordings": field_recordings, "negatives": negatives}[task]
  found = make(folder, split=split, labels=labels)
  if not found.waveforms:
    raise ValueError(
      f"sources must hold recordings of the model's classes in split "
      f"{split!r}; got none in {str(folder)!r}"
    )
  return found


def answers(model, known) -> EventTable:
  """Events of every recording by a model of `hub.load`."""
  tables = [
    model.predict(waveform).events.replace(filename=name)
    for name, waveform in known.waveforms.items()
  ]
  return EventTable.concat([EventTable.empty(), *tables])


_KINDS = {"Speech": "speech", "Music": "music", "": "background"}


def false_events(events: EventTable, known: Validation):
  """Events of another class than the recording's own, in negatives.

  Returns:
    The events, and `{kind: {"events", "minutes", "per_minute"}}`, "all" last.
  """
  pairs = list(zip(events.filename, events.label, strict=True))
  false = events[np.array([known.own[n] != label for n, label in pairs], bool)]
  counts = {}
  for kind in (*_KINDS.values(), "all"):
    files = {n for n, own in known.own.items() if kind in (_KINDS[own], "all")}
    minutes = sum(known.durations[name] for name in files) / 60
    number = sum(name in files for name in false.filename)
    if files:
      counts[kind] = {
        "events": number,
        "minutes": minutes,
        "per_minute": number / minutes,
      }
  return false, counts
