"""What a scene is made of: all that was drawn, as plain numbers.

Positions are samples at the scene's rate; files are named as the pool does.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Piece:
  """Samples `first` to `stop` (exclusive) of a file."""

  file: str
  source_id: str
  first: int
  stop: int


@dataclass(frozen=True)
class Room:
  """A recorded response, or one made of a decay and a seed."""

  file: str = ""
  rt60_seconds: float = 0.0
  seed: int = 0


@dataclass(frozen=True)
class EventRecipe:
  """One sound. In this order: join, pitch and stretch, speed, fade, level,
  room, place, duck. `start` may lie before the scene.
  """

  label: str  # "" for a distractor
  pieces: tuple[Piece, ...]
  pause: int = 0  # between two pieces
  stretch: float = 1.0  # factor of the length
  semitones: float = 0.0
  speed: float = 1.0
  fade: int = 0
  snr_db: float = 0.0
  room: Room | None = None
  start: int = 0
  ducks: tuple[tuple[int, int, float], ...] = ()  # (first, stop, dB)

  @property
  def num_source_samples(self) -> int:
    """Length before pitch, stretch and speed."""
    pauses = self.pause * (len(self.pieces) - 1)
    return sum(piece.stop - piece.first for piece in self.pieces) + pauses

  @property
  def num_samples(self) -> int:
    """Length of the dry sound."""
    return round(round(self.num_source_samples * self.stretch) / self.speed)


@dataclass(frozen=True)
class BackgroundRecipe:
  """A recording, or noise of a kind; `level_db` is what SNRs refer to."""

  level_db: float
  noise: str = ""
  seed: int = 0
  piece: Piece | None = None
  quiet_db: float = 0.0  # how far it lies below that level


@dataclass(frozen=True)
class Recipe:
  """A scene. `seed`, `split` and `index` say where it was drawn."""

  seed: int
  split: str
  index: int
  sample_rate_hz: int
  num_samples: int
  label_tail: str
  label_floor_db: float
  background: BackgroundRecipe
  events: tuple[EventRecipe, ...]
  num_dropped: int  # sounds that found no place


def recipe_to_dict(recipe: Recipe) -> dict:
  """The recipe as plain JSON."""
  return asdict(recipe)


def recipe_from_dict(values: dict) -> Recipe:
  """The inverse of `recipe_to_dict`, from JSON.

  Raises:
    ValueError: a field is missing, or there is one that is not known.
  """
  try:
    background = dict(values["background"])
    if background.get("piece"):
      background["piece"] = Piece(**background["piece"])
    events = [_event(**event) for event in values["events"]]
    return Recipe(
      **{
        **values,
        "background": BackgroundRecipe(**background),
        "events": tuple(events),
      }
    )
  except (TypeError, KeyError) as error:
    raise ValueError(f"recipe must have other fields; {error}") from None


def _event(*, pieces, room=None, ducks=(), **values):
  return EventRecipe(
    pieces=tuple(Piece(**piece) for piece in pieces),
    room=Room(**room) if room else None,
    ducks=tuple(tuple(duck) for duck in ducks),
    **values,
  )
