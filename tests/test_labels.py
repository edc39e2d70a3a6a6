"""Class maps: what is read is what is written, and errors say where."""

import os
import subprocess
import sys

import pytest

from yoho_tf.files import replace_text
from yoho_tf.labels import ClassMap, colour, did_you_mean

pytestmark = pytest.mark.edge

HEADER = b"index,mid,display_name"


def write(path, *lines, end=b"\r\n"):
  path.write_bytes(end.join((HEADER, *lines)) + end)
  return path


def contrast_on_white(text):
  channels = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
  red, green, blue = (
    v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
    for v in channels
  )
  return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_reads_line_ends_quotes_and_byte_order_mark(tmp_path, end, mark):
  path = write(
    tmp_path / "a.csv",
    b"0,/m/09x0r,Speech",
    b'1,/t/dd1,"Bang, ""loud"""',
    b"2,,None",
    end=end,
  )
  path.write_bytes(mark + path.read_bytes())
  classes = ClassMap.read(path)
  assert classes.names == ("Speech", 'Bang, "loud"', "None")
  assert classes.mids == ("/m/09x0r", "/t/dd1", "")
  assert classes.namespace == "audioset"
  assert len(classes) == 3 and list(classes) == list(classes.names)
  assert classes.index("None") == 2 and "Speech" in classes


def test_write_then_read_is_the_same(tmp_path):
  classes = ClassMap(
    ("a, b", 'q"', "été", "line\nbreak", "c\rr"), namespace="mine"
  )
  classes.write(tmp_path / "mine.csv")
  assert ClassMap.read(tmp_path / "mine.csv") == classes
  assert (tmp_path / "mine.csv").read_bytes().count(b"\r\n") == 0


def test_namespace_is_the_stem_unless_all_mids_are_audioset(tmp_path):
  path = write(tmp_path / "urban.csv", b"0,/m/1,a", b"1,x:2,b")
  assert ClassMap.read(path).namespace == "urban"
  path = write(tmp_path / "plain.csv", b"0,,a")
  assert ClassMap.read(path).namespace == "plain"


@pytest.mark.parametrize(
  ("lines", "line", "rule"),
  [
    ([b"0,,a", b"2,,b"], 3, "index must count from 0 in order, here 1"),
    ([b"0,,a", b"01,,b"], 3, "index must count"),
    ([b"0,,a", b"1,b"], 3, "row must have 3 fields, got 2"),
    ([b"0,,a", b"1,,b", b"2,,a"], 4, "display_name must be unique, got 'a'"),
    ([b'0,,"a\nb"', b'1,,"a\nb"'], 5, "display_name must be unique"),
    ([b"0,/m/1,a", b"1,/m/1,b"], 3, "mid must be unique, got '/m/1'"),
    ([b"0,,"], 2, "display_name must not be empty"),
    ([b'0,,"a'], 2, "must be CSV"),
  ],
)
def test_errors_name_file_line_and_rule(tmp_path, lines, line, rule):
  path = write(tmp_path / "bad.csv", *lines, end=b"\n")
  with pytest.raises(ValueError) as error:
    ClassMap.read(path)
  assert str(error.value).startswith(f"{path}:{line}: {rule}")
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("content", "rule"),
  [
    (b"", "must hold index,mid,display_name"),
    (HEADER + b"\n", "must hold index,mid,display_name"),
    (b"name\na\n", "header must be index,mid,display_name, got 'name'"),
    (HEADER + b"\n0,,\xff\n", "text must be UTF-8"),
  ],
)
def test_files_that_are_no_class_map(tmp_path, content, rule):
  (tmp_path / "bad.csv").write_bytes(content)
  with pytest.raises(ValueError, match=rule):
    ClassMap.read(tmp_path / "bad.csv")


@pytest.mark.parametrize(
  "kwargs",
  [
    {"names": ()},
    {"names": "dog"},
    {"names": ("a", "a")},
    {"names": (" a",)},
    {"names": ("a", "b"), "mids": ("/m/1",)},
    {"names": ("a", "b"), "mids": ("/m/1", "/m/1")},
  ],
)
def test_constructor_rejects(kwargs):
  with pytest.raises(ValueError):
    ClassMap(**kwargs)


def test_unknown_name_gets_a_suggestion():
  classes = ClassMap(tuple(f"class {i}" for i in range(20)) + ("Speech",))
  with pytest.raises(ValueError, match="got 'speach'; did you mean 'Speech'"):
    classes.index("speach")
  assert did_you_mean("x", ["cat", "dog"]) == (
    "must be one of cat, dog, got 'x'"
  )


def test_bundled_reads_every_map_beside_the_package(repository):
  path = repository / "class_maps" / "everyday.csv"
  assert ClassMap.bundled("everyday") == ClassMap.read(path)
  with pytest.raises(ValueError, match="did you mean 'everyday'") as error:
    ClassMap.bundled("every_day")
  assert "aliases" not in str(error.value)  # A table, but no class map.
  with pytest.raises(ValueError, match="class map must be one of"):
    ClassMap.bundled("../class_maps/everyday")


def test_colours_depend_on_the_name_alone_and_show_on_white():
  names = [f"class {i}" for i in range(300)]
  colours = [colour(name) for name in names]
  assert min(map(contrast_on_white, colours)) >= 3
  assert len(set(colours)) > 270
  assert ClassMap(("a", "b")).colour("b") == ClassMap(("b",)).colour("b")
  code = "from yoho_tf.labels import colour; print(colour('Speech'))"
  for seed in ("1", "2"):
    out = subprocess.run(
      [sys.executable, "-c", code],
      env={**os.environ, "PYTHONHASHSEED": seed},
      capture_output=True,
      text=True,
      check=True,
      cwd=os.path.dirname(os.path.dirname(__file__)),
    )
    assert out.stdout.strip() == colour("Speech")


def test_failing_write_keeps_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "a.csv"
  path.write_text("old")

  def fail(*_):
    raise OSError("disk full")

  with monkeypatch.context() as patch:
    patch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
      replace_text(path, "new")
  with pytest.raises(UnicodeEncodeError):
    replace_text(path, "x" * 100_000 + "\ud800")
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]
  with pytest.raises(FileNotFoundError, match="existing folder"):
    replace_text(tmp_path / "none" / "a.csv", "new")


def test_write_follows_a_link(tmp_path):
  (tmp_path / "real.csv").write_text("old")
  (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
  replace_text(tmp_path / "link.csv", "new")
  assert (tmp_path / "real.csv").read_text() == "new"
  assert (tmp_path / "link.csv").is_symlink()


def test_yamnet_class_map(shared):
  path = shared / "yamnet" / "yamnet_class_map.csv"
  if not path.exists():
    pytest.skip("test data absent: ../shared/data/yamnet")
  classes = ClassMap.read(path)
  assert len(classes) == 521 and classes.namespace == "audioset"
  anchors = {0: "Speech", 132: "Music", 494: "Silence", 514: "White noise"}
  assert {i: classes.names[i] for i in anchors} == anchors
  assert classes.mids[427] == "/g/122z_qxw"
  assert sum(mid.startswith("/t/") for mid in classes.mids) == 31
