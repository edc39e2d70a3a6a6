"""The arrow: imports point one way only, and start-up stays light.

root scripts -> cli -> training, deploy, streaming, corpus, hub -> data
-> models -> layers, losses, matching -> numpy side -> params, labels
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("tensorflow", "keras")

# The top part of a module below yoho_tf -> its height. An import, wherever in
# the file it stands, reaches for the same height or a lower one.
HEIGHT = {
  name: height
  for height, names in enumerate(
    [
      "params labels files published",
      "audio audio_checks resampling windows events intervals annotations "
      "results formats writers readers viz metrics",
      "layers losses matching",
      "models weights_h5 weights_yoho_h5",
      "data",
      "training deploy streaming stream_readers corpus hub predictor bench",
      "cli",
    ]
  )
  for name in names.split()
}
NUMPY_SIDE = [name for name, height in HEIGHT.items() if height <= 1]
# These may import Keras or TensorFlow inside a function, when asked to.
LIGHT_AT_START = (
  "hub predictor deploy.runtime deploy.opening deploy.backends deploy.composed "
  "deploy.manifest deploy.waveforms deploy.metadata streaming corpus cli models"
).split()
# Everywhere else it is keras.ops.
TENSORFLOW_ALLOWED = (
  "bench.predict_worker",
  "data.pipeline",
  "deploy",
  "training.distribution",
)


def name_of(path):
  """yoho_tf/deploy/runtime.py -> "deploy.runtime"."""
  parts = path.relative_to(ROOT / "yoho_tf").with_suffix("").parts
  return ".".join(part for part in parts if part != "__init__")


def imports_of(path):
  """The imports of a file: [(absolute module name, is at module level)]."""
  tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
  inside = {
    id(node)
    for function in ast.walk(tree)
    if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for node in ast.walk(function)
  }
  found = []
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}:{node.lineno}: relative import"
      names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
      continue
    found += [(name, id(node) not in inside) for name in names]
  return found


def is_below(name, parents):
  """Whether the dotted name is one of the parents, or inside one."""
  return any(name == p or name.startswith(f"{p}.") for p in parents)


MODULES = sorted(
  path
  for path in (ROOT / "yoho_tf").rglob("*.py")
  if name_of(path) not in ("", "__main__")
)
SCRIPTS = sorted(
  path
  for folder in (ROOT, ROOT / "export")
  for path in folder.glob("*.py")
  if path.name != "setup.py"
)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_keeps_to_the_arrow(path):
  name = name_of(path)
  own_top = name.partition(".")[0]
  assert own_top in HEIGHT, f"give {own_top} its place in HEIGHT"
  own_height = HEIGHT[own_top]
  for imported, at_module_level in imports_of(path):
    top, _, rest = imported.partition(".")
    if top == "yoho_tf":
      height = HEIGHT.get(rest.partition(".")[0], 0)  # 0: of the root itself
      assert height <= own_height, f"{name} imports {imported}"
    if top == "tensorflow":
      assert is_below(name, TENSORFLOW_ALLOWED), f"{name} imports {imported}"
    if top in HEAVY:
      assert not is_below(name, NUMPY_SIDE), f"{name} imports {imported}"
      light = is_below(name, LIGHT_AT_START) and at_module_level
      assert not light, f"{name} imports {imported} at its top"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_the_package_and_little_else(path):
  tops = {imported.partition(".")[0] for imported, _ in imports_of(path)}
  assert tops <= {"yoho_tf", "sys", "pathlib"}


@pytest.mark.edge
@pytest.mark.parametrize(
  ("module", "absent"),
  [
    ("yoho_tf", [*HEAVY, "numpy", "pandas", "matplotlib"]),
    ("yoho_tf.cli", [*HEAVY, "numpy", "pandas", "matplotlib"]),
    ("yoho_tf.cli.predict", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.cli.stream", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.streaming", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.cli.models", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.corpus", [*HEAVY, "pandas", "matplotlib", "ray"]),
    ("yoho_tf.results", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.readers", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.writers", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.cli.convert", [*HEAVY, "numpy", "pandas", "matplotlib"]),
    ("yoho_tf.data.synth.dataset", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.cli.data_synth", [*HEAVY, "numpy", "pandas", "matplotlib"]),
    ("yoho_tf.cli.data", [*HEAVY, "numpy", "pandas", "matplotlib"]),
    ("yoho_tf.data.prepare", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.data.augment", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.data.folder", [*HEAVY, "pandas", "matplotlib"]),
    ("yoho_tf.cli.train", [*HEAVY, "pandas", "matplotlib"]),
  ],
)
def test_importing_leaves_the_heavy_packages_alone(module, absent):
  code = f"import {module}, sys; print(*(set({absent}) & set(sys.modules)))"
  done = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == []
