"""YAMNet's published weight layout: an HDF5 file with 110 datasets.

Two trained networks share the layout (yamnet.md sections 1 and 5): family
`relu` (`yamnet.h5`) and family `relu6` (the Lite model). The wrong activation
fails softly, so the family is compared before anything is assigned.
"""

import os
import pathlib
import re
import warnings

import numpy as np

from yoho_tf.files import replacing, sha256

FAMILY_ATTRIBUTE = "yoho_tf_family"

# sha256 -> family, of files whose family is known.
KNOWN_FILES = {
  "13c3308955bbfaef262f175ac9c40e47b134573a93984f009220dd7cc12a1744": "relu",
  "9e011b2f": "relu",  # dequantised test data, first eight digits
  "e0fb53bf": "relu6",
}


def layout(table, *, num_classes=521):
  """[(dataset path, our layer, index in its weights, shape)], 110 rows."""
  channels = table[-1][2]
  head = {"kernel": (channels, num_classes), "bias": (num_classes,)}
  return body_layout(table) + [
    (f"logits/logits/{name}:0", "logits", index, shape)
    for index, (name, shape) in enumerate(head.items())
  ]


def body_layout(table):
  """The rows of `layout` without the classifier."""
  rows = []

  def add(group, layer, variables):
    for index, (variable, shape) in enumerate(variables):
      path = f"{group}/{group}/{variable}:0"
      rows.append((path, layer, index, tuple(shape)))

  def batchnorm(channels):
    names = ("beta", "moving_mean", "moving_variance")
    return [(name, (channels,)) for name in names]

  channels_in = 1
  for number, (kind, _, channels) in enumerate(table, start=1):
    if kind == "conv":
      name, group = f"layer{number}_conv", f"layer{number}/conv"
      add(group, name, [("kernel", (3, 3, channels_in, channels))])
      add(f"{group}/bn", f"{name}_bn", batchnorm(channels))
    else:
      name = f"layer{number}_depthwise_conv"
      group = f"layer{number}/depthwise_conv"
      add(group, name, [("depthwise_kernel", (3, 3, channels_in, 1))])
      add(f"{group}/bn", f"{name}_bn", batchnorm(channels_in))
      name = f"layer{number}_pointwise_conv"
      group = f"layer{number}/pointwise_conv"
      add(group, name, [("kernel", (1, 1, channels_in, channels))])
      add(f"{group}/bn", f"{name}_bn", batchnorm(channels))
    channels_in = channels
  return rows


def read(path, rows) -> tuple[dict[str, np.ndarray], str | None]:
  """All arrays of `rows` from an HDF5 file, and the family if it is known.

  Args:
    path: the HDF5 file.
    rows: what `layout` returns.

  Returns:
    {dataset path: float32 array}, family ("relu", "relu6" or None).

  Raises:
    ValueError: not HDF5; missing or unexpected datasets, a wrong shape or
      type, NaN or infinite values, negative variances (first five named).
  """
  path = pathlib.Path(path)
  found = _rename_head(datasets(path), path.name)
  check(found, rows, f"weights {path.name} must hold the {len(rows)} YAMNet")
  return found, known_family(path)


def datasets(path) -> dict[str, np.ndarray]:
  """Every dataset of an HDF5 file by its path, or ValueError."""
  import h5py

  path = pathlib.Path(path)
  if not path.is_file():
    raise ValueError(f"weights must be a file; received {str(path)!r}")
  if not h5py.is_hdf5(path):
    raise ValueError(f"weights must be an HDF5 file; received {str(path)!r}")
  found = {}

  def collect(name, node):
    if isinstance(node, h5py.Dataset):
      found[name] = np.asarray(node)

  try:
    with h5py.File(path, "r") as file:
      file.visititems(collect)
  except OSError as error:  # cut off, most likely
    raise ValueError(
      f"weights {path.name} must be a whole HDF5 file; {error}"
    ) from None
  return found


def check(found, rows, rule) -> None:
  """ValueError unless `found` is what `rows` say; begins with `rule`."""
  expected = {row[0]: row[3] for row in rows}
  faults = [f"missing {name}" for name in expected if name not in found]
  faults += [f"unexpected {name}" for name in found if name not in expected]
  for name, shape in expected.items():
    if name not in found:
      continue
    value = found[name]
    if value.shape != shape:
      faults.append(f"{name} has shape {value.shape}, expected {shape}")
    elif value.dtype != np.float32:
      faults.append(f"{name} has type {value.dtype}, expected float32")
    elif not np.isfinite(value).all():
      faults.append(f"{name} holds NaN or infinite values")
    elif "moving_variance" in name and (value < 0).any():
      faults.append(f"{name} holds negative variances")
  if faults:
    more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
    raise ValueError(f"{rule} datasets; " + "; ".join(faults[:5]) + more)


def known_family(path) -> str | None:
  """The family of a file, by our attribute or its digest; None = unknown."""
  import h5py

  if h5py.is_hdf5(path):
    with h5py.File(path, "r") as file:
      if FAMILY_ATTRIBUTE in file.attrs:
        return str(file.attrs[FAMILY_ATTRIBUTE])
    digest = sha256(path)
    return KNOWN_FILES.get(digest) or KNOWN_FILES.get(digest[:8])
  return None


def _rename_head(found, filename):
  """`dense/dense/kernel:0`, or `dense_3/...`, becomes `logits/...`, aloud.

  Only where it is the one candidate; otherwise it stays an unexpected dataset.
  """
  groups = {name.split("/")[0] for name in found}
  heads = sorted(g for g in groups if re.fullmatch(r"dense(_\d+)?", g))
  if "logits" in groups or len(heads) != 1:
    return found
  warnings.warn(
    f"weights {filename}: {heads[0]!r} is taken for 'logits'", stacklevel=4
  )
  old, new = f"{heads[0]}/{heads[0]}/", "logits/logits/"
  return {
    new + name.removeprefix(old) if name.startswith(old) else name: value
    for name, value in found.items()
  }


def check_family(known, stated, activation, path) -> str:
  """The family of a file, or ValueError (unknown, contradicted, mismatch)."""
  name = os.path.basename(str(path))
  if known is None and stated is None:
    raise ValueError(
      f"family must be 'relu' or 'relu6' for the unknown file {name}; "
      "received None"
    )
  if known is not None and stated is not None and known != stated:
    raise ValueError(
      f"family must be {known!r} for {name}; received {stated!r}"
    )
  family = known or stated
  if family not in ("relu", "relu6"):
    raise ValueError(f"family must be 'relu' or 'relu6'; received {family!r}")
  if family != activation:
    raise ValueError(
      f"family must match activation; the weights are {family!r}, the model "
      f"was built with {activation!r}"
    )
  return family


def load_weights(model, path, *, activation, family=None, head=True) -> None:
  """Assigns an HDF5 file of the YAMNet layout to `model`, all or nothing.

  Args:
    model: a Keras model with YAMNet's layer names at width 1.0. A YOHO model
      takes layers 1-14 (`head=False`).
    activation: of the model, "relu" or "relu6".
    family: of the file, where it is not known by its hash or attribute.

  Raises:
    ValueError: see `read` and `check_family`.
  """
  from yoho_tf.models.yamnet import TABLE

  num_classes = 521
  if head:
    num_classes = int(model.get_layer("logits").bias.shape[0])
  rows = layout(TABLE, num_classes=num_classes)
  arrays, known = read(path, rows)
  check_family(known, family, activation, path)
  if not head:
    rows = [row for row in rows if row[1] != "logits"]
  assign(model, rows, arrays)


def assign(model, rows, arrays) -> None:
  """Sets the weights that `rows` name, or none: ValueError where one differs.

  Args:
    arrays: {dataset path: array}, of the shapes of our layers.
  """
  for name, layer, index, _ in rows:
    have = tuple(model.get_layer(layer).weights[index].shape)
    if have != arrays[name].shape:
      raise ValueError(
        f"weights fit width 1.0 only; {layer} has shape {have}, the file's "
        f"{name} {arrays[name].shape}"
      )
  for name, layer, index, _ in rows:
    model.get_layer(layer).weights[index].assign(arrays[name])


def write_weights(model, path, *, family) -> None:
  """Writes a YAMNet model in the published layout, with its family."""
  from yoho_tf.models.yamnet import TABLE

  num_classes = int(model.get_layer("logits").bias.shape[0])
  arrays = {
    name: np.asarray(model.get_layer(layer).weights[index])
    for name, layer, index, _ in layout(TABLE, num_classes=num_classes)
  }
  write_arrays(arrays, path, family=family)


def write_arrays(arrays, path, *, family) -> None:
  import h5py

  with replacing(path) as part, h5py.File(part, "w") as file:
    file.attrs[FAMILY_ATTRIBUTE] = family
    for name, value in arrays.items():
      file[name] = np.asarray(value, np.float32)


def lite_to_h5(tflite_path, path) -> None:
  """The official Lite model (family relu6) -> a weight file of the layout.

  The 27 convolutions in graph order: kernel = int8 x scale per output channel;
  beta = int32 bias x bias scale; mean 0 and variance 1 - 1e-4, so that
  variance + epsilon = 1; the classifier per tensor, transposed.

  Raises:
    ValueError: the file is not the Lite model's graph.
  """
  from ai_edge_litert import schema_py_generated as schema

  from yoho_tf.models.yamnet import TABLE

  data = pathlib.Path(tflite_path).read_bytes()
  if data[4:8] != b"TFL3":
    raise ValueError(
      f"lite model must be a .tflite file; received {str(tflite_path)!r}"
    )
  model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
  graph = model.subgraphs[0]
  codes = [
    max(code.builtinCode, code.deprecatedBuiltinCode)
    for code in model.operatorCodes
  ]
  kinds = schema.BuiltinOperator

  def tensor(index):
    t = graph.tensors[index]
    kind = np.int8 if t.type == schema.TensorType.INT8 else np.int32
    if t.type == schema.TensorType.UINT8:
      kind = np.uint8
    raw = np.frombuffer(bytes(model.buffers[t.buffer].data), kind)
    raw = raw.reshape(t.shape).astype(np.float64)
    scale = np.asarray(t.quantization.scale, np.float64)
    zero = np.asarray(t.quantization.zeroPoint, np.float64)
    axis = t.quantization.quantizedDimension
    if scale.size > 1:
      shape = [1] * raw.ndim
      shape[axis] = -1
      scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((raw - zero) * scale).astype(np.float32)

  convolutions = (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D)
  weighted = [
    (codes[op.opcodeIndex], op)
    for op in graph.operators
    if codes[op.opcodeIndex] in (*convolutions, kinds.FULLY_CONNECTED)
  ]
  # A fully connected operator before the convolutions is the mel matrix.
  while weighted and weighted[0][0] not in convolutions:
    weighted.pop(0)
  values = [
    (code, tensor(op.inputs[1]), tensor(op.inputs[2])) for code, op in weighted
  ]
  rows = layout(TABLE)
  arrays = {}
  groups = [row for row in rows if "kernel" in row[0]]
  if len(values) != len(groups):
    raise ValueError(
      f"lite model must have {len(groups)} weighted operators; received "
      f"{len(values)} in {str(tflite_path)!r}"
    )
  for (name, _, _, shape), (code, kernel, bias) in zip(
    groups, values, strict=True
  ):
    if code == kinds.CONV_2D:  # [out, h, w, in] -> [h, w, in, out]
      kernel = kernel.transpose(1, 2, 3, 0)
    elif code == kinds.DEPTHWISE_CONV_2D:  # [1, h, w, C] -> [h, w, C, 1]
      kernel = kernel.transpose(1, 2, 3, 0)
    else:
      kernel = kernel.T
    if kernel.shape != shape:
      raise ValueError(
        f"lite model: {name} must have shape {shape}; received {kernel.shape}"
      )
    arrays[name] = kernel
    if name.startswith("logits"):
      arrays["logits/logits/bias:0"] = bias
      continue
    bn = name.split("/", 2)
    bn = f"{bn[0]}/{bn[1]}/bn"
    arrays[f"{bn}/{bn}/beta:0"] = bias
    arrays[f"{bn}/{bn}/moving_mean:0"] = np.zeros_like(bias)
    arrays[f"{bn}/{bn}/moving_variance:0"] = np.full_like(bias, 1 - 1e-4)
  write_arrays(arrays, path, family="relu6")
