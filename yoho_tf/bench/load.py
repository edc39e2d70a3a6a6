"""What the metrics are timed on: references and a made-up system."""

from typing import NamedTuple

import numpy as np

from yoho_tf import metrics

SECONDS, FRAME_SECONDS = 10.0, 0.064
LABELS = tuple("abcdefghij")
FLOOR = 0.1  # least score of a detection that is ranked


class Load(NamedTuple):
  """What is evaluated; tables are DataFrames."""

  reference: object
  durations: dict  # file -> seconds
  scores: metrics.FrameScores
  estimate: object  # events at .5
  ranked: object  # events at the floor, with their highest score


def make_load(num_files, seed):
  """References and the scores of a made-up system.

  Files of 10 s, 10 classes, frames of 64 ms. Poisson(3.5) events per file
  with log-normal lengths (mu .3, sigma .9, at least .25 s); of two events of
  one class that overlap, the later one is left out. Scores: logistic of -3.2
  + 5.4 activity + noise. Activity is 1, or .4 for 15 % of the events, between
  edges that are moved by Gaussians of .1 s; the noise is Gaussian, smoothed
  by a Hann window of 9 frames, and has unit variance.
  """
  import pandas as pd

  generator = np.random.default_rng(seed)
  num_frames = int(np.ceil(SECONDS / FRAME_SECONDS))
  bounds = np.minimum(np.arange(num_frames + 1) * FRAME_SECONDS, SECONDS)
  centre = (bounds[1:] + bounds[:-1]) / 2  # [frames]
  window = np.hanning(11)[1:-1]  # 9 frames that are not 0
  window /= np.sqrt(np.sum(window**2))
  rows, scores = [], {}
  for index in range(num_files):
    name = f"file_{index:05d}.wav"
    noise = generator.standard_normal((num_frames + 8, len(LABELS)))
    noise = np.stack(
      [np.convolve(column, window, "valid") for column in noise.T], axis=1
    )  # [frames, classes]
    activity = np.zeros((num_frames, len(LABELS)))
    taken = []
    for _ in range(generator.poisson(3.5)):
      length = min(max(generator.lognormal(0.3, 0.9), 0.25), SECONDS)
      start = generator.uniform(0, SECONDS - length)
      label = int(generator.integers(len(LABELS)))
      height = 0.4 if generator.random() < 0.15 else 1.0
      moved = generator.normal(0, 0.1, 2)
      end = start + length
      if any(k == label and start <= e and end >= s for s, e, k in taken):
        continue
      taken.append((start, end, label))
      on = (centre >= start + moved[0]) & (centre < end + moved[1])
      activity[on, label] = height
    rows += [(name, s, e, LABELS[k]) for s, e, k in sorted(taken)]
    logits = -3.2 + 5.4 * activity + noise
    scores[name] = 1 / (1 + np.exp(-logits))
  frames = metrics.FrameScores(scores, bounds, LABELS)
  return Load(
    pd.DataFrame(rows, columns=["filename", "start", "end", "label"]),
    dict.fromkeys(scores, SECONDS),
    frames,
    pd.DataFrame(metrics.events_at(frames, 0.5)),
    _ranked(frames),
  )


def _ranked(frames):
  """Events at the floor with the highest score inside each."""
  import pandas as pd

  table = metrics.events_at(frames, FLOOR)
  bounds = frames.boundaries_seconds
  column = {label: i for i, label in enumerate(frames.labels)}
  first = np.searchsorted(bounds, table["start"])
  stop = np.searchsorted(bounds, table["end"])
  score = [
    frames.scores[name][i:j, column[label]].max()
    for name, i, j, label in zip(table["filename"], first, stop, table["label"])
  ]
  return pd.DataFrame({**table, "score": score})
