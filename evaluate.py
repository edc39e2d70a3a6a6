"""Scores a model: `python evaluate.py scenes --sources DIR`."""

import sys

from yoho_tf.cli import guard
from yoho_tf.cli.evaluate import main

if __name__ == "__main__":
  sys.exit(guard(main, prog="evaluate.py"))
