"""Settings of the metrics: frozen dataclasses and their presets.

The defaults equal the current reference implementations as the DESED
baseline calls them; `METRIC_PRESETS` holds the other conventions.
"""

from dataclasses import dataclass, field, replace
from math import isfinite

_CHOICES = {
  "evaluated_length": ("auto", "longest_event"),
  "empty_system": ("zero", "nan"),
  "absent_classes": ("exclude", "zero"),
  "matching": ("optimal", "greedy"),
  "ct_mean": ("other", "all"),
  "overlap": ("error", "merge", "keep"),
  "auroc": ("linear", "staircase"),
  "interpolation": ("all", "101"),
  "frequency_axis": ("hz", "mel"),
  "method": ("balanced", "multinomial"),
}


def _check(params, *, positive=(), not_negative=(), shares=()):
  """Checks choices and number ranges of a parameter object."""
  for name, choices in _CHOICES.items():
    value = getattr(params, name, choices[0])
    if value not in choices:
      raise ValueError(f"{name}: one of {choices}, received {value!r}")
  rules = (
    (positive, lambda value: value > 0, "a finite number > 0"),
    (not_negative, lambda value: value >= 0, "a finite number >= 0"),
    (shares, lambda value: 0 < value <= 1, "a number in (0, 1]"),
  )
  for names, holds, rule in rules:
    for name in names:
      value = getattr(params, name)
      if not (isfinite(value) and holds(value)):
        raise ValueError(f"{name}: {rule}, received {value!r}")


@dataclass(frozen=True)
class SegmentParams:
  """Segment counts: TP, FP, FN, TN in segments of a fixed length.

  Attributes:
    resolution_seconds: length of a segment.
    evaluated_length: "auto" takes durations where given, else the end of the
      longest event; "longest_event" ignores durations.
    empty_system: precision of a class the system never put out.
    time_decimals: None compares exact floats; a number rounds first.
    absent_classes: "exclude" keeps classes without reference out of macro.
  """

  resolution_seconds: float = 1.0
  evaluated_length: str = "auto"
  empty_system: str = "zero"
  time_decimals: int | None = None
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check(self, positive=("resolution_seconds",))


@dataclass(frozen=True)
class EventParams:
  """Event counts: references and estimates matched within collars.

  Attributes:
    start_collar_seconds: largest start difference, inclusive.
    end_collar_seconds: largest end difference, inclusive.
    end_collar_ratio: the end collar is at least this share of the reference.
    match_end: False compares starts only.
    matching: "optimal" bipartite matching, or "greedy" in input order.
    empty_system: precision of a class the system never put out.
    time_decimals: rounds |difference| - collar before it is compared with 0.
    absent_classes: "exclude" keeps classes without reference out of macro.
  """

  start_collar_seconds: float = 0.2
  end_collar_seconds: float = 0.2
  end_collar_ratio: float = 0.2
  match_end: bool = True
  matching: str = "optimal"
  empty_system: str = "zero"
  time_decimals: int | None = None
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check(
      self,
      not_negative=(
        "start_collar_seconds",
        "end_collar_seconds",
        "end_collar_ratio",
      ),
    )


@dataclass(frozen=True)
class IntersectionParams:
  """Intersection criteria at one operating point.

  Attributes:
    dtc: a detection passes when this share of it lies in references.
    gtc: a reference is found when this share lies in passing detections.
    cttc: a failing detection is a cross-trigger when this share of it lies in
      references of another class; None counts none.
    overlap: same-class overlaps: "error", "merge", or "keep".
    count_outside_fp: count detections wholly outside the file.
    time_decimals: None compares exact sums; a number rounds both sides.
    empty_system: precision of a class the system never put out.
    absent_classes: "exclude" keeps classes without reference out of macro.
  """

  dtc: float = 0.5
  gtc: float = 0.5
  cttc: float | None = 0.3
  overlap: str = "error"
  count_outside_fp: bool = False
  time_decimals: int | None = None
  empty_system: str = "zero"
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check(self, shares=("dtc", "gtc"))
    if self.cttc is not None:
      _check(self, shares=("cttc",))


@dataclass(frozen=True)
class PSDSParams:
  """Polyphonic sound detection score.

  Attributes:
    dtc, gtc, cttc: shares of the intersection criteria.
    alpha_ct: weight of cross-triggers; 0 goes with `cttc=None`.
    alpha_st: weight of the standard deviation over classes.
    max_efpr_per_hour: upper end of the curve.
    ct_mean: cross-triggers averaged over the "other" classes or over "all".
    count_outside_fp: count detections wholly outside the file.
    overlap: same-class overlaps: "error", "merge", or "keep".
    non_oracle: leaves out the running maximum over operating points.
    time_decimals: rounding of exact PSDS from frame scores and scored tables.
    point_time_decimals: rounding for lists of operating points.
    absent_classes: "exclude" leaves out classes without reference.
  """

  dtc: float = 0.5
  gtc: float = 0.5
  cttc: float | None = None
  alpha_ct: float = 0.0
  alpha_st: float = 0.0
  max_efpr_per_hour: float = 100.0
  ct_mean: str = "other"
  count_outside_fp: bool = False
  overlap: str = "error"
  non_oracle: bool = False
  time_decimals: int | None = 6
  point_time_decimals: int | None = None
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check(
      self,
      positive=("max_efpr_per_hour",),
      not_negative=("alpha_ct", "alpha_st"),
      shares=("dtc", "gtc"),
    )
    if self.cttc is not None:
      _check(self, shares=("cttc",))
    if (self.cttc is None) != (self.alpha_ct == 0):
      raise ValueError(
        "cttc and alpha_ct > 0: both or neither, received "
        f"cttc={self.cttc} and alpha_ct={self.alpha_ct}"
      )


PSDS1 = PSDSParams(dtc=0.7, gtc=0.7, alpha_st=1.0)
PSDS2 = PSDSParams(dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5, alpha_st=1.0)


@dataclass(frozen=True)
class TaggingParams:
  """Clip-wise metrics.

  Attributes:
    auroc: area by "linear" interpolation or as a "staircase".
    max_fpr: upper end of the partial AUROC.
    mcclish: standardises the partial AUROC after McClish.
    absent_classes: "exclude" keeps classes without positive out of the mean.
  """

  auroc: str = "linear"
  max_fpr: float = 0.1
  mcclish: bool = False
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check(self, shares=("max_fpr",))


@dataclass(frozen=True)
class TemporalParams:
  """Average precision at thresholds of temporal intersection over union.

  Attributes:
    thresholds: intersection over union a true positive needs, each.
    interpolation: "all" recall steps, or "101" recall points.
    max_detections: best detections kept per file and class; None keeps all.
    f1_thresholds: thresholds of the F1 values.
    absent_classes: "exclude" keeps classes without reference out of means.
  """

  thresholds: tuple[float, ...] = tuple(
    round(0.5 + 0.05 * i, 2) for i in range(10)
  )
  interpolation: str = "all"
  max_detections: int | None = None
  f1_thresholds: tuple[float, ...] = (0.5, 0.8)
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check_thresholds(self)


@dataclass(frozen=True)
class BoxParams:
  """Average precision of time-frequency or pixel boxes.

  Attributes:
    thresholds: intersection over union a true positive needs, each.
    interpolation: "101" recall points, or "all" recall steps.
    max_detections: best detections kept per file and class; None keeps all.
    frequency_axis: area in "hz" or in "mel".
    nyquist_hz: upper bound where a table has none.
    absent_classes: "exclude" keeps classes without reference out of means.
  """

  thresholds: tuple[float, ...] = tuple(
    round(0.5 + 0.05 * i, 2) for i in range(10)
  )
  interpolation: str = "101"
  max_detections: int | None = 100
  frequency_axis: str = "hz"
  nyquist_hz: float | None = None
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check_thresholds(self)
    if self.nyquist_hz is not None:
      _check(self, positive=("nyquist_hz",))


def _check_thresholds(params):
  _check(params)
  thresholds = params.thresholds
  if not thresholds or not all(0 < t <= 1 for t in thresholds):
    raise ValueError(f"thresholds: each in (0, 1], received {thresholds}")
  if params.max_detections is not None and params.max_detections < 1:
    raise ValueError(
      f"max_detections: None or >= 1, received {params.max_detections}"
    )


@dataclass(frozen=True)
class MaskParams:
  """Overlap of masks.

  Attributes:
    threshold: a score above it is inside the mask.
    thresholds, interpolation, max_detections: instance average precision.
    absent_classes: "exclude" keeps classes with an empty union out of macro.
  """

  threshold: float = 0.5
  thresholds: tuple[float, ...] = tuple(
    round(0.5 + 0.05 * i, 2) for i in range(10)
  )
  interpolation: str = "101"
  max_detections: int | None = 100
  absent_classes: str = "exclude"

  def __post_init__(self):
    _check_thresholds(self)


@dataclass(frozen=True)
class SoftLabelParams:
  """Soft labels in segments, as in MAESTRO.

  Attributes:
    resolution_seconds: length of a reference segment.
    reference_threshold: a value above it makes the reference active.
    threshold: a segment score above it makes the system active.
    max_fpr: upper end of the partial AUROC.
    auroc: area by "linear" interpolation or as a "staircase".
    clip: scores are clipped to [clip, 1 - clip] for the cross-entropy.
  """

  resolution_seconds: float = 1.0
  reference_threshold: float = 0.5
  threshold: float = 0.5
  max_fpr: float = 0.1
  auroc: str = "linear"
  clip: float = 1e-7

  def __post_init__(self):
    _check(self, positive=("resolution_seconds", "clip"), shares=("max_fpr",))


@dataclass(frozen=True)
class BootstrapParams:
  """Resampling of files.

  Attributes:
    method: "balanced" uses every file `num_samples` times in all;
      "multinomial" draws with replacement.
    num_samples: number of replicates.
    confidence: share of replicates inside the interval.
    seed: seed of the generator.
  """

  method: str = "balanced"
  num_samples: int = 100
  confidence: float = 0.9
  seed: int = 0

  def __post_init__(self):
    _check(self, positive=("num_samples",))
    if not 0 < self.confidence < 1:
      raise ValueError(
        f"confidence: a number in (0, 1), received {self.confidence!r}"
      )


@dataclass(frozen=True)
class MetricParams:
  """Settings of every metric of one evaluation."""

  segment: SegmentParams = field(default_factory=SegmentParams)
  event: EventParams = field(default_factory=EventParams)
  intersection: IntersectionParams = field(default_factory=IntersectionParams)
  psds1: PSDSParams = PSDS1
  psds2: PSDSParams = PSDS2
  tagging: TaggingParams = field(default_factory=TaggingParams)
  temporal: TemporalParams = field(default_factory=TemporalParams)
  boxes: BoxParams = field(default_factory=BoxParams)
  masks: MaskParams = field(default_factory=MaskParams)
  soft_labels: SoftLabelParams = field(default_factory=SoftLabelParams)
  bootstrap: BootstrapParams = field(default_factory=BootstrapParams)


def _presets():
  desed = MetricParams()
  one_second = EventParams(
    start_collar_seconds=1.0, end_collar_seconds=1.0, end_collar_ratio=0.5
  )
  return {
    "desed": desed,
    "sed_eval": replace(
      desed,
      segment=SegmentParams(
        evaluated_length="longest_event", empty_system="nan"
      ),
      event=EventParams(end_collar_ratio=0.5, empty_system="nan"),
    ),
    "urban_sed": replace(desed, event=one_second),
    "tut2017": replace(desed, event=one_second),
    "music_speech": replace(
      desed,
      segment=SegmentParams(resolution_seconds=0.01),
      event=EventParams(
        start_collar_seconds=0.5,
        end_collar_seconds=0.5,
        end_collar_ratio=0.5,
      ),
    ),
    "maestro": replace(
      desed,
      tagging=TaggingParams(auroc="staircase"),
      soft_labels=SoftLabelParams(auroc="staircase"),
    ),
    "audioset_strong": replace(desed, psds1=replace(PSDS1, alpha_st=0.0)),
    "activitynet": desed,
    "thumos": replace(
      desed,
      temporal=TemporalParams(thresholds=(0.3, 0.4, 0.5, 0.6, 0.7)),
    ),
  }


METRIC_PRESETS = _presets()
