"""What a killed run needs to go on as if nothing had happened.

Keras' BackupAndRestore leaves out the seeds of dropout and SpecAugment, writes
in place, and deletes its file before the last weights are safe.
"""

import json
from dataclasses import asdict

import keras
import numpy as np

from yoho_tf.files import replace_text, replacing
from yoho_tf.params import TrainingParams, flatten, to_json
from yoho_tf.training import distribution


def check_settings(out, params, training, about):
  """Writes the settings of a new run, or compares them with the old run's.

  Args:
    out: run folder, a `pathlib.Path`.
    about: what else must stay the same, of the material and the teacher.

  Raises:
    ValueError: a setting that differs, with both values.
  """
  texts = {
    "params.json": to_json(params),
    "training.json": json.dumps({**asdict(training), **about}, indent=2),
  }
  for name, text in texts.items():
    path = out / name
    if path.is_file():
      before, now = (flatten(json.loads(t)) for t in (path.read_text(), text))
      if path.name == "training.json":  # of a version with fewer settings
        defaults = json.loads(json.dumps(asdict(TrainingParams())))
        before = {**flatten(defaults), **before}
      changed = [k for k in {**before, **now} if before.get(k) != now.get(k)]
      if changed:
        key = changed[0]
        raise ValueError(
          f"out must be a new folder or a run with the same settings; {name} "
          f"in {str(out)!r} has {key} = {before.get(key)!r}, not "
          f"{now.get(key)!r}"
        )
    elif distribution.is_first_host():
      replace_text(path, text)


class SaveState(keras.callbacks.Callback):
  """Writes the state after each epoch; the last of the callbacks."""

  def __init__(self, path):
    super().__init__()
    self.path = path

  def on_epoch_end(self, epoch, logs=None):
    values = {
      f"v{index}": variable.numpy()
      for index, variable in enumerate(_variables(self.model))
    }
    with replacing(self.path) as part, open(part, "wb") as file:
      np.savez(file, next_epoch=epoch + 1, **values)


def restore(path, model) -> int:
  """Weights, seeds and optimizer as `SaveState` left them.

  Args:
    model: compiled and its optimizer built, of the same params and training
      settings.

  Returns:
    The epoch to go on with.

  Raises:
    ValueError: the file holds another number of variables than the model.
  """
  variables = _variables(model)
  with np.load(path) as saved:
    held = len(saved.files) - 1  # without the epoch
    if held != len(variables):
      raise ValueError(
        f"{path} must hold the {len(variables)} variables of this model and "
        f"its optimizer, once built; it holds {held}"
      )
    for index, variable in enumerate(variables):
      variable.assign(saved[f"v{index}"])
    return int(saved["next_epoch"])


class CsvLog(keras.callbacks.Callback):
  """One row of logs per epoch, appended to a CSV file.

  Args:
    path: of the file.
    next_epoch: rows of it and of later epochs are dropped first, since they
      will be trained again, and so is a torn last row.
  """

  def __init__(self, path, next_epoch: int):
    super().__init__()
    self.path = path
    kept = []
    if path.is_file():
      lines = path.read_text().splitlines(keepends=True)
      for line in lines:
        first = line.split(",")[0]
        if line.endswith("\n") and (
          first == "epoch" or int(first) < next_epoch
        ):
          kept.append(line)
    replace_text(path, "".join(kept))

  def on_epoch_end(self, epoch, logs=None):
    row = {"epoch": epoch, **{k: float(v) for k, v in logs.items()}}
    with open(self.path, "a", encoding="utf-8") as file:
      if not file.tell():
        file.write(",".join(row) + "\n")
      file.write(",".join(map(str, row.values())) + "\n")


def _variables(model):
  """Weights, moving statistics, seeds, then the optimizer's, in fixed order."""
  return [
    *model.trainable_variables,
    *model.non_trainable_variables,
    *model.optimizer.variables,
  ]
