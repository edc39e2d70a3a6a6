"""One model -> the files of a target, each judged before it gets its name.

| target | input | precisions | files |
| --- | --- | --- | --- |
| `tflite` | `waveform` or `log_mel` | all four | `NAME.tflite` |
| `saved_model` | `waveform` | float32 | folder `NAME.saved_model` |
| `onnx` | `waveform` or `log_mel` | float32 | `NAME.onnx` |
| `edgetpu` | `log_mel` | int8 | `NAME.frontend.tflite`, `NAME.edgetpu.tflite` |
| `mediapipe` | `waveform` | all four | `NAME.mediapipe.tflite` |
| `stream` | `log_mel` of a cell | all but int8 | `NAME.stream.tflite` |

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
  examples,
  float_network,
  golden,
  litert,
  manifest,
  metadata,
  optimize,
  parity,
  runtime,
  stateful,
)
from yoho_tf.deploy.targets import ALL, jobs, own_frames
from yoho_tf.params import YohoParams


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
  parity_data=None,
  data=None,
  optimizer=None,
  tolerance=None,
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
    num_calibration, seed: of the windows.
    parity_data: `examples.examples`' source; default: the records of a run.
    data: like `calibrate`, to train on where a job says `optimize`.
    optimizer: options of `tfmot.optimize`.
    tolerance: `{name: value}`, of `parity.tolerances`.
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
  maker = _Maker(
    source,
    calibrate or records,
    num_calibration,
    seed,
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


# ---- making them -------------------------------------------------------------


class _Maker:
  """Makes artefacts; calibration windows and examples once per length."""

  def __init__(
    self,
    source,
    calibrate,
    num_calibration,
    seed,
    parity,
    data,
    optimizer,
    log,
  ):
    self.source, self.calibrate, self.log = source, calibrate, log
    self.num_calibration, self.seed = num_calibration, seed
    self.parity_data = parity
    self.data, self.optimizer, self.optimized = data, optimizer, None
    self._calibrations, self._examples, self._references = {}, {}, {}

  def frames(self, job):
    """Of an artefact of one length, else None."""
    params = self.source.params
    if job.target in ("edgetpu", "mediapipe"):
      return job.frames or own_frames(params)
    return job.frames

  def _size(self, job):
    """Samples of a window: a free length and our own have the same ones."""
    return calibration.window_samples(self.source.params, self.frames(job))

  def calibration(self, job):
    if not job.needs_calibration:
      return None
    if self.calibrate is None:
      raise ValueError(
        "calibration must be given for int8: a folder of training material, "
        f"or {calibration.SYNTHETIC!r}"
      )
    size = self._size(job)
    if size not in self._calibrations:
      self._calibrations[size] = self._windows(job, self.calibrate)
    return self._calibrations[size]

  def _windows(self, job, source):
    self.log(f"calibration windows of {source}")
    found = calibration.windows(
      source,
      self.source.params,
      num_windows=self.num_calibration,
      seed=self.seed,
      frames=self.frames(job),
    )
    calibration.check_apart(found, self.examples(job).digests)
    return found

  def network(self, job):
    """To convert, and what `litert.tflite` is to be told besides."""
    if job.optimize is None:
      return self.source.network, {}

    def windows():
      if self.data is None:
        raise ValueError(
          f"data must be given for optimize {job.optimize}: a folder of "
          f"training material, or {calibration.SYNTHETIC!r}"
        )
      return self._windows(job, self.data).waveforms

    network, how, self.optimized = optimize.apply(
      job,
      self.source,
      windows,
      options=self.optimizer,
      frames=self.frames(job),
      log=self.log,
    )
    return network, how

  def examples(self, job):
    size = self._size(job)
    if size not in self._examples:
      self._examples[size] = examples.examples(
        self.source.params, self.parity_data, frames=self.frames(job)
      )
    return self._examples[size]

  def write(self, job, folder):
    """Makes the files of a job in a folder; returns what to open."""
    _, network, params, class_map, _ = self.source
    path = folder / job.names[-1]
    calibrated = self.calibration(job)
    options = dict(
      class_map=class_map,
      precision=job.precision,
      representative=calibrated and calibrated.waveforms,
      transform=job.transform,
      allow_relu_int8=job.allow_relu_int8,
      frames=self.frames(job),
    )
    if job.target == "saved_model":
      from yoho_tf.deploy import saved_model

      saved_model.write(network, params, path, class_map=class_map)
    elif job.target == "onnx":
      from yoho_tf.deploy import onnx

      onnx.write(
        network,
        params,
        path,
        class_map=class_map,
        input=job.input,
        frames=job.frames,
        dynamic_batch=job.dynamic_batch,
        outputs=job.outputs,
      )
    elif job.target == "mediapipe":
      from yoho_tf.deploy import mediapipe

      path.write_bytes(
        mediapipe.tflite(network, params, name=job.stem, **options)
      )
    elif job.target == "stream":
      path.write_bytes(
        stateful.tflite(
          network,
          params,
          class_map=class_map,
          precision=job.precision,
          allow_relu_int8=job.allow_relu_int8,
        )
      )
    else:
      is_edge = job.target == "edgetpu"
      network, how = self.network(job)
      data = litert.tflite(
        network,
        params,
        input=job.input,
        io=job.io,
        outputs=job.outputs,
        per_tensor_dense=is_edge,
        **{**options, **how},
      )
      path.write_bytes(data)
      if is_edge:
        front = litert.front_end(params, frames=self.frames(job))
        (folder / job.names[0]).write_bytes(front)
        manifest.write(folder / manifest.NAME, job.names)
    return path

  def reference(self, job):
    """What the float network gives where the artefact gives the same."""
    network, params = self.source.network, self.source.params
    pooled = job.target == "mediapipe" and isinstance(params, YohoParams)
    key = self._size(job), pooled
    if key not in self._references:
      if pooled:
        from yoho_tf.deploy import mediapipe

        network = mediapipe.window_scores(network, params)
      self._references[key] = parity.reference(
        network, params, self.examples(job)
      )
    return self._references[key]


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
