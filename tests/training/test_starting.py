"""What a training run starts from."""

from dataclasses import replace

import numpy as np

from tests import small
from yoho_tf.layers.conv import BatchNormalization
from yoho_tf.layers.frontend import log_mel_layer
from yoho_tf.models import yoho
from yoho_tf.training import starting

PARAMS = replace(small.PARAMS, input="log_mel", dropout=0.0)


def norms(network):
  return [x for x in network.layers if isinstance(x, BatchNormalization)]


def batches():
  rng = np.random.default_rng(0)
  samples = PARAMS.window_samples + PARAMS.extra_samples
  waveform = 0.1 * rng.standard_normal((2, samples)).astype(np.float32)
  return [(waveform, None)]


def test_a_new_network_answers_at_once_as_it_does_in_training():
  network = yoho.build(PARAMS)
  small.draw_kernels(network)
  log_mel = log_mel_layer(PARAMS.frontend)(batches()[0][0])
  inputs = {"log_mel": log_mel}
  before = np.asarray(network(inputs, training=False)["event_logits"])
  starting.begin_statistics(network, PARAMS, batches())
  after = np.asarray(network(inputs, training=False)["event_logits"])
  wanted = np.asarray(network(inputs, training=True)["event_logits"])
  np.testing.assert_allclose(after, wanted, atol=1e-3)
  assert np.abs(before - wanted).max() > 0.1
  assert {layer.momentum for layer in norms(network)} == {
    PARAMS.batchnorm_momentum
  }


def test_loaded_statistics_stay():
  network = yoho.build(PARAMS)
  loaded, *_, last = norms(network)
  loaded.moving_variance.assign(2 * np.ones(loaded.moving_variance.shape))
  starting.begin_statistics(network, PARAMS, batches())
  assert (np.asarray(loaded.moving_variance) == 2).all()
  assert (np.asarray(loaded.moving_mean) == 0).all()
  assert (np.asarray(last.moving_variance) != 1).all()
