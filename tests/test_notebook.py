"""The notebook runs as it stands, with the base install alone."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

# Runs the cells one after the other, as a kernel would, and says what it did.
RUNNER = """
import json, sys

cells, names = json.loads(sys.stdin.read()), {}
for name, source in cells:
  exec(compile(source, f"<cell {name}>", "exec"), names)
plt = names["plt"]
print(json.dumps({
  "axes": [len(plt.figure(n).axes) for n in plt.get_fignums()],
  "titles": [ax.get_title(loc="left") for ax in names["rows"]],
  "heavy": sorted({"tensorflow", "keras", "jax"} & set(sys.modules)),
}))
"""


@pytest.fixture(scope="module")
def notebook(repository):
  text = (repository / "yoho_visualization.ipynb").read_text(encoding="utf-8")
  return json.loads(text)


def code_cells(notebook):
  return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_every_cell_runs_without_tensorflow(notebook, repository):
  cells = [(c["id"], "".join(c["source"])) for c in code_cells(notebook)]
  done = subprocess.run(
    [sys.executable, "-c", RUNNER],
    input=json.dumps(cells),
    capture_output=True,
    text=True,
    cwd=repository,
    env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(repository)},
  )
  assert done.returncode == 0, done.stderr
  *printed, last = done.stdout.splitlines()
  said = json.loads(last)
  assert said["heavy"] == []
  # Spectrogram, scores, spectrogram over events, three thresholds.
  assert said["axes"] == [1, 1, 2, 3]
  counts = [int(title.split()[-2]) for title in said["titles"]]
  assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] > 0
  labels = ("Tick-tock", "Speech", "Music")
  for label in labels:  # its score, and how much of it was heard
    assert sum(line.startswith(label) for line in printed) == 2


def test_it_is_stored_without_outputs(notebook):
  assert notebook["nbformat"] == 4
  assert len({cell["id"] for cell in notebook["cells"]}) == len(
    notebook["cells"]
  )
  for cell in code_cells(notebook):
    assert cell["outputs"] == [] and cell["execution_count"] is None
    assert cell["metadata"] == {}
