"""Metadata, requirements and extras of yoho_tf: their only home."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version():
  """The version in yoho_tf/__init__.py, without importing the package."""
  text = (HERE / "yoho_tf" / "__init__.py").read_text(encoding="utf-8")
  return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE).group(1)


def read_readme():
  """The README where there is one (it is the project's page on an index)."""
  readme = HERE / "README.md"
  return readme.read_text(encoding="utf-8") if readme.is_file() else ""


# All that inference on the bundled models needs: seconds to install, no
# TensorFlow. export/requirements-edge.txt is this list without pandas and
# matplotlib.
BASE = [
  "numpy>=1.26",
  "soundfile>=0.13",
  "soxr>=0.5",
  "ai-edge-litert>=1.2",
  "tqdm>=4.65",
  "pandas>=2.2",
  "matplotlib>=3.8",
]

EXTRAS = {
  # Training, evaluation on a model, export.
  "train": [
    "keras>=3.12",
    "tensorflow>=2.17,<2.22",
    "h5py>=3.11",
  ],
  # Decoding and resampling inside tf.data. The newest tensorflow-io is built
  # against TensorFlow 2.17 and does not load beside a later one, and that
  # TensorFlow wants numpy 1. There are wheels up to Python 3.11.
  "tfio": [
    "tensorflow-io==0.37.1",
    "tensorflow==2.17.1",
    "keras>=3.12",
    "h5py>=3.11",
    "numpy>=1.26,<2",
  ],
  # Quantisation-aware training, pruning, clustering: in an environment of
  # its own, since it takes Keras 2 models (tf_keras) and an old absl-py.
  "tfmot": [
    "tensorflow-model-optimization==0.8.1",
    "tensorflow>=2.17,<2.22",
    "tf_keras>=2.17,<2.22",
  ],
  # Keras' other backend, KERAS_BACKEND=jax; on a GPU: jax[cuda12].
  "jax": ["keras>=3.12", "jax>=0.4.30", "h5py>=3.11"],
  "resampy": ["resampy>=0.4.3"],  # --resampler resampy, upstream YAMNet's
  "onnx": ["tf2onnx>=1.17", "onnx>=1.17", "onnxruntime>=1.20"],
  "ray": ["ray[data]>=2.40"],  # many files on a cluster
  "mic": ["sounddevice>=0.5"],
  "spatial": ["pyroomacoustics>=0.8"],
  "grounding": ["pillow>=10"],
  "jams": ["jams>=0.3.4"],
  "hub": ["keras-hub>=0.20"],
  # Independent implementations that tests and benchmarks compare with;
  # sed_scores_eval needs a C compiler.
  "parity": [
    "sed_eval==0.2.1",
    "psds_eval==0.5.3",
    "sed_scores_eval==0.0.4",
    "pycocotools>=2.0.8",
    "jams>=0.3.4",
    "crowsetta>=5",
    "scikit-learn>=1.4",
  ],
  "test": [
    "pytest>=8",
    "pytest-xdist>=3.7",
    "hypothesis>=6.100",
    "librosa>=0.11",
    "resampy>=0.4.3",
    "scipy>=1.13",
    "ruff>=0.17.5,<0.18",
    "build>=1.2",
  ],
}
EXTRAS["dev"] = EXTRAS["train"] + EXTRAS["test"]
# Everything that works in one environment; [tfio] and [tfmot] want their own.
EXTRAS["all"] = sorted(
  {
    requirement
    for name, requirements in EXTRAS.items()
    if name not in ("tfio", "tfmot", "parity")
    for requirement in requirements
  }
)

setup(
  name="yoho_tf",
  version=read_version(),
  description="Hears what sounds when: YOHO and YAMNet on Keras and LiteRT",
  long_description=read_readme(),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  license_files=["LICENSE"],
  python_requires=">=3.11,<3.14",
  install_requires=BASE,
  extras_require=EXTRAS,
  # The class maps lie beside the package in a clone and inside it once
  # installed. Nothing else of the root (params, inference, tests) is
  # installed.
  packages=find_packages(include=["yoho_tf", "yoho_tf.*"])
  + ["yoho_tf.class_maps"],
  package_dir={"yoho_tf.class_maps": "class_maps"},
  package_data={
    "yoho_tf.class_maps": ["*.csv", "*.md"],
    "yoho_tf": [
      "weights/*.tflite",
      "weights/*.weights.h5",
      "weights/*.json",
      "weights/*.md",
      "weights/*.csv",
    ],
  },
  include_package_data=False,
  zip_safe=False,
  entry_points={"console_scripts": ["yoho = yoho_tf.cli:main"]},
  classifiers=[
    "Intended Audience :: Science/Research",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Topic :: Multimedia :: Sound/Audio :: Analysis",
  ],
)
