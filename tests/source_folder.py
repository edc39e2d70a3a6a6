"""A small folder of recordings to mix from, made on the spot."""

import csv

import numpy as np
import pytest

RATE = 16_000
COLUMNS = ("path", "role", "class", "split", "source_id", "licence", "seconds")


def burst(rng, kind, seconds):
  """float64 [samples] of a sound that fills its file."""
  time = np.arange(round(seconds * RATE)) / RATE
  if kind == "tone":
    frequency = rng.uniform(300, 3000)
    return 0.3 * np.sin(2 * np.pi * frequency * time)
  return 0.2 * rng.normal(size=len(time)).clip(-3, 3)


def rows_of_a_split(split):
  """(path, role, class, kind, seconds, source id, licence)."""
  free, paid = "CC BY 3.0", "CC BY-NC 3.0"
  speaker = "words:unknown-speaker"
  return [
    (f"ev/{split}/rain0.wav", "event", "rain", "noise", 1.5, "a", free),
    (f"ev/{split}/rain1.wav", "event", "rain", "noise", 0.8, "a", free),
    (f"ev/{split}/rain2.wav", "event", "rain", "noise", 2.5, "b", paid),
    (f"ev/{split}/dog0.wav", "event", "dog_bark", "tone", 0.4, "c", free),
    (f"ev/{split}/dog1.wav", "event", "dog_bark", "tone", 0.6, "d", free),
    (f"ev/{split}/step.wav", "event", "footsteps", "noise", 0.2, "e", free),
    (f"ev/{split}/siren.wav", "event", "siren", "tone", 1.0, "f", paid),
    (f"sp/{split}/one.wav", "speech", "sentence", "tone", 1.2, "g", free),
    (f"sp/{split}/two.wav", "keyword", "hey", "tone", 0.5, speaker, free),
    (f"sp/{split}/six.wav", "keyword", "hey", "tone", 0.5, speaker, free),
    (f"mu/{split}/tune.wav", "music", "music", "tone", 3.0, "h", free),
    (f"di/{split}/door.wav", "distractor", "door", "noise", 0.7, "i", free),
    (f"bg/{split}/fan.wav", "background", "fan", "noise", 4.0, "j", free),
    (f"bg/{split}/rain.wav", "background", "wet", "noise", 2.0, "k", free),
    (f"ir/{split}/room.wav", "rir", "room", "room", 0.3, "l", free),
    (f"rs/{split}/dog.wav", "real_strong", "dog_bark", "tone", 6.0, "m", free),
  ]


@pytest.fixture(scope="session")
def source_folder(tmp_path_factory, write_wav):
  """`manifest.csv`, `labels.csv` and 48 sound files in three splits."""
  folder = tmp_path_factory.mktemp("sources")
  rng = np.random.default_rng(0)
  rows, strong = [], []
  for split in ("train", "val", "test"):
    for path, role, name, kind, seconds, source, licence in rows_of_a_split(
      split
    ):
      if kind == "room":
        waveform = np.zeros(round(seconds * RATE))
        waveform[40] = 0.9  # the direct path, after a short way
        waveform[400:1200] = 0.05 * rng.normal(size=800)
      else:
        waveform = burst(rng, kind, seconds)
      write_wav(folder / path, waveform, RATE)
      if "unknown-speaker" not in source:
        source = f"{split}:{source}"
      rows.append((path, role, name, split, source, licence, seconds))
      if role == "real_strong":
        # (onset, offset, salience, offset_exact)
        for event in (
          (0.5, 1.0, 1, 1),
          (2.0, 2.8, 1, 1),
          (3.0, 3.5, 2, 1),  # in the background of its recording
          (4.0, 4.5, 1, 0),  # the end is not exact
        ):
          strong.append((path, event[0], event[1], name, *event[2:], split))
  header = ("path", "onset", "offset", "event", "salience", "offset_exact")
  header += ("split",)
  for name, head, body in (
    ("manifest.csv", COLUMNS, rows),
    ("labels.csv", header, strong),
  ):
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
      csv.writer(file).writerows([head, *body])
  return folder
