"""Pruning: the least weights of every kernel become 0 while it trains."""

import keras
import numpy as np


class Pruning(keras.callbacks.Callback):
  """Zeros in convolution and dense kernels, by magnitude.

  The share of zeros grows as in Zhu and Gupta 2017, "To prune, or not to
  prune": fast at first, `sparsity * (1 - (1 - t)^3)` with t from 0 to 1
  between the two steps. Then the zeros stay where they are. Depthwise kernels,
  9 weights per channel, stay whole. A restarted run finds its masks in the
  weights. Put it before whatever evaluates or saves.

  Args:
    network: the model under training, or the layer of it to prune.
    sparsity: share of zeros in each kernel at the end, in (0, 1).
    end_step, begin_step: of the optimizer, counted from 1 at its first update.
    every_steps: how often the zeros are chosen anew; default: 20 times.
  """

  def __init__(
    self, network, *, sparsity, end_step, begin_step=0, every_steps=None
  ):
    super().__init__()
    if not 0 < sparsity < 1:
      raise ValueError(f"sparsity must lie in (0, 1); received {sparsity}")
    if not 0 <= begin_step < end_step:
      raise ValueError(
        "begin_step must be at least 0 and less than end_step; received "
        f"{begin_step} and {end_step}"
      )
    self.kernels = kernels(network)
    self.sparsity = sparsity
    self.begin_step, self.end_step = begin_step, end_step
    self.every_steps = every_steps or max(1, (end_step - begin_step) // 20)
    self.masks = []

  def sparsity_at(self, step) -> float:
    t = (step - self.begin_step) / (self.end_step - self.begin_step)
    return self.sparsity * (1 - (1 - min(max(t, 0.0), 1.0)) ** 3)

  def on_train_begin(self, logs=None):
    self.masks = [np.asarray(kernel) != 0 for kernel in self.kernels]

  def on_train_batch_end(self, batch, logs=None):
    if hasattr(self.model, "jax_state_sync"):  # JAX trains copies
      self.model.jax_state_sync()
    step = int(self.model.optimizer.iterations)
    if step <= self.begin_step:
      return
    is_due = (step - self.begin_step) % self.every_steps == 0
    if step == self.end_step or (is_due and step < self.end_step):
      share = self.sparsity_at(step)
      self.masks = [
        mask & largest(np.asarray(kernel) * mask, share)
        for kernel, mask in zip(self.kernels, self.masks, strict=True)
      ]
    for kernel, mask in zip(self.kernels, self.masks, strict=True):
      kernel.assign(np.asarray(kernel) * mask)


def kernels(network) -> list:
  """Of its convolutions and dense layers, depthwise ones left out."""
  layers = [getattr(layer, "layer", layer) for layer in network.layers]
  kinds = (keras.layers.Conv2D, keras.layers.Dense)
  return [layer.kernel for layer in layers if isinstance(layer, kinds)]


def largest(values, sparsity) -> np.ndarray:
  """Mask of all but the `sparsity * size` least magnitudes, rounded."""
  flat = np.abs(values).ravel()
  mask = np.ones(flat.shape, bool)
  mask[np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]] = False
  return mask.reshape(values.shape)
