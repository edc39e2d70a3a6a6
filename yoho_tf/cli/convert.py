"""`yoho convert`: annotations from one format into another.

Prints files, events, labels and what the target cannot hold. Every input is
tried; failures are listed at the end, and the exit code is then 1.
"""

import argparse
import collections
import pathlib
import sys
import warnings


def parser(prog):
  from yoho_tf.formats import FORMATS

  both = [name for name, kind in FORMATS.items() if kind.can_write()]
  only = [name for name in FORMATS if name not in both]
  p = argparse.ArgumentParser(
    prog=prog,
    description="Turns annotations into another format.",
    epilog=f"formats: {', '.join(both)}; to read only: {', '.join(only)}",
  )
  add = p.add_argument
  add("input", nargs="+", metavar="IN", help="file, folder, glob or .zip")
  add("output", metavar="OUT", help="file, folder/, or - for stdout")
  add("--from", dest="source", metavar="F", help="format of IN")
  add(
    "--columns",
    metavar="OURS=NAME,...",
    help="names of the columns of IN, any .csv or .tsv with a header, such as "
    "filename=path,start=onset,end=offset,label=event; ours are filename, "
    "start, end (both in seconds), label, score, low_hz, high_hz, annotator, "
    "track; the others are carried along where OUT can hold them",
  )
  add("--to", dest="target", metavar="F", help="format of OUT")
  add("--labels", metavar="MAP.csv", help="class map; other labels are errors")
  add("--relabel", metavar="MAP.csv", help="rows old,new; new empty = drop")
  lengths = p.add_mutually_exclusive_group()
  lengths.add_argument("--durations", metavar="F", help="table of durations")
  lengths.add_argument("--audio", metavar="DIR", help="where the audio is")
  add("--merge", type=float, metavar="SECONDS", help="join over such gaps")
  add("--min-score", type=float, metavar="S", help="drop events below")
  how = p.add_mutually_exclusive_group()
  how.add_argument("--combined", action="store_true", help="one file for all")
  how.add_argument(
    "--per-file", action="store_true", help="one file per recording"
  )
  add("--strict", action="store_true", help="a loss is an error")
  add("--overwrite", action="store_true", help="replace files in OUT")
  return p


def main(argv=None, prog="yoho convert") -> int:
  """Runs the command; returns 0, 1 (an input failed) or 2 (usage)."""
  p = parser(prog)
  args = p.parse_args(argv)
  from yoho_tf import readers, writers
  from yoho_tf.formats import ours
  from yoho_tf.labels import did_you_mean

  for name in (args.source, args.target):
    if name is not None and name not in writers.FORMATS:
      p.error(f"format {did_you_mean(name, writers.FORMATS)}")
  if args.columns is not None:
    try:
      args.columns = ours.parse_columns(args.columns)
    except ValueError as error:
      p.error(f"--columns {error}")
    if args.source not in (None, *_TABLES):
      p.error(
        f"--columns needs --from {' or '.join(_TABLES)}, got {args.source}"
      )
  if args.merge is not None and not args.merge >= 0:
    p.error(f"--merge must be at least 0, got {args.merge}")
  is_folder = _is_folder(args, writers.FORMATS)
  try:
    if args.target is None and args.output == "-":
      raise ValueError("--to must be given for -")
    if args.target is None and is_folder:
      raise ValueError(f"--to must be given for the folder {args.output}")
    kind = writers.find_format(args.output, format=args.target)
  except ValueError as error:
    p.error(str(error))
  if not kind.can_write():
    p.error(f"--to must be a format with a writer, got {kind.name}")
  if args.columns is not None and kind.opens == "folder":
    p.error(f"--columns needs a format of tables for OUT, got {kind.name}")
  single = args.output == "-" or not is_folder
  if single and args.per_file:
    p.error("--per-file needs a folder (with a / at its end) for OUT")
  if args.combined and not single:
    p.error("--combined needs a file for OUT")
  job = _Job(args, kind, readers, writers)
  try:
    job.prepare()
    if kind.opens == "folder":
      job.whole_folder()
    elif single:
      job.combined()
    else:
      job.one_by_one()
  except (ValueError, OSError) as error:
    job.failures.append(str(error))
  job.report(prog)
  return int(bool(job.failures))


def _is_folder(args, formats) -> bool:
  """Whether OUT stands for a folder: it is one, or is called like one."""
  path = pathlib.Path(args.output)
  if args.output == "-" or path.is_file():
    return False
  if path.is_dir() or args.output.endswith(("/", "\\")):
    return True
  is_split = args.per_file or (
    args.target is not None and formats[args.target].per_recording
  )
  return not path.suffix and is_split and not args.combined


class _Job:
  """One run: what was asked for, what was done, what failed."""

  def __init__(self, args, kind, readers, writers):
    self.args, self.kind = args, kind
    self.readers, self.writers = readers, writers
    self.failures, self.notes = [], []
    self.lost = collections.Counter()
    self.num_files = self.num_events = 0
    self.labels = set()
    self.written = {}

  def prepare(self):
    """Reads the tables that the options name."""
    from yoho_tf.labels import ClassMap

    args = self.args
    self.class_map = ClassMap.read(args.labels) if args.labels else None
    self.renames = read_renames(args.relabel) if args.relabel else None
    self.durations = {}
    if args.durations:
      self.durations = self.readers.read(args.durations).durations

  def files(self):
    """(file, folder below OUT) of every input; a missing one is a failure."""
    source = self.args.source and self.writers.FORMATS[self.args.source]
    for given in self.args.input:
      try:
        found = self.readers.list_files(given, source)
      except OSError as error:
        self.failures.append(str(error))
        continue
      root = pathlib.Path(given)
      for file in found.files:
        below = pathlib.PurePath(file.member).parent
        if not file.member and root.is_dir():
          below = file.path.parent.relative_to(root)
        yield file, below

  def read(self, file):
    """Annotations of one file, changed as asked; None after a failure."""
    args = self.args
    try:
      with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = {} if args.columns is None else {"columns": args.columns}
        notes = self.readers.read_file(
          file, format=args.source, audio_root=args.audio, **options
        )
        notes = self.changed(notes)
      self.notes += [str(w.message) for w in caught]
    except (ValueError, OSError) as error:
      self.failures.append(str(error))
      return None
    self.num_files += 1
    self.num_events += len(notes.events)
    self.labels.update(notes.events.label, (tag.label for tag in notes.tags))
    return notes

  def changed(self, notes):
    """Labels, scores, gaps and durations as the options say."""
    from dataclasses import replace

    from yoho_tf.annotations import relabel

    before = dict.fromkeys(notes.events.filename)
    if self.renames is not None:
      notes = relabel(notes, self.renames)
    if self.class_map is not None:
      notes = self.readers.with_labels(notes, self.class_map)
    if self.args.min_score is not None:
      # An event without a score is certain.
      notes = notes.take(~(notes.events.score < self.args.min_score))
    if self.args.merge is not None:
      notes = notes.with_events(notes.events.merge(self.args.merge))
    # Without its events a recording is still one that was annotated.
    notes = replace(notes, known_empty=[*notes.known_empty, *before])
    if "durations" in self.kind.keeps:
      notes = replace(notes, durations=self.durations_of(notes))
    return notes

  def durations_of(self, notes):
    """Those of the source, else of --durations, else of the audio's headers."""
    durations = dict(notes.durations)
    for name in notes.filenames:
      if name in durations:
        continue
      if name in self.durations:
        durations[name] = self.durations[name]
      elif self.args.audio:
        from yoho_tf import audio

        path = self.readers.find_audio(
          pathlib.PurePath(name).stem, root=self.args.audio
        )[1]
        if path is not None:
          durations[name] = audio.info(path).duration_seconds
    return durations

  def write(self, notes, path):
    """Writes annotations to one file, counting what is lost."""
    if path in self.written:
      raise ValueError(
        f"{path}: must come from one input, got {self.written[path]} before"
      )
    if path.exists() and not self.args.overwrite:
      raise ValueError(f"{path}: must not exist (or say --overwrite)")
    lost = self.writers.lost_columns(notes, self.kind)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # the losses, which we report as one
      self.writers.write(
        notes, path, format=self.kind.name, strict=self.args.strict
      )
    self.lost.update(lost)

  def combined(self):
    """All inputs into one file; nothing is written where one failed."""
    from yoho_tf.annotations import Annotations

    found = [self.read(file) for file, _ in self.files()]
    if self.failures:
      return
    notes = Annotations.concat(found)
    if self.args.output != "-":
      self.write(notes, pathlib.Path(self.args.output))
      return
    lost = self.writers.lost_columns(notes, self.kind)
    if lost and self.args.strict:
      raise ValueError(f"{self.kind.name} cannot hold {_counts(lost)}")
    self.lost.update(lost)
    sys.stdout.write(self.writers.text_of(notes, self.kind))

  def one_by_one(self):
    """Each input by itself, in bounded memory, into the folder OUT."""
    root, kind = pathlib.Path(self.args.output), self.kind
    for file, below in self.files():
      notes = self.read(file)
      if notes is None:
        continue
      try:
        if self.args.per_file or kind.per_recording:
          targets = {
            self.writers.recording_file(name, kind): part
            for name, part in notes.split().items()
          }
          if len(targets) < len(notes.filenames):
            raise ValueError(f"{file}: recordings must have different stems")
        else:
          name = pathlib.PurePath(file.member or file.path.name).stem
          targets = {f"{name}{kind.extensions[0]}": notes}
        (root / below).mkdir(parents=True, exist_ok=True)
        for name, part in targets.items():
          self.write(part, root / below / name)
          self.written[root / below / name] = str(file)
      except (ValueError, OSError) as error:
        self.failures.append(_with_file(file, error))

  def whole_folder(self):
    """Formats that are a folder: operating points and scores."""
    args = self.args
    if len(args.input) != 1:
      raise ValueError(f"IN must be one folder for {self.kind.name}")
    result = self.readers.read(
      args.input[0], format=args.source or self.kind.name
    )
    if not isinstance(result, self.kind.holds):
      raise ValueError(
        f"{args.input[0]}: must hold {self.kind.holds_text} for "
        f"{self.kind.name}, got one table"
      )
    path = pathlib.Path(args.output)
    if path.exists() and any(path.iterdir()) and not args.overwrite:
      raise ValueError(f"{path}: must be empty (or say --overwrite)")
    if isinstance(result, dict):
      result = {key: self.changed(part) for key, part in result.items()}
      for part in result.values():
        self.num_events += len(part.events)
        self.labels.update(part.events.label)
        self.lost.update(self.writers.lost_columns(part, self.kind))
    else:
      self.labels.update(result.labels)
    self.num_files = len(result if isinstance(result, dict) else result.scores)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      self.writers.write(
        result, path, format=self.kind.name, strict=args.strict
      )

  def report(self, prog):
    """The summary, then warnings and failures on stderr."""
    out = sys.stderr if self.args.output == "-" else sys.stdout
    text = f"{self.num_files} files, {self.num_events} events, "
    text += f"{len(self.labels)} labels -> {self.kind.name}"
    if self.lost:
      text += f"; lost: {_counts(self.lost)}"
    print(text, file=out)
    for note in self.notes:
      print(f"{prog}: warning: {note}", file=sys.stderr)
    for failure in self.failures:
      print(f"{prog}: {' '.join(failure.splitlines())}", file=sys.stderr)


def read_renames(path) -> dict[str, str | None]:
  """{old label: new label, None = drop} of a table of two columns.

  A first row of two column names such as `from,to` is left out.
  """
  from yoho_tf.formats.lists import split_row
  from yoho_tf.formats.text import Source, decode, numbered_lines

  source = Source(str(path), decode(pathlib.Path(path).read_bytes(), path))
  renames = {}
  for line, text in numbered_lines(source):
    fields = split_row(text)
    if len(fields) != 2:
      raise source.error(line, f"row must be old,new, got {text!r}")
    old, new = fields
    if not renames and (old.lower(), new.lower()) in HEADERS:
      continue
    if renames.setdefault(old, new or None) != (new or None):
      raise source.error(line, f"label must have one name, got {old!r} again")
  return renames


_TABLES = ("csv", "tsv")  # formats whose columns can be named
HEADERS = (
  ("from", "to"),
  ("old", "new"),
  ("label", "new_label"),
  ("mid", "display_name"),
)


def _counts(lost) -> str:
  return ", ".join(f"{name} ({count})" for name, count in lost.items())


def _with_file(file, error) -> str:
  text = str(error)
  return text if str(file) in text else f"{file}: {text}"
