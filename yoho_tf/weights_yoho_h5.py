"""The weight file of YOHO's authors: Keras 2, `models/YOHO-music-speech.h5`.

134 datasets: layer 1 has 4, layers 2 to 17 have 8 each, the head has 2. The
layout is YAMNet's (weights_h5.py) with four differences: layer 1's batch norm
is called `layer1/bn`, three more layers, the head is the Conv1D of kernel 1 on
flattened features that ours equals, and a whole-model file keeps all of it
below `model_weights`.
"""

import os
import re

from yoho_tf import weights_h5

_HEAD = "conv1d/conv1d"


def layout(table, *, num_outputs, bands_left):
  """[(dataset path, our layer, index in its weights, shape)], 134 rows.

  Args:
    table: `models.yoho.TABLE`.
    num_outputs: 3 x classes.
    bands_left: after the body; with its channels the features of the head.
  """
  features = bands_left * table[-1][2]
  return [
    (name.replace("layer1/conv/bn", "layer1/bn"), *rest)
    for name, *rest in weights_h5.body_layout(table)
  ] + [
    (f"{_HEAD}/kernel:0", "head", 0, (1, features, num_outputs)),
    (f"{_HEAD}/bias:0", "head", 1, (num_outputs,)),
  ]


def load_weights(model, path) -> None:
  """Assigns the authors' file to a YOHO of the preset `yoho_music_speech`.

  Args:
    model: from `models.yoho.build`, width 1.0, one slot, no baseline.

  Raises:
    ValueError: not HDF5, a missing or unexpected dataset, a wrong shape or
      type, NaN or infinite values (first five named). Nothing is assigned.
  """
  from yoho_tf.models.yoho import TABLE

  kernel = model.get_layer("head").kernel.shape  # [1, bands, channels, outputs]
  rows = layout(TABLE, num_outputs=kernel[-1], bands_left=kernel[1])
  arrays = _plain_names(weights_h5.datasets(path))
  name = os.path.basename(path)
  weights_h5.check(
    arrays, rows, f"weights {name} must hold the {len(rows)} YOHO"
  )
  # Flattened band-major, then channel: the same numbers, reshaped.
  head = arrays[f"{_HEAD}/kernel:0"].reshape(1, kernel[1], -1, kernel[-1])
  weights_h5.assign(model, rows, {**arrays, f"{_HEAD}/kernel:0": head})


def _plain_names(found):
  """Names of a file of weights alone, and of a first Conv1D."""
  names = {
    name.removeprefix("model_weights/"): value
    for name, value in found.items()
    if not name.startswith("optimizer_weights/")
  }
  heads = {n.split("/")[0] for n in names if re.match(r"conv1d(_\d+)?/", n)}
  if len(heads) != 1:
    return names
  old = "{0}/{0}/".format(*heads)
  return {
    re.sub(f"^{re.escape(old)}", f"{_HEAD}/", name): value
    for name, value in names.items()
  }
