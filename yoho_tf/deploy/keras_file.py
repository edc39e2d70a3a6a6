"""Keras -> `.keras`: the whole model, with class map and params inside.

`keras.saving.load_model` opens it once `yoho_tf.layers.frontend` is imported;
it needs none of this package's dataclasses.
"""

import pathlib
import tempfile
from dataclasses import replace

from yoho_tf import files
from yoho_tf.deploy import metadata
from yoho_tf.params import YohoParams, from_json


def model_module(params):
  """`models.yoho` or `models.yamnet`, as the class of `params` says."""
  from yoho_tf.models import yamnet, yoho

  return yoho if isinstance(params, YohoParams) else yamnet


def rebuilt(network, params, **changes):
  """The model of `replace(params, **changes)` with the network's weights."""
  model = model_module(params).build(replace(params, **changes))
  model.set_weights(network.get_weights())
  return model


def write(network, params, path, *, class_map) -> None:
  """Writes `waveform -> outputs` and what `hub.load` needs.

  Args:
    network: float32, built with `params` and `input="log_mel"`.
    params: stored inside, tuned post-processing included.
    class_map: `ClassMap` of `params.labels`, stored inside.
  """
  model = rebuilt(network, params, input="waveform")
  with tempfile.TemporaryDirectory() as folder:
    part = pathlib.Path(folder, "model.keras")
    model.save(part)
    data = part.read_bytes()
  texts = metadata.texts(replace(params, input="waveform"), class_map)
  files.replace_bytes(path, metadata.pack(data, texts))


def read(path):
  """The network with `log_mel` input of a file that `write` made; its params.

  Raises:
    ValueError: another file.
  """
  texts = metadata.read(path)
  if metadata.PARAMS not in texts:
    raise ValueError(
      f"model must be a .keras with {metadata.PARAMS} inside, as this package "
      f"writes it; received {str(path)!r}"
    )
  import keras

  from yoho_tf.layers import conv, frontend  # noqa: F401 (registers layers)

  params = from_json(texts[metadata.PARAMS])
  model = keras.saving.load_model(path, compile=False)
  return rebuilt(model, params, input="log_mel"), params
