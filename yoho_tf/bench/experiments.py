"""The experiments behind docs/results.md: a table, and how one is run.

All train on the same records of an Urban-SED-like set: scenes of 10 s from the
published recipe (preset `urban`), 10 classes, sources of one split never in
another. Post-processing is fitted on its validation scenes; what is kept of the
test scenes is every event with its score.
"""

import json
import pathlib
from dataclasses import dataclass, replace

from yoho_tf import files, writers
from yoho_tf.annotations import Annotations
from yoho_tf.data import records, synth
from yoho_tf.data.examples import from_scene
from yoho_tf.labels import ClassMap
from yoho_tf.params import (
  PRESETS,
  SCENE_PRESETS,
  TrainingParams,
  YohoLossParams,
  YohoParams,
  to_json,
)

LABELS = PRESETS["yoho_urban_sed"].labels
NUM_SCENES = {"train": 3000, "val": 400, "test": 400}
SET_SEED = 5

# From scratch at the paper's learning rate; from YAMNet in two stages.
_SCRATCH = TrainingParams(
  batch_size=16,
  steps=1500,
  learning_rate=1e-3,
  patience_epochs=0,
  evaluate_every_epochs=5,
)
_FINE = replace(_SCRATCH, head_steps=200, steps=1300, learning_rate=3e-4)

_PAPER = replace(
  PRESETS["yoho_urban_sed"],
  frontend=replace(
    PRESETS["yoho_urban_sed"].frontend,
    sample_rate_hz=16_000,  # that of the recordings
    mel_max_hz=8_000.0,
  ),
)
_OURS = replace(PRESETS["yoho_everyday"], labels=LABELS)


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
  return Experiment(title, replace(_OURS, **changes))


EXPERIMENTS = {
  "paper": Experiment("YOHO of the paper", _PAPER, _SCRATCH, "scratch"),
  "cnn": Experiment(
    "CNN of the paper", replace(_PAPER, baseline="cnn"), _SCRATCH, "scratch"
  ),
  "crnn": Experiment(
    "CRNN of the paper", replace(_PAPER, baseline="crnn"), _SCRATCH, "scratch"
  ),
  "scratch": Experiment("ours, from scratch", _OURS, _SCRATCH, "scratch"),
  "ours": Experiment("ours, from YAMNet (ReLU6)", _OURS),
  "squared": _ours(
    "ours, squared losses (paper)",
    loss=YohoLossParams(presence="squared", boundary="squared"),
  ),
  "l1": _ours(
    "ours, boundaries by L1", loss=replace(_OURS.loss, boundary="l1")
  ),
  "iou": _ours(
    "ours, boundaries by IoU", loss=replace(_OURS.loss, boundary="iou")
  ),
  "even": _ours(
    "ours, edges not weighted", loss=replace(_OURS.loss, edge_weight=1.0)
  ),
  "window": _ours(
    "ours, lattice of the paper", lattice="window", window_seconds=10.0
  ),
  "slots": _ours("ours, two slots", slots=2),
  "medium": Experiment(
    "ours, width 0.5, distilled",
    replace(_OURS, width=0.5),
    _SCRATCH,
    "scratch",
    "ours",
  ),
  "small": Experiment(
    "ours, width 0.25, distilled",
    replace(_OURS, width=0.25),
    _SCRATCH,
    "scratch",
    "ours",
  ),
}


def make_set(source_folder, out_folder, *, num_scenes=None, log=print):
  """Records of the set, made once: `records.Index`.

  Raises:
    ValueError: a source in two splits (data/sources.py).
  """
  out, num_scenes = pathlib.Path(out_folder), num_scenes or NUM_SCENES
  if (out / records.INDEX).is_file():
    return records.read_index(out, labels=LABELS)
  from yoho_tf.training import material

  pools = material.pools(
    source_folder, _OURS, permissive_only=False, splits=tuple(num_scenes)
  )
  for split, pool in pools.items():
    groups = {pool.group(source) for source in pool.sources}
    log(f"{split}: {len(pool.sources)} files of {len(groups)} sources")
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


def run(
  name, seed, index, folder, *, yamnet_weights=None, steps=None, log=print
):
  """Trains one experiment and keeps its answers for the test scenes.

  Writes `<folder>/<name>-<seed>/{answers.csv,tuned.json,model.keras}`; one
  that is there is left as it is, one that was killed goes on.

  Args:
    index: of `make_set`.
    folder: of all runs; a teacher's run must be there.
    yamnet_weights: for those that start from YAMNet.
    steps: instead of the table's, for a trial.
  """
  from yoho_tf.deploy import keras_file
  from yoho_tf.training import evaluation, finish, fit, material

  experiment = EXPERIMENTS[name]
  out = pathlib.Path(folder, f"{name}-{seed}")
  if (out / "answers.csv").is_file():
    return out
  training = replace(experiment.training, seed=seed)
  if steps:
    trial = dict(steps=steps, head_steps=steps, steps_per_epoch=steps)
    training = replace(training, **trial, evaluate_every_epochs=1)
  params = experiment.params
  stuff = material.of_records(index, params, training)
  teacher = experiment.teacher
  from_yamnet = experiment.start == "yamnet"
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
  files.replace_text(out / "tuned.json", to_json(tuned))
  test = stuff.test(network)
  found = evaluation.decode_all(
    test.cells(tuned), evaluation.at_threshold(tuned, 0.0), test.durations
  )
  part = out / "answers.part.csv"
  writers.write(Annotations(events=found), part)  # exact: thresholds are scores
  part.replace(out / "answers.csv")
  log(f"{name}-{seed}: " + json.dumps(_summary(found, tuned, test)))
  return out


def _summary(found, params, test):
  """Scores at the tuned thresholds, for the log."""
  from yoho_tf.training import evaluation

  kept = at_tuned(found, params)
  return {
    key: round(value, 4)
    for key, value in evaluation.scores(
      test.reference, kept, test.durations, params.labels
    ).items()
  }


def at_tuned(events, params):
  """The events that reach the tuned threshold of their label."""
  levels = {
    label: params.postprocess.for_label(label).threshold
    for label in params.labels
  }
  return events[[e.score >= levels[e.label] for e in events]]
