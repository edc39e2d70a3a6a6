"""Backends made of backends: a chain of files, tensors by other names."""

from yoho_tf.labels import did_you_mean


class Chain:
  """Artefacts one after the other: outputs feed inputs of the same name."""

  def __init__(self, parts):
    self.parts = list(parts)
    made, self.inputs, self.outputs = {}, {}, {}
    for part in self.parts:
      for name, tensor in part.inputs.items():
        before = made.get(name)
        if before is None:
          self.inputs[name] = tensor
        elif not _meet(before.shape, tensor.shape):
          raise ValueError(
            f"{name} must have one shape in a chain; got {before.shape} and "
            f"then {tensor.shape}"
          )
        self.outputs.pop(name, None)  # used up
      made.update(part.outputs)
      self.outputs.update(part.outputs)
    self.pads = self.parts[0].pads

  def clone(self, **options):
    return Chain([part.clone(**options) for part in self.parts])

  def __call__(self, inputs):
    values = dict(inputs)
    for part in self.parts:
      values.update(part({name: values[name] for name in part.inputs}))
    return {name: values[name] for name in self.outputs}


def _meet(a, b):
  return len(a) == len(b) and all(
    m == n or -1 in (m, n) for m, n in zip(a, b, strict=True)
  )


# ---- files without a signature ----------------------------------------------


class Renamed:
  """A backend whose tensors have our names."""

  def __init__(self, network, names):
    self._network, self._names = network, names
    self.inputs, self.outputs = (
      {names.get(name, name): tensor for name, tensor in side.items()}
      for side in (network.inputs, network.outputs)
    )
    self._own = {ours: theirs for theirs, ours in names.items()}
    self.pads = network.pads

  def clone(self, **options):
    return Renamed(self._network.clone(**options), self._names)

  def __call__(self, inputs):
    own = {self._own.get(name, name): x for name, x in inputs.items()}
    outputs = self._network(own)
    return {self._names.get(name, name): x for name, x in outputs.items()}


def tensor_names(network, path, names):
  """`{tensor: our name}`, as asked for or by shape."""
  tensors = [*network.inputs, *network.outputs]
  if names is not None:
    for name in names:
      if name not in tensors:
        raise ValueError(f"names: tensor {did_you_mean(name, tensors)}")
    return names
  guessed = {}
  if len(network.inputs) == len(network.outputs) == 1:
    ((source, tensor),) = network.inputs.items()
    ((target, found),) = network.outputs.items()
    if ours := _input_name(tensor.shape):
      # YOHO's cells, classes and slots; anything flatter are scores.
      output = "events" if len(found.shape) == 4 else "scores"
      guessed = {source: ours, target: output}
  if not guessed:
    raise ValueError(
      "names must say which tensor is which for a file without signature: "
      f"{path!r} takes {_listed(network.inputs)} and gives "
      f"{_listed(network.outputs)}"
    )
  return guessed


def _input_name(shape):
  sizes = [n for n in shape if n != 1]
  if len(sizes) == 1 and len(shape) <= 2:
    return "waveform"
  return "log_mel" if len(sizes) == 2 and len(shape) <= 3 else None


def _listed(tensors):
  return ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
