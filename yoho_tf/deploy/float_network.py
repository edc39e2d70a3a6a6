"""The float Keras network behind a name: what every artefact is made of."""

import os
import pathlib
from dataclasses import replace
from typing import NamedTuple

from yoho_tf import hub, weights_yoho_h5
from yoho_tf.deploy import keras_file, metadata
from yoho_tf.labels import ClassMap, did_you_mean
from yoho_tf.params import PRESETS, YohoParams, from_json, override


class FloatNetwork(NamedTuple):
  """A network with `log_mel` input.

  Attributes:
    name: of files that are made of it.
    network: Keras, float32.
    params: tuned post-processing included.
    class_map: `ClassMap` of `params.labels`.
    run: its run folder, or None.
  """

  name: str
  network: object
  params: object
  class_map: ClassMap
  run: pathlib.Path | None = None


def load(
  model, *, weights=None, family=None, settings: dict | None = None
) -> FloatNetwork:
  """Reads it.

  Args:
    model: name of a bundled model, a run folder of `yoho train`, a `.keras`
      of this package, or a preset with weights.
    weights, family, settings: as `hub.load`, of a preset.

  Raises:
    ValueError: another model, or files that do not fit.
  """
  model, settings = os.fspath(model), settings or {}
  run = pathlib.Path(model)
  if run.is_dir() and (run / "model.keras").is_file():
    return _of_keras(run.resolve().name, run / "model.keras", settings, run)
  if model.endswith(".keras"):
    return _of_keras(run.stem, run, settings, None)
  if model in hub.bundled() and weights is None:
    return _bundled(model, settings)
  if model in PRESETS or model in hub.ALIASES:
    return _preset(model, weights, family, settings)
  known = (*hub.bundled(), *hub.ALIASES, *PRESETS)
  raise ValueError(
    "model must be a run folder with model.keras, a .keras file, or one of: "
    f"{did_you_mean(model, known)}"
  )


def _of_keras(name, path, settings, run):
  if not path.is_file():
    raise ValueError(f"model must be a file; got {str(path)!r}")
  network, params = keras_file.read(path)
  params = override(params, settings)
  return _named(name, network, params, run)


def _named(name, network, params, run=None):
  class_map = ClassMap.for_names(params.labels)
  return FloatNetwork(name, network, params, class_map, run)


def _bundled(name, settings):
  weights = hub.initial_weights(name)
  if weights is None:
    raise ValueError(
      f"model {name!r} must have {name}.weights.h5 beside its .tflite; got none"
    )
  inside = metadata.read(hub.WEIGHTS / f"{name}.tflite")
  params = override(from_json(inside[metadata.PARAMS]), settings)
  return _named(name, _with_weights(params, weights), params)


def _preset(name, weights, family, settings):
  params = PRESETS[hub.ALIASES.get(name, name)]
  if not isinstance(params, YohoParams):
    model = hub.load(name, weights=weights, family=family, settings=settings)
    params = model.params
    network = keras_file.rebuilt(model.network.model, params, input="log_mel")
    return _named(name, network, params)
  if weights is None or not os.path.isfile(weights):
    raise ValueError(
      f"weights must be a file for the preset {name!r}; got {weights!r}"
    )
  params = override(params, settings)
  return _named(name, _with_weights(params, weights), params)


def _with_weights(params, weights):
  from yoho_tf.models import yoho

  network = yoho.build(replace(params, input="log_mel"))
  if os.fspath(weights).endswith(".weights.h5"):
    try:
      network.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
      reason = str(error).strip().splitlines()[0]
      raise ValueError(
        "weights must fit the network that the preset and its settings "
        f"describe; got {os.fspath(weights)!r} ({reason})"
      ) from None
  else:
    weights_yoho_h5.load_weights(network, weights)
  return network
