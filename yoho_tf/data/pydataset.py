"""Training batches on the fly, for every Keras backend."""

import keras
import numpy as np

from yoho_tf.data import synth
from yoho_tf.models import yoho


class SceneBatches(keras.utils.PyDataset):
  """Random crops of synthetic scenes with their YOHO targets.

  Batch `i` of epoch `e` is a pure function of (seed, e, i): a resumed run sees
  the batches it would have seen.

  Args:
    pool: `data.sources.SourcePool`.
    params: `YohoParams`.
    training: `TrainingParams`.
    first_epoch: epoch that the first pass counts as (after a resume).

  Yields:
    `(waveform float32 [batch, samples], targets float32 [batch, cells,
    classes, 3 * slots])`, samples = cells * 5,120 + 240.
  """

  def __init__(self, pool, params, training, *, first_epoch=0, **kwargs):
    super().__init__(**kwargs)
    self.pool = pool
    self.params = params
    self.training = training
    self.epoch = first_epoch

  def __len__(self):
    return self.training.steps_per_epoch

  def on_epoch_end(self):
    self.epoch += 1

  def __getitem__(self, index):
    training = self.training
    step = self.epoch * training.steps_per_epoch + index
    first = step * training.batch_size
    examples = [self.example(first + i) for i in range(training.batch_size)]
    waveforms, targets = zip(*examples, strict=True)
    return np.stack(waveforms), np.stack(targets)

  def example(self, index):
    params, training = self.params, self.training
    rate = params.frontend.sample_rate_hz
    scene = synth.make_scene(
      self.pool,
      training.scene,
      seed=training.seed,
      index=index,
      labels=params.labels,
    )
    rng = np.random.default_rng([training.seed, index, 1])
    room = len(scene.waveform) - params.window_samples
    first = int(rng.integers(max(room, 0) + 1))
    # The extra samples of the last frame carry signal, never labels.
    waveform, _ = synth.crop(
      scene, first, params.window_samples + params.extra_samples, rate
    )
    _, events = synth.crop(scene, first, params.window_samples, rate)
    gain = 10 ** (rng.uniform(*training.gain_db) / 20)
    waveform = np.clip(waveform * np.float32(gain), -1, 1)
    return waveform, yoho.encode(events, params)
