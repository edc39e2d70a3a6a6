"""The convolutional body that YAMNet and YOHO share (MobileNet v1).

A body is a table of rows `(kind, stride, channels)`, kept in the model file;
`body` walks it. The
layer names are the weight format: `layer1_conv`, `layerN_depthwise_conv`,
`layerN_pointwise_conv`, each with `_bn` and `_relu`.
"""

import keras

def scaled(channels: int, width: float) -> int:
  """Channels times the width multiplier, at least 1."""
  return max(1, round(channels * width))


def body(
  x,
  table,
  *,
  activation,
  batchnorm_epsilon,
  width=1.0,
  frozen_batchnorm_layers=0,
  dropout=0.0,
  dropout_from_layer=2,
  l2_first=0.0,
  l2_pointwise=0.0,
):
  """Walks a layer table.

  Args:
    x: `[batch, frames, bands, 1]`.
    table: rows `(kind, stride, channels)`, kind "conv" or "separable".
    activation: "relu" or "relu6".
    width: multiplies every channel count.
    frozen_batchnorm_layers: layers 1..n use their loaded statistics for ever
      (called with training=False; beta still trains). Loaded, folded weights
      have mean 0 and variance 1: batch statistics would destroy them.
    dropout: SpatialDropout2D rate after separable layers.
    dropout_from_layer: the first layer with dropout.
    l2_first, l2_pointwise: L2 factors on layer 1's and pointwise kernels.

  Returns:
    `[batch, frames / strides, bands / strides, channels]`.
  """

  def norm_act(x, name, number):
    frozen = number <= frozen_batchnorm_layers
    norm = keras.layers.BatchNormalization(
      scale=False, epsilon=batchnorm_epsilon, name=f"{name}_bn"
    )
    x = norm(x, training=False) if frozen else norm(x)
    top = 6.0 if activation == "relu6" else None
    return keras.layers.ReLU(max_value=top, name=f"{name}_relu")(x)

  def l2(factor):
    return keras.regularizers.L2(factor) if factor else None

  for number, (kind, stride, channels) in enumerate(table, start=1):
    channels = scaled(channels, width)
    if kind == "conv":
      name = f"layer{number}_conv"
      x = keras.layers.Conv2D(
        channels,
        3,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_regularizer=l2(l2_first),
        name=name,
      )(x)
      x = norm_act(x, name, number)
      continue
    name = f"layer{number}_depthwise_conv"
    x = keras.layers.DepthwiseConv2D(
      3, strides=stride, padding="same", use_bias=False, name=name
    )(x)
    x = norm_act(x, name, number)
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
