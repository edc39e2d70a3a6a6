"""Callbacks of a training run; Keras only, every backend."""

import ctypes
import json
import math
import pathlib
import sys
import time

import keras
import numpy as np

from yoho_tf.files import replace_text, replacing
from yoho_tf.params import to_json
from yoho_tf.training import distribution, evaluation, tune


class EventEvaluation(keras.callbacks.Callback):
  """Decodes whole validation files at each epoch's end, keeps the best weights.

  Put it before EarlyStopping and loggers: it writes its scores into `logs`,
  those at the fixed threshold as `..._fixed`. What is measured and saved is
  `validation.network`, a float32 copy on one device: the weights that ship,
  whatever the precision and the number of devices of the run. An optimizer
  that keeps an average of the weights has that average measured. A restarted
  run reads `best.json` first, so an older, better epoch is not overwritten.

  Args:
    validation: `evaluation.Validation` with a `network`; the trained model is
      that network's twin by name, or holds it as a layer.
    decode: `({filename: outputs}, params, {filename: seconds})` -> EventTable,
      e.g. `models.yoho.decode_files`.
    params: of the network.
    monitor: a name in `logs`.
    mode: "max" or "min"; NaN never wins.
    every_epochs, first_epoch: each so many epochs from there on, and the last
      one; other epochs repeat the last scores.
    tune: thresholds per label with the best event F1 on these files; a label
      with fewer than 20 events takes the pooled one.
    output_dir: where `best.weights.h5` and `best.json` go.
    restore_best: the model ends with the best weights.
    allow_test: accept the splits "test" and "eval".
    allow_absent: accept labels without a reference event.

  Raises:
    ValueError: a test split, labels without an event, an unknown mode; at an
      epoch's end, a `monitor` that nobody wrote.
  """

  def __init__(
    self,
    validation,
    decode,
    *,
    params,
    monitor="event_f1_macro",
    mode="max",
    every_epochs=1,
    first_epoch=0,
    tune=True,
    output_dir,
    restore_best=True,
    allow_test=False,
    allow_absent=False,
  ):
    super().__init__()
    if validation.split in ("test", "eval") and not allow_test:
      raise ValueError(
        "validation must not be a split to report on (allow_test=True takes "
        f"it); received {validation.split!r}"
      )
    absent = sorted(set(params.labels) - set(validation.reference.label))
    if absent and not allow_absent:
      raise ValueError(
        "validation must hold an event of every label (more files, or "
        f"allow_absent=True); received none of {', '.join(absent)}"
      )
    if mode not in ("max", "min"):
      raise ValueError(f"mode must be max or min; received {mode!r}")
    self.validation = validation
    self.decode = decode
    self.network_params = params  # Keras owns `self.params`
    self.monitor = monitor
    self.sign = 1.0 if mode == "max" else -1.0
    self.every_epochs = every_epochs
    self.first_epoch = first_epoch
    self.tune = tune
    self.folder = pathlib.Path(output_dir)
    self.restore_best = restore_best
    self.best, self.best_epoch = -np.inf, -1
    if (self.folder / "best.json").is_file():
      best = json.loads((self.folder / "best.json").read_text())
      self.best = self.sign * best["metrics"][monitor]
      self.best_epoch = best["epoch"]
    names = evaluation.SCORES
    names += tuple(f"{name}_fixed" for name in names if tune)
    self.scores = dict.fromkeys(names, math.nan)
    self.thresholds = {}

  def on_epoch_end(self, epoch, logs=None):
    logs = {} if logs is None else logs
    is_due = self.is_due(epoch)
    if is_due:
      self._copy_weights()
      self.scores = distribution.agree(self._measure())
    logs.update(self.scores)
    if self.monitor not in logs:
      raise ValueError(
        f"monitor must be one of {', '.join(logs)}; received {self.monitor!r}"
      )
    value = self.sign * float(logs[self.monitor])
    if is_due and value > self.best:
      self.best, self.best_epoch = value, epoch
      if distribution.is_first_host():
        self._save(epoch, logs)

  def is_due(self, epoch) -> bool:
    """Whether an epoch is scored."""
    since = epoch - self.first_epoch + 1
    is_last = epoch + 1 == self.params["epochs"]
    return since > 0 and (since % self.every_epochs == 0 or is_last)

  def on_train_end(self, logs=None):
    path = self.folder / "best.weights.h5"
    distribution.wait("best weights")  # the first host may be writing
    if self.restore_best and path.is_file():
      self.validation.network.load_weights(path)
      self._trained().set_weights(self.validation.network.get_weights())

  def _trained(self):
    """The network under training: the model itself, or a layer of it."""
    name = self.validation.network.name
    return self.model if self.model.name == name else self.model.get_layer(name)

  def _copy_weights(self):
    average = _averages(self.model.optimizer)
    self.validation.network.set_weights(
      [
        average.get(id(weight), weight).numpy()
        for weight in self._trained().weights
      ]
    )

  def _measure(self):
    """Scores at the tuned and at the fixed thresholds, from one decoding."""
    validation, labels = self.validation, self.network_params.labels
    found = self.decode(
      validation.cells(self.network_params),
      evaluation.unthresholded(self.network_params),
      validation.durations,
    )

    def scores_at(thresholds):
      return evaluation.scores(
        validation.reference,
        evaluation.answered(found, thresholds),
        validation.durations,
        labels,
      )

    fixed = dict.fromkeys(labels, 0.5)
    scores = scores_at(fixed)
    self.thresholds = fixed
    if self.tune:
      self.thresholds = tune.thresholds(
        validation.reference, found, list(validation.durations), labels
      )
      scores = {
        **scores_at(self.thresholds),
        **{f"{name}_fixed": value for name, value in scores.items()},
      }
    return scores

  def _save(self, epoch, logs):
    save_weights(self.validation.network, self.folder / "best.weights.h5")
    metrics = {name: float(value) for name, value in logs.items()}
    record = {
      "epoch": epoch,
      "metrics": {k: v for k, v in metrics.items() if math.isfinite(v)},
      "thresholds": self.thresholds,
      "params": json.loads(to_json(self.network_params)),
    }
    replace_text(self.folder / "best.json", json.dumps(record, indent=2))


def _averages(optimizer):
  """`{id(variable): its moving average}`, empty without one."""
  optimizer = getattr(optimizer, "inner_optimizer", optimizer)
  if not getattr(optimizer, "use_ema", False):
    return {}
  # Keras' own SwapEMAWeights reads the same two lists.
  pairs = zip(
    optimizer._trainable_variables,
    optimizer._model_variables_moving_average,
    strict=True,
  )
  return {id(variable): average for variable, average in pairs}


class StopWithoutProgress(keras.callbacks.Callback):
  """Ends training `patience_epochs` after the best epoch, also after a kill.

  Keras' EarlyStopping counts anew in a restarted run; this asks `best.json`
  through the evaluation. An epoch that was not scored ends nothing.

  Args:
    first_epoch: of this stage; epochs before it do not count as patience.
  """

  def __init__(self, evaluation, patience_epochs, *, first_epoch=0, log=None):
    super().__init__()
    self.evaluation = evaluation
    self.patience_epochs = patience_epochs
    self.first_epoch = first_epoch
    self.log = log

  def on_epoch_end(self, epoch, logs=None):
    best = max(self.evaluation.best_epoch, self.first_epoch)
    if not self.evaluation.is_due(epoch) or epoch - best < self.patience_epochs:
      return
    self.model.stop_training = True
    if self.log and epoch + 1 < self.params["epochs"]:
      self.log(
        f"no better score since epoch {best + 1}: the stage ends at epoch "
        f"{epoch + 1} of {self.params['epochs']} (training.patience_epochs)"
      )


class SetEpoch(keras.callbacks.Callback):
  """Tells the batches which epoch it is, also after a restart."""

  def __init__(self, batches):
    super().__init__()
    self.batches = batches

  def on_epoch_begin(self, epoch, logs=None):
    self.batches.epoch = epoch


class Progress(keras.callbacks.Callback):
  """One line per epoch; what was not measured yet is left out."""

  def __init__(self, log):
    super().__init__()
    self.log = log

  def on_epoch_begin(self, epoch, logs=None):
    self.started = time.perf_counter()

  def on_epoch_end(self, epoch, logs=None):
    seconds = time.perf_counter() - self.started
    values = " ".join(
      f"{k} {v:.4f}" for k, v in logs.items() if not math.isnan(v)
    )
    self.log(f"epoch {epoch + 1} {values} {seconds:.0f} s")


class TensorBoard(keras.callbacks.Callback):
  """Scalars of each epoch for TensorBoard; needs no TensorFlow."""

  def __init__(self, folder):
    super().__init__()
    try:
      from tensorboard.summary import Writer
    except ImportError:
      raise ValueError(
        "training.tensorboard needs the package tensorboard; "
        "pip install tensorboard"
      ) from None
    self.writer = Writer(str(folder))

  def on_epoch_end(self, epoch, logs=None):
    for name, value in logs.items():
      self.writer.add_scalar(name, float(value), epoch)
    self.writer.flush()

  def on_train_end(self, logs=None):
    self.writer.close()


def save_weights(model, path) -> None:
  """`model.save_weights`, to a temporary name first."""
  with replacing(path) as part:
    model.save_weights(part)


class KeepFreedMemory(keras.callbacks.Callback):
  """Lets the process keep freed memory, from the first step of an epoch on.

  tf.data's generator source, through which Keras feeds a PyDataset, tells
  glibc to hand memory back above 128 kB: a step then spends half its time in
  page faults (stage 1 of yoho_everyday, batch 16, two cores: 1.03 s, and 0.50
  s with this). Nothing happens where the allocator is another one.
  """

  _MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of malloc.h

  def on_train_batch_end(self, batch, logs=None):
    if batch == 0 and sys.platform == "linux":
      mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
      if mallopt:
        mallopt(self._MMAP_THRESHOLD, 1 << 30)
        mallopt(self._TRIM_THRESHOLD, (1 << 31) - 1)
