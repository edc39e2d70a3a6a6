"""Made-up scenes, records and clips for `yoho bench data`."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from yoho_tf.bench.synth import make_sources
from yoho_tf.data import records, sources, synth
from yoho_tf.data.examples import from_scene
from yoho_tf.data.synth.files import wav_bytes
from yoho_tf.files import replace_bytes, replace_text
from yoho_tf.labels import ClassMap
from yoho_tf.params import TrainingParams, YohoParams

SOURCE_SECONDS = 5.0  # of each made-up source
_PLAIN = dict(pitch_probability=0.0, time_stretch_probability=0.0)


class Task(NamedTuple):
  """What a preset is trained on here."""

  params: YohoParams
  training: TrainingParams
  pool: object  # `SourcePool`
  index: records.Index


def make_task(params, training, folder, source_folder=None) -> Task:
  """Sources and four batches of records of scenes mixed from them."""
  rate = params.frontend.sample_rate_hz
  training = replace(
    training,
    scene=replace(
      training.scene,
      sample_rate_hz=rate,
      duration_seconds=max(
        training.scene.duration_seconds, params.window_seconds
      ),
    ),
  )
  if source_folder is None:
    source_folder = Path(folder, "sources")
    source_folder.mkdir(parents=True)
    make_sources(source_folder, labels=params.labels, seconds=SOURCE_SECONDS)
  pool = sources.read_sources(
    source_folder, split="train", labels=params.labels, sample_rate_hz=rate
  )
  scenes = _scenes(pool, params, training.scene, 4 * training.batch_size)
  index = records.write_records(
    Path(folder, "records"),
    (
      from_scene(scene, filename=f"{number}.wav", group=str(number))
      for number, scene in enumerate(scenes)
    ),
    class_map=ClassMap(params.labels),
  )
  return Task(params, training, pool, index)


def _scenes(pool, params, scene, count):
  for index in range(count):
    yield synth.make_scene(
      pool, scene, seed=0, index=index, labels=params.labels
    )


def make_clips(folder, params, count):
  """Clips laid out as URBAN-SED is: sounds, and lists of their events.

  Returns:
    Paths of the `count` sounds of the training split, and of their lists.
  """
  rate = params.frontend.sample_rate_hz
  raw = Path(folder, "sources")
  raw.mkdir(parents=True)
  make_sources(raw, labels=params.labels, seconds=SOURCE_SECONDS)
  pool = sources.read_sources(
    raw, split="train", labels=params.labels, sample_rate_hz=rate
  )
  scene = replace(TrainingParams().scene, sample_rate_hz=rate, **_PLAIN)
  scene = replace(scene, duration_seconds=params.window_seconds)
  splits = ["train"] * count + ["validate", "test"]
  paths = []
  for number, (split, clip) in enumerate(
    zip(splits, _scenes(pool, params, scene, len(splits)))
  ):
    name = f"{split}/clip{number:04d}"
    sound = Path(folder, "audio", f"{name}.wav")
    text = Path(folder, "annotations", f"{name}.txt")
    for path in (sound, text):
      path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(sound, wav_bytes(clip.waveform, rate))
    lines = [f"{e.start}\t{e.end}\t{e.label}\n" for e in clip.events]
    replace_text(text, "".join(lines))
    paths.append((sound, text))
  return tuple(zip(*paths[:count]))
