"""What is installed, what it needs, and that it is said in one place."""

import ast
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import yoho_tf
from yoho_tf import cli
from yoho_tf.cli import doctor

ROOT = Path(__file__).resolve().parent.parent
ONLY_FOR_PICTURES_AND_TABLES = {"pandas", "matplotlib"}


@pytest.fixture(scope="module")
def metadata():
  """The arguments that setup.py hands to setup()."""
  setuptools = pytest.importorskip("setuptools")
  given = {}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(setuptools, "setup", given.update)
    patch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
  return given


def distribution(requirement):
  """ "ray[data]>=2.40" -> "ray"."""
  return re.match(r"[A-Za-z0-9_.-]+", requirement).group()


def test_the_version_has_one_home(metadata):
  assert metadata["version"] == yoho_tf.__version__
  assert "[project]" not in (ROOT / "pyproject.toml").read_text()


def test_only_the_package_is_installed(metadata):
  tops = {name.partition(".")[0] for name in metadata["packages"]}
  assert tops == {"yoho_tf"}
  assert not {"py_modules", "scripts", "data_files"} & metadata.keys()
  for folder in (ROOT / "yoho_tf").rglob("*/"):
    if any(folder.glob("*.py")):
      name = ".".join(folder.relative_to(ROOT).parts)
      assert name in metadata["packages"], f"{name} has no __init__.py"


@pytest.mark.edge
def test_the_edge_requirements_are_the_base_without_two():
  base = re.search(
    r"^BASE = (\[.*?^\])", (ROOT / "setup.py").read_text(), re.M | re.S
  ).group(1)
  base = ast.literal_eval(base)
  lines = (ROOT / "export" / "requirements-edge.txt").read_text().splitlines()
  edge = [line for line in lines if line and not line.startswith("#")]
  assert edge == [
    requirement
    for requirement in base
    if distribution(requirement) not in ONLY_FOR_PICTURES_AND_TABLES
  ]
  assert not any("tensorflow" in line or "keras" in line for line in base)


def test_the_lower_bounds_are_the_versions_that_ci_tries(metadata):
  wanted = metadata["install_requires"] + metadata["extras_require"]["tfio"]
  bounds = dict(
    re.match(r"([\w-]+)[>=]=([\d.]+)", item).groups() for item in wanted
  )
  lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
  tried = dict(line.split("==") for line in lines if not line.startswith("#"))
  assert tried.keys() == bounds.keys()
  for name, version in tried.items():
    assert version == bounds[name] or version == f"{bounds[name]}.0", name


def test_doctor_knows_every_requirement(metadata):
  def names(requirements):
    return {distribution(requirement) for requirement in requirements}

  assert set(doctor.BASE) == names(metadata["install_requires"])
  extras = metadata["extras_require"]
  assert set(doctor.EXTRAS) == set(extras) - {"all", "dev"}
  for extra, (distributions, _) in doctor.EXTRAS.items():
    assert set(distributions) == names(extras[extra]) - {"numpy"}
  assert set(cli.EXTRA_OF_PACKAGE.values()) <= set(extras)


def test_every_command_of_the_table_has_a_module():
  for module, text in cli.COMMANDS.values():
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    assert text


def test_the_licence_is_the_whole_apache_licence():
  text = (ROOT / "LICENSE").read_text(encoding="utf-8")
  assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text


@pytest.mark.large
def test_wheel_and_source_distribution_hold_what_they_should(tmp_path):
  pytest.importorskip("build")
  # The wheel is built from the unpacked source distribution, not from here.
  subprocess.run(
    [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)],
    check=True,
    capture_output=True,
  )
  (wheel,) = tmp_path.glob("*.whl")
  (source,) = tmp_path.glob("*.tar.gz")
  installed = set(zipfile.ZipFile(wheel).namelist())
  tops = {name.partition("/")[0] for name in installed}
  assert tops == {"yoho_tf", f"yoho_tf-{yoho_tf.__version__}.dist-info"}
  with tarfile.open(source) as archive:
    sources = {name.partition("/")[2] for name in archive.getnames()}

  def tracked(pattern):
    return {str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)}

  assert tracked("yoho_tf/**/*.py") <= installed & sources
  weights = tracked("yoho_tf/weights/*.*")
  assert weights <= installed & sources
  class_maps = tracked("class_maps/*.csv")
  assert class_maps <= sources
  assert {f"yoho_tf/{name}" for name in class_maps} <= installed
  for pattern in ("*.py", "examples/*.*", "tests/**/*.py", "export/*.*"):
    assert tracked(pattern) <= sources
  for name in ("LICENSE", "README.md", "pyproject.toml", ".ci/run"):
    assert name in sources
