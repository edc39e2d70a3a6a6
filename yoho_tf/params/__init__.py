"""Every setting of every system: frozen dataclasses, presets, overrides, JSON.

Seconds are stored and samples are properties. A preset is a value in
`PRESETS`; an ablation is `dataclasses.replace`; a command-line override is
`override(params, {"frontend.mel_bands": 128})`.
"""

from yoho_tf.params.augmentation import Augmentation
from yoho_tf.params.distributions import (
  Choice,
  Const,
  Distribution,
  Normal,
  Uniform,
)
from yoho_tf.params.metrics import (
  METRIC_PRESETS,
  PSDS1,
  PSDS2,
  BootstrapParams,
  BoxParams,
  EventParams,
  IntersectionParams,
  MaskParams,
  MetricParams,
  PSDSParams,
  SegmentParams,
  SoftLabelParams,
  TaggingParams,
  TemporalParams,
)
from yoho_tf.params.networks import (
  FrontendParams,
  PostprocessParams,
  YamnetParams,
  YohoInferenceParams,
  YohoLossParams,
  YohoParams,
)
from yoho_tf.params.overrides import (
  flatten,
  from_json,
  override,
  parse_settings,
  system_of,
  to_json,
)
from yoho_tf.params.presets import (
  PRESETS,
  preset,
)
from yoho_tf.params.scene import (
  SCENE_PRESETS,
  JoinParams,
  SceneParams,
  scene_preset,
)
from yoho_tf.params.training import (
  FINE_TUNING,
  TrainingParams,
)

__all__ = [
  "Augmentation",
  "BootstrapParams",
  "BoxParams",
  "Choice",
  "Const",
  "Distribution",
  "EventParams",
  "FINE_TUNING",
  "FrontendParams",
  "IntersectionParams",
  "JoinParams",
  "METRIC_PRESETS",
  "MaskParams",
  "MetricParams",
  "Normal",
  "PRESETS",
  "PSDS1",
  "PSDS2",
  "PSDSParams",
  "PostprocessParams",
  "SCENE_PRESETS",
  "SceneParams",
  "SegmentParams",
  "SoftLabelParams",
  "TaggingParams",
  "TemporalParams",
  "TrainingParams",
  "Uniform",
  "YamnetParams",
  "YohoInferenceParams",
  "YohoLossParams",
  "YohoParams",
  "flatten",
  "from_json",
  "override",
  "parse_settings",
  "preset",
  "scene_preset",
  "system_of",
  "to_json",
]
