"""The convolutional body that YAMNet and YOHO share (MobileNet v1).

A body is a table of rows `(kind, stride, channels)`, kept in the model file;
`body` walks it. The layer names are the weight format: `layer1_conv`,
`layerN_depthwise_conv`, `layerN_pointwise_conv`, each with `_bn` and `_relu`.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("yoho_tf")
class BatchNormalization(keras.layers.BatchNormalization):
  """Keras' layer, which can keep its loaded statistics in training too.

  `layer(x, training=False)` in a Functional model does not do that: in
  training the model hands `training=True` to each of its layers. The class is
  called like Keras', because `.weights.h5` files name layers by their class.

  Args:
    frozen: whether to normalise by the moving statistics for ever, and leave
      them as they are; beta still trains.
  """

  def __init__(self, *, frozen=False, **kwargs):
    super().__init__(**kwargs)
    self.frozen = frozen

  def call(self, inputs, training=None, mask=None):
    if self.frozen or not training or not self.trainable:
      return super().call(inputs, training=False, mask=mask)
    if self.synchronized or self.scale or mask is not None:
      return super().call(inputs, training=True, mask=mask)
    x = ops.cast(inputs, "float32")
    axes = tuple(range(len(x.shape) - 1))
    still = ops.stop_gradient(x)
    mean = ops.mean(still, axis=axes)  # [channels]
    variance = ops.mean(ops.square(still - mean), axis=axes)
    for moving, value in (
      (self.moving_mean, mean),
      (self.moving_variance, variance),
    ):
      old = ops.cast(moving, value.dtype)
      moving.assign(old * self.momentum + value * (1.0 - self.momentum))
    x = _normalized(
      x, ops.cast(self.beta, "float32"), mean, variance + self.epsilon
    )
    return ops.cast(x, self.compute_dtype)

  def get_config(self):
    return {**super().get_config(), "frozen": self.frozen}


@ops.custom_gradient
def _normalized(x, beta, mean, variance):
  """(x - mean) / sqrt(variance) + beta by the batch's own statistics.

  With the gradient written down (Ioffe and Szegedy 2015, section 3): what
  TensorFlow derives from the operations takes three times as many passes over
  the feature map, half of a training step on a CPU.
  """
  scale = ops.rsqrt(variance)
  axes = tuple(range(len(x.shape) - 1))

  def gradient(*args, upstream=None):
    dy = args[0] if upstream is None else upstream
    share = 1.0 / ops.cast(ops.size(dy) / dy.shape[-1], dy.dtype)
    dbeta = ops.sum(dy, axis=axes)
    dot = scale * (ops.sum(dy * x, axis=axes) - mean * dbeta)
    slope = share * scale * scale * dot
    dx = dy * scale - x * slope + (mean * slope - share * scale * dbeta)
    return dx, dbeta, ops.zeros_like(mean), ops.zeros_like(variance)

  return x * scale + (beta - mean * scale), gradient


@keras.saving.register_keras_serializable("yoho_tf")
class Conv2D(keras.layers.Conv2D):
  """Keras' layer; with kernel 1 it trains as a matrix product.

  That is the same sum, and its gradients run twice as fast on a CPU.
  Otherwise, and in exports, it is the convolution. Named like Keras', because
  `.weights.h5` files name layers by their class.
  """

  def call(self, inputs, training=None):
    if not training or self.kernel_size != (1, 1) or self.use_bias:
      return super().call(inputs)
    *_, size, channels = self.kernel.shape
    kernel = ops.reshape(self.kernel, (size, channels))
    x = ops.matmul(ops.reshape(inputs, (-1, size)), kernel)
    return ops.reshape(x, (-1, *ops.shape(inputs)[1:3], channels))


def scaled(channels: int, width: float) -> int:
  """Channels times the width multiplier, at least 1."""
  return max(1, round(channels * width))


def body(
  x,
  table,
  *,
  activation,
  batchnorm_epsilon,
  batchnorm_momentum=0.99,
  width=1.0,
  frozen_batchnorm_layers=0,
  dropout=0.0,
  dropout_from_layer=2,
  l2_first=0.0,
  l2_pointwise=0.0,
  framewise=False,
):
  """Walks a layer table.

  Args:
    x: `[batch, frames, bands, 1]`.
    table: rows `(kind, stride, channels)`, kind "conv" or "separable".
    activation: "relu" or "relu6".
    width: multiplies every channel count.
    frozen_batchnorm_layers: layers 1..n use their loaded statistics for ever
      (beta still trains). Loaded, folded weights have mean 0 and variance 1:
      batch statistics would destroy them.
    dropout: SpatialDropout2D rate after separable layers.
    dropout_from_layer: the first layer with dropout.
    l2_first, l2_pointwise: L2 factors on layer 1's and pointwise kernels.
    framewise: keep every frame; where the table has stride 2, only the bands
      are halved, by max pooling after that convolution's activation.

  Returns:
    `[batch, frames / strides, bands / strides, channels]`.
  """

  def norm_act(x, name, number):
    x = BatchNormalization(
      frozen=number <= frozen_batchnorm_layers,
      scale=False,
      epsilon=batchnorm_epsilon,
      momentum=batchnorm_momentum,
      name=f"{name}_bn",
    )(x)
    top = 6.0 if activation == "relu6" else None
    return keras.layers.ReLU(max_value=top, name=f"{name}_relu")(x)

  def l2(factor):
    return keras.regularizers.L2(factor) if factor else None

  def pool(x, stride, number):
    if not framewise or stride == 1:
      return x
    return keras.layers.MaxPooling2D(
      (1, stride), padding="same", name=f"layer{number}_pool"
    )(x)

  for number, (kind, stride, channels) in enumerate(table, start=1):
    channels = scaled(channels, width)
    strides = 1 if framewise else stride
    if kind == "conv":
      name = f"layer{number}_conv"
      x = keras.layers.Conv2D(
        channels,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_regularizer=l2(l2_first),
        name=name,
      )(x)
      x = pool(norm_act(x, name, number), stride, number)
      continue
    name = f"layer{number}_depthwise_conv"
    x = keras.layers.DepthwiseConv2D(
      3, strides=strides, padding="same", use_bias=False, name=name
    )(x)
    x = pool(norm_act(x, name, number), stride, number)
    name = f"layer{number}_pointwise_conv"
    x = Conv2D(
      channels,
      1,
      padding="same",
      use_bias=False,
      kernel_regularizer=l2(l2_pointwise),
      name=name,
    )(x)
    x = norm_act(x, name, number)
    if dropout and number >= dropout_from_layer:
      x = keras.layers.SpatialDropout2D(dropout, name=f"layer{number}_drop")(x)
  return x
