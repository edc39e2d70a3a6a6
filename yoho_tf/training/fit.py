"""Training YOHO: plain `compile` and `fit`, in two stages.

Stage 1 trains the head and layers 15-17 on the loaded body; stage 2 trains
everything. Both resume: Keras' `BackupAndRestore` keeps weights, optimizer and
epoch, and batches depend on (seed, epoch, index) only.
"""

import json
import pathlib
import time
from dataclasses import asdict, replace

import keras
import numpy as np

from yoho_tf import weights_h5
from yoho_tf.data import pydataset, sources
from yoho_tf.files import replace_text
from yoho_tf.layers import augment, frontend
from yoho_tf.models import yoho
from yoho_tf.params import TrainingParams, YohoParams, to_json
from yoho_tf.training import callbacks, evaluation, schedules

BODY_LAYERS = 14  # those that YAMNet's weights fill


def training_model(network, params: YohoParams, training: TrainingParams):
  """waveform -> event_logits: front end, SpecAugment, then `network`."""
  samples = params.window_samples + params.extra_samples
  waveform = keras.Input((samples,), dtype="float32", name="waveform")
  x = frontend.log_mel_layer(params.frontend)(waveform)
  x = augment.SpecAugment(
    frequency_masks=training.frequency_masks,
    frequency_mask_bands=training.frequency_mask_bands,
    time_masks=training.time_masks,
    time_mask_frames=training.time_mask_frames,
    seed=training.seed,
    name="spec_augment",
  )(x)
  logits = network({"log_mel": x})["event_logits"]
  return keras.Model(waveform, logits, name="yoho_training")


def set_body_trainable(network, trainable: bool) -> None:
  """Layers 1-14 on or off; moving statistics are not touched."""
  for layer in network.layers:
    number = layer.name.removeprefix("layer").split("_")[0]
    if number.isdigit() and int(number) <= BODY_LAYERS:
      layer.trainable = trainable


def train(
  params: YohoParams,
  training: TrainingParams,
  *,
  source_folder,
  out_folder,
  permissive_only: bool,
  yamnet_weights=None,
  family=None,
  initial_weights=None,
  log=print,
):
  """Trains on synthetic scenes; returns the network with the best weights.

  Args:
    source_folder: with `manifest.csv` (data/sources.py).
    out_folder: run folder: `params.json`, `training.json`, `log.csv`,
      `best.weights.h5`, `best.json`. An existing run with the same params is
      continued; with others it is an error.
    permissive_only: use material that allows commercial use only.
    yamnet_weights: 110-dataset file of the family that `params.activation`
      names, for layers 1-14.
    initial_weights: `.weights.h5` of a network with the same body, loaded
      after that; a head of another width is left as it is.
  """
  out = pathlib.Path(out_folder)
  out.mkdir(parents=True, exist_ok=True)
  keras.utils.set_random_seed(training.seed)
  if yamnet_weights and not params.frozen_batchnorm_layers:
    params = replace(params, frozen_batchnorm_layers=BODY_LAYERS)
  params = replace(params, input="log_mel")
  _write_once(out / "params.json", to_json(params))
  _write_once(
    out / "training.json",
    json.dumps(
      {**asdict(training), "permissive_only": permissive_only}, indent=2
    ),
  )
  network = yoho.build(params)
  if yamnet_weights:
    weights_h5.load_weights(
      network,
      yamnet_weights,
      activation=params.activation,
      family=family,
      head=False,
    )
  if initial_weights:
    network.load_weights(initial_weights, skip_mismatch=True)

  train_pool = pool(source_folder, "train", params, permissive_only)
  val_pool = pool(source_folder, "val", params, permissive_only)
  waveforms, reference = evaluation.scene_set(
    val_pool,
    training.scene,
    labels=params.labels,
    num_scenes=training.num_validation_scenes,
    seed=training.seed + 1,
  )
  rate = params.frontend.sample_rate_hz
  durations = {k: len(v) / rate for k, v in waveforms.items()}
  front = frontend.log_mel_layer(params.frontend)
  features = np.concatenate(  # all scenes are equally long
    [
      np.asarray(front(evaluation.padded(waveform, params)[None]))
      for waveform in waveforms.values()
    ]
  )

  def evaluate():
    events = network.predict({"log_mel": features}, batch_size=16, verbose=0)
    cells = dict(zip(waveforms, events["events"], strict=True))
    estimate = evaluation.decode_all(cells, params, durations)
    return evaluation.scores(reference, estimate, durations, params.labels)

  stages = []
  if yamnet_weights:
    stages.append(("head", training.head_steps, training.head_learning_rate))
  stages.append(("all", training.steps, training.learning_rate))
  first_epoch = 0
  for name, steps, peak in stages:
    epochs = steps // training.steps_per_epoch
    done = out / f"{name}.done"
    if done.exists():
      network.load_weights(out / f"{name}.weights.h5")
      first_epoch += epochs
      continue
    set_body_trainable(network, name == "all")
    model = training_model(network, params, training)
    model.compile(
      optimizer=_optimizer(training, peak, steps), loss=yoho.loss(params)
    )
    log(f"stage {name}: {epochs} epochs of {training.steps_per_epoch} steps")
    batches = _ResumingBatches(
      train_pool, params, training, first_epoch=first_epoch, workers=1
    )
    model.fit(
      batches,
      epochs=epochs,
      shuffle=False,  # the batches are random already, and stay repeatable
      verbose=0,
      callbacks=[
        keras.callbacks.BackupAndRestore(out / f"backup_{name}"),
        _EpochOffset(batches, first_epoch),
        *_averaging(training),
        callbacks.EventEvaluation(evaluate, network, out),
        keras.callbacks.CSVLogger(out / f"log_{name}.csv", append=True),
        _Progress(log),
      ],
    )
    callbacks.save_weights(network, out / f"{name}.weights.h5")
    done.touch()
    first_epoch += epochs
  set_body_trainable(network, True)
  network.load_weights(out / "best.weights.h5")
  return network, params


class _ResumingBatches(pydataset.SceneBatches):
  def on_epoch_end(self):
    pass  # _EpochOffset sets the epoch, also after a restore


class _EpochOffset(keras.callbacks.Callback):
  def __init__(self, batches, first_epoch):
    super().__init__()
    self.batches, self.first_epoch = batches, first_epoch

  def on_epoch_begin(self, epoch, logs=None):
    self.batches.epoch = self.first_epoch + epoch


class _Progress(keras.callbacks.Callback):
  def __init__(self, log):
    super().__init__()
    self.log = log

  def on_epoch_begin(self, epoch, logs=None):
    self.started = time.perf_counter()

  def on_epoch_end(self, epoch, logs=None):
    seconds = time.perf_counter() - self.started
    values = " ".join(f"{k} {v:.4f}" for k, v in logs.items())
    self.log(f"epoch {epoch + 1} {values} {seconds:.0f} s")


def pool(folder, split, params, permissive_only):
  """Material of a split, without the recordings kept for evaluation."""
  exclude = ()
  if split != "train":
    exclude = sources.real_strong_ids(folder, split="val")
  return sources.read_manifest(
    folder,
    split=split,
    labels=params.labels,
    permissive_only=permissive_only,
    exclude_ids=exclude,
  )


def _optimizer(training, peak, steps):
  optimizer = keras.optimizers.AdamW(
    schedules.warmup_cosine(
      peak=peak,
      final=training.final_learning_rate,
      steps=steps,
      warmup_steps=min(training.warmup_steps, steps // 4),
    ),
    weight_decay=training.weight_decay,
    clipnorm=training.gradient_clip_norm,
    use_ema=training.ema_momentum > 0,
    ema_momentum=training.ema_momentum or 0.99,
  )
  optimizer.exclude_from_weight_decay(var_names=["bias", "beta"])
  return optimizer


def _averaging(training):
  if not training.ema_momentum:
    return ()
  return (keras.callbacks.SwapEMAWeights(swap_on_epoch=True),)


def _write_once(path, text):
  if path.is_file() and path.read_text() != text:
    raise ValueError(
      f"out must be a new folder or a run with the same settings; "
      f"{path.name} in {str(path.parent)!r} differs"
    )
  replace_text(path, text)
