"""Music and speech: MUSAN, Muspeak and OpenBMAT, as many as are there.

None has published splits: a group goes to train, val or test (70, 15, 15) by
a hash of its name. MUSAN's files are music, speech or noise from end to end,
material for mixtures; noise is loaded as a recording without events.
"""

import csv
import functools
import hashlib
from pathlib import Path

from yoho_tf import audio, readers
from yoho_tf.annotations import Annotations
from yoho_tf.audio import AUDIO_EXTENSIONS
from yoho_tf.data.datasets import base, fixtures, report
from yoho_tf.events import EventTable

INFO = base.Info(
  name="music_speech",
  title="MUSAN, Muspeak, OpenBMAT",
  published=(
    "openslr.org/17 (MUSAN), MIREX 2015 (Muspeak), Zenodo 3381249 (OpenBMAT, "
    "on request)"
  ),
  licence="MUSAN CC BY 4.0 and public domain; others by their terms",
  citation="Snyder et al., 2015; Meléndez-Catalán et al., TISMIR 2019",
  labels=("music", "speech"),
  sample_rate_hz=0,
)
SPLITS = {"train": "train", "val": "val", "test": "test"}
_MUSAN = ("music", "speech", "noise")
_OPENBMAT = "openbmat audio"
COUNTS = {_OPENBMAT: 1647}  # the others' own tables say how many


def split_of(group: str) -> str:
  """train, val or test, by a hash of the group."""
  digest = hashlib.sha256(group.encode()).digest()
  place = int.from_bytes(digest[:4], "big") / 2**32
  return "train" if place < 0.7 else "val" if place < 0.85 else "test"


def _audio(folder) -> dict[str, Path]:
  """Stem -> path of every audio file below a folder."""
  return {
    path.stem: path
    for path in sorted(Path(folder).rglob("*"))
    if path.suffix.lower() in AUDIO_EXTENSIONS
  }


def _musan_rows(folder):
  """(utterance, musician) of every line of every ANNOTATIONS."""
  for table in sorted(Path(folder).rglob("ANNOTATIONS")):
    notes = readers.read(table, format="musan")
    musicians = notes.extras.get("musician", ())
    names = notes.filenames
    if len(musicians) != len(names):
      musicians = ("",) * len(names)
    yield from zip((Path(name).stem for name in names), musicians)


def check(root, *, full=False) -> report.Report:
  """Looks for the sets; one is enough, and each must be complete."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  root, paths = Path(root), {}
  present = []
  for kind in _MUSAN:
    name = f"musan/{kind}/*/"
    found = _audio(root / "musan" / kind)
    if not found and not (root / "musan").is_dir():
      checker.add(name, "not there", state="absent")
      continue
    present.append(name)
    paths |= found
    # noise has lists of another form: what is there is taken.
    try:
      listed = (
        dict(_musan_rows(root / "musan" / kind)) if kind != "noise" else {}
      )
    except ValueError as error:
      checker.add(name, str(error), state="broken")
      continue
    missing = sorted(set(listed) - set(found))
    text = f"{len(found)} files"
    if missing or not found:
      text += f", {len(listed)} listed; first missing {(missing or [name])[0]}"
    state = "missing" if missing or not found else "ok"
    checker.add(name, text, state=state)
  tables = sorted((root / "muspeak").rglob("*.csv"))
  found = _audio(root / "muspeak")
  if not tables and not found:
    checker.add("muspeak/", "not there", state="absent")
  else:
    present.append("muspeak")
    paths |= found
    missing = sorted({path.stem for path in tables} - set(found))
    text = f"{len(tables)} tables, {len(found)} audio files"
    if missing or not tables:
      text += f"; first missing audio of {(missing or ['any table'])[0]}"
    state = "missing" if missing or not tables else "ok"
    checker.add("muspeak/", text, state=state)
  found = _audio(root / "openbmat")
  if not found:
    checker.add("openbmat/", "not there", state="absent")
  else:
    present.append("openbmat")
    paths |= found
    checker.number(_OPENBMAT, len(found), "files")
  if present:
    checker.audio(paths)
  else:
    text = "one of musan/, muspeak/, openbmat/ expected, none found"
    checker.add("any set", text, state="missing")
  return checker.report()


def load(root, *, split="train", fold=None, columns=None) -> base.Dataset:
  """Reads a split of every set that is there.

  Args:
    root: folder with `musan/`, `muspeak/`, `openbmat/`.
    split: "train", "val" or "test".
    fold: there is none.
    columns: of OpenBMAT's tables, whose layout this project has not seen:
      {"start": 0, "end": 1, "label": 2}; needed where `openbmat/` is there.
  """
  base.choose(split, SPLITS, fold, INFO.folds)
  root = Path(root)
  paths, groups, parts = {}, {}, []

  def add(path, group, read):
    if split_of(group) == split:
      paths[path.name], groups[path.name] = path, group
      parts.append(read(path))

  musicians = {}
  for kind in _MUSAN[:2]:
    musicians |= dict(_musan_rows(root / "musan" / kind))
  for kind in _MUSAN:
    for stem, path in _audio(root / "musan" / kind).items():
      group = f"musan:{musicians.get(stem, '').strip() or stem}"
      add(path, group, functools.partial(_whole, kind))
  found = _audio(root / "muspeak")
  for table in sorted((root / "muspeak").rglob("*.csv")):
    if table.stem not in found:
      raise FileNotFoundError(f"{table}: must have audio of the same stem")
    read = functools.partial(_muspeak, table)
    add(found[table.stem], f"muspeak:{table.stem}", read)
  for stem, path in _audio(root / "openbmat").items():
    read = functools.partial(_openbmat, root / "openbmat", columns)
    add(path, f"openbmat:{stem}", read)
  return base.simple(
    INFO,
    SPLITS,
    split,
    paths,
    Annotations.concat(parts) if parts else Annotations(),
    group=groups.__getitem__,
  )


def _whole(kind, path):
  """MUSAN: one sound from end to end; noise is neither music nor speech."""
  if kind == "noise":
    return Annotations(known_empty=[path.name])
  seconds = audio.info(path).duration_seconds
  return Annotations(
    events=EventTable.from_columns(
      start=[0.0], end=[seconds], label=kind, filename=path.name
    )
  )


def _muspeak(table, path):
  """Classes are written in several ways: m, Music, s, speech."""
  notes = readers.read(table, format="muspeak", audio_root=path.parent)
  kinds = {"m": "music", "s": "speech"}
  names = {v: kinds.get(v.strip().lower()[:1]) for v in notes.events.label}
  events = notes.events.relabel(names)
  return Annotations(
    events=events, known_empty=[] if len(events) else [path.name]
  )


def _openbmat(folder, columns, path):
  """Every class with music is music, "No Music" is nothing."""
  if columns is None or not {"start", "end", "label"} <= set(columns):
    raise ValueError(
      "columns must say where OpenBMAT has start, end and label, e.g. "
      f"{{'start': 0, 'end': 1, 'label': 2}}; got {columns!r}"
    )
  tables = sorted(
    table
    for table in Path(folder).rglob("*")
    if table.stem == path.stem
    and table.suffix.lower() in (".csv", ".tsv", ".txt")
  )
  if not tables:
    raise FileNotFoundError(f"{folder}: must hold a table for {path.stem}")
  text = tables[0].read_text(encoding="utf-8")
  rows = []
  for row in csv.reader(
    text.splitlines(), delimiter="\t" if "\t" in text else ","
  ):
    try:
      start, end = (float(row[columns[k]]) for k in ("start", "end"))
      label = row[columns["label"]].strip().lower().replace("-", " ")
    except (ValueError, IndexError):
      if rows or len(row) <= max(columns.values()):
        raise ValueError(
          f"{tables[0]}: row must have the columns {columns}, got {row}"
        ) from None
      continue  # a header
    rows.append((start, end, label.replace("_", " ")))
  events = EventTable.from_rows(
    [(a, b, "music") for a, b, v in rows if "music" in v and v != "no music"]
  )
  return Annotations(
    events=events.replace(filename=path.name).merge(0.0),
    known_empty=[] if len(events) else [path.name],
  )


def make_fixture(root, *, seed=0) -> None:
  """Nine files of MUSAN and Muspeak, groups in all three splits."""
  fixture = fixtures.Fixture(root, seed=seed, sample_rate_hz=16_000)
  music = []
  for number, musician in enumerate(("A. Nonymous", "A. Nonymous", "B", "D")):
    name = f"music-fma-{number:04d}"
    fixture.audio(f"musan/music/fma/{name}.wav", 0.5, extra=number)
    music.append(f"{name} rock,pop N {musician}")
  fixture.text("musan/music/fma/ANNOTATIONS", music)
  speech = []
  for number in range(3):
    name = f"speech-librivox-{number:04d}"
    fixture.audio(f"musan/speech/librivox/{name}.wav", 0.5, subtype="PCM_24")
    speech.append(f"{name} m english")
  fixture.text("musan/speech/librivox/ANNOTATIONS", speech)
  fixture.audio("musan/noise/free-sound/noise-free-sound-0000.wav", 0.5)
  fixture.audio("muspeak/theconcert.wav", 0.8, channels=2)
  fixture.text(
    "muspeak/theconcert.csv", ["0.0,0.35,m", "0.3,0.4,s", "0.71,0.05,m"]
  )
  fixture.counts()
