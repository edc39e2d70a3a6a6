"""Answers that were kept, so that a table can be made again without a network.

A folder per set of recordings: `reference.json.gz` (what sounds, how long the
files are, and where one class only was labelled, which) and per system
`<name>.csv.gz`, every event with its score, and `<name>.json`, its tuned params
and what was measured of it.
"""

import gzip
import json
import pathlib
import tempfile

from yoho_tf import files, readers, writers
from yoho_tf.annotations import Annotations
from yoho_tf.events import EventTable
from yoho_tf.params import from_json, to_json
from yoho_tf.training.evaluation import Validation


def _write(annotations, path, extension):
  """Through our own writers, compressed; the same rows give the same bytes."""
  with tempfile.TemporaryDirectory() as folder:
    part = pathlib.Path(folder, f"rows{extension}")
    writers.write(annotations, part)
    data = gzip.compress(part.read_bytes(), mtime=0)
  files.replace_bytes(path, data)


def _read(path, extension):
  with tempfile.TemporaryDirectory() as folder:
    part = pathlib.Path(folder, f"rows{extension}")
    part.write_bytes(gzip.decompress(path.read_bytes()))
    return readers.read(part)


def keep_reference(known: Validation, folder) -> None:
  """Writes `reference.json.gz` and, where there are any, `own.json`."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  rows = Annotations(events=known.reference, durations=known.durations)
  _write(rows, folder / "reference.json.gz", ".json")
  if known.own:
    files.replace_text(folder / "own.json", json.dumps(known.own, indent=0))


def read_reference(folder) -> Validation:
  """Raises ValueError where nothing was kept."""
  folder = pathlib.Path(folder)
  path = folder / "reference.json.gz"
  if not path.is_file():
    raise ValueError(f"answers must hold {path.name}; got {str(folder)!r}")
  rows = _read(path, ".json")
  own = folder / "own.json"
  return Validation(
    "kept",
    {},
    rows.events,
    dict(rows.durations),
    own=json.loads(own.read_text()) if own.is_file() else {},
  )


def keep(folder, name, events: EventTable, params, **facts) -> None:
  """Writes the answers of one system, every event at every score.

  Args:
    params: tuned; its thresholds say which events are answered.
    facts: what else is known, as JSON.
  """
  folder = pathlib.Path(folder)
  _write(Annotations(events=events), folder / f"{name}.csv.gz", ".csv")
  text = json.dumps({"params": json.loads(to_json(params)), **facts}, indent=1)
  files.replace_text(folder / f"{name}.json", text + "\n")


def read(folder, name):
  """(events, params, facts) of one system."""
  folder = pathlib.Path(folder)
  facts = json.loads((folder / f"{name}.json").read_text())
  params = from_json(json.dumps(facts.pop("params")))
  return _read(folder / f"{name}.csv.gz", ".csv").events, params, facts


def names(folder) -> list[str]:
  """Systems whose answers were kept."""
  return sorted(
    path.name.removesuffix(".csv.gz")
    for path in pathlib.Path(folder).glob("*.csv.gz")
  )
