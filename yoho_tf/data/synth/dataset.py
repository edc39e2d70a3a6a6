"""A folder of scenes: files, resuming, workers.

audio/<split>/<id>.wav      jams/<split>/<id>.jams
stems/<split>/<id>/{00_label,...,background}.wav      (if asked for)
metadata/<split>.tsv        strong labels; <split>_sources.csv: licences
durations.tsv  tags.tsv  class_map.csv  params.json  report.json
scenes.jsonl                recipe, labels and checksums, a scene a line
"""

import hashlib
import json
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from yoho_tf.annotations import Annotations
from yoho_tf.data import sources
from yoho_tf.data.synth import report
from yoho_tf.data.synth.files import scene_files
from yoho_tf.data.synth.mix import mix_recipe
from yoho_tf.data.synth.recipe import recipe_from_dict, recipe_to_dict
from yoho_tf.data.synth.scene import make_scene
from yoho_tf.events import EventTable
from yoho_tf.files import replace_bytes, replace_text, sha256
from yoho_tf.labels import ClassMap
from yoho_tf.params import SceneParams, to_json
from yoho_tf.writers import write

_LINES, _JOURNAL = "scenes.jsonl", ".scenes.part.jsonl"
_FOLDERS = ("audio", "jams", "stems")


@dataclass(frozen=True)
class _Run:
  """What every scene of a run shares."""

  out: Path
  pool: sources.SourcePool
  params: SceneParams
  stems: bool


def write_scenes(
  out,
  pool,
  params: SceneParams,
  *,
  split: str,
  seed: int,
  num_scenes: int,
  stems: bool = False,
  workers: int = 1,
  log=print,
) -> dict:
  """Makes scenes 0 to `num_scenes` of a split; goes on where a run stopped.

  Finished scenes are kept if their checksums are right. Other splits may be in
  the folder, made with the same params.

  Args:
    out: the folder.
    pool: `SourcePool` of the split.
    params: with `labels`, the class map of the folder.
    stems: also write every sound as mixed.
    workers: processes; they change no byte.
    log: takes a line of text.

  Returns:
    The report (report.json).

  Raises:
    ValueError: the folder holds scenes of other settings.
  """
  if num_scenes < 0 or workers < 1:
    raise ValueError(
      "num_scenes must be at least 0 and workers at least 1; received "
      f"{num_scenes}, {workers}"
    )
  run = _Run(Path(out), pool, params, stems)
  sources_digest = digest(pool)
  jobs = [
    dict(
      id=f"{split}_{i:06d}",
      split=split,
      seed=seed,
      index=i,
      sources=sources_digest,
    )
    for i in range(num_scenes)
  ]
  return _make_all(run, jobs, workers, log)[0]


def write_again(
  out, recipes, pool, params, *, stems=False, workers=1, log=print
) -> tuple[dict, list[str]]:
  """Mixes the scenes of a `scenes.jsonl` again, into another folder.

  Args:
    recipes: path of the file.
    pool: `SourcePool` of all splits, or one of another place without sources
      but with their root; licences are then not listed.

  Returns:
    The report, and the ids of scenes whose audio is not the one that the file
    has the checksum of.
  """
  lines = read_lines(recipes)
  run = _Run(Path(out), pool, params, stems)
  jobs = [
    dict(
      id=line["id"],
      split=line["recipe"]["split"],
      seed=line["recipe"]["seed"],
      index=line["recipe"]["index"],
      sources=line["sources"],
      recipe=line["recipe"],
    )
    for line in lines.values()
  ]
  made, found = _make_all(run, jobs, workers, log)
  wrong = []
  for name, line in lines.items():
    same = [k for k in found[name]["sha256"] if k in line["sha256"]]
    if any(found[name]["sha256"][k] != line["sha256"][k] for k in same):
      wrong.append(name)
  return made, wrong


def read_lines(path) -> dict[str, dict]:
  """{scene id: line} of a `scenes.jsonl`; a torn last line is left out."""
  path = Path(path)
  lines = {}
  for number, text in enumerate(
    path.read_text(encoding="utf-8").splitlines(keepends=True), 1
  ):
    try:
      line = json.loads(text)
      lines[line["id"]] = line
    except (json.JSONDecodeError, TypeError, KeyError) as error:
      if not text.endswith("\n"):
        break
      raise ValueError(
        f"{path}:{number}: must be a scene as JSON; {error!r}"
      ) from None
  return lines


def digest(pool) -> str:
  """Checksum of what is drawn from: files, parts, labels, source ids."""
  rows = sorted(
    [pool.name(s), s.role, s.label, s.source_id, s.start, s.end or 0]
    for s in pool.sources
  )
  return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _make_all(run, jobs, workers, log):
  """Makes what is missing and writes the tables: the report, {id: line}."""
  run.out.mkdir(parents=True, exist_ok=True)
  _check_settings(run)
  for folder in _FOLDERS:  # of a run that was killed while it wrote
    for part in (run.out / folder).rglob(".*.part.*"):
      part.unlink()
  lines = {}
  for name in (_LINES, _JOURNAL):
    if (run.out / name).is_file():
      lines |= read_lines(run.out / name)
  _check_lines(run, jobs, lines)
  missing = [job for job in jobs if not _is_done(run, lines.get(job["id"]))]
  if len(missing) < len(jobs):
    log(f"{len(jobs) - len(missing)} of {len(jobs)} scenes are there already")
  replace_text(run.out / _JOURNAL, "".join(map(_text, lines.values())))
  with open(run.out / _JOURNAL, "a", encoding="utf-8", newline="") as journal:
    for count, line in enumerate(_made(run, missing, workers), 1):
      lines[line["id"]] = line
      journal.write(_text(line))
      journal.flush()
      if count % 500 == 0:
        log(f"{count} of {len(missing)} scenes")
  lines = dict(sorted(lines.items()))
  result = _write_tables(run, lines)
  replace_text(run.out / _LINES, "".join(map(_text, lines.values())))
  (run.out / _JOURNAL).unlink()
  return result, lines


def _text(line):
  return json.dumps(line, ensure_ascii=False) + "\n"


def _check_settings(run):
  """Writes params.json, or compares with it."""
  path, text = run.out / "params.json", to_json(run.params) + "\n"
  if path.is_file() and path.read_text(encoding="utf-8") != text:
    raise ValueError(
      f"{path}: the settings must be those of the scenes already in the "
      "folder; received others (choose another --out)"
    )
  replace_text(path, text)


def _check_lines(run, jobs, lines):
  wanted = {job["id"]: job for job in jobs}
  splits = {line["recipe"]["split"] for line in lines.values()}
  splits |= {job["split"] for job in jobs}
  if "all" in splits and len(splits) > 1:
    raise ValueError(
      f"{run.out}: split 'all' must be alone in a folder; received "
      f"{', '.join(sorted(splits))}"
    )
  for name, line in lines.items():
    job = wanted.get(name)
    if job is None:
      continue
    for what, old, new in (
      ("seed", line["recipe"]["seed"], job["seed"]),
      ("sources", line["sources"], job["sources"]),
    ):
      if old != new:
        raise ValueError(
          f"{run.out}: {what} must be those of the scenes already in the "
          f"folder, {old}; received {new}"
        )


def _is_done(run, line) -> bool:
  """Whether all files of a scene are there, with their checksums."""
  if line is None:
    return False
  sums = line["sha256"]
  if run.stems and not any(name.startswith("stems/") for name in sums):
    return False
  return all(
    (run.out / name).is_file() and sha256(run.out / name) == value
    for name, value in sums.items()
  )


def _made(run, jobs, workers):
  """Yields the line of every job, in order."""
  if workers == 1 or len(jobs) < 2:
    for job in jobs:
      yield _make_one(run, job)
    return
  # Not fork: the caller may have threads.
  context = multiprocessing.get_context("spawn")
  executor = ProcessPoolExecutor(
    min(workers, len(jobs)), context, initializer=_start, initargs=(run,)
  )
  try:
    yield from executor.map(_work, jobs)
  finally:
    executor.shutdown(cancel_futures=True)


_run = None  # of a worker process


def _start(run):
  global _run
  _run = run
  # A worker does not notice by itself that its parent was killed.
  threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent():
  multiprocessing.parent_process().join()
  os._exit(1)


def _work(job):
  return _make_one(_run, job)


def _make_one(run, job) -> dict:
  """Writes the files of one scene; returns its line."""
  if "recipe" in job:
    recipe = recipe_from_dict(job["recipe"])
    scene = mix_recipe(recipe, run.pool, stems=run.stems)
  else:
    scene = make_scene(
      run.pool,
      run.params,
      seed=job["seed"],
      index=job["index"],
      labels=run.params.labels,
      split=job["split"],
      stems=run.stems,
    )
  files = scene_files(scene, job["id"], job["split"])
  for name, data in files.items():
    (run.out / name).parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(run.out / name, data)
  return {
    "id": job["id"],
    "recipe": recipe_to_dict(scene.recipe),
    "gain": scene.gain,
    "labels": [[e.start, e.end, e.label] for e in scene.events],
    "sources": job["sources"],
    "sha256": {
      name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    },
  }


def _write_tables(run, lines) -> dict:
  """Everything but scenes.jsonl; returns the report."""
  tables, durations = {}, {}
  for name, line in lines.items():
    recipe, filename = line["recipe"], f"{name}.wav"
    durations[filename] = recipe["num_samples"] / recipe["sample_rate_hz"]
    events = EventTable.from_rows(line["labels"]).replace(filename=filename)
    tables.setdefault(recipe["split"], {})[filename] = events
  (run.out / "metadata").mkdir(exist_ok=True)
  tags, empty = [], []
  for split, own in tables.items():
    events = EventTable.concat(own.values())
    without = [name for name, table in own.items() if not len(table)]
    notes = Annotations(events=events, known_empty=without)
    path = run.out / "metadata" / f"{split}.tsv"
    write(notes, path, format="desed_strong")
    for name, table in own.items():
      tags += [(name, label) for label in sorted(set(table.label))]
    empty += without
    _write_sources(run, split, lines)
  notes = Annotations(durations=durations)
  write(notes, run.out / "durations.tsv", format="desed_durations")
  # DESED's table lists labels between commas; a name with one needs ours.
  comma = any("," in label for label in run.params.labels)
  write(
    Annotations(tags=tags, known_empty=empty),
    run.out / "tags.tsv",
    format="tsv" if comma else "desed_weak",
  )
  ClassMap.for_names(run.params.labels).write(run.out / "class_map.csv")
  result = report.summary(lines.values(), run.params.labels)
  text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
  replace_text(run.out / "report.json", text)
  return result


def _write_sources(run, split, lines):
  """Licences of the files that a split was mixed from, if they are known."""
  used = report.used_files(
    line for line in lines.values() if line["recipe"]["split"] == split
  )
  own = tuple(s for s in run.pool.sources if run.pool.name(s) in used)
  if own:
    text = sources.attribution(replace(run.pool, sources=own))
    replace_text(run.out / "metadata" / f"{split}_sources.csv", text)
