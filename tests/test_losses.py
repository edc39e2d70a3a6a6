"""YOHO's losses: goldens by hand, masks, gradients."""

import keras
import numpy as np
import pytest

from yoho_tf import losses
from yoho_tf.losses import BinaryCrossEntropy, YohoLoss, boundary_error
from yoho_tf.models import yoho
from yoho_tf.params import PRESETS, YohoLossParams

PRESENCE = ("squared", "bce", "focal")
BOUNDARY = ("squared", "l1", "bce", "iou")
EVERY = [(p, b) for p in PRESENCE for b in BOUNDARY]


def logit(p):
  p = np.asarray(p, np.float64)
  return np.log(p / (1 - p))


def sigmoid(x):
  return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def value(loss, truth, predicted, **options):
  """The loss of one cell of one class; `predicted` are scores."""
  truth = np.reshape(truth, (1, 1, 1, -1)).astype("float32")
  logits = np.reshape(logit(predicted), truth.shape).astype("float32")
  return float(loss(truth, logits, **options))


def gradient(loss, truth, logits, sample_weight=None):
  """d loss / d logits, whatever the backend's own way is."""
  if keras.backend.backend() == "jax":
    import jax

    def call(x):
      return loss(truth, x, sample_weight=sample_weight)

    return np.asarray(jax.grad(call)(np.asarray(logits, np.float32)))
  import tensorflow as tf

  logits = tf.constant(logits, tf.float32)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    total = loss(truth, logits, sample_weight=sample_weight)
  return tape.gradient(total, logits).numpy()


def random_batch(seed=0, *, batch=4, cells=5, classes=3, slots=1):
  """`truth`, `logits` of shape `[batch, cells, classes, 3 * slots]`."""
  rng = np.random.default_rng(seed)
  shape = (batch, cells, classes, slots)
  present = rng.random(shape) < 0.4
  pair = np.sort(rng.random((*shape, 2)), axis=-1) * present[..., None]
  truth = np.concatenate([present[..., None], pair], axis=-1)
  logits = rng.normal(size=truth.shape) * 3
  flat = (batch, cells, classes, 3 * slots)
  return truth.reshape(flat).astype("float32"), logits.reshape(flat).astype(
    "float32"
  )


# ---- goldens ----------------------------------------------------------------


def test_golden_squared():
  """Section 4: P, S, E = .7, .3, .8."""
  loss = YohoLoss(presence="squared", boundary="squared")
  assert abs(value(loss, (1, 0.7, 1), (0.7, 0.3, 0.8)) - 0.29) < 1e-6
  assert abs(value(loss, (0, 0, 0), (0.7, 0.3, 0.8)) - 0.49) < 1e-6


@pytest.mark.parametrize("slots", [1, 2])
def test_squared_is_equation_1_of_the_paper(slots):
  truth, logits = random_batch(slots=slots)
  loss = YohoLoss(presence="squared", boundary="squared")
  p, s, e = np.moveaxis(truth.reshape(4, -1, 3).astype(np.float64), -1, 0)
  big = sigmoid(logits).reshape(4, -1, 3)
  error = (big[..., 0] - p) ** 2
  error += p * ((big[..., 1] - s) ** 2 + (big[..., 2] - e) ** 2)
  expected = error.sum(axis=1).mean()
  assert abs(float(loss(truth, logits)) - expected) < 1e-6 * expected


@pytest.mark.parametrize(
  "present, expected",
  [
    # .25 * (1 - .7)^2 * -ln .7 and .75 * .7^2 * -ln .3
    (1, 0.25 * 0.09 * 0.35667494393873245),
    (0, 0.75 * 0.49 * 1.2039728043259361),
  ],
)
def test_golden_focal(present, expected):
  loss = YohoLoss(presence="focal", boundary_weight=0.0)
  got = value(loss, (present, 0.5, 0.5), (0.7, 0.5, 0.5))
  assert abs(got - expected) < 1e-6


@pytest.mark.parametrize(
  "present, expected", [(1, 0.35667494393873245), (0, 1.2039728043259361)]
)
def test_golden_bce(present, expected):
  loss = YohoLoss(presence="bce", boundary_weight=0.0)
  got = value(loss, (present, 0.5, 0.5), (0.7, 0.5, 0.5))
  assert abs(got - expected) < 1e-6


@pytest.mark.parametrize(
  "kind, true, pair, expected",
  [
    ("squared", (0.7, 1.0), (0.3, 0.8), 0.16 + 0.04),
    ("l1", (0.7, 1.0), (0.3, 0.8), 0.4 + 0.2),
    ("bce", (0.7, 1.0), (0.3, 0.8), 0.94978345 + 0.22314355),
    # Overlap .1, union .7, centres .85 and .55, enclosing .7.
    ("iou", (0.7, 1.0), (0.3, 0.8), 1 - 0.1 / 0.7 + (0.3 / 0.7) ** 2),
    ("iou", (0.7, 1.0), (0.8, 0.3), 1 - 0.1 / 0.7 + (0.3 / 0.7) ** 2),
    ("iou", (0.2, 0.6), (0.2, 0.6), 0.0),
    # Disjoint: no overlap, centres .15 and .8 in .0-1.
    ("iou", (0.0, 0.3), (0.6, 1.0), 1 + 0.65**2),
    ("iou", (0.2, 0.6), (0.4, 0.4), 1.0),
    ("iou", (0.5, 0.5), (0.5, 0.5), 1.0),
  ],
)
def test_golden_boundaries(kind, true, pair, expected):
  with np.errstate(divide="ignore"):  # the logit of 1
    logits = logit([pair]).astype("float32")
  got = boundary_error(kind, np.array([true], "float32"), logits)
  np.testing.assert_allclose(np.asarray(got), [expected], rtol=0, atol=1e-5)


def test_weights_scale_their_part():
  truth, logits = random_batch()

  def total(presence_weight, boundary_weight):
    loss = YohoLoss(
      presence_weight=presence_weight, boundary_weight=boundary_weight
    )
    return float(loss(truth, logits))

  presence, boundary = total(1, 0), total(0, 1)
  np.testing.assert_allclose(
    total(2, 0.5), 2 * presence + 0.5 * boundary, rtol=1e-5
  )


def test_binary_cross_entropy_is_a_mean_over_elements():
  rng = np.random.default_rng(0)
  targets = (rng.random((2, 3, 4)) < 0.5).astype("float32")
  logits = rng.normal(size=targets.shape).astype("float32")
  p = sigmoid(logits)
  expected = -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))
  got = float(BinaryCrossEntropy()(targets, logits))
  assert abs(got - expected) < 1e-6


# ---- masks and gradients ----------------------------------------------------


@pytest.mark.parametrize("presence, boundary", EVERY)
def test_boundaries_of_absent_cells_have_no_gradient(presence, boundary):
  truth, logits = random_batch(slots=2)
  loss = YohoLoss(presence=presence, boundary=boundary)
  slots = gradient(loss, truth, logits).reshape(-1, 3)
  absent = truth.reshape(-1, 3)[:, 0] == 0
  assert np.abs(slots[absent, 1:]).max() == 0.0
  assert np.abs(slots[absent, 0]).min() > 0
  assert np.abs(slots[~absent, 1:]).sum() > 0


@pytest.mark.parametrize("presence, boundary", EVERY)
def test_sample_weight_0_ignores_cells(presence, boundary):
  truth, logits = random_batch()
  loss = YohoLoss(presence=presence, boundary=boundary)
  weight = np.ones(truth.shape[:3], "float32")
  plain = float(loss(truth, logits))
  assert float(loss(truth, logits, sample_weight=weight)) == plain
  weight[:, 2:, 1] = 0
  masked = float(loss(truth, logits, sample_weight=weight))
  other = np.where(weight[..., None] > 0, logits, 7.0).astype("float32")
  assert float(loss(truth, other, sample_weight=weight)) == masked != plain
  grads = gradient(loss, truth, logits, weight)
  assert np.abs(grads[weight == 0]).max() == 0.0
  # The cells that stay weigh what they weighed before.
  full = gradient(loss, truth, logits)
  np.testing.assert_allclose(
    grads[weight > 0], full[weight > 0], rtol=1e-5, atol=1e-7
  )


@pytest.mark.parametrize(
  "true, pair",
  [
    ((0.0, 0.3), (0.7, 0.99)),  # disjoint
    ((0.5, 0.5), (0.1, 0.9)),  # zero length, true
    ((0.1, 0.9), (0.5, 0.5)),  # zero length, predicted
    ((0.5, 0.5), (0.5, 0.5)),  # both
    ((0.2, 0.6), (0.9, 0.1)),  # stop before start
    ((0.0, 1.0), (1e-7, 1 - 1e-7)),
  ],
)
def test_iou_gradients_are_finite(true, pair):
  loss = YohoLoss(boundary="iou", presence_weight=0.0)
  truth = np.array((1, *true), "float32").reshape(1, 1, 1, 3)
  logits = logit((0.5, *pair)).astype("float32").reshape(truth.shape)
  assert np.isfinite(gradient(loss, truth, logits)).all()
  assert np.isfinite(value(loss, truth, (0.5, *pair)))


def test_iou_pulls_disjoint_pairs_together():
  loss = YohoLoss(boundary="iou", presence_weight=0.0)
  truth = np.array((1, 0.0, 0.2), "float32").reshape(1, 1, 1, 3)
  logits = logit((0.5, 0.7, 0.9)).astype("float32").reshape(truth.shape)
  _, start, stop = gradient(loss, truth, logits).ravel()
  assert start + stop > 0  # a step against it moves both to the left


@pytest.mark.parametrize("presence, boundary", EVERY)
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_extreme_logits_are_finite(presence, boundary, size):
  truth, _ = random_batch()
  logits = np.full(truth.shape, size, "float32")
  loss = YohoLoss(presence=presence, boundary=boundary)
  assert np.isfinite(float(loss(truth, logits)))
  assert np.isfinite(gradient(loss, truth, logits)).all()


@pytest.mark.parametrize("column", range(10))
def test_u1_every_class_is_masked_by_its_own_presence(column):
  """Ten classes; the reference masked starts of 6-9 with class 5's presence."""
  loss = YohoLoss(presence="squared", boundary="squared")
  truth = np.zeros((1, 1, 10, 3), "float32")
  truth[0, 0, column] = 1, 0.2, 0.8
  grads = gradient(loss, truth, np.zeros(truth.shape))[0, 0]
  assert (grads[column, 1:] != 0).all()
  others = np.delete(grads, column, axis=0)
  assert np.abs(others[:, 1:]).max() == 0.0


# ---- settings ---------------------------------------------------------------


def test_d12_presence_is_trained_from_logits():
  """A squared error on a saturated sigmoid has no gradient; ours has."""
  truth = np.array((1, 0, 1), "float32").reshape(1, 1, 1, 3)
  logits = np.full(truth.shape, -30.0)
  squared = YohoLoss(presence="squared", boundary_weight=0.0)
  assert abs(gradient(squared, truth, logits).ravel()[0]) < 1e-10
  ours = yoho.loss(PRESETS["yoho_everyday"])
  assert abs(gradient(ours, truth, logits).ravel()[0] + 1) < 1e-6


@pytest.mark.parametrize(
  "name, presence, boundary",
  [
    ("yoho_music_speech", "squared", "squared"),
    ("yoho_tut2017", "squared", "squared"),
    ("yoho_urban_sed", "squared", "squared"),
    ("yoho_everyday", "bce", "bce"),
    ("yoho_everyday_small", "bce", "bce"),
  ],
)
def test_presets(name, presence, boundary):
  loss = yoho.loss(PRESETS[name])
  assert (loss.presence, loss.boundary) == (presence, boundary)
  assert (loss.presence_weight, loss.boundary_weight) == (1.0, 1.0)
  defaults = YohoLossParams()
  assert (defaults.presence, defaults.boundary) == ("bce", "bce")


def test_cells_with_an_edge_weigh_more():
  """Inner cells, at (0, 1), keep weight 1; absent ones keep 0."""
  truth = np.array([(1, 0, 1), (1, 0.4, 1), (1, 0, 0.3), (0, 0, 0)], "float32")
  truth = truth.reshape(1, 4, 1, 3)
  logits = np.full(truth.shape, 0.2, "float32")
  plain = gradient(YohoLoss(), truth, logits)[0, :, 0]
  heavy = gradient(YohoLoss(edge_weight=3.0), truth, logits)[0, :, 0]
  np.testing.assert_allclose(
    heavy, plain * np.array([[1, 1, 1], [1, 3, 3], [1, 3, 3], [1, 1, 1]])
  )


def test_bce_boundaries_move_where_the_sigmoid_is_saturated():
  truth = np.array((1, 0.5, 0.5), "float32").reshape(1, 1, 1, 3)
  logits = np.array((0, -20, 20), "float32").reshape(truth.shape)
  stuck = gradient(YohoLoss(boundary="l1"), truth, logits).ravel()[1:]
  moving = gradient(YohoLoss(boundary="bce"), truth, logits).ravel()[1:]
  assert np.abs(stuck).max() < 1e-6
  np.testing.assert_allclose(moving, [-0.5, 0.5], atol=1e-6)


def test_config_round_trip():
  loss = YohoLoss(presence="focal", boundary="iou", boundary_weight=2.0)
  again = keras.losses.deserialize(keras.losses.serialize(loss))
  assert again.get_config() == loss.get_config()
  truth, logits = random_batch()
  assert float(again(truth, logits)) == float(loss(truth, logits))


def test_distillation_weighs_boundaries_by_the_teachers_presence():
  rng = np.random.default_rng(0)
  student, teacher = rng.normal(size=(2, 4, 5, 3, 6)).astype("float32")
  layer = losses.Distillation(weight=0.25)
  same = layer([student, teacher])
  np.testing.assert_array_equal(np.asarray(same), student)
  p, q = (1 / (1 + np.exp(-x.astype(float))) for x in (teacher, student))
  apart = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
  expected = 0.0
  for parts, present in zip(apart.reshape(-1, 3), p.reshape(-1, 3)[:, 0]):
    expected += parts[0] + present * parts[1:].sum()
  (loss,) = layer.losses
  np.testing.assert_allclose(float(loss), 0.25 * expected / 4, rtol=1e-5)


def test_distillation_is_zero_where_student_and_teacher_agree():
  logits = np.array((-60, -3, 0, 3, 60, 0), "float32").reshape(1, 1, 1, 6)
  layer = losses.Distillation()
  layer([logits, logits])
  assert float(layer.losses[0]) == 0
