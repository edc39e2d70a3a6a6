"""`yoho evaluate scenes|radio|recordings|negatives`: a model on audio that it
never heard.

Prints scores, micro, with 95 % bootstrap intervals over files, beside chance
and beside YAMNet thresholded on the mapped classes (thresholds fitted on
validation scenes, like the model's). `negatives` counts false events instead.
"""

import argparse
import json
import sys


def parser(prog):
  p = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
  add = p.add_argument
  add("task", choices=("scenes", "radio", "recordings", "negatives"))
  add("--model", default="yoho_everyday")
  add("--sources", required=True, help="folder with manifest.csv")
  add(
    "--split",
    choices=("val", "test"),
    help="default: val for recordings, else test",
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
    _run(args)
  except (ValueError, OSError) as error:
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
  return 0


def _run(args):
  from yoho_tf import hub
  from yoho_tf.training import baselines, held_out

  model = hub.load(args.model)
  labels = model.params.labels
  scenes = dict(
    num_scenes=args.num_scenes,
    seed=args.seed,
    permissive_only=not args.allow_non_commercial,
  )
  these = held_out.known(
    args.task, args.sources, labels, split=args.split, **scenes
  )
  found = held_out.answers(model, these)
  if args.task == "negatives":
    print(negative_text(args, model, these, found))
    return
  used = sorted(set(these.reference.label) | set(these.own.values()))
  found = found[[label in used for label in found.label]]
  only = these.only_own
  estimates = {
    model.name: only(found),
    "chance: answers of another file": only(
      baselines.shuffled(found, these.durations, seed=args.seed)
    ),
    "chance: always active": only(
      baselines.always_active(these.durations, used)
    ),
  }
  if args.yamnet_weights:
    yamnet = hub.load("yamnet", weights=args.yamnet_weights)
    name = f"YAMNet ({yamnet.params.activation}), thresholded"
    task = args.task if held_out.TASKS[args.task].scene else "scenes"
    scenes |= {"num_scenes": 100, "seed": 1}
    fit = held_out.known(task, args.sources, labels, split="val", **scenes)
    events = baselines.yamnet_answers(yamnet, fit, these, labels)
    estimates[name] = only(events[[label in used for label in events.label]])
  table = baselines.rows(
    these.reference,
    estimates,
    these.durations,
    used,
    columns=held_out.TASKS[args.task].columns,
  )
  if args.json:
    print(json.dumps(baselines.plain(table), indent=2))
    return
  kind = "real recordings, own class" if these.own else f"{args.task} files"
  title = f"{len(these.durations)} {kind}, split {these.split}"
  print("\n".join([title, *baselines.lines(table)]))
  if args.class_wise:
    print("\n".join(["", *baselines.class_lines(table, used)]))


def negative_text(args, model, these, found) -> str:
  """False events per minute, by what the recordings hold."""
  from yoho_tf.training import held_out

  false, counts = held_out.false_events(found, these)
  if args.json:
    return json.dumps(counts, indent=2)
  lines = [
    f"{len(these.durations)} recordings of split {these.split}, in which "
    "nothing else sounds",
    f"{model.name:20}  false events  minutes  per minute",
  ]
  lines += [
    f"{name:20}  {row['events']:12}  {row['minutes']:7.1f}  "
    f"{row['per_minute']:10.2f}"
    for name, row in counts.items()
  ]
  if args.class_wise:
    for label in sorted(set(false.label)):
      lines.append(f"{label:32}  {int((false.label == label).sum()):4}")
  return "\n".join(lines)
