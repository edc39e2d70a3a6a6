"""A user's folder: labels found, matched, checked; groups never cross."""

import csv
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yoho_tf.annotations import Annotations, Tag
from yoho_tf.data import folder, prepare, records
from yoho_tf.data.folder import FolderParams, find, split
from yoho_tf.events import EventTable
from yoho_tf.formats import FORMATS
from yoho_tf.labels import ClassMap
from yoho_tf.writers import recording_file, text_of, write

RATE = 8000
BY_FILE = FolderParams(group_by="file")


def make(root, names, seconds=1.0):
  """Quiet little recordings; returns the folder."""
  import soundfile

  waveform = np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * RATE))
  for name in names:
    path = Path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, RATE)
  return Path(root)


def put(root, **files):
  """Writes texts: a_b="..." becomes a.b (underscore for the dot)."""
  for name, text in files.items():
    stem, _, end = name.rpartition("_")
    Path(root, f"{stem}.{end}").write_text(text, encoding="utf-8")
  return root


NAMES = [f"site{site}/r{number}.wav" for site in range(4) for number in (1, 2)]
TABLE = Annotations(
  EventTable.from_rows(
    row
    for index, name in enumerate(NAMES)
    for row in (
      (0.125 * (index % 3), 0.5, "dog bark", np.nan, name),
      (0.25, 0.7531, "siren", np.nan, name),
    )
    if index != 5 or row[2] == "siren"
  )
)


@pytest.fixture
def root(tmp_path):
  """Eight recordings in four folders, without labels."""
  return make(tmp_path / "data", NAMES)


def label_beside(root, format):
  """Labels of TABLE beside the recordings, in one format."""
  kind = FORMATS[format]
  for name, part in TABLE.split().items():
    events = part.events
    if not kind.per_recording:
      events = events.replace(filename=Path(name).name)
    if format == "rttm":
      events = events.replace(
        filename=Path(name).stem,
        label=[label.replace(" ", "_") for label in events.label],
      )
    if format in ("textgrid", "jams"):
      events = events.replace(filename="")
    path = root / Path(name).parent / recording_file(name, kind)
    path.write_text(text_of(Annotations(events), kind), encoding="utf-8")


def strong_table(root, name="labels.tsv", table=TABLE):
  write(table, root / name, format="desed_strong")


# ---- formats ----------------------------------------------------------------


@pytest.mark.parametrize(
  "format",
  "audacity urban_sed raven tsv csv jams textgrid elan rttm json desed_strong "
  "mirex".split(),
)
def test_every_format_gives_the_same_folder(format, root):
  label_beside(root, format)
  named = format in ("mirex", "desed_strong")
  params = FolderParams(label_format=format if named else None)
  found = find(root, params)
  assert [record.filename for record in found.records] == NAMES
  assert [r.path for r in found.records] == [root / name for name in NAMES]
  assert {r.duration_seconds for r in found.records} == {1.0}
  expected = TABLE.events.sort()
  events = found.annotations.events
  if format == "rttm":
    events = events.replace(label=[v.replace("_", " ") for v in events.label])
  assert events.filename.tolist() == expected.filename.tolist()
  assert events.label.tolist() == expected.label.tolist()
  precision = FORMATS[format].precision_seconds
  for column in ("start", "end"):
    np.testing.assert_allclose(
      getattr(events, column),
      getattr(expected, column),
      rtol=0,
      atol=precision / 2 + 1e-9 if precision else 0,
    )
  assert len(found.label_files) == len(NAMES)
  assert found.notes == ()


@pytest.mark.parametrize(
  ("name", "format"),
  [
    ("labels.tsv", "desed_strong"),
    ("annotations.csv", "csv"),
    ("labels.json", "json"),
    ("labels.jsonl", "jsonl"),
    ("Labels.txt", "raven"),
    ("labels.txt", "dcase_list"),
  ],
)
def test_one_table_at_the_top_does_as_well(name, format, root):
  write(TABLE, root / name, format=format)
  found = find(root)
  assert found.label_files == (root / name,)
  assert found.annotations.events == TABLE.events.sort()
  assert found.labels == ("dog bark", "siren")


def test_a_table_names_recordings_by_path_name_or_stem(tmp_path):
  root = make(tmp_path, ["a/one.wav", "b/two.x.flac", "c/Three.wav", "d.wav"])
  put(
    root,
    labels_tsv="filename\tonset\toffset\tevent_label\n"
    ".\\a\\one.wav\t0\t.5\tx\n"
    "elsewhere/two.x.wav\t0\t.5\tx\n"
    "two.x\t.5\t.75\tx\n"
    "Three\t0\t.5\tx\n"
    "d.wav\t\t\t\n",
  )
  found = find(root)
  events = found.annotations.events
  names = ["a/one.wav", "b/two.x.flac", "b/two.x.flac", "c/Three.wav"]
  assert sorted(events.filename) == sorted(names)
  assert found.annotations.known_empty == ("d.wav",)


def test_an_empty_label_file_means_nothing_sounds(root):
  label_beside(root, "audacity")
  put(root / "site0", r1_txt="")
  put(root / "site1", r1_csv="filename,start,end,label\n")
  (root / "site1/r1.txt").unlink()
  notes = find(root).annotations
  assert set(notes.known_empty) == {"site0/r1.wav", "site1/r1.wav"}


def test_hidden_files_and_those_without_labels_are_passed_over(root):
  strong_table(root)
  make(root, [".cache/x.wav", "site0/.y.wav"])
  put(root, README_txt="read me\tand\nme", class_map_csv="index,mid,x\n0,,a\n")
  put(root / "site1", durations_tsv="filename\tduration\nr1.wav\t1.0\n")
  put(root / ".cache", x_txt="0\t1\thidden\n")
  put(root, params_json='{"seed": 1}')
  found = find(root)
  assert [record.filename for record in found.records] == NAMES
  assert found.labels == ("dog bark", "siren")


def test_the_format_chooses_between_two_files(root):
  label_beside(root, "audacity")
  label_beside(root, "raven")
  label_beside(root, "jams")
  with pytest.raises(ValueError, match="one source of labels") as error:
    find(root)
  assert "site0/r1.wav (site0/r1.Table.1.selections.txt, site0/r1.jams" in str(
    error.value
  )
  assert "several for 8:" in str(error.value)
  for format in ("audacity", "raven", "jams"):
    found = find(root, FolderParams(label_format=format))
    assert found.annotations.source_format == format
    assert found.annotations.events.end.tolist() == (
      TABLE.events.sort().end.tolist()
    )


def test_beside_and_in_the_table_are_two_sources(root):
  label_beside(root, "jams")
  strong_table(root)
  with pytest.raises(ValueError, match=r"\(site0/r1.jams, labels.tsv\)"):
    find(root)
  assert len(find(root, FolderParams(label_format="jams")).label_files) == 8
  found = find(root, FolderParams(label_format="desed_strong"))
  assert found.label_files == (root / "labels.tsv",)


# ---- what is wrong is said --------------------------------------------------


def without(root, *names):
  """TABLE as labels.tsv, some recordings left out."""
  table = TABLE.events[~np.isin(TABLE.events.filename, names)]
  strong_table(root, table=Annotations(table))


def test_recordings_without_labels(root):
  without(root, *NAMES[:6])
  with pytest.raises(ValueError, match="--unlabelled empty") as error:
    find(root)
  text = str(error.value)
  assert "none for 6 of 8: site0/r1.wav" in text
  assert "site2/r1.wav, ..." in text
  assert "site2/r2" not in text
  empty = find(root, FolderParams(unlabelled="empty"))
  assert set(empty.annotations.known_empty) == set(NAMES[:6])
  assert len(empty.records) == 8
  assert empty.notes[0].startswith("6 recordings without labels are taken as")
  ignored = find(root, FolderParams(unlabelled="ignore"))
  assert [r.filename for r in ignored.records] == NAMES[6:]
  assert ignored.annotations.known_empty == ()
  assert ignored.notes[0] == "6 recordings without labels are left out"


HEAD = "filename\tonset\toffset\tevent_label\n"


@pytest.mark.parametrize(
  ("files", "words"),
  [
    (
      {"labels_tsv": HEAD + "gone.wav\t0\t1\tx\nalso\t0\t1\tx\n"},
      "labels.tsv names 2 recordings that are not there: gone.wav, also",
    ),
    (
      {"labels_tsv": HEAD + "r1.wav\t0\t1\tx\n"},
      "'r1.wav' for site0/r1.wav, site1/r1.wav, site2/r1.wav",
    ),
    (
      {"labels_tsv": HEAD + "site0/r1.wav\t0.5\t0.25\tx\n"},
      "labels.tsv:2: end must be greater than start, got 0.5 0.25 'x'",
    ),
    (
      {"site0/r1_txt": "0\t.5\tx\n", "labels_json": '{"evnts": []}'},
      'labels.json:1: must be an object with a list "events"',
    ),
    ({"site0/r1_json": '{"a": 1}'}, "r1.json:1: must be an object with"),
    (
      {"site0/r9_txt": "0.0\t0.5\tx\n"},
      "received 1 without one: site0/r9.txt",
    ),
    (
      {"extra_tsv": HEAD + "site0/r1.wav\t0\t1\tx\n"},
      "a table labels.* at the top\\); received 1 without one: extra.tsv",
    ),
    (
      {"labels_tsv": HEAD, "annotations_csv": "filename,start,end,label\n"},
      "one table of labels; received annotations.csv, labels.tsv",
    ),
    (
      {"site0/r1_rttm": "SPEAKER r2 1 0 .5 <NA> <NA> x <NA> <NA>\n"},
      "r1.rttm: must be about site0/r1.wav alone; received 'r2'",
    ),
    ({"labels_tsv": HEAD + "site0/r1.wav\t\t\t\n"}, "at least one event"),
    (
      {"labels_csv": "filename,start,end,label\nsite0/r1.wav,0,1,\n"},
      "label must not be empty; received '' in site0/r1.wav",
    ),
    (
      {"labels_tsv": "filename\tevent_labels\nsite0/r1.wav\tx,y\n"},
      "received 2 clip labels; --weak reads them",
    ),
    (
      {"labels_tsv": HEAD + "site0/r1.wav\t1.5\t2\tx\n"},
      "must begin within their recording; .* for site0/r1.wav",
    ),
  ],
)
def test_what_is_wrong_is_said(files, words, root):
  put(root, **files)
  with pytest.raises(ValueError, match=words) as error:
    find(root, FolderParams(unlabelled="empty"))
  assert "\n" not in str(error.value)


def test_two_recordings_of_one_stem_cannot_share_a_file(tmp_path):
  root = make(tmp_path, ["x.wav", "x.flac"])
  put(root, x_txt="0\t0.5\tdog\n")
  with pytest.raises(ValueError, match=r"x.txt: .* received x.flac, x.wav"):
    find(root)


def test_no_folder_no_audio_no_sound(tmp_path):
  with pytest.raises(ValueError, match="must be a folder of recordings"):
    find(tmp_path / "absent")
  with pytest.raises(ValueError, match="must hold audio files"):
    find(tmp_path)
  put(tmp_path, x_wav="no sound at all")
  put(tmp_path, x_txt="0\t0.5\tdog\n")
  with pytest.raises(ValueError, match=r"x\.wav.*must be audio"):
    find(tmp_path)


@pytest.mark.parametrize(
  ("values", "words"),
  [
    ({"label_format": "ravn"}, "did you mean 'raven'"),
    ({"label_format": "score_tsv"}, "label_format must be one of"),
    ({"unlabelled": "drop"}, "unlabelled must be one of error, empty, ignore"),
    ({"group_by": "folders"}, "group_by must be one of folder, file"),
    ({"group_by": "column:"}, "group_by must be one of"),
    ({"seed": -1}, "seed must be at least 0"),
  ],
)
def test_parameters_are_checked(values, words):
  with pytest.raises(ValueError, match=words):
    FolderParams(**values)


def test_events_are_cut_at_the_end_and_that_is_told(root):
  rows = [(0.5, 1.5, "siren", np.nan, NAMES[0])]
  rows += [(2.0, 3.0, "siren", np.nan, NAMES[0])]
  rows += [(0.5, 1.005, "siren", np.nan, NAMES[1])]  # a matter of rounding
  more = EventTable.concat([TABLE.events, EventTable.from_rows(rows)])
  strong_table(root, table=Annotations(more))
  found = find(root)
  assert found.annotations.events.end.max() == 1.0
  assert len(found.annotations.events) == len(TABLE.events) + 2
  (note,) = found.notes
  assert note.startswith(
    "2 events end after their recording and are cut there (1 begin after it "
    "and are left out): site0/r1.wav has 1.000 s, the event 'siren' ends at"
  )


def test_a_warning_of_a_reader_becomes_a_note(root):
  put(root, labels_txt="".join(f"{name}\t0.5\t0.5\tpip\n" for name in NAMES))
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    found = find(root)
  assert "8 events end where they start" in found.notes[0]


# ---- groups and splits ------------------------------------------------------


def groups(found):
  return [record.group for record in found.records]


def test_groups(tmp_path):
  names = ["top.wav", "a/x_1.wav", "a/b/x-2.wav", "c/_y.wav", "c/z.wav"]
  root = make(tmp_path, sorted(names))
  put(
    root,
    labels_tsv="filename\tonset\toffset\tevent_label\tbird\n"
    "a/b/x-2.wav\t0\t1\tx\tA\n"
    "a/x_1.wav\t0\t1\tx\tA\n"
    "c/_y.wav\t0\t1\tx\tB\n"
    "c/z.wav\t0\t1\tx\tB\n"
    "c/z.wav\t0\t.5\tx\tB \n"
    "top.wav\t\t\t\tA\n",  # no event, and yet a group
  )
  order = ["a/b/x-2.wav", "a/x_1.wav", "c/_y.wav", "c/z.wav", "top.wav"]
  expected = {
    "folder": ["a", "a", "c", "c", "top.wav"],
    "file": order,
    "stem-prefix": ["x", "x", "_y", "z", "top"],
    "column:bird": ["A", "A", "B", "B", "A"],
  }
  for group_by, wanted in expected.items():
    found = find(root, FolderParams(group_by=group_by))
    assert [r.filename for r in found.records] == order
    assert groups(found) == wanted


def test_a_group_column_that_cannot_be_used(root):
  params = FolderParams(group_by="column:bird")
  label_beside(root, "jams")
  with pytest.raises(ValueError, match="without a table labels"):
    find(root, params)
  for path in root.rglob("*.jams"):
    path.unlink()
  strong_table(root)
  with pytest.raises(ValueError, match="group_by: column must be one of"):
    find(root, params)
  birds = [f"b{index}" for index in range(len(TABLE.events))]
  strong_table(root, table=replace(TABLE, extras={"bird": birds}))
  with pytest.raises(ValueError, match="must be the same in all rows"):
    find(root, params)
  blank = [""] * len(TABLE.events)
  strong_table(root, table=replace(TABLE, extras={"bird": blank}))
  with pytest.raises(ValueError, match="column bird must not be empty"):
    find(root, params)


def test_groups_never_cross(root):
  strong_table(root)
  for seed in range(5):
    params = FolderParams(seed=seed)
    datasets = split(find(root, params), params)
    assert list(datasets) == ["train", "val", "test"]
    split_of = {}
    for name, dataset in datasets.items():
      assert {record.split for record in dataset.records} == {name}
      assert dataset.labels == ("dog bark", "siren")
      assert set(dataset.annotations.events.label) == set(dataset.labels)
      for record in dataset.records:
        assert split_of.setdefault(record.group, name) == name
    names = [r.filename for d in datasets.values() for r in d.records]
    assert sorted(names) == NAMES
    total = sum(len(d.annotations.events) for d in datasets.values())
    assert total == len(TABLE.events)


def test_what_is_printed(root):
  strong_table(root)
  found = find(root)
  assert found.summary() == [
    "found 8 recordings, 0.00 h, 2 labels, 4 groups",
    "  dog bark  7 events  2.9 s  4 groups",
    "  siren     8 events  4.0 s  4 groups",
  ]
  lines = folder.split_summary(split(found, FolderParams()))
  assert lines[0].split() == ["train", "val", "test"]
  counts = {line[:10].strip(): line[10:].split() for line in lines[1:]}
  assert counts["recordings"] == ["4", "2", "2"]
  assert counts["groups"] == ["2", "1", "1"]
  assert sum(map(int, counts["dog bark"])) == 7
  assert sum(map(int, counts["siren"])) == 8
  assert len({len(line) for line in lines}) == 1  # aligned


def test_rare_labels(root):
  rows = [(0.1, 0.3, "owl", np.nan, NAMES[0])]
  rows += [(0.1, 0.3, "owl", np.nan, NAMES[2])]
  events = TABLE.events[TABLE.events.filename != NAMES[2]]
  table = EventTable.concat([events, EventTable.from_rows(rows)])
  strong_table(root, table=Annotations(table))
  found = find(root)
  assert found.notes == ("fewer than 5 examples of 'owl' (2)",)
  with pytest.raises(ValueError, match=r"'owl' \(2 events in 2 groups\)") as e:
    split(found, FolderParams())
  assert "--drop-rare leaves them out; --group-by file" in str(e.value)
  params = FolderParams(drop_rare=True)
  found = find(root, params)
  assert found.notes == (
    "rare labels are left out: 'owl' (2 events in 2 groups)",
  )
  datasets = split(found, params).values()
  assert {dataset.labels for dataset in datasets} == {("dog bark", "siren")}
  heard = {v for d in datasets for v in d.annotations.events.label}
  assert heard == {"dog bark", "siren"}
  # Somebody listened there: it holds neither.
  empty = [v for d in datasets for v in d.annotations.known_empty]
  assert empty == [NAMES[2]]
  only = Annotations(TABLE.events[:2])
  strong_table(root, table=only)
  params = FolderParams(drop_rare=True, unlabelled="empty")
  with pytest.raises(ValueError, match="none but rare ones"):
    split(find(root, params), params)


def write_splits(root, splits):
  rows = [("filename", "split"), *splits.items()]
  text = "".join(f"{name},{split}\n" for name, split in rows)
  put(root, splits_csv=text)


def test_a_published_split_is_taken(root):
  strong_table(root)
  splits = dict(zip(NAMES, ["test", "val"] * 2 + ["train"] * 4))
  splits["site1/r2.wav"] = "validation"
  write_splits(root, splits)
  with pytest.raises(ValueError, match="--group-by file takes it") as error:
    split(find(root), FolderParams())
  assert "site0 (" in str(error.value)
  found = find(root, BY_FILE)
  assert root / "splits.csv" in found.label_files
  got = {
    record.filename: name
    for name, dataset in split(found, BY_FILE).items()
    for record in dataset.records
  }
  assert got == {**splits, "site1/r2.wav": "val"}


def test_a_published_split_without_a_label(root):
  strong_table(root, table=Annotations(TABLE.events))
  splits = dict(zip(NAMES, ["train"] * 4 + ["val", "test", "val", "val"]))
  write_splits(root, splits)  # recording 5 has no bark
  found = find(root, BY_FILE)
  assert found.notes == ("splits.csv gives test none of dog bark",)
  assert split(found, BY_FILE)["test"].labels == ("dog bark", "siren")
  events = TABLE.events
  late = np.isin(events.filename, NAMES[4:]) | (events.label == "siren")
  strong_table(root, table=Annotations(events[late]))
  with pytest.raises(ValueError, match=r"be in train; .*'dog bark' \(none in"):
    split(find(root, BY_FILE), BY_FILE)


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({NAMES[0]: None}, "must name every recording; .* 1: site0/r1.wav"),
    ({NAMES[0]: "dev"}, "splits.csv:2: split must be one of train, val, test"),
    ({"r1.wav": "val"}, "'r1.wav' for site0/r1.wav"),
    ({"new": "val"}, "splits.csv names 1 recordings that are not there: new"),
    ({"./site0/r1.wav": "val"}, "splits.csv:10: split must be one per rec"),
    (dict.fromkeys(NAMES, "train"), "received none for val"),
    (dict.fromkeys(NAMES), "splits.csv:1: must name every recording"),
  ],
)
def test_a_published_split_that_is_wrong(change, words, root):
  strong_table(root)
  splits = dict(zip(NAMES, ["train"] * 4 + ["val"] * 2 + ["test"] * 2)) | change
  write_splits(root, {k: v for k, v in splits.items() if v})
  with pytest.raises(ValueError, match=words):
    split(find(root, BY_FILE), BY_FILE)


def test_recordings_left_out_may_be_in_the_published_split(root):
  without(root, NAMES[0])
  write_splits(root, dict(zip(NAMES, ["train"] * 4 + ["val", "test"] * 2)))
  params = replace(BY_FILE, unlabelled="ignore")
  datasets = split(find(root, params), params)
  assert [r.filename for r in datasets["train"].records] == NAMES[1:4]


# ---- clip labels ------------------------------------------------------------

WEAK = FolderParams(weak=True)


def test_folders_are_the_labels_of_clips(tmp_path):
  names = [f"{v}/{n}.wav" for v in ("cat", "dog") for n in range(4)]
  root = make(tmp_path, [*names, "cat/home/a.wav", "dog/home/b.wav"])
  put(root / "cat", notes_txt="0\t1\tcat\n")  # times are not asked for
  found = find(root, WEAK)
  assert found.labels == ("cat", "dog")
  assert found.annotations.tags[0] == Tag("cat/0.wav", "cat", 1.0)
  assert not len(found.annotations.events)
  group_of = {r.filename: r.group for r in found.records}
  assert group_of["cat/0.wav"] == "cat/0.wav"
  # The same folder below two labels: one place, one speaker.
  assert group_of["cat/home/a.wav"] == group_of["dog/home/b.wav"] == "home"
  assert found.summary()[1] == "  cat  5 clips  5.0 s  5 groups"
  datasets = split(found, WEAK)
  pools = {
    name: folder.pool(
      datasets, name, labels=found.labels, sample_rate_hz=16_000
    )
    for name in datasets
  }
  sources = [s for pool in pools.values() for s in pool.sources]
  assert {pool.root for pool in pools.values()} == {root}
  assert {(s.role, s.licence) for s in sources} == {("event", "own recordings")}
  assert {s.path: s.label for s in sources} == {
    record.path: record.filename.split("/")[0] for record in found.records
  }
  pool = pools["val"]
  assert pool.labels == ("cat", "dog")
  assert len(pool.waveform(pool.sources[0])) == 16_000
  one = folder.pool(datasets, "val", labels=["cat"], sample_rate_hz=8000)
  assert {(s.role, s.label) for s in one.sources} == {
    ("event", "cat"),
    ("distractor", ""),
  }


def test_a_table_of_clip_labels(root):
  lines = [f"{name}\tdog,siren" for name in NAMES[:6]]
  lines += [f"{NAMES[6]}\tdog", f"{NAMES[7]}\t"]
  put(root, labels_tsv="filename\tevent_labels\n" + "\n".join(lines))
  found = find(root, WEAK)
  assert found.labels == ("dog", "siren")
  assert len(found.annotations.tags) == 13
  assert found.annotations.known_empty == (NAMES[7],)
  assert groups(found)[:3] == ["site0", "site0", "site1"]
  datasets = split(found, WEAK)
  with pytest.raises(ValueError, match="clips of one sound; .*dog, siren"):
    folder.pool(datasets, "train", labels=found.labels, sample_rate_hz=16_000)


def test_times_are_not_clip_labels(root):
  strong_table(root)
  with pytest.raises(ValueError, match="must be without times; received 15"):
    find(root, WEAK)


# ---- fingerprint and records ------------------------------------------------


def test_the_fingerprint_changes_with_everything(root):
  label_beside(root, "audacity")
  extra = {"sample_rate_hz": 16_000}

  def mark(params=FolderParams(), extra=extra):  # noqa: B008
    return folder.fingerprint(find(root, params), params, extra)

  marks = [mark()]
  assert mark() == marks[0]
  marks.append(mark(FolderParams(seed=1)))
  marks.append(mark(extra={"sample_rate_hz": 8000}))
  path = root / "site0/r1.txt"
  text = path.read_text()
  path.write_text(text.replace("siren", "sirex"))
  marks.append(mark())
  path.write_text(text)
  assert mark() == marks[0]  # a label file counts by what it holds
  os.utime(root / NAMES[3], ns=(1, 1))
  marks.append(mark())
  write_splits(root, dict.fromkeys(NAMES, "train"))
  marks.append(mark())
  make(root, ["site3/r3.wav"])
  put(root / "site3", r3_txt="")
  write_splits(root, dict.fromkeys([*NAMES, "site3/r3.wav"], "train"))
  marks.append(mark())
  assert len(set(marks)) == len(marks)


def test_records_of_a_folder(tmp_path):
  """Training splits in short pieces, the others in long ones."""
  names = [f"r{number}.wav" for number in range(6)]
  root = make(tmp_path / "data", names, seconds=3.0)
  for index, name in enumerate(names):
    text = f"0.5\t1.{index}\tsiren\n2.0\t2.5\tdog\n"
    (root / name).with_suffix(".txt").write_text(text)
  found = find(root)
  datasets = split(found, FolderParams())
  index = prepare.write(
    datasets.values(),
    tmp_path / "records",
    class_map=ClassMap(found.labels),
    params=prepare.PrepareParams(
      sample_rate_hz=RATE, piece_seconds=1.0, evaluation_piece_seconds=10.0
    ),
    about={"data": "folder", "fingerprint": "abc"},
  )
  assert index.params["fingerprint"] == "abc"
  assert index.params["piece_seconds"] == 1.0
  seconds = {name: {3.0} for name in ("val", "test")} | {"train": {1.0}}
  for name, dataset in datasets.items():
    reader = records.Reader(index, name)
    examples = [reader[i] for i in range(len(reader))]
    assert {e.duration_seconds for e in examples} == seconds[name]
    assert {e.known_labels for e in examples} == {None}
    assert not any(len(e.unknown) for e in examples)
    rows = sorted(
      (e.filename, v.start + e.offset_seconds, v.end + e.offset_seconds)
      for e in examples
      for v in e.events.merge(0.0)
    )
    events = dataset.annotations.events
    if name != "train":
      expected = zip(events.filename, events.start, events.end)
      np.testing.assert_allclose(
        [r[1:] for r in rows], [r[1:] for r in sorted(expected)], atol=1e-9
      )
    total = sum(end - start for _, start, end in rows)
    assert total == pytest.approx((events.end - events.start).sum())
  (root / datasets["train"].records[0].filename).unlink()
  with pytest.raises(ValueError, match=r"r\d\.wav.* must be a readable file"):
    prepare.write(
      datasets.values(), tmp_path / "again", class_map=ClassMap(found.labels)
    )


# ---- real recordings --------------------------------------------------------


def test_birdsong(shared, tmp_path):
  """135 recordings of one bird, labelled by syllable."""
  source = shared / "audio" / "real_strong" / "birdsong"
  if not source.is_dir():
    pytest.skip(f"test data absent: ../shared/data/{source.name}")
  with open(shared / "audio" / "labels.csv", encoding="utf-8") as file:
    rows = [row for row in csv.DictReader(file) if "/birdsong/" in row["path"]]
  # A folder of its own with links: the data are not written to.
  root = tmp_path / "birds"
  root.mkdir()
  for path in sorted(source.glob("*.ogg")):
    (root / path.name).symlink_to(path)
  lines = [HEAD]
  for row in rows:
    name = Path(row["path"]).name
    lines.append(f"{name}\t{row['onset']}\t{row['offset']}\t{row['event']}\n")
  put(root, labels_tsv="".join(lines))
  found = find(root)
  lines = found.summary()
  assert lines[0].startswith("found 135 recordings, ")
  assert lines[0].endswith(" h, 9 labels, 135 groups")
  assert len(lines) == 10
  assert len(found.annotations.events) == len(rows) == 7652
  datasets = split(found, FolderParams())
  shares = [len(datasets[name].annotations.events) / 7652 for name in datasets]
  np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.02)
  for label in found.labels:
    counts = [
      np.count_nonzero(d.annotations.events.label == label)
      for d in datasets.values()
    ]
    np.testing.assert_allclose(
      np.array(counts) / sum(counts), [0.7, 0.15, 0.15], atol=0.04
    )
  published = {Path(row["path"]).name: row["split"] for row in rows}
  write_splits(root, published)
  datasets = split(find(root), FolderParams())
  assert [len(d.records) for d in datasets.values()] == [90, 20, 25]
