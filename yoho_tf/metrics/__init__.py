"""Metrics for sound events: numpy only, exact, checked against references."""

from yoho_tf.metrics._result import MetricResult
from yoho_tf.metrics.event import event_metrics
from yoho_tf.metrics.segment import segment_metrics

__all__ = ["MetricResult", "event_metrics", "segment_metrics"]
