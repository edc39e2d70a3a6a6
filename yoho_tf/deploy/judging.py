"""Outputs of an artefact beside those of the float network, in numbers."""

from dataclasses import replace

import numpy as np

from yoho_tf.events import EventTable
from yoho_tf.metrics import event_metrics
from yoho_tf.models import yoho
from yoho_tf.params import YohoParams

MARGIN = 0.05  # scores closer than that may change places
_WORST = 3  # examples that a failure names
_SEMANTIC = ("silence", "noise", "tone")


def judge(wanted, got, params, examples) -> dict:
  """The part of the report that tells how alike two sets of outputs are.

  Args:
    wanted, got: `{output: [examples, ...]}`.
    examples: `examples.Examples`.
  """
  is_yoho = isinstance(params, YohoParams) and "events" in wanted
  main = _presence if is_yoho else _scores
  scores = main(wanted, params), main(got, params)  # [examples, classes]
  parts = {}
  for name in wanted:
    if name == "events":
      parts |= _event_parts(wanted[name], got[name])
    else:
      parts[name] = np.abs(wanted[name] - got[name])
  errors = parts["presence" if is_yoho else "scores"]
  per_example = errors.reshape(len(errors), -1).max(axis=1)
  worst = np.argsort(-per_example)[:_WORST]
  agreement, forgiving = _top1(*scores)
  found = {
    "outputs": {name: _summary(value) for name, value in parts.items()},
    "max_error": float(per_example.max()),
    "mean_error": float(errors.mean()),
    "worst_examples": [
      {"name": examples.names[i], "max_error": float(per_example[i])}
      for i in worst
    ],
    "top1_agreement": agreement,
    "top1_agreement_margin": forgiving,
    "boundary_error": None,
    "event_f1_float": None,
    "event_f1": None,
    "event_f1_difference": None,
  }
  if is_yoho:
    found["boundary_error"] = max(
      float(parts[name].mean()) if parts[name].size else 0.0
      for name in ("start", "stop")
    )
    found |= _event_f1(wanted["events"], got["events"], params, examples)
  found["semantic"] = (
    _same_events(wanted["events"], got["events"], params, examples)
    if is_yoho
    else _same_top(*scores, params, examples)
  )
  return found


def reasons(judged, limits) -> list[str]:
  """What breaks a limit, one line each."""
  worst = ", ".join(
    f"{row['name']} {row['max_error']:.3g}" for row in judged["worst_examples"]
  )
  found = []
  for key, limit, more in (
    ("max_error", limits["max_error"], f" (worst: {worst})"),
    ("boundary_error", limits["boundary"], ""),
    ("event_f1_difference", limits["event_f1"], " points"),
  ):
    value = judged[key]
    if value is not None and not abs(value) <= limit:
      found.append(f"{key} must be at most {limit:g}; got {value:.3g}{more}")
  value = judged["top1_agreement_margin"]
  if not value >= limits["top1"]:
    found.append(
      f"top1_agreement_margin must be at least {limits['top1']:g}; got "
      f"{value:.3g}"
    )
  for name, row in judged["semantic"].items():
    if not row["same"]:
      found.append(
        f"{name} must give the labels {row['float']}; got {row['artefact']}"
      )
  return found


def _presence(outputs, params):
  """The greatest presence of each class, `[examples, classes]`."""
  return outputs["events"][..., ::3].max(axis=(1, 3))


def _scores(outputs, params):
  scores = outputs["scores"]  # [examples, classes]; of a baseline per frame
  return scores if scores.ndim == 2 else scores.max(axis=1)


def _event_parts(wanted, got):
  """Errors of presence in every cell, of start and stop where one is."""
  wanted, got = (
    value.reshape(*value.shape[:-1], -1, 3) for value in (wanted, got)
  )
  error = np.abs(wanted - got)
  is_there = wanted[..., 0] >= 0.5
  return {
    "presence": error[..., 0],
    "start": error[..., 1][is_there],
    "stop": error[..., 2][is_there],
  }


def _summary(errors):
  if not errors.size:
    return {"max": 0.0, "mean": 0.0, "p99": 0.0}
  return {
    "max": float(errors.max()),
    "mean": float(errors.mean()),
    "p99": float(np.percentile(errors, 99)),
  }


def _top1(wanted, got):
  """Share of examples with one best class; the same, near ties forgiven."""
  best, found = wanted.argmax(axis=1), got.argmax(axis=1)
  rows = np.arange(len(wanted))
  near = wanted[rows, best] - wanted[rows, found] <= MARGIN
  return float((best == found).mean()), float(near.mean())


def _decoded(events, params, seconds, names):
  return EventTable.concat(
    [EventTable.empty()]
    + [
      yoho.decode(
        {"events": value}, params, duration_seconds=seconds, filename=name
      ).events
      for name, value in zip(names, events, strict=True)
    ]
  )


def _event_f1(wanted, got, params, examples):
  labelled = [i for i, own in enumerate(examples.events) if own is not None]
  names = [f"{i}" for i in labelled]
  reference = EventTable.concat(
    [EventTable.empty()]
    + [
      examples.events[i].replace(filename=name)
      for i, name in zip(labelled, names, strict=True)
    ]
  )
  if not len(reference):
    return {}
  scores = []
  for events in (wanted, got):
    found = _decoded(events[labelled], params, examples.seconds, names)
    result = event_metrics(reference, found, files=names, labels=params.labels)
    scores.append(float(result["f1_micro"]))
  return {
    "event_f1_float": scores[0],
    "event_f1": scores[1],
    "event_f1_difference": 100 * (scores[1] - scores[0]),
  }


# ---- the labels of known sounds ---------------------------------------------


def _known(examples):
  """`{what: number}`: silence, noise, tone and the first labelled window."""
  found = {name: examples.names.index(name) for name in _SEMANTIC}
  for i, own in enumerate(examples.events):
    if own is not None and len(own):
      return found | {"real event": i}
  if len(examples.names) > examples.num_builtin:
    found["recording"] = examples.num_builtin
  return found


def _same_events(wanted, got, params, examples):
  """Labels whose score lies within MARGIN of the threshold may differ."""
  rows = {}
  for name, i in _known(examples).items():

    def labels(events, shift, i=i):
      own = _shifted(params, shift)
      found = _decoded(events[i : i + 1], own, examples.seconds, [""])
      return set(found.label)

    found = labels(got, 0)
    sure, possible = labels(wanted, MARGIN), labels(wanted, -MARGIN)
    rows[name] = {
      "float": sorted(labels(wanted, 0)),
      "artefact": sorted(found),
      "same": sure <= found <= possible,
    }
  return rows


def _shifted(params, shift):
  """The params with every threshold moved."""
  post = params.postprocess

  def moved(value):
    return float(np.clip(value + shift, 1e-6, 1 - 1e-6))

  per_label = {
    label: {
      **post.per_label.get(label, {}),
      "threshold": moved(post.for_label(label).threshold),
      "low": moved(post.for_label(label).low),
    }
    for label in params.labels
  }
  return replace(params, postprocess=replace(post, per_label=per_label))


def _same_top(wanted, got, params, examples):
  rows = {}
  names = params.labels or [str(k) for k in range(wanted.shape[1])]
  for name, i in _known(examples).items():
    best, found = int(wanted[i].argmax()), int(got[i].argmax())
    rows[name] = {
      "float": [names[best]],
      "artefact": [names[found]],
      "same": bool(wanted[i, best] - wanted[i, found] <= MARGIN),
    }
  return rows
