"""The ZIP behind a `.tflite`: read by everybody's tools."""

import io
import shutil
import subprocess
import zipfile

import pytest

from yoho_tf.deploy import metadata

pytestmark = pytest.mark.edge

BODY = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 4  # no model, but like one
FILES = {
  "labels.txt": "Chicken, rooster\nMusic\n",
  "class_map.csv": "index,mid,display_name\n0,,Öl\n1,,鐘\n",
  "params.json": "{}",
}


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "model.tflite"
  path.write_bytes(metadata.pack(BODY, FILES))
  return path


def test_what_goes_in_comes_out(path):
  assert metadata.read(path) == FILES
  assert metadata.read(str(path)) == FILES


def test_the_model_itself_is_not_touched(path):
  assert path.read_bytes()[: len(BODY)] == BODY


def test_zipfile_reads_it_and_nothing_is_compressed(path):
  with zipfile.ZipFile(path) as archive:
    assert archive.testzip() is None
    assert archive.namelist() == list(FILES)
    assert all(i.compress_type == zipfile.ZIP_STORED for i in archive.filelist)
    assert all(i.date_time == (1980, 1, 1, 0, 0, 0) for i in archive.filelist)
    # Offsets count from the start of the whole file, as `unzip` wants them.
    assert archive.filelist[0].header_offset == len(BODY)


@pytest.mark.skipif(not shutil.which("unzip"), reason="no unzip here")
def test_unzip_lists_and_extracts_it(path, tmp_path):
  listed = subprocess.run(["unzip", "-l", path], capture_output=True, text=True)
  assert listed.returncode == 0 and listed.stderr == ""
  assert all(name in listed.stdout for name in FILES)
  done = subprocess.run(
    ["unzip", "-q", path, "-d", tmp_path / "out"], capture_output=True
  )
  assert done.returncode == 0 and done.stderr == b""
  text = (tmp_path / "out" / "class_map.csv").read_bytes().decode()
  assert text == FILES["class_map.csv"]


def test_the_same_files_give_the_same_bytes():
  assert metadata.pack(BODY, FILES) == metadata.pack(BODY, FILES)


def test_without_files_inside_there_are_none(tmp_path):
  path = tmp_path / "bare.tflite"
  for data in (BODY, b""):
    path.write_bytes(data)
    assert metadata.read(path) == {}


def test_damaged_files_are_one_line(path):
  data = path.read_bytes()
  for old in (b"Music", "Öl".encode()):
    path.write_bytes(data.replace(old, b"\xff" * len(old)))
    with pytest.raises(ValueError, match="whole files behind.*tflite") as error:
      metadata.read(path)
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf_8_is_one_line(tmp_path):
  buffer = io.BytesIO(BODY)
  with zipfile.ZipFile(buffer, "a") as archive:
    archive.writestr("labels.txt", b"\xff\xfe")
  (tmp_path / "a.tflite").write_bytes(buffer.getvalue())
  with pytest.raises(ValueError, match="whole files behind"):
    metadata.read(tmp_path / "a.tflite")
