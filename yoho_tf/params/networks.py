"""Settings of the front end, YAMNet and YOHO."""

import typing
from dataclasses import dataclass, field, fields, replace

from yoho_tf.params.rules import choice, require, whole


@dataclass(frozen=True)
class FrontendParams:
  """Waveform -> log-mel. Dialects `yamnet` and `yoho` (layers/frontend.py)."""

  dialect: str = "yamnet"
  sample_rate_hz: int = 16_000
  stft_window_seconds: float = 0.025
  stft_hop_seconds: float = 0.010
  mel_bands: int = 64
  mel_min_hz: float = 125.0
  mel_max_hz: float = 7_500.0
  transform: str = "dft"
  log_offset: float = 0.001  # yamnet: ln(mel + log_offset)
  amin: float = 1e-7  # yoho: 10 log10(max(amin, mel))
  top_db: float = 80.0  # yoho: floor below this window's maximum
  pad_mode: str = "reflect"  # yoho: samples beyond the window's edges

  def __post_init__(self):
    choice("frontend.dialect", self.dialect, ("yamnet", "yoho"))
    choice("frontend.transform", self.transform, ("dft", "rfft"))
    choice("frontend.pad_mode", self.pad_mode, ("reflect", "constant"))
    require(self.mel_bands > 0, "frontend.mel_bands", "be > 0", self.mel_bands)
    require(
      0 <= self.mel_min_hz < self.mel_max_hz <= self.sample_rate_hz / 2,
      "frontend.mel_min_hz, mel_max_hz",
      f"satisfy 0 <= min < max <= {self.sample_rate_hz / 2:g}",
      (self.mel_min_hz, self.mel_max_hz),
    )
    self.stft_window_samples, self.stft_hop_samples  # noqa: B018 (they check)

  @property
  def stft_window_samples(self) -> int:
    return whole(
      self.stft_window_seconds * self.sample_rate_hz,
      "frontend.stft_window_seconds",
      "be a whole number of samples",
    )

  @property
  def stft_hop_samples(self) -> int:
    return whole(
      self.stft_hop_seconds * self.sample_rate_hz,
      "frontend.stft_hop_seconds",
      "be a whole number of samples",
    )

  @property
  def fft_length(self) -> int:
    return 1 << (self.stft_window_samples - 1).bit_length()


@dataclass(frozen=True)
class YamnetParams:
  """YAMNet (tensorflow/models research/audioset/yamnet; yamnet.md 2)."""

  frontend: FrontendParams = FrontendParams()
  patch_window_seconds: float = 0.96
  patch_hop_seconds: float = 0.48
  labels: tuple[str, ...] = ()  # () = the class map that comes with weights
  num_classes: int = 521
  activation: str = "relu"
  batchnorm_epsilon: float = 1e-4
  classifier_activation: str = "sigmoid"
  input: str = "waveform"
  tail: str = "weight"
  aggregation: str = "mean"
  width: float = 1.0
  threshold: float = 0.5

  def __post_init__(self):
    choice("activation", self.activation, ("relu", "relu6"))
    choice("classifier_activation", self.classifier_activation, ("sigmoid",))
    choice("input", self.input, ("waveform", "log_mel"))
    choice("tail", self.tail, ("weight", "pad", "drop"))
    choice("aggregation", self.aggregation, ("mean", "max", "linear_softmax"))
    require(self.width > 0, "width", "be > 0", self.width)
    require(
      self.num_classes > 0, "num_classes", "be at least 1", self.num_classes
    )
    require(
      not self.labels or len(self.labels) == self.num_classes,
      "labels",
      f"have num_classes={self.num_classes} rows",
      len(self.labels),
    )
    require(
      self.patch_hop_frames >= 1,
      "patch_hop_seconds",
      f"be at least one STFT hop, {self.frontend.stft_hop_seconds:g} s",
      self.patch_hop_seconds,
    )
    require(
      self.patch_hop_frames <= self.patch_frames,
      "patch_hop_seconds",
      f"be at most patch_window_seconds, {self.patch_window_seconds:g} s, so "
      "that every sample is heard",
      self.patch_hop_seconds,
    )

  @property
  def patch_frames(self) -> int:
    return whole(
      self.patch_window_seconds / self.frontend.stft_hop_seconds,
      "patch_window_seconds",
      "be a whole number of STFT hops",
    )

  @property
  def patch_hop_frames(self) -> int:
    return whole(
      self.patch_hop_seconds / self.frontend.stft_hop_seconds,
      "patch_hop_seconds",
      f"be a whole number of STFT hops, {self.frontend.stft_hop_seconds:g} s "
      f"each (got {self.patch_hop_seconds:g} s, in hops)",
    )

  @property
  def patch_hop_samples(self) -> int:
    return self.patch_hop_frames * self.frontend.stft_hop_samples

  @property
  def min_samples(self) -> int:
    """Samples under one patch: 15,600 for the reference's values."""
    frontend = self.frontend
    return (
      self.patch_frames - 1
    ) * frontend.stft_hop_samples + frontend.stft_window_samples

  def num_patches(self, num_samples: int) -> int:
    """Patches of a clip of `num_samples` (integer arithmetic; yamnet.md 3)."""
    excess = max(0, num_samples - self.min_samples)
    return 1 + -(-excess // self.patch_hop_samples)

  def padded_samples(self, num_samples: int) -> int:
    """Length after zeros at the end, so that patches fit exactly."""
    return (
      self.min_samples
      + (self.num_patches(num_samples) - 1) * self.patch_hop_samples
    )


@dataclass(frozen=True)
class YohoLossParams:
  """yoho.md section 4 (squared) and section 9 item 3."""

  presence: str = "bce"
  boundary: str = "bce"
  presence_weight: float = 1.0
  boundary_weight: float = 1.0
  edge_weight: float = 1.0  # of the cells in which an event starts or stops

  def __post_init__(self):
    choice("loss.presence", self.presence, ("squared", "bce", "focal"))
    choice("loss.boundary", self.boundary, ("squared", "l1", "bce", "iou"))


@dataclass(frozen=True)
class PostprocessParams:
  """Pieces -> events, per label (yoho.md sections 6 and 9 item 7).

  `per_label` overrides any of the first six fields for one label.
  """

  low: float = 0.3
  threshold: float = 0.5
  merge_gap_seconds: float = 0.16
  min_duration_seconds: float = 0.0
  calibration_a: float = 1.0
  calibration_b: float = 0.0
  score: str = "max"
  per_label: dict[str, dict[str, float]] = field(default_factory=dict)

  def __post_init__(self):
    choice("postprocess.score", self.score, ("max", "mean"))
    known = {f.name for f in fields(self)} - {"score", "per_label"}
    for label, values in self.per_label.items():
      for key in values:
        require(
          key in known,
          f"postprocess.per_label[{label!r}]",
          f"have keys among {', '.join(sorted(known))}",
          key,
        )
    for label in (None, *self.per_label):
      values = self if label is None else self.for_label(label)
      require(
        0 < values.low < 1, "postprocess.low", "lie in (0, 1)", values.low
      )
      require(
        values.calibration_a > 0,
        "postprocess.calibration_a",
        "be > 0",
        values.calibration_a,
      )

  def for_label(self, label: str) -> "PostprocessParams":
    return replace(self, per_label={}, **self.per_label.get(label, {}))


@dataclass(frozen=True)
class YohoInferenceParams:
  """Windows over a long file (yoho.md section 6, section 9 item 6).

  The `stride` lattice uses the cell fields; the `window` lattice uses
  `window_hop_seconds` and `discard_seconds`.
  """

  window_cells: int = 150
  discard_left_cells: int = 7
  discard_right_cells: int = 8
  exact_stitching: bool = True
  window_hop_seconds: float = 6.0
  discard_seconds: float = 1.0
  compat: str = "none"

  def __post_init__(self):
    choice("inference.compat", self.compat, ("none", "paper_code"))
    margins = (self.discard_left_cells, self.discard_right_cells)
    if self.exact_stitching:
      require(
        margins[0] >= 7 and margins[1] >= 8,
        "inference.discard_left_cells, discard_right_cells",
        "be at least 7, 8 while exact_stitching is True (the network's reach)",
        margins,
      )
    require(
      self.window_cells > sum(margins) and min(margins) >= 0,
      "inference.window_cells",
      "exceed discard_left_cells + discard_right_cells",
      (self.window_cells, *margins),
    )


@dataclass(frozen=True)
class YohoParams:
  """One YOHO: the paper's three presets and ours (yoho.md)."""

  labels: tuple[str, ...] = ("speech", "music")
  frontend: FrontendParams = FrontendParams()
  window_seconds: float = 8.0  # input length in training
  lattice: str = "stride"  # cells of 32 frames, or window_seconds / cells
  width: float = 1.0
  activation: str = "relu6"
  batchnorm_epsilon: float = 1e-4
  batchnorm_momentum: float = 0.99
  frozen_batchnorm_layers: int = 0  # layers 1..n keep loaded statistics
  slots: int = 1
  baseline: str = "none"  # models/yoho_baselines.py: "cnn", "crnn"
  dropout: float = 0.1
  dropout_from_layer: int = 15
  l2_first: float = 0.0
  l2_pointwise: float = 0.0
  input: str = "waveform"
  label_merge_gap_seconds: dict[str, float] = field(default_factory=dict)
  loss: YohoLossParams = YohoLossParams()
  postprocess: PostprocessParams = PostprocessParams()
  inference: YohoInferenceParams = YohoInferenceParams()

  def __post_init__(self):
    choice("lattice", self.lattice, ("stride", "window"))
    choice("activation", self.activation, ("relu", "relu6"))
    choice("input", self.input, ("waveform", "log_mel"))
    choice("baseline", self.baseline, ("none", "cnn", "crnn"))
    require(
      self.baseline == "none" or self.lattice == "window",
      "lattice",
      f"be window with the baseline {self.baseline} (it has no cells)",
      self.lattice,
    )
    require(self.slots >= 1, "slots", "be at least 1", self.slots)
    require(
      self.baseline == "none" or self.slots == 1,
      "slots",
      f"be 1 with the baseline {self.baseline}",
      self.slots,
    )
    require(self.width > 0, "width", "be > 0", self.width)
    require(len(self.labels) > 0, "labels", "not be empty", self.labels)
    require(
      len(set(self.labels)) == len(self.labels),
      "labels",
      "be distinct",
      self.labels,
    )
    if self.lattice == "stride":
      require(
        self.frontend.dialect == "yamnet",
        "frontend.dialect",
        "be yamnet on the lattice stride (frames must fill the cells)",
        self.frontend.dialect,
      )
      whole(
        self.window_seconds / self.cell_seconds,
        "window_seconds",
        f"be a whole number of cells of {self.cell_seconds:g} s (in cells)",
      )
    require(
      self.window_samples > 0, "window_seconds", "be > 0", self.window_seconds
    )

  STRIDE_FRAMES: typing.ClassVar[int] = 32  # five layers of stride 2

  @property
  def window_samples(self) -> int:
    """Samples of one labelled window, without the STFT's extra."""
    return whole(
      self.window_seconds * self.frontend.sample_rate_hz,
      "window_seconds",
      "be a whole number of samples",
    )

  @property
  def cell_samples(self) -> int:
    """Samples of one cell on the `stride` lattice (5,120 at 16 kHz)."""
    return self.STRIDE_FRAMES * self.frontend.stft_hop_samples

  @property
  def extra_samples(self) -> int:
    """Samples that the last STFT frame needs beyond its hop (240).

    On the lattice `window` frames lie inside the window: 0.
    """
    if self.lattice == "window":
      return 0
    return self.frontend.stft_window_samples - self.frontend.stft_hop_samples

  @property
  def window_frames(self) -> int:
    front = self.frontend
    samples = self.window_samples
    if self.lattice == "stride":
      return self.num_cells(samples) * self.STRIDE_FRAMES
    if front.dialect == "yamnet":  # frames lie inside the window
      samples -= front.stft_window_samples
    return 1 + samples // front.stft_hop_samples

  @property
  def output(self) -> str:
    """Name of the network's output; `logits` is the one before its sigmoid."""
    return "events" if self.baseline == "none" else "scores"

  @property
  def logits(self) -> str:
    return "event_logits" if self.baseline == "none" else "score_logits"

  def num_cells(self, num_samples: int) -> int:
    """Cells of `num_samples` (`stride`), or of one window (`window`).

    The cells of a baseline are frames.
    """
    if self.lattice == "stride":
      return max(1, -(-num_samples // self.cell_samples))
    cells = self.window_frames
    if self.baseline != "none":
      return cells
    for _ in range(5):
      cells = -(-cells // 2)  # padding "same", stride 2
    return cells

  @property
  def window_cells(self) -> int:
    return self.num_cells(self.window_samples)

  @property
  def cell_seconds(self) -> float:
    if self.lattice == "stride":
      return self.cell_samples / self.frontend.sample_rate_hz
    return self.window_seconds / self.num_cells(0)
