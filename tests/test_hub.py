"""Models by name; published files fetched once and checked."""

import dataclasses
import functools
import hashlib
import http.server
import json
import shutil
import socket
import sys
import threading

import numpy as np
import pytest

import yoho_tf
from yoho_tf import hub
from yoho_tf.deploy import metadata
from yoho_tf.labels import ClassMap
from yoho_tf.params import PRESETS, to_json

edge = pytest.mark.edge
DATA = b"published bytes " * 1000


def names(folder):
  return sorted(path.name for path in folder.iterdir())


# ---- names ------------------------------------------------------------------


@edge
def test_bundled_models_come_first_and_yamnet_is_there():
  found = hub.list_models()
  assert found[0] == "yoho_everyday" and found[: len(hub.bundled())] == list(
    hub.bundled()
  )
  assert {"yamnet", "yamnet_audioset", "yamnet_audioset_relu6"} < set(found)
  assert "yamnet_lite" in found and len(set(found)) == len(found)
  assert yoho_tf.list_models() == found


@edge
def test_every_bundled_model_loads_without_keras():
  for name, facts in hub.bundled().items():
    model = hub.load(name)
    assert model.name == name
    assert model.labels == PRESETS[name.removesuffix(hub.INT8)].labels
    assert (hub.WEIGHTS / f"{name}.tflite").stat().st_size == facts["bytes"]


@edge
def test_the_package_loads_as_the_hub_does():
  model = yoho_tf.load("yoho_everyday", num_threads=1)
  assert model.params == hub.load("yoho_everyday").params


@edge
@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("yoho_everday", "model must be.*did you mean 'yoho_everyday'"),
    ("clip.wav", "model must be one of.*'clip.wav'"),
    ("", "model must be one of"),
    ("yoho_music_speech", "weights must be given for 'yoho_music_speech'"),
    ("absent.tflite", "model must be a file; got 'absent.tflite'"),
  ],
)
def test_a_name_that_cannot_be_loaded_is_one_line(name, message):
  with pytest.raises(ValueError, match=message) as error:
    hub.load(name)
  assert "\n" not in str(error.value)


@edge
def test_a_tflite_of_others_is_refused(tmp_path):
  data = (hub.WEIGHTS / "yoho_everyday.tflite").read_bytes()
  bare = tmp_path / "bare.tflite"  # the model without what is behind it
  bare.write_bytes(data[: data.index(b"PK\x03\x04")])
  with pytest.raises(ValueError, match=r"with params.json inside.*bare.tflite"):
    hub.load(bare)
  bare.write_bytes(metadata.pack(bare.read_bytes(), {"params.json": "{}"}))
  with pytest.raises(ValueError, match="params must name a system"):
    hub.load(bare)


@edge
def test_a_copy_of_a_bundled_file_loads_by_its_path(tmp_path):
  path = tmp_path / "mine.tflite"
  shutil.copy(hub.WEIGHTS / "yoho_everyday.tflite", path)
  for same in (path, str(path)):
    model = hub.load(same)
    assert model.name == str(path)
    assert model.params == hub.load("yoho_everyday").params


# ---- settings ---------------------------------------------------------------


@edge
def test_a_setting_for_all_labels_replaces_what_was_tuned_per_label():
  tuned = {"low": 0.2, "threshold": 0.7}
  params = dataclasses.replace(
    PRESETS["yoho_everyday"],
    postprocess=dataclasses.replace(
      PRESETS["yoho_everyday"].postprocess,
      per_label={"Music": tuned, "Speech": tuned},
    ),
  )
  model = dataclasses.replace(hub.load("yoho_everyday"), params=params)
  post = hub.configured(model, {"postprocess.threshold": "0.4"})
  post = post.params.postprocess
  assert {post.for_label(label).threshold for label in model.labels} == {0.4}
  assert post.for_label("Music").low == 0.2  # what was not asked for stays
  one = hub.configured(
    model,
    {
      "postprocess.threshold": 0.4,
      "postprocess.per_label.Music.threshold": 0.9,
    },
  ).params.postprocess
  assert one.for_label("Music").threshold == 0.9
  assert one.for_label("Speech").threshold == 0.4
  assert hub.configured(model, {}) == model


@edge
@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"postprocess.treshold": 0.5}, "did you mean 'threshold'"),
    ({"postprocess.low": "much"}, "must be of type float; received 'much'"),
    ({"postprocess.low": 1.5}, r"postprocess.low must lie in \(0, 1\)"),
    ({"frontend.mel_bands": 128}, "part of the trained network"),
    ({"inference.discard_left_cells": 3}, "at least 7, 8"),
    ({"postprocess.per_label.Music.hue": 1}, "have keys among"),
  ],
)
def test_settings_that_cannot_be_are_named(settings, message):
  with pytest.raises(ValueError, match=message):
    hub.load("yoho_everyday", settings=settings)


# ---- published files --------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
  folder = tmp_path / "cache"
  monkeypatch.setenv("YOHO_TF_CACHE", str(folder))
  monkeypatch.setenv("no_proxy", "127.0.0.1")
  return folder


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers with the server's `data`, and counts."""

  def do_GET(self):  # noqa: N802
    self.server.num_requests += 1
    self.send_response(self.server.status)
    self.end_headers()
    self.wfile.write(self.server.data)

  def log_message(self, *args):
    pass


@pytest.fixture
def server():
  server = http.server.HTTPServer(("127.0.0.1", 0), _Handler)
  server.data, server.status, server.num_requests = DATA, 200, 0
  thread = threading.Thread(
    target=functools.partial(server.serve_forever, poll_interval=0.01)
  )
  thread.start()
  yield server
  server.shutdown()
  thread.join()
  server.server_close()


def publish(monkeypatch, url, data=DATA, name="a.bin"):
  entry = hub.Published(url, len(data), hashlib.sha256(data).hexdigest())
  monkeypatch.setitem(hub.PUBLISHED, name, entry)


@pytest.fixture
def published(server, monkeypatch):
  url = f"http://127.0.0.1:{server.server_port}/a.bin"
  publish(monkeypatch, url)
  return url


@edge
def test_a_file_is_fetched_once(published, server, cache):
  for _ in range(2):
    path = hub.fetch("a.bin")
    assert path == cache / "a.bin" and path.read_bytes() == DATA
  assert server.num_requests == 1
  assert names(cache) == ["a.bin"]


@edge
def test_a_cached_file_that_was_damaged_is_fetched_again(
  published, server, cache
):
  hub.fetch("a.bin").write_bytes(DATA[:-1])
  assert hub.fetch("a.bin").read_bytes() == DATA
  assert server.num_requests == 2


@edge
@pytest.mark.parametrize(
  "wrong", [DATA[:-1], DATA + b"!", b"", b"x" + DATA[1:], b"<html>404</html>"]
)
def test_a_wrong_file_is_kept_as_rejected(wrong, published, server, cache):
  server.data = wrong
  with pytest.raises(ValueError) as error:
    hub.fetch("a.bin")
  text = str(error.value)
  assert text.startswith(f"a.bin must have {len(DATA)} bytes and sha256 ")
  assert hashlib.sha256(DATA).hexdigest() in text
  assert f"got {len(wrong)} and {hashlib.sha256(wrong).hexdigest()}" in text
  assert text.endswith("a.bin.rejected") and "\n" not in text
  assert names(cache) == ["a.bin.rejected"]
  assert (cache / "a.bin.rejected").read_bytes() == wrong
  server.data = DATA  # and nothing stands in the way of the right one
  assert hub.fetch("a.bin").read_bytes() == DATA


@edge
def test_no_connection_names_the_address_and_the_way_out(monkeypatch, cache):
  with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.bin"
  publish(monkeypatch, url)
  with pytest.raises(OSError) as error:
    hub.fetch("a.bin")
  text = str(error.value)
  assert url in text and "--weights" in text and "\n" not in text
  assert names(cache) == []


@edge
def test_a_server_that_refuses_is_named_too(published, server, cache):
  server.status = 404
  with pytest.raises(OSError, match="a.bin must be fetched.*Not Found"):
    hub.fetch("a.bin")
  assert names(cache) == []


@edge
def test_an_answer_that_is_no_http_is_an_error_too(monkeypatch, cache):
  with socket.create_server(("127.0.0.1", 0)) as listener:

    def answer():
      connection, _ = listener.accept()
      connection.recv(4096)
      connection.sendall(b"nonsense\r\n\r\n")
      connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.bin"
    publish(monkeypatch, url)
    with pytest.raises(OSError, match="a.bin must be fetched"):
      hub.fetch("a.bin")
    thread.join()


@edge
def test_a_file_address_works_as_well(monkeypatch, cache, tmp_path):
  (tmp_path / "there.bin").write_bytes(DATA)
  publish(monkeypatch, (tmp_path / "there.bin").as_uri())
  assert hub.fetch("a.bin").read_bytes() == DATA


@edge
def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
  monkeypatch.setenv("YOHO_TF_CACHE", str(tmp_path / "own" / "deep"))
  assert hub.cache_folder() == tmp_path / "own" / "deep"
  assert hub.cache_folder().is_dir()
  for none in ("", None):
    if none is None:
      monkeypatch.delenv("YOHO_TF_CACHE")
    else:
      monkeypatch.setenv("YOHO_TF_CACHE", none)
    assert hub.cache_folder() == tmp_path / "xdg" / "yoho_tf"
  monkeypatch.setenv("XDG_CACHE_HOME", "")
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  assert hub.cache_folder() == tmp_path / "home" / ".cache" / "yoho_tf"


@edge
def test_the_published_entries_are_whole():
  for name, entry in hub.PUBLISHED.items():
    assert entry.url.startswith("https://"), name
    assert len(bytes.fromhex(entry.sha256)) == 32, name
    assert entry.num_bytes > 10_000, name


# ---- YAMNet -----------------------------------------------------------------

CLASSES = 521


@pytest.fixture(scope="module")
def yamnet_folder(tmp_path_factory):
  """Weights of both families with drawn numbers, and a class map beside."""
  pytest.importorskip("keras")
  from tests import harness
  from yoho_tf import weights_h5
  from yoho_tf.models import yamnet

  folder = tmp_path_factory.mktemp("yamnet")
  model = yamnet.build(
    dataclasses.replace(PRESETS["yamnet_audioset"], input="log_mel")
  )
  harness.assign(model, harness.synthetic_weights())
  for family in ("relu", "relu6"):
    weights_h5.write_weights(model, folder / f"{family}.h5", family=family)
  weights_h5.write_weights(model, folder / "unknown.h5", family="unknown")
  import h5py

  with h5py.File(folder / "unknown.h5", "r+") as file:
    del file.attrs[weights_h5.FAMILY_ATTRIBUTE]
  class_map = ClassMap(tuple(f"class {i}" for i in range(CLASSES)))
  class_map.write(folder / "yamnet_class_map.csv")
  return folder


@pytest.mark.parametrize("family", ["relu", "relu6"])
def test_yamnet_takes_the_family_of_its_weights(family, yamnet_folder):
  model = hub.load("yamnet", weights=yamnet_folder / f"{family}.h5")
  assert model.params.activation == family
  assert model.labels == tuple(f"class {i}" for i in range(CLASSES))
  scores = model.predict(np.zeros(16000, np.float32)).scores
  assert scores.shape == (2, CLASSES)


def test_a_preset_refuses_the_other_family(yamnet_folder):
  with pytest.raises(ValueError, match="weights are 'relu6'.*built with 'relu"):
    hub.load("yamnet_audioset", weights=yamnet_folder / "relu6.h5")


def test_an_unknown_family_must_be_stated(yamnet_folder):
  weights = yamnet_folder / "unknown.h5"
  with pytest.raises(ValueError, match="family must be 'relu' or 'relu6'"):
    hub.load("yamnet", weights=weights)
  model = hub.load("yamnet", weights=weights, family="relu6")
  assert model.params.activation == "relu6"


def test_the_class_map_beside_the_weights_must_fit(yamnet_folder, tmp_path):
  shutil.copy(yamnet_folder / "relu.h5", tmp_path)
  ClassMap(("one", "two")).write(tmp_path / "yamnet_class_map.csv")
  with pytest.raises(ValueError, match="logits.*shape"):
    hub.load("yamnet", weights=tmp_path / "relu.h5")


def test_without_a_class_map_beside_the_published_one_is_used(
  yamnet_folder, tmp_path, monkeypatch, cache
):
  shutil.copy(yamnet_folder / "relu.h5", tmp_path)
  class_map = ClassMap(tuple(f"published {i}" for i in range(CLASSES)))
  class_map.write(tmp_path / "map.csv")
  publish(
    monkeypatch,
    (tmp_path / "map.csv").as_uri(),
    (tmp_path / "map.csv").read_bytes(),
    "yamnet_class_map.csv",
  )
  model = hub.load("yamnet", weights=tmp_path / "relu.h5")
  assert model.labels == class_map.names
  assert names(cache) == ["yamnet_class_map.csv"]


def test_published_weights_are_fetched_when_none_are_given(
  yamnet_folder, monkeypatch, cache
):
  for file, name in (
    ("relu.h5", "yamnet.h5"),
    ("yamnet_class_map.csv", "yamnet_class_map.csv"),
  ):
    path = yamnet_folder / file
    publish(monkeypatch, path.as_uri(), path.read_bytes(), name)
  model = hub.load("yamnet")
  assert model.params.activation == "relu"
  assert names(cache) == ["yamnet.h5", "yamnet_class_map.csv"]


@pytest.mark.parametrize("name", ["yamnet", "yamnet_audioset", "yoho_urban"])
def test_weights_that_are_not_there_are_named(name, tmp_path, cache):
  pytest.importorskip("keras")
  with pytest.raises(ValueError, match="weights must be a file.*absent.h5"):
    hub.load(name, weights=tmp_path / "absent.h5")
  assert not cache.exists()  # nothing was fetched first


def test_without_keras_the_extra_is_named(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, "keras", None)
  (tmp_path / "a.h5").write_bytes(b"")
  with pytest.raises(ValueError, match=r"'yamnet' runs through Keras.*\[train"):
    hub.load("yamnet", weights=tmp_path / "a.h5")


def test_the_hop_of_patches_is_a_setting(yamnet_folder):
  model = hub.load(
    "yamnet",
    weights=yamnet_folder / "relu.h5",
    settings={"patch_hop_seconds": 0.24},
  )
  tags = model.predict(np.zeros(32000, np.float32))
  np.testing.assert_allclose(np.diff(tags.start), 0.24)


# ---- the Lite model ---------------------------------------------------------


@pytest.fixture(scope="module")
def yamnet_data(shared):
  folder = shared / "yamnet"
  if not folder.is_dir():
    pytest.skip("test data absent: ../shared/data/yamnet")
  return folder


def test_lite_to_h5_is_a_command(yamnet_data, tmp_path, capsys):
  pytest.importorskip("h5py")
  out = tmp_path / "out.h5"
  lite = str(yamnet_data / "yamnet_lite.tflite")
  assert hub.main(["lite-to-h5", lite, str(out)]) == 0
  assert out.stat().st_size > 14e6
  assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
  ("argv", "code", "message"),
  [
    ([], 2, "usage: "),
    (["lite-to-h5", "only.tflite"], 2, "usage: "),
    (["h5-to-lite", "a", "b"], 2, "usage: "),
    (["lite-to-h5", "absent.tflite", "b.h5"], 1, "absent.tflite"),
    (["lite-to-h5", __file__, "b.h5"], 1, "must be a .tflite file"),
  ],
)
def test_lite_to_h5_says_what_is_wrong(
  argv, code, message, tmp_path, monkeypatch, capsys
):
  pytest.importorskip("h5py")
  monkeypatch.chdir(tmp_path)
  assert hub.main(argv) == code
  out, error = capsys.readouterr()
  assert out == "" and message in error and error.count("\n") == 1
  assert names(tmp_path) == []


def test_the_relu6_preset_is_made_from_the_lite_file(
  yamnet_data, monkeypatch, cache
):
  pytest.importorskip("keras")
  for name in ("yamnet_lite.tflite", "yamnet_class_map.csv"):
    path = yamnet_data / name
    entry = dataclasses.replace(hub.PUBLISHED[name], url=path.as_uri())
    monkeypatch.setitem(hub.PUBLISHED, name, entry)  # with the true digest
  model = hub.load("yamnet_audioset_relu6")
  assert model.params.activation == "relu6"
  assert model.labels[0] == "Speech" and len(model.labels) == CLASSES
  files = ["yamnet_class_map.csv", "yamnet_lite.tflite", "yamnet_relu6.h5"]
  assert names(cache) == files
  lite = hub.load("yamnet_lite")  # from the cache
  assert lite.labels == model.labels


@edge
def test_a_model_card_is_plain_json():
  text = json.dumps(hub.bundled())
  assert "NaN" not in text
  assert to_json(hub.load("yoho_everyday").params)
