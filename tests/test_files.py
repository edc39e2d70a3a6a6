"""Files are written whole or not at all."""

import hashlib
import os

import pytest

from yoho_tf import files

pytestmark = pytest.mark.edge


def names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
  path = tmp_path / "out.csv"
  files.replace_text(path, "old")
  for problem in (ValueError("bad"), KeyboardInterrupt(), OSError("disk full")):
    with pytest.raises(type(problem)), files.replacing(path) as part:
      part.write_text("half of the n")
      raise problem
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.csv"]


def test_a_text_that_cannot_be_written_leaves_nothing(tmp_path):
  with pytest.raises(UnicodeEncodeError):
    files.replace_text(tmp_path / "out.csv", "fine, then \udcff")
  assert names(tmp_path) == []


def test_the_temporary_file_lies_beside_and_keeps_the_ending(tmp_path):
  path = tmp_path / "model.weights.h5"
  with files.replacing(path) as part:
    assert part.parent == tmp_path and part.name.endswith(".weights.h5")
    assert part != path
    part.write_bytes(b"new")
  assert path.read_bytes() == b"new"
  assert names(tmp_path) == ["model.weights.h5"]


@pytest.mark.parametrize("stem", ["x" * 251, "録" * 83, "🔔" * 62])
def test_the_longest_names_are_written(stem, tmp_path):
  path = tmp_path / f"{stem}.csv"  # 250 to 255 bytes
  files.replace_text(path, "here")
  assert path.read_text() == "here"


def test_text_is_utf_8_and_keeps_its_line_ends(tmp_path):
  files.replace_text(tmp_path / "a", "größer\r\n録音\n")
  assert (tmp_path / "a").read_bytes() == "größer\r\n録音\n".encode()


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match="existing folder.*absent"):
    files.replace_bytes(tmp_path / "absent" / "a", b"")
  assert names(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
  (tmp_path / "there").mkdir()
  (tmp_path / "link.csv").symlink_to(tmp_path / "there" / "real.csv")
  for text in ("first", "second"):  # the target need not exist yet
    files.replace_text(tmp_path / "link.csv", text)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "there" / "real.csv").read_text() == text
  assert names(tmp_path / "there") == ["real.csv"]


@pytest.mark.skipif(os.name != "posix", reason="devices and pipes")
def test_a_device_is_written_to_and_not_replaced():
  files.replace_text("/dev/null", "gone")
  assert not os.path.isfile("/dev/null") and os.path.exists("/dev/null")


def test_sha256(tmp_path):
  data = bytes(range(256)) * 5000  # more than one block
  (tmp_path / "a").write_bytes(data)
  assert files.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
  (tmp_path / "b").write_bytes(b"")
  assert files.sha256(tmp_path / "b").startswith("e3b0c44298fc1c14")
