"""Pictures: spectrogram, scores, events, and all of them on one time axis.

Every `plot_` function draws on the Axes it is given, or on a new one, and
returns it; nothing is shown or saved. matplotlib is imported on first use.
"""

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.labels import colour

INK = "#2b2f36"
GRID = "#e6e8ec"
BAR_HEIGHT = 0.62
LANE_INCHES = 0.34
WIDTH_INCHES = 10.0
MAX_IMAGE_FRAMES = 8000


def plot_spectrogram(log_mel, *, ax=None, hop_seconds: float = 0.01):
  """Draws a log-mel spectrogram.

  Args:
    log_mel: [frames, bands], any logarithmic unit.
    ax: matplotlib Axes; None makes a figure.
    hop_seconds: time from frame to frame.

  Returns:
    The Axes.
  """
  log_mel = np.asarray(log_mel)
  if log_mel.ndim != 2 or not log_mel.size:
    raise ValueError(
      f"log_mel must have shape [frames, bands], got {log_mel.shape}"
    )
  ax = _axes(ax, 2.6)
  duration_seconds = len(log_mel) * hop_seconds
  # Far more frames than pixels: every n-th will do.
  image = log_mel[:: max(1, len(log_mel) // MAX_IMAGE_FRAMES)].T
  # A few outliers must not take the colours away from the rest.
  low, high = np.percentile(image, (5, 99.9))
  ax.imshow(
    image,  # [bands, frames]
    origin="lower",
    aspect="auto",
    cmap="magma",
    interpolation="nearest",
    extent=(0, duration_seconds, 0, log_mel.shape[1]),
    vmin=low,
    vmax=max(high, low + 1e-3),
  )
  ax.set_ylabel("mel band")
  return _tidy(ax, duration_seconds)


def plot_events(events: EventTable, *, ax=None, labels, duration_seconds):
  """Draws events as bars, one row per class, fainter where less certain.

  Args:
    events: the events; labels outside `labels` are an error.
    ax: matplotlib Axes; None makes a figure.
    labels: classes from top to bottom.
    duration_seconds: end of the time axis.

  Returns:
    The Axes.
  """
  from matplotlib.colors import to_rgba

  labels = list(labels)
  foreign = sorted(set(events.label) - set(labels))
  if foreign:
    raise ValueError(f"labels must hold every event's label, lacks {foreign}")
  ax = _axes(ax, 0.7 + LANE_INCHES * len(labels))
  for row, label in enumerate(labels):
    mine = events[events.label == label]
    if not len(mine):
      continue
    certainty = np.clip(np.nan_to_num(mine.score, nan=1.0), 0, 1)
    ax.broken_barh(
      np.stack([mine.start, mine.end - mine.start], axis=-1),  # [events, 2]
      (row - BAR_HEIGHT / 2, BAR_HEIGHT),
      facecolors=[to_rgba(colour(label), 0.4 + 0.6 * c) for c in certainty],
      edgecolors=colour(label),
      linewidth=0.8,
      zorder=3,
    )
  return _lanes(ax, labels, duration_seconds)


def plot_scores(scores, *, ax=None, labels, cell_seconds):
  """Draws scores as an image, one row per class, white 0 to dark 1.

  Args:
    scores: 0..1, [cells, classes].
    ax: matplotlib Axes; None makes a figure.
    labels: classes from top to bottom.
    cell_seconds: length of a cell, or all edges, [cells + 1].

  Returns:
    The Axes.
  """
  labels = list(labels)
  scores, edges = _check_scores(scores, labels, cell_seconds)
  ax = _axes(ax, 0.9 + LANE_INCHES * len(labels))
  ax.pcolormesh(
    edges,
    np.arange(len(labels) + 1) - 0.5,
    scores.T,  # [classes, cells]
    cmap="Blues",
    vmin=0,
    vmax=1,
    zorder=1,
    rasterized=True,
  )
  return _lanes(ax, labels, edges[-1])


def shade_scores(scores, *, ax, labels, cell_seconds):
  """Adds scores to a plot of events: a faint step curve in each row.

  Args:
    scores: 0..1, [cells, classes].
    ax: Axes drawn by `plot_events` with the same labels.
    labels: classes from top to bottom.
    cell_seconds: length of a cell, or all edges, [cells + 1].

  Returns:
    The Axes.
  """
  labels = list(labels)
  scores, edges = _check_scores(scores, labels, cell_seconds)
  for row, label in enumerate(labels):
    ax.stairs(
      row + 0.5 - 0.94 * np.clip(scores[:, row], 0, 1),  # Rows grow downward.
      edges,
      baseline=row + 0.5,
      fill=True,
      color=colour(label),
      alpha=0.16,
      linewidth=0,
      zorder=2,
    )
  return ax


def plot_prediction(log_mel, detections, *, fig=None, hop_seconds=0.01):
  """Draws the spectrogram above, the events below, on one time axis.

  Args:
    log_mel: [frames, bands].
    detections: a Detections of the same recording.
    fig: matplotlib Figure to draw on; None makes one.
    hop_seconds: time from frame to frame of `log_mel`.

  Returns:
    The Figure; its two Axes are `fig.axes`.
  """
  lanes_inches = 0.5 + LANE_INCHES * len(detections.plot_labels())
  if fig is None:
    import matplotlib.pyplot as plt

    size = (WIDTH_INCHES, 2.9 + lanes_inches)
    fig = plt.figure(figsize=size, layout="constrained")
  above, below = fig.subplots(2, sharex=True, height_ratios=(2.4, lanes_inches))
  plot_spectrogram(log_mel, ax=above, hop_seconds=hop_seconds)
  detections.plot(below)
  above.tick_params(labelbottom=False)
  name = " · ".join(filter(None, (detections.filename, detections.model)))
  above.set_title(name, loc="left", fontsize=11, color=INK)
  above.set_xlabel("")
  below.set_xlim(0, detections.duration_seconds)
  return fig


def _axes(ax, height_inches: float):
  if ax is not None:
    return ax
  import matplotlib.pyplot as plt

  size = (WIDTH_INCHES, height_inches)
  return plt.subplots(figsize=size, layout="constrained")[1]


def _check_scores(scores, labels, cell_seconds):
  """Scores and the edges of their cells, both as arrays."""
  scores = np.asarray(scores)
  if scores.ndim != 2 or scores.shape[1] != len(labels):
    raise ValueError(
      f"scores must have shape [cells, {len(labels)}], got {scores.shape}"
    )
  edges = np.asarray(cell_seconds, np.float64)
  if not edges.ndim:
    edges = np.arange(len(scores) + 1) * edges
  if edges.shape != (len(scores) + 1,):
    raise ValueError(
      f"cell_seconds must be one number or {len(scores) + 1} edges, got "
      f"{edges.shape}"
    )
  return scores, edges


def _lanes(ax, labels, duration_seconds: float):
  """One horizontal lane per class, the first on top."""
  ax.set_yticks(range(len(labels)), labels)
  ax.set_ylim(len(labels) - 0.5, -0.5)
  for row in range(1, len(labels)):
    ax.axhline(row - 0.5, color=GRID, linewidth=0.8, zorder=1)
  ax.tick_params(axis="y", length=0)
  return _tidy(ax, duration_seconds)


def _tidy(ax, duration_seconds: float):
  ax.set_xlim(0, duration_seconds)
  ax.set_xlabel("time (s)")
  ax.spines[["top", "right", "left"]].set_visible(False)
  ax.spines["bottom"].set_color(INK)
  ax.tick_params(colors=INK, labelsize=9)
  ax.xaxis.label.set_color(INK)
  ax.yaxis.label.set_color(INK)
  return ax
