"""`yoho bench`: a table of benchmarks, each a module with a `main`."""

import importlib
import sys

from yoho_tf.cli import help_lines
from yoho_tf.labels import did_you_mean

# name -> (module, one line of help), in the order of the help text.
BENCHMARKS = {
  "metrics": ("yoho_tf.bench.metrics", "our metrics against their references"),
  "results": ("yoho_tf.bench.results", "train and score the systems compared"),
  "synth": ("yoho_tf.bench.synth", "how fast scenes are mixed"),
  "predict": ("yoho_tf.bench.predict", "an hour of audio, stage by stage"),
  "export": ("yoho_tf.bench.export", "how long exported files take"),
  "decoding": ("yoho_tf.bench.decoding", "tensorflow-io against soundfile"),
  "data": ("yoho_tf.bench.data", "whether the input keeps up with training"),
}


def usage(prog):
  """The help text of `yoho bench`."""
  lines = [f"usage: {prog} WHAT ...", "", "benchmarks:"]
  return "\n".join(lines + help_lines(BENCHMARKS))


def main(argv=None, prog="yoho bench") -> int:
  """Runs a benchmark; returns its code, or 2 (usage)."""
  argv = list(sys.argv[1:] if argv is None else argv)
  name = argv[0] if argv else None
  if name in (None, "-h", "--help"):
    print(usage(prog))
    return 2 if name is None else 0
  if name not in BENCHMARKS:
    print(
      f"{prog}: benchmark {did_you_mean(name, BENCHMARKS)}", file=sys.stderr
    )
    return 2
  module = importlib.import_module(BENCHMARKS[name][0])
  return module.main(argv[1:], prog=f"{prog} {name}")


if __name__ == "__main__":
  sys.exit(main())
