"""DESED: domestic clips of 10 s; weak, strong, unlabelled and synthetic parts.

Real clips come from YouTube and vanish there: with `allow_missing` the audio
that is not at hand is counted, not an error.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from yoho_tf import readers
from yoho_tf.annotations import Annotations
from yoho_tf.data.datasets import base, fixtures, report

INFO = base.Info(
  name="desed",
  title="DESED, as in DCASE task 4",
  published="github.com/turpaultn/DESED (and its Zenodo records)",
  licence="MIT; clips under their uploaders' terms",
  citation="Turpault et al., DCASE 2019",
  labels=(
    "Alarm_bell_ringing",
    "Blender",
    "Cat",
    "Dishes",
    "Dog",
    "Electric_shaver_toothbrush",
    "Frying",
    "Running_water",
    "Speech",
    "Vacuum_cleaner",
  ),
  sample_rate_hz=0,
)


@dataclass(frozen=True)
class _Part:
  split: str
  audio: str  # folder; "*" where the published name has two spellings
  table: str = ""
  format: str = "desed_strong"
  required: bool = True


_SYNTH = "dcase_synth/{}/{}/syn*21_{}"
_PARTS = {
  "weak": _Part(
    "train", "audio/train/weak", "metadata/train/weak.tsv", "desed_weak"
  ),
  "unlabelled": _Part("train", "audio/train/unlabel_in_domain"),
  "strong": _Part(
    "train",
    "audio/train/strong_label_real",
    "metadata/train/audioset_strong.tsv",
  ),
  "synthetic": _Part(
    "train",
    _SYNTH.format("audio", "train", "train"),
    _SYNTH.format("metadata", "train", "train") + "/soundscapes.tsv",
  ),
  "synthetic_validation": _Part(
    "val",
    _SYNTH.format("audio", "validation", "validation"),
    _SYNTH.format("metadata", "validation", "validation") + "/soundscapes.tsv",
  ),
  "validation": _Part(
    "val",
    "audio/validation/validation",
    "metadata/validation/validation.tsv",
  ),
  "public": _Part(
    "test", "audio/eval/public", "metadata/eval/public.tsv", required=False
  ),
}
_DURATIONS = "metadata/validation/validation_durations.tsv"
SPLITS = {name: part.split for name, part in _PARTS.items()}
OPTIONAL = tuple(name for name, p in _PARTS.items() if not p.required)
COUNTS = {
  "weak": 1578,
  "unlabelled": 14_412,
  "strong": 3470,
  "synthetic": 10_000,
  "synthetic_validation": 0,  # as many as its table lists
  "validation": 1168,
  "public": 692,
  "validation events": 4224,
  _DURATIONS: 1168,
}
_YOUTUBE = re.compile(r"Y?(.{11})_\d+(?:\.\d+)?_\d+(?:\.\d+)?\.\w+")


def _group(name):
  video = _YOUTUBE.fullmatch(name)
  return f"yt:{video[1]}" if video else f"desed:{name}"


def _audio(root, part) -> dict[str, Path]:
  """File name -> path; `soundscapes` goes before `soundscapes_16k`."""
  found = {}
  for folder in sorted(Path(root).glob(part.audio)):
    for path in sorted(folder.rglob("*.wav"), reverse=True):
      found[path.name] = path
  return found


def _notes(root, part) -> Annotations | None:
  """Annotations of a part; None where its table is not there."""
  if not part.table:
    return Annotations()
  tables = sorted(Path(root).glob(part.table))
  return readers.read(tables[0], format=part.format) if tables else None


def check(root, *, full=False, allow_missing=False) -> report.Report:
  """Looks for every part.

  Args:
    root: folder with `audio/`, `metadata/` and `dcase_synth/`.
    full: open every file.
    allow_missing: missing audio is counted only.
  """
  checker = report.Checker(INFO, root, COUNTS, full=full)
  paths, events = {}, []
  for name, part in _PARTS.items():
    try:
      notes = _notes(root, part)
    except ValueError as error:
      checker.add(part.table, str(error), state="broken")
      continue
    found = _audio(root, part)
    paths |= found
    if notes is None:
      state = "missing" if part.required or found else "absent"
      text = f"first missing {part.table}"
      checker.add(part.table, text, state=state)
    listed = set(notes.filenames) if notes else set()
    expected = checker.counts[name] or len(listed)
    if notes and part.table:
      state = "ok" if len(listed) == expected else "wrong"
      text = f"{len(listed)} files listed, {expected} expected"
      checker.add(part.table, text, state=state)
      events.append(notes.events)
    present = len(listed & set(found)) if listed else len(found)
    lost = sorted(listed - set(found)) or [""]
    text = f"{present} of {expected or '?'} files"
    if present < expected or notes is None:
      text += f"; first missing {part.audio}/{lost[0] or '*.wav'}"
    absent = not found and not part.required and notes is None
    ok = notes is not None and (
      present == expected or (allow_missing and present > 0)
    )
    state = "absent" if absent else "ok" if ok else "missing"
    checker.add(part.audio, text, state=state)
    if name == "validation" and notes:
      count = len(notes.events)
      checker.number("validation events", count, "events")
  checker.table(
    _DURATIONS, "rows", lambda n: len(n.durations), format="desed_durations"
  )
  # YouTube's clips may be a little shorter than their labels say.
  checker.audio(paths, seconds=(0.2, 12))
  unknown = {v for table in events for v in table.label} - set(INFO.labels)
  if unknown:
    checker.add("labels", f"not known: {sorted(unknown)}", state="wrong")
  return checker.report()


def load(root, *, split="weak", fold=None, allow_missing=False) -> base.Dataset:
  """Reads a part: one of SPLITS.

  Args:
    root: folder with `audio/`, `metadata/` and `dcase_synth/`.
    split: name of the part.
    fold: there is none.
    allow_missing: leave out recordings without audio; else they are an error.

  Raises:
    FileNotFoundError: the part's table, or audio, is not there.
  """
  base.choose(split, SPLITS, fold, INFO.folds)
  part, root = _PARTS[split], Path(root)
  notes, found = _notes(root, part), _audio(root, part)
  if notes is None:
    raise FileNotFoundError(f"root must hold {part.table}, got {root}")
  names = notes.filenames if part.table else tuple(sorted(found))
  missing = [name for name in names if name not in found]
  if missing and not allow_missing:
    raise FileNotFoundError(
      f"audio must be there for every recording of {split!r} (or say "
      f"allow_missing), got none for {len(missing)} of {len(names)}, first "
      f"{part.audio}/{missing[0]}"
    )
  paths = {name: found[name] for name in names if name in found}
  return base.simple(INFO, SPLITS, split, paths, notes, group=_group)


def make_fixture(root, *, seed=0) -> None:
  """A clip or two per part: an empty row, stereo, one YouTube id twice."""
  fixture = fixtures.Fixture(root, seed=seed, sample_rate_hz=16_000)
  header = ("filename", "onset", "offset", "event_label")
  weak = "Y--4gqARaEJE_0.000_10.000.wav"
  strong = "Y--4gqARaEJE_10.000_20.000.wav"  # of the same video
  fixture.text(
    "metadata/train/weak.tsv",
    [("filename", "event_labels"), (weak, "Dog,Speech")],
  )
  fixture.audio(f"audio/train/weak/{weak}", 0.9)
  fixture.audio(
    "audio/train/unlabel_in_domain/Y-0yhTXjo1jE_30.000_40.000.wav", 0.5
  )
  fixture.text(
    "metadata/train/audioset_strong.tsv", [header, (strong, 0, 0.4, "Cat")]
  )
  fixture.audio(f"audio/train/strong_label_real/{strong}", 0.9, channels=2)
  for kind, names in (
    ("train", ("0.wav", "1.wav")),
    ("validation", ("1000.wav",)),
  ):
    folder = _SYNTH.replace("syn*", "synthetic")
    rows = [(name, 0.1, 0.3, "Blender") for name in names]
    table = folder.format("metadata", kind, kind) + "/soundscapes.tsv"
    fixture.text(table, [header, *rows])
    for name in names:
      place = folder.format("audio", kind, kind)
      fixture.audio(f"{place}/soundscapes/{name}", 0.5, extra=1)
  quiet = "Y1LYCnjXhcCk_0.000_10.000.wav"
  real = "YB0KdXZx8Rss_30.000_40.000.wav"
  fixture.text(
    "metadata/validation/validation.tsv",
    [header, (real, 0.05, 0.55, "Frying"), (quiet, "", "", "")],
  )
  durations = [("filename", "duration"), (real, 0.6), (quiet, 0.6), (real, 0.6)]
  fixture.text(_DURATIONS, durations)
  for name in (real, quiet):
    fixture.audio(f"audio/validation/validation/{name}", 0.6)
  fixture.counts(
    **{
      "weak": 1,
      "unlabelled": 1,
      "strong": 1,
      "synthetic": 2,
      "validation": 2,
      "validation events": 1,
      _DURATIONS: 2,
    }
  )
