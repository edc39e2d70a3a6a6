"""Praat's TextGrid: tiers of intervals that do not overlap."""

import re

from yoho_tf.annotations import Annotations
from yoho_tf.formats.base import TIMES, Format
from yoho_tf.formats.text import (
  is_number_like,
  make_events,
  number,
  shortest,
  spell,
)

# Strings with doubled quotes, flags, comments, words.
TOKEN = re.compile(r'"(?:[^"]|"")*"|<[^>]*>|![^\r\n]*|[^\s"]+')


def lay_out(events, key):
  """Spreads events over tiers in which none overlap.

  Args:
    events: Events, in any order.
    key: function of an event -> name of its tier.

  Returns:
    {name of the tier: events in order of time}; a second tier for the same
    key is called `name#2`.
  """
  tiers = {}
  for event in sorted(events, key=lambda e: (key(e), e.start, e.end)):
    name, copy = key(event), 1
    while name in tiers and tiers[name][-1].end > event.start:
      copy += 1
      name = f"{key(event)}#{copy}"
    tiers.setdefault(name, []).append(event)
  return tiers


class TextGrid(Format):
  """Praat: interval tiers, long or short; text is the label.

  A tier is called after its label, or `track/label`; any other name is the
  track. A point tier is an error, or every point lasts `point_seconds`.
  """

  name = "textgrid"
  extensions = (".textgrid",)
  file_ending = ".TextGrid"
  keeps = (*TIMES, "track", "durations")
  per_recording = True
  options = ("point_seconds",)

  @classmethod
  def sniff(cls, head):
    return "ooTextFile" in head[:200] and "TextGrid" in head[:400]

  @classmethod
  def read(cls, source, *, point_seconds=None):
    tokens = _Tokens(source)
    for wanted in ("ooTextFile", "TextGrid"):
      tokens.text(f"file type {wanted!r}", (wanted,))
    tokens.number("xmin")
    seconds = tokens.number("xmax")
    rows, lines = [], []
    for _ in range(tokens.count("tiers") if tokens.flag() else 0):
      kind = tokens.text("tier class", ("IntervalTier", "TextTier"))
      line, tier = tokens.line, tokens.text("tier name")
      tokens.number("xmin")
      tokens.number("xmax")
      num_items = tokens.count("size")
      is_point = kind == "TextTier"
      if is_point and num_items and point_seconds is None:
        raise source.error(
          line, f"tier must be of intervals (or say point_seconds=), got the "
          f"point tier {tier!r}"
        )  # fmt: skip
      for _ in range(num_items):
        start = tokens.number("xmin")
        line = tokens.line
        end = start + point_seconds if is_point else tokens.number("xmax")
        label = tokens.text("text").strip()
        if label:
          rows.append((start, end, label, _track(tier, label)))
          lines.append(line)
    durations = {source.recording: seconds} if seconds > 0 else {}
    if not rows:
      return Annotations(
        known_empty=(source.recording,),
        durations=durations,
        source_format=cls.name,
      )
    columns = dict(zip(("start", "end", "label", "track"), zip(*rows)))
    return Annotations(
      events=make_events(source, lines, filename=source.recording, **columns),
      durations=durations,
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    events = annotations.events
    for label in set(events.label):
      spell("label", label, cls.name, "")
    tiers = lay_out(
      events, lambda e: f"{e.track}/{e.label}" if e.track else e.label
    )
    ends = [*annotations.durations.values(), *events.end.tolist()]
    seconds = shortest(max(ends, default=0.0))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {seconds}", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for index, (name, of_tier) in enumerate(tiers.items(), 1):
      intervals, at = [], "0"
      for event in of_tier:
        start, end = shortest(event.start), shortest(event.end)
        if float(at) < event.start:
          intervals.append((at, start, ""))
        intervals.append((start, end, event.label))
        at = end
      if float(at) < float(seconds):
        intervals.append((at, seconds, ""))
      lines += [
        f"    item [{index}]:",
        '        class = "IntervalTier"',
        f"        name = {_quoted(name)}",
        "        xmin = 0",
        f"        xmax = {seconds}",
        f"        intervals: size = {len(intervals)}",
      ]
      for number_of, (start, end, label) in enumerate(intervals, 1):
        lines += [
          f"        intervals [{number_of}]:",
          f"            xmin = {start}",
          f"            xmax = {end}",
          f"            text = {_quoted(label)}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
  return '"' + text.replace('"', '""') + '"'


def _track(tier: str, label: str) -> str:
  """The track that a tier's name says beside the label."""
  for name in (tier, re.sub("#[0-9]+$", "", tier)):
    if name == label:
      return ""
    if name.endswith(f"/{label}"):
      return name[: -len(label) - 1]
  return tier


class _Tokens:
  """Praat's values in order: everything else in the file is comment."""

  def __init__(self, source):
    self.source = source
    self.line = 1
    self.at = 0

  def _next(self, what, is_wanted):
    text = self.source.text
    while found := TOKEN.search(text, self.at):
      self.line += text.count("\n", self.at, found.start())
      start, self.at = found.start(), found.end()
      token = found[0]
      if is_wanted(token):
        self.line += text.count("\n", start, self.at)
        return token
      is_value = token[0] in '"<' or is_number_like(token)
      if is_value:
        raise self.source.error(
          self.line, f"{what} must come next, got {token[:60]!r}"
        )
    raise self.source.error(self.line, f"{what} must come next, got the end")

  def text(self, what, allowed=None):
    token = self._next(what, lambda t: len(t) > 1 and t[0] == t[-1] == '"')
    value = token[1:-1].replace('""', '"')
    if allowed and value not in allowed:
      raise self.source.error(
        self.line, f"{what} must be one of {allowed}, got {value!r}"
      )
    return value

  def number(self, what):
    token = self._next(what, is_number_like)
    return number(self.source, self.line, what, token)

  def count(self, what):
    value = self.number(what)
    if value != int(value) or value < 0:
      raise self.source.error(self.line, f"{what} must be a count, got {value}")
    return int(value)

  def flag(self):
    return self._next("<exists>", lambda t: t[0] == "<") == "<exists>"
