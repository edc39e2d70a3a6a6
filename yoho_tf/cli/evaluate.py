"""`yoho evaluate`: the first word says what; with two paths it is `events`."""

import importlib
import sys
from pathlib import Path

from yoho_tf.cli import help_lines
from yoho_tf.labels import did_you_mean

# Task -> (module, one line of help), in the order of the help text. A module
# has `main(argv, prog)`, where `argv` begins with the task.
TASKS = {
  "events": (
    "yoho_tf.cli.evaluate_events",
    "REFERENCE ESTIMATE: events against events, of files or a model",
  ),
  "scenes": (
    "yoho_tf.cli.evaluate_scenes",
    "a model on scenes made of held-out sounds",
  ),
  "radio": (
    "yoho_tf.cli.evaluate_scenes",
    "a model on held-out speech and music, mixed as on the radio",
  ),
  "recordings": (
    "yoho_tf.cli.evaluate_scenes",
    "a model on held-out field recordings",
  ),
  "negatives": (
    "yoho_tf.cli.evaluate_scenes",
    "false events on speech, music and backgrounds",
  ),
}


def usage(prog):
  """The help text of `yoho evaluate`."""
  lines = [f"usage: {prog} [TASK] ...", "", "tasks (default: events):"]
  lines += [*help_lines(TASKS), "", f"`{prog} TASK --help` tells more."]
  return "\n".join(lines)


def main(argv=None, prog="yoho evaluate") -> int:
  """Runs a task; returns 0, 1 (an input failed) or 2 (usage)."""
  argv = list(sys.argv[1:] if argv is None else argv)
  first = argv[0] if argv else None
  if first in (None, "-h", "--help"):
    print(usage(prog))
    return 2 if first is None else 0
  if first not in TASKS:
    others = [word for word in argv[1:] if not word.startswith("-")]
    is_path = first.startswith("-") or Path(first).exists() or others
    if not is_path:
      print(f"{prog}: task {did_you_mean(first, TASKS)}", file=sys.stderr)
      return 2
    argv.insert(0, "events")
  module = importlib.import_module(TASKS[argv[0]][0])
  return module.main(argv, prog=prog)


if __name__ == "__main__":
  sys.exit(main())
