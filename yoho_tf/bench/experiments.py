"""The experiments behind docs/results.md: a table, and how one is run.

All train on the same records of an Urban-SED-like set: scenes of 10 s from the
published recipe (preset `urban`), 10 classes, sources of one split never in
another. Post-processing is fitted on its validation scenes; what is kept of the
test scenes is every event with its score.
"""

import pathlib
import time
from dataclasses import dataclass, replace

import numpy as np

from yoho_tf.data import records, sources, synth
from yoho_tf.data.examples import from_scene
from yoho_tf.labels import ClassMap
from yoho_tf.params import (
  PRESETS,
  SCENE_PRESETS,
  TrainingParams,
  YohoLossParams,
  YohoParams,
)

LABELS = PRESETS["yoho_urban_sed"].labels
NUM_SCENES = {"train": 3000, "val": 400, "test": 400}
SET_SEED = 5

# As many windows for everyone. From scratch at the paper's learning rate, in
# small steps (in 600 of 16 windows YOHO of the paper learns to answer nothing);
# from YAMNet in two stages, its first seven layers as they are, in larger ones
# (those of 4 windows take 1.4 times as long to the same loss).
_SCRATCH = TrainingParams(
  batch_size=4,
  steps=2400,
  steps_per_epoch=200,
  learning_rate=1e-3,
  warmup_steps=200,
  patience_epochs=0,
  evaluate_every_epochs=6,
)
# A quarter of the windows: one of all frames costs four and ten times ours.
_FRAMEWISE = replace(
  _SCRATCH,
  steps=600,
  steps_per_epoch=50,
  warmup_steps=50,
  evaluate_every_epochs=12,
)
_FINE = replace(
  _SCRATCH,
  batch_size=16,
  head_steps=100,
  steps=500,
  steps_per_epoch=50,
  warmup_steps=50,
  learning_rate=4e-4,
  trainable_from_layer=8,
)

_PAPER = replace(
  PRESETS["yoho_urban_sed"],
  frontend=replace(
    PRESETS["yoho_urban_sed"].frontend,
    sample_rate_hz=16_000,  # that of the recordings
    mel_max_hz=8_000.0,
  ),
)
# The penalties of YOHO's loss, which sums over cells and classes, would be 20
# (CRNN) and 200 times the mean over frames that these two start from. And after
# 600 steps with momentum 0.99 the moving variances still hold .0024 of the 1
# they began with, more than some layers put out: the CNN then answers nothing.
_PAPER_FRAMEWISE = replace(
  _PAPER, l2_first=0.0, l2_pointwise=0.0, batchnorm_momentum=0.9
)
PARAMS = replace(PRESETS["yoho_everyday"], labels=LABELS)


@dataclass(frozen=True)
class Experiment:
  """One row of the table.

  `start`: "scratch", or "yamnet" for layers 1-14. `teacher`: the experiment
  whose first seed's network is learnt from.
  """

  title: str
  params: YohoParams
  training: TrainingParams = _FINE
  start: str = "yamnet"
  teacher: str = ""


def _ours(title, **changes):
  """Ours with one change."""
  return Experiment(title, replace(PARAMS, **changes))


EXPERIMENTS = {
  "paper": Experiment("YOHO of the paper", _PAPER, _SCRATCH, "scratch"),
  "cnn": Experiment(
    "CNN of the paper, 4 windows a step",
    replace(_PAPER_FRAMEWISE, baseline="cnn"),
    _FRAMEWISE,
    "scratch",
  ),
  "crnn": Experiment(
    "CRNN of the paper, 4 windows a step",
    replace(_PAPER_FRAMEWISE, baseline="crnn"),
    _FRAMEWISE,
    "scratch",
  ),
  "scratch": Experiment("ours, from scratch", PARAMS, _SCRATCH, "scratch"),
  "ours": Experiment("ours, from YAMNet (ReLU6)", PARAMS),
  "squared": _ours(
    "ours, squared losses (paper)",
    loss=YohoLossParams(presence="squared", boundary="squared"),
  ),
  "l1": _ours(
    "ours, boundaries by L1", loss=replace(PARAMS.loss, boundary="l1")
  ),
  "iou": _ours(
    "ours, boundaries by IoU", loss=replace(PARAMS.loss, boundary="iou")
  ),
  "even": _ours(
    "ours, edges not weighted", loss=replace(PARAMS.loss, edge_weight=1.0)
  ),
  "window": _ours(
    "ours, lattice of the paper", lattice="window", window_seconds=10.0
  ),
  "slots": _ours("ours, two slots", slots=2),
  "medium": Experiment(
    "ours, width 0.5, distilled",
    replace(PARAMS, width=0.5),
    _SCRATCH,
    "scratch",
    "ours",
  ),
  "small": Experiment(
    "ours, width 0.25, distilled",
    replace(PARAMS, width=0.25),
    _SCRATCH,
    "scratch",
    "ours",
  ),
}


# Rows that are another experiment's networks with nothing tuned.
FIXED = {"fixed": ("ours", "ours, nothing tuned (threshold 0.5)")}


def titles() -> dict[str, str]:
  """Row -> title, in the order of the table."""
  found = {name: own.title for name, own in EXPERIMENTS.items()}
  return found | {name: title for name, (_, title) in FIXED.items()}


def make_set(source_folder, out_folder, *, num_scenes=None, log=print):
  """Records of the set, made once: `records.Index`.

  Says how many files and sources every split has.

  Raises:
    ValueError: a source in two splits (data/sources.py).
  """
  from yoho_tf.training import material

  out, num_scenes = pathlib.Path(out_folder), num_scenes or NUM_SCENES
  pools = material.pools(
    source_folder, PARAMS, permissive_only=False, splits=tuple(num_scenes)
  )
  for split, pool in pools.items():
    groups = {pool.group(source) for source in pool.sources}
    log(f"{split}: {len(pool.sources)} files of {len(groups)} sources")
  if (out / records.INDEX).is_file():
    return records.read_index(out, labels=LABELS)
  return records.write_records(
    out,
    _scenes(pools, num_scenes),
    class_map=ClassMap(LABELS),
    params={"data": "Urban-SED-like scenes", "num_scenes": num_scenes},
    seeds={"scenes": SET_SEED},
  )


def _scenes(pools, num_scenes):
  for split, count in num_scenes.items():
    for index in range(count):
      scene = synth.make_scene(
        pools[split],
        SCENE_PRESETS["urban"],
        seed=SET_SEED,
        index=index,
        labels=LABELS,
        split=split,
      )
      name = f"{split}_{index:05d}.wav"
      yield from_scene(scene, filename=name, group=name, split=split)


def train(
  name, seed, index, folder, *, yamnet_weights=None, steps=None, log=print
):
  """Trains one experiment; the folder of its `model.keras`.

  One that is there is left as it is, one that was killed goes on.

  Args:
    index: of `make_set`.
    folder: of all runs; a teacher's run must be there.
    yamnet_weights: for those that start from YAMNet.
    steps: instead of the table's, for a trial.
  """
  from yoho_tf.deploy import keras_file
  from yoho_tf.training import finish, fit, material

  experiment = EXPERIMENTS[name]
  out = pathlib.Path(folder, f"{name}-{seed}")
  if (out / "model.keras").is_file():
    return out
  training = replace(experiment.training, seed=seed)
  if steps:
    trial = dict(steps=steps, head_steps=steps, steps_per_epoch=steps)
    training = replace(training, **trial, evaluate_every_epochs=1)
  params = experiment.params
  stuff = material.of_records(index, params, training)
  teacher = experiment.teacher
  from_yamnet = experiment.start == "yamnet"
  begin = time.monotonic()
  network, params = fit.train(
    params,
    training,
    material=stuff,
    out_folder=out,
    yamnet_weights=yamnet_weights if from_yamnet else None,
    family="relu6" if from_yamnet else None,
    teacher=pathlib.Path(folder, f"{teacher}-0", "model.keras")
    if teacher
    else None,
    log=log,
  )
  tuned, _ = finish.tuned(stuff.tuning(network), params)
  class_map = ClassMap(LABELS)
  keras_file.write(network, tuned, out / "model.keras", class_map=class_map)
  log(f"{name}-{seed}: {time.monotonic() - begin:.0f} s")
  return out


def answer(run_folder, known, *, fixed=False):
  """(events of every score, tuned params) of a finished run.

  Args:
    fixed: with the post-processing of the preset instead of the tuned one.
  """
  from yoho_tf.deploy import keras_file
  from yoho_tf.models import yoho
  from yoho_tf.training import evaluation

  network, params = keras_file.read(pathlib.Path(run_folder, "model.keras"))
  if fixed:
    params = replace(params, postprocess=PARAMS.postprocess)
  cells = replace(known, network=network).cells(params)
  found = yoho.decode_files(
    cells, evaluation.at_threshold(params, 0.0), known.durations
  )
  return known.only_own(found), params


def yamnet_cells(model, known, params):
  """YAMNet's scores as YOHO's cells that sound from edge to edge.

  A cell takes the patch whose centre is nearest to its own, and every class
  the AudioSet class that stands for it (class_maps/aliases.csv), or the one
  of its own name.

  Args:
    model: `predictor.YamnetModel`.
    known: `evaluation.Validation`.
    params: of ours: its labels and cells.
  """
  names = sources.aliases()
  column_of = {label.lower(): i for i, label in enumerate(model.labels)}
  columns = [column_of[names.get(n, n).lower()] for n in params.labels]
  patch = model.params.min_samples / model.params.frontend.sample_rate_hz
  found = {}
  for name, waveform in known.waveforms.items():
    scores = model.predict(waveform).scores[:, columns]  # [patches, classes]
    cells = np.arange(params.num_cells(len(waveform)))
    centre = (cells + 0.5) * params.cell_seconds - patch / 2
    nearest = np.rint(centre / model.params.patch_hop_seconds).astype(int)
    scores = scores[np.clip(nearest, 0, len(scores) - 1)]
    found[name] = np.stack([scores, 0 * scores, 0 * scores + 1], axis=-1)
  return found


def yamnet_answers(model, fit, known):
  """(events, tuned params) of YAMNet, its post-processing fitted as ours.

  Args:
    fit, known: `evaluation.Validation`.
  """
  from yoho_tf.models import yoho
  from yoho_tf.training import evaluation, tune

  params = tune.tune(
    yamnet_cells(model, fit, PARAMS), fit.reference, fit.durations, PARAMS
  )
  found = yoho.decode_files(
    yamnet_cells(model, known, params),
    evaluation.at_threshold(params, 0.0),
    known.durations,
  )
  return known.only_own(found), params


def at_tuned(events, params):
  """The events that reach the tuned threshold of their label."""
  from yoho_tf.training import evaluation

  return evaluation.answered(
    events,
    {
      label: params.postprocess.for_label(label).threshold
      for label in params.labels
    },
  )
