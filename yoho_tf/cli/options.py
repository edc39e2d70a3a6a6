"""What the options of several commands share: types for argparse, messages."""

import argparse
import contextlib
import sys


def add_network(parser):
  """What `hub.load` needs beside a name."""
  parser.add_argument(
    "--weights", help="a local weights file, where the model needs one"
  )
  parser.add_argument(
    "--family", choices=("relu", "relu6"), help="of unknown YAMNet weights"
  )


def add_settings(parser):
  parser.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="a setting, e.g. postprocess.merge_gap_seconds=0.3",
  )


def any_name_prints():
  """A name or label may not fit the code page of stdout."""
  with contextlib.suppress(AttributeError):  # not a stream that can
    sys.stdout.reconfigure(errors="backslashreplace")


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
