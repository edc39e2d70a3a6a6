"""Makes `radio.flac` and its labels: nothing in it comes from a recording.

A ticking clock, a sentence spoken by the free synthesiser espeak-ng, and a
tune of plucked strings. `python examples/make_examples.py` writes both files
again (needs espeak-ng on the PATH).
"""

import pathlib
import subprocess
import tempfile

import numpy as np
import soundfile
import soxr

RATE = 16_000
HERE = pathlib.Path(__file__).resolve().parent
TEXT = "This is the evening programme. And now, a little music."


def clock(seconds, rng):
  """A mechanical clock: a tick and a tock every second."""
  out = np.zeros(round(seconds * RATE))
  for i in range(int(seconds * 2)):
    ring = np.zeros(1200)
    t = np.arange(len(ring)) / RATE
    for hz in (2900, 4300, 5600) if i % 2 else (2300, 3700, 5100):
      ring += np.sin(2 * np.pi * hz * t) * np.exp(-t * rng.uniform(90, 160))
    ring[:60] += rng.standard_normal(60) * 0.8
    first = round(i * RATE / 2)
    part = out[first : first + len(ring)]
    part += ring[: len(part)]
  return out / np.abs(out).max()


def speech():
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "speech.wav")
    subprocess.run(
      ["espeak-ng", "-v", "en-gb", "-s", "150", "-w", path, TEXT], check=True
    )
    samples, rate = soundfile.read(path)
  samples = soxr.resample(samples, rate, RATE)
  loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
  samples = samples[loud[0] : loud[-1] + 1]
  return samples / np.abs(samples).max()


def pluck(hz, seconds, rng):
  """A plucked string (Karplus and Strong, 1983)."""
  size = round(RATE / hz)
  string = rng.uniform(-1, 1, size)
  out = np.empty(round(seconds * RATE))
  for i in range(len(out)):
    out[i] = string[i % size]
    string[i % size] = 0.498 * (string[i % size] + string[(i + 1) % size])
  return out


def tune(seconds, rng):
  chords = ((220, 277.2, 329.6), (185, 220, 277.2), (146.8, 220, 293.7))
  chords += ((164.8, 207.7, 246.9),)
  out = np.zeros(round(seconds * RATE))
  for bar in range(int(seconds // 1.2) + 1):
    chord = chords[bar % len(chords)]
    notes = [(chord[0] / 2, 0)] + [
      (chord[k % 3] * (2 if k == 3 else 1), 0.2 * k) for k in range(6)
    ]
    for hz, delay in notes:
      first = round((bar * 1.2 + delay) * RATE)
      sound = pluck(hz, 1.4, rng)
      part = out[first : first + len(sound)]
      part += sound[: len(part)]
  return out / np.abs(out).max()


def main():
  rng = np.random.default_rng(0)
  spoken = speech()
  parts = [
    ("Tick-tock", 0.4, clock(3.0, rng) * 0.25),
    ("Speech", 4.0, spoken * 0.35),
    ("Music", 4.6 + len(spoken) / RATE, tune(6.0, rng) * 0.35),
  ]
  end = parts[-1][1] + len(parts[-1][2]) / RATE + 0.5
  mixture = rng.standard_normal(round(end * RATE)) * 10 ** (-60 / 20)
  rows = []
  for label, start, sound in parts:
    first = round(start * RATE)
    mixture[first : first + len(sound)] += sound
    rows.append(
      f"{first / RATE:.4f}\t{(first + len(sound)) / RATE:.4f}\t{label}"
    )
  soundfile.write(HERE / "radio.flac", mixture, RATE, subtype="PCM_16")
  (HERE / "radio.txt").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
  main()
