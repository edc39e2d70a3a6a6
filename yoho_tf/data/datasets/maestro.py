"""MAESTRO Real: 49 recordings of 3 to 5 minutes with soft labels, 5 folds.

A score is how many annotators heard a class in a second, weighted; 17 classes
are annotated and 11 of them evaluated (`EVALUATED`).
"""

from pathlib import Path, PurePosixPath

from yoho_tf import readers
from yoho_tf.data.datasets import base, fixtures, report

EVALUATED = (
  "birds_singing",
  "car",
  "people talking",
  "footsteps",
  "children voices",
  "wind_blowing",
  "brakes_squeaking",
  "large_vehicle",
  "cutlery and dishes",
  "metro approaching",
  "metro leaving",
)
INFO = base.Info(
  name="maestro",
  title="MAESTRO Real, development",
  published=(
    "Zenodo 7244360; folds: github.com/marmoi/dcase2023_task4b_baseline"
  ),
  licence="non-commercial",
  citation="Martín-Morató et al., DCASE 2023 task 4B",
  labels=(
    *EVALUATED,
    "announcement",
    "cash register beeping",
    "coffee machine",
    "door opens/closes",
    "furniture dragging",
    "shopping cart",
  ),
  sample_rate_hz=44_100,
  folds=5,
)
SPLITS = {"train": "train", "validate": "val", "test": "test"}
_LISTED = {"train": "train", "validate": "val", "test": "test"}
_AUDIO = "development_audio/*/*.wav"
_LABELS = "development_annotation"
_TABLE = "development_metadata.csv"  # tab-separated all the same
_LISTS = "development_folds/fold*_*.csv"
COUNTS = {_TABLE: 49, _LABELS: 49, _AUDIO: 49, _LISTS: 15}


def _list_path(fold, kind):
  return f"development_folds/fold{fold}_{kind}.csv"


def _scene(name):
  """`cafe_restaurant_07.wav` -> `cafe_restaurant`."""
  return name.rpartition("_")[0]


def check(root, *, full=False) -> report.Report:
  """Looks for every part; see `report.Report`."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  checker.table(
    _TABLE, "rows", lambda n: len(n.durations), format="desed_durations"
  )
  notes = checker.table(
    _LABELS, "files", lambda n: len(n.filenames), format="maestro_soft"
  )
  names = None
  if notes is not None:
    names = [f"development_audio/{_scene(v)}/{v}" for v in notes.filenames]
  found = checker.files(_AUDIO, names)
  lists = [_list_path(f, k) for f in range(1, 6) for k in _LISTED.values()]
  checker.files(_LISTS, lists)
  paths = {path.name: path for path in found}
  # No comparison with the events: the last second of labels is a whole one.
  checker.audio(paths, seconds=(170, 310))
  if notes is not None:
    unknown = sorted(set(notes.events.label) - set(INFO.labels))
    if unknown:
      checker.add("labels", f"not known: {unknown}", state="wrong")
  return checker.report()


def load(root, *, split="train", fold=None) -> base.Dataset:
  """Reads a split of a fold; scores of the events are the soft labels.

  Args:
    root: folder with the parts of `development_...`.
    split: "train", "validate" or "test".
    fold: 1 to 5; default 1.
  """
  base.choose(split, SPLITS, fold, INFO.folds)
  root = Path(root)
  notes = readers.read(root / _LABELS, format="maestro_soft")
  lines = (root / _list_path(fold or 1, _LISTED[split])).read_text("utf-8")
  listed = [line.strip() for line in lines.splitlines()[1:] if line.strip()]
  paths = {
    f"{PurePosixPath(name).name}.wav": root / f"development_audio/{name}.wav"
    for name in listed
  }
  return base.simple(
    INFO, SPLITS, split, paths, notes, group=lambda name: f"maestro:{name}"
  )


def make_fixture(root, *, seed=0) -> None:
  """Four recordings in two scenes, one 24 bits deep; a value above 1."""
  fixture = fixtures.Fixture(
    root, seed=seed, sample_rate_hz=INFO.sample_rate_hz
  )
  names = [
    "cafe_restaurant/cafe_restaurant_00",
    "cafe_restaurant/cafe_restaurant_04",
    "metro_station/metro_station_01",
    "metro_station/metro_station_02",
  ]
  rows = [("filename", "duration")]
  for number, name in enumerate(names):
    subtype = "PCM_24" if number == 1 else "PCM_16"
    fixture.audio(f"development_audio/{name}.wav", 0.4, subtype=subtype)
    soft = [
      (0, 0.2, "people talking", 0.25 * number),
      (0.2, 0.4, "people talking", 0.8),
      (0.1, 0.4, "announcement", 1),
    ]
    fixture.text(f"{_LABELS}/soft_labels_{name}.txt", soft)
    rows.append((PurePosixPath(name).name, 0.4))
  fixture.text(_TABLE, rows)
  for fold in range(1, 6):
    turned = names[fold % 4 :] + names[: fold % 4]
    parts = {"train": turned[:2], "val": turned[2:3], "test": turned[3:]}
    for kind, listed in parts.items():
      fixture.text(_list_path(fold, kind), ["filename", *listed])
  fixture.counts(
    **{_TABLE: 4, _LABELS: 4, _AUDIO: 4, _LISTS: 15, "seconds": [0.4, 0.4]}
  )
