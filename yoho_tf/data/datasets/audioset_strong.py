"""AudioSet's strong labels: 120,459 clips of 10 s; the audio is not published.

Clips are called `ytid_startms`. Of these only the ones with a file
`audio/<clip>.*` are loaded. Events of one class may overlap: merge them for
PSDS.
"""

from pathlib import Path

from yoho_tf import readers
from yoho_tf.annotations import relabel
from yoho_tf.audio import AUDIO_EXTENSIONS
from yoho_tf.data.datasets import base, fixtures, report
from yoho_tf.formats.audioset import split_segment_id

INFO = base.Info(
  name="audioset_strong",
  title="AudioSet temporally-strong labels",
  published="research.google.com/audioset/download_strong.html",
  licence="labels CC BY 4.0; audio not published",
  citation="Hershey et al., ICASSP 2021",
  labels=(),
  sample_rate_hz=0,
)
SPLITS = {"train": "train", "eval": "test"}
_TABLES = {s: f"audioset_{s}_strong.tsv" for s in SPLITS}
_FRAMED = "audioset_eval_strong_framed_posneg.tsv"
_NAMES = "mid_to_display_name.tsv"
_AUDIO = "audio/*"
COUNTS = {
  "audioset_train_strong.tsv": 934_821,
  "train clips": 103_463,
  "train labels": 447,
  "audioset_eval_strong.tsv": 139_538,
  "eval clips": 16_996,
  "eval labels": 416,
  "shared labels": 407,
  _FRAMED: 14_203,
  _AUDIO: 120_459,
}


def display_names(root) -> dict[str, str]:
  """mid -> name; where two mids have one name, the mid is added."""
  path = Path(root, _NAMES)
  rows = [
    line.split("\t", 1)
    for line in path.read_text(encoding="utf-8").splitlines()
    if line.strip()
  ]
  for number, row in enumerate(rows, 1):
    if len(row) != 2:
      raise ValueError(
        f"{path}:{number}: row must be mid, tab, name, got {row[0]!r}"
      )
  names = [name.strip() for _, name in rows]
  return {
    mid.strip(): name if names.count(name) == 1 else f"{name} ({mid.strip()})"
    for (mid, _), name in zip(rows, names)
  }


def _audio(root) -> dict[str, Path]:
  """Clip -> its file, for the clips that are there."""
  found = Path(root, "audio").glob("*")
  return {
    path.stem: path
    for path in sorted(found)
    if path.suffix.lower() in AUDIO_EXTENSIONS
  }


def check(root, *, full=False) -> report.Report:
  """Looks for the tables, and counts the clips that are there."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  labels, clips = {}, set()
  for split, path in _TABLES.items():
    notes = checker.table(
      path, "events", lambda n: len(n.events), format="audioset_strong"
    )
    if notes is None:
      continue
    labels[split] = set(notes.events.label)
    own = set(notes.events.filename)
    clips |= own
    checker.number(f"{split} clips", len(own), "clips")
    checker.number(f"{split} labels", len(labels[split]), "labels")
  if len(labels) == 2:
    shared = len(labels["train"] & labels["eval"])
    checker.number("shared labels", shared, "labels")
  checker.table(
    _FRAMED,
    "clips",
    lambda n: len(set(n.known.filename)),
    format="audioset_posneg",
  )
  try:
    named = display_names(root)
    lacking = sorted(set().union(*labels.values()) - set(named))
    text = f"{len(named)} names" + (f"; none for {lacking}" if lacking else "")
    checker.add(_NAMES, text, state="wrong" if lacking else "ok")
  except OSError:
    checker.add(_NAMES, f"first missing {_NAMES}", state="missing")
  except ValueError as error:
    checker.add(_NAMES, str(error), state="broken")
  found = {k: v for k, v in _audio(root).items() if k in clips}
  text = f"{len(found)} of {checker.counts[_AUDIO]} clips (not published)"
  checker.add(_AUDIO, text, state="ok" if found else "absent")
  if found:
    checker.audio(found, seconds=(0.5, 10.5))
  return checker.report()


def load(root, *, split="train", fold=None) -> base.Dataset:
  """Reads the clips of "train" or "eval" whose audio is there."""
  base.choose(split, SPLITS, fold, INFO.folds)
  names, tables = display_names(root), {}
  for name, path in _TABLES.items():
    notes = readers.read(Path(root, path), format="audioset_strong")
    tables[name] = relabel(notes, names)
  labels = {v for notes in tables.values() for v in notes.events.label}
  notes, found = tables[split], _audio(root)
  clips = dict.fromkeys(notes.events.filename)
  paths = {clip: found[clip] for clip in clips if clip in found}
  return base.simple(
    INFO,
    SPLITS,
    split,
    paths,
    notes,
    group=lambda clip: f"yt:{split_segment_id(clip)[0]}",
    labels=tuple(sorted(labels)),
  )


def make_fixture(root, *, seed=0) -> None:
  """Four clips, three with audio; ids that hold "_" and begin with "-"."""
  fixture = fixtures.Fixture(root, seed=seed, sample_rate_hz=16_000)
  header = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
  train = [
    ("b0_RFKhbpFJ_30000", 0.0, 0.4, "/m/09x0r"),
    ("b0_RFKhbpFJ_30000", 0.2, 0.5, "/m/09x0r"),  # overlaps
    ("-0aJ_kMbOAQ_1000", 0.1, 0.2, "/m/0bt9lr"),
    ("not_at_hand_0", 1.0, 2.0, "/m/0bt9lr"),
  ]
  heard = [("s9d-2nhuJCQ_30000", 0.123, 0.456, "/m/09x0r")]
  fixture.text(_TABLES["train"], [header, *train])
  fixture.text(_TABLES["eval"], [header, *heard])
  posneg = [
    ("s9d-2nhuJCQ_30000", 0.0, 0.96, "/m/09x0r", "PRESENT"),
    ("s9d-2nhuJCQ_30000", 0.0, 0.96, "/m/0bt9lr", "NOT_PRESENT"),
  ]
  fixture.text(_FRAMED, [(*header, "present"), *posneg])
  fixture.text(_NAMES, [("/m/09x0r", "Speech"), ("/m/0bt9lr", "Dog")])
  for clip, end in ((train[0][0], "wav"), (train[2][0], "flac")):
    fixture.audio(f"audio/{clip}.{end}", 0.6)
  fixture.audio(f"audio/{heard[0][0]}.wav", 0.6, channels=2)
  fixture.counts(
    **{
      _TABLES["train"]: 4,
      "train clips": 3,
      "train labels": 2,
      _TABLES["eval"]: 1,
      "eval clips": 1,
      "eval labels": 1,
      "shared labels": 1,
      _FRAMED: 1,
      _AUDIO: 4,
      "seconds": [0.6, 0.6],
    }
  )
