"""Published tables read without options; other packages read ours."""

import time
import warnings

import numpy as np
import pytest

from yoho_tf.annotations import Annotations
from yoho_tf.events import EventTable
from yoho_tf.formats import FORMATS
from yoho_tf.metrics.psds import psds_metrics
from yoho_tf.params import PSDSParams
from yoho_tf.readers import read
from yoho_tf.writers import write

EXACT = [
  name
  for name, kind in FORMATS.items()
  if kind.can_write()
  and "start" in kind.keeps
  and kind.opens == "file"
  and not kind.precision_seconds
  and name not in ("audioset_strong", "maestro_windows", "maestro_soft")
]


@pytest.fixture(name="desed", scope="module")
def desed_fixture(shared):
  folder = shared / "metrics" / "desed_student"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data/metrics")
  return folder


def test_desed_tables_and_what_is_published_of_them(desed):
  reference = read(desed / "validation.tsv")
  assert len(reference.events) == 4224 and len(reference.known_empty) == 15
  assert len(reference.filenames) == 1168
  durations = read(desed / "validation_durations.tsv").durations
  assert sum(durations.values()) == pytest.approx(11574.2, abs=1e-6)
  begin = time.process_time()
  points = read(desed / "predictions_operating_points")
  seconds = time.process_time() - begin
  assert len(points) == 50 and min(points) == 0.01
  assert sum(len(part.events) for part in points.values()) == 174_730
  assert len(read(desed / "predictions0.5.csv").events) == 3312
  assert seconds < 20  # about 1 s; the limit is for a busy machine
  params = PSDSParams(dtc=0.7, gtc=0.7, alpha_ct=0, alpha_st=1)
  found = psds_metrics(
    reference,
    points,
    durations=desed / "validation_durations.tsv",
    params=params,
  )
  assert found["psds"] == pytest.approx(0.33446856021631743, abs=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_desed_through_every_exact_format(desed, tmp_path, name):
  whole = read(desed / "validation.tsv")
  # All of the recordings in one file, the first 40 as files of their own.
  kind = FORMATS[name]
  if kind.per_recording:
    names = set(whole.filenames[:40])
    rows = np.array([x in names for x in whole.events.filename])
    whole = Annotations(
      whole.events[rows],
      known_empty=[x for x in whole.known_empty if x in names],
    )
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    path = tmp_path if kind.per_recording else tmp_path / "x"
    write(whole, path, format=name)
  found = read(tmp_path if kind.per_recording else path, format=name)
  assert found.events.replace(track="").sort() == whole.events.sort()
  assert set(found.known_empty) == set(whole.known_empty)


def test_psds_eval_examples(shared):
  folder = shared / "metrics" / "psds_eval" / "examples"
  points = read(folder / "baseline_*.csv")
  assert list(points) == [i / 10 for i in range(1, 11)]
  assert not len(points[1.0].events) and len(points[0.1].events) == 3829
  assert len(read(folder / "dcase2019t4_gt.csv").events) == 4236
  assert len(read(folder / "dcase2019t4_meta.csv").durations) == 1168


def test_sed_eval_lists(shared):
  folder = shared / "metrics" / "sed_eval" / "sound_event"
  found = {}
  for path in sorted(folder.glob("*.txt")):
    if not path.name.startswith("file_list"):
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one event without length
        found[path.stem] = read(path)
  assert len(found) == 21
  counts = {name: len(notes.events) for name, notes in found.items()}
  assert counts["audioset1"] == 17 and counts["office_snr0_high_v2"] == 68
  assert counts["street_fold1_reference"] == 142
  assert set(found["street_fold1_reference"].extras["scene"]) == {"street"}
  assert found["binary2"].known_empty == ("binary2.wav",)
  assert len(found["binary5"].known_empty) == 2


def table_of_dogs():
  return EventTable.from_columns(
    filename="a.wav",
    start=[0.1, 1.0],
    end=[0.7, 1 / 3 + 2],
    label=["None", 'a "dog"'],
    score=[0.25, 0.5],
    low_hz=[100.0, 0.0],
    high_hz=[2000.0, 8000.0],
  )


def test_pandas_reads_our_tsv(tmp_path):
  pd = pytest.importorskip("pandas")
  table = table_of_dogs()
  with pytest.warns(UserWarning, match="cannot hold low_hz"):
    write(table, tmp_path / "x.tsv", format="desed_strong")
  path = tmp_path / "x.tsv"
  found = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
  assert found["event_label"].tolist() == table.label.tolist()
  assert list(map(float, found["offset"])) == table.end.tolist()


def test_jams_validates_and_reads_our_jams(tmp_path):
  jams = pytest.importorskip("jams", reason="the package jams is absent")
  table = table_of_dogs()
  notes = Annotations(table, durations={"a.wav": 10.0}, tags=[("a.wav", "x")])
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    write(notes, tmp_path / "a.jams")
  found = jams.load(str(tmp_path / "a.jams"), validate=True, strict=True)
  events = found.search(namespace="segment_open")[0].data
  assert [o.time for o in events] == table.start.tolist()
  assert [o.value for o in events] == table.label.tolist()
  assert [o.confidence for o in events] == table.score.tolist()
  assert found.file_metadata.duration == 10.0
  annotation = jams.Annotation(namespace="segment_open")
  annotation.append(time=1.5, duration=0.5, value="dog", confidence=0.5)
  theirs = jams.JAMS(annotations=[annotation])
  theirs.file_metadata.duration = 4.0
  theirs.save(str(tmp_path / "b.jams"))
  back = read(tmp_path / "b.jams")
  assert [e[:4] for e in back.events] == [(1.5, 2.0, "dog", 0.5)]


def test_crowsetta_reads_our_raven_and_audacity(tmp_path):
  crowsetta = pytest.importorskip(
    "crowsetta", reason="the package crowsetta is absent"
  )
  # Their pandas takes a label "None" for a missing one.
  table = table_of_dogs().replace(label=["owl", 'a "dog"'])
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    write(table, tmp_path / "r.txt", format="raven")
    write(table, tmp_path / "a.txt", format="audacity")
  raven = crowsetta.formats.bbox.raven.Raven.from_file(
    tmp_path / "r.txt", annot_col="Annotation"
  )
  audacity = crowsetta.formats.bbox.audbbox.AudBBox.from_file(
    tmp_path / "a.txt"
  )
  for boxes in (raven.to_bbox(), audacity.to_bbox()):
    assert [b.onset for b in boxes] == table.start.tolist()
    assert [b.offset for b in boxes] == pytest.approx(table.end.tolist())
    assert [b.low_freq for b in boxes] == table.low_hz.tolist()
    assert [b.high_freq for b in boxes] == table.high_hz.tolist()
    assert [b.label for b in boxes] == table.label.tolist()
