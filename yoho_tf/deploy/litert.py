"""Keras -> `.tflite`, front end and network converted apart and grafted.

The front end always stays float32: converting the whole waveform graph would
quantise window, DFT and mel constants too, and ruin tonal input.

Batch 1. YAMNet takes one patch. The time axis of a YOHO on the lattice
`stride` stays dynamic unless `frames` fixes it: a runtime sets it with
`resize_tensor_input`, so that a clip of any length runs in one pass. Such a
file has a second signature, `log_mel`, which runs the network alone: numpy's
FFT takes half the time of LiteRT's. LiteRT prepares the weights for both.
"""

import functools
import re
import tempfile
import warnings
from dataclasses import replace

import numpy as np

from yoho_tf.deploy import backends, metadata
from yoho_tf.deploy.graft import graft
from yoho_tf.params import YohoParams

PRECISIONS = ("float32", "float16", "dynamic", "int8")
IO = ("float32", "int8")
NEEDS_RELU6 = ("dynamic", "int8")


def convert(
  function,
  variables,
  *,
  shape,
  name,
  output,
  precision="float32",
  representative=None,
  io="float32",
  per_tensor_dense=False,
):
  """A function of float32 tensors -> flatbuffer bytes, builtin ops only.

  Args:
    function: called with a tensor of `shape`, or as many as `name` has names;
      returns one tensor, or as many as `output` has names.
    variables: list of the variables it uses (without it no weights are saved).
    shape: of the input, a list of them with several; None is dynamic.
    name, output: names in the signature `serving_default`: one, or a tuple.
    precision: "float32"; "float16" weights; "dynamic", int8 weights and
      activations whose ranges are found as it runs; "int8" throughout, with
      QUANTIZE and DEQUANTIZE at the ends.
    representative: for "int8": iterable of arrays that fit `shape`, from which
      the ranges of the activations are taken.
    io: "int8" leaves the ends out.
    per_tensor_dense: one scale per dense kernel (the Edge TPU's).

  Raises:
    ValueError: an unknown precision, "int8" without data, or an operator
      without a builtin.
  """
  import tensorflow as tf

  for key, value, known in (
    ("precision", precision, PRECISIONS),
    ("io", io, IO),
  ):
    if value not in known:
      raise ValueError(
        f"{key} must be one of {', '.join(known)}; got {value!r}"
      )
  if (precision == "int8") != (representative is not None):
    raise ValueError(
      "representative must be given with precision int8, and only there; got "
      f"precision {precision} and representative {representative!r:.40}"
    )
  if io == "int8" and precision != "int8":
    raise ValueError(f"io int8 must go with precision int8; got {precision}")
  names = (output,) if isinstance(output, str) else tuple(output)
  specs = [
    tf.TensorSpec(own_shape, tf.float32, name=own_name)
    for own_name, own_shape in (
      [(name, shape)] if isinstance(name, str) else zip(name, shape)
    )
  ]

  def serve(*inputs):
    found = function(*inputs)
    found = (found,) if isinstance(output, str) else found
    return dict(zip(names, found, strict=True))

  module = tf.Module()
  module.weights = variables
  module.serve = tf.function(serve, input_signature=specs)
  with tempfile.TemporaryDirectory() as folder:
    tf.saved_model.save(
      module, folder, signatures={"serving_default": module.serve}
    )
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
      converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
      converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
      converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8
      ]
      converter.representative_dataset = lambda: (
        {name: np.asarray(x, np.float32)} for x in representative
      )
      if io == "int8":
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
      converter._experimental_disable_per_channel_quantization_for_dense_layers = per_tensor_dense  # noqa: E501
    try:
      with backends.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interpreter that it runs: we know
        return converter.convert()
    except Exception as error:  # its class is private
      missing = sorted(set(re.findall(r"'tf\.(\w+)' op is", str(error))))
      if not missing:
        raise
      raise ValueError(
        f"function must use operators that LiteRT has; got {', '.join(missing)}"
      ) from None


def tflite(
  network,
  params,
  *,
  class_map,
  precision="float16",
  input="waveform",
  representative=None,
  io="float32",
  frames=None,
  outputs=None,
  transform="rfft",
  per_tensor_dense=False,
  allow_relu_int8=False,
  trunk=None,
) -> bytes:
  """A YOHO or YAMNet network -> a `.tflite` of batch 1.

  YOHO: `waveform [1, samples]` or `log_mel [1, frames, bands]` -> `events [1,
  cells, ...]`; a baseline gives `scores`. YAMNet: one patch -> `scores [1,
  classes]`.

  Args:
    network: built with `params` and `input="log_mel"`.
    params: `YohoParams` or `YamnetParams`; stored inside, tuned
      post-processing included.
    class_map: `ClassMap` of `params.labels`, stored inside.
    precision: as in `convert`, of the network; the front end is float32.
    representative: for "int8": waveforms `[samples]`, each of whole cells and
      `params.extra_samples` (YAMNet: `params.min_samples`).
    io: "int8" (with `input="log_mel"`) leaves QUANTIZE and DEQUANTIZE out.
    frames: fixes the length of a YOHO on the lattice `stride`.
    outputs: names; default `params.output`, `scores`.
    transform: of the front end: "rfft" is small and quick, "dft" has no FFT
      operator.
    per_tensor_dense: as in `convert`.
    allow_relu_int8: convert a network with unbounded ReLU all the same.
    trunk: the network as a `.tflite` already, `log_mel` -> output, which then
      only gets the front end and what is stored inside.

  Raises:
    ValueError: other labels in the class map, or what cannot be converted.
  """
  labels = params.labels
  if class_map.names != labels:
    raise ValueError(
      f"class_map must hold the labels {labels}; got {class_map.names}"
    )
  check_relu(params, precision, allow_relu_int8)
  front = replace(params.frontend, transform=transform)
  from yoho_tf.layers.frontend import log_mel_layer

  front_layer = log_mel_layer(front)
  _, length = lengths(params, frames)
  names = (default_output(params),) if outputs is None else tuple(outputs)
  if io == "int8" and input == "waveform":
    raise ValueError(
      "io int8 must go with input log_mel; got waveform, whose front end is "
      "float32"
    )
  if representative is not None:
    waveforms = representative
    representative = (front_layer(w[None]) for w in waveforms)
  trunk = trunk or convert(
    lambda x: [network({"log_mel": x})[n] for n in names],
    [v.value for v in network.variables],
    shape=[1, length, front.mel_bands],
    name="log_mel",
    output=names,
    precision=precision,
    representative=representative,
    io=io,
    per_tensor_dense=per_tensor_dense,
  )
  if input == "waveform":
    head = front_end(params, frames=frames, transform=transform)
    trunk = graft(head, trunk, keep_trunk=length is None)
  return metadata.pack(
    trunk, metadata.texts(replace(params, input=input), class_map)
  )


def front_end(params, *, frames=None, transform="rfft") -> bytes:
  """`waveform [1, samples]` -> `log_mel [1, frames, bands]`, float32.

  Args:
    params, frames, transform: as `tflite`.
  """
  front = replace(params.frontend, transform=transform)
  return _front_end(front, lengths(params, frames)[0])


@functools.cache  # several precisions of a model share it
def _front_end(front, samples):
  from yoho_tf.layers.frontend import log_mel_layer

  return convert(
    log_mel_layer(front),
    [],
    shape=[1, samples],
    name="waveform",
    output="log_mel",
  )


def default_output(params) -> str:
  """What prediction reads: `events` or `scores`."""
  return params.output if isinstance(params, YohoParams) else "scores"


def lengths(params, frames=None):
  """`(samples, frames)` of the input; None where the length is free.

  Args:
    frames: a length wanted on the lattice `stride`, whole cells.

  Raises:
    ValueError: another length than the network takes.
  """
  if not isinstance(params, YohoParams):
    samples, own = params.min_samples, params.patch_frames
  elif params.lattice == "window":
    samples, own = params.window_samples, params.window_frames
  elif frames is None:
    return None, None
  else:
    step = params.STRIDE_FRAMES
    if frames < 1 or frames % step:
      raise ValueError(
        f"frames must be a positive multiple of {step}; got {frames!r}"
      )
    hop = params.frontend.stft_hop_samples
    return frames * hop + params.extra_samples, frames
  if frames not in (None, own):
    raise ValueError(f"frames must be {own} for this network; got {frames!r}")
  return samples, own


def check_relu(params, precision, allow_relu_int8=False):
  """Raises ValueError for integers after a ReLU without a bound."""
  if (
    precision in NEEDS_RELU6
    and params.activation == "relu"
    and not allow_relu_int8
  ):
    raise ValueError(
      f"precision {precision} must go with activation relu6; got relu, whose "
      "rare large values leave 8 bits to none of the others "
      "(allow_relu_int8 converts it all the same)"
    )
