"""From trained weights to a model that ships: tuning, `.tflite`, facts."""

import json
import pathlib
from dataclasses import replace

import keras
import numpy as np

from yoho_tf import files
from yoho_tf.deploy import keras_file, litert
from yoho_tf.labels import ClassMap
from yoho_tf.models import yoho
from yoho_tf.params import to_json
from yoho_tf.training import (
  baselines,
  calibrate,
  evaluation,
  fit,
  held_out,
  tune,
)
from yoho_tf.training.callbacks import save_weights


def finish(
  network,
  params,
  training,
  *,
  name,
  material,
  out_folder,
  facts=None,
  log=print,
):
  """Tunes on validation files, reports on test files, writes `<name>.*`.

  Writes `<name>.sources.csv` (attribution), `<name>.weights.h5`,
  `<name>.keras` (front end, class map and params inside), `<name>.params.json`
  and, under TensorFlow, `<name>.tflite` (float16 network, float32 front end,
  class map and tuned params inside) and `<name>.json` (facts for `yoho
  models`). Where the material has test files, their scores go into
  `test.json`, beside chance and the network before training.

  Args:
    network: float32, with `input="log_mel"`, as `fit.train` returns it.
    material: of `fit.train`.
    facts: more entries of the JSON, e.g. description and licence.

  Returns:
    The params with tuned post-processing.
  """
  out = pathlib.Path(out_folder)
  validation = material.tuning(network)
  reference, durations = validation.reference, validation.durations
  log(f"tuning on {len(durations)} validation files")
  untuned = params
  params, cells = tuned(validation, params)
  if material.negatives:
    params = limited(material.negatives(network), params, training, log=log)
  after = _scores(validation, cells, params)
  for title, values in (
    ("untuned", _scores(validation, cells, untuned)),
    ("tuned", after),
  ):
    log(f"{title} " + " ".join(f"{k} {v:.3f}" for k, v in values.items()))
  errors = calibrate.calibration_errors(cells, reference, durations, params)
  log(
    "calibration error " + " ".join(f"{k} {v:.3f}" for k, v in errors.items())
  )
  class_map = ClassMap.for_names(params.labels)
  files.replace_text(out / f"{name}.sources.csv", material.attribution)
  save_weights(network, out / f"{name}.weights.h5")
  keras_file.write(network, params, out / f"{name}.keras", class_map=class_map)
  files.replace_text(
    out / f"{name}.params.json", to_json(replace(params, input="waveform"))
  )
  if material.test:
    report(network, untuned, params, material, out, log=log)
  if keras.backend.backend() != "tensorflow":
    log(
      f"no {name}.tflite: it needs TensorFlow; the same command under "
      "KERAS_BACKEND=tensorflow trains nothing again and writes it"
    )
    return params
  data = litert.tflite(network, params, class_map=class_map)
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


def tuned(validation, params):
  """Params fitted to the files, and the outputs they were fitted to."""
  cells = validation.cells(params)
  params = tune.tune(cells, validation.reference, validation.durations, params)
  return params, cells


def limited(negatives, params, training, *, log=print):
  """Params with the thresholds that `training.max_false_per_minute` asks for.

  Args:
    negatives: `evaluation.Validation` of `held_out.negatives`.
  """
  cells = negatives.cells(params)

  def false(params):
    found = yoho.decode_files(cells, params, negatives.durations)
    return held_out.false_events(found, negatives)

  found, counts = false(evaluation.at_threshold(params, 0.0))
  minutes = counts["all"]["minutes"]
  before, most = params, training.max_false_per_minute
  params = tune.limited(params, found, minutes, most)
  rates = [false(p)[1]["all"]["per_minute"] for p in (before, params)]
  log(
    f"false events per minute of {minutes:.0f} minutes: {rates[0]:.2f}; at "
    f"most {most:g} of each class: {rates[1]:.2f}"
  )
  return params


def _scores(validation, cells, params):
  estimate = yoho.decode_files(cells, params, validation.durations)
  return evaluation.scores(
    validation.reference, estimate, validation.durations, params.labels
  )


def report(network, untuned, params, material, out, *, log=print) -> None:
  """Scores on test files, printed and written to `test.json`.

  Args:
    network, params: trained and tuned.
    untuned: the params before tuning; the network before training, of
      `initial.weights.h5`, is tuned the same way.
    out: the run folder.
  """
  test = material.test(network)

  def events(network, params):
    cells = replace(test, network=network).cells(params)
    return yoho.decode_files(cells, params, test.durations)

  found = events(network, params)
  estimates = {
    "trained": found,
    "chance: answers of another file": baselines.shuffled(
      found, test.durations, seed=0
    ),
    "chance: always active": baselines.always_active(
      test.durations, params.labels
    ),
  }
  if (out / fit.INITIAL).is_file():
    start = yoho.build(untuned)
    start.load_weights(out / fit.INITIAL)
    start_params, _ = tuned(material.tuning(start), untuned)
    estimates["before training"] = events(start, start_params)
  table = baselines.rows(
    test.reference, estimates, test.durations, params.labels
  )
  hours = sum(test.durations.values()) / 3600
  log(
    f"test: {len(test.durations)} files, {hours:.2f} h, "
    f"{len(test.reference)} events"
  )
  for line in baselines.lines(table):
    log(line)
  for line in baselines.class_lines(table, params.labels):
    log(line)
  files.replace_text(
    out / "test.json", json.dumps(baselines.plain(table), indent=2) + "\n"
  )


def _check(path, params, cells, waveforms, log):
  """The artefact against Keras on real scenes; more than 0.02 apart fails."""
  from yoho_tf.deploy import runtime

  network = runtime.LiteRt(path)
  worst = 0.0
  some = {key: waveforms[key] for key in list(waveforms)[:20]}
  found = evaluation.predict_cells(
    lambda windows: network({"waveform": windows})[params.output],
    some,
    params,
    batch_size=1,
  )
  for key, got in found.items():
    worst = max(worst, float(np.abs(got - cells[key]).max()))
  log(
    f"{path.name}: largest difference from Keras {worst:.5f} on {len(some)} "
    "files"
  )
  if worst > 0.02:
    path.rename(path.with_suffix(".failed.tflite"))
    raise ValueError(
      f"{path.name} must agree with Keras within 0.02; got {worst:.4f}"
    )
