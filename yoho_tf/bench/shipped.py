"""The shipped models on what none of them was trained or tuned on.

Four sets of audio (training/held_out.py) per model; a set of which a model
knows no class is left out.
"""

import pathlib

import numpy as np

from yoho_tf import hub
from yoho_tf.bench import answers
from yoho_tf.events import EventTable
from yoho_tf.training import baselines, held_out

# Set, a folder of the answers -> (task, split, title).
SETS = {
  "speech": ("recordings", "test", "Real speech, hand-labelled (segment)"),
  "field": ("recordings", "val", "Field recordings, own class"),
  "radio": ("radio", "test", "Speech and music, mixed as on the radio"),
  "negatives": ("negatives", "test", "False events where nothing sounds"),
}
NUM_RADIO_SCENES = 60


def fill(sources, folder, *, log=print) -> None:
  """Keeps the answers of every bundled model, where they are not kept.

  Answers are those of the shipped `.tflite`: events above their thresholds.
  """
  for name, facts in hub.bundled().items():
    model = hub.load(name)
    for which, (task, split, _) in SETS.items():
      place = pathlib.Path(folder, "shipped", which, name)
      digest = facts["sha256"][f"{name}.tflite"]
      if name in answers.names(place):
        if answers.read(place, name)[2]["sha256"] == digest:
          continue
      try:
        known = held_out.known(
          task,
          sources,
          model.params.labels,
          split=split,
          num_scenes=NUM_RADIO_SCENES,
        )
      except ValueError:  # none of its classes there
        continue
      found = held_out.answers(model, known)
      if task != "negatives":
        found = known.only_own(found)
        used = set(known.reference.label)
        found = found[np.array([n in used for n in found.label], bool)]
      answers.keep_reference(known, place)
      answers.keep(place, name, found, model.params, sha256=digest)
      log(f"{name}: {len(found)} events on {which}")


def lines(folder) -> list[str]:
  """A table per set."""
  found = []
  for which, (task, _, title) in SETS.items():
    places = sorted(pathlib.Path(folder, "shipped", which).glob("*"))
    if not places:
      continue
    found += [f"### {title}", ""]
    found += (_negative_lines if task == "negatives" else _score_lines)(
      places, held_out.TASKS[task].columns
    )
    found.append("")
  return found


def _score_lines(places, columns):
  titles = ["", "files", *(baselines.COLUMNS[c][0] for c in columns)]
  found = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
  for place in places:
    known = answers.read_reference(place)
    events, _, _ = answers.read(place, place.name)
    used = sorted(set(known.reference.label))
    others = {
      f"`{place.name}`": events,
      "- chance: answers of another file": baselines.shuffled(
        events, known.durations, seed=0
      ),
      "- chance: always active": baselines.always_active(known.durations, used),
    }
    table = baselines.rows(
      known.reference,
      {name: known.only_own(own) for name, own in others.items()},
      known.durations,
      used,
      columns=columns,
    )
    for name, row in baselines.plain(table).items():
      cells = [
        f"{row[c]['value']:.3f} [{row[c]['low']:.3f}, {row[c]['high']:.3f}]"
        for c in columns
      ]
      number = str(len(known.durations))
      found.append(f"| {name} | {number} | {' | '.join(cells)} |")
  return found


def _negative_lines(places, _):
  found = [
    "| | false events | minutes | per minute | on speech | on music | "
    "on backgrounds |",
    "| --- " * 7 + "|",
  ]
  for place in places:
    known = answers.read_reference(place)
    events = EventTable.concat(
      [EventTable.empty(), answers.read(place, place.name)[0]]
    )
    _, counts = held_out.false_events(events, known)
    own = [
      f"{counts[kind]['per_minute']:.2f}" if kind in counts else ""
      for kind in ("all", "speech", "music", "background")
    ]
    found.append(
      f"| `{place.name}` | {counts['all']['events']} | "
      f"{counts['all']['minutes']:.1f} | {' | '.join(own)} |"
    )
  return found
