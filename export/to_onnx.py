"""`yoho export MODEL --to onnx` from a checkout."""

import sys

sys.path[0] += "/.."  # from export/ to the checkout

from yoho_tf.cli import export, guard  # noqa: E402

if __name__ == "__main__":
  arguments = ["--to", "onnx", *sys.argv[1:]]
  sys.exit(guard(export.main, arguments, prog="to_onnx.py"))
