"""Numbers of `yoho evaluate events` as rows, and rows as text and files."""

from dataclasses import asdict
from pathlib import Path

from yoho_tf.files import replace_text
from yoho_tf.labels import csv_text
from yoho_tf.metrics import METRICS, save_json
from yoho_tf.params import MetricParams

# Metric -> what stands on the screen; files hold all there is.
_F1 = ("f1_micro", "f1_macro", "precision_micro", "recall_micro")
HEADLINES = {
  "segment": (*_F1, "er_micro", "accuracy_micro"),
  "event": (*_F1, "er_micro"),
  "intersection": _F1,
  "temporal_iou": ("map", "map@0.5", "f1@0.5_micro", "f1@0.8_micro"),
  "boxes": ("map", "map@0.5"),
  "psds1": ("psds",),
  "psds2": ("psds",),
  "tagging": ("map", "ap_micro", "auroc_macro", "dprime", "lwlrap"),
  "segment_scores": ("map", "auroc_macro"),
  "masks": ("iou_macro", "dice_macro"),
}
_F1_OF_CLASS = ("f1", "precision", "recall")
OF_CLASS = {
  "segment": (*_F1_OF_CLASS, "er", "accuracy"),
  "event": (*_F1_OF_CLASS, "er"),
  "intersection": _F1_OF_CLASS,
  "temporal_iou": ("ap", "ap@0.5"),
  "boxes": ("ap", "ap@0.5"),
  "psds1": ("psds",),
  "psds2": ("psds",),
  "tagging": ("ap", "auroc"),
  "segment_scores": ("ap", "auroc"),
  "masks": ("iou", "dice"),
}
SETTINGS_OF = {"temporal_iou": "temporal", "segment_scores": "tagging"}
PERCENT = ("f1", "precision", "recall", "accuracy")
ENDINGS = (".json", ".csv", ".tsv", ".md")


def numbers_of(result):
  """(label, quantity) -> value; label "" stands for all classes."""
  numbers = {("", k): v for k, v in {**result.overall, **result.macro}.items()}
  for label in result.labels:
    for name, value in result.class_wise.get(label, {}).items():
      numbers[label, name] = value
  return numbers


def rows_of(report, intervals=None, smooth=None, other=None, differences=None):
  """One dict per number.

  Args:
    report: `EvaluationReport`.
    intervals: metric -> `BootstrapResult` of it, or None.
    smooth: report on the smoothed reference, or None.
    other: report on what is compared, or None.
    differences: metric -> `BootstrapResult` of the comparison, or None.
  """
  rows = []
  for metric, result in report.results.items():
    columns = {"value": numbers_of(result)}
    if smooth is not None and metric in smooth.results:
      columns["smoothed_reference"] = numbers_of(smooth.results[metric])
    if other is not None and metric in other.results:
      columns["other"] = numbers_of(other.results[metric])
    if intervals and metric in intervals:
      _add(columns, "", intervals[metric], ("mean", "low", "high"))
    if differences and metric in differences:
      fields = ("value", "low", "high", "share_above_zero")
      _add(columns, "difference_", differences[metric], fields)
    for label, quantity in columns["value"]:
      numbers = {
        name: plain_number(column[label, quantity])
        for name, column in columns.items()
        if (label, quantity) in column
      }
      rows.append(
        {"metric": metric, "label": label, "quantity": quantity, **numbers}
      )
  return rows


def _add(columns, prefix, result, fields):
  named = {"": result.values, **result.class_wise}
  for field in fields:
    columns[prefix + field] = {
      (label, quantity): getattr(item, field)
      for label, items in named.items()
      for quantity, item in items.items()
    }


def plain_number(value):
  """A Python number."""
  return value.item() if hasattr(value, "item") else value


def conventions(report):
  """Settings of the metrics in the report that are not the default."""
  lines, default = [], MetricParams()
  for metric in report.results:
    name = SETTINGS_OF.get(metric, metric)
    usual = asdict(getattr(default, name))
    for key, value in asdict(getattr(report.params, name)).items():
      if value != usual[key]:
        line = f"{name}.{key} = {value} (default {usual[key]})"
        lines += [] if line in lines else [line]
  return lines


def remarks(report):
  """What was dropped, ignored, skipped or left out."""
  lines, skipped = [], {}
  for result in report.results.values():
    for label, reason in result.skipped.items():
      skipped.setdefault(reason, {})[label] = None
    for name, count in result.notes.items():
      if count:
        lines.append(f"{name.replace('_', ' ')}: {count}")
  for reason, labels in skipped.items():
    lines.append(f"not in the means ({reason}): {', '.join(labels)}")
  for why in dict.fromkeys(report.skipped.values()):
    names = [name for name, other in report.skipped.items() if other == why]
    lines.append(f"left out: {', '.join(names)} ({why})")
  return list(dict.fromkeys(lines))


def screen_text(rows, confidence, class_wise):
  """The table on the screen."""
  shown = [
    row
    for row in rows
    if not row["label"] and row["quantity"] in HEADLINES[row["metric"]]
  ]
  order = {name: i for i, name in enumerate(METRICS)}
  shown.sort(
    key=lambda r: (
      order[r["metric"]],
      HEADLINES[r["metric"]].index(r["quantity"]),
    )
  )
  interval = f"{100 * confidence:g} % interval"
  cells = [_cells(row, interval) for row in shown]
  text = _aligned(cells)
  if class_wise:
    for metric in dict.fromkeys(row["metric"] for row in shown):
      text += f"\n{metric}\n{_aligned(_of_class(rows, metric))}"
  return text


def _cells(row, interval):
  quantity = row["quantity"]

  def show(name):
    return spelled(quantity, row.get(name))

  cells = {
    "metric": row["metric"],
    "": quantity.replace("_", " "),
    "value": show("value"),
  }
  if "low" in row:
    cells[interval] = f"[{show('low')}, {show('high')}]"
  if "smoothed_reference" in row:
    cells["smoothed reference"] = show("smoothed_reference")
  if "other" in row:
    cells["other"] = show("other")
  if "difference_value" in row:
    span = f"[{show('difference_low')}, {show('difference_high')}]"
    cells["difference"] = f"{show('difference_value')} {span}"
    cells["above 0"] = f"{100 * row['difference_share_above_zero']:.0f} %"
  return cells


def _of_class(rows, metric):
  """Cells of every class, in the order of OF_CLASS."""
  table = {}
  for row in rows:
    if row["metric"] == metric and row["label"]:
      table.setdefault(row["label"], {})[row["quantity"]] = row
  return [
    {"class": label}
    | {name: _class_cell(own[name]) for name in OF_CLASS[metric] if name in own}
    for label, own in table.items()
  ]


def _class_cell(row):
  text = spelled(row["quantity"], row["value"])
  if "low" not in row:
    return text
  low, high = (spelled(row["quantity"], row[name]) for name in ("low", "high"))
  return f"{text} [{low}, {high}]"


def spelled(quantity, value):
  """A number as people write that quantity."""
  if value is None:
    return ""
  if quantity.split("_")[0].split("@")[0] in PERCENT:
    return f"{100 * value:.2f} %"
  return f"{value:.4f}"


def _aligned(cells):
  """Dicts of texts in columns."""
  header = list(dict.fromkeys(name for row in cells for name in row))
  width = {
    name: max(len(name), *(len(row.get(name, "")) for row in cells))
    for name in header
  }
  lines = [{name: name for name in header}, *cells]
  return "".join(
    "  ".join(f"{row.get(n, ''):{width[n]}}" for n in header).rstrip() + "\n"
    for row in lines
  )


def write(path, body, rows):
  """Writes .json (the body), .csv, .tsv or .md; numbers read back equal."""
  ending = Path(path).suffix.lower()
  if ending == ".json":
    save_json(body, path)
    return
  header = list(dict.fromkeys(name for row in rows for name in row))
  table = [[_exact(row.get(name, "")) for name in header] for row in rows]
  if ending == ".md":
    lines = [header, ["---"] * len(header), *table]
    text = "".join(
      f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n"
      for line in lines
    )
  else:
    delimiter = "\t" if ending == ".tsv" else ","
    text = csv_text([header, *table], delimiter)
  replace_text(path, text)


def _exact(value):
  return value if isinstance(value, str) else repr(value)
