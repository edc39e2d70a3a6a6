"""Settings of synthetic scenes and of training."""

from dataclasses import dataclass, fields

from yoho_tf.params.rules import require


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
  num_validation_scenes: int = 100  # scored after every epoch
  num_tuning_scenes: int = 400  # post-processing is fitted on them
  scene: SceneParams = SceneParams()
