"""URBAN-SED 2.0.0: 10,000 synthetic soundscapes of 10 s, strong labels."""

from pathlib import Path

from yoho_tf import readers
from yoho_tf.data.datasets import base, fixtures, report
from yoho_tf.events import EventTable
from yoho_tf.params import PRESETS

INFO = base.Info(
  name="urban_sed",
  title="URBAN-SED v2.0.0",
  published='Zenodo "URBAN-SED", urbansed.weebly.com',
  licence="CC BY 4.0",
  citation="Salamon et al., Scaper, WASPAA 2017",
  labels=PRESETS["yoho_urban_sed"].labels,
  sample_rate_hz=44_100,
)
SPLITS = {"train": "train", "validate": "val", "test": "test"}
_NUM = {"train": 6000, "validate": 2000, "test": 2000}
COUNTS = {
  **{f"annotations/{split}/*.txt": count for split, count in _NUM.items()},
  **{f"annotations/{split}/*.jams": count for split, count in _NUM.items()},
  **{f"audio/{split}/*.wav": count for split, count in _NUM.items()},
}


def _read(root, split):
  """Annotations of a split; a clip is called `<stem>.wav`."""
  return readers.read(
    Path(root, "annotations", split, "*.txt"), format="urban_sed"
  )


def check(root, *, full=False) -> report.Report:
  """Looks for every part; the .jams files are not required."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  paths, events = {}, []
  for split in SPLITS:
    texts = checker.files(f"annotations/{split}/*.txt")
    checker.files(f"annotations/{split}/*.jams", required=False)
    names = [f"audio/{split}/{path.stem}.wav" for path in texts] or None
    found = checker.files(f"audio/{split}/*.wav", names)
    paths |= {path.name: path for path in found}
    if texts:
      try:
        events.append(_read(root, split).events)
      except ValueError as error:
        checker.add(f"annotations/{split}", str(error), state="broken")
  table = EventTable.concat(events)
  # Some clips have one sample more.
  checker.audio(paths, channels=(1,), seconds=(10, 10.0001), events=table)
  return checker.report()


def load(root, *, split="train", fold=None) -> base.Dataset:
  """Reads a split: "train", "validate" or "test"."""
  base.choose(split, SPLITS, fold, INFO.folds)
  notes = _read(root, split)
  folder = Path(root, "audio", split)
  paths = {name: folder / name for name in notes.filenames}
  return base.simple(
    INFO, SPLITS, split, paths, notes, group=lambda name: f"urban_sed:{name}"
  )


def make_fixture(root, *, seed=0) -> None:
  """Five soundscapes: one without events, one a sample too long."""
  fixture = fixtures.Fixture(
    root, seed=seed, sample_rate_hz=INFO.sample_rate_hz
  )
  events = {
    "train/soundscape_train_bimodal0": [(0.05, 0.25, "dog_bark")],
    "train/soundscape_train_uniform1": [
      (0.0, 0.3, "siren"),
      (0.1, 0.2, "siren"),
      (1.25e-1, 0.35, "gun_shot"),  # past the end
    ],
    "train/soundscape_train_uniform2": [],
    "validate/soundscape_validate_bimodal0": [(0.02, 0.1, "drilling")],
    "test/soundscape_test_bimodal0": [(0.1, 0.2, "car_horn")],
  }
  for number, (name, rows) in enumerate(events.items()):
    fixture.text(f"annotations/{name}.txt", rows)
    fixture.audio(f"audio/{name}.wav", extra=number % 2)
  counts = {"seconds": [0.3, 0.3001]}
  for split, count in (("train", 3), ("validate", 1), ("test", 1)):
    for kind in ("annotations/{}/*.txt", "annotations/{}/*.jams"):
      counts[kind.format(split)] = count
    counts[f"audio/{split}/*.wav"] = count
  fixture.counts(**counts)
