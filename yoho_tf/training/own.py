"""A person's own folder of recordings -> what a run trains on."""

import pathlib
from dataclasses import replace

import numpy as np

from yoho_tf.data import folder, prepare, records
from yoho_tf.files import replace_text
from yoho_tf.labels import ClassMap
from yoho_tf.models import yoho
from yoho_tf.params import YohoParams
from yoho_tf.training import distribution, material

MAX_SLOTS = 4
MAX_JOINED = 0.01  # share of the events that a cell has no slot for
MIN_MERGE_GAP_SECONDS = 0.02  # below it an event falls apart at cell borders


def datasets(root, params: folder.FolderParams, log=print):
  """What is in the folder, and its splits: `Found`, `{split: Dataset}`.

  Raises:
    ValueError: what `folder.find` and `folder.split` raise.
  """
  found = folder.find(root, params)
  for line in (*found.summary(), *found.notes):
    log(line)
  splits = folder.split(found, params)
  for line in folder.split_summary(splits):
    log(line)
  return found, splits


def fitted(params: YohoParams, splits) -> YohoParams:
  """A preset with the folder's labels, and fit for how dense its events are."""
  params = replace(params, labels=tuple(splits["train"].labels))
  gap = min(params.postprocess.merge_gap_seconds, shortest_pause(splits) / 2)
  post = replace(
    params.postprocess,
    per_label={},
    merge_gap_seconds=max(gap, MIN_MERGE_GAP_SECONDS),
  )
  params = replace(params, postprocess=post)
  return replace(params, slots=num_slots(splits, params))


def shortest_pause(splits) -> float:
  """Seconds between events of one label, 5th percentile of the train split."""
  pauses = []
  for notes in splits["train"].annotations.split().values():
    for label in set(notes.events.label):
      own = notes.events[notes.events.label == label].sort()
      pauses += [p for p in own.start[1:] - own.end[:-1] if p > 0]
  return float(np.percentile(pauses, 5)) if pauses else np.inf


def num_slots(splits, params) -> int:
  """The fewest slots for which a cell joins at most 1 % of the train events."""
  notes = splits["train"].annotations
  events_of = {name: own.events for name, own in notes.split().items()}
  for slots in range(1, MAX_SLOTS):
    own = replace(params, slots=slots)
    joined = 0
    for record in splits["train"].records:
      events = events_of.get(record.filename, ())
      if not len(events):
        continue
      cells = int(record.duration_seconds / own.cell_seconds) + 1
      _, info = yoho.encode(events, own, num_cells=cells, return_info=True)
      joined += sum(info["num_joined"].values())
    if joined <= MAX_JOINED * len(notes.events):
      return slots
  return MAX_SLOTS


def of_folder(
  found,
  splits,
  params,
  training,
  folder_params,
  *,
  out_folder,
  workers=1,
  log=print,
) -> material.Material:
  """Records of the folder in `out_folder/records`, or scenes of its clips.

  Writes `out_folder/class_map.csv`. Records are written once, and again where
  the folder has changed before a run began.

  Raises:
    ValueError: the folder or its class map changed since the run began.
  """
  out = pathlib.Path(out_folder)
  has_begun = (out / "training.json").is_file()
  _keep_class_map(out / "class_map.csv", ClassMap(params.labels))
  rate = params.frontend.sample_rate_hz
  settings = prepare.PrepareParams(sample_rate_hz=rate, seed=training.seed)
  mark = folder.fingerprint(
    found, folder_params, {"labels": list(params.labels), **vars(settings)}
  )
  about = {"data": "own recordings", "fingerprint": mark}
  if folder_params.weak:
    pools = {
      split: folder.pool(
        splits, split, labels=params.labels, sample_rate_hz=rate
      )
      for split in splits
    }
    return material.of_scenes(
      pools, params, training, about=about, workers=workers
    )
  index = _records_of(out / "records", mark)
  if index is None and has_begun and (out / "records").is_dir():
    raise ValueError(
      f"data must be the folder as it was when the run in {str(out)!r} began "
      f"(another --out makes a new run); received {str(found.root)!r} with "
      "other files"
    )
  if index is None and distribution.is_first_host():
    log(f"writing records to {out / 'records'}")
    prepare.write(
      splits.values(),
      out / "records",
      class_map=ClassMap(params.labels),
      params=settings,
      about=about,
    )
  distribution.wait("records")
  index = records.read_index(out / "records")
  return material.of_records(
    index, params, training, about=about, workers=workers
  )


def _keep_class_map(path, class_map) -> None:
  if path.is_file():
    before = ClassMap.read(path).names
    if before != class_map.names:
      raise ValueError(
        f"{path}: must hold the labels of the run, {', '.join(before)}; "
        f"received {', '.join(class_map.names)} (another --out makes a new run)"
      )
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  replace_text(path, class_map.text())


def _records_of(path, mark):
  """The index of finished records with that fingerprint, or None."""
  if not (path / records.INDEX).is_file():
    return None
  index = records.read_index(path)
  return index if index.params.get("fingerprint") == mark else None
