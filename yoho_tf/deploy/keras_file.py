"""Keras -> `.keras`: the whole model, with class map and params inside.

`keras.saving.load_model` opens it once `yoho_tf.layers.frontend` is imported;
it needs none of this package's dataclasses.
"""

import pathlib
import tempfile
from dataclasses import replace

from yoho_tf import files
from yoho_tf.deploy import metadata
from yoho_tf.params import from_json


def write(network, params, path, *, class_map) -> None:
  """Writes `waveform -> events` and what `hub.load` needs.

  Args:
    network: float32, built with `params` and `input="log_mel"`.
    params: stored inside, tuned post-processing included.
    class_map: `ClassMap` of `params.labels`, stored inside.
  """
  from yoho_tf.models import yoho

  params = replace(params, input="waveform")
  model = yoho.build(params)
  model.set_weights(network.get_weights())
  with tempfile.TemporaryDirectory() as folder:
    part = pathlib.Path(folder, "model.keras")
    model.save(part)
    data = part.read_bytes()
  files.replace_bytes(
    path, metadata.pack(data, metadata.texts(params, class_map))
  )


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
  from yoho_tf.models import yoho

  params = from_json(texts[metadata.PARAMS])
  network = yoho.build(replace(params, input="log_mel"))
  network.set_weights(
    keras.saving.load_model(path, compile=False).get_weights()
  )
  return network, params
