"""`yoho models`: the models that can be loaded, and what each is for."""

import argparse
import json
import sys


def describe(name, card):
  """What is known of one model.

  Args:
    name: one of `yoho_tf.list_models()`.
    card: the contents of the JSON file beside a bundled model, else {}.

  Returns:
    dict: name, description, classes (their number or None), licence, bytes
    (or None) and bundled (bool).
  """
  classes = card.get("classes")
  return {
    "name": name,
    "description": card.get("description", ""),
    "classes": len(classes) if isinstance(classes, list) else classes,
    "licence": card.get("licence", ""),
    "bytes": card.get("bytes"),
    "bundled": bool(card),
  }


def format_table(models):
  """One line per model: name, size, number of classes, description."""
  rows = [
    (
      model["name"],
      f"{model['bytes'] / 1e6:.1f} MB" if model["bytes"] else "-",
      f"{model['classes']} classes" if model["classes"] else "-",
      model["description"] if model["bundled"] else "not bundled",
    )
    for model in models
  ]
  widths = [max(len(row[column]) for row in rows) for column in range(3)]
  return "\n".join(
    f"{name:{widths[0]}}  {size:>{widths[1]}}  {classes:>{widths[2]}}  {text}"
    for name, size, classes, text in rows
  )


def main(argv=None, prog="yoho models"):
  """Prints the table, or JSON; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog=prog,
    description="Lists the models that can be loaded. Those that are not"
    " bundled are fetched on their first use, or read from --weights.",
  )
  parser.add_argument("--json", action="store_true", help="print JSON")
  options = parser.parse_args(argv)

  from yoho_tf import hub

  try:
    cards = hub.bundled()
    models = [describe(name, cards.get(name, {})) for name in hub.list_models()]
  except ValueError as error:
    print(f"{prog}: a model's JSON cannot be read: {error}", file=sys.stderr)
    return 1
  if options.json:
    print(json.dumps(models, indent=2, ensure_ascii=False))
  else:
    print(format_table(models))
  return 0
