"""The body's own layers: Keras' numbers and gradients, faster."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from yoho_tf.layers import conv


def gradients(layer, x, target):
  """(outputs, d loss / dx, d loss / d trainable weights), loss = sum(y * t)."""
  if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
      loss = ops.sum(y * target)
    wanted = [x, *(w.value for w in layer.trainable_variables)]
    return [np.asarray(v) for v in (y, *tape.gradient(loss, wanted))]
  import jax

  options = {}
  if "training" in inspect.signature(layer.call).parameters:
    options["training"] = True

  def forward(x, weights):
    y, state = layer.stateless_call(
      weights,
      [v.value for v in layer.non_trainable_variables],
      x,
      **options,
    )
    return ops.sum(y * target), (y, state)

  weights = [v.value for v in layer.trainable_variables]
  (_, (y, state)), (dx, dw) = jax.value_and_grad(
    forward, argnums=(0, 1), has_aux=True
  )(x, weights)
  for variable, value in zip(layer.non_trainable_variables, state):
    variable.assign(value)
  return [np.asarray(v) for v in (y, dx, *dw)]


@pytest.mark.parametrize(
  ("own", "theirs", "options"),
  [
    (
      conv.BatchNormalization,
      keras.layers.BatchNormalization,
      dict(scale=False, epsilon=1e-4, momentum=0.9),
    ),
    (
      conv.Conv2D,
      keras.layers.Conv2D,
      dict(filters=5, kernel_size=1, use_bias=False),
    ),
    (
      conv.Conv2D,
      keras.layers.Conv2D,
      dict(filters=5, kernel_size=3, strides=2),
    ),
  ],
  ids=["batch normalisation", "pointwise", "3 x 3"],
)
def test_values_gradients_and_statistics_are_those_of_keras(
  own, theirs, options
):
  rng = np.random.default_rng(0)
  x = (2 + 3 * rng.normal(size=(4, 6, 5, 7))).astype("float32")
  layers = [kind(**options, name="layer") for kind in (own, theirs)]
  for layer in layers:
    layer.build(x.shape)
  layers[1].set_weights(
    [w + 0.1 * rng.normal(size=w.shape) for w in layers[1].get_weights()]
  )
  layers[0].set_weights(layers[1].get_weights())
  target = rng.normal(size=layers[1](x).shape).astype("float32")
  for mine, keras_own in zip(
    *(gradients(layer, x, target) for layer in layers)
  ):
    np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=2e-4)
  for mine, keras_own in zip(*(layer.get_weights() for layer in layers)):
    np.testing.assert_allclose(mine, keras_own, rtol=1e-5, atol=1e-5)
  # Without training both are the same operation.
  np.testing.assert_allclose(
    *(np.asarray(layer(x)) for layer in layers), atol=1e-5
  )


@pytest.mark.parametrize("how", ["frozen", "not trainable"])
def test_a_layer_that_stays_keeps_its_statistics(how):
  layer = conv.BatchNormalization(scale=False, frozen=how == "frozen")
  x = np.random.default_rng(0).normal(5, 2, size=(4, 3, 3, 2)).astype("float32")
  layer.build(x.shape)
  layer.trainable = how == "frozen"
  before = layer.get_weights()
  np.testing.assert_allclose(
    np.asarray(layer(x, training=True)), np.asarray(layer(x)), atol=1e-6
  )
  for one, other in zip(before, layer.get_weights()):
    np.testing.assert_array_equal(one, other)
