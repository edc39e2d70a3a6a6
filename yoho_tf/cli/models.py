"""`yoho models`: the models that can be loaded, and what each is for."""

import argparse
import json
import sys
from pathlib import Path

from yoho_tf import list_models

# The bundled models: <name>.tflite and <name>.json beside it.
WEIGHTS_FOLDER = Path(__file__).resolve().parent.parent / "weights"


def describe(name):
  """What is known of one model, read from the JSON beside its weights.

  Args:
    name: one of `yoho_tf.list_models()`.

  Returns:
    dict: name, description, classes (their number or None), licence, bytes
    (or None) and bundled (bool). A model without a JSON file is downloaded
    on its first use and described by its name alone.

  Raises:
    ValueError: the JSON file cannot be read; the message names it.
  """
  path = WEIGHTS_FOLDER / f"{name}.json"
  card = {}
  if path.is_file():
    try:
      card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
      raise ValueError(f"{path}: not valid JSON: {error}") from None
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


def main(argv=None, prog=None):
  """Prints the table, or JSON; returns the exit code."""
  parser = argparse.ArgumentParser(prog=prog, description=__doc__)
  parser.add_argument("--json", action="store_true", help="print JSON")
  options = parser.parse_args(argv)
  try:
    models = [describe(name) for name in list_models()]
  except ValueError as error:
    print(f"{parser.prog}: {error}", file=sys.stderr)
    return 1
  if options.json:
    print(json.dumps(models, indent=2, ensure_ascii=False))
  elif models:
    print(format_table(models))
  else:
    print("no models are bundled with this installation")
  return 0
