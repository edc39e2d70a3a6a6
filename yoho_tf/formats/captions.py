"""Subtitles: SubRip and WebVTT; text = label, a score stands behind it."""

import html
import math
import re

from yoho_tf.annotations import Annotations
from yoho_tf.formats.base import TIMES, Format
from yoho_tf.formats.text import (
  NUMBER,
  lines_of,
  make_events,
  milliseconds,
  shortest,
  spell,
)

TIME = re.compile(
  r"(?:([0-9]{1,6}):)?([0-5]?[0-9]):([0-5]?[0-9])[.,]([0-9]{1,3})"
)
SCORE = re.compile(rf"\s*\(({NUMBER.pattern})\)$")


class Srt(Format):
  """SubRip: number, `h:m:s,ms --> h:m:s,ms`, text."""

  name = "srt"
  extensions = (".srt",)
  keeps = (*TIMES, "score")
  precision_seconds = 1e-3
  per_recording = True
  mark, head = ",", ""

  @classmethod
  def sniff(cls, head):
    return "-->" in head and not head.lstrip().startswith("WEBVTT")

  @classmethod
  def read(cls, source):
    rows, lines = [], []
    texts = lines_of(source.text)
    if cls.head and not texts[0].startswith(cls.head):
      raise source.error(1, f"must begin with {cls.head}, got {texts[0]!r}")
    at = 0
    while at < len(texts):
      block = []
      first = at + 1
      while at < len(texts) and texts[at].strip():
        block.append(texts[at].strip())
        at += 1
      at += 1
      row = cls._cue(source, first, block) if block else None
      if row:
        rows.append(row[1:])
        lines.append(row[0])
    if not rows:
      return Annotations(
        known_empty=(source.recording,), source_format=cls.name
      )
    names = ("start", "end", "label", "score")
    columns = dict(zip(names, zip(*rows)))
    return Annotations(
      events=make_events(source, lines, filename=source.recording, **columns),
      source_format=cls.name,
    )

  @classmethod
  def _cue(cls, source, first, block):
    """(line, start, end, label, score) of one block, or None."""
    if cls.head and re.match("(WEBVTT|NOTE|STYLE|REGION)($|\\s)", block[0]):
      return None
    index = next((i for i, text in enumerate(block) if "-->" in text), None)
    if index is None or index > 1:
      raise source.error(
        first, f"cue must have a line of times with -->, got {block[0]!r}"
      )
    line = first + index
    left, _, right = block[index].partition("-->")
    right = right.split()[0] if right.split() else ""
    times = []
    for column, text in (("start", left.strip()), ("end", right)):
      found = TIME.fullmatch(text)
      if not found:
        raise source.error(
          line, f"{column} must be h:m:s{cls.mark}ms, got {text!r}"
        )
      hours, minutes, seconds, rest = found.groups()
      whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
      times.append((whole * 1000 + int(rest.ljust(3, "0"))) / 1000)
    label = cls.unescape(" ".join(block[index + 1 :]))
    score = SCORE.search(label)
    if score:
      label = label[: score.start()]
    return line, *times, label, float(score[1]) if score else math.nan

  @classmethod
  def text(cls, annotations):
    blocks = [cls.head] if cls.head else []
    for index, event in enumerate(annotations.events, 1):
      label = spell("label", event.label, cls.name, "\n\r")
      if "-->" in label or SCORE.search(label):
        raise ValueError(
          f"label must be without --> and a number in brackets at its end in "
          f"{cls.name}, got {label!r}"
        )
      if not math.isnan(event.score):
        label += f" ({shortest(event.score)})"
      start, end = (cls._time(ms) for ms in milliseconds(event))
      blocks.append(f"{index}\n{start} --> {end}\n{cls.escape(label)}")
    return "\n\n".join(blocks) + "\n" if blocks else ""

  @classmethod
  def _time(cls, milliseconds_):
    seconds, rest = divmod(milliseconds_, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{cls.mark}{rest:03}"

  @staticmethod
  def escape(text):
    return text

  @staticmethod
  def unescape(text):
    return text


class Vtt(Srt):
  """WebVTT."""

  name = "vtt"
  extensions = (".vtt",)
  mark, head = ".", "WEBVTT"

  @classmethod
  def sniff(cls, head):
    return head.lstrip().startswith(cls.head)

  @staticmethod
  def escape(text):
    return html.escape(text, quote=False)

  @staticmethod
  def unescape(text):
    return html.unescape(re.sub("<[^>]*>", "", text))
