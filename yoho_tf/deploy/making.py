"""Makes the files of a job, and what they are judged against.

Calibration windows, examples and references are made once per length.
"""

from yoho_tf.deploy import (
  calibration,
  examples,
  litert,
  manifest,
  optimize,
  parity,
  stateful,
)
from yoho_tf.deploy.targets import own_frames
from yoho_tf.params import YohoParams


class Maker:
  """Makes artefacts; calibration windows and examples once per length."""

  def __init__(
    self,
    source,
    calibrate,
    num_calibration,
    seed,
    permissive_only,
    parity,
    data,
    optimizer,
    log,
  ):
    self.source, self.calibrate, self.log = source, calibrate, log
    self.num_calibration, self.seed = num_calibration, seed
    self.permissive_only = permissive_only
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
      permissive_only=self.permissive_only,
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
          input=job.input,
          transform=job.transform,
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
