"""Learning-rate schedules."""

import keras


def warmup_cosine(*, peak, final, steps, warmup_steps):
  """Linear warm-up to `peak`, then cosine down to `final` at `steps`."""
  return keras.optimizers.schedules.CosineDecay(
    initial_learning_rate=peak * 0.01,
    warmup_target=peak,
    warmup_steps=warmup_steps,
    decay_steps=max(steps - warmup_steps, 1),
    alpha=final / peak,
  )
