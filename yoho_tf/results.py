"""What the models answer: `Detections` (events) and `Tags` (scores of patches).

Both are plain data that can be shown and stored:

    result.to_df()  result.to_dict()  result.save("out.csv")  result.plot()
"""

import math
from dataclasses import dataclass

import numpy as np

from yoho_tf.events import TEXT_COLUMNS, EventTable
from yoho_tf.intervals import hysteresis
from yoho_tf.labels import did_you_mean

NUM_PLOT_LABELS = 10


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
  """Events heard in one recording.

  Attributes:
    events: the events, labels all from `labels`.
    labels: the vocabulary of the model, in output order.
    duration_seconds: of the recording.
    scores: presence 0..1 per cell, float32 [cells, classes], or None. Scores
      are independent sigmoids: they do not add up to 1.
    cell_seconds: length of one cell; any number when there are no scores.
    filename: the recording.
    model: name of the preset.

  Raises:
    ValueError: names the field, the rule and what was received.
  """

  events: EventTable
  labels: tuple[str, ...]
  duration_seconds: float
  scores: np.ndarray | None = None  # [cells, classes]
  cell_seconds: float = 0.0
  filename: str = ""
  model: str = ""

  def __post_init__(self):
    _check_common(self)
    foreign = sorted(set(self.events.label) - set(self.labels))
    if foreign:
      raise ValueError(f"events: label {did_you_mean(foreign[0], self.labels)}")
    if self.scores is not None:
      _set_array(self, "scores", (None, len(self.labels)))
      if not 0 < self.cell_seconds < math.inf:
        raise ValueError(
          f"cell_seconds must be finite and above 0, got {self.cell_seconds}"
        )

  def __repr__(self) -> str:
    return f"Detections({self.summary()})"

  def above(self, threshold: float) -> "Detections":
    """Keeps events with a score of at least `threshold`; moves no edge.

    Events without a score are left out.
    """
    events = self.events[self.events.score >= threshold]
    return Detections(**{**vars(self), "events": events})

  def named_events(self) -> EventTable:
    """The events; where one names no file, it gets this recording's name."""
    names = self.events.filename
    names = np.where(names == "", self.filename, names)
    return self.events.replace(filename=names)

  def summary(self) -> str:
    """One line: file, number of events, duration, events per label, model."""
    names, counts = np.unique(self.events.label.astype(str), return_counts=True)
    most = sorted(zip(-counts, names.tolist(), strict=True))
    num_events = len(self.events)
    text = f"{num_events or 'no'} event{'' if num_events == 1 else 's'}"
    text += f" in {self.duration_seconds:.2f} s"
    if most:
      text += ": " + ", ".join(f"{name} {-count}" for count, name in most)
    return _frame_text(self, text)

  def to_dict(self) -> dict:
    """Plain Python values for JSON; an unknown score is None."""
    events = []
    for event in self.events:
      row = {"start": event.start, "end": event.end, "label": event.label}
      row["score"] = None if math.isnan(event.score) else event.score
      row |= extra_fields(event)
      if event.filename in ("", self.filename):
        row.pop("filename", None)
      events.append(row)
    return {**_head(self), "events": events}

  def to_df(self):
    """The events as a pandas DataFrame, one row per event.

    Columns: filename, start, end, label, score, then those of low_hz, high_hz,
    annotator, track that some event has.
    """
    from yoho_tf.writers import used_columns

    events = self.named_events()
    return events.to_df()[used_columns(events)]

  def save(self, path, *, format: str | None = None) -> None:
    """Writes the events; see `writers.write`."""
    from yoho_tf.writers import write

    write(self, path, format=format)

  def plot(self, ax=None):
    """Draws bars, one row per class, over the faint scores; returns Axes."""
    from yoho_tf import viz

    labels = self.plot_labels()
    ax = viz.plot_events(
      self.events,
      ax=ax,
      labels=labels,
      duration_seconds=self.duration_seconds,
    )
    if self.scores is not None:
      columns = [self.labels.index(label) for label in labels]
      viz.shade_scores(
        self.scores[:, columns],
        ax=ax,
        labels=labels,
        cell_seconds=self.cell_seconds,
      )
    return ax

  def plot_labels(self) -> tuple[str, ...]:
    """Classes worth a row: all of a few, else those with an event.

    Without events, the five with the highest scores.
    """
    if len(self.labels) <= NUM_PLOT_LABELS:
      return self.labels
    present = set(self.events.label)
    if not present and self.scores is not None and len(self.scores):
      best = np.argsort(-self.scores.max(axis=0), kind="stable")[:5]
      present = {self.labels[index] for index in best}
    present = present or set(self.labels[:5])
    return tuple(label for label in self.labels if label in present)


@dataclass(frozen=True, eq=False, repr=False)
class Tags:
  """What sounds in each patch of one recording, and in all of it.

  The scores of different classes are independent sigmoids: they do not add up
  to 1, and several classes may be near 1 at once.

  Attributes:
    labels: the vocabulary of the model, in output order.
    scores: 0..1, float32 [patches, classes].
    embeddings: float32 [patches, dims], or None.
    start: of each patch, seconds, float64 [patches].
    end: of each patch, seconds, float64 [patches]; patches may overlap.
    valid_fraction: share of each patch that is recording, not padding,
      float64 [patches].
    clip_scores: 0..1 for the whole recording, float32 [classes]; how patches
      were averaged is the maker's choice.
    duration_seconds: of the recording.
    filename: the recording.
    model: name of the preset.

  Raises:
    ValueError: names the field, the rule and what was received.
  """

  labels: tuple[str, ...]
  scores: np.ndarray  # [patches, classes]
  embeddings: np.ndarray | None  # [patches, dims]
  start: np.ndarray  # [patches]
  end: np.ndarray  # [patches]
  valid_fraction: np.ndarray  # [patches]
  clip_scores: np.ndarray  # [classes]
  duration_seconds: float
  filename: str = ""
  model: str = ""

  def __post_init__(self):
    _check_common(self)
    _set_array(self, "scores", (None, len(self.labels)))
    num_patches = len(self.scores)
    if num_patches < 1:
      raise ValueError("scores must have at least one patch, got none")
    if self.embeddings is not None:
      _set_array(self, "embeddings", (num_patches, None))
    _set_array(self, "start", (num_patches,), np.float64)
    _set_array(self, "end", (num_patches,), np.float64)
    _set_array(self, "valid_fraction", (num_patches,), np.float64)
    _set_array(self, "clip_scores", (len(self.labels),))
    if np.any(np.diff(self.start) <= 0) or np.any(self.end <= self.start):
      raise ValueError("start must increase and lie before end, got another")

  def __repr__(self) -> str:
    return f"Tags({self.summary()})"

  def top(self, k: int = 5) -> list[tuple[str, float]]:
    """The k classes with the highest clip scores, best first."""
    best = np.argsort(-self.clip_scores, kind="stable")[:k]
    return [(self.labels[i], float(self.clip_scores[i])) for i in best]

  def frame_scores(self) -> tuple[np.ndarray, np.ndarray]:
    """Scores as cells that tile the recording without overlap.

    The edge between two patches lies half-way between their centres; the
    first cell starts at 0 and the last one ends with the recording.

    Returns:
      scores float32 [patches, classes], boundaries_seconds float64
      [patches + 1].
    """
    # All patches are equally long; one that was cut at the end does not count.
    window_seconds = np.max(self.end - self.start)
    inner = (self.start[:-1] + self.start[1:] + window_seconds) / 2
    boundaries = np.r_[0.0, inner, self.duration_seconds]
    return self.scores, np.minimum(boundaries, self.duration_seconds)

  def events(self, threshold: float = 0.5) -> EventTable:
    """Runs of cells with a score of at least `threshold`, per class.

    Returns:
      Sorted events on cell edges; score = the highest of the run.
    """
    scores, boundaries = self.frame_scores()
    columns = {"start": [], "end": [], "label": [], "score": []}
    for index in np.flatnonzero((scores >= threshold).any(axis=0)):
      first, last = hysteresis(scores[:, index], threshold, threshold)
      for run in zip(first.tolist(), last.tolist(), strict=True):
        columns["start"].append(boundaries[run[0]])
        columns["end"].append(boundaries[run[1]])
        columns["label"].append(self.labels[index])
        columns["score"].append(scores[slice(*run), index].max())
    start, end = np.array(columns["start"]), np.array(columns["end"])
    keep = np.flatnonzero(end > start)  # A cell past the end has no length.
    columns = {name: [v[i] for i in keep] for name, v in columns.items()}
    return EventTable.from_columns(**columns, filename=self.filename).sort()

  def summary(self) -> str:
    """One line: file, duration, the three highest clip scores, model."""
    best = ", ".join(f"{name} {score:.2f}" for name, score in self.top(3))
    return _frame_text(self, f"{best} in {self.duration_seconds:.2f} s")

  def to_dict(self) -> dict:
    """Plain Python values for JSON, without embeddings."""
    return {
      **_head(self),
      "clip_scores": _shortest(self.clip_scores).tolist(),
      "patches": [
        {"start": start, "end": end, "valid_fraction": valid, "scores": scores}
        for start, end, valid, scores in zip(
          self.start.tolist(),
          self.end.tolist(),
          self.valid_fraction.tolist(),
          _shortest(self.scores).tolist(),
          strict=True,
        )
      ],
    }

  def to_df(self):
    """A pandas DataFrame, one row per patch: start, end, then every label."""
    import pandas as pd

    times = pd.DataFrame({"start": self.start, "end": self.end})
    scores = pd.DataFrame(self.scores, columns=list(self.labels))
    return pd.concat([times, scores], axis=1)

  def save(self, path, *, format: str | None = None) -> None:
    """Writes csv or json (every score), audacity (events); `writers.write`."""
    from yoho_tf.writers import write

    write(self, path, format=format)

  def plot(self, ax=None):
    """Draws the scores of the ten best classes over time; returns Axes."""
    from yoho_tf import viz

    best = [label for label, _ in self.top(NUM_PLOT_LABELS)]
    columns = [self.labels.index(label) for label in best]
    scores, boundaries = self.frame_scores()
    return viz.plot_scores(
      scores[:, columns],
      ax=ax,
      labels=best,
      cell_seconds=boundaries,
    )


def extra_fields(event) -> dict:
  """Fields of an event beyond the first four that say something."""
  fields = dict(zip(event._fields[4:], event[4:], strict=True))
  return {
    name: value
    for name, value in fields.items()
    if (value != "" if name in TEXT_COLUMNS else not math.isnan(value))
  }


def _head(result) -> dict:
  return {
    "filename": result.filename,
    "model": result.model,
    "duration_seconds": float(result.duration_seconds),
    "labels": list(result.labels),
  }


def _frame_text(result, text: str) -> str:
  before = f"{result.filename}: " if result.filename else ""
  return before + text + (f" ({result.model})" if result.model else "")


def _check_common(result) -> None:
  """Checks and freezes labels, duration and names."""
  labels = result.labels
  if isinstance(labels, str) or not all(isinstance(x, str) for x in labels):
    raise ValueError(f"labels must be several str, got {labels!r}")
  object.__setattr__(result, "labels", tuple(labels))
  if len(set(labels)) != len(labels) or not labels:
    raise ValueError(f"labels must be unique and at least one, got {labels!r}")
  if not 0 < result.duration_seconds < math.inf:
    raise ValueError(
      "duration_seconds must be finite and above 0, got "
      f"{result.duration_seconds}"
    )
  for name in ("filename", "model"):
    value = getattr(result, name)
    if not isinstance(value, str):
      raise ValueError(f"{name} must be a str, got {value!r}")


def _set_array(result, name: str, shape: tuple, dtype=np.float32) -> None:
  """Replaces a field by a checked, read-only array; None = any size."""
  # A view: read-only for us, and the caller's own array stays as it is.
  array = np.asarray(getattr(result, name), dtype).view()
  fits = len(shape) == array.ndim and all(
    want in (None, got) for want, got in zip(shape, array.shape, strict=True)
  )
  if not fits:
    wanted = tuple("any" if size is None else size for size in shape)
    raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
  if not np.isfinite(array).all():
    raise ValueError(f"{name} must be finite, got NaN or infinity")
  array.flags.writeable = False
  object.__setattr__(result, name, array)


def _shortest(array: np.ndarray) -> np.ndarray:
  """float64 with the shortest decimals that read back as the same float32."""
  return array.astype(np.float32).astype(str).astype(np.float64)
