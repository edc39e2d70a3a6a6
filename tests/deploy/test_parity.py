"""The report: what it measures, and what it lets pass."""

import dataclasses
import json

import numpy as np
import pytest

from tests import small
from tests.conftest import write_wav
from yoho_tf.deploy import examples, judging
from yoho_tf.params import PostprocessParams, YamnetParams

CELLS = 25
LABELS = small.PARAMS.labels
PLAIN = dataclasses.replace(small.PARAMS, postprocess=PostprocessParams())
YAMNET = YamnetParams(labels=tuple("abcde"), num_classes=5)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
  """The signals, and two windows of a recording with labels beside it."""
  folder = tmp_path_factory.mktemp("known")
  size = 2 * CELLS * 5120
  write_wav(folder / "a.wav", small.signal(size / small.RATE)[:size])
  (folder / "a.txt").write_text("1.0\t2.0\tRain\n9.6\t10.88\tSpeech\n")
  return examples.examples(PLAIN, folder)


def cells(known):
  """Events as the labels have them: `[examples, cells, classes, 3]`."""
  from yoho_tf.models import yoho

  found = np.zeros((len(known.names), CELLS, len(LABELS), 3), np.float32)
  for i, table in enumerate(known.events):
    if table is not None:
      found[i] = yoho.encode(table, PLAIN)
  found[..., 0] = 0.1 + 0.8 * found[..., 0]
  return found


def judged(known, wanted, got):
  return judging.judge({"events": wanted}, {"events": got}, PLAIN, known)


LIMITS = {"max_error": 0.1, "top1": 0.85, "event_f1": 1.0, "boundary": 0.02}


def test_examples_carry_their_labels(known):
  assert known.names[13:] == ["a.wav 0 s", "a.wav 8 s"]
  assert known.facts["builtin"] == 13 and known.facts["labelled"] == 2
  first, second = known.events[13:]
  assert [first.start[0], first.end[0], *first.label] == [1.0, 2.0, "Rain"]
  assert second.label.tolist() == ["Speech"]
  np.testing.assert_allclose([second.start[0], second.end[0]], [1.6, 2.88])
  assert {len(w) for w in known.waveforms} == {CELLS * 5120}


def test_without_labels_the_report_says_why(tmp_path):
  write_wav(tmp_path / "a.wav", small.signal(8.0))
  found = examples.examples(PLAIN, tmp_path)
  assert found.facts["labelled"] == 0
  assert "label" in found.facts["unlabelled_because"]
  wanted = cells(found)
  assert judged(found, wanted, wanted)["event_f1"] is None


def test_the_same_outputs_pass(known):
  wanted = cells(known)
  found = judged(known, wanted, wanted.copy())
  assert judging.reasons(found, LIMITS) == []
  assert found["max_error"] == found["boundary_error"] == 0
  assert found["event_f1_float"] == found["event_f1"] == 1.0
  assert found["semantic"]["real event"]["float"] == ["Rain"]
  assert found["semantic"]["silence"]["float"] == []
  json.dumps(found)


def test_errors_are_those_that_were_made(known):
  wanted, got = cells(known), cells(known)
  got[3, 4, 5, 0] += 0.25
  got[13, 4, LABELS.index("Rain"), 1] -= 0.125  # the cell is active
  got[0, :, :, 1:] += 0.5  # where nothing is, boundaries are nobody's
  found = judged(known, wanted, got)
  assert found["max_error"] == pytest.approx(0.25, abs=1e-6)
  assert found["mean_error"] == pytest.approx(0.25 / got[..., 0].size)
  assert found["worst_examples"][0]["name"] == known.names[3]
  num_active = int((wanted[..., 0] > 0.5).sum())
  assert found["outputs"]["start"]["max"] == pytest.approx(0.125, abs=1e-6)
  assert found["boundary_error"] == pytest.approx(0.125 / num_active)
  (reason,) = judging.reasons(found, LIMITS)
  assert "max_error must be at most 0.1; got 0.25" in reason
  for row in found["worst_examples"]:
    assert row["name"] in reason


def test_a_lost_event_fails_by_its_score_and_by_its_label(known):
  wanted, got = cells(known), cells(known)
  got[13, :, LABELS.index("Rain"), 0] = 0.1
  found = judged(known, wanted, got)
  assert found["event_f1_difference"] == pytest.approx(100 * (2 / 3 - 1))
  text = "\n".join(judging.reasons(found, LIMITS))
  assert "event_f1_difference must be at most 1; got -33.3 points" in text
  assert "real event must give the labels ['Rain']; got []" in text


def test_a_sound_that_silence_makes_fails(known):
  wanted, got = cells(known), cells(known)
  got[0, 3, LABELS.index("Fire")] = 0.9, 0.0, 1.0
  text = "\n".join(judging.reasons(judged(known, wanted, got), LIMITS))
  assert "silence must give the labels []; got ['Fire']" in text


def test_a_score_at_the_threshold_may_fall_on_either_side(known):
  wanted, got = cells(known), cells(known)
  wanted[0, 3, LABELS.index("Fire")] = 0.52, 0.0, 1.0
  got[0, 3, LABELS.index("Fire")] = 0.48, 0.0, 1.0
  found = judged(known, wanted, got)
  assert found["semantic"]["silence"]["artefact"] == []
  assert found["semantic"]["silence"]["same"]
  assert judging.reasons(found, LIMITS) == []


def test_the_best_class_may_change_places_with_its_equal():
  known = examples.examples(YAMNET)
  wanted = np.tile(np.float32([0.9, 0.1, 0.1, 0.1, 0.1]), (13, 1))
  wanted[:, 1] = 0.88
  got = wanted.copy()
  got[1, :2] = 0.87, 0.9  # nearly a tie
  got[5, :3] = 0.1, 0.1, 0.95  # another class
  found = judging.judge({"scores": wanted}, {"scores": got}, YAMNET, known)
  assert found["top1_agreement"] == pytest.approx(11 / 13)
  assert found["top1_agreement_margin"] == pytest.approx(12 / 13)
  assert found["event_f1"] is None and found["boundary_error"] is None
  assert found["semantic"]["noise"] == {
    "float": ["a"],
    "artefact": ["b"],
    "same": True,
  }
  assert not found["semantic"]["tone"]["same"]
  text = "\n".join(judging.reasons(found, {**LIMITS, "top1": 0.95}))
  assert "top1_agreement_margin must be at least 0.95; got 0.923" in text


def test_numbers_that_are_none_never_pass():
  """NaN compares with nothing, so each limit is asked the right way round."""
  known = examples.examples(YAMNET)
  wanted = np.zeros((13, 5), np.float32)
  got = np.full_like(wanted, np.nan)
  found = judging.judge({"scores": wanted}, {"scores": got}, YAMNET, known)
  assert any("max_error" in r for r in judging.reasons(found, LIMITS))


# ---- of a file --------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory):
  pytest.importorskip("tensorflow")
  from yoho_tf.deploy import parity

  path = tmp_path_factory.mktemp("report") / "small.tflite"
  path.write_bytes(small.lite_bytes("float32"))
  sounds = examples.examples(small.PARAMS)
  wanted = parity.reference(small.network(), small.PARAMS, sounds)

  def report(max_error=5e-3, **more):  # random weights enlarge rounding errors
    tolerance = {"max_error": max_error, **more}
    return parity.report(
      path,
      wanted,
      small.PARAMS,
      sounds,
      precision="float32",
      tolerance=tolerance,
    )

  return report


def test_a_file_reports_what_it_is(report):
  from yoho_tf.files import sha256

  found = report()
  assert found["passed"] and found["reasons"] == []
  assert found["artefact"] == "small.tflite" and found["format"] == "tflite"
  assert found["system"] == "yoho" and found["family"] == "relu6"
  assert len(found["sha256"]) == len(sha256(__file__))
  assert found["bytes"] == len(small.lite_bytes("float32"))
  names = [name for name, _, _ in found["operators"]]
  assert "RFFT2D" in names and "DEPTHWISE_CONV_2D" in names
  assert found["tensors"]["outputs"]["events"]["shape"] == [1, -1, 8, 3]
  assert {"keras", "ai-edge-litert"} <= {*found["versions"]}
  assert found["tolerances"] == {
    "max_error": 5e-3,
    "top1": 0.99,
    "event_f1": 0.1,
    "boundary": 0.02,
  }
  json.dumps(found)


def test_a_tight_tolerance_fails_and_is_recorded(report):
  from yoho_tf.deploy import parity

  assert parity.tolerances("float32", "log_mel")["max_error"] == 1e-4
  assert parity.tolerances("float32", "waveform")["max_error"] == 1e-3
  found = report(1e-12)
  assert not found["passed"] and found["tolerances_changed"] == ["max_error"]
  assert "max_error must be at most 1e-12" in found["reasons"][0]
  with pytest.raises(ValueError, match="one of max_error.*; got 'worst'"):
    report(worst=1.0)


def test_the_table_has_a_line_for_each(report):
  from yoho_tf.deploy import parity

  rows = [report(), report(0.0)]
  head, first, second = parity.table(rows)
  assert head.split()[:3] == ["artefact", "MB", "max"]
  assert first.endswith("passed") and second.endswith("FAILED")
