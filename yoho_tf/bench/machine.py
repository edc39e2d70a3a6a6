"""What this machine can do at best: the floors of `yoho bench predict`."""

import json
import os
import subprocess
import sys

_GEMM = """
import json, time, numpy as np
n = 1536
a, b = np.ones((2, n, n), np.float32)
x, y = np.ones((2, 2**25), np.float32)
def best(f):
  spent = []
  for _ in range(8):
    begin = time.perf_counter(); f(); spent.append(time.perf_counter() - begin)
  return min(spent)
print(json.dumps([n**3 / best(lambda: a @ b),
                  2 * x.nbytes / best(lambda: np.copyto(y, x))]))
"""


def rates(threads: int) -> tuple[float, float]:
  """Multiply-adds per second of a float32 product, bytes per second copied.

  In a process of its own: a BLAS takes its number of threads at the start.
  """
  names = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"
  done = subprocess.run(
    [sys.executable, "-c", _GEMM],
    env={**os.environ, **dict.fromkeys(names, str(threads))},
    capture_output=True,
    text=True,
    check=True,
  )
  return tuple(json.loads(done.stdout))
