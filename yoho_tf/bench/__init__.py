"""Benchmarks of `yoho bench`, and what their command lines share."""

import argparse


def at_least_one(text):
  """A whole number of at least 1, for argparse."""
  if text.isdecimal() and int(text) >= 1:
    return int(text)
  raise argparse.ArgumentTypeError(
    f"must be a whole number of at least 1, got {text!r}"
  )
