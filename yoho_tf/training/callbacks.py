"""Callbacks of a training run; Keras only, every backend."""

import json
import pathlib

import keras
import numpy as np

from yoho_tf.files import replace_text, replacing


class EventEvaluation(keras.callbacks.Callback):
  """Decodes the validation set at each epoch's end and keeps the best weights.

  Put it before loggers, behind `SwapEMAWeights`: it writes its scores into
  `logs`. A restarted run reads `best.json` first, so an older, better epoch is
  never overwritten.

  Args:
    evaluate: `() -> {"event_f1_macro": ..., ...}` on the model as it stands.
    model_to_save: the model whose weights are kept.
    folder: where `best.weights.h5` and `best.json` go.
    monitor: higher is better; NaN never wins.
  """

  def __init__(
    self, evaluate, model_to_save, folder, *, monitor="event_f1_macro"
  ):
    super().__init__()
    self.evaluate = evaluate
    self.model_to_save = model_to_save
    self.folder = pathlib.Path(folder)
    self.monitor = monitor
    self.best = -np.inf
    best = self.folder / "best.json"
    if best.is_file():
      self.best = json.loads(best.read_text())[monitor]

  def on_epoch_end(self, epoch, logs=None):
    found = {k: float(v) for k, v in self.evaluate().items()}
    logs.update(found)
    if found[self.monitor] > self.best:
      self.best = found[self.monitor]
      save_weights(self.model_to_save, self.folder / "best.weights.h5")
      text = json.dumps({"epoch": epoch, **found}, indent=2)
      replace_text(self.folder / "best.json", text)


def save_weights(model, path) -> None:
  """`model.save_weights`, to a temporary name first."""
  with replacing(path) as part:
    model.save_weights(part)
