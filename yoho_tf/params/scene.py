"""Settings of a synthetic scene, and their presets."""

from dataclasses import dataclass, field, fields, replace

from yoho_tf.labels import did_you_mean
from yoho_tf.params.distributions import (
  Choice,
  Const,
  Distribution,
  Normal,
  Uniform,
)
from yoho_tf.params.presets import PRESETS
from yoho_tf.params.rules import choice, require


@dataclass(frozen=True)
class JoinParams:
  """A step or a word is not the sound one hears: an event of several files.

  Parts of one source id follow one another until they exceed the length that
  was drawn, or a part is long enough alone.
  """

  pause_seconds: Distribution = Uniform(0.05, 0.25)
  num_parts: Distribution = Choice(tuple(range(1, 5)))
  enough_seconds: float = 2.0
  other_sources: bool = False  # a source of one file is followed by another


# Field -> the limits of what may be drawn.
_LIMITS = {
  "num_events": (0, 1000),
  "num_distractors": (0, 1000),
  "start": (0, 1),
  "event_seconds": (0.1, 3600),
  "snr_db": (-100, 100),
  "background_level_db": (-120, 0),
  "time_stretch": (0.25, 4),
  "pitch_semitones": (-24, 24),
  "speed": (0.25, 4),
  "rt60_seconds": (0.01, 10),
  "crossfade_seconds": (0, 60),
  "duck_db": (0, 100),
}
_COUNTS = ("num_events", "num_distractors")
NOISES = ("white", "pink", "brown")


@dataclass(frozen=True)
class SceneParams:
  """A synthetic scene (data/synth). The defaults are the preset `urban`.

  A field of type Distribution also takes a number or a pair low, high; of a
  count, a pair means every whole number from low to high.
  """

  duration_seconds: float = 10.0
  sample_rate_hz: int = 16_000
  labels: tuple[str, ...] = ()  # () = all that the sources hold
  num_events: Distribution = Choice(tuple(range(1, 10)))
  num_distractors: Distribution = Const(0)  # sounds without a label

  # "scatter": anywhere; "chain": one after the other, as on the radio.
  layout: str = "scatter"
  start: Distribution = Uniform(0.0, 1.0)  # share of the room that is left
  overhang: float = 0.0  # share of an event that may lie outside the scene
  max_overlap: int = 3  # sounds at once
  same_class_overlap: bool = False
  min_gap_seconds: float = 0.1  # between two events of one class
  event_seconds: Distribution = Uniform(0.5, 4.0)  # never above the source
  joined: dict[str, JoinParams] = field(default_factory=dict)  # by label
  fade_seconds: float = 0.01

  snr_db: Distribution = Uniform(6.0, 30.0)
  background_level_db: Distribution = Const(-50.0)  # RMS re full scale
  recorded_background_probability: float = 0.0
  noises: tuple[str, ...] = ("brown",)  # instead of a recording
  silence_probability: float = 0.0  # scenes 20-60 dB below their level

  time_stretch: Distribution = Uniform(0.8, 1.2)  # factor of the length
  time_stretch_probability: float = 0.5
  pitch_semitones: Distribution = Uniform(-3.0, 3.0)
  pitch_probability: float = 0.5
  speed: Distribution = Uniform(0.85, 1.15)  # length and pitch; the cheap one
  speed_probability: float = 0.0
  reverb_probability: float = 0.3
  rooms: str = "synthetic"  # or "recorded", where the sources have role rir
  rt60_seconds: Distribution = Uniform(0.1, 0.6)

  # Layout "chain": fades and overlaps; an event may also begin anywhere in
  # the one before. Ducked labels are lowered while a ducking one sounds.
  crossfade_seconds: Distribution = Uniform(0.5, 3.0)
  talk_over_probability: float = 0.5
  ducked_labels: tuple[str, ...] = ()
  ducking_labels: tuple[str, ...] = ()
  duck_db: Distribution = Uniform(6.0, 18.0)

  label_tail: str = "dry"  # "audible": up to 30 dB below, in the reverb
  # An event is labelled from the first to the last 20 ms frame that is louder
  # than the background (RMS) plus this; -200: all that was placed.
  label_floor_db: float = -200.0

  def __post_init__(self):
    for name, (low, high) in _LIMITS.items():
      key = f"scene.{name}"
      value = Distribution.parse(getattr(self, name), key)
      if name in _COUNTS:
        value = _whole(value, key)
      first, last = value.limits
      rule = f"lie in {low}..{high}"
      require(low <= first and last <= high, key, rule, (first, last))
      object.__setattr__(self, name, value)
    for f in fields(self):
      if f.name.endswith("_probability") or f.name == "overhang":
        value = getattr(self, f.name)
        require(0 <= value <= 1, f"scene.{f.name}", "lie in 0..1", value)
    for name in ("duration_seconds", "sample_rate_hz"):
      value = getattr(self, name)
      require(value > 0, f"scene.{name}", "be > 0", value)
    for name in ("min_gap_seconds", "fade_seconds"):
      value = getattr(self, name)
      require(value >= 0, f"scene.{name}", "be at least 0", value)
    value = self.max_overlap
    require(value >= 1, "scene.max_overlap", "be at least 1", value)
    require(self.noises, "scene.noises", "not be empty", self.noises)
    for noise in self.noises:
      choice("scene.noises", noise, NOISES)
    choice("scene.layout", self.layout, ("scatter", "chain"))
    choice("scene.rooms", self.rooms, ("synthetic", "recorded"))
    choice("scene.label_tail", self.label_tail, ("dry", "audible"))


def _whole(value, key):
  """Pairs become all whole numbers between; other values must be whole."""
  if isinstance(value, Normal):
    return value  # rounded when it is drawn
  numbers = value.values if isinstance(value, Choice) else value.limits
  whole = all(float(number).is_integer() for number in numbers)
  require(whole, key, "hold whole numbers", tuple(numbers))
  if isinstance(value, Uniform):
    return Choice(tuple(range(int(value.low), int(value.high) + 1)))
  return value


_STEPS = JoinParams(
  pause_seconds=Uniform(0.15, 0.55), num_parts=Choice(tuple(range(2, 10)))
)
_WORDS = JoinParams(other_sources=True)
_TALK = replace(_WORDS, num_parts=Const(40), enough_seconds=60.0)
_URBAN = SceneParams()

SCENE_PRESETS = {
  # The recipe published with Urban-SED, and its ten classes.
  "urban": replace(
    _URBAN,
    labels=PRESETS["yoho_urban_sed"].labels,
  ),
  "home": replace(
    _URBAN,
    recorded_background_probability=1.0,
    background_level_db=Uniform(-60.0, -40.0),
    rooms="recorded",
    joined={"Walk, footsteps": _STEPS, "Speech": _WORDS},
  ),
  "radio": replace(
    _URBAN,
    duration_seconds=60.0,
    labels=("Music", "Speech"),
    num_events=Choice(tuple(range(2, 9))),
    layout="chain",
    max_overlap=2,
    event_seconds=Uniform(5.0, 60.0),
    joined={"Speech": _TALK},
    snr_db=Uniform(20.0, 35.0),
    time_stretch_probability=0.0,
    pitch_probability=0.0,
    reverb_probability=0.1,
    ducked_labels=("Music",),
    ducking_labels=("Speech",),
  ),
  # What yoho_everyday is trained on.
  "everyday": replace(
    _URBAN,
    num_events=Uniform(0, 5),
    num_distractors=Uniform(0, 2),
    overhang=0.5,
    event_seconds=Uniform(0.5, 8.0),
    joined={"Walk, footsteps": _STEPS, "Speech": _WORDS},
    snr_db=Uniform(0.0, 30.0),
    background_level_db=Uniform(-60.0, -28.0),
    recorded_background_probability=0.75,
    noises=NOISES,
    silence_probability=0.1,
    time_stretch_probability=0.0,
    pitch_probability=0.0,
    speed_probability=0.5,
    rooms="recorded",
    label_floor_db=-10.0,
  ),
}


def scene_preset(name: str) -> SceneParams:
  """The scene called `name`, or ValueError with a near name."""
  if name not in SCENE_PRESETS:
    raise ValueError(f"scene preset {did_you_mean(name, SCENE_PRESETS)}")
  return SCENE_PRESETS[name]
