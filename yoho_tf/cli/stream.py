"""`yoho stream`: events while the sound comes in.

From a file (at the pace of the clock, or --fast), from raw samples on stdin,
or from a microphone. Events go to stdout as they become final, what the stream
costs to stderr. Ctrl-C ends a stream as its end would: the code is 0.
"""

import argparse
import contextlib
import json
import signal
import sys
import time

from yoho_tf.cli import options, predict, stream_sources


def parser(prog):
  p = argparse.ArgumentParser(
    prog=prog, description="Which sounds there are, while they come in."
  )
  add = p.add_argument
  add("source", nargs="?", help="an audio file, or - for raw samples on stdin")
  add("--mic", action="store_true", help="listen to a microphone")
  add(
    "-m",
    "--model",
    default=predict.DEFAULT_MODEL,
    help=f"as `yoho predict` (default {predict.DEFAULT_MODEL})",
  )
  options.add_network(p)
  add("--fast", action="store_true", help="a file: do not wait for the clock")
  add("--device", help="--mic: number or part of the name of the input")
  add(
    "--rate",
    type=options.count,
    metavar="HZ",
    help="- and --mic: of the samples",
  )
  add(
    "--channels",
    type=options.count,
    metavar="N",
    help="- and --mic (default 1)",
  )
  add(
    "--format",
    choices=stream_sources.FORMATS,
    help="-: of a sample (default s16le)",
  )
  add(
    "--hop",
    type=options.count,
    metavar="CELLS",
    help="step (default 10 cells)",
  )
  add(
    "--window",
    type=options.count,
    metavar="CELLS",
    help="heard at each step (default: the step and the model's margins)",
  )
  add("--json", action="store_true", help="one JSON object per line")
  add("--provisional", action="store_true", help="also events that run on")
  add("--threshold", type=options.unit, help="least score of what is printed")
  add(
    "--top",
    type=options.count,
    metavar="K",
    help="YAMNet: classes (default 5)",
  )
  add("-q", "--quiet", action="store_true", help="nothing on stderr but errors")
  options.add_settings(p)
  return p


def main(argv=None, prog="yoho stream") -> int:
  """Runs the command; returns 0, 1 (the source failed) or 2 (usage)."""
  options.any_name_prints()
  p = parser(prog)
  args = p.parse_args(argv)
  if (args.source is None) != args.mic:
    p.error("give one source: a file, - for stdin, or --mic")
  is_raw = args.mic or args.source == "-"
  for option, value, fits in (
    ("--fast", args.fast, not is_raw),
    ("--device", args.device, args.mic),
    ("--rate", args.rate, is_raw),
    ("--channels", args.channels, is_raw),
    ("--format", args.format, args.source == "-"),
  ):
    if value and not fits:
      p.error(f"{option} does not go with this source; see --help")

  from yoho_tf import hub, params, streaming
  from yoho_tf.corpus import work

  try:
    settings = params.parse_settings(args.set)
    model = hub.load(
      args.model, weights=args.weights, family=args.family, settings=settings
    )
    if args.threshold is not None:
      changes = work.threshold_settings(args.threshold, model.params, settings)
      model = hub.configured(model, changes)
    stream = streaming.Stream(
      model,
      hop_cells=args.hop,
      window_cells=args.window,
      sample_rate_hz=args.rate,
    )
  except ValueError as error:
    p.error(str(error))
  except OSError as error:
    options.say(f"{prog}: {error}")
    return 1
  say = (lambda line: None) if args.quiet else options.say
  say(f"{prog}: {_promise(stream)}")
  report = Report(stream, args)
  chunks = stream_sources.chunks(args, stream.source_rate_hz)
  with contextlib.closing(chunks):
    error = report.run(chunks)
  say(f"{prog}: {report.summary()}")
  if error:
    options.say(f"{prog}: {error}")
  return int(error is not None)


def _promise(stream):
  """When events come, in one line."""
  from yoho_tf.params import YohoParams

  what = "an event leaves at most"
  if not isinstance(stream.model.params, YohoParams):
    what = "scores leave"
  return (
    f"{stream.model.name}: a step every {stream.step_seconds:.2f} s, the first "
    f"after {stream.first_seconds:.2f} s; {what} "
    f"{stream.latency_seconds:.2f} s and a step's time "
    f"{'after its end' if what.startswith('an') else 'after a patch starts'}"
  )


# ---- events -----------------------------------------------------------------


class Report:
  """Pushes chunks, prints what comes and keeps the times.

  Attributes:
    delays: seconds from the end of each event (YAMNet: patch) to its line,
      without those that the end of the stream released.
    steps: seconds of work of each step.
  """

  def __init__(self, stream, args):
    self._stream, self._args = stream, args
    self._shown = set()  # provisional events that have been printed
    self._num_rows = 0
    self._work_seconds = 0.0
    self.delays, self.steps = Figures(), Figures()

  def run(self, chunks):
    """Until the chunks end, or Ctrl-C; what was heard by then is printed.

    Returns:
      The error by which the source ended, or None.
    """
    failure = None
    try:
      for chunk, waited in chunks:
        with _uninterrupted():
          self._take(self._stream.push, chunk, waited=waited)
    except KeyboardInterrupt:
      pass
    except BrokenPipeError:  # nobody reads on: `guard` ends us
      raise
    except (ValueError, OSError) as error:
      failure = error
    self._take(self._stream.finish)
    return failure

  def _take(self, call, *arguments, waited=None):
    num_steps, started = self._stream.num_steps, time.perf_counter()
    found = call(*arguments)
    seconds = time.perf_counter() - started
    self._work_seconds += seconds
    num_steps = self._stream.num_steps - num_steps
    for _ in range(num_steps):
      self.steps.add(seconds / num_steps)
    ends = found.final.end if hasattr(found, "final") else found.end
    self._num_rows += len(ends)
    if waited is not None:
      for end in ends:
        self.delays.add(self._stream.seconds - end + waited + seconds)
    if hasattr(found, "final"):
      self._print_events(found)
    else:
      self._print_patches(found)

  def _print_events(self, found):
    for event in found.final:
      self._print_event(event, False)
    if not self._args.provisional:
      return
    shown = set()
    for event in found.provisional:
      # JSON: a line whenever it grew. Text: one line, when it is first seen.
      key = event.start, event.label, self._args.json and event.end
      if key not in self._shown:
        self._print_event(event, True)
      shown.add(key)
    self._shown = shown

  def _print_event(self, event, is_provisional):
    if self._args.json:
      row = {"start": event.start, "end": event.end, "label": event.label}
      row["score"] = event.score
      print(_json(row | {"provisional": is_provisional}), flush=True)
    else:
      end = "..." if is_provisional else f"{event.end:.2f}"
      labels = self._stream.model.labels
      width = max(map(len, labels))
      print(
        f"{event.start:9.2f} {end:>9}  {event.label:{width}}  "
        f"{event.score:.2f}",
        flush=True,
      )

  def _print_patches(self, found):
    args, labels = self._args, self._stream.model.labels
    for start, end, scores in zip(found.start, found.end, found.scores):
      best = (-scores).argsort(kind="stable")[: args.top or 5]
      best = [i for i in best if scores[i] >= (args.threshold or 0)]
      if args.json:
        row = {labels[i]: round(float(scores[i]), 4) for i in best}
        line = _json({"start": float(start), "end": float(end), "scores": row})
      else:
        row = ", ".join(f"{labels[i]} {scores[i]:.3f}" for i in best)
        line = f"{start:9.2f} {end:9.2f}  {row}"
      print(line, flush=True)

  def summary(self):
    seconds = self._stream.seconds
    text = f"{seconds:.2f} s heard, {self._num_rows} left"
    if self.delays.count:
      text += (
        f", {self.delays.mean:.2f} s after the end on average, "
        f"{self.delays.largest:.2f} s at most"
      )
    if self.steps.count:
      text += (
        f"; {self.steps.count} steps of {1e3 * self.steps.mean:.1f} ms, at "
        f"most {1e3 * self.steps.largest:.1f} ms; "
        f"{self._work_seconds / seconds:.4f} of real time"
      )
    return text


class Figures:
  """Mean and largest of numbers that are not kept."""

  def __init__(self):
    self.count, self.total, self.largest = 0, 0.0, 0.0

  def add(self, value):
    self.count += 1
    self.total += value
    self.largest = max(self.largest, value)

  @property
  def mean(self):
    return self.total / self.count


def _json(row):
  is_unicode = (
    (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
  )
  return json.dumps(row, ensure_ascii=not is_unicode)


@contextlib.contextmanager
def _uninterrupted():
  """Ctrl-C takes effect behind the block: half a step would be lost."""
  caught = []
  try:
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(True))
  except ValueError:  # not the main thread: Ctrl-C never comes here
    yield
    return
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, before)
  if caught:
    raise KeyboardInterrupt
