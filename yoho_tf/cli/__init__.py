"""The `yoho` command: a table of sub-commands, each a module.

A module of the table has `main(argv=None, prog=None) -> int`, the exit code:
0 done, 1 a file or a check failed, 2 the command line was wrong. It is
imported only when its command is asked for, so that `yoho --help` is instant.
"""

import difflib
import importlib
import os
import sys

from yoho_tf import __version__

# name -> (module, one line of help), in the order of the help text.
COMMANDS = {
  "predict": ("yoho_tf.cli.predict", "name the sounds in audio files"),
  "stream": ("yoho_tf.cli.stream", "name sounds while they come in"),
  "models": ("yoho_tf.cli.models", "list the models that can be loaded"),
  "train": ("yoho_tf.cli.train", "train a model"),
  "evaluate": ("yoho_tf.cli.evaluate", "score a model on held-out audio"),
  "export": ("yoho_tf.cli.export", "turn a model into files for others"),
  "bench": ("yoho_tf.cli.bench", "time this package against others"),
  "convert": ("yoho_tf.cli.convert", "turn annotations into another format"),
  "data": ("yoho_tf.cli.data", "check and prepare published data sets"),
  "doctor": ("yoho_tf.cli.doctor", "check this installation"),
}

# Imported package -> the extra that brings it.
EXTRA_OF_PACKAGE = {
  "keras": "train",
  "tensorflow": "train",
  "h5py": "train",
  "tensorflow_io": "tfio",
  "tensorflow_model_optimization": "tfmot",
  "tf_keras": "tfmot",
  "jax": "jax",
  "resampy": "resampy",
  "onnx": "onnx",
  "onnxruntime": "onnx",
  "tf2onnx": "onnx",
  "ray": "ray",
  "sounddevice": "mic",
  "pyroomacoustics": "spatial",
  "PIL": "grounding",
  "jams": "jams",
  "keras_hub": "hub",
}

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


def help_lines(table):
  """A line per row of a table `{name: (module, text)}`."""
  width = max(map(len, table))
  return [f"  {name:{width}}  {text}" for name, (_, text) in table.items()]


def usage():
  """The help text of `yoho`."""
  return "\n".join(
    ["usage: yoho COMMAND ...", "", "commands:", *help_lines(COMMANDS), ""]
    + ["`yoho COMMAND --help` tells more; `yoho --version` the version."]
  )


def guard(run, argv=None, *, prog):
  """Runs a command and turns the ends it did not plan into codes.

  Args:
    run: `run(argv, prog) -> int`, as a command module's main.
    argv: list of str; None takes the command line's.
    prog: how the command is called, for its messages.

  Returns:
    The exit code: that of `run`, or 1 where a package of an extra is
    missing, 130 after Ctrl-C, 141 where the reader of our output has gone.
  """
  try:
    code = run(argv, prog=prog)
    if sys.stdout:  # None where it was closed before the start
      sys.stdout.flush()  # a closed pipe shows here and not at exit
    return code
  except KeyboardInterrupt:
    return EXIT_INTERRUPTED
  except BrokenPipeError:
    # Python flushes stdout once more at exit: give it somewhere to go.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE
  except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in EXTRA_OF_PACKAGE:
      raise
    extra = EXTRA_OF_PACKAGE[package]
    print(
      f"{prog}: needs {package}, which is not installed:"
      f" pip install '.[{extra}]'",
      file=sys.stderr,
    )
    return 1


def dispatch(argv, prog):
  """Finds the command that `argv` asks for, runs it, returns its code."""
  name = argv[0] if argv else None
  if name in (None, "-h", "--help", "help"):
    print(usage())
    return EXIT_USAGE if name is None else 0
  if name in ("-V", "--version"):
    print(f"yoho {__version__}")
    return 0
  if name not in COMMANDS:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "see `yoho --help`"
    print(f"{prog}: no command {name!r}; {hint}", file=sys.stderr)
    return EXIT_USAGE
  module = importlib.import_module(COMMANDS[name][0])
  return module.main(argv[1:], prog=f"{prog} {name}")


def main(argv=None):
  """Runs `yoho` with the arguments `argv` and returns the exit code."""
  argv = list(sys.argv[1:] if argv is None else argv)
  return guard(dispatch, argv, prog="yoho")
