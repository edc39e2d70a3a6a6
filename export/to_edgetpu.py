"""`yoho export MODEL --to edgetpu` from a checkout."""

import sys

sys.path[0] += "/.."  # from export/ to the checkout

from yoho_tf.cli import export, guard  # noqa: E402

if __name__ == "__main__":
  arguments = ["--to", "edgetpu", *sys.argv[1:]]
  sys.exit(guard(export.main, arguments, prog="to_edgetpu.py"))
