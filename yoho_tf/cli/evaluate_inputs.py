"""What `yoho evaluate events` reads: files, and what a model says of audio."""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np

from yoho_tf.annotations import Annotations, FrameScores
from yoho_tf.labels import ClassMap, did_you_mean


def read_events(path, *, drop_invalid=False):
  """Annotations of a file or folder, or columns with all their faults.

  Raises:
    ValueError: a row breaks a rule, or the path holds something else.
  """
  from yoho_tf.readers import read

  found = _faulty_columns(path) if drop_invalid else read(path)
  if isinstance(found, FrameScores) or _is_points(found):
    raise ValueError(f"{path}: must hold one table of events, got scores")
  return found


def read_estimate(path, *, drop_invalid=False):
  """As `read_events`, or `FrameScores`, or {threshold: Annotations}."""
  from yoho_tf.readers import read

  if drop_invalid and Path(path).is_file():
    return _faulty_columns(path)
  return read(path)


def _is_points(found):
  return isinstance(found, dict) and "label" not in found


def _faulty_columns(path):
  """Columns of a table, where what is no number is NaN."""
  from yoho_tf.formats.lists import DcaseList, rows_of
  from yoho_tf.formats.text import Source, decode, header_of, read_table

  path = Path(path)
  if not path.is_file():
    raise ValueError(f"{path}: --drop-invalid takes a file, got something else")
  text = decode(path.read_bytes(), path)
  source = Source(
    path=str(path), text=text, audio_of=lambda stem: (f"{stem}.wav", None)
  )
  if {"onset", "start"} & set(header_of(text)):
    columns = dict(read_table(source).columns)
  else:
    rows = [fields for _, fields in rows_of(source) if len(fields) > 1]
    layout = DcaseList.layouts.get(len(rows[0]) if rows else 3)
    if layout is None or "label" not in layout:
      raise ValueError(
        f"{path}: --drop-invalid takes a table with a header or a list of"
        " [file] onset offset label, got neither"
      )
    width = max(layout.values()) + 1
    rows = [[*row, *[""] * width] for row in rows]
    columns = {name: [r[i] for r in rows] for name, i in layout.items()}
    columns.setdefault("filename", [source.recording] * len(rows))
  names = {"onset": "start", "offset": "end", "event_label": "label"}
  names |= {"confidence": "score"}
  columns = {names.get(name, name): list(v) for name, v in columns.items()}
  for name in {"start", "end", "score", "low_hz", "high_hz"} & set(columns):
    columns[name] = np.array([_number(text) for text in columns[name]])
  return columns


def _number(text):
  try:
    return float(text)
  except ValueError:
    return float("nan")


def read_labels(source):
  """A `ClassMap` of a CSV, or the bundled one of that name."""
  if source is None:
    return None
  return ClassMap.read(source) if Path(source).exists() else ClassMap.bundled(
    source
  )  # fmt: skip


def read_lengths(path):
  """Seconds per file, or None.

  Raises:
    ValueError: the file holds no durations.
  """
  from yoho_tf.readers import read

  if path is None:
    return None
  found = dict(getattr(read(path), "durations", {}))
  if not found:
    raise ValueError(f"{path}: must hold filename and duration, got none")
  return found


def read_thresholds(text):
  """A number, or label -> number of a JSON file."""
  try:
    return float(text)
  except ValueError:
    pass
  try:
    values = json.loads(Path(text).read_text(encoding="utf-8"))
  except json.JSONDecodeError as error:
    raise ValueError(f"{text}: must be JSON, {error}") from None
  if not isinstance(values, dict) or not all(
    type(value) in (int, float) for value in values.values()
  ):
    raise ValueError(f"{text}: must map every label to a number")
  return {label: float(value) for label, value in values.items()}


def filenames_of(found):
  """Every recording that a table says something about."""
  if isinstance(found, Annotations):
    return found.filenames
  if isinstance(found, FrameScores):
    return tuple(found.scores)
  if _is_points(found):
    names = [name for point in found.values() for name in point.filenames]
    return tuple(dict.fromkeys(names))
  return tuple(dict.fromkeys(found["filename"]))


def same_recording(reference, reference_path, estimate, estimate_path):
  """The estimate under the reference's name, where neither file has names.

  A format without names takes the recording's from the file's.
  """
  pair = ((reference, reference_path), (estimate, estimate_path))
  names = [filenames_of(found) for found, _ in pair]
  nameless = [
    len(own) == 1 and PurePath(own[0]).stem == PurePath(path).stem
    for own, (_, path) in zip(names, pair)
  ]
  one_each = len(names[0]) == len(names[1]) == 1
  if not (one_each and any(nameless)) or names[0] == names[1]:
    return estimate
  name = names[0][0]
  if isinstance(estimate, Annotations):
    return Annotations(
      events=estimate.events.replace(filename=name),
      known_empty=[name] * bool(estimate.known_empty),
    )
  if isinstance(estimate, FrameScores) or _is_points(estimate):
    return estimate
  return {**estimate, "filename": [name] * len(estimate["label"])}


def with_thresholds(estimate, thresholds):
  """Splits an estimate into (event table, what ranks or None).

  Args:
    estimate: see `read_estimate`.
    thresholds: a number, label -> number, or None.
  """
  from yoho_tf.metrics import apply_thresholds

  if _is_points(estimate):
    if thresholds is None:
      return None, estimate
    if thresholds not in estimate:
      raise ValueError(
        f"--thresholds must be an operating point, got {thresholds}; there are"
        f" {sorted(estimate)}"
      )
    return estimate[thresholds], estimate
  if isinstance(estimate, FrameScores):
    thresholds = 0.5 if thresholds is None else thresholds
    _need_labels(thresholds, getattr(estimate.labels, "names", estimate.labels))
    return apply_thresholds(estimate, thresholds), estimate
  if thresholds is None:
    return estimate, None
  table = getattr(estimate, "events", estimate)
  columns = table if isinstance(table, dict) else vars(table)
  if np.isnan(columns.get("score", [np.nan])).any():
    raise ValueError("--thresholds needs an estimate with scores, got none")
  _need_labels(thresholds, sorted(set(columns["label"])))
  return apply_thresholds(table, thresholds), table


def _need_labels(thresholds, labels):
  for label in labels if isinstance(thresholds, dict) else ():
    if label not in thresholds:
      raise ValueError(f"--thresholds: label {did_you_mean(label, thresholds)}")


def load_model(args):
  """The model of `--model`, or the mean of those of `--ensemble`."""
  from yoho_tf import hub
  from yoho_tf.predictor import YohoModel

  names = args.ensemble or [args.model]
  members = [hub.load(name) for name in names]
  for name, model in zip(names, members):
    if not isinstance(model, YohoModel):
      raise ValueError(f"--model must find events, got {name!r}")
  return members[0] if len(members) == 1 else _mean_of(members, names)


def _mean_of(members, names):
  first, *others = members
  for name, other in zip(names[1:], others):
    for field in ("labels", "frontend", "inference", "lattice"):
      if getattr(other.params, field) != getattr(first.params, field):
        raise ValueError(
          f"--ensemble: {field} of {name!r} must be that of {names[0]!r}"
        )
  noise = np.random.default_rng(0).normal(0, 0.1, first.params.window_samples)
  noise = noise.astype(np.float32)
  heard = [member.predict(noise).scores for member in members]
  if any(np.array_equal(heard[0], other) for other in heard[1:]):
    raise ValueError(f"--ensemble: members must differ, got {names}")

  def network(inputs):
    outputs = [member.network(inputs) for member in members]
    return {
      key: np.mean([output[key] for output in outputs], axis=0)
      for key in outputs[0]
    }

  return replace(first, name=" + ".join(names), network=network)


def audio_files(folder, wanted, match):
  """Recording -> audio file, and the recordings that have none.

  Args:
    folder: of `--audio`; names count from there.
    wanted: names of recordings.
    match: see `yoho_tf.metrics`.
  """
  from yoho_tf import audio
  from yoho_tf.metrics._inputs import file_key

  key = file_key(match) or str
  paths, errors = audio.find_files([folder])
  if errors:
    raise errors[0]
  root = Path(folder)
  there = {}
  for path in map(Path, paths):
    name = path.relative_to(root).as_posix() if path != root else path.name
    if there.setdefault(key(name), path) != path:
      raise ValueError(
        f"--match {match} must tell files apart, got {there[key(name)]} and"
        f" {path}"
      )
  found = {name: there[key(name)] for name in wanted if key(name) in there}
  return found, [name for name in wanted if name not in found]


def predict(model, files):
  """Events and seconds of recordings: (`EventTable`, {name: seconds})."""
  from yoho_tf.events import EventTable

  tables, seconds = [], {}
  for name, path in files.items():
    result = model.predict(path)
    tables.append(result.events.replace(filename=name))
    seconds[name] = float(result.duration_seconds)
  return EventTable.concat(tables), seconds


def tune(model, files, reference):
  """The model with post-processing fitted on these recordings."""
  from yoho_tf import audio
  from yoho_tf.training import evaluation
  from yoho_tf.training import tune as tuning

  rate = model.params.frontend.sample_rate_hz
  waveforms = {
    name: audio.read(path, sample_rate_hz=rate) for name, path in files.items()
  }

  def run(batch):
    outputs = [model.network({"waveform": one[None]}) for one in batch]
    return np.concatenate([output["events"] for output in outputs])

  cells = evaluation.predict_cells(run, waveforms, model.params)
  seconds = {name: len(w) / rate for name, w in waveforms.items()}
  params = tuning.tune(cells, reference.events, seconds, model.params)
  return model.with_params(params)


def smoothed(reference, params):
  """The reference with the model's gaps between events closed."""
  gaps = defaultdict(float)
  for label in params.labels:
    gaps[label] = params.postprocess.for_label(label).merge_gap_seconds
  return replace(reference, events=reference.events.merge(gaps), extras={})


def for_one(durations, reference):
  """Seconds of one recording fit it whatever it is called."""
  if reference is None or not durations or len(durations) > 1:
    return durations
  names = filenames_of(reference)
  if len(names) == 1:
    return {names[0]: next(iter(durations.values()))}
  return durations


def with_known_lengths(reference):
  """Lengths that a format holds count only where every file has one."""
  if isinstance(reference, Annotations) and reference.durations:
    if set(reference.filenames) - set(reference.durations):
      return replace(reference, durations={})
  return reference
