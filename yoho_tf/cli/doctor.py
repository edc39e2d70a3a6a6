"""`yoho doctor`: what is installed, what is missing, do the models answer.

Base packages are really imported, since a broken shared library shows only
then. Packages of the extras are looked up and not imported: TensorFlow alone
takes seconds.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path

import yoho_tf

# The bundled models. yoho_tf.hub knows them too, but cannot be imported where
# a base package is broken, and that is what this command is to find.
WEIGHTS_FOLDER = Path(yoho_tf.__file__).resolve().parent / "weights"

# Distribution -> what is lost without it; None: nothing works without it.
BASE = {
  "numpy": None,
  "soundfile": None,
  "soxr": None,
  "ai-edge-litert": None,
  "tqdm": None,
  "pandas": "no to_df()",
  "matplotlib": "no plot()",
}

# Extra -> (its distributions, what it is for). setup.py has the versions.
EXTRAS = {
  "train": (("keras", "tensorflow", "h5py"), "training, evaluation, export"),
  "tfio": (
    ("tensorflow-io", "tensorflow", "keras", "h5py"),
    "decoding inside tf.data; TensorFlow 2.17 and Python 3.11 only",
  ),
  "tfmot": (
    ("tensorflow-model-optimization", "tensorflow", "tf_keras"),
    "quantisation-aware training, in an environment of its own",
  ),
  "jax": (("keras", "jax", "h5py"), "Keras' other backend"),
  "resampy": (("resampy",), "upstream YAMNet's resampler"),
  "onnx": (("tf2onnx", "onnx", "onnxruntime"), "ONNX export and inference"),
  "ray": (("ray",), "many files on a cluster"),
  "mic": (("sounddevice",), "the microphone"),
  "spatial": (("pyroomacoustics",), "simulated rooms"),
  "grounding": (("pillow",), "pictures"),
  "jams": (("jams",), "checking JAMS annotations"),
  "hub": (("keras-hub",), "pretrained text towers"),
  "parity": (
    (
      "sed_eval",
      "psds_eval",
      "sed_scores_eval",
      "pycocotools",
      "jams",
      "crowsetta",
      "scikit-learn",
    ),
    "comparisons with other implementations",
  ),
  "test": (
    (
      "pytest",
      "pytest-xdist",
      "hypothesis",
      "librosa",
      "resampy",
      "scipy",
      "ruff",
      "build",
    ),
    "running the tests",
  ),
}

# Extra -> {distribution: (what its version begins with)}, where others are
# installed without complaint and then do not load.
VERSIONS = {"tfio": {"tensorflow": ("2.16.", "2.17.")}}

# Where the import name is not the distribution's with underscores.
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn"}


def import_name(distribution):
  """The name that `import` takes."""
  return IMPORT_NAMES.get(distribution, distribution.replace("-", "_"))


def check_package(distribution, *, try_import):
  """Looks a package up.

  Args:
    distribution: its name on the package index.
    try_import: import it, not only find it.

  Returns:
    dict: version (None where it is not installed) and error ("" where it
    can be imported, else one line).
  """
  name = import_name(distribution)
  try:
    version = importlib.metadata.version(distribution)
  except importlib.metadata.PackageNotFoundError:
    version = None
  error = ""
  if try_import:
    try:
      importlib.import_module(name)
    except Exception as problem:  # a broken library raises anything
      error = f"{type(problem).__name__}: {problem}".splitlines()[0]
  elif importlib.util.find_spec(name) is None:
    error = f"no module named {name!r}"
  return {"version": version, "error": error}


def check_model(path):
  """Runs one .tflite file on silence.

  Returns:
    One line that says what is wrong, or "".
  """
  try:
    import numpy as np

    from yoho_tf import hub

    found = hub.load(path).predict(np.zeros(16_000, np.float32))
    if not np.isfinite(found.scores).all():
      return "scores are not finite on silence"
    if len(found.events):
      return f"hears {found.events[0].label!r} in silence"
  except Exception as problem:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]
  return ""


def examine():
  """Everything the report says, as plain Python values.

  Returns:
    dict: yoho_tf, python, platform, keras_backend (str); base {name: version,
    error, loss}; extras {name: purpose, packages {name: version, error},
    missing [names], install}; models {file: error}; ok (bool).
  """
  base = {
    name: {**check_package(name, try_import=True), "loss": loss}
    for name, loss in BASE.items()
  }
  extras = {}
  for extra, (distributions, purpose) in EXTRAS.items():
    packages = {
      name: check_package(name, try_import=False) for name in distributions
    }
    missing = [name for name, found in packages.items() if found["error"]]
    missing += [
      f"{name} {' or '.join(f'{begin}x' for begin in begins)}"
      for name, begins in VERSIONS.get(extra, {}).items()
      if not packages[name]["error"]
      and not (packages[name]["version"] or "").startswith(begins)
    ]
    extras[extra] = {
      "purpose": purpose,
      "packages": packages,
      "missing": missing,
      "install": f"pip install '.[{extra}]'" if missing else "",
    }
  models = {
    path.name: check_model(path)
    for path in sorted(WEIGHTS_FOLDER.glob("*.tflite"))
  }
  broken = [name for name in base if is_broken(base[name])]
  broken += [name for name, error in models.items() if error]
  return {
    "yoho_tf": yoho_tf.__version__,
    "python": platform.python_version(),
    "platform": platform.platform(),
    "keras_backend": os.environ.get("KERAS_BACKEND", ""),
    "base": base,
    "extras": extras,
    "models": models,
    "ok": not broken,
  }


def is_broken(package):
  """Whether a base package that nothing works without cannot be imported.

  pandas and matplotlib may be absent (requirements-edge.txt), but where they
  are installed they must import.
  """
  optional = package["loss"] is not None
  absent = package["version"] is None
  return bool(package["error"]) and not (optional and absent)


def format_report(report):
  """The report as text, one fact a line."""
  backend = report["keras_backend"] or "not set (Keras takes tensorflow)"
  lines = [
    f"yoho_tf   {report['yoho_tf']}",
    f"Python    {report['python']}",
    f"platform  {report['platform']}",
    f"KERAS_BACKEND  {backend}",
    "",
    "base",
  ]
  for name, found in report["base"].items():
    state = "BROKEN" if is_broken(found) else "missing"
    state = state if found["error"] else "ok"
    why = found["error"]
    if state == "missing":
      why = found["loss"]
    lines.append(
      f"  {state:7}  {name:15} {found['version'] or '-':10} {why}".rstrip()
    )
  lines += ["", "extras"]
  for name, extra in report["extras"].items():
    versions = ", ".join(
      f"{package} {found['version'] or ''}".rstrip()
      for package, found in extra["packages"].items()
      if not found["error"]
    )
    state = "missing" if extra["missing"] else "ok"
    lines.append(f"  {state:7}  {name:15} {extra['purpose']}")
    if versions:
      lines.append(f"{'':27}has {versions}")
    if extra["missing"]:
      lines.append(f"{'':27}lacks {', '.join(extra['missing'])}")
      lines.append(f"{'':27}{extra['install']}")
  lines += ["", "bundled models, on silence"]
  for name, error in report["models"].items():
    lines.append(f"  {'BROKEN' if error else 'ok':7}  {name} {error}".rstrip())
  if not report["models"]:
    lines.append("  none")
  lines += ["", "all is well" if report["ok"] else "the base is broken"]
  return "\n".join(lines)


def main(argv=None, prog="yoho doctor"):
  """Prints the report; returns 1 if the base is broken, else 0."""
  parser = argparse.ArgumentParser(
    prog=prog, description="Checks this installation."
  )
  parser.add_argument("--json", action="store_true", help="print JSON")
  options = parser.parse_args(argv)
  report = examine()
  if options.json:
    print(json.dumps(report, indent=2))
  else:
    print(format_report(report))
  return 0 if report["ok"] else 1
