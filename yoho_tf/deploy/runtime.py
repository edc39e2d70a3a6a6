"""Running an artefact, whatever it is: `Runtime.open(path).predict(inputs)`.

| artefact | backend | needs |
| --- | --- | --- |
| `.tflite` | LiteRT, or tf.lite with a note | base install |
| `.onnx` | ONNX Runtime on the CPU | `[onnx]` |
| folder with `saved_model.pb` | TensorFlow, `serving_default` | `[train]` |
| `.keras` | Keras, on any of its backends | `[train]` |
| `manifest.json` | a chain of the above (deploy/manifest.py) | theirs |

What a file is, its content says. The same call gives the same names, shapes
and dtypes on each of them. No TensorFlow and no Keras at module level.
"""

import numpy as np

from yoho_tf.deploy import metadata, opening
from yoho_tf.deploy.backends import KerasNetwork, LiteRt, Tensor
from yoho_tf.labels import did_you_mean
from yoho_tf.params import YamnetParams, YohoParams, from_json

__all__ = ["KerasNetwork", "LiteRt", "Runtime", "Tensor"]

# Axes of one item, without the batch.
_ITEM_RANK = {"waveform": 1, "log_mel": 2}


class Runtime:
  """An opened artefact. Not thread-safe: give each thread a `clone()`.

  Attributes:
    inputs, outputs: `{name: Tensor(shape, dtype)}` of the file; -1 is free.
    labels: names of the classes, or None where the file holds none.
    params: `YohoParams` or `YamnetParams`, or None.
    texts: what travels in the file, `{name: text}`.
    info: plain facts: path, format, backend, options.
  """

  @classmethod
  def open(cls, path, *, backend=None, num_threads=None, names=None):
    """Opens an artefact; tries exactly one backend.

    Args:
      path: a file, or a folder with a SavedModel or a manifest.
      backend: for `.tflite` "litert" (default), "tf.lite", "edgetpu" or the
        path of another delegate; for `.onnx` a provider of ONNX Runtime. In a
        manifest it goes to its parts; "edgetpu" to the compiled ones only.
      num_threads: default: the backend's choice.
      names: `{tensor of the file: our name}`, for a file without signature.

    Raises:
      ValueError: no artefact, a damaged one, a package that is missing.
    """
    return cls(
      *opening.open_file(
        path, backend=backend, num_threads=num_threads, names=names
      )
    )

  def __init__(self, network, texts=None, info=None):
    self.network = network
    self.texts = texts or {}
    self.info = info or {}
    self.params = None
    if metadata.PARAMS in self.texts:
      self.params = from_json(self.texts[metadata.PARAMS])
    self.labels = _labels(self.texts, self.params)
    self.inputs, self.outputs = network.inputs, network.outputs
    self._check_labels()

  def _check_labels(self):
    for name, axis in (("scores", -1), ("events", -2)):
      classes = self.outputs[name].shape[axis] if name in self.outputs else -1
      if self.labels is not None and classes not in (-1, len(self.labels)):
        raise ValueError(
          f"model must have one label per class, {classes} of {name}; got "
          f"{len(self.labels)} in {self.info.get('path', '')!r}"
        )

  @property
  def input_names(self) -> tuple[str, ...]:
    return tuple(self.inputs)

  @property
  def input_shapes(self) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in self.inputs.items()}

  @property
  def pads(self) -> bool:
    """Whether a waveform of any length becomes whole cells in the file."""
    return self.network.pads

  def clone(self, **options) -> "Runtime":
    """Another one of the same file, for another thread.

    Args:
      **options: `num_threads` of a `.tflite`; default as it was.
    """
    return Runtime(self.network.clone(**options), self.texts, dict(self.info))

  @property
  def trunk(self) -> "Runtime | None":
    """The network behind the front end, where the file offers it alone."""
    network = getattr(self.network, "trunk", None)
    return network and Runtime(network, self.texts, dict(self.info))

  def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One call as the file takes it: no adaptation, few checks."""
    return self.network(inputs)

  def predict(self, inputs) -> dict[str, np.ndarray]:
    """Outputs of one item or a batch.

    Args:
      inputs: `{name: float array}`, or one array for the only input:
        `[samples]` or `[batch, samples]`, `[frames, bands]` or `[batch,
        frames, bands]`. Loops over a batch where the file takes one item.
        YOHO's cells are filled up with zeros, as in its Keras model.

    Returns:
      `{name: float32 array}`, copies; with a batch axis where the inputs had
      one.

    Raises:
      ValueError: a name, shape or dtype that the file does not take.
    """
    arrays = self._named(inputs)
    sizes = {name: self._num_items(name, x) for name, x in arrays.items()}
    if len(set(sizes.values())) > 1:
      raise ValueError(f"inputs must have one batch size; received {sizes}")
    size = next(iter(sizes.values()))
    if size is None:
      arrays = {name: x[None] for name, x in arrays.items()}
    arrays = {name: self._padded(name, x) for name, x in arrays.items()}
    outputs = self._run(arrays)
    if isinstance(self.params, YamnetParams) and "waveform" in arrays:
      outputs = {  # a file of one patch may leave that axis out
        name: x[:, None] if x.ndim == 2 else x for name, x in outputs.items()
      }
    if size is None:
      outputs = {name: x[0] for name, x in outputs.items()}
    return {name: np.array(x, np.float32) for name, x in outputs.items()}

  def _named(self, inputs):
    if not isinstance(inputs, dict):
      if len(self.inputs) != 1:
        raise ValueError(
          f"inputs must be a dict of {', '.join(self.inputs)}; received one "
          f"{type(inputs).__name__}"
        )
      inputs = {self.input_names[0]: inputs}
    for name in inputs:
      if name not in self.inputs:
        raise ValueError(f"input {did_you_mean(name, self.inputs)}")
    for name in self.inputs:
      if name not in inputs:
        raise ValueError(
          f"inputs must hold {', '.join(self.inputs)}; {name} is missing"
        )
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    for name, value in arrays.items():
      if value.dtype.kind != "f":
        hint = " (divide int16 samples by 32768)" if name == "waveform" else ""
        raise ValueError(f"{name} must be float{hint}; received {value.dtype}")
    return arrays

  def _item(self, name):
    """Shape of one item, and the batch axis: None (no axis), 1, -1 (free)."""
    shape = self.inputs[name].shape
    has_batch = len(shape) > _ITEM_RANK.get(name, len(shape) - 1)
    return (shape[1:], shape[0]) if has_batch else (shape, None)

  def _num_items(self, name, array):
    """Checks a shape; returns the size of the batch, None for one item."""
    item, _ = self._item(name)
    free = ", ".join("any" if n == -1 else str(n) for n in item)
    got = array.shape if array.ndim == len(item) else array.shape[1:]
    fits = len(got) == len(item) and all(
      known in (-1, size) for size, known in zip(got, item, strict=True)
    )
    if not fits or not array.size:
      raise ValueError(
        f"{name} must have shape [{free}] or [batch, {free}], none of them 0; "
        f"received {list(array.shape)}"
      )
    return None if array.ndim == len(item) else len(array)

  def _padded(self, name, array):
    """`[batch, samples]`, with zeros where the file does not add them."""
    params = self.params
    is_lattice = isinstance(params, YohoParams) and params.lattice == "stride"
    if self.pads or name != "waveform" or not is_lattice:
      return array
    if self._item(name)[0] != (-1,):
      return array
    cells = params.num_cells(array.shape[1])
    size = cells * params.cell_samples + params.extra_samples
    return np.pad(array, ((0, 0), (0, size - array.shape[1])))

  def _run(self, arrays):
    """Batches in, batches out, by as many calls as the file needs."""
    axes = {self._item(name)[1] for name in arrays}
    size = len(next(iter(arrays.values())))
    if axes <= {-1, size}:
      return self.network(arrays)
    has_axis = None not in axes
    if has_axis and 1 not in axes:
      raise ValueError(f"batch must be {max(axes)}; received {size}")
    found = []
    for i in range(size):
      item = slice(i, i + 1) if has_axis else i
      outputs = self.network({name: x[item] for name, x in arrays.items()})
      if has_axis:
        outputs = {name: value[0] for name, value in outputs.items()}
      found.append(outputs)
    return {name: np.stack([f[name] for f in found]) for name in found[0]}


def _labels(texts, params):
  if params is not None and params.labels:
    return tuple(params.labels)
  for name, text in texts.items():
    if name.endswith(("labels.txt", "label_list.txt")):
      return tuple(text.splitlines())
  return None
