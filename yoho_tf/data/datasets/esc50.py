"""ESC-50: 2,000 clips of 5 s, one of 50 labels each, in 5 folds.

Labels are of the clip: a clip's sound may fill a part of it only, so there are
tags and no events.
"""

from pathlib import Path

from yoho_tf import readers
from yoho_tf.data.datasets import base, fixtures, report

INFO = base.Info(
  name="esc50",
  title="ESC-50: Dataset for Environmental Sound Classification",
  published="github.com/karolpiczak/ESC-50",
  licence="CC BY-NC",
  citation="Piczak, ESC, ACM Multimedia 2015",
  labels=(
    "airplane", "breathing", "brushing_teeth", "can_opening", "car_horn",
    "cat", "chainsaw", "chirping_birds", "church_bells", "clapping",
    "clock_alarm", "clock_tick", "coughing", "cow", "crackling_fire",
    "crickets", "crow", "crying_baby", "dog", "door_wood_creaks",
    "door_wood_knock", "drinking_sipping", "engine", "fireworks", "footsteps",
    "frog", "glass_breaking", "hand_saw", "helicopter", "hen", "insects",
    "keyboard_typing", "laughing", "mouse_click", "pig", "pouring_water",
    "rain", "rooster", "sea_waves", "sheep", "siren", "sneezing", "snoring",
    "thunderstorm", "toilet_flush", "train", "vacuum_cleaner",
    "washing_machine", "water_drops", "wind",
  ),
  sample_rate_hz=44_100,
  folds=5,
)  # fmt: skip
SPLITS = {"train": "train", "test": "test"}
TABLE = "meta/esc50.csv"
COUNTS = {
  TABLE: 2000,
  "audio/*.wav": 2000,
  "labels": 50,
  "clips per label": 40,
  "esc10": 400,
}


def check(root, *, full=False) -> report.Report:
  """Looks for every part; see `report.Report`."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  notes = checker.table(TABLE, "rows", lambda n: len(n.tags), format="esc50")
  names = None
  if notes is not None:
    names = [f"audio/{tag.filename}" for tag in notes.tags]
    labels = [tag.label for tag in notes.tags]
    checker.number("labels", len(set(labels)), "labels")
    fewest = min(map(labels.count, set(labels)), default=0)
    checker.number("clips per label", fewest, "clips at least")
    esc10 = [v.strip().lower() == "true" for v in notes.extras["esc10"]]
    checker.number("esc10", sum(esc10), "clips")
  found = checker.files("audio/*.wav", names)
  checker.audio(found, channels=(1,), seconds=(5, 5))
  return checker.report()


def load(root, *, split="train", fold=None) -> base.Dataset:
  """Reads a split.

  Args:
    root: folder with `audio/` and `meta/`.
    split: "test" is the fold, "train" the other four.
    fold: 1 to 5; default 1.
  """
  base.choose(split, SPLITS, fold, INFO.folds)
  root, fold = Path(root), str(fold or 1)
  notes = readers.read(root / TABLE, format="esc50")
  rows = list(zip(notes.tags, notes.extras["fold"], notes.extras["src_file"]))
  rows = [row for row in rows if (row[1] == fold) == (split == "test")]
  paths = {tag.filename: root / "audio" / tag.filename for tag, *_ in rows}
  sources = {tag.filename: source for tag, _, source in rows}
  return base.simple(
    INFO, SPLITS, split, paths, notes, group=lambda name: f"fs:{sources[name]}"
  )


def make_fixture(root, *, seed=0) -> None:
  """Six clips of 0.3 s in five folds, two of one upload."""
  fixture = fixtures.Fixture(
    root, seed=seed, sample_rate_hz=INFO.sample_rate_hz
  )
  rows = [readers.FORMATS["esc50"].header]
  for number, label in enumerate(("dog", "rain") * 3):
    fold = max(number, 1)  # the first two clips are of one upload
    source = 100000 + fold
    name = f"{fold}-{source}-{'AB'[number == 0]}-{number % 2}.wav"
    fixture.audio(f"audio/{name}", extra=number % 2)
    is_esc10 = label == "dog"
    rows.append((name, fold, number % 2, label, is_esc10, source, "A"))
  fixture.text(TABLE, rows, ",")
  fixture.counts(
    **{
      TABLE: 6,
      "audio/*.wav": 6,
      "labels": 2,
      "clips per label": 3,
      "esc10": 3,
      "seconds": [0.3, 0.301],
    }
  )
