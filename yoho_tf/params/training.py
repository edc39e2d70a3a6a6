"""Settings of training."""

from dataclasses import dataclass

from yoho_tf.params.augmentation import Augmentation
from yoho_tf.params.rules import choice, require
from yoho_tf.params.scene import SCENE_PRESETS, SceneParams

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_MOST_QUANTIZED = 1e-4


@dataclass(frozen=True)
class TrainingParams:
  """`training/fit.py`: two stages, new layers first, then everything.

  `augmentation` is for records; scenes are cut anywhere as it is.
  """

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
  distillation_weight: float = 1.0  # of a teacher's answers, if there is one
  precision: str = "float32"  # of the body; front end and head stay float32
  quantize_aware: bool = False  # the rounding of int8 files is felt
  sparsity: float = 0.0  # share of kernel weights that become 0
  patience_epochs: int = 15  # without a better score ends a stage; 0 = never
  evaluate_every_epochs: int = 1
  tensorboard: bool = False
  gain_db: tuple[float, ...] = (-20.0, 6.0)  # uniform range
  frequency_masks: int = 1
  frequency_mask_bands: int = 7
  time_masks: int = 2
  time_mask_frames: int = 24
  num_validation_scenes: int = 100  # scored after every epoch
  num_tuning_scenes: int = 400  # post-processing is fitted on them
  # Of each class, in validation recordings where none of it sounds.
  max_false_per_minute: float = 0.2
  num_test_scenes: int = 300  # reported at the end, where there are sources
  augmentation: Augmentation = Augmentation()
  scene: SceneParams = SCENE_PRESETS["everyday"]

  def __post_init__(self):
    choice("training.precision", self.precision, PRECISIONS)
    require(
      0 <= self.ema_momentum < 1,
      "training.ema_momentum",
      "lie in [0, 1)",
      self.ema_momentum,
    )
    require(
      0 <= self.sparsity < 1,
      "training.sparsity",
      "lie in [0, 1)",
      self.sparsity,
    )
    require(
      not (self.sparsity and self.ema_momentum),
      "training.ema_momentum",
      "be 0 with sparsity: averaged weights are never 0",
      self.ema_momentum,
    )
    if self.quantize_aware:
      require(
        self.learning_rate <= _MOST_QUANTIZED,
        "training.learning_rate",
        f"be at most {_MOST_QUANTIZED:g} with quantize_aware (1e-5 is usual)",
        self.learning_rate,
      )
      require(
        self.precision == "float32",
        "training.precision",
        "be float32 with quantize_aware",
        self.precision,
      )
    for name in ("batch_size", "steps_per_epoch", "evaluate_every_epochs"):
      value = getattr(self, name)
      require(value >= 1, f"training.{name}", "be at least 1", value)
    for name in (
      "gradient_clip_norm",
      "patience_epochs",
      "distillation_weight",
      "max_false_per_minute",
    ):
      value = getattr(self, name)
      require(value >= 0, f"training.{name}", "be at least 0", value)


# A few minutes of one's own recordings on a network that heard others.
FINE_TUNING = TrainingParams(
  batch_size=16,
  head_steps=100,
  steps=600,
  steps_per_epoch=50,
  warmup_steps=50,
  trainable_from_layer=8,
  patience_epochs=5,
)
