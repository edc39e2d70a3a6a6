"""The rules that every params object is held to: one-line errors."""


def require(ok: bool, name: str, rule: str, received) -> None:
  if not ok:
    raise ValueError(f"{name} must {rule}; received {received!r}")


def choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
  require(value in allowed, name, f"be one of {', '.join(allowed)}", value)


def whole(value: float, name: str, rule: str) -> int:
  """`value` as an integer, or ValueError when it is not a whole number."""
  nearest = round(value)
  require(abs(value - nearest) < 1e-6, name, rule, value)
  return nearest
