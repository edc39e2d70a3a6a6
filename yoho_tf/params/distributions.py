"""What a number of a synthetic scene may be drawn from."""

import json
import math
import re
from dataclasses import dataclass, fields
from statistics import NormalDist

from yoho_tf.labels import did_you_mean
from yoho_tf.params.rules import require


class Distribution:
  """What a number is drawn from: Const, Uniform, Normal or Choice.

  `draw(rng)` takes a NumPy generator and returns a float; `limits` are the
  least and the greatest value that it may return.
  """

  @staticmethod
  def parse(value, key: str) -> "Distribution":
    """One of: a distribution, a number, a pair low, high, JSON, or text.

    Text is a call or what stands in it: "Uniform(6, 30)", "6,30", "12",
    "Normal(0, 1, -3, 3)", "Choice(1, 2, 5)", "Choice(1..9)".

    Raises:
      ValueError: names `key`, the rule and what was received.
    """
    try:
      return _parse(value)
    except (TypeError, ValueError) as error:
      raise ValueError(f"{key}: {error}") from None


@dataclass(frozen=True)
class Const(Distribution):
  """Always `value`."""

  value: float

  def __post_init__(self):
    _finite(self, (self.value,))

  @property
  def limits(self):
    return self.value, self.value

  def draw(self, rng):
    return float(self.value)


@dataclass(frozen=True)
class Uniform(Distribution):
  """Anything from `low` to `high`."""

  low: float
  high: float

  def __post_init__(self):
    _finite(self, (self.low, self.high))
    ordered = self.low <= self.high
    require(ordered, "Uniform", "have low <= high", self.limits)

  @property
  def limits(self):
    return self.low, self.high

  def draw(self, rng):
    return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class Normal(Distribution):
  """Gaussian, truncated: what lies outside `low`..`high` does not occur."""

  mean: float
  std: float
  low: float
  high: float

  def __post_init__(self):
    _finite(self, (self.mean, self.std, self.low, self.high))
    require(self.std > 0, "Normal", "have std > 0", self.std)
    require(self.low < self.high, "Normal", "have low < high", self.limits)
    first, last = self._range()
    # The inverse needs probabilities that are not 0 or 1 on both sides.
    held = last - first > 1e-6
    require(held, "Normal", "have some of its mass in low..high", self.limits)

  @property
  def limits(self):
    return self.low, self.high

  def _range(self):
    cdf = NormalDist(self.mean, self.std).cdf
    return cdf(self.low), cdf(self.high)

  def draw(self, rng):
    first, last = self._range()
    share = min(max(rng.uniform(first, last), 1e-12), 1 - 1e-12)
    value = NormalDist(self.mean, self.std).inv_cdf(share)
    return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice(Distribution):
  """One of `values`, equally likely."""

  values: tuple[float, ...]

  def __post_init__(self):
    object.__setattr__(self, "values", tuple(self.values))
    require(len(self.values) > 0, "Choice", "hold a value", self.values)
    _finite(self, self.values)

  @property
  def limits(self):
    return min(self.values), max(self.values)

  def draw(self, rng):
    return float(self.values[rng.integers(len(self.values))])


_KINDS = {kind.__name__: kind for kind in (Const, Uniform, Normal, Choice)}


def _finite(distribution, values):
  name = type(distribution).__name__
  for value in values:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    require(number and math.isfinite(value), name, "hold finite numbers", value)


def _parse(value):
  if isinstance(value, Distribution):
    return value
  if isinstance(value, str):
    return _parse_text(value.strip())
  if isinstance(value, dict):
    for kind in _KINDS.values():
      if {f.name for f in fields(kind)} == set(value):
        return kind(**value)
  if isinstance(value, list | tuple) and len(value) == 2:
    return Uniform(*value)
  if isinstance(value, int | float):
    return Const(value)
  raise ValueError(
    f"must be a number, a pair or one of {', '.join(_KINDS)}; received "
    f"{value!r}"
  )


def _parse_text(text):
  if text[:1] in ("{", "["):
    return _parse(json.loads(text))
  call = re.fullmatch(r"(?:(\w+)\s*\()?([^()]*)\)?", text)
  if not call or (call[1] is None) == text.endswith(")"):
    raise ValueError(f"must be like Uniform(6, 30); received {text!r}")
  numbers = []
  for part in call[2].split(","):
    first, dots, last = part.partition("..")
    if dots:
      numbers += range(int(_number(first)), int(_number(last)) + 1)
    else:
      numbers.append(_number(part))
  if call[1] is None:
    return _parse(numbers if len(numbers) > 1 else numbers[0])
  if call[1] not in _KINDS:
    raise ValueError(f"distribution {did_you_mean(call[1], _KINDS)}")
  kind = _KINDS[call[1]]
  return kind(numbers) if kind is Choice else kind(*numbers)


def _number(text):
  try:
    return float(text)
  except ValueError:
    raise ValueError(f"must hold numbers; received {text!r}") from None
