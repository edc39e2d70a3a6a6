"""`yoho evaluate scenes|recordings`: a model on audio that it never heard.

Prints segment F1 (1 s) and event F1 (0.2 s, 20 %), micro, with 95 % bootstrap
intervals over files, beside chance and beside YAMNet thresholded on the mapped
classes (thresholds fitted on validation scenes, like the model's).
"""

import argparse
import json
import sys


def parser(prog):
  p = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
  add = p.add_argument
  add("task", choices=("scenes", "recordings"))
  add("--model", default="yoho_everyday")
  add("--sources", required=True, help="folder with manifest.csv")
  add(
    "--split",
    default=None,
    choices=("val", "test"),
    help="default: test for scenes, val for recordings",
  )
  add("--num-scenes", type=int, default=300)
  add("--seed", type=int, default=2)
  add("--yamnet-weights", help="also evaluate YAMNet (needs Keras)")
  add("--allow-non-commercial", action="store_true")
  add("--class-wise", action="store_true")
  add("--json", action="store_true")
  return p


def main(argv=None, prog="yoho evaluate") -> int:
  args = parser(prog).parse_args(argv)
  try:
    return _run(args)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1


def _run(args):
  from yoho_tf import hub
  from yoho_tf.data import sources
  from yoho_tf.events import EventTable
  from yoho_tf.params import SCENE_PRESETS
  from yoho_tf.training import baselines, evaluation

  model = hub.load(args.model)
  labels = model.params.labels

  def scenes(split, count, seed):
    pool = sources.read_manifest(
      args.sources,
      split=split,
      labels=labels,
      permissive_only=not args.allow_non_commercial,
      exclude_ids=sources.real_strong_ids(args.sources, split="val"),
    )
    return evaluation.scene_set(
      pool,
      SCENE_PRESETS["everyday"],
      labels=labels,
      num_scenes=count,
      seed=seed,
    )

  if args.task == "scenes":
    split = args.split or "test"
    waveforms, reference = scenes(split, args.num_scenes, args.seed)
    title = f"{len(waveforms)} scenes of {split} sources, seed {args.seed}"

    used = labels

    def only(events):
      return events
  else:
    split = args.split or "val"
    waveforms, reference, own = evaluation.real_recordings(
      args.sources, split=split, labels=labels
    )
    if not waveforms:
      raise ValueError(
        f"sources must hold recordings of {args.model}'s classes in split "
        f"{split!r}; got none"
      )
    title = f"{len(waveforms)} real recordings of split {split}, own class"

    used = sorted(set(reference.label))

    def only(events):
      return evaluation.own_class(events, own)

  durations = {k: len(v) / 16_000 for k, v in waveforms.items()}
  answers = EventTable.concat(
    [
      model.predict(waveform).events.replace(filename=name)
      for name, waveform in waveforms.items()
    ]
  )
  always = baselines.always_active(durations, labels)
  estimates = {
    model.name: only(answers),
    "chance: answers of another file": only(
      baselines.shuffled(answers, durations, seed=args.seed)
    ),
    "chance: always active": only(always),
  }
  if args.yamnet_weights:
    yamnet = hub.load("yamnet", weights=args.yamnet_weights)
    val_waveforms, val_reference = scenes("val", 100, 1)
    thresholds = baselines.yamnet_thresholds(
      baselines.yamnet_tags(yamnet, val_waveforms, labels),
      val_reference,
      {k: len(v) / 16_000 for k, v in val_waveforms.items()},
      labels,
    )
    tags = baselines.yamnet_tags(yamnet, waveforms, labels)
    name = f"YAMNet ({yamnet.params.activation}), thresholded"
    estimates[name] = only(baselines.yamnet_events(tags, thresholds))
  table = baselines.rows(reference, estimates, durations, used)
  if args.json:
    print(json.dumps(baselines.plain(table), indent=2))
    return 0
  print("\n".join([title, *baselines.lines(table)]))
  if args.class_wise:
    print("\n".join(["", *baselines.class_lines(table, used)]))
  return 0
