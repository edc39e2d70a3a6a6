"""Every setting of every system: frozen dataclasses, presets, overrides, JSON.

Seconds are stored and samples are properties. A preset is a value in
`PRESETS`; an ablation is `dataclasses.replace`; a command-line override is
`override(params, {"frontend.mel_bands": 128})`.
"""

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass, field, fields, is_dataclass, replace

from yoho_tf.labels import did_you_mean


def _require(ok: bool, name: str, rule: str, received) -> None:
  if not ok:
    raise ValueError(f"{name} must {rule}; received {received!r}")


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
  _require(value in allowed, name, f"be one of {', '.join(allowed)}", value)


def whole(value: float, name: str, rule: str) -> int:
  """`value` as an integer, or ValueError when it is not a whole number."""
  nearest = round(value)
  _require(abs(value - nearest) < 1e-6, name, rule, value)
  return nearest


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
    _choice("frontend.dialect", self.dialect, ("yamnet", "yoho"))
    _choice("frontend.transform", self.transform, ("dft", "rfft"))
    _choice("frontend.pad_mode", self.pad_mode, ("reflect", "constant"))
    _require(self.mel_bands > 0, "frontend.mel_bands", "be > 0", self.mel_bands)
    _require(
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
    _choice("activation", self.activation, ("relu", "relu6"))
    _choice("classifier_activation", self.classifier_activation, ("sigmoid",))
    _choice("input", self.input, ("waveform", "log_mel"))
    _choice("tail", self.tail, ("weight", "pad", "drop"))
    _choice("aggregation", self.aggregation, ("mean", "max", "linear_softmax"))
    _require(self.width > 0, "width", "be > 0", self.width)
    _require(
      self.num_classes > 0, "num_classes", "be at least 1", self.num_classes
    )
    _require(
      not self.labels or len(self.labels) == self.num_classes,
      "labels",
      f"have num_classes={self.num_classes} rows",
      len(self.labels),
    )
    _require(
      self.patch_hop_frames >= 1,
      "patch_hop_seconds",
      f"be at least one STFT hop, {self.frontend.stft_hop_seconds:g} s",
      self.patch_hop_seconds,
    )
    _require(
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
  boundary: str = "l1"
  presence_weight: float = 1.0
  boundary_weight: float = 1.0

  def __post_init__(self):
    _choice("loss.presence", self.presence, ("squared", "bce", "focal"))
    _choice("loss.boundary", self.boundary, ("squared", "l1", "iou"))


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
    _choice("postprocess.score", self.score, ("max", "mean"))
    known = {f.name for f in fields(self)} - {"score", "per_label"}
    for label, values in self.per_label.items():
      for key in values:
        _require(
          key in known,
          f"postprocess.per_label[{label!r}]",
          f"have keys among {', '.join(sorted(known))}",
          key,
        )
    for label in (None, *self.per_label):
      values = self if label is None else self.for_label(label)
      _require(
        0 < values.low < 1, "postprocess.low", "lie in (0, 1)", values.low
      )
      _require(
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

  window_cells: int = 100
  discard_left_cells: int = 7
  discard_right_cells: int = 8
  exact_stitching: bool = True
  window_hop_seconds: float = 6.0
  discard_seconds: float = 1.0
  compat: str = "none"

  def __post_init__(self):
    _choice("inference.compat", self.compat, ("none", "paper_code"))
    margins = (self.discard_left_cells, self.discard_right_cells)
    if self.exact_stitching:
      _require(
        margins[0] >= 7 and margins[1] >= 8,
        "inference.discard_left_cells, discard_right_cells",
        "be at least 7, 8 while exact_stitching is True (the network's reach)",
        margins,
      )
    _require(
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
    _choice("lattice", self.lattice, ("stride", "window"))
    _choice("activation", self.activation, ("relu", "relu6"))
    _choice("input", self.input, ("waveform", "log_mel"))
    _require(self.slots >= 1, "slots", "be at least 1", self.slots)
    _require(self.width > 0, "width", "be > 0", self.width)
    _require(len(self.labels) > 0, "labels", "not be empty", self.labels)
    _require(
      len(set(self.labels)) == len(self.labels),
      "labels",
      "be distinct",
      self.labels,
    )
    if self.lattice == "stride":
      _require(
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
    _require(
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
    """Samples that the last STFT frame needs beyond its hop (240)."""
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

  def num_cells(self, num_samples: int) -> int:
    """Cells of `num_samples` (`stride`), or of one window (`window`)."""
    if self.lattice == "stride":
      return max(1, -(-num_samples // self.cell_samples))
    cells = self.window_frames
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
  labels=(
    "Chicken, rooster",
    "Fire",
    "Music",
    "Rain",
    "Sneeze",
    "Speech",
    "Tick-tock",
    "Walk, footsteps",
  )
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


# ---- overrides and JSON -----------------------------------------------------


def override(params, changes: dict):
  """`params` with dotted keys replaced, e.g. {"frontend.mel_bands": 128}.

  Values may be strings, as on a command line: they are read as JSON where the
  field is not a string. Raises ValueError for an unknown key ("did you mean"),
  a wrong type, or a broken rule.
  """
  for key, value in changes.items():
    params = _override_one(params, key, key.split("."), value)
  return params


def _override_one(node, key, path, value):
  head, *rest = path
  hints = typing.get_type_hints(type(node))
  names = [f.name for f in fields(node)]
  if head not in names:
    raise ValueError(f"setting {key!r}: name {did_you_mean(head, names)}")
  current = getattr(node, head)
  if rest:
    if is_dataclass(current):
      new = _override_one(current, key, rest, value)
    elif isinstance(current, dict):
      new = _override_entry(current, hints[head], key, rest, value)
    else:
      raise ValueError(
        f"setting {key!r}: {head!r} has no fields; received {'.'.join(rest)!r}"
      )
  else:
    new = _parse(value, hints[head], key)
  return replace(node, **{head: new})


def _override_entry(entries, hint, key, path, value):
  """One entry of label -> number, or of label -> name -> number."""
  inner = typing.get_args(hint)[1]
  if typing.get_origin(inner) is not dict:
    return {**entries, ".".join(path): _parse(value, inner, key)}
  *label, name = path
  if not label:
    raise ValueError(f"setting {key!r} must name a label and one of its fields")
  label = ".".join(label)  # labels may hold dots
  own = {**entries.get(label, {}), name: _parse(value, float, key)}
  return {**entries, label: own}


def _parse(value, hint, key):
  if isinstance(value, str) and hint is not str:
    try:
      value = json.loads({"True": "true", "False": "false"}.get(value, value))
    except json.JSONDecodeError:
      if typing.get_origin(hint) is not tuple:
        raise ValueError(
          f"setting {key!r} must be of type {_type_name(hint)}; "
          f"received {value!r}"
        ) from None
      inner = typing.get_args(hint)[0]
      value = [_parse(part, inner, key) for part in value.split(",")]
  return _build(hint, value, key)


def _type_name(hint) -> str:
  return getattr(hint, "__name__", str(hint))


def _build(hint, value, key):
  """`value` (plain JSON) checked and converted to the type `hint`."""
  if is_dataclass(hint):
    if is_dataclass(value):
      return value
    if isinstance(value, dict):
      return _from_dict(hint, value, key)
  origin = typing.get_origin(hint)
  if origin in (typing.Union, types.UnionType):
    for inner in typing.get_args(hint):
      if inner is type(None) and value is None:
        return None
      if inner is not type(None) and value is not None:
        return _build(inner, value, key)
  if origin is tuple and isinstance(value, list | tuple):
    inner = typing.get_args(hint)[0]
    return tuple(_build(inner, v, key) for v in value)
  if origin is dict and isinstance(value, dict):
    inner = typing.get_args(hint)[1]
    return {str(k): _build(inner, v, f"{key}.{k}") for k, v in value.items()}
  if hint is float and type(value) in (int, float):
    if math.isfinite(value):
      return float(value)
  elif isinstance(hint, type) and type(value) is hint:
    return value
  raise ValueError(
    f"setting {key!r} must be of type {_type_name(hint)}; received {value!r}"
  )


def _from_dict(cls, values: dict, where: str):
  hints = typing.get_type_hints(cls)
  names = [f.name for f in fields(cls)]
  unknown = [k for k in values if k not in names]
  if unknown:
    raise ValueError(f"{where}: name {did_you_mean(unknown[0], names)}")
  return cls(
    **{k: _build(hints[k], v, f"{where}.{k}") for k, v in values.items()}
  )


@dataclass(frozen=True)
class SceneParams:
  """A synthetic scene (data/synth.py). A pair is a uniform range."""

  duration_seconds: float = 10.0
  sample_rate_hz: int = 16_000
  num_events: tuple[int, ...] = (0, 5)
  num_distractors: tuple[int, ...] = (0, 2)
  max_overlap: int = 3
  min_gap_seconds: float = 0.1  # between two events of one class
  event_seconds: tuple[float, ...] = (0.5, 8.0)
  background_level_db: tuple[float, ...] = (-60.0, -28.0)
  silence_probability: float = 0.1  # scenes without a recorded background
  snr_db: tuple[float, ...] = (0.0, 30.0)
  speed: tuple[float, ...] = (0.85, 1.15)
  speed_probability: float = 0.5
  reverb_probability: float = 0.3
  fade_seconds: float = 0.01

  def __post_init__(self):
    for f in fields(self):
      value = getattr(self, f.name)
      if isinstance(value, tuple):
        _require(
          len(value) == 2 and value[0] <= value[1],
          f"scene.{f.name}",
          "be a pair low <= high",
          value,
        )
    _require(
      self.duration_seconds > 0,
      "scene.duration_seconds",
      "be > 0",
      self.duration_seconds,
    )


@dataclass(frozen=True)
class TrainingParams:
  """`training/fit.py`: two stages, new layers first, then everything."""

  seed: int = 0
  batch_size: int = 32
  head_steps: int = 300
  steps: int = 1_200
  steps_per_epoch: int = 100
  head_learning_rate: float = 1e-3
  learning_rate: float = 3e-4
  final_learning_rate: float = 1e-6
  warmup_steps: int = 100
  weight_decay: float = 1e-4
  gradient_clip_norm: float = 20.0
  ema_momentum: float = 0.0  # 0 = no averaging of weights
  gain_db: tuple[float, ...] = (-20.0, 6.0)
  frequency_masks: int = 1
  frequency_mask_bands: int = 7
  time_masks: int = 2
  time_mask_frames: int = 24
  num_validation_scenes: int = 100
  scene: SceneParams = SceneParams()


SYSTEMS = {"yamnet": YamnetParams, "yoho": YohoParams}


def system_of(params) -> str:
  """The model file that these params belong to: "yamnet", "yoho", ..."""
  for name, cls in SYSTEMS.items():
    if type(params) is cls:
      return name
  raise ValueError(
    f"params must be one of {', '.join(c.__name__ for c in SYSTEMS.values())};"
    f" received {type(params).__name__}"
  )


def to_json(params) -> str:
  """The resolved params as JSON, with the system's name first."""
  body = {"system": system_of(params), **dataclasses.asdict(params)}
  return json.dumps(body, indent=2)


def from_json(text: str):
  """The inverse of `to_json`; ValueError names what does not fit."""
  try:
    body = json.loads(text)
  except json.JSONDecodeError as error:
    raise ValueError(f"params must be JSON; {error}") from None
  if not isinstance(body, dict) or body.get("system") not in SYSTEMS:
    raise ValueError(
      f"params must name a system among {', '.join(SYSTEMS)}; received "
      f"{body.get('system') if isinstance(body, dict) else body!r}"
    )
  system = body.pop("system")
  return _from_dict(SYSTEMS[system], body, system)
