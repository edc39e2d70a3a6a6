"""Every data set: made-up files -> check -> load -> records -> training.

None of the real sets is at hand: the counts in the modules are not run here.
"""

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yoho_tf import audio
from yoho_tf.annotations import Annotations, Tag
from yoho_tf.cli import data as command
from yoho_tf.data import datasets, prepare, records
from yoho_tf.data.datasets import base
from yoho_tf.events import EventTable
from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS

# Two classes of each fixture: one network serves them all.
PAIRS = {
  "audioset_strong": ("Speech", "Dog"),
  "desed": ("Cat", "Blender"),
  "esc50": ("dog", "rain"),
  "maestro": ("announcement", "people talking"),
  "music_speech": ("music", "speech"),
  "tut2017": ("car", "children"),
  "urban_sed": ("siren", "dog_bark"),
}
PARAMS = replace(
  PRESETS["yoho_everyday_small"], width=0.03, window_seconds=0.64
)


@pytest.fixture(scope="module")
def root_of(tmp_path_factory):
  """name -> folder of its fixture, made once."""

  @functools.cache
  def make(name):
    root = tmp_path_factory.mktemp("sets") / name
    datasets.get(name).make_fixture(root)
    return root

  return make


@pytest.fixture
def copy_of(root_of, tmp_path):
  """name -> folder of a copy that a test may spoil."""
  return lambda name: shutil.copytree(root_of(name), tmp_path / name)


def loaded(name, root):
  module = datasets.get(name)
  splits = [
    s for s in module.SPLITS if s not in getattr(module, "OPTIONAL", ())
  ]
  return [module.load(root, split=split) for split in splits]


# ---- every set --------------------------------------------------------------


@pytest.fixture(scope="module")
def records_of(root_of, tmp_path_factory):
  """name -> folder of records with two classes, prepared once."""

  @functools.cache
  def make(name):
    folder = tmp_path_factory.mktemp("prepared")
    class_map = folder / "two.csv"
    ClassMap(PAIRS[name]).write(class_map)
    argv = ["prepare", name, str(root_of(name)), str(folder / "records")]
    assert command.main([*argv, "--labels", str(class_map)]) == 0
    return folder / "records"

  return make


@pytest.mark.parametrize("name", datasets.NAMES)
def test_fixture_to_records(name, root_of, records_of, capsys):
  root = root_of(name)
  assert command.main(["check", name, str(root), "--full"]) == 0
  printed = capsys.readouterr().out
  assert "a made-up set" in printed and "published at:" in printed

  sets = loaded(name, root)
  for dataset in sets:
    assert dataset.records
    durations = {r.filename: r.duration_seconds for r in dataset.records}
    notes = dataset.annotations
    assert set(notes.filenames) <= set(durations)
    for event in notes.events:
      assert event.end <= durations[event.filename]
      assert event.label in dataset.labels
    assert {tag.label for tag in notes.tags} <= set(dataset.labels)
    assert all(r.path.is_file() and r.group for r in dataset.records)
  base.assert_disjoint(sets)

  folder = records_of(name)
  assert command.main(["verify", str(folder)]) == 0
  index = records.read_index(folder, labels=PAIRS[name])
  number = sum(len(dataset.records) for dataset in sets)
  assert sum(c["examples"] for c in index.counts.values()) == number
  has_events = index.counts["train"]["events"] > 0
  assert has_events or name == "esc50"  # clip labels only


@pytest.mark.large
def test_an_epoch_of_every_set_trains(records_of):
  """One fit over the epochs of all sets."""
  import keras

  from yoho_tf.data import pipeline
  from yoho_tf.layers import frontend
  from yoho_tf.models import yoho

  params = replace(PARAMS, labels=("a", "b"), input="log_mel")
  net = yoho.build(params)
  samples = params.window_samples + params.extra_samples
  waveform = keras.Input((samples,), name="waveform")
  x = frontend.log_mel_layer(params.frontend)(waveform)
  model = keras.Model(waveform, net({"log_mel": x})["event_logits"])
  # Eager: tracing 17 layers takes longer than these few steps.
  model.compile("sgd", yoho.loss(params), run_eagerly=True)
  training, total = None, 0
  for name in datasets.NAMES:
    index = records.read_index(records_of(name))
    own = replace(PARAMS, labels=PAIRS[name])
    steps = pipeline.num_steps(index, batch_size=2)
    batches = pipeline.record_dataset(index, own, batch_size=2).take(steps)
    training = batches if training is None else training.concatenate(batches)
    total += steps
  before = net.get_weights()
  losses = []
  model.fit(
    training,
    steps_per_epoch=total,
    verbose=0,
    shuffle=False,
    callbacks=[
      keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])
      )
    ],
  )
  assert len(losses) == total and np.isfinite(losses).all()
  after = net.get_weights()
  assert any((a != b).any() for a, b in zip(before, after))


@pytest.mark.parametrize("name", datasets.NAMES)
def test_fixtures_are_small_and_repeatable(name, root_of, tmp_path):
  root = root_of(name)
  files = sorted(p for p in root.rglob("*") if p.is_file())
  assert sum(path.stat().st_size for path in files) <= 400_000
  sounds = [p for p in files if p.suffix in (".wav", ".flac")]
  assert 3 <= len(sounds) <= 12
  assert max(audio.info(p).duration_seconds for p in sounds) <= 1
  datasets.get(name).make_fixture(tmp_path / "again")
  for path in files:
    again = tmp_path / "again" / path.relative_to(root)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", datasets.NAMES + datasets.CHECK_ONLY)
def test_an_empty_folder_lists_what_is_missing(name, tmp_path, capsys):
  for root in (tmp_path, tmp_path / "nowhere"):
    assert command.main(["check", name, str(root)]) == 1
    printed = capsys.readouterr().out
    info = datasets.get(name).INFO
    assert f"published at: {info.published}" in printed
    lines = [line for line in printed.splitlines() if line.startswith("  ")]
    assert not any(line.startswith("  ok") for line in lines)
    assert any("first missing" in v or "none found" in v for v in lines)


def test_the_list_names_every_set(capsys):
  assert command.main(["list"]) == 0
  lines = capsys.readouterr().out.splitlines()
  names = [*datasets.NAMES, *datasets.CHECK_ONLY]
  assert [line.split()[0] for line in lines] == names
  assert command.main(["list", "--json"]) == 0
  infos = json.loads(capsys.readouterr().out)
  assert [info["name"] for info in infos] == names


# ---- what check finds -------------------------------------------------------


def report_of(name, root, **options):
  report = datasets.get(name).check(root, **options)
  return {part.name: part for part in report.parts}, report


def test_a_missing_file_and_an_archive_are_named(copy_of):
  root = copy_of("esc50")
  lost = sorted((root / "audio").iterdir())[2]
  lost.unlink()
  (root / "ESC-50-master.zip").touch()
  parts, report = report_of("esc50", root)
  part = parts["audio/*.wav"]
  assert part.state == "missing"
  assert part.text == (
    f"6 files expected, 5 found; first missing audio/{lost.name}"
  )
  assert "not unpacked: ESC-50-master.zip" in report.notes
  assert str(report).startswith("esc50: 1 of 6 parts incomplete under")


def test_a_real_set_is_held_to_the_published_counts(copy_of):
  root = copy_of("esc50")
  (root / "fixture.json").unlink()
  parts, _ = report_of("esc50", root)
  assert parts["meta/esc50.csv"].text == "2000 rows expected, 6 found"
  assert parts["audio headers"].state == "wrong"
  assert "must be 5 to 5 s, got 0.3" in parts["audio headers"].text


def test_a_table_with_an_error_is_said_so(copy_of):
  root = copy_of("desed")
  path = root / "metadata/train/weak.tsv"
  path.write_text("filename\tlabels\n")
  parts, report = report_of("desed", root)
  part = parts["metadata/train/weak.tsv"]
  assert part.state == "broken" and "event_labels" in part.text
  assert parts["audio/validation/validation"].ok  # it went on


def test_headers_are_compared(copy_of, write_wav):
  root = copy_of("urban_sed")
  name = "soundscape_train_bimodal0.wav"
  for waveform, rate, words in (
    (np.zeros(4800), 16_000, "must be 44100 Hz, got 16000"),
    (np.zeros((13_230, 2)), 44_100, "must be 1 channels, got 2"),
  ):
    write_wav(root / "audio/train" / name, waveform, rate)
    parts, _ = report_of("urban_sed", root)
    assert words in parts["audio headers"].text
    assert name in parts["audio headers"].text
  (root / "audio/train" / name).write_bytes(b"no audio")
  parts, _ = report_of("urban_sed", root)
  assert "must be audio" in parts["audio headers"].text


def test_events_past_the_end_are_found(copy_of):
  root = copy_of("tut2017")
  table = next((root / "TUT-sound-events-2017-evaluation").rglob("*.ann"))
  table.write_text("0.0\t0.9\tcar\n")
  parts, _ = report_of("tut2017", root)
  assert "an end at 0.9 s in 0.3 s" in parts["audio headers"].text
  dataset = datasets.get("tut2017").load(root, split="test")
  assert dataset.annotations.events.end.tolist() == [0.3]  # cut


def test_every_wav_of_seld_has_its_table(tmp_path, write_wav):
  waveform = np.zeros((4800, 2))
  for part in ("train-sony", "train-tau", "test-sony", "test-tau"):
    write_wav(tmp_path / f"stereo_dev/dev-{part}/a_1.wav", waveform, 24_000)
    table = tmp_path / f"metadata_dev/dev-{part}/a_1.csv"
    table.parent.mkdir(parents=True)
    table.touch()
  assert report_of("dcase_seld", tmp_path)[1].ok
  table.unlink()
  parts, _ = report_of("dcase_seld", tmp_path)
  assert parts["stereo_dev/dev-test-tau"].text == (
    "1 files, 0 tables; first missing metadata_dev/dev-test-tau/a_1.csv"
  )


def test_images_of_coco_and_captions_of_flickr8k(tmp_path, write_wav):
  (tmp_path / "annotations").mkdir()
  (tmp_path / "val2017").mkdir()
  images = {"images": [{"file_name": "1.jpg"}, {"file_name": "2.jpg"}]}
  (tmp_path / "annotations/instances_val2017.json").write_text(
    json.dumps(images)
  )
  (tmp_path / "val2017/1.jpg").touch()
  counts = {"annotations/instances_val2017.json": 2, "val2017/*.jpg": 2}
  for split, number in (("train", 2), ("dev", 1), ("test", 1)):
    names = [f"{split}{i}.jpg" for i in range(number)]
    path = tmp_path / f"Flickr_8k.{split}Images.txt"
    path.write_text("\n".join(names))
    counts[path.name] = number
    for name in names:
      (tmp_path / "Images").mkdir(exist_ok=True)
      (tmp_path / "Images" / name).touch()
      for i in range(5):
        wav = f"flickr_audio/wavs/{split}{name[-5]}_{i}.wav"
        write_wav(tmp_path / wav, np.zeros(4000))
  (tmp_path / "Flickr8k.token.txt").touch()
  counts |= {"Images/*.jpg": 4, "flickr_audio/wavs/*.wav": 20}
  (tmp_path / "fixture.json").write_text(json.dumps({"counts": counts}))
  parts, _ = report_of("coco", tmp_path)
  assert parts["annotations/instances_val2017.json"].ok
  assert parts["val2017/*.jpg"].text == (
    "2 files expected, 1 found; first missing val2017/2.jpg"
  )
  assert report_of("flickr8k", tmp_path)[1].ok
  (tmp_path / wav).unlink()
  parts, _ = report_of("flickr8k", tmp_path)
  assert parts["flickr_audio/wavs/*.wav"].text.endswith(f"missing {wav}")


# ---- what load knows --------------------------------------------------------


def test_folds_are_kept(root_of):
  """Every recording is held out once, with its group."""
  for name, split in (
    ("esc50", "test"),
    ("tut2017", "validate"),
    ("maestro", "test"),
  ):
    module = datasets.get(name)
    held_out = []
    for fold in range(1, module.INFO.folds + 1):
      sets = [
        module.load(root_of(name), split=s, fold=fold)
        for s in module.SPLITS
        if s in ("train", split)
      ]
      base.assert_disjoint(sets)
      held_out += [r.filename for r in sets[1].records]
    number = {"esc50": 6, "tut2017": 4, "maestro": 4}[name]
    assert len(set(held_out)) == number
    with pytest.raises(ValueError, match="fold must be 1 to"):
      module.load(root_of(name), fold=9)


@pytest.mark.parametrize("name", datasets.NAMES)
def test_unknown_splits_and_folds_are_errors(name, root_of):
  module = datasets.get(name)
  with pytest.raises(ValueError, match="split must be one of .*'trian'"):
    module.load(root_of(name), split="trian")
  if not module.INFO.folds:
    with pytest.raises(ValueError, match="fold must be left out"):
      module.load(root_of(name), fold=1, split=next(iter(module.SPLITS)))


def test_a_group_in_two_splits_is_listed(copy_of, tmp_path):
  """A validation clip that is cut from a training video."""
  root = copy_of("desed")
  strong = "Y--4gqARaEJE_10.000_20.000.wav"
  table = root / "metadata/validation/validation.tsv"
  lines = table.read_text() + f"{strong}\t0.0\t0.3\tDog\n"
  table.write_text(lines)
  shutil.copy(
    root / "audio/train/strong_label_real" / strong,
    root / "audio/validation/validation" / strong,
  )
  with pytest.raises(ValueError, match="yt:--4gqARaEJE.*train.*val"):
    prepare.prepare(datasets.get("desed"), root, tmp_path / "out")
  assert not (tmp_path / "out" / "index.json").exists()


def test_desed_may_lack_audio(copy_of, tmp_path, capsys):
  root = copy_of("desed")
  (root / "audio/validation/validation/YB0KdXZx8Rss_30.000_40.000.wav").unlink()
  parts, _ = report_of("desed", root)
  assert parts["audio/validation/validation"].state == "missing"
  argv = ["check", "desed", str(root), "--allow-missing"]
  assert command.main(argv) == 0
  assert "1 of 2 files; first missing" in capsys.readouterr().out
  argv = ["prepare", "desed", str(root), str(tmp_path / "out")]
  assert command.main(argv) == 1
  assert "allow_missing" in capsys.readouterr().err
  assert command.main([*argv, "--allow-missing"]) == 0
  index = records.read_index(tmp_path / "out")
  assert index.counts["val"]["examples"] == 2
  assert command.main(["check", "esc50", str(root), "--allow-missing"]) == 1


def test_audioset_loads_the_clips_at_hand_by_name(root_of):
  module = datasets.get("audioset_strong")
  dataset = module.load(root_of("audioset_strong"))
  assert dataset.labels == ("Dog", "Speech")
  names = [record.filename for record in dataset.records]
  assert names == ["b0_RFKhbpFJ_30000", "-0aJ_kMbOAQ_1000"]
  assert dataset.records[0].group == "yt:b0_RFKhbpFJ"
  assert len(dataset.annotations.events) == 3


def test_musan_noise_is_known_to_be_neither(root_of):
  sets = loaded("music_speech", root_of("music_speech"))
  notes = Annotations.concat([d.annotations for d in sets])
  assert notes.known_empty == ("noise-free-sound-0000.wav",)
  rows = {(e.filename, e.label) for e in notes.events}
  assert ("music-fma-0002.wav", "music") in rows
  assert ("speech-librivox-0001.wav", "speech") in rows
  concert = [e for e in notes.events if e.filename == "theconcert.wav"]
  assert [(e.start, e.label) for e in concert] == [
    (0.0, "music"),
    (0.3, "speech"),
    (0.71, "music"),
  ]
  groups = {r.group: r.split for d in sets for r in d.records}
  assert len(groups) == 8  # one musician has two files


def test_openbmat_asks_for_its_columns(copy_of, write_wav):
  root = copy_of("music_speech")
  write_wav(root / "openbmat/audio/x1.wav", np.zeros(16_000))
  table = root / "openbmat/annotations/x1.tsv"
  table.parent.mkdir()
  table.write_text(
    "who\tfrom\tto\twhat\n"
    "a\t0.0\t0.2\tBackground music\na\t0.2\t0.5\tMusic\na\t0.5\t1\tNo Music\n"
  )
  module = datasets.get("music_speech")
  split = module.split_of("openbmat:x1")
  with pytest.raises(ValueError, match="columns must say where OpenBMAT"):
    module.load(root, split=split)
  columns = {"start": 1, "end": 2, "label": 3}
  notes = module.load(root, split=split, columns=columns).annotations
  own = [
    (e.start, e.end, e.label) for e in notes.events if e.filename[0] == "x"
  ]
  assert own == [(0.0, 0.5, "music")]
  _, report = report_of("music_speech", root)
  assert "1647 files expected, 1 found" in str(report)


# ---- prepare ----------------------------------------------------------------


def test_prepared_twice_the_bytes_are_the_same(root_of, tmp_path):
  module, root = datasets.get("desed"), root_of("desed")
  one = prepare.prepare(module, root, tmp_path / "a")
  two = prepare.prepare(module, root, tmp_path / "b")
  assert one.shards == two.shards
  params = prepare.PrepareParams(seed=1)
  other = prepare.prepare(module, root, tmp_path / "c", params=params)
  assert other.shards != one.shards and other.counts == one.counts
  assert other.class_map.names == module.INFO.labels


def test_audio_and_times_survive(root_of, tmp_path):
  """At the set's own rate: 16 bits in, the same samples out."""
  params = prepare.PrepareParams(sample_rate_hz=44_100)
  root = root_of("urban_sed")
  index = prepare.prepare(
    datasets.get("urban_sed"), root, tmp_path / "r", params=params
  )
  reader = records.Reader(index, "train")
  for number in range(3):
    example = reader[number]
    path = root / "audio/train" / example.filename
    np.testing.assert_allclose(
      example.floats(), audio.read(path, sample_rate_hz=44_100), atol=2e-5
    )
    if "uniform1" in example.filename:
      end = len(example.waveform) / 44_100
      assert [(e.start, e.end, e.label) for e in example.events] == [
        (0.0, 0.3, "siren"),
        (0.1, 0.2, "siren"),
        (0.125, end, "gun_shot"),
      ]


def labels_of(notes, *, labels=("Cat", "Dog"), class_map=("Cat", "Dog")):
  names = prepare.names_for(labels, ClassMap(class_map))
  return prepare.labels_of(notes, names, 0.5)


def rows(table):
  return [(e.start, e.end, e.label) for e in table]


def test_tags_leave_open_where_a_class_sounds():
  events, unknown, tags = labels_of(Annotations(tags=[Tag("x", "Cat")]))
  assert not len(events) and tags == {"Cat": 1.0}
  assert rows(unknown) == [(0.0, 1e9, "Cat")]  # and Dog is absent
  absent = labels_of(Annotations(tags=[Tag("x", "Cat", 0.0)]))
  assert not len(absent[1])


def test_no_label_is_nothing_known():
  events, unknown, _ = labels_of(Annotations(durations={"x": 3.0}))
  assert rows(unknown) == [(0.0, 1e9, "")]
  events, unknown, _ = labels_of(Annotations(known_empty=["x"]))
  assert not len(unknown)


def test_soft_labels_become_events_from_min_score():
  soft = [(0, 1, "Cat", 0.6), (1, 2, "Cat", 0.9), (2, 3, "Cat", 0.4)]
  table = EventTable.from_rows(soft)
  events, unknown, _ = labels_of(Annotations(events=table))
  assert rows(events) == [(0.0, 2.0, "Cat")] and not len(unknown)


def test_answers_override_what_is_unknown():
  notes = Annotations(
    unknown=EventTable.from_rows([(0, 10, "")]),
    known=EventTable.from_rows(
      [(0, 1, "Cat", 1.0), (1, 2, "Cat", 1.0), (4, 5, "Dog", 0.0)]
    ),
  )
  events, unknown, _ = labels_of(notes)
  assert rows(events) == [(0.0, 2.0, "Cat")]
  assert rows(unknown) == [
    (2.0, 10.0, "Cat"),
    (0.0, 4.0, "Dog"),
    (5.0, 10.0, "Dog"),
  ]


def test_labels_go_through_the_class_map(root_of, tmp_path):
  """By name, by aliases.csv, or left out; what no label means is unknown."""
  class_map = ClassMap(("Siren", "Bark", "Music"))
  names = prepare.names_for(("siren", "dog_bark", "drilling"), class_map)
  assert names == {"siren": "Siren", "dog_bark": "Bark", "drilling": None}
  index = prepare.prepare(
    datasets.get("urban_sed"),
    root_of("urban_sed"),
    tmp_path / "r",
    class_map=ClassMap((*class_map.names, "Sneeze")),
  )
  reader = records.Reader(index, "train")
  labels = {v for i in range(3) for v in reader[i].events.label}
  assert labels == {"Siren", "Bark"}  # gun_shot is left out
  # street_music is Music; nobody listened for a sneeze.
  assert reader[0].known_labels == ("Siren", "Bark", "Music")


@pytest.mark.parametrize(
  ("seconds", "expected"),
  [(0.4, [0.4]), (1.0, [1.0]), (1.4, [1.4]), (1.6, [1.0, 0.6]), (9.3, None)],
)
def test_long_recordings_come_in_pieces(seconds, expected, tmp_path, write_wav):
  waveform = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 8000))
  path = write_wav(tmp_path / "x.wav", waveform, 8000)
  found = list(prepare.pieces(path, 8000, 1.0))
  expected = expected or [1.0] * 8 + [1.3]
  assert [len(w) / 8000 for _, w in found] == expected
  assert [first for first, _ in found] == [8000 * i for i in range(len(found))]
  np.testing.assert_array_equal(
    np.concatenate([w for _, w in found]), audio.read(path, sample_rate_hz=8000)
  )


# ---- the command line -------------------------------------------------------


@pytest.mark.parametrize(
  ("argv", "words"),
  [
    (["check", "urbansed", "."], "did you mean 'urban_sed'"),
    (["prepare", "coco", ".", "out"], "must be one of audioset_strong"),
    (["prepare", "esc50", "nowhere", "out"], "meta/esc50.csv"),
    (["verify", "nowhere"], "must hold index.json"),
    (
      ["prepare", "music_speech", ".", "o", "--openbmat-columns", "1"],
      "three numbers",
    ),
  ],
)
def test_errors_are_one_line(argv, words, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert command.main(argv) == 1
  error = capsys.readouterr().err
  assert error.count("\n") == 1 and words in error


def test_a_fixture_never_lands_among_other_files(tmp_path, capsys):
  assert command.main(["fixture", "esc50", str(tmp_path / "new")]) == 0
  Path(tmp_path, "mine.wav").touch()
  assert command.main(["fixture", "esc50", str(tmp_path)]) == 1
  assert "new or empty folder" in capsys.readouterr().err
