"""Training YOHO: plain `compile` and `fit`, in two stages.

Stage 1 trains the head and layers 15-17 on the loaded body; stage 2 trains
everything. Both resume after a kill with the curve they would have had:
resume.py keeps weights, optimizer, seeds and epoch, and batches depend on
(seed, epoch, index) only.
"""

import contextlib
import pathlib
import warnings
from dataclasses import replace

import keras

from yoho_tf import losses, weights_h5
from yoho_tf.deploy import keras_file, quantize
from yoho_tf.files import sha256
from yoho_tf.layers import augment, frontend
from yoho_tf.models import yoho
from yoho_tf.params import TrainingParams, YohoParams
from yoho_tf.training import (
  callbacks,
  distribution,
  prune,
  resume,
  schedules,
)
from yoho_tf.training.material import Material

BODY_LAYERS = 14  # those that YAMNet's weights fill
INITIAL = "initial.weights.h5"


def training_model(
  network, params: YohoParams, training: TrainingParams, *, teacher=None
):
  """waveform -> logits: gain, front end, SpecAugment, then `network`.

  Args:
    teacher: a network with the same front end, cells and classes, which hears
      every window without masks (`losses.Distillation`).
  """
  samples = params.window_samples + params.extra_samples
  waveform = keras.Input((samples,), dtype="float32", name="waveform")
  x = augment.RandomGain(
    gain_db=training.gain_db, seed=training.seed, name="random_gain"
  )(waveform)
  log_mel = frontend.log_mel_layer(params.frontend)(x)
  x = augment.SpecAugment(
    frequency_masks=training.frequency_masks,
    frequency_mask_bands=training.frequency_mask_bands,
    time_masks=training.time_masks,
    time_mask_frames=training.time_mask_frames,
    seed=training.seed,
    name="spec_augment",
  )(log_mel)
  logits = network({"log_mel": x})[params.logits]
  if teacher is not None:
    taught = teacher({"log_mel": log_mel}, training=False)[params.logits]
    logits = losses.Distillation(
      weight=training.distillation_weight, name="distillation"
    )([logits, taught])
  return keras.Model(waveform, logits, name="yoho_training")


def set_trainable(network, first_layer: int) -> None:
  """Layers from `first_layer` on train, those below stay as they are."""
  for layer in network.layers:
    number = layer.name.removeprefix("layer").split("_")[0]
    if number.isdigit():
      layer.trainable = int(number) >= first_layer


def train(
  params: YohoParams,
  training: TrainingParams,
  *,
  material: Material,
  out_folder,
  yamnet_weights=None,
  family=None,
  initial_weights=None,
  teacher=None,
  devices=1,
  log=print,
):
  """Trains; returns the network with the best weights and its params.

  Args:
    material: batches and files of known content (material.py).
    out_folder: run folder: `params.json`, `training.json`, `log_<stage>.csv`,
      `best.weights.h5`, `best.json`. An existing run with the same settings is
      continued; with others it is an error. Several hosts share it.
    yamnet_weights: 110-dataset file of the family that `params.activation`
      names, for layers 1-14.
    initial_weights: `.weights.h5` of a network with the same body, loaded
      after that; a head of another width is left as it is.
    teacher: the `.keras` of a finished run with the same labels, front end
      and slots, to learn from besides the labels.
    devices: number of devices of this host to train on (distribution.py).

  Returns:
    The network, float32 on one device whatever it was trained with, and the
    params it was built with.
  """
  out = pathlib.Path(out_folder)
  out.mkdir(parents=True, exist_ok=True)
  if not distribution.is_first_host():
    log = _silent
  keras.utils.set_random_seed(training.seed)
  is_loaded = bool(yamnet_weights or initial_weights)
  if training.quantize_aware and not initial_weights:
    raise ValueError(
      "initial_weights must be those of a trained network with "
      f"training.quantize_aware; received {initial_weights!r}"
    )
  if is_loaded and not params.frozen_batchnorm_layers:
    params = replace(params, frozen_batchnorm_layers=BODY_LAYERS)
  params = replace(params, input="log_mel")
  about = material.about
  if teacher:
    about = {**about, "teacher": sha256(teacher)}
  resume.check_settings(out, params, training, about)
  scope = distribution.scope(devices, training.batch_size)
  with scope(), _precision(training.precision):
    network = yoho.build(params)
    if devices > 1:
      distribution.synchronize(network)
    if yamnet_weights:
      weights_h5.load_weights(
        network,
        yamnet_weights,
        activation=params.activation,
        family=family,
        head=False,
      )
    if initial_weights:
      load_body(network, initial_weights)
    teacher = teacher and _teacher(teacher, params)
  left = params.batchnorm_momentum**training.steps
  if not is_loaded and left > 1e-4:  # depthwise layers put out about 1e-3
    log(
      f"batchnorm_momentum {params.batchnorm_momentum} keeps {left:.2g} of the "
      f"moving variances' initial 1 after {training.steps} steps, which can "
      "outweigh what a layer puts out; take more steps or a lower momentum"
    )
  if distribution.is_first_host() and not (out / INITIAL).is_file():
    callbacks.save_weights(network, out / INITIAL)
  measured = yoho.build(params)
  if training.quantize_aware:
    bounds = quantize.input_range(params)
    with scope():
      network = quantize.fake_quant(network, input_range=bounds)
    measured = quantize.fake_quant(measured, input_range=bounds)
  validation = material.validation(measured)
  absent = sorted(set(params.labels) - set(validation.reference.label))
  if absent:
    log(f"no validation event of {', '.join(absent)}")

  stages = [("all", training.steps, training.learning_rate)]
  if is_loaded and not (training.quantize_aware or training.sparsity):
    head = ("head", training.head_steps, training.head_learning_rate)
    stages.insert(0, head)
  first_epoch = 0
  for name, steps, peak in stages:
    last_epoch = first_epoch + steps // training.steps_per_epoch
    done = out / f"{name}.weights.h5"
    if done.exists():
      network.load_weights(done)
    else:
      with scope(), _precision(training.precision):
        from_layer = training.trainable_from_layer
        set_trainable(
          network, BODY_LAYERS + 1 if name == "head" else from_layer
        )
        model = training_model(network, params, training, teacher=teacher)
        model.compile(
          optimizer=_optimizer(training, peak, steps), loss=yoho.loss(params)
        )
        log(
          f"stage {name}: epochs {first_epoch + 1} to {last_epoch} of "
          f"{training.steps_per_epoch} steps"
        )
        _fit_stage(
          model,
          material,
          validation,
          params,
          training,
          name=name,
          epochs=(first_epoch, last_epoch),
          out=out,
          log=log,
        )
      distribution.wait(name)
      if distribution.is_first_host():
        callbacks.save_weights(network, done)
        (out / f"state_{name}.npz").unlink(missing_ok=True)
      distribution.wait(f"{name} saved")
    first_epoch = last_epoch
  measured.load_weights(out / "best.weights.h5")
  if training.quantize_aware:
    twin, measured = measured, yoho.build(params)
    quantize.unfold(twin, measured)
  return measured, params


def _teacher(path, params):
  """The frozen network of a `.keras` whose logits mean what ours do."""
  network, own = keras_file.read(path)
  for name in ("labels", "frontend", "slots", "lattice", "window_seconds"):
    if getattr(own, name) != getattr(params, name):
      raise ValueError(
        f"teacher must have the same {name}, {getattr(params, name)}; received "
        f"{getattr(own, name)} ({str(path)!r})"
      )
  network.trainable = False
  return keras.Model(network.input, network.output, name="teacher")


def load_body(network, path) -> None:
  """Weights of another network: whatever has the same shape.

  Raises:
    ValueError: no `.weights.h5`.
  """
  if not str(path).endswith(".weights.h5") or not pathlib.Path(path).is_file():
    raise ValueError(
      f"initial_weights must be a .weights.h5 file; received {str(path)!r}"
    )
  with warnings.catch_warnings():  # of the head of other classes
    for words in (".*could not be loaded", "Skipping nested container"):
      warnings.filterwarnings("ignore", message=words)
    network.load_weights(path, skip_mismatch=True)


def _fit_stage(
  model, material, validation, params, training, *, name, epochs, out, log
):
  """One `fit`, from where a killed run stopped to the last epoch."""
  first, last = epochs
  state, table = out / f"state_{name}.npz", out / f"log_{name}.csv"
  # Or Keras makes its variables inside the graph, and traces that twice.
  model.optimizer.build(model.trainable_variables)
  start = resume.restore(state, model) if state.is_file() else first
  first_scored, every_host = 0, []
  if training.sparsity:
    # Half of the steps make zeros; networks with fewer are no candidates.
    step = max(1, (last - first) * training.steps_per_epoch // 2)
    first_scored = first + (step - 1) // training.steps_per_epoch
    every_host = [
      prune.Pruning(
        model.get_layer("yoho"), sparsity=training.sparsity, end_step=step
      )
    ]
  evaluate = callbacks.EventEvaluation(
    validation,
    yoho.decode_files,
    params=params,
    every_epochs=training.evaluate_every_epochs,
    first_epoch=first_scored,
    output_dir=out,
    restore_best=name == "all",  # the next stage goes on from the last weights
    allow_absent=True,
  )
  batches = material.batches(start)
  every_host += [callbacks.KeepFreedMemory(), evaluate]
  if isinstance(batches, keras.utils.PyDataset):
    if distribution.num_hosts() > 1:
      batches = distribution.HostShare(batches, workers=batches.workers)
    every_host.insert(0, callbacks.SetEpoch(batches))
  if training.patience_epochs:
    every_host.append(
      callbacks.StopWithoutProgress(
        evaluate,
        training.patience_epochs,
        first_epoch=max(first, first_scored),
        log=log if distribution.is_first_host() else None,
      )
    )
  first_host = []
  if distribution.is_first_host():
    first_host.append(resume.CsvLog(table, start))
    if training.tensorboard:
      first_host.append(callbacks.TensorBoard(out / "tensorboard"))
    first_host += [callbacks.Progress(log), resume.SaveState(state)]
  try:
    model.fit(
      batches,
      initial_epoch=start,
      epochs=last,
      steps_per_epoch=training.steps_per_epoch,
      shuffle=False,  # the batches are random already, and stay repeatable
      verbose=0,
      callbacks=every_host + first_host,
    )
  except Exception as error:
    raise material.explain(error) from None


def _optimizer(training, peak, steps):
  optimizer = keras.optimizers.AdamW(
    schedules.warmup_cosine(
      peak=peak,
      final=training.final_learning_rate,
      steps=steps,
      warmup_steps=min(training.warmup_steps, steps // 4),
    ),
    weight_decay=training.weight_decay,
    clipnorm=training.gradient_clip_norm or None,
    use_ema=training.ema_momentum > 0,
    ema_momentum=training.ema_momentum or 0.99,
  )
  optimizer.exclude_from_weight_decay(var_names=["bias", "beta"])
  return optimizer


@contextlib.contextmanager
def _precision(policy):
  """Layers built here compute in `policy`; the head asks for float32 itself."""
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)


def _silent(line):
  """What hosts other than the first have to say."""
