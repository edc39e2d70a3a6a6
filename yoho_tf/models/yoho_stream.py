"""YOHO one cell at a time: the network of models/yoho.py with a memory.

The same layers, names and weights. A convolution over three frames keeps the
last one or two frames of its input, instead of hearing them again: a step
costs one cell's work, whatever the network's reach. Each layer lags behind its
input by what it needs of the future, all of them together by LOOKAHEAD_CELLS.
After Rybakov et al., "Streaming keyword spotting on mobile devices", 2020,
there called external state.

Inputs: `log_mel [batch, 32, bands]`, one cell of frames; `inside [batch, 1]`, 1
for a cell of the recording and 0 past its end; `state [batch, values]`, zeros
at the start, then what the step before gave. Outputs: `events [batch, 1,
classes, 3 * slots]` of the cell LOOKAHEAD_CELLS before; `inside [batch, 1]`,
whether there is such a cell; `state`.

In the whole network every layer's input ends in zeros on either side. Here a
frame is zero where its cell is not inside: those before the first cell are
not, because the state, which remembers `inside` too, begins with zeros.
"""

from typing import NamedTuple

import numpy as np

from yoho_tf.models import yoho
from yoho_tf.params import YohoParams

# Keras is imported by `build` only: streams read LOOKAHEAD_CELLS without it.


class Flow(NamedTuple):
  """What comes into a layer with every step.

  Attributes:
    frames: new ones.
    delay: how many frames behind the sound the newest of them is.
    kept: frames from before that the layer's new outputs need.
  """

  frames: int
  delay: int
  kept: int


def flows(table=yoho.TABLE, frames=YohoParams.STRIDE_FRAMES) -> list[Flow]:
  """`Flow` into every layer of a table, and into what follows the last.

  Stride 1 hears one frame on either side of its own. Stride 2 hears frames
  2t, 2t + 1 and 2t + 2; a newest frame 2t + 1 leaves one to wait with it.
  """
  found, delay = [], 0
  for _, stride, _ in table:
    kept = 1 if stride == 2 and delay % 2 else 2
    found.append(Flow(frames, delay, kept))
    frames, delay = frames // stride, delay // stride + 1
  return [*found, Flow(frames, delay, 0)]


LOOKAHEAD_CELLS = flows()[-1].delay


def build(params: YohoParams = yoho.PARAMS) -> "keras.Model":  # noqa: F821
  """The network of a step as a Functional model; `weigh` gives it weights.

  Args:
    params: on the lattice `stride`, without a baseline.

  Raises:
    ValueError: others.
  """
  check(params)
  import keras
  from keras import ops

  bands, classes = params.frontend.mel_bands, len(params.labels)
  through = flows()
  shapes = _kept_shapes(params, through)
  sizes = [int(np.prod(shape)) for shape in shapes]
  num_cells = LOOKAHEAD_CELLS + 1  # remembered, this one too
  log_mel = keras.Input((through[0].frames, bands), name="log_mel")
  inside = keras.Input((1,), name="inside")
  state = keras.Input((sum(sizes) + num_cells - 1,), name="state")

  *kept, cells = ops.split(state, np.cumsum(sizes).tolist(), axis=1)
  cells = ops.concatenate([cells, inside], axis=1)  # [batch, num_cells]
  masks = _masks(cells, through[:-1], num_cells)
  x = ops.expand_dims(log_mel, -1)  # [batch, frames, bands, channels]
  after = []
  for number, (row, flow, shape, mask, before) in enumerate(
    zip(yoho.TABLE, through, shapes, masks, kept), start=1
  ):
    before = ops.reshape(before, (-1, *shape))
    x = ops.concatenate([before, x * mask], axis=1)
    after.append(ops.reshape(x[:, -flow.kept :], (-1, int(np.prod(shape)))))
    x = _layer(x, number, row, params)
  x = keras.layers.Conv2D(
    3 * params.slots * classes, (1, x.shape[2]), name="head"
  )(x)  # [batch, 1, 1, classes * 3 * slots]
  events = ops.sigmoid(ops.reshape(x, (-1, 1, classes, 3 * params.slots)))
  after.append(cells[:, 1:])
  return keras.Model(
    {"log_mel": log_mel, "inside": inside, "state": state},
    {
      "events": events,
      "inside": cells[:, :1],
      "state": ops.concatenate(after, axis=1),
    },
    name="yoho_stream",
  )


def check(params):
  """Raises ValueError for what has no steps."""
  if params.lattice != "stride" or params.baseline != "none":
    raise ValueError(
      "params must have the lattice stride and no baseline for steps of a "
      f"cell; got lattice {params.lattice}, baseline {params.baseline}"
    )


def weigh(step, network):
  """Gives a network of `build` the weights of one of `yoho.build`; returns it.

  Raises:
    ValueError: they do not fit.
  """
  for layer in step.layers:
    if layer.weights:
      layer.set_weights(network.get_layer(layer.name).get_weights())
  return step


def _layer(x, number, row, params):
  """A layer of the table, on the frames that it hears."""
  import keras
  from keras import ops

  from yoho_tf.layers import conv

  kind, stride, channels = row
  channels = conv.scaled(channels, params.width)

  def norm_act(x, name):
    x = conv.BatchNormalization(
      scale=False, epsilon=params.batchnorm_epsilon, name=f"{name}_bn"
    )(x)
    top = 6.0 if params.activation == "relu6" else None
    return keras.layers.ReLU(max_value=top, name=f"{name}_relu")(x)

  bands = x.shape[2]  # filled up to "same", as time is by what was kept
  more = max(0, (-(-bands // stride) - 1) * stride + 3 - bands)
  x = ops.pad(x, ((0, 0), (0, 0), (more // 2, more - more // 2), (0, 0)))
  how = {"strides": stride, "use_bias": False}
  if kind == "conv":
    name = f"layer{number}_conv"
    x = keras.layers.Conv2D(channels, 3, name=name, **how)(x)
    return norm_act(x, name)
  name = f"layer{number}_depthwise_conv"
  x = norm_act(keras.layers.DepthwiseConv2D(3, name=name, **how)(x), name)
  name = f"layer{number}_pointwise_conv"
  x = conv.Conv2D(channels, 1, use_bias=False, name=name)(x)
  return norm_act(x, name)


def _kept_shapes(params, through):
  """[kept frames, bands, channels] of every layer's input."""
  from yoho_tf.layers import conv

  shapes, bands, channels = [], params.frontend.mel_bands, 1
  for (_, stride, wanted), flow in zip(yoho.TABLE, through):
    shapes.append((flow.kept, bands, channels))
    bands, channels = -(-bands // stride), conv.scaled(wanted, params.width)
  return shapes


def _masks(cells, through, num_cells):
  """1 where a new frame lies in a cell that is inside: [batch, frames, 1, 1].

  Args:
    cells: `inside` of the last `num_cells` cells, [batch, num_cells].
    through: `Flow` into every layer.
  """
  from keras import ops

  which = [
    num_cells - 1 + (frame - flow.delay) // flow.frames
    for flow in through
    for frame in range(flow.frames)
  ]
  ends = np.cumsum([flow.frames for flow in through])[:-1].tolist()
  masks = ops.split(ops.take(cells, np.array(which), axis=1), ends, axis=1)
  return [ops.reshape(mask, (-1, mask.shape[1], 1, 1)) for mask in masks]
