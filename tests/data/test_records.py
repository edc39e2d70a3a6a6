"""Records: the same bytes as TensorFlow's, an index that guards them."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from yoho_tf.data import examples, records, sources, synth, tfrecord
from yoho_tf.data.examples import Example
from yoho_tf.events import EventTable
from yoho_tf.labels import ClassMap
from yoho_tf.params import SceneParams

MAP = ClassMap(("Bark", "Music", "Rain, heavy"))
RATE = 16_000


def example(number, *, split="train", seconds=1.0, group=None, **fields):
  rng = np.random.default_rng(number)
  waveform, scale = examples.quantise(rng.uniform(-1, 1, round(seconds * RATE)))
  start = rng.uniform(0, seconds / 2, number % 4)
  return Example(
    waveform=waveform,
    scale=scale,
    sample_rate_hz=RATE,
    filename=f"ré c/{number}.wav",
    offset_seconds=number / 3,
    group=f"fs:{number}" if group is None else group,
    split=split,
    events=EventTable.from_columns(
      start=start,
      end=start + 1 / 7,
      label=[MAP.names[i % 3] for i in range(number % 4)],
      low_hz=[float("nan"), 100.0, 0.0][: number % 4],
    ),
    **fields,
  )


def assert_equal(one, two):
  assert vars(one).keys() == vars(two).keys()
  for name, value in vars(one).items():
    other = getattr(two, name)
    if isinstance(value, np.ndarray):
      np.testing.assert_array_equal(value, other)
    elif name in ("scale", "stem_scale"):  # a float32 in the file
      assert np.float32(value) == np.float32(other)
    else:
      assert value == other, name


# ---- checksum, framing and protobuf, against known answers and TensorFlow ---


def test_checksum_of_known_data():
  # RFC 3720, appendix B.4.
  assert tfrecord.crc32c(bytes(32)) == 0x8A9136AA
  assert tfrecord.crc32c(bytes([255]) * 32) == 0x62A8AB43
  assert tfrecord.crc32c(bytes(range(32))) == 0x46DD794E
  assert tfrecord.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("size", [63, 64, 511, 512, 513, 1025, 20_001])
def test_checksum_side_by_side_is_that_byte_by_byte(size):
  data = np.random.default_rng(size).bytes(size)
  register = 0xFFFFFFFF
  for byte in data:
    register ^= byte
    for _ in range(8):
      register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
  assert tfrecord.crc32c(data) == register ^ 0xFFFFFFFF


FEATURES = {
  "a bytes": [b"", b"\x00\xff", "é".encode()],
  "b one": b"x" * 70_000,
  "c floats": np.array([0.5, -np.inf, 1e-30], np.float32),
  "d ints": np.array([0, 1, 127, 128, -1, 2**63 - 1, -(2**63)], np.int64),
  "e none": np.array([], np.float32),
  "f none": np.array([], np.int64),
}


def test_tensorflow_reads_what_we_write(tmp_path):
  tf = pytest.importorskip("tensorflow")
  path = tmp_path / "x.tfrecord"
  payload = tfrecord.encode_example(FEATURES)
  assert tfrecord.write(path, [payload, b"", payload]) == 3
  read = [bytes(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
  assert read == [payload, b"", payload]
  parsed = tf.train.Example.FromString(payload).features.feature
  assert sorted(parsed) == sorted(FEATURES)
  assert list(parsed["a bytes"].bytes_list.value) == FEATURES["a bytes"]
  assert list(parsed["b one"].bytes_list.value) == [FEATURES["b one"]]
  np.testing.assert_array_equal(
    np.float32(parsed["c floats"].float_list.value), FEATURES["c floats"]
  )
  assert list(parsed["d ints"].int64_list.value) == FEATURES["d ints"].tolist()
  assert parsed["e none"].WhichOneof("kind") == "float_list"
  assert parsed["f none"].WhichOneof("kind") == "int64_list"


def test_we_read_what_tensorflow_writes(tmp_path):
  tf = pytest.importorskip("tensorflow")
  path, feature = tmp_path / "x.tfrecord", tf.train.Feature
  message = tf.train.Example()
  for name, value in FEATURES.items():
    own = message.features.feature[name]
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
      own.CopyFrom(feature(float_list=tf.train.FloatList(value=value)))
    elif isinstance(value, np.ndarray):
      own.CopyFrom(feature(int64_list=tf.train.Int64List(value=value)))
    else:
      value = value if isinstance(value, list) else [value]
      own.CopyFrom(feature(bytes_list=tf.train.BytesList(value=value)))
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(message.SerializeToString())
    writer.write(b"second")
  first, second = tfrecord.read(path)
  assert second == b"second"
  found = tfrecord.decode_example(first)
  assert sorted(found) == sorted(FEATURES)
  for name, value in FEATURES.items():
    value = [value] if isinstance(value, bytes) else value
    np.testing.assert_array_equal(found[name], value)
    if isinstance(value, np.ndarray):
      assert found[name].dtype == value.dtype
  offsets = tfrecord.offsets(path)
  assert tfrecord.read_at(path, offsets[1], 1) == b"second"


def test_lists_that_are_not_packed_are_read_too():
  # Field 1 once per value: 7 and 300 as varints, 1.5 as fixed 32 bits.
  ints = b"\x08\x07\x08\xac\x02"
  floats = b"\x0d" + struct.pack("<f", 1.5)
  entry = tfrecord._field  # the wire type 2 of protobuf
  body = b"".join(
    entry(1, entry(1, name) + entry(2, entry(kind, values)))
    for name, kind, values in ((b"i", 3, ints), (b"f", 2, floats))
  )
  found = tfrecord.decode_example(entry(1, body))
  assert found["i"].tolist() == [7, 300] and found["f"].tolist() == [1.5]


@pytest.mark.parametrize("payload", [b"\x0a\x05ab", b"\xff" * 12, b"hello"])
def test_no_example_is_said_so(payload):
  with pytest.raises(ValueError, match="must be a tf.train.Example"):
    tfrecord.decode_example(payload)


# ---- examples ---------------------------------------------------------------


def test_an_example_comes_back():
  unknown = EventTable.from_rows([(0.1, 0.2, ""), (0.0, 1 / 3, "Music")])
  for one in (
    example(3),
    example(0),
    example(
      2,
      tags={"Music": 0.25, "Bark": 1.0},
      unknown=unknown,
      known_labels=("Music", "Rain, heavy"),
    ),
  ):
    assert_equal(examples.from_bytes(examples.to_bytes(one, MAP), MAP), one)


def test_a_label_outside_the_class_map_is_an_error():
  bad = example(1)
  with pytest.raises(ValueError, match="'Bark'"):
    examples.to_bytes(bad, ClassMap(("Music", "Rain")))
  # A class number beyond a shorter map.
  with pytest.raises(ValueError, match="fields of schema 1"):
    examples.from_bytes(examples.to_bytes(example(3), MAP), ClassMap(("A",)))


def test_loud_audio_keeps_its_peak():
  waveform = np.array([0.0, 2.5, -1.0], np.float32)
  values, scale = examples.quantise(waveform)
  one = Example(waveform=values, scale=scale, sample_rate_hz=RATE)
  np.testing.assert_allclose(one.floats(), waveform, atol=2.5 / 65534)


def with_stems(number, labels=("Bark", "", "Bark")):
  rng = np.random.default_rng(number)
  stems, scale = examples.quantise(rng.uniform(-3, 3, (len(labels), RATE)))
  return replace(
    example(number), stems=stems, stem_labels=labels, stem_scale=scale
  )


def test_stems_come_back():
  for labels in (("Bark", "", "Bark"), ("",), ()):
    one = with_stems(2, labels)
    back = examples.from_bytes(examples.to_bytes(one, MAP), MAP)
    assert_equal(back, one)
    assert back.stem_floats().shape == (len(labels), RATE)
  assert example(2).stem_floats().shape == (0, RATE)


def test_stems_change_nothing_for_who_does_not_read_them():
  plain, one = (
    tfrecord.decode_example(examples.to_bytes(e, MAP))
    for e in (example(2), with_stems(2))
  )
  assert set(one) - set(plain) == {"stems", "stem_scale", "stem_class"}
  for name in plain:
    np.testing.assert_array_equal(plain[name], one[name])


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"stem_labels": ("Bark",)}, r"= \[1, 16000\], got \[3, 16000\]"),
    ({"stems": None}, r"= \[3, 16000\], got \[\]"),
    ({"waveform": np.zeros(9, "<i2")}, r"= \[3, 9\], got \[3, 16000\]"),
    ({"stem_labels": ("Bark", "", "Wolf")}, "'Wolf'"),
  ],
)
def test_stems_that_do_not_fit_are_an_error(changes, words):
  with pytest.raises(ValueError, match=words) as error:
    examples.to_bytes(replace(with_stems(1), **changes), MAP)
  assert "\n" not in str(error.value)


def test_stems_of_another_length_in_a_record_are_an_error():
  fields = tfrecord.decode_example(examples.to_bytes(with_stems(1), MAP))
  fields["stems"] = [fields["stems"][0][:-2]]
  with pytest.raises(ValueError, match="fields of schema 1; ValueError"):
    examples.from_bytes(tfrecord.encode_example(fields), MAP)


def test_the_stems_of_a_scene_sum_to_its_waveform(source_folder):
  labels = ("Bark", "Rain", "Speech")
  pool = sources.read_manifest(
    source_folder, split="train", labels=labels, permissive_only=True
  )
  scene = synth.make_scene(
    pool,
    SceneParams(duration_seconds=3.0, event_seconds=(0.3, 1.0)),
    seed=4,
    index=0,
    labels=labels,
    stems=True,
  )
  assert len(scene.events) > 1
  one = examples.from_scene(scene, filename="0.wav", split="val")
  back = examples.from_bytes(
    examples.to_bytes(one, ClassMap(labels)), ClassMap(labels)
  )
  assert_equal(back, one)
  assert back.split == "val" and back.events == scene.events
  stems = back.stem_floats()
  assert len(stems) == len(scene.stems) and back.stem_labels[-1] == ""
  assert set(scene.events.label) <= set(back.stem_labels)
  # Half a step of each stem and of the waveform itself.
  limit = 0.5 * (len(stems) * back.stem_scale + back.scale) + 2e-6
  assert np.abs(stems.sum(0) - back.floats()).max() <= limit
  for label, stem, whole in zip(back.stem_labels, stems, scene.stems):
    heard = np.flatnonzero(np.abs(stem) > back.stem_scale)
    assert label in (whole.label, "")
    assert whole.start <= heard[0]
    assert heard[-1] < whole.start + len(whole.waveform)
  assert examples.from_scene(replace(scene, stems=())).stems is None


# ---- folders ----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
  items = [example(i) for i in range(10)]
  items += [example(i, split="val", seconds=0.5) for i in range(20, 23)]
  index = records.write_records(
    tmp_path / "records",
    items,
    class_map=MAP,
    params={"piece_seconds": 1.0},
    seeds={"split": 7},
    shard_bytes=70_000,
  )
  return index, items


def test_shards_index_and_random_access(folder):
  index, items = folder
  names = [path.name for path in index.paths("train")]
  assert names == [f"train-0000{i}-of-00004.tfrecord" for i in range(4)]
  assert index.num_examples("train") == 10 and index.num_examples("val") == 3
  assert index.counts["train"] == {
    "examples": 10,
    "events": sum(len(e.events) for e in items[:10]),
    "seconds": 10.0,
  }
  assert index.class_map == MAP and index.seeds == {"split": 7}
  reader = records.Reader(index, "train")
  assert len(reader) == 10
  for i in (9, 0, 4):
    assert_equal(reader[i], items[i])
  with pytest.raises(IndexError):
    reader[10]
  assert records.verify(index.folder) == index
  left = {p.name for p in index.folder.iterdir()}
  assert left == {*names, "val-00000-of-00001.tfrecord", "index.json"}


def test_written_again_the_folder_holds_the_new_shards_only(folder):
  index, items = folder
  before = index.shards
  again = records.write_records(
    index.folder, items, class_map=MAP, shard_bytes=70_000
  )
  assert again.shards == before  # the same bytes
  short = records.write_records(index.folder, items[:2], class_map=MAP)
  assert len(list(index.folder.glob("*.tfrecord"))) == 1
  assert short.num_examples("train") == 2


@pytest.mark.parametrize(
  ("others", "words"),
  [
    ([example(1, split="val", group="fs:0")], "group 'fs:0' must be in one"),
    ([Example(np.zeros(9, "<i2"), sample_rate_hz=8000)], "sample_rate_hz"),
  ],
)
def test_a_refused_set_leaves_the_old_one(folder, others, words):
  index, items = folder
  with pytest.raises(ValueError, match=words):
    records.write_records(index.folder, [items[0], *others], class_map=MAP)
  assert records.verify(index.folder) == index
  assert not list(index.folder.glob(".*"))


def test_a_damaged_record_names_shard_and_place(folder):
  index, _ = folder
  path = index.paths("train")[1]
  place = int(tfrecord.offsets(path)[1])
  data = bytearray(path.read_bytes())
  data[place + 500] ^= 1
  path.write_bytes(data)
  words = r"train-00001-of-00004.tfrecord: record 1: .* checksum"
  reader = records.Reader(index, "train")
  reader[3]
  with pytest.raises(records.RecordError, match=words):
    reader[4]
  with pytest.raises(records.RecordError, match=words) as error:
    records.verify(index.folder)
  assert records.damage(index, "train") == str(error.value)
  assert records.damage(index, "val") is None
  data[place] ^= 1  # now the length
  path.write_bytes(data)
  with pytest.raises(records.RecordError, match=r"record 1: its length"):
    tfrecord.offsets(path)


def test_a_cut_or_lost_shard_is_named(folder):
  index, _ = folder
  path = index.paths("train")[2]
  path.write_bytes(path.read_bytes()[:-3])
  with pytest.raises(records.RecordError, match="train-00002.*must have"):
    records.Reader(index, "train")
  with pytest.raises(records.RecordError, match="record 2: must have"):
    list(tfrecord.read(path))
  path.unlink()
  with pytest.raises(records.RecordError, match="train-00002.*got no file"):
    index.num_examples("train")
  assert records.damage(index, "train").endswith("got no file")


def test_another_class_map_is_an_error(folder):
  index, _ = folder
  labels = ("Bark", "Rain, heavy", "Music")
  words = "first difference: class 1 is 'Music', the model's 'Rain, heavy'"
  with pytest.raises(ValueError, match=words):
    records.read_index(index.folder, labels=labels)
  with pytest.raises(ValueError, match="class 3 is None, the model's 'Wind'"):
    records.read_index(index.folder, labels=(*MAP.names, "Wind"))
  assert records.read_index(index.folder, labels=MAP.names) == index


def test_other_folders_and_schemas_are_errors(folder, tmp_path):
  index, _ = folder
  with pytest.raises(ValueError, match="must hold index.json"):
    records.read_index(tmp_path)
  with pytest.raises(ValueError, match="'trian'.*did you mean 'train'"):
    index.of("trian")
  path = index.folder / "index.json"
  body = json.loads(path.read_text())
  path.write_text(json.dumps({**body, "schema_version": 2}))
  with pytest.raises(ValueError, match="schema_version must be 1, got 2"):
    records.read_index(index.folder)
  path.write_text("{")
  with pytest.raises(ValueError, match="must be an index of records"):
    records.read_index(index.folder)
