"""What travels inside a `.tflite`: read by everybody's tools."""

import io
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deploy import forge
from yoho_tf.deploy import flatbuffer, metadata, runtime
from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS, to_json

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


def test_unpack_undoes_pack():
  assert metadata.unpack(metadata.pack(BODY, FILES)) == (BODY, FILES)
  assert metadata.unpack(BODY) == (BODY, {})


@pytest.mark.parametrize("label", ["two\nlines", "", "end\n", "a\rb"])
def test_labels_are_one_line_each(label):
  class_map = ClassMap(("Speech", "Music"))
  object.__setattr__(class_map, "names", ("Speech", label))
  with pytest.raises(ValueError, match=r"labels must be one line each") as e:
    metadata.texts(PRESETS["yoho_music_speech"], class_map)
  assert repr(label) in str(e.value)


# ---- audio facts ------------------------------------------------------------

LABELS = ("Speech", "Chicken, rooster", "Öl")


def with_audio(model=None, **changes):
  options = {"name": "Tiny", "sample_rate_hz": 16000, "labels": LABELS}
  return metadata.with_audio(model or forge.classifier(), **options | changes)


def loaded(data, tmp_path):
  path = tmp_path / "model.tflite"
  path.write_bytes(data)
  return runtime.LiteRt(path)


def test_audio_facts_come_back(tmp_path):
  path = tmp_path / "model.tflite"
  data = with_audio(version="7", license="Apache-2.0", author="us")
  path.write_bytes(metadata.pack(data, {"labels.txt": "\n".join(LABELS)}))
  found = metadata.describe(path)
  assert found == (LABELS, None, 16000, "Tiny", "7")


def test_parts_that_are_missing_are_none(tmp_path):
  path = tmp_path / "model.tflite"
  path.write_bytes(forge.classifier())
  assert metadata.describe(path) == (None,) * 5
  path.write_bytes(with_audio(sample_rate_hz=44100))
  assert metadata.describe(path) == (None, None, 44100, "Tiny", None)
  params = PRESETS["yoho_music_speech"]
  path.write_bytes(
    metadata.pack(forge.classifier(), {"params.json": to_json(params)})
  )
  rate = params.frontend.sample_rate_hz
  assert metadata.describe(path) == (params.labels, params, rate, None, None)


def test_the_numbers_stay_and_so_does_the_signature(tmp_path):
  inputs = {"waveform": np.linspace(-1, 1, 8)[None]}
  expected = loaded(forge.classifier(), tmp_path)(inputs)["scores"]
  got = loaded(with_audio(), tmp_path)(inputs)["scores"]
  np.testing.assert_array_equal(got, expected)


def test_audio_facts_may_come_before_or_after_the_files(tmp_path):
  before = metadata.pack(with_audio(), FILES)
  after = with_audio(metadata.pack(forge.classifier(), FILES))
  assert before == after


def test_audio_facts_are_replaced_not_heaped_up(tmp_path):
  path = tmp_path / "model.tflite"
  path.write_bytes(with_audio(with_audio(), name="Second"))
  tree = flatbuffer.load(path.read_bytes())
  assert [m.name for m in tree.metadata] == [b"TFLITE_METADATA"]
  assert metadata.describe(path).name == "Second"


@settings(max_examples=30)
@given(
  texts=st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    min_size=5,
    max_size=5,
  ),
  rate=st.integers(1, 2**32 - 1),
)
def test_any_text_and_rate_survive(texts, rate, tmp_path_factory):
  name, version, author, license, description = texts
  data = with_audio(
    name=name,
    version=version,
    author=author,
    license=license,
    description=description,
    sample_rate_hz=rate,
  )
  path = tmp_path_factory.mktemp("audio") / "model.tflite"
  path.write_bytes(data)
  found = metadata.describe(path)
  assert found[2:] == (rate, name or None, version or None)


def test_constants_and_facts_lie_at_multiples_of_16():
  """The schema's force_align; 4 is what the generated code gives."""
  from ai_edge_litert import schema_py_generated as schema

  model = schema.Model.GetRootAsModel(with_audio(), 0)
  checked = 0
  for i in range(model.BuffersLength()):
    buffer = model.Buffers(i)
    if buffer.DataLength():
      assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0
      checked += 1
  assert checked == 2


def test_the_same_facts_give_the_same_bytes():
  assert with_audio() == with_audio()


def second_output(tree):
  tree.subgraphs[0].outputs = np.array([2, 0], np.int32)


def second_input(tree):
  tree.subgraphs[0].inputs = np.array([0, 1], np.int32)


def second_graph(tree):
  tree.subgraphs.append(tree.subgraphs[0])


def free_length(tree):
  tree.subgraphs[0].tensors[0].shapeSignature = np.array([1, -1], np.int32)


def int_input(tree):
  tree.subgraphs[0].tensors[0].type = 9


@pytest.mark.parametrize(
  ("edit", "message"),
  [
    (second_output, "one of outputs .*received 2"),
    (second_input, "one of inputs .*received 2"),
    (second_graph, "one subgraph .*received 2"),
    (free_length, r"fixed length .*FLOAT32 \[1, -1\]"),
    (int_input, r"must be float .*INT8 \[1, 8\]"),
  ],
)
def test_what_audio_classifier_would_refuse_is_refused(edit, message):
  with pytest.raises(ValueError, match=message):
    with_audio(forge.edited(forge.classifier(), edit))


def test_labels_must_be_as_many_as_scores():
  with pytest.raises(ValueError, match=r"received 2 for \[1, 3\]"):
    with_audio(labels=LABELS[:2])
  with pytest.raises(ValueError, match="one line each; received 'a.nb'"):
    with_audio(labels=("a\nb", *LABELS[1:]))


@pytest.mark.parametrize("rate", [0, -1, 2**32, 16000.5])
def test_rates_are_positive_whole_numbers(rate):
  with pytest.raises(ValueError, match="sample_rate_hz must be"):
    with_audio(sample_rate_hz=rate)


def test_truncated_models_are_one_line(tmp_path):
  data = with_audio()
  for size in [*range(8, len(data) - 64, 40)]:
    try:
      with_audio(data[:size])
    except ValueError as error:
      assert "\n" not in str(error)
    else:
      raise AssertionError(f"{size} of {len(data)} bytes were taken")
  with pytest.raises(ValueError, match="TFL3 at byte 4"):
    with_audio(b"no model")


def test_a_published_file_is_read(shared):
  """Written by TensorFlow's own tools."""
  folder = shared / "yamnet"
  found = metadata.describe(folder / "yamnet_lite.tflite")
  names = ClassMap.read(folder / "yamnet_class_map.csv").names
  assert found == (names, None, 16000, "yamnet/classification", "v1")
