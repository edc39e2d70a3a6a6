"""The callback that decodes validation files and keeps the best weights."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from yoho_tf.events import EventTable
from yoho_tf.metrics import event_metrics
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS

keras = pytest.importorskip("keras")

from yoho_tf.training import callbacks, evaluation, resume  # noqa: E402

RATE = 16_000
PARAMS = replace(
  PRESETS["yoho_everyday_small"],
  labels=("low", "high"),
  input="log_mel",
  window_seconds=10 * 0.32,
)


def build():
  """A network of one layer per cell, with YOHO's names and shapes."""
  log_mel = keras.Input((None, 64), name="log_mel")
  x = keras.layers.Reshape((-1, 32 * 64))(log_mel)  # [batch, cells, 2048]
  x = keras.layers.Dense(6, name="head")(keras.layers.Rescaling(0.01)(x))
  logits = keras.layers.Reshape((-1, 2, 3), name="event_logits")(x)
  events = keras.layers.Activation("sigmoid", name="events")(logits)
  return keras.Model(
    {"log_mel": log_mel},
    {"events": events, "event_logits": logits},
    name="yoho",
  )


def recordings(num_files=12, seed=0):
  """Low and high tones in noise: waveforms, reference, durations."""
  rng = np.random.default_rng(seed)
  waveforms, rows = {}, []
  for index in range(num_files):
    name = f"{index}.wav"
    waveform = 1e-3 * rng.normal(size=round(3.2 * RATE))
    for label, frequency in (("low", 300), ("high", 3000)):
      start = 0.32 * rng.integers(0, 6) + 0.02
      end = start + 0.32 * rng.integers(1, 4)
      time = np.arange(round(start * RATE), round(end * RATE)) / RATE
      waveform[round(start * RATE) : round(end * RATE)] += 0.3 * np.sin(
        2 * np.pi * frequency * time
      )
      rows.append((start, end, label, np.nan, name))
    waveforms[name] = waveform.astype("float32")
  durations = dict.fromkeys(waveforms, 3.2)
  return waveforms, EventTable.from_rows(rows), durations


def validation(network, *, split="val"):
  return evaluation.Validation(split, *recordings(), network)


def training_data():
  waveforms, events, _ = recordings(seed=1)
  from yoho_tf.layers.frontend import log_mel_layer

  padded = [evaluation.padded(w, PARAMS) for w in waveforms.values()]
  log_mel = np.asarray(log_mel_layer(PARAMS.frontend)(np.stack(padded)))
  targets = [
    yoho.encode(events[events.filename == name], PARAMS) for name in waveforms
  ]
  return log_mel, np.stack(targets)


def trainer(network, **optimizer):
  model = keras.Model(
    network.input, network(network.input)["event_logits"], name="training"
  )
  model.compile(
    optimizer=keras.optimizers.Adam(3e-2, **optimizer), loss=yoho.loss(PARAMS)
  )
  return model


def fit(model, callback, *, epochs=3, more=()):
  log_mel, targets = training_data()
  return model.fit(
    {"log_mel": log_mel},
    targets,
    batch_size=6,
    epochs=epochs,
    verbose=0,
    shuffle=False,
    callbacks=[callback, *more],
  ).history


def evaluator(folder, *, network=None, **kwargs):
  return callbacks.EventEvaluation(
    validation(network or build()),
    yoho.decode_files,
    params=PARAMS,
    output_dir=folder,
    **kwargs,
  )


def test_scores_are_those_of_predicted_and_decoded_files(tmp_path):
  network = build()
  callback = evaluator(tmp_path)
  history = fit(trainer(network), callback, epochs=4)
  best = json.loads((tmp_path / "best.json").read_text())
  assert set(best) == {"epoch", "metrics", "thresholds", "params"}
  assert best["epoch"] == int(np.argmax(history["event_f1_macro"]))
  assert best["metrics"]["event_f1_macro"] == max(history["event_f1_macro"])
  # Restored: the model itself now scores what the record says, through the
  # model that a user would load.
  from yoho_tf.layers.frontend import log_mel_layer
  from yoho_tf.predictor import YohoModel

  front = log_mel_layer(PARAMS.frontend)
  per_label = {k: {"threshold": v} for k, v in best["thresholds"].items()}
  tuned = replace(
    PARAMS, postprocess=replace(PARAMS.postprocess, per_label=per_label)
  )
  waveforms, reference, _ = recordings()
  for params, suffix in ((tuned, ""), (PARAMS, "_fixed")):
    model = YohoModel(
      "m",
      params,
      lambda x: {
        "events": np.asarray(
          network({"log_mel": front(x["waveform"])})["events"]
        )
      },
    )
    found = [
      model.predict(w).events.replace(filename=n) for n, w in waveforms.items()
    ]
    result = event_metrics(
      reference,
      EventTable.concat(found),
      files=list(waveforms),
      labels=PARAMS.labels,
    )
    assert result["f1_macro"] == pytest.approx(
      best["metrics"][f"event_f1_macro{suffix}"]
    )
  assert (
    best["metrics"]["event_f1_macro"]
    >= (best["metrics"]["event_f1_macro_fixed"])
  )


def test_an_average_of_the_weights_is_measured_and_saved(tmp_path):
  keras.utils.set_random_seed(0)
  network, twin = build(), build()
  model = trainer(network, use_ema=True, ema_momentum=0.5)
  averages = []

  class Watch(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
      averages.append(
        [
          np.asarray(a.value)
          for a in self.model.optimizer._model_variables_moving_average
        ]
      )
      self.live = [np.asarray(w.value) for w in network.weights]

  watch = Watch()
  callback = evaluator(tmp_path, network=twin, restore_best=False)
  fit(model, callback, epochs=3, more=[watch])
  best = json.loads((tmp_path / "best.json").read_text())["epoch"]
  saved = build()
  saved.load_weights(tmp_path / "best.weights.h5")
  for value, average in zip(saved.get_weights(), averages[best], strict=True):
    np.testing.assert_array_equal(value, average)
  # Training itself went on from the weights, not from their average.
  assert np.abs(watch.live[0] - averages[-1][0]).max() > 1e-5


def test_epochs_between_evaluations_repeat_the_scores(tmp_path):
  callback = evaluator(tmp_path, every_epochs=2, first_epoch=1)
  measured = []
  callback._measure = lambda: (
    measured.append(1) or dict.fromkeys(callback.scores, len(measured) / 10)
  )
  scores = fit(trainer(build()), callback, epochs=6)["event_f1_macro"]
  # The last epoch counts, though it is one too early.
  np.testing.assert_equal(scores, [np.nan, np.nan, 0.1, 0.1, 0.2, 0.3])


def test_training_ends_without_progress(tmp_path):
  callback = evaluator(tmp_path)
  callback.best, callback.best_epoch = 2.0, 1  # nothing beats an F1 of 2
  lines = []
  stop = callbacks.StopWithoutProgress(callback, 3, log=lines.append)
  history = fit(trainer(build()), callback, epochs=9, more=[stop])
  assert len(history["loss"]) == 5  # the best epoch, 1, and three more
  (line,) = lines
  assert "since epoch 2" in line and "ends at epoch 5 of 9" in line


def test_training_ends_at_no_epoch_that_was_not_scored(tmp_path):
  callback = evaluator(tmp_path, every_epochs=4)
  callback.best, callback.best_epoch = 2.0, 1
  stop = callbacks.StopWithoutProgress(callback, 3)
  history = fit(trainer(build()), callback, epochs=9, more=[stop])
  assert len(history["loss"]) == 8


@pytest.mark.parametrize("split", ["test", "eval"])
def test_a_test_split_is_refused(tmp_path, split):
  def make(**kwargs):
    return callbacks.EventEvaluation(
      validation(None, split=split),
      yoho.decode_files,
      params=PARAMS,
      output_dir=tmp_path,
      **kwargs,
    )

  with pytest.raises(ValueError, match=f"allow_test.*'{split}'"):
    make()
  make(allow_test=True)


def test_labels_without_an_event_are_refused(tmp_path):
  params = replace(PARAMS, labels=("low", "high", "bark", "meow"))

  def make(**kwargs):
    return callbacks.EventEvaluation(
      validation(None),
      yoho.decode_files,
      params=params,
      output_dir=tmp_path,
      **kwargs,
    )

  with pytest.raises(ValueError, match="none of bark, meow"):
    make()
  make(allow_absent=True)


def test_bad_monitor_and_mode(tmp_path):
  with pytest.raises(ValueError, match="mode must be max or min.*'best'"):
    evaluator(tmp_path, mode="best")
  with pytest.raises(ValueError, match="monitor must be one of.*'event_f2'"):
    fit(trainer(build()), evaluator(tmp_path, monitor="event_f2"))


def test_lower_is_better_where_asked(tmp_path):
  callback = evaluator(tmp_path, monitor="loss", mode="min")
  losses = fit(trainer(build()), callback)["loss"]
  best = json.loads((tmp_path / "best.json").read_text())
  assert best["epoch"] == int(np.argmin(losses))


def test_windows_of_long_files_are_stitched_as_in_prediction():
  from yoho_tf.predictor import YohoModel

  network = build()
  rng = np.random.default_rng(0)
  waveforms = {
    f"{size}.wav": rng.normal(size=size).astype("float32") * 0.1
    for size in (500_000, 700_001, 48_000, 5_000)
  }
  predict = evaluation.keras_predict(network, PARAMS)
  cells = evaluation.predict_cells(predict, waveforms, PARAMS)
  model = YohoModel(
    "m", PARAMS, lambda x: {"events": np.asarray(predict(x["waveform"]))}
  )
  for name, waveform in waveforms.items():
    np.testing.assert_allclose(
      cells[name][..., 0], model.predict(waveform).scores, atol=1e-6
    )


def test_the_log_of_a_restarted_run_repeats_no_epoch(tmp_path):
  path = tmp_path / "log.csv"
  resume.CsvLog(path, 0)  # killed before its first row
  log = resume.CsvLog(path, 0)
  for epoch in range(3):
    log.on_epoch_end(epoch, {"loss": 3.5 - epoch, "f1": np.float32(0.5)})
  with open(path, "a") as file:
    file.write("3,0.")  # killed while writing
  log = resume.CsvLog(path, 2)
  log.on_epoch_end(2, {"loss": 1.25, "f1": np.nan})
  assert path.read_text() == (
    "epoch,loss,f1\n0,3.5,0.5\n1,2.5,0.5\n2,1.25,nan\n"
  )


KILLED = """
import os, signal, sys, keras
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.training.test_event_evaluation import *
folder, at = Path(sys.argv[2]), int(sys.argv[3])
keras.utils.set_random_seed(7)
model = trainer(build(), use_ema=True, ema_momentum=0.5)

class Kill(keras.callbacks.Callback):
  def on_epoch_end(self, epoch, logs=None):
    if epoch == at:
      os.kill(os.getpid(), signal.SIGKILL)

state = folder / "state.npz"
start = resume.restore(state, model) if state.is_file() else 0
log_mel, targets = training_data()
callback = evaluator(folder)
print("best", callback.best, callback.best_epoch)
history = model.fit({"log_mel": log_mel}, targets, batch_size=6, epochs=3,
  initial_epoch=start, verbose=0, shuffle=False,
  callbacks=[callback, Kill(), resume.SaveState(state)]).history
print("losses", *history["loss"])
print("scores", *history["event_f1_macro"])
"""


def run_and_kill(tmp_path, repository, backend):
  """Whole, killed in epoch 1 (of 0..2), and restarted."""

  def start(folder, at):
    folder.mkdir(exist_ok=True)
    return subprocess.run(
      [sys.executable, "-c", KILLED, str(repository), str(folder), str(at)],
      env={**os.environ, "KERAS_BACKEND": backend},
      cwd=repository,
      capture_output=True,
      text=True,
    )

  def numbers(done, word):
    line = next(x for x in done.stdout.splitlines() if x.startswith(word))
    return [float(x) for x in line.split()[1:]]

  whole = start(tmp_path / "whole", -1)
  assert whole.returncode == 0, whole.stderr
  killed = start(tmp_path / "killed", 1)
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  before = json.loads((tmp_path / "killed/best.json").read_text())
  again = start(tmp_path / "killed", -1)
  assert again.returncode == 0, again.stderr
  # It knew the best of the killed run, and went on with its curve.
  assert numbers(again, "best")[0] == before["metrics"]["event_f1_macro"]
  for word in ("losses", "scores"):
    np.testing.assert_allclose(
      numbers(again, word), numbers(whole, word)[1:], rtol=1e-5
    )
  best = [
    json.loads((tmp_path / name / "best.json").read_text())
    for name in ("whole", "killed")
  ]
  assert best[0]["epoch"] == best[1]["epoch"]
  for label, threshold in best[0]["thresholds"].items():
    assert best[1]["thresholds"][label] == pytest.approx(threshold, rel=1e-4)
  network = build()
  weights = []
  for name in ("whole", "killed"):
    network.load_weights(tmp_path / name / "best.weights.h5")
    weights.append(network.get_weights())
  for one, other in zip(*weights, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.large
def test_killed_and_restarted(tmp_path, repository):
  run_and_kill(tmp_path, repository, keras.backend.backend())


@pytest.mark.large
def test_killed_and_restarted_under_jax(tmp_path, repository):
  pytest.importorskip("jax")
  run_and_kill(tmp_path, repository, "jax")
