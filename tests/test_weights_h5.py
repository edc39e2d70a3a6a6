"""YAMNet's weight file: read, refused, written, made from the Lite file."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest

from tests import harness
from yoho_tf import weights_h5
from yoho_tf.models import yamnet
from yoho_tf.params import PRESETS

PARAMS = PRESETS["yamnet_audioset_relu6"]
VARIABLES = {
  "conv": ["kernel"],
  "depthwise_conv": ["depthwise_kernel"],
  "pointwise_conv": ["kernel"],
  "bn": ["beta", "moving_mean", "moving_variance"],
  "logits": ["kernel", "bias"],
}


def dataset_paths(layer_name):
  """layer2_pointwise_conv_bn -> the paths of its three datasets."""
  if layer_name == "logits":
    group, kind = "logits", "logits"
  else:
    number, rest = layer_name.split("_", 1)
    group, kind = f"{number}/{rest}", rest
    if rest.endswith("_bn"):
      group, kind = f"{number}/{rest.removesuffix('_bn')}/bn", "bn"
  return [f"{group}/{group}/{name}:0" for name in VARIABLES[kind]]


@pytest.fixture(scope="module")
def weights():
  return harness.synthetic_weights()


@pytest.fixture(scope="module")
def datasets(weights):
  """{dataset path: array} of the synthetic weights; paths made here."""
  return {
    path: array
    for name, arrays in weights.items()
    for path, array in zip(dataset_paths(name), arrays, strict=True)
  }


@pytest.fixture(scope="module")
def original(datasets, tmp_path_factory):
  """A file as the old Keras wrote it: no attribute of ours."""
  path = tmp_path_factory.mktemp("weights") / "original.h5"
  with h5py.File(path, "w") as file:
    for name, array in datasets.items():
      file[name] = array
  return path


@pytest.fixture(scope="module")
def blank():
  """A network on patches that no test of errors may change."""
  return yamnet.build(dataclasses.replace(PARAMS, input="log_mel"))


def edited(original, folder, edit):
  """A copy of the file after `edit(open file)`."""
  path = shutil.copy(original, folder / "edited.h5")
  with h5py.File(path, "r+") as file:
    edit(file)
  return path


def exchange(file, path, value):
  del file[path]
  file[path] = value


def load(model, path, **options):
  options = {"activation": "relu6", "family": "relu6", **options}
  weights_h5.load_weights(model, path, **options)


# ---- reading ----------------------------------------------------------------


def test_layout_is_the_published_one(datasets):
  rows = weights_h5.layout(yamnet.TABLE)
  assert len(rows) == len(datasets) == 4 + 13 * 8 + 2
  assert {row[0]: row[3] for row in rows} == {
    path: array.shape for path, array in datasets.items()
  }
  assert "layer1/conv/bn/layer1/conv/bn/beta:0" in datasets
  assert datasets[
    "layer14/depthwise_conv/layer14/depthwise_conv/depthwise_kernel:0"
  ].shape == (3, 3, 1024, 1)


def test_every_dataset_reaches_its_layer(original, weights):
  model = yamnet.build(dataclasses.replace(PARAMS, input="log_mel"))
  load(model, original)
  for name, arrays in weights.items():
    for got, expected in zip(model.get_layer(name).weights, arrays):
      np.testing.assert_array_equal(np.asarray(got), expected, err_msg=name)


def test_written_file_is_bit_equal(original, datasets, tmp_path, blank):
  model = yamnet.build(dataclasses.replace(PARAMS, input="log_mel"))
  load(model, original)
  path = tmp_path / "ours.h5"
  weights_h5.write_weights(model, path, family="relu6")
  with h5py.File(path, "r") as file:
    assert file.attrs["yoho_tf_family"] == "relu6"
    found = {}
    file.visititems(
      lambda name, node: (
        found.update({name: node[()]})
        if isinstance(node, h5py.Dataset)
        else None
      )
    )
  assert set(found) == set(datasets)
  for name, array in datasets.items():
    assert found[name].dtype == np.float32
    assert found[name].tobytes() == array.tobytes()
  assert [p.name for p in tmp_path.iterdir()] == ["ours.h5"]
  load(blank, path, family=None)  # the attribute says it
  for before, after in zip(model.weights, blank.weights):
    np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


@pytest.mark.parametrize("head", ["dense", "dense_3"])
def test_the_head_may_be_called_dense(head, original, tmp_path, weights):
  def rename(file):
    for name in ("kernel:0", "bias:0"):
      file[f"{head}/{head}/{name}"] = file[f"logits/logits/{name}"][()]
    del file["logits"]

  path = edited(original, tmp_path, rename)
  model = yamnet.build(dataclasses.replace(PARAMS, input="log_mel"))
  with pytest.warns(UserWarning, match=f"'{head}' is taken for 'logits'"):
    load(model, path)
  for got, expected in zip(
    model.get_layer("logits").weights, weights["logits"]
  ):
    np.testing.assert_array_equal(np.asarray(got), expected)


def test_trunk_alone_goes_into_another_model(original, weights):
  """Layers 1-14 into a model with a head of its own, as YOHO does."""
  params = dataclasses.replace(PARAMS, num_classes=3, input="log_mel")
  model = yamnet.build(params)
  before = [np.asarray(w) for w in model.get_layer("logits").weights]
  with pytest.raises(
    ValueError, match=r"logits.*\(1024, 521\), expected \(1024"
  ):
    load(model, original)
  load(model, original, head=False)
  for name in ("layer1_conv", "layer14_pointwise_conv_bn"):
    for got, expected in zip(model.get_layer(name).weights, weights[name]):
      np.testing.assert_array_equal(np.asarray(got), expected)
  for got, expected in zip(model.get_layer("logits").weights, before):
    np.testing.assert_array_equal(np.asarray(got), expected)


# ---- refusing ---------------------------------------------------------------

KERNEL = "layer3/pointwise_conv/layer3/pointwise_conv/kernel:0"
BETA = "layer14/pointwise_conv/bn/layer14/pointwise_conv/bn/beta:0"
VARIANCE = "layer5/depthwise_conv/bn/layer5/depthwise_conv/bn/moving_variance:0"
BIAS = "logits/logits/bias:0"


def with_one(value, where=-1):
  """The dataset with one of its numbers exchanged."""

  def change(array):
    array = array.copy()
    array.ravel()[where] = value
    return array

  return change


FAULTS = {
  "missing": (BETA, None, f"missing {BETA}"),
  "shape": (
    KERNEL,
    lambda array: array[:, :, 0],
    rf"{KERNEL} has shape \(1, 1, 128\), expected \(1, 1, 64, 128\)",
  ),
  "float64": (
    BIAS,
    lambda array: array.astype(np.float64),
    f"{BIAS} has type float64, expected float32",
  ),
  "text": (BIAS, lambda _: "hello", rf"{BIAS} has shape \(\), expected"),
  "nan": (BIAS, with_one(np.nan), f"{BIAS} holds NaN or infinite values"),
  "infinite": (KERNEL, with_one(-np.inf), f"{KERNEL} holds NaN or infinite"),
  "variance": (VARIANCE, with_one(-1e-6), f"{VARIANCE} holds negative var"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_files_change_nothing(fault, original, tmp_path, blank):
  dataset, change, message = FAULTS[fault]

  def edit(file):
    value = file[dataset][()]
    del file[dataset]
    if change is not None:
      file[dataset] = change(value)

  path = edited(original, tmp_path, edit)
  before = [np.asarray(w) for w in blank.weights]
  with pytest.raises(ValueError, match=message) as error:
    load(blank, path)
  assert "edited.h5" in str(error.value) and "\n" not in str(error.value)
  for got, expected in zip(blank.weights, before):
    np.testing.assert_array_equal(np.asarray(got), expected)


def test_negative_means_and_zero_variances_are_fine(original, tmp_path, blank):
  path = edited(
    original, tmp_path, lambda f: exchange(f, VARIANCE, 0 * f[VARIANCE][()])
  )
  load(blank, path)


def test_unexpected_datasets_are_refused(original, tmp_path, blank):
  extra = "layer15/conv/layer15/conv/kernel:0"
  second_head = "dense/dense/bias:0"  # no alias beside the true head
  for name in (extra, second_head):
    path = edited(
      original, tmp_path, lambda f, name=name: f.update({name: [1.0]})
    )
    with pytest.raises(ValueError, match=f"unexpected {name}"):
      load(blank, path)


def test_first_five_faults_are_named(original, tmp_path, blank):
  def edit(file):
    del file["layer2"], file["layer9"]

  with pytest.raises(ValueError) as error:
    load(blank, edited(original, tmp_path, edit))
  text = str(error.value)
  assert text.count("missing") == 5 and text.endswith("and 11 more")
  assert "110" in text


def test_files_that_are_none(original, tmp_path, blank):
  with pytest.raises(ValueError, match="must be a file.*absent.h5"):
    load(blank, tmp_path / "absent.h5")
  text = tmp_path / "text.h5"
  text.write_text("no weights\n" * 1000)
  with pytest.raises(ValueError, match="must be an HDF5 file.*text.h5"):
    load(blank, text)
  cut = tmp_path / "cut.h5"
  cut.write_bytes(original.read_bytes()[:1_000_000])
  with pytest.raises(ValueError, match="cut.h5 must be a whole HDF5 file"):
    load(blank, cut)


def test_other_widths_are_refused(original):
  params = dataclasses.replace(PARAMS, width=0.5, input="log_mel")
  with pytest.raises(ValueError, match="width 1.0 only.*layer1_conv"):
    load(yamnet.build(params), original)


# ---- families ---------------------------------------------------------------


def test_family_must_be_known_and_fit(original, tmp_path, blank):
  before = [np.asarray(w) for w in blank.weights]
  with pytest.raises(ValueError, match="family must be.*unknown file origi"):
    load(blank, original, family=None)
  with pytest.raises(ValueError, match="family must be.*received 'gelu'"):
    load(blank, original, family="gelu")
  mismatch = (
    "family must match activation; the weights are 'relu6', the model was "
    "built with 'relu'"
  )
  with pytest.raises(ValueError, match=mismatch):
    load(blank, original, family="relu6", activation="relu")

  path = edited(
    original,
    tmp_path,
    lambda file: file.attrs.update({"yoho_tf_family": "relu"}),
  )
  with pytest.raises(ValueError, match="weights are 'relu'.*with 'relu6'"):
    load(blank, path, family=None)
  with pytest.raises(ValueError, match="family must be 'relu' for edited.h5"):
    load(blank, path, family="relu6")
  for got, expected in zip(blank.weights, before):
    np.testing.assert_array_equal(np.asarray(got), expected)


# ---- test data --------------------------------------------------------------


@pytest.fixture(scope="module")
def data(shared):
  folder = shared / "yamnet"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data/yamnet")
  return folder


@pytest.mark.parametrize(
  ("file", "family"),
  [("yamnet_layout.h5", "relu"), ("yamnet_relu6.h5", "relu6")],
)
def test_known_files_know_their_family(file, family, data, blank):
  assert weights_h5.known_family(data / file) == family
  other = {"relu": "relu6", "relu6": "relu"}[family]
  with pytest.raises(ValueError, match=f"weights are '{family}'.*'{other}'"):
    load(blank, data / file, family=None, activation=other)
  load(blank, data / file, family=None, activation=family)


def test_lite_file_becomes_the_relu6_weights(data, tmp_path):
  path = tmp_path / "lite.h5"
  weights_h5.lite_to_h5(data / "yamnet_lite.tflite", path)
  rows = weights_h5.layout(yamnet.TABLE)
  ours, family = weights_h5.read(path, rows)
  assert family == "relu6" and len(ours) == 110
  theirs, _ = weights_h5.read(data / "yamnet_relu6.h5", rows)
  for name, expected in theirs.items():
    np.testing.assert_allclose(ours[name], expected, rtol=0, atol=1e-6)
  variances = [v for name, v in ours.items() if "moving_variance" in name]
  for variance in variances:
    np.testing.assert_allclose(variance + np.float32(1e-4), 1, atol=1e-7)


def test_other_files_are_no_lite_model(tmp_path, original):
  pytest.importorskip("ai_edge_litert")
  with pytest.raises(ValueError, match="must be a .tflite file.*original.h5"):
    weights_h5.lite_to_h5(original, tmp_path / "out.h5")
  assert not (tmp_path / "out.h5").exists()
