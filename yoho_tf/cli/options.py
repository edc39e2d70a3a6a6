"""What the options of several commands share: types for argparse, messages."""

import argparse
import contextlib
import sys


def unit(text):
  """A number in 0..1."""
  with contextlib.suppress(ValueError):
    if 0 <= float(text) <= 1:
      return float(text)
  raise argparse.ArgumentTypeError(f"must be a number in 0..1, got {text!r}")


def count(text):
  """A whole number of at least 1."""
  return _whole(text, 1)


def number(text):
  """A whole number of at least 0."""
  return _whole(text, 0)


def _whole(text, least):
  if text.isdecimal() and int(text) >= least:
    return int(text)
  raise argparse.ArgumentTypeError(
    f"must be a whole number of at least {least}, got {text!r}"
  )


def say(line):
  """One line to stderr."""
  if sys.stderr:  # None where it was closed; print() would take stdout then
    print(" ".join(str(line).splitlines()), file=sys.stderr)
