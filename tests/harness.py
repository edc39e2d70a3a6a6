"""The promises of every layer and model, one function each.

check_layer(layer, inputs, output_shape=...)
check_model(model, inputs, outputs={"scores": (2, 3)})
check_saving(model, inputs, folder)
"""

import contextlib
import json
import os
import warnings

import keras
import numpy as np


def to_numpy(structure):
  """Tensors of any backend, however nested, as numpy arrays."""
  return keras.tree.map_structure(np.asarray, structure)


@contextlib.contextmanager
def dtype_policy(name):
  """Layers made inside have the dtype policy `name`."""
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(name)
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)


def shapes_of(structure):
  """Arrays -> the tuples of their shapes, same structure."""
  if isinstance(structure, list | tuple):
    return [tuple(part.shape) for part in structure]
  return tuple(structure.shape)


def check_layer(
  layer, inputs, *, output_shape, is_float32=True, tolerance=1e-5, **call
):
  """Shape, config and precision of a layer with one output.

  Args:
    layer: the layer, not built yet.
    inputs: a numpy array, or a list of them.
    output_shape: what `layer(inputs)` must have, found without the layer.
    is_float32: the layer stays float32 under mixed precision.
    tolerance: of the output under mixed precision.
    **call: for the call, such as `training=True`.

  Returns:
    The output, numpy.
  """
  output = to_numpy(layer(inputs, **call))
  assert output.shape == tuple(output_shape)
  _check_output_shape(layer, shapes_of(inputs), output.shape)

  config = json.loads(json.dumps(layer.get_config()))
  twin = type(layer).from_config(config)
  assert twin.name == layer.name
  assert json.loads(json.dumps(twin.get_config())) == config
  np.testing.assert_array_equal(to_numpy(twin(inputs, **call)), output)

  with dtype_policy("mixed_float16"):
    config.pop("dtype", None)  # as a builder makes it: the policy decides
    mixed = to_numpy(type(layer).from_config(config)(inputs, **call))
  if is_float32:
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, output, rtol=0, atol=tolerance)
  else:
    assert np.isfinite(mixed).all()
  return output


def _check_output_shape(layer, input_shape, output_shape):
  """`compute_output_shape`, for known sizes and where they are not known."""
  assert tuple(layer.compute_output_shape(input_shape)) == output_shape
  many = isinstance(input_shape, list)
  for unknown in ([0], [1], [0, 1]):
    shapes = [
      tuple(None if i in unknown else size for i, size in enumerate(shape))
      for shape in (input_shape if many else [input_shape])
    ]
    got = layer.compute_output_shape(shapes if many else shapes[0])
    assert len(got) == len(output_shape)
    for size, expected in zip(got, output_shape):
      assert size in (None, expected)


def check_model(model, inputs, *, outputs):
  """Names, order, shapes and precision of what goes in and comes out.

  Args:
    model: with dict inputs and outputs.
    inputs: {name: numpy array}.
    outputs: {name: shape}, in order.

  Returns:
    {name: numpy array}.
  """
  assert list(model.input) == list(inputs)
  assert [tensor.name for tensor in model.inputs] == list(inputs)
  assert list(model.output) == list(outputs)
  got = to_numpy(model(inputs))
  assert {name: value.shape for name, value in got.items()} == outputs
  for name, value in got.items():
    assert value.dtype == np.float32, name
    assert np.isfinite(value).all(), name
    symbolic = model.output[name].shape
    for known, real in zip(symbolic, value.shape, strict=True):
      assert known in (None, real), name
  assert len({layer.name for layer in model.layers}) == len(model.layers)
  assert not any("/" in layer.name for layer in model.layers)
  return got


def check_saving(model, inputs, folder):
  """A `.keras` file gives the same numbers, with our layers registered only.

  Args:
    inputs: {name: numpy array}.
    folder: an empty one.

  Returns:
    The loaded model.
  """
  path = os.path.join(folder, "model.keras")
  with warnings.catch_warnings():  # Keras, TensorFlow and numpy 2 at odds
    warnings.filterwarnings("ignore", "__array__ implementation")
    model.save(path)
  with _package_objects_only():
    loaded = keras.saving.load_model(path)
  assert [layer.name for layer in loaded.layers] == [
    layer.name for layer in model.layers
  ]
  before, after = to_numpy(model(inputs)), to_numpy(loaded(inputs))
  assert list(after) == list(before)
  for name, value in before.items():
    np.testing.assert_array_equal(after[name], value, err_msg=name)
  return loaded


@contextlib.contextmanager
def _package_objects_only():
  """A registry without what tests, or users, may have added to it."""
  registry = keras.saving.get_custom_objects()
  before = dict(registry)
  for name in before:
    if not name.startswith("yoho_tf>"):
      del registry[name]
  try:
    yield
  finally:
    registry.update(before)


# ---- YAMNet's body with weights drawn from a seed ---------------------------

# Channels of layers 1-14, written down once more: not taken from the package.
CHANNELS = (
  (32, 64, 128, 128, 256, 256)
  + (512,) * 6  # layers 7-12
  + (1024, 1024)
)
NUM_CLASSES = 521


def synthetic_weights():
  """Weights of the whole of YAMNet, always the same; needs no file.

  Returns:
    {layer name: float32 arrays in the order of `layer.weights`}; the order of
    the names is the order of the draws.
  """
  random = np.random.RandomState(0)
  weights = {}

  def convolution(name, shape, fan_in, channels):
    weights[name] = [random.standard_normal(shape) * np.sqrt(2 / fan_in)]
    beta, mean = (0.1 * random.standard_normal(channels) for _ in range(2))
    weights[f"{name}_bn"] = [beta, mean, random.uniform(0.5, 1.5, channels)]

  convolution("layer1_conv", (3, 3, 1, 32), 9, 32)
  for number, (before, after) in enumerate(zip(CHANNELS, CHANNELS[1:]), 2):
    name = f"layer{number}_depthwise_conv"
    convolution(name, (3, 3, before, 1), 9, before)
    name = f"layer{number}_pointwise_conv"
    convolution(name, (1, 1, before, after), before, after)
  weights["logits"] = [
    random.standard_normal((1024, NUM_CLASSES)) / 32,
    0.1 * random.standard_normal(NUM_CLASSES) - 2,
  ]
  return {
    name: [array.astype(np.float32) for array in arrays]
    for name, arrays in weights.items()
  }


def assign(model, weights):
  """Sets the weights of `model` by layer name."""
  for name, arrays in weights.items():
    model.get_layer(name).set_weights(arrays)
  return model


def copy_weights(source, target):
  """Sets the weights of `target` to those of a model of the same form."""
  for old, new in zip(target.weights, source.weights, strict=True):
    old.assign(new)
