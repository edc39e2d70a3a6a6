"""Metrics for sound events: numpy only, exact, checked against references."""

from yoho_tf.annotations import FrameScores
from yoho_tf.metrics._frames import events_at
from yoho_tf.metrics._result import MetricResult, json_text, save_json
from yoho_tf.metrics.best import (
  BestThresholds,
  apply_thresholds,
  best_thresholds,
)
from yoho_tf.metrics.bootstrap import BootstrapResult, bootstrap, compare
from yoho_tf.metrics.boxes import box_iou, box_map
from yoho_tf.metrics.evaluate import METRICS, EvaluationReport, evaluate
from yoho_tf.metrics.event import event_metrics
from yoho_tf.metrics.intersection import intersection_metrics
from yoho_tf.metrics.masks import MaskAccumulator, mask_map, mask_metrics
from yoho_tf.metrics.psds import psds_metrics
from yoho_tf.metrics.segment import segment_metrics
from yoho_tf.metrics.soft_labels import soft_label_metrics
from yoho_tf.metrics.tagging import tagging_metrics
from yoho_tf.metrics.temporal_iou import temporal_map

__all__ = [
  "METRICS",
  "BestThresholds",
  "BootstrapResult",
  "EvaluationReport",
  "FrameScores",
  "MaskAccumulator",
  "MetricResult",
  "apply_thresholds",
  "best_thresholds",
  "bootstrap",
  "box_iou",
  "box_map",
  "compare",
  "evaluate",
  "event_metrics",
  "events_at",
  "intersection_metrics",
  "json_text",
  "mask_map",
  "mask_metrics",
  "psds_metrics",
  "save_json",
  "segment_metrics",
  "soft_label_metrics",
  "tagging_metrics",
  "temporal_map",
]
