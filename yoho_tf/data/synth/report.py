"""What a folder of scenes holds, in numbers."""

import collections
import math

_SNR_STEP_DB = 3


def summary(lines, labels) -> dict:
  """Per split: scenes, seconds, dropped sounds, and tables of the events.

  Args:
    lines: of `scenes.jsonl`.
    labels: each gets a row, also where nothing was drawn.

  Returns:
    {split: {scenes, seconds, dropped, events, event_seconds,
    polyphony_seconds, snr_db}}. `polyphony_seconds` counts labelled events at
    once, `snr_db` placed events by the lower edge of steps of 3 dB.
  """
  splits = {}
  for line in lines:
    recipe = line["recipe"]
    own = splits.setdefault(recipe["split"], _Split(labels))
    own.add(line, recipe["num_samples"] / recipe["sample_rate_hz"])
  return {split: own.to_dict() for split, own in sorted(splits.items())}


def used_files(lines) -> set[str]:
  """Every file that scenes were mixed from."""
  used = set()
  for line in lines:
    recipe = line["recipe"]
    pieces = [p for event in recipe["events"] for p in event["pieces"]]
    pieces += [e["room"] for e in recipe["events"] if e["room"]]
    pieces.append(recipe["background"]["piece"] or {"file": ""})
    used |= {piece["file"] for piece in pieces}
  return used - {""}


class _Split:
  def __init__(self, labels):
    self.scenes = self.dropped = 0
    self.seconds = 0.0
    self.events = dict.fromkeys(labels, 0)
    self.event_seconds = dict.fromkeys(labels, 0.0)
    self.polyphony = collections.Counter()
    self.snr = collections.Counter()

  def add(self, line, seconds):
    self.scenes += 1
    self.seconds += seconds
    self.dropped += line["recipe"]["num_dropped"]
    edges = [(0.0, 0), (seconds, 0)]
    for start, end, label in line["labels"]:
      self.events[label] += 1
      self.event_seconds[label] += end - start
      edges += [(start, 1), (end, -1)]
    count, edges = 0, sorted(edges)
    for (time, step), (after, _) in zip(edges, edges[1:]):
      count += step
      self.polyphony[count] += after - time
    for event in line["recipe"]["events"]:
      if event["label"]:
        step = math.floor(event["snr_db"] / _SNR_STEP_DB) * _SNR_STEP_DB
        self.snr[step] += 1

  def to_dict(self):
    return {
      "scenes": self.scenes,
      "seconds": round(self.seconds, 6),
      "dropped": self.dropped,
      "events": self.events,
      "event_seconds": _rounded(self.event_seconds),
      "polyphony_seconds": _rounded(dict(sorted(self.polyphony.items()))),
      "snr_db": dict(sorted(self.snr.items())),
    }


def _rounded(values):
  return {key: round(value, 6) for key, value in values.items()}
