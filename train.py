"""Trains a model: `python train.py yoho_everyday --sources DIR --out RUN`."""

import sys

from yoho_tf.cli import guard
from yoho_tf.cli.train import main

if __name__ == "__main__":
  sys.exit(guard(main, prog="train.py"))
