"""TUT Sound Events 2017: 32 street recordings of 3 to 5 minutes, 4 folds."""

from pathlib import Path, PurePosixPath

from yoho_tf import readers
from yoho_tf.data.datasets import base, fixtures, report
from yoho_tf.events import EventTable
from yoho_tf.params import PRESETS

INFO = base.Info(
  name="tut2017",
  title="TUT Sound Events 2017, development and evaluation",
  published="Zenodo 814831 and 1040179",
  licence="non-commercial",
  citation="Mesaros, Heittola, Virtanen, DCASE 2017",
  labels=PRESETS["yoho_tut2017"].labels,
  sample_rate_hz=44_100,
  folds=4,
)
SPLITS = {"train": "train", "validate": "val", "test": "test"}
_DEVELOPMENT = "TUT-sound-events-2017-development"
_EVALUATION = "TUT-sound-events-2017-evaluation"
_LISTS = f"{_DEVELOPMENT}/evaluation_setup/street_fold*_*.txt"
_NUM = {_DEVELOPMENT: 24, _EVALUATION: 8}
COUNTS = {
  **{f"{part}/meta/street": count for part, count in _NUM.items()},
  **{f"{part}/audio/street/*.wav": count for part, count in _NUM.items()},
  _LISTS: 8,
}


def _list_path(root, fold, kind):
  name = f"street_fold{fold}_{kind}.txt"
  return Path(root, _DEVELOPMENT, "evaluation_setup", name)


def _named(notes):
  """Recordings called by their file's name alone, as evaluation has it."""
  return base.renamed(notes, lambda name: PurePosixPath(name).name)


def check(root, *, full=False) -> report.Report:
  """Looks for both parts and the lists of the folds."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  paths, events = {}, []
  for part in _NUM:
    notes = checker.table(
      f"{part}/meta/street",
      "files",
      lambda n: len(_named(n).filenames),
      format="tut_ann",
    )
    names = None
    if notes is not None:
      notes = _named(notes)
      events.append(notes.events)
      names = [f"{part}/audio/street/{name}" for name in notes.filenames]
    found = checker.files(f"{part}/audio/street/*.wav", names)
    paths |= {path.name: path for path in found}
  lists = [
    _list_path("", fold, kind).as_posix()
    for fold in range(1, INFO.folds + 1)
    for kind in ("train", "evaluate")
  ]
  checker.files(_LISTS, lists)
  table = EventTable.concat(events)
  checker.audio(paths, channels=(2,), seconds=(150, 310), events=table)
  return checker.report()


def load(root, *, split="train", fold=None) -> base.Dataset:
  """Reads a split.

  Args:
    root: folder with both parts.
    split: "train" and "validate" of a fold, or "test", the evaluation part.
    fold: 1 to 4; default 1.
  """
  base.choose(split, SPLITS, fold, INFO.folds)
  part = _EVALUATION if split == "test" else _DEVELOPMENT
  folder = Path(root, part)
  notes = _named(readers.read(folder / "meta/street", format="tut_ann"))
  names = notes.filenames
  if split != "test":
    kind = {"train": "train", "validate": "evaluate"}[split]
    lines = _list_path(root, fold or 1, kind).read_text(encoding="utf-8")
    # A row per event, or per file: the file's name comes first.
    listed = {
      PurePosixPath(line.split("\t")[0].strip()).name
      for line in lines.splitlines()
      if line.strip()
    }
    names = [name for name in names if name in listed]
  paths = {name: folder / "audio/street" / name for name in names}
  return base.simple(
    INFO, SPLITS, split, paths, notes, group=lambda name: f"tut2017:{name}"
  )


def make_fixture(root, *, seed=0) -> None:
  """Four stereo recordings for development and one for evaluation."""
  fixture = fixtures.Fixture(
    root, seed=seed, sample_rate_hz=INFO.sample_rate_hz
  )
  kept = {}
  for number, name in enumerate(("a001", "a003", "b007", "b091")):
    file = f"audio/street/{name}.wav"
    kept[name] = [
      (file, "street", 0.05, 0.2, INFO.labels[number], "m", name),
      (file, "street", 0.1, 0.3, "car", "m", name),
    ]
    fixture.audio(f"{_DEVELOPMENT}/{file}", channels=2, extra=number % 2)
    fixture.text(f"{_DEVELOPMENT}/meta/street/{name}.ann", kept[name])
  for fold, held_out in enumerate(kept, 1):
    rows = [row[:5] for k, v in kept.items() if k != held_out for row in v]
    fixture.text(_list_path("", fold, "train"), rows)
    rows = [row[:5] for row in kept[held_out]]
    fixture.text(_list_path("", fold, "evaluate"), rows)
  fixture.audio(f"{_EVALUATION}/audio/street/b100.wav", channels=2)
  fixture.text(
    f"{_EVALUATION}/meta/street/b100.ann", [(0.0, 0.25, "people walking")]
  )
  counts = {_LISTS: 8, "seconds": [0.3, 0.301]}
  for part, count in ((_DEVELOPMENT, 4), (_EVALUATION, 1)):
    counts[f"{part}/meta/street"] = count
    counts[f"{part}/audio/street/*.wav"] = count
  fixture.counts(**counts)
