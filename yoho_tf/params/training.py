"""Settings of synthetic scenes and of training."""

from dataclasses import dataclass, fields

from yoho_tf.params.rules import choice, require


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
  # An event is labelled from the first to the last 20 ms frame that is louder
  # than the background (RMS) plus this; -200: all that was placed.
  label_floor_db: float = -10.0

  def __post_init__(self):
    for f in fields(self):
      value = getattr(self, f.name)
      if isinstance(value, tuple):
        require(
          len(value) == 2 and value[0] <= value[1],
          f"scene.{f.name}",
          "be a pair low <= high",
          value,
        )
    require(
      self.duration_seconds > 0,
      "scene.duration_seconds",
      "be > 0",
      self.duration_seconds,
    )


PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class TrainingParams:
  """`training/fit.py`: two stages, new layers first, then everything."""

  seed: int = 0
  batch_size: int = 32  # of a step, over all devices and hosts
  head_steps: int = 300
  steps: int = 1_200
  steps_per_epoch: int = 100
  head_learning_rate: float = 1e-3
  learning_rate: float = 3e-4
  final_learning_rate: float = 1e-6
  warmup_steps: int = 100
  trainable_from_layer: int = 1  # of the body, in the second stage
  weight_decay: float = 1e-4
  gradient_clip_norm: float = 20.0  # of each variable; 0 = no clipping
  ema_momentum: float = 0.0  # 0 = no averaging of weights
  precision: str = "float32"  # of the body; front end and head stay float32
  patience_epochs: int = 15  # without a better score ends a stage; 0 = never
  evaluate_every_epochs: int = 1
  tensorboard: bool = False
  gain_db: tuple[float, ...] = (-20.0, 6.0)
  frequency_masks: int = 1
  frequency_mask_bands: int = 7
  time_masks: int = 2
  time_mask_frames: int = 24
  num_validation_scenes: int = 100  # scored after every epoch
  num_tuning_scenes: int = 400  # post-processing is fitted on them
  scene: SceneParams = SceneParams()

  def __post_init__(self):
    choice("training.precision", self.precision, PRECISIONS)
    require(
      0 <= self.ema_momentum < 1,
      "training.ema_momentum",
      "lie in [0, 1)",
      self.ema_momentum,
    )
    for name in ("batch_size", "steps_per_epoch", "evaluate_every_epochs"):
      value = getattr(self, name)
      require(value >= 1, f"training.{name}", "be at least 1", value)
    for name in ("gradient_clip_norm", "patience_epochs"):
      value = getattr(self, name)
      require(value >= 0, f"training.{name}", "be at least 0", value)
