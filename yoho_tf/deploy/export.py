"""One model -> the files of a target, each judged before it gets its name.

| target | input | precisions | files |
| --- | --- | --- | --- |
| `tflite` | `waveform` or `log_mel` | all four | `NAME.tflite` |
| `saved_model` | `waveform` | float32 | folder `NAME.saved_model` |
| `onnx` | `waveform` or `log_mel` | float32 | `NAME.onnx` |
| `edgetpu` | `log_mel` | int8 | `NAME.frontend.tflite`, `NAME.edgetpu.tflite` |
| `mediapipe` | `waveform` | all four | `NAME.mediapipe.tflite` |
| `stream` | either, of one cell | all but int8 | `NAME.stream.tflite` |

A file is written in a scratch folder, opened, run and compared with the float
network (parity.py); what fails stays as `*.failed.*`. Beside it stand its
report `*.parity.json`, `NAME.labels.txt` and `NAME.params.json`.
"""

import json
import pathlib
import shutil
import tempfile
from dataclasses import replace

from yoho_tf import files
from yoho_tf.deploy import (
  calibration,
  edgetpu,
  float_network,
  folding,
  golden,
  manifest,
  metadata,
  parity,
  runtime,
)
from yoho_tf.deploy.making import Maker
from yoho_tf.deploy.targets import ALL, jobs


def export(
  model,
  *,
  to,
  out,
  precision=None,
  input=None,
  calibrate=None,
  num_calibration=calibration.DEFAULT,
  seed=0,
  permissive_only=True,
  parity_data=None,
  data=None,
  optimizer=None,
  tolerance=None,
  fold_calibration=False,
  with_golden=False,
  overwrite=False,
  name=None,
  weights=None,
  family=None,
  settings=None,
  log=print,
  **options,
) -> list[dict]:
  """Writes the artefacts of a target into a folder.

  Args:
    model, weights, family, settings: of `float_network.load`.
    to: a key of TARGETS, or "all": whatever the network can become.
    out: folder, made where it is missing.
    precision, input: default: the target's first.
    calibrate: `calibration.windows`' source, for int8; default: the records
      of a run, else none. With "all" and none, int8 files take their ranges
      from what the layers can say at most (optimize "fake_quant").
    num_calibration, seed, permissive_only: of the windows.
    parity_data: `examples.examples`' source; default: the records of a run.
    data: like `calibrate`, to train on where a job says `optimize`.
    optimizer: options of `tfmot.optimize`.
    tolerance: `{name: value}`, of `parity.tolerances`.
    fold_calibration: whether the last layer gives calibrated scores
      (folding.py).
    with_golden: also write what an app's test needs (golden.py).
    overwrite: replace files of these names.
    name: of the files; default the model's.
    options: other fields of `Job`.

  Returns:
    The reports; one that did not pass says so.

  Raises:
    ValueError: what cannot be made, with the system, the target and the
      reason; a file that exists.
  """
  out = pathlib.Path(out)
  source = float_network.load(
    model, weights=weights, family=family, settings=settings
  )
  if fold_calibration:
    source = folding.folded(source)
  stem = name or source.name
  wanted = jobs(source.params, to, stem, precision, input, options, log)
  _check_free(out, wanted, overwrite)
  out.mkdir(parents=True, exist_ok=True)
  records = source.run and source.run / "records"
  records = records if records and records.is_dir() else None
  if to == ALL and not (calibrate or records):
    wanted = [
      replace(job, optimize="fake_quant") if job.precision == "int8" else job
      for job in wanted
    ]
  maker = Maker(
    source,
    calibrate or records,
    num_calibration,
    seed,
    permissive_only,
    parity_data or records,
    data or records,
    optimizer or {},
    log,
  )
  reports = []
  for job in wanted:
    log(f"{job.names[-1]}: {job.precision}, from {job.input}")
    reports.append(_finish(maker, job, out, tolerance, with_golden))
    for reason in reports[-1]["reasons"]:
      log(f"{job.names[-1]}: {reason}")
  if any(report["passed"] for report in reports):
    texts = metadata.texts(source.params, source.class_map)
    files.replace_text(out / f"{stem}.labels.txt", texts[metadata.LABELS])
    files.replace_text(out / f"{stem}.params.json", texts[metadata.PARAMS])
  if len(reports) > 1:
    _add_to_manifest(out / manifest.NAME, reports)
  return reports


def _check_free(out, wanted, overwrite):
  if overwrite:
    return
  taken = [
    name
    for job in wanted
    for name in (*job.names, job.report)
    if (out / name).exists()
  ]
  if taken:
    raise ValueError(
      f"out must hold none of the files yet (overwrite replaces them); got "
      f"{', '.join(taken)} in {str(out)!r}"
    )


def _finish(maker, job, out, tolerance, with_golden):
  """Makes, judges and moves one artefact; returns its report."""
  params = maker.source.params
  with tempfile.TemporaryDirectory(prefix=".export.", dir=out) as scratch:
    folder = pathlib.Path(scratch)
    path = maker.write(job, folder)
    calibrated = maker.calibration(job)
    if job.optimize:  # the others change what the network says, too
      tolerance = {**parity.TOLERANCES["int8"], **(tolerance or {})}
    report = parity.report(
      path,
      maker.reference(job),
      params,
      maker.examples(job),
      precision=job.precision,
      input=job.input,
      io=job.io,
      calibration=calibrated and calibrated.facts,
      tolerance=tolerance,
    )
    report = {"target": job.target, **report}
    if job.optimize:
      report["optimize"] = maker.optimized
    if job.target == "edgetpu":
      _edge(report, path, folder)
    passed = report["passed"]
    for made in sorted(folder.iterdir()):
      _move(made, out / (made.name if passed else _failed(made.name)))
    artefact = out / (path.name if passed else _failed(path.name))
    report["artefact"] = artefact.name
    name = job.report if passed else _failed(job.report)
    files.replace_text(out / name, json.dumps(report, indent=2) + "\n")
    if with_golden and passed:
      goldens = out / f"{job.report.removesuffix('.parity.json')}.golden"
      goldens.mkdir(exist_ok=True)
      golden.write(
        goldens,
        runtime.Runtime.open(artefact, num_threads=1),
        replace(params, input=job.input),
        tolerance=report["tolerances"]["max_error"],
      )
  return report


def _edge(report, path, folder):
  """Adds the static check, and the compiler's word where it is installed."""
  checked = edgetpu.check(path.read_bytes())
  compiled = edgetpu.compile(path, folder) if checked.passed else None
  checked = replace(checked, compiled=compiled)
  report["edgetpu"] = {
    "status": checked.status,
    "problems": list(checked.problems),
    "warnings": list(checked.warnings),
  }
  report["reasons"] += list(checked.problems)
  report["passed"] = not report["reasons"]


def _failed(name):
  """ "x.tflite" -> "x.failed.tflite"."""
  stem, ending = name.removesuffix(".parity.json"), ".parity.json"
  if stem == name:
    stem, _, ending = name.rpartition(".")
    ending = f".{ending}"
  return f"{stem}.failed{ending}"


def _move(path, to):
  if to.is_dir():
    shutil.rmtree(to)
  path.replace(to)


def _add_to_manifest(path, reports):
  """Lists every artefact beside the chain of the Edge TPU."""
  body = {}
  if path.is_file():
    body = json.loads(path.read_text(encoding="utf-8"))
  body["artefacts"] = [
    {
      "file": report["artefact"],
      "target": report["target"],
      "precision": report["precision"],
      **report["tensors"],
      "bytes": report["bytes"],
      "sha256": report["sha256"],
      "passed": report["passed"],
    }
    for report in reports
  ]
  files.replace_text(path, json.dumps(body, indent=2) + "\n")
