"""From trained weights to a model that ships: tuning, `.tflite`, facts."""

import json
import pathlib
from dataclasses import replace

import keras
import numpy as np

from yoho_tf import files
from yoho_tf.data import sources
from yoho_tf.deploy import litert
from yoho_tf.labels import ClassMap
from yoho_tf.params import to_json
from yoho_tf.training import calibrate, evaluation, tune
from yoho_tf.training.callbacks import save_weights


def finish(
  network,
  params,
  training,
  *,
  name,
  train_pool,
  validation_pool,
  out_folder,
  facts=None,
  log=print,
):
  """Tunes on validation scenes and writes `<name>.*` into `out_folder`.

  Writes `<name>.sources.csv` (attribution), `<name>.weights.h5`,
  `<name>.params.json` and, under TensorFlow, `<name>.tflite` (float16 network,
  float32 front end, class map and tuned params inside) and `<name>.json`
  (facts for `yoho models`).

  Args:
    network: float32, with `input="log_mel"`, as `fit.train` returns it.
    train_pool, validation_pool: `SourcePool` of the splits; the first is
      listed, on the second the post-processing is fitted.
    facts: more entries of the JSON, e.g. description and licence.

  Returns:
    The params with tuned post-processing.
  """
  out = pathlib.Path(out_folder)
  validation = evaluation.Validation.of_scenes(
    network,
    validation_pool,
    params,
    training,
    num_scenes=training.num_tuning_scenes,
  )
  reference, durations = validation.reference, validation.durations
  log(f"tuning on {len(durations)} validation scenes")
  cells = validation.cells(params)

  def scores(params):
    estimate = evaluation.decode_all(cells, params, durations)
    return evaluation.scores(reference, estimate, durations, params.labels)

  before = scores(params)
  params = tune.tune(cells, reference, durations, params)
  after = scores(params)
  for title, values in (("untuned", before), ("tuned", after)):
    log(f"{title} " + " ".join(f"{k} {v:.3f}" for k, v in values.items()))
  errors = calibrate.calibration_errors(cells, reference, durations, params)
  log(
    "calibration error " + " ".join(f"{k} {v:.3f}" for k, v in errors.items())
  )

  files.replace_text(
    out / f"{name}.sources.csv", sources.attribution(train_pool)
  )
  save_weights(network, out / f"{name}.weights.h5")
  files.replace_text(
    out / f"{name}.params.json", to_json(replace(params, input="waveform"))
  )
  if keras.backend.backend() != "tensorflow":
    log(
      f"no {name}.tflite: it needs TensorFlow; the same command under "
      "KERAS_BACKEND=tensorflow trains nothing again and writes it"
    )
    return params
  class_map = ClassMap.for_names(params.labels)
  data = litert.yoho(network, params, class_map=class_map)
  files.replace_bytes(out / f"{name}.tflite", data)
  facts = {
    "name": name,
    "classes": len(params.labels),
    "labels": list(params.labels),
    "bytes": len(data),
    "sha256": {
      f.name: files.sha256(f)
      for f in (out / f"{name}.tflite", out / f"{name}.weights.h5")
    },
    "validation": {k: round(float(v), 4) for k, v in after.items()},
    "calibration_error": {k: round(float(v), 4) for k, v in errors.items()},
    **(facts or {}),
  }
  files.replace_text(out / f"{name}.json", json.dumps(facts, indent=2) + "\n")
  _check(out / f"{name}.tflite", params, cells, validation.waveforms, log)
  return params


def _check(path, params, cells, waveforms, log):
  """The artefact against Keras on real scenes; more than 0.02 apart fails."""
  from yoho_tf.deploy import runtime

  network = runtime.LiteRt(path)
  worst = 0.0
  for key in list(waveforms)[:20]:
    waveform = evaluation.padded(waveforms[key], params)
    got = network({"waveform": waveform[None]})["events"][0]
    worst = max(worst, float(np.abs(got - cells[key]).max()))
  log(f"{path.name}: largest difference from Keras {worst:.5f} on 20 scenes")
  if worst > 0.02:
    path.rename(path.with_suffix(".failed.tflite"))
    raise ValueError(
      f"{path.name} must agree with Keras within 0.02; got {worst:.4f}"
    )
