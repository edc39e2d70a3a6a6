"""Settings of the augmentation that changes labels (data/augment.py)."""

from dataclasses import dataclass

from yoho_tf.params.rules import require


def _require_probability(settings):
  value = settings.probability
  name = f"{type(settings).__name__}.probability"
  require(0 <= value <= 1, name, "lie in 0..1", value)


@dataclass(frozen=True)
class Crop:
  """A window at any sample; without it the window begins at the first."""

  probability: float = 1.0
  __post_init__ = _require_probability


@dataclass(frozen=True)
class TimeShift:
  """Circular shift of the window; an event over the edge is split in two."""

  probability: float = 0.5
  __post_init__ = _require_probability


@dataclass(frozen=True)
class Mix:
  """A second example on top, `snr_db` (uniform range) below the first."""

  probability: float = 0.5
  snr_db: tuple[float, ...] = (-5.0, 10.0)

  def __post_init__(self):
    _require_probability(self)
    low, high = self.snr_db
    require(low <= high, "Mix.snr_db", "be a pair low <= high", self.snr_db)


@dataclass(frozen=True)
class Augmentation:
  """What is done to an example; `OFF` in validation and test."""

  crop: Crop = Crop()
  time_shift: TimeShift = TimeShift(0.0)
  mix: Mix = Mix(0.0)


OFF = Augmentation(Crop(0.0), TimeShift(0.0), Mix(0.0))
