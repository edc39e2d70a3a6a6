"""ELAN's XML: tiers of annotations on numbered time slots."""

import re
from typing import NamedTuple
from urllib.parse import quote, unquote
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from yoho_tf.annotations import Annotations
from yoho_tf.formats.base import EVENTS, Format
from yoho_tf.formats.text import NUMBER, make_events, milliseconds, spell
from yoho_tf.formats.textgrid import lay_out

NOT_IN_XML = "\r" + "".join(
  chr(code) for code in (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF)
)


class Node(NamedTuple):
  """An XML element; `text` is what stands in it, in pieces."""

  tag: str
  attributes: dict
  line: int
  text: list
  children: list

  def all(self, tag):
    """All elements of a tag below this one, in order."""
    for child in self.children:
      if child.tag == tag:
        yield child
      yield from child.all(tag)


def parse_xml(source) -> Node:
  """The root of an XML file; elements know their lines."""
  parser = expat.ParserCreate()
  stack = [Node("", {}, 0, [], [])]

  def start(tag, attributes):
    node = Node(tag, attributes, parser.CurrentLineNumber, [], [])
    stack[-1].children.append(node)
    stack.append(node)

  parser.StartElementHandler = start
  parser.EndElementHandler = lambda _: stack.pop()
  parser.CharacterDataHandler = lambda text: stack[-1].text.append(text)
  # The text is decoded already, whatever the declaration says.
  text = re.sub(r"^\s*<\?xml.*?\?>", "", source.text, count=1, flags=re.S)
  lost = source.text.count("\n") - text.count("\n")
  try:
    parser.Parse("\n" * lost + text, True)
  except expat.ExpatError as error:
    raise source.error(
      error.lineno, f"must be XML, got {expat.ErrorString(error.code)}"
    ) from None
  return stack[0]


class Elan(Format):
  """ELAN `.eaf`: tiers are tracks; the media file is the recording."""

  name = "elan"
  extensions = (".eaf",)
  keeps = (*EVENTS, "annotator", "track")
  precision_seconds = 1e-3
  per_recording = True
  default_tier = "default"

  @classmethod
  def sniff(cls, head):
    return "<ANNOTATION_DOCUMENT" in head

  @classmethod
  def read(cls, source):
    root = parse_xml(source)
    media = next(root.all("MEDIA_DESCRIPTOR"), None)
    filename = source.recording
    if media is not None and media.attributes.get("MEDIA_URL"):
      filename = unquote(re.split(r"[/\\]", media.attributes["MEDIA_URL"])[-1])
    slots = {
      slot.attributes.get("TIME_SLOT_ID"): slot
      for slot in root.all("TIME_SLOT")
    }
    nodes = {}
    for tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
      for node in root.all(tag):
        nodes[node.attributes.get("ANNOTATION_ID")] = node
    tiers = [tier.attributes for tier in root.all("TIER")]
    names = {tier.get("TIER_ID", "") for tier in tiers}
    rows, lines = [], []
    for tier, attributes in zip(root.all("TIER"), tiers):
      annotator = attributes.get("ANNOTATOR", "")
      track = _tier_track(attributes.get("TIER_ID", ""), annotator, names)
      for annotation in tier.all("ANNOTATION"):
        for node in annotation.children:
          values = [v for v in node.children if v.tag == "ANNOTATION_VALUE"]
          label = "".join("".join(value.text) for value in values).strip()
          if label:
            times = _times(source, node, nodes, slots)
            rows.append((*times, label, annotator, track))
            lines.append(node.line)
    if not rows:
      return Annotations(known_empty=(filename,), source_format=cls.name)
    columns = ("start", "end", "label", "annotator", "track")
    return Annotations(
      events=make_events(
        source, lines, filename=filename, **dict(zip(columns, zip(*rows)))
      ),
      source_format=cls.name,
    )

  @classmethod
  def text(cls, annotations):
    events = annotations.events
    if len(set(events.filename)) > 1:
      raise ValueError(f"filename must be one per file in {cls.name}, got more")
    annotators = {}
    for event in events:
      for column in ("label", "annotator", "track", "filename"):
        value = getattr(event, column)
        spell(column, value or "-", cls.name, NOT_IN_XML)
      spell("label", event.label, cls.name, NOT_IN_XML)
      if event.track == cls.default_tier or "\n" in event.track:
        raise ValueError(f"track must not be {event.track!r} in {cls.name}")
      annotators.setdefault(event.track, set()).add(event.annotator)

    def tier_of(event):
      name = event.track or cls.default_tier
      several = len(annotators[event.track]) > 1 and event.annotator
      return f"{name}@{event.annotator}" if several else name

    tiers = lay_out(events, tier_of)
    slots, blocks = [], []
    for name, of_tier in tiers.items():
      person = of_tier[0].annotator
      attributes = f" ANNOTATOR={quoteattr(person)}" if person else ""
      blocks.append(
        f'  <TIER LINGUISTIC_TYPE_REF="default-lt"{attributes} '
        f"TIER_ID={quoteattr(name)}>\n"
      )
      for event in of_tier:
        ids = []
        for time in milliseconds(event):
          slots.append(time)
          ids.append(f"ts{len(slots)}")
        blocks.append(
          "    <ANNOTATION>\n      <ALIGNABLE_ANNOTATION "
          f'ANNOTATION_ID="a{len(slots) // 2}" TIME_SLOT_REF1="{ids[0]}" '
          f'TIME_SLOT_REF2="{ids[1]}">\n        <ANNOTATION_VALUE>'
          f"{escape(event.label)}</ANNOTATION_VALUE>\n"
          "      </ALIGNABLE_ANNOTATION>\n    </ANNOTATION>\n"
        )
      blocks.append("  </TIER>\n")
    names = [*dict.fromkeys(events.filename), *annotations.known_empty][:1]
    media = "".join(
      f"    <MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(quote(name))} "
      'MIME_TYPE="audio/x-wav"/>\n'
      for name in names
      if name
    )
    order = "".join(
      f'    <TIME_SLOT TIME_SLOT_ID="ts{i}" TIME_VALUE="{time}"/>\n'
      for i, time in enumerate(slots, 1)
    )
    return (
      '<?xml version="1.0" encoding="UTF-8"?>\n'
      '<ANNOTATION_DOCUMENT AUTHOR="" DATE="1970-01-01T00:00:00+00:00" '
      'FORMAT="3.0" VERSION="3.0">\n'
      f'  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n{media}'
      f"  </HEADER>\n  <TIME_ORDER>\n{order}  </TIME_ORDER>\n"
      f"{''.join(blocks)}"
      '  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" '
      'LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>\n'
      "</ANNOTATION_DOCUMENT>\n"
    )


def _tier_track(tier: str, annotator: str, names) -> str:
  base = re.sub("#[0-9]+$", "", tier)
  if base != tier and base in names:
    tier = base
  if annotator:
    tier = tier.removesuffix(f"@{annotator}")
  return "" if tier == Elan.default_tier else tier


def _times(source, node, nodes, slots) -> list[float]:
  """Start and end in seconds; a reference has its parent's."""
  seen = set()
  while node.tag == "REF_ANNOTATION":
    parent = node.attributes.get("ANNOTATION_REF")
    if parent not in nodes or parent in seen:
      raise source.error(
        node.line, f"ANNOTATION_REF must name an annotation, got {parent!r}"
      )
    seen.add(parent)
    node = nodes[parent]
  times = []
  for name in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
    slot = slots.get(node.attributes.get(name))
    if slot is None:
      raise source.error(
        node.line,
        f"{name} must be a time slot, got {node.attributes.get(name)!r}",
      )
    value = slot.attributes.get("TIME_VALUE")
    if value is None or not NUMBER.fullmatch(value):
      raise source.error(
        slot.line, f"TIME_VALUE must be milliseconds, got {value!r}"
      )
    times.append(float(value) / 1000)
  return times
