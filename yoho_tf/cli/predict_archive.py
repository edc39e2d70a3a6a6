"""`yoho predict FOLDER -o DIR --workers N` and `--ray`: archives.

Results go to stdout in the order of files, as without these options; what was
done before and the summary to stderr.
"""

import contextlib
import os
import sys

from yoho_tf.cli import options, predict


def main(parser, args, formats, settings) -> int:
  """Runs an archive; returns 0, 1 (a file failed) or 2 (usage)."""
  _check(parser, args)
  from yoho_tf import corpus

  def report(line):
    options.say(f"{parser.prog}: {line}")

  ticks = iter(())

  def on_start(num_jobs, num_before, errors):
    nonlocal ticks
    for error in errors:
      report(error)
    if num_before:
      report(f"{num_before:,} of {num_jobs + num_before:,} done before")
    ticks = iter(predict.progress(range(num_jobs + 1), args))
    next(ticks)

  def on_outcome(outcome):
    next(ticks, None)
    for warning in outcome.warnings:
      report(f"warning: {warning}")
    if outcome.error:
      report(outcome.error)
    else:
      predict.show(outcome.result, args, file=stdout)

  stdout, others = sys.stdout, sys.stdout
  if args.ray is not None:  # Ray prints there when a machine is lost
    others = sys.stderr
  try:
    with contextlib.redirect_stdout(others):
      summary = corpus.predict(
        args.audio,
        args.output,
        model=args.model,
        weights=args.weights,
        family=args.family,
        settings=settings,
        threshold=args.threshold,
        top=args.top,
        resampler=args.resampler,
        formats=formats,
        workers=args.workers or 0,
        ray=args.ray,
        restart=args.restart,
        on_start=on_start,
        on_outcome=on_outcome,
      )
  except KeyboardInterrupt:
    report("interrupted; the same command goes on")
    raise  # `guard` knows the code
  except BrokenPipeError:
    raise
  except (corpus.JournalError, OSError, RuntimeError) as error:
    report(error)
    return 1
  except ValueError as error:
    parser.error(str(error))
  report(_text(summary))
  return int(summary.num_failed > 0)


def _check(parser, args):
  if args.workers is None and args.ray is None:
    parser.error("--restart goes with --workers or --ray")
  option = "--workers" if args.ray is None else "--ray"
  if args.output is None:
    parser.error(f"{option} needs -o DIR")
  if args.ray and os.path.exists(args.ray):
    parser.error(f"--ray must be an address, or the last; got {args.ray!r}")
  for other in ("plot", "embeddings"):
    if getattr(args, other) is not None:
      parser.error(f"--{other} takes one recording, without {option}")


def _text(summary) -> str:
  text = (
    f"{summary.num_done:,} done, {summary.num_skipped:,} done before, "
    f"{summary.num_failed:,} failed"
  )
  if not summary.num_done:
    return text
  hours = summary.seconds_of_audio / 3600
  speed = summary.seconds_of_audio / max(summary.seconds, 1e-9)
  text += f"; {hours:.2f} h of audio in {summary.seconds:.1f} s, "
  return text + f"{speed:.0f} times real time"
