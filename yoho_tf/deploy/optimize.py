"""What an export may do to a network before it converts it.

| method | what | where |
| --- | --- | --- |
| `fake_quant` | int8 whose ranges need no calibration (quantize.py) | here |
| `qat` | int8 after training with its roundings (tfmot.py) | own process |
| `prune`, `cluster` | zeros, few values: compressed, smaller | own process |
"""

import numpy as np

from yoho_tf.deploy import keras_file, tfmot

METHODS = ("fake_quant", *tfmot.METHODS)
INT8 = ("fake_quant", "qat")  # they know the ranges
_BATCH = 16


def refusal(job) -> str | None:
  """Why a `targets.Job` cannot be optimised as it says, or None."""
  if job.optimize is None:
    return None
  targets = ("tflite", "edgetpu")[: 2 if job.optimize == "fake_quant" else 1]
  for ok, reason in (
    (
      job.optimize in METHODS,
      f"optimize must be {' or '.join(METHODS)}; got {job.optimize!r}",
    ),
    (
      job.target in targets,
      f"optimize {job.optimize} is for {' and '.join(targets)}",
    ),
    (
      job.optimize not in INT8 or job.precision == "int8",
      f"optimize {job.optimize} is for precision int8; got {job.precision}",
    ),
    (
      job.optimize != "qat" or (job.io == "float32" and not job.outputs),
      "optimize qat is for io float32 and the usual outputs",
    ),
  ):
    if not ok:
      return reason
  return None


def apply(job, source, windows, *, options, frames=None, log=print):
  """Does it.

  Args:
    job: `targets.Job` with a method.
    source: `float_network.FloatNetwork`.
    windows: function -> waveforms to train on, called where they are needed.
    options: of `tfmot.optimize`.
    frames: of a file of fixed length.

  Returns:
    The network to convert, what `litert.tflite` is to be told besides, and
    facts for the report.
  """
  _, network, params, *_ = source
  if job.optimize == "fake_quant":
    from yoho_tf.deploy import quantize

    bounds = quantize.input_range(params)
    twin = quantize.fake_quant(network, input_range=bounds)
    # Ends of int8 are the converter's to find: it wants data for that.
    how = {"precision": "dynamic", "representative": None}
    return twin, how if job.io == "float32" else {}, {"method": job.optimize}
  result = tfmot.optimize(
    network,
    params,
    _log_mels(windows(), params),
    method=job.optimize,
    frames=frames,
    log=log,
    **options,
  )
  facts = {"method": job.optimize, **result.report}
  if job.optimize == "qat":
    return network, {"trunk": result.tflite}, facts
  network = keras_file.rebuilt(network, params, input="log_mel")
  tfmot.set_weights(network, result.weights)
  return network, {}, facts


def _log_mels(waveforms, params):
  from yoho_tf.layers.frontend import log_mel_layer

  front = log_mel_layer(params.frontend)
  return np.concatenate(
    [
      front(np.stack(waveforms[i : i + _BATCH]))
      for i in range(0, len(waveforms), _BATCH)
    ]
  )
