"""The packages that the metrics are timed against, behind plain functions.

Each function takes what the package itself takes, so that no conversion of
ours counts as time of theirs. A package that is missing raises ImportError.
"""

import contextlib
import warnings
from importlib import metadata

import numpy as np

# Package -> the version that the comparisons are written for.
VERSIONS = {
  "sed_eval": "0.2.1",
  "psds_eval": "0.5.3",
  "sed_scores_eval": "0.0.4",
  "activitynet": None,  # yoho_tf/bench/activitynet.py
}


def version_of(peer):
  """The installed version of a peer, or None.

  A version other than the one of `VERSIONS` is as good as none: numbers of
  another one would stand under the wrong name.
  """
  if VERSIONS[peer] is None:
    return "loop (port)"
  try:
    found = metadata.version(peer)
  except metadata.PackageNotFoundError:
    return None
  return found if found == VERSIONS[peer] else None


def sed_eval_rows(table, files):
  """Rows of every file as sed_eval takes them."""
  rows = {name: [] for name in files}
  for row in table.itertuples(index=False):
    rows[row.filename].append(
      {
        "file": row.filename,
        "event_label": row.label,
        "onset": row.start,
        "offset": row.end,
      }
    )
  return rows


def sed_eval_segments(reference, estimate, durations, labels):
  """Segment F1 and ER of 1 s: (F1 micro, F1 macro, ER)."""
  from sed_eval.sound_event import SegmentBasedMetrics

  metric = SegmentBasedMetrics(event_label_list=labels, time_resolution=1.0)
  for name, seconds in durations.items():
    metric.evaluate(
      reference_event_list=reference[name],
      estimated_event_list=estimate[name],
      evaluated_length_seconds=seconds,
    )
  return _sed_eval_values(metric)


def sed_eval_events(reference, estimate, durations, labels):
  """Event F1 and ER, .2 s and 20 %: (F1 micro, F1 macro, ER)."""
  from sed_eval.sound_event import EventBasedMetrics

  metric = EventBasedMetrics(
    event_label_list=labels,
    t_collar=0.2,
    percentage_of_length=0.2,
    empty_system_output_handling="zero_score",
  )
  for name in durations:
    metric.evaluate(
      reference_event_list=reference[name], estimated_event_list=estimate[name]
    )
  return _sed_eval_values(metric)


def _sed_eval_values(metric):
  overall = metric.results_overall_metrics()
  macro = metric.results_class_wise_average_metrics()
  return (
    overall["f_measure"]["f_measure"],
    macro["f_measure"]["f_measure"],
    overall["error_rate"]["error_rate"],
  )


@contextlib.contextmanager
def repaired_psds_eval():
  """psds_eval with the two lines that numpy 2.4 and pandas 3 refuse."""
  import logging

  import pandas as pd
  from psds_eval import psds as module

  def held(x, xp, yp):
    best = pd.DataFrame({"x": xp, "y": yp}).groupby("x")["y"].max().cummax()
    return best.reindex(best.index.union(x)).ffill().fillna(0).to_numpy()

  def whole(value):
    return int(np.asarray(value).reshape(-1)[0])

  logger = logging.getLogger(module.__name__)
  before = (module.PSDSEval.__dict__["step_curve"], logger.level)
  module.PSDSEval.step_curve = staticmethod(held)
  module.int = whole  # hides the built-in one in that module
  logger.setLevel(logging.ERROR)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      yield module.PSDSEval
  finally:
    module.PSDSEval.step_curve = before[0]
    del module.int
    logger.setLevel(before[1])


def psds_eval_table(table):
  """A table with the column names of psds_eval."""
  names = {"start": "onset", "end": "offset", "label": "event_label"}
  return table[["filename", *names]].rename(columns=names)


def psds_eval_scores(reference, durations, points, labels, criteria):
  """PSDS of operating points, one value per `PSDSParams`."""
  import pandas as pd

  files = pd.DataFrame(
    {"filename": list(durations), "duration": list(durations.values())}
  )
  values = []
  with repaired_psds_eval() as evaluation:
    for params in criteria:
      evaluator = evaluation(
        ground_truth=reference,
        metadata=files,
        class_names=labels,
        dtc_threshold=params.dtc,
        gtc_threshold=params.gtc,
        cttc_threshold=0.3 if params.cttc is None else params.cttc,
      )
      for point in points:
        evaluator.add_operating_point(point)
      values.append(
        evaluator.psds(
          alpha_ct=params.alpha_ct,
          alpha_st=params.alpha_st,
          max_efpr=params.max_efpr_per_hour,
        ).value
      )
  return tuple(values)


def sed_scores_eval_table(scores, boundaries_seconds, labels):
  """Scores of one file as sed_scores_eval takes them."""
  from sed_scores_eval.base_modules.scores import create_score_dataframe

  return create_score_dataframe(scores, boundaries_seconds, labels)


@contextlib.contextmanager
def repaired_sed_scores_eval():
  """sed_scores_eval with copies of the arrays that pandas 3 locks."""
  from sed_scores_eval.base_modules import statistics

  original = statistics.onset_offset_curves

  def unlocked(*arrays):
    return original(*(a if a is None else np.array(a) for a in arrays))

  statistics.onset_offset_curves = unlocked
  try:
    yield
  finally:
    statistics.onset_offset_curves = original


def sed_scores_eval_psds(scores, reference, durations, params):
  """Exact PSDS of one `PSDSParams`."""
  from sed_scores_eval import intersection_based

  with repaired_sed_scores_eval():
    return intersection_based.psds(
      scores=scores,
      ground_truth=reference,
      audio_durations=durations,
      dtc_threshold=params.dtc,
      gtc_threshold=params.gtc,
      cttc_threshold=params.cttc,
      alpha_ct=params.alpha_ct,
      alpha_st=params.alpha_st,
      max_efpr=params.max_efpr_per_hour,
    )[0]
