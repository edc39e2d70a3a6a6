"""Published data sets, one module each; none is ever downloaded.

A module has `INFO`, `check(root) -> Report`, `load(root, *, split, fold=None)
-> Dataset`, `make_fixture(root, *, seed=0)` and `SPLITS`, what `load` takes ->
the split that its recordings belong to. Those of CHECK_ONLY have `INFO` and
`check`: other systems load them.
"""

import importlib

from yoho_tf.labels import did_you_mean

NAMES = (
  "audioset_strong",
  "desed",
  "esc50",
  "maestro",
  "music_speech",
  "tut2017",
  "urban_sed",
)
CHECK_ONLY = ("coco", "dcase_seld", "flickr8k")


def get(name: str, *, loadable: bool = False):
  """The module of a data set.

  Args:
    name: one of NAMES, or, unless `loadable`, of CHECK_ONLY.

  Raises:
    ValueError: no such set; names the nearest ones.
  """
  names = NAMES if loadable else NAMES + CHECK_ONLY
  if name not in names:
    raise ValueError(f"data set {did_you_mean(name, names)}")
  return importlib.import_module(f"yoho_tf.data.datasets.{name}")
