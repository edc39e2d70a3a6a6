"""Every setting of every system: frozen dataclasses, presets, overrides, JSON.

Seconds are stored and samples are properties. A preset is a value in
`PRESETS`; an ablation is `dataclasses.replace`; a command-line override is
`override(params, {"frontend.mel_bands": 128})`.
"""

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
  from_json,
  override,
  system_of,
  to_json,
)
from yoho_tf.params.presets import (
  PRESETS,
  preset,
)
from yoho_tf.params.training import (
  SceneParams,
  TrainingParams,
)

__all__ = [
  "BootstrapParams",
  "BoxParams",
  "EventParams",
  "FrontendParams",
  "IntersectionParams",
  "METRIC_PRESETS",
  "MaskParams",
  "MetricParams",
  "PRESETS",
  "PSDS1",
  "PSDS2",
  "PSDSParams",
  "PostprocessParams",
  "SceneParams",
  "SegmentParams",
  "SoftLabelParams",
  "TaggingParams",
  "TemporalParams",
  "TrainingParams",
  "YamnetParams",
  "YohoInferenceParams",
  "YohoLossParams",
  "YohoParams",
  "from_json",
  "override",
  "preset",
  "system_of",
  "to_json",
]
