"""export/android.md and export/coral.md: what they say runs, as far as it can.

Blocks marked `bash` and `python` are run as they stand; Kotlin that needs no
Android is compiled where `kotlinc` is on PATH. Indented blocks need a device,
a compiler or a file that is not at hand, and are only read.
"""

import ast
import dataclasses
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from yoho_tf.deploy import edgetpu, golden
from yoho_tf.models import yoho, yoho_stream, yoho_windows
from yoho_tf.params import PRESETS, PostprocessParams

GUIDES = ("android", "coral")
BASE = PRESETS["yoho_everyday"]


@pytest.fixture(scope="module")
def guides(repository):
  return {
    name: (repository / "export" / f"{name}.md").read_text(encoding="utf-8")
    for name in GUIDES
  }


def blocks(text, *languages):
  """[(language, code)] of the fenced blocks, in order."""
  found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
  return [(language, code) for language, code in found if language in languages]


# ---- as they stand ----------------------------------------------------------


@pytest.mark.export
@pytest.mark.parametrize("name", GUIDES)
def test_its_commands_run(name, guides, repository, tmp_path):
  """In the order of the guide, in a folder where only examples/ lies."""
  pytest.importorskip("tensorflow")
  (tmp_path / "examples").symlink_to(repository / "examples")
  (tmp_path / "bin").mkdir()
  yoho_command = tmp_path / "bin" / "yoho"
  python = shlex.quote(sys.executable)
  yoho_command.write_text(f'#!/bin/sh\nexec {python} -m yoho_tf "$@"\n')
  yoho_command.chmod(0o755)
  environment = {
    **os.environ,
    "PYTHONPATH": str(repository),
    "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
  }
  program = []  # python blocks share their names, as in a notebook
  for language, code in blocks(guides[name], "bash", "python"):
    if language == "python":
      program.append(code)
      continue
    assert not program, "commands come before Python here"
    run(["bash", "-euc", code], tmp_path, environment)
  run([sys.executable, "-c", "\n".join(program)], tmp_path, environment)


def run(command, folder, environment):
  done = subprocess.run(
    command, cwd=folder, env=environment, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stdout + done.stderr


# ---- what can be told without running ---------------------------------------


@pytest.mark.parametrize("name", GUIDES)
def test_python_names_what_exists(name, guides):
  imported = 0
  for _, code in blocks(guides[name], "python"):
    for node in ast.walk(ast.parse(code)):
      if isinstance(node, ast.ImportFrom) and node.module.startswith("yoho_tf"):
        module = importlib.import_module(node.module)
        for alias in node.names:
          if not hasattr(module, alias.name):
            importlib.import_module(f"{node.module}.{alias.name}")
          imported += 1
  assert imported


@pytest.mark.parametrize("name", GUIDES)
def test_it_says_what_was_not_tried(name, guides):
  assert re.search(r"\*\*No (phone|Edge TPU)", guides[name])
  assert "\n## " in guides[name] and "Untested\n" in guides[name]


def test_coral_lists_the_operators_that_are_checked(guides):
  rows = re.findall(r"\| ([A-Z][A-Z_0-9]+) \| (\d+) ", guides["coral"])
  assert {name: int(version) for name, version in rows} == edgetpu.OPERATORS


def test_android_has_the_right_lengths(guides):
  text = guides["android"]
  frames = int(re.search(r"--frames (\d+) --golden", text)[1])
  cells = frames // BASE.STRIDE_FRAMES
  samples = cells * BASE.cell_samples + BASE.extra_samples
  plan = BASE.inference
  assert f"| {samples:,} | {samples / 16000:.3f} | {cells} cells" in text
  cell = {"cellSamples": BASE.cell_samples, "extraSamples": BASE.extra_samples}
  windows = {
    "windowCells": cells,
    "left": plan.discard_left_cells,
    "right": plan.discard_right_cells,
  }
  steps = {"lookaheadCells": yoho_stream.LOOKAHEAD_CELLS}
  code = {re.match(r"// (\w+)\.kt", c)[1]: c for _, c in kotlin(guides)}
  for name, defaults in (
    ("YohoWindows", cell | windows),
    ("YohoSteps", cell | steps),
    ("YohoStream", {"stateSize": f"{num_state_values():_}"}),
  ):
    for key, value in defaults.items():
      assert f"val {key}: Int = {value}," in code[name], (name, key)
  (both,) = re.findall(r"model.step\(FloatArray\((\d+)\), false", text)
  assert int(both) == sum(cell.values())


def num_state_values():
  pytest.importorskip("keras")
  step = yoho_stream.build(dataclasses.replace(BASE, input="log_mel"))
  return step.input["state"].shape[1]


def test_android_reads_each_setting_of_the_decoder(guides):
  (code,) = [c for _, c in kotlin(guides) if c.startswith("// DecoderJson.kt")]
  found = re.findall(r'get\w+\("(\w+)"\)', code)
  written = golden.decoder(BASE)
  used = [*written["labels"][0], "cell_seconds", "slots", "score", "labels"]
  assert sorted(found) == sorted(used)


# ---- Kotlin -----------------------------------------------------------------

MAIN = """
import java.io.File

// Reads lines: what to do, settings, then numbers; writes lines.
fun main(args: Array<String>) {
  val lines = File(args[0]).readLines()
  val head = lines[0].split(" ")
  val numbers = lines.last().split(" ").map { it.toFloat() }.toFloatArray()
  if (head[0] == "floats") {
    val shorts = ShortArray(numbers.size) { numbers[it].toInt().toShort() }
    println(toFloats(shorts).joinToString(" "))
  } else if (head[0] == "windows") {
    val size = head[1].toInt()
    println(YohoWindows().run(numbers) { window ->
      FloatArray(2 * 25) {
        val cell = it / 2
        if (it % 2 == 0) window[cell * size]
        else window.slice(cell * size until (cell + 1) * size + 240).max()
      }
    }.joinToString(" "))
  } else if (head[0] == "steps") {
    val heard = ArrayDeque<FloatArray>()
    var count = 0
    val steps = YohoSteps { window, inside ->
      check(window.size == 5360)
      if (inside) heard.addLast(floatArrayOf(window[0], window.max()))
      if (++count > 8) heard.removeFirst() else null
    }
    val cells = numbers.toList().chunked(head[1].toInt())
      .flatMap { steps.push(it.toFloatArray()) } + steps.finish()
    check(heard.isEmpty())
    println(cells.flatMap { it.asList() }.joinToString(" "))
  } else {
    val labels = lines.subList(1, lines.size - 1).map {
      val row = it.split("\\t")
      val n = row.drop(1).map { it.toDouble() }
      LabelSettings(row[0], n[0], n[1], n[2], n[3], n[4], n[5])
    }
    val decoder = YohoDecoder(
      labels, head[1].toDouble(), head[2].toInt(), head[3] == "mean",
    )
    for (e in decoder.decode(numbers, head[4].toDouble())) {
      println("${e.label}\\t${e.start}\\t${e.end}\\t${e.score}")
    }
  }
}
"""


def kotlin(guides):
  return blocks(guides["android"], "kotlin")


@pytest.fixture(scope="module")
def program(guides, tmp_path_factory):
  """The guide's Kotlin that needs no Android: text in, lines out."""
  for tool in ("kotlinc", "java"):
    if not shutil.which(tool):
      pytest.skip(f"no {tool} on PATH: the guide's Kotlin is not compiled")
  folder = tmp_path_factory.mktemp("kotlin")
  names = []
  for _, code in kotlin(guides):
    name = re.match(r"// (\w+\.kt)\n", code)[1]
    if not re.search(r"^import (android|androidx|com|org)\.", code, re.M):
      (folder / name).write_text(code, encoding="utf-8")
      names.append(name)
  assert sorted(names) == ["YohoDecoder.kt", "YohoSteps.kt", "YohoWindows.kt"]
  (folder / "Main.kt").write_text(MAIN, encoding="utf-8")
  run(
    ["kotlinc", *names, "Main.kt", "-include-runtime", "-d", "main.jar"],
    folder,
    os.environ,
  )

  def call(*lines):
    (folder / "input.txt").write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
      ["java", "-Dfile.encoding=UTF-8", "-jar", "main.jar", "input.txt"],
      cwd=folder,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()

  return call


def numbers(values):
  return " ".join(f"{v:.9g}" for v in np.ravel(values))


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"slots": 3},
    {"postprocess": PostprocessParams(score="mean", merge_gap_seconds=0.5)},
    {
      "slots": 2,
      "postprocess": PostprocessParams(
        low=0.2,
        threshold=0.3,
        min_duration_seconds=0.3,
        calibration_a=0.7,
        calibration_b=-0.4,
        per_label={"Music": {"merge_gap_seconds": 0.0}},
      ),
    },
  ],
)
def test_the_kotlin_decoder_equals_ours(changes, program, tmp_path):
  params = dataclasses.replace(BASE, **changes)

  def run(inputs):
    return {"events": np.zeros((1, 1, len(params.labels), 3 * params.slots))}

  golden.write(
    tmp_path, run, params, tolerance=1, front=lambda x: np.zeros((1, 32, 64))
  )
  example = json.loads((tmp_path / golden.DECODING).read_text("utf-8"))
  decoder = json.loads((tmp_path / golden.DECODER).read_text("utf-8"))
  cells = np.float32(np.reshape(example["values"], example["shape"]))
  duration = example["duration_seconds"]
  expected = yoho.decode(
    {"events": cells}, params, duration_seconds=duration
  ).events
  rows = program(
    f"decode {decoder['cell_seconds']} {decoder['slots']} {decoder['score']} "
    f"{duration}",
    *("\t".join(map(str, row.values())) for row in decoder["labels"]),
    numbers(cells),
  )
  found = [row.split("\t") for row in rows]
  assert len(found) == len(expected) > 10
  assert [row[0] for row in found] == list(expected.label)
  for i, key in enumerate(("start", "end", "score"), start=1):
    np.testing.assert_allclose(
      [float(row[i]) for row in found], getattr(expected, key), atol=1e-9
    )
  # What the app's test compares.
  assert len(example["events"]) == len(found)


@pytest.mark.parametrize("num_samples", [1, 5120, 128000, 128001, 400_000])
def test_the_kotlin_windows_equal_ours(num_samples, program):
  waveform = np.random.default_rng(0).uniform(-1, 1, num_samples)
  waveform = waveform.astype(np.float32)
  params = dataclasses.replace(
    BASE, inference=dataclasses.replace(BASE.inference, window_cells=25)
  )
  size, parts = params.cell_samples, []
  for keep, window, _ in yoho_windows.window_plan([waveform], params):
    cells = [
      (window[first], window[first : first + size + 240].max())
      for first in range(0, len(window) - 240, size)
    ]
    parts.append(np.array(cells)[keep])
  (line,) = program(f"windows {size}", numbers(waveform))
  found = np.float32(line.split()).reshape(-1, 2)
  np.testing.assert_array_equal(found, np.concatenate(parts))


@pytest.mark.parametrize("chunk", [1, 4000, 100_000])
@pytest.mark.parametrize("num_samples", [1, 5120, 5121, 5360, 5361, 50_000])
def test_the_kotlin_steps_take_every_cell(num_samples, chunk, program):
  random = np.random.default_rng(0)
  waveform = random.uniform(-1, 1, num_samples).astype(np.float32)
  num_cells, size = BASE.num_cells(num_samples), BASE.cell_samples
  padded = np.pad(waveform, (0, num_cells * size + 240 - num_samples))
  windows = [padded[i * size :][: size + 240] for i in range(num_cells)]
  (line,) = program(f"steps {chunk}", numbers(waveform))
  found = np.float32(line.split()).reshape(-1, 2)
  np.testing.assert_array_equal(found, [(w[0], w.max()) for w in windows])


def test_kotlin_divides_integers_as_the_goldens_do(program):
  samples = np.array([-32768, -1, 0, 1, 12345, 32767])
  (line,) = program("floats", numbers(samples))
  np.testing.assert_array_equal(
    np.float32(line.split()), np.float32(samples / golden.FULL_SCALE)
  )
