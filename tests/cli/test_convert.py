"""`yoho convert`: any format to any other, with a report of what was lost."""

import json

import pytest

from yoho_tf.cli import main
from yoho_tf.formats import FORMATS
from yoho_tf.readers import read

pytestmark = pytest.mark.edge

STRONG = (
  "filename\tonset\toffset\tevent_label\n"
  "a.wav\t0.1\t1.1234567\tdog\na.wav\t1.2\t2.5\tdog\nb.wav\t0\t3.3\tcat\n"
  "c.wav\t\t\t\n"
)
TO_AND_BACK = [
  name
  for name, kind in FORMATS.items()
  if kind.can_write()
  and "start" in kind.keeps
  and kind.opens == "file"
  and name not in ("audioset_strong", "maestro_windows", "maestro_soft")
]


@pytest.fixture(name="table")
def table_fixture(tmp_path):
  path = tmp_path / "in.tsv"
  path.write_text(STRONG)
  return path


def run(*arguments):
  return main(["convert", *map(str, arguments)])


@pytest.mark.parametrize("name", TO_AND_BACK)
def test_to_each_format_and_back(tmp_path, table, name, capsys):
  kind = FORMATS[name]
  out = tmp_path / "out"
  if kind.per_recording:
    assert run(table, f"{out}/", "--to", name) == 0
    assert len(list(out.iterdir())) == 3
  else:
    out = out.with_suffix(kind.extensions[0])
    assert run(table, out, "--to", name) == 0
  text = capsys.readouterr().out
  assert f"1 files, 3 events, 2 labels -> {name}" in text
  assert ("lost: known_empty (1)" in text) == (name == "rttm")
  back = tmp_path / "back.tsv"
  assert run(out, back, "--from", name, "--to", "desed_strong") == 0
  wanted, found = read(table), read(back)
  one, other = wanted.events.sort(), found.events.sort()
  assert one.label.tolist() == other.label.tolist()
  assert one.filename.tolist() == other.filename.tolist()
  for column in ("start", "end"):
    pairs = zip(getattr(one, column), getattr(other, column))
    assert all(abs(a - b) <= kind.precision_seconds for a, b in pairs)
  assert found.known_empty == (("c.wav",) if name != "rttm" else ())


def test_every_input_is_tried(tmp_path, capsys):
  folder = tmp_path / "in"
  (folder / "deep").mkdir(parents=True)
  (folder / "a.txt").write_text("0\t1\tdog\n")
  (folder / "b.txt").write_text("0,5\t1\tdog\n")
  (folder / "deep" / "a.txt").write_text("2\t3\tcat\n")
  out = tmp_path / "out"
  assert run(folder, f"{out}/", "--to", "textgrid") == 1
  captured = capsys.readouterr()
  assert captured.out.startswith("2 files, 2 events, 2 labels -> textgrid")
  assert f"{folder / 'b.txt'}:1: " in captured.err and "0,5" in captured.err
  found = sorted(str(p.relative_to(out)) for p in out.rglob("*.TextGrid"))
  assert found == ["a.TextGrid", "deep/a.TextGrid"]
  whole = tmp_path / "all.csv"
  assert run(folder, whole) == 1 and not whole.exists()
  (folder / "b.txt").unlink()
  assert run(folder, whole, "--combined") == 0
  assert read(whole).events.start.tolist() == [0.0, 2.0]
  assert run(tmp_path / "none", whole, "--overwrite") == 1


def test_existing_files_stay_unless_told(tmp_path, table, capsys):
  out = tmp_path / "x.csv"
  out.write_text("old")
  assert run(table, out) == 1
  assert "must not exist (or say --overwrite)" in capsys.readouterr().err
  assert out.read_text() == "old"
  assert run(table, out, "--overwrite") == 0
  assert len(read(out).events) == 3


def test_labels_scores_gaps_and_lengths(tmp_path, table, capsys):
  renames = tmp_path / "names.csv"
  renames.write_text("old,new\ndog,Dog\ncat,\n")
  lengths = tmp_path / "d.tsv"
  lengths.write_text("filename\tduration\na.wav\t10\nb.wav\t9\nz.wav\t8\n")
  out = tmp_path / "x.json"
  changes = ("--relabel", renames, "--merge", "0.3", "--durations", lengths)
  assert run(table, out, *changes) == 0
  data = json.loads(out.read_text())
  assert data["events"] == [
    {"start": 0.1, "end": 2.5, "label": "Dog", "filename": "a.wav"}
  ]
  assert data["durations"] == {"a.wav": 10.0, "b.wav": 9.0}
  assert sorted(data["known_empty"]) == ["b.wav", "c.wav"]
  (tmp_path / "map.csv").write_text("index,mid,display_name\n0,,dog\n")
  assert run(table, tmp_path / "y.csv", "--labels", tmp_path / "map.csv") == 1
  assert "got 'cat'" in capsys.readouterr().err
  scored = tmp_path / "s.csv"
  scored.write_text(
    "filename,start,end,label,score\na,0,1,x,0.4\na,1,2,x,0.5\na,2,3,x,\n"
  )
  assert run(scored, tmp_path / "t.csv", "--min-score", "0.5") == 0
  assert read(tmp_path / "t.csv").events.start.tolist() == [1.0, 2.0]


def test_lengths_of_the_audio(tmp_path, write_wav):
  (tmp_path / "a.txt").write_text("0\t0.25\tdog\n")
  write_wav(tmp_path / "audio" / "a.flac", [0.0] * 8000)
  out = tmp_path / "a.TextGrid"
  assert run(tmp_path / "a.txt", out, "--audio", tmp_path / "audio") == 0
  assert list(read(out).durations.values()) == [0.5]


def test_one_file_per_recording_of_any_format(tmp_path, table):
  out = tmp_path / "out"
  assert run(table, f"{out}/", "--to", "csv", "--per-file") == 0
  assert sorted(p.name for p in out.iterdir()) == ["a.csv", "b.csv", "c.csv"]
  assert read(out / "c.csv").known_empty == ("c.wav",)
  assert run(table, tmp_path / "labels", "--to", "audacity") == 0
  assert (tmp_path / "labels" / "a.txt").is_file()
  raven = tmp_path / "all.txt"
  assert run(table, raven, "--to", "raven") == 0
  assert set(read(raven).events.filename) == {"a.wav", "b.wav"}


def test_stdout_and_strict(table, tmp_path, capsys):
  assert run(table, "-", "--to", "dcase_list") == 0
  captured = capsys.readouterr()
  assert captured.out.splitlines()[0] == "a.wav\t0.1\t1.1234567\tdog"
  assert "3 events" in captured.err
  assert run(table, "-", "--to", "rttm", "--strict") == 1
  assert "cannot hold known_empty (1)" in capsys.readouterr().err
  assert run(table, tmp_path / "x.rttm", "--strict") == 1
  assert not (tmp_path / "x.rttm").exists()


def test_operating_points_stay_a_folder(tmp_path):
  folder = tmp_path / "points"
  folder.mkdir()
  for threshold in (0.25, 0.5):
    (folder / f"th_{threshold}.tsv").write_text(STRONG)
  out = tmp_path / "out"
  assert run(folder, out, "--to", "operating_points") == 0
  assert list(read(out)) == [0.25, 0.5]
  assert run(folder, out, "--to", "operating_points") == 1


OTHER_NAMES = "filename=path,start=onset,end=offset,label=event"
OTHER = (
  "path,onset,offset,event,salience\n"
  "deep/a.wav,0.1,1.1234567,dog,1\ndeep/b.wav,1.2,2.5,cat,2\nc.wav,,,,\n"
)


def test_a_table_with_other_names(tmp_path, capsys):
  """There, back under our names, and into a format that holds less."""
  folder = tmp_path / "in"
  folder.mkdir()
  (folder / "x.csv").write_text(OTHER)
  (folder / "y.tsv").write_text(OTHER.replace(",", "\t").replace("/", "/y"))
  out = tmp_path / "out.tsv"
  wanted = ("--to", "desed_strong", "--columns", OTHER_NAMES)
  assert run(folder, out, *wanted) == 0
  assert "2 files, 4 events, 2 labels" in capsys.readouterr().out
  found = read(out)
  assert found.events.filename.tolist() == [
    "deep/a.wav", "deep/b.wav", "deep/ya.wav", "deep/yb.wav"
  ]  # fmt: skip
  assert found.events.end.tolist() == [1.1234567, 2.5] * 2
  assert found.known_empty == ("c.wav",)
  assert dict(found.extras) == {"salience": ("1", "2") * 2}
  back = tmp_path / "back.csv"
  theirs = "filename=filename,start=onset,end=offset,label=event_label"
  assert run(out, back, "--columns", theirs) == 0
  assert read(back).events == found.events
  assert run(folder / "x.csv", tmp_path / "x.rttm", *wanted[2:]) == 0
  assert "lost: known_empty (1), extras.salience (2)" in capsys.readouterr().out
  renamed = (folder / "x.csv").rename(folder / "x.dat")
  assert run(renamed, tmp_path / "z.csv", *wanted[2:]) == 1
  assert "x.dat:1: no known format fits" in capsys.readouterr().err
  assert run(renamed, tmp_path / "z.csv", *wanted[2:], "--from", "csv") == 0


def test_the_labels_of_the_data_folder(shared, tmp_path):
  """Of the real recordings, as they are published."""
  lines = (shared / "audio" / "labels.csv").read_text().splitlines()[:300]
  path, out = tmp_path / "labels.csv", tmp_path / "out.tsv"
  path.write_text("\n".join(lines))
  assert run(path, out, "--to", "desed_strong", "--columns", OTHER_NAMES) == 0
  found = read(out).events
  rows = [line.split(",") for line in lines[1:]]
  assert [(e.filename, e.start, e.end, e.label) for e in found] == [
    (r[0], float(r[1]), float(r[2]), r[3]) for r in rows
  ]
  assert "/" in found.filename[0]


def test_a_column_that_is_not_there(tmp_path, capsys):
  path = tmp_path / "x.csv"
  path.write_text(OTHER)
  names = OTHER_NAMES.replace("path", "pth")
  assert run(path, tmp_path / "y.csv", "--columns", names) == 1
  message = capsys.readouterr().err
  assert "x.csv:1: column for filename must be one of path, onset" in message
  assert message.count("\n") == 1 and "did you mean 'path'" in message


def test_names_with_commas_stand_in_quotes():
  from yoho_tf.formats.ours import parse_columns

  assert parse_columns('start=a=b, "label=Name, common" ,end = x y') == {
    "start": "a=b", "label": "Name, common", "end": "x y"
  }  # fmt: skip


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("OUT/",), "--to must be given for the folder"),
    (("-",), "--to must be given for -"),
    (("x.csv", "--to", "cvs"), "did you mean 'csv'"),
    (("x.label", "--to", "ofai"), "--to must be a format with a writer"),
    (("x.csv", "--per-file"), "--per-file needs a folder"),
    (("x/", "--to", "csv", "--combined"), "--combined needs a file"),
    (("x.csv", "--merge", "-1"), "--merge must be at least 0"),
    (("x.csv", "--columns", "lable=a"), "--columns name of a column must be"),
    (("x.csv", "--columns", "lable=a"), "did you mean 'label'"),
    (("x.csv", "--columns", "label"), "must be OURS=NAME,..., got 'label'"),
    (("x.csv", "--columns", "label=a,,"), "must be OURS=NAME,..., got ''"),
    (("x.csv", "--columns", ""), "must be OURS=NAME,..., got ''"),
    (("x.csv", "--columns", "end=a,end=b"), "must name end once"),
    (
      ("x.csv", "--columns", "label=a", "--from", "raven"),
      "--columns needs --from csv or tsv, got raven",
    ),
    (
      ("x", "--columns", "label=a", "--to", "operating_points"),
      "--columns needs a format of tables for OUT",
    ),
    (("x.xyz",), "extension must be one of"),
  ],
)
def test_usage(table, capsys, arguments, message):
  with pytest.raises(SystemExit) as error:
    run(table, *arguments)
  assert error.value.code == 2
  assert message in capsys.readouterr().err
