"""Presets by name: `<system>_<task or data>[_<size>]`."""

from dataclasses import replace

from yoho_tf.labels import did_you_mean
from yoho_tf.params.networks import (
  FrontendParams,
  PostprocessParams,
  YamnetParams,
  YohoInferenceParams,
  YohoLossParams,
  YohoParams,
)

_PAPER_ENVIRONMENT = YohoParams(
  frontend=FrontendParams(
    dialect="yoho",
    sample_rate_hz=44_100,
    stft_window_seconds=0.04,
    mel_bands=40,
    mel_min_hz=0.0,
    mel_max_hz=22_050.0,
    transform="rfft",
    amin=1e-10,
  ),
  lattice="window",
  activation="relu",
  dropout_from_layer=2,
  l2_first=1e-3,
  l2_pointwise=1e-2,
  loss=YohoLossParams(presence="squared", boundary="squared"),
  postprocess=PostprocessParams(low=0.5, merge_gap_seconds=0.3),
)

# The new layers' inputs are small (variance near 1e-3): at momentum 0.99 their
# moving variance needs 700 steps from its start at 1, at 0.9 it needs 70.
_EVERYDAY = YohoParams(
  batchnorm_momentum=0.9,
  loss=YohoLossParams(edge_weight=3.0),
  labels=(
    "Chicken, rooster",
    "Fire",
    "Music",
    "Rain",
    "Sneeze",
    "Speech",
    "Tick-tock",
    "Walk, footsteps",
  ),
)

PRESETS = {
  "yamnet_audioset": YamnetParams(),
  "yamnet_audioset_relu6": YamnetParams(activation="relu6"),
  "yoho_music_speech": replace(
    _PAPER_ENVIRONMENT,
    labels=("speech", "music"),
    frontend=FrontendParams(dialect="yoho", transform="rfft"),
    window_seconds=8.0,
    dropout=0.0,
    l2_first=0.0,
    l2_pointwise=0.0,
    label_merge_gap_seconds={"speech": 0.4, "music": 0.6},
    postprocess=PostprocessParams(
      low=0.5,
      merge_gap_seconds=0.8,
      per_label={
        "speech": {"min_duration_seconds": 0.8},
        "music": {"min_duration_seconds": 3.4},
      },
    ),
    inference=YohoInferenceParams(window_hop_seconds=6.0, discard_seconds=1.0),
  ),
  "yoho_tut2017": replace(
    _PAPER_ENVIRONMENT,
    labels=(
      "brakes squeaking",
      "car",
      "children",
      "large vehicle",
      "people speaking",
      "people walking",
    ),
    window_seconds=2.56,
    inference=YohoInferenceParams(window_hop_seconds=1.96, discard_seconds=0.3),
  ),
  "yoho_urban_sed": replace(
    _PAPER_ENVIRONMENT,
    labels=(
      "air_conditioner",
      "car_horn",
      "children_playing",
      "dog_bark",
      "drilling",
      "engine_idling",
      "gun_shot",
      "jackhammer",
      "siren",
      "street_music",
    ),
    window_seconds=10.0,
    inference=YohoInferenceParams(window_hop_seconds=8.0, discard_seconds=1.0),
  ),
  "yoho_everyday": _EVERYDAY,
  "yoho_everyday_medium": replace(_EVERYDAY, width=0.5),
  "yoho_everyday_small": replace(_EVERYDAY, width=0.25),
  # Ours on the paper's task; `yoho_music_speech` is the paper's network.
  "yoho_radio": replace(_EVERYDAY, labels=("Music", "Speech")),
  "yoho_urban": replace(
    _EVERYDAY,
    labels=(
      "Air conditioning",
      "Bark",
      "Chicken, rooster",
      "Children playing",
      "Drill",
      "Fire",
      "Gunshot, gunfire",
      "Idling",
      "Music",
      "Rain",
      "Siren",
      "Sneeze",
      "Speech",
      "Tick-tock",
      "Vehicle horn, car horn, honking",
      "Walk, footsteps",
    ),
  ),
}


def preset(name: str):
  """The params called `name`, or ValueError with a near name."""
  if name not in PRESETS:
    raise ValueError(f"preset {did_you_mean(name, PRESETS)}")
  return PRESETS[name]
