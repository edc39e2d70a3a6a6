"""Networks that feel 8 bits while they train: `fake_quant`, Keras only.

Every kernel, and every activation that an int8 file stores, is rounded to the
256 values it will have there (Jacob et al. 2018, "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference"); gradients
pass as if nothing had been rounded. The ranges are known beforehand, as ReLU6
bounds them, so nothing is calibrated: converted with precision "dynamic", the
twin becomes an int8 `.tflite`.

BatchNorm is folded into kernels and biases. `folded` and `unfold` carry
weights to the twin and back into the float network.
"""

import keras
import numpy as np
from keras import ops

from yoho_tf.deploy.edgetpu import LOG_MEL_RANGE
from yoho_tf.layers.frontend import CheckFrames

_REGISTER = keras.saving.register_keras_serializable("yoho_tf")
_PRECISION = {"dtype": "float32"}  # FakeQuant knows no other
_STEPS = 255
_SCORES = (0.0, 255 / 256)  # what int8 LOGISTIC gives, scale 1/256
LOGITS = 16.0
# Weights of a channel below it share its scale: the bias, in units of input
# scale times kernel scale, must fit 32 bits.
_LEAST_RANGE = 1e-4


def fake_quant(network, *, input_range=None, logit_limit=LOGITS):
  """The twin of a YAMNet or YOHO that rounds as an int8 file does.

  Args:
    network: Keras, built with `input="log_mel"` and ReLU6, without recurrence.
    input_range: `(low, high)` of the log-mels; default: of dialect `yamnet`.
    logit_limit: logits are cut at plus and minus this.

  Returns:
    A float32 model with the same inputs, outputs and layer names but those of
    BatchNorm, which its convolutions hold. It trains on every backend; a
    `.tflite` needs TensorFlow.

  Raises:
    ValueError: a layer that has no twin, ReLU without a bound.
  """
  if [tensor.name for tensor in network.inputs] != ["log_mel"]:
    raise ValueError(
      "network must have the input log_mel; got "
      f"{', '.join(tensor.name for tensor in network.inputs)}"
    )
  ranges = {
    "image": input_range or LOG_MEL_RANGE,
    "embeddings": (0.0, 6.0),
    "logits": (-logit_limit, logit_limit),
    "head": (-logit_limit, logit_limit),
    "scores": _SCORES,
    "events": _SCORES,
  }
  (source,) = network.inputs
  tensors = {id(source): keras.Input(source.shape[1:], name=source.name)}
  for layer in network.layers[1:]:  # each takes one tensor and gives one
    x = tensors[id(layer.input)]
    if not isinstance(layer, keras.layers.BatchNormalization):
      x = _twin(layer, ranges)(x)
    tensors[id(layer.output)] = x
  outputs = {name: tensors[id(x)] for name, x in network.output.items()}
  inputs = {source.name: tensors[id(source)]}
  twin = keras.Model(inputs, outputs, name=network.name)
  for name, values in folded(network).items():
    twin.get_layer(name).set_weights(values)
  return twin


def input_range(params):
  """Of the log-mels that a front end makes.

  Raises:
    ValueError: a dialect whose values have no bounds of their own.
  """
  dialect = params.frontend.dialect
  if dialect != "yamnet":
    raise ValueError(
      "frontend.dialect must be yamnet, whose values are known to lie in "
      f"{LOG_MEL_RANGE[0]:g}..{LOG_MEL_RANGE[1]:g}; got {dialect}"
    )
  return LOG_MEL_RANGE


# ---- weights there and back --------------------------------------------------


def folded(network) -> dict:
  """`{layer: [kernel, bias]}`, BatchNorm multiplied in."""
  found, names = {}, {layer.name for layer in network.layers}
  for layer in network.layers:
    if not hasattr(layer, "kernel"):
      continue
    kernel, *bias = layer.get_weights()
    if f"{layer.name}_bn" in names:
      norm = network.get_layer(f"{layer.name}_bn")
      beta, mean, variance = (
        np.asarray(ops.convert_to_numpy(w), np.float64)
        for w in (norm.beta, norm.moving_mean, norm.moving_variance)
      )
      scale = 1 / np.sqrt(variance + norm.epsilon)
      own = bias[0] if bias else 0.0
      is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
      kernel = kernel * scale.reshape((-1, 1) if is_depthwise else (-1,))
      bias = [beta + (own - mean) * scale]
    elif not bias:
      bias = [np.zeros(kernel.shape[-1])]
    found[layer.name] = [np.asarray(w, np.float32) for w in (kernel, *bias)]
  return found


def unfold(twin, network) -> None:
  """Sets the float network to what the twin would compute without rounding.

  Its BatchNorm then only adds beta.
  """
  for name, (kernel, bias) in folded(twin).items():
    layer = network.get_layer(name)
    if layer.use_bias:
      layer.set_weights([kernel, bias])
      continue
    layer.set_weights([kernel])
    norm = network.get_layer(f"{name}_bn")
    norm.beta.assign(bias)
    norm.moving_mean.assign(np.zeros_like(bias))
    norm.moving_variance.assign(np.full_like(bias, 1 - norm.epsilon))


# ---- rounding ----------------------------------------------------------------


def rounded(x, low, high):
  """x in 256 equal steps from low to high, 0 being one of them.

  Args:
    x: float32.
    low, high: numbers; moved a little, so that 0 is a step.
  """
  if keras.backend.backend() == "tensorflow":  # the converter looks for it
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(x, low, high)
  low, high = np.float32(low), np.float32(high)  # as TensorFlow rounds them
  step = (high - low) / np.float32(_STEPS)
  first = -np.floor(-low / step + np.float32(0.5)) * step
  x = ops.clip(x, first, first + _STEPS * step)  # no gradient outside
  found = ops.floor((x - first) / step + 0.5) * step + first
  return x + ops.stop_gradient(found - x)


def rounded_kernel(kernel, axis=None):
  """A kernel in 255 steps, symmetric around 0.

  Args:
    kernel: float32.
    axis: of the output channels, each of which has its own scale; None: one
      scale.
  """
  others = [a for a in range(len(kernel.shape)) if a != axis]
  top = ops.max(ops.abs(ops.stop_gradient(kernel)), axis=others)  # [channels]
  top = ops.maximum(top, _LEAST_RANGE)
  shape = [1] * len(kernel.shape)
  if axis is not None:
    shape[axis] = kernel.shape[axis]
  if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    options = {"num_bits": 8, "narrow_range": True}
    if axis is None:
      return tf.quantization.fake_quant_with_min_max_vars(
        kernel, -top, top, **options
      )
    flat = ops.reshape(kernel, kernel.shape[: axis + 1])  # channels last
    flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(
      flat, -top, top, **options
    )
    return ops.reshape(flat, kernel.shape)
  step = ops.reshape(top, shape) / (_STEPS // 2)
  found = ops.floor(kernel / step + 0.5) * step
  return kernel + ops.stop_gradient(found - kernel)


# ---- layers ------------------------------------------------------------------


@_REGISTER
class FakeQuantConv2D(keras.layers.Conv2D):
  """A convolution whose kernel has 8 bits, a scale per output channel."""

  def convolution_op(self, inputs, kernel):
    return super().convolution_op(inputs, rounded_kernel(kernel, 3))


@_REGISTER
class FakeQuantDepthwiseConv2D(keras.layers.DepthwiseConv2D):
  """The same, depthwise: kernel `[3, 3, channels, 1]`."""

  def call(self, inputs):
    x = ops.depthwise_conv(
      inputs,
      rounded_kernel(self.kernel, 2),
      strides=self.strides,
      padding=self.padding,
      data_format=self.data_format,
    )
    return x + self.bias


@_REGISTER
class FakeQuantDense(keras.layers.Dense):
  """A dense layer whose kernel has 8 bits and one scale, as Coral's."""

  def call(self, inputs):
    return ops.matmul(inputs, rounded_kernel(self.kernel)) + self.bias


@_REGISTER
class FakeQuantOutput(keras.layers.Layer):
  """A layer, and its output in 256 steps.

  Args:
    layer: without weights, or with a kernel of 8 bits.
    low, high: range of the output.
  """

  def __init__(self, layer, low, high, **kwargs):
    super().__init__(**kwargs)
    self.layer, self.low, self.high = layer, float(low), float(high)

  def build(self, input_shape):
    if not self.layer.built:  # by its own config, when it is loaded
      self.layer.build(input_shape)
    self.built = True

  def call(self, inputs):
    return rounded(self.layer(inputs), self.low, self.high)

  def compute_output_shape(self, input_shape):
    return self.layer.compute_output_shape(input_shape)

  @property
  def kernel(self):
    return self.layer.kernel

  def get_config(self):
    layer = keras.saving.serialize_keras_object(self.layer)
    own = {"layer": layer, "low": self.low, "high": self.high}
    return {**super().get_config(), **own}

  @classmethod
  def from_config(cls, config):
    layer = keras.saving.deserialize_keras_object(config["layer"])
    return cls(**{**config, "layer": layer})


# Class of a float layer -> its twin; a child comes before its parent.
_TWINS = {
  keras.layers.DepthwiseConv2D: FakeQuantDepthwiseConv2D,
  keras.layers.Conv2D: FakeQuantConv2D,
  keras.layers.Dense: FakeQuantDense,
}
_SAME = (
  keras.layers.Activation,
  keras.layers.GlobalAveragePooling2D,
  keras.layers.MaxPooling2D,
  keras.layers.ReLU,
  keras.layers.Reshape,
  keras.layers.SpatialDropout2D,
  CheckFrames,
)


def _twin(layer, ranges):
  config = {**layer.get_config(), **_PRECISION}
  kind = next((k for k in (*_TWINS, *_SAME) if isinstance(layer, k)), None)
  if kind is None:
    raise ValueError(
      "layer must be one of the convolution bodies, whose ranges are known; "
      f"got {type(layer).__name__} {layer.name!r}"
    )
  own_range = ranges.get(layer.name)
  if kind is keras.layers.ReLU:
    if layer.max_value is None:
      raise ValueError(
        "activation must be relu6, which bounds what 8 bits hold; got relu in "
        f"{layer.name!r}"
      )
    own_range = (0.0, float(layer.max_value))
  if kind in _TWINS:
    kind, config["use_bias"] = _TWINS[kind], True
  twin = kind.from_config(config)
  if own_range is None:
    return twin
  return FakeQuantOutput(twin, *own_range, name=layer.name, **_PRECISION)
