"""Small made-up data sets in the layout of real ones."""

import json
from pathlib import Path

import numpy as np

FIXTURE = "fixture.json"  # counts of a fixture, beside its files


class Fixture:
  """Writes a small made-up set: noise and tones in the set's own layout."""

  def __init__(self, root, *, seed: int, sample_rate_hz: int):
    self.root, self.rate = Path(root), sample_rate_hz
    self.rng = np.random.default_rng(seed)
    self.root.mkdir(parents=True, exist_ok=True)

  def audio(self, path, seconds=0.3, *, channels=1, subtype="PCM_16", extra=0):
    """A tone in noise; `extra` samples make an odd length."""
    import soundfile

    count = round(seconds * self.rate) + extra
    time = np.arange(count) / self.rate
    tone = 0.2 * np.sin(2 * np.pi * self.rng.uniform(300, 3000) * time)
    noise = self.rng.normal(0, 0.02, (count, channels))
    path = self.root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone[:, None] + noise, self.rate, subtype=subtype)

  def text(self, path, rows, separator="\t"):
    """Rows of fields, or lines."""
    path = self.root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
      row if isinstance(row, str) else separator.join(map(str, row))
      for row in rows
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")

  def counts(self, **counts):
    """Writes what `check` must find here."""
    body = json.dumps({"counts": counts}, indent=2)
    (self.root / FIXTURE).write_text(body + "\n", encoding="utf-8")
