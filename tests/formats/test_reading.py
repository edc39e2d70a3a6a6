"""Hand-made files read as they should, however they were saved."""

import codecs
import math
import zipfile

import numpy as np
import pytest

from tests.formats.cases import (
  CASES,
  FILENAMES,
  NOT_BY_LINES,
  RAVEN,
  TEXTGRID_LONG,
  TEXTGRID_ROWS,
  TEXTGRID_SHORT,
)
from tests.formats.tables import assert_same, rows_of
from yoho_tf.annotations import Annotations, Tag
from yoho_tf.events import Event, EventTable
from yoho_tf.formats import FORMATS
from yoho_tf.labels import ClassMap
from yoho_tf.readers import read
from yoho_tf.writers import write

pytestmark = pytest.mark.edge


def expected(name, rows):
  """The golden table of a case."""
  filename = FILENAMES.get(name, "a.wav")
  table = []
  for start, end, label, *others in rows:
    columns = others[0] if others else {}
    table.append(
      Event(start, end, label, filename=filename)._replace(**columns)
    )
  if name == "raven":
    table = [
      event._replace(filename=f"/data/{x}.wav") for event, x in zip(table, "xy")
    ]
  return EventTable.from_rows(table)


def put(tmp_path, name, text, encoding="utf-8", mark=b""):
  path = tmp_path / name
  path.write_bytes(mark + text.encode(encoding))
  return path


def test_every_format_that_holds_events_has_a_case():
  others = {
    "desed_weak", "desed_durations", "operating_points", "score_tsv", "musan",
    "audioset_posneg", "audioset_weak", "esc50",
  }  # fmt: skip
  assert set(CASES) | others == set(FORMATS) and not others & set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_sniffed_and_read(tmp_path, name):
  file_name, text, rows = CASES[name]
  path = put(tmp_path, file_name, text)
  for found in (read(path), read(path, format=name)):
    assert sorted(map(repr, found.events)) == sorted(
      map(repr, expected(name, rows))
    )
  assert found.source_format == name


SAVED = {
  "crlf": (lambda t: t.replace("\n", "\r\n"), "utf-8", b""),
  "old Mac": (lambda t: t.replace("\n", "\r"), "utf-8", b""),
  "mark": (lambda t: t, "utf-8", codecs.BOM_UTF8),
  "UTF-16": (lambda t: t, "utf-16-le", codecs.BOM_UTF16_LE),
  "UTF-16 BE": (lambda t: t, "utf-16-be", codecs.BOM_UTF16_BE),
  "UTF-16 without mark": (lambda t: t, "utf-16-le", b""),
  "no last newline": (lambda t: t.rstrip("\n"), "utf-8", b""),
  "blank last lines": (lambda t: t + "\n\n \n", "utf-8", b""),
}


@pytest.mark.parametrize("way", SAVED)
@pytest.mark.parametrize("name", CASES)
def test_however_it_was_saved(tmp_path, name, way):
  file_name, text, _ = CASES[name]
  wanted = read(put(tmp_path, file_name, text), format=name)
  change, encoding, mark = SAVED[way]
  found = read(put(tmp_path, file_name, change(text), encoding, mark))
  assert_same(found, wanted)


@pytest.mark.parametrize("name", sorted({*CASES} - {*NOT_BY_LINES, "raven"}))
def test_blank_lines_between_lines(tmp_path, name):
  file_name, text, _ = CASES[name]
  wanted = read(put(tmp_path, file_name, text), format=name)
  found = read(put(tmp_path, file_name, text.replace("\n", "\n\n")))
  assert_same(found, wanted)


@pytest.mark.parametrize("name", CASES)
def test_what_was_read_is_written_as_it_was(tmp_path, name):
  kind = FORMATS[name]
  if not kind.can_write():
    pytest.skip(f"{name} has no writer")
  file_name, text, _ = CASES[name]
  first = read(put(tmp_path, file_name, text), format=name)
  again = read(put(tmp_path, file_name, kind.text(first)), format=name)
  wanted, found = rows_of(first), rows_of(again)
  assert repr(found) == repr(wanted)
  assert again.known_empty == first.known_empty
  assert again.tags == first.tags and again.durations == first.durations
  plain = {"urban_sed", "mirex", "dcase_list", "maestro_soft", "tut_ann"}
  if name in plain:  # the same fields, up to the spelling of numbers
    assert _fields(kind.text(first)) == _fields(text)


def _fields(text):
  def value(field):
    try:
      return repr(float(field))
    except ValueError:
      return field.strip()

  lines = text.splitlines()
  return sorted([value(f) for f in line.split("\t")] for line in lines)


def test_a_csv_between_tabs(tmp_path):
  text = CASES["desed_strong"][1]
  found = read(put(tmp_path, "x.csv", text))
  assert found.source_format == "desed_strong" and len(found.events) == 2
  assert found.known_empty == ("b.wav",)
  assert dict(found.extras) == {"device": ("phone", "")}


def test_dcase_lists_of_all_widths(tmp_path):
  for text, filename in (
    ("0.5\t1\tdog\n", "x.wav"),
    ("0.5,1,dog\n", "x.wav"),
    ('0.5,1,"dog, old"\n', "x.wav"),
    ("b.wav\t0.5\t1\tdog\n", "b.wav"),
    ("b.wav, home , 0.5 , 1 , dog\n", "b.wav"),
  ):
    found = read(put(tmp_path, "x.txt", text))
    assert found.events.filename.tolist() == [filename], text
    assert found.events[0][:2] == (0.5, 1.0)
    assert found.events.label[0].startswith("dog")
  path = put(tmp_path, "y.txt", "0.5\t1\n")
  with pytest.raises(ValueError, match=r"y.txt:1: .*label="):
    read(path, format="dcase_list")
  assert read(path, label="dog").events.label.tolist() == ["dog"]
  assert read(put(tmp_path, "z.txt", "")).known_empty == ("z.wav",)


def test_events_without_length_in_published_lists(tmp_path):
  path = put(tmp_path, "x.txt", "b.wav\t1\t2\tdog\nb.wav\t3\t3\tdog\n")
  with pytest.warns(UserWarning, match="x.txt:2: 1 events end where"):
    event = read(path).events[1]
  assert event.start == 3 and 0 < event.end - 3 < 1e-12


def test_the_recording_is_the_audio_beside_or_below(tmp_path, write_wav):
  text = CASES["audacity"][1]
  path = put(tmp_path, "a.txt", text)
  assert set(read(path).events.filename) == {"a.wav"}
  put(tmp_path, "a.flac", "")
  assert set(read(path).events.filename) == {"a.flac"}
  write_wav(tmp_path / "audio" / "deep" / "a.ogg", np.zeros(16000))
  found = read(path, audio_root=tmp_path / "audio")
  assert set(found.events.filename) == {"a.ogg"}
  with pytest.raises(ValueError, match="audio_root must be a folder"):
    read(path, audio_root=tmp_path / "none")


def test_one_word_for_a_whole_file(tmp_path, write_wav):
  path = put(tmp_path, "a.txt", "speech\n")
  assert read(path).tags == (Tag("a.wav", "speech"),)
  write_wav(tmp_path / "a.wav", np.zeros(8000))
  found = read(path)
  assert list(found.events)[0][:3] == (0.0, 0.5, "speech")
  assert dict(found.durations) == {"a.wav": 0.5}


def test_musan(tmp_path, write_wav):
  folder = tmp_path / "music" / "fma"
  folder.mkdir(parents=True)
  put(
    folder,
    "ANNOTATIONS",
    "music-fma-0000 rock,pop Y The Long Name\nmusic-fma-0001 none N X\n",
  )
  assert [tag.label for tag in read(tmp_path).tags] == ["music", "music"]
  for index in (0, 1):
    write_wav(folder / f"music-fma-000{index}.wav", np.zeros(1600))
  found = read(tmp_path)
  assert found.source_format == "musan"
  assert found.events.end.tolist() == [0.1, 0.1]
  assert found.extras["musician"] == ("The Long Name", "X")
  assert found.extras["vocals"] == ("Y", "N")


def test_weak_labels(tmp_path):
  path = put(
    tmp_path, "w.tsv", "filename\tevent_labels\na.wav\tDog,Cat\nb.wav\t\n"
  )
  found = read(path)
  assert found.tags == (Tag("a.wav", "Dog"), Tag("a.wav", "Cat"))
  assert found.known_empty == ("b.wav",)
  text = (
    "# Segments csv\n# num_ytids=1\n# YTID, start_seconds, ...\n"
    '-0_x, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n'
  )
  found = read(put(tmp_path, "w.csv", text))
  assert found.tags == (
    Tag("-0_x_30000", "/m/09x0r"), Tag("-0_x_30000", "/t/dd00088")
  )  # fmt: skip
  assert dict(found.durations) == {"-0_x_30000": 10.0}
  text = (
    "filename,fold,target,category,esc10,src_file,take\n"
    "1-1-A-0.wav,1,0,dog,True,1,A\n"
  )
  found = read(put(tmp_path, "esc50.csv", text))
  assert found.tags == (Tag("1-1-A-0.wav", "dog"),)
  assert found.extras["fold"] == ("1",) and found.extras["src_file"] == ("1",)
  assert FORMATS["esc50"].text(found) == text


def test_explicit_answers_and_the_rest_unknown(tmp_path):
  text = (
    "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\tpresent\n"
    "a_0\t0.0\t0.96\t/m/1\tPRESENT\na_0\t9.6\t10.56\t/m/1\tNOT_PRESENT\n"
  )
  found = read(put(tmp_path, "x.tsv", text))
  assert found.known.score.tolist() == [1.0, 0.0]
  assert [e[:3] for e in found.unknown] == [(0.0, 10.56, "")]
  assert not len(found.events)


def test_equal_durations_collapse(tmp_path):
  text = "filename\tduration\na\t10.0\nb\t9.5\na\t10\n"
  path = put(tmp_path, "d.tsv", text)
  assert dict(read(path).durations) == {"a": 10.0, "b": 9.5}
  put(tmp_path, "d.tsv", text + "b\t9.6\n")
  with pytest.raises(ValueError, match=r"d.tsv:5: duration must be one per"):
    read(path)


def test_maestro_values_and_windows(tmp_path):
  path = put(tmp_path, "a.txt", "0\t1\tcar\t1.2\n1\t2\tcar\t0.5\n")
  with pytest.warns(UserWarning, match="1 values above 1 were clipped"):
    assert read(path).events.score.tolist() == [1.0, 0.5]
  text = (
    "filename\tonset\toffset\tevent_label\tconfidence\n"
    "r-x-000000-001000.wav\t4\t5\tcar\t0.25\n"
    "r-x-000300-001300.wav\t1\t2\tcar\t0.25\n"
    "r-x-000300-001300.wav\t2\t3\tcar\t0.5\n"
  )
  path = put(tmp_path, "w.tsv", text)
  assert len(read(path).events) == 3
  found = read(path, format="maestro_windows", fold=True)
  assert [e[:5] for e in found.events] == [
    (4.0, 5.0, "car", 0.25, "r-x.wav"),
    (5.0, 6.0, "car", 0.5, "r-x.wav"),
  ]


def test_textgrid_long_and_short_are_the_same(tmp_path):
  long = read(put(tmp_path, "a.TextGrid", TEXTGRID_LONG))
  short = read(put(tmp_path, "a.TextGrid", TEXTGRID_SHORT))
  assert long == short and dict(long.durations) == {"a.wav": 2.5}
  assert len(long.events) == len(TEXTGRID_ROWS)


def test_points_have_a_length_only_if_given(tmp_path):
  text = TEXTGRID_SHORT.replace('"IntervalTier"\n"dog"', '"TextTier"\n"clicks"')
  path = put(
    tmp_path, "a.TextGrid", text.replace('1\n0\n2.5\n"d', '1\n0.5\n"d')
  )
  with pytest.raises(ValueError, match="a.TextGrid:22: .*'clicks'"):
    read(path)
  found = read(path, point_seconds=0.25).events
  assert [e[:3] for e in found][-1] == (0.5, 0.75, "dog")
  path = put(tmp_path, "b.txt", "1\t1\tclick\n")
  with pytest.raises(ValueError, match="b.txt:1: .*point_seconds="):
    read(path, format="audacity")
  assert read(path, format="audacity", point_seconds=0.5).events[0][:2] == (
    1.0, 1.5
  )  # fmt: skip


def test_raven_label_columns_and_files(tmp_path):
  path = put(tmp_path, "r.Table.2.selections.txt", RAVEN)
  found = read(path)
  assert found.events.filename.tolist() == ["/data/x.wav", "/data/y.wav"]
  assert found.extras["Notes"] == ("far", "")
  assert found.extras["Channel"] == ("1", "2")
  lines = [line.split("\t") for line in RAVEN.splitlines()]
  short = "\n".join("\t".join(fields[:7]) for fields in lines)
  put(tmp_path, path.name, short)
  with pytest.raises(ValueError, match=r"must have one of Annotation.*Channel"):
    read(path)
  labelled = read(path, label_column="View")
  assert set(labelled.events.filename) == {"r.wav"}
  with pytest.raises(ValueError, match="label_column must be one of"):
    read(path, label_column="Vue")


def test_folders_globs_and_archives_are_one_table(tmp_path):
  folder = tmp_path / "labels"
  (folder / "deep").mkdir(parents=True)
  put(folder, "a.txt", "0\t1\tdog\n")
  put(folder / "deep", "b.txt", "")
  put(folder, ".hidden.txt", "x")
  whole = read(folder)
  assert set(whole.events.filename) == {"a.wav"}
  assert whole.known_empty == ("b.wav",)
  assert read(f"{folder}/**/*.txt") == whole
  with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
    archive.writestr("labels/a.txt", "0\t1\tdog\n")
    archive.writestr("labels/b.txt", "")
    archive.writestr("__MACOSX/a.txt", "x")
    archive.writestr("readme.md", "x")
  assert read(tmp_path / "x.zip") == whole
  for absent in ("none", "none/*.txt"):
    with pytest.raises(FileNotFoundError, match="path must be a file"):
      read(tmp_path / absent)


def test_unchecked_versions_are_never_mixed_in(tmp_path):
  text = "0\t1\tcar\n"
  for name in ("a.ann", "non_verified_a.ann"):
    put(tmp_path, name, text)
  assert len(read(tmp_path).events) == 1


def test_candidates_that_disagree_are_an_error(tmp_path):
  text = (
    "filename\tstart\tend\tlabel\tonset\toffset\tevent_label\n"
    "a\t0\t1\tx\t{}\t1\tx\n"
  )
  path = put(tmp_path, "x.tsv", text.format(0.5))
  with pytest.raises(ValueError, match="could be tsv, desed_strong.*format="):
    read(path)
  assert read(path, format="tsv").events.start.tolist() == [0.0]
  assert read(path, format="desed_strong").events.start.tolist() == [0.5]
  assert len(read(put(tmp_path, "y.tsv", text.format(0))).events) == 1


def test_labels_are_checked_and_mids_are_named(tmp_path):
  path = put(tmp_path, *CASES["audioset_strong"][:2])
  names = ClassMap(("Speech", "Dog"), ("/m/09x0r", "/m/0bt9lr"))
  assert read(path, labels=names).events.label.tolist() == ["Speech"]
  path = put(tmp_path, "a.txt", "0\t1\tdgo\n")
  with pytest.raises(ValueError, match="label .*did you mean 'dog'"):
    read(path, labels=["dog", "cat"])


def test_a_whole_table_survives_csv_tsv_json_jsonl(tmp_path):
  notes = Annotations(
    events=EventTable.from_rows([Event(0, 1, "a", 0.5, "x.wav")]),
    tags=[Tag("x.wav", "a", 0.5)],
    durations={"x.wav": 10.0},
    known_empty=["", "y.wav"],
    unknown=EventTable.from_rows([Event(1, 2, "", math.nan, "x.wav")]),
    known=EventTable.from_rows([Event(1, 2, "b", 0.0, "x.wav")]),
    extras={"device": ["None"]},
  )
  for name in ("csv", "tsv", "json", "jsonl"):
    write(notes, tmp_path / f"x.{name}", strict=True)
    found = read(tmp_path / f"x.{name}")
    assert_same(found, notes)
    assert found.source_format == name


def test_a_table_with_other_names(tmp_path):
  """Also where it calls another column as we call one."""
  path = tmp_path / "x.csv"
  path.write_text(
    "\ufeffpath;x,label,table_label,onset,offset,event,Unnamed: 0\r\n"
    'deep/a.wav,7,"q, r",0.5,1.25,None,0\r\nb.wav,,,,,,1\r\n',
    encoding="utf-8",
  )
  names = {"filename": "path;x", "start": "onset", "end": "offset"}
  for kind in ("csv", "tsv"):  # the header says what stands between fields
    found = read(path, format=kind, columns={**names, "label": "event"})
    assert found.events == EventTable.from_rows(
      [(0.5, 1.25, "None", math.nan, "deep/a.wav")]
    )
    assert found.known_empty == ("b.wav",)
    assert dict(found.extras) == {
      "table_table_label": ("7",), "table_label": ("q, r",)
    }  # fmt: skip
