"""Sources: splits, licences, roles, field recordings."""

import csv

import numpy as np
import pytest

from yoho_tf.data import sources
from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS

LABELS = ("Bark", "Rain", "Speech", "Walk, footsteps")
SPLITS = ("train", "val", "test")
# Speakers unknown, and one bird that sings in all splits (data's README).
SHARED_IDS = {
  "pico_ww:unknown-speaker",
  "pico_s2i:unknown-speaker",
  "koumura:Bird0",
}


def read(folder, split="train", **options):
  options = {"labels": LABELS, "permissive_only": False, **options}
  return sources.read_manifest(folder, split=split, **options)


def names(pool, role, label=""):
  return sorted(s.path.name for g in pool.groups(role, label) for s in g)


def rows_of(path):
  with open(path, newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


def write_manifest(path, rows):
  columns = ("path", "role", "class", "split", "source_id", "licence")
  with open(path, "w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows([columns, *rows])
  return path


# ---- the folder made here ---------------------------------------------------


def test_roles_and_labels(source_folder):
  pool = read(source_folder)
  assert pool.labels == LABELS
  assert names(pool, "event", "Rain") == ["rain0.wav", "rain1.wav", "rain2.wav"]
  assert names(pool, "event", "Speech") == ["one.wav", "six.wav", "two.wav"]
  # A class outside the vocabulary is a distractor; so is music here.
  assert names(pool, "distractor") == ["door.wav", "siren.wav", "tune.wav"]
  assert names(pool, "rir") == ["room.wav"]


def test_ambiguous_backgrounds_are_left_out(source_folder):
  """Rain in a background would be an event without a label.

  The folders are called `train`, which holds the letters of rain.
  """
  assert names(read(source_folder), "background") == ["fan.wav"]


def test_only_files_of_the_split(source_folder):
  for split in SPLITS:
    for source in read(source_folder, split).sources:
      assert f"/{split}/" in source.path.as_posix()


def test_no_source_id_crosses_a_split(source_folder):
  ids = [
    {s.source_id for s in read(source_folder, split).sources}
    for split in SPLITS
  ]
  common = (ids[0] & ids[1]) | (ids[0] & ids[2]) | (ids[1] & ids[2])
  assert common == {"words:unknown-speaker"}


def test_files_of_unknown_speakers_are_groups_of_their_own(source_folder):
  pool = read(source_folder)
  assert len(pool.groups("event", "Speech")) == 3
  assert [len(g) for g in pool.groups("event", "Rain")] == [2, 1]


def test_permissive_filter(source_folder):
  pool = read(source_folder, permissive_only=True)
  assert names(pool, "event", "Rain") == ["rain0.wav", "rain1.wav"]
  assert "siren.wav" not in names(pool, "distractor")
  assert all(sources.is_permissive(s.licence) for s in pool.sources)
  assert not all(
    sources.is_permissive(s.licence) for s in read(source_folder).sources
  )


def test_all_labels_are_those_of_the_rows_that_stay(source_folder):
  everything = read(source_folder, labels=None).labels
  permissive = read(source_folder, labels=None, permissive_only=True).labels
  assert {*everything} - {*permissive} == {"Siren"}  # all of it is paid
  assert "Rain" in permissive  # a part of it is free


def test_excluded_ids_are_left_out(source_folder):
  pool = read(source_folder, exclude_ids={"train:a"})
  assert names(pool, "event", "Rain") == ["rain2.wav"]


def test_field_recordings_are_cut_in_training_only(source_folder):
  pool = read(source_folder)
  cut = [s for s in pool.sources if s.path.parent.parent.name == "rs"]
  # Only what is in the foreground, with an exact end.
  assert [(s.start, s.end) for s in cut] == [(0.5, 1.0), (2.0, 2.8)]
  assert {s.label for s in cut} == {"Bark"} and {s.role for s in cut} == {
    "event"
  }
  np.testing.assert_array_equal(
    [len(pool.waveform(s)) for s in cut], [8_000, 12_800]
  )
  for split in ("val", "test"):
    files = {s.path.as_posix() for s in read(source_folder, split).sources}
    assert not any("/rs/" in name for name in files)
    assert sources.real_strong_ids(source_folder, split=split) == {f"{split}:m"}


def test_waveform_is_the_part_of_the_file(source_folder):
  pool = read(source_folder)
  whole, part = [
    sources.Source(
      path=source_folder / "ev/train/rain0.wav",
      role="event",
      label="Rain",
      source_id="x",
      licence="",
      start=start,
      end=end,
    )
    for start, end in ((0.0, None), (0.25, 0.75))
  ]
  waveform = pool.waveform(whole)
  assert waveform.dtype == np.float32 and len(waveform) == 24_000
  np.testing.assert_array_equal(pool.waveform(part), waveform[4_000:12_000])
  np.testing.assert_array_equal(pool.waveform(whole), waveform)


def test_manifest_or_its_folder(source_folder):
  manifest = source_folder / "manifest.csv"
  assert read(manifest).sources == read(source_folder).sources


# ---- errors -----------------------------------------------------------------


def test_a_label_without_a_source_is_an_error(source_folder):
  with pytest.raises(ValueError, match="none of 'Sneeze' in split 'val'"):
    read(source_folder, "val", labels=("Rain", "Sneeze"))


def test_no_manifest_is_an_error(tmp_path):
  with pytest.raises(ValueError, match="must hold a manifest.csv; received"):
    read(tmp_path)


def test_manifest_errors_name_file_and_rule(tmp_path):
  row = ("a.wav", "event", "rain", "train", "a", "CC0")
  path = write_manifest(tmp_path / "manifest.csv", [row])
  assert len(read(path, labels=("Rain",)).sources) == 1
  path = write_manifest(path, [("a.wav", "evnt", *row[2:])])
  with pytest.raises(ValueError, match="manifest.csv: role .*mean 'event'"):
    read(path, labels=("Rain",))
  path.write_text("path,role,class,split,licence\na,event,rain,train,CC0\n")
  with pytest.raises(ValueError, match="must have a column 'source_id'"):
    read(path, labels=("Rain",))


# ---- licences ---------------------------------------------------------------


@pytest.mark.parametrize(
  "licence, allowed",
  [
    ("CC0", True),
    ("CC0 1.0", True),
    ("CC-BY-4.0", True),
    ("CC BY 3.0", True),
    ("CC BY-SA 4.0", True),
    ("Apache-2.0", True),
    ("CC BY-SA 3.0 / PD (doc/LICENSE)", True),
    ("OpenAIR: CC Public Domain", True),
    ("CC BY-NC 3.0", False),
    ("CC BY-NC 3.0 (UrbanSound; per-file Freesound CC)", False),
    ("CC BY 3.0 / PD / some CC BY-NC (see .txt)", False),
    ("CC BY-ND 4.0", False),
    ("CC BY-SA 2.0 / GPL-2", False),
    ("OpenAIR: CC ?", False),
    ("Sampling Plus 1.0", False),
    ("Apache-2.0 with extra conditions (test set)", False),
    ("", False),
  ],
)
def test_is_permissive(licence, allowed):
  assert sources.is_permissive(licence) is allowed


def test_aliases_lead_to_names_of_the_class_maps():
  known = {*ClassMap.bundled("everyday"), *ClassMap.bundled("urban")}
  assert set(sources.aliases().values()) <= known


# ---- the real folder --------------------------------------------------------


def test_shared_ids_do_not_cross_splits(shared):
  splits = {}
  for row in rows_of(shared / "audio" / "manifest.csv"):
    splits.setdefault(row["source_id"], set()).add(row["split"])
  crossing = {name for name, found in splits.items() if len(found) > 1}
  assert crossing == SHARED_IDS


@pytest.mark.parametrize(
  "preset, permissive",
  [("yoho_everyday", True), ("yoho_everyday", False), ("yoho_urban", False)],
)
def test_shared_pools(shared, preset, permissive):
  folder = shared / "audio"
  labels = PRESETS[preset].labels
  pools = {
    split: read(folder, split, labels=labels, permissive_only=permissive)
    for split in SPLITS
  }
  for pool in pools.values():
    assert set(pool.labels) == set(labels)
    assert not permissive or all(
      sources.is_permissive(s.licence) for s in pool.sources
    )
  paths = {k: {s.path for s in pool.sources} for k, pool in pools.items()}
  ids = {k: {s.source_id for s in pool.sources} for k, pool in pools.items()}
  for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
    assert not paths[a] & paths[b]
    assert ids[a] & ids[b] <= SHARED_IDS
  whole = {
    row["path"]
    for row in rows_of(folder / "manifest.csv")
    if row["role"] == "real_strong" and row["split"] != "train"
  }
  used = {p.relative_to(folder).as_posix() for v in paths.values() for p in v}
  assert whole and not used & whole
