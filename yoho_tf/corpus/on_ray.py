"""The same stage on Ray Data: jobs in, outcomes out, on many machines.

Each actor keeps a model loaded in a process of its own (pool.py), so that a
recording which kills its worker is given up here as well. Ray runs again what
a lost machine had; its files are written to the same names once more.

All machines see the recordings and the output folder under the same paths, and
have yoho_tf installed.
"""

import logging
import math
import os
import pickle

from yoho_tf.corpus.pool import Pool
from yoho_tf.deploy.backends import quiet

_JOBS_AT_ONCE = 4  # of an actor; a lost machine costs as many
_MAX_BLOCKS = 10_000  # Ray's driver keeps a record of each
_STORE_BYTES = 200 * 1024**2  # of a cluster of our own: outcomes are small


class _Actor:
  """Called with a batch of pickled jobs; a model that outlives the call."""

  def __init__(self, start):
    self._pool = Pool(start, 1)

  def __call__(self, batch):
    jobs = [pickle.loads(job) for job in batch["job"]]
    return _column("outcome", self._pool.run(jobs))


def _column(name, values):
  import numpy as np

  data = [pickle.dumps(value) for value in values]
  return {name: np.array(data, object)}


def import_ray():
  """Ray with its Data.

  Raises:
    ModuleNotFoundError: the extra [ray] is not installed.
  """
  try:
    import ray
    import ray.data
  except ImportError as error:
    raise ModuleNotFoundError(
      f"ray= needs Ray Data ({error}); pip install 'yoho_tf[ray]'", name="ray"
    ) from None
  return ray


def run(jobs, start, *, address="", num_actors=0):
  """Yields an outcome per job, in the order in which they are done.

  Args:
    jobs: list of Job.
    start: as Pool takes it.
    address: of a cluster: "host:port", or "auto" for the one begun on this
      machine; "" is what RAY_ADDRESS says, else a new one on this machine.
    num_actors: 0: one per processor of the cluster, as they come and go.

  Raises:
    ConnectionError: no cluster at the address.
    RuntimeError: Ray gives up, or workers do not start.
  """
  ray = import_ray()
  is_ours = not ray.is_initialized()
  if is_ours:
    _connect(ray, address)
  try:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    num_processors = int(ray.cluster_resources().get("CPU", 1))
    num_blocks = math.ceil(len(jobs) / _JOBS_AT_ONCE)
    rows = [{"job": pickle.dumps(job)} for job in jobs]
    done = ray.data.from_items(
      rows, override_num_blocks=min(num_blocks, _MAX_BLOCKS)
    ).map_batches(
      _Actor,
      fn_constructor_args=(start,),
      batch_size=None,  # a block
      batch_format="numpy",
      num_cpus=1,
      concurrency=num_actors or (1, max(1, num_processors)),
    )
    for row in done.iter_rows():
      yield pickle.loads(row["outcome"])
  except ray.exceptions.RayError as error:
    lines = [type(error).__name__, *str(error).splitlines()]
    reason = [line for line in lines if "Error: " in line] or lines
    raise RuntimeError(f"ray: {reason[-1].strip()}") from error
  finally:
    if is_ours:
      ray.shutdown()


def _connect(ray, address):
  # Its C++ side writes to stderr what is none of a user's business; what goes
  # wrong comes as an exception.
  os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
  options = {"log_to_driver": False, "logging_level": logging.ERROR}
  if not address and not os.environ.get("RAY_ADDRESS"):
    address = "local"
    options |= {"object_store_memory": _STORE_BYTES, "include_dashboard": False}
  with quiet():
    ray.init(address or None, **options)
