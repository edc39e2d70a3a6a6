"""The files of one scene, as bytes: audio, stems, JAMS."""

import io
import json
import re

import numpy as np

from yoho_tf.annotations import Annotations
from yoho_tf.events import EventTable
from yoho_tf.formats.jams import Jams


def scene_files(scene, name: str, split: str) -> dict[str, bytes]:
  """{path below the folder: what the file holds}; the audio comes last."""
  rate, length = scene.recipe.sample_rate_hz, len(scene.waveform)
  files = {}
  for number, stem in enumerate(scene.stems):
    whole = np.zeros(length, np.float32)
    whole[stem.start : stem.start + len(stem.waveform)] = stem.waveform
    label = re.sub(r"[^\w-]+", "_", stem.label or "distractor")
    if number < len(scene.recipe.events):
      label = f"{number:02d}_{label}"
    files[f"stems/{split}/{name}/{label}.wav"] = wav_bytes(whole, rate)
  files[f"jams/{split}/{name}.jams"] = jams_text(scene, name).encode()
  files[f"audio/{split}/{name}.wav"] = wav_bytes(scene.waveform, rate)
  return files


def wav_bytes(waveform, rate) -> bytes:
  """16-bit WAV; a sample is off by at most half a step."""
  import soundfile

  stream = io.BytesIO()
  samples = np.round(waveform * np.float32(32768)).clip(-32768, 32767)
  soundfile.write(
    stream, samples.astype(np.int16), rate, format="WAV", subtype="PCM_16"
  )
  return stream.getvalue()


def jams_text(scene, name) -> str:
  """JAMS with the namespace `scaper`, as Scaper writes it.

  An observation has the times of the label; `event_duration` is the one before
  stretching. An event of several files names the first.
  """
  recipe, rate = scene.recipe, scene.recipe.sample_rate_hz
  rows = sorted(
    (span[0] / rate, span[1] / rate, event.label, number)
    for number, (event, span) in enumerate(zip(recipe.events, scene.spans))
    if span
  )
  notes = Annotations(
    events=EventTable.from_rows(row[:3] for row in rows),
    durations={f"{name}.wav": recipe.num_samples / rate},
  )
  document = json.loads(Jams.text(notes))
  (annotation,) = document["annotations"]
  annotation["namespace"] = "scaper"
  for item, row in zip(annotation["data"], rows):
    event = recipe.events[row[3]]
    item["value"] = {
      "label": event.label,
      "source_file": event.pieces[0].file,
      "source_time": event.pieces[0].first / rate,
      "event_time": row[0],
      "event_duration": event.num_source_samples / rate,
      "snr": event.snr_db,
      "role": "foreground",
      "pitch_shift": event.semitones or None,
      "time_stretch": event.stretch if event.stretch != 1 else None,
    }
    item["confidence"] = 1.0
  annotation["data"].append(_background(recipe, rate))
  return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _background(recipe, rate):
  own, seconds = recipe.background, recipe.num_samples / rate
  value = {
    "label": "background" if own.piece else f"{own.noise}_noise",
    "source_file": own.piece.file if own.piece else "",
    "source_time": own.piece.first / rate if own.piece else 0.0,
    "event_time": 0.0,
    "event_duration": seconds,
    "snr": 0.0,
    "role": "background",
    "pitch_shift": None,
    "time_stretch": None,
  }
  return {"time": 0.0, "duration": seconds, "value": value, "confidence": 1.0}
