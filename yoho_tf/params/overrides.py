"""Overrides by dotted key, and JSON in and out."""

import dataclasses
import json
import math
import types
import typing
from dataclasses import fields, is_dataclass, replace

from yoho_tf.labels import did_you_mean
from yoho_tf.params.distributions import Distribution
from yoho_tf.params.networks import YamnetParams, YohoParams
from yoho_tf.params.scene import SceneParams


def override(params, changes: dict):
  """`params` with dotted keys replaced, e.g. {"frontend.mel_bands": 128}.

  Values may be strings, as on a command line: they are read as JSON where the
  field is not a string. Raises ValueError for an unknown key ("did you mean"),
  a wrong type, or a broken rule.
  """
  for key, value in changes.items():
    params = _override_one(params, key, key.split("."), value)
  return params


def parse_settings(items) -> dict[str, str]:
  """["key=value", ...] of a command line -> {key: value}, as text."""
  settings = {}
  for item in items:
    key, equals, value = item.partition("=")
    if not equals:
      raise ValueError(f"--set must be KEY=VALUE, got {item!r}")
    settings[key] = value
  return settings


def flatten(settings: dict, prefix="") -> dict:
  """Nested settings by dotted key: {"a": {"b": 1}} -> {"a.b": 1}.

  An empty dict stays a value, so that no setting is lost.
  """
  flat = {}
  for key, value in settings.items():
    if isinstance(value, dict) and value:
      flat |= flatten(value, f"{prefix}{key}.")
    else:
      flat[prefix + key] = value
  return flat


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
  if isinstance(value, str) and hint not in (str, Distribution):
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
  if hint is Distribution:
    return Distribution.parse(value, f"setting {key!r}")
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


SYSTEMS = {"yamnet": YamnetParams, "yoho": YohoParams, "scene": SceneParams}


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
