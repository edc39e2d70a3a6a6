"""The convolutional body that YAMNet and YOHO share (MobileNet v1).

A body is a table of rows `(kind, stride, channels)`, kept in the model file;
`body` walks it. The layer names are the weight format: `layer1_conv`,
`layerN_depthwise_conv`, `layerN_pointwise_conv`, each with `_bn` and `_relu`.
"""

import keras


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
    training = False if self.frozen else training
    return super().call(inputs, training=training, mask=mask)

  def get_config(self):
    return {**super().get_config(), "frozen": self.frozen}


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
    x = keras.layers.Conv2D(
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
