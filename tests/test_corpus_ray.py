"""Archives on Ray: two nodes of a cluster on this machine, one of them lost."""

import contextlib
import importlib.util
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests import small
from tests.conftest import write_wav

pytestmark = [
  pytest.mark.large,
  pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="ray absent: pip install '.[ray]'",
  ),
]
ROOT = pathlib.Path(__file__).resolve().parent.parent
STORE_BYTES = 200 * 1024**2
COUNT = 60


def free_port():
  with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    return listener.getsockname()[1]


@pytest.fixture(scope="module", name="environment")
def environment_fixture():
  """The package on every node, and a secret of this cluster's own."""
  kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
  return {
    **kept,
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
  }


def start_node(environment, *options):
  """A node in a session of its own; waits until it runs."""
  code = "from ray.scripts.scripts import main; main()"
  command = [sys.executable, "-c", code, "start", "--block", "--num-cpus=1"]
  command += [f"--object-store-memory={STORE_BYTES}", *options]
  node = subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env=environment,
    start_new_session=True,
  )
  for line in node.stdout:
    if "Ray runtime started" in line:
      return node
  raise AssertionError(f"a node ended with {node.wait()}")


def members(node, program=""):
  """Pids of the processes of a node: those of its session."""
  found = set()
  for pid in filter(str.isdecimal, os.listdir("/proc")):
    folder = pathlib.Path("/proc", pid)
    try:
      fields = (folder / "stat").read_text().rpartition(")")[2].split()
      name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
      continue
    if int(fields[3]) == node.pid and name.endswith(program):
      found.add(int(pid))
  return found


@pytest.fixture
def cluster(environment):
  """(address, pid of the second node's raylet)"""
  port = free_port()
  nodes = []
  try:
    nodes.append(
      start_node(
        environment, "--head", f"--port={port}", "--include-dashboard=false"
      )
    )
    address = f"{socket.gethostbyname(socket.gethostname())}:{port}"
    nodes.append(start_node(environment, f"--address={address}"))
    (raylet,) = members(nodes[1], "/raylet")
    yield address, raylet
  finally:
    for node in nodes:
      for pid in members(node):
        with contextlib.suppress(ProcessLookupError):
          os.kill(pid, signal.SIGKILL)
      node.communicate()


@pytest.fixture
def archive(tmp_path):
  waveform = small.signal(60)
  for i in range(COUNT):
    size = round((4 + 0.5 * (i % 5)) * small.RATE)
    first = (i * 7919) % (len(waveform) - size)
    path = tmp_path / "in" / "ab"[i % 2] / f"{i:03}.wav"
    write_wav(path, waveform[first : first + size])
  return tmp_path / "in"


def begin(environment, archive, out, *options):
  command = [sys.executable, "-m", "yoho_tf", "predict", archive, "-o", out]
  command += ["--format", "csv,json", "--json", *options]
  return subprocess.Popen(
    [str(part) for part in command],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    cwd=ROOT,
    env=environment,
  )


def finish(process):
  out, error = process.communicate(timeout=300)
  print(error)  # for `pytest -s` and reports
  assert process.returncode == 0, error
  return out, error


def outputs_of(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file() and path.name != "journal.jsonl"
  }


def keys_of(folder):
  path = folder / "journal.jsonl"
  lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
  rows = [json.loads(line) for line in lines]
  return [row["key"] for row in rows if row["status"] == "done"]


def test_a_node_that_is_lost_costs_nothing(
  environment, archive, cluster, tmp_path
):
  address, second = cluster
  local, out = tmp_path / "local", tmp_path / "out"
  text, _ = finish(begin(environment, archive, local, "--workers", "2"))
  process = begin(environment, archive, out, "--ray", address)
  end = time.monotonic() + 120
  while len(keys_of(out)) < 8 and process.poll() is None:
    assert time.monotonic() < end
    time.sleep(0.01)
  at_kill = len(keys_of(out))
  os.kill(second, signal.SIGKILL)
  same_text, error = finish(process)
  print(f"second node killed at {at_kill} of {COUNT} recordings")
  assert at_kill < COUNT
  assert f"{COUNT} done, 0 done before, 0 failed" in error
  assert outputs_of(out) == outputs_of(local)
  assert same_text == text  # in the order of files
  assert len(keys_of(out)) == COUNT == len({*keys_of(out)})


def test_a_run_changes_between_processes_and_ray(
  environment, archive, cluster, tmp_path
):
  address, _ = cluster
  out = tmp_path / "out"
  for options in (["--workers", "2"], ["--ray", address], ["--workers", "0"]):
    process = begin(environment, archive, out, *options)
    before = len(keys_of(out))
    while len(keys_of(out)) < before + 8 and process.poll() is None:
      time.sleep(0.01)
    process.kill()
    process.communicate()
    assert len(keys_of(out)) >= before + 8
  finish(begin(environment, archive, out, "--ray", address))
  finish(begin(environment, archive, tmp_path / "local", "--workers", "0"))
  assert outputs_of(out) == outputs_of(tmp_path / "local")
  assert len(keys_of(out)) == COUNT == len({*keys_of(out)})
