"""Windows to judge artefacts by: signals, and recordings nobody trained on."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from yoho_tf import audio, files
from yoho_tf.data import folder as own_folder
from yoho_tf.deploy import calibration, signals
from yoho_tf.params import TrainingParams, YohoParams

DEFAULT = 200
_SPLITS = ("val", "test")  # the first that there is


@dataclass(frozen=True)
class Examples:
  """Windows of one length.

  Attributes:
    names: distinct.
    waveforms: float32 `[samples]` each, whole cells without what the last
      frame hears beyond them.
    events: an `EventTable` each, None where nobody labelled.
    num_builtin: how many come first that need no file.
    seconds: of each.
    digests: `{digest: name}` of the files or records they were cut from.
    facts: plain, for the report.
  """

  names: list
  waveforms: list
  events: list
  num_builtin: int
  seconds: float
  digests: dict
  facts: dict


def examples(
  params, source=None, *, num_windows=DEFAULT, seed=1, frames=None
) -> Examples:
  """The built-in signals and at most `num_windows` of a folder.

  Args:
    params: `YohoParams` or `YamnetParams`.
    source: folder of records or of sources (`manifest.csv`), whose split "val"
      is taken (records: else "test"); folder of audio, with labels beside it
      or without; None.
    frames: of a fixed input, if not the model's own.

  Raises:
    ValueError: a folder without audio, an unreadable file.
  """
  size = calibration.window_samples(params, frames)
  if isinstance(params, YohoParams):
    size -= params.extra_samples
  rate = params.frontend.sample_rate_hz
  rows = [
    (name, waveform, None)
    for name, waveform in signals.builtin(size, rate).items()
  ]
  num_builtin, digests, facts = len(rows), {}, {}
  if source is not None:
    kind = calibration.kind_of(source)
    if kind not in _KINDS:
      raise ValueError(f"parity data must be a folder; got {str(source)!r}")
    more, digests, facts = _KINDS[kind](
      source, params, size, num_windows, np.random.default_rng(seed), seed
    )
    rows += more
    facts = {"source": str(source), "kind": kind, "seed": seed, **facts}
  names, waveforms, events = map(list, zip(*rows, strict=True))
  waveforms = [np.pad(w, (0, size - len(w))) for w in waveforms]
  return Examples(
    names=names,
    waveforms=[w.astype(np.float32) for w in waveforms],
    events=events,
    num_builtin=num_builtin,
    seconds=size / rate,
    digests=digests,
    facts={
      "count": len(names),
      "builtin": num_builtin,
      "labelled": sum(own is not None for own in events),
      "sha256": calibration.digest(np.concatenate(waveforms)),
      **facts,
    },
  )


# ---- kinds: (source, params, size, count, rng, seed) -> rows, digests, facts -


def _audio(source, params, size, count, rng, seed):
  """Windows side by side, as many of every file as of the others."""
  found, errors = audio.find_files(source)
  if errors:
    raise errors[0]
  rate, root = params.frontend.sample_rate_hz, Path(source).absolute()
  tables, facts = _labels(root, params)
  places = []
  for path in found:
    samples = int(audio.info(path).duration_seconds * rate)
    for i in rng.permutation(max(1, samples // size)):
      places.append((path, int(i) * size))
  order = rng.permutation(len(places))[:count]
  chosen = {}
  for path, first in (places[i] for i in sorted(order)):
    chosen.setdefault(path, []).append(first)
  rows, digests = [], {}
  for path, firsts in chosen.items():
    name = path.absolute().relative_to(root).as_posix()
    digests[files.sha256(path)] = name
    waveform = audio.read(path, sample_rate_hz=rate)
    for first in firsts:
      rows.append(
        (
          f"{name} {first / rate:g} s",
          waveform[first : first + size],
          _window(tables.get(name), first / rate, size / rate),
        )
      )
  return rows, digests, facts


def _labels(root, params):
  """`{file: EventTable}` of labels beside the audio, where there are some."""
  try:
    found = own_folder.find(root, own_folder.FolderParams(unlabelled="ignore"))
  except ValueError as error:
    return {}, {"unlabelled_because": str(error)}
  tables = {}
  for name, notes in found.annotations.split().items():
    table = notes.events
    known = np.isin(table.label, params.labels)
    tables[name] = table[known]
  return tables, {}


def _window(table, start, seconds):
  return None if table is None else table.crop(start, start + seconds)


def _records(source, params, size, count, rng, seed):
  from yoho_tf.data import records

  index = records.read_index(source)
  split = next((s for s in _SPLITS if s in index.counts), None)
  if split is None:
    raise ValueError(
      f"parity data must have the split val or test; got "
      f"{', '.join(index.counts)} in {str(source)!r}"
    )
  reader = records.Reader(index, split)
  rate = params.frontend.sample_rate_hz
  rows, digests = [], {}
  for i in sorted(rng.permutation(len(reader))[:count]):
    example = reader[int(i)]
    name = f"{split} {i} {example.filename}".rstrip()
    waveform = example.floats()
    digests[calibration.digest(waveform)] = name
    whole = not len(example.unknown) and example.known_labels is None
    known = np.isin(example.events.label, params.labels)
    table = example.events[known] if whole else None
    rows.append((name, waveform[:size], _window(table, 0.0, size / rate)))
  return rows, digests, {"split": split}


def _sources(source, params, size, count, rng, seed):
  """The first seconds of scenes of the split "val"; YAMNet gets no labels."""
  from yoho_tf.data import sources, synth

  is_yoho = isinstance(params, YohoParams)
  rate = params.frontend.sample_rate_hz
  pool = sources.read_manifest(
    source,
    split="val",
    labels=params.labels if is_yoho else None,
    sample_rate_hz=rate,
  )
  scene = replace(TrainingParams().scene, sample_rate_hz=rate)
  rows = []
  for i in range(count):
    made = synth.make_scene(
      pool, scene, seed=seed, index=i, labels=pool.labels, split="val"
    )
    table = _window(made.events, 0.0, size / rate) if is_yoho else None
    rows.append((f"scene {i}", made.waveform[:size], table))
  digests = {
    files.sha256(path): str(path) for path in {s.path for s in pool.sources}
  }
  return rows, digests, {"split": "val"}


_KINDS = {"audio": _audio, "records": _records, "sources": _sources}
