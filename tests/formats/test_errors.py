"""What is wrong is said in one line: file, line, column, rule, text found."""

import pytest

from tests.formats.cases import CASES, EAF, RAVEN, TEXTGRID_SHORT
from yoho_tf.readers import read

pytestmark = pytest.mark.edge

NAMES = {
  "filename": "path", "start": "onset", "end": "offset", "label": "event"
}  # fmt: skip
HEAD = "filename\tonset\toffset\tevent_label\n"
WRONG = {
  # format: (text, what the message must hold)
  "desed_strong": [
    (f"{HEAD}a\t0,5\t1\tdog\n", ":2: onset must be a number, got '0,5' (a dec"),
    (f"{HEAD}\na\t0\t1\tdog\na\t2\tx\tdog\n", ":4: offset must be a number"),
    (f"{HEAD}a\t2\t1\tdog\n", ":2: end must be greater than start, got 2.0 1"),
    (f"{HEAD}a\t-1\t1\tdog\n", ":2: start must be at least 0, got -1.0"),
    (f"{HEAD}a\t0\t1\t\n", ":2: label must not be empty"),
    (f"{HEAD}a\t\t1\tdog\n", ":2: onset must be a number, got ''"),
    (f"{HEAD}a\tnan\t1\tdog\n", ":2: onset must be a number, got 'nan'"),
    (f"{HEAD}a\t1_0\t1\tdog\n", ":2: onset must be a number, got '1_0'"),
    (f"{HEAD}a\t0\t1e999\tdog\n", ":2: offset must be finite, got '1e999'"),
    (f"{HEAD}a\t0\t1\tdog\tx\n", ":2: row must have 4 fields, got 5"),
    ("filename\tonset\toffset\nx\t1\t2\n", ":1: header must have event_label"),
    (f'{HEAD}a\t0\t1\t"dog\n', ": must be CSV, got"),
    ("", ":1: must have a header"),
    ("filename\tonset\tonset\n", ":1: header must name 'onset' once"),
  ],
  "csv": [
    ("filename,start,end,label\na,0,1;5,x\n", ":2: end must be a number"),
    ("filename,start,end,label,row_kind\na,,,,no\n", ":2: row_kind must be"),
    ("filename,start,end\n", ":1: header must have label"),
  ],
  "json": [
    ("{", ":1: must be JSON"),
    ("[]", ":1: must be an object"),
    ('{"events": [{"start": 0, "end": "1", "label": "x"}]}', "end must be a n"),
    ('{"events": [{"start": 0, "end": 1}]}', "event must have label"),
  ],
  "jsonl": [('{"start": 0, "end": 1, "label": "x"}\n{', ":2: must be JSON")],
  "dcase_list": [
    (
      "onset\toffset\tlabel\n0\t1\tx\n",
      ":1: row must hold numbers, without a header",
    ),
    ("0\t1\tx\na\t0\t1\tx\n", ":2: row must be [file [scene]] onset"),
    ("0,5\t1\tx\n", ":1: start must be a number"),
  ],
  "urban_sed": [
    ("0\t1\tx\n1,5\t2\tx\n", ":2: start must be a number, got '1,5'"),
    ("0\t1\n", ":1: row must be start end label, got 2 fields"),
  ],
  "maestro_soft": [("0\t1\tx\t-1\n", ":1: confidence must be in 0..1")],
  "tut_ann": [("a\tb\t0\t1\n", ":1: row must be file scene onset offset")],
  "muspeak": [
    ("start,duration,class\n", ":1: row must hold numbers, without a h")
  ],
  "desed_weak": [
    ("filename\tevent_labels\na\tDog,,Cat\n", ":2: event_labels must not be")
  ],
  "desed_durations": [
    ("filename\tduration\na\t0\n", ":2: duration must be above 0, got 0.0")
  ],
  "audioset_strong": [
    (
      "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\nab\t0\t1\tx\n",
      ":2: segment_id must be ytid_startms, got 'ab'",
    )
  ],
  "audioset_posneg": [
    (
      "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\tpresent\n"
      "a_0\t0\t1\tx\tmaybe\n",
      ":2: present must be PRESENT or NOT_PRESENT, got 'maybe'",
    )
  ],
  "audioset_weak": [("#\n#\n#\na, 0, 1\n", ":4: row must be YTID")],
  "musan": [("rock Y x\n", ":1: utt must be like music-fma-0000")],
  "raven": [
    (
      RAVEN.replace("61.0", "61,0"),
      ":4: End Time (s) must be a number, got '6",
    ),
    ("Selection\tView\n", ":1: header must have Begin Time (s), End Time (s)"),
  ],
  "audacity": [
    ("0,5\t1\tx\n", ":1: start must be a number, got '0,5' (a decimal comma?)"),
    ("\\\t1\t2\n", ":1: a frequency line must follow a label"),
    ("0\t1\tx\n\\\t1\n", ":2: a frequency line must be"),
    ("0\t1\n", ":1: row must be start, end, label"),
    ("0\t1\t\n", ":1: label must not be empty"),
  ],
  "rttm": [
    ("SPEAKER a 1 0 1 <NA> <NA> x y\n", ":1: score must be a number, got 'y'"),
    ("SPEAKER a 1 0 1 x\n", ":1: row must have 10 fields, got 6"),
  ],
  "textgrid": [
    (TEXTGRID_SHORT.replace("1.25\n2.5", "1.25\n2,5"), ":20: xmax must be a n"),
    (TEXTGRID_SHORT[:-8], ":28: text must come next, got the end"),
    ("x", ":1: file type 'ooTextFile' must come next"),
  ],
  "elan": [
    (EAF.replace('REF2="ts2"', 'REF2="ts3"'), ":9: TIME_VALUE must be mill"),
    (EAF.replace('REF2="ts2"', 'REF2="ts9"'), ":13: TIME_SLOT_REF2 must be"),
    (EAF.replace('REF="a1"', 'REF="a7"'), ":21: ANNOTATION_REF must name"),
    ("<a>", ":1: must be XML"),
  ],
  "jams": [
    ("{}", ':1: must be an object with "annotations"'),
    (
      '{"annotations": [{"namespace": "segment_open", "data": [{"time": 0}]}]}',
      "annotations[0].data[0] must have ['duration', 'value']",
    ),
  ],
  "srt": [
    ("1\n0:0:1 --> 0:0:2,0\nx\n", ":2: start must be h:m:s,ms, got '0:0:1'"),
    ("hello\n", ":1: cue must have a line of times"),
  ],
  "vtt": [("x\n", ":1: must begin with WEBVTT, got 'x'")],
  "qlemaire": [("0 1 a b\n", ":1: row must be t_start t_stop label, got 4")],
  "ofai": [("start\tduration\n", ":1: header must have flag")],
  "esc50": [("filename\n", ":1: header must have fold, target")],
}


@pytest.mark.parametrize(
  ("name", "index"),
  [
    (name, index)
    for name, cases in WRONG.items()
    for index in range(len(cases))
  ],
)
def test_an_error_names_file_line_and_rule(tmp_path, name, index):
  text, wanted = WRONG[name][index]
  path = tmp_path / "wrong.txt"
  path.write_text(text, encoding="utf-8")
  with pytest.raises(ValueError) as error:
    read(path, format=name)
  message = str(error.value)
  assert message.startswith(f"{path}:") and wanted in message
  assert "\n" not in message


@pytest.mark.parametrize("name", ["desed_strong", "audacity", "textgrid"])
def test_bytes_that_are_no_text(tmp_path, name):
  file_name, text, _ = CASES[name]
  path = tmp_path / file_name
  path.write_bytes(text.encode() + b"\n\xff\xfe\xfa")
  line = text.count("\n") + 2
  with pytest.raises(ValueError, match=rf":{line}: text must be UTF-8 or UTF-"):
    read(path)


def test_an_unknown_format_or_option(tmp_path):
  path = tmp_path / "x.txt"
  path.write_text("hello world\n")
  with pytest.raises(ValueError, match="did you mean 'audacity'"):
    read(path, format="audacty")
  with pytest.raises(ValueError, match="x.txt:1: no known format fits"):
    read(path)
  with pytest.raises(ValueError, match="option must be one of label, got"):
    read(path, format="dcase_list", labl="x")


@pytest.mark.parametrize(
  ("columns", "wanted"),
  [
    ({"label": "evnt"}, ":1: column for label must be one of path, onset, off"),
    ({"label": "evnt"}, "got 'evnt'; did you mean 'event'?"),
    ({"label": "event"}, ":1: columns must say which one is filename, got on"),
    ({"start": "onset", "end": "offset"}, "the table has path, onset, offset"),
    (NAMES | {"score": "salience"}, ":3: score must be a number, got 'much'"),
    (NAMES | {"end": "onset"}, ":2: end must be greater than start, got 0.5"),
  ],
)
def test_columns_that_are_not_there(tmp_path, columns, wanted):
  path = tmp_path / "x.csv"
  path.write_text(
    "path,onset,offset,event,salience\na,0.5,1,dog,1\na,2,3,cat,much\n"
  )
  with pytest.raises(ValueError) as error:
    read(path, format="csv", columns=columns)
  message = str(error.value)
  assert message.startswith(f"{path}:") and wanted in message
  assert "\n" not in message


def test_names_of_columns_must_be_ours(tmp_path):
  path = tmp_path / "x.csv"
  path.write_text("path,onset\n")
  with pytest.raises(ValueError, match="got 'lable'; did you mean 'label'"):
    read(path, format="csv", columns={"lable": "event"})
  with pytest.raises(ValueError, match="option must be one of .*got 'columns'"):
    read(path, format="desed_strong", columns=NAMES)


def test_a_decimal_comma_is_named_without_a_format(tmp_path):
  path = tmp_path / "x.txt"
  path.write_text("0,5\t1,2\tdog\n")
  with pytest.raises(ValueError, match=r"x.txt:1: .*'0,5' \(a decimal comma"):
    read(path)


def test_a_label_may_be_the_name_of_a_column(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("0\t1\tstart\n")
  assert read(path).events.label.tolist() == ["start"]


def test_score_tables_must_fit_together(tmp_path):
  good = "onset\toffset\tdog\n0\t1\t0.5\n1\t2\t0.5\n"
  (tmp_path / "a.tsv").write_text(good)
  (tmp_path / "b.tsv").write_text(good.replace("dog", "cat"))
  with pytest.raises(
    ValueError, match=r"b.tsv:1: header must have the classes"
  ):
    read(tmp_path)
  (tmp_path / "b.tsv").write_text(good.replace("1\t2", "1.1\t2"))
  with pytest.raises(ValueError, match=r"b.tsv:2: frames must be contiguous"):
    read(tmp_path)


def test_operating_points_need_thresholds(tmp_path):
  for name in ("a_0.5.tsv", "b_0.50.tsv"):
    (tmp_path / name).write_text(HEAD)
  with pytest.raises(ValueError, match="threshold must be another"):
    read(tmp_path, format="operating_points")
  (tmp_path / "b_0.50.tsv").rename(tmp_path / "c.tsv")
  with pytest.raises(ValueError, match="c.tsv: name must end in the threshold"):
    read(tmp_path, format="operating_points")
