"""Keras losses of the systems; `keras.ops` only, computed in float32."""

import keras
from keras import ops

_REGISTER = keras.saving.register_keras_serializable("yoho_tf")


def binary_cross_entropy(targets, logits):
  """Element-wise, from logits, without overflow."""
  return (
    ops.maximum(logits, 0)
    - logits * targets
    + ops.log1p(ops.exp(-ops.abs(logits)))
  )


def focal(targets, logits, *, gamma=2.0, alpha=0.25):
  """Element-wise focal loss (Lin et al. 2017, equation 5)."""
  signed = (2 * targets - 1) * logits  # logit of the right answer
  weight = alpha * targets + (1 - alpha) * (1 - targets)
  miss = ops.sigmoid(-signed)
  return weight * ops.power(miss, gamma) * ops.softplus(-signed)


@_REGISTER
class BinaryCrossEntropy(keras.losses.Loss):
  """Binary cross-entropy from logits, averaged over every element."""

  def call(self, y_true, y_pred):
    return binary_cross_entropy(ops.cast(y_true, y_pred.dtype), y_pred)


def boundary_error(kind, true_pair, logits):
  """Error of (start, stop) in cells: `squared`, `l1`, `bce` or `iou`.

  Args:
    true_pair, logits: `[..., 2]`; the truth is a position inside the cell,
      0..1, and so is the sigmoid of the logits.

  Returns:
    `[...]`. `bce` is cross-entropy with the position as a soft target: its
    gradient, position - truth, does not vanish where the sigmoid saturates.
    `iou` is 1 - IoU + (centre distance / enclosing length)^2 of the two
    intervals, the predicted pair sorted; 1e-6 in both denominators keeps the
    gradient of disjoint and zero-length pairs finite (yoho.md section 9).
  """
  if kind == "bce":
    return ops.sum(binary_cross_entropy(true_pair, logits), axis=-1)
  pair = ops.sigmoid(logits)
  if kind == "squared":
    return ops.sum(ops.square(pair - true_pair), axis=-1)
  if kind == "l1":
    return ops.sum(ops.abs(pair - true_pair), axis=-1)
  start = ops.minimum(pair[..., 0], pair[..., 1])
  stop = ops.maximum(pair[..., 0], pair[..., 1])
  true_start, true_stop = true_pair[..., 0], true_pair[..., 1]
  overlap = ops.maximum(
    ops.minimum(stop, true_stop) - ops.maximum(start, true_start), 0.0
  )
  union = (stop - start) + (true_stop - true_start) - overlap
  enclosing = ops.maximum(stop, true_stop) - ops.minimum(start, true_start)
  centres = (start + stop - true_start - true_stop) / 2
  return 1 - overlap / (union + 1e-6) + ops.square(centres / (enclosing + 1e-6))


@_REGISTER
class YohoLoss(keras.losses.Loss):
  """Presence of every cell, plus boundaries of the cells that are present.

  `squared`, `squared` is the paper's loss (Venkatesh et al. 2022, equation 1):
  the sum over cells and classes of (P - p)^2 + p [(S - s)^2 + (E - e)^2], then
  the mean over the batch. `y_true [batch, cells, classes, 3 * slots]`, last
  axis slot-major (presence, start, stop); `y_pred` the logits of the same
  shape; `sample_weight [batch, cells, classes]`, 0 where nobody looked.
  """

  def __init__(
    self,
    *,
    presence="bce",
    boundary="l1",
    presence_weight=1.0,
    boundary_weight=1.0,
    edge_weight=1.0,
    name="yoho_loss",
    **kwargs,
  ):
    super().__init__(name=name, **kwargs)
    self.presence = presence
    self.boundary = boundary
    self.presence_weight = presence_weight
    self.boundary_weight = boundary_weight
    self.edge_weight = edge_weight

  def call(self, y_true, y_pred):
    _, cells, classes, width = ops.shape(y_pred)
    split = (-1, cells, classes, width // 3, 3)
    logits = ops.reshape(ops.cast(y_pred, "float32"), split)
    truth = ops.reshape(ops.cast(y_true, "float32"), split)
    present, logit = truth[..., 0], logits[..., 0]
    if self.presence == "squared":
      error = ops.square(ops.sigmoid(logit) - present)
    elif self.presence == "bce":
      error = binary_cross_entropy(present, logit)
    else:
      error = focal(present, logit)
    pair = truth[..., 1:]
    edges = boundary_error(self.boundary, pair, logits[..., 1:])
    # Most cells of a long event lie inside it, at (0, 1): without a weight
    # they outvote the few that hold an edge.
    is_edge = ops.logical_or(pair[..., 0] > 0, pair[..., 1] < 1)
    edges = edges * ops.where(is_edge, self.edge_weight, 1.0)
    error = self.presence_weight * error + (
      self.boundary_weight * present * edges
    )
    error = ops.sum(error, axis=-1)  # [batch, cells, classes]
    # Keras averages over every element; the paper sums cells and classes.
    return error * ops.cast(cells * classes, error.dtype)

  def get_config(self):
    keys = (
      "presence boundary presence_weight boundary_weight edge_weight"
    ).split()
    return {**super().get_config(), **{k: getattr(self, k) for k in keys}}


@_REGISTER
class Distillation(keras.layers.Layer):
  """Adds the distance from a teacher's answers to the loss of a model.

  Logits `[student, teacher]`, both `[batch, cells, classes, 3 * slots]` ->
  student. Kullback-Leibler divergence of the presence, plus that of start and
  stop weighed by the teacher's presence: where nothing sounds they mean
  nothing. Summed over cells and classes, averaged over the batch, as
  `YohoLoss`. Squared error of the logits would spend most of itself on how
  absent an absent sound is (docs/results/trials.md).
  """

  def __init__(self, *, weight=1.0, **kwargs):
    kwargs["dtype"] = "float32"
    super().__init__(**kwargs)
    self.weight = weight

  def call(self, logits):
    student, teacher = logits
    _, cells, classes, width = ops.shape(student)
    split = (-1, cells, classes, width // 3, 3)
    teacher = ops.reshape(ops.stop_gradient(teacher), split)
    taught = ops.sigmoid(teacher)
    error = binary_cross_entropy(taught, ops.reshape(student, split))
    error = error - binary_cross_entropy(taught, teacher)
    error = error[..., 0] + taught[..., 0] * ops.sum(error[..., 1:], axis=-1)
    self.add_loss(self.weight * ops.mean(ops.sum(error, axis=(1, 2, 3))))
    return student

  def compute_output_shape(self, input_shape):
    return input_shape[0]

  def get_config(self):
    return {**super().get_config(), "weight": self.weight}
