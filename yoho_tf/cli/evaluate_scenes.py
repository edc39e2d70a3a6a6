"""`yoho evaluate scenes|recordings`: a model on audio that it never heard.

Prints segment F1 (1 s) and event F1 (0.2 s, 20 %), micro, with 95 % bootstrap
intervals over files, beside chance and beside YAMNet thresholded on the mapped
classes (thresholds fitted on validation scenes, like the model's).
"""

import argparse
import json
import sys

COLUMNS = ("segment_f1", "event_f1")


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
    print(json.dumps(_plain(table), indent=2))
  else:
    _print(title, table, args, used)
  return 0


def _plain(table):
  return {
    name: {
      column: {
        "value": float(result["f1_micro"]),
        "macro": float(result["f1_macro"]),
        "low": float(interval["f1_micro"].low),
        "high": float(interval["f1_micro"].high),
      }
      for column, (result, interval) in row.items()
    }
    for name, row in table.items()
  }


def _print(title, table, args, labels):
  print(title)
  width = max(map(len, table))
  print(f"{'':{width}}  {'segment F1 (1 s)':22}  event F1 (0.2 s, 20 %)")
  for name, row in _plain(table).items():
    cells = [
      f"{row[c]['value']:.3f} [{row[c]['low']:.3f}, {row[c]['high']:.3f}]"
      for c in COLUMNS
    ]
    print(f"{name:{width}}  {cells[0]:22}  {cells[1]}")
  if not args.class_wise:
    return
  first = next(iter(table.values()))
  print()
  width = max(map(len, labels))
  print(f"{'class':{width}}  segment F1  event F1  reference events")
  for label in labels:
    segment, event = (first[c][0].class_wise[label] for c in COLUMNS)
    count = int(event["tp"] + event["fn"])
    print(
      f"{label:{width}}  {segment['f1']:10.3f}  {event['f1']:8.3f}  {count:16}"
    )
